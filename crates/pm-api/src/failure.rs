//! Failures of tasks, as values.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::TaskError;

/// In which way tasks failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No worker could build its model, by an error or a panic.
    Build,
    /// `execute` panicked.
    Panic,
    /// `execute` returned an error.
    Error,
    /// `execute` returned fewer or more outputs than it was given parameters.
    Arity,
    /// The run was cancelled before the tasks were done.
    Cancelled,
    /// Arguments, parameters or outputs could not be encoded or decoded on their way.
    Codec,
}

/// What went wrong in a worker, before it is known which tasks it concerns.
#[derive(Debug, Clone)]
pub struct Fault {
    kind: FailureKind,
    message: String,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl Fault {
    /// Makes a fault from a message alone.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), error: None }
    }

    /// Makes a fault of an error, keeping its sources.
    #[must_use]
    pub fn from_error(kind: FailureKind, error: impl Error + Send + Sync + 'static) -> Self {
        Self { kind, message: error.to_string(), error: Some(Arc::new(error)) }
    }

    /// Makes a fault of what a task returned; a task that gave up because its run was cancelled
    /// makes [`FailureKind::Cancelled`], whatever `kind` says.
    #[must_use]
    pub fn from_task(kind: FailureKind, error: &TaskError) -> Self {
        let kind = if error.cancelled { FailureKind::Cancelled } else { kind };
        Self { kind, message: error.to_string(), error: Some(Arc::clone(&error.error)) }
    }

    /// In which way it went wrong.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Says which tasks were lost by this, and in which worker.
    #[must_use]
    pub fn at(&self, indices: Range<usize>, worker: Option<usize>) -> Failure {
        let Self { kind, message, error } = self.clone();
        Failure { indices, worker, kind, message, error }
    }
}

/// Tasks that gave no output: which, where, in which way and why.
///
/// It displays as `task 3 failed on worker 1: no such file`; [`Error::source`] goes on with what
/// caused the error that the message tells of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The tasks, by their place in the parameters; never empty.
    pub indices: Range<usize>,
    /// The rank of the worker that held them; `None` if none did.
    pub worker: Option<usize>,
    /// In which way they failed.
    pub kind: FailureKind,
    /// Why, in words; for a panic with the place in the source if that is known.
    pub message: String,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The error that the task returned, if it is still at hand, for `downcast_ref`.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.indices;
        if end - start == 1 {
            write!(f, "task {start} ")?;
        } else {
            write!(f, "tasks {start} to {} ", end - 1)?;
        }
        f.write_str(match self.kind {
            FailureKind::Panic => "panicked",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Build => "got no model",
            FailureKind::Error | FailureKind::Arity | FailureKind::Codec => "failed",
        })?;
        if let Some(worker) = self.worker {
            write!(f, " on worker {worker}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message is the error's own, so the chain goes on below it.
        self.error.as_ref().and_then(|error| error.source())
    }
}

/// A worker that left a run because it could not build its model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LostWorker {
    /// Its rank.
    pub rank: usize,
    /// What happened.
    pub fault: Fault,
}

impl LostWorker {
    /// Says that worker `rank` was lost by `fault`.
    #[must_use]
    pub fn new(rank: usize, fault: Fault) -> Self {
        Self { rank, fault }
    }
}
