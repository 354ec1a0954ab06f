//! What it costs the workers of a run to talk to each other: barriers and sums of arrays.
//!
//! A solver that steps in time meets at a barrier some thousand times a second, and sums what its
//! ranks have; where that is dearer than under MPI, nobody leaves MPI. With two ranks, these are
//! wanted:
//!
//! - a barrier that spins costs at most `MPI_Barrier`; one that sleeps at most 1.1 of a futex, both
//!   ranks on cores of their own; the default is that of those two which the machine allows;
//! - the sum of 64 MiB of `f64` on all ranks takes at most 1/2 of `MPI_Allreduce`.
//!
//! Threads are compared with processes, with `benches/engines/mpi_collectives.c` and, for
//! `POLYCHRON_PYTHON`, `mpi_collectives.py` under `mpirun`, and with
//! `benches/engines/futex_barrier.c` and [`std::sync::Barrier`], in turns. Ranks of MPI spin while
//! they wait, so each turn starts its own. What the machine lacks is left out by name. Every sum is
//! checked, and every barrier for that nobody leaves it before all came. The tables are printed
//! first, each with ratios to its first line; criterion's own figures follow.
//!
//! This program is its own worker.

#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use pm_api::{
    CancelToken, ParallelManager, Peers as _, PeersExt as _, Scatter as _, Spmd, Sum, TaskError,
    Worker,
};
use pm_proc::{ProcessesManager, ProcessesOptions, processes};
use pm_threads::{ThreadGroup, ThreadsManager};
use polychron_bench::compare::{
    Side, compare, compile, engine, is_comparing, is_measuring, mpirun, python, skipped,
};
use serde::{Deserialize, Serialize};
use worker_process::{Barrier, SharedMemory, WaitPolicy};

const RANKS: usize = 2;
/// Longer than any of this takes.
const LIMIT: Duration = Duration::from_secs(300);

const ONCE: Times = Times { broadcast: 1, reduction: 1 };

/// How the barriers of processes wait, as words that travel.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Wait {
    Spin,
    Adaptive,
    Block,
}

impl Wait {
    fn policy(self) -> WaitPolicy {
        match self {
            Self::Spin => WaitPolicy::Spin,
            Self::Adaptive => WaitPolicy::Adaptive,
            Self::Block => WaitPolicy::Block,
        }
    }
}

/// Seconds of a barrier of the run's group, of so many.
struct Barriers;

impl Spmd for Barriers {
    const NAME: &'static str = "polychron_bench::barriers";
    type Args = u32;
    type Output = f64;

    fn run(&n: &u32, worker: &Worker<'_>) -> Result<f64, TaskError> {
        let peers = worker.peers();
        // In turns both are last, or first, or have done nothing.
        let mut seen = [peers.rank() as u64];
        peers.all_reduce(&mut seen, Sum)?;
        assert_eq!(seen, [1], "the ranks are 0 and 1");
        peers.barrier()?;
        let start = Instant::now();
        for _ in 0..n {
            peers.barrier()?;
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(n))
    }
}
pm_api::register_spmd!(Barriers);

/// Seconds of a barrier in memory that both ranks share, which waits as it is told.
struct Waits;

impl Spmd for Waits {
    const NAME: &'static str = "polychron_bench::waits";
    type Args = (u32, Wait);
    type Output = f64;

