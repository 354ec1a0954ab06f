//! The samples of a simulation, period by period.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use digital_rf::SampleRate;
use gmf_api::{Experiment, SPEED_OF_LIGHT_M_S};
use num_complex::{Complex, Complex32, Complex64};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::dtype::Stored;
use super::{Dtype, Simulation, SimulationError, Target};

/// A simulation that was found to be possible; made by [`Simulation::check`].
///
/// # The model
///
/// Pulse `k` carries code `k mod n_codes` and starts at `t_k = (k ipp + tx_start) / f`, where `t`
/// counts from the first sample of the product. A target at the path `r(t)` sends it back
/// `round(f r(t_k) / c)` samples later, ties to even; the sample that was sent at `t` has the
/// phase `2 pi r(t) / wavelength`. The receiver hears echoes and noise from the end of the pulse
/// (or `rx_start`, if that is later) to `rx_end`, and nothing else; so an echo may arrive any
/// number of periods after its pulse, and no echo is there of pulses before the first. Pulses are
/// recorded with `tx_amplitude`, in the reception's place or in a channel of their own.
///
/// The noise of period `k` depends on nothing but the seed and `k` (ChaCha8 with `k` as its
/// stream; real part before imaginary part, sample by sample), so any part of a product can be
/// made by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    pub(super) simulation: Simulation,
    pub(super) rate: SampleRate,
    pub(super) first_sample: u64,
    pub(super) n_periods: u64,
    pub(super) ipp_samples: usize,
    pub(super) baud_samples: usize,
    /// The pulse in its period.
    pub(super) tx: Range<usize>,
    /// When the receiver hears, in a period.
    pub(super) open: Range<usize>,
    /// One over the wavelength.
    pub(super) turns_per_m: f64,
    pub(super) echoes: Vec<Echo>,
}

/// What a target does to the samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Echo {
    pub(super) target: Target,
    pub(super) amplitude: f64,
    /// Periods between a pulse and its echo, during the whole product.
    pub(super) lags: RangeInclusive<u64>,
}

/// Simulated samples, as a filter reads them back from the product: rounded as stored, then in
/// single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Number of the first sample, from the Unix epoch.
    pub first_sample: u64,
    /// The channel of the reception, `[n_periods * ipp_samples]`.
    pub rx: Vec<Complex32>,
    /// The channel of the transmission, of the same length, where it is not the same channel.
    pub tx: Option<Vec<Complex32>>,
    /// How many of these samples had to be clipped.
    pub n_clipped: u64,
}

impl Samples {
    /// The channel that holds the pulses: `tx`, or `rx` where that is the same.
    #[must_use]
    pub fn transmitter(&self) -> &[Complex32] {
        self.tx.as_deref().unwrap_or(&self.rx)
    }
}

/// The samples of one period before they are rounded, `[ipp_samples]` each.
#[derive(Debug)]
pub(super) struct Period {
    pub(super) rx: Vec<Complex64>,
    pub(super) tx: Option<Vec<Complex64>>,
}

impl Synthesis {
    /// What is simulated.
    #[must_use]
    pub fn simulation(&self) -> &Simulation {
        &self.simulation
    }

    /// The sample rate.
    #[must_use]
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Number of the first sample, from the Unix epoch.
    #[must_use]
    pub fn first_sample(&self) -> u64 {
        self.first_sample
    }

    /// Number of inter-pulse periods.
    #[must_use]
    pub fn n_periods(&self) -> u64 {
        self.n_periods
    }

    /// Samples of one period.
    #[must_use]
    pub fn ipp_samples(&self) -> usize {
        self.ipp_samples
    }

    /// Samples of the product, in each channel.
    #[must_use]
    pub fn n_samples(&self) -> u64 {
        self.n_periods * self.ipp_samples as u64
    }

