//! What tasks and callers can do to the processes of a run, and that nothing is left of it.
//!
//! This program is its own worker, so it has its own `main` and runner.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pm_api::{
    FailureKind, PeersExt as _, PmError, RunOptions, Scatter as _, Schedule, Shared, Spmd, Sum,
    Task, TaskError, Worker,
};
use pm_proc::{Output, ProcessesManager, ProcessesOptions, WorkerExe, processes};
use serde::{Deserialize, Serialize};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("workers_are_used_again_and_let_go", workers_are_used_again_and_let_go),
    ("idle_workers_are_let_go_and_come_back", idle_workers_are_let_go_and_come_back),
    ("a_member_that_dies_wakes_the_others_and_is_named", a_member_that_dies_is_named),
    ("a_worker_killed_between_runs_is_replaced", a_worker_killed_between_runs_is_replaced),
    ("a_death_while_building_leaves_the_tasks_to_others", a_death_while_building),
    ("a_build_that_always_dies_ends_the_run", a_build_that_always_dies),
    ("long_arguments_are_shared", long_arguments_are_shared),
    ("elements_longer_than_a_window_are_folded", elements_longer_than_a_window),
    ("an_unregistered_task_is_an_error", an_unregistered_task_is_an_error),
    ("another_program_is_refused", another_program_is_refused),
    ("a_run_goes_on_while_its_caller_is_away", a_run_goes_on_while_its_caller_is_away),
    ("a_task_that_ignores_cancelling_is_killed", a_task_that_ignores_cancelling),
    ("tasks_do_not_wait_behind_those_that_wait_for_them", tasks_do_not_wait_behind),
    ("what_waits_at_a_worker_that_dies_is_done_by_others", what_waits_at_a_worker_that_dies),
    ("output_goes_where_it_was_told_to", output_goes_where_it_was_told_to),
    ("shared_arrays_are_let_go_and_given_to_new_workers", shared_arrays_are_let_go),
];

fn main() {
    pm_api::worker_entry().unwrap();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let list = std::env::args().any(|argument| argument == "--list");
    let mut n_failed = 0;
    for (name, test) in TESTS {
        if filter.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
            continue;
        }
        if list {
            println!("{name}: test");
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        n_failed += i32::from(!passed);
    }
    std::process::exit(i32::from(n_failed > 0));
}

/// Gives the number of its process, or does what it is told.
struct Pids;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Do {
    Tell,
    Die,
    Sleep,
    Print,
    Mark(std::path::PathBuf),
    /// An error if it is marked already.
    MarkOnce(std::path::PathBuf),
    /// Until another task has marked it.
    Await(std::path::PathBuf),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Args {
    /// On which rank building ends the process; on all if it is none.
    dies_on: Option<Option<usize>>,
    bulk: Vec<u8>,
}

const PLAIN: Args = Args { dies_on: None, bulk: Vec::new() };

impl Task for Pids {
    const NAME: &'static str = "lives::pids";
    type Args = Args;
    type Model = usize;
    type Param = Do;
    type Output = (u32, usize);

    fn build(args: &Args, worker: &Worker<'_>) -> Result<usize, TaskError> {
        if let Some(rank) = args.dies_on
            && rank.is_none_or(|rank| rank == worker.rank())
        {
            std::process::exit(9);
        }
        Ok(args.bulk.iter().map(|&byte| usize::from(byte)).sum())
    }

    fn execute(
        sum: &mut usize,
        what: &[Do],
        _: &Worker<'_>,
    ) -> Result<Vec<(u32, usize)>, TaskError> {
        for what in what {
            match what {
                Do::Tell => {}
                Do::Die => std::process::abort(),
                Do::Sleep => std::thread::sleep(Duration::from_secs(600)),
                Do::Print => println!("from a task"),
                Do::Mark(path) => fs::write(path, "")?,
                Do::MarkOnce(path) => drop(fs::File::create_new(path)?),
                Do::Await(path) => wait_until(|| path.exists()),
            }
        }
        Ok(vec![(std::process::id(), *sum); what.len()])
    }
}
pm_api::register_task!(Pids);

fn one_by_one() -> RunOptions {
    RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 })
}

