//! Runs that are under way, and what comes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use crate::backend::{Fault, Finished, Run, RunEnd, Running};
use crate::options::ProgressFn;
use crate::{Failure, FailureKind, Gathered, LostWorker, PmError, Progress};

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
    outputs: PhantomData<fn() -> O>,
}

/// Tasks that came to an end together: neighbours that one worker did in one go, or that were
/// cancelled.
#[derive(Debug, Clone)]
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
    /// Workers that left because they could not build their model. What they left undone was done
    /// by others, unless all were lost.
    pub lost_workers: Vec<LostWorker>,
}

impl<O: 'static> Pending<O> {
    pub(crate) fn new(
        manager: &'static str,
        run: Run,
        running: Box<dyn Running>,
        progress: Option<ProgressFn>,
    ) -> Self {
        Self { manager, run, running, progress, outputs: PhantomData }
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
        mut self,
        mut each: impl FnMut(Chunk<O>) -> Result<(), E>,
    ) -> Result<RunSummary, E> {
        self.running.bound();
        let mut early = BTreeMap::new();
        let mut turn = 0;
        self.drive(|chunk| {
            early.insert(chunk.indices.start, chunk);
            while let Some(chunk) = early.remove(&turn) {
                turn = chunk.indices.end;
                each(chunk)?;
            }
            Ok(())
        })
    }

    /// Takes every chunk from the backend, tells the progress, and says at the end how it went.
    fn drive<E: From<PmError>>(
        &mut self,
        mut each: impl FnMut(Chunk<O>) -> Result<(), E>,
    ) -> Result<RunSummary, E> {
        let n_tasks = self.run.n_tasks();
        let mut progress = Progress { n_done: 0, n_failed: 0, n_tasks };
        if n_tasks == 0 {
            self.tell(progress);
        }
        let mut n_cancelled = 0;
        while let Some(Finished { indices, worker, outputs }) = self.running.next()? {
            let n = indices.len();
            let outputs = match outputs {
                Ok(outputs) => Ok(outputs.into_typed::<O>()),
                Err(fault) => Err(fault.at(indices.clone(), worker)),
            };
            match &outputs {
                Ok(_) => progress.n_done += n,
                Err(failure) if failure.kind == FailureKind::Cancelled => n_cancelled += n,
                Err(_) => progress.n_failed += n,
            }
            self.tell(progress);
            each(Chunk { indices, outputs })?;
        }
        let RunEnd { n_workers, not_started, lost_workers } = self.running.end();
        // If nobody cancelled, nothing may be left over, and it is counted as missing below.
        let cancelled = self.run.cancel_token().is_cancelled();
        for indices in not_started.into_iter().filter(|_| cancelled) {
            n_cancelled += indices.len();
            let fault = Fault::new(FailureKind::Cancelled, "the run was cancelled before");
            each(Chunk { indices: indices.clone(), outputs: Err(fault.at(indices, None)) })?;
        }
        let n_failed = progress.n_failed + n_cancelled;
        let n_missing = n_tasks.saturating_sub(progress.n_done + n_failed);
        if n_missing > 0 {
            return Err(PmError::Incomplete { manager: self.manager, n_missing, n_tasks }.into());
        }
        Ok(RunSummary { n_tasks, n_done: progress.n_done, n_failed, n_workers, lost_workers })
    }

    fn tell(&self, progress: Progress) {
        if let Some(tell) = &self.progress {
            tell(progress);
        }
    }
}

impl<O> Drop for Pending<O> {
    fn drop(&mut self) {
        // What is left of the run ends here; at the end of a run this changes nothing.
        self.run.cancel_token().cancel();
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
