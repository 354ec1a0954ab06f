//! Reading what the processes of a session measure, by copies.
//!
//! A file is copied with one call to the kernel and compared with the copy before. Where only
//! numbers have changed, each record that did counts when its check fits, and a look at the merges
//! says that none began or ended meanwhile. Where more has changed, it is copied again. PROOF.md
//! says why that is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat};

use crate::alive::{Identity, is_gone};
use crate::error::SessionError;
use crate::image::{Header, Named, Parts, slots, text, values, whole_values, word32, word64};
use crate::layout::{
    ENDED, HEADER_BYTES, KIND_AT, KIND_INFO, MAX_BYTES, MAX_SEGMENTS, NAME_AT, NAMES_AT,
    POSITION_AT, RANK_AT, SLOT_BYTES, SUMMARY, segment_bytes,
};
use crate::map::{file_clock_ns, monotonic_ns};
use crate::session::{PROCESS_PREFIX, RETIRED, SUFFIX, Session};
use crate::snapshot::{
    LaneTimes, Note, NoteKind, ProcessState, ProcessTimes, RetiredTimes, Snapshot,
};
use crate::tree::Forest;

/// Files that are read at most: a directory of more is not one of our sessions.
const MAX_FILES: usize = 16_384;
/// How much of a file is read at first, before it is known how much of it counts.
const FIRST_LOOK: usize = 8 * 1024;
/// The part of a header that says what the rest means; labels stand behind it.
const HEADER_WORDS: usize = RANK_AT + 8;
/// How long before a look at a directory its last change must be, so that a further one would show,
/// in ns: the kernel's file times advance in steps of 10 ms at most.
const SETTLED_NS: u64 = 20_000_000;
/// How often a record is read again that was written meanwhile.
const RECORD_ATTEMPTS: usize = 64;
/// How often a process is read again of which a merge began or ended meanwhile.
const PROCESS_ATTEMPTS: usize = 8;
/// How often everything is read again because ended processes were folded meanwhile.
const SESSION_ATTEMPTS: usize = 8;

/// Reads a session again and again: it keeps the files open and what it saw in them, lists the
/// directory only when that has changed, and needs one look at each file and no memory anew where
/// only numbers have changed.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    here: OnceLock<Identity>,
    /// By the name of the first file without its ending; `None` until it could be read.
    processes: BTreeMap<String, Option<Copies>>,
    /// When the directory had changed last when it was listed, where a later change would show.
    listed: Option<Time>,
    /// Files in the directory that are not read, since there are too many.
    too_many: usize,
    summary: Summary,
    /// What a look at a file saw, used again for the next file.
    look: Vec<u8>,
}

/// A file time: s, ns.
type Time = (i64, u64);

/// What tells a summary from the next: its inode, its length, and when it was written.
type SummaryId = (u64, u64, Time);

/// What was read of the summary, which is replaced but never changed.
#[derive(Debug, Default)]
struct Summary {
    id: Option<SummaryId>,
    retired: Vec<RetiredTimes>,
    folded: BTreeSet<String>,
    notes: Vec<Note>,
}

/// The copies of the files of one process.
#[derive(Debug)]
struct Copies {
    files: Vec<FileCopy>,
    /// Records that could not be read whole the last time.
    busy: usize,
    /// What the slots are called; `None` when that must be found out again.
    named: Option<Named>,
}

#[derive(Debug)]
struct FileCopy {
    fd: OwnedFd,
    /// Length of the file.
    len: usize,
    header: Header,
    /// The header and the slots, as far as they count.
    slots: Vec<u8>,
    /// What changes when a slot does, for each slot.
    marks: Vec<Mark>,
    names: Vec<u8>,
    /// The first bytes of the first and of the last slot that tells of merges.
    infos: Option<(usize, usize)>,
}

/// The sequence number, the name, and the position with the parent.
type Mark = [u64; 3];

/// The memory of a copy that is no longer needed.
#[derive(Debug, Default)]
struct Room {
    slots: Vec<u8>,
    marks: Vec<Mark>,
    names: Vec<u8>,
}

/// Memory for the next copies: pages that are new to a process cost more than what is read into
/// them. Never waited for, since a forked child may find it locked.
static SPARE: Mutex<Vec<Room>> = Mutex::new(Vec::new());
/// How much memory is kept at most: so many copies, of so many bytes of slots and of names each.
const SPARE_COPIES: usize = 64;
const SPARE_BYTES: usize = 64 * 1024;

