//! What goes wrong, and what becomes of it.

use std::error::Error as _;
use std::thread;
use std::time::{Duration, Instant};

use pm_api::{
    CancelToken, Failure, FailureKind, Gathered, PmError, RunOptions, Scatter as _, Schedule,
};

use crate::Setup;
use crate::log::Log;
use crate::program::assert_no_zombies;
use crate::results::{by, complete, one_by_one, schedules};
use crate::tasks::{
    BreaksOnce, Build, Counted, Do, Obedient, Odd, Picky, Square, StaysFromTen, Stubborn,
};

/// Runs what tasks are told to do; how often one began that does not just give a number.
fn obey(
    setup: &Setup,
    size: usize,
    params: Vec<Do>,
    options: &RunOptions,
) -> (Gathered<u64>, usize) {
    let (log, _folder) = Log::new();
    let manager = setup.manager(size);
    let pending = manager.scatter::<Obedient>(log.clone(), params, options).unwrap();
    let gathered = pending.gather().unwrap();
    (gathered, log.notes("failed").len())
}

/// `n` tasks that give their index, but for one.
fn all_good_but(n: u64, bad: usize, what: Do) -> Vec<Do> {
    let mut params: Vec<Do> = (0..n).map(Do::Give).collect();
    params[bad] = what;
    params
}

fn assert_good(gathered: &Gathered<u64>, n_done: usize) {
    assert!(gathered.outputs().all(|(i, &output)| i as u64 == output));
    assert_eq!((gathered.outputs().count(), gathered.summary().n_done), (n_done, n_done));
}

/// C20.
pub(crate) fn c20_a_wrong_count_of_outputs_is_a_failure(setup: &Setup, size: usize) {
    let params = vec![Do::Give(1), Do::GiveNothing, Do::GiveTwice, Do::Give(4)];
    let (gathered, _) = obey(setup, size, params, &one_by_one());
    let outputs: Vec<_> = gathered.outputs().map(|(i, &output)| (i, output)).collect();
    assert_eq!(outputs, [(0, 1), (3, 4)]);
    assert_eq!((gathered.get(3), gathered.get(1), gathered.get(4)), (Some(&4), None, None));
    let failures: Vec<_> = gathered.failures().collect();
    assert_eq!(failures.len(), 2);
    for (failure, (idx, n)) in failures.iter().zip([(1, 0), (2, 2)]) {
        assert_eq!((failure.indices.clone(), failure.kind), (idx..idx + 1, FailureKind::Arity));
        assert_eq!(failure.message, format!("{n} outputs for 1 parameters"));
    }
}

/// C21.
pub(crate) fn c21_an_error_names_its_task_worker_and_cause(setup: &Setup, size: usize) {
    for schedule in [Schedule::Dynamic { chunk: 1 }, Schedule::Strided] {
        let (log, folder) = Log::new();
        let manager = setup.manager(size);
        let params = all_good_but(20, 13, Do::Fail);
        let start = Instant::now();
        let pending = manager.scatter::<Obedient>(log.clone(), params, &by(schedule)).unwrap();
        let gathered = pending.gather().unwrap();
        assert!(start.elapsed() < Duration::from_secs(60));
        assert_good(&gathered, 19);
        let failure = gathered.failures().next().unwrap();
        assert_eq!((failure.indices.clone(), failure.kind), (13..14, FailureKind::Error));
        assert_eq!(failure.worker, log.notes("failed").first().copied());
        assert_eq!(failure.attempts, 1);
        let rank = failure.worker.unwrap();
        let text = format!("task 13 failed on worker {rank}: could not read row 13");
        assert_eq!(failure.to_string(), text);
        assert_eq!(failure.source().unwrap().to_string(), "the disk is gone");
        let is_itself = failure.error().unwrap().is::<crate::tasks::RowError>();
        assert_eq!(is_itself, !setup.capabilities.bytes, "errors travel as words");
        drop(folder);
    }
}

