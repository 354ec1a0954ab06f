//! Dividing tasks among jobs.
//!
//! Every run of every manager starts here, so a division must cost nothing beside the work it
//! divides: a job that takes a second to start finds its share in well under a microsecond, however
//! large the run, and walking its share costs no more than the loop one would write by hand
//! (`tasks/strided` beside `tasks/loop`; more than a tenth slower is a fault). `owner_of` is asked
//! once per result where results are put together, so it has to keep up with reading them, at tens
//! of nanoseconds each.

#![forbid(unsafe_code)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jobdiv::{Blocks, Job, Strides};
use polychron_bench::mix;

/// A run larger than any known: a task per sample of eleven days at 1 MHz.
const N_TASKS: usize = 1_000_000_000_000;

/// One job per core of the largest machines.
const N_JOBS: usize = 1_000_000;

/// A job neither first nor last.
const IDX: usize = 314_159;

/// Finds the share of each of a million jobs.
fn divide(c: &mut Criterion) {
    let mut group = c.benchmark_group("divide");
    group.throughput(Throughput::Elements(N_JOBS as u64));

    let strided = || Job::all(black_box(N_JOBS)).expect("not zero").map(|job| job.tasks(N_TASKS));
    assert_eq!(strided().map(|tasks| tasks.len()).sum::<usize>(), N_TASKS);
    group.bench_function("strided", |b| b.iter(|| digest_of_lens(strided().map(|t| t.len()))));

    let blocks = || Blocks::new(N_TASKS, black_box(N_JOBS)).expect("not zero");
    let mut end = 0;
    for block in blocks().iter() {
        assert_eq!(block.start, end, "a gap or an overlap");
        end = block.end;
    }
    assert_eq!(end, N_TASKS);
    group.bench_function("blocks", |b| b.iter(|| digest_of_lens(blocks().iter().map(|r| r.len()))));
    group.finish();
}

fn digest_of_lens(lens: impl Iterator<Item = usize>) -> usize {
    lens.fold(0, mix)
}

/// Walks the million tasks of one job, by the iterator and by hand.
fn tasks(c: &mut Criterion) {
    let mut group = c.benchmark_group("tasks");
    let job = Job::new(IDX, N_JOBS).expect("in range");
    group.throughput(Throughput::Elements(job.tasks(N_TASKS).len() as u64));

    let strided = |n_tasks: usize| job.tasks(n_tasks).fold(0, mix);
    assert_eq!(strided(N_TASKS), plain_loop(IDX, N_JOBS, N_TASKS));
    group.bench_function("strided", |b| b.iter(|| strided(black_box(N_TASKS))));
    // `fold` may be better than `next`, which is what a `for` loop calls.
    let for_loop = |n_tasks: usize| {
        let mut digest = 0;
        for task in job.tasks(n_tasks) {
            digest = mix(digest, task);
        }
        digest
    };
    assert_eq!(for_loop(N_TASKS), plain_loop(IDX, N_JOBS, N_TASKS));
    group.bench_function("strided-for", |b| b.iter(|| for_loop(black_box(N_TASKS))));
    group.bench_function("loop", |b| b.iter(|| plain_loop(IDX, N_JOBS, black_box(N_TASKS))));
    group.finish();
}

fn plain_loop(idx: usize, n_jobs: usize, n_tasks: usize) -> usize {
    let (mut digest, mut task) = (0, idx);
    while task < n_tasks {
        digest = mix(digest, task);
        task += n_jobs;
    }
    digest
}

/// Asks for the owners of a million tasks spread over the run.
fn owner_of(c: &mut Criterion) {
    /// An odd step far from any divisor of the run, so that owners come in no simple order.
    const STEP: usize = 999_983;
    let asked = || (0..N_TASKS).step_by(STEP);

    let mut group = c.benchmark_group("owner_of");
    group.throughput(Throughput::Elements(asked().count() as u64));
    let strides = Strides::new(N_TASKS, N_JOBS).expect("not zero");
    let blocks = Blocks::new(N_TASKS, N_JOBS).expect("not zero");
    for task in asked().take(1000) {
        let owner = strides.owner_of(task).expect("inside the run");
        assert_eq!(owner.idx(), task % N_JOBS);
        let owner = blocks.owner_of(task).expect("inside the run");
        assert!(owner.block(N_TASKS).contains(&task), "{task} is not in {owner}");
    }
    let idx = |owner: Option<Job>| owner.map_or(0, Job::idx);
    group.bench_function("strided", |b| {
        b.iter(|| asked().fold(0, |digest, task| mix(digest, idx(strides.owner_of(task)))));
    });
    group.bench_function("blocks", |b| {
        b.iter(|| asked().fold(0, |digest, task| mix(digest, idx(blocks.owner_of(task)))));
    });
    group.finish();
}

criterion_group!(benches, divide, tasks, owner_of);
criterion_main!(benches);