    fn run(&(n, wait): &(u32, Wait), worker: &Worker<'_>) -> Result<f64, TaskError> {
        let peers = worker.peers();
        // The barrier, and for each rank how many it came to, far apart.
        let count_at = |rank: usize| Barrier::LEN + 64 * rank;
        let memory = if peers.is_root() {
            let memory = SharedMemory::create(count_at(RANKS))?;
            let fd = memory.fd().as_raw_fd();
            let path = format!("/proc/{}/fd/{fd}", std::process::id());
            peers.broadcast_value(0, Some(PathBuf::from(path)))?;
            memory
        } else {
            let path: PathBuf = peers.broadcast_value(0, None)?;
            let file = File::options().read(true).write(true).open(path)?;
            SharedMemory::open(file.into())?
        };
        let size = u32::try_from(RANKS).expect("is small");
        let mut member = Barrier::at(memory.clone(), 0, size).member(wait.policy());
        let limit = Some(Instant::now() + LIMIT);
        let other = 1 - peers.rank();
        let mut theirs = [0; 8];
        for i in 1..=100_u64 {
            memory.write(count_at(peers.rank()), &i.to_ne_bytes());
            member.pass(limit)?;
            memory.read(count_at(other), &mut theirs);
            assert!(u64::from_ne_bytes(theirs) >= i, "left before the other came");
        }
        let start = Instant::now();
        for _ in 0..n {
            member.pass(limit)?;
        }
        let seconds = start.elapsed().as_secs_f64() / f64::from(n);
        // The root keeps the memory until all are done with it.
        peers.barrier()?;
        Ok(seconds)
    }
}
pm_api::register_spmd!(Waits);

/// How often something is done, of which the least time counts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Times {
    broadcast: u32,
    reduction: u32,
}

/// The least seconds of a broadcast of so many numbers and of their sum on all ranks.
struct Sums;

impl Spmd for Sums {
    const NAME: &'static str = "polychron_bench::sums";
    type Args = (usize, Times);
    type Output = (f64, f64);

    fn run(&(n, times): &(usize, Times), worker: &Worker<'_>) -> Result<(f64, f64), TaskError> {
        let peers = worker.peers();
        let mut own = vec![peers.rank() as f64 + 1.0; n];
        let mut sum = vec![-1.0; n];
        let (mut broadcast, mut reduction) = (f64::INFINITY, f64::INFINITY);
        let expected = (RANKS * (RANKS + 1) / 2) as f64;
        for _ in 0..times.reduction {
            sum.fill(-1.0);
            peers.barrier()?;
            let start = Instant::now();
            peers.all_reduce_into(&own, &mut sum, Sum)?;
            reduction = reduction.min(start.elapsed().as_secs_f64());
            assert!(sum.iter().all(|&x| x.to_bits() == expected.to_bits()), "wrong sum");
        }
        for _ in 0..times.broadcast {
            own.fill(peers.rank() as f64 + 1.0);
            peers.barrier()?;
            let start = Instant::now();
            peers.broadcast(0, &mut own)?;
            // It is over when all have it.
            peers.barrier()?;
            broadcast = broadcast.min(start.elapsed().as_secs_f64());
            assert!(own.iter().all(|&x| x.to_bits() == 1_f64.to_bits()), "wrong numbers");
        }
        Ok((broadcast, reduction))
    }
}
pm_api::register_spmd!(Sums);

/// What rank 0 measured, in a run of `S` on all workers.
fn rank_0<S: Spmd>(manager: &dyn ParallelManager, args: S::Args) -> S::Output {
    let outputs = manager.run::<S>(args).expect("runs");
    assert_eq!(outputs.len(), RANKS);
    outputs.into_iter().next().expect("there is a rank 0")
}

/// Seconds of a barrier that two threads pass by `pass`, of `n`.
fn threads(n: u32, pass: impl Fn(usize) + Sync) -> f64 {
    let counts = [const { AtomicU64::new(0) }; RANKS];
    let rank = |rank: usize| {
        for i in 1..=100 {
            counts[rank].store(i, Ordering::Relaxed);
            pass(rank);
            let theirs = counts[1 - rank].load(Ordering::Relaxed);
            assert!(theirs >= i, "left before the other came");
        }
        let start = Instant::now();
        (0..n).for_each(|_| pass(rank));
        start.elapsed().as_secs_f64() / f64::from(n)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| rank(1));
        let seconds = rank(0);
        other.join().expect("it passed as well");
        seconds
    })
}

fn group(n: u32, policy: pm_threads::WaitPolicy) -> f64 {
    let group = ThreadGroup::new(RANKS, policy, &CancelToken::new());
    let members = [0, 1].map(|rank| group.member(rank));
    threads(n, |rank| members[rank].barrier().expect("both come"))
}

