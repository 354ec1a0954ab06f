//! What a timer tells others while it runs; see [`crate::publish`] for what they make of it.

use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::merge::{self, Unwatched, Watch};
use crate::node::{Child, Node, Origin, flag};
use crate::publish::{NodeKind, Position, Publisher, Values};
use crate::slot::{Class, Slot, Slots, Told};
use crate::{Name, Timer};

impl Slot {
    /// Its numbers, as if the iteration that is under way ended now.
    #[inline]
    fn values(&mut self, last: i64) -> Values {
        if self.class == Class::Kept {
            self.count_kept();
        }
        let (mut num, mut min, mut max) = (self.num, self.min, self.max);
        if let Some(time) = self.pending_time() {
            num += 1;
            min = min.min(time);
            max = max.max(time);
        }
        Values {
            ticks: ticks(self.cum),
            num,
            min: if num == 0 { u64::MAX } else { ticks(min) },
            max: ticks(max),
            last: ticks(last),
            epoch: u64::from(self.told.epoch),
        }
    }

    /// Publishes its numbers, where there is a place for them.
    #[inline]
    pub(crate) fn tell(&mut self, last: i64) {
        if let Some(latch) = self.told.latch {
            let values = self.values(last);
            let latest = self.pending_time();
            match &mut self.histogram {
                None => latch.publish(values),
                Some(histogram) => {
                    let settled = if self.class == Class::Flat { self.cum } else { self.cur };
                    let taken = histogram.before(values.num, latest.map(ticks), ticks(settled));
                    latch.publish(values);
                    if let Some(bucket) = taken {
                        histogram.take_away(bucket);
                    }
                }
            }
        }
    }

    /// Gives it a place as a stamp of a timer.
    fn place(&mut self, timer: u32, publisher: &mut dyn Publisher) {
        let name = Name::of(self.name).as_str();
        let place = publisher.add(NodeKind::Stamp, name, Some(timer));
        self.told.set_place(place);
        if let Some(place) = place {
            self.histogram = publisher.histogram(place.node).map(Box::new);
        }
    }

    /// The same, and whether it is in a loop, which its first use in a run settles.
    fn tell_all(&mut self, last: i64, publisher: &mut dyn Publisher) {
        if let Some(place) = self.told.place()
            && self.told.in_loop() != self.looped
        {
            self.told.set_in_loop(self.looped);
            let position = if self.looped { Position::InLoop } else { Position::Awaiting };
            publisher.set_position(place.node, position);
        }
        self.tell(last);
    }
}

impl Node {
    fn values(&self, cost: i64) -> Values {
        let runs = !self.is(flag::STOPPED | flag::PAUSED);
        Values {
            ticks: ticks(self.spans),
            num: self.runs,
            min: ticks(self.own + self.calls * cost - self.own_below),
            max: ticks(self.slots.sum()),
            last: if runs { ticks(self.start) } else { 0 },
            epoch: u64::from(self.told.epoch),
        }
    }

    fn tell(&self, cost: i64) {
        if let Some(place) = self.told.place() {
            place.latch.publish(self.values(cost));
        }
    }

    fn kind(&self) -> NodeKind {
        match self.origin {
            Origin::Root => NodeKind::Root,
            Origin::Loop => NodeKind::Loop,
            Origin::User | Origin::Scope => NodeKind::Subdivision,
        }
    }

    /// Gives a stamp its place.
    fn place_stamp(&mut self, name: Name, publisher: &mut dyn Publisher) -> Option<u32> {
        let timer = self.told.place()?.node;
        let slot = self.slots.entry(name);
        if slot.told.place().is_none() {
            slot.place(timer, publisher);
        }
        slot.told.place().map(|place| place.node)
    }

    /// Where others see what belongs to this position.
    fn place_position(
        &mut self,
        position: Option<Name>,
        publisher: &mut dyn Publisher,
    ) -> Option<Position> {
        match position {
            None => Some(Position::Unassigned),
            Some(name) => self.place_stamp(name, publisher).map(Position::Stamp),
        }
    }

