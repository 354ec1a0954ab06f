//! Catching panics of tasks, with their message and place.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// How deep this thread is in code of tasks.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic of a task on this thread was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOKED: AtomicBool = AtomicBool::new(false);

/// Whether this thread is running the code of a task.
pub(crate) fn in_task() -> bool {
    DEPTH.get() > 0
}

/// Lets panics in tasks be noted with their place, and not be printed: they come back as failures.
/// Panics elsewhere go to the hook that was there before.
pub(crate) fn install_hook() {
    // The hook cannot be changed while this thread panics; then messages have no place.
    if std::thread::panicking() || HOOKED.swap(true, Ordering::AcqRel) {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if in_task() {
            PLACE.set(info.location().map(ToString::to_string));
        } else {
            previous(info);
        }
    }));
}

/// Runs code of a task; a panic in it becomes a message like `boom, at src/main.rs:3:9`.
///
/// For tasks that lose only a part of their work by a panic in it. What the code may have left half
/// done is the caller's to throw away.
///
/// # Errors
///
/// The message, where the code panicked.
pub fn catch<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_panic(code).map_err(|panic| match panic.location {
        Some(location) => format!("{}, at {location}", panic.message),
        None => panic.message,
    })
}

/// A panic of a task.
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
}

pub(crate) fn catch_panic<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    let caught = {
        DEPTH.set(DEPTH.get() + 1);
        let _leave = Leave;
        PLACE.set(None);
        // What the code may have left half done is a model, which callers throw away.
        panic::catch_unwind(AssertUnwindSafe(code))
    };
    caught.map_err(|payload| {
        let message = text(&*payload).to_owned();
        // The payload is the user's too, and may panic when it is dropped.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Panic { message, location: PLACE.take() }
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic whose payload is not text"
    }
}