impl Drop for FileCopy {
    fn drop(&mut self) {
        let (mut slots, mut names) = (take(&mut self.slots), take(&mut self.names));
        let mut marks = take(&mut self.marks);
        if slots.capacity().max(names.capacity()) <= SPARE_BYTES
            && let Ok(mut spare) = SPARE.try_lock()
            && spare.len() < SPARE_COPIES
        {
            slots.clear();
            marks.clear();
            names.clear();
            spare.push(Room { slots, marks, names });
        }
    }
}

/// What no slot has: so many publications take decades.
const UNSEEN: Mark = [u64::MAX; 3];

/// How a file differs from the copy before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    /// Only numbers, so that each record can be looked at for itself.
    Numbers,
    /// A merge began or ended, or something is elsewhere, so that records may not fit together.
    Moves,
    /// What slots there are, or what they are called.
    Names,
}

/// What the files of a process say, copied and checked.
#[derive(Debug)]
pub(crate) struct ProcessCopy {
    pub(crate) header: Header,
    pub(crate) forest: Forest,
    pub(crate) state: ProcessState,
    pub(crate) notes: Vec<NoteKind>,
    /// Whether its file can be removed: its lock is free, and it is gone.
    pub(crate) is_dead: bool,
}

impl Session {
    /// What all processes of the session had measured just now. To look again and again, keep a
    /// [`Reader`].
    ///
    /// # Errors
    ///
    /// [`SessionError::File`] when the directory cannot be listed. What is wrong with files in it
    /// is no error: see [`Snapshot::notes`].
    pub fn snapshot(&self) -> Result<Snapshot, SessionError> {
        Reader::new(self).snapshot()
    }
}

