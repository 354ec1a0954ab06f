//! A tree of times as a list of entries, parents before children, which all tables are made of.

use std::collections::HashMap;

use crate::times::{StampTimes, Times};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A timer: the root, or a subdivision.
    Timer,
    /// A stamp of the timer above.
    Stamp,
    /// The timers that no stamp of the timer above took.
    Unassigned,
    /// A group of parallel workers, which ran beside the timer above.
    Group,
    /// A worker of the group above.
    Worker,
}

impl EntryKind {
    /// The kind as one word in lower case, as tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Stamp => "stamp",
            Self::Unassigned => "unassigned",
            Self::Group => "group",
            Self::Worker => "worker",
        }
    }
}

/// A line of the tree. Entries hold no path, which long names could make large beyond measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) parent: Option<usize>,
    pub(super) depth: usize,
    pub(super) kind: EntryKind,
    pub(super) name: &'a str,
    /// In s. Of a group: that of the worker with the greatest.
    pub(super) inclusive: f64,
    /// What is left of it without the entries below that ran in its course, in s.
    pub(super) exclusive: f64,
    /// The numbers of a stamp.
    pub(super) stamp: Option<&'a StampTimes>,
    /// The first entry after those below.
    pub(super) end: usize,
}

impl Entry<'_> {
    /// How often it ran, which only stamps tell.
    pub(super) fn calls(&self) -> Option<u64> {
        self.stamp.map(|stamp| stamp.itr_num)
    }

    pub(super) fn mean(&self) -> Option<f64> {
        let stamp = self.stamp.filter(|stamp| stamp.itr_num > 0)?;
        Some(stamp.cum / stamp.itr_num as f64)
    }

    /// The shortest and the longest iteration.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let stamp = self.stamp.filter(|stamp| stamp.itr_num > 0)?;
        Some((stamp.itr_min, stamp.itr_max))
    }

    /// Kept iterations that took time, in rising order.
    pub(super) fn kept(&self) -> Option<Vec<f64>> {
        let itrs = self.stamp?.itrs.as_ref()?;
        let mut sorted: Vec<f64> = itrs.iter().copied().filter(|&value| value != 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then_some(sorted)
    }
}

/// The value that `share` of `sorted` do not exceed (nearest rank, so one that was measured).
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0);
    sorted.get(rank as usize - 1).copied()
}

/// All entries below and with `times`.
pub(super) fn outline(times: &Times) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    add_timer(&mut entries, None, EntryKind::Timer, times);
    entries
}

fn add<'a>(
    entries: &mut Vec<Entry<'a>>,
    parent: Option<usize>,
    kind: EntryKind,
    name: &'a str,
    inclusive: f64,
) -> usize {
    let depth = parent.map_or(0, |parent| entries[parent].depth + 1);
    let at = entries.len();
    entries.push(Entry {
        parent,
        depth,
        kind,
        name,
        inclusive,
        exclusive: inclusive,
        stamp: None,
        end: at + 1,
    });
    at
}

/// Adds an entry's time to nothing but itself, once all below are there.
fn close(entries: &mut [Entry<'_>], at: usize, below: f64) {
    let (end, inclusive) = (entries.len(), entries[at].inclusive);
    let left = inclusive - below;
    // What rounding leaves is no time.
    let noise = 1e-12 * inclusive.abs().max(below.abs());
    entries[at].exclusive = if left.abs() <= noise { 0.0 } else { left };
    entries[at].end = end;
}

fn add_timer<'a>(
    entries: &mut Vec<Entry<'a>>,
    parent: Option<usize>,
    kind: EntryKind,
    times: &'a Times,
) {
    let at = add(entries, parent, kind, &times.name, times.total);
    let mut places = Places::of(times);
    let mut below = 0.0;
    for stamp in &times.stamps {
        let entry = add(entries, Some(at), EntryKind::Stamp, &stamp.name, stamp.cum);
        entries[entry].stamp = Some(stamp);
        let sum = places.take(&stamp.name).map_or(0.0, |place| place.add(entries, entry));
        close(entries, entry, sum);
        below += stamp.cum;
    }
    for (position, place) in places.left() {
        // Not `sum`, which is -0 where there is nothing.
        let sum = place.timers().fold(0.0, |sum, timer| sum + timer.total);
        let entry = add(entries, Some(at), EntryKind::Unassigned, position, sum);
        let sum = place.add(entries, entry);
        close(entries, entry, sum);
        below += sum;
    }
    close(entries, at, below);
}

/// What lies below each position of a timer.
struct Places<'a> {
    by_position: HashMap<&'a str, Place<'a>>,
    order: Vec<&'a str>,
}

#[derive(Default)]
struct Place<'a> {
    timers: Vec<&'a [Times]>,
    groups: Vec<(&'a str, &'a [Times])>,
}

impl<'a> Places<'a> {
    fn of(times: &'a Times) -> Self {
        let mut places = Self { by_position: HashMap::new(), order: Vec::new() };
        for at in &times.subdivisions {
            places.at(&at.position).timers.push(&at.timers);
        }
        for group in &times.parallel {
            places.at(&group.position).groups.push((&group.group, &group.workers));
        }
        places
    }

