//! The workers of a run as a group, which meets in shared memory.
//!
//! The memory has a barrier, and for each rank a place to say what it calls and two *windows* of
//! [`WINDOW`] bytes. A collective goes in rounds: every rank puts the next piece of what it gives
//! into one of its windows, all meet at the barrier, and every rank takes what it needs out of the
//! windows of the others. The next round uses the other window, so one barrier per round is enough:
//! who is slow still reads the one while who is quick fills the other, and to fill the first one
//! again all have to have met once more. So memory is bounded whatever the lengths are, and stays
//! in the caches.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use pm_api::backend::{Call, CallKind, Fold, check_calls};
use pm_api::{CancelToken, OnCancel, Peers, PeersError};
use worker_process::{Barrier, BarrierMember, SharedMemory, WaitPolicy};

/// The bytes that a rank shows the others in one round.
pub(crate) const WINDOW: usize = 1 << 20;

/// Where it says whether the run was cancelled.
const CANCELLED: usize = Barrier::LEN;
/// Where the places of the ranks begin.
const PLACES: usize = Barrier::LEN + 64;
/// The longest reason for leaving that is kept, in bytes.
const REASON: usize = 480;
/// When a rank left, or 0; the length of the reason; the reason.
const LEFT: usize = 16 + REASON;
/// Kind, root, bytes, element, whole, number of counts, their sum, whether the operation can panic.
const POST_WORDS: usize = 8;

/// The memory of a group, as the manager and each member have it.
#[derive(Debug, Clone)]
pub(crate) struct GroupMemory {
    memory: SharedMemory,
    size: usize,
}

impl GroupMemory {
    /// New memory for a group of `size`; it takes no pages before it is used.
    pub(crate) fn create(size: usize) -> io::Result<Self> {
        let memory = SharedMemory::create(Self::len(size))?;
        Ok(Self { memory, size })
    }

    /// The memory that the manager created.
    pub(crate) fn open(fd: OwnedFd, size: usize) -> io::Result<Self> {
        let memory = SharedMemory::open(fd)?;
        if size == 0 || memory.len() < Self::len(size) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { memory, size })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    fn len(size: usize) -> usize {
        Self::windows(size) + 2 * WINDOW * size
    }

    /// The bytes of one post.
    fn post_len(size: usize) -> usize {
        (POST_WORDS + size) * 8
    }

    /// The bytes of one place: why it left, and for both turns a post and whether it panicked.
    fn place_len(size: usize) -> usize {
        (LEFT + 2 * (Self::post_len(size) + 8)).next_multiple_of(64)
    }

    fn windows(size: usize) -> usize {
        (PLACES + Self::place_len(size) * size).next_multiple_of(4096)
    }

    fn place(&self, rank: usize) -> usize {
        PLACES + Self::place_len(self.size) * rank
    }

    fn post_at(&self, rank: usize, turn: usize) -> usize {
        self.place(rank) + LEFT + turn * (Self::post_len(self.size) + 8)
    }

    fn panicked_at(&self, rank: usize, turn: usize) -> usize {
        self.post_at(rank, turn) + Self::post_len(self.size)
    }

    fn barrier(&self) -> Barrier {
        let size = u32::try_from(self.size).expect("there are fewer processes than that");
        Barrier::at(self.memory.clone(), 0, size)
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.memory.read(at, &mut word);
        u64::from_ne_bytes(word)
    }

    /// Says that a rank is not there any more, unless it has said so itself, and wakes the others.
    pub(crate) fn leave(&self, rank: usize, reason: &str) {
        let place = self.place(rank);
        if self.word(place) == 0 {
            let end = reason.floor_char_boundary(REASON.min(reason.len()));
            self.memory.write(place + 16, &reason.as_bytes()[..end]);
            self.memory.write(place + 8, &(end as u64).to_ne_bytes());
            // Who left first is the one that the others are told of.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1);
            self.memory.write(place, &now.to_ne_bytes());
        }
        self.barrier().poison();
    }

    /// Says that the run was cancelled, and wakes all members.
    pub(crate) fn cancel(&self) {
        self.memory.write(CANCELLED, &[1]);
        self.barrier().poison();
    }

