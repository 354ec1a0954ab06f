//! What the benchmarks share; the benchmarks themselves are in `benches/benches/*.rs`.
//!
//! A benchmark is a test with a clock: it compares its answer with one found another way before it
//! starts the clock, and says in its header why the number matters. `cargo xtask bench` runs them,
//! `cargo xtask test` runs each once for its answer.

#![forbid(unsafe_code)]

pub mod compare;
pub mod radar;
pub mod study;

use gmf_api::{GmfKernel, KernelError};
use gmf_cpu::CpuKernel;
use gmf_pipeline::{KernelChoice, KernelSet};

/// The kernel on the CPU, as a set.
#[derive(Debug, Clone, Copy)]
pub struct CpuKernels;

impl KernelSet for CpuKernels {
    const TASK_NAME: &'static str = "polychron_bench::integrate";

    fn names() -> &'static [&'static str] {
        &["cpu"]
    }

    fn kernel(
        choice: &KernelChoice,
        _worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError> {
        Ok(Some(Box::new(CpuKernel::new(choice.threads)?)))
    }
}

/// Folds a value into a digest.
///
/// Depends on the order and is no sum, so that neither two wrongs nor the compiler can find the
/// digest of a loop without running it. Cheap beside any loop: one rotation, one exclusive or.
#[inline]
#[must_use]
pub fn mix(digest: usize, value: usize) -> usize {
    digest.rotate_left(1) ^ value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_values_shows_in_the_digest() {
        let digest = |values: [usize; 3]| values.into_iter().fold(0, mix);
        assert_ne!(digest([1, 2, 3]), digest([2, 1, 3]));
        assert_ne!(digest([1, 2, 3]), digest([1, 3, 2]));
    }
}
