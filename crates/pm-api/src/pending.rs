//! Runs that are under way, and what comes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::{Duration, Instant};
use std::vec;

use serde::{Deserialize, Serialize};

use crate::backend::{Fault, Finished, Run, RunEnd, Running};
use crate::options::ProgressFn;
use crate::{
    Failure, FailureKind, Gathered, LostWorker, OnError, PmError, Progress, RunOptions,
    WorkerProgress,
};

/// A run that was scattered and not gathered yet.
///
/// It is consumed by what takes its results, so they cannot be taken twice:
///
/// ```compile_fail,E0382
/// # use pm_api::{Pending, PmError};
/// fn twice(pending: Pending<f64>) -> Result<(), PmError> {
///     let once = pending.gather()?;
///     let again = pending.gather()?;
///     Ok(())
/// }
/// ```
///
/// nor before the run was scattered, for then there is none:
///
/// ```compile_fail,E0599
/// # use pm_api::{Pending, PmError, SerialManager};
/// fn before(manager: SerialManager) -> Result<(), PmError> {
///     let too_soon = manager.gather()?;
///     Ok(())
/// }
/// ```
///
/// Dropping it cancels the run and returns when no worker is at work any more.
#[must_use = "a run that is dropped is cancelled"]
pub struct Pending<O> {
    manager: &'static str,
    run: Run,
    running: Box<dyn Running>,
    progress: Option<ProgressFn>,
    on_error: OnError,
    start: Instant,
    counts: Progress,
    n_cancelled: usize,
    /// What nobody started, to be told of at the end.
    left_over: Option<vec::IntoIter<Range<usize>>>,
    /// What the backend told at the end, until the summary is made of it.
    end: Option<(usize, Vec<LostWorker>)>,
    summary: Option<RunSummary>,
    /// Whether the backend failed, so that nothing more comes.
    failed: bool,
    outputs: PhantomData<fn() -> O>,
}

/// Tasks that came to an end together: neighbours that one worker did in one go, or that were
/// cancelled.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Chunk<O> {
    /// The tasks, by their place in the parameters; never empty.
    pub indices: Range<usize>,
    /// One output per task in their order, or why there are none.
    pub outputs: Result<Vec<O>, Failure>,
}

/// How a run went as a whole.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunSummary {
    /// Tasks of the run.
    pub n_tasks: usize,
    /// Tasks that gave their output.
    pub n_done: usize,
    /// Tasks that failed or were cancelled.
    pub n_failed: usize,
    /// Workers of the run; 0 for no tasks.
    pub n_workers: usize,
    /// Workers that left because they could not build their model, were lost, or do not end. What
    /// they left undone was done by others, unless nobody was left.
    pub lost_workers: Vec<LostWorker>,
}