    fn is_cancelled(&self) -> bool {
        let mut flag = [0];
        self.memory.read(CANCELLED, &mut flag);
        flag != [0]
    }

    /// The member that left first, and why.
    fn first_left(&self) -> Option<(usize, String)> {
        let left = (0..self.size).map(|rank| (self.word(self.place(rank)), rank));
        let (_, rank) = left.filter(|(time, _)| *time > 0).min()?;
        let place = self.place(rank);
        let len = usize::try_from(self.word(place + 8)).unwrap_or(REASON).min(REASON);
        let mut reason = vec![0; len];
        self.memory.read(place + 16, &mut reason);
        Some((rank, String::from_utf8_lossy(&reason).into_owned()))
    }
}

/// One member of a group.
#[derive(Debug)]
pub(crate) struct ProcessPeers {
    pub(crate) memory: GroupMemory,
    pub(crate) rank: usize,
    state: Mutex<State>,
    cancel: CancelToken,
    _wake: OnCancel,
}

/// What one thread at a time has of a member.
#[derive(Debug)]
pub(crate) struct State {
    member: BarrierMember,
    /// Which of its windows the member fills next.
    turn: usize,
    /// Whether a meeting was broken off, so that there is none any more.
    is_over: bool,
}

/// What a member said.
#[derive(Debug)]
pub(crate) struct Posted {
    words: [u64; POST_WORDS],
    counts: Vec<usize>,
}

impl Posted {
    pub(crate) fn n_bytes(&self) -> usize {
        usize(self.words[2])
    }

    fn n_whole(&self) -> usize {
        usize(self.words[4])
    }

    fn call(&self) -> Call<'_> {
        let [kind, root, n_bytes, element, n_whole, ..] = self.words;
        let kind = CallKind::ALL.into_iter().find(|known| *known as u64 == kind);
        Call {
            // Only a member that writes at random says anything else; the others then fail alike.
            kind: kind.unwrap_or(CallKind::Barrier),
            root: usize(root),
            n_bytes: usize(n_bytes),
            element: usize(element),
            n_whole: usize(n_whole),
            counts: &self.counts,
        }
    }

    pub(crate) fn may_panic(&self) -> bool {
        self.words[7] != 0
    }
}

/// They were a usize in a process of the same program.
fn usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

impl ProcessPeers {
    /// Member `rank`, which waits for the others as it is told.
    pub(crate) fn new(
        memory: GroupMemory,
        rank: usize,
        wait: WaitPolicy,
        cancel: &CancelToken,
    ) -> Self {
        let member = memory.barrier().member(wait);
        let state = Mutex::new(State { member, turn: 0, is_over: false });
        let theirs = memory.clone();
        let wake = cancel.on_cancel(move || theirs.cancel());
        Self { memory, rank, state, cancel: cancel.clone(), _wake: wake }
    }

