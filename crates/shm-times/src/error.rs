//! What can go wrong with a session.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a session cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The directory cannot be opened.
    #[error("could not open the session directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said; `NotADirectory` for a link, too.
        #[source]
        source: io::Error,
    },
    /// The directory belongs to somebody else, so what is in it cannot be trusted.
    #[error("the session directory {} belongs to user {owner}, not to user {user}", path.display())]
    NotOwned {
        /// The directory.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
        /// The number of the user that this process acts for.
        user: u32,
    },
    /// Others may write in the directory, so what is in it cannot be trusted.
    #[error("others may write in the session directory {} (its mode is {mode:o})", path.display())]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The program has more rights than the user who started it, so it does not trust the variable.
    #[error("a program with changed privileges does not use {}", crate::SESSION_VARIABLE)]
    Privileged,
    /// The directory is on a disk, where a mapped write may stall for as long as the disk does.
    #[error("the session directory {} is not in memory (tmpfs)", path.display())]
    OnDisk {
        /// The directory.
        path: PathBuf,
    },
    /// No place for a session was found: `tried` says what was wrong with each.
    #[error("found no directory in memory (tmpfs) for a session; tried {tried}")]
    NoPlace {
        /// The directories and what was wrong with each.
        tried: String,
    },
    /// A file or directory of the session could not be dealt with.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process held the session's lock for too long.
    #[error("the lock of the session {} was not free within {seconds} s", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// How long was waited, in s.
        seconds: u64,
    },
}
