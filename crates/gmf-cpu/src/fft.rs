//! Fourier transforms of whole vectors: every lane is a transform of its own.
//!
//! A transform of `n` numbers is done in place, in passes of [`radix`] transforms, decimated in
//! frequency: a pass of radix `R` over a block of `R m` numbers takes the `m` transforms of numbers
//! `m` apart, multiplies with twiddles, and leaves `R` blocks of `m` for the next. So the
//! frequencies come out in the order of [`Fft::frequencies`], which no user of this crate minds.

pub(crate) mod radix;

use radix::{Dft, RADICES, Small, dft, with_radix};

use crate::simd::{C, Kernel, Simd, mul, power, splat, zero};

/// The plan of a transform, for every level.
#[derive(Debug)]
pub(crate) struct Fft {
    n: usize,
    passes: Vec<Pass>,
}

#[derive(Debug)]
struct Pass {
    radix: usize,
    /// Numbers between those of one small transform.
    stride: usize,
    /// `exp(-2 pi i j k / (radix stride))`, `[stride, radix]`.
    twiddles: Vec<[f32; 2]>,
}

/// `exp(-2 pi i numerator / denominator)`.
pub(crate) fn phasor(numerator: usize, denominator: usize) -> [f32; 2] {
    // Reduced before it is divided, so that long products lose nothing.
    let turns = (numerator % denominator) as f64 / denominator as f64;
    let (sin, cos) = (-std::f64::consts::TAU * turns).sin_cos();
    [cos as f32, sin as f32]
}

/// The registers of a level, which decide what radices are cheap: not the result of a transform,
/// but its last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registers {
    Sixteen,
    /// Also for what must have the same bits at every level.
    ThirtyTwo,
}

impl Registers {
    /// About how many instructions a pass takes, for one lane, as a multiple of 1/16.
    ///
    /// Fitted to times of 40 transforms of 120 to 256 points on a Zen 5.
    fn pass_cost(self, n: usize, radix: usize, last: bool) -> usize {
        let instructions = RADICES[radix - 2].1;
        // Twiddles, their loads and the stores; or the powers.
        let rest = if last { 3 * radix } else { 4 * (radix - 1) + radix };
        let spilled = match (self, radix) {
            (Self::ThirtyTwo, 13..) => {
                if last {
                    19
                } else {
                    26
                }
            }
            (Self::ThirtyTwo, 12) if !last => 19,
            (Self::Sixteen, 9..) => 21,
            _ => 16,
        };
        (instructions + rest) * (n / radix) * spilled
    }
}

/// The cheapest radices for `n`, in the order of their passes, and about how many instructions they
/// take; `None` where `n` has a prime factor that no radix has.
fn cheapest(n: usize, registers: Registers) -> Option<(Vec<usize>, usize)> {
    fn search(
        left: usize,
        n: usize,
        registers: Registers,
        taken: &mut Vec<usize>,
        best: &mut Option<(Vec<usize>, usize)>,
    ) {
        if left == 1 {
            // The last pass has no twiddles: the greatest radix is there.
            let mut order = taken.clone();
            order.sort_unstable();
            let mut cost = 0;
            for (at, &radix) in order.iter().enumerate() {
                cost += registers.pass_cost(n, radix, at + 1 == order.len());
            }
            if best.as_ref().is_none_or(|(_, least)| cost < *least) {
                *best = Some((order, cost));
            }
            return;
        }
        // Not above the ones before, so that each set is tried once.
        let most = taken.last().copied().unwrap_or(usize::MAX);
        for &(radix, _) in RADICES.iter().rev() {
            if radix <= most && left.is_multiple_of(radix) {
                taken.push(radix);
                search(left / radix, n, registers, taken, best);
                taken.pop();
            }
        }
    }
    let mut best = None;
    search(n, n, registers, &mut Vec::new(), &mut best);
    best.map(|(radices, cost)| (radices, cost / 16))
}

