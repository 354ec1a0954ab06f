//! Failures of tasks, as values.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::TaskError;

/// In which way tasks failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The worker's process was ended by this signal.
    Killed {
        /// The number of the signal: 9 for `SIGKILL`.
        signal: i32,
    },
    /// The worker's process ended itself with this code.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The worker is gone, and nobody knows how.
    Lost,
    /// The tasks took longer than [`RunOptions::timeout`](crate::RunOptions::timeout) allows.
    Timeout,
    /// The run was cancelled before the tasks were done.
    Cancelled,
    /// Arguments, parameters or outputs could not be encoded.
    Encode,
    /// Arguments, parameters or outputs could not be decoded.
    Decode,
}

impl FailureKind {
    /// Whether the worker ended by it, or had to be ended.
    #[must_use]
    pub fn is_crash(self) -> bool {
        matches!(self, Self::Killed { .. } | Self::Exited { .. } | Self::Lost | Self::Timeout)
    }
}

/// What went wrong in a worker, before it is known which tasks it concerns.
///
/// It can be sent to another process; the error that it was made of then becomes a chain of
/// messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Sent", into = "Sent")]
pub struct Fault {
    kind: FailureKind,
    message: String,
    location: Option<String>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

/// What of a fault travels.
#[derive(Serialize, Deserialize)]
struct Sent {
    kind: FailureKind,
    message: String,
    location: Option<String>,
    /// What caused the error that the message tells of, and what caused that.
    causes: Vec<String>,
}

/// An error from elsewhere, of which only the words came.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Remote {
    message: String,
    source: Option<Box<Self>>,
}

impl From<Fault> for Sent {
    fn from(fault: Fault) -> Self {
        let Fault { kind, message, location, error } = fault;
        let mut causes = Vec::new();
        let mut cause = error.as_ref().and_then(|error| error.source());
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        Self { kind, message, location, causes }
    }
}

impl From<Sent> for Fault {
    fn from(sent: Sent) -> Self {
        let Sent { kind, message, location, causes } = sent;
        let chain = causes
            .into_iter()
            .rev()
            .fold(None, |source, message| Some(Box::new(Remote { message, source })));
        let error = chain.map(|source| {
            Arc::new(Remote { message: message.clone(), source: Some(source) })
                as Arc<dyn Error + Send + Sync>
        });
        Self { kind, message, location, error }
    }
}

impl Fault {
    /// Makes a fault from a message alone.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), location: None, error: None }
    }

    /// Makes the fault of a chunk that took longer than `limit`.
    #[must_use]
    pub fn timeout(limit: Duration) -> Self {
        Self::new(FailureKind::Timeout, format!("it took longer than {limit:?}"))
    }

    /// Adds the place in the source, like `src/main.rs:3:9`.
    #[must_use]
    pub fn with_location(self, location: Option<String>) -> Self {
        Self { location, ..self }
    }

    /// Makes a fault of an error, keeping its sources.
    #[must_use]
    pub fn from_error(kind: FailureKind, error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: Some(Arc::new(error)), ..Self::new(kind, "") }.with_own_message()
    }

    /// Makes a fault of what a task returned; a task that gave up because its run was cancelled
    /// makes [`FailureKind::Cancelled`], whatever `kind` says.
    #[must_use]
    pub fn from_task(kind: FailureKind, error: &TaskError) -> Self {
        let kind = if error.cancelled { FailureKind::Cancelled } else { kind };
        Self { error: Some(Arc::clone(&error.error)), ..Self::new(kind, "") }.with_own_message()
    }

    fn with_own_message(self) -> Self {
        let message = self.error.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { message, ..self }
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

    /// Where in the source it went wrong, if it is a panic and that is known.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Says which tasks were lost by this, and in which worker; after one attempt.
    #[must_use]
    pub fn at(&self, indices: Range<usize>, worker: Option<usize>) -> Failure {
        let Self { kind, message, location, error } = self.clone();
        Failure { indices, worker, attempts: 1, kind, message, location, error }
    }
}

