//! What comes back, and in which order.

use std::sync::{Arc, Mutex};
use std::thread;

use pm_api::{Chunk, Pending, PmError, Progress, RunOptions, Scatter as _, Schedule};

use crate::Setup;
use crate::log::Log;
use crate::tasks::{
    Counted, Do, Echo, EvenWaitsForOdd, Large, Nothing, Obedient, Shapes, Square, WaitsForOpening,
    Walk, walk,
};

/// One of every schedule, for so many tasks.
pub(crate) fn schedules(n_tasks: usize) -> Vec<Schedule> {
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

pub(crate) fn by(schedule: Schedule) -> RunOptions {
    RunOptions::default().schedule(schedule)
}

pub(crate) fn one_by_one() -> RunOptions {
    by(Schedule::Dynamic { chunk: 1 })
}

pub(crate) fn complete<O: 'static>(pending: Result<Pending<O>, PmError>) -> Vec<O> {
    pending.unwrap().gather().unwrap().into_complete().unwrap()
}

/// C15.
pub(crate) fn c15_results_equal_the_serial_map(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for n in [0, 1, 2, size - 1, size, size + 1, 17, 1000] {
        let expected: Vec<u64> = (0..n as u64).map(|i| i * i + 7).collect();
        for schedule in schedules(n) {
            let params = (0..n as u64).collect();
            let outputs = complete(manager.scatter::<Square>(7, params, &by(schedule.clone())));
            assert_eq!(outputs, expected, "{n} tasks, {schedule:?}");
        }
    }
}

/// C15.
pub(crate) fn c15_results_keep_their_order_though_tasks_end_in_reverse(setup: &Setup, size: usize) {
    let (log, _folder) = Log::new();
    let n = 4 * size;
    let manager = setup.manager(size);
    let params = (0..n).collect();
    let outputs = complete(manager.scatter::<EvenWaitsForOdd>(log, params, &one_by_one()));
    assert!(outputs.iter().map(|(i, _)| *i).eq(0..n));
    if manager.n_workers() > 1 {
        assert!(outputs.chunks(2).all(|pair| pair[0].1 > 0), "nothing ended out of order");
    }
}

/// C19.
pub(crate) fn c19_arguments_and_outputs_of_any_shape_arrive_whole(setup: &Setup, size: usize) {
    let args = Shapes {
        bits: [0x7ff8_0000_0000_1234, 1 << 63, 0xfff0_0000_0000_0000].map(f64::from_bits),
        text: "snow \u{2603} and \0".to_owned(),
        nested: Some(Box::new(Shapes { bits: [0.5; 3], text: String::new(), nested: None })),
    };
    let manager = setup.manager(size);
    let outputs =
        complete(manager.scatter::<Echo>(args.clone(), (0..9).collect(), &by(Schedule::Auto)));
    for (i, (bits, text, depth, ragged)) in outputs.into_iter().enumerate() {
        assert_eq!(bits, args.bits.map(f64::to_bits));
        assert_eq!((text, depth), (args.text.clone(), 2));
        let expected: Vec<Vec<f64>> = (0..i).map(|len| vec![len as f64; len]).collect();
        assert_eq!(ragged, expected);
    }
    let options = RunOptions::default();
    assert_eq!(complete(manager.scatter::<Nothing>((), vec![(); 100], &options)).len(), 100);
    let large = complete(manager.scatter::<Large>((), vec![1, 2], &one_by_one()));
    assert!((1..=2).zip(&large).all(|(n, large)| large.0 == vec![n; 10 << 17]));
}

