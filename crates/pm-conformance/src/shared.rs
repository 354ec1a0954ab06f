//! Arrays that all workers read.

use std::fs;

use pm_api::{Scatter as _, Schedule, Shared, Task, TaskError, Worker, register_task};
use serde::{Deserialize, Serialize};

use crate::Setup;
use crate::results::{by, complete};

/// Where a worker has an array, and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    rank: usize,
    pid: u32,
    address: usize,
    /// The file whose pages these are, as `/proc/self/maps` has it; 0 for memory of the process.
    inode: u64,
    /// Whether all numbers are right.
    right: bool,
}

struct Look;

impl Task for Look {
    const NAME: &'static str = "pm_conformance::look";
    type Args = (Shared<u64>, Shared<u64>);
    type Model = Self::Args;
    type Param = (Shared<u64>, u64);
    type Output = [Place; 3];

    fn build(args: &Self::Args, _: &Worker<'_>) -> Result<Self::Args, TaskError> {
        Ok(args.clone())
    }

    fn execute(
        (long, short): &mut Self::Args,
        params: &[Self::Param],
        worker: &Worker<'_>,
    ) -> Result<Vec<[Place; 3]>, TaskError> {
        let look = |array: &Shared<u64>, of: u64| -> Result<Place, TaskError> {
            let address = array.as_ptr().addr();
            let (rank, pid) = (worker.rank(), std::process::id());
            let right = array.iter().enumerate().all(|(i, &x)| x == number(of, i));
            Ok(Place { rank, pid, address, inode: inode_at(address)?, right })
        };
        let all =
            |(param, of): &Self::Param| Ok([look(long, 1)?, look(short, 2)?, look(param, *of)?]);
        params.iter().map(all).collect()
    }
}
register_task!(Look);

/// Number `i` of array `of`.
fn number(of: u64, i: usize) -> u64 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of
}

fn array(of: u64, len: usize) -> Shared<u64> {
    Shared::new((0..len).map(|i| number(of, i)).collect::<Vec<_>>())
}

/// The file that is mapped at an address of this process.
fn inode_at(address: usize) -> Result<u64, TaskError> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let range = words.next().and_then(|range| range.split_once('-'));
        let Some((from, to)) = range else { continue };
        let hex = |text| usize::from_str_radix(text, 16);
        if (hex(from)?..hex(to)?).contains(&address) {
            return Ok(words.nth(3).map_or(Ok(0), str::parse)?);
        }
    }
    Err(std::io::Error::other(format!("nothing is mapped at {address:#x}")).into())
}

/// R10. Values are right everywhere. In this process it is the caller's memory; where workers are
/// other processes on this host and have mapped it, it is one file for all of them and all runs.
pub(crate) fn r10_a_shared_array_is_the_same_for_all_workers_and_runs(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let (long, short, param) = (array(1, 100_000), array(2, 10), array(3, 50_000));
    let arrays = [&long, &short, &param];
    let mut seen: [Vec<Place>; 3] = Default::default();
    for schedule in [Schedule::Static, Schedule::Dynamic { chunk: 1 }, Schedule::Auto] {
        let mut params = vec![(param.clone(), 3); 7];
        // One that this run alone has.
        params.push((array(4, 20_000), 4));
        let args = (long.clone(), short.clone());
        let outputs = complete(manager.scatter::<Look>(args, params, &by(schedule)));
        assert_eq!(outputs.len(), 8);
        for (idx, places) in outputs.into_iter().enumerate() {
            assert!(places.iter().all(|place| place.right), "task {idx}: {places:?}");
            for (seen, place) in seen.iter_mut().zip(places).take(if idx < 7 { 3 } else { 2 }) {
                seen.push(place);
            }
        }
    }
    for (array, seen) in arrays.iter().zip(&seen) {
        for place in seen.iter().filter(|place| place.pid == std::process::id()) {
            if !setup.capabilities.bytes {
                assert_eq!(place.address, array.as_ptr().addr(), "{place:?}");
            }
        }
    }
    // Short ones travel with what they are part of.
    for seen in [&seen[0], &seen[2]] {
        if setup.capabilities.shares_memory {
            assert!(seen[0].inode > 0, "{:?}", seen[0]);
            assert!(seen.iter().all(|place| place.inode == seen[0].inode), "{seen:?}");
            for place in seen {
                // Mapped once in each process, and kept.
                let first = seen.iter().find(|other| other.pid == place.pid).unwrap();
                assert_eq!(place.address, first.address, "{place:?}");
            }
        }
    }
}
