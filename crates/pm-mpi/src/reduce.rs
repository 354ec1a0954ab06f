//! Reductions by messages: what lower ranks have together goes from rank to rank.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pm_api::backend::{Call, CallKind, Fold, Scratch};
use pm_api::{Peers as _, PeersError};

use crate::MpiPeers;
use crate::letters::Posted;
use crate::peers::State;
use crate::raw::Taken;

/// So many bytes go on at a time, so that all ranks are at work on a long array.
const BLOCK: usize = 128 << 10;

impl MpiPeers {
    /// Folds everybody's bytes, for the root or, without one, for everybody.
    pub(crate) fn send_folds(
        &self,
        mut state: Taken<'_, State>,
        root: Option<usize>,
        bytes: &mut [u8],
        fold: &Fold<'_>,
    ) -> Result<(), PeersError> {
        let kind = if root.is_some() { CallKind::Reduce } else { CallKind::AllReduce };
        let (n_bytes, element) = (bytes.len(), fold.element());
        let call = Call { kind, root: root.unwrap_or(0), n_bytes, element, ..Call::barrier() };
        // An operation that has a name elsewhere is none of the user's, and cannot panic.
        let said = self.meet(&mut state, &call, fold.native().is_none())?;
        let may_panic = said.iter().any(Posted::may_panic);
        let last = self.size() - 1;
        let mut panicked = None;
        let (mut scratch, mut result) = (Scratch::default(), Scratch::default());
        let result = result.bytes(if root.is_some() && self.rank == last { n_bytes } else { 0 });
        let block = (BLOCK / element).max(1) * element;
        for (nth, own) in bytes.chunks_mut(block).enumerate() {
            let acc = scratch.bytes(own.len());
            if self.rank == 0 {
                acc.copy_from_slice(own);
            } else {
                self.receive(self.rank - 1, acc);
                // Who panics goes on with the others, who wait for it.
                let folded = catch_unwind(AssertUnwindSafe(|| {
                    if panicked.is_none() {
                        fold.apply(acc, own);
                    }
                }));
                panicked = panicked.or(folded.err());
            }
            if self.rank < last {
                self.send(self.rank + 1, acc);
            } else if root.is_some() {
                result[nth * block..][..own.len()].copy_from_slice(acc);
            } else {
                own.copy_from_slice(acc);
            }
        }
        match root {
            None => self.spread(last, bytes),
            Some(root) if self.rank == last && root == last => {
                bytes.copy_from_slice(result);
            }
            Some(root) if self.rank == last => self.send(root, result),
            Some(root) if self.rank == root => self.receive(last, bytes),
            Some(_) => {}
        }
        if !may_panic {
            return Ok(());
        }
        let first = self.first_panic(&mut state, panicked.is_some());
        if let Some(payload) = panicked {
            drop(state);
            resume_unwind(payload);
        }
        match first? {
            Some(rank) => Err(PeersError::Panicked { rank, kind }),
            None => Ok(()),
        }
    }
}
