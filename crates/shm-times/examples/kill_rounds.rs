//! Kills writers at random instants and looks at what they leave behind.
//!
//! `cargo run --release -p shm-times --example kill_rounds -- 1000`
//!
//! Each round starts a process that publishes as fast as it can, in one of three ways, reads it
//! all the while, kills it by SIGKILL at a random instant, and reads it once more. By another way,
//! plain writes into a file of its own, the process tells how far it has come: before a batch,
//! and so after the one before it. The last line is
//!
//! ```text
//! rounds, unreadable, lost, torn, gave_up: 1000, 0, 0, 0, 0
//! ```
//!
//! | word         | counts                                                                       |
//! | ------------ | ---------------------------------------------------------------------------- |
//! | `unreadable` | rounds whose file cannot be read after the kill, or says it is damaged       |
//! | `lost`       | rounds that show less than was told, or more than can have been, after the kill |
//! | `torn`       | reads, during and after, in which numbers of one record do not belong together, or in which a count went down |
//! | `gave_up`    | records that a reader gave up as busy                                        |
//!
//! The exit code is 1 when any of the four is not 0.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use gtimer_core::Times;
use gtimer_core::publish::{NodeKind, Place, Position, Publisher, Values, new_publisher};
use shm_times::{NoteKind, Reader, SESSION_VARIABLE, Session};

/// Ticks of the pretended clock in a second: so that seconds hold them exactly.
const RATE: f64 = (1_u64 << 20) as f64;
/// What is done between two words of how far it is.
const BATCH: u64 = 64;
/// How long a writer may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("writer"), Some(way), Some(told)) => write_for_ever(&way, Path::new(&told)),
        (rounds, _, _) => kill(rounds.unwrap_or("1000").parse()?),
    }
}

#[derive(Default)]
struct Counts {
    unreadable: usize,
    lost: usize,
    torn: usize,
    gave_up: usize,
    reads: usize,
}

