//! What timing costs: the hierarchical timer beside a bare reading of the clock, and beside others.
//!
//! Who times a loop of a microsecond cannot spend a tenth of it on the timer. Reading the clock is
//! most of an ideal stamp, so the number that matters is the ratio to a loop that does nothing else
//! (in the same run, in blocks that alternate, so that whatever else the machine does meets all
//! alike): at most 1.15 for a stamp, 1.25 in a loop that counts, 1.35 in one that keeps its
//! iterations, 2.45 for the begin and end of a scope, and 0.5 ns where timing is switched off.
//! A stamp is half of a begin and end; compare scopes with spans.
//!
//! The table of ratios is printed first; criterion's own figures follow. Instructions, which do not
//! depend on what else runs, are counted by `cargo xtask instructions`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the table of ratios is for who started it")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gtimer_core::{
    Clock, LoopOptions, Settings, SystemClock, Timer, TimerError, name, stamp, subdivision, thread,
};

/// Operations of a block: some tenth of a millisecond of stamps.
const BLOCK: u64 = 10_000;

/// Stamps in a pass, which all differ.
const PER_PASS: u64 = 8;

/// Asks this program for the cost of a disabled stamp, which it knows only when it was started so.
const DISABLED_VAR: &str = "POLYCHRON_BENCH_DISABLED";

/// Does something so often.
type Work = Box<dyn FnMut(u64)>;

/// One row of the table.
struct Row {
    name: &'static str,
    /// The greatest ratio to the bare clock that is wanted.
    wanted: Option<f64>,
    work: Work,
}

fn row(name: &'static str, wanted: Option<f64>, work: impl FnMut(u64) + 'static) -> Row {
    Row { name, wanted, work: Box::new(work) }
}

macro_rules! pass {
    ($timer:expr) => {{
        $timer.stamp(name!("a")).expect("it runs");
        $timer.stamp(name!("b")).expect("it runs");
        $timer.stamp(name!("c")).expect("it runs");
        $timer.stamp(name!("d")).expect("it runs");
        $timer.stamp(name!("e")).expect("it runs");
        $timer.stamp(name!("f")).expect("it runs");
        $timer.stamp(name!("g")).expect("it runs");
        $timer.stamp(name!("h")).expect("it runs");
    }};
}

fn adding() -> Timer {
    let mut timer = Timer::new("root");
    timer.set_settings(Settings { unique: false, ..Settings::default() });
    timer
}

/// A block of passes; an eighth of what a pass costs beside its stamps is in each of them.
fn looped(save_itrs: bool) -> impl FnMut(u64) {
    let mut timer = adding();
    move |n| {
        timer.reset_root();
        let options = LoopOptions { save_itrs: Some(save_itrs), ..LoopOptions::default() };
        let mut timed = timer.timed_loop(options);
        for _ in 0..n / PER_PASS {
            timed.next_pass().expect("it runs");
            pass!(timed);
        }
        timed.exit().expect("nothing is open");
    }
}

fn ours() -> Vec<Row> {
    let clock = SystemClock::new();
    let bare = if clock.is_counter() { "rdtsc" } else { "monotonic clock (no rdtsc here)" };
    let mut owned = adding();
    let mut scoped = adding();
    thread::set_settings(Settings { unique: false, ..Settings::default() }).expect("idle");
    vec![
        row(bare, None, move |n| {
            for _ in 0..n {
                black_box(clock.ticks());
            }
        }),
        row("stamp", Some(1.15), move |n| {
            for _ in 0..n {
                owned.stamp(name!("a")).expect("it runs");
            }
        }),
        row("stamp of the thread's timer", Some(1.15), |n| {
            for _ in 0..n {
                stamp!("a").expect("it runs");
            }
        }),
        row("stamp in a loop", Some(1.25), looped(false)),
        row("stamp in a loop, kept", Some(1.35), looped(true)),
        row("scope", Some(2.45), move |n| {
            for _ in 0..n {
                let _scope = scoped.scope(name!("scope"));
            }
        }),
        row("scope of the thread's timer", Some(2.45), |n| {
            for _ in 0..n {
                let _scope = subdivision!("scope");
            }
        }),
    ]
}

fn others() -> Vec<Row> {
    // puffin asks this once per scope.
    puffin::set_scopes_on(true);
    vec![
        row("std Instant::now", None, |n| {
            for _ in 0..n {
                black_box(Instant::now());
            }
        }),
        row("fastrace LocalSpan", None, |n| {
            // Spans are collected in lots, as a request would; the collecting is a part of it.
            for _ in 0..n / 1000 {
                let collector = fastrace::local::LocalCollector::start();
                for _ in 0..1000 {
                    let _span = fastrace::local::LocalSpan::enter_with_local_parent("scope");
                }
                black_box(collector.collect());
            }
        }),
        row("puffin scope", None, |n| {
            for _ in 0..n / 1000 {
                for _ in 0..1000 {
                    puffin::profile_scope!("scope");
                }
                puffin::GlobalProfiler::lock().new_frame();
            }
        }),
        row("tracing span, no subscriber", None, |n| {
            for _ in 0..n {
                let _span = tracing::info_span!("scope").entered();
            }
        }),
    ]
}

