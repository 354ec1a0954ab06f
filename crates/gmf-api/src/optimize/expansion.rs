//! The objective near a point, from few numbers: what makes hundreds of its values cheap.

use std::f64::consts::TAU;

use num_complex::Complex64;

use super::{Objective, Offset, Start};
use crate::Derived;

/// Terms of the expansion.
const N_TERMS: usize = 8;

/// How far an expansion may be off, relative to the sum of the decoded samples' magnitudes.
const TOLERANCE: f64 = 1e-10;

/// How far from the start an expansion has to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    pub(super) mid_range_rate_m_s: f64,
    pub(super) acceleration_m_s2: f64,
}

impl Reach {
    /// What covers both.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            mid_range_rate_m_s: self.mid_range_rate_m_s.max(other.mid_range_rate_m_s),
            acceleration_m_s2: self.acceleration_m_s2.max(other.acceleration_m_s2),
        }
    }
}

/// The objective around a start, by moments of the decoded echo in blocks.
///
/// With the start's own phase taken off, what an offset adds within a block of samples is a slow
/// parabola `p(x) = alpha x + beta x^2`, where `x` runs from -1 to 1 over the block. With the
/// Taylor series `exp(-i p(x)) = sum over j of c[j] x^j` the block's sum is `sum over j of
/// c[j] m[j]`, where the moments `m[j] = sum of decoded x^j` do not depend on the offset.
///
/// Blocks are chosen so short that what is left out of the series is below `TOLERANCE` for every
/// offset in reach. The amplitude is off by `TOLERANCE * sum of |decoded|` at most, and that sum,
/// for a code of unit energy, is at most the root of the energy `E` received in the gate: so the
/// value, at most `E` itself, is off by `2.1e-10 E` at most.
#[derive(Debug, Clone)]
pub(super) struct Expansion {
    wavenumber: f64,
    pulse_samples: usize,
    sample_s: f64,
    start: Start,
    mean_time_s: f64,
    reach: Reach,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    /// The block's centre, from the mean of all times.
    centre_s: f64,
    /// From the centre to the first and the last sample.
    half_s: f64,
    moments: [Complex64; N_TERMS],
}

/// Bounds what the series leaves out, by the same series with the magnitudes of its terms.
fn left_out(alpha: f64, beta: f64) -> f64 {
    let (mut before, mut term, mut sum) = (0.0, 1.0, 0.0);
    for j in 0..N_TERMS {
        sum += term;
        (before, term) = (term, (alpha * term + 2.0 * beta * before) / (j + 1) as f64);
    }
    (alpha + beta).exp() - sum
}

impl Expansion {
    pub(super) fn new(derived: &Derived) -> Self {
        Self {
            wavenumber: TAU / derived.experiment().wavelength_m(),
            pulse_samples: derived.pulse_samples(),
            sample_s: 1.0 / derived.experiment().sample_rate_hz as f64,
            start: Start::default(),
            mean_time_s: 0.0,
            reach: Reach::default(),
            blocks: Vec::new(),
        }
    }

    /// Samples of a block, so that the series holds within `reach`; one at least, of which it
    /// holds exactly.
    fn block_samples(&self, reach: Reach, half_span_s: f64) -> usize {
        let rate_m_s = reach.mid_range_rate_m_s + reach.acceleration_m_s2 * half_span_s;
        let holds = |samples: usize| {
            let half_s = 0.5 * (samples - 1) as f64 * self.sample_s;
            let alpha = self.wavenumber * rate_m_s * half_s;
            let beta = 0.5 * self.wavenumber * reach.acceleration_m_s2 * half_s * half_s;
            left_out(alpha, beta) <= TOLERANCE
        };
        let mut n_blocks = 1;
        loop {
            let samples = self.pulse_samples.div_ceil(n_blocks);
            if samples == 1 || holds(samples) {
                return samples;
            }
            n_blocks += 1;
        }
    }

