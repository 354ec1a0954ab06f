//! What members of a group lend each other for the time of a collective.
#![expect(unsafe_code, reason = "threads read from each other's buffers, which no borrow can say")]

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::slice;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

use pm_api::PeersError;
use pm_api::backend::{Call, CallKind, Fold, check_calls};

use crate::gate::Gate;

/// Up to this length every rank folds the whole of an all-reduce for itself.
const SHORT: usize = 8 << 10;
/// So many bytes are folded at a time, so that they stay in the cache of their CPU.
const BLOCK: usize = 32 << 10;

/// What one member says and lends at a collective. The buffers are borrowed as long as this lives.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    call: Call<'a>,
    part: *mut u8,
    whole: *mut u8,
    /// The buffers that are written are borrowed as such, and the others at least as shared.
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a> Lent<'a> {
    /// Says something and lends nothing.
    pub(crate) fn nothing(call: Call<'a>) -> Self {
        let nothing = ptr::NonNull::dangling().as_ptr();
        Self { call, part: nothing, whole: nothing, borrowed: PhantomData }
    }

    /// Lends a part that is read, written or both, as the collective has it.
    pub(crate) fn in_place(call: Call<'a>, part: &'a mut [u8]) -> Self {
        let call = Call { n_bytes: part.len(), ..call };
        Self { part: part.as_mut_ptr(), ..Self::nothing(call) }
    }

    /// Lends a part that is read.
    pub(crate) fn giving(call: Call<'a>, part: &'a [u8]) -> Self {
        let call = Call { n_bytes: part.len(), ..call };
        Self { part: part.as_ptr().cast_mut(), ..Self::nothing(call) }
    }

    /// Lends a part that is read and a whole that only its owner writes.
    pub(crate) fn collecting(
        call: Call<'a>,
        part: &'a [u8],
        whole: &'a mut [u8],
        counts: &'a [usize],
    ) -> Self {
        let call = Call { n_whole: whole.len(), counts, ..call };
        Self { whole: whole.as_mut_ptr(), ..Self::giving(call, part) }
    }

    /// Lends a whole that is read and a part that only its owner writes.
    pub(crate) fn dealing(
        call: Call<'a>,
        whole: &'a [u8],
        counts: &'a [usize],
        part: &'a mut [u8],
    ) -> Self {
        let call = Call { n_whole: whole.len(), counts, ..call };
        Self { whole: whole.as_ptr().cast_mut(), ..Self::in_place(call, part) }
    }
}

/// How a meeting went.
#[derive(Debug)]
pub(crate) enum Met {
    /// All did their part.
    Done,
    /// Somebody did not come; nothing was touched.
    Broken,
    /// All came, and it came to nothing, for all in the same way.
    Failed(PeersError),
}

/// The posts of all members.
#[derive(Debug)]
pub(crate) struct Window {
    slots: Box<[Slot]>,
}

/// What one member posted at its last two collectives; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot([Post; 2]);

/// Atomics, so that a post can be written and read without a lock; the gate orders the two.
#[derive(Debug, Default)]
struct Post {
    kind: AtomicUsize,
    root: AtomicUsize,
    n_bytes: AtomicUsize,
    element: AtomicUsize,
    n_whole: AtomicUsize,
    n_counts: AtomicUsize,
    counts: AtomicPtr<usize>,
    part: AtomicPtr<u8>,
    whole: AtomicPtr<u8>,
    panicked: AtomicBool,
}

impl Window {
    pub(crate) fn new(size: usize) -> Self {
        Self { slots: (0..size).map(|_| Slot::default()).collect() }
    }

