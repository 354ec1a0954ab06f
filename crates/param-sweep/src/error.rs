use std::path::PathBuf;

use pm_api::PmError;
use thiserror::Error;

/// Why there is no sweep, or no table of its results.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A sweep without parameters has nothing to vary.
    #[error("a sweep needs at least one parameter")]
    NoParameters,
    /// A name that could not be a column, a placeholder and a variable.
    #[error(
        "parameter name {name:?} must be letters, digits and underscores, with no digit first, \
         and none of index, seed, status, error"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two parameters have one name.
    #[error("parameter {name} is given twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The values of a parameter make no sense.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong, with the numbers.
        reason: String,
    },
    /// A text is no parameter.
    #[error("'{text}' is no parameter: {reason}")]
    Syntax {
        /// The text, as it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Some parameters are sampled, and another one has several values of its own.
    #[error(
        "parameter {sampled} is sampled, but {listed} has {n_values} values: either all parameters \
         that vary are sampled, or none"
    )]
    Mixed {
        /// A sampled parameter.
        sampled: String,
        /// One that is not.
        listed: String,
        /// How many values that one has.
        n_values: usize,
    },
    /// Parameters are sampled, and nobody said how often, or said 0.
    #[error("parameter {name} is sampled: say how many samples, at least 1")]
    NoSamples {
        /// A sampled parameter.
        name: String,
    },
    /// A number of samples is given for a sweep in which nothing is sampled.
    #[error("{n_samples} samples are asked for, but no parameter is sampled")]
    NothingSampled {
        /// The number.
        n_samples: usize,
    },
    /// There are more combinations than can be numbered.
    #[error("there are more than {} combinations", usize::MAX)]
    TooMany,
    /// The manager failed, not a task.
    #[error(transparent)]
    Manager(#[from] PmError),
    /// A point does not fit what the task takes.
    #[error("point {index} does not fit the parameters of the task: {reason}")]
    Point {
        /// The number of the point.
        index: usize,
        /// What serde says of it.
        reason: String,
    },
    /// An output cannot be a row of a table.
    #[error("the output of point {index} is no row of named columns: {reason}")]
    Output {
        /// The number of the point.
        index: usize,
        /// What it is.
        reason: String,
    },
    /// Tables that are no parts of one sweep.
    #[error("the tables are not of one sweep: {reason}")]
    Merge {
        /// What differs.
        reason: String,
    },
    /// A text is no table of results.
    #[error("line {line} is not of a table of results: {reason}")]
    Table {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("could not {action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
