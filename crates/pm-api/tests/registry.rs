//! Managers are found by their names and aliases, and by no other.

use pm_api::backend::{Run, Running};
use pm_api::{ManagerOptions, ManagerRegistry, ParallelManager, PmError, SerialManager};

#[derive(Debug)]
struct Named(&'static str, usize);

impl ParallelManager for Named {
    fn name(&self) -> &'static str {
        self.0
    }

    fn n_workers(&self) -> usize {
        self.1
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        SerialManager::new().start(run)
    }
}

fn registry(names: &[&'static str]) -> ManagerRegistry {
    names.iter().fold(ManagerRegistry::new(), |registry, &name| {
        registry
            .with(name, move |options| Ok(Box::new(Named(name, options.n_workers.unwrap_or(9)))))
    })
}

#[test]
fn names_and_aliases_lead_to_managers_in_any_case() {
    let registry = registry(&["threads", "processes", "mpi", "ray"]);
    for (asked, found) in [
        ("serial", "serial"),
        ("SERIAL", "serial"),
        ("Threads", "threads"),
        ("MPI", "mpi"),
        ("ConcurrentFutures", "processes"),
        ("concurrent.futures", "processes"),
        ("MultiProcessing", "processes"),
        ("RayIo", "ray"),
        ("ray", "ray"),
        (" threads ", "threads"),
    ] {
        let manager = registry.create(asked, &ManagerOptions::default()).unwrap();
        assert_eq!(manager.name(), found, "{asked}");
    }
    let three = registry.create("mpi", &ManagerOptions::default().n_workers(3)).unwrap();
    assert_eq!(three.n_workers(), 3);
}

#[test]
fn a_manager_that_is_not_in_the_build_is_an_error_that_lists_what_is() {
    let registry = registry(&["threads"]);
    for asked in ["mpi", "MultiProcessing", "RayIo", "fastest", ""] {
        let error = registry.create(asked, &ManagerOptions::default()).unwrap_err();
        let text = format!("no manager is called {asked:?} here; this build has serial, threads");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn no_workers_are_refused_and_a_later_manager_takes_the_name() {
    let registry = registry(&["threads", "threads"]);
    assert_eq!(registry.names().collect::<Vec<_>>(), ["serial", "threads"]);
    let error = registry.create("serial", &ManagerOptions::default().n_workers(0)).unwrap_err();
    assert_eq!(error.to_string(), "manager \"serial\" needs at least 1 worker, not 0");
}
