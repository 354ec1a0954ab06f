//! The obvious computation in double precision, for every kernel to be compared with.

use std::fmt;
use std::sync::Arc;

use num_complex::{Complex32, Complex64};
use rustfft::{Fft, FftPlanner};

use crate::{
    Derived, GmfKernel, GmfPlan, GridRow, GridRowMut, Integration, KernelError, KernelOptions,
    Method, ZeroFrequency,
};

/// The kernel `reference`: full-length Fourier transforms in double precision, gate by gate.
///
/// For a gate with decoded echo `e` (decimated), positions `p` and times `t` it searches
///
/// ```text
/// gmf(a, f) = | sum over i of  e[i] exp(-i pi a t[i]^2 / wavelength) exp(-2 pi i f p[i] / N) |^2
/// ```
///
/// over accelerations `a` and frequencies `f`. Source: `fast_gmf_np` and `fast_dpt_np` in
/// hardtarget 0.5.1, `gmf/gmf_numpy.py`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl GmfKernel for Reference {
    fn name(&self) -> &str {
        "reference"
    }

    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError> {
        Ok(Box::new(ReferencePlan::new(derived, options)))
    }
}

/// The result of one integration in double precision; fields as in [`GridRow`].
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceRow {
    /// The greatest power over range rate and acceleration.
    pub gmf: Vec<f64>,
    /// The zero-frequency term.
    pub zero_frequency: Vec<f64>,
    /// Index on the range rate axis, or `None` where there is no power.
    pub range_rate_idx: Vec<Option<usize>>,
    /// Index on the acceleration axis, or `None` where there is no power.
    pub acceleration_idx: Vec<Option<usize>>,
}

/// One gate of a [`ReferenceRow`].
pub(crate) struct ReferenceGate {
    pub(crate) gmf: f64,
    pub(crate) zero_frequency: f64,
    /// Of range rate and acceleration.
    indices: Option<(usize, usize)>,
}

/// The plan of the [`Reference`]; unlike other plans it also tells what it saw in between.
pub struct ReferencePlan {
    derived: Arc<Derived>,
    options: KernelOptions,
    times_s: Vec<f64>,
    positions: Vec<usize>,
    fft: Arc<dyn Fft<f64>>,
    dpt_fft: Arc<dyn Fft<f64>>,
    echo: Vec<Complex64>,
    signal: Vec<Complex64>,
    spectrum: Vec<Complex64>,
    scratch: Vec<Complex64>,
}

impl fmt::Debug for ReferencePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferencePlan").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The greatest of a list, and the lowest index that has it; `None` if all are zero.
fn greatest(values: impl Iterator<Item = f64>) -> Option<(f64, usize)> {
    let mut best = None;
    let mut best_value = 0.0;
    for (idx, value) in values.enumerate() {
        if value > best_value {
            best_value = value;
            best = Some((value, idx));
        }
    }
    best
}

impl ReferencePlan {
    /// Plans the reference for one search.
    #[must_use]
    pub fn new(derived: &Arc<Derived>, options: &KernelOptions) -> Self {
        let n = derived.decimated_read_length();
        let mut planner = FftPlanner::new();
        let fft = planner.plan_fft_forward(n);
        let dpt_fft = planner.plan_fft_forward(derived.n_accelerations());
        let scratch = fft.get_inplace_scratch_len().max(dpt_fft.get_inplace_scratch_len());
        let pulse = derived.decimated_pulse();
        let positions = (0..derived.n_ipp())
            .flat_map(|ipp_idx| {
                let first = derived.decimated_position(ipp_idx);
                first..first + pulse
            })
            .collect();
        Self {
            times_s: derived.decimated_times_s(),
            positions,
            fft,
            dpt_fft,
            echo: vec![Complex64::default(); derived.n_ipp() * pulse],
            signal: vec![Complex64::default(); n],
            spectrum: vec![Complex64::default(); n],
            scratch: vec![Complex64::default(); scratch],
            derived: Arc::clone(derived),
            options: *options,
        }
    }

    /// The search that was planned for.
    #[must_use]
    pub fn derived(&self) -> &Arc<Derived> {
        &self.derived
    }

    /// What was planned for.
    #[must_use]
    pub fn options(&self) -> &KernelOptions {
        &self.options
    }

    /// Decodes the echo of one gate and sums it in blocks, `[n_ipp * decimated_pulse]`.
    pub fn decode(&mut self, integration: Integration<'_>, range_idx: usize) -> &[Complex64] {
        let d = &*self.derived;
        let (pulse, window, dec) = (d.pulse_samples(), d.window_samples(), d.decimation());
        let gate = range_idx * d.gate_step();
        let wide = |z: Complex32| Complex64::new(f64::from(z.re), f64::from(z.im));
        for ipp_idx in 0..d.n_ipp() {
            let tx = &integration.tx[ipp_idx * pulse..][..pulse];
            let rx = &integration.rx[ipp_idx * window + gate..][..pulse];
            let echo = &mut self.echo[ipp_idx * (pulse / dec)..][..pulse / dec];
            for ((sum, tx), rx) in echo.iter_mut().zip(tx.chunks(dec)).zip(rx.chunks(dec)) {
                *sum = tx.iter().zip(rx).map(|(&tx, &rx)| wide(tx) * wide(rx)).sum();
            }
        }
        &self.echo
    }

