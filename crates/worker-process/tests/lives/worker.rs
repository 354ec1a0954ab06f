//! What a worker is told to do.

use std::os::fd::BorrowedFd;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use worker_process::{
    Barrier, BarrierError, Event, Incoming, Part, Pool, Received, SharedMemory, WaitPolicy, Worker,
};

use crate::common::late;
use crate::config;

pub(crate) fn serve(mut worker: Worker) -> u8 {
    loop {
        let (bytes, parts) = match worker.receive(None) {
            Ok(Incoming::Frame { bytes, parts }) => (bytes, parts),
            Ok(Incoming::Shutdown) => return 0,
            Ok(Incoming::Deadline) | Err(_) => return 99,
        };
        let (command, rest) = match bytes.iter().position(|&byte| byte == b' ') {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (&bytes[..], &[][..]),
        };
        match command {
            b"echo" => worker.send(rest, &[]).expect("the parent lives"),
            b"reverse" => reverse(&mut worker, &parts),
            b"sum" => sum(&mut worker, &parts),
            b"flood" => flood(&mut worker),
            b"deaf" => std::thread::sleep(Duration::from_secs(600)),
            b"garbage" => raw_write(b"this was never a frame of anybody's"),
            b"oversized" => raw_write(&(1_u64 << 32 | 0x7770 << 48 | 0x7fff_ffff).to_ne_bytes()),
            b"barrier" => barrier(&mut worker, parts),
            b"nest" => nest(&mut worker),
            b"start" => start_something(&mut worker, &[]),
            b"daemon" => start_something(&mut worker, &["setsid"]),
            b"print" => {
                for n in 0..1000 {
                    print!("out {} ", worker.index());
                    println!("line {n}");
                    eprintln!("err {} line {n}", worker.index());
                }
                print!("no end");
                worker.send(b"printed", &[]).expect("the parent lives");
            }
            b"ignore" => ignore_shutdown(&mut worker),
            b"exit" => std::process::exit(String::from_utf8_lossy(rest).parse().expect("a code")),
            b"abort" => std::process::abort(),
            b"panic" => panic!("boom"),
            b"overflow" => drop(overflow(1)),
            b"signal" => {
                let signal: i32 = String::from_utf8_lossy(rest).parse().expect("a number");
                let signal = Signal::from_named_raw(signal).expect("a signal");
                // Twice, since Rust's handler of signal 11 waits for the fault to happen again.
                for _ in 0..2 {
                    kill_process(getpid(), signal).expect("it is this process");
                }
            }
            other => panic!("unknown command {}", other.escape_ascii()),
        }
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(n: u64) -> u64 {
    std::hint::black_box(overflow(std::hint::black_box(n + 1)) + 1)
}

/// Sends a part back, in the worker's own arena, in reverse.
fn reverse(worker: &mut Worker, parts: &[Received]) {
    let [Received::View(view)] = parts else { panic!("one view, not {parts:?}") };
    let mut draft = worker.arena().draft(view.len()).expect("memory");
    view.read(0, &mut draft);
    draft.reverse();
    let lent = draft.lend();
    worker.send(b"reversed", &[Part::Lent(&lent)]).expect("the parent lives");
    // Until the parent has read it.
    if matches!(worker.receive(None), Ok(Incoming::Shutdown)) {
        std::process::exit(0);
    }
}

fn sum(worker: &mut Worker, parts: &[Received]) {
    let [Received::Frozen(frozen)] = parts else { panic!("frozen bytes, not {parts:?}") };
    let sum: u64 = frozen.iter().map(|&byte| u64::from(byte)).sum();
    worker.send(&sum.to_le_bytes(), &[]).expect("the parent lives");
}

/// Frames without end: by ring, by socket, with parts.
fn flood(worker: &mut Worker) {
    for n in 0_u64.. {
        let mut bytes = n.to_le_bytes().to_vec();
        if n.is_multiple_of(50) {
            bytes.resize(100_000, 7);
        }
        if worker.send(&bytes, &[]).is_err() {
            return;
        }
    }
}

/// Writes into the control socket behind the back of the crate.
fn raw_write(bytes: &[u8]) {
    for entry in std::fs::read_dir("/proc/self/fd").expect("there is a /proc").flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let number = entry.file_name().to_string_lossy().parse().unwrap_or(0);
        if number > 2 && target.to_string_lossy().starts_with("socket:") {
            // SAFETY: the descriptor was just seen to be open, and the socket is never closed.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::write(socket, bytes).expect("the parent lives");
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(600));
}

/// Counts together with the others, round by round, in shared memory.
fn barrier(worker: &mut Worker, parts: Vec<Received>) {
    let mut fds = parts.into_iter().map(|part| match part {
        Received::Fd(fd) => fd,
        other => panic!("a descriptor, not {other:?}"),
    });
    let size = u32::try_from(worker.n_workers()).expect("few");
    let barrier = Barrier::open(fds.next().expect("a barrier"), size).expect("it can be mapped");
    let memory = fds.next().map(|fd| SharedMemory::open(fd).expect("it can be mapped"));
    let mut member = barrier.member(WaitPolicy::Adaptive);
    worker.send(b"here", &[]).expect("the parent lives");
    let Some(memory) = memory else {
        let outcome = member.pass(None).map_err(|error| error == BarrierError::Poisoned);
        return worker.send(format!("{outcome:?}").as_bytes(), &[]).expect("the parent lives");
    };
    let (own, n) = (worker.index(), worker.n_workers());
    let place = |of: usize| 64 * of;
    let mut total = 0;
    for round in 0..500_u64 {
        memory.write(place(own), &(round * 10 + own as u64).to_le_bytes());
        member.pass(late()).expect("all come");
        for other in 0..n {
            let mut bytes = [0; 8];
            memory.read(place(other), &mut bytes);
            assert_eq!(u64::from_le_bytes(bytes), round * 10 + other as u64, "round {round}");
            total += u64::from_le_bytes(bytes);
        }
        member.pass(late()).expect("all come");
    }
    worker.send(&total.to_le_bytes(), &[]).expect("the parent lives");
}

fn nest(worker: &mut Worker) {
    let mut pool = Pool::start(config(2)).expect("a pool in a worker");
    let mut answer = Vec::new();
    for inner in 0..2 {
        pool.send(inner, format!("echo inner {inner};").as_bytes(), &[]).expect("it runs");
    }
    let mut answers = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        match pool.wait(late()) {
            Ok(Event::Frame { worker, bytes, .. }) => answers[worker] = bytes,
            other => panic!("{other:?}"),
        }
    }
    answers.iter().for_each(|bytes| answer.extend_from_slice(bytes));
    worker.send(&answer, &[]).expect("the parent lives");
}

#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
fn start_something(worker: &mut Worker, by: &[&str]) {
    // `setsid` becomes what it runs, since it does not lead a group here.
    let words = [by, &["sleep", "600"]].concat();
    let child = Command::new(words[0]).args(&words[1..]).spawn().expect("there is a sleep");
    worker.send(child.id().to_string().as_bytes(), &[]).expect("the parent lives");
}

fn ignore_shutdown(worker: &mut Worker) {
    worker.send(b"ignoring", &[]).expect("the parent lives");
    loop {
        std::thread::sleep(Duration::from_secs(600));
    }
}
