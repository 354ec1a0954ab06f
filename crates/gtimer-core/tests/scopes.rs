//! Scopes in which nothing happens take a way of their own; what is measured is the same.

use gtimer_core::{
    Clock, FakeClock, Scope, Settings, StampOptions, SubdivideOptions, Timer, TimerError, Times,
    name, stamp, subdivision, thread,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// A clock on which a stamp costs something, as on a real one.
#[derive(Clone, Debug, Default)]
struct Costly(FakeClock);

const COST: u64 = 1 << 20;

impl Clock for Costly {
    fn ticks(&self) -> u64 {
        self.0.ticks()
    }

    fn ticks_per_second(&self) -> f64 {
        self.0.ticks_per_second()
    }

    fn stamp_cost(&self) -> u64 {
        COST
    }
}

/// One thing that may happen in a scope.
#[derive(Clone, Debug)]
enum Step {
    Scope(usize, Vec<Step>),
    Stamp(usize),
    /// A stamp that drops what awaits its position.
    Drop(usize),
    Blank(bool),
    Attach(usize),
    Look,
    Reset,
    Unique(bool),
    Exact(bool),
    Registered(usize),
}

/// More names than there are places for them, so that some share one.
const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly few names, so that they come again.
    let which = || prop_oneof![4 => 0..3_usize, 1 => 0..NAMES.len()];
    let leaf = prop_oneof![
        12 => which().prop_map(|name| Step::Scope(name, Vec::new())),
        3 => which().prop_map(Step::Stamp),
        1 => which().prop_map(Step::Drop),
        1 => any::<bool>().prop_map(Step::Blank),
        1 => which().prop_map(Step::Attach),
        1 => Just(Step::Look),
        1 => Just(Step::Reset),
        1 => any::<bool>().prop_map(Step::Unique),
        1 => any::<bool>().prop_map(Step::Exact),
        1 => which().prop_map(Step::Registered),
    ];
    let step = leaf.prop_recursive(4, 200, 12, move |inner| {
        (which(), prop::collection::vec(inner, 0..12))
            .prop_map(|(name, steps)| Step::Scope(name, steps))
    });
    prop::collection::vec(step, 0..40)
}

/// What is refused changes nothing, in both.
fn refused<T>(_: Result<T, TimerError>) {}

/// What was seen on the way, and whether something is done in every scope.
struct Run {
    clock: FakeClock,
    wakes: bool,
    seen: Vec<Times>,
}

impl Run {
    fn scope(&mut self, mut scope: Scope<'_, Costly>, steps: &[Step]) {
        if self.wakes {
            // Changes nothing, but has a scope to do it in.
            let settings = scope.settings();
            scope.set_settings(settings);
        }
        self.clock.advance(0.25);
        if steps.is_empty() {
            return;
        }
        self.all(&mut scope, steps);
        self.clock.advance(0.125);
    }

    fn all(&mut self, timer: &mut Timer<Costly>, steps: &[Step]) {
        for step in steps {
            self.clock.advance(1.0);
            match *step {
                Step::Scope(name, ref steps) => self.scope(timer.scope(NAMES[name]), steps),
                Step::Stamp(name) => refused(timer.stamp(NAMES[name])),
                Step::Drop(name) => {
                    let keep_subdivisions = Some(false);
                    let drops = StampOptions { keep_subdivisions, ..StampOptions::default() };
                    refused(timer.stamp_with(NAMES[name], drops));
                }
                Step::Blank(keep) => {
                    let keep_subdivisions = Some(keep);
                    refused(timer.blank_stamp(StampOptions {
                        keep_subdivisions,
                        ..StampOptions::default()
                    }));
                }
                Step::Attach(name) => {
                    let other = Times { name: NAMES[name].into(), total: 1.0, ..Times::default() };
                    refused(timer.attach_subdivision(&other));
                }
                Step::Look => self.seen.push(timer.times()),
                Step::Reset => refused(timer.reset()),
                Step::Unique(unique) => timer.set_settings(Settings { unique, ..timer.settings() }),
                Step::Exact(exact) => timer.set_exact_self_time(exact),
                Step::Registered(name) => {
                    let registered = vec![name!("registered")];
                    let options = SubdivideOptions { registered, ..SubdivideOptions::default() };
                    self.scope(timer.scope_with(NAMES[name], options), &[]);
                }
            }
        }
    }
}

fn seen(steps: &[Step], wakes: bool) -> Vec<Times> {
    let clock = FakeClock::new();
    let mut timer = Timer::with_clock("root", Costly(clock.clone()));
    let mut run = Run { clock, wakes, seen: Vec::new() };
    run.all(&mut timer, steps);
    run.seen.push(timer.times());
    timer.stop().expect("it runs");
    run.seen.push(timer.times());
    run.seen
}

#[test]
fn a_scope_in_which_nothing_happens_is_timed_as_one_in_which_something_does() {
    let config = Config {
        // Fewer where memory is watched, which is slow.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000),
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..Config::default()
    };
    let check = |steps: Vec<Step>| {
        prop_assert_eq!(seen(&steps, false), seen(&steps, true), "{:?}", steps);
        Ok(())
    };
    TestRunner::new(config).run(&steps(), check).unwrap_or_else(|e| panic!("{e}"));
}

/// A timer and its clock, where a scope of the name "f" has ended once.
fn with_f() -> (Timer<FakeClock>, FakeClock) {
    let clock = FakeClock::new();
    let mut timer = Timer::with_clock("root", clock.clone());
    drop(timer.scope("f"));
    (timer, clock)
}

#[test]
fn a_scope_in_which_nothing_happens_can_be_looked_at() {
    let (mut timer, clock) = with_f();
    let scope = timer.scope("f");
    clock.advance(2.0);
    assert_eq!((scope.focus().as_str(), scope.depth()), ("f", 1));
    assert!(!scope.awaits("f") && !scope.is_stopped() && !scope.is_paused());
    let times = scope.times();
    assert_eq!(times.subdivisions[0].timers[0].total, 2.0);
    drop(scope);
    assert_eq!((timer.focus().as_str(), timer.depth()), ("root", 0));
    assert!(timer.awaits("f"));
}

#[test]
#[expect(clippy::mem_forget, reason = "a caller may do so")]
fn a_scope_whose_guard_is_forgotten_stays_open() {
    let (mut timer, clock) = with_f();
    std::mem::forget(timer.scope("f"));
    clock.advance(1.0);
    timer.stamp("inside").expect("it runs");
    assert_eq!((timer.focus().as_str(), timer.depth()), ("f", 1));
    timer.reset_root();
    clock.advance(1.0);
    timer.stamp("outside").expect("it runs");
    assert_eq!(timer.times().stamps[0].name, "outside");
}

#[test]
fn guards_of_a_thread_may_be_dropped_in_any_order() {
    std::thread::spawn(|| {
        let depth = || thread::with(|timer| timer.depth()).expect("nobody is at work");
        for _ in 0..3 {
            drop(subdivision!("f"));
            let f = subdivision!("f");
            drop(subdivision!("g"));
            let g = subdivision!("g");
            assert_eq!(depth(), 2);
            drop(f);
            assert_eq!(depth(), 0, "what is open in it ends with it");
            let again = subdivision!("f");
            drop(g);
            assert_eq!(depth(), 1, "the guard of what has ended ends nothing");
            drop(again);
            stamp!("s", StampOptions::ADD).expect("it runs");
        }
        let f = &thread::times().subdivisions[0].timers[0];
        assert_eq!((f.name.as_str(), f.subdivisions[0].timers[0].name.as_str()), ("f", "g"));
    })
    .join()
    .expect("nothing panicked");
}
