//! A barrier that can be given up.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How members of a [`ThreadGroup`](crate::ThreadGroup) wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Spinning, about twice as long as it takes to wake a sleeping thread (50 µs) and shorter where
    /// waits were long lately, then sleeping. Where there are more members than CPUs, letting others
    /// run a few times instead, then sleeping.
    #[default]
    Adaptive,
    /// Spinning until the others come. The quickest where every member has a CPU of its own, and
    /// very slow where not.
    Spin,
    /// Sleeping at once.
    Block,
}

/// Waking a sleeping thread takes 20 to 50 µs on the machines we know. Who was woken comes that late
/// the next time, too; so where both sides sleep, only who spins for longer finds out that no more
/// sleep is needed, and that is twice as long.
const SPIN: Duration = Duration::from_micros(100);
/// So long a wait, sleep included, tells that spinning is worth it.
const SHORT: Duration = Duration::from_micros(300);
/// So long it spins at least after longer ones.
const SPIN_LEAST: Duration = Duration::from_micros(1);
/// How often to let others run before sleeping, where spinning would keep them from coming.
const N_YIELDS: u32 = 20;

/// Where `n` members meet, again and again.
///
/// On cache lines of its own, of which one is enough: whoever comes takes that line from the CPU of
/// who came before, and nothing else may do so.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Gate {
    n: u64,
    policy: WaitPolicy,
    crowded: bool,
    /// How long spinning is worth it, as far as the last times told, in nanoseconds.
    spin_ns: AtomicU64,
    /// From its lowest bit on: 16 bits of how many wait for the next time, 16 of how many of these
    /// came for nothing but to meet, one of whether all did the last time, and 31 of how often it
    /// opened. So a barrier takes no look at what others have posted.
    word: AtomicU64,
    broken: AtomicBool,
    n_sleepers: AtomicUsize,
    sleep: Mutex<()>,
    woken: Condvar,
}

const COUNT: u64 = 0xffff;
/// One that came for nothing but to meet, in the word.
const BARE: u64 = 1 << 16;
/// Whether all who came the last time did so for that.
const ALL_BARE: u64 = 1 << 32;
/// Where the number of times begins in the word.
const TIME: u32 = 33;
/// Members at most.
pub(crate) const MOST: usize = COUNT as usize;

impl Gate {
    pub(crate) fn new(n: usize, policy: WaitPolicy) -> Self {
        assert!((1..=MOST).contains(&n), "a gate for {n} members");
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
        self.come(1, certain).is_some()
    }

    /// The same for one that came for nothing but to meet, if `bare`: whether all did. `None` if the
    /// gate was given up.
    pub(crate) fn meet(&self, bare: bool) -> Option<bool> {
        self.come(if bare { 1 + BARE } else { 1 }, false)
    }

