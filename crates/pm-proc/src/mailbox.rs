//! The way of finished chunks from the driver to the caller.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use pm_api::PmError;
use pm_api::backend::{Finished, RunEnd};
use worker_process::Waker;

/// A queue from the driver of a run to its caller; the driver looks how full it is and never waits.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// How many chunks may wait.
    limit: AtomicUsize,
    state: Mutex<State>,
    came: Condvar,
    /// Wakes the driver when there is room again.
    waker: Waker,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Finished>,
    /// Whether the caller waits; a bell that nobody hears is still a call of the system.
    awaited: bool,
    /// Whether the driver waits for room.
    paused: bool,
    /// Whether the driver knows of the limit.
    limit_known: bool,
    end: RunEnd,
    error: Option<PmError>,
    /// Whether all is said, so that nobody waits for more.
    is_over: bool,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Self {
        let state = State {
            chunks: VecDeque::new(),
            awaited: false,
            paused: false,
            limit_known: false,
            end: RunEnd::default(),
            error: None,
            is_over: false,
            closed: false,
        };
        let limit = AtomicUsize::new(usize::MAX);
        Self { limit, state: Mutex::new(state), came: Condvar::new(), waker }
    }

    /// Puts chunks in, unless nobody wants them any more; none are left in `chunks`.
    pub(crate) fn put(&self, chunks: &mut Vec<Finished>) {
        if chunks.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            // Outputs are the user's and may do anything when dropped; not under the lock.
            drop(state);
            chunks.clear();
            return;
        }
        state.chunks.extend(chunks.drain(..));
        // One caller waits, and only while there is nothing.
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.came.notify_one();
        }
    }

    /// How many chunks more may be begun when `n_flying` are, or are about to be put in; if none,
    /// the driver is woken when some may.
    pub(crate) fn room(&self, n_flying: usize, n_workers: usize) -> usize {
        if !self.is_limited() {
            return usize::MAX;
        }
        let mut state = self.lock();
        let most = self.limit.load(Ordering::Acquire).saturating_add(n_workers);
        let room = most.saturating_sub(n_flying.saturating_add(state.chunks.len()));
        state.paused = room == 0;
        room
    }

    /// Says that nothing comes any more, and how it ended.
    pub(crate) fn over(&self, end: Result<RunEnd, PmError>) {
        let mut state = self.lock();
        if !state.is_over {
            state.is_over = true;
            match end {
                Ok(end) => state.end = end,
                Err(error) => state.error = Some(error),
            }
        }
        drop(state);
        self.came.notify_all();
    }

    /// Waits for the next chunk; `None` when there is none any more.
    pub(crate) fn take(&self) -> Option<Finished> {
        let mut state = self.lock();
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                let paused = std::mem::take(&mut state.paused);
                drop(state);
                if paused {
                    self.waker.wake();
                }
                return Some(chunk);
            }
            if state.is_over {
                return None;
            }
            state.awaited = true;
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How it ended; given once.
    pub(crate) fn take_end(&self) -> RunEnd {
        std::mem::take(&mut self.lock().end)
    }

    /// Why it could not go on, if so; given once.
    pub(crate) fn take_error(&self) -> Option<PmError> {
        self.lock().error.take()
    }

    /// Lets at most `n_chunks` wait from now on; returns when the driver has taken back what waits
    /// at workers beyond that.
    pub(crate) fn limit(&self, n_chunks: usize) {
        let mut state = self.lock();
        self.limit.store(n_chunks, Ordering::Release);
        self.waker.wake();
        while !state.limit_known && !state.is_over {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether only so many chunks may wait.
    pub(crate) fn is_limited(&self) -> bool {
        self.limit.load(Ordering::Acquire) != usize::MAX
    }

    /// Says that the limit is kept from now on.
    pub(crate) fn know_limit(&self) {
        self.lock().limit_known = true;
        self.came.notify_all();
    }

    /// Turns away all chunks from now on, and drops those that wait.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.limit.store(usize::MAX, Ordering::Release);
        let chunks = std::mem::take(&mut state.chunks);
        drop(state);
        drop(chunks);
        self.waker.wake();
    }

    /// Waits until nothing comes any more.
    pub(crate) fn wait_until_over(&self) {
        let mut state = self.lock();
        while !state.is_over {
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
