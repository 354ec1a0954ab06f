//! A barrier for processes.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::thread::futex;
use thiserror::Error;

use crate::memory::SharedMemory;
use crate::sync::wait::{Idle, Spinner, WaitPolicy, n_cores, timespec, wake_cost};

/// Somebody sleeps until the phase changes.
const SLEEPERS: u32 = 1;
/// The barrier is of no use any more.
const POISONED: u32 = 2;
/// What one phase is apart from the next.
const ONE_PHASE: u32 = 4;

/// Why a barrier let nobody through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// A member died, gave up or poisoned it; it can not be used again.
    #[error("the barrier was given up, because a member of the group was lost or came too late")]
    Poisoned,
    /// Not all came in time. The barrier is poisoned by that, since one is missing from now on.
    #[error("not all members of the group came to the barrier in time")]
    Deadline,
}

/// What the barrier needs of an atomic word; the tests have another kind.
pub(crate) trait Futex {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn fetch_add(&self, value: u32, order: Ordering) -> u32;
    fn fetch_or(&self, value: u32, order: Ordering) -> u32;
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32>;
    /// Sleeps while the word has this value, until woken, for no reason, or until the deadline.
    fn sleep(&self, value: u32, deadline: Option<Instant>);
    fn wake_all(&self);
}

impl Futex for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }
    fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        self.fetch_add(value, order)
    }
    fn fetch_or(&self, value: u32, order: Ordering) -> u32 {
        self.fetch_or(value, order)
    }
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }
    fn sleep(&self, value: u32, deadline: Option<Instant>) {
        let left = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        // Whatever ends the sleep, the caller looks again.
        let _ended = futex::wait(self, futex::Flags::empty(), value, left.as_ref());
    }
    fn wake_all(&self) {
        let _n_woken = futex::wake(self, futex::Flags::empty(), i32::MAX.unsigned_abs());
    }
}

/// The barrier over its two words: how many came, and the phase with its two flags.
pub(crate) struct Protocol<'a, F> {
    pub(crate) came: &'a F,
    pub(crate) phase: &'a F,
    pub(crate) size: u32,
}

impl<F: Futex> Protocol<'_, F> {
    pub(crate) fn pass(
        &self,
        spinner: &mut Spinner,
        deadline: Option<Instant>,
    ) -> Result<(), BarrierError> {
        let before = self.phase.load(Ordering::Acquire);
        if before & POISONED != 0 {
            return Err(BarrierError::Poisoned);
        }
        // The phase can not change before we came.
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 >= self.size {
            return self.open();
        }
        // Whether to go on, and how; `None` to wait.
        let outcome = |phase: u32| {
            if phase / ONE_PHASE != before / ONE_PHASE {
                Some(Ok(()))
            } else if phase & POISONED != 0 {
                Some(Err(BarrierError::Poisoned))
            } else {
                None
            }
        };
        loop {
            let idle = spinner.look(|| outcome(self.phase.load(Ordering::Relaxed)).is_some());
            if idle == Idle::Sleep {
                let phase = self.phase.fetch_or(SLEEPERS, Ordering::AcqRel);
                if outcome(phase).is_none() {
                    self.phase.sleep(phase | SLEEPERS, deadline);
                }
                spinner.woken();
            }
            if let Some(outcome) = outcome(self.phase.load(Ordering::Acquire)) {
                return outcome;
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                self.poison();
                return Err(BarrierError::Deadline);
            }
        }
    }

    /// The last one lets all through.
    fn open(&self) -> Result<(), BarrierError> {
        // Nobody comes again before the phase changes, so this needs no order of its own.
        self.came.store(0, Ordering::Relaxed);
        let mut phase = self.phase.load(Ordering::Relaxed);
        loop {
            if phase & POISONED != 0 {
                return Err(BarrierError::Poisoned);
            }
            let next = (phase & !SLEEPERS).wrapping_add(ONE_PHASE);
            match self.phase.compare_exchange(phase, next) {
                // The system call only when somebody sleeps: it is most of the cost.
                Ok(_) => {
                    if phase & SLEEPERS != 0 {
                        self.phase.wake_all();
                    }
                    return Ok(());
                }
                Err(now) => phase = now,
            }
        }
    }

    pub(crate) fn poison(&self) {
        self.phase.fetch_or(POISONED, Ordering::AcqRel);
        self.phase.wake_all();
    }
}

