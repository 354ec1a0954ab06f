//! What is searched: the `[signal-processing]` section of a processing configuration.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ini::Section;
use crate::{ConfigError, Method, Optimize};

const SECTION: &str = "signal-processing";

const KEYS: [&str; 14] = [
    "gmf_implementation",
    "gmf_method",
    "node_gpus",
    "n_ipp",
    "ipp_offset",
    "dpt_ipp_delay_parameter",
    "min_range_gate",
    "max_range_gate",
    "range_gate_step",
    "frequency_decimation",
    "clutter_length",
    "min_acceleration",
    "max_acceleration",
    "num_cohints_per_file",
];

/// What is searched and how, as hardtarget's configuration file tells it.
///
/// [`Processing::default`] holds the defaults of hardtarget 0.5.1 (`configuration.DEFAULT_PARAMS`).
/// That the values fit one another and the experiment is checked by [`crate::Derived::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Processing {
    /// Name of the kernel (`gmf_implementation`), where the file chooses one.
    pub gmf_implementation: Option<String>,
    /// Method of the search (`gmf_method`), where the file chooses one.
    pub gmf_method: Option<Method>,
    /// How peaks are refined, where `gmf_method` is one of hardtarget's `optimize-grid-gmf` and
    /// `optimize-scipy-gmf`; the method of the search is `fgmf` then.
    pub optimize: Option<Optimize>,
    /// Graphics processors on each node (`node_gpus`).
    pub node_gpus: u32,
    /// Periods that are integrated coherently (`n_ipp`).
    pub n_ipp: usize,
    /// Periods between a pulse and the reception that is searched for it (`ipp_offset`).
    pub ipp_offset: usize,
    /// Delay of the discrete polynomial transform (`dpt_ipp_delay_parameter`), in periods; also
    /// sets the step of the acceleration grid.
    pub dpt_ipp_delay_parameter: usize,
    /// First range gate (`min_range_gate`), in samples; negative counts from the end of reception.
    pub min_range_gate: i64,
    /// End of the range gates (`max_range_gate`), not included; negative counts from the end.
    pub max_range_gate: i64,
    /// Distance between range gates (`range_gate_step`), in samples.
    pub range_gate_step: usize,
    /// Decoded samples that are summed into one (`frequency_decimation`).
    pub frequency_decimation: usize,
    /// Kept for hardtarget's files (`clutter_length`), which store it; no computation uses it.
    pub clutter_length: i64,
    /// Lower limit of the accelerations searched (`min_acceleration`), in m/s^2.
    pub min_acceleration_m_s2: f64,
    /// Upper limit of the accelerations searched (`max_acceleration`), in m/s^2.
    pub max_acceleration_m_s2: f64,
    /// Coherent integrations in each output file (`num_cohints_per_file`).
    pub num_cohints_per_file: usize,
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            gmf_implementation: None,
            gmf_method: None,
            optimize: None,
            node_gpus: 1,
            n_ipp: 10,
            ipp_offset: 0,
            dpt_ipp_delay_parameter: 5,
            min_range_gate: 0,
            max_range_gate: -1,
            range_gate_step: 1,
            frequency_decimation: 1,
            clutter_length: 0,
            min_acceleration_m_s2: -200.0,
            max_acceleration_m_s2: 200.0,
            num_cohints_per_file: 100,
        }
    }
}

