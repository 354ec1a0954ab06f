//! The contract between a user's run and the backend that does it.

use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Fault, Outputs, Run};
use crate::spmd::SpmdTask;
use crate::tasks::tasks;
use crate::work::{Of, Plain};
use crate::{LostWorker, Pending, PmError, RunOptions, Schedule, SerialManager};
use crate::{Spmd, Task, TaskError, panics};

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
/// [`close`](Self::close) is called once at its end, whatever came before, and then it is dropped.
pub trait Running {
    /// Waits for the next finished chunk; `None` when no worker will finish another one.
    ///
    /// # Errors
    ///
    /// [`PmError`] if the backend itself failed; the run is over then.
    fn next(&mut self) -> Result<Option<Finished>, PmError>;

    /// Lets workers pause when [`Run::buffer`] finished chunks wait for [`next`](Self::next).
    fn bound(&mut self);

    /// Says that the caller does nothing with a chunk before the run is over, so that it need not
    /// be woken for each.
    fn whole(&mut self) {}

    /// Tells, after the last chunk, what else there is to know.
    fn end(&mut self) -> RunEnd;

    /// Ends the run, whose token is cancelled: drops what comes, and returns when no worker of the
    /// run is at work any more. (A task in this process that neither ends nor asks
    /// [`Worker::cancelled`](crate::Worker::cancelled) cannot be ended, and is waited for, unless
    /// its [time](crate::RunOptions::timeout) was over and it was left alone.)
    fn close(&mut self);
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
    /// How often the tasks were begun.
    pub attempts: u32,
    /// How long they were computed, the last time.
    pub took: Duration,
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
        let run = Run::new(Of::<T>::new(), args, params, options);
        start(self, run, options)
    }

    /// As [`scatter`](Self::scatter), of two plain functions: `build` makes a model of `args` in
    /// each worker, and `execute` computes the outputs of some parameters with it, as many as there
    /// are parameters.
    ///
    /// Managers whose workers are other processes need the two registered once, by
    /// [`task!`](crate::task); for others that does no harm.
    ///
    /// ```
    /// use pm_api::{RunOptions, Scatter as _, SerialManager, TaskError};
    ///
    /// fn do_build(base: &f64) -> Result<f64, TaskError> {
    ///     Ok(base.ln())
    /// }
    ///
    /// fn do_execute(ln_base: &mut f64, values: &[f64]) -> Result<Vec<f64>, TaskError> {
    ///     Ok(values.iter().map(|value| value.ln() / *ln_base).collect())
    /// }
    ///
    /// pm_api::task!(LOGARITHM: build = do_build, execute = do_execute);
    ///
    /// # fn main() -> Result<(), pm_api::PmError> {
    /// let manager = SerialManager::new();
    /// let pending =
    ///     manager.scatter_fn(do_build, 2.0, do_execute, vec![1.0, 8.0], &RunOptions::default())?;
    /// assert_eq!(pending.gather()?.into_complete()?, [0.0, 3.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`scatter`](Self::scatter), and [`PmError::NotRegistered`] where that is needed.
    fn scatter_fn<A, M, P, O, E, F, B, X>(
        &self,
        build: B,
        args: A,
        execute: X,
        params: Vec<P>,
        options: &RunOptions,
    ) -> Result<Pending<O>, PmError>
    where
        B: Fn(&A) -> Result<M, E> + Send + Sync + 'static,
        X: Fn(&mut M, &[P]) -> Result<Vec<O>, F> + Send + Sync + 'static,
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        M: 'static,
        P: Serialize + DeserializeOwned + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
        E: Into<TaskError> + 'static,
        F: Into<TaskError> + 'static,
    {
        type Named<B, X, A, M, P, O, E, F> = Plain<B, X, (A, M, P, O, E, F)>;
        let key = Named::<B, X, A, M, P, O, E, F>::key();
        let registered = tasks()?.name_of(key);
        let name = registered.unwrap_or_else(Named::<B, X, A, M, P, O, E, F>::type_name);
        let work = Named::<B, X, A, M, P, O, E, F>::new(name, build, execute);
        start(self, Run::new(work, args, params, options), options)
    }

    /// Runs an [`Spmd`] function on every worker of the manager, all at once; the outputs by rank.
    ///
    /// Inside a task there is one rank.
    ///
    /// # Errors
    ///
    /// [`PmError`] as for [`scatter`](Self::scatter), and [`PmError::Failed`] if a rank failed.
    fn run<S: Spmd>(&self, args: S::Args) -> Result<Vec<S::Output>, PmError> {
        self.start_spmd::<S>(args, &RunOptions::default())?.gather()?.into_complete()
    }

    /// Starts an [`Spmd`] function on every worker of the manager, all at once. The schedule and
    /// what is said of trying again in `options` do not apply.
    ///
    /// # Errors
    ///
    /// [`PmError`] if the workers could not be started.
    fn start_spmd<S: Spmd>(
        &self,
        args: S::Args,
        options: &RunOptions,
    ) -> Result<Pending<S::Output>, PmError> {
        let n_ranks = if panics::in_task() { 1 } else { self.n_workers() };
        let options = options.clone().schedule(Schedule::EachWorker);
        self.scatter::<SpmdTask<S>>(args, vec![(); n_ranks], &options)
    }
}

fn start<O: 'static>(
    manager: &(impl ParallelManager + ?Sized),
    run: Run,
    options: &RunOptions,
) -> Result<Pending<O>, PmError> {
    let running = if panics::in_task() {
        SerialManager::new().start(run.clone())
    } else {
        manager.start(run.clone())
    }?;
    Ok(Pending::new(manager.name(), run, running, options))
}

impl<M: ParallelManager + ?Sized> Scatter for M {}
