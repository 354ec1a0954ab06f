//! What the two test programs share: each is its own worker, so it has its own `main` and runner.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A test: its name, which is the sentence that it states, and what it does.
pub(crate) type Test = (&'static str, fn());

/// Runs those tests whose name contains the first argument that is no option.
pub(crate) fn run(tests: &[Test]) -> ! {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let list = std::env::args().any(|argument| argument == "--list");
    let mut failed = Vec::new();
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|(name, _)| filter.as_ref().is_none_or(|part| name.contains(part.as_str())))
        .collect();
    for (name, test) in &chosen {
        if list {
            println!("{name}: test");
            continue;
        }
        let begin = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        let outcome = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {outcome} ({:.2} s)", begin.elapsed().as_secs_f64());
        if !passed {
            failed.push(name);
        }
    }
    println!("test result: {} passed; {} failed", chosen.len() - failed.len(), failed.len());
    std::process::exit(i32::from(!failed.is_empty()))
}

/// A moment that is far enough for anything that works.
pub(crate) fn late() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(20))
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }
}

/// The parent of a process and whether it lives; a zombie does not.
pub(crate) fn stat(pid: u32) -> Option<(u32, bool)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.to_owned();
    Some((fields.next()?.parse().ok()?, !matches!(state.as_str(), "Z" | "X")))
}

/// All processes.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}
