//! A run with its types taken away, for managers to work on.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backend::{CopyFrom, CopyTo, Fault};
use crate::queue::Policy;
use crate::watch::RunWatch;
use crate::work::{self, Work};
use crate::{CancelToken, CodecError, RunOptions, Schedule, Worker, codec, panics, watch};

/// One run of a task over parameters, as a manager sees it: so many tasks, to be built, executed
/// or sent by range. Clones are the same run.
///
/// Managers in this process call [`build`](Self::build) and [`execute`](Self::execute) in their
/// workers (or leave it all to [`LocalWorker`](crate::backend::LocalWorker)). Managers in other processes
/// send the bytes of [`encode_args`](Self::encode_args) and
/// [`encode_params`](Self::encode_params) to a [`TaskEntry`](crate::backend::TaskEntry) there and give what
/// comes back to [`decode_outputs`](Self::decode_outputs).
#[derive(Clone)]
pub struct Run {
    erased: Arc<dyn Erased>,
    schedule: Schedule,
    cancel: CancelToken,
    buffer: Option<usize>,
    seed: u64,
    policy: Policy,
    watch: Arc<OnceLock<Option<Arc<dyn RunWatch>>>>,
}

/// The model of one worker, of a type that only its run knows.
pub struct Model(Box<dyn Any>);

/// The outputs of one chunk, of a type that only their run knows.
pub struct Outputs {
    values: Box<dyn Any + Send>,
    len: usize,
}

impl Outputs {
    pub(crate) fn new<O: Send + 'static>(values: Vec<O>) -> Self {
        Self { len: values.len(), values: Box::new(values) }
    }

    /// How many outputs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn into_typed<O: 'static>(self) -> Vec<O> {
        *self.values.downcast().expect("outputs go back to the run that made them")
    }
}

impl Run {
    pub(crate) fn new<W: Work>(
        work: W,
        args: W::Args,
        params: Vec<W::Param>,
        options: &RunOptions,
    ) -> Self {
        panics::install_hook();
        Self {
            erased: Arc::new(Typed { work, args, params }),
            schedule: options.schedule.clone(),
            cancel: options.cancel.child(),
            buffer: options.buffer,
            seed: options.seed,
            policy: Policy::new(options),
            watch: Arc::default(),
        }
    }

    /// [`Task::NAME`](crate::Task::NAME).
    #[must_use]
    pub fn task_name(&self) -> &'static str {
        self.erased.name()
    }

    /// How many tasks there are; they are numbered from 0.
    #[must_use]
    pub fn n_tasks(&self) -> usize {
        self.erased.n_tasks()
    }

    /// How the tasks are to be handed out.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The run's own token, cancelled by the user's and when the run is dropped.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// What [`Worker::seed`] derives the seeds of tasks from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long a task may take, if that is limited, so that somebody has to look after it; see
    /// [`ChunkQueue::next_deadline`](crate::backend::ChunkQueue::next_deadline).
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.policy.timeout
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Who is to be told of the workers of this run; the first call, by the backend that starts it
    /// with `n_workers` workers, tells of the run itself.
    #[must_use]
    pub fn watch(&self, n_workers: usize) -> Option<&Arc<dyn RunWatch>> {
        self.watch.get_or_init(|| watch::begin(self.task_name(), n_workers, false)).as_ref()
    }

    /// Tells whoever watches that no worker will report any more. Called by what gathers.
    pub(crate) fn unwatch(&self) {
        if let Some(Some(watch)) = self.watch.get() {
            watch.run_ended();
        }
    }

    /// How many finished chunks may wait for the caller when they are limited at all, for a run
    /// of `n_workers` workers; at least 1.
    #[must_use]
    pub fn buffer(&self, n_workers: usize) -> usize {
        self.buffer.unwrap_or(2 * n_workers).max(1)
    }

    /// Builds the model of `worker`, on this thread.
    ///
    /// # Errors
    ///
    /// A fault of kind [`FailureKind::Build`](crate::FailureKind::Build) if the task returned an error or panicked.
    pub fn build(&self, worker: &Worker<'_>) -> Result<Model, Fault> {
        self.erased.build(worker)
    }

    /// Computes the outputs of tasks `indices` with a model that this run built.
    ///
    /// # Errors
    ///
    /// A fault if the task returned an error, the wrong number of outputs, or panicked. After
    /// [`FailureKind::Panic`](crate::FailureKind::Panic) the model must not be used again.
    ///
    /// # Panics
    ///
    /// If `indices` is not within the run, or the model is another run's.
    pub fn execute(
        &self,
        model: &mut Model,
        indices: Range<usize>,
        worker: &Worker<'_>,
    ) -> Result<Outputs, Fault> {
        self.erased.execute(model, indices, worker)
    }

    /// Encodes the arguments.
    ///
    /// # Errors
    ///
    /// [`CodecError::Postcard`] if their `Serialize` fails or they hold what postcard cannot say.
    pub fn encode_args(&self) -> Result<Vec<u8>, CodecError> {
        self.erased.encode_args()
    }

    /// Encodes the parameters of tasks `indices`.
    ///
    /// # Errors
    ///
    /// As [`encode_args`](Self::encode_args).
    ///
    /// # Panics
    ///
    /// If `indices` is not within the run.
    pub fn encode_params(&self, indices: Range<usize>) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        self.erased.encode_params(indices, &mut bytes, None).map(|_| bytes)
    }

    /// As [`encode_params`](Self::encode_params), into memory that is used again; what was in it is
    /// lost.
    ///
    /// # Errors
    ///
    /// As [`encode_params`](Self::encode_params).
    ///
    /// # Panics
    ///
    /// If `indices` is not within the run.
    pub fn encode_params_into(
        &self,
        indices: Range<usize>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        self.erased.encode_params(indices, bytes, None).map(drop)
    }

    /// As [`encode_params_into`](Self::encode_params_into), but into `long` if there are long
    /// [arrays](crate::Array) among them, so that these are copied once; whether they are there.
    ///
    /// # Errors
    ///
    /// As [`encode_args`](Self::encode_args), and if `long` has no memory.
    ///
    /// # Panics
    ///
    /// If `indices` is not within the run.
    pub fn encode_params_to(
        &self,
        indices: Range<usize>,
        bytes: &mut Vec<u8>,
        long: &mut dyn CopyTo,
    ) -> Result<bool, CodecError> {
        self.erased.encode_params(indices, bytes, Some(long))
    }

    /// Decodes what a worker sent back for tasks `indices`.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the bytes do not hold as many outputs of the task's type.
    pub fn decode_outputs(
        &self,
        indices: Range<usize>,
        bytes: &[u8],
    ) -> Result<Outputs, CodecError> {
        self.erased.decode_outputs(indices, bytes)
    }

    /// As [`decode_outputs`](Self::decode_outputs), out of memory that can only be copied; long
    /// [arrays](crate::Array) are copied once.
    ///
    /// # Errors
    ///
    /// As [`decode_outputs`](Self::decode_outputs).
    pub fn decode_outputs_from(
        &self,
        indices: Range<usize>,
        from: &dyn CopyFrom,
    ) -> Result<Outputs, CodecError> {
        self.erased.decode_outputs_from(indices, from)
    }
}

