//! What no other tool checks: that every package is whole and that dependencies point down.

use anyhow::bail;
use xshell::Shell;

use crate::packages::{Package, packages, root};

/// The layer of every package, lowest first; `docs/ARCHITECTURE.md` says why.
///
/// A package may need packages of lower layers only, so that a backend never knows its sibling.
/// Conformance suites stand with the contracts that they check.
const LAYERS: [&[&str]; 8] = [
    &["gtimer-macros"],
    &["jobdiv", "gtimer-core", "digital-rf", "xtask"],
    &["pm-api", "gmf-api", "shm-times", "worker-process"],
    &["gmf-conformance", "pm-conformance"],
    &["gmf-cpu", "gmf-gpu", "pm-mpi", "pm-proc", "pm-threads"],
    &["gmf-pipeline", "param-sweep"],
    &["polychron"],
    &["polychron-cli", "polychron-bench", "polychron-tests"],
];

/// Backends, which only the umbrella and what stands above it may name.
const BACKENDS: [&str; 5] = ["gmf-cpu", "gmf-gpu", "pm-mpi", "pm-proc", "pm-threads"];

/// Fails with every fault that it finds.
pub(crate) fn tidy(sh: &Shell) -> anyhow::Result<()> {
    let all = packages(sh)?;
    let changelog = sh.read_file(root().join("CHANGELOG.md"))?;
    let mut faults = Vec::new();
    for package in &all {
        faults.extend(files(sh, package, &changelog));
        faults.extend(layer(package));
    }
    if faults.is_empty() {
        println!("{} packages are tidy", all.len());
        return Ok(());
    }
    bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "))
}

/// Faults in the files of a package.
fn files(sh: &Shell, package: &Package, changelog: &str) -> Vec<String> {
    let Package { name, dir, .. } = package;
    let read = |path: &str| sh.read_file(dir.join(path)).unwrap_or_default();
    let mut faults = Vec::new();
    if !read("Cargo.toml").contains("[lints]\nworkspace = true") {
        faults.push(format!("{name}: its manifest does not take the lints of the workspace"));
    }
    let source = ["src/lib.rs", "src/main.rs"].map(read).concat();
    // A crate says in a sentence or more what it is for.
    if source.lines().take_while(|line| line.starts_with("//!")).count() < 3 {
        faults.push(format!("{name}: its source does not begin by saying what it is for"));
    }
    if !source.contains("unsafe_code") {
        faults.push(format!("{name}: it does not say whether it has unsafe code"));
    }
    // What follows is for what others use, not for the workspace's own tools.
    if dir.parent().is_some_and(|parent| parent.ends_with("crates")) {
        if read("README.md").trim().is_empty() {
            faults.push(format!("{name}: it has no README.md"));
        }
        if !changelog.lines().any(|line| line.trim_start_matches('#').trim() == name) {
            faults.push(format!("{name}: CHANGELOG.md has no heading for it"));
        }
    }
    faults
}

/// Faults in what a package needs.
fn layer(package: &Package) -> Vec<String> {
    let layer_of = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let name = &package.name;
    let Some(own) = layer_of(name) else {
        return vec![format!("{name}: it has no layer in xtask/src/tidy.rs")];
    };
    let umbrella = layer_of("polychron").unwrap_or(LAYERS.len());
    let mut faults = Vec::new();
    for need in &package.needs {
        if layer_of(need).is_none_or(|layer| layer >= own) {
            faults.push(format!("{name}: it may not need {need}, which is not below it"));
        }
        if own < umbrella && BACKENDS.contains(&need.as_str()) {
            faults.push(format!("{name}: it may not name the backend {need}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            dir: root().join("no such folder"),
            features: Vec::new(),
            benches: Vec::new(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
        }
    }

    #[test]
    fn dependencies_point_down_only() {
        assert!(layer(&package("pm-threads", &["pm-api"])).is_empty());
        assert!(layer(&package("polychron", &["pm-threads", "gmf-pipeline"])).is_empty());
        assert_eq!(layer(&package("pm-api", &["pm-threads"])).len(), 2);
        assert_eq!(layer(&package("gmf-cpu", &["pm-threads"])).len(), 2);
        assert_eq!(layer(&package("gmf-pipeline", &["gmf-cpu"])).len(), 1);
        assert_eq!(layer(&package("pm-new", &[])).len(), 1);
    }

    #[test]
    fn an_empty_package_has_every_fault() {
        let sh = Shell::new().unwrap();
        let mut hollow = package("hollow", &[]);
        assert_eq!(files(&sh, &hollow, "").len(), 3);
        hollow.dir = root().join("crates/no such crate");
        assert_eq!(files(&sh, &hollow, "# other\n").len(), 5);
        assert_eq!(files(&sh, &hollow, "## hollow\n").len(), 4);
    }
}
