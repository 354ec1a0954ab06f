//! The stamps of a timer.

use crate::Name;
use crate::publish::{Histogram, MarkedLatch, Place};
use crate::raw::Table;

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
    /// Whether it was in a loop when it was first used; a merge changes the class only.
    pub(crate) looped: bool,
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
    /// Where others read how long the iterations were, if they asked for that.
    pub(crate) histogram: Option<Box<Histogram>>,
}

/// Where others read what was measured: as small as can be, since a [`Slot`] has 128 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) latch: Option<MarkedLatch<'static>>,
    /// The number of the node, and two bits above it.
    node: u32,
    /// The latest merge that is in the numbers, the lower half of its number.
    pub(crate) epoch: u32,
}

impl Told {
    const IS_FREE: u32 = 1 << 31;
    const IN_LOOP: u32 = 1 << 30;

    pub(crate) fn place(&self) -> Option<Place> {
        let node = self.node & !(Self::IS_FREE | Self::IN_LOOP);
        self.latch.map(|latch| Place { node, latch })
    }

    /// Takes a place. Beyond 2³⁰ there is none: numbers are counted, and a node takes bytes.
    pub(crate) fn set_place(&mut self, place: Option<Place>) {
        let place = place.filter(|place| place.node < Self::IN_LOOP);
        let bits = self.node & (Self::IS_FREE | Self::IN_LOOP);
        self.node = bits | place.map_or(0, |place| place.node);
        self.latch = place.map(|place| place.latch);
    }

    /// Whether others were told that it counts nothing.
    pub(crate) fn is_free(&self) -> bool {
        self.node & Self::IS_FREE != 0
    }

    pub(crate) fn set_free(&mut self, is_free: bool) {
        self.node = self.node & !Self::IS_FREE | if is_free { Self::IS_FREE } else { 0 };
    }

    /// Whether others were told that its iterations are passes of a loop.
    pub(crate) fn in_loop(&self) -> bool {
        self.node & Self::IN_LOOP != 0
    }

    pub(crate) fn set_in_loop(&mut self, in_loop: bool) {
        self.node = self.node & !Self::IN_LOOP | if in_loop { Self::IN_LOOP } else { 0 };
    }
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
        self.looped = class != Class::Flat;
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

    /// Begins the slot of a name that was not used in this run, outside of loops, where it has
    /// its own place in the table; says whether it has.
    #[inline]
    pub(crate) fn first(&mut self, name: Name, elapsed: i64, tag: u64) -> bool {
        let order = self.n_used + 1;
        let Some(slot) = self.direct(name).filter(|slot| slot.order == 0) else { return false };
        slot.renew(Class::Flat, order);
        slot.pending = true;
        (slot.cum, slot.cur, slot.tag) = (elapsed, elapsed, tag);
        self.n_used = order;
        true
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
