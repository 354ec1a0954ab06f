//! Peaks refined off the grid, right after the search, and how they are stored.

use digital_rf::hdf5::Hdf5Error;
use gmf_api::{Derived, KernelError, Optimized, Optimizer, PreparedSamples};

use crate::Integrated;
use crate::gmf_file::Out;

/// Refines the peak of an integration that was searched; without a peak there is nothing to refine.
pub(crate) fn refine(
    optimizer: &mut Optimizer,
    derived: &Derived,
    prepared: &PreparedSamples,
    done: &mut Integrated,
) -> Result<(), KernelError> {
    done.optimized = match done.row.peak(derived) {
        Some(peak) => Some(optimizer.refine(prepared.integration(), &peak)?),
        None => None,
    };
    Ok(())
}

/// Writes the refined peaks of a file, NaN where an integration has none.
///
/// | dataset              | shape    | holds                                                     |
/// | -------------------- | -------- | --------------------------------------------------------- |
/// | `gmf_optimized_peak` | `[n, 3]` | range in m, range rate in m/s, acceleration in m/s^2      |
/// | `gmf_optimized`      | `[n, 1]` | the objective there, in the recorder's unit squared       |
///
/// Source: `define_optimize_variables` in hardtarget 0.5.1, `analysis/utils.py`.
pub(crate) fn write(out: &mut Out, rows: &[Integrated]) -> Result<(), Hdf5Error> {
    let columns = |optimized: &Option<Optimized>| {
        optimized.map_or([f64::NAN; 4], |found| {
            [found.range_m, found.range_rate_m_s, found.acceleration_m_s2, found.gmf]
        })
    };
    let columns: Vec<[f64; 4]> = rows.iter().map(|done| columns(&done.optimized)).collect();
    let peaks: Vec<f64> = columns.iter().flat_map(|row| &row[..3]).copied().collect();
    let values: Vec<f64> = columns.iter().map(|row| row[3]).collect();
    out.data(
        "gmf_optimized_peak",
        &[rows.len(), 3],
        &peaks,
        "Fine tuned range, range-rate and acceleration",
    )?;
    out.data(
        "gmf_optimized",
        &[rows.len(), 1],
        &values,
        "Generalized Matched Filter fine tuned peak output values",
    )
}
