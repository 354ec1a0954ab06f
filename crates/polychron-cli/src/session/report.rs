//! `polychron report`: what the processes of a session measured, or what files say.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use gtimer_core::report::{
    HtmlLane, HtmlPage, TreeFormat, group_tables, html, printable, rank_table, tree, write_csv,
    write_folded, write_trace,
};
use gtimer_core::{Times, TimesFormat, load_times, times_to_bytes};
use polychron::shm_times::{ProcessState, Session};

use super::histograms::{self, Histogram};
use super::{
    Lane, by_process, choose, clock_time, command_of, lanes, open, visible, whereabouts, who,
};
use crate::files::{say_bytes, write_whole};
use crate::output::remark;

#[derive(Debug, Args)]
#[command(after_help = "\
Of a session, also of one whose processes were killed: what was finished, and where each process
was. Several files are taken for ranks.

Examples:
  polychron report                                 the session that runs, or was kept
  polychron report /dev/shm/polychron-1000/4711-0badcafe --format html -o report.html
  polychron report run.times --format html -o report.html
  polychron report rank*.times --format csv -o ranks.csv
  polychron report run.times --format trace -o run.trace.json    for ui.perfetto.dev")]
pub(crate) struct ReportArgs {
    /// A session, or files of times [default: the session of the environment, or the only one]
    #[arg(value_name = "SESSION|FILE")]
    what: Vec<PathBuf>,
    /// What is written
    #[arg(long, value_enum, default_value = "text")]
    format: ReportFormat,
    /// File to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Processes, tables over ranks, and trees
    Text,
    /// All trees, which this program reads, too
    Json,
    /// A line for each part
    Csv,
    /// Chrome trace events, for Perfetto and speedscope
    Trace,
    /// Folded stacks with self time in microseconds, for flame graphs and speedscope
    Folded,
    /// One page with pictures and tables, for a browser; it needs nothing but itself
    Html,
}

/// Trees of a text report at most: one for each kind of timer, the greatest of its kind.
const MOST_TREES: usize = 8;

/// What is reported.
#[derive(Debug)]
pub(crate) struct View {
    title: String,
    facts: Vec<(String, String)>,
    /// A line for each process.
    processes: Vec<String>,
    /// What to know before the numbers are read.
    notes: Vec<String>,
    lanes: Vec<Lane>,
    /// How long iterations were, where that was asked for.
    histograms: Vec<Histogram>,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let view = match &args.what[..] {
        [] => View::of_session(&choose(None)?)?,
        [one] if !one.is_file() => View::of_session(&open(one)?)?,
        files => View::of_files(files)?,
    };
    let mut bytes = Vec::new();
    match args.format {
        ReportFormat::Text => bytes = view.text().into_bytes(),
        ReportFormat::Json => bytes = view.json()?,
        ReportFormat::Csv => write_csv(&mut bytes, &view.times())?,
        ReportFormat::Trace => write_trace(&mut bytes, &view.times())?,
        ReportFormat::Folded => {
            view.times().iter().try_for_each(|times| write_folded(&mut bytes, times))?;
        }
        ReportFormat::Html => bytes = view.html().into_bytes(),
    }
    // Where there is no place for it in what is written.
    if !matches!(args.format, ReportFormat::Text | ReportFormat::Html) {
        view.notes.iter().for_each(|note| remark(format_args!("note: {note}")));
    }
    match &args.output {
        Some(path) => write_whole(path, &bytes),
        None => say_bytes(&bytes),
    }
}

impl View {
    /// What a session holds now.
    pub(crate) fn of_session(session: &Session) -> anyhow::Result<Self> {
        let snapshot = session.snapshot()?;
        let command = command_of(session.dir());
        let mut facts = Vec::new();
        if let Some(command) = &command {
            facts.push(("command".to_owned(), command.clone()));
        }
        facts.push(("session".to_owned(), session.dir().display().to_string()));
        facts.push(("machine".to_owned(), machine()));
        facts.push(("date".to_owned(), clock_time(snapshot.taken)));
        let retired: u64 = snapshot.retired.iter().map(|retired| retired.processes).sum();
        let n_processes = snapshot.processes.len() as u64 + retired;
        facts.push(("processes".to_owned(), n_processes.to_string()));

        let told = snapshot.processes.iter();
        let processes: Vec<String> =
            told.map(|process| format!("{}: {}", who(process), whereabouts(process))).collect();
        let mut notes: Vec<String> = snapshot
            .processes
            .iter()
            .zip(&processes)
            .filter(|(process, _)| process.state == ProcessState::Killed)
            .map(|(_, line)| line.clone())
            .collect();
        for retired in snapshot.retired.iter().filter(|retired| retired.killed > 0) {
            let (killed, label) = (retired.killed, visible(&retired.label));
            let label = if label.is_empty() { String::new() } else { format!(" of {label}") };
            notes.push(format!(
                "{killed} of {} processes{label}, of which only sums are left, were killed",
                retired.processes
            ));
        }
        notes.extend(snapshot.notes.iter().map(|note| visible(&note.to_string())));
        let lanes = by_process(lanes(&snapshot));
        let histograms = histograms::of_session(&snapshot);
        let title = command.unwrap_or_else(|| "A polychron session".to_owned());
        Ok(Self { title, facts, processes, notes, lanes, histograms })
    }

