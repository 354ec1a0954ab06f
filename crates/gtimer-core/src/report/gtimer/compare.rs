//! gtimer's comparison of parallel workers.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};

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
        let sums: Vec<f64> = workers.iter().map(|worker| worker.stamps_sum).collect();
        for (title, values) in [("Total", totals), ("Stamps Sum", sums)] {
            match format.delimiter {
                Some(_) => write!(self.out, "\n{title}")?,
                None => write!(self.out, "\n{title:.<name_width$}")?,
            }
            for value in values {
                format.cell(self.out, width, Some(value))?;
            }
        }
        self.out.write_char('\n')?;
        for line in lines {
            self.name(line)?;
            for &value in line.values.iter().flatten() {
                format.cell(self.out, width, value)?;
            }
        }
        Ok(())
    }

    fn statistics(&mut self, workers: &[Times], lines: &[Line<'_>]) -> fmt::Result {
        let titles = ["Max", "Min", "Mean", "StDev", "Num"];
        self.titles(self.format.compare_number_width, "------", &titles)?;
        let totals: Vec<f64> = workers.iter().map(|worker| worker.total).collect();
        self.name(&Line { depth: 0, name: "Total", par: false, values: None })?;
        self.summary(&totals, true)?;
        self.out.write_str("\n\n")?;
        for line in lines {
            self.name(line)?;
            if let Some(values) = &line.values {
                let nonzero: Vec<f64> =
                    values.iter().flatten().copied().filter(|&value| value != 0.0).collect();
                self.summary(&nonzero, nonzero.len() > 1)?;
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

    fn summary(&mut self, values: &[f64], with_deviation: bool) -> fmt::Result {
        let width = self.format.compare_number_width;
        let n = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n);
        let deviation = mean.filter(|_| with_deviation).map(|mean| {
            (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
        });
        let max = values.iter().copied().reduce(f64::max);
        let min = values.iter().copied().reduce(f64::min);
        for value in [max, min, mean, deviation] {
            self.format.cell(self.out, width, value)?;
        }
        self.format.column(self.out, width, &values.len().to_string())
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
