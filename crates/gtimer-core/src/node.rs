//! What a timer holds: its stamps (see [`crate::slot`]), subdivisions, groups of workers.

use crate::lazy::{EndedRuns, Lazy};
use crate::slot::{Class, Slot, Slots, Told};
use crate::{Name, Times};

/// Bits of [`Node::flags`]; while none is set, a stamp may take the short way.
pub(crate) mod flag {
    /// The timer is stopped.
    pub(crate) const STOPPED: u32 = 1;
    /// The timer is paused.
    pub(crate) const PAUSED: u32 = 1 << 1;
    /// Something awaits its position.
    pub(crate) const AWAITING: u32 = 1 << 2;
    /// Others read what is measured.
    pub(crate) const SHARED: u32 = 1 << 3;
    /// The timer's own time is measured, not computed.
    pub(crate) const EXACT: u32 = 1 << 4;
    /// Stamps are printed.
    pub(crate) const PRINT: u32 = 1 << 5;
    /// The clock has no direct ticks.
    pub(crate) const INDIRECT: u32 = 1 << 6;
    /// Every call passes.
    pub(crate) const DISABLED: u32 = 1 << 7;
    /// A scope has begun below that has no node yet.
    pub(crate) const LAZY: u32 = 1 << 8;
    /// Those that are a timer's, the same at every level.
    pub(crate) const OF_TIMER: u32 = SHARED | EXACT | PRINT | INDIRECT | DISABLED;
}

/// No tag of a pass; see [`Node::fold`].
pub(crate) const NEVER: u64 = u64::MAX;

/// How a timer came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is the root.
    Root,
    /// By `subdivide`, so `end_subdivision` may end it.
    User,
    /// By a scope, which ends it.
    Scope,
    /// It is a named loop.
    Loop,
}

/// A timer below another: one that ran here, or one that was attached.
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Ran(Box<Node>),
    Attached(Box<Times>),
}

impl Child {
    pub(crate) fn is_named(&self, name: Name) -> bool {
        match self {
            Self::Ran(node) => node.name == name,
            Self::Attached(times) => times.name == name.as_str(),
        }
    }
}

/// Where timers belong in their parent.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The stamp; `None` where none took them. (So a stamp may be called "UNASSIGNED".)
    pub(crate) position: Option<Name>,
    /// No two have one name.
    pub(crate) timers: Vec<Child>,
}

/// Workers that ran side by side.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) position: Option<Name>,
    pub(crate) name: Name,
    /// No two have one name.
    pub(crate) workers: Vec<Times>,
}

/// The loop that a timer is in.
#[derive(Clone, Debug)]
pub(crate) struct InLoop {
    /// A tag, by which the handle finds its loop.
    pub(crate) id: u64,
    pub(crate) class: Class,
    pub(crate) registered: Vec<Name>,
    /// Whether a pass is under way.
    pub(crate) open: bool,
    /// The timer's own time when the latest pass ended.
    pub(crate) own: i64,
}

/// A timer: its stamps and what is below it, and, while it is open, where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    // What every stamp touches comes first.
    pub(crate) flags: u32,
    /// How often the cost of a stamp has to be taken off.
    pub(crate) calls: i64,
    /// What a stamp costs, in ticks.
    pub(crate) cost: i64,
    /// When the interval began that the next stamp ends.
    pub(crate) last: i64,
    /// The tag of the pass, or of the run outside of loops. Tags only grow.
    pub(crate) tag: u64,
    /// The first tag of the loop; [`NEVER`] outside of loops.
    pub(crate) base: u64,
    /// The tag of the stamps that are simply added to: that of the run if names need not be unique,
    /// none in a loop.
    pub(crate) fold: u64,
    /// The same where a stamp says that it may be added to.
    pub(crate) fold_add: u64,
    /// In a loop the tag of the pass before, whose stamps begin their next iteration.
    pub(crate) before: u64,
    pub(crate) slots: Slots,
    pub(crate) lazy: Lazy,
    /// What is still to be added to those that await their position.
    pub(crate) ended: EndedRuns,

    /// The tag of the run.
    pub(crate) run: u64,
    /// No interval is open: it is paused.
    pub(crate) no_last: bool,
    pub(crate) start: i64,
    /// Finished spans.
    pub(crate) spans: i64,
    /// Own time, here and below, apart from `calls`.
    pub(crate) own: i64,
    /// Own time of attached workers, in s.
    pub(crate) own_attached: f64,
    pub(crate) name: Name,
    pub(crate) origin: Origin,
    pub(crate) save_itrs: bool,
    pub(crate) registered: Vec<Name>,
    pub(crate) in_loop: Option<InLoop>,
    pub(crate) awaiting: Vec<Child>,
    pub(crate) awaiting_groups: Vec<Group>,
    pub(crate) timers: Vec<At>,
    pub(crate) groups: Vec<Group>,
    /// Timers that were merged into others, kept for the next run of their name.
    #[expect(clippy::vec_box, reason = "they change places with what has the focus, by pointer")]
    pub(crate) spare: Vec<Box<Node>>,
    pub(crate) runs: u64,
    /// The part of `own` that is in the timers below that were kept.
    pub(crate) own_below: i64,
    pub(crate) told: Told,
}