    fn at(&mut self, position: &'a str) -> &mut Place<'a> {
        self.by_position.entry(position).or_insert_with(|| {
            self.order.push(position);
            Place::default()
        })
    }

    fn take(&mut self, position: &str) -> Option<Place<'a>> {
        self.by_position.remove(position)
    }

    fn left(mut self) -> impl Iterator<Item = (&'a str, Place<'a>)> {
        let order = std::mem::take(&mut self.order).into_iter();
        order.filter_map(move |position| Some((position, self.by_position.remove(position)?)))
    }
}

impl<'a> Place<'a> {
    fn timers(&self) -> impl Iterator<Item = &'a Times> + use<'a, '_> {
        self.timers.iter().copied().flatten()
    }

    /// Adds all entries; gives the sum of those that ran one after another.
    fn add(&self, entries: &mut Vec<Entry<'a>>, parent: usize) -> f64 {
        let mut sum = 0.0;
        for timer in self.timers() {
            sum += timer.total;
            add_timer(entries, Some(parent), EntryKind::Timer, timer);
        }
        for &(name, workers) in &self.groups {
            let greatest = workers.iter().map(|worker| worker.total).fold(0.0, f64::max);
            let group = add(entries, Some(parent), EntryKind::Group, name, greatest);
            for worker in workers {
                add_timer(entries, Some(group), EntryKind::Worker, worker);
            }
            entries[group].exclusive = 0.0;
            entries[group].end = entries.len();
        }
        sum
    }
}

/// A part of a path as text: a timer in parentheses, a group in brackets, the rest as it is.
pub(super) fn part(kind: EntryKind, name: &str) -> String {
    let name = super::text::Visible(name);
    match kind {
        EntryKind::Timer => format!("({name})"),
        EntryKind::Group => format!("[{name}]"),
        _ => name.to_string(),
    }
}

/// The path of an entry, from the root's name on, by `/`; a `/` within a name becomes `\/`.
pub(super) fn path(entries: &[Entry<'_>], at: usize) -> String {
    let mut parts = Vec::new();
    let mut next = Some(at);
    while let Some(at) = next {
        let entry = &entries[at];
        // The root needs no sign that it is a timer.
        let kind = entry.parent.map_or(EntryKind::Stamp, |_| entry.kind);
        parts.push(part(kind, entry.name).replace('/', "\\/"));
        next = entry.parent;
    }
    parts.reverse();
    parts.join("/")
}

/// Several trees laid over one another: entries that have kind, name and parent in common are one.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    pub(super) kind: EntryKind,
    pub(super) name: &'a str,
    pub(super) parent: Option<usize>,
    pub(super) depth: usize,
    /// The trees that have it, each once, with the inclusive time there, in s.
    pub(super) members: Vec<(usize, f64)>,
}

/// Merges trees, their roots whatever these are called. Parents come before children, and children
/// in the order in which they are first met. Below entries for which `enter` says no, nothing is
/// merged.
pub(super) fn merge<'a>(
    trees: &[Vec<Entry<'a>>],
    enter: impl Fn(EntryKind) -> bool,
) -> Vec<Merged<'a>> {
    let mut nodes: Vec<Merged<'a>> = Vec::new();
    let mut children: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<(Option<usize>, EntryKind, &'a str), usize> = HashMap::new();
    for (tree, entries) in trees.iter().enumerate() {
        let mut node_of: Vec<usize> = vec![0; entries.len()];
        let mut at = 0;
        while let Some(entry) = entries.get(at) {
            let parent = entry.parent.map(|parent| node_of[parent]);
            let name = if parent.is_none() { "" } else { entry.name };
            let node = *known.entry((parent, entry.kind, name)).or_insert_with(|| {
                let node = nodes.len();
                let Entry { kind, name, depth, .. } = *entry;
                nodes.push(Merged { kind, name, parent, depth, members: Vec::new() });
                children.push(Vec::new());
                if let Some(parent) = parent {
                    children[parent].push(node);
                }
                node
            });
            match nodes[node].members.last_mut() {
                Some((last, sum)) if *last == tree => *sum += entry.inclusive,
                _ => nodes[node].members.push((tree, entry.inclusive)),
            }
            node_of[at] = node;
            at = if enter(entry.kind) { at + 1 } else { entry.end };
        }
    }
    in_order(nodes, &children)
}

/// Puts nodes so that all below one follow it.
fn in_order<'a>(nodes: Vec<Merged<'a>>, children: &[Vec<usize>]) -> Vec<Merged<'a>> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut open: Vec<usize> = nodes.first().map(|_| 0).into_iter().collect();
    while let Some(node) = open.pop() {
        order.push(node);
        open.extend(children[node].iter().rev());
    }
    let mut place = vec![0; nodes.len()];
    order.iter().enumerate().for_each(|(at, &node)| place[node] = at);
    let mut nodes: Vec<Option<Merged<'a>>> = nodes.into_iter().map(Some).collect();
    let moved = order.iter().filter_map(|&node| nodes[node].take());
    moved.map(|node| Merged { parent: node.parent.map(|at| place[at]), ..node }).collect()
}
