//! The work of one worker in this process.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use crate::backend::{ChunkQueue, Fault, Finished, Model, Outputs, Run, Ticket, Verdict};
use crate::peers::{Departed, Peers};
use crate::watch::WorkerWatch;
use crate::{FailureKind, LostWorker, Worker};

/// One worker in this process: an iterator that does the next chunk when it is asked for one.
///
/// It builds its model when it gets its first chunk, and again after a panic. If it cannot, it
/// gives the chunk back and ends; the last worker of a run reports what nobody can do then.
/// Panics of the task never leave it. It is made, used and dropped on the thread of the worker.
pub struct LocalWorker {
    rank: usize,
    run: Run,
    queue: Arc<ChunkQueue>,
    peers: Box<dyn Peers>,
    model: Option<Model>,
    watch: Option<Box<dyn WorkerWatch>>,
    /// Whether it has left the run, or come to its end.
    ended: bool,
    abandoned: bool,
    lost: Option<LostWorker>,
    /// What no worker can do and why, to be reported by this one.
    undoable: Option<(Fault, vec::IntoIter<Range<usize>>)>,
}

impl LocalWorker {
    /// Makes worker `rank` of the run that `queue` divides, which is the member `peers` of the
    /// run's group.
    #[must_use]
    pub fn new(rank: usize, run: Run, queue: Arc<ChunkQueue>, peers: Box<dyn Peers>) -> Self {
        let watch = run.watch(queue.n_workers()).map(|watch| watch.worker_started(rank));
        Self {
            rank,
            run,
            queue,
            peers,
            model: None,
            watch,
            ended: false,
            abandoned: false,
            lost: None,
            undoable: None,
        }
    }

    /// Why this worker left the run, if it did; given once.
    pub fn take_lost(&mut self) -> Option<LostWorker> {
        self.lost.take()
    }

    /// Whether its chunk was taken away while it was at work on it, so that it is none of the
    /// run's workers any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    fn retire(&mut self, ticket: Ticket, fault: Fault) -> Option<Finished> {
        self.ended = true;
        self.leave_group(&format!("it could not build its model: {}", fault.message()));
        let undoable = self.queue.retire(self.rank, ticket);
        self.undoable = Some((fault.clone(), undoable.into_iter()));
        self.lost = Some(LostWorker::new(self.rank, fault));
        self.next_undoable()
    }

    fn next_undoable(&mut self) -> Option<Finished> {
        let (fault, ranges) = self.undoable.as_mut()?;
        let (fault, indices) = (fault.clone(), ranges.next()?);
        let (worker, took) = (Some(self.rank), Duration::ZERO);
        Some(Finished { indices, worker, outputs: Err(fault), attempts: 0, took })
    }

    /// Lets the others of the group know that this one does not come any more.
    fn leave_group(&mut self, reason: &str) {
        let (rank, size) = (self.peers.rank(), self.peers.size());
        if size == 1 {
            return;
        }
        self.peers.leave(reason);
        self.peers = Box::new(Departed::new(rank, size, reason));
    }

    fn drop_model(&mut self) {
        let model = self.model.take();
        // The model is the user's, and its drop may panic; the hook has printed that by now.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(model)));
    }

    /// Does one chunk; the outputs and how long it took.
    fn execute(&mut self, ticket: &Ticket) -> (Result<Outputs, Fault>, Duration) {
        let cancel = self.run.cancel_token().clone();
        let indices = ticket.indices();
        let start = Instant::now();
        let limit = self.queue.limit(indices.len());
        let worker = Worker::new(self.rank, self.queue.n_workers(), &cancel)
            .with_peers(&*self.peers)
            .with_chunk(indices.clone(), ticket.attempt())
            .with_run_seed(self.run.seed())
            .with_deadline(limit.and_then(|limit| start.checked_add(limit)));
        let model = self.model.as_mut().expect("it was built just now or before");
        let outputs = self.run.execute(model, indices, &worker);
        let took = start.elapsed();
        let was_cancelled = |fault: &Fault| fault.kind() == FailureKind::Cancelled;
        let outputs = match limit {
            // What was right too late is a timeout everywhere, as it is where tasks are killed.
            Some(limit) if took >= limit && outputs.as_ref().err().is_none_or(was_cancelled) => {
                Err(Fault::timeout(limit))
            }
            _ => outputs,
        };
        (outputs, took)
    }
}

impl Iterator for LocalWorker {
    type Item = Finished;

    fn next(&mut self) -> Option<Finished> {
        loop {
            if self.ended {
                return self.next_undoable();
            }
            let queue = Arc::clone(&self.queue);
            let has_model = self.model.is_some();
            let Some(ticket) = queue.take(self.rank, has_model, || {
                // Who waits for work cannot come to a collective that others may be waiting in,
                // and it may be their work that it waits for.
                self.leave_group("it has no task at the moment");
            }) else {
                self.ended = true;
                self.leave_group("it has no more tasks");
                return None;
            };
            if self.model.is_none() {
                let cancel = self.run.cancel_token().clone();
                let worker = Worker::new(self.rank, queue.n_workers(), &cancel)
                    .with_peers(&*self.peers)
                    .with_run_seed(self.run.seed());
                match self.run.build(&worker) {
                    Ok(model) => {
                        self.queue.built(&ticket);
                        self.model = Some(model);
                    }
                    Err(fault) => return self.retire(ticket, fault),
                }
            }
            let (outputs, took) = self.execute(&ticket);
            if let Err(fault) = &outputs {
                // Those who wait for it in a collective would be answered by a later one.
                let reason = format!("its task failed: {}", fault.message());
                self.leave_group(&reason);
                if fault.kind() == FailureKind::Panic {
                    // What a panic leaves behind cannot be trusted.
                    self.drop_model();
                }
            }
            match queue.finish(ticket, outputs, took) {
                Verdict::Report(finished) => return Some(finished),
                Verdict::Again => {}
                Verdict::Abandoned => {
                    (self.ended, self.abandoned) = (true, true);
                    return None;
                }
            }
        }
    }
}

impl Drop for LocalWorker {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.leave(self.rank);
        }
        self.leave_group("it has no more tasks");
        self.drop_model();
        let report = self.watch.take().and_then(|watch| watch.ended());
        if let (Some(report), Some(watch)) = (report, self.run.watch(self.queue.n_workers()))
            && !self.abandoned
        {
            watch.worker_reported(self.rank, report);
        }
    }
}

impl fmt::Debug for LocalWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalWorker")
            .field("rank", &self.rank)
            .field("run", &self.run)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
