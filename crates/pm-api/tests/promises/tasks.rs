//! The tasks that the promises are checked with.

use std::collections::HashMap;
use std::panic::panic_any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use pm_api::backend::TaskEntry;
use pm_api::{Task, TaskError, Worker};
use serde::{Deserialize, Serialize};

use super::*;

/// All tasks here, as workers elsewhere know them.
pub(crate) fn entries() -> Vec<TaskEntry> {
    vec![
        TaskEntry::of::<Square>(),
        TaskEntry::of::<EvenWaitsForOdd>(),
        TaskEntry::of::<Walk>(),
        TaskEntry::of::<Counted>(),
        TaskEntry::of::<Echo>(),
        TaskEntry::of::<Nothing>(),
        TaskEntry::of::<Large>(),
        TaskEntry::of::<Obedient>(),
        TaskEntry::of::<Picky>(),
        TaskEntry::of::<BreaksOnce>(),
        TaskEntry::of::<UntilCancelled>(),
        TaskEntry::of::<Nested>(),
        TaskEntry::of::<CancelsAtTen>(),
        TaskEntry::of::<WaitsForOpening>(),
    ]
}

/// What tasks tell the test that started them. Arguments are plain data, so they hold its key.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) builds: Mutex<Vec<usize>>,
    pub(super) ended: Mutex<Vec<usize>>,
    pub(super) failed_on: Mutex<Option<usize>>,
    pub(super) n_started: AtomicUsize,
    pub(super) n_active: AtomicUsize,
    pub(super) opened: AtomicBool,
    pub(super) token: CancelToken,
    pub(super) manager: Option<Arc<dyn ParallelManager>>,
}

static LOGS: LazyLock<Mutex<HashMap<u64, Arc<Log>>>> = LazyLock::new(Mutex::default);
static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

impl Log {
    pub(super) fn new() -> (u64, Arc<Self>) {
        Self::default().keep()
    }

    pub(super) fn with_manager(manager: Arc<dyn ParallelManager>) -> (u64, Arc<Self>) {
        Self { manager: Some(manager), ..Self::default() }.keep()
    }

    pub(super) fn with_token(token: CancelToken) -> (u64, Arc<Self>) {
        Self { token, ..Self::default() }.keep()
    }

    fn keep(self) -> (u64, Arc<Self>) {
        let (key, log) = (NEXT_KEY.fetch_add(1, SeqCst), Arc::new(self));
        LOGS.lock().unwrap().insert(key, Arc::clone(&log));
        (key, log)
    }

    fn of(key: u64) -> Arc<Self> {
        Arc::clone(&LOGS.lock().unwrap()[&key])
    }

    /// Counts a worker as active until what it gives is dropped.
    fn active(&self) -> impl Drop + '_ {
        struct Active<'a>(&'a Log);
        impl Drop for Active<'_> {
            fn drop(&mut self) {
                self.0.n_active.fetch_sub(1, SeqCst);
            }
        }
        self.n_started.fetch_add(1, SeqCst);
        self.n_active.fetch_add(1, SeqCst);
        Active(self)
    }
}

/// Lets others run until something holds.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::yield_now();
    }
}

pub(super) struct Square;

impl Task for Square {
    const NAME: &'static str = "promises::square";
    type Args = u64;
    type Model = u64;
    type Param = u64;
    type Output = u64;

    fn build(plus: &u64, _: &Worker<'_>) -> Result<u64, TaskError> {
        Ok(*plus)
    }

    fn execute(plus: &mut u64, params: &[u64], _: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        assert!(!params.is_empty());
        Ok(params.iter().map(|n| n * n + *plus).collect())
    }
}

pub(super) struct EvenWaitsForOdd;

impl Task for EvenWaitsForOdd {
    const NAME: &'static str = "promises::even_waits_for_odd";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = usize;
    type Output = usize;

    fn build(key: &u64, _: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        Ok(Log::of(*key))
    }

