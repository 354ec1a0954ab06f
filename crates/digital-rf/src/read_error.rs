//! Why samples could not be read.

use std::{io, ops::Range, path::PathBuf};

use thiserror::Error;

use crate::{FileError, LayoutError, PropertiesError};

/// Why a product could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A folder cannot be listed.
    #[error("could not list {path}", path = path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The folder is a channel itself; what is wanted is the folder that channels are in.
    #[error("{path} is a channel, not the folder that its channels are in", path = path.display())]
    IsChannel {
        /// The folder.
        path: PathBuf,
    },
    /// No folder holds a channel.
    #[error("no channel in {}: a channel is a folder with drf_properties.h5", list(paths))]
    NoChannels {
        /// The folders.
        paths: Vec<PathBuf>,
    },
    /// There is no channel of that name.
    #[error("no channel {name} in {}, only {}", list(paths), available.join(", "))]
    NoSuchChannel {
        /// The name.
        name: String,
        /// The folders.
        paths: Vec<PathBuf>,
        /// The channels that there are.
        available: Vec<String>,
    },
    /// The properties of a channel cannot be used.
    #[error("channel {channel} cannot be used")]
    Properties {
        /// The channel.
        channel: String,
        /// What is wrong.
        #[source]
        source: Box<PropertiesError>,
    },
    /// A channel lies in several folders, which disagree about its properties.
    #[error("{} and {} disagree about {what}", paths.0.display(), paths.1.display())]
    Disagree {
        /// Two folders of the channel.
        paths: (PathBuf, PathBuf),
        /// What they disagree about.
        what: &'static str,
    },
    /// A sample is so late that there is no date for it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// There is no such sub-channel.
    #[error(
        "channel {channel} has {num_subchannels} sub-channels, so there is no number {subchannel}"
    )]
    Subchannel {
        /// The channel.
        channel: String,
        /// What was asked for.
        subchannel: usize,
        /// How many there are.
        num_subchannels: usize,
    },
    /// Samples that were asked for are not there: their file is missing, or has a gap.
    #[error("channel {channel} has no sample {sample} (of {} to {} asked for); it would be in {path}",
        wanted.start, wanted.end, path = path.display())]
    Gap {
        /// The channel.
        channel: String,
        /// The first sample that is missing.
        sample: u64,
        /// The samples that were asked for.
        wanted: Range<u64>,
        /// The file that would hold it, there or not.
        path: PathBuf,
    },
    /// Samples that were asked for are in a file that cannot be used.
    #[error("samples {} to {} of channel {channel} cannot be read", samples.start, samples.end)]
    File {
        /// The channel.
        channel: String,
        /// The samples of those asked for that the file may hold.
        samples: Range<u64>,
        /// What is wrong, with the name of the file.
        #[source]
        source: Box<FileError>,
    },
    /// A buffer is no whole number of rows.
    #[error("a buffer of {len} bytes holds no whole number of rows of {row_bytes} bytes")]
    Buffer {
        /// Its length, in bytes.
        len: usize,
        /// Bytes of one row, over all sub-channels.
        row_bytes: usize,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
