mod error;
mod read;
mod source;

use std::fmt;

pub use error::EnvError;
pub use source::Source;

use crate::Job;
use source::Standing;

/// What the environment does not say, and what to make of it. The default adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnvOptions {
    /// The number of jobs, for sources that do not say it (PBS, Torque, Kubernetes, GNU parallel,
    /// HyperQueue). When given, it must also be what a source that does say it says.
    pub n_jobs: Option<usize>,
    /// The id of the first job, for arrays that may begin anywhere and do not say where (PBS,
    /// Torque, HyperQueue): usually 0 or 1. Without it such an array is refused, because a wrong
    /// guess would give every job its neighbour's tasks.
    pub first_id: Option<usize>,
    /// For an array whose every job is an MPI program: count the pairs, `array_idx * mpi_size +
    /// rank` ([`Job::two_level`]). `n_jobs` is then that of the array. Without it the ranks alone
    /// are the jobs.
    pub array_times_mpi: bool,
}

/// Which job the environment says this is, and where it says so.
///
/// Prints as a line for the log: `job 2/4 (--idx 1 --jobs 4), from Open MPI
/// (OMPI_COMM_WORLD_RANK=1, OMPI_COMM_WORLD_SIZE=4)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvJob {
    /// The job.
    pub job: Job,
    /// What it is taken from, with several where sources agree, or an array's before that of the
    /// ranks within it; empty when nothing divides the run and the job is [`Job::WHOLE`].
    pub claims: Vec<Claim>,
}

/// What one source says, and the variables that say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says it.
    pub origin: Source,
    /// Which job it says this is.
    pub job: Job,
    /// The variables that were read, with their values.
    pub values: Vec<(&'static str, String)>,
}

impl Job {
    /// Finds out which job this process is from the variables that launchers set.
    ///
    /// In this order, the first that is there counts; one that says there is only one job divides
    /// nothing and is passed over, as is a variable that is empty:
    ///
    /// 1. `POLYCHRON_JOB`, in the 1-based form `m/n`;
    /// 2. MPI launchers: Open MPI, MPICH, Intel MPI and hydra, MVAPICH;
    /// 3. Slurm steps (`srun`), but not the batch script itself, in which `SLURM_PROCID` is 0 for
    ///    lack of another number;
    /// 4. arrays and runners: Slurm, PBS, Torque, LSF, SGE, Kubernetes, AWS Batch, GNU parallel,
    ///    HyperQueue, GitLab CI, CircleCI, Buildkite, Bazel.
    ///
    /// [`Source`] lists their variables. Without any the job is [`Job::WHOLE`]. Command line
    /// options come before all of this, and are the caller's affair.
    ///
    /// Some launchers set their variables for every command, also for one that is not to be
    /// divided: under GNU parallel each may have an input of its own. So ask only when the run is
    /// to be divided.
    ///
    /// # Errors
    ///
    /// [`EnvError`], which names the variables and their values: not a number, not a job, sources
    /// of one rank that disagree, an array with holes, or a number of jobs that cannot be known.
    pub fn from_env() -> Result<EnvJob, EnvError> {
        Self::from_env_with(&EnvOptions::default())
    }

    /// As [`Job::from_env`], with what the environment does not say.
    ///
    /// # Errors
    ///
    /// Those of [`Job::from_env`]; also when [`EnvOptions::n_jobs`] is not what is found.
    pub fn from_env_with(options: &EnvOptions) -> Result<EnvJob, EnvError> {
        // A value that is not UTF-8 is not a number either; it is refused as one, by name.
        let lookup = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        Self::from_lookup(options, lookup)
    }

    /// As [`Job::from_env_with`], from any table of variables instead of the process's own.
    ///
    /// ```
    /// use jobdiv::{EnvOptions, Job, Source};
    ///
    /// let cluster = |name: &str| match name {
    ///     "SLURM_ARRAY_TASK_ID" => Some("15".to_owned()),
    ///     "SLURM_ARRAY_TASK_MIN" => Some("10".to_owned()),
    ///     "SLURM_ARRAY_TASK_MAX" => Some("25".to_owned()),
    ///     "SLURM_ARRAY_TASK_STEP" => Some("5".to_owned()),
    ///     "SLURM_ARRAY_TASK_COUNT" => Some("4".to_owned()),
    ///     _ => None,
    /// };
    /// let found = Job::from_lookup(&EnvOptions::default(), cluster)?;
    /// assert_eq!(found.job.to_string(), "2/4");
    /// assert_eq!(found.claims[0].origin, Source::SlurmArray);
    /// # Ok::<(), jobdiv::EnvError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Job::from_env_with`].
    pub fn from_lookup(
        options: &EnvOptions,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<EnvJob, EnvError> {
        // Later ranks are not even read: what is wrong with them does not matter then.
        let agreed = |standing| agreed(standing, options, &lookup);
        let explicit = agreed(Standing::Explicit)?;
        if !explicit.is_empty() {
            return found(options, explicit);
        }
        let mut ranks = agreed(Standing::Mpi)?;
        if ranks.is_empty() {
            ranks = agreed(Standing::Step)?;
        }
        if !ranks.is_empty() && !options.array_times_mpi {
            return found(options, ranks);
        }
        let array = agreed(Standing::Array)?;
        match (array.first(), ranks.first()) {
            (Some(outer), Some(inner)) => {
                let pair = outer.job.two_level(inner.job);
                let mut both = found(options, array)?;
                both.claims.extend(ranks);
                match pair {
                    Ok(job) => Ok(EnvJob { job, ..both }),
                    Err(cause) => Err(EnvError::Combination { claims: both.claims, cause }),
                }
            }
            (None, Some(_)) => found(options, ranks),
            (_, None) => found(options, array),
        }
    }
}

/// Reads all sources of one standing that divide the run; they say the same, or it is an error.
fn agreed(
    standing: Standing,
    options: &EnvOptions,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Claim>, EnvError> {
    let mut claims = Vec::new();
    for origin in Source::ALL.into_iter().filter(|origin| origin.standing() == standing) {
        let claim = read::claim(origin, options, lookup)?;
        claims
            .extend(claim.filter(|claim| claim.job.n_jobs() > 1 || standing == Standing::Explicit));
    }
    if claims.iter().any(|claim| claim.job != claims[0].job) {
        return Err(EnvError::Disagree { claims });
    }
    Ok(claims)
}

/// The job of claims that agree, checked against the number of jobs that the caller gave.
fn found(options: &EnvOptions, claims: Vec<Claim>) -> Result<EnvJob, EnvError> {
    let job = claims.first().map_or(Job::WHOLE, |claim| claim.job);
    match options.n_jobs {
        Some(given) if given != job.n_jobs() => Err(match claims.into_iter().next() {
            Some(claim) => EnvError::CountDiffers { given, claim },
            None => EnvError::NoIndex { given },
        }),
        _ => Ok(EnvJob { job, claims }),
    }
}

impl fmt::Display for EnvJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.job.both_forms())?;
        for (i, claim) in self.claims.iter().enumerate() {
            write!(
                f,
                "{} {} ({})",
                if i == 0 { ", from" } else { " and" },
                claim.origin,
                claim.list()
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Claim {
    /// Writes who says what: `Buildkite says 2/4 (BUILDKITE_PARALLEL_JOB=1, ..)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} says {} ({})", self.origin, self.job, self.list())
    }
}

impl Claim {
    fn list(&self) -> impl fmt::Display {
        error::list(&self.values)
    }
}
