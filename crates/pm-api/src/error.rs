//! Why a run could not be started or finished.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::Failure;

/// Why a manager could not be made, or could not start or finish a run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PmError {
    /// This build has no manager of that name.
    #[error("no manager is called {name:?} here; this build has {}", known.join(", "))]
    UnknownManager {
        /// What was asked for.
        name: String,
        /// The names that would have worked, aliases not among them.
        known: Vec<String>,
    },
    /// A manager was asked for with no workers.
    #[error("manager {manager:?} needs at least 1 worker, not 0")]
    NoWorkers {
        /// The manager's name.
        manager: &'static str,
    },
    /// A manager could not get what its workers run on.
    #[error("could not start {n_workers} workers of manager {manager:?}")]
    Start {
        /// The manager's name.
        manager: &'static str,
        /// How many were to start.
        n_workers: usize,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A schedule asks for chunks of no tasks.
    #[error("schedule {schedule} needs chunks of at least 1 task, not 0")]
    EmptyChunk {
        /// The schedule's name.
        schedule: &'static str,
    },
    /// A weighted schedule has another number of costs than the run has tasks.
    #[error("schedule weighted has {n_costs} costs for {n_tasks} tasks")]
    CostCount {
        /// How many costs there are.
        n_costs: usize,
        /// How many tasks there are.
        n_tasks: usize,
    },
    /// A schedule has one task for each worker, and there are more or fewer.
    #[error("schedule each worker has {n_tasks} tasks for {n_workers} workers")]
    WorkerCount {
        /// How many workers the manager has.
        n_workers: usize,
        /// How many tasks there are.
        n_tasks: usize,
    },
    /// Two tasks of the program have the same name.
    #[error("task {task:?} is registered twice: at {first} and at {second}")]
    DuplicateTask {
        /// The name.
        task: &'static str,
        /// Where one of them is registered, like `src/main.rs:7`.
        first: String,
        /// Where the other one is.
        second: String,
    },
    /// A task is not registered, so that workers in other processes cannot find it.
    #[error("task {task:?} is not registered: say register_task!(..) or task!(..) once")]
    NotRegistered {
        /// The task's name, or for plain functions that of their type.
        task: String,
    },
    /// What a manager needs for its work failed in the middle of a run.
    #[error("manager {manager:?} could not go on")]
    Backend {
        /// The manager's name.
        manager: &'static str,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not all tasks gave their output.
    #[error("{}", FailedText { failures, n_tasks: *n_tasks })]
    Failed {
        /// Every failure, in the order of the tasks.
        failures: Vec<Failure>,
        /// How many tasks the run had.
        n_tasks: usize,
    },
    /// A backend ended a run without saying what became of some tasks; a fault of the backend.
    #[error("{n_missing} of {n_tasks} tasks were never reported by manager {manager:?}")]
    Incomplete {
        /// The manager's name.
        manager: &'static str,
        /// How many tasks are unaccounted for.
        n_missing: usize,
        /// How many tasks the run had.
        n_tasks: usize,
    },
}

struct FailedText<'a> {
    failures: &'a [Failure],
    n_tasks: usize,
}

impl fmt::Display for FailedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_failed: usize = self.failures.iter().map(|failure| failure.indices.len()).sum();
        write!(f, "{n_failed} of {} tasks gave no output", self.n_tasks)?;
        for (i, failure) in self.failures.iter().enumerate() {
            write!(f, "{}{failure}", if i == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

/// Why something of a task could not be turned into bytes, or back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The serialisation failed.
    #[error("could not {action} of task {task:?}")]
    Postcard {
        /// In the infinitive: `encode the arguments`.
        action: &'static str,
        /// The task's name.
        task: &'static str,
        /// What postcard said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes hold another number of outputs than the chunk has tasks.
    #[error("{n_outputs} outputs of task {task:?} came for tasks {indices:?}")]
    OutputCount {
        /// The task's name.
        task: &'static str,
        /// How many came.
        n_outputs: usize,
        /// The chunk.
        indices: Range<usize>,
    },
    /// Bytes were left over after what was expected.
    #[error("{n_left} bytes too many after the {what} of task {task:?}")]
    TrailingBytes {
        /// The task's name.
        task: &'static str,
        /// What was decoded: `arguments`, `parameters` or `outputs`.
        what: &'static str,
        /// How many bytes were left over.
        n_left: usize,
    },
}
