//! The manager: keeps the workers from run to run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pm_api::backend::{
    ChunkQueue, Fault, Finished, Run, RunEnd, Running, by_reference, catch_panic, tasks,
};
use pm_api::{
    FailureKind, ManagerOptions, OnCancel, ParallelManager, PmError, Schedule, SerialManager,
};
use worker_process::{Frozen, Group, Output, Pool, PoolConfig, StartError, WaitPolicy, WorkerExe};

use crate::handle::{Args, Handle, Job};
use crate::mailbox::Mailbox;
use crate::times::{self, SharedTimes};
use crate::wire::INLINE;
use crate::worker::{self, OWNED, OWNER};

/// How workers are started, kept and ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessesOptions {
    /// Which program the workers run; this one. Another has to call
    /// [`worker_entry`](pm_api::worker_entry) first and to know the same tasks.
    pub exe: WorkerExe,
    /// Within which time workers have to be ready; 30 s.
    pub start_timeout: Duration,
    /// For how long a task whose run was cancelled, or whose time is over, may go on before it is
    /// killed; 700 ms.
    pub grace: Duration,
    /// How long workers without a run are kept; 5 min.
    pub idle: Duration,
    /// Where the output of workers goes; by whole lines to the outputs of this process.
    pub output: Output,
    /// How both sides wait for each other, and the members of a group for each other; adaptive.
    pub wait: WaitPolicy,
    /// Whether each worker is bound to a core of its own; no.
    pub pin: bool,
    /// Whether workers keep what memory they have freed, up to 256 MiB each, for their next tasks;
    /// yes. New pages cost more than the bytes that are copied to them. It is said to the C library
    /// by `GLIBC_TUNABLES` in their environment, which what they start inherits, and not if this
    /// program has that variable already.
    pub keep_memory: bool,
}

/// Lets the C library take and keep long pieces of memory as it does short ones. Others than that of
/// GNU ignore it.
const KEEP: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=268435456");

impl Default for ProcessesOptions {
    fn default() -> Self {
        Self {
            exe: WorkerExe::Current,
            start_timeout: Duration::from_secs(30),
            grace: Duration::from_millis(700),
            idle: Duration::from_secs(300),
            output: Output::forward(),
            wait: WaitPolicy::Adaptive,
            pin: false,
            keep_memory: true,
        }
    }
}

impl ProcessesOptions {
    /// Lets the workers run another program.
    #[must_use]
    pub fn exe(self, exe: WorkerExe) -> Self {
        Self { exe, ..self }
    }

    /// Sets within which time workers have to be ready.
    #[must_use]
    pub fn start_timeout(self, start_timeout: Duration) -> Self {
        Self { start_timeout, ..self }
    }

    /// Sets for how long a task that is to stop may go on.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Sets how long workers without a run are kept.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Sets where the output of workers goes.
    #[must_use]
    pub fn output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// Sets how both sides, and the members of a group, wait for each other.
    #[must_use]
    pub fn wait(self, wait: WaitPolicy) -> Self {
        Self { wait, ..self }
    }

    /// Sets whether workers keep memory that they have freed.
    #[must_use]
    pub fn keep_memory(self, keep_memory: bool) -> Self {
        Self { keep_memory, ..self }
    }

    /// Binds each worker to a core of its own.
    #[must_use]
    pub fn pin(self) -> Self {
        Self { pin: true, ..self }
    }
}

/// Spreads tasks over worker processes.
///
/// The processes are started by the first run that has something to do, as many as it can use, and
/// are kept for the next. A run that starts while another one of the same manager is under way gets
/// processes of its own. All of them are gone when the manager and its runs are.
///
/// A run is driven by a thread of the manager, so that it goes on whatever its caller does.
///
/// ```
/// use pm_api::{ManagerOptions, ManagerRegistry};
/// use pm_proc::ProcessesManager;
///
/// let registry = ManagerRegistry::new().with(ProcessesManager::NAME, ProcessesManager::create);
/// let manager = registry.create("MultiProcessing", &ManagerOptions::default().n_workers(3))?;
/// assert_eq!((manager.name(), manager.n_workers()), ("processes", 3));
/// # Ok::<(), pm_api::PmError>(())
/// ```
#[doc(alias = "MultiprocessingParallelManager")]
#[doc(alias = "ConcurrentFuturesParallelManager")]
#[derive(Debug)]
pub struct ProcessesManager {
    n_workers: usize,
    options: ProcessesOptions,
    shelf: Shelf,
}

