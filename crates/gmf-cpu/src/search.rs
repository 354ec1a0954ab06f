//! The pruned transform over all frequencies of one echo, and the search for its greatest power.

use std::f64::consts::TAU;
use std::sync::Arc;

use gmf_api::{Complex32, Derived};
use rustfft::{Fft, FftPlanner};

/// Each row of frequencies is computed in this many parts, where the period allows.
const PARTS: usize = 2;

/// Share of the bound on a row that its unseen part must reach to be computed: the rest is for
/// rounding, which is below 1e-5 of a row's greatest power.
const MARGIN: f32 = 1.0 - 1e-3;

/// The tables of the transform; shared by all threads.
///
/// # What need not be computed
///
/// A row of frequencies is `X(t) = sum over l < L of y[l] exp(-i l t)` at `P` equally spaced `t`.
/// Let `|X|` be greatest at `t0`, with the value `M`. Turned by `exp(i (L - 1) t / 2)` and by the
/// phase that makes it real at `t0`, `X` has a real part of exponential type `(L - 1) / 2` that is
/// nowhere above `M` and reaches it at `t0`. A lemma of M. Riesz says that such a function is at
/// least `M cos((L - 1) (t - t0) / 2)` as long as that cosine is positive. Of `C >= L` equally
/// spaced points one is within `pi / C` of `t0`, so
///
/// ```text
/// greatest power  <=  greatest power at the C points / cos^2(pi (L - 1) / (2 C))
/// ```
///
/// The even frequencies of a row are computed first, `C = P / 2`, and the odd ones only if the
/// bound allows them to reach the best so far. The result is the same to the bit.
pub(crate) struct Transform {
    /// Periods of the transform, `K`.
    periods: usize,
    /// Periods that hold a pulse, the last `n_ipp` of the `K`.
    n_ipp: usize,
    /// Decimated samples of a pulse, `L`.
    pulse: usize,
    /// Decimated samples of a period, `P`.
    period: usize,
    /// `w_K^(k k1)`, `[periods, n_ipp]`; `k` counts from the first period that holds a pulse, which
    /// leaves out a phase common to the row.
    period_phasors: Vec<Complex32>,
    /// Parts that a row is computed in: 2, or 1 where the period is odd or the pulse too long.
    parts: usize,
    /// A part whose greatest power is below this share of the best has nothing to hide.
    hidden: f32,
    /// `w^(l (k1 + K part))`, `[periods, parts, pulse]`.
    twiddles: Vec<Complex32>,
    /// Of `period / parts` points.
    fft: Arc<dyn Fft<f32>>,
}

/// Memory that one thread needs for a transform.
pub(crate) struct TransformScratch {
    /// The echo under an acceleration's phasors, real parts then imaginary parts of each pulse,
    /// `[n_ipp, 2, pulse]`: apart, so that the sums over the periods run on whole vectors.
    planes: Vec<f32>,
    /// One sum over the periods, `[2, pulse]`.
    sum: Vec<f32>,
    /// One part of a row of frequencies, `[period / parts]`.
    row: Vec<Complex32>,
    /// Power of that part, `[period / parts]`.
    power: Vec<f32>,
    fft: Vec<Complex32>,
}

/// The greatest power found so far, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    pub(crate) power: f32,
    pub(crate) frequency_idx: usize,
}

fn phasor(turns_numerator: usize, turns_denominator: usize) -> Complex32 {
    // Reduced before it is divided, so that long products lose nothing.
    let turns = (turns_numerator % turns_denominator) as f64 / turns_denominator as f64;
    let (sin, cos) = (-TAU * turns).sin_cos();
    Complex32::new(cos as f32, sin as f32)
}

impl Transform {
    pub(crate) fn new(derived: &Derived) -> Self {
        let n = derived.decimated_read_length();
        let period = derived.ipp_samples() / derived.decimation();
        let (periods, n_ipp, pulse) = (n / period, derived.n_ipp(), derived.decimated_pulse());
        let fits = period.is_multiple_of(PARTS) && pulse <= period / PARTS;
        let parts = if fits { PARTS } else { 1 };
        let points = period / parts;
        let bound = (std::f64::consts::FRAC_PI_2 * (pulse - 1) as f64 / points as f64).cos();
        let mut period_phasors = Vec::with_capacity(periods * n_ipp);
        let mut twiddles = Vec::with_capacity(periods * parts * pulse);
        for k1 in 0..periods {
            period_phasors.extend((0..n_ipp).map(|k| phasor(k * k1, periods)));
            for part in 0..parts {
                twiddles.extend((0..pulse).map(|l| phasor(l * (k1 + periods * part), n)));
            }
        }
        Self {
            periods,
            n_ipp,
            pulse,
            period,
            period_phasors,
            parts,
            hidden: (bound * bound) as f32 * MARGIN,
            twiddles,
            fft: FftPlanner::new().plan_fft_forward(points),
        }
    }

