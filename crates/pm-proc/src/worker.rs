//! A worker process: serves one run after the other.

use std::collections::VecDeque;
use std::io::{PipeReader, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pm_api::backend::{
    Departed, FarModel, Fault, TaskEntry, Tasks, WorkerMain, WorkerWatch, run_started, tasks,
};
use pm_api::{CancelToken, FailureKind, Peers, SerialPeers};
use worker_process::{Board, Frozen, Incoming, Lent, LinkError, Part, Received, View};

use crate::group::ProcessPeers;
use crate::piece::{Piece, Seen};
use crate::shared;
use crate::wire::{Answer, Group, INLINE, Order, frame, read};

/// The environment variable that says whose worker a process is, where several backends have some.
pub(crate) const OWNER: &str = "POLYCHRON_WORKER_OF";
/// Its value for the workers of this crate.
pub(crate) const OWNED: &str = "processes";

/// Whether `pm_api::worker_entry` was called in this process.
static ENTERED: AtomicBool = AtomicBool::new(false);
static IS_WORKER: AtomicBool = AtomicBool::new(false);

inventory::submit! {
    WorkerMain::new(worker_main)
}

fn worker_main() -> Option<i32> {
    ENTERED.store(true, Ordering::Relaxed);
    if std::env::var_os(OWNER).is_some_and(|owner| owner != OWNED) {
        return None;
    }
    // Tasks of one name are an error of `worker_entry`.
    let tasks = tasks().ok()?;
    worker_process::serve_if_worker(&identity(tasks), serve);
    None
}

/// What a manager and its workers have to agree on.
pub(crate) fn identity(tasks: &Tasks) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    format!("pm-proc {version}, tasks {:016x}", tasks.fingerprint()).into_bytes()
}

/// Whether `pm_api::worker_entry` was called in this process, so that its copies will serve.
pub(crate) fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Whether this process is a worker of a [`ProcessesManager`](crate::ProcessesManager), or was
/// started to become one.
#[must_use]
pub fn is_worker() -> bool {
    IS_WORKER.load(Ordering::Relaxed) || std::env::var_os(OWNER).is_some_and(|own| own == OWNED)
}

/// What is cancelled, between the thread that listens and the one that works.
#[derive(Debug, Default)]
struct Cancelling {
    /// The run at work.
    current: Option<(u64, CancelToken)>,
    /// The last run that was cancelled; it may not have begun here.
    last: Option<u64>,
}

type Shared = Arc<Mutex<Cancelling>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Cancelling> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears which run is cancelled while the thread of the tasks is busy.
fn listen(mut pipe: PipeReader, shared: &Shared) {
    let mut run = [0; 8];
    while pipe.read_exact(&mut run).is_ok() {
        let run = u64::from_ne_bytes(run);
        let mut cancelling = lock(shared);
        cancelling.last = Some(run);
        let token = cancelling.current.as_ref().filter(|(current, _)| *current == run);
        let token = token.map(|(_, token)| token.clone());
        drop(cancelling);
        if let Some(token) = token {
            token.cancel();
        }
    }
}

fn serve(worker: worker_process::Worker) -> u8 {
    IS_WORKER.store(true, Ordering::Relaxed);
    crate::times::share(worker.greeting());
    let mut server = Server {
        worker,
        shared: Shared::default(),
        board: None,
        from_board: Vec::new(),
        run: None,
        lent: VecDeque::new(),
        n_sent: 0,
        outputs: Vec::new(),
    };
    // The parent is gone, and this process about to be killed; or the parent is mad.
    server.serve().unwrap_or(1)
}

struct Server {
    worker: worker_process::Worker,
    shared: Shared,
    /// Where there are chunks for all workers; the first order brings it.
    board: Option<Board>,
    /// The bytes of a chunk from there.
    from_board: Vec<u8>,
    run: Option<Running>,
    /// Outputs that the manager may not have read yet, with the number of their answer.
    lent: VecDeque<(u64, Lent)>,
    /// Answers with outputs in this run.
    n_sent: u64,
    /// Outputs are encoded here, over and over.
    outputs: Vec<u8>,
}

