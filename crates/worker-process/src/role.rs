//! What this process is, said by one environment variable.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rustix::process::Pid;

/// The environment variable that makes a process a worker.
///
/// Its value is `protocol:role:parent:device:inode:nonce`. The device and the inode are those of the
/// socket that the worker has as standard input, so that a program which merely inherited the
/// variable (it was started by a worker) is not taken for one.
pub const ENV: &str = "POLYCHRON_WORKER";

/// The protocol between parent and worker; both have to speak the same.
pub(crate) const PROTOCOL: u64 = 1;

/// Whether `serve_if_worker` was called in this process.
pub(crate) static ENTERED: AtomicBool = AtomicBool::new(false);

/// What a started process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It serves frames.
    Worker,
    /// It ends what workers have left when their parent died.
    Guard,
}

/// What the environment variable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) protocol: u64,
    pub(crate) kind: Kind,
    pub(crate) parent: Pid,
    pub(crate) socket: (u64, u64),
    pub(crate) nonce: u128,
}

/// The number that tells a file from all others on this host.
pub(crate) fn file_id<Fd: AsFd>(fd: Fd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A number that nobody guesses by accident.
pub(crate) fn nonce() -> u128 {
    // The standard library seeds its hash maps from the system.
    let half = || u128::from(RandomState::new().hash_one(0));
    half() << 64 | half()
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Worker => "worker",
            Kind::Guard => "guard",
        };
        let (dev, ino) = self.socket;
        let parent = self.parent.as_raw_nonzero();
        write!(f, "{}:{kind}:{parent}:{dev}:{ino}:{:x}", self.protocol, self.nonce)
    }
}

impl Role {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let mut field = || fields.next();
        let protocol = field()?.parse().ok()?;
        let kind = match field()? {
            "worker" => Kind::Worker,
            "guard" => Kind::Guard,
            _ => return None,
        };
        let parent = Pid::from_raw(field()?.parse().ok()?)?;
        let socket = (field()?.parse().ok()?, field()?.parse().ok()?);
        let nonce = u128::from_str_radix(field()?, 16).ok()?;
        field().is_none().then_some(Self { protocol, kind, parent, socket, nonce })
    }

    /// The role of this process; none when it was not started as a worker, or has taken up its role
    /// already (its standard input is another then).
    pub(crate) fn of_this_process() -> Option<Self> {
        let role = Self::parse(&std::env::var(ENV).ok()?)?;
        (file_id(rustix::stdio::stdin()).ok()? == role.socket).then_some(role)
    }
}

/// Which program the workers run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WorkerExe {
    /// This program itself, also when its file was replaced or removed meanwhile.
    #[default]
    Current,
    /// Another, which calls [`serve_if_worker`](crate::serve_if_worker) too. For tests, whose own
    /// `main` is not theirs to change.
    Path(PathBuf),
}

impl WorkerExe {
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            // Not what the link says, which may be another file by now: the link itself leads to
            // the very file that runs.
            Self::Current => PathBuf::from("/proc/self/exe"),
            Self::Path(path) => path.clone(),
        }
    }
}

/// What identifies an executable file on this host: device, inode, length.
pub(crate) fn executable_id() -> [u64; 3] {
    rustix::fs::stat("/proc/self/exe").map_or([0; 3], |stat| {
        [stat.st_dev, stat.st_ino, u64::try_from(stat.st_size).unwrap_or_default()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_survives_its_text_form() {
        for kind in [Kind::Worker, Kind::Guard] {
            let parent = Pid::from_raw(1234).unwrap();
            let role = Role { protocol: 7, kind, parent, socket: (8, u64::MAX), nonce: nonce() };
            assert_eq!(Role::parse(&role.to_string()), Some(role));
        }
    }

    #[test]
    fn other_text_is_no_role() {
        for text in ["", "1", "1:worker", "1:boss:2:3:4:5", "1:worker:0:3:4:5", "1:worker:2:3:4:x"]
        {
            assert_eq!(Role::parse(text), None, "{text}");
        }
        assert_eq!(Role::parse("1:worker:2:3:4:5:6"), None);
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
    }
}
