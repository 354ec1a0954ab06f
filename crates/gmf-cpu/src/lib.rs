//! The Generalized Matched Filter on the CPU.
//!
//! [`CpuKernel`] implements [`gmf_api::GmfKernel`] in single precision, with the vector
//! instructions of the processor it finds itself on, on one thread or on several. The bytes of the
//! result depend on none of these.
//!
//! ```
//! use gmf_api::GmfKernel;
//! use gmf_cpu::CpuKernel;
//!
//! let kernel = CpuKernel::new(2)?;
//! assert_eq!((kernel.name(), kernel.threads()), ("cpu", 2));
//! # Ok::<(), gmf_api::KernelError>(())
//! ```
//!
//! # How it is fast
//!
//! An integration of `K` periods with `P` decimated samples each is transformed at `N = K P`
//! points, but only one pulse of `L` samples in each period is not zero. With `f = k1 + K k2` and
//! `w_n = exp(-2 pi i / n)` the transform
//!
//! ```text
//! X[f] = sum over periods k, samples l of  x[k, l] w_N^((k P + l) f)
//!      = sum over l of  w_N^(l k1) (sum over k of x[k, l] w_K^(k k1)) w_P^(l k2)
//! ```
//!
//! falls into `L` sums over the periods and `K` rows of frequencies, each of them a polynomial of
//! `L` terms at `P` points. The position of the pulse in its period changes no magnitude and is
//! left out. Power is formed and searched row by row, so no spectrum is stored.
//!
//! Most rows need not be computed at all. At some `3 L` points of every row (fewer than a third of
//! `P` in a usual search) a bound shows how great the row can be anywhere between them; only rows
//! that may have the gate's greatest power are computed at all `P` points, the most promising
//! first. The points of the bound are found for as many gates at once as a vector has lanes; the
//! rows that remain, of one gate each, have their points divided among the lanes.
//!
//! # Why skipping changes nothing
//!
//! Let `X(t) = sum over l < L of y[l] exp(-i l t)` be a row, and `M` the greatest `|X|` over all
//! `t`, at `t0`. Turned by `exp(i (L - 1) t / 2)` and by a constant phase, `X` has a real part that
//! is a function of exponential type `(L - 1) / 2`, nowhere above `M`, and equal to `M` at `t0`.
//! Such a function is at least `M cos((L - 1) (t - t0) / 2)` until that cosine reaches its minimum
//! (M. Riesz, 1914; the comparison lemma in the theory of trigonometric polynomials). Of `C >= L`
//! equally spaced points, wherever they begin, one is within `pi / C` of `t0`. Therefore
//!
//! ```text
//! M  <=  greatest |X| at the C points / cos(pi (L - 1) / (2 C))
//! ```
//!
//! Numbers are rounded: if `s` is the sum of the moduli of the gate's echo, the points of the bound
//! are off by at most `c s`, and a modulus computed in full by at most `e s`, where `c` and `e`
//! follow from the number of roundings on the way (some 1e-5, counted when the plan is made). A row
//! whose greatest modulus at the points is `p` is skipped only if
//!
//! ```text
//! (p + c s) / cos(pi (L - 1) / (2 C)) + e s  <  (1 - 1e-6) sqrt(best power so far)
//! ```
//!
//! so it has no power that is as great as the best as it would have been computed. The results
//! themselves come from rows computed in full, in the same way whether others are skipped or not,
//! and ties go to the lowest acceleration, then the lowest frequency, whatever the order. Where
//! powers are so small or so great that rounding is not relative any more, nothing is skipped.
//! [`CpuKernel::without_skipping`] computes every row; tests hold the two against each other.
//!
//! # Why the level and the threads change nothing
//!
//! Gates are independent. Each number of a row is formed by the same operations in the same order
//! at every level, products are added in one rounding at every level, and the number of lanes only
//! says how many rows or parts of rows are computed at once.
//!
//! # What it computes exactly, for which lengths
//!
//! Every one that `gmf-api` admits. Lengths that are products of primes up to 13, and moderate ones
//! times others, take the fastest way; a period with large prime factors is transformed by
//! convolution with a chirp, two to three times slower.
//!
//! # What this crate leaves to others
//!
//! It neither reads samples nor writes results, see `gmf-pipeline`; what it computes is defined by
//! `gmf-api`.

#![deny(unsafe_code)] // but in the module `simd::x86`
#![expect(
    clippy::needless_range_loop,
    reason = "numbers of a transform are counted as in its formula; and an iterator's closure is a \
              function without the target features of the loop around it"
)]

mod chirp;
mod coarse;
mod echo;
mod exact;
mod fft;
mod kernel;
mod level;
mod plan;
mod search;
mod simd;
mod turn;

pub use kernel::CpuKernel;
pub use level::Level;
