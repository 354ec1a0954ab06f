//! Groups of ranks.
//!
//! Where all members are on one host, they meet in memory that they share, which the first member
//! makes when it comes to the first collective; see [`meeting`](crate::meeting). Others talk by
//! messages; see [`letters`](crate::letters). That a member is gone is heard of either way: it says
//! so in the memory or by a letter, and the end of a process is a letter.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pm_api::backend::{Collectives, Fold};
use pm_api::{CancelToken, OnCancel, Peers, PeersError, PeersExt as _};
use worker_process::Group;

use crate::letters::Posted;
use crate::mail::{About, Body, Inbox, Port};
use crate::meeting::Member;
use crate::raw::{OneAtATime, Taken};
use crate::team::Team;
use crate::world::World;

/// A group of ranks of the job, as one of its members has it.
///
/// [`Mpi::peers`](crate::Mpi::peers) gives the group of all ranks to a program that runs on every
/// rank; the tasks of a run get that of its workers.
pub struct MpiPeers {
    pub(crate) world: &'static World,
    pub(crate) rank: usize,
    /// The ranks in the world, by rank in the group.
    pub(crate) members: Arc<[usize]>,
    pub(crate) about: About,
    /// The same ranks as those who run tasks together; all members of a run's team, of which the
    /// workers may be a part.
    pub(crate) team: Arc<Team>,
    pub(crate) inbox: Arc<Inbox>,
    state: OneAtATime<State>,
    pub(crate) shared: Arc<OnceLock<Group>>,
    /// Whether all members have the shared memory.
    pub(crate) all_share: Arc<AtomicBool>,
    pub(crate) cancel: Option<CancelToken>,
    _wake: Option<OnCancel>,
}

/// How members come together.
#[derive(Debug)]
pub(crate) enum Link {
    /// They have not yet.
    Unset,
    Memory(Box<Collectives<Member>>),
    Letters,
}

/// What one thread at a time has of a member.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) link: Link,
    /// What the first member has said of its memory: its process and the descriptor there, or that
    /// there is none.
    pub(crate) memory: Option<Option<(u32, i32)>>,
    pub(crate) round: u64,
    /// What members have said for this round and, of the quick ones, the next.
    pub(crate) said: Vec<VecDeque<Posted>>,
    /// The member that left first as far as is known, by its rank in the group, and why.
    pub(crate) left: Option<(usize, String)>,
    /// Whether each member left.
    pub(crate) gone: Vec<bool>,
    /// Whether a round was broken off, so that there is none any more.
    pub(crate) is_over: bool,
}

