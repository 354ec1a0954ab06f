//! One self-contained page: an icicle of each tree, workers beside one another, and the tables.

mod icicle;
mod text;
mod workers;

use std::fmt::Write as _;

use super::outline::{Entry, EntryKind, outline, part, path, quantile};
use super::ranks::{groups_at, rank_table};
use super::text::{percent, seconds};
use crate::Times;
use text::escape;
use workers::Worker;

/// More lanes than these do not get a tree of their own: the slowest do.
const MOST_TREES: usize = 32;
/// Writing into a string cannot fail.
const TO_STRING: &str = "a String takes any text";

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub struct HtmlPage<'a> {
    /// The heading, and the title of the window.
    pub title: &'a str,
    /// What else is known of the run, as pairs of a name and a value: command, machine, date.
    pub facts: &'a [(String, String)],
    /// What to know before the numbers are read: what was skipped, who did not finish.
    pub notes: &'a [String],
    /// The trees, one for each rank, process or thread; a single one for one program.
    pub lanes: &'a [HtmlLane<'a>],
    /// What else there is to show, below the trees.
    pub tables: &'a [HtmlTable],
}

/// A table beside those of the trees.
#[derive(Clone, Debug)]
pub struct HtmlTable {
    /// Its heading.
    pub title: String,
    /// The names of its columns.
    pub head: Vec<String>,
    /// The rows, of as many cells as there are columns: the text, and the full value if it is a
    /// number. The first cell names the row.
    pub rows: Vec<Vec<(String, Option<f64>)>>,
}

/// One tree of a page.
#[derive(Clone, Copy, Debug)]
pub struct HtmlLane<'a> {
    /// What names it among the others: `rank 3`, `pid 4711, thread 2`.
    pub label: &'a str,
    /// When its timer began, in s after the first of the page; 0 where that is not known.
    pub start: f64,
    /// What was measured.
    pub times: &'a Times,
}

/// Makes one HTML document of what was measured.
///
/// Each lane has an icicle and a table of its tree. Where there are several lanes, and for every
/// group of parallel workers in a tree, the workers stand beside one another: a waterfall, a field
/// of rank by stage whose colours show who is above or below the mean of a stage, and the table of
/// all parts over the workers, as [`rank_table`] has it.
///
/// The page needs nothing but itself: no network, no font, no image. Its few lines of script only
/// enlarge a part of an icicle that is chosen. It has a dark and a printed form. Each number in a
/// table carries its full value, in s where it is a duration, in the attribute `data-v`.
///
/// ```
/// use gtimer_core::Times;
/// use gtimer_core::report::{HtmlLane, HtmlPage, html};
///
/// let times = Times { name: "root".to_owned(), total: 1.5, ..Times::default() };
/// let lanes = [HtmlLane { label: "rank 0", start: 0.0, times: &times }];
/// let page = html(&HtmlPage { title: "a run", facts: &[], notes: &[], lanes: &lanes, tables: &[] });
/// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("data-v=\"1.5\""));
/// ```
pub fn html(page: &HtmlPage<'_>) -> String {
    let mut out = String::with_capacity(64 << 10);
    let title = escape(page.title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
        include_str!("page.css")
    )
    .expect(TO_STRING);
    header(&mut out, page);
    out.push_str("</header>\n<main>\n");
    if page.lanes.len() > 1 {
        let named: Vec<(String, &Times)> =
            page.lanes.iter().map(|lane| (lane.label.to_owned(), lane.times)).collect();
        let all: Vec<Worker<'_>> = page
            .lanes
            .iter()
            .map(|lane| Worker { label: lane.label, start: lane.start, times: lane.times })
            .collect();
        workers::section(&mut out, &rank_table("All ranks", &named), &all);
    }
    lanes(&mut out, page.lanes);
    page.tables.iter().for_each(|table| further(&mut out, table));
    write!(
        out,
        "</main>\n<footer>Durations are wall-clock time without the timer's own. <i>(rest)</i> is \
         time that no stamp took. Names in parentheses are timers, those in brackets groups of \
         parallel workers.</footer>\n<script>\n{}</script>\n</body>\n</html>\n",
        include_str!("page.js")
    )
    .expect(TO_STRING);
    out
}

fn header(out: &mut String, page: &HtmlPage<'_>) {
    let longest = page.lanes.iter().map(|lane| lane.times.total).fold(0.0, f64::max);
    let own: f64 = page.lanes.iter().map(|lane| lane.times.self_agg).sum();
    let n_trees = page.lanes.len();
    let facts = [
        ("longest total", seconds(longest)),
        ("ranks", n_trees.to_string()),
        ("timer's own time", seconds(own)),
    ];
    out.push_str("<dl class=\"facts\">\n");
    let given = page.facts.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in facts.into_iter().chain(given) {
        let (name, value) = (escape(name), escape(&value));
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>").expect(TO_STRING);
    }
    out.push_str("</dl>\n");
    if !page.notes.is_empty() {
        out.push_str("<ul class=\"notes\">\n");
        for note in page.notes {
            writeln!(out, "<li>{}</li>", escape(note)).expect(TO_STRING);
        }
        out.push_str("</ul>\n");
    }
}

