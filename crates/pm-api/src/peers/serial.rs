//! The group of one, and what is left to a member that left.

use super::{Call, CallKind, Fold, Peers, PeersError, check_calls};

/// A group of one member, which agrees with itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct SerialPeers(());

/// The only group of one that is needed.
pub(crate) static ALONE: SerialPeers = SerialPeers(());

impl SerialPeers {
    /// Makes the group.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

fn check(call: Call<'_>) -> Result<(), PeersError> {
    check_calls(1, |_| call)
}

impl Peers for SerialPeers {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn barrier(&self) -> Result<(), PeersError> {
        Ok(())
    }

    fn broadcast_bytes(&self, root: usize, bytes: &mut [u8]) -> Result<(), PeersError> {
        let kind = CallKind::Broadcast;
        check(Call { kind, root, n_bytes: bytes.len(), ..Call::barrier() })
    }

    fn gather_bytes(
        &self,
        root: usize,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::Gather, part.len(), whole.len());
        check(Call { kind, root, n_bytes, n_whole, counts, element: 0 })?;
        whole.copy_from_slice(part);
        Ok(())
    }

    fn scatter_bytes(
        &self,
        root: usize,
        whole: &[u8],
        counts: &[usize],
        part: &mut [u8],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::Scatter, part.len(), whole.len());
        check(Call { kind, root, n_bytes, n_whole, counts, element: 0 })?;
        part.copy_from_slice(whole);
        Ok(())
    }

    fn all_gather_bytes(
        &self,
        part: &[u8],
        whole: &mut [u8],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let (kind, n_bytes, n_whole) = (CallKind::AllGather, part.len(), whole.len());
        check(Call { kind, root: 0, n_bytes, n_whole, counts, element: 0 })?;
        whole.copy_from_slice(part);
        Ok(())
    }

    fn all_reduce_bytes(&self, _: &mut [u8], _: &Fold<'_>) -> Result<(), PeersError> {
        Ok(())
    }

    fn reduce_bytes(&self, root: usize, b: &mut [u8], _: &Fold<'_>) -> Result<(), PeersError> {
        check(Call { kind: CallKind::Reduce, root, n_bytes: b.len(), ..Call::barrier() })
    }

    fn leave(&self, _: &str) {}
}

/// What a worker has in the place of its group once it has left it: it knows its rank, and that
/// every collective fails.
#[derive(Debug, Clone)]
pub struct Departed {
    rank: usize,
    size: usize,
    reason: String,
}

impl Departed {
    /// Stands for a group of `size` that rank `rank` has left because of `reason`.
    #[must_use]
    pub fn new(rank: usize, size: usize, reason: impl Into<String>) -> Self {
        Self { rank, size, reason: reason.into() }
    }

    fn error(&self) -> Result<(), PeersError> {
        let Self { rank, size: n_ranks, ref reason } = *self;
        Err(PeersError::Left { rank, n_ranks, reason: reason.clone() })
    }
}

impl Peers for Departed {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn barrier(&self) -> Result<(), PeersError> {
        self.error()
    }

    fn broadcast_bytes(&self, _: usize, _: &mut [u8]) -> Result<(), PeersError> {
        self.error()
    }

    fn gather_bytes(
        &self,
        _: usize,
        _: &[u8],
        _: &mut [u8],
        _: &[usize],
    ) -> Result<(), PeersError> {
        self.error()
    }

    fn scatter_bytes(
        &self,
        _: usize,
        _: &[u8],
        _: &[usize],
        _: &mut [u8],
    ) -> Result<(), PeersError> {
        self.error()
    }

    fn all_gather_bytes(&self, _: &[u8], _: &mut [u8], _: &[usize]) -> Result<(), PeersError> {
        self.error()
    }

    fn all_reduce_bytes(&self, _: &mut [u8], _: &Fold<'_>) -> Result<(), PeersError> {
        self.error()
    }

    fn reduce_bytes(&self, _: usize, _: &mut [u8], _: &Fold<'_>) -> Result<(), PeersError> {
        self.error()
    }

    fn leave(&self, _: &str) {}
}
