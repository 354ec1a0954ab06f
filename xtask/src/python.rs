//! The Python environment under `target/venv`: what the tests compare ourselves with.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::packages::root;

/// What must be importable for the environment to be of use.
const PROBE: &str = "import digital_rf, gtimer, hardtarget, hardtarget.gmf.gmf_c";

/// The Python versions that the pinned packages exist for; see `tests/python/requirements.txt`.
const VERSIONS: [&str; 2] = ["3.11", "3.12"];

/// Pinned packages, one per line.
fn requirements() -> PathBuf {
    root().join("tests/python/requirements.txt")
}

/// Pinned packages that are installed without what they ask for, one per line.
fn requirements_alone() -> PathBuf {
    root().join("tests/python/requirements-alone.txt")
}

fn venv() -> PathBuf {
    root().join("target/venv")
}

fn interpreter() -> PathBuf {
    venv().join("bin/python")
}

/// All requirements, as they stand in the two files.
fn wanted(sh: &Shell) -> anyhow::Result<String> {
    Ok(sh.read_file(requirements())? + &sh.read_file(requirements_alone())?)
}

/// A copy of the requirements that the environment was made from, written when it was complete.
fn stamp() -> PathBuf {
    venv().join("requirements.txt")
}

/// The interpreter that can be compared with: the one named by `POLYCHRON_PYTHON`, else that of
/// `target/venv` if it is complete.
///
/// # Errors
///
/// When `POLYCHRON_PYTHON` names an interpreter that lacks the packages, or the requirements
/// cannot be read.
pub(crate) fn working(sh: &Shell) -> anyhow::Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("POLYCHRON_PYTHON") {
        let named = PathBuf::from(named);
        if !imports(sh, &named) {
            bail!("POLYCHRON_PYTHON is {}, which fails at `{PROBE}`", named.display());
        }
        return Ok(Some(named));
    }
    Ok(up_to_date(sh)?.then(interpreter))
}

/// Whether the environment holds what the requirements say now.
fn up_to_date(sh: &Shell) -> anyhow::Result<bool> {
    let made_from = sh.read_file(stamp()).unwrap_or_default();
    Ok(made_from == wanted(sh)? && imports(sh, &interpreter()))
}

fn imports(sh: &Shell, python: &Path) -> bool {
    cmd!(sh, "{python} -c {PROBE}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// A Python on this machine that can make the environment.
pub(crate) fn host(sh: &Shell) -> Option<PathBuf> {
    // `ensurepip` is what a Debian without python3-venv lacks.
    let probe = "import venv, ensurepip, sys; print('%d.%d' % sys.version_info[:2])";
    // The system's own is asked for by path too, since another may stand before it in PATH.
    ["python3", "/usr/bin/python3", "python3.12", "python3.11"].iter().map(PathBuf::from).find(
        |python| {
            let version = cmd!(sh, "{python} -c {probe}").quiet().ignore_stderr().read();
            version.is_ok_and(|version| VERSIONS.contains(&version.trim()))
        },
    )
}

/// Makes the environment anew.
pub(crate) fn make(sh: &Shell) -> anyhow::Result<()> {
    let by_hand = "by hand: python3 -m venv target/venv \
        && target/venv/bin/python -m pip install -r tests/python/requirements.txt \
        && target/venv/bin/python -m pip install --no-deps -r tests/python/requirements-alone.txt";
    let host = host(sh).with_context(|| {
        format!("no Python {} with the module venv was found", VERSIONS.join(" or "))
    })?;
    let (venv, python) = (venv(), interpreter());
    let (requirements, alone) = (requirements(), requirements_alone());
    cmd!(sh, "{host} -m venv --clear {venv}")
        .run()
        .with_context(|| format!("could not make target/venv; {by_hand}"))?;
    let pip = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check"];
    cmd!(sh, "{python} {pip...} -r {requirements}")
        // hardtarget is built on the spot, in an environment of its own: these two, of which each
        // pip knows one, hold that environment to the same versions.
        .env("PIP_CONSTRAINT", &requirements)
        .env("PIP_BUILD_CONSTRAINT", &requirements)
        .run()
        .with_context(|| format!("could not install the Python packages; {by_hand}"))?;
    cmd!(sh, "{python} {pip...} --no-deps -r {alone}")
        .run()
        .with_context(|| format!("could not install the Python packages; {by_hand}"))?;
    if !imports(sh, &python) {
        bail!("target/venv was made, but fails at `{PROBE}`; {by_hand}");
    }
    // Last, so that an environment that was left half made is made again.
    sh.write_file(stamp(), wanted(sh)?)?;
    Ok(())
}
