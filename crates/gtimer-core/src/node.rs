//! What a timer holds: stamps, subdivisions, groups of workers.

use crate::publish::Place;
use crate::raw::Table;
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
    /// Those that are a timer's, the same at every level.
    pub(crate) const OF_TIMER: u32 = SHARED | EXACT | PRINT | INDIRECT | DISABLED;
}

/// No tag of a pass; see [`Node::fold`].
pub(crate) const NEVER: u64 = u64::MAX;

/// How a stamp counts iterations; settled by its first use in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Class {
    /// Outside of loops: one iteration, however often it is added to.
    #[default]
    Flat,
    /// In a loop that does not keep its iterations.
    Plain,
    /// In a loop that does.
    Kept,
}

/// One stamp. Times are ticks; they may be a little negative where the calibrated cost of a stamp
/// is more than it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    /// Zero in an empty place of the table.
    pub(crate) name: u32,
    pub(crate) class: Class,
    /// Whether the iteration since `mark` is still growing.
    pub(crate) pending: bool,
    pub(crate) has_itrs: bool,
    /// The rank of its first use in this run, from one; zero when it was not used.
    pub(crate) order: u32,
    /// The tag of the pass, or of the run, of its latest use.
    pub(crate) tag: u64,
    /// The tag of the pass in which a loop of this name was entered.
    pub(crate) entered: u64,
    pub(crate) cum: i64,
    /// The pending iteration; of a flat stamp that is `cum`.
    pub(crate) cur: i64,
    pub(crate) num: u64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) itrs: Vec<i64>,
    /// How many of `itrs` are in `num`, `min` and `max`.
    pub(crate) counted: u32,
    pub(crate) told: Told,
}

/// Where others read what was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) place: Option<Place>,
    /// The latest merge that is in the numbers.
    pub(crate) epoch: u64,
    /// Whether others were told that it counts nothing.
    pub(crate) is_free: bool,
}

impl Slot {
    /// Ends the pending iteration, if there is one.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        match self.class {
            Class::Flat => self.count(self.cum),
            Class::Plain => self.count(self.cur),
            Class::Kept => self.count_kept(),
        }
    }

    /// How long the pending iteration is by now, if it is to be counted.
    pub(crate) fn pending_time(&self) -> Option<i64> {
        let time = match self.class {
            Class::Flat => Some(self.cum),
            Class::Plain => Some(self.cur),
            Class::Kept => self.itrs.last().copied().filter(|&time| time != 0),
        };
        time.filter(|_| self.pending)
    }

    /// Adds to the pending iteration.
    pub(crate) fn extend(&mut self, elapsed: i64) {
        self.cum += elapsed;
        match self.class {
            Class::Flat => {}
            Class::Plain => self.cur += elapsed,
            Class::Kept => {
                if let Some(last) = self.itrs.last_mut() {
                    *last += elapsed;
                }
            }
        }
    }

    /// Forgets the pending iteration; its time stays in the sum.
    pub(crate) fn lose(&mut self) {
        if self.class != Class::Flat && std::mem::take(&mut self.pending) {
            // Nothing else is kept there, because it was pending.
            if self.class == Class::Kept {
                self.itrs.pop();
                // Those before are counted by whoever ends this one, which nobody does now.
                self.count_kept();
            }
        }
    }

    /// Counts an iteration.
    #[inline(always)]
    fn count(&mut self, time: i64) {
        // Most iterations are neither, and then nothing is written.
        if time > self.max {
            self.max = time;
        }
        if time < self.min {
            self.min = time;
        }
        self.num += 1;
    }

    /// Counts the kept iterations that are not yet; those of zero length never are.
    pub(crate) fn count_kept(&mut self) {
        let ended = self.itrs.len() - usize::from(self.pending);
        for at in self.counted as usize..ended {
            if self.itrs[at] != 0 {
                self.count(self.itrs[at]);
            }
        }
        self.counted = ended as u32;
    }

    /// Ends the iteration of the pass before and begins one in the pass `tag`. Says whether it could
    /// without allocating.
    #[inline(always)]
    pub(crate) fn next(&mut self, elapsed: i64, tag: u64) -> bool {
        if self.class == Class::Plain {
            self.count(self.cur);
        } else {
            // They are counted when somebody asks.
            if self.itrs.len() == self.itrs.capacity() {
                return false;
            }
            self.itrs.push(elapsed);
            self.cum += elapsed;
            self.tag = tag;
            return true;
        }
        self.cur = elapsed;
        self.cum += elapsed;
        self.tag = tag;
        true
    }

    /// Begins an iteration in the pass `tag`.
    pub(crate) fn begin(&mut self, elapsed: i64, tag: u64) {
        self.settle();
        self.pending = true;
        if self.class == Class::Kept {
            if self.itrs.len() == self.itrs.capacity() {
                // Four times as many, and twice as many once that is much.
                self.itrs.reserve(self.itrs.len().max(3 * self.itrs.len().clamp(64, 1 << 14)));
            }
            self.itrs.push(elapsed);
        }
        self.cur = elapsed;
        self.cum += elapsed;
        self.tag = tag;
    }

    /// Makes it new, in a class; what it has allocated and published stays.
    pub(crate) fn renew(&mut self, class: Class, order: u32) {
        self.class = class;
        self.order = order;
        self.has_itrs = class == Class::Kept;
        (self.pending, self.tag, self.entered) = (false, 0, 0);
        (self.cum, self.cur, self.num, self.min, self.max) = (0, 0, 0, i64::MAX, 0);
        self.itrs.clear();
        self.counted = 0;
    }

    /// The shortest iteration, zero where there is none.
    pub(crate) fn shortest(&self) -> i64 {
        if self.num == 0 { 0 } else { self.min }
    }
}

