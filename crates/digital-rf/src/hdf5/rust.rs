//! Writing by rust-hdf5.

use std::{
    collections::BTreeSet,
    io,
    ops::Deref,
    path::{Path, PathBuf},
};

use rust_hdf5::{
    DatatypeMessage, Filter, FilterPipeline, H5Dataset, H5File, H5Group, HBool, LibverBound,
    VarLenUnicode,
    format::messages::{datatype::CompoundMember, filter},
};

use super::{
    AttrValue, ByteOrder, Cause, DatasetOptions, ElementType, Number, Scalar, backend::Write,
};

/// Groups that are looked for at most in a file that is amended.
const MAX_GROUPS: usize = 1 << 16;

/// A file under way, by rust-hdf5.
pub(super) struct RustWriter {
    file: OpenFile,
    /// The groups there are, but for the root: a file open for writing does not tell.
    groups: BTreeSet<String>,
    path: PathBuf,
    /// Single texts by path, which are added at the end: this crate only writes rows of them.
    texts: Vec<(String, String)>,
}

impl std::fmt::Debug for RustWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RustWriter").finish_non_exhaustive()
    }
}

/// A file that is closed without a word when it is given up: the crate would print to stderr if
/// that fails, as on a full disk, where the error that matters has been returned.
struct OpenFile(Option<H5File>);

impl OpenFile {
    fn take(mut self) -> H5File {
        self.0.take().expect("it is taken once, by value")
    }
}

impl Deref for OpenFile {
    type Target = H5File;

    fn deref(&self) -> &H5File {
        self.0.as_ref().expect("it is there until it is taken, by value")
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            let _ = file.close_no_sync();
        }
    }
}

impl Write for RustWriter {
    fn create(path: &Path) -> Result<Self, Cause> {
        // The oldest form is what h5py and digital_rf write by default, and what every HDF5 library
        // in use can read. No lock: the temporary name is ours alone, and network file systems
        // often have none to give.
        let options = H5File::options().no_locking().libver(LibverBound::Earliest);
        Ok(Self::new(path, options.create(path)?, BTreeSet::new()))
    }

    fn amend(path: &Path) -> Result<Self, Cause> {
        let mut groups = BTreeSet::new();
        add_groups(&H5File::options().no_locking().open(path)?.root_group(), "", &mut groups)?;
        Ok(Self::new(path, H5File::options().no_locking().open_rw(path)?, groups))
    }

    fn group(&mut self, path: &str) -> Result<(), Cause> {
        let (parent, name) = split(path);
        self.open_group(parent)?.create_group(name)?;
        self.groups.insert(trim(path).to_owned());
        Ok(())
    }

    fn is_group(&self, path: &str) -> bool {
        trim(path).is_empty() || self.groups.contains(trim(path))
    }

    fn is_dataset(&self, path: &str) -> bool {
        self.file.dataset_writer(trim(path)).is_ok()
    }

    fn dataset(
        &mut self,
        path: &str,
        element: &ElementType,
        shape: &[usize],
        options: &DatasetOptions,
        bytes: &[u8],
    ) -> Result<(), Cause> {
        let (parent, name) = split(path);
        // The element type of the builder is only a default for the one that is set here.
        let mut builder =
            self.open_group(parent)?.new_dataset::<u8>().datatype(datatype(element)?).shape(shape);
        if let Some(max_shape) = &options.max_shape {
            builder = builder.max_shape(max_shape);
        }
        let filters = pipeline(options, element.size())?;
        // Filters work on chunks, so they make a dataset chunked; an empty one has nothing to chunk.
        let chunk = options
            .chunk
            .clone()
            .or_else(|| (!filters.is_empty()).then(|| shape.iter().map(|&n| n.max(1)).collect()));
        if let Some(chunk) = chunk {
            if shape.is_empty() {
                return Err("a scalar can be neither chunked nor filtered".into());
            }
            builder = builder.chunk(&chunk);
        }
        if !filters.is_empty() {
            builder = builder.filter_pipeline(FilterPipeline { filters });
        }
        if let Some(fill) = &options.fill {
            builder = builder.fill_value_bytes(fill);
        }
        let dataset = builder.create(name)?;
        if !bytes.is_empty() {
            dataset.write_raw_bytes(bytes)?;
        }
        Ok(())
    }

    fn strings(&mut self, path: &str, shape: &[usize], values: &[&str]) -> Result<(), Cause> {
        if let ([], &[text]) = (shape, values) {
            self.texts.push((trim(path).to_owned(), text.to_owned()));
            return Ok(());
        }
        let (parent, name) = split(path);
        let dataset = self
            .open_group(parent)?
            .new_dataset::<u8>()
            .datatype(DatatypeMessage::vlen_string_utf8())
            .shape(shape)
            .create(name)?;
        if !values.is_empty() {
            dataset.write_vlen_strings_slice(0, values)?;
        }
        Ok(())
    }

