//! The tasks of a program, known by name in each of its processes.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::process;
use std::sync::OnceLock;

use crate::PmError;
use crate::backend::TaskEntry;

/// A task that the program registered with [`register_task!`](crate::register_task), `task!` or
/// `register_spmd!`; made by these.
#[derive(Debug)]
pub struct Registration {
    entry: fn() -> TaskEntry,
    file: &'static str,
    line: u32,
}

impl Registration {
    /// Registers what `entry` gives, for the place where that is said.
    #[must_use]
    pub const fn new(entry: fn() -> TaskEntry, file: &'static str, line: u32) -> Self {
        Self { entry, file, line }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

inventory::collect!(Registration);

/// What a backend with worker processes does when the program was started as one of these.
#[derive(Debug)]
pub struct WorkerMain(fn() -> Option<i32>);

impl WorkerMain {
    /// Registers a function that returns `None` at once in a process that is no worker of its
    /// backend, and serves as a worker in one that is, until its end, and returns the exit code.
    #[must_use]
    pub const fn new(serve: fn() -> Option<i32>) -> Self {
        Self(serve)
    }
}

inventory::collect!(WorkerMain);

/// Serves as a worker, and ends the process, if it was started as one; else returns at once.
///
/// This is the first line of `main` of a program whose tasks may run in other processes: these are
/// the same program again, started by a manager.
///
/// ```no_run
/// fn main() -> Result<(), pm_api::PmError> {
///     pm_api::worker_entry()?;
///     // From here on it is the program itself.
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`PmError::DuplicateTask`] if two tasks of the program have the same name.
pub fn worker_entry() -> Result<(), PmError> {
    tasks()?;
    for WorkerMain(serve) in inventory::iter::<WorkerMain> {
        if let Some(code) = serve() {
            process::exit(code);
        }
    }
    Ok(())
}

/// The registered tasks of a program.
#[derive(Debug)]
pub struct Tasks {
    by_name: BTreeMap<&'static str, TaskEntry>,
}

impl Tasks {
    /// The task of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TaskEntry> {
        self.by_name.get(name)
    }

    /// All names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// A number that two builds share only if they have tasks of the same names (FNV-1a of them);
    /// a part of what a worker and its manager compare before they begin.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let bytes = self.names().flat_map(|name| name.bytes().chain([0]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The name under which these functions or this type are registered.
    pub(crate) fn name_of(&self, key: TypeId) -> Option<&'static str> {
        self.by_name.values().find(|entry| entry.key() == key).map(TaskEntry::name)
    }
}

/// The registered tasks of this program.
///
/// # Errors
///
/// [`PmError::DuplicateTask`] if two have the same name.
pub fn tasks() -> Result<&'static Tasks, PmError> {
    static TASKS: OnceLock<Result<Tasks, (&'static str, [String; 2])>> = OnceLock::new();
    let tasks = TASKS.get_or_init(|| collect(inventory::iter::<Registration>.into_iter()));
    tasks.as_ref().map_err(|(task, [first, second])| PmError::DuplicateTask {
        task,
        first: first.clone(),
        second: second.clone(),
    })
}

fn collect<'a>(
    registrations: impl Iterator<Item = &'a Registration>,
) -> Result<Tasks, (&'static str, [String; 2])> {
    let mut by_name = BTreeMap::new();
    let mut places = BTreeMap::new();
    for registration in registrations {
        let entry = (registration.entry)();
        match by_name.entry(entry.name()) {
            Entry::Occupied(known) => {
                let mut both: [String; 2] =
                    [places[known.key()], registration].map(Registration::place);
                // Which one comes first is the linker's choice.
                both.sort();
                return Err((entry.name(), both));
            }
            Entry::Vacant(free) => {
                places.insert(entry.name(), registration);
                free.insert(entry);
            }
        }
    }
    Ok(Tasks { by_name })
}

/// Registers a type that implements [`Task`](crate::Task), so that workers in other processes find
/// it by its name; once in the program, beside the type. Generic tasks are registered for the types
/// that the program uses.
///
/// ```
/// # use pm_api::{Task, TaskError, Worker};
/// # struct Half;
/// # impl Task for Half {
/// #     const NAME: &'static str = "docs::registered_half";
/// #     type Args = ();
/// #     type Model = ();
/// #     type Param = f64;
/// #     type Output = f64;
/// #     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> { Ok(()) }
/// #     fn execute(_: &mut (), p: &[f64], _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
/// #         Ok(p.iter().map(|p| p / 2.0).collect())
/// #     }
/// # }
/// pm_api::register_task!(Half);
/// # fn main() {
/// assert!(pm_api::backend::tasks().unwrap().get("docs::registered_half").is_some());
/// # }
/// ```
#[macro_export]
macro_rules! register_task {
    ($task:ty) => {
        $crate::__register!(|| $crate::backend::TaskEntry::of::<$task>());
    };
}

/// Registers a type that implements [`Spmd`](crate::Spmd), as [`register_task!`](crate::register_task) does a task.
#[macro_export]
macro_rules! register_spmd {
    ($spmd:ty) => {
        $crate::__register!(|| $crate::backend::TaskEntry::of_spmd::<$spmd>());
    };
}

/// Registers two plain functions as a task, under the name `module::NAME`, which becomes a constant
/// too: `task!(SWEEP: build = do_build, execute = do_execute);`. They are run by
/// [`Scatter::scatter_fn`](crate::Scatter::scatter_fn), which has an example.
#[macro_export]
macro_rules! task {
    ($(#[$meta:meta])* $vis:vis $name:ident: build = $build:expr, execute = $execute:expr $(,)?) => {
        $(#[$meta])*
        #[doc = concat!("The name of the task of `", stringify!($build), "` and `", stringify!($execute), "`.")]
        $vis const $name: &str = concat!(module_path!(), "::", stringify!($name));
        $crate::__register!(|| $crate::backend::TaskEntry::of_fn($name, $build, $execute));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($entry:expr) => {
        $crate::__inventory::submit! {
            $crate::backend::Registration::new($entry, file!(), line!())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Task, TaskError, Worker};

    struct Named<const N: usize>;

    impl<const N: usize> Task for Named<N> {
        const NAME: &'static str = ["tests::a", "tests::b"][N % 2];
        type Args = ();
        type Model = ();
        type Param = ();
        type Output = ();

        fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
            Ok(())
        }

        fn execute((): &mut (), p: &[()], _: &Worker<'_>) -> Result<Vec<()>, TaskError> {
            Ok(p.to_vec())
        }
    }

    const A: Registration = Registration::new(TaskEntry::of::<Named<0>>, "src/one.rs", 3);
    const B: Registration = Registration::new(TaskEntry::of::<Named<1>>, "src/two.rs", 7);
    const C: Registration = Registration::new(TaskEntry::of::<Named<2>>, "src/a.rs", 9);

    #[test]
    fn names_that_stand_twice_are_told_with_both_places() {
        let both = collect([&A, &B].into_iter()).unwrap();
        assert_eq!(both.names().collect::<Vec<_>>(), ["tests::a", "tests::b"]);
        for order in [[&A, &B, &C], [&C, &B, &A]] {
            let (name, places) = collect(order.into_iter()).unwrap_err();
            assert_eq!(name, "tests::a");
            assert_eq!(places, ["src/a.rs:9", "src/one.rs:3"]);
        }
        let one = collect([&A].into_iter()).unwrap();
        assert_ne!(one.fingerprint(), both.fingerprint());
    }
}
