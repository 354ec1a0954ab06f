//! The template that strangers copy: it runs, its results are the same on every backend, and what its
//! README says of Cargo.toml is right.

#![cfg(all(feature = "threads", feature = "processes"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The built example; cargo builds examples for tests unless it was told which test to build.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("has a path");
    let profile = test.ancestors().nth(2).expect("lies in target/PROFILE/deps");
    let path = profile.join("examples/sweep_template");
    if !path.is_file() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "-p", "polychron", "--example", "sweep_template"]);
        assert!(cargo.current_dir(here()).status().expect("cargo is there").success());
    }
    path
}

#[test]
fn the_template_gives_the_same_bytes_on_every_backend() {
    let dir = tempfile::tempdir().unwrap();
    let run = |backend: &str, workers: &str| {
        let csv = dir.path().join(format!("{backend}{workers}.csv"));
        let output =
            Command::new(example()).args([backend, workers]).arg(&csv).output().expect("starts");
        // Throws at 0 degrees fail.
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said = String::from_utf8(output.stdout).expect("is text");
        assert!(said.starts_with("180 rows, 20 failed: "), "{said}");
        fs::read_to_string(csv).expect("is there")
    };
    let serial = run("serial", "1");
    assert!(serial.starts_with(
        "index,speed_m_s,angle_deg,drag_per_m,status,range_m,height_m,time_s,error\n\
         0,10.0,0.0,0.0001,error,,,,a throw at 0 degrees goes into the ground\n"
    ));
    for (backend, workers) in
        [("threads", "1"), ("threads", "3"), ("processes", "1"), ("processes", "3")]
    {
        assert_eq!(run(backend, workers), serial, "{backend} {workers}");
    }
}

/// Resolving needs no network and builds nothing; names and features that are not there are refused.
#[test]
fn a_copy_of_the_template_outside_of_the_workspace_resolves_with_what_its_readme_says() {
    let readme = fs::read_to_string(here().join("examples/sweep_template/README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let crates = here().parent().unwrap().to_owned();
    let package = "[package]\nname = \"my-sweep\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n";
    for (block, wanted) in [
        (blocks[0].to_owned(), ["polychron", "pm-proc", "pm-threads", "param-sweep"]),
        (format!("{package}{}", blocks[1]), ["param-sweep", "pm-api", "pm-threads", "jobdiv"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let manifest = block.replace("../polychron/crates", crates.to_str().expect("is UTF-8"));
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::copy(here().join("examples/sweep_template/main.rs"), dir.path().join("src/main.rs"))
            .unwrap();
        fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        // The versions that are here, so that nothing is looked for elsewhere.
        fs::copy(crates.join("../Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();
        let tree = tree(dir.path());
        for name in wanted {
            assert!(tree.lines().any(|line| line.contains(&format!("{name} v"))), "{name}: {tree}");
        }
        for name in ["gmf-cpu", "polychron-cli", "ratatui", "plotters"] {
            assert!(!tree.contains(name), "{name} is not asked for: {tree}");
        }
    }
}

fn tree(dir: &Path) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none"])
        .current_dir(dir)
        .output()
        .expect("cargo is there");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
