//! A group of processes that meets in shared memory and hands bytes from one to another there.
//!
//! Every member has a *place*: two *posts*, in which it says what it comes with, and a ring of
//! [`Group::BLOCKS`] *blocks*, in which it hands on what is longer. A meeting is a round: everybody
//! fills a post and waits for those of all others. The next round uses the other post, so that
//! nobody has to wait until all have read: who fills the first one again has met all once more.
//! What is short goes by the post itself, so that it costs the way of one cache line there and back.
//!
//! Longer bytes go in *steps*, which all members count alike: in a step a member may fill the next
//! block of its ring, and others may take it. Two counters of each member say how many steps it has
//! put and taken; so whoever is quick is ahead of the others by up to a whole ring, and what is
//! under way stays in the caches.
//!
//! All that is waited for is a word that becomes large enough; see [`member`].

mod member;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::thread::futex;
use thiserror::Error;

use crate::memory::SharedMemory;
use crate::sync::wait::{Spinner, WaitPolicy, n_cores, wake_cost};

pub use member::GroupMember;

/// Header, in half words: how often somebody left or cancelled, and how many sleep.
const OVER: usize = 0;
const SLEEPERS: usize = 1;
/// Whether it was cancelled.
const CANCELLED: usize = 2;
/// What sleepers wait at; not in the line that everybody looks at.
const BELL: usize = 16;
/// Bytes of the header.
const HEADER: usize = 128;

/// Offsets in a place, in bytes: when the member left, or 0, the length of the reason, the reason;
/// how many steps it has put and taken; its posts.
const REASON: usize = 16;
const PUT: usize = 512;
const GOT: usize = 576;
const POSTS: usize = 640;
/// The longest reason for leaving that is kept, in bytes.
const LONGEST_REASON: usize = PUT - REASON;

/// A post, in words: the round, what is said, what goes with it; then the lengths, one per member.
const SAID: usize = 1;
const SHORT: usize = SAID + Group::WORDS;
const COUNTS: usize = 8;

/// Why a meeting came to nothing. The group is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A member is not there any more.
    #[error("member {rank} left the group: {reason}")]
    Left {
        /// The member that left first.
        rank: usize,
        /// Why.
        reason: String,
    },
    /// It was cancelled.
    #[error("the group was cancelled")]
    Cancelled,
}

/// The memory in which a group of processes (or threads) meets; a clone is the same group.
///
/// Whoever makes it gives its descriptor to all, and each becomes a [`member`](Self::member). Any
/// process that has it can say that a member left, or cancel the group; nobody waits for one that
/// left.
///
/// ```
/// use worker_process::{Group, Waiting};
///
/// let group = Group::create(2)?;
/// let other = Group::open(group.fd().try_clone_to_owned()?, 2)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let mut member = other.member(1, Waiting::default());
///         member.meet([1, 0, 0, 0], b"one", &[]).unwrap();
///     });
///     let mut member = group.member(0, Waiting::default());
///     member.meet([0; 4], b"", &[]).unwrap();
///     let mut theirs = [0; 3];
///     member.short(1, 0, &mut theirs);
///     assert_eq!((member.said(1)[0], &theirs), (1, b"one"));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Group {
    memory: SharedMemory,
    size: usize,
    /// The bytes of a place and of a post in it, and where the rings begin; here since a meeting
    /// needs them many times and takes less than a tenth of a microsecond.
    place_len: usize,
    post_len: usize,
    rings: usize,
}

/// How the members of a group wait.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Whether they look, or sleep.
    pub policy: WaitPolicy,
    /// Whether there are more of them than cores; `None` to find out what this process may use.
    pub crowded: Option<bool>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { policy: WaitPolicy::Adaptive, crowded: None }
    }
}

impl Group {
    /// The words that a member says at a meeting.
    pub const WORDS: usize = 4;
    /// The most bytes that go with them.
    pub const SHORT: usize = 8 * (COUNTS - SHORT);
    /// The bytes of a block.
    pub const BLOCK: usize = 32 << 10;
    /// The blocks of each member.
    pub const BLOCKS: usize = 8;

