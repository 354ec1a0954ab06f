//! What the ways between processes cost on this machine.
//!
//! Prints a table; each row is a median, and the least and the greatest of what was measured. Run it
//! with `cargo run --release -p worker-process --example measure`. It is its own worker.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::time::{Duration, Instant};

use worker_process::{
    Barrier, Event, FrozenDraft, Incoming, Output, Part, Pool, PoolConfig, Received, WaitPolicy,
    Worker,
};

const MIB: usize = 1 << 20;
type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    worker_process::serve_if_worker(b"measure", |mut worker| u8::from(serve(&mut worker).is_err()));
    starts()?;
    for pin in [false, true] {
        for wait in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
            trips(wait, pin)?;
        }
    }
    for wait in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
        tasks(wait)?;
    }
    memory()?;
    for wait in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
        barriers(wait)?;
    }
    Ok(())
}

fn serve(worker: &mut Worker) -> Result<(), Failure> {
    let mut copy = Vec::new();
    loop {
        let (bytes, parts) = match worker.receive(None)? {
            Incoming::Frame { bytes, parts } => (bytes, parts),
            Incoming::Shutdown | Incoming::Deadline => return Ok(()),
        };
        match &parts[..] {
            [] => worker.send(&bytes, &[])?,
            [Received::Frozen(frozen)] => worker.send(&[frozen[0]], &[])?,
            [Received::View(view)] => {
                copy.resize(view.len(), 0);
                view.read(0, &mut copy);
                let mut draft = worker.arena().draft(copy.len())?;
                draft.copy_from_slice(&copy);
                let lent = draft.lend();
                worker.send(&bytes, &[Part::Lent(&lent)])?;
                worker.receive(None)?;
            }
            [Received::Fd(fd)] => {
                let mut member = Barrier::open(fd.try_clone()?, 2)?.member(worker.wait_policy());
                while member.pass(None).is_ok() {}
            }
            other => return Err(format!("unknown parts {other:?}").into()),
        }
    }
}

fn config(n_workers: usize, wait: WaitPolicy) -> PoolConfig {
    PoolConfig {
        identity: b"measure".to_vec(),
        wait,
        output: Output::Inherit,
        ..PoolConfig::new(n_workers)
    }
}

fn row(what: &str, mut times: Vec<Duration>, per: u32) {
    times.sort_unstable();
    let us = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(per);
    let (least, most) = (us(times[0]), us(times[times.len() - 1]));
    println!("{what:<58} {:>10.2} µs  ({least:.2} to {most:.2})", us(times[times.len() / 2]));
}

fn timed(
    n: usize,
    mut what: impl FnMut() -> Result<(), Failure>,
) -> Result<Vec<Duration>, Failure> {
    let one = |_| {
        let begin = Instant::now();
        what().map(|()| begin.elapsed())
    };
    (0..n).map(one).collect()
}

fn answer(pool: &mut Pool) -> Result<Vec<Received>, Failure> {
    match pool.wait(Some(Instant::now() + Duration::from_secs(10)))? {
        Event::Frame { parts, .. } => Ok(parts),
        other => Err(format!("no answer, but {other:?}").into()),
    }
}

fn starts() -> Result<(), Failure> {
    let start = || {
        let begin = Instant::now();
        let pool = Pool::start(config(2, WaitPolicy::Adaptive))?;
        let time = begin.elapsed();
        drop(pool);
        Ok::<Duration, Failure>(time)
    };
    row("first pool of 2 workers, with the guard", vec![start()?], 1);
    row("further pool of 2 workers", (0..30).map(|_| start()).collect::<Result<_, _>>()?, 1);
    let end = || {
        let pool = Pool::start(config(2, WaitPolicy::Adaptive))?;
        let begin = Instant::now();
        drop(pool);
        Ok::<Duration, Failure>(begin.elapsed())
    };
    row("its end", (0..30).map(|_| end()).collect::<Result<_, _>>()?, 1);
    Ok(())
}

