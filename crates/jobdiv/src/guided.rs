use std::iter::FusedIterator;
use std::ops::Range;

use crate::JobError;
use crate::job::at_least_one;

/// Chunks for workers that help themselves: large ones first, then ever smaller ones.
///
/// Each chunk is `max(min_chunk, ceil(left / (2 * n_workers)))` tasks of the `left` that nobody
/// has taken yet, and the last one what remains. The chunks follow one another, cover the run
/// exactly, are never empty and never grow. A worker that becomes free takes the next; the small
/// ones at the end even out what the large ones did not. Source: guided self-scheduling
/// (Polychronopoulos and Kuck, 1987), with half its chunk so that the first round hands out half
/// of the run and not all of it.
///
/// ```
/// use jobdiv::Guided;
///
/// let sizes: Vec<usize> = Guided::new(20, 2, 2)?.map(|chunk| chunk.len()).collect();
/// assert_eq!(sizes, [5, 4, 3, 2, 2, 2, 2]);
/// # Ok::<(), jobdiv::JobError>(())
/// ```
///
/// There are about `2 * n_workers * ln(n_tasks / (2 * n_workers * min_chunk))` chunks and
/// `2 * n_workers` small ones. [`Iterator::size_hint`] bounds their number without counting.
#[derive(Clone, Debug)]
pub struct Guided {
    left: Range<usize>,
    /// `2 * n_workers`, or `usize::MAX`, which gives the same chunk: 1.
    shares: usize,
    min_chunk: usize,
}

impl Guided {
    /// Cuts the tasks `0..n_tasks` into chunks for `n_workers` workers.
    ///
    /// No chunk but the last has fewer than `min_chunk` tasks; a `min_chunk` of zero means one.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_workers` is zero.
    pub fn new(n_tasks: usize, n_workers: usize, min_chunk: usize) -> Result<Self, JobError> {
        Self::of(0..n_tasks, n_workers, min_chunk)
    }

    /// Cuts any range of tasks, for example the block of a job, as [`Guided::new`] does.
    ///
    /// # Errors
    ///
    /// [`JobError::NoJobs`] when `n_workers` is zero.
    pub fn of(tasks: Range<usize>, n_workers: usize, min_chunk: usize) -> Result<Self, JobError> {
        at_least_one(n_workers)?;
        Ok(Self { left: tasks, shares: n_workers.saturating_mul(2), min_chunk: min_chunk.max(1) })
    }

    fn chunk_len(&self) -> usize {
        self.left.len().div_ceil(self.shares).max(self.min_chunk).min(self.left.len())
    }
}

impl Iterator for Guided {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.left.is_empty() {
            return None;
        }
        let chunk = self.left.start..self.left.start + self.chunk_len();
        self.left.start = chunk.end;
        Some(chunk)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Chunks never grow, so the next one is the largest, and the smallest is `min_chunk`.
        let n_left = self.left.len();
        let at_least = if n_left == 0 { 0 } else { n_left.div_ceil(self.chunk_len()) };
        (at_least, Some(n_left.div_ceil(self.min_chunk)))
    }
}

impl FusedIterator for Guided {}
