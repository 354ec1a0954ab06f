//! What workers can do to their parent by living and dying, and that it takes no harm.
//!
//! This program is its own worker. A frame to a worker is a command; see [`worker::serve`].

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]
#![expect(clippy::print_stderr, reason = "a worker prints to see where it goes")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(unsafe_code, reason = "a worker writes garbage behind the back of the crate")]

#[path = "../common/mod.rs"]
mod common;
mod worker;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Random, Test, late, processes, run, stat};
use rustix::process::{Signal, kill_process};
use worker_process::{
    Barrier, Ended, Event, Frozen, LinkError, Output, Part, Pool, PoolConfig, PoolError, Received,
    SharedMemory, StartError, Stream, WaitPolicy, WorkerExe,
};

const IDENTITY: &[u8] = b"the tests of worker-process";

const TESTS: &[Test] = &[
    ("frames_of_all_sizes_come_back", frames_of_all_sizes_come_back),
    ("every_wait_policy_works", every_wait_policy_works),
    ("memory_goes_there_and_back", memory_goes_there_and_back),
    ("what_is_frozen_is_shared_by_all", what_is_frozen_is_shared_by_all),
    ("every_way_to_die_has_its_name", every_way_to_die_has_its_name),
    ("a_stopped_worker_is_ended_by_a_deadline", a_stopped_worker_is_ended_by_a_deadline),
    ("garbage_costs_its_sender_only", garbage_costs_its_sender_only),
    ("a_kill_at_any_moment_loses_no_frame_that_was_sent", kill_at_any_moment),
    ("who_can_not_start_is_an_error_at_once", who_can_not_start_is_an_error_at_once),
    ("a_program_without_the_entry_is_told_the_line", a_program_without_the_entry),
    ("other_identities_are_refused", other_identities_are_refused),
    ("a_worker_is_replaced", a_worker_is_replaced),
    ("a_full_worker_does_not_block_the_parent", a_full_worker_does_not_block_the_parent),
    ("siblings_of_the_dead_leave_the_barrier", siblings_of_the_dead_leave_the_barrier),
    ("workers_meet_at_a_barrier_and_share_memory", workers_meet_and_share),
    ("output_arrives_by_whole_lines", output_arrives_by_whole_lines),
    ("shutdown_asks_first_and_uses_force_then", shutdown_asks_first),
    ("a_worker_takes_what_it_started_with_it", a_worker_takes_what_it_started_with_it),
    ("pools_nest", pools_nest),
    ("a_program_without_its_file_goes_on", a_program_without_its_file_goes_on),
    ("workers_outlive_the_thread_that_started_them", workers_outlive_the_thread),
    ("a_guard_that_fails_is_replaced", a_guard_that_fails_is_replaced),
    ("another_thread_wakes_the_pool", another_thread_wakes_the_pool),
    ("fifty_pools_leave_what_one_leaves", fifty_pools_leave_what_one_leaves),
];

fn main() {
    // Many die here, and none is worth a picture of its memory.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).expect("less is allowed");
    if std::env::var_os("WP_TEST_FORGET").is_some() {
        // As a program that has no first line: it starts its own pool.
        let error = Pool::start(PoolConfig::new(1)).expect_err("it is a worker");
        assert!(matches!(error, StartError::EntryMissing { .. }), "{error}");
        std::thread::sleep(Duration::from_secs(600));
    }
    worker_process::serve_if_worker(IDENTITY, worker::serve);
    if std::env::var_os("WP_TEST_NO_FILE").is_some() {
        let own = std::env::current_exe().expect("it is still there");
        std::fs::write(own.with_extension("new"), "another program").expect("room");
        std::fs::rename(own.with_extension("new"), own).expect("it is ours");
        pools_nest();
        return;
    }
    run(TESTS)
}

fn config(n_workers: usize) -> PoolConfig {
    PoolConfig {
        identity: IDENTITY.to_vec(),
        output: Output::Inherit,
        ..PoolConfig::new(n_workers)
    }
}

