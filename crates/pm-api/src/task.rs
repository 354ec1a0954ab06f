//! What a user writes: a task, and what it is told about the worker that runs it.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CancelToken;
use crate::peers::{ALONE, Peers};

/// One kind of work: a model built once per worker, and outputs computed from parameters with it.
///
/// The implementing type is only a name for the work and is never made; what varies between runs
/// goes into `Args`. Everything that may have to travel to another process is serialisable; the
/// model stays where it was built, so it may hold open files, plans and `Rc`s.
///
/// The output of a parameter must not depend on which other parameters share its chunk, nor on
/// the worker: then results are the same to the bit for every manager, schedule and size.
///
/// ```
/// use pm_api::{Task, TaskError, Worker};
///
/// struct Power;
///
/// impl Task for Power {
///     const NAME: &'static str = "docs::power";
///     type Args = i32; // the exponent
///     type Model = i32;
///     type Param = f64;
///     type Output = f64;
///
///     fn build(exponent: &i32, _: &Worker<'_>) -> Result<i32, TaskError> {
///         Ok(*exponent)
///     }
///     fn execute(exponent: &mut i32, bases: &[f64], _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
///         Ok(bases.iter().map(|base| base.powi(*exponent)).collect())
///     }
/// }
/// ```
#[doc(alias = "parallelActor")]
pub trait Task: 'static {
    /// A name no other task of the program has, like `my_crate::sweep`; managers that work in
    /// other processes find the task by it there.
    const NAME: &'static str;
    /// What every worker needs to build its model; the same for the whole run.
    #[doc(alias = "do_build_kwargs")]
    type Args: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What a worker keeps between chunks. Never leaves its thread.
    type Model: 'static;
    /// The input of one task.
    type Param: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The result of one task.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Builds the model of one worker, in the worker, before its first chunk.
    ///
    /// # Errors
    ///
    /// What the task cannot start without. The worker then leaves the run and its chunk goes to
    /// another one; only when no worker is left do tasks fail.
    #[doc(alias = "do_build")]
    fn build(args: &Self::Args, worker: &Worker<'_>) -> Result<Self::Model, TaskError>;

    /// Computes the outputs of one chunk: one per parameter, in their order.
    ///
    /// `params` is never empty.
    ///
    /// # Errors
    ///
    /// What stopped it; the whole chunk then counts as failed, and the run goes on. To lose one
    /// parameter and not its neighbours in the chunk, let the `Output` itself be a `Result`.
    #[doc(alias = "do_execute")]
    fn execute(
        model: &mut Self::Model,
        params: &[Self::Param],
        worker: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError>;
}

/// What a task may know about the worker that runs it, and about the chunk that it runs.
#[derive(Debug)]
pub struct Worker<'a> {
    rank: usize,
    n_workers: usize,
    cancel: &'a CancelToken,
    peers: &'a dyn Peers,
    indices: Range<usize>,
    run_seed: u64,
    attempt: u32,
    deadline: Option<Instant>,
}

impl<'a> Worker<'a> {
    /// Describes worker `rank` of `n_workers` in a run that `cancel` stops, alone in its group and
    /// without a chunk; for backends and for calling a task without a manager.
    #[must_use]
    pub fn new(rank: usize, n_workers: usize, cancel: &'a CancelToken) -> Self {
        Self {
            rank,
            n_workers,
            cancel,
            peers: &ALONE,
            indices: 0..0,
            run_seed: 0,
            attempt: 0,
            deadline: None,
        }
    }

    /// Puts it into the group of the run's workers.
    #[must_use]
    pub fn with_peers(self, peers: &'a dyn Peers) -> Self {
        Self { peers, ..self }
    }

    /// Gives it the chunk of tasks `indices`, for the `attempt`-th time, the first being 1.
    #[must_use]
    pub fn with_chunk(self, indices: Range<usize>, attempt: u32) -> Self {
        Self { indices, attempt, ..self }
    }

    /// Sets the seed of the run.
    #[must_use]
    pub fn with_run_seed(self, run_seed: u64) -> Self {
        Self { run_seed, ..self }
    }

