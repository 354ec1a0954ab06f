//! The folder of a sweep: its record, the rows of each job, and the results made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use polychron::jobdiv::Job;
use polychron::param_sweep::{Design, Row, RowFailure, Sweep, Table, Value, parse_parameter};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::task::{Plan, Ran};
use crate::files::write_whole;

const RECORD: &str = "run.json";
const FORMAT: &str = "polychron sweep";
/// Raised when the same parameters no longer give the same rows.
const VERSION: u32 = 1;

/// Everything that determines the rows of a sweep, but for the program itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: String,
    format_version: u32,
    hash: String,
    parameters: Parameters,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    command: Vec<String>,
    /// In their order, which is that of the rows: `a=0.0:10.0:11`.
    param: Vec<String>,
    samples: Option<usize>,
    seed: u64,
    /// How results are read: `last line`, `capture …`, `file …`, `none`.
    results: String,
    workdir: Option<String>,
}

impl Record {
    pub(super) fn new(plan: &Plan) -> Self {
        let design = &plan.design;
        let results = match (&plan.capture, &plan.result_file) {
            _ if plan.no_result => "none".to_owned(),
            (Some(regex), _) => format!("capture {regex}"),
            (_, Some(file)) => format!("file {file}"),
            _ => "last line".to_owned(),
        };
        let parameters = Parameters {
            command: plan.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            param: design
                .parameters()
                .iter()
                .map(|(name, spec)| format!("{name}={spec}"))
                .collect(),
            samples: design.is_sampled().then_some(design.len()),
            seed: design.seed(),
            results,
            workdir: plan.workdir.clone(),
        };
        let hash = hash(&parameters);
        Self { format: FORMAT.to_owned(), format_version: VERSION, hash, parameters }
    }

    /// The record of a folder; `None` if it has none.
    fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(RECORD);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("could not read {}", path.display())),
        };
        let fail = || format!("{} is not the record of a sweep", path.display());
        let value: serde_json::Value = serde_json::from_str(&text).with_context(fail)?;
        if value["format"] != FORMAT || value["format_version"] != VERSION {
            let (format, version) = (&value["format"], &value["format_version"]);
            bail!("{}: its format is {format}, version {version}", fail());
        }
        let record: Self = serde_json::from_value(value).with_context(fail)?;
        if record.hash != hash(&record.parameters) {
            bail!("{}: its hash is not that of its parameters", fail());
        }
        Ok(Some(record))
    }

    /// Puts the record into a folder; `false` if there is one.
    fn write(&self, dir: &Path) -> anyhow::Result<bool> {
        let path = dir.join(RECORD);
        let temporary = dir.join(format!("tmp.{RECORD}.{}", std::process::id()));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        // Linked, not renamed, so that of several jobs exactly one is first.
        let written = fs::write(&temporary, text).and_then(|()| fs::hard_link(&temporary, &path));
        let _ = fs::remove_file(&temporary);
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error).context(format!("could not write {}", path.display())),
        }
    }

    /// In what this sweep differs from the one that is there.
    fn differences(&self, there: &Self) -> Vec<String> {
        let (here, there) = (&self.parameters, &there.parameters);
        let mut all = Vec::new();
        let mut compare = |name: &str, there: String, here: String| {
            if there != here {
                all.push(format!("{name} is {there} there and {here} here"));
            }
        };
        compare("the command", there.command.join(" "), here.command.join(" "));
        compare("--param", there.param.join(" "), here.param.join(" "));
        let number = |n: Option<usize>| n.map_or_else(|| "not given".to_owned(), |n| n.to_string());
        compare("--samples", number(there.samples), number(here.samples));
        compare("--seed", there.seed.to_string(), here.seed.to_string());
        compare("the way to the results", there.results.clone(), here.results.clone());
        let text = |t: &Option<String>| t.clone().unwrap_or_else(|| "not given".to_owned());
        compare("--workdir", text(&there.workdir), text(&here.workdir));
        all
    }

    /// The points of the sweep.
    fn design(&self) -> anyhow::Result<Design> {
        let Parameters { param, samples, seed, .. } = &self.parameters;
        let mut sweep = Sweep::new().seed(*seed);
        for text in param {
            let (name, spec) = parse_parameter(text)?;
            sweep = sweep.parameter(name, spec);
        }
        if let Some(n) = samples {
            sweep = sweep.samples(*n);
        }
        Ok(sweep.design()?)
    }
}

