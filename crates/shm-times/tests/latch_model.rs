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

use latch::{Latch, MarkedLatch, Values};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
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

/// A latch with its mark, and a word that is changed beside them.
#[derive(Debug, Default)]
struct Marked {
    latch: Latch,
    mark: AtomicU64,
    beside: AtomicU64,
}

impl Marked {
    fn get(&self) -> MarkedLatch<'_> {
        MarkedLatch::new(&self.latch, &self.mark)
    }
}

/// What a reader that keeps what it saw knows: the number of the publication, and what it said.
type Known = (u64, Values);

/// A look of such a reader: the mark first, and the latch only where the mark says something else
/// than what is known.
fn look(marked: &Marked, known: &mut Known) {
    if let Some(newer) = marked.get().read_since(known.0) {
        *known = newer;
    }
}

fn model(preemptions: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(check);
}

/// Whoever looks at the latch itself, as a reader that knows nothing yet does, may see a publication
/// at the moment in which it is one. A reader that goes by the marks must not then pass it over, also
/// where the writer never gets any further.
#[test]
fn what_anybody_has_seen_no_mark_hides() {
    model(2, || {
        let marked = Arc::new(Marked::default());
        let writer = {
            let marked = Arc::clone(&marked);
            thread::spawn(move || (1..=2).for_each(|n| marked.get().publish(nth(n))))
        };
        let mut known = (0, Values::default());
        look(&marked, &mut known);
        assert_eq!(known.1, nth(known.0), "torn");
        let fresh = marked.latch.read().expect("the writer publishes a few times only");
        look(&marked, &mut known);
        assert_eq!(known.1, nth(known.0), "torn");
        assert!(fresh.num <= known.0, "publication {} was passed over at {}", fresh.num, known.0);
        writer.join().expect("no panic");
        look(&marked, &mut known);
        assert_eq!(known, (2, nth(2)), "lost");
    });
}

/// A mark that is not ahead of what was seen says that no later publication had begun: what lies in
/// the copies is what was seen, so there is no need to read it again.
#[test]
fn while_the_mark_stands_still_nothing_was_written() {
    model(2, || {
        let marked = Arc::new(Marked::default());
        let writer = {
            let marked = Arc::clone(&marked);
            thread::spawn(move || {
                marked.get().publish(nth(1));
                marked.get().change(|| marked.beside.store(1, Ordering::Relaxed));
            })
        };
        let beside = marked.beside.load(Ordering::Relaxed);
        loom::sync::atomic::fence(Ordering::Acquire);
        let mark = marked.mark.load(Ordering::Relaxed);
        // What is changed beside the latch is marked before.
        assert!(beside == 0 || mark == 2, "changed under mark {mark}");
        let mut known = (0, Values::default());
        look(&marked, &mut known);
        if known.0 == 2 {
            assert_eq!(marked.beside.load(Ordering::Relaxed), 1, "changed behind the mark");
        }
        writer.join().expect("no panic");
    });
}
