//! The command line of a study.

use std::path::PathBuf;

use anyhow::{bail, ensure};

/// What is wanted of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Its answers alone, on little work: cargo tests benchmarks so.
    Test,
    /// Times, written below the target directory.
    Look,
    /// Times, written to the folder of records.
    Record,
    /// The names of tests, which it has none of.
    List,
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is wanted.
    pub mode: Mode,
    /// `--check`: compare with the newest record of the same machine.
    pub check: bool,
    /// `--quick`: fewer workloads and rounds.
    pub quick: bool,
    /// Only workloads with one of these in their names.
    pub filters: Vec<String>,
    /// Cargo's target directory.
    pub target: PathBuf,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// That an option is unknown, or that a part of a study was to be recorded.
    pub fn of(args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let args: Vec<String> = args.collect();
        let has = |option: &str| args.iter().any(|arg| arg == option);
        let mut options = Self {
            mode: Mode::Test,
            check: false,
            quick: false,
            filters: Vec::new(),
            target: target(),
        };
        if has("--list") {
            options.mode = Mode::List;
            return Ok(options);
        }
        // Only `cargo bench` says so; what `cargo test` hands on is for its own harness.
        if !has("--bench") {
            return Ok(options);
        }
        options.mode = Mode::Look;
        for arg in args {
            match arg.as_str() {
                "--bench" => {}
                "--check" => options.check = true,
                "--quick" => options.quick = true,
                "--record" => options.mode = Mode::Record,
                option if option.starts_with('-') => {
                    bail!("unknown option {option}; there are --check, --quick and --record")
                }
                _ => options.filters.push(arg),
            }
        }
        let is_whole = !options.quick && options.filters.is_empty();
        ensure!(
            is_whole || options.mode != Mode::Record,
            "--record wants the whole study: neither --quick nor names of workloads"
        );
        Ok(options)
    }

    /// Whether a workload of this name is wanted.
    #[must_use]
    pub fn wants(&self, workload: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| workload.contains(filter))
    }
}

/// Cargo's target directory: this program lies in `deps` of a profile's folder in it.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let in_deps = program.parent().is_some_and(|folder| folder.ends_with("deps"));
    match program.ancestors().nth(3) {
        Some(target) if in_deps => target.to_owned(),
        // Started by hand, from elsewhere.
        _ => super::root().join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Options> {
        Options::of(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_cargo_bench_asks_for_times() {
        assert_eq!(parsed("").unwrap().mode, Mode::Test);
        assert_eq!(parsed("--nocapture").unwrap().mode, Mode::Test);
        assert_eq!(parsed("--bench").unwrap().mode, Mode::Look);
        assert_eq!(parsed("--bench --list").unwrap().mode, Mode::List);
        let options = parsed("--record --check --bench").unwrap();
        assert_eq!((options.mode, options.check), (Mode::Record, true));
    }

    #[test]
    fn workloads_are_chosen_by_parts_of_their_names() {
        let options = parsed("--quick n20000 zeros --bench").unwrap();
        assert!(options.quick && options.wants("n20000-noise") && options.wants("n12500-zeros"));
        assert!(!options.wants("n12500-noise"));
        assert!(parsed("--bench").unwrap().wants("anything"));
    }

    #[test]
    fn a_part_of_a_study_is_no_record_and_unknown_options_are_told() {
        for line in ["--bench --record --quick", "--bench --record n20000"] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains("whole study"), "{line}: {error}");
        }
        let error = parsed("--bench --fast").unwrap_err().to_string();
        assert!(error.contains("unknown option --fast") && error.contains("--quick"), "{error}");
    }
}
