//! What a member says when it comes to a collective, and whether all fit together.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::PeersError;

/// A collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallKind {
    /// [`Peers::barrier`](crate::Peers::barrier).
    Barrier,
    /// [`Peers::broadcast_bytes`](crate::Peers::broadcast_bytes).
    Broadcast,
    /// [`Peers::gather_bytes`](crate::Peers::gather_bytes).
    Gather,
    /// [`Peers::scatter_bytes`](crate::Peers::scatter_bytes).
    Scatter,
    /// [`Peers::all_gather_bytes`](crate::Peers::all_gather_bytes).
    AllGather,
    /// [`Peers::reduce_bytes`](crate::Peers::reduce_bytes).
    Reduce,
    /// [`Peers::all_reduce_bytes`](crate::Peers::all_reduce_bytes).
    AllReduce,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Barrier,
        Self::Broadcast,
        Self::Gather,
        Self::Scatter,
        Self::AllGather,
        Self::Reduce,
        Self::AllReduce,
    ];
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Barrier => "barrier",
            Self::Broadcast => "broadcast",
            Self::Gather => "gather",
            Self::Scatter => "scatter",
            Self::AllGather => "all-gather",
            Self::Reduce => "reduce",
            Self::AllReduce => "all-reduce",
        })
    }
}

/// What one member says when it comes to a collective; see [`check_calls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Which one.
    pub kind: CallKind,
    /// The root that it names; 0 for collectives without one.
    pub root: usize,
    /// The length of its part, in bytes.
    pub n_bytes: usize,
    /// The bytes of an element, for reductions; else 0.
    pub element: usize,
    /// The length of its whole, in bytes, where it has one that counts; else 0.
    pub n_whole: usize,
    /// The lengths of all parts, where it has some that count; else empty.
    pub counts: &'a [usize],
}

impl Call<'_> {
    /// A call without buffers.
    #[must_use]
    pub fn barrier() -> Self {
        Self { kind: CallKind::Barrier, root: 0, n_bytes: 0, element: 0, n_whole: 0, counts: &[] }
    }
}

/// Whether the calls of all members fit together; `call_of` gives that of each rank.
///
/// Every backend decides by this, on every rank, so that all get the same answer.
///
/// # Errors
///
/// [`PeersError`], the same on every rank.
pub fn check_calls<'a>(
    n_ranks: usize,
    call_of: impl Fn(usize) -> Call<'a>,
) -> Result<(), PeersError> {
    let first = call_of(0);
    let (kind, root) = (first.kind, first.root);
    for rank in 1..n_ranks {
        let call = call_of(rank);
        if call.kind != kind {
            return Err(PeersError::Collective { rank, called: call.kind, expected: kind });
        }
        if call.root != root {
            return Err(PeersError::Root { rank, kind, root: call.root, expected: root });
        }
    }
    if root >= n_ranks {
        return Err(PeersError::NoSuchRoot { kind, root, n_ranks });
    }
    // The lengths that `with` gave are those that the others came with.
    let fits = |with: usize| {
        let Call { counts, n_whole, .. } = call_of(with);
        let n_bytes = counts.iter().fold(0_usize, |sum, n| sum.saturating_add(*n));
        if counts.len() != n_ranks || n_bytes != n_whole {
            let n_counts = counts.len();
            return Err(PeersError::Counts {
                rank: with,
                kind,
                n_counts,
                n_bytes,
                n_whole,
                n_ranks,
            });
        }
        for (rank, &expected) in counts.iter().enumerate() {
            let n_bytes = call_of(rank).n_bytes;
            if n_bytes != expected {
                return Err(PeersError::Length { rank, kind, n_bytes, expected });
            }
        }
        Ok(())
    };
    match kind {
        CallKind::Barrier => Ok(()),
        CallKind::Gather | CallKind::Scatter => fits(root),
        CallKind::AllGather => (0..n_ranks).try_for_each(fits),
        CallKind::Broadcast | CallKind::Reduce | CallKind::AllReduce => {
            let Call { n_bytes: expected, element, .. } = call_of(root);
            for rank in 0..n_ranks {
                let call = call_of(rank);
                if call.n_bytes != expected || call.element != element {
                    return Err(PeersError::Length { rank, kind, n_bytes: call.n_bytes, expected });
                }
            }
            Ok(())
        }
    }
}
