//! Waking processes that wait for something which is not in shared memory.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use rustix::thread::futex;

use crate::memory::SharedMemory;
use crate::sync::wait::timespec;

/// Half words of a bell, in a line of its own: how often it was rung, how many sleep at it, and how
/// many are awake and look by themselves.
const RUNG: usize = 0;
const SLEEPERS: usize = 1;
const AWAKE: usize = 2;
const BELL: usize = 16;

/// Bells in shared memory, one for each of some processes, which wait for what comes to them another
/// way: whoever has sent something rings, and wakes them if they sleep.
///
/// While somebody of a process looks by himself ([`attend`](Self::attend)), ringing costs no system
/// call. Who ends to look has to look once more afterwards, since it was not rung for what came
/// before.
///
/// ```
/// use std::time::Duration;
/// use worker_process::{Bells, SharedMemory};
///
/// let bells = Bells::at(SharedMemory::create(Bells::len(2))?, 0, 2);
/// let rung = bells.rung(1);
/// // Something comes after it was looked for in vain ..
/// bells.ring(1);
/// // .. so this does not sleep.
/// bells.sleep(1, rung, Duration::from_secs(3600));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bells {
    memory: SharedMemory,
    offset: usize,
    n: usize,
}

impl Bells {
    /// The bytes of shared memory that `n` bells take.
    #[must_use]
    pub const fn len(n: usize) -> usize {
        4 * BELL * n
    }

    /// The bells in [`len`](Self::len) bytes of memory that were zero in the beginning.
    ///
    /// # Panics
    ///
    /// When they are not within the memory, or do not begin at a multiple of 64.
    #[must_use]
    pub fn at(memory: SharedMemory, offset: usize, n: usize) -> Self {
        let inside = offset.checked_add(Self::len(n)).is_some_and(|end| end <= memory.len());
        assert!(inside && offset.is_multiple_of(64), "no place for {n} bells at {offset}");
        Self { memory, offset, n }
    }

    fn half_words(&self, nth: usize) -> &[AtomicU32] {
        assert!(nth < self.n, "there is no bell {nth} of {}", self.n);
        &self.memory.map.words32()[self.offset / 4 + BELL * nth..][..BELL]
    }

    /// How often a bell was rung until now.
    #[must_use]
    pub fn rung(&self, nth: usize) -> u32 {
        self.half_words(nth)[RUNG].load(Ordering::SeqCst)
    }

    /// Wakes those who sleep at a bell, and those who are about to, unless somebody looks by himself.
    pub fn ring(&self, nth: usize) {
        let bell = self.half_words(nth);
        // What was sent is there before it is asked who would see it.
        fence(Ordering::SeqCst);
        if bell[AWAKE].load(Ordering::SeqCst) > 0 {
            return;
        }
        bell[RUNG].fetch_add(1, Ordering::SeqCst);
        if bell[SLEEPERS].load(Ordering::SeqCst) > 0 {
            let _n_woken = futex::wake(&bell[RUNG], futex::Flags::empty(), i32::MAX.unsigned_abs());
        }
    }

    /// Sleeps until a bell is rung, but not if it was since it had been `rung` so often, and at most
    /// for so long. It may also end for no reason.
    pub fn sleep(&self, nth: usize, rung: u32, longest: Duration) {
        let bell = self.half_words(nth);
        bell[SLEEPERS].fetch_add(1, Ordering::SeqCst);
        // The kernel looks at it once more when it has taken note of the sleeper.
        let limit = timespec(longest);
        let _ended = futex::wait(&bell[RUNG], futex::Flags::empty(), rung, Some(&limit));
        bell[SLEEPERS].fetch_sub(1, Ordering::SeqCst);
    }

    /// Says that somebody looks by himself from now on, until
    /// [`look_away`](Self::look_away).
    pub fn attend(&self, nth: usize) {
        self.half_words(nth)[AWAKE].fetch_add(1, Ordering::SeqCst);
    }

    /// Takes back one [`attend`](Self::attend).
    pub fn look_away(&self, nth: usize) {
        self.half_words(nth)[AWAKE].fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    /// Nothing that is sent is slept over, whether or not the receiver looks by himself when it is.
    #[test]
    fn who_sleeps_hears_of_everything_that_is_sent() {
        const LAST: u64 = 3000;
        let bells = Bells::at(SharedMemory::create(Bells::len(3)).unwrap(), 0, 3);
        let sent = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < LAST {
                    bells.attend(1);
                    for _ in 0..20 {
                        seen = sent.load(Ordering::SeqCst);
                        std::hint::spin_loop();
                    }
                    bells.look_away(1);
                    let rung = bells.rung(1);
                    let now = sent.load(Ordering::SeqCst);
                    if now == seen && seen < LAST {
                        // For ever, if this were not rung.
                        bells.sleep(1, rung, Duration::from_secs(1 << 20));
                    }
                    seen = now;
                }
            });
            for number in 1..=LAST {
                sent.store(number, Ordering::SeqCst);
                bells.ring(1);
                if number % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
        assert_eq!((bells.rung(0), bells.rung(2)), (0, 0));
    }
}
