//! `polychron times`: shows, compares and exports files of times.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::{Args, Subcommand, ValueEnum};
use gtimer_core::report::{
    GtimerFormat, RunComparison, Sort, Threshold, TreeFormat, Workers, compare_runs, group_tables,
    gtimer_compare, gtimer_report, gtimer_structure, printable, rank_table, tree, write_csv,
    write_folded, write_trace,
};
use gtimer_core::{Times, TimesFormat, load_times, times_to_bytes};

use crate::files::{say_bytes, write_whole};
use crate::output::{Slower, say};

#[derive(Debug, Args)]
pub(crate) struct TimesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows where the time went: a tree of one run, a table over several
    Show(ShowArgs),
    /// Says what became slower from one run to another
    Compare(CompareArgs),
    /// Writes times for other programs
    Export(ExportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Of one run the tree is shown, and for each group of parallel workers a table over these. Several
runs, in one file or in several, are taken for ranks and shown as one table.

Examples:
  polychron times show run.times
  polychron times show run.times --sort order --min 1%
  polychron times show rank0.times rank1.times
  polychron times show run.times --style gtimer --delimited > run.tsv")]
struct ShowArgs {
    /// Files of times, binary or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What is shown [default: tree of one run, ranks of several]
    #[arg(long, value_enum)]
    style: Option<Style>,
    /// The order of parts in the tree
    #[arg(long, value_enum, default_value = "time")]
    sort: SortArg,
    /// Shows parts with a smaller share of the total in one line
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    min: f64,
    /// Which workers of a group the tree shows
    #[arg(long, value_enum, default_value = "greatest")]
    workers: WorkersArg,
    /// Which groups have a table: 1 for those of the run, 2 for those within their workers, ...
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..))]
    level: u16,
    /// Parts the cells of gtimer's texts, by a tab unless told otherwise
    #[arg(long, value_name = "DELIMITER", num_args = 0..=1, default_missing_value = "\t")]
    delimited: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Inclusive and exclusive time, share, calls, mean, min, max, p50, p99
    Tree,
    /// Min, mean and max over ranks, with the imbalance
    Ranks,
    /// The report of gtimer 1.0.0b5
    Gtimer,
    /// gtimer's comparison of parallel workers
    Compare,
    /// gtimer's outline of the timers
    Structure,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SortArg {
    /// The longest first
    Time,
    /// As first used
    Order,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WorkersArg {
    /// The one that took longest
    Greatest,
    /// All of them
    Each,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Parts are matched by name and place. A part is slower when it takes longer by more than the
threshold, and by more than the floor.

Examples:
  polychron times compare before.times after.times
  polychron times compare before.times after.times --threshold 5% --floor 10ms

Exit codes: 0 nothing is slower, 1 failed, 2 usage, 4 something is slower")]
struct CompareArgs {
    /// File of the earlier run
    before: PathBuf,
    /// File of the later run
    after: PathBuf,
    /// Difference by the earlier time from which on a part is slower, such as 10% or 0.1
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = ratio)]
    threshold: f64,
    /// Difference below which all is noise, such as 500us, 1ms or 2s
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = duration_s)]
    floor: f64,
    /// Shows only what differs
    #[arg(long)]
    changed: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  polychron times export run.times --format csv -o run.csv
  polychron times export run.times --format trace -o run.trace.json    for ui.perfetto.dev
  polychron times export run.times --format folded | flamegraph.pl > run.svg
  polychron times export rank*.times --format json | jq '.times[].total'

Times hold sums and not instants: where an event of a trace lies is laid out, not measured.")]
struct ExportArgs {
    /// Files of times, binary or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What is written
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// File to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ExportFormat {
    /// The whole tree, which this program reads, too
    Json,
    /// A line for each part, with columns as in the tree
    Csv,
    /// Chrome trace events, for Perfetto and speedscope
    Trace,
    /// Folded stacks with self time in microseconds, for flame graphs and speedscope
    Folded,
}

pub(crate) fn run(args: &TimesArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Show(args) => show(args),
        What::Compare(args) => compare(args),
        What::Export(args) => export(args),
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let ranks = load_ranks(&args.files)?;
    let default = if ranks.len() == 1 { Style::Tree } else { Style::Ranks };
    let style = args.style.unwrap_or(default);
    let level = usize::from(args.level);
    let gtimer = GtimerFormat { delimiter: args.delimited.clone(), ..GtimerFormat::default() };
    let mut texts: Vec<String> = Vec::new();
    match style {
        Style::Ranks if ranks.len() > 1 => {
            let named: Vec<(String, &Times)> =
                ranks.iter().map(|(name, times)| (name.clone(), times)).collect();
            texts.push(rank_table("runs", &named).to_string());
        }
        Style::Ranks => {
            texts.extend(tables(&ranks, level));
            ensure!(
                !texts.is_empty(),
                "no parallel workers at level {level}; give the files of several runs, or another \
                 --level"
            );
        }
        Style::Tree => {
            let format = TreeFormat {
                sort: match args.sort {
                    SortArg::Time => Sort::Time,
                    SortArg::Order => Sort::Order,
                },
                min_share: args.min,
                workers: match args.workers {
                    WorkersArg::Greatest => Workers::Greatest,
                    WorkersArg::Each => Workers::Each,
                },
            };
            texts.extend(ranks.iter().map(|(_, times)| tree(times, &format)));
            texts.extend(tables(&ranks, level));
        }
        Style::Gtimer | Style::Compare | Style::Structure => {
            let write = |times: &Times| match style {
                Style::Gtimer => gtimer_report(times, &gtimer),
                Style::Compare => gtimer_compare(times, &gtimer),
                _ => gtimer_structure(times) + "\n",
            };
            texts.extend(ranks.iter().map(|(_, times)| write(&printable(times))));
            ensure!(
                texts.iter().any(|text| !text.is_empty()),
                "no parallel workers to compare at the top level; --style tree shows what there is"
            );
            // These bring their own empty lines.
            return say_bytes(texts.concat().as_bytes());
        }
    }
    say_bytes(texts.join("\n").as_bytes())
}