/// C22.
pub(crate) fn c22_a_panic_is_a_failure_with_its_place(setup: &Setup, size: usize) {
    for (bad, message) in [
        (Do::PanicText, "boom"),
        (Do::PanicFormatted, "boom at 13"),
        (Do::PanicValue, "a panic whose payload is not text"),
    ] {
        let (log, _folder) = Log::new();
        let manager = setup.manager(size);
        let params = all_good_but(20, 13, bad);
        let pending = manager.scatter::<Obedient>(log.clone(), params, &by(Schedule::Strided));
        let gathered = pending.unwrap().gather().unwrap();
        assert_good(&gathered, 19);
        let failure = gathered.failures().next().unwrap();
        assert_eq!((failure.indices.clone(), failure.kind), (13..14, FailureKind::Panic));
        assert_eq!(failure.worker, log.notes("failed").first().copied());
        assert_eq!(failure.message, message);
        let place = failure.location.as_deref().unwrap();
        assert!(matches!(bad, Do::PanicValue) || place.contains("tasks.rs:"), "{place}");
        assert!(failure.to_string().ends_with(place));
        // It had more to do, so the worker of the panic built once more.
        let builds = log.notes("build");
        assert_eq!(builds.len(), manager.n_workers() + 1);
        assert_eq!(builds.iter().filter(|rank| Some(**rank) == failure.worker).count(), 2);
    }
}

/// C22.
pub(crate) fn c22_the_manager_is_of_use_after_failures(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for bad in [Do::Fail, Do::PanicText, Do::GiveTwice] {
        let (log, _folder) = Log::new();
        let pending = manager.scatter::<Obedient>(log, vec![bad; 10], &RunOptions::default());
        let gathered = pending.unwrap().gather().unwrap();
        assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (0, 10));
        let outputs = complete(manager.scatter::<Square>(1, vec![2, 3], &RunOptions::default()));
        assert_eq!(outputs, [5, 10]);
    }
}

/// C23.
pub(crate) fn c23_a_build_that_fails_everywhere_ends_the_run(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for schedule in schedules(40) {
        for how in [Build::Fails(None), Build::Panics(None)] {
            let options = by(schedule.clone()).retries(2);
            let pending = manager.scatter::<Picky>(how, vec![(); 40], &options).unwrap();
            let gathered = pending.gather().unwrap();
            assert_eq!(gathered.outputs().count(), 0);
            let mut next = 0;
            for failure in gathered.failures() {
                assert_eq!((failure.indices.start, failure.kind), (next, FailureKind::Build));
                assert!(failure.message.contains("no table"), "{failure}");
                next = failure.indices.end;
            }
            assert_eq!(next, 40, "every task is accounted for once");
            let summary = gathered.summary();
            assert_eq!(summary.lost_workers.len(), summary.n_workers, "{schedule:?}");
        }
    }
}

/// C23.
pub(crate) fn c23_a_worker_that_cannot_build_leaves_its_tasks_to_others(
    setup: &Setup,
    size: usize,
) {
    let manager = setup.manager(size);
    if manager.n_workers() == 1 {
        return;
    }
    for schedule in schedules(40) {
        for lost in 0..manager.n_workers() {
            for how in [Build::Fails(Some(lost)), Build::Panics(Some(lost))] {
                let options = by(schedule.clone());
                let pending = manager.scatter::<Picky>(how, vec![(); 40], &options).unwrap();
                let gathered = pending.gather().unwrap();
                let summary = gathered.summary().clone();
                if summary.n_workers == 1 && lost == 0 {
                    // One large chunk has one worker, and no other to go to.
                    assert_eq!(summary.n_failed, 40);
                    continue;
                }
                let outputs = gathered.into_complete().unwrap();
                assert!(outputs.iter().all(|&rank| rank != lost), "{schedule:?}");
                let ranks: Vec<usize> = summary.lost_workers.iter().map(|w| w.rank).collect();
                if matches!(schedule, Schedule::Static | Schedule::Strided) {
                    assert_eq!(ranks, [lost], "{schedule:?}");
                } else {
                    // Others may have been so quick that it never got a chunk.
                    assert!(ranks.is_empty() || ranks == [lost], "{schedule:?}");
                }
            }
        }
    }
}

