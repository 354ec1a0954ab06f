//! The files of this process: slots for nodes, names, lanes for threads.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use gtimer_core::publish::{
    BUCKETS_OF_PART, MarkedBuckets, MarkedLatch, N_PARTS, NodeKind, Values,
};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::alive::{Identity, fnv1a};
use crate::error::SessionError;
use crate::label::Label;
use crate::layout::{
    AWAITING, BLOCK_SLOTS, BOOT_AT, CREATED_AT, DROPPED_AT, ENDIAN, ENDIAN_AT, FILE_BYTES_AT,
    HEADER_BYTES, HEADER_BYTES_AT, KIND_AT, KIND_HISTOGRAM, KIND_INFO, KIND_LANE, LABEL_AT,
    LABELS_AT, LANE_AT, MAGIC, MAGIC_AT, MAJOR, MAJOR_AT, MAX_LABEL, MAX_NAME, MAX_SEGMENTS, MINOR,
    MINOR_AT, N_SEGMENTS_AT, N_SLOTS_AT, NAME_AT, NAMES_AT, NO_HISTOGRAM_AT, PARENT_AT, PID_AT,
    PID_NS_AT, POSITION_AT, RANDOM_AT, RANK_AT, RUNNING, SEGMENT_AT, SESSION_AT, SLOT_BYTES,
    SLOT_BYTES_AT, SLOTS_AT, START_AT, STATE_AT, locate, mark_at, name_word, segment_base,
    segment_bytes, slots_at,
};
use crate::map::{self, Leaked, Segment};
use crate::reap;
use crate::session::Session;

mod finished;

/// This process in one session. Never given back: its places are `'static`.
#[derive(Debug)]
pub(crate) struct Process {
    session: Session,
    stem: String,
    armed: &'static AtomicU32,
    /// Whether stamps have histograms.
    histograms: bool,
    segments: [OnceLock<Segment>; MAX_SEGMENTS],
    inner: Mutex<Inner>,
    /// What a forked child uses instead.
    successor: Once,
}

#[derive(Debug)]
struct Inner {
    n_segments: usize,
    /// Slots in the last file that are given to threads, those before the first slot included.
    n_slots: usize,
    /// Bytes at the end of the last file that are taken by names.
    names_len: usize,
    /// Where each name is in the last file.
    names: HashMap<Box<str>, u64>,
    label_at: usize,
    free_lanes: Vec<Lane>,
    finished: Option<Finished>,
}

/// What a publisher knows of its nodes.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The slot of the lane, and of its clock and merge.
    pub(crate) lane: u32,
    pub(crate) info: u32,
    /// The nodes in use, in the order in which they were made, so parents before children.
    pub(crate) nodes: Vec<LaneNode>,
    /// Nodes of a thread that ended, all numbers zero, by parent and kind.
    reusable: HashMap<(u32, u32), Vec<Reusable>>,
    histograms: Histograms,
    /// The latest merge.
    pub(crate) epoch: u64,
    block: Block,
}

/// The slots that a thread may still use.
#[derive(Debug, Default)]
struct Block {
    /// The file that they are in, plus one.
    n_segments: usize,
    /// Their places in the file, counted in slots.
    slots: Range<usize>,
}

/// Where the histograms of stamps are.
type Histograms = HashMap<u32, [u32; N_PARTS]>;

/// The name and number of a node of which all numbers are zero.
type Reusable = (Box<str>, u32);

#[derive(Debug)]
pub(crate) struct LaneNode {
    node: u32,
    parent: u32,
    kind: u32,
    name: Box<str>,
}

/// The tree of all threads that ended.
#[derive(Debug)]
struct Finished {
    lane: u32,
    info: u32,
    clock: Values,
    epoch: u64,
    block: Block,
    nodes: HashMap<(u32, u32, u32, Box<str>), u32>,
    histograms: Histograms,
}

