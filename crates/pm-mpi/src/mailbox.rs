//! The way of finished chunks to the caller on rank 0.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use pm_api::backend::{Finished, RunEnd};

use crate::mail::{Body, Inbox, Letter};

/// A queue from the driver of a run to the caller, which may limit it or close it later.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    came: Condvar,
    /// Where the driver hears that there is room again.
    driver: Arc<Inbox>,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Finished>,
    limit: usize,
    closed: bool,
    end: Option<Result<RunEnd, String>>,
}

impl Mailbox {
    pub(crate) fn new(driver: Arc<Inbox>) -> Self {
        let chunks = VecDeque::new();
        let state = State { chunks, limit: usize::MAX, closed: false, end: None };
        Self { state: Mutex::new(state), came: Condvar::new(), driver }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.put(Letter { source: 0, body: Body::Wake, payload: Vec::new() });
    }

    /// Whether no more should be begun for now.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.lock();
        state.chunks.len() >= state.limit && !state.closed
    }

    pub(crate) fn put(&self, chunk: Finished) {
        let mut state = self.lock();
        if state.closed {
            // Outputs are the user's and may do anything when dropped; not under the lock.
            drop(state);
            return;
        }
        state.chunks.push_back(chunk);
        drop(state);
        self.came.notify_one();
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&self, end: Result<RunEnd, String>) {
        self.lock().end = Some(end);
        self.came.notify_one();
    }

    /// Waits for a chunk; `None` after the last one, when [`take_end`](Self::take_end) has the end.
    pub(crate) fn take(&self) -> Option<Finished> {
        let mut state = self.lock();
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                let is_limited = state.limit < usize::MAX;
                drop(state);
                if is_limited {
                    self.wake_driver();
                }
                return Some(chunk);
            }
            if state.end.is_some() {
                return None;
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn take_end(&self) -> Result<RunEnd, String> {
        self.lock().end.take().unwrap_or_else(|| Ok(RunEnd::default()))
    }

    /// Lets at most `n_chunks` wait from now on.
    pub(crate) fn limit(&self, n_chunks: usize) {
        self.lock().limit = n_chunks;
    }

    /// Turns away all chunks from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let chunks = std::mem::take(&mut state.chunks);
        drop(state);
        drop(chunks);
        self.wake_driver();
    }
}
