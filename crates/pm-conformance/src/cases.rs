//! The nineteen cases in which the managers of other packages were seen to hang, to lose results,
//! to give wrong ones or to leave processes behind; see the table in the documentation of the crate.
//!
//! Each is done in a program of its own, as a user's would be: it has to end, and soon after the
//! failure, with nobody left.

use std::io;
use std::panic::resume_unwind;

use pm_api::{
    FailureKind, Gathered, PeersExt as _, PmError, RunOptions, Scatter as _, Schedule, Spmd, Sum,
    Task, TaskError, Worker, register_task,
};

use crate::Setup;
use crate::log::Log;
use crate::program::{Ended, alone, assert_no_zombies, children};
use crate::results::{by, complete, one_by_one, schedules};
use crate::runs::is_lazy;
use crate::tasks::{Counted, Do, Inner, Nested, Obedient, Odd, Square, Stubborn, UntilCancelled};

/// Does a case in a program for each variant, and looks how that ends.
fn each(
    setup: &Setup,
    size: usize,
    case: &str,
    n_variants: usize,
    inside: impl Fn(usize, &Log),
    look: impl Fn(usize, &Ended),
) {
    for variant in 0..n_variants {
        let Some(program) = alone(variant, &inside) else { return };
        let ended = program.run();
        look(variant, &ended);
        ended.assert_soon(&format!("{case}.{variant} on {}, size {size}", setup.name));
    }
}

/// Does a case that the program is to survive.
fn survives(setup: &Setup, size: usize, case: &str, n: usize, inside: impl Fn(usize, &Log)) {
    let inside = |variant: usize, log: &Log| {
        inside(variant, log);
        assert_no_zombies();
        let manager = setup.manager(size);
        assert_eq!(complete(manager.scatter::<Square>(1, vec![2, 3], &one_by_one())), [5, 10]);
    };
    each(setup, size, case, n, inside, |_, ended| ended.assert_success());
}

/// Five tasks, of which the third, whose value is 3, does something else than to give it.
fn third(bad: Do) -> Vec<Do> {
    vec![Do::Give(1), Do::Give(2), bad, Do::Give(4), Do::Give(5)]
}

/// Fails unless the third task alone failed, in this way, and its failure names it, its worker (one
/// of those that have noted it) and the cause.
fn assert_third_failed(gathered: &Gathered<u64>, kind: FailureKind, log: &Log, cause: &str) {
    let outputs: Vec<_> = gathered.outputs().map(|(i, output)| (i, *output)).collect();
    assert_eq!(outputs, [(0, 1), (1, 2), (3, 4), (4, 5)], "a good result was lost");
    let failures: Vec<_> = gathered.failures().collect();
    assert_eq!(failures.len(), 1);
    let failure = failures[0];
    assert_eq!((failure.indices.clone(), failure.kind), (2..3, kind));
    let rank = failure.worker.expect("it was on a worker");
    assert!(log.notes("failed").contains(&rank), "{failure}");
    let text = failure.to_string();
    assert!(text.starts_with("task 2 ") && text.contains(&format!("on worker {rank}")), "{text}");
    assert!(text.contains(cause), "{text}");
}

/// The ways in which five tasks are divided so that a failure costs its own task alone.
fn divisions() -> [RunOptions; 2] {
    [one_by_one(), by(Schedule::Static).isolate()]
}

/// All is well.
pub(crate) fn f01_a_run_without_a_fault(setup: &Setup, size: usize) {
    survives(setup, size, "f01", 1, |_, _| {
        for schedule in schedules(5) {
            let manager = setup.manager(size);
            let outputs = manager.scatter::<Square>(0, vec![1, 2, 3, 4, 5], &by(schedule));
            assert_eq!(complete(outputs), [1, 4, 9, 16, 25]);
        }
    });
}

/// An error, and a panic.
pub(crate) fn f02_execute_fails_on_one_worker(setup: &Setup, size: usize) {
    survives(setup, size, "f02", 4, |variant, log| {
        let (bad, kind, cause) = [
            (Do::Fail, FailureKind::Error, "could not read row 13"),
            (Do::PanicText, FailureKind::Panic, "boom"),
        ][variant % 2];
        let manager = setup.manager(size);
        let options = &divisions()[variant / 2];
        let pending = manager.scatter::<Obedient>(log.clone(), third(bad), options).unwrap();
        let gathered = pending.gather().unwrap();
        assert_third_failed(&gathered, kind, log, cause);
        let error = gathered.into_complete().unwrap_err();
        assert!(error.to_string().starts_with("1 of 5 tasks gave no output: task 2 "), "{error}");
    });
}

/// Has no model, anywhere.
struct Unbuildable;

impl Task for Unbuildable {
    const NAME: &'static str = "pm_conformance::unbuildable";
    type Args = (Log, bool);
    type Model = ();
    type Param = u64;
    type Output = u64;

