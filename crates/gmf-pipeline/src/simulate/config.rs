//! What is simulated, and the check that it can be.

use std::ops::{Range, RangeInclusive};

use digital_rf::{FileLayout, SampleRate};
use gmf_api::SPEED_OF_LIGHT_M_S;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::synthesis::{Echo, Synthesis};
use super::{Code, Dtype, SimulationError, Strength, Target};

/// Name of the channel of Digital Metadata that holds the pointing, as hardtarget has it.
pub(super) const POINTING_CHANNEL: &str = "pointing";
/// The longest product, in seconds: time is kept in double precision, and the phase of an echo at
/// UHF should be exact to a fraction of a turn.
const MAX_DURATION_S: f64 = 1e7;
/// The farthest path, in metres: well beyond the planets.
const MAX_RANGE_M: f64 = 1e12;
/// The fastest range rate, in m/s. The model holds while the path changes little during the echo's
/// own travel.
const MAX_RANGE_RATE_M_S: f64 = 1e-3 * SPEED_OF_LIGHT_M_S;
/// The longest period, in samples: as in [`gmf_api::Derived`].
const MAX_IPP_SAMPLES: u128 = i32::MAX as u128;

/// How the radar transmits and receives. Times count from the start of each inter-pulse period;
/// the pulse ends when the [`Code`] has been sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Radar {
    /// Carrier frequency, in MHz.
    pub frequency_mhz: f64,
    /// Samples per second, in Hz.
    pub sample_rate_hz: u64,
    /// Inter-pulse period, in microseconds; a whole number of samples.
    pub ipp_us: u64,
    /// Start of transmission, in microseconds.
    pub tx_start_us: f64,
    /// Start of reception, in microseconds. The receiver is protected until the pulse has ended,
    /// so it hears nothing before that.
    pub rx_start_us: f64,
    /// End of reception, in microseconds.
    pub rx_end_us: f64,
}

impl Radar {
    /// EISCAT's UHF radar in the experiment `leo_bpark`: 929.6 MHz, 1 MHz sampling, a period of
    /// 20 ms, transmission from 82 us (to 2002 us, with its code), reception until the end.
    /// Source: hardtarget 0.5.1, `radars/eiscat/leo_bpark.ini`; frequency of its example data.
    #[must_use]
    pub fn leo_bpark() -> Self {
        Self {
            frequency_mhz: 929.6,
            sample_rate_hz: 1_000_000,
            ipp_us: 20_000,
            tx_start_us: 82.0,
            rx_start_us: 0.0,
            rx_end_us: 20_000.0,
        }
    }
}

impl Default for Radar {
    fn default() -> Self {
        Self::leo_bpark()
    }
}

/// Where the antenna points: stored as Digital Metadata, the angles moving evenly with time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pointing {
    /// Entries per second, in Hz.
    pub rate_hz: u64,
    /// Azimuth at the first sample, in degrees; stored modulo 360.
    pub azimuth_deg: f64,
    /// Its rate, in degrees per second.
    pub azimuth_rate_deg_s: f64,
    /// Elevation at the first sample, in degrees.
    pub elevation_deg: f64,
    /// Its rate, in degrees per second. The elevation stays between -90 and 90 degrees.
    pub elevation_rate_deg_s: f64,
}

/// What is simulated, and how it is stored.
///
/// [`Simulation::default`] is one second of EISCAT's `leo_bpark`, noise only.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Name of the experiment: ASCII letters, digits, spaces and `_-.:+()`.
    pub name: String,
    /// How the radar transmits and receives.
    pub radar: Radar,
    /// The codes of the pulses.
    pub code: Code,
    /// What echoes.
    pub targets: Vec<Target>,
    /// Time of the first sample; rounded down to a sample's time. Not before 1970.
    pub start: Timestamp,
    /// Length, in seconds; cut to whole inter-pulse periods, of which there must be one.
    pub duration_s: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Standard deviation of the noise in each component, in the recorder's unit.
    pub noise_std: f64,
    /// Amplitude of the transmitted pulse as it is recorded, in the recorder's unit.
    pub tx_amplitude: f64,
    /// Name of the channel that holds the reception: ASCII letters, digits and `_-.`.
    pub rx_channel: String,
    /// Name of a channel of its own for the transmitted pulses; `None` to have them replace the
    /// reception, in the same channel.
    pub tx_channel: Option<String>,
    /// What a sample is stored as.
    pub dtype: Dtype,
    /// Level of deflate, `0..=9`; 0 is none.
    pub compression: u32,
    /// Whether files carry checksums.
    pub checksum: bool,
    /// Length of a file, in milliseconds; divides that of a folder.
    pub file_cadence_ms: u64,
    /// Length of a folder, in seconds.
    pub subdir_cadence_secs: u64,
    /// Where the antenna points; `None` to store nothing about it.
    pub pointing: Option<Pointing>,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            name: "simulation".to_owned(),
            radar: Radar::default(),
            code: Code::default(),
            targets: Vec::new(),
            // 2021-04-12T12:15:40Z, when the EISCAT example recording of hardtarget begins.
            start: Timestamp::constant(1_618_229_740, 0),
            duration_s: 1.0,
            seed: 0,
            noise_std: 12.0,
            tx_amplitude: 900.0,
            rx_channel: "rx".to_owned(),
            tx_channel: None,
            dtype: Dtype::default(),
            compression: 0,
            checksum: false,
            file_cadence_ms: 1000,
            subdir_cadence_secs: 3600,
            pointing: None,
        }
    }
}

