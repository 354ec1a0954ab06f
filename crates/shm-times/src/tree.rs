//! From slots to trees.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gtimer_core::publish::{BUCKETS_OF_PART, N_BUCKETS, NodeKind, Values};
use gtimer_core::{StampTimes, Subdivisions, Times};

use crate::histogram::{self, Counts, StampHistogram};
use crate::image::Slot;
use crate::layout::{
    AWAITING, FREE, IN_LOOP, KIND_FOLDED, KIND_HISTOGRAM, KIND_INFO, KIND_LANE, MAX_DEPTH,
    UNASSIGNED,
};
use crate::process::sum_of;
use crate::snapshot::{Current, LaneTimes, NoteKind};

const ROOT: u32 = NodeKind::Root as u32;
const STAMP: u32 = NodeKind::Stamp as u32;

/// Steps that merges may take together: what a writer leaves behind takes a few hundred, but a
/// hostile file could ask for all with all.
const MERGE_STEPS: usize = 2_000_000;

/// A timer or a stamp.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) is_stamp: bool,
    /// An index of [`Forest::names`].
    pub(crate) name: u32,
    /// The name of the stamp that took it, or [`UNASSIGNED`]; names never get that far.
    pub(crate) position: u32,
    pub(crate) values: Values,
    pub(crate) children: Vec<usize>,
    parent: Option<usize>,
    lane: usize,
    number: u32,
    /// Whether a run that was added to it goes on.
    runs: bool,
    /// Whether it is a stamp of which the iterations are passes of a loop.
    pub(crate) in_loop: bool,
    /// Of a stamp: how long its iterations were.
    pub(crate) histogram: Option<Counts>,
}

/// The roots of one thread, or of one label of a summary.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) tid: u32,
    /// Where the thread is; in a summary, how many processes there were.
    pub(crate) current: Values,
    pub(crate) clock: Values,
    pub(crate) roots: Vec<usize>,
    /// The latest moment that anything in it tells of, or now, in ticks.
    pub(crate) now: u64,
    /// The slots of the thread.
    slot: u32,
    info: u32,
}

impl Lane {
    /// A label of a summary.
    pub(crate) fn summary(label: &str, clock: Values) -> Self {
        let (name, current) = (label.to_owned(), Values::default());
        Self { name, tid: 0, current, clock, roots: Vec::new(), now: 0, slot: 0, info: 0 }
    }

    /// Ticks in a second; 0 where no clock was named.
    pub(crate) fn rate(&self) -> f64 {
        let rate = f64::from_bits(self.clock.num);
        // Slower or faster clocks are not to be had; this keeps seconds finite.
        if (1.0..=1e13).contains(&rate) { rate } else { 0.0 }
    }
}

/// The node that each slot became; the numbers of slots are dense.
#[derive(Debug, Default)]
struct Numbers(Vec<u32>);

impl Numbers {
    fn insert(&mut self, number: u32, node: usize) {
        let number = number as usize;
        if self.0.len() <= number {
            self.0.resize(number + 1, u32::MAX);
        }
        self.0[number] = node as u32;
    }

    fn get(&self, number: u32) -> Option<usize> {
        self.0.get(number as usize).filter(|node| **node != u32::MAX).map(|node| *node as usize)
    }
}

/// All trees of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forest {
    pub(crate) nodes: Vec<Node>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) names: Arc<Names>,
    /// In a summary: the files that are in it.
    pub(crate) folded: Vec<String>,
    /// Whether each node has the numbers of its slot, and no others.
    is_plain: bool,
}

/// Names, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    texts: Vec<Arc<str>>,
    known: HashMap<Arc<str>, u32>,
}

