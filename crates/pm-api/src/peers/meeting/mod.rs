//! Collectives of members who meet, and hand each other blocks of bytes.
//!
//! A collective begins with a meeting, in which every member says what it calls; whoever does not
//! come is found out there, and so is a call that does not fit. What is short goes along with that.
//! Longer bytes follow in steps, which are numbered alike on all members: in a step a member puts
//! the next block of what it gives, and takes blocks of others.

mod fold;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{Call, CallKind, Fold, PeersError, check_calls};
pub use fold::Scratch;

/// Where the members of a group meet: what a backend has to give, so that [`Collectives`] work.
///
/// All members do the same in the same order: a meeting, and then, if what was said makes them
/// necessary, a number of steps, and their end. The block of step 0 is put before the meeting.
pub trait Meeting {
    /// The bytes of a block.
    const BLOCK: usize;
    /// The most bytes that go with what is said.
    const SHORT: usize;

    /// The number of this member, `0..size`.
    fn rank(&self) -> usize;

    /// How many members there are.
    fn size(&self) -> usize;

    /// Says `words`, with at most [`SHORT`](Self::SHORT) bytes and at most one of `counts` per
    /// member, and waits until all have said theirs.
    ///
    /// # Errors
    ///
    /// Why they did not: [`PeersError::Left`], [`PeersError::Cancelled`].
    fn meet(&mut self, words: [u64; 4], short: &[u8], counts: &[usize]) -> Result<(), PeersError>;

    /// What a member said at the last meeting.
    fn said(&self, rank: usize) -> [u64; 4];

    /// Fills `bytes` from those that went with it, from `at` on.
    fn short(&self, rank: usize, at: usize, bytes: &mut [u8]);

    /// The first `n` counts that went with it.
    fn counts(&self, rank: usize, n: usize) -> Vec<usize>;

    /// Before the meeting: fills the own block of step 0 from `at` on.
    ///
    /// # Errors
    ///
    /// As [`meet`](Self::meet).
    fn early(&mut self, at: usize, bytes: &[u8]) -> Result<(), PeersError>;

    /// Begins `n` steps.
    fn steps(&mut self, n: u64);

    /// Fills the own block of a later step from `at` on.
    ///
    /// # Errors
    ///
    /// As [`meet`](Self::meet).
    fn put(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), PeersError>;

    /// Says that it is whole.
    fn is_put(&mut self, step: u64);

    /// Fills `bytes` from the block that a member has for a step, from `at` on; waits for it.
    ///
    /// # Errors
    ///
    /// As [`meet`](Self::meet).
    fn take(
        &mut self,
        rank: usize,
        step: u64,
        at: usize,
        bytes: &mut [u8],
    ) -> Result<(), PeersError>;

    /// Says that this member needs no blocks of the first `n` steps any more.
    fn taken(&mut self, n: u64);

    /// Ends the steps.
    fn finish(&mut self);
}

/// In the first word: the operation may panic, and it did; all lengths are the same.
const MAY_PANIC: u64 = 1 << 8;
const PANICKED: u64 = 1 << 9;
const EVEN: u64 = 1 << 10;
/// Where the number of lengths is.
const N_COUNTS: u32 = 32;

/// What is longer than this does not stay in the caches while it is copied.
const LONG_COPY: usize = 2 << 20;

/// The collectives of a member, over its [`Meeting`]; for backends. Each does what the method of
/// [`Peers`](super::Peers) says that has its name.
#[derive(Debug)]
pub struct Collectives<M> {
    meeting: M,
    scratch: [Scratch; 2],
}

/// They were a usize in a process of the same program.
fn usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// The first bytes, as many as there are of at most `n`.
fn first(bytes: &[u8], n: usize) -> &[u8] {
    &bytes[..bytes.len().min(n)]
}

fn kind_of(words: &[u64; 4]) -> CallKind {
    let kind = CallKind::ALL.into_iter().find(|known| *known as u64 == words[0] & 0xff);
    // Only a member that writes at random says anything else; the others then fail alike.
    kind.unwrap_or(CallKind::Barrier)
}

impl<M: Meeting> Collectives<M> {
    /// The collectives of the member that has this meeting.
    #[must_use]
    pub fn new(meeting: M) -> Self {
        Self { meeting, scratch: [Scratch::default(), Scratch::default()] }
    }

