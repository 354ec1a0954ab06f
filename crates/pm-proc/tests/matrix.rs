//! Serial, threads and processes give the same bytes: at every size, by every schedule, every time.
//!
//! This program is its own worker, so it has its own `main`.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

use std::time::Instant;

use pm_api::SerialManager;
use pm_conformance::{Capabilities, Setup, install, same_bytes};
use pm_proc::ProcessesManager;
use pm_threads::ThreadsManager;

const NAME: &str = "serial_threads_and_processes_give_the_same_bytes";

fn setups() -> [Setup; 3] {
    [
        Setup::new("serial", Capabilities::default(), |_| Box::new(SerialManager::new())),
        Setup::new("threads", Capabilities::default(), |n_workers| {
            Box::new(ThreadsManager::new(n_workers).expect("threads start"))
        }),
        Setup::new("processes", Capabilities::processes(), |n_workers| {
            Box::new(ProcessesManager::new(n_workers).expect("there is at least one"))
        }),
    ]
}

fn main() {
    setups().iter().for_each(install);
    pm_api::worker_entry().expect("every task has a name of its own");
    let mut arguments = std::env::args().skip(1);
    if arguments.any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return;
    }
    let repeats = std::env::var("POLYCHRON_REPEAT")
        .map_or(3, |text| text.parse().expect("POLYCHRON_REPEAT is a number of times"));
    let begin = Instant::now();
    let matrix = same_bytes(&setups(), &[1, 2, 3, 4], repeats);
    // Both seeds, and the sums; from 3 managers of 4 sizes, all 9 schedules.
    assert_eq!(matrix.n_results, 3);
    assert_eq!(matrix.n_compared, repeats * (3 * 4 * 2 * 9 + 2 * (4 + 10 + 10)));
    println!("test {NAME} ... ok ({:.2?}): {matrix:?}", begin.elapsed());
}
