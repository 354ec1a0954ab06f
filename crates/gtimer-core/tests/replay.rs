//! The recorded runs of gtimer on the timer, and what the replay says of files that are wrong.

mod recorded;

use std::path::Path;

use recorded::check::replay;
use recorded::program::parse;

fn recorded_runs() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gtimer");
    let mut runs: Vec<_> = std::fs::read_dir(dir)
        .expect("the recorded runs are in the repository")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a recorded run is text");
            (path.display().to_string(), text)
        })
        .collect();
    runs.sort();
    runs
}

#[test]
fn the_timer_does_what_gtimer_did_and_prints_what_it_printed() {
    let runs = recorded_runs();
    assert!(runs.len() >= 5, "only {} recorded runs were found", runs.len());
    for (path, text) in runs {
        let (id, faults) = replay(&text).unwrap();
        assert!(faults.is_empty(), "{path} ({id}):\n{}", faults.join("\n"));
    }
}

/// A replay that could not fail would prove nothing.
#[test]
fn a_run_that_is_changed_anywhere_fails_and_says_where() {
    let (_, text) = recorded_runs().remove(1);
    for (from, to, place) in [
        ("\"by\": 2.0", "\"by\": 2.5", "final"),
        ("\"itr_num\": 2", "\"itr_num\": 3", "itr_num should be 3, is 2"),
        ("\"raises\": \"GTimerError\"", "\"raises\": \"LoopError\"", "ops["),
        ("\"    load (input)\"", "\"    lost (input)\"", "expected_structure, line 3"),
        ("\"  open ............... 0.75\"", "\"  open ............... 0.8\"", "report, line 14"),
        ("\"+open\\t0.75\"", "\"+open\\t0.76\"", "report_delimited, line 13"),
    ] {
        assert!(text.contains(from), "{from}");
        let (_, faults) = replay(&text.replacen(from, to, 1)).unwrap();
        assert!(faults.iter().any(|fault| fault.contains(place)), "{to}: {faults:?}");
    }
}

#[test]
fn what_is_not_in_the_format_is_refused_by_name() {
    let run = |ops: &str| {
        format!(
            r#"{{"format": 1, "id": "x", "title": "x", "reference": "gtimer-1.0.0b5",
            "ops": [{ops}], "expected": {{"final": {{"name": "root", "position": null,
            "total": 0.0, "stamps_sum": 0.0, "self_agg": 0.0, "stamps": [], "subdivisions": [],
            "parallel": []}}, "snapshots": {{}}}}}}"#
        )
    };
    parse(&run("")).unwrap();
    for (ops, names) in [
        (r#"{"op": "jump"}"#, "\"jump\""),
        (r#"{"op": "pause", "hard": true}"#, "\"hard\""),
        (r#"{"op": "stamp"}"#, "no name"),
        (r#"{"op": "advance", "by": "1"}"#, "by is"),
        (r#"{"op": "advance", "by": -1}"#, "never goes back"),
        (r#"{"op": "call", "name": "f", "body": [{"op": "hop"}]}"#, "ops[0] (call).body[0]"),
        (r#"{"op": "for", "iterations": [[{"op": "hop"}]]}"#, "iterations[0][0]"),
        (r#"{"op": "set_default", "setting": "speed", "value": true}"#, "\"speed\""),
        (r#"{"op": "stamp", "name": "a", "unique": "no"}"#, "unique is \"no\""),
    ] {
        let error = parse(&run(ops)).unwrap_err();
        assert!(error.contains(names), "{ops}: {error}");
    }
    for (text, says) in [
        ("", "not JSON"),
        ("[1]", "not an object"),
        ("{}", "no format"),
        (r#"{"format": 2}"#, "format is 2"),
        (r#"{"format": 1, "id": "x", "title": "x", "reference": "gprof"}"#, "gprof"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
    let (_, faults) = replay(&run(r#"{"op": "attach", "times": "w9"}"#)).unwrap();
    assert!(faults[0].contains("\"w9\""), "{faults:?}");
}
