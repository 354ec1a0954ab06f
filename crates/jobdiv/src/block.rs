use std::ops::Range;

use crate::job::at_least_one;
use crate::{Job, JobError};

impl Job {
    /// Gives this job's tasks in the contiguous division: block `idx` of `N`.
    ///
    /// Equal to `numpy.array_split(range(n_tasks), N)[idx]`: block `i` starts at
    /// `i * (n_tasks / N) + min(i, n_tasks mod N)`, so the first `n_tasks mod N` blocks have one
    /// task more than the others. A job without tasks gets an empty range.
    #[must_use]
    pub fn block(self, n_tasks: usize) -> Range<usize> {
        self.block_of(0..n_tasks)
    }

    /// Divides a range of tasks again, contiguously: block `idx` of `N` of `tasks`.
    ///
    /// With the block of a job as `tasks` this is the nested form: the blocks of all `sub` in
    /// `sub.block_of(job.block(n_tasks))` partition the job's block in order. A range whose end
    /// lies before its start is empty, as everywhere in Rust.
    ///
    /// ```
    /// use jobdiv::Job;
    ///
    /// let block = Job::new(1, 3)?.block(14);
    /// assert_eq!(block, 5..10);
    /// assert_eq!(Job::new(0, 2)?.block_of(block.clone()), 5..8);
    /// assert_eq!(Job::new(1, 2)?.block_of(block), 8..10);
    /// # Ok::<(), jobdiv::JobError>(())
    /// ```
    #[must_use]
    pub fn block_of(self, tasks: Range<usize>) -> Range<usize> {
        Blocks::of_valid(&tasks, self.n_jobs()).at(self.idx())
    }
}

/// The contiguous division of a run as a whole: who has which block, and whose is a task.
///
/// ```
/// use jobdiv::{Blocks, Job};
///
/// let blocks = Blocks::new(10, 4)?;
/// assert_eq!(blocks.iter().collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..10]);
/// assert_eq!(blocks.owner_of(7), Some(Job::new(2, 4)?));
/// # Ok::<(), jobdiv::JobError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Blocks {
    first: usize,
    n_tasks: usize,
    n_jobs: usize,
}

impl Blocks {
    /// Divides the tasks `0..n_tasks` among `n_jobs` jobs.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero.
    pub fn new(n_tasks: usize, n_jobs: usize) -> Result<Self, JobError> {
        Self::of(0..n_tasks, n_jobs)
    }

    /// Divides any range of tasks among `n_jobs` jobs, as [`Job::block_of`] does.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero.
    pub fn of(tasks: Range<usize>, n_jobs: usize) -> Result<Self, JobError> {
        at_least_one(n_jobs)?;
        Ok(Self::of_valid(&tasks, n_jobs))
    }

    fn of_valid(tasks: &Range<usize>, n_jobs: usize) -> Self {
        Self { first: tasks.start, n_tasks: tasks.len(), n_jobs }
    }

    /// The number of tasks that are divided.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.n_tasks
    }

    /// The number of jobs among which they are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.n_jobs
    }

    /// Gives the block of job `idx`; `None` when there is no such job.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<Range<usize>> {
        (idx < self.n_jobs).then(|| self.at(idx))
    }

    /// Lists the blocks of all jobs in order, empty ones included.
    #[must_use]
    pub fn iter(&self) -> BlocksIter {
        BlocksIter { range: 0..self.n_jobs, blocks: *self }
    }

    /// Finds the job whose block holds `task`; `None` when no block does.
    #[must_use]
    pub fn owner_of(&self, task: usize) -> Option<Job> {
        let offset = task.checked_sub(self.first).filter(|&offset| offset < self.n_tasks)?;
        let (short, n_long) = (self.n_tasks / self.n_jobs, self.n_tasks % self.n_jobs);
        let short_from = self.offset(n_long);
        let idx = if offset < short_from {
            // There are long blocks, so N >= 2, and one more than `short` does not overflow.
            offset / (short + 1)
        } else {
            // `short` is not zero: if it were, the long blocks would hold all tasks.
            n_long + (offset - short_from) / short
        };
        Some(Job::of_valid(idx, self.n_jobs))
    }

    /// Where block `idx` starts, `idx <= N`, from the first task on: never more than `n_tasks`.
    fn offset(&self, idx: usize) -> usize {
        idx * (self.n_tasks / self.n_jobs) + idx.min(self.n_tasks % self.n_jobs)
    }

    fn at(&self, idx: usize) -> Range<usize> {
        self.first + self.offset(idx)..self.first + self.offset(idx + 1)
    }
}

impl IntoIterator for Blocks {
    type Item = Range<usize>;
    type IntoIter = BlocksIter;

    fn into_iter(self) -> BlocksIter {
        self.iter()
    }
}

impl IntoIterator for &Blocks {
    type Item = Range<usize>;
    type IntoIter = BlocksIter;

    fn into_iter(self) -> BlocksIter {
        self.iter()
    }
}

/// The blocks of all jobs in order; made by [`Blocks::iter`].
#[derive(Clone, Debug)]
pub struct BlocksIter {
    range: Range<usize>,
    blocks: Blocks,
}

impl BlocksIter {
    fn at(&self, idx: usize) -> Range<usize> {
        self.blocks.at(idx)
    }
}

range_iterator!(BlocksIter, Range<usize>);
