//! One member of a group: how it meets the others, and what it hands on.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::thread::futex;

use super::{BELL, COUNTS, GOT, Group, GroupError, OVER, POSTS, PUT, SAID, SHORT, SLEEPERS};
use crate::sync::wait::{Idle, Spinner, timespec};

/// As often is a word looked at before anything else is: for about as long as the way of a cache line
/// takes. With pauses in between, since each look takes the line from whoever is about to write it.
const LOOKS: u32 = 64;
/// A member says what it has taken when it is this much: each time costs both sides a cache line.
const BATCH: u64 = Group::BLOCKS as u64 / 4;
/// For how long a member sleeps at most before it looks around.
const NAP: Duration = Duration::from_millis(5);
/// How often one who waits looks around.
const LOOK_AROUND: Duration = Duration::from_micros(200);

/// One member of a [`Group`].
///
/// What all members do in the same order: [`meet`](Self::meet), and then, when what all said makes
/// steps necessary, [`steps`](Self::steps), any number of [`put`](Self::put), [`take`](Self::take)
/// and [`taken`](Self::taken), and [`finish`](Self::finish). After an error there is no more.
pub struct GroupMember {
    group: Group,
    rank: usize,
    spinner: Spinner,
    /// What is done now and then by one who waits.
    around: Option<Box<dyn FnMut() + Send>>,
    round: u64,
    /// The steps of all that is finished.
    base: u64,
    /// The steps of what is under way.
    n_steps: u64,
    /// Blocks of steps below this may be filled.
    free: u64,
    /// How many steps each member is known to have put.
    put: Vec<u64>,
    /// How many of its steps the member itself has taken.
    got: u64,
    is_over: bool,
}

impl GroupMember {
    pub(super) fn new(group: Group, rank: usize, spinner: Spinner) -> Self {
        let put = vec![0; group.size];
        let free = Group::BLOCKS as u64;
        let (round, base, n_steps, got) = (0, 0, 0, 0);
        let (around, is_over) = (None, false);
        Self { group, rank, spinner, around, round, base, n_steps, free, put, got, is_over }
    }

    /// Lets `around` be called now and then while this member waits, at most a few milliseconds
    /// apart; for signs that are not in the memory of the group.
    #[must_use]
    pub fn looking_around(mut self, around: impl FnMut() + Send + 'static) -> Self {
        self.around = Some(Box::new(around));
        self
    }

    /// The group that it is a member of.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Its number, `0..size`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Says `words`, with at most [`Group::SHORT`] bytes and at most one of `counts` per member, and
    /// waits until all have said theirs.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Panics
    ///
    /// When there are more bytes or counts.
    pub fn meet(
        &mut self,
        words: [u64; Group::WORDS],
        short: &[u8],
        counts: &[usize],
    ) -> Result<(), GroupError> {
        assert!(
            short.len() <= Group::SHORT && counts.len() <= self.group.size,
            "{} bytes and {} counts are too many for a group of {}",
            short.len(),
            counts.len(),
            self.group.size
        );
        if self.is_over || self.group.is_cancelled() || self.group.is_gone(self.rank) {
            return Err(self.broken());
        }
        let own = self.post_at(self.rank, self.round);
        {
            let post = &self.group.memory.map.words()[own / 8..][..COUNTS + self.group.size];
            let said = post[SAID..SHORT].iter().zip(words);
            said.for_each(|(to, word)| to.store(word, Ordering::Relaxed));
            for (to, bytes) in post[SHORT..COUNTS].iter().zip(short.chunks(8)) {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                to.store(u64::from_ne_bytes(word), Ordering::Relaxed);
            }
            let counts = post[COUNTS..].iter().zip(counts);
            counts.for_each(|(to, n)| to.store(*n as u64, Ordering::Relaxed));
        }
        self.round += 1;
        self.group.announce(own, self.round);
        for rank in self.others() {
            self.wait(rank, self.post_at(rank, self.round - 1), self.round, true)?;
        }
        // Who came has done with all that was before.
        self.free = self.free.max(self.base + Group::BLOCKS as u64);
        Ok(())
    }

    /// What a member said at the last meeting.
    #[must_use]
    pub fn said(&self, rank: usize) -> [u64; Group::WORDS] {
        let post = self.last_post(rank) + 8 * SAID;
        let words = &self.group.memory.map.words()[post / 8..][..Group::WORDS];
        std::array::from_fn(|i| words[i].load(Ordering::Relaxed))
    }