    /// Sets when its time for the chunk is over.
    #[must_use]
    pub fn with_deadline(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// The number of this worker in its run, `0..n_workers`.
    #[doc(alias = "get_rank")]
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many workers the run has; never more than it has chunks.
    #[doc(alias = "number_of_worker_processes")]
    #[must_use]
    pub fn n_workers(&self) -> usize {
        self.n_workers
    }

    /// The workers of this run as a group that talks to each other.
    ///
    /// A collective needs every member. In an [`Spmd`](crate::Spmd) function that is what is
    /// written; in a [`Task`] it holds if every worker gets as many chunks as the others, as with
    /// [`Schedule::Static`](crate::Schedule::Static). A worker leaves the group when it has to wait
    /// for tasks or has none any more, and when a chunk of its fails.
    #[must_use]
    pub fn peers(&self) -> &'a dyn Peers {
        self.peers
    }

    /// The tasks of this chunk, by their place in the parameters; empty while building.
    #[must_use]
    pub fn indices(&self) -> Range<usize> {
        self.indices.clone()
    }

    /// A seed for the random numbers of task `idx`: of [`RunOptions::seed`](crate::RunOptions) and
    /// the index alone, so the same on every backend, worker, schedule and attempt.
    ///
    /// ```
    /// # use pm_api::{CancelToken, Worker};
    /// # let cancel = CancelToken::new();
    /// # let worker = Worker::new(0, 1, &cancel).with_chunk(4..6, 1);
    /// let seeds: Vec<u64> = worker.indices().map(|idx| worker.seed(idx)).collect();
    /// assert_eq!(seeds, [pm_api::seed(0, 4), pm_api::seed(0, 5)]);
    /// ```
    #[must_use]
    pub fn seed(&self, idx: usize) -> u64 {
        seed(self.run_seed, idx)
    }

    /// How often the tasks of this chunk were begun, this time included; 0 while building.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether to stop: somebody asked the run to, or the time for the chunk is over. A task that
    /// sees this gives up with [`TaskError::cancelled`].
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// The run's token, for work that the task starts in turn. It knows nothing of the time for
    /// the chunk.
    #[must_use]
    pub fn cancel_token(&self) -> &'a CancelToken {
        self.cancel
    }
}

/// The seed of task `idx` in a run of seed `run_seed`: the `idx`-th output of SplitMix64 (Steele,
/// Lea and Flood, 2014) seeded with the first output for `run_seed`.
#[must_use]
pub fn seed(run_seed: u64, idx: usize) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64| {
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let start = mix(run_seed.wrapping_add(STEP));
    mix(start.wrapping_add(STEP.wrapping_mul((idx as u64).wrapping_add(1))))
}

/// Why a task failed: any error, kept with its sources, or a message.
///
/// Like the error types of application libraries this is itself no [`Error`], so that `?` converts
/// every error into it. Once it is in a [`Failure`](crate::Failure) it can be used as one.
#[derive(Clone)]
pub struct TaskError {
    pub(crate) cancelled: bool,
    pub(crate) error: Arc<dyn Error + Send + Sync>,
}

/// An error that is only a message, and perhaps a cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Message {
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TaskError {
    /// Makes an error from a message alone: lower case, no full stop, the values inside.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Message { message: message.into(), source: None }.into()
    }

    /// Makes an error that says in `message` what was being done when `source` came up.
    #[must_use]
    pub fn with_source(
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Message { message: message.into(), source: Some(source.into()) }.into()
    }

    /// Says that the task stopped because its run was cancelled, which is no fault of its own.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::new("the task stopped because its run was cancelled") }
    }

    /// The error itself, with its sources; to look for a type with `downcast_ref`.
    #[must_use]
    pub fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self { cancelled: false, error: Arc::new(error) }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation for seed 1234567.
    #[test]
    fn seeds_are_those_of_splitmix64() {
        assert_eq!(seed_of_stream(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(seed_of_stream(1_234_567, 1), 3_203_168_211_198_807_973);
        let mut all: Vec<u64> =
            (0..1000).flat_map(|run| (0..10).map(move |i| seed(run, i))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }

    /// Output `n` of SplitMix64 with this seed.
    fn seed_of_stream(start: u64, n: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = start.wrapping_add(STEP.wrapping_mul(n + 1));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn seeds_are_what_is_documented() {
        for (run, idx) in [(0, 0), (7, 3), (u64::MAX, 1000)] {
            assert_eq!(seed(run, idx), seed_of_stream(seed_of_stream(run, 0), idx as u64));
        }
    }
}
