//! Running every test, and saying at the end what ran.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal, PipeReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use xshell::Shell;

use crate::packages::{has_wrapper, target_dir};
use crate::steps::step;
use crate::tally::{Tally, without_colours};
use crate::{bench, python, setup};

/// The variable that names the file of skipped tests; `polychron_tests::skip` writes it.
const SKIPS_VAR: &str = "POLYCHRON_SKIPS";

/// All packages but `pm-mpi`, which is tested once under each MPI: [`with_each_mpi`].
const WITHOUT_MPI: [&str; 3] = ["--workspace", "--exclude", "pm-mpi"];

/// The MPIs under which `pm-mpi` is tested: name, folder below `target` (none: `target` itself),
/// Debian's compiler wrapper.
const MPIS: [[&str; 3]; 2] = [["Open MPI", "", "mpicc.openmpi"], ["MPICH", "mpich", "mpicc.mpich"]];

/// What the command does with what has to be asked for: the feature, and the tests that need it.
///
/// All packages are named, and so everything that they share with the other tests is not built once
/// more with other features.
const ASKED_FOR: [[&str; 2]; 3] =
    [["polychron-cli/gpu", "gpu"], ["polychron-tests/gpu", "golden"], [MPI_FEATURE, "mpi"]];
const MPI_FEATURE: &str = "polychron-cli/mpi";

/// How long output may still come after `cargo` has ended, from a process that a test left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// Runs every test, doc test and benchmark (once), with `args` for `cargo test`. Says whether all
/// passed; the last line that it prints counts them.
pub(crate) fn test(
    sh: &Shell,
    with_setup: bool,
    mpi: bool,
    args: &[String],
) -> anyhow::Result<bool> {
    let mut tally = Tally::default();
    if with_setup && let Err(e) = step("setup", || setup::setup(sh)) {
        // The other tests are of use all the same; those that need it say that they are skipped.
        println!("error: {e:#}");
        tally.fail(format!("setup: {e:#}"));
    }
    let missing = setup::missing(sh);
    if !missing.is_empty() {
        println!("missing here (`cargo xtask test --setup` installs it):");
        missing.iter().for_each(|line| println!("  {line}"));
    }

    let skips = setup::scratch(sh, "skips.tsv")?;
    sh.write_file(&skips, "")?;
    let mut vars = vec![(SKIPS_VAR, skips.clone().into_os_string())];
    if let Some(python) = python::working(sh)? {
        vars.push(("POLYCHRON_PYTHON", python.into_os_string()));
    }
    if !mpi {
        let scope: &[&str] = if names_a_package(args) { &[] } else { &WITHOUT_MPI };
        let all: Vec<&str> =
            ["test", "--no-fail-fast"].iter().chain(scope).copied().chain(strs(args)).collect();
        step("tests", || cargo(sh, &all, &vars, &mut tally))?;
    }
    if !mpi && args.is_empty() && !bench::names(sh)?.is_empty() {
        // By their names among all packages: the one package alone would have what it depends on
        // built once more, with other features.
        let benches = bench::names(sh)?;
        let names = benches.iter().flat_map(|name| ["--bench", name.as_str()]);
        let begin = ["test", "--no-fail-fast"].into_iter();
        let args: Vec<&str> = begin.chain(WITHOUT_MPI).chain(names).collect();
        // The tests of the command have just built it.
        let command = target_dir(sh)?.join("debug/polychron");
        if command.is_file() {
            vars.push((bench::COMMAND_VAR, command.into_os_string()));
        }
        step("benchmarks, once each", || cargo(sh, &args, &vars, &mut tally))?;
    }

    if !mpi && args.is_empty() {
        let wrapper = MPIS.map(|[_, _, wrapper]| wrapper).into_iter().find(|w| has_wrapper(sh, w));
        if wrapper.is_none() {
            tally.take_skips("the command under MPI\tno mpicc\n");
        }
        step("tests of what has to be asked for", || asked_for(sh, wrapper, &vars, &mut tally))?;
    }
    if mpi || args.is_empty() {
        with_each_mpi(sh, args, &vars, &mut tally, mpi)?;
    }

    tally.take_skips(&sh.read_file(&skips)?);
    let summary = tally.summary(std::env::var("CI").is_ok_and(|ci| ci == "true"));
    println!("\nsummary:");
    summary.details.iter().for_each(|line| println!("  {line}"));
    println!("{}", summary.counts);
    Ok(summary.passed)
}

