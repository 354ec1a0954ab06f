//! Dividing a run of tasks among jobs: strided, contiguous, weighted and guided.
//!
//! A run has `n_tasks` tasks, numbered from zero. [`Job`] names one of `N` equal partners in the
//! run, and [`Job::tasks`] says which tasks are its own: every `N`-th one, so that neighbouring
//! tasks, which tend to cost the same, land on different jobs.
//!
//! ```
//! use jobdiv::Job;
//!
//! let job = Job::new(1, 4)?;
//! assert_eq!(job.tasks(10).collect::<Vec<usize>>(), [1, 5, 9]);
//! assert_eq!(job.block(10), 3..6);
//! assert_eq!(job.to_string(), "2/4");
//! # Ok::<(), jobdiv::JobError>(())
//! ```
//!
//! # The divisions
//!
//! In each of them the jobs of one `N` cover all tasks without overlap.
//!
//! | division              | type               | a job's tasks                                 | inverse                       | memory        |
//! | --------------------- | ------------------ | --------------------------------------------- | ----------------------------- | ------------- |
//! | strided               | [`Strides`]        | Python's `range(idx, n_tasks, N)`             | [`Strides::owner_of`]         | none          |
//! | contiguous            | [`Blocks`]         | block `idx` of `numpy.array_split`            | [`Blocks::owner_of`]          | none          |
//! | contiguous by weight  | [`WeightedBlocks`] | a block; the heaviest is as light as it can be | [`WeightedBlocks::owner_of`] | `O(n_tasks)`  |
//! | by weight, anywhere   | [`Lpt`]            | longest processing time first                 | [`Lpt::owner_of`]             | `O(n_tasks)`  |
//! | by name               | [`key_owner`]      | those whose key hashes to the job             | itself                        | none          |
//! | guided                | [`Guided`]         | none: a free worker takes the next chunk      | none                          | none          |
//!
//! The first two and the last two are closed forms or constant-size state: `10^12` tasks cost
//! nothing until they are visited. All are right up to `usize::MAX` tasks and jobs.
//!
//! # Dividing again
//!
//! A job can itself be divided among `M` parts, for example a job of a cluster among the threads
//! of its node. What that means depends on the division, and always partitions the job's tasks:
//!
//! | division   | the part `sub` of `job`                                                                 |
//! | ---------- | --------------------------------------------------------------------------------------- |
//! | strided    | [`job.divide(sub)`](Job::divide): a [`Job`] among `N * M`; every `M`-th of its tasks      |
//! | contiguous | [`sub.block_of(job.block(n_tasks))`](Job::block_of): a block of the block                 |
//! | weighted   | [`WeightedBlocks::new`] or [`Lpt::new`] on the weights of the job's tasks, in their order |
//! | guided     | [`Guided::of`] on a chunk, or any other division of it                                    |
//!
//! Blocks of blocks are not always the blocks among `N * M` (8 tasks, `N = 3`, `M = 2`: sizes
//! 2 1 2 1 1 1 against 2 2 1 1 1 1), but their sizes too differ by one at most.
//!
//! # What this crate leaves to others
//!
//! It starts no threads, moves no data and touches no file; see `pm-api` for the first two. The
//! only thing it reads is the environment, in [`Job::from_env`]. Its one dependency, serde, goes
//! away with `default-features = false`.

#![forbid(unsafe_code)]

#[macro_use]
mod iter;

mod block;
mod env;
mod guided;
mod job;
mod keyed;
mod lpt;
mod strided;
mod weight;
mod weighted;

pub use block::{Blocks, BlocksIter};
pub use env::{Claim, EnvError, EnvJob, EnvOptions, Source};
pub use guided::Guided;
pub use job::{Job, JobError, Jobs};
pub use keyed::key_owner;
pub use lpt::Lpt;
pub use strided::{Strided, Strides};
pub use weight::{WeightError, weights_from_f64};
pub use weighted::WeightedBlocks;

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
