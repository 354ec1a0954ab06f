//! Reading GMF files back: a folder of them or a single one, ours or hardtarget's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use digital_rf::hdf5::{AttrValue, Hdf5Error};
use thiserror::Error;

use crate::{GmfPart, TimeError, TimePoint, timespan};

/// Why GMF files could not be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GmfReadError {
    /// The folder or file is not there, or may not be read.
    #[error("could not read {}", path.display())]
    List {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no GMF file.
    #[error(
        "{} holds no GMF files: give a folder that an analysis wrote \
         (YYYY-MM-DDTHH-00-00/gmf-*.h5), or one such file",
        path.display()
    )]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// The file is damaged, or lacks a dataset.
    #[error(transparent)]
    Hdf5(#[from] Hdf5Error),
    /// A dataset does not have a row for each integration or a column for each range.
    #[error("{dataset} of {} has shape {found:?}, not {wanted:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The dataset.
        dataset: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits `gmf` and `ranges`.
        wanted: Vec<usize>,
    },
    /// An attribute is missing or no number.
    #[error("{} has no number {group}.{name} that can be used", path.display())]
    Attribute {
        /// The file.
        path: PathBuf,
        /// The group: `experiment` or `processing`.
        group: &'static str,
        /// The attribute.
        name: &'static str,
    },
    /// Two files of a folder are of different searches.
    #[error(
        "{} and {} are of different searches: their {what} differ; look at one at a time",
        first.display(),
        path.display()
    )]
    Differs {
        /// The first file.
        first: PathBuf,
        /// The one that differs from it.
        path: PathBuf,
        /// What differs, in the plural.
        what: &'static str,
    },
    /// The start or end time was refused.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// There is no integration between the start and end time.
    #[error("no integration of {} begins within the time span; they begin from {first} to {last}",
        path.display())]
    NothingInSpan {
        /// The folder or file.
        path: PathBuf,
        /// Start of the first integration (UTC).
        first: String,
        /// Start of the last integration (UTC).
        last: String,
    },
}

/// The GMF files of a folder, in the order of their times.
///
/// Found as `all_gmf_h5_files` of hardtarget 0.5.1 finds them (`analysis/utils.py`), by folders
/// named for an hour and files named `gmf-*.h5` in them, so that files under way and whatever else
/// is in the folder are passed over. Such an hour's folder, or a single file, will do too.
#[derive(Debug, Clone)]
pub struct GmfFolder {
    path: PathBuf,
    files: Vec<PathBuf>,
    /// Start and end, in microseconds after the Unix epoch, both included.
    span_us: (i128, i128),
}