    /// Meets the others at `gate` with what member `rank` lends, does its part of the collective
    /// that all called, and returns when nobody needs what was lent any more.
    ///
    /// `turn` alternates between 0 and 1 from one collective of a member to its next: one that
    /// passed the gate may be at its next collective already while others still look at what was
    /// posted for this one, but not at the one after that, for which all have to come again. So a
    /// member that was in a meeting which was [broken](Met::Broken) off comes to none after it.
    ///
    /// Panics of the fold are passed on when all are done; the others get an error.
    pub(crate) fn meet(
        &self,
        gate: &Gate,
        rank: usize,
        turn: usize,
        lent: &Lent<'_>,
        fold: Option<&Fold<'_>>,
    ) -> Met {
        let n = self.slots.len();
        self.post(rank, turn, lent);
        match gate.meet(lent.call.kind == CallKind::Barrier) {
            // All of this time were turned away, so nobody looks at the post.
            None => return Met::Broken,
            // It was a barrier for all, and the gate is enough of one.
            Some(true) => return Met::Done,
            Some(false) => {}
        }
        // From here on all members are inside until the last gate, whatever they come across,
        // because others read what they lent.
        let inside = Inside { window: self, gate, rank, turn, lent };
        let done = match check_calls(n, |rank| inside.call_of(rank)) {
            Ok(()) => catch_unwind(AssertUnwindSafe(|| inside.take_part(fold))),
            Err(error) => {
                gate.pass(true);
                return Met::Failed(error);
            }
        };
        if done.is_err() {
            self.post_of(rank, turn).panicked.store(true, Relaxed);
        }
        gate.pass(true);
        match done {
            Err(payload) => resume_unwind(payload),
            Ok(result) => {
                let panicked = |rank: &usize| self.post_of(*rank, turn).panicked.load(Relaxed);
                if let Some(rank) = (0..n).find(panicked) {
                    return Met::Failed(PeersError::Panicked { rank, kind: lent.call.kind });
                }
                if let Some(result) = result {
                    // SAFETY: the part is this member's, borrowed mutably by `lent` and, since
                    // `check_calls`, as long as the result; after the last gate nobody else has it.
                    unsafe { ptr::copy_nonoverlapping(result.as_ptr(), lent.part, result.len()) };
                }
                Met::Done
            }
        }
    }

    fn post_of(&self, rank: usize, turn: usize) -> &Post {
        &self.slots[rank].0[turn]
    }

    fn post(&self, rank: usize, turn: usize, lent: &Lent<'_>) {
        let Lent { call, part, whole, .. } = lent;
        let post = self.post_of(rank, turn);
        post.kind.store(call.kind as usize, Relaxed);
        post.root.store(call.root, Relaxed);
        post.n_bytes.store(call.n_bytes, Relaxed);
        post.element.store(call.element, Relaxed);
        post.n_whole.store(call.n_whole, Relaxed);
        post.n_counts.store(call.counts.len(), Relaxed);
        post.counts.store(call.counts.as_ptr().cast_mut(), Relaxed);
        post.part.store(*part, Relaxed);
        post.whole.store(*whole, Relaxed);
        post.panicked.store(false, Relaxed);
    }
}

impl Post {
    fn kind(&self) -> CallKind {
        let kind = self.kind.load(Relaxed);
        let same = CallKind::ALL.into_iter().find(|known| *known as usize == kind);
        same.expect("posts are written from kinds")
    }
}

/// The time between the gates of one collective, seen by one member: everybody is inside, and what
/// everybody lent stays where it is.
///
/// What is done in this time is laid down here for every collective, so that no byte is written by
/// one member while another one reads or writes it:
///
/// | collective | who reads what                       | who writes what                           |
/// | ---------- | ------------------------------------ | ----------------------------------------- |
/// | broadcast  | others the root's part               | others their own part                     |
/// | gather     | the root all parts                   | the root its own whole                    |
/// | scatter    | all the root's whole                 | all their own part                        |
/// | all-gather | all all parts                        | all their own whole                       |
/// | reduce     | the root all parts, block by block   | the root its own part, blocks it has read |
/// | all-reduce | below                                | below                                     |
///
/// A short all-reduce: all read all parts, and write their own after the last gate. A long one: in
/// the first half, member `r` reads share `r` of all parts and writes share `r` of its own, which
/// nobody else looks at; then a gate; in the second half it reads share `s` of the part of every
/// other member `s`, and writes share `s` of its own, which nobody else looks at, as others look at
/// share `r` of its part.
struct Inside<'a> {
    window: &'a Window,
    gate: &'a Gate,
    rank: usize,
    turn: usize,
    lent: &'a Lent<'a>,
}

