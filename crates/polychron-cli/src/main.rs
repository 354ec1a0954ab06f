//! The `polychron` command: `demo`, `simulate`, `analyze`.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.

#![forbid(unsafe_code)]

mod analyze;
mod args;
mod demo;
mod interrupt;
mod job;
mod output;
mod progress;
mod simulate;

use std::process::ExitCode;

use clap::Parser as _;
use tracing::Level;

use crate::args::{Cli, Command};
use crate::output::{Interrupted, Usage};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.command.verbosity());
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Analyze(args) => analyze::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            if error.is::<Interrupted>() {
                ExitCode::from(130)
            } else if error.is::<Usage>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
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
