//! The recorded GMF cases in `tests/data/gmf`.

use std::fs;
use std::path::{Path, PathBuf};

/// One recorded case: a small Digital RF product, and what hardtarget 0.5.1 made of it.
///
/// The `README.md` in its folder says how both were made and where the peer is known to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenCase {
    /// The folder's name, such as `dev1-c64-dec10-nipp10`.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
}

impl GoldenCase {
    /// The product's folder: channels, and `metadata.ini`.
    pub fn drf(&self) -> PathBuf {
        self.dir.join("drf")
    }

    /// The processing parameters of a run: `cfg.ini`, or `cfg-step1.ini` for a run whose name ends
    /// in `-step1`.
    pub fn config(&self, run: &str) -> PathBuf {
        self.dir.join(if run.ends_with("-step1") { "cfg-step1.ini" } else { "cfg.ini" })
    }

    /// The folder of the files that the peer wrote in a run, such as `c-fgmf` or `numpy-fdpt`.
    ///
    /// # Panics
    ///
    /// When this case has no such run.
    pub fn expected(&self, run: &str) -> PathBuf {
        let dir = self.dir.join(format!("expected-{run}"));
        assert!(dir.is_dir(), "{} has no run {run}, only {:?}", self.name, self.runs());
        dir
    }

    /// The names of the recorded runs, sorted.
    pub fn runs(&self) -> Vec<String> {
        folders(&self.dir)
            .iter()
            .filter_map(|dir| Some(name_of(dir).strip_prefix("expected-")?.to_owned()))
            .collect()
    }

    /// The GMF files of a run, in the order of their epochs.
    ///
    /// # Panics
    ///
    /// When this case has no such run.
    pub fn expected_files(&self, run: &str) -> Vec<PathBuf> {
        // The names of folders (one per hour) and files (microseconds) carry the time, so the order
        // of names is the order of epochs.
        folders(&self.expected(run))
            .iter()
            .flat_map(|dir| entries(dir))
            .filter(|path| name_of(path).starts_with("gmf-") && name_of(path).ends_with(".h5"))
            .collect()
    }
}

/// Every recorded case, sorted by name; never empty.
///
/// # Panics
///
/// When `tests/data/gmf` is missing or holds no case: a clone without its data is broken.
pub fn golden_cases() -> Vec<GoldenCase> {
    let root = crate::data_dir().join("gmf");
    let cases: Vec<GoldenCase> =
        folders(&root).into_iter().map(|dir| GoldenCase { name: name_of(&dir), dir }).collect();
    assert!(!cases.is_empty(), "{} holds no case", root.display());
    cases
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_dir()).collect()
}

/// What is in a folder, sorted, because the order of a listing is the file system's whim.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(dir).unwrap_or_else(|e| panic!("could not list {dir:?}: {e}"));
    let mut paths: Vec<PathBuf> = listing
        .map(|entry| entry.unwrap_or_else(|e| panic!("could not list {dir:?}: {e}")).path())
        .collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_whole() {
        for case in golden_cases() {
            assert!(case.drf().join("metadata.ini").is_file(), "{}", case.name);
            assert!(case.dir.join("README.md").is_file(), "{}", case.name);
            let runs = case.runs();
            assert!(runs.iter().any(|run| run == "c-fgmf"), "{}: {runs:?}", case.name);
            for run in runs {
                assert!(case.config(&run).is_file(), "{}: {run}", case.name);
                let files = case.expected_files(&run);
                assert!(!files.is_empty(), "{}: {run} has no file", case.name);
                assert!(files.is_sorted(), "{}: {run}: {files:?}", case.name);
            }
        }
    }

    #[test]
    #[should_panic(expected = "has no run hand-made")]
    fn a_run_that_was_not_recorded_is_named() {
        let cases = golden_cases();
        let _ = cases[0].expected("hand-made");
    }
}
