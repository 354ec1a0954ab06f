//! What `polychron top` shows, as rows of text; for the terminal and for pipes alike.

use std::fmt::Write as _;

use polychron::shm_times::{ProcessState, Snapshot};

use super::parts::Part;
use crate::session::{Lane, path};

pub(crate) const PART_COLUMNS: [&str; 9] =
    ["part", "total", "share", "busy", "mean", "max", "imbal", "calls", "calls/s"];
pub(crate) const LANE_COLUMNS: [&str; 5] = ["thread", "state", "total", "in", "for"];

/// A duration as the reports write it.
pub(crate) fn seconds(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 1e-6 => format!("{:.0} ns", value * 1e9),
        v if v < 1e-3 => format!("{:.1} us", value * 1e6),
        v if v < 1.0 => format!("{:.1} ms", value * 1e3),
        v if v < 1e4 => format!("{value:.2} s"),
        _ => format!("{value:.0} s"),
    }
}

pub(crate) fn part_cells(part: &Part, mark: &str) -> [String; 9] {
    let percent = |value: f64| format!("{:.1}%", value * 100.0);
    let here = if part.here > 0 { format!(" <{}>", part.here) } else { String::new() };
    [
        format!("{:indent$}{mark}{}{here}", "", part.name, indent = 2 * part.depth),
        seconds(part.total),
        percent(part.share),
        part.busy.map_or_else(String::new, |busy| format!("{busy:.2}")),
        seconds(part.mean),
        seconds(part.max),
        percent(part.imbalance()),
        part.calls.map_or_else(String::new, |calls| calls.to_string()),
        part.rate.map_or_else(String::new, |rate| format!("{rate:.1}")),
    ]
}

pub(crate) fn lane_cells(lane: &Lane) -> [String; 5] {
    let state = lane.state.map_or_else(String::new, |state| state.to_string());
    let (place, since) = match &lane.current {
        Some(current) => (path(current), seconds(current.for_s)),
        None => (String::new(), String::new()),
    };
    [lane.name.clone(), state, seconds(lane.times.total), place, since]
}

/// `3 processes: 2 running, 1 killed; 4 threads`.
pub(crate) fn header(snapshot: &Snapshot, lanes: &[Lane]) -> String {
    let count = |state| snapshot.processes.iter().filter(|p| p.state == state).count();
    let mut states = Vec::new();
    for state in [ProcessState::Running, ProcessState::Ended, ProcessState::Killed] {
        let n = count(state);
        if n > 0 {
            states.push(format!("{n} {state}"));
        }
    }
    let retired: u64 = snapshot.retired.iter().map(|retired| retired.processes).sum();
    if retired > 0 {
        states.push(format!("{retired} summed up"));
    }
    let n_processes = snapshot.processes.len() as u64 + retired;
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    format!("{n_processes} processes{states}; {} threads with times", lanes.len())
}

/// All of it, for `--once`.
pub(crate) fn text(title: &str, snapshot: &Snapshot, lanes: &[Lane], parts: &[Part]) -> String {
    let mut out = format!("{title}\n{}\n\n", header(snapshot, lanes));
    let rows: Vec<[String; 9]> = parts.iter().map(|part| part_cells(part, "")).collect();
    write_table(&mut out, PART_COLUMNS, &rows, &[0]);
    out.push('\n');
    let rows: Vec<[String; 5]> = lanes.iter().map(lane_cells).collect();
    write_table(&mut out, LANE_COLUMNS, &rows, &[0, 1, 3]);
    for note in &snapshot.notes {
        let _ = write!(out, "\nnote: {}", crate::session::visible(&note.to_string()));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Columns as wide as they need to be; those of `left` to the left.
fn write_table<const N: usize>(
    out: &mut String,
    head: [&str; N],
    rows: &[[String; N]],
    left: &[usize],
) {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in all() {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
            if left.contains(&at) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
}
