//! The same bytes, whatever ran where and how.

use std::collections::BTreeMap;

use pm_api::{
    ParallelManager, PeersExt as _, Scatter as _, SerialManager, Spmd, Sum, Task, TaskError,
    Worker, register_spmd, register_task,
};
use serde::Serialize;

use crate::Setup;
use crate::results::{by, complete, schedules};
use crate::tasks::walk;

/// How many tasks and how many numbers there are.
const N: usize = 61;
const N_NUMBERS: usize = 10_007;

/// Numbers whose sum depends on the order.
fn rough(i: usize) -> f64 {
    crate::reductions::rough(i)
}

/// Outputs of every kind that depend on the bits of floating-point numbers and on seeds.
struct Mixed;

impl Task for Mixed {
    const NAME: &'static str = "pm_conformance::mixed";
    type Args = f64;
    type Model = f64;
    type Param = u32;
    type Output = (u32, f64, Vec<f64>, String);

    fn build(scale: &f64, _: &Worker<'_>) -> Result<f64, TaskError> {
        Ok(scale.sqrt())
    }

    fn execute(
        scale: &mut f64,
        params: &[u32],
        worker: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError> {
        let one = |(idx, &n): (usize, &u32)| {
            let walked = walk(worker.seed(idx)) * *scale;
            let ragged = (0..n as usize % 7).map(|i| rough(idx + i).sin()).collect();
            (n, walked, ragged, format!("{idx}: {walked:e}"))
        };
        Ok(worker.indices().zip(params).map(one).collect())
    }
}
register_task!(Mixed);

/// Sums in the order of the indices, from numbers that are divided among the ranks.
struct InOrder;

impl Spmd for InOrder {
    const NAME: &'static str = "pm_conformance::in_order";
    /// Whether the numbers are divided evenly.
    type Args = bool;
    type Output = Vec<u64>;

    fn run(&even: &bool, worker: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let peers = worker.peers();
        let (rank, size) = (peers.rank(), peers.size());
        let cut = |rank: usize| match (even, rank) {
            (true, _) => N_NUMBERS * rank / size,
            (false, 0) => 0,
            (false, _) if rank == size => N_NUMBERS,
            (false, _) => N_NUMBERS - (N_NUMBERS >> (2 * rank)),
        };
        let local: Vec<f64> = (cut(rank)..cut(rank + 1)).map(rough).collect();
        let sum = peers.all_reduce_indexed(&local, Sum)?;
        let pairs: Vec<f64> = local.iter().flat_map(|x| [*x, x.cos()]).collect();
        let sums = peers.all_reduce_rows(&pairs, 2, Sum)?;
        let text = peers.all_reduce_indexed_by(
            local.iter().map(|x| format!("{:x}", x.to_bits() & 15)),
            |a, b| a + &b,
        )?;
        let letters = text.unwrap_or_default().bytes().map(u64::from).sum();
        let gathered = peers.all_gather(&local)?;
        let gathered = gathered
            .iter()
            .fold(0_u64, |hash, x| (hash ^ x.to_bits()).wrapping_mul(0x0000_0100_0000_01b3));
        Ok([sum, sums[0], sums[1]]
            .map(f64::to_bits)
            .into_iter()
            .chain([letters, gathered])
            .collect())
    }
}
register_spmd!(InOrder);

/// Encoded results, by what was computed.
type Results = BTreeMap<String, Vec<u8>>;

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap()
}

/// Puts a result beside those of the same name, which have the same bytes.
fn agree(results: &mut Results, name: &str, new: &[u8], context: &str) {
    let before = results.entry(name.to_owned()).or_insert_with(|| new.to_vec());
    let at = before.iter().zip(new).position(|(a, b)| a != b);
    assert!(*before == new, "{name}, {context}: {} bytes, first other one at {at:?}", new.len());
}

/// Runs everything once; how many results were compared.
fn compare(manager: &dyn ParallelManager, context: &str, results: &mut Results) -> usize {
    let mut n = 0;
    for run_seed in [0, 77] {
        for schedule in schedules(N) {
            let context = format!("{context}, {schedule:?}");
            let options = by(schedule).seed(run_seed);
            let params: Vec<u32> = (0..N as u32).map(|i| i * i % 23).collect();
            let outputs = complete(manager.scatter::<Mixed>(2.0, params, &options));
            // A sum over the results, as a user makes it.
            let sum = pm_api::reduce_in_index_order(outputs.iter().map(|o| o.1), |a, b| a + b);
            let name = format!("outputs of seed {run_seed}");
            agree(results, &name, &bytes(&(outputs, sum)), &context);
            n += 1;
        }
    }
    for even in [true, false] {
        for (rank, sums) in manager.run::<InOrder>(even).unwrap().into_iter().enumerate() {
            agree(results, "sums", &bytes(&sums), &format!("{context}, rank {rank}"));
            n += 1;
        }
    }
    n
}

/// C34: at this size, every schedule, three times.
pub(crate) fn c34_every_way_to_run_gives_the_bytes_of_the_serial_one(setup: &Setup, size: usize) {
    let mut results = Results::new();
    compare(&SerialManager::new(), "serial", &mut results);
    for repeat in 0..3 {
        let context = format!("{} of {size}, repeat {repeat}", setup.name);
        compare(&*setup.manager(size), &context, &mut results);
    }
}

/// What [`same_bytes`] has compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Matrix {
    /// Results that had to be equal to others, byte by byte.
    pub n_compared: usize,
    /// Different things that were computed, over and over.
    pub n_results: usize,
    /// Bytes of all of these, once each.
    pub n_bytes: usize,
}

/// Runs the same on several managers: at every size, by every schedule, with two seeds, so many
/// times; and reductions in index order, divided evenly and not.
///
/// # Panics
///
/// When two of them differ in a single bit; the message says which.
#[must_use]
pub fn same_bytes(setups: &[Setup], sizes: &[usize], n_repeats: usize) -> Matrix {
    let mut results = Results::new();
    let mut n_compared = 0;
    for setup in setups {
        crate::install(setup);
        for size in sizes {
            let manager = setup.manager(*size);
            for repeat in 0..n_repeats {
                let context = format!("{} of {size}, repeat {repeat}", setup.name);
                n_compared += compare(&*manager, &context, &mut results);
            }
        }
    }
    let n_bytes = results.values().map(Vec::len).sum();
    Matrix { n_compared, n_results: results.len(), n_bytes }
}
