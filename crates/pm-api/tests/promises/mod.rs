//! What every parallel manager promises, as tests over a way to make one of a given size.
//!
//! `promises!(make)` in a test file makes a test of each; the crates of other managers include
//! this module by its path.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::cell::Cell;
use std::error::Error;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pm_api::{
    CancelToken, Chunk, FailureKind, ParallelManager, Pending, PmError, Progress, RunOptions,
    Scatter as _, Schedule,
};

mod tasks;

pub(crate) use tasks::entries;
use tasks::*;

/// Makes a manager of at most so many workers.
pub(crate) type Make = fn(usize) -> Box<dyn ParallelManager>;

/// Longer than any of these tests takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(120);

const SIZES: Range<usize> = 1..5;

/// Makes one test per promise, for managers that `$make` makes.
macro_rules! promises {
    ($make:expr; $($promise:ident)*) => { $(
        #[test]
        fn $promise() {
            crate::promises::within_deadline(|| crate::promises::$promise($make));
        }
    )* };
    ($make:expr) => { crate::promises::promises! { $make;
        outputs_come_in_the_order_of_the_parameters
        outputs_keep_their_order_though_tasks_end_in_reverse
        outputs_are_the_same_bits_in_every_run
        without_parameters_nothing_is_built
        no_worker_is_without_a_chunk
        a_model_is_built_once_per_worker_and_kept
        arguments_and_outputs_of_any_shape_arrive_whole
        a_wrong_count_of_outputs_is_a_failure
        an_error_names_its_task_worker_and_cause
        a_panic_is_a_failure_with_its_place_and_the_model_is_built_anew
        the_manager_is_of_use_after_failures
        a_build_that_fails_everywhere_ends_the_run
        a_worker_that_cannot_build_leaves_its_tasks_to_others
        a_rebuild_that_fails_loses_no_tasks_but_those_of_the_panic
        dropping_a_run_ends_it
        runs_do_not_see_each_other
        a_run_inside_a_task_is_as_any_other
        cancelling_keeps_what_is_there
        a_cancelled_run_starts_nothing
        progress_grows_to_the_end_once_on_this_thread
        streaming_gives_every_task_once
        streaming_in_order_is_in_order
        streaming_stops_at_the_first_error
        workers_pause_when_the_caller_falls_behind
        schedules_that_make_no_sense_are_refused
        an_incomplete_run_lists_every_failure
        tasks_have_names_of_their_own
    } };
}
pub(crate) use promises;

pub(crate) fn within_deadline(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let runner = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match wait.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still not done after {DEADLINE:?}"),
        _ => runner.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
    }
}

fn schedules(n_tasks: usize) -> Vec<Schedule> {
    vec![
        Schedule::Auto,
        Schedule::Static,
        Schedule::Strided,
        Schedule::Dynamic { chunk: 1 },
        Schedule::Dynamic { chunk: 3 },
        Schedule::Dynamic { chunk: 5000 },
        Schedule::Guided { min: 1 },
        Schedule::Guided { min: 4 },
        Schedule::Weighted((0..n_tasks as u64).map(|i| i * i % 7).collect()),
    ]
}

fn by(schedule: Schedule) -> RunOptions {
    RunOptions::default().schedule(schedule)
}

fn one_by_one() -> RunOptions {
    by(Schedule::Dynamic { chunk: 1 })
}

fn complete<O: 'static>(pending: Result<Pending<O>, PmError>) -> Vec<O> {
    pending.unwrap().gather().unwrap().into_complete().unwrap()
}

/// C15.
pub(crate) fn outputs_come_in_the_order_of_the_parameters(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for n in [0, 1, 2, size - 1, size, size + 1, 17, 1000] {
            let expected: Vec<u64> = (0..n as u64).map(|i| i * i + 7).collect();
            for schedule in schedules(n) {
                let params = (0..n as u64).collect();
                let outputs = complete(manager.scatter::<Square>(7, params, &by(schedule.clone())));
                assert_eq!(outputs, expected, "{size} workers, {n} tasks, {schedule:?}");
            }
        }
    }
}

