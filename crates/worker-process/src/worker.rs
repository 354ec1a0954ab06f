//! The worker's side: taking up the role, then frames in and out.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal};

use crate::channel::{Link, LinkError, Message, Part, Received, RingMemory, wire};
use crate::guard;
use crate::handshake::{Hello, Welcome};
use crate::memory::Arena;
use crate::role::{ENTERED, Kind, Role};
use crate::sync::wait::{Bell, Idle, Spinner, poll};

/// The exit code of a worker that could not take up its role, or whose parent had gone by then.
const EXIT_NO_ROLE: i32 = 70;
/// As of any Rust program that panicked.
const EXIT_PANIC: i32 = 101;
/// The longest frame until the parent has said how long they may be.
pub(crate) const MAX_GREETING: usize = 1 << 24;

/// Returns at once, unless this process was started as a worker: then it serves, and ends with the
/// exit code that `serve` returns.
///
/// Call it in the first line of `main`, before threads are started and files are opened.
/// `identity` says what the parent and its workers have to agree on, for example which tasks they
/// know; the parent gives the same as [`PoolConfig::identity`](crate::PoolConfig::identity).
///
/// A worker has `/dev/null` as standard input. It dies with its parent, at once and whatever it is
/// doing: the kernel kills it, and a thread watches the parent, too.
pub fn serve_if_worker(identity: &[u8], serve: impl FnOnce(Worker) -> u8) {
    let role = Role::of_this_process();
    ENTERED.store(true, Ordering::Relaxed);
    let Some(role) = role else { return };
    let Ok(socket) = take_socket() else { std::process::exit(EXIT_NO_ROLE) };
    match role.kind {
        Kind::Guard => guard::run(role, socket),
        Kind::Worker => {
            let Ok(worker) = Worker::take_up(&role, socket, identity) else {
                std::process::exit(EXIT_NO_ROLE)
            };
            // The message of a panic was printed by its hook.
            let code = catch_unwind(AssertUnwindSafe(|| serve(worker)));
            std::process::exit(code.map_or(EXIT_PANIC, i32::from))
        }
    }
}

/// Takes the socket away from standard input, so that no child of this process gets it.
fn take_socket() -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(socket)
}

/// Binds the life of this process to that of its parent.
fn die_with_parent(role: &Role, socket: &OwnedFd) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let socket = socket.try_clone()?;
    let parent = rustix::process::pidfd_open(role.parent, PidfdFlags::empty());
    // The parent may have died before the line above; then this process has another by now. So the
    // descriptor is of the true parent if that is so after it was opened.
    if rustix::process::getppid() != Some(role.parent) {
        return Err(io::ErrorKind::NotConnected.into());
    }
    let parent = parent?;
    let watch = move || {
        let mut fds = [PollFd::new(&socket, PollFlags::RDHUP), PollFd::new(&parent, PollFlags::IN)];
        while poll(&mut fds, None).is_ok() {
            if fds.iter().any(|fd| !fd.revents().is_empty()) {
                // With all that this process has started, unless somebody put it elsewhere.
                let own = rustix::process::getpid();
                if rustix::process::getpgrp() == own {
                    let _ended = rustix::process::kill_process_group(own, Signal::KILL);
                }
                let _ended = rustix::process::kill_process(own, Signal::KILL);
            }
        }
    };
    std::thread::Builder::new().name("worker-watch".to_owned()).stack_size(1 << 16).spawn(watch)?;
    Ok(())
}

/// What a worker is told.
#[derive(Debug)]
pub enum Incoming {
    /// A frame, and what came along with it.
    Frame {
        /// The bytes.
        bytes: Vec<u8>,
        /// The parts, in the order in which they were sent.
        parts: Vec<Received>,
    },
    /// Come to an end; after a while the parent uses force.
    Shutdown,
    /// The deadline passed.
    Deadline,
}

/// This process as a worker: frames to and from the parent.
///
/// Frames arrive in the order in which they were sent, in both directions.
#[derive(Debug)]
pub struct Worker {
    link: Link,
    bell: Bell,
    spinner: Spinner,
    arena: Arena,
    welcome: Welcome,
}

