//! Child processes: started from one thread that never ends, known by a descriptor, ended as groups.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::error::Ended;
use crate::sync::wait::poll;

/// For how long the end of a process is waited for that was killed.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// A child that was not reaped yet, so that its number can not be another's.
///
/// It leads a process group of its own, in which everything that it starts is, too, unless it
/// leaves.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: Option<Ended>,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) exe: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

struct Order {
    program: Program,
    reply: Sender<io::Result<Process>>,
}

/// Starts a program.
///
/// The kernel kills a child with its parent (`PR_SET_PDEATHSIG`), but by parent it means the
/// *thread* that started it. So all are started by one thread, which lives as long as this process.
pub(crate) fn start(program: Program) -> io::Result<Process> {
    static SPAWNER: OnceLock<Mutex<Option<Sender<Order>>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(Mutex::default);
    let (reply, result) = channel();
    {
        let mut spawner = spawner.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = match &*spawner {
            Some(orders) => orders,
            None => {
                let (orders, received) = channel::<Order>();
                let serve = move || {
                    for Order { program, reply } in received {
                        // Who asked may have given up.
                        let _unheard = reply.send(spawn(program));
                    }
                };
                std::thread::Builder::new().name("worker-spawner".to_owned()).spawn(serve)?;
                spawner.insert(orders)
            }
        };
        let gone = |_| io::Error::other("the thread that starts workers is gone");
        orders.send(Order { program, reply }).map_err(gone)?;
    }
    result.recv().map_err(|_| io::Error::other("the thread that starts workers is gone"))?
}

fn spawn(program: Program) -> io::Result<Process> {
    let Program { exe, args, env, stdin, stdout, stderr } = program;
    let mut command = Command::new(exe);
    // Nothing here that makes the standard library fork instead of posix_spawn: with a large parent
    // a fork is slow, and fails where memory is not overcommitted.
    command.args(args).envs(env).process_group(0);
    // The name under which this program was called, for `ps`.
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn()?;
    let pid = Pid::from_child(&child);
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Process { pid, pidfd, reaped: None }),
        Err(error) => {
            let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
            let mut child = child;
            let _reaped = child.wait();
            Err(error.into())
        }
    }
}

impl Process {
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable once the process has ended.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.pidfd, PollFlags::IN)
    }

    /// Sends a signal to the process and to all that it started.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.reaped.is_none() {
            // The leader by its descriptor, too: whoever has just been started may not lead yet.
            let _gone = rustix::process::pidfd_send_signal(&self.pidfd, signal);
            let _none = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// How it ended, if it has. Reaps it, and kills first what is left of its group: as long as the
    /// leader is not reaped, nobody else gets the number of the group.
    pub(crate) fn try_reap(&mut self) -> Option<Ended> {
        if self.reaped.is_some() {
            return self.reaped;
        }
        let wait = |options: WaitIdOptions| loop {
            let id = WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.pidfd));
            match rustix::process::waitid(id, options | WaitIdOptions::NOHANG) {
                Err(Errno::INTR) => {}
                other => return other,
            }
        };
        let ended = match wait(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(None) => return None,
            // Somebody else has waited for it: the number may be another's by now.
            Err(_) => Ended::Unknown,
            Ok(Some(status)) => {
                let _none = rustix::process::kill_process_group(self.pid, Signal::KILL);
                let _reaped = wait(WaitIdOptions::EXITED);
                match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ended::Code(code),
                    (_, Some(signal)) => Ended::Signal(signal),
                    _ => Ended::Unknown,
                }
            }
        };
        self.reaped = Some(ended);
        self.reaped
    }
    /// Ends it now. A process that was killed is gone soon, unless the kernel itself hangs.
    pub(crate) fn kill_and_reap(&mut self) {
        self.signal(Signal::KILL);
        let deadline = Instant::now() + KILL_TIMEOUT;
        while self.try_reap().is_none() && Instant::now() < deadline {
            if poll(&mut [self.poll_fd()], Some(deadline)).is_err() {
                return;
            }
        }
    }
}
