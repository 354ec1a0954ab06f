//! The tasks that the list is checked with.

use std::cell::Cell;
use std::panic::panic_any;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use pm_api::{
    ParallelManager, RunOptions, Scatter as _, SerialManager, Task, TaskError, Worker,
    register_task,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::log::{Log, wait_until};
use crate::setup::installed;

/// Squares and adds.
pub(crate) struct Square;

impl Task for Square {
    const NAME: &'static str = "pm_conformance::square";
    type Args = u64;
    type Model = u64;
    type Param = u64;
    type Output = u64;

    fn build(plus: &u64, _: &Worker<'_>) -> Result<u64, TaskError> {
        Ok(*plus)
    }

    fn execute(plus: &mut u64, params: &[u64], w: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        assert!(!params.is_empty());
        assert_eq!(params.len(), w.indices().len());
        Ok(params.iter().map(|n| n * n + *plus).collect())
    }
}
register_task!(Square);

/// Gives how many tasks had ended when this one did; even ones wait for the next odd one.
pub(crate) struct EvenWaitsForOdd;

impl Task for EvenWaitsForOdd {
    const NAME: &'static str = "pm_conformance::even_waits_for_odd";
    type Args = Log;
    type Model = Log;
    type Param = usize;
    type Output = (usize, usize);

    fn build(log: &Log, _: &Worker<'_>) -> Result<Log, TaskError> {
        Ok(log.clone())
    }

    fn execute(
        log: &mut Log,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<(usize, usize)>, TaskError> {
        let one = |&i: &usize| {
            if worker.n_workers() > 1 && i % 2 == 0 {
                wait_until("the next task ended", || log.notes("ended").contains(&(i + 1)));
            }
            let n_before = log.notes("ended").len();
            log.note("ended", i);
            (i, n_before)
        };
        Ok(params.iter().map(one).collect())
    }
}
register_task!(EvenWaitsForOdd);

/// A random walk from a seed.
pub(crate) fn walk(seed: u64) -> f64 {
    let step = |i| (pm_api::seed(seed, i) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
    (0..1000).map(step).sum()
}

/// A random walk from the seed of its index.
pub(crate) struct Walk;

impl Task for Walk {
    const NAME: &'static str = "pm_conformance::walk";
    type Args = ();
    type Model = ();
    type Param = ();
    type Output = f64;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), _: &[()], worker: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
        Ok(worker.indices().map(|idx| walk(worker.seed(idx))).collect())
    }
}
register_task!(Walk);

/// Which worker did a task.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) rank: usize,
    pub(crate) n_workers: usize,
    /// How many tasks the model had done before.
    pub(crate) nth_task: usize,
}

/// Counts in a model that is neither `Send` nor serialisable.
pub(crate) struct Counted;

impl Task for Counted {
    const NAME: &'static str = "pm_conformance::counted";
    type Args = Log;
    type Model = (Log, Rc<Cell<usize>>);
    type Param = ();
    type Output = Who;

    fn build(log: &Log, worker: &Worker<'_>) -> Result<Self::Model, TaskError> {
        log.note("build", worker.rank());
        Ok((log.clone(), Rc::default()))
    }

    fn execute(
        (log, n_done): &mut Self::Model,
        params: &[()],
        worker: &Worker<'_>,
    ) -> Result<Vec<Who>, TaskError> {
        assert!(!params.is_empty());
        let _active = log.active();
        let (rank, n_workers) = (worker.rank(), worker.n_workers());
        let who = |()| Who { rank, n_workers, nth_task: n_done.replace(n_done.get() + 1) };
        Ok(params.iter().copied().map(who).collect())
    }
}
register_task!(Counted);

/// Arguments of many shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shapes {
    pub(crate) bits: [f64; 3],
    pub(crate) text: String,
    pub(crate) nested: Option<Box<Self>>,
}

/// Gives back its arguments, and something ragged.
pub(crate) struct Echo;

impl Task for Echo {
    const NAME: &'static str = "pm_conformance::echo";
    type Args = Shapes;
    type Model = Shapes;
    type Param = usize;
    type Output = ([u64; 3], String, usize, Vec<Vec<f64>>);

    fn build(args: &Shapes, _: &Worker<'_>) -> Result<Shapes, TaskError> {
        Ok(args.clone())
    }

