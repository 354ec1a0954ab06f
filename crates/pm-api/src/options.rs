//! How a run is divided, watched and stopped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::CancelToken;

/// How the tasks of a run are cut into chunks and handed to workers.
///
/// The results are the same for all of them; they differ in balance and in cost per task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// A worker takes the next chunk when it is free. Chunks start with one task, double while
    /// one takes less than 1 ms, halve when one takes more than 8 ms, and never hold more than
    /// `ceil(remaining / (2 * workers))` tasks. So tasks of 50 ms run one at a time, and tasks of
    /// 1 µs about a thousand at a time. When tasks have a [time limit](RunOptions::timeout), chunks
    /// have one task.
    #[default]
    Auto,
    /// One block of neighbouring tasks per worker, as `numpy.array_split` cuts them.
    Static,
    /// Worker `r` of `w` does tasks `r, r + w, r + 2 w, ..`, each a chunk of its own.
    Strided,
    /// A worker takes the next `chunk` tasks when it is free.
    Dynamic {
        /// Tasks per chunk, at least 1.
        chunk: usize,
    },
    /// A worker takes `ceil(remaining / (2 * workers))` tasks when it is free, but at least `min`.
    Guided {
        /// The fewest tasks per chunk, at least 1; the last chunk may be shorter.
        min: usize,
    },
    /// One block of neighbouring tasks per worker, cut so that the dearest block is as cheap as
    /// it can be. One cost per task, in any unit; whole microseconds serve well.
    Weighted(Arc<[u64]>),
    /// Task `r` on worker `r`, one each and all at once, on as many workers as the manager has;
    /// there must be as many tasks. Nobody does the task of another, and none is tried again. This
    /// is how [`Spmd`](crate::Spmd) functions are run.
    EachWorker,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Tasks that gave their output.
    pub n_done: usize,
    /// Tasks that failed; cancelled ones are not counted.
    pub n_failed: usize,
    /// Tasks of the run.
    pub n_tasks: usize,
    /// How long ago the run was started.
    pub elapsed: Duration,
    /// What each worker did so far, by rank; as long as the highest rank that reported demands.
    pub workers: Vec<WorkerProgress>,
}

/// What one worker of a run did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerProgress {
    /// Tasks that gave their output.
    pub n_done: usize,
    /// Tasks that failed.
    pub n_failed: usize,
    /// How long it computed them; waiting and building are not counted.
    pub busy: Duration,
}

impl WorkerProgress {
    /// Tasks that it ended, well or badly, per second of computing; `None` before the first.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        rate(self.n_done + self.n_failed, self.busy)
    }
}

impl Progress {
    /// Tasks that came to an end, well or badly; `n_tasks` at the end of a run that nobody stops.
    #[must_use]
    pub fn n_ended(&self) -> usize {
        self.n_done + self.n_failed
    }

    /// Tasks that all workers together ended per second since the start; `None` before the first.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        rate(self.n_ended(), self.elapsed)
    }

    /// How long the rest will take at the rate so far; `None` before the first task ended.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let n_left = self.n_tasks.saturating_sub(self.n_ended());
        Duration::try_from_secs_f64(n_left as f64 / self.rate_hz()?).ok()
    }
}

fn rate(n: usize, time: Duration) -> Option<f64> {
    (n > 0 && !time.is_zero()).then(|| n as f64 / time.as_secs_f64())
}

/// What [`RunOptions::progress`] calls.
pub type ProgressFn = Arc<dyn Fn(&Progress) + Send + Sync>;

/// What becomes of a run when a task fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnError {
    /// The run goes on; failures are among the results.
    #[default]
    Collect,
    /// The run is cancelled, so that what was not begun is not; what is there is kept.
    Stop,
}

