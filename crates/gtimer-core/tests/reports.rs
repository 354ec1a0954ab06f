//! polychron's own tables agree with the tree that they are made of.

mod common;

use std::collections::{BTreeMap, HashSet};

use gtimer_core::report::{
    CSV_COLUMNS, EntryKind, GtimerFormat, Sort, Spread, Threshold, TreeFormat, Verdict, Workers,
    compare_runs, group_tables, gtimer_compare, gtimer_report, gtimer_structure, printable,
    rank_table, tree, write_csv, write_folded, write_trace,
};
use gtimer_core::{ParallelGroup, StampTimes, Subdivisions, Times};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use common::{cases, chain, trees, wild};

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).expect("a Vec takes any bytes");
    String::from_utf8(out).expect("is text")
}

/// The root and every worker in it: what has a lane of its own.
fn lanes(times: &Times) -> Vec<&Times> {
    let mut lanes = vec![times];
    let mut open = vec![times];
    while let Some(times) = open.pop() {
        open.extend(times.children());
        lanes.extend(times.parallel.iter().flat_map(|group| &group.workers));
    }
    lanes
}

/// The cells of a line of comma-separated values.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let cell = cells.last_mut().expect("has one");
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            _ => cell.push(c),
        }
    }
    cells
}

proptest! {
    #![proptest_config(cases(64))]

    /// Each lane's stacks hold its total, to the microsecond.
    #[test]
    fn folded_stacks_sum_up_to_the_totals(times in trees()) {
        let text = written(|out| write_folded(out, &times));
        let mut sum = 0;
        for line in text.lines() {
            let (stack, time) = line.rsplit_once(' ').unwrap();
            prop_assert!(!stack.contains(char::is_control));
            sum += time.parse::<u64>().unwrap();
        }
        let totals: Vec<f64> = lanes(&times).iter().map(|lane| lane.total).collect();
        let expected: u64 = totals.iter().map(|total| (1e6 * total).round() as u64).sum();
        prop_assert_eq!(sum, expected);
    }

    /// Every line has all cells, and what is below a timer or stamp fills it with its exclusive.
    #[test]
    fn comma_separated_values_are_consistent(runs in vec(trees(), 1..3)) {
        let text = written(|out| write_csv(out, &runs));
        let mut lines = text.lines();
        prop_assert_eq!(lines.next().unwrap(), CSV_COLUMNS.join(","));
        let rows: Vec<Vec<String>> = lines.map(cells).collect();
        prop_assert!(rows.iter().all(|row| row.len() == CSV_COLUMNS.len()));
        let number = |row: &[String], column: usize| row[column].parse::<f64>().unwrap();
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row[2] != "group") {
            let depth = number(row, 4);
            let below = rows[at + 1..].iter().take_while(|other| {
                other[0] == row[0] && number(other, 4) > depth
            });
            let direct = below.filter(|other| number(other, 4) == depth + 1.0 && other[2] != "group");
            let sum: f64 = direct.map(|other| number(other, 5)).sum();
            prop_assert_eq!(number(row, 5), sum + number(row, 6), "{:?}", row);
        }
        for (run, times) in runs.iter().enumerate() {
            let of_run: Vec<_> = rows.iter().filter(|row| row[0] == run.to_string()).collect();
            prop_assert_eq!(number(of_run[0], 5), times.total);
            let paths: HashSet<_> = of_run.iter().map(|row| &row[1]).collect();
            prop_assert_eq!(paths.len(), of_run.len());
        }
    }

    /// Within a lane, every event lies in the one before it or after that one.
    #[test]
    fn trace_events_nest(runs in vec(trees(), 1..3)) {
        let lanes_drawn = check_trace(&written(|out| write_trace(out, &runs)));
        let n_lanes: usize = runs.iter().map(|times| lanes(times).len()).sum();
        prop_assert_eq!(lanes_drawn.len(), n_lanes);
        for (run, times) in runs.iter().enumerate() {
            prop_assert_eq!(lanes_drawn[&(run as u64, 0)], (1e9 * times.total).round() as u64);
        }
    }

    /// A spread over ranks is what the definition says, absent ranks left out and as 0.
    #[test]
    fn spreads_are_as_defined(values in vec(proptest::option::of(0_u32..50), 1..8)) {
        let rank = |value: &Option<u32>| {
            let stamp = |&cum: &u32| StampTimes { name: "s".to_owned(), cum: cum.into(), ..Default::default() };
            Times { stamps: value.iter().map(stamp).collect(), ..Times::default() }
        };
        let ranks: Vec<Times> = values.iter().map(rank).collect();
        let named: Vec<_> = ranks.iter().enumerate().map(|(n, times)| (n.to_string(), times)).collect();
        let table = rank_table("t", &named);
        prop_assert_eq!(table.rows[0].n_present, values.len());
        let present: Vec<(usize, f64)> = values.iter().enumerate()
            .filter_map(|(rank, value)| Some((rank, (*value)?.into()))).collect();
        let Some(row) = table.rows.get(1) else {
            prop_assert!(present.is_empty());
            return Ok(());
        };
        prop_assert_eq!(row.n_present, present.len());
        prop_assert!(is_spread_of(&row.present, &present), "{:?} {:?}", row, present);
        prop_assert_eq!(row.with_absent.is_some(), present.len() < values.len());
        if let Some(spread) = &row.with_absent {
            let all: Vec<_> = values.iter().map(|value| value.unwrap_or(0).into()).enumerate().collect();
            prop_assert!(is_spread_of(spread, &all), "{:?} {:?}", row, all);
        }
    }

    #[test]
    fn a_run_beside_itself_is_the_same_and_sides_can_be_changed(
        before in trees(),
        after in trees(),
    ) {
        let threshold = Threshold { relative: 0.1, floor_s: 0.01 };
        let (before, after) = ([before], [after]);
        let same = compare_runs(&before, &before, threshold);
        prop_assert!(same.changes.iter().all(|change| change.verdict == Verdict::Same));
        let there = compare_runs(&before, &after, threshold);
        let back = compare_runs(&after, &before, threshold);
        let count = |changes: &[gtimer_core::report::Change], verdict| {
            changes.iter().filter(|change| change.verdict == verdict).count()
        };
        for (one, other) in [(Verdict::Slower, Verdict::Faster), (Verdict::New, Verdict::Gone)] {
            prop_assert_eq!(count(&there.changes, one), count(&back.changes, other));
            prop_assert_eq!(count(&there.changes, other), count(&back.changes, one));
        }
        prop_assert_eq!(there.slower().count(), count(&there.changes, Verdict::Slower));
    }

    /// Whatever a file may hold, nothing panics, and nothing that steers a terminal comes out.
    #[test]
    fn wild_trees_do_no_harm(runs in vec(wild(), 1..3)) {
        let times = &runs[0];
        let mut texts = vec![
            tree(times, &TreeFormat::default()),
            tree(times, &TreeFormat { sort: Sort::Order, min_share: 0.1, workers: Workers::Each }),
            compare_runs(&runs[..1], &runs, Threshold::default()).to_string(),
            written(|out| write_csv(out, &runs)),
            written(|out| write_folded(out, times)),
        ];
        texts.extend((1..4).flat_map(|level| group_tables(times, level)).map(|t| t.to_string()));
        let shown = printable(times);
        for format in [GtimerFormat::default(), GtimerFormat::delimited()] {
            texts.extend([gtimer_report(&shown, &format), gtimer_compare(&shown, &format)]);
        }
        texts.push(gtimer_structure(&shown));
        for text in texts {
            let is_bad = |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
            prop_assert!(!text.contains(is_bad), "{:?}", text);
        }
        check_trace(&written(|out| write_trace(out, &runs)));
    }
}

