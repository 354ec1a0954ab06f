//! Which coherent integrations there are, and which file each goes to.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use digital_rf::SampleRate;
use gmf_api::Derived;

use crate::layout::RunLayout;
use crate::pointing::Pointing;
use crate::source::Extent;
use crate::{Analysis, AnalysisError, Compat, DamagedEnd, KernelChoice};

/// An analysis whose integrations and files are fixed.
///
/// Integration `i` starts `i * integration_samples` after the start of the time span, and file `f`
/// holds the integrations from `f * num_cohints_per_file` on. A last integration counts if it ends
/// within the span and what it reads, `ipp_offset` periods more, is within the recording.
#[derive(Debug)]
pub struct AnalysisPlan {
    analysis: Analysis,
    derived: Arc<Derived>,
    rate: SampleRate,
    layout: RunLayout,
    damaged_ends: Vec<DamagedEnd>,
    pointing: Pointing,
}

/// One output file: a task of the run, numbered from the start of the time span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTask {
    /// The number of the file.
    pub file_idx: usize,
    /// The integrations that it holds.
    pub integrations: Range<usize>,
    /// Number of the first sample of its first integration, counted from the Unix epoch.
    pub first_sample: u64,
    /// The time of that sample, in whole microseconds after the epoch, rounded down.
    pub epoch_us: u64,
    /// `YYYY-MM-DDTHH-00-00/gmf-<epoch_us>.h5`.
    pub relative_path: PathBuf,
}

impl AnalysisPlan {
    pub(crate) fn new(analysis: Analysis, derived: Arc<Derived>) -> Result<Self, AnalysisError> {
        let mut rx = analysis.rx.open()?;
        let rate = rx.rate();
        let metadata_hz = analysis.experiment.sample_rate_hz as f64;
        // The metadata holds whole Hz; a rational rate may differ by its fraction.
        if (rate.as_f64() - metadata_hz).abs() > 1e-6 * metadata_hz {
            return Err(AnalysisError::SampleRate {
                source_name: analysis.rx.to_string(),
                samples_hz: rate.as_f64(),
                metadata_hz,
            });
        }
        let Extent { samples: rx_bounds, damaged: mut damaged_ends } = rx.extent()?;
        let mut recording = rx_bounds.clone();
        // The transmitter is not read beyond its own periods, so it may end `ipp_offset` sooner.
        let mut last_end = rx_bounds.end;
        if let Some(source) = &analysis.tx {
            let mut tx = source.open()?;
            let unmatched = |what| AnalysisError::Unmatched {
                rx: analysis.rx.to_string(),
                tx: source.to_string(),
                what,
            };
            if tx.rate() != rate {
                return Err(unmatched("their sample rate"));
            }
            let Extent { samples: bounds, damaged } = tx.extent()?;
            damaged_ends.extend(damaged);
            recording.start = recording.start.max(bounds.start);
            last_end = last_end.min(bounds.end);
            if recording.start >= last_end {
                return Err(unmatched("any time"));
            }
        }
        recording.end = last_end;
        let mut span = analysis.span.samples(recording, rate)?;
        if analysis.compat == Some(Compat::Hardtarget) && analysis.span.end.is_none() {
            span.end -= 1;
        }
        let one = derived.integration_samples() as u64;
        let within_span = (span.end - span.start) / one;
        let readable = (rx_bounds.end - span.start)
            .checked_sub(derived.read_length() as u64)
            .map_or(0, |rest| rest / one + 1);
        let n_integrations = within_span.min(readable) as usize;
        if n_integrations == 0 {
            return Err(AnalysisError::NothingToDo {
                needed: derived.read_length() as u64,
                needed_s: derived.read_length() as f64 / rate.as_f64(),
                available: span.end - span.start,
            });
        }
        let pointing = Pointing::open(analysis.pointing.as_deref())?;
        damaged_ends.retain(|file| match file.at_start {
            true => analysis.span.start.is_none(),
            false => analysis.span.end.is_none(),
        });
        let layout = RunLayout {
            first_sample: span.start,
            sample_rate_num: rate.num(),
            sample_rate_den: rate.den(),
            integration_samples: one,
            n_integrations,
            integrations_per_file: derived.processing().num_cohints_per_file,
        };
        Ok(Self { analysis, derived, rate, layout, damaged_ends, pointing })
    }

    /// The same plan, computed by another kernel, or by so many threads of it.
    #[must_use]
    pub fn with_kernel(self, kernel: KernelChoice) -> Self {
        let analysis = Analysis { kernel: Some(kernel), ..self.analysis };
        Self { analysis, ..self }
    }

    /// What is analysed.
    #[must_use]
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The search.
    #[must_use]
    pub fn derived(&self) -> &Arc<Derived> {
        &self.derived
    }

    /// Samples per second.
    #[must_use]
    pub fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    /// How many coherent integrations there are.
    #[must_use]
    pub fn n_integrations(&self) -> usize {
        self.layout.n_integrations
    }

    /// How many files hold them.
    #[must_use]
    pub fn n_files(&self) -> usize {
        self.layout.n_files()
    }

    /// The first sample of an integration, counted from the Unix epoch.
    #[must_use]
    pub fn integration_start(&self, integration: usize) -> u64 {
        self.layout.integration_start(integration)
    }

    /// The file of number `file_idx`, which is below [`AnalysisPlan::n_files`].
    #[must_use]
    pub fn file(&self, file_idx: usize) -> FileTask {
        self.layout.file(file_idx)
    }

    /// The files at the ends of the recording that cannot be used, as far as they make the analysis
    /// shorter: with a start or end time the analysis does not go to that end.
    #[must_use]
    pub fn damaged_ends(&self) -> &[DamagedEnd] {
        &self.damaged_ends
    }

    pub(crate) fn layout(&self) -> &RunLayout {
        &self.layout
    }

    /// The time of a sample, in seconds after the Unix epoch.
    pub(crate) fn unix_s(&self, sample: u64) -> f64 {
        let ticks = u128::from(sample) * u128::from(self.rate.den());
        ticks as f64 / self.rate.num() as f64
    }

    pub(crate) fn pointing(&self) -> &Pointing {
        &self.pointing
    }
}
