//! What becomes of the files of processes that are gone.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gtimer_core::publish::{BUCKETS_OF_PART, NodeKind, Values};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};

use crate::alive::{Identity, is_gone};
use crate::error::SessionError;
use crate::histogram;
use crate::image::Header;
use crate::layout::{
    AWAITING, CREATED_AT, ENDIAN, ENDIAN_AT, FILE_BYTES_AT, HEADER_BYTES, HEADER_BYTES_AT,
    HEADER_SLOTS, IN_LOOP, KIND_AT, KIND_FOLDED, KIND_HISTOGRAM, KIND_INFO, KIND_LANE, LANE_AT,
    MAGIC, MAGIC_AT, MAJOR, MAJOR_AT, MINOR, MINOR_AT, N_SEGMENTS_AT, N_SLOTS_AT, NAME_AT,
    NAMES_AT, PARENT_AT, POSITION_AT, SESSION_AT, SLOT_BYTES, SLOT_BYTES_AT, SLOTS_AT, STATE_AT,
    SUMMARY, UNASSIGNED, name_word,
};
use crate::process::sum_of;
use crate::publisher::real_ns;
use crate::reader::{ProcessCopy, Reader, is_lock_free, process_files, read_retired};
use crate::session::{LOCK, NEW_PREFIX, RETIRED, SUFFIX, Session};
use crate::snapshot::ProcessState;
use crate::tree::{Forest, Lane, Node};

/// Files of ended processes that stay for those who want to know what happened.
const KEPT: usize = 32;
/// A process that starts looks after the session when it has this many files, and leaves half.
const MANY: usize = 24;
/// Processes that are folded at once: their names stay in the summary until the next time.
const BATCH: usize = 1024;
/// Nodes of a summary at most; further ones are added to `(others)` beside them.
const MAX_NODES: usize = 8192;
/// Parts of histograms of a summary at most; further ones are left out.
const MAX_PARTS: usize = 8192;
/// Bytes of all names of a summary at most.
const MAX_NAMES: usize = 1 << 20;
/// Labels of a summary at most; further ones are added to `(others)`.
const MAX_LABELS: usize = 256;
const OTHERS: &str = "(others)";
/// How long [`Session::reap`] waits for another who is at it, in s.
const LOCK_SECONDS: u64 = 10;
/// How old a file in the making must be before it counts as abandoned, where its process cannot be
/// asked.
const NEW_SECONDS: u64 = 60;

/// What [`Session::reap`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Processes that were added to the summary, and whose files were removed.
    pub folded: usize,
    /// Processes that are gone, but whose files stay for a look at what happened.
    pub kept: usize,
    /// Processes that run.
    pub running: usize,
}

impl Session {
    /// Adds what processes that are gone had measured to the session's summary, and removes their
    /// files; the 32 latest files stay. Nothing that they had measured is lost.
    ///
    /// A process is gone when nobody holds the lock on its file and, where its pid means anything
    /// here, no process of that pid and start time is there.
    ///
    /// # Errors
    ///
    /// [`SessionError::Locked`] when somebody else has been at it for more than 10 s;
    /// [`SessionError::File`] when the summary cannot be written. Nothing is removed then.
    pub fn reap(&self) -> Result<Reaped, SessionError> {
        let deadline = Instant::now() + Duration::from_secs(LOCK_SECONDS);
        loop {
            if let Some(lock) = self.try_lock()? {
                return fold(self, &lock, KEPT);
            }
            if Instant::now() > deadline {
                let path = self.dir().to_owned();
                return Err(SessionError::Locked { path, seconds: LOCK_SECONDS });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn try_lock(&self) -> Result<Option<Lock>, SessionError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(self.fd(), LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|source| self.file_error("open", Some(LOCK), source.into()))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(lock))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(source) => Err(self.file_error("lock", Some(LOCK), source.into())),
        }
    }
}

/// The lock of a session.
struct Lock(OwnedFd);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is not enough: a child that was forked meanwhile has it open, too.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Reaps, unless somebody else is at it; that it fails is no reason for a process not to start.
pub(crate) fn quietly(session: &Session, keep: usize) {
    if let Ok(Some(lock)) = session.try_lock() {
        let _ = fold(session, &lock, keep);
    }
}

/// Reaps when so many files are there that it is worth it.
pub(crate) fn quietly_when_many(session: &Session) {
    if session.names().is_ok_and(|names| names.len() > MANY) {
        quietly(session, MANY / 2);
    }
}

