//! What every kernel of the Generalized Matched Filter must pass.
//!
//! A kernel crate has one test that calls [`check_all`]:
//!
//! ```
//! gmf_conformance::check_all(&gmf_api::Reference);
//! ```
//!
//! Each promise is also a function of its own, so that a failure can be run alone. They panic with
//! the case that failed; the seeds are fixed.
//!
//! # What this crate leaves to others
//!
//! Recorded cases of the original are compared in the workspace's `tests`; speed in `benches`.

#![forbid(unsafe_code)]

mod cases;
mod promises;

pub use cases::{Case, random_case};
pub use promises::{
    batches_equal_single_executions, powers_of_two_scale_exactly, refuses_what_is_not_finite,
    refuses_wrong_shapes, repeats_to_the_bit, results_agree_with_the_reference,
    silence_has_no_index,
};

use gmf_api::GmfKernel;

/// Checks every promise.
///
/// # Panics
///
/// When the kernel breaks one.
pub fn check_all(kernel: &dyn GmfKernel) {
    results_agree_with_the_reference(kernel, 60);
    repeats_to_the_bit(kernel);
    powers_of_two_scale_exactly(kernel);
    batches_equal_single_executions(kernel);
    silence_has_no_index(kernel);
    refuses_wrong_shapes(kernel);
    refuses_what_is_not_finite(kernel);
}