/// Checks the events; gives the length of each lane, in ns, by process and thread.
fn check_trace(text: &str) -> BTreeMap<(u64, u64), u64> {
    let json: Value = serde_json::from_str(text).expect("is JSON");
    let mut events: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    for event in json["traceEvents"].as_array().expect("is a list") {
        let id = |key: &str| event[key].as_u64().expect("is a number");
        // Microseconds with three decimals; exact up to some years.
        let time = |key: &str| (1000.0 * event[key].as_f64().expect("is a number")).round() as u64;
        if event["ph"] == "X" {
            let (start, length) = (time("ts"), time("dur"));
            events
                .entry((id("pid"), id("tid")))
                .or_default()
                .push((start, start.saturating_add(length)));
        }
    }
    let nest = |events: &mut Vec<(u64, u64)>| {
        // The enclosing one first of those that begin together.
        events.sort_by_key(|&(start, end)| (start, std::cmp::Reverse(end)));
        let mut open: Vec<u64> = Vec::new();
        for &(start, end) in &*events {
            while open.last().is_some_and(|&outer| outer <= start && open.len() > 1) {
                open.pop();
            }
            // Numbers beyond 2^53 ns are not exact in JSON.
            assert!(open.last().is_none_or(|&outer| end <= outer) || end > 1 << 53, "{events:?}");
            open.push(end);
        }
        events[0].1 - events[0].0
    };
    events.iter_mut().map(|(lane, events)| (*lane, nest(events))).collect()
}

