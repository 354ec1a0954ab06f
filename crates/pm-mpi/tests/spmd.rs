//! A program that runs on every rank, at 1 to 4 ranks: what all of them get, and how it ends.
//!
//! Started by itself, this program starts itself as the ranks of a job for every case.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

mod common;

use std::env;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pm_api::{
    CancelToken, ParallelManager as _, Peers as _, PeersError, PeersExt as _, PmError, RunOptions,
    Scatter as _, Schedule, Spmd, Sum, Task, TaskError, Worker, register_spmd, register_task,
};
use pm_mpi::{Mpi, MpiManager};

/// How long a case may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon a job has to be over after a rank failed; it takes a second where there is a core for
/// every rank.
const SOON: Duration = Duration::from_secs(15);

/// What a case is to end with.
#[derive(Debug, Clone, Copy)]
enum End {
    Success,
    /// Not 0, and these words on stderr.
    Failure(&'static str),
}

type Case = (&'static str, End, fn(Mpi));

const CASES: [Case; 20] = [
    ("every_rank_gets_all_results", End::Success, results),
    ("failures_are_the_same_values_on_every_rank", End::Success, failures),
    ("a_run_inside_a_task_is_serial", End::Success, nested),
    ("two_runs_may_be_open", End::Success, two_open),
    ("every_rank_streams_the_same_chunks", End::Success, streams),
    ("one_rank_cancels_for_all", End::Success, cancels),
    ("different_runs_are_an_error_on_every_rank", End::Success, different),
    ("the_group_of_all_ranks_can_be_divided", End::Success, divided),
    ("groups_meet_at_every_length", End::Success, lengths),
    ("a_part_of_the_ranks_runs_tasks_of_its_own", End::Success, parts_run),
    ("a_run_of_a_part_needs_no_other_rank", End::Success, part_runs_alone),
    ("a_part_whose_first_rank_ends_hears_of_it", End::Success, part_loses_its_first),
    (
        "a_member_that_is_killed_ends_those_who_wait_in_memory",
        End::Failure(""),
        killed_in_collective,
    ),
    ("a_member_whose_program_ends_is_missed_in_memory", End::Success, ends_in_collective),
    ("a_panic_outside_tasks_ends_the_job", End::Failure("the middle of nowhere"), panics),
    ("an_error_of_one_main_ends_the_job", End::Failure("ended with status 3"), exits),
    ("a_killed_rank_ends_the_job", End::Failure(""), killed),
    (
        "a_rank_that_exits_in_a_task_ends_the_job",
        End::Failure("in the middle of a run"),
        exits_in_task,
    ),
    ("a_rank_that_drops_out_is_missed", End::Failure("the program has ended on rank 0"), drops_out),
    ("a_member_that_is_gone_is_an_error_for_the_others", End::Success, gone),
];

/// Squares; fails at 13, panics at 14, kills its process at 15 and exits at 16 if that is asked for.
struct Square;

impl Task for Square {
    const NAME: &'static str = "pm_mpi_test::square";
    type Args = bool;
    type Model = bool;
    type Param = u64;
    type Output = u64;

    fn build(is_evil: &bool, _: &Worker<'_>) -> Result<bool, TaskError> {
        Ok(*is_evil)
    }

    fn execute(is_evil: &mut bool, params: &[u64], w: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let one = |n: &u64| match n {
            13 if *is_evil => Err(TaskError::new("no square today")),
            14 if *is_evil => panic!("a square too many"),
            15 if *is_evil => {
                kill_this_process();
                Err(TaskError::new("it survived"))
            }
            16 if *is_evil => std::process::exit(0),
            1_000 if *is_evil => {
                while !w.cancelled() {
                    thread::yield_now();
                }
                Err(TaskError::cancelled())
            }
            n => Ok(n * n),
        };
        params.iter().map(one).collect()
    }
}
register_task!(Square);

/// Sums the squares below its parameter by a run of its own.
struct Nested;

impl Task for Nested {
    const NAME: &'static str = "pm_mpi_test::nested";
    type Args = ();
    type Model = ();
    type Param = u64;
    type Output = u64;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let manager = MpiManager::available()?;
        let sum = |n: &u64| {
            let pending =
                manager.scatter::<Square>(false, (0..*n).collect(), &RunOptions::default())?;
            Ok(pending.gather()?.into_complete()?.into_iter().sum())
        };
        params.iter().map(sum).collect()
    }
}
register_task!(Nested);

fn kill_this_process() {
    let pid = std::process::id().to_string();
    let _killed = Command::new("kill").args(["-9", &pid]).status();
    thread::sleep(Duration::from_secs(30));
}

fn schedules(n: usize) -> Vec<Schedule> {
    let costs = (0..n as u64).map(|i| i % 5).collect();
    vec![
        Schedule::Auto,
        Schedule::Static,
        Schedule::Strided,
        Schedule::Dynamic { chunk: 1 },
        Schedule::Guided { min: 2 },
        Schedule::Weighted(costs),
    ]
}

fn by(schedule: Schedule) -> RunOptions {
    RunOptions::default().schedule(schedule)
}

fn results(mpi: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let size = mpi.size();
    for n in [0, 1, 2, size - 1, size, size + 1, 17, 300] {
        let expected: Vec<u64> = (0..n as u64).map(|i| i * i).collect();
        for schedule in schedules(n) {
            let params = (0..n as u64).collect();
            let pending =
                manager.scatter::<Square>(false, params, &by(schedule)).expect("it starts");
            let gathered = pending.gather().expect("MPI works");
            assert!(gathered.summary().n_workers <= n.min(size));
            assert_eq!(gathered.into_complete().expect("no task fails"), expected);
        }
    }
}

fn failures(mpi: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let peers = mpi.peers();
    for schedule in [Schedule::Dynamic { chunk: 1 }, Schedule::Strided] {
        let pending = manager.scatter::<Square>(true, (0..15).collect(), &by(schedule));
        let gathered = pending.expect("it starts").gather().expect("MPI works");
        let failures: Vec<String> = gathered.failures().map(ToString::to_string).collect();
        let done: Vec<u64> = gathered.outputs().map(|(_, output)| *output).collect();
        assert_eq!(done, (0..13).map(|n| n * n).collect::<Vec<_>>());
        assert!(failures[0].contains("no square today"), "{failures:?}");
        assert!(failures[1].contains("a square too many, at crates/pm-mpi/tests/spmd.rs"));
        assert_eq!(failures.len(), 2);
        let all = peers.all_gather_value(&failures).expect("all come");
        assert!(all.iter().all(|theirs| *theirs == failures), "{all:?}");
    }
}

fn nested(_: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let pending = manager.scatter::<Nested>((), (0..9).collect(), &RunOptions::default());
    let sums = pending.expect("it starts").gather().expect("MPI works").into_complete();
    let expected: Vec<u64> = (0..9_u64).map(|n| (0..n).map(|i| i * i).sum()).collect();
    assert_eq!(sums.expect("no task fails"), expected);
}

fn two_open(_: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let scatter =
        |n: u64| manager.scatter::<Square>(false, (0..n).collect(), &RunOptions::default());
    let (one, two) = (scatter(40).expect("it starts"), scatter(50).expect("it starts"));
    let two = two.gather().expect("MPI works").into_complete().expect("no task fails");
    let one = one.gather().expect("MPI works").into_complete().expect("no task fails");
    assert!((0..40).map(|n| n * n).eq(one) && (0..50).map(|n| n * n).eq(two));
}

fn streams(mpi: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let options = by(Schedule::Dynamic { chunk: 1 }).buffer(2);
    let mut order = Vec::new();
    let pending = manager.scatter::<Square>(false, (0..50).collect(), &options).expect("it starts");
    let each = |chunk: pm_api::Chunk<u64>| {
        order.push(chunk.indices.start as u64);
        Ok::<(), PmError>(())
    };
    pending.for_each(each).expect("MPI works");
    let all = mpi.peers().all_gather_value(&order).expect("all come");
    assert!(all.iter().all(|theirs| *theirs == order), "the order is that of rank 0");
    order.sort_unstable();
    assert!(order.into_iter().eq(0..50));
}

fn cancels(mpi: Mpi) {
    let manager = MpiManager::available().expect("MPI is there");
    let token = CancelToken::new();
    let options = by(Schedule::Dynamic { chunk: 1 }).cancel(&token);
    let pending = manager.scatter::<Square>(true, vec![1_000; 20], &options).expect("it starts");
    if mpi.rank() == mpi.size() - 1 {
        token.cancel();
    }
    let gathered = pending.gather().expect("MPI works");
    assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (0, 20));
    mpi.peers().barrier().expect("all come");
}