impl Process {
    /// Makes the file of this process, with the lock that says that it lives.
    pub(crate) fn create(
        session: &Session,
        histograms: bool,
    ) -> Result<&'static Self, SessionError> {
        if !session.is_in_memory() {
            return Err(SessionError::OnDisk { path: session.dir().to_owned() });
        }
        match Self::try_create(session, histograms) {
            Err(SessionError::File { ref source, .. })
                if source.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) =>
            {
                // What ended long ago gives way to what runs.
                reap::quietly(session, 0);
                Self::try_create(session, histograms)
            }
            result => result,
        }
        .inspect(|_| reap::quietly_when_many(session))
    }

    fn try_create(session: &Session, histograms: bool) -> Result<&'static Self, SessionError> {
        let own = Identity::own();
        let random = RandomState::new().hash_one(own.pid) as u32;
        let stem = format!("p-{}-{}-{random:08x}", own.pid, own.start);
        // Under this name until it is locked: else it would look like a dead process's file.
        let new = format!("n-{}-{}-{}-{random:08x}.pct", own.pid, own.start, own.pid_ns);
        let name = format!("{stem}.pct");
        let result = (|| {
            let first = new_segment(session, &new, 0, own, u64::from(random))?;
            // The mapping keeps its open file, in a forked child too. The lock must belong to
            // another one, or a child would keep it when this process is gone.
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let armed = map::hold(first, || {
                let lock = rustix::fs::openat(session.fd(), &*new, flags, Mode::empty())?;
                rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
                Ok(lock)
            })?;
            rustix::fs::renameat(session.fd(), &*new, session.fd(), &*name)?;
            Ok((first, armed))
        })();
        let (first, armed) = result.map_err(|source: std::io::Error| {
            let _ = rustix::fs::unlinkat(session.fd(), &*new, AtFlags::empty());
            session.file_error("make", Some(&name), source)
        })?;
        let inner = Inner {
            n_segments: 1,
            n_slots: slots_at(segment_bytes(0)) / SLOT_BYTES,
            names_len: 0,
            names: HashMap::new(),
            label_at: 0,
            free_lanes: Vec::new(),
            finished: None,
        };
        let segments: [OnceLock<Segment>; MAX_SEGMENTS] = Default::default();
        let _ = segments[0].set(first);
        let process: &'static Self = Box::leak(Box::new(Self {
            session: session.clone(),
            stem,
            armed,
            histograms,
            segments,
            inner: Mutex::new(inner),
            successor: Once::new(),
        }));
        process.set_label(&Label::from_env());
        Ok(process)
    }

    /// The process that this code runs in: itself, or what a forked child has in its place.
    pub(crate) fn here(&'static self) -> Option<&'static Self> {
        let mut process = self;
        while process.armed.load(Ordering::Relaxed) == 0 {
            let Self { session, histograms, .. } = process;
            process = process.successor.get(|| crate::create_or_warn(session, *histograms))?;
        }
        Some(process)
    }

    pub(crate) fn armed(&self) -> &'static AtomicU32 {
        self.armed
    }

    /// A lane for a thread; `None` when there is no room.
    pub(crate) fn lane(&'static self) -> Option<Lane> {
        let mut inner = self.lock();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("");
        let lane = if let Some(lane) = inner.free_lanes.pop() {
            // The old name stays when there is no room for the new one.
            self.rename(&mut inner, lane.lane, name);
            lane
        } else {
            self.new_lane(&mut inner, name)?
        };
        self.set_position(lane.lane, thread_id());
        Some(lane)
    }

    fn new_lane(&self, inner: &mut Inner, name: &str) -> Option<Lane> {
        let mut block = Block::default();
        let lane = self.slot(inner, &mut block, KIND_LANE, name, [0, 0, AWAITING])?;
        let info = self.slot(inner, &mut block, KIND_INFO, "", [lane, lane, AWAITING])?;
        Some(Lane { lane, info, block, ..Lane::default() })
    }

    /// A node for a thread's timer or stamp, all numbers zero; `None` when there is no room.
    pub(crate) fn add(
        &self,
        lane: &mut Lane,
        kind: NodeKind,
        name: &str,
        parent: Option<u32>,
    ) -> Option<u32> {
        let (kind, parent) = (kind as u32, parent.unwrap_or(0));
        let mut short = String::new();
        let name = cut(name, MAX_NAME, &mut short);
        let reused = lane.reusable.get_mut(&(parent, kind)).and_then(|nodes| {
            let at = nodes.iter().position(|(other, _)| **other == *name)?;
            Some(nodes.swap_remove(at).1)
        });
        let node = if let Some(node) = reused {
            self.set_position(node, AWAITING);
            node
        } else {
            let places = [parent, lane.lane, AWAITING];
            self.slot(&mut self.lock(), &mut lane.block, kind, name, places)?
        };
        lane.nodes.push(LaneNode { node, parent, kind, name: name.into() });
        Some(node)
    }

    /// The histogram of a stamp of a thread, all counts zero where the stamp's numbers are; `None`
    /// when there is to be none, or no room for one.
    pub(crate) fn histogram(
        &self,
        lane: &mut Lane,
        stamp: u32,
    ) -> Option<[MarkedBuckets; N_PARTS]> {
        if !self.histograms {
            return None;
        }
        let Lane { lane: number, block, histograms, .. } = lane;
        self.add_histogram(&mut self.lock(), block, histograms, stamp, *number)
    }

    fn add_histogram(
        &self,
        inner: &mut Inner,
        block: &mut Block,
        histograms: &mut Histograms,
        stamp: u32,
        lane: u32,
    ) -> Option<[MarkedBuckets; N_PARTS]> {
        if let Some(&parts) = histograms.get(&stamp) {
            return Some(self.parts(parts));
        }
        let mut parts = [0; N_PARTS];
        let mut first = 0;
        for part in &mut parts {
            // The last file, which is as large as all others together, is left to timers and stamps.
            let place = if inner.n_segments < MAX_SEGMENTS {
                self.try_slot(inner, block, KIND_HISTOGRAM, "", [stamp, lane, first])
            } else {
                None
            };
            let Some(place) = place else {
                let word = self.segments[0].get()?.word64(NO_HISTOGRAM_AT);
                word.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            *part = place;
            first += BUCKETS_OF_PART as u32;
        }
        histograms.insert(stamp, parts);
        Some(self.parts(parts))
    }

    fn parts(&self, parts: [u32; N_PARTS]) -> [MarkedBuckets; N_PARTS] {
        parts.map(|part| {
            let (segment, at) = self.place(part);
            let mark = mark_at(at, slots_at(segment.bytes()));
            MarkedBuckets::new(segment.buckets(at), segment.word64(mark))
        })
    }

    /// Gives a node another name, if there is room for it where the node is.
    pub(crate) fn rename_node(&self, lane: &mut Lane, node: u32, name: &str) {
        let mut short = String::new();
        let name = cut(name, MAX_NAME, &mut short);
        if self.rename(&mut self.lock(), node, name)
            && let Some(known) = lane.nodes.iter_mut().find(|known| known.node == node)
        {
            known.name = name.into();
        }
    }

    pub(crate) fn latch(&self, node: u32) -> MarkedLatch<'static> {
        let (segment, at) = self.place(node);
        latch(segment, at)
    }

    /// The position of a node.
    fn position(&self, node: u32) -> u32 {
        let (segment, at) = self.place(node);
        segment.word32(at + POSITION_AT).load(Ordering::Relaxed)
    }

    /// Says where a node belongs, or the number of a thread. Only for whoever publishes the node.
    pub(crate) fn set_position(&self, node: u32, position: u32) {
        let (segment, at) = self.place(node);
        latch(segment, at).change(|| {
            segment.word32(at + POSITION_AT).store(position, Ordering::Release);
        });
    }

    /// Whether a node is one of this process's.
    pub(crate) fn has(&self, node: u32) -> bool {
        locate(node).is_some_and(|(segment, _)| self.segments[segment].get().is_some())
    }

    fn place(&self, node: u32) -> (Segment, usize) {
        let place =
            locate(node).and_then(|(segment, at)| Some((*self.segments[segment].get()?, at)));
        place.expect("a node has the number that `add` gave")
    }

    /// Says which part of a whole this process is.
    pub(crate) fn set_label(&self, label: &Label) {
        let mut inner = self.lock();
        let first = self.segments[0].get().expect("set when made");
        let mut short = String::new();
        let text = cut(&label.text, MAX_LABEL, &mut short);
        inner.label_at ^= 1;
        let at = LABELS_AT[inner.label_at];
        first.write(at, text.as_bytes());
        first.word64(LABEL_AT).store(name_word(at, text.len()), Ordering::Release);
        let rank = label.rank.map_or(0, |(rank, n)| u64::from(rank) | u64::from(n) << 32);
        first.word64(RANK_AT).store(rank, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot and makes it visible: first the name, then the mark, then the slot. `places`
    /// are its parent, its lane (zero for a lane, which is its own), and its position.
    fn slot(
        &self,
        inner: &mut Inner,
        block: &mut Block,
        kind: u32,
        name: &str,
        places: [u32; 3],
    ) -> Option<u32> {
        let slot = self.try_slot(inner, block, kind, name, places);
        if slot.is_none() {
            let first = self.segments[0].get()?;
            first.word64(DROPPED_AT).fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    /// The same, where it is not said when there is no room.
    fn try_slot(
        &self,
        inner: &mut Inner,
        block: &mut Block,
        kind: u32,
        name: &str,
        places: [u32; 3],
    ) -> Option<u32> {
        let Some((slot, word)) = self.room(inner, block, name) else {
            return self.grow(inner).then(|| self.try_slot(inner, block, kind, name, places))?;
        };
        let segment = inner.n_segments - 1;
        let map = *self.segments[segment].get()?;
        let at = slot * SLOT_BYTES;
        let node = segment_base(segment) + slot as u32;
        let [parent, lane, position] = places;
        latch(map, at).change(|| {
            map.word64(at + NAME_AT).store(word, Ordering::Relaxed);
            map.word32(at + POSITION_AT).store(position, Ordering::Relaxed);
            map.word32(at + PARENT_AT).store(parent, Ordering::Relaxed);
            map.word32(at + LANE_AT).store(if lane == 0 { node } else { lane }, Ordering::Relaxed);
            map.word32(at + KIND_AT).store(kind, Ordering::Release);
        });
        Some(node)
    }

    /// A slot of the last file, from the block where there is one left and else from a new block,
    /// and where the name is; `None` when there is no room for both.
    fn room(&self, inner: &mut Inner, block: &mut Block, name: &str) -> Option<(usize, u64)> {
        let map = *self.segments[inner.n_segments - 1].get()?;
        // Names are in the same file as what is called so.
        let is_in_last = block.n_segments == inner.n_segments && !block.slots.is_empty();
        let word = self.name(inner, name, if is_in_last { 0 } else { SLOT_BYTES })?;
        if !is_in_last {
            let room = (map.bytes() - inner.names_len) / SLOT_BYTES - inner.n_slots;
            let end = inner.n_slots + room.min(BLOCK_SLOTS);
            *block = Block { n_segments: inner.n_segments, slots: inner.n_slots..end };
            inner.n_slots = end;
            map.word64(N_SLOTS_AT).store(end as u64, Ordering::Release);
        }
        Some((block.slots.next()?, word))
    }

    /// Where a name is in the last file, written there if need be; `None` when there is no room
    /// for it and `spare` bytes more.
    fn name(&self, inner: &mut Inner, name: &str, spare: usize) -> Option<u64> {
        let map = *self.segments[inner.n_segments - 1].get()?;
        let room =
            (map.bytes() - inner.names_len).checked_sub(inner.n_slots * SLOT_BYTES + spare)?;
        if name.is_empty() {
            return Some(0);
        }
        if let Some(&word) = inner.names.get(name) {
            return Some(word);
        }
        if room < name.len() {
            return None;
        }
        inner.names_len += name.len();
        let at = map.bytes() - inner.names_len;
        map.write(at, name.as_bytes());
        map.word64(NAMES_AT).store(inner.names_len as u64, Ordering::Release);
        let word = name_word(at, name.len());
        inner.names.insert(name.into(), word);
        Some(word)
    }

    fn rename(&self, inner: &mut Inner, node: u32, name: &str) -> bool {
        let Some((segment, at)) = locate(node) else { return false };
        // Names are written to the last file only, and a node's name is in the node's own file.
        let word = if segment + 1 == inner.n_segments { self.name(inner, name, 0) } else { None };
        let map = self.segments[segment].get();
        match (word, map) {
            (Some(word), Some(&map)) => {
                latch(map, at).change(|| map.word64(at + NAME_AT).store(word, Ordering::Release));
                true
            }
            _ => false,
        }
    }

    /// Adds a file of twice the size; existing ones stay where they are.
    fn grow(&self, inner: &mut Inner) -> bool {
        let segment = inner.n_segments;
        let Some(first) = self.segments[0].get() else { return false };
        if segment == MAX_SEGMENTS {
            return false;
        }
        let name = format!("{}-{segment}.pct", self.stem);
        let random = first.word64(RANDOM_AT).load(Ordering::Relaxed);
        match new_segment(&self.session, &name, segment, Identity::own(), random) {
            Ok(map) => {
                let _ = self.segments[segment].set(map);
                inner.n_segments += 1;
                inner.n_slots = slots_at(segment_bytes(segment)) / SLOT_BYTES;
                inner.names_len = 0;
                inner.names.clear();
                first.word64(N_SEGMENTS_AT).store(inner.n_segments as u64, Ordering::Release);
                true
            }
            Err(_) => {
                let _ = self.session.remove(&name);
                false
            }
        }
    }
}

/// The record of a slot, with its mark.
fn latch(segment: Segment, at: usize) -> MarkedLatch<'static> {
    let mark = mark_at(at, slots_at(segment.bytes()));
    MarkedLatch::new(segment.latch(at), segment.word64(mark))
}

/// The numbers of a node and of another of the same path.
pub(crate) fn sum_of(sum: Values, more: Values, is_timer: bool, now: u64) -> Values {
    let min = match (is_timer, sum.num, more.num) {
        (true, _, _) => sum.min.wrapping_add(more.min),
        (false, _, 0) => sum.min,
        (false, 0, _) => more.min,
        (false, _, _) => sum.min.min(more.min),
    };
    let open = if is_timer && more.last != 0 { now.saturating_sub(more.last) } else { 0 };
    Values {
        ticks: sum.ticks.wrapping_add(more.ticks).wrapping_add(open),
        num: sum.num.wrapping_add(more.num),
        min,
        max: if is_timer { sum.max.wrapping_add(more.max) } else { sum.max.max(more.max) },
        last: if is_timer { 0 } else { sum.last.max(more.last) },
        epoch: sum.epoch,
    }
}

/// The number by which the kernel knows this thread.
fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// A name of `max` bytes at most: a longer one is cut, and told from others by a hash.
fn cut<'a>(name: &'a str, max: usize, short: &'a mut String) -> &'a str {
    if name.len() <= max {
        return name;
    }
    *short = format!(
        "{}…{:08x}",
        &name[..name.floor_char_boundary(max - 11)],
        fnv1a(name.as_bytes()) as u32
    );
    short
}

fn new_segment(
    session: &Session,
    name: &str,
    segment: usize,
    own: Identity,
    random: u64,
) -> std::io::Result<Segment> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(session.fd(), name, flags, Mode::RUSR | Mode::WUSR)?;
    let bytes = segment_bytes(segment);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)?;
    let map = Segment::map(&file, bytes)?;
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for (at, value) in [
        (MAJOR_AT, &MAJOR.to_ne_bytes()[..]),
        (MINOR_AT, &MINOR.to_ne_bytes()),
        (ENDIAN_AT, &ENDIAN.to_ne_bytes()),
        (HEADER_BYTES_AT, &(HEADER_BYTES as u32).to_ne_bytes()),
        (SLOT_BYTES_AT, &(SLOT_BYTES as u32).to_ne_bytes()),
        (FILE_BYTES_AT, &(bytes as u64).to_ne_bytes()),
        (SEGMENT_AT, &(segment as u32).to_ne_bytes()),
        (PID_AT, &own.pid.to_ne_bytes()),
        (START_AT, &own.start.to_ne_bytes()),
        (BOOT_AT, &own.boot.to_ne_bytes()),
        (PID_NS_AT, &own.pid_ns.to_ne_bytes()),
        (SESSION_AT, &session.id().to_ne_bytes()),
        (RANDOM_AT, &random.to_ne_bytes()),
        (CREATED_AT, &(created.as_nanos() as u64).to_ne_bytes()),
        (SLOTS_AT, &(slots_at(bytes) as u64).to_ne_bytes()),
    ] {
        map.write(at, value);
    }
    let n_slots = (slots_at(bytes) / SLOT_BYTES) as u64;
    let words = [(N_SLOTS_AT, n_slots), (N_SEGMENTS_AT, 1), (STATE_AT, RUNNING)];
    for (at, value) in words {
        map.word64(at).store(value, Ordering::Relaxed);
    }
    map.word64(MAGIC_AT).store(u64::from_ne_bytes(MAGIC), Ordering::Release);
    Ok(map)
}

/// Runs a function once and keeps what it gave, like `OnceLock`; but a forked child does not wait
/// for a thread of its parent that was at it.
#[derive(Debug)]
pub(crate) struct Once {
    /// 0: not yet; 1: done; else the pid, plus one, of who is at it.
    state: AtomicU64,
    process: Leaked<Process>,
}

impl Once {
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU64::new(0), process: Leaked::none() }
    }

    /// Gives what `make` gave the first time.
    pub(crate) fn get(
        &self,
        make: impl FnOnce() -> Option<&'static Process>,
    ) -> Option<&'static Process> {
        let own = u64::from(std::process::id()) + 1;
        loop {
            let state = self.state.load(Ordering::Acquire);
            match state {
                1 => return self.process.get(),
                state if state == own => std::thread::yield_now(),
                state => {
                    let (then, otherwise) = (Ordering::Acquire, Ordering::Relaxed);
                    if self.state.compare_exchange(state, own, then, otherwise).is_err() {
                        continue;
                    }
                    if let Some(process) = make() {
                        self.process.set(process);
                    }
                    self.state.store(1, Ordering::Release);
                    return self.process.get();
                }
            }
        }
    }
}
