//! One run of the program: started, watched, ended with all that it has started.

use std::env;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::outcome::MOST;
use crate::output::remark;

/// What is to be run.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    /// The end of what it printed.
    pub(super) stdout: Vec<u8>,
    /// The beginning of what it complained.
    pub(super) stderr: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Code(i32),
    Signal(i32),
    Timeout,
    Cancelled,
}

/// Names the process for which this one was started to become the program.
const PARENT: &str = "POLYCHRON_SWEEP_PARENT";

/// How long a program that is asked to end may take.
const GRACE: Duration = Duration::from_secs(1);

/// How often a program is looked after that says nothing.
const LOOK: Duration = Duration::from_millis(20);

/// Becomes the program of a sweep, if this process was started for that; else returns at once.
///
/// The way round by this program is so that the kernel ends the other one with whoever started it
/// (`PR_SET_PDEATHSIG`), which has to be said in the process itself.
pub(crate) fn become_program() {
    let Some(parent) = env::var_os(PARENT) else { return };
    let mut words = env::args_os().skip(1);
    let Some(program) = words.next() else { return };
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let is_there = rustix::process::getppid()
        .is_some_and(|pid| parent == OsString::from(pid.as_raw_nonzero().to_string()));
    if is_there {
        let error = Command::new(&program).args(words).env_remove(PARENT).exec();
        remark(format_args!("could not start {}: {error}", program.display()));
        std::process::exit(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
    }
    std::process::exit(1);
}

/// A process and all that it has started, which is ended with this.
struct Group {
    child: Child,
    pid: Pid,
    reaped: bool,
}

impl Group {
    fn signal(&self, signal: Signal) {
        // Its number stays its own until it is waited for.
        let _ = kill_process_group(self.pid, signal);
    }

    fn end(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a program to its end, to the end of its time, or until it is not wanted any more.
///
/// Whatever it has started is ended with it, unless that has left its process group; and nobody waits
/// for what holds the other ends of the pipes.
pub(super) fn run(
    call: &Call,
    timeout: Option<Duration>,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    let (out, out_end) = io::pipe()?;
    let (err, err_end) = io::pipe()?;
    let mut command = Command::new(env::current_exe()?);
    command.arg(&call.program).args(&call.args);
    command.env(PARENT, std::process::id().to_string());
    command.envs(call.env.iter().map(|(name, value)| (name, value)));
    if let Some(dir) = &call.dir {
        command.current_dir(dir);
    }
    command.stdin(Stdio::null()).stdout(out_end).stderr(err_end).process_group(0);
    let child = command.spawn()?;
    // It would hold the writing ends open.
    drop(command);
    let pid = Pid::from_child(&child);
    let group = Group { child, pid, reaped: false };
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let mut out = Stream::new(out, Keep::End)?;
    let mut err = Stream::new(err, Keep::Beginning)?;

    let started = Instant::now();
    let mut given_up: Option<(How, Instant)> = None;
    loop {
        let now = Instant::now();
        match given_up {
            None if is_cancelled() => {
                group.signal(Signal::TERM);
                given_up = Some((How::Cancelled, now));
            }
            None if timeout.is_some_and(|timeout| now - started >= timeout) => {
                group.signal(Signal::TERM);
                given_up = Some((How::Timeout, now));
            }
            Some((_, since)) if now - since >= GRACE => break,
            _ => {}
        }
        let left = timeout.map_or(LOOK, |timeout| timeout.saturating_sub(started.elapsed()));
        let wait = if given_up.is_some() { LOOK } else { left.min(LOOK) };
        if wait_for(&ended, [&mut out, &mut err], wait)? {
            break;
        }
    }
    let status = group.end()?;
    // What it had printed is in the pipes; what others go on to print is not waited for.
    out.drain()?;
    err.drain()?;
    let how = match (given_up, status.code()) {
        (Some((how, _)), _) => how,
        (None, Some(code)) => How::Code(code),
        (None, None) => How::Signal(status.signal().unwrap_or_default()),
    };
    Ok(Ended { how, stdout: out.bytes, stderr: err.bytes })
}

/// Reads what there is, waits for more if there is nothing; whether the process has ended.
fn wait_for(ended: &OwnedFd, streams: [&mut Stream; 2], wait: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    let has_ended = {
        let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
        let open = streams.iter().filter(|stream| stream.is_open);
        fds.extend(open.map(|stream| PollFd::new(&stream.pipe, PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        !fds[0].revents().is_empty()
    };
    if !has_ended {
        for stream in streams {
            stream.read()?;
        }
    }
    Ok(has_ended)
}

/// Which part of a long output is kept.
#[derive(Clone, Copy)]
enum Keep {
    Beginning,
    End,
}

/// One of the pipes from the program.
struct Stream {
    pipe: PipeReader,
    keep: Keep,
    bytes: Vec<u8>,
    is_open: bool,
}

impl Stream {
    fn new(pipe: PipeReader, keep: Keep) -> io::Result<Self> {
        let flags = fcntl_getfl(pipe.as_fd())?;
        fcntl_setfl(pipe.as_fd(), flags | OFlags::NONBLOCK)?;
        Ok(Self { pipe, keep, bytes: Vec::new(), is_open: true })
    }

    /// Reads once; gives how much there was.
    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 1 << 16];
        if !self.is_open {
            return Ok(0);
        }
        match self.pipe.read(&mut buffer) {
            Ok(0) => {
                self.is_open = false;
                Ok(0)
            }
            Ok(n) => {
                self.take(&buffer[..n]);
                Ok(n)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.keep {
            Keep::Beginning => {
                let room = MOST.saturating_sub(self.bytes.len());
                self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Keep::End => {
                self.bytes.extend_from_slice(bytes);
                if self.bytes.len() > 2 * MOST {
                    self.bytes.drain(..self.bytes.len() - MOST);
                }
            }
        }
    }

    /// Reads what the pipe holds; no more than a pipe can hold, should somebody go on to write.
    fn drain(&mut self) -> io::Result<()> {
        let mut n_read = 0;
        while n_read < MOST {
            match self.read()? {
                0 => return Ok(()),
                n => n_read += n,
            }
        }
        Ok(())
    }
}