fn fold(session: &Session, _lock: &Lock, keep: usize) -> Result<Reaped, SessionError> {
    remove_abandoned(session)?;
    let mut notes = Vec::new();
    // A damaged summary is started again: there is nothing to be had from it.
    let old = read_retired(session, &mut notes).ok().flatten().unwrap_or_default();
    let mut files = process_files(session)?;
    // Somebody was killed after he had written the summary and before he had removed these.
    for stem in &old.folded {
        for name in files.remove(stem).unwrap_or_default() {
            session.remove(&name)?;
        }
    }
    let mut reader = Reader::new(session);
    let mut reaped = Reaped::default();
    let mut gone: Vec<(SystemTime, String)> = Vec::new();
    for stem in files.keys() {
        match is_process_gone(session, stem) {
            Some(when) => gone.push((when, stem.clone())),
            None => reaped.running += 1,
        }
    }
    gone.sort();
    // Counted in files, since a process may have several.
    let mut kept_files = 0;
    while let Some((_, stem)) = gone.last() {
        kept_files += files.get(stem).map_or(0, Vec::len);
        if kept_files > keep {
            break;
        }
        gone.pop();
        reaped.kept += 1;
    }
    let mut sums = Sums::of(&old);
    for batch in gone.chunks(BATCH) {
        let mut folded = Vec::new();
        for (_, stem) in batch {
            match reader.read_process(stem) {
                // Not dead after all: the file was another's a moment ago.
                Ok(copy) if !copy.is_dead => {}
                Ok(copy) => {
                    sums.add(&copy);
                    folded.push(stem.clone());
                }
                // There is nothing in it that could be read, and its process is gone.
                Err(_) => folded.push(stem.clone()),
            }
        }
        if let Err(error) = write(session, &sums.forest, &folded) {
            if !is_full(&error) {
                return Err(error);
            }
            // The dead make room for their sums, without losing anything before those are there.
            for name in folded.iter().filter_map(|stem| files.get(stem)).flatten() {
                let _ = free_unused(session, name);
            }
            write(session, &sums.forest, &folded)?;
        }
        for stem in &folded {
            // Further files first: without the first one nobody would know whose they are.
            let mut names = files.remove(stem).unwrap_or_default();
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            for name in names {
                session.remove(&name)?;
            }
        }
        reaped.folded += folded.len();
    }
    Ok(reaped)
}

fn is_full(error: &SessionError) -> bool {
    let full = rustix::io::Errno::NOSPC.raw_os_error();
    matches!(error, SessionError::File { source, .. } if source.raw_os_error() == Some(full))
}

/// Gives back the memory between the slots and the names of a file whose process is gone: nothing
/// was written there.
fn free_unused(session: &Session, name: &str) -> rustix::io::Result<()> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(session.fd(), name, flags, Mode::empty())?;
    let len = rustix::fs::fstat(&fd)?.st_size as usize;
    let mut start = vec![0; HEADER_BYTES];
    if rustix::io::pread(&fd, &mut start, 0)? == HEADER_BYTES
        && let Ok(header) = Header::read(&start, len)
    {
        let slots = (header.n_slots * SLOT_BYTES) as u64;
        let names = (len - header.names_len) as u64;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if slots < names {
            // Parts of pages are zeroed, which they are.
            rustix::fs::fallocate(&fd, flags, slots, names - slots)?;
        }
    }
    Ok(())
}

/// When the process of a file was last seen, if it is gone: its lock is free and, where that says
/// anything, its pid and start time are no process's.
fn is_process_gone(session: &Session, stem: &str) -> Option<SystemTime> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = format!("{stem}{SUFFIX}");
    let fd = rustix::fs::openat(session.fd(), &*name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    if stat.st_uid != session.owner() || !is_lock_free(&fd) {
        return None;
    }
    let mut header = vec![0; HEADER_BYTES];
    let n = rustix::io::pread(&fd, &mut header, 0).ok()?;
    let identity = (n == HEADER_BYTES).then(|| identity(&header)).flatten();
    if let Some(identity) = identity
        && !is_gone(identity, Identity::own())
    {
        return None;
    }
    let since = Duration::new(stat.st_mtime.unsigned_abs(), stat.st_mtime_nsec as u32);
    Some(std::time::UNIX_EPOCH + since)
}

