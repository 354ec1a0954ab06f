//! The `polychron` command: simulates, analyses, inspects and draws.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 done with gaps, 4 slower than before, 130 interrupted;
//! of `run`, those of its command.

#![forbid(unsafe_code)]

mod analyze;
mod args;
mod backend;
mod check;
mod demo;
mod files;
#[cfg(feature = "gpu")]
mod gpu;
mod inspect;
mod interrupt;
mod job;
mod merge;
mod output;
#[cfg(feature = "plot")]
mod plot;
mod product;
mod progress;
#[cfg(feature = "shared-times")]
mod session;
mod shell;
mod simulate;
#[cfg(feature = "sweep")]
mod sweep;
mod times;
mod timing;
mod units;

use std::process::ExitCode;

use clap::Parser as _;
use tracing::Level;

use crate::args::{Cli, Command};
use crate::output::{Gaps, Interrupted, Slower, Usage};
use crate::timing::timed;

fn main() -> ExitCode {
    // The program of a sweep begins as this one.
    #[cfg(feature = "sweep")]
    sweep::become_program();
    // A worker process of `--backend processes` ends here.
    if let Err(error) = polychron::worker_entry() {
        output::complain(&error.into(), false);
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    start_logging(cli.command.verbosity());
    let has_output = matches!(cli.command, Command::Analyze(_) | Command::Demo(_));
    #[cfg(feature = "shared-times")]
    session::share();
    match backend::enter(&cli.command).and_then(|()| run(cli.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::complain(&error, has_output);
            if error.is::<Interrupted>() {
                ExitCode::from(130)
            } else if error.is::<Usage>() {
                ExitCode::from(2)
            } else if error.is::<Gaps>() {
                ExitCode::from(3)
            } else if error.is::<Slower>() {
                ExitCode::from(4)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Gives the exit code.
fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Demo(args) => timed("demo", &args.times, args.verbose, || demo::run(&args)),
        Command::Simulate(args) => {
            timed("simulate", &args.times, args.verbose, || simulate::run(&args))
        }
        Command::Analyze(args) => {
            timed("analyze", &args.times, args.verbose, || analyze::run(&args))
        }
        #[cfg(feature = "shared-times")]
        Command::Run(args) => return session::run::run(&args),
        #[cfg(feature = "shared-times")]
        Command::Top(args) => return session::top::run(&args),
        #[cfg(feature = "shared-times")]
        Command::Report(args) => session::report::run(&args),
        #[cfg(feature = "shared-times")]
        Command::Reap(args) => session::reap::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        #[cfg(feature = "plot")]
        Command::Plot(args) => plot::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Times(args) => times::run(&args),
        #[cfg(feature = "sweep")]
        Command::Sweep(args) => timed("sweep", &args.times, args.verbose, || sweep::run(&args)),
    }
    .map(|()| 0)
}

/// Warnings always, more with `-v` and `-vv`; to stderr, so that stdout stays fit for pipes.
fn start_logging(verbosity: u8) {
    let level = match verbosity {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(false)
        .init();
}