fn is_spread_of(spread: &Spread, values: &[(usize, f64)]) -> bool {
    let n = values.len() as f64;
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / n;
    let deviation = values.iter().map(|(_, value)| (value - mean).powi(2)).sum::<f64>() / n;
    let max = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let min = values.iter().map(|(_, value)| *value).fold(max, f64::min);
    let first =
        |value: f64| values.iter().find(|(_, other)| *other == value).map(|(rank, _)| *rank);
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(1.0);
    spread.min == min
        && spread.max == max
        && Some(spread.min_rank) == first(min)
        && Some(spread.max_rank) == first(max)
        && near(spread.mean, mean)
        && near(spread.stdev, deviation.sqrt())
        && near(spread.imbalance, if mean > 0.0 { max / mean - 1.0 } else { 0.0 })
}

fn stamp(name: &str, itrs: &[f64]) -> StampTimes {
    StampTimes {
        name: name.to_owned(),
        cum: itrs.iter().sum(),
        itr_num: itrs.len() as u64,
        itr_max: itrs.iter().copied().fold(0.0, f64::max),
        itr_min: itrs.iter().copied().fold(f64::INFINITY, f64::min),
        itrs: (itrs.len() > 1).then(|| itrs.to_vec()),
        in_loop: itrs.len() > 1,
    }
}

/// A run of 10 s with a loop, a timer below a stamp, and two workers.
fn run() -> Times {
    let load = Times {
        name: "load".to_owned(),
        total: 0.75,
        stamps: vec![stamp("read", &[0.5])],
        ..Times::default()
    };
    let worker = |name: &str, time: f64| Times {
        name: name.to_owned(),
        total: time,
        stamps: vec![stamp("calc", &[time])],
        ..Times::default()
    };
    Times {
        name: "run".to_owned(),
        total: 10.0,
        stamps_sum: 9.0,
        self_agg: 2e-6,
        stamps: vec![
            stamp("input", &[1.0]),
            stamp("step", &[1.0, 2.0, 1.0]),
            stamp("tiny", &[0.0625]),
            stamp("work", &[3.9375]),
        ],
        subdivisions: vec![Subdivisions { position: "input".to_owned(), timers: vec![load] }],
        parallel: vec![ParallelGroup {
            position: "work".to_owned(),
            group: "ranks".to_owned(),
            workers: vec![worker("0", 3.0), worker("1", 3.75)],
        }],
        ..Times::default()
    }
}

