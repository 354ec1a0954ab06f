//! Datasets in chunks: the filters, and the way from chunks to rows.
//!
//! Which chunks there are is left to the HDF5 crate; their bytes are read here, because memory has
//! to follow what is really there. A damaged file may claim any size for a chunk, and deflate makes
//! a thousand bytes of one: so a chunk is inflated into a buffer that grows with what comes out.

use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};

use super::{Cause, backend::RandomAccess};

/// What is stored of a chunked dataset.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    /// In the order of their places.
    pub(super) stored: Vec<StoredChunk>,
    /// In the order in which they were applied.
    pub(super) filters: Vec<Filter>,
}

/// One chunk in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredChunk {
    /// Its first element.
    pub(super) offset: Vec<usize>,
    pub(super) address: u64,
    pub(super) len: u64,
    /// Bit `k` says that filter `k` was not applied.
    pub(super) skipped_filters: u32,
}

/// A filter of HDF5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Deflate,
    /// Bytes of elements of this size, transposed.
    Shuffle(usize),
    Fletcher32,
    /// One that is not undone here.
    Other(u16),
}

/// How a dataset is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid<'a> {
    pub(super) shape: &'a [usize],
    pub(super) chunk: &'a [usize],
    /// Bytes per element.
    pub(super) size: usize,
}

impl Grid<'_> {
    fn chunk_bytes(&self) -> Result<usize, Cause> {
        self.chunk
            .iter()
            .try_fold(self.size, |bytes, &n| bytes.checked_mul(n))
            .filter(|&bytes| {
                bytes > 0 && self.chunk.len() == self.shape.len() && !self.chunk.is_empty()
            })
            .ok_or_else(|| format!("its chunks have the impossible shape {:?}", self.chunk).into())
    }

    /// Whether one chunk holds all rows, in the same order.
    fn is_one_chunk(&self) -> bool {
        self.chunk.first() >= self.shape.first() && self.chunk.get(1..) == self.shape.get(1..)
    }

    /// Calls `copy(from, to, n)` for each run of bytes that the chunk at `offset` has in common
    /// with `rows`: from where in the chunk to where in the rows.
    fn runs(
        &self,
        offset: &[usize],
        rows: &Range<usize>,
        mut copy: impl FnMut(usize, usize, usize),
    ) {
        let rank = self.shape.len();
        // Dimensions behind this one are whole in each chunk, so that runs go across them.
        let inner = (0..rank).rev().find(|&d| self.chunk[d] != self.shape[d]).unwrap_or(0);
        let first = offset[0].max(rows.start);
        let clip = |d: usize| match d {
            0 => offset[0].saturating_add(self.chunk[0]).min(rows.end).saturating_sub(first),
            _ => self.chunk[d].min(self.shape[d].saturating_sub(offset[d])),
        };
        let counts: Vec<usize> = (0..rank).map(clip).collect();
        if counts.contains(&0) {
            return;
        }
        let unit = self.size * self.shape[inner + 1..].iter().product::<usize>();
        let mut at = vec![0; inner];
        loop {
            let (mut from, mut to) = (0, 0);
            for d in 0..=inner {
                let step = at.get(d).copied().unwrap_or(0);
                let (in_chunk, in_rows) = match d {
                    0 => (first - offset[0] + step, first - rows.start + step),
                    _ => (step, offset[d] + step),
                };
                from = from * self.chunk[d] + in_chunk;
                to = to * self.shape[d] + in_rows;
            }
            copy(from * unit, to * unit, counts[inner] * unit);
            let Some(d) = (0..inner).rev().find(|&d| at[d] + 1 < counts[d]) else { return };
            at[d] += 1;
            at[d + 1..].fill(0);
        }
    }
}