/// What is measured beside us, as it was made ready.
struct Others {
    /// Programs of MPI and what they are called.
    mpi: Vec<(&'static str, Vec<PathBuf>)>,
    futex: Option<PathBuf>,
    /// Holds what was compiled.
    _dir: tempfile::TempDir,
}

/// Seconds of a barrier, a broadcast and a sum.
struct Collectives {
    barrier: f64,
    broadcast: f64,
    reduction: f64,
}

impl Others {
    fn find() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut mpi = Vec::new();
        let program = dir.path().join("mpi_collectives");
        let has_mpi = mpirun(RANKS).map(drop);
        let c = has_mpi.clone().and_then(|()| compile("mpicc", "mpi_collectives.c", &program));
        let py = has_mpi.and_then(|()| python()).and_then(|python| {
            let imports = Command::new(&python).args(["-c", "import numpy, mpi4py"]).output();
            let has_both = imports.is_ok_and(|output| output.status.success());
            has_both.then_some(python).ok_or_else(|| "there is no mpi4py".to_owned())
        });
        match c {
            Ok(()) => mpi.push(("MPI", vec![program])),
            Err(why) => skipped("MPI", &why),
        }
        match py {
            Ok(python) => mpi.push(("mpi4py", vec![python, engine("mpi_collectives.py")])),
            Err(why) => skipped("mpi4py", &why),
        }
        let futex = dir.path().join("futex_barrier");
        let futex = match compile("cc", "futex_barrier.c", &futex) {
            Ok(()) => Some(futex),
            Err(why) => {
                skipped("futex", &why);
                None
            }
        };
        Self { mpi, futex, _dir: dir }
    }

    fn mpi(command: &[PathBuf], n_barriers: u32, n: usize, times: Times) -> Collectives {
        let mut mpirun = mpirun(RANKS).expect("it was there");
        mpirun.args(command).args([n_barriers.to_string(), n.to_string()]);
        mpirun.args([times.broadcast, times.reduction].map(|n| n.to_string()));
        let line = output(mpirun);
        let mut fields = line.split_whitespace().map(|field| field.parse().expect("a number"));
        let mut next = || -> f64 { fields.next().expect("five numbers") };
        let ranks = next();
        let collectives = Collectives { barrier: next(), broadcast: next(), reduction: next() };
        // The sum is 3 everywhere, and what was broadcast is 1.
        assert_eq!((ranks, next()), (RANKS as f64, 4.0 * n as f64), "wrong answer: {line}");
        collectives
    }

    fn futex(program: &PathBuf, n: u32) -> f64 {
        let mut command = Command::new(program);
        command.arg(n.to_string());
        let line = output(command);
        let (seconds, wrong) = line.trim().split_once(' ').expect("two numbers");
        assert_eq!(wrong, "0", "the barrier is none");
        seconds.parse().expect("a number of seconds")
    }
}

fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} failed: {errors}", command.get_program());
    String::from_utf8(output.stdout).expect("is text")
}

fn pinned() -> ProcessesManager {
    let options = ProcessesOptions::default().pin();
    ProcessesManager::with_options(RANKS, options).expect("two are some")
}