fn pids(manager: &ProcessesManager) -> Vec<u32> {
    let options = RunOptions::default().schedule(Schedule::Static);
    let pending = manager.scatter::<Pids>(PLAIN, vec![Do::Tell; 2], &options).unwrap();
    let mut pids: Vec<u32> =
        pending.gather().unwrap().into_complete().unwrap().iter().map(|it| it.0).collect();
    pids.sort_unstable();
    pids
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn workers_are_used_again_and_let_go() {
    let manager = processes(2).unwrap();
    let first = pids(&manager);
    assert!((0..5).all(|_| pids(&manager) == first));
    assert!(first[0] != first[1] && first.iter().all(|&pid| lives(pid)));
    drop(manager);
    assert!(!first.iter().any(|&pid| lives(pid)), "they are gone with the manager");
}

fn idle_workers_are_let_go_and_come_back() {
    let options = ProcessesOptions::default().idle(Duration::from_millis(20));
    let manager = ProcessesManager::with_options(2, options).unwrap();
    let first = pids(&manager);
    wait_until(|| !first.iter().any(|&pid| lives(pid)));
    assert_ne!(pids(&manager), first);
}

struct OneDies;

impl Spmd for OneDies {
    const NAME: &'static str = "lives::one_dies";
    type Args = ();
    type Output = String;

    fn run((): &(), worker: &Worker<'_>) -> Result<String, TaskError> {
        let peers = worker.peers();
        peers.barrier()?;
        if peers.rank() == 1 {
            std::process::abort();
        }
        Ok(peers.all_reduce(&mut [1_u8], Sum).unwrap_err().to_string())
    }
}
pm_api::register_spmd!(OneDies);

fn a_member_that_dies_is_named() {
    let manager = processes(3).unwrap();
    for _ in 0..3 {
        let pending = manager.start_spmd::<OneDies>((), &RunOptions::default()).unwrap();
        let gathered = pending.gather().unwrap();
        let text = "rank 1 of 3 left the group: its worker process ended with signal 6 (aborted)";
        assert_eq!(
            (gathered.get(0).unwrap(), gathered.get(2).unwrap()),
            (&text.into(), &text.into())
        );
        let failure = gathered.failures().next().unwrap();
        assert_eq!(
            (failure.indices.clone(), failure.kind),
            (1..2, FailureKind::Killed { signal: 6 })
        );
        let text = "task 1 lost on worker 1: its worker process ended with signal 6 (aborted)";
        assert_eq!(failure.to_string(), text);
    }
}

fn a_worker_killed_between_runs_is_replaced() {
    let manager = processes(2).unwrap();
    let before = pids(&manager);
    let kill = std::process::Command::new("kill").args(["-9", &before[0].to_string()]).status();
    assert!(kill.unwrap().success());
    let after = pids(&manager);
    assert!(after.contains(&before[1]) && !after.contains(&before[0]) && after[0] != after[1]);
}

fn a_death_while_building() {
    let manager = processes(2).unwrap();
    let args = Args { dies_on: Some(Some(1)), ..PLAIN };
    let options = RunOptions::default().schedule(Schedule::Static);
    let gathered =
        manager.scatter::<Pids>(args, vec![Do::Tell; 9], &options).unwrap().gather().unwrap();
    let lost = &gathered.summary().lost_workers;
    assert_eq!((lost.len(), lost[0].rank), (1, 1));
    assert_eq!(lost[0].fault.kind(), FailureKind::Exited { code: 9 });
    assert_eq!(gathered.into_complete().unwrap().len(), 9);
    assert_eq!(pids(&manager).len(), 2);
}

fn a_build_that_always_dies() {
    let manager = processes(3).unwrap();
    let args = Args { dies_on: Some(None), ..PLAIN };
    let options = one_by_one().retries(3);
    let start = Instant::now();
    let gathered =
        manager.scatter::<Pids>(args, vec![Do::Tell; 100], &options).unwrap().gather().unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(gathered.summary().n_failed, 100);
    assert!(gathered.failures().all(|failure| failure.kind == FailureKind::Exited { code: 9 }));
}

fn long_arguments_are_shared() {
    let manager = processes(2).unwrap();
    let args = Args { bulk: vec![3; 300_000], ..PLAIN };
    let pending = manager.scatter::<Pids>(args, vec![Do::Tell; 9], &one_by_one()).unwrap();
    let outputs = pending.gather().unwrap().into_complete().unwrap();
    assert!(outputs.iter().all(|output| output.1 == 900_000));
}

/// Elements of more than a megabyte.
struct Huge;

impl Spmd for Huge {
    const NAME: &'static str = "lives::huge";
    type Args = ();
    type Output = ();

    fn run((): &(), worker: &Worker<'_>) -> Result<(), TaskError> {
        const N: usize = (5 << 20) / 2 + 8;
        let peers = worker.peers();
        let plus = |a: &mut [u8], b: &[u8]| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.wrapping_mul(3).wrapping_add(*b));
        };
        let fold = pm_api::backend::Fold::new(N, None, &plus);
        let own = |rank: usize| (0..2 * N).map(move |i| (i * (rank + 1) % 251) as u8);
        let mut bytes: Vec<u8> = own(peers.rank()).collect();
        peers.all_reduce_bytes(&mut bytes, &fold)?;
        let mut expected: Vec<u8> = own(0).collect();
        (1..peers.size()).for_each(|rank| plus(&mut expected, &own(rank).collect::<Vec<u8>>()));
        assert!(bytes == expected);
        Ok(())
    }
}
pm_api::register_spmd!(Huge);

