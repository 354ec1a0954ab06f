//! Memory that one process fills and others read, used again and again.

#![expect(unsafe_code, reason = "the slots of an arena do not overlap, which only it knows")]

use std::collections::BTreeMap;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::memory::map::{Foreign, Sole};

/// Slots begin at multiples of this: a cache line, and enough for any number.
const ALIGN: usize = 64;

/// The least length of a segment.
const FIRST_SEGMENT: usize = 1 << 20;

/// The number of a segment, never used twice in a process.
pub(crate) type SegmentId = u32;

/// Memory that this process fills and others read, used again and again.
///
/// [`Arena::draft`] gives a piece that only its holder can touch; filled, it becomes a [`Lent`],
/// which goes along with any number of frames and arrives as a [`View`]. When the `Lent` is
/// dropped, the memory is used again, so it has to be kept until the reader has said that it is
/// done (by a frame of the application's own). Who drops it too early gives the reader other bytes,
/// and breaks nothing else.
///
/// Other processes can only read: the kernel refuses them any mapping that can be written. So the
/// memory of a draft is this process's alone, even when a peer is faulty or hostile. The list of
/// what is free is not in shared memory.
///
/// The arena grows by further segments and keeps them until it is dropped: pages that were touched
/// once cost no fault again. A clone is the same arena.
#[derive(Debug, Clone)]
pub struct Arena {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    segments: Mutex<Vec<Arc<Segment>>>,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    map: Sole,
    /// What is free: begin and length, neighbours always joined.
    free: Mutex<BTreeMap<usize, usize>>,
}

impl Segment {
    fn create(len: usize) -> io::Result<Arc<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let map = Sole::create("polychron-arena", len)?;
        Ok(Arc::new(Self { id, map, free: Mutex::new(BTreeMap::from([(0, len)])) }))
    }

    fn free(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        // The map is changed by steps that do not panic.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the first piece that is long enough.
    fn take(&self, len: usize) -> Option<usize> {
        let mut free = self.free();
        let (begin, found) =
            free.iter().find(|&(_, &found)| found >= len).map(|(&b, &f)| (b, f))?;
        free.remove(&begin);
        if found > len {
            free.insert(begin + len, found - len);
        }
        Some(begin)
    }

    /// Takes the bytes from `begin` on, if as many are free there.
    fn take_at(&self, begin: usize, len: usize) -> bool {
        let mut free = self.free();
        let Some(found) = free.get(&begin).copied().filter(|&found| found >= len) else {
            return false;
        };
        free.remove(&begin);
        if found > len {
            free.insert(begin + len, found - len);
        }
        true
    }

    fn give_back(&self, mut begin: usize, mut len: usize) {
        let mut free = self.free();
        if let Some(after) = free.remove(&(begin + len)) {
            len += after;
        }
        if let Some((&before, &before_len)) = free.range(..begin).next_back()
            && before + before_len == begin
        {
            begin = before;
            len += before_len;
        }
        free.insert(begin, len);
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

impl Arena {
    /// An arena that takes no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { segments: Mutex::default() }) }
    }

    /// A piece of `len` bytes, aligned to 64; what is in it is left from before.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn draft(&self, len: usize) -> io::Result<Draft> {
        let too_long = || io::Error::from(io::ErrorKind::OutOfMemory);
        let taken = len.max(1).checked_next_multiple_of(ALIGN).ok_or_else(too_long)?;
        let mut segments = self.segments();
        for segment in segments.iter() {
            if let Some(begin) = segment.take(taken) {
                return Ok(Draft { segment: Arc::clone(segment), begin, len, taken });
            }
        }
        // Each segment is at least as long as all before it together, so there are few.
        let held: usize = segments.iter().map(|segment| segment.len()).sum();
        let new = taken.checked_next_multiple_of(4096).ok_or_else(too_long)?;
        let segment = Segment::create(new.max(held.min(1 << 30)).max(FIRST_SEGMENT))?;
        let begin = segment.take(taken).ok_or_else(too_long)?;
        segments.push(Arc::clone(&segment));
        Ok(Draft { segment, begin, len, taken })
    }

    /// The bytes of all segments, free or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.segments().iter().map(|segment| segment.len()).sum()
    }

    /// The bytes that drafts and lent pieces hold now, each rounded up to 64.
    #[must_use]
    pub fn in_use(&self) -> usize {
        let free = |segment: &Arc<Segment>| segment.free().values().sum::<usize>();
        self.segments().iter().map(|segment| segment.len() - free(segment)).sum()
    }

    fn segments(&self) -> MutexGuard<'_, Vec<Arc<Segment>>> {
        self.inner.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// A piece of an [`Arena`] that is being filled; it refers to `[u8]`.
#[derive(Debug)]
pub struct Draft {
    segment: Arc<Segment>,
    begin: usize,
    len: usize,
    /// What was taken of the segment: `len`, rounded up.
    taken: usize,
}

impl Draft {
    fn range(&self) -> Range<usize> {
        self.begin..self.begin + self.len
    }

    /// Makes it `len` bytes long where it is; false, and it is as it was, if what lies behind it is
    /// in use. What is new in it is left from before.
    #[must_use]
    pub fn grow(&mut self, len: usize) -> bool {
        if len > self.taken {
            let Some(taken) = len.checked_next_multiple_of(ALIGN) else { return false };
            if !self.segment.take_at(self.begin + self.taken, taken - self.taken) {
                return false;
            }
            self.taken = taken;
        }
        self.len = self.len.max(len);
        true
    }

