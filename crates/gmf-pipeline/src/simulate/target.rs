//! Targets, and how their echoes move.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The form of a target on the command line, for messages.
const FORM: &str = "r=METRES,v=M_PER_S,a=M_PER_S2,amp=AMPLITUDE (or snr=DB), as in \
    r=1996e3,v=400,a=60,amp=10";

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A part of the text is no `KEY=VALUE`.
    #[error("'{part}' in the target '{text}' is not KEY=VALUE; write {FORM}")]
    Form {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// There is no such key.
    #[error("unknown key '{key}' in the target '{text}'; write {FORM}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The whole text.
        text: String,
    },
    /// A value is no finite number.
    #[error("{key} of the target '{text}' is '{value}', expected a number; write {FORM}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The whole text.
        text: String,
    },
    /// A key is given twice, or both `amp` and `snr`.
    #[error("the target '{text}' gives {key} twice; write {FORM}")]
    Twice {
        /// The key.
        key: &'static str,
        /// The whole text.
        text: String,
    },
    /// A key that has no default is missing.
    #[error("the target '{text}' lacks {key}; write {FORM}")]
    Missing {
        /// The key.
        key: &'static str,
        /// The whole text.
        text: String,
    },
}

/// How strong an echo is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Strength {
    /// Amplitude of a received sample, in the recorder's unit.
    Amplitude(f64),
    /// Power of a received sample over that of the noise, in dB. The noise has the power
    /// `2 noise_std^2`, half of it in each component.
    SnrDb(f64),
}

impl Strength {
    /// The amplitude of a received sample; `noise_std` is the noise's standard deviation in each
    /// of the two components.
    #[must_use]
    pub fn amplitude(self, noise_std: f64) -> f64 {
        match self {
            Self::Amplitude(amplitude) => amplitude,
            Self::SnrDb(db) => 10_f64.powf(db / 20.0) * noise_std * std::f64::consts::SQRT_2,
        }
    }
}

/// A point target. Its path, from the transmitter by the target to the receiver, is
/// `r(t) = range_m + range_rate_m_s t + acceleration_m_s2 t^2 / 2`; `t` counts from the first
/// sample of the product. (With one antenna that is twice the distance.)
///
/// On the command line: `r=1996e3,v=400,a=60,amp=10`, or `snr=-10` (dB per sample) for `amp`;
/// `v` and `a` are 0 where they are left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Total path at `t = 0`, in metres.
    pub range_m: f64,
    /// Its rate at `t = 0`, in m/s.
    pub range_rate_m_s: f64,
    /// Its acceleration, in m/s^2.
    pub acceleration_m_s2: f64,
    /// Strength of the echo.
    pub strength: Strength,
}

impl Target {
    /// A target whose echo has the amplitude `amplitude`, in the recorder's unit.
    #[must_use]
    pub fn new(range_m: f64, range_rate_m_s: f64, acceleration_m_s2: f64, amplitude: f64) -> Self {
        let strength = Strength::Amplitude(amplitude);
        Self { range_m, range_rate_m_s, acceleration_m_s2, strength }
    }

    /// Total path, in metres, at `time_s` seconds after the first sample.
    #[must_use]
    pub fn range_m_at(&self, time_s: f64) -> f64 {
        self.range_m + (self.range_rate_m_s + 0.5 * self.acceleration_m_s2 * time_s) * time_s
    }

    /// Range rate, in m/s, at `time_s` seconds after the first sample.
    #[must_use]
    pub fn range_rate_m_s_at(&self, time_s: f64) -> f64 {
        self.range_rate_m_s + self.acceleration_m_s2 * time_s
    }

