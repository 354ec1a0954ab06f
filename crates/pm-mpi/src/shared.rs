//! Arrays that rank 0 shares with the ranks that serve it: each of them is given one once, and told
//! when it may let it go. Those on its host map its memory, others get a copy.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process;

use pm_api::backend::{
    SharedArray, SharedBytes, WeakArray, by_reference, forget_shared, keep_shared,
};
use worker_process::Frozen;

use crate::mail::{About, Body, Port};
use crate::world::World;

/// The arrays that a rank has, by their numbers.
pub(crate) type Given = HashMap<u64, WeakArray>;

/// An array, mapped.
struct Mapped(Frozen);

impl SharedBytes for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn keep(id: u64, memory: Frozen) {
    keep_shared(id, SharedArray::new(Mapped(memory)));
}

/// Takes in an array that another rank gives. Where it cannot be had, whatever needs it cannot be
/// decoded, and says so.
pub(crate) fn take_in(id: u64, place: Option<(u32, i32)>, bytes: &[u8]) {
    let memory = match place {
        Some((pid, fd)) => {
            let file = File::open(format!("/proc/{pid}/fd/{fd}"));
            file.and_then(|file| Frozen::open(file.into()))
        }
        None => Frozen::copy_of(bytes),
    };
    if let Ok(memory) = memory {
        keep(id, memory);
    }
}

impl World {
    /// Encodes something for ranks that serve this one, where numbers stand for long arrays; these
    /// are given by [`give`](Self::give).
    pub(crate) fn by_reference<R>(&self, encode: impl FnOnce() -> R) -> (R, Vec<SharedArray>) {
        // Without ranks that serve, all have what they scatter.
        if self.is_served() { by_reference(encode) } else { (encode(), Vec::new()) }
    }

    /// Gives a rank those of these arrays that it does not have.
    pub(crate) fn give(&self, rank: usize, arrays: &[SharedArray]) {
        if arrays.is_empty() {
            return;
        }
        let mut given = self.given(rank);
        for array in arrays {
            let id = array.id();
            if given.contains_key(&id) {
                continue;
            }
            given.insert(id, array.downgrade());
            let memory = array.memory(Frozen::copy_of).ok();
            match memory {
                Some(memory) if rank == self.rank => keep(id, Frozen::clone(&memory)),
                Some(memory) if self.can_share(&[rank]) => {
                    let place = Some((process::id(), memory.fd().as_raw_fd()));
                    self.post(rank, About::RANKS, Port::Server, Body::Share { id, place }, &[]);
                }
                None if rank == self.rank => keep_shared(id, array.clone()),
                _ => {
                    let share = Body::Share { id, place: None };
                    self.post(rank, About::RANKS, Port::Server, share, array.bytes());
                }
            }
        }
    }

    /// Lets a rank forget what is gone here.
    pub(crate) fn sweep(&self, rank: usize) {
        let mut given = self.given(rank);
        let ids: Vec<u64> =
            given.extract_if(|_, array| array.is_gone()).map(|(id, _)| id).collect();
        if rank == self.rank {
            ids.into_iter().for_each(forget_shared);
        } else if !ids.is_empty() {
            self.post(rank, About::RANKS, Port::Server, Body::Forget { ids }, &[]);
        }
    }
}
