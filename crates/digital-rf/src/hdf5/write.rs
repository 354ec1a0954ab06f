//! Writing of HDF5 files: whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use super::{
    AttrValue, Cause, Element, ElementType, Hdf5Error, Number,
    backend::{Write, Writer},
    rust::plain,
};

/// How a dataset is stored. The default is one piece of fixed shape, without filters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatasetOptions {
    /// What each dimension may grow to, `None` without limit. Needs chunks.
    pub max_shape: Option<Vec<Option<usize>>>,
    /// Shape of the chunks; without it, filters work on one chunk of the dataset's shape. Each
    /// dimension may exceed the dataset's, but not what that may grow to.
    pub chunk: Option<Vec<usize>>,
    /// Sorts bytes by their place in the element before deflate, which packs numbers better.
    pub shuffle: bool,
    /// Level of deflate, `0..=9`.
    pub deflate: Option<u32>,
    /// Adds a checksum to each chunk.
    pub fletcher32: bool,
    /// One element, as stored, for cells that were never written; zeros without it.
    pub fill: Option<Vec<u8>>,
}

impl DatasetOptions {
    /// Shuffled and deflated in one chunk.
    pub fn compressed(level: u32) -> Self {
        Self { shuffle: true, deflate: Some(level), ..Self::default() }
    }
}

/// What to do when the file is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Takes its place in one step.
    Replace,
    /// Fails with [`Hdf5Error::Exists`]; of several writers at once, exactly one succeeds.
    New,
}

/// An HDF5 file under way.
///
/// It is made under a temporary name, `tmp.` before its own, in the folder where it shall be, and
/// gets its own name by [`FileWriter::publish`]. A writer that is dropped before removes the
/// temporary file. The same calls make the same bytes: no times are recorded.
///
/// It stays on its thread (it is not `Send`): make, fill and publish it in one place.
#[derive(Debug)]
pub struct FileWriter {
    target: PathBuf,
    temporary: TempPath,
    backend: Writer,
}

