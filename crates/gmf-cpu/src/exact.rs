//! One row of frequencies of one gate, at every one of its points: what the results are made of.

use crate::chirp::Chirp;
use crate::fft::{self, Fft, Registers, phasor};
use crate::simd::{C, Complex, Kernel, MOST_LANES, Simd, greatest, mul, mul_add, splat, zero};

/// What a vector of a period costs in the sum over the periods, and a sample in the input of the
/// transforms, as so many instructions of a transform; fitted, since it is loads from the second
/// cache that these wait for.
const SUM_COST: usize = 26;
const FOLD_COST: usize = 13;

/// The lengths of a transform whose input is zero but for one pulse in each period.
///
/// The last `n_ipp` of the `periods` hold a pulse. Periods are counted from the first of them, and
/// samples from the first of its pulse: that leaves out phases that a row has in common, which no
/// power shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// `K`.
    pub(crate) periods: usize,
    pub(crate) n_ipp: usize,
    /// Samples of a pulse, `L`.
    pub(crate) pulse: usize,
    /// Samples of a period, `P`, not fewer than of a pulse.
    pub(crate) period: usize,
}

impl Shape {
    /// Length of a pulse in planes of one gate: filled up with zeros to whole vectors.
    pub(crate) fn plane(&self) -> usize {
        self.pulse.next_multiple_of(MOST_LANES)
    }

    /// Length of a pulse where a gate is in each lane. Pulses that began at the same place of a page
    /// would fall into the same lines of the cache.
    pub(crate) fn stride(&self) -> usize {
        self.pulse + 1
    }

    /// Points of the whole transform.
    pub(crate) fn points(&self) -> usize {
        self.periods * self.period
    }
}

/// Complex numbers, the real parts and the imaginary parts apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes<'a> {
    pub(crate) re: &'a [f32],
    pub(crate) im: &'a [f32],
}

/// The tables for rows of frequencies; shared by all threads.
///
/// Row `k1` has the frequencies `k1 + K k2`, `k2 < P`, with `w_n = exp(-2 pi i / n)`:
///
/// ```text
/// y[l]          = w_N^(l k1) sum over k of x[k, l] w_K^(k k1)
/// X[k1 + K k2]  = sum over l of y[l] w_P^(l k2)
/// ```
///
/// Where `P = R Q` with a `Q` of small primes, `k2 = r + R q` makes `R` transforms of `Q` points,
///
/// ```text
/// X[k1 + K (r + R q)] = sum over l of (y[l] w_P^(l r)) w_Q^(l q)
/// ```
///
/// one in each lane, whose input is folded to `Q` numbers. Otherwise [`Chirp`] does it.
pub(crate) struct Exact<S: Simd> {
    shape: Shape,
    /// `w_K^(k k1)`, `[periods, n_ipp]`.
    periods: Vec<[f32; 2]>,
    /// `w_N^(l k1)`, `[periods, plane]`.
    row_re: Vec<S::V>,
    row_im: Vec<S::V>,
    points: Points<S>,
    /// What a row costs, in instructions.
    cost: usize,
}

enum Points<S: Simd> {
    Split(Split<S>),
    Chirp(Chirp<S>),
}

/// Memory that one thread needs for a row.
pub(crate) struct RowScratch<S: Simd> {
    re: Vec<S::V>,
    im: Vec<S::V>,
    /// For the transforms.
    pub(crate) work: Vec<C<S>>,
    pub(crate) more: Vec<C<S>>,
    /// Powers of a row, in an order that its [`Points`] know.
    pub(crate) powers: Vec<S::V>,
}

impl<S: Simd> Exact<S> {
    pub(crate) fn new(s: S, shape: Shape) -> Self {
        let mut periods = Vec::with_capacity(shape.periods * shape.n_ipp);
        let mut row_re = vec![s.splat(0.0); shape.periods * shape.plane() / S::LANES];
        let mut row_im = row_re.clone();
        let (re, im) = (S::floats_mut(&mut row_re), S::floats_mut(&mut row_im));
        for k1 in 0..shape.periods {
            periods.extend((0..shape.n_ipp).map(|k| phasor(k * k1, shape.periods)));
            for l in 0..shape.pulse {
                let at = k1 * shape.plane() + l;
                [re[at], im[at]] = phasor(l * k1, shape.points());
            }
        }
        let chirp_cost = Chirp::<S>::cost(&shape);
        let (points, cost) = match Split::<S>::cheapest(&shape) {
            Some((parts, cost)) if cost <= chirp_cost => {
                (Points::Split(Split::new(s, &shape, parts)), cost)
            }
            _ => (Points::Chirp(Chirp::new(s, &shape)), chirp_cost),
        };
        let cost = cost + shape.plane() / S::LANES * (SUM_COST * shape.n_ipp + 8);
        Self { shape, periods, row_re, row_im, points, cost }
    }

