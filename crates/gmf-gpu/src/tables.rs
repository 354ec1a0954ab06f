//! What the shaders look up, in single precision from angles in double.

use std::f64::consts::TAU;

use gmf_api::{Complex32, Derived};

use crate::shape::Shape;

fn phasor(turns_numerator: usize, turns_denominator: usize) -> Complex32 {
    // Reduced before it is divided, so that long products lose nothing.
    let turns = (turns_numerator % turns_denominator) as f64 / turns_denominator as f64;
    let (sin, cos) = (-TAU * turns).sin_cos();
    Complex32::new(cos as f32, sin as f32)
}

/// As the bytes of pairs of single precision numbers.
pub(crate) fn bytes(values: &[Complex32]) -> Vec<u8> {
    values.iter().flat_map(|z| [z.re, z.im]).flat_map(f32::to_le_bytes).collect()
}

/// `w_n^(l kappa)`, `[stride, pulse]`, then `w_points^j`; or `w_n^j` where rows are summed directly.
pub(crate) fn twiddles(shape: &Shape) -> Vec<Complex32> {
    let n = shape.n();
    if shape.radices.is_empty() {
        return (0..n).map(|j| phasor(j, n)).collect();
    }
    let (stride, pulse) = (shape.stride(), shape.pulse);
    let mut table = Vec::with_capacity(stride * pulse + shape.points);
    for kappa in 0..stride {
        table.extend((0..pulse).map(|l| phasor(kappa * l, n)));
    }
    table.extend((0..shape.points).map(|j| phasor(j, shape.points)));
    table
}

/// `w_periods^j`.
pub(crate) fn weights(shape: &Shape) -> Vec<Complex32> {
    (0..shape.periods).map(|j| phasor(j, shape.periods)).collect()
}

/// The parts of all levels, one level after the other.
pub(crate) fn parts(shape: &Shape) -> Vec<u32> {
    shape.levels.iter().flat_map(|level| level.parts.iter().copied()).collect()
}

/// For each decimated sample, the turns that one step of acceleration makes at its time: the
/// fraction of a turn, times 2^64.
pub(crate) fn turns(derived: &Derived) -> Vec<u64> {
    let wavelength = derived.experiment().wavelength_m();
    let per_square_second = -0.5 * derived.acceleration_step_m_s2() / wavelength;
    let turns = |t: &f64| {
        let turns = per_square_second * t * t;
        let fraction = turns - turns.floor();
        // Rounds up to a whole turn at most, which is none.
        (fraction * 2f64.powi(64)) as u64
    };
    derived.decimated_times_s().iter().map(turns).collect()
}

/// The phasors of every acceleration of the window, `[accelerations, n_ipp, pulse]`.
pub(crate) fn phasors(derived: &Derived) -> Vec<Complex32> {
    let times = derived.decimated_times_s();
    let window = derived.acceleration_window();
    let mut table = vec![Complex32::default(); window.len() * times.len()];
    for (idx, out) in window.zip(table.chunks_exact_mut(times.len())) {
        derived.write_acceleration_phasors(idx, &times, out);
    }
    table
}
