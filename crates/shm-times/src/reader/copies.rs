//! The copies of the files of one process, and the trees made of them.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, UNIX_EPOCH};

use super::file::{Change, FileCopy, Look};
use super::is_lock_free;
use crate::alive::{Identity, is_gone};
use crate::image::{Header, Named, Parts, slots, text, values};
use crate::layout::{ENDED, MAX_SEGMENTS, SUMMARY, locate, segment_bytes, slots_at};
use crate::map::monotonic_ns;
use crate::session::{SUFFIX, Session};
use crate::snapshot::{Note, NoteKind, ProcessState, ProcessTimes};
use crate::tree::Forest;

/// How often a process is read again of which a merge began or ended meanwhile.
const PROCESS_ATTEMPTS: usize = 8;

/// The copies of the files of one process.
#[derive(Debug)]
pub(super) struct Copies {
    files: Vec<FileCopy>,
    /// Records that could not be read whole the last time.
    busy: usize,
    /// What the slots are called; `None` when that must be found out again.
    named: Option<Named>,
    /// The trees, with the numbers of the latest snapshot.
    forest: Option<Forest>,
    /// Whether only numbers have changed since, so that the trees need not be grown again.
    is_grown: bool,
}

/// What the files of a process say, copied and checked.
#[derive(Debug)]
pub(crate) struct ProcessCopy {
    pub(crate) header: Header,
    pub(crate) forest: Forest,
    pub(crate) state: ProcessState,
    /// Whether its file can be removed: its lock is free, and it is gone.
    pub(crate) is_dead: bool,
}

impl Copies {
    /// Opens the first file of a process; `None` as the error when it is gone.
    pub(super) fn open(session: &Session, stem: &str) -> Result<Self, Option<NoteKind>> {
        let name = [stem, SUFFIX].concat();
        let first = FileCopy::open(session, &name, Some(segment_bytes(0)))?;
        Ok(Self { files: vec![first], busy: 0, named: None, forest: None, is_grown: false })
    }

    /// The slots that were read.
    pub(super) fn n_slots(&self) -> usize {
        self.files.iter().map(FileCopy::n_slots).sum()
    }