fn elements_longer_than_a_window() {
    assert_eq!(processes(3).unwrap().run::<Huge>(()).unwrap().len(), 3);
}

struct Unregistered;

impl Spmd for Unregistered {
    const NAME: &'static str = "lives::unregistered";
    type Args = ();
    type Output = ();

    fn run((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }
}

fn an_unregistered_task_is_an_error() {
    let error = processes(2).unwrap().run::<Unregistered>(()).unwrap_err();
    assert!(matches!(&error, PmError::NotRegistered { task } if task == "lives::unregistered"));
}

fn another_program_is_refused() {
    for (exe, text) in [("/bin/true", "before it was ready"), ("/bin/cat", "was not ready within")]
    {
        let options = ProcessesOptions::default().exe(WorkerExe::Path(exe.into()));
        let options = options.start_timeout(Duration::from_millis(300));
        let manager = ProcessesManager::with_options(2, options).unwrap();
        let error = manager.scatter::<Pids>(PLAIN, vec![Do::Tell; 2], &one_by_one()).unwrap_err();
        let PmError::Start { n_workers: 2, source, .. } = error else { panic!("{error}") };
        assert!(source.to_string().contains(text), "{source}");
    }
}

/// Nobody gathers until all is done.
fn a_run_goes_on_while_its_caller_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = |i: usize| folder.path().join(i.to_string());
    let manager = processes(2).unwrap();
    let params = (0..50).map(|i| Do::Mark(path(i))).collect();
    let pending = manager.scatter::<Pids>(PLAIN, params, &one_by_one()).unwrap();
    wait_until(|| (0..50).all(|i| path(i).exists()));
    assert_eq!(pending.gather().unwrap().into_complete().unwrap().len(), 50);
}

fn a_task_that_ignores_cancelling() {
    let manager = processes(2).unwrap();
    let options = one_by_one();
    let pending = manager.scatter::<Pids>(PLAIN, vec![Do::Sleep; 4], &options).unwrap();
    let start = Instant::now();
    drop(pending);
    assert!(start.elapsed() < Duration::from_secs(20), "it sleeps for ten minutes");
    assert_eq!(pids(&manager).len(), 2);
    let params = vec![Do::Tell, Do::Die, Do::Tell];
    let gathered = manager.scatter::<Pids>(PLAIN, params, &options).unwrap().gather().unwrap();
    assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (2, 1));
}

