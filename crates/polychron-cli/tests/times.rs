//! `polychron times` from outside.

mod common;

use std::fs;
use std::path::Path;

use common::{expect, utf8};
use gtimer_core::{ParallelGroup, StampTimes, Subdivisions, Times, TimesFormat, save_times};
use serde_json::Value;
use tempfile::TempDir;

fn stamp(name: &str, cum: f64) -> StampTimes {
    StampTimes {
        name: name.to_owned(),
        cum,
        itr_num: 1,
        itr_max: cum,
        itr_min: cum,
        itrs: None,
        in_loop: false,
    }
}

fn timer(name: &str, stamps: &[(&str, f64)]) -> Times {
    let total = stamps.iter().map(|(_, cum)| cum).sum();
    Times {
        name: name.to_owned(),
        total,
        stamps_sum: total,
        stamps: stamps.iter().map(|(name, cum)| stamp(name, *cum)).collect(),
        ..Times::default()
    }
}

/// A run of `a` and `b`, with a timer below `a` and two workers beside `b`.
fn run(name: &str, a: f64, b: f64) -> Times {
    Times {
        subdivisions: vec![Subdivisions {
            position: "a".to_owned(),
            timers: vec![timer("inner", &[("s", a / 2.0)])],
        }],
        parallel: vec![ParallelGroup {
            position: "b".to_owned(),
            group: "ranks".to_owned(),
            workers: vec![timer("0", &[("calc", b / 2.0)]), timer("1", &[("calc", b)])],
        }],
        ..timer(name, &[("a", a), ("b", b)])
    }
}

/// A folder with `one.times`, `slow.json` (`a` takes twice as long), `ranks.times` (both).
fn folder() -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    let (one, slow) = (run("one", 1.0, 3.0), run("slow", 2.0, 3.0));
    one.save(dir.path().join("one.times")).expect("saves");
    slow.save(dir.path().join("slow.json")).expect("saves");
    save_times(dir.path().join("ranks.times"), &[one, slow], TimesFormat::Binary).expect("saves");
    dir
}

fn path(dir: &TempDir, name: &str) -> String {
    utf8(&dir.path().join(name)).to_owned()
}

/// Whether a line has these words one after another.
fn has(text: &str, words: &str) -> bool {
    text.lines().any(|line| {
        let line: Vec<&str> = line.split_whitespace().collect();
        line.join(" ") == words
    })
}

#[test]
fn one_run_is_shown_as_a_tree_with_a_table_of_its_workers() {
    let dir = folder();
    let (out, err) = expect(0, &["times", "show", &path(&dir, "one.times")]);
    assert!(err.is_empty(), "{err}");
    for words in [
        "one 4.000 s 0 s 100.0%",
        "a 1.000 s 500.0 ms 25.0% 1 1.000 s 1.000 s 1.000 s",
        "(inner) 500.0 ms 0 s 12.5%",
        "[ranks] 2 workers, the greatest: 3.000 s 75.0%",
        "one/b/[ranks]: 2 ranks",
        "calc 1.500 s (0) 2.250 s 3.000 s (1) 750.0 ms 33.3% 2 of 2",
    ] {
        assert!(has(&out, words), "{words:?} in\n{out}");
    }
    assert!(out.find("\n  b ").unwrap() < out.find("\n  a ").unwrap(), "{out}");
    let by_order = ["times", "show", &path(&dir, "one.times"), "--sort", "order", "--min", "20%"];
    let (out, _) = expect(0, &by_order);
    assert!(out.find("\n  a ").unwrap() < out.find("\n  b ").unwrap(), "{out}");
    assert!(has(&out, "(1 smaller) 500.0 ms 12.5%") && !out.contains("inner"), "{out}");
}

#[test]
fn several_runs_are_shown_as_ranks() {
    let dir = folder();
    let row = "a 1.000 s (one) 1.500 s 2.000 s (slow) 500.0 ms 33.3% 2 of 2";
    let files = ["times", "show", &path(&dir, "one.times"), &path(&dir, "slow.json")];
    let (out, _) = expect(0, &files);
    assert!(has(&out, row), "{out}");
    let (same, _) = expect(0, &["times", "show", &path(&dir, "ranks.times")]);
    assert_eq!(same, out);
    // Runs of one name are called by their files.
    let other = path(&dir, "other.times");
    fs::copy(path(&dir, "one.times"), &other).unwrap();
    let (out, _) = expect(0, &["times", "show", &path(&dir, "one.times"), &other]);
    assert!(has(&out, "b 3.000 s (one) 3.000 s 3.000 s (one) 0 s 0.0% 2 of 2"), "{out}");
}

/// The texts of a recorded run, from a file of our own, are gtimer's.
#[test]
fn the_styles_of_gtimer_are_gtimers() {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gtimer/05-parallel.json");
    let recorded: Value = serde_json::from_slice(&fs::read(data).unwrap()).unwrap();
    // The recorded tree has the keys of our JSON.
    let file = serde_json::json!({
        "format": "polychron-times", "version": 1, "times": [recorded["expected"]["final"]],
    });
    let dir = TempDir::new().unwrap();
    let path = path(&dir, "recorded.json");
    fs::write(&path, file.to_string()).unwrap();
    let cases: [(&str, &[&str]); 5] = [
        ("report", &["--style", "gtimer"]),
        ("report_delimited", &["--style", "gtimer", "--delimited"]),
        ("compare", &["--style", "compare"]),
        ("compare_delimited", &["--style", "compare", "--delimited"]),
        ("expected_structure", &["--style", "structure"]),
    ];
    for (key, options) in cases {
        let args = [&["times", "show", &path][..], options].concat();
        let (out, _) = expect(0, &args);
        let lines: Vec<&str> =
            recorded[key].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(out.trim_end_matches('\n'), lines.join("\n").trim_end_matches('\n'), "{key}");
    }
}

