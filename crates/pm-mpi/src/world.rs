//! This process as a rank of the job: how MPI begins and ends, and how letters travel.
//!
//! All that managers and groups say to each other goes as letters, point to point, so that nobody
//! is ever in a collective of MPI in which somebody else is missing. Whoever waits for a letter
//! looks for what has come, for everybody; a thread does so when nobody waits.

use std::cell::Cell;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{
    Communicator as _, CommunicatorCollectives as _, Destination as _, Equivalence as _,
    Source as _,
};
use mpi::{Tag, Threading};
use pm_api::backend::forget_shared;
use serde::{Deserialize, Serialize};

use crate::MpiError;
use crate::host::Hosts;
use crate::launch::launcher;
use crate::mail::{About, Body, Boxes, Inbox, Letter, Port, until};
use crate::raw::{Shared, call_at_exit};
use crate::shared::{self, Given};

/// The tag of the beginnings of letters.
const LETTER: Tag = 1;
/// The tag of what does not fit into the beginning.
const REST: Tag = 2;
/// Payloads up to this length come in the beginning, which MPI then sends without asking the
/// receiver first.
const INLINE: usize = 2 << 10;
/// The longest message; the interface of MPI counts by 31 bits.
pub(crate) const PIECE: usize = 1 << 30;
/// For how long one who waits looks for letters all the time.
const SPIN: Duration = Duration::from_micros(100);
/// For how long one who waits sleeps at most before looking again.
const NAP: Duration = Duration::from_millis(5);
/// For how long the launcher is given to pass on why the job ends.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// For how long the thread that looks for letters sleeps at most, where some come from other hosts,
/// and where all who write also ring.
const DOZE: Duration = Duration::from_millis(1);
const SLUMBER: Duration = Duration::from_millis(20);

static WORLD: OnceLock<Result<World, MpiError>> = OnceLock::new();
/// What ends MPI when it is dropped.
static UNIVERSE: Mutex<Option<Universe>> = Mutex::new(None);
static THREAD: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);
static IS_OVER: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread is in a call of MPI.
    static IN_MPI: Cell<bool> = const { Cell::new(false) };
}

/// Calls MPI. If the process ends meanwhile on this thread, it is MPI that has ended it, because
/// another rank has ended the job.
pub(crate) fn in_mpi<T>(call: impl FnOnce() -> T) -> T {
    IN_MPI.set(true);
    let result = call();
    IN_MPI.set(false);
    result
}

/// This process among the others.
pub(crate) struct World {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) library: String,
    pub(crate) hosts: Hosts,
    mail: Shared,
    /// For what groups send each other once they have agreed.
    pub(crate) data: Shared,
    /// One at a time sends to a rank, so that the parts of a letter stay together.
    senders: Vec<Mutex<()>>,
    /// One at a time takes letters, so that those of one rank stay in their order.
    receiver: Mutex<Vec<u8>>,
    boxes: Mutex<Boxes>,
    /// The arrays that each rank was given.
    given: Vec<Mutex<Given>>,
    /// The number of the next run of all ranks.
    pub(crate) next_run: Arc<Mutex<u64>>,
    /// Whether the other ranks serve the runs of rank 0, and do not run the program.
    serves: AtomicBool,
    stop: AtomicBool,
}

/// What a letter begins with.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    about: About,
    port: Port,
    body: Body,
    n_payload: usize,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The world of this process, which begins with the first call.
pub(crate) fn world() -> Result<&'static World, MpiError> {
    if IS_OVER.load(Ordering::Acquire) {
        return Err(MpiError::Over);
    }
    let world = WORLD.get_or_init(begin).as_ref().map_err(Clone::clone)?;
    let mut thread = lock(&THREAD);
    if thread.is_none() && world.size > 1 && !world.stop.load(Ordering::Acquire) {
        let builder = thread::Builder::new().name("pm-mpi-mail".to_owned());
        // Without it letters come as soon as somebody waits for one.
        *thread = builder.spawn(|| world.look_out()).ok();
    }
    drop(thread);
    Ok(world)
}

/// The world, if it has begun.
fn begun() -> Option<&'static World> {
    WORLD.get()?.as_ref().ok()
}