impl Chunks {
    /// The first filter that is not undone here.
    pub(super) fn foreign_filter(&self) -> Option<u16> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::Other(id) => Some(*id),
            _ => None,
        })
    }

    /// How many bytes the chunks really come to, found by inflating them without keeping anything.
    pub(super) fn held_bytes(&self, access: &RandomAccess, grid: Grid<'_>) -> Result<u64, Cause> {
        let chunk_bytes = grid.chunk_bytes()?;
        let mut held = 0_u64;
        for chunk in &self.stored {
            // What takes no more than its own length needs no proof.
            let bytes = if chunk.len >= chunk_bytes as u64 {
                chunk_bytes
            } else {
                let undone = self.undo(access, chunk, chunk_bytes, |stored, expected| {
                    count_inflated(&stored, expected).map(|()| None)
                })?;
                undone.map_or(chunk_bytes, |bytes| bytes.len())
            };
            held = held.saturating_add(bytes as u64);
        }
        Ok(held)
    }

    /// Where the chunks lie, in the order of their rows, when they hold whole rows as they are and
    /// none is missing; `None` otherwise.
    pub(super) fn pieces(&self, grid: Grid<'_>, file_len: u64) -> Result<Option<Vec<u64>>, Cause> {
        let chunk_bytes = grid.chunk_bytes()?;
        let (rows, rows_per_chunk) = (grid.shape[0], grid.chunk[0]);
        let as_it_is = |(k, chunk): (usize, &StoredChunk)| {
            chunk.offset.first() == k.checked_mul(rows_per_chunk).as_ref()
                && chunk.offset[1..].iter().all(|&at| at == 0)
                && (0..self.filters.len()).all(|k| k < 32 && chunk.skipped_filters >> k & 1 == 1)
                && chunk.len == chunk_bytes as u64
                && chunk.address.checked_add(chunk.len).is_some_and(|end| end <= file_len)
        };
        let whole = self.stored.len() == rows.div_ceil(rows_per_chunk)
            && grid.chunk[1..] == grid.shape[1..]
            && self.stored.iter().enumerate().all(as_it_is);
        Ok(whole.then(|| self.stored.iter().map(|chunk| chunk.address).collect()))
    }

    /// All bytes, when they are one chunk; `None` when they are not.
    pub(super) fn read_as_one(
        &self,
        access: &RandomAccess,
        grid: Grid<'_>,
        len: usize,
    ) -> Result<Option<Vec<u8>>, Cause> {
        let [chunk] = &self.stored[..] else { return Ok(None) };
        if !grid.is_one_chunk() || chunk.offset.iter().any(|&at| at != 0) {
            return Ok(None);
        }
        let mut bytes = self.decode(access, chunk, grid.chunk_bytes()?)?;
        bytes.truncate(len);
        Ok(Some(bytes))
    }

    /// Reads rows into `out`, which is as large as they are.
    ///
    /// `fill` is asked, with the row and the place in that row of an element that was never
    /// written, for the bytes that stand for it; it is asked after all chunks have been read.
    pub(super) fn read_rows(
        &self,
        access: &RandomAccess,
        grid: Grid<'_>,
        rows: Range<usize>,
        out: &mut [u8],
        fill: impl FnOnce(usize, usize) -> Result<Vec<u8>, Cause>,
    ) -> Result<(), Cause> {
        if out.is_empty() {
            return Ok(());
        }
        let chunk_bytes = grid.chunk_bytes()?;
        for chunk in self.in_rows(&grid, &rows) {
            let misplaced = |(at, &n): (&usize, &usize)| !at.is_multiple_of(n);
            if chunk.offset.iter().zip(grid.chunk).any(misplaced) {
                return Err(format!("a chunk lies at {:?}, off the grid", chunk.offset).into());
            }
            let bytes = self.decode(access, chunk, chunk_bytes)?;
            grid.runs(&chunk.offset, &rows, |from, to, n| {
                out[to..to + n].copy_from_slice(&bytes[from..from + n]);
            });
        }
        // What is left is what was never written.
        let mut present = self.in_rows(&grid, &rows).map(|chunk| &chunk.offset[..]).peekable();
        let mut missing = Vec::new();
        let mut fill = Some(fill);
        let mut place = vec![0; grid.shape.len()];
        place[0] = rows.start / grid.chunk[0] * grid.chunk[0];
        loop {
            if present.next_if(|&offset| offset == place).is_none() {
                if let Some(fill) = fill.take() {
                    let row = place[0].max(rows.start);
                    let in_row = (1..place.len()).fold(0, |at, d| at * grid.shape[d] + place[d]);
                    missing = fill(row, in_row * grid.size)?;
                }
                grid.runs(&place, &rows, |_, to, n| {
                    out[to..to + n]
                        .chunks_exact_mut(grid.size)
                        .for_each(|element| element.copy_from_slice(&missing));
                });
            }
            let end = |d: usize| if d == 0 { rows.end } else { grid.shape[d] };
            let next = (0..place.len()).rev().find(|&d| end(d) - place[d] > grid.chunk[d]);
            let Some(d) = next else { return Ok(()) };
            place[d] += grid.chunk[d];
            place[d + 1..].fill(0);
        }
    }

    /// The chunks that have elements in some rows.
    fn in_rows<'a>(
        &'a self,
        grid: &'a Grid<'_>,
        rows: &'a Range<usize>,
    ) -> impl Iterator<Item = &'a StoredChunk> {
        self.stored.iter().filter(move |chunk| {
            chunk.offset.iter().zip(grid.shape).all(|(at, n)| at < n)
                && chunk.offset[0] < rows.end
                && chunk.offset[0].saturating_add(grid.chunk[0]) > rows.start
        })
    }

    fn decode(
        &self,
        access: &RandomAccess,
        chunk: &StoredChunk,
        chunk_bytes: usize,
    ) -> Result<Vec<u8>, Cause> {
        let bytes = self.undo(access, chunk, chunk_bytes, |stored, expected| {
            inflate(&stored, expected).map(Some)
        })?;
        match bytes {
            Some(bytes) if bytes.len() == chunk_bytes => Ok(bytes),
            other => {
                let n = other.map_or(0, |bytes| bytes.len());
                Err(format!("a chunk holds {n} bytes instead of {chunk_bytes}").into())
            }
        }
    }

    /// Reads a chunk and undoes its filters, the last one first. `inflate` gets deflated bytes and
    /// how many they should be, and stops it all by giving none.
    fn undo(
        &self,
        access: &RandomAccess,
        chunk: &StoredChunk,
        chunk_bytes: usize,
        mut inflate: impl FnMut(Vec<u8>, usize) -> Result<Option<Vec<u8>>, Cause>,
    ) -> Result<Option<Vec<u8>>, Cause> {
        let end = chunk.address.checked_add(chunk.len).filter(|&end| end <= access.len());
        let (Some(_), Ok(len)) = (end, usize::try_from(chunk.len)) else {
            let (address, len) = (chunk.address, chunk.len);
            return Err(format!("a chunk of {len} bytes at {address} is beyond the end").into());
        };
        let mut bytes = vec![0; len];
        access.read_exact_at(&mut bytes, chunk.address)?;
        let applied = |k: usize| k >= 32 || chunk.skipped_filters >> k & 1 == 0;
        for (k, filter) in self.filters.iter().enumerate().rev().filter(|&(k, _)| applied(k)) {
            match filter {
                Filter::Deflate => {
                    let sums = (0..k)
                        .filter(|&k| applied(k) && self.filters[k] == Filter::Fletcher32)
                        .count();
                    match inflate(bytes, chunk_bytes.saturating_add(4 * sums))? {
                        Some(inflated) => bytes = inflated,
                        None => return Ok(None),
                    }
                }
                Filter::Shuffle(size) => bytes = unshuffle(&bytes, *size),
                Filter::Fletcher32 => check_sum(&mut bytes)?,
                Filter::Other(id) => return Err(format!("filter {id} is not known").into()),
            }
        }
        Ok(Some(bytes))
    }
}

