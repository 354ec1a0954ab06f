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
//! What a file claims about itself is not believed. Memory follows what is really there: a chunk is
//! inflated into a buffer that grows with what comes out, and what a dataset claims beyond twice the
//! length of its file must have been written, or it is refused ([`Hdf5Error::TooLarge`]) before
//! memory is asked for. With `len` the length of the file, a reading method takes at most
//!
//! ```text
//! 4 * len + 4 * inflated + widened + 128 KiB
//! ```
//!
//! where `inflated` is what inflating the chunks of the dataset gives (nothing without deflate), and
//! `widened` the result of [`Dataset::read_f64`] (8 bytes for each number that is in the file).
//! So silence, which deflate shrinks to a thousandth, is read, and a file that only says that it is
//! large is not. What remains:
//!
//! - A damaged number of members of a compound type or an enumeration makes hdf5-pure set aside up
//!   to 6 MiB for them, which it never writes to.
//! - Chunks with filters other than deflate, shuffle and Fletcher's checksum are left to hdf5-pure;
//!   they are refused when they claim more than twice the length of the file, and more than 64 KiB.
//! - A tree that was built to have no end costs up to 8 times the file until it is given up.
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
