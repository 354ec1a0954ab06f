//! Starting workers.

use std::io;
use std::ops::{Deref, Range};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::PollFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Life, Pool, PoolConfig, Seat};
use crate::channel::{Link, LinkError, Part, RingMemory, wire};
use crate::error::{Ended, StartError};
use crate::guard;
use crate::handshake::{Hello, Welcome};
use crate::memory::Arena;
use crate::output::{Collector, Output};
use crate::process::{Process, Program, start};
use crate::role::{ENTERED, ENV, Kind, PROTOCOL, Role, WorkerExe, file_id, nonce};
use crate::sync::wait::{Bell, Spinner, WaitPolicy, n_cores, poll, wake_cost};
use crate::worker::MAX_GREETING;

/// A worker that was started and has not said who it is.
struct Newborn {
    worker: usize,
    process: Unplaced,
    link: Link,
    nonce: u128,
    greeted: bool,
}

/// A process that has no place in the pool yet. If it gets none, it is gone when the error is told.
struct Unplaced(Option<Process>);

impl Deref for Unplaced {
    type Target = Process;

    fn deref(&self) -> &Process {
        self.0.as_ref().expect("it is taken only together with the whole")
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        let Some(process) = &mut self.0 else { return };
        process.kill_and_reap();
        guard::remove(process.pid());
    }
}

fn io_error<E: Into<io::Error>>(action: &'static str) -> impl Fn(E) -> StartError {
    move |source| StartError::Io { action, source: source.into() }
}

impl Pool {
    /// Starts the workers, all at once, and waits until all are ready.
    ///
    /// # Errors
    ///
    /// When a worker can not be started, ends before it is ready, is not ready within
    /// `start_timeout`, does not call [`serve_if_worker`](crate::serve_if_worker), or is another
    /// program than this. None is left running then.
    pub fn start(config: PoolConfig) -> Result<Self, StartError> {
        refuse_unentered()?;
        if config.n_workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let bell = Arc::new(Bell::new().map_err(io_error("make an event descriptor"))?);
        let collector = match &config.output {
            Output::Lines(sink) => {
                let started = Collector::start(Arc::clone(sink));
                Some(started.map_err(io_error("start a thread for the output of workers"))?)
            }
            Output::Inherit | Output::Discard => None,
        };
        let n_workers = config.n_workers;
        let mut pool = Self {
            seats: (0..n_workers).map(|_| Seat::default()).collect(),
            pending: std::collections::VecDeque::new(),
            bell,
            woken: Arc::new(AtomicBool::new(false)),
            // Replaced as soon as the workers are on their way.
            spinner: Spinner::new(config.wait, true, Duration::ZERO),
            arena: Arena::new(),
            barriers: Vec::new(),
            collector,
            turn: 0,
            n_since_look: 0,
            config,
        };
        pool.launch(0..n_workers)?;
        Ok(pool)
    }

    /// Starts the workers of some places.
    pub(super) fn launch(&mut self, workers: Range<usize>) -> Result<(), StartError> {
        let launched = self.try_launch(workers);
        if launched.is_err() {
            guard::give_up_unready();
        }
        launched
    }

    fn try_launch(&mut self, workers: Range<usize>) -> Result<(), StartError> {
        let deadline = Instant::now() + self.config.start_timeout;
        let (first, mut newborn) = (workers.start, Vec::new());
        for worker in workers {
            newborn.push(self.bear(worker)?);
        }
        // The guard after them, so that they get ready while it is started; nobody waits for it. It
        // is told of each before that is welcome, so before it may start anything itself.
        if self.config.guard {
            let begun = guard::begin(&self.config.exe);
            begun.map_err(|source| self.spawn_error(first, source))?;
        }
        // Measured now, because there is nothing else to do.
        let crowded = self.seats.len() >= n_cores();
        let cost = match self.config.wait {
            WaitPolicy::Adaptive if !crowded => wake_cost(),
            _ => Duration::from_micros(50),
        };
        self.spinner = Spinner::new(self.config.wait, crowded, cost);
        self.greet_all(&mut newborn, deadline)?;
        for child in newborn {
            self.welcome(child, crowded, cost)?;
        }
        Ok(())
    }

    fn spawn_error(&self, worker: usize, source: io::Error) -> StartError {
        let exe = self.config.exe.path();
        StartError::Spawn { worker, exe, source }
    }

    /// Starts one process.
    fn bear(&self, worker: usize) -> Result<Newborn, StartError> {
        let (flags, unix) = (SocketFlags::CLOEXEC, AddressFamily::UNIX);
        let (ours, theirs) = socketpair(unix, SocketType::STREAM, flags, None)
            .map_err(io_error("make a pair of sockets"))?;
        let socket = file_id(&theirs).map_err(io_error("look at a socket"))?;
        let (parent, nonce) = (rustix::process::getpid(), nonce());
        let role = Role { protocol: PROTOCOL, kind: Kind::Worker, parent, socket, nonce };
        let (stdout, stderr) = match (&self.collector, &self.config.output) {
            (Some(collector), _) => {
                collector.outputs(worker).map_err(io_error("make pipes for a worker's output"))?
            }
            (None, Output::Discard) => (Stdio::null(), Stdio::null()),
            (None, _) => (Stdio::inherit(), Stdio::inherit()),
        };
        let mut env = self.config.env.clone();
        env.push((ENV.into(), role.to_string().into()));
        let (exe, args) = (self.config.exe.path(), self.config.args.clone());
        let program = Program { exe, args, env, stdin: theirs, stdout, stderr };
        let process = start(program).map_err(|source| self.spawn_error(worker, source))?;
        let link = Link::new(ours, MAX_GREETING);
        Ok(Newborn { worker, process: Unplaced(Some(process)), link, nonce, greeted: false })
    }

