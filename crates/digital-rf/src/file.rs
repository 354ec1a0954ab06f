//! One file of samples: its index, and its rows.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use num_complex::Complex;
use thiserror::Error;

use crate::{
    Sample, SampleType,
    hdf5::{Dataset, File, Hdf5Error},
    sample::Convert,
};

/// Why a file of samples cannot be used. Every variant names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The HDF5 file cannot be read.
    #[error(transparent)]
    Hdf5(#[from] Hdf5Error),
    /// The samples have another type than those of the rest of the channel.
    #[error("{path} holds samples of {found}, not {expected}", path = path.display())]
    SampleType {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What the channel holds.
        expected: String,
    },
    /// The shape of the samples does not fit the properties of the channel.
    #[error("{path} has samples of shape {found:?}, not [up to {max_rows}, {num_subchannels}]",
        path = path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Shape of its samples.
        found: Vec<usize>,
        /// The most rows that a file of the channel holds.
        max_rows: u64,
        /// The sub-channels of the channel.
        num_subchannels: usize,
    },
    /// The index of blocks contradicts itself or the samples.
    #[error("the index of {path} is wrong: {problem}", path = path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        problem: String,
    },
}

/// A run of consecutive samples in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileBlock {
    /// The samples.
    pub(crate) samples: Range<u64>,
    /// The row of the first one.
    pub(crate) row: usize,
}

/// What a file has to fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) num_subchannels: usize,
    pub(crate) max_rows: u64,
}

/// An open file of samples.
#[derive(Debug)]
pub(crate) struct DataFile {
    pub(crate) sample_type: SampleType,
    pub(crate) blocks: Vec<FileBlock>,
    data: Dataset,
    num_subchannels: usize,
    /// All rows of a file that does not hold them as they are: its chunk is usually the whole file,
    /// so that reading any of it inflates all of it.
    inflated: OnceLock<Vec<u8>>,
    /// Held while inflating, so that threads that share the channel do it once.
    inflating: Mutex<()>,
}

/// Rows are converted in pieces of this size, which stay in the fastest cache.
const PIECE_BYTES: usize = 1 << 14;

impl DataFile {
    /// Opens a file and reads its index.
    pub(crate) fn open(path: &Path, expected: Expected) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let data = file.dataset("rf_data")?;
        let sample_type =
            SampleType::from_element(data.element()).ok_or_else(|| FileError::SampleType {
                path: path.to_path_buf(),
                found: data.element().to_string(),
                expected: "numbers".to_owned(),
            })?;
        let rows = match *data.shape() {
            [rows] if expected.num_subchannels == 1 => Some(rows),
            [rows, n] if n == expected.num_subchannels => Some(rows),
            _ => None,
        };
        let rows = rows.filter(|&rows| rows as u64 <= expected.max_rows).ok_or_else(|| {
            FileError::Shape {
                path: path.to_path_buf(),
                found: data.shape().to_vec(),
                max_rows: expected.max_rows,
                num_subchannels: expected.num_subchannels,
            }
        })?;
        data.check_size()?;
        let data = data.seen_through()?;
        // Every block has at least one row.
        let index_bytes = (rows as u64 + 1).saturating_mul(16);
        let index = file.dataset("rf_data_index")?.with_limit(index_bytes).read::<u64>()?;
        if index.shape.len() != 2 || index.shape[1] != 2 {
            return Err(FileError::Index {
                path: path.to_path_buf(),
                problem: format!("its shape is {:?}", index.shape),
            });
        }
        let blocks = blocks(&index.values, rows)
            .map_err(|problem| FileError::Index { path: path.to_path_buf(), problem })?;
        Ok(Self {
            sample_type,
            blocks,
            data,
            num_subchannels: expected.num_subchannels,
            inflated: OnceLock::new(),
            inflating: Mutex::new(()),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.data.path()
    }

    /// The block that holds a sample, with the row of that sample.
    pub(crate) fn find(&self, sample: u64) -> Option<FileBlock> {
        let after = self.blocks.partition_point(|block| block.samples.start <= sample);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        // Row and sample differ by the same for the whole block, which fits its rows.
        let row = block.row + usize::try_from(sample - block.samples.start).ok()?;
        block
            .samples
            .contains(&sample)
            .then_some(FileBlock { samples: sample..block.samples.end, row })
    }

    /// Bytes of one row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.sample_type.size() * self.num_subchannels
    }