/// They were a usize in a process of the same program.
pub(crate) fn usize(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

impl MpiPeers {
    /// The member of a group that this rank is: of the first `size` ranks of a team, of which it
    /// must be one.
    pub(crate) fn new(
        team: &Arc<Team>,
        about: About,
        size: usize,
        cancel: Option<&CancelToken>,
    ) -> Self {
        let (world, rank, team) = (team.world, team.rank, Arc::clone(team));
        let members: Arc<[usize]> = team.members[..size].into();
        let inbox = world.inbox(about, Port::Group);
        let shared = Arc::<OnceLock<Group>>::default();
        let (theirs, memory) = (Arc::clone(&inbox), Arc::clone(&shared));
        let wake = cancel.map(|cancel| {
            cancel.on_cancel(move || {
                theirs.nudge();
                if let Some(group) = memory.get() {
                    group.cancel();
                }
            })
        });
        let state = State {
            link: Link::Unset,
            memory: None,
            round: 0,
            said: (0..size).map(|_| VecDeque::new()).collect(),
            left: None,
            gone: vec![false; size],
            is_over: false,
        };
        let (state, cancel, all_share) = (OneAtATime::new(state), cancel.cloned(), Arc::default());
        let _wake = wake;
        Self { world, rank, members, about, team, inbox, state, shared, all_share, cancel, _wake }
    }

    /// Divides the group by `color`: a group of those who gave the same one, ranked by `key` and,
    /// where that is the same, as here. Collective, as the methods of [`Peers`] are.
    ///
    /// For collectives inside a part of the job, and for runs there: see
    /// [`MpiManager::of`](crate::MpiManager::of).
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    pub fn split(&self, color: u64, key: i64) -> Result<Self, PeersError> {
        static NEXT: Mutex<u64> = Mutex::new(0);
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        // Tells groups of one first member apart; that member's is taken.
        *next += 1;
        let own = ((self.world.rank as u64) << 31) | *next;
        drop(next);
        let order = u64::from_ne_bytes(key.to_ne_bytes()) ^ (1 << 63);
        let all = self.all_gather(&[color, order, own])?;
        let said = all.chunks_exact(3).enumerate().filter(|(_, said)| said[0] == color);
        let mut same: Vec<(u64, usize, u64)> =
            said.map(|(rank, said)| (said[1], rank, said[2])).collect();
        same.sort_unstable();
        let members = same.iter().map(|(_, rank, _)| self.members[*rank]).collect();
        let group = same[0].2;
        let team = Arc::new(Team::new(self.world, group, members));
        Ok(Self::new(&team, About { group, run: 0 }, same.len(), self.cancel.as_ref()))
    }

    /// Makes sure that no second thread of this member comes.
    fn occupy(&self) -> Result<Taken<'_, State>, PeersError> {
        let taken = self.state.try_take();
        let mut state = taken.ok_or(PeersError::Busy { rank: self.rank })?;
        if matches!(state.link, Link::Unset) {
            state.link = self.connect(&mut state)?;
        }
        Ok(state)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// Why there is no meeting.
    pub(crate) fn broken(&self, state: &State) -> PeersError {
        let n_ranks = self.members.len();
        if self.is_cancelled() {
            return PeersError::Cancelled { rank: self.rank, n_ranks };
        }
        let (rank, reason) =
            state.left.clone().unwrap_or_else(|| (self.rank, "nobody knows".to_owned()));
        PeersError::Left { rank, n_ranks, reason }
    }

    pub(crate) fn tell_others(&self, body: &Body) {
        for &other in self.members.iter().filter(|other| **other != self.world.rank) {
            self.world.post(other, self.about, Port::Group, body.clone(), &[]);
        }
    }

    pub(crate) fn take_in(&self, state: &mut State, source: usize, body: Body) {
        let member = |rank: usize| self.members.iter().position(|member| *member == rank);
        let Some(from) = member(source) else { return };
        match body {
            Body::Call { round, words, counts } => {
                debug_assert!(round >= state.round);
                state.said[from].push_back(Posted::new(words, counts));
            }
            Body::Memory { place } => state.memory = Some(place),
            Body::Left { rank, reason } => {
                state.gone[from] = true;
                // Who left because another one had, says which.
                let rank = member(rank).unwrap_or(from);
                if state.left.is_none() {
                    state.left = Some((rank, reason));
                }
            }
            Body::Bye => {
                state.gone[from] = true;
                if state.left.is_none() {
                    state.left = Some((from, ENDED.to_owned()));
                }
            }
            _ => {}
        }
    }
}

/// Why a process that has ended is missed.
pub(crate) const ENDED: &str = "its program has ended";

impl Peers for MpiPeers {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn barrier(&self) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        match &mut state.link {
            Link::Memory(all) => all.barrier(),
            _ => self.send_barrier(&mut state),
        }
    }

    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        match &mut state.link {
            Link::Memory(all) => all.broadcast(root, bytes),
            _ => self.send_broadcast(&mut state, root, bytes),
        }
    }

    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        match &mut state.link {
            Link::Memory(all) => all.gather(root, part, whole, counts),
            _ => self.send_gather(&mut state, root, part, whole, counts),
        }
    }

    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        match &mut state.link {
            Link::Memory(all) => all.scatter(root, whole, counts, part),
            _ => self.send_scatter(&mut state, root, whole, counts, part),
        }
    }

    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        match &mut state.link {
            Link::Memory(all) => all.all_gather(part, whole, counts),
            _ => self.send_all_gather(&mut state, part, whole, counts),
        }
    }

    fn all_reduce_bytes(&self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        if let Link::Memory(all) = &mut state.link {
            return all.all_reduce(bytes, fold);
        }
        self.send_folds(state, None, bytes, fold)
    }

    fn reduce_bytes(
        &self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        let mut state = self.occupy()?;
        if let Link::Memory(all) = &mut state.link {
            return all.reduce(root, bytes, fold);
        }
        self.send_folds(state, Some(root), bytes, fold)
    }

    fn leave(&self, reason: &str) {
        if self.size() == 1 {
            return;
        }
        if let Some(group) = self.shared.get() {
            group.leave(self.rank, reason);
        }
        let mut state = self.state.take();
        if state.gone[self.rank] {
            return;
        }
        state.gone[self.rank] = true;
        state.is_over = true;
        let own = (self.rank, reason.to_owned());
        let (rank, reason) = state.left.get_or_insert(own).clone();
        drop(state);
        // Who has the memory has seen it there.
        if !self.all_share.load(Ordering::Acquire) {
            self.tell_others(&Body::Left { rank: self.members[rank], reason });
        }
    }
}

impl Drop for MpiPeers {
    fn drop(&mut self) {
        self.leave("it was dropped");
        if self.about.run == 0 {
            self.world.with_boxes(|boxes| boxes.close(self.about));
        }
    }
}

impl fmt::Debug for MpiPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MpiPeers")
            .field("rank", &self.rank)
            .field("members", &self.members)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
