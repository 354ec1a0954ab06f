//! Errors, one enum for each family of operations that can fail.

use thiserror::Error;

/// Why an INI file (`metadata.ini`, `cfg.ini`) was refused.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not in INI form.
    #[error("{file}: not a valid INI file: {message}")]
    Syntax {
        /// The file, as the caller named it.
        file: String,
        /// What the parser found.
        message: String,
    },
    /// The section that holds the parameters is not there.
    #[error("{file}: section [{section}] is missing{hint}", hint = found_sections(found))]
    MissingSection {
        /// The file, as the caller named it.
        file: String,
        /// The section that was looked for.
        section: String,
        /// The sections that the file does hold.
        found: Vec<String>,
    },
    /// A parameter without a default is not there.
    #[error("{file}: key '{key}' is missing from section [{section}]")]
    MissingKey {
        /// The file, as the caller named it.
        file: String,
        /// The section that was read.
        section: String,
        /// The missing key.
        key: String,
    },
    /// A key that no parameter has; most often a misspelling.
    #[error("{file}: unknown key '{key}' in section [{section}]; known keys are {known}")]
    UnknownKey {
        /// The file, as the caller named it.
        file: String,
        /// The section that was read.
        section: String,
        /// The unknown key.
        key: String,
        /// The keys that may stand there, separated by commas.
        known: String,
    },
    /// A key without a usable value.
    #[error(
        "{file}: key '{key}' in section [{section}] has the value '{value}', expected {expected}"
    )]
    BadValue {
        /// The file, as the caller named it.
        file: String,
        /// The section that was read.
        section: String,
        /// The key.
        key: String,
        /// Its value, as written.
        value: String,
        /// What would have been accepted.
        expected: String,
    },
}

fn found_sections(found: &[String]) -> String {
    if found.is_empty() {
        " (the file has no section)".to_owned()
    } else {
        format!(" (the file has [{}])", found.join("], ["))
    }
}

/// Why no search can be derived from an experiment and its processing parameters.
///
/// The keys named are those of `metadata.ini` and `cfg.ini`.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// A parameter lies outside what makes sense for it alone.
    #[error("{key} is {value}, but must be {allowed}")]
    OutOfRange {
        /// The parameter's key.
        key: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        allowed: String,
    },
    /// `tx_pulse_length` contradicts `tx_start` and `tx_end`.
    #[error(
        "tx_pulse_length is {given} samples, but tx_start to tx_end are {implied} samples: \
         correct one of them, or leave tx_pulse_length out"
    )]
    PulseLength {
        /// The length given, in samples.
        given: i64,
        /// The length from `tx_start` to `tx_end`, in samples.
        implied: i64,
    },
    /// A range gate lies outside the reception window.
    #[error(
        "{key} {value} lies outside the reception: gates from {first} to {last} (or {last_from_end} \
         to -1, counted from the end) keep the whole pulse between tx_start and rx_end"
    )]
    GateOutside {
        /// `min_range_gate` or `max_range_gate`.
        key: &'static str,
        /// The gate, as configured.
        value: i64,
        /// The smallest gate that can be analysed.
        first: i64,
        /// The greatest value allowed, in the same counting.
        last: i64,
        /// The most negative value allowed, counted from the end.
        last_from_end: i64,
    },
    /// The last gate is not after the first.
    #[error(
        "max_range_gate (gate {max}) must be greater than min_range_gate (gate {min}): \
         gates run from min_range_gate up to, not including, max_range_gate"
    )]
    NoGates {
        /// The first gate, counted from the start of transmission.
        min: i64,
        /// The end of the gates, counted from the start of transmission.
        max: i64,
    },
    /// A length is not a multiple of the decimation.
    #[error(
        "frequency_decimation {decimation} does not divide the {what} of {length} samples; \
         {suggestion}"
    )]
    Decimation {
        /// The decimation asked for.
        decimation: usize,
        /// What it must divide.
        what: &'static str,
        /// The length of that, in samples.
        length: usize,
        /// Decimations near the one asked for that would do.
        suggestion: String,
    },
    /// The delay of the discrete polynomial transform is not shorter than the integration.
    #[error(
        "dpt_ipp_delay_parameter is {tau} periods, but must be from 1 to {max}: shorter than the \
         {read} periods of an integration (n_ipp + ipp_offset)"
    )]
    Delay {
        /// The delay asked for, in periods.
        tau: usize,
        /// The greatest delay allowed, in periods.
        max: usize,
        /// The periods that an integration reads.
        read: usize,
    },
    /// No acceleration of the grid lies between the limits.
    #[error(
        "{}",
        if min > max {
            format!("min_acceleration {min} must not be above max_acceleration {max} m/s^2")
        } else {
            format!(
                "no acceleration of the grid (a multiple of {step:.4} m/s^2) lies between \
                 min_acceleration {min} and max_acceleration {max} m/s^2: widen these limits"
            )
        }
    )]
    NoAccelerations {
        /// The lower limit, in m/s^2.
        min: f64,
        /// The upper limit, in m/s^2.
        max: f64,
        /// The step of the grid, in m/s^2.
        step: f64,
    },
}

/// Why the samples of one integration cannot be analysed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// A buffer does not have the length that the parameters ask for.
    #[error("{what} has {got} samples, expected {expected}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// The length that was expected, in samples.
        expected: usize,
        /// The length of the buffer, in samples.
        got: usize,
    },
    /// A sample that the filter would use is NaN or infinite.
    ///
    /// Comparisons with NaN are false, so a search would pass over it and report a wrong peak.
    #[error("{what} sample {index} of the integration is {value}, not a finite number")]
    NotFinite {
        /// `"receiver"` or `"transmitter"`.
        what: &'static str,
        /// The index in the integration, from its first sample.
        index: usize,
        /// The sample.
        value: num_complex::Complex32,
    },
    /// The transmitter was silent, so that there is nothing to match.
    #[error("the transmitter's samples are all zero in this integration")]
    NoTransmission,
}

/// Why a kernel could not plan, or execute a plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A buffer does not have the shape that the plan was made for. Nothing was written.
    #[error("{what} has {got} elements, the plan was made for {expected}")]
    Shape {
        /// Which buffer.
        what: &'static str,
        /// The number of elements that was expected.
        expected: usize,
        /// The number of elements of the buffer.
        got: usize,
    },
    /// A sample is NaN or infinite. Nothing was written.
    #[error("element {index} of {what} is {value}, not a finite number")]
    NotFinite {
        /// Which buffer.
        what: &'static str,
        /// The index in the buffer.
        index: usize,
        /// The sample.
        value: num_complex::Complex32,
    },
    /// The kernel cannot do what was asked.
    #[error("the {kernel} kernel cannot compute {what}")]
    Unsupported {
        /// The kernel's name.
        kernel: String,
        /// What was asked.
        what: String,
    },
    /// What the kernel runs on failed.
    #[error("the {kernel} kernel could not {action}")]
    Device {
        /// The kernel's name.
        kernel: String,
        /// What it was doing, in the infinitive.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
