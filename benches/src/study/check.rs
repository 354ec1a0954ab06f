//! Whether we have become slower since an earlier record of the same machine.
//!
//! A machine is not as fast today as it was then: clocks, neighbours, kernels. So our engine's
//! time is taken relative to a peer's in the same round, if a peer of its group was in both; a
//! peer's program does not change. Without a peer the times themselves are compared.
//!
//! A loss is real if two things hold: the median has grown by more than [`ALLOWED`], and the
//! intervals of the two medians do not meet. Noise widens the intervals; a loss moves them.

use std::fmt;

use super::Measure;
use super::record::{Sample, Side};
use super::stats::Summary;

/// By how much a median may grow, of 1: below it nobody would look for the cause.
pub const ALLOWED: f64 = 0.10;

/// The fewest rounds that can be judged.
const ENOUGH: usize = 5;

/// What became of one of our engines on one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The workload's name.
    pub workload: String,
    /// The engine's name.
    pub engine: String,
    /// The peer whose time is the unit, if there is one; else the unit is the second.
    pub unit: Option<String>,
    /// How it is.
    pub verdict: Verdict,
}

/// How two records differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Slower, beyond doubt.
    Loss {
        /// Then.
        old: Summary,
        /// Now.
        new: Summary,
    },
    /// Not slower, or not beyond doubt.
    Holds {
        /// Then.
        old: Summary,
        /// Now.
        new: Summary,
    },
    /// The earlier record has it, and now it was not measured.
    Missing,
    /// Too few rounds, then or now.
    TooFew,
}

impl Change {
    /// Whether the check fails for it.
    #[must_use]
    pub fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::Loss { .. } | Verdict::Missing)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, engine, unit, verdict } = self;
        write!(f, "{engine} on {workload}: ")?;
        let (word, old, new) = match verdict {
            Verdict::Missing => return write!(f, "was measured before, and is not any more"),
            Verdict::TooFew => return write!(f, "too few rounds to judge, {ENOUGH} are needed"),
            Verdict::Loss { old, new } => ("LOSS", old, new),
            Verdict::Holds { old, new } => ("holds", old, new),
        };
        let of = unit.as_ref().map_or_else(|| "s".to_owned(), |peer| format!("of {peer}"));
        write!(
            f,
            "{word}, {:+.1} %: {:.4} [{:.4}, {:.4}] instead of {:.4} [{:.4}, {:.4}] {of}",
            100.0 * (new.median / old.median - 1.0),
            new.median,
            new.low,
            new.high,
            old.median,
            old.low,
            old.high,
        )
    }
}

/// Compares what our engines needed then and now, in the order of the earlier record.
///
/// What is new has nothing to be compared with, and is left out.
#[must_use]
pub fn compare(old: &[Sample], new: &[Sample], measure: Measure) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for sample in old.iter().filter(|sample| sample.side == Side::Ours) {
        let Sample { workload, engine, group, .. } = sample;
        if changes.iter().any(|c| c.workload == *workload && c.engine == *engine) {
            continue;
        }
        let same = |s: &&Sample| s.workload == *workload && s.engine == *engine;
        let unit = unit(old, new, workload, group);
        let verdict = if new.iter().any(|s| same(&s)) {
            let relative = |samples: &[Sample]| {
                let pairs = pairs(samples, workload, engine, unit.as_deref(), measure);
                Summary::of_ratios(&pairs).filter(|summary| summary.n >= ENOUGH)
            };
            match (relative(old), relative(new)) {
                (Some(old), Some(new)) => judge(old, new),
                _ => Verdict::TooFew,
            }
        } else {
            Verdict::Missing
        };
        changes.push(Change { workload: workload.clone(), engine: engine.clone(), unit, verdict });
    }
    changes
}

fn judge(old: Summary, new: Summary) -> Verdict {
    if new.median > old.median * (1.0 + ALLOWED) && new.low > old.high {
        Verdict::Loss { old, new }
    } else {
        Verdict::Holds { old, new }
    }
}

/// The peer of a group that took part in the most rounds of a workload, both then and now.
fn unit(old: &[Sample], new: &[Sample], workload: &str, group: &str) -> Option<String> {
    let rounds = |samples: &[Sample], engine: &str| {
        let of = |s: &&Sample| s.workload == workload && s.engine == engine && s.round > 0;
        samples.iter().filter(of).count()
    };
    let of_group = |s: &&Sample| s.workload == workload && s.group == group;
    let mut best: Option<(usize, &str)> = None;
    for peer in old.iter().filter(of_group).filter(|s| s.side == Side::Peer) {
        let n = rounds(old, &peer.engine).min(rounds(new, &peer.engine));
        if n >= ENOUGH && best.is_none_or(|(most, _)| n > most) {
            best = Some((n, &peer.engine));
        }
    }
    best.map(|(_, engine)| engine.to_owned())
}

