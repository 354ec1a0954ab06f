//! Reading by hdf5-pure.

use std::{
    cell::Cell,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use hdf5_pure::{
    AttrValue as Stored, ChunkIndex, Datatype, DatatypeByteOrder, Error, FileAccessProperties,
    FileLocking, FormatError, Layout, Source, VlenStringReadOptions,
};

use super::{
    AttrValue, ByteOrder, Cause, ElementType, Field, Number, Scalar,
    backend::{Attrs, Description, Members, RandomAccess, Read, Storage},
    chunk::{Chunks, Filter, StoredChunk},
    guard::Guard,
};

/// A file opened by hdf5-pure.
#[derive(Debug)]
pub(super) struct PureReader {
    file: hdf5_pure::File,
    meter: Meter,
}

/// A dataset opened by hdf5-pure.
#[derive(Debug, Clone)]
pub(super) struct PureDataset {
    dataset: hdf5_pure::Dataset,
    meter: Meter,
}

/// What one operation may still read, in bytes. Trees of a hostile file may meet again and again in
/// the same nodes, so that going through them has no end in sight; a sound file is read about once.
/// Operations end on the thread that they began on, so each thread counts for itself.
#[derive(Debug, Clone, Copy)]
struct Meter {
    file_len: u64,
}

thread_local! {
    /// What the operation of this thread may still read.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    /// What it has read of the entries of the group or tree that it is in.
    static ENTRIES: Cell<u64> = const { Cell::new(0) };
}

impl Meter {
    /// What each read counts beside its bytes.
    const READ: u64 = 4;

    /// Begins an operation that may read the file so many times.
    fn begin(self, times: u64) {
        LEFT.set(self.file_len.saturating_mul(times).saturating_add(1 << 16));
    }

    /// Begins to read an index of chunks, of which there is a part in memory for each part of the
    /// file: it cannot be longer than the file, and small files need not be exact.
    fn begin_index(self) {
        LEFT.set(self.file_len.saturating_add(1 << 14));
    }

    fn take(self, bytes: usize) -> Result<(), FormatError> {
        let cost = Self::READ.saturating_add(bytes as u64);
        LEFT.set(LEFT.get().checked_sub(cost).ok_or_else(Self::endless)?);
        Ok(())
    }

    /// Looks at metadata that has been read. Entries of groups and records of trees are kept until
    /// all of them are there, and all of them together are a part of the file.
    fn see(self, metadata: &[u8]) -> Result<(), FormatError> {
        match metadata {
            [b'H', b'E', b'A', b'P', ..] | [b'B', b'T', b'H', b'D', ..] => ENTRIES.set(0),
            [b'S', b'N', b'O', b'D', ..]
            | [b'B', b'T', b'L', b'F', ..]
            | [b'B', b'T', b'I', b'N', ..] => {
                ENTRIES.set(ENTRIES.get().saturating_add(metadata.len() as u64));
                if ENTRIES.get() > self.file_len {
                    return Err(Self::endless());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn endless() -> FormatError {
        FormatError::Source("its structure has no end".to_owned())
    }
}

/// What the decoder said, in plain words and once: its errors repeat their sources.
pub(super) fn plain(cause: Cause) -> Cause {
    match cause.downcast::<Error>() {
        Ok(error) => match *error {
            Error::Io(error) => error.into(),
            Error::Format(error) => plain_format(&error).into(),
            error => error.to_string().into(),
        },
        Err(cause) => cause,
    }
}

fn plain_format(error: &FormatError) -> String {
    match error {
        FormatError::SignatureNotFound => "it does not begin as an HDF5 file does".to_owned(),
        FormatError::UnexpectedEof { expected, available } => {
            format!("the file is cut short: {expected} bytes are needed where it has {available}")
        }
        FormatError::Source(said) => said.clone(),
        error => format!("it cannot be decoded: {error}"),
    }
}

/// A file, what may still be read of it, and what sees that its metadata is believable.
struct Metered {
    access: RandomAccess,
    meter: Meter,
    guard: Guard,
    /// Where headers were found sound before: each is read again for much that is asked of it.
    sound: [AtomicU64; Self::SOUND],
}

impl Metered {
    /// So many places of headers are kept, each at its own number modulo this.
    const SOUND: usize = 16;

    fn new(access: RandomAccess, meter: Meter) -> Self {
        let guard = Guard::new(&access);
        Self { access, meter, guard, sound: [const { AtomicU64::new(u64::MAX) }; Self::SOUND] }
    }

    /// Checks the object header at a place, if there is one.
    fn check_header(&self, at: u64) -> Result<(), FormatError> {
        // Headers of version 1 lie at multiples of eight.
        let slot = &self.sound[(at / 8 % Self::SOUND as u64) as usize];
        if slot.load(Ordering::Relaxed) != at {
            let read = self.guard.check_header(&self.access, at).map_err(FormatError::Source)?;
            self.meter.take(read)?;
            slot.store(at, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.access.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        self.meter.take(buf.len())?;
        // So does every object header begin to be read.
        if buf.len() == 4 {
            self.check_header(offset)?;
        }
        let read = self.access.read_exact_at(buf, offset);
        read.map_err(|error| FormatError::Source(error.to_string()))
    }

    fn read_metadata_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        let bytes = self.read_exact_at(offset, len)?;
        self.meter.see(&bytes)?;
        self.guard.check_metadata(&self.access, &bytes).map_err(FormatError::Source)?;
        Ok(bytes)
    }
}

impl Read for PureReader {
    type Dataset = PureDataset;

    fn open(file: RandomAccess) -> Result<Self, Cause> {
        let meter = Meter { file_len: file.len() };
        meter.begin(16);
        let source = Metered::new(file, meter);
        Ok(Self { file: hdf5_pure::File::from_source(source)?, meter })
    }

    fn members(&self, group: &str) -> Result<Option<Members>, Cause> {
        self.meter.begin(16);
        let Some(group) = found(self.file.group(group))? else { return Ok(None) };
        let mut members = Members { groups: group.groups()?, datasets: group.datasets()? };
        members.groups.sort_unstable();
        members.datasets.sort_unstable();
        Ok(Some(members))
    }

    fn group_attrs(&self, group: &str) -> Result<Option<Attrs>, Cause> {
        self.meter.begin(16);
        let Some(group) = found(self.file.group(group))? else { return Ok(None) };
        Ok(Some(attrs(group.attrs()?, &group.attr_datatypes()?)))
    }

    fn dataset(&self, path: &str) -> Result<Option<Self::Dataset>, Cause> {
        self.meter.begin(16);
        let found = found(self.file.dataset(path))?;
        Ok(found.map(|dataset| PureDataset { dataset, meter: self.meter }))
    }

    fn describe(dataset: &Self::Dataset) -> Result<Description, Cause> {
        let dataset = dataset.begin(16);
        let to_usize = |dims: Vec<u64>| {
            dims.into_iter().map(usize::try_from).collect::<Result<Vec<usize>, _>>()
        };
        let (shape, element) = (to_usize(dataset.shape()?)?, element(&dataset.datatype()?));
        let claimed =
            shape.iter().try_fold(element.size() as u64, |bytes, &n| bytes.checked_mul(n as u64));
        let storage = match dataset.layout()? {
            // A piece of another size than the shape needs is left to the decoder, to be refused.
            Layout::Contiguous { address: Some(address), size } if Some(size) == claimed => {
                Storage::Contiguous { address }
            }
            Layout::Chunked { chunk_shape, .. } => {
                Storage::Chunked { chunk: to_usize(chunk_shape)? }
            }
            _ => Storage::Other,
        };
        Ok(Description { shape, element, storage })
    }

    fn chunks(dataset: &Self::Dataset, file_len: u64) -> Result<Chunks, Cause> {
        dataset.meter.begin_index();
        let dataset = &dataset.dataset;
        check_chunk_count(dataset, file_len)?;
        let to_usize = |offset: Vec<u64>| {
            offset.into_iter().map(usize::try_from).collect::<Result<Vec<usize>, _>>()
        };
        let mut stored = Vec::new();
        let mut total = 0_u64;
        for chunk in dataset.chunks()? {
            total = total.saturating_add(chunk.storage_size);
            stored.push(StoredChunk {
                offset: to_usize(chunk.offset)?,
                address: chunk.address,
                len: chunk.storage_size,
                skipped_filters: chunk.filter_mask,
            });
        }
        if total > file_len {
            return Err(format!("its chunks claim {total} of {file_len} bytes").into());
        }
        stored.sort_unstable();
        if let Some(two) = stored.windows(2).find(|two| two[0].offset == two[1].offset) {
            return Err(format!("there are two chunks at {:?}", two[0].offset).into());
        }
        let size = dataset.datatype()?.type_size() as usize;
        let filters = dataset
            .filter_pipeline()
            .into_iter()
            .map(|filter| match filter.id {
                1 => Filter::Deflate,
                2 => Filter::Shuffle(filter.client_data.first().map_or(size, |&n| n as usize)),
                3 => Filter::Fletcher32,
                other => Filter::Other(other),
            })
            .collect();
        Ok(Chunks { stored, filters })
    }

    fn rows(dataset: &Self::Dataset, start: usize, n: usize) -> Result<Vec<u8>, Cause> {
        let dataset = dataset.begin(16);
        Ok(dataset.read_raw_rows(start as u64, n as u64)?)
    }

    fn strings(dataset: &Self::Dataset, max_bytes: usize) -> Result<Vec<String>, Cause> {
        let dataset = dataset.begin(16);
        if let Datatype::VariableLength { is_string: true, .. } = dataset.datatype()? {
            let limits = VlenStringReadOptions::default().with_max_payload_bytes(max_bytes);
            return Ok(dataset.read_vlen_strings(limits)?);
        }
        Ok(dataset.read_string()?)
    }

    fn dataset_attrs(dataset: &Self::Dataset) -> Result<Attrs, Cause> {
        let dataset = dataset.begin(16);
        Ok(attrs(dataset.attrs()?, &dataset.attr_datatypes()?))
    }
}

impl PureDataset {
    /// Begins an operation that may read the file so many times.
    fn begin(&self, times: u64) -> &hdf5_pure::Dataset {
        self.meter.begin(times);
        &self.dataset
    }
}

/// Refuses an index that must have more entries than the file has bytes: some kinds are as long as
/// the shape says, and hdf5-pure goes through all of it.
fn check_chunk_count(dataset: &hdf5_pure::Dataset, file_len: u64) -> Result<(), Cause> {
    let Layout::Chunked { chunk_shape, index } = dataset.layout()? else { return Ok(()) };
    if let ChunkIndex::BTreeV1 | ChunkIndex::BTreeV2 | ChunkIndex::ExtensibleArray = index {
        return Ok(());
    }
    let n_chunks = dataset
        .shape()?
        .iter()
        .zip(&chunk_shape)
        .fold(1_u64, |n, (&len, &chunk)| n.saturating_mul(len.div_ceil(chunk.max(1))));
    if n_chunks > file_len {
        return Err(format!("it claims {n_chunks} chunks in {file_len} bytes").into());
    }
    Ok(())
}

/// Tells what is not there (`None`) from what cannot be read.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(
            Error::Format(FormatError::PathNotFound(_))
            | Error::NotADataset(_)
            | Error::NotAGroup(_),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn element(datatype: &Datatype) -> ElementType {
    if let Some(number) = number(datatype) {
        return ElementType::Number(number);
    }
    match datatype {
        Datatype::String { size, .. } => ElementType::FixedString { len: *size as usize },
        Datatype::VariableLength { is_string: true, .. } => ElementType::String,
        Datatype::Enumeration { .. } if is_bool(datatype) => ElementType::Bool,
        Datatype::Compound { size, members } => {
            let fields: Vec<Field> = members
                .iter()
                .map(|member| Field {
                    name: member.name.clone(),
                    offset: usize::try_from(member.byte_offset).unwrap_or(usize::MAX),
                    element: element(&member.datatype),
                })
                .collect();
            complex(*size as usize, &fields)
                .unwrap_or(ElementType::Record { size: *size as usize, fields })
        }
        other => ElementType::Other {
            size: other.type_size() as usize,
            description: class_name(other).to_owned(),
        },
    }
}

fn number(datatype: &Datatype) -> Option<Number> {
    let order = |order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Some(ByteOrder::Little),
        DatatypeByteOrder::BigEndian => Some(ByteOrder::Big),
        DatatypeByteOrder::Vax => None,
    };
    match datatype {
        Datatype::FixedPoint { size, byte_order, layout }
            if layout.bit_offset == 0
                && u64::from(layout.bit_precision) == 8 * u64::from(*size) =>
        {
            let scalar = match (size, layout.signed) {
                (1, true) => Scalar::I8,
                (2, true) => Scalar::I16,
                (4, true) => Scalar::I32,
                (8, true) => Scalar::I64,
                (1, false) => Scalar::U8,
                (2, false) => Scalar::U16,
                (4, false) => Scalar::U32,
                (8, false) => Scalar::U64,
                _ => return None,
            };
            Some(Number { scalar, order: order(byte_order)? })
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            let scalar = match (size, layout.exponent_size, layout.mantissa_size) {
                (4, 8, 23) => Scalar::F32,
                (8, 11, 52) => Scalar::F64,
                _ => return None,
            };
            Some(Number { scalar, order: order(byte_order)? })
        }
        _ => None,
    }
}

/// The complex number of h5py and Digital RF: members r and i, packed.
fn complex(size: usize, fields: &[Field]) -> Option<ElementType> {
    let [re, im] = fields else { return None };
    let (ElementType::Number(number), true) = (&re.element, re.element == im.element) else {
        return None;
    };
    let half = number.scalar.size();
    ((re.name.as_str(), re.offset) == ("r", 0)
        && (im.name.as_str(), im.offset) == ("i", half)
        && size == 2 * half)
        .then_some(ElementType::Complex(*number))
}

fn is_bool(datatype: &Datatype) -> bool {
    matches!(datatype, Datatype::Enumeration { size: 1, members, .. }
        if members.len() == 2
            && members.iter().any(|m| m.name == "FALSE" && m.value == [0])
            && members.iter().any(|m| m.name == "TRUE" && m.value == [1]))
}

fn class_name(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::FixedPoint { .. } => "an integer of unusual width",
        Datatype::FloatingPoint { .. } => "a float of unusual width",
        Datatype::Time { .. } => "a time",
        Datatype::BitField { .. } => "a bit field",
        Datatype::Opaque { .. } => "opaque bytes",
        Datatype::Reference { .. } => "a reference",
        Datatype::Enumeration { .. } => "an enumeration",
        Datatype::VariableLength { .. } => "a sequence of variable length",
        Datatype::Array { .. } => "an array",
        _ => "an unknown type",
    }
}

/// Attributes that have no form here, such as the references of dimension scales, are left out.
fn attrs(
    stored: std::collections::HashMap<String, Stored>,
    types: &std::collections::HashMap<String, Datatype>,
) -> Attrs {
    stored
        .into_iter()
        .filter_map(|(name, value)| {
            let bool_like = types.get(&name).is_some_and(is_bool);
            let value = match value {
                Stored::I8(x) if bool_like => AttrValue::Bool(x != 0),
                Stored::U8(x) if bool_like => AttrValue::Bool(x != 0),
                other => attr(other)?,
            };
            Some((name, value))
        })
        .collect()
}

fn attr(stored: Stored) -> Option<AttrValue> {
    fn wide<T: Copy, U: From<T>>(values: &[T]) -> Vec<U> {
        values.iter().map(|&x| U::from(x)).collect()
    }
    Some(match stored {
        Stored::I8(x) => AttrValue::I8(x),
        Stored::I16(x) => AttrValue::I16(x),
        Stored::I32(x) => AttrValue::I32(x),
        Stored::I64(x) => AttrValue::I64(x),
        Stored::U8(x) => AttrValue::U8(x),
        Stored::U16(x) => AttrValue::U16(x),
        Stored::U32(x) => AttrValue::U32(x),
        Stored::U64(x) => AttrValue::U64(x),
        Stored::F32(x) => AttrValue::F32(x),
        Stored::F64(x) => AttrValue::F64(x),
        Stored::I8Array(xs) => AttrValue::I64s(wide(&xs)),
        Stored::I16Array(xs) => AttrValue::I64s(wide(&xs)),
        Stored::I32Array(xs) => AttrValue::I64s(wide(&xs)),
        Stored::I64Array(xs) => AttrValue::I64s(xs),
        Stored::U8Array(xs) => AttrValue::U64s(wide(&xs)),
        Stored::U16Array(xs) => AttrValue::U64s(wide(&xs)),
        Stored::U32Array(xs) => AttrValue::U64s(wide(&xs)),
        Stored::U64Array(xs) => AttrValue::U64s(xs),
        Stored::F32Array(xs) => AttrValue::F64s(wide(&xs)),
        Stored::F64Array(xs) => AttrValue::F64s(xs),
        Stored::String(s) | Stored::VarLenString(s) | Stored::VarLenAsciiString(s) => {
            AttrValue::Str(s)
        }
        Stored::StringSized { value, .. } => AttrValue::Str(value),
        Stored::AsciiString(s) => AttrValue::Ascii(s),
        Stored::AsciiStringSized { value, .. } => AttrValue::Ascii(value),
        Stored::StringArray(all)
        | Stored::AsciiStringArray(all)
        | Stored::VarLenAsciiCharArray(all)
        | Stored::VarLenStringArray(all)
        | Stored::VarLenAsciiStringArray(all) => AttrValue::Strs(all),
        Stored::StringArraySized { values, .. } | Stored::AsciiStringArraySized { values, .. } => {
            AttrValue::Strs(values)
        }
        _ => return None,
    })
}

/// Adds datasets of a single text each to a complete file, and waits until the disk has them.
pub(super) fn add_texts(path: &Path, texts: &[(String, String)]) -> Result<(), Cause> {
    // No lock, as for all other files that are under way.
    let properties = FileAccessProperties::new().with_locking(FileLocking::Disabled);
    let file = hdf5_pure::File::open_rw_with_options(path, properties)?;
    for (path, text) in texts {
        file.root().create_dataset(path, |dataset| {
            dataset.with_vlen_strings(&[text]).with_shape(&[]);
        })?;
    }
    file.commit()?;
    Ok(file.close()?)
}
