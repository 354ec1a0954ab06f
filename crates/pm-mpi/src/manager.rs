//! The manager, and runs as their caller has them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pm_api::backend::{ChunkQueue, Fault, Finished, Run, RunEnd, Running, catch_panic, tasks};
use pm_api::{
    FailureKind, LostWorker, ManagerOptions, OnCancel, ParallelManager, PmError, SerialManager,
};

use crate::driver::{Driver, Seat};
use crate::mail::{About, Body, Inbox, Letter, Port};
use crate::mailbox::Mailbox;
use crate::team::Team;
use crate::worker::{self, Job, encoded};
use crate::world::world;
use crate::{MpiError, MpiPeers};

/// Spreads tasks over the ranks of an MPI job, one worker for each.
///
/// How the ranks come to that is said by the first line of the program:
///
/// - After [`init`](crate::init) the program itself runs on every rank. All ranks make the same
///   managers and scatter the same runs in the same order, and every rank gets all results. A rank
///   that scatters something else is an error on all.
/// - After [`enter`](crate::enter) the program runs on rank 0 alone, and the other ranks serve its
///   runs, as the processes of `pm-proc` do.
///
/// Making a manager without either is as if `init` had been called.
///
/// ```no_run
/// use pm_api::{ManagerOptions, ManagerRegistry};
/// use pm_mpi::MpiManager;
///
/// # fn main() -> Result<(), pm_api::PmError> {
/// let registry = ManagerRegistry::new().with(MpiManager::NAME, MpiManager::create);
/// let manager = registry.create("MPI", &ManagerOptions::default())?;
/// assert_eq!(manager.name(), "mpi");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "MPIParallelManager")]
#[derive(Debug)]
pub struct MpiManager {
    team: Arc<Team>,
    n_workers: usize,
}

impl MpiManager {
    /// The name of this manager.
    pub const NAME: &'static str = "mpi";

    /// Makes a manager of at most `n_workers` ranks, the first ones of the job.
    ///
    /// # Errors
    ///
    /// [`PmError::NoWorkers`] for 0, [`PmError::Start`] with an [`MpiError`](crate::MpiError) if MPI
    /// cannot be begun.
    pub fn new(n_workers: usize) -> Result<Self, PmError> {
        if n_workers == 0 {
            return Err(PmError::NoWorkers { manager: Self::NAME });
        }
        let manager = Self::NAME;
        let start = |error| PmError::Start { manager, n_workers, source: Box::new(error) };
        let team = Arc::new(Team::all(world().map_err(start)?));
        let n_workers = n_workers.min(team.size());
        Ok(Self { team, n_workers })
    }

    /// Makes a manager of all ranks of the job.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn available() -> Result<Self, PmError> {
        Self::new(usize::MAX)
    }

    /// Makes a manager of the members of a group, for a program that runs on every rank
    /// ([`init`](crate::init)). All members make it, and scatter its runs in the same order as they
    /// do those of other managers of this group; who is not a member goes on with work of its own.
    ///
    /// The members are the workers, by their ranks in the group, and its first one hands out the
    /// chunks. The group may go, or its members may meet there, meanwhile.
    ///
    /// ```no_run
    /// # use pm_api::{RunOptions, Scatter as _, Task};
    /// # fn f<T: Task<Args = (), Param = u64>>() -> Result<(), Box<dyn std::error::Error>> {
    /// let mpi = pm_mpi::init()?;
    /// // The even and the odd ranks, each half with tasks of its own.
    /// let half = mpi.peers().split(mpi.rank() as u64 % 2, 0)?;
    /// let manager = pm_mpi::MpiManager::of(&half)?;
    /// let outputs = manager.scatter::<T>((), vec![1, 2, 3], &RunOptions::default())?.gather()?;
    /// # drop(outputs);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PmError::Start`] with [`MpiError::Served`] where the ranks serve rank 0.
    pub fn of(peers: &MpiPeers) -> Result<Self, PmError> {
        let (manager, n_workers) = (Self::NAME, peers.team.size());
        if peers.world.is_served() {
            return Err(PmError::Start { manager, n_workers, source: Box::new(MpiError::Served) });
        }
        Ok(Self { team: Arc::clone(&peers.team), n_workers })
    }

    /// Makes a manager as `options` say; to be given to
    /// [`ManagerRegistry::with`](pm_api::ManagerRegistry::with).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn create(options: &ManagerOptions) -> Result<Box<dyn ParallelManager>, PmError> {
        let manager = options.n_workers.map_or_else(Self::available, Self::new)?;
        Ok(Box::new(manager))
    }

    fn start_error(&self, source: io::Error) -> PmError {
        let (manager, n_workers) = (Self::NAME, self.n_workers);
        PmError::Start { manager, n_workers, source: Box::new(source) }
    }
}