    fn build((log, panics): &(Log, bool), worker: &Worker<'_>) -> Result<(), TaskError> {
        log.note("failed", worker.rank());
        assert!(!*panics, "no table");
        Err(TaskError::new("no table"))
    }

    fn execute((): &mut (), params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        Ok(params.to_vec())
    }
}
register_task!(Unbuildable);

/// An error, and a panic, where the model is built.
pub(crate) fn f03_build_fails_everywhere(setup: &Setup, size: usize) {
    survives(setup, size, "f03", 2, |variant, log| {
        let manager = setup.manager(size);
        let args = (log.clone(), variant == 1);
        let pending = manager.scatter::<Unbuildable>(args, vec![1, 2, 3, 4, 5], &one_by_one());
        let gathered = pending.unwrap().gather().unwrap();
        assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (0, 5));
        let mut lost: Vec<usize> = gathered.failures().flat_map(|f| f.indices.clone()).collect();
        lost.sort_unstable();
        assert_eq!(lost, [0, 1, 2, 3, 4]);
        for failure in gathered.failures() {
            assert_eq!(failure.kind, FailureKind::Build);
            let rank = failure.worker.expect("a worker could not build");
            let text = failure.to_string();
            assert!(text.contains(&format!("got no model on worker {rank}: ")), "{text}");
            assert!(text.contains("no table"), "{text}");
        }
    });
}

/// A process ends in the middle of a task: a worker, or the program itself where it has no others.
fn process_ends(setup: &Setup, size: usize, case: &str, bad: Do, kind: FailureKind, cause: &str) {
    let own = setup.capabilities.processes;
    let inside = |variant: usize, log: &Log| {
        let manager = setup.manager(size);
        let options = &divisions()[variant];
        let pending = manager.scatter::<Obedient>(log.clone(), third(bad), options).unwrap();
        let gathered = pending.gather().unwrap();
        assert!(own, "this process has survived its end");
        assert_third_failed(&gathered, kind, log, cause);
        assert_no_zombies();
        assert_eq!(complete(manager.scatter::<Square>(1, vec![2, 3], &one_by_one())), [5, 10]);
    };
    each(setup, size, case, 2, inside, |_, ended| {
        if own {
            return ended.assert_success();
        }
        // There is no other end for a program whose only process it was.
        let code = ended.status.code();
        match kind {
            FailureKind::Exited { code: expected } => assert_eq!(code, Some(expected)),
            _ => assert_eq!(code, None, "a signal ended it: {}", ended.text),
        }
    });
}

/// `SIGKILL`.
pub(crate) fn f04_a_worker_is_killed(setup: &Setup, size: usize) {
    let kind = FailureKind::Killed { signal: 9 };
    process_ends(setup, size, "f04", Do::Signal(9), kind, "ended with signal 9");
}

/// `_exit(7)`.
pub(crate) fn f05_a_worker_exits(setup: &Setup, size: usize) {
    let kind = FailureKind::Exited { code: 7 };
    process_ends(setup, size, "f05", Do::Exit(7), kind, "ended with exit code 7");
}

/// Closures with something in them cannot be found in another process: that is an error before
/// anything runs, and otherwise they do.
pub(crate) fn f06_build_and_execute_are_closures(setup: &Setup, size: usize) {
    survives(setup, size, "f06", 1, |_, _| {
        let manager = setup.manager(size);
        let base = 100.0;
        let build = move |plus: &f64| Ok::<f64, TaskError>(base + plus);
        let execute = move |sum: &mut f64, params: &[f64]| {
            Ok::<Vec<f64>, TaskError>(params.iter().map(|x| x + *sum - base).collect())
        };
        match manager.scatter_fn(build, 1.0, execute, vec![1.0, 2.0, 3.0], &one_by_one()) {
            Ok(pending) => {
                assert!(!setup.capabilities.bytes);
                assert_eq!(complete(Ok(pending)), [2.0, 3.0, 4.0]);
            }
            Err(PmError::NotRegistered { task }) => {
                assert!(setup.capabilities.bytes && task.contains("closure"), "{task}");
            }
            Err(error) => panic!("{error}"),
        }
    });
}

/// Where they travel at all.
pub(crate) fn f07_arguments_that_cannot_be_encoded(setup: &Setup, size: usize) {
    survives(setup, size, "f07", 1, |_, _| {
        let manager = setup.manager(size);
        let bad = Odd { writes: false, reads: true };
        let pending = manager.scatter::<Stubborn>(bad, vec![(true, true); 5], &one_by_one());
        let gathered = pending.unwrap().gather().unwrap();
        if !setup.capabilities.bytes {
            assert_eq!(gathered.summary().n_done, 5);
            return;
        }
        assert_eq!((gathered.summary().n_done, gathered.summary().n_failed), (0, 5));
        let text = "could not encode the arguments of task \"pm_conformance::stubborn\"";
        for failure in gathered.failures() {
            assert_eq!((failure.kind, &*failure.message), (FailureKind::Encode, text));
        }
    });
}

