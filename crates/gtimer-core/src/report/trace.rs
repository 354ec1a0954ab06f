//! Chrome trace events, which Perfetto, speedscope and chrome://tracing show.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use super::outline::{Entry, EntryKind, outline};
use crate::times::Times;

/// Writes the runs in the JSON object form of the Trace Event Format, as complete events.
///
/// Each run is a process (`pid` from 0, in order), and so is each outermost parallel worker, by its
/// place in its group; a worker's lane (`tid`) is its own for each group. Workers begin where the
/// stamp that they belong to begins.
///
/// Times hold sums and not instants, so **where an event lies is laid out, not measured**: each
/// run begins at 0; stamps follow one another in the order of their first use; the timers below a
/// stamp follow one another from its beginning; the unstamped rest comes last. Kept iterations of
/// neighbouring stamps that have equally many are taken for the passes of one loop; passes of no
/// length are left out. Lengths are those that were measured, to the nanosecond, but where timers
/// took more than what they belong to, as attached ones may: that is drawn as long as they need
/// then, and its argument `measured_s` has the truth.
///
/// # Errors
///
/// Those of `out`.
pub fn write_trace(out: &mut impl Write, runs: &[Times]) -> io::Result<()> {
    write!(out, "{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"layout\":\"not measured\"}},")?;
    write!(out, "\"traceEvents\":[")?;
    let mut trace = Trace { out, n_events: 0, n_processes: runs.len() };
    for (run, times) in runs.iter().enumerate() {
        trace.run(run, &outline(times))?;
    }
    writeln!(trace.out, "\n]}}")
}

struct Trace<'a, W> {
    out: &'a mut W,
    n_events: usize,
    n_processes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    process: usize,
    thread: usize,
    is_run: bool,
}

