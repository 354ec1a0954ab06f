//! Steps: named, timed, and listed at the end.

use std::time::{Duration, Instant};

/// Runs one step, saying its name before and its time after.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("── {name}");
    let start = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "done" } else { "failed" };
    println!("── {name}: {outcome} in {}", seconds(start.elapsed()));
    result
}

/// Steps that all run, whatever becomes of the others.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    lines: Vec<String>,
    failed: bool,
}

impl Steps {
    /// Runs one step; a failure is printed, kept, and does not stop the others.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Outcome>) {
        let start = Instant::now();
        let outcome = step(name, work).unwrap_or_else(|e| {
            println!("error: {e:#}");
            Outcome::Failed
        });
        self.failed |= outcome == Outcome::Failed;
        self.lines.push(format!("{outcome:<10?} {name:<12} {}", seconds(start.elapsed())));
    }

    /// Prints one line per step and says whether none failed.
    pub(crate) fn finish(self) -> bool {
        println!("\nsteps:");
        for line in self.lines {
            println!("  {line}");
        }
        !self.failed
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What it checks holds.
    Passed,
    /// What it checks does not hold, and it has said why.
    Failed,
    /// What it needs is absent, and it has said what.
    Skipped,
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_all_and_stops_none() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.run("first", || anyhow::bail!("broken"));
        steps.run("second", || {
            ran += 1;
            Ok(Outcome::Passed)
        });
        assert_eq!(ran, 1);
        assert!(!steps.finish());
    }

    #[test]
    fn a_skipped_step_is_no_failure() {
        let mut steps = Steps::default();
        steps.run("deny", || Ok(Outcome::Skipped));
        assert!(steps.finish());
    }
}
