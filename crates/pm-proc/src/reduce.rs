//! Reductions: each rank folds its share from what the others show.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use pm_api::backend::{Call, CallKind, Fold};
use pm_api::{Peers as _, PeersError};

use crate::group::{ProcessPeers, State, WINDOW, piece};

/// Up to this length every rank folds the whole of an all-reduce for itself.
const SHORT: usize = 8 << 10;
/// So many bytes are folded at a time, so that they stay in the nearest cache.
const BLOCK: usize = 16 << 10;

/// Bytes of the alignment that folds are quickest with.
struct Scratch(Vec<u128>);

impl Scratch {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(size_of::<u128>())])
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl ProcessPeers {
    /// Folds everybody's bytes, at the root or, without one, everywhere.
    pub(crate) fn reduce(
        &self,
        root: Option<usize>,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        let kind = if root.is_some() { CallKind::Reduce } else { CallKind::AllReduce };
        let (n, element) = (bytes.len(), fold.element());
        let call = Call { kind, root: root.unwrap_or(0), n_bytes: n, element, ..Call::barrier() };
        // An operation that has a name elsewhere is none of the user's, and cannot panic.
        let may_panic = fold.native().is_none();
        let mut state = self.occupy()?;
        let state = &mut *state;
        if element > WINDOW {
            let (_, posted) = self.meet(state, &call, may_panic, &[])?;
            let may_panic = posted.iter().any(|posted| posted.may_panic());
            return self.reduce_huge(state, kind, root, bytes, fold, may_panic);
        }
        let window = WINDOW / element * element;
        let (mut turn, posted) = self.meet(state, &call, may_panic, piece(bytes, 0, window))?;
        let may_panic = posted.iter().any(|posted| posted.may_panic());
        let mut scratch = [Scratch::new(BLOCK.max(element)), Scratch::new(BLOCK.max(element))];
        let mut start = 0;
        loop {
            let end = n.min(start + window);
            let own = &mut bytes[start..end];
            match root {
                Some(root) => {
                    let folded = caught(may_panic, || {
                        if self.rank == root {
                            self.fold(turn, own, 0..end - start, fold, &mut scratch, |_, _| {});
                        }
                    });
                    self.agree(state, kind, may_panic, folded)?;
                }
                None if n <= SHORT => {
                    let all = 0..end - start;
                    let folded = caught(may_panic, || {
                        self.fold(turn, own, all, fold, &mut scratch, |_, _| {});
                    });
                    self.agree(state, kind, may_panic, folded)?;
                }
                None => self.exchange(state, turn, own, fold, &mut scratch, may_panic)?,
            }
            start = end;
            if start >= n {
                return Ok(());
            }
            self.show(state, 0, piece(bytes, start, window));
            turn = self.pass(state)?;
        }
    }

    /// Folds the own share of a window, shows it, and takes those of the others.
    fn exchange(
        &self,
        state: &mut State,
        turn: usize,
        own: &mut [u8],
        fold: &Fold<'_>,
        scratch: &mut [Scratch; 2],
        may_panic: bool,
    ) -> Result<(), PeersError> {
        let n_ranks = self.size();
        let n = own.len() / fold.element();
        let cut = |rank: usize| (n / n_ranks * rank + (n % n_ranks).min(rank)) * fold.element();
        let share = |rank: usize| cut(rank)..cut(rank + 1);
        let folded = caught(may_panic, || {
            let shown = |at, folded: &[u8]| self.show(state, at, folded);
            self.fold(turn, own, share(self.rank), fold, scratch, shown);
        });
        if may_panic {
            self.say_panicked(state, folded.is_err());
        }
        let met = self.pass(state);
        if let Err(payload) = folded {
            resume_unwind(payload);
        }
        let turn = met?;
        if may_panic && let Some(rank) = self.panicked(turn) {
            return Err(PeersError::Panicked { rank, kind: CallKind::AllReduce });
        }
        for rank in (0..n_ranks).filter(|rank| *rank != self.rank) {
            self.look(rank, turn, cut(rank), &mut own[share(rank)]);
        }
        Ok(())
    }

    /// Folds a range of a window in the order of the ranks into the own bytes, and hands over each
    /// block of it.
    fn fold(
        &self,
        turn: usize,
        own: &mut [u8],
        range: Range<usize>,
        fold: &Fold<'_>,
        scratch: &mut [Scratch; 2],
        mut take: impl FnMut(usize, &[u8]),
    ) {
        let block = (BLOCK / fold.element()).max(1) * fold.element();
        let [acc, next] = scratch;
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + block);
            let (acc, next) = (&mut acc.bytes()[..end - start], &mut next.bytes()[..end - start]);
            let own = &mut own[start..end];
            for rank in 0..self.size() {
                let to = if rank == 0 { &mut *acc } else { &mut *next };
                if rank == self.rank {
                    to.copy_from_slice(own);
                } else {
                    self.look(rank, turn, start, to);
                }
                if rank > 0 {
                    fold.apply(acc, next);
                }
            }
            own.copy_from_slice(acc);
            take(start, acc);
            start = end;
        }
    }

    /// Folds elements of which not even one fits into a window, one after the other.
    fn reduce_huge(
        &self,
        state: &mut State,
        kind: CallKind,
        root: Option<usize>,
        bytes: &mut [u8],
        fold: &Fold<'_>,
        may_panic: bool,
    ) -> Result<(), PeersError> {
        let element = fold.element();
        let mut all: Vec<Scratch> = (0..self.size()).map(|_| Scratch::new(element)).collect();
        for own in bytes.chunks_exact_mut(element) {
            for start in (0..element).step_by(WINDOW) {
                let end = element.min(start + WINDOW);
                self.show(state, 0, &own[start..end]);
                let turn = self.pass(state)?;
                for (rank, theirs) in all.iter_mut().enumerate() {
                    self.look(rank, turn, 0, &mut theirs.bytes()[start..end]);
                }
            }
            let folded = caught(may_panic, || {
                if root.is_none_or(|root| root == self.rank) {
                    let (acc, others) = all.split_first_mut().expect("a group has a member");
                    let acc = &mut acc.bytes()[..element];
                    others.iter_mut().for_each(|next| fold.apply(acc, &next.bytes()[..element]));
                    own.copy_from_slice(acc);
                }
            });
            self.agree(state, kind, may_panic, folded)?;
        }
        Ok(())
    }

    /// Passes a panic of the operation on, and tells the others of it; not needed where none can be.
    fn agree(
        &self,
        state: &mut State,
        kind: CallKind,
        may_panic: bool,
        folded: thread::Result<()>,
    ) -> Result<(), PeersError> {
        if !may_panic {
            return Ok(());
        }
        self.say_panicked(state, folded.is_err());
        let met = self.pass(state);
        if let Err(payload) = folded {
            resume_unwind(payload);
        }
        match self.panicked(met?) {
            Some(rank) => Err(PeersError::Panicked { rank, kind }),
            None => Ok(()),
        }
    }
}

/// Runs an operation; what it may panic with is kept, so that its member still meets the others.
fn caught(may_panic: bool, fold: impl FnOnce()) -> thread::Result<()> {
    if may_panic {
        return catch_unwind(AssertUnwindSafe(fold));
    }
    fold();
    Ok(())
}
