//! What a parallel manager costs: its start, a task, arrays out and back, long arguments.
//!
//! A manager that costs more than the task it hands over makes short tasks not worth spreading, and
//! one that copies arrays more often than it must makes two workers slower than one. With two
//! workers, these are wanted:
//!
//! - workers are started and have done two tasks within 3 ms;
//! - an empty task, one by one, costs at most 1/5 of what it does in the best Python pool; 1 µs would
//!   be fine; in automatic chunks at most 0.3 µs;
//! - on threads, in automatic chunks, a task costs at most twice of what it does in rayon;
//! - two arrays of 32 MiB of `f64`, out and negated back, take at most 36 ms or 1/4 of
//!   `mpi4py.futures`;
//! - a run whose arguments are a shared array of 64 MiB costs at most 100 µs more than one of 64 KiB.
//!
//! Beside us, in the same run and in turns, `benches/engines/pools.py` does the same with
//! `multiprocessing.Pool`, `ProcessPoolExecutor`, loky, joblib and WaterTAP's managers, in the
//! Python that `POLYCHRON_PYTHON` names, and with `mpi4py.futures` under `mpirun`. What the machine
//! lacks is left out by name. Every answer of every turn is checked. The tables are printed first,
//! each with ratios to its first line; criterion's own figures follow.
//!
//! This program is its own worker.

#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use pm_api::{
    Array, ParallelManager, RunOptions, Scatter as _, Schedule, SerialManager, Shared, Task,
    TaskError, Worker,
};
use pm_proc::processes;
use pm_threads::ThreadsManager;
use polychron_bench::compare::{
    Engine, Side, compare, engine, is_comparing, is_measuring, mpirun, python, seconds,
};
use rayon::prelude::*;

const WORKERS: usize = 2;

/// One multiplication, a shift and an exclusive or.
fn scramble(value: u64) -> u64 {
    (value ^ (value >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A task that costs a nanosecond or two.
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
pm_api::register_task!(Scramble);

/// Does nothing, as the engine's tasks do.
struct Nothing;

impl Task for Nothing {
    const NAME: &'static str = "polychron_bench::nothing";
    type Args = ();
    type Model = ();
    type Param = u64;
    type Output = u64;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        Ok(params.to_vec())
    }
}
pm_api::register_task!(Nothing);

/// Gives arrays back with the other sign.
struct Negate;

impl Task for Negate {
    const NAME: &'static str = "polychron_bench::negate";
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
        Ok(params.iter().map(|array| Array(array.iter().map(|x| -x).collect())).collect())
    }
}
pm_api::register_task!(Negate);

/// Looks numbers up in a table that every worker is given.
struct LookUp;

impl Task for LookUp {
    const NAME: &'static str = "polychron_bench::look_up";
    type Args = Shared<f64>;
    type Model = (f64, f64);
    type Param = bool;
    type Output = f64;

    fn build(table: &Shared<f64>, _: &Worker<'_>) -> Result<(f64, f64), TaskError> {
        table.first().copied().zip(table.last().copied()).ok_or_else(|| TaskError::new("no table"))
    }

    fn execute(
        &mut (first, last): &mut (f64, f64),
        at_end: &[bool],
        _: &Worker<'_>,
    ) -> Result<Vec<f64>, TaskError> {
        Ok(at_end.iter().map(|&at_end| if at_end { last } else { first }).collect())
    }
}
pm_api::register_task!(LookUp);

/// All outputs of a run.
fn run<T: Task>(
    manager: &dyn ParallelManager,
    args: T::Args,
    params: Vec<T::Param>,
    schedule: Schedule,
) -> Vec<T::Output> {
    let options = RunOptions::default().schedule(schedule);
    let pending = manager.scatter::<T>(args, params, &options);
    let gathered = pending.and_then(|pending| pending.gather()).expect("runs");
    gathered.into_complete().expect("nothing fails")
}

/// Depends on the order; the same as that of `pools.py`.
fn digest(values: impl IntoIterator<Item = i64>) -> i64 {
    (1..).zip(values).map(|(i, value)| i * value).sum()
}

fn digest_of_arrays(arrays: &[Array<f64>]) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "sums of whole numbers")]
    digest(arrays.iter().map(|array| array.iter().sum::<f64>() as i64))
}

