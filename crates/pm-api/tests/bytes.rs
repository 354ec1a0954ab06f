//! A manager that meets its tasks by bytes only, as those in other processes do, keeps the
//! promises; so nothing in the interface needs shared memory.

mod promises;

use std::ops::Range;

use pm_api::backend::{
    ChunkQueue, FarModel, Fault, Finished, Outputs, Run, RunEnd, Running, TaskEntry,
};
use pm_api::{
    CodecError, FailureKind, LostWorker, ParallelManager, PmError, RunOptions, Scatter as _, Task,
    TaskError, Worker,
};

promises::promises!(|_| Box::new(Loopback));

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
        let queue = ChunkQueue::new(run.schedule(), run.n_tasks(), 1)?;
        let mut entries = promises::entries();
        entries.push(TaskEntry::of::<Stubborn>());
        let entry = entries.into_iter().find(|entry| entry.name() == run.task_name());
        let entry = entry.expect("every task of the tests has an entry");
        Ok(Box::new(LoopbackRunning { run, queue, entry, model: None, lost: Vec::new() }))
    }
}

struct LoopbackRunning {
    run: Run,
    queue: ChunkQueue,
    entry: TaskEntry,
    model: Option<FarModel>,
    lost: Vec<LostWorker>,
}

fn codec(error: CodecError) -> Fault {
    Fault::from_error(FailureKind::Codec, error)
}

impl LoopbackRunning {
    fn execute(&mut self, indices: Range<usize>) -> Result<Outputs, Fault> {
        let worker = Worker::new(0, 1, self.run.cancel_token());
        let params = self.run.encode_params(indices.clone()).map_err(codec)?;
        let model = self.model.as_mut().expect("it was built before");
        let outputs = model.execute(&params, &worker)?;
        self.run.decode_outputs(indices, &outputs).map_err(codec)
    }
}

impl Running for LoopbackRunning {
    fn next(&mut self) -> Result<Option<Finished>, PmError> {
        let cancel = self.run.cancel_token().clone();
        // Without a worker nothing is built any more, only reported.
        let ready = self.model.is_some() || !self.lost.is_empty();
        let Some(indices) = self.queue.take(0, ready, &cancel) else {
            return Ok(None);
        };
        let finished = |indices, outputs| Ok(Some(Finished { indices, worker: Some(0), outputs }));
        if let Some(lost) = self.lost.first() {
            return finished(indices, Err(lost.fault.clone()));
        }
        if self.model.is_none() {
            let worker = Worker::new(0, 1, &cancel);
            let args = self.run.encode_args().map_err(codec);
            match args.and_then(|args| self.entry.build(&args, &worker)) {
                Ok(model) => self.model = Some(model),
                Err(fault) => {
                    self.lost.push(LostWorker::new(0, fault));
                    self.queue.retire(0, indices);
                    return self.next();
                }
            }
            self.queue.built();
        }
        let outputs = self.execute(indices.clone());
        if outputs.as_ref().is_err_and(|fault| fault.kind() == FailureKind::Panic) {
            self.model = None;
        }
        finished(indices, outputs)
    }

    fn bound(&mut self) {}

    fn end(&mut self) -> RunEnd {
        RunEnd {
            n_workers: self.queue.n_workers(),
            not_started: self.queue.drain(),
            lost_workers: std::mem::take(&mut self.lost),
        }
    }
}

/// A value that postcard cannot write, or cannot read back.
#[derive(Debug, Clone)]
struct Odd {
    writes: bool,
    reads: bool,
}

impl serde::Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.writes { self.reads.serialize(s) } else { Err(serde::ser::Error::custom("no")) }
    }
}

impl<'de> serde::Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match bool::deserialize(d)? {
            true => Ok(Self { writes: true, reads: true }),
            false => Err(serde::de::Error::custom("no")),
        }
    }
}

/// Gives back what it got, of which some cannot travel.
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
        Ok(p.iter().map(|&(writes, reads)| Odd { writes, reads }).collect())
    }
}

/// C26.
#[test]
fn what_cannot_travel_is_a_failure() {
    promises::within_deadline(|| {
        let good = Odd { writes: true, reads: true };
        let params = vec![(true, true), (false, true), (true, false), (true, true)];
        let options = RunOptions::default().schedule(pm_api::Schedule::Dynamic { chunk: 1 });
        let gathered =
            Loopback.scatter::<Stubborn>(good, params, &options).unwrap().gather().unwrap();
        assert_eq!(gathered.outputs().map(|(i, _)| i).collect::<Vec<_>>(), [0, 3]);
        let failures: Vec<String> = gathered.failures().map(ToString::to_string).collect();
        assert_eq!(
            failures,
            [
                "task 1 failed on worker 0: could not encode the outputs of task \"bytes::stubborn\"",
                "task 2 failed on worker 0: could not decode the outputs of task \"bytes::stubborn\"",
            ]
        );
        assert!(gathered.failures().all(|failure| failure.kind == FailureKind::Codec));
        for (writes, action) in [(false, "encode"), (true, "decode")] {
            let bad = Odd { writes, reads: false };
            let params = vec![(true, true); 2];
            let pending = Loopback.scatter::<Stubborn>(bad, params, &options).unwrap();
            let gathered = pending.gather().unwrap();
            assert_eq!(gathered.summary().n_failed, 2);
            let text = format!("could not {action} the arguments of task \"bytes::stubborn\"");
            assert!(gathered.failures().all(|failure| failure.message == text));
        }
    });
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
    let good = Odd { writes: true, reads: true };
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