impl Reader {
    /// A reader that has read nothing yet.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            here: OnceLock::new(),
            processes: BTreeMap::new(),
            listed: None,
            too_many: 0,
            summary: Summary::default(),
            look: Vec::new(),
        }
    }

    /// What all processes of the session had measured just now.
    ///
    /// # Errors
    ///
    /// As [`Session::snapshot`].
    pub fn snapshot(&mut self) -> Result<Snapshot, SessionError> {
        let mut attempts = 1;
        loop {
            // Whoever folds a process first says so there, and then removes its files. So what is
            // found after this and is not named there, is not in these sums.
            self.read_summary();
            let mut notes = self.summary.notes.clone();
            self.refresh_all(&mut notes)?;
            let here = *self.here.get_or_init(Identity::own);
            let mut processes = Vec::with_capacity(self.processes.len());
            for (stem, copies) in &mut self.processes {
                if let Some(copies) = copies
                    && !self.summary.folded.contains(stem)
                {
                    processes.push(copies.times(stem, here, &mut notes));
                }
            }
            // Where somebody folds without pause, what is left is right but for processes counted
            // twice.
            if self.summary_id() == self.summary.id || attempts > SESSION_ATTEMPTS {
                let retired = self.summary.retired.clone();
                return Ok(self.assemble(processes, retired, notes));
            }
            attempts += 1;
        }
    }

    /// Brings the copies up to date, without making trees of them: what a snapshot costs the memory
    /// that the processes share. Gives the number of nodes copied.
    ///
    /// # Errors
    ///
    /// As [`Session::snapshot`].
    pub fn refresh(&mut self) -> Result<usize, SessionError> {
        self.refresh_all(&mut Vec::new())?;
        let files = self.processes.values().flatten().flat_map(|copies| &copies.files);
        Ok(files.map(|file| file.marks.len()).sum())
    }

    fn assemble(
        &self,
        mut processes: Vec<ProcessTimes>,
        retired: Vec<RetiredTimes>,
        notes: Vec<Note>,
    ) -> Snapshot {
        processes.sort_by(|a, b| (a.pid, &a.file).cmp(&(b.pid, &b.file)));
        let (session, taken) = (self.session.dir().to_owned(), SystemTime::now());
        Snapshot { session, taken, processes, retired, notes }
    }

    /// What changes when a summary is written.
    fn summary_id(&self) -> Option<SummaryId> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(self.session.fd(), RETIRED, flags).ok()?;
        Some((stat.st_ino, stat.st_size as u64, modified(&stat)))
    }

    /// Reads the summary, unless it is the one that was read before.
    fn read_summary(&mut self) {
        let id = self.summary_id();
        if id.is_some() && id == self.summary.id {
            return;
        }
        let mut found = Vec::new();
        let forest = match read_retired(&self.session, &mut found) {
            Ok(forest) => forest.unwrap_or_default(),
            Err(kind) => {
                found.push(kind);
                Forest::default()
            }
        };
        let mut retired: Vec<RetiredTimes> = Vec::new();
        let mut lanes = forest.lane_times(true, &mut found).into_iter().peekable();
        for lane in &forest.lanes {
            let mut times = Vec::new();
            for _ in &lane.roots {
                times.extend(lanes.next().map(|LaneTimes { times, .. }| times));
            }
            let Lane { label, processes, killed } = Lane::of(lane);
            retired.push(RetiredTimes { label, processes, killed, times });
        }
        let notes = found.into_iter().map(|kind| Note { file: RETIRED.to_owned(), kind }).collect();
        let folded = forest.folded.into_iter().collect();
        self.summary = Summary { id, retired, folded, notes };
    }

    /// Copies what all processes say, those apart that the summary has.
    fn refresh_all(&mut self, notes: &mut Vec<Note>) -> Result<(), SessionError> {
        self.list()?;
        if self.too_many > 0 {
            let kind = NoteKind::TooMany { more: self.too_many };
            notes.push(Note { file: self.session.dir().display().to_string(), kind });
        }
        for (stem, copies) in &mut self.processes {
            if self.summary.folded.contains(stem) {
                continue;
            }
            if let Err(kind) = refresh_one(&self.session, stem, copies, &mut self.look) {
                *copies = None;
                notes.extend(
                    kind.map(|kind| Note {
                        file: text(format!("{stem}{SUFFIX}").as_bytes()),
                        kind,
                    }),
                );
            }
        }
        Ok(())
    }

    /// Finds out which processes there are, unless nothing was made, renamed or removed since.
    fn list(&mut self) -> Result<(), SessionError> {
        let now = file_clock_ns();
        let changed = match rustix::fs::fstat(self.session.fd()) {
            Ok(stat) if self.session.is_in_memory() => Some(modified(&stat)),
            _ => None,
        };
        if changed.is_some() && changed == self.listed {
            return Ok(());
        }
        self.listed = None;
        let stems = process_files(&self.session)?;
        self.processes.retain(|stem, _| stems.contains_key(stem));
        self.too_many = stems.len().saturating_sub(MAX_FILES);
        for stem in stems.into_keys().take(MAX_FILES) {
            self.processes.entry(stem).or_default();
        }
        // Another change within the same step of the kernel's clock would not show.
        self.listed = changed.filter(|(s, ns)| {
            let changed = s.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(*ns);
            now.saturating_sub(changed) > SETTLED_NS
        });
        Ok(())
    }

    /// Copies one process and makes trees of it, for whoever folds it.
    pub(crate) fn read_process(&mut self, stem: &str) -> Result<ProcessCopy, Option<NoteKind>> {
        let mut copies = None;
        refresh_one(&self.session, stem, &mut copies, &mut self.look)?;
        Ok(copies.ok_or(None)?.process_copy(*self.here.get_or_init(Identity::own)))
    }
}

/// When a file was changed last.
fn modified(stat: &Stat) -> Time {
    (stat.st_mtime, stat.st_mtime_nsec)
}

/// Copies what one process says; `None` as the error when its file is gone meanwhile.
fn refresh_one(
    session: &Session,
    stem: &str,
    copies: &mut Option<Copies>,
    look: &mut Vec<u8>,
) -> Result<(), Option<NoteKind>> {
    if copies.is_none() {
        let first = FileCopy::open(session, &format!("{stem}{SUFFIX}"))?;
        *copies = Some(Copies { files: vec![first], busy: 0, named: None });
    }
    let Some(copies) = copies else { return Err(None) };
    copies.refresh(session, stem, look).map_err(Some)
}

impl Copies {
    fn times(&mut self, stem: &str, here: Identity, notes: &mut Vec<Note>) -> ProcessTimes {
        let copy = self.process_copy(here);
        let mut found = copy.notes;
        let lanes = copy.forest.lane_times(false, &mut found);
        let dropped = copy.header.dropped;
        if dropped > 0 {
            found.push(NoteKind::Overflow { dropped });
        }
        let file = text(stem.as_bytes());
        notes.extend(found.into_iter().map(|kind| Note { file: file.clone() + SUFFIX, kind }));
        let began = UNIX_EPOCH + Duration::from_nanos(copy.header.created_ns);
        ProcessTimes {
            pid: copy.header.identity.pid,
            label: copy.header.label,
            state: copy.state,
            began,
            lanes,
            dropped,
            file,
        }
    }

