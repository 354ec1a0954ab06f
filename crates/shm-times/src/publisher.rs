//! One thread's way into the files of its process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gtimer_core::publish::{Histogram, MarkedLatch, NodeKind, Place, Position, Publisher, Values};

use crate::layout::{AWAITING, FREE, IN_LOOP, UNASSIGNED};
use crate::map;
use crate::process::{Lane, Process};

/// Publishes the times of one thread.
#[derive(Debug)]
pub(crate) struct SharedPublisher {
    process: &'static Process,
    /// `None` only while it is dropped.
    lane: Option<Lane>,
    current: MarkedLatch<'static>,
    info: MarkedLatch<'static>,
    /// What the lane's second slot says, the merge apart.
    clock: Values,
    anchor: Option<Instant>,
    merging: Option<u32>,
}

impl SharedPublisher {
    /// A publisher for the thread that calls this; `None` when there is no room for it.
    pub(crate) fn new(process: &'static Process) -> Option<Self> {
        let lane = process.lane()?;
        let (current, info) = (process.latch(lane.lane), process.latch(lane.info));
        // Merges are counted on where another thread's lane is taken over.
        let clock = Values { epoch: lane.epoch, ..Values::default() };
        info.publish(clock);
        let (anchor, merging) = (None, None);
        Some(Self { process, lane: Some(lane), current, info, clock, anchor, merging })
    }

    fn is_here(&self) -> bool {
        self.process.armed().load(Ordering::Relaxed) != 0
    }

    /// What the clock of the timer says now, as far as can be told from the system's.
    fn now(&self) -> u64 {
        let rate = f64::from_bits(self.clock.num);
        let elapsed = self.anchor.map_or(0.0, |anchor| anchor.elapsed().as_secs_f64());
        self.clock.ticks.saturating_add((elapsed * rate) as u64)
    }
}

impl Publisher for SharedPublisher {
    fn armed(&self) -> &'static AtomicU32 {
        self.process.armed()
    }

    fn forked(&mut self) -> Option<Box<dyn Publisher>> {
        let publisher = Self::new(self.process.here()?)?;
        Some(Box::new(publisher))
    }

    fn add(&mut self, kind: NodeKind, name: &str, parent: Option<u32>) -> Option<Place> {
        if !self.is_here() {
            return None;
        }
        let node = self.process.add(self.lane.as_mut()?, kind, name, parent)?;
        Some(Place { node, latch: self.process.latch(node) })
    }

    fn histogram(&mut self, stamp: u32) -> Option<Histogram> {
        let rate = f64::from_bits(self.clock.num);
        if !self.is_here() || rate <= 0.0 {
            return None;
        }
        let parts = self.process.histogram(self.lane.as_mut()?, stamp)?;
        Some(Histogram::new(parts, rate))
    }

    fn rename(&mut self, node: u32, name: &str) {
        if let Some(lane) = self.lane.as_mut()
            && self.process.armed().load(Ordering::Relaxed) != 0
        {
            self.process.rename_node(lane, node, name);
        }
    }

    fn set_position(&mut self, node: u32, position: Position) {
        if !self.is_here() || !self.process.has(node) {
            return;
        }
        let position = match position {
            Position::Awaiting => AWAITING,
            Position::InLoop => IN_LOOP,
            Position::Stamp(stamp) => stamp,
            Position::Unassigned => UNASSIGNED,
            Position::Free => FREE,
        };
        self.process.set_position(node, position);
    }

    fn begin_merge(&mut self, from: u32, into: u32) -> u64 {
        self.clock.epoch += 1;
        if self.is_here() {
            let last = u64::from(from) << 32 | u64::from(into);
            self.info.publish(Values { last, ..self.clock });
            self.merging = Some(from);
        }
        self.clock.epoch
    }

    fn end_merge(&mut self) {
        if let Some(from) = self.merging.take() {
            // In this order: until `from` is free, the merge says what of it counts.
            self.set_position(from, Position::Free);
            if self.is_here() {
                self.info.publish(self.clock);
            }
        }
    }

    fn current(&self) -> MarkedLatch<'static> {
        self.current
    }

    fn set_clock(&mut self, ticks_per_second: f64, ticks_now: u64) {
        self.anchor = Some(Instant::now());
        self.clock.ticks = ticks_now;
        self.clock.num = ticks_per_second.to_bits();
        self.clock.min = map::monotonic_ns();
        self.clock.max = real_ns(SystemTime::now());
        if self.is_here() {
            self.info.publish(self.clock);
        }
    }
}

impl Drop for SharedPublisher {
    fn drop(&mut self) {
        let now = self.now();
        if let Some(mut lane) = self.lane.take()
            && self.is_here()
        {
            lane.epoch = self.clock.epoch;
            self.process.finish(lane, now);
        }
    }
}

/// A wall clock time, in ns since 1970.
pub(crate) fn real_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}
