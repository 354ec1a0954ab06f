//! A manager that meets its tasks by bytes only, as those in other processes do, keeps the
//! promises; so nothing in the interface needs shared memory.

use std::ops::Range;
use std::time::{Duration, Instant};

use pm_api::backend::{
    ChunkQueue, FarModel, Fault, Finished, Outputs, Run, RunEnd, Running, TaskEntry, Ticket,
    Verdict, tasks,
};
use pm_api::{
    CodecError, FailureKind, LostWorker, ParallelManager, PmError, RunOptions, Scatter as _, Task,
    TaskError, Worker,
};
use pm_conformance::{Capabilities, Setup};

fn setup() -> Setup {
    Setup::new("loopback", Capabilities::default().bytes(true), |_| Box::new(Loopback))
}

pm_conformance::conformance!(setup(); 1);

#[test]
fn what_does_not_apply_is_known() {
    assert_eq!(
        pm_conformance::not_applicable(&setup()),
        [
            "c14_arrays_beyond_2_gib_arrive_whole",
            "c24_a_worker_that_dies_is_reported_with_its_end",
            "c25_workers_that_cannot_start_are_an_error",
            "c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others",
            "c27_workers_end_when_their_manager_is_killed",
            "c31_a_task_that_hangs_is_given_up",
            "c32_a_worker_that_dies_once_is_replaced",
            "c36_lines_of_workers_are_neither_lost_nor_mixed",
            "c37_a_foreign_launcher_is_refused",
        ]
    );
}

/// One worker that gets and gives bytes.
#[derive(Debug)]
struct Loopback;

impl ParallelManager for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn n_workers(&self) -> usize {
        1
    }

    fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
        let queue = ChunkQueue::new(&run, 1)?;
        let entry = tasks()?.get(run.task_name()).cloned();
        let entry =
            entry.ok_or_else(|| PmError::NotRegistered { task: run.task_name().to_owned() })?;
        let undoable = Vec::new();
        Ok(Box::new(LoopbackRunning { run, queue, entry, model: None, lost: None, undoable }))
    }
}

struct LoopbackRunning {
    run: Run,
    queue: ChunkQueue,
    entry: TaskEntry,
    model: Option<FarModel>,
    lost: Option<LostWorker>,
    undoable: Vec<Range<usize>>,
}

fn encode(error: CodecError) -> Fault {
    Fault::from_error(FailureKind::Encode, error)
}

/// A fault that was sent, too.
fn sent(fault: &Fault) -> Fault {
    postcard::from_bytes(&postcard::to_stdvec(fault).expect("faults are sent")).expect("and come")
}

impl LoopbackRunning {
    fn build(&self) -> Result<FarModel, Fault> {
        let worker = Worker::new(0, 1, self.run.cancel_token()).with_run_seed(self.run.seed());
        self.entry.build(&self.run.encode_args().map_err(encode)?, &worker)
    }

    fn execute(&mut self, ticket: &Ticket) -> Result<Outputs, Fault> {
        let indices = ticket.indices();
        let limit = self.queue.limit(indices.len());
        let start = Instant::now();
        let worker = Worker::new(0, 1, self.run.cancel_token())
            .with_chunk(indices.clone(), ticket.attempt())
            .with_run_seed(self.run.seed())
            .with_deadline(limit.map(|limit| start + limit));
        let params = self.run.encode_params(indices.clone()).map_err(encode)?;
        let outputs = self.model.as_mut().expect("it was built before").execute(&params, &worker);
        if let Some(limit) = limit
            && start.elapsed() >= limit
        {
            return Err(Fault::timeout(limit));
        }
        let decode = |error| Fault::from_error(FailureKind::Decode, error);
        self.run.decode_outputs(indices, &outputs?).map_err(decode)
    }

    fn next_undoable(&mut self) -> Option<Finished> {
        let (indices, lost) = (self.undoable.pop()?, self.lost.as_ref()?);
        let (worker, outputs) = (Some(0), Err(lost.fault.clone()));
        Some(Finished { indices, worker, outputs, attempts: 0, took: Duration::ZERO })
    }
}

