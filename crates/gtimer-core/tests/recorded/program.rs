//! Recorded runs: the documented JSON format, read strictly.
//!
//! The format is described in `tests/data/gtimer/README.md` of the workspace. Whatever is not in
//! it is refused by name, so that a run is never judged by a part of what it says.

use serde_json::{Map, Value};

use super::tree::Tree;

/// One recorded run: what was done and what came out.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) last: Tree,
    pub(crate) snapshots: Vec<(String, Tree)>,
    pub(crate) texts: Vec<(Text, Vec<String>)>,
}

/// A printed text of the final tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Structure,
    Report,
    ReportDelimited,
    Compare,
    CompareDelimited,
}

impl Text {
    const ALL: [Self; 5] = [
        Self::Structure,
        Self::Report,
        Self::ReportDelimited,
        Self::Compare,
        Self::CompareDelimited,
    ];

    /// The key of the text in the file.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Structure => "expected_structure",
            Self::Report => "report",
            Self::ReportDelimited => "report_delimited",
            Self::Compare => "compare",
            Self::CompareDelimited => "compare_delimited",
        }
    }
}

/// One operation and what it must come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) op: Op,
    /// The kind of error that it must be refused with.
    pub(crate) raises: Option<String>,
    /// The value that it must give; `Some(None)` where it must give none.
    pub(crate) returns: Option<Option<f64>>,
}

/// One operation; see the README of the recorded runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    Advance(f64),
    Start(Option<Backdate>),
    Stamp(String, StampArgs),
    Stop(Option<String>, StampArgs),
    BlankStamp(Option<String>, StampArgs),
    Pause,
    Resume,
    Reset,
    ResetRoot,
    EndSubdivision,
    CurrentTime,
    Subdivide(Entry),
    Call(Entry, Vec<Step>),
    Loop(LoopSpec),
    RenameRoot(String),
    RgstrStampsRoot(Vec<String>),
    SetSaveItrsRoot(bool),
    SetDefault(Setting, bool),
    SaveTimes(String),
    Snapshot(String),
    AttachPar(String, Vec<String>),
    Attach(String),
}

/// A time in the past, in s. gtimer takes floats only and refuses whole numbers as a TypeError.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Backdate {
    pub(crate) seconds: f64,
    pub(crate) is_float: bool,
}

/// What a stamp may be given. Of a long and a short form, either or both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StampArgs {
    pub(crate) backdate: Option<Backdate>,
    pub(crate) unique: Option<bool>,
    pub(crate) keep: Option<bool>,
    pub(crate) quick_print: Option<bool>,
}

/// What a new timer may be given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) rgstr_stamps: Vec<String>,
    pub(crate) save_itrs: Option<bool>,
}

/// A timed loop: `for` (`timed_for`) or `loop` (`timed_loop`).
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LoopSpec {
    pub(crate) is_for: bool,
    pub(crate) name: Option<String>,
    pub(crate) rgstr_stamps: Vec<String>,
    pub(crate) save_itrs: Option<bool>,
    pub(crate) end_stamp: Option<String>,
    pub(crate) break_after: Option<usize>,
    pub(crate) iterations: Vec<Vec<Step>>,
}

/// One of gtimer's four settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Unique,
    KeepSubdivisions,
    QuickPrint,
    SaveItrs,
}

impl From<Op> for Step {
    fn from(op: Op) -> Self {
        Self { op, raises: None, returns: None }
    }
}

/// Reads one recorded run; the error says what is wrong and where.
pub(crate) fn parse(text: &str) -> Result<Run, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    let mut root = Keys::new(&value, "the file")?;
    match root.take("format") {
        Some(Value::Number(n)) if n.as_u64() == Some(1) => {}
        Some(other) => return Err(format!("format is {other}, only format 1 is known")),
        None => return Err("it has no format: this is no recorded run".to_owned()),
    }
    let id = root.string("id")?;
    root.string("title")?;
    let reference = root.string("reference")?;
    if !["gtimer-1.0.0b5", "gtimer-1.0.0b5+repairs"].contains(&reference.as_str()) {
        return Err(format!("reference is {reference:?}, which is not known"));
    }
    let steps = steps(root.need("ops")?, "ops")?;
    let mut expected = Keys::new(root.need("expected")?, "expected")?;
    let last = Tree::parse(expected.need("final")?, "expected.final")?;
    let snapshots = match expected.take("snapshots") {
        None => Vec::new(),
        Some(value) => object(value, "expected.snapshots")?
            .iter()
            .map(|(name, tree)| {
                Ok((name.clone(), Tree::parse(tree, &format!("expected.snapshots.{name}"))?))
            })
            .collect::<Result<_, String>>()?,
    };
    expected.end()?;
    let mut texts = Vec::new();
    for text in Text::ALL {
        if let Some(value) = root.take(text.key()) {
            texts.push((text, strings(value, text.key())?));
        }
    }
    root.end()?;
    Ok(Run { id, steps, last, snapshots, texts })
}

