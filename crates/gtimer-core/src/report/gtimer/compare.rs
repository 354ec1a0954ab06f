//! gtimer's comparison of parallel workers.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};

use super::report::sum_of_stamps;
use super::{Below, GtimerFormat, Place, at_most, greatest};
use crate::times::{Times, UNASSIGNED};

/// A line of a comparison: a stamp with its sum for each worker that has it, or only a name.
struct Line<'a> {
    depth: usize,
    name: &'a str,
    par: bool,
    values: Option<Vec<Option<f64>>>,
}

pub(super) struct Compare<'a, W> {
    out: &'a mut W,
    format: &'a GtimerFormat,
}

impl<'a, W: Write> Compare<'a, W> {
    pub(super) fn new(out: &'a mut W, format: &'a GtimerFormat) -> Self {
        Self { out, format }
    }

    pub(super) fn write(&mut self, name: &str, workers: &[Times]) -> fmt::Result {
        let mut lines = Vec::new();
        collect(&workers.iter().map(Some).collect::<Vec<_>>(), 0, false, &mut lines);
        match self.format.delimiter {
            Some(_) => write!(self.out, "\nParallel / Comparison \n({name})")?,
            None => write!(self.out, "\n\n---Parallel / Comparison Report ({name})---")?,
        }
        if self.format.list {
            self.list(workers, &lines)?;
        }
        if self.format.statistics {
            self.statistics(workers, &lines)?;
        }
        match self.format.delimiter {
            Some(_) => write!(self.out, "\n\nEnd Parallel / Comparison \n({name})\n\n"),
            None => write!(self.out, "\n\n---End Parallel / Comparison Report ({name})---\n\n"),
        }
    }

