//! What a channel says about itself: `drf_properties.h5`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    FileLayout, LayoutError, SampleRate, SampleType,
    hdf5::{AttrValue, ByteOrder, File, Hdf5Error, Number, Scalar},
};

/// The names under which the properties of a channel are kept, newest first.
pub(crate) const PROPERTY_FILES: [&str; 2] = ["drf_properties.h5", "metadata.h5"];
/// The oldest and the newest major version of the layout that this crate knows.
const MAJOR_VERSIONS: std::ops::RangeInclusive<u64> = 2..=2;

/// Why the properties of a channel cannot be used. Every variant names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PropertiesError {
    /// The file cannot be read.
    #[error("could not read the properties of the channel")]
    Hdf5(#[from] Hdf5Error),
    /// A property is not there, or of a type that cannot be used.
    #[error("{path} lacks {key}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The property.
        key: &'static str,
    },
    /// A property is there, but its value makes no sense.
    #[error("{key} of {path} cannot be {value}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The property.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// Rate and cadences make no sense together.
    #[error("{path} describes no possible channel", path = path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: LayoutError,
    },
    /// The channel is older than version 2.0 of the layout.
    #[error("{path} is of version {version}, older than 2.0", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
}

/// What a channel says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelProperties {
    /// Rate and division into files.
    pub layout: FileLayout,
    /// What a sample is. Whether integers are signed is not among the properties: signed is
    /// assumed here, and [`Channel::sample_type`](crate::Channel::sample_type) knows from the data.
    pub sample_type: SampleType,
    /// How many sub-channels are sampled together.
    pub num_subchannels: usize,
    /// What the recorder was asked for; [`None`] when the file does not say. Gaps are found by the
    /// index of each file, never by this.
    pub is_continuous: Option<bool>,
    /// When sample 0 was: `1970-01-01T00:00:00Z`.
    pub epoch: Option<String>,
    /// Version of the layout; files before 2.3 do not say.
    pub version: Option<String>,
    /// Everything that the file says, by name.
    pub all: BTreeMap<String, AttrValue>,
}

impl ChannelProperties {
    /// Reads the properties in the folder of a channel; `None` when it is no such folder.
    ///
    /// # Errors
    ///
    /// [`PropertiesError`].
    pub fn read(channel_dir: &Path) -> Result<Option<Self>, PropertiesError> {
        let Some(path) =
            PROPERTY_FILES.iter().map(|name| channel_dir.join(name)).find(|path| path.is_file())
        else {
            return Ok(None);
        };
        let all = File::open(&path)?.attrs("/")?;
        Self::from_attrs(&path, all).map(Some)
    }

    fn from_attrs(path: &Path, all: BTreeMap<String, AttrValue>) -> Result<Self, PropertiesError> {
        let attrs = Attrs { path, all: &all };
        let version = attrs.text("digital_rf_version");
        if let Some(version) = &version {
            check_version(path, version)?;
        }
        let layout_error = |source| PropertiesError::Layout { path: path.to_path_buf(), source };
        let layout = FileLayout::new(
            attrs.rate()?,
            attrs.unsigned("subdir_cadence_secs")?,
            attrs.unsigned("file_cadence_millisecs")?,
        )
        .map_err(layout_error)?;
        let num_subchannels = attrs.unsigned("num_subchannels")?;
        let num_subchannels = usize::try_from(num_subchannels)
            .ok()
            .filter(|n| (1..=1 << 20).contains(n))
            .ok_or_else(|| attrs.invalid("num_subchannels", &num_subchannels))?;
        Ok(Self {
            layout,
            sample_type: attrs.sample_type()?,
            num_subchannels,
            is_continuous: all.get("is_continuous").and_then(AttrValue::as_bool),
            epoch: attrs.text("epoch"),
            version,
            all,
        })
    }

    /// Whether the channel is of a newer major version than this crate knows, so that errors may
    /// have that cause.
    pub fn is_newer_than_known(&self) -> bool {
        self.version.as_deref().and_then(major).is_some_and(|major| major > *MAJOR_VERSIONS.end())
    }

    /// Bytes of one row of samples, over all sub-channels.
    pub fn row_bytes(&self) -> usize {
        self.sample_type.size() * self.num_subchannels
    }
}

fn major(version: &str) -> Option<u64> {
    version.split('.').next()?.parse().ok()
}

