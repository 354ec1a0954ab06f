//! When a kernel's result counts as equal to the reference's.

use std::fmt;

use crate::reference::ReferencePlan;
use crate::{GridRow, Integration, KernelError, Method};

/// Greatest relative difference of values from the reference, and of values that count as tied.
///
/// hardtarget's own two implementations of `fgmf` differ by up to 5.2e-7 on its golden cases; a
/// sum of some thousand products in single precision that is ordered otherwise may differ by a few
/// times more.
pub const RELATIVE_TOLERANCE: f64 = 1e-5;

/// Greatest relative difference of the zero-frequency term, which has no maximum to hold it up: it
/// may be a small rest of a sum that nearly cancels.
const ZERO_FREQUENCY_TOLERANCE: f64 = 1e-4;

/// A range gate in which a result is not equal to the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The gate's index.
    pub range_idx: usize,
    /// Which quantity differs: `gmf`, `zero_frequency`, `range_rate_idx` or `acceleration_idx`.
    pub quantity: &'static str,
    /// What the kernel found.
    pub found: f64,
    /// What the reference says; for an index, the power there relative to the greatest.
    pub expected: f64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { range_idx, quantity, found, expected } = self;
        match *quantity {
            "gmf" | "zero_frequency" => {
                write!(f, "gate {range_idx}: {quantity} is {found:e}, reference {expected:e}")
            }
            _ => write!(
                f,
                "gate {range_idx}: at {quantity} {found} the reference has only {expected} of its \
                 greatest power"
            ),
        }
    }
}

fn close(found: f64, expected: f64, tolerance: f64, floor: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs().max(floor)
}

impl ReferencePlan {
    /// Compares a result of the same search with the reference, by the tolerance rule.
    ///
    /// A value agrees within [`RELATIVE_TOLERANCE`]. An index may differ only where the
    /// reference's power at the index found is tied with the greatest within the same tolerance.
    /// For [`Method::Fdpt`] that holds in two steps: the acceleration by the power of the
    /// polynomial transform, then value and range rate under the acceleration that was found.
    /// Returns what does not agree: nothing, if all is well.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`].
    pub fn compare(
        &mut self,
        integration: Integration<'_>,
        row: &GridRow,
    ) -> Result<Vec<Mismatch>, KernelError> {
        self.compare_gates(integration, row, 0..self.derived().n_ranges())
    }

    /// As [`ReferencePlan::compare`], but only the gates with these indices: the reference takes
    /// minutes for what a kernel does in a blink.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`].
    ///
    /// # Panics
    ///
    /// When there is no gate with one of the indices.
    pub fn compare_gates(
        &mut self,
        integration: Integration<'_>,
        row: &GridRow,
        gates: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Mismatch>, KernelError> {
        integration.check(self.derived())?;
        row.clone().as_mut().check(self.derived().n_ranges())?;
        let mut mismatches = Vec::new();
        for range_idx in gates {
            let exact = self.search_gate(integration, range_idx);
            // Where a sum cancels, its rounding error is relative to what was summed.
            let summed: f64 = self.decode(integration, range_idx).iter().map(|z| z.norm()).sum();
            let energy = summed.powi(2);
            let mut report = |quantity, found, expected| {
                mismatches.push(Mismatch { range_idx, quantity, found, expected });
            };
            let zero = f64::from(row.zero_frequency[range_idx]);
            let floor = energy * f64::from(f32::EPSILON);
            if !close(zero, exact.zero_frequency, ZERO_FREQUENCY_TOLERANCE, floor) {
                report("zero_frequency", zero, exact.zero_frequency);
            }

            let found = f64::from(row.gmf[range_idx]);
            let acceleration = usize::try_from(row.acceleration_idx[range_idx]);
            let range_rate = usize::try_from(row.range_rate_idx[range_idx]);
            let greatest = exact.gmf;
            if greatest == 0.0 {
                // No power anywhere: every index is as good, and -1 is what a kernel should say.
                if found != 0.0 {
                    report("gmf", found, greatest);
                }
                continue;
            }
            let Some(acceleration) =
                acceleration.ok().filter(|&idx| idx < self.derived().n_accelerations())
            else {
                report("acceleration_idx", f64::from(row.acceleration_idx[range_idx]), 0.0);
                continue;
            };
            let mut expected = greatest;
            match self.options().method {
                Method::Fgmf => {
                    if !self.derived().acceleration_window().contains(&acceleration) {
                        report("acceleration_idx", acceleration as f64, 0.0);
                        continue;
                    }
                }
                Method::Fdpt => {
                    let powers: Vec<f64> = self.dpt_spectrum().collect();
                    let most = powers.iter().copied().fold(0.0, f64::max);
                    if powers[acceleration] < most * (1.0 - RELATIVE_TOLERANCE) {
                        report(
                            "acceleration_idx",
                            acceleration as f64,
                            powers[acceleration] / most,
                        );
                        continue;
                    }
                    expected = self.spectrum(acceleration).fold(0.0, f64::max);
                }
            }
            if !close(found, expected, RELATIVE_TOLERANCE, 0.0) {
                report("gmf", found, expected);
            }
            let power = range_rate.ok().and_then(|idx| self.spectrum(acceleration).nth(idx));
            if power.is_none_or(|power| power < expected * (1.0 - RELATIVE_TOLERANCE)) {
                let share = power.unwrap_or(0.0) / expected;
                report("range_rate_idx", f64::from(row.range_rate_idx[range_idx]), share);
            }
        }
        Ok(mismatches)
    }
}
