//! Integrations without a result, and why.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whether an integration was computed. The code is what `integration_status` of a GMF file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "i8", try_from = "i8")]
#[non_exhaustive]
pub enum IntegrationStatus {
    /// Code 0: it was.
    Computed,
    /// Code 1: the transmitter was silent, so there was nothing to match; no power.
    Silent,
    /// Code 2: samples that it needs were never recorded, or their file is missing or damaged.
    Unreadable,
    /// Code 3: a sample that it needs is NaN or infinite.
    NotFinite,
}

impl IntegrationStatus {
    /// All, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Computed, Self::Silent, Self::Unreadable, Self::NotFinite];

    /// The code in files.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Computed => 0,
            Self::Silent => 1,
            Self::Unreadable => 2,
            Self::NotFinite => 3,
        }
    }

    /// The name in files, without blanks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Silent => "transmitter_silent",
            Self::Unreadable => "samples_missing_or_damaged",
            Self::NotFinite => "samples_not_finite",
        }
    }

    /// Whether the integration should have had a result, and has none.
    #[must_use]
    pub fn is_gap(self) -> bool {
        matches!(self, Self::Unreadable | Self::NotFinite)
    }
}

impl From<IntegrationStatus> for i8 {
    fn from(status: IntegrationStatus) -> Self {
        status.code()
    }
}

impl TryFrom<i8> for IntegrationStatus {
    type Error = String;

    fn try_from(code: i8) -> Result<Self, Self::Error> {
        Self::ALL
            .into_iter()
            .find(|status| status.code() == code)
            .ok_or_else(|| format!("{code} is no integration's status"))
    }
}

/// The status in words.
impl fmt::Display for IntegrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// An integration without a result, because of its samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The integration's number in the run.
    pub integration: usize,
    /// What its samples lack.
    pub status: IntegrationStatus,
    /// When it starts (UTC).
    pub time: String,
    /// What was wrong, with the name of the file where there is one.
    pub reason: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { integration, status, time, reason } = self;
        write!(f, "integration {integration} ({time}): {status}: {reason}")
    }
}

/// A file at an end of a recording that cannot be used, so that the recording is that much shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedEnd {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Whether it lies before the first sample that can be used, not after the last.
    pub at_start: bool,
}

impl fmt::Display for DamagedEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.at_start { "start" } else { "end" };
        let path = self.path.display().to_string();
        let reason = &self.reason;
        if reason.contains(&path) {
            write!(f, "a file at the {end} of the recording was passed over: {reason}")
        } else {
            write!(f, "{path} at the {end} of the recording was passed over: {reason}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_place_and_come_back() {
        for (place, status) in IntegrationStatus::ALL.into_iter().enumerate() {
            assert_eq!(usize::try_from(status.code()).unwrap(), place);
            assert_eq!(IntegrationStatus::try_from(status.code()), Ok(status));
            assert!(!status.name().contains(' '));
        }
        assert!(IntegrationStatus::try_from(4).is_err());
    }
}
