//! The kernels of this build.

use gmf_api::{GmfKernel, KernelError, Reference};
use gmf_pipeline::{KernelChoice, KernelSet};

/// The kernels of this build: `cpu` (with the feature `cpu`), `gpu` (with the feature `gpu`) and
/// `reference`.
#[derive(Debug, Clone, Copy)]
pub struct Kernels;

gmf_pipeline::register_kernels!(Kernels);

impl KernelSet for Kernels {
    const TASK_NAME: &'static str = "polychron::integrate";

    fn names() -> &'static [&'static str] {
        &[
            #[cfg(feature = "cpu")]
            "cpu",
            #[cfg(feature = "gpu")]
            "gpu",
            "reference",
        ]
    }

    fn kernel(
        choice: &KernelChoice,
        #[cfg_attr(
            not(feature = "gpu"),
            expect(unused_variables, reason = "only devices are chosen by it")
        )]
        worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError> {
        Ok(match choice.name.as_str() {
            #[cfg(feature = "cpu")]
            "cpu" => Some(Box::new(gmf_cpu::CpuKernel::new(choice.threads)?.with_environment()?)),
            #[cfg(feature = "gpu")]
            "gpu" => Some(Box::new(gmf_gpu::GpuKernel::open(&gpu_selection(choice, worker))?)),
            "reference" => Some(Box::new(Reference)),
            _ => None,
        })
    }
}

/// The adapter that a worker's `gpu` kernel takes.
#[cfg(feature = "gpu")]
#[must_use]
pub fn gpu_selection(choice: &KernelChoice, worker: usize) -> gmf_gpu::Selection {
    let devices = &choice.devices;
    let selection = match &devices.only {
        Some(device) => gmf_gpu::Selection::from_text(device),
        None => gmf_gpu::Selection {
            choice: gmf_gpu::Choice::Worker {
                worker: devices.first_worker + worker,
                node_gpus: devices.per_node,
            },
            ..gmf_gpu::Selection::default()
        },
    };
    selection.software(devices.software)
}