fn trips(wait: WaitPolicy, pin: bool) -> Result<(), Failure> {
    let mut pool = Pool::start(PoolConfig { pin, ..config(1, wait) })?;
    for (way, len) in [("ring, empty", 0), ("ring, 1 KiB", 1024), ("socket, 17 KiB", 17 * 1024)] {
        let bytes = vec![0; len];
        let times = timed(2000, || {
            pool.send(0, &bytes, &[])?;
            answer(&mut pool).map(drop)
        })?;
        let pinned = if pin { "worker pinned" } else { "not pinned" };
        row(&format!("round trip, {way}, {wait:?}, {pinned}"), times, 1);
    }
    Ok(())
}

fn tasks(wait: WaitPolicy) -> Result<(), Failure> {
    const N: u32 = 10_000;
    for depth in [2, 16, 128] {
        let mut pool = Pool::start(config(2, wait))?;
        let times = timed(9, || {
            let (mut n_sent, mut n_back) = (0, 0);
            for worker in 0..2 {
                for _ in 0..depth {
                    pool.send(worker, &[0; 8], &[])?;
                    n_sent += 1;
                }
            }
            while n_back < N {
                let Event::Frame { worker, .. } = pool.wait(None)? else { continue };
                n_back += 1;
                if n_sent < N {
                    pool.send(worker, &[0; 8], &[])?;
                    n_sent += 1;
                }
            }
            Ok(())
        })?;
        row(&format!("a task of nothing, 2 workers, {depth} ahead, {wait:?}"), times, N);
    }
    Ok(())
}

fn memory() -> Result<(), Failure> {
    let mut pool = Pool::start(config(2, WaitPolicy::Adaptive))?;
    for len in [MIB, 64 * MIB] {
        let mut draft = FrozenDraft::new(len)?;
        draft.fill(7);
        let begin = Instant::now();
        let frozen = draft.freeze()?;
        row(&format!("freezing {} MiB", len / MIB), vec![begin.elapsed()], 1);
        let times = timed(50, || {
            for worker in 0..2 {
                pool.send(worker, b"", &[Part::Frozen(&frozen)])?;
            }
            for _ in 0..2 {
                answer(&mut pool)?;
            }
            Ok(())
        })?;
        row(&format!("{} MiB by reference to 2 workers, answered", len / MIB), times, 1);
    }
    let ours = vec![1_u8; 32 * MIB];
    let mut back = vec![0_u8; 32 * MIB];
    let times = timed(10, || {
        let mut lent = Vec::new();
        for worker in 0..2 {
            let mut draft = pool.arena().draft(ours.len())?;
            draft.copy_from_slice(&ours);
            lent.push(draft.lend());
            pool.send(worker, b"x", &[Part::Lent(&lent[worker])])?;
        }
        for _ in 0..2 {
            let Event::Frame { worker, parts, .. } = pool.wait(None)? else {
                return Err("no answer".into());
            };
            let [Received::View(view)] = &parts[..] else { return Err("no view".into()) };
            view.read(0, &mut back);
            pool.send(worker, b"done", &[])?;
        }
        Ok(())
    })?;
    row("2 x 32 MiB out and back, copied in and out at each end", times, 1);
    let times = timed(10, || {
        back.copy_from_slice(&ours);
        Ok(())
    })?;
    row("one copy of 32 MiB in one process", times, 1);
    Ok(())
}

fn barriers(wait: WaitPolicy) -> Result<(), Failure> {
    const N: u32 = 2000;
    let mut pool = Pool::start(config(1, wait))?;
    let barrier = Barrier::create(2)?;
    pool.poison_on_exit(barrier.clone());
    pool.send(0, b"", &[Part::Fd(barrier.fd())])?;
    let mut member = barrier.member(wait);
    let times = timed(20, || {
        for _ in 0..N {
            member.pass(None)?;
        }
        Ok(())
    })?;
    row(&format!("barrier of 2 processes, {wait:?}"), times, N);
    barrier.poison();
    Ok(())
}
