//! Small discrete Fourier transforms, on registers.

use crate::simd::{C, Complex, Simd, add, sub};

/// A transform of `R` numbers: `X[k] = sum over n of x[n] exp(-2 pi i n k / R)`.
pub(crate) trait Dft<S: Simd, const R: usize> {
    fn dft(s: S, x: [C<S>; R]) -> [C<S>; R];
}

/// A transform of `R` numbers.
#[inline(always)]
pub(crate) fn dft<S: Simd, const R: usize>(s: S, x: [C<S>; R]) -> [C<S>; R]
where
    Small: Dft<S, R>,
{
    <Small as Dft<S, R>>::dft(s, x)
}

/// Has every [`Dft`] of the radices in [`RADICES`].
pub(crate) struct Small;

/// The radices, and about how many instructions a transform takes.
pub(crate) const RADICES: [(usize, usize); 15] = [
    (2, 4),
    (3, 12),
    (4, 16),
    (5, 36),
    (6, 36),
    (7, 66),
    (8, 56),
    (9, 88),
    (10, 92),
    (11, 150),
    (12, 96),
    (13, 204),
    (14, 160),
    (15, 168),
    (16, 160),
];

/// Runs `$body` with the constant `$R` equal to `$radix`, which is one of [`RADICES`] or 1.
macro_rules! with_radix {
    ($radix:expr, $R:ident => $body:expr) => {
        with_radix!(@arms $radix, $R, $body, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@arms $radix:expr, $R:ident, $body:expr, $($n:literal)*) => {
        match $radix {
            $($n => {
                const $R: usize = $n;
                $body
            })*
            other => unreachable!("no transform of radix {other} is planned"),
        }
    };
}
pub(crate) use with_radix;

/// `a * -i`.
#[inline(always)]
fn turned<S: Simd>(s: S, a: C<S>) -> C<S> {
    Complex { re: a.im, im: s.sub(s.splat(0.0), a.re) }
}

/// `a - i b`.
#[inline(always)]
fn add_turned<S: Simd>(s: S, a: C<S>, b: C<S>) -> C<S> {
    Complex { re: s.add(a.re, b.im), im: s.sub(a.im, b.re) }
}

/// `a + i b`.
#[inline(always)]
fn sub_turned<S: Simd>(s: S, a: C<S>, b: C<S>) -> C<S> {
    Complex { re: s.sub(a.re, b.im), im: s.add(a.im, b.re) }
}

/// `a (re + i im)` for a constant.
#[inline(always)]
fn by<S: Simd>(s: S, a: C<S>, re: f32, im: f32) -> C<S> {
    let (re, im) = (s.splat(re), s.splat(im));
    Complex { re: s.mul_sub(a.re, re, s.mul(a.im, im)), im: s.mul_add(a.re, im, s.mul(a.im, re)) }
}

/// `a exp(-i pi / 4)`.
#[inline(always)]
fn eighth<S: Simd>(s: S, a: C<S>) -> C<S> {
    let half = s.splat(std::f32::consts::FRAC_1_SQRT_2);
    Complex { re: s.mul(s.add(a.re, a.im), half), im: s.mul(s.sub(a.im, a.re), half) }
}

/// `a exp(-3 i pi / 4)`.
#[inline(always)]
fn three_eighths<S: Simd>(s: S, a: C<S>) -> C<S> {
    let half = s.splat(-std::f32::consts::FRAC_1_SQRT_2);
    Complex { re: s.mul(s.sub(a.re, a.im), half), im: s.mul(s.add(a.re, a.im), half) }
}

impl<S: Simd> Dft<S, 1> for Small {
    #[inline(always)]
    fn dft(_: S, x: [C<S>; 1]) -> [C<S>; 1] {
        x
    }
}

impl<S: Simd> Dft<S, 2> for Small {
    #[inline(always)]
    fn dft(s: S, [a, b]: [C<S>; 2]) -> [C<S>; 2] {
        [add(s, a, b), sub(s, a, b)]
    }
}

impl<S: Simd> Dft<S, 4> for Small {
    #[inline(always)]
    fn dft(s: S, [a, b, c, d]: [C<S>; 4]) -> [C<S>; 4] {
        let (ac, bd) = (add(s, a, c), add(s, b, d));
        let (a_c, b_d) = (sub(s, a, c), sub(s, b, d));
        [add(s, ac, bd), add_turned(s, a_c, b_d), sub(s, ac, bd), sub_turned(s, a_c, b_d)]
    }
}

impl<S: Simd> Dft<S, 8> for Small {
    #[inline(always)]
    fn dft(s: S, [a, b, c, d, e, f, g, h]: [C<S>; 8]) -> [C<S>; 8] {
        let even = dft::<S, 4>(s, [a, c, e, g]);
        let odd = dft::<S, 4>(s, [b, d, f, h]);
        let (one, three) = (eighth(s, odd[1]), three_eighths(s, odd[3]));
        [
            add(s, even[0], odd[0]),
            add(s, even[1], one),
            add_turned(s, even[2], odd[2]),
            add(s, even[3], three),
            sub(s, even[0], odd[0]),
            sub(s, even[1], one),
            sub_turned(s, even[2], odd[2]),
            sub(s, even[3], three),
        ]
    }
}

impl<S: Simd> Dft<S, 16> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 16]) -> [C<S>; 16] {
        /// `cos(pi / 8)` and `sin(pi / 8)`.
        const COS: f32 = 0.923_879_5;
        const SIN: f32 = 0.382_683_43;
        let a = dft::<S, 4>(s, [x[0], x[4], x[8], x[12]]);
        let b = dft::<S, 4>(s, [x[1], x[5], x[9], x[13]]);
        let c = dft::<S, 4>(s, [x[2], x[6], x[10], x[14]]);
        let d = dft::<S, 4>(s, [x[3], x[7], x[11], x[15]]);
        let r0 = dft::<S, 4>(s, [a[0], b[0], c[0], d[0]]);
        let (b1, c1, d1) = (by(s, b[1], COS, -SIN), eighth(s, c[1]), by(s, d[1], SIN, -COS));
        let r1 = dft::<S, 4>(s, [a[1], b1, c1, d1]);
        let (b2, c2, d2) = (eighth(s, b[2]), turned(s, c[2]), three_eighths(s, d[2]));
        let r2 = dft::<S, 4>(s, [a[2], b2, c2, d2]);
        let (b3, c3, d3) = (by(s, b[3], SIN, -COS), three_eighths(s, c[3]), by(s, d[3], -COS, SIN));
        let r3 = dft::<S, 4>(s, [a[3], b3, c3, d3]);
        [
            r0[0], r1[0], r2[0], r3[0], r0[1], r1[1], r2[1], r3[1], r0[2], r1[2], r2[2], r3[2],
            r0[3], r1[3], r2[3], r3[3],
        ]
    }
}