impl Running for LoopbackRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        loop {
            if self.lost.is_some() {
                return Ok(self.next_undoable());
            }
            let Some(ticket) = self.queue.take(0, self.model.is_some(), || ()) else {
                return Ok(None);
            };
            if self.model.is_none() {
                match self.build() {
                    Ok(model) => self.model = Some(model),
                    Err(fault) => {
                        self.undoable = self.queue.retire(0, ticket);
                        self.undoable.reverse();
                        self.lost = Some(LostWorker::new(0, sent(&fault)));
                        continue;
                    }
                }
                self.queue.built(&ticket);
            }
            let start = Instant::now();
            let outputs = self.execute(&ticket).map_err(|fault| sent(&fault));
            if outputs.as_ref().is_err_and(|fault| fault.kind() == FailureKind::Panic) {
                self.model = None;
            }
            if let Verdict::Report(done) = self.queue.finish(ticket, outputs, start.elapsed()) {
                return Ok(Some(done));
            }
        }
    }

    fn bound(&mut self) {}

    fn end(&mut self) -> RunEnd {
        RunEnd {
            n_workers: self.queue.n_workers(),
            not_started: self.queue.drain(),
            lost_workers: self.lost.take().into_iter().collect(),
        }
    }

    fn close(&mut self) {
        self.model = None;
    }
}

/// A value that postcard can write.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Odd {
    good: bool,
}

/// Gives back whether it got it.
struct Stubborn;

impl Task for Stubborn {
    const NAME: &'static str = "bytes::stubborn";
    type Args = Odd;
    type Model = ();
    type Param = (bool, bool);
    type Output = Odd;

    fn build(_: &Odd, _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), p: &[(bool, bool)], _: &Worker<'_>) -> Result<Vec<Odd>, TaskError> {
        Ok(p.iter().map(|&(good, _)| Odd { good }).collect())
    }
}

pm_api::register_task!(Stubborn);

#[test]
fn a_task_that_is_not_registered_is_an_error_that_names_it() {
    fn build((): &()) -> Result<(), TaskError> {
        Ok(())
    }
    fn execute((): &mut (), p: &[u8]) -> Result<Vec<u8>, TaskError> {
        Ok(p.to_vec())
    }
    let options = RunOptions::default();
    let error = Loopback.scatter_fn(build, (), execute, vec![1], &options).unwrap_err();
    assert!(error.to_string().contains("execute\" is not registered"), "{error}");
}

/// Bytes of another task, another chunk or none at all are told apart from outputs.
#[test]
fn bytes_that_are_not_the_outputs_of_the_chunk_are_refused() {
    use std::sync::Mutex;

    /// Hands the run out to the test.
    #[derive(Debug, Default)]
    struct Catch(Mutex<Option<Run>>);
    impl ParallelManager for Catch {
        fn name(&self) -> &'static str {
            "catch"
        }
        fn n_workers(&self) -> usize {
            1
        }
        fn start(&self, run: Run) -> Result<Box<dyn Running>, PmError> {
            *self.0.lock().unwrap() = Some(run.clone());
            Loopback.start(run)
        }
    }
    let catch = Catch::default();
    let good = Odd { good: true };
    let _pending =
        catch.scatter::<Stubborn>(good, vec![(true, true); 3], &RunOptions::default()).unwrap();
    let run = catch.0.lock().unwrap().take().unwrap();
    assert_eq!(run.encode_args().unwrap(), [1]);
    assert_eq!(run.encode_params(1..3).unwrap(), [2, 1, 1, 1, 1]);
    assert_eq!(run.decode_outputs(0..2, &[2, 1, 1]).unwrap().len(), 2);
    for (bytes, text) in [
        (&[3, 1, 1, 1][..], "3 outputs of task \"bytes::stubborn\" came for tasks 0..2"),
        (&[2, 1, 1, 9], "1 bytes too many after the outputs of task \"bytes::stubborn\""),
        (&[2, 1], "could not decode the outputs of task \"bytes::stubborn\""),
        (&[], "could not decode the outputs of task \"bytes::stubborn\""),
        (&[255; 12], "could not decode the outputs of task \"bytes::stubborn\""),
    ] {
        assert_eq!(run.decode_outputs(0..2, bytes).unwrap_err().to_string(), text);
    }
}
