//! Histograms, where somebody asked for them: what they count, and what a kill leaves of them.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Scratch, child, ended, only, stamp_at, until};
use gtimer_core::publish::{N_BUCKETS, NodeKind, Publisher};
use gtimer_core::{
    Clock, FakeClock, LoopOptions, Settings, StampOptions, Timer, UNASSIGNED, thread,
};
use proptest::prelude::*;
use shm_times::{
    HISTOGRAMS_VARIABLE, LaneTimes, NoteKind, ProcessTimes, Session, StampHistogram,
    publish_histograms_in, publish_in,
};

/// What a program did, by the path of each stamp: its iterations, in ticks.
type Done = BTreeMap<Vec<String>, Vec<u64>>;

/// A step of a program; durations are ticks.
#[derive(Clone, Debug)]
enum Step {
    /// A stamp outside of loops: one iteration in each run of the timer, however often it comes.
    Stamp(usize, u64),
    /// Passes of a loop with stamps in them, a stamp perhaps twice in one pass.
    Loop(Vec<Vec<(usize, u64)>>),
    /// A timer of a name, and the stamp that takes it.
    Timer(usize, Vec<Step>, usize, u64),
    /// A timer that no stamp takes, at the end.
    Left(Vec<Step>),
}

fn ticks() -> impl Strategy<Value = u64> {
    // From less than a ns to some minutes.
    (0_u32..48, any::<u64>()).prop_map(|(bits, any)| (any & ((1 << bits) - 1)) + 1)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let passes = prop::collection::vec(prop::collection::vec((0_usize..2, ticks()), 0..4), 0..5);
    let leaf = prop_oneof![
        (0_usize..3, ticks()).prop_map(|(name, ticks)| Step::Stamp(name, ticks)),
        passes.prop_map(Step::Loop),
    ];
    let step = leaf.prop_recursive(3, 40, 5, |inner| {
        let inner = prop::collection::vec(inner, 0..5).boxed();
        prop_oneof![
            3 => (0_usize..2, inner.clone(), 0_usize..3, ticks())
                .prop_map(|(name, inner, stamp, ticks)| Step::Timer(name, inner, stamp, ticks)),
            1 => inner.prop_map(Step::Left),
        ]
    });
    prop::collection::vec(step, 1..12)
}

/// Does the steps in the timer on top, and writes down by itself what they took: a stamp takes all
/// since the one before.
fn perform(timer: &mut Timer<FakeClock>, steps: &[Step], path: &[String], done: &mut Done) {
    let at = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        path.iter().cloned().chain(names).collect::<Vec<String>>()
    };
    let mut flat: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = timer.clock().ticks();
    let mut n_loops = 0;
    let mut taken = |timer: &Timer<FakeClock>, ticks| {
        timer.clock().advance_ticks(ticks);
        let now = timer.clock().ticks();
        now - std::mem::replace(&mut last, now)
    };
    for step in steps {
        match step {
            Step::Stamp(name, ticks) => {
                let (name, took) = (format!("s{name}"), taken(timer, *ticks));
                timer.stamp_with(&*name, StampOptions::ADD).expect("it runs");
                *flat.entry(name).or_default() += took;
            }
            Step::Loop(passes) => {
                // A stamp belongs to one loop.
                n_loops += 1;
                timer
                    .timed_for(passes, LoopOptions::default(), |timer, pass| {
                        let mut of_pass: BTreeMap<String, u64> = BTreeMap::new();
                        for (name, ticks) in pass {
                            let (name, took) = (format!("l{n_loops}{name}"), taken(timer, *ticks));
                            timer.stamp_with(&*name, StampOptions::ADD)?;
                            *of_pass.entry(name).or_default() += took;
                        }
                        for (name, took) in of_pass {
                            done.entry(at(&[&name])).or_default().push(took);
                        }
                        Ok(ControlFlow::Continue(()))
                    })
                    .expect("it runs");
            }
            Step::Timer(name, inner, stamp, ticks) => {
                let (name, stamp) = (format!("t{name}"), format!("s{stamp}"));
                timer.subdivide(&*name);
                perform(timer, inner, &at(&[&stamp, &name]), done);
                timer.end_subdivision().expect("it is open");
                let took = taken(timer, *ticks);
                timer.stamp_with(&*stamp, StampOptions::ADD).expect("it runs");
                *flat.entry(stamp).or_default() += took;
            }
            Step::Left(inner) => {
                timer.subdivide("left");
                perform(timer, inner, &at(&["taken", "left"]), done);
                timer.end_subdivision().expect("it is open");
                let took = taken(timer, 1);
                timer.stamp_with("taken", StampOptions::ADD).expect("it runs");
                *flat.entry("taken".to_owned()).or_default() += took;
            }
        }
    }
    for (name, took) in flat {
        done.entry(at(&[&name])).or_default().push(took);
    }
}