impl GmfFolder {
    /// Lists the files; opens none.
    ///
    /// # Errors
    ///
    /// [`GmfReadError::List`], [`GmfReadError::NoFiles`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, GmfReadError> {
        let path = path.into();
        let list = |source| GmfReadError::List { path: path.clone(), source };
        let mut files = Vec::new();
        if fs::metadata(&path).map_err(list)?.is_dir() {
            gmf_files(&path, &mut files).map_err(list)?;
            for entry in fs::read_dir(&path).map_err(list)? {
                let entry = entry.map_err(list)?;
                if is_hour(&entry.file_name().to_string_lossy()) && entry.path().is_dir() {
                    gmf_files(&entry.path(), &mut files).map_err(list)?;
                }
            }
            if files.is_empty() {
                return Err(GmfReadError::NoFiles { path });
            }
            // Names begin with the time, but a time may have more digits than another.
            files.sort_by_key(|file| (epoch_of_name(file), file.clone()));
        } else {
            files.push(path.clone());
        }
        Ok(Self { path, files, span_us: (i128::MIN, i128::MAX) })
    }

    /// The folder or file that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files, in the order of the times in their names.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Only the integrations that begin within a time span, both ends included. A relative time
    /// counts from the first integration of all.
    ///
    /// (hardtarget's `load_gmf_out` takes or leaves whole files by the times in their names.)
    ///
    /// # Errors
    ///
    /// [`GmfReadError::NothingInSpan`], [`TimeError::Reversed`], and what
    /// [`GmfPart::open`] says of the first file and the last.
    pub fn between(
        mut self,
        start: Option<TimePoint>,
        end: Option<TimePoint>,
    ) -> Result<Self, GmfReadError> {
        let (first_us, last_us) = self.bounds_us()?;
        let us = |point: TimePoint| match point {
            TimePoint::Absolute(ns) => ns.div_euclid(1000),
            TimePoint::Relative(ns) => first_us.saturating_add(ns.div_euclid(1000)),
        };
        let (from, until) = (start.map_or(i128::MIN, us), end.map_or(i128::MAX, us));
        if until < from {
            let (start, end) = (utc_us(from), utc_us(until));
            return Err(TimeError::Reversed { start, end }.into());
        }
        self.span_us = (from, until);
        // A file may hold integrations of the span if the next one does not begin before it.
        let begins: Vec<Option<i128>> = self.files.iter().map(|file| epoch_of_name(file)).collect();
        let mut idx = 0;
        self.files.retain(|_| {
            let begin = begins[idx];
            let next = begins.get(idx + 1).copied().flatten();
            idx += 1;
            begin.is_none_or(|begin| begin <= until) && next.is_none_or(|next| next >= from)
        });
        let mut is_empty = true;
        for part in self.parts() {
            is_empty = part?.n_integrations() == 0;
            if !is_empty {
                break;
            }
        }
        if !is_empty {
            return Ok(self);
        }
        Err(GmfReadError::NothingInSpan {
            path: self.path,
            first: utc_us(first_us),
            last: utc_us(last_us),
        })
    }

    /// When the first and the last integration of all begin, in µs after the epoch.
    fn bounds_us(&self) -> Result<(i128, i128), GmfReadError> {
        let begin = |file: Option<&PathBuf>| {
            let part = GmfPart::open(file.unwrap_or(&self.path))?;
            Ok::<_, GmfReadError>((part.row_us(0), part.row_us(part.n_stored.saturating_sub(1))))
        };
        Ok((begin(self.files.first())?.0, begin(self.files.last())?.1))
    }

    /// Opens one file after the other, so that no more than one is in memory at a time.
    ///
    /// Every file must have the axes of the first; the iterator gives an error for one that has
    /// not, or that cannot be read.
    pub fn parts(&self) -> impl Iterator<Item = Result<GmfPart, GmfReadError>> + '_ {
        let mut first: Option<(PathBuf, usize, f64, Vec<f64>)> = None;
        self.files.iter().map(move |path| {
            let mut part = GmfPart::open(path)?;
            part.cut(self.span_us);
            let ranges = part.numbers::<f64>("ranges", &[part.n_ranges])?;
            match &first {
                None => first = Some((path.clone(), part.n_ranges, part.step_s, ranges)),
                Some((first, n_ranges, step_s, expected)) => {
                    let differs = |what| GmfReadError::Differs {
                        first: first.clone(),
                        path: path.clone(),
                        what,
                    };
                    if *n_ranges != part.n_ranges || *expected != ranges {
                        return Err(differs("ranges"));
                    }
                    if *step_s != part.step_s {
                        return Err(differs("integration times"));
                    }
                }
            }
            Ok(part)
        })
    }

    /// Reads all that belongs to one integration each, but no grids: some 100 bytes for each.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`], which names file and dataset.
    pub fn series(&self) -> Result<GmfSeries, GmfReadError> {
        let mut all = GmfSeries::default();
        for part in self.parts() {
            all.append(part?.series()?);
        }
        Ok(all)
    }

    /// The noise floor of each range gate, `[n_ranges]`: the median over files of the median over
    /// a file's integrations of the zero-frequency term. NaN where there is no noise at all.
    ///
    /// Source: `nf_range` of `collect_gmf_data` in hardtarget 0.5.1, `analysis/utils.py`; terms of
    /// 0, which stand for "no transmission", do not count here.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`], which names file and dataset.
    pub fn noise_floor(&self) -> Result<Vec<f32>, GmfReadError> {
        let mut of_files: Vec<Vec<f32>> = Vec::new();
        let mut n_ranges = 0;
        for part in self.parts() {
            let part = part?;
            n_ranges = part.n_ranges;
            of_files.push(medians(&part.zero_frequency()?, n_ranges));
        }
        Ok(medians(&of_files.concat(), n_ranges))
    }

    /// Reads everything into memory: 16 bytes for each integration and gate. For long recordings
    /// use [`GmfFolder::parts`].
    ///
    /// Source: `load_gmf_out` of hardtarget 0.5.1.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`], which names file and dataset.
    pub fn load(&self) -> Result<GmfData, GmfReadError> {
        let mut data: Option<GmfData> = None;
        for part in self.parts() {
            let part = part?;
            let data = match &mut data {
                Some(data) => data,
                None => data.insert(GmfData {
                    axes: part.axes()?,
                    experiment: part.attributes("experiment")?,
                    processing: part.attributes("processing")?,
                    series: GmfSeries::default(),
                    gmf: Vec::new(),
                    zero_frequency: Vec::new(),
                    range_rate_idx: Vec::new(),
                    acceleration_idx: Vec::new(),
                    noise_floor: Vec::new(),
                }),
            };
            data.series.append(part.series()?);
            data.gmf.extend(part.gmf()?);
            data.zero_frequency.extend(part.zero_frequency()?);
            data.range_rate_idx.extend(part.range_rate_idx()?);
            data.acceleration_idx.extend(part.acceleration_idx()?);
        }
        let mut data = data.ok_or_else(|| GmfReadError::NoFiles { path: self.path.clone() })?;
        data.noise_floor = self.noise_floor()?;
        Ok(data)
    }
}

