//! gtimer's report.

use std::fmt::{self, Write};

use super::super::python::{general, repr};
use super::{Below, GtimerFormat, Place, at_most, children, greatest};
use crate::times::{ParallelGroup, StampTimes, Times, UNASSIGNED};

/// The sum of no stamps is written as the whole number 0.
pub(super) fn sum_of_stamps(times: &Times) -> String {
    if times.stamps.is_empty() { "0".to_owned() } else { repr(times.stamps_sum) }
}

/// The numbers of iterations above which a stamp is in the statistics.
const SINGLE: u64 = 1;

pub(super) struct Report<'a, W> {
    out: &'a mut W,
    format: &'a GtimerFormat,
}

impl<'a, W: Write> Report<'a, W> {
    pub(super) fn new(out: &'a mut W, format: &'a GtimerFormat) -> Self {
        Self { out, format }
    }

    pub(super) fn write(&mut self, times: &Times) -> fmt::Result {
        let name = &times.name;
        self.header(times)?;
        match self.format.delimiter {
            Some(_) => self.out.write_str("\n\nIntervals\n")?,
            None => self.out.write_str("\n\n\nIntervals\n---------")?,
        }
        self.intervals(times, 0, false)?;
        let mut any = false;
        self.iterations(times, &mut Vec::new(), &mut any)?;
        match self.format.delimiter {
            Some(_) => write!(self.out, "\n\nEnd ({name})\n\n"),
            None => write!(self.out, "\n\n---End Timer Report ({name})---\n\n"),
        }
    }

    fn header(&mut self, times: &Times) -> fmt::Result {
        let name = &times.name;
        let running = if times.running { " (running)" } else { "" };
        match &self.format.delimiter {
            Some(delimiter) => {
                write!(self.out, "\nTimer Report ({name})\n")?;
                write!(self.out, "\nTimer Name{delimiter}{name}{running}")?;
                write!(self.out, "\nTotal Time (s){delimiter}{}", repr(times.total))?;
                write!(self.out, "\nStamps Sum{delimiter}{}", sum_of_stamps(times))?;
                write!(self.out, "\nSelf Time (Agg.){delimiter}{}", repr(times.self_agg))
            }
            None => {
                write!(self.out, "\n\n---Begin Timer Report ({name})---")?;
                write!(self.out, "\nTimer Name:          {name}{running}")?;
                write!(self.out, "\nTotal Time (s):      {}", general(times.total))?;
                write!(self.out, "\nStamps Sum:          {}", general(times.stamps_sum))?;
                write!(self.out, "\nSelf Time (Agg.):    {}", general(times.self_agg))
            }
        }
    }

    fn line(&mut self, depth: usize) -> fmt::Result {
        self.out.write_char('\n')?;
        let indent = self.format.indent("  ");
        (0..depth).try_for_each(|_| self.out.write_str(indent))
    }