/// C15.
pub(crate) fn outputs_keep_their_order_though_tasks_end_in_reverse(make: Make) {
    for size in SIZES {
        let (key, log) = Log::new();
        let n = 4 * size;
        let params = (0..n).collect();
        let outputs = complete(make(size).scatter::<EvenWaitsForOdd>(key, params, &one_by_one()));
        assert_eq!(outputs, (0..n).collect::<Vec<_>>());
        let ended = log.ended.lock().unwrap().clone();
        assert_eq!(ended.len(), n);
        if make(size).n_workers() > 1 {
            assert!(!ended.is_sorted(), "nothing ended out of order: {ended:?}");
        }
    }
}

/// C34.
pub(crate) fn outputs_are_the_same_bits_in_every_run(make: Make) {
    let n = 60;
    let params: Vec<u64> = (0..n).collect();
    let expected: Vec<u64> = params.iter().map(|&seed| walk(seed).to_bits()).collect();
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(n as usize) {
            for _ in 0..5 {
                let options = by(schedule.clone());
                let outputs = complete(manager.scatter::<Walk>((), params.clone(), &options));
                let bits: Vec<u64> = outputs.into_iter().map(f64::to_bits).collect();
                assert_eq!(bits, expected, "{size} workers, {schedule:?}");
            }
        }
    }
}

/// C16.
pub(crate) fn without_parameters_nothing_is_built(make: Make) {
    for size in SIZES {
        for schedule in schedules(0) {
            let (key, log) = Log::new();
            let pending = make(size).scatter::<Counted>(key, Vec::new(), &by(schedule)).unwrap();
            let gathered = pending.gather().unwrap();
            assert_eq!(gathered.summary().n_workers, 0);
            assert_eq!(gathered.into_complete().unwrap(), []);
            assert_eq!(log.builds.lock().unwrap().len(), 0);
        }
    }
}

/// C17.
pub(crate) fn no_worker_is_without_a_chunk(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for n in 1..=6 {
            for schedule in schedules(n) {
                let (key, log) = Log::new();
                let pending = manager.scatter::<Counted>(key, vec![(); n], &by(schedule.clone()));
                let gathered = pending.unwrap().gather().unwrap();
                let n_workers = gathered.summary().n_workers;
                let outputs = gathered.into_complete().unwrap();
                let n_builds = log.builds.lock().unwrap().len();
                let context = format!("{size} workers, {n} tasks, {schedule:?}");
                assert!(n_workers <= n.min(manager.n_workers()) && n_workers > 0, "{context}");
                assert!((1..=n_workers).contains(&n_builds), "{context}");
                assert!(outputs.iter().all(|output| output.n_workers == n_workers), "{context}");
                if schedule == (Schedule::Dynamic { chunk: 5000 }) {
                    assert_eq!(n_workers, 1, "one chunk needs one worker");
                }
            }
        }
    }
}