    /// About how many instructions a row takes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Bound on the error of any `X` by rounding, as a share of the sum of all `|x|`.
    ///
    /// Every output is a sum of the inputs, each times factors of modulus 1. On its way each passes
    /// at most `depth` roundings, of the real part and of the imaginary part, and each rounding
    /// (and each factor's own) is off by at most half a unit, `EPSILON / 2`, of what passes.
    pub(crate) fn error(&self) -> f64 {
        let (depth, growth) = match &self.points {
            Points::Split(split) => (split.depth, 1.0),
            Points::Chirp(chirp) => (chirp.depth(), chirp.growth()),
        };
        // The phasors of the acceleration, the sum over the periods, the row's own factor.
        let depth = depth + 4 + (self.shape.n_ipp + 4) + 4;
        depth as f64 * f64::from(f32::EPSILON) * growth
    }

    pub(crate) fn scratch(&self, s: S) -> RowScratch<S> {
        let (work, more, powers) = match &self.points {
            Points::Split(split) => (split.fft.len(), 0, split.groups * split.fft.len()),
            Points::Chirp(chirp) => chirp.scratch(),
        };
        RowScratch {
            re: vec![s.splat(0.0); self.shape.plane() / S::LANES],
            im: vec![s.splat(0.0); self.shape.plane() / S::LANES],
            work: vec![zero(s); work],
            more: vec![zero(s); more],
            powers: vec![s.splat(0.0); powers],
        }
    }

    /// The greatest power of row `k1` of `echo * phasors`, both `[n_ipp, plane]`.
    pub(crate) fn row(
        &self,
        s: S,
        echo: Planes<'_>,
        phasors: Option<Planes<'_>>,
        k1: usize,
        scratch: &mut RowScratch<S>,
    ) -> f32 {
        s.run(SumPeriods { exact: self, echo, phasors, k1, scratch });
        match &self.points {
            Points::Split(split) => split.powers(s, &self.shape, scratch),
            Points::Chirp(chirp) => chirp.powers(s, scratch),
        }
    }

    /// The point `k2` of the row computed last that has the power `power`, and of several the one
    /// for which `order` is lowest; with that.
    pub(crate) fn find(
        &self,
        s: S,
        power: f32,
        scratch: &RowScratch<S>,
        order: impl Fn(usize) -> usize,
    ) -> Option<(usize, usize)> {
        let powers = S::floats(&scratch.powers);
        let mut best = None;
        let mut from = 0;
        while let Some(at) = s.run(Find { powers, from, power }) {
            let k2 = match &self.points {
                Points::Split(split) => split.point(at),
                Points::Chirp(chirp) => chirp.point(at),
            };
            if let Some(found) = k2.map(|k2| (order(k2), k2)) {
                best = Some(best.map_or(found, |best: (usize, usize)| best.min(found)));
            }
            from = at + 1;
        }
        best
    }
}

/// The first index, not below `from`, at which `powers` is `power`.
struct Find<'a> {
    powers: &'a [f32],
    from: usize,
    power: f32,
}

impl<S: Simd> Kernel<S> for Find<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run(self, _: S) -> Option<usize> {
        let Self { powers, mut from, power } = self;
        while from < powers.len() {
            if let Some(chunk) = powers[from..].first_chunk::<{ 4 * MOST_LANES }>() {
                let mut any = false;
                for p in chunk {
                    any |= *p == power;
                }
                if !any {
                    from += chunk.len();
                    continue;
                }
            }
            if powers[from] == power {
                return Some(from);
            }
            from += 1;
        }
        None
    }
}

impl<S: Simd> RowScratch<S> {
    /// The sum over the periods, `y`, as one number for all lanes.
    #[inline(always)]
    pub(crate) fn summed(&self) -> Planes<'_> {
        Planes { re: S::floats(&self.re), im: S::floats(&self.im) }
    }
}

#[inline(always)]
fn load<S: Simd>(s: S, planes: Planes<'_>, at: usize) -> C<S> {
    Complex { re: s.load(&planes.re[at..]), im: s.load(&planes.im[at..]) }
}

/// Writes `y` of a row into the scratch.
struct SumPeriods<'a, S: Simd> {
    exact: &'a Exact<S>,
    echo: Planes<'a>,
    phasors: Option<Planes<'a>>,
    k1: usize,
    scratch: &'a mut RowScratch<S>,
}

