//! What follows from an experiment and its processing parameters: index levels, lengths, axes.

use std::fmt::Display;
use std::ops::Range;

use num_complex::Complex32;
use serde::{Deserialize, Serialize};

use crate::{Experiment, ParameterError, Processing};

/// Speed of light in vacuum, in m/s (exact, SI).
pub const SPEED_OF_LIGHT_M_S: f64 = 299_792_458.0;

/// Index levels, lengths and axes of a search; made once, then only read.
///
/// # Index levels
///
/// One period of the radar is `ipp_samples` long. Its samples are counted on four levels, named
/// as in hardtarget:
///
/// ```text
/// level 0    all samples of the period, as recorded
///            0    tx_start    tx_end          rx_window.start        rx_window.end    ipp_samples
///            |----[== pulse ==]---------------[===== receive window =====]---------------|
/// level 0d   level 0 in blocks of `decimation` samples, each summed into one
///            |-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-|
/// level 1    only what the search uses, period after period without the rest:
///            transmitter  [== pulse ==][== pulse ==] ...       n_ipp x pulse_samples
///            receiver     [===== window =====][===== ... ]     n_ipp x window_samples
/// level 2    the samples of one range gate: as long as the pulse, from gate x gate_step of level 1
///                         [..[== gate ==]....]
/// ```
///
/// A pulse that leaves at level-0 index `tx_start` is back after one sample's time at
/// `tx_start + 1`: that is range gate 0, and gate `g` has the (total) range `(g + 1) c / f`.
/// With `ipp_offset` the receive window lies that many periods after its pulse.
///
/// # Axes
///
/// Range rates are the frequencies of the decimated integration times the wavelength, in the order
/// of a discrete Fourier transform; accelerations are those of the discrete polynomial transform
/// with a delay of `dpt_ipp_delay_parameter` periods, in ascending order, of which the search uses
/// [`Derived::acceleration_window`]. Source: `compute_derived_gmf_params` in hardtarget 0.5.1,
/// `configuration.py`; docs/originals.md lists where we differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    experiment: Experiment,
    processing: Processing,
    ipp_samples: usize,
    tx_start: usize,
    tx_end: usize,
    rx_start: usize,
    rx_end: usize,
    first_gate: usize,
    end_gate: usize,
    n_accelerations: usize,
    acceleration_window: Range<usize>,
}

/// Rounds a time to whole samples, ties to even, as numpy does.
fn samples(time_us: f64, sample_rate_hz: u64) -> f64 {
    (time_us * 1e-6 * sample_rate_hz as f64).round_ties_even()
}

fn out_of_range(
    key: &'static str,
    value: &dyn Display,
    allowed: impl Into<String>,
) -> ParameterError {
    ParameterError::OutOfRange { key, value: value.to_string(), allowed: allowed.into() }
}

fn at_least_one(key: &'static str, value: u64) -> Result<(), ParameterError> {
    if value == 0 { Err(out_of_range(key, &value, "at least 1")) } else { Ok(()) }
}

