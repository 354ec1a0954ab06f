//! Why there is no device, or why it failed.

use gmf_api::KernelError;
use thiserror::Error;

/// Why a graphics processor could not be used.
///
/// Every message says what to install or to set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The machine shows no adapter at all: no loader, no driver, or no device.
    #[error(
        "there is no graphics adapter: neither a driver nor its loader was found for {backends}; \
         on Linux install the vendor's driver and libvulkan1 (in containers, its driver files \
         must be visible too), or mesa-vulkan-drivers for a slow adapter in software"
    )]
    NoAdapter {
        /// The interfaces that were asked, which are those this crate was built with.
        backends: String,
    },
    /// There are adapters, but only such as compute on the CPU, and these were not asked for.
    #[error(
        "there are only software adapters ({names}), which are far slower than the kernel cpu: use \
         that one, install the driver of the graphics processor, or ask for software adapters"
    )]
    OnlySoftware {
        /// Their names.
        names: String,
    },
    /// No adapter is the one that was asked for.
    #[error("there is no graphics adapter '{wanted}'; there are {known}")]
    UnknownAdapter {
        /// The number or name asked for.
        wanted: String,
        /// What there is: numbers and names.
        known: String,
    },
    /// `node_gpus` promises more devices than the machine has.
    #[error(
        "worker {worker} is to use device {wanted} of {node_gpus}, but there are only {found}: set \
         node_gpus to {found}"
    )]
    TooFewDevices {
        /// The worker's number.
        worker: usize,
        /// The number of the device that it would use.
        wanted: usize,
        /// The devices promised.
        node_gpus: usize,
        /// The devices found.
        found: usize,
    },
    /// The driver refused to open the adapter.
    #[error(
        "the adapter {adapter} could not be opened: {reason}; another program may hold it, or its driver is broken"
    )]
    Refused {
        /// The adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The device ran out of memory.
    #[error(
        "the adapter {adapter} is out of memory: search fewer gates or accelerations at once, or \
         end what else uses it"
    )]
    OutOfMemory {
        /// The adapter.
        adapter: String,
    },
    /// The device is gone: its driver crashed, was reset, or was stopped by a watchdog.
    #[error(
        "the adapter {adapter} was lost ({reason}): nothing of the integrations in work is kept; \
         see the system's log for the driver's message"
    )]
    Lost {
        /// The adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The device did not finish in time.
    #[error("the adapter {adapter} did not finish within {seconds} s")]
    Timeout {
        /// The adapter.
        adapter: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The driver refused what was sent to it.
    #[error("the adapter {adapter} refused the work: {reason}")]
    Invalid {
        /// The adapter.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
}

impl GpuError {
    /// As the contract's error, with what was being done, in the infinitive.
    pub(crate) fn while_to(self, action: &str) -> KernelError {
        KernelError::Device {
            kernel: crate::NAME.to_owned(),
            action: action.to_owned(),
            source: Box::new(self),
        }
    }
}

pub(crate) fn unsupported(what: String) -> KernelError {
    KernelError::Unsupported { kernel: crate::NAME.to_owned(), what }
}
