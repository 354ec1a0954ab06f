//! Why a collective came to nothing.

use std::error::Error;

use thiserror::Error;

use super::CallKind;

/// Why a collective came to nothing; see [`Peers`](crate::Peers) for who gets it and what is then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeersError {
    /// A member is not there any more. The group is of no more use.
    #[error("rank {rank} of {n_ranks} left the group: {reason}")]
    Left {
        /// The member that left.
        rank: usize,
        /// The size of the group.
        n_ranks: usize,
        /// Why.
        reason: String,
    },
    /// The run was cancelled. The group is of no more use.
    #[error("the run was cancelled while rank {rank} of {n_ranks} waited for the others")]
    Cancelled {
        /// The rank of this member.
        rank: usize,
        /// The size of the group.
        n_ranks: usize,
    },
    /// Members called different collectives.
    #[error("rank {rank} called {called} where rank 0 called {expected}")]
    Collective {
        /// The first rank that called something else.
        rank: usize,
        /// What it called.
        called: CallKind,
        /// What rank 0 called.
        expected: CallKind,
    },
    /// Members named different roots.
    #[error("rank {rank} named rank {root} as the root of {kind} where rank 0 named {expected}")]
    Root {
        /// The first rank that named another one.
        rank: usize,
        /// The collective.
        kind: CallKind,
        /// The root that it named.
        root: usize,
        /// The root that rank 0 named.
        expected: usize,
    },
    /// The root that all named is not in the group.
    #[error("a group of {n_ranks} has no rank {root} to be the root of {kind}")]
    NoSuchRoot {
        /// The collective.
        kind: CallKind,
        /// The root that was named.
        root: usize,
        /// The size of the group.
        n_ranks: usize,
    },
    /// Lengths do not fit.
    #[error("rank {rank} came to {kind} with {n_bytes} bytes, not {expected}")]
    Length {
        /// The first rank whose length does not fit.
        rank: usize,
        /// The collective.
        kind: CallKind,
        /// The length it came with.
        n_bytes: usize,
        /// The length that would have fitted.
        expected: usize,
    },
    /// A member gave lengths for another number of members, or lengths that are not those of its
    /// own buffer together.
    #[error(
        "rank {rank} came to {kind} with {n_counts} lengths of {n_bytes} bytes together, \
         for {n_ranks} ranks and a buffer of {n_whole}"
    )]
    Counts {
        /// The rank with these lengths.
        rank: usize,
        /// The collective.
        kind: CallKind,
        /// How many lengths it gave.
        n_counts: usize,
        /// What they are together.
        n_bytes: usize,
        /// The length of its buffer.
        n_whole: usize,
        /// The size of the group.
        n_ranks: usize,
    },
    /// The operation panicked on a member, where the panic goes on. Buffers may hold anything; the
    /// group is of use.
    #[error("the operation of {kind} panicked on rank {rank}")]
    Panicked {
        /// The first such rank.
        rank: usize,
        /// The collective.
        kind: CallKind,
    },
    /// A second thread of this member called a collective while the first one was in one.
    #[error("rank {rank} is in a collective already, on another thread")]
    Busy {
        /// The rank of this member.
        rank: usize,
    },
    /// A value of this member could not be encoded; the others get [`PeersError::NoValue`].
    #[error("could not encode the value of rank {rank}")]
    Encode {
        /// The rank of this member.
        rank: usize,
        /// What the encoder said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A value that came could not be decoded. Only this member knows.
    #[error("could not decode the value of rank {rank}")]
    Decode {
        /// The rank whose value it is.
        rank: usize,
        /// What the decoder said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A member had no value to send: it could not encode it, or gave none where it had to.
    #[error("rank {rank} had no value to send")]
    NoValue {
        /// The first such rank.
        rank: usize,
    },
    /// The transport under the group failed. The group is of no more use.
    #[error("could not {action}")]
    Transport {
        /// In the infinitive: `send 8 bytes to rank 2`.
        action: String,
        /// What the system said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