fn kill(rounds: usize) -> Result<ExitCode, Box<dyn Error>> {
    let session = Session::create()?;
    let told = session.dir().join("n-told.pct");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut counts = Counts::default();
    let mut killed_with = 0;
    let start = Instant::now();
    for round in 0..rounds {
        let way = ["stamps", "merges", "threads"][round % 3];
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&told)?;
        file.write_all_at(&[0; 8], 0)?;
        let mut writer = Command::new(std::env::current_exe()?)
            .args(["writer", way])
            .arg(&told)
            .env(SESSION_VARIABLE, session.dir())
            .stdout(Stdio::null())
            .spawn()?;
        let done = one_round(&session, &mut writer, &file, &mut random, &mut counts);
        // Whatever happened, the writer must not outlive its round.
        let _ = writer.kill();
        writer.wait()?;
        killed_with += done?;
        session.reap()?;
    }
    session.end()?;
    let Counts { unreadable, lost, torn, gave_up, reads } = counts;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{reads} reads, {killed_with} publications, {:.1} s",
        start.elapsed().as_secs_f64()
    )?;
    writeln!(
        out,
        "rounds, unreadable, lost, torn, gave_up: {rounds}, {unreadable}, {lost}, {torn}, {gave_up}"
    )?;
    let all_well = unreadable + lost + torn + gave_up == 0 && reads > rounds;
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one_round(
    session: &Session,
    writer: &mut Child,
    told: &File,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<u64, Box<dyn Error>> {
    let mut reader = Reader::new(session);
    let pid = writer.id();
    let deadline = Instant::now() + PATIENCE;
    while read_told(told)? == 0 {
        if Instant::now() > deadline || writer.try_wait()?.is_some() {
            return Err(format!("writer {pid} did not begin").into());
        }
    }
    let until = Instant::now() + Duration::from_micros(random.below(3000));
    let mut seen = 0;
    while Instant::now() < until {
        let (_, n) = look(&mut reader, pid, counts)?;
        counts.torn += usize::from(n < seen);
        seen = seen.max(n);
    }
    writer.kill()?;
    writer.wait()?;
    let (is_there, n) = look(&mut Reader::new(session), pid, counts)?;
    counts.unreadable += usize::from(!is_there);
    counts.torn += usize::from(n < seen);
    // It told `t` before it began with what makes it `t + BATCH`, at most.
    let t = read_told(told)? - 1;
    counts.lost += usize::from(!(t..=t + BATCH).contains(&n));
    Ok(n)
}

/// Reads the process: whether it is there, and what it has published in all.
fn look(reader: &mut Reader, pid: u32, counts: &mut Counts) -> Result<(bool, u64), Box<dyn Error>> {
    let snapshot = reader.snapshot()?;
    counts.reads += 1;
    let mut is_whole = true;
    for note in &snapshot.notes {
        match note.kind {
            NoteKind::Busy { records } => counts.gave_up += records,
            _ => {
                is_whole = false;
                writeln!(std::io::stderr().lock(), "{note}")?;
            }
        }
    }
    let Some(process) = snapshot.processes.iter().find(|process| process.pid == pid) else {
        return Ok((false, 0));
    };
    let n = process.lanes.iter().map(|lane| count(&lane.times, counts)).sum();
    Ok((is_whole, n))
}

/// How many publications are in a tree; looks whether the numbers of each record fit together.
fn count(times: &Times, counts: &mut Counts) -> u64 {
    let mut n = 0;
    for stamp in &times.stamps {
        let num = stamp.itr_num;
        // What `publish` makes of them.
        let fits = stamp.cum * RATE == (3 * num) as f64
            && stamp.itr_max * RATE == if num == 0 { 0.0 } else { 5.0 }
            && stamp.itr_min * RATE == if num == 0 { 0.0 } else { 2.0 };
        counts.torn += usize::from(!fits);
        n += num;
    }
    let below = times.subdivisions.iter().flat_map(|at| &at.timers);
    n + below.map(|timer| count(timer, counts)).sum::<u64>()
}

fn read_told(told: &File) -> Result<u64, Box<dyn Error>> {
    let mut bytes = [0; 8];
    told.read_exact_at(&mut bytes, 0)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn write_for_ever(way: &str, told: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let told = File::options().write(true).open(told)?;
    let mut n = 0;
    let mut tell = move || -> std::io::Result<()> {
        // One more, so that zero says that it has not begun.
        told.write_all_at(&u64::to_ne_bytes(n + 1), 0)?;
        n += BATCH;
        Ok(())
    };
    match way {
        "stamps" => stamps(&mut tell),
        "merges" => merges(&mut tell),
        _ => threads(&mut tell),
    }
}

fn begin() -> Result<(Box<dyn Publisher>, Place), Box<dyn Error>> {
    let mut publisher = new_publisher().ok_or("nobody shares the times")?;
    publisher.set_clock(RATE, 0);
    let root = publisher.add(NodeKind::Root, "root", None).ok_or("no room")?;
    Ok((publisher, root))
}

fn publish(stamp: &Place, num: u64, epoch: u64) {
    stamp.latch.publish(Values { ticks: 3 * num, num, min: 2, max: 5, last: num, epoch });
}

/// Sixteen stamps in turn.
fn stamps(tell: &mut dyn FnMut() -> std::io::Result<()>) -> Result<ExitCode, Box<dyn Error>> {
    let (mut publisher, root) = begin()?;
    let stamps: Vec<Place> = (0..16)
        .filter_map(|i| publisher.add(NodeKind::Stamp, &format!("stamp {i}"), Some(root.node)))
        .collect();
    for pass in 0_u64.. {
        if (pass * 16).is_multiple_of(BATCH) {
            tell()?;
        }
        for stamp in &stamps {
            publish(stamp, pass + 1, 0);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A timer that is begun again and again, and each time merged into the one that was there.
fn merges(tell: &mut dyn FnMut() -> std::io::Result<()>) -> Result<ExitCode, Box<dyn Error>> {
    let (mut publisher, root) = begin()?;
    let mut add = |kind, name, parent| publisher.add(kind, name, Some(parent)).ok_or("no room");
    let taken_by = add(NodeKind::Stamp, "stamp", root.node)?;
    let into = add(NodeKind::Subdivision, "work", root.node)?;
    let sums = [
        add(NodeKind::Stamp, "read", into.node)?,
        add(NodeKind::Stamp, "write", into.node)?,
        add(NodeKind::Stamp, "check", into.node)?,
        add(NodeKind::Stamp, "rest", into.node)?,
    ];
    let from = add(NodeKind::Subdivision, "work", root.node)?;
    let runs = [
        add(NodeKind::Stamp, "read", from.node)?,
        add(NodeKind::Stamp, "write", from.node)?,
        add(NodeKind::Stamp, "check", from.node)?,
        add(NodeKind::Stamp, "rest", from.node)?,
    ];
    publisher.set_position(into.node, Position::Stamp(taken_by.node));
    publisher.set_position(from.node, Position::Free);
    let mut epoch = 0;
    for run in 0_u64.. {
        if (run * 4 * 2).is_multiple_of(BATCH) {
            tell()?;
        }
        for stamp in &runs {
            stamp.latch.publish(Values::default());
        }
        publisher.set_position(from.node, Position::Awaiting);
        for num in 1..=2 {
            for stamp in &runs {
                publish(stamp, num, epoch);
            }
        }
        epoch = publisher.begin_merge(from.node, into.node);
        into.latch.publish(Values { num: run + 1, epoch, ..Values::default() });
        for stamp in &sums {
            publish(stamp, 2 * (run + 1), epoch);
        }
        publisher.end_merge();
    }
    Ok(ExitCode::SUCCESS)
}

/// Threads that come, publish, and go, so that they are added to the threads before them.
fn threads(tell: &mut dyn FnMut() -> std::io::Result<()>) -> Result<ExitCode, Box<dyn Error>> {
    // The file must be there before the first word.
    drop(begin()?);
    loop {
        tell()?;
        let thread = std::thread::spawn(|| -> Option<()> {
            let (mut publisher, root) = begin().ok()?;
            for i in 0..BATCH / 8 {
                let name = format!("stamp {i}");
                let stamp = publisher.add(NodeKind::Stamp, &name, Some(root.node))?;
                for num in 1..=8 {
                    publish(&stamp, num, 0);
                }
            }
            Some(())
        });
        thread.join().ok().flatten().ok_or("a thread found no room")?;
    }
}

/// Marsaglia's xorshift, seeded: the same instants each time, as far as a machine can.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
