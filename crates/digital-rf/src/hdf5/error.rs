//! Why an HDF5 file could not be read or written.

use std::path::PathBuf;

use thiserror::Error;

/// The error of the crate or system call underneath.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an HDF5 file could not be read or written. Every variant names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Hdf5Error {
    /// The file is not there, may not be read, or is not an HDF5 file.
    #[error("could not open {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or the decoder said.
        #[source]
        source: Cause,
    },
    /// The file has no object of that name.
    #[error("{path} has no {kind} {object}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for: "dataset", "group" or "attribute".
        kind: &'static str,
        /// Its name in the file.
        object: String,
    },
    /// The object is there, but what it holds cannot be decoded.
    #[error("could not read {object} of {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The object's name in the file.
        object: String,
        /// What the decoder said.
        #[source]
        source: Cause,
    },
    /// A dataset claims more bytes than its file can hold, or than the caller allows.
    #[error("{object} of {path} claims {claimed} bytes, where at most {limit} are possible",
        path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The dataset's name in the file.
        object: String,
        /// Product of its shape and its element's size; saturated.
        claimed: u64,
        /// The most that was to be believed.
        limit: u64,
    },
    /// A dataset or attribute has another type than was asked for.
    #[error("{object} of {path} holds {found}, not {wanted}", path = path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The object's name in the file.
        object: String,
        /// What it holds.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A dataset has another shape than was asked for, or values that do not fill theirs.
    #[error("{object} of {path} has shape {found:?}, not {wanted}", path = path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The object's name in the file.
        object: String,
        /// Its shape.
        found: Vec<usize>,
        /// What was asked for, in words: "3 values".
        wanted: String,
    },
    /// Something could not be put into a file that is being made.
    #[error("could not write {object} of {path}", path = path.display())]
    Write {
        /// The file that was to be.
        path: PathBuf,
        /// The object's name in the file.
        object: String,
        /// What the system or the encoder said.
        #[source]
        source: Cause,
    },
    /// The file was to be new, but there is one of that name already.
    #[error("{path} exists already", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The finished file could not be given its name.
    #[error("could not publish {path}", path = path.display())]
    Publish {
        /// The file that was to be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Hdf5Error {
    /// The file that the error is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Open { path, .. }
            | Self::Missing { path, .. }
            | Self::Read { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Type { path, .. }
            | Self::Shape { path, .. }
            | Self::Write { path, .. }
            | Self::Exists { path }
            | Self::Publish { path, .. } => path,
        }
    }

    /// Whether the error says that the file itself is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Open { source, .. } if source
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound))
    }
}