    /// Fills `bytes` with what went with what it said, from `at` on.
    ///
    /// # Panics
    ///
    /// When that is beyond [`Group::SHORT`].
    pub fn short(&self, rank: usize, at: usize, bytes: &mut [u8]) {
        assert!(at + bytes.len() <= Group::SHORT, "there are not as many bytes");
        let post = self.last_post(rank) + 8 * SHORT;
        let words = &self.group.memory.map.words()[post / 8..][..COUNTS - SHORT];
        let mut all = [0; Group::SHORT];
        for (to, word) in all.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes.copy_from_slice(&all[at..][..bytes.len()]);
    }

    /// The first `n` counts that went with it.
    ///
    /// # Panics
    ///
    /// When there are more than members.
    #[must_use]
    pub fn counts(&self, rank: usize, n: usize) -> Vec<usize> {
        assert!(n <= self.group.size, "there are not as many counts");
        let words = &self.group.memory.map.words()[self.last_post(rank) / 8 + COUNTS..][..n];
        let count = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
        words.iter().map(|word| count(word.load(Ordering::Relaxed))).collect()
    }

    /// Before the meeting: fills the block of step 0 from `at` on. Who is to take it knows by what
    /// is said that it is there.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Panics
    ///
    /// When the bytes do not fit into a block.
    pub fn early(&mut self, at: usize, bytes: &[u8]) -> Result<(), GroupError> {
        self.fill(self.base, at, bytes)
    }

    /// Says, when all have met, that `n` steps follow; all members say the same.
    pub fn steps(&mut self, n: u64) {
        self.n_steps = n;
    }

    /// Fills the own block of a step from `at` on, as soon as nobody needs what was in it.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Panics
    ///
    /// When the bytes do not fit into a block.
    pub fn put(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), GroupError> {
        self.fill(self.base + step, at, bytes)
    }

    /// Says that the block of a step is whole; of step 0, the meeting has said that already.
    pub fn is_put(&self, step: u64) {
        self.group.announce(self.group.place(self.rank) + PUT, self.base + step + 1);
    }

    /// Fills `bytes` from the block that a member has for a step, from `at` on, as soon as it is
    /// there.
    ///
    /// # Errors
    ///
    /// [`GroupError`].
    ///
    /// # Panics
    ///
    /// When there are not as many bytes in a block.
    pub fn take(
        &mut self,
        rank: usize,
        step: u64,
        at: usize,
        bytes: &mut [u8],
    ) -> Result<(), GroupError> {
        assert!(at + bytes.len() <= Group::BLOCK, "a block does not have as many bytes");
        let step_at = self.base + step;
        if step > 0 && self.put[rank] <= step_at {
            let at = self.group.place(rank) + PUT;
            self.put[rank] = self.wait(rank, at, step_at + 1, false)?;
        }
        self.group.memory.read(self.block_at(rank, step_at) + at, bytes);
        Ok(())
    }

    /// Says that this member does not need blocks of the first `n` steps any more.
    pub fn taken(&mut self, n: u64) {
        // While there are few, nobody can come so far ahead.
        let is_due = self.base + n >= self.got + BATCH || n == self.n_steps;
        if self.is_long() && is_due && self.base + n > self.got {
            self.got = self.base + n;
            self.group.announce(self.group.place(self.rank) + GOT, self.got);
        }
    }

    /// Ends the steps.
    pub fn finish(&mut self) {
        self.taken(self.n_steps);
        self.base += self.n_steps;
        self.n_steps = 0;
    }

    /// Whether a member that is quick could need the block of a step that is not taken yet, in this
    /// collective or, for its early block, in the next.
    fn is_long(&self) -> bool {
        self.n_steps + 1 >= Group::BLOCKS as u64
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.rank;
        (0..self.group.size).filter(move |rank| *rank != own)
    }

    fn fill(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), GroupError> {
        assert!(at + bytes.len() <= Group::BLOCK, "a block does not have room for as many bytes");
        if step >= self.free {
            let needed = step + 1 - Group::BLOCKS as u64;
            let mut least = u64::MAX;
            for rank in self.others() {
                let got = self.wait(rank, self.group.place(rank) + GOT, needed, false)?;
                least = least.min(got);
            }
            self.free = least.saturating_add(Group::BLOCKS as u64);
        }
        self.group.memory.write(self.block_at(self.rank, step) + at, bytes);
        Ok(())
    }

