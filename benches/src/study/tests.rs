use std::cell::RefCell;
use std::rc::Rc;

use super::clock::Took;
use super::engine::Turn;
use super::*;

/// Counts on: who had a turn, in order.
type Log = Rc<RefCell<Vec<&'static str>>>;

struct Counter {
    name: &'static str,
    log: Log,
    answer: u64,
    n_checked: Rc<RefCell<usize>>,
}

impl Engine<u64> for Counter {
    fn made(&self) -> String {
        "by hand".to_owned()
    }

    fn load(&mut self, _: &mut u64) -> anyhow::Result<bool> {
        Ok(self.name != "absent")
    }

    fn turn(&mut self, _: &mut u64) -> anyhow::Result<Turn> {
        self.log.borrow_mut().push(self.name);
        let took = Took { cpu_s: 0.5, wall_s: 1.0 };
        Ok(Turn { took, digest: self.answer })
    }

    fn verify(&mut self, right: &mut u64) -> anyhow::Result<()> {
        *self.n_checked.borrow_mut() += 1;
        ensure!(self.answer == *right, "{} is wrong", self.answer);
        Ok(())
    }
}

struct One;

impl Workload for One {
    type Input = u64;

    fn name(&self) -> String {
        "one".to_owned()
    }

    fn about(&self) -> String {
        "the number 1".to_owned()
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn is_test(&self) -> bool {
        true
    }

    fn prepare(&self, _: &Place) -> anyhow::Result<u64> {
        Ok(1)
    }
}

fn options(line: &str) -> Options {
    Options::of(line.split_whitespace().map(str::to_owned)).unwrap()
}

/// A study of engines that give these answers, the last of them in every other round.
fn study(log: &Log, n_checked: &Rc<RefCell<usize>>, answers: &[(&'static str, u64)]) -> Study<One> {
    let entrants = answers
        .iter()
        .enumerate()
        .map(|(idx, &(name, answer))| {
            let (log, n_checked) = (Rc::clone(log), Rc::clone(n_checked));
            let start: engine::Start<u64> = Box::new(move |_| {
                Ok(match name {
                    "lacking" => Started::Skipped("it is not there".to_owned()),
                    _ => Started::Ready(Box::new(Counter { name, log, answer, n_checked })),
                })
            });
            let side = if idx == 0 { Side::Ours } else { Side::Peer };
            let every = if idx + 1 == answers.len() { 2 } else { 1 };
            Entrant { name: name.to_owned(), side, group: "g".to_owned(), every, start }
        })
        .collect();
    Study {
        name: "test",
        title: "A test",
        question: "Does it count?",
        unit: "per turn",
        measure: Measure::Cpu,
        method: "By counting.",
        entrants,
        workloads: vec![One],
        rounds: (4, 2),
        notes: |_, _| vec!["A note.".to_owned()],
    }
}

fn place() -> Place {
    let why = Err("it is a test".to_owned());
    let (scratch, sources) = (PathBuf::new(), PathBuf::new());
    Place { scratch, sources, python: why.clone(), command: why, is_test: false }
}

fn measured(line: &str, answers: &[(&'static str, u64)]) -> (anyhow::Result<Results>, Log, usize) {
    let (log, n_checked) = (Log::default(), Rc::default());
    let study = study(&log, &n_checked, answers);
    let results = measure(study, &options(line), &place(), Machine::here(None));
    let n_checked = *n_checked.borrow();
    (results, log, n_checked)
}

#[test]
fn engines_take_turns_and_another_one_begins_each_round() {
    let (results, log, n_checked) = measured("--bench", &[("a", 1), ("b", 1), ("c", 1)]);
    // All once for the answer; then four rounds, of which `c` has the second and the last.
    let expected = "a b c  b a  c a b  a b  b c a";
    assert_eq!(*log.borrow(), expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(n_checked, 3, "an answer that was right is not checked again");
    let results = results.unwrap();
    assert_eq!(results.samples.iter().filter(|s| s.round == 0).count(), 3);
    let time = results.time("one", "a", Measure::Wall).unwrap();
    assert_eq!((time.n, time.median), (4, 1.0));
    assert_eq!(results.ratio("one", "c", "a").unwrap().n, 2);
}

#[test]
fn a_wrong_answer_ends_the_study_before_a_time_counts() {
    let (results, log, _) = measured("--bench", &[("a", 1), ("b", 7), ("c", 1)]);
    let error = format!("{:#}", results.unwrap_err());
    assert_eq!(error, "workload one: b: 7 is wrong");
    assert_eq!(*log.borrow(), ["a", "b"]);
}

#[test]
fn engines_that_are_not_to_be_had_are_skipped_by_name() {
    let (results, log, _) = measured("--bench", &[("a", 1), ("lacking", 1), ("absent", 1)]);
    let results = results.unwrap();
    let why = "it is not there".to_owned();
    let lacking = Skipped { name: "lacking".to_owned(), side: Side::Peer, why };
    assert_eq!(results.skipped, [lacking]);
    assert!(log.borrow().iter().all(|name| *name == "a"), "absent has no part in this workload");
    let readme = report::readme(&results, &[], "2026-01-01", &options("--bench"));
    assert!(readme.contains("| `lacking` | skipped: it is not there |"), "{readme}");
}

#[test]
fn as_a_test_every_answer_is_checked_once() {
    let (results, log, n_checked) = measured("", &[("a", 1), ("b", 1)]);
    assert_eq!((results.unwrap().samples.len(), log.borrow().len(), n_checked), (2, 2, 2));
    assert!(measured("", &[("a", 2)]).0.is_err());
}

#[test]
fn a_workload_that_is_not_there_is_an_error() {
    let (results, _, _) = measured("--bench two", &[("a", 1)]);
    assert_eq!(results.unwrap_err().to_string(), "no workload is called like two");
}

#[test]
fn a_record_says_all_that_is_needed() {
    let (results, _, _) = measured("--bench --record", &[("a", 1), ("b", 1)]);
    let results = results.unwrap();
    let notes = ["A note.".to_owned()];
    let readme = report::readme(&results, &notes, "2026-01-01", &options("--bench --record"));
    for part in [
        "# A test\n\nDoes it count?",
        "`b` takes 1.00 times as long as `a` on one",
        "- A note.",
        "| one | 500 ms [500 ms, 500 ms] | 500 ms | **1.00** [1.00, 1.00] |",
        "| `a` | by hand |",
        "| one | the number 1 |",
        "| kernel |",
        "Made by `cargo xtask bench test --record`.",
    ] {
        assert!(readme.contains(part), "'{part}' is not in\n{readme}");
    }
    let plot = plot::document(&results);
    assert!(plot.starts_with("<svg") && plot.ends_with("</svg>\n"));
    for part in [">one<", ">a<", ">b<", "time on the processor, per turn", "500 ms", ">1.00<"] {
        assert!(plot.contains(part), "'{part}' is not in the picture");
    }
}

/// The times that the fake engines tell are all the same; ours can be made slower.
fn slower(results: &Results, factor: f64) -> Results {
    let mut results = results.clone();
    for sample in results.samples.iter_mut().filter(|sample| sample.side == Side::Ours) {
        sample.cpu_s *= factor;
    }
    results
}

#[test]
fn a_record_on_disk_is_checked_against() {
    let dir = tempfile::tempdir().unwrap();
    let all = dir.path().join("bench");
    let options = options("--bench --record");
    let log = Log::default();
    let mut study = study(&log, &Rc::default(), &[("a", 1), ("b", 1), ("c", 1)]);
    study.rounds.0 = 9;
    let results = measure(study, &options, &place(), Machine::here(None)).unwrap();
    let error = check(&all, &results).unwrap_err().to_string();
    assert!(error.contains("no record of test on"), "{error}");

    let out = write(&all, &results, &[], &options).unwrap();
    for name in ["README.md", "raw.csv", "plot.svg"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    assert!(!check(&all, &results).unwrap());
    assert!(!check(&all, &slower(&results, 1.05)).unwrap());
    assert!(check(&all, &slower(&results, 1.3)).unwrap());

    // Again on the same day: the same folder, with the new times.
    write(&all, &slower(&results, 1.3), &[], &options).unwrap();
    assert!(!check(&all, &slower(&results, 1.3)).unwrap());
    std::fs::write(out.join("raw.csv"), "nonsense\n").unwrap();
    assert!(check(&all, &results).unwrap_err().to_string().contains("begins with 'nonsense'"));
}
