//! Ending workers.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Event, Pool};
use crate::channel::wire;
use crate::error::Ended;
use crate::process::KILL_TIMEOUT;

impl Pool {
    /// Asks all workers to end, waits, and uses force with those that do not.
    ///
    /// First they get [`Incoming::Shutdown`](crate::Incoming::Shutdown); after
    /// [`PoolConfig::grace`](super::PoolConfig::grace) `SIGTERM`, after as long again `SIGKILL`.
    /// Frames that arrive meanwhile are thrown away: wait for them first. What workers have printed
    /// was passed on when this returns.
    ///
    /// Returns how each ended; `None` for a place where none was running.
    pub fn shutdown(mut self) -> Vec<Option<Ended>> {
        let mut ends = vec![None; self.seats.len()];
        for life in self.seats.iter_mut().filter_map(|seat| seat.life.as_mut()) {
            // Who is gone has ended already.
            let _asked = life.link.send(wire::SHUTDOWN, &[], &[]);
        }
        self.collect(&mut ends, self.config.grace);
        self.signal_all(Signal::TERM);
        self.collect(&mut ends, self.config.grace);
        self.signal_all(Signal::KILL);
        self.collect(&mut ends, KILL_TIMEOUT);
        ends
    }

    fn signal_all(&self, signal: Signal) {
        for life in self.seats.iter().filter_map(|seat| seat.life.as_ref()) {
            life.process.signal(signal);
        }
    }

    /// Waits until all have ended, but not longer than this.
    fn collect(&mut self, ends: &mut [Option<Ended>], timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.seats.iter().any(|seat| seat.life.is_some()) {
            match self.wait(Some(deadline)) {
                Ok(Event::Exited { worker, ended }) => ends[worker] = Some(ended),
                Ok(Event::Deadline) | Err(_) => return,
                Ok(_) => {}
            }
        }
        for event in self.pending.drain(..) {
            if let Event::Exited { worker, ended } = event {
                ends[worker] = Some(ended);
            }
        }
    }
}

impl Drop for Pool {
    /// Kills all workers with what they have started, and reaps them.
    fn drop(&mut self) {
        self.signal_all(Signal::KILL);
        let mut ends = vec![None; self.seats.len()];
        self.collect(&mut ends, KILL_TIMEOUT);
        self.barriers.iter().for_each(crate::Barrier::poison);
    }
}
