//! Exact arithmetic between sample numbers, times, and names of files and folders.
//!
//! Samples are numbered from the Unix epoch: sample `k` is taken at `k * den / num` seconds after
//! it. Everything is done in integers; nothing is rounded through a float.

use std::{fmt, ops::Range, path::PathBuf};

use thiserror::Error;

const NS_PER_S: u128 = 1_000_000_000;

/// Why a rate or a division into files is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A rate must be positive, and not below one sample in a million seconds.
    #[error("a sample rate of {num}/{den} Hz is not possible")]
    Rate {
        /// The numerator, in Hz.
        num: u64,
        /// The denominator.
        den: u64,
    },
    /// Files must divide the time of a folder, and both take some time.
    #[error("files of {file_cadence_ms} ms do not divide folders of {subdir_cadence_secs} s")]
    Cadence {
        /// Length of a folder, in seconds.
        subdir_cadence_secs: u64,
        /// Length of a file, in milliseconds.
        file_cadence_ms: u64,
    },
    /// Folders are named by their date, of which there is none after the year 9999.
    #[error("there is no date for {unix_secs} s after the epoch")]
    Date {
        /// Seconds after the epoch.
        unix_secs: u64,
    },
}

/// A sample rate of `num / den` Hz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SampleRate {
    num: u64,
    den: u64,
}

impl SampleRate {
    /// A rate of `num / den` Hz, kept as it is given (not reduced), because files say it so too.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Rate`].
    pub fn new(num: u64, den: u64) -> Result<Self, LayoutError> {
        // The lower limit keeps all products of this module below 128 bits.
        if den == 0 || u128::from(num) * 1_000_000 < u128::from(den) {
            return Err(LayoutError::Rate { num, den });
        }
        Ok(Self { num, den })
    }

    /// A whole number of Hz.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Rate`] for zero.
    pub fn from_hz(hz: u64) -> Result<Self, LayoutError> {
        Self::new(hz, 1)
    }

    /// The numerator, in Hz.
    pub fn num(self) -> u64 {
        self.num
    }

    /// The denominator.
    pub fn den(self) -> u64 {
        self.den
    }

    /// The rate in Hz, rounded.
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// When a sample is taken, in nanoseconds after the epoch, rounded down.
    pub fn unix_ns(self, sample: u64) -> u128 {
        let (secs, rest) = self.secs_and_rest(sample);
        secs * NS_PER_S + rest * NS_PER_S / u128::from(self.num)
    }

    /// When a sample is taken, in milliseconds after the epoch, rounded down.
    pub fn unix_ms(self, sample: u64) -> u64 {
        let (secs, rest) = self.secs_and_rest(sample);
        saturate(secs * 1000 + rest * 1000 / u128::from(self.num))
    }

    /// When a sample is taken, in seconds after the epoch, rounded down.
    pub fn unix_secs(self, sample: u64) -> u64 {
        saturate(self.secs_and_rest(sample).0)
    }

    /// The last sample that is taken at or before a time, in nanoseconds after the epoch.
    ///
    /// Exact for times before the year 2554.
    pub fn sample_at_ns(self, unix_ns: u128) -> u64 {
        saturate(self.product(unix_ns) / (u128::from(self.den) * NS_PER_S))
    }

    /// The first sample that is taken at or after a time, in nanoseconds after the epoch.
    ///
    /// Exact for times before the year 2554.
    pub fn sample_from_ns(self, unix_ns: u128) -> u64 {
        saturate(self.product(unix_ns).div_ceil(u128::from(self.den) * NS_PER_S))
    }

    /// The first sample that is taken at or after a time, in milliseconds after the epoch.
    pub fn sample_from_ms(self, unix_ms: u64) -> u64 {
        saturate(self.product(u128::from(unix_ms)).div_ceil(u128::from(self.den) * 1000))
    }

    /// Whole seconds, and what is left over in units of `1 / num` s.
    fn secs_and_rest(self, sample: u64) -> (u128, u128) {
        let ticks = u128::from(sample) * u128::from(self.den);
        (ticks / u128::from(self.num), ticks % u128::from(self.num))
    }

