//! A group of equal partners that talk to each other: collectives.

mod call;
mod error;
mod ext;
mod meeting;
mod ops;
mod serial;
mod tree;

use std::fmt::Debug;

pub use call::{Call, CallKind, check_calls};
pub use error::PeersError;
pub use ext::PeersExt;
pub use meeting::{Collectives, Meeting, Scratch};
pub use ops::{And, Fold, Max, Min, Native, Op, OpName, Or, Prod, Scalar, Sum, Xor};
pub(crate) use serial::ALONE;
pub use serial::{Departed, SerialPeers};
pub use tree::{FixedTree, reduce_in_index_order};

/// A group of workers of which each has a rank, and which all call the same collectives in the
/// same order.
///
/// This is the part that backends write, over bytes; what programs call is [`PeersExt`], over
/// numbers and values. Every method but [`rank`](Self::rank) and [`size`](Self::size) is a
/// *collective*: it returns when every rank has called it, or with an error.
///
/// # What holds in every group
///
/// - Ranks are `0..size`, each once; the root of the group is rank 0.
/// - A call that does not fit those of the others (another collective, another root, another
///   length) is an error on *every* rank, the same one. No buffer is written then, and the group
///   goes on to be of use.
/// - A member that leaves (its function returns, its task fails or panics, its process dies) ends
///   the group: who waits for it, and whoever calls a collective later, gets
///   [`PeersError::Left`], which names it. What had every member in it before is whole.
/// - When the run is cancelled, those who wait get [`PeersError::Cancelled`].
/// - So nobody waits for ever, unless a member computes for ever.
/// - Results are the same to the bit in every backend.
///
/// One thread of a rank calls at a time; a second one gets [`PeersError::Busy`].
pub trait Peers: Debug + Send + Sync {
    /// The number of this member, `0..size`.
    #[doc(alias = "get_rank")]
    fn rank(&self) -> usize;

    /// How many members the group has.
    #[doc(alias = "number_of_worker_processes")]
    fn size(&self) -> usize;

    /// Returns when all have called it; none returns before the last one has called.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    #[doc(alias = "sync_with_peers")]
    fn barrier(&self) -> Result<(), PeersError>;

    /// Overwrites everybody's `bytes` with those of `root`; all are of one length.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError>;

    /// Puts everybody's `part` into the root's `whole`, one after the other by rank.
    ///
    /// | argument | at the root                                  | elsewhere          |
    /// | -------- | -------------------------------------------- | ------------------ |
    /// | `part`   | its own part                                 | its own part       |
    /// | `whole`  | overwritten; as long as all parts together   | not looked at      |
    /// | `counts` | the length of each rank's part, in bytes     | not looked at      |
    ///
    /// # Errors
    ///
    /// [`PeersError`]; also on those who gave a right part when the root's lengths do not fit.
    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError>;

    /// Overwrites everybody's `part` with its piece of the root's `whole`; the inverse of
    /// [`gather_bytes`](Self::gather_bytes), with the same lengths.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError>;

    /// Puts everybody's `part` into everybody's `whole`, one after the other by rank; `counts`
    /// are the lengths of all parts, in bytes, and everybody has to give them.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError>;

    /// Overwrites everybody's `bytes` with the fold of all, element by element and in the order of
    /// the ranks: `((a[0] op a[1]) op a[2]) ..`.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn all_reduce_bytes(&self, bytes: &mut [u8], fold: &Fold<'_>) -> Result<(), PeersError>;

    /// As [`all_reduce_bytes`](Self::all_reduce_bytes), but only the root's `bytes` are
    /// overwritten.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn reduce_bytes(
        &self,
        root: usize,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError>;

    /// Leaves the group for good, not a collective: the others' calls fail with
    /// [`PeersError::Left`], which says why. Dropping does the same, without a reason. The only
    /// member of a group of one cannot leave it.
    fn leave(&self, reason: &str);

    /// Whether this member is the root of the group, rank 0.
    #[doc(alias = "is_root_process")]
    fn is_root(&self) -> bool {
        self.rank() == 0
    }
}