fn check_version(path: &Path, version: &str) -> Result<(), PropertiesError> {
    // As the original does, versions under development are let through.
    if !version.contains("dev") && major(version).is_some_and(|n| n < *MAJOR_VERSIONS.start()) {
        return Err(PropertiesError::Version {
            path: path.to_path_buf(),
            version: version.to_owned(),
        });
    }
    Ok(())
}

/// Attributes, and the file to name when one is wrong.
pub(crate) struct Attrs<'a> {
    pub(crate) path: &'a Path,
    pub(crate) all: &'a BTreeMap<String, AttrValue>,
}

impl Attrs<'_> {
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.all.get(key)?.as_str().map(str::to_owned)
    }

    pub(crate) fn unsigned(&self, key: &'static str) -> Result<u64, PropertiesError> {
        let value = self
            .all
            .get(key)
            .ok_or_else(|| PropertiesError::Missing { path: self.path.to_path_buf(), key })?;
        value.as_u64().ok_or_else(|| self.invalid(key, &value))
    }

    pub(crate) fn invalid(&self, key: &'static str, value: &dyn ToString) -> PropertiesError {
        PropertiesError::Invalid { path: self.path.to_path_buf(), key, value: value.to_string() }
    }

    /// The rate as a fraction; in old files it is a number, `samples_per_second`.
    pub(crate) fn rate(&self) -> Result<SampleRate, PropertiesError> {
        let (num, den) = match self.all.get("samples_per_second") {
            Some(old) if !self.all.contains_key("sample_rate_numerator") => old
                .as_u64()
                .map(|hz| (hz, 1))
                .or_else(|| fraction(old.as_f64()?))
                .ok_or_else(|| self.invalid("samples_per_second", &old))?,
            _ => {
                (self.unsigned("sample_rate_numerator")?, self.unsigned("sample_rate_denominator")?)
            }
        };
        SampleRate::new(num, den)
            .map_err(|source| PropertiesError::Layout { path: self.path.to_path_buf(), source })
    }

    fn sample_type(&self) -> Result<SampleType, PropertiesError> {
        const CLASS: &str = "H5Tget_class";
        const SIZE: &str = "H5Tget_size";
        let (class, size) = (self.unsigned(CLASS)?, self.unsigned(SIZE)?);
        let scalar = match (class, size) {
            (0, 1) => Scalar::I8,
            (0, 2) => Scalar::I16,
            (0, 4) => Scalar::I32,
            (0, 8) => Scalar::I64,
            (1, 4) => Scalar::F32,
            (1, 8) => Scalar::F64,
            (0 | 1, _) => return Err(self.invalid(SIZE, &size)),
            _ => return Err(self.invalid(CLASS, &class)),
        };
        let order = match self.unsigned("H5Tget_order")? {
            0 => ByteOrder::Little,
            1 => ByteOrder::Big,
            other => return Err(self.invalid("H5Tget_order", &other)),
        };
        let complex = self.unsigned("is_complex")? != 0;
        Ok(SampleType { number: Number { scalar, order }, complex })
    }
}

/// The nearest fraction to a rate with a denominator of up to a million, by continued fractions.
fn fraction(hz: f64) -> Option<(u64, u64)> {
    const MAX_DEN: f64 = 1e6;
    if !(hz > 0.0 && hz < 1e15) {
        return None;
    }
    let (mut rest, mut last, mut this) = (hz, (0.0, 1.0), (1.0, 0.0));
    loop {
        let whole = rest.floor();
        let next = (whole * this.0 + last.0, whole * this.1 + last.1);
        if next.1 > MAX_DEN {
            break;
        }
        (last, this) = (this, next);
        if rest - whole < 1e-9 || this.0 / this.1 == hz {
            break;
        }
        rest = 1.0 / (rest - whole);
    }
    Some((this.0 as u64, this.1 as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Old files give the rate as a float; what was a fraction is found again.
    #[test]
    fn rates_of_old_files_become_fractions() {
        assert_eq!(fraction(1e6), Some((1_000_000, 1)));
        assert_eq!(fraction(100_000.0 / 7.0), Some((100_000, 7)));
        assert_eq!(fraction(10_000_000.0 / 333.0), Some((10_000_000, 333)));
        assert_eq!(fraction(0.5), Some((1, 2)));
        assert_eq!(fraction(f64::NAN), None);
        assert_eq!(fraction(-1.0), None);
    }
}