/// Inflates bytes that should come to `expected`. Takes at most three times what comes out, or the
/// length of what goes in.
fn inflate(stored: &[u8], expected: usize) -> Result<Vec<u8>, Cause> {
    let mut out = Vec::with_capacity(stored.len().min(expected));
    let mut stream = Decompress::new(true);
    loop {
        let room = expected - out.len();
        if out.len() == out.capacity() && room > 0 {
            out.reserve_exact(room.min(out.len().max(1 << 10)));
        }
        let (taken, had) = (stream.total_in(), out.len());
        let rest = usize::try_from(taken).ok().and_then(|at| stored.get(at..)).unwrap_or_default();
        let status = if room > 0 {
            stream.decompress_vec(rest, &mut out, FlushDecompress::None)?
        } else {
            // Only the end may be left.
            stream.decompress(rest, &mut [0], FlushDecompress::None)?
        };
        let produced = stream.total_out();
        if produced > expected as u64 || out.len() > expected {
            return Err(format!("a chunk inflates to more than {expected} bytes").into());
        }
        if let Status::StreamEnd = status {
            return Ok(out);
        }
        if stream.total_in() == taken && out.len() == had {
            return Err(format!("a chunk ends after {had} of {expected} bytes").into());
        }
    }
}

/// Inflates without keeping anything, to see whether it comes to exactly `expected` bytes.
fn count_inflated(stored: &[u8], expected: usize) -> Result<(), Cause> {
    let mut stream = Decompress::new(true);
    let mut scratch = [0; 1 << 13];
    loop {
        let (taken, had) = (stream.total_in(), stream.total_out());
        let rest = usize::try_from(taken).ok().and_then(|at| stored.get(at..)).unwrap_or_default();
        let status = stream.decompress(rest, &mut scratch, FlushDecompress::None)?;
        let produced = stream.total_out();
        let ended = matches!(status, Status::StreamEnd);
        let stuck = stream.total_in() == taken && produced == had;
        if produced > expected as u64 || ((ended || stuck) && produced < expected as u64) {
            return Err(format!("a chunk inflates to {produced} bytes, not {expected}").into());
        }
        if ended {
            return Ok(());
        }
        if stuck {
            return Err(format!("a chunk of {expected} bytes has no end").into());
        }
    }
}