    fn list(&mut self, workers: &[Times], lines: &[Line<'_>]) -> fmt::Result {
        let format = self.format;
        let (name_width, width) = (at_most(format.compare_name_width), format.list_width);
        let names: Vec<&str> = workers.iter().map(|worker| worker.name.as_str()).collect();
        self.titles(width, "-------", &names)?;
        let totals: Vec<f64> = workers.iter().map(|worker| worker.total).collect();
        let title = |out: &mut W, title: &str| match format.delimiter {
            Some(_) => write!(out, "\n{title}"),
            None => write!(out, "\n{title:.<name_width$}"),
        };
        title(self.out, "Total")?;
        totals.into_iter().try_for_each(|value| format.cell(self.out, width, Some(value)))?;
        title(self.out, "Stamps Sum")?;
        for worker in workers {
            match format.delimiter {
                Some(_) => format.column(self.out, width, &sum_of_stamps(worker))?,
                None => format.cell(self.out, width, Some(worker.stamps_sum))?,
            }
        }
        self.out.write_char('\n')?;
        for line in lines {
            self.name(line)?;
            for &value in line.values.iter().flatten() {
                format.cell(self.out, width, value.filter(|&value| value != 0.0))?;
            }
        }
        Ok(())
    }

    fn statistics(&mut self, workers: &[Times], lines: &[Line<'_>]) -> fmt::Result {
        let titles = ["Max", "Min", "Mean", "StDev", "Num"];
        self.titles(self.format.compare_number_width, "------", &titles)?;
        self.name(&Line { depth: 0, name: "Total", par: false, values: None })?;
        let totals = Summary::of(workers.iter().map(|worker| worker.total));
        self.summary(&totals, Some)?;
        self.out.write_str("\n\n")?;
        for line in lines {
            self.name(line)?;
            if let Some(values) = &line.values {
                // Zeros are left out, of the numbers and of the text.
                let nonzero = |value| Some(value).filter(|&value| value != 0.0);
                self.summary(&Summary::of(values.iter().flatten().copied()), nonzero)?;
            }
        }
        Ok(())
    }

    fn titles(&mut self, width: usize, rule: &str, titles: &[&str]) -> fmt::Result {
        let format = self.format;
        let (margin, gap) = match format.delimiter {
            Some(_) => (0, "\n\n"),
            None => (at_most(format.compare_name_width), "\n\n\n"),
        };
        write!(self.out, "{gap}{:margin$}", "")?;
        titles.iter().try_for_each(|title| format.column(self.out, width, title))?;
        if format.delimiter.is_none() {
            write!(self.out, "\n{:margin$}", "")?;
            titles.iter().try_for_each(|_| format.column(self.out, width, rule))?;
        }
        Ok(())
    }

    fn name(&mut self, line: &Line<'_>) -> fmt::Result {
        self.out.write_char('\n')?;
        let indent = self.format.indent(" ");
        (0..line.depth).try_for_each(|_| self.out.write_str(indent))?;
        if line.name == UNASSIGNED && line.values.is_none() {
            return self.out.write_str(UNASSIGNED);
        }
        self.format.dotted(self.out, self.format.compare_name_width, line.name, line.par)
    }

    fn summary(&mut self, summary: &Summary, shown: impl Fn(f64) -> Option<f64>) -> fmt::Result {
        let width = self.format.compare_number_width;
        let Summary { max, min, mean, deviation, n } = *summary;
        for value in [max, min, mean, deviation] {
            self.format.cell(self.out, width, shown(value))?;
        }
        self.format.column(self.out, width, &n.to_string())
    }
}

/// Of the values that are not zero; all 0 where there is none.
#[derive(Clone, Copy, Default)]
struct Summary {
    max: f64,
    min: f64,
    mean: f64,
    /// Of the whole population.
    deviation: f64,
    n: usize,
}

impl Summary {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.filter(|&value| value != 0.0).collect();
        let n = values.len();
        if n == 0 {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Self {
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            mean,
            deviation: (squares / n as f64).sqrt(),
            n,
        }
    }
}

/// The stamps of all `members` in the order in which they are first met, each followed by those
/// of the timers below it, which are matched by name.
fn collect<'a>(members: &[Option<&'a Times>], depth: usize, par: bool, lines: &mut Vec<Line<'a>>) {
    let sums = members.iter().map(|member| {
        let stamps = member.iter().flat_map(|times| &times.stamps);
        stamps.map(|stamp| (stamp.name.as_str(), stamp.cum)).collect()
    });
    let sums: Vec<HashMap<&str, f64>> = sums.collect();
    let below: Vec<Option<Below<'_>>> =
        members.iter().map(|member| member.map(Below::of)).collect();
    let places = |position: &str| -> Vec<Option<&Place<'a>>> {
        below.iter().map(|below| below.as_ref()?.at(position)).collect()
    };
    let stamps = members.iter().flatten().flat_map(|times| &times.stamps);
    for name in first_met(stamps.map(|stamp| stamp.name.as_str())) {
        let values = sums.iter().map(|of| of.get(name).copied()).collect();
        lines.push(Line { depth, name, par, values: Some(values) });
        collect_below(&places(name), depth + 1, par, lines);
    }
    let unassigned = places(UNASSIGNED);
    if unassigned.iter().any(Option::is_some) {
        lines.push(Line { depth, name: UNASSIGNED, par, values: None });
        collect_below(&unassigned, depth + 1, par, lines);
    }
}

fn collect_below<'a>(
    places: &[Option<&Place<'a>>],
    depth: usize,
    par: bool,
    lines: &mut Vec<Line<'a>>,
) {
    let timers = |place: &Place<'a>| -> Vec<(&'a str, &'a Times)> {
        place.timers.iter().map(|&timer| (timer.name.as_str(), timer)).collect()
    };
    collect_each(places, timers, |below| collect(below, depth, par, lines));
    let workers = |place: &Place<'a>| -> Vec<(&'a str, &'a Times)> {
        let groups = place.groups.iter();
        groups.filter_map(|group| Some((group.group.as_str(), greatest(&group.workers)?))).collect()
    };
    collect_each(places, workers, |below| collect(below, depth, true, lines));
}

/// Collects the timers of each name, from all places where there is one.
fn collect_each<'a>(
    places: &[Option<&Place<'a>>],
    named: impl Fn(&Place<'a>) -> Vec<(&'a str, &'a Times)>,
    mut collect: impl FnMut(&[Option<&'a Times>]),
) {
    let named: Vec<Vec<(&str, &Times)>> =
        places.iter().map(|place| place.map(&named).unwrap_or_default()).collect();
    let by_name: Vec<HashMap<&str, &Times>> =
        named.iter().map(|named| named.iter().rev().copied().collect()).collect();
    for name in first_met(named.iter().flatten().map(|(name, _)| *name)) {
        let below: Vec<_> = by_name.iter().map(|named| named.get(name).copied()).collect();
        collect(&below);
    }
}

fn first_met<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}
