//! What an HDF5 crate has to offer to be used here: one trait to read, one to write.
//!
//! `pure.rs` implements the first with hdf5-pure, `rust.rs` the second with rust-hdf5: each of the
//! two crates lacks something that the other has (numeric attributes of groups can only be read by
//! the first, dimension scales only be written by the second). Another crate takes the place of
//! either by implementing the trait and being named in [`Reader`] or [`Writer`].

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc};

use super::{AttrValue, Cause, DatasetOptions, ElementType, chunk::Chunks};

/// The crate that reads.
pub(super) type Reader = super::pure::PureReader;
/// The crate that writes.
pub(super) type Writer = super::rust::RustWriter;

/// The attributes of an object, by name.
pub(super) type Attrs = BTreeMap<String, AttrValue>;

/// Where the elements of a dataset lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Storage {
    /// In one piece, at this byte of the file.
    Contiguous { address: u64 },
    /// In pieces of so many rows each, as they are, at these bytes of the file; see
    /// [`Chunks::pieces`].
    Pieces { rows: usize, addresses: Arc<[u64]> },
    /// In chunks of this shape.
    Chunked { chunk: Vec<usize> },
    /// Somewhere else, or nowhere: then they are all the fill value.
    Other,
}

/// What a dataset claims about itself.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub(super) shape: Vec<usize>,
    pub(super) element: ElementType,
    pub(super) storage: Storage,
}

/// The members of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Members {
    pub(super) groups: Vec<String>,
    pub(super) datasets: Vec<String>,
}

/// Reading of one file. What does not exist is `Ok(None)`.
pub(super) trait Read: Sized {
    type Dataset: Clone;

    fn open(file: RandomAccess) -> Result<Self, Cause>;
    fn members(&self, group: &str) -> Result<Option<Members>, Cause>;
    fn group_attrs(&self, group: &str) -> Result<Option<Attrs>, Cause>;
    fn dataset(&self, path: &str) -> Result<Option<Self::Dataset>, Cause>;
    fn describe(dataset: &Self::Dataset) -> Result<Description, Cause>;
    /// The chunks that are stored of a chunked dataset. Fails when they claim more than the
    /// `file_len` bytes there are, or when two are at the same place.
    fn chunks(dataset: &Self::Dataset, file_len: u64) -> Result<Chunks, Cause>;
    /// The stored bytes of rows `start..start + n` of the first dimension, filters undone.
    fn rows(dataset: &Self::Dataset, start: usize, n: usize) -> Result<Vec<u8>, Cause>;
    fn strings(dataset: &Self::Dataset, max_bytes: usize) -> Result<Vec<String>, Cause>;
    fn dataset_attrs(dataset: &Self::Dataset) -> Result<Attrs, Cause>;
}

/// Writing of one file.
pub(super) trait Write: Sized {
    fn create(path: &Path) -> Result<Self, Cause>;
    fn amend(path: &Path) -> Result<Self, Cause>;
    /// Makes a group; its parent exists.
    fn group(&mut self, path: &str) -> Result<(), Cause>;
    fn is_group(&self, path: &str) -> bool;
    fn is_dataset(&self, path: &str) -> bool;
    fn dataset(
        &mut self,
        path: &str,
        element: &ElementType,
        shape: &[usize],
        options: &DatasetOptions,
        bytes: &[u8],
    ) -> Result<(), Cause>;
    /// Makes a dataset of texts; no shape is a scalar.
    fn strings(&mut self, path: &str, shape: &[usize], values: &[&str]) -> Result<(), Cause>;
    fn dataset_attr(&mut self, path: &str, name: &str, value: &AttrValue) -> Result<(), Cause>;
    fn group_attr(&mut self, path: &str, name: &str, value: &AttrValue) -> Result<(), Cause>;
    fn make_scale(&mut self, path: &str, name: &str) -> Result<(), Cause>;
    fn attach_scale(&mut self, path: &str, axis: usize, scale: &str) -> Result<(), Cause>;
    /// Completes the file; `durable` waits until the disk has it.
    fn finish(self, durable: bool) -> Result<(), Cause>;
}

/// A file that is read at given places, by any number of threads at once.
#[derive(Debug, Clone)]
pub(super) struct RandomAccess {
    file: Arc<fs::File>,
    len: u64,
}

impl RandomAccess {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        Ok(Self { len: metadata.len(), file: Arc::new(file) })
    }

    /// Length of the file when it was opened, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    #[cfg(unix)]
    pub(super) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&*self.file, buf, offset)
            .map_err(|error| self.cut_short(error, offset, buf.len()))
    }

    #[cfg(windows)]
    pub(super) fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&*self.file, buf, offset)? {
                0 => {
                    let end = io::ErrorKind::UnexpectedEof.into();
                    return Err(self.cut_short(end, offset, buf.len()));
                }
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Says of a read beyond the end what that means for the file.
    fn cut_short(&self, error: io::Error, offset: u64, len: usize) -> io::Error {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return error;
        }
        let needed = offset.saturating_add(len as u64);
        let said = format!("the file is cut short: it has {} of {needed} bytes", self.len);
        io::Error::new(io::ErrorKind::UnexpectedEof, said)
    }
}
