//! `polychron top`: where all processes of a session are, while they run.

mod parts;
mod screen;
mod terminal;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use polychron::shm_times::{Reader, Session, Snapshot};

use self::parts::{Merger, Order, Part};
use super::{Lane, choose, command_of, lanes};
use crate::files::say_bytes;

#[derive(Debug, Args)]
#[command(after_help = "\
Parts of the work stand in a tree: stamps, and timers in parentheses. <2> after one says that two
threads are in it now; busy, how many were in it on average since the last look; imbal, how much
longer the slowest thread took than all on average.

Keys: up, down, page up, page down  move        space  folds and unfolds what is below
      s  sorts by time, busy, imbalance, name, order        c  folds all        p  pauses
      q  quits

Examples:
  polychron top
  polychron top --once | head
  polychron top /dev/shm/polychron-1000/4711-0badcafe --interval 0.2")]
pub(crate) struct TopArgs {
    /// The session [default: that of the environment, or the only one]
    #[arg(value_name = "SESSION")]
    session: Option<PathBuf>,
    /// Prints what there is as text, and ends; so it is, too, where stdout is no terminal
    #[arg(long)]
    once: bool,
    /// Time from one look to the next, in seconds
    #[arg(long, value_name = "S", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// The order of parts
    #[arg(long, value_enum, default_value = "time")]
    sort: Order,
}

/// What there was at the latest look.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) snapshot: Snapshot,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) parts: Vec<Part>,
}

/// Looks again and again.
#[derive(Debug)]
pub(crate) struct Watcher {
    session: Session,
    reader: Reader,
    merger: Merger,
}

impl Watcher {
    fn new(session: Session) -> Self {
        Self { reader: Reader::new(&session), merger: Merger::default(), session }
    }

    pub(crate) fn look(&mut self, order: Order) -> anyhow::Result<Look> {
        let snapshot = self.reader.snapshot()?;
        let lanes = lanes(&snapshot);
        let parts = self.merger.merge(&lanes, order, Instant::now());
        Ok(Look { snapshot, lanes, parts })
    }

    /// Whether somebody ended the session.
    pub(crate) fn is_over(&self) -> bool {
        !self.session.dir().is_dir()
    }

    pub(crate) fn title(&self) -> String {
        let dir = self.session.dir().display();
        match command_of(self.session.dir()) {
            Some(command) => format!("{command}    ({dir})"),
            None => dir.to_string(),
        }
    }
}

/// Gives the exit code.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<u8> {
    let mut watcher = Watcher::new(choose(args.session.as_deref())?);
    if args.once || !io::stdout().is_terminal() {
        let Look { snapshot, lanes, parts } = watcher.look(args.sort)?;
        let text = screen::text(&watcher.title(), &snapshot, &lanes, &parts);
        return say_bytes(text.as_bytes()).map(|()| 0);
    }
    terminal::run(&mut watcher, args.interval, args.sort)
}

/// At least as long as a look takes, and no longer than one wants to wait for a key to show.
fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || "give seconds, from 0.05 to 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.05..=3600.0).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}
