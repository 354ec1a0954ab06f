//! How the transform of one search is cut into rows, parts and stages.

use std::f64::consts::FRAC_PI_2;

use crate::codelet::{self, MAX_RADIX, is_radix};

/// Invocations of a workgroup: enough to hide latency, and what every adapter allows.
pub(crate) const WORKGROUP: usize = 256;

/// Accelerations that one workgroup goes through.
pub(crate) const TILE: usize = 16;

/// What a search leaves to its shaders.
///
/// The transform has `n = periods * period` points, and only `pulse` samples of each of the first
/// `pulses` periods are not zero. With the frequency `f = k1 + periods (r + parts q)`
///
/// ```text
/// X[f] = sum over l of  w_n^(l kappa) y[k1, l] w_points^(l q),    kappa = k1 + periods r
/// ```
///
/// where `y[k1, l] = sum over k of x[k, l] w_periods^(k k1)`: a *row* `k1` has `parts` parts of
/// `points` frequencies each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) periods: usize,
    pub(crate) pulses: usize,
    pub(crate) period: usize,
    pub(crate) pulse: usize,
    pub(crate) points: usize,
    /// The stages of a part's transform; empty where it is summed directly.
    pub(crate) radices: Vec<usize>,
    /// Invocations that share a part.
    pub(crate) lanes_of_part: usize,
    /// Parts that a workgroup computes at a time.
    pub(crate) parts_at_once: usize,
    pub(crate) levels: Vec<Level>,
    /// Arithmetic of one row set (all rows of one gate at one acceleration), skipping as expected.
    pub(crate) flops: f64,
}

/// Parts of a row that are computed together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    pub(crate) parts: Vec<u32>,
    /// A row whose greatest power so far is below this share of the gate's best hides nothing.
    pub(crate) hidden: f32,
}

impl Shape {
    pub(crate) fn n(&self) -> usize {
        self.periods * self.period
    }

    #[cfg(test)]
    pub(crate) fn parts(&self) -> usize {
        self.period / self.points
    }

    /// Frequencies between two of a part.
    pub(crate) fn stride(&self) -> usize {
        self.n() / self.points
    }

    /// Invocations of a workgroup.
    pub(crate) fn workgroup(&self) -> usize {
        self.lanes_of_part * self.parts_at_once
    }

    /// Complex values that one part keeps in shared memory.
    pub(crate) fn exchange(&self) -> usize {
        exchange(self.points, &self.radices)
    }

    /// Bytes of shared memory of the search's shader.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.parts_at_once * self.exchange() * 8 + fixed_bytes(self.workgroup())
    }

    /// Chooses the cheapest way that fits `storage` bytes of shared memory and `invocations`.
    pub(crate) fn new(
        periods: usize,
        pulses: usize,
        period: usize,
        pulse: usize,
        storage: usize,
        invocations: usize,
    ) -> Self {
        let threads = WORKGROUP.min(invocations);
        let mut best: Option<Self> = None;
        for points in (1..=period).filter(|&b| period.is_multiple_of(b) && b >= pulse) {
            let Some((radices, lanes, cost)) = stages(points, pulse, threads, storage) else {
                continue;
            };
            let (levels, share) = levels(period / points, period, pulse);
            let flops = cost * share * periods as f64 * (period / points) as f64;
            if best.as_ref().is_none_or(|best| flops < best.flops) {
                let at_once = at_once(points, &radices, lanes, threads, storage);
                best = Some(Self {
                    periods,
                    pulses,
                    period,
                    pulse,
                    points,
                    radices,
                    lanes_of_part: lanes,
                    parts_at_once: at_once,
                    levels,
                    flops,
                });
            }
        }
        best.unwrap_or_else(|| Self::direct(periods, pulses, period, pulse, threads))
    }

    /// Sums every frequency by itself: for lengths without small factors, and pulses too long for
    /// shared memory. Exact, and slower by about the pulse's length over the sum of the radices.
    fn direct(periods: usize, pulses: usize, period: usize, pulse: usize, threads: usize) -> Self {
        let points = (1..=period).find(|&b| period.is_multiple_of(b) && b >= pulse);
        let points = points.unwrap_or(period);
        let (levels, share) = levels(period / points, period, pulse);
        let lanes_of_part = points.min(threads);
        Self {
            periods,
            pulses,
            period,
            pulse,
            points,
            radices: Vec::new(),
            lanes_of_part,
            parts_at_once: (threads / lanes_of_part).max(1),
            levels,
            flops: share * 8.0 * (periods * period * pulse) as f64,
        }
    }
}

