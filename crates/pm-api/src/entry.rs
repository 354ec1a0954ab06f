//! The far end of a run: a task met by bytes in another process.

use std::any::Any;
use std::fmt;

use crate::backend::Fault;
use crate::run::{build, decode, encode, execute};
use crate::{FailureKind, Task, Worker, panics};

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
#[derive(Clone, Copy)]
pub struct TaskEntry {
    name: &'static str,
    build: fn(&[u8], &Worker<'_>) -> Result<FarModel, Fault>,
}

/// The model of a worker that gets its parameters as bytes.
pub struct FarModel {
    model: Box<dyn Any>,
    execute: ExecuteFar,
}

type ExecuteFar = fn(&mut dyn Any, &[u8], &Worker<'_>) -> Result<Vec<u8>, Fault>;

impl TaskEntry {
    /// The entry of task `T`.
    #[must_use]
    pub fn of<T: Task>() -> Self {
        Self { name: T::NAME, build: build_far::<T> }
    }

    /// [`Task::NAME`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Builds a model from encoded arguments.
    ///
    /// # Errors
    ///
    /// A fault of kind [`FailureKind::Codec`] if the bytes are not the task's arguments, else as
    /// [`Run::build`](crate::backend::Run::build).
    pub fn build(&self, args: &[u8], worker: &Worker<'_>) -> Result<FarModel, Fault> {
        panics::install_hook();
        (self.build)(args, worker)
    }
}

impl FarModel {
    /// Computes the encoded outputs of a chunk of encoded parameters.
    ///
    /// # Errors
    ///
    /// A fault of kind [`FailureKind::Codec`] if the bytes are not parameters of the task or the
    /// outputs cannot be encoded, else as [`Run::execute`](crate::backend::Run::execute).
    pub fn execute(&mut self, params: &[u8], worker: &Worker<'_>) -> Result<Vec<u8>, Fault> {
        (self.execute)(&mut *self.model, params, worker)
    }
}

fn codec(error: crate::CodecError) -> Fault {
    Fault::from_error(FailureKind::Codec, error)
}

fn build_far<T: Task>(args: &[u8], worker: &Worker<'_>) -> Result<FarModel, Fault> {
    let args: T::Args = decode::<T, _>("decode the arguments", "arguments", args).map_err(codec)?;
    let model = build::<T>(&args, worker)?;
    Ok(FarModel { model: Box::new(model), execute: execute_far::<T> })
}

fn execute_far<T: Task>(
    model: &mut dyn Any,
    params: &[u8],
    worker: &Worker<'_>,
) -> Result<Vec<u8>, Fault> {
    let model = model.downcast_mut().expect("the entry built this model itself");
    let params: Vec<T::Param> =
        decode::<T, _>("decode the parameters", "parameters", params).map_err(codec)?;
    let outputs = execute::<T>(model, &params, worker)?;
    encode::<T, _>("encode the outputs", outputs.as_slice()).map_err(codec)
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
