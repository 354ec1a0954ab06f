//! The points of a row where their number has large prime factors.

use crate::exact::{RowScratch, Shape};
use crate::fft::{self, Fft, Registers, phasor};
use crate::simd::{C, Kernel, MOST_LANES, Simd, greatest, mul, power, splat, zero};

/// The points of a row by convolution with a chirp.
///
/// The points are divided into as many runs of `B` as there are lanes; with
/// `l i = (l^2 + i^2 - (i - l)^2) / 2`
///
/// ```text
/// X(b B + i) = w_P^(i^2 / 2) sum over l of (y[l] w_P^(l b B + l^2 / 2)) w_P^(-(i - l)^2 / 2)
/// ```
///
/// is a convolution with a sequence that is the same for all, done by transforms of `M >= B + L - 1`
/// points; the factor before the sum changes no power. Source: Bluestein (1970), and Rabiner,
/// Schafer and Rader, "The chirp z-transform algorithm" (1969).
pub(crate) struct Chirp<S: Simd> {
    /// `P`.
    period: usize,
    /// `L`.
    pulse: usize,
    /// `B`.
    run: usize,
    /// Of `M` points.
    fft: Fft,
    /// `w_P^(l b B + l^2 / 2)`, `[MOST_LANES / LANES, pulse]`.
    twiddles: Vec<C<S>>,
    /// The transform of the chirp over `M`, in the order of positions.
    chirp: Vec<[f32; 2]>,
    /// The position at which the transform leaves each frequency, `[M]`.
    positions: Vec<u32>,
    growth: f64,
}

/// Points of a run, `B`, and of the transforms, `M`.
fn lengths(shape: &Shape) -> (usize, usize) {
    let run = shape.period.div_ceil(MOST_LANES);
    let least = run + shape.pulse - 1;
    // Powers of two are among them, so a cheapest one is below twice the least.
    let candidates =
        (least..2 * least + 1).filter_map(|n| Some((fft::cost(n, Registers::ThirtyTwo)?, n)));
    let (_, n) = candidates.min().expect("a power of two is among them");
    (run, n)
}

impl<S: Simd> Chirp<S> {
    pub(crate) fn cost(shape: &Shape) -> usize {
        let (run, n) = lengths(shape);
        let transforms = 2 * fft::cost(n, Registers::ThirtyTwo).unwrap_or(usize::MAX / 4);
        (transforms + 6 * shape.pulse + 8 * n + 6 * run) * MOST_LANES / S::LANES
    }

    pub(crate) fn new(s: S, shape: &Shape) -> Self {
        let (run, n) = lengths(shape);
        let (period, pulse) = (shape.period, shape.pulse);
        let fft = Fft::new(n, Registers::ThirtyTwo).expect("only such lengths are chosen");
        let groups = MOST_LANES / S::LANES;
        let mut twiddles = vec![zero(s); groups * pulse];
        for lane in 0..MOST_LANES {
            for l in 0..pulse {
                let to = &mut twiddles[lane / S::LANES * pulse + l];
                let turns = 2 * (l * lane % period) * run + l * l;
                let [re, im] = phasor(turns, 2 * period);
                S::floats_mut(std::slice::from_mut(&mut to.re))[lane % S::LANES] = re;
                S::floats_mut(std::slice::from_mut(&mut to.im))[lane % S::LANES] = im;
            }
        }
        let mut positions = vec![0; n];
        for (position, &frequency) in fft.frequencies().iter().enumerate() {
            positions[frequency as usize] = position as u32;
        }
        let chirp = transformed_chirp(run, pulse, period, &fft.frequencies());
        let modulus = |z: &[f32; 2]| f64::from(z[0]).hypot(f64::from(z[1]));
        let growth = n as f64 * chirp.iter().map(modulus).fold(0.0, f64::max);
        Self { period, pulse, run, fft, twiddles, chirp, positions, growth }
    }

    /// Roundings on the way of a number.
    pub(crate) fn depth(&self) -> usize {
        2 * self.fft.depth() + 12
    }

    /// How much greater than the sum of its input a number becomes on the way.
    pub(crate) fn growth(&self) -> f64 {
        self.growth.max(1.0)
    }

    /// Lengths of the buffers `work`, `more` and `powers`.
    pub(crate) fn scratch(&self) -> (usize, usize, usize) {
        let n = self.fft.len();
        (n, n, MOST_LANES / S::LANES * self.run)
    }

