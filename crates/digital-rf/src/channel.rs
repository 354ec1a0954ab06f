//! Channels: what there is of them, and reading their samples.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use num_complex::{Complex32, Complex64};

use crate::{
    ChannelProperties, FileError, LayoutError, ReadError, Sample, SampleType,
    cache::Cache,
    file::{DataFile, Expected, FileBlock},
    listing,
    sample::{Convert, to_complex32, to_complex64},
};

/// Beyond this many files it is cheaper to ask the folders what is there than to ask file by file.
const MAX_PROBES: u64 = 64;

/// A file that was passed over because it cannot be used.
#[derive(Debug)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: FileError,
}

/// From where to where a channel goes.
#[derive(Debug, Default)]
pub struct Bounds {
    /// First sample, and the one after the last; `None` when there are none. There may be gaps
    /// between. (The original gives the last sample itself.)
    pub samples: Option<Range<u64>>,
    /// The files that were passed over to find out.
    pub skipped: Vec<Skipped>,
}

/// What there is of a range of samples.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Runs of consecutive samples, in order, joined across files.
    pub blocks: Vec<Range<u64>>,
    /// The files that were passed over.
    pub skipped: Vec<Skipped>,
}

/// A run of consecutive samples as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBlock {
    /// The samples.
    pub samples: Range<u64>,
    /// Their bytes, row after row, each row with all sub-channels.
    pub bytes: Vec<u8>,
}

/// A channel, open for reading.
///
/// It keeps a few files open, and those that are compressed inflated in memory. It may be shared by
/// threads; a clone has files of its own, so threads that read at different places do best with a
/// clone each.
#[derive(Debug)]
pub struct Channel {
    name: String,
    dirs: Arc<[PathBuf]>,
    properties: Arc<ChannelProperties>,
    sample_type: SampleType,
    cache: Mutex<Cache>,
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            dirs: Arc::clone(&self.dirs),
            properties: Arc::clone(&self.properties),
            sample_type: self.sample_type,
            cache: Mutex::default(),
        }
    }
}

