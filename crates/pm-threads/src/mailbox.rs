//! The way of finished chunks from the workers to the caller.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pm_api::LostWorker;
use pm_api::backend::Finished;

/// A queue from a known number of workers to one caller, which may limit it or close it later.
///
/// The standard library's channels are either limited or not from their start, but whether a run
/// is gathered (no limit) or streamed is known only after its workers began.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// A chunk came in, or a worker went.
    came: Condvar,
    /// A chunk was taken out, or there is no need to wait any more.
    went: Condvar,
}

/// What came of waiting for a chunk.
#[derive(Debug)]
pub(crate) enum Taken {
    /// This one came.
    Chunk(Finished),
    /// None came in time.
    Late,
    /// All workers have departed, and there is none.
    Over,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Finished>,
    limit: usize,
    closed: bool,
    /// Whether the caller waits; to wake nobody is still a call of the system.
    awaited: bool,
    /// Whether the caller is woken for the last chunk only.
    for_all: bool,
    /// How many workers wait for room.
    n_paused: usize,
    n_workers: usize,
    lost: Vec<LostWorker>,
}

impl Mailbox {
    /// Makes a queue without limit that ends when `n_workers` have called [`depart`](Self::depart).
    pub(crate) fn new(n_workers: usize) -> Self {
        let state = State {
            chunks: VecDeque::new(),
            limit: usize::MAX,
            closed: false,
            awaited: false,
            for_all: false,
            n_paused: 0,
            n_workers,
            lost: Vec::new(),
        };
        Self { state: Mutex::new(state), came: Condvar::new(), went: Condvar::new() }
    }

    /// Puts a chunk in, when there is room; returns false if nobody wants it any more.
    pub(crate) fn put(&self, chunk: Finished) -> bool {
        let mut state = self.lock();
        while state.chunks.len() >= state.limit && !state.closed {
            state.n_paused += 1;
            state = self.went.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.n_paused -= 1;
        }
        if state.closed {
            // Outputs are the user's and may do anything when dropped; not under the lock.
            drop(state);
            return false;
        }
        state.chunks.push_back(chunk);
        // One caller waits, and only while there is nothing that it wants.
        let wake = !state.for_all && std::mem::take(&mut state.awaited);
        drop(state);
        if wake {
            self.came.notify_one();
        }
        true
    }

    /// Says that a worker will put nothing more in, and why if it was lost.
    pub(crate) fn depart(&self, lost: Option<LostWorker>) {
        let mut state = self.lock();
        state.n_workers -= 1;
        state.lost.extend(lost);
        drop(state);
        self.came.notify_one();
    }

    /// Waits for a chunk until `deadline`, if there is one.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Taken {
        let mut state = self.lock();
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                let paused = state.n_paused > 0;
                drop(state);
                if paused {
                    self.went.notify_one();
                }
                return Taken::Chunk(chunk);
            }
            if state.n_workers == 0 {
                return Taken::Over;
            }
            state.awaited = true;
            let Some(deadline) = deadline else {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Taken::Late;
            }
            let woken = self.came.wait_timeout(state, wait);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets [`take`](Self::take) wait for the last chunk, if there is none when it begins: the
    /// caller needs them all.
    pub(crate) fn wait_for_all(&self) {
        self.lock().for_all = true;
    }

    /// Lets at most `n_chunks` wait from now on.
    pub(crate) fn limit(&self, n_chunks: usize) {
        self.lock().limit = n_chunks;
    }

    /// Turns away all chunks from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.went.notify_all();
    }

    /// The workers that were lost so far, by rank.
    pub(crate) fn take_lost(&self) -> Vec<LostWorker> {
        let mut lost = std::mem::take(&mut self.lock().lost);
        lost.sort_unstable_by_key(|worker| worker.rank);
        lost
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
