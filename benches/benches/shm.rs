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
#![expect(clippy::print_stderr, reason = "the comparison has no other place to go to")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gtimer_core::{Clock as _, Loop, LoopOptions, Settings, SystemClock, Timer, Times, name};
use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
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
            read.sort_by(|a, b| a.stamps_sum.total_cmp(&b.stamps_sum));
            own.sort_by(|a, b| a.stamps_sum.total_cmp(&b.stamps_sum));
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
        seconds(|| self.pass(trees))
    }
}

/// `multiprocessing.Queue` in Python, by [mp_queue.py](../engines/mp_queue.py).
struct Queue {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Queue {
    /// `None` where there is no Python.
    fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("POLYCHRON_PYTHON") else {
            eprintln!("skipped: multiprocessing.Queue, POLYCHRON_PYTHON is not set");
            return None;
        };
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/engines/mp_queue.py"))
            .args([PROCESSES, NODES - 1].map(|n| n.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("POLYCHRON_PYTHON can be started");
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("is piped"));
        let mut queue = Self { child, ask, answers };
        let expected = format!("{PROCESSES} {}", PROCESSES * (NODES - 1));
        assert_eq!(queue.ask("check"), expected, "the queue passes something else");
        Some(queue)
    }

    fn ask(&mut self, what: &str) -> String {
        let ask = self.ask.as_mut().expect("not stopped");
        writeln!(ask, "{what}").expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // It ends with its input.
        self.ask = None;
        let _ = self.child.wait();
    }
}

/// The median and the least of the times that something took, in µs.
#[derive(Clone, Copy)]
struct Cost {
    median: f64,
    best: f64,
}

/// Runs all sides in turns.
fn turns<const N: usize>(n: usize, mut sides: [&mut dyn FnMut() -> f64; N]) -> [Cost; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(n));
    for _ in 0..n {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            times.push(1e6 * side());
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        Cost { median: times[n / 2], best: times[0] }
    })
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

/// The same, without what it takes to drop what was made.
fn seconds_until<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let made = black_box(work());
    let seconds = start.elapsed().as_secs_f64();
    drop(made);
    seconds
}

/// A stamp that is shared beside one that is not and a bare reading of the clock.
fn print_stamps(n: usize) {
    let session = Session::create().expect("there is a tmpfs");
    let clock = SystemClock::new();
    let (mut shared, mut own) = (timer(&session), Timer::new("root"));
    own.set_settings(Settings { unique: false, ..Settings::default() });
    let stamps = |timer: &mut Timer| {
        seconds(|| (0..BLOCK).for_each(|_| timer.stamp(name!("a")).map(drop).expect("it runs")))
    };
    let [bare, own, shared_cost] = turns(
        n,
        [
            &mut || {
                seconds(|| {
                    for _ in 0..BLOCK {
                        black_box(clock.ticks());
                    }
                })
            },
            &mut || stamps(&mut own),
            &mut || stamps(&mut shared),
        ],
    );
    let snapshot = session.snapshot().expect("can be read");
    let seen = trees(&snapshot).next().expect("it is shared").stamps[0].itr_num;
    assert!(seen > 0, "nothing was shared");
    let ns = |cost: Cost| 1e3 * cost.median / BLOCK as f64;
    let ratio = |cost: Cost| (cost.median / bare.median, cost.best / bare.best);
    let is = if clock.is_counter() { "rdtsc" } else { "monotonic clock (no rdtsc here)" };
    for (what, cost) in [("stamp", own), ("stamp, shared (wanted: 1.45)", shared_cost)] {
        let (middle, best) = ratio(cost);
        eprintln!(
            "{what}: {:.2} ns, {is} {:.2} ns, ratio {middle:.2} (at best {best:.2})",
            ns(cost),
            ns(bare)
        );
    }
    drop(shared);
    print_iterations(&session, n, bare);
    let _ = session.end();
}