fn field(field: &'static str, value: &dyn ToString, allowed: impl Into<String>) -> SimulationError {
    SimulationError::Field { field, value: value.to_string(), allowed: allowed.into() }
}

/// Rounds a time to whole samples as [`gmf_api::Derived`] does.
fn samples(time_us: f64, sample_rate_hz: u64) -> f64 {
    (time_us * 1e-6 * sample_rate_hz as f64).round_ties_even()
}

/// The lengths of one period, in samples.
struct Timing {
    ipp: usize,
    baud: usize,
    tx: Range<usize>,
    open: Range<usize>,
}

impl Simulation {
    /// Checks that all fields make sense, and prepares the synthesis.
    ///
    /// # Errors
    ///
    /// [`SimulationError::Field`], [`SimulationError::Target`] and [`SimulationError::Layout`],
    /// which name the field.
    pub fn check(&self) -> Result<Synthesis, SimulationError> {
        self.check_names()?;
        let timing = self.timing()?;
        self.check_levels()?;
        let n_periods = self.n_periods(timing.ipp)?;
        let rate = SampleRate::from_hz(self.radar.sample_rate_hz)?;
        let start_ns = u128::try_from(self.start.as_nanosecond())
            .map_err(|_| field("start", &self.start, "1970-01-01T00:00:00Z or later"))?;
        let first_sample = rate.sample_at_ns(start_ns);
        FileLayout::new(rate, self.subdir_cadence_secs, self.file_cadence_ms)?;
        if self.compression > 9 {
            return Err(field("compression", &self.compression, "from 0 to 9"));
        }
        // Exact to a sample or so, and only used to know how long things move.
        let end_s = n_periods as f64 * timing.ipp as f64 / rate.as_f64();
        if let Some(pointing) = &self.pointing {
            pointing.check(end_s)?;
        }
        let echoes = self
            .targets
            .iter()
            .enumerate()
            .map(|(target_idx, target)| self.echo(target_idx, target, &timing, end_s))
            .collect::<Result<Vec<Echo>, SimulationError>>()?;
        Ok(Synthesis {
            simulation: self.clone(),
            rate,
            first_sample,
            n_periods,
            ipp_samples: timing.ipp,
            baud_samples: timing.baud,
            tx: timing.tx,
            open: timing.open,
            turns_per_m: 1.0 / self.wavelength_m(),
            echoes,
        })
    }

    /// The carrier's wavelength, in metres.
    #[must_use]
    pub fn wavelength_m(&self) -> f64 {
        SPEED_OF_LIGHT_M_S / (self.radar.frequency_mhz * 1e6)
    }

