//! Which items there are, what they ask of a manager, and how they are run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pm_api::{ParallelManager, PmError};

use crate::{cases, leaks, matrix, members, messages, outcomes, reductions, results, runs, shared};

/// What a manager can do beyond the contract, and what of the list therefore applies to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Workers are processes of their own, which can die alone.
    pub processes: bool,
    /// Arguments, parameters and outputs travel as bytes.
    pub bytes: bool,
    /// A task that does not end is given up in bounded time, by killing it or by leaving it alone.
    pub ends_hanging: bool,
    /// The program is started by a launcher, as with MPI.
    pub launcher: bool,
    /// Workers are processes that read [shared](pm_api::Shared) arrays in memory of the caller's.
    pub shares_memory: bool,
}

impl Capabilities {
    /// Says that workers are processes, to which things travel as bytes and which can be killed.
    #[must_use]
    pub fn processes() -> Self {
        Self {
            processes: true,
            bytes: true,
            ends_hanging: true,
            launcher: false,
            shares_memory: true,
        }
    }

    /// Sets whether things travel as bytes.
    #[must_use]
    pub fn bytes(self, bytes: bool) -> Self {
        Self { bytes, ..self }
    }

    /// Sets whether hanging tasks are given up.
    #[must_use]
    pub fn ends_hanging(self, ends_hanging: bool) -> Self {
        Self { ends_hanging, ..self }
    }

    /// Sets whether a launcher starts the program.
    #[must_use]
    pub fn launcher(self, launcher: bool) -> Self {
        Self { launcher, ..self }
    }

    /// Sets whether worker processes read shared arrays in place.
    #[must_use]
    pub fn shares_memory(self, shares_memory: bool) -> Self {
        Self { shares_memory, ..self }
    }
}

/// Makes a manager of at most so many workers.
pub type Make = fn(usize) -> Box<dyn ParallelManager>;

/// Makes a manager whose workers cannot start, or fails at that.
pub type MakeBroken = fn(usize) -> Result<Box<dyn ParallelManager>, PmError>;

/// A manager under test.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Setup {
    /// What it is called in messages; one per program.
    pub name: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Makes one of a size. Under a launcher every rank of the program does.
    pub make: Make,
    /// Makes one whose workers cannot start, because their program is missing or broken.
    pub make_broken: Option<MakeBroken>,
    /// Starts the program under a launcher that is not its own; the message it was refused with.
    pub start_foreign: Option<fn() -> Result<String, String>>,
    /// How long one item may take at one size; `None` runs it on the thread of the caller, for
    /// backends that are tied to it.
    pub deadline: Option<Duration>,
}

impl Setup {
    /// Describes a manager; an item may take 120 s.
    #[must_use]
    pub fn new(name: &'static str, capabilities: Capabilities, make: Make) -> Self {
        let deadline = Some(DEADLINE);
        Self { name, capabilities, make, make_broken: None, start_foreign: None, deadline }
    }

    /// Makes a manager of at most `size` workers.
    pub(crate) fn manager(&self, size: usize) -> Box<dyn ParallelManager> {
        (self.make)(size)
    }
}

/// The environment variable that says how often every item is checked; once if there is none.
pub(crate) const REPEAT: &str = "POLYCHRON_REPEAT";

/// How often every item is checked.
fn n_repeats() -> usize {
    let Ok(text) = std::env::var(REPEAT) else { return 1 };
    match text.parse() {
        Ok(n) if n > 0 => n,
        _ => panic!("{REPEAT} is {text:?}, which is no number of times"),
    }
}

/// Longer than any item takes on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// What an item needs of a manager to apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing but the contract.
    Nothing,
    /// [`Capabilities::processes`].
    Processes,
    /// [`Capabilities::bytes`].
    Bytes,
    /// [`Capabilities::ends_hanging`].
    EndsHanging,
    /// [`Capabilities::launcher`] and [`Setup::start_foreign`].
    Launcher,
    /// [`Setup::make_broken`].
    BrokenStart,
    /// `POLYCHRON_CONFORMANCE_MEMORY=1` in the environment: some 10 GiB per rank.
    Memory,
}

impl Need {
    /// Why an item with this need does not apply to a manager, if so.
    fn unmet(self, setup: &Setup) -> Option<&'static str> {
        let Capabilities { processes, bytes, ends_hanging, launcher, .. } = setup.capabilities;
        let (met, reason) = match self {
            Self::Nothing => (true, ""),
            Self::Processes => (processes, "its workers are no processes"),
            Self::Bytes => (bytes, "nothing is encoded on the way to its workers"),
            Self::EndsHanging => (ends_hanging, "it can only wait for a task that hangs"),
            Self::Launcher => {
                (launcher && setup.start_foreign.is_some(), "no launcher starts the program")
            }
            Self::BrokenStart => {
                (setup.make_broken.is_some(), "its workers need nothing that can be missing")
            }
            Self::Memory => {
                let asked = std::env::var_os("POLYCHRON_CONFORMANCE_MEMORY");
                (asked.is_some_and(|is| is == "1"), "POLYCHRON_CONFORMANCE_MEMORY is not 1")
            }
        };
        (!met).then_some(reason)
    }
}

