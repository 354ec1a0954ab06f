//! Reading what `cargo test` prints: what passed, what failed by name, what was skipped and why.

use std::collections::BTreeMap;

/// The count of everything that ran.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    /// One line per program with failed tests, or per failure outside any program.
    failures: Vec<String>,
    /// Reasons by test. A map, because a test may say twice that it is skipped.
    skipped: BTreeMap<String, String>,
    /// Tests that libtest left out, because they are marked `ignore`.
    ignored: Vec<String>,
    program: Option<Program>,
}

/// The test program, set of doc tests or benchmark whose output is being read.
#[derive(Debug, Default)]
struct Program {
    name: String,
    /// Set from the start of a test (or tests) to the line that says how it ended.
    pending: Option<String>,
    failed: usize,
    failed_tests: Vec<String>,
    /// Criterion's output, which has other words for the same.
    is_bench: bool,
}

/// Everything counted, and a line for everything that did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// What failed, what was skipped and why.
    pub(crate) details: Vec<String>,
    /// `N passed, M failed, K skipped`.
    pub(crate) counts: String,
    /// Whether nothing failed and something ran.
    pub(crate) passed: bool,
}

impl Tally {
    /// Takes one line that `cargo test` printed, without its end and its colours.
    pub(crate) fn line(&mut self, line: &str) {
        // Exactly as cargo prints it: the output of a test may look alike.
        if let Some(rest) = line.strip_prefix("     Running ")
            && let Some((source, file)) = rest.split_once(" (")
            && file.contains("/deps/")
        {
            self.begin(program_name(source, file), source.starts_with("benches/"));
        } else if let Some(name) = line.strip_prefix("   Doc-tests ") {
            self.begin(format!("{name} (doc tests)"), false);
        } else if let Some(name) = line.strip_prefix("error: could not compile `") {
            let what = format!("could not compile {}", name.split('`').next().unwrap_or(name));
            // Said once for the library and again for its tests.
            if !self.failures.contains(&what) {
                self.fail(what);
            }
        } else if line.starts_with("error: test failed, to rerun")
            || line.starts_with("error: doctest failed, to rerun")
        {
            self.ended_badly();
        } else if self.program.as_ref().is_some_and(|program| program.is_bench) {
            self.bench_line(line);
        } else {
            self.test_line(line);
        }
    }

    /// Records a failure that is no test's.
    pub(crate) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }

    /// Ends a run of `cargo`, whose exit status must fit what it printed.
    pub(crate) fn end_run(&mut self, command: &str, succeeded: bool, failed_before: usize) {
        self.end_program();
        if !succeeded && self.failed == failed_before {
            self.fail(format!("`{command}` failed outside its tests; see what it printed"));
        }
    }

    /// How many failed so far.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Takes the tests that said that they are skipped: lines of `name<TAB>reason`.
    pub(crate) fn take_skips(&mut self, text: &str) {
        for line in text.lines() {
            let (name, reason) = line.split_once('\t').unwrap_or((line, "no reason given"));
            self.skipped.insert(name.to_owned(), reason.to_owned());
        }
    }

    /// The summary. `ci`: nothing may be skipped, unless it only lacks a GPU.
    pub(crate) fn summary(mut self, ci: bool) -> Summary {
        self.end_program();
        // For libtest, a test that returned because it cannot run here has passed.
        self.passed = self.passed.saturating_sub(self.skipped.len());
        let mut details: Vec<String> =
            self.failures.iter().map(|what| format!("failed   {what}")).collect();
        let ignored = self.ignored.drain(..).map(|name| (name, "marked `ignore`".to_owned()));
        let mut n_skipped = 0;
        for (name, reason) in std::mem::take(&mut self.skipped).into_iter().chain(ignored) {
            if ci && !reason.starts_with("no GPU") {
                self.failed += 1;
                details.push(format!("failed   {name}: skipped under CI=true: {reason}"));
            } else {
                n_skipped += 1;
                details.push(format!("skipped  {name}: {reason}"));
            }
        }
        if self.passed + self.failed == 0 {
            self.failed = 1;
            details.push("failed   no test ran".to_owned());
        }
        Summary {
            details,
            counts: format!("{} passed, {} failed, {n_skipped} skipped", self.passed, self.failed),
            passed: self.failed == 0,
        }
    }

    fn begin(&mut self, name: String, is_bench: bool) {
        self.end_program();
        self.program = Some(Program { name, is_bench, ..Program::default() });
    }

    /// Closes the program: what it began and did not end has failed.
    fn end_program(&mut self) {
        let Some(mut program) = self.program.take() else { return };
        if let Some(pending) = program.pending.take() {
            program.failed += 1;
            program.failed_tests.push(format!("{pending} did not end"));
        }
        if program.failed > 0 {
            self.failed += program.failed;
            self.failures.push(format!("{}: {}", program.name, program.failed_tests.join(", ")));
        }
    }

    /// Cargo says that the program failed, which its own output may not have said: it crashed.
    fn ended_badly(&mut self) {
        if let Some(program) = &mut self.program
            && program.failed == 0
            && program.pending.is_none()
        {
            program.failed = 1;
            program.failed_tests.push("the program itself".to_owned());
        }
    }

    fn bench_line(&mut self, line: &str) {
        let Some(program) = &mut self.program else { return };
        if let Some(name) = line.strip_prefix("Testing ") {
            program.pending = Some(name.to_owned());
        } else if line == "Success" && program.pending.take().is_some() {
            self.passed += 1;
        }
    }

    fn test_line(&mut self, line: &str) {
        let Some(program) = &mut self.program else { return };
        if line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test") {
            program.pending = Some(format!("({line})"));
        } else if let Some(result) = line.find("test result: ").map(|at| &line[at..]) {
            // Not only at the start of the line: a child of a test may print right before it.
            program.pending = None;
            self.passed += count(result, "passed");
            program.failed += count(result, "failed");
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|test| test.split_once(" ... "))
        {
            if outcome.starts_with("FAILED") {
                program.failed_tests.push(name.to_owned());
            } else if outcome.starts_with("ignored") {
                self.ignored.push(format!("{}: {name}", program.name));
            }
        }
    }
}

