//! What the workers of a run measure arrives in the timer of whoever gathers it, without a line of
//! code: on threads and on processes alike.
//!
//! This program is its own worker, so it has its own `main` and runner.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use polychron::gtimer_core::{ParallelGroup, StampOptions, Times, stamp, thread as timer};
use polychron::pm::{
    FailureKind, ParallelManager, RunOptions, Scatter as _, Schedule, SerialManager, Spmd, Task,
    TaskError, Worker, register_spmd, register_task,
};
use polychron::shm_times::{SESSION_VARIABLE, Session};
use rustix::process::{Signal, getpid, getppid, kill_process};
use serde::{Deserialize, Serialize};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("the_sums_of_each_worker_are_those_that_its_tasks_report", sums),
    ("two_runs_on_the_same_workers_are_not_counted_twice", two_runs),
    ("what_was_stamped_before_a_task_failed_counts", failed_tasks),
    ("the_ranks_of_a_program_come_as_a_group", ranks),
    ("a_worker_killed_by_sigkill_leaves_its_finished_stamps", killed),
    ("a_worker_that_ends_its_process_leaves_them_too", exited),
    ("workers_are_seen_while_they_work_and_leave_nothing", live),
    ("a_session_that_is_there_is_joined_and_stays", joined),
    ("a_disabled_timer_makes_no_session", disabled),
    ("a_killed_program_leaves_no_session", killed_program),
];

fn main() {
    polychron::worker_entry().unwrap();
    if let Some(role) = std::env::args().skip_while(|argument| argument != "--role").nth(1) {
        return play(&role);
    }
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
        timer::reset_root().unwrap();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        n_failed += i32::from(!passed);
    }
    std::process::exit(i32::from(n_failed > 0));
}

/// What a task does after it has stamped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Then {
    Tell,
    Fail,
    Kill,
    Exit,
}

/// Works for a while in a subdivision, stamps that, and writes down which worker it was and how
/// long it took at least and at most.
struct Works;

impl Task for Works {
    const NAME: &'static str = "worker_times::works";
    type Args = PathBuf;
    type Model = PathBuf;
    type Param = Then;
    type Output = usize;

    fn build(log: &PathBuf, _: &Worker<'_>) -> Result<PathBuf, TaskError> {
        Ok(log.clone())
    }

    fn execute(
        log: &mut PathBuf,
        params: &[Then],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        let one = |&then: &Then| {
            let rank = worker.rank();
            write_down(log, rank, work)?;
            match then {
                Then::Tell => Ok(rank),
                Then::Fail => Err(TaskError::new("as it was told to")),
                Then::Kill => {
                    let _ = kill_process(getpid(), Signal::KILL);
                    std::process::abort()
                }
                Then::Exit => std::process::exit(7),
            }
        };
        params.iter().map(one).collect()
    }
}
register_task!(Works);

/// The same, once on each rank; twice on the first.
struct Ranks;

impl Spmd for Ranks {
    const NAME: &'static str = "worker_times::ranks";
    type Args = PathBuf;
    type Output = usize;

    fn run(log: &PathBuf, worker: &Worker<'_>) -> Result<usize, TaskError> {
        for _ in 0..if worker.rank() == 0 { 2 } else { 1 } {
            write_down(log, worker.rank(), work)?;
        }
        worker.peers().barrier()?;
        Ok(worker.rank())
    }
}
register_spmd!(Ranks);

/// Gives the session that it finds, and what its worker is called there.
struct Looks;

impl Task for Looks {
    const NAME: &'static str = "worker_times::looks";
    type Args = ();
    type Model = ();
    type Param = ();
    type Output = (Option<PathBuf>, Vec<String>);

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[()], _: &Worker<'_>) -> Result<Vec<Self::Output>, TaskError> {
        let Some(session) = Session::from_env()? else {
            return Ok(vec![(None, Vec::new()); params.len()]);
        };
        let snapshot = session.snapshot()?;
        let own = snapshot.processes.iter().filter(|process| process.pid == std::process::id());
        let labels = own.map(|process| process.label.text.clone()).collect();
        Ok(vec![(Some(session.dir().to_owned()), labels); params.len()])
    }
}
register_task!(Looks);

/// Ends the program that it works for.
struct KillsParent;

