//! What is maximised, in double precision and in full.

use std::sync::Arc;

use super::chirp::{Chirp, SEGMENT};
use crate::{Derived, Integration, KernelError};

/// The filter at one range gate for any range rate and acceleration, without decimation.
///
/// ```text
/// gmf(v, a) = | sum over n of  tx[n] rx[n] exp(-2 pi i (v t[n] + a t[n]^2 / 2) / wavelength) |^2
/// ```
///
/// | symbol | meaning                                                              | unit          |
/// | ------ | -------------------------------------------------------------------- | ------------- |
/// | `n`    | the samples of all pulses, `[n_ipp * pulse_samples]`, none left out  |               |
/// | `tx`   | the transmitted code, conjugated and scaled to unit energy           | 1             |
/// | `rx`   | the samples of the gate                                              | recorder's    |
/// | `t`    | time of reception, from the first sample of the integration          | s             |
/// | `v`    | range rate at `t = 0`                                                | m/s           |
/// | `a`    | acceleration                                                         | m/s^2         |
/// | `gmf`  | energy of the echo that matches                                      | recorder's ^2 |
///
/// The [`crate::Reference`] is this with phases that are kept constant within each block of
/// `frequency_decimation` samples, and with `t` of the first gate whatever the gate; so its range
/// rate is greater by `a * gate / sample_rate`.
///
/// Source: `optimize_grid_gmf_np` in hardtarget 0.5.1, `gmf/gmf_numpy.py`, with the same samples
/// and times, except that there the gate is found from its range by rounding down a product of
/// floats, which at times gives the gate before. docs/originals.md has the list.
#[derive(Debug, Clone)]
pub struct Objective {
    derived: Arc<Derived>,
    gate: usize,
    /// Real parts of `tx * rx`, pulse after pulse.
    re: Vec<f64>,
    /// Imaginary parts.
    im: Vec<f64>,
}

impl Objective {
    /// A buffer for the integrations of `derived`.
    #[must_use]
    pub fn new(derived: &Arc<Derived>) -> Self {
        let n = derived.n_ipp() * derived.pulse_samples();
        Self { gate: 0, re: vec![0.0; n], im: vec![0.0; n], derived: Arc::clone(derived) }
    }

    /// Decodes the echo of one gate, at the full sample rate.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`] when `integration` is of another search.
    ///
    /// # Panics
    ///
    /// When there is no gate with the index `range_idx`.
    pub fn load(
        &mut self,
        integration: Integration<'_>,
        range_idx: usize,
    ) -> Result<(), KernelError> {
        let d = &*self.derived;
        integration.check(d)?;
        assert!(range_idx < d.n_ranges(), "gate {range_idx} of {}", d.n_ranges());
        self.gate = range_idx * d.gate_step();
        let pulse = d.pulse_samples();
        for ipp_idx in 0..d.n_ipp() {
            let tx = &integration.tx[ipp_idx * pulse..][..pulse];
            let rx = &integration.rx[ipp_idx * d.window_samples() + self.gate..][..pulse];
            let re = &mut self.re[ipp_idx * pulse..][..pulse];
            let im = &mut self.im[ipp_idx * pulse..][..pulse];
            for (((re, im), tx), rx) in re.iter_mut().zip(im).zip(tx).zip(rx) {
                let (a, b) = (f64::from(tx.re), f64::from(tx.im));
                let (c, d) = (f64::from(rx.re), f64::from(rx.im));
                *re = a * c - b * d;
                *im = a * d + b * c;
            }
        }
        Ok(())
    }

    /// The objective for a range rate in m/s and an acceleration in m/s^2.
    #[must_use]
    pub fn value(&self, range_rate_m_s: f64, acceleration_m_s2: f64) -> f64 {
        let chirp = self.chirp(range_rate_m_s, acceleration_m_s2);
        // Several sums at once, so that none waits for the one before.
        const LANES: usize = 4;
        let (mut sum_re, mut sum_im) = ([0.0; LANES], [0.0; LANES]);
        let (mut re, mut im) = ([0.0; SEGMENT], [0.0; SEGMENT]);
        for (first, pulse_re, pulse_im) in self.pulses() {
            let segments = pulse_re.chunks(SEGMENT).zip(pulse_im.chunks(SEGMENT));
            for (idx, (pulse_re, pulse_im)) in segments.enumerate() {
                let n = pulse_re.len();
                turn(&chirp, first + idx * SEGMENT, pulse_re, pulse_im, &mut re, &mut im);
                let chunks = re[..n].chunks(LANES).zip(im[..n].chunks(LANES));
                for (re, im) in chunks {
                    for (lane, (re, im)) in re.iter().zip(im).enumerate() {
                        sum_re[lane] += re;
                        sum_im[lane] += im;
                    }
                }
            }
        }
        sum_re.iter().sum::<f64>().powi(2) + sum_im.iter().sum::<f64>().powi(2)
    }

    /// What undoes a range rate and an acceleration.
    pub(super) fn chirp(&self, range_rate_m_s: f64, acceleration_m_s2: f64) -> Chirp {
        let e = self.derived.experiment();
        let rate = e.sample_rate_hz as f64;
        Chirp::new(range_rate_m_s, acceleration_m_s2, e.wavelength_m(), rate)
    }

    /// Each pulse's first sample in the integration, and the parts of its decoded echo.
    pub(super) fn pulses(&self) -> impl Iterator<Item = (usize, &[f64], &[f64])> {
        let pulse = self.derived.pulse_samples();
        self.re
            .chunks_exact(pulse)
            .zip(self.im.chunks_exact(pulse))
            .enumerate()
            .map(|(ipp_idx, (re, im))| (self.first_sample(ipp_idx), re, im))
    }

    fn first_sample(&self, ipp_idx: usize) -> usize {
        let d = &self.derived;
        (ipp_idx + d.processing().ipp_offset) * d.ipp_samples() + d.rx_window().start + self.gate
    }

    pub(super) fn time_s(&self, sample: usize) -> f64 {
        sample as f64 / self.derived.experiment().sample_rate_hz as f64
    }

    /// Mean of the times, in seconds: pulses are evenly spaced, so it is that of first and last.
    pub(super) fn mean_time_s(&self) -> f64 {
        let last = self.first_sample(self.derived.n_ipp() - 1) + self.derived.pulse_samples() - 1;
        0.5 * (self.time_s(self.first_sample(0)) + self.time_s(last))
    }
}

/// Turns decoded samples, [`SEGMENT`] at most, by the phasors of the samples from `first` on.
pub(super) fn turn(
    chirp: &Chirp,
    first: usize,
    from_re: &[f64],
    from_im: &[f64],
    re: &mut [f64; SEGMENT],
    im: &mut [f64; SEGMENT],
) {
    let n = from_re.len();
    let (re, im) = (&mut re[..n], &mut im[..n]);
    chirp.write(first, re, im);
    for (((re, im), x), y) in re.iter_mut().zip(im).zip(from_re).zip(from_im) {
        (*re, *im) = (x * *re - y * *im, x * *im + y * *re);
    }
}
