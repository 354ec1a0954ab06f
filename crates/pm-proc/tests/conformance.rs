//! The processes manager keeps the promises.
//!
//! This program is its own worker, so it has its own `main`; it picks items by its arguments as the
//! test harness does.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

use pm_conformance::{Capabilities, Setup};
use pm_proc::{ProcessesManager, ProcessesOptions, WorkerExe};

fn setup() -> Setup {
    let mut setup = Setup::new("processes", Capabilities::processes(), |n_workers| {
        Box::new(ProcessesManager::new(n_workers).expect("there is at least one"))
    });
    setup.make_broken = Some(|n_workers| {
        let options = ProcessesOptions::default().exe(WorkerExe::Path("/no/such/program".into()));
        Ok(Box::new(ProcessesManager::with_options(n_workers, options)?))
    });
    setup
}

fn main() {
    pm_conformance::install(&setup());
    pm_api::worker_entry().expect("every task has a name of its own");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for size in 1..=4 {
            pm_conformance::items()
                .iter()
                .for_each(|item| println!("size_{size}::{}: test", item.name));
        }
        return;
    }
    let not_applicable = pm_conformance::not_applicable(&setup());
    let expected = ["c14_arrays_beyond_2_gib_arrive_whole", "c37_a_foreign_launcher_is_refused"];
    if std::env::var_os("POLYCHRON_CONFORMANCE_MEMORY").is_none() {
        assert_eq!(not_applicable, expected);
    }
    if !pm_conformance::run_all(&setup(), &[1, 2, 3, 4], &arguments) {
        std::process::exit(1);
    }
}
