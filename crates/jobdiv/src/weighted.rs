use std::ops::Range;

use crate::job::at_least_one;
use crate::{Job, JobError};

/// The contiguous division whose heaviest block is as light as it can be.
///
/// Tasks keep their order and each job has one block of them; the greatest sum of weights over the
/// blocks, the bottleneck, is the least that any such division has. It is found by bisection over
/// the integers, each step filling blocks from the left as far as the trial bottleneck allows, so
/// it is exact. Of all divisions with that bottleneck this one ends each block, from the left, at
/// the task with which it has an equal share of the weight that is left, or as near to that as the
/// bottleneck allows; it leaves no job without a task unless there are fewer tasks than jobs. With
/// equal weights it is that of [`Blocks`](crate::Blocks).
///
/// Takes `O(n_tasks + 64 n_jobs log n_tasks)` time and `O(n_tasks)` memory, also when there are
/// far more jobs than tasks. Source: the chains-on-chains partitioning problem; the bisection is that
/// of Pinar and Aykanat, "Fast optimal load balancing algorithms for 1D partitioning", 2004.
///
/// ```
/// use jobdiv::WeightedBlocks;
///
/// let seconds = jobdiv::weights_from_f64(&[1.0, 1.0, 1.0, 1.0, 2.5, 2.5])?;
/// let blocks = WeightedBlocks::new(&seconds, 3)?;
/// assert_eq!(blocks.iter().collect::<Vec<_>>(), [0..3, 3..5, 5..6]);
/// assert_eq!(blocks.owner_of(4).map(|job| job.idx()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedBlocks {
    /// Where the blocks that are not empty start, and where the last one ends.
    bounds: Vec<usize>,
    n_jobs: usize,
    bottleneck: u128,
}

impl WeightedBlocks {
    /// Divides the tasks of the given weights among `n_jobs` jobs.
    ///
    /// | argument  | shape       | unit                                                       |
    /// | --------- | ----------- | ---------------------------------------------------------- |
    /// | `weights` | `[n_tasks]` | any; see [`weights_from_f64`](crate::weights_from_f64)      |
    /// | `n_jobs`  | `1..`       | jobs                                                       |
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero.
    pub fn new(weights: &[u64], n_jobs: usize) -> Result<Self, JobError> {
        at_least_one(n_jobs)?;
        let n_blocks = n_jobs.min(weights.len());
        if n_blocks == 0 {
            return Ok(Self { bounds: vec![0], n_jobs, bottleneck: 0 });
        }
        let sums = Sums::new(weights);
        let greatest = weights.iter().copied().max().unwrap_or(0);
        let bottleneck = sums.least_bottleneck(greatest.into(), n_blocks);
        let bounds = sums.even_bounds(bottleneck, n_blocks);
        Ok(Self { bounds, n_jobs, bottleneck })
    }

    /// The number of tasks that are divided.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        // Never empty: there is an end even when there is no block.
        self.bounds.last().copied().unwrap_or(0)
    }

    /// The number of jobs among which they are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.n_jobs
    }

    /// The weight of the heaviest block, in the unit of the weights.
    #[must_use]
    pub fn bottleneck(&self) -> u128 {
        self.bottleneck
    }

    /// Gives the block of job `idx`; `None` when there is no such job.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<Range<usize>> {
        (idx < self.n_jobs).then(|| match self.bounds.get(idx..) {
            Some(&[start, end, ..]) => start..end,
            _ => self.n_tasks()..self.n_tasks(),
        })
    }

    /// Lists the blocks of all jobs in order, empty ones included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<usize>> + DoubleEndedIterator {
        (0..self.n_jobs).map(|idx| self.get(idx).unwrap_or_default())
    }

    /// Finds the job whose block holds `task`; `None` when there is no such task.
    #[must_use]
    pub fn owner_of(&self, task: usize) -> Option<Job> {
        // The first start is 0, so at least one is not past the task.
        let idx = self.bounds.partition_point(|&bound| bound <= task) - 1;
        (task < self.n_tasks()).then(|| Job::of_valid(idx, self.n_jobs))
    }
}

