//! Where integrations and files lie in time, by arithmetic alone.

use std::ops::Range;
use std::path::{Path, PathBuf};

use digital_rf::SampleRate;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::FileTask;

/// How the integrations of a run are numbered and put into files.
///
/// All that is needed to name every file of a run, without its recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunLayout {
    /// Number of the first sample, counted from the Unix epoch.
    pub(crate) first_sample: u64,
    pub(crate) sample_rate_num: u64,
    pub(crate) sample_rate_den: u64,
    /// Samples from the start of one integration to that of the next.
    pub(crate) integration_samples: u64,
    pub(crate) n_integrations: usize,
    pub(crate) integrations_per_file: usize,
}

impl RunLayout {
    /// Whether the numbers can be those of a run: at least one integration, and no overflow.
    pub(crate) fn is_sound(&self) -> bool {
        let samples = self.integration_samples.checked_mul(self.n_integrations as u64);
        let end = samples.and_then(|samples| samples.checked_add(self.first_sample));
        SampleRate::new(self.sample_rate_num, self.sample_rate_den).is_ok()
            && self.n_integrations > 0
            && self.integrations_per_file > 0
            && end.is_some()
    }

    /// Samples per second.
    ///
    /// # Panics
    ///
    /// When the layout is not sound.
    fn rate(&self) -> SampleRate {
        SampleRate::new(self.sample_rate_num, self.sample_rate_den).expect("the layout is sound")
    }

    pub(crate) fn n_files(&self) -> usize {
        self.n_integrations.div_ceil(self.integrations_per_file)
    }

    pub(crate) fn integration_start(&self, integration: usize) -> u64 {
        self.first_sample + integration as u64 * self.integration_samples
    }

    pub(crate) fn integrations(&self, file_idx: usize) -> Range<usize> {
        let first = file_idx.saturating_mul(self.integrations_per_file);
        first..first.saturating_add(self.integrations_per_file).min(self.n_integrations)
    }

    pub(crate) fn file(&self, file_idx: usize) -> FileTask {
        let integrations = self.integrations(file_idx);
        let first_sample = self.integration_start(integrations.start);
        let epoch_us = u64::try_from(self.rate().unix_ns(first_sample) / 1000).unwrap_or(u64::MAX);
        let hour = i64::try_from(epoch_us)
            .ok()
            .and_then(|us| Timestamp::from_microsecond(us).ok())
            .unwrap_or(Timestamp::MAX)
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%dT%H-00-00")
            .to_string();
        let relative_path = PathBuf::from(hour).join(format!("gmf-{epoch_us:08}.h5"));
        FileTask { file_idx, integrations, first_sample, epoch_us, relative_path }
    }

    /// The number of the file that has this path; `None` when the run has none of this name.
    pub(crate) fn file_of(&self, relative_path: &Path) -> Option<usize> {
        let name = relative_path.file_name()?.to_str()?;
        let epoch_us: u64 = name.strip_prefix("gmf-")?.strip_suffix(".h5")?.parse().ok()?;
        // The name is rounded down, so the file begins with this sample or one soon after.
        let sample = self.rate().sample_from_ns(u128::from(epoch_us) * 1000);
        let samples = u128::from(self.integration_samples) * self.integrations_per_file as u128;
        let file_idx =
            u128::from(sample.saturating_sub(self.first_sample)).div_ceil(samples.max(1));
        let file_idx = usize::try_from(file_idx).ok().filter(|idx| *idx < self.n_files())?;
        (self.file(file_idx).relative_path == relative_path).then_some(file_idx)
    }

    /// When an integration starts (UTC), for messages.
    pub(crate) fn integration_time(&self, integration: usize) -> String {
        crate::timespan::utc(self.rate(), self.integration_start(integration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At any rate, also where files start between two microseconds, and over the hour.
    #[test]
    fn the_name_of_every_file_says_which_it_is() {
        for (num, den, integration_samples, per_file) in [
            (1_000_000, 1, 200_000, 3),
            (20_000_000, 1, 7, 1),
            (100_000, 7, 1234, 2),
            (3, 1, 5, 100),
        ] {
            let layout = RunLayout {
                first_sample: 1_618_233_599 * num / den + 13,
                sample_rate_num: num,
                sample_rate_den: den,
                integration_samples,
                n_integrations: 1000,
                integrations_per_file: per_file,
            };
            assert!(layout.is_sound());
            for file_idx in 0..layout.n_files() {
                let file = layout.file(file_idx);
                let found = layout.file_of(&file.relative_path);
                // Two files may begin in one microsecond only where one lasts less than that.
                let found = layout.file(found.unwrap());
                assert_eq!(found.relative_path, file.relative_path);
            }
            for foreign in [
                "2021-04-12T13-00-00/gmf-1618229740000001.h5",
                "2021-04-12T13-00-00/gmf-x.h5",
                "2021-04-12T13-00-00/gmf-99999999999999999999.h5",
                "2021-04-12T13-00-00/gmf-00000000.h5",
                "gmf-1618229740000000.h5",
            ] {
                assert_eq!(layout.file_of(Path::new(foreign)), None, "{foreign}");
            }
        }
    }

    #[test]
    fn numbers_of_no_run_are_not_sound() {
        let layout = RunLayout {
            first_sample: 5,
            sample_rate_num: 1,
            sample_rate_den: 1,
            integration_samples: 10,
            n_integrations: 1,
            integrations_per_file: 1,
        };
        assert!(layout.is_sound());
        assert!(!RunLayout { sample_rate_den: 0, ..layout.clone() }.is_sound());
        assert!(!RunLayout { n_integrations: 0, ..layout.clone() }.is_sound());
        assert!(!RunLayout { integrations_per_file: 0, ..layout.clone() }.is_sound());
        assert!(!RunLayout { integration_samples: u64::MAX, ..layout }.is_sound());
    }
}
