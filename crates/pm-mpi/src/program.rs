//! How a program becomes one of many ranks.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pm_api::CancelToken;

use crate::mail::{About, Body, Letter, Port};
use crate::team::Team;
use crate::worker::{self, Job};
use crate::world::{World, world};
use crate::{MpiError, MpiPeers};

/// This process as a rank of an MPI job.
#[derive(Debug, Clone, Copy)]
pub struct Mpi {
    world: &'static World,
}

/// Begins MPI in a program that runs on every rank; the first line of its `main`, but may be called
/// again. MPI ends with the process.
///
/// A process that ends with a status other than 0, by a panic for example, or in the middle of a
/// run, ends the whole job with that status. One that ends with 0 waits for the others to end too.
///
/// # Errors
///
/// [`MpiError`]; [`MpiError::ForeignLauncher`] if the program was started by the launcher of another
/// MPI, which would make it so many programs that know nothing of each other.
pub fn init() -> Result<Mpi, MpiError> {
    Ok(Mpi { world: world()? })
}

/// Begins MPI in a program that runs on rank 0 alone: there it returns, and on the other ranks it
/// serves the runs of rank 0, and ends the process with it. The first line of `main`.
///
/// # Errors
///
/// As [`init`].
pub fn enter() -> Result<Mpi, MpiError> {
    let mpi = init()?;
    mpi.world.serve();
    if mpi.world.rank > 0 {
        serve(mpi.world);
        process::exit(0);
    }
    Ok(mpi)
}

/// The MPI that this program is built with: `Open MPI 4.1.4`, `MPICH 4.0.2`. It is known before MPI
/// is begun.
#[must_use]
pub fn library() -> String {
    crate::world::library()
}

impl Mpi {
    /// The number of this process, `0..size`.
    #[must_use]
    #[doc(alias = "get_rank")]
    pub fn rank(&self) -> usize {
        self.world.rank
    }

    /// How many processes the job has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.world.size
    }

    /// Whether this is rank 0, which prints and writes what is needed once.
    #[must_use]
    #[doc(alias = "is_root_process")]
    pub fn is_root(&self) -> bool {
        self.world.rank == 0
    }

    /// The number of this process among those of its host; for one that has `n` GPUs,
    /// `local_rank() % n` is the one to take.
    #[must_use]
    pub fn local_rank(&self) -> usize {
        self.world.hosts.local.0
    }

    /// How many processes of the job are on this host.
    #[must_use]
    pub fn local_size(&self) -> usize {
        self.world.hosts.local.1
    }

    /// The MPI that the program is built with: `Open MPI 4.1.4`, `MPICH 4.0.2`.
    #[must_use]
    pub fn library(&self) -> &str {
        &self.world.library
    }

    /// A new group of all ranks, for a program that runs on every one ([`init`]). All ranks make
    /// their groups in the same order.
    #[must_use]
    pub fn peers(&self) -> MpiPeers {
        /// Tells groups of all ranks from parts of such.
        const OF_ALL: u64 = 1 << 63;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let group = OF_ALL | NEXT.fetch_add(1, Ordering::Relaxed);
        let members = (0..self.world.size).collect();
        let team = Arc::new(Team::new(self.world, group, members));
        MpiPeers::new(&team, About { group, run: 0 }, self.world.size, None)
    }
}

/// Serves runs until rank 0 has come to its end.
fn serve(world: &'static World) {
    let team = Arc::new(Team::all(world));
    let inbox = world.inbox(About::RANKS, Port::Server);
    let mut threads = Vec::new();
    loop {
        let letter = world.wait(&inbox, None, |letters| letters.pop_front());
        let Some(Letter { body, payload: args, .. }) = letter else { continue };
        match body {
            Body::Begin { run, task, n_workers, seed } => {
                let cancel = CancelToken::new();
                if world.with_boxes(|boxes| boxes.open(run, Some(&cancel))) {
                    cancel.cancel();
                }
                let team = Arc::clone(&team);
                let job = Job { team, run, task, args, n_workers, seed, cancel, own: None };
                threads.retain(|thread: &std::thread::JoinHandle<()>| !thread.is_finished());
                match worker::start(job) {
                    Ok(thread) => threads.push(thread),
                    // The run cannot go on, and rank 0 waits for it.
                    Err(_) => process::exit(1),
                }
            }
            Body::Quit => break,
            _ => {}
        }
    }
    for thread in threads {
        // A panic, which would be this crate's own, was printed by its hook.
        let _ended = thread.join();
    }
}
