//! Which worker does which chunk when.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jobdiv::{Blocks, Guided, Strided, Strides, WeightedBlocks};

use crate::backend::{Fault, Finished, Outputs, Run};
use crate::cancel::OnCancel;
use crate::{CancelToken, FailureKind, PmError, Schedule};

mod policy;

pub(crate) use policy::Policy;

/// A chunk that is done sooner lets [`Schedule::Auto`] take larger ones.
const SHORT: Duration = Duration::from_millis(1);
/// A chunk that takes longer lets [`Schedule::Auto`] take smaller ones.
const LONG: Duration = Duration::from_millis(8);
/// The part of a chunk as large as [`Schedule::Auto`] takes them that the last ones have at least:
/// of one that takes a millisecond or two, some tens of microseconds.
const AT_LEAST: usize = 64;
/// Backing off doubles so often.
const MAX_DOUBLINGS: u32 = 10;

/// The chunks of one run, handed out to its workers by the run's schedule, and again when they
/// failed and may be tried again.
///
/// Every task is handed out once, except that a worker that cannot build its model gives its chunk
/// back with [`retire`](Self::retire), and that [`finish`](Self::finish) keeps what is to be tried
/// again. Others therefore wait in [`take`](Self::take) while a chunk may still come back. One
/// lock, held for some tens of nanoseconds per chunk.
#[derive(Debug)]
pub struct ChunkQueue {
    shared: Arc<Shared>,
    /// Wakes those who wait when the run is cancelled.
    _wake: OnCancel,
}

#[derive(Debug)]
struct Shared {
    n_workers: usize,
    n_tasks: usize,
    policy: Policy,
    cancel: CancelToken,
    state: Mutex<State>,
    changed: Condvar,
}

/// A chunk in the hands of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    indices: Range<usize>,
    attempt: u32,
    /// How often its one task failed alone.
    n_retries: u32,
    /// Whether it was put back, and so comes before those that nobody had.
    unbegun: bool,
    /// Tells it from all others, also from earlier ones of the same tasks.
    serial: u64,
}

impl Ticket {
    /// Its tasks; never none.
    #[must_use]
    pub fn indices(&self) -> Range<usize> {
        self.indices.clone()
    }

    /// How often these tasks were begun, this time included.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// What [`ChunkQueue::try_take`] has for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// This chunk.
    Chunk(Ticket),
    /// Nothing now, but perhaps when another worker comes to an end of something, or at this time.
    Later(Option<Instant>),
    /// Nothing any more.
    Done,
}

/// What becomes of a chunk that a worker came to the end of.
#[derive(Debug)]
pub enum Verdict {
    /// It is to be reported.
    Report(Finished),
    /// It failed and will be tried again; nothing is reported.
    Again,
    /// It was [taken away](ChunkQueue::abandon) meanwhile: the worker ends and says nothing more.
    Abandoned,
}

#[derive(Debug)]
struct State {
    source: Source,
    /// Chunks that came back, and from when on they may be taken.
    returned: Vec<(Ticket, Option<Instant>)>,
    /// Chunks in the hands of workers.
    flights: Vec<Flight>,
    /// Workers that hold a chunk and have no model yet.
    n_building: usize,
    /// Workers that have not left.
    n_live: usize,
    n_crashes: u32,
    next_serial: u64,
    /// Threads that wait for a change; a bell that nobody hears is still a call of the system.
    n_waiting: usize,
}

#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    rank: usize,
    /// When its time is over, once it is being computed and if there is a limit.
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum Source {
    /// One block per worker, `None` once taken. If they are pinned, no other worker gets them.
    Blocks { blocks: Vec<Option<Range<usize>>>, pinned: bool },
    /// What is left for each worker, and whether it retired, so that others may take it.
    Strided(Vec<(Strided, bool)>),
    /// Chunks for whoever comes, of sizes that are known beforehand.
    Guided(Guided),
    /// `size` of the tasks from `next` on, for whoever comes.
    Shared { next: usize, size: usize, auto: bool },
}

impl ChunkQueue {
    /// Divides the tasks of `run` for `max_workers` workers, or fewer if there are not as many
    /// chunks.
    ///
    /// # Errors
    ///
    /// [`PmError::EmptyChunk`], [`PmError::CostCount`] or [`PmError::WorkerCount`] if the run's
    /// schedule makes no sense for its tasks.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0; managers with no workers are not made.
    pub fn new(run: &Run, max_workers: usize) -> Result<Self, PmError> {
        let (n_tasks, cancel) = (run.n_tasks(), run.cancel_token());
        Self::divide(run.schedule(), n_tasks, max_workers, run.policy().clone(), cancel)
    }

