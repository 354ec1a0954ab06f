//! Writing of channels.

use std::{
    fs,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    ChannelProperties, FileLayout, LayoutError, PropertiesError, Sample, SampleRate, SampleType,
    hdf5::{AttrValue, DatasetOptions, FileWriter, Hdf5Error, Number, Publish},
};

/// Version of the layout that is written; that of the C library of digital_rf 2.6.
const LAYOUT_VERSION: &str = "2.6.0";
const EPOCH: &str = "1970-01-01T00:00:00Z";
const TIME_DESCRIPTION: &str = "Sample k was taken k * sample_rate_denominator / \
    sample_rate_numerator seconds after the epoch, in POSIX time, which has no leap seconds. The \
    first column of rf_data_index holds such k.";
/// Largest file, which is kept in memory until it is full.
const MAX_FILE_BYTES: u64 = 1 << 34;
/// Largest chunk of samples, well below the 4 GiB that HDF5 allows.
const MAX_CHUNK_BYTES: usize = 1 << 28;
/// Rows per chunk of an index, as the original has it.
const INDEX_CHUNK: usize = 100;

/// Why a channel could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Rate and cadences make no sense, or a sample is too late to have a date.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// An option has a value that it cannot have.
    #[error("{option} cannot be {value}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// A folder cannot be made.
    #[error("could not make {path}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds a channel whose properties cannot be read.
    #[error("could not continue the channel")]
    Properties(#[from] PropertiesError),
    /// The folder holds a channel with another value of a property.
    #[error("{path} is a channel with another {what}", path = path.display())]
    OtherChannel {
        /// The folder.
        path: PathBuf,
        /// The property.
        what: &'static str,
    },
    /// Samples can only be added after those that were written.
    #[error("sample {sample} comes before {next}, the next one to be written")]
    Backwards {
        /// The sample that was to be written.
        sample: u64,
        /// The first one that may be written.
        next: u64,
    },
    /// Sample numbers end at 2⁶⁴.
    #[error("{n_samples} samples from {sample} on are beyond the last sample number")]
    Overflow {
        /// The first sample that was to be written.
        sample: u64,
        /// How many.
        n_samples: usize,
    },
    /// The samples are no whole number of rows.
    #[error("{len} samples are no whole number of rows of {num_subchannels} sub-channels")]
    Rows {
        /// How many samples.
        len: usize,
        /// How many make a row.
        num_subchannels: usize,
    },
    /// A file could not be written, or is there already.
    #[error(transparent)]
    Hdf5(#[from] Hdf5Error),
}

/// How a channel is written.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelConfig {
    /// The sample rate.
    pub rate: SampleRate,
    /// Length of a folder, in seconds.
    pub subdir_cadence_secs: u64,
    /// Length of a file, in milliseconds; divides that of a folder. A file is kept in memory while
    /// it is filled, so its samples may come to 16 GiB at most.
    pub file_cadence_ms: u64,
    /// Samples that are taken together, `1..`.
    pub num_subchannels: usize,
    /// Number of the first sample since the epoch.
    pub start_sample: u64,
    /// Whether files without filters are laid out whole, so that what is never written holds the
    /// fill value and gaps inside a file are not seen. Otherwise gaps are kept in the index.
    pub is_continuous: bool,
    /// Level of deflate, `0..=9`; 0 is none.
    pub compression: u32,
    /// Whether to add checksums.
    pub checksum: bool,
    /// Name of this recording. The original makes a random one; ours is the same each time unless
    /// the caller wants otherwise.
    pub uuid: String,
    /// When the recording was made, in seconds after the epoch; `None` for the time of its first
    /// sample, so that the same samples give the same files.
    pub computer_time: Option<u64>,
}