    /// Makes sure that no second thread of this member comes.
    pub(crate) fn occupy(&self) -> Result<MutexGuard<'_, State>, PeersError> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            // By an operation that panicked, between two meetings.
            Err(TryLockError::Poisoned(state)) => Ok(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) => Err(PeersError::Busy { rank: self.rank }),
        }
    }

    /// Why there is no meeting.
    fn broken(&self) -> PeersError {
        let (rank, n_ranks) = (self.rank, self.memory.size);
        if self.cancel.is_cancelled() || self.memory.is_cancelled() {
            return PeersError::Cancelled { rank, n_ranks };
        }
        let left = self.memory.first_left();
        let (rank, reason) = left.unwrap_or_else(|| (rank, "nobody knows".to_owned()));
        PeersError::Left { rank, n_ranks, reason }
    }

    /// Meets the others with what was put into the window of this turn, and returns that turn.
    pub(crate) fn pass(&self, state: &mut State) -> Result<usize, PeersError> {
        if state.is_over || state.member.pass(None).is_err() {
            state.is_over = true;
            return Err(self.broken());
        }
        let turn = state.turn;
        state.turn = 1 - turn;
        Ok(turn)
    }

    fn window(&self, rank: usize, turn: usize) -> usize {
        GroupMemory::windows(self.memory.size) + (2 * rank + turn) * WINDOW
    }

    /// Puts bytes into the own window of the coming round.
    pub(crate) fn show(&self, state: &State, at: usize, bytes: &[u8]) {
        debug_assert!(at + bytes.len() <= WINDOW);
        self.memory.memory.write(self.window(self.rank, state.turn) + at, bytes);
    }

    /// Takes bytes out of a window of the round that was last.
    pub(crate) fn look(&self, rank: usize, turn: usize, at: usize, bytes: &mut [u8]) {
        debug_assert!(at + bytes.len() <= WINDOW);
        self.memory.memory.read(self.window(rank, turn) + at, bytes);
    }

    /// Says whether the operation panicked here, for the coming round.
    pub(crate) fn say_panicked(&self, state: &State, panicked: bool) {
        let at = self.memory.panicked_at(self.rank, state.turn);
        self.memory.memory.write(at, &u64::from(panicked).to_ne_bytes());
    }

    /// The first rank whose operation panicked.
    pub(crate) fn panicked(&self, turn: usize) -> Option<usize> {
        let panicked = |rank: &usize| self.memory.word(self.memory.panicked_at(*rank, turn)) != 0;
        (0..self.memory.size).find(panicked)
    }

    /// The first round of a collective: says what this member calls and shows the first piece of
    /// what it gives, meets the others, and looks whether all fit together. The turn, and what all
    /// have said.
    pub(crate) fn meet(
        &self,
        state: &mut State,
        call: &Call<'_>,
        may_panic: bool,
        piece: &[u8],
    ) -> Result<(usize, Vec<Posted>), PeersError> {
        let size = self.memory.size;
        if state.is_over {
            return Err(self.broken());
        }
        let Call { kind, root, n_bytes, element, n_whole, counts } = *call;
        let sum = counts.iter().fold(0_usize, |sum, n| sum.saturating_add(*n));
        let words = [root, n_bytes, element, n_whole, counts.len(), sum, usize::from(may_panic)];
        let mut post = Vec::with_capacity(GroupMemory::post_len(size));
        post.extend((kind as u64).to_ne_bytes());
        let n_counts = if counts.len() == size { size } else { 0 };
        let words = words.iter().chain(&counts[..n_counts]);
        words.for_each(|word| post.extend((*word as u64).to_ne_bytes()));
        self.memory.memory.write(self.memory.post_at(self.rank, state.turn), &post);
        self.show(state, 0, piece);
        let turn = self.pass(state)?;
        // All that is said is read before the next round, after which it may be written over.
        let posted: Vec<Posted> = (0..size).map(|rank| self.posted(rank, turn)).collect();
        check_calls(size, |rank| posted[rank].call())?;
        Ok((turn, posted))
    }

    fn posted(&self, rank: usize, turn: usize) -> Posted {
        let at = self.memory.post_at(rank, turn);
        let mut bytes = [0; POST_WORDS * 8];
        self.memory.memory.read(at, &mut bytes);
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight of them"));
        let mut words = [0; POST_WORDS];
        words.iter_mut().zip(bytes.chunks_exact(8)).for_each(|(to, from)| *to = word(from));
        let n_counts = usize(words[5]);
        let counts = if n_counts == self.memory.size {
            let mut bytes = vec![0; 8 * n_counts];
            self.memory.memory.read(at + POST_WORDS * 8, &mut bytes);
            bytes.chunks_exact(8).map(|bytes| usize(word(bytes))).collect()
        } else {
            // Lengths for another number of ranks fit nothing; only their number and their sum are
            // told of, so these will do.
            let mut counts = vec![0; n_counts.min(1 << 24)];
            counts.iter_mut().take(1).for_each(|first| *first = usize(words[6]));
            counts
        };
        Posted { words, counts }
    }

    /// Does a collective that moves bytes: gives `own`, and calls `take` after every round with the
    /// turn and where in everybody's bytes the windows begin; `longest` is what the longest gives.
    fn rounds(
        &self,
        call: &Call<'_>,
        own: &[u8],
        longest: impl FnOnce(&[Posted]) -> usize,
        mut take: impl FnMut(usize, usize, &[Posted]),
    ) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        let state = &mut *state;
        let (mut turn, posted) = self.meet(state, call, false, piece(own, 0, WINDOW))?;
        let longest = longest(&posted);
        let mut start = 0;
        loop {
            take(turn, start, &posted);
            start += WINDOW;
            if start >= longest {
                return Ok(());
            }
            self.show(state, 0, piece(own, start, WINDOW));
            turn = self.pass(state)?;
        }
    }

    /// Puts what the others show of their parts into the whole.
    fn collect(&self, turn: usize, start: usize, posted: &[Posted], whole: &mut [u8]) {
        let mut begin = 0;
        for (rank, posted) in posted.iter().enumerate() {
            let n = posted.n_bytes();
            if start < n {
                let end = n.min(start + WINDOW);
                self.look(rank, turn, 0, &mut whole[begin + start..begin + end]);
            }
            begin += n;
        }
    }
}

