//! A slow and obvious model of gtimer: seconds as `f64`, names as strings, lists that are searched.
//!
//! It is written from what is known of gtimer 1.0.0b5 alone, not from the timer that it checks.
//! Self time is zero in it, because its clock stands still while it works.

#![allow(dead_code, reason = "the recorded runs and the property tests use a part each")]

pub(crate) mod programs;

use crate::recorded::driver::{Answer, Machine};
use crate::recorded::program::{Backdate, Entry, LoopSpec, Setting, StampArgs};
use crate::recorded::tree::{Stamp, Tree};

const UNASSIGNED: &str = "UNASSIGNED";

/// The times of a timer, and what gtimer keeps beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    name: String,
    position: Option<String>,
    total: f64,
    stamps_sum: f64,
    save_itrs: bool,
    stamps: Vec<Stamp>,
    subdivisions: Vec<(String, Vec<Node>)>,
    parallel: Vec<(String, String, Vec<Node>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
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
struct Slot {
    name: String,
    cum: f64,
    data: Data,
}

#[derive(Debug, Clone)]
enum Data {
    /// Outside a loop: one iteration, however often it was stamped.
    Flat,
    /// In a loop that keeps its iterations.
    Kept(Vec<f64>),
    /// In a loop that does not.
    Online { num: u64, max: f64, min: f64 },
}

/// A timer on the stack.
#[derive(Debug, Clone)]
struct Level {
    id: u64,
    kind: Kind,
    /// Times that are settled: subdivisions and groups with a position.
    node: Node,
    slots: Vec<Slot>,
    rgstr_stamps: Vec<String>,
    stopped: bool,
    paused: bool,
    start_t: f64,
    /// No interval is open while it is paused, unless a blank stamp opened one.
    last_t: Option<f64>,
    tmp_total: f64,
    awaiting: Vec<Node>,
    par_awaiting: Vec<(String, Vec<Node>)>,
    /// The loop whose stamps land here.
    in_loop: Option<Loop>,
}

#[derive(Debug, Clone)]
struct Loop {
    id: u64,
    /// A named loop is a stamp of the level below.
    name: Option<String>,
    rgstr_stamps: Vec<String>,
    save_itrs: bool,
    /// Whether a pass is under way.
    open: bool,
    /// The stamps that belong to this loop.
    members: Vec<String>,
    /// The stamps of this pass and their times.
    pass: Vec<(String, f64)>,
    /// The named loops that were entered in this pass.
    entered: Vec<String>,
}

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

impl Level {
    fn slot(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.name == name)
    }

    /// Makes a stamp of the loop that is open here, if it is none yet.
    fn member(&mut self, name: &str) {
        let Some(in_loop) = &mut self.in_loop else { return };
        if !in_loop.members.iter().any(|member| member == name) {
            in_loop.members.push(name.to_owned());
            let slot = Slot::new(name, in_loop.save_itrs);
            self.slots.push(slot);
        }
    }

    /// Gives the time since the last stamp to a name.
    fn record(&mut self, name: &str, at: f64, unique: bool) -> Result<(), &'static str> {
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
    fn assign(&mut self, position: &str, keep: bool) {
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
    fn finish(&mut self, at: f64, keep: bool) {
        if self.stopped {
            return;
        }
        self.assign(UNASSIGNED, keep);
        self.settle(at);
    }

    /// What every stop does at its end.
    fn settle(&mut self, at: f64) {
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
    fn new(name: &str, save_itrs: bool) -> Self {
        let data = if save_itrs {
            Data::Kept(Vec::new())
        } else {
            Data::Online { num: 0, max: 0.0, min: f64::INFINITY }
        };
        Self { name: name.to_owned(), cum: 0.0, data }
    }

    fn iteration(&mut self, time: f64) {
        match &mut self.data {
            Data::Flat => {}
            Data::Kept(itrs) => itrs.push(time),
            Data::Online { num, max, min } => {
                (*num, *max, *min) = (*num + 1, max.max(time), min.min(time));
            }
        }
    }

    fn settled(&self) -> Stamp {
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

impl Node {
    fn at(&mut self, position: &str) -> &mut Vec<Self> {
        let at = self.subdivisions.iter().position(|(other, _)| other == position);
        let at = at.unwrap_or_else(|| {
            self.subdivisions.push((position.to_owned(), Vec::new()));
            self.subdivisions.len() - 1
        });
        &mut self.subdivisions[at].1
    }

    fn group(&mut self, position: &str, group: &str) -> &mut Vec<Self> {
        let at = self.parallel.iter().position(|(p, g, _)| p == position && g == group);
        let at = at.unwrap_or_else(|| {
            self.parallel.push((position.to_owned(), group.to_owned(), Vec::new()));
            self.parallel.len() - 1
        });
        &mut self.parallel[at].2
    }

    fn merge(&mut self, new: Self) {
        self.total += new.total;
        self.stamps_sum += new.stamps_sum;
        for stamp in new.stamps {
            match self.stamps.iter_mut().find(|old| old.name == stamp.name) {
                Some(old) => merge_stamp(old, &stamp, self.save_itrs),
                None => self.stamps.push(stamp),
            }
        }
        for (position, timers) in new.subdivisions {
            for timer in timers {
                add(self.at(&position), timer, Some(&position));
            }
        }
        for (position, group, workers) in new.parallel {
            for worker in workers {
                add(self.group(&position, &group), worker, Some(&position));
            }
        }
    }

    fn tree(&self) -> Tree {
        let trees = |nodes: &[Self]| nodes.iter().map(Self::tree).collect::<Vec<_>>();
        let all = self.subdivisions.iter().filter(|(_, timers)| !timers.is_empty());
        Tree {
            name: self.name.clone(),
            position: self.position.clone(),
            total: self.total,
            stamps_sum: self.stamps_sum,
            self_agg: 0.0,
            stamps: self.stamps.clone(),
            subdivisions: all.map(|(at, timers)| (at.clone(), trees(timers))).collect(),
            parallel: self
                .parallel
                .iter()
                .map(|(at, group, workers)| (at.clone(), group.clone(), trees(workers)))
                .collect(),
        }
    }
}

/// Adds times to a list in which no two have one name.
fn add(list: &mut Vec<Node>, mut new: Node, position: Option<&str>) {
    new.position = position.map(str::to_owned);
    match list.iter_mut().find(|old| old.name == new.name) {
        Some(old) => old.merge(new),
        None => list.push(new),
    }
}

fn merge_stamp(old: &mut Stamp, new: &Stamp, save_itrs: bool) {
    if save_itrs && new.itr_num == 1 {
        old.itrs.get_or_insert_with(|| vec![old.cum]).push(new.cum);
    }
    if let Some(more) = &new.itrs {
        old.itrs.get_or_insert_default().extend(more);
    }
    old.cum += new.cum;
    old.itr_num += new.itr_num;
    old.itr_max = old.itr_max.max(new.itr_max);
    old.itr_min = old.itr_min.min(new.itr_min);
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
