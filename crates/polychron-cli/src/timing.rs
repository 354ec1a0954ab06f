//! Where the time of the command itself goes: `--times` and `-v`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use gtimer_core::report::{TreeFormat, group_tables, tree};
use gtimer_core::{Times, TimesFormat, enabled, save_times, thread};

use crate::output::remark;

#[derive(Debug, Args)]
pub(crate) struct TimesOut {
    /// Saves where the time went, for `polychron times` and `polychron report`
    #[arg(long, value_name = "FILE")]
    times: Option<PathBuf>,
    /// Format of that file [default: json if its name ends so, else binary]
    #[arg(long, value_enum, requires = "times")]
    times_format: Option<FormatArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArg {
    /// Small and exact
    Binary,
    /// For people and other programs
    Json,
}

/// Closes the interval since the last stamp, on the timer of the thread.
macro_rules! stamp {
    ($name:literal) => {
        // Nobody but `timed` stops this timer, so nothing is refused while a command runs.
        let _ = gtimer_core::stamp!($name, gtimer_core::StampOptions::ADD);
    };
}

pub(crate) use stamp;

/// Runs a command as the timer `name`. The times are saved also when it fails; then that it failed
/// is told, not that they could not be saved.
pub(crate) fn timed(
    name: &'static str,
    out: &TimesOut,
    verbose: u8,
    command: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    out.check()?;
    // The timer starts here.
    let _ = thread::rename_root(name);
    let result = command();
    let _ = thread::stop();
    let times = thread::times();
    let saved = out.save(&times);
    if verbose > 0 && enabled() {
        remark(summary(&times));
    }
    result.and(saved)
}

impl TimesOut {
    /// Fails before the work is done rather than after it.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.times {
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            ensure!(
                folder.is_none_or(std::path::Path::is_dir) && !path.is_dir(),
                "--times {}: there is no folder for it, or it is one",
                path.display()
            );
        }
        Ok(())
    }

    fn save(&self, times: &Times) -> anyhow::Result<()> {
        let Some(path) = &self.times else { return Ok(()) };
        if !enabled() {
            let path = path.display();
            tracing::warn!("GTIMER_DISABLE is set: nothing was timed, {path} is not written");
            return Ok(());
        }
        let format = match self.times_format {
            None => TimesFormat::of(path),
            Some(FormatArg::Binary) => TimesFormat::Binary,
            Some(FormatArg::Json) => TimesFormat::Json,
        };
        save_times(path, std::slice::from_ref(times), format).context("--times")
    }
}

/// The tree, and a table for each group of workers.
fn summary(times: &Times) -> String {
    let mut text = tree(times, &TreeFormat::default());
    for level in 1..=2 {
        for table in group_tables(times, level) {
            text += &format!("\n{table}");
        }
    }
    text.truncate(text.trim_end().len());
    text
}