    /// The experiment, as `metadata.ini` tells it. What was simulated is in its further keys, which
    /// begin with `simulation_`.
    #[must_use]
    pub fn experiment(&self) -> Experiment {
        let Simulation { radar, code, .. } = &self.simulation;
        let rx_channel = &self.simulation.rx_channel;
        let tx_channel = self.simulation.tx_channel.as_ref().unwrap_or(rx_channel);
        let mut other = BTreeMap::from([
            ("simulation_code".to_owned(), code.to_string()),
            ("simulation_noise_std".to_owned(), self.simulation.noise_std.to_string()),
            ("simulation_seed".to_owned(), self.simulation.seed.to_string()),
            ("simulation_tx_amplitude".to_owned(), self.simulation.tx_amplitude.to_string()),
        ]);
        for (idx, target) in self.simulation.targets.iter().enumerate() {
            other.insert(format!("simulation_target_{idx}"), target.to_string());
        }
        Experiment {
            name: Some(self.simulation.name.clone()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            sample_rate_hz: radar.sample_rate_hz,
            ipp_us: radar.ipp_us,
            tx_pulse_length_us: Some(code.pulse_us()),
            rx_start_us: radar.rx_start_us,
            rx_end_us: radar.rx_end_us,
            tx_start_us: radar.tx_start_us,
            tx_end_us: radar.tx_start_us + code.pulse_us(),
            cal_on_us: None,
            cal_off_us: None,
            file_secs: None,
            radar_frequency_mhz: radar.frequency_mhz,
            rx_channel: Some(rx_channel.clone()),
            tx_channel: Some(tx_channel.clone()),
            other,
        }
    }

    /// All samples of the product, in memory.
    ///
    /// # Errors
    ///
    /// [`SimulationError::Memory`].
    pub fn samples(&self) -> Result<Samples, SimulationError> {
        self.samples_of(0..self.n_periods)
    }

    /// The samples of a range of periods, in memory; the part of the range beyond the product's
    /// end is left out. The same samples as in the whole product, however it is cut.
    ///
    /// # Errors
    ///
    /// [`SimulationError::Memory`].
    pub fn samples_of(&self, periods: Range<u64>) -> Result<Samples, SimulationError> {
        match self.simulation.dtype {
            Dtype::ComplexI8 => self.read_back::<Complex<i8>>(periods),
            Dtype::ComplexI16 => self.read_back::<Complex<i16>>(periods),
            Dtype::ComplexF32 => self.read_back::<Complex<f32>>(periods),
            Dtype::ComplexF64 => self.read_back::<Complex<f64>>(periods),
        }
    }

    fn read_back<T: Stored>(&self, periods: Range<u64>) -> Result<Samples, SimulationError> {
        let periods = periods.start..periods.end.min(self.n_periods);
        let n_periods = periods.end.saturating_sub(periods.start);
        let n_samples = n_periods * self.ipp_samples as u64;
        let reserve = || {
            let mut samples = Vec::new();
            let n = usize::try_from(n_samples).unwrap_or(usize::MAX);
            match samples.try_reserve_exact(n) {
                Ok(()) => Ok(samples),
                Err(_) => Err(SimulationError::Memory { n_samples }),
            }
        };
        let mut samples = Samples {
            first_sample: self.first_sample + periods.start * self.ipp_samples as u64,
            rx: reserve()?,
            tx: self.simulation.tx_channel.is_some().then(reserve).transpose()?,
            n_clipped: 0,
        };
        let mut period = self.new_period();
        let mut stored: Vec<T> = Vec::with_capacity(self.ipp_samples);
        for period_idx in periods {
            self.synthesise(period_idx, &mut period);
            samples.n_clipped += store(&period.rx, &mut stored);
            samples.rx.extend(stored.iter().map(|z| z.read()));
            if let (Some(tx), Some(out)) = (&period.tx, &mut samples.tx) {
                samples.n_clipped += store(tx, &mut stored);
                out.extend(stored.iter().map(|z| z.read()));
            }
        }
        Ok(samples)
    }

    /// Room for one period.
    pub(super) fn new_period(&self) -> Period {
        let silence = vec![Complex64::default(); self.ipp_samples];
        Period { tx: self.simulation.tx_channel.as_ref().map(|_| silence.clone()), rx: silence }
    }

    /// Makes the samples of one period; all of `period` is overwritten.
    pub(super) fn synthesise(&self, period_idx: u64, period: &mut Period) {
        period.rx.fill(Complex64::default());
        self.add_noise(period_idx, &mut period.rx[self.open.clone()]);
        for echo in &self.echoes {
            for lag in echo.lags.clone().take_while(|lag| *lag <= period_idx) {
                self.add_echo(echo, period_idx - lag, lag, &mut period.rx);
            }
        }
        // Outside its pulse the transmitter's channel stays as it was made, silent.
        let pulse = &mut period.tx.as_mut().unwrap_or(&mut period.rx)[self.tx.clone()];
        let bauds = self.simulation.code.bauds(period_idx);
        for (chunk, &baud) in pulse.chunks_mut(self.baud_samples).zip(bauds) {
            chunk.fill(Complex64::new(f64::from(baud) * self.simulation.tx_amplitude, 0.0));
        }
    }

    fn add_noise(&self, period_idx: u64, open: &mut [Complex64]) {
        let std = self.simulation.noise_std;
        if std == 0.0 {
            return;
        }
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.simulation.seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(period_idx);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        for z in open {
            let re = normal();
            *z += Complex64::new(re, normal()) * std;
        }
    }

    /// When pulse `pulse_idx` starts, in seconds after the first sample.
    pub(super) fn pulse_s(&self, pulse_idx: u64) -> f64 {
        let sample = pulse_idx * self.ipp_samples as u64 + self.tx.start as u64;
        sample as f64 / self.rate.as_f64()
    }

    /// Delay of the echo of a pulse, in samples.
    pub(super) fn delay(&self, target: &Target, pulse_idx: u64) -> u64 {
        let range_m = target.range_m_at(self.pulse_s(pulse_idx));
        (range_m / SPEED_OF_LIGHT_M_S * self.rate.as_f64()).round_ties_even() as u64
    }

    /// Adds what arrives of the echo of a pulse in the period `lag` periods after its own.
    fn add_echo(&self, echo: &Echo, pulse_idx: u64, lag: u64, rx: &mut [Complex64]) {
        let start_s = self.pulse_s(pulse_idx);
        // Relative to the period where it is to arrive; all within the limits that were checked.
        let first = self.tx.start as i64 + self.delay(&echo.target, pulse_idx) as i64
            - lag as i64 * self.ipp_samples as i64;
        let begin = first.max(self.open.start as i64);
        let end = (first + self.tx.len() as i64).min(self.open.end as i64);
        let bauds = self.simulation.code.bauds(pulse_idx);
        for at in begin..end {
            let sent = (at - first) as usize;
            let range_m = echo.target.range_m_at(start_s + sent as f64 / self.rate.as_f64());
            // Whole turns are dropped first, exactly; the sine of a large angle loses digits.
            let phase = std::f64::consts::TAU * (range_m * self.turns_per_m).fract();
            let amplitude = echo.amplitude * f64::from(bauds[sent / self.baud_samples]);
            rx[at as usize] += Complex64::from_polar(1.0, phase) * amplitude;
        }
    }
}

/// Rounds samples to their stored form and says how many were clipped; `out` is overwritten.
pub(super) fn store<T: Stored>(samples: &[Complex64], out: &mut Vec<T>) -> u64 {
    let mut n_clipped = 0;
    out.clear();
    out.extend(samples.iter().map(|&z| {
        let (stored, clipped) = T::store(z);
        n_clipped += u64::from(clipped);
        stored
    }));
    n_clipped
}