/// Tasks that gave no output: which, where, in which way and why.
///
/// It displays as `task 3 failed on worker 1: no such file`; [`Error::source`] goes on with what
/// caused the error that the message tells of. It can be written and read back; what comes of
/// [`error`](Self::error) is then words alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "SentFailure", into = "SentFailure")]
#[non_exhaustive]
pub struct Failure {
    /// The tasks, by their place in the parameters; never empty.
    pub indices: Range<usize>,
    /// The rank of the worker that held them last; `None` if none did.
    pub worker: Option<usize>,
    /// How often the tasks were begun, alone or with others; see
    /// [`RunOptions::retries`](crate::RunOptions::retries). 0 if never.
    pub attempts: u32,
    /// In which way they failed, the last time.
    pub kind: FailureKind,
    /// Why, in words.
    pub message: String,
    /// Where in the source they panicked, like `src/main.rs:3:9`, if they did and it is known.
    pub location: Option<String>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Serialize, Deserialize)]
struct SentFailure {
    indices: Range<usize>,
    worker: Option<usize>,
    attempts: u32,
    fault: Fault,
}

impl From<Failure> for SentFailure {
    fn from(failure: Failure) -> Self {
        let Failure { indices, worker, attempts, kind, message, location, error } = failure;
        Self { indices, worker, attempts, fault: Fault { kind, message, location, error } }
    }
}

impl From<SentFailure> for Failure {
    fn from(sent: SentFailure) -> Self {
        let SentFailure { indices, worker, attempts, fault } = sent;
        fault.at(indices, worker).with_attempts(attempts)
    }
}

impl Failure {
    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The error that the task returned, for `downcast_ref`; of a failure from another process
    /// only the words.
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
            FailureKind::Timeout => "timed out",
            FailureKind::Killed { .. } | FailureKind::Exited { .. } | FailureKind::Lost => "lost",
            FailureKind::Error | FailureKind::Arity | FailureKind::Encode | FailureKind::Decode => {
                "failed"
            }
        })?;
        if let Some(worker) = self.worker {
            write!(f, " on worker {worker}")?;
        }
        if self.attempts > 1 {
            write!(f, " at attempt {}", self.attempts)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.location {
            Some(location) => write!(f, ", at {location}"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message is the error's own, so the chain goes on below it.
        self.error.as_ref().and_then(|error| error.source())
    }
}

/// A worker that left a run: because it could not build its model, was lost, or is still at work
/// on a task that took too long and cannot be ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not read row 3")]
    struct Row(#[source] std::io::Error);

    #[test]
    fn a_failure_that_travels_keeps_all_but_the_type_of_its_error() {
        let error = TaskError::from(Row(std::io::Error::other("the disk is gone")));
        let fault = Fault::from_task(FailureKind::Error, &error);
        let here = fault.at(3..4, Some(1)).with_attempts(2);
        let there: Failure = postcard::from_bytes(&postcard::to_stdvec(&here).unwrap()).unwrap();
        assert_eq!(there.to_string(), here.to_string());
        assert_eq!(
            there.to_string(),
            "task 3 failed on worker 1 at attempt 2: could not read row 3"
        );
        assert_eq!((there.indices.clone(), there.attempts), (3..4, 2));
        let cause = |failure: &Failure| failure.source().unwrap().to_string();
        assert_eq!((cause(&there), cause(&here)), (cause(&here), "the disk is gone".to_owned()));
        assert!(here.error().unwrap().is::<Row>() && !there.error().unwrap().is::<Row>());
        for kind in
            [FailureKind::Killed { signal: 9 }, FailureKind::Exited { code: 7 }, FailureKind::Panic]
        {
            let place = Some("src/a.rs:1:2".to_owned());
            let fault = Fault::new(kind, "why").with_location(place.clone());
            let back: Fault = postcard::from_bytes(&postcard::to_stdvec(&fault).unwrap()).unwrap();
            assert_eq!((back.kind(), back.location()), (kind, place.as_deref()));
            assert!(back.at(0..1, None).source().is_none());
        }
    }
}
