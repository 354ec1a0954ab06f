//! Digital Metadata: values that belong to samples, such as the pointing of an antenna.

use std::{collections::BTreeMap, io, path::PathBuf};

use thiserror::Error;

use crate::{
    LayoutError, PropertiesError, SampleRate,
    hdf5::{Array, Hdf5Error},
    time::folder_name,
};

mod read;
mod write;

pub use read::MetadataReader;
pub use write::MetadataWriter;

/// Why Digital Metadata could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// A folder cannot be listed.
    #[error("could not list {path}", path = path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder holds no Digital Metadata.
    #[error("{path} has no dmd_properties.h5", path = path.display())]
    NoProperties {
        /// The folder.
        path: PathBuf,
    },
    /// The properties cannot be used.
    #[error("the metadata cannot be used")]
    Properties(#[from] PropertiesError),
    /// A file cannot be read.
    #[error(transparent)]
    Hdf5(#[from] Hdf5Error),
    /// A group that should be named by a sample is not, or groups lie too deep.
    #[error("{path} has a group {group} that is no sample's", path = path.display())]
    Group {
        /// The file.
        path: PathBuf,
        /// The group.
        group: String,
    },
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// An integer.
    Int(i64),
    /// An integer beyond `i64`.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A truth.
    Bool(bool),
    /// A text.
    Text(String),
    /// Integers.
    Ints(Array<i64>),
    /// Floats.
    Floats(Array<f64>),
    /// Texts, one dimension.
    Texts(Vec<String>),
    /// Fields inside a field.
    Group(Record),
}

impl Value {
    /// The value as a float, when it is a single number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(x) => Some(*x as f64),
            Self::UInt(x) => Some(*x as f64),
            Self::Float(x) => Some(*x),
            Self::Ints(array) if array.values.len() == 1 => Some(array.values[0] as f64),
            Self::Floats(array) if array.values.len() == 1 => Some(array.values[0]),
            _ => None,
        }
    }

    /// The value as text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The fields of a sample, by name.
pub type Record = BTreeMap<String, Value>;

/// How metadata is divided into files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataLayout {
    /// The sample rate, usually that of the channel.
    pub rate: SampleRate,
    /// Length of a folder, in seconds.
    pub subdir_cadence_secs: u64,
    /// Length of a file, in seconds; divides that of a folder.
    pub file_cadence_secs: u64,
    /// Begin of the names of files: `metadata`.
    pub file_name: String,
}

impl MetadataLayout {
    /// Files of a minute in folders of an hour.
    pub fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            subdir_cadence_secs: 3600,
            file_cadence_secs: 60,
            file_name: "metadata".to_owned(),
        }
    }

    fn check(&self) -> Result<(), LayoutError> {
        let (subdir, file) = (self.subdir_cadence_secs, self.file_cadence_secs);
        if file == 0 || subdir == 0 || subdir % file != 0 {
            return Err(LayoutError::Cadence {
                subdir_cadence_secs: subdir,
                file_cadence_ms: file.saturating_mul(1000),
            });
        }
        Ok(())
    }

    /// The time of the file that holds a sample, in seconds after the epoch.
    fn file_secs(&self, sample: u64) -> u64 {
        self.rate.unix_secs(sample) / self.file_cadence_secs * self.file_cadence_secs
    }

    fn relative_path(&self, file_secs: u64) -> Result<PathBuf, LayoutError> {
        let folder = folder_name(file_secs / self.subdir_cadence_secs * self.subdir_cadence_secs)?;
        Ok(PathBuf::from(folder).join(format!("{}@{file_secs}.h5", self.file_name)))
    }
}