trait Erased: Send + Sync {
    fn name(&self) -> &'static str;
    fn n_tasks(&self) -> usize;
    fn build(&self, worker: &Worker<'_>) -> Result<Model, Fault>;
    fn execute(&self, m: &mut Model, at: Range<usize>, w: &Worker<'_>) -> Result<Outputs, Fault>;
    fn encode_args(&self) -> Result<Vec<u8>, CodecError>;
    fn encode_params(
        &self,
        at: Range<usize>,
        bytes: &mut Vec<u8>,
        long: Option<&mut dyn CopyTo>,
    ) -> Result<bool, CodecError>;
    fn decode_outputs(&self, indices: Range<usize>, bytes: &[u8]) -> Result<Outputs, CodecError>;
    fn decode_outputs_from(
        &self,
        indices: Range<usize>,
        from: &dyn CopyFrom,
    ) -> Result<Outputs, CodecError>;
}

struct Typed<W: Work> {
    work: W,
    args: W::Args,
    params: Vec<W::Param>,
}

impl<W: Work> Erased for Typed<W> {
    fn name(&self) -> &'static str {
        self.work.name()
    }

    fn n_tasks(&self) -> usize {
        self.params.len()
    }

    fn build(&self, worker: &Worker<'_>) -> Result<Model, Fault> {
        work::build(&self.work, &self.args, worker).map(|model| Model(Box::new(model)))
    }

    fn execute(&self, m: &mut Model, at: Range<usize>, w: &Worker<'_>) -> Result<Outputs, Fault> {
        let model = m.0.downcast_mut().expect("models go back to the run that built them");
        work::execute(&self.work, model, &self.params[at], w).map(Outputs::new)
    }

    fn encode_args(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode("encode the arguments", self.name(), &self.args)
    }

    fn encode_params(
        &self,
        at: Range<usize>,
        bytes: &mut Vec<u8>,
        long: Option<&mut dyn CopyTo>,
    ) -> Result<bool, CodecError> {
        codec::encode_into("encode the parameters", self.name(), &self.params[at], bytes, long)
    }

    fn decode_outputs(&self, indices: Range<usize>, bytes: &[u8]) -> Result<Outputs, CodecError> {
        let outputs = codec::decode("decode the outputs", "outputs", self.name(), bytes)?;
        self.outputs(indices, outputs)
    }

    fn decode_outputs_from(
        &self,
        indices: Range<usize>,
        from: &dyn CopyFrom,
    ) -> Result<Outputs, CodecError> {
        let outputs = codec::decode_from("decode the outputs", "outputs", self.name(), from)?;
        self.outputs(indices, outputs)
    }
}

impl<W: Work> Typed<W> {
    fn outputs(
        &self,
        indices: Range<usize>,
        outputs: Vec<W::Output>,
    ) -> Result<Outputs, CodecError> {
        if outputs.len() != indices.len() {
            let (task, n_outputs) = (self.work.name(), outputs.len());
            return Err(CodecError::OutputCount { task, n_outputs, indices });
        }
        Ok(Outputs::new(outputs))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("task", &self.task_name())
            .field("n_tasks", &self.n_tasks())
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs").field("len", &self.len).finish_non_exhaustive()
    }
}