fn different(mpi: Mpi) {
    if mpi.size() == 1 {
        return;
    }
    let manager = MpiManager::available().expect("MPI is there");
    let n = if mpi.rank() == 1 { 20 } else { 30 };
    let pending = manager.scatter::<Square>(false, (0..n).collect(), &RunOptions::default());
    let error = pending.expect("it starts").gather().expect_err("they are different");
    let text = std::error::Error::source(&error).expect("it has a cause").to_string();
    assert!(text.starts_with("rank 1 scattered 20 tasks "), "{text}");
    // And the manager is of use.
    results(mpi);
}

fn divided(mpi: Mpi) {
    let peers = mpi.peers();
    let (rank, size) = (peers.rank(), peers.size());
    for _ in 0..20 {
        // The odd and the even, the last ones first.
        let part = peers
            .split((rank % 2) as u64, -i64::try_from(rank).expect("it is small"))
            .expect("all come");
        let members = part.all_gather(&[rank as u64]).expect("all come");
        let expected: Vec<u64> =
            (0..size).rev().filter(|r| r % 2 == rank % 2).map(|r| r as u64).collect();
        assert_eq!(members, expected);
        let mut sum = vec![1.0; 1000];
        part.all_reduce(&mut sum, Sum).expect("all come");
        assert!(sum.iter().all(|x| *x == expected.len() as f64));
    }
    let error = peers.broadcast(rank, &mut [0_u8]).err();
    assert_eq!(error.is_some(), size > 1);
    peers.barrier().expect("the group is of use");
}

