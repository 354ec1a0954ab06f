//! Reading what the processes of a session measure, by copies.
//!
//! A file is copied twice. A record counts where its sequence number and its valid copy are the
//! same in both, and then it is what stood there between the two: so all of those together are one
//! moment's. What was written in between is read again, alone. PROOF.md says why that is enough.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat};

use crate::alive::{Identity, is_gone};
use crate::error::SessionError;
use crate::image::{Header, Parts, slots, text, values, whole_values, word32, word64};
use crate::layout::{
    ENDED, HEADER_BYTES, KIND_AT, KIND_INFO, MAX_BYTES, MAX_SEGMENTS, N_SLOTS_AT, NAME_AT,
    POSITION_AT, RANK_AT, SLOT_BYTES, SUMMARY, segment_bytes,
};
use crate::map::monotonic_ns;
use crate::session::{PROCESS_PREFIX, RETIRED, SUFFIX, Session};
use crate::snapshot::{
    LaneTimes, Note, NoteKind, ProcessState, ProcessTimes, RetiredTimes, Snapshot,
};
use crate::tree::Forest;

/// Files that are read at most: a directory of more is not one of our sessions.
const MAX_FILES: usize = 16_384;
/// How much of a file is read at first, before it is known how much of it counts.
const FIRST_LOOK: usize = 32 * 1024;
/// What of a header changes.
const CHANGING: Range<usize> = N_SLOTS_AT..RANK_AT + 8;
/// How often a record is read again that was written meanwhile.
const RECORD_ATTEMPTS: usize = 64;
/// How often a process is read again of which a merge began or ended meanwhile.
const PROCESS_ATTEMPTS: usize = 8;
/// How often everything is read again because ended processes were folded meanwhile.
const SESSION_ATTEMPTS: usize = 8;

/// Reads a session again and again: it keeps the files open, and where a process was idle since the
/// last time, one look at its file suffices.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    here: Identity,
    processes: HashMap<String, Copies>,
    looks: Looks,
}

/// The copies of the files of one process.
#[derive(Debug)]
struct Copies {
    files: Vec<FileCopy>,
    /// Records that could not be read whole the last time.
    busy: usize,
}

#[derive(Debug)]
struct FileCopy {
    fd: OwnedFd,
    /// Length of the file.
    len: usize,
    header: Header,
    /// The header and the slots, as far as they count.
    slots: Vec<u8>,
    /// What changes when a slot does, for each slot: so that unchanged ones need no second look.
    marks: Vec<Mark>,
    names: Vec<u8>,
}

/// The sequence number, the name, and the position with the parent.
type Mark = [u64; 3];

