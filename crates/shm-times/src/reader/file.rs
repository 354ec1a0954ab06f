//! The copy of one file: read at first, and brought up to date by looks at its marks.

use std::mem::take;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::image::{Header, Parts, is_histogram, values, whole_values, word32, word64};
use crate::layout::{
    HEADER_BYTES, KIND_AT, KIND_INFO, MARK_BYTES, MAX_BYTES, N_SLOTS_AT, NAME_AT, NAMES_AT,
    NO_HISTOGRAM_AT, POSITION_AT, SLOT_BYTES, mark_at, slots_at,
};
use crate::session::Session;
use crate::snapshot::NoteKind;

/// The words of a header that its process changes.
const WORDS: Range<usize> = N_SLOTS_AT..NO_HISTOGRAM_AT + 8;
/// How often a record is read again that was written meanwhile.
const RECORD_ATTEMPTS: usize = 64;
/// Slots between two that have changed that are read with them: a further call takes longer.
const GAP: usize = 64;
/// What no mark says: so many publications take decades.
const UNSEEN: u64 = u64::MAX;

/// The copy of one file.
#[derive(Debug)]
pub(super) struct FileCopy {
    pub(super) fd: OwnedFd,
    /// Length of the file.
    pub(super) len: usize,
    /// Whether the system was asked what the file is.
    is_verified: bool,
    pub(super) header: Header,
    /// The words of the header, as they were.
    words: [u8; WORDS.end - WORDS.start],
    /// The slots, as far as the file is used.
    slots: Vec<u8>,
    /// The sequence number that each slot had when it was read, or [`UNSEEN`].
    known: Vec<u64>,
    names: Vec<u8>,
    /// The first and the last slot that tells of merges.
    infos: Option<(usize, usize)>,
}

/// What a look at a file saw, used again for the next file.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The header and the marks.
    head: Vec<u8>,
    slots: Vec<u8>,
    /// Slots that have changed.
    ranges: Vec<Range<usize>>,
    /// Slots that most files have: so many are read before it is known.
    guess: usize,
    /// Records that could not be read whole.
    pub(super) busy: usize,
}

/// How a file differs from the copy before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Nothing,
    /// Only numbers, so that each record can be looked at for itself.
    Numbers,
    /// A merge began or ended, or something is elsewhere, so that records may not fit together.
    Moves,
    /// What slots there are, or what they are called.
    Names,
}

/// The memory of a copy that is no longer needed; what is in it means nothing.
#[derive(Debug, Default)]
struct Room {
    slots: Vec<u8>,
    known: Vec<u64>,
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
        let (slots, names) = (take(&mut self.slots), take(&mut self.names));
        let known = take(&mut self.known);
        if slots.capacity().max(names.capacity()) <= SPARE_BYTES
            && let Ok(mut spare) = SPARE.try_lock()
            && spare.len() < SPARE_COPIES
        {
            spare.push(Room { slots, known, names });
        }
    }
}

