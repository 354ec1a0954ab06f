//! Times collectives between threads: `cargo run --release -p pm-threads --example collectives`.
//!
//! Every page of every buffer is written first. The least time is the one to compare on a machine
//! that has other things to do.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use pm_api::{CancelToken, Peers};
use pm_api::{PeersError, PeersExt as _, Scatter as _, Spmd, Sum, TaskError, Worker};
use pm_threads::{ThreadGroup, WaitPolicy, threads};

fn time(n: usize, mut run: impl FnMut() -> Result<(), PeersError>) -> Result<[f64; 2], PeersError> {
    let mut times: Vec<Duration> = Vec::with_capacity(n);
    for _ in 0..n {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok([times[0], times[n / 2]].map(|time| time.as_secs_f64() * 1e6))
}

fn many(peers: &dyn Peers) -> Result<Vec<(String, [f64; 2])>, PeersError> {
    let mut rows = Vec::new();
    // A barrier is shorter than reading the clock, so a thousand at a time.
    let [least, median] = time(200, || (0..1000).try_for_each(|_| peers.barrier()))?;
    rows.push(("barrier".to_owned(), [least / 1e3, median / 1e3]));
    for n_bytes in [8_usize, 64 << 10, 1 << 20, 64 << 20] {
        let mut array = vec![1.5_f64; n_bytes / 8];
        let n = if n_bytes > 1 << 20 { 40 } else { 300 };
        let broadcast = time(n, || peers.broadcast(0, black_box(&mut array)))?;
        rows.push((format!("broadcast {n_bytes} B"), broadcast));
        let all_reduce = time(n, || {
            peers.all_reduce(black_box(&mut array), Sum)?;
            array.iter_mut().step_by(512).for_each(|x| *x = 1.5);
            Ok(())
        })?;
        rows.push((format!("all-reduce {n_bytes} B"), all_reduce));
        // What it is measured by: every rank copies as much, at the same time.
        let mut copy = vec![2.5_f64; n_bytes / 8];
        let copies = time(n, || {
            peers.barrier()?;
            copy.copy_from_slice(black_box(&array));
            black_box(&mut copy);
            peers.barrier()
        })?;
        rows.push((format!("copy {n_bytes} B"), copies));
    }
    Ok(rows)
}

struct Collectives;

impl Spmd for Collectives {
    const NAME: &'static str = "collectives::collectives";
    type Args = ();
    type Output = Vec<(String, [f64; 2])>;

    fn run((): &(), worker: &Worker<'_>) -> Result<Self::Output, TaskError> {
        Ok(many(worker.peers())?)
    }
}

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), pm_api::PmError> {
    for n_ranks in [2, 4] {
        println!("{n_ranks} ranks                least us   median us");
        for (name, [least, median]) in &threads(n_ranks)?.run::<Collectives>(())?[0] {
            println!("  {name:<22} {least:>10.3} {median:>10.3}");
        }
    }
    for policy in [WaitPolicy::Adaptive, WaitPolicy::Spin, WaitPolicy::Block] {
        let group = ThreadGroup::new(2, policy, &CancelToken::new());
        let times = std::thread::scope(|scope| {
            let run = |rank| {
                let peers = group.member(rank);
                move || time(100, || (0..100).try_for_each(|_| peers.barrier()))
            };
            let other = scope.spawn(run(1));
            let times = run(0)();
            let _ = other.join();
            times
        });
        if let Ok([least, median]) = times {
            println!("barrier, {policy:?}: {:.3} {:.3} us", least / 1e2, median / 1e2);
        }
    }
    Ok(())
}
