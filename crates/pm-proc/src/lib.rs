//! The parallel manager on worker processes of this host.
//!
//! [`ProcessesManager`] keeps every promise of `pm-api`, and the program text is the same as for
//! the other managers but for the first line of `main`, [`pm_api::worker_entry`], and the
//! registration of tasks:
//!
//! ```no_run
//! use pm_api::{PmError, RunOptions, Scatter as _, TaskError};
//!
//! fn build(base: &f64) -> Result<f64, TaskError> {
//!     Ok(base.ln())
//! }
//!
//! fn execute(ln_base: &mut f64, values: &[f64]) -> Result<Vec<f64>, TaskError> {
//!     Ok(values.iter().map(|value| value.ln() / *ln_base).collect())
//! }
//!
//! pm_api::task!(LOGARITHM: build = build, execute = execute);
//!
//! fn main() -> Result<(), PmError> {
//!     pm_api::worker_entry()?; // a worker process ends here
//!     let manager = pm_proc::processes(4)?;
//!     let values = vec![1.0, 8.0, 64.0];
//!     let run = manager.scatter_fn(build, 2.0, execute, values, &RunOptions::default())?;
//!     assert_eq!(run.gather()?.into_complete()?, [0.0, 3.0, 6.0]);
//!     Ok(())
//! }
//! ```
//!
//! # What else holds here
//!
//! - Workers are the program itself, started again, and serve one run after the other: the second
//!   run finds them ready. They are let go with the manager, or when they were idle for long.
//! - A task that ends its process, or is killed, costs its own chunk and nothing else: the failure
//!   says how the process ended, another takes its place, and what else the worker was given goes
//!   to others. A task whose [time](pm_api::RunOptions::timeout) is over is killed, and so is one
//!   that does not stop when its run is cancelled.
//! - Short values travel through rings in shared memory, long ones through arenas, arguments that
//!   are long through memory that all workers read in place.
//! - The workers of a run are a group that meets in shared memory; each rank folds its share of a
//!   reduction straight from what the others put there. An [`Spmd`](pm_api::Spmd) function runs on
//!   `processes(4)?.run::<S>(args)`.
//! - What a task stamps and subdivides with the timer of its thread arrives in the timer of the
//!   caller (feature `times`, on by default), one timer for each worker, also of a worker that was
//!   killed: what was finished then. While the run goes on, `polychron top` shows it.
//! - Nothing outlives the program, however it ends; see `worker-process`.
//!
//! # What this crate leaves to others
//!
//! Processes, frames and shared memory are `worker-process`'s; dividing, trying again and catching
//! panics `pm-api`'s. Here is what is said between a manager and its workers.

#![forbid(unsafe_code)]

mod driver;
mod group;
mod handle;
mod mailbox;
mod manager;
mod piece;
mod posted;
mod seat;
mod shared;
#[cfg_attr(not(feature = "times"), path = "untimed.rs")]
mod times;
mod wire;
mod worker;

pub use manager::{ProcessesManager, ProcessesOptions, processes};
pub use worker::is_worker;
pub use worker_process::{Line, Output, Stream, WaitPolicy, WorkerExe};