/// A run, as one worker has it.
struct Running {
    rank: usize,
    n_workers: usize,
    seed: u64,
    entry: Option<TaskEntry>,
    task: String,
    args: Args,
    cancel: CancelToken,
    peers: Box<dyn Peers>,
    model: Option<FarModel>,
    watch: Option<Box<dyn WorkerWatch>>,
    /// Whether it could not build, and takes no more.
    retired: bool,
}

enum Args {
    Own(Vec<u8>),
    Frozen(Frozen),
}

/// Encoded parameters: in the frame, or in the arena of the manager.
enum Params<'a> {
    Here(&'a [u8]),
    There(View),
}

/// So many long outputs lie in the arena at most while a worker takes chunks from the board.
const LENT: usize = 2;

/// One chunk.
struct Chunk {
    /// By which it was on the board, or 0.
    number: u64,
    start: usize,
    end: usize,
    attempt: u32,
    limit: Option<Duration>,
}

impl Server {
    fn serve(&mut self) -> Result<u8, LinkError> {
        loop {
            let (bytes, mut parts) = match self.worker.receive(None)? {
                Incoming::Frame { bytes, parts } => (bytes, parts),
                Incoming::Shutdown | Incoming::Deadline => {
                    self.end();
                    return Ok(0);
                }
            };
            let garbled = || LinkError::Garbled { what: "no order".to_owned() };
            let (order, rest): (Order<'_>, _) = read(&bytes).ok_or_else(garbled)?;
            match order {
                Order::Listen => {
                    let (Some(Received::Fd(board)), Some(Received::Fd(fd))) =
                        (parts.pop(), parts.pop())
                    else {
                        return Err(garbled());
                    };
                    let action = "map the board";
                    let board = Board::open(board);
                    self.board = Some(board.map_err(|source| LinkError::Io { action, source })?);
                    let (pipe, shared) = (PipeReader::from(fd), Arc::clone(&self.shared));
                    let thread = thread::Builder::new().name("pm-proc-cancel".to_owned());
                    let spawned = thread.stack_size(1 << 17).spawn(move || listen(pipe, &shared));
                    let action = "start a thread that hears of cancelling";
                    spawned.map_err(|source| LinkError::Io { action, source })?;
                }
                Order::Begin { run, task, rank, n_workers, seed, group } => {
                    self.end();
                    let cancel = CancelToken::new();
                    self.set_current(run, &cancel);
                    let mut parts = parts.into_iter();
                    let mut next = parts.next();
                    let args = match next {
                        Some(Received::Frozen(frozen)) => {
                            next = parts.next();
                            Args::Frozen(frozen)
                        }
                        _ => Args::Own(rest.to_vec()),
                    };
                    let peers: Box<dyn Peers> = match (group, next) {
                        (Group::Alone, _) => Box::new(SerialPeers::new()),
                        (Group::Member, Some(Received::Fd(fd))) => {
                            let action = "map the memory of a group";
                            let memory = worker_process::Group::open(fd, n_workers)
                                .map_err(|source| LinkError::Io { action, source })?;
                            Box::new(ProcessPeers::new(
                                memory,
                                rank,
                                self.worker.wait_policy(),
                                &cancel,
                            ))
                        }
                        (Group::Gone, _) => {
                            let reason = "its process was lost, and another took its place";
                            Box::new(Departed::new(rank, n_workers, reason))
                        }
                        (Group::Member, _) => return Err(garbled()),
                    };
                    let entry = tasks().ok().and_then(|tasks| tasks.get(task)).cloned();
                    let watch =
                        run_started(task, n_workers).map(|watch| watch.worker_started(rank));
                    if watch.is_some() {
                        crate::times::label(rank, n_workers);
                        crate::times::exits_apart(true);
                        self.worker.send(&frame(&Answer::Timed, &[]), &[])?;
                    }
                    let (task, model, retired) = (task.to_owned(), None, false);
                    self.run = Some(Running {
                        rank,
                        n_workers,
                        seed,
                        entry,
                        task,
                        args,
                        cancel,
                        peers,
                        model,
                        watch,
                        retired,
                    });
                }
                Order::Chunk { start, end, attempt, limit_ns, n_seen } => {
                    self.take_back(n_seen);
                    let limit = limit_ns.map(Duration::from_nanos);
                    let chunk = Chunk { number: 0, start, end, attempt, limit };
                    match parts.pop() {
                        Some(Received::View(view)) => self.chunk(&chunk, &Params::There(view))?,
                        _ => self.chunk(&chunk, &Params::Here(rest))?,
                    }
                }
                Order::Share { id } => match parts.pop() {
                    Some(Received::Frozen(frozen)) => shared::keep(id, frozen),
                    _ => return Err(garbled()),
                },
                Order::Forget { ids } => shared::forget(&ids),
                Order::Board { n_seen } => {
                    self.take_back(n_seen);
                    self.take_from_board()?;
                    self.worker.send(&frame(&Answer::NothingThere, &[]), &[])?;
                }
                Order::End => {
                    let report = self.end();
                    let ended = Answer::Ended { has_report: report.is_some() };
                    let bytes = frame(&ended, &report.unwrap_or_default());
                    self.worker.send(&bytes, &[])?;
                }
            }
        }
    }

    /// Takes back the outputs that the manager has read.
    fn take_back(&mut self, n_seen: u64) {
        while self.lent.front().is_some_and(|(nth, _)| *nth < n_seen) {
            self.lent.pop_front();
        }
    }

    /// Does what is on the board, as long as it can.
    fn take_from_board(&mut self) -> Result<(), LinkError> {
        let garbled = || LinkError::Garbled { what: "no chunk on the board".to_owned() };
        loop {
            let Some(board) = &self.board else { return Err(garbled()) };
            // A model is built at an order of its own, and long outputs are taken back at the next.
            let run = self.run.as_ref().filter(|run| run.model.is_some() && self.lent.len() < LENT);
            let Some(run) = run else { return Ok(()) };
            let worker = u16::try_from(run.rank).map_err(|_| garbled())?;
            let mut bytes = std::mem::take(&mut self.from_board);
            let Some(number) = board.take(worker, &mut bytes) else {
                self.from_board = bytes;
                return Ok(());
            };
            let Some((Order::Chunk { start, end, attempt, .. }, params)) = read(&bytes) else {
                return Err(garbled());
            };
            let chunk = Chunk { number, start, end, attempt, limit: None };
            self.chunk(&chunk, &Params::Here(params))?;
            self.from_board = bytes;
        }
    }

    fn set_current(&self, run: u64, cancel: &CancelToken) {
        let mut cancelling = lock(&self.shared);
        cancelling.current = Some((run, cancel.clone()));
        let is_cancelled = cancelling.last == Some(run);
        drop(cancelling);
        if is_cancelled {
            cancel.cancel();
        }
    }

    /// Ends the run; what its watch reports.
    fn end(&mut self) -> Option<Vec<u8>> {
        lock(&self.shared).current = None;
        self.lent.clear();
        self.n_sent = 0;
        let mut run = self.run.take()?;
        run.leave_group("it has no more tasks");
        run.drop_model();
        let report = run.watch.take().and_then(WorkerWatch::ended);
        crate::times::exits_apart(false);
        report
    }

    fn chunk(&mut self, chunk: &Chunk, params: &Params<'_>) -> Result<(), LinkError> {
        // Orders may be on their way to who has left the run.
        let Some(run) = self.run.as_mut().filter(|run| !run.retired) else { return Ok(()) };
        if run.cancel.is_cancelled() {
            let not_begun = Answer::NotBegun { number: chunk.number };
            return self.worker.send(&frame(&not_begun, &[]), &[]);
        }
        if run.model.is_none() {
            match run.build() {
                Ok(model) => run.model = Some(model),
                Err(fault) => {
                    run.retired = true;
                    let reason = format!("it could not build its model: {}", fault.message());
                    run.leave_group(&reason);
                    return self.worker.send(&frame(&Answer::NoModel { fault }, &[]), &[]);
                }
            }
            self.worker.send(&frame(&Answer::Built, &[]), &[])?;
        }
        let arena = self.worker.arena().clone();
        let mut piece = Piece::new(&arena);
        let (executed, took) = run.execute(chunk, params, &mut self.outputs, &mut piece);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let is_long = match executed {
            Ok(is_long) => is_long,
            Err(fault) => return self.fail(chunk.number, fault, took_ns),
        };
        let done = Answer::Done { number: chunk.number, took_ns };
        if !is_long && self.outputs.len() <= INLINE {
            self.n_sent += 1;
            return self.worker.send(&frame(&done, &self.outputs), &[]);
        }
        match piece.lend(&self.outputs) {
            Ok(lent) => {
                let sent = self.worker.send(&frame(&done, &[]), &[Part::Lent(&lent)]);
                self.lent.push_back((self.n_sent, lent));
                self.n_sent += 1;
                sent
            }
            Err(error) => {
                let fault = Fault::from_error(FailureKind::Encode, error);
                self.fail(chunk.number, fault, took_ns)
            }
        }
    }

    fn fail(&mut self, number: u64, fault: Fault, took_ns: u64) -> Result<(), LinkError> {
        if let Some(run) = &mut self.run {
            // Those who wait for it in a collective would be answered by a later one.
            run.leave_group(&format!("its task failed: {}", fault.message()));
            if fault.kind() == FailureKind::Panic {
                // What a panic leaves behind cannot be trusted.
                run.drop_model();
            }
        }
        self.worker.send(&frame(&Answer::Failed { number, fault, took_ns }, &[]), &[])
    }
}

impl Running {
    fn build(&self) -> Result<FarModel, Fault> {
        let worker = pm_api::Worker::new(self.rank, self.n_workers, &self.cancel)
            .with_peers(&*self.peers)
            .with_run_seed(self.seed);
        let args = match &self.args {
            Args::Own(bytes) => bytes,
            Args::Frozen(frozen) => &frozen[..],
        };
        match &self.entry {
            Some(entry) => entry.build(args, &worker),
            // The manager looks for it, too, and both have the same tasks.
            None => Err(Fault::new(
                FailureKind::Build,
                format!("task {:?} is not registered in the worker", self.task),
            )),
        }
    }