    fn product(self, time: u128) -> u128 {
        time.saturating_mul(u128::from(self.num))
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{} Hz", self.num),
            den => write!(f, "{}/{den} Hz", self.num),
        }
    }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// How a channel is divided into files and folders.
///
/// A file is known by its time, `file_ms`, in milliseconds after the epoch and a multiple of
/// [`FileLayout::file_cadence_ms`]. It holds the samples that are taken from then until the next
/// file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLayout {
    rate: SampleRate,
    subdir_cadence_secs: u64,
    file_cadence_ms: u64,
}

impl FileLayout {
    /// A division into files of `file_cadence_ms` in folders of `subdir_cadence_secs`.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Cadence`].
    pub fn new(
        rate: SampleRate,
        subdir_cadence_secs: u64,
        file_cadence_ms: u64,
    ) -> Result<Self, LayoutError> {
        let divides = file_cadence_ms > 0
            && subdir_cadence_secs > 0
            && subdir_cadence_secs.checked_mul(1000).is_some_and(|ms| ms % file_cadence_ms == 0);
        if !divides {
            return Err(LayoutError::Cadence { subdir_cadence_secs, file_cadence_ms });
        }
        Ok(Self { rate, subdir_cadence_secs, file_cadence_ms })
    }

    /// The sample rate.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Length of a folder, in seconds.
    pub fn subdir_cadence_secs(&self) -> u64 {
        self.subdir_cadence_secs
    }

    /// Length of a file, in milliseconds.
    pub fn file_cadence_ms(&self) -> u64 {
        self.file_cadence_ms
    }

    /// The time of the file that holds a sample, in milliseconds after the epoch.
    pub fn file_ms(&self, sample: u64) -> u64 {
        self.rate.unix_ms(sample) / self.file_cadence_ms * self.file_cadence_ms
    }

    /// The samples that a file may hold.
    pub fn samples_of(&self, file_ms: u64) -> Range<u64> {
        let next = file_ms.saturating_add(self.file_cadence_ms);
        self.rate.sample_from_ms(file_ms)..self.rate.sample_from_ms(next)
    }

    /// The most samples that any file may hold.
    pub fn max_samples_per_file(&self) -> u64 {
        // The first sample of a file is rounded up, so files differ by one when the rate does not
        // divide them evenly.
        self.rate.sample_from_ms(self.file_cadence_ms).max(1)
    }

    /// Folder and name of a file: `2021-04-12T12-00-00/rf@1618229740.200.h5`.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Date`].
    pub fn relative_path(&self, file_ms: u64) -> Result<PathBuf, LayoutError> {
        let (secs, ms) = (file_ms / 1000, file_ms % 1000);
        let folder = folder_name(secs / self.subdir_cadence_secs * self.subdir_cadence_secs)?;
        Ok(PathBuf::from(folder).join(format!("rf@{secs}.{ms:03}.h5")))
    }
}

