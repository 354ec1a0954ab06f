//! What a pool of rayon brings with it: work inside tasks, and threads that must not pile up.

use std::collections::HashSet;
#[cfg(target_os = "linux")]
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pm_api::{ParallelManager, PmError, RunOptions, Scatter as _, Schedule};
use pm_api::{Task, TaskError, Worker};
use pm_threads::ThreadsManager;
use rayon::prelude::*;

/// Longer than any of these tests takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Tests here count the threads of the process, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Sums by rayon in building and in executing, so that threads wait for each other in both.
struct Sums;

impl Task for Sums {
    const NAME: &'static str = "pools::sums";
    type Args = ();
    type Model = u64;
    type Param = u64;
    type Output = u64;

    fn build((): &(), _: &Worker<'_>) -> Result<u64, TaskError> {
        Ok((0..2000_u32).into_par_iter().with_max_len(1).map(u64::from).sum())
    }

    fn execute(model: &mut u64, params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let below = |n: u64| (0..n as u32).into_par_iter().with_max_len(1).map(u64::from);
        let sum = |&n: &u64| *model + below(n).sum::<u64>();
        Ok(params.par_iter().with_max_len(1).map(sum).collect())
    }
}

/// A worker that was taken up by a thread waiting for another one would never end.
#[test]
fn parallel_work_in_tasks_never_waits_for_ever() {
    let _turn = TURN.lock();
    let (done, wait) = std::sync::mpsc::channel();
    let runner = thread::spawn(move || {
        for size in 1..=4 {
            let manager = ThreadsManager::new(size).unwrap();
            for schedule in [Schedule::Static, Schedule::Dynamic { chunk: 1 }, Schedule::Auto] {
                for _ in 0..100 {
                    let options = RunOptions::default().schedule(schedule.clone());
                    let pending = manager.scatter::<Sums>((), (0..20).collect(), &options);
                    let outputs = pending.unwrap().gather().unwrap().into_complete().unwrap();
                    let sum = |n: u64| 1999 * 1000 + n * n.saturating_sub(1) / 2;
                    assert!((0..20).map(sum).eq(outputs));
                }
            }
        }
        done.send(()).unwrap();
    });
    wait.recv_timeout(DEADLINE).expect("the runs do not end, or failed");
    runner.join().unwrap();
}

/// Waits until rayon has had it on as many threads as there are.
struct Gather;

impl Task for Gather {
    const NAME: &'static str = "pools::gather";
    type Args = usize;
    type Model = usize;
    type Param = ();
    type Output = usize;

    fn build(n_threads: &usize, _: &Worker<'_>) -> Result<usize, TaskError> {
        Ok(*n_threads)
    }

    fn execute(n_threads: &mut usize, _: &[()], _: &Worker<'_>) -> Result<Vec<usize>, TaskError> {
        let met = Mutex::new(HashSet::new());
        let n_met = || met.lock().expect("nobody panics with it").len();
        let start = Instant::now();
        (0..*n_threads).into_par_iter().with_max_len(1).for_each(|_| {
            met.lock().expect("nobody panics with it").insert(rayon::current_thread_index());
            while n_met() < *n_threads && start.elapsed() < DEADLINE {
                thread::yield_now();
            }
        });
        Ok(vec![n_met()])
    }
}

#[test]
fn a_single_task_may_use_all_threads_and_no_more() {
    let _turn = TURN.lock();
    let manager = ThreadsManager::new(3).unwrap();
    let pending = manager.scatter::<Gather>(3, vec![()], &RunOptions::default()).unwrap();
    assert_eq!(pending.gather().unwrap().into_complete().unwrap(), [3]);
}

/// Scatters from wherever rayon takes it, by a manager of its own.
struct ScattersInside;

impl Task for ScattersInside {
    const NAME: &'static str = "pools::scatters_inside";
    type Args = ();
    type Model = ThreadsManager;
    type Param = u64;
    type Output = u64;

    fn build((): &(), _: &Worker<'_>) -> Result<ThreadsManager, TaskError> {
        Ok(ThreadsManager::new(2)?)
    }

    fn execute(
        manager: &mut ThreadsManager,
        params: &[u64],
        _: &Worker<'_>,
    ) -> Result<Vec<u64>, TaskError> {
        let manager = &*manager;
        let inner = |&n: &u64| -> Result<u64, PmError> {
            let pending = manager.scatter::<Sums>((), vec![n; 3], &RunOptions::default())?;
            let gathered = pending.gather()?;
            assert_eq!(gathered.summary().n_workers, 1, "a run inside a task took workers");
            Ok(gathered.into_complete()?.into_iter().sum())
        };
        let outputs: Result<Vec<u64>, PmError> =
            params.par_iter().with_max_len(1).map(inner).collect();
        Ok(outputs?)
    }
}