impl<W: Write> Trace<'_, W> {
    fn run(&mut self, run: usize, entries: &[Entry<'_>]) -> io::Result<()> {
        let extents = extents(entries);
        let mut lanes: Vec<Lane> = Vec::with_capacity(entries.len());
        // Where an entry begins, and where the next one below it will, in s.
        let mut starts = vec![0.0; entries.len()];
        let mut cursors = vec![0.0; entries.len()];
        // Of each outermost worker, by its place in the group: its process and its lanes so far.
        let mut processes: HashMap<usize, (usize, usize)> = HashMap::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        // Kept stamps that were drawn already with the first of their loop.
        let mut drawn = vec![false; entries.len()];
        for (at, entry) in entries.iter().enumerate() {
            let lane = match entry.parent {
                None => Lane { process: run, thread: 0, is_run: true },
                Some(parent) if entry.kind == EntryKind::Worker => {
                    let place = places.entry(parent).or_default();
                    let nth = std::mem::replace(place, *place + 1);
                    self.worker_lane(lanes[parent], nth, &mut processes)
                }
                Some(parent) => lanes[parent],
            };
            lanes.push(lane);
            if let Some(parent) = entry.parent {
                starts[at] = cursors[parent];
                if !matches!(entry.kind, EntryKind::Worker | EntryKind::Group) {
                    cursors[parent] += extents[at];
                }
            }
            cursors[at] = starts[at];
            match entry.kind {
                EntryKind::Group => continue,
                EntryKind::Worker => self.lane_names(lane, entry.name)?,
                EntryKind::Timer if entry.parent.is_none() => self.lane_names(lane, entry.name)?,
                _ => {}
            }
            if drawn[at] {
                continue;
            }
            let passes = passes(entries, at);
            if passes.is_empty() {
                self.event(lane, entry, starts[at], starts[at] + extents[at])?;
                continue;
            }
            passes.iter().for_each(|&stamp| drawn[stamp] = true);
            self.passes(lane, entries, &passes, starts[at], &extents)?;
        }
        Ok(())
    }

    fn worker_lane(
        &mut self,
        master: Lane,
        nth: usize,
        processes: &mut HashMap<usize, (usize, usize)>,
    ) -> Lane {
        if master.is_run {
            let n_processes = &mut self.n_processes;
            let (process, n_lanes) = processes.entry(nth).or_insert_with(|| {
                *n_processes += 1;
                (*n_processes - 1, 0)
            });
            *n_lanes += 1;
            return Lane { process: *process, thread: *n_lanes - 1, is_run: false };
        }
        // A worker of a worker: a further lane of the outermost one's process.
        let outermost = processes.values_mut().find(|(process, _)| *process == master.process);
        let thread = outermost.map_or(0, |(_, n_lanes)| std::mem::replace(n_lanes, *n_lanes + 1));
        Lane { thread, ..master }
    }

    fn passes(
        &mut self,
        lane: Lane,
        entries: &[Entry<'_>],
        stamps: &[usize],
        start: f64,
        extents: &[f64],
    ) -> io::Result<()> {
        let end = start + stamps.iter().map(|&stamp| extents[stamp]).sum::<f64>();
        let kept = |at: usize| entries[at].stamp.and_then(|s| s.itrs.as_deref()).unwrap_or(&[]);
        let mut cursor = start;
        for pass in 0..kept(stamps[0]).len() {
            for &stamp in stamps {
                let length = length(kept(stamp)[pass]);
                if length > 0.0 {
                    // The sum of the parts may be rounded otherwise than the sum of the stamps.
                    let next = (cursor + length).min(end);
                    self.event(lane, &entries[stamp], cursor, next)?;
                    cursor = next;
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, lane: Lane, entry: &Entry<'_>, start: f64, end: f64) -> io::Result<()> {
        self.separate()?;
        // Whole nanoseconds, so that what ends together does so in the file, too.
        let (start, end) = (nanoseconds(start), nanoseconds(end));
        let length = end - start;
        write!(
            self.out,
            "{{\"ph\":\"X\",\"pid\":{},\"tid\":{},\"ts\":{}.{:03},\"dur\":{}.{:03},\"name\":{},\
             \"cat\":\"{}\",\"args\":{{\"measured_s\":{}",
            lane.process,
            lane.thread,
            start / 1000,
            start % 1000,
            length / 1000,
            length % 1000,
            JsonText(entry.name),
            entry.kind.name(),
            JsonNumber(entry.inclusive),
        )?;
        if let Some(calls) = entry.calls() {
            write!(self.out, ",\"calls\":{calls}")?;
        }
        write!(self.out, "}}}}")
    }

    fn lane_names(&mut self, lane: Lane, name: &str) -> io::Result<()> {
        let Lane { process, thread, .. } = lane;
        let (pid, name) = (process, JsonText(name));
        for what in ["process_name", "thread_name"] {
            if what == "process_name" && thread > 0 {
                continue;
            }
            self.separate()?;
            write!(
                self.out,
                "{{\"ph\":\"M\",\"pid\":{pid},\"tid\":{thread},\"name\":\"{what}\",\
                 \"args\":{{\"name\":{name}}}}}"
            )?;
        }
        Ok(())
    }

    fn separate(&mut self) -> io::Result<()> {
        let comma = if self.n_events == 0 { "" } else { "," };
        self.n_events += 1;
        writeln!(self.out, "{comma}")
    }
}

/// What each entry needs: its time, or that of the entries below it if these took more.
fn extents(entries: &[Entry<'_>]) -> Vec<f64> {
    let mut below = vec![0.0; entries.len()];
    let mut extents = vec![0.0; entries.len()];
    for (at, entry) in entries.iter().enumerate().rev() {
        let kept = entry.stamp.and_then(|stamp| stamp.itrs.as_ref());
        let kept: f64 = kept.into_iter().flatten().map(|&pass| length(pass)).sum();
        extents[at] = length(entry.inclusive).max(below[at]).max(kept);
        if let Some(parent) = entry.parent
            && entry.kind != EntryKind::Group
        {
            below[parent] += extents[at];
        }
    }
    extents
}

/// The stamps from `at` on that are taken for one loop; none where this one has anything below or
/// no kept iterations.
fn passes(entries: &[Entry<'_>], at: usize) -> Vec<usize> {
    let n_kept = |at: usize| {
        let entry = entries.get(at).filter(|entry| entry.end == at + 1)?;
        entry.stamp?.itrs.as_ref().map(Vec::len)
    };
    let Some(n_passes) = n_kept(at) else { return Vec::new() };
    let parent = entries[at].parent;
    let same = |&at: &usize| n_kept(at) == Some(n_passes) && entries[at].parent == parent;
    (at..entries.len()).take_while(same).collect()
}

/// A length that can be drawn.
fn length(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
}

fn nanoseconds(seconds: f64) -> u64 {
    // Saturates, some 500 years after the beginning.
    (1e9 * seconds).round() as u64
}

struct JsonText<'a>(&'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                _ if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                _ => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

struct JsonNumber(f64);

impl fmt::Display for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_finite() { write!(f, "{}", self.0) } else { f.write_str("null") }
    }
}
