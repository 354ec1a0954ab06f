//! `inspect`, `check`, `completions` and `man` from outside.

mod common;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use common::{expect, golden, utf8};

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&expect(0, args).0).expect("is JSON")
}

#[test]
fn a_recording_is_described_in_text_and_in_json() {
    let drf = golden("dev2").join("drf");
    let (text, _) = expect(0, &["inspect", "drf", utf8(&drf)]);
    for words in [
        "channel rx",
        "complex int16, 1 sub-channel(s), 1000000 Hz",
        "2021-04-12T12:15:40Z",
        "continuous blocks: 1",
        "radar_frequency          929.6",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let report = json(&["inspect", "drf", utf8(&drf), "--json"]);
    let channel = &report["channels"][0];
    assert_eq!(channel["name"], "rx");
    let bounds = [0, 1].map(|idx| channel["bounds"][idx].as_u64().expect("is a count"));
    assert_eq!(bounds[0], 1_618_229_740_000_000);
    assert_eq!(channel["continuous_blocks"][0][1].as_u64(), Some(bounds[1] - bounds[0]));
    assert_eq!(channel["damaged"], Value::Array(Vec::new()));
    assert_eq!(report["experiment"]["ipp"], "20000");
}

/// A product of our own, of which a file in the middle is cut.
#[test]
fn damaged_files_are_named_and_leave_a_gap() {
    let dir = TempDir::new().unwrap();
    let product = dir.path().join("product");
    let product = utf8(&product);
    let options = ["--duration", "1", "--file-cadence", "200", "--seed", "3"];
    expect(0, &[&["simulate", product], &options[..]].concat());
    let folder = fs::read_dir(Path::new(product).join("rx"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let damaged = folder.join("rf@1618229740.400.h5");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 3]).unwrap();

    let report = json(&["inspect", "drf", product, "--json"]);
    let channel = &report["channels"][0];
    let start = 1_618_229_740_000_000_u64;
    assert_eq!(
        channel["continuous_blocks"],
        serde_json::json!([[start, 400_000], [start + 600_000, 400_000]])
    );
    assert!((channel["mega_samples"].as_f64().unwrap() - 0.8).abs() < 1e-12);
    assert_eq!(channel["damaged"][0]["path"].as_str(), damaged.to_str());
    let (text, _) = expect(0, &["inspect", "drf", product]);
    assert!(text.contains("damaged files, passed over: 1"), "{text}");

    // Without metadata it can still be looked at.
    fs::remove_file(Path::new(product).join("metadata.ini")).unwrap();
    let (text, _) = expect(0, &["inspect", "drf", product]);
    assert!(text.contains("there is no metadata.ini"), "{text}");
}

/// Every recorded file of hardtarget's.
#[test]
fn hardtargets_own_results_are_described() {
    let mut n_runs = 0;
    for case in ["dev1", "dev2", "dev3", "dev4", "dev5"] {
        for entry in fs::read_dir(golden(case)).unwrap() {
            let path = entry.unwrap().path();
            if !utf8(&path).contains("expected-") {
                continue;
            }
            n_runs += 1;
            let report = json(&["inspect", "gmf", utf8(&path), "--json"]);
            let totals = &report["totals"];
            assert!(totals["files"].as_u64().unwrap() > 0, "{report}");
            let n = totals["integrations"].as_u64().unwrap();
            assert!(n > 0 && n >= totals["files"].as_u64().unwrap(), "{report}");
            let strongest = totals["strongest"]["range_m"].as_f64().unwrap();
            assert!(strongest > 1e5, "{report}");
            let named = |name: &str| {
                let all = report["datasets"].as_array().unwrap();
                all.iter().find(|dataset| dataset["name"] == name).cloned()
            };
            assert_eq!(named("ranges").unwrap()["kind"], "scale");
            assert_eq!(named("gmf").unwrap()["dtype"], "float32");
            assert_eq!(named("epoch_unix").unwrap()["kind"], "scalar");
            assert!(report["attributes"]["processing"]["n_ipp"].as_u64().unwrap() >= 2);
            let (text, _) = expect(0, &["inspect", "gmf", utf8(&path)]);
            assert!(text.contains("strongest peak") && text.contains("radar_frequency"), "{text}");
        }
    }
    assert!(n_runs >= 20, "{n_runs}");
}

#[test]
fn what_cannot_be_inspected_is_one_clear_line() {
    let dir = TempDir::new().unwrap();
    let text_file = dir.path().join("gmf-1.h5");
    fs::write(&text_file, "no HDF5").unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for (args, words) in [
        (["inspect", "gmf", utf8(&text_file)], "could not open"),
        (["inspect", "gmf", utf8(&empty)], "holds no GMF files"),
        (["inspect", "gmf", "/nonexistent"], "could not read /nonexistent"),
        (["inspect", "drf", utf8(&empty)], utf8(&empty)),
        (["check", "range-gates", utf8(&empty)], "metadata.ini"),
    ] {
        let (out, err) = expect(1, &args);
        assert!(out.is_empty() && err.contains(words), "{args:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    expect(2, &["inspect", "gmf"]);
    expect(2, &["inspect", "h5", "x"]);
}

/// The numbers are those that hardtarget 0.5.1 prints for the same product.
#[test]
fn range_gates_are_checked() {
    let drf = golden("dev4").join("drf");
    let (out, _) =
        expect(0, &["check", "range-gates", utf8(&drf), "-s", "1996", "-e", "2100", "-c", "300"]);
    let line = |words: &str| {
        let line = out.lines().find(|line| line.contains(words)).expect(words);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(line("first gate ").contains("gate 0 sample 83 0.29979 km"), "{out}");
    assert!(line("end of reception").contains("gate 19917 sample 20000 5971.26618 km"), "{out}");
    assert!(line("transmitted pulse").contains("gate 1919 sample 2002 575.60152 km"), "{out}");
    assert!(line("min_range_gate").contains("gate 6657 sample 6740 1996.01819 km"), "{out}");
    assert!(line("whole pulse").contains("gate 17996"), "{out}");
    let (_, err) = expect(1, &["check", "range-gates", utf8(&drf), "-s", "1", "-u", "AU"]);
    assert!(err.contains("--start-range 1 AU lies outside the reception"), "{err}");
    let (_, err) = expect(1, &["check", "range-gates", utf8(&drf), "-s", "900", "-e", "800"]);
    assert!(err.contains("must lie beyond"), "{err}");
    expect(2, &["check", "range-gates", utf8(&drf), "-s", "far"]);
    expect(2, &["check", "range-gates", utf8(&drf), "-s", "inf"]);
    expect(2, &["check", "range-gates", utf8(&drf), "-u", "miles"]);
}

#[test]
fn shells_get_scripts_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, err) = expect(0, &["completions", shell]);
        assert_eq!(err, "");
        for word in ["simulate", "analyze", "inspect", "check", "range-gates", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    expect(2, &["completions", "cmd"]);
}

#[test]
fn every_command_has_a_page_of_the_manual() {
    let (page, _) = expect(0, &["man"]);
    assert!(page.contains(".TH polychron 1"), "{page}");
    assert!(page.contains("analyze") && page.contains(".SH"), "{page}");
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("man1");
    let (said, _) = expect(0, &["man", utf8(&out)]);
    let mut pages: Vec<String> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    assert!(said.contains(&format!("{} pages", pages.len())), "{said}");
    for page in ["polychron.1", "polychron-analyze.1", "polychron-check-range-gates.1"] {
        assert!(pages.iter().any(|name| name == page), "{pages:?}");
        let text = fs::read_to_string(out.join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{text}");
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (_, err) = expect(1, &["man", utf8(&file)]);
    assert!(err.contains("could not make the folder"), "{err}");
}
