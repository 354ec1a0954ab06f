//! The record with two copies under the C11 memory model: every interleaving, every value that a
//! relaxed load may give (loom), within the bounds said at each test.
//!
//! The file of gtimer-core is included as it is, with loom's atomics in place of std's.

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

#[path = "../../gtimer-core/src/publish/latch.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module made of a file of another crate")]
mod latch;

use latch::{Latch, Values};
use loom::sync::Arc;
use loom::thread;

/// The numbers of the `n`-th publication: any two differ in every field.
fn nth(n: u64) -> Values {
    Values { ticks: n, num: n, min: n, max: n, last: n, epoch: n }
}

fn publications(n: u64, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let latch = Arc::new(Latch::default());
        let writer = {
            let latch = Arc::clone(&latch);
            thread::spawn(move || (1..=n).for_each(|n| latch.publish(nth(n))))
        };
        // A read that finds the writer busy 64 times is no fault, but cannot be here.
        let first = latch.read().expect("the writer publishes a few times only");
        let second = latch.read().expect("the writer publishes a few times only");
        assert_eq!(first, nth(first.num), "torn");
        assert_eq!(second, nth(second.num), "torn");
        assert!(first.num <= second.num, "backwards");
        writer.join().expect("no panic");
        assert_eq!(latch.read(), Some(nth(n)), "lost");
    });
}

#[test]
fn one_publication_is_seen_whole_or_not_at_all() {
    publications(1, 3);
}

#[test]
fn two_publications_are_seen_whole_and_in_order() {
    // The second writes over what a reader may be reading.
    publications(2, 2);
}
