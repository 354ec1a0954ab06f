//! The contract of the parallel managers, and the serial one.
//!
//! A user writes a [`Task`]: how to build a model once per worker, and how to compute outputs from
//! parameters with it. A [`ParallelManager`] spreads the parameters of a run over workers, and the
//! same text runs on every one of them: [`SerialManager`] here, threads in `pm-threads`, and
//! others that are chosen by name from a [`ManagerRegistry`].
//!
//! ```
//! use pm_api::{ManagerOptions, ManagerRegistry, RunOptions, Scatter as _};
//! use pm_api::{Task, TaskError, Worker};
//!
//! /// Interpolates in a table that every worker makes for itself.
//! struct Sine;
//!
//! impl Task for Sine {
//!     const NAME: &'static str = "docs::sine";
//!     type Args = usize; // points of the table, over one turn
//!     type Model = Vec<f64>;
//!     type Param = f64; // angle, turns
//!     type Output = f64;
//!
//!     fn build(&n_points: &usize, _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
//!         if n_points == 0 {
//!             return Err(TaskError::new("a table of 0 points is none"));
//!         }
//!         let turn = std::f64::consts::TAU;
//!         Ok((0..=n_points).map(|i| (turn * i as f64 / n_points as f64).sin()).collect())
//!     }
//!
//!     fn execute(
//!         table: &mut Vec<f64>,
//!         angles: &[f64],
//!         _: &Worker<'_>,
//!     ) -> Result<Vec<f64>, TaskError> {
//!         let n = (table.len() - 1) as f64;
//!         Ok(angles.iter().map(|angle| table[(angle.rem_euclid(1.0) * n) as usize]).collect())
//!     }
//! }
//!
//! let registry = ManagerRegistry::new(); // a program adds what else it was built with
//! let manager = registry.create("serial", &ManagerOptions::default())?;
//! let pending = manager.scatter::<Sine>(4, vec![0.25, 0.75, 1.25], &RunOptions::default())?;
//! assert_eq!(pending.gather()?.into_complete()?, [1.0, -1.0, 1.0]);
//! # Ok::<(), pm_api::PmError>(())
//! ```
//!
//! # What holds for every manager
//!
//! - Outputs come in the order of the parameters, whatever ran where and in which [`Schedule`].
//! - A run has as many workers as the manager, but never more than chunks. A model is built in its
//!   worker when that gets its first chunk, once; and again only after a panic. No parameters:
//!   nothing is built, and the result is empty.
//! - What goes wrong in a task is a [`Failure`] that names the tasks, the worker and the cause.
//!   The other results are kept, and the manager goes on to be of use. A panic is caught, with its
//!   place, if the program unwinds; the panic hook is chained for this when a run starts.
//! - A worker that cannot build leaves its tasks to the others; a run ends without outputs only if
//!   all of them cannot.
//! - A [`Pending`] run is gathered once, or streamed by [`Pending::for_each`], or dropped, which
//!   cancels it; no worker is at work afterwards.
//! - A run that is scattered inside a task is done there, serially.
//!
//! # What this crate leaves to others
//!
//! It starts no thread and no process; see `pm-threads` for threads. Who writes a manager starts
//! at the module [`backend`].

#![forbid(unsafe_code)]

mod array;
mod cancel;
mod codec;
mod entry;
mod error;
mod failure;
mod gathered;
mod local;
mod manager;
mod options;
mod panics;
mod peers;
mod pending;
mod queue;
mod registry;
mod run;
mod serial;
mod shared;
mod spmd;
mod task;
mod tasks;
#[cfg(feature = "times")]
mod times;
mod watch;
mod work;

pub use array::Array;
pub use cancel::{CancelToken, OnCancel};
pub use error::{CodecError, PmError};
pub use failure::{Failure, FailureKind, LostWorker};
pub use gathered::Gathered;
pub use manager::{ParallelManager, Scatter};
pub use options::{OnError, Progress, ProgressFn, RunOptions, Schedule, WorkerProgress};
pub use peers::{
    And, FixedTree, Max, Min, Op, Or, Peers, PeersError, PeersExt, Prod, SerialPeers, Sum, Xor,
    reduce_in_index_order,
};
pub use pending::{Chunk, Chunks, Pending, RunSummary};
pub use registry::{ManagerOptions, ManagerRegistry};
pub use serial::SerialManager;
pub use shared::Shared;
pub use spmd::Spmd;
pub use task::{Task, TaskError, Worker, seed};
pub use tasks::worker_entry;

/// For the macros of this crate.
#[doc(hidden)]
pub use inventory as __inventory;

/// What a manager is made of; of no interest to those who only use one.
///
/// A backend implements [`ParallelManager`] by turning a [`Run`](backend::Run) into something that is
/// [`Running`](backend::Running). If its workers are in this process, each is a
/// [`LocalWorker`](backend::LocalWorker), all of them on one [`ChunkQueue`](backend::ChunkQueue);
/// if they are elsewhere, a [`TaskEntry`](backend::TaskEntry) stands for the task there, found by
/// name among the registered [`tasks`](backend::tasks). The workers of a run are a group, for which
/// a backend implements [`Peers`]; over memory that they share, by [`Collectives`](backend::Collectives)
/// of a [`Meeting`](backend::Meeting).
///
/// With the feature `times`, on by default, the workers of every run are timed; who measures them
/// in another way gives a [`RunObserver`](backend::RunObserver) to
/// [`set_observer`](backend::set_observer).
pub mod backend {
    pub use crate::codec::{CopyFrom, CopyTo};
    pub use crate::entry::{FarModel, TaskEntry};
    pub use crate::failure::Fault;
    pub use crate::local::LocalWorker;
    pub use crate::manager::{Finished, RunEnd, Running};
    pub use crate::panics::catch as catch_panic;
    pub use crate::peers::{
        Call, CallKind, Collectives, Departed, Fold, Meeting, Native, OpName, Scalar, Scratch,
        check_calls,
    };
    pub use crate::queue::{ChunkQueue, Take, Ticket, Verdict};
    pub use crate::run::{Model, Outputs, Run};
    pub use crate::shared::{
        SharedArray, SharedBytes, WeakArray, by_reference, forget_shared, keep_shared,
    };
    pub use crate::tasks::{Registration, Tasks, WorkerMain, tasks};
    #[cfg(feature = "times")]
    pub use crate::times::{report_of_lost, times_workers};
    pub use crate::watch::{RunObserver, RunWatch, WorkerWatch, run_started, set_observer};
}
