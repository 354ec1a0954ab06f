//! Tables over ranks: how evenly parallel workers, or several runs, share each part of the work.

use std::collections::HashMap;
use std::fmt;

use super::outline::{EntryKind, merge, outline, part};
use super::text::{Table, Visible, percent, seconds};
use crate::times::Times;

/// How a time is spread over ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least, in s.
    pub min: f64,
    /// The rank that has it, the first of several, as an index into [`RankTable::ranks`].
    pub min_rank: usize,
    /// The mean, in s.
    pub mean: f64,
    /// The greatest, in s.
    pub max: f64,
    /// The rank that has it, the first of several.
    pub max_rank: usize,
    /// The standard deviation of these ranks, which are all there are (so divided by n), in s.
    pub stdev: f64,
    /// `max / mean - 1`: 0 where all have the same, 1 where the last is waited for as long as the
    /// mean takes; 0 where nobody has any.
    pub imbalance: f64,
}

/// A part of the work.
#[derive(Clone, Debug, PartialEq)]
pub struct RankRow {
    /// Its name; of the first row, which stands for whole ranks, the empty text.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The row that it is a part of.
    pub parent: Option<usize>,
    /// 0 for the first row, one more than the parent's for others.
    pub depth: usize,
    /// How many ranks have it.
    pub n_present: usize,
    /// Over the ranks that have it; the others are left out.
    pub present: Spread,
    /// Over all ranks, absent ones as 0; `None` where none is absent.
    pub with_absent: Option<Spread>,
}

/// The parts of the work with their spread over ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct RankTable {
    /// What the ranks are of.
    pub title: String,
    /// The names of the ranks.
    pub ranks: Vec<String>,
    /// The rows, parts after the whole; empty without any rank.
    pub rows: Vec<RankRow>,
}

/// Makes the table of `ranks`, each with a name.
///
/// Parts are matched by name and place. Parallel workers within a rank are one part, their group,
/// with the time of the greatest; [`group_tables`] looks into them.
pub fn rank_table(title: &str, ranks: &[(String, &Times)]) -> RankTable {
    let trees: Vec<_> = ranks.iter().map(|(_, times)| outline(times)).collect();
    let merged = merge(&trees, |kind| kind != EntryKind::Group);
    let n_ranks = ranks.len();
    let row = |node: super::outline::Merged<'_>| {
        let absent = n_ranks - node.members.len();
        RankRow {
            name: node.name.to_owned(),
            kind: node.kind,
            parent: node.parent,
            depth: node.depth,
            n_present: node.members.len(),
            present: spread(&node.members),
            with_absent: (absent > 0).then(|| with_absent(&node.members, n_ranks)),
        }
    };
    RankTable {
        title: title.to_owned(),
        ranks: ranks.iter().map(|(name, _)| name.clone()).collect(),
        rows: merged.into_iter().map(row).collect(),
    }
}

/// The tables of all groups of parallel workers at a level within `times`.
///
/// Level 1 are the groups of `times` itself, level 2 those within their workers, and so on. Workers
/// of one group at one place, whichever their masters are, are the ranks of one table, called
/// `master/worker`.
pub fn group_tables(times: &Times, level: usize) -> Vec<RankTable> {
    let groups = groups_at(times, level).into_iter();
    groups.map(|(title, ranks)| rank_table(&title, &ranks)).collect()
}

/// The ranks of each of [`group_tables`], with its title.
pub(super) fn groups_at(times: &Times, level: usize) -> Vec<(String, Vec<(String, &Times)>)> {
    let mut groups = Groups::default();
    groups.visit(times, level, &short(&times.name), "");
    groups.found
}

#[derive(Default)]
struct Groups<'a> {
    found: Vec<(String, Vec<(String, &'a Times)>)>,
    known: HashMap<String, usize>,
}

impl<'a> Groups<'a> {
    /// `place` is where the timer is, `master` the workers that it lies within.
    fn visit(&mut self, times: &'a Times, level: usize, place: &str, master: &str) {
        for at in &times.subdivisions {
            for timer in &at.timers {
                let place = format!("{place}/{}/({})", short(&at.position), short(&timer.name));
                self.visit(timer, level, &place, master);
            }
        }
        for group in &times.parallel {
            let place = format!("{place}/{}/[{}]", short(&group.position), short(&group.group));
            for worker in &group.workers {
                let rank = format!("{master}{}", short(&worker.name));
                if level > 1 {
                    self.visit(worker, level - 1, &format!("{place}/*"), &format!("{rank}/"));
                    continue;
                }
                let found = &mut self.found;
                let table = *self.known.entry(place.clone()).or_insert_with(|| {
                    found.push((place.clone(), Vec::new()));
                    found.len() - 1
                });
                found[table].1.push((rank, worker));
            }
        }
    }
}

/// A name for a title or a rank, where no name may be without end.
fn short(name: &str) -> String {
    let name = Visible(name).to_string();
    match name.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name,
    }
}

