//! The result of one integration: for each range gate, the best value and where it is.

use serde::{Deserialize, Serialize};

use crate::kernel::check_len;
use crate::{Derived, KernelError};

/// The result of one integration, owned.
///
/// All fields have the shape `[n_ranges]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GridRow {
    /// The greatest power over range rate and acceleration.
    pub gmf: Vec<f32>,
    /// The zero-frequency term; see [`crate::ZeroFrequency`].
    pub zero_frequency: Vec<f32>,
    /// Index on the range rate axis of the greatest power, or -1 where there is no power.
    pub range_rate_idx: Vec<i32>,
    /// Index on the acceleration axis of the greatest power, or -1 where there is no power.
    pub acceleration_idx: Vec<i32>,
}

impl GridRow {
    /// A row without power, for `n_ranges` gates.
    #[must_use]
    pub fn new(n_ranges: usize) -> Self {
        Self {
            gmf: vec![0.0; n_ranges],
            zero_frequency: vec![0.0; n_ranges],
            range_rate_idx: vec![-1; n_ranges],
            acceleration_idx: vec![-1; n_ranges],
        }
    }

    /// The row as a kernel writes it.
    pub fn as_mut(&mut self) -> GridRowMut<'_> {
        GridRowMut {
            gmf: &mut self.gmf,
            zero_frequency: &mut self.zero_frequency,
            range_rate_idx: &mut self.range_rate_idx,
            acceleration_idx: &mut self.acceleration_idx,
        }
    }

    /// The strongest gate and what it stands for, or `None` where no gate has power.
    ///
    /// Of equally strong gates the nearest is taken.
    #[must_use]
    pub fn peak(&self, derived: &Derived) -> Option<Peak> {
        let mut range_idx = 0;
        for (idx, value) in self.gmf.iter().enumerate() {
            if *value > self.gmf[range_idx] {
                range_idx = idx;
            }
        }
        let frequency_idx = usize::try_from(*self.range_rate_idx.get(range_idx)?).ok()?;
        let acceleration_idx = usize::try_from(self.acceleration_idx[range_idx]).ok()?;
        Some(Peak {
            range_idx,
            range_m: derived.range_m(range_idx),
            range_rate_m_s: derived.range_rate_m_s(frequency_idx),
            acceleration_m_s2: derived.acceleration_m_s2(acceleration_idx),
            gmf: self.gmf[range_idx],
        })
    }
}

/// The strongest gate of an integration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The gate's index.
    pub range_idx: usize,
    /// Total range, in metres.
    pub range_m: f64,
    /// Range rate, in m/s.
    pub range_rate_m_s: f64,
    /// Acceleration, in m/s^2.
    pub acceleration_m_s2: f64,
    /// The filter's value.
    pub gmf: f32,
}

/// The result of one integration, as a kernel writes it; the fields of [`GridRow`], borrowed.
#[derive(Debug)]
pub struct GridRowMut<'a> {
    /// The greatest power over range rate and acceleration.
    pub gmf: &'a mut [f32],
    /// The zero-frequency term.
    pub zero_frequency: &'a mut [f32],
    /// Index on the range rate axis, or -1.
    pub range_rate_idx: &'a mut [i32],
    /// Index on the acceleration axis, or -1.
    pub acceleration_idx: &'a mut [i32],
}

impl GridRowMut<'_> {
    /// The same row, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> GridRowMut<'_> {
        GridRowMut {
            gmf: self.gmf,
            zero_frequency: self.zero_frequency,
            range_rate_idx: self.range_rate_idx,
            acceleration_idx: self.acceleration_idx,
        }
    }

    /// Checks that every field has one element for each of `n_ranges` gates.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`].
    pub fn check(&self, n_ranges: usize) -> Result<(), KernelError> {
        check_len("gmf", n_ranges, self.gmf.len())?;
        check_len("zero_frequency", n_ranges, self.zero_frequency.len())?;
        check_len("range_rate_idx", n_ranges, self.range_rate_idx.len())?;
        check_len("acceleration_idx", n_ranges, self.acceleration_idx.len())
    }
}
