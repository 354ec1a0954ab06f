//! What the driver knows of one worker in one run.

use std::collections::VecDeque;
use std::time::Duration;

use pm_api::backend::{Fault, Ticket};
use worker_process::Lent;

/// Tasks that take longer than this are handed out one at a time: the way to a worker and back is
/// nothing beside them.
const LONG: Duration = Duration::from_millis(1);
/// Of those that take longer than this one waits at the worker, of shorter ones some more ...
const SHORT: Duration = Duration::from_micros(100);
/// ... and of those that take less than waking somebody so many that both sides are at it for a
/// while before they have to.
const TINY: Duration = Duration::from_micros(10);
/// How many of these there may be.
const MOST: usize = 16;

/// A chunk that was sent to a worker.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) ticket: Ticket,
    /// Whether its worker has to build a model for it.
    pub(crate) building: bool,
    /// The parameters, until the worker is done with them.
    pub(crate) _params: Option<Lent>,
}

/// One worker in one run.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// Whether the process has been told of the run.
    pub(crate) begun: bool,
    /// Whether it has been told of it before, in a process that is gone.
    pub(crate) replaced: bool,
    /// Whether it has a model, as far as it is known.
    pub(crate) has_model: bool,
    /// The chunks that it has; the first one is at work.
    pub(crate) flights: VecDeque<Flight>,
    /// Whether it takes chunks from the board.
    pub(crate) at_board: bool,
    /// How long the last chunk took.
    pub(crate) took: Option<Duration>,
    /// Whether there was nothing for it when it was last asked for.
    pub(crate) idle: bool,
    /// Whether there would be nothing any more, as far as was known then.
    pub(crate) done: bool,
    /// Whether it has left the group of the run.
    pub(crate) left: bool,
    /// Whether it takes no more of this run.
    pub(crate) retired: bool,
    /// Why it was killed, until its end is known.
    pub(crate) killed: Option<Fault>,
    /// The process whose times of this run can be seen, and have not been reported yet.
    pub(crate) timed: Option<u32>,
    /// How many answers with outputs were taken in.
    pub(crate) n_seen: u64,
}

impl Seat {
    /// How many chunks it may have at once, where some may wait at the worker at all.
    pub(crate) fn depth(&self, may_wait: bool) -> usize {
        match self.took {
            _ if !may_wait || !self.has_model => 1,
            Some(took) if took < TINY => MOST,
            Some(took) if took < SHORT => 4,
            Some(took) if took < LONG => 2,
            _ => 1,
        }
    }
}
