//! What a filter should find in the simulated samples.

use gmf_api::{Derived, SPEED_OF_LIGHT_M_S};

use super::{Synthesis, Target};

/// What the filter should find of one target in one coherent integration.
///
/// # Range
///
/// The filter places a gate by whole samples of delay, the same for all pulses of an integration,
/// and counts the delay from the start of the period that is `ipp_offset` periods after the pulse.
/// So the strongest gate is the one nearest to the path, averaged over the integration's pulses,
/// less `ipp_offset` periods times the speed of light.
///
/// # Range rate and acceleration
///
/// The filter's clock is that of the first gate's samples: a sample that left at `u` seconds after
/// the start of the integration is referred to `s = u + d`, where `d` is the first gate's delay,
/// whatever the echo's own. The echo's phase is that of `r(u) = r(s - d)`, and over `s` that is a
/// parabola with the slope `v + a (t0 - d)` at `s = 0`, where `t0` is the start of the integration;
/// its curvature is `a`, as it was.
///
/// On a grid of accelerations the filter can only be as near as half a step. An acceleration that
/// is off by `e` leaves a parabola whose best straight line has the slope `e` times the mean of
/// `s`, and the range rate found is off by that; [`Truth::range_rate_m_s_under`] says what is
/// found under the acceleration that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// The target's index in the simulation.
    pub target_idx: usize,
    /// Range on the filter's axis, in metres.
    pub range_m: f64,
    /// Total path in the middle of the integration, in metres, `ipp_offset` periods and all.
    pub path_m: f64,
    /// Range rate on the filter's axis, under the true acceleration, in m/s. Rates that the axis
    /// does not reach are lost in decimation.
    pub range_rate_m_s: f64,
    /// Acceleration, in m/s^2.
    pub acceleration_m_s2: f64,
    /// Amplitude of the echo, in the recorder's unit.
    pub amplitude: f64,
    /// Whether the range lies among the gates of the search, or within half a gate of them.
    pub within_gates: bool,
    /// Mean of the filter's times, in seconds after the start of the integration.
    mean_time_s: f64,
}

impl Truth {
    /// The range rate found under an acceleration near the true one, in m/s: that which agrees
    /// with the truth in the middle of the integration.
    #[must_use]
    pub fn range_rate_m_s_under(&self, acceleration_m_s2: f64) -> f64 {
        self.range_rate_m_s + (self.acceleration_m_s2 - acceleration_m_s2) * self.mean_time_s
    }
}

impl Synthesis {
    /// What the search `derived` should find of each target in the coherent integration with the
    /// index `integration_idx`, counted from the first sample of the product, `[n_targets]`.
    #[must_use]
    pub fn truth(&self, derived: &Derived, integration_idx: u64) -> Vec<Truth> {
        self.truth_from(derived, integration_idx * derived.n_ipp() as u64)
    }

    /// As [`Synthesis::truth`], for the integration that begins with the period `first_period`.
    #[must_use]
    pub fn truth_from(&self, derived: &Derived, first_period: u64) -> Vec<Truth> {
        let targets = self.simulation.targets.iter().enumerate();
        targets
            .map(|(target_idx, target)| {
                let amplitude = target.strength.amplitude(self.simulation.noise_std);
                self.truth_of(derived, first_period, target_idx, target, amplitude)
            })
            .collect()
    }

    fn truth_of(
        &self,
        derived: &Derived,
        first_period: u64,
        target_idx: usize,
        target: &Target,
        amplitude: f64,
    ) -> Truth {
        let hz = self.rate.as_f64();
        let n_ipp = derived.n_ipp() as u64;
        let pulses = first_period..first_period + n_ipp;
        let sum: f64 = pulses.map(|pulse| target.range_m_at(self.pulse_s(pulse))).sum();
        let path_m = sum / n_ipp as f64;
        let offset_samples = derived.processing().ipp_offset * derived.ipp_samples();
        let range_m = path_m - offset_samples as f64 * SPEED_OF_LIGHT_M_S / hz;

        let start_s = (first_period * self.ipp_samples as u64) as f64 / hz;
        let delay = offset_samples + derived.rx_window().start - derived.tx_pulse().start;
        let times_s = derived.decimated_times_s();
        let half_gate_m = 0.5 * SPEED_OF_LIGHT_M_S / hz;
        let gates = derived.range_m(0) - half_gate_m
            ..=derived.range_m(derived.n_ranges() - 1) + half_gate_m;
        Truth {
            target_idx,
            range_m,
            path_m,
            range_rate_m_s: target.range_rate_m_s_at(start_s - delay as f64 / hz),
            acceleration_m_s2: target.acceleration_m_s2,
            amplitude,
            within_gates: gates.contains(&range_m),
            mean_time_s: times_s.iter().sum::<f64>() / times_s.len() as f64,
        }
    }
}
