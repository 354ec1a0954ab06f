//! Reading of recordings, 200000 samples at a time, as an analysis does.
//!
//! A kernel that keeps up with the radar on a few cores is of no use when the samples do not. Every
//! thread has a channel of its own and its own part of the recording. The recording is in the page
//! cache, and its files are open; those that are compressed are opened and inflated anew each time.
//!
//! With `POLYCHRON_PYTHON` naming a Python that has digital_rf (`cargo xtask setup` makes one), its
//! `read_vector` reads the same recording in turns with us, by
//! `benches/engines/digital_rf_read.py`, and the medians are printed side by side before criterion
//! begins; so are those of one and two threads of ours.
//!
//! Answers are checked before the clock runs: every sample against the formula that it was written
//! by, and digital_rf's sums against ours.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "the comparison has no other place to go to")]

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use digital_rf::{Channel, ChannelConfig, ChannelWriter, Reader, Sample, SampleRate};
use num_complex::{Complex, Complex32};

/// 2021-04-12T12:15:40Z at 1 MHz.
const START: u64 = 1_618_229_740_000_000;
/// Samples that are read at once: an integration of ten periods.
const LENGTH: usize = 200_000;
/// How many of them there are in a recording of four files of a second each.
const COUNT: usize = 20;
/// How often the two sides of a comparison take turns.
const TURNS: usize = 11;
/// How often a recording that is not compressed is read in a turn: once takes a millisecond or two,
/// too short for a system to spread threads over its cores.
const PASSES: usize = 20;

/// Both parts of sample `k`: numbers without a pattern that deflate would find, of 13 bits.
fn parts(k: usize) -> (i16, i16) {
    let mut z = (k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z as i16) >> 3, ((z >> 16) as i16) >> 3)
}

/// Writes a channel of all samples.
fn write<T: Sample>(dir: &Path, compression: u32, sample: fn((i16, i16)) -> T) {
    let rate = SampleRate::from_hz(1_000_000).expect("is a rate");
    let config = ChannelConfig { compression, ..ChannelConfig::new(rate, START) };
    let mut writer = ChannelWriter::create(dir, config).expect("can be made");
    let samples: Vec<T> = (0..COUNT * LENGTH).map(parts).map(sample).collect();
    writer.write(&samples).expect("can be written");
    writer.finish().expect("can be written");
}

/// Reads a part of the recording into the same buffer again and again.
fn read(channel: &Channel, part: std::ops::Range<usize>, buffer: &mut [Complex32]) {
    for k in part {
        channel.read_complex32(START + (k * LENGTH) as u64, 0, buffer).expect("can be read");
        black_box(&mut *buffer);
    }
}

fn check(channel: &Channel, buffer: &mut [Complex32]) {
    for k in 0..COUNT {
        read(channel, k..k + 1, buffer);
        for (at, z) in buffer.iter().enumerate() {
            let (re, im) = parts(k * LENGTH + at);
            assert_eq!(*z, Complex32::new(f32::from(re), f32::from(im)));
        }
    }
}

/// Threads that wait for a word to read their part, so that starting them is not what is timed.
struct Team {
    go: Vec<mpsc::Sender<usize>>,
    done: mpsc::Receiver<()>,
}

impl Team {
    fn new(channel: &Channel, n: usize) -> Self {
        let inflates = channel.name().ends_with("gzip");
        let (finished, done) = mpsc::channel();
        let go = (0..n)
            .map(|thread| {
                let (go, orders) = mpsc::channel();
                let (mut channel, finished) = (channel.clone(), finished.clone());
                let part = thread * COUNT / n..(thread + 1) * COUNT / n;
                thread::spawn(move || {
                    let mut buffer = vec![Complex32::default(); LENGTH];
                    for passes in orders {
                        for _ in 0..passes {
                            if inflates {
                                channel = channel.clone(); // of which nothing is inflated yet
                            }
                            read(&channel, part.clone(), &mut buffer);
                        }
                        // Nobody listens any more when the benchmark ends.
                        let _ = finished.send(());
                    }
                });
                go
            })
            .collect();
        let team = Self { go, done };
        team.read(1); // opens the files
        team
    }

    fn read(&self, passes: usize) {
        self.go.iter().for_each(|go| go.send(passes).expect("the thread waits"));
        self.go.iter().for_each(|_| self.done.recv().expect("the thread reads"));
    }

    /// Seconds of one pass, of several.
    fn seconds(&self, passes: usize) -> f64 {
        let begin = Instant::now();
        self.read(passes);
        begin.elapsed().as_secs_f64() / passes as f64
    }
}