impl Names {
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self { texts: Vec::with_capacity(n), known: HashMap::with_capacity(n) }
    }

    /// A name; `None` for numbers that stand for none.
    pub(crate) fn get(&self, name: u32) -> Option<&str> {
        self.texts.get(name as usize).map(|text| &**text)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.known.get(name).copied()
    }

    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        if let Some(known) = self.find(name) {
            return known;
        }
        let at = self.texts.len() as u32;
        let text: Arc<str> = name.into();
        self.texts.push(Arc::clone(&text));
        self.known.insert(text, at);
        at
    }
}

impl Forest {
    /// Builds the trees, with merges that were going on brought to their end. `monotonic_ns` is the
    /// time now; without it, a thread's time ends with the latest that it tells of.
    pub(crate) fn grow(
        slots: &[Slot],
        names: Arc<Names>,
        monotonic_ns: Option<u64>,
        notes: &mut Vec<NoteKind>,
    ) -> Self {
        let mut forest = Self { names, is_plain: true, ..Self::default() };
        let mut lane_of = Numbers::default();
        for slot in slots.iter().filter(|slot| slot.kind == KIND_LANE) {
            lane_of.insert(slot.number, forest.lanes.len());
            forest.lanes.push(Lane {
                name: forest.name(slot.name).to_owned(),
                tid: slot.position,
                current: slot.values,
                clock: Values::default(),
                roots: Vec::new(),
                now: 0,
                slot: slot.number,
                info: 0,
            });
        }
        for slot in slots.iter().filter(|slot| slot.kind == KIND_INFO) {
            if let Some(lane) = lane_of.get(slot.lane) {
                forest.lanes[lane].clock = slot.values;
                forest.lanes[lane].info = slot.number;
            }
        }
        let by_number = forest.plant(slots, &lane_of, notes);
        forest.assign(slots, &by_number);
        forest.set_now(monotonic_ns);
        forest.finish_merges(&by_number, notes);
        forest.unify(notes);
        forest.folded = slots
            .iter()
            .filter(|slot| slot.kind == KIND_FOLDED)
            .map(|slot| forest.name(slot.name).to_owned())
            .collect();
        forest
    }

    /// Whether [`Forest::refill`] does as well as to grow it anew, where only numbers change.
    pub(crate) fn can_be_refilled(&self) -> bool {
        self.is_plain
    }

    /// Puts new numbers into the trees, by the numbers of the slots.
    pub(crate) fn refill(
        &mut self,
        monotonic_ns: Option<u64>,
        values: impl Fn(u32) -> Option<Values>,
    ) {
        for node in &mut self.nodes {
            node.values = values(node.number).unwrap_or_default();
        }
        for lane in &mut self.lanes {
            lane.current = values(lane.slot).unwrap_or_default();
            lane.clock = values(lane.info).unwrap_or_default();
        }
        self.set_now(monotonic_ns);
    }

    /// Finds out how late it is for each thread.
    fn set_now(&mut self, monotonic_ns: Option<u64>) {
        for lane in &mut self.lanes {
            let rate = lane.rate();
            lane.now = 0;
            if let Some(now) = monotonic_ns {
                let past_ns = now.saturating_sub(lane.clock.min) as f64;
                lane.now = lane.clock.ticks.saturating_add((past_ns * rate / 1e9) as u64);
            }
            lane.now = lane.now.max(lane.current.last);
        }
        for node in &self.nodes {
            let now = &mut self.lanes[node.lane].now;
            *now = (*now).max(node.values.last);
        }
    }

