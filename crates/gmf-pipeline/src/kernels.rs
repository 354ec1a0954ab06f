//! Which kernels a program has, for workers that may be in other processes.

use std::fmt;

use gmf_api::{GmfKernel, KernelError, Reference};
use serde::{Deserialize, Serialize};

/// Which kernel is to be used, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelChoice {
    /// The kernel's name.
    pub name: String,
    /// Threads that share one integration; 1 where integrations run beside one another.
    pub threads: usize,
    /// On which devices, for kernels that have any.
    pub devices: Devices,
}

/// On which devices a kernel computes that needs one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Devices {
    /// The number of the one device for all workers, or a part of its name; `None` spreads them.
    pub only: Option<String>,
    /// Devices of a node over which workers are spread (`node_gpus`), at least 1: a worker takes
    /// number `(first_worker + worker) % per_node`.
    pub per_node: usize,
    /// The number that this program's first worker counts as: the index of its job.
    pub first_worker: usize,
    /// Whether devices in software count.
    pub software: bool,
}

impl Default for Devices {
    /// The first device in hardware.
    fn default() -> Self {
        Self { only: None, per_node: 1, first_worker: 0, software: false }
    }
}

impl Devices {
    /// Workers spread over so many devices of the node.
    #[must_use]
    pub fn per_node(self, per_node: usize) -> Self {
        Self { per_node, ..self }
    }

    /// One device for all workers, by its number or a part of its name.
    #[must_use]
    pub fn only(self, device: Option<String>) -> Self {
        Self { only: device, ..self }
    }

    /// The first worker counts as this one.
    #[must_use]
    pub fn first_worker(self, first_worker: usize) -> Self {
        Self { first_worker, ..self }
    }

    /// With devices in software, or without.
    #[must_use]
    pub fn software(self, software: bool) -> Self {
        Self { software, ..self }
    }
}

impl KernelChoice {
    /// The kernel `name`, on one thread.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), threads: 1, devices: Devices::default() }
    }

    /// The same kernel on so many threads.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// The same kernel on these devices.
    #[must_use]
    pub fn devices(self, devices: Devices) -> Self {
        Self { devices, ..self }
    }
}

impl fmt::Display for KernelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.threads {
            0 | 1 => f.write_str(&self.name),
            threads => write!(f, "{} on {threads} threads", self.name),
        }
    }
}

/// The kernels of a program: a type, so that workers in other processes can name it too.
pub trait KernelSet: 'static {
    /// The name of the run's task, which no other task of the program has.
    const TASK_NAME: &'static str;

    /// The names that [`KernelSet::kernel`] knows; the first is the default.
    fn names() -> &'static [&'static str];

    /// Makes a kernel, in the worker of number `worker` (some kernels choose their device by it);
    /// `None` when there is none of this name.
    ///
    /// # Errors
    ///
    /// [`KernelError::Device`] when what it runs on is not to be had.
    fn kernel(
        choice: &KernelChoice,
        worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError>;
}

/// The set that holds the reference alone.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceKernels;

impl KernelSet for ReferenceKernels {
    const TASK_NAME: &'static str = "gmf_pipeline::reference";

    fn names() -> &'static [&'static str] {
        &["reference"]
    }

    fn kernel(
        choice: &KernelChoice,
        _worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError> {
        Ok(match choice.name.as_str() {
            "reference" => Some(Box::new(Reference)),
            _ => None,
        })
    }
}