/// Puts the bytes of elements together again: all first bytes come first, then all second ones.
fn unshuffle(bytes: &[u8], size: usize) -> Vec<u8> {
    let n = bytes.len().checked_div(size).unwrap_or(0);
    // A rest that makes no element is left as it is.
    let mut out = bytes.to_vec();
    for k in 0..n {
        for b in 0..size {
            out[k * size + b] = bytes[b * n + k];
        }
    }
    out
}

/// Checks Fletcher's checksum in the last four bytes and takes it off.
fn check_sum(bytes: &mut Vec<u8>) -> Result<(), Cause> {
    let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
        return Err("a chunk is too short for its checksum".into());
    };
    let (stored, computed) = (u32::from_le_bytes(*sum), fletcher32(content));
    if stored != computed {
        return Err(format!("a checksum is {stored:08x}, not {computed:08x}").into());
    }
    bytes.truncate(bytes.len() - 4);
    Ok(())
}

/// Fletcher's checksum of big-endian words of 16 bits, as HDF5 computes it.
fn fletcher32(bytes: &[u8]) -> u32 {
    let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
    let (mut a, mut b) = (0_u32, 0_u32);
    // So many words can be added up before 32 bits are full.
    for block in bytes.chunks(720) {
        let (words, rest) = block.as_chunks::<2>();
        let rest = rest.first().map(|&last| [last, 0]);
        for word in words.iter().copied().chain(rest) {
            a += u32::from(u16::from_be_bytes(word));
            b += a;
        }
        (a, b) = (fold(a), fold(b));
    }
    fold(b) << 16 | fold(a)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_a_whole_stream_of_the_expected_length_is_inflated() {
        let plain: Vec<u8> =
            (0..100_000_u32).flat_map(|k| k.wrapping_mul(k).to_le_bytes()).collect();
        for plain in [&plain[..], &[0; 300_000], &[7], &[]] {
            let (n, stored) = (plain.len(), deflate(plain));
            assert_eq!(inflate(&stored, n).unwrap(), plain);
            count_inflated(&stored, n).unwrap();
            for short in [0, 1, stored.len() / 2, stored.len() - 1] {
                inflate(&stored[..short], n).unwrap_err();
                count_inflated(&stored[..short], n).unwrap_err();
            }
            count_inflated(&stored, n + 1).unwrap_err();
            if n > 0 {
                inflate(&stored, n - 1).unwrap_err();
                count_inflated(&stored, n - 1).unwrap_err();
            }
            // The caller compares the length.
            assert_eq!(inflate(&stored, n + 1).unwrap().len(), n);
        }
    }

    #[test]
    fn unshuffling_undoes_shuffling() {
        let plain: Vec<u8> = (0..23).collect();
        // Elements of four bytes, and three bytes that make none.
        let shuffled: Vec<u8> =
            (0..20).map(|k| plain[k % 5 * 4 + k / 5]).chain([20, 21, 22]).collect();
        assert_eq!(unshuffle(&shuffled, 4), plain);
        assert_eq!(unshuffle(&plain, 1), plain);
        assert_eq!(unshuffle(&plain, 0), plain);
    }
}
