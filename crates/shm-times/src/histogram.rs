//! How long the iterations of stamps were, where somebody asked for that.

use gtimer_core::publish::N_BUCKETS;

/// The environment variable that asks for histograms in a session: anything but nothing and `0`
/// does. Children inherit it.
pub const HISTOGRAMS_VARIABLE: &str = "POLYCHRON_HISTOGRAMS";

pub(crate) fn are_asked_for() -> bool {
    std::env::var_os(HISTOGRAMS_VARIABLE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// How long the iterations of one stamp were, in powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampHistogram {
    /// Where the stamp is: the root timer, then in turns the stamp that a timer below belongs to
    /// (or [`UNASSIGNED`](gtimer_core::UNASSIGNED)) and that timer, and last the stamp itself.
    pub path: Vec<String>,
    /// Iterations by their length: less than 1 ns in the first bucket, 2^(`i` − 1) ns up to but
    /// without 2^`i` ns in bucket `i`, and all from 2^46 ns (20 h) on in the last one.
    pub buckets: [u64; N_BUCKETS],
}

impl StampHistogram {
    /// The iterations in it. While the process runs, these may be a few more or less than the
    /// stamp's own number, since the two are not read in one instant; of a process that was killed,
    /// one more. They are less where part of the iterations was not shared.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The shortest duration, in s, that no iteration in bucket `bucket` reaches; `None` for the last
    /// one, which has no such bound.
    #[must_use]
    pub fn bound_s(bucket: usize) -> Option<f64> {
        let ns = (bucket + 1 < N_BUCKETS).then(|| (1_u64 << bucket) as f64)?;
        Some(ns / 1e9)
    }

    /// A bound, in s, below which the quantile `q` (0 … 1, by nearest rank) of the iterations is; it
    /// is at most twice as much. `None` where nothing was counted, or for the last bucket.
    #[must_use]
    pub fn quantile_s(&self, q: f64) -> Option<f64> {
        let n = self.count();
        let rank = ((q.clamp(0.0, 1.0) * n as f64).ceil() as u64).max(1);
        let mut sum = 0_u64;
        let bucket = self.buckets.iter().position(|n| {
            sum = sum.saturating_add(*n);
            sum >= rank
        })?;
        Self::bound_s(bucket)
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.buckets, &other.buckets);
    }
}

/// The counts of a histogram in the making.
pub(crate) type Counts = Box<[u64; N_BUCKETS]>;

pub(crate) fn add(sum: &mut [u64; N_BUCKETS], more: &[u64; N_BUCKETS]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// Adds `more` to a histogram of `num` iterations to which a writer may have added a part of it
/// already, the first buckets: what is there beyond `num` is taken away first.
pub(crate) fn finish(sum: &mut [u64; N_BUCKETS], num: u64, more: &[u64; N_BUCKETS]) {
    let total = sum.iter().fold(0_u64, |total, n| total.saturating_add(*n));
    let mut excess = total.saturating_sub(num);
    for (sum, more) in sum.iter_mut().zip(more) {
        let twice = excess.min(*sum).min(*more);
        *sum -= twice;
        excess -= twice;
    }
    add(sum, more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(usize, u64)]) -> StampHistogram {
        let mut buckets = [0; N_BUCKETS];
        counts.iter().for_each(|(bucket, n)| buckets[*bucket] = *n);
        StampHistogram { path: Vec::new(), buckets }
    }

    #[test]
    fn quantiles_are_bounds_of_buckets_by_nearest_rank() {
        let histogram = of(&[(0, 1), (3, 49), (11, 49), (47, 1)]);
        let quantiles = [0.0, 0.01, 0.5, 0.51, 0.99, 1.0].map(|q| histogram.quantile_s(q));
        let (eight, more) = (Some(8e-9), Some(2048e-9));
        assert_eq!(quantiles, [Some(1e-9), Some(1e-9), eight, more, more, None]);
        assert_eq!(of(&[]).quantile_s(0.5), None);
        assert_eq!(of(&[(5, u64::MAX), (6, u64::MAX)]).quantile_s(1.0), Some(32e-9));
    }

    #[test]
    fn what_was_added_already_is_not_added_twice() {
        let (old, more) = (of(&[(1, 5), (9, 1)]), of(&[(1, 2), (4, 3), (9, 7)]));
        let mut whole = old.clone();
        whole.add(&more);
        let mut partly = old;
        for bucket in 0..N_BUCKETS {
            partly.buckets[bucket] += more.buckets[bucket];
            let mut finished = partly.clone();
            finish(&mut finished.buckets, 6, &more.buckets);
            assert_eq!(finished, whole, "killed after bucket {bucket}");
        }
    }
}