fn identity(header: &[u8]) -> Option<Identity> {
    use crate::image::{word32, word64};
    use crate::layout::{BOOT_AT, PID_AT, PID_NS_AT, START_AT};
    (header[..MAGIC.len()] == MAGIC).then(|| Identity {
        pid: word32(header, PID_AT),
        start: word64(header, START_AT),
        boot: word64(header, BOOT_AT),
        pid_ns: word64(header, PID_NS_AT),
    })
}

/// Removes files that were being made by a process that is gone.
fn remove_abandoned(session: &Session) -> Result<(), SessionError> {
    let here = Identity::own();
    for name in session.names()? {
        let Some(parts) = name.strip_prefix(NEW_PREFIX).and_then(|name| name.strip_suffix(SUFFIX))
        else {
            continue;
        };
        let mut parts = parts.split('-').map(|part| part.parse::<u64>().ok());
        let mut next = || parts.next().flatten();
        let (pid, start, pid_ns) = (next(), next(), next());
        let is_abandoned = match (pid.and_then(|pid| u32::try_from(pid).ok()), start, pid_ns) {
            (Some(pid), Some(start), Some(pid_ns)) if pid_ns == here.pid_ns && start != 0 => {
                is_gone(Identity { pid, start, pid_ns, ..here }, here)
            }
            _ => age(session, &name).is_some_and(|age| age.as_secs() >= NEW_SECONDS),
        };
        if is_abandoned {
            session.remove(&name)?;
        }
    }
    Ok(())
}