impl Derived {
    /// Derives the search, checking that the parameters fit one another.
    ///
    /// # Errors
    ///
    /// [`ParameterError`], which names the keys and says what would be allowed.
    pub fn new(experiment: &Experiment, processing: &Processing) -> Result<Self, ParameterError> {
        let (e, p) = (experiment, processing);
        at_least_one("sample_rate", e.sample_rate_hz)?;
        at_least_one("ipp", e.ipp_us)?;
        at_least_one("n_ipp", p.n_ipp as u64)?;
        at_least_one("range_gate_step", p.range_gate_step as u64)?;
        at_least_one("frequency_decimation", p.frequency_decimation as u64)?;
        at_least_one("num_cohints_per_file", p.num_cohints_per_file as u64)?;
        at_least_one("node_gpus", u64::from(p.node_gpus))?;
        if !(e.radar_frequency_mhz.is_finite() && e.radar_frequency_mhz > 0.0) {
            return Err(out_of_range(
                "radar_frequency",
                &e.radar_frequency_mhz,
                "a positive number of MHz",
            ));
        }
        let ipp_samples = Self::ipp_samples_of(e, p)?;
        let read_periods = p.n_ipp + p.ipp_offset;
        if read_periods < 2 {
            return Err(out_of_range("n_ipp", &p.n_ipp, "at least 2"));
        }

        let window = |start_key, start_us: f64, end_key, end_us: f64| {
            let start = samples(start_us, e.sample_rate_hz);
            let end = samples(end_us, e.sample_rate_hz);
            let limit = ipp_samples as f64;
            if !(0.0..limit).contains(&start) {
                return Err(out_of_range(start_key, &start_us, format!("from 0 to {}", e.ipp_us)));
            }
            if !(end > start && end <= limit) {
                let allowed = format!("after {start_key} ({start_us}) and up to {}", e.ipp_us);
                return Err(out_of_range(end_key, &end_us, allowed));
            }
            Ok((start as usize, end as usize))
        };
        let (tx_start, tx_end) = window("tx_start", e.tx_start_us, "tx_end", e.tx_end_us)?;
        let (rx_start, rx_end) = window("rx_start", e.rx_start_us, "rx_end", e.rx_end_us)?;
        let pulse = tx_end - tx_start;
        if let Some(length_us) = e.tx_pulse_length_us {
            let given = samples(length_us, e.sample_rate_hz);
            if given != pulse as f64 {
                return Err(ParameterError::PulseLength {
                    given: given as i64,
                    implied: pulse as i64,
                });
            }
        }
        for (what, length) in [("pulse", pulse), ("inter-pulse period", ipp_samples)] {
            if length % p.frequency_decimation != 0 {
                return Err(ParameterError::Decimation {
                    decimation: p.frequency_decimation,
                    what,
                    length,
                    suggestion: nearby_decimations(p.frequency_decimation, pulse, ipp_samples),
                });
            }
        }

        let (first_gate, end_gate) = gates(p, tx_start, rx_start, rx_end, pulse)?;

        let tau = p.dpt_ipp_delay_parameter;
        if tau == 0 || tau >= read_periods {
            return Err(ParameterError::Delay { tau, max: read_periods - 1, read: read_periods });
        }
        let n_accelerations = (read_periods - tau) * (ipp_samples / p.frequency_decimation);
        let mut derived = Self {
            experiment: e.clone(),
            processing: p.clone(),
            ipp_samples,
            tx_start,
            tx_end,
            rx_start,
            rx_end,
            first_gate,
            end_gate,
            n_accelerations,
            acceleration_window: 0..0,
        };
        derived.acceleration_window = derived.find_acceleration_window()?;
        Ok(derived)
    }

    /// Samples of one period, after checking that an integration is of a length that can be read.
    fn ipp_samples_of(e: &Experiment, p: &Processing) -> Result<usize, ParameterError> {
        // Indices are stored as i32, in our files and in the original's.
        let limit = f64::from(i32::MAX);
        let ipp = samples(e.ipp_us as f64, e.sample_rate_hz);
        if !(1.0..=limit).contains(&ipp) {
            let allowed = format!("a period of 1 to {limit} samples (this is {ipp})");
            return Err(out_of_range("ipp", &e.ipp_us, allowed));
        }
        let read = ipp * (p.n_ipp as f64 + p.ipp_offset as f64);
        if read > limit {
            let allowed = format!(
                "such that n_ipp + ipp_offset periods are at most {limit} samples (this is {read})"
            );
            return Err(out_of_range("n_ipp", &p.n_ipp, allowed));
        }
        Ok(ipp as usize)
    }

    fn find_acceleration_window(&self) -> Result<Range<usize>, ParameterError> {
        let (min, max) =
            (self.processing.min_acceleration_m_s2, self.processing.max_acceleration_m_s2);
        let indices = 0..self.n_accelerations;
        // Ascending, so two binary searches find what a scan over all would.
        let first = partition_point(indices.clone(), |i| self.acceleration_m_s2(i) < min);
        let end = partition_point(indices, |i| self.acceleration_m_s2(i) <= max);
        if first >= end || min.is_nan() || max.is_nan() {
            let step = self.acceleration_step_m_s2();
            return Err(ParameterError::NoAccelerations { min, max, step });
        }
        Ok(first..end)
    }

    /// The experiment that this was derived from.
    #[must_use]
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// The processing parameters that this was derived from.
    #[must_use]
    pub fn processing(&self) -> &Processing {
        &self.processing
    }

