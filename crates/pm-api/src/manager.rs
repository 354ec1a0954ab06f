//! The contract between a user's run and the backend that does it.

use std::fmt::Debug;
use std::ops::Range;

use crate::backend::{Fault, Outputs, Run};
use crate::{LostWorker, Pending, PmError, RunOptions, SerialManager, Task, panics};

/// Spreads the tasks of a run over workers.
///
/// Chosen at run time, usually as a `Box<dyn ParallelManager>` from a
/// [`ManagerRegistry`](crate::ManagerRegistry), and used through [`Scatter`]. Several runs may be
/// open at a time, from several threads.
pub trait ParallelManager: Debug + Send + Sync {
    /// The name that the registry knows it by: `serial`, `threads`.
    fn name(&self) -> &'static str;

    /// The most workers that a run gets; at least 1.
    #[doc(alias = "number_of_worker_processes")]
    fn n_workers(&self) -> usize;

    /// Starts a run; for [`Scatter`], and for managers that hand runs to others.
    ///
    /// # Errors
    ///
    /// [`PmError`] if the run's schedule makes no sense or no worker could be started. Nothing
    /// runs then.
    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError>;
}

/// A run that a backend has started, seen from the caller's side.
///
/// Dropping it ends the run: it cancels the run's token and returns when no worker of the run is
/// at work any more. (A task in this process that neither ends nor asks
/// [`Worker::cancelled`](crate::Worker::cancelled) cannot be ended.)
pub trait Running {
    /// Waits for the next finished chunk; `None` when no worker will finish another one.
    ///
    /// # Errors
    ///
    /// [`PmError`] if the backend itself failed; the run is over then.
    fn next(&mut self) -> Result<Option<Finished>, PmError>;

    /// Lets workers pause when [`Run::buffer`] finished chunks wait for [`next`](Self::next).
    fn bound(&mut self);

    /// Tells, after the last chunk, what else there is to know.
    fn end(&mut self) -> RunEnd;
}

/// A chunk that a worker came to the end of.
#[derive(Debug)]
pub struct Finished {
    /// The tasks of the chunk.
    pub indices: Range<usize>,
    /// The rank of the worker that had it.
    pub worker: Option<usize>,
    /// One output per task, or what went wrong.
    pub outputs: Result<Outputs, Fault>,
}

/// What a backend knows at the end of a run.
#[derive(Debug, Default)]
pub struct RunEnd {
    /// How many workers the run had.
    pub n_workers: usize,
    /// Tasks that nobody started, because the run was cancelled; ascending.
    pub not_started: Vec<Range<usize>>,
    /// Workers that left the run.
    pub lost_workers: Vec<LostWorker>,
}

/// Starting typed runs on any manager, `dyn` or not.
pub trait Scatter: ParallelManager {
    /// Starts a run of task `T`: one output for each of `params`, from models built with `args`.
    ///
    /// Inside a task this runs serially on the thread of the task, whatever the manager: its
    /// workers are taken, and waiting for them would never end.
    ///
    /// ```
    /// # use pm_api::{ParallelManager, Task, TaskError, Worker};
    /// # struct Half;
    /// # impl Task for Half {
    /// #     const NAME: &'static str = "docs::half";
    /// #     type Args = ();
    /// #     type Model = ();
    /// #     type Param = f64;
    /// #     type Output = f64;
    /// #     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> { Ok(()) }
    /// #     fn execute(_: &mut (), p: &[f64], _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
    /// #         Ok(p.iter().map(|p| p / 2.0).collect())
    /// #     }
    /// # }
    /// use pm_api::{RunOptions, Scatter as _, SerialManager};
    ///
    /// let manager: Box<dyn ParallelManager> = Box::new(SerialManager::new());
    /// let pending = manager.scatter::<Half>((), vec![1.0, 3.0], &RunOptions::default())?;
    /// assert_eq!(pending.gather()?.into_complete()?, [0.5, 1.5]);
    /// # Ok::<(), pm_api::PmError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PmError`] if the schedule makes no sense for so many tasks or the workers could not be
    /// started. What goes wrong in tasks comes with the results.
    fn scatter<T: Task>(
        &self,
        args: T::Args,
        params: Vec<T::Param>,
        options: &RunOptions,
    ) -> Result<Pending<T::Output>, PmError> {
        let run = Run::new::<T>(args, params, options);
        let running = if panics::in_task() {
            SerialManager::new().start(run.clone())
        } else {
            self.start(run.clone())
        }?;
        Ok(Pending::new(self.name(), run, running, options.progress.clone()))
    }
}

impl<M: ParallelManager + ?Sized> Scatter for M {}
