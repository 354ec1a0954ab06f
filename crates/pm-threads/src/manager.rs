//! Runs on a rayon pool.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;

use pm_api::backend::{ChunkQueue, Finished, LocalWorker, Run, RunEnd, Running};
use pm_api::{ManagerOptions, ParallelManager, PmError, SerialManager};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::mailbox::Mailbox;

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
    shelf: Shelf,
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
        let pool = pool(n_workers)?;
        Ok(Self { n_workers, shelf: Arc::new(Mutex::new(Some(pool))) })
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
        if OURS.get() {
            // Part of a task that rayon moved to this thread; tasks scatter serially.
            return SerialManager::new().start(run);
        }
        let queue = Arc::new(ChunkQueue::new(run.schedule(), run.n_tasks(), self.n_workers)?);
        let n_workers = queue.n_workers();
        let mailbox = Arc::new(Mailbox::new(n_workers));
        let pool = if n_workers == 0 { None } else { Some(self.idle_pool()?) };
        if let Some(pool) = &pool {
            let (run, queue) = (run.clone(), Arc::clone(&queue));
            let (mailbox, ready) = (Arc::clone(&mailbox), Barrier::new(n_workers));
            // Each thread gets the worker of its own number, which no other thread can steal.
            pool.spawn_broadcast(move |thread| {
                if thread.index() < n_workers {
                    work(thread.index(), &run, &queue, &mailbox, &ready);
                }
            });
        }
        let shelf = Arc::clone(&self.shelf);
        Ok(Box::new(ThreadsRunning { run, queue, mailbox, pool, shelf }))
    }
}

/// Does the work of one worker from its start to its end.
fn work(rank: usize, run: &Run, queue: &Arc<ChunkQueue>, mailbox: &Mailbox, ready: &Barrier) {
    // A thread that waits inside a task for rayon takes up other jobs meanwhile: a worker among
    // them would sit on top of that task, and could wait for it for ever. So no task begins before
    // every worker is on its thread; a pool has one run at a time, so no other worker comes.
    ready.wait();
    let mut worker = LocalWorker::new(rank, run.clone(), Arc::clone(queue));
    let lost = catch_unwind(AssertUnwindSafe(|| {
        while worker.next().is_some_and(|chunk| mailbox.put(chunk)) {}
        let lost = worker.take_lost();
        drop(worker);
        lost
    }));
    // Only dropping what nobody wants any more can panic here, which must not end the process.
    mailbox.depart(lost.unwrap_or_default());
}

struct ThreadsRunning {
    run: Run,
    queue: Arc<ChunkQueue>,
    mailbox: Arc<Mailbox>,
    /// `None` if there was nothing to do.
    pool: Option<ThreadPool>,
    shelf: Shelf,
}

impl Running for ThreadsRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        Ok(self.mailbox.take())
    }

    fn bound(&mut self) {
        self.mailbox.limit(self.run.buffer(self.queue.n_workers()));
    }

    fn end(&mut self) -> RunEnd {
        RunEnd {
            n_workers: self.queue.n_workers(),
            not_started: self.queue.drain(),
            lost_workers: self.mailbox.take_lost(),
        }
    }
}

impl Drop for ThreadsRunning {
    fn drop(&mut self) {
        self.run.cancel_token().cancel();
        self.mailbox.close_and_wait();
        // Its threads are idle again. If a run beside this one was sooner, this pool is let go.
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.is_none() {
            *shelf = self.pool.take();
        }
    }
}
