//! A slow and obvious model of gtimer: seconds as `f64`, names as strings, lists that are searched.
//!
//! It is written from what is known of gtimer 1.0.0b5 alone, not from the timer that it checks.
//! Self time is zero in it, because its clock stands still while it works.

#![allow(dead_code, reason = "the recorded runs and the property tests use a part each")]

mod level;
mod node;
pub(crate) mod programs;

use level::{Kind, Level, Loop, Slot};
pub(crate) use node::Node;
use node::add;

use crate::recorded::driver::{Answer, Machine};
use crate::recorded::program::{Backdate, Entry, LoopSpec, Setting, StampArgs};
use crate::recorded::tree::Tree;

const UNASSIGNED: &str = "UNASSIGNED";

/// The model. Its clock starts at zero.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    now: f64,
    levels: Vec<Level>,
    next_id: u64,
    unique: bool,
    keep: bool,
    save_itrs: bool,
    /// Whether it has the faults of the recorded package that its runs show: loops and
    /// subdivisions keep the defaults of the import, and a loop that cannot be ended stays open.
    recorded: bool,
}

impl Model {
    /// A model of what is documented.
    pub(crate) fn new() -> Self {
        Self::with(false)
    }

    /// A model of the package that was recorded.
    pub(crate) fn recorded() -> Self {
        Self::with(true)
    }

    fn with(recorded: bool) -> Self {
        let mut model = Self {
            now: 0.0,
            levels: Vec::new(),
            next_id: 0,
            unique: true,
            keep: true,
            save_itrs: true,
            recorded,
        };
        model.push(Kind::Root, "root", Vec::new(), true);
        model
    }

    fn push(&mut self, kind: Kind, name: &str, rgstr_stamps: Vec<String>, save_itrs: bool) -> u64 {
        let id = self.fresh_id();
        self.levels.push(Level {
            id,
            kind,
            node: Node { name: name.to_owned(), save_itrs, ..Node::default() },
            slots: Vec::new(),
            rgstr_stamps,
            stopped: false,
            paused: false,
            start_t: self.now,
            last_t: Some(self.now),
            tmp_total: 0.0,
            awaiting: Vec::new(),
            par_awaiting: Vec::new(),
            in_loop: None,
        });
        id
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn top(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the root is never closed")
    }

    fn is_root(&self) -> bool {
        self.levels.len() == 1
    }

    /// The time that a stamp is for.
    fn stamp_time(
        &self,
        backdate: Option<Backdate>,
        earliest: Option<f64>,
    ) -> Result<f64, &'static str> {
        let Some(backdate) = backdate else { return Ok(self.now) };
        if !backdate.is_float {
            return Err("TypeError");
        }
        // Where no interval is open, there is nothing that could have begun before.
        let earliest = earliest.unwrap_or(self.now);
        if backdate.seconds > self.now || backdate.seconds < earliest || backdate.seconds.is_nan() {
            return Err("BackdateError");
        }
        Ok(backdate.seconds)
    }

    /// Closes the timer on top and gives it to the one below, which must exist.
    fn close_top(&mut self) {
        self.abandon_loop(None, true);
        let (now, keep) = (self.now, self.keep);
        let mut level = self.levels.pop().expect("a level");
        level.finish(now, keep);
        let parent = self.top();
        if level.kind == Kind::Loop {
            let position = level.node.name.clone();
            add(parent.node.at(&position), level.node, Some(&position));
        } else {
            add(&mut parent.awaiting, level.node, None);
        }
    }

    /// Ends the loop of the level on top where it has one. What awaits is kept where `keep` says so,
    /// else as the setting says.
    fn abandon_loop(&mut self, end_stamp: Option<&str>, keep: bool) {
        if self.top().in_loop.as_ref().is_some_and(|l| l.open) {
            // A pass that cannot be ended is lost; its times stay in the sums.
            let _ = self.end_pass(end_stamp, keep);
        }
        self.top().in_loop = None;
    }