    pub(crate) fn scratch(&self) -> TransformScratch {
        TransformScratch {
            planes: vec![0.0; 2 * self.n_ipp * self.pulse],
            sum: vec![0.0; 2 * self.pulse],
            row: vec![Complex32::default(); self.period / self.parts],
            power: vec![0.0; self.period / self.parts],
            fft: vec![Complex32::default(); self.fft.get_inplace_scratch_len()],
        }
    }

    /// Finds the greatest power of `echo * phasors` over all frequencies, and of equal ones the
    /// lowest frequency; `None` where nothing is above `floor`.
    ///
    /// `echo` and `phasors` have the shape `[n_ipp, pulse]`. `floor` is 0 or the best so far: only
    /// what is greater counts.
    pub(crate) fn greatest(
        &self,
        echo: &[Complex32],
        phasors: &[Complex32],
        floor: f32,
        scratch: &mut TransformScratch,
    ) -> Option<Best> {
        let TransformScratch { planes, sum, row, power, fft } = scratch;
        let pulse = self.pulse;
        let echo = echo.chunks_exact(pulse).zip(phasors.chunks_exact(pulse));
        for ((echo, phasors), plane) in echo.zip(planes.chunks_exact_mut(2 * pulse)) {
            let (re, im) = plane.split_at_mut(pulse);
            for (((re, im), e), p) in re.iter_mut().zip(im).zip(echo).zip(phasors) {
                *re = e.re * p.re - e.im * p.im;
                *im = e.re * p.im + e.im * p.re;
            }
        }
        let mut best: Option<Best> = None;
        for k1 in 0..self.periods {
            let weights = &self.period_phasors[k1 * self.n_ipp..][..self.n_ipp];
            self.sum_periods(planes, weights, sum);
            let (re, im) = sum.split_at(pulse);
            for part in 0..self.parts {
                let twiddles = &self.twiddles[(k1 * self.parts + part) * pulse..][..pulse];
                for (((x, re), im), t) in row.iter_mut().zip(re).zip(im).zip(twiddles) {
                    *x = Complex32::new(re * t.re - im * t.im, re * t.im + im * t.re);
                }
                row[pulse..].fill(Complex32::default());
                self.fft.process_with_scratch(row, fft);
                let most = powers(row, power);
                let least = best.map_or(floor, |best| best.power);
                // Rows interleave: an equal power in a later one may be at a lower frequency.
                if most > least || (best.is_some() && most == least) {
                    let at = power.iter().position(|&p| p == most).expect("the greatest is there");
                    let frequency_idx = k1 + self.periods * (part + self.parts * at);
                    if best.is_none_or(|b| most > b.power || frequency_idx < b.frequency_idx) {
                        best = Some(Best { power: most, frequency_idx });
                    }
                }
                if most == 0.0 || most < self.hidden * best.map_or(floor, |best| best.power) {
                    break;
                }
            }
        }
        best
    }

    /// `sum[l] = sum over k of planes[k, l] * weights[k]`.
    fn sum_periods(&self, planes: &[f32], weights: &[Complex32], sum: &mut [f32]) {
        sum.fill(0.0);
        let (sum_re, sum_im) = sum.split_at_mut(self.pulse);
        for (plane, w) in planes.chunks_exact(2 * self.pulse).zip(weights) {
            let (re, im) = plane.split_at(self.pulse);
            for (((sum_re, sum_im), re), im) in sum_re.iter_mut().zip(&mut *sum_im).zip(re).zip(im)
            {
                *sum_re += re * w.re - im * w.im;
                *sum_im += re * w.im + im * w.re;
            }
        }
    }
}

/// Writes `|z|^2` of every element and returns the greatest.
fn powers(row: &[Complex32], power: &mut [f32]) -> f32 {
    // Several maxima at once, so that none waits for the one before.
    const LANES: usize = 16;
    let mut most = [0.0f32; LANES];
    let (rows, rest) = row.as_chunks::<LANES>();
    let (powers, rest_powers) = power.as_chunks_mut::<LANES>();
    for (row, power) in rows.iter().zip(powers) {
        for lane in 0..LANES {
            power[lane] = row[lane].re * row[lane].re + row[lane].im * row[lane].im;
            most[lane] = if power[lane] > most[lane] { power[lane] } else { most[lane] };
        }
    }
    for (z, power) in rest.iter().zip(rest_powers) {
        *power = z.re * z.re + z.im * z.im;
        most[0] = most[0].max(*power);
    }
    most.into_iter().fold(0.0, f32::max)
}
