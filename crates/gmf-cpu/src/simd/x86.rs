//! The levels of x86-64 processors.

#![expect(
    unsafe_code,
    reason = "instructions that not every processor has; vectors seen as the numbers in them"
)]

use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_fmsub_ps, _mm256_fnmadd_ps,
    _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_sub_ps, _mm512_add_ps,
    _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_max_ps,
    _mm512_mul_ps, _mm512_set1_ps, _mm512_sub_ps,
};

use super::{Kernel, Simd};

macro_rules! level {
    (
        $(#[$docs:meta])* $name:ident, $vector:ident, $lanes:literal, $features:literal,
        [$($feature:tt),*], $splat:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident,
        $mul_sub:ident, $neg_mul_add:ident, $max:ident, $load:ident
    ) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name {
            /// Keeps the proof from being made anywhere but in `detect`.
            _detected: (),
        }

        impl $name {
            /// The proof, where this processor has the features.
            pub(crate) fn detect() -> Option<Self> {
                let detected = $(is_x86_feature_detected!($feature))&&*;
                detected.then_some(Self { _detected: () })
            }
        }

        // SAFETY (of every call of an instruction below): a value of this type exists only where
        // `detect` found its features on this processor.
        #[expect(clippy::undocumented_unsafe_blocks, reason = "the same for all, stated above")]
        impl Simd for $name {
            type V = $vector;

            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(self, x: f32) -> Self::V {
                unsafe { $splat(x) }
            }

            #[inline(always)]
            fn add(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $sub(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $mul(a, b) }
            }

            #[inline(always)]
            fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $mul_add(a, b, c) }
            }

            #[inline(always)]
            fn mul_sub(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $mul_sub(a, b, c) }
            }

            #[inline(always)]
            fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                unsafe { $neg_mul_add(a, b, c) }
            }

            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                unsafe { $max(a, b) }
            }

            #[inline(always)]
            fn load(self, from: &[f32]) -> Self::V {
                let from = &from[..Self::LANES];
                // Beside the features: `from` has as many numbers as the vector, and the
                // instruction asks for no alignment.
                unsafe { $load(from.as_ptr()) }
            }

            #[inline(always)]
            fn floats(vectors: &[Self::V]) -> &[f32] {
                let len = vectors.len() * Self::LANES;
                // SAFETY: a vector is `LANES` numbers one after the other, without padding, and
                // more strictly aligned than one of them; every pattern of bits is a number.
                unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), len) }
            }

            #[inline(always)]
            fn floats_mut(vectors: &mut [Self::V]) -> &mut [f32] {
                let len = vectors.len() * Self::LANES;
                // SAFETY: as in `floats`; the vectors are borrowed as long as the numbers, and
                // every pattern of bits is a vector.
                unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), len) }
            }

            #[inline(always)]
            fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
                #[target_feature(enable = $features)]
                fn with_features<K: Kernel<$name>>(s: $name, kernel: K) -> K::Output {
                    kernel.run(s)
                }
                unsafe { with_features(self, kernel) }
            }
        }
    };
}

level!(
    /// Sixteen lanes.
    Avx512, __m512, 16, "avx512f,avx512vl,avx512dq,avx2,fma",
    ["avx512f", "avx512vl", "avx512dq", "avx2", "fma"],
    _mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps,
    _mm512_fmsub_ps, _mm512_fnmadd_ps, _mm512_max_ps, _mm512_loadu_ps
);

level!(
    /// Eight lanes.
    Avx2, __m256, 8, "avx2,fma", ["avx2", "fma"],
    _mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_fmadd_ps,
    _mm256_fmsub_ps, _mm256_fnmadd_ps, _mm256_max_ps, _mm256_loadu_ps
);