#[test]
fn runs_inside_parallel_work_of_tasks_come_to_their_end() {
    let _turn = TURN.lock();
    let manager = ThreadsManager::new(3).unwrap();
    let options = RunOptions::default().schedule(Schedule::Static);
    let pending = manager.scatter::<ScattersInside>((), vec![2; 30], &options).unwrap();
    assert_eq!(pending.gather().unwrap().into_complete().unwrap(), [3 * (1_999_000 + 1); 30]);
}

/// Waits until rayon has it on as many threads as there are, and scatters on each of them.
struct ScattersEverywhere;

impl Task for ScattersEverywhere {
    const NAME: &'static str = "pools::scatters_everywhere";
    type Args = usize;
    type Model = (usize, ThreadsManager);
    type Param = ();
    type Output = usize;

    fn build(n_threads: &usize, _: &Worker<'_>) -> Result<Self::Model, TaskError> {
        Ok((*n_threads, ThreadsManager::new(2)?))
    }

    fn execute(
        (n_threads, manager): &mut Self::Model,
        _: &[()],
        _: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        let (n_threads, manager) = (*n_threads, &*manager);
        let met = Mutex::new(HashSet::new());
        let n_met = || met.lock().expect("nobody panics with it").len();
        let start = Instant::now();
        let most: Result<Vec<usize>, PmError> = (0..n_threads)
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                met.lock().expect("nobody panics with it").insert(rayon::current_thread_index());
                while n_met() < n_threads && start.elapsed() < DEADLINE {
                    thread::yield_now();
                }
                let pending = manager.scatter::<Sums>((), vec![3; 4], &RunOptions::default())?;
                Ok(pending.gather()?.summary().n_workers)
            })
            .collect();
        assert_eq!(n_met(), n_threads);
        Ok(vec![most?.into_iter().max().unwrap_or(0)])
    }
}

/// Also on threads that rayon moved a part of the task to, and that have no task of their own.
#[test]
fn runs_inside_tasks_take_no_workers_wherever_rayon_moved_them() {
    let _turn = TURN.lock();
    let manager = ThreadsManager::new(3).unwrap();
    let options = RunOptions::default();
    let pending = manager.scatter::<ScattersEverywhere>(3, vec![()], &options).unwrap();
    assert_eq!(pending.gather().unwrap().into_complete().unwrap(), [1]);
}

#[cfg(target_os = "linux")]
fn n_pool_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("pm-threads-")).count()
}

/// C35.
#[cfg(target_os = "linux")]
#[test]
fn threads_do_not_pile_up_over_runs() {
    let _turn = TURN.lock();
    let manager = ThreadsManager::new(3).unwrap();
    let options = RunOptions::default();
    let round = || {
        let one = manager.scatter::<Sums>((), vec![3; 9], &options).unwrap();
        let two = manager.scatter::<Sums>((), vec![4; 9], &options).unwrap();
        drop(one);
        two.gather().unwrap().into_complete().unwrap();
    };
    round();
    // Threads of a pool that was let go end a little later than its run, and the list can miss a
    // thread while another one ends: a count holds once it was seen several times running.
    let settle = |wanted: usize| {
        let start = Instant::now();
        let mut counts = [usize::MAX; 5];
        while counts != [wanted; 5] && start.elapsed() < DEADLINE {
            thread::yield_now();
            counts.rotate_left(1);
            counts[4] = n_pool_threads();
        }
        counts[4]
    };
    assert_eq!(settle(3), 3);
    (0..50).for_each(|_| round());
    assert_eq!(settle(3), 3);
    drop(manager);
    assert_eq!(settle(0), 0);
}

#[test]
fn a_manager_needs_a_thread_and_takes_what_there_are_if_not_told() {
    let _turn = TURN.lock();
    let error = ThreadsManager::new(0).unwrap_err();
    assert_eq!(error.to_string(), "manager \"threads\" needs at least 1 worker, not 0");
    let error = ThreadsManager::new(usize::MAX).unwrap_err();
    assert!(matches!(error, PmError::Start { n_workers: usize::MAX, .. }), "{error}");
    let available = thread::available_parallelism().unwrap().get();
    assert_eq!(ThreadsManager::available().unwrap().n_workers(), available);
}
