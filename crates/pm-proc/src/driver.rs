//! The thread that has the workers: waits with them for a run, and drives it to its end.

mod board;
mod end;

use std::io::{self, PipeWriter, Write as _};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pm_api::backend::{
    Fault, Finished, Outputs, Run, RunEnd, Take, Ticket, Verdict, by_reference, catch_panic,
};
use pm_api::{CodecError, FailureKind, LostWorker, PmError, Schedule};
use worker_process::{Ended, Event, Part, Pool, Received};

use crate::ProcessesManager;
use crate::handle::{Args, Job, Slot, lock};
use crate::mailbox::Mailbox;
use crate::piece::{Piece, Seen};
use crate::posted::Posted;
use crate::seat::{Flight, Seat};
use crate::shared::Given;
use crate::times::SharedTimes;
use crate::wire::{Answer, Group, INLINE, Order, frame, read};

/// So many finished chunks at most are kept back from the caller while others come in.
const BATCH: usize = 64;

/// What goes to a worker beside the orders, which it takes one after the other.
struct Line {
    /// The arrays that its process has.
    given: Given,
    /// Tells it of a cancelled run.
    cancel: PipeWriter,
}

pub(crate) struct Driver {
    pool: Pool,
    /// Where the workers share their times; ends when the pool has.
    times: Option<SharedTimes>,
    /// What each worker listens to besides orders; none if it does not listen yet.
    lines: Vec<Option<Line>>,
    /// What all workers take chunks from.
    posted: Posted,
    grace: Duration,
    idle: Duration,
    n_runs: u64,
    /// Parameters are encoded here, over and over.
    params: Vec<u8>,
}

impl Driver {
    pub(crate) fn new(
        pool: Pool,
        times: Option<SharedTimes>,
        grace: Duration,
        idle: Duration,
    ) -> io::Result<Self> {
        let n_workers = pool.n_workers();
        Ok(Self {
            pool,
            times,
            lines: (0..n_workers).map(|_| None).collect(),
            posted: Posted::new()?,
            grace,
            idle,
            n_runs: 0,
            params: Vec::new(),
        })
    }