/// The real digital_rf, waiting for orders.
struct Peer {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(python: &std::ffi::OsStr, top: &Path, channel: &str) -> Self {
        let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines/digital_rf_read.py");
        let mut process = Command::new(python)
            .args([engine.as_path(), top])
            .args([channel, &START.to_string(), &COUNT.to_string(), &LENGTH.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("POLYCHRON_PYTHON names a Python");
        let orders = process.stdin.take().expect("was asked for");
        let answers = BufReader::new(process.stdout.take().expect("was asked for"));
        Self { process, orders, answers }
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("digital_rf takes orders");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("digital_rf answers");
        answer.trim().to_owned()
    }

    /// Seconds of one pass, of several.
    fn seconds(&mut self, passes: usize) -> f64 {
        let seconds: f64 = self.ask(&format!("time {passes}")).parse().expect("digital_rf reads");
        seconds / passes as f64
    }

    fn stop(self) {
        let Self { mut process, orders, .. } = self;
        drop(orders);
        let status = process.wait().expect("digital_rf ends");
        assert!(status.success(), "digital_rf ended with {status}");
    }
}

/// Medians of two sides that take turns, the median of the ratios of the turns, and the ratio of the
/// shortest turns, which is right even where others use the machine now and then.
fn turns(n: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> [f64; 4] {
    let (mut times_a, mut times_b) = (Vec::new(), Vec::new());
    for _ in 0..n {
        times_a.push(a());
        times_b.push(b());
    }
    let ratios = times_a.iter().zip(&times_b).map(|(a, b)| a / b).collect();
    let [a, b, ratio] = [times_a, times_b, ratios].map(|mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        [values[n / 2], values[0]]
    });
    [a[0], b[0], ratio[0], a[1] / b[1]]
}

fn compare(name: &str, top: &Path, channel: &Channel, n_turns: usize) {
    let passes = if name.ends_with("gzip") { 1 } else { PASSES };
    let (one, two) = (Team::new(channel, 1), Team::new(channel, 2));
    let [t1, t2, gain, best] = turns(n_turns, || one.seconds(passes), || two.seconds(passes));
    let (ms1, ms2) = (1e3 * t1, 1e3 * t2);
    eprintln!(
        "{name}: one thread {ms1:.2} ms, two {ms2:.2} ms, ratio {gain:.2} (at best {best:.2})"
    );
    let Some(python) = std::env::var_os("POLYCHRON_PYTHON") else {
        eprintln!("skipped: digital_rf beside {name}, POLYCHRON_PYTHON is not set");
        return;
    };
    let mut peer = Peer::start(&python, top, name);
    let sum = |part: fn((i16, i16)) -> i16| {
        (0..COUNT * LENGTH).map(|k| i64::from(part(parts(k)))).sum::<i64>()
    };
    let expected = format!("{} {}", sum(|(re, _)| re), sum(|(_, im)| im));
    assert_eq!(peer.ask("check"), expected, "digital_rf reads something else");
    let [theirs, ours, ratio, best] =
        turns(n_turns, || peer.seconds(passes), || one.seconds(passes));
    let (theirs, ours) = (1e3 * theirs, 1e3 * ours);
    eprintln!(
        "{name}: digital_rf {theirs:.2} ms, one thread {ours:.2} ms, ratio {ratio:.2} (at best {best:.2})"
    );
    peer.stop();
}

fn reading(c: &mut Criterion) {
    let top = tempfile::tempdir().expect("there is a place for temporary files");
    for (suffix, compression) in [("", 0), ("-gzip", 1)] {
        let dir = |name| top.path().join(format!("{name}{suffix}"));
        write(&dir("sc16"), compression, |(re, im)| Complex::new(re, im));
        write(&dir("fc32"), compression, |(re, im)| Complex::new(f32::from(re), f32::from(im)));
    }
    let reader = Reader::open(top.path()).expect("was written");
    let once = std::env::args().any(|arg| arg == "--test");
    let mut group = c.benchmark_group("drf");
    group.throughput(Throughput::Elements((COUNT * LENGTH) as u64));
    group.sample_size(20);
    for name in ["sc16", "fc32", "sc16-gzip", "fc32-gzip"] {
        let channel = reader.channel(name).expect("was written");
        check(&channel, &mut vec![Complex32::default(); LENGTH]);
        compare(name, top.path(), &channel, if once { 1 } else { TURNS });
        for threads in [1, 2] {
            let team = Team::new(&channel, threads);
            let id = BenchmarkId::new(name, format!("{threads}-threads"));
            group.bench_function(id, |b| b.iter(|| team.read(1)));
        }
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