/// Seconds for each of `n` tasks that do nothing.
fn nothing(manager: &dyn ParallelManager, n: usize, schedule: Schedule) -> f64 {
    let params: Vec<u64> = (0..n as u64).collect();
    let expected = params.clone();
    let mut outputs = Vec::new();
    let took = seconds(|| outputs = run::<Nothing>(manager, (), params, schedule));
    assert_eq!(outputs, expected, "{}: wrong answer", manager.name());
    took / n as f64
}

const ONE_BY_ONE: Schedule = Schedule::Dynamic { chunk: 1 };

/// The Python pools of these kinds that there are.
fn pools(kinds: &[(&str, &str)]) -> Vec<Engine> {
    let start = |&(kind, name): &(&str, &str)| {
        let script = engine("pools.py");
        let command = python().and_then(|python| {
            if kind != "mpi" {
                let mut command = Command::new(python);
                command.arg(script).arg(kind);
                return Ok(command);
            }
            let mut command = mpirun(1 + WORKERS)?;
            command.arg(python).args(["-m", "mpi4py.futures"]).arg(script).arg(kind);
            Ok(command)
        });
        Engine::start(name, command)
    };
    kinds.iter().filter_map(start).collect()
}

/// Adds the pools' turns at `what`, which has `per` operations and the answer `expected`.
fn add_pools<'a>(
    sides: &mut Vec<Side<'a>>,
    pools: &'a mut [Engine],
    what: &str,
    per: usize,
    expected: i64,
) {
    for pool in pools {
        let what = what.to_owned();
        sides.push(Side::new(pool.name().to_owned(), move || {
            pool.ask(&what, expected) / per as f64
        }));
    }
}

const POOLS: &[(&str, &str)] = &[
    ("pool", "multiprocessing.Pool"),
    ("ppe", "ProcessPoolExecutor"),
    ("loky", "loky"),
    ("joblib", "joblib"),
];

/// The one whose workers are there before the clock runs: `mpirun` starts them.
const MPI: &[(&str, &str)] = &[("mpi", "mpi4py.futures")];

/// Those that have nothing that stays from call to call.
const MANAGERS: &[(&str, &str)] =
    &[("watertap-mp", "WaterTAP Multiprocessing"), ("watertap-cf", "WaterTAP ConcurrentFutures")];

fn tables() {
    let is_measuring = is_measuring();
    let n = |measuring, once| if is_measuring { measuring } else { once };
    let mut all = pools(POOLS);
    starts(&mut all, n(9, 1));
    all.extend(pools(MPI));
    tasks(&mut all, n(11, 1), n(2000, 100), n(100_000, 800));
    arrays(&mut all, n(9, 1), n(4 << 20, 1 << 12));
    drop(all);
    let mut managers = pools(MANAGERS);
    sweeps(&mut managers, n(9, 1), n(1000, 50), n(4 << 20, 1 << 12));
    drop(managers);
    threads(n(21, 1), n(1_000_000, 1000), n(10_000, 100));
    arguments(n(15, 1), n(8 << 20, 1 << 12));
}

fn starts(all: &mut [Engine], n: usize) {
    let whole = || {
        let manager = processes(WORKERS).expect("two are some");
        assert_eq!(run::<Nothing>(&manager, (), vec![0, 1], Schedule::Auto), [0, 1]);
        manager
    };
    for (what, title) in [
        ("start", "start of two workers, until they have done two tasks (wanted: 3 ms)"),
        ("life", "the same, and their end"),
    ] {
        let mut sides = vec![Side::new("processes", move || match what {
            "start" => seconds(whole),
            _ => seconds(|| drop(whole())),
        })];
        add_pools(&mut sides, all, what, 1, digest([0, 1]));
        compare(title, n, sides);
    }
}

fn tasks(all: &mut [Engine], turns: usize, n_single: usize, n_chunked: usize) {
    let manager = processes(WORKERS).expect("two are some");
    let expected = |n: usize| digest(0..i64::try_from(n).expect("is small"));
    let mut sides = vec![
        Side::new("processes", || nothing(&manager, n_single, ONE_BY_ONE)),
        Side::new("processes, strided", || nothing(&manager, n_single, Schedule::Strided)),
    ];
    add_pools(&mut sides, all, &format!("one {n_single}"), n_single, expected(n_single));
    compare("an empty task, one by one (wanted: 1/5 of the best Python; 1 us)", turns, sides);
    let mut sides = vec![Side::new("processes", || nothing(&manager, n_chunked, Schedule::Auto))];
    add_pools(&mut sides, all, &format!("auto {n_chunked}"), n_chunked, expected(n_chunked));
    compare("an empty task, automatic chunks (wanted: 0.3 us)", turns, sides);
}