/// Lengths about those at which collectives go another way, from every root.
fn lengths(mpi: Mpi) {
    let peers = mpi.peers();
    let (rank, size) = (peers.rank(), peers.size());
    let number = |rank: usize, i: usize| (rank * 31 + i * 7) as f64;
    for n in [0, 1, 2, 3, 4, 511, 512, 513, 4096, 4097, 40_000, 100_001] {
        for root in 0..size {
            let own = |rank: usize| (0..n).map(|i| number(rank, i)).collect::<Vec<_>>();
            let mut copy = own(rank);
            peers.broadcast(root, &mut copy).expect("all come");
            assert_eq!(copy, own(root));
            let all: Vec<f64> = (0..size).flat_map(own).collect();
            let counts = vec![n; size];
            let mut whole = vec![-1.0; n * size];
            peers.gather_into(root, &own(rank), &mut whole, &counts).expect("all come");
            assert!(if rank == root { whole == all } else { whole == vec![-1.0; n * size] });
            let mut part = vec![-1.0; n];
            peers.scatter_into(root, &all, &counts, &mut part).expect("all come");
            assert_eq!(part, own(rank));
            let expected: Vec<f64> =
                (0..n).map(|i| (0..size).map(|rank| number(rank, i)).sum()).collect();
            let mut sum = own(rank);
            peers.reduce(root, &mut sum, Sum).expect("all come");
            assert!(sum == if rank == root { expected.clone() } else { own(rank) });
            let mut sum = own(rank);
            peers.all_reduce(&mut sum, Sum).expect("all come");
            assert!(sum == expected, "a sum of {n}");
            assert!(peers.all_gather(&own(rank)).expect("all come") == all);
            // A length that does not fit, long or short, costs the group nothing.
            let error = peers.broadcast(root, &mut vec![0.0; n + rank]).err();
            assert_eq!(error.is_some(), size > 1);
        }
    }
}

/// Each half of the ranks is a group with a manager of its own.
fn parts_run(mpi: Mpi) {
    let peers = mpi.peers();
    for round in 0..3 {
        // The last ones first.
        let color = (mpi.rank() % 2) as u64;
        let half = peers.split(color, -i64::try_from(mpi.rank()).expect("it is small"));
        let half = half.expect("all come");
        let manager = MpiManager::of(&half).expect("the program runs on every rank");
        let (rank, size) = (half.rank(), half.size());
        assert_eq!(manager.n_workers(), size);
        // Each half has other runs, and another number of them.
        for n in 0..4 + 3 * color {
            let n = 7 * n + color + round;
            for schedule in schedules(usize::try_from(n).expect("it is small")) {
                let pending = manager.scatter::<Square>(false, (0..n).collect(), &by(schedule));
                let gathered = pending.expect("it starts").gather().expect("MPI works");
                let squares = gathered.into_complete().expect("no task fails");
                assert!((0..n).map(|n| n * n).eq(squares));
            }
        }
        let pending = manager.scatter::<Square>(true, (0..15).collect(), &RunOptions::default());
        let gathered = pending.expect("it starts").gather().expect("MPI works");
        let failures: Vec<String> = gathered.failures().map(ToString::to_string).collect();
        let all = half.all_gather_value(&failures).expect("all come");
        assert!(!failures.is_empty() && all.iter().all(|theirs| *theirs == failures), "{all:?}");
        // The workers of such a run are a group, too, and a manager needs no other.
        let members = half.all_gather(&[mpi.rank() as u64]).expect("all come");
        drop(half);
        let pending = manager.start_spmd::<Members>((), &RunOptions::default());
        let gathered = pending.expect("it starts").gather().expect("MPI works");
        assert_eq!(gathered.into_complete().expect("no rank fails"), vec![members; size]);
        assert!(rank < size);
    }
    // And all of them once more, by all ranks.
    results(mpi);
}