impl ParallelManager for MpiManager {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn n_workers(&self) -> usize {
        self.n_workers
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        let (team, world) = (&self.team, self.team.world);
        if world.is_served() && world.rank > 0 {
            // Part of a task that another thread of a worker took up; tasks scatter serially.
            return SerialManager::new().start(run);
        }
        let queue = ChunkQueue::new(&run, self.n_workers)?;
        if tasks()?.get(run.task_name()).is_none() {
            return Err(PmError::NotRegistered { task: run.task_name().to_owned() });
        }
        let n_workers = queue.n_workers();
        let is_shared = !world.is_served() && team.size() > 1;
        if team.rank == 0 {
            // Whoever watches is told here, before the workers begin.
            let _ = run.watch(n_workers);
        }
        if n_workers == 0 || (!is_shared && run.cancel_token().is_cancelled()) {
            let not_started = queue.drain();
            return Ok(Box::new(Unneeded { failed: None, not_started, n_workers }));
        }
        let (args, arrays) = world.by_reference(|| encoded(|| run.encode_args()));
        let args = match args {
            Ok(args) => args,
            Err(fault) => {
                let (indices, outputs) = (0..run.n_tasks(), Err(fault));
                let (worker, attempts, took) = (None, 0, Duration::ZERO);
                let failed = Some(Finished { indices, worker, outputs, attempts, took });
                return Ok(Box::new(Unneeded { failed, not_started: Vec::new(), n_workers }));
            }
        };
        let token = run.cancel_token();
        let number = team.begin(|number| {
            if world.with_boxes(|boxes| boxes.open(number, Some(token))) {
                token.cancel();
            }
            if world.is_served() {
                for rank in 0..n_workers {
                    world.sweep(rank);
                    world.give(rank, &arrays);
                }
                for rank in 1..n_workers {
                    let (task, seed) = (run.task_name().to_owned(), run.seed());
                    let begin = Body::Begin { run: number, task, n_workers, seed };
                    world.post(rank, About::RANKS, Port::Server, begin, &args);
                }
            }
            number
        });
        let mut threads = Vec::new();
        if team.rank < n_workers {
            let job = Job {
                team: Arc::clone(team),
                run: number,
                task: run.task_name().to_owned(),
                args,
                n_workers,
                seed: run.seed(),
                cancel: token.clone(),
                own: Some(run.clone()),
            };
            threads.push(worker::start(job).map_err(|error| self.start_error(error))?);
        }
        let line = Line { team: Arc::clone(team), number, threads };
        if team.rank == 0 {
            self.lead(line, run, queue, is_shared)
        } else {
            Ok(Box::new(self.follow(line, run)))
        }
    }
}

impl MpiManager {
    /// Starts to hand out the chunks of a run.
    fn lead(
        &self,
        mut line: Line,
        run: Run,
        queue: ChunkQueue,
        is_shared: bool,
    ) -> Result<Box<dyn Running>, PmError> {
        let (team, number, n_workers) = (Arc::clone(&line.team), line.number, queue.n_workers());
        let inbox = team.inbox(number, Port::Driver);
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&inbox)));
        let woken = Arc::clone(&mailbox);
        let on_cancel = run.cancel_token().on_cancel(move || woken.wake_driver());
        let seats = (0..n_workers).map(|_| Seat::default()).collect();
        let (mine, buffer) = (Arc::clone(&mailbox), run.buffer(n_workers));
        let driver =
            Driver { team, number, run, queue, inbox, mailbox, is_shared, seats, lost: Vec::new() };
        let thread = thread::Builder::new().name("pm-mpi-driver".to_owned());
        let thread = thread.spawn(move || driver.drive()).map_err(|e| self.start_error(e))?;
        line.threads.push(thread);
        Ok(Box::new(Leading { line, mailbox: mine, buffer, end: None, _on_cancel: on_cancel }))
    }

    /// Tells who leads that this one has come, and hears from it what comes of the run.
    fn follow(&self, line: Line, run: Run) -> Following {
        let (team, number) = (Arc::clone(&line.team), line.number);
        let (task, n_tasks) = (run.task_name().to_owned(), run.n_tasks());
        let n_workers = self.n_workers.min(n_tasks);
        let n_workers = ChunkQueue::new(&run, self.n_workers).map_or(n_workers, |q| q.n_workers());
        team.post(0, number, Port::Driver, Body::Hello { task, n_tasks, n_workers }, &[]);
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, caller) = (Arc::clone(&is_over), Arc::clone(&team));
        let on_cancel = run.cancel_token().on_cancel(move || {
            if !seen.load(Ordering::Acquire) {
                caller.post(0, number, Port::Driver, Body::CancelAsked, &[]);
            }
        });
        let inbox = team.inbox(number, Port::Watcher);
        Following { line, run, inbox, is_over, end: RunEnd::default(), _on_cancel: on_cancel }
    }
}

