//! Managers by name.

use std::fmt;
use std::sync::Arc;

use crate::{ParallelManager, PmError, SerialManager};

/// Other names that managers are known by, in lower case. Those of WaterTAP's
/// `create_parallel_manager` are among them; its `ConcurrentFutures` is a pool of processes.
const ALIASES: &[(&str, &str)] = &[
    ("single", "serial"),
    ("singleprocess", "serial"),
    ("thread", "threads"),
    ("process", "processes"),
    ("multiprocessing", "processes"),
    ("concurrentfutures", "processes"),
    ("concurrent.futures", "processes"),
    ("rayio", "ray"),
];

/// What may be said to a manager when it is made.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ManagerOptions {
    /// The most workers of a run; `None` leaves it to the manager, which takes what the machine
    /// has. The serial manager has one in any case.
    pub n_workers: Option<usize>,
}

impl ManagerOptions {
    /// Sets the most workers of a run.
    #[must_use]
    pub fn n_workers(self, n_workers: usize) -> Self {
        Self { n_workers: Some(n_workers) }
    }
}

type Create =
    Arc<dyn Fn(&ManagerOptions) -> Result<Box<dyn ParallelManager>, PmError> + Send + Sync>;

/// The managers of a program, to be made by name.
///
/// It starts with `serial`; a program adds the backends that it was built with. Names and aliases
/// are the same in upper and lower case.
///
/// ```
/// use pm_api::{ManagerOptions, ManagerRegistry};
///
/// let registry = ManagerRegistry::new();
/// let manager = registry.create("Serial", &ManagerOptions::default())?;
/// assert_eq!(manager.name(), "serial");
///
/// let unknown = registry.create("MPI", &ManagerOptions::default()).unwrap_err();
/// assert_eq!(
///     unknown.to_string(),
///     "no manager is called \"MPI\" here; this build has serial",
/// );
/// # Ok::<(), pm_api::PmError>(())
/// ```
#[derive(Clone)]
pub struct ManagerRegistry {
    entries: Vec<(&'static str, Create)>,
}

impl ManagerRegistry {
    /// Makes a registry that knows `serial`.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::new() }.with(SerialManager::NAME, |options| {
            if options.n_workers == Some(0) {
                return Err(PmError::NoWorkers { manager: SerialManager::NAME });
            }
            Ok(Box::new(SerialManager::new()))
        })
    }

    /// Adds the manager that `create` makes, under `name` in lower case; a later one of the same
    /// name takes the place of an earlier one.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        create: impl Fn(&ManagerOptions) -> Result<Box<dyn ParallelManager>, PmError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.entries.retain(|(known, _)| *known != name);
        self.entries.push((name, Arc::new(create)));
        self
    }

    /// The names that [`create`](Self::create) knows, without aliases, in the order they came.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|(name, _)| *name)
    }

    /// Makes the manager that is called `name`.
    ///
    /// WaterTAP's names work for the managers that take their place here: `MPI` for `mpi`,
    /// `MultiProcessing` and `ConcurrentFutures` for `processes`, `RayIo` for `ray`.
    ///
    /// # Errors
    ///
    /// [`PmError::UnknownManager`], which lists the names that there are, if this registry has no
    /// such manager (nothing else is made instead), else what the manager says.
    #[doc(alias = "create_parallel_manager")]
    pub fn create(
        &self,
        name: &str,
        options: &ManagerOptions,
    ) -> Result<Box<dyn ParallelManager>, PmError> {
        let asked = name.trim().to_lowercase();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == asked).map(|(_, meant)| *meant);
        let find = |name: &str| self.entries.iter().find(|(known, _)| *known == name);
        let (_, create) = find(&asked).or_else(|| find(alias?)).ok_or_else(|| {
            let known = self.names().map(str::to_owned).collect();
            PmError::UnknownManager { name: name.to_owned(), known }
        })?;
        create(options)
    }
}

impl Default for ManagerRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManagerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerRegistry").field("names", &self.names().collect::<Vec<_>>()).finish()
    }
}
