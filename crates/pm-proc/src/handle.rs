//! Workers that are ready, as the manager has them: what is said to the thread that drives them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pm_api::backend::{ChunkQueue, Run, SharedArray};
use worker_process::{Frozen, Group, Pool, Waker};

use crate::driver::Driver;
use crate::mailbox::Mailbox;
use crate::times::SharedTimes;

/// The encoded arguments of a run.
#[derive(Debug)]
pub(crate) enum Args {
    Short(Vec<u8>),
    Long(Frozen),
}

/// A run to be driven.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) run: Run,
    pub(crate) queue: ChunkQueue,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) args: Args,
    /// The arrays in the arguments that numbers stand for.
    pub(crate) arrays: Vec<SharedArray>,
    /// None for one worker.
    pub(crate) group: Option<Group>,
}

/// What is said to the thread.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) job: Option<Job>,
    /// Whether it is to end.
    pub(crate) end: bool,
    /// Whether it takes no job any more.
    pub(crate) gone: bool,
}

pub(crate) fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Workers that are ready, and the thread that has them. They are ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    slot: Arc<Mutex<Slot>>,
    waker: Waker,
    n_workers: usize,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    pub(crate) fn new(
        pool: Pool,
        times: Option<SharedTimes>,
        grace: Duration,
        idle: Duration,
    ) -> io::Result<Self> {
        let (slot, waker, n_workers) = (Arc::default(), pool.waker(), pool.n_workers());
        let theirs = Arc::clone(&slot);
        let driver = Driver::new(pool, times, grace, idle)?;
        let thread = thread::Builder::new().name("pm-proc".to_owned());
        let thread = Some(thread.spawn(move || driver.serve(&theirs))?);
        Ok(Self { slot, waker, n_workers, thread })
    }

    pub(crate) fn n_workers(&self) -> usize {
        self.n_workers
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// A mailbox for a job of this thread.
    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::new(Mailbox::new(self.waker()))
    }

    /// Whether it takes jobs.
    pub(crate) fn is_alive(&self) -> bool {
        !lock(&self.slot).gone
    }

    /// Gives it a job, unless it is gone.
    pub(crate) fn give(&self, job: Job) -> Result<(), Box<Job>> {
        let mut slot = lock(&self.slot);
        if slot.gone {
            return Err(Box::new(job));
        }
        slot.job = Some(job);
        drop(slot);
        self.waker.wake();
        Ok(())
    }
}

impl Drop for Handle {
    /// Returns when the workers are gone.
    fn drop(&mut self) {
        lock(&self.slot).end = true;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic, which would be this crate's own, was printed by its hook.
            let _ended = thread.join();
        }
    }
}