impl Channel {
    pub(crate) fn open(name: &str, dirs: &[PathBuf]) -> Result<Self, ReadError> {
        let properties_error =
            |source| ReadError::Properties { channel: name.to_owned(), source: Box::new(source) };
        let mut first: Option<(&PathBuf, ChannelProperties)> = None;
        for dir in dirs {
            let properties = ChannelProperties::read(dir).map_err(properties_error)?;
            match (&first, properties) {
                (Some((before, old)), Some(new)) => {
                    if let Some(what) = difference(old, &new) {
                        let paths = ((*before).clone(), dir.clone());
                        return Err(ReadError::Disagree { paths, what });
                    }
                }
                (None, Some(new)) => first = Some((dir, new)),
                (_, None) => {}
            }
        }
        let (_, properties) = first.ok_or_else(|| ReadError::NoSuchChannel {
            name: name.to_owned(),
            paths: dirs.to_vec(),
            available: Vec::new(),
        })?;
        let mut channel = Self {
            name: name.to_owned(),
            dirs: dirs.into(),
            sample_type: properties.sample_type,
            properties: Arc::new(properties),
            cache: Mutex::default(),
        };
        // The properties do not say whether integers are signed, the data does.
        for dir in dirs {
            let (found, _) = channel.first_usable(dir, Direction::Forward)?;
            if let Some(file) = found {
                channel.sample_type = file.sample_type;
                break;
            }
        }
        Ok(channel)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folders that it is in.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// What it says about itself.
    pub fn properties(&self) -> &ChannelProperties {
        &self.properties
    }

    /// The type of its samples.
    pub fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    /// How many sub-channels it has.
    pub fn num_subchannels(&self) -> usize {
        self.properties.num_subchannels
    }

    /// Bytes of one row: a sample of each sub-channel.
    pub fn row_bytes(&self) -> usize {
        self.sample_type.size() * self.num_subchannels()
    }

    /// The folder of the channel's Digital Metadata, when it has one.
    pub fn metadata_dir(&self) -> Option<PathBuf> {
        self.dirs.iter().map(|dir| dir.join("metadata")).find(|dir| dir.is_dir())
    }

    /// Finds the first and the last sample, by the first and the last file that can be used.
    ///
    /// A file that cannot be used is passed over, and named in the result.
    ///
    /// # Errors
    ///
    /// [`ReadError::List`].
    pub fn bounds(&self) -> Result<Bounds, ReadError> {
        let mut bounds = Bounds::default();
        for dir in &*self.dirs {
            let (first, skipped) = self.first_usable(dir, Direction::Forward)?;
            bounds.skipped.extend(skipped);
            let Some(first) = first else { continue };
            let (last, skipped) = self.first_usable(dir, Direction::Backward)?;
            bounds.skipped.extend(skipped);
            let last = last.unwrap_or_else(|| Arc::clone(&first));
            if let (Some(a), Some(b)) = (first.blocks.first(), last.blocks.last()) {
                let all = bounds.samples.get_or_insert(a.samples.start..b.samples.end);
                *all = all.start.min(a.samples.start)..all.end.max(b.samples.end);
            }
        }
        Ok(bounds)
    }

    /// Finds what there is of a range of samples, without reading any.
    ///
    /// A file that cannot be used is passed over, and named in the result.
    ///
    /// # Errors
    ///
    /// [`ReadError::List`], [`ReadError::Layout`].
    pub fn coverage(&self, wanted: Range<u64>) -> Result<Coverage, ReadError> {
        let mut coverage = Coverage::default();
        if wanted.is_empty() {
            return Ok(coverage);
        }
        let mut found = Vec::new();
        for (dir, file_ms, path) in self.candidates(&wanted)? {
            match self.open_file(dir, file_ms, &path) {
                Ok(None) => {}
                Ok(Some(file)) => found.extend(file.blocks.iter().filter_map(|block| {
                    let start = block.samples.start.max(wanted.start);
                    let end = block.samples.end.min(wanted.end);
                    (start < end).then_some(start..end)
                })),
                Err(reason) => coverage.skipped.push(Skipped { path, reason }),
            }
        }
        found.sort_unstable_by_key(|block| (block.start, block.end));
        for block in found {
            match coverage.blocks.last_mut() {
                Some(last) if block.start <= last.end => last.end = last.end.max(block.end),
                _ => coverage.blocks.push(block),
            }
        }
        Ok(coverage)
    }

    /// Reads what there is of a range of samples, in blocks joined across files, as stored.
    ///
    /// # Errors
    ///
    /// [`ReadError::File`] when a file of the range cannot be used: a gap is what was never
    /// recorded, not what was lost. [`ReadError::List`], [`ReadError::Layout`].
    pub fn read_blocks(&self, wanted: Range<u64>) -> Result<Vec<RawBlock>, ReadError> {
        let coverage = self.coverage(wanted.clone())?;
        if let Some(skipped) = coverage.skipped.into_iter().next() {
            return Err(self.file_error(wanted, skipped.reason));
        }
        let read = |samples: Range<u64>| {
            let n = usize::try_from(samples.end - samples.start).unwrap_or(usize::MAX);
            let mut bytes = vec![0; n.saturating_mul(self.row_bytes())];
            self.read_raw(samples.start, &mut bytes)?;
            Ok(RawBlock { samples, bytes })
        };
        coverage.blocks.into_iter().map(read).collect()
    }

    /// Reads consecutive samples of all sub-channels as they are stored.
    ///
    /// | argument | shape                           |                                      |
    /// | -------- | ------------------------------- | ------------------------------------ |
    /// | `start`  |                                 | first sample, since the epoch        |
    /// | `out`    | `[n * row_bytes()]`, overwritten | row after row, in stored byte order |
    ///
    /// # Errors
    ///
    /// [`ReadError::Gap`] and [`ReadError::File`] when not all of them can be had, with what of
    /// `out` was written unsaid; [`ReadError::Buffer`]; [`ReadError::Layout`].
    pub fn read_raw(&self, start: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let row_bytes = self.row_bytes();
        if !out.len().is_multiple_of(row_bytes) {
            return Err(ReadError::Buffer { len: out.len(), row_bytes });
        }
        let mut rest = out;
        self.read_segments(start, rest.len() / row_bytes, |file, row, n| {
            if file.sample_type != self.sample_type {
                return Err(FileError::SampleType {
                    path: file.path().to_path_buf(),
                    found: file.sample_type.to_string(),
                    expected: self.sample_type.to_string(),
                });
            }
            let (now, later) = std::mem::take(&mut rest).split_at_mut(n * row_bytes);
            rest = later;
            file.read_raw(row, now)
        })
    }

    /// Reads consecutive samples of one sub-channel as single-precision complex numbers.
    ///
    /// | argument     | shape                 |                                       |
    /// | ------------ | --------------------- | ------------------------------------- |
    /// | `start`      |                       | first sample, since the epoch         |
    /// | `subchannel` | `< num_subchannels()` |                                       |
    /// | `out`        | `[n]`, overwritten    | in units of the recorder, not scaled  |
    ///
    /// Real samples have imaginary part 0; integers of more than 24 bits and doubles are rounded.
    /// Nothing is allocated while the samples lie in files that are open already.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gap`] and [`ReadError::File`] when not all of them can be had, with what of
    /// `out` was written unsaid; [`ReadError::Subchannel`]; [`ReadError::Layout`].
    pub fn read_complex32(
        &self,
        start: u64,
        subchannel: usize,
        out: &mut [Complex32],
    ) -> Result<(), ReadError> {
        self.read_converted(start, subchannel, out, to_complex32)
    }

    /// Reads consecutive samples of one sub-channel as double-precision complex numbers, in which
    /// integers of up to 32 bits and doubles are exact.
    ///
    /// # Errors
    ///
    /// As [`Channel::read_complex32`].
    pub fn read_complex64(
        &self,
        start: u64,
        subchannel: usize,
        out: &mut [Complex64],
    ) -> Result<(), ReadError> {
        self.read_converted(start, subchannel, out, to_complex64)
    }

    fn read_converted<F>(
        &self,
        start: u64,
        subchannel: usize,
        out: &mut [num_complex::Complex<F>],
        convert: Convert<F>,
    ) -> Result<(), ReadError>
    where
        num_complex::Complex<F>: Sample,
    {
        if subchannel >= self.num_subchannels() {
            return Err(ReadError::Subchannel {
                channel: self.name.clone(),
                subchannel,
                num_subchannels: self.num_subchannels(),
            });
        }
        let mut rest = out;
        self.read_segments(start, rest.len(), |file, row, n| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(n);
            rest = later;
            file.read_converted(row, subchannel, now, convert)
        })
    }