fn steps(value: &Value, at: &str) -> Result<Vec<Step>, String> {
    let list = value.as_array().ok_or_else(|| format!("{at} is not a list"))?;
    list.iter().enumerate().map(|(i, value)| step(value, &format!("{at}[{i}]"))).collect()
}

fn step(value: &Value, at: &str) -> Result<Step, String> {
    let mut keys = Keys::new(value, at)?;
    let op = keys.string("op")?;
    keys.at = format!("{at} ({op})");
    let op = operation(&op, &mut keys)?;
    let raises = match keys.take("raises") {
        None | Some(Value::Null) => None,
        Some(Value::String(kind)) => Some(kind.clone()),
        Some(other) => return Err(format!("{at}: raises is {other}, not a name")),
    };
    let returns = match keys.take("returns") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::Number(n)) => Some(n.as_f64()),
        Some(other) => return Err(format!("{at}: returns is {other}, not a number")),
    };
    keys.end()?;
    Ok(Step { op, raises, returns })
}

fn operation(op: &str, keys: &mut Keys<'_>) -> Result<Op, String> {
    Ok(match op {
        "advance" => {
            let by = keys.number("by")?;
            if by < 0.0 {
                return Err(format!("{}: by is {by}, the clock never goes back", keys.at));
            }
            Op::Advance(by)
        }
        "start" => Op::Start(keys.backdate()?),
        "stamp" => Op::Stamp(keys.name()?, keys.stamp_args()?),
        "stop" => Op::Stop(keys.optional_name("name")?, keys.stamp_args()?),
        "blank_stamp" => Op::BlankStamp(keys.optional_name("name")?, keys.stamp_args()?),
        "pause" => Op::Pause,
        "resume" => Op::Resume,
        "reset" => Op::Reset,
        "reset_root" => Op::ResetRoot,
        "end_subdivision" => Op::EndSubdivision,
        "current_time" => Op::CurrentTime,
        "subdivide" => Op::Subdivide(keys.entry()?),
        "call" => {
            let at = format!("{}.body", keys.at);
            let body = steps(keys.need("body")?, &at)?;
            Op::Call(keys.entry()?, body)
        }
        "for" | "loop" => Op::Loop(keys.timed_loop(op == "for")?),
        "rename_root" => Op::RenameRoot(keys.name()?),
        "rgstr_stamps_root" => Op::RgstrStampsRoot(keys.names("names")?),
        "set_save_itrs_root" => Op::SetSaveItrsRoot(keys.need_bool("value")?),
        "set_default" => Op::SetDefault(keys.setting()?, keys.need_bool("value")?),
        "save_times" => Op::SaveTimes(keys.string("as")?),
        "snapshot" => Op::Snapshot(keys.string("as")?),
        "attach_par" => {
            let group = text_of(keys.need("group")?, &format!("{}.group", keys.at))?;
            let at = format!("{}.times", keys.at);
            Op::AttachPar(group, strings(keys.need("times")?, &at)?)
        }
        "attach" => Op::Attach(keys.string("times")?),
        other => return Err(format!("{}: no operation is called {other:?}", keys.at)),
    })
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{at} is not an object"))
}

fn strings(value: &Value, at: &str) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or_else(|| format!("{at} is not a list"))?;
    let string = |value: &Value| {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("{at} holds {value}, not a string"))
    };
    list.iter().map(string).collect()
}

/// A name as Python's `str` writes it: gtimer makes one of whatever it is given.
fn text_of(value: &Value, at: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Bool(true) => Ok("True".to_owned()),
        Value::Bool(false) => Ok("False".to_owned()),
        other => Err(format!("{at} is {other}, not a name")),
    }
}