impl<S: Simd> Dft<S, 9> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 9]) -> [C<S>; 9] {
        /// `cos` and `sin` of `2 pi n / 9` for `n` of 1, 2 and 4.
        const ONE: [f32; 2] = [0.766_044_44, 0.642_787_6];
        const TWO: [f32; 2] = [0.173_648_18, 0.984_807_8];
        const FOUR: [f32; 2] = [-0.939_692_6, 0.342_020_15];
        let a = dft::<S, 3>(s, [x[0], x[3], x[6]]);
        let b = dft::<S, 3>(s, [x[1], x[4], x[7]]);
        let c = dft::<S, 3>(s, [x[2], x[5], x[8]]);
        let r0 = dft::<S, 3>(s, [a[0], b[0], c[0]]);
        let (b1, c1) = (by(s, b[1], ONE[0], -ONE[1]), by(s, c[1], TWO[0], -TWO[1]));
        let r1 = dft::<S, 3>(s, [a[1], b1, c1]);
        let (b2, c2) = (by(s, b[2], TWO[0], -TWO[1]), by(s, c[2], FOUR[0], -FOUR[1]));
        let r2 = dft::<S, 3>(s, [a[2], b2, c2]);
        [r0[0], r1[0], r2[0], r0[1], r1[1], r2[1], r0[2], r1[2], r2[2]]
    }
}

