//! Vectors of single-precision numbers: one interface, one implementation for each level.
//!
//! The code of the filter is generic over [`Simd`] and free of unsafe code. It is compiled once for
//! each level, inside a function that has the level's target features: [`Simd::run`].
//!
//! Products are added fused, in one rounding, on every level (where the processor cannot, the
//! portable one does it in double precision), and no order of summation depends on the number of
//! lanes; so every level gives the same bytes.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The greatest number of lanes of any level; sizes that must not depend on the level use it.
pub(crate) const MOST_LANES: usize = 16;

/// A level: proof that this processor has what the level's vectors need.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] numbers; plain memory, aligned to its size.
    type V: Copy + Send + Sync;

    const LANES: usize;

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b - c`, rounded once.
    fn mul_sub(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`, rounded once.
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater in each lane; `b` where one of them is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;

    /// The numbers at the start of `from`, which has [`Simd::LANES`] at least, aligned or not.
    fn load(self, from: &[f32]) -> Self::V;

    /// The vectors as the numbers in them.
    fn floats(vectors: &[Self::V]) -> &[f32];
    /// The vectors as the numbers in them.
    fn floats_mut(vectors: &mut [Self::V]) -> &mut [f32];

    /// Runs `kernel` compiled for this level.
    fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output;
}

/// What is compiled for each level; its `run`, and all that it calls, is `inline(always)`.
pub(crate) trait Kernel<S: Simd> {
    type Output;

    fn run(self, s: S) -> Self::Output;
}

/// Complex numbers, one in each lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Complex<V> {
    pub(crate) re: V,
    pub(crate) im: V,
}

/// Of a level `S`.
pub(crate) type C<S> = Complex<<S as Simd>::V>;

#[inline(always)]
pub(crate) fn zero<S: Simd>(s: S) -> C<S> {
    Complex { re: s.splat(0.0), im: s.splat(0.0) }
}

#[inline(always)]
pub(crate) fn add<S: Simd>(s: S, a: C<S>, b: C<S>) -> C<S> {
    Complex { re: s.add(a.re, b.re), im: s.add(a.im, b.im) }
}

#[inline(always)]
pub(crate) fn sub<S: Simd>(s: S, a: C<S>, b: C<S>) -> C<S> {
    Complex { re: s.sub(a.re, b.re), im: s.sub(a.im, b.im) }
}

#[inline(always)]
pub(crate) fn mul<S: Simd>(s: S, a: C<S>, b: C<S>) -> C<S> {
    Complex {
        re: s.mul_sub(a.re, b.re, s.mul(a.im, b.im)),
        im: s.mul_add(a.re, b.im, s.mul(a.im, b.re)),
    }
}

/// `a * b + c`.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(s: S, a: C<S>, b: C<S>, c: C<S>) -> C<S> {
    Complex {
        re: s.neg_mul_add(a.im, b.im, s.mul_add(a.re, b.re, c.re)),
        im: s.mul_add(a.im, b.re, s.mul_add(a.re, b.im, c.im)),
    }
}

/// The same number in every lane.
#[inline(always)]
pub(crate) fn splat<S: Simd>(s: S, [re, im]: [f32; 2]) -> C<S> {
    Complex { re: s.splat(re), im: s.splat(im) }
}

#[inline(always)]
pub(crate) fn power<S: Simd>(s: S, a: C<S>) -> S::V {
    s.mul_add(a.re, a.re, s.mul(a.im, a.im))
}

/// The greatest of all lanes; never NaN, and zero where nothing is greater.
#[inline(always)]
pub(crate) fn greatest<S: Simd>(vector: S::V) -> f32 {
    S::floats(&[vector]).iter().fold(0.0, |most, &x| if x > most { x } else { most })
}
