//! The timer on the machine's clock, on many threads, and through panics and early returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread as std_thread;
use std::time::{Duration, Instant};

use gtimer_core::{
    LoopOptions, Settings, SubdivideOptions, SystemClock, Timer, TimerError, Times, name, stamp,
    subdivision, thread,
};

/// Works on something for at least so long, without giving the processor away.
fn busy(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::black_box(start);
    }
}

/// What a child adds to its parent's time: the whole tree's own time is told at the root.
fn total_and_self(times: &Times) -> f64 {
    times.total + times.self_agg
}

/// The machine's clock is read before and after, so the wall is known from both sides, and what the
/// timer says must lie between, whatever else the machine does meanwhile.
fn between_walls(exact: bool) {
    let outer = Instant::now();
    let mut timer = Timer::new("root");
    let inner = Instant::now();
    timer.set_exact_self_time(exact);
    timer.set_settings(Settings { unique: false, ..timer.settings() });
    for _ in 0..20 {
        timer.wrap(name!("child"), |timer| {
            for _ in 0..200 {
                timer.stamp(name!("a")).expect("the timer runs");
                timer.stamp(name!("b")).expect("the timer runs");
            }
        });
        timer.stamp(name!("ran")).expect("the timer runs");
    }
    busy(Duration::from_millis(20));
    timer.stamp(name!("waited")).expect("the timer runs");
    let inner = inner.elapsed().as_secs_f64();
    timer.stop().expect("the timer runs");
    let outer = outer.elapsed().as_secs_f64();
    let times = timer.times();
    let found = total_and_self(&times);
    // The rate of the counter is measured, so it is known to some parts in a hundred thousand.
    let tolerance = 1e-3;
    assert!(found >= inner * (1.0 - tolerance), "{found} s of at least {inner} s");
    assert!(found <= outer * (1.0 + tolerance), "{found} s of at most {outer} s");
    assert!(times.self_agg > 0.0, "8,000 stamps cost nothing");
    assert!(times.self_agg < found, "own time {} s of {found} s", times.self_agg);
    assert!(times.stamps_sum <= times.total * (1.0 + tolerance), "{times:?}");
}

#[test]
fn total_and_self_time_are_the_wall_time() {
    between_walls(false);
}

#[test]
fn total_and_self_time_are_the_wall_time_in_the_exact_mode() {
    between_walls(true);
}

/// Self time is taken off every level once: an attached worker's is not counted twice.
#[test]
fn the_own_time_of_an_attached_worker_is_counted_once() {
    let clock = gtimer_core::FakeClock::new();
    let mut timer = Timer::with_clock("root", clock.clone());
    let worker = Times { name: "w".into(), total: 50.0, self_agg: 1.0, ..Times::default() };
    clock.advance(100.0);
    timer.attach_par_subdivision("workers", std::slice::from_ref(&worker)).unwrap();
    timer.stamp("parallel").unwrap();
    timer.stop().unwrap();
    let times = timer.times();
    assert_eq!((times.total, times.self_agg), (99.0, 1.0));
    assert_eq!(total_and_self(&times), 100.0);
}

/// A timer that runs is stamped less than the wall, more than was slept for.
#[test]
fn a_stamp_holds_at_least_what_was_worked() {
    let mut timer = Timer::new("root");
    timer.stamp("before").unwrap();
    busy(Duration::from_millis(5));
    timer.stamp("worked").unwrap();
    let times = timer.times();
    // The cost of one stamp is taken off.
    assert!(times.stamps[1].cum >= 0.005 * 0.999, "{times:?}");
}

/// The counts of a tree: its timers by path, and how often each stamp was met.
fn check_thread(times: &Times, thread: usize, n: u64) {
    assert_eq!(times.name, format!("thread {thread}"));
    assert_eq!(times.subdivisions.len(), 1);
    let outer = &times.subdivisions[0].timers[0];
    assert_eq!((outer.name.as_str(), outer.position.as_deref()), ("outer", Some("all")));
    let middle = &outer.subdivisions[0].timers[0];
    let inner = &middle.subdivisions[0].timers[0];
    assert_eq!((middle.name.as_str(), inner.name.as_str()), ("middle", "inner"));
    assert_eq!(outer.subdivisions[0].timers.len(), 1);
    assert_eq!(middle.subdivisions.len(), 1);
    assert_eq!(inner.stamps[0].itr_num, n, "{thread}");
    assert_eq!(middle.stamps[0].itr_num, n, "{thread}");
    assert!(inner.subdivisions.is_empty() && times.parallel.is_empty());
    assert!(inner.total <= middle.total && middle.total <= outer.total, "{thread}");
}

#[test]
fn threads_never_see_each_others_timers() {
    const N: u64 = 100_000;
    let keep_none = || SubdivideOptions { save_itrs: Some(false), ..SubdivideOptions::default() };
    let run = move |thread: usize| {
        thread::rename_root(format!("thread {thread}"))?;
        thread::set_settings(Settings { save_itrs: false, unique: false, ..Settings::default() })?;
        {
            let _outer = thread::subdivision_with("outer", keep_none());
            for _ in 0..N / 2 {
                // Two subdivisions, the one in the other, in each turn.
                let _middle = subdivision!("middle");
                {
                    let _inner = subdivision!("inner");
                    stamp!("deep")?;
                }
                stamp!("less deep")?;
            }
            stamp!("middle")?;
        }
        stamp!("all")?;
        thread::stop()?;
        Ok::<Times, TimerError>(thread::times())
    };
    let threads: Vec<_> = (0..8).map(|i| std_thread::spawn(move || run(i))).collect();
    for (i, thread) in threads.into_iter().enumerate() {
        let times = thread.join().unwrap().unwrap();
        check_thread(&times, i, N / 2);
    }
}