    /// Makes the nodes that count, each under its parent.
    fn plant(&mut self, slots: &[Slot], lane_of: &Numbers, notes: &mut Vec<NoteKind>) -> Numbers {
        let mut by_number = Numbers::default();
        self.nodes.reserve_exact(slots.len());
        let mut depths: Vec<usize> = Vec::with_capacity(slots.len());
        let (mut too_deep, mut orphans) = (0_usize, 0_usize);
        for slot in slots.iter().filter(|slot| (ROOT..=STAMP).contains(&slot.kind)) {
            let Some(lane) = lane_of.get(slot.lane) else {
                orphans += 1;
                continue;
            };
            if slot.position == FREE {
                continue;
            }
            let parent = if slot.kind == ROOT {
                None
            } else {
                // Parents come first, so a cycle cannot be. What is under a free node is not there.
                let Some(parent) = by_number.get(slot.parent) else { continue };
                if self.nodes[parent].is_stamp {
                    orphans += 1;
                    continue;
                }
                Some(parent)
            };
            let depth = parent.map_or(0, |parent| depths[parent] + 1);
            if depth >= MAX_DEPTH {
                too_deep += 1;
                continue;
            }
            let at = self.nodes.len();
            by_number.insert(slot.number, at);
            depths.push(depth);
            self.nodes.push(Node {
                is_stamp: slot.kind == STAMP,
                name: slot.name,
                position: UNASSIGNED,
                values: slot.values,
                children: Vec::new(),
                parent,
                lane,
                number: slot.number,
                runs: false,
                in_loop: slot.kind == STAMP && slot.position == IN_LOOP,
                histogram: None,
            });
            match parent {
                Some(parent) => self.nodes[parent].children.push(at),
                None => self.lanes[lane].roots.push(at),
            }
        }
        orphans += self.count(slots, lane_of, &by_number);
        for (n, what) in [(too_deep, "nodes too deep"), (orphans, "nodes without a parent")] {
            if n > 0 {
                notes.push(NoteKind::Damaged { what: format!("{n} {what}") });
            }
        }
        by_number
    }

    /// Gives the stamps their histograms; says how many parts are no stamp's.
    fn count(&mut self, slots: &[Slot], lane_of: &Numbers, by_number: &Numbers) -> usize {
        let mut orphans = 0;
        for slot in slots.iter().filter(|slot| slot.kind == KIND_HISTOGRAM) {
            // A stamp that is free counts nothing.
            let Some(stamp) = by_number.get(slot.parent) else { continue };
            let node = &mut self.nodes[stamp];
            let first = slot.position as usize;
            let is_its =
                node.is_stamp && lane_of.get(slot.lane) == Some(node.lane) && first < N_BUCKETS;
            let Some(counts) = slot.counts.as_ref().filter(|_| is_its) else {
                orphans += 1;
                continue;
            };
            // The numbers of histograms are not those of nodes.
            self.is_plain = false;
            let sum = node.histogram.get_or_insert_with(|| Box::new([0; N_BUCKETS]));
            for (sum, count) in sum[first..].iter_mut().zip(&counts[..BUCKETS_OF_PART]) {
                *sum = sum.saturating_add(*count);
            }
        }
        orphans
    }

    /// Gives each timer the name of the stamp that took it.
    fn assign(&mut self, slots: &[Slot], by_number: &Numbers) {
        for slot in slots {
            let Some(at) = by_number.get(slot.number) else { continue };
            if self.nodes[at].is_stamp || matches!(slot.position, AWAITING | UNASSIGNED) {
                continue;
            }
            if let Some(stamp) = by_number.get(slot.position)
                && self.nodes[stamp].is_stamp
                && self.nodes[stamp].parent == self.nodes[at].parent
            {
                self.nodes[at].position = self.nodes[stamp].name;
            }
        }
    }

    /// Adds what a merge had not added yet when these numbers were read.
    fn finish_merges(&mut self, by_number: &Numbers, notes: &mut Vec<NoteKind>) {
        let mut steps = 0;
        for lane in 0..self.lanes.len() {
            let Values { last: merge, epoch, .. } = self.lanes[lane].clock;
            let (from, into) = ((merge >> 32) as u32, merge as u32);
            let (Some(from), Some(into)) = (by_number.get(from), by_number.get(into)) else {
                continue;
            };
            if self.is_in(from, into)
                || self.is_in(into, from)
                || self.nodes[from].is_stamp
                || self.nodes[into].is_stamp
            {
                continue;
            }
            self.is_plain = false;
            self.unlink(from);
            let now = self.lanes[lane].now;
            if !self.fold(from, into, Some(epoch), now, &mut steps) {
                notes.push(NoteKind::Damaged { what: "merges without end".to_owned() });
                return;
            }
        }
    }