    /// Ends the pass of the loop on top.
    fn end_pass(&mut self, end_stamp: Option<&str>, at_import: bool) -> Result<(), &'static str> {
        let (now, unique, keep) = (self.now, self.unique || at_import, self.keep || at_import);
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if top.paused {
            return Err("PausedError");
        }
        match end_stamp {
            Some(name) => {
                top.record(name, now, unique)?;
                top.assign(name, keep);
            }
            None => top.assign(UNASSIGNED, keep),
        }
        top.last_t = Some(now);
        let Some(in_loop) = &mut top.in_loop else { return Err("LoopError") };
        in_loop.open = false;
        let mut pass = std::mem::take(&mut in_loop.pass);
        let entered = std::mem::take(&mut in_loop.entered);
        let (save, name) = (in_loop.save_itrs, in_loop.name.clone());
        for absent in in_loop.rgstr_stamps.clone() {
            let met = pass.iter().any(|(name, _)| *name == absent) || entered.contains(&absent);
            if !met {
                top.member(&absent);
                if save {
                    pass.push((absent, 0.0));
                }
            }
        }
        for (name, time) in pass {
            top.slot(&name).expect("made by its first stamp").iteration(time);
        }
        if let (Some(name), [.., parent, _]) = (name, self.levels.as_mut_slice()) {
            let elapsed = now - parent.last_t.expect("it runs, because the loop was entered");
            let slot = parent.slot(&name).expect("made at entry");
            slot.cum += elapsed;
            slot.iteration(elapsed);
            parent.last_t = Some(now);
        }
        Ok(())
    }

    fn enter_loop(&mut self, spec: &LoopSpec) -> Result<u64, &'static str> {
        let (now, keep, id) = (self.now, self.keep || self.recorded, self.fresh_id());
        let save_itrs = spec.save_itrs.unwrap_or(self.save_itrs || self.recorded);
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if top.paused {
            return Err("PausedError");
        }
        match &spec.name {
            None if top.in_loop.is_some() => return Err("LoopError"),
            None if spec.rgstr_stamps.iter().any(|name| top.slot(name).is_some()) => {
                return Err("UniqueNameError");
            }
            None => {}
            Some(name) => {
                let known = top.slot(name).is_some();
                let in_loop = top.in_loop.as_ref();
                let again = in_loop.is_some_and(|l| {
                    l.members.contains(name) && !l.pass.iter().any(|(used, _)| used == name)
                });
                if known && !again {
                    return Err("UniqueNameError");
                }
            }
        }
        top.assign(UNASSIGNED, keep);
        top.last_t = Some(now);
        if let Some(name) = &spec.name {
            match &mut top.in_loop {
                Some(outer) => {
                    outer.entered.push(name.clone());
                    if !outer.members.contains(name) {
                        outer.members.push(name.clone());
                        top.slots.push(Slot::new(name, save_itrs));
                    }
                }
                None => top.slots.push(Slot::new(name, save_itrs)),
            }
            top.node.at(name);
            self.push(Kind::Loop, name, Vec::new(), save_itrs);
        }
        self.top().in_loop = Some(Loop {
            id,
            name: spec.name.clone(),
            rgstr_stamps: spec.rgstr_stamps.clone(),
            save_itrs,
            open: false,
            members: Vec::new(),
            pass: Vec::new(),
            entered: Vec::new(),
        });
        Ok(id)
    }

    /// The loop, if it is the one that the level on top is in.
    fn on_top(&mut self, id: u64) -> Result<&mut Loop, &'static str> {
        self.top().in_loop.as_mut().filter(|l| l.id == id).ok_or("LoopError")
    }

    /// One pass of a loop.
    fn pass(
        &mut self,
        id: u64,
        spec: &LoopSpec,
        body: &mut dyn FnMut(&mut Self),
    ) -> Result<(), &'static str> {
        self.on_top(id)?.open = true;
        body(self);
        self.on_top(id)?;
        self.end_pass(spec.end_stamp.as_deref(), self.recorded)
    }

    /// Closes whatever is open above this loop, and the loop.
    fn leave(&mut self, id: u64, end_stamp: Option<&str>) {
        let at = self.levels.iter().position(|l| l.in_loop.as_ref().is_some_and(|l| l.id == id));
        let Some(at) = at else { return };
        while self.levels.len() > at + 1 {
            self.close_top();
        }
        self.abandon_loop(end_stamp, false);
        if self.top().kind == Kind::Loop {
            self.close_top();
        }
    }

    fn collapsed(&self) -> Node {
        let root = &self.levels[0];
        if root.stopped {
            return root.node.clone();
        }
        let mut copy = self.clone();
        while copy.levels.len() > 1 {
            copy.close_top();
        }
        copy.abandon_loop(None, true);
        let mut root = copy.levels.pop().expect("the root");
        root.finish(self.now, self.keep);
        root.node
    }
}

