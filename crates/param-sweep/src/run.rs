//! Running a task on the points of a sweep.

use jobdiv::Job;
use pm_api::{FailureKind, Gathered, ParallelManager, RunOptions, Scatter as _, Task, TaskError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::columns::columns;
use crate::{Design, Row, RowFailure, SweepError, Table};

impl Design {
    /// Runs a task on every point: a model is built once per worker from `args`, then executes many.
    ///
    /// The task's parameter is made of a point as [`point`](Self::point) says, its output becomes columns:
    /// a struct one for each field. A point that fails is a row that says so, and costs no other row.
    /// The table is the same for every manager, number of workers and schedule.
    ///
    /// ```
    /// use param_sweep::Sweep;
    /// use pm_api::{RunOptions, SerialManager, Task, TaskError, Worker};
    ///
    /// struct Ohm;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Circuit {
    ///     volt: f64,
    ///     ohm: f64,
    /// }
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Flow {
    ///     ampere: f64,
    /// }
    ///
    /// impl Task for Ohm {
    ///     const NAME: &'static str = "docs::ohm";
    ///     type Args = ();
    ///     type Model = ();
    ///     type Param = Circuit;
    ///     type Output = Flow;
    ///
    ///     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> {
    ///         Ok(())
    ///     }
    ///     fn execute(_: &mut (), all: &[Circuit], _: &Worker<'_>) -> Result<Vec<Flow>, TaskError> {
    ///         let one = |circuit: &Circuit| match circuit.ohm {
    ///             0.0 => Err(TaskError::new("a short circuit")),
    ///             ohm => Ok(Flow { ampere: circuit.volt / ohm }),
    ///         };
    ///         all.iter().map(one).collect()
    ///     }
    /// }
    ///
    /// let design = Sweep::new().linear("volt", 1.0, 3.0, 3).list("ohm", [0.0, 2.0]).design()?;
    /// let table = design.run::<Ohm>(&SerialManager::new(), (), &RunOptions::default())?;
    /// assert_eq!(table.max("ampere").unwrap().index, 5);
    /// assert_eq!(table.failures().count(), 3);
    /// assert!(table.to_csv().starts_with(
    ///     "index,volt,ohm,status,ampere,error\n\
    ///      0,1.0,0.0,error,,a short circuit\n\
    ///      1,1.0,2.0,ok,0.5,\n"
    /// ));
    /// # Ok::<(), param_sweep::SweepError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SweepError::Point`] and [`SweepError::Output`] if points or outputs do not fit the task,
    /// [`SweepError::Manager`] if the manager fails.
    pub fn run<T: Task>(
        &self,
        manager: &dyn ParallelManager,
        args: T::Args,
        options: &RunOptions,
    ) -> Result<Table, SweepError> {
        self.run_job::<T>(Job::WHOLE, manager, args, options)
    }

    /// As [`run`](Self::run), on every `N`-th point only; [`Table::merge`] puts the parts together.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_job<T: Task>(
        &self,
        job: Job,
        manager: &dyn ParallelManager,
        args: T::Args,
        options: &RunOptions,
    ) -> Result<Table, SweepError> {
        let points = self.points_of::<T::Param>(job)?;
        // A failure then concerns one point.
        let options = options.clone().isolate();
        let gathered = manager.scatter::<T>(args, points, &options)?.gather()?;
        self.table(job, gathered)
    }

    /// As [`run`](Self::run), with the two plain functions of a task that `pm_api::task!` registered.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_fn<B, X, A, M, P, O, E, F>(
        &self,
        manager: &dyn ParallelManager,
        build: B,
        args: A,
        execute: X,
        options: &RunOptions,
    ) -> Result<Table, SweepError>
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
        let points = self.points_of::<P>(Job::WHOLE)?;
        let options = options.clone().isolate();
        let gathered = manager.scatter_fn(build, args, execute, points, &options)?.gather()?;
        self.table(Job::WHOLE, gathered)
    }

    fn points_of<P: DeserializeOwned>(&self, job: Job) -> Result<Vec<P>, SweepError> {
        job.tasks(self.len()).map(|index| self.point(index)).collect()
    }

    fn table<O: Serialize>(&self, job: Job, gathered: Gathered<O>) -> Result<Table, SweepError> {
        let mut indices = job.tasks(self.len());
        let mut rows = Vec::new();
        // Chunks ascend, and hold every task once.
        for chunk in gathered.into_chunks() {
            let n = chunk.indices.len();
            let outcomes: Vec<Result<Vec<_>, RowFailure>> = match chunk.outputs {
                Ok(outputs) => {
                    let at = indices.clone();
                    let fit = |(output, index)| {
                        columns(output)
                            .map_err(|e| SweepError::Output { index, reason: e.to_string() })
                    };
                    let fitted = outputs.iter().zip(at).map(fit);
                    fitted.map(|columns| columns.map(Ok)).collect::<Result<_, _>>()?
                }
                Err(failure) => {
                    let worker = failure.worker;
                    let failure =
                        RowFailure { kind: kind(failure.kind), message: failure.message, worker };
                    vec![Err(failure); n]
                }
            };
            for (outcome, index) in outcomes.into_iter().zip(indices.by_ref().take(n)) {
                let parameters = self.values(index).unwrap_or_default();
                rows.push(Row { index, parameters, outcome });
            }
        }
        Table::new(self.names().map(str::to_owned).collect(), rows)
    }
}

/// A kind of failure in a word or two, as tables have it.
#[must_use]
pub fn kind(kind: FailureKind) -> String {
    match kind {
        FailureKind::Build => "build".to_owned(),
        FailureKind::Panic => "panic".to_owned(),
        FailureKind::Error => "error".to_owned(),
        FailureKind::Arity => "arity".to_owned(),
        FailureKind::Killed { signal } => format!("signal {signal}"),
        FailureKind::Exited { code } => format!("exit {code}"),
        FailureKind::Timeout => "timeout".to_owned(),
        FailureKind::Cancelled => "cancelled".to_owned(),
        FailureKind::Encode => "encode".to_owned(),
        FailureKind::Decode => "decode".to_owned(),
        _ => "lost".to_owned(),
    }
}