/// `values` are ranks, rising, with their time; not empty.
fn spread(values: &[(usize, f64)]) -> Spread {
    let n = values.len() as f64;
    let pick = |better: fn(f64, f64) -> bool| {
        let best = values.iter().copied();
        best.reduce(|a, b| if better(b.1, a.1) { b } else { a }).unwrap_or((0, 0.0))
    };
    let (min_rank, min) = pick(|b, a| b < a);
    let (max_rank, max) = pick(|b, a| b > a);
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / n;
    let variance = values.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>() / n;
    let imbalance = if mean > 0.0 { max / mean - 1.0 } else { 0.0 };
    Spread { min, min_rank, mean, max, max_rank, stdev: variance.sqrt(), imbalance }
}

/// The spread of `n_ranks` of which only `present`, at least one, but not all, have a time.
///
/// In closed form, so that many ranks with few parts each cost nothing.
fn with_absent(present: &[(usize, f64)], n_ranks: usize) -> Spread {
    let first_absent =
        (0..n_ranks).find(|rank| present.binary_search_by_key(rank, |p| p.0).is_err());
    let mut spread = spread(present);
    let (n, n_present) = (n_ranks as f64, present.len() as f64);
    let mean = spread.mean * n_present / n;
    let squares = present.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>();
    spread.stdev = ((squares + (n - n_present) * mean * mean) / n).sqrt();
    spread.mean = mean;
    if let Some(rank) = first_absent {
        if spread.min > 0.0 || spread.min == 0.0 && rank < spread.min_rank {
            (spread.min, spread.min_rank) = (0.0, rank);
        }
        if spread.max < 0.0 || spread.max == 0.0 && rank < spread.max_rank {
            (spread.max, spread.max_rank) = (0.0, rank);
        }
    }
    spread.imbalance = if mean > 0.0 { spread.max / mean - 1.0 } else { 0.0 };
    spread
}

/// The table as text. Where a part is absent from some ranks, its first line leaves these out, and
/// a second one counts them as 0.
impl fmt::Display for RankTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_ranks = self.ranks.len();
        let s = if n_ranks == 1 { "" } else { "s" };
        writeln!(f, "{}: {n_ranks} rank{s}\n", Visible(&self.title))?;
        let mut table = Table::new(&[
            "",
            "min",
            "(rank)",
            "mean",
            "max",
            "(rank)",
            "stdev",
            "imbalance",
            "ranks",
        ]);
        let mut any_absent = false;
        for row in &self.rows {
            let name = match row.parent {
                None => "(total)".to_owned(),
                Some(_) => part(row.kind, &row.name),
            };
            let indent = 2 * row.depth;
            let mut line = |name: String, spread: &Spread, ranks: String| {
                let rank = |at: usize| format!("({})", short(&self.ranks[at]));
                table.push(vec![
                    name,
                    seconds(spread.min),
                    rank(spread.min_rank),
                    seconds(spread.mean),
                    seconds(spread.max),
                    rank(spread.max_rank),
                    seconds(spread.stdev),
                    percent(spread.imbalance),
                    ranks,
                ]);
            };
            line(
                format!("{:indent$}{name}", ""),
                &row.present,
                format!("{} of {n_ranks}", row.n_present),
            );
            if let Some(spread) = &row.with_absent {
                any_absent = true;
                line(
                    format!("{:indent$}  absent as 0", ""),
                    spread,
                    format!("{n_ranks} of {n_ranks}"),
                );
            }
        }
        table.write(f)?;
        if any_absent {
            writeln!(
                f,
                "\nRanks that do not have a part are left out of its line, and count as 0 in the next."
            )?;
        }
        Ok(())
    }
}