/// Sums of the first `0..=n_tasks` weights. A slice has less than 2^63 elements, so `u128` holds
/// them, and twice as much.
struct Sums(Vec<u128>);

impl Sums {
    fn new(weights: &[u64]) -> Self {
        let mut sums = Vec::with_capacity(weights.len() + 1);
        let mut sum = 0;
        sums.push(sum);
        sums.extend(weights.iter().map(|&weight| {
            sum += u128::from(weight);
            sum
        }));
        Self(sums)
    }

    fn n_tasks(&self) -> usize {
        self.0.len() - 1
    }

    fn least_bottleneck(&self, greatest: u128, n_blocks: usize) -> u128 {
        let mean = self.0[self.n_tasks()].div_ceil(n_blocks as u128);
        // No division is below the mean, nor below its heaviest task. And filling up to the mean
        // plus the heaviest task always fits, because no block then ends below the mean.
        let (mut least, mut enough) = (mean.max(greatest), mean + greatest);
        while least < enough {
            let trial = least + (enough - least) / 2;
            if self.fits(trial, n_blocks) {
                enough = trial;
            } else {
                least = trial + 1;
            }
        }
        least
    }

    fn fits(&self, limit: u128, n_blocks: usize) -> bool {
        let mut start = 0;
        for _ in 0..n_blocks {
            start = self.furthest_end(start, limit);
            if start == self.n_tasks() {
                return true;
            }
        }
        false
    }

    /// The greatest `end` for which `start..end` weighs at most `limit`.
    ///
    /// Gallops, so that the cost is the logarithm of the block's length, not of the run's.
    fn furthest_end(&self, start: usize, limit: u128) -> usize {
        let full = self.0[start] + limit;
        let mut step = 1;
        while self.0.get(start + step).is_some_and(|&sum| sum <= full) {
            step *= 2;
        }
        let known = start + step / 2;
        let until = (start + step).min(self.0.len());
        known + self.0[known..until].partition_point(|&sum| sum <= full) - 1
    }

    /// The bounds of `n_blocks` blocks, `1..=n_tasks` of them, none empty and none above `limit`,
    /// each as near to an equal share of what is left as that allows.
    fn even_bounds(&self, limit: u128, n_blocks: usize) -> Vec<usize> {
        let n_tasks = self.n_tasks();
        // The least start from which block j and those behind it can still take all the rest.
        let mut least_start = vec![n_tasks; n_blocks + 1];
        for j in (0..n_blocks).rev() {
            let end = least_start[j + 1];
            least_start[j] = self.0[..end].partition_point(|&sum| sum + limit < self.0[end]);
        }
        let mut bounds = Vec::with_capacity(n_blocks + 1);
        let mut start = 0;
        bounds.push(start);
        for j in 0..n_blocks {
            let n_behind = n_blocks - j - 1;
            let most = self.furthest_end(start, limit).min(n_tasks - n_behind);
            // The fair end is past the start, and so is `most`, as no task is above the limit.
            start = self.fair_end(start, n_behind + 1).clamp(least_start[j + 1], most);
            bounds.push(start);
        }
        bounds
    }

    /// The first `end` at which `start..end` has its share of the weight that is left, one of
    /// `n_shares`; of the tasks, when there is no weight left.
    fn fair_end(&self, start: usize, n_shares: usize) -> usize {
        let n_tasks = self.n_tasks();
        let left = self.0[n_tasks] - self.0[start];
        if left == 0 {
            return start + (n_tasks - start).div_ceil(n_shares);
        }
        let full = self.0[start] + left.div_ceil(n_shares as u128);
        start + self.0[start..].partition_point(|&sum| sum < full)
    }
}
