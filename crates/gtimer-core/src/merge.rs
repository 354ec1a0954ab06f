//! A further run of a timer, or a further worker of one name, is added to the first.

use crate::node::{Child, Group, Node};
use crate::slot::{Class, Slot, Told};
use crate::{Name, StampTimes, Times};

/// Sees what is added.
pub(crate) trait Watch {
    /// Makes a node of the same kind below `into`, if what is new there may not simply be moved.
    fn make(
        &mut self,
        _into: &mut Node,
        _new: &Node,
        _position: Option<Name>,
    ) -> Option<Box<Node>> {
        None
    }

    /// The numbers of a timer are those of both.
    fn added(&mut self, _into: &mut Node) {}

    /// The numbers of a stamp are those of both.
    fn stamp_added(&mut self, _told: Told, _slot: &mut Slot, _new: &Slot, _last: i64) {}
}

/// Sees nothing.
pub(crate) struct Unwatched;

impl Watch for Unwatched {}

/// Adds a timer to a list in which no two have one name; gives back the node that is free then.
pub(crate) fn add(
    list: &mut Vec<Child>,
    new: Child,
    rate: &impl Fn() -> f64,
    watch: &mut impl Watch,
) -> Option<Box<Node>> {
    let found = match &new {
        Child::Ran(node) => list.iter_mut().find(|old| old.is_named(node.name)),
        Child::Attached(times) => {
            let name = Name::new(&times.name);
            list.iter_mut().find(|old| old.is_named(name))
        }
    };
    let Some(old) = found else {
        list.push(new);
        return None;
    };
    match (&mut *old, new) {
        (Child::Ran(old), Child::Ran(mut new)) => {
            nodes(old, &mut new, rate, watch);
            Some(new)
        }
        // What was attached is in seconds, so what ran joins it in seconds.
        (Child::Attached(old), Child::Ran(mut new)) => {
            times(old, new.to_times(None, rate()));
            new.empty();
            Some(new)
        }
        (Child::Attached(old), Child::Attached(new)) => {
            times(old, *new);
            None
        }
        (Child::Ran(node), Child::Attached(new)) => {
            let mut sum = Box::new(node.to_times(None, rate()));
            times(&mut sum, *new);
            let Child::Ran(mut node) = std::mem::replace(old, Child::Attached(sum)) else {
                return None;
            };
            node.empty();
            Some(node)
        }
    }
}

/// Adds a finished run to another, without what is below.
#[inline]
pub(crate) fn flat(old: &mut Node, new: &mut Node, watch: &mut impl Watch) {
    old.spans += std::mem::take(&mut new.spans);
    old.own += std::mem::take(&mut new.own);
    old.own_attached += std::mem::take(&mut new.own_attached);
    old.own_below += std::mem::take(&mut new.own_below);
    old.runs += std::mem::take(&mut new.runs);
    watch.added(old);
    let (save, last, slots, told) = (old.save_itrs, new.last, &mut old.slots, old.told);
    new.slots.drain(|slot| {
        let name = Name::of(slot.name);
        let old = match slots.used(name) {
            Some(old) => {
                stamps(old, slot, save);
                old
            }
            None => {
                let old = slots.begin(name, slot.class);
                old.looped = slot.looped;
                take(old, slot);
                old
            }
        };
        watch.stamp_added(told, old, slot, last);
    });
}

/// Adds a finished run to another, with everything below; nothing is left in `new`.
pub(crate) fn nodes(
    old: &mut Node,
    new: &mut Node,
    rate: &impl Fn() -> f64,
    watch: &mut impl Watch,
) {
    flat(old, new, watch);
    if !new.timers.is_empty() {
        below(old, new, rate, watch);
    }
    // What ended below a timer that was stopped already has no position.
    new.drop_awaiting();
    if !new.groups.is_empty() {
        new.groups.drain(..).for_each(|group| groups(&mut old.groups, group));
    }
}

