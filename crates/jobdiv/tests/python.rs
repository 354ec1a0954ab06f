//! The strided and the contiguous division against what Python 3.11.7 and numpy 1.26.4 make of
//! them; see `data/README.md`.

use jobdiv::{Blocks, Job};
use serde_json::Value;

fn record() -> Value {
    let record: Value = serde_json::from_str(include_str!("data/python_divisions.json"))
        .expect("the record is whole");
    assert_eq!(record["numpy"], "1.26.4");
    record
}

fn cases<'a>(record: &'a Value, field: &str) -> &'a [Value] {
    let cases = record[field].as_array().expect(field);
    assert!(cases.len() > 10, "{field}");
    cases
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a whole number")
}

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(number).collect()
}

#[test]
fn strided_lists_what_range_lists() {
    let record = record();
    for case in cases(&record, "strided") {
        let (n_tasks, n_jobs) = (number(&case["n_tasks"]), number(&case["n_jobs"]));
        let ours: Vec<Vec<usize>> =
            Job::all(n_jobs).unwrap().map(|job| job.strided(n_tasks).collect()).collect();
        let theirs: Vec<Vec<usize>> =
            case["jobs"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(ours, theirs, "{n_tasks} tasks, {n_jobs} jobs");
    }
}

/// Up to `n_tasks = 2^64 - 1`, among as many jobs.
#[test]
fn strided_has_the_length_and_members_of_long_ranges() {
    let record = record();
    for case in cases(&record, "strided_spots") {
        let (n_tasks, n_jobs) = (number(&case["n_tasks"]), number(&case["n_jobs"]));
        let job = Job::new(number(&case["idx"]), n_jobs).unwrap();
        let tasks = job.strided(n_tasks);
        assert_eq!(tasks.len(), number(&case["len"]), "{case}");
        for at in case["at"].as_array().unwrap() {
            let (k, task) = (number(&at[0]), number(&at[1]));
            assert_eq!(tasks.clone().nth(k), Some(task), "{case}");
            assert_eq!(tasks.clone().nth_back(tasks.len() - 1 - k), Some(task), "{case}");
        }
    }
}

#[test]
fn blocks_are_those_of_array_split() {
    let record = record();
    for case in cases(&record, "blocks") {
        let (n_tasks, n_jobs) = (number(&case["n_tasks"]), number(&case["n_jobs"]));
        let ours: Vec<Vec<usize>> =
            Job::all(n_jobs).unwrap().map(|job| job.block(n_tasks).collect()).collect();
        let theirs: Vec<Vec<usize>> =
            case["jobs"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(ours, theirs, "{n_tasks} tasks, {n_jobs} jobs");
    }
}

/// Up to `n_tasks = 2^63 - 1`, the longest array that numpy can have.
#[test]
fn blocks_have_the_lengths_of_array_split() {
    let record = record();
    for case in cases(&record, "blocks_lens") {
        let (n_tasks, n_jobs) = (number(&case["n_tasks"]), number(&case["n_jobs"]));
        let ours: Vec<usize> =
            Blocks::new(n_tasks, n_jobs).unwrap().iter().map(|block| block.len()).collect();
        assert_eq!(ours, numbers(&case["lens"]), "{n_tasks} tasks, {n_jobs} jobs");
    }
}
