//! The Generalized Matched Filter on the CPU.
//!
//! [`CpuKernel`] implements [`gmf_api::GmfKernel`] in single precision, on one thread or on
//! several, with the same bytes as result.
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
//! An integration of `K` periods with `P` decimated samples each is transformed at `K * P` points,
//! but only one pulse of `L` samples in each period is not zero. With `f = k1 + K k2` the transform
//!
//! ```text
//! X[f] = sum over periods k, samples l of  x[k, l] w^((k P + l) f),      w = exp(-2 pi i / (K P))
//!      = sum over l of  w^(l k1) (sum over k of x[k, l] w_K^(k k1)) w_P^(l k2)
//! ```
//!
//! falls into `L` sums over the periods, a twiddle, and `K` transforms of `P` points, which stay in
//! the first-level cache; the position of the pulse in its period changes no magnitude and is left
//! out. The power is formed and searched row by row, so no spectrum is stored.
//!
//! # What this crate leaves to others
//!
//! It neither reads samples nor writes results, see `gmf-pipeline`; what it computes is defined by
//! `gmf-api`.

#![forbid(unsafe_code)]

mod decode;
mod dpt;
mod kernel;
mod search;

pub use kernel::CpuKernel;