impl FileCopy {
    /// Opens a file; `None` as the error when it is not there. Nothing is read yet. Where its length
    /// is given, nobody has looked whether it is so: see [`FileCopy::verify`].
    pub(super) fn open(
        session: &Session,
        name: &str,
        len: Option<usize>,
    ) -> Result<Self, Option<NoteKind>> {
        // A FIFO would make `open` wait without NONBLOCK.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(session.fd(), name, flags, Mode::empty());
        // Of a file of ours, nobody is to know when it was read; of another's, the system refuses
        // that, and it is told below whose it is.
        let opened = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            opened => opened,
        };
        let fd = opened.map_err(|error| {
            match error {
                Errno::NOENT => None,
                // A link, a socket, a device that nobody serves.
                Errno::LOOP | Errno::NXIO => Some(NoteKind::NotAFile),
                error => Some(NoteKind::Io { reason: error.to_string() }),
            }
        })?;
        let is_verified = len.is_none();
        let len = match len {
            Some(len) => len,
            None => checked_len(&fd, session.owner())?,
        };
        let room = SPARE.try_lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
        let Room { slots, mut known, mut names } = room;
        known.clear();
        names.clear();
        let (header, words) = (Header::none(), [0; WORDS.end - WORDS.start]);
        Ok(Self { fd, len, is_verified, header, words, slots, known, names, infos: None })
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        let Self { slots, names, len, .. } = self;
        Parts { slots, slots_at: self.header.slots_at, names, len: *len }
    }

    /// Asks, once, whether it is a file of ours and of its length: before anything of it is shown,
    /// and to say what is wrong when it cannot be read.
    pub(super) fn verify(&mut self, session: &Session) -> Result<(), NoteKind> {
        if self.is_verified {
            return Ok(());
        }
        let bytes = checked_len(&self.fd, session.owner())?;
        if bytes != self.len {
            let what = format!("{bytes} bytes of {}", self.len);
            return Err(NoteKind::Damaged { what });
        }
        self.is_verified = true;
        Ok(())
    }

    /// Whether nothing was read of it yet.
    pub(super) fn is_new(&self) -> bool {
        self.header.n_slots == 0
    }

    /// The slots that were read.
    pub(super) fn n_slots(&self) -> usize {
        self.known.len()
    }

    /// The bytes of a slot that begins there in the file.
    pub(super) fn slot(&self, at: usize) -> Option<&[u8]> {
        let at = at.checked_sub(self.header.slots_at)?;
        self.slots.get(at..at + SLOT_BYTES)
    }

    /// Reads the file for the first time: first as many slots as others have, then the header with
    /// the marks. Where no mark differs from what a slot says, the slots stood still all together.
    pub(super) fn read_first(&mut self, look: &mut Look) -> Result<Change, NoteKind> {
        let likely = slots_at(self.len);
        let most = self.len.saturating_sub(likely) / SLOT_BYTES;
        let n = look.guess.min(most);
        self.slots.resize(n * SLOT_BYTES, 0);
        let n = read(&self.fd, &mut self.slots, likely as u64)? / SLOT_BYTES;
        self.slots.truncate(n * SLOT_BYTES);
        self.header.slots_at = likely;
        // What is busy has no number that a mark could have, so it is read again below.
        self.take_new()?;
        let marks = HEADER_BYTES + n * MARK_BYTES;
        read_into(&self.fd, &mut look.head, 0..marks.min(likely))?;
        let header = Header::read(&look.head[..HEADER_BYTES], self.len)?;
        if header.slots_at != likely {
            // As no process has it: what was read is none of its slots.
            self.slots.clear();
            self.known.clear();
            self.infos = None;
        }
        self.words.copy_from_slice(&look.head[WORDS]);
        self.header = header;
        look.guess = look.guess.max(self.header_slots().min(most));
        if self.header_slots() < self.n_slots() {
            self.slots.truncate(self.header_slots() * SLOT_BYTES);
            self.known.truncate(self.header_slots());
        }
        let change = self.read_changed(look)?;
        Ok(change.max(self.read_new(look)?))
    }

    /// Brings the copy up to date; says what changed.
    pub(super) fn read_again(&mut self, look: &mut Look) -> Result<Change, NoteKind> {
        let marks = HEADER_BYTES + self.n_slots() * MARK_BYTES;
        read_into(&self.fd, &mut look.head, WORDS.start..marks.max(WORDS.end))?;
        let mut change = Change::Nothing;
        if look.head[WORDS] != self.words {
            change = Change::Numbers;
            let mut header = vec![0; HEADER_BYTES];
            if read(&self.fd, &mut header, 0)? < HEADER_BYTES {
                return Err(short());
            }
            let before = (self.header_slots(), self.header.n_segments, self.header.slots_at);
            self.words.copy_from_slice(&look.head[WORDS]);
            self.header = Header::read(&header, self.len)?;
            if self.header.slots_at != before.2 {
                return Err(NoteKind::Damaged { what: "its slots are elsewhere".to_owned() });
            }
            if (self.header_slots(), self.header.n_segments) != (before.0, before.1) {
                change = Change::Names;
            }
        }
        change = change.max(self.read_changed(look)?);
        Ok(change.max(self.read_new(look)?))
    }

    /// How many slots there are, as the header says.
    fn header_slots(&self) -> usize {
        self.header.n_slots - self.header.slots_at / SLOT_BYTES
    }

    /// Takes what was read of slots that are not known yet; says how many were busy.
    fn take_new(&mut self) -> Result<usize, NoteKind> {
        let (slots, _) = self.slots.as_chunks::<SLOT_BYTES>();
        let first = self.known.len();
        self.known.reserve_exact(slots.len() - first);
        let (mut are_whole, infos) = (true, &mut self.infos);
        // Nearly always all of them are whole, so one pass over many asks no more than that.
        self.known.extend((first..).zip(&slots[first..]).map(|(slot, seen)| {
            are_whole &= belongs_together(seen);
            note_info(infos, slot, seen);
            word64(seen, 0)
        }));
        if are_whole { Ok(0) } else { self.look_again(first) }
    }

    /// Reads those slots again, from a first one on, whose numbers do not belong together; says how
    /// many stayed so.
    #[cold]
    fn look_again(&mut self, first: usize) -> Result<usize, NoteKind> {
        let (slots, _) = self.slots.as_chunks_mut::<SLOT_BYTES>();
        let mut busy = 0;
        for (slot, seen) in slots.iter_mut().enumerate().skip(first) {
            if belongs_together(seen) {
                continue;
            }
            let at = self.header.slots_at + slot * SLOT_BYTES;
            if is_whole(&self.fd, at, seen)? {
                note_info(&mut self.infos, slot, seen);
                self.known[slot] = word64(seen, 0);
            } else {
                busy += 1;
                // Numbers that do not belong together are not to be seen.
                seen.fill(0);
                self.known[slot] = UNSEEN;
            }
        }
        Ok(busy)
    }

    /// Reads the slots that are new.
    fn read_new(&mut self, look: &mut Look) -> Result<Change, NoteKind> {
        let known = self.n_slots();
        let n = self.header_slots();
        if n <= known {
            return Ok(Change::Nothing);
        }
        let start = known * SLOT_BYTES;
        self.slots.resize(n * SLOT_BYTES, 0);
        let at = self.header.slots_at + start;
        if read(&self.fd, &mut self.slots[start..], at as u64)? < (n - known) * SLOT_BYTES {
            return Err(short());
        }
        look.busy += self.take_new()?;
        Ok(Change::Names)
    }

    /// Reads the slots that do not have the number that their mark said in this look.
    fn read_changed(&mut self, look: &mut Look) -> Result<Change, NoteKind> {
        let n = self.n_slots();
        let room = (self.header.slots_at - HEADER_BYTES) / MARK_BYTES;
        let end = HEADER_BYTES + n.min(room) * MARK_BYTES;
        let (marks, _) = look.head[HEADER_BYTES..end].as_chunks::<MARK_BYTES>();
        let differs = |known: &u64, mark: &[u8; MARK_BYTES]| known ^ u64::from_ne_bytes(*mark);
        let any = self.known.iter().zip(marks).fold(0, |any, (k, mark)| any | differs(k, mark));
        if any == 0 {
            return Ok(Change::Nothing);
        }
        look.ranges.clear();
        for (slot, (known, mark)) in self.known.iter().zip(marks).enumerate() {
            if differs(known, mark) == 0 {
                continue;
            }
            match look.ranges.last_mut() {
                Some(last) if slot - last.end < GAP => last.end = slot + 1,
                _ => look.ranges.push(slot..slot + 1),
            }
        }
        let mut change = Change::Nothing;
        let ranges = take(&mut look.ranges);
        for range in &ranges {
            let at = self.header.slots_at + range.start * SLOT_BYTES;
            let bytes = range.len() * SLOT_BYTES;
            if look.slots.len() < bytes {
                look.slots.resize(bytes, 0);
            }
            if read(&self.fd, &mut look.slots[..bytes], at as u64)? < bytes {
                return Err(short());
            }
            let (slots, _) = look.slots[..bytes].as_chunks_mut::<SLOT_BYTES>();
            for (slot, seen) in range.clone().zip(slots) {
                let at = self.header.slots_at + slot * SLOT_BYTES;
                let mark = word64(&look.head, mark_at(at, self.header.slots_at));
                if mark == self.known[slot] {
                    continue;
                }
                match self.take_changed(slot, at, seen)? {
                    Some(other) => change = change.max(other),
                    None => look.busy += 1,
                }
            }
        }
        look.ranges = ranges;
        Ok(change)
    }

    /// Takes a slot that may have changed; `None` when it is busy.
    fn take_changed(
        &mut self,
        slot: usize,
        at: usize,
        seen: &mut [u8; SLOT_BYTES],
    ) -> Result<Option<Change>, NoteKind> {
        if !belongs_together(seen) && !is_whole(&self.fd, at, seen)? {
            return Ok(None);
        }
        let known = &mut self.slots[slot * SLOT_BYTES..][..SLOT_BYTES];
        let is_same = self.known[slot] == word64(seen, 0);
        if is_same && seen[NAME_AT..] == known[NAME_AT..] {
            return Ok(Some(Change::Nothing));
        }
        let is_other = word64(seen, NAME_AT) != word64(known, NAME_AT)
            || word32(seen, KIND_AT) != word32(known, KIND_AT);
        let is_elsewhere = seen[POSITION_AT..] != known[POSITION_AT..];
        let is_info = note_info(&mut self.infos, slot, seen);
        self.known[slot] = word64(seen, 0);
        known.copy_from_slice(seen);
        Ok(Some(match (is_other, is_elsewhere || is_info) {
            (true, _) => Change::Names,
            (false, true) => Change::Moves,
            (false, false) => Change::Numbers,
        }))
    }

    /// Reads what names there are by now: they grow towards the slots, and what is there does not
    /// change. A name may be younger than the look that saw the header.
    pub(super) fn read_names(&mut self, look: &mut Look) -> Result<(), NoteKind> {
        read_into(&self.fd, &mut look.head, NAMES_AT..NAMES_AT + 8)?;
        let room = self.len - self.header.slots_at - self.slots.len();
        let n = usize::try_from(word64(&look.head, NAMES_AT)).unwrap_or(room).min(room);
        if n > self.names.len() {
            self.names.resize(n, 0);
            let at = (self.len - n) as u64;
            if read(&self.fd, &mut self.names, at)? < n {
                return Err(short());
            }
        }
        Ok(())
    }

    /// Whether no merge has begun or ended since the slots were read that tell of them.
    pub(super) fn merges_rest(&self, look: &mut Look) -> Result<bool, NoteKind> {
        let Some((first, last)) = self.infos else { return Ok(true) };
        let last = last.min(self.n_slots().saturating_sub(1));
        if first > last {
            return Ok(true);
        }
        let slots_at = self.header.slots_at;
        let mark_of = |slot: usize| mark_at(slots_at + slot * SLOT_BYTES, slots_at);
        read_into(&self.fd, &mut look.head, mark_of(first)..mark_of(last) + MARK_BYTES)?;
        for slot in first..=last {
            let known = self.known[slot];
            let is_info = is_info(&self.slots[slot * SLOT_BYTES..][..SLOT_BYTES]);
            if !is_info || word64(&look.head, mark_of(slot)) == known {
                continue;
            }
            // It is about to change; until it has, nothing else of the merge was done.
            let mut sequence = [0; 8];
            let at = slots_at + slot * SLOT_BYTES;
            if read(&self.fd, &mut sequence, at as u64)? < 8 || word64(&sequence, 0) != known {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Look {
    /// For a start, as many slots as a small program has.
    pub(super) fn new() -> Self {
        Self { guess: 64, ..Self::default() }
    }
}

fn is_info(slot: &[u8]) -> bool {
    word32(slot, KIND_AT) == KIND_INFO
}

/// Whether a slot tells of merges; notes that it does.
#[inline]
fn note_info(infos: &mut Option<(usize, usize)>, slot: usize, seen: &[u8]) -> bool {
    let is_info = is_info(seen);
    if is_info {
        let (first, last) = infos.unwrap_or((slot, slot));
        *infos = Some((first.min(slot), last.max(slot)));
    }
    is_info
}

/// Whether one look at a slot was enough: its numbers belong together, or they are counts, of which
/// each is for itself.
#[inline]
fn belongs_together(slot: &[u8]) -> bool {
    whole_values(slot).is_some() || is_histogram(slot)
}

/// Whether the numbers of a slot belong together, if need be after it was read anew. The sequence
/// number cannot tell: by the time of a second call to the kernel, a busy writer has moved on. The
/// check of the copy can; and what is the same in two looks stood there between them.
#[cold]
fn is_whole(fd: &OwnedFd, at: usize, slot: &mut [u8; SLOT_BYTES]) -> Result<bool, NoteKind> {
    for _ in 0..RECORD_ATTEMPTS {
        if belongs_together(slot) {
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

/// The length of a file of ours; else what is wrong with it.
fn checked_len(fd: &OwnedFd, owner: u32) -> Result<usize, NoteKind> {
    let stat = rustix::fs::fstat(fd).map_err(io)?;
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

fn io(error: Errno) -> NoteKind {
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
            Err(Errno::INTR) => {}
            Err(error) => return Err(io(error)),
        }
    }
    Ok(done)
}
