use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::job::at_least_one;
use crate::{Job, JobError};

/// The division by longest processing time first: every task, heaviest first, to the idlest job.
///
/// Tasks need not stay together, so this comes nearer to equal loads than any contiguous division
/// can: the heaviest load is at most `4/3 - 1/(3 N)` of the least possible one. Source: Graham,
/// "Bounds on multiprocessing timing anomalies", 1969. Ties are resolved the same way everywhere:
/// of tasks that weigh the same the lower index goes first; of jobs that carry the same the one
/// with fewer tasks, then the lower index, is served. With equal weights it is therefore the
/// strided division.
///
/// Takes `O(n_tasks log n_tasks)` time and `O(n_tasks)` memory, also when there are far more jobs
/// than tasks.
///
/// ```
/// use jobdiv::Lpt;
///
/// let lpt = Lpt::new(&[2, 2, 7, 3, 3, 4], 3)?;
/// assert_eq!(lpt.get(0), Some(&[2][..]));
/// assert_eq!(lpt.get(1), Some(&[0, 1, 5][..]));
/// assert_eq!(lpt.get(2), Some(&[3, 4][..]));
/// assert_eq!(lpt.bottleneck(), 8);
/// # Ok::<(), jobdiv::JobError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lpt {
    /// The index of each task's job.
    owners: Vec<usize>,
    /// All tasks, those of job 0 first, ascending within a job.
    tasks: Vec<usize>,
    /// Where in `tasks` those of each job that has any start, and where the last end.
    bounds: Vec<usize>,
    n_jobs: usize,
    bottleneck: u128,
}

impl Lpt {
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
        // A job past the number of tasks is never reached: an unused lower one comes before it.
        let n_used = n_jobs.min(weights.len());
        let mut heaviest_first: Vec<usize> = (0..weights.len()).collect();
        heaviest_first.sort_by_key(|&task| Reverse(weights[task])); // stable: lower index first
        let mut idlest: BinaryHeap<_> =
            (0..n_used).map(|idx| Reverse((0u128, 0usize, idx))).collect();
        let mut owners = vec![0; weights.len()];
        for task in heaviest_first {
            // As long as there are tasks, there is a job in the heap.
            if let Some(mut top) = idlest.peek_mut() {
                let Reverse((load, n_tasks, idx)) = &mut *top;
                *load += u128::from(weights[task]);
                *n_tasks += 1;
                owners[task] = *idx;
            }
        }
        let bottleneck = idlest.iter().map(|Reverse((load, ..))| *load).max().unwrap_or(0);
        let (tasks, bounds) = group(&owners, n_used);
        Ok(Self { owners, tasks, bounds, n_jobs, bottleneck })
    }

    /// The number of tasks that are divided.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The number of jobs among which they are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.n_jobs
    }

    /// The heaviest load of any job, in the unit of the weights.
    #[must_use]
    pub fn bottleneck(&self) -> u128 {
        self.bottleneck
    }

    /// Lists the tasks of job `idx`, ascending; `None` when there is no such job.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<&[usize]> {
        (idx < self.n_jobs).then(|| match self.bounds.get(idx..) {
            Some(&[start, end, ..]) => &self.tasks[start..end],
            _ => &[],
        })
    }

    /// Lists the tasks of every job in order, jobs without tasks included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[usize]> + DoubleEndedIterator {
        (0..self.n_jobs).map(|idx| self.get(idx).unwrap_or_default())
    }

    /// Finds the job that has `task`; `None` when there is no such task.
    #[must_use]
    pub fn owner_of(&self, task: usize) -> Option<Job> {
        self.owners.get(task).map(|&idx| Job::of_valid(idx, self.n_jobs))
    }
}

/// Sorts the tasks by owner, by counting, and says where each owner's start.
fn group(owners: &[usize], n_used: usize) -> (Vec<usize>, Vec<usize>) {
    let mut bounds = vec![0; n_used + 1];
    for &owner in owners {
        bounds[owner + 1] += 1;
    }
    for idx in 0..n_used {
        bounds[idx + 1] += bounds[idx];
    }
    let mut free = bounds.clone();
    let mut tasks = vec![0; owners.len()];
    for (task, &owner) in owners.iter().enumerate() {
        tasks[free[owner]] = task;
        free[owner] += 1;
    }
    (tasks, bounds)
}
