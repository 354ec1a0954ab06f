//! The phasors that undo a range rate and an acceleration, by recurrence.
//!
//! A sine and a cosine for every sample would be most of the time of a refinement. The phase is a
//! parabola, so that each phasor follows from the one before by a factor, and each factor by a
//! constant one.

use std::f64::consts::TAU;

use num_complex::Complex64;

/// Samples from one computation of sine and cosine to the next.
pub(super) const SEGMENT: usize = 128;

/// Recurrences side by side, so that none waits for itself.
const LANES: usize = 4;

/// `exp(-2 pi i (v t + a t^2 / 2) / wavelength)` on the samples of a recording.
///
/// Begun anew every [`SEGMENT`] samples. In between there are `SEGMENT / LANES` products one after
/// the other, of factors that are products in turn, so that the phase drifts by at most some
/// `(SEGMENT / LANES)^2 / 2` roundings: 1e-13, when roundings all add up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chirp {
    /// Turns a second, at `t = 0`.
    turns_per_s: f64,
    /// Half the turns a second gained in each second.
    half_turns_per_s2: f64,
    sample_rate_hz: f64,
}

/// The phasor of some turns, of which whole ones are taken off first: they would cost the cosine
/// its digits.
fn phasor(turns: f64) -> Complex64 {
    Complex64::cis(-TAU * (turns - turns.round()))
}

impl Chirp {
    pub(super) fn new(
        range_rate_m_s: f64,
        acceleration_m_s2: f64,
        wavelength_m: f64,
        sample_rate_hz: f64,
    ) -> Self {
        Self {
            turns_per_s: range_rate_m_s / wavelength_m,
            half_turns_per_s2: 0.5 * acceleration_m_s2 / wavelength_m,
            sample_rate_hz,
        }
    }

    fn turns(&self, sample: usize) -> f64 {
        let t = sample as f64 / self.sample_rate_hz;
        (self.turns_per_s + self.half_turns_per_s2 * t) * t
    }

    /// Turns from a sample to the one `LANES` later.
    fn turns_on(&self, sample: usize) -> f64 {
        let step_s = LANES as f64 / self.sample_rate_hz;
        let twice_t = (2 * sample + LANES) as f64 / self.sample_rate_hz;
        (self.turns_per_s + self.half_turns_per_s2 * twice_t) * step_s
    }

    /// Writes the phasors of the samples from `first` on, [`SEGMENT`] at most.
    pub(super) fn write(&self, first: usize, re: &mut [f64], im: &mut [f64]) {
        let mut at = [Complex64::default(); LANES];
        let mut factor = [Complex64::default(); LANES];
        for lane in 0..LANES {
            at[lane] = phasor(self.turns(first + lane));
            factor[lane] = phasor(self.turns_on(first + lane));
        }
        let step_s = LANES as f64 / self.sample_rate_hz;
        let turn = phasor(2.0 * self.half_turns_per_s2 * step_s * step_s);
        let (mut at_re, mut at_im) = (at.map(|z| z.re), at.map(|z| z.im));
        let (mut by_re, mut by_im) = (factor.map(|z| z.re), factor.map(|z| z.im));
        for (re, im) in re.chunks_mut(LANES).zip(im.chunks_mut(LANES)) {
            // The last chunk may be shorter.
            re.copy_from_slice(&at_re[..re.len()]);
            im.copy_from_slice(&at_im[..im.len()]);
            for lane in 0..LANES {
                let (x, y) = (at_re[lane], at_im[lane]);
                at_re[lane] = x * by_re[lane] - y * by_im[lane];
                at_im[lane] = x * by_im[lane] + y * by_re[lane];
                let (x, y) = (by_re[lane], by_im[lane]);
                by_re[lane] = x * turn.re - y * turn.im;
                by_im[lane] = x * turn.im + y * turn.re;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sine and cosine for each sample, over the times and speeds of a radar.
    #[test]
    fn the_recurrence_keeps_its_digits() {
        for (rate, acceleration) in [(0.0, 0.0), (8000.0, 500.0), (-431.3, 97.1), (12.0, -300.0)] {
            let chirp = Chirp::new(rate, acceleration, 0.3225, 1e6);
            for (first, n) in [(0, SEGMENT), (6083, SEGMENT), (199_871, 77), (1_999_999, 1)] {
                let (mut re, mut im) = (vec![0.0; n], vec![0.0; n]);
                chirp.write(first, &mut re, &mut im);
                for idx in 0..n {
                    let exact = phasor(chirp.turns(first + idx));
                    let off = (Complex64::new(re[idx], im[idx]) - exact).norm();
                    // What the turns themselves are rounded by, and what the recurrence adds.
                    let turns = chirp.turns(first + idx).abs();
                    let tolerance = 1e-13 + 2.0 * TAU * turns * f64::EPSILON;
                    assert!(off < tolerance, "{rate}, {acceleration}, {first} + {idx}: {off}");
                }
            }
        }
    }
}
