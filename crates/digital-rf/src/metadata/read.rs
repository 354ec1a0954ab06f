//! Reading of Digital Metadata.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{MetadataError, MetadataLayout, Record, Value};
use crate::{
    PropertiesError,
    hdf5::{Array, Dataset, ElementType, Field, File, Hdf5Error, Scalar},
    listing::{self, Listed},
    properties::Attrs,
};

/// The names under which the properties are kept, newest first.
const PROPERTY_FILES: [&str; 2] = ["dmd_properties.h5", "metadata.h5"];
/// Groups in groups are followed so deep; no real metadata comes near, and a damaged file may have
/// a group inside itself.
const MAX_DEPTH: usize = 16;

/// Reads the metadata in a folder, usually `metadata` in that of a channel.
#[derive(Debug, Clone)]
pub struct MetadataReader {
    dir: PathBuf,
    layout: MetadataLayout,
    fields: Vec<String>,
}

impl MetadataReader {
    /// Opens the metadata in a folder.
    ///
    /// # Errors
    ///
    /// [`MetadataError::NoProperties`], [`MetadataError::Properties`], [`MetadataError::Hdf5`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, MetadataError> {
        let dir = dir.as_ref().to_path_buf();
        let path = PROPERTY_FILES
            .iter()
            .map(|name| dir.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| MetadataError::NoProperties { path: dir.clone() })?;
        let file = File::open(&path)?;
        let all = file.attrs("/")?;
        let attrs = Attrs { path: &path, all: &all };
        let layout = MetadataLayout {
            rate: attrs.rate()?,
            subdir_cadence_secs: attrs.unsigned("subdir_cadence_secs")?,
            file_cadence_secs: attrs.unsigned("file_cadence_secs")?,
            file_name: attrs
                .text("file_name")
                .ok_or_else(|| PropertiesError::Missing { path: path.clone(), key: "file_name" })?,
        };
        layout.check().map_err(|source| PropertiesError::Layout { path: path.clone(), source })?;
        let fields = if file.exists("fields")? {
            field_names(&file.dataset("fields")?)?
        } else {
            Vec::new()
        };
        Ok(Self { dir, layout, fields })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Rate and division into files.
    pub fn layout(&self) -> &MetadataLayout {
        &self.layout
    }

    /// The names of the fields, in the order of the alphabet; none when nothing was written yet.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// First sample with metadata, and the one after the last; `None` when there are none.
    /// (The original gives the last sample itself.)
    ///
    /// Files that cannot be used are passed over, and named in the result.
    ///
    /// # Errors
    ///
    /// [`MetadataError::List`].
    pub fn bounds(&self) -> Result<(Option<Range<u64>>, Vec<MetadataError>), MetadataError> {
        let files = self.files()?;
        let mut skipped = Vec::new();
        let mut usable = |file: &Listed| match samples_in(&file.path) {
            Ok((_, samples)) if samples.is_empty() => None,
            Ok((_, samples)) => Some(samples),
            Err(error) => {
                skipped.push(error);
                None
            }
        };
        let first = files.iter().find_map(&mut usable).and_then(|samples| samples.first().copied());
        let last = first
            .and_then(|_| files.iter().rev().find_map(&mut usable))
            .and_then(|samples| samples.last().copied());
        Ok((first.zip(last).map(|(first, last)| first..last.saturating_add(1)), skipped))
    }

    /// Reads the metadata of a range of samples, in order.
    ///
    /// # Errors
    ///
    /// [`MetadataError::List`]; [`MetadataError::Hdf5`] and [`MetadataError::Group`] when a file of
    /// the range cannot be used.
    pub fn read(&self, samples: Range<u64>) -> Result<Vec<(u64, Record)>, MetadataError> {
        let mut records = Vec::new();
        if samples.is_empty() {
            return Ok(records);
        }
        let first = self.layout.file_secs(samples.start).saturating_mul(1000);
        let last = self.layout.file_secs(samples.end - 1).saturating_mul(1000);
        for file in self.files()?.iter().filter(|file| (first..=last).contains(&file.ms)) {
            let (open, all) = samples_in(&file.path)?;
            for sample in all.into_iter().filter(|sample| samples.contains(sample)) {
                records.push((sample, record(&open, &sample.to_string(), 0)?));
            }
        }
        Ok(records)
    }