    fn execute(
        args: &mut Shapes,
        params: &[usize],
        _: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError> {
        let depth = 1 + usize::from(args.nested.is_some());
        let ragged = |n: usize| (0..n).map(|len| vec![len as f64; len]).collect();
        let echo = |&n| (args.bits.map(f64::to_bits), args.text.clone(), depth, ragged(n));
        Ok(params.iter().map(echo).collect())
    }
}
register_task!(Echo);

/// Values without a byte.
pub(crate) struct Nothing;

impl Task for Nothing {
    const NAME: &'static str = "pm_conformance::nothing";
    type Args = ();
    type Model = ();
    type Param = ();
    type Output = ();

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[()], _: &Worker<'_>) -> Result<Vec<()>, TaskError> {
        Ok(params.to_vec())
    }
}
register_task!(Nothing);

/// 10 MiB for each task, as an array.
pub(crate) struct Large;

impl Task for Large {
    const NAME: &'static str = "pm_conformance::large";
    type Args = ();
    type Model = ();
    type Param = u64;
    type Output = pm_api::Array<u64>;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), p: &[u64], _: &Worker<'_>) -> Result<Vec<Self::Output>, TaskError> {
        Ok(p.iter().map(|&n| vec![n; 10 << 17].into()).collect())
    }
}
register_task!(Large);

/// What a task is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Do {
    Give(u64),
    GiveNothing,
    GiveTwice,
    Fail,
    PanicText,
    PanicFormatted,
    PanicValue,
    /// Asks now and then whether to stop.
    WaitPolitely,
    /// Never ends, and asks nobody.
    Hang,
    /// As well, and uses a core meanwhile.
    Compute,
    /// Ends its process by this signal.
    Signal(i32),
    /// Ends its process with this code.
    Exit(i32),
    Abort,
    /// As the second, in the chunk of this one's first attempt; then gives 1.
    FailsOnce,
    PanicsOnce,
    DiesOnce,
}

#[derive(Debug, thiserror::Error)]
#[error("could not read row {row}")]
pub(crate) struct RowError {
    row: usize,
    source: DiskError,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct DiskError;

/// Does what it is told.
pub(crate) struct Obedient;

impl Task for Obedient {
    const NAME: &'static str = "pm_conformance::obedient";
    type Args = Log;
    type Model = Log;
    type Param = Do;
    type Output = u64;

    fn build(log: &Log, worker: &Worker<'_>) -> Result<Log, TaskError> {
        log.note("build", worker.rank());
        Ok(log.clone())
    }

    fn execute(log: &mut Log, params: &[Do], worker: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let mut outputs = Vec::new();
        for what in params {
            if !matches!(what, Do::Give(_)) {
                log.note("failed", worker.rank());
            }
            match *what {
                Do::Give(n) => outputs.push(n),
                Do::GiveNothing => {}
                Do::GiveTwice => outputs.extend([0, 0]),
                Do::Fail => return Err(RowError { row: 13, source: DiskError }.into()),
                Do::PanicText => panic!("boom"),
                Do::PanicFormatted => panic!("boom at {}", 13),
                Do::PanicValue => panic_any(13),
                Do::WaitPolitely => {
                    wait_until("it was told to stop", || worker.cancelled());
                    return Err(TaskError::cancelled());
                }
                // Not for ever, so that what is left alone in a test program ends with it.
                Do::Hang => (0..600).for_each(|_| thread::sleep(Duration::from_millis(100))),
                Do::Compute => {
                    let begin = std::time::Instant::now();
                    while begin.elapsed() < Duration::from_secs(60) {
                        std::hint::black_box((0..1_000_000_u64).sum::<u64>());
                    }
                }
                Do::Signal(signal) => {
                    // Again and again, since Rust's handler of signal 11 waits for the fault to
                    // happen once more.
                    let pid = std::process::id();
                    let kill = format!("while kill -{signal} {pid}; do sleep 0.01; done");
                    std::process::Command::new("sh").args(["-c", &kill]).status()?;
                    thread::sleep(Duration::from_secs(60));
                }
                Do::Exit(code) => std::process::exit(code),
                Do::Abort => std::process::abort(),
                Do::FailsOnce if worker.attempt() == 1 => return Err(TaskError::new("once")),
                Do::PanicsOnce if worker.attempt() == 1 => panic!("once"),
                Do::DiesOnce if worker.attempt() == 1 => std::process::abort(),
                Do::FailsOnce | Do::PanicsOnce | Do::DiesOnce => outputs.push(1),
            }
        }
        Ok(outputs)
    }
}
register_task!(Obedient);

/// On which worker the model cannot be built; on all if it is none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Build {
    Fails(Option<usize>),
    Panics(Option<usize>),
    /// Ends its process.
    Dies(Option<usize>),
}

