//! `polychron analyze --optimize` from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use digital_rf::hdf5::{AttrValue, File};
use tempfile::TempDir;

fn case() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gmf/dev3-i16-txchan-offset1")
}

/// Analyses the recorded case with a separate transmitter; gives the exit code and both outputs.
fn analyze(config: &Path, out: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polychron"));
    for name in ["POLYCHRON_JOB", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"] {
        command.env_remove(name);
    }
    command.arg("analyze").arg(case().join("drf")).args(["rx", "--txchnl", "tx", "--config"]);
    command.arg(config).arg("-o").arg(out).args(more).stdin(Stdio::null());
    let output = command.output().expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn first_file(out: &Path) -> File {
    let mut hours: Vec<PathBuf> = fs::read_dir(out)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.is_dir())
        .collect();
    hours.sort();
    let mut files: Vec<PathBuf> =
        fs::read_dir(&hours[0]).expect("lists").map(|entry| entry.expect("lists").path()).collect();
    files.sort();
    File::open(&files[0]).expect("opens")
}

/// How the peaks of a run were refined, and the values that came of it.
fn refined(out: &Path) -> (String, Vec<f64>) {
    let file = first_file(out);
    let values = file.dataset("gmf_optimized").and_then(|data| data.read_f64()).expect("is there");
    match file.attr("processing", "gmf_optimize").expect("reads") {
        Some(AttrValue::Str(how)) => (how, values.values),
        other => panic!("gmf_optimize is {other:?}"),
    }
}

/// Without a value it is continuous; the finer grid is named, or asked for by the config file under
/// hardtarget's name for it, and the command line wins over that.
#[test]
fn peaks_are_refined_as_the_command_line_or_else_the_config_file_says() {
    let dir = TempDir::new().expect("a temporary folder");
    let cfg = case().join("cfg.ini");
    let with = |method: &str| {
        let path = dir.path().join(format!("{method}.ini"));
        let text = fs::read_to_string(&cfg).expect("reads");
        fs::write(&path, format!("{text}\ngmf_method = {method}\n")).expect("writes");
        path
    };
    let mut values = Vec::new();
    for (idx, (config, more, how)) in [
        (cfg.clone(), &["--optimize"][..], "continuous"),
        (cfg.clone(), &["--optimize", "grid"], "grid"),
        (with("optimize-grid-gmf"), &[], "grid"),
        (with("optimize-scipy-gmf"), &[], "continuous"),
        (with("optimize-grid-gmf"), &["--optimize=continuous"], "continuous"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = dir.path().join(format!("out-{idx}"));
        let (code, _, err) = analyze(&config, &out, more);
        assert_eq!(code, Some(0), "{more:?}: {err}");
        let (found, gmf) = refined(&out);
        assert_eq!(found, how, "{config:?} {more:?}");
        values.push(gmf);
    }
    assert_eq!(values[0], values[3]);
    assert_eq!(values[0], values[4]);
    assert_eq!(values[1], values[2]);
    assert!(values[0].iter().zip(&values[1]).all(|(a, b)| a >= b), "{values:?}");
}

/// The original fails the second time, and needs a run of its own before the first.
#[test]
fn a_finished_run_is_completed_once_and_then_left_alone() {
    let dir = TempDir::new().expect("a temporary folder");
    let (cfg, out) = (case().join("cfg.ini"), dir.path().join("out"));
    assert_eq!(analyze(&cfg, &out, &[]).0, Some(0));
    assert!(!first_file(&out).exists("gmf_optimized").expect("reads"));
    let (code, said, err) = analyze(&cfg, &out, &["--optimize"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(said.contains("integrations in"), "{said}");
    let values = refined(&out).1;
    for more in [&["--optimize"][..], &[]] {
        let (code, said, err) = analyze(&cfg, &out, more);
        assert_eq!(code, Some(0), "{err}");
        assert!(said.contains("nothing to do"), "{said}");
        assert_eq!(refined(&out).1, values);
    }
}

#[test]
fn another_way_of_refining_is_a_usage_error_that_names_those_there_are() {
    let dir = TempDir::new().expect("a temporary folder");
    let more = ["--optimize", "scipy"];
    let (code, _, err) = analyze(&case().join("cfg.ini"), dir.path(), &more);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("grid") && err.contains("continuous"), "{err}");
}
