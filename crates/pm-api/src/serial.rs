//! The manager that does everything itself.

use std::sync::Arc;

use crate::backend::{ChunkQueue, Finished, LocalWorker, Run, RunEnd, Running};
use crate::{ParallelManager, PmError, SerialPeers};

/// Does the tasks one chunk after the other on the thread that gathers, when it gathers.
///
/// The reference for the other managers: no thread, no lock that anybody waits for, no order but
/// that of the tasks.
#[doc(alias = "SingleProcessParallelManager")]
#[derive(Debug, Clone, Copy, Default)]
pub struct SerialManager(());

impl SerialManager {
    /// The name of this manager.
    pub const NAME: &'static str = "serial";

    /// Makes the manager.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl ParallelManager for SerialManager {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn n_workers(&self) -> usize {
        1
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        let queue = Arc::new(ChunkQueue::new(&run, 1)?);
        let worker = LocalWorker::new(0, run, Arc::clone(&queue), Box::new(SerialPeers::new()));
        Ok(Box::new(SerialRunning { worker: Some(worker), queue }))
    }
}

struct SerialRunning {
    /// `None` once the run is over, so that its watch ends with it.
    worker: Option<LocalWorker>,
    queue: Arc<ChunkQueue>,
}

impl Running for SerialRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        Ok(self.worker.as_mut().and_then(Iterator::next))
    }

    fn bound(&mut self) {
        // A chunk is done only when it is asked for, so none ever waits.
    }

    fn end(&mut self) -> RunEnd {
        RunEnd {
            n_workers: self.queue.n_workers(),
            not_started: self.queue.drain(),
            lost_workers: self.worker.iter_mut().filter_map(LocalWorker::take_lost).collect(),
        }
    }

    fn close(&mut self) {
        self.worker = None;
    }
}