    /// Samples of one inter-pulse period.
    #[must_use]
    pub fn ipp_samples(&self) -> usize {
        self.ipp_samples
    }

    /// Periods integrated coherently.
    #[must_use]
    pub fn n_ipp(&self) -> usize {
        self.processing.n_ipp
    }

    /// Samples from the start of one integration to the start of the next.
    #[must_use]
    pub fn integration_samples(&self) -> usize {
        self.processing.n_ipp * self.ipp_samples
    }

    /// Samples read for one integration: `(n_ipp + ipp_offset) * ipp_samples`.
    #[must_use]
    pub fn read_length(&self) -> usize {
        (self.processing.n_ipp + self.processing.ipp_offset) * self.ipp_samples
    }

    /// Length of the decimated integration, and of the range rate axis.
    #[must_use]
    pub fn decimated_read_length(&self) -> usize {
        self.read_length() / self.decimation()
    }

    /// Samples that are summed into one decimated sample.
    #[must_use]
    pub fn decimation(&self) -> usize {
        self.processing.frequency_decimation
    }

    /// Level-0 indices of the pulse in its period.
    #[must_use]
    pub fn tx_pulse(&self) -> Range<usize> {
        self.tx_start..self.tx_end
    }

    /// Level-0 indices of the reception in its period.
    #[must_use]
    pub fn reception(&self) -> Range<usize> {
        self.rx_start..self.rx_end
    }

    /// Samples of a pulse.
    #[must_use]
    pub fn pulse_samples(&self) -> usize {
        self.tx_end - self.tx_start
    }

    /// Decimated samples of a pulse.
    #[must_use]
    pub fn decimated_pulse(&self) -> usize {
        self.pulse_samples() / self.decimation()
    }

    /// Level-0 indices, in its period, of the receive window: all gates, each with its pulse.
    #[must_use]
    pub fn rx_window(&self) -> Range<usize> {
        let start = self.tx_start + 1 + self.first_gate;
        start..start + self.window_samples()
    }

    /// Samples of the receive window in one period.
    #[must_use]
    pub fn window_samples(&self) -> usize {
        self.end_gate - self.first_gate + self.pulse_samples()
    }

    /// Range gates from the start of transmission: first, and end (not included), in samples.
    #[must_use]
    pub fn gate_span(&self) -> Range<usize> {
        self.first_gate..self.end_gate
    }

    /// Distance between range gates, in samples.
    #[must_use]
    pub fn gate_step(&self) -> usize {
        self.processing.range_gate_step
    }

    /// Number of range gates searched.
    #[must_use]
    pub fn n_ranges(&self) -> usize {
        (self.end_gate - self.first_gate).div_ceil(self.gate_step())
    }

    /// Total range (transmitter, target, receiver) of each gate, in metres, `[n_ranges]`.
    #[must_use]
    pub fn ranges_m(&self) -> Vec<f64> {
        (0..self.n_ranges()).map(|i| self.range_m(i)).collect()
    }

    /// Total range of the gate with index `range_idx`, in metres.
    #[must_use]
    pub fn range_m(&self, range_idx: usize) -> f64 {
        let gate = self.first_gate + range_idx * self.gate_step();
        (gate + 1) as f64 * SPEED_OF_LIGHT_M_S / self.experiment.sample_rate_hz as f64
    }

    /// Range rate of each frequency, in m/s, `[decimated_read_length]`, in the order of a discrete
    /// Fourier transform: zero, positive ascending, negative ascending.
    #[must_use]
    pub fn range_rates_m_s(&self) -> Vec<f64> {
        (0..self.decimated_read_length()).map(|i| self.range_rate_m_s(i)).collect()
    }

    /// Range rate of the frequency with index `frequency_idx`, in m/s.
    #[must_use]
    pub fn range_rate_m_s(&self, frequency_idx: usize) -> f64 {
        let n = self.decimated_read_length();
        let signed = signed_frequency(frequency_idx, n);
        let resolution_hz = 1.0 / (n as f64 * self.decimated_step_s());
        self.experiment.wavelength_m() * (signed as f64 * resolution_hz)
    }

    /// Length of the acceleration axis.
    #[must_use]
    pub fn n_accelerations(&self) -> usize {
        self.n_accelerations
    }

