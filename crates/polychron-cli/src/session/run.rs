//! `polychron run`: a command whose processes share their times.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use gtimer_core::{TimesFormat, save_times};
use polychron::shm_times::{HISTOGRAMS_VARIABLE, SESSION_VARIABLE, Session};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::report::View;
use super::{COMMAND_FILE, KEPT_FILE, end};
use crate::output::remark;
use crate::shell::typed;

#[derive(Debug, Args)]
#[command(after_help = "\
Whatever the command starts takes part, as long as it inherits the environment: children, threads,
mpirun's ranks. Only programs with polychron's timer in them have something to tell.

Examples:
  polychron run -- polychron demo
  polychron run --times run.times -- mpirun -np 4 polychron analyze product uhf -o gmf
  polychron run -q --keep -- ./simulate 1000      polychron report shows it afterwards

Exit code: the command's; 128 + n where signal n killed it; 127 where it is not there, 126 where it
cannot be executed.")]
pub(crate) struct RunArgs {
    /// Saves the times of all processes, for `polychron times` and `polychron report`; JSON if the
    /// name ends so
    #[arg(long, value_name = "FILE")]
    times: Option<PathBuf>,
    /// Keeps the session, for `polychron report` and, in the end, `polychron reap`
    #[arg(long)]
    keep: bool,
    /// Counts how long iterations are, too, in powers of two: the report has their quantiles
    #[arg(long)]
    histograms: bool,
    /// Prints no report
    #[arg(short, long)]
    quiet: bool,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// A session that ends with this, unless it is kept.
struct Own(Option<Session>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(session) = self.0.take()
            && let Err(error) = end(session)
        {
            remark(format_args!("warning: {error:#}"));
        }
    }
}

/// Gives the exit code.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    if let Some(path) = &args.times {
        // Before the work is done rather than after it.
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        ensure!(
            folder.is_none_or(Path::is_dir) && !path.is_dir(),
            "--times {}: there is no folder for it, or it is one",
            path.display()
        );
    }
    // Before the session is made, so that no signal leaves it behind.
    let mut signals =
        SignalsInfo::<WithOrigin>::new(heard()).context("could not listen for signals")?;
    let mut own = Own(None);
    let session = own.0.insert(Session::create()?).clone();
    let typed = typed(&args.command);
    // For whoever looks at the session; it works without.
    let _ = fs::write(session.dir().join(COMMAND_FILE), format!("{typed}\n"));

    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]).env(SESSION_VARIABLE, session.dir());
    if args.histograms {
        command.env(HISTOGRAMS_VARIABLE, "1");
    }
    let spawned = command.spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            remark(format_args!("error: could not start {}: {error}", args.command[0].display()));
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            return Ok(if is_absent { 127 } else { 126 });
        }
    };
    let status = wait(&mut child, &mut signals).context("could not wait for the command")?;

    if !session.dir().exists() {
        own.0 = None;
        let gone = format!("the session {} was removed meanwhile", session.dir().display());
        if args.times.is_some() || args.keep {
            bail!("{gone}; nothing is left to save");
        }
        remark(format_args!("warning: {gone}; nothing is left to report"));
        return Ok(code(status));
    }
    let view = View::of_session(&session)?;
    if !args.quiet {
        remark("");
        remark(view.text().trim_end());
    }
    if let Some(path) = &args.times {
        save_times(path, &view.times(), TimesFormat::of(path)).context("--times")?;
    }
    if args.keep {
        fs::write(session.dir().join(KEPT_FILE), "").context("--keep")?;
        own.0 = None;
        let dir = session.dir().display();
        remark(format_args!("\nkept {dir}: see polychron report, remove it by polychron reap"));
    }
    Ok(code(status))
}

/// Signals that are passed on: not those that whoever started this had told it to ignore, since
/// then the command has to ignore them, too.
fn heard() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let mut heard = vec![SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    heard.retain(|signal| ignored >> (signal - 1) & 1 == 0);
    heard
}

/// Waits for the command, and passes on what signals come.
fn wait(child: &mut Child, signals: &mut SignalsInfo<WithOrigin>) -> io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    let handle = signals.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for origin in &mut *signals {
                // What a terminal sends goes to all that is started from it.
                if origin.cause != Cause::Kernel
                    && let Some(signal) = Signal::from_named_raw(origin.signal)
                {
                    let _ = kill_process(pid, signal);
                }
            }
        });
        // Its number stays its own until it is waited for in earnest, so that no signal goes to
        // another.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), ended).is_err_and(|error| error == rustix::io::Errno::INTR) {
        }
        handle.close();
    });
    child.wait()
}

/// The exit code by which shells tell how a command ended.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_command_has_the_code_that_shells_give_it() {
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
    }
}
