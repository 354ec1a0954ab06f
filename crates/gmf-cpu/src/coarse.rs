//! Few points of every row, for as many gates at once as there are lanes: bounds on the others.

use crate::exact::{Planes, Shape};
use crate::fft::radix::{Dft, Small, dft, with_radix};
use crate::fft::{self, Fft, Registers, phasor};
use crate::simd::{C, Complex, Kernel, MOST_LANES, Simd, mul, mul_add, splat, zero};

/// The tables for the coarse points; shared by all threads.
///
/// # The bound
///
/// A row of frequencies is `X(t) = sum over l < L of y[l] exp(-i l t)` at `P` equally spaced `t`.
/// Let `|X|` be greatest at `t0`, over all real `t`, with the value `M`. Turned by
/// `exp(i (L - 1) t / 2)` and by the phase that makes it real at `t0`, `X` has a real part of
/// exponential type `(L - 1) / 2` that is nowhere above `M` and reaches it at `t0`. A lemma of M.
/// Riesz (1914) says that such a function is at least `M cos((L - 1) (t - t0) / 2)` as long as
/// `|t - t0| (L - 1) / 2 <= pi`. Of `C >= L` points, `2 pi / C` apart, one is within `pi / C` of
/// `t0`, so
///
/// ```text
/// greatest |X|  <=  greatest |X| at the C points / cos(pi (L - 1) / (2 C))
/// ```
///
/// wherever the points begin. They need not be among the `P`: here they begin where the row's
/// factor `w_N^(l k1)` falls away, so that all rows have the same tables. With `C = m S`, where `S`
/// is the first length not below `L` with small prime factors that pays, they are found by `m`
/// transforms of `S` points.
pub(crate) struct Coarse {
    shape: Shape,
    /// Of `S` points.
    fft: Fft,
    /// `w_C^(l part)`, `[parts - 1, S]`, for the parts after the first.
    twiddles: Vec<[f32; 2]>,
    sums: PeriodSums,
    /// `cos(pi (L - 1) / (2 C))`.
    hidden: f64,
    /// What a row of all lanes costs, in instructions.
    cost: usize,
    depth: usize,
}

/// How the sums over the periods are formed.
enum PeriodSums {
    /// By one small transform.
    Radix,
    /// By a transform of several passes.
    Fft(Fft, Vec<u32>),
    /// As written: `w_K^(k k1)`, `[periods, n_ipp]`.
    Direct(Vec<[f32; 2]>),
}

/// Memory that one thread needs for coarse points.
pub(crate) struct CoarseScratch<S: Simd> {
    /// The sums over the periods, `[periods, stride]`; zero behind each pulse.
    sums: Vec<C<S>>,
    /// Between two rows of `sums`.
    stride: usize,
    work: Vec<C<S>>,
    /// One number of each period.
    column: Vec<C<S>>,
}

/// Bytes of the first cache: those of a Zen 5 or a Sapphire Rapids; others have a little less.
const FIRST_CACHE: usize = 48 << 10;

/// Greatest radix for the sums over the periods.
const MOST_RADIX: usize = 16;

