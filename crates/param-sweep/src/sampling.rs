//! Random numbers that depend on the seed, the parameter's name and the number of the sample alone.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

/// The generator of sample `index` of the parameter `name`.
///
/// ChaCha8 with a key of the seed (8 bytes, little endian), the FNV-1a hash of the name (8 bytes) and
/// a mark for the purpose (16 bytes); the sample is the number of the stream, so that samples do not
/// overlap however many numbers one of them takes.
fn generator(seed: u64, name: &str, index: u64, purpose: &[u8; 16]) -> ChaCha8Rng {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&hash.to_le_bytes());
    key[16..].copy_from_slice(purpose);
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

const VALUES: &[u8; 16] = b"param-sweep/val1";
const STRATA: &[u8; 16] = b"param-sweep/lhs1";

/// Uniform in `0..1`, with 53 bits.
pub(crate) fn unit(seed: u64, name: &str, index: usize) -> f64 {
    let bits = generator(seed, name, index as u64, VALUES).next_u64() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// Normal, of mean 0 and deviation 1.
pub(crate) fn normal(seed: u64, name: &str, index: usize) -> f64 {
    StandardNormal.sample(&mut generator(seed, name, index as u64, VALUES))
}

/// Between `low` and `high` at the part `unit`, never outside.
pub(crate) fn between(low: f64, high: f64, unit: f64) -> f64 {
    // Not low + (high - low) * unit, whose difference may overflow.
    (low * (1.0 - unit) + high * unit).clamp(low, high)
}

/// The triangular distribution at the part `unit` of its area, by inversion.
pub(crate) fn triangular(low: f64, mode: f64, high: f64, unit: f64) -> f64 {
    let cut = (mode - low) / (high - low);
    let value = if unit < cut {
        low + ((high - low) * (mode - low) * unit).sqrt()
    } else {
        high - ((high - low) * (high - mode) * (1.0 - unit)).sqrt()
    };
    value.clamp(low, high)
}

/// A Latin hypercube in `0..1`: of `n` samples, exactly one lies in each of the `n` equal parts.
///
/// Source: McKay, Beckman and Conover 1979. Which part belongs to which sample is a permutation that
/// is computed in closed form, so that the first of 10^9 samples costs as much as the first of ten.
pub(crate) fn latin(seed: u64, name: &str, n: usize, index: usize) -> f64 {
    let stratum = permuted(seed, name, n as u64, index as u64);
    // Rounding may reach the next part's beginning; the number below it is in this one.
    let value = (stratum as f64 + unit(seed, name, index)) / n as f64;
    let end = (stratum + 1) as f64 / n as f64;
    if value < end { value } else { end.next_down() }
}

/// A permutation of `0..n`: a Feistel network of eight rounds on the next even number of bits,
/// walked until it is back below `n` (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
fn permuted(seed: u64, name: &str, n: u64, index: u64) -> u64 {
    let mut keys = generator(seed, name, 0, STRATA);
    let keys: [u64; 8] = std::array::from_fn(|_| keys.next_u64());
    let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
    let half = bits.div_ceil(2).max(1);
    let mask = (1_u64 << half) - 1;
    let mut at = index;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for key in keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        at = (left << half) | right;
        // At most four times as many numbers as are wanted, so this ends soon; and it ends, because
        // the network permutes and `index` itself lies on the way.
        if at < n {
            return at;
        }
    }
}

/// The output function of SplitMix64.
fn mixed(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_latin_hypercube_has_one_sample() {
        for n in [1, 2, 3, 4, 5, 17, 64, 100, 1023, 1025] {
            for seed in 0..4 {
                let mut seen = vec![false; n];
                for index in 0..n {
                    let part = (latin(seed, "a", n, index) * n as f64).floor() as usize;
                    assert!(!std::mem::replace(&mut seen[part], true), "{n}, {seed}: {part} twice");
                }
            }
        }
    }

    /// Of three parts there are six orders; each should come up once in six times.
    #[test]
    fn the_orders_of_a_small_hypercube_are_equally_frequent() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let order: Vec<u64> = (0..3).map(|i| permuted(seed, "a", 3, i)).collect();
            *counts.entry(order).or_insert(0) += 1;
        }
        // Five standard deviations of a binomial count of 6000 and 1/6.
        let limit = 5.0 * (6000.0_f64 * (1.0 / 6.0) * (5.0 / 6.0)).sqrt();
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| (f64::from(*n) - 1000.0).abs() < limit), "{counts:?}");
    }

    /// Means and deviations, within five standard errors of 20,000 samples.
    #[test]
    fn samples_are_distributed_as_they_say() {
        let n = 20_000;
        let moments = |value: &dyn Fn(usize) -> f64| {
            let mean = (0..n).map(value).sum::<f64>() / n as f64;
            let square = (0..n).map(|i| (value(i) - mean).powi(2)).sum::<f64>() / n as f64;
            (mean, square.sqrt())
        };
        let near = |what: &str, got: (f64, f64), mean: f64, sd: f64| {
            let error = 5.0 * sd / (n as f64).sqrt();
            assert!((got.0 - mean).abs() < error, "{what}: mean {} of {mean}", got.0);
            assert!((got.1 - sd).abs() < error, "{what}: deviation {} of {sd}", got.1);
        };
        near("uniform", moments(&|i| unit(1, "a", i)), 0.5, (1.0_f64 / 12.0).sqrt());
        near("normal", moments(&|i| normal(1, "a", i)), 0.0, 1.0);
        let (a, c, b) = (1.0, 2.0, 6.0_f64);
        let variance = (a * a + b * b + c * c - a * b - a * c - b * c) / 18.0;
        let triangle = moments(&|i| triangular(a, c, b, unit(1, "t", i)));
        near("triangular", triangle, (a + b + c) / 3.0, variance.sqrt());
    }

    #[test]
    fn parameters_and_samples_have_numbers_of_their_own() {
        let all: Vec<u64> = [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0)]
            .map(|(seed, name, i)| unit(seed, name, i).to_bits())
            .to_vec();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
