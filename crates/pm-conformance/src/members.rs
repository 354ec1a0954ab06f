//! Members of a group that do not come, come to something else, or leave.

use std::thread;

use pm_api::backend::{CallKind, Fold};
use pm_api::{
    CancelToken, Failure, FailureKind, PeersError, PeersExt as _, RunOptions, Scatter as _,
    Schedule, Spmd, Sum, TaskError, Worker,
};
use serde::{Deserialize, Serialize};

use crate::Setup;
use crate::log::Log;
use crate::messages::{WhoAmI, same_error};

pub(crate) fn m1(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    if size == 1 {
        return Ok(());
    }
    let odd = size - 1;
    let plus = |a: &mut [u8], b: &[u8]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    let fold = Fold::new(1, None, &plus);
    for kind in CallKind::ALL {
        let mut part = [1_u8; 4];
        let mut whole = vec![2_u8; 4 * size];
        let counts = vec![4; size];
        let call = |kind: CallKind, part: &mut [u8], whole: &mut [u8]| match kind {
            CallKind::Broadcast => peers.broadcast_bytes(0, part),
            CallKind::Gather => peers.gather_bytes(0, part, whole, &counts),
            CallKind::Scatter => peers.scatter_bytes(0, whole, &counts, part),
            CallKind::AllGather => peers.all_gather_bytes(part, whole, &counts),
            CallKind::Reduce => peers.reduce_bytes(0, part, &fold),
            CallKind::AllReduce => peers.all_reduce_bytes(part, &fold),
            _ => peers.barrier(),
        };
        let other = if kind == CallKind::Barrier { CallKind::Reduce } else { CallKind::Barrier };
        let kind = if rank == odd { kind } else { other };
        let error = call(kind, &mut part, &mut whole).unwrap_err();
        let text = same_error(peers, &error)?;
        assert!(text.starts_with(&format!("rank {odd} called ")), "{text}");
        assert_eq!((part, whole.iter().all(|x| *x == 2)), ([1; 4], true));
        for kind in CallKind::ALL {
            call(kind, &mut part, &mut whole)?;
        }
        // Different roots of the same collective.
        let error = peers.broadcast_bytes(usize::from(rank == odd), &mut part).unwrap_err();
        let text = same_error(peers, &error)?;
        assert!(text.starts_with(&format!("rank {odd} named rank 1 as the root")), "{text}");
    }
    Ok(())
}

/// How a member goes while the others wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Going {
    Returns,
    Fails,
    Panics,
}

struct OneGoes;

impl Spmd for OneGoes {
    const NAME: &'static str = "pm_conformance::one_goes";
    type Args = Going;
    type Output = String;

    fn run(going: &Going, worker: &Worker<'_>) -> Result<String, TaskError> {
        let peers = worker.peers();
        // What all were in is whole.
        peers.barrier()?;
        if peers.rank() == peers.size() - 1 {
            match going {
                Going::Returns => return Ok(String::new()),
                Going::Fails => return Err(TaskError::new("no more")),
                Going::Panics => panic!("no more"),
            }
        }
        let error = peers.barrier().unwrap_err();
        assert!(matches!(error, PeersError::Left { .. }), "{error}");
        let mut array = [0];
        let again = peers.all_reduce(&mut array, Sum).unwrap_err();
        assert!(matches!(again, PeersError::Left { .. }), "{again}");
        Ok(error.to_string())
    }
}
pm_api::register_spmd!(OneGoes);

/// A barrier that one never comes to.
pub(crate) fn m2_a_member_that_leaves_wakes_the_others_and_is_named(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    if n == 1 {
        return;
    }
    for (going, reason) in [
        (Going::Returns, "it has no more tasks"),
        (Going::Fails, "its task failed: no more"),
        (Going::Panics, "its task failed: no more"),
    ] {
        let options = RunOptions::default();
        let gathered = manager.start_spmd::<OneGoes>(going, &options).unwrap().gather().unwrap();
        let expected = format!("rank {} of {n} left the group: {reason}", n - 1);
        for rank in 0..n - 1 {
            assert_eq!(gathered.get(rank), Some(&expected), "{going:?}");
        }
        let failures: Vec<&Failure> = gathered.failures().collect();
        assert_eq!(failures.len(), usize::from(going != Going::Returns), "{failures:?}");
        // And the manager is of use.
        assert_eq!(manager.run::<WhoAmI>(()).unwrap().len(), n);
    }
}

struct AllButOneWait;

impl Spmd for AllButOneWait {
    const NAME: &'static str = "pm_conformance::all_but_one_wait";
    type Args = Log;
    type Output = ();

    fn run(log: &Log, worker: &Worker<'_>) -> Result<(), TaskError> {
        let peers = worker.peers();
        log.note("came", peers.rank());
        if peers.rank() == 0 {
            crate::log::wait_until("the run was cancelled", || worker.cancelled());
            // Stays in the group, so that nothing but the cancelling can have woken the others.
            log.wait_for("woken", peers.size() - 1);
            return Err(TaskError::cancelled());
        }
        let error = peers.barrier().unwrap_err();
        assert!(matches!(error, PeersError::Cancelled { .. }), "{error}");
        log.note("woken", peers.rank());
        Err(TaskError::cancelled())
    }
}
pm_api::register_spmd!(AllButOneWait);

/// A barrier in a run that is cancelled.
pub(crate) fn m3_cancelling_wakes_those_who_wait(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    let (log, _folder) = Log::new();
    let token = CancelToken::new();
    let options = RunOptions::default().cancel(&token);
    let pending = manager.start_spmd::<AllButOneWait>(log.clone(), &options).unwrap();
    let gathered = thread::scope(|scope| {
        scope.spawn(|| {
            log.wait_for("came", n);
            token.cancel();
        });
        pending.gather().unwrap()
    });
    assert_eq!(gathered.outputs().count(), 0);
    let mut failures = gathered.failures();
    assert!(failures.all(|failure| failure.kind == FailureKind::Cancelled));
}

/// Sums over the workers of a run, in each of its tasks.
struct SumsInTasks;

impl pm_api::Task for SumsInTasks {
    const NAME: &'static str = "pm_conformance::sums_in_tasks";
    type Args = ();
    type Model = u64;
    type Param = u64;
    type Output = u64;

    fn build((): &(), worker: &Worker<'_>) -> Result<u64, TaskError> {
        let mut n = [1_u64];
        worker.peers().all_reduce(&mut n, Sum)?;
        Ok(n[0])
    }

    fn execute(n: &mut u64, params: &[u64], worker: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let mut sum = [params.iter().sum::<u64>()];
        worker.peers().all_reduce(&mut sum, Sum)?;
        Ok(vec![100 * *n + sum[0]; params.len()])
    }
}
pm_api::register_task!(SumsInTasks);

/// With one block for each worker, tasks may talk to each other as well.
pub(crate) fn m5_the_workers_of_a_run_are_a_group(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers() as u64;
    let options = RunOptions::default().schedule(Schedule::Static);
    for n_each in [1, 3] {
        let params: Vec<u64> = (0..n * n_each).collect();
        let sum: u64 = params.iter().sum();
        let pending = manager.scatter::<SumsInTasks>((), params, &options).unwrap();
        let outputs = pending.gather().unwrap().into_complete().unwrap();
        assert!(outputs.iter().all(|output| *output == 100 * n + sum));
    }
    // Where they do not all come, it is an error and not the end of everything.
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
    let pending = manager.scatter::<SumsInTasks>((), vec![1; 7], &options).unwrap();
    let gathered = pending.gather().unwrap();
    assert_eq!(gathered.summary().n_done + gathered.summary().n_failed, 7);
}