impl Coarse {
    /// Tables for the number of points that is expected to pay best, where `exact_cost` is what a
    /// row of one gate costs, `lanes` gates are done at once, and a gate has `rows` rows.
    pub(crate) fn new(shape: Shape, exact_cost: usize, rows: usize, lanes: usize) -> Option<Self> {
        let registers = if lanes == MOST_LANES { Registers::ThirtyTwo } else { Registers::Sixteen };
        let mut best: Option<(f64, usize, usize)> = None;
        for points in shape.pulse..=2 * shape.pulse {
            let Some(mut transform) = fft::cost(points, registers) else { continue };
            // Row and work have to share the first cache, or a quarter is lost.
            if 2 * points * lanes * size_of::<[f32; 2]>() > FIRST_CACHE {
                transform += transform / 4;
            }
            for parts in 2..=8 {
                let coarse = parts * transform + (parts - 1) * 6 * points;
                let survivors = survivors(&shape, parts * points, rows);
                let cost = coarse as f64 + survivors * (lanes * exact_cost) as f64;
                if best.is_none_or(|(least, ..)| cost < least) {
                    best = Some((cost, points, parts));
                }
            }
        }
        let (_, points, parts) = best?;
        let fft = Fft::new(points, registers)?;
        let all = parts * points;
        let twiddles =
            (1..parts).flat_map(|part| (0..points).map(move |l| phasor(l * part, all))).collect();
        let sums = PeriodSums::new(&shape, registers);
        let coarse = parts * fft::cost(points, registers)? + (parts - 1) * 6 * points;
        let cost = coarse + sums.cost(&shape, registers) / shape.periods;
        let depth = 4 + sums.depth(&shape) + 4 + fft.depth();
        Some(Self { shape, fft, twiddles, sums, hidden: bound(&shape, all), cost, depth })
    }

    /// The share of a row's greatest modulus that its greatest coarse one reaches at least.
    pub(crate) fn hidden(&self) -> f64 {
        self.hidden
    }

    /// About how many instructions a row of all lanes takes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Bound on the error of any `X` by rounding, as a share of the sum of all `|x|`; see
    /// [`crate::exact::Exact::error`].
    pub(crate) fn error(&self) -> f64 {
        self.depth as f64 * f64::from(f32::EPSILON)
    }

    pub(crate) fn scratch<S: Simd>(&self, s: S) -> CoarseScratch<S> {
        // Rows that began at the same place of a page would fall into the same lines of the cache.
        let stride = self.fft.len() + 1;
        CoarseScratch {
            sums: vec![zero(s); self.shape.periods * stride],
            stride,
            work: vec![zero(s); self.fft.len()],
            column: vec![zero(s); self.shape.periods.max(self.shape.n_ipp)],
        }
    }

    /// Writes the greatest coarse power of every row of `echo * phasors`, `[periods]`.
    ///
    /// `echo` is `[n_ipp, stride]`, with a gate in each lane, `phasors` `[n_ipp, plane]`.
    pub(crate) fn rows<S: Simd>(
        &self,
        s: S,
        echo: &[C<S>],
        phasors: Option<Planes<'_>>,
        scratch: &mut CoarseScratch<S>,
        greatest: &mut [S::V],
    ) {
        match &self.sums {
            PeriodSums::Radix => with_radix!(self.shape.periods, R => {
                s.run(SumByRadix::<S, R> { shape: &self.shape, echo, phasors, scratch });
            }),
            PeriodSums::Fft(fft, frequencies) => {
                for l in 0..self.shape.pulse {
                    s.run(Column { shape: &self.shape, echo, phasors, l, scratch });
                    fft.transform(s, &mut scratch.column);
                    for (x, &k1) in scratch.column.iter().zip(frequencies) {
                        scratch.sums[k1 as usize * scratch.stride + l] = *x;
                    }
                }
            }
            PeriodSums::Direct(weights) => {
                for l in 0..self.shape.pulse {
                    s.run(Column { shape: &self.shape, echo, phasors, l, scratch });
                    s.run(SumDirectly { shape: &self.shape, weights, l, scratch });
                }
            }
        }
        let points = self.fft.len();
        for (row, greatest) in scratch.sums.chunks_exact(scratch.stride).zip(greatest) {
            let row = &row[..points];
            let work = &mut scratch.work;
            let mut most = self.fft.greatest_power(s, row, None, work, s.splat(0.0));
            for twiddles in self.twiddles.chunks_exact(points) {
                most = self.fft.greatest_power(s, row, Some(twiddles), work, most);
            }
            *greatest = most;
        }
    }
}

/// `cos(pi (L - 1) / (2 C))`.
fn bound(shape: &Shape, points: usize) -> f64 {
    (std::f64::consts::FRAC_PI_2 * (shape.pulse - 1) as f64 / points as f64).cos()
}

