//! Where ticks come from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::raw;

/// A moment on a timer's clock.
///
/// The clock's zero is its own affair; only moments of one clock can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub(crate) i64);

impl Moment {
    /// The moment that is so many ticks after the clock's zero.
    #[must_use]
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Ticks since the clock's zero.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// The moment at `seconds` of a clock with so many ticks per second, rounded to a tick. What
    /// no clock can say (not a number, or far off) becomes the first or the last moment of all.
    #[must_use]
    pub fn from_seconds(seconds: f64, ticks_per_second: f64) -> Self {
        if seconds.is_nan() {
            return Self(i64::MIN);
        }
        // A float becomes an integer by saturation.
        Self((seconds * ticks_per_second).round() as i64)
    }

    /// Seconds since the zero of a clock with so many ticks per second.
    #[must_use]
    pub fn seconds(self, ticks_per_second: f64) -> f64 {
        self.0 as f64 / ticks_per_second
    }
}

/// What a timer reads.
pub trait Clock {
    /// The clock now. Never less than what the same thread has read before.
    fn ticks(&self) -> u64;

    /// How many ticks make a second.
    fn ticks_per_second(&self) -> f64;

    /// What one stamp costs, in ticks; the timer takes it for its own time. Zero by default.
    fn stamp_cost(&self) -> u64 {
        0
    }

    /// Whether [`Clock::direct_ticks`] gives the clock, which a timer asks once.
    fn is_direct(&self) -> bool {
        true
    }

    /// As [`Clock::ticks`], without choosing first where the ticks come from.
    #[inline(always)]
    fn direct_ticks(&self) -> u64 {
        self.ticks()
    }
}

/// A clock that moves only when it is told to; its clones are the same clock.
///
/// A tick is 2⁻⁴⁰ s, so that sums of powers of two down to that are exact.
///
/// ```
/// use gtimer_core::{Clock, FakeClock};
///
/// let clock = FakeClock::new();
/// clock.advance(0.5);
/// assert_eq!(clock.ticks(), 1 << 39);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FakeClock {
    ticks: Arc<AtomicU64>,
}

impl FakeClock {
    /// Ticks in a second.
    pub const TICKS_PER_SECOND: f64 = (1_u64 << 40) as f64;

    /// A clock that stands at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock on by so many seconds, rounded to a tick; backwards it does not go.
    pub fn advance(&self, seconds: f64) {
        self.advance_ticks((seconds * Self::TICKS_PER_SECOND).round() as u64);
    }

    /// Moves the clock on by so many ticks.
    pub fn advance_ticks(&self, ticks: u64) {
        self.ticks.fetch_add(ticks, Ordering::Relaxed);
    }

    /// The clock, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.ticks() as f64 / Self::TICKS_PER_SECOND
    }
}

impl Clock for FakeClock {
    #[inline]
    fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    fn ticks_per_second(&self) -> f64 {
        Self::TICKS_PER_SECOND
    }
}

/// The time stamp counter where the kernel itself keeps time by it, else its monotonic clock.
///
/// The counter is trusted when the kernel's *current* clock source is `tsc` and the processor says
/// that it neither changes its rate nor stops; a kernel that has found it unstable uses another
/// source. Ticks become seconds only when times are read: the rate is measured against the
/// monotonic clock, and measured again at every reading, so that one that was wrong is replaced.
///
/// Reading the counter is not ordered with the instructions around it; a stamp may be off by some
/// ten nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    counter: bool,
}

impl SystemClock {
    /// The clock of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self { counter: system().counter }
    }

    /// Whether it is the processor's counter.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        self.counter
    }

    /// The rate of the counter as far as it is known by now, in ticks per second, for
    /// [`expect_rate`](Self::expect_rate) in a process that this one starts; none where the clock
    /// is not the counter. Waits until the clock of this process is 1 ms old.
    #[must_use]
    pub fn rate_so_far() -> Option<f64> {
        system().counter.then(|| counter_rate(LEAST_SO_FAR))
    }

    /// Says at which rate another process of this host saw the counter, in ticks per second, so
    /// that this one need not wait until it has measured that by itself. Each reading still
    /// compares it with what was measured so far, and replaces it when the two differ by more than
    /// the measurement may be wrong.
    ///
    /// Gives `false`, and changes nothing, for what is no rate, and when a rate was said before or
    /// the clock was in use already.
    pub fn expect_rate(ticks_per_second: f64) -> bool {
        let is_rate = ticks_per_second.is_finite() && ticks_per_second > 1e6;
        is_rate && SYSTEM.get().is_none() && EXPECTED.set(ticks_per_second).is_ok()
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn ticks(&self) -> u64 {
        if self.counter { raw::counter() } else { monotonic_ns() }
    }

    fn ticks_per_second(&self) -> f64 {
        if self.counter { counter_rate(LEAST_BASE) } else { 1e9 }
    }

    fn stamp_cost(&self) -> u64 {
        static COST: OnceLock<u64> = OnceLock::new();
        *COST.get_or_init(|| crate::timer::measure_stamp(*self))
    }

    fn is_direct(&self) -> bool {
        self.counter
    }

    #[inline(always)]
    fn direct_ticks(&self) -> u64 {
        raw::counter()
    }
}

