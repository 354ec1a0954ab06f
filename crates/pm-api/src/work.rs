//! What tasks, plain functions and SPMD functions have in common, to run and to send.

use std::any::{TypeId, type_name};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::Fault;
use crate::panics::Panic;
use crate::{FailureKind, Task, TaskError, Worker, panics};

/// A [`Task`] whose functions may be values.
pub(crate) trait Work: Send + Sync + 'static {
    type Args: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    type Model: 'static;
    type Param: Serialize + DeserializeOwned + Send + Sync + 'static;
    type Output: Serialize + DeserializeOwned + Send + 'static;

    fn name(&self) -> &'static str;
    fn build(&self, args: &Self::Args, worker: &Worker<'_>) -> Result<Self::Model, TaskError>;
    fn execute(
        &self,
        model: &mut Self::Model,
        params: &[Self::Param],
        worker: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError>;
}

/// A task that is a type.
pub(crate) struct Of<T>(PhantomData<fn() -> T>);

impl<T> Of<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Task> Work for Of<T> {
    type Args = T::Args;
    type Model = T::Model;
    type Param = T::Param;
    type Output = T::Output;

    fn name(&self) -> &'static str {
        T::NAME
    }

    fn build(&self, args: &T::Args, worker: &Worker<'_>) -> Result<T::Model, TaskError> {
        T::build(args, worker)
    }

    fn execute(
        &self,
        model: &mut T::Model,
        params: &[T::Param],
        worker: &Worker<'_>,
    ) -> Result<Vec<T::Output>, TaskError> {
        T::execute(model, params, worker)
    }
}

/// A task that is two functions.
pub(crate) struct Plain<B, X, S> {
    name: &'static str,
    build: B,
    execute: X,
    signature: PhantomData<fn() -> S>,
}

impl<B: 'static, X: 'static, S> Plain<B, X, S> {
    pub(crate) fn new(name: &'static str, build: B, execute: X) -> Self {
        Self { name, build, execute, signature: PhantomData }
    }

    /// What tells these two functions from any others of the program.
    pub(crate) fn key() -> TypeId {
        TypeId::of::<(B, X)>()
    }

    /// The name that functions have which were not given one.
    pub(crate) fn type_name() -> &'static str {
        type_name::<X>()
    }
}

impl<B, X, A, M, P, O, E, F> Work for Plain<B, X, (A, M, P, O, E, F)>
where
    B: Fn(&A) -> Result<M, E> + Send + Sync + 'static,
    X: Fn(&mut M, &[P]) -> Result<Vec<O>, F> + Send + Sync + 'static,
    A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    M: 'static,
    P: Serialize + DeserializeOwned + Send + Sync + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
    E: Into<TaskError> + 'static,
    F: Into<TaskError> + 'static,
{
    type Args = A;
    type Model = M;
    type Param = P;
    type Output = O;

    fn name(&self) -> &'static str {
        self.name
    }

    fn build(&self, args: &A, _: &Worker<'_>) -> Result<M, TaskError> {
        (self.build)(args).map_err(Into::into)
    }

    fn execute(&self, model: &mut M, params: &[P], _: &Worker<'_>) -> Result<Vec<O>, TaskError> {
        (self.execute)(model, params).map_err(Into::into)
    }
}

pub(crate) fn build<W: Work>(
    work: &W,
    args: &W::Args,
    worker: &Worker<'_>,
) -> Result<W::Model, Fault> {
    match panics::catch_panic(|| work.build(args, worker)) {
        Ok(Ok(model)) => Ok(model),
        Ok(Err(error)) => Err(Fault::from_task(FailureKind::Build, &error)),
        Err(Panic { message, location }) => {
            let message = format!("build panicked: {message}");
            Err(Fault::new(FailureKind::Build, message).with_location(location))
        }
    }
}

pub(crate) fn execute<W: Work>(
    work: &W,
    model: &mut W::Model,
    params: &[W::Param],
    worker: &Worker<'_>,
) -> Result<Vec<W::Output>, Fault> {
    match panics::catch_panic(|| work.execute(model, params, worker)) {
        Ok(Ok(outputs)) if outputs.len() == params.len() => Ok(outputs),
        Ok(Ok(outputs)) => {
            let text = format!("{} outputs for {} parameters", outputs.len(), params.len());
            Err(Fault::new(FailureKind::Arity, text))
        }
        Ok(Err(error)) => Err(Fault::from_task(FailureKind::Error, &error)),
        Err(Panic { message, location }) => {
            Err(Fault::new(FailureKind::Panic, message).with_location(location))
        }
    }
}
