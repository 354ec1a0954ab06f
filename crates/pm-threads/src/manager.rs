//! Runs on a rayon pool.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pm_api::backend::{ChunkQueue, Fault, Finished, LocalWorker, Run, RunEnd, Running, Verdict};
use pm_api::{
    LostWorker, ManagerOptions, ParallelManager, Peers, PmError, Schedule, SerialManager,
    SerialPeers,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::mailbox::{Mailbox, Taken};
use crate::{ThreadGroup, WaitPolicy};

/// How long a task whose time is over may go on before it is left alone; one that asks whether to
/// stop ends by itself in this time.
const GRACE: Duration = Duration::from_millis(100);

thread_local! {
    /// Whether this thread is one of a manager's.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Spreads tasks over threads of this process.
///
/// It keeps a rayon pool from run to run. A run that starts while another one of the same manager
/// is under way gets a pool of its own, so that neither waits for the other.
///
/// ```
/// use pm_api::{ManagerOptions, ManagerRegistry};
/// use pm_threads::ThreadsManager;
///
/// let registry = ManagerRegistry::new().with(ThreadsManager::NAME, ThreadsManager::create);
/// let manager = registry.create("threads", &ManagerOptions::default().n_workers(3))?;
/// assert_eq!(manager.n_workers(), 3);
/// # Ok::<(), pm_api::PmError>(())
/// ```
#[derive(Debug)]
pub struct ThreadsManager {
    n_workers: usize,
    options: ThreadsOptions,
    shelf: Shelf,
}

/// How the workers of a [`ThreadsManager`] go about their work.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ThreadsOptions {
    /// How the members of a run's group wait for each other; adaptive.
    pub wait: WaitPolicy,
}

impl ThreadsOptions {
    /// Sets how members wait for each other.
    #[must_use]
    pub fn wait(self, wait: WaitPolicy) -> Self {
        Self { wait }
    }
}

/// Where the pool is while no run has it.
type Shelf = Arc<Mutex<Option<ThreadPool>>>;

impl ThreadsManager {
    /// The name of this manager.
    pub const NAME: &'static str = "threads";

    /// Makes a manager of `n_workers` threads, and starts these.
    ///
    /// # Errors
    ///
    /// [`PmError::NoWorkers`] for 0, [`PmError::Start`] if the system gives no more threads.
    pub fn new(n_workers: usize) -> Result<Self, PmError> {
        Self::with_options(n_workers, ThreadsOptions::default())
    }

    /// As [`new`](Self::new), with other options than the usual ones.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_options(n_workers: usize, options: ThreadsOptions) -> Result<Self, PmError> {
        let pool = pool(n_workers)?;
        Ok(Self { n_workers, options, shelf: Arc::new(Mutex::new(Some(pool))) })
    }

    /// Makes a manager of as many threads as this process may use CPUs.
    ///
    /// # Errors
    ///
    /// [`PmError::Start`] if the system gives no more threads.
    pub fn available() -> Result<Self, PmError> {
        // Where the system cannot tell, one thread is the answer that is never wrong.
        Self::new(thread::available_parallelism().map_or(1, usize::from))
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

    fn idle_pool(&self) -> Result<ThreadPool, PmError> {
        let idle = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.map_or_else(|| pool(self.n_workers), Ok)
    }
}

/// Makes a manager of `n_workers` threads; short for [`ThreadsManager::new`].
///
/// ```
/// # use pm_api::{Spmd, TaskError, Worker};
/// # struct Ranks;
/// # impl Spmd for Ranks {
/// #     const NAME: &'static str = "docs::ranks";
/// #     type Args = ();
/// #     type Output = usize;
/// #     fn run(_: &(), worker: &Worker<'_>) -> Result<usize, TaskError> { Ok(worker.rank()) }
/// # }
/// use pm_api::Scatter as _;
///
/// assert_eq!(pm_threads::threads(4)?.run::<Ranks>(())?, [0, 1, 2, 3]);
/// # Ok::<(), pm_api::PmError>(())
/// ```
///
/// # Errors
///
/// As [`ThreadsManager::new`].
pub fn threads(n_workers: usize) -> Result<ThreadsManager, PmError> {
    ThreadsManager::new(n_workers)
}

fn pool(n_threads: usize) -> Result<ThreadPool, PmError> {
    let manager = ThreadsManager::NAME;
    let start = |source| PmError::Start { manager, n_workers: n_threads, source };
    if n_threads == 0 {
        return Err(PmError::NoWorkers { manager });
    }
    // rayon would quietly make fewer.
    let most = rayon::max_num_threads();
    if n_threads > most {
        return Err(start(format!("a pool has at most {most} threads").into()));
    }
    ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|rank| format!("pm-threads-{rank}"))
        .start_handler(|_| OURS.set(true))
        .build()
        .map_err(|e| start(e.into()))
}