fn pool(n_workers: usize) -> Pool {
    Pool::start(config(n_workers)).expect("the pool starts")
}

/// The next event has to be a frame.
fn frame(pool: &mut Pool) -> (usize, Vec<u8>, Vec<Received>) {
    match pool.wait(late()) {
        Ok(Event::Frame { worker, bytes, parts }) => (worker, bytes, parts),
        other => panic!("a frame was expected, not {other:?}"),
    }
}

/// The next event has to be an end.
fn exit(pool: &mut Pool) -> (usize, Ended) {
    match pool.wait(late()) {
        Ok(Event::Exited { worker, ended }) => (worker, ended),
        other => panic!("an end was expected, not {other:?}"),
    }
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, alive)| alive)
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 2 s");
        std::thread::yield_now();
    }
}

fn frames_of_all_sizes_come_back() {
    let mut pool = pool(3);
    for len in [0, 1, 7, 8, 9, 1000, 16_000, 17_000, 300_000, 16 << 20] {
        for worker in 0..3 {
            let mut bytes = b"echo ".to_vec();
            bytes.extend((0..len).map(|i: usize| (i * 31 + worker) as u8));
            bytes.truncate(16 << 20);
            pool.send(worker, &bytes, &[]).unwrap();
            let (from, back, parts) = frame(&mut pool);
            assert_eq!(from, worker);
            assert!(back == bytes[5..], "{len} bytes");
            assert!(parts.is_empty());
        }
    }
    let too_long = pool.send(0, &vec![0; (16 << 20) + 1], &[]);
    assert!(
        matches!(too_long, Err(PoolError::Send { worker: 0, source: LinkError::TooLong { .. } })),
        "{too_long:?}"
    );
    assert!(matches!(pool.send(9, b"", &[]), Err(PoolError::NotRunning { worker: 9 })));
}

fn every_wait_policy_works() {
    for wait in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
        for n_workers in [1, 2] {
            let mut pool = Pool::start(PoolConfig { wait, ..config(n_workers) }).unwrap();
            // With more spinning processes than cores each answer takes a slice of time.
            for n in 0..100_usize {
                let text = format!("echo {n}");
                pool.send(n % n_workers, text.as_bytes(), &[]).unwrap();
                let (worker, bytes, _) = frame(&mut pool);
                assert_eq!((worker, bytes), (n % n_workers, n.to_string().into_bytes()));
            }
        }
    }
}

fn memory_goes_there_and_back() {
    let mut pool = pool(1);
    for len in [0, 1, 4097, 3 << 20, 64 << 20] {
        let mut draft = pool.arena().draft(len).unwrap();
        draft.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i % 251) as u8);
        let lent = draft.lend();
        pool.send(0, b"reverse", &[Part::Lent(&lent)]).unwrap();
        let (_, bytes, parts) = frame(&mut pool);
        assert_eq!(bytes, b"reversed");
        let [Received::View(view)] = &parts[..] else { panic!("{parts:?}") };
        let mut back = view.to_vec();
        back.reverse();
        assert!(*lent == *back, "{len} bytes");
        pool.send(0, b"read", &[]).unwrap();
    }
    // All pieces are back.
    assert_eq!(pool.arena().in_use(), 0);
}

fn what_is_frozen_is_shared_by_all() {
    let mut pool = pool(2);
    let frozen = Frozen::copy_of(&vec![3; 1 << 20]).unwrap();
    for worker in 0..2 {
        pool.send(worker, b"sum", &[Part::Frozen(&frozen)]).unwrap();
    }
    // The memory lives as long as somebody has it.
    drop(frozen);
    for _ in 0..2 {
        assert_eq!(frame(&mut pool).1, (3_u64 << 20).to_le_bytes());
    }
}