/// C18. That a model which is neither `Send` nor serialisable will do is seen by its compiling.
pub(crate) fn a_model_is_built_once_per_worker_and_kept(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(50) {
            let (key, log) = Log::new();
            let outputs =
                complete(manager.scatter::<Counted>(key, vec![(); 50], &by(schedule.clone())));
            let mut builds = log.builds.lock().unwrap().clone();
            builds.sort_unstable();
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
}

/// C19.
pub(crate) fn arguments_and_outputs_of_any_shape_arrive_whole(make: Make) {
    let args = Shapes {
        bits: [0x7ff8_0000_0000_1234, (-0.0_f64).to_bits(), f64::NEG_INFINITY.to_bits()]
            .map(f64::from_bits),
        text: "snow \u{2603} and \0".to_owned(),
        nested: Some(Box::new(Shapes { bits: [0.5; 3], text: String::new(), nested: None })),
    };
    for size in SIZES {
        let manager = make(size);
        let outputs =
            complete(manager.scatter::<Echo>(args.clone(), (0..9).collect(), &by(Schedule::Auto)));
        for (i, (bits, text, depth, ragged)) in outputs.into_iter().enumerate() {
            assert_eq!(bits, args.bits.map(f64::to_bits));
            assert_eq!((text, depth), (args.text.clone(), 2));
            let expected: Vec<Vec<f64>> = (0..i).map(|len| vec![len as f64; len]).collect();
            assert_eq!(ragged, expected);
        }
        assert_eq!(
            complete(manager.scatter::<Nothing>((), vec![(); 100], &by(Schedule::Auto))).len(),
            100
        );
        let large = complete(manager.scatter::<Large>((), vec![1, 2], &one_by_one()));
        assert!((1..=2).zip(&large).all(|(n, large)| *large == vec![n; 10 << 20]));
    }
}

/// C20.
pub(crate) fn a_wrong_count_of_outputs_is_a_failure(make: Make) {
    for size in SIZES {
        let params = vec![Do::Give(1), Do::GiveNothing, Do::GiveTwice, Do::Give(4)];
        let (key, _) = Log::new();
        let pending = make(size).scatter::<Obedient>(key, params, &one_by_one()).unwrap();
        let gathered = pending.gather().unwrap();
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
}

/// C21.
pub(crate) fn an_error_names_its_task_worker_and_cause(make: Make) {
    for size in SIZES {
        for schedule in [Schedule::Dynamic { chunk: 1 }, Schedule::Strided] {
            let mut params: Vec<Do> = (0..20).map(Do::Give).collect();
            params[13] = Do::Fail;
            let (key, log) = Log::new();
            let manager = make(size);
            let pending = manager.scatter::<Obedient>(key, params, &by(schedule)).unwrap();
            let gathered = pending.gather().unwrap();
            assert!(gathered.outputs().all(|(i, &output)| i as u64 == output));
            assert_eq!((gathered.outputs().count(), gathered.summary().n_done), (19, 19));
            let failure = gathered.failures().next().unwrap();
            assert_eq!((failure.indices.clone(), failure.kind), (13..14, FailureKind::Error));
            assert_eq!(failure.worker, *log.failed_on.lock().unwrap());
            let text = failure.to_string();
            let rank = failure.worker.unwrap();
            assert_eq!(text, format!("task 13 failed on worker {rank}: could not read row 13"));
            assert_eq!(failure.source().unwrap().to_string(), "the disk is gone");
            assert!(failure.error().unwrap().downcast_ref::<RowError>().is_some());
        }
    }
}

/// C22.
pub(crate) fn a_panic_is_a_failure_with_its_place_and_the_model_is_built_anew(make: Make) {
    for size in SIZES {
        for (bad, text) in [
            (Do::PanicText, "boom"),
            (Do::PanicFormatted, "boom at 13"),
            (Do::PanicValue, "a panic whose payload is not text"),
        ] {
            let mut params: Vec<Do> = (0..20).map(Do::Give).collect();
            params[13] = bad;
            let (key, log) = Log::new();
            let manager = make(size);
            let pending = manager.scatter::<Obedient>(key, params, &by(Schedule::Strided)).unwrap();
            let gathered = pending.gather().unwrap();
            assert_eq!(gathered.outputs().count(), 19);
            let failure = gathered.failures().next().unwrap();
            assert_eq!((failure.indices.clone(), failure.kind), (13..14, FailureKind::Panic));
            assert_eq!(failure.worker, *log.failed_on.lock().unwrap());
            let message = &failure.message;
            assert!(message.starts_with(text), "{message}");
            if !matches!(bad, Do::PanicValue) {
                assert!(message.contains("tasks.rs:"), "no place in {message}");
            }
            // It had more to do, so the worker of the panic built once more.
            let builds = log.builds.lock().unwrap();
            assert_eq!(builds.len(), manager.n_workers() + 1);
            assert_eq!(builds.iter().filter(|rank| Some(**rank) == failure.worker).count(), 2);
        }
    }
}

/// C22.
pub(crate) fn the_manager_is_of_use_after_failures(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for bad in [Do::Fail, Do::PanicText, Do::GiveTwice] {
            let (key, _) = Log::new();
            let pending = manager.scatter::<Obedient>(key, vec![bad; 10], &RunOptions::default());
            let gathered = pending.unwrap().gather().unwrap();
            assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (0, 10));
            let outputs =
                complete(manager.scatter::<Square>(1, vec![2, 3], &RunOptions::default()));
            assert_eq!(outputs, [5, 10]);
        }
    }
}

