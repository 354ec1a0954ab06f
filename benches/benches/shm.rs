//! What it costs to share times while a program runs, and to look at them.
//!
//! Nobody leaves sharing on that slows the timed program down, so the first number is that of a
//! stamp of a timer that shares its times, beside a bare reading of the clock: at most 1.45 times
//! as long. The second is a look at 64 timers with 200 nodes each: at most 100 µs for the numbers
//! where the files are open, 250 µs where they are not. Beside it stand 64 bare `pread`, each of
//! all nodes of a timer.
//!
//! | look             | what is timed                                                             |
//! | ---------------- | ------------------------------------------------------------------------- |
//! | numbers          | all nodes of all timers are known as they were at one moment of each timer  |
//! | … none changed   | the look before saw the same                                               |
//! | … all changed    | every timer has stamped since                                              |
//! | … cold           | a new reader lists the directory, opens each file, reads all nodes of it and checks them; memory of a reader before it is used again, as a process that looks twice has it |
//! | … cold, closed   | and closes the files                                                       |
//! | trees            | and makes trees with names of them, asks whether each process lives, and drops what it made |
//!
//! The same trees are sent through ipc-channel (which writes them with postcard) and, with
//! `POLYCHRON_PYTHON` naming a Python, through its `multiprocessing.Queue` by
//! `benches/engines/mp_queue.py`.
//!
//! Answers are checked before the clock runs: every stamp that is read against the timer that has
//! it, and what comes out of the channels against what was put in. The comparisons are printed
//! first, all of one run in turns; criterion's own figures follow.

#![forbid(unsafe_code)]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gtimer_core::{
    Clock as _, Loop, LoopOptions, Settings, StampTimes, SystemClock, Timer, Times, name,
};
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use polychron_bench::compare::{
    Cost, Engine, Side, compare, engine, is_comparing, is_measuring, python, seconds,
};
use shm_times::{Reader, Session, Snapshot, publish_histograms_in, publish_in};

/// Timers that share their times, each with a file of its own, as processes have them.
const PROCESSES: usize = 64;
/// Nodes of each: its root and stamps.
const NODES: usize = 200;
/// How often the sides of a comparison take turns.
const TURNS: usize = 51;
/// Stamps in a block: some tenth of a millisecond.
const BLOCK: u64 = 10_000;
/// Bytes that a look must copy of each file: the header, the nodes, and two slots of the thread.
const USED_BYTES: usize = 1024 + (NODES + 2) * 128;

/// A session with timers in it; ends the session when it is dropped.
struct Scene {
    session: Session,
    timers: Vec<Timer>,
}

impl Scene {
    fn new() -> Self {
        let session = Session::create().expect("there is a tmpfs");
        let timers = (0..PROCESSES)
            .map(|_| {
                let mut timer = timer(&session);
                for stage in 1..NODES {
                    timer.stamp(format!("stage {stage}")).expect("it runs");
                }
                timer
            })
            .collect();
        Self { session, timers }
    }

    /// Every timer does something.
    fn stamp(&mut self) {
        for timer in &mut self.timers {
            timer.stamp(name!("stage 7")).expect("it runs");
        }
    }

    fn check(&mut self) {
        let mut reader = Reader::new(&self.session);
        // With what all timers have in common; the threads of a session have one lane each.
        for _ in 0..2 {
            let snapshot = reader.snapshot().expect("can be read");
            assert_eq!(snapshot.notes, []);
            let mut read: Vec<&Times> = trees(&snapshot).collect();
            let mut own: Vec<Times> = self.timers.iter_mut().map(|timer| timer.times()).collect();
            assert_eq!((read.len(), own.len()), (PROCESSES, PROCESSES));
            // By what does not depend on the rate, of which there may be a better one by the next.
            read.sort_by(|a, b| shape(a).total_cmp(&shape(b)));
            own.sort_by(|a, b| shape(a).total_cmp(&shape(b)));
            for (read, own) in read.into_iter().zip(&own) {
                assert_eq!(read.stamps.len(), NODES - 1);
                // The rate of the clock is measured again by whoever reads; one rate for all.
                let rate = read.stamps_sum / own.stamps_sum;
                assert!((rate - 1.0).abs() < 1e-3, "{rate}");
                for (read, own) in read.stamps.iter().zip(&own.stamps) {
                    assert_eq!((&read.name, read.itr_num), (&own.name, own.itr_num));
                    let expected = rate * own.cum;
                    assert!((read.cum - expected).abs() <= 1e-6 * expected.max(1e-9));
                }
            }
            self.stamp();
        }
        assert!(reader.refresh().expect("can be read") >= PROCESSES * NODES);
    }

    /// The files of all timers, for bare reads.
    fn files(&self) -> Vec<File> {
        let entries = std::fs::read_dir(self.session.dir()).expect("can be listed");
        let files = entries.map(|entry| entry.expect("can be listed").path());
        let files: Vec<File> = files
            .filter(|path| path.extension().is_some_and(|ending| ending == "pct"))
            .map(|path| File::open(path).expect("can be opened"))
            .collect();
        assert_eq!(files.len(), PROCESSES);
        files
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.timers.clear();
        let _ = self.session.clone().end();
    }
}