    fn intervals(&mut self, times: &Times, depth: usize, par: bool) -> fmt::Result {
        let below = Below::of(times);
        for stamp in &times.stamps {
            self.line(depth)?;
            self.format.dotted(self.out, self.format.report_name_width, &stamp.name, par)?;
            match &self.format.delimiter {
                Some(delimiter) => write!(self.out, "{delimiter}{}", repr(stamp.cum))?,
                None => write!(self.out, " {}", general(stamp.cum))?,
            }
            if let Some(place) = below.at(&stamp.name) {
                self.place(place, depth + 1, par)?;
            }
        }
        if let Some(Place { timers, groups }) = below.at(UNASSIGNED) {
            // Timers and groups of workers stand apart, each under a line of its own.
            if !timers.is_empty() {
                self.line(depth)?;
                self.out.write_str(UNASSIGNED)?;
                self.timers(timers, depth + 1, par)?;
            }
            if !groups.is_empty() {
                self.line(depth)?;
                self.out.write_str(UNASSIGNED)?;
                self.groups(groups, depth + 1)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, place: &Place<'_>, depth: usize, par: bool) -> fmt::Result {
        self.timers(&place.timers, depth, par)?;
        self.groups(&place.groups, depth)
    }

    fn timers(&mut self, timers: &[&Times], depth: usize, par: bool) -> fmt::Result {
        for timer in timers {
            self.timer_name(&timer.name, depth)?;
            self.intervals(timer, depth, par)?;
        }
        Ok(())
    }

    fn groups(&mut self, groups: &[&ParallelGroup], depth: usize) -> fmt::Result {
        for group in groups {
            let Some(worker) = greatest(&group.workers) else { continue };
            self.line(depth)?;
            write!(self.out, "{}{}", group.group, self.format.parallel_symbol)?;
            self.timer_name(&worker.name, depth)?;
            self.intervals(worker, depth, true)?;
        }
        Ok(())
    }

    fn timer_name(&mut self, name: &str, depth: usize) -> fmt::Result {
        self.line(depth)?;
        match self.format.delimiter {
            Some(_) => self.out.write_str(name),
            None => write!(self.out, "({name})"),
        }
    }

    /// The iterations of this timer and of all below; `lineage` are those above, with positions.
    fn iterations<'t>(
        &mut self,
        times: &'t Times,
        lineage: &mut Vec<(&'t str, &'t str)>,
        any: &mut bool,
    ) -> fmt::Result {
        // The numbers and the list are there for different reasons: where iterations were kept but
        // none of the stamps has several, the list stands alone, without the name of the timer.
        let format = self.format;
        let repeated = times.stamps.iter().any(|stamp| stamp.itr_num > SINGLE)
            && (format.statistics || format.list);
        let listed = format.list && times.stamps.iter().any(|stamp| stamp.itrs.is_some());
        if repeated || listed {
            if !std::mem::replace(any, true) {
                match self.format.delimiter {
                    Some(_) => self.out.write_str("\n\nLoop Iterations\n")?,
                    None => self.out.write_str("\n\n\nLoop Iterations\n---------------")?,
                }
            }
            if repeated {
                self.iterations_header(&times.name, lineage)?;
            }
            if repeated && format.statistics {
                self.statistics(&times.stamps)?;
                self.out.write_char('\n')?;
            }
            if listed {
                self.kept_iterations(&times.stamps)?;
                self.out.write_char('\n')?;
            }
        }
        for (position, child) in children(times) {
            lineage.push((&times.name, position));
            self.iterations(child, lineage, any)?;
            lineage.pop();
        }
        Ok(())
    }

    fn iterations_header(&mut self, name: &str, lineage: &[(&str, &str)]) -> fmt::Result {
        let (timer, line, arrow) = match &self.format.delimiter {
            Some(delimiter) => {
                (format!("Timer{delimiter}"), format!("Lineage{delimiter}"), delimiter.as_str())
            }
            None => ("Timer:       ".to_owned(), "Lineage:     ".to_owned(), " "),
        };
        write!(self.out, "\n\n{timer}{name}")?;
        for (at, (timer, position)) in lineage.iter().enumerate() {
            let before = if at == 0 { format!("\n{line}") } else { format!("-->{arrow}") };
            write!(self.out, "{before}{timer} ({position})")?;
        }
        Ok(())
    }

    fn statistics(&mut self, stamps: &[StampTimes]) -> fmt::Result {
        let format = self.format;
        let (name_width, width) = (at_most(format.list_width), format.report_number_width);
        let name_cell = |out: &mut W, name: &str| match format.delimiter {
            Some(_) => write!(out, "\n{name}"),
            None => write!(out, "\n{name:<name_width$}"),
        };
        self.out.write_char('\n')?;
        name_cell(self.out, "")?;
        for title in ["Total", "Mean", "Max", "Min", "Num"] {
            format.column(self.out, width, title)?;
        }
        if format.delimiter.is_none() {
            name_cell(self.out, "")?;
            (0..5).try_for_each(|_| format.column(self.out, width, "------"))?;
        }
        let repeated = |stamp: &&StampTimes| stamp.itr_num > SINGLE;
        let looped = stamps.iter().filter(|stamp| stamp.in_loop);
        let others = stamps.iter().filter(|stamp| !stamp.in_loop);
        for stamp in looped.chain(others).filter(repeated) {
            name_cell(self.out, &stamp.name)?;
            let mean = stamp.cum / stamp.itr_num as f64;
            for value in [stamp.cum, mean, stamp.itr_max, stamp.itr_min] {
                format.cell(self.out, width, Some(value))?;
            }
            format.column(self.out, width, &stamp.itr_num.to_string())?;
        }
        Ok(())
    }

    fn kept_iterations(&mut self, stamps: &[StampTimes]) -> fmt::Result {
        let format = self.format;
        let width = format.list_width;
        let kept: Vec<(&str, &[f64])> = stamps
            .iter()
            .filter_map(|stamp| Some((stamp.name.as_str(), stamp.itrs.as_deref()?)))
            .collect();
        self.out.write_str("\n\nIter.")?;
        kept.iter().try_for_each(|(name, _)| format.column(self.out, width, name))?;
        if format.delimiter.is_none() {
            self.out.write_str("\n-----")?;
            kept.iter().try_for_each(|_| format.column(self.out, width, "-------"))?;
        }
        for pass in 0..kept.iter().map(|(_, itrs)| itrs.len()).max().unwrap_or(0) {
            match format.delimiter {
                Some(_) => write!(self.out, "\n{pass}")?,
                None => write!(self.out, "\n{pass:<5}")?,
            }
            for (_, itrs) in &kept {
                format.cell(self.out, width, itrs.get(pass).copied())?;
            }
        }
        Ok(())
    }
}