    /// Makes one of nodes with one name at one position.
    fn unify(&mut self, notes: &mut Vec<NoteKind>) {
        let mut steps = 0;
        // The latest stamp of each name, with its parent.
        let mut latest = vec![(usize::MAX, 0); self.names.len()];
        for lane in 0..self.lanes.len() {
            let now = self.lanes[lane].now;
            let mut roots: Vec<usize> = Vec::new();
            let mut first: HashMap<u32, usize> = HashMap::new();
            for root in std::mem::take(&mut self.lanes[lane].roots) {
                match first.get(&self.nodes[root].name) {
                    Some(&into) => {
                        if !self.fold(root, into, None, now, &mut steps) {
                            break;
                        }
                    }
                    None => {
                        first.insert(self.nodes[root].name, root);
                        roots.push(root);
                    }
                }
            }
            let mut todo = roots.clone();
            self.lanes[lane].roots = roots;
            while let Some(node) = todo.pop() {
                let mut timers: HashMap<(u32, u32), usize> = HashMap::new();
                let mut children = std::mem::take(&mut self.nodes[node].children);
                children.retain(|&child| {
                    let Node { is_stamp, name, position, .. } = self.nodes[child];
                    let into = if is_stamp {
                        let latest = &mut latest[name as usize];
                        let into = (latest.0 == node).then_some(latest.1);
                        *latest = (node, into.unwrap_or(child));
                        into
                    } else {
                        match timers.entry((name, position)) {
                            Entry::Occupied(into) => Some(*into.get()),
                            Entry::Vacant(place) => {
                                place.insert(child);
                                todo.push(child);
                                None
                            }
                        }
                    };
                    if let Some(into) = into {
                        self.fold(child, into, None, now, &mut steps);
                    }
                    into.is_none()
                });
                self.nodes[node].children = children;
            }
        }
        if steps > MERGE_STEPS {
            notes.push(NoteKind::Damaged { what: "too many nodes of one name".to_owned() });
        }
    }

    /// What tells a node from its siblings.
    fn key(&self, node: usize) -> (bool, u32, u32) {
        let Node { is_stamp, name, position, .. } = self.nodes[node];
        (is_stamp, name, position)
    }

    /// Adds the numbers of `from` and all under it to those of `into`. With an epoch, numbers that
    /// have it hold their part already. Gives `false` when that took too many steps.
    fn fold(
        &mut self,
        from: usize,
        into: usize,
        epoch: Option<u64>,
        now: u64,
        steps: &mut usize,
    ) -> bool {
        let mut pairs = vec![(from, into)];
        while let Some((from, into)) = pairs.pop() {
            *steps += 1 + self.nodes[from].children.len();
            if *steps > MERGE_STEPS {
                return false;
            }
            self.is_plain = false;
            let (more, sum) = (self.nodes[from].values, self.nodes[into].values);
            self.nodes[into].runs |= self.nodes[from].runs || more.last != 0;
            if epoch.is_none_or(|epoch| epoch & 0xffff_ffff != sum.epoch) {
                if let Some(more) = self.nodes[from].histogram.take() {
                    match &mut self.nodes[into].histogram {
                        Some(own) if epoch.is_some() => histogram::finish(own, sum.num, &more),
                        Some(own) => histogram::add(own, &more),
                        none => *none = Some(more),
                    }
                }
                let is_timer = !self.nodes[into].is_stamp;
                let mut values = sum_of(sum, more, is_timer, now);
                if is_timer {
                    values.last = sum.last;
                }
                self.nodes[into].values = values;
            }
            let moved = std::mem::take(&mut self.nodes[from].children);
            if moved.is_empty() {
                continue;
            }
            *steps += self.nodes[into].children.len();
            let own: HashMap<_, _> =
                self.nodes[into].children.iter().map(|&child| (self.key(child), child)).collect();
            for child in moved {
                match own.get(&self.key(child)) {
                    Some(&into) => pairs.push((child, into)),
                    None => {
                        self.nodes[child].parent = Some(into);
                        self.nodes[into].children.push(child);
                    }
                }
            }
        }
        true
    }