    /// Power at every frequency, under the acceleration with index `acceleration_idx`, of the gate
    /// that was decoded last, `[decimated_read_length]`.
    pub fn spectrum(&mut self, acceleration_idx: usize) -> impl Iterator<Item = f64> + '_ {
        let factor = self.derived.acceleration_phase_factor(acceleration_idx);
        self.spectrum.fill(Complex64::default());
        for ((&position, &echo), &time) in self.positions.iter().zip(&self.echo).zip(&self.times_s)
        {
            self.spectrum[position] = echo * Complex64::cis(factor * time * time);
        }
        self.fft.process_with_scratch(&mut self.spectrum, &mut self.scratch);
        self.spectrum.iter().map(Complex64::norm_sqr)
    }

    /// Power, at every acceleration of the axis, of the discrete polynomial transform of the gate
    /// that was decoded last, `[n_accelerations]`: the spectrum of the signal times its own
    /// conjugate `dpt_delay` earlier.
    pub fn dpt_spectrum(&mut self) -> impl Iterator<Item = f64> + '_ {
        let n = self.derived.n_accelerations();
        let delay = self.derived.dpt_delay();
        self.signal.fill(Complex64::default());
        for (&position, &echo) in self.positions.iter().zip(&self.echo) {
            self.signal[position] = echo;
        }
        for idx in 0..n {
            self.spectrum[idx] = self.signal[idx + delay] * self.signal[idx].conj();
        }
        self.dpt_fft.process_with_scratch(&mut self.spectrum[..n], &mut self.scratch);
        // The axis is ascending: negative frequencies come first.
        let first = n.div_ceil(2);
        (0..n).map(move |idx| self.spectrum[(idx + first) % n].norm_sqr())
    }

    /// The zero-frequency term of the gate that was decoded last.
    fn zero_frequency(&self) -> f64 {
        let sum: Complex64 = match self.options.zero_frequency {
            ZeroFrequency::Sum => self.echo.iter().sum(),
            ZeroFrequency::FirstAcceleration => {
                let first = self.derived.acceleration_window().start;
                let factor = self.derived.acceleration_phase_factor(first);
                let phasors = self.times_s.iter().map(|t| Complex64::cis(factor * t * t));
                self.echo.iter().zip(phasors).map(|(&echo, phasor)| echo * phasor).sum()
            }
        };
        sum.norm_sqr()
    }

    /// Searches the grid for one gate of an integration that fits; the gate stays decoded.
    pub(crate) fn search_gate(
        &mut self,
        integration: Integration<'_>,
        range_idx: usize,
    ) -> ReferenceGate {
        self.decode(integration, range_idx);
        let zero_frequency = self.zero_frequency();
        let mut gate = ReferenceGate { gmf: 0.0, zero_frequency, indices: None };
        let accelerations = match self.options.method {
            Method::Fgmf => self.derived.acceleration_window(),
            Method::Fdpt => {
                // Where the transform is zero throughout, all tie, and the lowest is taken.
                let idx = greatest(self.dpt_spectrum()).map_or(0, |(_, idx)| idx);
                idx..idx + 1
            }
        };
        for acceleration_idx in accelerations {
            if let Some((value, frequency_idx)) = greatest(self.spectrum(acceleration_idx))
                && value > gate.gmf
            {
                gate.gmf = value;
                gate.indices = Some((frequency_idx, acceleration_idx));
            }
        }
        gate
    }

    /// Searches the grid for one integration, in double precision.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`].
    pub fn search(&mut self, integration: Integration<'_>) -> Result<ReferenceRow, KernelError> {
        integration.check(&self.derived)?;
        let n_ranges = self.derived.n_ranges();
        let mut row = ReferenceRow {
            gmf: vec![0.0; n_ranges],
            zero_frequency: vec![0.0; n_ranges],
            range_rate_idx: vec![None; n_ranges],
            acceleration_idx: vec![None; n_ranges],
        };
        for range_idx in 0..n_ranges {
            let gate = self.search_gate(integration, range_idx);
            row.gmf[range_idx] = gate.gmf;
            row.zero_frequency[range_idx] = gate.zero_frequency;
            row.range_rate_idx[range_idx] = gate.indices.map(|(range_rate, _)| range_rate);
            row.acceleration_idx[range_idx] = gate.indices.map(|(_, acceleration)| acceleration);
        }
        Ok(row)
    }
}

impl GmfPlan for ReferencePlan {
    fn execute(
        &mut self,
        integration: Integration<'_>,
        row: GridRowMut<'_>,
    ) -> Result<(), KernelError> {
        row.check(self.derived.n_ranges())?;
        let exact = self.search(integration)?;
        let index = |idx: Option<usize>| idx.map_or(-1, |idx| idx as i32);
        for idx in 0..exact.gmf.len() {
            row.gmf[idx] = exact.gmf[idx] as f32;
            row.zero_frequency[idx] = exact.zero_frequency[idx] as f32;
            row.range_rate_idx[idx] = index(exact.range_rate_idx[idx]);
            row.acceleration_idx[idx] = index(exact.acceleration_idx[idx]);
        }
        Ok(())
    }
}

impl From<&ReferenceRow> for GridRow {
    fn from(exact: &ReferenceRow) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let index = |indices: &[Option<usize>]| {
            indices.iter().map(|idx| idx.map_or(-1, |idx| idx as i32)).collect()
        };
        Self {
            gmf: narrow(&exact.gmf),
            zero_frequency: narrow(&exact.zero_frequency),
            range_rate_idx: index(&exact.range_rate_idx),
            acceleration_idx: index(&exact.acceleration_idx),
        }
    }
}