/// Adds what is below a finished run to what is below another.
fn below(old: &mut Node, new: &mut Node, rate: &impl Fn() -> f64, watch: &mut impl Watch) {
    let mut positions = std::mem::take(&mut new.timers);
    for at in &mut positions {
        for child in at.timers.drain(..) {
            let is_new = match &child {
                Child::Ran(node) => !old.at(at.position).iter().any(|old| old.is_named(node.name)),
                Child::Attached(_) => false,
            };
            if is_new
                && let Child::Ran(node) = &child
                && let Some(made) = watch.make(old, node, at.position)
            {
                old.at(at.position).push(Child::Ran(made));
            }
            if let Some(free) = add(old.at(at.position), child, rate, watch) {
                new.spare.push(free);
            }
        }
    }
}

/// Everything of `new` goes to a slot that was not used.
fn take(old: &mut Slot, new: &mut Slot) {
    new.settle();
    (old.cum, old.num, old.min, old.max) = (new.cum, new.num, new.min, new.max);
    old.has_itrs = new.has_itrs;
    old.counted = new.counted;
    std::mem::swap(&mut old.itrs, &mut new.itrs);
}

/// A stamp that was no iteration becomes one, where iterations are kept.
///
/// What counts as one iteration is listed as such, and then with what the run has kept: a stamp
/// that took time in just one pass of its loop is listed twice. So gtimer does it, and so recorded
/// runs have it; sums and counts are right.
fn stamps(old: &mut Slot, new: &mut Slot, save: bool) {
    old.settle();
    new.settle();
    if save && new.num == 1 {
        if !old.has_itrs {
            old.itrs.push(old.cum);
            old.has_itrs = true;
        }
        old.itrs.push(new.cum);
    }
    if new.has_itrs {
        old.itrs.extend_from_slice(&new.itrs);
        old.has_itrs = true;
    }
    old.min = old.shortest().min(new.shortest());
    old.max = old.max.max(new.max);
    old.cum += new.cum;
    old.num += new.num;
    old.counted = old.itrs.len() as u32;
    old.class = Class::Plain;
}

/// Adds workers to the group of the same position and name.
pub(crate) fn groups(list: &mut Vec<Group>, new: Group) {
    match list.iter_mut().find(|old| old.position == new.position && old.name == new.name) {
        Some(old) => new.workers.into_iter().for_each(|worker| push(&mut old.workers, worker)),
        None => list.push(new),
    }
}

/// Adds a worker to a list in which no two have one name.
pub(crate) fn push(list: &mut Vec<Times>, new: Times) {
    match list.iter_mut().find(|old| old.name == new.name) {
        Some(old) => times(old, new),
        None => list.push(new),
    }
}

/// Adds times to others of the same name.
pub(crate) fn times(old: &mut Times, new: Times) {
    old.total += new.total;
    old.stamps_sum += new.stamps_sum;
    old.self_agg += new.self_agg;
    for stamp in new.stamps {
        match old.stamps.iter_mut().find(|other| other.name == stamp.name) {
            Some(other) => stamp_times(other, stamp, old.save_itrs),
            None => old.stamps.push(stamp),
        }
    }
    for at in new.subdivisions {
        match old.subdivisions.iter_mut().find(|other| other.position == at.position) {
            Some(other) => at.timers.into_iter().for_each(|new| push(&mut other.timers, new)),
            None => old.subdivisions.push(at),
        }
    }
    for group in new.parallel {
        let same = old
            .parallel
            .iter_mut()
            .find(|other| other.position == group.position && other.group == group.group);
        match same {
            Some(other) => group.workers.into_iter().for_each(|new| push(&mut other.workers, new)),
            None => old.parallel.push(group),
        }
    }
}

fn stamp_times(old: &mut StampTimes, new: StampTimes, save: bool) {
    if save && new.itr_num == 1 {
        old.itrs.get_or_insert_with(|| vec![old.cum]).push(new.cum);
    }
    if let Some(more) = new.itrs {
        old.itrs.get_or_insert_default().extend(more);
    }
    old.cum += new.cum;
    old.itr_num += new.itr_num;
    old.itr_max = old.itr_max.max(new.itr_max);
    old.itr_min = old.itr_min.min(new.itr_min);
}
