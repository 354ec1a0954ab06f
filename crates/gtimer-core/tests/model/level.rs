//! A timer of the model that runs: its stamps, its loop, and what awaits a position.

use super::UNASSIGNED;
use super::node::{Node, add};
use crate::recorded::tree::Stamp;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Root,
    /// Made by `subdivide`.
    User,
    /// Made by the call of a timed function.
    Call,
    /// The timer of a named loop.
    Loop,
}

/// A stamp of a level that runs.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) cum: f64,
    pub(super) data: Data,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    /// Outside a loop: one iteration, however often it was stamped.
    Flat,
    /// In a loop that keeps its iterations.
    Kept(Vec<f64>),
    /// In a loop that does not.
    Online { num: u64, max: f64, min: f64 },
}

/// A timer on the stack.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Times that are settled: subdivisions and groups with a position.
    pub(super) node: Node,
    pub(super) slots: Vec<Slot>,
    pub(super) rgstr_stamps: Vec<String>,
    pub(super) stopped: bool,
    pub(super) paused: bool,
    pub(super) start_t: f64,
    /// No interval is open while it is paused, unless a blank stamp opened one.
    pub(super) last_t: Option<f64>,
    pub(super) tmp_total: f64,
    pub(super) awaiting: Vec<Node>,
    pub(super) par_awaiting: Vec<(String, Vec<Node>)>,
    /// The loop whose stamps land here.
    pub(super) in_loop: Option<Loop>,
}

#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) id: u64,
    /// A named loop is a stamp of the level below.
    pub(super) name: Option<String>,
    pub(super) rgstr_stamps: Vec<String>,
    pub(super) save_itrs: bool,
    /// Whether a pass is under way.
    pub(super) open: bool,
    /// The stamps that belong to this loop.
    pub(super) members: Vec<String>,
    /// The stamps of this pass and their times.
    pub(super) pass: Vec<(String, f64)>,
    /// The named loops that were entered in this pass.
    pub(super) entered: Vec<String>,
}

impl Level {
    pub(super) fn slot(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.name == name)
    }

    /// Makes a stamp of the loop that is open here, if it is none yet.
    pub(super) fn member(&mut self, name: &str) {
        let Some(in_loop) = &mut self.in_loop else { return };
        if !in_loop.members.iter().any(|member| member == name) {
            in_loop.members.push(name.to_owned());
            let slot = Slot::new(name, in_loop.save_itrs);
            self.slots.push(slot);
        }
    }

    /// Gives the time since the last stamp to a name.
    pub(super) fn record(&mut self, name: &str, at: f64, unique: bool) -> Result<(), &'static str> {
        let elapsed = at - self.last_t.expect("it is not paused");
        let known = self.slot(name).is_some();
        if let Some(in_loop) = &mut self.in_loop {
            if known && !in_loop.members.iter().any(|member| member == name) {
                return Err("UniqueNameError");
            }
            let entered = in_loop.entered.iter().any(|other| other == name);
            match in_loop.pass.iter_mut().find(|(other, _)| other == name) {
                Some(_) if unique => return Err("UniqueNameError"),
                None if unique && entered => return Err("UniqueNameError"),
                Some((_, time)) => *time += elapsed,
                None => in_loop.pass.push((name.to_owned(), elapsed)),
            }
            self.member(name);
            self.slot(name).expect("just made").cum += elapsed;
            return Ok(());
        }
        match self.slot(name) {
            Some(_) if unique => return Err("UniqueNameError"),
            Some(slot) => slot.cum += elapsed,
            None => {
                self.slots.push(Slot { name: name.to_owned(), cum: elapsed, data: Data::Flat });
            }
        }
        Ok(())
    }

    /// Gives a position to what awaits one, or drops it.
    pub(super) fn assign(&mut self, position: &str, keep: bool) {
        let (timers, groups) =
            (std::mem::take(&mut self.awaiting), std::mem::take(&mut self.par_awaiting));
        if !keep {
            return;
        }
        for timer in timers {
            add(self.node.at(position), timer, Some(position));
        }
        for (group, workers) in groups {
            for worker in workers {
                add(self.node.group(position, &group), worker, Some(position));
            }
        }
    }

    /// Stops it if it runs, and settles its times.
    pub(super) fn finish(&mut self, at: f64, keep: bool) {
        if self.stopped {
            return;
        }
        self.assign(UNASSIGNED, keep);
        self.settle(at);
    }

    /// What every stop does at its end.
    pub(super) fn settle(&mut self, at: f64) {
        for name in self.rgstr_stamps.clone() {
            if self.slot(&name).is_none() {
                self.slots.push(Slot { name, cum: 0.0, data: Data::Flat });
            }
        }
        if !self.paused {
            self.tmp_total += at - self.start_t;
        }
        self.node.total = self.tmp_total;
        self.node.stamps_sum = self.slots.iter().map(|slot| slot.cum).sum();
        self.node.stamps = self.slots.iter().map(Slot::settled).collect();
        self.stopped = true;
    }
}

impl Slot {
    /// A stamp of a loop.
    pub(super) fn new(name: &str, save_itrs: bool) -> Self {
        let data = if save_itrs {
            Data::Kept(Vec::new())
        } else {
            Data::Online { num: 0, max: 0.0, min: f64::INFINITY }
        };
        Self { name: name.to_owned(), cum: 0.0, data }
    }

    pub(super) fn iteration(&mut self, time: f64) {
        match &mut self.data {
            Data::Flat => {}
            Data::Kept(itrs) => itrs.push(time),
            Data::Online { num, max, min } => {
                (*num, *max, *min) = (*num + 1, max.max(time), min.min(time));
            }
        }
    }

    pub(super) fn settled(&self) -> Stamp {
        let (name, cum) = (self.name.clone(), self.cum);
        match &self.data {
            Data::Flat => Stamp { name, cum, itr_num: 1, itr_max: cum, itr_min: cum, itrs: None },
            Data::Online { num, max, min } => {
                let itr_min = if *num == 0 { 0.0 } else { *min };
                Stamp { name, cum, itr_num: *num, itr_max: *max, itr_min, itrs: None }
            }
            Data::Kept(itrs) => {
                let counted: Vec<f64> = itrs.iter().copied().filter(|&time| time != 0.0).collect();
                let least = counted.iter().copied().reduce(f64::min);
                Stamp {
                    name,
                    cum,
                    itr_num: counted.len() as u64,
                    itr_max: itrs.iter().copied().fold(0.0, f64::max),
                    itr_min: least.unwrap_or(0.0),
                    itrs: Some(itrs.clone()),
                }
            }
        }
    }
}
