//! Reductions: each member folds its share of what all give.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Call, CallKind, Collectives, Fold, MAY_PANIC, Meeting, PANICKED, PeersError};
use super::{first, n_blocks};

/// Up to this length everybody folds the whole of an all-reduce for itself.
const SMALL: usize = 4 << 10;

/// Bytes of the alignment that folds are quickest with.
#[derive(Debug, Default)]
pub struct Scratch(Vec<u128>);

impl Scratch {
    /// The first `len` of them, of which nobody knows what they hold.
    pub fn bytes(&mut self, len: usize) -> &mut [u8] {
        let n_words = len.div_ceil(size_of::<u128>());
        if self.0.len() < n_words {
            self.0.resize(n_words, 0);
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}

/// An operation that goes on after a panic by doing nothing, since the others wait.
struct Careful<'a> {
    fold: &'a Fold<'a>,
    may_panic: bool,
    panicked: Option<Box<dyn Any + Send>>,
}

impl Careful<'_> {
    fn apply(&mut self, acc: &mut [u8], next: &[u8]) {
        if !self.may_panic {
            return self.fold.apply(acc, next);
        }
        if self.panicked.is_none() {
            let folded = catch_unwind(AssertUnwindSafe(|| self.fold.apply(acc, next)));
            self.panicked = folded.err();
        }
    }
}

impl<M: Meeting> Collectives<M> {
    /// Folds everybody's bytes, at the root or, without one, everywhere.
    pub(super) fn fold(
        &mut self,
        root: Option<usize>,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        let kind = if root.is_some() { CallKind::Reduce } else { CallKind::AllReduce };
        let (n_bytes, element) = (bytes.len(), fold.element());
        let call = Call { kind, root: root.unwrap_or(0), n_bytes, element, ..Call::barrier() };
        // An operation that has a name elsewhere is none of the user's, and cannot panic.
        let flags = if fold.native().is_none() { MAY_PANIC } else { 0 };
        let window = M::BLOCK / element * element;
        if n_bytes <= M::SHORT {
            self.meet(&call, flags, bytes)?;
        } else {
            // Of an element that is longer than a block, its first block.
            let early = first(bytes, if window == 0 { M::BLOCK.min(element) } else { window });
            self.meeting.early(0, early)?;
            self.meet(&call, flags, &[])?;
        }
        let mut ranks = 0..self.meeting.size();
        let may_panic = ranks.any(|rank| self.meeting.said(rank)[0] & MAY_PANIC != 0);
        let mut careful = Careful { fold, may_panic, panicked: None };
        let is_mine = root.is_none_or(|root| root == self.meeting.rank());
        if n_bytes <= M::SHORT {
            if is_mine {
                self.combine(bytes, &mut careful, |m, rank, to| {
                    m.short(rank, 0, to);
                    Ok(())
                })?;
            }
        } else {
            if window == 0 {
                self.fold_huge(is_mine, bytes, element, &mut careful)?;
            } else if root.is_some() || n_bytes <= SMALL.min(window) {
                self.fold_here(is_mine, bytes, window, &mut careful)?;
            } else {
                self.fold_shares(bytes, window, &mut careful)?;
            }
            self.meeting.finish();
        }
        if !may_panic {
            return Ok(());
        }
        let flags = if careful.panicked.is_some() { PANICKED } else { 0 };
        let met = self.meet(&Call::barrier(), flags, &[]);
        if let Some(payload) = careful.panicked {
            resume_unwind(payload);
        }
        met?;
        let mut ranks = 0..self.meeting.size();
        match ranks.find(|rank| self.meeting.said(*rank)[0] & PANICKED != 0) {
            Some(rank) => Err(PeersError::Panicked { rank, kind }),
            None => Ok(()),
        }
    }

    /// Folds what all have into the own bytes, in the order of the ranks; `theirs` gives those of
    /// another member.
    fn combine(
        &mut self,
        own: &mut [u8],
        fold: &mut Careful<'_>,
        mut theirs: impl FnMut(&mut M, usize, &mut [u8]) -> Result<(), PeersError>,
    ) -> Result<(), PeersError> {
        let (rank, n) = (self.meeting.rank(), own.len());
        let Self { meeting, scratch: [acc, next] } = self;
        if rank == 0 {
            for other in 1..meeting.size() {
                let next = next.bytes(n);
                theirs(meeting, other, next)?;
                fold.apply(own, next);
            }
            return Ok(());
        }
        let acc = acc.bytes(n);
        theirs(meeting, 0, acc)?;
        for other in 1..meeting.size() {
            if other == rank {
                fold.apply(acc, own);
            } else {
                let next = next.bytes(n);
                theirs(meeting, other, next)?;
                fold.apply(acc, next);
            }
        }
        own.copy_from_slice(acc);
        Ok(())
    }

