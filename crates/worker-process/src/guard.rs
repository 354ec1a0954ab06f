//! A small process that ends what workers have left when their parent died.
//!
//! The kernel kills the workers with their parent, but not what they have started themselves: a
//! model in another language, a shell. So the parent has one more child, which computes nothing and
//! waits for the parent's end; then it kills the process groups of all workers. It is told of each
//! worker before the worker may begin.
//!
//! What has left its group (`setsid`) still has the environment variable of its worker, with a
//! number that no other worker has. The guard looks for it in all processes, after the end of the
//! parent and after that of each worker. A daemon that is to stay has to be started without it.
//!
//! Directories in memory that belong to the parent are removed at its end as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::process::{Process, Program, start};
use crate::role::{ENV, Kind, PROTOCOL, Role, WorkerExe, file_id, nonce};
use crate::sync::wait::poll;

/// The guard of this process, from the first pool on.
static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

/// What is to be removed when this process is gone, whether or not there is a guard yet. Never
/// locked before [`GUARD`].
static LEFTOVERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The groups of workers that live, and the number in the environment of each.
type Groups = BTreeMap<i32, u128>;

/// One thing that the parent says: the group, negative when the worker is gone, and the number.
type Word = [u8; 20];

fn word(group: i32, nonce: u128) -> Word {
    let mut word = [0; 20];
    word[..4].copy_from_slice(&group.to_ne_bytes());
    word[4..].copy_from_slice(&nonce.to_ne_bytes());
    word
}

/// In the place of a group: a path follows, of as many bytes as the number says, that is to be
/// removed in the end, or that is gone already.
const PATH: i32 = i32::MAX;
const NO_PATH: i32 = i32::MIN;
/// No path is longer.
const MAX_PATH: usize = 4096;

/// A word with its path.
fn path_word(group: i32, path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    [&word(group, bytes.len() as u128), bytes].concat()
}

struct Guard {
    process: Process,
    socket: UnixStream,
    groups: Groups,
}

impl Guard {
    /// Says a word. A guard that does not listen, since it was stopped or killed, is ended, and
    /// replaced when the next workers are started.
    fn say(&mut self, word: &[u8]) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Err(error) = self.socket.write_all(word) {
            let full = error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline;
            let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
            if !full || poll(&mut fds, Some(deadline)).is_err() {
                self.process.signal(Signal::KILL);
                return;
            }
        }
    }
}

/// Starts the guard unless it runs, without waiting for it.
pub(crate) fn begin(exe: &WorkerExe) -> io::Result<()> {
    let mut slot = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut groups = Groups::new();
    if let Some(guard) = &mut *slot {
        if guard.process.try_reap().is_none() {
            return Ok(());
        }
        groups = std::mem::take(&mut guard.groups);
    }
    let (ours, theirs) = UnixStream::pair()?;
    let socket = file_id(&theirs)?;
    let parent = rustix::process::getpid();
    let role = Role { protocol: PROTOCOL, kind: Kind::Guard, parent, socket, nonce: nonce() };
    let process = start(Program {
        exe: exe.path(),
        args: Vec::new(),
        env: vec![(ENV.into(), role.to_string().into())],
        stdin: theirs.into(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
    })?;
    ours.set_nonblocking(true)?;
    let guard = slot.insert(Guard { process, socket: ours, groups });
    let known: Vec<Word> = guard.groups.iter().map(|(&group, &nonce)| word(group, nonce)).collect();
    known.iter().for_each(|word| guard.say(word));
    for path in &*LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner) {
        guard.say(&path_word(PATH, path));
    }
    Ok(())
}

/// A directory that is removed with all that is in it when this process ends without having
/// dropped this: by a signal, say. The directory above it goes, too, where that is empty then.
///
/// The guard of the pools does that, so it takes one that [has one](crate::PoolConfig::guard).
#[derive(Debug)]
pub struct Leftover(PathBuf);

impl Leftover {
    /// `path` is absolute, and belongs to this process alone.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let is_long = path.as_os_str().len() > MAX_PATH;
        tell_of_path(PATH, path, |leftovers| !is_long && leftovers.insert(path.to_owned()));
        Self(path.to_owned())
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        tell_of_path(NO_PATH, &self.0, |leftovers| leftovers.remove(&self.0));
    }
}

fn tell_of_path(group: i32, path: &Path, change: impl FnOnce(&mut BTreeSet<PathBuf>) -> bool) {
    let mut slot = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let changed = change(&mut LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner));
    if changed && let Some(guard) = &mut *slot {
        guard.say(&path_word(group, path));
    }
}

/// Ends a guard that is not at work yet, and guards nobody: its program may be one that never will.
pub(crate) fn give_up_unready() {
    let mut slot = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(guard) = &mut *slot else { return };
    let mut fds = [PollFd::new(&guard.socket, PollFlags::IN)];
    let at_work = poll(&mut fds, Some(Instant::now())).is_ok() && !fds[0].revents().is_empty();
    if !at_work && guard.groups.is_empty() {
        guard.process.kill_and_reap();
        *slot = None;
    }
}

/// Tells the guard of a worker.
pub(crate) fn add(worker: Pid, nonce: u128) {
    tell(|groups| {
        let group = worker.as_raw_nonzero().get();
        groups.insert(group, nonce);
        Some(word(group, nonce))
    });
}