/// A barrier for a fixed number of processes (or threads), in shared memory.
///
/// Nobody gets past it before all came; then it can be used again. A group that lost a member would
/// wait for ever: so whoever learns of a death poisons it, and everybody gets an error from then on
/// ([`Pool::poison_on_exit`](crate::Pool::poison_on_exit) does so).
///
/// What a member wrote before the barrier, the others read after it.
#[derive(Debug, Clone)]
pub struct Barrier {
    memory: SharedMemory,
    offset: usize,
    size: u32,
}

impl Barrier {
    /// The bytes of shared memory that a barrier takes.
    pub const LEN: usize = 128;

    /// A new barrier for `size` members, in memory of its own.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn create(size: u32) -> io::Result<Self> {
        Ok(Self::at(SharedMemory::create(Self::LEN)?, 0, size))
    }

    /// The barrier of another process, by the descriptor that came with a frame.
    ///
    /// # Errors
    ///
    /// As [`SharedMemory::open`].
    pub fn open(fd: OwnedFd, size: u32) -> io::Result<Self> {
        Ok(Self::at(SharedMemory::open(fd)?, 0, size))
    }

    /// The barrier in [`LEN`](Self::LEN) bytes of memory that were zero in the beginning.
    ///
    /// # Panics
    ///
    /// When they are not within the memory, or do not begin at a multiple of 64; for `size` 0.
    #[must_use]
    pub fn at(memory: SharedMemory, offset: usize, size: u32) -> Self {
        let inside = offset.checked_add(Self::LEN).is_some_and(|end| end <= memory.len());
        assert!(inside && offset.is_multiple_of(64), "no place for a barrier at {offset}");
        assert!(size > 0, "a barrier for nobody");
        Self { memory, offset, size }
    }

    /// The descriptor of the memory.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    /// The number of members.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    fn protocol(&self) -> Protocol<'_, AtomicU32> {
        let words = &self.memory.map.words32()[self.offset / 4..];
        Protocol { came: &words[0], phase: &words[16], size: self.size }
    }

    /// What one member needs to pass the barrier again and again.
    #[must_use]
    pub fn member(&self, policy: WaitPolicy) -> BarrierMember {
        let crowded = self.size as usize > n_cores();
        let cost =
            if policy == WaitPolicy::Adaptive && !crowded { wake_cost() } else { fallback() };
        BarrierMember { barrier: self.clone(), spinner: Spinner::new(policy, crowded, cost) }
    }

    /// Makes it an error for all members, those who wait included.
    pub fn poison(&self) {
        self.protocol().poison();
    }

    /// Whether it is of no use any more.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.protocol().phase.load(Ordering::Acquire) & POISONED != 0
    }
}

fn fallback() -> std::time::Duration {
    std::time::Duration::from_micros(50)
}

/// A member of the group that meets at a [`Barrier`].
#[derive(Debug)]
pub struct BarrierMember {
    barrier: Barrier,
    spinner: Spinner,
}

impl BarrierMember {
    /// Waits until all members came.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Poisoned`] when a member was lost, [`BarrierError::Deadline`] when not all
    /// came by then.
    pub fn pass(&mut self, deadline: Option<Instant>) -> Result<(), BarrierError> {
        self.barrier.protocol().pass(&mut self.spinner, deadline)
    }

    /// The barrier that it is a member of.
    #[must_use]
    pub fn barrier(&self) -> &Barrier {
        &self.barrier
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    /// No thread leaves phase k before all entered it, whatever the policy.
    #[test]
    fn nobody_is_early() {
        for policy in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
            for size in 1..=4_u32 {
                let barrier = Barrier::create(size).unwrap();
                let entered = AtomicUsize::new(0);
                std::thread::scope(|scope| {
                    for _ in 0..size {
                        scope.spawn(|| {
                            let mut member = barrier.member(policy);
                            let late = Instant::now() + Duration::from_secs(60);
                            // Spinning with more threads than cores takes a slice a phase.
                            for phase in 1..=50 {
                                entered.fetch_add(1, Ordering::SeqCst);
                                member.pass(Some(late)).unwrap();
                                let n = entered.load(Ordering::SeqCst);
                                assert!(n >= phase * size as usize, "{policy:?} {size} {phase}");
                                member.pass(Some(late)).unwrap();
                            }
                        });
                    }
                });
                assert_eq!(entered.into_inner(), 50 * size as usize);
            }
        }
    }

