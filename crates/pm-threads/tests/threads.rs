//! The threads manager keeps the promises.

use pm_conformance::{Capabilities, Setup};
use pm_threads::ThreadsManager;

fn setup() -> Setup {
    Setup::new("threads", Capabilities::default().ends_hanging(true), |n_workers| {
        Box::new(ThreadsManager::new(n_workers).expect("threads start"))
    })
}

pm_conformance::conformance!(setup(); 1, 2, 3, 4);

#[test]
fn what_does_not_apply_is_known() {
    assert_eq!(
        pm_conformance::not_applicable(&setup()),
        [
            "c14_arrays_beyond_2_gib_arrive_whole",
            "c24_a_worker_that_dies_is_reported_with_its_end",
            "c25_workers_that_cannot_start_are_an_error",
            "c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others",
            "c26_what_cannot_travel_is_a_failure",
            "c27_workers_end_when_their_manager_is_killed",
            "c32_a_worker_that_dies_once_is_replaced",
            "c36_lines_of_workers_are_neither_lost_nor_mixed",
            "c37_a_foreign_launcher_is_refused",
        ]
    );
}