    /// Expands what `objective` has loaded.
    pub(super) fn load(&mut self, objective: &Objective, start: Start, reach: Reach) {
        self.start = start;
        self.reach = reach;
        self.mean_time_s = objective.mean_time_s();
        self.blocks.clear();
        let first_s = objective.pulses().next().map_or(0.0, |(first, _)| objective.time_s(first));
        let samples = self.block_samples(reach, self.mean_time_s - first_s);
        for (first, pulse) in objective.pulses() {
            for (idx, block) in pulse.chunks(samples).enumerate() {
                self.blocks.push(self.block(objective, first + idx * samples, block));
            }
        }
    }

    fn block(&self, objective: &Objective, first: usize, decoded: &[Complex64]) -> Block {
        let half = 0.5 * (decoded.len() - 1) as f64;
        let mut moments = [Complex64::default(); N_TERMS];
        for (idx, decoded) in decoded.iter().enumerate() {
            let t = objective.time_s(first + idx);
            let rate_m_s = self.start.range_rate_m_s + 0.5 * self.start.acceleration_m_s2 * t;
            let turns = rate_m_s * t * self.wavenumber / TAU;
            let mut term = decoded * Complex64::cis(-TAU * (turns - turns.round()));
            let x = if half > 0.0 { (idx as f64 - half) / half } else { 0.0 };
            for moment in &mut moments {
                *moment += term;
                term *= x;
            }
        }
        Block {
            centre_s: objective.time_s(first) + half * self.sample_s - self.mean_time_s,
            half_s: half * self.sample_s,
            moments,
        }
    }

    /// The objective at an offset in reach.
    pub(super) fn value(&self, offset: Offset) -> f64 {
        let (rate, acceleration) = (offset.mid_range_rate_m_s, offset.acceleration_m_s2);
        let mut sum = Complex64::default();
        for block in &self.blocks {
            let s = block.centre_s;
            let phase = self.wavenumber * (rate + 0.5 * acceleration * s) * s;
            let alpha = self.wavenumber * (rate + acceleration * s) * block.half_s;
            let beta = 0.5 * self.wavenumber * acceleration * block.half_s * block.half_s;
            let (mut before, mut term) = (Complex64::default(), Complex64::new(1.0, 0.0));
            let mut block_sum = Complex64::default();
            for (j, moment) in block.moments.iter().enumerate() {
                block_sum += term * moment;
                let slope = term * alpha + before * (2.0 * beta);
                let next = Complex64::new(slope.im, -slope.re) / (j + 1) as f64;
                (before, term) = (term, next);
            }
            sum += block_sum * Complex64::cis(-phase);
        }
        sum.norm_sqr()
    }

    /// The first of the best.
    ///
    /// # Panics
    ///
    /// When `offsets` is empty.
    pub(super) fn best_of<'a>(&self, offsets: impl IntoIterator<Item = &'a Offset>) -> Offset {
        let mut best: Option<(f64, Offset)> = None;
        for &offset in offsets {
            let value = self.value(offset);
            if best.is_none_or(|(best, _)| value > best) {
                best = Some((value, offset));
            }
        }
        best.expect("there are offsets").1
    }

    /// Range rate at the start of the integration, and acceleration.
    pub(super) fn absolute(&self, offset: Offset) -> (f64, f64) {
        (
            self.start.range_rate_m_s + offset.mid_range_rate_m_s
                - offset.acceleration_m_s2 * self.mean_time_s,
            self.start.acceleration_m_s2 + offset.acceleration_m_s2,
        )
    }

    /// How far a range rate at the start of the integration, and an acceleration, are from the
    /// start of the expansion.
    pub(super) fn offset(&self, range_rate_m_s: f64, acceleration_m_s2: f64) -> Offset {
        let acceleration = acceleration_m_s2 - self.start.acceleration_m_s2;
        let rate = range_rate_m_s - self.start.range_rate_m_s;
        Offset {
            mid_range_rate_m_s: rate + acceleration * self.mean_time_s,
            acceleration_m_s2: acceleration,
        }
    }

    /// How far the expansion holds.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    #[cfg(test)]
    pub(super) fn n_blocks(&self) -> usize {
        self.blocks.len()
    }
}