    fn dataset_attr(&mut self, path: &str, name: &str, value: &AttrValue) -> Result<(), Cause> {
        let dataset = self.open_dataset(path)?;
        match value {
            AttrValue::Str(text) => {
                dataset.new_attr::<VarLenUnicode>().create(name)?.write_string(text)?;
            }
            AttrValue::Strs(texts) => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let attr = dataset.new_attr::<VarLenUnicode>().shape([texts.len()]);
                attr.create(name)?.write_string_array(&texts)?;
            }
            AttrValue::I64s(xs) => {
                dataset.new_attr::<i64>().shape([xs.len()]).create(name)?.write_array(xs)?;
            }
            AttrValue::U64s(xs) => {
                dataset.new_attr::<u64>().shape([xs.len()]).create(name)?.write_array(xs)?;
            }
            AttrValue::F64s(xs) => {
                dataset.new_attr::<f64>().shape([xs.len()]).create(name)?.write_array(xs)?;
            }
            AttrValue::Bool(x) => {
                dataset.new_attr::<HBool>().create(name)?.write_numeric(&HBool::from(*x))?;
            }
            single => {
                let (datatype, bytes) = scalar_attr(single)?;
                dataset.set_attr_typed(name, datatype, bytes)?;
            }
        }
        Ok(())
    }

    fn group_attr(&mut self, path: &str, name: &str, value: &AttrValue) -> Result<(), Cause> {
        let group = self.open_group(path)?;
        match value {
            AttrValue::Str(text) => group.set_attr_string(name, text)?,
            AttrValue::Strs(texts) => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                group.set_attr_string_array(name, &texts)?;
            }
            AttrValue::I64s(xs) => group.set_attr_array_numeric(name, xs)?,
            AttrValue::U64s(xs) => group.set_attr_array_numeric(name, xs)?,
            AttrValue::F64s(xs) => group.set_attr_array_numeric(name, xs)?,
            AttrValue::Bool(x) => group.set_attr_numeric(name, &HBool::from(*x))?,
            single => {
                let (datatype, bytes) = scalar_attr(single)?;
                group.set_attr_typed(name, datatype, bytes)?;
            }
        }
        Ok(())
    }

    fn make_scale(&mut self, path: &str, name: &str) -> Result<(), Cause> {
        Ok(self.open_dataset(path)?.set_scale(Some(name))?)
    }

    fn attach_scale(&mut self, path: &str, axis: usize, scale: &str) -> Result<(), Cause> {
        let scale = self.open_dataset(scale)?;
        Ok(self.open_dataset(path)?.attach_scale(axis, &scale)?)
    }

    fn finish(self, durable: bool) -> Result<(), Cause> {
        if durable && self.texts.is_empty() {
            return Ok(self.file.take().close()?);
        }
        self.file.take().close_no_sync()?;
        if self.texts.is_empty() { Ok(()) } else { super::pure::add_texts(&self.path, &self.texts) }
    }
}

impl RustWriter {
    fn new(path: &Path, file: H5File, groups: BTreeSet<String>) -> Self {
        Self { file: OpenFile(Some(file)), groups, path: path.to_path_buf(), texts: Vec::new() }
    }

    fn open_group(&self, path: &str) -> Result<H5Group, Cause> {
        let mut group = self.file.root_group();
        for name in trim(path).split('/').filter(|name| !name.is_empty()) {
            group = group.group(name)?;
        }
        Ok(group)
    }

    fn open_dataset(&self, path: &str) -> Result<H5Dataset, Cause> {
        Ok(self.file.dataset_writer(trim(path))?)
    }
}

/// What the system said, where it was the system: its kind is of use to who has to help.
pub(super) fn plain(cause: Cause) -> Cause {
    match cause.downcast::<rust_hdf5::Hdf5Error>() {
        Ok(error) => match *error {
            rust_hdf5::Hdf5Error::Io(error) => error.into(),
            // The layer below has a type without a name outside of its crate and tells no source,
            // but its text ends with the system's number.
            error => match os_error(&error.to_string()) {
                Some(error) => error.into(),
                None => error.into(),
            },
        },
        Err(cause) => cause,
    }
}