/// Where it travels at all.
pub(crate) fn f08_an_output_that_cannot_be_encoded(setup: &Setup, size: usize) {
    survives(setup, size, "f08", 1, |_, _| {
        let manager = setup.manager(size);
        let mut params = vec![(true, true); 5];
        params[2].0 = false;
        let good = Odd { writes: true, reads: true };
        let pending = manager.scatter::<Stubborn>(good, params, &one_by_one()).unwrap();
        let gathered = pending.gather().unwrap();
        if !setup.capabilities.bytes {
            assert_eq!(gathered.summary().n_done, 5);
            return;
        }
        let done: Vec<usize> = gathered.outputs().map(|(i, _)| i).collect();
        assert_eq!(done, [0, 1, 3, 4], "a good result was lost");
        let failure = gathered.failures().next().unwrap();
        assert_eq!((failure.indices.clone(), failure.kind), (2..3, FailureKind::Encode));
        let rank = failure.worker.expect("it was on a worker");
        let text = format!("task 2 failed on worker {rank}: could not encode the outputs of task");
        assert!(failure.to_string().starts_with(&text), "{failure}");
    });
}

/// None at all.
pub(crate) fn f09_no_parameters(setup: &Setup, size: usize) {
    survives(setup, size, "f09", 1, |_, log| {
        let n_before = children().len();
        let manager = setup.manager(size);
        for schedule in schedules(0) {
            let pending = manager.scatter::<Counted>(log.clone(), Vec::new(), &by(schedule));
            let gathered = pending.unwrap().gather().unwrap();
            assert_eq!(gathered.summary().n_workers, 0);
            assert_eq!(gathered.into_complete().unwrap(), []);
        }
        assert_eq!(log.notes("build").len(), 0);
        assert_eq!(children().len(), n_before, "a worker was started for nothing");
    });
}

/// Eight workers for three tasks, whatever the machine has.
pub(crate) fn f10_more_workers_than_parameters(setup: &Setup, size: usize) {
    survives(setup, size, "f10", 1, |_, log| {
        let manager = setup.manager(8);
        for schedule in schedules(3) {
            let pending = manager.scatter::<Counted>(log.clone(), vec![(); 3], &by(schedule));
            let gathered = pending.unwrap().gather().unwrap();
            assert!((1..=3).contains(&gathered.summary().n_workers));
            assert_eq!(gathered.into_complete().unwrap().len(), 3);
        }
    });
}

/// A manager of the same kind inside a task.
pub(crate) fn f11_a_manager_inside_a_task(setup: &Setup, size: usize) {
    survives(setup, size, "f11", 2, |variant, _| {
        let manager = setup.manager(size);
        let options = by([Schedule::Static, Schedule::Dynamic { chunk: 1 }][variant].clone());
        let inner = Inner { setup: Some(setup.name.to_owned()), size, depth: 0 };
        let outputs = complete(manager.scatter::<Nested>(inner, vec![1, 2, 3, 4, 5], &options));
        assert_eq!(outputs, [0, 1, 5, 14, 30]);
    });
}

/// One after the other on the same manager.
pub(crate) fn f12_two_runs_on_one_manager(setup: &Setup, size: usize) {
    survives(setup, size, "f12", 1, |_, _| {
        let manager = setup.manager(size);
        for schedule in schedules(5) {
            let options = by(schedule);
            let first = manager.scatter::<Square>(0, vec![1, 2, 3, 4, 5], &options);
            assert_eq!(complete(first), [1, 4, 9, 16, 25]);
            let second = manager.scatter::<Square>(100, vec![6, 7, 8, 9, 10], &options);
            assert_eq!(complete(second), [136, 149, 164, 181, 200], "nothing of the first run");
        }
    });
}

/// Gathering twice does not compile; asking a stream for more than there is says so, again and
/// again.
pub(crate) fn f13_results_are_taken_twice(setup: &Setup, size: usize) {
    survives(setup, size, "f13", 1, |_, _| {
        let manager = setup.manager(size);
        let pending = manager.scatter::<Square>(0, vec![1, 2, 3, 4, 5], &one_by_one()).unwrap();
        let mut chunks = pending.chunks_in_order();
        let outputs: Vec<u64> =
            chunks.by_ref().flat_map(|chunk| chunk.unwrap().outputs.unwrap()).collect();
        assert_eq!(outputs, [1, 4, 9, 16, 25]);
        assert!((0..3).all(|_| chunks.next().is_none()));
        assert_eq!(chunks.summary().unwrap().n_done, 5);
    });
}

