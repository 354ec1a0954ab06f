//! The level of every processor: arrays, which the compiler turns into what vectors there are.

use super::{Kernel, Simd};

/// Eight lanes, needing nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

type Eight = [f32; 8];

#[inline(always)]
fn map(a: Eight, b: Eight, f: impl Fn(f32, f32) -> f32) -> Eight {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// Whether the target has instructions that multiply and add in one rounding.
const HAS_FUSED: bool =
    cfg!(any(target_feature = "fma", target_arch = "aarch64", target_arch = "riscv64"));

/// `a * b + c`, rounded once.
#[inline(always)]
fn fused(a: Eight, b: Eight, c: Eight) -> Eight {
    let mut out = [0.0; 8];
    if HAS_FUSED {
        for i in 0..8 {
            out[i] = a[i].mul_add(b[i], c[i]);
        }
        return out;
    }
    // The product is exact in double precision. The sum is rounded, and then again to single
    // precision: that differs from rounding once only where the first one made a tie, whose bits
    // are these, or where single precision has fewer bits than usual.
    const TIE: u32 = 1 << 28;
    const BELOW: u32 = (1 << 29) - 1;
    let mut doubtful = false;
    for i in 0..8 {
        let sum = f64::from(a[i]) * f64::from(b[i]) + f64::from(c[i]);
        out[i] = sum as f32;
        doubtful |= sum.to_bits() as u32 & BELOW == TIE;
        doubtful |= (out[i].abs() < f32::MIN_POSITIVE) & (sum != 0.0);
    }
    if doubtful {
        for i in 0..8 {
            out[i] = fused_with_care(a[i], b[i], c[i]);
        }
    }
    out
}

/// `a * b + c`, rounded once: the sum in double precision is rounded to odd, towards the side of
/// what is lost, which the second rounding then sees (Boldo and Melquiond, 2008).
#[cold]
fn fused_with_care(a: f32, b: f32, c: f32) -> f32 {
    let (p, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = p + c;
    let part = sum - p;
    let lost = (p - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    let odd = if (lost > 0.0) == (sum > 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = lost.abs() > 0.0; // Not of NaN.
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

impl Simd for Portable {
    type V = Eight;

    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> Eight {
        [x; 8]
    }

    #[inline(always)]
    fn add(self, a: Eight, b: Eight) -> Eight {
        map(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Eight, b: Eight) -> Eight {
        map(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Eight, b: Eight) -> Eight {
        map(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, a: Eight, b: Eight, c: Eight) -> Eight {
        fused(a, b, c)
    }

    #[inline(always)]
    fn mul_sub(self, a: Eight, b: Eight, c: Eight) -> Eight {
        fused(a, b, c.map(|c| -c))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Eight, b: Eight, c: Eight) -> Eight {
        fused(a.map(|a| -a), b, c)
    }

    #[inline(always)]
    fn max(self, a: Eight, b: Eight) -> Eight {
        map(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Eight {
        *from.first_chunk().expect("as many as there are lanes")
    }

    #[inline(always)]
    fn floats(vectors: &[Eight]) -> &[f32] {
        vectors.as_flattened()
    }

    #[inline(always)]
    fn floats_mut(vectors: &mut [Eight]) -> &mut [f32] {
        vectors.as_flattened_mut()
    }

    #[inline(always)]
    fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The emulation rounds once, as the instruction does, in ties and near them too.
    #[test]
    fn products_are_added_in_one_rounding() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        };
        let mut number = |spread: i32| {
            // Few bits, so that sums tie often.
            let mantissa = (next() % 64 + 1) as f32 * if next() % 2 == 0 { 1.0 } else { -1.0 };
            mantissa * 2f32.powi(next() as i32 % spread) + (next() % 3) as f32
        };
        for _ in 0..300_000 {
            let (a, b, c) = (number(12), number(12), number(40));
            let expected = a.mul_add(b, c);
            assert_eq!(fused([a; 8], [b; 8], [c; 8]), [expected; 8], "{a} * {b} + {c}");
            assert_eq!(fused_with_care(a, b, c), expected, "{a} * {b} + {c}");
        }
        let odd = [0.0, -0.0, 1.0, f32::MIN_POSITIVE, 1e-40, f32::MAX, f32::INFINITY, -1.5e-23];
        for a in odd {
            for b in odd {
                for c in odd {
                    let expected = a.mul_add(b, c);
                    for found in [fused([a; 8], [b; 8], [c; 8])[5], fused_with_care(a, b, c)] {
                        let same = found.to_bits() == expected.to_bits();
                        assert!(same || (found.is_nan() && expected.is_nan()), "{a} * {b} + {c}");
                    }
                }
            }
        }
    }
}
