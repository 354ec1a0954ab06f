//! Nothing is left alive when the parent dies, whenever and however that is.
//!
//! This program is a parent, a worker, or the runner of the tests. A parent starts two workers, each
//! of them a pool of its own and a program that is no worker, and all compute without end. What
//! belongs to one parent is known by an environment variable that all inherit.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

mod common;

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Random, Test, late, processes, run, stat};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use worker_process::{Event, Incoming, Output, Pool, PoolConfig, Worker};

const TOKEN: &str = "WP_TEST_TOKEN";
const PARENT: &str = "WP_TEST_PARENT";

const TESTS: &[Test] = &[
    ("the_parent_killed_fifty_times_leaves_nobody", killed_fifty_times),
    ("the_parent_ended_otherwise_leaves_nobody", ended_otherwise),
    ("a_stopped_worker_dies_with_its_parent", stopped_worker),
    ("an_interrupt_reaches_the_parent_alone", interrupt),
    ("without_guard_the_workers_die_all_the_same", without_guard),
];

fn main() {
    worker_process::serve_if_worker(b"orphans", serve);
    match std::env::var(PARENT) {
        Ok(end) => parent(&end),
        Err(_) => run(TESTS),
    }
}

// ---- the family ----

fn config(guard: bool) -> PoolConfig {
    PoolConfig {
        identity: b"orphans".to_vec(),
        output: Output::Inherit,
        guard,
        ..PoolConfig::new(2)
    }
}

/// Uses a core for ever, without a system call.
fn compute() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

fn serve(mut worker: Worker) -> u8 {
    let Ok(Incoming::Frame { bytes, .. }) = worker.receive(None) else { return 1 };
    match bytes.as_slice() {
        b"nest" => {
            let sleeper = Command::new("sleep").arg("600").spawn();
            drop(sleeper.expect("there is a sleep"));
            let inner = Pool::start(PoolConfig { n_workers: 1, ..config(true) });
            let mut inner = inner.expect("a pool in a worker");
            inner.send(0, b"leaf", &[]).expect("it runs");
            assert!(matches!(inner.wait(late()), Ok(Event::Frame { .. })));
            worker.send(b"nested", &[]).expect("the parent lives");
            compute()
        }
        b"leaf" => {
            // In a session of its own, as a daemon.
            let sleeper = Command::new("setsid").args(["sleep", "600"]).spawn();
            drop(sleeper.expect("there is a sleep"));
            worker.send(b"leaf", &[]).expect("the parent lives");
            compute()
        }
        b"plain" => {
            worker.send(b"plain", &[]).expect("the parent lives");
            compute()
        }
        _ => 1,
    }
}

/// Starts all of them, says so, and ends as it is told.
fn parent(end: &str) {
    let guard = end != "unguarded";
    let mut pool = Pool::start(config(guard)).expect("the pool starts");
    for worker in 0..2 {
        pool.send(worker, if guard { b"nest" } else { b"plain" }, &[]).expect("it runs");
    }
    for _ in 0..2 {
        assert!(matches!(pool.wait(late()), Ok(Event::Frame { .. })));
    }
    println!("ready {}", pool.pid(0).expect("it runs"));
    match end {
        "return" => {}
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "panic" => panic!("boom"),
        _ => compute(),
    }
}

// ---- the runner ----

fn start_parent(token: &str, end: &str) -> Child {
    let program = std::env::current_exe().expect("this program has a file");
    let mut command = Command::new(program);
    command.env(TOKEN, token).env(PARENT, end).process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("this program runs")
}

/// The line that the parent prints when all are there: the number of its first worker.
fn await_ready(parent: &mut Child) -> u32 {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let out = parent.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("it prints");
    line.trim().strip_prefix("ready ").expect("it is ready").parse().expect("a number")
}