impl Machine for Model {
    type Saved = Node;

    fn advance(&mut self, by: f64) {
        self.now += by;
    }

    fn start(&mut self, backdate: Option<Backdate>) -> Answer {
        let (now, is_root) = (self.now, self.is_root());
        let earliest = self.levels.iter().rev().nth(1).map(|parent| parent.last_t);
        let top = self.top();
        if !top.slots.is_empty() || !top.awaiting.is_empty() || !top.par_awaiting.is_empty() {
            return Err("StartError");
        }
        if top.stopped {
            return Err("StoppedError");
        }
        let at = match backdate {
            Some(_) if is_root => return Err("BackdateError"),
            _ => self.stamp_time(backdate, earliest.flatten())?,
        };
        let top = self.top();
        (top.paused, top.tmp_total) = (false, 0.0);
        (top.start_t, top.last_t) = (at, Some(at));
        Ok(Some(now))
    }

    fn stamp(&mut self, name: &str, args: StampArgs) -> Answer {
        let (now, unique) = (self.now, args.unique.unwrap_or(self.unique));
        let keep = args.keep.unwrap_or(self.keep);
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if top.paused {
            return Err("PausedError");
        }
        let last_t = top.last_t;
        let at = self.stamp_time(args.backdate, last_t)?;
        let top = self.top();
        top.record(name, at, unique)?;
        top.assign(name, keep);
        top.last_t = Some(at);
        Ok(Some(now))
    }

    fn stop(&mut self, name: Option<&str>, args: StampArgs) -> Answer {
        let (now, unique, is_root) = (self.now, args.unique.unwrap_or(self.unique), self.is_root());
        let keep = args.keep.unwrap_or(self.keep);
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if args.backdate.is_some() && is_root {
            return Err("BackdateError");
        }
        if top.paused && name.is_some() {
            return Err("PausedError");
        }
        let last_t = top.last_t;
        let at = self.stamp_time(args.backdate, last_t)?;
        let top = self.top();
        match name {
            Some(name) => {
                top.record(name, at, unique)?;
                top.assign(name, keep);
            }
            None => top.assign(UNASSIGNED, keep),
        }
        top.settle(at);
        Ok(Some(now))
    }

    fn blank_stamp(&mut self, args: StampArgs) -> Answer {
        let now = self.now;
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        // A moment is taken, as by `stamp`, but nothing is done with it.
        top.assign(UNASSIGNED, args.keep.unwrap_or(false));
        top.last_t = Some(now);
        Ok(Some(now))
    }

    fn pause(&mut self) -> Answer {
        let now = self.now;
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if top.paused {
            return Err("PausedError");
        }
        top.paused = true;
        top.tmp_total += now - top.start_t;
        top.last_t = None;
        Ok(Some(now))
    }

    fn resume(&mut self) -> Answer {
        let now = self.now;
        let top = self.top();
        if top.stopped {
            return Err("StoppedError");
        }
        if !top.paused {
            return Err("PausedError");
        }
        top.paused = false;
        (top.start_t, top.last_t) = (now, Some(now));
        Ok(Some(now))
    }

    fn reset(&mut self) -> Answer {
        let now = self.now;
        let top = self.top();
        if top.in_loop.is_some() {
            return Err("LoopError");
        }
        let old = top.clone();
        self.levels.pop();
        self.push(old.kind, &old.node.name, old.rgstr_stamps, old.node.save_itrs);
        self.top().id = old.id;
        Ok(Some(now))
    }

    fn reset_root(&mut self) -> Answer {
        self.levels.clear();
        self.push(Kind::Root, "root", Vec::new(), true);
        Ok(Some(self.now))
    }

