//! Fixtures of the tests that cross crates: recorded cases, Python peers, honest skips.
//!
//! The tests themselves are in `tests/tests/*.rs`, the Python programs that they start in
//! `tests/python/`, and what was recorded from the peers in `tests/data/`.
//!
//! A test that needs the real Python packages asks for the interpreter first:
//!
//! ```no_run
//! # fn peers_agree() {
//! let python = polychron_tests::require_python!();
//! let printed = polychron_tests::run_python(&python, "versions.py", ["digital_rf"]);
//! assert!(printed.contains("2.6"), "{printed}");
//! # }
//! ```
//!
//! Where the packages are absent, the test says `skipped: …` and `cargo xtask test` counts it as
//! skipped, not as passed; under `CI=true` it fails.
//!
//! # What this crate leaves to others
//!
//! It installs nothing: `cargo xtask setup` makes the environment in `target/venv`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

pub mod compare;
mod golden;
mod python;
mod skips;
#[cfg(test)]
mod skips_tests;

pub use golden::{GoldenCase, golden_cases};
pub use python::{PYTHON_TIMEOUT, python, run_python, run_python_within};
pub use skips::{SKIPS_VAR, skip, test_name};

/// The folder of recorded data, `tests/data`. Tests only read it.
pub fn data_dir() -> PathBuf {
    package_dir().join("data")
}

/// The root of the repository.
pub fn root_dir() -> PathBuf {
    package_dir().parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A new, empty folder for one test, removed when the value is dropped.
///
/// # Panics
///
/// When the system's folder of temporary files cannot be written: no test can run there.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("polychron-test-")
        .tempdir()
        .expect("the system's folder of temporary files can be written")
}

fn package_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root_dir().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn a_temporary_folder_is_empty_and_goes_away() {
        let dir = temp_dir();
        let path = dir.path().to_path_buf();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        std::fs::write(path.join("file"), "x").unwrap();
        drop(dir);
        assert!(!path.exists());
    }
}