    pub(crate) fn serve(mut self, slot: &Mutex<Slot>) {
        struct Gone<'a>(&'a Mutex<Slot>);
        impl Drop for Gone<'_> {
            fn drop(&mut self) {
                lock(self.0).gone = true;
            }
        }
        /// Whatever happens, nobody waits for ever.
        struct Over(Arc<Mailbox>);
        impl Drop for Over {
            fn drop(&mut self) {
                self.0.over(Ok(RunEnd::default()));
            }
        }
        let gone = Gone(slot);
        while let Some(job) = self.next_job(slot) {
            let over = Over(Arc::clone(&job.mailbox));
            self.n_runs += 1;
            let n_workers = job.queue.n_workers();
            let seats = (0..n_workers).map(|_| Seat::default()).collect();
            // The time of a chunk begins when it is handed out; on the board it would lie.
            let by_board = job.run.timeout().is_none()
                && matches!(job.run.schedule(), Schedule::Dynamic { .. });
            let course = Course {
                driver: &mut self,
                job: &job,
                seats,
                n_flying: 0,
                lost: Vec::new(),
                why: vec![None; n_workers],
                cancelled: None,
                later: None,
                is_limited: false,
                by_board,
                nothing_more: None,
                finished: Vec::new(),
            };
            let end = course.run();
            // The last of the user's values are dropped before the caller goes on.
            drop(job);
            if end.is_err() {
                lock(slot).gone = true;
                over.0.over(end);
                break;
            }
            over.0.over(end);
        }
        drop(gone);
        self.pool.shutdown();
    }

    /// Waits for a job; `None` when there will be none.
    fn next_job(&mut self, slot: &Mutex<Slot>) -> Option<Job> {
        let until = Instant::now().checked_add(self.idle);
        loop {
            let mut slot = lock(slot);
            if let Some(job) = slot.job.take() {
                return Some(job);
            }
            if slot.end || until.is_some_and(|until| until <= Instant::now()) {
                slot.gone = true;
                return None;
            }
            drop(slot);
            match self.pool.wait(until) {
                Ok(Event::Exited { worker, .. }) => self.lines[worker] = None,
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Makes sure that the process of a worker lives and listens.
    fn revive(&mut self, worker: usize) -> Result<(), Fault> {
        let lost = |error: &dyn std::error::Error| {
            let text = format!("its worker process could not be started again: {error}");
            Fault::new(FailureKind::Lost, text)
        };
        if !self.pool.is_running(worker) {
            self.lines[worker] = None;
            self.pool.respawn(worker).map_err(|error| lost(&error))?;
        }
        if self.lines[worker].is_none() {
            let (reader, cancel) = io::pipe().map_err(|error| lost(&error))?;
            let order = frame(&Order::Listen, &[]);
            let parts = [Part::Fd(reader.as_fd()), Part::Fd(self.posted.fd())];
            self.pool.send(worker, &order, &parts).map_err(|error| lost(&error))?;
            self.lines[worker] = Some(Line { given: Given::default(), cancel });
        }
        Ok(())
    }
}

/// One run.
struct Course<'a> {
    driver: &'a mut Driver,
    job: &'a Job,
    seats: Vec<Seat>,
    /// Chunks at the workers.
    n_flying: usize,
    lost: Vec<LostWorker>,
    /// What a worker did to be killed for it by the pool.
    why: Vec<Option<String>>,
    /// Until when tasks may go on, once the run is cancelled.
    cancelled: Option<Instant>,
    /// When there may be a chunk for those who found none.
    later: Option<Instant>,
    /// Whether the caller is known to want only so many chunks at a time.
    is_limited: bool,
    /// What the caller was not given yet, and is as soon as nothing more comes at once.
    finished: Vec<Finished>,
    /// Whether chunks may go by the board.
    by_board: bool,
    /// Whether there was nothing for the board when it was last asked for, and will not be.
    nothing_more: Option<bool>,
}

fn backend(error: impl std::error::Error + Send + Sync + 'static) -> PmError {
    PmError::Backend { manager: ProcessesManager::NAME, source: Box::new(error) }
}

/// What the end of a process is to its tasks.
fn death(ended: Ended) -> Fault {
    let kind = match ended {
        Ended::Signal(signal) => FailureKind::Killed { signal },
        Ended::Code(code) => FailureKind::Exited { code },
        Ended::Unknown => FailureKind::Lost,
    };
    Fault::new(kind, format!("its worker process ended with {ended}"))
}

impl Course<'_> {
    fn run(mut self) -> Result<RunEnd, PmError> {
        loop {
            self.look_at_cancel();
            self.look_at_limit();
            let by_board = self.fill_board();
            for rank in 0..self.seats.len() {
                if by_board {
                    self.lead_to_board(rank);
                } else {
                    self.deal(rank);
                }
            }
            if self.n_flying == 0 && self.seats.iter().all(|seat| seat.retired || seat.done) {
                break;
            }
            let event = match self.driver.pool.next_ready() {
                Some(event) => event,
                None => self.wait()?,
            };
            match event {
                Event::Frame { worker, bytes, parts } => {
                    self.answer(worker, &bytes, &parts);
                    // The next long one may take a while.
                    if !parts.is_empty() || self.finished.len() >= BATCH {
                        self.job.mailbox.put(&mut self.finished);
                    }
                }
                Event::Exited { worker, ended } => self.exited(worker, ended),
                Event::Broken { worker, error } => {
                    let text = format!("its worker said what makes no sense: {error}");
                    self.why[worker] = Some(text);
                }
                Event::Deadline => self.look_at_the_clock(),
                Event::Woken => {}
            }
        }
        self.job.mailbox.put(&mut self.finished);
        self.job.mailbox.know_limit();
        self.end()?;
        let mut lost_workers = std::mem::take(&mut self.lost);
        lost_workers.sort_by_key(|worker| worker.rank);
        let not_started = self.job.queue.drain();
        Ok(RunEnd { n_workers: self.seats.len(), not_started, lost_workers })
    }

    /// Gives the caller what there is, and waits for more.
    fn wait(&mut self) -> Result<Event, PmError> {
        self.job.mailbox.put(&mut self.finished);
        let n_posted = self.driver.posted.len() / self.seats.len();
        for (rank, seat) in self.seats.iter().enumerate() {
            // With half of it done it needs not wait for more.
            let n = if seat.at_board { n_posted } else { seat.flights.len() };
            let n = if n > 4 { n / 2 } else { 1 };
            self.driver.pool.set_batch(rank, u32::try_from(n).unwrap_or(1));
        }
        self.driver.pool.wait(self.deadline()).map_err(backend)
    }

    /// Tells the workers that the run was cancelled.
    fn look_at_cancel(&mut self) {
        if self.cancelled.is_some() || !self.job.run.cancel_token().is_cancelled() {
            return;
        }
        self.cancelled = Some(Instant::now() + self.driver.grace);
        self.recall();
        self.stir();
        if let Some(group) = &self.job.group {
            group.cancel();
        }
        for rank in (0..self.seats.len()).filter(|rank| self.seats[*rank].begun) {
            if let Some(line) = &mut self.driver.lines[rank] {
                // Who is gone needs not hear it.
                let _heard = line.cancel.write_all(&self.driver.n_runs.to_ne_bytes());
            }
        }
    }

    /// Takes back what waits at workers, once the caller wants only so many chunks at a time.
    fn look_at_limit(&mut self) {
        if self.is_limited || !self.job.mailbox.is_limited() {
            return;
        }
        self.is_limited = true;
        self.recall();
        self.job.mailbox.know_limit();
        self.stir();
    }

    /// Until when to wait for events.
    fn deadline(&self) -> Option<Instant> {
        let cancelled = self.cancelled.filter(|_| self.n_flying > 0);
        let timed = self.job.run.timeout().and_then(|_| self.job.queue.next_deadline());
        let timed = timed.map(|(_, _, deadline)| deadline + self.driver.grace);
        [cancelled, timed, self.later].into_iter().flatten().min()
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        self.stir();
        let grace = self.driver.grace;
        if self.job.run.timeout().is_some() {
            while let Some((rank, ticket, deadline)) = self.job.queue.next_deadline() {
                let at_work = self.seats[rank].flights.front();
                let limit = self.job.queue.limit(ticket.indices().len()).unwrap_or_default();
                if deadline + grace > now || at_work.is_none_or(|flight| flight.ticket != ticket) {
                    break;
                }
                self.kill(rank, &Fault::timeout(limit), limit + grace);
            }
        }
        if self.cancelled.is_some_and(|at| at <= now) {
            let text = "the run was cancelled, and the task did not stop";
            let fault = Fault::new(FailureKind::Cancelled, text);
            for rank in 0..self.seats.len() {
                if !self.seats[rank].flights.is_empty() || self.driver.posted.is_at_work(rank) {
                    self.kill(rank, &fault, grace);
                }
            }
        }
    }

    /// Lets those be asked for again who found nothing to do.
    fn stir(&mut self) {
        (self.later, self.nothing_more) = (None, None);
        for seat in &mut self.seats {
            (seat.idle, seat.done) = (false, false);
        }
    }

    /// Whether the caller has no room for what more chunks would give.
    fn is_full(&self) -> bool {
        // A cancelled run hands out nothing, however full the mailbox is.
        let n_more = self.n_flying + self.finished.len();
        self.cancelled.is_none() && self.job.mailbox.room(n_more, self.seats.len()) == 0
    }

    /// Gives a worker as many chunks as it may have.
    fn deal(&mut self, rank: usize) {
        // The time of a chunk begins when it is handed out. And where tasks go one by one to whoever
        // is free, one may be what another waits for, which must not lie behind it.
        let run = &self.job.run;
        let one_by_one = matches!(run.schedule(), Schedule::Dynamic { .. });
        let may_wait = run.timeout().is_none() && !one_by_one;
        loop {
            let seat = &self.seats[rank];
            let depth = seat.depth(may_wait);
            if seat.retired || seat.killed.is_some() || seat.idle || seat.flights.len() >= depth {
                return;
            }
            if seat.at_board || self.is_full() {
                return;
            }
            match self.job.queue.try_take(rank, seat.has_model) {
                Take::Chunk(ticket) => self.send(rank, ticket),
                Take::Later(at) => {
                    self.later = self.later.into_iter().chain(at).min();
                    self.rest(rank, false);
                }
                Take::Done => self.rest(rank, true),
            }
        }
    }

    /// Notes that there is nothing for a worker at the moment, or any more.
    fn rest(&mut self, rank: usize, done: bool) {
        let seat = &mut self.seats[rank];
        (seat.idle, seat.done) = (true, done);
        if seat.flights.is_empty() {
            // It cannot come to a collective that others may be waiting in.
            let reason = if done { "it has no more tasks" } else { "it has no task at the moment" };
            self.leave_group(rank, reason);
        }
    }

    fn leave_group(&mut self, rank: usize, reason: &str) {
        if let Some(group) = &self.job.group
            && !std::mem::replace(&mut self.seats[rank].left, true)
        {
            group.leave(rank, reason);
        }
    }

    /// Tells a worker of the run, if it does not know of it.
    fn begin(&mut self, rank: usize) -> Result<(), Fault> {
        if self.seats[rank].begun {
            return Ok(());
        }
        self.driver.revive(rank)?;
        let Job { run, args, arrays, group, .. } = self.job;
        if let Some(line) = &mut self.driver.lines[rank] {
            let pool = &mut self.driver.pool;
            let given = line.given.sweep(pool, rank).map(|()| line.given.give(pool, rank, arrays));
            given
                .map_err(|error| Fault::from_error(FailureKind::Lost, error))?
                .map_err(|error| Fault::from_error(FailureKind::Encode, error))?
                .map_err(|error| Fault::from_error(FailureKind::Lost, error))?;
        }
        let seat = &mut self.seats[rank];
        let mut parts = Vec::new();
        let short = match args {
            Args::Short(bytes) => &bytes[..],
            Args::Long(frozen) => {
                parts.push(Part::Frozen(frozen));
                &[]
            }
        };
        let group = match group {
            None => Group::Alone,
            Some(_) if seat.replaced => Group::Gone,
            Some(group) => {
                parts.push(Part::Fd(group.fd()));
                Group::Member
            }
        };
        let order = Order::Begin {
            run: self.driver.n_runs,
            task: run.task_name(),
            rank,
            n_workers: self.job.queue.n_workers(),
            seed: run.seed(),
            group,
        };
        let sent = self.driver.pool.send(rank, &frame(&order, short), &parts);
        sent.map_err(|error| Fault::from_error(FailureKind::Lost, error))?;
        seat.begun = true;
        Ok(())
    }

    /// Sends a chunk to a worker.
    fn send(&mut self, rank: usize, ticket: Ticket) {
        let building = !self.seats[rank].has_model;
        if let Err(fault) = self.begin(rank) {
            return self.retire(rank, ticket, &fault);
        }
        let indices = ticket.indices();
        let limit = self.job.queue.limit(indices.len());
        let order = Order::Chunk {
            start: indices.start,
            end: indices.end,
            attempt: ticket.attempt(),
            limit_ns: limit.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
            n_seen: self.seats[rank].n_seen,
        };
        let lent = match self.send_params(rank, &order, &ticket) {
            Ok(lent) => lent,
            Err(fault) => {
                if building {
                    self.job.queue.built(&ticket);
                }
                let verdict = self.job.queue.finish(ticket, Err(fault), Duration::ZERO);
                return self.report(verdict);
            }
        };
        self.n_flying += 1;
        self.seats[rank].flights.push_back(Flight { ticket, building, _params: lent });
    }

    fn send_params(
        &mut self,
        rank: usize,
        order: &Order<'_>,
        ticket: &Ticket,
    ) -> Result<Option<worker_process::Lent>, Fault> {
        let Driver { pool, params, lines, .. } = &mut *self.driver;
        let run = &self.job.run;
        let failed = |error| Fault::from_error(FailureKind::Encode, error);
        let arena = pool.arena().clone();
        let mut piece = Piece::new(&arena);
        let (encoded, arrays) = by_reference(|| {
            catch_panic(|| run.encode_params_to(ticket.indices(), params, &mut piece))
        });
        let encoded = encoded.map_err(|panic| Fault::new(FailureKind::Encode, panic))?;
        let is_long = encoded.map_err(|error| Fault::from_error(FailureKind::Encode, error))?;
        let mut lent = None;
        let given = match &mut lines[rank] {
            Some(line) => line.given.give(pool, rank, &arrays).map_err(failed)?,
            None => Ok(()),
        };
        let sent = if given.is_err() {
            given
        } else if !is_long && params.len() <= INLINE {
            pool.send(rank, &frame(order, params), &[])
        } else {
            let lent = lent.insert(piece.lend(params).map_err(failed)?);
            pool.send(rank, &frame(order, &[]), &[Part::Lent(lent)])
        };
        if let Err(error) = sent {
            // Its end comes as an event, and the chunk is taken from it then.
            self.why[rank] = Some(format!("its worker takes no orders: {error}"));
            let _gone = pool.kill(rank);
        }
        Ok(lent)
    }

    /// Takes in what a worker says.
    fn answer(&mut self, rank: usize, bytes: &[u8], parts: &[Received]) {
        if rank >= self.seats.len() || self.seats[rank].killed.is_some() {
            // Too late.
            return;
        }
        let Some((answer, rest)) = read::<Answer>(bytes) else {
            self.why[rank] = Some("its worker gave no answer that makes sense".to_owned());
            let _gone = self.driver.pool.kill(rank);
            return;
        };
        match answer {
            Answer::Timed => self.seats[rank].timed = self.driver.pool.pid(rank),
            Answer::Built => {
                let seat = &mut self.seats[rank];
                seat.has_model = true;
                if let Some(flight) = seat.flights.front_mut()
                    && std::mem::take(&mut flight.building)
                {
                    self.job.queue.built(&flight.ticket);
                }
                self.stir();
            }
            Answer::Done { number, took_ns } => {
                let took = Duration::from_nanos(took_ns);
                let Some(flight) = self.landed(rank, number) else { return };
                let seat = &mut self.seats[rank];
                (seat.took, seat.n_seen) = (Some(took), seat.n_seen + 1);
                let outputs = match parts {
                    [Received::View(view)] => self.decode(&flight.ticket, |run, indices| {
                        run.decode_outputs_from(indices, &Seen(view))
                    }),
                    _ => self
                        .decode(&flight.ticket, |run, indices| run.decode_outputs(indices, rest)),
                };
                let verdict = self.job.queue.finish(flight.ticket, outputs, took);
                self.report(verdict);
            }
            Answer::Failed { number, fault, took_ns } => {
                let took = Duration::from_nanos(took_ns);
                let Some(flight) = self.landed(rank, number) else { return };
                let seat = &mut self.seats[rank];
                // It has said so itself.
                seat.left = true;
                seat.took = Some(took);
                if fault.kind() == FailureKind::Panic {
                    seat.has_model = false;
                    if let Some(next) = seat.flights.front_mut() {
                        next.building = true;
                        self.job.queue.rebuilding(&next.ticket);
                    }
                }
                let verdict = self.job.queue.finish(flight.ticket, Err(fault), took);
                self.report(verdict);
            }
            Answer::NoModel { fault } => {
                let Some(flight) = self.land(rank) else { return };
                self.seats[rank].left = true;
                self.put_back(rank);
                self.retire(rank, flight.ticket, &fault);
            }
            Answer::NotBegun { number } => {
                let Some(flight) = self.landed(rank, number) else { return };
                if flight.building {
                    self.job.queue.built(&flight.ticket);
                }
                self.job.queue.put_back(flight.ticket);
                self.stir();
            }
            Answer::NothingThere => {
                self.seats[rank].at_board = false;
                self.stir();
            }
            Answer::Ended { .. } => {}
        }
    }

    fn decode(
        &self,
        ticket: &Ticket,
        decode: impl FnOnce(&Run, Range<usize>) -> Result<Outputs, CodecError>,
    ) -> Result<Outputs, Fault> {
        let decoded = catch_panic(|| decode(&self.job.run, ticket.indices()));
        let outputs = decoded.map_err(|panic| Fault::new(FailureKind::Decode, panic))?;
        outputs.map_err(|error| Fault::from_error(FailureKind::Decode, error))
    }

    /// Takes the chunk that a worker is at out of the list of those that it has.
    fn land(&mut self, rank: usize) -> Option<Flight> {
        let flight = self.seats[rank].flights.pop_front()?;
        self.n_flying -= 1;
        Some(flight)
    }

    /// Puts back what a worker has not begun.
    fn put_back(&mut self, rank: usize) {
        while let Some(flight) = self.land(rank) {
            if flight.building {
                self.job.queue.built(&flight.ticket);
            }
            self.job.queue.put_back(flight.ticket);
        }
    }

    fn report(&mut self, verdict: Verdict) {
        if let Verdict::Report(finished) = verdict {
            self.finished.push(finished);
        }
        self.stir();
    }

    /// Takes a worker out of the run that has no model for a chunk.
    fn retire(&mut self, rank: usize, ticket: Ticket, fault: &Fault) {
        let reason = format!("it could not build its model: {}", fault.message());
        self.leave_group(rank, &reason);
        self.seats[rank].retired = true;
        for indices in self.job.queue.retire(rank, ticket) {
            let (worker, outputs) = (Some(rank), Err(fault.clone()));
            let (attempts, took) = (0, Duration::ZERO);
            self.finished.push(Finished { indices, worker, outputs, attempts, took });
        }
        self.lost.push(LostWorker::new(rank, fault.clone()));
        self.stir();
    }

    /// Kills a worker that does not come to the end of its chunk.
    fn kill(&mut self, rank: usize, fault: &Fault, took: Duration) {
        self.seats[rank].killed = Some(fault.clone());
        let _gone = self.driver.pool.kill(rank);
        self.leave_group(rank, fault.message());
        let flight = self.salvage(rank);
        self.put_back(rank);
        let Some(Flight { ticket, building, .. }) = flight else { return };
        if building {
            self.job.queue.built(&ticket);
        }
        self.lost.push(LostWorker::new(rank, fault.clone()));
        let verdict = self.job.queue.abandon(ticket, fault.clone(), took);
        self.report(verdict);
    }

    /// Learns that a process has ended.
    fn exited(&mut self, worker: usize, ended: Ended) {
        self.driver.lines[worker] = None;
        self.report_times(worker);
        let Some(seat) = self.seats.get_mut(worker) else { return };
        let is_first = !seat.replaced;
        seat.replaced |= seat.begun;
        (seat.begun, seat.has_model, seat.took, seat.n_seen) = (false, false, None, 0);
        let fault = match self.why[worker].take() {
            Some(text) => Fault::new(FailureKind::Lost, text),
            None => death(ended),
        };
        if seat.killed.take().is_none() && seat.replaced {
            self.leave_group(worker, fault.message());
            let flight = self.salvage(worker);
            self.put_back(worker);
            let pinned = self.job.run.schedule() == &Schedule::EachWorker;
            match flight {
                // It may be nobody's fault, and nothing of the user's was done yet but building: a
                // second process tries it. That of an SPMD function would be late for its peers.
                Some(Flight { ticket, building: true, .. }) if is_first && !pinned => {
                    self.send(worker, ticket);
                }
                Some(Flight { ticket, building: true, .. }) => {
                    self.retire(worker, ticket, &fault);
                }
                Some(Flight { ticket, .. }) => {
                    self.lost.push(LostWorker::new(worker, fault.clone()));
                    let verdict = self.job.queue.abandon(ticket, fault, Duration::ZERO);
                    self.report(verdict);
                }
                // It was at no work of anybody's.
                None => {}
            }
        }
        self.stir();
    }
}