impl FileWriter {
    /// Begins a new file. `path` itself is not touched until it is published.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Open`] when the folder is not there or may not be written to.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Hdf5Error> {
        let target = path.as_ref().to_path_buf();
        let open = |e: Cause| Hdf5Error::Open { path: target.clone(), source: plain(e) };
        let temporary = temporary(&target).map_err(|e| open(e.into()))?;
        let backend = Writer::create(&temporary).map_err(open)?;
        Ok(Self { target, temporary, backend })
    }

    /// Begins a new version of a file, with everything that is in it.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Open`] when the file cannot be read, or its folder not be written to.
    pub fn amend(path: impl AsRef<Path>) -> Result<Self, Hdf5Error> {
        let target = path.as_ref().to_path_buf();
        let open = |source: Cause| Hdf5Error::Open { path: target.clone(), source };
        // Opened first, so that a missing file is told from a folder that cannot be written to.
        let mut old = fs::File::open(&target).map_err(|e| open(e.into()))?;
        let temporary = temporary(&target).map_err(|e| open(e.into()))?;
        fs::File::create(&temporary)
            .and_then(|mut new| io::copy(&mut old, &mut new))
            .map_err(|e| open(e.into()))?;
        let backend = Writer::amend(&temporary).map_err(open)?;
        Ok(Self { target, temporary, backend })
    }

    /// The name that the file shall have.
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Makes a group and the groups above it; nothing happens if it is there.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Write`].
    pub fn group(&mut self, path: &str) -> Result<(), Hdf5Error> {
        let path = path.trim_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends.collect::<Vec<_>>() {
            let group = &path[..end];
            if !group.is_empty() && !self.backend.is_group(group) {
                self.backend.group(group).map_err(|e| self.write_error(group, e))?;
            }
        }
        Ok(())
    }

    /// Whether there is a dataset of this name.
    pub fn has_dataset(&self, path: &str) -> bool {
        self.backend.is_dataset(path)
    }

    /// Makes a dataset of numbers, little-endian, and the groups above it.
    ///
    /// | argument | shape                                          |
    /// | -------- | ---------------------------------------------- |
    /// | `shape`  | any; `[]` is a scalar                          |
    /// | `values` | `[product of shape]`, last dimension fastest   |
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Shape`] when the values do not fill the shape, [`Hdf5Error::Write`].
    pub fn write<T: Element>(
        &mut self,
        path: &str,
        shape: &[usize],
        values: &[T],
        options: &DatasetOptions,
    ) -> Result<(), Hdf5Error> {
        let element = ElementType::Number(Number::little(T::SCALAR));
        if cfg!(target_endian = "big") {
            let swapped: Vec<T> = values.iter().map(|value| value.swap_bytes()).collect();
            return self.write_bytes(
                path,
                &element,
                shape,
                bytemuck::cast_slice(&swapped),
                options,
            );
        }
        self.write_bytes(path, &element, shape, bytemuck::cast_slice(values), options)
    }

    /// Makes a dataset of one number.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Write`].
    pub fn write_scalar<T: Element>(&mut self, path: &str, value: T) -> Result<(), Hdf5Error> {
        self.write(path, &[], &[value], &DatasetOptions::default())
    }

    /// Makes a dataset of any element type from its bytes as they are to be stored.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Shape`] when the bytes do not fill the shape, [`Hdf5Error::Write`]; big-endian
    /// numbers cannot be written.
    pub fn write_bytes(
        &mut self,
        path: &str,
        element: &ElementType,
        shape: &[usize],
        bytes: &[u8],
        options: &DatasetOptions,
    ) -> Result<(), Hdf5Error> {
        let expected = shape.iter().try_fold(element.size(), |bytes, &n| bytes.checked_mul(n));
        if expected != Some(bytes.len()) {
            return Err(Hdf5Error::Shape {
                path: self.target.clone(),
                object: path.to_owned(),
                found: shape.to_vec(),
                wanted: format!("that of {} bytes of {element}", bytes.len()),
            });
        }
        self.parent(path)?;
        self.backend
            .dataset(path, element, shape, options, bytes)
            .map_err(|e| self.write_error(path, e))
    }

    /// Makes a dataset of one text, as h5py stores a `str`. It is added when the file is published,
    /// so it can have no attributes.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Write`].
    pub fn write_str(&mut self, path: &str, text: &str) -> Result<(), Hdf5Error> {
        self.parent(path)?;
        self.backend.strings(path, &[], &[text]).map_err(|e| self.write_error(path, e))
    }

    /// Makes a dataset of texts, one dimension.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Write`].
    pub fn write_strs(&mut self, path: &str, texts: &[&str]) -> Result<(), Hdf5Error> {
        self.parent(path)?;
        self.backend.strings(path, &[texts.len()], texts).map_err(|e| self.write_error(path, e))
    }

    /// Sets an attribute of a dataset or group; `/` is the root.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`] when there is no such object, [`Hdf5Error::Write`].
    pub fn set_attr(
        &mut self,
        object: &str,
        name: &str,
        value: &AttrValue,
    ) -> Result<(), Hdf5Error> {
        let result = if self.backend.is_dataset(object) {
            self.backend.dataset_attr(object, name, value)
        } else if self.backend.is_group(object) {
            self.backend.group_attr(object, name, value)
        } else {
            return Err(self.missing("object", object));
        };
        result.map_err(|e| self.write_error(&format!("{name} of {object}"), e))
    }

    /// Makes a dataset a dimension scale, as h5py's `make_scale(name)` does.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Write`].
    pub fn make_scale(&mut self, dataset: &str, name: &str) -> Result<(), Hdf5Error> {
        self.require_dataset(dataset)?;
        self.backend.make_scale(dataset, name).map_err(|e| self.write_error(dataset, e))
    }

    /// Attaches a scale to a dimension, as h5py's `dims[axis].attach_scale(scale)` does. A dimension
    /// may have several.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Write`].
    pub fn attach_scale(
        &mut self,
        dataset: &str,
        axis: usize,
        scale: &str,
    ) -> Result<(), Hdf5Error> {
        self.require_dataset(dataset)?;
        self.require_dataset(scale)?;
        self.backend.attach_scale(dataset, axis, scale).map_err(|e| self.write_error(dataset, e))
    }

    /// Names the dimensions, as h5py's `dims[i].label = ...` does: one label for each dimension,
    /// the empty one for a dimension without a name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Write`].
    pub fn label_dims(&mut self, dataset: &str, labels: &[&str]) -> Result<(), Hdf5Error> {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.require_dataset(dataset)?;
        self.set_attr(dataset, "DIMENSION_LABELS", &AttrValue::Strs(labels))
    }

    /// Completes the file, waits until the disk has it, and gives it its name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Exists`] (only by [`Publish::New`]), [`Hdf5Error::Write`],
    /// [`Hdf5Error::Publish`]. The temporary file is gone then, and what was there is untouched.
    pub fn publish(self, how: Publish) -> Result<(), Hdf5Error> {
        self.publish_as(how, true)
    }

    /// As [`FileWriter::publish`], but does not wait for the disk: for many files that can be made
    /// again. After a power failure the file may be short or empty.
    ///
    /// # Errors
    ///
    /// As [`FileWriter::publish`].
    pub fn publish_unsynced(self, how: Publish) -> Result<(), Hdf5Error> {
        self.publish_as(how, false)
    }

    /// Completes the file and waits until the disk has it, still under its temporary name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Write`]. The temporary file is gone then.
    pub fn complete(self) -> Result<CompleteFile, Hdf5Error> {
        self.complete_as(true)
    }

    fn complete_as(self, durable: bool) -> Result<CompleteFile, Hdf5Error> {
        let Self { target, temporary, backend } = self;
        match backend.finish(durable) {
            Ok(()) => Ok(CompleteFile { target, temporary, durable }),
            Err(source) => {
                let source = plain(source);
                Err(Hdf5Error::Write { path: target, object: "/".to_owned(), source })
            }
        }
    }

    fn publish_as(self, how: Publish, durable: bool) -> Result<(), Hdf5Error> {
        self.complete_as(durable)?.publish(how)
    }

    fn parent(&mut self, path: &str) -> Result<(), Hdf5Error> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((parent, _)) => self.group(parent),
            None => Ok(()),
        }
    }

    fn require_dataset(&self, path: &str) -> Result<(), Hdf5Error> {
        if self.backend.is_dataset(path) { Ok(()) } else { Err(self.missing("dataset", path)) }
    }

    fn missing(&self, kind: &'static str, object: &str) -> Hdf5Error {
        Hdf5Error::Missing { path: self.target.clone(), kind, object: object.to_owned() }
    }

    fn write_error(&self, object: &str, source: Cause) -> Hdf5Error {
        Hdf5Error::Write {
            path: self.target.clone(),
            object: object.to_owned(),
            source: plain(source),
        }
    }
}