fn age(session: &Session, name: &str) -> Option<Duration> {
    let stat = rustix::fs::statat(session.fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let made = std::time::UNIX_EPOCH + Duration::from_secs(stat.st_mtime.unsigned_abs());
    SystemTime::now().duration_since(made).ok()
}

/// Sums by label and path, in ns, bounded however many paths there are.
struct Sums {
    forest: Forest,
    lanes: HashMap<String, usize>,
    /// By parent (lanes count from the top of the range), kind, name and position.
    nodes: HashMap<(usize, bool, u32, u32), usize>,
    names_len: usize,
}

impl Sums {
    fn of(old: &Forest) -> Self {
        let mut sums = Self {
            forest: Forest::default(),
            lanes: HashMap::new(),
            nodes: HashMap::new(),
            names_len: 0,
        };
        for lane in &old.lanes {
            let at = sums.lane(&lane.name);
            let (own, more) = (&mut sums.forest.lanes[at].current, lane.current);
            own.num = own.num.saturating_add(more.num);
            own.max = own.max.saturating_add(more.max);
            for &root in &lane.roots {
                sums.add_tree(at, old, root, &|ticks| ticks, 0);
            }
        }
        sums
    }

    /// Adds a process that is gone.
    fn add(&mut self, copy: &ProcessCopy) {
        let at = self.lane(&copy.header.label.text);
        let counts = &mut self.forest.lanes[at].current;
        counts.num += 1;
        counts.max += u64::from(copy.state == ProcessState::Killed);
        for lane in &copy.forest.lanes {
            let rate = lane.rate();
            if rate == 0.0 {
                continue;
            }
            for &root in &lane.roots {
                let ns = |ticks: u64| (ticks as f64 * (1e9 / rate)).round() as u64;
                self.add_tree(at, &copy.forest, root, &ns, lane.now);
            }
        }
    }

    fn lane(&mut self, label: &str) -> usize {
        let label = if self.lanes.len() < MAX_LABELS || self.lanes.contains_key(label) {
            label
        } else {
            OTHERS
        };
        if let Some(&at) = self.lanes.get(label) {
            return at;
        }
        let at = self.forest.lanes.len();
        let clock = Values { num: 1e9_f64.to_bits(), ..Values::default() };
        self.forest.lanes.push(Lane::summary(label, clock));
        self.lanes.insert(label.to_owned(), at);
        self.names_len += label.len();
        at
    }

    fn add_tree(
        &mut self,
        lane: usize,
        from: &Forest,
        root: usize,
        ns: &dyn Fn(u64) -> u64,
        now: u64,
    ) {
        let mut todo = vec![(root, None)];
        while let Some((node, parent)) = todo.pop() {
            let Node {
                is_stamp, name, position, values, ref children, in_loop, ref histogram, ..
            } = from.nodes[node];
            let name = from.names.get(name).unwrap_or_default();
            let position = from.names.get(position);
            let into = self.node(lane, parent, is_stamp, name, position);
            let open =
                if !is_stamp && values.last != 0 { now.saturating_sub(values.last) } else { 0 };
            let min = if values.min == u64::MAX { u64::MAX } else { ns(values.min) };
            let more = Values {
                ticks: ns(values.ticks.saturating_add(open)),
                num: values.num,
                min,
                max: ns(values.max),
                last: 0,
                epoch: 0,
            };
            let sum = &mut self.forest.nodes[into];
            sum.values = sum_of(sum.values, more, !is_stamp, 0);
            sum.in_loop |= in_loop;
            match (&mut sum.histogram, histogram) {
                (Some(own), Some(more)) => histogram::add(own, more),
                (none, Some(more)) => *none = Some(more.clone()),
                (_, None) => {}
            }
            todo.extend(children.iter().rev().map(|&child| (child, Some(into))));
        }
    }

    fn node(
        &mut self,
        lane: usize,
        parent: Option<usize>,
        is_stamp: bool,
        name: &str,
        position: Option<&str>,
    ) -> usize {
        let above = parent.unwrap_or(usize::MAX - lane);
        let is_full = self.forest.nodes.len() >= MAX_NODES || self.names_len >= MAX_NAMES;
        let mut key = self.key(above, is_stamp, name, position, is_full);
        if is_full && !key.is_some_and(|key| self.nodes.contains_key(&key)) {
            key = self.key(above, is_stamp, OTHERS, None, false);
        }
        let Some(key) = key else { return parent.unwrap_or(0) };
        if let Some(&node) = self.nodes.get(&key) {
            return node;
        }
        let node = self.forest.add(lane, parent, is_stamp, key.2, key.3);
        self.nodes.insert(key, node);
        node
    }

    /// The key of a node; `None` when a name in it is new and `only_known` forbids that.
    fn key(
        &mut self,
        above: usize,
        is_stamp: bool,
        name: &str,
        position: Option<&str>,
        only_known: bool,
    ) -> Option<(usize, bool, u32, u32)> {
        let mut intern = |name: &str| match self.forest.names.find(name) {
            Some(known) => Some(known),
            None if only_known => None,
            None => {
                self.names_len += name.len();
                Some(Arc::make_mut(&mut self.forest.names).intern(name))
            }
        };
        let name = intern(name)?;
        let position = match position {
            None => UNASSIGNED,
            Some(position) => intern(position)?,
        };
        Some((above, is_stamp, name, position))
    }
}

/// Writes a summary and puts it in place of the old one, in one step.
fn write(session: &Session, forest: &Forest, folded: &[String]) -> Result<(), SessionError> {
    let bytes = bytes(session, forest, folded);
    let own = Identity::own();
    let name = format!("{NEW_PREFIX}{}-{}-{}-retired{SUFFIX}", own.pid, own.start, own.pid_ns);
    let result = (|| {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(session.fd(), &*name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(&file, &bytes[done..], done as u64) {
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        rustix::fs::renameat(session.fd(), &*name, session.fd(), RETIRED)
    })();
    result.map_err(|source: rustix::io::Errno| {
        let _ = session.remove(&name);
        session.file_error("write", Some(RETIRED), source.into())
    })
}

fn bytes(session: &Session, forest: &Forest, folded: &[String]) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut numbers = vec![0; forest.nodes.len()];
    let mut n_parts = 0;
    for lane in &forest.lanes {
        let number = writer.slot(KIND_LANE, &lane.name, 0, 0, AWAITING, lane.current);
        writer.slot(KIND_INFO, "", number, number, AWAITING, lane.clock);
        let mut todo: Vec<(usize, u32)> = lane.roots.iter().rev().map(|&root| (root, 0)).collect();
        // Stamps before timers, so that positions are numbers that are known.
        while let Some((at, parent)) = todo.pop() {
            let node = &forest.nodes[at];
            let kind = if parent == 0 { NodeKind::Root } else { NodeKind::Subdivision } as u32;
            let name = forest.names.get(node.name).unwrap_or_default();
            let own = writer.slot(kind, name, parent, number, numbers[at], node.values);
            let mut stamps: HashMap<u32, u32> = HashMap::new();
            for &child in &node.children {
                let Node { is_stamp: true, name, values, in_loop, ref histogram, .. } =
                    forest.nodes[child]
                else {
                    continue;
                };
                let kind = NodeKind::Stamp as u32;
                let text = forest.names.get(name).unwrap_or_default();
                let position = if in_loop { IN_LOOP } else { AWAITING };
                let stamp = writer.slot(kind, text, own, number, position, values);
                stamps.insert(name, stamp);
                let parts = histogram.iter().flat_map(|counts| counts.chunks(BUCKETS_OF_PART));
                for (part, counts) in parts.enumerate().filter(|(_, n)| n.iter().any(|n| *n > 0)) {
                    if n_parts < MAX_PARTS {
                        n_parts += 1;
                        writer.part(stamp, number, part, counts);
                    }
                }
            }
            for &child in node.children.iter().rev() {
                let Node { is_stamp: false, position, .. } = forest.nodes[child] else { continue };
                numbers[child] = stamps.get(&position).copied().unwrap_or(UNASSIGNED);
                todo.push((child, own));
            }
        }
    }
    for stem in folded {
        writer.slot(KIND_FOLDED, stem, 0, 0, AWAITING, Values::default());
    }
    writer.finish(session)
}

#[derive(Default)]
struct Writer {
    slots: Vec<u8>,
    names: Vec<u8>,
    /// Where each name ends, counted from the end of the file.
    known: HashMap<String, usize>,
    /// Which slot has a name where.
    named: Vec<(usize, usize, usize)>,
}

impl Writer {
    /// A part of the histogram of a stamp.
    fn part(&mut self, stamp: u32, lane: u32, part: usize, counts: &[u64]) {
        let (at, first) = (self.slots.len(), (part * BUCKETS_OF_PART) as u32);
        self.slot(KIND_HISTOGRAM, "", stamp, lane, first, Values::default());
        for (i, count) in counts.iter().enumerate() {
            self.slots[at + 8 + 8 * i..at + 16 + 8 * i].copy_from_slice(&count.to_ne_bytes());
        }
    }

    fn slot(
        &mut self,
        kind: u32,
        name: &str,
        parent: u32,
        lane: u32,
        position: u32,
        values: Values,
    ) -> u32 {
        let at = self.slots.len();
        let number = HEADER_SLOTS + (at / SLOT_BYTES) as u32;
        self.slots.resize(at + SLOT_BYTES, 0);
        let slot = &mut self.slots[at..];
        for (i, word) in values.to_words().into_iter().enumerate() {
            slot[8 + 8 * i..16 + 8 * i].copy_from_slice(&word.to_ne_bytes());
        }
        let lane = if lane == 0 { number } else { lane };
        for (field, word) in
            [(POSITION_AT, position), (PARENT_AT, parent), (KIND_AT, kind), (LANE_AT, lane)]
        {
            slot[field..field + 4].copy_from_slice(&word.to_ne_bytes());
        }
        if !name.is_empty() {
            let start = *self.known.entry(name.to_owned()).or_insert_with(|| {
                self.names.extend_from_slice(name.as_bytes());
                self.names.len() - name.len()
            });
            self.named.push((at, start, name.len()));
        }
        number
    }

    fn finish(mut self, session: &Session) -> Vec<u8> {
        let names_at = HEADER_BYTES + self.slots.len();
        for (slot, start, len) in self.named {
            let word = name_word(names_at + start, len).to_ne_bytes();
            self.slots[slot + NAME_AT..slot + NAME_AT + 8].copy_from_slice(&word);
        }
        let n_slots = (names_at / SLOT_BYTES) as u64;
        let mut bytes = vec![0; HEADER_BYTES];
        let whole = names_at + self.names.len();
        for (at, value) in [
            (MAGIC_AT, &MAGIC[..]),
            (MAJOR_AT, &MAJOR.to_ne_bytes()),
            (MINOR_AT, &MINOR.to_ne_bytes()),
            (ENDIAN_AT, &ENDIAN.to_ne_bytes()),
            (HEADER_BYTES_AT, &(HEADER_BYTES as u32).to_ne_bytes()),
            (SLOT_BYTES_AT, &(SLOT_BYTES as u32).to_ne_bytes()),
            (FILE_BYTES_AT, &(whole as u64).to_ne_bytes()),
            (SESSION_AT, &session.id().to_ne_bytes()),
            (CREATED_AT, &real_ns(SystemTime::now()).to_ne_bytes()),
            (SLOTS_AT, &(HEADER_BYTES as u64).to_ne_bytes()),
            (N_SLOTS_AT, &n_slots.to_ne_bytes()),
            (NAMES_AT, &(self.names.len() as u64).to_ne_bytes()),
            (N_SEGMENTS_AT, &1_u64.to_ne_bytes()),
            (STATE_AT, &SUMMARY.to_ne_bytes()),
        ] {
            bytes[at..at + value.len()].copy_from_slice(value);
        }
        bytes.extend_from_slice(&self.slots);
        bytes.extend_from_slice(&self.names);
        bytes
    }
}