fn tables() {
    let is_measuring = is_measuring();
    let n = |measuring, once| if is_measuring { measuring } else { once };
    let others = Others::find();
    let (turns, n_barriers) = (if is_measuring { 9 } else { 1 }, n(20_000, 200));
    let processes = processes(RANKS).expect("two are some");
    let pinned = pinned();
    let threads_manager = ThreadsManager::new(RANKS).expect("threads start");
    {
        use pm_threads::WaitPolicy::{Adaptive, Spin};
        let mut sides = Vec::new();
        for (name, command) in &others.mpi {
            sides.push(Side::new(*name, || Others::mpi(command, n_barriers, 8, ONCE).barrier));
        }
        sides.extend([
            Side::new("threads, spinning", || group(n_barriers, Spin)),
            Side::new("threads, adaptive", || group(n_barriers, Adaptive)),
            Side::new("processes, spinning", || {
                rank_0::<Waits>(&processes, (n_barriers, Wait::Spin))
            }),
            Side::new("processes, spinning, pinned", || {
                rank_0::<Waits>(&pinned, (n_barriers, Wait::Spin))
            }),
            Side::new("processes, adaptive", || {
                rank_0::<Waits>(&processes, (n_barriers, Wait::Adaptive))
            }),
            Side::new("peers of threads (default)", || {
                rank_0::<Barriers>(&threads_manager, n_barriers)
            }),
            Side::new("peers of processes (default)", || {
                rank_0::<Barriers>(&processes, n_barriers)
            }),
        ]);
        compare("barrier of two (wanted: spinning, MPI's)", turns, sides);
    }
    let n_barriers = n(2000, 100);
    {
        let mut sides = Vec::new();
        if let Some(program) = &others.futex {
            sides.push(Side::new("futex, pinned", || Others::futex(program, n_barriers)));
        }
        sides.push(Side::new("processes, sleeping, pinned", || {
            rank_0::<Waits>(&pinned, (n_barriers, Wait::Block))
        }));
        compare("barrier of two processes that sleeps (wanted: 1.1 of a futex)", turns, sides);
        let barrier = std::sync::Barrier::new(RANKS);
        let sides = vec![
            Side::new("std::sync::Barrier", || {
                threads(n_barriers, |_| {
                    barrier.wait();
                })
            }),
            Side::new("threads, sleeping", || group(n_barriers, pm_threads::WaitPolicy::Block)),
        ];
        compare("barrier of two threads that sleeps", turns, sides);
    }
    let (turns, len, times) = if is_measuring { (5, 8 << 20, 5) } else { (1, 1 << 12, 1) };
    for (title, is_sum) in [
        ("the sum of 8 Mi f64 on two ranks (wanted: 1/2 of MPI's)", true),
        ("a broadcast of 8 Mi f64 to two ranks", false),
    ] {
        let times = if is_sum {
            Times { reduction: times, ..ONCE }
        } else {
            Times { broadcast: times, ..ONCE }
        };
        let mut sides = Vec::new();
        for (name, command) in &others.mpi {
            sides.push(Side::new(*name, move || {
                let all = Others::mpi(command, 1, len, times);
                if is_sum { all.reduction } else { all.broadcast }
            }));
        }
        let managers: [(_, &dyn ParallelManager); 2] =
            [("peers of threads", &threads_manager), ("peers of processes", &processes)];
        for (name, manager) in managers {
            sides.push(Side::new(name, move || {
                let (broadcast, reduction) = rank_0::<Sums>(manager, (len, times));
                if is_sum { reduction } else { broadcast }
            }));
        }
        let title = if is_measuring { title.to_owned() } else { format!("{title}, shortened") };
        compare(&title, turns, sides);
    }
}

fn peers(c: &mut Criterion) {
    let managers: [Box<dyn ParallelManager>; 2] = [
        Box::new(ThreadsManager::new(RANKS).expect("threads start")),
        Box::new(processes(RANKS).expect("two are some")),
    ];
    let len = if is_measuring() { 8 << 20 } else { 1 << 12 };
    let mut group = c.benchmark_group("peers");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for manager in &managers {
        group.bench_function(BenchmarkId::new("barrier", manager.name()), |b| {
            b.iter_custom(|n| {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                Duration::from_secs_f64(f64::from(n) * rank_0::<Barriers>(&**manager, n))
            });
        });
        group.bench_function(BenchmarkId::new("sum", manager.name()), |b| {
            b.iter_custom(|n| {
                let n = u32::try_from(n).unwrap_or(u32::MAX);
                // The least of so many: what else the machine does is not ours.
                Duration::from_secs_f64(
                    f64::from(n)
                        * rank_0::<Sums>(&**manager, (len, Times { reduction: n, ..ONCE })).1,
                )
            });
        });
    }
    group.finish();
}

fn main() {
    pm_api::worker_entry().expect("no two tasks have one name");
    if is_comparing() {
        tables();
    }
    let mut criterion = Criterion::default().configure_from_args();
    peers(&mut criterion);
    criterion.final_summary();
}
