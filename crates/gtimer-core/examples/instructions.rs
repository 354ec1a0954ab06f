//! Runs one operation of the timer often, for valgrind to count its instructions.
//!
//! `cargo xtask instructions` builds it as the benchmarks are built, counts what happens inside of
//! the functions `measured_…`, and compares with the limits: `instructions OPERATION TIMES`. The
//! loop around the operation, some four instructions, is in the count.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program reports to its user")]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use gtimer_core::publish::{MarkedLatch, NodeKind, Place, Position, Publisher};
use gtimer_core::{
    LoopOptions, Settings, Timer, TimerError, Times, enabled, name, stamp, subdivision, thread,
};

/// Others to tell of everything, who listen in this process.
#[derive(Debug, Default)]
struct Listener {
    n_nodes: u32,
}

fn latch() -> MarkedLatch<'static> {
    MarkedLatch::new(Box::leak(Box::default()), Box::leak(Box::default()))
}

impl Publisher for Listener {
    fn armed(&self) -> &'static AtomicU32 {
        static ARMED: AtomicU32 = AtomicU32::new(1);
        &ARMED
    }

    fn forked(&mut self) -> Option<Box<dyn Publisher>> {
        None
    }

    fn add(&mut self, _kind: NodeKind, _name: &str, _parent: Option<u32>) -> Option<Place> {
        self.n_nodes += 1;
        Some(Place { node: self.n_nodes, latch: latch() })
    }

    fn rename(&mut self, _node: u32, _name: &str) {}

    fn set_position(&mut self, _node: u32, _position: Position) {}

    fn begin_merge(&mut self, _from: u32, _into: u32) -> u64 {
        1
    }

    fn end_merge(&mut self) {}

    fn current(&self) -> MarkedLatch<'static> {
        static CURRENT: OnceLock<MarkedLatch<'static>> = OnceLock::new();
        *CURRENT.get_or_init(latch)
    }

    fn set_clock(&mut self, _ticks_per_second: f64, _ticks_now: u64) {}
}

/// Stamps of a pass, which differ. The pass itself begins and ends outside of what is counted.
const PER_PASS: u64 = 8;

/// The operations on a timer that its owner holds.
mod owned {
    use super::{Timer, TimerError, black_box, name};

    /// A stamp that is added to, with all checks.
    #[inline(never)]
    pub(crate) fn measured_stamp(timer: &mut Timer, times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            timer.stamp(name!("a"))?;
        }
        Ok(())
    }

    /// The same where others are told.
    #[inline(never)]
    pub(crate) fn measured_told_stamp(timer: &mut Timer, times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            timer.stamp(name!("told"))?;
        }
        Ok(())
    }

    /// The stamps of a pass.
    #[inline(always)]
    fn pass(timer: &mut Timer) -> Result<(), TimerError> {
        timer.stamp(name!("a"))?;
        timer.stamp(name!("b"))?;
        timer.stamp(name!("c"))?;
        timer.stamp(name!("d"))?;
        timer.stamp(name!("e"))?;
        timer.stamp(name!("f"))?;
        timer.stamp(name!("g"))?;
        timer.stamp(name!("h"))?;
        Ok(())
    }

    /// In a loop that counts, with the shortest and the longest.
    #[inline(never)]
    pub(crate) fn measured_loop_stamp(timer: &mut Timer) -> Result<(), TimerError> {
        pass(timer)
    }

    /// In a loop that also keeps every iteration.
    #[inline(never)]
    pub(crate) fn measured_kept_iteration(timer: &mut Timer) -> Result<(), TimerError> {
        // Two functions that are the same might become one, which has one name.
        black_box(());
        pass(timer)
    }

    /// Begin and end of a subdivision.
    #[inline(never)]
    pub(crate) fn measured_scope(timer: &mut Timer, times: u64) {
        for _ in 0..times {
            let _scope = timer.scope(name!("scope"));
        }
    }

    /// A subdivision with a stamp in it.
    #[inline(never)]
    pub(crate) fn measured_full_scope(timer: &mut Timer, times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            let mut scope = timer.scope(name!("scope"));
            scope.stamp(name!("a"))?;
        }
        Ok(())
    }

    /// A subdivision with a stamp in it, and a stamp after it, which takes it.
    #[inline(never)]
    pub(crate) fn measured_taken_scope(timer: &mut Timer, times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            timer.scope(name!("scope")).stamp(name!("a"))?;
            timer.stamp(name!("b"))?;
        }
        Ok(())
    }
}

/// The operations on the thread's timer.
mod of_thread {
    use super::{TimerError, black_box, stamp, subdivision};

