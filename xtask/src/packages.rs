//! The packages of the workspace, as `cargo metadata` tells them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use xshell::{Shell, cmd};

/// One package of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The folder of its manifest.
    pub(crate) dir: PathBuf,
    /// Its features but for `default`, sorted.
    pub(crate) features: Vec<String>,
    /// The names of its benchmarks.
    pub(crate) benches: Vec<String>,
    /// The packages of this workspace that it needs, development aside.
    pub(crate) needs: Vec<String>,
}

/// What chooses all packages that can be built here: `pm-mpi` needs an MPI.
pub(crate) fn workspace(sh: &Shell) -> &'static [&'static str] {
    if has_mpi(sh) { &["--workspace"] } else { &["--workspace", "--exclude", "pm-mpi"] }
}

/// Whether there is an MPI to build with: the compiler wrapper that `MPICC` names, or `mpicc`.
pub(crate) fn has_mpi(sh: &Shell) -> bool {
    let wrapper = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_owned());
    has_wrapper(sh, &wrapper)
}

/// Whether an MPI's compiler wrapper of this name is there.
pub(crate) fn has_wrapper(sh: &Shell, wrapper: &str) -> bool {
    cmd!(sh, "{wrapper} -show").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Cargo's target directory.
pub(crate) fn target_dir(sh: &Shell) -> anyhow::Result<PathBuf> {
    let text = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    let root: Value = serde_json::from_str(&text)?;
    Ok(PathBuf::from(string(&root, "target_directory")?))
}

/// Every package of the workspace, sorted by name.
pub(crate) fn packages(sh: &Shell) -> anyhow::Result<Vec<Package>> {
    let text = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    parse(&text).context("read what cargo metadata printed")
}

fn parse(text: &str) -> anyhow::Result<Vec<Package>> {
    let root: Value = serde_json::from_str(text)?;
    let mut all = list(&root, "packages")?
        .iter()
        .map(|package| {
            let manifest = Path::new(string(package, "manifest_path")?);
            Ok(Package {
                name: string(package, "name")?.to_owned(),
                dir: manifest.parent().map_or_else(PathBuf::new, Path::to_path_buf),
                features: features(package)?,
                benches: benches(package)?,
                needs: needs(package)?,
            })
        })
        .collect::<anyhow::Result<Vec<Package>>>()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn features(package: &Value) -> anyhow::Result<Vec<String>> {
    let table = package["features"].as_object().context("a package without features")?;
    let mut names: Vec<String> = table.keys().filter(|name| *name != "default").cloned().collect();
    names.sort();
    Ok(names)
}

fn benches(package: &Value) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for target in list(package, "targets")? {
        // One that asks for a feature is run by hand, with that feature.
        let is_plain = target["required-features"].as_array().is_none_or(Vec::is_empty);
        if is_plain && list(target, "kind")?.iter().any(|kind| kind == "bench") {
            names.push(string(target, "name")?.to_owned());
        }
    }
    Ok(names)
}

fn needs(package: &Value) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for dependency in list(package, "dependencies")? {
        // A dependency with a path is one of ours; `kind` is null for a normal one.
        if dependency["path"].is_string() && dependency["kind"] != "dev" {
            names.push(string(dependency, "name")?.to_owned());
        }
    }
    Ok(names)
}

fn list<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a [Value]> {
    let list = value[key].as_array().with_context(|| format!("no list called {key}"))?;
    Ok(list)
}

fn string<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value[key].as_str().with_context(|| format!("no text called {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"packages": [
        {"name": "umbrella", "manifest_path": "/w/crates/umbrella/Cargo.toml",
         "features": {"default": ["cpu"], "threads": [], "cpu": []},
         "targets": [{"name": "umbrella", "kind": ["lib"]}, {"name": "jobs", "kind": ["bench"]}],
         "dependencies": [
            {"name": "leaf", "path": "/w/crates/leaf", "kind": null},
            {"name": "suite", "path": "/w/crates/suite", "kind": "dev"},
            {"name": "serde", "kind": null}]}]}"#;

    #[test]
    fn a_package_has_its_features_benchmarks_and_needs() {
        let all = parse(METADATA).unwrap();
        assert_eq!(all[0].dir, Path::new("/w/crates/umbrella"));
        assert_eq!(all[0].features, ["cpu", "threads"]);
        assert_eq!(all[0].benches, ["jobs"]);
        assert_eq!(all[0].needs, ["leaf"]);
    }

    #[test]
    fn metadata_of_another_shape_is_an_error() {
        assert!(parse("{}").is_err());
        assert!(parse(r#"{"packages": [{"name": 3}]}"#).is_err());
    }
}
