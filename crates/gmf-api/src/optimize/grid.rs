//! The finer grid around a peak.

use super::expansion::{Expansion, Rates, Reach};
use super::{Offset, Start};
use crate::{Derived, Peak};

/// Points on each axis.
const N_POINTS: usize = 20;

/// The finer grid: `N_POINTS` range rates times `N_POINTS` accelerations, ends included.
///
/// ```text
/// |a - a0| <= step of the acceleration grid
/// |v - v0| <= (|a0| + step) T^2 / 2       T: n_ipp periods
/// ```
///
/// Source: `optimize_grid_gmf_np` in hardtarget 0.5.1. The half-width of the range rates is there
/// a change of range, taken for one of range rate; it is kept, so that results are the same. It is
/// zero there where `a0` is, by the sign function; it is not here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    range_rate_m_s: f64,
    acceleration_m_s2: f64,
    half_range_rate_m_s: f64,
    half_acceleration_m_s2: f64,
}

/// `N_POINTS` from `centre - half` to `centre + half`.
fn points(centre: f64, half: f64) -> impl Iterator<Item = f64> + Clone {
    let step = 2.0 * half / (N_POINTS - 1) as f64;
    (0..N_POINTS).map(move |idx| centre - half + idx as f64 * step)
}

impl Window {
    pub(super) fn around(derived: &Derived, peak: &Peak) -> Self {
        let step = derived.acceleration_step_m_s2();
        let length_s =
            derived.integration_samples() as f64 / derived.experiment().sample_rate_hz as f64;
        Self {
            range_rate_m_s: peak.range_rate_m_s,
            acceleration_m_s2: peak.acceleration_m_s2,
            half_range_rate_m_s: 0.5 * (peak.acceleration_m_s2.abs() + step) * length_s.powi(2),
            half_acceleration_m_s2: step,
        }
    }

    fn rates(&self) -> impl Iterator<Item = f64> + Clone {
        points(self.range_rate_m_s, self.half_range_rate_m_s)
    }

    fn accelerations(&self) -> impl Iterator<Item = f64> + Clone {
        points(self.acceleration_m_s2, self.half_acceleration_m_s2)
    }

    /// All points, by acceleration and then by range rate, both ascending.
    #[cfg(test)]
    pub(super) fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let rates = self.rates();
        self.accelerations()
            .flat_map(move |acceleration| rates.clone().map(move |rate| (rate, acceleration)))
    }

    pub(super) fn reach(&self, start: &Start, mean_time_s: f64) -> Reach {
        let rate_m_s = (self.range_rate_m_s - start.range_rate_m_s).abs()
            + self.half_range_rate_m_s
            + self.half_acceleration_m_s2 * mean_time_s;
        // Not to miss the points at the corners by a rounding.
        let slack = 1.0 + 1e-9;
        Reach {
            mid_range_rate_m_s: rate_m_s * slack,
            acceleration_m_s2: self.half_acceleration_m_s2 * slack,
        }
    }

    /// The point with the greatest value; of equal ones that with the lowest acceleration, then
    /// the lowest range rate.
    pub(super) fn best(&self, expansion: &mut Expansion) -> Offset {
        let lowest = self.range_rate_m_s - self.half_range_rate_m_s;
        let mut rows = [Offset::default(); N_POINTS];
        for (row, acceleration) in rows.iter_mut().zip(self.accelerations()) {
            *row = expansion.offset(lowest, acceleration);
        }
        let step_m_s = 2.0 * self.half_range_rate_m_s / (N_POINTS - 1) as f64;
        let (row, rate) = expansion.best_of_grid(rows, Rates { n: N_POINTS, step_m_s });
        // By the same sums as all points: what is found is one of them to the last bit.
        let rate = self.rates().nth(rate).unwrap_or(self.range_rate_m_s);
        let acceleration = self.accelerations().nth(row).unwrap_or(self.acceleration_m_s2);
        expansion.offset(rate, acceleration)
    }
}
