//! The Generalized Matched Filter on graphics processors.
//!
//! [`GpuKernel`] implements [`gmf_api::GmfKernel`] in single precision on any device that `wgpu`
//! reaches: through Vulkan by default, through Metal, Direct3D 12 and OpenGL ES by features.
//!
//! ```
//! use gmf_gpu::{GpuError, GpuKernel, Selection, adapters};
//!
//! for adapter in adapters() {
//!     println!("{adapter}");
//! }
//! // Without a device the error says what to install.
//! match GpuKernel::new(&Selection::default()) {
//!     Ok(kernel) => println!("on {}", kernel.adapter().name),
//!     Err(GpuError::NoAdapter { .. } | GpuError::OnlySoftware { .. }) => {}
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), GpuError>(())
//! ```
//!
//! # How it is fast
//!
//! An integration of `K` periods with `P` decimated samples each is transformed at `K * P` points,
//! but only one pulse of `L` samples in each period is not zero. With the frequency
//! `f = k1 + K k2` the transform falls into `L` small ones over the periods and `K` *rows* of `P`
//! points. The former are written to memory, 16 to 30 times less than the spectra; the latter are
//! computed in parts of `B >= L` points by workgroups that form the power and keep its maximum in
//! registers, so that **spectra never reach memory**. Most parts are never computed: a bound on
//! what a row may hide lets them be skipped with the same result, as in `gmf-cpu`.
//!
//! The shaders are generated for the plan: lengths are constants, and the small transforms
//! straight-line code. Lengths without small factors are summed frequency by frequency: exact, and
//! slower.
//!
//! # What this crate leaves to others
//!
//! It neither reads samples nor writes results, see `gmf-pipeline`; what it computes is defined by
//! `gmf-api`. What it cannot do (see its README) another kernel must; it says so and does not
//! choose one.

#![forbid(unsafe_code)]

mod adapters;
mod codelet;
mod device;
mod error;
mod kernel;
mod plan;
mod search;
mod shader;
mod shape;
#[cfg(test)]
#[path = "../../../tests/src/skips.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unfulfilled_lint_expectations,
    reason = "elsewhere it is part of a library, and not all of it tests"
)]
mod skips;
mod submit;
mod tables;

pub use adapters::{AdapterInfo, Choice, Selection, adapters, find};
pub use error::GpuError;
pub use kernel::GpuKernel;
pub use plan::{GpuPlan, StageTime};

/// The kernel's name, as on the command line.
const NAME: &str = "gpu";