/// Those who live and have the token.
fn family(token: &str) -> Vec<u32> {
    let mark = format!("{TOKEN}={token}");
    let belongs = |pid: &u32| {
        stat(*pid).is_some_and(|(_, alive)| alive)
            && std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == mark.as_bytes()))
    };
    processes().into_iter().filter(belongs).collect()
}

/// Waits until nobody of the family lives; how long that took.
fn await_nobody(token: &str) -> Duration {
    let begin = Instant::now();
    loop {
        let left = family(token);
        if left.is_empty() {
            return begin.elapsed();
        }
        if begin.elapsed() > Duration::from_secs(2) {
            let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
            let names: Vec<_> = left.iter().map(|pid| (*pid, name(pid), stat(*pid))).collect();
            for pid in left.iter().filter_map(|&pid| Pid::from_raw(pid.cast_signed())) {
                let _gone = kill_process(pid, Signal::KILL);
            }
            panic!("still alive after 2 s: {names:?}");
        }
    }
}

fn token(test: &str, round: usize) -> String {
    format!("{test}-{}-{round}", std::process::id())
}

fn killed_fifty_times() {
    let mut random = Random(11);
    let (mut most, mut longest) = (0, Duration::ZERO);
    for round in 0..50 {
        let token = token("killed", round);
        let mut parent = start_parent(&token, "kill");
        // From before the first worker until after the last one.
        let moment = Instant::now() + Duration::from_micros(random.below(60_000));
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        if round % 10 == 9 {
            await_ready(&mut parent);
        }
        most = most.max(family(&token).len());
        parent.kill().expect("it is our child");
        parent.wait().expect("it is our child");
        longest = longest.max(await_nobody(&token));
    }
    println!("up to {most} processes at once, all gone within {longest:?}");
    // Two workers, two guards below and one above, two inner workers, four sleepers, the parent.
    assert!(most >= 12, "the family was never complete: {most}");
}

fn ended_otherwise() {
    for (round, end) in ["return", "exit", "abort", "panic"].into_iter().enumerate() {
        let token = token("otherwise", round);
        let mut parent = start_parent(&token, end);
        await_ready(&mut parent);
        let status = parent.wait().expect("it is our child");
        assert_eq!(status.success(), end == "return", "{end}: {status}");
        await_nobody(&token);
    }
    for (round, signal) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
        let token = token("signal", round);
        let mut parent = start_parent(&token, "kill");
        await_ready(&mut parent);
        let pid = Pid::from_child(&parent);
        kill_process(pid, signal).expect("it lives");
        parent.wait().expect("it is our child");
        await_nobody(&token);
    }
}

fn stopped_worker() {
    let token = token("stopped", 0);
    let mut parent = start_parent(&token, "kill");
    let worker = await_ready(&mut parent);
    let worker = Pid::from_raw(worker.cast_signed()).expect("a number");
    kill_process(worker, Signal::STOP).expect("it lives");
    parent.kill().expect("it is our child");
    parent.wait().expect("it is our child");
    await_nobody(&token);
}

/// As the terminal does: the signal goes to the whole foreground group, which is the parent alone.
fn interrupt() {
    let token = token("interrupt", 0);
    let mut parent = start_parent(&token, "kill");
    let worker = await_ready(&mut parent);
    let worker = Pid::from_raw(worker.cast_signed()).expect("a number");
    let own = Pid::from_child(&parent);
    assert_ne!(rustix::process::getpgid(Some(worker)).expect("it lives"), own);
    kill_process_group(own, Signal::INT).expect("it lives");
    let status = parent.wait().expect("it is our child");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    await_nobody(&token);
}

fn without_guard() {
    for round in 0..5 {
        let token = token("unguarded", round);
        let mut parent = start_parent(&token, "unguarded");
        await_ready(&mut parent);
        assert_eq!(family(&token).len(), 3, "no guard");
        parent.kill().expect("it is our child");
        parent.wait().expect("it is our child");
        await_nobody(&token);
    }
}