fn every_way_to_die_has_its_name() {
    let mut pool = pool(2);
    let ways: [(&str, Ended); 9] = [
        ("exit 0", Ended::Code(0)),
        ("exit 7", Ended::Code(7)),
        ("abort", Ended::Signal(6)),
        ("signal 9", Ended::Signal(9)),
        ("signal 11", Ended::Signal(11)),
        ("signal 15", Ended::Signal(15)),
        // Rust's handler says what happened, then aborts.
        ("overflow", Ended::Signal(6)),
        ("panic", Ended::Code(101)),
        ("garble", Ended::Code(101)),
    ];
    for (command, expected) in ways {
        let pid = pool.pid(0).unwrap();
        pool.send(0, command.as_bytes(), &[]).unwrap();
        assert_eq!(exit(&mut pool), (0, expected), "{command}");
        assert!(stat(pid).is_none(), "no zombie is left");
        assert!(matches!(pool.send(0, b"echo", &[]), Err(PoolError::NotRunning { worker: 0 })));
        // The other one takes no harm.
        pool.send(1, b"echo still here", &[]).unwrap();
        assert_eq!(frame(&mut pool).1, b"still here");
        pool.respawn(0).unwrap();
    }
}

fn a_stopped_worker_is_ended_by_a_deadline() {
    let mut pool = pool(1);
    pool.send(0, b"signal 19", &[]).unwrap();
    let soon = Instant::now() + Duration::from_millis(100);
    assert!(matches!(pool.wait(Some(soon)), Ok(Event::Deadline)));
    assert!(Instant::now() >= soon);
    pool.kill(0).unwrap();
    assert_eq!(exit(&mut pool), (0, Ended::Signal(9)));
}

fn garbage_costs_its_sender_only() {
    let mut pool = pool(2);
    for command in ["garbage", "oversized"] {
        pool.send(1, command.as_bytes(), &[]).unwrap();
        match pool.wait(late()) {
            Ok(Event::Broken { worker: 1, error: LinkError::Garbled { .. } })
                if command == "garbage" => {}
            Ok(Event::Broken { worker: 1, error: LinkError::TooLong { max, .. } })
                if command == "oversized" =>
            {
                assert_eq!(max, 16 << 20);
            }
            other => panic!("{command}: {other:?}"),
        }
        assert_eq!(exit(&mut pool), (1, Ended::Signal(9)));
        pool.send(0, b"echo fine", &[]).unwrap();
        assert_eq!(frame(&mut pool).1, b"fine");
        pool.respawn(1).unwrap();
    }
}

fn kill_at_any_moment() {
    let mut random = Random(3);
    let mut pool = pool(1);
    let mut n_seen = 0;
    for _ in 0..50 {
        pool.send(0, b"flood", &[]).unwrap();
        let n_before = random.below(500);
        let mut expected = 0_u64;
        let end = loop {
            match pool.wait(late()).unwrap() {
                Event::Frame { bytes, .. } => {
                    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                    assert_eq!(n, expected, "frames in order, none lost");
                    assert_eq!(bytes.len(), if n.is_multiple_of(50) { 100_000 } else { 8 });
                    expected += 1;
                    if expected == n_before {
                        pool.kill(0).unwrap();
                    }
                }
                Event::Exited { ended, .. } => break ended,
                Event::Deadline if n_before == 0 => unreachable!("frames come"),
                other => panic!("{other:?}"),
            }
            if n_before == 0 && expected == 1 {
                pool.kill(0).unwrap();
            }
        };
        assert_eq!(end, Ended::Signal(9));
        n_seen += expected;
        pool.respawn(0).unwrap();
    }
    assert!(n_seen > 5000, "{n_seen}");
}

