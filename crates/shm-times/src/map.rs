//! Everything that is unsafe: mapped memory, what happens at a fork and at the end of the process,
//! and the hook that makes sharing start by itself.

#![expect(unsafe_code, reason = "mapped memory and the hooks of the C library need it")]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use gtimer_core::publish::{Buckets, Latch};
use memmap2::{MmapOptions, MmapRaw};

use crate::layout::{ENDED, STATE_AT};

/// A file of this process, mapped for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// `MmapRaw`: a `&[u8]` into memory that others can write would be unsound.
    map: &'static MmapRaw,
}

impl Segment {
    /// Maps the first `bytes` of a file. They must have been allocated: touching a page for which
    /// a full tmpfs has no room would end the process.
    pub(crate) fn map(file: impl AsFd, bytes: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(bytes).map_raw(file.as_fd().as_raw_fd())?;
        Ok(Self { map: Box::leak(Box::new(map)) })
    }

    pub(crate) fn bytes(self) -> usize {
        self.map.len()
    }

    fn at<T>(self, at: usize) -> *mut T {
        assert!(at.is_multiple_of(align_of::<T>()) && at + size_of::<T>() <= self.map.len());
        // SAFETY: the assertion above keeps the result inside the mapping.
        unsafe { self.map.as_mut_ptr().add(at).cast() }
    }

    pub(crate) fn word64(self, at: usize) -> &'static AtomicU64 {
        // SAFETY: `at` gives an aligned place inside the mapping, which is never unmapped, and
        // every bit pattern is an `AtomicU64`. What is reached as a word is never reached in
        // another way: names lie in ranges of their own (see `write`).
        unsafe { &*self.at(at) }
    }

    pub(crate) fn word32(self, at: usize) -> &'static AtomicU32 {
        // SAFETY: as in `word64`; no place is used as a word of both lengths.
        unsafe { &*self.at(at) }
    }

    pub(crate) fn latch(self, at: usize) -> &'static Latch {
        // SAFETY: as in `word64`; a latch is thirteen words, and those are used in no other way.
        unsafe { &*self.at(at) }
    }

    pub(crate) fn buckets(self, at: usize) -> &'static Buckets {
        // SAFETY: as in `latch`; a slot is used as one of the two, or read as the other when it is
        // new, and both are atomic words.
        unsafe { &*self.at(at) }
    }

    /// Writes bytes that nothing points to yet: names, and the header before its magic.
    pub(crate) fn write(self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.map.len());
        // SAFETY: the range is inside the mapping, and `bytes` is a slice of ours elsewhere. Only
        // one thread of one process writes here (the caller holds the process's lock, or nobody
        // knows the file yet), and no reference to this range exists.
        unsafe {
            let to = self.map.as_mut_ptr().add(at);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }
}

/// A reference that lives as long as the program, or none yet; works in a forked child whatever
/// other threads were doing at the fork.
#[derive(Debug)]
pub(crate) struct Leaked<T: 'static>(AtomicPtr<T>);

impl<T> Leaked<T> {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: the pointer is null or was a `&'static T` in `set`, and only read through since.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn set(&self, value: &'static T) {
        self.0.store(std::ptr::from_ref(value).cast_mut(), Ordering::Release);
    }
}

/// What must be undone in a forked child, and said at the end of the process.
#[derive(Debug)]
struct Life {
    /// Zero in a forked child.
    armed: &'static AtomicU32,
    /// Holds the lock that says the process lives.
    lock: AtomicI32,
    first: Segment,
    next: Option<&'static Life>,
}

static LIVES: Leaked<Life> = Leaked::none();

