//! Why an analysis could not be planned or finished.

use std::path::PathBuf;

use gmf_api::{ConfigError, KernelError, ParameterError};
use thiserror::Error;

use crate::Gap;
use crate::record::Difference;
use crate::source::SourceError;
use crate::task::IntegrationFailure;

/// Why a start or end time was refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The text is no time.
    #[error(
        "{which} time '{text}' is not understood: give {expected}",
        expected = if *relative { "seconds from the start of the recording, like 12.5" }
            else { "a UTC time like 2021-04-12T12:15:40.2, or use --relative_time for seconds" }
    )]
    Text {
        /// `"start"` or `"end"`.
        which: &'static str,
        /// The text.
        text: String,
        /// Whether it was to be seconds from the start.
        relative: bool,
    },
    /// The time lies outside the recording.
    #[error("{which} time {time} lies outside the recording, which is from {first} to {last}")]
    Outside {
        /// `"start"` or `"end"`.
        which: &'static str,
        /// The time asked for (UTC).
        time: String,
        /// Start of the recording (UTC).
        first: String,
        /// End of the recording (UTC).
        last: String,
    },
    /// The end does not lie after the start.
    #[error("end time {end} must lie after start time {start}")]
    Reversed {
        /// The start asked for (UTC).
        start: String,
        /// The end asked for (UTC).
        end: String,
    },
}

/// Why an analysis could not be planned or finished.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// A parameter file cannot be read.
    #[error("could not read {}: {hint}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is expected there.
        hint: &'static str,
        /// Why it cannot be read.
        #[source]
        source: std::io::Error,
    },
    /// A parameter file was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The parameters do not fit one another.
    #[error("the parameters do not fit")]
    Parameters(#[from] ParameterError),
    /// The samples cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The start or end time was refused.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The product says another sample rate than its metadata.
    #[error(
        "the samples of {source_name} are at {samples_hz} Hz, but sample_rate in the metadata is \
         {metadata_hz} Hz: correct the metadata"
    )]
    SampleRate {
        /// Where the samples are.
        source_name: String,
        /// The samples' rate, in Hz.
        samples_hz: f64,
        /// The metadata's rate, in Hz.
        metadata_hz: f64,
    },
    /// Receiver and transmitter were not sampled together.
    #[error("{rx} and {tx} do not share {what}: both must be sampled together")]
    Unmatched {
        /// The receiver's samples.
        rx: String,
        /// The transmitter's samples.
        tx: String,
        /// `"their sample rate"` or `"any time"`.
        what: &'static str,
    },
    /// Not one coherent integration fits into the time span.
    #[error(
        "no whole coherent integration: one needs {needed} samples ({needed_s} s), the time span \
         holds {available}"
    )]
    NothingToDo {
        /// Samples of one integration.
        needed: u64,
        /// The same, in seconds.
        needed_s: f64,
        /// Samples of the time span.
        available: u64,
    },
    /// The pointing metadata cannot be read.
    #[error("could not read the pointing metadata")]
    Pointing(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The kernel cannot be had, or failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No kernel of this program has that name.
    #[error("unknown kernel '{name}'; this program has {known}")]
    UnknownKernel {
        /// The name asked for.
        name: String,
        /// The names known, separated by commas.
        known: String,
    },
    /// A record or manifest of a folder of results cannot be used.
    #[error("{} cannot be used", path.display())]
    Record {
        /// The file, or the folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder holds the results of a run with other parameters. Nothing was written.
    #[error(
        "{} holds the results of another run: {}; choose another folder with -o, or replace them \
         with --clobber", dir.display(), list(differences)
    )]
    OtherRun {
        /// The folder.
        dir: PathBuf,
        /// The parameters in which they differ.
        differences: Vec<Difference>,
    },
    /// The folder holds GMF files of which no record says what they are. Nothing was written.
    #[error(
        "{} holds {n_files} GMF files of no recorded run, like {}: choose another folder with -o{}",
        dir.display(),
        first.display(),
        if *replaceable { ", or replace them with --clobber" } else { ", or move them away" }
    )]
    Unrecorded {
        /// The folder.
        dir: PathBuf,
        /// How many there are.
        n_files: usize,
        /// The first, by its path in the folder.
        first: PathBuf,
        /// Whether this run would write files of the same names, so that replacing is possible.
        replaceable: bool,
    },
    /// Other processes are at work in a folder whose results were to be replaced.
    #[error(
        "other processes write the results of another run to {}: wait for their end, or choose \
         another folder with -o", dir.display()
    )]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder has no record of a run, so nothing can be said of its files.
    #[error("{} has no run.json, the record of a run of polychron analyze", dir.display())]
    NoRun {
        /// The folder.
        dir: PathBuf,
    },
    /// Integrations could not be computed; the files that would have held them were not written.
    #[error("{n_failed} of {n_integrations} coherent integrations failed, the first: {first}")]
    Integrations {
        /// How many failed.
        n_failed: usize,
        /// Of how many.
        n_integrations: usize,
        /// The first, by its number.
        first: IntegrationFailure,
    },
    /// The manager could not do the run.
    #[error(transparent)]
    Manager(#[from] pm_api::PmError),
    /// A file could not be written. Nothing half-written stays.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run was cancelled; the files written before are whole.
    #[error("interrupted after {n_files} files; a next run continues with the rest")]
    Cancelled {
        /// Files written by this run.
        n_files: usize,
        /// Gaps found so far, those of this job's files that were there already among them. Those
        /// of files that could not be finished are found again by the next run.
        gaps: Vec<Gap>,
    },
}

/// Differences shown in a message; the others are counted.
const SHOWN: usize = 3;

fn list(differences: &[Difference]) -> String {
    let shown: Vec<String> = differences.iter().take(SHOWN).map(Difference::to_string).collect();
    match differences.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        rest => format!("{}, and {rest} more differ", shown.join(", ")),
    }
}
