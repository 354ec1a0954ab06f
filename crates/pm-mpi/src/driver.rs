//! Who hands out the chunks of a run, on rank 0.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pm_api::backend::{
    ChunkQueue, Fault, Finished, Run, RunEnd, Take, Ticket, Verdict, catch_panic,
};
use pm_api::{FailureKind, LostWorker};

use crate::mail::{About, Body, Inbox, Letter, Port};
use crate::mailbox::Mailbox;
use crate::team::Team;
use crate::worker::encoded;

/// Hands out the chunks of one run.
pub(crate) struct Driver {
    pub(crate) team: Arc<Team>,
    pub(crate) number: About,
    pub(crate) run: Run,
    pub(crate) queue: ChunkQueue,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Whether the other ranks have scattered the run as well, and are told what comes of it.
    pub(crate) is_shared: bool,
    pub(crate) seats: Vec<Seat>,
    pub(crate) lost: Vec<LostWorker>,
}

/// What is known of a worker.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    has_model: bool,
    ticket: Option<Ticket>,
    is_idle: bool,
    /// Whether it takes no more.
    is_done: bool,
    has_ended: bool,
}

impl Driver {
    /// Drives the run to its end.
    pub(crate) fn drive(mut self) {
        let end = if self.is_shared { self.await_others() } else { Ok(()) };
        let end = end.map(|()| {
            self.work();
            self.lost.sort_by_key(|worker| worker.rank);
            RunEnd {
                n_workers: self.seats.len(),
                not_started: self.queue.drain(),
                lost_workers: std::mem::take(&mut self.lost),
            }
        });
        if self.is_shared {
            let body = match &end {
                Ok(end) => Body::Over {
                    n_workers: end.n_workers,
                    not_started: end.not_started.iter().map(|at| (at.start, at.end)).collect(),
                    lost: end.lost_workers.iter().map(|w| (w.rank, w.fault.clone())).collect(),
                },
                Err(why) => Body::Broken { why: why.clone() },
            };
            self.tell_watchers(&body, &[]);
        }
        self.mailbox.end(end);
    }

    fn tell_watchers(&self, body: &Body, payload: &[u8]) {
        for other in 1..self.team.size() {
            self.team.post(other, self.number, Port::Watcher, body.clone(), payload);
        }
    }

    /// Waits until all ranks have scattered the run, and makes sure that it is the same one.
    fn await_others(&mut self) -> Result<(), String> {
        let expected = (self.run.task_name(), self.run.n_tasks(), self.seats.len());
        let mut missing = self.team.size() - 1;
        let mut error = None;
        let (world, inbox) = (self.team.world, Arc::clone(&self.inbox));
        while missing > 0 {
            let letter = world.wait(&inbox, None, |letters| letters.pop_front());
            let Some(Letter { source, body, .. }) = letter else { continue };
            // Who ends elsewhere has no part in it.
            let Some(source) = self.team.number_of(source) else { continue };
            match body {
                Body::Hello { task, n_tasks, n_workers } => {
                    missing -= 1;
                    let theirs = (&*task, n_tasks, n_workers);
                    if theirs != expected && error.is_none() {
                        error = Some(format!(
                            "rank {source} scattered {n_tasks} tasks {task:?} for {n_workers} \
                             workers where rank 0 scattered {} tasks {:?} for {}",
                            expected.1, expected.0, expected.2
                        ));
                    }
                }
                Body::CancelAsked => self.run.cancel_token().cancel(),
                Body::Bye => {
                    missing -= 1;
                    error.get_or_insert(format!("the program has ended on rank {source}"));
                }
                _ => {}
            }
        }
        let Some(error) = error else { return Ok(()) };
        // The workers that wait are let go.
        for rank in 0..self.team.size() {
            self.team.post(rank, self.number, Port::Worker, Body::NoMore, &[]);
        }
        Err(error)
    }

    fn work(&mut self) {
        let mut told_cancel = false;
        loop {
            if !told_cancel && self.run.cancel_token().is_cancelled() {
                told_cancel = true;
                let n_ranks = if self.is_shared { self.team.size() } else { self.seats.len() };
                for rank in 1..n_ranks {
                    self.team.post(rank, self.number, Port::Server, Body::Cancel, &[]);
                }
            }
            let wake_at = self.hand_out();
            if self.seats.iter().all(|seat| seat.has_ended) {
                return;
            }
            let (world, inbox) = (self.team.world, Arc::clone(&self.inbox));
            if let Some(letter) = world.wait(&inbox, wake_at, |letters| letters.pop_front()) {
                self.take_in(letter);
            }
        }
    }

