//! The kernels of this build.

use gmf_api::{GmfKernel, KernelError, Reference};
use gmf_pipeline::{KernelChoice, KernelSet};

/// The kernels of this build: `cpu` (with the feature `cpu`) and `reference`.
#[derive(Debug, Clone, Copy)]
pub struct Kernels;

gmf_pipeline::register_kernels!(Kernels);

impl KernelSet for Kernels {
    const TASK_NAME: &'static str = "polychron::integrate";

    fn names() -> &'static [&'static str] {
        &[
            #[cfg(feature = "cpu")]
            "cpu",
            "reference",
        ]
    }

    fn kernel(
        choice: &KernelChoice,
        _worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError> {
        Ok(match choice.name.as_str() {
            #[cfg(feature = "cpu")]
            "cpu" => Some(Box::new(gmf_cpu::CpuKernel::new(choice.threads)?.with_environment()?)),
            "reference" => Some(Box::new(Reference)),
            _ => None,
        })
    }
}
