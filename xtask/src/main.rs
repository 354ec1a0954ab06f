//! The tasks of this workspace, `cargo xtask <task>`: the same on a desk and in CI.
//!
//! `cargo xtask help` lists them. Each task is one function; each step is named and timed.
//!
//! # What this program leaves to others
//!
//! It knows no crate of the workspace: it starts `cargo` and reads what it prints.

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to the person who started it"
)]

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, bail};
use lexopt::Arg::{Long, Short, Value};
use xshell::Shell;

mod bench;
mod checks;
mod instructions;
mod packages;
mod python;
mod sanitize;
mod setup;
mod steps;
mod tally;
mod test;
mod tidy;

const HELP: &str = "\
The tasks of this workspace.

Usage: cargo xtask <task> [options]

Tasks:
  setup     install what the tests need: system packages by apt-get (as root or by `sudo -n`),
            and the Python peers into target/venv; does nothing when all is there
  test      run every test, doc test and benchmark (once each); ends with
            `N passed, M failed, K skipped`
              --setup          first install what is missing (without: list it)
              --mpi            instead: the tests of pm-mpi, under each MPI that is there
              -- ARGS          give ARGS to `cargo test`; with -p, only that package
  ci        everything that must hold: fmt, tidy, clippy, features, docs, deny, test,
            instructions
              --setup          as for test
  fmt       format the sources
              --check          only say which are not formatted
  clippy    the lints, with warnings as errors
  features  check each feature of each crate alone
  docs      build the documentation, with warnings as errors
  tidy      check what no other tool does: READMEs, headers, lints, layers, changelog
  deny      check licences and sources of the dependencies (needs cargo-deny)
  instructions
            count the instructions of the timer's operations by valgrind, against their limits
  sanitize  run the tests of unsafe code under AddressSanitizer (needs a nightly toolchain) and
            under valgrind
  bench     run the studies and the benchmarks
              --list           only list them
              NAME...          only these
              --quick          studies: fewer workloads and rounds, for a first look
              --check          studies: compare with the newest record of this machine in
                               docs/bench, and fail on a real loss
              --record         studies: write the record to docs/bench (else: target/bench)
              -- ARGS          give ARGS to criterion; for a study, names of workloads
  help      print this

Examples:
  cargo xtask test --setup             on a new machine: install, then run everything
  cargo xtask test -- -p jobdiv        the tests of one crate
  cargo xtask bench jobs -- owner_of   one group of one benchmark
  cargo xtask bench gmf --quick        the study `gmf`, beside hardtarget where it is set up
  CI=true cargo xtask ci               as CI runs it: a skipped test is a failure there

Environment:
  CI=true             a skipped test counts as failed, unless it only lacks a GPU
  POLYCHRON_PYTHON    the Python with digital_rf and hardtarget, in place of target/venv; without
                      either, studies skip the peers by name
";

