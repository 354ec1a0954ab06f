//! From ticks to seconds: [`Times`].

use crate::clock::Clock;
use crate::node::{Child, Group, Node, flag};
use crate::slot::Slot;
use crate::{Name, ParallelGroup, StampTimes, Subdivisions, Timer, Times, UNASSIGNED};

fn spelt(position: Option<Name>) -> String {
    position.map_or(UNASSIGNED, Name::as_str).to_owned()
}

impl Node {
    /// What it has measured, which must be finished, at a rate of ticks per second.
    pub(crate) fn to_times(&self, position: Option<&str>, rate: f64) -> Times {
        // A cost that was calibrated too high may leave a little less than nothing.
        let seconds = |ticks: i64| ticks.max(0) as f64 / rate;
        let stamp = |slot: &Slot| {
            let mut slot = slot.clone();
            slot.settle();
            StampTimes {
                name: Name::of(slot.name).as_str().to_owned(),
                cum: seconds(slot.cum),
                itr_num: slot.num,
                itr_max: seconds(slot.max),
                itr_min: seconds(slot.shortest()),
                itrs: slot.has_itrs.then(|| slot.itrs.iter().map(|&itr| seconds(itr)).collect()),
                in_loop: slot.looped,
            }
        };
        let child = |child: &Child, position: &str| match child {
            Child::Ran(node) => node.to_times(Some(position), rate),
            Child::Attached(times) => place((**times).clone(), position),
        };
        let subdivisions = self.timers.iter().filter(|at| !at.timers.is_empty()).map(|at| {
            let position = spelt(at.position);
            let timers = at.timers.iter().map(|timer| child(timer, &position)).collect();
            Subdivisions { position, timers }
        });
        let group = |group: &Group| {
            let position = spelt(group.position);
            let workers = group.workers.iter().map(|worker| place(worker.clone(), &position));
            ParallelGroup {
                workers: workers.collect(),
                group: group.name.as_str().to_owned(),
                position,
            }
        };
        Times {
            name: self.name.as_str().to_owned(),
            position: position.map(str::to_owned),
            total: (seconds(self.spans - self.own) - self.own_attached).max(0.0),
            stamps_sum: seconds(self.slots.sum()),
            self_agg: seconds(self.own) + self.own_attached,
            running: false,
            save_itrs: self.save_itrs,
            stamps: self.slots.in_order().map(stamp).collect(),
            subdivisions: subdivisions.collect(),
            parallel: self.groups.iter().map(group).collect(),
        }
    }
}

fn place(times: Times, position: &str) -> Times {
    Times { position: Some(position.to_owned()), ..times }
}

/// A clock that stands.
#[derive(Clone, Copy, Debug)]
struct Frozen {
    ticks: u64,
    rate: f64,
}

impl Clock for Frozen {
    fn ticks(&self) -> u64 {
        self.ticks
    }

    fn ticks_per_second(&self) -> f64 {
        self.rate
    }
}

impl<C: Clock> Timer<C> {
    /// What was measured so far, from the root down; a copy, of which nothing changes later.
    ///
    /// On a running timer, at any depth, the copy is closed as if everything that is open ended
    /// now: what awaits its position is unassigned, and a pass of a loop that is under way counts
    /// as one. The timer itself goes on as if nothing had happened.
    ///
    /// ```
    /// use gtimer_core::{FakeClock, Timer};
    ///
    /// let clock = FakeClock::new();
    /// let mut timer = Timer::with_clock("root", clock.clone());
    /// timer.subdivide("solve");
    /// clock.advance(2.0);
    /// let times = timer.times();
    /// assert!(times.running);
    /// assert_eq!(times.subdivisions[0].position, "UNASSIGNED");
    /// assert_eq!(times.subdivisions[0].timers[0].total, 2.0);
    /// ```
    #[must_use]
    pub fn times(&self) -> Times {
        let ticks = if self.is_disabled() { 0 } else { self.clock.ticks() };
        let root = self.around.first().unwrap_or(&self.top);
        if self.is_disabled() {
            return Times { name: root.name.as_str().to_owned(), ..Times::default() };
        }
        let rate = self.clock.ticks_per_second();
        if root.is(flag::STOPPED) {
            return root.to_times(None, rate);
        }
        let mut copy = Timer {
            top: self.top.clone(),
            clock: Frozen { ticks, rate },
            cost: self.cost,
            around: self.around.clone(),
            tags: self.tags,
            settings: self.settings,
            flags: 0,
            root_name: self.root_name,
            publisher: None,
            armed: None,
        };
        for node in copy.around.iter_mut().chain([&mut copy.top]) {
            node.flags &= !flag::OF_TIMER;
        }
        copy.wake();
        let now = copy.now();
        while !copy.around.is_empty() {
            copy.close_top();
        }
        copy.abandon_loop(now);
        copy.assign(None, copy.settings.keep_subdivisions);
        copy.finish(now);
        Times { running: true, ..copy.top.to_times(None, rate) }
    }
}