impl<O: 'static> Pending<O> {
    pub(crate) fn new(
        manager: &'static str,
        run: Run,
        running: Box<dyn Running>,
        options: &RunOptions,
    ) -> Self {
        let counts = Progress {
            n_done: 0,
            n_failed: 0,
            n_tasks: run.n_tasks(),
            elapsed: Duration::ZERO,
            workers: Vec::new(),
        };
        Self {
            manager,
            run,
            running,
            progress: options.progress.clone(),
            on_error: options.on_error,
            start: Instant::now(),
            counts,
            n_cancelled: 0,
            left_over: None,
            end: None,
            summary: None,
            failed: false,
            outputs: PhantomData,
        }
    }

    /// How many tasks the run has.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.run.n_tasks()
    }

    /// Waits for the end of the run and returns all outputs and failures in the order of the
    /// parameters.
    ///
    /// # Errors
    ///
    /// [`PmError`] if the manager itself failed. Failures of tasks are values in the result.
    #[doc(alias = "results_from_local_tree")]
    pub fn gather(mut self) -> Result<Gathered<O>, PmError> {
        if self.progress.is_none() && self.on_error != OnError::Stop {
            self.running.whole();
        }
        let mut chunks = Vec::new();
        let summary = self.drive(|chunk| {
            chunks.push(chunk);
            Ok::<(), PmError>(())
        })?;
        Ok(Gathered::new(chunks, summary))
    }

    /// Calls `each` on this thread with every chunk as it comes to an end, in no certain order,
    /// so that outputs can be used or written while others are still being computed.
    ///
    /// Every task is in exactly one chunk, cancelled ones too. When the caller falls behind by
    /// more than [`RunOptions::buffer`](crate::RunOptions::buffer) chunks, workers pause.
    ///
    /// # Errors
    ///
    /// The first error of `each`: the run is then cancelled, and what it has still to give is
    /// dropped. [`PmError`] as in [`gather`](Self::gather).
    ///
    /// ```
    /// # use pm_api::{PmError, Pending};
    /// fn write_rows(pending: Pending<f64>) -> Result<(), PmError> {
    ///     let summary = pending.for_each(|chunk| {
    ///         match chunk.outputs {
    ///             Ok(rows) => println!("{:?}: {rows:?}", chunk.indices),
    ///             Err(failure) => eprintln!("{failure}"),
    ///         }
    ///         Ok::<(), PmError>(())
    ///     })?;
    ///     println!("{} of {} rows", summary.n_done, summary.n_tasks);
    ///     Ok(())
    /// }
    /// ```
    pub fn for_each<E: From<PmError>>(
        mut self,
        each: impl FnMut(Chunk<O>) -> Result<(), E>,
    ) -> Result<RunSummary, E> {
        self.running.bound();
        self.drive(each)
    }

    /// As [`for_each`](Self::for_each), with the chunks in the order of their tasks.
    ///
    /// Chunks that end before their turn are kept until then, however many these are: a
    /// schedule that hands out tasks in their order keeps few, blocks keep half of the run.
    ///
    /// # Errors
    ///
    /// As [`for_each`](Self::for_each).
    pub fn for_each_in_order<E: From<PmError>>(
        self,
        mut each: impl FnMut(Chunk<O>) -> Result<(), E>,
    ) -> Result<RunSummary, E> {
        let mut chunks = self.chunks_in_order();
        for chunk in &mut chunks {
            each(chunk?)?;
        }
        Ok(chunks.pending.summary.take().unwrap_or_default())
    }

    /// The chunks as they come to an end, in no certain order; for loops, where
    /// [`for_each`](Self::for_each) would be in the way. The first error is the last item.
    ///
    /// ```
    /// # use pm_api::{PmError, Pending};
    /// fn first_failure(pending: Pending<f64>) -> Result<Option<String>, PmError> {
    ///     for chunk in pending.chunks() {
    ///         if let Err(failure) = chunk?.outputs {
    ///             return Ok(Some(failure.to_string())); // the rest of the run is cancelled
    ///         }
    ///     }
    ///     Ok(None)
    /// }
    /// ```
    #[must_use = "a run that is dropped is cancelled"]
    pub fn chunks(mut self) -> Chunks<O> {
        self.running.bound();
        Chunks { pending: self, early: None }
    }

    /// As [`chunks`](Self::chunks), in the order of the tasks; what ends before its turn is kept.
    #[must_use = "a run that is dropped is cancelled"]
    pub fn chunks_in_order(self) -> Chunks<O> {
        Chunks { early: Some(Early::default()), ..self.chunks() }
    }

    /// Takes every chunk from the backend and says at the end how the run went.
    fn drive<E: From<PmError>>(
        &mut self,
        mut each: impl FnMut(Chunk<O>) -> Result<(), E>,
    ) -> Result<RunSummary, E> {
        while let Some(chunk) = self.step()? {
            each(chunk)?;
        }
        Ok(self.summary.take().unwrap_or_default())
    }

    /// Takes the next chunk from the backend and tells the progress. After the last one there is a
    /// summary.
    fn step(&mut self) -> Result<Option<Chunk<O>>, PmError> {
        if self.left_over.is_none() {
            if self.run.n_tasks() == 0 {
                // There is no chunk after which to say that the end is reached.
                self.tell();
            }
            if let Some(finished) = self.running.next()? {
                return Ok(Some(self.take_in(finished)));
            }
            let RunEnd { n_workers, not_started, lost_workers } = self.running.end();
            self.end = Some((n_workers, lost_workers));
            // If nobody cancelled, nothing may be left over, and it is counted as missing below.
            let cancelled = self.run.cancel_token().is_cancelled();
            let not_started = if cancelled { not_started } else { Vec::new() };
            self.left_over = Some(not_started.into_iter());
        }
        if let Some(indices) = self.left_over.as_mut().and_then(Iterator::next) {
            self.n_cancelled += indices.len();
            let fault = Fault::new(FailureKind::Cancelled, "the run was cancelled before");
            let failure = fault.at(indices.clone(), None).with_attempts(0);
            return Ok(Some(Chunk { indices, outputs: Err(failure) }));
        }
        let Some((n_workers, lost_workers)) = self.end.take() else {
            return Ok(None);
        };
        let n_tasks = self.run.n_tasks();
        let n_failed = self.counts.n_failed + self.n_cancelled;
        let n_done = self.counts.n_done;
        let n_missing = n_tasks.saturating_sub(n_done + n_failed);
        if n_missing > 0 {
            return Err(PmError::Incomplete { manager: self.manager, n_missing, n_tasks });
        }
        self.summary = Some(RunSummary { n_tasks, n_done, n_failed, n_workers, lost_workers });
        Ok(None)
    }

    fn take_in(&mut self, finished: Finished) -> Chunk<O> {
        let Finished { indices, worker, outputs, attempts, took } = finished;
        let n = indices.len();
        let outputs = match outputs {
            Ok(outputs) => Ok(outputs.into_typed::<O>()),
            Err(fault) => Err(fault.at(indices.clone(), worker).with_attempts(attempts)),
        };
        let cancelled = |failure: &Failure| failure.kind == FailureKind::Cancelled;
        let (n_done, n_failed) = match &outputs {
            Ok(_) => (n, 0),
            Err(failure) if cancelled(failure) => {
                self.n_cancelled += n;
                (0, 0)
            }
            Err(_) => (0, n),
        };
        self.counts.n_done += n_done;
        self.counts.n_failed += n_failed;
        if let (Some(rank), Some(_)) = (worker, &self.progress) {
            if self.counts.workers.len() <= rank {
                self.counts.workers.resize(rank + 1, WorkerProgress::default());
            }
            let worker = &mut self.counts.workers[rank];
            worker.n_done += n_done;
            worker.n_failed += n_failed;
            worker.busy += took;
        }
        if n_failed > 0 && self.on_error == OnError::Stop {
            self.run.cancel_token().cancel();
        }
        self.tell();
        Chunk { indices, outputs }
    }

    fn tell(&mut self) {
        if let Some(tell) = &self.progress {
            self.counts.elapsed = self.start.elapsed();
            tell(&self.counts);
        }
    }
}

