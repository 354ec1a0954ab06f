//! Reading of HDF5 files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AttrValue, ByteOrder, Cause, Element, ElementType, Hdf5Error,
    backend::{Attrs, Description, RandomAccess, Read, Reader, Storage},
};

/// The most that deflate can shrink: one byte for 1032.
const DEFLATE_FACTOR: u64 = 1032;
/// A chunked dataset may be so much larger than the chunks that were written of it.
const SPARSE_FACTOR: u64 = 4;
/// What a dataset may always have, written or not: small ones are often left to their fill value.
const FREE_BYTES: u64 = 1 << 16;

/// An HDF5 file that is open for reading. May be shared by threads; takes no lock on the file.
#[derive(Debug)]
pub struct File {
    path: Arc<Path>,
    access: RandomAccess,
    backend: Reader,
}

impl File {
    /// Opens a file and reads its root.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Hdf5Error> {
        let path: Arc<Path> = path.as_ref().into();
        let open = |source: Cause| Hdf5Error::Open { path: path.to_path_buf(), source };
        let access = RandomAccess::open(&path).map_err(|e| open(e.into()))?;
        let backend = Reader::open(access.clone()).map_err(open)?;
        Ok(Self { path, access, backend })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a dataset or group of this name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Read`] when the file is too damaged to tell.
    pub fn exists(&self, object: &str) -> Result<bool, Hdf5Error> {
        let read = |source| self.read_error(object, source);
        Ok(self.backend.dataset(object).map_err(read)?.is_some()
            || self.backend.members(object).map_err(read)?.is_some())
    }

    /// The names of the groups in a group, in the order of the alphabet.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Read`].
    pub fn groups(&self, group: &str) -> Result<Vec<String>, Hdf5Error> {
        let members = self.backend.members(group).map_err(|e| self.read_error(group, e))?;
        Ok(members.ok_or_else(|| self.missing("group", group))?.groups)
    }

    /// The names of the datasets in a group, in the order of the alphabet.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Read`].
    pub fn datasets(&self, group: &str) -> Result<Vec<String>, Hdf5Error> {
        let members = self.backend.members(group).map_err(|e| self.read_error(group, e))?;
        Ok(members.ok_or_else(|| self.missing("group", group))?.datasets)
    }

    /// Opens a dataset and reads what it says about itself, but none of its elements.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Read`].
    pub fn dataset(&self, name: &str) -> Result<Dataset, Hdf5Error> {
        let read = |source| self.read_error(name, source);
        let handle = self
            .backend
            .dataset(name)
            .map_err(read)?
            .ok_or_else(|| self.missing("dataset", name))?;
        let description = Reader::describe(&handle).map_err(read)?;
        let limit = possible_bytes(&description, self.access.len());
        Ok(Dataset {
            path: Arc::clone(&self.path),
            name: name.to_owned(),
            access: self.access.clone(),
            handle,
            description,
            limit,
        })
    }

    /// The attributes of a group, by name; `/` is the root. Attributes whose type has no form in
    /// [`AttrValue`] (references, compounds) are left out.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`], [`Hdf5Error::Read`].
    pub fn attrs(&self, group: &str) -> Result<Attrs, Hdf5Error> {
        self.backend
            .group_attrs(group)
            .map_err(|source| self.read_error(group, source))?
            .ok_or_else(|| self.missing("group", group))
    }

    /// One attribute of a group; `None` when the group has none of that name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Missing`] (of the group), [`Hdf5Error::Read`].
    pub fn attr(&self, group: &str, name: &str) -> Result<Option<AttrValue>, Hdf5Error> {
        Ok(self.attrs(group)?.remove(name))
    }

    fn read_error(&self, object: &str, source: Cause) -> Hdf5Error {
        Hdf5Error::Read { path: self.path.to_path_buf(), object: object.to_owned(), source }
    }

    fn missing(&self, kind: &'static str, object: &str) -> Hdf5Error {
        Hdf5Error::Missing { path: self.path.to_path_buf(), kind, object: object.to_owned() }
    }
}

/// The most bytes that a dataset in a file of `file_len` bytes can come to.
fn possible_bytes(description: &Description, file_len: u64) -> u64 {
    let stored = match &description.storage {
        Storage::Chunked { filtered: true, .. } => file_len.saturating_mul(DEFLATE_FACTOR),
        Storage::Contiguous { .. } | Storage::Chunked { .. } | Storage::Other => file_len,
    };
    stored.max(FREE_BYTES)
}

/// `product(shape) * element_size`, saturated.
fn claimed_bytes(shape: &[usize], element_size: usize) -> u64 {
    shape.iter().fold(element_size as u64, |bytes, &n| bytes.saturating_mul(n as u64))
}

/// Values and their shape, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Length of each dimension; none for a scalar.
    pub shape: Vec<usize>,
    /// The values, the last dimension running fastest: as many as the product of the shape.
    pub values: Vec<T>,
}

/// A dataset of a [`File`]; keeps the file open. May be shared by threads.
#[derive(Debug, Clone)]
pub struct Dataset {
    path: Arc<Path>,
    name: String,
    access: RandomAccess,
    handle: <Reader as Read>::Dataset,
    description: Description,
    limit: u64,
}

