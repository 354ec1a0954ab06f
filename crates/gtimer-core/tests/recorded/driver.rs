//! Does what a recorded run says, on whatever machine can.
//!
//! A [`Machine`] is the timer itself or the model of it; the driver takes it through the
//! operations, keeps the saved copies and the snapshots, and logs what every operation came to.

use super::program::{Backdate, Entry, LoopSpec, Op, Setting, StampArgs, Step};
use super::tree::Tree;

/// What an operation gives, or the name of the error that it is refused with.
pub(crate) type Answer = Result<Option<f64>, &'static str>;

/// A timer with a clock that can be told.
pub(crate) trait Machine {
    /// A saved copy of the root's times.
    type Saved: Clone;

    fn advance(&mut self, by: f64);
    fn start(&mut self, backdate: Option<Backdate>) -> Answer;
    fn stamp(&mut self, name: &str, args: StampArgs) -> Answer;
    fn stop(&mut self, name: Option<&str>, args: StampArgs) -> Answer;
    fn blank_stamp(&mut self, args: StampArgs) -> Answer;
    fn pause(&mut self) -> Answer;
    fn resume(&mut self) -> Answer;
    fn reset(&mut self) -> Answer;
    fn reset_root(&mut self) -> Answer;
    fn current_time(&mut self) -> Answer;
    fn subdivide(&mut self, entry: &Entry) -> Answer;
    fn end_subdivision(&mut self) -> Answer;
    /// Calls a timed function.
    fn call(&mut self, entry: &Entry, body: &mut dyn FnMut(&mut Self)) -> Answer;
    /// Runs a timed loop; the body is told the number of the pass.
    fn timed_loop(&mut self, spec: &LoopSpec, body: &mut dyn FnMut(&mut Self, usize)) -> Answer;
    fn rename_root(&mut self, name: &str) -> Answer;
    fn rgstr_stamps_root(&mut self, names: &[String]) -> Answer;
    fn set_save_itrs_root(&mut self, value: bool) -> Answer;
    fn set_default(&mut self, setting: Setting, value: bool) -> Answer;
    /// A copy of the root's times, collapsed where it runs.
    fn times(&mut self) -> Self::Saved;
    /// gtimer's merge takes the subdivisions out of a saved copy whose worker already awaits;
    /// so does this, see the notes in `engine.rs`.
    fn attach_par(&mut self, group: &str, times: &mut [Self::Saved]) -> Answer;
    fn attach(&mut self, times: &mut Self::Saved) -> Answer;
    fn tree(saved: &Self::Saved) -> Tree;
}

/// What came of one operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Where it is in the program.
    pub(crate) at: String,
    /// Whether it holds no other operations.
    pub(crate) is_leaf: bool,
    /// How many snapshots had been taken when it ended.
    pub(crate) n_snapshots: usize,
    pub(crate) answer: Answer,
}

/// What came of a whole program.
#[derive(Debug, Clone)]
pub(crate) struct Outcome<S> {
    saved: Vec<(String, S)>,
    /// Every operation, in the order in which they ended.
    pub(crate) events: Vec<Event>,
    /// Where an operation did not come to what it must.
    pub(crate) faults: Vec<String>,
    pub(crate) snapshots: Vec<(String, Tree)>,
}

impl<S> Default for Outcome<S> {
    fn default() -> Self {
        Self { saved: Vec::new(), events: Vec::new(), faults: Vec::new(), snapshots: Vec::new() }
    }
}

/// Runs a program.
pub(crate) fn run<M: Machine>(machine: &mut M, steps: &[Step]) -> Outcome<M::Saved> {
    let mut outcome = Outcome::default();
    all(machine, &mut outcome, steps, "ops");
    outcome
}

fn all<M: Machine>(machine: &mut M, out: &mut Outcome<M::Saved>, steps: &[Step], at: &str) {
    for (i, step) in steps.iter().enumerate() {
        one(machine, out, step, &format!("{at}[{i}]"));
    }
}