    /// Makes what others see of this node, which holds nothing, and of what is below it nothing.
    fn tell_empty(&mut self, publisher: &mut dyn Publisher) {
        for slot in self.slots.all_mut() {
            if let Some(place) = slot.told.place() {
                slot.told.epoch = 0;
                place.latch.publish(Values { min: u64::MAX, ..Values::default() });
                if let Some(histogram) = &mut slot.histogram {
                    histogram.empty();
                }
            }
        }
        self.told.epoch = 0;
        self.spare.iter_mut().for_each(|node| node.tell_free(publisher));
    }

    fn tell_free(&mut self, publisher: &mut dyn Publisher) {
        if let Some(place) = self.told.place()
            && !self.told.is_free()
        {
            self.told.set_free(true);
            publisher.set_position(place.node, Position::Free);
        }
    }

    /// Forgets that it was ever told, with everything that is kept for further runs.
    fn forget_told(&mut self) {
        self.told = Told::default();
        self.spare.clear();
        self.slots = Slots::default();
    }
}

/// What is a little less than nothing is nothing.
fn ticks(ticks: i64) -> u64 {
    ticks.max(0) as u64
}

/// Tells others of a merge while it goes on.
struct Merging<'a> {
    publisher: &'a mut dyn Publisher,
    epoch: u32,
}

impl Watch for Merging<'_> {
    fn make(&mut self, into: &mut Node, new: &Node, position: Option<Name>) -> Option<Box<Node>> {
        let parent = into.told.place()?.node;
        let at = into.place_position(position, self.publisher)?;
        let mut made = into.spare(new.name);
        (made.origin, made.save_itrs) = (new.origin, new.save_itrs);
        made.flags = flag::STOPPED;
        made.tell_empty(self.publisher);
        if made.told.place().is_none() {
            made.told.set_place(self.publisher.add(new.kind(), new.name.as_str(), Some(parent)));
        }
        made.told.set_free(false);
        made.tell(0);
        if let Some(place) = made.told.place() {
            self.publisher.set_position(place.node, at);
        }
        Some(made)
    }

    fn added(&mut self, into: &mut Node) {
        into.told.epoch = self.epoch;
        into.tell(0);
    }

    fn stamp_added(&mut self, told: Told, slot: &mut Slot, new: &Slot, last: i64) {
        slot.told.epoch = self.epoch;
        if slot.told.place().is_none()
            && let Some(timer) = told.place()
        {
            slot.place(timer.node, self.publisher);
        }
        if let (Some(histogram), Some(more)) = (&mut slot.histogram, &new.histogram) {
            histogram.merge(more, slot.num);
        }
        slot.tell_all(last, self.publisher);
    }
}

impl<C: Clock> Timer<C> {
    /// Tells others of everything from now on: what is open begins for them now, and what was
    /// measured before stays private. Gives up the publisher that it had.
    ///
    /// Times that were [attached](Timer::attach_subdivision) are not told, nor what is merged with
    /// them.
    pub fn publish_to(&mut self, mut publisher: Box<dyn Publisher>) {
        if self.passes() {
            return;
        }
        for node in self.around.iter_mut().chain([&mut self.top]) {
            node.gather_all();
        }
        let now = self.now();
        publisher.set_clock(self.clock.ticks_per_second(), ticks(now));
        self.armed = Some(publisher.armed());
        self.publisher = Some(publisher);
        self.set_flag(flag::SHARED, true);
        self.tell_open();
    }

    /// Whether anybody is told; sees to it that a forked child tells by itself.
    #[inline]
    fn tells(&mut self) -> bool {
        match self.armed {
            None => false,
            Some(armed) => armed.load(Ordering::Relaxed) != 0 || self.tell_forked(),
        }
    }

