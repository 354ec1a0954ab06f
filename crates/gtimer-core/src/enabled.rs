//! Whether anything is timed at all.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const ON: u8 = 1;
const OFF: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether timing is enabled: the feature `off` is not chosen, and `GTIMER_DISABLE` was not set, or
/// was "0" or empty, when this was first asked.
#[inline(always)]
#[must_use]
pub fn enabled() -> bool {
    if cfg!(feature = "off") {
        return false;
    }
    match STATE.load(Ordering::Relaxed) {
        OFF => false,
        ON => true,
        _ => ask(),
    }
}

#[cold]
fn ask() -> bool {
    let disabled = std::env::var_os("GTIMER_DISABLE").is_some_and(|v| !v.is_empty() && v != "0");
    STATE.store(if disabled { OFF } else { ON }, Ordering::Relaxed);
    !disabled
}