    /// The least and the greatest path between `t = 0` and `end_s`, in metres.
    pub(super) fn range_span_m(&self, end_s: f64) -> (f64, f64) {
        let turn_s = -self.range_rate_m_s / self.acceleration_m_s2;
        let turn_s = if turn_s > 0.0 && turn_s < end_s { turn_s } else { 0.0 };
        let ranges = [0.0, turn_s, end_s].map(|time_s| self.range_m_at(time_s));
        let least = ranges.iter().copied().fold(f64::INFINITY, f64::min);
        (least, ranges.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}

/// The form that [`Target::from_str`] reads back.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (r, v, a) = (self.range_m, self.range_rate_m_s, self.acceleration_m_s2);
        write!(f, "r={r},v={v},a={a},")?;
        match self.strength {
            Strength::Amplitude(amplitude) => write!(f, "amp={amplitude}"),
            Strength::SnrDb(db) => write!(f, "snr={db}"),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut range, mut rate, mut acceleration, mut strength) = (None, None, None, None);
        for part in text.split(',') {
            let form = || TargetError::Form { part: part.to_owned(), text: text.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(form)?;
            let (key, value) = (key.trim(), value.trim());
            let number = || match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(TargetError::Value {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    text: text.to_owned(),
                }),
            };
            let (key, twice) = match key {
                "r" => ("r", range.replace(number()?).is_some()),
                "v" => ("v", rate.replace(number()?).is_some()),
                "a" => ("a", acceleration.replace(number()?).is_some()),
                "amp" => ("amp or snr", strength.replace(Strength::Amplitude(number()?)).is_some()),
                "snr" => ("amp or snr", strength.replace(Strength::SnrDb(number()?)).is_some()),
                _ => {
                    let (key, text) = (key.to_owned(), text.to_owned());
                    return Err(TargetError::UnknownKey { key, text });
                }
            };
            if twice {
                return Err(TargetError::Twice { key, text: text.to_owned() });
            }
        }
        let missing = |key| TargetError::Missing { key, text: text.to_owned() };
        Ok(Self {
            range_m: range.ok_or_else(|| missing("r"))?,
            range_rate_m_s: rate.unwrap_or(0.0),
            acceleration_m_s2: acceleration.unwrap_or(0.0),
            strength: strength.ok_or_else(|| missing("amp or snr"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_the_command_line() {
        let target: Target = "r=1996e3,v=400,a=60,amp=10".parse().unwrap();
        assert_eq!(target, Target::new(1.996e6, 400.0, 60.0, 10.0));
        assert_eq!(target.to_string().parse(), Ok(target));
        let target: Target = " snr = -20 , r=1e6".parse().unwrap();
        assert_eq!(target.strength, Strength::SnrDb(-20.0));
        assert_eq!((target.range_rate_m_s, target.acceleration_m_s2), (0.0, 0.0));
        assert_eq!(target.to_string().parse(), Ok(target));
        // -20 dB of a noise of power 2 * 5^2 is a power of 0.5.
        assert!((target.strength.amplitude(5.0).powi(2) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_wrong_with_a_target_is_said_with_the_form_to_use() {
        for (text, says) in [
            ("", "''"),
            ("r=1,5", "'5'"),
            ("r=1,amp=x", "amp of the target 'r=1,amp=x' is 'x'"),
            ("r=inf,amp=1", "r of the target"),
            ("r=1,amp=nan", "amp of the target"),
            ("r=1,speed=3,amp=1", "unknown key 'speed'"),
            ("r=1,r=2,amp=1", "gives r twice"),
            ("r=1,snr=2,amp=1", "gives amp or snr twice"),
            ("amp=1", "lacks r;"),
            ("r=1", "lacks amp or snr"),
        ] {
            let message = text.parse::<Target>().unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("r=1996e3"), "{text}: {message}");
        }
    }

    #[test]
    fn the_span_of_the_path_knows_where_it_turns() {
        let target = Target::new(1000.0, -10.0, 10.0, 1.0);
        assert_eq!(target.range_span_m(3.0), (995.0, 1015.0));
        assert_eq!(target.range_span_m(0.5), (996.25, 1000.0));
        assert_eq!(Target::new(5.0, 2.0, 0.0, 1.0).range_span_m(3.0), (5.0, 11.0));
    }
}