impl Inside<'_> {
    fn call_of(&self, rank: usize) -> Call<'_> {
        let post = self.window.post_of(rank, self.turn);
        let (counts, n_counts) = (post.counts.load(Relaxed), post.n_counts.load(Relaxed));
        // SAFETY: the member lent these until the last gate, which it cannot pass before this one
        // comes there; it posted the pointer and the length of a slice, and nobody writes to it.
        let counts = unsafe { slice::from_raw_parts(counts, n_counts) };
        Call {
            kind: post.kind(),
            root: post.root.load(Relaxed),
            n_bytes: post.n_bytes.load(Relaxed),
            element: post.element.load(Relaxed),
            n_whole: post.n_whole.load(Relaxed),
            counts,
        }
    }

    /// Does what the table above says; what is to become of the own part after the last gate, if
    /// anything. Called once all calls were found to fit together.
    fn take_part(&self, fold: Option<&Fold<'_>>) -> Option<Vec<u8>> {
        let Call { kind, root, n_bytes, .. } = self.lent.call;
        let fold = || fold.expect("reductions come with a fold");
        match kind {
            CallKind::Broadcast if self.rank != root => self.copy_range(root, 0..n_bytes),
            CallKind::Gather if self.rank == root => self.collect(),
            CallKind::AllGather => self.collect(),
            CallKind::Scatter => self.take_piece(root),
            CallKind::Reduce if self.rank == root => {
                self.fold(0..n_bytes, fold(), |at, folded| self.write(at, folded));
            }
            CallKind::AllReduce if n_bytes <= SHORT => {
                let mut result = Vec::with_capacity(n_bytes);
                self.fold(0..n_bytes, fold(), |_, folded| result.extend_from_slice(folded));
                return Some(result);
            }
            CallKind::AllReduce => self.all_reduce(fold()),
            _ => {}
        }
        None
    }

    /// The bytes `range` of the part of a member.
    fn part_of(&self, rank: usize, range: Range<usize>) -> &[u8] {
        let post = self.window.post_of(rank, self.turn);
        assert!(range.start <= range.end && range.end <= post.n_bytes.load(Relaxed));
        // SAFETY: the member lent its part until the last gate, as in `call_of`; the range is
        // within it; and by the table above nobody writes these bytes at this time.
        unsafe {
            let start = post.part.load(Relaxed).add(range.start);
            slice::from_raw_parts(start, range.len())
        }
    }

    /// Writes to the own part.
    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.lent.call.n_bytes);
        // SAFETY: the range is within the part, which is this member's and borrowed mutably in
        // all collectives that write it; by the table above nobody else looks at these bytes at
        // this time, and `bytes` are others' or in scratch memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.lent.part.add(at), bytes.len()) };
    }

    /// Copies a range of another member's part to the same place in the own one.
    fn copy_range(&self, from: usize, range: Range<usize>) {
        self.write(range.start, self.part_of(from, range));
    }

    /// Puts all parts one after the other into the own whole.
    fn collect(&self) {
        let Call { n_whole, counts, .. } = self.lent.call;
        let mut at = 0;
        for (rank, n) in counts.iter().enumerate() {
            let part = self.part_of(rank, 0..*n);
            assert!(at + n <= n_whole);
            // SAFETY: the range is within the whole, which is this member's, borrowed mutably, and
            // by the table above looked at by nobody else; parts are other buffers.
            unsafe { ptr::copy_nonoverlapping(part.as_ptr(), self.lent.whole.add(at), *n) };
            at += n;
        }
    }

    /// Copies the own piece of the root's whole into the own part.
    fn take_piece(&self, root: usize) {
        let Call { counts, n_whole, .. } = self.call_of(root);
        let start: usize = counts[..self.rank].iter().sum();
        let n = counts[self.rank];
        assert!(start + n <= n_whole);
        let post = self.window.post_of(root, self.turn);
        // SAFETY: the root lent its whole until the last gate, as in `call_of`; the range is within
        // it; and by the table above nobody writes to it.
        let piece = unsafe { slice::from_raw_parts(post.whole.load(Relaxed).add(start), n) };
        self.write(0, piece);
    }

    /// Folds a range of all parts in the order of the ranks, and hands it over block by block.
    fn fold(&self, range: Range<usize>, fold: &Fold<'_>, mut take: impl FnMut(usize, &[u8])) {
        let n_ranks = self.window.slots.len();
        let block = (BLOCK / fold.element()).max(1) * fold.element();
        // Of greater alignment than bytes have, because aligned folds are quicker.
        let mut scratch = vec![0_u128; block.min(range.len()).div_ceil(size_of::<u128>())];
        let scratch: &mut [u8] = bytemuck::cast_slice_mut(&mut scratch);
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + block);
            let folded = &mut scratch[..end - start];
            folded.copy_from_slice(self.part_of(0, start..end));
            for rank in 1..n_ranks {
                fold.apply(folded, self.part_of(rank, start..end));
            }
            take(start, folded);
            start = end;
        }
    }

    fn all_reduce(&self, fold: &Fold<'_>) {
        let n_ranks = self.window.slots.len();
        let n = self.lent.call.n_bytes / fold.element();
        let cut = |rank: usize| (n / n_ranks * rank + (n % n_ranks).min(rank)) * fold.element();
        let share = |rank: usize| cut(rank)..cut(rank + 1);
        let folded = catch_unwind(AssertUnwindSafe(|| {
            self.fold(share(self.rank), fold, |at, folded| self.write(at, folded));
        }));
        // All come here, also after a panic of the operation.
        self.gate.pass(true);
        if let Err(payload) = folded {
            resume_unwind(payload);
        }
        for rank in (0..n_ranks).filter(|rank| *rank != self.rank) {
            self.copy_range(rank, share(rank));
        }
    }
}