impl ChannelConfig {
    /// One gap-less sub-channel without filters, in files of a second and folders of an hour.
    pub fn new(rate: SampleRate, start_sample: u64) -> Self {
        Self {
            rate,
            subdir_cadence_secs: 3600,
            file_cadence_ms: 1000,
            num_subchannels: 1,
            start_sample,
            is_continuous: true,
            compression: 0,
            checksum: false,
            uuid: "0".repeat(32),
            computer_time: None,
        }
    }

    fn check(&self, sample_bytes: usize) -> Result<FileLayout, WriteError> {
        let option = |option, value: &dyn ToString| {
            Err(WriteError::Option { option, value: value.to_string() })
        };
        if self.compression > 9 {
            return option("compression", &self.compression);
        }
        if !(1..=i32::MAX as usize).contains(&self.num_subchannels) {
            return option("num_subchannels", &self.num_subchannels);
        }
        if self.uuid.is_empty() || !self.uuid.is_ascii() {
            return option("uuid", &self.uuid);
        }
        let layout = FileLayout::new(self.rate, self.subdir_cadence_secs, self.file_cadence_ms)?;
        let row_bytes = sample_bytes.saturating_mul(self.num_subchannels) as u64;
        if layout.max_samples_per_file().saturating_mul(row_bytes) > MAX_FILE_BYTES {
            return option("file_cadence_ms", &self.file_cadence_ms);
        }
        Ok(layout)
    }
}

/// Writes a channel, one file after the other.
///
/// A file is kept in memory until it is full, and then appears whole; [`ChannelWriter::finish`]
/// writes the last one. A writer that is dropped before loses it. Files that are there already are
/// never written over.
#[derive(Debug)]
pub struct ChannelWriter<T> {
    dir: PathBuf,
    config: ChannelConfig,
    layout: FileLayout,
    next: u64,
    sequence_num: i32,
    pending: Option<Pending>,
    sample: PhantomData<T>,
}

/// A file that is being filled.
#[derive(Debug)]
struct Pending {
    file_ms: u64,
    /// `[first sample, first row]` of each block.
    index: Vec<u64>,
    bytes: Vec<u8>,
    rows: usize,
}

impl<T: Sample> ChannelWriter<T> {
    /// Begins a channel in a folder, which is made when it is not there; or continues one with the
    /// same properties.
    ///
    /// # Errors
    ///
    /// [`WriteError::Layout`], [`WriteError::Option`], [`WriteError::Folder`],
    /// [`WriteError::Properties`], [`WriteError::OtherChannel`], [`WriteError::Hdf5`].
    pub fn create(dir: impl AsRef<Path>, config: ChannelConfig) -> Result<Self, WriteError> {
        let dir = dir.as_ref().to_path_buf();
        let layout = config.check(T::TYPE.size())?;
        make_dir(&dir)?;
        let writer = Self {
            next: config.start_sample,
            dir,
            config,
            layout,
            sequence_num: 0,
            pending: None,
            sample: PhantomData,
        };
        match ChannelProperties::read(&writer.dir)? {
            Some(old) => writer.check_same(&old)?,
            None => writer.write_properties()?,
        }
        Ok(writer)
    }

    /// The next sample to be written.
    pub fn next_sample(&self) -> u64 {
        self.next
    }

    /// Adds samples after those written last.
    ///
    /// | argument  | shape                                                  |
    /// | --------- | ------------------------------------------------------ |
    /// | `samples` | `[n * num_subchannels]`, the sub-channel running fastest |
    ///
    /// # Errors
    ///
    /// [`WriteError::Rows`], [`WriteError::Overflow`], [`WriteError::Layout`],
    /// [`WriteError::Folder`], [`WriteError::Hdf5`].
    pub fn write(&mut self, samples: &[T]) -> Result<(), WriteError> {
        self.write_at(self.next, samples)
    }