    /// The process was forked: what was measured before belongs to the parent. So the child begins
    /// anew with what is open, and tells it elsewhere.
    #[cold]
    fn tell_forked(&mut self) -> bool {
        let publisher = self.publisher.as_mut().and_then(|publisher| publisher.forked());
        self.armed = publisher.as_ref().map(|publisher| publisher.armed());
        // The parent's must not be ended from here, so it is only let go of once it knows that.
        self.publisher = publisher;
        let now = self.now();
        let tells = self.publisher.is_some();
        let mut inner: Option<(Name, Class)> = None;
        for node in std::iter::once(&mut self.top).chain(self.around.iter_mut().rev()) {
            node.empty();
            node.forget_told();
            (node.start, node.last, node.calls) = (now, now, 0);
            if let Some(in_loop) = &mut node.in_loop {
                in_loop.own = 0;
            }
            // The stamp of a named loop is made when the loop is entered.
            if let Some((name, class)) = inner.take() {
                let tag = node.tag;
                node.slots.begin(name, class).entered = tag;
                node.at(Some(name));
            }
            if node.origin == Origin::Loop {
                inner = node.in_loop.as_ref().map(|in_loop| (node.name, in_loop.class));
            }
        }
        self.set_flag(flag::SHARED, tells);
        if let Some(publisher) = &mut self.publisher {
            publisher.set_clock(self.clock.ticks_per_second(), ticks(now));
            self.tell_open();
        }
        tells
    }

    /// Tells of everything that is open.
    fn tell_open(&mut self) {
        let cost = self.cost;
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        let mut parent: Option<&mut Box<Node>> = None;
        for node in self.around.iter_mut().chain([&mut self.top]) {
            Self::open_for_others(node, parent.as_deref_mut().map(|node| &mut **node), publisher);
            node.tell(cost);
            parent = Some(node);
        }
        self.tell_current();
    }

    /// Makes a place for a timer that has just begun, and its numbers nothing.
    fn open_for_others(
        node: &mut Node,
        mut parent: Option<&mut Node>,
        publisher: &mut dyn Publisher,
    ) {
        node.tell_empty(publisher);
        if node.told.place().is_none() {
            let kind = node.kind();
            let below = parent.as_ref().map(|parent| parent.told.place().map(|place| place.node));
            let place = match below {
                None => publisher.add(kind, node.name.as_str(), None),
                Some(None) => None,
                Some(below) => publisher.add(kind, node.name.as_str(), below),
            };
            node.told.set_place(place);
        }
        let Some(place) = node.told.place() else { return };
        // A loop has its position at once, if it is not to be merged into the one before.
        let position = match &mut parent {
            Some(parent) if node.origin == Origin::Loop => {
                let is_first = !parent.at(Some(node.name)).iter().any(|c| c.is_named(node.name));
                is_first.then(|| parent.place_position(Some(node.name), publisher)).flatten()
            }
            _ => None,
        };
        node.told.set_free(false);
        if parent.is_some() {
            publisher.set_position(place.node, position.unwrap_or(Position::Awaiting));
        }
    }

    /// Another timer has the focus.
    pub(crate) fn tell_focus(&mut self) {
        if self.tells() {
            self.top.tell(self.cost);
            self.tell_current();
        }
    }

    fn tell_current(&mut self) {
        let Some(publisher) = self.publisher.as_deref() else { return };
        let node = self.top.told.place().map_or(0, |place| u64::from(place.node) + 1);
        publisher.current().publish(Values {
            ticks: node,
            num: self.around.len() as u64,
            last: ticks(self.clock.ticks() as i64),
            ..Values::default()
        });
    }

