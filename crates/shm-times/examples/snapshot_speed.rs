//! What a look at a session costs: 64 processes of 200 nodes each, by default.
//!
//! `cargo run --release -p shm-times --example snapshot_speed -- [PROCESSES] [NODES]`
//!
//! | line       | what is timed                                                                       |
//! | ---------- | ----------------------------------------------------------------------------------- |
//! | `cold`     | a new reader copies and checks all numbers: files are listed, opened, read, closed |
//! | `kept`     | the same reader again: only marks are read, nothing has changed                     |
//! | `snapshot` | and trees with names made of them, which is more than the numbers                  |
//! | `publish`  | one publication of a node, without a clock                                          |

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use gtimer_core::publish::{NodeKind, Place, Publisher, Values};
use shm_times::{Reader, Session, publish_in};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let n_processes: usize = args.next().map_or(Ok(64), |n| n.parse())?;
    let n_nodes: usize = args.next().map_or(Ok(200), |n| n.parse())?;
    let session = Session::create()?;
    let mut writers: Vec<(Box<dyn Publisher>, Place)> = Vec::new();
    for _ in 0..n_processes {
        let mut publisher = publish_in(&session)?;
        publisher.set_clock(1e9, 0);
        let root = publisher.add(NodeKind::Root, "root", None).ok_or("no room")?;
        let mut stamp = root;
        for i in 1..n_nodes {
            let name = format!("stage {i}");
            stamp = publisher.add(NodeKind::Stamp, &name, Some(root.node)).ok_or("no room")?;
            stamp.latch.publish(values(i as u64));
        }
        writers.push((publisher, stamp));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{n_processes} processes x {n_nodes} nodes, median (minimum) of {ROUNDS}")?;
    let mut copied = 0;
    let cold = times_us(|| {
        copied = Reader::new(&session).refresh()?;
        Ok(())
    })?;
    assert!(copied >= n_processes * n_nodes, "copied only {copied}");
    let mut reader = Reader::new(&session);
    reader.refresh()?;
    let kept = times_us(|| reader.refresh().map(drop))?;
    let snapshot = times_us(|| reader.snapshot().map(drop))?;
    writeln!(out, "cold {cold}, kept {kept}, snapshot {snapshot}")?;
    let stamp = &writers[0].1;
    let n = 10_000_000;
    let start = Instant::now();
    (0..n).for_each(|i| stamp.latch.publish(values(i)));
    writeln!(out, "publish {:.2} ns", start.elapsed().as_secs_f64() * 1e9 / n as f64)?;
    session.end()?;
    Ok(())
}

fn values(i: u64) -> Values {
    Values { ticks: 3 * i, num: i, min: 2, max: 5, last: i, epoch: 0 }
}

/// The median and the minimum, in µs.
fn times_us(
    mut run: impl FnMut() -> Result<(), shm_times::SessionError>,
) -> Result<String, shm_times::SessionError> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(format!("{:.0} ({:.0}) us", times[ROUNDS / 2], times[0]))
}
