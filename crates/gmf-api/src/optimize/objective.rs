//! What is maximised, in double precision and in full.

use std::f64::consts::TAU;
use std::sync::Arc;

use num_complex::{Complex32, Complex64};

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
    /// `tx * rx`, pulse after pulse.
    decoded: Vec<Complex64>,
}

impl Objective {
    /// A buffer for the integrations of `derived`.
    #[must_use]
    pub fn new(derived: &Arc<Derived>) -> Self {
        Self {
            gate: 0,
            decoded: vec![Complex64::default(); derived.n_ipp() * derived.pulse_samples()],
            derived: Arc::clone(derived),
        }
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
        let wide = |z: Complex32| Complex64::new(f64::from(z.re), f64::from(z.im));
        for ipp_idx in 0..d.n_ipp() {
            let tx = &integration.tx[ipp_idx * d.pulse_samples()..][..d.pulse_samples()];
            let rx = &integration.rx[ipp_idx * d.window_samples() + self.gate..];
            let decoded = &mut self.decoded[ipp_idx * d.pulse_samples()..];
            for ((decoded, tx), rx) in decoded.iter_mut().zip(tx).zip(rx) {
                *decoded = wide(*tx) * wide(*rx);
            }
        }
        Ok(())
    }

    /// The objective for a range rate in m/s and an acceleration in m/s^2.
    #[must_use]
    pub fn value(&self, range_rate_m_s: f64, acceleration_m_s2: f64) -> f64 {
        let wavelength_m = self.derived.experiment().wavelength_m();
        let mut sum = Complex64::default();
        for (first, pulse) in self.pulses() {
            for (idx, decoded) in pulse.iter().enumerate() {
                let t = self.time_s(first + idx);
                let turns = (range_rate_m_s + 0.5 * acceleration_m_s2 * t) * t / wavelength_m;
                // Whole turns are taken off first: they would cost the cosine its digits.
                sum += decoded * Complex64::cis(-TAU * (turns - turns.round()));
            }
        }
        sum.norm_sqr()
    }

    /// Each pulse's first sample in the integration, and its decoded echo.
    pub(super) fn pulses(&self) -> impl Iterator<Item = (usize, &[Complex64])> {
        self.decoded
            .chunks_exact(self.derived.pulse_samples())
            .enumerate()
            .map(|(ipp_idx, pulse)| (self.first_sample(ipp_idx), pulse))
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
