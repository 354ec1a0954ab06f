//! The kernel: a device, and plans for it.

use std::sync::Arc;

use gmf_api::{Derived, GmfKernel, GmfPlan, KernelError, KernelOptions};

use crate::device::Gpu;
use crate::{AdapterInfo, GpuError, GpuPlan, Selection};

/// The kernel `gpu`: single precision, on one graphics processor.
///
/// Kernels of one process that use the same adapter share one open device.
#[derive(Debug, Clone)]
pub struct GpuKernel {
    gpu: Arc<Gpu>,
}

impl GpuKernel {
    /// Opens the adapter that `selection` means.
    ///
    /// # Errors
    ///
    /// [`GpuError`], which says what to install or to set.
    pub fn new(selection: &Selection) -> Result<Self, GpuError> {
        Ok(Self { gpu: Gpu::open(selection)? })
    }

    /// As [`GpuKernel::new`], with the contract's error.
    ///
    /// # Errors
    ///
    /// [`KernelError::Device`].
    pub fn open(selection: &Selection) -> Result<Self, KernelError> {
        Self::new(selection).map_err(|error| error.while_to("open a device"))
    }

    /// The adapter in use.
    #[must_use]
    pub fn adapter(&self) -> &AdapterInfo {
        &self.gpu.info
    }

    /// A plan of this kernel's own type, which can also be asked for times.
    ///
    /// # Errors
    ///
    /// As [`GmfKernel::plan`].
    pub fn gpu_plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<GpuPlan, KernelError> {
        GpuPlan::new(&self.gpu, derived, options)
    }

    #[cfg(test)]
    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl GmfKernel for GpuKernel {
    fn name(&self) -> &str {
        crate::NAME
    }

    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError> {
        Ok(Box::new(self.gpu_plan(derived, options)?))
    }
}

#[cfg(test)]
mod tests {
    use gmf_api::{GmfPlan as _, GridRow, Method, ZeroFrequency};

    use super::*;
    use crate::skips;

    /// A device that goes away is an error of the integration, and of every later one and of new
    /// plans; nothing is written, and a new kernel works.
    #[test]
    fn a_lost_device_is_an_error_and_leaves_no_half_result() {
        let selection = Selection::from_text("llvmpipe");
        let Ok(kernel) = GpuKernel::new(&selection) else {
            return skips::skip(
                "a_lost_device_is_an_error_and_leaves_no_half_result",
                "no lavapipe, Vulkan in software",
            );
        };
        let case = gmf_conformance::random_case(1, Method::Fgmf, ZeroFrequency::Sum);
        let mut plan = kernel.gpu_plan(&case.derived, &case.options).unwrap();
        let mut row = GridRow::new(case.derived.n_ranges());
        plan.execute(case.prepared.integration(), row.as_mut()).unwrap();
        assert!(row.gmf.iter().any(|&power| power > 0.0));

        kernel.gpu().destroy();
        let mut untouched = GridRow::new(case.derived.n_ranges());
        for _ in 0..2 {
            let error = plan.execute(case.prepared.integration(), untouched.as_mut()).unwrap_err();
            assert!(matches!(error, KernelError::Device { .. }), "{error:?}");
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(said.contains("llvmpipe"), "{said}");
        }
        assert_eq!(untouched, GridRow::new(case.derived.n_ranges()));
        assert!(kernel.gpu_plan(&case.derived, &case.options).is_err());

        let kernel = GpuKernel::new(&selection).unwrap();
        let mut plan = kernel.gpu_plan(&case.derived, &case.options).unwrap();
        let mut again = GridRow::new(case.derived.n_ranges());
        plan.execute(case.prepared.integration(), again.as_mut()).unwrap();
        assert_eq!(again, row);
    }
}