fn begin() -> Result<World, MpiError> {
    let library = library();
    let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Multiple) else {
        return Err(MpiError::NotOurs);
    };
    *lock(&UNIVERSE) = Some(universe);
    call_at_exit();
    let world = SimpleCommunicator::world();
    let (rank, size) = (count(world.rank()), count(world.size()));
    if let Some((launcher, n_ranks)) = launcher()
        && size == 1
        && n_ranks > 1
    {
        return Err(MpiError::ForeignLauncher { launcher, n_ranks, library });
    }
    if threading != Threading::Multiple {
        return Err(MpiError::Threads { library, offered: format!("{threading:?}") });
    }
    let tasks = pm_api::backend::tasks().map_err(|error| MpiError::Tasks(error.to_string()));
    let own = tasks.as_ref().map_or(0, |tasks| tasks.fingerprint());
    let mut all = vec![0_u64; size];
    world.all_gather_into(&own, &mut all[..]);
    if let Some(rank) = all.iter().position(|other| *other != all[0]) {
        return Err(MpiError::OtherProgram { rank });
    }
    tasks?;
    let hosts = Hosts::find(&world);
    let (mail, data) = (Shared::new(world.duplicate()), Shared::new(world.duplicate()));
    say_rank_in_panics(rank, size);
    Ok(World {
        rank,
        size,
        library,
        hosts,
        mail,
        data,
        senders: (0..size).map(|_| Mutex::default()).collect(),
        receiver: Mutex::default(),
        boxes: Mutex::new(Boxes::new(size)),
        given: (0..size).map(|_| Mutex::default()).collect(),
        next_run: Arc::new(Mutex::new(1)),
        serves: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    })
}

/// The first line of what the library says it is: `Open MPI v4.1.4`, `MPICH 4.0.2`.
pub(crate) fn library() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    let text = text.trim_end_matches('\0');
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some("Open"), Some("MPI"), Some(version)) => {
            format!("Open MPI {}", version.trim_start_matches('v'))
        }
        (Some("MPICH"), Some("Version:"), Some(version)) => format!("MPICH {version}"),
        _ => text.lines().next().unwrap_or("an unknown MPI").trim().to_owned(),
    }
}

/// Ranks and sizes are never negative.
pub(crate) fn count(rank: mpi::topology::Rank) -> usize {
    usize::try_from(rank).unwrap_or(0)
}

/// The rank as MPI has it; it came from there.
pub(crate) fn rank_of(rank: usize) -> mpi::topology::Rank {
    mpi::topology::Rank::try_from(rank).expect("ranks of MPI fit its own numbers")
}

/// Whose panic it is cannot be seen otherwise where the lines of many ranks come together.
fn say_rank_in_panics(rank: usize, size: usize) {
    if size == 1 || thread::panicking() {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        complain(&format!("rank {rank} of {size} panicked"));
        previous(info);
    }));
}

#[expect(clippy::print_stderr, reason = "the job ends by it, and nobody else could say why")]
fn complain(text: &str) {
    eprintln!("pm-mpi: {text}");
}

/// Ends MPI with the process: in peace if all is done, else by ending the whole job.
pub(crate) fn at_exit(status: i32) {
    if IS_OVER.swap(true, Ordering::AcqRel) || IN_MPI.try_with(Cell::get).unwrap_or(false) {
        return;
    }
    let Some(world) = begun() else {
        // What was begun and refused is ended, so that the launcher hears of the status alone.
        drop(lock(&UNIVERSE).take());
        return;
    };
    let n_open = lock(&world.boxes).n_open();
    let World { rank, size, .. } = *world;
    // Ranks that serve wait for nothing but what is told them, so rank 0 may end with any status.
    let is_alone = rank == 0 && world.serves.load(Ordering::Acquire);
    if n_open > 0 || (status != 0 && !is_alone) {
        if size > 1 || status == 0 {
            let work = if n_open > 0 { " in the middle of a run" } else { "" };
            complain(&format!("rank {rank} of {size} ended with status {status}{work}"));
            // Where this is the last that a launcher hears, as that of MPICH, it may end before it
            // has passed on what it was told.
            thread::sleep(LAST_WORDS);
            // Of all ranks there are: for those MPICH asks its launcher, which ends with the status.
            // For another communicator it tells the ranks, which then end one by one, and the code
            // of the job is the status, 1 or a signal by what the launcher happens to see first.
            let all = SimpleCommunicator::world();
            in_mpi(|| all.abort(if status == 0 { 1 } else { status }));
        }
        if n_open > 0 {
            // Threads may be in MPI, so it cannot be ended; there is nobody who would wait.
            return;
        }
    }
    if is_alone {
        (1..size).for_each(|other| world.post(other, About::RANKS, Port::Server, Body::Quit, &[]));
    }
    for other in (0..size).filter(|other| *other != rank) {
        world.post(other, About::RANKS, Port::Server, Body::Bye, &[]);
    }
    // MPI would wait for them as well, but take no letters meanwhile.
    let n_gone = || lock(&world.boxes).gone.iter().filter(|gone| **gone).count();
    while n_gone() + 1 < size {
        if !world.pump() {
            thread::sleep(Duration::from_micros(50));
        }
    }
    world.stop.store(true, Ordering::Release);
    world.hosts.ring(rank, rank);
    let thread = lock(&THREAD).take();
    if let Some(thread) = thread {
        // It panics for its own bugs only, and has said so then.
        let _ended = thread.join();
    }
    drop(lock(&UNIVERSE).take());
}

