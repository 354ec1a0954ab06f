//! The three things that Rust cannot see to be sound: handles of MPI in other threads, the end of
//! the process, and a lock that costs half of what a mutex does.

#![allow(unsafe_code, reason = "this module is where it is")]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mpi::topology::SimpleCommunicator;

/// A communicator that all threads may use.
pub(crate) struct Shared(SimpleCommunicator);

impl Shared {
    /// Lets all threads use a communicator. MPI must have been initialised with
    /// `MPI_THREAD_MULTIPLE`, which [`World`](crate::world::World) makes sure of.
    pub(crate) fn new(communicator: SimpleCommunicator) -> Self {
        Self(communicator)
    }
}

impl Deref for Shared {
    type Target = SimpleCommunicator;

    fn deref(&self) -> &SimpleCommunicator {
        &self.0
    }
}

// SAFETY: a handle is a number or an address that MPI gave, valid in the whole process, and with
// `MPI_THREAD_MULTIPLE` every thread may call MPI with it at any time (MPI 3.1, section 12.4). The
// only method that changes the handle is its drop, which needs to own it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// What one thread at a time has, where hardly ever a second one comes. A mutex would wake those who
/// wait, for which it takes two instructions that hold up the processor; this takes one, and a short
/// collective is over in the time of a few.
pub(crate) struct OneAtATime<T> {
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

/// The value, as long as this thread has it.
pub(crate) struct Taken<'a, T> {
    of: &'a OneAtATime<T>,
    /// It is shared among threads, and sent to others, if a reference to the value may be.
    _value: PhantomData<&'a mut T>,
}

impl<T> OneAtATime<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, unless somebody has it.
    #[inline]
    pub(crate) fn try_take(&self) -> Option<Taken<'_, T>> {
        let is_free = !self.is_taken.swap(true, Ordering::Acquire);
        is_free.then(|| Taken { of: self, _value: PhantomData })
    }

    /// The value, as soon as nobody has it.
    pub(crate) fn take(&self) -> Taken<'_, T> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            thread::sleep(Duration::from_micros(20));
        }
    }
}

// SAFETY: only who has found `is_taken` to be false, and made it true, has a `Taken`, so one thread
// at a time has a reference to the value; what the one before wrote is seen by the next, since
// `is_taken` is released and acquired. As with a mutex the value itself goes from thread to thread.
unsafe impl<T: Send> Sync for OneAtATime<T> {}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one `Taken` at a time, and this is it.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: there is one `Taken` at a time, and it is borrowed mutably here.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.of.is_taken.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for OneAtATime<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneAtATime").finish_non_exhaustive()
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod exit {
    use std::ffi::{c_int, c_void};

    unsafe extern "C" {
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn at_end(status: c_int, _: *mut c_void) {
        crate::world::at_exit(status);
    }

    pub(super) fn register() {
        // SAFETY: the function has the type that the C library asks for, is there as long as the
        // process is, and does not unwind: it would abort the process at the border.
        let _refused = unsafe { on_exit(at_end, std::ptr::null_mut()) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod exit {
    use std::ffi::c_int;

    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> c_int;
    }

    extern "C" fn at_end() {
        // This C library does not tell the status.
        crate::world::at_exit(0);
    }

    pub(super) fn register() {
        // SAFETY: as for `on_exit`.
        let _refused = unsafe { atexit(at_end) };
    }
}

/// Lets [`at_exit`](crate::world::at_exit) be called when the process comes to its end by itself.
pub(crate) fn call_at_exit() {
    exit::register();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        const N: usize = 2000;
        let count = OneAtATime::new((0, 0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..N {
                        let mut both = count.take();
                        both.0 += 1;
                        both.1 += 1;
                        assert_eq!(both.0, both.1);
                    }
                });
            }
        });
        assert_eq!(*count.take(), (4 * N, 4 * N));
    }

    #[test]
    fn a_second_one_is_told_so_and_a_panic_gives_it_back() {
        let value = OneAtATime::new(1);
        let taken = value.try_take();
        assert!(taken.is_some() && value.try_take().is_none());
        drop(taken);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut taken = value.take();
            *taken = 2;
            panic!("with the value");
        }));
        assert!(panicked.is_err());
        assert_eq!(value.try_take().map(|taken| *taken), Some(2));
    }
}
