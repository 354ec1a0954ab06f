//! Times the collectives of the group of all ranks beside those of MPI itself, call by call in turn:
//! `mpirun -np 2 target/release/examples/collectives`.
//!
//! The least of many is shown, since on a machine with other work the others say nothing.

#![expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]

use std::time::{Duration, Instant};

use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};
use pm_api::{Peers as _, PeersExt as _, Sum};

/// The least time of one call of each, in turn, on this rank.
fn least(n: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    let timed = |call: &mut dyn FnMut()| {
        let begin = Instant::now();
        call();
        begin.elapsed()
    };
    let mut least = (Duration::MAX, Duration::MAX);
    for _ in 0..n {
        least.0 = least.0.min(timed(&mut ours));
        least.1 = least.1.min(timed(&mut theirs));
    }
    least
}

fn main() -> Result<(), pm_mpi::MpiError> {
    let mpi = pm_mpi::init()?;
    let (peers, world) = (mpi.peers(), SimpleCommunicator::world());
    let tell = |what: &str, (ours, theirs): (Duration, Duration)| {
        if mpi.is_root() {
            println!("{what:24} {ours:>12.2?} {theirs:>12.2?}");
        }
    };
    let agreed = "all ranks call the same";
    tell("barrier", least(2000, || peers.barrier().expect(agreed), || world.barrier()));
    for n_bytes in [8, 1 << 10, 64 << 10, 1 << 20, 16 << 20] {
        let n = (16_usize << 20).div_euclid(n_bytes).clamp(10, 2000);
        // Every page is written, so that none of them is the one page of zeros.
        let mut data: Vec<f64> = (0..n_bytes / 8).map(|i| i as f64).collect();
        let (mut copy, mut sum) = (data.clone(), data.clone());
        let root = world.process_at_rank(0);
        let broadcast = least(
            n,
            || peers.broadcast(0, &mut data).expect(agreed),
            || root.broadcast_into(&mut copy[..]),
        );
        tell(&format!("broadcast {n_bytes} B"), broadcast);
        let all_reduce = least(
            n,
            || peers.all_reduce(&mut data, Sum).expect(agreed),
            || world.all_reduce_into(&copy[..], &mut sum[..], SystemOperation::sum()),
        );
        tell(&format!("all-reduce {n_bytes} B"), all_reduce);
    }
    Ok(())
}