/// Who may not be interrupted by whom: -1 while a lock is being made, else the number of forks that
/// go on. A child forked between would keep a lock that nobody closes in it.
static FORKS: AtomicI32 = AtomicI32::new(0);
/// How often a thread yields to another at most: some tenths of a second. Whoever stands in the way
/// for longer was itself interrupted by the one that waits, in a signal handler.
const PATIENCE: u32 = 100_000;

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Replaces the number of forks, when it is one that may be; gives whether it was in time.
fn change_forks(to: impl Fn(i32) -> Option<i32>) -> bool {
    for _ in 0..PATIENCE {
        if FORKS.fetch_update(Ordering::AcqRel, Ordering::Relaxed, &to).is_ok() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

extern "C" fn before_fork() {
    COUNTED.set(change_forks(|forks| (forks >= 0).then_some(forks + 1)));
}

extern "C" fn forked_parent() {
    if COUNTED.replace(false) {
        FORKS.fetch_sub(1, Ordering::Release);
    }
}

extern "C" fn forked_child() {
    COUNTED.set(false);
    FORKS.store(0, Ordering::Relaxed);
    let mut life = LIVES.get();
    while let Some(Life { armed, lock, next, .. }) = life {
        // The kernel has zeroed the word already where it knows MADV_WIPEONFORK.
        armed.store(0, Ordering::Relaxed);
        let fd = lock.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: `hold` was given this descriptor to keep, so nobody else closes it; the
            // swap sees to it that this happens once. `close` may be called after a fork.
            unsafe { libc::close(fd) };
        }
        life = *next;
    }
}

extern "C" fn at_exit() {
    let mut life = LIVES.get();
    while let Some(Life { armed, first, next, .. }) = life {
        if armed.load(Ordering::Relaxed) != 0 {
            first.word64(STATE_AT).store(ENDED, Ordering::Release);
        }
        life = *next;
    }
}

/// Keeps the lock that `make` gives until the process ends, and no longer: a forked child gives it
/// up at once. Gives the word that is one here and zero in a forked child.
///
/// Only one thread at a time may call this.
pub(crate) fn hold(
    first: Segment,
    make: impl FnOnce() -> io::Result<OwnedFd>,
) -> io::Result<&'static AtomicU32> {
    static HOOKS: Once = Once::new();
    let page: MmapRaw = MmapOptions::new().len(4096).map_anon()?.into();
    let page: &'static MmapRaw = Box::leak(Box::new(page));
    // SAFETY: the page is whole, private, and ours alone.
    unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_WIPEONFORK) };
    // SAFETY: a page is large and aligned enough, stays mapped, and holds nothing else.
    let armed: &'static AtomicU32 = unsafe { &*page.as_ptr().cast() };
    armed.store(1, Ordering::Relaxed);
    HOOKS.call_once(|| {
        // SAFETY: the functions do nothing but atomic loads and stores, yield, and `close`. A
        // failure (no memory) is harmless: the kernel's own zeroing remains, and an end goes unsaid.
        unsafe {
            libc::pthread_atfork(Some(before_fork), Some(forked_parent), Some(forked_child));
            libc::atexit(at_exit);
        }
    });
    let in_time = change_forks(|forks| (forks == 0).then_some(-1));
    let lock = make();
    if let Ok(lock) = lock.as_ref() {
        let lock = AtomicI32::new(lock.as_raw_fd());
        LIVES.set(Box::leak(Box::new(Life { armed, lock, first, next: LIVES.get() })));
    }
    if in_time {
        FORKS.store(0, Ordering::Release);
    }
    let _: RawFd = lock?.into_raw_fd();
    Ok(armed)
}

/// Whether the program has rights that the user who started it lacks (setuid, setgid, capabilities).
pub(crate) fn is_privileged() -> bool {
    // SAFETY: only looks a number up.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The monotonic clock, in ns.
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// The clock that file times are taken from, in ns since 1970.
pub(crate) fn file_clock_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME_COARSE)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time` alone. It cannot fail: every Linux has these clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

extern "C" fn at_start() {
    crate::activate();
}

/// Called by the C library before `main`, in every program that this crate is linked into.
// SAFETY: the section holds pointers to functions of exactly this kind; the function only stores
// a pointer, and needs nothing that is not there before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;
