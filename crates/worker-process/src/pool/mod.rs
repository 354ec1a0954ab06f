//! The parent's side: a pool of workers.

mod end;
mod event;
mod start;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::channel::{Link, Part, wire};
use crate::error::{PoolError, StartError};
use crate::memory::Arena;
use crate::output::{Collector, Output};
use crate::process::Process;
use crate::role::WorkerExe;
use crate::sync::barrier::Barrier;
use crate::sync::wait::{Bell, Spinner, WaitPolicy};

pub use event::Event;

/// How a pool is started.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The number of workers, at least 1.
    pub n_workers: usize,
    /// Which program they run.
    pub exe: WorkerExe,
    /// The arguments of that program; a worker that calls
    /// [`serve_if_worker`](crate::serve_if_worker) first does not look at them.
    pub args: Vec<OsString>,
    /// Environment variables for the workers, besides those of this process.
    pub env: Vec<(OsString, OsString)>,
    /// What the workers have to give to [`serve_if_worker`](crate::serve_if_worker), too.
    pub identity: Vec<u8>,
    /// What every worker is given at the beginning, as [`Worker::greeting`](crate::Worker::greeting).
    pub greeting: Vec<u8>,
    /// Within which time a worker has to be ready.
    pub start_timeout: Duration,
    /// For how long [`Pool::shutdown`] waits for workers to end by themselves, and then once more
    /// after `SIGTERM`.
    pub grace: Duration,
    /// The longest frame in bytes, without its parts. What is long goes in parts.
    pub max_frame: usize,
    /// The bytes of the ring for short frames, for each worker and direction. A frame of up to a
    /// quarter goes that way.
    pub ring_len: usize,
    /// How both sides wait for each other.
    pub wait: WaitPolicy,
    /// Whether each worker is bound to a core of its own, in turn.
    pub pin: bool,
    /// Where the output of the workers goes.
    pub output: Output,
    /// Whether a small further process ends what workers have started themselves, should this
    /// process be killed. One serves all pools of a process, and ends with it.
    pub guard: bool,
}

impl PoolConfig {
    /// A pool of `n_workers` that run this program; the rest as in [`PoolConfig::default`].
    #[must_use]
    pub fn new(n_workers: usize) -> Self {
        Self { n_workers, ..Self::default() }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            n_workers: 1,
            exe: WorkerExe::Current,
            args: Vec::new(),
            env: Vec::new(),
            identity: Vec::new(),
            greeting: Vec::new(),
            start_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(1),
            max_frame: 16 << 20,
            ring_len: 64 << 10,
            wait: WaitPolicy::Adaptive,
            pin: false,
            output: Output::default(),
            guard: true,
        }
    }
}

/// A worker that was not reaped yet.
#[derive(Debug)]
struct Life {
    process: Process,
    link: Link,
    /// What it sent made no sense; it was killed for that, and is not listened to any more.
    broken: bool,
    /// [`Pool::set_batch`].
    batch: u32,
}

/// The place of a worker.
#[derive(Debug, Default)]
struct Seat {
    life: Option<Life>,
    /// How often a worker was started for this place.
    n_starts: u64,
}

/// Workers that run, and what is said between them and this process.
///
/// One thread uses a pool at a time; [`Pool::waker`] is for the others. Dropping it kills the
/// workers with all that they have started, and reaps them; [`Pool::shutdown`] asks them first.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    seats: Vec<Seat>,
    /// What happened and was not told yet.
    pending: VecDeque<Event>,
    /// Rung by workers and wakers.
    bell: Arc<Bell>,
    woken: Arc<AtomicBool>,
    spinner: Spinner,
    arena: Arena,
    barriers: Vec<Barrier>,
    collector: Option<Collector>,
    /// The worker that is asked first for its next frame.
    turn: usize,
    /// Frames since the last look at what is not in shared memory.
    n_since_look: u32,
}

/// Wakes a pool from another thread.
#[derive(Debug, Clone)]
pub struct Waker {
    bell: Arc<Bell>,
    woken: Arc<AtomicBool>,
}

impl Waker {
    /// Makes the current [`Pool::wait`], or else the next, return [`Event::Woken`].
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl Pool {
    /// The number of workers, running or not.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        self.seats.len()
    }

    /// Whether a worker runs, as far as [`Pool::wait`] has told.
    #[must_use]
    pub fn is_running(&self, worker: usize) -> bool {
        self.seats.get(worker).is_some_and(|seat| seat.life.is_some())
    }

