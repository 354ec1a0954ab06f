//! Studies: one question each, answered by a record that can be read, drawn and compared with.
//!
//! A study lists its engines (ours and peers) and its workloads as data. For each workload every
//! engine gets ready and does the work once; that answer is checked in full, and an engine that is
//! wrong ends the study before a time of it counts. Then engines take turns, round after round,
//! each round begun by another one, all on one processor; an answer that differs from the one
//! that was checked is checked anew. `cargo xtask bench STUDY` runs one, docs/bench/README.md says
//! how records are read and how a study is added.
//!
//! | module    | what it does                                                  |
//! | --------- | ------------------------------------------------------------- |
//! | `options` | the command line                                              |
//! | `engine`  | what takes turns; peers in processes of their own             |
//! | `clock`   | one processor, and the time on it                             |
//! | `stats`   | medians and ratios with intervals                             |
//! | `record`  | `raw.csv`: written, read back, found again                    |
//! | `check`   | whether we have become slower since an earlier record         |
//! | `report`  | `README.md` of a record                                       |
//! | `plot`    | `plot.svg` of a record                                        |
//! | `machine` | what all was measured on                                      |

pub mod check;
pub mod clock;
pub mod engine;
pub mod machine;
pub mod options;
pub mod plot;
pub mod record;
pub mod report;
pub mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};

use self::engine::{Engine, Entrant, Place, Started};
use self::machine::Machine;
use self::options::{Mode, Options};
use self::record::{Sample, Side};

/// Which time answers the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// That on the processor: what other programs do meanwhile is not in it.
    Cpu,
    /// That on the clock: waiting counts.
    Wall,
}

impl Measure {
    /// This time of a turn.
    #[must_use]
    pub fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Cpu => sample.cpu_s,
            Self::Wall => sample.wall_s,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "time on the processor",
            Self::Wall => "time on the clock",
        }
    }
}

/// A workload of a study, and how its inputs are made.
pub trait Workload {
    /// What engines work on.
    type Input;

    /// Its name: letters, digits and `-`.
    fn name(&self) -> String;

    /// What it is, in a line.
    fn about(&self) -> String;

    /// Whether it is in the first look that `--quick` gives.
    fn is_quick(&self) -> bool;

    /// Whether it is the one whose answers are checked where no times are wanted.
    fn is_test(&self) -> bool;

    /// Makes the inputs; files go below `place.scratch`.
    ///
    /// # Errors
    ///
    /// That they cannot be made.
    fn prepare(&self, place: &Place) -> anyhow::Result<Self::Input>;
}

/// A study.
pub struct Study<W: Workload> {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The one question.
    pub question: &'static str,
    /// What one turn does, as in "per integration".
    pub unit: &'static str,
    /// Which time answers the question.
    pub measure: Measure,
    /// How inputs are made and answers are checked: paragraphs.
    pub method: &'static str,
    /// The engines, in the order in which they are shown.
    pub entrants: Vec<Entrant<W::Input>>,
    /// The workloads, in the order in which they are shown.
    pub workloads: Vec<W>,
    /// Rounds of a full study, and of a first look.
    pub rounds: (usize, usize),
    /// Lines for the reading that only this study knows, from its results and its scratch folder.
    pub notes: fn(&Results, &Path) -> Vec<String>,
}

impl<W: Workload> std::fmt::Debug for Study<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Study").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is said of an engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineFacts {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Who made it.
    pub side: Side,
    /// How it was made.
    pub made: String,
}

/// An engine that was not to be had.
#[derive(Debug, Clone, PartialEq)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Who made it.
    pub side: Side,
    /// Why it was not to be had.
    pub why: String,
}

/// What a study found.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Name, title, question, unit and method of the study.
    pub about: About,
    /// Engines that took part.
    pub engines: Vec<EngineFacts>,
    /// Engines that were not to be had.
    pub skipped: Vec<Skipped>,
    /// Workloads: name, and what it is.
    pub workloads: Vec<(String, String)>,
    /// Every turn.
    pub samples: Vec<Sample>,
    /// What it was measured on.
    pub machine: Machine,
}

/// What a study says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct About {
    /// See [`Study::name`].
    pub name: &'static str,
    /// See [`Study::title`].
    pub title: &'static str,
    /// See [`Study::question`].
    pub question: &'static str,
    /// See [`Study::unit`].
    pub unit: &'static str,
    /// See [`Study::measure`].
    pub measure: Measure,
    /// See [`Study::method`].
    pub method: &'static str,
    /// Whether it is only a first look.
    pub is_quick: bool,
}