    /// Makes it `len` bytes long, and lets the rest be used again; nothing if it is shorter.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let taken = self.len.max(1).next_multiple_of(ALIGN);
        if taken < self.taken {
            self.segment.give_back(self.begin + taken, self.taken - taken);
            self.taken = taken;
        }
    }

    /// Ends the writing: the bytes can be sent from now on.
    #[must_use]
    pub fn lend(self) -> Lent {
        Lent { draft: self }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.segment.give_back(self.begin, self.taken);
    }
}

impl Deref for Draft {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the arena gave this range to nobody else, and whoever wants to write it needs
        // `&mut self`.
        unsafe { self.segment.map.slice(self.range()) }
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the arena gave this range to nobody else, and `self` is borrowed alone.
        unsafe { self.segment.map.slice_mut(self.range()) }
    }
}

/// Bytes in an [`Arena`] that others may read; they do not change before this is dropped.
#[derive(Debug)]
pub struct Lent {
    draft: Draft,
}

impl Lent {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.draft.segment
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.draft.range()
    }

    /// Takes the bytes back to change them.
    #[must_use]
    pub fn take_back(self) -> Draft {
        self.draft
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.draft
    }
}

/// Bytes in the arena of another process.
///
/// They can be copied out, and nothing else: the other process may write them at any moment, so
/// that a `&[u8]` to them would be unsound. What it never writes again is [`Frozen`](crate::Frozen).
#[derive(Debug, Clone)]
pub struct View {
    map: Arc<Foreign>,
    begin: usize,
    len: usize,
}

impl View {
    /// `None` when the range is not within the segment.
    pub(crate) fn new(map: &Arc<Foreign>, begin: u64, len: u64) -> Option<Self> {
        let (begin, len) = (usize::try_from(begin).ok()?, usize::try_from(len).ok()?);
        let inside = begin.checked_add(len)? <= map.len();
        inside.then(|| Self { map: Arc::clone(map), begin, len })
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `bytes` with those from `offset` on.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.len),
            "{} bytes from {offset} on are more than the {} of the view",
            bytes.len(),
            self.len
        );
        self.map.read(self.begin + offset, bytes);
    }

    /// A copy of all bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces never overlap, keep their bytes, and all memory is whole again at the end.
    #[test]
    fn pieces_are_apart_and_come_back() {
        let arena = Arena::new();
        let mut held: Vec<(u8, Lent)> = Vec::new();
        let mut state = 7_u64;
        for round in 0..2000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let random = (state >> 33) as usize;
            if random.is_multiple_of(3) && !held.is_empty() {
                let (tag, lent) = held.swap_remove(random % held.len());
                assert!(lent.iter().all(|&byte| byte == tag), "round {round}");
            } else {
                let mut draft = arena.draft(random % 5000).unwrap();
                assert_eq!(draft.as_ptr().addr() % ALIGN, 0);
                draft.fill(random as u8);
                held.push((random as u8, draft.lend()));
            }
        }
        assert!(arena.in_use() > 0);
        held.clear();
        assert_eq!(arena.in_use(), 0);
        for segment in arena.segments().iter() {
            assert_eq!(*segment.free(), BTreeMap::from([(0, segment.len())]), "joined again");
        }
    }

    #[test]
    fn memory_is_used_again_and_grows_when_it_must() {
        let arena = Arena::new();
        assert_eq!(arena.capacity(), 0);
        for _ in 0..100 {
            drop(arena.draft(1 << 19).unwrap());
        }
        assert_eq!(arena.capacity(), FIRST_SEGMENT);
        let long = arena.draft(3 << 20).unwrap();
        assert_eq!(long.len(), 3 << 20);
        assert_eq!(arena.capacity(), FIRST_SEGMENT + (3 << 20));
    }

    #[test]
    fn a_piece_grows_where_there_is_room_and_gives_back_what_it_does_not_need() {
        let arena = Arena::new();
        let mut draft = arena.draft(100).unwrap();
        draft.fill(7);
        assert!(draft.grow(128) && draft.grow(1000) && draft.grow(10));
        assert_eq!((draft.len(), arena.in_use()), (1000, 1024));
        assert!(draft[..100].iter().all(|byte| *byte == 7));
        let next = arena.draft(64).unwrap();
        assert!(draft.grow(1024) && !draft.grow(1025) && !draft.grow(usize::MAX));
        assert_eq!(draft.len(), 1024);
        draft.truncate(65);
        draft.truncate(5000);
        assert_eq!((draft.len(), arena.in_use()), (65, 128 + 64));
        assert!(draft.grow(1024), "what it gave back is free");
        drop(next);
        assert!(draft.grow(FIRST_SEGMENT) && !draft.grow(FIRST_SEGMENT + 1));
        draft.truncate(0);
        assert_eq!(arena.in_use(), 64);
        drop(draft);
        assert_eq!(arena.in_use(), 0);
    }

    #[test]
    fn others_can_read_and_not_write() {
        let arena = Arena::new();
        let mut draft = arena.draft(11).unwrap();
        draft.copy_from_slice(b"hello there");
        let lent = draft.lend();
        let fd = lent.segment().fd().try_clone_to_owned().unwrap();
        let foreign = Arc::new(Foreign::open(&fd).unwrap());
        let range = lent.range();
        let view = View::new(&foreign, range.start as u64, 11).unwrap();
        assert_eq!(view.to_vec(), b"hello there");
        assert!(View::new(&foreign, 0, u64::MAX).is_none());
        assert!(View::new(&foreign, foreign.len() as u64, 1).is_none());
        // Neither a mapping nor a write gets through.
        assert!(memmap2::MmapOptions::new().len(4096).map_raw(&fd).is_err());
        assert!(rustix::io::pwrite(&fd, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&fd, 1).is_err());
    }
}