impl Dataset {
    /// The file that it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length of each dimension; none for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.description.shape
    }

    /// What each cell holds.
    pub fn element(&self) -> &ElementType {
        &self.description.element
    }

    /// Whether the elements lie in the file as they are, in one piece.
    pub fn is_contiguous(&self) -> bool {
        matches!(self.description.storage, Storage::Contiguous { .. })
    }

    /// Bytes of one row, which is everything but the first dimension.
    pub fn row_bytes(&self) -> usize {
        let row = self.shape().get(1..).unwrap_or_default();
        usize::try_from(claimed_bytes(row, self.element().size())).unwrap_or(usize::MAX)
    }

    /// Lowers what the dataset may come to, in bytes. Reading more is [`Hdf5Error::TooLarge`].
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = self.limit.min(bytes.max(FREE_BYTES));
        self
    }

    /// Says whether the dataset may be as large as it claims.
    ///
    /// Every reading method asks this first.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::TooLarge`].
    pub fn check_size(&self) -> Result<(), Hdf5Error> {
        let size = self.element().size();
        let mut claimed = claimed_bytes(self.shape(), size);
        let mut limit = self.limit;
        if let Storage::Chunked { chunk, .. } = &self.description.storage {
            // A whole chunk is inflated whatever part of it is wanted, and a chunk may be larger
            // than the dataset: so it is held against the file, not against the caller's limit.
            let in_chunk = claimed_bytes(chunk, size);
            if in_chunk > claimed {
                claimed = in_chunk;
                limit = possible_bytes(&self.description, self.access.len());
            }
        }
        if claimed > limit {
            return Err(self.too_large(claimed, limit));
        }
        Ok(())
    }

    /// Reads all stored bytes, in stored byte order, row-major.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::TooLarge`], [`Hdf5Error::Read`].
    pub fn read_bytes(&self) -> Result<Vec<u8>, Hdf5Error> {
        self.check_size()?;
        let expected = claimed_bytes(self.shape(), self.element().size());
        if let Storage::Contiguous { address } = self.description.storage {
            let mut bytes = vec![0; usize::try_from(expected).unwrap_or(usize::MAX)];
            self.read_at(&mut bytes, address)?;
            return Ok(bytes);
        }
        self.check_stored()?;
        let n = self.shape().first().copied().unwrap_or(1);
        let bytes = Reader::rows(&self.handle, 0, n).map_err(|e| self.read_error(e))?;
        if bytes.len() as u64 != expected {
            let problem = format!("it gave {} bytes instead of {expected}", bytes.len());
            return Err(self.read_error(problem.into()));
        }
        Ok(bytes)
    }

    /// Reads stored bytes of consecutive rows into a buffer, in stored byte order.
    ///
    /// | argument | shape                                 |
    /// | -------- | ------------------------------------- |
    /// | `start`  | row of the first dimension            |
    /// | `buf`    | `[rows * row_bytes()]`, overwritten   |
    ///
    /// A contiguous dataset goes straight from the file into `buf`; a chunked one is inflated anew
    /// at each call, so read those by [`Dataset::read_bytes`] once.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Shape`] when `buf` is no whole number of rows or the rows are not there,
    /// [`Hdf5Error::TooLarge`], [`Hdf5Error::Read`].
    pub fn read_rows_into(&self, start: usize, buf: &mut [u8]) -> Result<(), Hdf5Error> {
        self.check_size()?;
        let row_bytes = self.row_bytes();
        let n = buf.len().checked_div(row_bytes).unwrap_or(0);
        let rows = self.shape().first().copied().unwrap_or(1);
        if n * row_bytes != buf.len() || start.checked_add(n).is_none_or(|end| end > rows) {
            let wanted = format!("{} bytes of rows from {start} on", buf.len());
            return Err(self.shape_error(wanted));
        }
        if let Storage::Contiguous { address } = self.description.storage {
            // Too far is the same as beyond the end of the file.
            return self.read_at(buf, address.saturating_add((start * row_bytes) as u64));
        }
        self.check_stored()?;
        let bytes = Reader::rows(&self.handle, start, n).map_err(|e| self.read_error(e))?;
        if bytes.len() != buf.len() {
            let problem = format!("it gave {} bytes instead of {}", bytes.len(), buf.len());
            return Err(self.read_error(problem.into()));
        }
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    /// Reads all values as the type that is stored; only the byte order is converted.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Type`] when another type is stored, [`Hdf5Error::TooLarge`],
    /// [`Hdf5Error::Read`].
    pub fn read<T: Element>(&self) -> Result<Array<T>, Hdf5Error> {
        let number = match self.element() {
            ElementType::Number(number) if number.scalar == T::SCALAR => *number,
            _ => return Err(self.type_error(T::SCALAR.name())),
        };
        let bytes = self.read_bytes()?;
        Ok(Array { shape: self.shape().to_vec(), values: decode(&bytes, number.order) })
    }

    /// Reads a scalar, or the only value of an array, as the type that is stored.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Shape`] when there is more or less than one value, and as [`Dataset::read`].
    pub fn read_scalar<T: Element>(&self) -> Result<T, Hdf5Error> {
        match self.read::<T>()?.values[..] {
            [value] => Ok(value),
            _ => Err(self.shape_error("a single value".to_owned())),
        }
    }

    /// Reads all values of any type of number, or bools, as `f64`. Integers of more than 53 bits
    /// are rounded.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Type`] when no numbers are stored, [`Hdf5Error::TooLarge`],
    /// [`Hdf5Error::Read`].
    pub fn read_f64(&self) -> Result<Array<f64>, Hdf5Error> {
        use super::Scalar::{F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        fn widen<T: Element>(bytes: &[u8], order: ByteOrder, to: fn(T) -> f64) -> Vec<f64> {
            decode::<T>(bytes, order).into_iter().map(to).collect()
        }
        let number = match self.element() {
            ElementType::Number(number) => *number,
            ElementType::Bool => super::Number::little(U8),
            _ => return Err(self.type_error("numbers")),
        };
        let (bytes, order) = (self.read_bytes()?, number.order);
        let values = match number.scalar {
            I8 => widen::<i8>(&bytes, order, f64::from),
            I16 => widen::<i16>(&bytes, order, f64::from),
            I32 => widen::<i32>(&bytes, order, f64::from),
            I64 => widen::<i64>(&bytes, order, |x| x as f64),
            U8 => widen::<u8>(&bytes, order, f64::from),
            U16 => widen::<u16>(&bytes, order, f64::from),
            U32 => widen::<u32>(&bytes, order, f64::from),
            U64 => widen::<u64>(&bytes, order, |x| x as f64),
            F32 => widen::<f32>(&bytes, order, f64::from),
            F64 => decode(&bytes, order),
        };
        Ok(Array { shape: self.shape().to_vec(), values })
    }

    /// Reads all texts.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Type`] when no text is stored, [`Hdf5Error::TooLarge`], [`Hdf5Error::Read`].
    pub fn read_strings(&self) -> Result<Array<String>, Hdf5Error> {
        if !matches!(self.element(), ElementType::String | ElementType::FixedString { .. }) {
            return Err(self.type_error("text"));
        }
        self.check_size()?;
        self.check_stored()?;
        let max_bytes = usize::try_from(self.access.len()).unwrap_or(usize::MAX);
        let values = Reader::strings(&self.handle, max_bytes).map_err(|e| self.read_error(e))?;
        Ok(Array { shape: self.shape().to_vec(), values })
    }

    /// All attributes, by name. Attributes whose type has no form in [`AttrValue`] (references,
    /// compounds) are left out.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Read`].
    pub fn attrs(&self) -> Result<Attrs, Hdf5Error> {
        Reader::dataset_attrs(&self.handle).map_err(|source| self.read_error(source))
    }

    /// One attribute; `None` when there is none of that name.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Read`].
    pub fn attr(&self, name: &str) -> Result<Option<AttrValue>, Hdf5Error> {
        Ok(self.attrs()?.remove(name))
    }

    /// Holds what the dataset claims against the chunks that are stored of it.
    fn check_stored(&self) -> Result<(), Hdf5Error> {
        let n_chunks = Reader::check_stored(&self.handle, self.access.len())
            .map_err(|e| self.read_error(e))?;
        if let Storage::Chunked { chunk, .. } = &self.description.storage {
            let size = self.element().size();
            let stored = claimed_bytes(chunk, size).saturating_mul(n_chunks);
            let limit = stored.saturating_mul(SPARSE_FACTOR).max(FREE_BYTES);
            let claimed = claimed_bytes(self.shape(), size);
            if claimed > limit {
                return Err(self.too_large(claimed, limit));
            }
        }
        Ok(())
    }

    fn too_large(&self, claimed: u64, limit: u64) -> Hdf5Error {
        Hdf5Error::TooLarge { path: self.owned_path(), object: self.name.clone(), claimed, limit }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Hdf5Error> {
        self.access.read_exact_at(buf, offset).map_err(|error| self.read_error(error.into()))
    }

    fn read_error(&self, source: Cause) -> Hdf5Error {
        Hdf5Error::Read { path: self.owned_path(), object: self.name.clone(), source }
    }

    pub(crate) fn type_error(&self, wanted: &str) -> Hdf5Error {
        Hdf5Error::Type {
            path: self.owned_path(),
            object: self.name.clone(),
            found: self.element().to_string(),
            wanted: wanted.to_owned(),
        }
    }

    fn shape_error(&self, wanted: String) -> Hdf5Error {
        Hdf5Error::Shape {
            path: self.owned_path(),
            object: self.name.clone(),
            found: self.shape().to_vec(),
            wanted,
        }
    }

    fn owned_path(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

/// Numbers from their stored bytes.
fn decode<T: Element>(bytes: &[u8], order: ByteOrder) -> Vec<T> {
    let mut values: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
    if (order == ByteOrder::Big) != cfg!(target_endian = "big") {
        values.iter_mut().for_each(|value| *value = value.swap_bytes());
    }
    values
}