    fn check_names(&self) -> Result<(), SimulationError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let quoted = |text: &str| format!("{text:?}");
        // Names go into metadata.ini, where quotes, `%` and `;` have meanings.
        let in_ini = |text: &str| {
            text.trim() == text && text.chars().all(|c| plain(c) || " :+()".contains(c))
        };
        for (key, name) in [("name", self.name.as_str()), ("the code's name", self.code.name())] {
            if name.is_empty() || !in_ini(name) {
                let allowed = "letters, digits, spaces and _-.:+()";
                return Err(field(key, &quoted(name), allowed));
            }
        }
        let tx_channel = self.tx_channel.as_deref();
        let channels = [("rx_channel", Some(self.rx_channel.as_str())), ("tx_channel", tx_channel)];
        for (key, name) in channels {
            let Some(name) = name else { continue };
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
                let allowed = "letters, digits and _-., the first not a dot";
                return Err(field(key, &quoted(name), allowed));
            }
            if [POINTING_CHANNEL, "metadata.ini"].contains(&name) {
                let allowed = "another name: that one has a use of its own";
                return Err(field(key, &quoted(name), allowed));
            }
        }
        if tx_channel == Some(&self.rx_channel) {
            let allowed = "different from rx_channel (or none, to share that channel)";
            return Err(field("tx_channel", &quoted(&self.rx_channel), allowed));
        }
        Ok(())
    }

    fn timing(&self) -> Result<Timing, SimulationError> {
        let radar = &self.radar;
        let hz = radar.sample_rate_hz;
        if !(radar.frequency_mhz.is_finite() && radar.frequency_mhz > 0.0) {
            let allowed = "a positive number of MHz";
            return Err(field("frequency_mhz", &radar.frequency_mhz, allowed));
        }
        if hz == 0 {
            return Err(field("sample_rate_hz", &hz, "at least 1"));
        }
        let ipp = u128::from(radar.ipp_us) * u128::from(hz);
        if ipp % 1_000_000 != 0 || !(1..=MAX_IPP_SAMPLES).contains(&(ipp / 1_000_000)) {
            let allowed = format!("a whole number of samples at {hz} Hz, 1 to {MAX_IPP_SAMPLES}");
            return Err(field("ipp_us", &radar.ipp_us, allowed));
        }
        let ipp = (ipp / 1_000_000) as usize;

        let baud_us = self.code.baud_us();
        let baud = samples(baud_us, hz);
        // A millionth of a sample is far more than rounding leaves, and less than anyone means.
        let whole = (baud_us * 1e-6 * hz as f64 - baud).abs() < 1e-6;
        if !(whole && baud >= 1.0 && baud <= ipp as f64) {
            let allowed = format!("a whole number of samples at {hz} Hz, from 1 to the period");
            return Err(field("the code's baud_us", &baud_us, allowed));
        }
        let pulse = baud * self.code.n_bauds() as f64;
        let tx_start = samples(radar.tx_start_us, hz);
        if !(tx_start >= 0.0 && tx_start + pulse <= ipp as f64) {
            let allowed = format!(
                "from 0, and early enough for the pulse of {} us to end before the period of {} us",
                self.code.pulse_us(),
                radar.ipp_us,
            );
            return Err(field("tx_start_us", &radar.tx_start_us, allowed));
        }
        let (rx_start, rx_end) = (samples(radar.rx_start_us, hz), samples(radar.rx_end_us, hz));
        if !(0.0..ipp as f64).contains(&rx_start) {
            let allowed = format!("from 0 to {}", radar.ipp_us);
            return Err(field("rx_start_us", &radar.rx_start_us, allowed));
        }
        let open = rx_start.max(tx_start + pulse);
        if !(rx_end > open && rx_end <= ipp as f64) {
            let allowed = format!(
                "after rx_start_us ({}) and the end of the pulse ({}), and up to {}",
                radar.rx_start_us,
                radar.tx_start_us + self.code.pulse_us(),
                radar.ipp_us,
            );
            return Err(field("rx_end_us", &radar.rx_end_us, allowed));
        }
        Ok(Timing {
            ipp,
            baud: baud as usize,
            tx: tx_start as usize..(tx_start + pulse) as usize,
            open: open as usize..rx_end as usize,
        })
    }

    fn check_levels(&self) -> Result<(), SimulationError> {
        if !(self.noise_std.is_finite() && self.noise_std >= 0.0) {
            return Err(field("noise_std", &self.noise_std, "a finite number, not negative"));
        }
        let integers = matches!(self.dtype, Dtype::ComplexI8 | Dtype::ComplexI16);
        // An integer below one half would be stored as silence.
        let least = if integers { 0.5 } else { 0.0 };
        let greatest = self.dtype.greatest();
        if !(self.tx_amplitude > least && self.tx_amplitude <= greatest) {
            let allowed =
                format!("above {least} and up to {greatest}, as {} stores it", self.dtype);
            return Err(field("tx_amplitude", &self.tx_amplitude, allowed));
        }
        Ok(())
    }

    fn n_periods(&self, ipp: usize) -> Result<u64, SimulationError> {
        let n_samples = self.duration_s * self.radar.sample_rate_hz as f64;
        let in_range = self.duration_s > 0.0 && self.duration_s <= MAX_DURATION_S;
        // Rounded first, so that 1.02 s are 51 periods of 20 ms whatever their binary fractions.
        let n_periods = (n_samples.round_ties_even() / ipp as f64).floor();
        if !(in_range && n_periods >= 1.0) {
            let allowed =
                format!("from one period of {} us to {MAX_DURATION_S} s", self.radar.ipp_us);
            return Err(field("duration_s", &self.duration_s, allowed));
        }
        Ok(n_periods as u64)
    }

    fn echo(
        &self,
        target_idx: usize,
        target: &Target,
        timing: &Timing,
        end_s: f64,
    ) -> Result<Echo, SimulationError> {
        let wrong = |field, value: f64, allowed: String| SimulationError::Target {
            target_idx,
            field,
            value: value.to_string(),
            allowed,
        };
        for (key, value) in [
            ("range_m", target.range_m),
            ("range_rate_m_s", target.range_rate_m_s),
            ("acceleration_m_s2", target.acceleration_m_s2),
        ] {
            if !value.is_finite() {
                return Err(wrong(key, value, "a finite number".to_owned()));
            }
        }
        for time_s in [0.0, end_s] {
            let rate = target.range_rate_m_s_at(time_s);
            if rate.abs() > MAX_RANGE_RATE_M_S {
                let allowed =
                    format!("at most {MAX_RANGE_RATE_M_S} m/s in size (at {time_s} s it is not)");
                return Err(wrong("range_rate_m_s", rate, allowed));
            }
        }
        let (least, greatest) = target.range_span_m(end_s);
        if !(least > 0.0 && greatest <= MAX_RANGE_M) {
            let allowed = format!(
                "such that the path stays above 0 and up to {MAX_RANGE_M} m for all of {end_s} s \
                 (it goes from {least} to {greatest} m)"
            );
            return Err(wrong("range_m", target.range_m, allowed));
        }
        let amplitude = target.strength.amplitude(self.noise_std);
        if matches!(target.strength, Strength::SnrDb(_)) && self.noise_std == 0.0 {
            let allowed = "above 0, for a target's strength to be relative to it";
            return Err(field("noise_std", &self.noise_std, allowed));
        }
        if !(amplitude.is_finite() && amplitude > 0.0) {
            let allowed = "such that the amplitude is a positive number".to_owned();
            return Err(wrong("strength", amplitude, allowed));
        }
        let lags = lags(least, greatest, self.radar.sample_rate_hz, timing);
        Ok(Echo { target: *target, amplitude, lags })
    }
}