/// Tells the guard that a worker is gone, with its group.
pub(crate) fn remove(worker: Pid) {
    tell(|groups| {
        let group = worker.as_raw_nonzero().get();
        groups.remove(&group).map(|nonce| word(-group, nonce))
    });
}

fn tell(change: impl FnOnce(&mut Groups) -> Option<Word>) {
    let mut slot = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guard) = &mut *slot
        && let Some(word) = change(&mut guard.groups)
    {
        guard.say(&word);
    }
}

/// The guard itself: ends with its parent, and the workers' groups with it.
///
/// The parent does not wait for this process: what it has said before this begins is in the socket,
/// also when the parent is gone by then.
pub(crate) fn run(role: Role, socket: OwnedFd) -> ! {
    let mut socket = UnixStream::from(socket);
    let (mut groups, mut paths) = (Groups::new(), BTreeSet::new());
    let _unheard = socket.write_all(&[1]);
    let parent = rustix::process::pidfd_open(role.parent, PidfdFlags::empty()).ok();
    // With another parent by now, the descriptor may be of another process.
    let parent = parent.filter(|_| rustix::process::getppid() == Some(role.parent));
    while let Some(parent) = &parent {
        let flags = PollFlags::IN;
        let mut fds = [PollFd::new(&socket, flags), PollFd::new(parent, flags)];
        let polled = poll(&mut fds, None);
        let gone = polled.is_err() || !fds[1].revents().is_empty();
        let (ended, removed) = take_words(&mut socket, &mut groups, &mut paths);
        sweep(&removed);
        if ended || gone {
            break;
        }
    }
    // What was said before the end counts.
    let (_, mut nonces) = take_words(&mut socket, &mut groups, &mut paths);
    for (group, nonce) in groups {
        if let Some(group) = Pid::from_raw(group) {
            let _none = rustix::process::kill_process_group(group, Signal::KILL);
        }
        nonces.push(nonce);
    }
    sweep(&nonces);
    paths.iter().for_each(|path| remove_all(path));
    std::process::exit(0)
}

/// Removes a directory of the parent's, in which somebody who was killed may just have made a file.
fn remove_all(path: &Path) {
    for _ in 0..16 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            _ => break,
        }
    }
    // It has others in it more often than not.
    let _not_empty = path.parent().map(std::fs::remove_dir);
}

/// Takes a path that follows a word.
fn take_path(socket: &mut UnixStream, length: u128) -> Option<PathBuf> {
    let length = usize::try_from(length).ok().filter(|&length| length <= MAX_PATH)?;
    let (mut bytes, mut n_read) = (vec![0; length], 0);
    let deadline = Instant::now() + Duration::from_secs(1);
    while n_read < length {
        match socket.read(&mut bytes[n_read..]) {
            Ok(0) => return None,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(deadline)).ok()?;
                if Instant::now() >= deadline {
                    return None;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}

/// Takes what the parent has said: whether it will say no more, and the numbers of workers that are
/// gone.
fn take_words(
    socket: &mut UnixStream,
    groups: &mut Groups,
    paths: &mut BTreeSet<PathBuf>,
) -> (bool, Vec<u128>) {
    let mut removed = Vec::new();
    if socket.set_nonblocking(true).is_err() {
        return (true, removed);
    }
    loop {
        // Words are written whole, and fit into the socket whole.
        let mut word: Word = [0; 20];
        match socket.read(&mut word) {
            Ok(20) => {
                let (group, nonce) = word.split_at(4);
                let group = group.try_into().map_or(0, i32::from_ne_bytes);
                let nonce = nonce.try_into().map_or(0, u128::from_ne_bytes);
                if matches!(group, PATH | NO_PATH) {
                    let Some(path) = take_path(socket, nonce) else { return (true, removed) };
                    if group == PATH {
                        paths.insert(path);
                    } else {
                        paths.remove(&path);
                    }
                } else if group > 0 {
                    groups.insert(group, nonce);
                } else if groups.remove(&-group).is_some() {
                    removed.push(nonce);
                }
            }
            Ok(_) => return (true, removed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (false, removed),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (true, removed),
        }
    }
}

/// Kills every process with one of these numbers in its environment, until there is none.
fn sweep(nonces: &[u128]) {
    // Who is killed may have started another just before; a second look finds that one.
    for _ in 0..if nonces.is_empty() { 0 } else { 100 } {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let n_killed = numbers.filter(|&number| kill_marked(number, nonces)).count();
        if n_killed == 0 {
            return;
        }
    }
}

/// Kills a process that has one of the numbers; whether it had.
fn kill_marked(number: i32, nonces: &[u128]) -> bool {
    let Some(pid) = Pid::from_raw(number).filter(|&pid| pid != rustix::process::getpid()) else {
        return false;
    };
    // The descriptor first, so that it is the process that is looked at which is killed.
    let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    let Ok(environment) = std::fs::read(format!("/proc/{number}/environ")) else { return false };
    let value = |one: &[u8]| {
        let text = one.strip_prefix(ENV.as_bytes())?.strip_prefix(b"=")?;
        Role::parse(std::str::from_utf8(text).ok()?)
    };
    let role = environment.split(|&byte| byte == 0).find_map(value);
    role.is_some_and(|role| role.kind == Kind::Worker && nonces.contains(&role.nonce))
        && rustix::process::pidfd_send_signal(&process, Signal::KILL).is_ok()
}