/// Runs on a thread of its own, so on a timer of its own, and gives its times.
fn on_a_thread(body: impl FnOnce() -> Result<(), TimerError> + Send + 'static) -> Times {
    let run = move || {
        body()?;
        assert_eq!(thread::with(|timer| timer.depth())?, 0, "the focus did not come back");
        stamp!("end")?;
        thread::stop()?;
        Ok::<Times, TimerError>(thread::times())
    };
    std_thread::spawn(run).join().expect("no panic").expect("no refusal")
}

fn panics_below(depth: u32) {
    let _scope = thread::subdivision(format!("level {depth}"));
    if depth == 0 {
        panic!("on purpose");
    }
    panics_below(depth - 1);
}

#[test]
fn a_panic_in_scopes_gives_the_focus_back() {
    let times = on_a_thread(|| {
        for _ in 0..3 {
            assert!(catch_unwind(|| panics_below(4)).is_err());
        }
        Ok(())
    });
    assert_eq!(times.depth(), 6);
    assert_eq!(times.subdivisions[0].position, "end");
}

#[test]
fn a_panic_in_a_loop_leaves_the_loop() {
    let times = on_a_thread(|| {
        let result = catch_unwind(|| -> Result<(), TimerError> {
            for i in thread::timed_for(0..10, LoopOptions::named("steps"))? {
                stamp!("push")?;
                let _inner = subdivision!("inner");
                assert!(i < 3, "on purpose");
            }
            Ok(())
        });
        assert!(result.is_err());
        // Neither in the loop's timer nor in a pass.
        stamp!("after")?;
        stamp!("push")?;
        Ok(())
    });
    let stamps: Vec<&str> = times.stamps.iter().map(|stamp| stamp.name.as_str()).collect();
    assert_eq!(stamps, ["steps", "after", "push", "end"]);
    let steps = &times.subdivisions[0].timers[0];
    assert_eq!(steps.stamps[0].name, "push");
    assert_eq!(steps.stamps[0].itrs.as_ref().map(Vec::len), Some(4));
}

#[test]
fn a_question_mark_and_an_early_return_give_the_focus_back() {
    fn parses(text: &str) -> Result<u32, std::num::ParseIntError> {
        let _scope = subdivision!("parses");
        let number = text.parse::<u32>()?;
        let _deeper = subdivision!("deeper");
        if number == 0 {
            return Ok(number);
        }
        Ok(number + 1)
    }
    let times = on_a_thread(|| {
        assert!(parses("x").is_err());
        assert_eq!((parses("0"), parses("1")), (Ok(0), Ok(2)));
        Ok(())
    });
    assert_eq!(times.subdivisions[0].timers[0].name, "parses");
    assert_eq!(times.subdivisions[0].timers.len(), 1);
}

#[test]
fn a_panic_on_an_owned_timer_gives_the_focus_back() {
    let mut timer = Timer::new("root");
    let result = catch_unwind(AssertUnwindSafe(|| {
        timer.wrap("outer", |timer| {
            timer.wrap("inner", |timer| {
                timer.subdivide("left open");
                panic!("on purpose");
            });
        });
    }));
    assert!(result.is_err());
    assert_eq!(timer.depth(), 0);
    timer.stamp("after").unwrap();
    assert_eq!(timer.times().depth(), 4);
}

/// An iterator that times itself has the focus only while it makes an item.
#[test]
fn an_iterator_has_the_focus_only_while_it_works() {
    let times = on_a_thread(|| {
        let gates = thread::timed_iter(
            "gates",
            (0..4).inspect(|_| {
                assert_eq!(thread::with(|timer| timer.focus().as_str()), Ok("gates"));
            }),
        );
        for gate in gates {
            assert_eq!(thread::with(|timer| timer.depth())?, 0, "at {gate}");
            if gate == 2 {
                break;
            }
        }
        Ok(())
    });
    assert_eq!(times.subdivisions[0].timers[0].name, "gates");
}

/// Left by `break`, and dropped before its end.
#[test]
fn a_timed_for_that_is_broken_out_of_is_left() {
    let times = on_a_thread(|| {
        for i in thread::timed_for(0.., LoopOptions::default())? {
            stamp!("pass")?;
            if i == 4 {
                break;
            }
        }
        stamp!("after")?;
        Ok(())
    });
    assert_eq!(times.stamps[0].itrs.as_ref().map(Vec::len), Some(5));
    assert_eq!(times.stamps[1].name, "after");
    assert!(times.stamps[1].itrs.is_none());
}

/// A scope that outlives the one around it ends nothing that is not its own.
#[test]
fn scopes_that_are_dropped_out_of_order_close_only_their_own() {
    let times = on_a_thread(|| {
        let outer = thread::subdivision("outer");
        let inner = thread::subdivision("inner");
        drop(outer);
        let other = thread::subdivision("other");
        drop(inner);
        assert_eq!(thread::with(|timer| timer.focus().as_str())?, "other");
        drop(other);
        Ok(())
    });
    assert_eq!(times.subdivisions[0].timers.len(), 2);
}

#[test]
fn the_clock_of_a_new_timer_is_the_machines() {
    let timer = Timer::new("root");
    assert_eq!(timer.clock().is_counter(), SystemClock::new().is_counter());
}