impl Task for KillsParent {
    const NAME: &'static str = "worker_times::kills_parent";
    type Args = ();
    type Model = ();
    type Param = ();
    type Output = ();

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), _: &[()], _: &Worker<'_>) -> Result<Vec<()>, TaskError> {
        if let Some(parent) = getppid() {
            kill_process(parent, Signal::KILL)?;
        }
        loop {
            std::thread::park();
        }
    }
}
register_task!(KillsParent);

/// Gives how long it took, in s: what is surely stamped.
fn work() -> Result<f64, TaskError> {
    let _part = timer::subdivision("part");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(300) {
        std::hint::spin_loop();
    }
    let inner = begin.elapsed().as_secs_f64();
    timer::stamp_with("step", StampOptions::ADD)?;
    Ok(inner)
}

/// A line in one write: the worker, and how long the work took at least and at most, in s.
fn write_down(
    log: &Path,
    rank: usize,
    work: impl FnOnce() -> Result<f64, TaskError>,
) -> Result<(), TaskError> {
    let begin = Instant::now();
    let inner = work()?;
    let outer = begin.elapsed().as_secs_f64();
    let mut log = OpenOptions::new().append(true).create(true).open(log)?;
    Ok(log.write_all(format!("{rank} {inner:e} {outer:e}\n").as_bytes())?)
}

/// How often and how long, in s, at least and at most, the tasks of each worker worked.
fn written(log: &Path) -> BTreeMap<String, (u64, f64, f64)> {
    let mut sums = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap_or_default().lines() {
        let mut fields = line.split(' ');
        let rank: usize = fields.next().unwrap().parse().unwrap();
        let mut number = || fields.next().unwrap().parse::<f64>().unwrap();
        let (n, inner, outer) = sums.entry(format!("worker {}", rank + 1)).or_default();
        *n += 1;
        *inner += number();
        *outer += number();
    }
    sums
}

/// That the group has one timer for each worker that wrote something, and that each holds what it
/// wrote, neither less nor more.
fn check(group: &ParallelGroup, task: &str, log: &Path) {
    assert_eq!(group.group, task);
    let written = written(log);
    let mut names: Vec<&str> = group.workers.iter().map(|worker| worker.name.as_str()).collect();
    names.sort_unstable();
    let mut seen = names.clone();
    seen.dedup();
    assert_eq!(seen, names, "one timer for each worker");
    assert!(written.keys().all(|name| names.contains(&name.as_str())), "{names:?}: {written:?}");
    for worker in &group.workers {
        let (calls, sum) = steps(worker);
        let (n, inner, outer) = written.get(&worker.name).copied().unwrap_or_default();
        assert_eq!(calls, n, "{}: {worker:#?}", worker.name);
        // The clocks differ by less than a thousandth, and each stamp is measured to 1 µs.
        let slack = n as f64 * 1e-6;
        let bounds = inner * 0.999 - slack..=outer * 1.001 + slack;
        assert!(bounds.contains(&sum), "{}: {sum} is not in {bounds:?}", worker.name);
        assert!(worker.total >= sum * 0.999, "{}: {} < {sum}", worker.name, worker.total);
        assert!(!worker.running && worker.stamps.len() <= 1, "{worker:#?}");
    }
}

/// How often, and how long in s, a worker stamped `step`.
fn steps(times: &Times) -> (u64, f64) {
    let own = times.stamps.iter().filter(|stamp| stamp.name == "step");
    let own = own.map(|stamp| (stamp.itr_num, stamp.cum));
    let below = times.children().map(steps);
    own.chain(below).fold((0, 0.0), |(n, sum), (more, time)| (n + more, sum + time))
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    (dir, log)
}

/// The managers that have their workers elsewhere than on the caller's thread, at these sizes.
fn managers() -> impl Iterator<Item = Box<dyn ParallelManager>> {
    let named = [("threads", 1), ("threads", 3), ("processes", 1), ("processes", 2)];
    named.into_iter().map(|(name, n)| polychron::create_parallel_manager(name, Some(n)).unwrap())
}

/// Runs the tasks; how many of them failed.
fn run(manager: &dyn ParallelManager, tasks: Vec<Then>, log: &Path) -> usize {
    // So that workers that die do not decide who does what.
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
    let pending = manager.scatter::<Works>(log.to_owned(), tasks, &options).unwrap();
    pending.gather().unwrap().failures().count()
}