/// Shared memory beside the exchange: three words for each invocation, two for each acceleration.
fn fixed_bytes(workgroup: usize) -> usize {
    workgroup * 12 + TILE * 8 + 64
}

/// Values in shared memory between stages; rows of even length are padded by one, so that
/// neighbouring invocations meet different banks.
fn exchange(points: usize, radices: &[usize]) -> usize {
    let mut rest = points;
    let mut most = 0;
    for radix in radices.iter().take(radices.len().saturating_sub(1)) {
        rest /= radix;
        most = most.max(points / rest * pitch(rest));
    }
    most
}

/// Distance of rows of `rest` values in shared memory.
pub(crate) fn pitch(rest: usize) -> usize {
    rest + usize::from(rest.is_multiple_of(2))
}

/// Inputs of a first butterfly that are not always zero.
pub(crate) fn filled(points: usize, radix: usize, pulse: usize) -> usize {
    pulse.div_ceil(points / radix).min(radix)
}

fn at_once(
    points: usize,
    radices: &[usize],
    lanes: usize,
    threads: usize,
    storage: usize,
) -> usize {
    let each = exchange(points, radices) * 8;
    let mut at_once = threads / lanes;
    while at_once > 1 && at_once * each + fixed_bytes(at_once * lanes) > storage {
        at_once -= 1;
    }
    at_once
}

/// The cheapest stages of a transform of `points`, the invocations that share it, and its cost.
fn stages(
    points: usize,
    pulse: usize,
    threads: usize,
    storage: usize,
) -> Option<(Vec<usize>, usize, f64)> {
    if points == 1 || codelet::largest_prime(points) > MAX_RADIX {
        return None;
    }
    let mut best: Option<(Vec<usize>, usize, f64)> = None;
    let mut stack = vec![(Vec::new(), points)];
    while let Some((radices, rest)) = stack.pop() {
        if rest == 1 {
            let lanes = radices.iter().map(|r| points / r).max().unwrap_or(1);
            let fits = exchange(points, &radices) * 8 + fixed_bytes(lanes) <= storage;
            if lanes > threads || !fits {
                continue;
            }
            // Every stage keeps all invocations busy or waiting. A value that goes through shared
            // memory costs about as much as eight operations, a turn six.
            let mut cost = 0.0;
            for (stage, &radix) in radices.iter().enumerate() {
                let inputs = if stage == 0 { filled(points, radix, pulse) } else { radix };
                let moved = 8 * (radix + inputs) + 6 * inputs;
                cost += (codelet::flops(radix, inputs) + moved + 40) as f64;
            }
            let cost = cost * lanes as f64;
            if best.as_ref().is_none_or(|(_, _, least)| cost < *least) {
                best = Some((radices, lanes, cost));
            }
            continue;
        }
        if radices.len() == 4 {
            continue;
        }
        for radix in (2..=MAX_RADIX.min(rest)).filter(|&r| rest.is_multiple_of(r) && is_radix(r)) {
            let mut longer = radices.clone();
            longer.push(radix);
            stack.push((longer, rest / radix));
        }
    }
    best
}

/// Share of the bound on a row that its unseen part must reach to be computed: the rest is for
/// rounding, which is below 1e-5 of a row's greatest power.
const MARGIN: f64 = 1.0 - 1e-3;

/// The least power, relative to the greatest of a row, that the greatest of `points` equally
/// spaced frequencies has.
///
/// A row is a trigonometric polynomial of degree `pulse - 1`; by a lemma of M. Riesz its magnitude
/// falls from its greatest value no faster than a cosine of half that degree, and one of the
/// `points` is within half their distance of it.
fn hidden(points: usize, pulse: usize) -> f64 {
    if points < pulse {
        return 0.0;
    }
    let cos = (FRAC_PI_2 * (pulse - 1) as f64 / points as f64).cos();
    cos * cos * MARGIN
}