#[test]
fn the_tree_shows_what_was_measured() {
    let by_order = TreeFormat { sort: Sort::Order, ..TreeFormat::default() };
    let expected = "\
run: total 10.00 s, in stamps 9.000 s, the timer's own 2.000 µs

                                   inclusive  exclusive   share  calls      mean       min       max      p50      p99
run                                  10.00 s    1.000 s  100.0%
  input                              1.000 s   250.0 ms   10.0%      1   1.000 s   1.000 s   1.000 s
    (load)                          750.0 ms   250.0 ms    7.5%
      read                          500.0 ms   500.0 ms    5.0%      1  500.0 ms  500.0 ms  500.0 ms
      (rest)                        250.0 ms               2.5%
  step                               4.000 s    4.000 s   40.0%      3   1.333 s   1.000 s   2.000 s  1.000 s  2.000 s
  tiny                              62.50 ms   62.50 ms    0.6%      1  62.50 ms  62.50 ms  62.50 ms
  work                               3.938 s    3.938 s   39.4%      1   3.938 s   3.938 s   3.938 s
    [ranks] 2 workers, the greatest:   3.750 s              37.5%
      1                              3.750 s        0 s   37.5%
        calc                         3.750 s    3.750 s   37.5%      1   3.750 s   3.750 s   3.750 s
  (rest)                             1.000 s              10.0%
";
    let squeeze = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(squeeze(&tree(&run(), &by_order)), squeeze(expected));
    // The columns are one below another.
    let text = tree(&run(), &by_order);
    let ends: HashSet<_> = text.lines().filter_map(|line| line.find("% ")).collect();
    assert_eq!(ends.len(), 1, "{text}");
    // The longest first, small ones in one line.
    let folded = TreeFormat { min_share: 0.08, ..TreeFormat::default() };
    let text = tree(&run(), &folded);
    let places = ["\n  step", "\n  work", "\n  input", "\n    (1 smaller)", "\n  (1 smaller)"];
    let places = places.map(|part| text.find(part).expect("is there"));
    assert!(places.is_sorted(), "{text}");
    let each = TreeFormat { workers: Workers::Each, ..by_order };
    assert!(tree(&run(), &each).contains("\n      0 "), "{text}");
}

#[test]
fn the_rank_table_names_ranks_and_says_what_absent_ones_count() {
    let mut times = run();
    times.parallel[0].workers[1].stamps.push(stamp("late", &[1.0]));
    let tables = group_tables(&times, 1);
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].title, ["run", "work", "[ranks]"].join("/"));
    assert_eq!(tables[0].ranks, ["0", "1"]);
    let text = tables[0].to_string();
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "(total) 3.000 s (0) 3.375 s 3.750 s (1) 375.0 ms 11.1% 2 of 2",
        "late 1.000 s (1) 1.000 s 1.000 s (1) 0 s 0.0% 1 of 2",
        "absent as 0 0 s (0) 500.0 ms 1.000 s (1) 500.0 ms 100.0% 2 of 2",
    ] {
        assert!(lines.iter().any(|other| other == line), "{line:?} in\n{text}");
    }
    assert!(group_tables(&times, 2).is_empty());
}

/// Groups within workers: by the outer level, and all inner workers together.
#[test]
fn nested_groups_are_tables_by_level() {
    let inner = run();
    let rank = |name: &str| Times { name: name.to_owned(), ..inner.clone() };
    let outer = ParallelGroup {
        position: "x".to_owned(),
        group: "jobs".to_owned(),
        workers: vec![rank("a"), rank("b")],
    };
    let times = Times { name: "top".to_owned(), parallel: vec![outer], ..Times::default() };
    let outer = group_tables(&times, 1);
    assert_eq!(outer[0].ranks, ["a", "b"]);
    let group = outer[0].rows.iter().find(|row| row.kind == EntryKind::Group).unwrap();
    assert_eq!(group.present.max, 3.75);
    let inner = group_tables(&times, 2);
    assert_eq!(inner.len(), 1);
    assert_eq!(inner[0].title, ["top", "x", "[jobs]", "*", "work", "[ranks]"].join("/"));
    assert_eq!(inner[0].ranks, ["a/0", "a/1", "b/0", "b/1"]);
}

