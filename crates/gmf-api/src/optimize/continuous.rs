//! From the best point of a grid on to the top of the hill.

use argmin::core::{CostFunction, Executor, State as _};
use argmin::solver::neldermead::NelderMead;
use argmin_math::{ArgminAdd, ArgminMul, ArgminSub};

use super::Offset;
use super::expansion::{Expansion, Rates, Reach};
use crate::{Derived, Peak};

/// Lobes are looked for this many steps of the search's grid around the peak.
const LOBE_ACCELERATIONS: f64 = 4.0;
const LOBE_RANGE_RATES: f64 = 8.0;

/// How far beyond the lobes the simplex may go, in steps of the search's grid.
const MARGIN: f64 = 1.0;

/// Steps of the simplex at most. It takes some fifty to the tolerance below.
const MAX_STEPS: u64 = 200;

/// The simplex is done when the values at its corners, relative to the best value of the start,
/// differ by less. Around the top values fall with the square of the distance, so that range rate
/// and acceleration are known to some 1e-6 of a step of the search's grid then.
const SPREAD: f64 = 1e-12;

/// The surroundings of a peak in which the greatest value is looked for.
///
/// A search of the grid may end on a side lobe: its range rates are a whole resolution apart, so
/// that the main lobe loses up to `1 - (2 / pi)^2` (60 %) of its power between two of them, and
/// its accelerations are not much closer. So the lobes around the peak are tried first, in half
/// steps of that grid: up to half the range rate at which pulses repeat the same phases (beyond it
/// lobes cannot be told apart by pulses, and the grid has decided), and among the accelerations
/// that were searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hill {
    range_rate_step_m_s: f64,
    acceleration_step_m_s2: f64,
    /// In half steps, symmetrical.
    half_rates: i32,
    /// In half steps.
    half_accelerations: (i32, i32),
}

impl Hill {
    pub(super) fn around(derived: &Derived, peak: &Peak) -> Self {
        let e = derived.experiment();
        let length_s = derived.read_length() as f64 / e.sample_rate_hz as f64;
        let periods = derived.read_length() / derived.ipp_samples();
        let step = derived.acceleration_step_m_s2();
        let searched = derived.acceleration_window();
        let limit = 2.0 * LOBE_ACCELERATIONS;
        // Always as far as the finer grid goes, which is one step beyond what was searched.
        let half_steps =
            |idx: usize| 2.0 * (derived.acceleration_m_s2(idx) - peak.acceleration_m_s2) / step;
        let lowest = (half_steps(searched.start) - 2.0).min(-2.0).max(-limit);
        let highest = (half_steps(searched.end - 1) + 2.0).max(2.0).min(limit);
        Self {
            range_rate_step_m_s: e.wavelength_m() / length_s,
            acceleration_step_m_s2: step,
            half_rates: (periods as f64).min(2.0 * LOBE_RANGE_RATES) as i32,
            half_accelerations: (lowest.round() as i32, highest.round() as i32),
        }
    }

    fn offset(&self, half_rate: f64, half_acceleration: f64) -> Offset {
        Offset {
            mid_range_rate_m_s: 0.5 * half_rate * self.range_rate_step_m_s,
            acceleration_m_s2: 0.5 * half_acceleration * self.acceleration_step_m_s2,
        }
    }

    /// The lobes, and the margin around them.
    pub(super) fn reach(&self) -> Reach {
        let (lowest, highest) = self.half_accelerations;
        Reach {
            mid_range_rate_m_s: (0.5 * f64::from(self.half_rates) + MARGIN)
                * self.range_rate_step_m_s,
            acceleration_m_s2: (0.5 * f64::from(highest.max(-lowest)) + MARGIN)
                * self.acceleration_step_m_s2,
        }
    }

    /// The best point of a grid of half steps.
    pub(super) fn best_of_lobes(&self, expansion: &mut Expansion) -> Offset {
        let (lowest, highest) = self.half_accelerations;
        let first = f64::from(-self.half_rates);
        let rows = (lowest..=highest).map(|row| self.offset(first, f64::from(row)));
        let n = (2 * self.half_rates + 1) as usize;
        let step_m_s = 0.5 * self.range_rate_step_m_s;
        let (row, rate) = expansion.best_of_grid(rows, Rates { n, step_m_s });
        self.offset(first + rate as f64, f64::from(lowest) + row as f64)
    }

    /// Climbs from `start` to the top of its hill, or as far as [`MAX_STEPS`] go.
    ///
    /// What is found is not below `start`, up to the error of the expansion; if the simplex cannot
    /// begin, it is `start`.
    pub(super) fn climb(&self, expansion: &Expansion, start: Offset) -> Offset {
        let scale = expansion.value(start);
        if !(scale > 0.0 && scale.is_finite()) {
            return start;
        }
        let at = |rate: f64, acceleration: f64| {
            let step = self.offset(rate, acceleration);
            Point([
                start.mid_range_rate_m_s + step.mid_range_rate_m_s,
                start.acceleration_m_s2 + step.acceleration_m_s2,
            ])
        };
        let corners = vec![at(0.0, 0.0), at(0.5, 0.0), at(0.0, 0.5)];
        let Ok(solver) = NelderMead::new(corners).with_sd_tolerance(SPREAD) else {
            return start;
        };
        let problem = Depth { expansion, reach: expansion.reach(), scale };
        let run = Executor::new(problem, solver)
            .configure(|state| state.max_iters(MAX_STEPS))
            .timer(false)
            .run();
        match run {
            Ok(result) => result.state().get_best_param().map_or(start, |point| point.offset()),
            Err(_) => start,
        }
    }
}

/// The objective upside down, since the simplex goes downhill.
struct Depth<'a> {
    expansion: &'a Expansion,
    reach: Reach,
    scale: f64,
}

impl CostFunction for Depth<'_> {
    type Param = Point;
    type Output = f64;

    fn cost(&self, point: &Point) -> Result<f64, argmin::core::Error> {
        let offset = point.offset();
        let within = offset.mid_range_rate_m_s.abs() <= self.reach.mid_range_rate_m_s
            && offset.acceleration_m_s2.abs() <= self.reach.acceleration_m_s2;
        // No power where the expansion does not reach: worse than any point that was begun at.
        Ok(if within { -self.expansion.value(offset) / self.scale } else { 0.0 })
    }
}

/// A corner of the simplex: range rate in the middle of the integration, and acceleration.
#[derive(Debug, Clone, Copy)]
struct Point([f64; 2]);

impl Point {
    fn offset(&self) -> Offset {
        Offset { mid_range_rate_m_s: self.0[0], acceleration_m_s2: self.0[1] }
    }
}

impl ArgminAdd<Self, Self> for Point {
    fn add(&self, other: &Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1]])
    }
}

impl ArgminSub<Self, Self> for Point {
    fn sub(&self, other: &Self) -> Self {
        Self([self.0[0] - other.0[0], self.0[1] - other.0[1]])
    }
}

impl ArgminMul<f64, Self> for Point {
    fn mul(&self, factor: &f64) -> Self {
        Self([self.0[0] * factor, self.0[1] * factor])
    }
}
