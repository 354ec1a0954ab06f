//! Groups whose members are on one host, which meet in memory that they share.
//!
//! The memory is a file without a name, which the first member makes; the others open it by way of
//! that process (`/proc/PID/fd`), so that nothing of it is left when the last one is gone, however
//! that ends. Whether that is possible was tried when MPI began.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pm_api::backend::{Collectives, Meeting};
use pm_api::{Peers as _, PeersError};
use worker_process::{Group, GroupError, GroupMember, WaitPolicy, Waiting};

use crate::MpiPeers;
use crate::mail::Body;
use crate::peers::{ENDED, Link, State};

/// Opens a file without a name that another process of this host has.
pub(crate) fn open(pid: u32, fd: i32) -> io::Result<File> {
    File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}"))
}

impl MpiPeers {
    /// Comes together with the others, before the first collective.
    pub(crate) fn connect(&self, state: &mut State) -> Result<Link, PeersError> {
        let size = self.size();
        if size == 1 || !self.world.can_share(&self.members) {
            return Ok(Link::Letters);
        }
        let group = if self.rank == 0 {
            let group = Group::create(size).ok();
            let place = group.as_ref().map(|group| (process::id(), group.fd().as_raw_fd()));
            self.tell_others(&Body::Memory { place });
            group
        } else {
            match self.await_memory(state)? {
                None => None,
                Some((pid, fd)) => match open(pid, fd).and_then(|f| Group::open(f.into(), size)) {
                    Ok(group) => Some(group),
                    Err(error) => return Err(self.lacks_memory(state, &error)),
                },
            }
        };
        // The first member has no memory left: then by letters.
        let Some(group) = group else { return Ok(Link::Letters) };
        for (rank, _) in state.gone.iter().enumerate().filter(|(_, gone)| **gone) {
            let reason = state.left.as_ref().map_or(ENDED, |(_, reason)| reason);
            group.leave(rank, reason);
        }
        let group = self.shared.get_or_init(|| group);
        if self.is_cancelled() {
            group.cancel();
        }
        let crowded = Some(self.world.hosts.is_crowded);
        let member = group.member(self.rank, Waiting { policy: WaitPolicy::Yield, crowded });
        let all_share = Arc::clone(&self.all_share);
        let member = Member { member: self.watching(member), all_share };
        Ok(Link::Memory(Box::new(Collectives::new(member))))
    }

    /// Waits until the first member says where its memory is.
    fn await_memory(&self, state: &mut State) -> Result<Option<(u32, i32)>, PeersError> {
        let met = self.world.wait(&self.inbox, None, |letters| {
            while let Some(letter) = letters.pop_front() {
                self.take_in(state, letter.source, letter.body);
            }
            let is_over = state.is_over || state.gone[0] || self.is_cancelled();
            state.memory.map(Ok).or(is_over.then_some(Err(())))
        });
        match met {
            Some(Ok(place)) => Ok(place),
            _ => {
                state.is_over = true;
                Err(self.broken(state))
            }
        }
    }

    /// This member cannot go on, and says so to the others. If the first one is gone with its
    /// memory, it has said so before.
    fn lacks_memory(&self, state: &mut State, error: &io::Error) -> PeersError {
        let reason = format!("it could not open the memory of the group: {error}");
        let soon = Instant::now().checked_add(Duration::from_millis(100));
        self.world.wait(&self.inbox, soon, |letters| {
            while let Some(letter) = letters.pop_front() {
                self.take_in(state, letter.source, letter.body);
            }
            state.gone[0].then_some(())
        });
        state.is_over = true;
        state.gone[self.rank] = true;
        let (rank, reason) = state.left.get_or_insert((self.rank, reason)).clone();
        self.tell_others(&Body::Left { rank: self.members[rank], reason });
        self.broken(state)
    }

    /// Lets a member that waits take in the letters of those who leave.
    fn watching(&self, member: GroupMember) -> GroupMember {
        let (inbox, members) = (Arc::clone(&self.inbox), Arc::clone(&self.members));
        let group = member.group().clone();
        member.looking_around(move || {
            let letters = std::mem::take(&mut *inbox.lock());
            let member = |rank: usize| members.iter().position(|member| *member == rank);
            for letter in letters {
                let Some(from) = member(letter.source) else { continue };
                match letter.body {
                    Body::Left { rank, reason } => {
                        // Who left because another one had, says which.
                        group.leave(member(rank).unwrap_or(from), &reason);
                        group.leave(from, &reason);
                    }
                    Body::Bye => group.leave(from, ENDED),
                    _ => {}
                }
            }
        })
    }
}

/// A member, as `pm-api` has it.
#[derive(Debug)]
pub(crate) struct Member {
    member: GroupMember,
    all_share: Arc<AtomicBool>,
}

impl Member {
    fn peers_error(&self, error: GroupError) -> PeersError {
        let (own, n_ranks) = (self.member.rank(), self.member.group().size());
        match error {
            GroupError::Left { rank, reason } => PeersError::Left { rank, n_ranks, reason },
            _ => PeersError::Cancelled { rank: own, n_ranks },
        }
    }
}

impl Meeting for Member {
    const BLOCK: usize = Group::BLOCK;
    const SHORT: usize = Group::SHORT;

    fn rank(&self) -> usize {
        self.member.rank()
    }

    fn size(&self) -> usize {
        self.member.group().size()
    }

    fn meet(&mut self, words: [u64; 4], short: &[u8], counts: &[usize]) -> Result<(), PeersError> {
        let met = self.member.meet(words, short, counts);
        met.map_err(|error| self.peers_error(error))?;
        if !self.all_share.load(Ordering::Relaxed) {
            self.all_share.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn said(&self, rank: usize) -> [u64; 4] {
        self.member.said(rank)
    }

    fn short(&self, rank: usize, at: usize, bytes: &mut [u8]) {
        self.member.short(rank, at, bytes);
    }

    fn counts(&self, rank: usize, n: usize) -> Vec<usize> {
        self.member.counts(rank, n)
    }

    fn early(&mut self, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        self.member.early(at, bytes).map_err(|error| self.peers_error(error))
    }

    fn steps(&mut self, n: u64) {
        self.member.steps(n);
    }

    fn put(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        self.member.put(step, at, bytes).map_err(|error| self.peers_error(error))
    }

    fn is_put(&mut self, step: u64) {
        self.member.is_put(step);
    }

    fn take(
        &mut self,
        rank: usize,
        step: u64,
        at: usize,
        bytes: &mut [u8],
    ) -> Result<(), PeersError> {
        self.member.take(rank, step, at, bytes).map_err(|error| self.peers_error(error))
    }

    fn taken(&mut self, n: u64) {
        self.member.taken(n);
    }

    fn finish(&mut self) {
        self.member.finish();
    }
}