/// One item of the list.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Its name, which is a sentence: `c15_results_equal_the_serial_map`.
    pub name: &'static str,
    /// What it needs to apply.
    pub need: Need,
    run: fn(&Setup, usize),
}

/// How an item went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The promise is kept.
    Passed,
    /// The item asks for what this manager does not have: the reason.
    NotApplicable(&'static str),
}

macro_rules! list {
    (() $($module:ident::$name:ident($need:ident))*) => {
        const ITEMS: &[Item] =
            &[$( Item { name: stringify!($name), need: Need::$need, run: $module::$name } ),*];
    };
}
crate::__items! { list!() }

/// The whole list.
#[must_use]
pub fn items() -> &'static [Item] {
    ITEMS
}

/// The names of the items that do not apply to a manager, in their order.
#[must_use]
pub fn not_applicable(setup: &Setup) -> Vec<&'static str> {
    let unmet = ITEMS.iter().filter(|item| item.need.unmet(setup).is_some());
    unmet.map(|item| item.name).collect()
}

/// The setups of this program, for tasks that make managers in turn.
static SETUPS: LazyLock<Mutex<BTreeMap<&'static str, Setup>>> = LazyLock::new(Mutex::default);

/// Makes a setup known to the tasks of the list; in programs with worker processes the first line
/// of `main`, before [`pm_api::worker_entry`].
pub fn install(setup: &Setup) {
    let mut setups = SETUPS.lock().unwrap_or_else(PoisonError::into_inner);
    setups.insert(setup.name, *setup);
}

/// The setup of this name.
pub(crate) fn installed(name: &str) -> Option<Setup> {
    SETUPS.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
}

/// Checks one item at one size, and says on stdout if it does not apply. It is done once, or as
/// often as `POLYCHRON_REPEAT` says.
///
/// # Panics
///
/// When the manager breaks the promise, when the item takes longer than its deadline, when there is
/// no item of that name, or when `POLYCHRON_REPEAT` is no number of times.
pub fn check(setup: &Setup, name: &str, size: usize) -> Outcome {
    install(setup);
    let item = ITEMS.iter().find(|item| item.name == name);
    let item = *item.unwrap_or_else(|| panic!("there is no item {name}"));
    if let Some(reason) = item.need.unmet(setup) {
        #[expect(clippy::print_stdout, reason = "what is left out is to be seen")]
        {
            println!("not applicable: {name} on {}: {reason}", setup.name);
        }
        return Outcome::NotApplicable(reason);
    }
    for nth in 1..=n_repeats() {
        let once = catch_unwind(AssertUnwindSafe(|| check_once(*setup, item, size)));
        if let Err(payload) = once {
            #[expect(clippy::print_stdout, reason = "which time it was is to be seen")]
            {
                println!("{name} at size {size} failed at the check number {nth}");
            }
            resume_unwind(payload);
        }
    }
    Outcome::Passed
}

fn check_once(setup: Setup, item: Item, size: usize) {
    let name = item.name;
    let Some(deadline) = setup.deadline else {
        return (item.run)(&setup, size);
    };
    let (done, wait) = mpsc::channel();
    let runner = thread::Builder::new()
        // Items that start the test again by itself find its name here.
        .name(thread::current().name().unwrap_or("conformance").to_owned())
        .spawn(move || {
            (item.run)(&setup, size);
            let _ = done.send(());
        })
        .expect("a thread starts");
    match wait.recv_timeout(deadline) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("{name} at size {size} is still not done after {deadline:?}")
        }
        _ => runner.join().unwrap_or_else(|payload| resume_unwind(payload)),
    }
}

/// Checks every item at every size, and prints a line for each; for programs without the test
/// harness, whose arguments pick items by a part of `size_2::c15_results`. Returns whether all
/// passed.
#[expect(clippy::print_stdout, reason = "this is the harness")]
pub fn run_all(setup: &Setup, sizes: &[usize], arguments: &[String]) -> bool {
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let (mut n_passed, mut n_not, mut failed) = (0, 0, Vec::new());
    for size in sizes {
        for item in ITEMS {
            let name = format!("size_{size}::{}", item.name);
            let fits =
                |filter: &&String| if exact { **filter == name } else { name.contains(*filter) };
            if !filters.is_empty() && !filters.iter().any(fits) {
                continue;
            }
            let start = Instant::now();
            match in_thread_named(&name, || check(setup, item.name, *size)) {
                Ok(Outcome::Passed) => {
                    n_passed += 1;
                    println!("test {name} ... ok ({:.2?})", start.elapsed());
                }
                Ok(Outcome::NotApplicable(_)) => n_not += 1,
                Err(_) => {
                    println!("test {name} ... FAILED");
                    failed.push(name);
                }
            }
        }
    }
    println!("{n_passed} passed, {n_not} not applicable, {} failed", failed.len());
    failed.iter().for_each(|name| println!("    {name}"));
    failed.is_empty()
}

/// Runs something on a thread of that name, so that it can be started again by it.
fn in_thread_named<T: Send>(name: &str, run: impl FnOnce() -> T + Send) -> thread::Result<T> {
    if thread::current().name() == Some(name) {
        return catch_unwind(AssertUnwindSafe(run));
    }
    thread::scope(|scope| {
        let runner = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, run);
        runner.expect("a thread starts").join()
    })
}
