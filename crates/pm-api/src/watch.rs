//! Being told when workers begin and end, for timers.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// Is told of every run of the program, so that what its workers do can be timed without a line
/// in the tasks.
///
/// One observer serves the whole program; it is set once, by [`set_observer`], at its start, and
/// in programs whose workers are processes there too. Where none is set, and this crate has its
/// feature `times`, workers are timed by gtimer-core's timer of their thread, and the times of a
/// run's workers are attached to the timer of the thread that gathers.
pub trait RunObserver: Send + Sync {
    /// Tells that a run of task `task` with `n_workers` workers begins. Called on the thread that
    /// starts the run; in a process that has one worker of it, on that worker's thread.
    fn run_started(&self, task: &str, n_workers: usize) -> Arc<dyn RunWatch>;
}

/// Is told of the workers of one run.
pub trait RunWatch: Send + Sync {
    /// Tells that worker `rank` begins, on its thread. What comes back is ended on the same
    /// thread, when the worker has no more to do.
    fn worker_started(&self, rank: usize) -> Box<dyn WorkerWatch>;

    /// Hands over, where the run was started, what [`WorkerWatch::ended`] gave for worker `rank`.
    /// A worker that was replaced after it was lost reports again under the same rank. One that
    /// was killed does not report; its backend may, what others could see of it.
    fn worker_reported(&self, rank: usize, report: Vec<u8>);

    /// Tells that no more reports come. Called once on the thread that gathers or drops the run.
    fn run_ended(&self);
}

/// Is told of the end of one worker.
pub trait WorkerWatch {
    /// Ends it; what it has to report, if anything, in an encoding of the observer's own.
    fn ended(self: Box<Self>) -> Option<Vec<u8>>;
}

static OBSERVER: OnceLock<Box<dyn RunObserver>> = OnceLock::new();

/// Lets `observer` be told of every run that begins from now on.
///
/// # Errors
///
/// The observer itself, when the program has one already.
pub fn set_observer(observer: Box<dyn RunObserver>) -> Result<(), Box<dyn RunObserver>> {
    OBSERVER.set(observer)
}

/// Whether an observer was set.
#[cfg(feature = "times")]
pub(crate) fn is_set() -> bool {
    OBSERVER.get().is_some()
}

/// The watch of a run that begins, if the program has an observer.
///
/// For backends with workers elsewhere: they begin the worker's watch there by this.
#[must_use]
pub fn run_started(task: &str, n_workers: usize) -> Option<Arc<dyn RunWatch>> {
    begin(task, n_workers, true)
}

/// The watch of a run that begins, which has its workers `elsewhere` or on the threads of this
/// process.
pub(crate) fn begin(task: &str, n_workers: usize, elsewhere: bool) -> Option<Arc<dyn RunWatch>> {
    match OBSERVER.get() {
        Some(observer) => Some(observer.run_started(task, n_workers)),
        #[cfg(feature = "times")]
        None => crate::times::run_started(task, n_workers, elsewhere),
        #[cfg(not(feature = "times"))]
        None => {
            let _ = elsewhere;
            None
        }
    }
}

impl fmt::Debug for dyn RunObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunObserver")
    }
}