/// The error whose text ends in `(os error 28)`.
fn os_error(text: &str) -> Option<io::Error> {
    let number = text.rsplit_once("(os error ")?.1.strip_suffix(')')?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

/// Adds the paths of all groups below one.
fn add_groups(group: &H5Group, path: &str, groups: &mut BTreeSet<String>) -> Result<(), Cause> {
    for name in group.group_names()? {
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        // Hard links can make a group a member of itself.
        if groups.len() < MAX_GROUPS && groups.insert(path.clone()) {
            add_groups(&group.group(&name)?, &path, groups)?;
        }
    }
    Ok(())
}

fn trim(path: &str) -> &str {
    path.trim_matches('/')
}

/// The parent group and the name in it.
fn split(path: &str) -> (&str, &str) {
    trim(path).rsplit_once('/').unwrap_or(("/", trim(path)))
}

fn pipeline(options: &DatasetOptions, element_size: usize) -> Result<Vec<Filter>, Cause> {
    let mut filters = Vec::new();
    let mut add = |id, flags, cd_values| filters.push(Filter { id, flags, cd_values });
    if options.shuffle {
        add(filter::FILTER_SHUFFLE, filter::FLAG_OPTIONAL, vec![u32::try_from(element_size)?]);
    }
    if let Some(level) = options.deflate {
        add(filter::FILTER_DEFLATE, filter::FLAG_OPTIONAL, vec![level]);
    }
    if options.fletcher32 {
        add(filter::FILTER_FLETCHER32, 0, Vec::new());
    }
    Ok(filters)
}

fn datatype(element: &ElementType) -> Result<DatatypeMessage, Cause> {
    Ok(match element {
        ElementType::Number(number) => number_type(*number)?,
        ElementType::Complex(number) => {
            let part = number_type(*number)?;
            let half = u32::try_from(number.scalar.size())?;
            let members = [("r", 0), ("i", half)].map(|(name, offset)| CompoundMember {
                name: name.to_owned(),
                offset,
                datatype: part.clone(),
            });
            DatatypeMessage::compound(2 * half, members.into())
        }
        ElementType::Bool => DatatypeMessage::bool_type(),
        ElementType::FixedString { len } => {
            DatatypeMessage::FixedString { size: u32::try_from(*len)?, padding: 1, charset: 0 }
        }
        ElementType::String => DatatypeMessage::vlen_string_utf8(),
        ElementType::Record { size, fields } => {
            let members = fields.iter().map(|field| {
                Ok(CompoundMember {
                    name: field.name.clone(),
                    offset: u32::try_from(field.offset)?,
                    datatype: datatype(&field.element)?,
                })
            });
            let members = members.collect::<Result<_, Cause>>()?;
            DatatypeMessage::compound(u32::try_from(*size)?, members)
        }
        ElementType::Other { description, .. } => {
            return Err(format!("{description} cannot be written").into());
        }
    })
}

fn number_type(number: Number) -> Result<DatatypeMessage, Cause> {
    if number.order == ByteOrder::Big && number.scalar.size() > 1 {
        return Err(format!("{number} cannot be written, only little-endian numbers can").into());
    }
    Ok(match number.scalar {
        Scalar::I8 => DatatypeMessage::i8_type(),
        Scalar::I16 => DatatypeMessage::i16_type(),
        Scalar::I32 => DatatypeMessage::i32_type(),
        Scalar::I64 => DatatypeMessage::i64_type(),
        Scalar::U8 => DatatypeMessage::u8_type(),
        Scalar::U16 => DatatypeMessage::u16_type(),
        Scalar::U32 => DatatypeMessage::u32_type(),
        Scalar::U64 => DatatypeMessage::u64_type(),
        Scalar::F32 => DatatypeMessage::f32_type(),
        Scalar::F64 => DatatypeMessage::f64_type(),
    })
}

/// Type and bytes of a single number or a text in a slot of its own length.
fn scalar_attr(value: &AttrValue) -> Result<(DatatypeMessage, Vec<u8>), Cause> {
    let number = |scalar, bytes: &[u8]| Ok((number_type(Number::little(scalar))?, bytes.to_vec()));
    match value {
        AttrValue::I8(x) => number(Scalar::I8, &x.to_le_bytes()),
        AttrValue::I16(x) => number(Scalar::I16, &x.to_le_bytes()),
        AttrValue::I32(x) => number(Scalar::I32, &x.to_le_bytes()),
        AttrValue::I64(x) => number(Scalar::I64, &x.to_le_bytes()),
        AttrValue::U8(x) => number(Scalar::U8, &x.to_le_bytes()),
        AttrValue::U16(x) => number(Scalar::U16, &x.to_le_bytes()),
        AttrValue::U32(x) => number(Scalar::U32, &x.to_le_bytes()),
        AttrValue::U64(x) => number(Scalar::U64, &x.to_le_bytes()),
        AttrValue::F32(x) => number(Scalar::F32, &x.to_le_bytes()),
        AttrValue::F64(x) => number(Scalar::F64, &x.to_le_bytes()),
        AttrValue::Ascii(text) => fixed_text(text, 0),
        AttrValue::AsciiPadded(text) => fixed_text(text, 1),
        other => Err(format!("{other:?} is no single number or fixed text").into()),
    }
}

/// Padding 0 closes the text with a zero byte, padding 1 only fills up with them.
fn fixed_text(text: &str, padding: u8) -> Result<(DatatypeMessage, Vec<u8>), Cause> {
    if !text.is_ascii() {
        return Err(format!("{text:?} is not ASCII").into());
    }
    let mut bytes = text.as_bytes().to_vec();
    if padding == 0 || bytes.is_empty() {
        bytes.push(0);
    }
    let size = u32::try_from(bytes.len())?;
    Ok((DatatypeMessage::FixedString { size, padding, charset: 0 }, bytes))
}
