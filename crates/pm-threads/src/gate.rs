//! A barrier that can be given up.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How members of a [`ThreadGroup`](crate::ThreadGroup) wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Spinning, about as long as it takes to wake a sleeping thread (50 µs) and shorter where that
    /// was in vain lately, then letting others run a few times, then sleeping. Where there are more
    /// members than CPUs, it does not spin.
    #[default]
    Adaptive,
    /// Spinning until the others come. The quickest where every member has a CPU of its own, and
    /// very slow where not.
    Spin,
    /// Sleeping at once.
    Block,
}

/// Waking a sleeping thread takes 20 to 50 µs on the machines we know, so spinning longer than that
/// could not win, and spinning as long loses at most as much again.
const SPIN: Duration = Duration::from_micros(50);
/// So long it spins at least, lest it never learns that spinning is of use again.
const SPIN_LEAST: Duration = Duration::from_micros(1);
/// How often to let others run before sleeping, where spinning would keep them from coming.
const N_YIELDS: u32 = 20;

/// Where `n` members meet, again and again.
#[derive(Debug)]
pub(crate) struct Gate {
    n: u64,
    policy: WaitPolicy,
    crowded: bool,
    /// How long spinning is worth it, as far as the last times told, in nanoseconds.
    spin_ns: AtomicU64,
    /// How often it opened (upper half), and how many wait for the next time (lower half).
    word: AtomicU64,
    broken: AtomicBool,
    n_sleepers: AtomicUsize,
    sleep: Mutex<()>,
    woken: Condvar,
}

const COUNT: u64 = 0xffff_ffff;