/// The tables of the groups in each run.
fn tables(ranks: &[(String, Times)], level: usize) -> impl Iterator<Item = String> {
    let tables = ranks.iter().flat_map(move |(_, times)| group_tables(times, level));
    tables.map(|table| table.to_string())
}

fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let threshold = Threshold { relative: args.threshold, floor_s: args.floor };
    let before = load(&args.before)?;
    let after = load(&args.after)?;
    let mut comparison = compare_runs(&before, &after, threshold);
    if args.changed {
        keep_changed(&mut comparison);
    }
    say(comparison.to_string().trim_end());
    match comparison.slower().count() {
        0 => Ok(()),
        1 => Err(Slower("1 part is slower".to_owned()).into()),
        n => Err(Slower(format!("{n} parts are slower")).into()),
    }
}

/// Leaves out what is the same and has nothing in it that differs.
fn keep_changed(comparison: &mut RunComparison) {
    use gtimer_core::report::Verdict;

    let changes = &mut comparison.changes;
    let mut is_kept = vec![false; changes.len()];
    for at in (0..changes.len()).rev() {
        is_kept[at] |= changes[at].verdict != Verdict::Same;
        if let Some(parent) = changes[at].parent {
            is_kept[parent] |= is_kept[at];
        }
    }
    // The new places of what is kept; parents of what is kept are kept, and come first.
    let mut places = vec![0; changes.len()];
    let mut n_kept = 0;
    for (place, &is_kept) in places.iter_mut().zip(&is_kept) {
        *place = n_kept;
        n_kept += usize::from(is_kept);
    }
    let mut kept = is_kept.into_iter();
    changes.retain(|_| kept.next().unwrap_or(true));
    for change in changes {
        change.parent = change.parent.map(|parent| places[parent]);
    }
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for file in &args.files {
        runs.extend(load(file)?);
    }
    let mut bytes = Vec::new();
    match args.format {
        ExportFormat::Json => bytes = times_to_bytes(&runs, TimesFormat::Json)?,
        ExportFormat::Csv => write_csv(&mut bytes, &runs)?,
        ExportFormat::Trace => write_trace(&mut bytes, &runs)?,
        ExportFormat::Folded => {
            runs.iter().try_for_each(|times| write_folded(&mut bytes, times))?;
        }
    }
    match &args.output {
        Some(path) => write_whole(path, &bytes),
        None => say_bytes(&bytes),
    }
}

fn load(path: &Path) -> anyhow::Result<Vec<Times>> {
    let all = load_times(path)?;
    ensure!(!all.is_empty(), "{}: no times in it; measure again", path.display());
    Ok(all)
}

/// All runs with a name for each: their own if these differ, else the files' if these do, else
/// their numbers.
fn load_ranks(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, Times)>> {
    let mut runs = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        runs.extend(load(path)?.into_iter().map(|times| (stem.clone(), times)));
    }
    let by_name = differ(runs.iter().map(|(_, times)| times.name.as_str()));
    let by_stem = differ(runs.iter().map(|(stem, _)| stem.as_str()));
    let name = |(at, (stem, times)): (usize, (String, Times))| {
        let name = if by_name {
            times.name.clone()
        } else if by_stem {
            stem
        } else {
            at.to_string()
        };
        (name, times)
    };
    Ok(runs.into_iter().enumerate().map(name).collect())
}

fn differ<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| seen.insert(name))
}

/// `10%` or `0.1`, at least 0.
fn ratio(text: &str) -> anyhow::Result<f64> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let value = number.trim().parse::<f64>().ok().map(|value| value * unit);
    let value = value.filter(|value| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| anyhow!("give a share such as 10% or 0.1"))
}

/// The same, at most 100%.
fn share(text: &str) -> anyhow::Result<f64> {
    let value = ratio(text)?;
    ensure!(value <= 1.0, "give a share of at most 100%");
    Ok(value)
}

/// `500us`, `1ms` or `2s`, in s.
fn duration_s(text: &str) -> anyhow::Result<f64> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let split = |(name, unit): &(&str, f64)| Some((text.strip_suffix(name)?, *unit));
    let value = units.iter().find_map(split).and_then(|(number, unit)| {
        let value = number.trim().parse::<f64>().ok()? * unit;
        (value.is_finite() && value >= 0.0).then_some(value)
    });
    value.ok_or_else(|| anyhow!("give a time with its unit, such as 500us, 1ms or 2s"))
}
