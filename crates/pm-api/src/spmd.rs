//! One function on every worker at once.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Task, TaskError, Worker};

/// A function that runs once on every worker of a manager, all at once, and talks to the others
/// through [`Worker::peers`]: single program, multiple data.
///
/// ```
/// use pm_api::{PeersExt as _, Scatter as _, SerialManager, Spmd, Sum, TaskError, Worker};
///
/// /// Counts the multiples of 7 below a bound, each rank its part of the numbers.
/// struct Sevens;
///
/// impl Spmd for Sevens {
///     const NAME: &'static str = "docs::sevens";
///     type Args = usize;
///     type Output = u64;
///
///     fn run(&below: &usize, worker: &Worker<'_>) -> Result<u64, TaskError> {
///         let peers = worker.peers();
///         let own = (peers.rank()..below).step_by(peers.size());
///         let mut n = [own.filter(|i| i % 7 == 0).count() as u64];
///         peers.all_reduce(&mut n, Sum)?;
///         Ok(n[0])
///     }
/// }
///
/// assert_eq!(SerialManager::new().run::<Sevens>(100)?, [15]); // one output per rank
/// # Ok::<(), pm_api::PmError>(())
/// ```
pub trait Spmd: 'static {
    /// A name no other task or SPMD function of the program has; see [`Task::NAME`].
    const NAME: &'static str;
    /// What every rank is given.
    type Args: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What every rank returns.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// Does the part of one rank.
    ///
    /// # Errors
    ///
    /// What stopped it; the other ranks' collectives fail then, and name this one.
    fn run(args: &Self::Args, worker: &Worker<'_>) -> Result<Self::Output, TaskError>;
}

/// An SPMD function as a task: one task per worker, whose model is the arguments.
pub(crate) struct SpmdTask<S>(PhantomData<S>);

impl<S: Spmd> Task for SpmdTask<S> {
    const NAME: &'static str = S::NAME;
    type Args = S::Args;
    type Model = S::Args;
    type Param = ();
    type Output = S::Output;

    fn build(args: &S::Args, _: &Worker<'_>) -> Result<S::Args, TaskError> {
        Ok(args.clone())
    }

    fn execute(
        args: &mut S::Args,
        params: &[()],
        worker: &Worker<'_>,
    ) -> Result<Vec<S::Output>, TaskError> {
        params.iter().map(|()| S::run(args, worker)).collect()
    }
}
