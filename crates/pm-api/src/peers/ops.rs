//! Operations of reductions.

use std::fmt;

use bytemuck::Pod;

/// The type of a number, for backends that have reductions of their own for some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are Rust's own names")]
pub enum Scalar {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
}

/// The name of an operation, for backends that have some of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the operations of these names are documented")]
pub enum OpName {
    Sum,
    Prod,
    Min,
    Max,
    And,
    Or,
    Xor,
}

/// What an operation is called elsewhere: which one, over which numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Native {
    /// The operation.
    pub op: OpName,
    /// The numbers.
    pub scalar: Scalar,
}

/// An operation on numbers of type `T` that reductions know by name.
///
/// Any other operation is given as a function: [`PeersExt::all_reduce_by`](crate::PeersExt).
pub trait Op<T: Pod>: Copy + Send + Sync {
    /// What the reduction of nothing is; `IDENTITY op x` is `x` for every number `x`.
    const IDENTITY: T;
    /// What it is called elsewhere, if it is known there.
    const NATIVE: Option<Native>;
    /// `a op b`.
    fn apply(self, a: T, b: T) -> T;
}

/// The sum. Whole numbers wrap around (modulo 2 to their bits), in every build. Of floats it is what
/// IEEE 754 says; which NaN comes of one among them is left to the processor.
#[derive(Debug, Clone, Copy)]
pub struct Sum;

/// The product. Whole numbers wrap around, as in [`Sum`].
#[derive(Debug, Clone, Copy)]
pub struct Prod;

/// The least. Of floats with a NaN among them it is NaN (always the same one, `f64::NAN`), and -0
/// is less than +0: `minimum` of IEEE 754-2019. Of none it is the greatest number, or +infinity.
#[derive(Debug, Clone, Copy)]
pub struct Min;

/// The greatest; with NaN and zeros as for [`Min`].
#[derive(Debug, Clone, Copy)]
pub struct Max;

/// Whole numbers, bit by bit: both.
#[derive(Debug, Clone, Copy)]
pub struct And;

/// Whole numbers, bit by bit: either or both.
#[derive(Debug, Clone, Copy)]
pub struct Or;

/// Whole numbers, bit by bit: either and not both.
#[derive(Debug, Clone, Copy)]
pub struct Xor;

macro_rules! ops {
    ($scalar:ident, $t:ty; $($op:ident: $identity:expr, |$a:ident, $b:ident| $value:expr;)*) => { $(
        impl Op<$t> for $op {
            const IDENTITY: $t = $identity;
            const NATIVE: Option<Native> = Some(Native { op: OpName::$op, scalar: Scalar::$scalar });
            #[inline]
            fn apply(self, $a: $t, $b: $t) -> $t {
                $value
            }
        }
    )* };
}

macro_rules! whole {
    ($($scalar:ident $t:ty),*) => { $( ops! { $scalar, $t;
        Sum: 0, |a, b| a.wrapping_add(b);
        Prod: 1, |a, b| a.wrapping_mul(b);
        Min: <$t>::MAX, |a, b| a.min(b);
        Max: <$t>::MIN, |a, b| a.max(b);
        And: !0, |a, b| a & b;
        Or: 0, |a, b| a | b;
        Xor: 0, |a, b| a ^ b;
    } )* };
}

macro_rules! floats {
    ($($scalar:ident $t:ident),*) => { $( ops! { $scalar, $t;
        // -0, because -0 + -0 is -0 and 0 + -0 is not.
        Sum: -0.0, |a, b| a + b;
        Prod: 1.0, |a, b| a * b;
        Min: $t::INFINITY, |a, b| {
            if a.is_nan() || b.is_nan() {
                $t::NAN
            } else if a < b || (a == b && a.is_sign_negative()) {
                a
            } else {
                b
            }
        };
        Max: $t::NEG_INFINITY, |a, b| {
            if a.is_nan() || b.is_nan() {
                $t::NAN
            } else if a > b || (a == b && a.is_sign_positive()) {
                a
            } else {
                b
            }
        };
    } )* };
}

whole!(I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64);
floats!(F32 f32, F64 f64);

/// An operation over bytes, as backends apply it.
pub struct Fold<'a> {
    element: usize,
    native: Option<Native>,
    apply: &'a (dyn Fn(&mut [u8], &[u8]) + Sync),
}