    /// Adds samples from a sample number on, leaving a gap before them.
    ///
    /// # Errors
    ///
    /// [`WriteError::Backwards`], and as [`ChannelWriter::write`].
    pub fn write_at(&mut self, sample: u64, samples: &[T]) -> Result<(), WriteError> {
        let n = samples.len() / self.config.num_subchannels;
        if n * self.config.num_subchannels != samples.len() {
            return Err(WriteError::Rows {
                len: samples.len(),
                num_subchannels: self.config.num_subchannels,
            });
        }
        if sample < self.next {
            return Err(WriteError::Backwards { sample, next: self.next });
        }
        let end =
            sample.checked_add(n as u64).ok_or(WriteError::Overflow { sample, n_samples: n })?;
        let mut bytes: &[u8] = bytemuck::cast_slice(samples);
        let mut at = sample;
        while at < end {
            let file_ms = self.layout.file_ms(at);
            if self.pending.as_ref().is_some_and(|pending| pending.file_ms != file_ms) {
                self.flush()?;
            }
            let in_file = self.layout.samples_of(file_ms);
            let until = in_file.end.min(end);
            // Both fit: the samples are in memory.
            let (now, later) = bytes.split_at((until - at) as usize * self.row_bytes());
            bytes = later;
            let pending = self.pending.get_or_insert_with(|| Pending {
                file_ms,
                index: Vec::new(),
                bytes: Vec::new(),
                rows: 0,
            });
            if self.config.is_whole_file() {
                if pending.index.is_empty() {
                    pending.index = vec![in_file.start, 0];
                }
                let missing = (at - in_file.start) as usize - pending.rows;
                let row = T::TYPE.fill().repeat(self.config.num_subchannels);
                pending.bytes.extend(std::iter::repeat_n(&row, missing).flatten());
                pending.rows += missing;
            } else if pending.index.is_empty() || at > self.next {
                pending.index.extend([at, pending.rows as u64]);
            }
            pending.bytes.extend_from_slice(now);
            pending.rows += (until - at) as usize;
            at = until;
            self.next = at;
            if at == in_file.end {
                self.flush()?;
            }
        }
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

    fn row_bytes(&self) -> usize {
        T::TYPE.size() * self.config.num_subchannels
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let samples = self.layout.samples_of(pending.file_ms);
        let capacity = (samples.end - samples.start) as usize;
        let mut options = DatasetOptions { fill: Some(T::TYPE.fill()), ..Default::default() };
        if self.config.is_whole_file() {
            let row = T::TYPE.fill().repeat(self.config.num_subchannels);
            let missing = capacity - pending.rows;
            pending.bytes.extend(std::iter::repeat_n(&row, missing).flatten());
            pending.rows = capacity;
        } else {
            let n = self.config.num_subchannels;
            // One chunk, because readers inflate whole files anyhow; the original takes what is
            // first written to a file.
            let chunk = pending.rows.min(MAX_CHUNK_BYTES / self.row_bytes()).max(1);
            options.chunk = Some(vec![chunk, n]);
            options.max_shape = Some(vec![Some(capacity), Some(n)]);
            options.deflate = (self.config.compression > 0).then_some(self.config.compression);
            options.fletcher32 = self.config.checksum;
        }

        let path = self.dir.join(self.layout.relative_path(pending.file_ms)?);
        if let Some(folder) = path.parent() {
            make_dir(folder)?;
        }
        let mut file = FileWriter::create(&path)?;
        let shape = [pending.rows, self.config.num_subchannels];
        file.write_bytes("rf_data", &T::TYPE.element(), &shape, &pending.bytes, &options)?;
        let index_options = DatasetOptions {
            chunk: Some(vec![INDEX_CHUNK, 2]),
            max_shape: Some(vec![None, Some(2)]),
            ..Default::default()
        };
        let shape = [pending.index.len() / 2, 2];
        file.write("rf_data_index", &shape, &pending.index, &index_options)?;
        let init = self.config.rate.unix_secs(self.config.start_sample);
        let computer_time = self.config.computer_time.unwrap_or(init);
        for (name, value) in self.attrs().chain([
            ("computer_time", AttrValue::U64(computer_time)),
            ("init_utc_timestamp", AttrValue::U64(init)),
            ("sequence_num", AttrValue::I32(self.sequence_num)),
            ("uuid_str", AttrValue::Ascii(self.config.uuid.clone())),
        ]) {
            file.set_attr("rf_data", name, &value)?;
        }
        // A recording is thousands of files that can be simulated again: waiting for the disk at
        // each of them would cost more than it saves.
        file.publish_unsynced(Publish::New)?;
        self.sequence_num = self.sequence_num.wrapping_add(1);
        Ok(())
    }

    fn write_properties(&self) -> Result<(), WriteError> {
        let mut file = FileWriter::create(self.dir.join("drf_properties.h5"))?;
        for (name, value) in self.attrs() {
            file.set_attr("/", name, &value)?;
        }
        Ok(file.publish(Publish::New)?)
    }

    /// The attributes that all files of the channel have.
    fn attrs(&self) -> impl Iterator<Item = (&'static str, AttrValue)> {
        let Number { scalar, .. } = T::TYPE.number;
        let class = u64::from(scalar.is_float());
        let size = scalar.size() as u64;
        let flag = |set| AttrValue::I32(i32::from(set));
        // It was checked to be at most `i32::MAX`.
        let num_subchannels = i32::try_from(self.config.num_subchannels).unwrap_or(i32::MAX);
        [
            ("H5Tget_class", AttrValue::U64(class)),
            ("H5Tget_size", AttrValue::U64(size)),
            ("H5Tget_order", AttrValue::U64(0)),
            ("H5Tget_precision", AttrValue::U64(8 * size)),
            ("H5Tget_offset", AttrValue::U64(0)),
            ("subdir_cadence_secs", AttrValue::U64(self.config.subdir_cadence_secs)),
            ("file_cadence_millisecs", AttrValue::U64(self.config.file_cadence_ms)),
            ("sample_rate_numerator", AttrValue::U64(self.config.rate.num())),
            ("sample_rate_denominator", AttrValue::U64(self.config.rate.den())),
            ("is_complex", flag(T::TYPE.complex)),
            ("num_subchannels", AttrValue::I32(num_subchannels)),
            ("is_continuous", flag(self.config.is_continuous)),
            ("epoch", AttrValue::Ascii(EPOCH.to_owned())),
            ("digital_rf_time_description", AttrValue::Ascii(TIME_DESCRIPTION.to_owned())),
            ("digital_rf_version", AttrValue::Ascii(LAYOUT_VERSION.to_owned())),
        ]
        .into_iter()
    }

    fn check_same(&self, old: &ChannelProperties) -> Result<(), WriteError> {
        // The properties do not tell signed integers from unsigned ones.
        let kind = |t: SampleType| (t.number.scalar.size(), t.number.scalar.is_float(), t.complex);
        let other = [
            ("sample rate", old.layout.rate() == self.layout.rate()),
            ("length of files and folders", old.layout == self.layout),
            (
                "type of samples",
                kind(old.sample_type) == kind(T::TYPE)
                    && old.sample_type.number.order == T::TYPE.number.order,
            ),
            ("number of sub-channels", old.num_subchannels == self.config.num_subchannels),
            ("is_continuous", old.is_continuous.is_none_or(|is| is == self.config.is_continuous)),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what));
        other.map_or(Ok(()), |what| Err(WriteError::OtherChannel { path: self.dir.clone(), what }))
    }
}

impl ChannelConfig {
    /// Whether files are laid out whole, as the original decides it.
    fn is_whole_file(&self) -> bool {
        self.is_continuous && self.compression == 0 && !self.checksum
    }
}

pub(crate) fn make_dir(path: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(path)
        .map_err(|source| WriteError::Folder { path: path.to_path_buf(), source })
}
