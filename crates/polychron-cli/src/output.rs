//! What the command prints.

use std::fmt;
use std::io::{self, Write as _};

use polychron::gmf_pipeline::AnalysisError;

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

/// Prints an error and its causes to stderr, in one line, and in another what may help, if the command
/// `has_output` in a folder. What ended as it should, but for gaps or by a request to stop, is no error.
pub(crate) fn complain(error: &anyhow::Error, has_output: bool) {
    let is_outcome = error.is::<Gaps>() || error.is::<Interrupted>() || error.is::<Slower>();
    let kind = if is_outcome { "polychron" } else { "error" };
    let mut line = format!("{kind}: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Transparent errors repeat what was said.
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    remark(line);
    if let Some(hint) = hint(error).filter(|_| has_output) {
        remark(format_args!("hint: {hint}"));
    }
}

/// What a user may do where the results could not be written to the folder of `-o`.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref()? {
        AnalysisError::Record { .. } => {
            return Some("choose another folder with -o, or replace the results with --clobber");
        }
        AnalysisError::Write { .. } => {}
        _ => return None,
    }
    let cause = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).last()?;
    Some(match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room, then the same command goes on with the files that are missing"
        }
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written to with -o",
        _ => return None,
    })
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

/// A comparison found what it looked for: something takes longer than before.
#[derive(Debug)]
pub(crate) struct Slower(pub(crate) String);

impl fmt::Display for Slower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Slower {}