    /// Makes trees of the copies.
    fn process_copy(&mut self, here: Identity) -> ProcessCopy {
        let first = &self.files[0];
        let header = first.header.clone();
        let is_locked = !is_lock_free(&first.fd);
        let is_dead = !is_locked && is_gone(header.identity, here);
        let state = match (is_dead, header.state) {
            (false, _) => ProcessState::Running,
            (true, ENDED) => ProcessState::Ended,
            (true, _) => ProcessState::Killed,
        };
        let mut notes = Vec::new();
        let files: Vec<Parts<'_>> = self.files.iter().map(FileCopy::parts).collect();
        let named = self.named.get_or_insert_with(|| Named::of(&files));
        let slots = slots(&files, named, &mut notes);
        if self.busy > 0 {
            notes.push(NoteKind::Busy { records: self.busy });
        }
        let now = (!is_dead).then(monotonic_ns);
        let forest = Forest::grow(&slots, Arc::clone(&named.names), now, &mut notes);
        ProcessCopy { header, forest, state, notes, is_dead }
    }
}

/// What a lane of a summary stands for.
struct Lane {
    label: String,
    processes: u64,
    killed: u64,
}

impl Lane {
    fn of(lane: &crate::tree::Lane) -> Self {
        let (processes, killed) = (lane.current.num, lane.current.max);
        Self { label: lane.name.clone(), processes, killed }
    }
}

/// The sums over ended processes; `None` when there are none yet.
pub(crate) fn read_retired(
    session: &Session,
    notes: &mut Vec<NoteKind>,
) -> Result<Option<Forest>, NoteKind> {
    let mut file = match FileCopy::open(session, RETIRED) {
        Ok(file) => file,
        Err(None) => return Ok(None),
        Err(Some(kind)) => return Err(kind),
    };
    // It never changes: a new one takes its place.
    file.look(&mut Vec::new())?;
    if file.header.state != SUMMARY {
        return Err(NoteKind::NotTimes);
    }
    let parts = [file.parts()];
    let named = Named::of(&parts);
    let slots = slots(&parts, &named, notes);
    Ok(Some(Forest::grow(&slots, named.names, None, notes)))
}

/// The files of each process, by the name of the first without its ending.
pub(crate) fn process_files(
    session: &Session,
) -> Result<BTreeMap<String, Vec<String>>, SessionError> {
    let mut stems: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in session.names()? {
        let Some(stem) = name.strip_suffix(SUFFIX) else { continue };
        if !stem.starts_with(PROCESS_PREFIX) {
            continue;
        }
        // `p-<pid>-<start>-<random>`, and for further files `-<n>`.
        let stem = match stem.rsplit_once('-') {
            Some((first, n)) if first.split('-').count() == 4 && n.parse::<u8>().is_ok() => first,
            _ => stem,
        };
        stems.entry(stem.to_owned()).or_default().push(name);
    }
    Ok(stems)
}

/// Whether nobody holds the lock on a file.
pub(crate) fn is_lock_free(fd: &OwnedFd) -> bool {
    let is_free = rustix::fs::flock(fd, FlockOperation::NonBlockingLockShared).is_ok();
    if is_free {
        let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
    }
    is_free
}

