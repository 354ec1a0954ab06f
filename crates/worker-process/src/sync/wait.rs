//! Waiting for another process: how long to look before sleeping.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// How a process waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Looks again and again, and never sleeps: the fastest, where every process has a core of its
    /// own; a waste of one otherwise.
    Spin,
    /// Looks for about as long as waking would take, then sleeps; sleeps at once while waits turn
    /// out long, or where there are more processes than cores.
    #[default]
    Adaptive,
    /// Looks for a millisecond, and gives the core to others between the looks, at once where there
    /// are more processes than cores, else after some time; then sleeps. For those who wait often
    /// and briefly and cannot know how many cores they have.
    Yield,
    /// Sleeps at once.
    Block,
}

/// The number of cores that this process may use, by affinity and by quota, when it first asked:
/// to find out means to read some files.
pub(crate) fn n_cores() -> usize {
    static N: OnceLock<usize> = OnceLock::new();
    *N.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What it takes to wake a sleeping thread here, measured once in a process.
///
/// The median of a few round trips between two threads, halved, within 20 and 100 µs: where the
/// threads happened to share a core it would be much less than what waking another core takes.
pub(crate) fn wake_cost() -> Duration {
    static COST: OnceLock<Duration> = OnceLock::new();
    const TRIPS: usize = 7;
    const LEAST: Duration = Duration::from_micros(20);
    const MOST: Duration = Duration::from_micros(100);
    let fallback = Duration::from_micros(50);
    *COST.get_or_init(|| {
        if n_cores() == 1 {
            return LEAST;
        }
        let (Ok(there), Ok(back)) = (Bell::new(), Bell::new()) else { return fallback };
        let mut trips: Vec<Duration> = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..TRIPS {
                    there.wait();
                    back.ring();
                }
            });
            let trip = |_| {
                let begin = Instant::now();
                there.ring();
                back.wait();
                begin.elapsed()
            };
            (0..TRIPS).map(trip).collect()
        });
        trips.sort_unstable();
        (trips[TRIPS / 2] / 2).clamp(LEAST, MOST)
    })
}

/// What is left until `deadline`, in the kernel's form; zero when it has passed.
pub(crate) fn timespec(left: Duration) -> Timespec {
    // Longer than anybody waits, and within every kernel's range.
    let left = left.min(Duration::from_secs(1 << 30));
    #[expect(clippy::cast_possible_wrap, reason = "at most 2^30")]
    let tv_sec = left.as_secs() as i64;
    Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() }
}

/// Waits for events on descriptors; interruptions by signals are not the caller's concern.
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<(), Errno> {
    loop {
        let left = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match rustix::event::poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

/// A descriptor that wakes whoever polls it.
#[derive(Debug)]
pub(crate) struct Bell {
    pub(crate) fd: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd })
    }

    pub(crate) fn ring(&self) {
        // It can only fail when it rings already.
        let _rung = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub(crate) fn reset(&self) {
        let _silent = rustix::io::read(&self.fd, &mut [0_u8; 8]);
    }

    fn wait(&self) {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let _rung = poll(&mut fds, None);
        self.reset();
    }

    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)
    }
}

/// What to do after having looked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It is there.
    Ready,
    /// Sleep until woken.
    Sleep,
    /// Look around without sleeping, then come back.
    LookAround,
}

/// Looks for something again and again, as the policy has it.
#[derive(Debug)]
pub(crate) struct Spinner {
    policy: WaitPolicy,
    /// More processes than cores: looking takes the core from whom we wait for.
    crowded: bool,
    cost: Duration,
    /// For how long to look now. While waits are short: twice the cost of waking, since an answer
    /// takes that long when the other side has to be woken and then finds us awake. Less and less
    /// while they are long.
    allowance: Duration,
    began: Option<Instant>,
    /// Short waits in a row that the looking did not end: both sides may share a core.
    n_vain: u32,
    /// Waits to come that are slept at once, before looking gets another chance.
    n_paused: u32,
}

/// For how long one looks that gives the core to others meanwhile.
const LONG_LOOK: Duration = Duration::from_millis(1);
/// As many short waits with vain looks in a row end the looking ...
const MOST_VAIN: u32 = 8;
/// ... for as many waits.
const PAUSE: u32 = 256;

impl Spinner {
    pub(crate) fn new(policy: WaitPolicy, crowded: bool, cost: Duration) -> Self {
        Self { policy, crowded, cost, allowance: cost * 2, began: None, n_vain: 0, n_paused: 0 }
    }