fn hash(parameters: &Parameters) -> String {
    let text = serde_json::to_string(parameters).unwrap_or_default();
    format!("{:032x}", xxh3_128(format!("version={VERSION}\n{text}").as_bytes()))
}

/// A line of the rows of a job: all that is known of one run of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: usize,
    /// Hash of the record.
    run: String,
    pub(super) status: String,
    /// By name, each as it is in a cell of the results, so that no bit is lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    error: String,
    /// Seconds after the Unix epoch.
    started: f64,
    pub(super) seconds: f64,
    exit: Option<i32>,
    signal: Option<i32>,
    attempts: u32,
    host: String,
    worker: usize,
}

impl Entry {
    fn new(ran: Ran, run: &str) -> Self {
        let Ran { index, outcome, started, seconds, exit, signal, attempts, host, worker } = ran;
        let (status, outputs, error) = match outcome {
            Ok(outputs) => {
                let cells = outputs.into_iter().map(|(name, value)| (name, value.to_cell()));
                ("ok".to_owned(), cells.collect(), String::new())
            }
            Err(failure) => (failure.kind, Vec::new(), failure.message),
        };
        let (row, run) = (index, run.to_owned());
        Self {
            row,
            run,
            status,
            outputs,
            error,
            started,
            seconds,
            exit,
            signal,
            attempts,
            host,
            worker,
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.status == "ok"
    }

    fn row(&self, design: &Design) -> Option<Row> {
        let parameters = design.values(self.row)?;
        let outcome = if self.is_ok() {
            let cells = self.outputs.iter();
            Ok(cells
                .map(|(name, cell)| Some((name.clone(), Value::from_cell(cell)?)))
                .collect::<Option<_>>()?)
        } else {
            let (kind, message) = (self.status.clone(), self.error.clone());
            Err(RowFailure { kind, message, worker: Some(self.worker) })
        };
        Some(Row { index: self.row, parameters, outcome })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: {}", self.row, self.status)?;
        if self.error.is_empty() { Ok(()) } else { write!(f, ": {}", self.error) }
    }
}

/// A folder that belongs to one sweep.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    record: Record,
    design: Design,
}

/// The rows that are there, each once: one that is as it should be rather than one that failed, and
/// of equals the one that came last.
pub(super) type Rows = BTreeMap<usize, Entry>;