/// Cannot be built everywhere.
pub(crate) struct Picky;

impl Task for Picky {
    const NAME: &'static str = "pm_conformance::picky";
    type Args = Build;
    type Model = ();
    type Param = ();
    type Output = usize;

    fn build(how: &Build, worker: &Worker<'_>) -> Result<(), TaskError> {
        let here = |rank: Option<usize>| rank.is_none_or(|rank| rank == worker.rank());
        if let Build::Fails(Some(rank)) | Build::Panics(Some(rank)) | Build::Dies(Some(rank)) = *how
            && rank == worker.rank()
        {
            // Lets the others come to the end of what is theirs before they are needed.
            (0..200).for_each(|_| thread::yield_now());
        }
        match *how {
            Build::Fails(rank) if here(rank) => Err(TaskError::new("no table")),
            Build::Panics(rank) if here(rank) => panic!("no table"),
            Build::Dies(rank) if here(rank) => std::process::exit(9),
            _ => Ok(()),
        }
    }

    fn execute((): &mut (), params: &[()], worker: &Worker<'_>) -> Result<Vec<usize>, TaskError> {
        Ok(vec![worker.rank(); params.len()])
    }
}
register_task!(Picky);

/// Panics at task 0, and cannot build on that worker again.
pub(crate) struct BreaksOnce;

impl Task for BreaksOnce {
    const NAME: &'static str = "pm_conformance::breaks_once";
    type Args = Log;
    type Model = Log;
    type Param = usize;
    type Output = usize;

    fn build(log: &Log, worker: &Worker<'_>) -> Result<Log, TaskError> {
        if log.notes("broken").contains(&worker.rank()) {
            return Err(TaskError::new("broken"));
        }
        Ok(log.clone())
    }

    fn execute(
        log: &mut Log,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        if params.contains(&0) {
            log.note("broken", worker.rank());
            panic!("broken at task 0");
        }
        Ok(params.to_vec())
    }
}
register_task!(BreaksOnce);

/// At work until the run is cancelled.
pub(crate) struct UntilCancelled;

impl Task for UntilCancelled {
    const NAME: &'static str = "pm_conformance::until_cancelled";
    type Args = Log;
    type Model = Log;
    type Param = ();
    type Output = ();

    fn build(log: &Log, _: &Worker<'_>) -> Result<Log, TaskError> {
        Ok(log.clone())
    }

    fn execute(log: &mut Log, _: &[()], worker: &Worker<'_>) -> Result<Vec<()>, TaskError> {
        let _active = log.active();
        wait_until("the run was cancelled", || worker.cancelled());
        Err(TaskError::cancelled())
    }
}
register_task!(UntilCancelled);

/// Sums squares by a run of its own, and that by one further down still.
pub(crate) struct Nested;

/// Which manager the inner run is on, and how deep to go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inner {
    /// The name of a setup, or the serial manager if there is none.
    pub(crate) setup: Option<String>,
    pub(crate) size: usize,
    pub(crate) depth: usize,
}

impl Task for Nested {
    const NAME: &'static str = "pm_conformance::nested";
    type Args = Inner;
    type Model = (Inner, Box<dyn ParallelManager>);
    type Param = u64;
    type Output = u64;

    fn build(inner: &Inner, _: &Worker<'_>) -> Result<Self::Model, TaskError> {
        let manager: Box<dyn ParallelManager> = match &inner.setup {
            None => Box::new(SerialManager::new()),
            Some(name) => installed(name).unwrap().manager(inner.size),
        };
        Ok((inner.clone(), manager))
    }