/// The trees, the slowest first, since that is the one that all others wait for.
fn lanes(out: &mut String, lanes: &[HtmlLane<'_>]) {
    let mut order: Vec<&HtmlLane<'_>> = lanes.iter().collect();
    order.sort_by(|a, b| b.times.total.total_cmp(&a.times.total));
    for (at, lane) in order.iter().take(MOST_TREES).enumerate() {
        let open = if at == 0 { " open" } else { "" };
        let running = if lane.times.running { ", running" } else { "" };
        writeln!(
            out,
            "<details class=\"lane\"{open}>\n<summary><h2>{}</h2> {}{running}</summary>",
            escape(lane.label),
            seconds(lane.times.total)
        )
        .expect(TO_STRING);
        let entries = outline(lane.times);
        icicle::section(out, &entries);
        table(out, &entries);
        groups(out, lane.times);
        out.push_str("</details>\n");
    }
    if order.len() > MOST_TREES {
        let more = order.len() - MOST_TREES;
        writeln!(out, "<p>The trees of {more} faster ranks are not shown.</p>").expect(TO_STRING);
    }
}

/// A table that the caller made.
fn further(out: &mut String, HtmlTable { title, head, rows }: &HtmlTable) {
    write!(
        out,
        "<section>\n<h2>{}</h2>\n<div class=\"scroll\"><table>\n<thead><tr>",
        escape(title)
    )
    .expect(TO_STRING);
    for name in head {
        write!(out, "<th>{}</th>", escape(name)).expect(TO_STRING);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (at, (text, value)) in row.iter().enumerate() {
            let text = escape(text);
            match value {
                _ if at == 0 => write!(out, "<th scope=\"row\">{text}</th>"),
                Some(value) => write!(out, "<td data-v=\"{value}\">{text}</td>"),
                None => write!(out, "<td>{text}</td>"),
            }
            .expect(TO_STRING);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n</section>\n");
}

/// The parallel groups of a tree, those within workers after those of the tree itself.
fn groups(out: &mut String, times: &Times) {
    for level in 1.. {
        let groups = groups_at(times, level);
        if groups.is_empty() {
            return;
        }
        for (title, ranks) in groups {
            let workers: Vec<Worker<'_>> =
                ranks.iter().map(|(label, times)| Worker { label, start: 0.0, times }).collect();
            workers::section(out, &rank_table(&title, &ranks), &workers);
        }
    }
}

/// The table of a tree: a row for each timer, stamp and group, and of a group the worker with the
/// greatest total.
fn table(out: &mut String, entries: &[Entry<'_>]) {
    out.push_str(
        "<h3>Where the time went</h3>\n<div class=\"scroll\"><table class=\"tree\">\n<thead><tr>\
         <th>name</th><th>inclusive</th><th>exclusive</th><th>share</th><th>calls</th>\
         <th>mean</th><th>min</th><th>max</th><th>p50</th><th>p99</th></tr></thead>\n<tbody>\n",
    );
    let whole = entries.first().map_or(0.0, |root| root.inclusive);
    let mut next = 0;
    while let Some(entry) = entries.get(next) {
        let at = next;
        next += 1;
        if let Some(group) = entry.parent.filter(|_| entry.kind == EntryKind::Worker)
            && greatest(entries, group) != Some(at)
        {
            next = entry.end;
            continue;
        }
        let name = match entry.kind {
            _ if entry.parent.is_none() => entry.name.to_owned(),
            EntryKind::Group => {
                let n_workers = below(entries, at).count();
                format!("[{}] × {n_workers}, the greatest:", entry.name)
            }
            kind => part(kind, entry.name),
        };
        write!(
            out,
            "<tr data-path=\"{}\"><th style=\"--d:{}\" scope=\"row\">{}</th>",
            escape(&path(entries, at)),
            entry.depth,
            escape(&name)
        )
        .expect(TO_STRING);
        value(out, Some(entry.inclusive));
        value(out, (entry.kind != EntryKind::Group).then_some(entry.exclusive));
        let share = entry.inclusive / whole;
        write!(
            out,
            "<td class=\"share\" data-v=\"{share}\" style=\"--p:{:.2}%\">{}</td>",
            share.clamp(0.0, 1.0) * 100.0,
            percent(share)
        )
        .expect(TO_STRING);
        match entry.calls() {
            Some(calls) => write!(out, "<td data-v=\"{calls}\">{calls}</td>").expect(TO_STRING),
            None => out.push_str("<td></td>"),
        }
        let (min, max) = entry.range().unzip();
        let kept = entry.kept();
        let quantile = |share| kept.as_ref().and_then(|kept| quantile(kept, share));
        for column in [entry.mean(), min, max, quantile(0.5), quantile(0.99)] {
            value(out, column);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// The entries right below one.
fn below(entries: &[Entry<'_>], at: usize) -> impl Iterator<Item = usize> {
    let end = entries[at].end;
    std::iter::successors(Some(at + 1), |&part| Some(entries.get(part)?.end))
        .take_while(move |&part| part < end)
}

/// The worker of a group that has the greatest total, the first of several.
fn greatest(entries: &[Entry<'_>], group: usize) -> Option<usize> {
    let time = |at: usize| entries[at].inclusive;
    below(entries, group).reduce(|a, b| if time(b) > time(a) { b } else { a })
}

/// A cell with a duration in s, or an empty one where there is none.
fn value(out: &mut String, duration: Option<f64>) {
    match duration {
        Some(v) => write!(out, "<td data-v=\"{v}\">{}</td>", seconds(v)).expect(TO_STRING),
        None => out.push_str("<td></td>"),
    }
}

/// The hue of the `at`-th of several neighbours, in degrees; those near one another differ clearly.
fn hue_of(at: usize) -> u32 {
    ((at % 360) * 67 + 205) as u32 % 360
}
