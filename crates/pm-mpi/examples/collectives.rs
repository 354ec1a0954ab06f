//! Times the collectives of the group of all ranks, and what it costs to hand out tasks:
//! `mpirun -np 2 target/release/examples/collectives 20 1`.
//!
//! The arguments are the number of batches and by what the calls in a batch and the longest length
//! are divided. A line for each: what it is, its length in bytes (or how many tasks), and the
//! seconds of one, the median of the batches. `benches/benches/mpi.rs` sets these beside the same
//! calls in C and in Python.

#![expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]

use std::error::Error;
use std::time::Instant;

use pm_api::{
    Peers as _, PeersError, PeersExt as _, RunOptions, Scatter as _, Schedule, Sum, TaskError,
};
use pm_mpi::{MpiManager, MpiPeers};

/// Lengths in bytes, and calls in a batch.
const LENGTHS: [(usize, usize); 5] =
    [(8, 4000), (1 << 10, 4000), (64 << 10, 400), (1 << 20, 40), (64 << 20, 2)];

#[expect(clippy::unnecessary_wraps, reason = "it is the shape of a task")]
fn build((): &()) -> Result<(), TaskError> {
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "it is the shape of a task")]
fn same((): &mut (), params: &[u64]) -> Result<Vec<u64>, TaskError> {
    Ok(params.to_vec())
}

pm_api::task!(SAME: build = build, execute = same);

/// The seconds of a call, of batches that are over when all ranks have come to their end.
fn median(
    peers: &MpiPeers,
    n_batches: usize,
    n_calls: usize,
    mut call: impl FnMut() -> Result<(), PeersError>,
) -> Result<f64, PeersError> {
    call()?;
    let mut times = Vec::new();
    for _ in 0..n_batches {
        peers.barrier()?;
        let start = Instant::now();
        for _ in 0..n_calls {
            call()?;
        }
        peers.barrier()?;
        times.push(start.elapsed().as_secs_f64() / n_calls as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[n_batches / 2])
}

fn ramp(rank: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| (rank + 1 + i % 7) as f64).collect()
}

fn collectives(peers: &MpiPeers, n_batches: usize, share: usize) -> Result<(), PeersError> {
    let (rank, size) = (peers.rank(), peers.size());
    let tell = |what: &str, n_bytes: usize, seconds: f64| {
        if rank == 0 {
            println!("{what} {n_bytes} {seconds:e}");
        }
    };
    let barrier = median(peers, n_batches, (LENGTHS[0].1 / share).max(1), || peers.barrier())?;
    tell("barrier", 0, barrier);
    for op in ["broadcast", "gather", "scatter", "all-reduce"] {
        for (n_bytes, n_calls) in LENGTHS {
            let n_bytes = if n_bytes == LENGTHS[4].0 { n_bytes / share } else { n_bytes };
            let n = n_bytes / 8;
            let in_parts = matches!(op, "gather" | "scatter") && n > 1;
            let n = if in_parts { n / size } else { n };
            let mut own = ramp(rank, n);
            let parts: Vec<f64> = (0..size).flat_map(|rank| ramp(rank, n)).collect();
            // Every page is written.
            let mut whole = if op == "scatter" { parts.clone() } else { vec![-1.0; n * size] };
            let counts = vec![n; size];
            let call = || match op {
                "broadcast" => peers.broadcast(0, &mut own),
                "gather" => peers.gather_into(0, &own, &mut whole, &counts),
                "scatter" => peers.scatter_into(0, &whole, &counts, &mut own),
                _ => peers.all_reduce_into(&own, &mut whole[..n], Sum),
            };
            let seconds = median(peers, n_batches, (n_calls / share).max(1), call)?;
            let is_right = match op {
                "broadcast" => own == ramp(0, n),
                "gather" => rank > 0 || whole == parts,
                "scatter" => own == ramp(rank, n),
                _ => (0..n).all(|i| {
                    let sum: usize = (0..size).map(|rank| rank + 1 + i % 7).sum();
                    whole[i].to_bits() == (sum as f64).to_bits()
                }),
            };
            assert!(is_right, "{op} of {n} numbers came out wrong on rank {rank}");
            tell(op, n_bytes, seconds);
        }
    }
    Ok(())
}

fn tasks(n_batches: usize, share: usize) -> Result<(), Box<dyn Error>> {
    let manager = MpiManager::available()?;
    let n = (2000 / share).max(1);
    let is_root = pm_mpi::init()?.is_root();
    for (what, schedule) in [
        ("dynamic", Schedule::Dynamic { chunk: 1 }),
        ("automatic", Schedule::Auto),
        ("static", Schedule::Static),
    ] {
        let options = RunOptions::default().schedule(schedule);
        let mut times = Vec::new();
        for _ in 0..=n_batches {
            let params: Vec<u64> = (0..n as u64).collect();
            let start = Instant::now();
            let run = manager.scatter_fn(build, (), same, params, &options)?;
            let outputs = run.gather()?.into_complete()?;
            times.push(start.elapsed().as_secs_f64() / n as f64);
            assert!(outputs.into_iter().eq(0..n as u64), "wrong outputs");
        }
        // The first one began with all that is there only once.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        if is_root {
            println!("{what} {n} {:e}", times[n_batches / 2]);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mpi = pm_mpi::init()?;
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse());
    let mut next = |otherwise| arguments.next().unwrap_or(Ok(otherwise));
    let (n_batches, share) = (next(20)?.max(1), next(1)?.max(1));
    collectives(&mpi.peers(), n_batches, share)?;
    tasks(n_batches, share)
}
