//! How what a timer measures is told to others while it runs.
//!
//! The timer knows nothing of shared memory. It asks a [`Publisher`] for a place for each of its
//! nodes (timers and stamps), and from then on writes into the [`Latch`] that it was given. A
//! latch has two copies of five numbers and a sequence number that says which of them counts, so
//! that its one writer may be stopped at any instruction without leaving it unreadable.
//!
//! The tree of nodes only grows. What changes later is the position of a timer, one word. When a
//! timer that awaited its position turns out to be a further run of one that is there already, the
//! numbers are added to that one's under the protection of a merge (see
//! [`Publisher::begin_merge`]), and its own nodes become free for the next run.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};
}
mod histogram;
mod latch;

pub use histogram::{
    BUCKETS_OF_PART, Buckets, Histogram, MarkedBuckets, N_BUCKETS, N_PARTS, bucket_of, move_counts,
};
pub use latch::{Latch, MarkedLatch, Values};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeKind {
    /// The root timer of a thread.
    Root = 1,
    /// A timer under another: a subdivision.
    Subdivision = 2,
    /// The timer of a named loop.
    Loop = 3,
    /// A stamp.
    Stamp = 4,
}

/// Where a timer belongs in its parent, and of a stamp, whether it is in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It waits for the parent's next stamp, or is a root or a stamp and has none.
    Awaiting,
    /// It is a stamp, and its iterations are passes of a loop.
    InLoop,
    /// It belongs to this stamp, a node of the same parent.
    Stamp(u32),
    /// No stamp took it.
    Unassigned,
    /// It and everything under it counts nothing; stamps may be free, too. Whoever made the node
    /// may use it again for one of its name: first all numbers under it become zero, then it gets
    /// another position.
    Free,
}

/// A place for the numbers of a node.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The node's number, by which others name it as parent or position.
    pub node: u32,
    /// Where its numbers go.
    pub latch: MarkedLatch<'static>,
}

/// Takes what one thread's timer measures; shm-times has the one that others can read.
///
/// No method may panic. When there is no room left, [`Publisher::add`] gives nothing, and the
/// timer goes on privately.
///
/// Dropping the publisher says that the timer has ended: what is published then is kept among the
/// times of finished threads, and its nodes go to the next thread. Nothing may be written through
/// its places after that. A timer whose root is still running then counts up to that moment.
pub trait Publisher: std::fmt::Debug + Send {
    /// A word that is zero once the process was forked: then every place belongs to the parent,
    /// and nothing may be written to it. The timer looks at it before every write.
    fn armed(&self) -> &'static AtomicU32;

    /// Makes the publisher of the thread in a forked child; `None` when that cannot be shared.
    fn forked(&mut self) -> Option<Box<dyn Publisher>>;

    /// Makes a node, all numbers zero; `None` when there is no room for it.
    fn add(&mut self, kind: NodeKind, name: &str, parent: Option<u32>) -> Option<Place>;

    /// Makes the histogram of a stamp that was just made; `None` when nobody asked for histograms or
    /// there is no room for it.
    fn histogram(&mut self, _stamp: u32) -> Option<Histogram> {
        None
    }

    /// Gives a node another name.
    fn rename(&mut self, node: u32, name: &str);

    /// Says where a timer belongs now, or that a stamp is in a loop; one word, so seen at once or not at all. Only between the
    /// publications of the node.
    fn set_position(&mut self, node: u32, position: Position);

    /// Begins to add the timer `from`, which awaited its position, to `into`, with everything
    /// below. Gives the epoch that the timer writes into each record of `into` as it adds to it.
    ///
    /// Until [`Publisher::end_merge`], a reader counts a node under `from` only where its
    /// counterpart under `into` does not have that epoch yet, so that a writer that is killed
    /// half-way leaves nothing lost and nothing counted twice.
    fn begin_merge(&mut self, from: u32, into: u32) -> u64;

    /// Ends the merge: `from` becomes [`Position::Free`].
    fn end_merge(&mut self);

    /// Where the thread is now: `ticks` is the node of the innermost timer plus one (0: nowhere),
    /// `num` the depth, `last` the clock at the latest change.
    fn current(&self) -> MarkedLatch<'static>;

    /// Tells how many ticks the clock makes in a second, once, before any number is published.
    fn set_clock(&mut self, ticks_per_second: f64, ticks_now: u64);
}

/// What makes the publisher of a thread; `None` when the thread's times stay private.
pub type PublisherFactory = fn() -> Option<Box<dyn Publisher>>;

static FACTORY: OnceLock<PublisherFactory> = OnceLock::new();

/// Says who makes publishers from now on, for every timer that starts after this call; gives
/// `false`, and changes nothing, when that was said before.
pub fn set_publisher_factory(factory: PublisherFactory) -> bool {
    FACTORY.set(factory).is_ok()
}

/// Makes a publisher for a timer that starts; `None` when nobody shares times.
#[must_use]
pub fn new_publisher() -> Option<Box<dyn Publisher>> {
    FACTORY.get().and_then(|factory| factory())
}