    /// The accelerations of the grid, in m/s^2, `[n_accelerations]`, ascending.
    #[must_use]
    pub fn accelerations_m_s2(&self) -> Vec<f64> {
        (0..self.n_accelerations).map(|i| self.acceleration_m_s2(i)).collect()
    }

    /// The acceleration with index `acceleration_idx`, in m/s^2.
    #[must_use]
    pub fn acceleration_m_s2(&self, acceleration_idx: usize) -> f64 {
        let n = self.n_accelerations;
        let signed = acceleration_idx as i64 - (n / 2) as i64;
        let resolution_hz = 1.0 / (n as f64 * self.decimated_step_s());
        signed as f64 * resolution_hz * self.experiment.wavelength_m() * 2.0 / self.dpt_step_s()
    }

    /// The step of the acceleration grid, in m/s^2.
    #[must_use]
    pub fn acceleration_step_m_s2(&self) -> f64 {
        let length_s = self.n_accelerations as f64 * self.decimated_step_s();
        self.experiment.wavelength_m() * 2.0 / (length_s * self.dpt_step_s())
    }

    /// Indices, on the acceleration axis, of the accelerations that `fgmf` searches.
    #[must_use]
    pub fn acceleration_window(&self) -> Range<usize> {
        self.acceleration_window.clone()
    }

    /// Delay of the discrete polynomial transform, in decimated samples.
    #[must_use]
    pub fn dpt_delay(&self) -> usize {
        self.processing.dpt_ipp_delay_parameter * self.ipp_samples / self.decimation()
    }

    /// Twice the delay of the discrete polynomial transform, in seconds.
    fn dpt_step_s(&self) -> f64 {
        (2 * self.dpt_delay() * self.decimation()) as f64 / self.experiment.sample_rate_hz as f64
    }

    fn decimated_step_s(&self) -> f64 {
        self.decimation() as f64 / self.experiment.sample_rate_hz as f64
    }

    /// Level-0d index, in the integration, of the first decimated sample of pulse `ipp_idx` at the
    /// first range gate. The samples of a pulse follow one another; each further gate shifts all
    /// of them alike, which changes no magnitude, so that one position serves every gate.
    #[must_use]
    pub fn decimated_position(&self, ipp_idx: usize) -> usize {
        let period = ipp_idx + self.processing.ipp_offset;
        (period * self.ipp_samples + self.rx_window().start) / self.decimation()
    }

    /// Times at the centres of the decimated samples of the first gate, in seconds from the start
    /// of the integration, `[n_ipp * decimated_pulse]`.
    #[must_use]
    pub fn decimated_times_s(&self) -> Vec<f64> {
        let rate = self.experiment.sample_rate_hz as f64;
        let mut times = Vec::with_capacity(self.n_ipp() * self.decimated_pulse());
        for ipp_idx in 0..self.n_ipp() {
            let period = ipp_idx + self.processing.ipp_offset;
            let first = period * self.ipp_samples + self.rx_window().start;
            for block in 0..self.decimated_pulse() {
                let start = first + block * self.decimation();
                let twice_centre = 2 * start + self.decimation() - 1;
                times.push(twice_centre as f64 / (2.0 * rate));
            }
        }
        times
    }

    /// The phasors that undo an acceleration, `exp(-i pi a t^2 / wavelength)` for each time of
    /// [`Derived::decimated_times_s`].
    ///
    /// The phase is formed in double precision, since it passes through many turns.
    #[must_use]
    pub fn acceleration_phasors(&self, acceleration_idx: usize, times_s: &[f64]) -> Vec<Complex32> {
        let mut phasors = vec![Complex32::default(); times_s.len()];
        self.write_acceleration_phasors(acceleration_idx, times_s, &mut phasors);
        phasors
    }

    /// As [`Derived::acceleration_phasors`], into a buffer as long as `times_s`.
    pub fn write_acceleration_phasors(
        &self,
        acceleration_idx: usize,
        times_s: &[f64],
        phasors: &mut [Complex32],
    ) {
        let factor = self.acceleration_phase_factor(acceleration_idx);
        for (phasor, &time) in phasors.iter_mut().zip(times_s) {
            let (sin, cos) = (factor * time * time).sin_cos();
            *phasor = Complex32::new(cos as f32, sin as f32);
        }
    }