/// The ranks in the world of those who take part, as every one of them sees it.
struct Members;

impl Spmd for Members {
    const NAME: &'static str = "pm_mpi_test::members";
    type Args = ();
    type Output = Vec<u64>;

    fn run((): &(), worker: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let mpi = pm_mpi::init()?;
        Ok(worker.peers().all_gather(&[mpi.rank() as u64])?)
    }
}
register_spmd!(Members);

/// Half of the ranks run tasks while the others are in a collective that waits for these.
fn part_runs_alone(mpi: Mpi) {
    let peers = mpi.peers();
    let is_odd = mpi.rank() % 2 == 1;
    let half = peers.split(u64::from(is_odd), 0).expect("all come");
    if is_odd {
        let manager = MpiManager::of(&half).expect("the program runs on every rank");
        for _ in 0..50 {
            let pending = manager.scatter::<Square>(false, vec![3, 4, 5], &RunOptions::default());
            let gathered = pending.expect("it starts").gather().expect("MPI works");
            assert_eq!(gathered.into_complete().expect("no task fails"), [9, 16, 25]);
        }
    }
    peers.barrier().expect("all come");
}

/// All but rank 0 are a group, whose first rank ends without the run that the others scatter.
fn part_loses_its_first(mpi: Mpi) {
    let part = mpi.peers().split(u64::from(mpi.rank() > 0), 0).expect("all come");
    let manager = MpiManager::of(&part).expect("the program runs on every rank");
    if mpi.rank() > 1 {
        let pending = manager.scatter::<Square>(false, (0..9).collect(), &RunOptions::default());
        let error = pending.expect("it starts").gather().expect_err("rank 1 never comes");
        let text = std::error::Error::source(&error).expect("it has a cause").to_string();
        assert_eq!(text, "the program has ended on rank 1");
    }
}

fn killed_in_collective(mpi: Mpi) {
    let peers = mpi.peers();
    peers.barrier().expect("all come");
    if mpi.rank() + 1 == mpi.size() {
        kill_this_process();
    }
    let mut numbers = vec![1.0; 1 << 20];
    let _never = peers.all_reduce(&mut numbers, Sum);
    thread::sleep(LIMIT);
}

fn ends_in_collective(mpi: Mpi) {
    let peers = mpi.peers();
    peers.barrier().expect("all come");
    if mpi.size() == 1 || mpi.rank() + 1 == mpi.size() {
        // Without a drop of the group.
        std::process::exit(0);
    }
    let error = peers.barrier().expect_err("one is gone");
    let last = mpi.size() - 1;
    assert!(matches!(error, PeersError::Left { rank, .. } if rank == last), "{error}");
    assert!(error.to_string().contains("its program has ended"), "{error}");
}

fn panics(mpi: Mpi) {
    assert!(mpi.rank() + 1 < mpi.size(), "the middle of nowhere");
    let _never = mpi.peers().barrier();
    thread::sleep(LIMIT);
}

fn exits(mpi: Mpi) {
    if mpi.rank() + 1 == mpi.size() {
        if mpi.size() == 1 {
            eprint("ended with status 3");
        }
        std::process::exit(3);
    }
    let manager = MpiManager::available().expect("MPI is there");
    let pending = manager.scatter::<Square>(false, (0..9).collect(), &RunOptions::default());
    drop(pending.expect("it starts").gather());
    thread::sleep(LIMIT);
}