    fn execute(
        &mut self,
        chunk: &Chunk,
        params: &Params<'_>,
        outputs: &mut Vec<u8>,
        long: &mut Piece<'_>,
    ) -> (Result<bool, Fault>, Duration) {
        let start = Instant::now();
        let worker = pm_api::Worker::new(self.rank, self.n_workers, &self.cancel)
            .with_peers(&*self.peers)
            .with_chunk(chunk.start..chunk.end, chunk.attempt)
            .with_run_seed(self.seed)
            .with_deadline(chunk.limit.and_then(|limit| start.checked_add(limit)));
        let model = self.model.as_mut().expect("it was built just now or before");
        let executed = match params {
            Params::Here(bytes) => model.execute_to(bytes, &worker, outputs, long),
            Params::There(view) => model.execute_from(&Seen(view), &worker, outputs, long),
        };
        let took = start.elapsed();
        let was_cancelled = |fault: &Fault| fault.kind() == FailureKind::Cancelled;
        let executed = match chunk.limit {
            // What was right too late is a timeout, as it is where a task is killed for it.
            Some(limit) if took >= limit && executed.as_ref().err().is_none_or(was_cancelled) => {
                Err(Fault::timeout(limit))
            }
            _ => executed,
        };
        (executed, took)
    }

    /// Lets the others of the group know that this one does not come any more.
    fn leave_group(&mut self, reason: &str) {
        let (rank, size) = (self.peers.rank(), self.peers.size());
        if size > 1 {
            self.peers.leave(reason);
            self.peers = Box::new(Departed::new(rank, size, reason));
        }
    }

    fn drop_model(&mut self) {
        let model = self.model.take();
        // The model is the user's, and its drop may panic; the hook has printed that by now.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(model)));
    }
}