/// About how many instructions a transform of `n` numbers takes, if one can be planned.
pub(crate) fn cost(n: usize, registers: Registers) -> Option<usize> {
    cheapest(n, registers).map(|(_, cost)| cost)
}

impl Fft {
    /// A plan for `n` numbers; `None` where `n` has a prime factor above those of the radices.
    pub(crate) fn new(n: usize, registers: Registers) -> Option<Self> {
        let (mut radices, _) = cheapest(n, registers)?;
        // The first and the last pass are always there, and may do nothing.
        while radices.len() < 2 {
            radices.push(1);
        }
        let mut block = n;
        let passes = radices
            .into_iter()
            .map(|radix| {
                let stride = block / radix;
                let twiddles = (0..stride)
                    .flat_map(|j| (0..radix).map(move |k| phasor(j * k, radix * stride)))
                    .collect();
                block = stride;
                Pass { radix, stride, twiddles }
            })
            .collect();
        Some(Self { n, passes })
    }

    pub(crate) fn len(&self) -> usize {
        self.n
    }

    /// At most how many roundings a number meets on its way through, those of the factors included.
    pub(crate) fn depth(&self) -> usize {
        // A small transform adds up `radix` numbers in some order, with two factors at most on the
        // way; then comes a twiddle.
        self.passes.iter().map(|pass| pass.radix + 3 * 4).sum()
    }

    /// The frequency at each position of the output.
    pub(crate) fn frequencies(&self) -> Vec<u32> {
        (0..self.n)
            .map(|position| {
                let (mut frequency, mut weight, mut rest) = (0, 1, position);
                for Pass { radix, stride, .. } in &self.passes {
                    frequency += rest / stride * weight;
                    weight *= radix;
                    rest %= stride;
                }
                frequency as u32
            })
            .collect()
    }

    /// Transforms `data`, `[n]`, in place.
    pub(crate) fn transform<S: Simd>(&self, s: S, data: &mut [C<S>]) {
        for pass in &self.passes {
            with_radix!(pass.radix, R => s.run(InPlace::<S, R> { pass, data }));
        }
    }

    /// Transforms `data`, `[n]`, and writes the power at every position, `[n]`; returns the
    /// greatest in each lane. `data` is left half done.
    pub(crate) fn powers<S: Simd>(&self, s: S, data: &mut [C<S>], powers: &mut [S::V]) -> S::V {
        let [passes @ .., last] = self.passes.as_slice() else {
            unreachable!("there are two passes at least");
        };
        for pass in passes {
            with_radix!(pass.radix, R => s.run(InPlace::<S, R> { pass, data }));
        }
        with_radix!(last.radix, R => s.run(Powers::<S, R> { data, powers }))
    }

    /// Transforms `from`, `[n]`, by way of `work`, `[n]`, and returns the greatest power in each
    /// lane, at least `most`. With `twiddles`, `[n]`, the numbers are multiplied with them first.
    pub(crate) fn greatest_power<S: Simd>(
        &self,
        s: S,
        from: &[C<S>],
        twiddles: Option<&[[f32; 2]]>,
        work: &mut [C<S>],
        most: S::V,
    ) -> S::V {
        let [first, passes @ .., last] = self.passes.as_slice() else {
            unreachable!("there are two passes at least");
        };
        match twiddles {
            None => with_radix!(first.radix, R => {
                s.run(Through::<S, R> { pass: first, from, to: work });
            }),
            Some(twiddles) => with_radix!(first.radix, R => {
                s.run(TwiddledThrough::<S, R> { pass: first, from, twiddles, to: work });
            }),
        }
        for pass in passes {
            with_radix!(pass.radix, R => s.run(InPlace::<S, R> { pass, data: work }));
        }
        with_radix!(last.radix, R => s.run(Greatest::<S, R> { data: work, most }))
    }
}