    /// Folds all windows where the result is wanted.
    fn fold_here(
        &mut self,
        is_mine: bool,
        bytes: &mut [u8],
        window: usize,
        fold: &mut Careful<'_>,
    ) -> Result<(), PeersError> {
        let n_steps = bytes.len().div_ceil(window) as u64;
        self.meeting.steps(n_steps);
        if !is_mine {
            self.meeting.taken(n_steps);
        }
        for (own, step) in bytes.chunks_mut(window).zip(0..) {
            if step > 0 && !is_mine {
                self.meeting.put(step, 0, own)?;
                self.meeting.is_put(step);
            }
            if is_mine {
                self.combine(own, fold, |m, rank, to| m.take(rank, step, 0, to))?;
                self.meeting.taken(step + 1);
            }
        }
        Ok(())
    }

    /// Folds the own share of every window, and takes those of the others. A window takes two steps:
    /// in one it is shown, in a later one what its shares came to.
    fn fold_shares(
        &mut self,
        bytes: &mut [u8],
        window: usize,
        fold: &mut Careful<'_>,
    ) -> Result<(), PeersError> {
        let (rank, size) = (self.meeting.rank(), self.meeting.size());
        let element = fold.fold.element();
        let n_windows = bytes.len().div_ceil(window);
        let n_bytes = bytes.len();
        let at = |nth: usize| nth * window..n_bytes.min((nth + 1) * window);
        // The share of a rank in a window of so many bytes, within that.
        let share = |len: usize, rank: usize| -> Range<usize> {
            let n = len / element;
            let cut = |rank: usize| (n / size * rank + (n % size).min(rank)) * element;
            cut(rank)..cut(rank + 1)
        };
        // Each window is shown before the one before it is given back: 0, 1, (0), 2, (1), 3, ..
        let shown = |nth: usize| if nth == 0 { 0 } else { 2 * nth as u64 - 1 };
        let given = |nth: usize| 2 * nth as u64 + if nth + 1 == n_windows { 1 } else { 2 };
        self.meeting.steps(2 * n_windows as u64);
        for nth in 0..=n_windows {
            if nth + 1 < n_windows {
                let (next, step) = (&bytes[at(nth + 1)], shown(nth + 1));
                let own = share(next.len(), rank);
                self.meeting.put(step, 0, &next[..own.start])?;
                self.meeting.put(step, own.end, &next[own.end..])?;
                self.meeting.is_put(step);
            }
            if nth < n_windows {
                let whole = &mut bytes[at(nth)];
                let own = share(whole.len(), rank);
                let (begin, step) = (own.start, shown(nth));
                let own = &mut whole[own];
                self.combine(own, fold, |m, rank, to| m.take(rank, step, begin, to))?;
                self.meeting.put(given(nth), 0, own)?;
                self.meeting.is_put(given(nth));
            }
            if let Some(nth) = nth.checked_sub(1) {
                let whole = &mut bytes[at(nth)];
                for other in (0..size).filter(|other| *other != rank) {
                    let share = share(whole.len(), other);
                    self.meeting.take(other, given(nth), 0, &mut whole[share])?;
                }
                self.meeting.taken(given(nth) + 1);
            }
        }
        Ok(())
    }

    /// Folds elements of which not even one fits into a block, one after the other.
    fn fold_huge(
        &mut self,
        is_mine: bool,
        bytes: &mut [u8],
        element: usize,
        fold: &mut Careful<'_>,
    ) -> Result<(), PeersError> {
        let (rank, size) = (self.meeting.rank(), self.meeting.size());
        let per_element = n_blocks::<M>(element);
        self.meeting.steps(per_element * (bytes.len() / element) as u64);
        let mut all: Vec<Scratch> = (0..size).map(|_| Scratch::default()).collect();
        let mut step = 0;
        for own in bytes.chunks_exact_mut(element) {
            let mut begin = 0;
            while begin < element {
                let range = begin..element.min(begin + M::BLOCK);
                if step > 0 {
                    self.meeting.put(step, 0, &own[range.clone()])?;
                    self.meeting.is_put(step);
                }
                for (other, theirs) in all.iter_mut().enumerate() {
                    let to = &mut theirs.bytes(element)[range.clone()];
                    if other == rank {
                        to.copy_from_slice(&own[range.clone()]);
                    } else {
                        self.meeting.take(other, step, 0, to)?;
                    }
                }
                begin = range.end;
                step += 1;
                self.meeting.taken(step);
            }
            if is_mine {
                let (acc, others) = all.split_first_mut().expect("a group has a member");
                let acc = acc.bytes(element);
                others.iter_mut().for_each(|next| fold.apply(acc, next.bytes(element)));
                own.copy_from_slice(acc);
            }
        }
        Ok(())
    }
}