impl Gate {
    pub(crate) fn new(n: usize, policy: WaitPolicy) -> Self {
        Self {
            n: n as u64,
            policy,
            spin_ns: AtomicU64::new(nanoseconds(SPIN)),
            crowded: thread::available_parallelism().is_ok_and(|cpus| cpus.get() < n),
            word: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            n_sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// Comes to the gate and waits for all others. Returns false if the gate was given up, and this
    /// member is not there any more; what is returned is true for all of a time or for none.
    ///
    /// Where every member is known to be on its way, `certain` lets nothing but their coming end
    /// the wait.
    pub(crate) fn pass(&self, certain: bool) -> bool {
        // Sequentially consistent throughout: who opens and who goes to sleep each write one word
        // and then read the other's, and one of them has to see the other.
        let before = self.word.fetch_add(1, Ordering::SeqCst);
        let time = before >> 32;
        if (before & COUNT) + 1 == self.n {
            self.word.store((time + 1) << 32, Ordering::SeqCst);
            if self.n_sleepers.load(Ordering::SeqCst) > 0 {
                self.wake();
            }
            return true;
        }
        self.wait(time, certain)
    }

    /// Lets all members go that wait for others, now and later.
    pub(crate) fn give_up(&self) {
        self.broken.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // Under the lock, so that it does not fall between a look at the word and sleep.
        let _asleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.woken.notify_all();
    }

    fn is_open(&self, time: u64) -> bool {
        self.word.load(Ordering::SeqCst) >> 32 != time
    }

    fn is_broken(&self, certain: bool) -> bool {
        !certain && self.broken.load(Ordering::SeqCst)
    }

    fn wait(&self, time: u64, certain: bool) -> bool {
        let spin_ns = self.spin_ns.load(Ordering::Relaxed);
        let mut patience = Patience::new(self.policy, self.crowded, spin_ns);
        loop {
            if self.is_open(time) {
                if patience.is_spinning() && spin_ns < nanoseconds(SPIN) {
                    self.spin_ns.store(nanoseconds(SPIN).min(2 * spin_ns), Ordering::Relaxed);
                }
                return true;
            }
            if self.is_broken(certain) {
                if let Some(passed) = self.withdraw(time) {
                    return passed;
                }
                continue;
            }
            if patience.wait() {
                continue;
            }
            self.spin_ns.store(nanoseconds(SPIN_LEAST).max(spin_ns / 2), Ordering::Relaxed);
            let mut asleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.n_sleepers.fetch_add(1, Ordering::SeqCst);
            while !self.is_open(time) && !self.is_broken(certain) {
                asleep = self.woken.wait(asleep).unwrap_or_else(PoisonError::into_inner);
            }
            self.n_sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Goes away from the gate, unless all came meanwhile; whether it passed, once that is certain.
    fn withdraw(&self, time: u64) -> Option<bool> {
        let word = self.word.load(Ordering::SeqCst);
        if word >> 32 != time {
            return Some(true);
        }
        if word & COUNT == self.n {
            // The last one is about to open it.
            hint::spin_loop();
            return None;
        }
        let left = self.word.compare_exchange(word, word - 1, Ordering::SeqCst, Ordering::SeqCst);
        left.is_ok().then_some(false)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What is done before sleeping.
struct Patience {
    policy: WaitPolicy,
    spin: Duration,
    n_spins: u32,
    n_yields: u32,
    start: Option<Instant>,
}

impl Patience {
    fn new(policy: WaitPolicy, crowded: bool, spin_ns: u64) -> Self {
        let spin = if crowded { Duration::ZERO } else { Duration::from_nanos(spin_ns) };
        Self { policy, spin, n_spins: 0, n_yields: 0, start: None }
    }

    fn is_spinning(&self) -> bool {
        self.n_yields == 0
    }

    /// Lets some time pass; false when it is time to sleep.
    fn wait(&mut self) -> bool {
        match self.policy {
            WaitPolicy::Block => return false,
            WaitPolicy::Spin => {}
            WaitPolicy::Adaptive => {
                // Reading the clock takes as long as some rounds, so not in every one.
                let looks = self.spin.is_zero() || self.n_spins % 64 == 63;
                let spins = |start: &mut Option<Instant>| {
                    start.get_or_insert_with(Instant::now).elapsed() < self.spin
                };
                if self.n_yields > 0 || (looks && !spins(&mut self.start)) {
                    thread::yield_now();
                    self.n_yields += 1;
                    return self.n_yields < N_YIELDS;
                }
            }
        }
        self.n_spins = self.n_spins.wrapping_add(1);
        hint::spin_loop();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counter is written between two gates by one of them only, so each sees it as it was.
    #[test]
    fn nobody_passes_before_all_are_there_whatever_the_policy() {
        for policy in [WaitPolicy::Adaptive, WaitPolicy::Block, WaitPolicy::Spin] {
            // More than there are CPUs would spin for whole time slices.
            let n = if policy == WaitPolicy::Spin { 2 } else { 5 };
            let n_times = if policy == WaitPolicy::Spin { 20 } else { 2000 };
            let (gate, count) = (Gate::new(n, policy), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..n {
                    scope.spawn(|| {
                        for time in 1..=n_times {
                            count.fetch_add(1, Ordering::SeqCst);
                            assert!(gate.pass(false));
                            assert_eq!(count.load(Ordering::SeqCst), n * time, "{policy:?}");
                            assert!(gate.pass(true));
                        }
                    });
                }
            });
        }
    }

    /// Members come and one does not; all are turned away, those who come later too.
    #[test]
    fn a_gate_that_is_given_up_lets_all_of_a_time_go() {
        for policy in [WaitPolicy::Adaptive, WaitPolicy::Block, WaitPolicy::Spin] {
            for _ in 0..100 {
                let gate = Gate::new(3, policy);
                thread::scope(|scope| {
                    let two = [(); 2].map(|()| scope.spawn(|| gate.pass(false)));
                    gate.give_up();
                    assert!(two.into_iter().all(|member| !member.join().unwrap()));
                });
                assert!(!gate.pass(false));
                assert_eq!(gate.word.load(Ordering::SeqCst), 0, "nobody is counted any more");
            }
        }
    }
}
