//! The far end of a run: a task met by bytes in another process.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{CopyFrom, CopyTo, Fault};
use crate::spmd::SpmdTask;
use crate::work::{self, Of, Plain, Work};
use crate::{FailureKind, Spmd, Task, TaskError, Worker, codec, panics};

/// A task as a worker in another process knows it: by name, with bytes for types.
///
/// ```
/// # use pm_api::{CancelToken, Task, TaskError, Worker, backend::TaskEntry};
/// # struct Double;
/// # impl Task for Double {
/// #     const NAME: &'static str = "docs::double";
/// #     type Args = ();
/// #     type Model = ();
/// #     type Param = u32;
/// #     type Output = u32;
/// #     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> { Ok(()) }
/// #     fn execute(_: &mut (), p: &[u32], _: &Worker<'_>) -> Result<Vec<u32>, TaskError> {
/// #         Ok(p.iter().map(|p| 2 * p).collect())
/// #     }
/// # }
/// let entry = TaskEntry::of::<Double>();
/// let cancel = CancelToken::new();
/// let worker = Worker::new(0, 1, &cancel);
/// let mut model = entry.build(&[], &worker).unwrap();
/// // A length and a number, in postcard's encoding.
/// assert_eq!(model.execute(&[1, 21], &worker).unwrap(), [1, 42]);
/// ```
#[derive(Clone)]
pub struct TaskEntry {
    name: &'static str,
    key: TypeId,
    far: Arc<dyn Far>,
}

/// The model of a worker that gets its parameters as bytes.
pub struct FarModel(Box<dyn FarExecute>);