/// Reads every `stride`th number from `j` on.
///
/// Loops, here and below, rather than closures: those are functions of their own, which the
/// compiler does not take into a function with more features than they have.
#[inline(always)]
fn read<S: Simd, const R: usize>(s: S, from: &[C<S>], stride: usize, j: usize) -> [C<S>; R] {
    let mut x = [zero(s); R];
    for i in 0..R {
        x[i] = from[i * stride + j];
    }
    x
}

/// Writes every `stride`th number from `j` on, times its twiddle.
#[inline(always)]
fn write<S: Simd, const R: usize>(
    s: S,
    x: [C<S>; R],
    twiddles: &[[f32; 2]; R],
    to: &mut [C<S>],
    stride: usize,
    j: usize,
) {
    to[j] = x[0];
    for i in 1..R {
        to[i * stride + j] = mul(s, x[i], splat(s, twiddles[i]));
    }
}

/// One pass in place.
struct InPlace<'a, S: Simd, const R: usize> {
    pass: &'a Pass,
    data: &'a mut [C<S>],
}

impl<S: Simd, const R: usize> Kernel<S> for InPlace<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let stride = self.pass.stride;
        let (twiddles, _) = self.pass.twiddles.as_chunks::<R>();
        if stride == 1 {
            for x in self.data.as_chunks_mut::<R>().0 {
                *x = dft::<S, R>(s, *x);
            }
            return;
        }
        for block in self.data.chunks_exact_mut(R * stride) {
            for (j, twiddles) in twiddles[..stride].iter().enumerate() {
                let x = dft::<S, R>(s, read(s, block, stride, j));
                write(s, x, twiddles, block, stride, j);
            }
        }
    }
}

/// The first pass, from one place to another.
struct Through<'a, S: Simd, const R: usize> {
    pass: &'a Pass,
    from: &'a [C<S>],
    to: &'a mut [C<S>],
}

impl<S: Simd, const R: usize> Kernel<S> for Through<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { pass, from, to } = self;
        let stride = pass.stride;
        let (from, to) = (&from[..R * stride], &mut to[..R * stride]);
        let (twiddles, _) = pass.twiddles.as_chunks::<R>();
        for (j, twiddles) in twiddles[..stride].iter().enumerate() {
            let x = dft::<S, R>(s, read(s, from, stride, j));
            write(s, x, twiddles, to, stride, j);
        }
    }
}

/// The first pass, from one place to another, with a factor for every number.
struct TwiddledThrough<'a, S: Simd, const R: usize> {
    pass: &'a Pass,
    from: &'a [C<S>],
    twiddles: &'a [[f32; 2]],
    to: &'a mut [C<S>],
}

impl<S: Simd, const R: usize> Kernel<S> for TwiddledThrough<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { pass, from, twiddles: factors, to } = self;
        let stride = pass.stride;
        let (from, to) = (&from[..R * stride], &mut to[..R * stride]);
        let factors = &factors[..R * stride];
        let (twiddles, _) = pass.twiddles.as_chunks::<R>();
        for (j, twiddles) in twiddles[..stride].iter().enumerate() {
            let mut x = read::<S, R>(s, from, stride, j);
            for i in 0..R {
                x[i] = mul(s, x[i], splat(s, factors[i * stride + j]));
            }
            write(s, dft::<S, R>(s, x), twiddles, to, stride, j);
        }
    }
}

/// The last pass, of which only the powers are kept.
struct Powers<'a, S: Simd, const R: usize> {
    data: &'a [C<S>],
    powers: &'a mut [S::V],
}

impl<S: Simd, const R: usize> Kernel<S> for Powers<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = S::V;

    #[inline(always)]
    fn run(self, s: S) -> S::V {
        let mut most = s.splat(0.0);
        let (data, _) = self.data.as_chunks::<R>();
        let (powers, _) = self.powers.as_chunks_mut::<R>();
        for (x, powers) in data.iter().zip(powers) {
            let x = dft::<S, R>(s, *x);
            for i in 0..R {
                powers[i] = power(s, x[i]);
                most = s.max(powers[i], most);
            }
        }
        most
    }
}