/// A file that is complete, but has its temporary name still; without being published it is removed.
#[derive(Debug)]
pub struct CompleteFile {
    target: PathBuf,
    temporary: TempPath,
    durable: bool,
}

impl CompleteFile {
    /// The name that the file has now: what is read there is what will be published.
    pub fn temporary_path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the file its name, and waits until the disk knows the name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Exists`] (only by [`Publish::New`]), [`Hdf5Error::Publish`]. The temporary file
    /// is gone then, and what was there is untouched.
    pub fn publish(self, how: Publish) -> Result<(), Hdf5Error> {
        let Self { target, temporary, durable } = self;
        let published = match how {
            Publish::Replace => temporary.persist(&target),
            Publish::New => temporary.persist_noclobber(&target),
        };
        if let Err(error) = published {
            return Err(match error.error.kind() {
                io::ErrorKind::AlreadyExists => Hdf5Error::Exists { path: target },
                _ => Hdf5Error::Publish { path: target, source: error.error },
            });
        }
        if durable {
            sync_folder(folder_of(&target));
        }
        Ok(())
    }
}

/// Waits until the disk has the names in a folder.
///
/// Not every system and file system can do that; where it fails the files are there all the same,
/// so it is no error.
fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A new, empty file beside the target: `rf@0.000.h5` gives `tmp.rf@0.000.XXXXXX.h5`, a name that
/// readers of Digital RF pass over.
fn temporary(target: &Path) -> io::Result<TempPath> {
    let stem = target.file_stem().unwrap_or_default().to_string_lossy();
    let prefix = format!("tmp.{stem}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".h5");
    // Without this the file would be readable by its owner only, as befits secrets, not data.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Ok(builder.tempfile_in(folder_of(target))?.into_temp_path())
}
