//! What runs on worker processes cost on this machine.
//!
//! Prints a table; each row is a median, and the least and the greatest of what was measured. Run it
//! with `cargo run --release -p pm-proc --example measure`. It is its own worker.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::time::Instant;

use pm_api::{
    Array, ParallelManager as _, PeersExt as _, PmError, RunOptions, Scatter as _, Schedule, Spmd,
    Sum, Task, TaskError, Worker,
};

const MIB: usize = 1 << 20;

/// Does nothing.
struct Empty;

impl Task for Empty {
    const NAME: &'static str = "measure::empty";
    type Args = ();
    type Model = ();
    type Param = u32;
    type Output = u32;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[u32], _: &Worker<'_>) -> Result<Vec<u32>, TaskError> {
        Ok(params.to_vec())
    }
}
pm_api::register_task!(Empty);

/// Gives an array back.
struct Echo;

impl Task for Echo {
    const NAME: &'static str = "measure::echo";
    type Args = ();
    type Model = ();
    type Param = Array<f64>;
    type Output = Array<f64>;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute(
        (): &mut (),
        params: &[Array<f64>],
        _: &Worker<'_>,
    ) -> Result<Vec<Array<f64>>, TaskError> {
        Ok(params.to_vec())
    }
}
pm_api::register_task!(Echo);

/// The pages that this process has asked the system for so far; 0 where it does not say.
fn n_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may have spaces, and its bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(7).and_then(|field| field.parse().ok()).unwrap_or_default()
}

/// Times collectives, in seconds: a barrier, and the sum of that many bytes.
struct Collectives;

impl Spmd for Collectives {
    const NAME: &'static str = "measure::collectives";
    type Args = usize;
    type Output = (f64, Vec<f64>);

    fn run(&n_bytes: &usize, worker: &Worker<'_>) -> Result<Self::Output, TaskError> {
        const N: u32 = 20_000;
        let peers = worker.peers();
        peers.barrier()?;
        let start = Instant::now();
        for _ in 0..N {
            peers.barrier()?;
        }
        let barrier = start.elapsed().as_secs_f64() / f64::from(N);
        let mut numbers = vec![1.0_f64; n_bytes / 8];
        let mut sums = Vec::new();
        for _ in 0..7 {
            peers.barrier()?;
            let start = Instant::now();
            peers.all_reduce(&mut numbers, Sum)?;
            sums.push(start.elapsed().as_secs_f64());
        }
        Ok((barrier, sums))
    }
}
pm_api::register_spmd!(Collectives);

fn row(what: &str, mut times: Vec<f64>, per: f64) {
    times.sort_unstable_by(f64::total_cmp);
    let us = |time: f64| time * 1e6 / per;
    let (least, most) = (us(times[0]), us(times[times.len() - 1]));
    println!("{what:<52} {:>10.2} µs  ({least:.2} to {most:.2})", us(times[times.len() / 2]));
}

fn timed(n: usize, mut what: impl FnMut() -> Result<(), PmError>) -> Result<Vec<f64>, PmError> {
    let one = |_| {
        let start = Instant::now();
        what().map(|()| start.elapsed().as_secs_f64())
    };
    (0..n).map(one).collect()
}

fn main() -> Result<(), PmError> {
    pm_api::worker_entry()?;
    let options = RunOptions::default();
    let first = || -> Result<(), PmError> {
        let manager = pm_proc::processes(2)?;
        manager.scatter::<Empty>((), vec![1, 2], &options)?.gather()?.into_complete()?;
        Ok(())
    };
    row("the first run of a program, start and end of 2", timed(1, first)?, 1.0);
    row("a run of 2 tasks, start and end of 2 processes", timed(30, first)?, 1.0);
    let manager = pm_proc::processes(2)?;
    let run = |n: u32, schedule: Schedule| {
        let options = RunOptions::default().schedule(schedule);
        let outputs = manager.scatter::<Empty>((), (0..n).collect(), &options)?.gather()?;
        assert_eq!(outputs.into_complete()?.len(), n as usize);
        Ok(())
    };
    run(2, Schedule::Auto)?;
    row("a run of 2 tasks, warm", timed(200, || run(2, Schedule::Auto))?, 1.0);
    let times = timed(9, || run(10_000, Schedule::Dynamic { chunk: 1 }))?;
    row("an empty task, one by one", times, 10_000.0);
    let times = timed(9, || run(10_000, Schedule::Strided))?;
    row("an empty task, strided", times, 10_000.0);
    let times = timed(9, || run(1_000_000, Schedule::Auto))?;
    row("an empty task, automatic chunks", times, 1e6);
    for (n_arrays, name) in [(2, "2 arrays of 32 MiB"), (1, "1 array of 64 MiB")] {
        let arrays = || vec![Array(vec![1.0_f64; 8 * MIB / n_arrays]); n_arrays];
        let mut sent: Vec<_> = (0..11).map(|_| arrays()).collect();
        let before = n_faults();
        let times = timed(11, || {
            let arrays = sent.pop().unwrap_or_default();
            let back = manager.scatter::<Echo>((), arrays, &options)?.gather()?.into_complete()?;
            assert_eq!(back.len(), n_arrays);
            Ok(())
        })?;
        row(&format!("{name} out and back"), times, 1.0);
        println!("{:<52} {:>10}", "  page faults of this process", (n_faults() - before) / 11);
    }
    let ranks = manager.run::<Collectives>(64 * MIB)?;
    row("barrier of 2", vec![ranks[0].0], 1.0);
    row("all-reduce of 64 MiB, 2 ranks", ranks[0].1.clone(), 1.0);
    println!("{} workers", manager.n_workers());
    Ok(())
}