impl FileCopy {
    /// Opens a file and reads its header; `None` as the error when it is not there.
    fn open(session: &Session, name: &str) -> Result<Self, Option<NoteKind>> {
        // A FIFO would make `open` wait without NONBLOCK.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(session.fd(), name, flags, Mode::empty()).map_err(|error| {
            match error {
                rustix::io::Errno::NOENT => None,
                // A link, a socket, a device that nobody serves.
                rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => Some(NoteKind::NotAFile),
                error => Some(NoteKind::Io { reason: error.to_string() }),
            }
        })?;
        let stat = rustix::fs::fstat(&fd).map_err(io)?;
        let len = checked_len(&stat, session.owner())?;
        let room = SPARE.try_lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
        let Room { slots, marks, names } = room;
        Ok(Self { fd, len, header: Header::none(), slots, marks, names, infos: None })
    }

    fn parts(&self) -> Parts<'_> {
        Parts { slots: &self.slots, names: &self.names, len: self.len }
    }

    /// Brings the copy up to date by one look. Gives how many records were busy, and what changed.
    fn look(&mut self, look: &mut Vec<u8>) -> Result<(usize, Change), NoteKind> {
        let known = self.slots.len();
        // As much as there was, or as most have; more when the header says so.
        let likely = if known == 0 { FIRST_LOOK.min(self.len) } else { known };
        read_into(&self.fd, look, 0..likely)?;
        let mut change = Change::Nothing;
        let mut end = known;
        if known == 0 || look[..HEADER_WORDS] != self.slots[..HEADER_WORDS] {
            let mut header = Header::read(&look[..likely], self.len)?;
            header.n_slots = header.n_slots.max(known / SLOT_BYTES);
            end = header.n_slots * SLOT_BYTES;
            if end > likely {
                read_into(&self.fd, look, likely..end)?;
            }
            let is_more = end > known
                || header.names_len != self.header.names_len
                || header.n_segments != self.header.n_segments;
            change = if is_more { Change::Names } else { Change::Numbers };
            self.header = header;
            self.slots.reserve_exact(end - known);
            self.slots.resize(end, 0);
            self.slots[..HEADER_BYTES].copy_from_slice(&look[..HEADER_BYTES]);
            self.marks.resize((end - HEADER_BYTES) / SLOT_BYTES, UNSEEN);
        }
        let mut busy = 0;
        let (slots, _) = look[HEADER_BYTES..end].as_chunks_mut::<SLOT_BYTES>();
        for (slot, (known, seen)) in self.marks.iter_mut().zip(slots).enumerate() {
            if is_same(known, &mark(seen)) {
                continue;
            }
            let at = HEADER_BYTES + slot * SLOT_BYTES;
            change = change.max(Change::Numbers);
            if !is_whole(&self.fd, at, seen)? {
                busy += 1;
                continue;
            }
            let new = mark(seen);
            let is_other = word32(seen, KIND_AT) != word32(&self.slots[at..], KIND_AT);
            if new[1] != known[1] || is_other {
                change = Change::Names;
            } else if new[2] != known[2] || word32(seen, KIND_AT) == KIND_INFO {
                change = change.max(Change::Moves);
            }
            if word32(seen, KIND_AT) == KIND_INFO {
                let (first, last) = self.infos.unwrap_or((at, at));
                self.infos = Some((first.min(at), last.max(at)));
            }
            *known = new;
            self.slots[at..at + SLOT_BYTES].copy_from_slice(seen);
        }
        if change == Change::Names {
            self.read_names(known == 0, look)?;
        }
        Ok((busy, change))
    }

    /// Reads what names there are by now: they grow towards the slots, and what is there does not
    /// change.
    fn read_names(&mut self, is_first: bool, look: &mut Vec<u8>) -> Result<(), NoteKind> {
        let room = self.len - self.slots.len();
        let mut n = self.header.names_len.min(room);
        if !is_first {
            // A name may be younger than the look that saw who is called so.
            read_into(&self.fd, look, NAMES_AT..NAMES_AT + 8)?;
            let newest = usize::try_from(word64(look, NAMES_AT)).unwrap_or(room);
            n = n.max(newest.min(room));
        }
        if n > self.names.len() {
            self.names.resize(n, 0);
            let at = (self.len - n) as u64;
            if read(&self.fd, &mut self.names, at)? < n {
                return Err(short());
            }
        }
        Ok(())
    }

    /// Whether no merge has begun or ended since the last look, nor is going on.
    fn merges_rest(&self, look: &mut Vec<u8>) -> Result<bool, NoteKind> {
        let Some((first, last)) = self.infos else { return Ok(true) };
        read_into(&self.fd, look, first..last + 8)?;
        Ok((first..=last).step_by(SLOT_BYTES).all(|at| {
            let slot = &self.slots[at..at + SLOT_BYTES];
            word32(slot, KIND_AT) != KIND_INFO || word64(look, at) == word64(slot, 0)
        }))
    }
}

/// What changes in a slot when anything in it does that counts.
#[inline]
fn mark(slot: &[u8; SLOT_BYTES]) -> Mark {
    [word64(slot, 0), word64(slot, NAME_AT), word64(slot, POSITION_AT)]
}

/// The same as `==`, in fewer branches.
#[inline]
fn is_same(a: &Mark, b: &Mark) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) == 0
}