/// Seconds for two arrays of so many numbers.
fn negate(manager: &dyn ParallelManager, n_numbers: usize) -> f64 {
    let params: Vec<_> = [1.0, 2.0].map(|value| Array(vec![value; n_numbers])).into();
    let expected = -digest_of_arrays(&params);
    let mut outputs = Vec::new();
    let took = seconds(|| outputs = run::<Negate>(manager, (), params, ONE_BY_ONE));
    assert_eq!(digest_of_arrays(&outputs), expected, "{}: wrong answer", manager.name());
    took
}

fn negated(n_numbers: usize) -> i64 {
    -5 * i64::try_from(n_numbers).expect("is small")
}

fn arrays(all: &mut [Engine], turns: usize, n_numbers: usize) {
    let manager = processes(WORKERS).expect("two are some");
    let threads = ThreadsManager::new(WORKERS).expect("threads start");
    let mut sides = vec![
        Side::new("processes", || negate(&manager, n_numbers)),
        Side::new("threads", || negate(&threads, n_numbers)),
        Side::new("a copy, of both arrays", || copies(n_numbers)),
    ];
    add_pools(&mut sides, all, &format!("arrays {n_numbers}"), 1, negated(n_numbers));
    let title = format!(
        "2 arrays of {n_numbers} f64 out and negated back (wanted of 32 MiB each: 36 ms or 1/4 of mpi4py.futures)"
    );
    compare(&title, turns, sides);
}

/// Seconds for a copy of as many bytes, one thread, into memory that was written before.
fn copies(n_numbers: usize) -> f64 {
    let (from, mut to) = (vec![1.0_f64; 2 * n_numbers], vec![2.0_f64; 2 * n_numbers]);
    let took = seconds(|| to.copy_from_slice(&from));
    assert_eq!(to, from);
    took
}

/// What WaterTAP's managers are for: workers that are started for one run of some parameters.
fn sweeps(managers: &mut [Engine], turns: usize, n_params: usize, n_numbers: usize) {
    let kept = processes(WORKERS).expect("two are some");
    let ours = |n, schedule: &Schedule| {
        let schedule = schedule.clone();
        move || {
            let manager = processes(WORKERS).expect("two are some");
            n as f64 * nothing(&manager, n, schedule.clone())
        }
    };
    for n in [2, n_params] {
        let mut sides = vec![
            Side::new("processes, started for it", ours(n, &Schedule::Auto)),
            Side::new("processes, started for it, one by one", ours(n, &ONE_BY_ONE)),
            Side::new("processes, kept", || n as f64 * nothing(&kept, n, Schedule::Auto)),
        ];
        let expected = digest(0..i64::try_from(n).expect("is small"));
        add_pools(&mut sides, managers, &format!("auto {n}"), 1, expected);
        compare(&format!("scatter and gather of {n} parameters"), turns, sides);
    }
    let cold = || negate(&processes(WORKERS).expect("two are some"), n_numbers);
    let mut sides = vec![
        Side::new("processes, started for it", cold),
        Side::new("processes, kept", || negate(&kept, n_numbers)),
    ];
    add_pools(&mut sides, managers, &format!("arrays {n_numbers}"), 1, negated(n_numbers));
    compare(&format!("scatter and gather of 2 arrays of {n_numbers} f64"), turns, sides);
}

