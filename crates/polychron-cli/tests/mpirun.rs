//! `polychron run -- mpirun …`: what the ranks measure, each under its own name.
//!
//! The ranks are this program, started by the launcher; no MPI library is in it.

#![cfg(feature = "shared-times")]
#![expect(clippy::print_stdout, reason = "the ranks and the runner of these tests print")]

mod common;

use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::place::{Place, ends, texts};
use common::skips::skip;
use gtimer_core::{Times, load_times, stamp, thread as timer};

const N_RANKS: u64 = 3;

/// A launcher: its name, its programs, and what its version says.
struct Launcher {
    name: &'static str,
    programs: [&'static str; 2],
    says: [&'static str; 2],
    options: &'static [&'static str],
}

const LAUNCHERS: [Launcher; 2] = [
    Launcher {
        name: "Open MPI",
        programs: ["mpirun.openmpi", "mpirun"],
        says: ["Open MPI", "OpenRTE"],
        options: &["--oversubscribe"],
    },
    Launcher {
        name: "MPICH",
        programs: ["mpirun.mpich", "mpiexec.hydra"],
        says: ["HYDRA", "MPICH"],
        options: &[],
    },
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--as-rank") {
        return be_rank();
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let list = std::env::args().any(|argument| argument == "--list");
    let mut n_failed = 0;
    for launcher in &LAUNCHERS {
        let name = match launcher.name {
            "MPICH" => "the_ranks_of_mpich_are_told_apart_and_counted_once",
            _ => "the_ranks_of_open_mpi_are_told_apart_and_counted_once",
        };
        if filter.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
            continue;
        }
        if list {
            println!("{name}: test");
            continue;
        }
        let passed = catch_unwind(|| match program(launcher) {
            Some(program) => ranks_are_right(launcher, program),
            None => skip(name, &format!("no mpirun of {}", launcher.name)),
        });
        let passed = passed.is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        n_failed += i32::from(!passed);
    }
    std::process::exit(i32::from(n_failed > 0));
}

/// The first of its programs that is there, and is its own.
fn program(launcher: &Launcher) -> Option<&'static str> {
    launcher.programs.into_iter().find(|program| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|version| {
            let text = String::from_utf8_lossy(&version.stdout).into_owned();
            launcher.says.iter().any(|said| text.contains(said))
        })
    })
}

/// What a rank does: stamps more often the higher it is, in a subdivision and beside it, and prints
/// how often and how long, in s, at least and at most.
fn be_rank() {
    shm_times::activate();
    let number = |names: [&str; 2]| {
        let found = names.into_iter().find_map(|name| std::env::var(name).ok());
        found.and_then(|text| text.parse::<u64>().ok()).expect("the launcher says it")
    };
    let rank = number(["OMPI_COMM_WORLD_RANK", "PMI_RANK"]);
    let n = number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]);
    let (mut inner, mut outer) = (0.0, 0.0);
    timer::rename_root("program").expect("its timer is free");
    for _ in 0..10 * (rank + 1) {
        let begin = Instant::now();
        {
            let _part = timer::subdivision("part");
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(500) {
                std::hint::spin_loop();
            }
            inner += begin.elapsed().as_secs_f64();
            stamp!("step").expect("the timer runs");
        }
        outer += begin.elapsed().as_secs_f64();
    }
    timer::stamp("all").expect("the timer runs");
    timer::stop().expect("the timer runs");
    println!("rank {rank} of {n}: {} {inner:e} {outer:e}", 10 * (rank + 1));
}

fn ranks_are_right(launcher: &Launcher, mpirun: &str) {
    let place = Place::new();
    let out = tempfile::TempDir::new().expect("a temporary folder");
    let file = out.path().join("ranks.json");
    let own = std::env::current_exe().expect("known");
    let (file, own) = (common::utf8(&file), common::utf8(&own));
    let n = N_RANKS.to_string();
    let args =
        [&["run", "--times", file, "--", mpirun], launcher.options, &["-np", &n, own, "--as-rank"]]
            .concat();
    let mut command = place.command(&args);
    // Others are refused to root, as whom containers run; a test may not use more cores than a
    // machine has without asking.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    for name in ["PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE"] {
        command.env_remove(name);
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let output = ends(child);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(place.sessions().is_empty(), "nothing is left");

    let times = load_times(file).expect("was saved");
    assert_eq!(times.len() as u64, N_RANKS, "each rank once, and nothing else: {times:#?}");
    for rank in 0..N_RANKS {
        let label = format!("rank {rank} of {N_RANKS}");
        let told = stdout.lines().find_map(|line| line.strip_prefix(&format!("{label}: ")));
        let told: Vec<f64> = told
            .unwrap_or_else(|| panic!("{label} says nothing: {stdout}"))
            .split(' ')
            .map(|number| number.trim().parse().expect("a number"))
            .collect();
        let of_rank: Vec<&Times> = times
            .iter()
            .filter(|times| times.name.starts_with(&format!("{label} (pid ")))
            .collect();
        let [of_rank] = of_rank[..] else { panic!("{label}: {times:#?}") };
        check_tree(of_rank, told[0] as u64, told[1]..=told[2]);
        assert!(stderr.contains(&label), "the report names it: {stderr}");
    }
}

/// That a tree is that of one rank: one stamp, with one timer at it, with one stamp.
fn check_tree(times: &Times, n: u64, seconds: std::ops::RangeInclusive<f64>) {
    let stamps: Vec<&str> = times.stamps.iter().map(|stamp| stamp.name.as_str()).collect();
    assert_eq!(stamps, ["all"], "{times:#?}");
    assert_eq!(times.subdivisions.len(), 1, "{times:#?}");
    let at = &times.subdivisions[0];
    assert_eq!((at.position.as_str(), at.timers.len()), ("all", 1), "{times:#?}");
    let part = &at.timers[0];
    assert_eq!((part.name.as_str(), part.stamps.len()), ("part", 1), "{times:#?}");
    let step = &part.stamps[0];
    assert_eq!((step.name.as_str(), step.itr_num), ("step", n));
    let slack = n as f64 * 1e-6;
    let bounds = seconds.start() * 0.999 - slack..=seconds.end() * 1.001 + slack;
    assert!(bounds.contains(&step.cum), "{} is not in {bounds:?}", step.cum);
    assert!((part.total - step.cum).abs() <= 0.2 * step.cum && times.total >= part.total * 0.999);
}