impl<'a> Fold<'a> {
    /// Makes a fold of elements of `element` bytes, by a function that does
    /// `acc[i] = acc[i] op next[i]` for all of them, at any alignment.
    #[must_use]
    pub fn new(
        element: usize,
        native: Option<Native>,
        apply: &'a (dyn Fn(&mut [u8], &[u8]) + Sync),
    ) -> Self {
        Self { element, native, apply }
    }

    /// The bytes of an element; buffers hold a whole number of them. At least 1.
    #[must_use]
    pub fn element(&self) -> usize {
        self.element
    }

    /// What the operation is called elsewhere. Only of use where the order of the fold is kept, or
    /// does not matter.
    #[must_use]
    pub fn native(&self) -> Option<Native> {
        self.native
    }

    /// Folds `next` into `acc`: `acc[i] = acc[i] op next[i]`. Elements may lie at any alignment;
    /// where they lie at their own it is quick.
    ///
    /// A user's operation may panic.
    pub fn apply(&self, acc: &mut [u8], next: &[u8]) {
        (self.apply)(acc, next);
    }
}

impl fmt::Debug for Fold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fold")
            .field("element", &self.element)
            .field("native", &self.native)
            .finish_non_exhaustive()
    }
}

/// `acc[i] = op(acc[i], next[i])` over the bytes of numbers.
pub(super) fn fold_bytes<T: Pod>(acc: &mut [u8], next: &[u8], op: impl Fn(T, T) -> T) {
    let size = size_of::<T>();
    match (bytemuck::try_cast_slice_mut::<u8, T>(acc), bytemuck::try_cast_slice::<u8, T>(next)) {
        (Ok(acc), Ok(next)) => acc.iter_mut().zip(next).for_each(|(a, b)| *a = op(*a, *b)),
        _ => {
            for (a, b) in acc.chunks_exact_mut(size).zip(next.chunks_exact(size)) {
                let value = op(bytemuck::pod_read_unaligned(a), bytemuck::pod_read_unaligned(b));
                a.copy_from_slice(bytemuck::bytes_of(&value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_change_nothing_to_the_bit() {
        for x in [0.0, -0.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
            let same = |y: f64| assert_eq!(y.to_bits(), x.to_bits(), "{x}");
            same(Sum.apply(Sum::IDENTITY, x));
            same(Prod.apply(Prod::IDENTITY, x));
            same(Min.apply(Min::IDENTITY, x));
            same(Max.apply(Max::IDENTITY, x));
        }
        for x in [0_i64, -1, i64::MIN, i64::MAX] {
            assert_eq!(Min.apply(Min::IDENTITY, x), x);
            assert_eq!(Max.apply(Max::IDENTITY, x), x);
            assert_eq!(And.apply(And::IDENTITY, x), x);
            assert_eq!(Xor.apply(Xor::IDENTITY, x), x);
        }
    }

    #[test]
    fn extremes_know_nan_and_the_two_zeros_from_either_side() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, -f64::NAN), (f64::NAN, f64::NAN)] {
            assert_eq!(Min.apply(a, b).to_bits(), f64::NAN.to_bits());
            assert_eq!(Max.apply(a, b).to_bits(), f64::NAN.to_bits());
        }
        for (a, b) in [(0.0_f32, -0.0), (-0.0, 0.0)] {
            assert!(Min.apply(a, b).is_sign_negative());
            assert!(Max.apply(a, b).is_sign_positive());
        }
        assert_eq!((Min.apply(2.0, 1.0), Max.apply(2.0, 1.0)), (1.0, 2.0));
        assert_eq!((Min.apply(1.0, 2.0), Max.apply(1.0, 2.0)), (1.0, 2.0));
        assert_eq!((Sum.apply(u8::MAX, 2), Prod.apply(u8::MAX, 2)), (1, 254));
    }

    #[test]
    fn alignment_does_not_matter() {
        let numbers = [1.5_f64, -2.0, 3.0];
        let mut bytes = [0; 25];
        bytes[1..].copy_from_slice(bytemuck::cast_slice(&numbers));
        for offset in 0..8 {
            let mut acc = vec![0; 24 + offset];
            acc[offset..].copy_from_slice(bytemuck::cast_slice(&numbers));
            fold_bytes(&mut acc[offset..], &bytes[1..], |a: f64, b| a * b);
            let back: Vec<f64> = crate::array::from_bytes(&acc[offset..]).unwrap();
            assert_eq!(back, [2.25, 4.0, 9.0]);
        }
    }
}
