//! One GMF file, read back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use digital_rf::hdf5::{AttrValue, Element, File};

use crate::{GmfAxes, GmfReadError, GmfSeries, OptimizedPeak};

/// One GMF file, open for reading; or those of its integrations that are within a time span.
#[derive(Debug)]
pub struct GmfPart {
    file: File,
    path: PathBuf,
    epoch_unix_s: f64,
    pub(crate) step_s: f64,
    pub(crate) n_stored: usize,
    pub(crate) n_ranges: usize,
    /// First row wanted, and how many.
    rows: (usize, usize),
}

impl GmfPart {
    /// Opens a file; reads its epoch, and the attributes that say how long an integration is.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`], which names file, dataset or attribute.
    pub fn open(path: &Path) -> Result<Self, GmfReadError> {
        let file = File::open(path)?;
        let number = |group: &'static str, name: &'static str| {
            let value = file.attr(group, name)?.and_then(|value| value.as_f64());
            value
                .filter(|value| value.is_finite() && *value > 0.0)
                .ok_or_else(|| GmfReadError::Attribute { path: path.to_owned(), group, name })
        };
        let step_s = number("processing", "n_ipp")? * number("experiment", "ipp")? / 1e6;
        let shape = file.dataset("gmf")?.shape().to_vec();
        let ranges = file.dataset("ranges")?.shape().to_vec();
        let (&[n_stored, n_ranges], true) = (&shape[..], shape.get(1) == ranges.first()) else {
            let wanted = vec![shape.first().copied().unwrap_or(0), ranges.iter().product()];
            let path = path.to_owned();
            return Err(GmfReadError::Shape { path, dataset: "gmf", found: shape, wanted });
        };
        let epoch_unix_s = file.dataset("epoch_unix")?.read_scalar::<f64>()?;
        let rows = (0, n_stored);
        let path = path.to_owned();
        Ok(Self { file, path, epoch_unix_s, step_s, n_stored, n_ranges, rows })
    }

    pub(crate) fn row_us(&self, row: usize) -> i128 {
        ((self.epoch_unix_s * 1e6).round() + (row as f64 * self.step_s * 1e6).round()) as i128
    }

    /// Keeps the integrations that begin within the span, both ends included.
    pub(crate) fn cut(&mut self, (from, until): (i128, i128)) {
        let begin = (0..self.n_stored).take_while(|&row| self.row_us(row) < from).count();
        let end = (0..self.n_stored).take_while(|&row| self.row_us(row) <= until).count();
        self.rows = (begin, end.saturating_sub(begin));
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The HDF5 file, for whatever else is in it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How many integrations there are (within the time span).
    #[must_use]
    pub fn n_integrations(&self) -> usize {
        self.rows.1
    }

    /// How many range gates there are.
    #[must_use]
    pub fn n_ranges(&self) -> usize {
        self.n_ranges
    }

    /// Length of an integration, in seconds.
    #[must_use]
    pub fn step_s(&self) -> f64 {
        self.step_s
    }

    /// When each integration begins, in seconds after the Unix epoch.
    #[must_use]
    pub fn unix_s(&self) -> Vec<f64> {
        let rows = self.rows.0..self.rows.0 + self.rows.1;
        rows.map(|row| self.epoch_unix_s + row as f64 * self.step_s).collect()
    }

    /// The axes.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn axes(&self) -> Result<GmfAxes, GmfReadError> {
        let axis = |name| Ok::<_, GmfReadError>(self.file.dataset(name)?.read::<f64>()?.values);
        Ok(GmfAxes {
            ranges_m: axis("ranges")?,
            range_rates_m_s: axis("range_rates")?,
            accelerations_m_s2: axis("accelerations")?,
        })
    }

