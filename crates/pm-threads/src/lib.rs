//! The parallel manager on threads of this process, on rayon.
//!
//! [`ThreadsManager`] keeps every promise of `pm-api`, and the program text is the same as for the
//! serial manager:
//!
//! ```
//! use pm_api::{ParallelManager, RunOptions, Scatter as _, SerialManager};
//! use pm_api::{PmError, Task, TaskError, Worker};
//! use pm_threads::ThreadsManager;
//!
//! struct Collatz;
//!
//! impl Task for Collatz {
//!     const NAME: &'static str = "docs::collatz";
//!     type Args = ();
//!     type Model = ();
//!     type Param = u64;
//!     type Output = u32; // steps to 1
//!
//!     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> {
//!         Ok(())
//!     }
//!     fn execute(_: &mut (), starts: &[u64], _: &Worker<'_>) -> Result<Vec<u32>, TaskError> {
//!         let steps = |mut n: u64| {
//!             let mut steps = 0;
//!             while n != 1 {
//!                 n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
//!                 steps += 1;
//!             }
//!             steps
//!         };
//!         Ok(starts.iter().copied().map(steps).collect())
//!     }
//! }
//!
//! fn longest(manager: &dyn ParallelManager) -> Result<Option<u32>, PmError> {
//!     let pending = manager.scatter::<Collatz>((), (1..1000).collect(), &RunOptions::default())?;
//!     Ok(pending.gather()?.into_complete()?.into_iter().max())
//! }
//!
//! assert_eq!(longest(&ThreadsManager::new(4)?)?, Some(178));
//! assert_eq!(longest(&SerialManager::new())?, Some(178));
//! # Ok::<(), PmError>(())
//! ```
//!
//! # What else holds here
//!
//! - Nothing is copied or encoded: parameters are borrowed by the workers, outputs are moved.
//! - Tasks run on threads of the manager's own rayon pool. What a task does with rayon in turn is
//!   spread over threads of that pool that have no chunk, so a run of few tasks still uses them
//!   all, and never more.
//! - The workers of a run are a group ([`ThreadGroup`]) whose members read straight from each
//!   other's buffers; an [`Spmd`](pm_api::Spmd) function runs on `threads(4)?.run::<S>(args)`.
//! - A task that neither ends nor asks [`Worker::cancelled`](pm_api::Worker::cancelled) cannot be
//!   ended, as no thread can; gathering and dropping wait for it. If its
//!   [time](pm_api::RunOptions::timeout) is limited it is left alone instead: it is reported, another
//!   thread takes its place, and its own computes on for nobody.
//!
//! # What this crate leaves to others
//!
//! Dividing, building, executing and catching panics is `pm-api`'s; here are only the threads, the
//! way from them to the caller, and the way between them.

#![deny(unsafe_code)] // but in the module `window`

mod gate;
mod group;
mod mailbox;
mod manager;
mod window;

pub use gate::WaitPolicy;
pub use group::{ThreadGroup, ThreadPeers};
pub use manager::{ThreadsManager, ThreadsOptions, threads};