    fn current_time(&mut self) -> Answer {
        Ok(Some(self.now))
    }

    fn subdivide(&mut self, entry: &Entry) -> Answer {
        let save_itrs = entry.save_itrs.unwrap_or(self.save_itrs || self.recorded);
        self.push(Kind::User, &entry.name, entry.rgstr_stamps.clone(), save_itrs);
        Ok(None)
    }

    fn end_subdivision(&mut self) -> Answer {
        let top = self.top();
        if top.kind != Kind::User {
            return Err("GTimerError");
        }
        if top.in_loop.is_some() {
            return Err("LoopError");
        }
        self.close_top();
        Ok(None)
    }

    fn call(&mut self, entry: &Entry, body: &mut dyn FnMut(&mut Self)) -> Answer {
        let save_itrs = entry.save_itrs.unwrap_or(self.save_itrs);
        let id = self.push(Kind::Call, &entry.name, entry.rgstr_stamps.clone(), save_itrs);
        body(self);
        if let Some(at) = self.levels.iter().position(|level| level.id == id) {
            while self.levels.len() > at {
                self.close_top();
            }
        }
        Ok(None)
    }

    fn timed_loop(&mut self, spec: &LoopSpec, body: &mut dyn FnMut(&mut Self, usize)) -> Answer {
        if !spec.is_for && spec.iterations.is_empty() {
            // It is entered by its first pass.
            return Ok(None);
        }
        let id = self.enter_loop(spec)?;
        let n = spec.break_after.unwrap_or(usize::MAX).min(spec.iterations.len());
        for pass in 0..n {
            if let Err(e) = self.pass(id, spec, &mut |model| body(model, pass)) {
                if !self.recorded {
                    self.leave(id, spec.end_stamp.as_deref());
                }
                return Err(e);
            }
        }
        self.leave(id, None);
        Ok(None)
    }

    fn rename_root(&mut self, name: &str) -> Answer {
        self.levels[0].node.name = name.to_owned();
        Ok(None)
    }

    fn rgstr_stamps_root(&mut self, names: &[String]) -> Answer {
        self.levels[0].rgstr_stamps = names.to_vec();
        Ok(None)
    }

    fn set_save_itrs_root(&mut self, value: bool) -> Answer {
        self.levels[0].node.save_itrs = value;
        Ok(None)
    }

    fn set_default(&mut self, setting: Setting, value: bool) -> Answer {
        match setting {
            Setting::Unique => self.unique = value,
            Setting::KeepSubdivisions => self.keep = value,
            Setting::SaveItrs => self.save_itrs = value,
            Setting::QuickPrint => {}
        }
        Ok(None)
    }

    fn times(&mut self) -> Node {
        self.collapsed()
    }

    fn attach_par(&mut self, group: &str, times: &mut [Node]) -> Answer {
        let top = self.top();
        if times.iter().any(|worker| worker.total <= 0.0) {
            return Err("AssertionError");
        }
        let at = top.par_awaiting.iter().position(|(other, _)| other == group);
        let at = at.unwrap_or_else(|| {
            top.par_awaiting.push((group.to_owned(), Vec::new()));
            top.par_awaiting.len() - 1
        });
        let merges: Vec<bool> = times
            .iter()
            .map(|new| top.par_awaiting[at].1.iter().any(|other| other.name == new.name))
            .collect();
        for (worker, merges) in times.iter_mut().zip(merges) {
            attach(&mut top.par_awaiting[at].1, worker, merges);
        }
        Ok(None)
    }

    fn attach(&mut self, times: &mut Node) -> Answer {
        if times.total <= 0.0 {
            return Err("AssertionError");
        }
        let awaiting = &mut self.top().awaiting;
        let merges = awaiting.iter().any(|other| other.name == times.name);
        attach(awaiting, times, merges);
        Ok(None)
    }

    fn tree(saved: &Node) -> Tree {
        saved.tree()
    }
}

/// Adds a copy, and empties the original where gtimer does.
fn attach(awaiting: &mut Vec<Node>, times: &mut Node, merges: bool) {
    add(awaiting, times.clone(), None);
    if merges {
        times.subdivisions.clear();
        times.parallel.clear();
    }
}