/// What two looks at a file saw, used again for the next file.
#[derive(Debug, Default)]
struct Looks {
    first: Vec<u8>,
    second: Vec<u8>,
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
            here: Identity::own(),
            processes: HashMap::new(),
            looks: Looks::default(),
        }
    }

    /// What all processes of the session had measured just now.
    ///
    /// # Errors
    ///
    /// As [`Session::snapshot`].
    pub fn snapshot(&mut self) -> Result<Snapshot, SessionError> {
        let mut notes = Vec::new();
        for _ in 0..SESSION_ATTEMPTS {
            notes.clear();
            // Whoever folds a process first says so there, and then removes its files. So what is
            // found after this and is not named there, is not in these sums.
            let before = self.retired_id();
            let (retired, folded) = self.retired(&mut notes);
            let stems = self.refresh_except(&folded, &mut notes)?;
            let processes =
                stems.iter().filter_map(|stem| self.times_of(stem, &mut notes)).collect();
            if self.retired_id() == before {
                return Ok(self.assemble(processes, retired, notes));
            }
        }
        // Somebody folds without pause; what is left is right but for processes counted twice.
        let (retired, folded) = self.retired(&mut notes);
        let stems = self.refresh_except(&folded, &mut notes)?;
        let processes = stems.iter().filter_map(|stem| self.times_of(stem, &mut notes)).collect();
        Ok(self.assemble(processes, retired, notes))
    }

    /// Brings the copies up to date, without making trees of them: what a snapshot costs the memory
    /// that the processes share. Gives the number of nodes copied.
    ///
    /// # Errors
    ///
    /// As [`Session::snapshot`].
    pub fn refresh(&mut self) -> Result<usize, SessionError> {
        let stems = self.refresh_except(&[], &mut Vec::new())?;
        let files = stems.iter().filter_map(|stem| self.processes.get(stem)).flat_map(|p| &p.files);
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
    fn retired_id(&self) -> Option<(u64, u64)> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(self.session.fd(), RETIRED, flags).ok()?;
        Some((stat.st_ino, stat.st_size as u64))
    }

    fn retired(&mut self, notes: &mut Vec<Note>) -> (Vec<RetiredTimes>, Vec<String>) {
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
        notes.extend(found.into_iter().map(|kind| Note { file: RETIRED.to_owned(), kind }));
        (retired, forest.folded)
    }

    /// Copies what all processes say, those apart that a summary has. Gives their names.
    fn refresh_except(
        &mut self,
        folded: &[String],
        notes: &mut Vec<Note>,
    ) -> Result<Vec<String>, SessionError> {
        let mut stems = process_files(&self.session)?;
        stems.retain(|stem, _| !folded.contains(stem));
        if stems.len() > MAX_FILES {
            let kind = NoteKind::TooMany { more: stems.len() - MAX_FILES };
            notes.push(Note { file: self.session.dir().display().to_string(), kind });
            while stems.len() > MAX_FILES {
                stems.pop_last();
            }
        }
        self.processes.retain(|stem, _| stems.contains_key(stem));
        let mut read = Vec::new();
        for stem in stems.into_keys() {
            match self.refresh_one(&stem) {
                Ok(()) => read.push(stem),
                Err(kind) => {
                    self.processes.remove(&stem);
                    notes.extend(kind.map(|kind| Note {
                        file: text(format!("{stem}{SUFFIX}").as_bytes()),
                        kind,
                    }));
                }
            }
        }
        Ok(read)
    }

    /// Copies what one process says; `None` as the error when its file is gone meanwhile.
    fn refresh_one(&mut self, stem: &str) -> Result<(), Option<NoteKind>> {
        if !self.processes.contains_key(stem) {
            let mut first = FileCopy::open(&self.session, &format!("{stem}{SUFFIX}"))?;
            first.refresh(&mut self.looks)?;
            if first.header.segment != 0 || first.header.state == SUMMARY {
                return Err(Some(NoteKind::NotTimes));
            }
            self.processes.insert(stem.to_owned(), Copies { files: vec![first], busy: 0 });
        }
        let Some(copies) = self.processes.get_mut(stem) else { return Err(None) };
        copies.refresh(&self.session, stem, &mut self.looks).map_err(Some)
    }

    fn times_of(&self, stem: &str, notes: &mut Vec<Note>) -> Option<ProcessTimes> {
        let copy = self.process_copy(stem)?;
        let mut found = copy.notes;
        let lanes = copy.forest.lane_times(false, &mut found);
        let dropped = copy.header.dropped;
        if dropped > 0 {
            found.push(NoteKind::Overflow { dropped });
        }
        let file = text(stem.as_bytes());
        notes.extend(found.into_iter().map(|kind| Note { file: file.clone() + SUFFIX, kind }));
        let began = UNIX_EPOCH + Duration::from_nanos(copy.header.created_ns);
        Some(ProcessTimes {
            pid: copy.header.identity.pid,
            label: copy.header.label,
            state: copy.state,
            began,
            lanes,
            dropped,
            file,
        })
    }

    /// Makes trees of the copies of a process.
    fn process_copy(&self, stem: &str) -> Option<ProcessCopy> {
        let copies = self.processes.get(stem)?;
        let first = copies.files.first()?;
        let header = first.header.clone();
        let is_locked = !is_lock_free(&first.fd);
        let is_dead = !is_locked && is_gone(header.identity, self.here);
        let state = match (is_dead, header.state) {
            (false, _) => ProcessState::Running,
            (true, ENDED) => ProcessState::Ended,
            (true, _) => ProcessState::Killed,
        };
        let mut notes = Vec::new();
        let files: Vec<Parts<'_>> = copies.files.iter().map(FileCopy::parts).collect();
        let slots = slots(&files, &mut notes);
        if copies.busy > 0 {
            notes.push(NoteKind::Busy { records: copies.busy });
        }
        let now = (!is_dead).then(monotonic_ns);
        let forest = Forest::grow(&slots, now, &mut notes);
        Some(ProcessCopy { header, forest, state, notes, is_dead })
    }

    /// Copies one process and makes trees of it, for whoever folds it.
    pub(crate) fn read_process(&mut self, stem: &str) -> Result<ProcessCopy, Option<NoteKind>> {
        self.refresh_one(stem)?;
        self.process_copy(stem).ok_or(None)
    }

    /// Forgets a process, and with it its open files.
    pub(crate) fn forget(&mut self, stem: &str) {
        self.processes.remove(stem);
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
    file.refresh(&mut Looks::default())?;
    if file.header.state != SUMMARY {
        return Err(NoteKind::NotTimes);
    }
    let slots = slots(&[file.parts()], notes);
    Ok(Some(Forest::grow(&slots, None, notes)))
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
        let (slots, marks, names) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { fd, len, header: Header::none(), slots, marks, names })
    }

    fn parts(&self) -> Parts<'_> {
        Parts { slots: &self.slots, names: &self.names, len: self.len }
    }

    /// Brings the copy up to date. Gives how many records were busy, and whether a merge or a
    /// position changed meanwhile, so that records may not fit together.
    fn refresh(&mut self, looks: &mut Looks) -> Result<(usize, bool), NoteKind> {
        let short = || NoteKind::Damaged { what: "shorter than it was".to_owned() };
        // First look: as much as there was, or as most have; more when the header says so.
        let Looks { first, second } = looks;
        let likely = match self.slots.len() {
            0 => FIRST_LOOK.min(self.len),
            known => known,
        };
        first.resize(first.len().max(likely), 0);
        if read(&self.fd, &mut first[..likely], 0)? < likely {
            return Err(short());
        }
        let header = Header::read(&first[..likely], self.len)?;
        let n_slots = header.n_slots.max(self.slots.len() / SLOT_BYTES);
        let end = n_slots * SLOT_BYTES;
        let is_same = end == self.slots.len()
            && first[CHANGING] == self.slots[CHANGING]
            && self
                .marks
                .iter()
                .zip(first[HEADER_BYTES..end].chunks_exact(SLOT_BYTES))
                .all(|(known, slot)| *known == mark(slot));
        if is_same {
            return Ok((0, false));
        }
        first.resize(first.len().max(end), 0);
        if end > likely && read(&self.fd, &mut first[likely..end], likely as u64)? < end - likely {
            return Err(short());
        }
        fence(Ordering::SeqCst);
        second.resize(second.len().max(end), 0);
        if read(&self.fd, &mut second[..end], 0)? < end {
            return Err(short());
        }
        self.header = Header::read(&second[..end], self.len)?;
        self.header.n_slots = n_slots;
        let names = self.header.names_len.min(self.len - end);
        if names > self.names.len() {
            // They grow towards the slots, and what is there does not change.
            let mut all = vec![0; names];
            if read(&self.fd, &mut all, (self.len - names) as u64)? < names {
                return Err(short());
            }
            self.names = all;
        }
        let (mut busy, mut moved) = (0, false);
        for at in (HEADER_BYTES..end).step_by(SLOT_BYTES) {
            let (a, b) = (&first[at..at + SLOT_BYTES], &mut second[at..at + SLOT_BYTES]);
            if same_record(a, b) {
                continue;
            }
            moved |=
                word32(a, POSITION_AT) != word32(b, POSITION_AT) || word32(b, KIND_AT) == KIND_INFO;
            if !read_record(&self.fd, at, b)? {
                busy += 1;
                match self.slots.get(at..at + SLOT_BYTES) {
                    Some(old) => b.copy_from_slice(old),
                    None => b.fill(0),
                }
            }
        }
        self.slots.clear();
        self.slots.extend_from_slice(&second[..end]);
        self.marks.clear();
        self.marks.extend(self.slots[HEADER_BYTES..].chunks_exact(SLOT_BYTES).map(mark));
        Ok((busy, moved))
    }
}

