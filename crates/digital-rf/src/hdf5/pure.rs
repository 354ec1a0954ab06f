//! Reading by hdf5-pure.

use std::path::Path;

use hdf5_pure::{
    AttrValue as Stored, Datatype, DatatypeByteOrder, Error, FileAccessProperties, FileLocking,
    FormatError, Layout, Source, VlenStringReadOptions,
};

use super::{
    AttrValue, ByteOrder, Cause, ElementType, Field, Number, Scalar,
    backend::{Attrs, Description, Members, RandomAccess, Read, Storage},
};

/// A file opened by hdf5-pure.
#[derive(Debug)]
pub(super) struct PureReader {
    file: hdf5_pure::File,
}

impl Source for RandomAccess {
    fn len(&self) -> u64 {
        RandomAccess::len(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        self.read_exact_at(buf, offset).map_err(|error| FormatError::Source(error.to_string()))
    }
}

impl Read for PureReader {
    type Dataset = hdf5_pure::Dataset;

    fn open(file: RandomAccess) -> Result<Self, Cause> {
        Ok(Self { file: hdf5_pure::File::from_source(file)? })
    }

    fn members(&self, group: &str) -> Result<Option<Members>, Cause> {
        let Some(group) = found(self.file.group(group))? else { return Ok(None) };
        let mut members = Members { groups: group.groups()?, datasets: group.datasets()? };
        members.groups.sort_unstable();
        members.datasets.sort_unstable();
        Ok(Some(members))
    }

    fn group_attrs(&self, group: &str) -> Result<Option<Attrs>, Cause> {
        let Some(group) = found(self.file.group(group))? else { return Ok(None) };
        Ok(Some(attrs(group.attrs()?, &group.attr_datatypes()?)))
    }

    fn dataset(&self, path: &str) -> Result<Option<Self::Dataset>, Cause> {
        Ok(found(self.file.dataset(path))?)
    }

    fn describe(dataset: &Self::Dataset) -> Result<Description, Cause> {
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
            Layout::Chunked { chunk_shape, .. } => Storage::Chunked {
                chunk: to_usize(chunk_shape)?,
                filtered: !dataset.filters().is_empty(),
            },
            _ => Storage::Other,
        };
        Ok(Description { shape, element, storage })
    }

    fn check_stored(dataset: &Self::Dataset, file_len: u64) -> Result<u64, Cause> {
        if !dataset.is_chunked() {
            return Ok(0);
        }
        // hdf5-pure takes memory for a compressed chunk by what its index says.
        let chunks = dataset.chunks()?;
        let stored =
            chunks.iter().fold(0_u64, |stored, chunk| stored.saturating_add(chunk.storage_size));
        if stored > file_len {
            return Err(format!("its chunks claim {stored} of {file_len} bytes").into());
        }
        Ok(chunks.len() as u64)
    }

    fn rows(dataset: &Self::Dataset, start: usize, n: usize) -> Result<Vec<u8>, Cause> {
        Ok(dataset.read_raw_rows(start as u64, n as u64)?)
    }

    fn strings(dataset: &Self::Dataset, max_bytes: usize) -> Result<Vec<String>, Cause> {
        if let Datatype::VariableLength { is_string: true, .. } = dataset.datatype()? {
            let limits = VlenStringReadOptions::default().with_max_payload_bytes(max_bytes);
            return Ok(dataset.read_vlen_strings(limits)?);
        }
        Ok(dataset.read_string()?)
    }

    fn dataset_attrs(dataset: &Self::Dataset) -> Result<Attrs, Cause> {
        Ok(attrs(dataset.attrs()?, &dataset.attr_datatypes()?))
    }
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
