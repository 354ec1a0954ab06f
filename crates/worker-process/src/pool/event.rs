//! Waiting for what workers do.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::PollFd;
use rustix::process::Signal;

use super::{Life, Pool};
use crate::channel::{LinkError, Message, Received, wire};
use crate::error::{Ended, PoolError};
use crate::guard;
use crate::sync::wait::{Idle, poll};

/// After so many frames without a pause there is a look at descriptors and at the clock, so that a
/// busy worker does not hide the death of another, nor the deadline.
const FRAMES_PER_LOOK: u32 = 128;

/// For how long a worker may keep quiet about frames that wait for more; then the pool looks.
const PATIENCE: Duration = Duration::from_micros(200);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A worker sent a frame.
    Frame {
        /// The number of the worker.
        worker: usize,
        /// The bytes.
        bytes: Vec<u8>,
        /// The parts, in the order in which they were sent.
        parts: Vec<Received>,
    },
    /// A worker has ended. All frames that it had sent whole came before this.
    Exited {
        /// The number of the worker.
        worker: usize,
        /// How it ended.
        ended: Ended,
    },
    /// A worker sent what makes no sense. It was killed for that; its end comes as an event, too.
    Broken {
        /// The number of the worker.
        worker: usize,
        /// What was wrong.
        error: LinkError,
    },
    /// The deadline passed.
    Deadline,
    /// A [`Waker`](super::Waker) was used.
    Woken,
}

impl Pool {
    /// Waits for the next event.
    ///
    /// Frames of one worker come in the order in which it sent them. Without workers that run, and
    /// without a deadline, only a waker ends the wait.
    ///
    /// # Errors
    ///
    /// When the system can not wait.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<Event, PoolError> {
        let lives = || self.seats.iter().filter_map(|seat| seat.life.as_ref());
        let mut patient = lives().any(|life| life.batch > 1);
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            self.n_since_look += 1;
            if self.n_since_look >= FRAMES_PER_LOOK {
                self.n_since_look = 0;
                self.look_around(Some(Instant::now()))?;
                if !self.pending.is_empty() {
                    continue;
                }
                if deadline.is_some_and(|at| at <= Instant::now()) {
                    return Ok(Event::Deadline);
                }
            }
            if let Some(event) = self.next_frame() {
                return Ok(event);
            }
            if self.woken.swap(false, Ordering::AcqRel) {
                return Ok(Event::Woken);
            }
            let (seats, woken) = (&self.seats, &self.woken);
            let late = || deadline.is_some_and(|at| at <= Instant::now());
            let lives = || seats.iter().filter_map(|seat| seat.life.as_ref());
            let idle = if late() {
                Idle::LookAround
            } else if lives().any(|life| !life.broken && life.link.awaits_socket()) {
                Idle::Sleep
            } else {
                self.spinner.look(|| {
                    let ready = |life: &Life| !life.broken && life.link.is_ready();
                    lives().any(ready) || woken.load(Ordering::Relaxed)
                })
            };
            if idle == Idle::Ready {
                continue;
            }
            if late() {
                // Who asks again and again with a deadline in the past learns of ends, too.
                self.look_around(Some(Instant::now()))?;
                return Ok(self.pending.pop_front().unwrap_or(Event::Deadline));
            }
            let mut asleep = idle == Idle::Sleep;
            for life in self.seats.iter_mut().filter_map(|seat| seat.life.as_mut()) {
                let n_frames = if patient { life.batch } else { 1 };
                asleep &= life.broken || life.link.fall_asleep(n_frames);
            }
            let until = match asleep {
                false => Some(Instant::now()),
                true if patient => {
                    let look = Instant::now() + PATIENCE;
                    Some(deadline.map_or(look, |deadline| deadline.min(look)))
                }
                true => deadline,
            };
            // Whoever has not come to a rest by then takes long.
            patient &= !asleep;
            let looked = self.look_around(until);
            for life in self.seats.iter().filter_map(|seat| seat.life.as_ref()) {
                life.link.wake_up();
            }
            self.spinner.woken();
            looked?;
        }
    }

    /// The next event that is there already; `None` also now and then when there is one, so that
    /// whoever asks until there is none calls [`wait`](Self::wait) often enough.
    pub fn next_ready(&mut self) -> Option<Event> {
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        if self.n_since_look + 1 >= FRAMES_PER_LOOK {
            return None;
        }
        self.n_since_look += 1;
        self.next_frame()
    }

    /// The next frame of any worker; they take turns.
    fn next_frame(&mut self) -> Option<Event> {
        let n_workers = self.seats.len();
        for step in 0..n_workers {
            let worker = (self.turn + step) % n_workers;
            let Some(life) = &mut self.seats[worker].life else { continue };
            if life.broken {
                continue;
            }
            // What is gone shows as the end of the process.
            let _flushed = life.link.flush();
            match life.link.receive() {
                Ok(None) => {}
                Ok(Some(Message { kind: wire::USER, bytes, parts })) => {
                    self.turn = (worker + 1) % n_workers;
                    return Some(Event::Frame { worker, bytes, parts });
                }
                Ok(Some(Message { kind, .. })) => {
                    let what = format!("a frame of kind {kind}");
                    return Some(self.give_up(worker, LinkError::Garbled { what }));
                }
                Err(error) => return Some(self.give_up(worker, error)),
            }
        }
        None
    }

    /// Kills a worker that can not be understood.
    fn give_up(&mut self, worker: usize, error: LinkError) -> Event {
        if let Some(life) = &mut self.seats[worker].life {
            life.broken = true;
            life.process.signal(Signal::KILL);
        }
        Event::Broken { worker, error }
    }

    /// Looks at all descriptors, until there is something or the deadline passes.
    pub(super) fn look_around(&mut self, deadline: Option<Instant>) -> Result<(), PoolError> {
        let mut fds: Vec<PollFd<'_>> = vec![self.bell.poll_fd()];
        for life in self.seats.iter().filter_map(|seat| seat.life.as_ref()) {
            fds.push(life.process.poll_fd());
            if !life.broken {
                fds.push(life.link.poll_fd());
            }
        }
        let wait = |errno: rustix::io::Errno| PoolError::Wait { source: errno.into() };
        poll(&mut fds, deadline).map_err(wait)?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        let mut next = || ready.next().unwrap_or_default();
        if next() {
            self.bell.reset();
        }
        for worker in 0..self.seats.len() {
            let Some(life) = &mut self.seats[worker].life else { continue };
            let (ended, socket) = (next(), !life.broken && next());
            if socket && let Err(error) = life.link.fill() {
                let event = self.give_up(worker, error);
                self.pending.push_back(event);
            }
            if ended {
                self.bury(worker);
            }
        }
        Ok(())
    }

    /// Takes what an ended worker has said, and tells of its end.
    pub(super) fn bury(&mut self, worker: usize) {
        let Some(life) = &mut self.seats[worker].life else { return };
        let Some(ended) = life.process.try_reap() else { return };
        while !life.broken {
            match life.link.receive() {
                Ok(Some(Message { kind: wire::USER, bytes, parts })) => {
                    self.pending.push_back(Event::Frame { worker, bytes, parts });
                }
                Ok(None) => break,
                // A frame of the wrong kind, or one that the death has cut off.
                Ok(Some(_)) | Err(_) => break,
            }
        }
        if self.config.guard {
            guard::remove(life.process.pid());
        }
        self.seats[worker].life = None;
        self.barriers.iter().for_each(crate::Barrier::poison);
        self.pending.push_back(Event::Exited { worker, ended });
    }
}