fn gmf_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), std::io::Error> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("gmf-") && name.ends_with(".h5") && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a folder is named for an hour: `YYYY-MM-DDTHH-00-00`.
fn is_hour(name: &str) -> bool {
    name.len() == 19
        && name.bytes().zip(*b"dddd-dd-ddTdd-00-00").all(|(byte, pattern)| match pattern {
            b'd' => byte.is_ascii_digit(),
            _ => byte == pattern,
        })
}

/// Microseconds after the epoch, as the name of a file says.
fn epoch_of_name(path: &Path) -> Option<i128> {
    path.file_stem()?.to_str()?.strip_prefix("gmf-")?.parse().ok()
}

fn utc_us(us: i128) -> String {
    timespan::utc_text(us.saturating_mul(1000))
}

/// The median of each column of rows of `n` values, without those that are NaN, 0 or negative.
fn medians(rows: &[f32], n: usize) -> Vec<f32> {
    let mut column = Vec::new();
    (0..n)
        .map(|idx| {
            column.clear();
            column.extend(rows.iter().skip(idx).step_by(n).filter(|value| **value > 0.0));
            median(&mut column)
        })
        .collect()
}

/// The median, which of an even number of values is the mean of the two in the middle.
fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    if is_odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f32::total_cmp).unwrap_or(upper);
    (lower + upper) / 2.0
}

/// The axes of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct GmfAxes {
    /// Total range of each gate, in metres.
    pub ranges_m: Vec<f64>,
    /// Range rates, in m/s, in the order of a discrete Fourier transform.
    pub range_rates_m_s: Vec<f64>,
    /// Accelerations, in m/s², ascending.
    pub accelerations_m_s2: Vec<f64>,
}

/// The peak that was refined between the points of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizedPeak {
    /// Range, in metres.
    pub range_m: f64,
    /// Range rate, in m/s.
    pub range_rate_m_s: f64,
    /// Acceleration, in m/s².
    pub acceleration_m_s2: f64,
    /// Value of the filter there, in the recorder's unit squared.
    pub gmf: f64,
}