    fn divide(
        schedule: &Schedule,
        n_tasks: usize,
        max_workers: usize,
        policy: Policy,
        cancel: &CancelToken,
    ) -> Result<Self, PmError> {
        assert!(max_workers > 0, "a run needs a worker");
        // The divisions refuse to be made for no jobs only, so one worker stands for none here.
        let n_jobs = max_workers.min(n_tasks).max(1);
        let divided = "there is at least one worker to divide among";
        let (source, n_chunks) = match schedule {
            Schedule::Auto => {
                // A hanging task takes its neighbours with it, so a limit makes chunks small.
                let auto = policy.timeout.is_none();
                (Source::Shared { next: 0, size: 1, auto }, n_tasks)
            }
            Schedule::Static => {
                let blocks = Blocks::new(n_tasks, n_jobs).expect(divided);
                (Source::blocks(blocks.iter(), false), n_tasks)
            }
            Schedule::EachWorker => {
                if n_tasks != max_workers {
                    return Err(PmError::WorkerCount { n_workers: max_workers, n_tasks });
                }
                (Source::blocks((0..n_tasks).map(|i| i..i + 1), true), n_tasks)
            }
            Schedule::Strided => {
                let strides = Strides::new(n_tasks, n_jobs).expect(divided);
                let strides = (0..n_jobs).filter_map(|rank| strides.get(rank));
                (Source::Strided(strides.map(|stride| (stride, false)).collect()), n_tasks)
            }
            Schedule::Dynamic { chunk: 0 } => {
                return Err(PmError::EmptyChunk { schedule: "dynamic" });
            }
            &Schedule::Dynamic { chunk } => {
                (Source::Shared { next: 0, size: chunk, auto: false }, n_tasks.div_ceil(chunk))
            }
            Schedule::Guided { min: 0 } => {
                return Err(PmError::EmptyChunk { schedule: "guided" });
            }
            &Schedule::Guided { min } => {
                let chunks = Guided::new(n_tasks, max_workers, min).expect(divided);
                let n_chunks = chunks.clone().take(max_workers).count();
                (Source::Guided(chunks), n_chunks)
            }
            Schedule::Weighted(costs) => {
                if costs.len() != n_tasks {
                    return Err(PmError::CostCount { n_costs: costs.len(), n_tasks });
                }
                let blocks = WeightedBlocks::new(costs, n_jobs).expect(divided);
                (Source::blocks(blocks.iter(), false), n_tasks)
            }
        };
        let n_workers = max_workers.min(n_chunks);
        let state = State {
            source,
            returned: Vec::new(),
            flights: Vec::with_capacity(n_workers),
            n_building: 0,
            n_live: n_workers,
            n_crashes: 0,
            next_serial: 0,
            n_waiting: 0,
        };
        let shared = Arc::new(Shared {
            n_workers,
            n_tasks,
            policy,
            cancel: cancel.clone(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let waiting: Weak<Shared> = Arc::downgrade(&shared);
        let wake = cancel.on_cancel(move || {
            if let Some(shared) = waiting.upgrade() {
                // Under the lock, so that it does not fall between a look at the token and sleep.
                let _state = shared.lock();
                shared.changed.notify_all();
            }
        });
        Ok(Self { shared, _wake: wake })
    }

    /// How many workers the run needs: none for no tasks, and never more than there are chunks.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        self.shared.n_workers
    }

    /// How many tasks the run has.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.shared.n_tasks
    }

    /// Hands worker `rank` its next chunk. Waits while there is none for it but one may come back
    /// from another worker, after calling `idle` once; returns `None` when none can, or when the
    /// run was cancelled.
    ///
    /// A worker that has no model yet (`has_model` is false) must go on with [`built`](Self::built)
    /// or [`retire`](Self::retire), then with [`finish`](Self::finish), and one that ends early
    /// calls [`leave`](Self::leave), for others may be waiting for it. So each worker needs a
    /// thread of its own; those who serve many on one use [`try_take`](Self::try_take).
    pub fn take(&self, rank: usize, has_model: bool, idle: impl FnOnce()) -> Option<Ticket> {
        let mut idle = Some(idle);
        let mut state = self.shared.lock();
        loop {
            match self.shared.poll(&mut state, rank, has_model) {
                Take::Chunk(ticket) => return Some(ticket),
                Take::Done => return None,
                Take::Later(_) if idle.is_some() => {
                    drop(state);
                    idle.take().into_iter().for_each(|idle| idle());
                    state = self.shared.lock();
                }
                Take::Later(None) => {
                    state.n_waiting += 1;
                    let woken = self.shared.changed.wait(state);
                    state = woken.unwrap_or_else(PoisonError::into_inner);
                    state.n_waiting -= 1;
                }
                Take::Later(Some(at)) => {
                    let wait = at.saturating_duration_since(Instant::now());
                    state.n_waiting += 1;
                    let woken = self.shared.changed.wait_timeout(state, wait);
                    state = woken.unwrap_or_else(PoisonError::into_inner).0;
                    state.n_waiting -= 1;
                }
            }
        }
    }

    /// As [`take`](Self::take), without waiting.
    #[must_use]
    pub fn try_take(&self, rank: usize, has_model: bool) -> Take {
        self.shared.poll(&mut self.shared.lock(), rank, has_model)
    }

    /// Says that a worker built the model for the chunk that it took.
    pub fn built(&self, ticket: &Ticket) {
        let mut state = self.shared.lock();
        state.n_building -= 1;
        let limit = self.shared.policy.limit(ticket.indices.len());
        if let Some(flight) = state.flight(ticket) {
            flight.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        }
        self.shared.wake(state);
    }

    /// Says that the worker of a chunk, which was taken as by one with a model, has to build its
    /// model again for it: what follows is [`built`](Self::built) or [`retire`](Self::retire). For
    /// backends that hand out the next chunk before the one at work is done.
    pub fn rebuilding(&self, ticket: &Ticket) {
        let mut state = self.shared.lock();
        state.n_building += 1;
        if let Some(flight) = state.flight(ticket) {
            flight.deadline = None;
        }
    }

    /// Gives worker `rank` a chunk that another one had and never began.
    pub fn pass(&self, ticket: &Ticket, rank: usize) {
        if let Some(flight) = self.shared.lock().flight(ticket) {
            flight.rank = rank;
        }
    }

    /// Takes back a chunk that its worker had and never began, for whoever comes next.
    pub fn put_back(&self, ticket: Ticket) {
        let mut state = self.shared.lock();
        if state.land(&ticket).is_some() {
            state.returned.push((Ticket { unbegun: true, ..ticket }, None));
        }
        self.shared.wake(state);
    }

    /// Takes back a chunk from worker `rank`, which could not build a model for it and takes no
    /// more. Returns the tasks that nobody will do now, to be reported by it with its fault: all
    /// that is left if it was the last worker.
    #[must_use]
    pub fn retire(&self, rank: usize, ticket: Ticket) -> Vec<Range<usize>> {
        let mut state = self.shared.lock();
        state.n_building -= 1;
        let _ = state.land(&ticket);
        let pinned = matches!(state.source, Source::Blocks { pinned: true, .. });
        let own = pinned.then(|| ticket.indices.clone());
        if !pinned {
            state.returned.push((ticket, None));
        }
        state.disown(rank);
        let nobody_left = state.n_live == 0 && !self.shared.cancel.is_cancelled();
        self.shared.wake(state);
        let mut lost: Vec<Range<usize>> = own.into_iter().collect();
        if nobody_left {
            lost.extend(self.drain());
        }
        lost
    }

    /// Leaves what worker `rank` has not taken yet to others, because it takes no more.
    pub fn leave(&self, rank: usize) {
        self.shared.lock().disown(rank);
        self.shared.changed.notify_all();
    }

    /// Says what came of a chunk, which took its worker `took` to compute, and learns what to do
    /// about it.
    ///
    /// # Panics
    ///
    /// Never for tickets of this queue that are finished once.
    pub fn finish(
        &self,
        ticket: Ticket,
        outputs: Result<Outputs, Fault>,
        took: Duration,
    ) -> Verdict {
        let mut state = self.shared.lock();
        let Some(rank) = state.land(&ticket) else {
            return Verdict::Abandoned;
        };
        if let Source::Shared { size, auto: true, .. } = &mut state.source {
            // A chunk that was cut short at the end says nothing about larger ones.
            if took < SHORT && ticket.indices.len() >= *size {
                *size = size.saturating_mul(2);
            } else if took > LONG {
                *size = (*size / 2).max(1);
            }
        }
        let verdict = match outputs {
            Err(fault) if self.shared.again(&mut state, &ticket, &fault) => Verdict::Again,
            outputs => Verdict::Report(Finished {
                indices: ticket.indices,
                worker: Some(rank),
                outputs,
                attempts: ticket.attempt,
                took,
            }),
        };
        if self.shared.policy.tries_again() {
            // Those who wait for what may come back learn whether it did.
            self.shared.wake(state);
        }
        verdict
    }

    /// When the next chunk that is being computed has to be done, and by which worker, if there is
    /// a limit.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(usize, Ticket, Instant)> {
        let state = self.shared.lock();
        let timed = state.flights.iter().filter_map(|flight| Some((flight, flight.deadline?)));
        let (flight, deadline) = timed.min_by_key(|(_, deadline)| *deadline)?;
        Some((flight.rank, flight.ticket.clone(), deadline))
    }