/// What a run has on this rank.
struct Line {
    team: Arc<Team>,
    number: About,
    threads: Vec<JoinHandle<()>>,
}

impl Line {
    /// Waits for what is at work here.
    fn close(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic, which would be this crate's own, was printed by its hook.
            let _ended = thread.join();
        }
        self.team.world.with_boxes(|boxes| boxes.close(self.number));
    }
}

fn backend(why: String) -> PmError {
    PmError::Backend { manager: MpiManager::NAME, source: why.into() }
}

/// A run as rank 0 has it.
struct Leading {
    line: Line,
    mailbox: Arc<Mailbox>,
    buffer: usize,
    end: Option<RunEnd>,
    _on_cancel: OnCancel,
}

impl Running for Leading {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        if let Some(finished) = self.mailbox.take() {
            return Ok(Some(finished));
        }
        self.end = Some(self.mailbox.take_end().map_err(backend)?);
        Ok(None)
    }

    fn bound(&mut self) {
        self.mailbox.limit(self.buffer);
    }

    fn end(&mut self) -> RunEnd {
        self.end.take().unwrap_or_default()
    }

    fn close(&mut self) {
        self.mailbox.close();
        self.line.close();
    }
}

/// A run as the other ranks have it.
struct Following {
    line: Line,
    run: Run,
    inbox: Arc<Inbox>,
    is_over: Arc<AtomicBool>,
    end: RunEnd,
    _on_cancel: OnCancel,
}

impl Following {
    fn letter(&self) -> Letter {
        let wait = || self.line.team.world.wait(&self.inbox, None, |letters| letters.pop_front());
        loop {
            if let Some(letter) = wait() {
                return letter;
            }
        }
    }

    fn over(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Lets the worker of this rank go, to which rank 0 says nothing any more.
    fn over_without_root(&self) {
        let Line { ref team, number, .. } = self.line;
        team.post(team.rank, number, Port::Worker, Body::NoMore, &[]);
        self.over();
    }
}

impl Running for Following {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        let Letter { source, body, payload } = self.letter();
        match body {
            Body::Finished { start, end, worker, attempts, took, fault } => {
                let indices = start..end;
                let decode = || match fault {
                    Some(fault) => Ok(Err(fault)),
                    None => self.run.decode_outputs(indices.clone(), &payload).map(Ok),
                };
                let outputs = match catch_panic(decode) {
                    Ok(Ok(outputs)) => outputs,
                    Ok(Err(error)) => Err(Fault::from_error(FailureKind::Decode, error)),
                    Err(panic) => Err(Fault::new(FailureKind::Decode, panic)),
                };
                Ok(Some(Finished { indices: start..end, worker, outputs, attempts, took }))
            }
            Body::Over { n_workers, not_started, lost } => {
                self.over();
                let lost = lost.into_iter().map(|(rank, fault)| LostWorker::new(rank, fault));
                self.end = RunEnd {
                    n_workers,
                    not_started: not_started.into_iter().map(|(start, end)| start..end).collect(),
                    lost_workers: lost.collect(),
                };
                Ok(None)
            }
            Body::Broken { why } => {
                self.over();
                Err(backend(why))
            }
            Body::Bye => {
                // Who leads, or another one that has no part in the run any more.
                if source != self.line.team.members[0] {
                    return self.next();
                }
                self.over_without_root();
                Err(backend(format!("the program has ended on rank {source}")))
            }
            other => Err(backend(format!("a letter came that is none of a run's: {other:?}"))),
        }
    }

    fn bound(&mut self) {
        // Rank 0 is the one that holds the workers back.
    }

    fn end(&mut self) -> RunEnd {
        std::mem::take(&mut self.end)
    }

    fn close(&mut self) {
        while !self.is_over.load(Ordering::Acquire) {
            let Letter { source, body, .. } = self.letter();
            if source == self.line.team.members[0] && matches!(body, Body::Bye) {
                self.over_without_root();
            } else if matches!(body, Body::Over { .. } | Body::Broken { .. }) {
                self.over();
            }
        }
        self.line.close();
    }
}

/// A run that needs no worker: there are no tasks, it was cancelled, or its arguments cannot travel.
struct Unneeded {
    failed: Option<Finished>,
    not_started: Vec<std::ops::Range<usize>>,
    n_workers: usize,
}

impl Running for Unneeded {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        Ok(self.failed.take())
    }

    fn bound(&mut self) {
        // Nothing is at work.
    }

    fn end(&mut self) -> RunEnd {
        let not_started = std::mem::take(&mut self.not_started);
        RunEnd { n_workers: self.n_workers, not_started, lost_workers: Vec::new() }
    }

    fn close(&mut self) {
        // Nothing is at work.
    }
}