/// The bytes from `start` on, at most `n` of them.
pub(crate) fn piece(bytes: &[u8], start: usize, n: usize) -> &[u8] {
    let start = start.min(bytes.len());
    &bytes[start..bytes.len().min(start + n)]
}

fn longest(posted: &[Posted]) -> usize {
    posted.iter().map(Posted::n_bytes).max().unwrap_or(0)
}

impl Peers for ProcessPeers {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.memory.size
    }

    fn barrier(&self) -> Result<(), PeersError> {
        self.meet(&mut *self.occupy()?, &Call::barrier(), false, &[]).map(drop)
    }

    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        let n = bytes.len();
        let call = Call { kind: CallKind::Broadcast, root, n_bytes: n, ..Call::barrier() };
        if self.rank == root {
            return self.rounds(&call, bytes, |_| n, |_, _, _| {});
        }
        let take = |turn, start: usize, _: &[Posted]| {
            let end = n.min(start + WINDOW);
            self.look(root, turn, 0, &mut bytes[start..end]);
        };
        self.rounds(&call, &[], |_| n, take)
    }

    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let call = Call { kind: CallKind::Gather, root, n_bytes: part.len(), ..Call::barrier() };
        if self.rank != root {
            return self.rounds(&call, part, longest, |_, _, _| {});
        }
        let call = Call { n_whole: whole.len(), counts, ..call };
        let take = |turn, start, posted: &[Posted]| self.collect(turn, start, posted, whole);
        self.rounds(&call, part, longest, take)
    }

    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let call = Call { kind: CallKind::Scatter, root, n_bytes: part.len(), ..Call::barrier() };
        let (call, own) = if self.rank == root {
            (Call { n_whole: whole.len(), counts, ..call }, whole)
        } else {
            (call, &[][..])
        };
        let take = |turn, start: usize, posted: &[Posted]| {
            // What the window and the own piece of the whole have in common.
            let begin: usize = posted[root].counts[..self.rank].iter().sum();
            let (from, to) = (begin.max(start), (begin + part.len()).min(start + WINDOW));
            if from < to {
                self.look(root, turn, from - start, &mut part[from - begin..to - begin]);
            }
        };
        self.rounds(&call, own, |posted| posted[root].n_whole(), take)
    }

    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::AllGather, part.len(), whole.len());
        let call = Call { kind, n_bytes, n_whole, counts, ..Call::barrier() };
        let take = |turn, start, posted: &[Posted]| self.collect(turn, start, posted, whole);
        self.rounds(&call, part, longest, take)
    }

    fn all_reduce_bytes(&self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError> {
        self.reduce(None, bytes, fold)
    }

    fn reduce_bytes(
        &self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        self.reduce(Some(root), bytes, fold)
    }

    fn leave(&self, reason: &str) {
        self.memory.leave(self.rank, reason);
    }
}

impl Drop for ProcessPeers {
    fn drop(&mut self) {
        self.memory.leave(self.rank, "it was dropped");
    }
}
