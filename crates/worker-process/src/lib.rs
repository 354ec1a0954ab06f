//! Worker processes on one host: start them, talk to them, share memory with them, end them.
//!
//! A program that uses this crate is its own worker: [`Pool::start`] runs the same executable again,
//! and the first line of `main`, [`serve_if_worker`], turns the new process into a worker. Parent
//! and worker then exchange frames, which are bytes, and with a frame can go memory: a piece of an
//! [`Arena`] that is used again and again, [`Frozen`] bytes that everybody reads in place, or a
//! descriptor. [`Pool::wait`] tells what happened: a frame, a death with its cause, the deadline.
//!
//! ```standalone_crate
//! use std::time::{Duration, Instant};
//! use worker_process::{Event, Incoming, Part, Pool, PoolConfig, Received, Worker};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     worker_process::serve_if_worker(b"doubling, version 1", double);
//!
//!     let identity = b"doubling, version 1".to_vec();
//!     let mut pool = Pool::start(PoolConfig { identity, ..PoolConfig::new(2) })?;
//!     let mut numbers = pool.arena().draft(1000)?;
//!     numbers.fill(21);
//!     let numbers = numbers.lend();
//!     for worker in 0..2 {
//!         pool.send(worker, b"double", &[Part::Lent(&numbers)])?;
//!     }
//!     let mut n_done = 0;
//!     while n_done < 2 {
//!         match pool.wait(Some(Instant::now() + Duration::from_secs(10)))? {
//!             Event::Frame { bytes, .. } => assert_eq!(bytes, [42; 1000]),
//!             other => return Err(format!("{other:?}").into()),
//!         }
//!         n_done += 1;
//!     }
//!     Ok(())
//! }
//!
//! /// What a worker does; what it returns is its exit code.
//! fn double(mut worker: Worker) -> u8 {
//!     while let Ok(Incoming::Frame { parts, .. }) = worker.receive(None) {
//!         let [Received::View(numbers)] = &parts[..] else { return 1 };
//!         let doubled: Vec<u8> = numbers.to_vec().iter().map(|number| number * 2).collect();
//!         if worker.send(&doubled, &[]).is_err() {
//!             return 1;
//!         }
//!     }
//!     0
//! }
//! ```
//!
//! # Lives
//!
//! - **Nobody outlives the parent**, however it ends. The kernel kills a worker with its parent
//!   (`PR_SET_PDEATHSIG`), and a thread of the worker watches the parent besides. What a worker has
//!   started itself is in the process group that the worker leads; a small *guard* process kills
//!   these groups when the parent is gone, and what left its group (`setsid`) it finds by the
//!   environment variable [`ENV`], which is inherited: a daemon that is to stay has to be started
//!   without it. Pools in workers do the same, one level below.
//! - **A worker takes with it what it started**: its group is killed before it is reaped, and the
//!   guard looks for what left the group.
//! - **A death is an event**, with its signal or exit code, by the process descriptor (`pidfd`), not
//!   by the end of a connection, which anybody may hold open. No zombie is left.
//! - **Ctrl-C reaches the parent alone**, because workers are in groups of their own: the parent
//!   decides, once. If it dies of it, the workers die with it. After Ctrl-Z they go on computing.
//! - **A worker that does not know that it is one** (its `main` lacks the line) is an error that
//!   says which line; so are a missing program, an early end, another version, another identity.
//! - The end of the *thread* that started a pool means nothing: one thread, which never ends, starts
//!   all workers.
//!
//! # Soundness of shared memory
//!
//! A peer can be hostile, mad or killed half-way, and what it writes is then any bytes; it must not
//! be more than that. So there is no reference to memory that another process can write:
//!
//! | memory | who can write | what is given out |
//! | --- | --- | --- |
//! | [`Draft`], [`Lent`] | this process alone: the kernel refuses others (`F_SEAL_FUTURE_WRITE`) | `&mut [u8]`, `&[u8]` |
//! | [`View`] of a peer's arena | the peer | copies |
//! | [`Frozen`] | nobody any more (`F_SEAL_WRITE`, looked at before it is mapped) | `&[u8]` |
//! | [`SharedMemory`] | all who have it | copies |
//! | rings, [`Barrier`], [`Bells`], [`Board`], [`Group`] | both sides | atomics and copies, inside this crate |
//!
//! Copies out of memory that may change meanwhile are made by an instruction that the compiler does
//! not look into (`rep movsb`; atomics where that does not exist). No file can shrink, so no access
//! ends in `SIGBUS`; where memory runs out, the kernel may still kill who touches a new page.
//!
//! # What this crate leaves to others
//!
//! It knows nothing of tasks, retries, results and times; see `pm-api` for the contract and
//! `pm-proc` for the manager above this crate. Frames are bytes: what they mean, and how values
//! become bytes, is the caller's. It works on Linux from 5.4 on (`pidfd`, sealed memory), and is a
//! clear error at compile time elsewhere.

#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "worker-process needs Linux (pidfd, memfd, PR_SET_PDEATHSIG); leave out the features that \
     need it, such as `processes`"
);

mod channel;
mod error;
mod group;
mod guard;
mod handshake;
mod memory;
mod output;
mod pool;
mod process;
mod role;
mod sync;
mod worker;

pub use channel::{LinkError, Part, Received};
pub use error::{Ended, PoolError, StartError};
pub use group::{Group, GroupError, GroupMember, Waiting};
pub use guard::Leftover;
pub use memory::{Arena, Draft, Frozen, FrozenDraft, Lent, SharedMemory, View};
pub use output::{Line, LineSink, Output, Stream};
pub use pool::{Event, Pool, PoolConfig, Waker};
pub use role::{ENV, WorkerExe};
pub use sync::barrier::{Barrier, BarrierError, BarrierMember};
pub use sync::bells::Bells;
pub use sync::board::Board;
pub use sync::wait::WaitPolicy;
pub use worker::{Incoming, Worker, serve_if_worker};
