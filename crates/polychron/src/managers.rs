//! The managers of this build.

use pm_api::{ManagerOptions, ManagerRegistry, ParallelManager, PmError};

/// The managers of this build, by name: `serial`, and `threads`, `processes` and `mpi` with the
/// features of these names.
#[must_use]
pub fn managers() -> ManagerRegistry {
    let registry = ManagerRegistry::new();
    #[cfg(feature = "threads")]
    let registry = registry.with("threads", pm_threads::ThreadsManager::create);
    #[cfg(feature = "processes")]
    let registry = registry.with("processes", pm_proc::ProcessesManager::create);
    #[cfg(feature = "mpi")]
    let registry = registry.with(pm_mpi::MpiManager::NAME, pm_mpi::MpiManager::create);
    registry
}

/// Makes the manager of this name, with `n_workers` workers or as many as the machine has.
///
/// Names are those of [`managers`]; WaterTAP's names for the same thing are known too.
///
/// # Errors
///
/// [`PmError::UnknownManager`], which lists the names of this build; others if it cannot start.
#[doc(alias = "factory")]
pub fn create_parallel_manager(
    name: &str,
    n_workers: Option<usize>,
) -> Result<Box<dyn ParallelManager>, PmError> {
    let mut options = ManagerOptions::default();
    options.n_workers = n_workers;
    managers().create(name, &options)
}