impl<S: Simd> Kernel<S> for SumPeriods<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { exact, echo, phasors, k1, scratch } = self;
        let (n_ipp, plane) = (exact.shape.n_ipp, exact.shape.plane());
        let weights = &exact.periods[k1 * n_ipp..][..n_ipp];
        let row = Planes { re: S::floats(&exact.row_re), im: S::floats(&exact.row_im) };
        for (n, (re, im)) in scratch.re.iter_mut().zip(&mut scratch.im).enumerate() {
            let l = n * S::LANES;
            let mut sum = zero(s);
            for (k, &weight) in weights.iter().enumerate() {
                let mut x = load(s, echo, k * plane + l);
                if let Some(phasors) = phasors {
                    x = mul(s, x, load(s, phasors, k * plane + l));
                }
                sum = mul_add(s, x, splat(s, weight), sum);
            }
            let y = mul(s, sum, load(s, row, k1 * plane + l));
            (*re, *im) = (y.re, y.im);
        }
    }
}

/// The points of a row by transforms of `Q` points in the lanes.
struct Split<S: Simd> {
    /// `R`.
    parts: usize,
    /// Vectors that hold a lane for each part.
    groups: usize,
    /// Of `Q` points.
    fft: Fft,
    depth: usize,
    /// The point within its part, at each position of the output.
    frequencies: Vec<u32>,
    /// `w_P^(l r)`, `[groups, pulse]`; zero in lanes without a part.
    twiddles: Vec<C<S>>,
}

impl<S: Simd> Split<S> {
    /// The best number of parts, and what it costs. Must not depend on the level, or the bytes of
    /// the results would.
    fn cheapest(shape: &Shape) -> Option<(usize, usize)> {
        let divisors = (1..=shape.period).filter(|parts| shape.period.is_multiple_of(*parts));
        divisors
            .filter_map(|parts| {
                let points = shape.period / parts;
                let groups = parts.div_ceil(MOST_LANES);
                let group =
                    fft::cost(points, Registers::ThirtyTwo)? + FOLD_COST * shape.pulse.max(points);
                Some((groups * group * MOST_LANES / S::LANES, parts))
            })
            .min()
            .map(|(cost, parts)| (parts, cost))
    }

    fn new(s: S, shape: &Shape, parts: usize) -> Self {
        let points = shape.period / parts;
        let fft = Fft::new(points, Registers::ThirtyTwo)
            .expect("only such numbers of points have a cost");
        let groups = parts.div_ceil(S::LANES);
        let mut twiddles = vec![zero(s); groups * shape.pulse];
        for part in 0..parts {
            for l in 0..shape.pulse {
                let to = &mut twiddles[part / S::LANES * shape.pulse + l];
                let [re, im] = phasor(l * part, shape.period);
                S::floats_mut(std::slice::from_mut(&mut to.re))[part % S::LANES] = re;
                S::floats_mut(std::slice::from_mut(&mut to.im))[part % S::LANES] = im;
            }
        }
        let depth = 4 + shape.pulse.div_ceil(points) + fft.depth();
        Self { parts, groups, frequencies: fft.frequencies(), fft, depth, twiddles }
    }

    fn powers(&self, s: S, shape: &Shape, scratch: &mut RowScratch<S>) -> f32 {
        let points = self.fft.len();
        let mut most = s.splat(0.0);
        for group in 0..self.groups {
            let twiddles = &self.twiddles[group * shape.pulse..][..shape.pulse];
            s.run(Fold { points, twiddles, scratch });
            let RowScratch { work, powers, .. } = scratch;
            let powers = &mut powers[group * points..][..points];
            most = s.max(self.fft.powers(s, work, powers), most);
        }
        greatest::<S>(most)
    }

    /// `k2` of the power with the number `at`.
    fn point(&self, at: usize) -> Option<usize> {
        let (vector, lane) = (at / S::LANES, at % S::LANES);
        let points = self.fft.len();
        let part = vector / points * S::LANES + lane;
        let q = self.frequencies[vector % points] as usize;
        (part < self.parts).then_some(part + self.parts * q)
    }
}

/// Multiplies `y` with the twiddles of a group of parts, and folds it to as many numbers as there
/// are points.
struct Fold<'a, S: Simd> {
    points: usize,
    twiddles: &'a [C<S>],
    scratch: &'a mut RowScratch<S>,
}

impl<S: Simd> Kernel<S> for Fold<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { points, twiddles, scratch } = self;
        let RowScratch { re, im, work, .. } = scratch;
        let y = Planes { re: S::floats(re), im: S::floats(im) };
        let work = &mut work[..points];
        let first = twiddles.len().min(points);
        for (l, (to, twiddle)) in work.iter_mut().zip(twiddles).enumerate() {
            *to = mul(s, splat(s, [y.re[l], y.im[l]]), *twiddle);
        }
        work[first..].fill(zero(s));
        for (fold, twiddles) in twiddles.chunks(points).enumerate().skip(1) {
            for (q, (to, twiddle)) in work.iter_mut().zip(twiddles).enumerate() {
                let l = fold * points + q;
                *to = mul_add(s, splat(s, [y.re[l], y.im[l]]), *twiddle, *to);
            }
        }
    }
}