/// The chunks of a run as an iterator; from [`Pending::chunks`] and [`Pending::chunks_in_order`].
///
/// Dropping it ends the run, as dropping [`Pending`] does.
#[derive(Debug)]
#[must_use = "a run that is dropped is cancelled"]
pub struct Chunks<O> {
    pending: Pending<O>,
    /// What waits for its turn, if there are turns.
    early: Option<Early<O>>,
}

#[derive(Debug)]
struct Early<O> {
    chunks: BTreeMap<usize, Chunk<O>>,
    turn: usize,
}

impl<O> Default for Early<O> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), turn: 0 }
    }
}

impl<O: 'static> Chunks<O> {
    /// How the run went as a whole, once the last chunk was given.
    #[must_use]
    pub fn summary(&self) -> Option<&RunSummary> {
        self.pending.summary.as_ref()
    }
}

impl<O: 'static> Iterator for Chunks<O> {
    type Item = Result<Chunk<O>, PmError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(early) = &mut self.early
                && let Some(chunk) = early.chunks.remove(&early.turn)
            {
                early.turn = chunk.indices.end;
                return Some(Ok(chunk));
            }
            if self.pending.failed {
                return None;
            }
            match self.pending.step() {
                Ok(Some(chunk)) => match &mut self.early {
                    Some(early) => {
                        early.chunks.insert(chunk.indices.start, chunk);
                    }
                    None => return Some(Ok(chunk)),
                },
                Ok(None) => return None,
                Err(error) => {
                    self.pending.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<O> Drop for Pending<O> {
    fn drop(&mut self) {
        // What is left of the run ends here; at the end of a run this changes nothing.
        self.run.cancel_token().cancel();
        self.running.close();
        self.run.unwatch();
    }
}

impl<O> fmt::Debug for Pending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("manager", &self.manager)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}
