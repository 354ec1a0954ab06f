//! Who a process is, and whether it lives.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// What tells this process from any other, also where pids are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot; 0 where /proc does not say.
    pub(crate) start: u64,
    /// Hash of the boot's id: FNV-1a, 64 bits.
    pub(crate) boot: u64,
    /// The pid namespace, an inode number; 0 where /proc does not say.
    pub(crate) pid_ns: u64,
}

impl Identity {
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self { pid, start: start_time(pid).unwrap_or(0), boot: boot(), pid_ns: pid_ns() }
    }
}

/// When a process started, in clock ticks since boot; `None` when there is none, or only a zombie.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

pub(crate) fn boot() -> u64 {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    fnv1a(id.trim_ascii())
}

/// A hash that every build computes alike.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(crate) fn pid_ns() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |ns| ns.ino())
}

/// Whether the process is surely gone, as far as /proc can say; the lock must be free as well.
pub(crate) fn is_gone(other: Identity, here: Identity) -> bool {
    if other.boot != here.boot {
        return true;
    }
    if other.pid_ns != here.pid_ns || other.start == 0 || here.start == 0 {
        // Its pid means nothing here, so only the lock can tell.
        return true;
    }
    start_time(other.pid) != Some(other.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_its_pid_at_another_time_does_not() {
        let here = Identity::own();
        assert!(here.start > 0 && !is_gone(here, here));
        assert!(is_gone(Identity { start: here.start + 1, ..here }, here));
        assert!(is_gone(Identity { boot: here.boot ^ 1, ..here }, here));
    }
}