impl ParallelManager for ThreadsManager {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn n_workers(&self) -> usize {
        self.n_workers
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        if OURS.get() && run.schedule() != &Schedule::EachWorker {
            // Part of a task that rayon moved to this thread; tasks scatter serially.
            return SerialManager::new().start(run);
        }
        let queue = Arc::new(ChunkQueue::new(&run, self.n_workers)?);
        let n_workers = queue.n_workers();
        let mailbox = Arc::new(Mailbox::new(n_workers));
        let group = ThreadGroup::new(n_workers.max(1), self.options.wait, run.cancel_token());
        let team = Team { run, queue, mailbox, group };
        // Whoever watches is told here, before the workers begin.
        let _ = team.run.watch(n_workers);
        let pool = if n_workers == 0 { None } else { Some(self.idle_pool()?) };
        if let Some(pool) = &pool {
            let (team, ready) = (team.clone(), Barrier::new(n_workers));
            // Each thread gets the worker of its own number, which no other thread can steal.
            pool.spawn_broadcast(move |thread| {
                if thread.index() < n_workers {
                    // A thread that waits inside a task for rayon takes up other jobs meanwhile: a
                    // worker among them would sit on top of that task, and could wait for it for
                    // ever. So no task begins before every worker is on its thread; a pool has one
                    // run at a time, so no other worker comes.
                    let worker = team.worker(thread.index());
                    ready.wait();
                    team.work(worker);
                }
            });
        }
        let shelf = Arc::clone(&self.shelf);
        Ok(Box::new(ThreadsRunning { team, pool, shelf, left_alone: Vec::new() }))
    }
}

/// What the workers of a run share.
#[derive(Clone)]
struct Team {
    run: Run,
    queue: Arc<ChunkQueue>,
    mailbox: Arc<Mailbox>,
    group: ThreadGroup,
}

impl Team {
    /// Makes worker `rank`, on its thread.
    fn worker(&self, rank: usize) -> LocalWorker {
        let peers: Box<dyn Peers> = if self.queue.n_workers() == 1 {
            Box::new(SerialPeers::new())
        } else {
            Box::new(self.group.member(rank))
        };
        LocalWorker::new(rank, self.run.clone(), Arc::clone(&self.queue), peers)
    }

    /// Does the work of one worker to its end.
    fn work(&self, mut worker: LocalWorker) {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while worker.next().is_some_and(|chunk| self.mailbox.put(chunk)) {}
            let ended = (worker.take_lost(), worker.is_abandoned());
            drop(worker);
            ended
        }));
        // Only dropping what nobody wants any more can panic here, which must not end the process.
        let (lost, abandoned) = ended.unwrap_or_default();
        // One that was left alone was counted out when that was done.
        if !abandoned {
            self.mailbox.depart(lost);
        }
    }
}

struct ThreadsRunning {
    team: Team,
    /// `None` if there was nothing to do.
    pool: Option<ThreadPool>,
    shelf: Shelf,
    /// Workers whose task took too long and did not end, and is still at work for nobody.
    left_alone: Vec<LostWorker>,
}

impl ThreadsRunning {
    /// Until when to wait before looking whether a worker has to be left alone.
    fn wake_at(&self) -> Option<Instant> {
        let Team { run, queue, .. } = &self.team;
        let timeout = run.timeout()?;
        // A chunk that is begun from now on has that long at least.
        let first = Instant::now().checked_add(timeout);
        let next = queue.next_deadline().map(|(_, _, deadline)| deadline);
        first.into_iter().chain(next).min()?.checked_add(GRACE)
    }

    /// Takes a chunk from a worker whose time for it was over long ago, if there is one.
    fn leave_alone(&mut self) -> Option<(usize, Verdict)> {
        let Team { queue, group, .. } = &self.team;
        let (rank, ticket, deadline) = queue.next_deadline()?;
        if Instant::now() < deadline + GRACE {
            return None;
        }
        let limit = queue.limit(ticket.indices().len())?;
        let fault = Fault::timeout(limit);
        let verdict = queue.abandon(ticket, fault.clone(), limit + GRACE);
        if matches!(verdict, Verdict::Abandoned) {
            // It came to its end just now.
            return None;
        }
        group.leave(rank, fault.message());
        self.left_alone.push(LostWorker::new(rank, fault));
        Some((rank, verdict))
    }

    /// Puts another worker on a thread of its own in the place of one that was left alone.
    fn replace(&self, rank: usize) -> Result<(), PmError> {
        let (pool, team) = (pool(1)?, self.team.clone());
        pool.spawn(move || team.work(team.worker(rank)));
        // The thread ends with its work.
        drop(pool);
        Ok(())
    }
}

impl Running for ThreadsRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        loop {
            match self.team.mailbox.take(self.wake_at()) {
                Taken::Chunk(finished) => return Ok(Some(finished)),
                Taken::Over => return Ok(None),
                Taken::Late => {}
            }
            if let Some((rank, verdict)) = self.leave_alone() {
                self.replace(rank)?;
                if let Verdict::Report(finished) = verdict {
                    return Ok(Some(finished));
                }
            }
        }
    }

    fn bound(&mut self) {
        self.team.mailbox.limit(self.team.run.buffer(self.team.queue.n_workers()));
    }

    fn whole(&mut self) {
        self.team.mailbox.wait_for_all();
    }

    fn end(&mut self) -> RunEnd {
        let mut lost_workers = self.team.mailbox.take_lost();
        lost_workers.extend(self.left_alone.iter().cloned());
        lost_workers.sort_by_key(|worker| worker.rank);
        RunEnd {
            n_workers: self.team.queue.n_workers(),
            not_started: self.team.queue.drain(),
            lost_workers,
        }
    }

    fn close(&mut self) {
        self.team.run.cancel_token().cancel();
        self.team.mailbox.close();
        loop {
            match self.team.mailbox.take(self.wake_at()) {
                Taken::Chunk(_) => {}
                Taken::Over => break,
                Taken::Late => {
                    if self.leave_alone().is_some() {
                        self.team.mailbox.depart(None);
                    }
                }
            }
        }
        if !self.left_alone.is_empty() {
            // A thread of it is still at work, so it is let go, and ends when that does.
            self.pool = None;
        }
        // Its threads are idle again. If a run beside this one was sooner, this pool is let go.
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.is_none() {
            *shelf = self.pool.take();
        }
    }
}
