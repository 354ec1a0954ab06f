use std::error::Error;
use std::fmt;

use super::{Claim, Source};
use crate::JobError;

/// Why the environment does not say which job this is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvError {
    /// A variable is not a whole number of decimal digits, or one above `usize::MAX`.
    NotANumber {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A variable that is to hold a job in the form `m/n` does not.
    NotAJob {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// Why the value is not a job.
        cause: JobError,
    },
    /// A source sets some of its variables, but not one that is needed with them.
    Missing {
        /// Whose variables they are.
        origin: Source,
        /// The one that is not set.
        variable: &'static str,
        /// Those that are, with their values.
        values: Vec<(&'static str, String)>,
    },
    /// A source does not say how many jobs there are, and neither does the caller.
    UnknownCount {
        /// Whose variables they are.
        origin: Source,
        /// The variables that are set, with their values.
        values: Vec<(&'static str, String)>,
    },
    /// A source does not say at which id it begins, and neither does the caller.
    UnknownFirst {
        /// Whose variables they are.
        origin: Source,
        /// The variables that are set, with their values.
        values: Vec<(&'static str, String)>,
    },
    /// The index is not one of those that the count allows.
    OutOfRange {
        /// Whose variables they are.
        origin: Source,
        /// The index, as the source counts.
        id: usize,
        /// The lowest index that the source can give.
        first: usize,
        /// The number of jobs.
        n_jobs: usize,
        /// The variables that are set, with their values.
        values: Vec<(&'static str, String)>,
    },
    /// The ids of an array are not evenly spaced, or not as the source says they are.
    Irregular {
        /// Whose variables they are.
        origin: Source,
        /// The variables that are set, with their values.
        values: Vec<(&'static str, String)>,
    },
    /// Sources of which none comes before the others do not say the same.
    Disagree {
        /// What each of them says.
        claims: Vec<Claim>,
    },
    /// The caller gave a number of jobs, and the source says another.
    CountDiffers {
        /// What the caller gave.
        given: usize,
        /// What the source says.
        claim: Claim,
    },
    /// The caller gave a number of jobs, but no source says which of them this is.
    NoIndex {
        /// What the caller gave.
        given: usize,
    },
    /// An array and the ranks within it make more jobs than can be counted.
    Combination {
        /// What the array's and the ranks' sources say.
        claims: Vec<Claim>,
        /// Why they cannot be combined.
        cause: JobError,
    },
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber { variable, value } => {
                write!(f, "{variable}={value:?} is not a whole number")
            }
            Self::NotAJob { variable, value, .. } => {
                write!(f, "{variable}={value:?} does not name a job")
            }
            Self::Missing { origin, variable, values } => {
                write!(f, "{origin} sets {}, but not {variable}", list(values))
            }
            Self::UnknownCount { origin, values } => write!(
                f,
                "{origin} ({}) does not say how many jobs there are; give their number, or the job \
                 as m/n (--job or POLYCHRON_JOB)",
                list(values)
            ),
            Self::UnknownFirst { origin, values } => write!(
                f,
                "{origin} ({}) does not say at which id its jobs begin; give the first id, or the \
                 job as m/n (--job or POLYCHRON_JOB)",
                list(values)
            ),
            Self::OutOfRange { origin, id, first, n_jobs, values } => write!(
                f,
                "{origin} ({}) says job {id}, which is not one of {n_jobs} counted from {first}",
                list(values)
            ),
            Self::Irregular { origin, values } => write!(
                f,
                "the ids of the {origin} ({}) are not evenly spaced, so they do not say which job \
                 this is; give it as m/n (--job or POLYCHRON_JOB)",
                list(values)
            ),
            Self::Disagree { claims } => {
                write!(f, "the environment names different jobs")?;
                separated(f, ": ", "; ", claims)
            }
            Self::CountDiffers { given, claim } => {
                write!(f, "{given} jobs were asked for, but {claim}")
            }
            Self::NoIndex { given } => {
                write!(f, "{given} jobs were asked for, but nothing says which of them this is")
            }
            Self::Combination { claims, .. } => {
                write!(f, "could not combine an array with the ranks in it")?;
                separated(f, ": ", "; ", claims)
            }
        }
    }
}

impl Error for EnvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotAJob { cause, .. } | Self::Combination { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// Prints variables as a shell would set them: `A=1, B=2`.
pub(super) fn list(values: &[(&'static str, String)]) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let pairs = values.iter().map(|(name, value)| format!("{name}={value}"));
        separated(f, "", ", ", pairs)
    })
}

fn separated<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    first: &str,
    between: &str,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { first } else { between })?;
    }
    Ok(())
}
