//! How long the iterations of a stamp were, in powers of two.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Buckets of a histogram. The first counts iterations of less than 1 ns, bucket `i` those of
/// 2^(`i` − 1) ns up to but without 2^`i` ns, the last one all from 2^46 ns (20 h) on.
pub const N_BUCKETS: usize = 48;
/// Buckets that are in one place.
pub const BUCKETS_OF_PART: usize = 12;
/// Places of a histogram.
pub const N_PARTS: usize = N_BUCKETS / BUCKETS_OF_PART;

/// The bucket of a duration in ns.
#[inline]
#[must_use]
pub fn bucket_of(ns: u64) -> usize {
    (u64::BITS - ns.leading_zeros()).min(N_BUCKETS as u32 - 1) as usize
}

/// The buckets of one place, 104 bytes: a number that rises with every change, and the counts.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Buckets {
    sequence: AtomicU64,
    counts: [AtomicU64; BUCKETS_OF_PART],
}

impl Buckets {
    /// The counts, each for itself.
    pub fn counts(&self) -> [u64; BUCKETS_OF_PART] {
        std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed))
    }
}

/// Buckets with the mark that says that they are about to change, as
/// [`MarkedLatch`](super::MarkedLatch) has it.
#[derive(Clone, Copy, Debug)]
pub struct MarkedBuckets {
    buckets: &'static Buckets,
    mark: &'static AtomicU64,
}

impl MarkedBuckets {
    /// Buckets with their mark; it is zero, or what the latest change left there.
    pub fn new(buckets: &'static Buckets, mark: &'static AtomicU64) -> Self {
        Self { buckets, mark }
    }

    /// Adds to one of the counts; only one thread may do so. One word changes, so a reader sees it
    /// before or after.
    #[inline]
    fn add(self, at: usize, n: u64) {
        let sequence = self.buckets.sequence.load(Ordering::Relaxed).wrapping_add(1);
        self.mark.store(sequence, Ordering::Relaxed);
        fence(Ordering::Release);
        let count = &self.buckets.counts[at];
        count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        self.buckets.sequence.store(sequence, Ordering::Release);
    }
}

/// The histogram of a stamp, where others see it. It has one writer, who writes the stamp's numbers
/// as well.
///
/// Its sum is what the stamp's numbers say of iterations, where both began together; it is changed
/// before those are published where it grows, and after that where it shrinks, so that a writer that
/// is killed between the two leaves it one ahead.
#[derive(Clone, Debug)]
pub struct Histogram {
    parts: [MarkedBuckets; N_PARTS],
    /// Ns in a tick, times 2³².
    scale: u64,
    /// Which buckets are not zero.
    used: u64,
    /// Iterations of the stamp at the last look, and the bucket of the latest.
    num: u64,
    latest: usize,
}

impl Histogram {
    /// A histogram in four places, whose counts are all zero or are [made so](Self::empty) before
    /// anything is counted.
    #[must_use]
    pub fn new(parts: [MarkedBuckets; N_PARTS], ticks_per_second: f64) -> Self {
        // Upwards, so that what is a whole number of ns is not one less.
        let scale = (1e9 / ticks_per_second * 2_f64.powi(32)).ceil() as u64;
        Self { parts, scale, used: 0, num: 0, latest: 0 }
    }

    /// The bucket of a duration in ticks.
    #[inline]
    fn bucket(&self, ticks: u64) -> usize {
        bucket_of(
            u64::try_from((u128::from(ticks) * u128::from(self.scale)) >> 32).unwrap_or(u64::MAX),
        )
    }

    #[inline]
    fn add(&mut self, bucket: usize, n: u64) {
        self.used |= 1 << bucket;
        self.parts[bucket / BUCKETS_OF_PART].add(bucket % BUCKETS_OF_PART, n);
    }