    /// The phase that undoes an acceleration, per squared second of time: `-pi a / wavelength`.
    #[must_use]
    pub fn acceleration_phase_factor(&self, acceleration_idx: usize) -> f64 {
        -std::f64::consts::PI * self.acceleration_m_s2(acceleration_idx)
            / self.experiment.wavelength_m()
    }
}

/// The frequency of bin `idx` of `n`, as a signed multiple of the resolution (numpy's `fftfreq`).
fn signed_frequency(idx: usize, n: usize) -> i64 {
    if idx < n.div_ceil(2) { idx as i64 } else { idx as i64 - n as i64 }
}

/// The first index of `range` for which `below` is false, where it is true first and false after.
fn partition_point(mut range: Range<usize>, below: impl Fn(usize) -> bool) -> usize {
    while !range.is_empty() {
        let middle = range.start + range.len() / 2;
        if below(middle) {
            range.start = middle + 1;
        } else {
            range.end = middle;
        }
    }
    range.start
}

/// First gate and end of the gates, counted from gate 0, in samples.
fn gates(
    p: &Processing,
    tx_start: usize,
    rx_start: usize,
    rx_end: usize,
    pulse: usize,
) -> Result<(usize, usize), ParameterError> {
    // Level-0 index of gate 0, and of the first gate whose pulse no longer fits the reception.
    let zero = tx_start as i64 + 1;
    let limit = rx_end as i64 - pulse as i64;
    let first = (rx_start as i64 + 1).max(zero) - zero;
    let last = limit - zero;
    let from_start = |key, value: i64| {
        let gate = if value >= 0 { value } else { limit - zero + value };
        if (first..=last).contains(&gate) {
            Ok(gate)
        } else {
            let last_from_end = zero + first - limit;
            Err(ParameterError::GateOutside { key, value, first, last, last_from_end })
        }
    };
    let min = from_start("min_range_gate", p.min_range_gate)?;
    let max = from_start("max_range_gate", p.max_range_gate)?;
    if max <= min {
        return Err(ParameterError::NoGates { min, max });
    }
    Ok((min as usize, max as usize))
}