    /// Reads the metadata that holds at a sample: the last at or before it.
    ///
    /// # Errors
    ///
    /// As [`MetadataReader::read`].
    pub fn at(&self, sample: u64) -> Result<Option<(u64, Record)>, MetadataError> {
        let until = self.layout.file_secs(sample).saturating_mul(1000);
        for file in self.files()?.iter().rev().filter(|file| file.ms <= until) {
            let (open, all) = samples_in(&file.path)?;
            if let Some(&last) = all.iter().rev().find(|&&s| s <= sample) {
                return Ok(Some((last, record(&open, &last.to_string(), 0)?)));
            }
        }
        Ok(None)
    }

    fn files(&self) -> Result<Vec<Listed>, MetadataError> {
        listing::files(&self.dir, &self.layout.file_name)
            .map_err(|source| MetadataError::List { path: self.dir.clone(), source })
    }
}

/// The samples of a file, in order of their numbers. (The original orders them as text.)
fn samples_in(path: &Path) -> Result<(File, Vec<u64>), MetadataError> {
    let file = File::open(path)?;
    let mut samples = Vec::new();
    for group in file.groups("/")? {
        let sample = group.parse();
        samples.push(sample.map_err(|_| MetadataError::Group { path: path.to_path_buf(), group })?);
    }
    samples.sort_unstable();
    Ok((file, samples))
}

fn record(file: &File, group: &str, depth: usize) -> Result<Record, MetadataError> {
    if depth > MAX_DEPTH {
        let group = group.to_owned();
        return Err(MetadataError::Group { path: file.path().to_path_buf(), group });
    }
    let mut record = Record::new();
    for name in file.datasets(group)? {
        record.insert(name.clone(), value(&file.dataset(&format!("{group}/{name}"))?)?);
    }
    for name in file.groups(group)? {
        let inner = self::record(file, &format!("{group}/{name}"), depth + 1)?;
        record.insert(name, Value::Group(inner));
    }
    Ok(record)
}

fn value(dataset: &Dataset) -> Result<Value, Hdf5Error> {
    let is_scalar = dataset.shape().is_empty();
    let scalar = match dataset.element() {
        ElementType::Number(number) => number.scalar,
        ElementType::Bool if is_scalar => {
            return Ok(Value::Bool(dataset.read_f64()?.values[0] != 0.0));
        }
        ElementType::Bool => return ints(dataset.read_f64()?, |x| x as i64),
        ElementType::Complex(_) | ElementType::Record { .. } | ElementType::Other { .. } => {
            return Err(dataset.type_error("a number or a text"));
        }
        _ => {
            let mut texts = dataset.read_strings()?.values;
            return Ok(match texts.len() {
                1 if is_scalar => Value::Text(texts.remove(0)),
                _ => Value::Texts(texts),
            });
        }
    };
    match scalar {
        Scalar::F32 | Scalar::F64 if is_scalar => Ok(Value::Float(dataset.read_f64()?.values[0])),
        Scalar::F32 | Scalar::F64 => Ok(Value::Floats(dataset.read_f64()?)),
        Scalar::U64 if is_scalar => {
            let x = dataset.read_scalar::<u64>()?;
            Ok(i64::try_from(x).map_or(Value::UInt(x), Value::Int))
        }
        Scalar::I64 => ints(dataset.read::<i64>()?, |x| x),
        // Arrays of numbers beyond `i64` have no variant; none is known to be used.
        Scalar::U64 => ints(dataset.read::<u64>()?, |x| i64::try_from(x).unwrap_or(i64::MAX)),
        // Up to 32 bits, which doubles hold exactly.
        _ => ints(dataset.read_f64()?, |x| x as i64),
    }
}

fn ints<T>(array: Array<T>, to: fn(T) -> i64) -> Result<Value, Hdf5Error> {
    let is_scalar = array.shape.is_empty();
    let values: Vec<i64> = array.values.into_iter().map(to).collect();
    Ok(match values[..] {
        [x] if is_scalar => Value::Int(x),
        _ => Value::Ints(Array { shape: array.shape, values }),
    })
}

/// The names in the list of fields: records of one text each.
fn field_names(dataset: &Dataset) -> Result<Vec<String>, Hdf5Error> {
    let ElementType::Record { fields, .. } = dataset.element() else {
        return Ok(dataset.read_strings()?.values);
    };
    let (size, fields) = (dataset.element().size(), fields.clone());
    let bytes = dataset.read_bytes()?;
    let Some(Field { offset, element: ElementType::FixedString { len }, .. }) = fields.first()
    else {
        return Ok(dataset.read_strings()?.values);
    };
    Ok(bytes
        .chunks_exact(size.max(1))
        .filter_map(|record| record.get(*offset..offset + len))
        .map(|text| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
        .collect())
}