/// C23: the model is built anew after a panic, and that may fail too.
pub(crate) fn c23_a_rebuild_that_fails_loses_only_the_tasks_of_the_panic(
    setup: &Setup,
    size: usize,
) {
    let manager = setup.manager(size);
    for schedule in [Schedule::Strided, Schedule::Dynamic { chunk: 1 }] {
        let (log, _folder) = Log::new();
        let options = by(schedule.clone());
        let pending = manager.scatter::<BreaksOnce>(log, (0..30).collect(), &options).unwrap();
        let gathered = pending.gather().unwrap();
        let summary = gathered.summary();
        assert_eq!(summary.n_done + summary.n_failed, 30);
        if manager.n_workers() > 1 {
            let lost: Vec<_> = gathered.failures().flat_map(|f| f.indices.clone()).collect();
            assert_eq!(lost, [0], "{schedule:?}");
        } else {
            assert_eq!(summary.n_failed, 30, "nobody else was there");
        }
    }
}

/// C24.
pub(crate) fn c24_a_worker_that_dies_is_reported_with_its_end(setup: &Setup, size: usize) {
    for (bad, kind) in [
        (Do::Signal(9), FailureKind::Killed { signal: 9 }),
        (Do::Signal(11), FailureKind::Killed { signal: 11 }),
        (Do::Abort, FailureKind::Killed { signal: 6 }),
        (Do::Exit(0), FailureKind::Exited { code: 0 }),
        (Do::Exit(7), FailureKind::Exited { code: 7 }),
    ] {
        let manager = setup.manager(size);
        let (log, _folder) = Log::new();
        let params = all_good_but(20, 13, bad);
        let pending = manager.scatter::<Obedient>(log.clone(), params, &one_by_one()).unwrap();
        let gathered = pending.gather().unwrap();
        assert_good(&gathered, 19);
        let failure = gathered.failures().next().unwrap();
        assert_eq!((failure.indices.clone(), failure.kind), (13..14, kind));
        assert_eq!(failure.worker, log.notes("failed").first().copied());
        assert_no_zombies();
        // The next run on the same manager has all its workers.
        assert_eq!(complete(manager.scatter::<Square>(0, vec![3; 9], &one_by_one())), [9; 9]);
    }
}

/// C25.
pub(crate) fn c25_workers_that_cannot_start_are_an_error(setup: &Setup, size: usize) {
    let make = setup.make_broken.unwrap();
    // At the making, or at the first run; not a wait for what never comes.
    let error = match make(size) {
        Err(error) => error,
        Ok(manager) => {
            let started = manager.scatter::<Square>(0, vec![1; 9], &RunOptions::default());
            started.and_then(|pending| pending.gather()).unwrap_err()
        }
    };
    assert!(matches!(error, PmError::Start { .. }), "{error}");
}

/// C25: a worker that dies where it builds.
pub(crate) fn c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others(
    setup: &Setup,
    size: usize,
) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    let options = by(Schedule::Static);
    if n > 1 {
        let how = Build::Dies(Some(n - 1));
        let pending = manager.scatter::<Picky>(how, vec![(); 12], &options).unwrap();
        let gathered = pending.gather().unwrap();
        let lost = gathered.summary().lost_workers.clone();
        assert_eq!((lost.len(), lost[0].rank), (1, n - 1));
        assert_eq!(lost[0].fault.kind(), FailureKind::Exited { code: 9 });
        assert!(gathered.into_complete().unwrap().iter().all(|rank| *rank != n - 1));
    }
    let pending = manager.scatter::<Picky>(Build::Dies(None), vec![(); 12], &options).unwrap();
    let gathered = pending.gather().unwrap();
    assert_eq!(gathered.summary().n_failed, 12);
    assert!(gathered.failures().all(|f| f.kind == FailureKind::Exited { code: 9 }));
    assert_no_zombies();
    assert_eq!(complete(manager.scatter::<Square>(0, vec![3; 9], &one_by_one())), [9; 9]);
}