/// Decimations around the one asked for that divide both lengths, for the error message.
fn nearby_decimations(asked: usize, pulse: usize, ipp: usize) -> String {
    let fits = |dec: &usize| pulse.is_multiple_of(*dec) && ipp.is_multiple_of(*dec);
    let below = (1..asked.min(pulse + 1)).rev().find(fits);
    let above = (asked + 1..=pulse).find(fits);
    match (below, above) {
        (Some(below), Some(above)) => format!("{below} and {above} would do"),
        (Some(one), None) | (None, Some(one)) => format!("{one} would do"),
        (None, None) => "only 1 would do".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment() -> Experiment {
        Experiment::from_ini(
            "metadata.ini",
            "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_pulse_length = 1920\n\
             rx_start = 0.0\nrx_end = 12000.0\ntx_start = 82.0\ntx_end = 2002.0\n\
             radar_frequency = 929.6\n",
        )
        .unwrap()
    }

    fn processing() -> Processing {
        Processing {
            min_range_gate: 6640,
            max_range_gate: 6680,
            frequency_decimation: 10,
            min_acceleration_m_s2: -300.0,
            max_acceleration_m_s2: 300.0,
            ..Processing::default()
        }
    }

    fn error(change: impl FnOnce(&mut Experiment, &mut Processing)) -> String {
        let (mut e, mut p) = (experiment(), processing());
        change(&mut e, &mut p);
        Derived::new(&e, &p).unwrap_err().to_string()
    }

    /// Figures of hardtarget 0.5.1 for its golden case dev1 (attributes and axes of its file).
    #[test]
    fn lengths_and_axes_are_those_of_the_original() {
        let d = Derived::new(&experiment(), &processing()).unwrap();
        assert_eq!((d.read_length(), d.decimated_read_length()), (200_000, 20_000));
        assert_eq!((d.n_ranges(), d.n_accelerations(), d.dpt_delay()), (40, 10_000, 10_000));
        assert_eq!(d.gate_span(), 6640..6680);
        assert_eq!(d.rx_window().start, 6640 + 83);
        assert_eq!(d.acceleration_window().len(), 19);
        assert!((d.range_m(21) - 1_997_217.355).abs() < 1e-3, "{}", d.range_m(21));
        assert!((d.acceleration_m_s2(5003) - 96.7489).abs() < 1e-4);
        assert!((d.acceleration_step_m_s2() - 32.2496).abs() < 1e-4);
        assert_eq!(d.range_rate_m_s(0), 0.0);
        assert!((d.range_rate_m_s(248) - 399.8953).abs() < 1e-4);
        assert!(d.range_rate_m_s(10_000) < 0.0 && d.range_rate_m_s(9_999) > 0.0);
    }

    #[test]
    fn negative_gates_count_from_the_end_of_reception() {
        let p = Processing { min_range_gate: -41, max_range_gate: -1, ..processing() };
        let d = Derived::new(&experiment(), &p).unwrap();
        // The pulse of the gate after the last one would end one sample before the end.
        assert_eq!(d.rx_window().end, 12_000 - 1);
        assert_eq!(d.n_ranges(), 40);
    }

    #[test]
    fn the_default_gates_cover_the_reception() {
        let p = Processing { min_range_gate: 0, max_range_gate: -1, ..processing() };
        let d = Derived::new(&experiment(), &p).unwrap();
        assert_eq!(d.rx_window(), 83..11_999);
    }

    #[test]
    fn a_step_counts_gates_but_keeps_the_window() {
        let one = Derived::new(&experiment(), &processing()).unwrap();
        let p = Processing { range_gate_step: 3, ..processing() };
        let three = Derived::new(&experiment(), &p).unwrap();
        assert_eq!(three.n_ranges(), 14);
        assert_eq!(three.window_samples(), one.window_samples());
        for i in 0..14 {
            assert_eq!(three.range_m(i), one.range_m(3 * i));
        }
    }

    #[test]
    fn the_phase_is_that_of_the_centre_of_each_block() {
        let d = Derived::new(&experiment(), &processing()).unwrap();
        let times = d.decimated_times_s();
        assert_eq!(times.len(), 10 * 192);
        assert!((times[0] - (6723.0 + 4.5) / 1e6).abs() < 1e-15);
        assert!((times[192] - times[0] - 0.02).abs() < 1e-15);
        let phasors = d.acceleration_phasors(d.n_accelerations() / 2, &times);
        assert!(phasors.iter().all(|z| *z == Complex32::new(1.0, 0.0)), "acceleration zero");
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_way_out() {
        assert!(error(|_, p| p.frequency_decimation = 7).contains("5 and 8 would do"));
        assert!(error(|_, p| p.frequency_decimation = 1_000_000).contains("160 would do"));
        assert!(error(|_, p| p.min_range_gate = 6690).contains("max_range_gate (gate 6680)"));
        let outside = error(|_, p| p.max_range_gate = 20_000);
        assert!(outside.contains("gates from 0 to 9997 (or -9997 to -1"), "{outside}");
        assert!(error(|_, p| p.dpt_ipp_delay_parameter = 10).contains("from 1 to 9"));
        assert!(error(|_, p| p.dpt_ipp_delay_parameter = 0).contains("from 1 to 9"));
        let none = error(|_, p| p.max_acceleration_m_s2 = -400.0);
        assert!(none.contains("-300 must not be above max_acceleration -400"), "{none}");
        assert!(error(|_, p| p.min_acceleration_m_s2 = f64::NAN).contains("NaN"));
        assert!(error(|e, _| e.tx_pulse_length_us = Some(1900.0)).contains("1900 samples"));
        assert!(error(|e, _| e.rx_end_us = 30_000.0).contains("rx_end is 30000"));
        assert!(error(|e, _| e.tx_end_us = 10.0).contains("after tx_start (82)"));
        assert!(error(|e, _| e.radar_frequency_mhz = 0.0).contains("radar_frequency is 0"));
        assert!(error(|e, _| e.ipp_us = u64::MAX).contains("ipp is"));
        for key in ["n_ipp", "range_gate_step", "frequency_decimation", "num_cohints_per_file"] {
            let text = format!("[signal-processing]\n{key} = 0\n");
            let p = Processing::from_ini("cfg.ini", &text).unwrap();
            let message = Derived::new(&experiment(), &p).unwrap_err().to_string();
            assert_eq!(message, format!("{key} is 0, but must be at least 1"));
        }
        assert!(error(|_, p| p.n_ipp = usize::MAX).contains("n_ipp is"));
    }
}
