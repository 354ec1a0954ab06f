//! What workers measure, where others can see it: in shared memory.
//!
//! A worker that comes to the end of a run reports its times through its channel, exactly and with
//! all iterations. What it measures on the way is in a session of shm-times, too: whoever looks
//! sees it grow, and what was finished when a worker was killed is taken from there.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use gtimer_core::{SystemClock, Times, thread as timer};
use pm_api::backend::{report_of_lost, times_workers};
use shm_times::{Label, LaneTimes, ProcessTimes, SESSION_VARIABLE, Session, set_label};
use worker_process::Leftover;

/// The session in which the workers of a pool share their times.
#[derive(Debug)]
pub(crate) struct SharedTimes {
    session: Session,
    /// Of one that was made for the pool, and ends with it: sees to that when this process is killed.
    own: Option<Leftover>,
}

impl SharedTimes {
    /// The session of the environment (that of `polychron run`, for one), or else a new one; none
    /// when nothing is timed, and where there is no memory for it: then only killed workers have
    /// nothing to tell.
    pub(crate) fn begin() -> Option<Self> {
        if !times_workers() {
            return None;
        }
        let joined = Session::from_env().ok().flatten().filter(Session::is_in_memory);
        if let Some(session) = joined {
            return Some(Self { session, own: None });
        }
        sweep();
        let session = Session::create().ok()?;
        let own = Some(Leftover::new(session.dir()));
        Some(Self { session, own })
    }

    /// What the workers find in their environment.
    pub(crate) fn env(&self) -> (OsString, OsString) {
        (SESSION_VARIABLE.into(), self.session.dir().into())
    }

    /// What a worker that died measured in the run that it was at, in place of its report. `name`
    /// is that of its timer.
    pub(crate) fn of_lost(&self, pid: u32, name: &str) -> Option<Vec<u8>> {
        let snapshot = self.session.snapshot().ok()?;
        let of_pid = snapshot.processes.iter().filter(|process| process.pid == pid);
        let process: &ProcessTimes = of_pid.max_by_key(|process| process.began)?;
        // Its first thread does the tasks. If that ended in good order, by a call of `exit`, its
        // times are among those of ended threads, under a name of their own: see `exits_apart`.
        let exited = |lane: &&LaneTimes| lane.tid == 0 && lane.times.name == EXITED;
        let lane = process.lanes.iter().find(|lane| lane.tid == pid);
        let lane = lane.or_else(|| process.lanes.iter().find(exited))?;
        report_of_lost(&Times { name: name.to_owned(), ..lane.times.clone() })
    }
}

/// What the timer of a worker is called that ended its process in the middle of a run.
const EXITED: &str = "exited";

/// Renames the timer of the thread when that ends, if it is to.
struct Apart(Cell<bool>);

impl Drop for Apart {
    fn drop(&mut self) {
        if self.0.get() {
            // Refused inside of a call of the timer, which a task has ended the process in.
            let _ = timer::rename_root(EXITED);
        }
    }
}

thread_local! {
    static APART: Apart = const { Apart(Cell::new(false)) };
}

/// Says whether the thread is at a run: if a task ends the process then, by `exit`, what it measured
/// is not added to what was measured in earlier runs, which were reported.
///
/// What is local to a thread is dropped in the reverse order of its first use, so this is called
/// first when the thread has its timer.
pub(crate) fn exits_apart(is_at_run: bool) {
    APART.with(|apart| apart.0.set(is_at_run));
}

impl Drop for SharedTimes {
    fn drop(&mut self) {
        if self.own.is_some() {
            // What cannot be removed now is swept away by the next program.
            let _ = self.session.clone().end();
        }
    }
}

/// Removes the sessions of programs that were killed with all that they had started: those in which there is
/// nothing but what workers put there, and nobody any more. One of `polychron run` is told by what
/// it keeps beside, and stays for a report.
fn sweep() {
    for dir in Session::list() {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let maker = name.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        let is_gone = maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        if is_gone
            && is_of_workers_only(&dir)
            && let Ok(session) = Session::open(&dir)
            && session.reap().is_ok_and(|reaped| reaped.running == 0)
        {
            let _ = session.end();
        }
    }
}

fn is_of_workers_only(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|entries| {
        entries.flatten().all(|entry| {
            let name = entry.file_name();
            name == "lock" || Path::new(&name).extension().is_some_and(|end| end == "pct")
        })
    })
}

/// Says in a worker which of how many it is, where it shares its times; `rank` from 0.
pub(crate) fn label(rank: usize, n_workers: usize) {
    let (Ok(rank), Ok(n)) = (u32::try_from(rank), u32::try_from(n_workers)) else { return };
    let above = Label::from_env().text;
    let own = format!("worker {} of {n}", rank + 1);
    let text = if above.is_empty() { own } else { format!("{above}, {own}") };
    let mut label = Label::rank(rank, n);
    label.text = text;
    set_label(&label);
}

/// What every worker is to know before it begins: the rate of the clock, which takes milliseconds
/// to measure.
pub(crate) fn greeting() -> Vec<u8> {
    let rate = times_workers().then(SystemClock::rate_so_far).flatten();
    rate.map_or_else(Vec::new, |rate| rate.to_ne_bytes().to_vec())
}

/// Lets the timers of a worker share their times, before the first of them starts.
pub(crate) fn share(greeting: &[u8]) {
    if let Ok(rate) = greeting.try_into() {
        // A program that has used its clock by now measures the rate itself.
        let _ = SystemClock::expect_rate(f64::from_ne_bytes(rate));
    }
    // The linker may have left out what does so by itself.
    shm_times::activate();
}
