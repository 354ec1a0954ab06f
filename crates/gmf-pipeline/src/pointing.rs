//! Where the antenna pointed, for each integration.

use std::path::Path;

use digital_rf::{MetadataError, MetadataReader, SampleRate};

use crate::AnalysisError;

/// Azimuth and elevation over time, from Digital Metadata.
#[derive(Debug)]
pub(crate) enum Pointing {
    /// The product does not say.
    Unknown,
    /// The product's metadata, one entry per sample of its own rate.
    Metadata(MetadataReader),
}

fn error(error: MetadataError) -> AnalysisError {
    AnalysisError::Pointing(Box::new(error))
}

impl Pointing {
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, AnalysisError> {
        match dir {
            None => Ok(Self::Unknown),
            Some(dir) => Ok(Self::Metadata(MetadataReader::open(dir).map_err(error)?)),
        }
    }

    /// Azimuth and elevation, in degrees, at each of `starts` (ascending, samples at `rate`); NaN
    /// where the metadata has no entry. `None` if nothing is known at all.
    ///
    /// An entry holds for the period of the metadata's rate that it is numbered for. (hardtarget
    /// 0.5.1 does the same where the rate of integrations is a multiple of the metadata's, and
    /// stops with an error where it is not.)
    pub(crate) fn at(
        &self,
        starts: &[u64],
        rate: SampleRate,
    ) -> Result<Option<Vec<[f32; 2]>>, AnalysisError> {
        let Self::Metadata(reader) = self else { return Ok(None) };
        let own = reader.layout().rate;
        let entry = |sample: u64| {
            let ticks = u128::from(sample) * u128::from(rate.den()) * u128::from(own.num());
            let per_entry = u128::from(rate.num()) * u128::from(own.den());
            u64::try_from(ticks / per_entry).unwrap_or(u64::MAX)
        };
        let entries: Vec<u64> = starts.iter().map(|&start| entry(start)).collect();
        let (Some(&first), Some(&last)) = (entries.first(), entries.last()) else {
            return Ok(Some(Vec::new()));
        };
        let records = reader.read(first..last.saturating_add(1)).map_err(error)?;
        let angle = |record: &digital_rf::Record, field| {
            record.get(field).and_then(digital_rf::Value::as_f64).unwrap_or(f64::NAN) as f32
        };
        Ok(Some(
            entries
                .into_iter()
                .map(|entry| match records.binary_search_by_key(&entry, |(sample, _)| *sample) {
                    Ok(at) => {
                        let record = &records[at].1;
                        [angle(record, "azimuth"), angle(record, "elevation")]
                    }
                    Err(_) => [f32::NAN; 2],
                })
                .collect(),
        ))
    }
}
