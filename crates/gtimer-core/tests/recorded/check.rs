//! One recorded run on the timer: everything that came out beside everything that should have.

use gtimer_core::Times;
use gtimer_core::report::{GtimerFormat, gtimer_compare, gtimer_report, gtimer_structure};

use super::driver::{Machine, run};
use super::engine::Engine;
use super::program::{Run, Text, parse};

/// Replays the run that a file's text describes: its name, and where it differs, one line each.
///
/// # Errors
///
/// When the text is no recorded run: what is wrong with it.
pub(crate) fn replay(text: &str) -> Result<(String, Vec<String>), String> {
    let recorded = parse(text)?;
    let faults = differences(&recorded);
    Ok((recorded.id, faults))
}

fn differences(recorded: &Run) -> Vec<String> {
    let mut engine = Engine::recorded();
    let outcome = run(&mut engine, &recorded.steps);
    let mut faults = outcome.faults;
    for (name, expected) in &recorded.snapshots {
        match outcome.snapshots.iter().find(|(other, _)| other == name) {
            Some((_, found)) => {
                expected.differences(found, &format!("snapshot {name:?}"), &mut faults);
            }
            None => faults.push(format!("snapshot {name:?} is expected, but was not taken")),
        }
    }
    for (name, _) in &outcome.snapshots {
        if !recorded.snapshots.iter().any(|(other, _)| other == name) {
            faults.push(format!("snapshot {name:?} was taken, but is not expected"));
        }
    }
    let last = engine.times();
    recorded.last.differences(&Engine::tree(&last), "final", &mut faults);
    // The texts are of the tree that was read, whether or not the timer ran on.
    let read = Times { running: false, ..last };
    for (text, expected) in &recorded.texts {
        faults.extend(line_difference(text.key(), expected, &written(*text, &read)));
    }
    faults
}

fn written(text: Text, times: &Times) -> String {
    match text {
        Text::Structure => gtimer_structure(times),
        Text::Report => gtimer_report(times, &GtimerFormat::default()),
        Text::ReportDelimited => gtimer_report(times, &GtimerFormat::delimited()),
        Text::Compare => gtimer_compare(times, &GtimerFormat::default()),
        Text::CompareDelimited => gtimer_compare(times, &GtimerFormat::delimited()),
    }
}

/// The first line in which a text differs.
fn line_difference(what: &str, expected: &[String], found: &str) -> Option<String> {
    let mut found: Vec<&str> = found.split('\n').collect();
    // A last line end makes no further line of its own, where the recording has none.
    if found.len() == expected.len() + 1 && found.last() == Some(&"") {
        found.pop();
    }
    for (i, line) in expected.iter().enumerate() {
        let number = i + 1;
        match found.get(i) {
            Some(other) if other == line => {}
            Some(other) => {
                return Some(format!("{what}, line {number}: should be {line:?}, is {other:?}"));
            }
            None => {
                return Some(format!("{what}, line {number}: should be {line:?}, is not there"));
            }
        }
    }
    let surplus = found.get(expected.len())?;
    Some(format!("{what}, line {}: should not be there, is {surplus:?}", expected.len() + 1))
}
