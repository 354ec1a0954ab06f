//! After the search of the grid: the peak of an integration, refined off the grid.

mod chirp;
mod continuous;
mod expansion;
mod grid;
mod objective;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Derived, Integration, KernelError, Peak};
use expansion::Expansion;
pub use objective::Objective;

/// How the peak of an integration is refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimize {
    /// A finer grid of 20 range rates and 20 accelerations around the peak. Source: hardtarget's
    /// `optimize-grid-gmf`.
    Grid,
    /// From the best of that grid, and of the lobes around the peak, on to the top by the simplex
    /// method of Nelder and Mead. Takes the place of hardtarget's `optimize-scipy-gmf`.
    #[default]
    Continuous,
}

impl Optimize {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Continuous => "continuous",
        }
    }
}

impl fmt::Display for Optimize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimize {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "grid" | "optimize-grid-gmf" => Ok(Self::Grid),
            "continuous" | "optimize-scipy-gmf" => Ok(Self::Continuous),
            _ => Err(format!("unknown refinement '{name}': grid or continuous")),
        }
    }
}

/// A refined peak.
///
/// Range rate and acceleration are those of the echo's phase on the clock of [`Objective`], which
/// counts from the start of the integration to the sample's own reception. [`Peak`] is on the
/// clock of the first gate; the two differ by `acceleration * gate / sample_rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimized {
    /// Total range, in metres: that of the grid's peak.
    pub range_m: f64,
    /// Range rate, in m/s.
    pub range_rate_m_s: f64,
    /// Acceleration, in m/s^2.
    pub acceleration_m_s2: f64,
    /// The [`Objective`] there, in the recorder's unit squared.
    pub gmf: f64,
}

/// Refines the peaks of one search; its buffers are made once.
#[derive(Debug, Clone)]
pub struct Optimizer {
    how: Optimize,
    derived: Arc<Derived>,
    objective: Objective,
    expansion: Expansion,
}

impl Optimizer {
    /// An optimiser for the integrations of `derived`.
    #[must_use]
    pub fn new(derived: &Arc<Derived>, how: Optimize) -> Self {
        Self {
            how,
            derived: Arc::clone(derived),
            objective: Objective::new(derived),
            expansion: Expansion::new(derived),
        }
    }

    /// Refines range rate and acceleration of `peak`, which was found in `integration`; the range
    /// stays.
    ///
    /// The result's value is that of the [`Objective`] in full, and never below its value at the
    /// peak itself; with [`Optimize::Continuous`] never below the result of [`Optimize::Grid`]
    /// either. The same input gives the same bits.
    ///
    /// Candidates are compared by an expansion of the objective in blocks of samples, which is off
    /// by at most `2.1e-10` times the energy received in the gate; candidates closer than that may
    /// be taken one for the other. Work is bounded: some thousand values of the expansion, and
    /// four of the objective in full.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`] when `integration` is of another search.
    ///
    /// # Panics
    ///
    /// When `peak` is of another search, and its gate is none of this one.
    pub fn refine(
        &mut self,
        integration: Integration<'_>,
        peak: &Peak,
    ) -> Result<Optimized, KernelError> {
        self.objective.load(integration, peak.range_idx)?;
        let start = self.start(peak);
        let window = grid::Window::around(&self.derived, peak);
        let hill = continuous::Hill::around(&self.derived, peak);
        let mut reach = window.reach(&start, self.objective.mean_time_s());
        if self.how == Optimize::Continuous {
            reach = reach.or(hill.reach());
        }
        self.expansion.load(&self.objective, start, reach);

        let mut candidates = vec![Offset::default(), window.best(&mut self.expansion)];
        if self.how == Optimize::Continuous {
            candidates.push(hill.best_of_lobes(&mut self.expansion));
            let best = self.expansion.best_of(&candidates);
            candidates.push(hill.climb(&self.expansion, best));
        }
        let mut best: Option<Optimized> = None;
        for candidate in candidates {
            let (range_rate_m_s, acceleration_m_s2) = self.expansion.absolute(candidate);
            let gmf = self.objective.value(range_rate_m_s, acceleration_m_s2);
            if best.is_none_or(|best| gmf > best.gmf) {
                let range_m = peak.range_m;
                best = Some(Optimized { range_m, range_rate_m_s, acceleration_m_s2, gmf });
            }
        }
        Ok(best.expect("there is one candidate at least"))
    }

    /// The peak on the objective's clock.
    fn start(&self, peak: &Peak) -> Start {
        let rate = self.derived.experiment().sample_rate_hz as f64;
        let gate_s = (peak.range_idx * self.derived.gate_step()) as f64 / rate;
        Start {
            range_rate_m_s: peak.range_rate_m_s - peak.acceleration_m_s2 * gate_s,
            acceleration_m_s2: peak.acceleration_m_s2,
        }
    }
}

/// Where a refinement begins, on the objective's clock.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    range_rate_m_s: f64,
    acceleration_m_s2: f64,
}

/// A distance from the start.
///
/// The range rate is that in the middle of the integration. There it hardly depends on the
/// acceleration, while at the beginning an error of one brings about an error of the other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Offset {
    mid_range_rate_m_s: f64,
    acceleration_m_s2: f64,
}

#[cfg(test)]
mod tests;