    fn execute(
        (inner, manager): &mut Self::Model,
        params: &[u64],
        worker: &Worker<'_>,
    ) -> Result<Vec<u64>, TaskError> {
        let options = RunOptions::default().cancel(worker.cancel_token());
        let sum = |&n| {
            let params = (0..n).collect();
            let pending = if inner.depth == 0 {
                manager.scatter::<Square>(0, params, &options)?
            } else {
                let inner = Inner { depth: inner.depth - 1, ..inner.clone() };
                manager.scatter::<Self>(inner, params, &options)?
            };
            let gathered = pending.gather()?;
            // The workers are taken, so it is done right here.
            assert!(gathered.summary().n_workers <= 1, "a run inside a task took workers");
            Ok(gathered.into_complete()?.into_iter().sum())
        };
        params.iter().map(sum).collect()
    }
}
register_task!(Nested);

/// From task 10 on, waits until the run is cancelled.
pub(crate) struct StaysFromTen;

impl Task for StaysFromTen {
    const NAME: &'static str = "pm_conformance::stays_from_ten";
    type Args = Log;
    type Model = Log;
    type Param = usize;
    type Output = usize;

    fn build(log: &Log, _: &Worker<'_>) -> Result<Log, TaskError> {
        Ok(log.clone())
    }

    fn execute(
        log: &mut Log,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        let _active = log.active();
        if params.contains(&10) {
            log.note("ten", 0);
        }
        if params.iter().any(|&i| i >= 10) {
            wait_until("the run was cancelled", || worker.cancelled());
            return Err(TaskError::cancelled());
        }
        Ok(params.to_vec())
    }
}
register_task!(StaysFromTen);

/// All but the first tasks wait until the caller took a chunk.
pub(crate) struct WaitsForOpening;

impl Task for WaitsForOpening {
    const NAME: &'static str = "pm_conformance::waits_for_opening";
    type Args = Log;
    type Model = (Log, bool);
    type Param = usize;
    type Output = usize;

    fn build(log: &Log, _: &Worker<'_>) -> Result<(Log, bool), TaskError> {
        Ok((log.clone(), false))
    }

    fn execute(
        (log, open): &mut (Log, bool),
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        log.note("start", 0);
        if !*open && params.iter().any(|&i| i >= worker.n_workers()) {
            log.wait_for("opened", 1);
            *open = true;
        }
        Ok(params.to_vec())
    }
}
register_task!(WaitsForOpening);

/// Waits for all workers to be in a task at the same time.
pub(crate) struct Meets;

impl Task for Meets {
    const NAME: &'static str = "pm_conformance::meets";
    type Args = Log;
    type Model = Log;
    type Param = ();
    type Output = usize;

    fn build(log: &Log, _: &Worker<'_>) -> Result<Log, TaskError> {
        Ok(log.clone())
    }

    fn execute(log: &mut Log, params: &[()], worker: &Worker<'_>) -> Result<Vec<usize>, TaskError> {
        log.note("came", worker.rank());
        log.wait_for("came", worker.n_workers());
        Ok(vec![worker.rank(); params.len()])
    }
}
register_task!(Meets);

/// A value that cannot be written, or cannot be read back.
#[derive(Debug, Clone)]
pub(crate) struct Odd {
    pub(crate) writes: bool,
    pub(crate) reads: bool,
}

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.writes { self.reads.serialize(s) } else { Err(serde::ser::Error::custom("no")) }
    }
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match bool::deserialize(d)? {
            true => Ok(Self { writes: true, reads: true }),
            false => Err(serde::de::Error::custom("no")),
        }
    }
}

/// Gives back what it got, of which some cannot travel.
pub(crate) struct Stubborn;

impl Task for Stubborn {
    const NAME: &'static str = "pm_conformance::stubborn";
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
register_task!(Stubborn);

/// Writes lines to stdout and stderr.
pub(crate) struct Prints;

impl Task for Prints {
    const NAME: &'static str = "pm_conformance::prints";
    type Args = ();
    type Model = ();
    type Param = usize;
    type Output = ();

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what is tested")]
    fn execute((): &mut (), params: &[usize], _: &Worker<'_>) -> Result<Vec<()>, TaskError> {
        for i in params {
            println!("line {i} {} end", "x".repeat(500));
            eprintln!("note {i} {} end", "y".repeat(500));
        }
        Ok(vec![(); params.len()])
    }
}
register_task!(Prints);