#[test]
fn what_became_slower_gives_code_4() {
    let dir = folder();
    let (one, slow) = (path(&dir, "one.times"), path(&dir, "slow.json"));
    let (out, err) = expect(4, &["times", "compare", &one, &slow]);
    assert!(has(&out, "a 1.000 s 2.000 s +1.000 s 2.000 slower"), "{out}");
    assert!(has(&out, "b 3.000 s 3.000 s 0 s 1.000"), "{out}");
    assert_eq!(err, "polychron: 4 parts are slower\n");
    let (out, _) = expect(4, &["times", "compare", &one, &slow, "--changed"]);
    assert!(out.contains("slower") && !out.contains("ranks"), "{out}");
    // Not beyond these limits; nor the other way round; nor beside itself.
    for more in [["--threshold", "150%"], ["--floor", "1500ms"]] {
        expect(0, &[&["times", "compare", &one, &slow][..], &more].concat());
    }
    let (out, _) = expect(0, &["times", "compare", &slow, &one]);
    assert!(out.contains("0 slower, 4 faster"), "{out}");
    expect(0, &["times", "compare", &one, &one, "--threshold", "0", "--floor", "0s"]);
}

#[test]
fn every_format_is_exported() {
    let dir = folder();
    let one = path(&dir, "one.times");
    let export = |format: &str| expect(0, &["times", "export", &one, "--format", format]).0;
    let json: Value = serde_json::from_str(&export("json")).unwrap();
    assert_eq!((&json["format"], &json["version"]), (&"polychron-times".into(), &1.into()));
    assert_eq!(json["times"][0]["stamps"][1]["cum"], 3.0);
    let csv = export("csv");
    assert!(csv.starts_with("run,path,kind,name,depth,inclusive_s,"), "{csv}");
    assert!(
        csv.contains("\n0,one/a/(inner)/s,stamp,s,3,0.5,0.5,0.125,1,0.5,0.5,0.5,,,\n"),
        "{csv}"
    );
    let trace: Value = serde_json::from_str(&export("trace")).unwrap();
    assert!(trace["traceEvents"].as_array().unwrap().len() > 8);
    let folded = export("folded");
    assert!(folded.contains("one;a;inner;s 500000\n"), "{folded}");
    assert!(folded.contains("ranks/1;calc 3000000\n"), "{folded}");
    // Into a file, which is read again.
    let again = path(&dir, "again.json");
    let to_file = ["times", "export", &one, "--format", "json", "-o", &again];
    assert_eq!(expect(0, &to_file).0, "");
    expect(0, &["times", "compare", &one, &again, "--threshold", "0", "--floor", "0s"]);
}

#[test]
fn what_is_no_file_of_times_is_told_with_its_name_and_a_way_out() {
    let dir = folder();
    let cut = path(&dir, "cut.times");
    let bytes = fs::read(path(&dir, "one.times")).unwrap();
    fs::write(&cut, &bytes[..60]).unwrap();
    let text = path(&dir, "text");
    fs::write(&text, "\u{1b}[31mno times").unwrap();
    let missing = path(&dir, "missing");
    let folder = utf8(dir.path()).to_owned();
    for (file, reason) in [
        (&cut, "cut off after 60 of"),
        (
            &text,
            "not a file of times (it begins with \"\\x1b[31mno \"); give one that polychron saved",
        ),
        (&missing, "could not read times"),
        (&folder, "no regular file"),
    ] {
        for args in [
            &["times", "show", file][..],
            &["times", "compare", file, file],
            &["times", "export", file, "--format", "csv"],
        ] {
            let (out, err) = expect(1, args);
            assert!(out.is_empty() && err.contains(reason) && err.contains(file.as_str()), "{err}");
        }
    }
    for args in [
        &["times", "show"][..],
        &["times", "show", &cut, "--min", "200%"],
        &["times", "show", &cut, "--min", "nan"],
        &["times", "show", &cut, "--level", "0"],
        &["times", "compare", &cut, &cut, "--threshold", "-1"],
        &["times", "compare", &cut, &cut, "--floor", "3"],
        &["times", "export", &cut],
    ] {
        expect(2, args);
    }
    let none = path(&dir, "none.times");
    timer("bare", &[("a", 1.0)]).save(&none).unwrap();
    let (_, err) = expect(1, &["times", "show", &none, "--style", "ranks"]);
    assert!(err.contains("no parallel workers at level 1"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_does_not_hang() {
    let dir = folder();
    let pipe = path(&dir, "pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (_, err) = expect(1, &["times", "show", &pipe]);
    assert!(err.contains("no regular file"), "{err}");
}

#[test]
fn help_has_examples() {
    for what in ["show", "compare", "export"] {
        let (out, _) = expect(0, &["times", what, "--help"]);
        assert!(out.contains("Example") && out.contains("polychron times"), "{out}");
    }
    let (out, _) = expect(0, &["times", "compare", "--help"]);
    assert!(out.contains("4 something is slower"), "{out}");
}