    /// Calls `read` with a file, a row and a count for one piece after the other of `n` samples.
    fn read_segments(
        &self,
        start: u64,
        n: usize,
        mut read: impl FnMut(&DataFile, usize, usize) -> Result<(), FileError>,
    ) -> Result<(), ReadError> {
        let end = start.saturating_add(n as u64);
        let wanted = start..end;
        let mut at = start;
        while at < end {
            let (file, block) = self.find(at, &wanted)?;
            let until = block.samples.end.min(end);
            let n = usize::try_from(until - at).unwrap_or(usize::MAX);
            read(&file, block.row, n).map_err(|source| self.file_error(at..until, source))?;
            at = until;
        }
        Ok(())
    }

    /// The file that holds a sample, and the rest of the block from that sample on.
    fn find(
        &self,
        sample: u64,
        wanted: &Range<u64>,
    ) -> Result<(Arc<DataFile>, FileBlock), ReadError> {
        let layout = &self.properties.layout;
        let file_ms = layout.file_ms(sample);
        let mut damaged = None;
        for dir in 0..self.dirs.len() {
            match self.open_slot(dir, file_ms)? {
                Ok(Some(file)) => {
                    if let Some(block) = file.find(sample) {
                        return Ok((file, block));
                    }
                }
                Ok(None) => {}
                Err(error) => damaged = damaged.or(Some(error)),
            }
        }
        if let Some(error) = damaged {
            let end = layout.samples_of(file_ms).end.min(wanted.end).max(sample);
            return Err(self.file_error(sample..end, error));
        }
        Err(ReadError::Gap {
            channel: self.name.clone(),
            sample,
            wanted: wanted.clone(),
            path: self.dirs[0].join(layout.relative_path(file_ms)?),
        })
    }

