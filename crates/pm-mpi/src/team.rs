//! The ranks that take part in the runs of a manager, all or those of a group.

use std::sync::{Arc, Mutex};

use crate::mail::{About, Body, Inbox, Port};
use crate::world::{World, lock};

/// Ranks that scatter the same runs in the same order, or of which the first one scatters and the
/// others serve. Each has a number among them, and number 0 hands out the chunks.
#[derive(Debug)]
pub(crate) struct Team {
    pub(crate) world: &'static World,
    /// The ranks in the world, by their numbers here.
    pub(crate) members: Arc<[usize]>,
    /// The number of this rank.
    pub(crate) rank: usize,
    group: u64,
    /// The number of the next run, whichever manager it is of.
    next_run: Arc<Mutex<u64>>,
}

impl Team {
    /// All ranks of the job.
    pub(crate) fn all(world: &'static World) -> Self {
        let members = (0..world.size).collect();
        Self { next_run: Arc::clone(&world.next_run), ..Self::new(world, 0, members) }
    }

    /// The members of a group; this rank must be one of them.
    pub(crate) fn new(world: &'static World, group: u64, members: Arc<[usize]>) -> Self {
        let rank = members.iter().position(|rank| *rank == world.rank);
        let rank = rank.expect("only members have teams");
        Self { world, members, rank, group, next_run: Arc::new(Mutex::new(1)) }
    }

    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// The number of a rank of the world, if it is a member.
    pub(crate) fn number_of(&self, rank: usize) -> Option<usize> {
        self.members.iter().position(|member| *member == rank)
    }

    /// Begins a run, and gives what it is to `begin` before a later one is given.
    pub(crate) fn begin<T>(&self, begin: impl FnOnce(About) -> T) -> T {
        let mut next = lock(&self.next_run);
        let run = About { group: self.group, run: *next };
        *next += 1;
        begin(run)
    }

    /// Sends a member a letter.
    pub(crate) fn post(&self, to: usize, run: About, port: Port, body: Body, payload: &[u8]) {
        self.world.post(self.members[to], run, port, body, payload);
    }

    pub(crate) fn inbox(&self, run: About, port: Port) -> Arc<Inbox> {
        self.world.inbox(run, port)
    }
}