/// C23.
pub(crate) fn a_build_that_fails_everywhere_ends_the_run(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(40) {
            for how in [Build::FailsOn(None), Build::PanicsOn(None)] {
                let options = by(schedule.clone());
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
}

/// C23.
pub(crate) fn a_worker_that_cannot_build_leaves_its_tasks_to_others(make: Make) {
    for size in SIZES.skip(1) {
        let manager = make(size);
        if manager.n_workers() == 1 {
            continue;
        }
        for schedule in schedules(40) {
            for lost in 0..size {
                for how in [Build::FailsOn(Some(lost)), Build::PanicsOn(Some(lost))] {
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
}

/// C23: the model is built anew after a panic, and that may fail too.
pub(crate) fn a_rebuild_that_fails_loses_no_tasks_but_those_of_the_panic(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in [Schedule::Strided, Schedule::Dynamic { chunk: 1 }] {
            let (key, _) = Log::new();
            let options = by(schedule.clone());
            let pending = manager.scatter::<BreaksOnce>(key, (0..30).collect(), &options).unwrap();
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
}

/// C28.
pub(crate) fn dropping_a_run_ends_it(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(100) {
            let (key, log) = Log::new();
            let pending = manager.scatter::<UntilCancelled>(key, vec![(); 100], &by(schedule));
            drop(pending.unwrap());
            assert_eq!(log.n_active.load(SeqCst), 0, "a worker was still at work");
            assert!(log.n_started.load(SeqCst) <= manager.n_workers());
        }
        // The same when the caller panics before it gathers.
        let (key, log) = Log::new();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let options = RunOptions::default();
            let _pending = manager.scatter::<UntilCancelled>(key, vec![(); 100], &options).unwrap();
            std::panic::resume_unwind(Box::new("between scatter and gather"));
        }));
        assert!(caught.is_err());
        assert_eq!(log.n_active.load(SeqCst), 0);
        assert_eq!(complete(manager.scatter::<Square>(0, vec![3], &RunOptions::default())), [9]);
    }
}

/// C29.
pub(crate) fn runs_do_not_see_each_other(make: Make) {
    for size in SIZES {
        let manager = make(size);
        let options = RunOptions::default();
        assert_eq!(complete(manager.scatter::<Square>(0, vec![1, 2, 3], &options)), [1, 4, 9]);
        assert_eq!(complete(manager.scatter::<Walk>((), vec![5], &options)), [walk(5)]);
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
}

/// C30.
pub(crate) fn a_run_inside_a_task_is_as_any_other(make: Make) {
    for size in SIZES {
        let (key, _) = Log::with_manager(make(size).into());
        let manager = make(size);
        for schedule in schedules(12) {
            let params = (0..12).collect();
            let outputs = complete(manager.scatter::<Nested>(key, params, &by(schedule)));
            let expected: Vec<u64> = (0..12).map(|n| (0..n).map(|i| i * i).sum()).collect();
            assert_eq!(outputs, expected);
        }
        // The manager of the inner run being that of the outer one.
        let (key, log) = Log::with_manager(manager.into());
        let manager = log.manager.as_deref().unwrap();
        let outputs = complete(manager.scatter::<Nested>(key, vec![5; 9], &one_by_one()));
        assert_eq!(outputs, [30; 9]);
    }
}

/// C31, as far as tasks can be asked and not forced.
pub(crate) fn cancelling_keeps_what_is_there(make: Make) {
    for size in SIZES {
        for schedule in [Schedule::Dynamic { chunk: 1 }, Schedule::Strided, Schedule::Auto] {
            let token = CancelToken::new();
            let (key, log) = Log::with_token(token.clone());
            // Task 10 cancels from where it runs, and stays until that is heard of.
            let pending = make(size).scatter::<CancelsAtTen>(
                key,
                (0..500).collect(),
                &by(schedule.clone()).cancel(&token),
            );
            let gathered = pending.unwrap().gather().unwrap();
            let n_done = gathered.outputs().count();
            assert!(gathered.outputs().all(|(i, &output)| i == output));
            assert!(gathered.failures().all(|f| f.kind == FailureKind::Cancelled));
            let n_failed: usize = gathered.failures().map(|f| f.indices.len()).sum();
            assert_eq!((n_done + n_failed, gathered.summary().n_failed), (500, n_failed));
            assert!(n_failed > 0, "{schedule:?}");
            assert_eq!(log.n_active.load(SeqCst), 0);
            assert!(matches!(gathered.into_complete(), Err(PmError::Failed { .. })));
        }
    }
}

/// C31.
pub(crate) fn a_cancelled_run_starts_nothing(make: Make) {
    for size in SIZES {
        for schedule in schedules(30) {
            let token = CancelToken::new();
            token.cancel();
            let (key, log) = Log::new();
            let options = by(schedule).cancel(&token);
            let pending = make(size).scatter::<Counted>(key, vec![(); 30], &options).unwrap();
            let gathered = pending.gather().unwrap();
            let failures: Vec<_> = gathered.failures().collect();
            assert_eq!(failures.len(), 1, "neighbours are told of together");
            assert_eq!((failures[0].indices.clone(), failures[0].worker), (0..30, None));
            assert_eq!(failures[0].kind, FailureKind::Cancelled);
            assert_eq!(log.builds.lock().unwrap().len(), 0);
        }
    }
}

/// C33.
pub(crate) fn progress_grows_to_the_end_once_on_this_thread(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for n in [0, 1, 100] {
            for schedule in schedules(n) {
                let told: Arc<Mutex<Vec<(Progress, thread::ThreadId)>>> = Arc::default();
                let teller = Arc::clone(&told);
                let options = by(schedule).progress(move |progress| {
                    teller.lock().unwrap().push((progress, thread::current().id()));
                });
                let mut params = vec![Do::Give(0); n];
                if n > 50 {
                    params[50] = Do::Fail;
                }
                let (key, _) = Log::new();
                let pending = manager.scatter::<Obedient>(key, params, &options).unwrap();
                let gathered = pending.gather().unwrap();
                let told = told.lock().unwrap();
                assert!(told.iter().all(|(_, thread)| *thread == thread::current().id()));
                let ended: Vec<usize> = told.iter().map(|(p, _)| p.n_ended()).collect();
                assert!(ended.is_sorted_by(|a, b| a < b), "{ended:?}");
                let (last, _) = told.last().unwrap();
                assert_eq!((last.n_ended(), last.n_tasks), (n, n));
                assert_eq!(last.n_failed, gathered.summary().n_failed);
            }
        }
    }
}

pub(crate) fn streaming_gives_every_task_once(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(200) {
            let mut params: Vec<Do> = (0..200).map(Do::Give).collect();
            params[77] = Do::Fail;
            let (key, _) = Log::new();
            let pending = manager.scatter::<Obedient>(key, params, &by(schedule)).unwrap();
            let caller = thread::current().id();
            let mut seen = vec![0; 200];
            let mut n_failed = 0;
            let each = |chunk: Chunk<u64>| {
                assert_eq!(thread::current().id(), caller);
                assert!(!chunk.indices.is_empty());
                chunk.indices.clone().for_each(|i| seen[i] += 1);
                match chunk.outputs {
                    Ok(outputs) => assert!(chunk.indices.map(|i| i as u64).eq(outputs)),
                    Err(failure) => {
                        assert_eq!(failure.indices, chunk.indices);
                        n_failed += chunk.indices.len();
                    }
                }
                Ok::<(), PmError>(())
            };
            let summary = pending.for_each(each).unwrap();
            assert!(seen.iter().all(|&n| n == 1));
            assert!(n_failed > 0);
            assert_eq!((summary.n_failed, summary.n_done), (n_failed, 200 - n_failed));
        }
    }
}

pub(crate) fn streaming_in_order_is_in_order(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for schedule in schedules(200) {
            let pending = manager.scatter::<Square>(0, (0..200).collect(), &by(schedule)).unwrap();
            let mut all = Vec::new();
            let each = |chunk: Chunk<u64>| {
                assert_eq!(chunk.indices.start, all.len());
                all.extend(chunk.outputs.unwrap());
                Ok::<(), PmError>(())
            };
            pending.for_each_in_order(each).unwrap();
            assert_eq!(all, (0..200).map(|i| i * i).collect::<Vec<u64>>());
        }
    }
}

pub(crate) fn streaming_stops_at_the_first_error(make: Make) {
    #[derive(Debug)]
    enum Stop {
        Full,
        Pm(PmError),
    }
    impl From<PmError> for Stop {
        fn from(error: PmError) -> Self {
            Self::Pm(error)
        }
    }
    for size in SIZES {
        let (key, log) = Log::new();
        let options = one_by_one().buffer(1);
        let pending = make(size).scatter::<Counted>(key, vec![(); 10_000], &options).unwrap();
        let mut n = 0;
        let stopped = pending.for_each(|_| {
            n += 1;
            if n == 3 { Err(Stop::Full) } else { Ok(()) }
        });
        match stopped {
            Err(Stop::Full) => {}
            Err(Stop::Pm(error)) => panic!("{error}"),
            Ok(summary) => panic!("{summary:?}"),
        }
        assert_eq!(n, 3);
        assert_eq!(log.n_active.load(SeqCst), 0);
    }
}

pub(crate) fn workers_pause_when_the_caller_falls_behind(make: Make) {
    for size in SIZES {
        let (key, log) = Log::new();
        let manager = make(size);
        let options = one_by_one().buffer(2);
        // All but the first tasks wait until the streaming, and with it the limit, is on.
        let pending =
            manager.scatter::<WaitsForOpening>(key, (0..200).collect(), &options).unwrap();
        let mut n_taken = 0;
        let each = |_: Chunk<usize>| {
            log.opened.store(true, SeqCst);
            n_taken += 1;
            let n_ahead = log.n_started.load(SeqCst) - n_taken;
            // Those that wait, and one more in the hands of each worker; and before the opening
            // each worker had one.
            let most = 2 + 2 * manager.n_workers();
            assert!(n_ahead <= most, "{n_ahead} chunks ahead, {size} workers");
            Ok::<(), PmError>(())
        };
        pending.for_each(each).unwrap();
        assert_eq!(n_taken, 200);
    }
}

pub(crate) fn schedules_that_make_no_sense_are_refused(make: Make) {
    for size in SIZES {
        let manager = make(size);
        for (schedule, message) in [
            (
                Schedule::Dynamic { chunk: 0 },
                "schedule dynamic needs chunks of at least 1 task, not 0",
            ),
            (Schedule::Guided { min: 0 }, "schedule guided needs chunks of at least 1 task, not 0"),
            (Schedule::Weighted([1, 2].into()), "schedule weighted has 2 costs for 3 tasks"),
        ] {
            let refused = manager.scatter::<Square>(0, vec![1, 2, 3], &by(schedule)).unwrap_err();
            assert_eq!(refused.to_string(), message);
        }
    }
}

pub(crate) fn an_incomplete_run_lists_every_failure(make: Make) {
    for size in SIZES {
        let params = vec![Do::Fail, Do::Give(1), Do::GiveNothing];
        let (key, _) = Log::new();
        let pending = make(size).scatter::<Obedient>(key, params, &one_by_one()).unwrap();
        let error = pending.gather().unwrap().into_complete().unwrap_err();
        let PmError::Failed { failures, n_tasks: 3 } = &error else { panic!("{error}") };
        let text = error.to_string();
        assert!(
            text.starts_with("2 of 3 tasks gave no output: task 0 failed on worker "),
            "{text}"
        );
        assert!(failures.iter().all(|failure| text.contains(&failure.to_string())), "{text}");
    }
}

/// Of the tasks here, whatever the manager.
pub(crate) fn tasks_have_names_of_their_own(_: Make) {
    let mut names: Vec<&str> = entries().iter().map(|entry| entry.name()).collect();
    let n = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n);
}
