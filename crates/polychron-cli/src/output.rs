//! What the command prints.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line to stdout; a reader that went away (`| head`) ends the program quietly.
pub(crate) fn say(line: impl fmt::Display) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Prints a line to stderr.
pub(crate) fn remark(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints an error and its causes to stderr, in one line.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut line = format!("polychron: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Transparent errors repeat what was said.
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    remark(line);
}

/// The command line is wrong.
#[derive(Debug)]
pub(crate) struct Usage(anyhow::Error);

impl Usage {
    /// Makes any error one of the command line's.
    pub(crate) fn of(error: impl Into<anyhow::Error>) -> anyhow::Error {
        Self(error.into()).into()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Usage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// All was done that could be, but of some of the recording there is no result.
#[derive(Debug)]
pub(crate) struct Gaps(pub(crate) String);

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "done with gaps: {}", self.0)
    }
}

impl std::error::Error for Gaps {}

/// The user asked to stop; what was written is whole.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}
