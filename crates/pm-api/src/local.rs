//! The work of one worker in this process.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use std::vec;

use crate::backend::{ChunkQueue, Fault, Finished, Model, Run};
use crate::{FailureKind, LostWorker, Worker};

/// One worker in this process: an iterator that does the next chunk when it is asked for one.
///
/// It builds its model when it gets its first chunk, and again after a panic. If it cannot, it
/// gives the chunk back and ends; the last worker of a run reports what nobody can do then.
/// Panics of the task never leave it. It is made and used on the thread of the worker.
#[derive(Debug)]
pub struct LocalWorker {
    rank: usize,
    run: Run,
    queue: Arc<ChunkQueue>,
    model: Option<Model>,
    /// Whether it has left the run, or come to its end.
    ended: bool,
    lost: Option<LostWorker>,
    /// What no worker can do and why, to be reported by this one.
    undoable: Option<(Fault, vec::IntoIter<Range<usize>>)>,
}

impl LocalWorker {
    /// Makes worker `rank` of the run that `queue` divides.
    #[must_use]
    pub fn new(rank: usize, run: Run, queue: Arc<ChunkQueue>) -> Self {
        Self { rank, run, queue, model: None, ended: false, lost: None, undoable: None }
    }

    /// Why this worker left the run, if it did; given once.
    pub fn take_lost(&mut self) -> Option<LostWorker> {
        self.lost.take()
    }

    fn finished(
        &self,
        indices: Range<usize>,
        outputs: Result<crate::backend::Outputs, Fault>,
    ) -> Finished {
        Finished { indices, worker: Some(self.rank), outputs }
    }

    fn retire(&mut self, chunk: Range<usize>, fault: Fault) -> Option<Finished> {
        self.ended = true;
        let last = self.queue.retire(self.rank, chunk);
        if last && !self.run.cancel_token().is_cancelled() {
            self.undoable = Some((fault.clone(), self.queue.drain().into_iter()));
        }
        self.lost = Some(LostWorker::new(self.rank, fault));
        self.next_undoable()
    }

    fn next_undoable(&mut self) -> Option<Finished> {
        let (fault, ranges) = self.undoable.as_mut()?;
        let (fault, indices) = (fault.clone(), ranges.next()?);
        Some(self.finished(indices, Err(fault)))
    }

    fn drop_model(&mut self) {
        let model = self.model.take();
        // The model is the user's, and its drop may panic; the hook has printed that by now.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(model)));
    }
}

impl Iterator for LocalWorker {
    type Item = Finished;

    fn next(&mut self) -> Option<Finished> {
        if self.ended {
            return self.next_undoable();
        }
        let cancel = self.run.cancel_token().clone();
        let Some(chunk) = self.queue.take(self.rank, self.model.is_some(), &cancel) else {
            self.ended = true;
            return None;
        };
        let worker = Worker::new(self.rank, self.queue.n_workers(), &cancel);
        if self.model.is_none() {
            match self.run.build(&worker) {
                Ok(model) => {
                    self.queue.built();
                    self.model = Some(model);
                }
                Err(fault) => return self.retire(chunk, fault),
            }
        }
        let model = self.model.as_mut().expect("it was built just now or before");
        let start = Instant::now();
        let outputs = self.run.execute(model, chunk.clone(), &worker);
        self.queue.took(chunk.len(), start.elapsed());
        if outputs.as_ref().is_err_and(|fault| fault.kind() == FailureKind::Panic) {
            // What a panic leaves behind cannot be trusted.
            self.drop_model();
        }
        Some(self.finished(chunk, outputs))
    }
}

impl Drop for LocalWorker {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.leave(self.rank);
        }
        self.drop_model();
    }
}