/// The share of rows that are expected to reach the bound, in noise.
///
/// The powers of noise are exponentially distributed, and about twice the pulse's length of them
/// in a row are independent.
fn survivors(shape: &Shape, points: usize, rows: usize) -> f64 {
    let independent = (2 * shape.pulse) as f64;
    let most = (independent * rows as f64).ln() + 0.577;
    let hidden = bound(shape, points).powi(2);
    (independent * (-hidden * most).exp()).min(1.0)
}

impl PeriodSums {
    fn new(shape: &Shape, registers: Registers) -> Self {
        let periods = shape.periods;
        if periods <= MOST_RADIX {
            return Self::Radix;
        }
        if let Some(fft) = Fft::new(periods, registers) {
            let frequencies = fft.frequencies();
            return Self::Fft(fft, frequencies);
        }
        let weights = (0..periods).flat_map(|k1| (0..shape.n_ipp).map(move |k| k * k1));
        Self::Direct(weights.map(|turns| phasor(turns, periods)).collect())
    }

    /// Instructions for all periods.
    fn cost(&self, shape: &Shape, registers: Registers) -> usize {
        let column = match self {
            Self::Radix => fft::cost(shape.periods, registers).unwrap_or(0),
            Self::Fft(fft, _) => fft::cost(fft.len(), registers).unwrap_or(0) + 4 * shape.periods,
            Self::Direct(weights) => 5 * weights.len(),
        };
        shape.pulse * (column + 8 * shape.n_ipp)
    }

    fn depth(&self, shape: &Shape) -> usize {
        match self {
            Self::Radix => shape.periods + 8,
            Self::Fft(fft, _) => fft.depth(),
            Self::Direct(_) => shape.n_ipp + 4,
        }
    }
}

/// The samples `l` of every pulse under the phasors.
#[inline(always)]
fn sample<S: Simd>(
    s: S,
    shape: &Shape,
    echo: &[C<S>],
    phasors: Option<Planes<'_>>,
    k: usize,
    l: usize,
) -> C<S> {
    let x = echo[k * shape.stride() + l];
    match phasors {
        Some(phasors) => {
            let at = k * shape.plane() + l;
            mul(s, x, splat(s, [phasors.re[at], phasors.im[at]]))
        }
        None => x,
    }
}

/// All sums by one small transform.
struct SumByRadix<'a, S: Simd, const R: usize> {
    shape: &'a Shape,
    echo: &'a [C<S>],
    phasors: Option<Planes<'a>>,
    scratch: &'a mut CoarseScratch<S>,
}

impl<S: Simd, const R: usize> Kernel<S> for SumByRadix<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { shape, echo, phasors, scratch } = self;
        let stride = scratch.stride;
        let sums = &mut scratch.sums[..R * stride];
        for l in 0..shape.pulse {
            let mut x = [zero(s); R];
            for k in 0..R {
                if k < shape.n_ipp {
                    x[k] = sample(s, shape, echo, phasors, k, l);
                }
            }
            let x = dft::<S, R>(s, x);
            for k1 in 0..R {
                sums[k1 * stride + l] = x[k1];
            }
        }
    }
}

/// One number of each period into the column, and zeros behind.
struct Column<'a, S: Simd> {
    shape: &'a Shape,
    echo: &'a [C<S>],
    phasors: Option<Planes<'a>>,
    l: usize,
    scratch: &'a mut CoarseScratch<S>,
}

impl<S: Simd> Kernel<S> for Column<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { shape, echo, phasors, l, scratch } = self;
        for (k, x) in scratch.column.iter_mut().enumerate() {
            *x = if k < shape.n_ipp { sample(s, shape, echo, phasors, k, l) } else { zero(s) };
        }
    }
}

/// All sums of a column as they are written.
struct SumDirectly<'a, S: Simd> {
    shape: &'a Shape,
    weights: &'a [[f32; 2]],
    l: usize,
    scratch: &'a mut CoarseScratch<S>,
}

