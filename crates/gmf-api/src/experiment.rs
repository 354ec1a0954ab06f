//! What the radar did: the `[Experiment]` section of a product's `metadata.ini`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::ini::Section;

const SECTION: &str = "Experiment";

/// How the radar transmitted and recorded, as hardtarget's `metadata.ini` tells it.
///
/// Times count from the start of each inter-pulse period. Source: hardtarget 0.5.1,
/// `drf_utils.load_hardtarget_drf_params`; keys have the same names there, without the units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Name of the experiment (`name`).
    pub name: Option<String>,
    /// Version of the experiment (`version`).
    pub version: Option<String>,
    /// Samples per second (`sample_rate`), in Hz.
    pub sample_rate_hz: u64,
    /// Inter-pulse period (`ipp`), in microseconds.
    pub ipp_us: u64,
    /// Length of the pulse (`tx_pulse_length`), in microseconds, where it was given.
    pub tx_pulse_length_us: Option<f64>,
    /// Start of reception (`rx_start`), in microseconds.
    pub rx_start_us: f64,
    /// End of reception (`rx_end`), in microseconds.
    pub rx_end_us: f64,
    /// Start of transmission (`tx_start`), in microseconds.
    pub tx_start_us: f64,
    /// End of transmission (`tx_end`), in microseconds.
    pub tx_end_us: f64,
    /// Start of the calibration signal (`cal_on`), in microseconds.
    pub cal_on_us: Option<f64>,
    /// End of the calibration signal (`cal_off`), in microseconds.
    pub cal_off_us: Option<f64>,
    /// Length of the recorder's own files (`file_secs`), in seconds.
    pub file_secs: Option<f64>,
    /// Carrier frequency (`radar_frequency`), in MHz.
    pub radar_frequency_mhz: f64,
    /// Channel that holds the received signal (`rx_channel`).
    pub rx_channel: Option<String>,
    /// Channel that holds the transmitted signal (`tx_channel`).
    pub tx_channel: Option<String>,
    /// Further keys, as written; they are kept and written out with the results.
    pub other: BTreeMap<String, String>,
}

impl Experiment {
    /// Reads the section `[Experiment]` of `text`; `file` is the name used in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text is no INI file, the section or a required key is missing, or
    /// a value is not a number. Required are `sample_rate`, `ipp`, `rx_start`, `rx_end`,
    /// `tx_start`, `tx_end` and `radar_frequency`.
    pub fn from_ini(file: &str, text: &str) -> Result<Self, ConfigError> {
        const COUNT: &str = "a whole number";
        const NUMBER: &str = "a number";
        const TEXT: &str = "a text";
        let mut section = Section::parse(file, text, SECTION)?;
        Ok(Self {
            name: section.take("name", TEXT)?,
            version: section.take("version", TEXT)?,
            sample_rate_hz: section.require("sample_rate", COUNT)?,
            ipp_us: section.require("ipp", COUNT)?,
            tx_pulse_length_us: section.take("tx_pulse_length", NUMBER)?,
            rx_start_us: section.require("rx_start", NUMBER)?,
            rx_end_us: section.require("rx_end", NUMBER)?,
            tx_start_us: section.require("tx_start", NUMBER)?,
            tx_end_us: section.require("tx_end", NUMBER)?,
            cal_on_us: section.take("cal_on", NUMBER)?,
            cal_off_us: section.take("cal_off", NUMBER)?,
            file_secs: section.take("file_secs", NUMBER)?,
            radar_frequency_mhz: section.require("radar_frequency", NUMBER)?,
            rx_channel: section.take("rx_channel", TEXT)?,
            tx_channel: section.take("tx_channel", TEXT)?,
            other: section.rest(),
        })
    }

    /// The text of a `metadata.ini` that [`Experiment::from_ini`] and hardtarget read back.
    #[must_use]
    pub fn to_ini(&self) -> String {
        let mut text = format!("[{SECTION}]\n");
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                writeln!(text, "{key} = {value}").expect("writing to a String does not fail");
            }
        };
        let number = |value: f64| Some(value.to_string());
        put("name", self.name.clone());
        put("version", self.version.clone());
        put("sample_rate", Some(self.sample_rate_hz.to_string()));
        put("ipp", Some(self.ipp_us.to_string()));
        put("tx_pulse_length", self.tx_pulse_length_us.and_then(number));
        put("rx_start", number(self.rx_start_us));
        put("rx_end", number(self.rx_end_us));
        put("tx_start", number(self.tx_start_us));
        put("tx_end", number(self.tx_end_us));
        put("cal_on", self.cal_on_us.and_then(number));
        put("cal_off", self.cal_off_us.and_then(number));
        put("file_secs", self.file_secs.and_then(number));
        put("radar_frequency", number(self.radar_frequency_mhz));
        put("rx_channel", self.rx_channel.clone());
        put("tx_channel", self.tx_channel.clone());
        for (key, value) in &self.other {
            put(key, Some(value.clone()));
        }
        text
    }

    /// The carrier's wavelength, in metres.
    #[must_use]
    pub fn wavelength_m(&self) -> f64 {
        crate::SPEED_OF_LIGHT_M_S / (self.radar_frequency_mhz * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "; a comment\n[Experiment]\nname = 'beam park'\nSample_Rate: 1000000\n\
        ipp=20000\ntx_pulse_length = 1920\nrx_start = 0.0\nrx_end = 12000.0\ntx_start = 82.0\n\
        tx_end = 2002\nradar_frequency = 929.6\nrx_channel = \"uhf\"\nobserver = me; you\n";

    #[test]
    fn an_ini_file_survives_the_way_out_and_back() {
        let experiment = Experiment::from_ini("metadata.ini", TEXT).unwrap();
        assert_eq!(experiment.name.as_deref(), Some("beam park"));
        assert_eq!(experiment.rx_channel.as_deref(), Some("uhf"));
        assert_eq!(experiment.other["observer"], "me; you");
        assert_eq!(Experiment::from_ini("again", &experiment.to_ini()).unwrap(), experiment);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| Experiment::from_ini("m.ini", text).unwrap_err().to_string();
        assert_eq!(
            error("[experiment]\nipp = 1\n"),
            "m.ini: section [Experiment] is missing (the file has [experiment])"
        );
        assert_eq!(error(""), "m.ini: section [Experiment] is missing (the file has no section)");
        assert_eq!(
            error(&TEXT.replace("ipp=20000\n", "")),
            "m.ini: key 'ipp' is missing from section [Experiment]"
        );
        assert_eq!(
            error(&TEXT.replace("20000", "20 ms")),
            "m.ini: key 'ipp' in section [Experiment] has the value '20 ms', expected a whole number"
        );
        assert!(error("[Experiment\nipp = 1\n").starts_with("m.ini: not a valid INI file: "));
    }
}