fn one<M: Machine>(machine: &mut M, out: &mut Outcome<M::Saved>, step: &Step, at: &str) {
    let answer = match &step.op {
        Op::Advance(by) => {
            machine.advance(*by);
            Ok(None)
        }
        Op::Start(backdate) => machine.start(*backdate),
        Op::Stamp(name, args) => machine.stamp(name, *args),
        Op::Stop(name, args) => machine.stop(name.as_deref(), *args),
        Op::BlankStamp(_, args) => machine.blank_stamp(*args),
        Op::Pause => machine.pause(),
        Op::Resume => machine.resume(),
        Op::Reset => machine.reset(),
        Op::ResetRoot => machine.reset_root(),
        Op::CurrentTime => machine.current_time(),
        Op::Subdivide(entry) => machine.subdivide(entry),
        Op::EndSubdivision => machine.end_subdivision(),
        Op::Call(entry, body) => {
            let at = format!("{at}.body");
            machine.call(entry, &mut |machine| all(machine, out, body, &at))
        }
        Op::Loop(spec) => machine.timed_loop(spec, &mut |machine, pass| {
            all(machine, out, &spec.iterations[pass], &format!("{at}.iterations[{pass}]"));
        }),
        Op::RenameRoot(name) => machine.rename_root(name),
        Op::RgstrStampsRoot(names) => machine.rgstr_stamps_root(names),
        Op::SetSaveItrsRoot(value) => machine.set_save_itrs_root(*value),
        Op::SetDefault(setting, value) => machine.set_default(*setting, *value),
        Op::SaveTimes(name) => {
            let times = machine.times();
            out.saved.retain(|(other, _)| other != name);
            out.saved.push((name.clone(), times));
            Ok(None)
        }
        Op::Snapshot(name) => {
            let times = machine.times();
            out.snapshots.push((name.clone(), M::tree(&times)));
            Ok(None)
        }
        Op::AttachPar(group, names) => match saved(&out.saved, names) {
            Ok(mut times) => {
                let answer = machine.attach_par(group, &mut times);
                keep(&mut out.saved, names, times);
                answer
            }
            Err(name) => return out.faults.push(not_saved(at, &name)),
        },
        Op::Attach(name) => match saved(&out.saved, std::slice::from_ref(name)) {
            Ok(mut times) => {
                let answer = machine.attach(&mut times[0]);
                keep(&mut out.saved, std::slice::from_ref(name), times);
                answer
            }
            Err(name) => return out.faults.push(not_saved(at, &name)),
        },
    };
    check(out, step, at, answer);
    let is_leaf = !matches!(step.op, Op::Call(..) | Op::Loop(_));
    let n_snapshots = out.snapshots.len();
    out.events.push(Event { at: at.to_owned(), is_leaf, n_snapshots, answer });
}

fn check<S>(out: &mut Outcome<S>, step: &Step, at: &str, answer: Answer) {
    match (&step.raises, answer) {
        (Some(kind), Err(found)) if kind == found => {}
        (Some(kind), Err(found)) => {
            out.faults.push(format!("{at}: should be refused with {kind}, is with {found}"));
        }
        (Some(kind), Ok(_)) => {
            out.faults.push(format!("{at}: should be refused with {kind}, is accepted"));
        }
        (None, Err(found)) => {
            out.faults.push(format!("{at}: should be accepted, is refused with {found}"));
        }
        (None, Ok(found)) => {
            if let Some(expected) = step.returns
                && expected != found
            {
                out.faults.push(format!("{at}: should return {expected:?}, returns {found:?}"));
            }
        }
    }
}

fn not_saved(at: &str, name: &str) -> String {
    format!("{at}: no times were saved as {name:?}")
}

/// The saved copies of these names, or the first name that has none.
fn saved<S: Clone>(all: &[(String, S)], names: &[String]) -> Result<Vec<S>, String> {
    let find = |name: &String| {
        let found = all.iter().find(|(other, _)| other == name);
        found.map(|(_, times)| times.clone()).ok_or_else(|| name.clone())
    };
    names.iter().map(find).collect()
}

/// Puts back what an attach left of the saved copies.
fn keep<S>(all: &mut [(String, S)], names: &[String], times: Vec<S>) {
    for (name, times) in names.iter().zip(times) {
        if let Some((_, kept)) = all.iter_mut().find(|(other, _)| other == name) {
            *kept = times;
        }
    }
}
