//! The MPI manager keeps the promises, at 1 to 4 ranks.
//!
//! Started by itself, this program starts itself as the ranks of a job, once for each size; there
//! rank 0 checks the list, and the others serve. Items are picked by arguments, as by the test
//! harness.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

mod common;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::exit;
use std::time::Duration;

use pm_conformance::{Capabilities, Setup};
use pm_mpi::MpiManager;

/// In the environment of a program that an item starts by itself.
const ALONE: &str = "POLYCHRON_CONFORMANCE_ALONE";
/// Lets `pm-mpi` pretend that the ranks are on so many hosts; there only what members of a group say
/// to each other is different.
const HOSTS: &str = "POLYCHRON_MPI_HOSTS";
/// Longer than the list takes at any size on a loaded machine.
const LIMIT: Duration = Duration::from_secs(900);

fn setup() -> Setup {
    let is_one_host = env::var_os(HOSTS).is_none();
    let capabilities =
        Capabilities::default().bytes(true).launcher(true).shares_memory(is_one_host);
    let mut setup = Setup::new("mpi", capabilities, |n_workers| {
        Box::new(MpiManager::new(n_workers).expect("there is at least one"))
    });
    if common::launcher(&pm_mpi::library(), true).is_some() {
        setup.start_foreign = Some(start_foreign);
    }
    setup
}

/// Starts two ranks by the launcher of the other MPI.
fn start_foreign() -> Result<String, String> {
    let launcher = common::launcher(&pm_mpi::library(), true).expect("looked for before");
    let mut command = common::mpirun(launcher, 2, &env::current_exe().expect("it runs"));
    let output = command.arg("--list").output().expect("the launcher starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() || !text.contains("started as 2 ranks by") {
        return Ok(text);
    }
    Err(text)
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let program = env::current_exe().expect("it runs");
    let launcher =
        common::launcher(&pm_mpi::library(), false).expect("an MPI comes with its launcher");
    if env::var_os(ALONE).is_some() && env::var_os("POLYCHRON_CONFORMANCE_RANKS").is_none() {
        // An item has started this program again, to be a job of its own.
        let name = arguments.iter().find_map(|argument| argument.strip_prefix("size_"));
        let size = name.and_then(|name| name.split(':').next()?.parse().ok()).unwrap_or(1);
        let mut command = common::mpirun(launcher, size, &program);
        command.env("POLYCHRON_CONFORMANCE_RANKS", "1").args(&arguments);
        panic!("could not start {launcher}: {}", command.exec());
    }
    if env::var_os(common::INSIDE).is_some() {
        inside(&arguments);
        return;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        for size in 1..=4 {
            let items = pm_conformance::items().iter();
            items.for_each(|item| println!("size_{size}::{}: test", item.name));
        }
        return;
    }
    let segments = common::Segments::make();
    let mut failed = Vec::new();
    for (size, n_hosts) in (1..=4).map(|size| (size, 1)).chain((2..=4).map(|size| (size, 2))) {
        let wanted = |argument: &String| {
            !argument.starts_with("size_") || argument.starts_with(&format!("size_{size}"))
        };
        if !arguments.iter().all(wanted) {
            continue;
        }
        let mut command = common::mpirun(launcher, size, &program);
        let mut title = format!("{size} ranks of {}", pm_mpi::library());
        if n_hosts > 1 {
            title += &format!(", as if on {n_hosts} hosts");
            command.env(HOSTS, n_hosts.to_string());
        }
        println!("{title}:");
        command.args(&arguments);
        match common::output_in(command, LIMIT) {
            Ok(output) if output.status.success() => {}
            Ok(_) => failed.push(title),
            Err(error) => {
                println!("{error}");
                failed.push(title);
            }
        }
    }
    drop(segments);
    assert!(failed.is_empty(), "failed with {failed:?}");
}

/// What every rank does.
fn inside(arguments: &[String]) {
    pm_conformance::install(&setup());
    let mpi = match pm_mpi::enter() {
        Ok(mpi) => mpi,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "it is what the program has to say")]
            {
                eprintln!("{error}");
            }
            exit(1);
        }
    };
    let expected = [
        "c14_arrays_beyond_2_gib_arrive_whole",
        "c24_a_worker_that_dies_is_reported_with_its_end",
        "c25_workers_that_cannot_start_are_an_error",
        "c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others",
        "c27_workers_end_when_their_manager_is_killed",
        "c31_a_task_that_hangs_is_given_up",
        "c32_a_worker_that_dies_once_is_replaced",
        "c36_lines_of_workers_are_neither_lost_nor_mixed",
    ];
    let setup = setup();
    if env::var_os("POLYCHRON_CONFORMANCE_MEMORY").is_none() && setup.start_foreign.is_some() {
        assert_eq!(pm_conformance::not_applicable(&setup), expected);
    }
    let size = mpi.size();
    let chosen = if arguments.iter().any(|argument| !argument.starts_with("--")) {
        arguments.to_vec()
    } else {
        // The item wants to see the signal itself, of which a launcher only makes a code; what
        // becomes of a job with a killed rank is checked in `spmd`.
        let killed = "f04_a_worker_is_killed";
        if mpi.is_root() && env::var_os(HOSTS).is_none() {
            println!("not applicable: {killed} on mpi: a launcher does not pass signals on");
        }
        let names = pm_conformance::items().iter().map(|item| item.name);
        let is_said = |name: &str| ("c02".."c15").contains(&&name[..3]) || name.starts_with("r10");
        let is_wanted =
            |name: &&str| *name != killed && (env::var_os(HOSTS).is_none() || is_said(name));
        let names = names.filter(is_wanted).map(|name| format!("size_{size}::{name}"));
        ["--exact".to_owned()].into_iter().chain(names).collect()
    };
    if !pm_conformance::run_all(&setup, &[size], &chosen) {
        exit(1);
    }
}
