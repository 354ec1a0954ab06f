//! HDF5 files behind our own types: the only place in the workspace that names an HDF5 crate.
//!
//! [`File`] and [`Dataset`] read, [`FileWriter`] writes. None of them shows which crate does the
//! work; the internal traits of `backend.rs` say what such a crate has to offer, so that one can be
//! replaced by another without a change anywhere else.
//!
//! ```
//! use digital_rf::hdf5::{AttrValue, DatasetOptions, File, FileWriter, Publish};
//!
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("out.h5");
//! let mut file = FileWriter::create(&path)?;
//! file.write("power", &[2, 3], &[0.0_f64, 1.0, 2.0, 3.0, 4.0, 5.0], &DatasetOptions::default())?;
//! file.write("range", &[3], &[100.0_f64, 200.0, 300.0], &DatasetOptions::default())?;
//! file.make_scale("range", "range")?;
//! file.attach_scale("power", 1, "range")?;
//! file.set_attr("power", "long_name", &AttrValue::from("received power"))?;
//! file.publish(Publish::Replace)?; // only now does `out.h5` exist
//!
//! let file = File::open(&path)?;
//! let power = file.dataset("power")?;
//! assert_eq!(power.shape(), [2, 3]);
//! assert_eq!(power.read::<f64>()?.values[5], 5.0);
//! assert_eq!(power.attr("long_name")?.and_then(|v| v.as_str().map(str::to_owned)).as_deref(),
//!            Some("received power"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Damaged files
//!
//! What a file claims about itself is not believed. Memory follows what is really there: every header
//! is held against its own length before the counts in it count for anything, a chunk is inflated
//! into a buffer that grows with what comes out and ends where the shape of the chunk does, and what
//! a dataset claims beyond twice the length of its file must have been written, or it is refused
//! ([`Hdf5Error::TooLarge`]) before memory is asked for. With `len` the length of the file, a method
//! takes at most, together with the file and dataset that it is called on and with what it returns,
//!
//! ```text
//! 4 * len + 4 * inflated + widened + 64 KiB
//! ```
//!
//! where `inflated` is what inflating the chunks of the dataset really gives (nothing without deflate,
//! and nothing unless elements are asked for), and `widened` the result of [`Dataset::read_f64`] (8
//! bytes for each number that is in the file) or [`Dataset::read_strings`] (24 bytes for each text,
//! beside the text). So silence, which deflate shrinks to a thousandth, is read, and a file that only
//! says that it is large is not.
//!
//! `tests/damaged.rs` holds more than 10,000 damaged files to this, each of them: cut at every 64th of
//! its length and wherever a structure begins, with bits turned, runs of zeros and ones, huge numbers
//! and structures that changed places, with checksums that do and do not fit. Not damage, but
//! what somebody would have to write on purpose, remains:
//!
//! - Attributes, members, links and chunks that are really there are kept in structures that are larger
//!   than they are in the file: a file that is little else than thousands of very short ones (less
//!   than about 100 bytes each, with what they hold) takes more.
//! - Chunks with filters other than deflate, shuffle and Fletcher's checksum are left to hdf5-pure;
//!   they are refused when they claim more than twice the length of the file, and more than 64 KiB.
//!
//! Files with a table of shared messages, which neither h5py nor Digital RF makes, are refused.
//!
//! Of a dataset that is much larger than what was written of it, any rows can be read
//! ([`Dataset::read_rows_into`]), and all of it by a caller who says how much memory there is
//! ([`Dataset::with_unwritten`]). One who knows how large it must be can say that too
//! ([`Dataset::with_limit`]).
//!
//! # Names
//!
//! Objects are named by their path from the root, `processing/fields`, with or without a leading
//! slash; the root group is `/`.

mod attr;
mod backend;
mod chunk;
mod element;
mod error;
mod guard;
mod pure;
mod read;
mod rust;
mod write;

pub use attr::AttrValue;
pub use element::{ByteOrder, Element, ElementType, Field, Number, Scalar};
pub use error::Hdf5Error;
pub use read::{Array, Dataset, File};
pub use write::{CompleteFile, DatasetOptions, FileWriter, Publish};

pub(crate) use error::Cause;
