//! A run that is scattered inside a task does not ask its manager for workers.

use pm_api::backend::{Run, Running};
use pm_api::{
    ParallelManager, PmError, RunOptions, Scatter as _, SerialManager, Spmd, Task, TaskError,
    Worker,
};

/// Has no workers for anybody.
#[derive(Debug)]
struct Refuses;

impl ParallelManager for Refuses {
    fn name(&self) -> &'static str {
        "refuses"
    }

    fn n_workers(&self) -> usize {
        4
    }

    fn start(&self, _: Run) -> Result<Box<dyn Running>, PmError> {
        Err(PmError::NoWorkers { manager: "refuses" })
    }
}

struct Rank;

impl Spmd for Rank {
    const NAME: &'static str = "nested::rank";
    type Args = ();
    type Output = (usize, usize);

    fn run((): &(), worker: &Worker<'_>) -> Result<(usize, usize), TaskError> {
        Ok((worker.peers().rank(), worker.peers().size()))
    }
}

/// Asks in building and in executing.
struct Asks;

impl Task for Asks {
    const NAME: &'static str = "nested::asks";
    type Args = ();
    type Model = Vec<(usize, usize)>;
    type Param = u8;
    type Output = Vec<(usize, usize)>;

    fn build((): &(), _: &Worker<'_>) -> Result<Self::Model, TaskError> {
        Ok(Refuses.run::<Rank>(())?)
    }

    fn execute(
        built: &mut Self::Model,
        params: &[u8],
        _: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError> {
        let executed = Refuses.run::<Rank>(())?;
        Ok(vec![[built.clone(), executed].concat(); params.len()])
    }
}

#[test]
fn runs_inside_tasks_are_done_there_and_outside_they_are_not() {
    let options = RunOptions::default();
    let pending = SerialManager::new().scatter::<Asks>((), vec![1, 2], &options).unwrap();
    let outputs = pending.gather().unwrap().into_complete().unwrap();
    assert_eq!(outputs, vec![vec![(0, 1), (0, 1)]; 2]);
    assert!(Refuses.run::<Rank>(()).is_err());
}
