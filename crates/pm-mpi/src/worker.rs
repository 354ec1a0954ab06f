//! One worker of one run, on a thread of its rank.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pm_api::backend::{
    Departed, FarModel, Fault, Run, RunWatch, TaskEntry, catch_panic, run_started, tasks,
};
use pm_api::{CancelToken, CodecError, FailureKind, Peers, SerialPeers};

use crate::MpiPeers;
use crate::mail::{About, Body, Letter, Port};
use crate::team::Team;

/// What a worker is to do.
pub(crate) struct Job {
    pub(crate) team: Arc<Team>,
    pub(crate) run: About,
    pub(crate) task: String,
    /// The encoded arguments.
    pub(crate) args: Vec<u8>,
    pub(crate) n_workers: usize,
    pub(crate) seed: u64,
    pub(crate) cancel: CancelToken,
    /// The run itself, on ranks that have it; they need not be sent any parameters.
    pub(crate) own: Option<Run>,
}

/// Starts the worker of this rank.
pub(crate) fn start(job: Job) -> io::Result<JoinHandle<()>> {
    let name = format!("pm-mpi-{}", job.team.world.rank);
    thread::Builder::new().name(name).spawn(move || Worker::new(job).work())
}

struct Worker {
    job: Job,
    entry: Option<TaskEntry>,
    peers: Box<dyn Peers>,
    watch: Option<Arc<dyn RunWatch>>,
    model: Option<FarModel>,
    params: Vec<u8>,
    outputs: Vec<u8>,
}

impl Worker {
    fn new(job: Job) -> Self {
        let Job { ref team, run, n_workers, .. } = job;
        let peers: Box<dyn Peers> = if n_workers > 1 {
            Box::new(MpiPeers::new(team, run, n_workers, Some(&job.cancel)))
        } else {
            Box::new(SerialPeers::new())
        };
        let watch = match &job.own {
            // Where the run was started its own watch is; elsewhere one begins with the worker.
            Some(run) if team.rank == 0 => run.watch(n_workers).cloned(),
            _ => run_started(&job.task, n_workers),
        };
        // Tasks of one name are an error when MPI begins.
        let entry = tasks().ok().and_then(|tasks| tasks.get(&job.task)).cloned();
        let (model, params, outputs) = (None, Vec::new(), Vec::new());
        Self { job, entry, peers, watch, model, params, outputs }
    }

    fn tell(&self, body: Body, payload: &[u8]) {
        self.job.team.post(0, self.job.run, Port::Driver, body, payload);
    }

    /// Serves the run to its end, which is told last.
    fn work(mut self) {
        let watch = self.watch.as_ref().map(|watch| watch.worker_started(self.job.team.rank));
        let world = self.job.team.world;
        let inbox = world.inbox(self.job.run, Port::Worker);
        loop {
            let letter = world.wait(&inbox, None, |letters| letters.pop_front());
            let Some(Letter { body, payload, .. }) = letter else { continue };
            let goes_on = match body {
                Body::Chunk { start, end, attempt, limit } => {
                    self.chunk(start..end, attempt, limit, &payload)
                }
                Body::NoMore => {
                    self.leave_group("it has no more tasks");
                    false
                }
                Body::Idle => {
                    // Who waits for work cannot come to a collective that others may be waiting
                    // in, and it may be their work that it waits for.
                    self.leave_group("it has no task at the moment");
                    true
                }
                _ => true,
            };
            if !goes_on {
                break;
            }
        }
        self.drop_model();
        let report = watch.and_then(|watch| watch.ended());
        let has_report = report.is_some();
        // Nobody of the group is told anything after this.
        self.peers = Box::new(SerialPeers::new());
        self.tell(Body::Ended { has_report }, &report.unwrap_or_default());
        if self.job.own.is_none() {
            // Elsewhere the caller of the run does it.
            world.with_boxes(|boxes| boxes.close(self.job.run));
        }
    }

    /// Does a chunk; whether there may be another one.
    fn chunk(
        &mut self,
        indices: std::ops::Range<usize>,
        attempt: u32,
        limit: Option<Duration>,
        payload: &[u8],
    ) -> bool {
        if self.job.cancel.is_cancelled() {
            self.tell(Body::NotBegun, &[]);
            return true;
        }
        if self.model.is_none() {
            match self.build() {
                Ok(model) => {
                    self.model = Some(model);
                    self.tell(Body::Built, &[]);
                }
                Err(fault) => {
                    self.leave_group(&format!("it could not build its model: {}", fault.message()));
                    self.tell(Body::NoModel { fault }, &[]);
                    return false;
                }
            }
        }
        let start = Instant::now();
        let executed = self.execute(indices, attempt, limit, payload);
        let took = start.elapsed();
        let was_cancelled = |fault: &Fault| fault.kind() == FailureKind::Cancelled;
        let executed = match limit {
            // What was right too late is a timeout, as it is where a task is killed for it.
            Some(limit) if took >= limit && executed.as_ref().err().is_none_or(was_cancelled) => {
                Err(Fault::timeout(limit))
            }
            _ => executed,
        };
        match executed {
            Ok(()) => self.tell(Body::Done { took }, &self.outputs),
            Err(fault) => {
                // Those who wait for it in a collective would be answered by a later one.
                self.leave_group(&format!("its task failed: {}", fault.message()));
                if fault.kind() == FailureKind::Panic {
                    // What a panic leaves behind cannot be trusted.
                    self.drop_model();
                }
                self.tell(Body::Failed { fault, took }, &[]);
            }
        }
        true
    }

    fn build(&self) -> Result<FarModel, Fault> {
        let Job { ref team, n_workers, seed, .. } = self.job;
        let worker = pm_api::Worker::new(team.rank, n_workers, &self.job.cancel)
            .with_peers(&*self.peers)
            .with_run_seed(seed);
        match &self.entry {
            Some(entry) => entry.build(&self.job.args, &worker),
            // Rank 0 looks for it, too, and all have the same tasks.
            None => {
                let text = format!("task {:?} is not registered in the worker", self.job.task);
                Err(Fault::new(FailureKind::Build, text))
            }
        }
    }

    fn execute(
        &mut self,
        indices: std::ops::Range<usize>,
        attempt: u32,
        limit: Option<Duration>,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let params = match &self.job.own {
            Some(run) => {
                let world = self.job.team.world;
                let encode =
                    || encoded(|| run.encode_params_into(indices.clone(), &mut self.params));
                let (params, arrays) = world.by_reference(encode);
                world.give(world.rank, &arrays);
                params?;
                &self.params[..]
            }
            None => payload,
        };
        let Job { ref team, n_workers, seed, .. } = self.job;
        let worker = pm_api::Worker::new(team.rank, n_workers, &self.job.cancel)
            .with_peers(&*self.peers)
            .with_chunk(indices, attempt)
            .with_run_seed(seed)
            .with_deadline(limit.and_then(|limit| Instant::now().checked_add(limit)));
        let model = self.model.as_mut().expect("it was built just now or before");
        model.execute_into(params, &worker, &mut self.outputs)
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

/// What the user's own encoding came to.
pub(crate) fn encoded<T>(encode: impl FnOnce() -> Result<T, CodecError>) -> Result<T, Fault> {
    match catch_panic(encode) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::from_error(FailureKind::Encode, error)),
        Err(panic) => Err(Fault::new(FailureKind::Encode, panic)),
    }
}