/// What belongs to one integration each, over time: every vector is `[n_integrations]`.
///
/// Where an integration has no peak (silence, or a gap in the recording) its range, range rate and
/// acceleration are NaN.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GmfSeries {
    /// When the integration begins, in seconds after the Unix epoch. (`t` of hardtarget's loader
    /// is when it ends.)
    pub unix_s: Vec<f64>,
    /// Range at the peak, in metres.
    pub range_m: Vec<f64>,
    /// Range rate at the peak, in m/s.
    pub range_rate_m_s: Vec<f64>,
    /// Acceleration at the peak, in m/s².
    pub acceleration_m_s2: Vec<f64>,
    /// Value of the filter at the peak, in the recorder's unit squared.
    pub gmf_peak: Vec<f32>,
    /// Transmitted energy, in the recorder's unit squared.
    pub tx_power: Vec<f32>,
    /// Azimuth and elevation, in degrees; NaN where they are not known.
    pub pointing_deg: Vec<[f64; 2]>,
    /// The refined peaks, `None` where the file has none.
    pub optimized: Vec<Option<OptimizedPeak>>,
}

impl GmfSeries {
    /// How many integrations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unix_s.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unix_s.is_empty()
    }

    /// Index of the integration with the greatest peak; `None` where none has one.
    #[must_use]
    pub fn strongest(&self) -> Option<usize> {
        (0..self.len())
            .filter(|&idx| self.range_m[idx].is_finite() && self.gmf_peak[idx] > 0.0)
            .max_by(|&a, &b| self.gmf_peak[a].total_cmp(&self.gmf_peak[b]))
    }

    fn append(&mut self, mut more: Self) {
        self.unix_s.append(&mut more.unix_s);
        self.range_m.append(&mut more.range_m);
        self.range_rate_m_s.append(&mut more.range_rate_m_s);
        self.acceleration_m_s2.append(&mut more.acceleration_m_s2);
        self.gmf_peak.append(&mut more.gmf_peak);
        self.tx_power.append(&mut more.tx_power);
        self.pointing_deg.append(&mut more.pointing_deg);
        self.optimized.append(&mut more.optimized);
    }
}

/// All that a folder holds, in memory; grids are `[n_integrations, n_ranges]`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct GmfData {
    /// The axes.
    pub axes: GmfAxes,
    /// Attributes of `experiment`, of the first file.
    pub experiment: BTreeMap<String, AttrValue>,
    /// Attributes of `processing`, of the first file.
    pub processing: BTreeMap<String, AttrValue>,
    /// What belongs to one integration each.
    pub series: GmfSeries,
    /// The greatest power at each range, in the recorder's unit squared.
    pub gmf: Vec<f32>,
    /// The zero-frequency term, in the recorder's unit squared.
    pub zero_frequency: Vec<f32>,
    /// Where on the axis of range rates the greatest power is; -1 where there is none.
    pub range_rate_idx: Vec<i32>,
    /// Where on the axis of accelerations the greatest power is; -1 where there is none.
    pub acceleration_idx: Vec<i32>,
    /// [`GmfFolder::noise_floor`], `[n_ranges]`.
    pub noise_floor: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_for_an_hour() {
        assert!(is_hour("2021-04-12T12-00-00"));
        for name in ["2021-04-12T12-15-00", "2021-04-12", "x021-04-12T12-00-00", "run.json"] {
            assert!(!is_hour(name), "{name}");
        }
    }

    /// As numpy's `nanmedian`.
    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut [3.0, 1.0, 10.0, 2.0]), 2.5);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
        let rows = [1.0, f32::NAN, 3.0, 0.0, 5.0, f32::NAN];
        let of_columns = medians(&rows, 2);
        assert_eq!(of_columns[0], 3.0);
        assert!(of_columns[1].is_nan());
    }
}