    fn is_in(&self, node: usize, other: usize) -> bool {
        let mut at = Some(node);
        // Merges may have made it deeper than any file says, but not into a ring.
        for _ in 0..=self.nodes.len() {
            match at {
                Some(node) if node == other => return true,
                Some(node) => at = self.nodes[node].parent,
                None => return false,
            }
        }
        true
    }

    fn unlink(&mut self, node: usize) {
        match self.nodes[node].parent {
            Some(parent) => self.nodes[parent].children.retain(|&child| child != node),
            None => {
                for lane in &mut self.lanes {
                    lane.roots.retain(|&root| root != node);
                }
            }
        }
    }

    /// Adds a node with all numbers zero, under another or as a root.
    pub(crate) fn add(
        &mut self,
        lane: usize,
        parent: Option<usize>,
        is_stamp: bool,
        name: u32,
        position: u32,
    ) -> usize {
        let at = self.nodes.len();
        let (values, children) = (Values::default(), Vec::new());
        self.nodes.push(Node {
            is_stamp,
            name,
            position,
            values,
            children,
            parent,
            lane,
            number: 0,
            runs: false,
            in_loop: false,
            histogram: None,
        });
        match parent {
            Some(parent) => self.nodes[parent].children.push(at),
            None => self.lanes[lane].roots.push(at),
        }
        at
    }

    /// The text of a name that is in use.
    fn name(&self, name: u32) -> &str {
        self.names.get(name).unwrap_or_default()
    }

    /// The lanes in which there is anything.
    pub(crate) fn lane_times(&self, is_summary: bool, notes: &mut Vec<NoteKind>) -> Vec<LaneTimes> {
        let mut times = Vec::new();
        let mut too_deep = false;
        for lane in &self.lanes {
            let rate = lane.rate();
            if rate == 0.0 {
                if !lane.roots.is_empty() {
                    notes.push(NoteKind::Damaged { what: "a thread without a clock".to_owned() });
                }
                continue;
            }
            let current = if is_summary { None } else { self.current(lane) };
            let thread = match (lane.tid, lane.name.as_str()) {
                (0, "") if !is_summary => "ended threads".to_owned(),
                (_, name) => name.to_owned(),
            };
            for &root in &lane.roots {
                let tree = self.times(root, lane, 0, &mut too_deep);
                times.push(LaneTimes {
                    thread: thread.clone(),
                    tid: lane.tid,
                    current: current.clone(),
                    times: tree,
                    histograms: self.histograms(root),
                });
            }
        }
        if too_deep {
            notes.push(NoteKind::Damaged { what: "nodes too deep".to_owned() });
        }
        times
    }

    /// Where a thread is.
    fn current(&self, lane: &Lane) -> Option<Current> {
        let number = u32::try_from(lane.current.ticks.checked_sub(1)?).ok()?;
        let mut at = self.nodes.iter().position(|node| node.number == number);
        at?;
        let mut path = Vec::new();
        while let Some(node) = at
            && path.len() <= MAX_DEPTH
        {
            path.push(self.name(self.nodes[node].name).to_owned());
            at = self.nodes[node].parent;
        }
        path.reverse();
        let rate = lane.rate();
        let last = lane.current.last;
        let for_s = lane.now.saturating_sub(last) as f64 / rate;
        let since_anchor_s = last.saturating_sub(lane.clock.ticks) as f64 / rate;
        let since = UNIX_EPOCH
            .checked_add(Duration::from_nanos(lane.clock.max))
            .zip(Duration::try_from_secs_f64(since_anchor_s).ok())
            .and_then(|(anchor, since)| anchor.checked_add(since))
            .unwrap_or(UNIX_EPOCH);
        Some(Current { path, since, for_s })
    }