    /// How much memory the file holds on to.
    pub(crate) fn held_bytes(&self) -> usize {
        self.inflated.get().map_or(0, Vec::len)
    }

    /// Copies rows as they are stored; `out` is a whole number of rows.
    pub(crate) fn read_raw(&self, row: usize, out: &mut [u8]) -> Result<(), FileError> {
        if self.data.is_contiguous() {
            return Ok(self.data.read_rows_into(row, out)?);
        }
        let bytes = self.inflated()?;
        let start = row * self.row_bytes();
        out.copy_from_slice(&bytes[start..start + out.len()]);
        Ok(())
    }

    /// Converts one sub-channel of rows.
    pub(crate) fn read_converted<F>(
        &self,
        row: usize,
        subchannel: usize,
        out: &mut [Complex<F>],
        convert: Convert<F>,
    ) -> Result<(), FileError>
    where
        Complex<F>: Sample,
    {
        // Nothing to convert: from the file into place, without a stop.
        if self.num_subchannels == 1
            && self.sample_type == Complex::<F>::TYPE
            && cfg!(target_endian = "little")
        {
            return self.read_raw(row, bytemuck::cast_slice_mut(out));
        }
        let row_bytes = self.row_bytes();
        let offset = subchannel * self.sample_type.size();
        if !self.data.is_contiguous() {
            let bytes = self.inflated()?;
            let start = row * row_bytes;
            let rows = &bytes[start..start + out.len() * row_bytes];
            convert(rows, self.sample_type, row_bytes, offset, out);
            return Ok(());
        }
        let mut small = [0; PIECE_BYTES];
        let mut large = Vec::new();
        let piece = if row_bytes <= small.len() {
            &mut small[..]
        } else {
            large.resize(row_bytes, 0);
            &mut large[..]
        };
        let rows_per_piece = piece.len() / row_bytes;
        let mut row = row;
        for out in out.chunks_mut(rows_per_piece) {
            let bytes = &mut piece[..out.len() * row_bytes];
            self.data.read_rows_into(row, bytes)?;
            convert(bytes, self.sample_type, row_bytes, offset, out);
            row += out.len();
        }
        Ok(())
    }

    fn inflated(&self) -> Result<&[u8], FileError> {
        let _guard = self.inflating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = self.inflated.get() {
            return Ok(bytes);
        }
        let bytes = self.data.read_bytes()?;
        Ok(self.inflated.get_or_init(|| bytes))
    }
}

/// Blocks from the rows of an index: each `[first sample, first row]`, the last one to the end.
fn blocks(index: &[u64], rows: usize) -> Result<Vec<FileBlock>, String> {
    let entries = index.as_chunks::<2>().0;
    if entries.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut blocks = Vec::<FileBlock>::with_capacity(entries.len());
    for (k, &[start, row]) in entries.iter().enumerate() {
        let end_row = entries.get(k + 1).map_or(rows as u64, |next| next[1]);
        if row >= end_row || end_row > rows as u64 {
            return Err(format!("block {k} has rows {row} to {end_row} of {rows}"));
        }
        let end = start
            .checked_add(end_row - row)
            .ok_or_else(|| format!("block {k} begins at sample {start}"))?;
        if blocks.last().is_some_and(|last| last.samples.end > start) {
            return Err(format!("block {k} begins at sample {start}, inside the one before"));
        }
        let row = usize::try_from(row).map_err(|e| e.to_string())?;
        blocks.push(FileBlock { samples: start..end, row });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let block = |samples, row| FileBlock { samples, row };
        assert_eq!(blocks(&[100, 0, 200, 5], 7), Ok(vec![block(100..105, 0), block(200..202, 5)]));
        for (index, problem) in [
            (&[][..], "empty"),
            (&[100, 7], "rows 7 to 7 of 7"),
            (&[100, 0, 200, 8], "rows 0 to 8 of 7"),
            (&[100, 5, 200, 3], "rows 5 to 3"),
            (&[100, 0, 104, 5], "inside the one before"),
            (&[u64::MAX, 0], "begins at sample 18446744073709551615"),
        ] {
            let error = blocks(index, 7).unwrap_err();
            assert!(error.contains(problem), "{index:?}: {error}");
        }
    }
}