    /// Looks until `ready`, or for as long as it is worth.
    pub(crate) fn look(&mut self, mut ready: impl FnMut() -> bool) -> Idle {
        let limit = match self.policy {
            WaitPolicy::Block => return Idle::Sleep,
            // So that whoever spins notices signs that are not in shared memory.
            WaitPolicy::Spin => Duration::from_millis(1),
            WaitPolicy::Yield => return self.look_politely(ready),
            WaitPolicy::Adaptive if self.crowded => return Idle::Sleep,
            WaitPolicy::Adaptive if self.n_paused > 0 => {
                self.n_paused -= 1;
                return if ready() { Idle::Ready } else { Idle::Sleep };
            }
            WaitPolicy::Adaptive => self.allowance,
        };
        for _ in 0..16 {
            if ready() {
                return Idle::Ready;
            }
            std::hint::spin_loop();
        }
        let began = Instant::now();
        while began.elapsed() < limit {
            for _ in 0..16 {
                if ready() {
                    self.n_vain = 0;
                    return Idle::Ready;
                }
                std::hint::spin_loop();
            }
        }
        self.began = Some(began);
        if self.policy == WaitPolicy::Spin { Idle::LookAround } else { Idle::Sleep }
    }

    fn look_politely(&mut self, mut ready: impl FnMut() -> bool) -> Idle {
        let began = Instant::now();
        loop {
            for _ in 0..8 {
                if ready() {
                    return Idle::Ready;
                }
                std::hint::spin_loop();
            }
            let looked_for = began.elapsed();
            if looked_for >= LONG_LOOK {
                return Idle::Sleep;
            }
            if self.crowded || looked_for >= self.cost {
                std::thread::yield_now();
            }
        }
    }

    /// Tells how the wait ended that began with the last look: something came, after some sleep.
    pub(crate) fn woken(&mut self) {
        if let Some(began) = self.began.take() {
            // What took two wakes may have taken none, had both sides looked for longer; six are
            // the border to waits for which looking is a waste.
            let short = began.elapsed() < self.cost * 6;
            self.allowance = if short { self.cost * 2 } else { self.allowance / 4 };
            self.n_vain = if short { self.n_vain + 1 } else { 0 };
            if self.n_vain >= MOST_VAIN {
                (self.n_vain, self.n_paused) = (0, PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_waking_is_within_its_bounds() {
        let cost = wake_cost();
        assert!(cost >= Duration::from_micros(20) && cost <= Duration::from_micros(100));
        assert_eq!(cost, wake_cost());
    }

    #[test]
    fn long_waits_end_the_looking_and_short_ones_bring_it_back() {
        let cost = Duration::from_micros(20);
        let mut spinner = Spinner::new(WaitPolicy::Adaptive, false, cost);
        for _ in 0..20 {
            assert_eq!(spinner.look(|| false), Idle::Sleep);
            spinner.began = Instant::now().checked_sub(Duration::from_millis(10));
            spinner.woken();
        }
        assert!(spinner.allowance < Duration::from_nanos(10));
        // An end right after the look began is a short wait, whatever else runs.
        spinner.began = Some(Instant::now() + Duration::from_secs(1));
        spinner.woken();
        assert_eq!(spinner.allowance, cost * 2);
    }

    /// Two processes on one core answer quickly, but never while the other is looking.
    #[test]
    fn looks_in_vain_pause_and_come_back() {
        let cost = Duration::from_micros(1);
        let mut spinner = Spinner::new(WaitPolicy::Adaptive, false, cost);
        let look = |spinner: &mut Spinner| {
            let mut n_looks = 0_u64;
            let idle = spinner.look(|| {
                n_looks += 1;
                false
            });
            assert_eq!(idle, Idle::Sleep);
            // Whatever else runs: the wait was short.
            spinner.began = spinner.began.map(|_| Instant::now() + Duration::from_secs(1));
            spinner.woken();
            n_looks
        };
        for _ in 0..3 {
            assert!((0..MOST_VAIN).all(|_| look(&mut spinner) > 1));
            assert!((0..PAUSE).all(|_| look(&mut spinner) == 1));
        }
    }

    #[test]
    fn each_policy_does_as_it_says() {
        let cost = Duration::from_micros(20);
        let look = |policy, crowded| Spinner::new(policy, crowded, cost).look(|| false);
        assert_eq!(look(WaitPolicy::Block, false), Idle::Sleep);
        assert_eq!(look(WaitPolicy::Adaptive, true), Idle::Sleep);
        assert_eq!(look(WaitPolicy::Spin, true), Idle::LookAround);
        for crowded in [false, true] {
            assert_eq!(look(WaitPolicy::Yield, crowded), Idle::Sleep);
        }
        let mut n = 0;
        let mut spinner = Spinner::new(WaitPolicy::Spin, false, cost);
        let third = || {
            n += 1;
            n == 3
        };
        assert_eq!(spinner.look(third), Idle::Ready);
    }
}
