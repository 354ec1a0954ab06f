use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// One of `N` equal partners in a run: its index and `N`, with `idx < N` always.
///
/// The text form is 1-based, `1/4` to `4/4`, as test runners write it (`cargo nextest
/// --partition slice:1/4`, `jest --shard=1/4`); numbers in code and in `--idx 0 --jobs 4` are
/// 0-based, as MPI ranks are. [`Job::both_forms`] prints both.
///
/// ```
/// use jobdiv::Job;
///
/// let job: Job = "1/4".parse()?;
/// assert_eq!(job, Job::new(0, 4)?);
/// assert_eq!(job.both_forms().to_string(), "1/4 (--idx 0 --jobs 4)");
/// assert!("5/4".parse::<Job>().is_err());
/// # Ok::<(), jobdiv::JobError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Unchecked"))]
pub struct Job {
    idx: usize,
    #[cfg_attr(feature = "serde", serde(rename = "n_jobs"))]
    n: usize,
}

impl Job {
    /// The only job of an undivided run, `1/1`; also the default.
    pub const WHOLE: Self = Self { idx: 0, n: 1 };

    /// Makes job `idx`, counted from zero, of `n_jobs`.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero, [`JobError::OutOfRange`] unless
    /// `idx < n_jobs`.
    pub const fn new(idx: usize, n_jobs: usize) -> Result<Self, JobError> {
        if n_jobs == 0 {
            return Err(JobError::NoJobs);
        }
        if idx >= n_jobs {
            return Err(JobError::OutOfRange { idx, n_jobs });
        }
        Ok(Self { idx, n: n_jobs })
    }

    /// Makes a job of numbers that the caller knows to be in range.
    pub(crate) fn of_valid(idx: usize, n: usize) -> Self {
        debug_assert!(idx < n, "job {idx} of {n}");
        Self { idx, n }
    }

    /// Lists all jobs of a run that is divided among `n_jobs`, lowest index first.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_jobs` is zero.
    pub fn all(n_jobs: usize) -> Result<Jobs, JobError> {
        at_least_one(n_jobs)?;
        Ok(Jobs { range: 0..n_jobs, n_jobs })
    }

    /// The index among the jobs of the run, `0..n_jobs`.
    #[must_use]
    pub const fn idx(self) -> usize {
        self.idx
    }

    /// The number of jobs in the run, `N`, at least 1.
    #[must_use]
    pub const fn n_jobs(self) -> usize {
        self.n
    }

    /// Prints the 1-based form and the 0-based pair, for logs: `1/4 (--idx 0 --jobs 4)`.
    #[must_use]
    pub fn both_forms(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{self} (--idx {} --jobs {})", self.idx, self.n))
    }

    /// Divides this job's strided tasks again: `sub` of this job, as a job among `N * M`.
    ///
    /// Of the tasks `idx, idx + N, idx + 2 N, ..` the part takes every `M`-th, beginning with the
    /// `sub.idx()`-th, that is `range(idx + N * sub.idx, n_tasks, N * M)`. So the parts of a job
    /// partition its [`tasks`](Job::tasks), evenly. This holds for the strided division only; for
    /// contiguous blocks see [`Job::block_of`].
    ///
    /// ```
    /// use jobdiv::Job;
    ///
    /// let job = Job::new(1, 3)?;
    /// assert_eq!(job.tasks(14).collect::<Vec<usize>>(), [1, 4, 7, 10, 13]);
    /// let part = job.divide(Job::new(0, 2)?)?;
    /// assert_eq!(part.tasks(14).collect::<Vec<usize>>(), [1, 7, 13]);
    /// # Ok::<(), jobdiv::JobError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`JobError::TooMany`] when `N * M` is more than `usize::MAX`.
    pub const fn divide(self, sub: Self) -> Result<Self, JobError> {
        match self.n.checked_mul(sub.n) {
            // idx + N * sub.idx <= N - 1 + N * (M - 1) < N * M, so nothing overflows.
            Some(n) => Ok(Self { idx: self.idx + self.n * sub.idx, n }),
            None => Err(JobError::TooMany { n_jobs: self.n, n_parts: sub.n }),
        }
    }

