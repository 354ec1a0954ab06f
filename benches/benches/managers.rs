//! What a parallel manager costs per task.
//!
//! A manager that costs more than the task it hands over makes short tasks not worth spreading. On
//! threads, automatic chunks are to stay within twice of what rayon itself takes (`rayon`), and a
//! whole run of two tasks within a tenth of a millisecond.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pm_api::{ParallelManager, RunOptions, Scatter as _, SerialManager, Task, TaskError, Worker};
use pm_threads::ThreadsManager;
use rayon::prelude::*;

/// One multiplication, a shift and an exclusive or.
fn scramble(value: u64) -> u64 {
    (value ^ (value >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

struct Scramble;

impl Task for Scramble {
    const NAME: &'static str = "polychron_bench::scramble";
    type Args = ();
    type Model = ();
    type Param = u64;
    type Output = u64;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        Ok(params.iter().map(|&param| scramble(param)).collect())
    }
}

fn per_task(c: &mut Criterion) {
    let managers: [Box<dyn ParallelManager>; 2] =
        [Box::new(SerialManager::new()), Box::new(ThreadsManager::new(2).expect("threads start"))];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads start");
    let mut group = c.benchmark_group("per_task");
    group.sample_size(10);
    for n_tasks in [2u64, 1000, 1_000_000] {
        group.throughput(Throughput::Elements(n_tasks));
        let expected: Vec<u64> = (0..n_tasks).map(scramble).collect();
        for manager in &managers {
            let run = || {
                let params = (0..n_tasks).collect();
                let pending = manager.scatter::<Scramble>((), params, &RunOptions::default());
                let gathered = pending.and_then(|pending| pending.gather()).expect("runs");
                gathered.into_complete().expect("nothing fails")
            };
            assert_eq!(run(), expected, "wrong answer");
            group.bench_function(BenchmarkId::new(manager.name(), n_tasks), |b| b.iter(run));
        }
        let run =
            || pool.install(|| (0..n_tasks).into_par_iter().map(scramble).collect::<Vec<u64>>());
        assert_eq!(run(), expected, "wrong answer");
        group.bench_function(BenchmarkId::new("rayon", n_tasks), |b| b.iter(run));
    }
    group.finish();
}

criterion_group!(benches, per_task);
criterion_main!(benches);
