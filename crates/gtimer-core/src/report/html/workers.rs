//! Workers beside one another: waterfall, rank by stage, and the table of parts over workers.

use std::fmt::Write as _;

use super::text::escape;
use super::{TO_STRING, hue_of, value};
use crate::Times;
use crate::report::RankTable;
use crate::report::outline::part;
use crate::report::text::{percent, seconds};

/// More workers than these are not drawn one by one: the slowest are.
const MOST_ROWS: usize = 256;
/// More stages than these are not in the field of rank by stage: the longest are.
const MOST_STAGES: usize = 12;

/// A worker with what names it and when its timer began, in s after the first.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub(super) label: &'a str,
    pub(super) start: f64,
    pub(super) times: &'a Times,
}

/// A stage: the stamps of one name of all workers.
struct Stage<'a> {
    name: &'a str,
    hue: u32,
    /// Of each worker, in s; `None` where it has no such stamp.
    values: Vec<Option<f64>>,
}

pub(super) fn section(out: &mut String, table: &RankTable, workers: &[Worker<'_>]) {
    writeln!(out, "<section class=\"workers\">\n<h3>{}</h3>", escape(&table.title))
        .expect(TO_STRING);
    let mut shown = workers.to_vec();
    if shown.len() > MOST_ROWS {
        shown.sort_by(|a, b| b.times.total.total_cmp(&a.times.total));
        shown.truncate(MOST_ROWS);
        writeln!(out, "<p>Drawn are the {MOST_ROWS} slowest of {} workers.</p>", workers.len())
            .expect(TO_STRING);
    }
    let stages = stages(&shown);
    waterfall(out, &shown, &stages);
    field(out, &shown, &stages);
    spread(out, table);
    out.push_str("</section>\n");
}

/// The stamps of the workers in the order of their first use.
fn stages<'a>(workers: &[Worker<'a>]) -> Vec<Stage<'a>> {
    let mut stages: Vec<Stage<'a>> = Vec::new();
    for (worker, Worker { times, .. }) in workers.iter().enumerate() {
        for stamp in &times.stamps {
            let known = stages.iter().position(|stage| stage.name == stamp.name);
            let at = known.unwrap_or_else(|| {
                let hue = hue_of(stages.len());
                stages.push(Stage { name: &stamp.name, hue, values: vec![None; workers.len()] });
                stages.len() - 1
            });
            stages[at].values[worker] = Some(stamp.cum);
        }
    }
    stages
}

/// A bar for each worker with its stages one after the other, all on one axis of seconds.
fn waterfall(out: &mut String, workers: &[Worker<'_>], stages: &[Stage<'_>]) {
    let end = workers.iter().map(|w| w.start + w.times.total).fold(0.0, f64::max);
    if end <= 0.0 {
        return;
    }
    out.push_str("<h4>Waterfall</h4>\n<div class=\"waterfall\">\n");
    for (at, worker) in workers.iter().enumerate() {
        let who = escape(worker.label);
        write!(
            out,
            "<div class=\"row\"><span class=\"who\" title=\"{who}\">{who}</span>\
             <div class=\"track\">"
        )
        .expect(TO_STRING);
        let mut left = worker.start;
        let mut bar = |name: &str, length: f64, class: &str, hue: u32| {
            if length > 0.0 {
                write!(
                    out,
                    "<i class=\"{class}\" style=\"left:{:.3}%;width:{:.3}%;--h:{hue}\" \
                     title=\"{}: {}\"></i>",
                    left / end * 100.0,
                    length / end * 100.0,
                    escape(name),
                    seconds(length)
                )
                .expect(TO_STRING);
                left += length;
            }
        };
        let mut stamped = 0.0;
        for stage in stages {
            let length = stage.values[at].unwrap_or(0.0);
            stamped += length;
            bar(stage.name, length, "bar", stage.hue);
        }
        bar("(rest)", worker.times.total - stamped, "bar rest", 0);
        writeln!(out, "</div><span class=\"sum\">{}</span></div>", seconds(worker.times.total))
            .expect(TO_STRING);
    }
    write!(
        out,
        "<div class=\"row axis\"><span class=\"who\"></span><div class=\"track\">\
         <b style=\"left:0\">0 s</b><b style=\"left:50%\">{}</b><b style=\"right:0\">{}</b></div>\
         <span class=\"sum\"></span></div>\n</div>\n<p class=\"legend\">",
        seconds(end / 2.0),
        seconds(end)
    )
    .expect(TO_STRING);
    for Stage { name, hue, .. } in stages {
        write!(out, "<span><i style=\"--h:{hue}\"></i>{}</span>", escape(name)).expect(TO_STRING);
    }
    out.push_str("<span><i class=\"rest\"></i>(rest)</span></p>\n");
}

