//! The phasors of one acceleration on the fly, for `fdpt`, where every gate has its own.

use gmf_api::Derived;

use crate::exact::{Planes, Shape};
use crate::simd::{Kernel, MOST_LANES, Simd};

/// Squares of the times of the decimated samples; shared by all threads.
#[derive(Debug)]
pub(crate) struct SquaredTimes {
    /// In squared seconds, `[n_ipp, plane]`.
    squares_s2: Vec<f64>,
}

impl SquaredTimes {
    pub(crate) fn new(derived: &Derived, shape: &Shape) -> Self {
        let mut squares_s2 = vec![0.0; shape.n_ipp * shape.plane()];
        let times_s = derived.decimated_times_s();
        for (to, times_s) in
            squares_s2.chunks_exact_mut(shape.plane()).zip(times_s.chunks_exact(shape.pulse))
        {
            to.iter_mut().zip(times_s).for_each(|(to, time)| *to = time * time);
        }
        Self { squares_s2 }
    }

    /// Writes `echo` times the phasors that undo the acceleration with index `acceleration_idx`
    /// (see [`Derived::acceleration_phasors`]), both `[n_ipp, plane]`.
    pub(crate) fn turn<S: Simd>(
        &self,
        s: S,
        derived: &Derived,
        acceleration_idx: usize,
        echo: Planes<'_>,
        turned: (&mut [f32], &mut [f32]),
    ) {
        let factor = derived.acceleration_phase_factor(acceleration_idx);
        let turns_per_s2 = factor / std::f64::consts::TAU;
        let (re, im) = turned;
        s.run(Turn { squares_s2: &self.squares_s2, turns_per_s2, echo, re, im });
    }
}

struct Turn<'a> {
    squares_s2: &'a [f64],
    turns_per_s2: f64,
    echo: Planes<'a>,
    re: &'a mut [f32],
    im: &'a mut [f32],
}

impl<S: Simd> Kernel<S> for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: S) {
        let Self { squares_s2, turns_per_s2, echo, re, im } = self;
        let (squares, _) = squares_s2.as_chunks::<MOST_LANES>();
        let (echo_re, _) = echo.re.as_chunks::<MOST_LANES>();
        let (echo_im, _) = echo.im.as_chunks::<MOST_LANES>();
        let (re, _) = re.as_chunks_mut::<MOST_LANES>();
        let (im, _) = im.as_chunks_mut::<MOST_LANES>();
        let echo = echo_re.iter().zip(echo_im);
        for ((squares, (echo_re, echo_im)), (re, im)) in
            squares.iter().zip(echo).zip(re.iter_mut().zip(im))
        {
            for i in 0..MOST_LANES {
                let (cos, sin) = cis(squares[i] * turns_per_s2);
                let (x, y) = (echo_re[i], echo_im[i]);
                re[i] = x * cos - y * sin;
                im[i] = x * sin + y * cos;
            }
        }
    }
}

/// Cosine and sine of a number of turns, right to single precision.
///
/// Without branches and calls, so that it becomes vector instructions. The phase passes through
/// many turns, so what is left of it is formed in double precision.
#[inline(always)]
fn cis(turns: f64) -> (f32, f32) {
    /// Added to a number below `2^51`, it leaves no place for a fraction.
    const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;
    let half = std::f64::consts::PI * (turns - ((turns + WHOLE) - WHOLE));
    let x = half * half;
    // The first terms of the sine's series: what is left out is below 1e-11 up to pi / 2.
    let mut sin = -7.647_163_731_819_816e-13;
    for coefficient in [
        1.605_904_383_682_161_3e-10,
        -2.505_210_838_544_172e-8,
        2.755_731_922_398_589e-6,
        -1.984_126_984_126_984e-4,
        8.333_333_333_333_333e-3,
        -1.666_666_666_666_666_6e-1,
        1.0,
    ] {
        sin = sin * x + coefficient;
    }
    sin *= half;
    let mut cos = -1.147_074_559_772_972_5e-11;
    for coefficient in [
        2.087_675_698_786_81e-9,
        -2.755_731_922_398_589_3e-7,
        2.480_158_730_158_73e-5,
        -1.388_888_888_888_889e-3,
        4.166_666_666_666_666_4e-2,
        -0.5,
        1.0,
    ] {
        cos = cos * x + coefficient;
    }
    ((1.0 - 2.0 * sin * sin) as f32, (2.0 * sin * cos) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cis_is_right_to_single_precision() {
        for n in -4000..4000 {
            let turns = f64::from(n) * 0.123_456_7 + f64::from(n).powi(3) * 1e-7;
            let (sin, cos) = (turns * std::f64::consts::TAU).sin_cos();
            let (found_cos, found_sin) = cis(turns);
            // Half a unit in the last place of 1, and what the angle itself lacks.
            let allowed = f64::from(f32::EPSILON) / 4.0 + turns.abs() * 4.0 * f64::EPSILON + 2e-11;
            assert!((f64::from(found_cos) - cos).abs() <= allowed, "{turns}: {found_cos} {cos}");
            assert!((f64::from(found_sin) - sin).abs() <= allowed, "{turns}: {found_sin} {sin}");
        }
    }
}
