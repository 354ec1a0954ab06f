//! How a run is divided, watched and stopped.

use std::fmt;
use std::sync::Arc;

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
    /// 1 µs about a thousand at a time.
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
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Tasks that gave their output.
    pub n_done: usize,
    /// Tasks that failed; cancelled ones are not counted.
    pub n_failed: usize,
    /// Tasks of the run.
    pub n_tasks: usize,
}

impl Progress {
    /// Tasks that came to an end, well or badly; `n_tasks` at the end of a run that nobody stops.
    #[must_use]
    pub fn n_ended(&self) -> usize {
        self.n_done + self.n_failed
    }
}

/// What [`RunOptions::progress`] calls.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// What may be said about a run beyond its task and parameters; the default says nothing.
///
/// ```
/// use pm_api::{CancelToken, RunOptions, Schedule};
///
/// let token = CancelToken::new();
/// let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 4 }).cancel(&token);
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
    pub fn progress(self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// Limits how many finished chunks may wait for the caller; 0 counts as 1.
    #[must_use]
    pub fn buffer(self, n_chunks: usize) -> Self {
        Self { buffer: Some(n_chunks), ..self }
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("schedule", &self.schedule)
            .field("cancel", &self.cancel)
            .field("progress", &self.progress.is_some())
            .field("buffer", &self.buffer)
            .finish()
    }
}