    /// Takes a chunk from its worker, which was lost or does not come to an end, and says why:
    /// what is to be done is as for [`finish`](Self::finish). Whoever calls this puts another
    /// worker in the place of that one, under the same rank, or lets it [`leave`](Self::leave).
    #[must_use]
    pub fn abandon(&self, ticket: Ticket, fault: Fault, took: Duration) -> Verdict {
        self.finish(ticket, Err(fault), took)
    }

    /// How long a chunk of so many tasks may take.
    #[must_use]
    pub fn limit(&self, n_tasks: usize) -> Option<Duration> {
        self.shared.policy.limit(n_tasks)
    }

    /// Takes all tasks that no worker has, ascending, neighbours joined.
    #[must_use]
    pub fn drain(&self) -> Vec<Range<usize>> {
        let mut state = self.shared.lock();
        let returned = std::mem::take(&mut state.returned);
        let mut left: Vec<Range<usize>> =
            returned.into_iter().map(|(ticket, _)| ticket.indices).collect();
        match &mut state.source {
            Source::Blocks { blocks, .. } => {
                left.extend(blocks.iter_mut().filter_map(Option::take));
            }
            Source::Strided(strides) => {
                left.extend(strides.iter_mut().flat_map(|(left, _)| left).map(|i| i..i + 1));
            }
            Source::Guided(chunks) => left.extend(chunks),
            Source::Shared { next, .. } => {
                left.push(*next..self.shared.n_tasks);
                *next = self.shared.n_tasks;
            }
        }
        drop(state);
        left.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in left.into_iter().filter(|range| !range.is_empty()) {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        joined
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way, so a poisoned lock guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a change, and wakes who waits for one.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let is_heard = state.n_waiting > 0;
        drop(state);
        if is_heard {
            self.changed.notify_all();
        }
    }

    fn hand_out(
        &self,
        state: &mut State,
        mut ticket: Ticket,
        rank: usize,
        has_model: bool,
    ) -> Take {
        ticket.serial = state.next_serial;
        state.next_serial += 1;
        state.n_building += usize::from(!has_model);
        let limit = self.policy.limit(ticket.indices.len()).filter(|_| has_model);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        state.flights.push(Flight { ticket: ticket.clone(), rank, deadline });
        if state.is_empty(self.n_tasks) {
            self.changed.notify_all();
        }
        Take::Chunk(ticket)
    }

    fn poll(&self, state: &mut State, rank: usize, has_model: bool) -> Take {
        if self.cancel.is_cancelled() {
            return Take::Done;
        }
        let now = state.returned.iter().any(|(_, at)| at.is_some()).then(Instant::now);
        let unbegun = state.returned.iter().enumerate().filter(|(_, (ticket, _))| ticket.unbegun);
        let unbegun = unbegun.min_by_key(|(_, (ticket, _))| ticket.indices.start);
        if let Some(unbegun) = unbegun.map(|(at, _)| at) {
            let (ticket, _) = state.returned.swap_remove(unbegun);
            return self.hand_out(state, Ticket { unbegun: false, ..ticket }, rank, has_model);
        }
        let ticket = match state.pop(rank, self.n_workers, self.n_tasks) {
            Some(indices) => {
                let serial = state.next_serial;
                Some(Ticket { indices, attempt: 1, n_retries: 0, unbegun: false, serial })
            }
            None => {
                let ready =
                    |at: &Option<Instant>| at.is_none_or(|at| now.is_some_and(|now| now >= at));
                let found = state.returned.iter().position(|(_, at)| ready(at));
                found.map(|found| state.returned.swap_remove(found).0)
            }
        };
        if let Some(ticket) = ticket {
            return self.hand_out(state, ticket, rank, has_model);
        }
        // What is in the hands of others may come back, and they may leave what is theirs.
        let may_come = state.n_building > 0
            || !state.is_empty(self.n_tasks)
            || (self.policy.tries_again() && !state.flights.is_empty());
        let pinned = matches!(state.source, Source::Blocks { pinned: true, .. });
        if may_come && !pinned {
            Take::Later(state.returned.iter().filter_map(|(_, at)| *at).min())
        } else {
            Take::Done
        }
    }

    /// Puts back what of a failed chunk is to be tried again; whether there is any.
    fn again(&self, state: &mut State, ticket: &Ticket, fault: &Fault) -> bool {
        let Policy { retries, backoff, crash_limit, .. } = self.policy;
        let kind = fault.kind();
        if kind.is_crash() {
            state.n_crashes = state.n_crashes.saturating_add(1);
        }
        let pinned = matches!(state.source, Source::Blocks { pinned: true, .. });
        let is_final = matches!(kind, FailureKind::Cancelled | FailureKind::Build);
        let too_many = kind.is_crash() && crash_limit.is_some_and(|most| state.n_crashes > most);
        if pinned || is_final || too_many || self.cancel.is_cancelled() {
            return false;
        }
        let Range { start, end } = ticket.indices;
        let attempt = ticket.attempt.saturating_add(1);
        if end - start > 1 {
            if !self.policy.tries_again() {
                return false;
            }
            let middle = start + (end - start) / 2;
            for indices in [start..middle, middle..end] {
                state.returned.push((Ticket { indices, attempt, ..ticket.clone() }, None));
            }
            return true;
        }
        if ticket.n_retries >= retries {
            return false;
        }
        let doubled = backoff.saturating_mul(1 << ticket.n_retries.min(MAX_DOUBLINGS));
        let at = if backoff.is_zero() { None } else { Instant::now().checked_add(doubled) };
        let n_retries = ticket.n_retries + 1;
        state.returned.push((Ticket { attempt, n_retries, ..ticket.clone() }, at));
        true
    }
}

impl Source {
    fn is_empty(&self, n_tasks: usize) -> bool {
        match self {
            Self::Blocks { blocks, .. } => blocks.iter().all(Option::is_none),
            Self::Strided(strides) => strides.iter().all(|(left, _)| left.len() == 0),
            Self::Guided(chunks) => chunks.size_hint().0 == 0,
            Self::Shared { next, .. } => *next >= n_tasks,
        }
    }

