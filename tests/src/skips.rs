//! Tests that cannot run here, and say so.
//!
//! Crates below this package include the file as a module, so it needs nothing of the package.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The environment variable that names the file to which skipped tests are appended, one line
/// `name<TAB>reason` each. `cargo xtask test` sets it, and takes these tests from the passed ones.
pub const SKIPS_VAR: &str = "POLYCHRON_SKIPS";

/// Says that `test` cannot run here and why; the test returns right after this.
///
/// `reason` names what is missing: `no digital_rf in target/venv`. Prefer
/// [`require_python!`](crate::require_python), which finds the name of the test by itself.
///
/// # Panics
///
/// - Under `CI=true`, where everything that a test needs must be present. Only a GPU may be absent
///   there: a reason that starts with `no GPU` is always allowed.
/// - When the file that [`SKIPS_VAR`] names cannot be written: a skip must not be lost.
#[expect(clippy::print_stdout, reason = "a skipped test says so in its own output")]
pub fn skip(test: &str, reason: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci || may_be_absent(reason), "{test} may not be skipped under CI=true: {reason}");
    println!("skipped: {reason}");
    if let Some(path) = std::env::var_os(SKIPS_VAR) {
        append(Path::new(&path), test, reason);
    }
}

/// The name of a test from the type name of a function declared inside it.
///
/// Used by [`require_python!`](crate::require_python); `type_name` is what
/// [`std::any::type_name_of_val`] says of a function `here` inside the test.
pub fn test_name(type_name: &str) -> &str {
    let name = type_name.strip_suffix("::here").unwrap_or(type_name);
    name.trim_end_matches("::{{closure}}")
}

/// A GPU is a matter of the machine; no installation brings one.
pub(crate) fn may_be_absent(reason: &str) -> bool {
    reason.starts_with("no GPU")
}

pub(crate) fn append(path: &Path, test: &str, reason: &str) {
    // One write of one line to a file opened for appending: test programs share the file.
    let line = format!("{}\t{}\n", one_line(test), one_line(reason));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|e| panic!("could not record a skipped test in {}: {e}", path.display()));
}

fn one_line(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}