/// C33.
pub(crate) fn c33_progress_grows_to_the_end_once(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for n in [0, 1, 100] {
        for schedule in schedules(n) {
            let told: Arc<Mutex<Vec<(Progress, thread::ThreadId)>>> = Arc::default();
            let teller = Arc::clone(&told);
            let options = by(schedule).progress(move |progress| {
                // Held by nobody else, so never called twice at a time.
                let mut told = teller.try_lock().unwrap();
                told.push((progress.clone(), thread::current().id()));
            });
            let mut params = vec![Do::Give(0); n];
            if n > 50 {
                params[50] = Do::Fail;
            }
            let (log, _folder) = Log::new();
            let pending = manager.scatter::<Obedient>(log, params, &options).unwrap();
            let gathered = pending.gather().unwrap();
            let told = told.lock().unwrap();
            assert!(told.iter().all(|(_, thread)| *thread == thread::current().id()));
            let ended: Vec<usize> = told.iter().map(|(p, _)| p.n_ended()).collect();
            assert!(ended.is_sorted_by(|a, b| a < b), "{ended:?}");
            assert!(told.is_sorted_by(|(a, _), (b, _)| a.elapsed <= b.elapsed));
            let (last, _) = told.last().unwrap();
            assert_eq!((last.n_ended(), last.n_tasks), (n, n));
            assert_eq!(last.n_failed, gathered.summary().n_failed);
            // And by worker.
            assert!(last.workers.len() <= manager.n_workers());
            let sum = |of: fn(&pm_api::WorkerProgress) -> usize| {
                last.workers.iter().map(of).sum::<usize>()
            };
            assert_eq!((sum(|w| w.n_done), sum(|w| w.n_failed)), (last.n_done, last.n_failed));
            let busy = last.workers.iter().filter(|w| w.n_done + w.n_failed > 0);
            assert!(busy.clone().all(|w| w.rate_hz().is_some()));
            assert_eq!(last.rate_hz().is_some(), n > 0);
        }
    }
}

/// C34.
pub(crate) fn c34_results_are_the_same_bits_in_every_run(setup: &Setup, size: usize) {
    let n = 60;
    let manager = setup.manager(size);
    for run_seed in [0, 77] {
        let expected: Vec<u64> =
            (0..n).map(|idx| walk(pm_api::seed(run_seed, idx)).to_bits()).collect();
        for schedule in schedules(n) {
            for _ in 0..5 {
                let options = by(schedule.clone()).seed(run_seed);
                let outputs = complete(manager.scatter::<Walk>((), vec![(); n], &options));
                let bits: Vec<u64> = outputs.into_iter().map(f64::to_bits).collect();
                assert_eq!(bits, expected, "{schedule:?}");
            }
        }
    }
}

