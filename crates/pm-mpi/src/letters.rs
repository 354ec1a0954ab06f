//! Groups that share no memory, because their members are on several hosts.
//!
//! A collective has two parts. First every member says by a letter what it calls, and waits until
//! all have said so: whoever does not come, because it left or because the run was cancelled, is
//! found out here, and so is a call that does not fit. Then they send each other the data, straight
//! from and into their buffers; in this part nobody can be missing.

use std::collections::VecDeque;

use mpi::Tag;
use mpi::point_to_point::send_receive_into_with_tags;
use mpi::traits::{Communicator as _, Destination as _, Source as _};
use pm_api::backend::{Call, CallKind, check_calls};
use pm_api::{Peers as _, PeersError};

use crate::MpiPeers;
use crate::mail::{About, Body};
use crate::peers::{State, usize};
use crate::world::{PIECE, in_mpi, rank_of};

/// What a member said.
#[derive(Debug)]
pub(crate) struct Posted {
    words: [u64; 7],
    counts: Vec<usize>,
}

impl Posted {
    /// A letter that says so.
    pub(crate) fn new(words: [u64; 7], counts: Vec<u64>) -> Self {
        Self { words, counts: counts.into_iter().map(usize).collect() }
    }

    fn call(&self) -> Call<'_> {
        let [kind, root, n_bytes, element, n_whole, ..] = self.words;
        let kind = CallKind::ALL.into_iter().find(|known| *known as u64 == kind);
        Call {
            kind: kind.expect("all ranks run the same program"),
            root: usize(root),
            n_bytes: usize(n_bytes),
            element: usize(element),
            n_whole: usize(n_whole),
            counts: &self.counts,
        }
    }

    pub(crate) fn may_panic(&self) -> bool {
        self.words[5] != 0
    }

    pub(crate) fn panicked(&self) -> bool {
        self.words[6] != 0
    }
}

/// What collectives do by messages; each has the name of that of [`Peers`](pm_api::Peers).
impl MpiPeers {
    /// Says what this member calls, meets the others, and looks whether all fit together.
    pub(crate) fn meet(
        &self,
        state: &mut State,
        call: &Call<'_>,
        may_panic: bool,
    ) -> Result<Vec<Posted>, PeersError> {
        let all = self.assemble(state, call, [may_panic, false])?;
        check_calls(all.len(), |rank| all[rank].call())?;
        Ok(all)
    }

    /// Says to the others whether an operation panicked here; the first rank where one did.
    pub(crate) fn first_panic(
        &self,
        state: &mut State,
        panicked: bool,
    ) -> Result<Option<usize>, PeersError> {
        let all = self.assemble(state, &Call::barrier(), [false, panicked])?;
        Ok(all.iter().position(Posted::panicked))
    }

    fn assemble(
        &self,
        state: &mut State,
        call: &Call<'_>,
        flags: [bool; 2],
    ) -> Result<Vec<Posted>, PeersError> {
        let size = self.members.len();
        if state.is_over || self.is_cancelled() {
            state.is_over = true;
            return Err(self.broken(state));
        }
        let Call { kind, root, n_bytes, element, n_whole, counts } = *call;
        let words = [root, n_bytes, element, n_whole].map(|word| word as u64);
        let [may_panic, panicked] = flags.map(u64::from);
        let words = [kind as u64, words[0], words[1], words[2], words[3], may_panic, panicked];
        let counts: Vec<u64> = counts.iter().map(|n| *n as u64).collect();
        let round = state.round;
        self.tell_others(&Body::Call { round, words, counts: counts.clone() });
        state.said[self.rank].push_back(Posted::new(words, counts));
        let met = self.world.wait(&self.inbox, None, |letters| {
            while let Some(letter) = letters.pop_front() {
                self.take_in(state, letter.source, letter.body);
            }
            if state.said.iter().all(|said| !said.is_empty()) {
                return Some(true);
            }
            let is_lost = (0..size).any(|rank| state.gone[rank] && state.said[rank].is_empty());
            (is_lost || self.is_cancelled()).then_some(false)
        });
        if met != Some(true) {
            state.is_over = true;
            return Err(self.broken(state));
        }
        state.round += 1;
        let first =
            |said: &mut VecDeque<Posted>| said.pop_front().expect("all have said something");
        Ok(state.said.iter_mut().map(first).collect())
    }