/// The counter and the monotonic clock at one moment.
#[derive(Clone, Copy)]
struct Anchor {
    ticks: u64,
    at: Instant,
    /// How far apart the two may have been read, in ticks.
    error: u64,
}

struct System {
    counter: bool,
    anchor: Anchor,
    rate: Mutex<Option<f64>>,
}

/// Before this time has passed, a rate is too inexact.
const LEAST_BASE: Duration = Duration::from_millis(10);
/// The same for one that only serves until a process has measured its own.
const LEAST_SO_FAR: Duration = Duration::from_millis(1);
/// A rate that is wrong by more than this is replaced.
const RATE_TOLERANCE: f64 = 2e-5;

static SYSTEM: OnceLock<System> = OnceLock::new();
/// What another process measured.
static EXPECTED: OnceLock<f64> = OnceLock::new();

fn system() -> &'static System {
    SYSTEM.get_or_init(|| System {
        counter: counter_is_trusted(EXPECTED.get().is_some()),
        anchor: anchor(),
        rate: Mutex::new(EXPECTED.get().copied()),
    })
}

/// `by_another` says that another process of this host has looked at the processor, which takes the
/// longer the more of them there are.
fn counter_is_trusted(by_another: bool) -> bool {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return false;
    }
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    if std::fs::read_to_string(source).is_ok_and(|source| source.trim() == "tsc") {
        if by_another {
            return true;
        }
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        return info.lines().find(|line| line.starts_with("flags")).is_some_and(|flags| {
            let has = |flag| flags.split_whitespace().any(|other| other == flag);
            has("constant_tsc") && has("nonstop_tsc")
        });
    }
    false
}

fn monotonic_ns() -> u64 {
    let since = system().anchor.at.elapsed();
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

/// The best of several attempts: whoever is interrupted between the two readings is worse.
fn anchor() -> Anchor {
    let attempt = || {
        let before = raw::counter();
        let at = Instant::now();
        let error = raw::counter().wrapping_sub(before);
        Anchor { ticks: before.wrapping_add(error / 2), at, error }
    };
    (0..8).map(|_| attempt()).min_by_key(|anchor| anchor.error).unwrap_or_else(attempt)
}

/// The rate, once the clock is `least` old, unless one is known that nothing speaks against.
fn counter_rate(least: Duration) -> f64 {
    let System { anchor: first, rate, .. } = system();
    // The rate since the clock began, and by how much it may be wrong.
    let measure = || {
        let now = anchor();
        let ticks = now.ticks.wrapping_sub(first.ticks) as f64;
        let rate = ticks / now.at.duration_since(first.at).as_secs_f64();
        (rate, (first.error + now.error) as f64 / ticks)
    };
    let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
    let agrees = |known: f64, (measured, error): (f64, f64)| {
        // Two readings of the same times shall be equal, so a rate that is right stays.
        (known / measured - 1.0).abs() < RATE_TOLERANCE.max(error)
    };
    if let Some(known) = *rate
        && agrees(known, measure())
    {
        return known;
    }
    while first.at.elapsed() < least {
        std::hint::spin_loop();
    }
    let measured = measure();
    match *rate {
        Some(known) if agrees(known, measured) => known,
        _ => *rate.insert(measured.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_clock_is_exact_for_sums_of_powers_of_two() {
        let clock = FakeClock::new();
        let other = clock.clone();
        for by in [0.5, 8.0, 0.125, 2_f64.powi(-40)] {
            other.advance(by);
        }
        assert_eq!(clock.seconds(), 8.625 + 2_f64.powi(-40));
        other.advance(-1.0);
        assert_eq!(clock.seconds(), 8.625 + 2_f64.powi(-40));
    }

    #[test]
    fn moments_that_no_clock_can_say_are_the_first_or_the_last_of_all() {
        let of = |seconds| Moment::from_seconds(seconds, 1e9).ticks();
        assert_eq!(of(f64::NAN), i64::MIN);
        assert_eq!(of(f64::INFINITY), i64::MAX);
        assert_eq!(of(f64::NEG_INFINITY), i64::MIN);
        assert_eq!(of(-2.0), -2_000_000_000);
    }

    /// The system's clock agrees with the monotonic clock of std over a span.
    #[test]
    fn the_system_clock_keeps_time_with_the_monotonic_clock() {
        let clock = SystemClock::new();
        let (from, at) = (clock.ticks(), Instant::now());
        while at.elapsed() < Duration::from_millis(20) {}
        let (ticks, passed) = (clock.ticks() - from, at.elapsed());
        let seconds = ticks as f64 / clock.ticks_per_second();
        // Whoever is interrupted between the two readings sees more of the one than of the other.
        assert!(seconds >= 0.02 * (1.0 - 1e-3), "{seconds}");
        assert!(seconds <= passed.as_secs_f64() * (1.0 + 1e-3), "{seconds} {passed:?}");
    }

    /// It is replaced where a later measurement contradicts it, so not to the bit.
    #[test]
    fn the_rate_hardly_changes_between_readings() {
        let clock = SystemClock::new();
        let (one, other) = (clock.ticks_per_second(), clock.ticks_per_second());
        assert!((one / other - 1.0).abs() < 1e-3, "{one} and {other} ticks per second");
    }
}