/// Runs the rows in blocks that alternate, and gives the median of each in ns per operation.
fn medians(rows: &mut [Row], rounds: usize) -> Vec<f64> {
    let mut blocks: Vec<Vec<f64>> = rows.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (row, blocks) in rows.iter_mut().zip(&mut blocks) {
            let start = Instant::now();
            (row.work)(BLOCK);
            blocks.push(start.elapsed().as_nanos() as f64 / BLOCK as f64);
        }
    }
    blocks.iter_mut().for_each(|blocks| blocks.sort_by(f64::total_cmp));
    blocks.iter().map(|blocks| blocks[blocks.len() / 2]).collect()
}

/// The counts of what the rows do, found by doing it: a row that does nothing is fast for nothing.
fn check() -> Result<(), TimerError> {
    let mut timer = adding();
    let mut timed = timer.timed_loop(LoopOptions::named("steps"));
    for _ in 0..5 {
        timed.next_pass()?;
        pass!(timed);
    }
    timed.exit()?;
    drop(timed);
    let times = timer.times();
    let steps = &times.subdivisions[0].timers[0];
    assert_eq!(steps.stamps.len(), PER_PASS as usize);
    // Neighbouring readings of the clock may be equal, and what has no length is not counted.
    assert!(steps.stamps.iter().all(|s| s.itrs.as_ref().is_some_and(|itrs| itrs.len() == 5)));
    for _ in 0..3 {
        let _scope = timer.scope(name!("scope"));
    }
    timer.stamp("end")?;
    let at_end = timer.times().subdivisions.pop().expect("the scope");
    assert_eq!((at_end.position.as_str(), at_end.timers.len()), ("end", 1));

    let collector = fastrace::local::LocalCollector::start();
    for _ in 0..1000 {
        let _span = fastrace::local::LocalSpan::enter_with_local_parent("scope");
    }
    let parent = fastrace::prelude::SpanContext::random();
    assert_eq!(collector.collect().to_span_records(parent).len(), 1000);
    Ok(())
}

/// What a stamp costs where timing is switched off, in ns: measured by this program, started anew.
fn disabled_ns() -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).env(DISABLED_VAR, "1").env("GTIMER_DISABLE", "1").output();
    String::from_utf8(output.ok()?.stdout).ok()?.trim().parse().ok()
}

/// Prints the cost of a disabled stamp, less that of the loop around it.
fn print_disabled() {
    assert!(!gtimer_core::enabled(), "started to measure what is switched off");
    let mut rows = [
        row("loop", None, |n| {
            for i in 0..n * 10 {
                black_box(i);
            }
        }),
        row("disabled", None, |n| {
            for i in 0..n * 10 {
                stamp!("a").expect("nothing is refused");
                black_box(i);
            }
        }),
    ];
    let medians = medians(&mut rows, 100);
    println!("{}", (medians[1] - medians[0]) / 10.0);
}

/// gtimer's own stamp in ns: `stamp(unique=False)`, a stamp in a loop, an empty wrapped call.
fn python_ns() -> Result<Vec<(String, f64)>, String> {
    let python = std::env::var_os("POLYCHRON_PYTHON").ok_or("no POLYCHRON_PYTHON")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/gtimer_stamp.py");
    let output = Command::new(python).arg(script).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().last().unwrap_or("it failed without a word").to_owned());
    }
    let line = |line: &str| {
        let (name, ns) = line.split_once('\t')?;
        Some((name.to_owned(), ns.trim().parse().ok()?))
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|l| line(l).ok_or_else(|| format!("{l:?} is no figure"))).collect()
}

fn print_table(rounds: usize) {
    let mut rows = ours();
    rows.extend(others());
    medians(&mut rows, rounds.div_ceil(10));
    let medians = medians(&mut rows, rounds);
    let bare = medians[0];
    println!("{:<32} {:>9} {:>7} {:>7}", "operation", "ns", "ratio", "wanted");
    for (row, ns) in rows.iter().zip(&medians) {
        let wanted = row.wanted.map_or_else(String::new, |wanted| format!("{wanted:.2}"));
        println!("{:<32} {ns:>9.2} {:>7.2} {wanted:>7}", row.name, ns / bare);
    }
    match disabled_ns() {
        Some(ns) => {
            println!("{:<32} {ns:>9.2} {:>7.2} {:>7}", "stamp, disabled", ns / bare, "0.5 ns");
        }
        None => println!("stamp, disabled: this program could not be started anew"),
    }
    match python_ns() {
        Ok(rows) => {
            for (name, ns) in rows {
                println!("{name:<32} {ns:>9.2} {:>7.2}", ns / bare);
            }
        }
        Err(why) => println!("skipped: no gtimer in Python: {why}"),
    }
}

fn criterion_rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer");
    group.throughput(Throughput::Elements(BLOCK));
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    for mut row in ours().into_iter().chain(others()) {
        group.bench_function(row.name, |b| b.iter(|| (row.work)(black_box(BLOCK))));
    }
    group.finish();
}

fn main() {
    if std::env::var_os(DISABLED_VAR).is_some() {
        return print_disabled();
    }
    check().expect("what is measured works");
    // Cargo asks for a measurement by `--bench`; without it, once is enough.
    let measure = std::env::args().any(|arg| arg == "--bench");
    if !std::env::args().any(|arg| arg == "--list") {
        print_table(if measure { 300 } else { 2 });
    }
    let mut criterion = Criterion::default().configure_from_args();
    criterion_rows(&mut criterion);
    criterion.final_summary();
}