    /// A timer has begun.
    pub(crate) fn tell_begin(&mut self) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        let parent = self.around.last_mut().map(|parent| &mut **parent);
        Self::open_for_others(&mut self.top, parent, publisher);
        self.top.tell(self.cost);
        self.tell_current();
    }

    /// The span of the timer on top has begun or ended.
    pub(crate) fn tell_top(&mut self) {
        if self.tells() {
            self.top.tell(self.cost);
        }
    }

    /// A stamp of the timer on top has other numbers.
    #[inline]
    pub(crate) fn tell_stamp(&mut self, name: Name, at: i64) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        self.top.place_stamp(name, publisher);
        self.top.slots.entry(name).tell_all(at, publisher);
    }

    /// The timer on top is finished.
    pub(crate) fn tell_finish(&mut self) {
        if !self.tells() {
            return;
        }
        for i in 0..self.top.registered.len() {
            let (name, last) = (self.top.registered[i], self.top.last);
            self.tell_stamp(name, last);
        }
        self.top.tell(self.cost);
    }

    /// The timer on top was reset.
    pub(crate) fn tell_reset(&mut self) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        self.top.tell_empty(publisher);
        self.top.tell(self.cost);
        self.tell_current();
    }

    /// The root has another name.
    pub(crate) fn tell_root_name(&mut self) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        let root = self.around.first().unwrap_or(&self.top);
        if let Some(place) = root.told.place() {
            publisher.rename(place.node, root.name.as_str());
        }
    }

    /// A pass of the named loop on top has ended, and its stamp is that of the timer around it.
    pub(crate) fn tell_pass(&mut self, now: i64) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        let Some(parent) = self.around.last_mut() else { return };
        parent.place_stamp(self.top.name, publisher);
        parent.slots.entry(self.top.name).tell_all(now, publisher);
    }

    /// The stamps that the loop on top registers, after a pass.
    pub(crate) fn tell_registered(&mut self, now: i64) {
        if !self.tells() {
            return;
        }
        let names = self.top.in_loop.as_ref().map(|in_loop| in_loop.registered.clone());
        for name in names.into_iter().flatten() {
            self.tell_stamp(name, now);
        }
    }

    /// A timer that awaited its position is dropped.
    pub(crate) fn tell_dropped(&mut self, node: &mut Node) {
        if !self.tells() {
            return;
        }
        let Some(publisher) = self.publisher.as_deref_mut() else { return };
        node.tell_free(publisher);
        self.top.tell(self.cost);
    }

    /// Gives a finished timer to the one on top, to await its position or at one.
    pub(crate) fn tell_given(
        &mut self,
        mut node: Box<Node>,
        to: Option<Option<Name>>,
    ) -> Option<Box<Node>> {
        let tells = self.tells();
        let (clock, top) = (&self.clock, &mut *self.top);
        let rate = || clock.ticks_per_second();
        let list = |top: &mut Node| match to {
            Some(position) => std::mem::take(top.at(position)),
            None => std::mem::take(&mut top.awaiting),
        };
        // Taken out, so that the stamp of the position can be found meanwhile.
        let mut children = list(top);
        let old = children.iter_mut().find(|old| old.is_named(node.name));
        let publisher = self.publisher.as_deref_mut().filter(|_| tells);
        let free = match (publisher, old) {
            (Some(publisher), None) => {
                let position = match to {
                    Some(position) => top.place_position(position, publisher),
                    None => Some(Position::Awaiting),
                };
                if let (Some(position), Some(place)) = (position, node.told.place()) {
                    publisher.set_position(place.node, position);
                }
                children.push(Child::Ran(node));
                None
            }
            (Some(publisher), Some(Child::Ran(old))) => {
                match (old.told.place(), node.told.place()) {
                    (Some(into), Some(from)) => {
                        let epoch = publisher.begin_merge(from.node, into.node);
                        let mut merging = Merging { publisher, epoch: epoch as u32 };
                        merge::nodes(old, &mut node, &rate, &mut merging);
                        merging.publisher.end_merge();
                        node.told.set_free(true);
                    }
                    _ => merge::nodes(old, &mut node, &rate, &mut Unwatched),
                }
                Some(node)
            }
            (Some(publisher), Some(Child::Attached(_))) => {
                node.tell_free(publisher);
                merge::add(&mut children, Child::Ran(node), &rate, &mut Unwatched)
            }
            (None, _) => merge::add(&mut children, Child::Ran(node), &rate, &mut Unwatched),
        };
        match to {
            Some(position) => *top.at(position) = children,
            None => top.awaiting = children,
        }
        free
    }
}

#[cfg(test)]
mod tests;
