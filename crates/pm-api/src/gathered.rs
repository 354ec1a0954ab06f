//! The results of a run, in the order of its parameters.

use crate::{Chunk, Failure, PmError, RunSummary};

/// All outputs and failures of a run, in the order of its parameters.
#[doc(alias = "LocalResults")]
#[derive(Debug, Clone)]
pub struct Gathered<O> {
    /// Ascending, and together every task once.
    chunks: Vec<Chunk<O>>,
    summary: RunSummary,
}

impl<O> Gathered<O> {
    pub(crate) fn new(mut chunks: Vec<Chunk<O>>, summary: RunSummary) -> Self {
        chunks.sort_unstable_by_key(|chunk| chunk.indices.start);
        Self { chunks, summary }
    }

    /// The output of task `idx`; `None` if it failed or there is no such task.
    #[must_use]
    pub fn get(&self, idx: usize) -> Option<&O> {
        let at = self.chunks.partition_point(|chunk| chunk.indices.end <= idx);
        let chunk = self.chunks.get(at)?;
        chunk.outputs.as_ref().ok()?.get(idx - chunk.indices.start)
    }

    /// The outputs that there are, each with the number of its task, ascending.
    pub fn outputs(&self) -> impl Iterator<Item = (usize, &O)> {
        self.chunks.iter().flat_map(|chunk| {
            chunk.indices.clone().zip(chunk.outputs.as_deref().unwrap_or_default())
        })
    }

    /// The failures, in the order of their tasks.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.chunks.iter().filter_map(|chunk| chunk.outputs.as_ref().err())
    }

    /// How the run went as a whole.
    #[must_use]
    pub fn summary(&self) -> &RunSummary {
        &self.summary
    }

    /// The chunks, in the order of their tasks; how the run was cut varies from run to run.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk<O>> {
        self.chunks
    }

    /// All outputs in the order of the parameters.
    ///
    /// # Errors
    ///
    /// [`PmError::Failed`] with every failure if there is any; the outputs are lost then, so
    /// whoever wants those that there are asks [`outputs`](Self::outputs) first.
    pub fn into_complete(self) -> Result<Vec<O>, PmError> {
        let n_tasks = self.summary.n_tasks;
        let mut all = Vec::with_capacity(self.summary.n_done);
        let mut failures = Vec::new();
        for chunk in self.chunks {
            match chunk.outputs {
                Ok(outputs) => all.extend(outputs),
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(all) } else { Err(PmError::Failed { failures, n_tasks }) }
    }
}
