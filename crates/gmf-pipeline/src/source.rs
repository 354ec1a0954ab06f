//! Where samples come from: a Digital RF channel, or memory.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use digital_rf::{LayoutError, SampleRate};
use gmf_api::Complex32;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::DamagedEnd;
use crate::task::chain;

/// Samples of one channel; what a worker opens and reads for itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source {
    /// A channel of a Digital RF product.
    DigitalRf {
        /// The folder that holds the channel's folder.
        dir: PathBuf,
        /// The channel's name.
        channel: String,
    },
    /// Samples in memory.
    Memory(Arc<MemorySamples>),
}

/// Samples in memory, with the time of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemorySamples {
    first_sample: u64,
    rate: (u64, u64),
    samples: Vec<Complex32>,
}

impl MemorySamples {
    /// Samples at `rate_num / rate_den` Hz, of which the first has the number `first_sample`,
    /// counted from the Unix epoch.
    ///
    /// # Errors
    ///
    /// [`SourceError::Rate`] when there is no such rate.
    pub fn new(
        first_sample: u64,
        rate_num: u64,
        rate_den: u64,
        samples: Vec<Complex32>,
    ) -> Result<Self, SourceError> {
        SampleRate::new(rate_num, rate_den)?;
        Ok(Self { first_sample, rate: (rate_num, rate_den), samples })
    }

    /// A checksum over the samples, by which a run knows them again.
    pub(crate) fn checksum(&self) -> String {
        let mut hash = Xxh3::new();
        for samples in self.samples.chunks(1024) {
            let bytes: Vec<u8> =
                samples.iter().flat_map(|z| [z.re, z.im]).flat_map(f32::to_le_bytes).collect();
            hash.update(&bytes);
        }
        format!("{:032x}", hash.digest128())
    }

    fn bounds(&self) -> Range<u64> {
        self.first_sample..self.first_sample + self.samples.len() as u64
    }
}

/// Why samples cannot be read.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such sample rate.
    #[error(transparent)]
    Rate(#[from] LayoutError),
    /// The Digital RF product cannot be read.
    #[error(transparent)]
    DigitalRf(Arc<digital_rf::ReadError>),
    /// The channel has no file that can be read.
    #[error("{} holds no samples ({})", dir.display(), match n_skipped {
        0 => "there is no file of the form rf@<seconds>.<milliseconds>.h5".to_owned(),
        n => format!("{n} files could not be read"),
    })]
    Empty {
        /// The channel's folder.
        dir: PathBuf,
        /// Files that were passed over because they are damaged.
        n_skipped: usize,
    },
    /// Samples were asked for that are not there.
    #[error("samples {start} to {end} were asked for, there are those from {first} to {last}")]
    OutOfBounds {
        /// First sample asked for.
        start: u64,
        /// End of what was asked for.
        end: u64,
        /// First sample there.
        first: u64,
        /// End of what is there.
        last: u64,
    },
}

impl From<digital_rf::ReadError> for SourceError {
    fn from(error: digital_rf::ReadError) -> Self {
        Self::DigitalRf(Arc::new(error))
    }
}

/// From where to where a recording goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The numbers of the samples there, counted from the Unix epoch; gaps may lie within.
    pub samples: Range<u64>,
    /// The files before and after these that cannot be used.
    pub damaged: Vec<DamagedEnd>,
}

/// Samples that can be read; made in the worker that reads them, and staying there.
pub trait SampleReader {
    /// Samples per second.
    fn rate(&self) -> SampleRate;

    /// From where to where the samples go.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when the recording has no sample at all.
    fn extent(&mut self) -> Result<Extent, SourceError>;

    /// Reads as many samples as `samples` has, from number `start` on.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when one of them is not there. `samples` is in no certain state then.
    fn read(&mut self, start: u64, samples: &mut [Complex32]) -> Result<(), SourceError>;
}

impl Source {
    /// Opens the samples for reading.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub fn open(&self) -> Result<Box<dyn SampleReader>, SourceError> {
        match self {
            Self::DigitalRf { dir, channel } => {
                let channel = digital_rf::Reader::open(dir)?.channel(channel)?;
                Ok(Box::new(RfSamples { channel }))
            }
            Self::Memory(samples) => Ok(Box::new(MemoryReader(Arc::clone(samples)))),
        }
    }

    /// Whether both are the same samples.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::DigitalRf { dir: a, channel: channel_a },
                Self::DigitalRf { dir: b, channel: channel_b },
            ) => {
                let real = |dir: &PathBuf| dir.canonicalize().unwrap_or_else(|_| dir.clone());
                channel_a == channel_b && real(a) == real(b)
            }
            (Self::Memory(a), Self::Memory(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DigitalRf { dir, channel } => {
                write!(f, "channel {channel} of {}", dir.display())
            }
            Self::Memory(samples) => write!(f, "{} samples in memory", samples.samples.len()),
        }
    }
}

struct RfSamples {
    channel: digital_rf::Channel,
}

impl SampleReader for RfSamples {
    fn rate(&self) -> SampleRate {
        self.channel.properties().layout.rate()
    }

    fn extent(&mut self) -> Result<Extent, SourceError> {
        let bounds = self.channel.bounds()?;
        let samples = bounds.samples.ok_or_else(|| SourceError::Empty {
            dir: self.channel.dirs()[0].clone(),
            n_skipped: bounds.skipped.len(),
        })?;
        let rate = self.rate();
        let first_ms = rate.unix_ms(samples.start);
        let last_ms = rate.unix_ms(samples.end.saturating_sub(1));
        let end = |skipped: &digital_rf::Skipped| {
            let ms = file_ms(&skipped.path)?;
            // Between the two, which is possible in a channel of several folders, it matters only
            // to the integrations that read it.
            (ms < first_ms || ms > last_ms).then(|| DamagedEnd {
                path: skipped.path.clone(),
                reason: chain(&skipped.reason),
                at_start: ms < first_ms,
            })
        };
        Ok(Extent { damaged: bounds.skipped.iter().filter_map(end).collect(), samples })
    }

    fn read(&mut self, start: u64, samples: &mut [Complex32]) -> Result<(), SourceError> {
        Ok(self.channel.read_complex32(start, 0, samples)?)
    }
}

/// The time in the name of a file of samples, `rf@<seconds>.<mmm>.h5`, in milliseconds.
fn file_ms(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let (secs, ms) = name.strip_prefix("rf@")?.strip_suffix(".h5")?.split_once('.')?;
    secs.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(ms.parse().ok()?)
}

struct MemoryReader(Arc<MemorySamples>);

impl SampleReader for MemoryReader {
    fn rate(&self) -> SampleRate {
        let (num, den) = self.0.rate;
        SampleRate::new(num, den).expect("checked when the samples were made")
    }

    fn extent(&mut self) -> Result<Extent, SourceError> {
        Ok(Extent { samples: self.0.bounds(), damaged: Vec::new() })
    }

    fn read(&mut self, start: u64, samples: &mut [Complex32]) -> Result<(), SourceError> {
        let bounds = self.0.bounds();
        let end = start.saturating_add(samples.len() as u64);
        if start < bounds.start || end > bounds.end {
            return Err(SourceError::OutOfBounds {
                start,
                end,
                first: bounds.start,
                last: bounds.end,
            });
        }
        let from = (start - bounds.start) as usize;
        samples.copy_from_slice(&self.0.samples[from..from + samples.len()]);
        Ok(())
    }
}