/// Short tasks lie at a worker by the dozen, and one of them may be what another waits for.
fn tasks_do_not_wait_behind() {
    let folder = tempfile::tempdir().unwrap();
    let manager = processes(2).unwrap();
    for (round, n_behind) in [0, 1, 5, 31, 300].into_iter().enumerate() {
        let path = |i: usize| folder.path().join(format!("{round} {i}"));
        let mut params = vec![Do::Tell; 500];
        for i in 0..3 {
            params.extend([Do::Await(path(i)), Do::Mark(path(i))]);
            params.extend(vec![Do::Tell; n_behind]);
        }
        let n = params.len();
        let pending = manager.scatter::<Pids>(PLAIN, params, &one_by_one()).unwrap();
        assert_eq!(pending.gather().unwrap().into_complete().unwrap().len(), n);
    }
}

/// Only what was at work there is lost, and nothing else is done twice.
fn what_waits_at_a_worker_that_dies() {
    let folder = tempfile::tempdir().unwrap();
    let manager = processes(2).unwrap();
    for round in 0..5 {
        let path = |i: usize| folder.path().join(format!("{round} {i}"));
        let mut params = vec![Do::Tell; 500];
        params.push(Do::Die);
        // Refused by the system where it was done before.
        params.extend((0..40).map(|i| Do::MarkOnce(path(i))));
        let n = params.len();
        let options = one_by_one().retries(0);
        let gathered = manager.scatter::<Pids>(PLAIN, params, &options).unwrap().gather().unwrap();
        assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (n - 1, 1));
        let failure = gathered.failures().next().unwrap();
        assert_eq!(failure.indices, 500..501);
    }
}

fn output_goes_where_it_was_told_to() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&lines);
    let output = Output::Lines(Arc::new(move |line| {
        seen.lock().unwrap().push(String::from_utf8_lossy(line.bytes).into_owned());
    }));
    let options = ProcessesOptions::default().output(output);
    let manager = ProcessesManager::with_options(2, options).unwrap();
    let pending = manager.scatter::<Pids>(PLAIN, vec![Do::Print; 6], &one_by_one()).unwrap();
    pending.gather().unwrap().into_complete().unwrap();
    drop(manager);
    assert_eq!(*lines.lock().unwrap(), vec!["from a task\n"; 6]);
}

/// Gives its process, the sum of an array, and how many arrays are mapped there.
struct Mapped;

impl Task for Mapped {
    const NAME: &'static str = "lives::mapped";
    type Args = Shared<u64>;
    type Model = u64;
    type Param = ();
    type Output = (u32, u64, usize);

    fn build(array: &Shared<u64>, _: &Worker<'_>) -> Result<u64, TaskError> {
        Ok(array.iter().sum())
    }

    fn execute(sum: &mut u64, _: &[()], _: &Worker<'_>) -> Result<Vec<Self::Output>, TaskError> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let n = maps.lines().filter(|line| line.contains("polychron-frozen")).count();
        Ok(vec![(std::process::id(), *sum, n)])
    }
}
pm_api::register_task!(Mapped);

/// Workers have the arrays that this program has, and no others, and a worker that takes the place
/// of another has them as well.
fn shared_arrays_are_let_go() {
    let manager = processes(2).unwrap();
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
    let run = |array: &Shared<u64>| {
        let pending = manager.scatter::<Mapped>(array.clone(), vec![(); 2], &options).unwrap();
        pending.gather().unwrap().into_complete().unwrap()
    };
    let kept = Shared::new(vec![1_u64; 10_000]);
    assert!(run(&kept).iter().all(|output| (output.1, output.2) == (10_000, 1)));
    for i in 0..5 {
        let array = Shared::new(vec![i; 10_000]);
        assert!(run(&array).iter().all(|output| output.1 == 10_000 * i && output.2 <= 2));
    }
    let before = run(&kept);
    assert!(before.iter().all(|output| (output.1, output.2) == (10_000, 1)), "{before:?}");
    let pid = before[0].0;
    let kill = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.unwrap().success());
    wait_until(|| !lives(pid));
    let after = run(&kept);
    assert!(after.iter().all(|output| (output.1, output.2) == (10_000, 1)), "{after:?}");
    assert!(after.iter().all(|output| output.0 != pid));
}
