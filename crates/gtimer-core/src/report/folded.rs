//! Folded stacks, which flame graph programs and speedscope read.

use std::io::{self, Write};

use super::outline::{Entry, EntryKind, outline};
use super::text::Visible;
use crate::times::Times;

/// Writes a line for each stack that has time of its own: its frames by `;`, a space, and the time
/// in µs, whole.
///
/// Each parallel worker begins a stack of its own (`group/worker`, after the name of an outer
/// worker where there is one), since it ran beside its master and not within it. So the lines that
/// begin with one frame have that timer's total as their sum: what rounding takes from one is given
/// to the next. Timers that took more than the stamp that they belong to, as attached ones may,
/// make their parents' time larger.
///
/// A `;` in a name becomes `:`, and control characters are escaped.
///
/// # Errors
///
/// Those of `out`.
pub fn write_folded(out: &mut impl Write, times: &Times) -> io::Result<()> {
    let entries = outline(times);
    // Every lane is written in one piece, so that its sum can be kept.
    let mut lanes = vec![0];
    lanes.extend((0..entries.len()).filter(|&at| entries[at].kind == EntryKind::Worker));
    for lane in lanes {
        write_lane(out, &entries, lane)?;
    }
    Ok(())
}

fn write_lane(out: &mut impl Write, entries: &[Entry<'_>], lane: usize) -> io::Result<()> {
    let mut stack = vec![lane_name(entries, lane)];
    let (mut exact, mut told) = (0.0, 0.0);
    let mut at = lane;
    while at < entries[lane].end {
        let entry = &entries[at];
        if entry.kind == EntryKind::Group {
            at = entry.end;
            continue;
        }
        let depth = entry.depth - entries[lane].depth;
        if depth > 0 {
            stack.truncate(depth);
            stack.push(frame(entry.name));
        }
        if entry.exclusive.is_finite() {
            exact += 1e6 * entry.exclusive.max(0.0);
        }
        let time = (exact - told).round();
        if time > 0.0 {
            writeln!(out, "{} {time}", stack.join(";"))?;
            told += time;
        }
        at += 1;
    }
    Ok(())
}

/// The root's name, or `group/worker` for each worker from the outermost on.
fn lane_name(entries: &[Entry<'_>], lane: usize) -> String {
    let mut parts = Vec::new();
    let mut next = Some(lane);
    while let Some(at) = next {
        let entry = &entries[at];
        if entry.parent.is_none() && parts.is_empty()
            || matches!(entry.kind, EntryKind::Worker | EntryKind::Group)
        {
            parts.push(frame(entry.name));
        }
        next = entry.parent;
    }
    parts.reverse();
    parts.join("/")
}

fn frame(name: &str) -> String {
    Visible(name).to_string().replace(';', ":")
}