/// Rank by stage: the length of a bar is the time, its colour the distance from the stage's mean.
fn field(out: &mut String, workers: &[Worker<'_>], stages: &[Stage<'_>]) {
    if workers.len() < 2 || stages.is_empty() {
        return;
    }
    let sum = |stage: &Stage<'_>| stage.values.iter().flatten().sum::<f64>();
    let mut order: Vec<usize> = (0..stages.len()).collect();
    order.sort_by(|&a, &b| sum(&stages[b]).total_cmp(&sum(&stages[a])));
    order.truncate(MOST_STAGES);
    order.sort_unstable();
    out.push_str(
        "<h4>Rank by stage</h4>\n<div class=\"scroll\"><table class=\"field\">\n\
         <thead><tr><th>worker</th>",
    );
    for &stage in &order {
        write!(out, "<th>{}</th>", escape(stages[stage].name)).expect(TO_STRING);
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (at, worker) in workers.iter().enumerate() {
        write!(out, "<tr><th scope=\"row\">{}</th>", escape(worker.label)).expect(TO_STRING);
        for &stage in &order {
            let values = &stages[stage].values;
            let Some(own) = values[at] else {
                out.push_str("<td class=\"none\">absent</td>");
                continue;
            };
            let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
            let mean = sum(&stages[stage]) / values.iter().flatten().count() as f64;
            // The colour is full at half as much again as the mean, or half of it.
            let off = if mean > 0.0 { ((own / mean - 1.0) * 2.0).clamp(-1.0, 1.0) } else { 0.0 };
            write!(
                out,
                "<td class=\"{}\" data-v=\"{own}\" style=\"--p:{:.2}%;--o:{:.0}%\">{}</td>",
                if off >= 0.0 { "over" } else { "under" },
                own / most * 100.0,
                off.abs() * 100.0,
                seconds(own)
            )
            .expect(TO_STRING);
        }
        out.push_str("</tr>\n");
    }
    out.push_str(
        "</tbody></table></div>\n<p class=\"legend\"><span><i class=\"under\"></i>less than the \
         mean of the stage</span><span><i class=\"over\"></i>more than the mean</span>",
    );
    let left_out = stages.len() - order.len();
    if left_out > 0 {
        write!(out, "<span>{left_out} shorter stages: see the table</span>").expect(TO_STRING);
    }
    out.push_str("</p>\n");
}

fn spread(out: &mut String, table: &RankTable) {
    out.push_str(
        "<h4>Over all workers</h4>\n<div class=\"scroll\"><table class=\"ranks\">\n<thead><tr>\
         <th>name</th><th>min</th><th></th><th>mean</th><th>max</th><th></th>\
         <th>stdev</th><th>imbalance</th><th>workers</th></tr></thead>\n<tbody>\n",
    );
    for row in &table.rows {
        let name = match row.parent {
            None => "(total)".to_owned(),
            Some(_) => part(row.kind, &row.name),
        };
        let with_absent = row
            .with_absent
            .as_ref()
            .map(|spread| (row.depth + 1, "absent as 0".to_owned(), spread, table.ranks.len()));
        let lines = [Some((row.depth, name, &row.present, row.n_present)), with_absent];
        for (depth, name, spread, n) in lines.into_iter().flatten() {
            write!(out, "<tr><th style=\"--d:{}\" scope=\"row\">{}</th>", depth, escape(&name))
                .expect(TO_STRING);
            let who = |out: &mut String, rank: usize| {
                write!(out, "<td class=\"who\">{}</td>", escape(&table.ranks[rank]))
                    .expect(TO_STRING);
            };
            value(out, Some(spread.min));
            who(out, spread.min_rank);
            value(out, Some(spread.mean));
            value(out, Some(spread.max));
            who(out, spread.max_rank);
            value(out, Some(spread.stdev));
            writeln!(
                out,
                "<td data-v=\"{}\">{}</td><td data-v=\"{n}\">{n} of {}</td></tr>",
                spread.imbalance,
                percent(spread.imbalance),
                table.ranks.len()
            )
            .expect(TO_STRING);
        }
    }
    out.push_str("</tbody></table></div>\n");
}
