//! gtimer's own texts: report, comparison of parallel workers, outline.
//!
//! They are gtimer 1.0.0b5's letter for letter, so that what reads or compares those goes on to
//! work. Names are written as they are.

mod compare;
mod report;

use std::collections::HashMap;
use std::fmt::{self, Write};

use self::compare::Compare;
use self::report::Report;
use super::python::{fixed, repr};
use super::text::into_string;
use crate::times::{ParallelGroup, Times};

/// How gtimer's texts are laid out; its `format_options`, with its defaults.
///
/// Widths are in characters, and a text that is longer is not cut. They have no meaning in the
/// delimited mode, which has full-precision numbers instead of rounded ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GtimerFormat {
    /// What stands between two cells; `None` for aligned columns. gtimer's `delim_mode` with its
    /// `delimiter`, a tab unless told otherwise.
    pub delimiter: Option<String>,
    /// Whether the statistics are written: of iterations in a report, over the workers in a
    /// comparison. gtimer's `include_stats`.
    pub statistics: bool,
    /// Whether a report lists the single iterations (gtimer's `include_itrs`), and a comparison
    /// the single workers (`include_list`).
    pub list: bool,
    /// Width of the name and its dots in a report: 20.
    pub report_name_width: usize,
    /// Width of the name and its dots in a comparison: 18.
    pub compare_name_width: usize,
    /// Width of the column of an iteration or a worker, and of names beside statistics: 12.
    pub list_width: usize,
    /// Width of a statistic in a report: 6.
    pub report_number_width: usize,
    /// Width of a statistic in a comparison: 8.
    pub compare_number_width: usize,
    /// Space before each column: 2.
    pub tab_width: usize,
    /// What a level is indented by; `None` for two spaces in a report, one in a comparison, and
    /// `+` in the delimited mode.
    pub indent: Option<String>,
    /// What marks times of parallel workers: `(par)`.
    pub parallel_symbol: String,
}

impl Default for GtimerFormat {
    fn default() -> Self {
        Self {
            delimiter: None,
            statistics: true,
            list: true,
            report_name_width: 20,
            compare_name_width: 18,
            list_width: 12,
            report_number_width: 6,
            compare_number_width: 8,
            tab_width: 2,
            indent: None,
            parallel_symbol: "(par)".to_owned(),
        }
    }
}

impl GtimerFormat {
    /// The delimited mode, with a tab between cells.
    pub fn delimited() -> Self {
        Self { delimiter: Some("\t".to_owned()), ..Self::default() }
    }

    fn indent<'a>(&'a self, aligned: &'a str) -> &'a str {
        match &self.indent {
            Some(indent) => indent,
            None if self.delimiter.is_some() => "+",
            None => aligned,
        }
    }

    /// A number of seconds in a column of `width`, or an empty cell.
    fn cell(&self, out: &mut impl Write, width: usize, value: Option<f64>) -> fmt::Result {
        let text = match (value, &self.delimiter) {
            (None, _) => String::new(),
            (Some(value), None) => fixed(value),
            (Some(value), Some(_)) => repr(value),
        };
        self.column(out, width, &text)
    }

    fn column(&self, out: &mut impl Write, width: usize, text: &str) -> fmt::Result {
        let (tab, width) = (at_most(self.tab_width), at_most(width));
        match &self.delimiter {
            Some(delimiter) => write!(out, "{delimiter}{text}"),
            None => write!(out, "{:tab$}{text:>width$}", ""),
        }
    }

    /// The name of a stamp, dotted up to `width`; in the delimited mode without dots and spaces.
    fn dotted(&self, out: &mut impl Write, width: usize, name: &str, par: bool) -> fmt::Result {
        let width = at_most(width);
        let mark = if par { self.parallel_symbol.as_str() } else { "" };
        match self.delimiter {
            Some(_) => write!(out, "{name}{mark}"),
            None => write!(out, "{:.<width$}", format!("{name} {mark}")),
        }
    }
}

/// A width that the formatter takes: it panics beyond 65,535.
fn at_most(width: usize) -> usize {
    width.min(usize::from(u16::MAX))
}

/// Writes gtimer's report: the totals, the stamps with what is below them, and the iterations.
///
/// Of a group of parallel workers it follows the one with the greatest total only, as gtimer's
/// does. The text begins and ends with empty lines, as printed by gtimer's `report`.
pub fn gtimer_report(times: &Times, format: &GtimerFormat) -> String {
    into_string(|out| Report::new(out, format).write(times))
}

/// Writes gtimer's comparison of each group of parallel workers at the top level of `times`.
///
/// Empty where there is none. For groups further down, see [`gtimer_compare_workers`].
pub fn gtimer_compare(times: &Times, format: &GtimerFormat) -> String {
    let groups = times.parallel.iter();
    groups.map(|group| gtimer_compare_workers(&group.group, &group.workers, format)).collect()
}

/// Writes gtimer's comparison of `workers`, side by side and in statistics, under a name.
///
/// Workers of workers, at which gtimer itself fails, are represented by the one with the greatest
/// total, as in its report, and marked.
pub fn gtimer_compare_workers(name: &str, workers: &[Times], format: &GtimerFormat) -> String {
    into_string(|out| Compare::new(out, format).write(name, workers))
}

/// Writes gtimer's outline of the timers: each with its position, four spaces for each level.
pub fn gtimer_structure(times: &Times) -> String {
    into_string(|out| {
        write!(out, "\n{}", times.name)?;
        structure(out, times, 1)
    })
}

fn structure(out: &mut impl Write, times: &Times, depth: usize) -> fmt::Result {
    for (position, child) in children(times) {
        write!(out, "\n{:indent$}{} ({position})", "", child.name, indent = 4 * depth)?;
        structure(out, child, depth + 1)?;
    }
    Ok(())
}

/// The timers below, each with its position: subdivisions, then the greatest worker of each group.
fn children(times: &Times) -> impl Iterator<Item = (&str, &Times)> {
    let subdivisions = times.subdivisions.iter().flat_map(|subdivisions| {
        subdivisions.timers.iter().map(|timer| (subdivisions.position.as_str(), timer))
    });
    let parallel = times.parallel.iter();
    let workers =
        parallel.filter_map(|group| Some((group.position.as_str(), greatest(&group.workers)?)));
    subdivisions.chain(workers)
}

/// The worker with the greatest total, the first of them where several have it.
fn greatest(workers: &[Times]) -> Option<&Times> {
    workers.iter().reduce(|best, worker| if worker.total > best.total { worker } else { best })
}

/// What lies below the stamps of a timer, by position.
struct Below<'a> {
    by_position: HashMap<&'a str, Place<'a>>,
}

#[derive(Default)]
struct Place<'a> {
    timers: Vec<&'a Times>,
    groups: Vec<&'a ParallelGroup>,
}

impl<'a> Below<'a> {
    fn of(times: &'a Times) -> Self {
        let mut by_position: HashMap<&str, Place<'a>> = HashMap::new();
        for at in &times.subdivisions {
            by_position.entry(&at.position).or_default().timers.extend(&at.timers);
        }
        for group in &times.parallel {
            by_position.entry(&group.position).or_default().groups.push(group);
        }
        Self { by_position }
    }

    fn at(&self, position: &str) -> Option<&Place<'a>> {
        self.by_position.get(position)
    }
}