    /// The tag of this group's data. Groups that have the same one are told apart by the order in
    /// which their members meet, unless threads of theirs are in both at once; there are enough.
    fn tag(&self) -> Tag {
        const N_TAGS: u64 = 32_000;
        // Every MPI has tags up to 32767.
        let About { group, run } = self.about;
        let mixed = group ^ (group >> 31) ^ run.wrapping_mul(31);
        Tag::try_from(16 + mixed % N_TAGS).unwrap_or(16)
    }

    pub(crate) fn send(&self, to: usize, bytes: &[u8]) {
        let process = self.world.data.process_at_rank(rank_of(self.members[to]));
        for piece in bytes.chunks(PIECE) {
            in_mpi(|| process.send_with_tag(piece, self.tag()));
        }
    }

    pub(crate) fn receive(&self, from: usize, bytes: &mut [u8]) {
        let process = self.world.data.process_at_rank(rank_of(self.members[from]));
        for piece in bytes.chunks_mut(PIECE) {
            in_mpi(|| process.receive_into_with_tag(piece, self.tag()));
        }
    }

    /// Sends to one member and receives from another at once.
    fn shift(&self, to: usize, own: &[u8], from: usize, theirs: &mut [u8]) {
        let process = |rank: usize| self.world.data.process_at_rank(rank_of(self.members[rank]));
        let (to, from) = (process(to), process(from));
        let (mut own, mut theirs) = (own.chunks(PIECE), theirs.chunks_mut(PIECE));
        loop {
            match (own.next(), theirs.next()) {
                (None, None) => return,
                (Some(own), None) => in_mpi(|| to.send_with_tag(own, self.tag())),
                (None, Some(theirs)) => {
                    in_mpi(|| from.receive_into_with_tag(theirs, self.tag()));
                }
                (Some(own), Some(theirs)) => {
                    let tag = self.tag();
                    in_mpi(|| send_receive_into_with_tags(own, &to, tag, theirs, &from, tag));
                }
            }
        }
    }

    /// Passes the bytes of `root` on along a tree, in pieces, so that a member sends the first one
    /// while it waits for the next.
    pub(crate) fn spread(&self, root: usize, bytes: &mut [u8]) {
        const BLOCK: usize = 256 << 10;
        let size = self.members.len();
        let own = (self.rank + size - root) % size;
        let absolute = |relative: usize| (relative + root) % size;
        // The highest bit of a member is that by which it is more than the one before it.
        let parent = (own > 0).then(|| absolute(own & !(1 << own.ilog2())));
        let first = own.checked_ilog2().map_or(0, |highest| highest + 1);
        let children: Vec<usize> = (first..usize::BITS)
            .map_while(|bit| 1_usize.checked_shl(bit))
            .map(|step| own + step)
            .take_while(|child| *child < size)
            .map(absolute)
            .collect();
        for block in bytes.chunks_mut(BLOCK) {
            if let Some(parent) = parent {
                self.receive(parent, block);
            }
            children.iter().for_each(|child| self.send(*child, block));
        }
    }

    pub(crate) fn send_barrier(&self, state: &mut State) -> Result<(), PeersError> {
        self.meet(state, &Call::barrier(), false).map(drop)
    }

    pub(crate) fn send_broadcast(
        &self,
        state: &mut State,
        root: usize,
        bytes: &mut [u8],
    ) -> Result<(), PeersError> {
        let n_bytes = bytes.len();
        let call = Call { kind: CallKind::Broadcast, root, n_bytes, ..Call::barrier() };
        self.meet(state, &call, false)?;
        self.spread(root, bytes);
        Ok(())
    }

