use std::ops::Range;

use crate::job::at_least_one;
use crate::{Job, JobError};

impl Job {
    /// Lists this job's tasks in the strided division: `idx, idx + N, idx + 2 N, ..`.
    ///
    /// Python's `range(idx, n_tasks, N)`, and what hardtarget 0.5.1 does (`compute_job_tasks` in
    /// `utils`). Ascending; the loads of any two jobs differ by one task at most. An index at or
    /// past `n_tasks` has none. Any step forwards or backwards costs the same, however wide.
    #[must_use]
    pub fn strided(self, n_tasks: usize) -> Strided {
        let n_own = match n_tasks.checked_sub(self.idx()) {
            Some(n_behind) => n_behind.div_ceil(self.n_jobs()),
            None => 0,
        };
        Strided { range: 0..n_own, first: self.idx(), step: self.n_jobs() }
    }

    /// The strided division, which is the one to use when nothing speaks for another.
    ///
    /// Neighbouring tasks tend to cost the same; here they land on different jobs.
    #[must_use]
    pub fn tasks(self, n_tasks: usize) -> Strided {
        self.strided(n_tasks)
    }
}

/// The tasks of one job in the strided division, ascending; made by [`Job::strided`].
#[derive(Clone, Debug)]
pub struct Strided {
    /// Which of the job's own tasks are still to come.
    range: Range<usize>,
    first: usize,
    step: usize,
}

impl Strided {
    /// No overflow: only tasks that exist are asked for, and they are below `n_tasks`.
    fn at(&self, i: usize) -> usize {
        self.first + i * self.step
    }
}

range_iterator!(Strided, usize);

/// The strided division of a run as a whole: who has which tasks, and whose is a task.
///
/// ```
/// use jobdiv::{Job, Strides};
///
/// let strides = Strides::new(10, 4)?;
/// assert_eq!(strides.get(3).expect("3 < 4").collect::<Vec<usize>>(), [3, 7]);
/// assert_eq!(strides.owner_of(7), Some(Job::new(3, 4)?));
/// assert_eq!(strides.owner_of(10), None);
/// # Ok::<(), jobdiv::JobError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strides {
    n_tasks: usize,
    n_jobs: usize,
}

impl Strides {
    /// Divides `n_tasks` tasks among `n_jobs` jobs.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero.
    pub fn new(n_tasks: usize, n_jobs: usize) -> Result<Self, JobError> {
        at_least_one(n_jobs)?;
        Ok(Self { n_tasks, n_jobs })
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

    /// Lists the tasks of job `idx`, ascending; `None` when there is no such job.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<Strided> {
        Job::new(idx, self.n_jobs).ok().map(|job| job.strided(self.n_tasks))
    }

    /// Finds the job that has `task`, `task mod N`; `None` when there is no such task.
    #[must_use]
    pub fn owner_of(&self, task: usize) -> Option<Job> {
        (task < self.n_tasks).then(|| Job::of_valid(task % self.n_jobs, self.n_jobs))
    }
}
