//! Medians and ratios, with intervals that assume nothing of how times are distributed.
//!
//! The interval of a median is the one of the sign test: of `n` sorted values it goes from the
//! `k`-th least to the `k`-th greatest, where `k` is the greatest number for which the true median
//! is inside with a probability of 95 % or more. That probability is exactly
//! `1 - 2 P(X < k)` with `X` binomial of `n` tosses of a fair coin, whatever the distribution is:
//! times are skewed, and have outliers, so an interval of means would not hold. Six values are the
//! fewest that reach 95 %; of fewer the interval goes from the least to the greatest, and
//! [`Summary::coverage`] tells what that is worth.
//!
//! A ratio of two engines is the median of the ratios of their turns in the same round, and its
//! interval that of those ratios: what slows both in a round cancels.

/// What an interval has to hold, at least.
const COVERAGE: f64 = 0.95;

/// The middle of some values, and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many values there are.
    pub n: usize,
    /// The middle one, or the mean of the two middle ones.
    pub median: f64,
    /// Lower end of the interval of the median.
    pub low: f64,
    /// Upper end of the interval of the median.
    pub high: f64,
    /// The probability that the interval holds the true median.
    pub coverage: f64,
    /// The distance between the quartiles, relative to the median.
    pub spread: f64,
}

/// The value at a fraction of the way through sorted values, linear between two of them.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let at = fraction * (sorted.len() - 1) as f64;
    let (below, rest) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + rest * (sorted[above] - sorted[below])
}

/// The rank `k` (from 1) at which the interval of the median begins and, from the other end, ends;
/// and the probability that it holds the median.
fn sign_test_rank(n: usize) -> (usize, f64) {
    // P(X = i), and the sum of those below the rank.
    let (mut term, mut below) = (0.5f64.powi(n as i32), 0.0);
    let mut found = (1, 1.0 - 2.0 * term);
    for k in 1..=n.div_ceil(2) {
        below += term;
        let coverage = 1.0 - 2.0 * below;
        if k > 1 && coverage < COVERAGE {
            break;
        }
        found = (k, coverage);
        term *= (n + 1 - k) as f64 / k as f64;
    }
    found
}

impl Summary {
    /// Sums up some values; `None` if there are none.
    ///
    /// # Panics
    ///
    /// When a value is not finite: a clock gives none such.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        assert!(values.iter().all(|value| value.is_finite()), "a time that is no number");
        if values.is_empty() {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = quantile(&sorted, 0.5);
        let (rank, coverage) = sign_test_rank(sorted.len());
        Some(Self {
            n: sorted.len(),
            median,
            low: sorted[rank - 1],
            high: sorted[sorted.len() - rank],
            coverage: coverage.max(0.0),
            spread: (quantile(&sorted, 0.75) - quantile(&sorted, 0.25)) / median,
        })
    }

    /// Sums up the ratios of values that belong together; `None` if there are none.
    #[must_use]
    pub fn of_ratios(pairs: &[(f64, f64)]) -> Option<Self> {
        let ratios: Vec<f64> = pairs.iter().map(|(value, base)| value / base).collect();
        Self::of(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn summary(values: &[f64]) -> Summary {
        Summary::of(values).unwrap()
    }

    #[test]
    fn the_median_is_the_middle_in_any_order() {
        assert_eq!(summary(&[3.0]).median, 3.0);
        assert_eq!(summary(&[9.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(summary(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(Summary::of(&[]), None);
        let s = summary(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((s.spread - 2.0 / 3.0).abs() < 1e-15, "quartiles 2 and 4 around 3: {s:?}");
    }

    /// Table of the sign test: greatest ranks with two-sided coverage of 95 %.
    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        for (n, rank, coverage) in [
            (6, 1, 1.0 - 2.0 / 64.0),
            (9, 2, 1.0 - 2.0 * 10.0 / 512.0),
            (10, 2, 1.0 - 2.0 * 11.0 / 1024.0),
            (15, 4, 1.0 - 2.0 * 576.0 / 32768.0),
            (20, 6, 0.958_610_534_667_968_8),
        ] {
            let (found, probability) = sign_test_rank(n);
            assert_eq!(found, rank, "n = {n}");
            assert!((probability - coverage).abs() < 1e-12, "n = {n}: {probability}");
        }
        let values: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!((summary(&values).low, summary(&values).high), (2.0, 8.0));
    }

    #[test]
    fn few_values_say_how_little_they_are_worth() {
        let s = summary(&[2.0, 1.0, 5.0]);
        assert_eq!((s.low, s.high, s.coverage), (1.0, 5.0, 0.75));
        assert_eq!(summary(&[1.0]).coverage, 0.0);
    }

    /// Skewed as times are: of many intervals at least the promised share holds the true median.
    #[test]
    fn intervals_hold_the_true_median_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut inside, trials) = (0, 4000);
        for _ in 0..trials {
            // Exponential: its median is ln 2.
            let values: Vec<f64> =
                (0..9).map(|_| -(1.0 - rng.random_range(0.0..1.0f64)).ln()).collect();
            let s = summary(&values);
            inside += i32::from((s.low..=s.high).contains(&std::f64::consts::LN_2));
        }
        let share = f64::from(inside) / f64::from(trials);
        // Three standard deviations of a share of 0.961 in 4000 trials are 0.009.
        assert!((share - 0.961).abs() < 0.01, "{share}");
    }

    /// Both are slowed in the same rounds: times are useless, their ratios are not.
    #[test]
    fn what_slows_both_cancels_in_the_ratio() {
        let slowed = [1.0, 3.0, 1.1, 2.0, 5.0, 1.0, 1.4];
        let pairs: Vec<(f64, f64)> = slowed.iter().map(|s| (0.6 * s, 0.2 * s)).collect();
        let ratio = Summary::of_ratios(&pairs).unwrap();
        assert!((ratio.median - 3.0).abs() < 1e-12 && ratio.high - ratio.low < 1e-12, "{ratio:?}");
    }
}