/// C26.
pub(crate) fn c26_what_cannot_travel_is_a_failure(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let good = Odd { writes: true, reads: true };
    let params = vec![(true, true), (false, true), (true, false), (true, true)];
    let pending = manager.scatter::<Stubborn>(good, params, &one_by_one()).unwrap();
    let gathered = pending.gather().unwrap();
    assert_eq!(gathered.outputs().map(|(i, _)| i).collect::<Vec<_>>(), [0, 3]);
    let failures: Vec<&Failure> = gathered.failures().collect();
    let task = "task \"pm_conformance::stubborn\"";
    for (failure, (idx, kind, action)) in failures.iter().zip([
        (1, FailureKind::Encode, "encode the outputs"),
        (2, FailureKind::Decode, "decode the outputs"),
    ]) {
        assert_eq!((failure.indices.clone(), failure.kind), (idx..idx + 1, kind));
        assert_eq!(failure.message, format!("could not {action} of {task}"));
    }
    assert_eq!(failures.len(), 2);
    for (writes, action) in [(false, "encode"), (true, "decode")] {
        let bad = Odd { writes, reads: false };
        let pending = manager.scatter::<Stubborn>(bad, vec![(true, true); 2], &one_by_one());
        let gathered = pending.unwrap().gather().unwrap();
        assert_eq!(gathered.summary().n_failed, 2);
        let text = format!("could not {action} the arguments of {task}");
        assert!(gathered.failures().all(|failure| failure.message == text));
    }
}

/// Long enough that a task which just gives a number never takes so long.
const LIMIT: Duration = Duration::from_millis(700);

/// C31: a task that asks whether to stop.
pub(crate) fn c31_a_task_that_takes_too_long_hears_of_it(setup: &Setup, size: usize) {
    for schedule in [Schedule::Auto, Schedule::Strided] {
        let params = all_good_but(12, 5, Do::WaitPolitely);
        let start = Instant::now();
        let (gathered, _) = obey(setup, size, params, &by(schedule).timeout(LIMIT));
        assert!(start.elapsed() >= LIMIT);
        assert_good(&gathered, 11);
        let failure = gathered.failures().next().unwrap();
        assert_eq!((failure.indices.clone(), failure.kind), (5..6, FailureKind::Timeout));
        assert!(failure.worker.is_some() && failure.message.contains("700ms"), "{failure}");
    }
}

/// C31: tasks that ask nobody, more of them than there are workers.
pub(crate) fn c31_a_task_that_hangs_is_given_up(setup: &Setup, size: usize) {
    let mut params: Vec<Do> = (0..20).map(Do::Give).collect();
    let hanging: Vec<usize> = (0..=size).map(|i| 3 * i + 1).collect();
    hanging.iter().for_each(|i| params[*i] = Do::Hang);
    let (gathered, _) = obey(setup, size, params, &one_by_one().timeout(LIMIT));
    let lost: Vec<_> = gathered.failures().flat_map(|failure| failure.indices.clone()).collect();
    assert_eq!(lost, hanging);
    assert!(gathered.failures().all(|failure| failure.kind == FailureKind::Timeout));
    assert_good(&gathered, 20 - hanging.len());
    let lost = &gathered.summary().lost_workers;
    assert!(lost.iter().all(|worker| worker.fault.kind() == FailureKind::Timeout));
    // Dropping such a run does not wait for the task either.
    let (log, _folder) = Log::new();
    let manager = setup.manager(size);
    let options = one_by_one().timeout(LIMIT);
    let pending = manager.scatter::<Obedient>(log.clone(), vec![Do::Hang; 9], &options).unwrap();
    log.wait_for("failed", 1);
    let start = Instant::now();
    drop(pending);
    assert!(start.elapsed() < Duration::from_secs(30), "it hangs for a minute");
    assert_eq!(complete(manager.scatter::<Square>(0, vec![3; 9], &one_by_one())), [9; 9]);
}

/// C31.
pub(crate) fn c31_cancelling_keeps_what_is_there(setup: &Setup, size: usize) {
    for schedule in [Schedule::Dynamic { chunk: 1 }, Schedule::Strided, Schedule::Auto] {
        let token = CancelToken::new();
        let (log, _folder) = Log::new();
        let manager = setup.manager(size);
        let options = by(schedule.clone()).cancel(&token);
        let pending = manager.scatter::<StaysFromTen>(log.clone(), (0..500).collect(), &options);
        let (gathered, took) = thread::scope(|scope| {
            let canceller = scope.spawn(|| {
                log.wait_for("ten", 1);
                token.cancel();
                Instant::now()
            });
            let gathered = pending.unwrap().gather().unwrap();
            let end = Instant::now();
            (gathered, end.saturating_duration_since(canceller.join().unwrap()))
        });
        // Within a second where there is a core for everybody.
        assert!(took < Duration::from_secs(10), "it went on for {took:?}");
        let n_done = gathered.outputs().count();
        assert!(gathered.outputs().all(|(i, &output)| i == output));
        assert!(gathered.failures().all(|f| f.kind == FailureKind::Cancelled));
        let n_failed: usize = gathered.failures().map(|f| f.indices.len()).sum();
        assert_eq!((n_done + n_failed, gathered.summary().n_failed), (500, n_failed));
        assert!(n_failed > 0, "{schedule:?}");
        assert_eq!(log.n_active(), 0);
        assert!(matches!(gathered.into_complete(), Err(PmError::Failed { .. })));
    }
}

