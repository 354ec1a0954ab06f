//! Why MPI could not be used.

use thiserror::Error;

use crate::launch::Launcher;

/// Why MPI could not be begun.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MpiError {
    /// The program was built with another MPI than that which started it, so that every process
    /// takes itself for the only one.
    #[error(
        "started as {n_ranks} ranks by {launcher}, but this program is built with {library}, \
         which sees one rank: start it by the launcher of {library}, or build it with the other MPI"
    )]
    ForeignLauncher {
        /// What started the program.
        launcher: Launcher,
        /// How many ranks that says there are.
        n_ranks: usize,
        /// The MPI that the program is built with.
        library: String,
    },
    /// The MPI library does not let several threads call it.
    #[error(
        "{library} gives no support for threads (it offers {offered}, not MPI_THREAD_MULTIPLE)"
    )]
    Threads {
        /// The MPI that the program is built with.
        library: String,
        /// What it offers.
        offered: String,
    },
    /// Somebody else has initialised MPI in this process.
    #[error("MPI was initialised in this process before, not by pm-mpi")]
    NotOurs,
    /// The ranks do not run the same program.
    #[error("rank {rank} does not run the same program as rank 0, or another build of it")]
    OtherProgram {
        /// The first rank that is different.
        rank: usize,
    },
    /// The tasks of this program are not what they should be.
    #[error("{0}")]
    Tasks(String),
    /// The ranks serve rank 0, which alone has managers, of all of them.
    #[error("the ranks of this job serve rank 0, and a part of them has no manager of its own")]
    Served,
    /// MPI cannot be begun any more, because the process is about to end.
    #[error("MPI is over in this process")]
    Over,
}
