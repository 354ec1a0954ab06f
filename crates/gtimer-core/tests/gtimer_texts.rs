//! The texts of the recorded runs of gtimer, letter for letter.

use std::fs;
use std::path::Path;

use gtimer_core::report::{
    GtimerFormat, gtimer_compare, gtimer_compare_workers, gtimer_report, gtimer_structure,
};
use gtimer_core::{ParallelGroup, StampTimes, Subdivisions, Times};
use serde_json::Value;

/// Every recorded run, by name.
fn runs() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gtimer");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the recorded runs are there")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let read =
        |path: &Path| serde_json::from_slice(&fs::read(path).expect("reads")).expect("is JSON");
    paths.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

/// The documented tree, in which a key that is not needed may be missing.
fn tree(json: &Value) -> Times {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let seconds = |value: &Value| value.as_f64().expect("is a number");
    let stamp = |json: &Value| StampTimes {
        name: text(&json["name"]).expect("has a name"),
        cum: seconds(&json["cum"]),
        itr_num: json["itr_num"].as_u64().expect("is a count"),
        itr_max: seconds(&json["itr_max"]),
        itr_min: seconds(&json["itr_min"]),
        itrs: json["itrs"].as_array().map(|itrs| itrs.iter().map(seconds).collect()),
        in_loop: json["itrs"].is_array() || json["itr_num"] != 1,
    };
    let subdivisions = |json: &Value| Subdivisions {
        position: text(&json["position"]).expect("has a position"),
        timers: list(&json["timers"]).iter().map(tree).collect(),
    };
    let group = |json: &Value| ParallelGroup {
        position: text(&json["position"]).expect("has a position"),
        group: text(&json["group"]).expect("has a name"),
        workers: list(&json["workers"]).iter().map(tree).collect(),
    };
    Times {
        name: text(&json["name"]).expect("has a name"),
        position: text(&json["position"]),
        total: seconds(&json["total"]),
        stamps_sum: seconds(&json["stamps_sum"]),
        self_agg: seconds(&json["self_agg"]),
        stamps: list(&json["stamps"]).iter().map(stamp).collect(),
        subdivisions: list(&json["subdivisions"]).iter().map(subdivisions).collect(),
        parallel: list(&json["parallel"]).iter().map(group).collect(),
        ..Times::default()
    }
}

#[test]
fn the_texts_of_the_recorded_runs_are_gtimers() {
    let runs = runs();
    assert!(runs.len() >= 5, "{} runs", runs.len());
    let mut n_compared = 0;
    for (name, run) in &runs {
        let times = tree(&run["expected"]["final"]);
        let (plain, delimited) = (GtimerFormat::default(), GtimerFormat::delimited());
        let texts = [
            ("expected_structure", gtimer_structure(&times)),
            ("report", gtimer_report(&times, &plain)),
            ("report_delimited", gtimer_report(&times, &delimited)),
            ("compare", gtimer_compare(&times, &plain)),
            ("compare_delimited", gtimer_compare(&times, &delimited)),
        ];
        for (key, ours) in texts {
            let Some(theirs) = run[key].as_array() else { continue };
            let theirs: Vec<&str> = theirs.iter().filter_map(Value::as_str).collect();
            let ours: Vec<&str> = ours.split('\n').collect();
            for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                assert_eq!(ours, theirs, "{name}: {key}, line {}", at + 1);
            }
            assert_eq!(ours.len(), theirs.len(), "{name}: {key}");
            n_compared += 1;
        }
    }
    assert!(n_compared >= 17, "{n_compared} texts");
}

/// A timer with stamps that are no iterations.
fn timer(name: &str, total: f64, stamps: &[(&str, f64)]) -> Times {
    let stamp = |&(name, cum): &(&str, f64)| StampTimes {
        name: name.to_owned(),
        cum,
        itr_num: 1,
        itr_max: cum,
        itr_min: cum,
        itrs: None,
        in_loop: false,
    };
    Times {
        name: name.to_owned(),
        total,
        stamps_sum: stamps.iter().map(|(_, cum)| cum).sum(),
        stamps: stamps.iter().map(stamp).collect(),
        ..Times::default()
    }
}

fn group(position: &str, group: &str, workers: Vec<Times>) -> ParallelGroup {
    ParallelGroup { position: position.to_owned(), group: group.to_owned(), workers }
}

fn has_line(text: &str, line: &str) -> bool {
    text.split('\n').any(|other| other == line)
}