impl Folder {
    /// Takes a folder for a sweep, if it is not another one's.
    pub(super) fn take(dir: &Path, plan: &Plan, replace: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("could not make the folder {}", dir.display()))?;
        let record = Record::new(plan);
        if replace && Record::read(dir)?.is_some() {
            clear(dir)?;
        }
        if !record.write(dir)? {
            let there = Record::read(dir)?;
            let there = there.context("the record of the sweep has just gone")?;
            if there.hash != record.hash {
                bail!(
                    "{} belongs to another sweep: {}; choose another folder with -o, or replace \
                     it with --clobber",
                    dir.display(),
                    record.differences(&there).join("; ")
                );
            }
        }
        Ok(Self { dir: dir.to_owned(), record, design: plan.design.clone() })
    }

    /// Opens the folder of a sweep; `None` if it is none.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Option<Self>> {
        let is_sweep = fs::read_to_string(dir.join(RECORD))
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .is_some_and(|record| record["format"] == FORMAT);
        if !is_sweep {
            return Ok(None);
        }
        let record = Record::read(dir)?.context("the record of the sweep has just gone")?;
        let design = record.design()?;
        Ok(Some(Self { dir: dir.to_owned(), record, design }))
    }

    pub(super) fn design(&self) -> &Design {
        &self.design
    }

    /// Every whole line that any job has written, in the order of their times.
    fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for path in journals(&self.dir)? {
            let bytes =
                fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            entries.extend(
                // What was cut off when a process was killed is no line; it need not be a text.
                bytes
                    .split_inclusive(|byte| *byte == b'\n')
                    .filter(|line| line.ends_with(b"\n"))
                    .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
                    .filter(|entry| entry.run == self.record.hash)
                    .filter(|entry| entry.row(&self.design).is_some()),
            );
        }
        entries.sort_by(|a, b| a.started.total_cmp(&b.started));
        Ok(entries)
    }

    pub(super) fn rows(&self) -> anyhow::Result<Rows> {
        let mut rows = Rows::new();
        for entry in self.entries()? {
            let is_better = rows.get(&entry.row).is_none_or(|old| entry.is_ok() || !old.is_ok());
            if is_better {
                rows.insert(entry.row, entry);
            }
        }
        Ok(rows)
    }

    /// Opens the rows of a job for more.
    pub(super) fn journal(&self, job: Job) -> anyhow::Result<Journal> {
        let path = self.dir.join(format!("rows.{}of{}.jsonl", job.idx() + 1, job.n_jobs()));
        let what = || format!("could not write {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .with_context(what)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another process is at work on job {job} of {}", self.dir.display())
            }
            // Some network file systems have no locks; they have to do without.
            Err(TryLockError::Error(error)) => tracing::info!("no lock: {error}"),
        }
        // A line that was cut off gets its end, and is none.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0)).with_context(what)? > 0 {
            file.seek(SeekFrom::End(-1)).with_context(what)?;
            file.read_exact(&mut last).with_context(what)?;
        }
        if last != *b"\n" {
            file.write_all(b"\n").with_context(what)?;
        }
        Ok(Journal { path, file, run: self.record.hash.clone() })
    }

    /// The rows as a table.
    pub(super) fn table(&self, rows: &Rows) -> anyhow::Result<Table> {
        let names = self.design.names().map(str::to_owned).collect();
        let rows = rows.values().filter_map(|entry| entry.row(&self.design)).collect();
        Ok(Table::new(names, rows)?)
    }

    /// Writes the results and the log of all runs; gives the table.
    pub(super) fn write_results(&self, rows: &Rows) -> anyhow::Result<Table> {
        let table = self.table(rows)?;
        table.save_csv(&self.dir.join("results.csv"))?;
        table.save_json(&self.dir.join("results.json"))?;
        let mut log =
            "row\tstarted\tseconds\tstatus\texit\tsignal\tattempts\thost\tworker\n".to_owned();
        for entry in self.entries()? {
            let number = |n: Option<i32>| n.map_or_else(String::new, |n| n.to_string());
            let Entry {
                row, started, seconds, status, exit, signal, attempts, host, worker, ..
            } = entry;
            let (exit, signal) = (number(exit), number(signal));
            log += &format!(
                "{row}\t{started:.6}\t{seconds:.6}\t{status}\t{exit}\t{signal}\t{attempts}\t{host}\t{worker}\n"
            );
        }
        write_whole(&self.dir.join("joblog.tsv"), log.as_bytes())?;
        Ok(table)
    }
}

/// The rows of one job, open for more.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    run: String,
}

impl Journal {
    /// Adds a row, in one write.
    pub(super) fn append(&mut self, ran: Ran) -> anyhow::Result<Entry> {
        let entry = Entry::new(ran, &self.run);
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(entry)
    }

    /// Waits until the disk has all rows.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        self.file.sync_data().with_context(|| format!("could not write {}", self.path.display()))
    }
}

fn journals(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = || format!("could not list {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|n| n.starts_with("rows.") && n.ends_with(".jsonl")) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Removes what a sweep has written, and nothing else.
fn clear(dir: &Path) -> anyhow::Result<()> {
    let known = [RECORD, "results.csv", "results.json", "joblog.tsv"].map(|name| dir.join(name));
    // The record goes last, so that a folder with rows always says whose they are.
    for path in journals(dir)?.into_iter().chain(known.into_iter().rev()) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context(format!("could not remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