/// The name of a folder that begins at a time: `2021-04-12T12-00-00`, in UTC.
///
/// # Errors
///
/// [`LayoutError::Date`].
pub(crate) fn folder_name(unix_secs: u64) -> Result<String, LayoutError> {
    let date = LayoutError::Date { unix_secs };
    let secs = i64::try_from(unix_secs).map_err(|_| date)?;
    let time = jiff::Timestamp::from_second(secs).map_err(|_| date)?;
    Ok(time.strftime("%Y-%m-%dT%H-%M-%S").to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_named_as_the_original_names_them() {
        let layout = FileLayout::new(SampleRate::from_hz(1_000_000).unwrap(), 3600, 200).unwrap();
        let file_ms = layout.file_ms(1_618_229_740_399_999);
        assert_eq!(file_ms, 1_618_229_740_200);
        assert_eq!(layout.samples_of(file_ms), 1_618_229_740_200_000..1_618_229_740_400_000);
        let path = layout.relative_path(file_ms).unwrap();
        assert_eq!(path, PathBuf::from("2021-04-12T12-00-00/rf@1618229740.200.h5"));
        assert_eq!(
            layout.relative_path(7).unwrap().to_str(),
            Some("1970-01-01T00-00-00/rf@0.007.h5")
        );
        assert!(matches!(layout.relative_path(u64::MAX), Err(LayoutError::Date { .. })));
    }

    /// 100000/7 Hz: files of a second hold 14285 or 14286 samples.
    #[test]
    fn files_at_a_rational_rate_differ_by_one_sample() {
        let layout = FileLayout::new(SampleRate::new(100_000, 7).unwrap(), 3600, 1000).unwrap();
        let lengths: Vec<u64> = (0..7)
            .map(|k| layout.samples_of(1_618_229_740_000 + 1000 * k))
            .map(|samples| samples.end - samples.start)
            .collect();
        assert_eq!(lengths.iter().sum::<u64>(), 100_000);
        assert!(lengths.iter().all(|n| [14_285, 14_286].contains(n)), "{lengths:?}");
        assert_eq!(layout.max_samples_per_file(), 14_286);
    }

    #[test]
    fn cadences_and_rates_that_make_no_sense_are_refused() {
        let rate = SampleRate::from_hz(1000).unwrap();
        for (subdir, file) in [(0, 1000), (10, 0), (1, 300), (u64::MAX, 1)] {
            let refused =
                LayoutError::Cadence { subdir_cadence_secs: subdir, file_cadence_ms: file };
            assert_eq!(FileLayout::new(rate, subdir, file), Err(refused));
        }
        for (num, den) in [(0, 1), (1, 0), (0, 0), (1, u64::MAX)] {
            assert_eq!(SampleRate::new(num, den), Err(LayoutError::Rate { num, den }));
        }
    }

    fn rates() -> impl Strategy<Value = SampleRate> {
        let any = (1..=u64::from(u32::MAX), 1_u64..1_000_000);
        prop_oneof![Just((100_000, 7)), Just((10_000_000, 333)), Just((1_000_000, 1)), any]
            .prop_map(|(num, den)| SampleRate::new(num, den).unwrap())
    }

    proptest! {
        /// A time is never later than its sample, and the next sample is later than it.
        #[test]
        fn samples_and_times_belong_to_each_other(rate in rates(), unix_ns in 0..4_000_000_000 * NS_PER_S) {
            let sample = rate.sample_at_ns(unix_ns);
            // sample / rate <= unix_ns < (sample + 1) / rate, without rounding.
            let ticks = |sample: u64| u128::from(sample) * u128::from(rate.den()) * NS_PER_S;
            prop_assert!(ticks(sample) <= unix_ns * u128::from(rate.num()));
            prop_assert!(ticks(sample + 1) > unix_ns * u128::from(rate.num()));
            let from = rate.sample_from_ns(unix_ns);
            prop_assert!(from == sample || (from == sample + 1 && ticks(sample) < unix_ns * u128::from(rate.num())));
            prop_assert!(rate.unix_ns(sample) <= unix_ns);
            prop_assert_eq!(rate.unix_ms(sample), (rate.unix_ns(sample) / 1_000_000) as u64);
        }

        /// Every sample is in exactly the file that its number names, and files leave no gap.
        #[test]
        fn every_sample_has_one_file(rate in rates(), secs in 0_u64..4_000_000_000, cadence in prop::sample::select(vec![1_u64, 20, 125, 1000, 4000])) {
            let layout = FileLayout::new(rate, 3600, cadence).unwrap();
            let sample = rate.sample_from_ms(secs * 1000 + 999);
            let file_ms = layout.file_ms(sample);
            let samples = layout.samples_of(file_ms);
            prop_assert!(samples.contains(&sample), "{sample} {samples:?}");
            prop_assert_eq!(layout.samples_of(file_ms + cadence).start, samples.end);
            prop_assert!(samples.end - samples.start <= layout.max_samples_per_file());
            prop_assert_eq!(layout.file_ms(samples.start), file_ms);
            prop_assert_eq!(layout.file_ms(samples.end - 1), file_ms);
        }

        /// Nothing overflows, however late.
        #[test]
        fn late_times_saturate(rate in rates(), sample: u64, unix_ns: u128) {
            let _ = (rate.unix_ns(sample), rate.unix_ms(sample), rate.unix_secs(sample));
            let _ = (rate.sample_at_ns(unix_ns), rate.sample_from_ns(unix_ns));
            let layout = FileLayout::new(rate, 3600, 1000).unwrap();
            let _ = layout.samples_of(layout.file_ms(sample));
        }
    }
}