    /// What the member has of its group.
    #[must_use]
    pub fn meeting(&self) -> &M {
        &self.meeting
    }

    /// [`Peers::barrier`](super::Peers::barrier).
    ///
    /// # Errors
    ///
    /// [`PeersError`], as for all of these.
    pub fn barrier(&mut self) -> Result<(), PeersError> {
        self.meet(&Call::barrier(), 0, &[])
    }

    /// [`Peers::broadcast_bytes`](super::Peers::broadcast_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        let n_bytes = bytes.len();
        let call = Call { kind: CallKind::Broadcast, root, n_bytes, ..Call::barrier() };
        let is_root = self.meeting.rank() == root;
        let is_short = n_bytes <= M::SHORT;
        if is_root && !is_short {
            self.meeting.early(0, first(bytes, M::BLOCK))?;
        }
        self.meet(&call, 0, if is_root && is_short { bytes } else { &[] })?;
        if is_short {
            if !is_root {
                self.meeting.short(root, 0, bytes);
            }
            return Ok(());
        }
        let n_steps = n_blocks::<M>(n_bytes);
        self.meeting.steps(n_steps);
        if is_root {
            self.meeting.taken(n_steps);
            self.give(0, 1, bytes)?;
        } else {
            for (block, step) in bytes.chunks_mut(M::BLOCK).zip(0..) {
                self.meeting.take(root, step, 0, block)?;
                self.meeting.taken(step + 1);
            }
        }
        self.meeting.finish();
        Ok(())
    }

    /// [`Peers::gather_bytes`](super::Peers::gather_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn gather(
        &mut self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (rank, size, n_bytes) = (self.meeting.rank(), self.meeting.size(), part.len());
        let call = Call { kind: CallKind::Gather, root, n_bytes, ..Call::barrier() };
        if rank == root {
            self.meet(&Call { n_whole: whole.len(), counts, ..call }, 0, &[])?;
        } else {
            self.come_with(&call, part)?;
        }
        let lens = |c: &Self, r: usize| if r == root { 0 } else { usize(c.meeting.said(r)[2]) };
        let n_steps = (0..size).map(|r| long_blocks::<M>(lens(self, r))).max().unwrap_or(0);
        self.meeting.steps(n_steps);
        if rank == root {
            self.collect(n_steps, false, part, whole, counts)?;
        } else {
            self.meeting.taken(n_steps);
            if n_bytes > M::SHORT {
                self.give(0, 1, part)?;
            }
        }
        self.meeting.finish();
        Ok(())
    }

    /// [`Peers::scatter_bytes`](super::Peers::scatter_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn scatter(
        &mut self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let (rank, size, n_bytes) = (self.meeting.rank(), self.meeting.size(), part.len());
        let call = Call { kind: CallKind::Scatter, root, n_bytes, ..Call::barrier() };
        // The pieces of the others, one after the other, of which the first block goes early.
        let others = |lens: &dyn Fn(usize) -> usize| -> Vec<(usize, Range<usize>)> {
            let mut begin = 0;
            let piece = |r| {
                begin += lens(r);
                (r, begin - lens(r)..begin)
            };
            (0..size).map(piece).filter(|(r, _)| *r != root).collect()
        };
        if rank != root {
            self.meet(&call, 0, &[])?;
        } else {
            let call = Call { n_whole: whole.len(), counts, ..call };
            let sum = counts.iter().fold(0_usize, |sum, n| sum.saturating_add(*n));
            let fits = counts.len() == size && sum == whole.len();
            if fits && whole.len() > M::SHORT {
                let pieces = others(&|r| counts[r]);
                if let Some((_, piece)) = pieces.into_iter().find(|(_, piece)| !piece.is_empty()) {
                    self.meeting.early(0, first(&whole[piece], M::BLOCK))?;
                }
            }
            self.meet(&call, 0, if whole.len() <= M::SHORT { whole } else { &[] })?;
        }
        let said = |r: usize| usize(self.meeting.said(r)[2]);
        let n_whole = usize(self.meeting.said(root)[3]);
        let begin: usize = (0..rank).map(said).sum();
        if n_whole <= M::SHORT {
            if rank == root {
                part.copy_from_slice(&whole[begin..begin + n_bytes]);
            } else {
                self.meeting.short(root, begin, part);
            }
            return Ok(());
        }
        let pieces = others(&said);
        let n_steps = pieces.iter().map(|(_, piece)| n_blocks::<M>(piece.len())).sum();
        self.meeting.steps(n_steps);
        let mut step = 0;
        if rank == root {
            self.meeting.taken(n_steps);
            for (_, piece) in pieces {
                self.give(step, 1, &whole[piece.clone()])?;
                step += n_blocks::<M>(piece.len());
            }
            part.copy_from_slice(&whole[begin..begin + n_bytes]);
        } else {
            let before = pieces.iter().take_while(|(r, _)| *r < rank);
            step = before.map(|(_, piece)| n_blocks::<M>(piece.len())).sum();
            self.meeting.taken(step);
            for block in part.chunks_mut(M::BLOCK) {
                self.meeting.take(root, step, 0, block)?;
                step += 1;
                self.meeting.taken(step);
            }
            self.meeting.taken(n_steps);
        }
        self.meeting.finish();
        Ok(())
    }

    /// [`Peers::all_gather_bytes`](super::Peers::all_gather_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn all_gather(
        &mut self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::AllGather, part.len(), whole.len());
        let call = Call { kind, n_bytes, n_whole, counts, ..Call::barrier() };
        self.come_with(&call, part)?;
        let n_steps = counts.iter().map(|n| long_blocks::<M>(*n)).max().unwrap_or(0);
        self.meeting.steps(n_steps);
        self.collect(n_steps, true, part, whole, counts)?;
        self.meeting.finish();
        Ok(())
    }

    /// [`Peers::all_reduce_bytes`](super::Peers::all_reduce_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn all_reduce(&mut self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError> {
        self.fold(None, bytes, fold)
    }

    /// [`Peers::reduce_bytes`](super::Peers::reduce_bytes).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn reduce(
        &mut self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        self.fold(Some(root), bytes, fold)
    }

    /// Meets the others with bytes that all or the root will take, by the meeting if they are short.
    fn come_with(&mut self, call: &Call<'_>, bytes: &[u8]) -> Result<(), PeersError> {
        if bytes.len() <= M::SHORT {
            return self.meet(call, 0, bytes);
        }
        self.meeting.early(0, first(bytes, M::BLOCK))?;
        self.meet(call, 0, &[])
    }

    /// Puts the blocks of `bytes` in the steps from `step` on; the first `n_early` steps of all are
    /// put already.
    fn give(&mut self, step: u64, n_early: u64, bytes: &[u8]) -> Result<(), PeersError> {
        for (block, step) in bytes.chunks(M::BLOCK).zip(step..) {
            if step >= n_early {
                self.meeting.put(step, 0, block)?;
                self.meeting.is_put(step);
            }
        }
        Ok(())
    }

    /// Puts the own part and those of the others into the whole; where it `shows` its own, it puts
    /// that for them.
    fn collect(
        &mut self,
        n_steps: u64,
        shows: bool,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let rank = self.meeting.rank();
        let own: usize = counts[..rank].iter().sum();
        let mut begin = 0;
        for (other, &n) in counts.iter().enumerate() {
            if n <= M::SHORT && other != rank {
                self.meeting.short(other, 0, &mut whole[begin..begin + n]);
            }
            begin += n;
        }
        // Long bytes are copied by themselves, past the caches; others while they are waited for.
        let is_long = part.len() > LONG_COPY;
        if is_long {
            whole[own..own + part.len()].copy_from_slice(part);
        }
        let is_shown = shows && part.len() > M::SHORT;
        let mut shown = if is_shown { part } else { &[] }.chunks(M::BLOCK).skip(1);
        let mut start = 0;
        for step in 0..n_steps {
            // One ahead, so that nobody waits for it.
            if let Some(block) = shown.next() {
                self.meeting.put(step + 1, 0, block)?;
                self.meeting.is_put(step + 1);
            }
            if !is_long {
                let block = start.min(part.len())..part.len().min(start + M::BLOCK);
                whole[own + block.start..own + block.end].copy_from_slice(&part[block]);
            }
            let mut begin = 0;
            for (other, &n) in counts.iter().enumerate() {
                if n > M::SHORT && n > start && other != rank {
                    let to = &mut whole[begin + start..begin + n.min(start + M::BLOCK)];
                    self.meeting.take(other, step, 0, to)?;
                }
                begin += n;
            }
            start += M::BLOCK;
            self.meeting.taken(step + 1);
        }
        if !is_long {
            let start = start.min(part.len());
            whole[own + start..own + part.len()].copy_from_slice(&part[start..]);
        }
        Ok(())
    }

    /// Says what this member calls, meets the others, and looks whether all fit together.
    fn meet(&mut self, call: &Call<'_>, flags: u64, short: &[u8]) -> Result<(), PeersError> {
        let Call { kind, root, n_bytes, element, n_whole, counts } = *call;
        let size = self.meeting.size();
        let sum = counts.iter().fold(0_usize, |sum, n| sum.saturating_add(*n));
        let is_even =
            counts.len() == size && sum == n_whole && counts.iter().all(|n| *n == counts[0]);
        let n_counts = (counts.len() as u64).min(u64::from(u32::MAX));
        let head = kind as u64 | flags | if is_even { EVEN } else { 0 } | n_counts << N_COUNTS;
        let last = if element > 0 { element } else { n_whole };
        let words = [head, root as u64, n_bytes as u64, last as u64];
        // Of lengths for another number of members only their number and their sum are told.
        let said = match counts.len() {
            _ if is_even => &[][..],
            n if n == size => counts,
            0 => &[],
            _ => &[sum][..],
        };
        self.meeting.meet(words, short, said)?;
        if self.fits(words) {
            return Ok(());
        }
        let checked = self.check();
        if checked.is_err() {
            // Where there was an early block is not known, so all skip one.
            self.meeting.steps(1);
            self.meeting.finish();
        }
        checked
    }

    /// Whether all calls fit, in the cases in which that is quickly seen.
    fn fits(&self, own: [u64; 4]) -> bool {
        let (size, root) = (self.meeting.size(), usize(own[1]));
        if root >= size {
            return false;
        }
        let mut all = (0..size).map(|rank| self.meeting.said(rank));
        let plain = |words: [u64; 4]| words[0] & !(MAY_PANIC | PANICKED);
        match kind_of(&own) {
            CallKind::Gather | CallKind::Scatter => {
                let [at_root, _, _, n_whole] = self.meeting.said(root);
                at_root & EVEN != 0
                    && all.all(|words| {
                        words[0] & 0xff == own[0] & 0xff
                            && words[1] == own[1]
                            && words[2].checked_mul(size as u64) == Some(n_whole)
                    })
            }
            CallKind::AllGather => {
                own[0] & EVEN != 0
                    && all.all(|words| plain(words) == plain(own) && words[1..] == own[1..])
                    && own[2].checked_mul(size as u64) == Some(own[3])
            }
            _ => all.all(|words| plain(words) == plain(own) && words[1..] == own[1..]),
        }
    }

    /// Whether all calls fit.
    fn check(&self) -> Result<(), PeersError> {
        let size = self.meeting.size();
        let counts: Vec<Vec<usize>> = (0..size).map(|rank| self.counts(rank)).collect();
        check_calls(size, |rank| {
            let words = self.meeting.said(rank);
            let kind = kind_of(&words);
            let is_fold = matches!(kind, CallKind::Reduce | CallKind::AllReduce);
            let last = usize(words[3]);
            let (element, n_whole) = if is_fold { (last, 0) } else { (0, last) };
            let (root, n_bytes) = (usize(words[1]), usize(words[2]));
            Call { kind, root, n_bytes, element, n_whole, counts: &counts[rank] }
        })
    }

    /// The lengths that a member gave, or some that do not fit either and have the same number and
    /// sum.
    fn counts(&self, rank: usize) -> Vec<usize> {
        let (size, words) = (self.meeting.size(), self.meeting.said(rank));
        let n_counts = usize(words[0] >> N_COUNTS);
        if words[0] & EVEN != 0 {
            return vec![usize(words[3]) / size; size];
        }
        if n_counts == size {
            return self.meeting.counts(rank, size);
        }
        let mut counts = vec![0; n_counts.min(1 << 24)];
        if let Some(first) = counts.first_mut() {
            *first = self.meeting.counts(rank, 1)[0];
        }
        counts
    }
}

/// The blocks that so many bytes take.
fn n_blocks<M: Meeting>(n_bytes: usize) -> u64 {
    n_bytes.div_ceil(M::BLOCK) as u64
}

/// As [`n_blocks`], where what is short takes none.
fn long_blocks<M: Meeting>(n_bytes: usize) -> u64 {
    if n_bytes <= M::SHORT { 0 } else { n_blocks::<M>(n_bytes) }
}
