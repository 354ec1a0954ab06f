//! Which worker does which chunk when.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jobdiv::{Blocks, Guided, Strided, Strides, WeightedBlocks};

use crate::{CancelToken, PmError, Schedule};

/// A chunk that is done sooner lets [`Schedule::Auto`] take larger ones.
const SHORT: Duration = Duration::from_millis(1);
/// A chunk that takes longer lets [`Schedule::Auto`] take smaller ones.
const LONG: Duration = Duration::from_millis(8);

/// The chunks of one run, handed out to its workers by the run's schedule.
///
/// Every task is handed out once, except that a worker that cannot build its model gives its chunk
/// back with [`retire`](Self::retire). Others therefore wait in [`take`](Self::take) while a chunk
/// may still come back. One lock, held for some tens of nanoseconds per chunk.
#[derive(Debug)]
pub struct ChunkQueue {
    n_workers: usize,
    n_tasks: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    source: Source,
    /// Chunks that came back.
    returned: Vec<Range<usize>>,
    /// Workers that hold a chunk and have no model yet.
    n_building: usize,
    /// Workers that have not left.
    n_live: usize,
}

#[derive(Debug)]
enum Source {
    /// One block per worker, `None` once taken.
    Blocks(Vec<Option<Range<usize>>>),
    /// What is left for each worker, and whether it retired, so that others may take it.
    Strided(Vec<(Strided, bool)>),
    /// Chunks for whoever comes, of sizes that are known beforehand.
    Guided(Guided),
    /// `size` of the tasks from `next` on, for whoever comes.
    Shared { next: usize, size: usize, auto: bool },
}