/// The caller panics, or exits, while tasks are at work: some that ask whether to stop, and some
/// that do not.
pub(crate) fn f15_the_caller_fails_between_scatter_and_gather(setup: &Setup, size: usize) {
    let inside = |variant: usize, log: &Log| {
        let manager = setup.manager(size);
        let is_lazy = is_lazy(setup);
        let exits = || {
            log.note("failed", 0);
            std::process::exit(3);
        };
        if variant < 2 {
            let params = vec![(); 20];
            let _pending = manager.scatter::<UntilCancelled>(log.clone(), params, &one_by_one());
            log.wait_for("start", usize::from(!is_lazy));
            if variant == 1 {
                exits();
            }
            log.note("failed", 0);
            resume_unwind(Box::new("between scatter and gather"));
        }
        // Where nobody can kill them, only a limit of time makes an end of such tasks.
        let limit = std::time::Duration::from_millis(300);
        let params = vec![Do::Hang; 20];
        let options = one_by_one().timeout(limit);
        let hang = Log::at(log.folder("hanging"));
        let _pending = manager.scatter::<Obedient>(hang.clone(), params, &options);
        hang.wait_for("failed", usize::from(!is_lazy));
        if variant == 3 {
            exits();
        }
        log.note("failed", 0);
        resume_unwind(Box::new("between scatter and gather"));
    };
    let n_variants = if setup.capabilities.ends_hanging { 4 } else { 2 };
    each(setup, size, "f15", n_variants, inside, |_, ended| {
        assert!(ended.status.code().is_some_and(|code| code != 0), "{}", ended.text);
    });
}

/// `SIGKILL` for the program while its tasks are at work.
pub(crate) fn f16_the_caller_is_killed(setup: &Setup, size: usize) {
    for (variant, what) in [Do::Hang, Do::Compute].into_iter().enumerate() {
        let program = alone(variant, |variant, log| {
            let manager = setup.manager(size);
            let what = [Do::Hang, Do::Compute][variant];
            let pending = manager.scatter::<Obedient>(log.clone(), vec![what; 9], &one_by_one());
            drop(pending.unwrap().gather());
        });
        let Some(program) = program else { return };
        let log = program.log();
        let program = program.start();
        log.wait_for("failed", setup.manager(size).n_workers());
        let after = program.kill();
        #[expect(clippy::print_stdout, reason = "the figure is asked for")]
        {
            println!("f16.{variant} on {}, size {size}: {what:?} ended {after:.1?}", setup.name);
        }
    }
}

/// Sums an array of some length and a single number over all ranks.
struct Sums;

impl Spmd for Sums {
    const NAME: &'static str = "pm_conformance::sums_of_shapes";
    type Args = usize;
    type Output = (Vec<f64>, f64);

    fn run(&len: &usize, worker: &Worker<'_>) -> Result<Self::Output, TaskError> {
        let peers = worker.peers();
        let own = peers.rank() as f64 + 1.0;
        let mut sums = vec![0.0; len];
        peers.all_reduce_into(&vec![own; len], &mut sums, Sum)?;
        // A number by itself, and as an array of one.
        let alone = peers.all_reduce_value(&own, |a, b| a + b)?;
        let mut one = [0.0];
        peers.all_reduce_into(std::slice::from_ref(&own), &mut one, Sum)?;
        if one[0].to_bits() != f64::to_bits(alone) {
            return Err(io::Error::other("a number is not what an array of one is").into());
        }
        Ok((sums, alone))
    }
}
pm_api::register_spmd!(Sums);

fn sums(setup: &Setup, size: usize, len: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers() as f64;
    let sum = n * (n + 1.0) / 2.0;
    let ranks = manager.run::<Sums>(len).unwrap();
    assert_eq!(ranks.len(), manager.n_workers());
    assert!(ranks.iter().all(|rank| *rank == (vec![sum; len], sum)), "{ranks:?}");
}

/// An array and an array.
pub(crate) fn f17_the_sum_of_arrays(setup: &Setup, size: usize) {
    survives(setup, size, "f17", 1, |_, _| {
        [1, 5, 5000].into_iter().for_each(|n| sums(setup, size, n));
    });
}

/// A number into an array of one, and of none.
pub(crate) fn f18_the_sum_of_a_number(setup: &Setup, size: usize) {
    survives(setup, size, "f18", 1, |_, _| [0, 1].into_iter().for_each(|n| sums(setup, size, n)));
}

/// A sweep that goes on until it has enough good samples.
pub(crate) fn f19_a_recursive_sweep_runs_all_its_samples(setup: &Setup, size: usize) {
    survives(setup, size, "f19", 1, |_, _| {
        crate::reductions::c38_samples_divided_by_rank_are_all_covered(setup, size);
    });
}
