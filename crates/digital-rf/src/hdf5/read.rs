//! Reading of HDF5 files.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    AttrValue, ByteOrder, Cause, Element, ElementType, Hdf5Error,
    backend::{Attrs, Description, RandomAccess, Read, Reader, Storage},
    chunk::{Chunks, Grid},
    pure::plain,
};

/// What a dataset may always come to, written or not: small ones are often left to their fill
/// value.
const FREE_BYTES: u64 = 1 << 16;
/// What was never written may come to so many times the length of the file.
const UNWRITTEN_FACTOR: u64 = 2;

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
        let open = |e: Cause| Hdf5Error::Open { path: path.to_path_buf(), source: plain(e) };
        let access = RandomAccess::open(&path).map_err(|e| open(e.into()))?;
        if access.len() == 0 {
            return Err(open("the file is empty".into()));
        }
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
        Ok(Dataset {
            path: Arc::clone(&self.path),
            name: name.to_owned(),
            access: self.access.clone(),
            handle,
            description,
            limit: u64::MAX,
            unwritten: 0,
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
        Hdf5Error::Read {
            path: self.path.to_path_buf(),
            object: object.to_owned(),
            source: plain(source),
        }
    }

    fn missing(&self, kind: &'static str, object: &str) -> Hdf5Error {
        Hdf5Error::Missing { path: self.path.to_path_buf(), kind, object: object.to_owned() }
    }
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
    unwritten: u64,
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

    /// Whether the elements lie in the file as they are, in one piece, or as it is known of
    /// [`Dataset::seen_through`] in pieces.
    pub fn is_contiguous(&self) -> bool {
        matches!(self.description.storage, Storage::Contiguous { .. } | Storage::Pieces { .. })
    }

    /// The same dataset, knowing where its rows lie if its chunks are whole rows without filters, as
    /// those of a recording that is neither compressed nor checked: rows are then read from the file
    /// without reading the chunk around them.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Read`] if the chunks make no sense.
    pub fn seen_through(mut self) -> Result<Self, Hdf5Error> {
        if let Storage::Chunked { chunk } = &self.description.storage
            && !self.shape().is_empty()
        {
            let pieces = self.chunks()?.pieces(self.grid(chunk), self.access.len());
            if let Some(addresses) = pieces.map_err(|e| self.read_error(e))? {
                let rows = chunk[0];
                self.description.storage = Storage::Pieces { rows, addresses: addresses.into() };
            }
        }
        Ok(self)
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

    /// Lets the dataset come to so many bytes although they were not all written. For a caller who
    /// expects a sparse dataset, and has the memory; rows of it can be read without.
    #[must_use]
    pub fn with_unwritten(mut self, bytes: u64) -> Self {
        self.unwritten = bytes;
        self
    }

    /// Says whether the dataset is as large as it claims, so that it may be read as a whole.
    ///
    /// What is stored as it is must fit the file. What is in chunks must have been written: chunks
    /// that are stored shorter than they claim are inflated to see it, but only when the dataset
    /// claims more than twice the length of the file and more than 64 KiB, so that this is cheap
    /// but for silence.
    ///
    /// Every method that reads the whole dataset asks this first.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::TooLarge`], [`Hdf5Error::Read`].
    pub fn check_size(&self) -> Result<(), Hdf5Error> {
        self.check_memory(1)
    }

    /// As `check_size`, for values that take `factor` times what is stored while they are read.
    fn check_memory(&self, factor: u64) -> Result<(), Hdf5Error> {
        let claimed = self.claimed();
        if claimed > self.limit {
            return Err(self.too_large(claimed, self.limit));
        }
        let free = FREE_BYTES.max(self.access.len().saturating_mul(UNWRITTEN_FACTOR));
        if !self.is_contiguous() && claimed.saturating_mul(factor) <= free {
            return Ok(());
        }
        let limit = match &self.description.storage {
            Storage::Contiguous { .. } | Storage::Pieces { .. } => self.access.len(),
            Storage::Other => free,
            Storage::Chunked { chunk } => {
                let chunks = self.chunks()?;
                let in_chunks = claimed_bytes(chunk, self.element().size())
                    .saturating_mul(chunks.stored.len() as u64);
                // No proof is needed of what is too little.
                let held = if in_chunks < claimed || chunks.foreign_filter().is_some() {
                    0
                } else {
                    chunks
                        .held_bytes(&self.access, self.grid(chunk))
                        .map_err(|e| self.read_error(e))?
                };
                held.max(self.unwritten)
            }
        };
        if claimed > limit { Err(self.too_large(claimed, limit.max(free))) } else { Ok(()) }
    }

    /// Reads all stored bytes, in stored byte order, row-major.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::TooLarge`], [`Hdf5Error::Read`].
    pub fn read_bytes(&self) -> Result<Vec<u8>, Hdf5Error> {
        self.check_size()?;
        let len = usize::try_from(self.claimed()).unwrap_or(usize::MAX);
        if let Storage::Chunked { chunk } = &self.description.storage {
            let one = self.chunks()?.read_as_one(&self.access, self.grid(chunk), len);
            if let Some(bytes) = one.map_err(|e| self.read_error(e))? {
                return Ok(bytes);
            }
        }
        let mut bytes = vec![0; len];
        self.read_all_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads all stored bytes into a buffer of that length; the size was checked.
    fn read_all_into(&self, buf: &mut [u8]) -> Result<(), Hdf5Error> {
        self.read_into(0..self.shape().first().copied().unwrap_or(1), buf)
    }

    fn read_into(&self, rows: Range<usize>, buf: &mut [u8]) -> Result<(), Hdf5Error> {
        match &self.description.storage {
            Storage::Contiguous { address } => {
                // Too far is the same as beyond the end of the file.
                let offset = (rows.start as u64).saturating_mul(self.row_bytes() as u64);
                self.access
                    .read_exact_at(buf, address.saturating_add(offset))
                    .map_err(|e| self.read_error(e.into()))
            }
            Storage::Pieces { rows: per_piece, addresses } => {
                let row_bytes = self.row_bytes();
                let (mut row, mut rest) = (rows.start, buf);
                while !rest.is_empty() {
                    let (piece, in_piece) = (row / per_piece, row % per_piece);
                    let n = (per_piece - in_piece).min(rows.end - row);
                    let (now, later) = rest.split_at_mut(n * row_bytes);
                    let address = addresses[piece] + (in_piece * row_bytes) as u64;
                    let read = self.access.read_exact_at(now, address);
                    read.map_err(|e| self.read_error(e.into()))?;
                    (row, rest) = (row + n, later);
                }
                Ok(())
            }
            Storage::Chunked { chunk } => {
                let chunks = self.chunks()?;
                if chunks.foreign_filter().is_some() {
                    return self.read_by_decoder(rows, buf);
                }
                let (size, grid) = (self.element().size(), self.grid(chunk));
                // Only the HDF5 crate knows the fill value.
                let fill = |row, at: usize| {
                    let row = Reader::rows(&self.handle, row, 1)?;
                    let element = row.get(at..at + size).map(<[u8]>::to_vec);
                    element.ok_or_else(|| "a row is too short".into())
                };
                chunks
                    .read_rows(&self.access, grid, rows, buf, fill)
                    .map_err(|e| self.read_error(e))
            }
            Storage::Other => self.read_by_decoder(rows, buf),
        }
    }

    /// Leaves reading to the HDF5 crate.
    fn read_by_decoder(&self, rows: Range<usize>, buf: &mut [u8]) -> Result<(), Hdf5Error> {
        if let Storage::Chunked { chunk } = &self.description.storage {
            // It takes memory for chunks by what they claim.
            let in_chunk = claimed_bytes(chunk, self.element().size());
            let limit = FREE_BYTES.max(self.access.len().saturating_mul(UNWRITTEN_FACTOR));
            let claimed = in_chunk.saturating_mul(self.chunks()?.stored.len() as u64);
            if claimed > limit {
                return Err(self.too_large(claimed, limit));
            }
        }
        let bytes =
            Reader::rows(&self.handle, rows.start, rows.len()).map_err(|e| self.read_error(e))?;
        if bytes.len() != buf.len() {
            let problem = format!("it gave {} bytes instead of {}", bytes.len(), buf.len());
            return Err(self.read_error(problem.into()));
        }
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    /// Reads stored bytes of consecutive rows into a buffer, in stored byte order.
    ///
    /// | argument | shape                                 |
    /// | -------- | ------------------------------------- |
    /// | `start`  | row of the first dimension            |
    /// | `buf`    | `[rows * row_bytes()]`, overwritten   |
    ///
    /// A contiguous dataset goes straight from the file into `buf`; a chunked one is inflated anew
    /// at each call, so read those by [`Dataset::read_bytes`] once. The size of the dataset does not
    /// matter here: rows of one that is much larger than its file are read as well.
    ///
    /// # Errors
    ///
    /// [`Hdf5Error::Shape`] when `buf` is no whole number of rows or the rows are not there,
    /// [`Hdf5Error::Read`]; [`Hdf5Error::TooLarge`] only with filters other than deflate, shuffle
    /// and Fletcher's checksum.
    pub fn read_rows_into(&self, start: usize, buf: &mut [u8]) -> Result<(), Hdf5Error> {
        let row_bytes = self.row_bytes();
        let n = buf.len().checked_div(row_bytes).unwrap_or(0);
        let rows = self.shape().first().copied().unwrap_or(1);
        let end = start.checked_add(n).filter(|&end| end <= rows && n * row_bytes == buf.len());
        match end {
            Some(end) => self.read_into(start..end, buf),
            None => Err(self.shape_error(format!("{} bytes of rows from {start} on", buf.len()))),
        }
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
        self.check_size()?;
        let n = usize::try_from(self.claimed()).unwrap_or(usize::MAX) / size_of::<T>();
        let mut values = vec![T::zeroed(); n];
        self.read_all_into(bytemuck::cast_slice_mut(&mut values))?;
        if is_foreign(number.order) {
            values.iter_mut().for_each(|value| *value = value.swap_bytes());
        }
        Ok(Array { shape: self.shape().to_vec(), values })
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
            let value = |bytes| {
                let value = bytemuck::pod_read_unaligned::<T>(bytes);
                to(if is_foreign(order) { value.swap_bytes() } else { value })
            };
            bytes.chunks_exact(size_of::<T>()).map(value).collect()
        }
        let number = match self.element() {
            ElementType::Number(number) => *number,
            ElementType::Bool => super::Number::little(U8),
            _ => return Err(self.type_error("numbers")),
        };
        if number.scalar == F64 {
            return self.read::<f64>();
        }
        // Eight bytes for each value, beside what is stored.
        self.check_memory(1 + 8 / number.scalar.size() as u64)?;
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
            F64 => widen::<f64>(&bytes, order, |x| x),
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
        // The HDF5 crate takes memory for texts and for chunks by what they claim.
        let limit = FREE_BYTES.max(self.access.len()).min(self.limit);
        let mut claimed = self.claimed();
        if let Storage::Chunked { chunk } = &self.description.storage {
            let in_chunk = claimed_bytes(chunk, self.element().size());
            claimed = claimed.max(in_chunk.saturating_mul(self.chunks()?.stored.len() as u64));
        }
        if claimed > limit {
            return Err(self.too_large(claimed, limit));
        }
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

    fn claimed(&self) -> u64 {
        claimed_bytes(self.shape(), self.element().size())
    }

    fn chunks(&self) -> Result<Chunks, Hdf5Error> {
        Reader::chunks(&self.handle, self.access.len()).map_err(|e| self.read_error(e))
    }

    fn grid<'a>(&'a self, chunk: &'a [usize]) -> Grid<'a> {
        Grid { shape: self.shape(), chunk, size: self.element().size() }
    }

    fn too_large(&self, claimed: u64, limit: u64) -> Hdf5Error {
        Hdf5Error::TooLarge { path: self.owned_path(), object: self.name.clone(), claimed, limit }
    }

    fn read_error(&self, source: Cause) -> Hdf5Error {
        Hdf5Error::Read {
            path: self.owned_path(),
            object: self.name.clone(),
            source: plain(source),
        }
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

/// Whether numbers in this order have to be turned round.
fn is_foreign(order: ByteOrder) -> bool {
    (order == ByteOrder::Big) != cfg!(target_endian = "big")
}