/// Streaming.
pub(crate) fn r1_streaming_gives_every_task_once(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    for schedule in schedules(200) {
        let mut params: Vec<Do> = (0..200).map(Do::Give).collect();
        params[77] = Do::Fail;
        let (log, _folder) = Log::new();
        let pending = manager.scatter::<Obedient>(log, params, &by(schedule)).unwrap();
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

/// Streaming, by calls and as iterators.
pub(crate) fn r2_streaming_in_order_is_in_order(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let squares: Vec<u64> = (0..200).map(|i| i * i).collect();
    for schedule in schedules(200) {
        let scatter = || manager.scatter::<Square>(0, (0..200).collect(), &by(schedule.clone()));
        let mut all = Vec::new();
        let each = |chunk: Chunk<u64>| {
            assert_eq!(chunk.indices.start, all.len());
            all.extend(chunk.outputs.unwrap());
            Ok::<(), PmError>(())
        };
        scatter().unwrap().for_each_in_order(each).unwrap();
        assert_eq!(all, squares);
        let mut chunks = scatter().unwrap().chunks_in_order();
        let all: Vec<u64> =
            chunks.by_ref().flat_map(|chunk| chunk.unwrap().outputs.unwrap()).collect();
        assert_eq!(all, squares);
        assert_eq!(chunks.summary().unwrap().n_done, 200);
        assert!(chunks.next().is_none());
        let mut all: Vec<u64> =
            scatter().unwrap().chunks().flat_map(|chunk| chunk.unwrap().outputs.unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, squares);
    }
}

/// Streaming.
pub(crate) fn r3_streaming_stops_at_the_first_error(setup: &Setup, size: usize) {
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
    let (log, _folder) = Log::new();
    let manager = setup.manager(size);
    let options = one_by_one().buffer(1);
    let pending = manager.scatter::<Counted>(log.clone(), vec![(); 1000], &options).unwrap();
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
    assert_eq!(log.n_active(), 0);
    // Leaving a loop does the same.
    let (log, _folder) = Log::new();
    let pending = manager.scatter::<Counted>(log.clone(), vec![(); 1000], &options).unwrap();
    assert!(pending.chunks().next().unwrap().is_ok());
    assert_eq!(log.n_active(), 0);
}

/// Streaming.
pub(crate) fn r4_workers_pause_when_the_caller_falls_behind(setup: &Setup, size: usize) {
    let (log, _folder) = Log::new();
    let manager = setup.manager(size);
    let options = one_by_one().buffer(2);
    // All but the first tasks wait until the streaming, and with it the limit, is on.
    let pending = manager.scatter::<WaitsForOpening>(log.clone(), (0..200).collect(), &options);
    let mut n_taken = 0;
    let each = |_: Chunk<usize>| {
        if n_taken == 0 {
            log.note("opened", 0);
        }
        n_taken += 1;
        let n_ahead = log.notes("start").len() - n_taken;
        // Those that wait, and one more in the hands of each worker; and before the opening each
        // worker had one. Workers elsewhere may have one that is on its way.
        let most = 2 + 3 * manager.n_workers();
        assert!(n_ahead <= most, "{n_ahead} chunks ahead");
        Ok::<(), PmError>(())
    };
    pending.unwrap().for_each(each).unwrap();
    assert_eq!(n_taken, 200);
}

/// Failures in the place of results.
pub(crate) fn r5_an_incomplete_run_lists_every_failure(setup: &Setup, size: usize) {
    let params = vec![Do::Fail, Do::Give(1), Do::GiveNothing];
    let (log, _folder) = Log::new();
    let pending = setup.manager(size).scatter::<Obedient>(log, params, &one_by_one()).unwrap();
    let error = pending.gather().unwrap().into_complete().unwrap_err();
    let PmError::Failed { failures, n_tasks: 3 } = &error else { panic!("{error}") };
    let text = error.to_string();
    assert!(text.starts_with("2 of 3 tasks gave no output: task 0 failed on worker "), "{text}");
    assert!(failures.iter().all(|failure| text.contains(&failure.to_string())), "{text}");
}

fn do_build(base: &f64) -> Result<f64, PmError> {
    Ok(base.ln())
}

fn do_execute(ln_base: &mut f64, values: &[f64]) -> Result<Vec<f64>, std::io::Error> {
    if values.iter().any(|value| *value <= 0.0) {
        return Err(std::io::Error::other("no logarithm"));
    }
    Ok(values.iter().map(|value| value.ln() / *ln_base).collect())
}

pm_api::task!(LOGARITHM: build = do_build, execute = do_execute);

/// Plain functions.
pub(crate) fn r6_plain_functions_run_as_tasks_do(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let params: Vec<f64> = (1..100).map(f64::from).collect();
    let expected: Vec<f64> = params.iter().map(|x| x.ln() / 2_f64.ln()).collect();
    for schedule in schedules(params.len()) {
        let options = by(schedule);
        let pending = manager.scatter_fn(do_build, 2.0, do_execute, params.clone(), &options);
        assert_eq!(complete(pending), expected);
    }
    let bad = vec![1.0, -1.0, 2.0];
    let pending = manager.scatter_fn(do_build, 2.0, do_execute, bad, &one_by_one()).unwrap();
    let gathered = pending.gather().unwrap();
    assert_eq!(gathered.outputs().collect::<Vec<_>>(), [(0, &0.0), (2, &1.0)]);
    assert!(gathered.failures().next().unwrap().to_string().ends_with("no logarithm"));
    assert_eq!(LOGARITHM, "pm_conformance::results::LOGARITHM");
}