    /// New memory for a group of `size`; it takes no pages before it is used.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn create(size: usize) -> io::Result<Self> {
        Ok(Self::at(SharedMemory::create(Self::len(size))?, size))
    }

    /// The memory that another process created for a group of `size`, by its descriptor.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) when it is not such memory; what the system says
    /// otherwise.
    pub fn open(fd: OwnedFd, size: usize) -> io::Result<Self> {
        let memory = SharedMemory::open(fd)?;
        if size == 0 || memory.len() < Self::len(size) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self::at(memory, size))
    }

    fn at(memory: SharedMemory, size: usize) -> Self {
        let (place_len, post_len) = (Self::place_len(size), Self::post_len(size));
        Self { memory, size, place_len, post_len, rings: Self::rings(size) }
    }

    /// The descriptor of the memory.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    /// How many members it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Member `rank`. Each rank is taken once.
    ///
    /// # Panics
    ///
    /// When the group has no such rank.
    #[must_use]
    pub fn member(&self, rank: usize, waiting: Waiting) -> GroupMember {
        assert!(rank < self.size, "a group of {} has no member {rank}", self.size);
        let crowded = waiting.crowded.unwrap_or_else(|| self.size > n_cores());
        // Only who sleeps in earnest has to know what that costs.
        let cost = match waiting.policy {
            WaitPolicy::Adaptive if !crowded => wake_cost(),
            _ => std::time::Duration::from_micros(50),
        };
        GroupMember::new(self.clone(), rank, Spinner::new(waiting.policy, crowded, cost))
    }

    fn post_len(size: usize) -> usize {
        (8 * (COUNTS + size)).next_multiple_of(64)
    }

    fn place_len(size: usize) -> usize {
        (POSTS + 2 * Self::post_len(size)).next_multiple_of(128)
    }

    fn rings(size: usize) -> usize {
        (HEADER + Self::place_len(size) * size).next_multiple_of(4096)
    }

    fn len(size: usize) -> usize {
        Self::rings(size) + Self::BLOCK * Self::BLOCKS * size
    }

    fn place(&self, rank: usize) -> usize {
        HEADER + self.place_len * rank
    }

    fn half_word(&self, at: usize) -> &AtomicU32 {
        &self.memory.map.words32()[at]
    }

    /// The word at an offset in bytes.
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.memory.map.words()[at / 8]
    }

    /// Says that a member is not there any more, unless that was said before, and wakes the others.
    pub fn leave(&self, rank: usize, reason: &str) {
        let place = self.place(rank);
        if !self.is_gone(rank) {
            let end = reason.floor_char_boundary(LONGEST_REASON.min(reason.len()));
            self.memory.write(place + REASON, &reason.as_bytes()[..end]);
            self.word(place + 8).store(end as u64, Ordering::Relaxed);
            // Who left first is the one that the others are told of.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1);
            self.word(place).store(now, Ordering::Release);
        }
        self.half_word(OVER).fetch_add(1, Ordering::SeqCst);
        self.ring();
    }

    /// Ends the group, and wakes all members.
    pub fn cancel(&self) {
        self.half_word(CANCELLED).store(1, Ordering::Release);
        self.half_word(OVER).fetch_add(1, Ordering::SeqCst);
        self.ring();
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.half_word(CANCELLED).load(Ordering::Acquire) != 0
    }

    /// The member that left first, and why.
    #[must_use]
    pub fn first_left(&self) -> Option<(usize, String)> {
        let left = (0..self.size).map(|rank| {
            let time = self.word(self.place(rank)).load(Ordering::Acquire);
            (time, rank)
        });
        let (_, rank) = left.filter(|(time, _)| *time > 0).min()?;
        let place = self.place(rank);
        let len = usize::try_from(self.word(place + 8).load(Ordering::Relaxed));
        let mut reason = vec![0; len.map_or(LONGEST_REASON, |len| len.min(LONGEST_REASON))];
        self.memory.read(place + REASON, &mut reason);
        Some((rank, String::from_utf8_lossy(&reason).into_owned()))
    }

    fn is_gone(&self, rank: usize) -> bool {
        self.word(self.place(rank)).load(Ordering::Acquire) != 0
    }

    /// Wakes all who sleep, so that they look again.
    fn ring(&self) {
        let bell = self.half_word(BELL);
        bell.fetch_add(1, Ordering::SeqCst);
        let _n_woken = futex::wake(bell, futex::Flags::empty(), i32::MAX.unsigned_abs());
    }

    /// Sets a word that others may be waiting for.
    fn announce(&self, at: usize, value: u64) {
        // Nobody goes to sleep unseen between this and the look at who sleeps: both sides write
        // first and look then, in one order for all.
        self.word(at).swap(value, Ordering::SeqCst);
        if self.half_word(SLEEPERS).load(Ordering::SeqCst) != 0 {
            self.ring();
        }
    }
}
