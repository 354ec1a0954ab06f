//! A group of threads that talk to each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pm_api::backend::{Call, CallKind, Fold};
use pm_api::{CancelToken, OnCancel, Peers, PeersError};

use crate::WaitPolicy;
use crate::gate::{Gate, MOST};
use crate::window::{Lent, Met, Window};

/// A group of threads of this process; [`member`](Self::member) is the part of each.
///
/// Managers make one for every run. Who has threads of their own makes one too:
///
/// ```
/// use pm_api::{CancelToken, PeersExt as _, Sum};
/// use pm_threads::{ThreadGroup, WaitPolicy};
///
/// let group = ThreadGroup::new(3, WaitPolicy::default(), &CancelToken::new());
/// std::thread::scope(|scope| {
///     for rank in 0..3 {
///         let peers = group.member(rank);
///         scope.spawn(move || {
///             let mut ranks = [rank as u64];
///             peers.all_reduce(&mut ranks, Sum).unwrap();
///             assert_eq!(ranks, [0 + 1 + 2]);
///         });
///     }
/// });
/// ```
///
/// Nothing is copied on the way: members read what others lend them for the time of a collective,
/// straight from where it is.
#[derive(Debug, Clone)]
pub struct ThreadGroup(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    size: usize,
    gate: Gate,
    window: Window,
    cancel: CancelToken,
    /// The first member that left, and why.
    left: Mutex<Option<(usize, String)>>,
    wake: Mutex<Option<OnCancel>>,
}

/// One member of a [`ThreadGroup`]. Dropping it is leaving the group.
///
/// On cache lines of its own: it counts its calls, and members often lie side by side.
#[derive(Debug)]
#[repr(align(128))]
pub struct ThreadPeers {
    group: Arc<Inner>,
    rank: usize,
    /// How many collectives it came to.
    n_calls: AtomicU64,
    busy: AtomicBool,
    /// Whether a meeting of this member was broken off, so that there is none any more.
    is_over: AtomicBool,
}

impl ThreadGroup {
    /// Makes a group of `size` members, which fails when `cancel` is cancelled.
    ///
    /// # Panics
    ///
    /// If `size` is 0, or more than 65535.
    #[must_use]
    pub fn new(size: usize, policy: WaitPolicy, cancel: &CancelToken) -> Self {
        assert!((1..=MOST).contains(&size), "a group has 1 to {MOST} members, not {size}");
        let (gate, window) = (Gate::new(size, policy), Window::new(size));
        let (cancel, left, wake) = (cancel.clone(), Mutex::new(None), Mutex::new(None));
        let inner = Arc::new(Inner { size, gate, window, cancel, left, wake });
        let waiting: Weak<Inner> = Arc::downgrade(&inner);
        let on_cancel = inner.cancel.on_cancel(move || {
            if let Some(group) = waiting.upgrade() {
                group.gate.give_up();
            }
        });
        *inner.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(on_cancel);
        Self(inner)
    }

    /// Makes the part of rank `rank`; one thread at a time uses it, and there is one per rank.
    ///
    /// # Panics
    ///
    /// If there is no such rank.
    #[must_use]
    pub fn member(&self, rank: usize) -> ThreadPeers {
        let group = Arc::clone(&self.0);
        assert!(rank < group.size, "a group of {} has no rank {rank}", group.size);
        let (n_calls, busy) = (AtomicU64::new(0), AtomicBool::new(false));
        ThreadPeers { group, rank, n_calls, busy, is_over: AtomicBool::new(false) }
    }

    /// Takes rank `rank` out of the group, from any thread. If it waits in a collective, this wakes
    /// it, and that fails for it as for all.
    pub fn leave(&self, rank: usize, reason: &str) {
        self.0.leave(rank, reason);
    }
}

impl Inner {
    fn leave(&self, rank: usize, reason: &str) {
        self.left().get_or_insert_with(|| (rank, reason.to_owned()));
        self.gate.give_up();
    }

    fn left(&self) -> MutexGuard<'_, Option<(usize, String)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadPeers {
    /// Does a collective with what this member says and lends.
    fn meet(&self, lent: &Lent<'_>, fold: Option<&Fold<'_>>) -> Result<(), PeersError> {
        let _free = self.occupy()?;
        if self.is_over.load(Ordering::Relaxed) {
            // Nothing may be posted where slower members may still look at the last meeting's post.
            return Err(self.broken());
        }
        // One thread at a time is here.
        let n_calls = self.n_calls.load(Ordering::Relaxed);
        self.n_calls.store(n_calls.wrapping_add(1), Ordering::Relaxed);
        let turn = (n_calls % 2) as usize;
        match self.group.window.meet(&self.group.gate, self.rank, turn, lent, fold) {
            Met::Done => Ok(()),
            Met::Broken => {
                self.is_over.store(true, Ordering::Relaxed);
                Err(self.broken())
            }
            Met::Failed(error) => Err(error),
        }
    }

