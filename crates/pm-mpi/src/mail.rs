//! Letters between ranks, and the boxes that they lie in until somebody takes them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pm_api::CancelToken;
use pm_api::backend::Fault;
use serde::{Deserialize, Serialize};

/// What a letter is about: a run of the managers of a group, or, with number 0, the group itself.
/// Group 0 is all ranks, which is there from the beginning to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) group: u64,
    pub(crate) run: u64,
}

impl About {
    /// The ranks as such.
    pub(crate) const RANKS: Self = Self { group: 0, run: 0 };
}

/// Who of a run a letter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Port {
    /// The rank as a whole, of [`About::RANKS`].
    Server,
    /// Who hands out the chunks, on rank 0.
    Driver,
    /// Who does them.
    Worker,
    /// The caller on a rank other than 0, who is told what came of them.
    Watcher,
    /// The member of the group of the workers.
    Group,
}

/// What a letter says; bytes that belong to it are its payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Body {
    /// To a server: a run begins, whose arguments are the payload.
    Begin { run: About, task: String, n_workers: usize, seed: u64 },
    /// To a rank that serves: an array, in memory of the sender by its process and descriptor, or
    /// else its bytes are the payload.
    Share { id: u64, place: Option<(u32, i32)> },
    /// To a rank that serves: these arrays are gone.
    Forget { ids: Vec<u64> },
    /// To a server: the program is over.
    Quit,
    /// To a server, and passed on to everybody there: the sender has come to its end.
    Bye,
    /// To a driver: the caller on another rank has scattered the same run.
    Hello { task: String, n_tasks: usize, n_workers: usize },
    /// To a driver: the caller on another rank wants the run to be cancelled.
    CancelAsked,
    /// To a driver: the model for the chunk is there.
    Built,
    /// To a driver: the chunk is done; its outputs are the payload.
    Done { took: Duration },
    /// To a driver: the chunk failed.
    Failed { fault: Fault, took: Duration },
    /// To a driver: there is no model for the chunk; the worker takes no more.
    NoModel { fault: Fault },
    /// To a driver: the run was cancelled before the chunk was begun.
    NotBegun,
    /// To a driver: the worker has ended; the report of its watch is the payload.
    Ended { has_report: bool },
    /// To a driver, by whoever has changed something: look again.
    Wake,
    /// To a worker: a chunk, whose parameters are the payload unless the worker has them.
    Chunk { start: usize, end: usize, attempt: u32, limit: Option<Duration> },
    /// To a worker: there is nothing to do at the moment.
    Idle,
    /// To a worker: there is nothing to do any more.
    NoMore,
    /// To a rank: the run is cancelled.
    Cancel,
    /// To a watcher: a chunk came to its end; its outputs are the payload.
    Finished {
        start: usize,
        end: usize,
        worker: Option<usize>,
        attempts: u32,
        took: Duration,
        fault: Option<Fault>,
    },
    /// To a watcher: the run is over.
    Over { n_workers: usize, not_started: Vec<(usize, usize)>, lost: Vec<(usize, Fault)> },
    /// To a watcher: the run came to nothing.
    Broken { why: String },
    /// To the members of a group: what the sender calls.
    Call { round: u64, words: [u64; 7], counts: Vec<u64> },
    /// To the members of a group, by the first: where the memory is in which they meet, by process
    /// and descriptor; nowhere if it has none.
    Memory { place: Option<(u32, i32)> },
    /// To the members of a group: a member is not there any more, by its rank in the world.
    Left { rank: usize, reason: String },
}

/// A letter that came.
#[derive(Debug)]
pub(crate) struct Letter {
    /// The rank in the world of who sent it.
    pub(crate) source: usize,
    pub(crate) body: Body,
    pub(crate) payload: Vec<u8>,
}

/// Letters of one run and port.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    letters: Mutex<VecDeque<Letter>>,
    came: Condvar,
}

impl Inbox {
    pub(crate) fn lock(&self) -> MutexGuard<'_, VecDeque<Letter>> {
        // Nothing panics while it holds the lock, so a poisoned one guards sound letters.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, letter: Letter) {
        self.lock().push_back(letter);
        self.came.notify_all();
    }

    /// Lets those who wait look again.
    pub(crate) fn nudge(&self) {
        drop(self.lock());
        self.came.notify_all();
    }

    /// Sleeps until something comes, or until then; not at all if there is something already.
    pub(crate) fn sleep(&self, longest: Duration, is_empty: impl Fn(&VecDeque<Letter>) -> bool) {
        let letters = self.lock();
        if is_empty(&letters) {
            drop(self.came.wait_timeout(letters, longest));
        }
    }
}

/// All boxes of a rank.
#[derive(Debug, Default)]
pub(crate) struct Boxes {
    inboxes: HashMap<(About, Port), Arc<Inbox>>,
    /// The runs that this rank takes part in now, and what cancels them.
    open: HashMap<About, Option<CancelToken>>,
    /// The last run of each group that this rank took part in; numbers grow.
    newest: HashMap<u64, u64>,
    /// Runs that were cancelled before they began here.
    cancelled: HashSet<About>,
    /// Groups that were closed.
    closed: HashSet<u64>,
    /// Ranks that have come to their end.
    pub(crate) gone: Vec<bool>,
}

impl Boxes {
    pub(crate) fn new(n_ranks: usize) -> Self {
        Self { gone: vec![false; n_ranks], ..Self::default() }
    }

    /// The box of a port, unless its run or group is over.
    pub(crate) fn inbox(&mut self, about: About, port: Port) -> Option<Arc<Inbox>> {
        let is_over = if about.run == 0 {
            self.closed.contains(&about.group)
        } else {
            !self.is_to_come(about) && !self.open.contains_key(&about)
        };
        (!is_over).then(|| Arc::clone(self.inboxes.entry((about, port)).or_default()))
    }

    /// Whether this rank has not taken part in a run yet.
    fn is_to_come(&self, about: About) -> bool {
        self.newest.get(&about.group).is_none_or(|newest| about.run > *newest)
    }

    /// Takes part in a run from now on, or goes on to with another token. Whether it was cancelled
    /// already.
    pub(crate) fn open(&mut self, run: About, token: Option<&CancelToken>) -> bool {
        let newest = self.newest.entry(run.group).or_default();
        *newest = run.run.max(*newest);
        self.open.insert(run, token.cloned());
        self.cancelled.remove(&run)
    }

    pub(crate) fn close(&mut self, about: About) {
        if about.run == 0 {
            self.closed.insert(about.group);
        }
        self.open.remove(&about);
        self.cancelled.remove(&about);
        self.inboxes.retain(|(of, _), _| *of != about);
    }

    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Notes that a run is cancelled; what is to be cancelled by the caller, without a lock.
    pub(crate) fn cancel(&mut self, run: About) -> Option<CancelToken> {
        match self.open.get(&run) {
            Some(Some(token)) => Some(token.clone()),
            // It has not quite begun here.
            Some(None) => {
                self.cancelled.insert(run);
                None
            }
            None => {
                if self.is_to_come(run) {
                    self.cancelled.insert(run);
                }
                None
            }
        }
    }

    /// The boxes of this port, with their runs.
    pub(crate) fn all(&self, port: Port) -> Vec<Arc<Inbox>> {
        let of_port = self.inboxes.iter().filter(|((_, of), _)| *of == port);
        of_port.map(|(_, inbox)| Arc::clone(inbox)).collect()
    }
}

/// The time from now until then; zero if it has passed.
pub(crate) fn until(deadline: Option<Instant>, at_most: Duration) -> Duration {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(at_most, |left| left.min(at_most))
}