    fn blocks(blocks: impl Iterator<Item = Range<usize>>, pinned: bool) -> Self {
        // Only a run of no tasks has a block of none.
        let blocks = blocks.map(|block| Some(block).filter(|block| !block.is_empty())).collect();
        Self::Blocks { blocks, pinned }
    }
}

impl State {
    fn is_empty(&self, n_tasks: usize) -> bool {
        self.source.is_empty(n_tasks) && self.returned.is_empty()
    }

    fn flight(&mut self, ticket: &Ticket) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|flight| flight.ticket.serial == ticket.serial)
    }

    /// Takes a chunk out of the hands of its worker, whose rank it returns if it still had it.
    fn land(&mut self, ticket: &Ticket) -> Option<usize> {
        let serial = ticket.serial;
        let at = self.flights.iter().position(|flight| flight.ticket.serial == serial)?;
        Some(self.flights.swap_remove(at).rank)
    }

    fn disown(&mut self, rank: usize) {
        self.n_live = self.n_live.saturating_sub(1);
        match &mut self.source {
            // A pinned block stays where it is, and is told of as not started.
            Source::Blocks { pinned: true, .. } => {}
            Source::Blocks { blocks, .. } => {
                let block = blocks.get_mut(rank).and_then(Option::take);
                let ticket = |indices| Ticket {
                    indices,
                    attempt: 1,
                    n_retries: 0,
                    unbegun: false,
                    serial: 0,
                };
                self.returned.extend(block.map(|indices| (ticket(indices), None)));
            }
            Source::Strided(strides) => strides[rank].1 = true,
            Source::Guided(_) | Source::Shared { .. } => {}
        }
    }

    fn pop(&mut self, rank: usize, n_workers: usize, n_tasks: usize) -> Option<Range<usize>> {
        match &mut self.source {
            Source::Blocks { blocks, .. } => blocks[rank].take(),
            Source::Strided(strides) => {
                // Its own first, then those of workers that left.
                let own = strides[rank].0.next();
                let any = own.or_else(|| {
                    strides
                        .iter_mut()
                        .filter(|(_, retired)| *retired)
                        .find_map(|(left, _)| left.next())
                });
                any.map(|task| task..task + 1)
            }
            Source::Guided(chunks) => chunks.next(),
            Source::Shared { next, .. } if *next >= n_tasks => None,
            Source::Shared { next, size, auto } => {
                let left = n_tasks - *next;
                let most = if *auto {
                    // Fewer towards the end, so that all end together, but none that takes less
                    // than the handing out is worth.
                    left.div_ceil(2 * n_workers).max(*size / AT_LEAST).min(left)
                } else {
                    left
                };
                let start = *next;
                *next += most.min(*size);
                Some(start..*next)
            }
        }
    }
}

#[cfg(test)]
mod tests;
