//! Reading and writing of the Digital RF and Digital Metadata layouts.
//!
//! A recording is a folder of channels; a channel is a folder of HDF5 files, each of which holds
//! the samples of a fixed time. [`Reader`] finds the channels, [`Channel`] reads samples by their
//! number since the Unix epoch, across the ends of files. [`ChannelWriter`] writes a channel that
//! the original package, digital_rf 2.6, reads as its own. [`MetadataReader`] and
//! [`MetadataWriter`] do the same for values that belong to samples, such as the pointing of an
//! antenna.
//!
//! ```
//! use digital_rf::{ChannelConfig, ChannelWriter, Reader, SampleRate};
//! use num_complex::{Complex, Complex32};
//!
//! # let top = tempfile::tempdir()?;
//! let rate = SampleRate::from_hz(1_000_000)?;
//! let start = rate.sample_from_ms(1_618_229_740_000); // 2021-04-12T12:15:40Z
//! let config = ChannelConfig { file_cadence_ms: 100, ..ChannelConfig::new(rate, start) };
//! let mut writer = ChannelWriter::create(top.path().join("rx"), config)?;
//! let samples: Vec<Complex<i16>> = (0..30_000).map(|k| Complex::new(k, -k)).collect();
//! writer.write(&samples)?;
//! writer.finish()?;
//!
//! let channel = Reader::open(top.path())?.channel("rx")?;
//! let mut echo = vec![Complex32::default(); 1000];
//! channel.read_complex32(start + 500, 0, &mut echo)?;
//! assert_eq!(echo[1], Complex32::new(501.0, -501.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Ranges
//!
//! Ranges of samples are half-open, as everywhere in Rust: `first..after_last`. The original gives
//! and takes the last sample itself.
//!
//! # Gaps
//!
//! What is there is what the index of each file says, not the names of files. A channel without
//! filters that was declared continuous is laid out in whole files: there, samples that were never
//! written hold [`SampleType::fill`] and count as samples; its bounds are the ends of files.
//!
//! # Threads
//!
//! A [`Channel`] may be shared by threads. It keeps up to eight files open, and the last ones that
//! are compressed inflated in memory (64 MiB, or two files); a clone keeps its own. Threads that
//! read at different places do best with a clone each.
//!
//! # Damaged files
//!
//! A damaged file costs only its own samples, and gives an error that names it: there is no panic,
//! no search without end, and no more memory than [`hdf5`] says in its section on damaged files,
//! about four times the file and what was compressed in it.
//!
//! # What this crate leaves to others
//!
//! It filters and scales nothing. HDF5 itself is behind [`hdf5`], which other crates use for files
//! of their own. Big-endian samples are read, and written little-endian.

#![forbid(unsafe_code)]

mod cache;
mod channel;
mod file;
pub mod hdf5;
mod listing;
mod metadata;
mod properties;
mod read_error;
mod reader;
mod sample;
mod time;
mod writer;

pub use channel::{Bounds, Channel, Coverage, RawBlock, Skipped};
pub use file::FileError;
pub use metadata::{MetadataError, MetadataLayout, MetadataReader, MetadataWriter, Record, Value};
pub use properties::{ChannelProperties, PropertiesError};
pub use read_error::ReadError;
pub use reader::Reader;
pub use sample::{Sample, SampleType};
pub use time::{FileLayout, LayoutError, SampleRate};
pub use writer::{ChannelConfig, ChannelWriter, WriteError};