    /// Makes sure that no second thread of this member comes.
    fn occupy(&self) -> Result<impl Drop + '_, PeersError> {
        struct Free<'a>(&'a AtomicBool);
        impl Drop for Free<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(PeersError::Busy { rank: self.rank });
        }
        Ok(Free(&self.busy))
    }

    /// Why there is no meeting.
    fn broken(&self) -> PeersError {
        let Inner { size: n_ranks, cancel, .. } = &*self.group;
        let (rank, n_ranks) = (self.rank, *n_ranks);
        if cancel.is_cancelled() {
            return PeersError::Cancelled { rank, n_ranks };
        }
        let left = self.group.left().clone();
        let (rank, reason) = left.unwrap_or_else(|| (rank, "nobody knows".to_owned()));
        PeersError::Left { rank, n_ranks, reason }
    }
}

fn call(kind: CallKind, root: usize) -> Call<'static> {
    Call { kind, root, ..Call::barrier() }
}

impl Peers for ThreadPeers {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.group.size
    }

    fn barrier(&self) -> Result<(), PeersError> {
        self.meet(&Lent::nothing(Call::barrier()), None)
    }

    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        self.meet(&Lent::in_place(call(CallKind::Broadcast, root), bytes), None)
    }

    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let call = call(CallKind::Gather, root);
        let lent = if self.rank == root {
            Lent::collecting(call, part, whole, counts)
        } else {
            Lent::giving(call, part)
        };
        self.meet(&lent, None)
    }

    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let call = call(CallKind::Scatter, root);
        let lent = if self.rank == root {
            Lent::dealing(call, whole, counts, part)
        } else {
            Lent::in_place(call, part)
        };
        self.meet(&lent, None)
    }

    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let call = call(CallKind::AllGather, 0);
        self.meet(&Lent::collecting(call, part, whole, counts), None)
    }

    fn all_reduce_bytes(&self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError> {
        let call = Call { element: fold.element(), ..call(CallKind::AllReduce, 0) };
        self.meet(&Lent::in_place(call, bytes), Some(fold))
    }

    fn reduce_bytes(
        &self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        let call = Call { element: fold.element(), ..call(CallKind::Reduce, root) };
        self.meet(&Lent::in_place(call, bytes), Some(fold))
    }

    fn leave(&self, reason: &str) {
        self.group.leave(self.rank, reason);
    }
}

impl Drop for ThreadPeers {
    fn drop(&mut self) {
        self.group.leave(self.rank, "it was dropped");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use pm_api::{PeersExt as _, Sum};

    use super::*;

    /// A second thread of the same member is refused while the first one waits, and disturbs it not.
    #[test]
    fn a_member_is_one_thread_at_a_time() {
        let group = ThreadGroup::new(2, WaitPolicy::default(), &CancelToken::new());
        let (one, other) = (group.member(0), group.member(1));
        thread::scope(|scope| {
            let first = scope.spawn(|| one.barrier());
            while !one.busy.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let second = one.barrier().unwrap_err();
            assert_eq!(second.to_string(), "rank 0 is in a collective already, on another thread");
            other.barrier().unwrap();
            first.join().unwrap().unwrap();
        });
    }

    /// What waits in a collective can be taken out of the group by others.
    #[test]
    fn a_member_that_is_taken_out_is_woken_too() {
        let group = ThreadGroup::new(3, WaitPolicy::Block, &CancelToken::new());
        let members = [0, 1].map(|rank| group.member(rank));
        thread::scope(|scope| {
            let waiting =
                members.map(|peers| scope.spawn(move || peers.all_reduce(&mut [1_u8], Sum)));
            group.leave(1, "it is stuck");
            for member in waiting {
                let error = member.join().unwrap().unwrap_err();
                assert_eq!(error.to_string(), "rank 1 of 3 left the group: it is stuck");
            }
        });
    }

    /// A member that was turned away and calls again does not write over what it posted for a
    /// meeting that slower members are still in.
    #[test]
    fn a_member_that_was_turned_away_disturbs_no_earlier_meeting() {
        for _ in 0..500 {
            let group = ThreadGroup::new(3, WaitPolicy::default(), &CancelToken::new());
            thread::scope(|scope| {
                for rank in 0..3 {
                    let peers = group.member(rank);
                    scope.spawn(move || {
                        peers.barrier().unwrap();
                        if rank > 0 {
                            assert!(peers.barrier().is_err());
                            assert!(peers.all_reduce(&mut [1_u8], Sum).is_err());
                        }
                    });
                }
            });
        }
    }
}