impl World {
    /// Says that the other ranks serve, from now on.
    pub(crate) fn serve(&self) {
        self.serves.store(true, Ordering::Release);
    }

    /// Whether these ranks can meet in shared memory with this one.
    pub(crate) fn can_share(&self, ranks: &[usize]) -> bool {
        self.hosts.can_share(self.rank, ranks)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.serves.load(Ordering::Acquire)
    }

    pub(crate) fn given(&self, rank: usize) -> MutexGuard<'_, Given> {
        lock(&self.given[rank])
    }

    pub(crate) fn with_boxes<T>(&self, with: impl FnOnce(&mut Boxes) -> T) -> T {
        with(&mut lock(&self.boxes))
    }

    /// The box of a port of a run that is open. What ranks that have ended would have sent is there.
    pub(crate) fn inbox(&self, about: About, port: Port) -> Arc<Inbox> {
        let mut boxes = lock(&self.boxes);
        // Nothing comes any more to one that is over.
        let inbox = boxes.inbox(about, port).unwrap_or_default();
        if port != Port::Server {
            for source in (0..self.size).filter(|source| boxes.gone[*source]) {
                inbox.put(Letter { source, body: Body::Bye, payload: Vec::new() });
            }
        }
        inbox
    }

    /// Sends a letter, to this rank too.
    pub(crate) fn post(&self, to: usize, about: About, port: Port, body: Body, payload: &[u8]) {
        if to == self.rank {
            // What becomes words on the way to others does so here, too.
            let body = match postcard::to_stdvec(&body).map(|bytes| postcard::from_bytes(&bytes)) {
                Ok(Ok(travelled)) => travelled,
                _ => body,
            };
            let letter = Letter { source: to, body, payload: payload.to_vec() };
            return self.deliver(about, port, letter);
        }
        let n_payload = payload.len();
        let head = Head { about, port, body, n_payload };
        // Only a type that fails by itself could fail here, and none of these does.
        let mut bytes = postcard::to_stdvec(&head).expect("letters can be encoded");
        let inline = n_payload <= INLINE;
        if inline {
            bytes.extend_from_slice(payload);
        }
        let process = self.mail.process_at_rank(rank_of(to));
        let _alone = lock(&self.senders[to]);
        if bytes.len() > INLINE {
            // MPI may wait for the receiver before it sends that.
            self.hosts.ring(self.rank, to);
        }
        in_mpi(|| process.send_with_tag(&bytes[..], LETTER));
        self.hosts.ring(self.rank, to);
        in_mpi(|| {
            if !inline {
                payload.chunks(PIECE).for_each(|piece| process.send_with_tag(piece, REST));
            }
        });
    }

    /// Takes in the next letter that has come, if there is one and nobody else is about it.
    pub(crate) fn pump(&self) -> bool {
        let Ok(mut bytes) = self.receiver.try_lock() else { return false };
        let any = self.mail.any_process();
        let probed = in_mpi(|| any.immediate_matched_probe_with_tag(LETTER));
        let Some((message, status)) = probed else { return false };
        let n_bytes = count(status.count(u8::equivalent_datatype()));
        bytes.resize(n_bytes, 0);
        in_mpi(|| message.matched_receive_into(&mut bytes[..]));
        let source = count(status.source_rank());
        let read = postcard::take_from_bytes::<Head>(&bytes);
        let (head, rest) = read.expect("all ranks run the same program");
        let mut payload = rest.to_vec();
        if head.n_payload > INLINE {
            payload = vec![0; head.n_payload];
            let process = self.mail.process_at_rank(status.source_rank());
            for piece in payload.chunks_mut(PIECE) {
                in_mpi(|| process.receive_into_with_tag(piece, REST));
            }
        }
        let Head { about, port, body, .. } = head;
        self.deliver(about, port, Letter { source, body, payload });
        true
    }

    fn deliver(&self, about: About, port: Port, letter: Letter) {
        let mut boxes = lock(&self.boxes);
        match &letter.body {
            Body::Cancel => {
                let token = boxes.cancel(about);
                drop(boxes);
                if let Some(token) = token {
                    token.cancel();
                }
            }
            // Here, so that it is there before what comes next can be decoded.
            Body::Share { id, place } => {
                drop(boxes);
                shared::take_in(*id, *place, &letter.payload);
            }
            Body::Forget { ids } => {
                drop(boxes);
                ids.iter().for_each(|id| forget_shared(*id));
            }
            Body::Bye => {
                let source = letter.source;
                boxes.gone[source] = true;
                let mut concerned = boxes.all(Port::Group);
                concerned.extend(boxes.all(Port::Driver));
                concerned.extend(boxes.all(Port::Watcher));
                drop(boxes);
                for inbox in concerned {
                    inbox.put(Letter { source, body: Body::Bye, payload: Vec::new() });
                }
            }
            Body::Begin { run, .. } => {
                // Before anything else of the run can be looked at.
                boxes.open(*run, None);
                let inbox = boxes.inbox(about, port);
                drop(boxes);
                if let Some(inbox) = inbox {
                    inbox.put(letter);
                }
            }
            _ => {
                let inbox = boxes.inbox(about, port);
                drop(boxes);
                if let Some(inbox) = inbox {
                    inbox.put(letter);
                }
            }
        }
    }

    /// Waits until `take` finds in a box what it looks for; `None` if it is later than that.
    pub(crate) fn wait<T>(
        &self,
        inbox: &Inbox,
        deadline: Option<Instant>,
        mut take: impl FnMut(&mut std::collections::VecDeque<Letter>) -> Option<T>,
    ) -> Option<T> {
        let mut since = Instant::now();
        let mut n_seen = 0;
        let mut attending = Some(Attending::new(self));
        loop {
            let mut letters = inbox.lock();
            if let Some(taken) = take(&mut letters) {
                return Some(taken);
            }
            if letters.len() != n_seen {
                n_seen = letters.len();
                since = Instant::now();
            }
            drop(letters);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return None;
            }
            if self.pump() {
                since = Instant::now();
            } else if since.elapsed() < SPIN {
                attending.get_or_insert_with(|| Attending::new(self));
                thread::yield_now();
            } else {
                // What comes meanwhile is taken in by the thread that looks out.
                attending = None;
                inbox.sleep(until(deadline, NAP), |letters| letters.len() == n_seen);
            }
        }
    }

    /// Takes in letters until the world ends.
    fn look_out(&self) {
        let longest = if self.hosts.all_hear() { SLUMBER } else { DOZE };
        let mut pause = Duration::ZERO;
        let mut seen = 0;
        while !self.stop.load(Ordering::Acquire) {
            let rung = self.hosts.rung();
            if self.pump() || rung != seen {
                // Rung for, but perhaps not there yet.
                (pause, seen) = (Duration::ZERO, rung);
            } else if pause < Duration::from_micros(20) {
                pause += Duration::from_micros(1);
                thread::yield_now();
            } else {
                self.hosts.sleep(rung, pause);
                pause = (2 * pause).min(longest);
            }
        }
    }
}

/// As long as it is there, a thread of this rank looks for letters, and nobody rings for it.
struct Attending<'a>(&'a World);

impl<'a> Attending<'a> {
    fn new(world: &'a World) -> Self {
        world.hosts.attend(true);
        Self(world)
    }
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.hosts.attend(false);
        // It was not rung for what has come last.
        while self.0.pump() {}
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}