fn timer(session: &Session) -> Timer {
    let mut timer = Timer::new("root");
    timer.set_settings(Settings { unique: false, ..Settings::default() });
    timer.publish_to(publish_in(session).expect("there is room"));
    timer
}

/// What tells a timer from others, whatever a tick is: how its time is spread over its stamps.
fn shape(times: &Times) -> f64 {
    let moment = |(at, stamp): (u32, &StampTimes)| f64::from(at) * stamp.cum;
    (0..).zip(&times.stamps).map(moment).sum::<f64>() / times.stamps_sum
}

fn trees(snapshot: &Snapshot) -> impl Iterator<Item = &Times> {
    snapshot.processes.iter().flat_map(|process| &process.lanes).map(|lane| &lane.times)
}

/// Sends trees one after the other, and takes each out again.
struct Channel {
    send: IpcSender<Times>,
    receive: IpcReceiver<Times>,
    trees: Vec<Times>,
}

impl Channel {
    fn new(session: &Session) -> Self {
        let (send, receive) = ipc::channel().expect("can be made");
        let trees = trees(&session.snapshot().expect("can be read")).cloned().collect();
        let channel = Self { send, receive, trees };
        assert_eq!(channel.pass(channel.trees.clone()), channel.trees);
        channel
    }

    fn pass(&self, trees: Vec<Times>) -> Vec<Times> {
        let pass = |tree: Times| {
            self.send.send(tree).expect("can be sent");
            self.receive.recv().expect("was sent")
        };
        trees.into_iter().map(pass).collect()
    }

    /// How long it takes, without the making of what is sent.
    fn seconds(&self) -> f64 {
        let trees = self.trees.clone();
        seconds(|| drop(self.pass(trees)))
    }
}

/// `multiprocessing.Queue` in Python, by [mp_queue.py](../engines/mp_queue.py); `None` where there
/// is no Python.
fn queue() -> Option<Engine> {
    let command = python().map(|python| {
        let mut command = Command::new(python);
        command.arg(engine("mp_queue.py")).args([PROCESSES, NODES - 1].map(|n| n.to_string()));
        command
    });
    Engine::start("multiprocessing.Queue", command)
}

/// Seconds for each of a block of operations.
fn each(operations: impl FnOnce()) -> f64 {
    seconds(operations) / BLOCK as f64
}

/// A stamp that is shared beside one that is not and a bare reading of the clock.
fn compare_stamps(n: usize) {
    let session = Session::create().expect("there is a tmpfs");
    let clock = SystemClock::new();
    let (mut shared, mut own) = (timer(&session), Timer::new("root"));
    own.set_settings(Settings { unique: false, ..Settings::default() });
    let stamps = |timer: &mut Timer| {
        each(|| (0..BLOCK).for_each(|_| timer.stamp(name!("a")).map(drop).expect("it runs")))
    };
    let is = if clock.is_counter() { "rdtsc" } else { "monotonic clock (no rdtsc here)" };
    let sides = vec![
        Side::new(is, || {
            each(|| {
                for _ in 0..BLOCK {
                    black_box(clock.ticks());
                }
            })
        }),
        Side::new("stamp", || stamps(&mut own)),
        Side::new("stamp, shared", || stamps(&mut shared)),
    ];
    let bare = compare("a stamp (wanted: shared, 1.45 x rdtsc)", n, sides)[0];
    let snapshot = session.snapshot().expect("can be read");
    let seen = trees(&snapshot).next().expect("it is shared").stamps[0].itr_num;
    assert!(seen > 0, "nothing was shared");
    drop(shared);
    compare_iterations(&session, n, bare);
    let _ = session.end();
}

/// What a histogram adds to a shared stamp: passes of a loop with one stamp each, since outside of
/// loops a stamp is one iteration however often it comes.
#[expect(clippy::print_stderr, reason = "a line below a table")]
fn compare_iterations(session: &Session, n: usize, bare: Cost) {
    let mut shared = timer(session);
    let mut counted = Timer::new("root");
    counted.publish_to(publish_histograms_in(session).expect("there is room"));
    let mut timers = [&mut shared, &mut counted];
    let mut loops = [(); 2]
        .map(|()| Loop::new(LoopOptions { save_itrs: Some(false), ..LoopOptions::default() }));
    for (timer, timed) in timers.iter_mut().zip(&mut loops) {
        timer.loop_enter(timed).expect("it runs");
    }
    let ([first, second], [first_loop, second_loop]) = (timers, loops.each_mut());
    let mut n_blocks = 0;
    let passes = |timer: &mut Timer, timed: &mut Loop| {
        each(|| {
            for _ in 0..BLOCK {
                timer.loop_next(timed).expect("it is entered");
                timer.stamp(name!("a")).map(drop).expect("it runs");
            }
        })
    };
    let sides = vec![
        Side::new("shared", || passes(first, first_loop)),
        Side::new("shared, with a histogram", || {
            n_blocks += 1;
            passes(second, second_loop)
        }),
    ];
    let costs = compare("a pass with a stamp", n, sides);
    let snapshot = session.snapshot().expect("can be read");
    let lanes = snapshot.processes.iter().flat_map(|process| &process.lanes);
    let counts: Vec<u64> = lanes.flat_map(|lane| &lane.histograms).map(|one| one.count()).collect();
    assert_eq!(counts, [BLOCK * n_blocks], "one of them has a histogram");
    let [without, with] = [0, 1].map(|side| costs[side]);
    eprintln!(
        "  the histogram: {:.2} of a bare reading of the clock (at best {:.2})",
        (with.median - without.median) / bare.median,
        (with.best - without.best) / bare.best
    );
}