/// What a histogram adds to a shared stamp: passes of a loop with one stamp each, since outside of
/// loops a stamp is one iteration however often it comes.
fn print_iterations(session: &Session, n: usize, bare: Cost) {
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
    let passes = |timer: &mut Timer, timed: &mut Loop| {
        seconds(|| {
            for _ in 0..BLOCK {
                timer.loop_next(timed).expect("it is entered");
                timer.stamp(name!("a")).map(drop).expect("it runs");
            }
        })
    };
    let [shared, with] =
        turns(n, [&mut || passes(first, first_loop), &mut || passes(second, second_loop)]);
    let snapshot = session.snapshot().expect("can be read");
    let lanes = snapshot.processes.iter().flat_map(|process| &process.lanes);
    let counts: Vec<u64> = lanes.flat_map(|lane| &lane.histograms).map(|one| one.count()).collect();
    assert_eq!(counts, [BLOCK * n as u64], "one of them has a histogram");
    let ns = |us: f64| 1e3 * us / BLOCK as f64;
    eprintln!(
        "pass with a stamp, shared: {:.2} ns, with a histogram {:.2} ns: {:.2} ns more, {:.2} of a bare reading (at best {:.2})",
        ns(shared.median),
        ns(with.median),
        ns(with.median - shared.median),
        (with.median - shared.median) / bare.median,
        (with.best - shared.best) / bare.best
    );
}

fn print_looks(scene: &mut Scene, n: usize) {
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
    // Trees apart: the allocator puts in order what they give back only at the next large request,
    // which would be that of whoever looks at numbers after them.
    let [trees, trees_cold] = turns(
        n,
        [&mut || seconds(|| tree.snapshot().expect("can be read")), &mut || {
            seconds(|| session.snapshot().expect("can be read"))
        }],
    );
    drop(cold_reader());
    let [bare, unchanged, changed, cold, closed] = turns(
        n,
        [
            &mut || {
                seconds(|| {
                    for file in &files {
                        file.read_exact_at(&mut buffer, 0).expect("can be read");
                        black_box(&buffer);
                    }
                })
            },
            &mut || {
                refresh(&mut idle);
                seconds(|| refresh(&mut idle))
            },
            &mut || {
                scene.stamp();
                seconds(|| refresh(&mut kept))
            },
            &mut || seconds_until(cold_reader),
            &mut || seconds(cold_reader),
        ],
    );
    let what = format!("{PROCESSES} x {NODES} nodes");
    for (name, cost) in [
        ("numbers, files open, none changed (wanted: 100)", unchanged),
        ("numbers, files open, all changed (wanted: 100)", changed),
        ("numbers, cold (wanted: 250)", cold),
        ("numbers, cold, closed", closed),
        ("trees, files open", trees),
        ("trees, cold", trees_cold),
    ] {
        eprintln!(
            "{what}, {name}: {:.0} us (at best {:.0}), bare reads {:.0} us, ratio {:.2} (at best {:.2})",
            cost.median,
            cost.best,
            bare.median,
            cost.median / bare.median,
            cost.best / bare.best
        );
    }
}

/// The same trees by other ways.
fn print_others(scene: &Scene, n: usize) {
    let session = &scene.session;
    let channel = Channel::new(session);
    let mut reader = Reader::new(session);
    reader.snapshot().expect("can be read");
    let mut queue = Queue::start();
    let mut python = || match &mut queue {
        Some(queue) => queue.ask("time").parse().expect("a number of seconds"),
        None => f64::NAN,
    };
    let mut numbers = Reader::new(session);
    let [ours, numbers, channel, python] = turns(
        n,
        [
            &mut || seconds(|| reader.snapshot().expect("can be read")),
            &mut || seconds(|| numbers.refresh().expect("can be read")),
            &mut || channel.seconds(),
            &mut python,
        ],
    );
    for (name, theirs) in [("ipc-channel", channel), ("multiprocessing.Queue", python)] {
        if theirs.median.is_nan() {
            continue;
        }
        eprintln!(
            "{name}: {:.0} us, numbers {:.0} us, ratio {:.1} (at best {:.1}); trees {:.0} us, ratio {:.1} (at best {:.1})",
            theirs.median,
            numbers.median,
            theirs.median / numbers.median,
            theirs.best / numbers.best,
            ours.median,
            theirs.median / ours.median,
            theirs.best / ours.best
        );
    }
}

fn sharing(c: &mut Criterion) {
    let mut scene = Scene::new();
    scene.check();
    // Cargo asks for a measurement by `--bench`; without it, once is enough.
    let n = if std::env::args().any(|arg| arg == "--bench") { TURNS } else { 1 };
    if !std::env::args().any(|arg| arg == "--list") {
        print_others(&scene, n);
        print_stamps(n);
        print_looks(&mut scene, n);
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
