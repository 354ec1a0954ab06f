//! The record with two copies.
//!
//! The atomics are those of the module above, so that a model checker can put its own in their
//! place and include this file as it is (see `tests/latch_model.rs` of shm-times).

use super::atomic::{AtomicU64, Ordering, fence};

/// The numbers of one node.
///
/// | field   | of a stamp                          | of a timer                                        |
/// | ------- | ----------------------------------- | ------------------------------------------------- |
/// | `ticks` | sum of its intervals                | its finished spans, with everything in them       |
/// | `num`   | iterations                          | how often it was begun                            |
/// | `min`   | shortest iteration (`u64::MAX`: none) | own time, and that of dropped timers below it   |
/// | `max`   | longest iteration                   | sum of its stamps                                 |
/// | `last`  | clock at the latest stamp           | clock where the current span began, 0 when stopped |
/// | `epoch` | the latest merge that is in these numbers, 0 for none; 32 bits are kept | the same      |
///
/// All but `num` and `epoch` are ticks of the timer's clock. From a timer's numbers a reader
/// computes what `Times` says: `self_agg` is `min` and the `self_agg` of the timers below; `total`
/// is `ticks`, and the open span when `last` is not zero, less `self_agg`. So a timer's record need
/// be published only when it begins, ends, pauses or resumes: `max` may lag behind, because the
/// reader adds up the stamps itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// See the table.
    pub ticks: u64,
    /// See the table.
    pub num: u64,
    /// See the table.
    pub min: u64,
    /// See the table.
    pub max: u64,
    /// See the table.
    pub last: u64,
    /// See the table.
    pub epoch: u64,
}

/// Six numbers that one thread writes and others read whole, 104 bytes.
///
/// The writer fills the copy that does not count and then adds one to the sequence number, whose
/// lowest bit says which copy counts. So there is a whole copy at every instant, whatever happens
/// to the writer, and a reader never waits for it (the kernel calls this `seqcount_latch`).
///
/// The last word of a copy has the epoch above and a check of all six numbers below, both 32 bits:
/// a reader that copies the record through the kernel cannot look at the sequence number again
/// fast enough when the writer publishes every few nanoseconds, but it sees whether what it got
/// belongs together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Latch {
    sequence: AtomicU64,
    copies: [[AtomicU64; 6]; 2],
}

impl Latch {
    /// Publishes new numbers. Only one thread may do so.
    #[inline]
    pub fn publish(&self, values: Values) {
        self.publish_after(self.sequence.load(Ordering::Relaxed), values);
    }

    /// The same, where the sequence number is known.
    #[inline]
    fn publish_after(&self, sequence: u64, values: Values) {
        // Whoever sees a number of this copy also sees the sequence number that made it idle.
        fence(Ordering::Release);
        let idle = &self.copies[(sequence as usize & 1) ^ 1];
        for (word, value) in idle.iter().zip(values.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }

    /// The numbers, or `None` when the writer published twice during each of 64 attempts.
    pub fn read(&self) -> Option<Values> {
        self.read_numbered().map(|(_, values)| values)
    }

    /// The numbers and how many publications there have been up to them; `None` as for
    /// [`Latch::read`].
    pub fn read_numbered(&self) -> Option<(u64, Values)> {
        for _ in 0..64 {
            let sequence = self.sequence.load(Ordering::Acquire);
            let copy = &self.copies[sequence as usize & 1];
            let words = std::array::from_fn(|at| copy[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == sequence {
                return Some((sequence, Values::from_words(words)));
            }
        }
        None
    }
}

/// A latch and, elsewhere, the mark that says that it is about to change.
///
/// The marks of many latches stand side by side, so that a reader need only look at those to find
/// out what has changed since. A mark is the number of the latest publication, and is stored before
/// anything of it: while the two differ, something may be under way, and the reader looks at the
/// latch itself. So a writer that stops between the two, for a while or for ever, costs the reader
/// a few looks, and nothing is missed.
#[derive(Debug, Clone, Copy)]
pub struct MarkedLatch<'a> {
    latch: &'a Latch,
    mark: &'a AtomicU64,
}

impl<'a> MarkedLatch<'a> {
    /// A latch with its mark; both are zero, or what the latest publication left there.
    pub fn new(latch: &'a Latch, mark: &'a AtomicU64) -> Self {
        Self { latch, mark }
    }

    /// Publishes new numbers. Only one thread may do so.
    #[inline]
    pub fn publish(&self, values: Values) {
        let sequence = self.latch.sequence.load(Ordering::Relaxed);
        // Before the fence of the publication, and so before all of it.
        self.mark.store(sequence.wrapping_add(1), Ordering::Relaxed);
        self.latch.publish_after(sequence, values);
    }

    /// Changes what belongs to the latch but is not in it, and publishes the same numbers again, so
    /// that readers look there. Only the thread that publishes may do so.
    pub fn change(&self, change: impl FnOnce()) {
        let sequence = self.latch.sequence.load(Ordering::Relaxed);
        self.mark.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        // Nobody else publishes, so what is there is whole.
        let copy = &self.latch.copies[sequence as usize & 1];
        let values = Values::from_words(std::array::from_fn(|at| copy[at].load(Ordering::Relaxed)));
        self.latch.publish_after(sequence, values);
    }

    /// The numbers; see [`Latch::read`].
    pub fn read(&self) -> Option<Values> {
        self.latch.read()
    }

    /// Looks again, knowing the numbers of the publication `known`: gives others only when there
    /// are, or may be, any.
    pub fn read_since(&self, known: u64) -> Option<(u64, Values)> {
        if self.mark.load(Ordering::Relaxed) == known {
            return None;
        }
        self.latch.read_numbered().filter(|(sequence, _)| *sequence != known)
    }
}

impl Values {
    /// The words of a copy of these numbers: the first five, then the lower half of `epoch` above
    /// a check of all. The check of zeros is zero.
    #[inline]
    #[must_use]
    pub fn to_words(self) -> [u64; 6] {
        let Self { ticks, num, min, max, last, epoch } = self;
        let epoch = epoch << 32;
        [ticks, num, min, max, last, epoch | self.check()]
    }

    /// The numbers in a copy.
    #[inline]
    #[must_use]
    pub fn from_words([ticks, num, min, max, last, epoch]: [u64; 6]) -> Self {
        Self { ticks, num, min, max, last, epoch: epoch >> 32 }
    }

    /// The numbers in a copy, if they belong together: a mixture of two publications passes with a
    /// probability of about 2⁻³².
    #[inline]
    #[must_use]
    pub fn from_words_checked(words: [u64; 6]) -> Option<Self> {
        let values = Self::from_words(words);
        (values.check() == words[5] & 0xffff_ffff).then_some(values)
    }

    /// A multilinear hash: the upper half of a sum of products with odd numbers picked at random.
    #[inline]
    fn check(self) -> u64 {
        let Self { ticks, num, min, max, last, epoch } = self;
        let sum = ticks
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(num.wrapping_mul(0xd1b5_4a32_d192_ed03))
            .wrapping_add(min.wrapping_mul(0xaef1_7502_108e_f2d9))
            .wrapping_add(max.wrapping_mul(0xf135_7aea_2e62_a9c5))
            .wrapping_add(last.wrapping_mul(0xa076_1d64_78bd_642f))
            .wrapping_add((epoch & 0xffff_ffff).wrapping_mul(0xe703_7ed1_a0b4_28db));
        sum >> 32
    }
}