    /// The histograms under a root, of stamps that have iterations: of others it may be one ahead.
    fn histograms(&self, root: usize) -> Vec<StampHistogram> {
        let mut found = Vec::new();
        let mut todo = vec![(root, vec![self.name(self.nodes[root].name).to_owned()])];
        while let Some((timer, path)) = todo.pop() {
            let with = |more: &[&str]| {
                let more = more.iter().map(|name| (*name).to_owned());
                path.iter().cloned().chain(more).collect::<Vec<String>>()
            };
            for &child in &self.nodes[timer].children {
                let Node { is_stamp, name, position, values, ref histogram, .. } =
                    self.nodes[child];
                let name = self.name(name);
                if let Some(counts) = histogram.as_ref().filter(|_| values.num > 0) {
                    let histogram = StampHistogram { path: with(&[name]), buckets: **counts };
                    found.extend(Some(histogram).filter(|one| one.count() > 0));
                } else if !is_stamp && path.len() + 2 <= 2 * MAX_DEPTH {
                    let position = self.names.get(position).unwrap_or(gtimer_core::UNASSIGNED);
                    todo.push((child, with(&[position, name])));
                }
            }
        }
        found
    }

    /// A timer and all under it.
    fn times(&self, at: usize, lane: &Lane, depth: usize, too_deep: &mut bool) -> Times {
        let rate = lane.rate();
        let seconds = |ticks: u64| ticks as f64 / rate;
        let Node { values, name, ref children, runs, .. } = self.nodes[at];
        let open = if values.last != 0 { lane.now.saturating_sub(values.last) } else { 0 };
        let n_stamps = children.iter().filter(|&&child| self.nodes[child].is_stamp).count();
        let mut stamps = Vec::with_capacity(n_stamps);
        let mut subdivisions: Vec<Subdivisions> = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        let (mut stamped, mut own) = (0_u64, values.min);
        let mut below = 0.0;
        for &child in children {
            let Node { is_stamp, name, position, values, in_loop, .. } = self.nodes[child];
            if is_stamp {
                // It was made, or made empty, but nothing was stamped since.
                if values.num == 0 && values.ticks == 0 && values.last == 0 {
                    continue;
                }
                stamped = stamped.saturating_add(values.ticks);
                let min = if values.num == 0 || values.min == u64::MAX { 0 } else { values.min };
                stamps.push(StampTimes {
                    name: self.name(name).to_owned(),
                    cum: seconds(values.ticks),
                    itr_num: values.num,
                    itr_max: seconds(values.max),
                    itr_min: seconds(min),
                    itrs: None,
                    in_loop,
                });
                continue;
            }
            if depth + 1 >= MAX_DEPTH {
                *too_deep = true;
                continue;
            }
            let place = *places.entry(position).or_insert_with(|| {
                let position =
                    self.names.get(position).unwrap_or(gtimer_core::UNASSIGNED).to_owned();
                subdivisions.push(Subdivisions { position, timers: Vec::new() });
                subdivisions.len() - 1
            });
            let mut times = self.times(child, lane, depth + 1, too_deep);
            times.position = Some(subdivisions[place].position.clone());
            below += times.self_agg;
            subdivisions[place].timers.push(times);
        }
        own = if own == u64::MAX { 0 } else { own };
        let self_agg = seconds(own) + below;
        Times {
            name: self.name(name).to_owned(),
            position: None,
            total: (seconds(values.ticks.saturating_add(open)) - self_agg).max(0.0),
            stamps_sum: seconds(stamped),
            self_agg,
            running: runs || values.last != 0,
            stamps,
            subdivisions,
            ..Times::default()
        }
    }
}
