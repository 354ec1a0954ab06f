use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::channel::LinkError;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It is gone, but somebody else in this program took the news (by waiting for any child).
    Unknown,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |signal: i32| match signal {
            2 => " (interrupted)",
            4 => " (illegal instruction)",
            6 => " (aborted)",
            7 => " (bus error: memory or disk full)",
            8 => " (arithmetic error)",
            9 => " (killed)",
            11 => " (invalid memory reference)",
            15 => " (terminated)",
            24 => " (CPU time limit)",
            _ => "",
        };
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}{}", name(*signal)),
            Self::Unknown => write!(f, "an unknown end"),
        }
    }
}

/// The line that a program needs to be its own worker.
const LINE: &str =
    "let `worker_process::serve_if_worker(..)`, or what calls it, be the first line of its `main`";

/// Why workers could not be started. None is left running then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A pool without workers was asked for.
    #[error("a pool needs at least one worker")]
    NoWorkers,
    /// There is no worker of this number.
    #[error("there is no worker {worker} in a pool of {n_workers}")]
    NoSuchWorker {
        /// The number that was asked for.
        worker: usize,
        /// The number of workers.
        n_workers: usize,
    },
    /// A worker that still lives can not be started again.
    #[error("worker {worker} is still running")]
    StillRunning {
        /// Its number.
        worker: usize,
    },
    /// The program could not be started.
    #[error("could not start worker {worker} from {}", exe.display())]
    Spawn {
        /// The number of the worker.
        worker: usize,
        /// The program.
        exe: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something that a worker needs could not be had.
    #[error("could not {action}")]
    Io {
        /// What was tried, in the infinitive.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A worker ended before it was ready.
    #[error(
        "worker {worker} ended with {ended} before it was ready; if {} does not know that it is a \
         worker, {LINE}",
        exe.display()
    )]
    EndedEarly {
        /// The number of the worker.
        worker: usize,
        /// The program.
        exe: PathBuf,
        /// How it ended.
        ended: Ended,
    },
    /// A worker lives, but was not ready in time.
    #[error(
        "worker {worker} was not ready within {timeout:?}; if {} does not know that it is a \
         worker, {LINE}",
        exe.display()
    )]
    Timeout {
        /// The number of the worker.
        worker: usize,
        /// The program.
        exe: PathBuf,
        /// How long it had: `PoolConfig::start_timeout`.
        timeout: Duration,
    },
    /// A worker ran the program instead of serving, up to where it would have started workers.
    #[error("{} was started as a worker, but runs its `main` instead; {LINE}", exe.display())]
    EntryMissing {
        /// The program.
        exe: PathBuf,
    },
    /// The worker is another program, or another version, than its parent.
    #[error("worker {worker} does not fit: its {what} is {found}, expected {expected}")]
    Mismatch {
        /// The number of the worker.
        worker: usize,
        /// What differs.
        what: &'static str,
        /// What the worker has.
        found: String,
        /// What the parent has.
        expected: String,
    },
    /// What a worker sent is not a greeting.
    #[error("worker {worker} did not greet")]
    Greeting {
        /// The number of the worker.
        worker: usize,
        /// What was wrong with it.
        #[source]
        source: LinkError,
    },
}

/// Why a pool can not be used as asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The worker is not running.
    #[error("worker {worker} is not running")]
    NotRunning {
        /// Its number.
        worker: usize,
    },
    /// A frame could not be sent.
    #[error("could not send a frame to worker {worker}")]
    Send {
        /// The number of the worker.
        worker: usize,
        /// What was in the way.
        #[source]
        source: LinkError,
    },
    /// The system could not wait for events.
    #[error("could not wait for the workers")]
    Wait {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
