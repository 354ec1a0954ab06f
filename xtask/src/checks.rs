//! What must hold besides the tests: format, lints, features, documentation, licences.

use xshell::{Shell, cmd};

use crate::instructions::instructions;
use crate::packages::{Package, has_mpi, packages, workspace};
use crate::steps::{Outcome, Steps, step};
use crate::{test, tidy};

/// Everything that must hold. Says whether it does.
pub(crate) fn ci(sh: &Shell, setup: bool) -> anyhow::Result<bool> {
    let mut steps = Steps::default();
    let passed = |()| Outcome::Passed;
    steps.run("fmt", || fmt_check(sh).map(passed));
    steps.run("tidy", || tidy::tidy(sh).map(passed));
    steps.run("clippy", || clippy(sh).map(passed));
    steps.run("features", || features(sh).map(passed));
    steps.run("docs", || docs(sh).map(passed));
    steps.run("deny", || {
        if has_deny(sh) {
            deny(sh).map(passed)
        } else {
            println!("skipped: no cargo-deny (cargo install cargo-deny)");
            Ok(Outcome::Skipped)
        }
    });
    steps.run("test", || {
        Ok(if test::test(sh, setup, false, &[])? { Outcome::Passed } else { Outcome::Failed })
    });
    steps.run("instructions", || instructions(sh));
    Ok(steps.finish())
}

/// Formats the sources.
pub(crate) fn fmt(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo fmt --all").run()?)
}

/// Fails when a source is not formatted.
pub(crate) fn fmt_check(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

/// The lints of every target, with warnings as errors.
pub(crate) fn clippy(sh: &Shell) -> anyhow::Result<()> {
    let scope = workspace(sh);
    Ok(cmd!(sh, "cargo clippy {scope...} --all-targets -- -D warnings").run()?)
}

/// Checks every package that has features without any, and with each one alone.
///
/// By clippy, because that reads what a check has compiled and also sees what a missing feature
/// leaves unused.
pub(crate) fn features(sh: &Shell) -> anyhow::Result<()> {
    let mut packages = packages(sh)?;
    packages.retain(|package| package.name != "pm-mpi" || has_mpi(sh));
    for package in &mut packages {
        package.features.retain(|feature| feature != "mpi" || has_mpi(sh));
    }
    for (name, feature) in combinations(&packages) {
        let alone = feature.as_deref().map_or_else(Vec::new, |f| vec!["--features", f]);
        let title = format!("{name}: {}", feature.as_deref().unwrap_or("no features"));
        step(&title, || {
            let check = cmd!(sh, "cargo clippy -p {name} --no-default-features {alone...}");
            Ok(check.args(["--", "-D", "warnings"]).run()?)
        })?;
    }
    Ok(())
}

/// Package and feature: for each package with features, none, then each alone.
fn combinations(packages: &[Package]) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for package in packages.iter().filter(|package| !package.features.is_empty()) {
        all.push((package.name.clone(), None));
        all.extend(package.features.iter().map(|f| (package.name.clone(), Some(f.clone()))));
    }
    all
}

/// The documentation of our own crates, with warnings as errors.
pub(crate) fn docs(sh: &Shell) -> anyhow::Result<()> {
    let scope = workspace(sh);
    Ok(cmd!(sh, "cargo doc {scope...} --no-deps").env("RUSTDOCFLAGS", "-D warnings").run()?)
}

/// Licences, bans and sources of the dependencies. Advisories need a database from the network, so
/// they are left to `cargo deny check advisories`.
pub(crate) fn deny(sh: &Shell) -> anyhow::Result<()> {
    anyhow::ensure!(has_deny(sh), "cargo-deny is not installed: cargo install cargo-deny");
    Ok(cmd!(sh, "cargo deny check licenses bans sources").run()?)
}

fn has_deny(sh: &Shell) -> bool {
    cmd!(sh, "cargo deny --version").quiet().ignore_stderr().read().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, features: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            dir: name.into(),
            features: features.iter().map(|&f| f.to_owned()).collect(),
            benches: Vec::new(),
            needs: Vec::new(),
        }
    }

    #[test]
    fn each_feature_is_checked_alone_and_so_is_none() {
        let all = combinations(&[package("plain", &[]), package("umbrella", &["cpu", "threads"])]);
        let umbrella = |feature: Option<&str>| ("umbrella".to_owned(), feature.map(str::to_owned));
        assert_eq!(all, [umbrella(None), umbrella(Some("cpu")), umbrella(Some("threads"))]);
    }
}
