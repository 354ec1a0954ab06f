//! What the tests share: a session that goes away, a publisher, and processes to run in.
#![allow(dead_code, reason = "no test file uses all of it")]

#[path = "../../../../tests/src/skips.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is part of a library")]
pub(crate) mod skips;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gtimer_core::publish::{NodeKind, Place, Publisher, Values};
use gtimer_core::{StampTimes, Times};
use shm_times::{ProcessTimes, SESSION_VARIABLE, Session, publish_in};

/// Ticks of the clock in a second: so that seconds hold them exactly.
pub(crate) const RATE: f64 = (1_u64 << 20) as f64;

/// A session that is ended when the test is over, however it ends.
pub(crate) struct Scratch(pub(crate) Session);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(Session::create_in(Path::new("/dev/shm/polychron-tests")).expect("tmpfs at /dev/shm"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.clone().end();
        let _ = std::fs::remove_dir("/dev/shm/polychron-tests");
    }
}

/// A publisher with its clock set, and its root.
pub(crate) fn begin(session: &Session) -> (Box<dyn Publisher>, Place) {
    root_of(publish_in(session).expect("there is room"))
}

pub(crate) fn root_of(mut publisher: Box<dyn Publisher>) -> (Box<dyn Publisher>, Place) {
    publisher.set_clock(RATE, 0);
    let root = publisher.add(NodeKind::Root, "root", None).expect("there is room");
    (publisher, root)
}

/// Publishes a stamp of `num` iterations of three ticks each.
pub(crate) fn stamped(stamp: &Place, num: u64) {
    stamp.latch.publish(Values { ticks: 3 * num, num, min: 3, max: 3, last: num, epoch: 0 });
}

/// The iterations of all stamps in a tree.
pub(crate) fn iterations(times: &Times) -> u64 {
    let own: u64 = times.stamps.iter().map(|stamp| stamp.itr_num).sum();
    own + times.subdivisions.iter().flat_map(|at| &at.timers).map(iterations).sum::<u64>()
}

pub(crate) fn iterations_of(process: &ProcessTimes) -> u64 {
    process.lanes.iter().map(|lane| iterations(&lane.times)).sum()
}

/// The only process of a session.
pub(crate) fn only(session: &Session) -> ProcessTimes {
    let mut snapshot = session.snapshot().expect("readable");
    assert_eq!(snapshot.processes.len(), 1, "{snapshot:?}");
    snapshot.processes.remove(0)
}

/// This test program again, in a session, to do what `role` says: the test `as_child`.
pub(crate) fn child(session: &Session, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("known"));
    command
        .args(["--exact", "as_child", "--nocapture", "--test-threads=1"])
        .env(SESSION_VARIABLE, session.dir())
        .env("SHM_TIMES_ROLE", role);
    command
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen in 30 s");
        std::thread::yield_now();
    }
}

/// Waits for a process, not for ever.
pub(crate) fn ended(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    until("the end of a process", || {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    status.expect("it ended")
}

/// The stamp of a path, as a histogram has it: timers, in turns with what they belong to.
pub(crate) fn stamp_at<'a>(times: &'a Times, path: &[String]) -> &'a StampTimes {
    let mut times = times;
    for below in path[1..].chunks_exact(2) {
        let at = times.subdivisions.iter().find(|at| at.position == below[0]);
        let timers = at.map_or(&[][..], |at| &at.timers);
        times = timers.iter().find(|timer| timer.name == below[1]).expect("a timer of the path");
    }
    let stamp = path.last().expect("a path ends with a stamp");
    times.stamps.iter().find(|other| other.name == *stamp).expect("a stamp of the path")
}