impl ChunkQueue {
    /// Divides tasks `0..n_tasks` by `schedule` for `max_workers` workers, or fewer if there are
    /// not as many chunks.
    ///
    /// # Errors
    ///
    /// [`PmError::EmptyChunk`] or [`PmError::CostCount`] if the schedule makes no sense for these
    /// tasks.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0; managers with no workers are not made.
    pub fn new(schedule: &Schedule, n_tasks: usize, max_workers: usize) -> Result<Self, PmError> {
        assert!(max_workers > 0, "a run needs a worker");
        // The divisions refuse to be made for no jobs only, so one worker stands for none here.
        let n_jobs = max_workers.min(n_tasks).max(1);
        let divided = "there is at least one worker to divide among";
        let (source, n_chunks) = match schedule {
            Schedule::Auto => (Source::Shared { next: 0, size: 1, auto: true }, n_tasks),
            Schedule::Static => {
                let blocks = Blocks::new(n_tasks, n_jobs).expect(divided);
                (Source::blocks(blocks.iter()), n_tasks)
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
                (Source::blocks(blocks.iter()), n_tasks)
            }
        };
        let n_workers = max_workers.min(n_chunks);
        let state = State { source, returned: Vec::new(), n_building: 0, n_live: n_workers };
        Ok(Self { n_workers, n_tasks, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// How many workers the run needs: none for no tasks, and never more than there are chunks.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        self.n_workers
    }

    /// How many tasks the run has.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.n_tasks
    }

    /// Hands worker `rank` its next chunk. Waits while there is none for it but one may come back
    /// from another worker; returns `None` when none can, or when `cancel` was cancelled.
    ///
    /// A worker that has no model yet (`has_model` is false) must go on with [`built`](Self::built)
    /// or [`retire`](Self::retire), and one that ends early calls [`leave`](Self::leave), for
    /// others may be waiting for it. So each worker needs a thread of its own.
    pub fn take(&self, rank: usize, has_model: bool, cancel: &CancelToken) -> Option<Range<usize>> {
        let mut state = self.lock();
        loop {
            if cancel.is_cancelled() {
                // Those who wait have no other way to hear of it.
                self.changed.notify_all();
                return None;
            }
            if let Some(chunk) = state.pop(rank, self.n_workers, self.n_tasks) {
                state.n_building += usize::from(!has_model);
                if state.source.is_empty(self.n_tasks) {
                    self.changed.notify_all();
                }
                return Some(chunk);
            }
            // What is left belongs to others, who may still come to retire.
            if state.n_building == 0 && state.source.is_empty(self.n_tasks) {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that a worker built the model for the chunk that it took.
    pub fn built(&self) {
        self.lock().n_building -= 1;
        self.changed.notify_all();
    }

    /// Takes back `chunk` from worker `rank`, which could not build a model for it and takes no
    /// more. Returns whether it was the last worker, so that nobody will do what is left.
    pub fn retire(&self, rank: usize, chunk: Range<usize>) -> bool {
        let mut state = self.lock();
        state.n_building -= 1;
        state.returned.push(chunk);
        state.disown(rank);
        self.changed.notify_all();
        state.n_live == 0
    }

    /// Leaves what worker `rank` has not taken yet to others, because it takes no more.
    pub fn leave(&self, rank: usize) {
        self.lock().disown(rank);
        self.changed.notify_all();
    }

    /// Reports how long `execute` took for a chunk of `n_tasks` tasks; this steers
    /// [`Schedule::Auto`] and nothing else.
    pub fn took(&self, n_tasks: usize, elapsed: Duration) {
        let mut state = self.lock();
        let Source::Shared { size, auto: true, .. } = &mut state.source else { return };
        // Only full chunks count: several workers report chunks of one size, and the last chunks
        // of a run are small for another reason.
        if n_tasks == *size && elapsed < SHORT {
            *size = size.saturating_mul(2);
        } else if n_tasks == *size && elapsed > LONG {
            *size = (*size / 2).max(1);
        }
    }

    /// The tasks that nobody took, neighbours joined, ascending; none are left afterwards.
    pub fn drain(&self) -> Vec<Range<usize>> {
        let mut state = self.lock();
        let mut left = std::mem::take(&mut state.returned);
        match &mut state.source {
            Source::Blocks(blocks) => left.extend(blocks.iter_mut().filter_map(Option::take)),
            Source::Strided(strides) => {
                left.extend(strides.iter_mut().flat_map(|(left, _)| left).map(|i| i..i + 1));
            }
            Source::Guided(chunks) => left.extend(chunks),
            Source::Shared { next, .. } => {
                left.push(*next..self.n_tasks);
                *next = self.n_tasks;
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

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way, so a poisoned lock guards a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn is_empty(&self, n_tasks: usize) -> bool {
        match self {
            Self::Blocks(blocks) => blocks.iter().all(Option::is_none),
            Self::Strided(strides) => strides.iter().all(|(left, _)| left.len() == 0),
            Self::Guided(chunks) => chunks.size_hint().0 == 0,
            Self::Shared { next, .. } => *next >= n_tasks,
        }
    }

    fn blocks(blocks: impl Iterator<Item = Range<usize>>) -> Self {
        // Only a run of no tasks has a block of none.
        Self::Blocks(blocks.map(|block| Some(block).filter(|block| !block.is_empty())).collect())
    }
}

impl State {
    fn disown(&mut self, rank: usize) {
        self.n_live = self.n_live.saturating_sub(1);
        match &mut self.source {
            Source::Blocks(blocks) => {
                let block = blocks.get_mut(rank).and_then(Option::take);
                self.returned.extend(block);
            }
            Source::Strided(strides) => strides[rank].1 = true,
            Source::Guided(_) | Source::Shared { .. } => {}
        }
    }

    fn pop(&mut self, rank: usize, n_workers: usize, n_tasks: usize) -> Option<Range<usize>> {
        let own = match &mut self.source {
            Source::Blocks(blocks) => blocks[rank].take(),
            Source::Strided(strides) => {
                // Its own first, then those of workers that left.
                let own = strides[rank].0.next();
                own.or_else(|| {
                    strides
                        .iter_mut()
                        .filter(|(_, retired)| *retired)
                        .find_map(|(left, _)| left.next())
                })
                .map(|task| task..task + 1)
            }
            Source::Guided(chunks) => chunks.next(),
            Source::Shared { next, .. } if *next >= n_tasks => None,
            Source::Shared { next, size, auto } => {
                let left = n_tasks - *next;
                let most = if *auto { left.div_ceil(2 * n_workers) } else { left };
                let start = *next;
                *next += most.min(*size);
                Some(start..*next)
            }
        };
        own.or_else(|| self.returned.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Takes the chunks of a run on one thread, each task taking `cost`; gives their sizes.
    fn sizes(schedule: &Schedule, n_tasks: usize, n_workers: usize, cost: Duration) -> Vec<usize> {
        let queue = ChunkQueue::new(schedule, n_tasks, n_workers).unwrap();
        let cancel = CancelToken::new();
        let mut next = 0;
        let mut sizes = Vec::new();
        while let Some(chunk) = queue.take(0, true, &cancel) {
            assert_eq!(chunk.start, next);
            next = chunk.end;
            queue.took(chunk.len(), cost * chunk.len() as u32);
            sizes.push(chunk.len());
        }
        assert_eq!(next, n_tasks);
        sizes
    }

    #[test]
    fn long_tasks_run_one_at_a_time() {
        let sizes = sizes(&Schedule::Auto, 300, 2, 50_000 * US);
        assert!(sizes.iter().all(|&size| size == 1), "{sizes:?}");
    }

    #[test]
    fn short_tasks_run_about_a_millisecond_at_a_time_and_few_at_the_end() {
        let n_tasks = 1_000_000;
        let sizes = sizes(&Schedule::Auto, n_tasks, 2, US);
        let most = sizes.iter().copied().max().unwrap();
        assert!((1000..=2048).contains(&most), "{most}");
        assert!(sizes.len() < n_tasks / 500, "{} chunks", sizes.len());
        let mut left = n_tasks;
        for size in sizes {
            assert!(size <= left.div_ceil(4), "{size} of {left}");
            left -= size;
        }
    }

    #[test]
    fn chunks_shrink_when_tasks_become_long() {
        let queue = ChunkQueue::new(&Schedule::Auto, 1_000_000, 2).unwrap();
        let cancel = CancelToken::new();
        let take = |cost| {
            let chunk = queue.take(0, true, &cancel).unwrap();
            queue.took(chunk.len(), cost * chunk.len() as u32);
            chunk.len()
        };
        let before = (0..20).map(|_| take(US)).max().unwrap();
        let after = (0..20).map(|_| take(10_000 * US)).min().unwrap();
        assert_eq!((before, after), (1024, 1));
    }

    #[test]
    fn what_nobody_took_is_left_once_and_joined() {
        let cancel = CancelToken::new();
        for (schedule, from) in [
            (Schedule::Auto, 1),
            (Schedule::Static, 4),
            (Schedule::Strided, 1),
            (Schedule::Dynamic { chunk: 4 }, 4),
            (Schedule::Guided { min: 1 }, 2),
        ] {
            let queue = ChunkQueue::new(&schedule, 10, 3).unwrap();
            queue.take(0, true, &cancel).unwrap();
            assert_eq!(queue.drain(), std::slice::from_ref(&(from..10)), "{schedule:?}");
            assert_eq!(queue.drain(), []);
            assert_eq!(queue.take(1, true, &cancel), None);
        }
        let queue = ChunkQueue::new(&Schedule::Strided, 7, 2).unwrap();
        queue.take(1, true, &cancel).unwrap();
        assert_eq!(queue.drain(), [0..1, 2..7]);
    }

    #[test]
    fn weighted_blocks_balance_the_cost() {
        let costs = Schedule::Weighted([8, 1, 1, 1, 1, 1, 1, 1, 1].into());
        let queue = ChunkQueue::new(&costs, 9, 2).unwrap();
        let cancel = CancelToken::new();
        let blocks = [0, 1].map(|rank| queue.take(rank, true, &cancel).unwrap());
        assert_eq!(blocks, [0..1, 1..9]);
    }
}
