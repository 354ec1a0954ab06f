//! Which part of a recording is analysed.

use std::ops::Range;

use digital_rf::SampleRate;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::TimeError;

/// A start or end, as an analyst gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePoint {
    /// Nanoseconds after the Unix epoch.
    Absolute(i128),
    /// Nanoseconds after the first sample of the recording.
    Relative(i128),
}

impl TimePoint {
    /// Reads a UTC time in ISO 8601 form (`2021-04-12T12:15:40.2`, with or without an offset, or a
    /// date alone), or, if `relative`, seconds from the start of the recording.
    ///
    /// Read as decimal digits, so that no sample is lost to rounding; `which` is `"start"` or
    /// `"end"`, for the error.
    ///
    /// # Errors
    ///
    /// [`TimeError::Text`].
    pub fn parse(text: &str, relative: bool, which: &'static str) -> Result<Self, TimeError> {
        let parsed = if relative {
            decimal_ns(text.trim()).map(Self::Relative)
        } else {
            utc_ns(text.trim()).map(Self::Absolute)
        };
        parsed.ok_or_else(|| TimeError::Text { which, text: text.to_owned(), relative })
    }
}

fn utc_ns(text: &str) -> Option<i128> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_nanosecond());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
}

/// Seconds in decimal form, as whole nanoseconds; further digits are cut off.
fn decimal_ns(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let ns = if all_digits(whole) && all_digits(fraction) && whole.len() + fraction.len() > 0 {
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        whole.checked_mul(1_000_000_000)?.checked_add(nine.parse().ok()?)?
    } else {
        // Other forms of a number, like 1e-3.
        let seconds: f64 = digits.parse().ok().filter(|s: &f64| s.is_finite() && s.abs() < 1e18)?;
        (seconds * 1e9).round() as i128
    };
    Some(if negative { -ns } else { ns })
}

/// The part of a recording that is analysed; without a start or end, from or to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeSpan {
    /// Nothing before this is analysed.
    pub start: Option<TimePoint>,
    /// No integration ends after this.
    pub end: Option<TimePoint>,
}

/// A sample's time in UTC, for messages.
pub(crate) fn utc(rate: SampleRate, sample: u64) -> String {
    utc_text(i128::try_from(rate.unix_ns(sample)).unwrap_or(i128::MAX))
}

pub(crate) fn utc_text(ns: i128) -> String {
    match Timestamp::from_nanosecond(ns) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => format!("{ns} ns after 1970"),
    }
}

impl TimeSpan {
    /// The samples of the span, within the samples `recording`.
    ///
    /// A time between two samples stands for the later one.
    ///
    /// # Errors
    ///
    /// [`TimeError::Outside`] and [`TimeError::Reversed`].
    pub fn samples(
        &self,
        recording: Range<u64>,
        rate: SampleRate,
    ) -> Result<Range<u64>, TimeError> {
        let sample = |point: TimePoint, which| {
            let ns = match point {
                TimePoint::Absolute(ns) => Some(ns),
                TimePoint::Relative(ns) => relative_sample(recording.start, ns, rate),
            };
            let outside = || {
                // A relative time is shown as the moment it means.
                let absolute = match point {
                    TimePoint::Absolute(ns) => ns,
                    TimePoint::Relative(ns) => {
                        (rate.unix_ns(recording.start) as i128).saturating_add(ns)
                    }
                };
                TimeError::Outside {
                    which,
                    time: utc_text(absolute),
                    first: utc(rate, recording.start),
                    last: utc(rate, recording.end),
                }
            };
            let sample = match point {
                TimePoint::Absolute(ns) => {
                    u128::try_from(ns).ok().map(|ns| rate.sample_from_ns(ns))
                }
                TimePoint::Relative(_) => ns.and_then(|sample| u64::try_from(sample).ok()),
            };
            sample
                .filter(|sample| (recording.start..=recording.end).contains(sample))
                .ok_or_else(outside)
        };
        let start = self.start.map_or(Ok(recording.start), |point| sample(point, "start"))?;
        let end = self.end.map_or(Ok(recording.end), |point| sample(point, "end"))?;
        if end <= start {
            let (start, end) = (utc(rate, start), utc(rate, end));
            return Err(TimeError::Reversed { start, end });
        }
        Ok(start..end)
    }
}

/// The first sample at or after `ns` from sample `first`, counted in samples so that the offset of
/// the first sample within its nanosecond does not matter.
fn relative_sample(first: u64, ns: i128, rate: SampleRate) -> Option<i128> {
    let ticks = ns.checked_mul(i128::from(rate.num()))?;
    let per_sample = i128::from(rate.den()).checked_mul(1_000_000_000)?;
    let samples = ticks.div_euclid(per_sample) + i128::from(ticks.rem_euclid(per_sample) != 0);
    i128::from(first).checked_add(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_618_229_740_000_000;

    fn span(start: Option<&str>, end: Option<&str>, relative: bool) -> Result<Range<u64>, String> {
        let point = |text: Option<&str>, which| {
            text.map(|text| TimePoint::parse(text, relative, which)).transpose()
        };
        let span = || {
            let start = point(start, "start")?;
            let end = point(end, "end")?;
            let rate = SampleRate::from_hz(1_000_000).unwrap();
            TimeSpan { start, end }.samples(START..START + 1_000_000, rate)
        };
        span().map_err(|error: TimeError| error.to_string())
    }

    #[test]
    fn times_are_exact_to_the_sample() {
        assert_eq!(span(None, None, false), Ok(START..START + 1_000_000));
        assert_eq!(
            span(Some("2021-04-12T12:15:40.2"), None, false),
            Ok(START + 200_000..START + 1_000_000)
        );
        assert_eq!(
            span(Some("2021-04-12T12:15:40.200001Z"), Some("2021-04-12 12:15:41"), false),
            Ok(START + 200_001..START + 1_000_000)
        );
        assert_eq!(span(Some("0.1"), Some("0.3"), true), Ok(START + 100_000..START + 300_000));
        assert_eq!(span(Some(".7"), Some("1"), true), Ok(START + 700_000..START + 1_000_000));
        assert_eq!(span(Some("1e-6"), None, true), Ok(START + 1..START + 1_000_000));
        // Between two samples: the later one.
        assert_eq!(span(Some("0.0000001"), None, true), Ok(START + 1..START + 1_000_000));
    }

    #[test]
    fn what_cannot_be_is_said_with_both_ends() {
        let outside = span(Some("2021-04-12T12:15:39"), None, false).unwrap_err();
        assert!(outside.contains("start time 2021-04-12T12:15:39Z lies outside"), "{outside}");
        assert!(outside.contains("2021-04-12T12:15:40Z to 2021-04-12T12:15:41Z"), "{outside}");
        assert!(span(None, Some("1.1"), true).unwrap_err().contains("12:15:41.1Z lies outside"));
        assert!(span(Some("-1"), None, true).unwrap_err().contains("12:15:39Z lies outside"));
        assert!(span(Some("0.5"), Some("0.5"), true).unwrap_err().contains("must lie after"));
        assert!(span(Some("noon"), None, false).unwrap_err().contains("--relative_time"));
        assert!(span(Some("12:15"), None, true).unwrap_err().contains("like 12.5"));
        for text in ["", ".", "nan", "inf", "1e30", "99999999999999999999999999999999999999999"] {
            assert!(TimePoint::parse(text, true, "start").is_err(), "{text}");
        }
    }
}