    /// Gives every worker that has nothing to do the next chunk; when to look again at the latest.
    fn hand_out(&mut self) -> Option<Instant> {
        let mut wake_at: Option<Instant> = None;
        for rank in 0..self.seats.len() {
            let seat = &self.seats[rank];
            if seat.is_done || seat.ticket.is_some() {
                continue;
            }
            if !self.run.cancel_token().is_cancelled() && self.mailbox.is_full() {
                break;
            }
            match self.queue.try_take(rank, seat.has_model) {
                Take::Chunk(ticket) => self.send_chunk(rank, ticket),
                Take::Later(at) => {
                    wake_at = wake_at.into_iter().chain(at).min();
                    if !self.seats[rank].is_idle {
                        self.seats[rank].is_idle = true;
                        self.team.post(rank, self.number, Port::Worker, Body::Idle, &[]);
                    }
                }
                Take::Done => {
                    self.seats[rank].is_done = true;
                    self.team.post(rank, self.number, Port::Worker, Body::NoMore, &[]);
                }
            }
        }
        wake_at
    }

    fn send_chunk(&mut self, rank: usize, ticket: Ticket) {
        let indices = ticket.indices();
        // Ranks that have the run have its parameters.
        let has_params = rank == 0 || self.is_shared;
        let params = if has_params {
            Ok(Vec::new())
        } else {
            let encode = || encoded(|| self.run.encode_params(indices.clone()));
            let world = self.team.world;
            let (params, arrays) = world.by_reference(encode);
            // Only where the team is all ranks are there any.
            world.give(rank, &arrays);
            params
        };
        match params {
            Ok(params) => {
                let limit = self.queue.limit(indices.len());
                let (start, end, attempt) = (indices.start, indices.end, ticket.attempt());
                let body = Body::Chunk { start, end, attempt, limit };
                self.seats[rank].ticket = Some(ticket);
                self.team.post(rank, self.number, Port::Worker, body, &params);
            }
            Err(fault) => {
                if !self.seats[rank].has_model {
                    // It was to be built for this chunk.
                    self.queue.built(&ticket);
                }
                self.finish(ticket, Err(fault), Duration::ZERO);
                // Looks at this worker again.
                self.mailbox.wake_driver();
            }
        }
    }

    fn take_in(&mut self, letter: Letter) {
        let Letter { source, body, payload } = letter;
        let Some(rank) = self.team.number_of(source) else { return };
        match body {
            Body::CancelAsked => self.run.cancel_token().cancel(),
            Body::Built => {
                let seat = &mut self.seats[rank];
                seat.has_model = true;
                if let Some(ticket) = &seat.ticket {
                    self.queue.built(ticket);
                }
            }
            Body::Done { took } => {
                if let Some(ticket) = self.seats[rank].ticket.take() {
                    self.finish(ticket, Ok(payload), took);
                }
            }
            Body::Failed { fault, took } => {
                let seat = &mut self.seats[rank];
                if fault.kind() == FailureKind::Panic {
                    seat.has_model = false;
                }
                if let Some(ticket) = seat.ticket.take() {
                    self.finish(ticket, Err(fault), took);
                }
            }
            Body::NoModel { fault } => {
                let seat = &mut self.seats[rank];
                seat.is_done = true;
                if let Some(ticket) = seat.ticket.take() {
                    for indices in self.queue.retire(rank, ticket) {
                        let (worker, took) = (Some(rank), Duration::ZERO);
                        let outputs = Err(fault.clone());
                        let undone = Finished { indices, worker, outputs, attempts: 0, took };
                        self.report(undone, &[]);
                    }
                }
                self.lost.push(LostWorker::new(rank, fault));
            }
            Body::NotBegun => {
                if let Some(ticket) = self.seats[rank].ticket.take() {
                    self.queue.put_back(ticket);
                }
            }
            Body::Ended { has_report } => {
                let seat = &mut self.seats[rank];
                (seat.is_done, seat.has_ended) = (true, true);
                if has_report && let Some(watch) = self.run.watch(self.seats.len()) {
                    watch.worker_reported(rank, payload);
                }
            }
            _ => {}
        }
    }

    /// Takes in what came of a chunk.
    fn finish(&mut self, ticket: Ticket, outcome: Result<Vec<u8>, Fault>, took: Duration) {
        let (indices, mut bytes) = (ticket.indices(), Vec::new());
        let outputs = outcome.and_then(|encoded| {
            bytes = encoded;
            match catch_panic(|| self.run.decode_outputs(indices, &bytes)) {
                Ok(Ok(outputs)) => Ok(outputs),
                Ok(Err(error)) => Err(Fault::from_error(FailureKind::Decode, error)),
                Err(panic) => Err(Fault::new(FailureKind::Decode, panic)),
            }
        });
        if let Verdict::Report(finished) = self.queue.finish(ticket, outputs, took) {
            self.report(finished, &bytes);
        }
    }

    fn report(&self, finished: Finished, bytes: &[u8]) {
        if self.is_shared {
            let Finished { indices, worker, outputs, attempts, took } = &finished;
            let (start, end, worker) = (indices.start, indices.end, *worker);
            let (attempts, took, fault) = (*attempts, *took, outputs.as_ref().err().cloned());
            let bytes = if fault.is_some() { &[][..] } else { bytes };
            let body = Body::Finished { start, end, worker, attempts, took, fault };
            self.tell_watchers(&body, bytes);
        }
        self.mailbox.put(finished);
    }
}
