//! The workers of a run as a group, which meets in shared memory.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pm_api::backend::{Collectives, Fold, Meeting};
use pm_api::{CancelToken, OnCancel, Peers, PeersError};
use worker_process::{Group, GroupError, GroupMember, WaitPolicy, Waiting};

/// One member of a group.
#[derive(Debug)]
pub(crate) struct ProcessPeers {
    group: Group,
    rank: usize,
    member: Mutex<Collectives<Member>>,
    _wake: OnCancel,
}

impl ProcessPeers {
    /// Member `rank`, which waits for the others as it is told.
    pub(crate) fn new(group: Group, rank: usize, policy: WaitPolicy, cancel: &CancelToken) -> Self {
        let member = group.member(rank, Waiting { policy, crowded: None });
        let theirs = group.clone();
        let wake = cancel.on_cancel(move || theirs.cancel());
        let member = Mutex::new(Collectives::new(Member(member)));
        Self { group, rank, member, _wake: wake }
    }

    /// Makes sure that no second thread of this member comes.
    fn occupy(&self) -> Result<MutexGuard<'_, Collectives<Member>>, PeersError> {
        match self.member.try_lock() {
            Ok(member) => Ok(member),
            // By an operation that panicked, after all had met.
            Err(TryLockError::Poisoned(member)) => Ok(PoisonError::into_inner(member)),
            Err(TryLockError::WouldBlock) => Err(PeersError::Busy { rank: self.rank }),
        }
    }
}

/// A member, as `pm-api` has it.
#[derive(Debug)]
struct Member(GroupMember);

impl Member {
    fn peers_error(&self, error: GroupError) -> PeersError {
        let (own, n_ranks) = (self.0.rank(), self.0.group().size());
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
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.group().size()
    }

    fn meet(&mut self, words: [u64; 4], short: &[u8], counts: &[usize]) -> Result<(), PeersError> {
        self.0.meet(words, short, counts).map_err(|error| self.peers_error(error))
    }

    fn said(&self, rank: usize) -> [u64; 4] {
        self.0.said(rank)
    }

    fn short(&self, rank: usize, at: usize, bytes: &mut [u8]) {
        self.0.short(rank, at, bytes);
    }

    fn counts(&self, rank: usize, n: usize) -> Vec<usize> {
        self.0.counts(rank, n)
    }

    fn early(&mut self, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        self.0.early(at, bytes).map_err(|error| self.peers_error(error))
    }

    fn steps(&mut self, n: u64) {
        self.0.steps(n);
    }

    fn put(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        self.0.put(step, at, bytes).map_err(|error| self.peers_error(error))
    }

    fn is_put(&mut self, step: u64) {
        self.0.is_put(step);
    }

    fn take(
        &mut self,
        rank: usize,
        step: u64,
        at: usize,
        bytes: &mut [u8],
    ) -> Result<(), PeersError> {
        self.0.take(rank, step, at, bytes).map_err(|error| self.peers_error(error))
    }

    fn taken(&mut self, n: u64) {
        self.0.taken(n);
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}

impl Peers for ProcessPeers {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn barrier(&self) -> Result<(), PeersError> {
        self.occupy()?.barrier()
    }

    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        self.occupy()?.broadcast(root, bytes)
    }

    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        self.occupy()?.gather(root, part, whole, counts)
    }

    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        self.occupy()?.scatter(root, whole, counts, part)
    }

    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        self.occupy()?.all_gather(part, whole, counts)
    }

    fn all_reduce_bytes(&self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError> {
        self.occupy()?.all_reduce(bytes, fold)
    }

    fn reduce_bytes(
        &self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        self.occupy()?.reduce(root, bytes, fold)
    }

    fn leave(&self, reason: &str) {
        self.group.leave(self.rank, reason);
    }
}

impl Drop for ProcessPeers {
    fn drop(&mut self) {
        self.group.leave(self.rank, "it was dropped");
    }
}