#[test]
fn an_empty_running_timer_has_a_header_and_no_lines() {
    let times = Times { name: "root".to_owned(), running: true, ..Times::default() };
    let text = gtimer_report(&times, &GtimerFormat::default());
    let expected = [
        "",
        "",
        "---Begin Timer Report (root)---",
        "Timer Name:          root (running)",
        "Total Time (s):      0",
        "Stamps Sum:          0",
        "Self Time (Agg.):    0",
        "",
        "",
        "Intervals",
        "---------",
        "",
        "---End Timer Report (root)---",
        "",
        "",
    ];
    assert_eq!(text.split('\n').collect::<Vec<_>>(), expected);
    assert_eq!(gtimer_structure(&times), "\nroot");
    assert_eq!(gtimer_compare(&times, &GtimerFormat::default()), "");
}

#[test]
fn names_beyond_the_dots_push_their_line_and_are_not_cut() {
    let long = "a name far longer than the dots";
    let mut times = timer("root", 1.0, &[(long, 0.25), ("é 語", 1e-5)]);
    let text = gtimer_report(&times, &GtimerFormat::default());
    assert!(has_line(&text, "a name far longer than the dots  0.25"), "{text}");
    assert!(has_line(&text, "é 語 ................ 1e-05"), "{text}");
    times.parallel.push(group(long, "g", vec![timer(long, 0.5, &[(long, 0.5)])]));
    let text = gtimer_compare(&times, &GtimerFormat::default());
    assert!(has_line(&text, "a name far longer than the dots           0.50"), "{text}");
}

#[test]
fn workers_of_workers_are_told_by_the_greatest_also_in_a_comparison() {
    let threads = |n: u32| {
        let worker = |n: u32| timer(&n.to_string(), n.into(), &[("calc", n.into())]);
        group("solve", "threads", (1..=n).map(worker).collect())
    };
    let ranks = [1, 3].map(|n| {
        let rank = timer(&format!("rank{n}"), 9.0 + f64::from(n), &[("solve", 4.0)]);
        Times { parallel: vec![threads(n)], ..rank }
    });
    let master = timer("master", 20.0, &[("run", 15.0)]);
    let times = Times { parallel: vec![group("run", "ranks", ranks.to_vec())], ..master };
    let text = gtimer_report(&times, &GtimerFormat::default());
    let at =
        text.find("ranks(par)\n  (rank3)\n  solve (par)......... 4\n    threads(par)\n    (3)\n");
    assert!(at.is_some(), "{text}");
    let text = gtimer_compare(&times, &GtimerFormat::default());
    assert!(has_line(&text, " calc (par)........          1.00          3.00"), "{text}");
    assert_eq!(gtimer_structure(&times), "\nmaster\n    rank3 (run)\n        3 (solve)");
}

#[test]
fn a_worker_without_a_stamp_has_an_empty_cell() {
    let workers = vec![
        timer("0", 1.0, &[("a", 0.5), ("b", 0.0)]),
        timer("1", 2.0, &[("c", 0.25), ("a", 0.75)]),
    ];
    let text = gtimer_compare_workers("g", &workers, &GtimerFormat::default());
    for line in [
        "a ................          0.50          0.75",
        // gtimer leaves a time of zero out, as if it were not there.
        "b ................                            ",
        "c ................                        0.25",
        "a ................      0.75      0.50      0.62      0.12         2",
        "b ................                                                 0",
        "c ................      0.25      0.25      0.25                   1",
    ] {
        assert!(has_line(&text, line), "{line:?} in\n{text}");
    }
}

#[test]
fn options_change_delimiter_tables_widths_and_signs() {
    let mut times = timer("root", 1.0, &[("a", 1.0)]);
    times.stamps[0].itr_num = 2;
    times.stamps[0].itrs = Some(vec![0.25, 0.75]);
    let below =
        Subdivisions { position: "a".to_owned(), timers: vec![timer("t", 1.0, &[("s", 1.0)])] };
    times.subdivisions.push(below);
    let with = |format: GtimerFormat| gtimer_report(&times, &format);
    let commas = GtimerFormat { delimiter: Some(",".to_owned()), ..GtimerFormat::default() };
    let text = with(GtimerFormat { indent: Some("> ".to_owned()), ..commas });
    assert!(has_line(&text, "> s,1.0") && has_line(&text, "1,0.75"), "{text}");
    let text = with(GtimerFormat { list: false, ..GtimerFormat::default() });
    assert!(text.contains("   Num") && !text.contains("Iter."), "{text}");
    let text = with(GtimerFormat { statistics: false, ..GtimerFormat::default() });
    assert!(!text.contains("   Num") && text.contains("Iter."), "{text}");
    let text = with(GtimerFormat { statistics: false, list: false, ..GtimerFormat::default() });
    assert!(!text.contains("Loop Iterations"), "{text}");
    let wide = GtimerFormat { report_name_width: 6, list_width: 4, ..GtimerFormat::default() };
    let text = with(GtimerFormat { tab_width: 1, ..wide });
    assert!(has_line(&text, "a .... 1") && has_line(&text, "1     0.75"), "{text}");
}
