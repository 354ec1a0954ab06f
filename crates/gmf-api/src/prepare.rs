//! From recorded samples to an integration: stencils, transmitted power, unit energy.

use std::sync::Arc;

use num_complex::Complex32;

use crate::{Derived, Integration, SamplesError};

/// The samples of one integration on level 1, in buffers that are used again and again.
#[derive(Debug, Clone)]
pub struct PreparedSamples {
    derived: Arc<Derived>,
    tx: Vec<Complex32>,
    rx: Vec<Complex32>,
    tx_power: f32,
}

impl PreparedSamples {
    /// Buffers for the integrations of `derived`.
    #[must_use]
    pub fn new(derived: &Arc<Derived>) -> Self {
        Self {
            derived: Arc::clone(derived),
            tx: vec![Complex32::default(); derived.n_ipp() * derived.pulse_samples()],
            rx: vec![Complex32::default(); derived.n_ipp() * derived.window_samples()],
            tx_power: 0.0,
        }
    }

    /// Cuts pulses and receive windows out of the samples of one integration.
    ///
    /// | argument | shape                   | unit                                             |
    /// | -------- | ----------------------- | ------------------------------------------------ |
    /// | `rx`     | `[read_length]`         | V, or the recorder's counts                      |
    /// | `tx`     | `[integration_samples]` | the same; the start of `rx`, where one channel holds both |
    ///
    /// The pulses are conjugated and scaled to unit energy, `sum |tx|^2 = 1`, so that the filter's
    /// value is the energy of the echo that matches. Source: `extract_signals` and
    /// `grid_integrate_and_match_ipps` in hardtarget 0.5.1, `analysis/analyze_gmf.py`, but any
    /// energy above zero is matched (the original demands an amplitude above 1, and so passes over
    /// recordings in volts).
    ///
    /// # Errors
    ///
    /// [`SamplesError::Length`]; [`SamplesError::NotFinite`] when a sample that is used is NaN or
    /// infinite; [`SamplesError::NoTransmission`] when the transmitter was silent.
    pub fn load(&mut self, rx: &[Complex32], tx: &[Complex32]) -> Result<(), SamplesError> {
        let d = &*self.derived;
        for (what, samples, expected) in [
            ("the receiver", rx, d.read_length()),
            ("the transmitter", tx, d.integration_samples()),
        ] {
            if samples.len() != expected {
                let got = samples.len();
                return Err(SamplesError::Length { what, expected, got });
            }
        }
        let offset = d.processing().ipp_offset;
        for ipp_idx in 0..d.n_ipp() {
            let start = (ipp_idx + offset) * d.ipp_samples() + d.rx_window().start;
            let length = d.window_samples();
            let window = &mut self.rx[ipp_idx * length..][..length];
            copy_finite("receiver", rx, start, window)?;

            let start = ipp_idx * d.ipp_samples() + d.tx_pulse().start;
            let length = d.pulse_samples();
            let pulse = &mut self.tx[ipp_idx * length..][..length];
            copy_finite("transmitter", tx, start, pulse)?;
        }
        // In double precision: the sum is over tens of thousands of squares, and squares of small
        // amplitudes must not vanish.
        let power: f64 =
            self.tx.iter().map(|z| f64::from(z.re).powi(2) + f64::from(z.im).powi(2)).sum();
        if power == 0.0 {
            return Err(SamplesError::NoTransmission);
        }
        let scale = 1.0 / power.sqrt();
        for z in &mut self.tx {
            *z =
                Complex32::new((f64::from(z.re) * scale) as f32, (-f64::from(z.im) * scale) as f32);
        }
        self.tx_power = power as f32;
        Ok(())
    }

    /// The integration that was loaded last.
    #[must_use]
    pub fn integration(&self) -> Integration<'_> {
        Integration { tx: &self.tx, rx: &self.rx }
    }

    /// Transmitted energy of the integration that was loaded last: `sum |tx|^2` over its pulses,
    /// in the recorder's unit squared. (hardtarget stores it under the name `tx_power`.)
    #[must_use]
    pub fn tx_power(&self) -> f32 {
        self.tx_power
    }
}

fn copy_finite(
    what: &'static str,
    from: &[Complex32],
    start: usize,
    to: &mut [Complex32],
) -> Result<(), SamplesError> {
    let from = &from[start..start + to.len()];
    // A sum of magnitudes would overflow where the samples do not, so each is asked; written
    // without a branch, that is a fraction of the copy.
    let finite = from.iter().fold(true, |all, z| all & z.re.is_finite() & z.im.is_finite());
    if !finite {
        let at = from.iter().position(|z| !z.is_finite()).expect("one was not finite");
        return Err(SamplesError::NotFinite { what, index: start + at, value: from[at] });
    }
    to.copy_from_slice(from);
    Ok(())
}