#[expect(clippy::print_stderr, reason = "progress is for who started the study")]
fn tell(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// Runs a study as the command line says: the `main` of its program.
pub fn main<W: Workload>(study: impl FnOnce() -> Study<W>) -> ExitCode {
    let run = || {
        let options = Options::of(std::env::args().skip(1))?;
        if options.mode == Mode::List {
            return Ok(());
        }
        run(study(), &options)
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run<W: Workload>(study: Study<W>, options: &Options) -> anyhow::Result<()> {
    let cpu = clock::pin();
    let scratch = tempfile::tempdir().context("make a folder for inputs")?;
    let place = Place {
        scratch: scratch.path().to_owned(),
        sources: options.target.join("bench/sources"),
        python: crate::compare::python(),
        command: std::env::var_os("POLYCHRON_BIN")
            .map(PathBuf::from)
            .ok_or_else(|| "POLYCHRON_BIN does not name the command".to_owned()),
        is_test: options.mode == Mode::Test,
    };
    let machine = Machine::here(cpu);
    let notes = study.notes;
    let results = measure(study, options, &place, machine)?;
    if options.mode == Mode::Test {
        let n = results.samples.len();
        // All that were not to be had were told by name.
        let told = results.engines.is_empty() && !results.skipped.is_empty();
        ensure!(n > 0 || told, "{}: nothing was checked", results.about.name);
        tell(format_args!("{}: {n} answers are right", results.about.name));
        return Ok(());
    }
    ensure!(!results.engines.is_empty(), "{}: no engine is to be had", results.about.name);
    let notes = notes(&results, &place.scratch);
    tell(report::tables(&results));
    // What a processor lacks, ours may lack too; a record without its peers would be none.
    let lacking = results.skipped.iter().filter(|skipped| skipped.side == Side::Peer);
    let lacking: Vec<&str> = lacking.map(|skipped| skipped.name.as_str()).collect();
    if options.mode == Mode::Record && !lacking.is_empty() {
        bail!("a record without {} would be none: nothing was written", lacking.join(", "));
    }
    let lost = if options.check { check(&records(), &results)? } else { false };
    ensure!(!(lost && options.mode == Mode::Record), "a loss is not recorded");
    let all = match options.mode {
        Mode::Record => records(),
        _ => options.target.join("bench"),
    };
    let out = write(&all, &results, &notes, options)?;
    tell(format_args!("written to {}", shown(&out)));
    ensure!(!lost, "we have become slower");
    Ok(())
}

/// Lets all engines take their turns on all workloads that are wanted.
fn measure<W: Workload>(
    study: Study<W>,
    options: &Options,
    place: &Place,
    machine: Machine,
) -> anyhow::Result<Results> {
    let is_quick = options.mode == Mode::Test || options.quick;
    let wanted: Vec<W> = study
        .workloads
        .into_iter()
        .filter(|workload| match options.mode {
            Mode::Test => workload.is_test(),
            _ => (!options.quick || workload.is_quick()) && options.wants(&workload.name()),
        })
        .collect();
    ensure!(!wanted.is_empty(), "no workload is called like {}", options.filters.join(" or "));
    let rounds = match options.mode {
        Mode::Test => 0,
        _ if options.quick => study.rounds.1,
        _ => study.rounds.0,
    };
    let mut running: Vec<Running<W::Input>> = Vec::new();
    let (mut engines, mut skipped) = (Vec::new(), Vec::new());
    for Entrant { name, side, group, every, start } in study.entrants {
        match start(place).with_context(|| format!("start {name}"))? {
            Started::Skipped(why) => {
                crate::compare::skipped(&name, &why);
                skipped.push(Skipped { name, side, why });
            }
            Started::Ready(engine) => {
                let made = engine.made();
                engines.push(EngineFacts { name: name.clone(), group: group.clone(), side, made });
                running.push(Running { name, group, side, every: every.max(1), engine });
            }
        }
    }
    let mut samples = Vec::new();
    for workload in &wanted {
        let name = workload.name();
        tell(format_args!("{}: {name}", study.name));
        let mut input = workload.prepare(place).with_context(|| format!("prepare {name}"))?;
        turns(&name, &mut running, &mut input, rounds, &mut samples)
            .with_context(|| format!("workload {name}"))?;
    }
    Ok(Results {
        about: About {
            name: study.name,
            title: study.title,
            question: study.question,
            unit: study.unit,
            measure: study.measure,
            method: study.method,
            is_quick,
        },
        engines,
        skipped,
        workloads: wanted.iter().map(|workload| (workload.name(), workload.about())).collect(),
        samples,
        machine,
    })
}

struct Running<I> {
    name: String,
    group: String,
    side: Side,
    every: usize,
    engine: Box<dyn Engine<I>>,
}

/// Lets the engines take turns on one workload.
fn turns<I>(
    workload: &str,
    running: &mut [Running<I>],
    input: &mut I,
    rounds: usize,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    let mut turn = |running: &mut Running<I>, round, input: &mut I, known: &mut Option<u64>| {
        let turn = running.engine.turn(input)?;
        // Bits may change, when a transform is planned anew: then the answer is checked anew.
        if *known != Some(turn.digest) {
            running.engine.verify(input)?;
            *known = Some(turn.digest);
        }
        samples.push(Sample {
            workload: workload.to_owned(),
            group: running.group.clone(),
            engine: running.name.clone(),
            side: running.side,
            round,
            cpu_s: turn.took.cpu_s,
            wall_s: turn.took.wall_s,
        });
        anyhow::Ok(())
    };
    let mut takes_part = Vec::new();
    for engine in running.iter_mut() {
        let mut known = None;
        let name = engine.name.clone();
        let ready = engine.engine.load(input).with_context(|| name.clone())?;
        if ready {
            turn(engine, 0, input, &mut known).with_context(|| name)?;
        }
        takes_part.push((ready, known));
    }
    let n = running.len();
    for round in 1..=rounds {
        for at in 0..n {
            // Another one begins each round, so that none is always behind the same one.
            let at = (at + round) % n;
            let engine = &mut running[at];
            let (ready, known) = &mut takes_part[at];
            // Slow ones are spread over the rounds; the last is one of theirs.
            if *ready && (rounds - round).is_multiple_of(engine.every) {
                let name = engine.name.clone();
                turn(engine, round, input, known).with_context(|| name)?;
            }
        }
    }
    Ok(())
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder of all records.
fn records() -> PathBuf {
    root().join("docs/bench")
}

/// A path as it is shown: from the root of the repository, where it is below.
fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(root()).unwrap_or(path).display()
}

/// Compares with the newest record of this machine below `all`; says whether there is a loss.
fn check(all: &Path, results: &Results) -> anyhow::Result<bool> {
    let About { name, measure, .. } = results.about;
    let slug = &results.machine.slug;
    let Some(raw) = record::newest(all, slug, name)? else {
        bail!("docs/bench has no record of {name} on {slug} to check against; --record makes one");
    };
    let mut old = record::read(&raw)?;
    // A first look, or a chosen workload, is held against what it has measured.
    old.retain(|sample| results.workloads.iter().any(|(name, _)| *name == sample.workload));
    let changes = check::compare(&old, &results.samples, measure);
    tell(format_args!("compared with {}:", shown(&raw)));
    for change in &changes {
        tell(format_args!("  {change}"));
    }
    let n_lost = changes.iter().filter(|change| change.fails()).count();
    tell(format_args!("  {n_lost} of {} are slower or missing", changes.len()));
    Ok(n_lost > 0)
}

/// Writes a record below `all`, whole or not at all; gives its folder.
fn write(
    all: &Path,
    results: &Results,
    notes: &[String],
    options: &Options,
) -> anyhow::Result<PathBuf> {
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let parent = all.join(format!("{today}-{}", results.machine.slug));
    let out = parent.join(results.about.name);
    std::fs::create_dir_all(&parent).with_context(|| format!("make {}", parent.display()))?;
    let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&parent)?;
    for (name, text) in [
        ("README.md", report::readme(results, notes, &today, options)),
        (record::RAW, record::to_csv(&results.samples)),
        ("plot.svg", plot::document(results)),
    ] {
        std::fs::write(draft.path().join(name), text).with_context(|| format!("write {name}"))?;
    }
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("replace {}", out.display()))?;
    }
    let draft = draft.keep();
    std::fs::rename(&draft, &out).with_context(|| format!("write {}", out.display()))?;
    Ok(out)
}

#[cfg(test)]
mod tests;