    /// What files hold; each of them, and each run in one, is a rank.
    fn of_files(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut lanes = Vec::new();
        for file in files {
            let all = load_times(file)?;
            ensure!(!all.is_empty(), "{}: no times in it; measure again", file.display());
            let stem = visible(&file.file_stem().unwrap_or_default().to_string_lossy());
            let n_runs = all.len();
            for times in all {
                let times = printable(&times);
                let name = match (files.len(), n_runs) {
                    (1, _) => times.name.clone(),
                    (_, 1) => stem.clone(),
                    _ => format!("{stem}, {}", times.name),
                };
                lanes.push(Lane {
                    name,
                    process: None,
                    is_main: false,
                    start_s: 0.0,
                    current: None,
                    state: None,
                    times,
                });
            }
        }
        let mut seen = HashSet::new();
        if !lanes.iter().all(|lane| seen.insert(&lane.name)) {
            for (at, lane) in lanes.iter_mut().enumerate() {
                lane.name = format!("{at}: {}", lane.name);
            }
        }
        let names: Vec<String> =
            files.iter().map(|file| visible(&file.display().to_string())).collect();
        let mut facts = vec![("files".to_owned(), names.join(", "))];
        let modified = |file: &PathBuf| Path::metadata(file).and_then(|meta| meta.modified()).ok();
        if let Some(last) = files.iter().filter_map(modified).max() {
            facts.push(("date".to_owned(), clock_time(last)));
        }
        let title = names.first().cloned().unwrap_or_default();
        let (processes, notes, histograms) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { title, facts, processes, notes, lanes, histograms })
    }

    /// All trees; of several, each with the name of its lane.
    pub(crate) fn times(&self) -> Vec<Times> {
        let is_one = self.lanes.len() == 1;
        let named = |lane: &Lane| {
            let name = if is_one { &lane.times.name } else { &lane.name };
            Times { name: name.clone(), ..lane.times.clone() }
        };
        self.lanes.iter().map(named).collect()
    }

    /// Processes, a table over the ranks of each kind of timer, and the greatest tree of each.
    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.processes.is_empty() {
            parts.push(self.processes.join("\n") + "\n");
        }
        let told = |note: &&String| !self.processes.contains(note);
        let notes: Vec<String> =
            self.notes.iter().filter(told).map(|note| format!("note: {note}\n")).collect();
        if !notes.is_empty() {
            parts.push(notes.concat());
        }
        if self.lanes.is_empty() {
            parts.push(
                "no times: nothing was measured (is GTIMER_DISABLE set, or is there no timer in \
                 the command?)\n"
                    .to_owned(),
            );
        }
        let mut kinds: Vec<(String, Vec<&Lane>)> = Vec::new();
        for lane in &self.lanes {
            let kind = kind(&lane.times.name).to_owned();
            match kinds.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, lanes)) => lanes.push(lane),
                None => kinds.push((kind, vec![lane])),
            }
        }
        // Masters and their workers have no part in common, so they share no table.
        for (kind, lanes) in kinds.iter().filter(|(_, lanes)| lanes.len() > 1) {
            let named: Vec<(String, &Times)> =
                lanes.iter().map(|lane| (lane.name.clone(), &lane.times)).collect();
            parts.push(rank_table(kind, &named).to_string());
        }
        for (_, lanes) in kinds.iter().take(MOST_TREES) {
            let greatest =
                lanes.iter().max_by(|a, b| a.times.total.total_cmp(&b.times.total)).copied();
            let Some(lane) = greatest else { continue };
            let of = match lanes.len() {
                1 => String::new(),
                n => format!(", the longest of {n}"),
            };
            let text = tree(&lane.times, &TreeFormat::default());
            parts.push(format!("{}{of}:\n{text}", lane.name));
            parts.extend(group_tables(&lane.times, 1).iter().map(ToString::to_string));
        }
        if kinds.len() > MOST_TREES {
            parts.push(format!("and {} further trees\n", kinds.len() - MOST_TREES));
        }
        parts.extend(histograms::text(&self.histograms));
        parts.join("\n")
    }

    /// All trees, and beside them the histograms, which whoever reads the trees passes over.
    fn json(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = times_to_bytes(&self.times(), TimesFormat::Json)?;
        if !self.histograms.is_empty() {
            let end = bytes.iter().rposition(|byte| *byte == b'}').context("an object")?;
            let rest = bytes.split_off(end);
            bytes.extend_from_slice(b",\"histograms\":");
            serde_json::to_writer(&mut bytes, &histograms::json(&self.histograms))?;
            bytes.extend_from_slice(&rest);
        }
        Ok(bytes)
    }

    fn html(&self) -> String {
        let lanes: Vec<HtmlLane<'_>> = self
            .lanes
            .iter()
            .map(|lane| HtmlLane { label: &lane.name, start: lane.start_s, times: &lane.times })
            .collect();
        html(&HtmlPage {
            title: &self.title,
            facts: &self.facts,
            notes: &self.notes,
            lanes: &lanes,
            tables: histograms::table(&self.histograms).as_slice(),
        })
    }
}

/// What timers have in common that differ by a number at the end: `worker` of `worker 3`.
pub(crate) fn kind(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches([' ', '-', '_', '#'])
}

fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{}, {os} {arch}, {cores} cores", visible(name.trim_end()))
}
