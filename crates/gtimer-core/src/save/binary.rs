//! The binary form: a header, then every timer in postcard, parents before children.
//!
//! The tree lies flat in the file, so that neither writing nor reading it recurses.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::{MAX_DEPTH, TimesDataError, damaged};
use crate::times::{ParallelGroup, StampTimes, Subdivisions, Times};

/// The first byte is no text, and the last one breaks where line ends are translated.
pub(super) const MAGIC: [u8; 8] = *b"\x8fPCTIME\n";

pub(super) const HEADER_BYTES: usize = 40;

const VERSION: u16 = 1;

/// The only kind there is: a list of trees of times.
const KIND_TREES: u16 = 1;

/// No timer takes fewer bytes: a byte for each text, list and flag, and three numbers.
const MIN_NODE_BYTES: usize = 7 + 3 * 8;

/// A timer without what is below it, which follows: subdivisions, then workers, in order.
#[derive(Serialize)]
struct NodeRef<'a> {
    name: &'a str,
    position: Option<&'a str>,
    total: f64,
    stamps_sum: f64,
    self_agg: f64,
    running: bool,
    save_itrs: bool,
    stamps: &'a [StampTimes],
    /// Positions, and how many timers follow for each.
    subdivisions: Vec<(&'a str, u64)>,
    /// Positions and groups, and how many workers follow for each.
    parallel: Vec<(&'a str, &'a str, u64)>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    position: Option<String>,
    total: f64,
    stamps_sum: f64,
    self_agg: f64,
    running: bool,
    save_itrs: bool,
    stamps: Vec<StampTimes>,
    subdivisions: Vec<(String, u64)>,
    parallel: Vec<(String, String, u64)>,
}

pub(super) fn encode(times: &[Times]) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut open: Vec<&Times> = times.iter().rev().collect();
    while let Some(times) = open.pop() {
        payload = postcard::to_extend(&node(times), payload)
            .expect("a Vec takes any bytes, and every length is known");
        let first = open.len();
        open.extend(times.children());
        open[first..].reverse();
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(KIND_TREES.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend((times.len() as u64).to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(checksum(&bytes, &payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn node(times: &Times) -> NodeRef<'_> {
    let Times { name, position, total, stamps_sum, self_agg, running, save_itrs, stamps, .. } =
        times;
    // What has no member says nothing, and could be claimed without end by a few bytes.
    let subdivisions = times.subdivisions.iter().filter(|at| !at.timers.is_empty());
    let parallel = times.parallel.iter().filter(|group| !group.workers.is_empty());
    NodeRef {
        name,
        position: position.as_deref(),
        total: *total,
        stamps_sum: *stamps_sum,
        self_agg: *self_agg,
        running: *running,
        save_itrs: *save_itrs,
        stamps,
        subdivisions: subdivisions
            .map(|at| (at.position.as_str(), at.timers.len() as u64))
            .collect(),
        parallel: parallel
            .map(|group| {
                (group.position.as_str(), group.group.as_str(), group.workers.len() as u64)
            })
            .collect(),
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(header);
    hash.update(payload);
    hash.digest()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Times>, TimesDataError> {
    let truncated = |expected: u64| {
        let found = bytes.len() as u64;
        TimesDataError::Truncated { found, expected }
    };
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(truncated(HEADER_BYTES as u64));
    };
    let field = |at: usize, n_bytes: usize| {
        header[at..at + n_bytes].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let (version, kind, count) = (field(8, 2), field(10, 2), field(16, 8));
    let (length, stated) = (field(24, 8), field(32, 8));
    // Before the checksum, which another version may place elsewhere.
    if version != u64::from(VERSION) {
        return Err(TimesDataError::Version { found: version, known: VERSION.into() });
    }
    let found = payload.len() as u64;
    if found < length {
        return Err(truncated(length.saturating_add(HEADER_BYTES as u64)));
    }
    if found > length {
        return Err(damaged(format!("{} bytes after the end", found - length)));
    }
    if checksum(&header[..32], payload) != stated {
        return Err(damaged("the checksum does not fit"));
    }
    // From here on the bytes are as they were written, though maybe not by us.
    if kind != u64::from(KIND_TREES) || field(12, 4) != 0 {
        return Err(damaged(format!("unknown kind {kind}")));
    }
    let mut reader = Reader { rest: payload };
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(reader.tree()?);
    }
    match reader.rest.len() {
        0 => Ok(all),
        rest => Err(damaged(format!("{rest} bytes after the last timer"))),
    }
}

/// A timer whose children are being read.
struct Frame {
    times: Times,
    /// Children that are still to come, for each position and then for each group.
    missing: Vec<u64>,
    /// The first of them that is not complete.
    at: usize,
}

impl Frame {
    /// The list that the next child goes to, or `None` when all are there.
    fn next_list(&mut self) -> Option<&mut Vec<Times>> {
        while self.missing.get(self.at) == Some(&0) {
            self.at += 1;
        }
        *self.missing.get_mut(self.at)? -= 1;
        let n_positions = self.times.subdivisions.len();
        Some(match self.at.checked_sub(n_positions) {
            None => &mut self.times.subdivisions[self.at].timers,
            Some(group) => &mut self.times.parallel[group].workers,
        })
    }

    fn is_complete(&self) -> bool {
        self.missing[self.at..].iter().all(|&n| n == 0)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn tree(&mut self) -> Result<Times, TimesDataError> {
        let mut open: Vec<Frame> = Vec::new();
        loop {
            if open.len() == MAX_DEPTH {
                return Err(TimesDataError::TooDeep { limit: MAX_DEPTH });
            }
            open.push(self.frame()?);
            while open.last().is_some_and(Frame::is_complete) {
                let Some(done) = open.pop() else { break };
                let Some(parent) = open.last_mut() else { return Ok(done.times) };
                if let Some(list) = parent.next_list() {
                    list.push(done.times);
                }
            }
        }
    }

    fn frame(&mut self) -> Result<Frame, TimesDataError> {
        let (node, rest) = postcard::take_from_bytes::<Node>(self.rest)
            .map_err(|error| damaged(format!("a timer cannot be read ({error})")))?;
        self.rest = rest;
        let Node {
            name, position, total, stamps_sum, self_agg, running, save_itrs, stamps, ..
        } = node;
        let counts = node.subdivisions.iter().map(|(_, n)| *n);
        let missing: Vec<u64> = counts.chain(node.parallel.iter().map(|(.., n)| *n)).collect();
        let promised = missing.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
        if missing.contains(&0) || promised > (rest.len() / MIN_NODE_BYTES) as u64 {
            return Err(damaged(format!("{promised} timers promised below {name:?}")));
        }
        let subdivisions = node.subdivisions.into_iter();
        let parallel = node.parallel.into_iter();
        let times = Times {
            name,
            position,
            total,
            stamps_sum,
            self_agg,
            running,
            save_itrs,
            stamps,
            subdivisions: subdivisions
                .map(|(position, _)| Subdivisions { position, timers: Vec::new() })
                .collect(),
            parallel: parallel
                .map(|(position, group, _)| ParallelGroup { position, group, workers: Vec::new() })
                .collect(),
        };
        Ok(Frame { times, missing, at: 0 })
    }
}