    /// Brings the copies up to date.
    pub(super) fn refresh(
        &mut self,
        session: &Session,
        stem: &str,
        look: &mut Look,
    ) -> Result<(), NoteKind> {
        for _ in 0..PROCESS_ATTEMPTS {
            look.busy = 0;
            let change = self.look(session, stem, look)?;
            self.busy = look.busy;
            if change >= Change::Moves {
                self.is_grown = false;
            }
            if change == Change::Names {
                self.named = None;
            }
            match change {
                Change::Nothing => return Ok(()),
                Change::Numbers => {
                    // The numbers were read before it is asked whether they may wander.
                    fence(Ordering::SeqCst);
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
            fence(Ordering::SeqCst);
        }
        Ok(())
    }

    fn look(&mut self, session: &Session, stem: &str, look: &mut Look) -> Result<Change, NoteKind> {
        let mut change = Change::Nothing;
        let mut at = 0;
        while at < self.files.len() {
            let file = &mut self.files[at];
            if file.is_new() {
                let read = file.read_first(look);
                if read.is_err() {
                    file.verify(session)?;
                }
                change = change.max(read?);
                self.check(at, stem)?;
            } else {
                change = change.max(file.read_again(look)?);
            }
            at += 1;
            if at == self.files.len() && at < self.n_segments() {
                let name = format!("{stem}-{at}{SUFFIX}");
                let len = Some(segment_bytes(at));
                let next = FileCopy::open(session, &name, len).map_err(|kind| {
                    // Else it was removed meanwhile, with the first one.
                    let kind = kind.map_or("is missing".to_owned(), |kind| kind.to_string());
                    NoteKind::Damaged { what: format!("{name} {kind}") }
                })?;
                self.files.push(next);
                // It is not of the same moment as the files before.
                change = Change::Names;
            }
        }
        Ok(change)
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
        if file.header.slots_at != slots_at(file.len) {
            let what = format!("slots from byte {} on", file.header.slots_at);
            return Err(NoteKind::Damaged { what });
        }
        Ok(())
    }

    /// What was measured, for a snapshot.
    pub(super) fn times(
        &mut self,
        session: &Session,
        stem: &str,
        here: Identity,
        look: &mut Look,
        notes: &mut Vec<Note>,
    ) -> Result<ProcessTimes, NoteKind> {
        let mut found = Vec::new();
        let (state, _) = self.state(here);
        let lanes = self.grow(session, state, look, &mut found)?.lane_times(false, &mut found);
        let header = &self.files[0].header;
        let (dropped, stamps) = (header.dropped, header.without_histogram);
        if dropped > 0 {
            found.push(NoteKind::Overflow { dropped });
        }
        if stamps > 0 {
            found.push(NoteKind::NoHistogram { stamps });
        }
        let file = text(stem.as_bytes()).into_owned();
        notes.extend(found.into_iter().map(|kind| Note { file: file.clone() + SUFFIX, kind }));
        Ok(ProcessTimes {
            pid: header.identity.pid,
            label: header.label.clone(),
            state,
            began: UNIX_EPOCH + Duration::from_nanos(header.created_ns),
            lanes,
            dropped,
            file,
        })
    }

    /// Whether the process runs, and whether it is surely gone.
    fn state(&self, here: Identity) -> (ProcessState, bool) {
        let first = &self.files[0];
        let is_dead = is_lock_free(&first.fd) && is_gone(first.header.identity, here);
        let state = match (is_dead, first.header.state) {
            (false, _) => ProcessState::Running,
            (true, ENDED) => ProcessState::Ended,
            (true, _) => ProcessState::Killed,
        };
        (state, is_dead)
    }

    /// Makes trees of the copies, or puts the numbers of the copies into the trees that are there.
    fn grow(
        &mut self,
        session: &Session,
        state: ProcessState,
        look: &mut Look,
        notes: &mut Vec<NoteKind>,
    ) -> Result<&Forest, NoteKind> {
        self.files.iter_mut().try_for_each(|file| file.verify(session))?;
        if self.busy > 0 {
            notes.push(NoteKind::Busy { records: self.busy });
        }
        let now = (state == ProcessState::Running).then(monotonic_ns);
        if self.is_grown
            && let Some(forest) = &mut self.forest
        {
            let files = &self.files;
            forest.refill(now, |number| {
                let (segment, at) = locate(number)?;
                files.get(segment)?.slot(at).map(values)
            });
        } else {
            let forest = self.grow_anew(now, look, notes);
            self.forest = Some(forest);
        }
        Ok(self.forest.get_or_insert_default())
    }

    fn grow_anew(
        &mut self,
        now: Option<u64>,
        look: &mut Look,
        notes: &mut Vec<NoteKind>,
    ) -> Forest {
        if self.named.is_none() {
            for file in &mut self.files {
                if let Err(kind) = file.read_names(look) {
                    notes.push(kind);
                }
            }
        }
        let files: Vec<Parts<'_>> = self.files.iter().map(FileCopy::parts).collect();
        let named = self.named.get_or_insert_with(|| Named::of(&files));
        let n_notes = notes.len();
        let slots = slots(&files, named, notes);
        let forest = Forest::grow(&slots, Arc::clone(&named.names), now, notes);
        // What is wrong with it must be said each time.
        self.is_grown = forest.can_be_refilled() && notes.len() == n_notes;
        forest
    }

    /// What was measured, for whoever folds it.
    pub(super) fn copy(
        &mut self,
        session: &Session,
        here: Identity,
        look: &mut Look,
    ) -> Result<ProcessCopy, NoteKind> {
        let (state, is_dead) = self.state(here);
        let forest = self.grow(session, state, look, &mut Vec::new())?.clone();
        Ok(ProcessCopy { header: self.files[0].header.clone(), forest, state, is_dead })
    }
}