/// Threads beside rayon, to which they may cost twice as much.
fn threads(turns: usize, n_chunked: usize, n_single: usize) {
    let manager = ThreadsManager::new(WORKERS).expect("threads start");
    let serial = SerialManager::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("starts");
    let per_task = |manager: &dyn ParallelManager, n: usize, schedule: &Schedule| {
        let params: Vec<u64> = (0..n as u64).collect();
        let expected: Vec<u64> = params.iter().copied().map(scramble).collect();
        let mut outputs = Vec::new();
        let took = seconds(|| outputs = run::<Scramble>(manager, (), params, schedule.clone()));
        assert_eq!(outputs, expected, "{}: wrong answer", manager.name());
        took / n as f64
    };
    let rayon = |n: usize| {
        let params: Vec<u64> = (0..n as u64).collect();
        let expected: Vec<u64> = params.iter().copied().map(scramble).collect();
        let mut outputs = Vec::new();
        let took = seconds(|| {
            outputs = pool.install(|| params.into_par_iter().map(scramble).collect::<Vec<u64>>());
        });
        assert_eq!(outputs, expected, "rayon: wrong answer");
        took / n as f64
    };
    // A job of rayon's for each task, which writes its output where it belongs.
    let spawned = |n: usize| {
        let params: Vec<u64> = (0..n as u64).collect();
        let expected: Vec<u64> = params.iter().copied().map(scramble).collect();
        let mut outputs = vec![0; n];
        let took = seconds(|| {
            pool.scope(|scope| {
                for (output, param) in outputs.iter_mut().zip(params) {
                    scope.spawn(move |_| *output = scramble(param));
                }
            });
        });
        assert_eq!(outputs, expected, "rayon: wrong answer");
        took / n as f64
    };
    let sides = vec![
        Side::new("rayon", || rayon(n_chunked)),
        Side::new("threads", || per_task(&manager, n_chunked, &Schedule::Auto)),
        Side::new("serial", || per_task(&serial, n_chunked, &Schedule::Auto)),
    ];
    compare("a short task, automatic chunks (wanted: 2 x rayon)", turns, sides);
    let sides = vec![
        Side::new("rayon, spawned one by one", || spawned(n_single)),
        Side::new("threads", || per_task(&manager, n_single, &ONE_BY_ONE)),
        Side::new("serial", || per_task(&serial, n_single, &ONE_BY_ONE)),
    ];
    compare("a short task, one by one", turns, sides);
}

/// Runs of two tasks whose workers share arguments of various lengths, which they have had before.
fn arguments(turns: usize, most: usize) {
    let manager = processes(WORKERS).expect("two are some");
    let threads = ThreadsManager::new(WORKERS).expect("threads start");
    let took = |manager: &dyn ParallelManager, table: &Shared<f64>| {
        let (table, mut outputs) = (table.clone(), Vec::new());
        let took = seconds(|| {
            outputs = run::<LookUp>(manager, table, vec![false, true], Schedule::Static);
        });
        assert_eq!(outputs, [1.0, 2.0], "{}: wrong answer", manager.name());
        took
    };
    let tables: Vec<Shared<f64>> = [8192, most / 8, most]
        .into_iter()
        .map(|n| {
            let mut table = vec![0.5; n];
            (table[0], table[n - 1]) = (1.0, 2.0);
            Shared::new(table)
        })
        .collect();
    let mut sides: Vec<Side<'_>> = Vec::new();
    let managers: [&dyn ParallelManager; 2] = [&manager, &threads];
    for manager in managers {
        for table in &tables {
            // The first run shares it.
            took(manager, table);
            let name = format!("{}, {} KiB", manager.name(), table.len() / 128);
            sides.push(Side::new(name, move || took(manager, table)));
        }
    }
    let title = "a run of two tasks with shared arguments \
                 (wanted: at most 100 us more for 64 MiB than for 64 KiB)";
    compare(title, turns, sides);
}

fn per_task(c: &mut Criterion) {
    let managers: [Box<dyn ParallelManager>; 3] = [
        Box::new(SerialManager::new()),
        Box::new(ThreadsManager::new(WORKERS).expect("threads start")),
        Box::new(processes(WORKERS).expect("two are some")),
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads start");
    let mut group = c.benchmark_group("per_task");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for n_tasks in [2u64, 1000, 1_000_000] {
        group.throughput(Throughput::Elements(n_tasks));
        let expected: Vec<u64> = (0..n_tasks).map(scramble).collect();
        for manager in &managers {
            let run =
                || run::<Scramble>(&**manager, (), (0..n_tasks).collect(), Schedule::default());
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

fn main() {
    pm_api::worker_entry().expect("no two tasks have one name");
    if is_comparing() {
        tables();
    }
    let mut criterion = Criterion::default().configure_from_args();
    per_task(&mut criterion);
    criterion.final_summary();
}
