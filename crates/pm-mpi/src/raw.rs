//! The two things that Rust cannot see to be sound: handles of MPI in other threads, and the end of
//! the process.

#![allow(unsafe_code, reason = "this module is where it is")]

use std::ops::Deref;

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
