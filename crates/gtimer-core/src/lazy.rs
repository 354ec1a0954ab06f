//! Scopes in which nothing happens, at the cost of two clock reads.
//!
//! A run of a subdivision has a node of its own, which is merged into the one before of its name
//! when it ends; that costs some two hundred instructions. Of a scope with nothing inside only its
//! time is added. So a scope whose name awaits its position already is only noted down when it
//! begins: its node is made by [`Timer::wake`], which every other operation calls first. When the
//! scope ends before there was one, its time is added to that of [`Ended`], where it waits until
//! somebody looks at the subdivision.

use crate::clock::Clock;
use crate::name::SHIFT;
use crate::node::{Child, Node, Origin, flag};
use crate::{Name, Timer};

/// The scope that has begun, while the timer around it has [`flag::LAZY`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lazy {
    name: u32,
    start: i64,
    /// The tag that the run of such a scope has. A scope that ends without a node leaves it to the
    /// next, because only its own guard, which is gone, knew it. Zero before the first.
    run: u64,
}

/// The runs of one name that ended without a node. Where it has a name, a timer of that name that
/// ran here awaits its position.
// The size is a power of two, so that its place need not be multiplied.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(crate) struct Ended {
    /// Zero in an empty place.
    name: u32,
    runs: u64,
    ticks: i64,
}

/// One place for each number of a name, modulo their count; who finds it taken has none.
pub(crate) type EndedRuns = [Ended; N_ENDED];

const N_ENDED: usize = 8;

#[inline(always)]
fn place(id: u32) -> usize {
    (id >> SHIFT) as usize % N_ENDED
}

impl Node {
    /// Notes that a scope of this name begins, if a run of it can do without a node; gives its tag.
    #[inline(always)]
    pub(crate) fn begin_lazy(&mut self, name: Name, clock: impl Fn() -> u64) -> Option<u64> {
        if self.flags != flag::AWAITING || self.ended[place(name.id())].name != name.id() {
            return None;
        }
        self.flags = flag::AWAITING | flag::LAZY;
        self.lazy.name = name.id();
        self.lazy.start = clock() as i64;
        Some(self.lazy.run)
    }

    /// Ends the scope of this tag, if it has no node; says whether it did.
    #[inline(always)]
    pub(crate) fn end_lazy(&mut self, run: u64, clock: impl Fn() -> u64) -> bool {
        if self.flags != flag::AWAITING | flag::LAZY || self.lazy.run != run {
            return false;
        }
        let ended = &mut self.ended[place(self.lazy.name)];
        ended.ticks += clock() as i64 - self.lazy.start;
        ended.runs += 1;
        self.flags = flag::AWAITING;
        self.calls += 1;
        self.last += self.cost;
        true
    }

    /// Adds the runs that ended without a node to that of their name, which awaits its position
    /// here and may go from there.
    #[inline]
    pub(crate) fn gather(&mut self, into: &mut Self) {
        let ended = &mut self.ended[place(into.name.id())];
        if ended.name == into.name.id() {
            into.runs += ended.runs;
            into.spans += ended.ticks;
            *ended = Ended::default();
        }
    }

    /// The same for all that await their position.
    pub(crate) fn gather_all(&mut self) {
        let mut awaiting = std::mem::take(&mut self.awaiting);
        for child in &mut awaiting {
            if let Child::Ran(node) = child {
                self.gather(node);
            }
        }
        self.awaiting = awaiting;
    }
}

impl<C: Clock> Timer<C> {
    /// Begins a scope; gives the tag of its run.
    #[inline(always)]
    pub(crate) fn begin_scope(&mut self, name: Name) -> u64 {
        let clock = &self.clock;
        match self.top.begin_lazy(name, || clock.direct_ticks()) {
            Some(run) => run,
            None => self.begin(name, Origin::Scope, None),
        }
    }

    /// Closes whatever is open above the run of this tag, and that run; nothing, if it is closed.
    #[inline(always)]
    pub(crate) fn close_run(&mut self, run: u64) {
        let clock = &self.clock;
        if !self.top.end_lazy(run, || clock.direct_ticks()) {
            self.close_any(run);
        }
    }

    /// From now on runs of a name that awaits its position, and whose node has just been added to
    /// the list, need no node where nothing happens in them.
    #[inline]
    pub(crate) fn expect_lazy(&mut self, name: Name) {
        if self.top.lazy.run == 0 {
            self.top.lazy.run = self.tag();
        }
        let ended = &mut self.top.ended[place(name.id())];
        if ended.name == 0 {
            ended.name = name.id();
        }
    }

    /// Makes the node of a scope that has begun without one, because something happens in it.
    #[inline(always)]
    pub(crate) fn wake(&mut self) {
        if self.top.is(flag::LAZY) {
            self.open_lazy();
        }
    }

    #[inline(never)]
    fn open_lazy(&mut self) {
        let next = self.tag();
        let top = &mut *self.top;
        top.flags &= !flag::LAZY;
        let Lazy { name, start, run } = top.lazy;
        top.lazy.run = next;
        let node = top.spare(Name::of(name));
        self.put(node, Origin::Scope, None);
        self.top.open(start, run, self.settings.unique);
        self.top.flags = self.flags;
        self.top.cost = self.cost;
    }

    /// Whether every call passes; if not, there is a node for what has the focus from here on.
    #[inline(always)]
    pub(crate) fn passes(&mut self) -> bool {
        self.wake();
        self.is_disabled()
    }

    /// The name of the scope that has the focus without having a node.
    pub(crate) fn lazy(&self) -> Option<Name> {
        self.top.is(flag::LAZY).then(|| Name::of(self.top.lazy.name))
    }
}