/// A transform of an odd prime `P = 2 H + 1`: sums and differences of pairs, then the sums over
/// the pairs written out. `cos[n - 1]` and `sin[n - 1]` are of `2 pi n / P`.
#[inline(always)]
fn odd<S: Simd, const P: usize, const H: usize>(
    s: S,
    x: [C<S>; P],
    cos: [f32; H],
    sin: [f32; H],
) -> [C<S>; P] {
    let mut sums = [x[0]; H];
    let mut differences = [x[0]; H];
    for n in 0..H {
        sums[n] = add(s, x[n + 1], x[P - 1 - n]);
        differences[n] = sub(s, x[n + 1], x[P - 1 - n]);
    }
    let mut out = x;
    for sum in sums {
        out[0] = add(s, out[0], sum);
    }
    for k in 1..=H {
        let mut even = x[0];
        let mut uneven = x[0];
        for n in 1..=H {
            // The angle of n k, as one of 1 to H, and on which side.
            let angle = n * k % P;
            let (at, sign) = if angle <= H { (angle, 1.0) } else { (P - angle, -1.0) };
            let (cos, sin) = (s.splat(cos[at - 1]), s.splat(sign * sin[at - 1]));
            even = Complex {
                re: s.mul_add(sums[n - 1].re, cos, even.re),
                im: s.mul_add(sums[n - 1].im, cos, even.im),
            };
            uneven = if n == 1 {
                Complex { re: s.mul(differences[0].re, sin), im: s.mul(differences[0].im, sin) }
            } else {
                Complex {
                    re: s.mul_add(differences[n - 1].re, sin, uneven.re),
                    im: s.mul_add(differences[n - 1].im, sin, uneven.im),
                }
            };
        }
        out[k] = add_turned(s, even, uneven);
        out[P - k] = sub_turned(s, even, uneven);
    }
    out
}

impl<S: Simd> Dft<S, 3> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 3]) -> [C<S>; 3] {
        odd::<S, 3, 1>(s, x, [-0.5], [0.866_025_4])
    }
}

impl<S: Simd> Dft<S, 5> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 5]) -> [C<S>; 5] {
        odd::<S, 5, 2>(s, x, [0.309_017, -0.809_017], [0.951_056_5, 0.587_785_24])
    }
}

impl<S: Simd> Dft<S, 7> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 7]) -> [C<S>; 7] {
        let cos = [0.623_489_8, -0.222_520_93, -0.900_968_85];
        odd::<S, 7, 3>(s, x, cos, [0.781_831_5, 0.974_927_9, 0.433_883_73])
    }
}

impl<S: Simd> Dft<S, 11> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 11]) -> [C<S>; 11] {
        let cos = [0.841_253_5, 0.415_415_02, -0.142_314_84, -0.654_860_73, -0.959_493];
        let sin = [0.540_640_8, 0.909_632, 0.989_821_43, 0.755_749_6, 0.281_732_56];
        odd::<S, 11, 5>(s, x, cos, sin)
    }
}

impl<S: Simd> Dft<S, 13> for Small {
    #[inline(always)]
    fn dft(s: S, x: [C<S>; 13]) -> [C<S>; 13] {
        let cos =
            [0.885_456, 0.568_064_75, 0.120_536_68, -0.354_604_9, -0.748_510_8, -0.970_941_84];
        let sin =
            [0.464_723_17, 0.822_983_9, 0.992_708_86, 0.935_016_3, 0.663_122_65, 0.239_315_66];
        odd::<S, 13, 6>(s, x, cos, sin)
    }
}

/// The inverse of `a` modulo `m`, which have no common factor.
const fn inverse(a: usize, m: usize) -> usize {
    let mut x = 1;
    while a * x % m != 1 % m {
        x += 1;
    }
    x
}

/// A transform of `N = A B`, which have no common factor: both are done without twiddles in
/// between (Good and Thomas).
#[inline(always)]
fn coprime<S: Simd, const A: usize, const B: usize, const N: usize>(s: S, x: [C<S>; N]) -> [C<S>; N]
where
    Small: Dft<S, A> + Dft<S, B>,
{
    let to_a = const { B * inverse(B, A) };
    let to_b = const { A * inverse(A, B) };
    let mut rows = x;
    for a in 0..A {
        let mut row = [x[0]; B];
        for b in 0..B {
            row[b] = x[(B * a + A * b) % N];
        }
        let row = dft(s, row);
        for b in 0..B {
            rows[a * B + b] = row[b];
        }
    }
    let mut out = x;
    for b in 0..B {
        let mut column = [x[0]; A];
        for a in 0..A {
            column[a] = rows[a * B + b];
        }
        let column = dft(s, column);
        for a in 0..A {
            out[(to_a * a + to_b * b) % N] = column[a];
        }
    }
    out
}

macro_rules! coprime {
    ($($n:literal = $a:literal * $b:literal),*) => {
        $(impl<S: Simd> Dft<S, $n> for Small {
            #[inline(always)]
            fn dft(s: S, x: [C<S>; $n]) -> [C<S>; $n] {
                coprime::<S, $a, $b, $n>(s, x)
            }
        })*
    };
}
coprime!(6 = 2 * 3, 10 = 2 * 5, 12 = 3 * 4, 14 = 2 * 7, 15 = 3 * 5);