impl<S: Simd> Kernel<S> for SumDirectly<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { shape, weights, l, scratch } = self;
        let column = &scratch.column[..shape.n_ipp];
        for (k1, weights) in weights.chunks_exact(shape.n_ipp).enumerate() {
            let mut sum: Complex<S::V> = zero(s);
            for (x, weight) in column.iter().zip(weights) {
                sum = mul_add(s, *x, splat(s, *weight), sum);
            }
            scratch.sums[k1 * scratch.stride + l] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    /// No row is anywhere greater than its bound: of noise, and of the polynomial for which the
    /// bound is sharp, turned so that its greatest value lies between points.
    #[test]
    fn the_bound_holds_between_the_points() {
        let s = Portable;
        for (periods, n_ipp, pulse) in
            [(1, 1, 2), (2, 1, 7), (4, 3, 24), (10, 10, 33), (17, 17, 12)]
        {
            let shape = Shape { periods, n_ipp, pulse, period: 40 * pulse };
            let coarse = Coarse::new(shape, 1000, 10 * periods, 8).unwrap();
            let points = coarse.fft.len() * (coarse.twiddles.len() / coarse.fft.len() + 1);
            let mut scratch = coarse.scratch(s);
            let mut echo = vec![zero(s); n_ipp * shape.stride()];
            let mut state = 1u32;
            for (at, x) in echo.iter_mut().enumerate() {
                for lane in 0..8 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    x.re[lane] = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
                    x.im[lane] = (state >> 5) as f32 / (1 << 26) as f32 - 1.0;
                }
                // In the last lane the sharp one, in the one before a single peak.
                let l = at % shape.stride();
                let turned = phasor(l, 2 * points);
                let ends = l == 0 || l + 1 == pulse;
                [x.re[7], x.im[7]] = if ends { turned } else { [0.0, 0.0] };
                [x.re[6], x.im[6]] = turned;
            }
            let mut greatest = vec![[0.0f32; 8]; periods];
            coarse.rows(s, &echo, None, &mut scratch, &mut greatest);
            let mut sharpest = f64::MAX;
            for (k1, greatest) in greatest.iter().enumerate() {
                for lane in 0..8 {
                    let row: Vec<[f64; 2]> = (0..pulse)
                        .map(|l| {
                            let mut sum = [0.0; 2];
                            for k in 0..n_ipp {
                                let x = echo[k * shape.stride() + l];
                                let (re, im) = (f64::from(x.re[lane]), f64::from(x.im[lane]));
                                let angle =
                                    -std::f64::consts::TAU * (k * k1) as f64 / periods as f64;
                                let (sin, cos) = angle.sin_cos();
                                sum[0] += re * cos - im * sin;
                                sum[1] += re * sin + im * cos;
                            }
                            sum
                        })
                        .collect();
                    let fine = (0..64 * pulse).map(|at| {
                        let mut sum = [0.0; 2];
                        for (l, [re, im]) in row.iter().enumerate() {
                            let angle =
                                -std::f64::consts::TAU * (l * at) as f64 / (64 * pulse) as f64;
                            let (sin, cos) = angle.sin_cos();
                            sum[0] += re * cos - im * sin;
                            sum[1] += re * sin + im * cos;
                        }
                        sum[0] * sum[0] + sum[1] * sum[1]
                    });
                    let fine = fine.fold(0.0, f64::max);
                    if fine < 1e-6 {
                        continue; // A row in which the periods cancel.
                    }
                    let share = f64::from(greatest[lane]) / fine;
                    let least = coarse.hidden().powi(2);
                    assert!(share >= least * (1.0 - 1e-4), "{share} {least}, lane {lane}");
                    sharpest = sharpest.min(share / least);
                }
            }
            // Where its peaks, `pulse - 1` of them, all lie in the middle between points.
            if pulse == 2 {
                assert!(sharpest < 1.01, "the sharp polynomial is not sharp: {sharpest}");
            }
        }
    }
}