/// How many rows are expected to go on, with noise and a target: from counts over simulated data.
fn survivors(hidden: f64) -> f64 {
    const SEEN: [(f64, f64); 6] =
        [(0.0, 1.0), (0.3, 0.9), (0.53, 0.36), (0.68, 0.12), (0.9, 0.02), (1.0, 0.01)];
    let after = SEEN.iter().position(|(h, _)| *h >= hidden).unwrap_or(SEEN.len() - 1).max(1);
    let ((h0, s0), (h1, s1)) = (SEEN[after - 1], SEEN[after]);
    s0 + (s1 - s0) * ((hidden - h0) / (h1 - h0)).min(1.0)
}

/// The levels in which the parts of a row are computed, and the share expected to be computed.
fn levels(parts: usize, period: usize, pulse: usize) -> (Vec<Level>, f64) {
    let divisors: Vec<usize> = (1..=parts).filter(|&s| parts.is_multiple_of(s)).collect();
    let mut best = (vec![1], 1.0);
    let mut stack: Vec<Vec<usize>> = divisors.iter().map(|&s| vec![s]).collect();
    while let Some(chain) = stack.pop() {
        let last = chain[chain.len() - 1];
        if last == 1 {
            // Each level costs a launch, and reading the bounds of all rows.
            let mut share = 0.02 * chain.len() as f64;
            let (mut going_on, mut done) = (1.0, 0.0);
            for &step in &chain {
                let upto = 1.0 / step as f64;
                share += going_on * (upto - done);
                done = upto;
                going_on = survivors(hidden(period / step, pulse));
            }
            if share < best.1 {
                best = (chain, share);
            }
            continue;
        }
        if chain.len() < 3 {
            for &s in divisors.iter().filter(|&&s| s < last && last.is_multiple_of(s)) {
                let mut longer = chain.clone();
                longer.push(s);
                stack.push(longer);
            }
        }
    }
    let (chain, share) = best;
    let mut before: Option<usize> = None;
    let levels = chain
        .into_iter()
        .map(|step| {
            let is_new = |r: &usize| before.is_none_or(|before| !r.is_multiple_of(before));
            let parts = (0..parts).step_by(step).filter(is_new).map(|r| r as u32).collect();
            let hidden = before.map_or(0.0, |before| hidden(period / before, pulse) as f32);
            before = Some(step);
            Level { parts, hidden }
        })
        .collect();
    (levels, share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the lengths: each part once, radices that multiply to the part, and what fits.
    #[test]
    fn shapes_cover_every_frequency_once() {
        for storage in [16_384, 32_768, 49_152] {
            for (period, pulse) in
                [(2000, 192), (1250, 120), (97, 13), (31, 7), (30, 1), (144, 36), (20_000, 1920)]
            {
                let shape = Shape::new(10, 10, period, pulse, storage, 1024);
                let mut parts: Vec<u32> =
                    shape.levels.iter().flat_map(|level| level.parts.clone()).collect();
                parts.sort_unstable();
                let all: Vec<u32> = (0..shape.parts() as u32).collect();
                assert_eq!(parts, all, "{shape:?}");
                assert!(shape.points >= pulse && period.is_multiple_of(shape.points));
                if !shape.radices.is_empty() {
                    assert_eq!(shape.radices.iter().product::<usize>(), shape.points);
                }
                assert!(shape.shared_bytes() <= storage, "{shape:?}");
                assert!((1..=WORKGROUP).contains(&shape.workgroup()), "{shape:?}");
                let mut hidden = shape.levels.iter().map(|level| level.hidden);
                assert_eq!(hidden.next(), Some(0.0), "the first level skips nothing");
                assert!(hidden.all(|h| h > 0.0 && h < 1.0), "{shape:?}");
            }
        }
    }

    #[test]
    fn the_recorded_searches_skip_most_of_their_rows() {
        for (period, pulse) in [(2000, 192), (1250, 120)] {
            let shape = Shape::new(10, 10, period, pulse, 32_768, 1024);
            assert!(shape.levels.len() > 1 && shape.radices.len() == 2, "{shape:?}");
        }
    }

    #[test]
    fn lengths_without_small_factors_are_summed() {
        for period in [97, 101, 31 * 37] {
            assert!(Shape::new(3, 3, period, 20, 32_768, 1024).radices.is_empty());
        }
        // Too long for shared memory.
        assert!(Shape::new(2, 2, 30_000, 6000, 16_384, 256).radices.is_empty());
    }
}