    fn execute(
        log: &mut Arc<Log>,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        for &i in params {
            if worker.n_workers() > 1 && i % 2 == 0 {
                let ended = || log.ended.lock().unwrap().contains(&(i + 1));
                wait_until("the next task had ended", ended);
            }
            log.ended.lock().unwrap().push(i);
        }
        Ok(params.to_vec())
    }
}

/// A random walk by SplitMix64, seeded by its index.
pub(super) fn walk(seed: u64) -> f64 {
    let mut state = seed;
    (0..1000).fold(0.0, |sum, _| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        sum + ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    })
}

pub(super) struct Walk;

impl Task for Walk {
    const NAME: &'static str = "promises::walk";
    type Args = ();
    type Model = ();
    type Param = u64;
    type Output = f64;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), seeds: &[u64], _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
        Ok(seeds.iter().copied().map(walk).collect())
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) rank: usize,
    pub(super) n_workers: usize,
    /// How many tasks the model had done before.
    pub(super) nth_task: usize,
}

pub(super) struct Counted;

impl Task for Counted {
    const NAME: &'static str = "promises::counted";
    type Args = u64;
    type Model = (Arc<Log>, Rc<Cell<usize>>);
    type Param = ();
    type Output = Who;

    fn build(key: &u64, worker: &Worker<'_>) -> Result<Self::Model, TaskError> {
        let log = Log::of(*key);
        log.builds.lock().unwrap().push(worker.rank());
        Ok((log, Rc::default()))
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shapes {
    pub(super) bits: [f64; 3],
    pub(super) text: String,
    pub(super) nested: Option<Box<Self>>,
}

pub(super) struct Echo;

impl Task for Echo {
    const NAME: &'static str = "promises::echo";
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

pub(super) struct Nothing;

impl Task for Nothing {
    const NAME: &'static str = "promises::nothing";
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

pub(super) struct Large;

impl Task for Large {
    const NAME: &'static str = "promises::large";
    type Args = ();
    type Model = ();
    type Param = u8;
    type Output = Vec<u8>;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[u8], _: &Worker<'_>) -> Result<Vec<Vec<u8>>, TaskError> {
        Ok(params.iter().map(|&n| vec![n; 10 << 20]).collect())
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Do {
    Give(u64),
    GiveNothing,
    GiveTwice,
    Fail,
    PanicText,
    PanicFormatted,
    PanicValue,
}

#[derive(Debug, thiserror::Error)]
#[error("could not read row {row}")]
pub(super) struct RowError {
    row: usize,
    source: DiskError,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is gone")]
struct DiskError;

pub(super) struct Obedient;

impl Task for Obedient {
    const NAME: &'static str = "promises::obedient";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = Do;
    type Output = u64;

    fn build(key: &u64, worker: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        let log = Log::of(*key);
        log.builds.lock().unwrap().push(worker.rank());
        Ok(log)
    }

    fn execute(
        log: &mut Arc<Log>,
        params: &[Do],
        worker: &Worker<'_>,
    ) -> Result<Vec<u64>, TaskError> {
        let mut outputs = Vec::new();
        for what in params {
            if !matches!(what, Do::Give(_)) {
                *log.failed_on.lock().unwrap() = Some(worker.rank());
            }
            match *what {
                Do::Give(n) => outputs.push(n),
                Do::GiveNothing => {}
                Do::GiveTwice => outputs.extend([0, 0]),
                Do::Fail => return Err(RowError { row: 13, source: DiskError }.into()),
                Do::PanicText => panic!("boom"),
                Do::PanicFormatted => panic!("boom at {}", 13),
                Do::PanicValue => panic_any(13),
            }
        }
        Ok(outputs)
    }
}

/// On which worker the model cannot be built; on all if it is none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Build {
    FailsOn(Option<usize>),
    PanicsOn(Option<usize>),
}

pub(super) struct Picky;

impl Task for Picky {
    const NAME: &'static str = "promises::picky";
    type Args = Build;
    type Model = ();
    type Param = ();
    type Output = usize;

    fn build(how: &Build, worker: &Worker<'_>) -> Result<(), TaskError> {
        let here = |rank: Option<usize>| rank.is_none_or(|rank| rank == worker.rank());
        if let Build::FailsOn(Some(rank)) | Build::PanicsOn(Some(rank)) = *how
            && rank == worker.rank()
        {
            // Lets the others come to the end of what is theirs before they are needed.
            (0..200).for_each(|_| thread::yield_now());
        }
        match *how {
            Build::FailsOn(rank) if here(rank) => Err(TaskError::new("no table")),
            Build::PanicsOn(rank) if here(rank) => panic!("no table"),
            _ => Ok(()),
        }
    }

    fn execute((): &mut (), params: &[()], worker: &Worker<'_>) -> Result<Vec<usize>, TaskError> {
        Ok(vec![worker.rank(); params.len()])
    }
}

/// Panics at task 0, and cannot build on that worker again.
pub(super) struct BreaksOnce;

impl Task for BreaksOnce {
    const NAME: &'static str = "promises::breaks_once";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = usize;
    type Output = usize;

    fn build(key: &u64, worker: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        let log = Log::of(*key);
        if *log.failed_on.lock().unwrap() == Some(worker.rank()) {
            return Err(TaskError::new("broken"));
        }
        Ok(log)
    }

    fn execute(
        log: &mut Arc<Log>,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        if params.contains(&0) {
            *log.failed_on.lock().unwrap() = Some(worker.rank());
            panic!("broken at task 0");
        }
        Ok(params.to_vec())
    }
}

pub(super) struct UntilCancelled;

impl Task for UntilCancelled {
    const NAME: &'static str = "promises::until_cancelled";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = ();
    type Output = ();

    fn build(key: &u64, _: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        Ok(Log::of(*key))
    }

    fn execute(log: &mut Arc<Log>, _: &[()], worker: &Worker<'_>) -> Result<Vec<()>, TaskError> {
        let _active = log.active();
        wait_until("the run was cancelled", || worker.cancelled());
        Err(TaskError::cancelled())
    }
}

/// Sums squares by a run of its own.
pub(super) struct Nested;

impl Task for Nested {
    const NAME: &'static str = "promises::nested";
    type Args = u64;
    type Model = Arc<dyn ParallelManager>;
    type Param = u64;
    type Output = u64;

    fn build(key: &u64, _: &Worker<'_>) -> Result<Self::Model, TaskError> {
        Log::of(*key).manager.clone().ok_or_else(|| TaskError::new("the log has no manager"))
    }

    fn execute(
        manager: &mut Self::Model,
        params: &[u64],
        worker: &Worker<'_>,
    ) -> Result<Vec<u64>, TaskError> {
        let options = RunOptions::default().cancel(worker.cancel_token());
        let sum = |&n| {
            let pending = manager.scatter::<Square>(0, (0..n).collect(), &options)?;
            Ok(pending.gather()?.into_complete()?.into_iter().sum())
        };
        params.iter().map(sum).collect()
    }
}

pub(super) struct CancelsAtTen;

impl Task for CancelsAtTen {
    const NAME: &'static str = "promises::cancels_at_ten";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = usize;
    type Output = usize;

    fn build(key: &u64, _: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        Ok(Log::of(*key))
    }

    fn execute(
        log: &mut Arc<Log>,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        let _active = log.active();
        if params.contains(&10) {
            log.token.cancel();
        }
        if params.iter().any(|&i| i >= 10) {
            wait_until("the run was cancelled", || worker.cancelled());
            return Err(TaskError::cancelled());
        }
        Ok(params.to_vec())
    }
}

pub(super) struct WaitsForOpening;

impl Task for WaitsForOpening {
    const NAME: &'static str = "promises::waits_for_opening";
    type Args = u64;
    type Model = Arc<Log>;
    type Param = usize;
    type Output = usize;

    fn build(key: &u64, _: &Worker<'_>) -> Result<Arc<Log>, TaskError> {
        Ok(Log::of(*key))
    }

    fn execute(
        log: &mut Arc<Log>,
        params: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<usize>, TaskError> {
        let _active = log.active();
        if params.iter().any(|&i| i >= worker.n_workers()) {
            wait_until("the caller took a chunk", || log.opened.load(SeqCst));
        }
        Ok(params.to_vec())
    }
}