fn who_can_not_start_is_an_error_at_once() {
    let start = |exe: &str, args: &[&str], timeout: u64| {
        let begin = Instant::now();
        let error = Pool::start(PoolConfig {
            exe: WorkerExe::Path(exe.into()),
            args: args.iter().map(Into::into).collect(),
            start_timeout: Duration::from_millis(timeout),
            ..config(2)
        })
        .expect_err("it is no worker");
        assert!(begin.elapsed() < Duration::from_secs(2), "{error}");
        error
    };
    let n_before = children().len();
    let missing = start("/no/such/program", &[], 20_000);
    assert!(matches!(missing, StartError::Spawn { worker: 0, .. }), "{missing}");
    assert!(missing.to_string().contains("/no/such/program"));
    let early = start("/bin/true", &[], 20_000);
    assert!(
        matches!(early, StartError::EndedEarly { ended: Ended::Code(0), .. }),
        "{early}: {early:?}"
    );
    let killed = start("/bin/sh", &["-c", "kill -9 $$"], 20_000);
    assert!(matches!(killed, StartError::EndedEarly { ended: Ended::Signal(9), .. }), "{killed:?}");
    let silent = start("/bin/sleep", &["600"], 200);
    assert!(matches!(silent, StartError::Timeout { .. }), "{silent:?}");
    assert!(silent.to_string().contains("serve_if_worker"), "{silent}");
    let garbage = start("/bin/sh", &["-c", "printf 'good day to you all' >&0; sleep 600"], 20_000);
    assert!(matches!(garbage, StartError::Greeting { .. }), "{garbage:?}");
    assert_eq!(children().len(), n_before, "none is left");
    let none = Pool::start(config(0));
    assert!(matches!(none, Err(StartError::NoWorkers)));
}

