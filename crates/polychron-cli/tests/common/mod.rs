//! What the tests of the command share: how it is started, the recorded cases, a small product.

#![allow(dead_code, reason = "each test program uses a part of it")]

#[cfg(feature = "shared-times")]
pub(crate) mod place;
#[path = "../../../../tests/src/skips.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is part of a library")]
pub(crate) mod skips;

pub(crate) mod sweep;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The folder of the recorded case whose name contains `case`.
pub(crate) fn golden(case: &str) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gmf");
    let all = fs::read_dir(data).expect("the recorded cases are there");
    all.map(|entry| entry.expect("lists").path())
        .find(|path| path.to_string_lossy().contains(case))
        .expect("the case is there")
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().expect("is UTF-8")
}

/// The command, with none of the variables by which a launcher could divide the run, and without
/// a display.
pub(crate) fn polychron(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polychron"));
    for name in [
        "POLYCHRON_JOB",
        "OMPI_COMM_WORLD_RANK",
        "PMI_RANK",
        "SLURM_PROCID",
        "DISPLAY",
        "WAYLAND_DISPLAY",
    ] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs and asserts the exit code; gives stdout and stderr.
pub(crate) fn expect(code: i32, args: &[&str]) -> (String, String) {
    let output = polychron(args).output().expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\nstdout: {out}\nstderr: {err}");
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    (out, err)
}

/// A product of integrations of 0.2 s, each in a file of its own, and a search of few gates that
/// gives each an output file of its own.
pub(crate) struct Product {
    pub(crate) dir: TempDir,
}

impl Product {
    pub(crate) fn new(n_integrations: usize, more: &[&str]) -> Self {
        let product = Self { dir: TempDir::new().expect("a temporary folder") };
        let drf = product.path("drf");
        let target = "r=1996e3,v=400,a=60,amp=10";
        let duration = format!("{:.1}", 0.2 * n_integrations as f64);
        let args = ["simulate", &drf, "-d", &duration, "--file-cadence", "200", "--target", target];
        expect(0, &[&args[..], more].concat());
        product.configure(6660);
        product
    }

    /// Makes the search end at another gate.
    pub(crate) fn configure(&self, max_range_gate: usize) {
        let text = format!(
            "[signal-processing]\nfrequency_decimation = 10\nmin_range_gate = 6650\n\
             max_range_gate = {max_range_gate}\nnum_cohints_per_file = 1\n"
        );
        fs::write(self.path("cfg.ini"), text).expect("writes");
    }

    /// A path beside the product.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("is UTF-8").to_owned()
    }

    /// The arguments of an analysis into `out`, a name beside the product.
    pub(crate) fn analysis(&self, out: &str, more: &[&str]) -> Vec<String> {
        let (drf, cfg, out) = (self.path("drf"), self.path("cfg.ini"), self.path(out));
        let args = ["analyze", &drf, "rx", "--config", &cfg, "-o", &out];
        [&args[..], more].concat().into_iter().map(str::to_owned).collect()
    }

    /// Analyses and asserts the exit code; gives stdout and stderr.
    pub(crate) fn analyze(&self, code: i32, out: &str, more: &[&str]) -> (String, String) {
        let args = self.analysis(out, more);
        expect(code, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// All that is in the folders of an hour of `out`, by its name.
    pub(crate) fn files(&self, out: &str) -> BTreeMap<String, PathBuf> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten();
            entries.map(|entry| entry.expect("lists").path()).collect()
        };
        let hours = list(Path::new(&self.path(out))).into_iter().filter(|path| path.is_dir());
        let name = |path: &Path| path.file_name().expect("has one").to_string_lossy().into_owned();
        hours.flat_map(|hour| list(&hour)).map(|path| (name(&path), path)).collect()
    }

    /// The same, with what is in the files.
    pub(crate) fn contents(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |(name, path)| (name, fs::read::<PathBuf>(path).expect("reads"));
        self.files(out).into_iter().map(read).collect()
    }
}
