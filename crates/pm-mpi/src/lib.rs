//! The parallel manager on the ranks of an MPI job, for programs that outgrow one machine.
//!
//! [`MpiManager`] keeps the promises of `pm-api` and [`MpiPeers`] those of its groups; the tasks are
//! the same as for the other managers. There are two ways to begin, by the first line of `main`:
//!
//! | first line | the program runs on | managers and groups |
//! | --- | --- | --- |
//! | [`init`] | every rank, as MPI programs do | every rank scatters and gathers, and gets all results |
//! | [`enter`] | rank 0 | rank 0 scatters and gathers, the others serve |
//!
//! ```no_run
//! use pm_api::{RunOptions, Scatter as _, TaskError};
//! use pm_mpi::MpiManager;
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
//! // mpirun -np 4 PROGRAM
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mpi = pm_mpi::init()?;
//!     let manager = MpiManager::available()?;
//!     let values = vec![1.0, 8.0, 64.0];
//!     let run = manager.scatter_fn(build, 2.0, execute, values, &RunOptions::default())?;
//!     assert_eq!(run.gather()?.into_complete()?, [0.0, 3.0, 6.0]); // on every rank
//!     if mpi.is_root() {
//!         println!("{} ranks of {}", mpi.size(), mpi.library());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What else holds here
//!
//! - A task that fails or panics is a value, on every rank. A rank that panics outside its tasks,
//!   ends with a status other than 0, or is killed ends the job: nobody waits for it.
//! - A program that was started by the launcher of another MPI than it is built with is refused
//!   ([`MpiError::ForeignLauncher`]).
//! - Rank 0 hands out the chunks, and has a worker as well. Workers that have the run need not be
//!   sent its parameters.
//! - A part of the ranks is a group by [`MpiPeers::split`], and has runs of its own by
//!   [`MpiManager::of`].
//! - A rank has threads beside the program's own, so MPI is begun with `MPI_THREAD_MULTIPLE`; one of
//!   them takes in letters while nobody waits for one.
//!
//! # What this crate leaves to others
//!
//! Dividing, trying again and catching panics are `pm-api`'s, and so is what a collective means.
//! Here is what ranks say to each other.

#![deny(unsafe_code)] // but in the module `raw`

mod driver;
mod error;
mod host;
mod launch;
mod letters;
mod mail;
mod mailbox;
mod manager;
mod meeting;
mod peers;
mod program;
mod raw;
mod reduce;
mod shared;
mod team;
mod worker;
mod world;

pub use error::MpiError;
pub use launch::{Launcher, launcher};
pub use manager::MpiManager;
pub use peers::MpiPeers;
pub use program::{Mpi, enter, init, library};