/// The stamps of a timer: a table in which the place of a name is its number, by which it is found
/// without hashing and, mostly, at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    table: Table,
    n_names: usize,
    /// How many were used in this run.
    n_used: u32,
}

impl Slots {
    /// The slot where the name has its own place in the table; otherwise perhaps none.
    #[inline(always)]
    pub(crate) fn direct(&mut self, name: Name) -> Option<&mut Slot> {
        let slot = self.table.home(name.id());
        (slot.name == name.id()).then_some(slot)
    }

    fn at(&self, name: Name) -> Option<usize> {
        let mask = self.table.len() - 1;
        let mut at = name.number() as usize & mask;
        // A place in four is free, so this ends.
        loop {
            match self.table[at].name {
                0 => return None,
                id if id == name.id() => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// The slot, if the name was used in this run.
    pub(crate) fn used(&mut self, name: Name) -> Option<&mut Slot> {
        let at = self.at(name)?;
        Some(&mut self.table[at]).filter(|slot| slot.order != 0)
    }

    /// The slot of a name, whether used or not, so that what is published of it is not lost.
    pub(crate) fn entry(&mut self, name: Name) -> &mut Slot {
        let at = match self.at(name) {
            Some(at) => at,
            None => self.insert(name),
        };
        &mut self.table[at]
    }

    /// The slot of a name that was not used in this run, made new.
    pub(crate) fn begin(&mut self, name: Name, class: Class) -> &mut Slot {
        self.n_used += 1;
        let order = self.n_used;
        let slot = self.entry(name);
        slot.renew(class, order);
        slot
    }

    fn insert(&mut self, name: Name) -> usize {
        self.n_names += 1;
        let n_places = self.table.len();
        let taken = self.table.home(name.id()).name != 0;
        // Twice the places where two names want the same one, up to eight for each name.
        if self.n_names * 4 > n_places * 3 || (taken && n_places < 8 * self.n_names) {
            let old = std::mem::replace(&mut self.table, Table::new(2 * n_places));
            for slot in old.into_iter().filter(|slot| slot.name != 0) {
                let at = self.free(slot.name);
                self.table[at] = slot;
            }
        }
        let at = self.free(name.id());
        self.table[at].name = name.id();
        at
    }

    fn free(&self, name: u32) -> usize {
        let mask = self.table.len() - 1;
        let mut at = Name::of(name).number() as usize & mask;
        while self.table[at].name != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// How many names were used in this run.
    pub(crate) fn n_used(&self) -> u32 {
        self.n_used
    }

    /// The places of the used slots, in the order of their first use.
    fn ranks(&self) -> Vec<usize> {
        let mut places = vec![0; self.n_used as usize];
        for (at, slot) in self.table.iter().enumerate() {
            if let Some(place) =
                (slot.order as usize).checked_sub(1).and_then(|i| places.get_mut(i))
            {
                *place = at;
            }
        }
        places
    }

    /// The used slots, in the order of their first use.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Slot> {
        self.ranks().into_iter().map(|at| &self.table[at])
    }

    /// Hands out the used slots in the order of their first use; afterwards none is used.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&mut Slot)) {
        match self.n_used {
            0 => {}
            1 => {
                if let Some(slot) = self.table.iter_mut().find(|slot| slot.order != 0) {
                    take(slot);
                    slot.order = 0;
                }
            }
            _ => {
                for at in self.ranks() {
                    take(&mut self.table[at]);
                    self.table[at].order = 0;
                }
            }
        }
        self.n_used = 0;
    }

    /// Every slot that has a name, used or not.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.table.iter_mut().filter(|slot| slot.name != 0)
    }

    /// Forgets every use.
    pub(crate) fn clear(&mut self) {
        self.all_mut().for_each(|slot| (slot.order, slot.tag) = (0, 0));
        self.n_used = 0;
    }

    /// The sum of all stamps.
    pub(crate) fn sum(&self) -> i64 {
        self.table.iter().filter(|slot| slot.order != 0).map(|slot| slot.cum).sum()
    }
}

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
    /// Whether it ran here and has this name.
    #[inline]
    pub(crate) fn is_run_of(&self, name: Name) -> bool {
        matches!(self, Self::Ran(node) if node.name == name)
    }

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
        Some(now)
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

    /// Whether nothing was measured in it but its time, and nothing is to be listed.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.slots.n_used() == 0
            && self.registered.is_empty()
            && self.timers.is_empty()
            && self.groups.is_empty()
            && self.in_loop.is_none()
            && self.own == 0
            && self.own_attached == 0.0
            && self.spans == 0
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
        self.awaiting_groups.clear();
        while let Some(child) = self.awaiting.pop() {
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