    fn come(&self, own: u64, certain: bool) -> Option<bool> {
        // Sequentially consistent throughout: who opens and who goes to sleep each write one word
        // and then read the other's, and one of them has to see the other.
        let word = self.word.fetch_add(own, Ordering::SeqCst) + own;
        let time = word >> TIME;
        if word & COUNT < self.n {
            return self.wait(time, own, certain);
        }
        let all_bare = (word / BARE) & COUNT == self.n;
        let mark = if all_bare { ALL_BARE } else { 0 };
        self.word.store(((time + 1) << TIME) | mark, Ordering::SeqCst);
        if self.n_sleepers.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
        Some(all_bare)
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

    /// Whether all who came at that time did so for nothing but to meet, once the gate has opened:
    /// the word says so until it opens again, for which whoever asks has to come.
    fn opened(&self, time: u64) -> Option<bool> {
        let word = self.word.load(Ordering::SeqCst);
        (word >> TIME != time).then_some(word & ALL_BARE != 0)
    }

    fn is_broken(&self, certain: bool) -> bool {
        !certain && self.broken.load(Ordering::SeqCst)
    }

    fn wait(&self, time: u64, own: u64, certain: bool) -> Option<bool> {
        let mut patience = Patience::new(self.policy, self.spin());
        loop {
            if let Some(all_bare) = self.opened(time) {
                self.learn(&patience);
                return Some(all_bare);
            }
            if self.is_broken(certain) {
                if let Some(passed) = self.withdraw(time, own) {
                    return passed;
                }
                continue;
            }
            if patience.wait() {
                continue;
            }
            let mut asleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
            self.n_sleepers.fetch_add(1, Ordering::SeqCst);
            while self.opened(time).is_none() && !self.is_broken(certain) {
                asleep = self.woken.wait(asleep).unwrap_or_else(PoisonError::into_inner);
            }
            self.n_sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// For how long to spin now.
    fn spin(&self) -> Duration {
        if self.crowded {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.spin_ns.load(Ordering::Relaxed))
    }

    /// Takes note of how a wait went. What all members note is of all of them, so nothing here needs
    /// to be exact; and nothing is written where all goes as it did, since others read that line.
    fn learn(&self, patience: &Patience) {
        let &Patience { policy: WaitPolicy::Adaptive, spin, start, .. } = patience else { return };
        if spin.is_zero() {
            return;
        }
        let is_short = patience.is_spinning() || start.is_some_and(|start| start.elapsed() < SHORT);
        let spin = if is_short { SPIN } else { SPIN_LEAST.max(spin / 4) };
        if self.spin_ns.load(Ordering::Relaxed) != nanoseconds(spin) {
            self.spin_ns.store(nanoseconds(spin), Ordering::Relaxed);
        }
    }

    /// Goes away from the gate, unless all came meanwhile; how it passed, once that is certain.
    fn withdraw(&self, time: u64, own: u64) -> Option<Option<bool>> {
        let word = self.word.load(Ordering::SeqCst);
        if word >> TIME != time {
            return Some(Some(word & ALL_BARE != 0));
        }
        if word & COUNT == self.n {
            // The last one is about to open it.
            hint::spin_loop();
            return None;
        }
        let left = self.word.compare_exchange(word, word - own, Ordering::SeqCst, Ordering::SeqCst);
        left.is_ok().then_some(None)
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
    fn new(policy: WaitPolicy, spin: Duration) -> Self {
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
                    // Who has spun finds nobody on its CPU that it could let run.
                    let most = if self.spin.is_zero() { N_YIELDS } else { 1 };
                    return self.n_yields < most;
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

    /// Some come with something else in mind, in turns; everybody learns of it, and of nothing from
    /// the time before.
    #[test]
    fn all_of_a_time_learn_alike_whether_all_came_for_nothing_else() {
        for policy in [WaitPolicy::Adaptive, WaitPolicy::Block] {
            let gate = Gate::new(3, policy);
            thread::scope(|scope| {
                for rank in 0..3_usize {
                    let gate = &gate;
                    scope.spawn(move || {
                        for time in 0..3000_usize {
                            // Every combination of the three, again and again.
                            let is_bare = |rank: usize| ((time % 8) >> rank) & 1 == 0;
                            let all = (0..3).all(is_bare);
                            assert_eq!(gate.meet(is_bare(rank)), Some(all), "{policy:?}, {time}");
                        }
                    });
                }
            });
            assert_eq!(gate.word.load(Ordering::SeqCst) & (ALL_BARE - 1), 0);
        }
    }

    /// Waking takes so long that who was woken is late the next time; that alone keeps nobody from
    /// spinning.
    #[test]
    fn short_waits_bring_spinning_back_and_long_ones_end_it() {
        let gate = Gate::new(1, WaitPolicy::Adaptive);
        let slept = |gate: &Gate, for_us| {
            let start = Instant::now().checked_sub(Duration::from_micros(for_us));
            let spin = gate.spin();
            gate.learn(&Patience { n_yields: 1, start, ..Patience::new(gate.policy, spin) });
            spin
        };
        for _ in 0..8 {
            slept(&gate, 1_000_000);
        }
        assert_eq!(gate.spin(), SPIN_LEAST);
        // However long this takes by itself, it began in the future.
        let start = Some(Instant::now() + Duration::from_secs(60));
        let patience = Patience::new(gate.policy, gate.spin());
        gate.learn(&Patience { n_yields: 1, start, ..patience });
        assert_eq!(gate.spin(), SPIN);
    }

    /// One that came bare goes away as if it had not come.
    #[test]
    fn who_goes_away_is_not_counted_in_any_way() {
        for bare in [false, true] {
            let gate = Gate::new(2, WaitPolicy::Block);
            thread::scope(|scope| {
                let one = scope.spawn(|| gate.meet(bare));
                gate.give_up();
                assert_eq!(one.join().unwrap(), None);
            });
            assert_eq!(gate.word.load(Ordering::SeqCst), 0);
        }
    }
}
