//! Trees of times that a timer could have measured, for properties.

#![allow(dead_code, reason = "each test program uses a part of it")]

use gtimer_core::{ParallelGroup, StampTimes, Subdivisions, Times, UNASSIGNED};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run; a failing one is printed and needs no file to be seen again.
pub(crate) fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        cases: n,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Names with all that a format could stumble over.
pub(crate) fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "[a-z]{30}",
        Just("two words".to_owned()),
        Just("a;b,c\"d'e/f\\g".to_owned()),
        Just("\u{1b}[31mred\nline\ttab".to_owned()),
        Just("é 語 \u{202e}x".to_owned()),
        Just(String::new()),
    ]
}

/// Seconds, as sums of which nothing is lost: multiples of 1/1024.
fn seconds() -> impl Strategy<Value = f64> {
    (0_u32..4096).prop_map(|n| f64::from(n) / 1024.0)
}

/// A well-formed tree: siblings have different names, totals hold what is below.
pub(crate) fn trees() -> impl Strategy<Value = Times> {
    let leaf = timer(Just(Vec::new()).boxed());
    leaf.prop_recursive(4, 40, 3, |inner| timer(vec(inner, 0..3).boxed())).prop_map(|mut times| {
        times.position = None;
        times
    })
}

fn timer(inner: BoxedStrategy<Vec<Times>>) -> BoxedStrategy<Times> {
    let stamp = (names(), vec(seconds(), 1..4), any::<bool>(), inner.clone(), inner.clone());
    let head = (names(), seconds(), any::<bool>(), any::<bool>());
    (head, vec(stamp, 0..4), inner)
        .prop_map(|((name, rest, running, save_itrs), stamps, unassigned)| {
            let mut times = Times { name, running, save_itrs, total: rest, ..Times::default() };
            for (at, (name, mut itrs, is_kept, timers, workers)) in stamps.into_iter().enumerate() {
                let position = format!("{at}{name}");
                itrs[0] += timers.iter().map(|timer| timer.total).sum::<f64>();
                let nonzero = itrs.iter().copied().filter(|&value| value != 0.0);
                let n_counted = if is_kept { nonzero.clone().count() } else { itrs.len() };
                let cum: f64 = itrs.iter().sum();
                times.stamps.push(StampTimes {
                    name: position.clone(),
                    cum,
                    itr_num: n_counted as u64,
                    itr_max: itrs.iter().copied().fold(0.0, f64::max),
                    itr_min: nonzero.reduce(f64::min).unwrap_or(0.0),
                    itrs: is_kept.then_some(itrs),
                    in_loop: is_kept,
                });
                times.stamps_sum += cum;
                times.total += cum;
                place(&mut times, &position, timers, workers);
            }
            times.total += unassigned.iter().map(|timer| timer.total).sum::<f64>();
            place(&mut times, UNASSIGNED, unassigned, Vec::new());
            times
        })
        .boxed()
}

fn place(times: &mut Times, position: &str, timers: Vec<Times>, workers: Vec<Times>) {
    let named = |all: Vec<Times>| -> Vec<Times> {
        let name = |(at, times): (usize, Times)| Times {
            name: format!("{}{at}", times.name),
            position: Some(position.to_owned()),
            ..times
        };
        all.into_iter().enumerate().map(name).collect()
    };
    let position = position.to_owned();
    if !timers.is_empty() {
        let timers = named(timers);
        times.subdivisions.push(Subdivisions { position: position.clone(), timers });
    }
    if !workers.is_empty() {
        let group = "workers".to_owned();
        times.parallel.push(ParallelGroup { position, group, workers: named(workers) });
    }
}

/// A tree of any numbers and any names, also of one name twice: such as a file may hold.
pub(crate) fn wild() -> impl Strategy<Value = Times> {
    let number = || prop_oneof![any::<f64>(), seconds(), Just(f64::NAN), Just(f64::INFINITY)];
    let name = || prop_oneof![names(), Just("a".to_owned()), Just(UNASSIGNED.to_owned())];
    let stamp = (name(), number(), 0_u64..3, number(), number(), any::<bool>()).prop_map(
        move |(name, cum, itr_num, itr_max, itr_min, is_kept)| {
            let itrs = is_kept.then(|| vec![itr_max, itr_min]);
            StampTimes { name, cum, itr_num, itr_max, itr_min, itrs, in_loop: is_kept }
        },
    );
    let head = (name(), number(), number(), number(), any::<bool>());
    let leaf = (head, vec(stamp, 0..4)).prop_map(|((name, a, b, c, running), stamps)| Times {
        name,
        total: a,
        stamps_sum: b,
        self_agg: c,
        running,
        stamps,
        ..Times::default()
    });
    leaf.clone().prop_recursive(3, 30, 3, move |inner| {
        let below = vec((name(), name(), vec(inner, 0..3), any::<bool>()), 0..3);
        (leaf.clone(), below).prop_map(|(mut times, below)| {
            for (position, group, timers, is_parallel) in below {
                if is_parallel {
                    times.parallel.push(ParallelGroup { position, group, workers: timers });
                } else {
                    times.subdivisions.push(Subdivisions { position, timers });
                }
            }
            times
        })
    })
}

/// A chain of timers, each the only one below the one before, `depth` in all.
pub(crate) fn chain(depth: usize) -> Times {
    let mut times = Times { name: "end".to_owned(), total: 1.0, ..Times::default() };
    for level in 1..depth {
        let stamp = StampTimes { name: "s".to_owned(), cum: 1.0, itr_num: 1, ..Default::default() };
        let below = Subdivisions { position: "s".to_owned(), timers: vec![times] };
        times = Times {
            name: level.to_string(),
            total: 1.0,
            stamps_sum: 1.0,
            stamps: vec![stamp],
            subdivisions: vec![below],
            ..Times::default()
        };
    }
    times
}
