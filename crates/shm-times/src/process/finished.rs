//! The tree of the threads that ended: what they measured, added up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use gtimer_core::publish::{NodeKind, Values, move_counts};

use super::{Finished, Histograms, Inner, Lane, LaneNode, Process, sum_of};
use crate::layout::{AWAITING, FREE, IN_LOOP, UNASSIGNED};

impl Process {
    /// Adds the numbers of a thread that ended to those of the threads that ended before, and
    /// keeps its slots for the next thread.
    pub(crate) fn finish(&self, mut lane: Lane, now: u64) {
        let mut inner = self.lock();
        self.latch(lane.lane).publish(Values::default());
        self.set_position(lane.lane, 0);
        let Some(counterparts) = self.counterparts(&mut inner, &lane) else {
            // No room to fold it: it stays as it is, whole, and nobody takes it over.
            return;
        };
        let finished = inner.finished.as_mut().expect("`counterparts` made it");
        let root_of = roots(&lane.nodes);
        for root in lane.nodes.iter().filter(|node| node.kind == NodeKind::Root as u32) {
            let Some(&into) = counterparts.get(&root.node) else { continue };
            finished.epoch += 1;
            let epoch = finished.epoch;
            let merge = u64::from(root.node) << 32 | u64::from(into);
            let info = self.latch(finished.info);
            info.publish(Values { last: merge, epoch, ..finished.clock });
            for node in &lane.nodes {
                let Some(&other) = counterparts.get(&node.node) else { continue };
                if root_of.get(&node.node) != Some(&root.node) {
                    continue;
                }
                let (latch, more) = (self.latch(other), self.latch(node.node));
                // Before the numbers: until those have the epoch, a reader takes away again what
                // was added here.
                let histogram =
                    |of: &Histograms, node| of.get(node).map(|parts| self.parts(*parts));
                if let (Some(from), Some(to)) = (
                    histogram(&lane.histograms, &node.node),
                    histogram(&finished.histograms, &other),
                ) {
                    move_counts(from, Some(to));
                }
                if let (Some(sum), Some(more)) = (latch.read(), more.read()) {
                    let is_timer = node.kind != NodeKind::Stamp as u32;
                    latch.publish(Values { epoch, ..sum_of(sum, more, is_timer, now) });
                }
            }
            self.set_position(root.node, FREE);
            info.publish(Values { epoch, ..finished.clock });
        }
        // Under a root that is free nothing counts, so the order of these does not matter.
        for LaneNode { node, parent, kind, name } in lane.nodes.drain(..) {
            self.latch(node).publish(Values::default());
            self.set_position(node, FREE);
            if let Some(parts) = lane.histograms.get(&node) {
                move_counts(self.parts(*parts), None);
            }
            lane.reusable.entry((parent, kind)).or_default().push((name, node));
        }
        inner.free_lanes.push(lane);
    }

    /// For each node of a lane that counts, the node of the same path among those of the ended
    /// threads; `None` when there is no room for them.
    fn counterparts(&self, inner: &mut Inner, lane: &Lane) -> Option<HashMap<u32, u32>> {
        let clock = self.latch(lane.info).read()?;
        if inner.finished.is_none() {
            let made = self.new_lane(inner, "")?;
            let clock = Values { last: 0, epoch: 0, ..clock };
            self.latch(made.info).publish(clock);
            let Lane { lane, info, block, .. } = made;
            let (nodes, histograms) = (HashMap::new(), HashMap::new());
            inner.finished =
                Some(Finished { lane, info, clock, epoch: 0, block, nodes, histograms });
        }
        // Taken out, because slots are made from the same `inner`.
        let mut finished = inner.finished.take()?;
        let result = self.find_counterparts(inner, lane, &mut finished, clock);
        inner.finished = Some(finished);
        result
    }

    fn find_counterparts(
        &self,
        inner: &mut Inner,
        lane: &Lane,
        finished: &mut Finished,
        clock: Values,
    ) -> Option<HashMap<u32, u32>> {
        let (own, sum) = (f64::from_bits(clock.num), f64::from_bits(finished.clock.num));
        if lane.nodes.is_empty() || own == 0.0 {
            return Some(HashMap::new());
        }
        if sum == 0.0 {
            finished.clock = Values { last: 0, epoch: 0, ..clock };
            self.latch(finished.info).publish(finished.clock);
        } else if (own / sum - 1.0).abs() > 1e-3 {
            // Ticks of another clock cannot be added.
            return None;
        }
        let by_number: HashMap<u32, &LaneNode> =
            lane.nodes.iter().map(|node| (node.node, node)).collect();
        let mut found: HashMap<u32, u32> = HashMap::new();
        for node in &lane.nodes {
            let position = self.position(node.node);
            let is_root = node.kind == NodeKind::Root as u32;
            let parent = if is_root { Some(0) } else { found.get(&node.parent).copied() };
            let Some(parent) = parent.filter(|_| position != FREE) else { continue };
            let position = match position {
                AWAITING | IN_LOOP | UNASSIGNED => position,
                stamp => match (found.get(&stamp), by_number.get(&stamp)) {
                    (Some(&stamp), _) => stamp,
                    // The stamp may be younger than the timer that it took; both have one parent.
                    (None, Some(stamp)) if stamp.parent == node.parent => {
                        let (kind, name) = (NodeKind::Stamp as u32, &stamp.name);
                        let position = self.position(stamp.node);
                        let other =
                            self.counterpart(inner, finished, parent, kind, name, position)?;
                        found.insert(stamp.node, other);
                        other
                    }
                    _ => UNASSIGNED,
                },
            };
            if let Entry::Vacant(place) = found.entry(node.node) {
                let other =
                    self.counterpart(inner, finished, parent, node.kind, &node.name, position)?;
                place.insert(other);
            }
        }
        for stamp in lane.nodes.iter().filter(|node| lane.histograms.contains_key(&node.node)) {
            let Some(&other) = found.get(&stamp.node) else { continue };
            let Finished { lane, block, histograms, .. } = &mut *finished;
            // Where there is no room, the sum has none, and it was said.
            let _ = self.add_histogram(inner, block, histograms, other, *lane);
        }
        Some(found)
    }

    fn counterpart(
        &self,
        inner: &mut Inner,
        finished: &mut Finished,
        parent: u32,
        kind: u32,
        name: &str,
        position: u32,
    ) -> Option<u32> {
        // The same name at another position is another timer.
        let key = (parent, kind, position, Box::from(name));
        if let Some(&node) = finished.nodes.get(&key) {
            return Some(node);
        }
        let places = [parent, finished.lane, position];
        let node = self.slot(inner, &mut finished.block, kind, name, places)?;
        finished.nodes.insert(key, node);
        Some(node)
    }
}

/// The root that each node is under.
fn roots(nodes: &[LaneNode]) -> HashMap<u32, u32> {
    let mut roots = HashMap::new();
    for LaneNode { node, parent, .. } in nodes {
        let root = roots.get(parent).copied().unwrap_or(*node);
        roots.insert(*node, root);
    }
    roots
}
