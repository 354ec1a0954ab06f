//! polychron's text tree of one run.

use std::fmt::{self, Write};

use super::outline::{Entry, EntryKind, outline, part, quantile};
use super::text::{Table, Visible, into_string, percent, seconds};
use crate::times::Times;

/// In which order siblings stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The longest first.
    #[default]
    Time,
    /// As they were first used.
    Order,
}

/// Which workers of a parallel group are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// The one with the greatest total.
    #[default]
    Greatest,
    /// All of them.
    Each,
}

/// How the text tree is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TreeFormat {
    /// The order of siblings.
    pub sort: Sort,
    /// Siblings with a smaller share of the root's total are shown as one line with their sum.
    pub min_share: f64,
    /// The workers that are shown.
    pub workers: Workers,
}

/// Writes the tree of `times` as text: a line for each timer and stamp.
///
/// | column      | meaning                                                                    |
/// | ----------- | -------------------------------------------------------------------------- |
/// | `inclusive` | time with all below                                                        |
/// | `exclusive` | time without what ran below in its course (parallel workers ran beside it) |
/// | `share`     | inclusive time in the root's total                                         |
/// | `calls`     | iterations of a stamp                                                      |
/// | `mean`, `min`, `max` | of the iterations                                                 |
/// | `p50`, `p99` | of the iterations, where they were kept                                   |
///
/// Timers stand in parentheses, groups of workers in brackets. `(rest)` is the time of a timer that
/// is in none of its stamps and none of its unassigned timers. Names are made fit for a terminal.
///
/// # Errors
///
/// Those of `out`.
pub fn write_tree(out: &mut impl Write, times: &Times, format: &TreeFormat) -> fmt::Result {
    let running = if times.running { ", running" } else { "" };
    writeln!(
        out,
        "{}{running}: total {}, in stamps {}, the timer's own {}\n",
        Visible(&times.name),
        seconds(times.total),
        seconds(times.stamps_sum),
        seconds(times.self_agg)
    )?;
    let entries = outline(times);
    let mut tree = Tree {
        entries: &entries,
        format,
        total: times.total,
        table: Table::new(&[
            "",
            "inclusive",
            "exclusive",
            "share",
            "calls",
            "mean",
            "min",
            "max",
            "p50",
            "p99",
        ]),
    };
    tree.add(0);
    tree.table.write(out)
}

/// [`write_tree`] into a `String`.
pub fn tree(times: &Times, format: &TreeFormat) -> String {
    into_string(|out| write_tree(out, times, format))
}

struct Tree<'a> {
    entries: &'a [Entry<'a>],
    format: &'a TreeFormat,
    total: f64,
    table: Table,
}

impl Tree<'_> {
    fn add(&mut self, at: usize) {
        let entry = &self.entries[at];
        self.line(at);
        let mut below = self.children(at);
        if self.format.sort == Sort::Time {
            below.sort_by(|a, b| {
                let time = |at: &usize| self.entries[*at].inclusive;
                time(b).total_cmp(&time(a))
            });
        }
        let has_below = !below.is_empty();
        let is_small =
            |at: &usize| self.entries[*at].inclusive < self.format.min_share * self.total;
        let (small, large): (Vec<usize>, Vec<usize>) = below.into_iter().partition(is_small);
        large.into_iter().for_each(|at| self.add(at));
        if !small.is_empty() {
            let sum = small.iter().map(|&at| self.entries[at].inclusive).sum();
            let is_beside = entry.kind == EntryKind::Group;
            let name = format!("({} smaller)", small.len());
            // Workers ran beside one another, so their times have no sum worth telling.
            self.sum(entry.depth + 1, &name, (!is_beside).then_some(sum));
        }
        let is_timer = matches!(entry.kind, EntryKind::Timer | EntryKind::Worker);
        if is_timer && has_below && entry.exclusive != 0.0 {
            self.sum(entry.depth + 1, "(rest)", Some(entry.exclusive));
        }
    }

    /// The entries right below.
    fn below(&self, at: usize) -> impl Iterator<Item = usize> {
        let end = self.entries[at].end;
        let first = (at + 1 < end).then_some(at + 1);
        std::iter::successors(first, move |&child| {
            Some(self.entries[child].end).filter(|&next| next < end)
        })
    }

    /// The entries right below that are shown.
    fn children(&self, at: usize) -> Vec<usize> {
        let entry = &self.entries[at];
        let children: Vec<usize> = self.below(at).collect();
        if entry.kind == EntryKind::Group && self.format.workers == Workers::Greatest {
            let time = |at: &usize| self.entries[*at].inclusive;
            // The first of several, as in gtimer's report.
            let greatest =
                children.into_iter().reduce(|a, b| if time(&b) > time(&a) { b } else { a });
            return greatest.into_iter().collect();
        }
        children
    }

    fn line(&mut self, at: usize) {
        let entry = &self.entries[at];
        let name = match entry.kind {
            _ if entry.parent.is_none() => Visible(entry.name).to_string(),
            EntryKind::Group => {
                let n_workers = self.below(at).count();
                let which = match (self.format.workers, n_workers) {
                    (Workers::Greatest, 2..) => ", the greatest:",
                    _ => ":",
                };
                let s = if n_workers == 1 { "" } else { "s" };
                format!("[{}] {n_workers} worker{s}{which}", Visible(entry.name))
            }
            kind => part(kind, entry.name),
        };
        let time = |value: Option<f64>| value.map(seconds).unwrap_or_default();
        let (min, max) = entry.range().unzip();
        let kept = entry.kept();
        let quantile = |share| kept.as_ref().and_then(|kept| quantile(kept, share));
        let is_group = entry.kind == EntryKind::Group;
        self.table.push(vec![
            format!("{:indent$}{name}", "", indent = 2 * entry.depth),
            seconds(entry.inclusive),
            if is_group { String::new() } else { seconds(entry.exclusive) },
            percent(entry.inclusive / self.total),
            entry.calls().map(|calls| calls.to_string()).unwrap_or_default(),
            time(entry.mean()),
            time(min),
            time(max),
            time(quantile(0.5)),
            time(quantile(0.99)),
        ]);
    }

    /// A line that stands for no entry.
    fn sum(&mut self, depth: usize, name: &str, value: Option<f64>) {
        self.table.push(vec![
            format!("{:indent$}{name}", "", indent = 2 * depth),
            value.map(seconds).unwrap_or_default(),
            String::new(),
            value.map(|value| percent(value / self.total)).unwrap_or_default(),
        ]);
    }
}
