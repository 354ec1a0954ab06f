//! Reading what the processes of a session measure, by copies.
//!
//! A file has a mark for each record, all in one place. They are copied with one call to the kernel
//! and compared with what the records said when those were read; only what differs is read again.
//! Where only numbers have changed, each record that did counts when its check fits, and a look at
//! the merges says that none began or ended meanwhile. Where more has changed, there is another
//! look. PROOF.md says why that is enough.

mod copies;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, Stat};

use crate::alive::Identity;
use crate::error::SessionError;
use crate::image::{Named, slots, text};
use crate::layout::SUMMARY;
use crate::map::file_clock_ns;
use crate::session::{PROCESS_PREFIX, RETIRED, SUFFIX, Session};
use crate::snapshot::{Note, NoteKind, ProcessTimes, RetiredTimes, Snapshot};
use crate::tree::Forest;

use copies::Copies;
pub(crate) use copies::ProcessCopy;
use file::{FileCopy, Look};

/// Files that are read at most: a directory of more is not one of our sessions.
const MAX_FILES: usize = 16_384;
/// How long before a look at a directory its last change must be, so that a further one would show,
/// in ns: the kernel's file times advance in steps of 10 ms at most.
const SETTLED_NS: u64 = 20_000_000;
/// How often everything is read again because ended processes were folded meanwhile.
const SESSION_ATTEMPTS: usize = 8;

/// Reads a session again and again: it keeps the files open and what it saw in them, lists the
/// directory only when that has changed, and reads again only what has changed.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    here: OnceLock<Identity>,
    /// By the name of the first file without its ending; without copies until it could be read.
    processes: BTreeMap<String, Entry>,
    /// When the directory had changed last when it was listed, where a later change would show.
    listed: Option<Time>,
    /// How often the directory was listed.
    listings: u64,
    /// Files in the directory that are not read, since there are too many.
    too_many: usize,
    summary: Summary,
    look: Look,
}

/// A process of which there is a file.
#[derive(Debug, Default)]
struct Entry {
    copies: Option<Box<Copies>>,
    /// The listing that it was in last.
    listing: u64,
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
            listings: 0,
            too_many: 0,
            summary: Summary::default(),
            look: Look::new(),
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
            for (stem, Entry { copies, .. }) in &mut self.processes {
                if let Some(known) = copies
                    && !self.summary.folded.contains(stem)
                {
                    match known.times(&self.session, stem, here, &mut self.look, &mut notes) {
                        Ok(times) => processes.push(times),
                        Err(kind) => {
                            *copies = None;
                            notes.push(note(stem, kind));
                        }
                    }
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
        let copies = self.processes.values().filter_map(|entry| entry.copies.as_ref());
        Ok(copies.map(|copies| copies.n_slots()).sum())
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
            let (mut times, mut histograms) = (Vec::new(), Vec::new());
            for found in lanes.by_ref().take(lane.roots.len()) {
                times.push(found.times);
                histograms.extend(found.histograms);
            }
            let Lane { label, processes, killed } = Lane::of(lane);
            retired.push(RetiredTimes { label, processes, killed, times, histograms });
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
        let folded = &self.summary.folded;
        let mut found = |stem: &str, kind: Option<NoteKind>| {
            notes.extend(kind.map(|kind| note(stem, kind)));
        };
        // All that are new are opened first and read then: either goes quicker by itself, because
        // what it needs stays in the caches.
        for (stem, Entry { copies, .. }) in &mut self.processes {
            if copies.is_none() && !folded.contains(stem) {
                match Copies::open(&self.session, stem) {
                    Ok(opened) => *copies = Some(Box::new(opened)),
                    Err(kind) => found(stem, kind),
                }
            }
        }
        for (stem, Entry { copies, .. }) in &mut self.processes {
            if let Some(known) = copies
                && !folded.contains(stem)
                && let Err(kind) = known.refresh(&self.session, stem, &mut self.look)
            {
                *copies = None;
                found(stem, Some(kind));
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
        self.listings += 1;
        let (listing, processes) = (self.listings, &mut self.processes);
        let (mut new, mut n) = (Vec::new(), 0_usize);
        self.session.for_each_name(|name| {
            // A process is known by its first file; where that is gone, so is the process.
            let Some((stem, true)) = process_file(name) else { return };
            if let Some(entry) = processes.get_mut(stem) {
                entry.listing = listing;
            } else if processes.len() + new.len() < MAX_FILES {
                new.push(stem.to_owned());
            } else {
                n += 1;
            }
        })?;
        if !new.is_empty() {
            // All at once: one by one, each would be looked for among the others.
            let entry = |stem| (stem, Entry { copies: None, listing });
            processes.append(&mut new.into_iter().map(entry).collect());
        }
        processes.retain(|_, entry| entry.listing == listing);
        self.too_many = n;
        // Another change within the same step of the kernel's clock would not show.
        self.listed = changed.filter(|_| n == 0).filter(|(s, ns)| {
            let changed = s.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(*ns);
            now.saturating_sub(changed) > SETTLED_NS
        });
        Ok(())
    }

    /// Copies one process and makes trees of it, for whoever folds it.
    pub(crate) fn read_process(&mut self, stem: &str) -> Result<ProcessCopy, Option<NoteKind>> {
        let mut copies = Copies::open(&self.session, stem)?;
        copies.refresh(&self.session, stem, &mut self.look)?;
        let here = *self.here.get_or_init(Identity::own);
        Ok(copies.copy(&self.session, here, &mut self.look)?)
    }
}

fn note(stem: &str, kind: NoteKind) -> Note {
    Note { file: text(stem.as_bytes()).into_owned() + SUFFIX, kind }
}

/// When a file was changed last.
fn modified(stat: &Stat) -> Time {
    (stat.st_mtime, stat.st_mtime_nsec)
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
    let mut file = match FileCopy::open(session, RETIRED, None) {
        Ok(file) => file,
        Err(None) => return Ok(None),
        Err(Some(kind)) => return Err(kind),
    };
    // It never changes: a new one takes its place.
    let look = &mut Look::new();
    file.read_first(look)?;
    file.read_names(look)?;
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
    session.for_each_name(|name| {
        if let Some((stem, _)) = process_file(name) {
            stems.entry(stem.to_owned()).or_default().push(name.to_owned());
        }
    })?;
    Ok(stems)
}

/// The name of a process's first file without its ending, if this is a file of a process, and
/// whether this is that file.
fn process_file(name: &str) -> Option<(&str, bool)> {
    let stem = name.strip_suffix(SUFFIX)?;
    if !stem.starts_with(PROCESS_PREFIX) {
        return None;
    }
    // `p-<pid>-<start>-<random>`, and for further files `-<n>`: one digit in ours.
    if let Some((first, n)) = stem.rsplit_once('-')
        && n.len() <= 3
        && n.parse::<u8>().is_ok()
        && first.split('-').count() == 4
    {
        return Some((first, false));
    }
    Some((stem, true))
}

/// Whether nobody holds the lock on a file.
pub(crate) fn is_lock_free(fd: &OwnedFd) -> bool {
    let is_free = rustix::fs::flock(fd, FlockOperation::NonBlockingLockShared).is_ok();
    if is_free {
        let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
    }
    is_free
}