impl Node {
    pub(crate) fn new(name: Name) -> Self {
        Self {
            flags: 0,
            calls: 0,
            cost: 0,
            last: 0,
            tag: 0,
            base: NEVER,
            fold: NEVER,
            fold_add: NEVER,
            before: NEVER,
            slots: Slots::default(),
            lazy: Lazy::default(),
            ended: EndedRuns::default(),
            run: 0,
            no_last: false,
            start: 0,
            spans: 0,
            own: 0,
            own_attached: 0.0,
            name,
            origin: Origin::User,
            save_itrs: true,
            registered: Vec::new(),
            in_loop: None,
            awaiting: Vec::new(),
            awaiting_groups: Vec::new(),
            timers: Vec::new(),
            groups: Vec::new(),
            spare: Vec::new(),
            runs: 0,
            own_below: 0,
            told: Told::default(),
        }
    }

    /// Begins a run at `now`, outside of loops; nothing that was measured is touched.
    #[inline]
    pub(crate) fn open(&mut self, now: i64, tag: u64, unique: bool) {
        self.flags = 0;
        self.calls = 0;
        self.no_last = false;
        (self.start, self.last) = (now, now);
        self.run = tag;
        self.runs = 1;
        self.leave_loop(unique);
    }

    /// Where its stamps are when it is in no loop.
    pub(crate) fn leave_loop(&mut self, unique: bool) {
        self.in_loop = None;
        self.tag = self.run;
        (self.base, self.before) = (NEVER, NEVER);
        self.set_unique(unique);
    }

    /// Says whether names have to be unique, which in a loop concerns the long way only.
    #[inline]
    pub(crate) fn set_unique(&mut self, unique: bool) {
        if self.in_loop.is_none() {
            self.fold_add = self.run;
            self.fold = if unique { NEVER } else { self.run };
        }
    }

    /// Begins a pass of the loop that it is in.
    pub(crate) fn open_pass(&mut self, tag: u64) {
        self.before = self.tag;
        self.tag = tag;
    }

    /// The short way of a stamp on a timer without flags: of a name that is known, and is simply
    /// added to, or was stamped in the pass before.
    #[inline(always)]
    pub(crate) fn short(&mut self, name: Name, fold: u64, clock: impl Fn() -> u64) -> Option<i64> {
        self.short_slot(name, fold, clock).map(|(now, _)| now)
    }

    /// The same; gives the stamp, too.
    #[inline(always)]
    pub(crate) fn short_slot(
        &mut self,
        name: Name,
        fold: u64,
        clock: impl Fn() -> u64,
    ) -> Option<(i64, &mut Slot)> {
        let slot = self.slots.direct(name)?;
        let now;
        if slot.tag == fold {
            now = clock() as i64;
            slot.cum += now - self.last;
        } else {
            if slot.tag != self.before {
                return None;
            }
            now = clock() as i64;
            if !slot.next(now - self.last, self.tag) {
                return None;
            }
        }
        self.last = now + self.cost;
        self.calls += 1;
        Some((now, slot))
    }

    /// The first stamp of a name in this run, on a timer without flags that is in no loop; says
    /// whether it could: the name must have its own place in the table.
    #[inline]
    pub(crate) fn first(&mut self, name: Name, now: i64) -> bool {
        if self.in_loop.is_some() || !self.slots.first(name, now - self.last, self.tag) {
            return false;
        }
        self.last = now + self.cost;
        self.calls += 1;
        true
    }

    /// Whether it has one of these flags.
    #[inline]
    pub(crate) fn is(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// The list of a position, made where it is new.
    pub(crate) fn at(&mut self, position: Option<Name>) -> &mut Vec<Child> {
        let at = self.timers.iter().position(|at| at.position == position);
        let at = at.unwrap_or_else(|| {
            self.timers.push(At { position, timers: Vec::new() });
            self.timers.len() - 1
        });
        &mut self.timers[at].timers
    }

    /// A timer of this name that was used before and holds nothing, or a new one.
    pub(crate) fn spare(&mut self, name: Name) -> Box<Self> {
        match self.spare.iter().rposition(|node| node.name == name) {
            Some(at) => self.spare.swap_remove(at),
            None => Box::new(Self::new(name)),
        }
    }

    /// Whether it is no loop, is in none, and has only stamps to show, or to be listed, but for
    /// what awaits its position.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.origin != Origin::Loop
            && self.in_loop.is_none()
            && self.registered.is_empty()
            && self.timers.is_empty()
            && self.groups.is_empty()
            && self.own_attached == 0.0
    }

    /// Forgets what was measured, so that only what a further run can use again is left.
    pub(crate) fn empty(&mut self) {
        self.slots.clear();
        self.drop_awaiting();
        (self.spans, self.own, self.own_below, self.own_attached, self.runs) = (0, 0, 0, 0.0, 0);
        self.groups.clear();
        for child in std::mem::take(&mut self.timers).into_iter().flat_map(|at| at.timers) {
            self.set_aside(child);
        }
    }

    /// Forgets what awaits its position.
    pub(crate) fn drop_awaiting(&mut self) {
        if !self.awaiting_groups.is_empty() {
            self.awaiting_groups.clear();
        }
        while let Some(mut child) = self.awaiting.pop() {
            if let Child::Ran(node) = &mut child {
                self.gather(node);
            }
            self.set_aside(child);
        }
    }

    fn set_aside(&mut self, child: Child) {
        if let Child::Ran(mut node) = child {
            node.empty();
            self.spare.push(node);
        }
    }
}