fn sums() {
    for manager in managers() {
        timer::reset_root().unwrap();
        let (_dir, log) = log();
        assert_eq!(run(&*manager, vec![Then::Tell; 40], &log), 0);
        stamp!("run").unwrap();
        let times = timer::times();
        let [group] = &times.parallel[..] else { panic!("{times:#?}") };
        assert_eq!(group.position, "run");
        assert!(group.workers.len() <= manager.n_workers());
        check(group, Works::NAME, &log);
        assert_eq!(written(&log).values().map(|(n, ..)| n).sum::<u64>(), 40);
    }
    // A worker on the thread that gathers is that thread's own work.
    timer::reset_root().unwrap();
    let (_dir, log) = log();
    run(&SerialManager::new(), vec![Then::Tell; 5], &log);
    stamp!("run").unwrap();
    assert_eq!((timer::times().parallel.len(), steps(&timer::times()).0), (0, 5));
}

fn two_runs() {
    for manager in managers() {
        timer::reset_root().unwrap();
        let (_dir, first) = log();
        let (_other, second) = log();
        run(&*manager, vec![Then::Tell; 12], &first);
        stamp!("first").unwrap();
        run(&*manager, vec![Then::Tell; 7], &second);
        stamp!("second").unwrap();
        let times = timer::times();
        let [a, b] = &times.parallel[..] else { panic!("{times:#?}") };
        assert_eq!([&a.position, &b.position], ["first", "second"]);
        check(a, Works::NAME, &first);
        check(b, Works::NAME, &second);
        // Two of one stamp are one group, and add up.
        let (_third, both) = log();
        run(&*manager, vec![Then::Tell; 5], &both);
        run(&*manager, vec![Then::Tell; 6], &both);
        stamp!("both").unwrap();
        check(&timer::times().parallel[2], Works::NAME, &both);
    }
}

fn failed_tasks() {
    for manager in managers() {
        timer::reset_root().unwrap();
        let (_dir, log) = log();
        let tasks = [[Then::Tell; 3], [Then::Tell, Then::Fail, Then::Tell]].concat();
        assert_eq!(run(&*manager, tasks, &log), 1);
        stamp!("run").unwrap();
        check(&timer::times().parallel[0], Works::NAME, &log);
        assert_eq!(written(&log).values().map(|(n, ..)| n).sum::<u64>(), 6);
    }
}

fn ranks() {
    for manager in managers() {
        timer::reset_root().unwrap();
        let (_dir, log) = log();
        let n = manager.n_workers();
        let outputs = manager.run::<Ranks>(log.clone()).unwrap();
        assert_eq!(outputs, (0..n).collect::<Vec<_>>());
        stamp!("run").unwrap();
        let times = timer::times();
        assert_eq!(times.parallel[0].workers.len(), n);
        check(&times.parallel[0], Ranks::NAME, &log);
    }
}

/// A run of which some tasks end their processes, also the first that these processes have done.
fn die(then: Then, kind: FailureKind) {
    for n in [1, 2] {
        let manager = polychron::processes::processes(n).unwrap();
        timer::reset_root().unwrap();
        let (_dir, log) = log();
        let mut tasks = vec![Then::Tell; 20];
        (tasks[6], tasks[13]) = (then, then);
        let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
        let pending = manager.scatter::<Works>(log.clone(), tasks, &options).unwrap();
        let gathered = pending.gather().unwrap();
        let failed: Vec<_> = gathered.failures().map(|failure| failure.kind).collect();
        assert_eq!(failed, [kind; 2]);
        stamp!("run").unwrap();
        check(&timer::times().parallel[0], Works::NAME, &log);
        assert_eq!(written(&log).values().map(|(n, ..)| n).sum::<u64>(), 20);
    }
}

fn killed() {
    die_again(Then::Kill, FailureKind::Killed { signal: 9 });
}