/// Where the workers are while no run has them.
type Shelf = Arc<Mutex<Option<Handle>>>;

/// Makes a manager of `n_workers` processes; short for [`ProcessesManager::new`].
///
/// ```no_run
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
/// pm_api::register_spmd!(Ranks);
///
/// # fn main() -> Result<(), pm_api::PmError> {
/// pm_api::worker_entry()?;
/// assert_eq!(pm_proc::processes(4)?.run::<Ranks>(())?, [0, 1, 2, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`ProcessesManager::new`].
pub fn processes(n_workers: usize) -> Result<ProcessesManager, PmError> {
    ProcessesManager::new(n_workers)
}

impl ProcessesManager {
    /// The name of this manager.
    pub const NAME: &'static str = "processes";

    /// Makes a manager of `n_workers` processes; they are started when they are needed.
    ///
    /// # Errors
    ///
    /// [`PmError::NoWorkers`] for 0.
    pub fn new(n_workers: usize) -> Result<Self, PmError> {
        Self::with_options(n_workers, ProcessesOptions::default())
    }

    /// As [`new`](Self::new), with other options than the usual ones.
    ///
    /// # Errors
    ///
    /// [`PmError::NoWorkers`] for 0.
    pub fn with_options(n_workers: usize, options: ProcessesOptions) -> Result<Self, PmError> {
        if n_workers == 0 {
            return Err(PmError::NoWorkers { manager: Self::NAME });
        }
        Ok(Self { n_workers, options, shelf: Shelf::default() })
    }

    /// Makes a manager of as many processes as this one may use CPUs.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn available() -> Result<Self, PmError> {
        // Where the system cannot tell, one is the answer that is never wrong.
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
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

    /// Workers that are ready, at least `n_workers`.
    fn workers(&self, n_workers: usize) -> Result<Handle, PmError> {
        let idle = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).take();
        match idle {
            Some(handle) if handle.n_workers() >= n_workers && handle.is_alive() => Ok(handle),
            // Too few, or let go by themselves.
            other => {
                drop(other);
                self.start_workers(n_workers)
            }
        }
    }

    fn start_workers(&self, n_workers: usize) -> Result<Handle, PmError> {
        let start = |source| PmError::Start { manager: Self::NAME, n_workers, source };
        let options = &self.options;
        if options.exe == WorkerExe::Current && !worker::is_entered() {
            // Its copies would run the whole program again.
            let exe = std::env::current_exe().unwrap_or_default();
            return Err(start(Box::new(StartError::EntryMissing { exe })));
        }
        let times = SharedTimes::begin();
        let shared = times.as_ref().map(SharedTimes::env);
        let keep = options.keep_memory && std::env::var_os(KEEP.0).is_none();
        let keep = keep.then(|| (KEEP.0.into(), KEEP.1.into()));
        let config = PoolConfig {
            exe: options.exe.clone(),
            env: [(OWNER.into(), OWNED.into())].into_iter().chain(shared).chain(keep).collect(),
            identity: worker::identity(tasks()?),
            greeting: times::greeting(),
            start_timeout: options.start_timeout,
            wait: options.wait,
            pin: options.pin,
            output: options.output.clone(),
            ..PoolConfig::new(n_workers)
        };
        let pool = Pool::start(config).map_err(|error| start(Box::new(error)))?;
        Handle::new(pool, times, options.grace, options.idle)
            .map_err(|error| start(Box::new(error)))
    }
}

