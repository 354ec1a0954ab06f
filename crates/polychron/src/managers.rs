//! The managers of this build.

use pm_api::{ManagerOptions, ManagerRegistry, ParallelManager, PmError};

/// The managers of this build, by name: `serial`, and `threads` and `processes` with the features of
/// these names.
#[must_use]
pub fn managers() -> ManagerRegistry {
    let registry = ManagerRegistry::new();
    #[cfg(feature = "threads")]
    let registry = registry.with("threads", pm_threads::ThreadsManager::create);
    #[cfg(feature = "processes")]
    let registry = registry.with("processes", pm_proc::ProcessesManager::create);
    registry
}

/// Makes the manager of this name, with `n_workers` workers or as many as the machine has.
///
/// Names are those of [`managers`]; WaterTAP's names for the same thing are known too. With the
/// feature `timing`, workers are timed from now on; see `time_workers`.
///
/// # Errors
///
/// [`PmError::UnknownManager`], which lists the names of this build; others if it cannot start.
#[doc(alias = "factory")]
pub fn create_parallel_manager(
    name: &str,
    n_workers: Option<usize>,
) -> Result<Box<dyn ParallelManager>, PmError> {
    #[cfg(feature = "timing")]
    crate::time_workers();
    let mut options = ManagerOptions::default();
    options.n_workers = n_workers;
    managers().create(name, &options)
}

/// Serves as a worker, and ends the process, if it was started as one; else returns at once. The
/// first line of `main` of a program whose tasks may run in other processes.
///
/// As [`pm_api::worker_entry`]; with the feature `timing`, what such a worker does is timed for the
/// program that started it.
///
/// # Errors
///
/// [`PmError::DuplicateTask`] if two tasks of the program have the same name.
pub fn worker_entry() -> Result<(), PmError> {
    #[cfg(all(feature = "timing", feature = "processes"))]
    if pm_proc::is_worker() {
        crate::time_workers();
    }
    pm_api::worker_entry()
}
