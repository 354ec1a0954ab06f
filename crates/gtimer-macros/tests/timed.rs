//! What `#[timed]` does to functions of all kinds; what it refuses is in its documentation.

#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use gtimer_core as renamed;
use gtimer_core::{Times, stamp, thread, timed};

/// The subdivisions that `body` leaves at the stamp after it, on a timer of its own.
fn timers(body: impl FnOnce() + Send + 'static) -> Vec<Times> {
    let run = move || {
        body();
        assert_eq!(
            thread::with(|timer| timer.depth()).expect("the timer runs"),
            0,
            "the focus did not come back"
        );
        stamp!("here").expect("the timer runs");
        thread::times().subdivisions.into_iter().flat_map(|at| at.timers).collect()
    };
    // A thread has a timer of its own.
    std::thread::spawn(run).join().expect("the timer runs")
}

fn names(timers: &[Times]) -> Vec<&str> {
    timers.iter().map(|times| times.name.as_str()).collect()
}

#[timed]
fn plain(n: u32) -> u32 {
    stamp!("inside").expect("the timer runs");
    n + 1
}

#[timed(name = "named otherwise")]
fn named() {}

#[timed(subdivide = false)]
fn passed_through() -> usize {
    thread::with(|timer| timer.depth()).expect("the timer runs")
}

#[timed(crate = renamed)]
fn by_another_path() {}

#[timed(crate = self::renamed, rgstr_stamps = ["left out"], save_itrs = true,)]
fn with_everything() {}

#[timed]
fn r#loop() {}

#[timed]
fn fails(text: &str) -> Result<u32, std::num::ParseIntError> {
    let number: u32 = text.parse()?;
    stamp!("parsed").expect("the timer runs");
    Ok(number)
}

#[timed]
fn returns_early(early: bool) -> u32 {
    if early {
        return 1;
    }
    2
}

#[timed]
fn panics() {
    let _inner = thread::subdivision("inner");
    panic!("on purpose");
}

#[timed]
fn generic<T, const N: usize>(items: &[T; N]) -> Vec<T>
where
    T: Clone,
{
    items.to_vec()
}

#[timed]
fn borrows<'a>(text: &'a str, _: &str) -> &'a str {
    text.trim()
}

#[timed]
fn recursive(n: u32) -> u32 {
    if n == 0 { 0 } else { 1 + recursive(n - 1) }
}

struct Counter {
    count: u32,
}

trait Count {
    #[timed(name = "by default")]
    fn count_by(&mut self, by: u32) -> u32 {
        by
    }
}

impl Count for Counter {}

impl Counter {
    #[timed]
    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    #[timed]
    fn finish(self) -> u32 {
        self.count
    }
}

#[test]
fn a_timed_function_gives_what_it_gave_before() {
    let found = timers(|| {
        assert_eq!(plain(1), 2);
        assert_eq!(generic(&[1, 2]), [1, 2]);
        assert_eq!(borrows(" a ", ""), "a");
        let mut counter = Counter { count: 0 };
        assert_eq!(counter.next(), 1);
        assert_eq!(counter.count_by(3), 3);
        assert_eq!(counter.finish(), 1);
    });
    assert_eq!(names(&found), ["plain", "generic", "borrows", "next", "by default", "finish"]);
    assert_eq!(found[0].stamps[0].name, "inside");
}

#[test]
fn the_name_is_the_functions_unless_it_is_given() {
    let found = timers(|| {
        named();
        by_another_path();
        r#loop();
        with_everything();
        assert_eq!(passed_through(), 0);
    });
    assert_eq!(names(&found), ["named otherwise", "by_another_path", "loop", "with_everything"]);
    assert_eq!(found[3].stamps[0].name, "left out");
}

#[test]
fn the_subdivision_ends_however_the_function_is_left() {
    let found = timers(|| {
        assert!(fails("x").is_err());
        assert_eq!(fails("1"), Ok(1));
        assert_eq!(returns_early(true) + returns_early(false), 3);
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    });
    assert_eq!(names(&found), ["fails", "returns_early", "panics"]);
    assert_eq!(names(&found[2].subdivisions[0].timers), ["inner"]);
}

#[test]
fn a_recursive_function_is_timed_at_every_level() {
    let found = timers(|| assert_eq!(recursive(5), 5));
    assert_eq!(found[0].depth(), 6);
}