    /// The process number of a worker that runs.
    #[must_use]
    pub fn pid(&self, worker: usize) -> Option<u32> {
        let life = self.seats.get(worker)?.life.as_ref()?;
        Some(life.process.pid().as_raw_nonzero().get().unsigned_abs())
    }

    /// The memory in which this process lends pieces to its workers.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// What other threads need to wake this pool.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { bell: Arc::clone(&self.bell), woken: Arc::clone(&self.woken) }
    }

    /// Poisons the barrier as soon as [`Pool::wait`] learns that any worker has ended, so that its
    /// siblings do not wait for it. Forgotten with the next [`Pool::forget_barriers`].
    pub fn poison_on_exit(&mut self, barrier: Barrier) {
        self.barriers.push(barrier);
    }

    /// Ends the watch over the barriers of [`Pool::poison_on_exit`].
    pub fn forget_barriers(&mut self) {
        self.barriers.clear();
    }

    fn life(&mut self, worker: usize) -> Result<&mut Life, PoolError> {
        let life = self.seats.get_mut(worker).and_then(|seat| seat.life.as_mut());
        life.filter(|life| !life.broken).ok_or(PoolError::NotRunning { worker })
    }

    /// Sends a frame to a worker, without waiting: what it does not take now goes out during
    /// [`Pool::wait`].
    ///
    /// # Errors
    ///
    /// [`PoolError::NotRunning`], and [`PoolError::Send`] when the frame is too long, has too many
    /// parts, or more than four times `max_frame` waits already. A worker that has just died is no
    /// error here: its end comes as an event.
    pub fn send(
        &mut self,
        worker: usize,
        bytes: &[u8],
        parts: &[Part<'_>],
    ) -> Result<(), PoolError> {
        let most = self.config.max_frame.saturating_mul(4);
        let life = self.life(worker)?;
        let waiting = life.link.backlog();
        if waiting > most {
            let source = crate::LinkError::Backlog { waiting };
            return Err(PoolError::Send { worker, source });
        }
        match life.link.send(wire::USER, bytes, parts) {
            Ok(()) | Err(crate::LinkError::Gone) => Ok(()),
            Err(source) => Err(PoolError::Send { worker, source }),
        }
    }

    /// Lets [`Pool::wait`] sleep until a worker has sent so many frames, or has nothing more to do;
    /// not for long: frames of a worker that goes on and on are found after 200 µs. It is for many
    /// short answers, and holds until it is changed or the worker ends; 1 to begin with.
    pub fn set_batch(&mut self, worker: usize, n_frames: u32) {
        if let Ok(life) = self.life(worker) {
            life.batch = n_frames.max(1);
        }
    }

    /// The bytes that wait to be taken by a worker.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotRunning`].
    pub fn backlog(&mut self, worker: usize) -> Result<usize, PoolError> {
        self.life(worker).map(|life| life.link.backlog())
    }

    /// Kills a worker with all that it has started. Its end comes as [`Event::Exited`], after the
    /// frames that it had sent.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotRunning`].
    pub fn kill(&mut self, worker: usize) -> Result<(), PoolError> {
        self.signal(worker, Signal::KILL)
    }

    /// Asks a worker, and all that it has started, to end (`SIGTERM`).
    ///
    /// # Errors
    ///
    /// [`PoolError::NotRunning`].
    pub fn terminate(&mut self, worker: usize) -> Result<(), PoolError> {
        self.signal(worker, Signal::TERM)
    }

    fn signal(&mut self, worker: usize, signal: Signal) -> Result<(), PoolError> {
        let life = self.seats.get(worker).and_then(|seat| seat.life.as_ref());
        life.ok_or(PoolError::NotRunning { worker }).map(|life| life.process.signal(signal))
    }

    /// Starts a worker in the place of one that has ended, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`Pool::start`]; [`StartError::StillRunning`] when its end was not told yet.
    pub fn respawn(&mut self, worker: usize) -> Result<(), StartError> {
        let n_workers = self.seats.len();
        let seat = self.seats.get(worker).ok_or(StartError::NoSuchWorker { worker, n_workers })?;
        if seat.life.is_some() {
            return Err(StartError::StillRunning { worker });
        }
        self.launch(worker..worker + 1)
    }
}