impl Processing {
    /// Reads the section `[signal-processing]` of `text`; `file` is the name used in errors.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the text is no INI file, the section is missing, a key is unknown, or
    /// a value is not of the key's type.
    pub fn from_ini(file: &str, text: &str) -> Result<Self, ConfigError> {
        const COUNT: &str = "a whole number, not negative";
        const WHOLE: &str = "a whole number";
        const NUMBER: &str = "a number";
        let mut section = Section::parse(file, text, SECTION)?;
        let d = Self::default();
        let method: Option<MethodKey> = section.take("gmf_method", MethodKey::EXPECTED)?;
        let parsed = Self {
            gmf_implementation: section.take("gmf_implementation", "a kernel's name")?,
            gmf_method: method.map(|key| key.method),
            optimize: method.and_then(|key| key.optimize),
            node_gpus: section.take("node_gpus", COUNT)?.unwrap_or(d.node_gpus),
            n_ipp: section.take("n_ipp", COUNT)?.unwrap_or(d.n_ipp),
            ipp_offset: section.take("ipp_offset", COUNT)?.unwrap_or(d.ipp_offset),
            dpt_ipp_delay_parameter: section
                .take("dpt_ipp_delay_parameter", COUNT)?
                .unwrap_or(d.dpt_ipp_delay_parameter),
            min_range_gate: section.take("min_range_gate", WHOLE)?.unwrap_or(d.min_range_gate),
            max_range_gate: section.take("max_range_gate", WHOLE)?.unwrap_or(d.max_range_gate),
            range_gate_step: section.take("range_gate_step", COUNT)?.unwrap_or(d.range_gate_step),
            frequency_decimation: section
                .take("frequency_decimation", COUNT)?
                .unwrap_or(d.frequency_decimation),
            clutter_length: section.take("clutter_length", WHOLE)?.unwrap_or(d.clutter_length),
            min_acceleration_m_s2: section
                .take("min_acceleration", NUMBER)?
                .unwrap_or(d.min_acceleration_m_s2),
            max_acceleration_m_s2: section
                .take("max_acceleration", NUMBER)?
                .unwrap_or(d.max_acceleration_m_s2),
            num_cohints_per_file: section
                .take("num_cohints_per_file", COUNT)?
                .unwrap_or(d.num_cohints_per_file),
        };
        section.finish(&KEYS)?;
        Ok(parsed)
    }
}

/// What `gmf_method` may say: how the grid is searched, or how peaks are refined after that.
#[derive(Clone, Copy)]
struct MethodKey {
    method: Method,
    optimize: Option<Optimize>,
}

impl MethodKey {
    const EXPECTED: &str = "fgmf, fdpt, optimize-grid-gmf or optimize-scipy-gmf";
}

impl FromStr for MethodKey {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.starts_with("optimize-") {
            return Ok(Self { method: Method::Fgmf, optimize: Some(name.parse()?) });
        }
        Ok(Self { method: name.parse()?, optimize: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_gives_the_defaults() {
        let processing = Processing::from_ini("cfg.ini", "[signal-processing]\n").unwrap();
        assert_eq!(processing, Processing::default());
    }

    #[test]
    fn an_unknown_key_is_named_beside_the_known_ones() {
        let text = "[signal-processing]\nn_ipps = 10\n";
        let error = Processing::from_ini("cfg.ini", text).unwrap_err().to_string();
        assert!(error.starts_with("cfg.ini: unknown key 'n_ipps' in section [signal-processing]"));
        assert!(error.contains("n_ipp, ipp_offset"), "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_shown() {
        let text = "[signal-processing]\nn_ipp = ten\n";
        let error = Processing::from_ini("cfg.ini", text).unwrap_err().to_string();
        assert!(error.contains("'n_ipp'") && error.contains("'ten'"), "{error}");
    }

    #[test]
    fn methods_are_known_by_the_names_of_the_original() {
        for (name, method) in [
            ("fgmf", Method::Fgmf),
            ("grid-fast-gmf", Method::Fgmf),
            ("fdpt", Method::Fdpt),
            ("'grid-fast-dpt'", Method::Fdpt),
        ] {
            let text = format!("[signal-processing]\ngmf_method = {name}\n");
            let processing = Processing::from_ini("cfg.ini", &text).unwrap();
            assert_eq!(processing.gmf_method, Some(method), "{name}");
        }
    }

    #[test]
    fn the_methods_that_refine_mean_a_search_and_its_refinement() {
        for (name, optimize) in
            [("optimize-grid-gmf", Optimize::Grid), ("optimize-scipy-gmf", Optimize::Continuous)]
        {
            let text = format!("[signal-processing]\ngmf_method = {name}\n");
            let processing = Processing::from_ini("cfg.ini", &text).unwrap();
            assert_eq!(processing.gmf_method, Some(Method::Fgmf), "{name}");
            assert_eq!(processing.optimize, Some(optimize), "{name}");
        }
        let text = "[signal-processing]\ngmf_method = optimize-gmf\n";
        let error = Processing::from_ini("cfg.ini", text).unwrap_err().to_string();
        assert!(error.contains("'optimize-gmf'") && error.contains("optimize-grid-gmf"), "{error}");
    }
}