#[test]
fn regressions_need_both_limits() {
    let before = run();
    let mut after = run();
    after.stamps[0].cum = 1.2; // by 20 %
    after.stamps[2].cum = 0.0630; // by little
    after.stamps[1].cum = 2.0; // better
    after.stamps[3].name = "work2".to_owned();
    after.parallel[0].position = "work2".to_owned();
    let verdict = |threshold: Threshold, name: &str| {
        let compared =
            compare_runs(std::slice::from_ref(&before), std::slice::from_ref(&after), threshold);
        compared.changes.iter().find(|change| change.name == name).unwrap().verdict
    };
    let threshold = Threshold::default();
    assert_eq!(verdict(threshold, "input"), Verdict::Slower);
    assert_eq!(verdict(Threshold { relative: 0.25, ..threshold }, "input"), Verdict::Same);
    assert_eq!(verdict(Threshold { floor_s: 0.3, ..threshold }, "input"), Verdict::Same);
    assert_eq!(verdict(threshold, "tiny"), Verdict::Same);
    assert_eq!(verdict(threshold, "step"), Verdict::Faster);
    assert_eq!(verdict(threshold, "work"), Verdict::Gone);
    assert_eq!(verdict(threshold, "work2"), Verdict::New);
    let compared = compare_runs(&[before], &[after], threshold);
    let text = compared.to_string();
    assert!(
        text.contains("1 slower, 1 faster, 6 new, 6 gone (by more than 10.0% and 1.000 ms)"),
        "{text}"
    );
}

/// Workers that no stamp took have nothing beside them: 0 without a sign.
#[test]
fn what_holds_only_workers_takes_no_time() {
    let mut times = run();
    times.parallel[0].position = gtimer_core::UNASSIGNED.to_owned();
    let text = written(|out| write_csv(out, std::slice::from_ref(&times)));
    assert!(text.contains("\n0,run/UNASSIGNED,unassigned,UNASSIGNED,1,0,0,0,,"), "{text}");
}

/// The passes of a loop follow one another, stamp by stamp.
#[test]
fn a_loop_is_drawn_in_passes() {
    let stamps = vec![stamp("a", &[1.0, 2.0]), stamp("b", &[0.5, 0.25])];
    let times = Times { name: "l".to_owned(), total: 4.0, stamps, ..Times::default() };
    let json: Value = serde_json::from_str(&written(|out| write_trace(out, &[times]))).unwrap();
    let drawn: Vec<(String, f64, f64)> = json["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["cat"] == "stamp")
        .map(|event| {
            let number = |key: &str| event[key].as_f64().unwrap() / 1e6;
            (event["name"].as_str().unwrap().to_owned(), number("ts"), number("dur"))
        })
        .collect();
    let expected = [("a", 0.0, 1.0), ("b", 1.0, 0.5), ("a", 1.5, 2.0), ("b", 3.5, 0.25)];
    assert_eq!(drawn, expected.map(|(name, start, length)| (name.to_owned(), start, length)));
}

/// On the small stack of a thread.
#[test]
fn the_deepest_tree_that_is_loaded_is_shown() {
    let times = chain(512);
    assert_eq!(tree(&times, &TreeFormat::default()).matches(" (").count(), 511);
    assert_eq!(gtimer_structure(&times).lines().count(), 513);
    assert!(gtimer_report(&times, &GtimerFormat::default()).len() > 512);
    assert_eq!(written(|out| write_folded(out, &times)).lines().count(), 1);
    assert_eq!(written(|out| write_csv(out, std::slice::from_ref(&times))).lines().count(), 1024);
    check_trace(&written(|out| write_trace(out, std::slice::from_ref(&times))));
    let same = compare_runs(
        std::slice::from_ref(&times),
        std::slice::from_ref(&times),
        Threshold::default(),
    );
    assert_eq!(same.changes.len(), 1023);
    drop(times.clone());
}