/// `jobdiv (src/lib.rs)` from `unittests src/lib.rs` and `target/debug/deps/jobdiv-0123abcd)`.
fn program_name(source: &str, file: &str) -> String {
    let file = file.trim_end_matches(')');
    let stem = file.rsplit('/').next().unwrap_or(file);
    let name = stem.rsplit_once('-').map_or(stem, |(name, _hash)| name);
    format!("{name} ({})", source.trim_start_matches("unittests "))
}

/// The number before a word in `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(result: &str, word: &str) -> usize {
    result
        .split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(word))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// A line without the escape sequences that colour it.
pub(crate) fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // `ESC [ digits letter`, of which the letter is the end.
            let _ = rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, succeeded: bool) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally.end_run("cargo test", succeeded, 0);
        tally
    }

    const MIXED: &str = "
     Running unittests src/lib.rs (target/debug/deps/jobdiv-b595c4b94dd09f7a)

running 3 tests
test a ... ok
test c ... ignored, needs a week
test b ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.07s

error: test failed, to rerun pass `-p jobdiv --lib`
   Doc-tests jobdiv

running 1 test
test src/lib.rs - f (line 1) ... ok

noise of a childtest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out

error: 1 target failed:
    `-p jobdiv --lib`";

    #[test]
    fn every_kind_of_outcome_is_counted_once() {
        let summary = read(MIXED, false).summary(false);
        assert_eq!(summary.counts, "2 passed, 1 failed, 1 skipped");
        let ignored = "skipped  jobdiv (src/lib.rs): c: marked `ignore`";
        assert_eq!(summary.details, ["failed   jobdiv (src/lib.rs): b", ignored]);
        assert!(!summary.passed);
    }

    #[test]
    fn a_test_that_says_it_is_skipped_has_not_passed() {
        let mut tally = read(
            "     Running tests/python.rs (target/debug/deps/python-0a)\nrunning 2 tests\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
            true,
        );
        tally.take_skips("python::peers_agree\tno mpirun\npython::peers_agree\tno mpirun\n");
        let summary = tally.summary(false);
        assert_eq!(summary.counts, "1 passed, 0 failed, 1 skipped");
        assert_eq!(summary.details, ["skipped  python::peers_agree: no mpirun"]);
        assert!(summary.passed);
    }

    #[test]
    fn in_ci_only_a_missing_gpu_may_skip() {
        let result = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let mut tally = read(&format!("   Doc-tests x\nrunning 3 tests\n{result}\n"), true);
        tally.take_skips("shader\tno GPU\nranks\tno mpirun\n");
        let summary = tally.summary(true);
        assert_eq!(summary.counts, "1 passed, 1 failed, 1 skipped");
        assert!(!summary.passed);
    }

    #[test]
    fn a_program_that_crashed_has_failed() {
        let text = "     Running tests/a.rs (target/debug/deps/a-0a)\nrunning 5 tests\n\
             error: test failed, to rerun pass `--test a`\n";
        let summary = read(text, false).summary(false);
        assert_eq!(summary.counts, "0 passed, 1 failed, 0 skipped");
        assert_eq!(summary.details, ["failed   a (tests/a.rs): (running 5 tests) did not end"]);

        let without_libtest = text.replace("running 5 tests\n", "");
        let summary = read(&without_libtest, false).summary(false);
        assert_eq!(summary.counts, "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn what_does_not_compile_is_named() {
        let text = "error: could not compile `gmf-cpu` (lib) due to 2 previous errors\n\
             error: could not compile `gmf-cpu` (lib test) due to 2 previous errors";
        let summary = read(text, false).summary(false);
        assert_eq!(summary.details, ["failed   could not compile gmf-cpu"]);
        assert_eq!(summary.counts, "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_failure_that_no_line_tells_of_is_still_one() {
        assert_eq!(read("", false).summary(false).counts, "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn nothing_that_ran_is_a_failure() {
        let result = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        let tally = read(&format!("   Doc-tests x\nrunning 0 tests\n{result}\n"), true);
        let summary = tally.summary(false);
        assert_eq!(summary.counts, "0 passed, 1 failed, 0 skipped");
        assert_eq!(summary.details, ["failed   no test ran"]);
    }

    #[test]
    fn each_benchmark_counts_as_a_test() {
        let text = "     Running benches/jobs.rs (target/debug/deps/jobs-0a)\n\
             Testing jobs/strided\nSuccess\nTesting jobs/boom\n\
             error: test failed, to rerun pass `--bench jobs`\n";
        let summary = read(text, false).summary(false);
        assert_eq!(summary.counts, "1 passed, 1 failed, 0 skipped");
        assert_eq!(summary.details, ["failed   jobs (benches/jobs.rs): jobs/boom did not end"]);
    }

    #[test]
    fn what_a_test_prints_is_not_taken_for_cargo() {
        let text = "     Running tests/a.rs (target/debug/deps/a-0a)\nrunning 1 test\n\
             Running demo (4 jobs)\nTesting demo\nSuccess\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(read(text, true).summary(false).counts, "1 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[32m     Running\u{1b}[0m x"), "     Running x");
    }
}