    /// Numbers the pairs of this job and one of `M` ranks within it: `idx * M + rank`.
    ///
    /// Two jobs differ if they differ in either level, so the `N * M` jobs partition the run under
    /// every division. Unlike with [`Job::divide`], the ranks of one job together do not have the
    /// strided tasks that the job had alone. This is how an array of MPI programs is counted; see
    /// [`EnvOptions::array_times_mpi`](crate::EnvOptions::array_times_mpi).
    ///
    /// # Errors
    ///
    /// [`JobError::TooMany`] when `N * M` is more than `usize::MAX`.
    pub const fn two_level(self, rank: Self) -> Result<Self, JobError> {
        match self.n.checked_mul(rank.n) {
            Some(n) => Ok(Self { idx: self.idx * rank.n + rank.idx, n }),
            None => Err(JobError::TooMany { n_jobs: self.n, n_parts: rank.n }),
        }
    }
}

impl Default for Job {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Job {
    /// Writes the 1-based form, such as `1/4` for index 0 of 4.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // idx < n <= usize::MAX, so one more still fits.
        write!(f, "{}/{}", self.idx + 1, self.n)
    }
}

impl FromStr for Job {
    type Err = JobError;

    /// Reads the 1-based form `m/n`: decimal digits only, `1 <= m <= n`.
    fn from_str(text: &str) -> Result<Self, JobError> {
        let malformed = || JobError::Malformed { text: text.to_owned() };
        let (m, n) = text.split_once('/').ok_or_else(malformed)?;
        let number = |digits: &str| parse_digits(digits).ok_or_else(malformed);
        let (m, n_jobs) = (number(m)?, number(n)?);
        if n_jobs == 0 {
            return Err(JobError::NoJobs);
        }
        if m == 0 || m > n_jobs {
            return Err(JobError::NotOneOf { m, n_jobs });
        }
        Ok(Self { idx: m - 1, n: n_jobs })
    }
}

/// Reads a number of decimal digits alone: `usize::from_str` would let `+1` pass.
pub(crate) fn parse_digits(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Refuses to divide among nobody.
pub(crate) fn at_least_one(n_jobs: usize) -> Result<(), JobError> {
    if n_jobs == 0 { Err(JobError::NoJobs) } else { Ok(()) }
}

/// All jobs of a run, lowest index first; made by [`Job::all`].
#[derive(Clone, Debug)]
pub struct Jobs {
    range: Range<usize>,
    n_jobs: usize,
}

impl Jobs {
    fn at(&self, idx: usize) -> Job {
        Job::of_valid(idx, self.n_jobs)
    }
}

range_iterator!(Jobs, Job);

/// What a `Job` looks like before it is known to be one.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(rename = "Job", deny_unknown_fields)]
struct Unchecked {
    idx: usize,
    n_jobs: usize,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for Job {
    type Error = JobError;

    fn try_from(unchecked: Unchecked) -> Result<Self, JobError> {
        Self::new(unchecked.idx, unchecked.n_jobs)
    }
}

/// Why numbers or a text do not name a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// The number of jobs or workers is zero.
    NoJobs,
    /// A 0-based index is not below the number of jobs.
    OutOfRange {
        /// The index, counted from zero.
        idx: usize,
        /// The number of jobs.
        n_jobs: usize,
    },
    /// In the 1-based form `m/n`, `m` is not in `1..=n`.
    NotOneOf {
        /// What stands before the slash.
        m: usize,
        /// What stands behind it.
        n_jobs: usize,
    },
    /// A text is not of the form `m/n`, or a number in it is more than `usize::MAX`.
    Malformed {
        /// The whole text.
        text: String,
    },
    /// Dividing again would make more jobs than `usize::MAX`.
    TooMany {
        /// The number of jobs at the outer level.
        n_jobs: usize,
        /// The number of parts that each of them was to have.
        n_parts: usize,
    },
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJobs => write!(f, "a run cannot be divided among 0 jobs"),
            Self::OutOfRange { idx, n_jobs } => {
                write!(f, "job index {idx} is not below the number of jobs, {n_jobs}")
            }
            Self::NotOneOf { m, n_jobs } => {
                write!(
                    f,
                    "there is no job {m}/{n_jobs}: jobs run from 1/{n_jobs} to {n_jobs}/{n_jobs}"
                )
            }
            Self::Malformed { text } => {
                write!(f, "{text:?} is not a job of the form m/n, such as 1/4")
            }
            Self::TooMany { n_jobs, n_parts } => {
                write!(f, "{n_jobs} jobs of {n_parts} parts each are more than can be counted")
            }
        }
    }
}

impl Error for JobError {}