/// Tests the command with each feature that is not there unless asked for: with `MPICC` being
/// `wrapper`, or without MPI.
fn asked_for(
    sh: &Shell,
    wrapper: Option<&str>,
    vars: &[(&str, OsString)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut vars = vars.to_vec();
    vars.extend(wrapper.map(|wrapper| ("MPICC", wrapper.into())));
    let wanted =
        ASKED_FOR.iter().filter(|[feature, _]| wrapper.is_some() || *feature != MPI_FEATURE);
    let begin = ["test", "--no-fail-fast"].into_iter().chain(WITHOUT_MPI);
    let args: Vec<&str> = begin
        .chain(wanted.flat_map(|[feature, test]| ["--features", feature, "--test", test]))
        // The recorded cases have been computed with these.
        .chain(["--", "--skip", "by_the_cpu_kernel", "--skip", "by_the_reference"])
        .collect();
    cargo(sh, &args, &vars, tally)
}

/// Tests what has to do with MPI once under each MPI, each in a target directory of its own: what is
/// built with one does not run under the other. Arguments are for the tests of `pm-mpi`; `alone` says
/// that nothing else is tested, so that the command is tested here, too.
fn with_each_mpi(
    sh: &Shell,
    args: &[String],
    vars: &[(&str, OsString)],
    tally: &mut Tally,
    alone: bool,
) -> anyhow::Result<()> {
    for [name, folder, wrapper] in MPIS {
        if !has_wrapper(sh, wrapper) {
            tally.take_skips(&format!("pm-mpi under {name}\tno {wrapper}\n"));
            continue;
        }
        let target = target_dir(sh)?.join(folder);
        let mut vars = vars.to_vec();
        vars.extend([("MPICC", wrapper.into()), ("CARGO_TARGET_DIR", target.into_os_string())]);
        let command: &[&str] = &["-p", "polychron-cli", "--features", "mpi", "--test", "mpi"];
        let runs = [&["-p", "pm-mpi"], command];
        // In a run of everything the command was tested under the first MPI that is there: what
        // differs between MPIs is in `pm-mpi`.
        let n_runs = if args.is_empty() && alone { 2 } else { 1 };
        step(&format!("tests under {name}"), || {
            runs[..n_runs].iter().try_for_each(|run| {
                let begin = ["test", "--no-fail-fast"].into_iter();
                let all: Vec<&str> = begin.chain(run.iter().copied()).chain(strs(args)).collect();
                cargo(sh, &all, &vars, tally)
            })
        })?;
    }
    Ok(())
}

fn strs(args: &[String]) -> impl Iterator<Item = &str> {
    args.iter().map(String::as_str)
}

/// Whether arguments for `cargo test` choose packages, so that `--workspace` would contradict.
fn names_a_package(args: &[String]) -> bool {
    strs(args)
        .take_while(|&arg| arg != "--")
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

/// Runs `cargo`, showing what it prints while reading it.
fn cargo(
    sh: &Shell,
    args: &[&str],
    vars: &[(&str, OsString)],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let failed_before = tally.failed();
    let title = format!("cargo {}", args.join(" "));
    println!("$ {title}");
    // One pipe for both, so that the lines of cargo and of the tests stay in order.
    let (output, input) = std::io::pipe()?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(sh.current_dir()).stdin(Stdio::null());
    command.envs(vars.iter().map(|(name, value)| (name, value)));
    command.stdout(input.try_clone()?).stderr(input);
    if std::io::stdout().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().with_context(|| format!("start {title}"))?;
    // It holds the writing end of the pipe, which would then never end.
    drop(command);

    let lines = lines(output);
    let mut ended = None;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                println!("{line}");
                tally.line(&without_colours(&line));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => {
                if ended.get_or_insert_with(Instant::now).elapsed() > LEFT_BEHIND {
                    tally.fail("a test left a process behind that holds its output".to_owned());
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = child.wait()?;
    tally.end_run(&title, status.success(), failed_before);
    Ok(())
}

/// The lines of a pipe, read by a thread of their own so that waiting for one can have a limit.
fn lines(pipe: PipeReader) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            // A failed read ends the output like its end does: cargo's exit status tells the rest.
            let Ok(line) = line else { return };
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_chosen_package_replaces_the_workspace() {
        assert!(names_a_package(&args("-p jobdiv")));
        assert!(names_a_package(&args("--release --package=jobdiv")));
        assert!(!names_a_package(&args("--release partition")));
        assert!(!names_a_package(&args("-- -p")));
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let (output, mut input) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut input, b"one\n\xfftwo").unwrap();
        drop(input);
        assert_eq!(lines(output).iter().collect::<Vec<_>>(), ["one", "\u{fffd}two"]);
    }
}