#[expect(clippy::print_stderr, reason = "a job of one rank says nothing by itself")]
fn eprint(text: &str) {
    eprintln!("{text}");
}

fn evil_task(n: u64) {
    let manager = MpiManager::available().expect("MPI is there");
    let mut params = vec![2; 20];
    params[19] = n;
    let pending =
        manager.scatter::<Square>(true, params, &by(Schedule::Static)).expect("it starts");
    drop(pending.gather());
    thread::sleep(LIMIT);
}

fn killed(_: Mpi) {
    evil_task(15);
}

fn exits_in_task(_: Mpi) {
    evil_task(16);
}

fn drops_out(mpi: Mpi) {
    if mpi.size() == 1 {
        eprint("the program has ended on rank 0");
        std::process::exit(1);
    }
    if mpi.rank() > 0 {
        let manager = MpiManager::available().expect("MPI is there");
        let pending = manager.scatter::<Square>(false, (0..9).collect(), &RunOptions::default());
        let error = pending.expect("it starts").gather().expect_err("rank 0 never comes");
        panic!("{:?}", std::error::Error::source(&error).map(ToString::to_string));
    }
}

fn gone(mpi: Mpi) {
    let peers = mpi.peers();
    peers.barrier().expect("all come");
    if mpi.size() > 1 && mpi.rank() > 0 {
        let error = peers.barrier().expect_err("rank 0 is gone");
        assert!(matches!(error, PeersError::Left { rank: 0, .. }), "{error}");
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if env::var_os(common::INSIDE).is_some() {
        let mpi = pm_mpi::init().expect("MPI can be begun");
        let case = CASES.iter().find(|(name, ..)| arguments.first().is_some_and(|a| a == name));
        let (_, _, run) = case.expect("the runner knows the cases");
        run(mpi);
        return;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        for size in 1..=4 {
            CASES.iter().for_each(|(name, ..)| println!("size_{size}::{name}: test"));
        }
        return;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let segments = common::Segments::make();
    let mut failed = Vec::new();
    for size in 1..=4 {
        for (case, end, _) in CASES {
            let name = format!("size_{size}::{case}");
            if !filters.is_empty() && !filters.iter().any(|filter| name.contains(*filter)) {
                continue;
            }
            let begin = Instant::now();
            match judge(case, end, size) {
                Ok(()) => println!("test {name} ... ok ({:.2?})", begin.elapsed()),
                Err(why) => {
                    println!("test {name} ... FAILED ({:.2?}): {why}", begin.elapsed());
                    failed.push(name);
                }
            }
        }
    }
    drop(segments);
    assert!(failed.is_empty(), "{failed:?}");
}

/// Does a case as a job of its own, and looks how that ends, and that nobody and nothing is left.
fn judge(case: &str, end: End, size: usize) -> Result<(), String> {
    let launcher =
        common::launcher(&pm_mpi::library(), false).expect("an MPI comes with its launcher");
    let mut command = common::mpirun(launcher, size, &env::current_exe().expect("it runs"));
    let mark = format!("{}-{size}-{case}", std::process::id());
    command.env(common::INSIDE, &mark);
    command.arg(case).stdout(Stdio::piped()).stderr(Stdio::piped());
    let before = shared_files();
    let limit = if matches!(end, End::Success) { LIMIT } else { SOON };
    let output = common::output_in(command, limit)?;
    let Output { status, stdout, stderr } = output;
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    let begin = Instant::now();
    while let Some(pid) = one_with(&mark) {
        if begin.elapsed() > SOON {
            return Err(format!("process {pid} is left: {text}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let mut left = shared_files();
    left.retain(|name| !before.contains(name) && !is_of_sessions(name));
    if !left.is_empty() {
        return Err(format!("{left:?} is left in shared memory: {text}"));
    }
    match end {
        End::Success if status.success() => Ok(()),
        End::Failure(words) if !status.success() && text.contains(words) => Ok(()),
        _ => Err(format!("{status}: {text}")),
    }
}

/// The names of what lies in shared memory.
fn shared_files() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Whether this is the folder of a user's timing sessions, which no rank has here, but perhaps a
/// program that runs beside.
fn is_of_sessions(name: &str) -> bool {
    name.strip_prefix("polychron-")
        .is_some_and(|user| user.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A process that was started with this mark and is not a corpse.
fn one_with(mark: &str) -> Option<u32> {
    let wanted = format!("{}={mark}", common::INSIDE);
    let is_it = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_it)
}