/// Whether the numbers of a slot belong together, if need be after it was read anew. The sequence
/// number cannot tell: by the time of a second call to the kernel, a busy writer has moved on. The
/// check of the copy can; and what is the same in two looks stood there between them.
fn is_whole(fd: &OwnedFd, at: usize, slot: &mut [u8; SLOT_BYTES]) -> Result<bool, NoteKind> {
    for _ in 0..RECORD_ATTEMPTS {
        if whole_values(slot).is_some() {
            return Ok(true);
        }
        let before = *slot;
        if read(fd, slot, at as u64)? < SLOT_BYTES {
            return Err(short());
        }
        let is_same = word64(slot, 0) == word64(&before, 0)
            && values(slot) == values(&before)
            && slot[NAME_AT..] == before[NAME_AT..];
        if is_same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn short() -> NoteKind {
    NoteKind::Damaged { what: "shorter than it was".to_owned() }
}

impl Copies {
    fn refresh(
        &mut self,
        session: &Session,
        stem: &str,
        look: &mut Vec<u8>,
    ) -> Result<(), NoteKind> {
        for _ in 0..PROCESS_ATTEMPTS {
            let mut change = Change::Nothing;
            self.busy = 0;
            let mut at = 0;
            while at < self.files.len() {
                let is_first = self.files[at].slots.is_empty();
                let (busy, changed) = self.files[at].look(look)?;
                self.busy += busy;
                change = change.max(changed);
                if is_first {
                    self.check(at, stem)?;
                }
                at += 1;
                if at == self.files.len() && at < self.n_segments() {
                    let name = format!("{stem}-{at}{SUFFIX}");
                    let next = FileCopy::open(session, &name).map_err(|kind| {
                        // Else it was removed meanwhile, with the first one.
                        let kind = kind.map_or("is missing".to_owned(), |kind| kind.to_string());
                        NoteKind::Damaged { what: format!("{name} {kind}") }
                    })?;
                    self.files.push(next);
                }
            }
            if change == Change::Names {
                self.named = None;
            }
            // All of this look comes before all of the next.
            fence(Ordering::SeqCst);
            match change {
                Change::Nothing => return Ok(()),
                Change::Numbers => {
                    let mut rest = true;
                    for file in &self.files {
                        rest = rest && file.merges_rest(look)?;
                    }
                    if rest {
                        return Ok(());
                    }
                }
                Change::Moves | Change::Names => {}
            }
        }
        Ok(())
    }

    fn n_segments(&self) -> usize {
        usize::try_from(self.files[0].header.n_segments).unwrap_or(1).min(MAX_SEGMENTS)
    }

    /// Whether a file is the one of that number of this process.
    fn check(&self, at: usize, stem: &str) -> Result<(), NoteKind> {
        let (first, file) = (&self.files[0].header, &self.files[at]);
        if at == 0 && (first.segment != 0 || first.state == SUMMARY) {
            return Err(NoteKind::NotTimes);
        }
        let is_ours = file.header.random == first.random
            && file.header.segment as usize == at
            && file.len == segment_bytes(at);
        if at > 0 && !is_ours {
            return Err(NoteKind::Damaged { what: format!("{stem}-{at}{SUFFIX} is another's") });
        }
        Ok(())
    }
}

/// The length of a file of ours; else what is wrong with it.
fn checked_len(stat: &Stat, owner: u32) -> Result<usize, NoteKind> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(NoteKind::NotAFile);
    }
    if stat.st_uid != owner {
        return Err(NoteKind::ForeignOwner { owner: stat.st_uid });
    }
    let bytes = stat.st_size as u64;
    if bytes < HEADER_BYTES as u64 || bytes > MAX_BYTES {
        return Err(NoteKind::Size { bytes });
    }
    Ok(bytes as usize)
}

fn io(error: rustix::io::Errno) -> NoteKind {
    NoteKind::Io { reason: error.to_string() }
}

/// Reads a part of a file into the same part of a buffer.
fn read_into(fd: &OwnedFd, look: &mut Vec<u8>, part: Range<usize>) -> Result<(), NoteKind> {
    if look.len() < part.end {
        look.resize(part.end, 0);
    }
    let n = part.len();
    let at = part.start as u64;
    if read(fd, &mut look[part], at)? < n { Err(short()) } else { Ok(()) }
}

/// Reads from a place of a file; gives how much there was.
fn read(fd: &OwnedFd, bytes: &mut [u8], at: u64) -> Result<usize, NoteKind> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(fd, &mut bytes[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io(error)),
        }
    }
    Ok(done)
}