/// The same, and in a second run of the same processes.
fn die_again(then: Then, kind: FailureKind) {
    die(then, kind);
    // In their second run, what they did in the first counts there only.
    let manager = polychron::processes::processes(2).unwrap();
    timer::reset_root().unwrap();
    let (_dir, first) = log();
    let (_other, second) = log();
    run(&manager, vec![Then::Tell; 10], &first);
    stamp!("first").unwrap();
    let tasks = [vec![Then::Tell; 5], vec![then; 1], vec![Then::Tell; 5]].concat();
    assert_eq!(run(&manager, tasks, &second), 1);
    stamp!("second").unwrap();
    let times = timer::times();
    check(&times.parallel[0], Works::NAME, &first);
    check(&times.parallel[1], Works::NAME, &second);
}

fn exited() {
    die_again(Then::Exit, FailureKind::Exited { code: 7 });
}

/// The sessions that this process, or the one of that number, has made.
fn sessions_of(pid: u32) -> Vec<PathBuf> {
    let mut all = Session::list();
    let prefix = format!("{pid}-");
    all.retain(|dir| dir.file_name().unwrap().to_string_lossy().starts_with(&prefix));
    all
}

fn live() {
    let own = || sessions_of(std::process::id());
    assert!(own().is_empty(), "{:?}", own());
    let manager = polychron::processes::processes(2).unwrap();
    let options = RunOptions::default().schedule(Schedule::Static);
    let pending = manager.scatter::<Looks>((), vec![(); 2], &options).unwrap();
    let outputs = pending.gather().unwrap().into_complete().unwrap();
    let [session] = &own()[..] else { panic!("{:?}", own()) };
    let label = |n: usize| vec![format!("worker {n} of 2")];
    assert_eq!(outputs, [(Some(session.clone()), label(1)), (Some(session.clone()), label(2))]);
    drop(manager);
    assert!(own().is_empty(), "{:?}", own());
    // Threads have nothing to share with nobody.
    let manager = polychron::create_parallel_manager("threads", Some(2)).unwrap();
    let pending = manager.scatter::<Looks>((), vec![(); 2], &options).unwrap();
    assert_eq!(pending.gather().unwrap().into_complete().unwrap(), vec![(None, vec![]); 2]);
    assert!(own().is_empty(), "{:?}", own());
}

/// This program in another process, to do what the role says; what it printed.
fn as_role(role: &str, set: &[(&str, &Path)], success: bool) -> (u32, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--role", role]).envs(set.iter().copied());
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.success(), success, "{:?}", output.status);
    (pid, String::from_utf8(output.stdout).unwrap())
}

fn play(role: &str) {
    let manager = polychron::processes::processes(2).unwrap();
    let options = RunOptions::default().schedule(Schedule::Static);
    match role {
        "look" => {
            let pending = manager.scatter::<Looks>((), vec![(); 2], &options).unwrap();
            let outputs = pending.gather().unwrap().into_complete().unwrap();
            let n_own = sessions_of(std::process::id()).len();
            println!("{outputs:?} {n_own} {}", timer::times().parallel.len());
        }
        "die" => {
            let pending = manager.scatter::<KillsParent>((), vec![(); 2], &options).unwrap();
            let _ = pending.gather();
        }
        _ => panic!("no role {role}"),
    }
}

fn joined() {
    let session = Session::create().unwrap();
    let dir = session.dir().to_owned();
    let (_, said) = as_role("look", &[(SESSION_VARIABLE, &dir)], true);
    let of = |n| format!("(Some({dir:?}), [\"worker {n} of 2\"])");
    assert_eq!(said, format!("[{}, {}] 0 1\n", of(1), of(2)));
    let snapshot = session.snapshot().unwrap();
    let labels = snapshot.processes.iter().map(|process| process.label.text.as_str());
    let mut labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["worker 1 of 2", "worker 2 of 2"]);
    session.end().unwrap();
    // One that cannot be used is not, and one's own takes its place.
    let (_, said) = as_role("look", &[(SESSION_VARIABLE, Path::new("/nowhere"))], true);
    assert!(said.ends_with("] 1 1\n") && said.contains("worker 2 of 2"), "{said}");
}

fn disabled() {
    let (_, said) = as_role("look", &[("GTIMER_DISABLE", Path::new("1"))], true);
    assert_eq!(said, "[(None, []), (None, [])] 0 0\n");
}

fn killed_program() {
    let (pid, _) = as_role("die", &[], false);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !sessions_of(pid).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", sessions_of(pid));
        std::thread::yield_now();
    }
}