    #[test]
    fn poison_reaches_who_waits_and_who_comes_later() {
        let barrier = Barrier::create(3).unwrap();
        std::thread::scope(|scope| {
            let wait = |policy| {
                let barrier = barrier.clone();
                scope.spawn(move || barrier.member(policy).pass(None))
            };
            let waiting = [wait(WaitPolicy::Block), wait(WaitPolicy::Adaptive)];
            barrier.poison();
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(BarrierError::Poisoned));
            }
        });
        let late = barrier.member(WaitPolicy::Spin).pass(None);
        assert_eq!(late, Err(BarrierError::Poisoned));
        assert!(barrier.is_poisoned());
    }

    #[test]
    fn who_waits_for_the_missing_gives_up_at_the_deadline() {
        let barrier = Barrier::create(2).unwrap();
        for policy in [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Block] {
            let barrier = Barrier::create(2).unwrap();
            let soon = Instant::now() + Duration::from_millis(20);
            let outcome = barrier.member(policy).pass(Some(soon));
            assert_eq!(outcome, Err(BarrierError::Deadline));
            assert!(Instant::now() >= soon);
            assert!(barrier.is_poisoned());
        }
        assert!(!barrier.is_poisoned());
    }

    mod every_interleaving {
        use loom::sync::{Arc, Condvar, Mutex};

        use super::super::*;

        /// A word that loom watches, with a futex as the kernel has it: the value is compared and
        /// the sleeper queued in one step.
        struct Model {
            word: loom::sync::atomic::AtomicU32,
            queue: Mutex<()>,
            bell: Condvar,
        }

        impl Model {
            fn new() -> Self {
                let word = loom::sync::atomic::AtomicU32::new(0);
                Self { word, queue: Mutex::new(()), bell: Condvar::new() }
            }
        }

        impl Futex for Model {
            fn load(&self, order: Ordering) -> u32 {
                self.word.load(order)
            }
            fn store(&self, value: u32, order: Ordering) {
                self.word.store(value, order);
            }
            fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
                self.word.fetch_add(value, order)
            }
            fn fetch_or(&self, value: u32, order: Ordering) -> u32 {
                self.word.fetch_or(value, order)
            }
            fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
                self.word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            }
            fn sleep(&self, value: u32, _deadline: Option<Instant>) {
                let queue = self.queue.lock().unwrap();
                if self.word.load(Ordering::SeqCst) == value {
                    drop(self.bell.wait(queue).unwrap());
                }
            }
            fn wake_all(&self) {
                drop(self.queue.lock().unwrap());
                self.bell.notify_all();
            }
        }

        fn pass(came: &Model, phase: &Model, size: u32) -> Result<(), BarrierError> {
            let mut spinner = Spinner::new(WaitPolicy::Block, false, fallback());
            Protocol { came, phase, size }.pass(&mut spinner, None)
        }

        /// Two members, two phases: nobody sleeps for ever, and what was written is seen.
        #[test]
        fn two_members_meet_twice() {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(3);
            builder.check(|| {
                let words = Arc::new((Model::new(), Model::new()));
                let data = Arc::new(loom::cell::UnsafeCell::new(0));
                let other = {
                    let (words, data) = (Arc::clone(&words), Arc::clone(&data));
                    loom::thread::spawn(move || {
                        data.with_mut(|_| ());
                        pass(&words.0, &words.1, 2).unwrap();
                        pass(&words.0, &words.1, 2).unwrap();
                    })
                };
                pass(&words.0, &words.1, 2).unwrap();
                // Loom finds it if this can happen at the same time as the access above.
                data.with(|_| ());
                pass(&words.0, &words.1, 2).unwrap();
                other.join().unwrap();
            });
        }

        /// Poison at any moment: nobody sleeps for ever.
        #[test]
        fn poison_wakes_at_any_moment() {
            loom::model(|| {
                let words = Arc::new((Model::new(), Model::new()));
                let member = {
                    let words = Arc::clone(&words);
                    loom::thread::spawn(move || pass(&words.0, &words.1, 2))
                };
                Protocol { came: &words.0, phase: &words.1, size: 2 }.poison();
                assert_eq!(member.join().unwrap(), Err(BarrierError::Poisoned));
            });
        }
    }
}