impl ParallelManager for ProcessesManager {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn n_workers(&self) -> usize {
        self.n_workers
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        if worker::is_worker() && run.schedule() != &Schedule::EachWorker {
            // Part of a task that another thread of a worker took up; tasks scatter serially.
            return SerialManager::new().start(run);
        }
        let queue = ChunkQueue::new(&run, self.n_workers)?;
        if tasks()?.get(run.task_name()).is_none() {
            return Err(PmError::NotRegistered { task: run.task_name().to_owned() });
        }
        let n_workers = queue.n_workers();
        // Whoever watches is told here, before the workers begin.
        let _ = run.watch(n_workers);
        if n_workers == 0 || run.cancel_token().is_cancelled() {
            let not_started = queue.drain();
            return Ok(Box::new(Unneeded { failed: None, not_started, n_workers }));
        }
        let start = |source| PmError::Start { manager: Self::NAME, n_workers, source };
        let (encoded, arrays) = by_reference(|| catch_panic(|| run.encode_args()));
        let fault = match encoded {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Fault::from_error(FailureKind::Encode, error)),
            Err(panic) => Err(Fault::new(FailureKind::Encode, panic)),
        };
        let args = match fault {
            Ok(bytes) if bytes.len() <= INLINE => Args::Short(bytes),
            Ok(bytes) => {
                Args::Long(Frozen::copy_of(&bytes).map_err(|error| start(Box::new(error)))?)
            }
            Err(fault) => {
                let indices = 0..run.n_tasks();
                let (outputs, took) = (Err(fault), Duration::ZERO);
                let failed = Finished { indices, worker: None, outputs, attempts: 0, took };
                let not_started = Vec::new();
                return Ok(Box::new(Unneeded { failed: Some(failed), not_started, n_workers }));
            }
        };
        let group = (n_workers > 1).then(|| Group::create(n_workers)).transpose();
        let group = group.map_err(|error| start(Box::new(error)))?;
        let mut handle = self.workers(n_workers)?;
        let (copy, mailbox) = (run.clone(), handle.mailbox());
        let mut job = Job { run: copy, queue, mailbox, args, arrays, group };
        loop {
            let mailbox = Arc::clone(&job.mailbox);
            let waker = handle.waker();
            let on_cancel = run.cancel_token().on_cancel(move || waker.wake());
            match handle.give(job) {
                Ok(()) => {
                    let (shelf, handle) = (Arc::clone(&self.shelf), Some(handle));
                    return Ok(Box::new(ProcessesRunning {
                        handle,
                        shelf,
                        run,
                        mailbox,
                        n_workers,
                        _on_cancel: on_cancel,
                    }));
                }
                // They were let go just now, having been idle for too long.
                Err(back) => {
                    handle = self.start_workers(n_workers)?;
                    job = Job { mailbox: handle.mailbox(), ..*back };
                }
            }
        }
    }
}

struct ProcessesRunning {
    /// `None` once the run is over.
    handle: Option<Handle>,
    shelf: Shelf,
    run: Run,
    mailbox: Arc<Mailbox>,
    n_workers: usize,
    _on_cancel: OnCancel,
}

impl Running for ProcessesRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        match self.mailbox.take() {
            Some(finished) => Ok(Some(finished)),
            None => self.mailbox.take_error().map_or(Ok(None), Err),
        }
    }

    fn bound(&mut self) {
        self.mailbox.limit(self.run.buffer(self.n_workers));
    }

    fn end(&mut self) -> RunEnd {
        self.mailbox.take_end()
    }

    fn close(&mut self) {
        self.run.cancel_token().cancel();
        self.mailbox.close();
        self.mailbox.wait_until_over();
        // If a run beside this one was sooner, these workers are let go.
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = self.handle.take().filter(Handle::is_alive);
        let rest = if shelf.is_none() { std::mem::replace(&mut *shelf, handle) } else { handle };
        drop(shelf);
        drop(rest);
    }
}

/// A run that needs no worker: it has nothing to do, or nothing can be sent.
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
        // At most one chunk waits.
    }

    fn end(&mut self) -> RunEnd {
        let not_started = std::mem::take(&mut self.not_started);
        RunEnd { n_workers: self.n_workers, not_started, lost_workers: Vec::new() }
    }

    fn close(&mut self) {
        // Nobody is at work.
    }
}