    fn block_at(&self, rank: usize, step: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of blocks")]
        let block = (step % Group::BLOCKS as u64) as usize;
        self.group.rings + (rank * Group::BLOCKS + block) * Group::BLOCK
    }

    fn post_at(&self, rank: usize, round: u64) -> usize {
        let turn = if round.is_multiple_of(2) { 0 } else { self.group.post_len };
        self.group.place(rank) + POSTS + turn
    }

    fn last_post(&self, rank: usize) -> usize {
        self.post_at(rank, self.round.wrapping_sub(1))
    }

    /// Waits until the word of a member is that large; `of_all` says that all members have to come,
    /// so that none of them may be missing.
    #[inline]
    fn wait(
        &mut self,
        rank: usize,
        at: usize,
        target: u64,
        of_all: bool,
    ) -> Result<u64, GroupError> {
        let word = self.group.word(at);
        for _ in 0..LOOKS {
            let value = word.load(Ordering::Acquire);
            if value >= target {
                return Ok(value);
            }
            std::hint::spin_loop();
        }
        self.wait_long(rank, at, target, of_all)
    }

    #[cold]
    fn wait_long(
        &mut self,
        rank: usize,
        at: usize,
        target: u64,
        of_all: bool,
    ) -> Result<u64, GroupError> {
        let mut around_at = Instant::now() + LOOK_AROUND;
        // What happened before is looked at once, too.
        let mut n_over = 0;
        loop {
            let (word, over) = (self.group.word(at), self.group.half_word(OVER));
            let is_ready =
                || word.load(Ordering::SeqCst) >= target || over.load(Ordering::SeqCst) != n_over;
            if self.spinner.look(is_ready) == Idle::Sleep {
                let sleepers = self.group.half_word(SLEEPERS);
                let bell = self.group.half_word(BELL);
                sleepers.fetch_add(1, Ordering::SeqCst);
                let rung = bell.load(Ordering::SeqCst);
                if !is_ready() {
                    let nap = timespec(NAP);
                    // Whatever ends the sleep, it is looked again.
                    let _ended = futex::wait(bell, futex::Flags::empty(), rung, Some(&nap));
                }
                sleepers.fetch_sub(1, Ordering::SeqCst);
                self.spinner.woken();
            }
            let now_over = over.load(Ordering::SeqCst);
            let value = word.load(Ordering::Acquire);
            if value >= target {
                return Ok(value);
            }
            if now_over != n_over {
                n_over = now_over;
                if self.group.is_cancelled() || self.is_missing(rank, at, target, of_all) {
                    return Err(self.broken());
                }
            }
            if let Some(around) = &mut self.around
                && Instant::now() >= around_at
            {
                around();
                around_at = Instant::now() + LOOK_AROUND;
            }
        }
    }

    /// Whether the word cannot become large enough any more, or one of another member cannot that
    /// has to.
    fn is_missing(&self, rank: usize, at: usize, target: u64, of_all: bool) -> bool {
        // What a member says before it leaves is seen before that.
        let lacks = |rank: usize, at: usize| {
            self.group.is_gone(rank) && self.group.word(at).load(Ordering::Acquire) < target
        };
        if of_all {
            return self.others().any(|other| lacks(other, self.post_at(other, target - 1)));
        }
        lacks(rank, at)
    }

    /// Why there is no meeting; whoever waits for this member is not to wait for ever.
    fn broken(&mut self) -> GroupError {
        let first = self.group.first_left();
        if !self.is_over {
            self.is_over = true;
            if !self.group.is_cancelled() {
                let reason = first.as_ref().map_or("it gave up", |(_, reason)| reason);
                self.group.leave(self.rank, reason);
            }
        }
        if self.group.is_cancelled() {
            return GroupError::Cancelled;
        }
        let (rank, reason) = first.unwrap_or_else(|| (self.rank, "nobody knows".to_owned()));
        GroupError::Left { rank, reason }
    }
}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMember")
            .field("group", &self.group)
            .field("rank", &self.rank)
            .field("round", &self.round)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