fn compare_looks(scene: &mut Scene, n: usize) {
    let files = scene.files();
    let session = scene.session.clone();
    let mut buffer = vec![0; USED_BYTES];
    let [mut idle, mut kept, mut tree] = [(); 3].map(|()| Reader::new(&session));
    let refresh = |reader: &mut Reader| reader.refresh().expect("can be read");
    // A directory that was changed a moment ago is listed again each time.
    std::thread::sleep(Duration::from_millis(50));
    (0..2).for_each(|_| drop((refresh(&mut idle), refresh(&mut kept), tree.snapshot())));
    let cold_reader = || {
        let mut reader = Reader::new(&session);
        assert!(refresh(&mut reader) >= PROCESSES * NODES);
        reader
    };
    let what = format!("{PROCESSES} x {NODES} nodes");
    // Trees apart: the allocator puts in order what they give back only at the next large request,
    // which would be that of whoever looks at numbers after them.
    let sides = vec![
        Side::new("files open", || seconds(|| drop(tree.snapshot().expect("can be read")))),
        Side::new("cold", || seconds(|| drop(session.snapshot().expect("can be read")))),
    ];
    compare(&format!("a look at {what}: trees"), n, sides);
    drop(cold_reader());
    let sides = vec![
        Side::new("bare reads of all nodes, files open", || {
            seconds(|| {
                for file in &files {
                    file.read_exact_at(&mut buffer, 0).expect("can be read");
                    black_box(&buffer);
                }
            })
        }),
        Side::new("files open, none changed (100 us)", || {
            refresh(&mut idle);
            seconds(|| refresh(&mut idle))
        }),
        Side::new("files open, all changed (100 us)", || {
            scene.stamp();
            seconds(|| refresh(&mut kept))
        }),
        Side::new("cold (250 us)", || seconds(cold_reader)),
        Side::new("cold, closed", || seconds(|| drop(cold_reader()))),
    ];
    compare(&format!("a look at {what}: numbers (wanted in brackets)"), n, sides);
}

/// The same trees by other ways.
fn compare_others(scene: &Scene, n: usize) {
    let session = &scene.session;
    let channel = Channel::new(session);
    let [mut numbers, mut tree] = [(); 2].map(|()| Reader::new(session));
    tree.snapshot().expect("can be read");
    let mut queue = queue();
    let n_stamps = PROCESSES * (NODES - 1);
    let mut sides = vec![
        Side::new("numbers", || seconds(|| numbers.refresh().expect("can be read"))),
        Side::new("trees", || seconds(|| drop(tree.snapshot().expect("can be read")))),
        Side::new("ipc-channel", || channel.seconds()),
    ];
    if let Some(queue) = &mut queue {
        let name = queue.name().to_owned();
        sides.push(Side::new(name, move || queue.ask("trees", format!("{PROCESSES} {n_stamps}"))));
    }
    compare("what 64 timers measured, to another process", n, sides);
}

fn sharing(c: &mut Criterion) {
    let mut scene = Scene::new();
    scene.check();
    if is_comparing() {
        let n = if is_measuring() { TURNS } else { 1 };
        compare_others(&scene, n);
        compare_stamps(n);
        compare_looks(&mut scene, n);
    }
    let mut group = c.benchmark_group("shm");
    group.sample_size(20).measurement_time(Duration::from_secs(1));
    group.warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements((PROCESSES * NODES) as u64));
    let session = scene.session.clone();
    let mut reader = Reader::new(&session);
    group.bench_function("numbers", |b| b.iter(|| reader.refresh()));
    group.bench_function("numbers, cold", |b| b.iter(|| Reader::new(&session).refresh()));
    group.bench_function("trees", |b| b.iter(|| reader.snapshot()));
    let channel = Channel::new(&session);
    group.bench_function("ipc-channel", |b| {
        b.iter_batched(
            || channel.trees.clone(),
            |trees| channel.pass(trees),
            BatchSize::LargeInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    let mut shared = timer(&session);
    group.bench_function("stamp", |b| b.iter(|| shared.stamp(name!("a")).map(drop)));
    group.finish();
}

criterion_group!(benches, sharing);
criterion_main!(benches);