    pub(crate) fn send_gather(
        &self,
        state: &mut State,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let call = Call { kind: CallKind::Gather, root, n_bytes: part.len(), ..Call::barrier() };
        if self.rank != root {
            self.meet(state, &call, false)?;
            self.send(root, part);
            return Ok(());
        }
        self.meet(state, &Call { n_whole: whole.len(), counts, ..call }, false)?;
        for (rank, range) in parts(counts).enumerate() {
            if rank == root {
                whole[range].copy_from_slice(part);
            } else {
                self.receive(rank, &mut whole[range]);
            }
        }
        Ok(())
    }

    pub(crate) fn send_scatter(
        &self,
        state: &mut State,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let call = Call { kind: CallKind::Scatter, root, n_bytes: part.len(), ..Call::barrier() };
        if self.rank != root {
            self.meet(state, &call, false)?;
            self.receive(root, part);
            return Ok(());
        }
        self.meet(state, &Call { n_whole: whole.len(), counts, ..call }, false)?;
        for (rank, range) in parts(counts).enumerate() {
            if rank == root {
                part.copy_from_slice(&whole[range]);
            } else {
                self.send(rank, &whole[range]);
            }
        }
        Ok(())
    }

    pub(crate) fn send_all_gather(
        &self,
        state: &mut State,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::AllGather, part.len(), whole.len());
        let call = Call { kind, n_bytes, n_whole, counts, ..Call::barrier() };
        self.meet(state, &call, false)?;
        let size = self.size();
        let ranges: Vec<_> = parts(counts).collect();
        whole[ranges[self.rank].clone()].copy_from_slice(part);
        let (right, left) = ((self.rank + 1) % size, (self.rank + size - 1) % size);
        // Around the ring: what came in the last step goes on in this one.
        for step in 1..size {
            let given = ranges[(self.rank + size + 1 - step) % size].clone();
            let taken = ranges[(self.rank + size - step) % size].clone();
            let (given, taken) = both(whole, given, taken);
            self.shift(right, given, left, taken);
        }
        Ok(())
    }
}

/// Where each rank's part begins and ends in the whole.
fn parts(counts: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> {
    counts.iter().scan(0, |start, n| {
        let part = *start..*start + n;
        *start = part.end;
        Some(part)
    })
}

/// Two ranges that have nothing in common, one of them to be changed.
fn both(
    bytes: &mut [u8],
    read: std::ops::Range<usize>,
    write: std::ops::Range<usize>,
) -> (&[u8], &mut [u8]) {
    if read.start >= write.end {
        let (low, high) = bytes.split_at_mut(read.start);
        (&high[..read.len()], &mut low[write])
    } else {
        let (low, high) = bytes.split_at_mut(write.start);
        (&low[read], &mut high[..write.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_one_after_the_other() {
        assert_eq!(parts(&[2, 0, 3]).collect::<Vec<_>>(), [0..2, 2..2, 2..5]);
    }

    #[test]
    fn two_ranges_are_found_in_either_order_and_empty() {
        let mut bytes = *b"abcdef";
        let (read, write) = both(&mut bytes, 0..2, 3..6);
        assert_eq!((read, &*write), (&b"ab"[..], &b"def"[..]));
        let (read, write) = both(&mut bytes, 4..6, 0..3);
        assert_eq!((read, &*write), (&b"ef"[..], &b"abc"[..]));
        for (read, write) in [(2..2, 2..2), (0..0, 0..6), (0..6, 6..6), (6..6, 0..6), (0..6, 0..0)]
        {
            let (read_len, write_len) = (read.len(), write.len());
            let (read, write) = both(&mut bytes, read, write);
            assert_eq!((read.len(), write.len()), (read_len, write_len));
        }
    }
}