    /// Waits until all have said who they are, and that it is right.
    fn greet_all(&self, newborn: &mut [Newborn], deadline: Instant) -> Result<(), StartError> {
        loop {
            for child in newborn.iter_mut().filter(|child| !child.greeted) {
                self.greet(child)?;
            }
            let Some(late) = newborn.iter().find(|child| !child.greeted) else { return Ok(()) };
            if Instant::now() >= deadline {
                let (worker, exe) = (late.worker, self.config.exe.path());
                let timeout = self.config.start_timeout;
                return Err(StartError::Timeout { worker, exe, timeout });
            }
            let waiting = newborn.iter().filter(|child| !child.greeted);
            let mut fds: Vec<PollFd<'_>> =
                waiting.flat_map(|child| [child.link.poll_fd(), child.process.poll_fd()]).collect();
            poll(&mut fds, Some(deadline)).map_err(io_error("wait for workers"))?;
        }
    }

    /// Takes the first frame of a worker, if it is there.
    fn greet(&self, child: &mut Newborn) -> Result<(), StartError> {
        let worker = child.worker;
        // The end first, then the frame: what was sent before the end is still read.
        let ended = child.process.0.as_mut().and_then(Process::try_reap);
        let refuse = |source| StartError::Greeting { worker, source };
        let message = match child.link.receive() {
            Ok(Some(message)) => message,
            Ok(None) => return ended.map_or(Ok(()), |ended| Err(self.ended_early(worker, ended))),
            // Not a word of ours, and then an end: the end says more.
            Err(source) => {
                return Err(ended.map_or(refuse(source), |ended| self.ended_early(worker, ended)));
            }
        };
        if message.kind == wire::NO_ENTRY {
            return Err(StartError::EntryMissing { exe: self.config.exe.path() });
        }
        let hello = Some(&message.bytes).filter(|_| message.kind == wire::HELLO);
        let hello = hello.and_then(|bytes| Hello::decode(bytes)).ok_or_else(|| {
            refuse(LinkError::Garbled { what: format!("kind {} first", message.kind) })
        })?;
        let expected = Hello::of_this_process(child.nonce, &self.config.identity);
        let same_executable = self.config.exe == WorkerExe::Current;
        if let Some((what, found, expected)) = hello.difference(&expected, same_executable) {
            return Err(StartError::Mismatch { worker, what, found, expected });
        }
        child.greeted = true;
        Ok(())
    }

    fn ended_early(&self, worker: usize, ended: Ended) -> StartError {
        StartError::EndedEarly { worker, exe: self.config.exe.path(), ended }
    }

    /// Gives a worker all that it needs, and its place.
    fn welcome(
        &mut self,
        child: Newborn,
        crowded: bool,
        wake_cost: Duration,
    ) -> Result<(), StartError> {
        let rings = RingMemory::create(self.config.ring_len).map_err(io_error("share memory"))?;
        let own_bell = Bell::new().map_err(io_error("make an event descriptor"))?;
        let worker = child.worker;
        let seat = &mut self.seats[worker];
        let welcome = Welcome {
            index: worker as u64,
            n_workers: self.config.n_workers as u64,
            generation: seat.n_starts,
            policy: self.config.wait,
            wake_cost,
            crowded,
            ring_words: rings.words() as u64,
            max_frame: self.config.max_frame as u64,
            core: self.config.pin.then(|| core_of(worker)).flatten(),
            greeting: self.config.greeting.clone(),
        };
        // Before the worker may start anything itself.
        if self.config.guard {
            guard::add(child.process.pid(), child.nonce);
        }
        let parts: [Part<'_>; 3] = [rings.map.fd(), &self.bell.fd, &own_bell.fd]
            .map(|fd| Part::Fd(std::os::fd::AsFd::as_fd(fd)));
        let mut child = child;
        match child.link.send(wire::WELCOME, &welcome.encode(), &parts) {
            // Gone by now: its end comes as an event, as at any later moment.
            Ok(()) | Err(LinkError::Gone) => {}
            Err(source) => return Err(StartError::Greeting { worker, source }),
        }
        child.link.set_max_frame(self.config.max_frame);
        child.link.open_rings(&rings, true, own_bell.fd);
        seat.n_starts += 1;
        let Newborn { mut process, link, .. } = child;
        seat.life = process.0.take().map(|process| Life { process, link, broken: false, batch: 1 });
        Ok(())
    }
}

/// Refuses to start workers from a process that was started as one and does not know it.
fn refuse_unentered() -> Result<(), StartError> {
    if ENTERED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let Some(role) = Role::of_this_process() else { return Ok(()) };
    if role.kind == Kind::Worker
        && let Ok(socket) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
    {
        // So that the parent knows at once, and not after its timeout.
        let _told = Link::new(socket, MAX_GREETING).send(wire::NO_ENTRY, &[], &[]);
    }
    Err(StartError::EntryMissing { exe: WorkerExe::Current.path() })
}

/// The core for a worker: those that this process may use, in turn.
fn core_of(worker: usize) -> Option<u64> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let cores: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    cores.get(worker % cores.len().max(1)).map(|&core| core as u64)
}
