//! Two runs beside one another: what became slower.

use std::collections::HashMap;
use std::fmt;

use super::outline::{EntryKind, Merged, merge, outline, part};
use super::text::{Table, Visible, percent, seconds};
use crate::times::Times;

/// From where on a difference counts: both limits must be passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The difference by the shorter of both times, 0.1 for 10 %.
    pub relative: f64,
    /// The difference in s, below which all is noise.
    pub floor_s: f64,
}

impl Default for Threshold {
    /// 10 % and 1 ms.
    fn default() -> Self {
        Self { relative: 0.1, floor_s: 1e-3 }
    }
}

/// What became of a part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The difference is within the threshold.
    Same,
    /// It takes longer, by more than the threshold: a regression.
    Slower,
    /// It takes less time, by more than the threshold.
    Faster,
    /// Only the later run has it. Where that costs time, what it is a part of is slower.
    New,
    /// Only the earlier run has it.
    Gone,
}

/// A part of the work in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The change that it is a part of, as an index into [`RunComparison::changes`].
    pub parent: Option<usize>,
    /// 0 for a whole run.
    pub depth: usize,
    /// Inclusive time in the earlier run, in s.
    pub before: Option<f64>,
    /// Inclusive time in the later run, in s.
    pub after: Option<f64>,
    /// What became of it.
    pub verdict: Verdict,
}

impl Change {
    /// `after / before`, where both are there and the earlier one is not 0.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.after? / self.before.filter(|&before| before != 0.0)?)
    }
}

/// All parts of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunComparison {
    /// The limits that were applied.
    pub threshold: Threshold,
    /// The parts, each after what it is a part of.
    pub changes: Vec<Change>,
}

/// Compares the times of two runs, part by part.
///
/// Parts are matched by name and place. Where each run has the times of one timer, these are
/// matched whatever they are called; of several, such as ranks, those of one name, in order.
pub fn compare_runs(before: &[Times], after: &[Times], threshold: Threshold) -> RunComparison {
    let mut changes = Vec::new();
    for pair in pairs(before, after) {
        let trees = pair.map(|times| times.map(outline).unwrap_or_default());
        let name = pair[0].or(pair[1]).map_or("", |times| times.name.as_str());
        let first = changes.len();
        let added = merge(&trees, |_| true).into_iter();
        changes.extend(added.map(|node| change(&node, name, first, threshold)));
    }
    RunComparison { threshold, changes }
}

fn pairs<'a>(before: &'a [Times], after: &'a [Times]) -> Vec<[Option<&'a Times>; 2]> {
    if let ([before], [after]) = (before, after) {
        return vec![[Some(before), Some(after)]];
    }
    let mut pairs: Vec<[Option<&Times>; 2]> = Vec::new();
    let mut known: HashMap<(&str, usize), usize> = HashMap::new();
    for (side, all) in [before, after].into_iter().enumerate() {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for times in all {
            let nth = seen.entry(&times.name).or_default();
            let pair = *known.entry((&times.name, *nth)).or_insert_with(|| {
                pairs.push([None, None]);
                pairs.len() - 1
            });
            pairs[pair][side] = Some(times);
            *nth += 1;
        }
    }
    pairs
}

fn change(node: &Merged<'_>, root: &str, first: usize, threshold: Threshold) -> Change {
    let of = |run| node.members.iter().find(|(tree, _)| *tree == run).map(|(_, time)| *time);
    let (before, after) = (of(0), of(1));
    let grew =
        |from: f64, to: f64| to - from > threshold.floor_s && to - from > threshold.relative * from;
    let verdict = match (before, after) {
        (Some(before), Some(after)) if grew(before, after) => Verdict::Slower,
        (Some(before), Some(after)) if grew(after, before) => Verdict::Faster,
        (None, Some(_)) => Verdict::New,
        (Some(_), None) => Verdict::Gone,
        _ => Verdict::Same,
    };
    Change {
        name: if node.parent.is_none() { root } else { node.name }.to_owned(),
        kind: node.kind,
        parent: node.parent.map(|parent| first + parent),
        depth: node.depth,
        before,
        after,
        verdict,
    }
}

impl RunComparison {
    /// The parts that became slower by more than the threshold.
    pub fn slower(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict == Verdict::Slower)
    }
}

/// A line for each part, then what was found in one line.
impl fmt::Display for RunComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["", "before", "after", "difference", "ratio", ""]);
        for change in &self.changes {
            let name = match change.parent {
                None => Visible(&change.name).to_string(),
                Some(_) => part(change.kind, &change.name),
            };
            let time = |value: Option<f64>| value.map(seconds).unwrap_or_default();
            let difference = change.after.zip(change.before).map(|(after, before)| after - before);
            table.push(vec![
                format!("{:indent$}{name}", "", indent = 2 * change.depth),
                time(change.before),
                time(change.after),
                match difference {
                    Some(longer) if longer > 0.0 => format!("+{}", seconds(longer)),
                    other => time(other),
                },
                change.ratio().map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
                match change.verdict {
                    Verdict::Same => "",
                    Verdict::Slower => "slower",
                    Verdict::Faster => "faster",
                    Verdict::New => "new",
                    Verdict::Gone => "gone",
                }
                .to_owned(),
            ]);
        }
        table.write(f)?;
        let count = |verdict| self.changes.iter().filter(|c| c.verdict == verdict).count();
        let Threshold { relative, floor_s } = self.threshold;
        writeln!(
            f,
            "\n{} slower, {} faster, {} new, {} gone (by more than {} and {})",
            count(Verdict::Slower),
            count(Verdict::Faster),
            count(Verdict::New),
            count(Verdict::Gone),
            percent(relative),
            seconds(floor_s)
        )
    }
}
