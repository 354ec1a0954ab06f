//! That nothing is left behind, counted.

use pm_api::{CancelToken, RunOptions, Scatter as _, Schedule};

use crate::Setup;
use crate::log::{Log, wait_until};
use crate::program::{alone, belongings, can_count};
use crate::results::{complete, one_by_one};
use crate::tasks::{Build, Do, Obedient, Picky, Square, UntilCancelled};

/// How many rounds leave what one leaves.
const N_ROUNDS: usize = 50;

/// Fails if, in a process of its own, many rounds leave more or less than the first `n_kinds` of
/// them; alone, because the tests beside this one have threads and files too.
fn leave_what_one_leaves(n_kinds: usize, round: impl Fn(usize, &Log)) {
    if !can_count() {
        // Nothing to count by here; that it works at all is seen by the other items.
        return;
    }
    let program = alone(0, |_, log| {
        let mut pids = Vec::new();
        // Once more than once each, so that what is kept between two rounds is there.
        (0..2 * n_kinds).for_each(|nth| {
            round(nth, log);
            belongings(&mut pids);
        });
        // What was let go ends a little later than its run.
        let mut before = belongings(&mut pids);
        wait_until("all had settled", || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let last = std::mem::replace(&mut before, belongings(&mut pids));
            last == before
        });
        (0..N_ROUNDS).for_each(|nth| {
            round(nth, log);
            belongings(&mut pids);
        });
        let what = format!("there was what one round leaves, {before:?}");
        let mut now = before;
        wait_until(&what, || {
            std::thread::sleep(std::time::Duration::from_millis(5));
            now = belongings(&mut pids);
            now == before
        });
    });
    let Some(program) = program else { return };
    program.run().assert_success();
}

/// C35.
pub(crate) fn c35_nothing_piles_up_over_runs(setup: &Setup, size: usize) {
    let manager = std::cell::OnceCell::new();
    leave_what_one_leaves(1, |_, log| {
        let manager = manager.get_or_init(|| setup.manager(size));
        let options = RunOptions::default();
        let one = manager.scatter::<Square>(0, vec![3; 9], &options).unwrap();
        let two = manager.scatter::<Square>(0, vec![4; 9], &options).unwrap();
        drop(one);
        assert_eq!(complete(Ok(two)), [16; 9]);
        let params = vec![Do::Give(1), Do::PanicText, Do::Fail];
        let options = one_by_one().retries(1);
        let pending = manager.scatter::<Obedient>(log.clone(), params, &options);
        assert_eq!(pending.unwrap().gather().unwrap().summary().n_done, 1);
        // And one that is gone with its round.
        let own = setup.manager(size);
        assert_eq!(complete(own.scatter::<Square>(0, vec![3; 9], &one_by_one())), [9; 9]);
    });
}

/// C35, with runs that fail in every way.
pub(crate) fn c35_nothing_piles_up_over_runs_that_fail(setup: &Setup, size: usize) {
    let manager = std::cell::OnceCell::new();
    let n_kinds = if setup.capabilities.processes { 10 } else { 7 };
    leave_what_one_leaves(n_kinds, |nth, log| {
        let manager = manager.get_or_init(|| setup.manager(size));
        let obey = |bad: Do, options: &RunOptions| {
            let params = vec![Do::Give(1), bad, Do::Give(3)];
            let pending = manager.scatter::<Obedient>(log.clone(), params, options).unwrap();
            let n_failed = pending.gather().unwrap().summary().n_failed;
            assert!(n_failed > 0, "{bad:?}");
        };
        match nth % n_kinds {
            0 => obey(Do::Fail, &one_by_one()),
            1 => obey(Do::PanicText, &RunOptions::default().schedule(Schedule::Static).isolate()),
            2 => {
                obey(Do::WaitPolitely, &one_by_one().timeout(std::time::Duration::from_millis(20)));
            }
            3 => {
                let options = RunOptions::default();
                let how = if nth % 2 == 0 { Build::Fails(None) } else { Build::Panics(None) };
                let pending = manager.scatter::<Picky>(how, vec![(); 9], &options).unwrap();
                assert_eq!(pending.gather().unwrap().summary().n_failed, 9);
            }
            4 => {
                let token = CancelToken::new();
                let options = one_by_one().cancel(&token);
                let args = Log::at(log.folder(&nth.to_string()));
                let pending = manager.scatter::<UntilCancelled>(args, vec![(); 9], &options);
                token.cancel();
                assert_eq!(pending.unwrap().gather().unwrap().summary().n_failed, 9);
            }
            5 => {
                let args = Log::at(log.folder(&nth.to_string()));
                drop(manager.scatter::<UntilCancelled>(args, vec![(); 9], &one_by_one()).unwrap());
            }
            6 => {
                let make = setup.make_broken;
                let manager = make.map_or_else(|| Ok(setup.manager(size)), |make| make(size));
                let Ok(manager) = manager else { return };
                let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 0 });
                assert!(manager.scatter::<Square>(0, vec![1; 9], &options).is_err());
                let started = manager.scatter::<Square>(0, vec![1; 9], &one_by_one());
                assert_eq!(started.is_err(), make.is_some());
            }
            7 => obey(Do::Abort, &one_by_one()),
            8 => obey(Do::Exit(7), &one_by_one().retries(1)),
            _ => {
                let options = RunOptions::default().schedule(Schedule::Static);
                let how = Build::Dies(None);
                let pending = manager.scatter::<Picky>(how, vec![(); 9], &options).unwrap();
                assert_eq!(pending.gather().unwrap().summary().n_failed, 9);
            }
        }
    });
}