fn a_program_without_the_entry() {
    let begin = Instant::now();
    let env = vec![("WP_TEST_FORGET".into(), "1".into())];
    let error = Pool::start(PoolConfig { env, guard: false, ..config(1) }).expect_err("forgotten");
    assert!(matches!(error, StartError::EntryMissing { .. }), "{error:?}");
    assert!(error.to_string().contains("worker_process::serve_if_worker"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

fn other_identities_are_refused() {
    let identity = b"other tasks".to_vec();
    let error = Pool::start(PoolConfig { identity, ..config(1) }).expect_err("another identity");
    assert!(matches!(error, StartError::Mismatch { what: "identity", .. }), "{error:?}");
    assert!(error.to_string().contains("other tasks"), "{error}");
}

fn a_worker_is_replaced() {
    let mut pool = pool(2);
    assert!(matches!(pool.respawn(0), Err(StartError::StillRunning { worker: 0 })));
    assert!(matches!(pool.respawn(5), Err(StartError::NoSuchWorker { worker: 5, n_workers: 2 })));
    for _ in 0..3 {
        let before = pool.pid(0);
        pool.kill(0).unwrap();
        assert_eq!(exit(&mut pool), (0, Ended::Signal(9)));
        assert!(!pool.is_running(0));
        pool.respawn(0).unwrap();
        assert_ne!(pool.pid(0), before);
        pool.send(0, b"echo again", &[]).unwrap();
        assert_eq!(frame(&mut pool).1, b"again");
    }
}

fn a_full_worker_does_not_block_the_parent() {
    let mut pool = pool(2);
    pool.send(0, b"deaf", &[]).unwrap();
    let mut n_sent = 0_u64;
    let refused = loop {
        match pool.send(0, &vec![0; 1 << 20], &[]) {
            Ok(()) => n_sent += 1,
            Err(error) => break error,
        }
    };
    assert!(n_sent >= 64, "{n_sent}");
    assert!(
        matches!(refused, PoolError::Send { source: LinkError::Backlog { .. }, .. }),
        "{refused:?}"
    );
    pool.send(1, b"echo free", &[]).unwrap();
    assert_eq!(frame(&mut pool).1, b"free");
    pool.kill(0).unwrap();
    assert_eq!(exit(&mut pool), (0, Ended::Signal(9)));
}

fn siblings_of_the_dead_leave_the_barrier() {
    let mut pool = pool(3);
    let barrier = Barrier::create(3).unwrap();
    pool.poison_on_exit(barrier.clone());
    for worker in 0..2 {
        pool.send(worker, b"barrier", &[Part::Fd(barrier.fd())]).unwrap();
        assert_eq!(frame(&mut pool).1, b"here");
    }
    pool.send(2, b"exit 3", &[]).unwrap();
    assert_eq!(exit(&mut pool), (2, Ended::Code(3)));
    for _ in 0..2 {
        assert_eq!(frame(&mut pool).1, b"Err(true)");
    }
    assert!(barrier.is_poisoned());
}

fn workers_meet_and_share() {
    for n_workers in 1..=4_usize {
        let mut pool = pool(n_workers);
        let barrier = Barrier::create(u32::try_from(n_workers).unwrap()).unwrap();
        let memory = SharedMemory::create(64 * n_workers).unwrap();
        for worker in 0..n_workers {
            let parts = [Part::Fd(barrier.fd()), Part::Fd(memory.fd())];
            pool.send(worker, b"barrier", &parts).unwrap();
        }
        let n = n_workers as u64;
        let total = n * 10 * (499 * 500 / 2) + 500 * (n * (n - 1) / 2);
        let mut n_done = 0;
        while n_done < n_workers {
            let (_, bytes, _) = frame(&mut pool);
            if bytes != b"here" {
                assert_eq!(bytes, total.to_le_bytes());
                n_done += 1;
            }
        }
    }
}

fn output_arrives_by_whole_lines() {
    let lines: Arc<Mutex<Vec<(usize, Stream, String)>>> = Arc::default();
    let seen = Arc::clone(&lines);
    let output = Output::Lines(Arc::new(move |line| {
        let text = String::from_utf8_lossy(line.bytes).into_owned();
        seen.lock().expect("no panic").push((line.worker, line.stream, text));
    }));
    let mut pool = Pool::start(PoolConfig { output, ..config(2) }).unwrap();
    for worker in 0..2 {
        pool.send(worker, b"print", &[]).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(frame(&mut pool).1, b"printed");
    }
    assert_eq!(pool.shutdown(), [Some(Ended::Code(0)); 2]);
    let lines = lines.lock().unwrap();
    for worker in 0..2 {
        let of = |stream| -> Vec<&str> {
            let own = lines.iter().filter(|line| (line.0, line.1) == (worker, stream));
            own.map(|line| line.2.as_str()).collect()
        };
        let mut out: Vec<String> = (0..1000).map(|n| format!("out {worker} line {n}\n")).collect();
        out.push("no end".to_owned());
        let err: Vec<String> = (0..1000).map(|n| format!("err {worker} line {n}\n")).collect();
        assert_eq!(of(Stream::Stdout), out);
        assert_eq!(of(Stream::Stderr), err);
    }
}

fn shutdown_asks_first() {
    let grace = Duration::from_millis(200);
    let mut pool = Pool::start(PoolConfig { grace, ..config(3) }).unwrap();
    pool.send(1, b"ignore", &[]).unwrap();
    assert_eq!(frame(&mut pool).1, b"ignoring");
    pool.send(2, b"exit 5", &[]).unwrap();
    assert_eq!(exit(&mut pool), (2, Ended::Code(5)));
    let begin = Instant::now();
    let ends = pool.shutdown();
    assert_eq!(ends, [Some(Ended::Code(0)), Some(Ended::Signal(15)), None]);
    assert!(begin.elapsed() >= grace);
}

fn a_worker_takes_what_it_started_with_it() {
    let mut pool = pool(1);
    for (how, way) in [
        ("start", "kill"),
        ("start", "exit 0"),
        ("start", "signal 11"),
        ("daemon", "kill"),
        ("daemon", "exit 0"),
    ] {
        pool.send(0, how.as_bytes(), &[]).unwrap();
        let started: u32 = String::from_utf8(frame(&mut pool).1).unwrap().parse().unwrap();
        assert!(is_alive(started));
        if way == "kill" {
            pool.kill(0).unwrap();
        } else {
            pool.send(0, way.as_bytes(), &[]).unwrap();
        }
        exit(&mut pool);
        wait_until(way, || !is_alive(started));
        pool.respawn(0).unwrap();
    }
}

fn pools_nest() {
    let mut pool = pool(2);
    for _ in 0..3 {
        for worker in 0..2 {
            pool.send(worker, b"nest", &[]).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(frame(&mut pool).1, b"inner 0;inner 1;");
        }
    }
}

/// Its file is replaced while it runs: the workers are still the same program.
fn a_program_without_its_file_goes_on() {
    let dir = std::env::temp_dir().join(format!("worker-process-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let copy = dir.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let status = Command::new(&copy).env("WP_TEST_NO_FILE", "1").status().unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), b"another program");
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(status.success(), "{status}");
}

fn workers_outlive_the_thread() {
    let thread = std::thread::spawn(|| pool(2));
    let mut pool = thread.join().unwrap();
    // The kernel would have killed them by now, had that thread started them.
    for n in 0..200 {
        pool.send(n % 2, b"echo alive", &[]).unwrap();
        assert_eq!(frame(&mut pool).1, b"alive");
    }
}

fn another_thread_wakes_the_pool() {
    let mut pool = pool(1);
    for _ in 0..20 {
        let waker = pool.waker();
        let thread = std::thread::spawn(move || waker.wake());
        assert!(matches!(pool.wait(late()), Ok(Event::Woken)));
        thread.join().unwrap();
    }
    let now = Some(Instant::now());
    assert!(matches!(pool.wait(now), Ok(Event::Deadline)));
}

/// The children of this process, zombies included.
fn children() -> Vec<u32> {
    let own = std::process::id();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|(parent, _)| parent == own);
    processes().into_iter().filter(is_child).collect()
}

/// Descriptors, threads, children, mapped segments.
fn held() -> [usize; 4] {
    let count = |path: &str| std::fs::read_dir(path).expect("there is a /proc").count();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there is a /proc");
    let n_maps = maps.lines().filter(|line| line.contains("memfd:polychron")).count();
    [count("/proc/self/fd"), count("/proc/self/task"), children().len(), n_maps]
}

fn fifty_pools_leave_what_one_leaves() {
    let one = |n: usize| {
        let output = Output::Lines(Arc::new(|_| ()));
        let mut pool = Pool::start(PoolConfig { output, ..config(2) }).unwrap();
        let lent = pool.arena().draft(100_000).unwrap().lend();
        pool.send(0, b"reverse", &[Part::Lent(&lent)]).unwrap();
        frame(&mut pool);
        let frozen = Frozen::copy_of(b"abc").unwrap();
        pool.send(1, b"sum", &[Part::Frozen(&frozen)]).unwrap();
        frame(&mut pool);
        match n % 3 {
            0 => drop(pool),
            1 => drop(pool.shutdown()),
            _ => {
                pool.send(1, b"abort", &[]).unwrap();
                exit(&mut pool);
            }
        }
    };
    one(0);
    let after_one = held();
    (0..50).for_each(one);
    assert_eq!(held(), after_one, "descriptors, threads, children, segments");
}

/// The parent waits neither for a guard that is stopped nor for one that is gone, and has a new one
/// for the next workers.
fn a_guard_that_fails_is_replaced() {
    let guard = || {
        let is_guard = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.windows(7).any(|part| part == b":guard:"))
        };
        children().into_iter().find(is_guard).map(|pid| pid.cast_signed())
    };
    drop(pool(1));
    for signal in [Signal::STOP, Signal::KILL] {
        let first = guard().expect("a guard");
        let pid = rustix::process::Pid::from_raw(first).expect("a number");
        kill_process(pid, signal).expect("it lives");
        // A stopped one is noticed when no more can be said to it.
        let deadline = Instant::now() + Duration::from_secs(30);
        while guard() == Some(first) {
            assert!(Instant::now() < deadline, "it was not replaced");
            drop(pool(2));
        }
        drop(pool(1));
        assert!(guard().is_some());
    }
}