    /// The open file of a time in one of the folders; `None` when there is none.
    fn open_slot(
        &self,
        dir: usize,
        file_ms: u64,
    ) -> Result<Result<Option<Arc<DataFile>>, FileError>, LayoutError> {
        if let Some(file) = self.cache().get(dir, file_ms) {
            return Ok(Ok(Some(file)));
        }
        let path = self.dirs[dir].join(self.properties.layout.relative_path(file_ms)?);
        Ok(self.open_file(dir, file_ms, &path))
    }

    fn open_file(
        &self,
        dir: usize,
        file_ms: u64,
        path: &Path,
    ) -> Result<Option<Arc<DataFile>>, FileError> {
        if let Some(file) = self.cache().get(dir, file_ms) {
            return Ok(Some(file));
        }
        match DataFile::open(path, self.expected()) {
            Ok(file) => {
                let file = Arc::new(file);
                self.cache().insert(dir, file_ms, Arc::clone(&file));
                Ok(Some(file))
            }
            Err(FileError::Hdf5(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first file of a folder that can be used, and those that were passed over.
    fn first_usable(
        &self,
        dir: &Path,
        direction: Direction,
    ) -> Result<(Option<Arc<DataFile>>, Vec<Skipped>), ReadError> {
        let list_error = |path: &Path, source| ReadError::List { path: path.to_path_buf(), source };
        let mut skipped = Vec::new();
        let mut folders = listing::folders(dir).map_err(|e| list_error(dir, e))?;
        direction.order(&mut folders);
        for folder in folders {
            let files = listing::files_in(&folder, "rf").map_err(|e| list_error(&folder, e))?;
            let mut files = files;
            direction.order(&mut files);
            for listed in files {
                match DataFile::open(&listed.path, self.expected()) {
                    Ok(file) => return Ok((Some(Arc::new(file)), skipped)),
                    // Removed since it was listed, as ring buffers do.
                    Err(FileError::Hdf5(error)) if error.is_not_found() => {}
                    Err(reason) => skipped.push(Skipped { path: listed.path, reason }),
                }
            }
        }
        Ok((None, skipped))
    }

    /// The files that may hold samples of a range: folder, time, path.
    fn candidates(&self, wanted: &Range<u64>) -> Result<Vec<(usize, u64, PathBuf)>, ReadError> {
        let layout = &self.properties.layout;
        let first = layout.file_ms(wanted.start);
        let last = layout.file_ms(wanted.end - 1);
        let cadence = layout.file_cadence_ms();
        let mut candidates = Vec::new();
        for (dir, path) in self.dirs.iter().enumerate() {
            if (last - first) / cadence < MAX_PROBES {
                for k in 0..=(last - first) / cadence {
                    let file_ms = first + k * cadence;
                    candidates.push((dir, file_ms, path.join(layout.relative_path(file_ms)?)));
                }
            } else {
                let files = listing::files(path, "rf")
                    .map_err(|source| ReadError::List { path: path.clone(), source })?;
                candidates.extend(
                    files
                        .into_iter()
                        .filter(|file| (first..=last).contains(&file.ms))
                        .map(|file| (dir, file.ms, file.path)),
                );
            }
        }
        Ok(candidates)
    }

    fn expected(&self) -> Expected {
        Expected {
            num_subchannels: self.properties.num_subchannels,
            max_rows: self.properties.layout.max_samples_per_file(),
        }
    }

    fn file_error(&self, samples: Range<u64>, source: FileError) -> ReadError {
        ReadError::File { channel: self.name.clone(), samples, source: Box::new(source) }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic of another thread leaves the cache whole: it is only ever changed in one step.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

impl Direction {
    fn order<T>(self, items: &mut [T]) {
        if let Self::Backward = self {
            items.reverse();
        }
    }
}

/// What two folders of one channel must have in common.
fn difference(a: &ChannelProperties, b: &ChannelProperties) -> Option<&'static str> {
    [
        ("the sample rate", a.layout.rate() == b.layout.rate()),
        ("the length of files and folders", a.layout == b.layout),
        ("the type of samples", a.sample_type == b.sample_type),
        ("the number of sub-channels", a.num_subchannels == b.num_subchannels),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}
