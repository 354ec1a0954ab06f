//! How runs begin, go on beside and inside each other, and end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use pm_api::{Chunk, FailureKind, PmError, RunOptions, Scatter as _, Schedule};

use crate::Setup;
use crate::log::Log;
use crate::program::{alone, children};
use crate::results::{by, complete, one_by_one, schedules};
use crate::tasks::{
    Counted, Do, Inner, Meets, Nested, Obedient, Prints, Square, UntilCancelled, Walk, walk,
};

/// C16.
pub(crate) fn c16_without_parameters_nothing_is_built(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for schedule in schedules(0) {
        let (log, _folder) = Log::new();
        let pending = manager.scatter::<Counted>(log.clone(), Vec::new(), &by(schedule)).unwrap();
        let gathered = pending.gather().unwrap();
        assert_eq!(gathered.summary().n_workers, 0);
        assert_eq!(gathered.into_complete().unwrap(), []);
        assert_eq!(log.notes("build").len(), 0);
    }
}

/// C17.
pub(crate) fn c17_no_worker_is_without_a_chunk(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for n in 1..=6 {
        for schedule in schedules(n) {
            let (log, _folder) = Log::new();
            let options = by(schedule.clone());
            let pending = manager.scatter::<Counted>(log.clone(), vec![(); n], &options);
            let gathered = pending.unwrap().gather().unwrap();
            let n_workers = gathered.summary().n_workers;
            let outputs = gathered.into_complete().unwrap();
            let n_builds = log.notes("build").len();
            let context = format!("{n} tasks, {schedule:?}");
            assert!(n_workers <= n.min(manager.n_workers()) && n_workers > 0, "{context}");
            assert!((1..=n_workers).contains(&n_builds), "{context}");
            assert!(outputs.iter().all(|output| output.n_workers == n_workers), "{context}");
            if schedule == (Schedule::Dynamic { chunk: 5000 }) {
                assert_eq!(n_workers, 1, "one chunk needs one worker");
            }
        }
    }
}

/// C18. That a model which is neither `Send` nor serialisable will do is seen by its compiling.
pub(crate) fn c18_a_model_is_built_once_per_worker_and_kept(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for schedule in schedules(50) {
        let (log, _folder) = Log::new();
        let options = by(schedule.clone());
        let outputs = complete(manager.scatter::<Counted>(log.clone(), vec![(); 50], &options));
        let builds = log.notes("build");
        let mut ranks: Vec<usize> = outputs.iter().map(|output| output.rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        assert_eq!(builds, ranks, "each worker that did something built once: {schedule:?}");
        for rank in ranks {
            let mut nth: Vec<usize> =
                outputs.iter().filter(|o| o.rank == rank).map(|o| o.nth_task).collect();
            nth.sort_unstable();
            assert_eq!(nth, (0..nth.len()).collect::<Vec<_>>(), "its model counted on");
        }
        if matches!(schedule, Schedule::Static | Schedule::Strided) {
            assert_eq!(builds, (0..manager.n_workers()).collect::<Vec<_>>());
        }
    }
}

/// C28.
pub(crate) fn c28_dropping_a_run_ends_it(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for schedule in schedules(100) {
        for waits in [false, true] {
            let (log, _folder) = Log::new();
            let options = by(schedule.clone());
            let pending = manager.scatter::<UntilCancelled>(log.clone(), vec![(); 100], &options);
            if waits && !is_lazy(setup) {
                log.wait_for("start", 1);
            }
            drop(pending.unwrap());
            assert_eq!(log.n_active(), 0, "a worker was still at work");
            assert!(log.notes("start").len() <= manager.n_workers());
        }
    }
    // The same when the caller panics before it gathers.
    let (log, _folder) = Log::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let options = RunOptions::default();
        let params = vec![(); 100];
        let _pending = manager.scatter::<UntilCancelled>(log.clone(), params, &options).unwrap();
        resume_unwind(Box::new("between scatter and gather"));
    }));
    assert!(caught.is_err());
    assert_eq!(log.n_active(), 0);
    assert_eq!(complete(manager.scatter::<Square>(0, vec![3], &RunOptions::default())), [9]);
}

/// Whether nothing is done before it is gathered.
pub(crate) fn is_lazy(setup: &Setup) -> bool {
    setup.manager(1).name() == pm_api::SerialManager::NAME
        || setup.capabilities == crate::Capabilities::default().bytes(true)
}

/// C29.
pub(crate) fn c29_runs_do_not_see_each_other(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let options = RunOptions::default();
    assert_eq!(complete(manager.scatter::<Square>(0, vec![1, 2, 3], &options)), [1, 4, 9]);
    let walked = walk(pm_api::seed(0, 0));
    assert_eq!(complete(manager.scatter::<Walk>((), vec![()], &options)), [walked]);
    // Open at the same time, gathered the other way round.
    let one = manager.scatter::<Square>(1, (0..50).collect(), &options).unwrap();
    let two = manager.scatter::<Square>(2, (0..50).collect(), &options).unwrap();
    let two = two.gather().unwrap().into_complete().unwrap();
    let one = one.gather().unwrap().into_complete().unwrap();
    assert!((0..50).zip(one).all(|(i, output)| output == i * i + 1));
    assert!((0..50).zip(two).all(|(i, output)| output == i * i + 2));
    // One inside the streaming of the other, whose workers are paused meanwhile.
    let outer = manager.scatter::<Square>(0, (0..50).collect(), &one_by_one().buffer(1));
    let mut n = 0;
    let each = |chunk: Chunk<u64>| {
        let inner = complete(manager.scatter::<Square>(0, vec![7; 3], &options));
        assert_eq!(inner, [49; 3]);
        n += chunk.indices.len();
        Ok::<(), PmError>(())
    };
    outer.unwrap().for_each(each).unwrap();
    assert_eq!(n, 50);
}