    pub(crate) fn powers(&self, s: S, scratch: &mut RowScratch<S>) -> f32 {
        let mut most = s.splat(0.0);
        for group in 0..MOST_LANES / S::LANES {
            s.run(Spread { chirp: self, group, scratch });
            self.fft.transform(s, &mut scratch.work);
            s.run(Multiply { chirp: self, scratch });
            self.fft.transform(s, &mut scratch.more);
            most = s.max(s.run(Collect { chirp: self, group, scratch }), most);
        }
        greatest::<S>(most)
    }

    /// `k2` of the power with the number `at`.
    pub(crate) fn point(&self, at: usize) -> Option<usize> {
        let (vector, lane) = (at / S::LANES, at % S::LANES);
        let (group, i) = (vector / self.run, vector % self.run);
        let k2 = (group * S::LANES + lane) * self.run + i;
        (k2 < self.period).then_some(k2)
    }
}

/// The transform of `w_P^(-d^2 / 2)`, `-L < d < B`, over `M`; at every position of the output.
fn transformed_chirp(run: usize, pulse: usize, period: usize, order: &[u32]) -> Vec<[f32; 2]> {
    let n = order.len();
    let mut sequence = vec![[0.0f64; 2]; n];
    for d in 0..run.max(pulse) {
        let turns = (d * d % (2 * period)) as f64 / (2 * period) as f64;
        let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
        if d < run {
            sequence[d] = [cos, sin];
        }
        if d > 0 && d < pulse {
            sequence[n - d] = [cos, sin];
        }
    }
    let mut buffer: Vec<_> =
        sequence.iter().map(|&[re, im]| gmf_api::Complex64::new(re, im)).collect();
    rustfft::FftPlanner::new().plan_fft_forward(n).process(&mut buffer);
    order
        .iter()
        .map(|&frequency| {
            let z = buffer[frequency as usize] / n as f64;
            [z.re as f32, z.im as f32]
        })
        .collect()
}

/// Multiplies `y` with the twiddles of a group of runs.
struct Spread<'a, S: Simd> {
    chirp: &'a Chirp<S>,
    group: usize,
    scratch: &'a mut RowScratch<S>,
}

impl<S: Simd> Kernel<S> for Spread<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let pulse = self.chirp.pulse;
        let twiddles = &self.chirp.twiddles[self.group * pulse..][..pulse];
        for (l, twiddle) in twiddles.iter().enumerate() {
            let y = self.scratch.summed();
            let y = splat(s, [y.re[l], y.im[l]]);
            self.scratch.work[l] = mul(s, y, *twiddle);
        }
        self.scratch.work[pulse..].fill(zero(s));
    }
}

/// Multiplies with the transform of the chirp, back in the order of frequencies.
struct Multiply<'a, S: Simd> {
    chirp: &'a Chirp<S>,
    scratch: &'a mut RowScratch<S>,
}

impl<S: Simd> Kernel<S> for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let RowScratch { work, more, .. } = self.scratch;
        for (to, &position) in more.iter_mut().zip(&self.chirp.positions) {
            let position = position as usize;
            *to = mul(s, work[position], splat(s, self.chirp.chirp[position]));
        }
    }
}

/// Writes the powers of a group of runs, and returns the greatest in each lane.
struct Collect<'a, S: Simd> {
    chirp: &'a Chirp<S>,
    group: usize,
    scratch: &'a mut RowScratch<S>,
}

impl<S: Simd> Kernel<S> for Collect<'_, S> {
    type Output = S::V;

    #[inline(always)]
    fn run(self, s: S) -> S::V {
        let Self { chirp, group, scratch } = self;
        let RowScratch { more, powers, .. } = scratch;
        let n = more.len();
        let powers = &mut powers[group * chirp.run..][..chirp.run];
        for (i, to) in powers.iter_mut().enumerate() {
            // A transform forward stands in for the one back, with the output reversed.
            *to = power(s, more[chirp.positions[(n - i) % n] as usize]);
        }
        // What lies behind the last point is the first ones again, in other bits.
        for lane in 0..S::LANES {
            let first = (group * S::LANES + lane) * chirp.run;
            let valid = chirp.period.saturating_sub(first).min(chirp.run);
            for power in &mut powers[valid..] {
                S::floats_mut(std::slice::from_mut(power))[lane] = 0.0;
            }
        }
        let mut most = s.splat(0.0);
        for power in powers {
            most = s.max(*power, most);
        }
        most
    }
}
