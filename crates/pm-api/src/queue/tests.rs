//! What the queue hands out, and when.

use std::sync::mpsc::channel;

use super::*;

const US: Duration = Duration::from_micros(1);

fn divide(schedule: &Schedule, n_tasks: usize, n_workers: usize) -> ChunkQueue {
    let cancel = CancelToken::new();
    ChunkQueue::divide(schedule, n_tasks, n_workers, Policy::default(), &cancel).unwrap()
}

fn bad(kind: FailureKind) -> Result<Outputs, Fault> {
    Err(Fault::new(kind, "bad"))
}

/// Takes the chunks of a run on one thread, each task taking `cost`; gives their sizes.
fn sizes(schedule: &Schedule, n_tasks: usize, n_workers: usize, cost: Duration) -> Vec<usize> {
    let queue = divide(schedule, n_tasks, n_workers);
    let mut next = 0;
    let mut sizes = Vec::new();
    while let Some(ticket) = queue.take(0, true, || ()) {
        let chunk = ticket.indices();
        assert_eq!(chunk.start, next);
        next = chunk.end;
        sizes.push(chunk.len());
        queue.finish(ticket, bad(FailureKind::Cancelled), cost * chunk.len() as u32);
    }
    assert_eq!(next, n_tasks);
    sizes
}

#[test]
fn long_tasks_run_one_at_a_time() {
    let sizes = sizes(&Schedule::Auto, 300, 2, 50_000 * US);
    assert!(sizes.iter().all(|&size| size == 1), "{sizes:?}");
}

#[test]
fn short_tasks_run_about_a_millisecond_at_a_time_and_few_at_the_end() {
    let n_tasks = 1_000_000;
    let sizes = sizes(&Schedule::Auto, n_tasks, 2, US);
    let most = sizes.iter().copied().max().unwrap();
    assert!((1000..=2048).contains(&most), "{most}");
    assert!(sizes.len() < n_tasks / 500, "{} chunks", sizes.len());
    let mut left = n_tasks;
    for size in sizes {
        assert!(size <= left.div_ceil(4).max(most / AT_LEAST), "{size} of {left}");
        left -= size;
    }
}

#[test]
fn chunks_shrink_when_tasks_become_long() {
    let queue = divide(&Schedule::Auto, 1_000_000, 2);
    let take = |cost| {
        let ticket = queue.take(0, true, || ()).unwrap();
        let n = ticket.indices().len();
        queue.finish(ticket, bad(FailureKind::Cancelled), cost * n as u32);
        n
    };
    let before = (0..20).map(|_| take(US)).max().unwrap();
    let after = (0..20).map(|_| take(10_000 * US)).min().unwrap();
    assert_eq!((before, after), (1024, 1));
}

#[test]
fn what_nobody_took_is_left_once_and_joined() {
    for (schedule, from) in [
        (Schedule::Auto, 1),
        (Schedule::Static, 4),
        (Schedule::Strided, 1),
        (Schedule::Dynamic { chunk: 4 }, 4),
        (Schedule::Guided { min: 1 }, 2),
    ] {
        let queue = divide(&schedule, 10, 3);
        queue.take(0, true, || ()).unwrap();
        assert_eq!(queue.drain(), std::slice::from_ref(&(from..10)), "{schedule:?}");
        assert_eq!(queue.drain(), []);
        assert_eq!(queue.take(1, true, || ()), None);
    }
    let queue = divide(&Schedule::Strided, 7, 2);
    queue.take(1, true, || ()).unwrap();
    assert_eq!(queue.drain(), [0..1, 2..7]);
}

#[test]
fn weighted_blocks_balance_the_cost() {
    let costs = Schedule::Weighted([8, 1, 1, 1, 1, 1, 1, 1, 1].into());
    let queue = divide(&costs, 9, 2);
    let blocks = [0, 1].map(|rank| queue.take(rank, true, || ()).unwrap().indices());
    assert_eq!(blocks, [0..1, 1..9]);
}

fn trying(policy: Policy, n_tasks: usize, chunk: usize) -> ChunkQueue {
    let schedule = Schedule::Dynamic { chunk };
    ChunkQueue::divide(&schedule, n_tasks, 1, policy, &CancelToken::new()).unwrap()
}

/// Runs all tasks, of which those in `poison` fail as often as said; what is reported.
fn run(queue: &ChunkQueue, poison: &mut [(usize, u32)]) -> Vec<(Range<usize>, u32, bool)> {
    let mut reported = Vec::new();
    while let Some(ticket) = queue.take(0, true, || ()) {
        let mut outputs = Ok(Outputs::new(vec![(); ticket.indices().len()]));
        for (task, n_left) in poison.iter_mut() {
            if ticket.indices().contains(task) && *n_left > 0 {
                *n_left -= 1;
                outputs = bad(FailureKind::Killed { signal: 9 });
            }
        }
        match queue.finish(ticket, outputs, US) {
            Verdict::Report(done) => {
                reported.push((done.indices, done.attempts, done.outputs.is_ok()));
            }
            Verdict::Again => {}
            Verdict::Abandoned => panic!("nobody took it away"),
        }
    }
    reported.sort_unstable_by_key(|(range, ..)| range.start);
    reported
}

