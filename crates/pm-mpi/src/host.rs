//! Which ranks are on one host, whether these can share memory, and how many cores they have.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mpi::collective::SystemOperation;
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::{Communicator as _, CommunicatorCollectives as _, Root as _};
use worker_process::{Bells, SharedMemory};

use crate::meeting::open;
use crate::world::{count, rank_of};

/// Pretends that there are so many hosts, with every so-manieth rank on each; for tests of what is
/// different among hosts.
pub(crate) const PRETENDED: &str = "POLYCHRON_MPI_HOSTS";

/// The words of a set of cores.
const CORES: usize = 16;

/// What is known of the hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// The number of the host of each rank.
    pub(crate) of: Vec<usize>,
    /// The rank among those of this host, and how many these are.
    pub(crate) local: (usize, usize),
    /// Of each rank, which one it is on its host.
    place: Vec<usize>,
    /// What wakes the ranks of this host when a letter comes, where these can share memory.
    bells: Option<Bells>,
    /// Whether there are more of them than cores.
    pub(crate) is_crowded: bool,
}

impl Hosts {
    /// Finds out; all ranks call it at once.
    pub(crate) fn find(world: &SimpleCommunicator) -> Self {
        let rank = count(world.rank());
        let n_pretended: Option<usize> =
            std::env::var(PRETENDED).ok().and_then(|n| n.trim().parse().ok());
        let host = match n_pretended {
            Some(n) if n > 0 => {
                let color = Color::with_value(rank_of(rank % n));
                world.split_by_color(color).expect("every rank has a colour")
            }
            _ => world.split_shared(world.rank()),
        };
        let mut first = rank as u64;
        host.process_at_rank(0).broadcast_into(&mut first);
        let mut of = vec![0_u64; count(world.size())];
        world.all_gather_into(&first, &mut of[..]);
        let local = (count(host.rank()), count(host.size()));
        let of: Vec<usize> =
            of.into_iter().map(|first| usize::try_from(first).unwrap_or(0)).collect();
        let before = |rank: usize| of[..rank].iter().filter(|host| **host == of[rank]).count();
        let place = (0..of.len()).map(before).collect();
        Self { place, local, bells: bells(&host), is_crowded: is_crowded(&host), of }
    }

    /// Whether these ranks can share memory with this one, `own`.
    pub(crate) fn can_share(&self, own: usize, ranks: &[usize]) -> bool {
        self.bells.is_some() && ranks.iter().all(|rank| self.of[*rank] == self.of[own])
    }

    /// Whether all ranks hear when they are sent something.
    pub(crate) fn all_hear(&self) -> bool {
        self.bells.is_some() && self.local.1 == self.of.len()
    }

    /// Wakes a rank that was sent something by this one, `own`.
    pub(crate) fn ring(&self, own: usize, to: usize) {
        if let Some(bells) = &self.bells
            && self.of[own] == self.of[to]
        {
            bells.ring(self.place[to]);
        }
    }

    /// How often this rank was rung for.
    pub(crate) fn rung(&self) -> u32 {
        self.bells.as_ref().map_or(0, |bells| bells.rung(self.local.0))
    }

    /// Sleeps for so long, or until this rank is rung for, which was done `rung` times before.
    pub(crate) fn sleep(&self, rung: u32, longest: Duration) {
        match &self.bells {
            Some(bells) => bells.sleep(self.local.0, rung, longest),
            None => thread::sleep(longest),
        }
    }

    /// Says whether a thread of this rank looks for letters by itself from now on.
    pub(crate) fn attend(&self, looks: bool) {
        match &self.bells {
            Some(bells) if looks => bells.attend(self.local.0),
            Some(bells) => bells.look_away(self.local.0),
            None => {}
        }
    }
}

/// Memory that all ranks of a host have, if each can open a file without a name that one of them has.
fn bells(host: &SimpleCommunicator) -> Option<Bells> {
    let n = count(host.size());
    let at = Bells::len(n);
    let is_first = host.rank() == 0;
    // Another process may have that number and descriptor where they count processes otherwise.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mark = now.to_ne_bytes();
    let made = is_first.then(|| SharedMemory::create(at + mark.len()).ok()).flatten();
    let mut place = [0_i64; 2];
    if let Some(memory) = &made {
        memory.write(at, &mark);
        place = [i64::from(std::process::id()), i64::from(memory.fd().as_raw_fd())];
    }
    let mut told = mark;
    host.process_at_rank(0).broadcast_into(&mut told[..]);
    host.process_at_rank(0).broadcast_into(&mut place[..]);
    let opened = || {
        let [pid, fd] = place;
        let file: File = open(u32::try_from(pid).ok()?, i32::try_from(fd).ok()?).ok()?;
        let memory = SharedMemory::open(file.into()).ok()?;
        let mut found = [0; size_of::<u128>()];
        if memory.len() < at + found.len() {
            return None;
        }
        memory.read(at, &mut found);
        (found == told).then_some(memory)
    };
    let memory = if place[0] == 0 { None } else { opened() };
    let can = u8::from(memory.is_some());
    let mut all_can = 0_u8;
    host.all_reduce_into(&can, &mut all_can, SystemOperation::min());
    memory.filter(|_| all_can == 1).map(|memory| Bells::at(memory, 0, n))
}

/// Whether a host has more ranks than cores for them. A rank may be bound to a core, so it takes all
/// of them to know.
fn is_crowded(host: &SimpleCommunicator) -> bool {
    let mut own = [0_u64; CORES];
    let mut n_own = 0;
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        for core in (0..64 * CORES).filter(|core| set.is_set(*core)) {
            own[core / 64] |= 1 << (core % 64);
            n_own += 1;
        }
    }
    let mut all = [0_u64; CORES];
    host.all_reduce_into(&own[..], &mut all[..], SystemOperation::bitwise_or());
    let n_all: u32 = all.iter().map(|word| word.count_ones()).sum();
    let mut n_cores = usize::try_from(n_all).unwrap_or(1);
    let available = thread::available_parallelism().map_or(1, usize::from);
    // Less than the cores that it may use: a quota, which holds for all of them together.
    if available < n_own {
        n_cores = n_cores.min(available);
    }
    count(host.size()) > n_cores
}