/// The keys of an object that were not taken yet, and where it is.
pub(crate) struct Keys<'a> {
    at: String,
    left: Vec<(&'a String, &'a Value)>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(value: &'a Value, at: &str) -> Result<Self, String> {
        Ok(Self { at: at.to_owned(), left: object(value, at)?.iter().collect() })
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<&'a Value> {
        let at = self.left.iter().position(|(name, _)| *name == key)?;
        Some(self.left.remove(at).1)
    }

    pub(crate) fn need(&mut self, key: &str) -> Result<&'a Value, String> {
        self.take(key).ok_or_else(|| format!("{} has no {key}", self.at))
    }

    pub(crate) fn string(&mut self, key: &str) -> Result<String, String> {
        let value = self.need(key)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| format!("{}: {key} is {value}, not a string", self.at))
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<f64, String> {
        let value = self.need(key)?;
        value.as_f64().ok_or_else(|| format!("{}: {key} is {value}, not a number", self.at))
    }

    /// Fails when a key is left that nobody knows.
    pub(crate) fn end(self) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("{} has a key that is not known: {key:?}", self.at)),
        }
    }

    fn optional_name(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => text_of(value, &format!("{}.{key}", self.at)).map(Some),
        }
    }

    fn name(&mut self) -> Result<String, String> {
        self.optional_name("name")?.ok_or_else(|| format!("{} has no name", self.at))
    }

    fn names(&mut self, key: &str) -> Result<Vec<String>, String> {
        let at = format!("{}.{key}", self.at);
        match self.take(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|value| text_of(value, &at)).collect(),
            // gtimer takes a single name for a list of one.
            Some(value) => Ok(vec![text_of(value, &at)?]),
        }
    }

    fn bool(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("{}: {key} is {other}, not true or false", self.at)),
        }
    }

    fn need_bool(&mut self, key: &str) -> Result<bool, String> {
        self.bool(key)?.ok_or_else(|| format!("{} has no {key}", self.at))
    }

    /// A long and a short form given together are OR'ed; neither leaves it to the default.
    fn either(&mut self, long: &str, short: &str) -> Result<Option<bool>, String> {
        Ok(match (self.bool(long)?, self.bool(short)?) {
            (Some(a), Some(b)) => Some(a || b),
            (a, b) => a.or(b),
        })
    }

    fn backdate(&mut self) -> Result<Option<Backdate>, String> {
        match self.take("backdate") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(n)) => {
                let seconds = n.as_f64().ok_or_else(|| format!("{}: backdate {n}", self.at))?;
                Ok(Some(Backdate { seconds, is_float: n.is_f64() }))
            }
            Some(other) => Err(format!("{}: backdate is {other}, not a number", self.at)),
        }
    }

    fn stamp_args(&mut self) -> Result<StampArgs, String> {
        Ok(StampArgs {
            backdate: self.backdate()?,
            unique: self.either("unique", "un")?,
            keep: self.either("keep_subdivisions", "ks")?,
            quick_print: self.either("quick_print", "qp")?,
        })
    }

    fn entry(&mut self) -> Result<Entry, String> {
        Ok(Entry {
            name: self.name()?,
            rgstr_stamps: self.names("rgstr_stamps")?,
            save_itrs: self.bool("save_itrs")?,
        })
    }

    fn timed_loop(&mut self, is_for: bool) -> Result<LoopSpec, String> {
        let at = format!("{}.iterations", self.at);
        let list = self.need("iterations")?;
        let list = list.as_array().ok_or_else(|| format!("{at} is not a list"))?;
        let pass = |(i, value): (usize, &Value)| steps(value, &format!("{at}[{i}]"));
        let iterations = list.iter().enumerate().map(pass).collect::<Result<Vec<_>, String>>()?;
        let break_after = match self.take("break_after") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let n = value.as_u64().and_then(|n| usize::try_from(n).ok());
                let bad = || format!("{}: break_after is {value}, not a count", self.at);
                Some(n.ok_or_else(bad)?)
            }
        };
        Ok(LoopSpec {
            is_for,
            name: self.optional_name("name")?,
            rgstr_stamps: self.names("rgstr_stamps")?,
            save_itrs: self.bool("save_itrs")?,
            end_stamp: self.optional_name("loop_end_stamp")?,
            break_after,
            iterations,
        })
    }

    fn setting(&mut self) -> Result<Setting, String> {
        let name = self.string("setting")?;
        Ok(match name.strip_prefix("set_def_").unwrap_or(&name) {
            "unique" | "un" | "UN" => Setting::Unique,
            "keep_subdivisions" | "ks" | "KS" => Setting::KeepSubdivisions,
            "quick_print" | "qp" | "QP" => Setting::QuickPrint,
            "save_itrs" | "si" | "SI" => Setting::SaveItrs,
            _ => return Err(format!("{}: no setting is called {name:?}", self.at)),
        })
    }
}