/// The times of an engine beside those of its unit in the same rounds, or beside 1.
pub(super) fn pairs(
    samples: &[Sample],
    workload: &str,
    engine: &str,
    unit: Option<&str>,
    measure: Measure,
) -> Vec<(f64, f64)> {
    let of = |name: &str| {
        let name = name.to_owned();
        samples.iter().filter(move |s| s.workload == workload && s.engine == name && s.round > 0)
    };
    of(engine)
        .filter_map(|sample| match unit {
            None => Some((measure.of(sample), 1.0)),
            Some(unit) => {
                let beside = of(unit).find(|other| other.round == sample.round)?;
                Some((measure.of(sample), measure.of(beside)))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Nine rounds of ours, 0.2 s, and a peer, 0.6 s: times `ours` and `both`, with 5 % of noise.
    fn record(seed: u64, ours: f64, both: f64) -> Vec<Sample> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut samples = Vec::new();
        for round in 0..=9 {
            for (engine, side, seconds) in [("a", Side::Ours, 0.2 * ours), ("b", Side::Peer, 0.6)] {
                // The first turn takes longer and does not count.
                let first = if round == 0 { 9.0 } else { 1.0 };
                let cpu_s = seconds * both * first * rng.random_range(0.95..1.05);
                samples.push(Sample {
                    workload: "w".to_owned(),
                    group: "g".to_owned(),
                    engine: engine.to_owned(),
                    side,
                    round,
                    cpu_s,
                    wall_s: cpu_s,
                });
            }
        }
        samples
    }

    fn without_peer(samples: &[Sample]) -> Vec<Sample> {
        samples.iter().filter(|s| s.side == Side::Ours).cloned().collect()
    }

    fn only(old: &[Sample], new: &[Sample]) -> Change {
        let changes = compare(old, new, Measure::Cpu);
        assert_eq!(changes.len(), 1);
        changes[0].clone()
    }

    #[test]
    fn a_real_loss_fails_with_a_peer_and_without() {
        for seed in 0..50 {
            let (old, new) = (record(seed, 1.0, 1.0), record(seed + 1000, 1.25, 1.0));
            let change = only(&old, &new);
            assert!(change.fails(), "{change}");
            assert_eq!(change.unit.as_deref(), Some("b"));
            let text = change.to_string();
            assert!(text.starts_with("a on w: LOSS, +") && text.ends_with("of b"), "{text}");
            let change = only(&without_peer(&old), &without_peer(&new));
            assert!(change.fails() && change.unit.is_none(), "{change}");
        }
    }

    #[test]
    fn noise_passes() {
        for seed in 0..500 {
            let change = only(&record(seed, 1.0, 1.0), &record(seed + 1000, 1.0, 1.0));
            assert!(!change.fails(), "{change}");
        }
    }

    #[test]
    fn a_gain_and_a_small_loss_pass() {
        for ours in [0.5, 1.05] {
            let change = only(&record(1, 1.0, 1.0), &record(2, ours, 1.0));
            assert!(!change.fails(), "{change}");
        }
    }

    /// The whole machine takes half as long again: no fault of ours, as the peer shows.
    #[test]
    fn a_slower_machine_is_no_loss() {
        let change = only(&record(1, 1.0, 1.0), &record(2, 1.0, 1.5));
        assert!(!change.fails(), "{change}");
    }

    /// One disturbed round in three moves the mean of the times by a half, but no median.
    #[test]
    fn outliers_are_no_loss() {
        let mut new = record(2, 1.0, 1.0);
        for sample in new.iter_mut().filter(|s| s.side == Side::Ours && s.round % 3 == 1) {
            sample.cpu_s *= 2.5;
        }
        let change = only(&record(1, 1.0, 1.0), &new);
        assert!(!change.fails(), "{change}");
    }

    #[test]
    fn what_is_measured_no_more_fails_and_what_is_new_passes() {
        let old = record(1, 1.0, 1.0);
        let peer: Vec<Sample> = old.iter().filter(|s| s.side == Side::Peer).cloned().collect();
        let change = only(&old, &peer);
        assert!(change.fails() && change.verdict == Verdict::Missing, "{change}");
        assert!(compare(&peer, &old, Measure::Cpu).is_empty());
    }

    #[test]
    fn few_rounds_are_not_judged() {
        let few: Vec<Sample> = record(2, 9.0, 1.0).into_iter().filter(|s| s.round < 4).collect();
        let change = only(&record(1, 1.0, 1.0), &few);
        assert!(!change.fails() && change.verdict == Verdict::TooFew, "{change}");
    }
}