/// Parameters, where they are.
enum Encoded<'a> {
    Here(&'a [u8]),
    There(&'a dyn CopyFrom),
}

trait Far: Send + Sync {
    fn build(self: Arc<Self>, args: &[u8], worker: &Worker<'_>) -> Result<FarModel, Fault>;
}

trait FarExecute {
    fn execute(
        &mut self,
        params: Encoded<'_>,
        w: &Worker<'_>,
        out: &mut Vec<u8>,
        long: Option<&mut dyn CopyTo>,
    ) -> Result<bool, Fault>;
}

struct Typed<W: Work> {
    work: Arc<W>,
    model: W::Model,
}

impl TaskEntry {
    /// The entry of task `T`.
    #[must_use]
    pub fn of<T: Task>() -> Self {
        Self::new(TypeId::of::<T>(), Of::<T>::new())
    }

    /// The entry of the SPMD function `S`.
    #[must_use]
    pub fn of_spmd<S: Spmd>() -> Self {
        Self::of::<SpmdTask<S>>()
    }

    /// The entry of two plain functions, under `name`; see
    /// [`Scatter::scatter_fn`](crate::Scatter::scatter_fn).
    #[must_use]
    pub fn of_fn<A, M, P, O, E, F>(
        name: &'static str,
        build: impl Fn(&A) -> Result<M, E> + Send + Sync + 'static,
        execute: impl Fn(&mut M, &[P]) -> Result<Vec<O>, F> + Send + Sync + 'static,
    ) -> Self
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        M: 'static,
        P: Serialize + DeserializeOwned + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
        E: Into<TaskError> + 'static,
        F: Into<TaskError> + 'static,
    {
        fn keyed<B: 'static, X: 'static, S>(plain: Plain<B, X, S>) -> (TypeId, Plain<B, X, S>) {
            (Plain::<B, X, S>::key(), plain)
        }
        let (key, plain) = keyed(Plain::<_, _, (A, M, P, O, E, F)>::new(name, build, execute));
        Self::new(key, plain)
    }

    fn new(key: TypeId, work: impl Work) -> Self {
        Self { name: work.name(), key, far: Arc::new(work) }
    }

    /// [`Task::NAME`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What tells its type or functions from any others of this program.
    pub(crate) fn key(&self) -> TypeId {
        self.key
    }

    /// Builds a model from encoded arguments.
    ///
    /// # Errors
    ///
    /// A fault of kind [`FailureKind::Decode`] if the bytes are not the task's arguments, else as
    /// [`Run::build`](crate::backend::Run::build).
    pub fn build(&self, args: &[u8], worker: &Worker<'_>) -> Result<FarModel, Fault> {
        panics::install_hook();
        Arc::clone(&self.far).build(args, worker)
    }
}

impl FarModel {
    /// Computes the encoded outputs of a chunk of encoded parameters.
    ///
    /// # Errors
    ///
    /// A fault of kind [`FailureKind::Decode`] if the bytes are not parameters of the task, or
    /// [`FailureKind::Encode`] if the outputs cannot be encoded, else as
    /// [`Run::execute`](crate::backend::Run::execute).
    pub fn execute(&mut self, params: &[u8], worker: &Worker<'_>) -> Result<Vec<u8>, Fault> {
        let mut outputs = Vec::new();
        self.0.execute(Encoded::Here(params), worker, &mut outputs, None).map(|_| outputs)
    }

    /// As [`execute`](Self::execute), into memory that is used again; what was in it is lost.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute).
    pub fn execute_into(
        &mut self,
        params: &[u8],
        worker: &Worker<'_>,
        outputs: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.0.execute(Encoded::Here(params), worker, outputs, None).map(drop)
    }

    /// As [`execute_into`](Self::execute_into), but into `long` if there are long
    /// [arrays](crate::Array) among the outputs, so that these are copied once; whether they are
    /// there.
    ///
    /// # Errors
    ///
    /// As [`execute`](Self::execute), and if `long` has no memory.
    pub fn execute_to(
        &mut self,
        params: &[u8],
        worker: &Worker<'_>,
        outputs: &mut Vec<u8>,
        long: &mut dyn CopyTo,
    ) -> Result<bool, Fault> {
        self.0.execute(Encoded::Here(params), worker, outputs, Some(long))
    }

    /// As [`execute_to`](Self::execute_to), with parameters in memory that can only be copied; long
    /// arrays are copied once.
    ///
    /// # Errors
    ///
    /// As [`execute_to`](Self::execute_to).
    pub fn execute_from(
        &mut self,
        params: &dyn CopyFrom,
        worker: &Worker<'_>,
        outputs: &mut Vec<u8>,
        long: &mut dyn CopyTo,
    ) -> Result<bool, Fault> {
        self.0.execute(Encoded::There(params), worker, outputs, Some(long))
    }
}

impl<W: Work> Far for W {
    fn build(self: Arc<Self>, args: &[u8], worker: &Worker<'_>) -> Result<FarModel, Fault> {
        let args: W::Args = codec::decode("decode the arguments", "arguments", self.name(), args)
            .map_err(|e| Fault::from_error(FailureKind::Decode, e))?;
        let model = work::build(&*self, &args, worker)?;
        Ok(FarModel(Box::new(Typed { work: self, model })))
    }
}

impl<W: Work> FarExecute for Typed<W> {
    fn execute(
        &mut self,
        params: Encoded<'_>,
        w: &Worker<'_>,
        out: &mut Vec<u8>,
        long: Option<&mut dyn CopyTo>,
    ) -> Result<bool, Fault> {
        let name = self.work.name();
        let (action, what) = ("decode the parameters", "parameters");
        let decoded = match params {
            Encoded::Here(bytes) => codec::decode(action, what, name, bytes),
            Encoded::There(from) => codec::decode_from(action, what, name, from),
        };
        let params: Vec<W::Param> =
            decoded.map_err(|e| Fault::from_error(FailureKind::Decode, e))?;
        let outputs = work::execute(&*self.work, &mut self.model, &params, w)?;
        // Their memory may be of use for what follows.
        drop(params);
        codec::encode_into("encode the outputs", name, outputs.as_slice(), out, long)
            .map_err(|e| Fault::from_error(FailureKind::Encode, e))
    }
}

impl fmt::Debug for TaskEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for FarModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarModel").finish_non_exhaustive()
    }
}
