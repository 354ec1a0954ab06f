//! `polychron reap`: what ended and killed processes left behind.

use std::path::{Path, PathBuf};

use clap::Args;
use polychron::shm_times::Session;

use super::{KEPT_FILE, end, open};
use crate::output::{remark, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Without a name, all sessions of yours are looked after: one that nobody uses any more is removed,
unless it was kept (polychron run --keep); in others, what ended processes left is summed up. One
that is named is removed if no process in it runs.

Examples:
  polychron reap
  polychron reap /dev/shm/polychron-1000/4711-0badcafe")]
pub(crate) struct ReapArgs {
    /// Sessions [default: all of this user's]
    #[arg(value_name = "SESSION")]
    sessions: Vec<PathBuf>,
}

pub(crate) fn run(args: &ReapArgs) -> anyhow::Result<()> {
    for named in &args.sessions {
        reap(open(named)?, true)?;
    }
    if !args.sessions.is_empty() {
        return Ok(());
    }
    let all = Session::list();
    if all.is_empty() {
        say("there is no session");
    }
    let mut first = None;
    for dir in &all {
        // One that cannot be dealt with does not keep the others from it.
        if let Err(error) = Session::open(dir).map_err(Into::into).and_then(|s| reap(s, false)) {
            match first {
                None => first = Some(error),
                Some(_) => remark(format_args!("error: {error:#}")),
            }
        }
    }
    first.map_or(Ok(()), Err)
}

fn reap(session: Session, is_named: bool) -> anyhow::Result<()> {
    let reaped = session.reap()?;
    let dir = session.dir().to_owned();
    let (running, folded, kept) = (reaped.running, reaped.folded, reaped.kept);
    let is_kept = dir.join(KEPT_FILE).exists();
    if running == 0 && (is_named || !is_kept && !is_maker_alive(&dir)) {
        end(session)?;
        say(format_args!("{}: removed, with {}", dir.display(), processes(folded + kept)));
        return Ok(());
    }
    let mut said = vec![format!("{} running", processes(running))];
    if folded > 0 {
        said.push(format!("{} summed up", processes(folded)));
    }
    if kept > 0 {
        said.push(format!("{} ended, for a report", processes(kept)));
    }
    if is_kept {
        said.push("kept by --keep until it is named".to_owned());
    }
    say(format_args!("{}: {}", dir.display(), said.join(", ")));
    Ok(())
}

fn processes(n: usize) -> String {
    if n == 1 { "1 process".to_owned() } else { format!("{n} processes") }
}

/// Whether the process that made a session, whose number its name begins with, may be alive.
fn is_maker_alive(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let maker = name.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
    maker.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}
