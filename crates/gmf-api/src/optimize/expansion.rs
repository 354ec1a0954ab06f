//! The objective near a point, from few numbers: what makes hundreds of its values cheap.

use std::f64::consts::TAU;

use num_complex::Complex64;

use super::chirp::SEGMENT;
use super::objective::turn;
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
    /// Powers of `x` at the samples of the block that is expanded.
    powers: Vec<[f64; N_TERMS]>,
    /// Sums over the blocks, at the range rates of one acceleration.
    row: Row,
}

/// Real and imaginary parts, by lanes.
type Row = Vec<([f64; LANES], [f64; LANES])>;

/// Range rates that are computed side by side.
const LANES: usize = 4;

/// Evenly spaced range rates, at one acceleration after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) n: usize,
    pub(super) step_m_s: f64,
}

#[derive(Debug, Clone)]
struct Block {
    /// The block's centre, from the mean of all times.
    centre_s: f64,
    /// From the centre to the first and the last sample.
    half_s: f64,
    moments: [Complex64; N_TERMS],
}

impl Block {
    /// The factors of the powers of `alpha` in the block's sum: `sum over l, 2 l + p < N_TERMS, of
    /// (-i)^p / p! (-i beta)^l / l! m[p + 2 l]`.
    fn terms(&self, beta: f64) -> [Complex64; N_TERMS] {
        let mut factor = Complex64::new(1.0, 0.0);
        std::array::from_fn(|p| {
            let mut by = factor;
            let mut sum = Complex64::default();
            for (l, moment) in self.moments[p..].iter().step_by(2).enumerate() {
                sum += by * moment;
                by *= Complex64::new(0.0, -beta / (l + 1) as f64);
            }
            factor *= Complex64::new(0.0, -1.0 / (p + 1) as f64);
            sum
        })
    }
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
            powers: Vec::new(),
            row: Vec::new(),
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
        let first_s = objective.pulses().next().map_or(0.0, |(first, ..)| objective.time_s(first));
        let samples = self.block_samples(reach, self.mean_time_s - first_s);
        self.write_powers(samples);
        for (first, re, im) in objective.pulses() {
            let blocks = re.chunks(samples).zip(im.chunks(samples));
            for (idx, (re, im)) in blocks.enumerate() {
                if re.len() != self.powers.len() {
                    // The last of each pulse may be shorter.
                    self.write_powers(re.len());
                }
                let block = self.block(objective, first + idx * samples, re, im);
                self.blocks.push(block);
            }
            if samples != self.powers.len() {
                self.write_powers(samples);
            }
        }
    }

    /// Powers of `x` at the samples of a block.
    fn write_powers(&mut self, samples: usize) {
        let half = 0.5 * (samples - 1) as f64;
        self.powers.clear();
        self.powers.extend((0..samples).map(|idx| {
            let x = if half > 0.0 { (idx as f64 - half) / half } else { 0.0 };
            let mut power = 1.0;
            [(); N_TERMS].map(|()| {
                let this = power;
                power *= x;
                this
            })
        }));
    }

    fn block(&self, objective: &Objective, first: usize, re: &[f64], im: &[f64]) -> Block {
        let start = &self.start;
        let chirp = objective.chirp(start.range_rate_m_s, start.acceleration_m_s2);
        let (mut moments_re, mut moments_im) = ([0.0; N_TERMS], [0.0; N_TERMS]);
        let (mut turned_re, mut turned_im) = ([0.0; SEGMENT], [0.0; SEGMENT]);
        let segments = re.chunks(SEGMENT).zip(im.chunks(SEGMENT)).zip(self.powers.chunks(SEGMENT));
        for (idx, ((re, im), powers)) in segments.enumerate() {
            let first = first + idx * SEGMENT;
            turn(&chirp, first, re, im, &mut turned_re, &mut turned_im);
            for ((re, im), powers) in turned_re.iter().zip(&turned_im).zip(powers) {
                for j in 0..N_TERMS {
                    moments_re[j] += re * powers[j];
                    moments_im[j] += im * powers[j];
                }
            }
        }
        let half_s = 0.5 * (re.len() - 1) as f64 * self.sample_s;
        Block {
            centre_s: objective.time_s(first) + half_s - self.mean_time_s,
            half_s,
            moments: std::array::from_fn(|j| Complex64::new(moments_re[j], moments_im[j])),
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
    pub(super) fn best_of(&self, offsets: &[Offset]) -> Offset {
        let mut best: Option<(f64, Offset)> = None;
        for &offset in offsets {
            let value = self.value(offset);
            if best.is_none_or(|(best, _)| value > best) {
                best = Some((value, offset));
            }
        }
        best.expect("there are offsets").1
    }

    /// The first of the best points of a grid: which of `rows`, and which of its range rates. Each
    /// row is an acceleration with the first range rate at it.
    ///
    /// # Panics
    ///
    /// When there is no point.
    pub(super) fn best_of_grid(
        &mut self,
        rows: impl IntoIterator<Item = Offset>,
        rates: Rates,
    ) -> (usize, usize) {
        let mut best: Option<(f64, (usize, usize))> = None;
        let mut row = std::mem::take(&mut self.row);
        for (row_idx, first) in rows.into_iter().enumerate() {
            self.sum_row(first, rates, &mut row);
            for idx in 0..rates.n {
                let (re, im) = &row[idx / LANES];
                let value = re[idx % LANES].powi(2) + im[idx % LANES].powi(2);
                if best.is_none_or(|(best, _)| value > best) {
                    best = Some((value, (row_idx, idx)));
                }
            }
        }
        self.row = row;
        best.expect("there are points").1
    }

    /// Sums over the blocks at evenly spaced range rates: what [`Expansion::value`] is the square
    /// of, by the same series in another order.
    ///
    /// In a block the acceleration only changes the factors `c` of `beta`, so those are taken
    /// together with the moments first; what is left is a polynomial in `alpha`, which is real and
    /// evenly spaced, times a phasor that each range rate turns by the same.
    fn sum_row(&self, first: Offset, rates: Rates, row: &mut Row) {
        let (rate, acceleration) = (first.mid_range_rate_m_s, first.acceleration_m_s2);
        row.clear();
        row.resize(rates.n.div_ceil(LANES), ([0.0; LANES], [0.0; LANES]));
        for block in &self.blocks {
            let s = block.centre_s;
            let phase = self.wavenumber * (rate + 0.5 * acceleration * s) * s;
            let alpha = self.wavenumber * (rate + acceleration * s) * block.half_s;
            let alpha_step = self.wavenumber * rates.step_m_s * block.half_s;
            let beta = 0.5 * self.wavenumber * acceleration * block.half_s * block.half_s;
            let terms = block.terms(beta);

            let step = Complex64::cis(-self.wavenumber * rates.step_m_s * s);
            let mut at = Complex64::cis(-phase);
            let (mut at_re, mut at_im) = ([0.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                (at_re[lane], at_im[lane]) = (at.re, at.im);
                at *= step;
            }
            let step = step.powu(LANES as u32);
            for (chunk, (sum_re, sum_im)) in row.iter_mut().enumerate() {
                let mut re = [terms[N_TERMS - 1].re; LANES];
                let mut im = [terms[N_TERMS - 1].im; LANES];
                let mut alphas = [0.0; LANES];
                for (lane, alphas) in alphas.iter_mut().enumerate() {
                    *alphas = alpha + alpha_step * (chunk * LANES + lane) as f64;
                }
                for term in terms[..N_TERMS - 1].iter().rev() {
                    for lane in 0..LANES {
                        re[lane] = re[lane] * alphas[lane] + term.re;
                        im[lane] = im[lane] * alphas[lane] + term.im;
                    }
                }
                for lane in 0..LANES {
                    let (x, y) = (at_re[lane], at_im[lane]);
                    sum_re[lane] += re[lane] * x - im[lane] * y;
                    sum_im[lane] += re[lane] * y + im[lane] * x;
                    at_re[lane] = x * step.re - y * step.im;
                    at_im[lane] = x * step.im + y * step.re;
                }
            }
        }
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