/// The last pass, of which only the greatest power is kept.
struct Greatest<'a, S: Simd, const R: usize> {
    data: &'a [C<S>],
    most: S::V,
}

impl<S: Simd, const R: usize> Kernel<S> for Greatest<'_, S, R>
where
    Small: Dft<S, R>,
{
    type Output = S::V;

    #[inline(always)]
    fn run(self, s: S) -> S::V {
        let mut most = self.most;
        for x in self.data.as_chunks::<R>().0 {
            let x = dft::<S, R>(s, *x);
            for x in x {
                most = s.max(power(s, x), most);
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Complex, Portable};

    fn check<S: Simd>(s: S, n: usize) {
        for registers in [Registers::Sixteen, Registers::ThirtyTwo] {
            let Some(fft) = Fft::new(n, registers) else { return };
            check_plan(s, n, &fft);
        }
    }

    fn check_plan<S: Simd>(s: S, n: usize, fft: &Fft) {
        let mut state = n as u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 2f32.powi(31) - 1.0
        };
        let mut data: Vec<C<S>> = vec![zero(s); n];
        for Complex { re, im } in &mut data {
            for x in [re, im] {
                for x in S::floats_mut(std::slice::from_mut(x)) {
                    *x = number();
                }
            }
        }
        let lane = |x: &C<S>, lane: usize| {
            [S::floats(&[x.re])[lane], S::floats(&[x.im])[lane]].map(f64::from)
        };
        let before = data.clone();
        let expected = |k: usize, at: usize| {
            let mut sum = [0.0f64; 2];
            for (l, x) in before.iter().enumerate() {
                let [re, im] = lane(x, at);
                let (sin, cos) = (-std::f64::consts::TAU * (l * k % n) as f64 / n as f64).sin_cos();
                sum[0] += re * cos - im * sin;
                sum[1] += re * sin + im * cos;
            }
            sum
        };
        let mut powers = vec![s.splat(0.0); n];
        let most = fft.powers(s, &mut data.clone(), &mut powers);
        let mut work = data.clone();
        let ones = vec![[1.0, 0.0]; n];
        for factors in [None, Some(&ones[..])] {
            let again = fft.greatest_power(s, &before, factors, &mut work, s.splat(0.0));
            assert_eq!(S::floats(&[again]), S::floats(&[most]), "{n}");
        }
        fft.transform(s, &mut data);
        // Errors grow with the root of the passes; this is several times what they are.
        let allowed = 1e-6 * (n as f64).sqrt();
        for (position, &k) in fft.frequencies().iter().enumerate() {
            for at in [0, S::LANES - 1] {
                let (found, expected) = (lane(&data[position], at), expected(k as usize, at));
                let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                assert!(off < allowed, "{n} points, frequency {k}: {found:?} {expected:?}");
                let power = S::floats(&[powers[position]])[at];
                let square = found[0] * found[0] + found[1] * found[1];
                assert!(
                    (f64::from(power) - square).abs() <= 2e-7 * square,
                    "{n}: {power} {square}"
                );
                assert!(S::floats(&[most])[at] >= power);
            }
        }
    }

    /// All lengths that can be planned, among them every radix, alone and with others.
    #[test]
    fn transforms_are_the_sums_written_out() {
        for n in (1..=100).chain([120, 121, 125, 128, 143, 144, 169, 180, 192, 243, 256, 343]) {
            check(Portable, n);
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(s) = crate::simd::Avx2::detect() {
                    check(s, n);
                }
                if let Some(s) = crate::simd::Avx512::detect() {
                    check(s, n);
                }
            }
        }
    }

    #[test]
    fn lengths_with_large_prime_factors_have_no_plan() {
        for n in [17, 34, 97, 1009] {
            let registers = Registers::ThirtyTwo;
            assert!(Fft::new(n, registers).is_none() && cost(n, registers).is_none(), "{n}");
        }
    }
}