impl Worker {
    fn take_up(role: &Role, socket: OwnedFd, identity: &[u8]) -> Result<Self, LinkError> {
        let io = |action| move |source| LinkError::Io { action, source };
        die_with_parent(role, &socket).map_err(io("watch the parent"))?;
        let mut link = Link::new(socket, MAX_GREETING);
        let hello = Hello::of_this_process(role.nonce, identity);
        link.send(wire::HELLO, &hello.encode(), &[])?;
        let message = loop {
            link.flush()?;
            if let Some(message) = link.receive()? {
                break message;
            }
            if link.ended() {
                return Err(LinkError::Gone);
            }
            let mut fds = [link.poll_fd()];
            poll(&mut fds, None).map_err(|errno| io("wait for the parent")(errno.into()))?;
        };
        let garbled = || LinkError::Garbled { what: "no welcome".to_owned() };
        let welcome = Welcome::decode(&message.bytes).ok_or_else(garbled)?;
        let mut fds = message.parts.into_iter().map(|part| match part {
            Received::Fd(fd) => Ok(fd),
            _ => Err(garbled()),
        });
        let mut fd = || fds.next().unwrap_or_else(|| Err(garbled()));
        let (rings, to_parent, own) = (fd()?, fd()?, fd()?);
        let ring_words = usize::try_from(welcome.ring_words).map_err(|_| garbled())?;
        let rings = RingMemory::open(rings, ring_words).map_err(io("map the rings"))?;
        link.set_max_frame(usize::try_from(welcome.max_frame).map_err(|_| garbled())?);
        link.open_rings(&rings, false, to_parent);
        if let Some(core) = welcome.core.and_then(|core| usize::try_from(core).ok()) {
            let mut cores = rustix::thread::CpuSet::new();
            cores.set(core);
            // A wish: without it the work is the same.
            let _placed = rustix::thread::sched_setaffinity(None, &cores);
        }
        let spinner = Spinner::new(welcome.policy, welcome.crowded, welcome.wake_cost);
        Ok(Self { link, bell: Bell { fd: own }, spinner, arena: Arena::new(), welcome })
    }

    /// The number of this worker, `0..n_workers`.
    #[must_use]
    pub fn index(&self) -> usize {
        // It was a usize in the parent, which is the same program on the same host.
        usize::try_from(self.welcome.index).unwrap_or(usize::MAX)
    }

    /// The number of workers in the pool.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        usize::try_from(self.welcome.n_workers).unwrap_or(usize::MAX)
    }

    /// How often this number was started before: 0 for the first worker of the number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.welcome.generation
    }

    /// What the parent gave to every worker: `PoolConfig::greeting`.
    #[must_use]
    pub fn greeting(&self) -> &[u8] {
        &self.welcome.greeting
    }

    /// How this worker waits.
    #[must_use]
    pub fn wait_policy(&self) -> crate::WaitPolicy {
        self.welcome.policy
    }

    /// The memory in which this worker lends pieces to its parent.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    ///
    /// [`LinkError::Gone`] when the parent is gone (this process is about to be killed then), and
    /// when what arrives makes no sense.
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<Incoming, LinkError> {
        loop {
            if let Some(message) = self.link.receive()? {
                let Message { kind, bytes, parts } = message;
                return match kind {
                    wire::USER => Ok(Incoming::Frame { bytes, parts }),
                    wire::SHUTDOWN => Ok(Incoming::Shutdown),
                    _ => Err(LinkError::Garbled { what: format!("a frame of kind {kind}") }),
                };
            }
            if self.link.ended() {
                return Err(LinkError::Gone);
            }
            self.link.rest();
            let late = || deadline.is_some_and(|at| at <= Instant::now());
            let link = &self.link;
            let idle = if late() {
                Idle::LookAround
            } else if link.awaits_socket() {
                Idle::Sleep
            } else {
                self.spinner.look(|| link.is_ready())
            };
            if idle == Idle::Ready {
                continue;
            }
            if late() {
                return Ok(Incoming::Deadline);
            }
            self.sleep(idle, deadline)?;
        }
    }

    fn sleep(&mut self, idle: Idle, deadline: Option<Instant>) -> Result<(), LinkError> {
        let asleep = idle == Idle::Sleep && self.link.fall_asleep(1);
        let until = if asleep { deadline } else { Some(Instant::now()) };
        let mut fds = [self.link.poll_fd(), self.bell.poll_fd()];
        let polled = poll(&mut fds, until);
        let [in_socket, rung] = fds.map(|fd| !fd.revents().is_empty());
        self.link.wake_up();
        self.spinner.woken();
        let action = "wait for the parent";
        polled.map_err(|errno| LinkError::Io { action, source: errno.into() })?;
        if rung {
            self.bell.reset();
        }
        if in_socket { self.link.fill() } else { Ok(()) }
    }

    /// Sends a frame; waits while the parent has no room for it. Where the parent
    /// [wants several at once](crate::Pool::set_batch) it may hear of the frame only with the next
    /// [`receive`](Self::receive) that finds nothing.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLong`] and [`LinkError::TooManyParts`], and nothing is sent;
    /// [`LinkError::Gone`] when the parent is gone.
    pub fn send(&mut self, bytes: &[u8], parts: &[Part<'_>]) -> Result<(), LinkError> {
        self.link.send(wire::USER, bytes, parts)?;
        while !self.link.flush()? {
            if !self.link.wait_for_room() {
                continue;
            }
            let mut fds = [self.link.poll_fd_out(), self.bell.poll_fd()];
            let polled = poll(&mut fds, None);
            let rung = !fds[1].revents().is_empty();
            let action = "wait for the parent";
            polled.map_err(|errno| LinkError::Io { action, source: errno.into() })?;
            if rung {
                self.bell.reset();
            }
        }
        Ok(())
    }
}
