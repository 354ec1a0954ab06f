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
//! What a file claims about itself is not believed: before memory is asked for, the size of a
//! dataset is held against what a file of this length can hold ([`Hdf5Error::TooLarge`]), and a
//! caller who knows better can say so with [`Dataset::with_limit`].
//!
//! # Names
//!
//! Objects are named by their path from the root, `processing/fields`, with or without a leading
//! slash; the root group is `/`.

mod attr;
mod backend;
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
pub use write::{DatasetOptions, FileWriter, Publish};

pub(crate) use error::Cause;