/// How many periods after its pulse an echo may arrive, in whole or in part. One sample more is
/// allowed for on each side, since the span of the path is rounded otherwise than each delay.
fn lags(least_m: f64, greatest_m: f64, hz: u64, timing: &Timing) -> RangeInclusive<u64> {
    let delay = |range_m: f64| range_m / SPEED_OF_LIGHT_M_S * hz as f64;
    let first = (timing.tx.start as f64 + delay(least_m) - 1.0).max(0.0);
    let last = timing.tx.end as f64 + delay(greatest_m) + 1.0;
    let ipp = timing.ipp as f64;
    (first / ipp) as u64..=(last / ipp) as u64
}

impl Pointing {
    /// Azimuth (in `0..360`) and elevation, in degrees, at `time_s` after the first sample.
    #[must_use]
    pub fn at(&self, time_s: f64) -> (f64, f64) {
        (
            (self.azimuth_deg + self.azimuth_rate_deg_s * time_s).rem_euclid(360.0),
            self.elevation_deg + self.elevation_rate_deg_s * time_s,
        )
    }

    fn check(&self, end_s: f64) -> Result<(), SimulationError> {
        if !(1..=1_000_000).contains(&self.rate_hz) {
            return Err(field("the pointing's rate_hz", &self.rate_hz, "from 1 to 1000000"));
        }
        for (key, value) in [
            ("azimuth_deg", self.azimuth_deg),
            ("azimuth_rate_deg_s", self.azimuth_rate_deg_s),
            ("elevation_rate_deg_s", self.elevation_rate_deg_s),
        ] {
            if !value.is_finite() {
                return Err(field(key, &value, "a finite number"));
            }
        }
        for time_s in [0.0, end_s] {
            let (_, elevation) = self.at(time_s);
            if !(-90.0..=90.0).contains(&elevation) {
                let allowed = format!(
                    "such that the elevation stays between -90 and 90 degrees for all of {end_s} s"
                );
                return Err(field("elevation_deg", &self.elevation_deg, allowed));
            }
        }
        Ok(())
    }
}
