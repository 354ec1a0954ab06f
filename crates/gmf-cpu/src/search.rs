//! The pruned transform over all frequencies of one echo, and the search for its greatest power.

use std::f64::consts::TAU;
use std::sync::Arc;

use gmf_api::{Complex32, Derived};
use rustfft::{Fft, FftPlanner};

/// The tables of the transform; shared by all threads.
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
    /// `w^(l k1)`, `[periods, pulse]`.
    twiddles: Vec<Complex32>,
    fft: Arc<dyn Fft<f32>>,
}

/// Memory that one thread needs for a transform.
pub(crate) struct TransformScratch {
    /// The echo under an acceleration's phasors, real parts then imaginary parts of each pulse,
    /// `[n_ipp, 2, pulse]`: apart, so that the sums over the periods run on whole vectors.
    planes: Vec<f32>,
    /// One sum over the periods, `[2, pulse]`.
    sum: Vec<f32>,
    /// One row of frequencies, `[period]`.
    row: Vec<Complex32>,
    /// Power of one row, `[period]`.
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
        let mut period_phasors = Vec::with_capacity(periods * n_ipp);
        let mut twiddles = Vec::with_capacity(periods * pulse);
        for k1 in 0..periods {
            period_phasors.extend((0..n_ipp).map(|k| phasor(k * k1, periods)));
            twiddles.extend((0..pulse).map(|l| phasor(l * k1, n)));
        }
        let fft = FftPlanner::new().plan_fft_forward(period);
        Self { periods, n_ipp, pulse, period, period_phasors, twiddles, fft }
    }

    pub(crate) fn scratch(&self) -> TransformScratch {
        TransformScratch {
            planes: vec![0.0; 2 * self.n_ipp * self.pulse],
            sum: vec![0.0; 2 * self.pulse],
            row: vec![Complex32::default(); self.period],
            power: vec![0.0; self.period],
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
            let twiddles = &self.twiddles[k1 * pulse..][..pulse];
            for (((x, re), im), t) in row.iter_mut().zip(re).zip(im).zip(twiddles) {
                *x = Complex32::new(re * t.re - im * t.im, re * t.im + im * t.re);
            }
            row[pulse..].fill(Complex32::default());
            self.fft.process_with_scratch(row, fft);
            let most = powers(row, power);
            let least = best.map_or(floor, |best| best.power);
            // Rows interleave: an equal power in a later row may be at a lower frequency.
            if most > least || (best.is_some() && most == least) {
                let at = power.iter().position(|&p| p == most).expect("the greatest is there");
                let found = Best { power: most, frequency_idx: k1 + self.periods * at };
                if best.is_none_or(|b| most > b.power || found.frequency_idx < b.frequency_idx) {
                    best = Some(found);
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
