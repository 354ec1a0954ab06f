//! Random programs of operations on the timer and on the model of gtimer: the same tree, the same
//! returned values, the same refusals, and a timer that goes on working after each of them.

mod model;
mod recorded;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::Model;
use model::programs::program;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestCaseResult, TestRunner};
use recorded::driver::{Machine, Outcome, run};
use recorded::engine::Engine;
use recorded::program::{Op, StampArgs, Step};
use recorded::tree::Tree;

/// Numbers that a program is made from. Long lists make deep programs.
fn choices() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u32>(), 0..60),
        2 => prop::collection::vec(any::<u32>(), 0..300),
        1 => prop::collection::vec(any::<u32>(), 0..1200),
    ]
}

/// The same programs at every run; a failure is made small before it is shown.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    })
}

/// Whether a timer can be used is shown by using it: alone, and below what is there.
fn still_usable(machine: &mut impl Machine) -> Result<(), &'static str> {
    machine.reset_root()?;
    machine.advance(0.5);
    machine.stamp("usable", StampArgs::default())?;
    machine.subdivide(&recorded::program::Entry { name: "below".into(), ..Default::default() })?;
    machine.advance(0.25);
    machine.end_subdivision()?;
    machine.stop(Some("end"), StampArgs::default())?;
    Ok(())
}

fn all<M: Machine>(machine: &mut M, steps: &[Step]) -> (Outcome<M::Saved>, Tree, Tree) {
    let outcome = run(machine, steps);
    let times = machine.times();
    let last = M::tree(&times);
    still_usable(machine).expect("a timer can always be reset and used");
    let after = machine.times();
    (outcome, last, M::tree(&after))
}

/// What is documented, by guards; and what was recorded, by calls.
fn agree(choices: &[u32]) -> TestCaseResult {
    let steps = program(choices);
    agree_on(&steps, &mut Model::new(), &mut Engine::new())?;
    agree_on(&steps, &mut Model::recorded(), &mut Engine::recorded())
}

fn agree_on(steps: &[Step], model: &mut Model, engine: &mut Engine) -> TestCaseResult {
    let (model, expected, after) = all(model, steps);
    let (engine, found, found_after) = all(engine, steps);
    for (expected, found) in model.events.iter().zip(&engine.events) {
        if expected != found {
            let message = format!("should be {expected:?}, is {found:?}\n{steps:?}");
            return Err(TestCaseError::fail(message));
        }
    }
    prop_assert_eq!(model.events.len(), engine.events.len());
    let mut lines = Vec::new();
    for ((name, expected), (_, found)) in model.snapshots.iter().zip(&engine.snapshots) {
        expected.differences(found, name, &mut lines);
    }
    expected.differences(&found, "final", &mut lines);
    after.differences(&found_after, "after a reset", &mut lines);
    if !lines.is_empty() {
        return Err(TestCaseError::fail(format!("{}\n{steps:?}", lines.join("\n"))));
    }
    Ok(())
}

/// So many cases, or `PROPTEST_CASES` where that is less: memory that is watched is slow.
fn at_most(cases: u32) -> u32 {
    let limit = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    limit.unwrap_or(cases).min(cases)
}

#[test]
fn the_timer_does_what_the_model_does() {
    runner(at_most(6000))
        .run(&choices(), |choices| agree(&choices))
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Programs that are all refused, or all flat, would prove little.
#[test]
fn the_programs_reach_every_refusal_and_lie_deep() {
    let reached = RefCell::new((BTreeMap::<&str, usize>::new(), 0, 0));
    let check = |choices: Vec<u32>| {
        let (outcome, last, _) = all(&mut Model::new(), &program(&choices));
        let (refusals, accepted, deepest) = &mut *reached.borrow_mut();
        for event in outcome.events {
            match event.answer {
                Ok(_) => *accepted += 1,
                Err(kind) => *refusals.entry(kind).or_default() += 1,
            }
        }
        *deepest = depth(&last).max(*deepest);
        Ok(())
    };
    runner(1000).run(&choices(), check).unwrap_or_else(|e| panic!("{e}"));
    let (refusals, accepted, deepest) = reached.into_inner();
    for kind in [
        "StoppedError",
        "PausedError",
        "UniqueNameError",
        "LoopError",
        "StartError",
        "BackdateError",
        "GTimerError",
        "AssertionError",
        "TypeError",
    ] {
        assert!(refusals.get(kind).is_some_and(|&n| n >= 10), "{kind}: {refusals:?}");
    }
    let refused: usize = refusals.values().sum();
    assert!(accepted > refused, "{accepted} accepted, {refused} refused");
    assert!(deepest >= 8, "the deepest tree has {deepest} levels");
}

fn depth(tree: &Tree) -> usize {
    let below = tree.subdivisions.iter().flat_map(|(_, timers)| timers);
    let workers = tree.parallel.iter().flat_map(|(.., workers)| workers);
    1 + below.chain(workers).map(depth).max().unwrap_or(0)
}

/// Puts a snapshot before and after every operation.
fn watched(steps: Vec<Step>) -> Vec<Step> {
    let snapshot = || Step::from(Op::Snapshot("watch".to_owned()));
    let watch = |mut step: Step| {
        match &mut step.op {
            Op::Call(_, body) => *body = watched(std::mem::take(body)),
            Op::Loop(spec) => {
                for pass in &mut spec.iterations {
                    *pass = watched(std::mem::take(pass));
                }
            }
            _ => {}
        }
        [snapshot(), step, snapshot()]
    };
    steps.into_iter().flat_map(watch).collect()
}

/// Also a timer that runs can be read at any depth, and reading changes nothing.
#[test]
fn a_refused_operation_changes_nothing() {
    let check = |choices: Vec<u32>| {
        let steps = watched(program(&choices));
        let outcome = run(&mut Engine::new(), &steps);
        for event in &outcome.events {
            if event.is_leaf && event.answer.is_err() {
                let mut lines = Vec::new();
                let (_, before) = &outcome.snapshots[event.n_snapshots - 1];
                before.differences(&outcome.snapshots[event.n_snapshots].1, "times", &mut lines);
                prop_assert!(lines.is_empty(), "{event:?}: {}\n{steps:?}", lines.join("\n"));
            }
        }
        Ok(())
    };
    runner(at_most(400)).run(&choices(), check).unwrap_or_else(|e| panic!("{e}"));
}

/// For as many seconds as `POLYCHRON_SOAK_S` says, with programs that differ every time; without
/// it, a further 500 that are always the same.
#[test]
fn the_timer_does_what_the_model_does_for_as_long_as_asked() {
    let asked = std::env::var("POLYCHRON_SOAK_S").ok().and_then(|s| s.parse().ok());
    let end = asked.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut config = runner(at_most(500)).config().clone();
    config.rng_seed = match end {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(500),
    };
    loop {
        let mut runner = TestRunner::new(config.clone());
        runner.run(&choices(), |c| agree(&c)).unwrap_or_else(|e| panic!("{e}"));
        if end.is_none_or(|end| Instant::now() >= end) {
            break;
        }
    }
}