    /// The attributes of a group, `experiment` or `processing`.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn attributes(&self, group: &str) -> Result<BTreeMap<String, AttrValue>, GmfReadError> {
        Ok(self.file.attrs(group)?)
    }

    /// The greatest power at each range, `[n_integrations, n_ranges]`; NaN in gaps.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`], as in the methods below.
    pub fn gmf(&self) -> Result<Vec<f32>, GmfReadError> {
        self.grid("gmf")
    }

    /// The zero-frequency term, as [`GmfPart::gmf`].
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn zero_frequency(&self) -> Result<Vec<f32>, GmfReadError> {
        self.grid("gmf_zero_frequency")
    }

    /// Indices on the axis of range rates, as [`GmfPart::gmf`]; -1 where there is no power.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn range_rate_idx(&self) -> Result<Vec<i32>, GmfReadError> {
        self.grid("range_rate_index")
    }

    /// Indices on the axis of accelerations, as [`GmfPart::gmf`]; -1 where there is no power.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn acceleration_idx(&self) -> Result<Vec<i32>, GmfReadError> {
        self.grid("acceleration_index")
    }

    /// What belongs to one integration each.
    ///
    /// # Errors
    ///
    /// [`GmfReadError`].
    pub fn series(&self) -> Result<GmfSeries, GmfReadError> {
        Ok(GmfSeries {
            unix_s: self.unix_s(),
            range_m: self.column("range_peak")?,
            range_rate_m_s: self.column("range_rate_peak")?,
            acceleration_m_s2: self.column("acceleration_peak")?,
            gmf_peak: self.column("gmf_peak")?,
            tx_power: self.column("tx_power")?,
            pointing_deg: self.pointing()?,
            optimized: self.optimized()?,
        })
    }

    /// hardtarget's last file may have more rows of pointing than integrations, or one less.
    fn pointing(&self) -> Result<Vec<[f64; 2]>, GmfReadError> {
        let nowhere = vec![[f64::NAN; 2]; self.rows.1];
        if !self.file.exists("pointing")? {
            return Ok(nowhere);
        }
        let stored = self.file.dataset("pointing")?.read_f64()?;
        if stored.shape.get(1) != Some(&2) {
            let wanted = vec![self.n_stored, 2];
            return Err(self.shape_error("pointing", stored.shape, wanted));
        }
        let stored = stored.values.as_chunks::<2>().0.iter().skip(self.rows.0).copied();
        Ok(stored.chain(nowhere).take(self.rows.1).collect())
    }

    fn optimized(&self) -> Result<Vec<Option<OptimizedPeak>>, GmfReadError> {
        if !self.file.exists("gmf_optimized_peak")? || !self.file.exists("gmf_optimized")? {
            return Ok(vec![None; self.rows.1]);
        }
        let peaks = self.file.dataset("gmf_optimized_peak")?.read_f64()?;
        let values = self.file.dataset("gmf_optimized")?.read_f64()?;
        for (name, found, wanted) in [
            ("gmf_optimized_peak", &peaks, vec![self.n_stored, 3]),
            ("gmf_optimized", &values, vec![self.n_stored]),
        ] {
            // hardtarget stores the values as a column or as a row.
            if found.values.len() != wanted.iter().product::<usize>() {
                return Err(self.shape_error(name, found.shape.clone(), wanted));
            }
        }
        let all = peaks.values.as_chunks::<3>().0.iter().zip(&values.values);
        let wanted = all.skip(self.rows.0).take(self.rows.1);
        Ok(wanted
            .map(|(&[range_m, range_rate_m_s, acceleration_m_s2], &gmf)| {
                Some(OptimizedPeak { range_m, range_rate_m_s, acceleration_m_s2, gmf })
            })
            .collect())
    }

    fn column<T: Element>(&self, name: &'static str) -> Result<Vec<T>, GmfReadError> {
        let all = self.numbers(name, &[self.n_stored])?;
        Ok(all[self.rows.0..][..self.rows.1].to_vec())
    }

    fn grid<T: Element>(&self, name: &'static str) -> Result<Vec<T>, GmfReadError> {
        let mut all = self.numbers(name, &[self.n_stored, self.n_ranges])?;
        all.truncate((self.rows.0 + self.rows.1) * self.n_ranges);
        all.drain(..self.rows.0 * self.n_ranges);
        Ok(all)
    }

    pub(crate) fn numbers<T: Element>(
        &self,
        name: &'static str,
        shape: &[usize],
    ) -> Result<Vec<T>, GmfReadError> {
        let dataset = self.file.dataset(name)?;
        // Before the values are read: what a file claims is not believed.
        if dataset.shape() != shape {
            return Err(self.shape_error(name, dataset.shape().to_vec(), shape.to_vec()));
        }
        Ok(dataset.read()?.values)
    }

    fn shape_error(
        &self,
        dataset: &'static str,
        found: Vec<usize>,
        wanted: Vec<usize>,
    ) -> GmfReadError {
        GmfReadError::Shape { path: self.path.clone(), dataset, found, wanted }
    }
}
