//! A process that is told at which rate its counter goes; alone in its program, since it is told once.

use std::time::{Duration, Instant};

use gtimer_core::{Clock as _, SystemClock};

#[test]
fn an_expected_rate_serves_at_once_and_is_replaced_where_it_is_wrong() {
    for wrong in [f64::NAN, f64::INFINITY, -3e9, 0.0, 1.0] {
        assert!(!SystemClock::expect_rate(wrong), "{wrong} is no rate");
    }
    // Wrong by far, as if this had been said on another machine.
    assert!(SystemClock::expect_rate(7.7e9));
    assert!(!SystemClock::expect_rate(3e9), "a rate was said before");
    let (clock, start) = (SystemClock::new(), Instant::now());
    if !clock.is_counter() {
        assert_eq!((clock.ticks_per_second(), SystemClock::rate_so_far()), (1e9, None));
        return;
    }
    let from = clock.ticks();
    while start.elapsed() < Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    let (ticks, passed) = (clock.ticks() - from, start.elapsed());
    let measured = ticks as f64 / passed.as_secs_f64();
    for rate in [clock.ticks_per_second(), SystemClock::rate_so_far().unwrap()] {
        // Who is interrupted between the two readings sees more of the one than of the other.
        assert!((rate / measured - 1.0).abs() < 0.05, "{rate} and {measured} ticks per second");
    }
    assert!(!SystemClock::expect_rate(measured), "the clock is in use");
}
