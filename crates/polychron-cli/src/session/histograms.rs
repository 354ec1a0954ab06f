//! How long iterations were, where `polychron run --histograms` asked for that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gtimer_core::report::HtmlTable;
use polychron::shm_times::{LaneTimes, Snapshot, StampHistogram};
use serde_json::{Value, json};

use super::report::kind;
use super::{visible, who};

/// Lines of a table at most: those with the most iterations.
const MOST_LINES: usize = 40;
/// The quantiles that are shown.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// The histogram of one stamp of one thread, or of ended processes.
#[derive(Debug)]
pub(crate) struct Histogram {
    who: String,
    of: StampHistogram,
}

/// All of a session.
pub(crate) fn of_session(snapshot: &Snapshot) -> Vec<Histogram> {
    let mut all = Vec::new();
    let mut put = |who: String, found: &[StampHistogram]| {
        for one in found {
            let path = one.path.iter().map(|name| visible(name)).collect();
            let of = StampHistogram { path, buckets: one.buckets };
            all.push(Histogram { who: who.clone(), of });
        }
    };
    for process in &snapshot.processes {
        for LaneTimes { thread, histograms, .. } in &process.lanes {
            put(format!("{}, {}", who(process), visible(thread)), histograms);
        }
    }
    for retired in &snapshot.retired {
        let label = visible(&retired.label);
        let label = if label.is_empty() { String::new() } else { format!(" of {label}") };
        put(format!("{} ended{label}", retired.processes), &retired.histograms);
    }
    all
}

/// The sums over all threads that did the same, those with the most iterations first. Roots that
/// differ by a number are one.
fn sums(all: &[Histogram]) -> Vec<StampHistogram> {
    let mut sums: BTreeMap<Vec<String>, StampHistogram> = BTreeMap::new();
    for Histogram { of, .. } in all {
        let mut path = of.path.clone();
        if let Some(root) = path.first_mut() {
            *root = kind(root).to_owned();
        }
        match sums.get_mut(&path) {
            Some(sum) => sum.add(of),
            None => {
                let buckets = of.buckets;
                sums.insert(path.clone(), StampHistogram { path, buckets });
            }
        }
    }
    let mut sums: Vec<StampHistogram> = sums.into_values().collect();
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.count()));
    sums
}

/// As in the tables of `polychron times export`: names in parentheses are timers.
fn path(of: &StampHistogram) -> String {
    let part = |(at, name): (usize, &String)| {
        let name = name.replace('/', "\\/");
        let is_timer = at % 2 == 0 && at + 1 < of.path.len();
        if is_timer { format!("({name})") } else { name }
    };
    of.path.iter().enumerate().map(part).collect::<Vec<String>>().join("/")
}

fn bound(seconds: Option<f64>) -> String {
    match seconds {
        None => "> 19 h".to_owned(),
        Some(s) if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        Some(s) if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.1} s"),
    }
}

/// The title, and a line for each stamp: path, iterations, quantiles.
pub(crate) fn table(all: &[Histogram]) -> Option<HtmlTable> {
    let sums = sums(all);
    if sums.is_empty() {
        return None;
    }
    let mut title = "Iterations (bounds of buckets, at most twice too high)".to_owned();
    if let Some(more @ 1..) = sums.len().checked_sub(MOST_LINES) {
        write!(title, "; {more} stamps with fewer are left out").expect("a String takes any text");
    }
    let quantiles = QUANTILES.map(|(name, _)| name.to_owned());
    let head = ["stamp".to_owned(), "iterations".to_owned()].into_iter().chain(quantiles);
    let line = |of: &StampHistogram| {
        let quantiles = QUANTILES.iter().map(|(_, q)| {
            let seconds = of.quantile_s(*q);
            (bound(seconds), seconds)
        });
        let n = of.count();
        [(path(of), None), (n.to_string(), Some(n as f64))].into_iter().chain(quantiles).collect()
    };
    let rows = sums.iter().take(MOST_LINES).map(line).collect();
    Some(HtmlTable { title, head: head.collect(), rows })
}

/// The same for a terminal.
pub(crate) fn text(all: &[Histogram]) -> Option<String> {
    let HtmlTable { title, head, rows } = table(all)?;
    let cells = |row: &Vec<(String, Option<f64>)>| -> Vec<String> {
        row.iter().map(|(text, _)| text.clone()).collect()
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut out = format!("{title}:\n");
    for line in &lines {
        let mut cells = line.iter().zip(&widths);
        if let Some((name, width)) = cells.next() {
            write!(out, "  {name:<width$}").expect("a String takes any text");
        }
        for (cell, width) in cells {
            write!(out, "  {cell:>width$}").expect("a String takes any text");
        }
        out.push('\n');
    }
    Some(out)
}

/// The member `histograms` beside the times.
pub(crate) fn json(all: &[Histogram]) -> Value {
    let one = |Histogram { who, of }: &Histogram| {
        let used = of.buckets.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
        let mut one = json!({
            "thread": who,
            "path": path(of),
            "count": of.count(),
            "buckets": of.buckets[..used],
        });
        for (name, q) in QUANTILES {
            one[format!("{name}_below_s")] = json!(of.quantile_s(q));
        }
        one
    };
    Value::Array(all.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(who: &str, path: &[&str], counts: &[(usize, u64)]) -> Histogram {
        let mut buckets = [0; gtimer_core::publish::N_BUCKETS];
        counts.iter().for_each(|(bucket, n)| buckets[*bucket] = *n);
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        Histogram { who: who.to_owned(), of: StampHistogram { path, buckets } }
    }

    #[test]
    fn threads_that_did_the_same_have_one_line_and_an_entry_each() {
        let path = ["worker 1", "s", "a/b", "t"];
        let other = ["worker 2", "s", "a/b", "t"];
        let all = [
            one("a", &path, &[(3, 9)]),
            one("b", &other, &[(21, 1)]),
            one("b", &["worker 2", "s"], &[(47, 1)]),
        ];
        let text = text(&all).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().skip(1).map(|line| line.split("  ").map(str::trim).collect()).collect();
        let line = |at: usize| -> Vec<&str> {
            lines[at].iter().copied().filter(|cell| !cell.is_empty()).collect()
        };
        assert_eq!(line(1), ["(worker)/s/(a\\/b)/t", "10", "8 ns", "8 ns", "2.1 ms"]);
        assert_eq!(line(2), ["(worker)/s", "1", "> 19 h", "> 19 h", "> 19 h"]);
        let json = json(&all);
        assert_eq!(json[0]["path"], "(worker 1)/s/(a\\/b)/t");
        assert_eq!(json[0]["buckets"], json!([0, 0, 0, 9]));
        assert_eq!(
            (&json[1]["p50_below_s"], &json[2]["p50_below_s"]),
            (&json!(2.097_152e-3), &Value::Null)
        );
    }
}