    /// The stamp has `num` iterations, of which the latest took `latest` ticks if it still grows, and
    /// else, where it is one that was not counted here yet, `settled`. Gives the bucket that is to be counted down once the numbers are published.
    #[inline]
    pub(crate) fn before(&mut self, num: u64, latest: Option<u64>, settled: u64) -> Option<usize> {
        let more = num.wrapping_sub(self.num);
        self.num = num;
        let old = self.latest;
        let latest = latest.or((more == 1).then_some(settled));
        match latest.map(|ticks| self.bucket(ticks)) {
            Some(bucket) if more == 1 => {
                self.latest = bucket;
                self.add(bucket, 1);
                None
            }
            // It has grown. Or the numbers say of several what was never told: only the latest is
            // known.
            Some(bucket) if more != 0 || bucket != old => {
                self.latest = bucket;
                self.add(bucket, 1);
                (more == 0).then_some(old)
            }
            // The latest was lost.
            None if more == u64::MAX => Some(old),
            _ => None,
        }
    }

    /// Counts a bucket down.
    #[cold]
    pub(crate) fn take_away(&mut self, bucket: usize) {
        // Never below zero: it may be from before the histogram was.
        if self.counts(bucket) > 0 {
            self.add(bucket, u64::MAX);
        }
    }

    fn counts(&self, bucket: usize) -> u64 {
        let part = &self.parts[bucket / BUCKETS_OF_PART];
        part.buckets.counts[bucket % BUCKETS_OF_PART].load(Ordering::Relaxed)
    }

    /// Adds what another counted, the shortest first, before the sum of the stamps' numbers is
    /// published, which says `num` iterations. A reader relies on the order: it takes away again what
    /// was added of a sum that was never published.
    pub(crate) fn merge(&mut self, other: &Self, num: u64) {
        let mut used = other.used;
        while used != 0 {
            let bucket = used.trailing_zeros() as usize;
            used &= used - 1;
            self.add(bucket, other.counts(bucket));
        }
        self.num = num;
    }

    /// Makes all counts zero, after the stamp's numbers were.
    pub fn empty(&mut self) {
        let mut used = std::mem::take(&mut self.used);
        while used != 0 {
            let bucket = used.trailing_zeros() as usize;
            used &= used - 1;
            let part = self.parts[bucket / BUCKETS_OF_PART];
            part.add(bucket % BUCKETS_OF_PART, self.counts(bucket).wrapping_neg());
        }
        (self.num, self.latest) = (0, 0);
    }
}

/// Adds the counts of one histogram to another's, the shortest first, and makes those zero; for
/// whoever has no [`Histogram`] of them.
pub fn move_counts(from: [MarkedBuckets; N_PARTS], to: Option<[MarkedBuckets; N_PARTS]>) {
    for (part, own) in from.into_iter().enumerate() {
        for (at, count) in own.buckets.counts().into_iter().enumerate().filter(|(_, n)| *n != 0) {
            match to {
                Some(to) => to[part].add(at, count),
                None => own.add(at, count.wrapping_neg()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> [MarkedBuckets; N_PARTS] {
        std::array::from_fn(|_| {
            MarkedBuckets::new(Box::leak(Box::default()), Box::leak(Box::default()))
        })
    }

    #[test]
    fn a_bucket_ends_where_the_next_one_begins() {
        assert_eq!([0, 1, 2, 3, 4, 1 << 45, (1 << 46) - 1].map(bucket_of), [0, 1, 2, 2, 3, 46, 46]);
        assert_eq!([1 << 46, u64::MAX].map(bucket_of), [47; 2]);
        let histogram = Histogram::new(parts(), 3e9);
        assert_eq!([2, 3, 5, 6, u64::MAX].map(|ticks| histogram.bucket(ticks)), [0, 1, 1, 2, 47]);
    }

    #[test]
    fn an_iteration_that_grows_counts_once() {
        let parts = parts();
        let mut histogram = Histogram::new(parts, 1e9);
        let mut tell = |num, latest| {
            let taken = histogram.before(num, latest, 1 << 20);
            taken.into_iter().for_each(|bucket| histogram.take_away(bucket));
            (0..N_BUCKETS).filter(|at| histogram.counts(*at) != 0).collect::<Vec<_>>()
        };
        assert_eq!(tell(1, Some(5)), [3]);
        assert_eq!(tell(1, Some(7)), [3]);
        assert_eq!(tell(1, Some(5000)), [13]);
        assert_eq!(tell(2, Some(5)), [3, 13]);
        assert_eq!(tell(1, None), [13]);
        assert_eq!(tell(2, Some(1)), [1, 13]);
        assert_eq!(tell(3, None), [1, 13, 21]);
        assert_eq!(tell(3, None), [1, 13, 21]);
    }
}