#[test]
fn a_poisonous_task_is_found_by_halving_and_its_neighbours_succeed() {
    let queue = trying(Policy { isolate: true, ..Policy::default() }, 16, 16);
    let reported = run(&queue, &mut [(5, u32::MAX)]);
    let expected =
        [(0..4, 3, true), (4..5, 5, true), (5..6, 5, false), (6..8, 4, true), (8..16, 2, true)];
    assert_eq!(reported, expected);
}

#[test]
fn retries_are_counted_when_a_task_is_alone() {
    for (n_bad, retries, good) in [(1, 1, true), (2, 1, false), (2, 2, true), (0, 3, true)] {
        let queue = trying(Policy { retries, ..Policy::default() }, 3, 1);
        let reported = run(&queue, &mut [(1, n_bad)]);
        assert_eq!(reported[1], (1..2, 1 + n_bad.min(retries), good), "{n_bad} of {retries}");
        assert!(reported[0].2 && reported[2].2);
    }
    // Two attempts go to the halving, the third succeeds.
    let queue = trying(Policy { retries: 1, ..Policy::default() }, 4, 4);
    assert_eq!(run(&queue, &mut [(3, 2)]), [(0..2, 2, true), (2..3, 3, true), (3..4, 3, true)]);
}

#[test]
fn crashes_end_at_their_limit() {
    let policy = Policy { retries: 100, crash_limit: Some(3), ..Policy::default() };
    let reported = run(&trying(policy, 2, 1), &mut [(0, u32::MAX)]);
    assert_eq!(reported, [(0..1, 4, false), (1..2, 1, true)]);
}

#[test]
fn a_retry_waits_as_long_as_it_was_told_to() {
    let backoff = Duration::from_millis(5);
    let policy = Policy { retries: 3, backoff, ..Policy::default() };
    let start = Instant::now();
    assert_eq!(run(&trying(policy, 1, 1), &mut [(0, 3)]), [(0..1, 4, true)]);
    assert!(start.elapsed() >= 7 * backoff, "5 + 10 + 20 ms");
}

#[test]
fn a_chunk_that_was_taken_away_is_reported_once() {
    let policy = Policy { timeout: Some(Duration::from_secs(3600)), ..Policy::default() };
    let queue = trying(policy, 4, 2);
    let late = queue.take(0, true, || ()).unwrap();
    let (rank, ticket, deadline) = queue.next_deadline().unwrap();
    assert_eq!((rank, &ticket), (0, &late));
    assert!(deadline > Instant::now() + Duration::from_secs(7000), "2 tasks of an hour");
    let fault = Fault::new(FailureKind::Timeout, "too long");
    assert!(matches!(queue.abandon(ticket, fault, US), Verdict::Report(_)));
    assert!(queue.next_deadline().is_none());
    assert!(matches!(queue.finish(late, bad(FailureKind::Error), US), Verdict::Abandoned));
}

#[test]
fn a_chunk_that_was_never_begun_goes_to_another_worker_as_it_was() {
    let queue = divide(&Schedule::Static, 2, 2);
    let own = queue.take(0, true, || ()).unwrap();
    let other = queue.take(1, true, || ()).unwrap();
    queue.put_back(other.clone());
    let again = queue.take(0, true, || ()).unwrap();
    assert_eq!((again.indices(), again.attempt()), (other.indices(), 1));
    // The model is lost between two chunks, and cannot be built again.
    queue.rebuilding(&again);
    assert!(matches!(queue.try_take(1, true), Take::Later(None)));
    assert_eq!(queue.retire(0, again), [], "there is a worker left");
    assert!(matches!(queue.try_take(1, true), Take::Chunk(_)));
    assert!(matches!(queue.finish(own, bad(FailureKind::Error), US), Verdict::Report(_)));
}

/// One worker waits for what the other one has; only cancelling wakes it.
#[test]
fn those_who_wait_hear_of_cancelling() {
    let cancel = CancelToken::new();
    let child = cancel.child();
    let queue = ChunkQueue::divide(&Schedule::Static, 2, 2, Policy::default(), &child).unwrap();
    queue.take(0, true, || ()).unwrap();
    let queue = Arc::new(queue);
    let ((idle, waits), (done, ended)) = (channel(), channel());
    let waiter = Arc::clone(&queue);
    std::thread::spawn(move || {
        // The block of worker 1 is not taken, so it may come back.
        let taken = waiter.take(0, true, || idle.send(()).unwrap());
        done.send(taken).unwrap();
    });
    waits.recv().unwrap();
    // Long enough, mostly, for it to be asleep; if it is not, the test sees less.
    std::thread::sleep(Duration::from_millis(20));
    cancel.cancel();
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(None));
}