/// C31.
pub(crate) fn c31_a_cancelled_run_starts_nothing(setup: &Setup, size: usize) {
    for schedule in schedules(30) {
        let token = CancelToken::new();
        token.cancel();
        let (log, _folder) = Log::new();
        let options = by(schedule).cancel(&token);
        let manager = setup.manager(size);
        let pending = manager.scatter::<Counted>(log.clone(), vec![(); 30], &options).unwrap();
        let gathered = pending.gather().unwrap();
        let failures: Vec<_> = gathered.failures().collect();
        assert_eq!(failures.len(), 1, "neighbours are told of together");
        assert_eq!((failures[0].indices.clone(), failures[0].worker), (0..30, None));
        assert_eq!((failures[0].kind, failures[0].attempts), (FailureKind::Cancelled, 0));
        assert_eq!(log.notes("build").len(), 0);
    }
}

fn succeeds_at_the_second_attempt(setup: &Setup, size: usize, bad: Do) {
    let params = vec![Do::Give(0), Do::Give(1), bad, Do::Give(3)];
    let (gathered, n_begun) = obey(setup, size, params.clone(), &one_by_one().retries(1));
    assert_eq!(gathered.into_complete().unwrap(), [0, 1, 1, 3]);
    assert_eq!(n_begun, 2);
    let (gathered, _) = obey(setup, size, params, &one_by_one());
    let failure = gathered.failures().next().unwrap();
    assert_eq!((failure.indices.clone(), failure.attempts), (2..3, 1));
}

/// C32.
pub(crate) fn c32_a_task_that_fails_once_succeeds_by_a_retry(setup: &Setup, size: usize) {
    succeeds_at_the_second_attempt(setup, size, Do::FailsOnce);
    succeeds_at_the_second_attempt(setup, size, Do::PanicsOnce);
    // Attempts are counted, and backing off takes its time.
    let backoff = Duration::from_millis(20);
    let options = one_by_one().retries(2).backoff(backoff);
    let start = Instant::now();
    let (gathered, _) = obey(setup, size, all_good_but(6, 4, Do::Fail), &options);
    assert!(start.elapsed() >= 3 * backoff);
    assert_good(&gathered, 5);
    let failure = gathered.failures().next().unwrap();
    assert_eq!((failure.indices.clone(), failure.attempts), (4..5, 3));
    assert!(failure.to_string().contains(" at attempt 3: "), "{failure}");
}

/// C32.
pub(crate) fn c32_a_poisonous_parameter_is_isolated(setup: &Setup, size: usize) {
    for bad in [Do::Fail, Do::PanicText, Do::GiveNothing] {
        for schedule in schedules(50) {
            let params = all_good_but(50, 31, bad);
            let (gathered, _) = obey(setup, size, params, &by(schedule.clone()).isolate());
            let lost: Vec<_> = gathered.failures().map(|failure| failure.indices.clone()).collect();
            assert_eq!(lost, std::slice::from_ref(&(31..32)), "{schedule:?}");
            assert_good(&gathered, 49);
        }
    }
}

/// C32, with a worker that dies.
pub(crate) fn c32_a_worker_that_dies_once_is_replaced(setup: &Setup, size: usize) {
    succeeds_at_the_second_attempt(setup, size, Do::DiesOnce);
    let options = by(Schedule::Static).isolate();
    let (gathered, _) = obey(setup, size, all_good_but(16, 9, Do::Abort), &options);
    let lost: Vec<_> = gathered.failures().map(|failure| failure.indices.clone()).collect();
    assert_eq!(lost, std::slice::from_ref(&(9..10)));
    assert_good(&gathered, 15);
}
