//! What a timer of gtimer-core has, is what others read of it.

mod common;

use std::process::Stdio;

use common::{Scratch, child, ended, only, stamp_at, until};
use gtimer_core::{FakeClock, LoopOptions, StampOptions, Timer, Times, thread};
use shm_times::{ProcessState, Reader, publish_histograms_in, publish_in};

/// In an order of their own: nodes that are used again stand where they stood before. And without
/// single iterations, which stay private.
fn sorted(times: &Times) -> Times {
    let mut times = times.clone();
    times.save_itrs = true;
    for stamp in &mut times.stamps {
        stamp.itrs = None;
    }
    times.stamps.sort_by(|a, b| a.name.cmp(&b.name));
    times.subdivisions.sort_by(|a, b| a.position.cmp(&b.position));
    for at in &mut times.subdivisions {
        at.timers = at.timers.iter().map(sorted).collect();
        at.timers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    times
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// A random program of operations, a few levels deep; refusals are part of it. Somebody who keeps
/// what he saw looks now and then.
fn program(
    timer: &mut Timer<FakeClock>,
    random: &mut Random,
    reader: &mut Reader,
    steps: usize,
    depth: usize,
) {
    for _ in 0..steps {
        match random.below(6) {
            0 => drop(reader.refresh().expect("can be read")),
            1 => drop(reader.snapshot().expect("can be read")),
            _ => {}
        }
        timer.clock().advance_ticks(1 + random.below(1 << 30) as u64);
        let name = ["a", "b", "c", "d"][random.below(4)];
        match random.below(12) {
            0..=4 => drop(timer.stamp_with(name, StampOptions::ADD)),
            5 => {
                let keep = StampOptions { keep_subdivisions: Some(false), ..StampOptions::ADD };
                let _ = timer.stamp_with(name, keep);
            }
            6 => drop(timer.blank_stamp(StampOptions::default())),
            7 => {
                let _ = timer.pause();
                timer.clock().advance_ticks(5);
                let _ = timer.resume();
            }
            8 if depth < 4 => {
                let mut named = gtimer_core::Loop::new(LoopOptions::named(name));
                if timer.loop_enter(&mut named).is_ok() {
                    for _ in 0..random.below(4) {
                        let _ = timer.loop_pass_begin(&mut named);
                        program(timer, random, reader, 4, depth + 1);
                        let _ = timer.loop_pass_end(&mut named);
                    }
                    let _ = timer.loop_exit(&mut named);
                }
            }
            _ if depth < 4 => {
                timer.subdivide(name);
                program(timer, random, reader, 5, depth + 1);
                timer.end_subdivision().expect("what was begun can be ended");
            }
            _ => {}
        }
    }
}

#[test]
fn random_programs_leave_the_tree_that_the_timer_has() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut session = None;
    let mut n_histograms = 0;
    for program_idx in 0..200 {
        // A few in one process, so that each takes over the room of the one before.
        let (scratch, mut publisher) =
            session.take().filter(|_| program_idx % 4 != 0).unwrap_or_else(|| {
                let scratch = Scratch::new();
                // Half of them with histograms, which change nothing else.
                let publish = if program_idx % 8 == 0 { publish_in } else { publish_histograms_in };
                let publisher = publish(&scratch.0).expect("there is room");
                (scratch, Some(publisher))
            });
        let mut timer = Timer::with_clock("root", FakeClock::new());
        timer.clock().advance_ticks(1);
        let mut own = publisher.take().unwrap();
        let next = own.forked();
        timer.publish_to(own);
        timer.start().unwrap();
        let mut reader = Reader::new(&scratch.0);
        program(&mut timer, &mut random, &mut reader, 12, 0);
        timer.clock().advance_ticks(1);
        timer.stop().unwrap();
        let kept = reader.snapshot().unwrap().processes.remove(0);
        for process in [only(&scratch.0), kept] {
            let lanes: Vec<_> = process.lanes.iter().filter(|lane| lane.tid != 0).collect();
            assert_eq!(lanes.len(), 1, "program {program_idx}");
            assert_eq!(sorted(&lanes[0].times), sorted(&timer.times()), "program {program_idx}");
            assert!(program_idx % 8 >= 4 || lanes[0].histograms.is_empty());
            for one in &lanes[0].histograms {
                let stamp = stamp_at(&lanes[0].times, &one.path);
                assert_eq!(one.count(), stamp.itr_num, "program {program_idx}: {one:?}");
                n_histograms += 1;
            }
        }
        session = Some((scratch, next));
    }
    assert!(n_histograms > 200, "{n_histograms}");
}

/// What the other test starts this program for; by itself it does nothing.
#[test]
fn as_child() {
    if std::env::var_os("SHM_TIMES_ROLE").is_none() {
        return;
    }
    for _ in 0..3 {
        let _work = thread::subdivision("work");
        thread::stamp_with("read", StampOptions::ADD).expect("a stamp");
    }
    thread::stamp("worked").expect("a stamp");
    std::thread::spawn(|| thread::stamp("beside")).join().expect("no panic").expect("a stamp");
    let _open = thread::subdivision("open");
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
}

/// Not a line of the program says anything of sharing; the variable does.
#[test]
fn a_program_that_only_links_this_crate_is_seen_live() {
    let scratch = Scratch::new();
    let mut program = child(&scratch.0, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    until("the open timer", || {
        let snapshot = scratch.0.snapshot().unwrap();
        let lanes = snapshot.processes.iter().flat_map(|process| &process.lanes);
        let current = lanes.filter_map(|lane| lane.current.clone()).next();
        // Before it, the program is in another for a moment, three times.
        current.is_some_and(|current| current.path == ["root", "open"])
    });
    let process = only(&scratch.0);
    let (beside, main): (Vec<_>, Vec<_>) = process.lanes.iter().partition(|lane| lane.tid == 0);
    assert_eq!(beside[0].times.stamps[0].name, "beside");
    let times = &main[0].times;
    assert!(times.running && times.total > 0.0);
    assert_eq!(times.stamps[0].name, "worked");
    let work = times.subdivisions.iter().find(|at| at.position == "worked").unwrap();
    assert_eq!((work.timers[0].name.as_str(), work.timers[0].running), ("work", false));
    drop(program.stdin.take());
    assert!(ended(&mut program).success());
    assert_eq!(only(&scratch.0).state, ProcessState::Ended);
}