fn main() -> ExitCode {
    match run(lexopt::Parser::from_env()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// What may stand after the name of a task.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    setup: bool,
    mpi: bool,
    check: bool,
    list: bool,
    record: bool,
    quick: bool,
    names: Vec<String>,
    /// What follows `--`, if there is a `--`.
    rest: Vec<String>,
}

fn run(parser: lexopt::Parser) -> anyhow::Result<ExitCode> {
    let Some((task, options)) = parse(parser)? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let sh = Shell::new()?;
    sh.change_dir(packages::root());
    let passed = match task.as_str() {
        "setup" => setup::setup(&sh).map(|()| true),
        "test" => test::test(&sh, options.setup, options.mpi, &options.rest),
        "ci" => checks::ci(&sh, options.setup),
        "fmt" if options.check => checks::fmt_check(&sh).map(|()| true),
        "fmt" => checks::fmt(&sh).map(|()| true),
        "clippy" => checks::clippy(&sh).map(|()| true),
        "features" => checks::features(&sh).map(|()| true),
        "docs" => checks::docs(&sh).map(|()| true),
        "tidy" => tidy::tidy(&sh).map(|()| true),
        "deny" => checks::deny(&sh).map(|()| true),
        "instructions" => instructions::instructions(&sh).map(|o| o != steps::Outcome::Failed),
        "sanitize" => sanitize::sanitize(&sh).map(|o| o != steps::Outcome::Failed),
        "bench" if options.list => bench::list(&sh).map(|()| true),
        "bench" => {
            let Options { check, record, quick, .. } = options;
            let wanted = bench::Wanted { check, record, quick };
            bench::bench(&sh, &options.names, wanted, &options.rest).map(|()| true)
        }
        other => bail!("no task is called {other}; `cargo xtask help` lists them"),
    }
    .with_context(|| format!("cargo xtask {task}"))?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The task and its options, or nothing when help is asked for.
fn parse(mut parser: lexopt::Parser) -> anyhow::Result<Option<(String, Options)>> {
    let mut task: Option<String> = None;
    let mut options = Options::default();
    // What follows `--` belongs to another program, options and all.
    while !at_double_dash(&mut parser, &mut options)? {
        let Some(arg) = parser.next()? else { break };
        match (arg, task.as_deref()) {
            (Short('h') | Long("help"), _) => return Ok(None),
            (Value(name), None) => task = Some(text(name)?),
            (Long("setup"), Some("test" | "ci")) => options.setup = true,
            (Long("mpi"), Some("test")) => options.mpi = true,
            (Long("check"), Some("fmt" | "bench")) => options.check = true,
            (Long("list"), Some("bench")) => options.list = true,
            (Long("record"), Some("bench")) => options.record = true,
            (Long("quick"), Some("bench")) => options.quick = true,
            (Value(name), Some("bench")) => options.names.push(text(name)?),
            (arg, _) => return Err(arg.unexpected().into()),
        }
    }
    match task {
        None => Ok(None),
        Some(task) if task == "help" => Ok(None),
        Some(task) if !options.rest.is_empty() && !matches!(task.as_str(), "test" | "bench") => {
            bail!("{task} takes nothing after --")
        }
        Some(task) => Ok(Some((task, options))),
    }
}

fn at_double_dash(parser: &mut lexopt::Parser, options: &mut Options) -> anyhow::Result<bool> {
    let Some(mut raw) = parser.try_raw_args() else { return Ok(false) };
    if raw.next_if(|arg| arg == "--").is_none() {
        return Ok(false);
    }
    options.rest = raw.map(text).collect::<anyhow::Result<_>>()?;
    Ok(true)
}

fn text(arg: OsString) -> anyhow::Result<String> {
    arg.into_string().map_err(|arg| anyhow::anyhow!("{} is not UTF-8", arg.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Option<(String, Options)>> {
        parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn what_follows_the_double_dash_is_handed_on_untouched() {
        let (task, options) = parsed("test --setup -- -p jobdiv -- --nocapture").unwrap().unwrap();
        assert_eq!(task, "test");
        assert!(options.setup);
        assert_eq!(options.rest, ["-p", "jobdiv", "--", "--nocapture"]);
    }

    #[test]
    fn a_benchmark_is_named_before_the_double_dash() {
        let (_, options) = parsed("bench jobs gmf -- owner_of").unwrap().unwrap();
        assert_eq!(options.names, ["jobs", "gmf"]);
        assert_eq!(options.rest, ["owner_of"]);
    }

    #[test]
    fn a_study_is_asked_for_with_options_on_either_side() {
        let (_, options) = parsed("bench --quick gmf --check -- n20000").unwrap().unwrap();
        assert!(options.quick && options.check && !options.record);
        assert_eq!(
            (options.names, options.rest),
            (vec!["gmf".to_owned()], vec!["n20000".to_owned()])
        );
    }

    #[test]
    fn help_is_printed_when_asked_for_or_when_nothing_is_asked_for() {
        for line in ["", "help", "--help", "test -h"] {
            assert_eq!(parsed(line).unwrap(), None, "{line}");
        }
    }

    #[test]
    fn an_option_of_another_task_is_refused() {
        for line in ["fmt --setup", "test --list", "tidy -- x", "test jobdiv", "test --record"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_task_is_in_the_help() {
        for task in ["setup", "test", "ci", "fmt", "clippy", "features", "docs", "tidy", "deny"] {
            assert!(HELP.contains(&format!("\n  {task} ")), "{task}");
        }
        for task in ["instructions", "sanitize", "bench"] {
            assert!(HELP.contains(&format!("\n  {task}")), "{task}");
        }
    }
}