/// What changes in a slot when anything in it does that counts.
fn mark(slot: &[u8]) -> Mark {
    [word64(slot, 0), word64(slot, NAME_AT), word64(slot, POSITION_AT)]
}

/// Whether two looks at a slot saw the same.
fn same_record(a: &[u8], b: &[u8]) -> bool {
    word64(a, 0) == word64(b, 0) && values(a) == values(b) && a[NAME_AT..] == b[NAME_AT..]
}

/// Reads one slot such that its numbers belong together. Its sequence number cannot tell: by the
/// time of a second call to the kernel, a busy writer has moved on. The check of the copy can.
fn read_record(fd: &OwnedFd, at: usize, record: &mut [u8]) -> Result<bool, NoteKind> {
    for _ in 0..RECORD_ATTEMPTS {
        read(fd, record, at as u64)?;
        if whole_values(record).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Copies {
    fn refresh(
        &mut self,
        session: &Session,
        stem: &str,
        looks: &mut Looks,
    ) -> Result<(), NoteKind> {
        for _ in 0..PROCESS_ATTEMPTS {
            let mut moved = false;
            self.busy = 0;
            let mut at = 0;
            while at < self.files.len() {
                let (busy, changed) = self.files[at].refresh(looks)?;
                self.busy += busy;
                moved |= changed;
                let first = &self.files[0].header;
                let n = usize::try_from(first.n_segments).unwrap_or(1).min(MAX_SEGMENTS);
                if at + 1 == self.files.len() && n > self.files.len() {
                    let next = self.files.len();
                    let name = format!("{stem}-{next}{SUFFIX}");
                    match FileCopy::open(session, &name) {
                        Ok(mut file) => {
                            let random = first.random;
                            file.refresh(looks)?;
                            if file.header.random != random
                                || file.header.segment as usize != next
                                || file.len != segment_bytes(next)
                            {
                                let what = format!("{name} is another's");
                                return Err(NoteKind::Damaged { what });
                            }
                            self.files.push(file);
                        }
                        Err(Some(kind)) => {
                            return Err(NoteKind::Damaged { what: format!("{name} {kind}") });
                        }
                        // Removed meanwhile, with the first one.
                        Err(None) => {
                            return Err(NoteKind::Damaged { what: format!("{name} is missing") });
                        }
                    }
                }
                at += 1;
            }
            if !moved {
                return Ok(());
            }
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