/// Counts by dividing: how often a number of ns can be halved.
fn counted(done: &Done) -> BTreeMap<Vec<String>, [u64; N_BUCKETS]> {
    let mut counts = BTreeMap::new();
    for (path, iterations) in done {
        let counts = counts.entry(path.clone()).or_insert([0; N_BUCKETS]);
        for &ticks in iterations {
            let mut ns = (u128::from(ticks) * 1_000_000_000) >> 40;
            let mut bucket = 0;
            while ns > 0 && bucket < N_BUCKETS - 1 {
                (ns, bucket) = (ns / 2, bucket + 1);
            }
            counts[bucket] += 1;
        }
    }
    counts
}

fn read(histograms: &[StampHistogram]) -> BTreeMap<Vec<String>, [u64; N_BUCKETS]> {
    let all = histograms.iter().map(|one| (one.path.clone(), one.buckets));
    let read: BTreeMap<_, _> = all.collect();
    assert_eq!(read.len(), histograms.len(), "each stamp once");
    read
}

fn lane(process: &ProcessTimes, is_ended: bool) -> &LaneTimes {
    let mut lanes = process.lanes.iter().filter(|lane| (lane.tid == 0) == is_ended);
    lanes.next().expect("a thread")
}

fn timer(publisher: Box<dyn Publisher>) -> Timer<FakeClock> {
    let mut timer = Timer::with_clock("root", FakeClock::new());
    timer.set_settings(Settings { unique: false, ..Settings::default() });
    timer.publish_to(publisher);
    timer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of two timers, one after the other in one process: while each is there, and when both have
    /// ended.
    #[test]
    fn a_histogram_counts_what_the_program_did(programs in [steps(), steps()]) {
        let scratch = Scratch::new();
        let mut next = Some(publish_histograms_in(&scratch.0).expect("there is room"));
        let mut whole = Done::new();
        for steps in &programs {
            let mut own = next.take().expect("made in the turn before");
            next = own.forked();
            let mut timer = timer(own);
            let mut done = Done::new();
            perform(&mut timer, steps, &["root".to_owned()], &mut done);
            let process = only(&scratch.0);
            let lane = lane(&process, false);
            prop_assert_eq!(read(&lane.histograms), counted(&done));
            for one in &lane.histograms {
                prop_assert_eq!(one.count(), stamp_at(&lane.times, &one.path).itr_num);
            }
            for (path, iterations) in done {
                whole.entry(path).or_default().extend(iterations);
            }
            drop(timer);
            prop_assert_eq!(read(&self::lane(&only(&scratch.0), true).histograms), counted(&whole));
        }
    }
}

#[test]
fn nobody_has_histograms_who_did_not_ask() {
    let scratch = Scratch::new();
    let mut timer = timer(publish_in(&scratch.0).expect("there is room"));
    timer.stamp("s").expect("it runs");
    let process = only(&scratch.0);
    assert_eq!((lane(&process, false).histograms.len(), process.dropped), (0, 0));
}

/// What the others start this program for; by itself it does nothing.
#[test]
fn as_child() {
    match std::env::var("SHM_TIMES_ROLE").as_deref() {
        Ok("short") => {
            for _ in 0..5 {
                let _work = thread::subdivision("work");
                thread::stamp("in").expect("a stamp");
            }
            thread::stamp("all").expect("a stamp");
        }
        Ok("for ever") => work_for_ever(),
        _ => {}
    }
}

/// Stamps, merges timers, and has threads that end, all at once.
fn work_for_ever() {
    std::thread::spawn(|| {
        loop {
            let work = || {
                let _ = thread::set_settings(Settings { unique: false, ..Settings::default() });
                for i in 0..20 {
                    if i % 3 == 0 {
                        std::thread::yield_now();
                    }
                    let _ = thread::stamp("of a thread");
                }
            };
            let _ = std::thread::Builder::new().spawn(work).map(std::thread::JoinHandle::join);
        }
    });
    let _ = thread::set_settings(Settings { unique: false, ..Settings::default() });
    loop {
        for _ in 0..8 {
            let _work = thread::subdivision("work");
            for name in ["a", "b", "c"] {
                thread::stamp(name).expect("it runs");
                thread::stamp("again").expect("it runs");
            }
        }
        thread::stamp("s").expect("it runs");
    }
}