/// C30.
pub(crate) fn c30_a_run_inside_a_task_is_as_any_other(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    // A sum of squares, and the sum of such sums.
    let squares = |n: u64| (0..n).map(|i| i * i).sum::<u64>();
    for inner in [None, Some(setup.name.to_owned())] {
        for schedule in schedules(12) {
            let inner = Inner { setup: inner.clone(), size, depth: 0 };
            let outputs =
                complete(manager.scatter::<Nested>(inner, (0..12).collect(), &by(schedule)));
            assert_eq!(outputs, (0..12).map(squares).collect::<Vec<_>>());
        }
        let inner = Inner { setup: inner.clone(), size, depth: 2 };
        let outputs = complete(manager.scatter::<Nested>(inner, (0..7).collect(), &one_by_one()));
        let deeper = |n: u64| (0..n).map(squares).sum::<u64>();
        let deepest = |n: u64| (0..n).map(deeper).sum::<u64>();
        assert_eq!(outputs, (0..7).map(deepest).collect::<Vec<_>>());
    }
}

/// C27: whatever the workers do, and though the thread that started them has ended long before.
pub(crate) fn c27_workers_end_when_their_manager_is_killed(setup: &Setup, size: usize) {
    for variant in 0..3 {
        let program = alone(variant, |variant, log| {
            let manager = setup.manager(size);
            let square = || complete(manager.scatter::<Square>(0, vec![3; 9], &one_by_one()));
            thread::scope(|scope| drop(scope.spawn(square).join().unwrap()));
            // That thread has ended; its workers must not have.
            let before = children();
            let what = [Do::Hang, Do::Compute, Do::Hang][variant];
            let pending = manager.scatter::<Obedient>(log.clone(), vec![what; 9], &one_by_one());
            log.wait_for("failed", size);
            assert_eq!(children(), before, "workers ended with the thread that had started them");
            log.note("ready", 0);
            if variant == 2 {
                // While it waits for nothing.
                thread::sleep(Duration::from_secs(60));
            }
            drop(pending.unwrap().gather());
        });
        let Some(program) = program else { return };
        let log = program.log();
        let program = program.start();
        log.wait_for("ready", 1);
        let after = program.kill();
        #[expect(clippy::print_stdout, reason = "the figure is asked for")]
        {
            println!("c27.{variant} on {}, size {size}: ended {after:.1?}", setup.name);
        }
    }
}

/// C36.
pub(crate) fn c36_lines_of_workers_are_neither_lost_nor_mixed(setup: &Setup, size: usize) {
    let program = alone(0, |_, _| {
        let manager = setup.manager(size);
        complete(manager.scatter::<Prints>((), (0..300).collect(), &one_by_one()));
    });
    let Some(program) = program else { return };
    let ended = program.run();
    assert!(ended.status.success());
    for (word, letter) in [("line", "x"), ("note", "y")] {
        let expected = |i: usize| format!("{word} {i} {} end", letter.repeat(500));
        for i in 0..300 {
            let lines = ended.text.lines().filter(|line| **line == expected(i));
            assert_eq!(lines.count(), 1, "{word} {i}");
        }
    }
}

/// C37.
pub(crate) fn c37_a_foreign_launcher_is_refused(setup: &Setup, _: usize) {
    let start = setup.start_foreign.unwrap();
    let message = start().unwrap_err();
    assert!(!message.trim().is_empty());
}

/// Refusals.
pub(crate) fn r7_schedules_that_make_no_sense_are_refused(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    for (schedule, message) in [
        (Schedule::Dynamic { chunk: 0 }, "schedule dynamic needs chunks of at least 1 task, not 0"),
        (Schedule::Guided { min: 0 }, "schedule guided needs chunks of at least 1 task, not 0"),
        (Schedule::Weighted([1, 2].into()), "schedule weighted has 2 costs for 9 tasks"),
        (Schedule::EachWorker, &format!("schedule each worker has 9 tasks for {n} workers")),
    ] {
        let refused = manager.scatter::<Square>(0, vec![1; 9], &by(schedule)).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
}

/// All at once, whatever the schedule, if each worker has something to do.
pub(crate) fn r8_all_workers_run_at_once(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    for schedule in [Schedule::EachWorker, Schedule::Static, Schedule::Dynamic { chunk: 1 }] {
        let (log, _folder) = Log::new();
        let options = by(schedule.clone());
        let outputs = complete(manager.scatter::<Meets>(log.clone(), vec![(); n], &options));
        if schedule == Schedule::EachWorker {
            assert!(outputs.into_iter().eq(0..n), "task r on worker r");
        }
        assert_eq!(log.notes("came"), (0..n).collect::<Vec<_>>());
    }
}

/// Stopping at the first failure.
pub(crate) fn r9_the_first_failure_stops_the_run_if_so_asked(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let mut params = vec![Do::WaitPolitely; 400];
    params[0] = Do::Fail;
    let (log, _folder) = Log::new();
    let options = one_by_one().stop_on_error();
    let pending = manager.scatter::<Obedient>(log.clone(), params, &options).unwrap();
    let gathered = pending.gather().unwrap();
    let summary = gathered.summary();
    assert_eq!((summary.n_done, summary.n_failed), (0, 400));
    let errors: Vec<_> = gathered.failures().filter(|f| f.kind == FailureKind::Error).collect();
    assert_eq!(errors.len(), 1);
    let rest = gathered.failures().filter(|f| f.kind == FailureKind::Cancelled);
    assert_eq!(rest.map(|f| f.indices.len()).sum::<usize>(), 399);
    assert!(log.notes("failed").len() <= manager.n_workers() + 1);
}