/// What may be said about a run beyond its task and parameters; the default says nothing.
///
/// ```
/// use std::time::Duration;
///
/// use pm_api::{CancelToken, RunOptions, Schedule};
///
/// let token = CancelToken::new();
/// let options = RunOptions::default()
///     .schedule(Schedule::Dynamic { chunk: 4 })
///     .cancel(&token)
///     .retries(2)
///     .timeout(Duration::from_secs(60));
/// assert_eq!(options.schedule, Schedule::Dynamic { chunk: 4 });
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// How the tasks are cut into chunks and handed to workers.
    pub schedule: Schedule,
    /// Stops the run when it is cancelled.
    pub cancel: CancelToken,
    /// Called on the thread that gathers, after every chunk that reached it; never twice at a
    /// time. `n_ended` only grows, and reaches `n_tasks` exactly once if nobody stops the run.
    pub progress: Option<ProgressFn>,
    /// How many finished chunks may wait for [`Pending::for_each`](crate::Pending::for_each)
    /// before workers pause; two per worker if `None`. Gathering has no such limit.
    pub buffer: Option<usize>,
    /// What [`Worker::seed`](crate::Worker::seed) derives the seeds of tasks from.
    pub seed: u64,
    /// How long a task may take; a chunk has this times its tasks. Building is not limited.
    ///
    /// A task that asks [`Worker::cancelled`](crate::Worker::cancelled) hears of it. One that does
    /// not is ended with its process, where workers are processes. On threads, which nobody can
    /// end, it is reported as [`FailureKind::Timeout`](crate::FailureKind::Timeout) and left alone
    /// a moment later: its thread computes on for nobody, another one takes its place, and it is
    /// among [`RunSummary::lost_workers`](crate::RunSummary). The serial manager can only wait.
    /// What comes after the time is over is a timeout too, even if it is right.
    pub timeout: Option<Duration>,
    /// How often a task that failed is tried again when it is alone in its chunk. Any failure
    /// counts but cancellation, and models that cannot be built.
    ///
    /// A chunk of several tasks that failed is halved, and the halves are tried again, until the
    /// task that is to blame stands alone; its neighbours succeed. This is not counted as a retry,
    /// but in [`Failure::attempts`](crate::Failure::attempts).
    pub retries: u32,
    /// Halves chunks that failed as described at [`retries`](Self::retries), also when there are
    /// none: a failure then always concerns one task.
    pub isolate: bool,
    /// How long to wait before a retry; twice as long before each further one of the same task,
    /// up to 1024 times.
    pub backoff: Duration,
    /// After how many crashes of workers ([`FailureKind::is_crash`](crate::FailureKind::is_crash))
    /// in this run nothing that crashes is tried again; no limit if `None`.
    pub crash_limit: Option<u32>,
    /// What becomes of the run when a task fails for good.
    pub on_error: OnError,
}

impl RunOptions {
    /// Sets how the tasks are cut into chunks and handed to workers.
    #[must_use]
    pub fn schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// Lets `token` stop the run.
    #[must_use]
    pub fn cancel(self, token: &CancelToken) -> Self {
        Self { cancel: token.clone(), ..self }
    }

    /// Lets `progress` be told after every chunk how far the run is.
    #[must_use]
    pub fn progress(self, progress: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// Limits how many finished chunks may wait for the caller; 0 counts as 1.
    #[must_use]
    pub fn buffer(self, n_chunks: usize) -> Self {
        Self { buffer: Some(n_chunks), ..self }
    }

    /// Sets what the seeds of tasks are derived from.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Limits how long a task may take.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Tries tasks that failed again, so many times.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// Halves chunks that failed until a failure concerns one task.
    #[must_use]
    pub fn isolate(self) -> Self {
        Self { isolate: true, ..self }
    }

    /// Sets how long to wait before the first retry of a task.
    #[must_use]
    pub fn backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// Sets after how many crashes nothing that crashes is tried again.
    #[must_use]
    pub fn crash_limit(self, n_crashes: u32) -> Self {
        Self { crash_limit: Some(n_crashes), ..self }
    }

    /// Cancels the run at the first failure.
    #[must_use]
    pub fn stop_on_error(self) -> Self {
        Self { on_error: OnError::Stop, ..self }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("schedule", &self.schedule)
            .field("cancel", &self.cancel)
            .field("progress", &self.progress.is_some())
            .field("buffer", &self.buffer)
            .field("seed", &self.seed)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("isolate", &self.isolate)
            .field("backoff", &self.backoff)
            .field("crash_limit", &self.crash_limit)
            .field("on_error", &self.on_error)
            .finish()
    }
}
