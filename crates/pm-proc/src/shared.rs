//! Arrays that the manager shares with its workers: each worker process is given one once, and told
//! when it may let it go.

use std::collections::HashMap;
use std::io;

use pm_api::backend::{SharedArray, SharedBytes, WeakArray, forget_shared, keep_shared};
use worker_process::{Frozen, Part, Pool, PoolError};

use crate::wire::{Order, frame};

/// The arrays that one worker process has, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Given(HashMap<u64, WeakArray>);

impl Given {
    /// Gives the worker those of these arrays that it does not have. The outer error is that there
    /// is no memory.
    pub(crate) fn give(
        &mut self,
        pool: &mut Pool,
        worker: usize,
        arrays: &[SharedArray],
    ) -> io::Result<Result<(), PoolError>> {
        for array in arrays {
            if self.0.contains_key(&array.id()) {
                continue;
            }
            let memory = array.memory(Frozen::copy_of)?;
            let order = frame(&Order::Share { id: array.id() }, &[]);
            if let Err(error) = pool.send(worker, &order, &[Part::Frozen(&memory)]) {
                return Ok(Err(error));
            }
            self.0.insert(array.id(), array.downgrade());
        }
        Ok(Ok(()))
    }

    /// Lets the worker forget what is gone here.
    pub(crate) fn sweep(&mut self, pool: &mut Pool, worker: usize) -> Result<(), PoolError> {
        let ids: Vec<u64> =
            self.0.extract_if(|_, array| array.is_gone()).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        pool.send(worker, &frame(&Order::Forget { ids }, &[]), &[])
    }
}

/// An array, mapped in a worker.
struct Mapped(Frozen);

impl SharedBytes for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Keeps an array in a worker.
pub(crate) fn keep(id: u64, memory: Frozen) {
    keep_shared(id, SharedArray::new(Mapped(memory)));
}

/// Lets arrays go in a worker.
pub(crate) fn forget(ids: &[u64]) {
    ids.iter().for_each(|&id| forget_shared(id));
}