    /// A stamp that is added to, with all checks.
    #[inline(never)]
    pub(crate) fn measured_thread_stamp(times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            stamp!("a")?;
        }
        Ok(())
    }

    /// The same where others are told.
    #[inline(never)]
    pub(crate) fn measured_thread_told_stamp(times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            stamp!("told")?;
        }
        Ok(())
    }

    /// The stamps of a pass.
    #[inline(always)]
    fn pass() -> Result<(), TimerError> {
        stamp!("a")?;
        stamp!("b")?;
        stamp!("c")?;
        stamp!("d")?;
        stamp!("e")?;
        stamp!("f")?;
        stamp!("g")?;
        stamp!("h")?;
        Ok(())
    }

    /// In a loop that counts, with the shortest and the longest.
    #[inline(never)]
    pub(crate) fn measured_thread_loop_stamp() -> Result<(), TimerError> {
        pass()
    }

    /// In a loop that also keeps every iteration.
    #[inline(never)]
    pub(crate) fn measured_thread_kept_iteration() -> Result<(), TimerError> {
        black_box(());
        pass()
    }

    /// Begin and end of a subdivision.
    #[inline(never)]
    pub(crate) fn measured_thread_scope(times: u64) {
        for _ in 0..times {
            let _scope = subdivision!("scope");
        }
    }

    /// A subdivision with a stamp in it.
    #[inline(never)]
    pub(crate) fn measured_thread_full_scope(times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            let _scope = subdivision!("scope");
            stamp!("a")?;
        }
        Ok(())
    }

    /// A subdivision with a stamp in it, and a stamp after it, which takes it.
    #[inline(never)]
    pub(crate) fn measured_thread_taken_scope(times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            {
                let _scope = subdivision!("scope");
                stamp!("a")?;
            }
            stamp!("b")?;
        }
        Ok(())
    }

    /// A stamp where `GTIMER_DISABLE` is set.
    #[inline(never)]
    pub(crate) fn measured_disabled(times: u64) -> Result<(), TimerError> {
        for _ in 0..times {
            stamp!("a")?;
        }
        Ok(())
    }
}

fn loop_options(save_itrs: bool) -> LoopOptions {
    LoopOptions { save_itrs: Some(save_itrs), ..LoopOptions::default() }
}

/// Runs the passes of a loop on a timer of ours.
fn passes(
    timer: &mut Timer,
    save_itrs: bool,
    times: u64,
    pass: fn(&mut Timer) -> Result<(), TimerError>,
) -> Result<(), TimerError> {
    let mut timed = timer.timed_loop(loop_options(save_itrs));
    for _ in 0..times / PER_PASS {
        timed.next_pass()?;
        pass(&mut timed)?;
    }
    timed.exit()
}

/// Runs the passes of a loop on the thread's timer.
fn thread_passes(
    save_itrs: bool,
    times: u64,
    pass: fn() -> Result<(), TimerError>,
) -> Result<(), TimerError> {
    for _ in thread::timed_for(0..times / PER_PASS, loop_options(save_itrs))? {
        pass()?;
    }
    Ok(())
}

/// Does it, and gives the times, from which is seen that it was done.
fn run(operation: &str, times: u64) -> Result<Option<Times>, TimerError> {
    let add = Settings { unique: false, ..Settings::default() };
    let mut timer = Timer::new("root");
    timer.set_settings(add);
    thread::set_settings(add)?;
    match operation {
        "told_stamp" => timer.publish_to(Box::new(Listener::default())),
        "thread_told_stamp" => {
            thread::with(|timer| timer.publish_to(Box::new(Listener::default())))?;
        }
        _ => {}
    }
    match operation {
        "told_stamp" => owned::measured_told_stamp(&mut timer, times)?,
        "thread_told_stamp" => of_thread::measured_thread_told_stamp(times)?,
        "stamp" => owned::measured_stamp(&mut timer, times)?,
        "loop_stamp" => passes(&mut timer, false, times, owned::measured_loop_stamp)?,
        "kept_iteration" => passes(&mut timer, true, times, owned::measured_kept_iteration)?,
        "scope" => owned::measured_scope(&mut timer, times),
        "full_scope" => owned::measured_full_scope(&mut timer, times)?,
        "taken_scope" => owned::measured_taken_scope(&mut timer, times)?,
        "thread_stamp" => of_thread::measured_thread_stamp(times)?,
        "thread_loop_stamp" => thread_passes(false, times, of_thread::measured_thread_loop_stamp)?,
        "thread_kept_iteration" => {
            thread_passes(true, times, of_thread::measured_thread_kept_iteration)?;
        }
        "thread_scope" => of_thread::measured_thread_scope(times),
        "thread_full_scope" => of_thread::measured_thread_full_scope(times)?,
        "thread_taken_scope" => of_thread::measured_thread_taken_scope(times)?,
        "disabled" => of_thread::measured_disabled(times)?,
        _ => return Ok(None),
    }
    let of_thread = operation.starts_with("thread") || operation == "disabled";
    let times = if of_thread { thread::times() } else { timer.times() };
    Ok(Some(times))
}

/// Whether the times are those of an operation that was done so often.
fn is_done(operation: &str, times: u64, found: &Times) -> bool {
    match operation.trim_start_matches("thread_") {
        "disabled" => !enabled() && found.stamps.is_empty(),
        "stamp" | "told_stamp" => found.stamps_sum > 0.0,
        "scope" => found.depth() == 2,
        "full_scope" | "taken_scope" => {
            let below = found.subdivisions.first().and_then(|at| at.timers.first());
            below.is_some_and(|scope| scope.stamps[0].itr_num == times)
        }
        _ => found.stamps.iter().map(|stamp| stamp.itr_num).sum::<u64>() == times,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let times = args.get(1).and_then(|times| times.parse().ok());
    let (Some(operation), Some(times)) = (args.first(), times) else {
        println!("instructions OPERATION TIMES");
        return ExitCode::from(2);
    };
    match run(operation, times) {
        Ok(Some(found)) if is_done(operation, times, &found) => ExitCode::SUCCESS,
        Ok(Some(_)) => {
            println!("{operation} was not done {times} times");
            ExitCode::FAILURE
        }
        Ok(None) => {
            println!("no operation is called {operation}");
            ExitCode::FAILURE
        }
        Err(e) => {
            println!("{e}");
            ExitCode::FAILURE
        }
    }
}
