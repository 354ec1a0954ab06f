//! What a user writes: a task, and what it is told about the worker that runs it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CancelToken;

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

/// What a task may know about the worker that runs it.
#[derive(Debug)]
pub struct Worker<'a> {
    rank: usize,
    n_workers: usize,
    cancel: &'a CancelToken,
}

impl<'a> Worker<'a> {
    /// Describes worker `rank` of `n_workers` in a run that `cancel` stops; for backends and for
    /// calling a task without a manager.
    #[must_use]
    pub fn new(rank: usize, n_workers: usize, cancel: &'a CancelToken) -> Self {
        Self { rank, n_workers, cancel }
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

    /// Whether somebody asked the run to stop. A task that sees this gives up with
    /// [`TaskError::cancelled`].
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The run's token, for work that the task starts in turn.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        self.cancel
    }
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
