//! Writing of Digital Metadata.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{MetadataError, MetadataLayout, MetadataReader, Record, Value};
use crate::{
    WriteError,
    hdf5::{AttrValue, DatasetOptions, ElementType, Field, FileWriter, Hdf5Error, Publish},
    writer::make_dir,
};

/// Version of the layout that is written.
const LAYOUT_VERSION: &str = "2.5";
/// Bytes for the name of a field in the list of fields.
const FIELD_NAME_BYTES: usize = 128;

/// Writes metadata, one file after the other.
///
/// A file is kept in memory until a sample of the next one comes, and then appears whole;
/// [`MetadataWriter::finish`] writes the last one. Samples can be added to files that are there.
#[derive(Debug)]
pub struct MetadataWriter {
    dir: PathBuf,
    layout: MetadataLayout,
    fields_written: bool,
    pending: BTreeMap<u64, Record>,
    file_secs: u64,
}

impl MetadataWriter {
    /// Begins metadata in a folder, which is made when it is not there; or continues what is there.
    ///
    /// # Errors
    ///
    /// [`WriteError::Layout`], [`WriteError::Option`], [`WriteError::Folder`],
    /// [`WriteError::Properties`], [`WriteError::OtherChannel`], [`WriteError::Hdf5`].
    pub fn create(dir: impl AsRef<Path>, layout: MetadataLayout) -> Result<Self, WriteError> {
        layout.check()?;
        if layout.file_name.is_empty()
            || !layout.file_name.is_ascii()
            || layout.file_name.contains(['/', '@'])
        {
            return Err(WriteError::Option { option: "file_name", value: layout.file_name });
        }
        let dir = dir.as_ref().to_path_buf();
        make_dir(&dir)?;
        let mut writer =
            Self { dir, layout, fields_written: false, pending: BTreeMap::new(), file_secs: 0 };
        match MetadataReader::open(&writer.dir) {
            Ok(old) if *old.layout() == writer.layout => {
                writer.fields_written = !old.fields().is_empty();
            }
            Ok(_) => {
                let what = "rate, division into files, or name of files";
                return Err(WriteError::OtherChannel { path: writer.dir, what });
            }
            Err(MetadataError::NoProperties { .. }) => {
                writer.properties(&[])?.publish(Publish::New)?;
            }
            Err(MetadataError::Properties(error)) => return Err(error.into()),
            Err(MetadataError::Hdf5(error)) => return Err(error.into()),
            Err(error) => {
                return Err(WriteError::Option { option: "folder", value: error.to_string() });
            }
        }
        Ok(writer)
    }

    /// Adds the metadata of a sample. The first one says which fields there are.
    ///
    /// # Errors
    ///
    /// [`WriteError::Option`] when a field has a name that cannot be, or the sample has metadata
    /// already; [`WriteError::Layout`], [`WriteError::Folder`], [`WriteError::Hdf5`].
    pub fn write(&mut self, sample: u64, fields: Record) -> Result<(), WriteError> {
        check_names(&fields)?;
        if !self.fields_written {
            let names: Vec<&str> = fields.keys().map(String::as_str).collect();
            self.properties(&names)?.publish(Publish::Replace)?;
            self.fields_written = true;
        }
        let file_secs = self.layout.file_secs(sample);
        if file_secs != self.file_secs {
            self.flush()?;
            self.file_secs = file_secs;
        }
        if self.pending.contains_key(&sample) {
            return Err(WriteError::Option { option: "sample", value: format!("{sample} again") });
        }
        self.pending.insert(sample, fields);
        Ok(())
    }

    /// Writes what is left. Without this call the last file is lost.
    ///
    /// # Errors
    ///
    /// [`WriteError::Layout`], [`WriteError::Folder`], [`WriteError::Hdf5`].
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let path = self.dir.join(self.layout.relative_path(self.file_secs)?);
        if let Some(folder) = path.parent() {
            make_dir(folder)?;
        }
        let exists = path.exists();
        let mut file = if exists { FileWriter::amend(&path)? } else { FileWriter::create(&path)? };
        for (sample, fields) in &pending {
            write_group(&mut file, &sample.to_string(), fields)?;
        }
        Ok(file.publish(if exists { Publish::Replace } else { Publish::New })?)
    }

    fn properties(&self, fields: &[&str]) -> Result<FileWriter, WriteError> {
        let layout = &self.layout;
        let path = self.dir.join("dmd_properties.h5");
        let mut file = FileWriter::create(path)?;
        for (name, value) in [
            ("subdir_cadence_secs", layout.subdir_cadence_secs),
            ("file_cadence_secs", layout.file_cadence_secs),
            ("sample_rate_numerator", layout.rate.num()),
            ("sample_rate_denominator", layout.rate.den()),
        ] {
            let value = i64::try_from(value)
                .map_err(|_| WriteError::Option { option: name, value: value.to_string() })?;
            file.set_attr("/", name, &AttrValue::I64(value))?;
        }
        for (name, value) in
            [("file_name", layout.file_name.as_str()), ("digital_metadata_version", LAYOUT_VERSION)]
        {
            file.set_attr("/", name, &AttrValue::AsciiPadded(value.to_owned()))?;
        }
        if !fields.is_empty() {
            let mut bytes = Vec::with_capacity(fields.len() * FIELD_NAME_BYTES);
            for (k, field) in fields.iter().enumerate() {
                bytes.extend_from_slice(field.as_bytes());
                bytes.resize((k + 1) * FIELD_NAME_BYTES, 0);
            }
            let element = ElementType::Record {
                size: FIELD_NAME_BYTES,
                fields: vec![Field {
                    name: "column".to_owned(),
                    offset: 0,
                    element: ElementType::FixedString { len: FIELD_NAME_BYTES },
                }],
            };
            let options = DatasetOptions::default();
            file.write_bytes("fields", &element, &[fields.len()], &bytes, &options)?;
        }
        Ok(file)
    }
}

/// Names become parts of a path in the file, and of a list with a fixed width.
fn check_names(fields: &Record) -> Result<(), WriteError> {
    for (name, value) in fields {
        if name.is_empty() || name == "." || name.contains('/') || name.len() > FIELD_NAME_BYTES {
            return Err(WriteError::Option { option: "field", value: format!("{name:?}") });
        }
        if let Value::Group(inner) = value {
            check_names(inner)?;
        }
    }
    Ok(())
}

fn write_group(file: &mut FileWriter, group: &str, fields: &Record) -> Result<(), Hdf5Error> {
    file.group(group)?;
    let options = DatasetOptions::default();
    for (name, value) in fields {
        let path = format!("{group}/{name}");
        match value {
            Value::Int(x) => file.write_scalar(&path, *x)?,
            Value::UInt(x) => file.write_scalar(&path, *x)?,
            Value::Float(x) => file.write_scalar(&path, *x)?,
            Value::Bool(x) => {
                file.write_bytes(&path, &ElementType::Bool, &[], &[u8::from(*x)], &options)?;
            }
            Value::Text(text) => file.write_str(&path, text)?,
            Value::Ints(array) => file.write(&path, &array.shape, &array.values, &options)?,
            Value::Floats(array) => file.write(&path, &array.shape, &array.values, &options)?,
            Value::Texts(texts) => {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                file.write_strs(&path, &texts)?;
            }
            Value::Group(inner) => write_group(file, &path, inner)?,
        }
    }
    Ok(())
}