#[test]
fn a_kill_leaves_a_histogram_one_ahead_at_most() {
    let scratch = Scratch::new();
    let (mut n, mut ahead) = (0_u64, 0_u64);
    for round in 0..60_u64 {
        let mut writer = child(&scratch.0, "for ever")
            .env(HISTOGRAMS_VARIABLE, "1")
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let pid = writer.id();
        let mine = |session: &Session| {
            let mut processes = session.snapshot().expect("readable").processes;
            processes.retain(|process| process.pid == pid);
            processes
        };
        until("a histogram of each", || {
            let found = mine(&scratch.0);
            let lanes = || found.iter().flat_map(|process| &process.lanes);
            lanes().any(|lane| lane.tid == 0) && lanes().any(|lane| lane.histograms.len() > 4)
        });
        // At another instant each time; nothing waits for it.
        let instant = Instant::now() + Duration::from_micros(round * 37 % 1009);
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        writer.kill().expect("a child");
        ended(&mut writer);
        for lane in mine(&scratch.0).iter().flat_map(|process| &process.lanes) {
            for one in &lane.histograms {
                let num = stamp_at(&lane.times, &one.path).itr_num;
                let more = one.count().checked_sub(num);
                assert!(more.is_some_and(|more| more <= 1), "{one:?} of {num}");
                (n, ahead) = (n + 1, ahead + more.unwrap_or(0));
            }
        }
        scratch.0.reap().expect("can be folded");
    }
    assert!(n > 300 && ahead < 60 * 2, "{ahead} of {n}");
}

#[test]
fn the_sum_over_ended_processes_has_histograms_too() {
    let scratch = Scratch::new();
    for _ in 0..40 {
        let mut short = child(&scratch.0, "short");
        let mut short = short.env(HISTOGRAMS_VARIABLE, "1").stdout(Stdio::null()).spawn().unwrap();
        assert!(ended(&mut short).success());
    }
    scratch.0.reap().unwrap();
    let snapshot = scratch.0.snapshot().unwrap();
    assert_eq!(snapshot.notes, []);
    let retired: Vec<_> = snapshot.retired.iter().flat_map(|one| &one.histograms).collect();
    assert_eq!(retired.len(), 2, "{:?}", snapshot.retired);
    let lanes = snapshot.processes.iter().flat_map(|process| &process.lanes);
    let mut counts = BTreeMap::new();
    for one in lanes.flat_map(|lane| &lane.histograms).chain(retired) {
        *counts.entry(one.path.join(" > ")).or_insert(0) += one.count();
    }
    let expected = [("root > all".to_owned(), 40), ("root > all > work > in".to_owned(), 200)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn where_there_is_no_room_stamps_have_none_and_that_is_said() {
    let scratch = Scratch::new();
    let mut timer = timer(publish_histograms_in(&scratch.0).expect("there is room"));
    for stamp in 0..6000 {
        timer.clock().advance_ticks(1 << 30);
        timer.stamp(format!("stamp {stamp}")).expect("it runs");
    }
    let snapshot = scratch.0.snapshot().unwrap();
    let process = &snapshot.processes[0];
    let lane = lane(process, false);
    assert_eq!((lane.times.stamps.len(), process.dropped), (6000, 0), "stamps have their room");
    let stamps = (6000 - lane.histograms.len()) as u64;
    assert!(lane.histograms.len() > 2000 && stamps > 1000, "{stamps}");
    assert!(lane.histograms.iter().all(|one| one.count() == 1));
    let kinds: Vec<_> = snapshot.notes.into_iter().map(|note| note.kind).collect();
    assert_eq!(kinds, [NoteKind::NoHistogram { stamps }]);
}

#[test]
fn a_forked_publisher_has_a_histogram_of_its_own() {
    let scratch = Scratch::new();
    let mut first = publish_histograms_in(&scratch.0).expect("there is room");
    let mut publishers = [first.forked().expect("there is room"), first];
    let parts = publishers.each_mut().map(|publisher| {
        publisher.set_clock(1e9, 0);
        let root = publisher.add(NodeKind::Root, UNASSIGNED, None).expect("there is room");
        let stamp = publisher.add(NodeKind::Stamp, "s", Some(root.node)).expect("there is room");
        // Asked for again, it is the same one.
        let [one, same] = [0; 2].map(|_| publisher.histogram(stamp.node).expect("there is room"));
        assert_eq!(format!("{one:?}"), format!("{same:?}"));
        (stamp.node, root.node)
    });
    assert_ne!(parts[0], parts[1]);
    assert_eq!(only(&scratch.0).dropped, 0);
}
