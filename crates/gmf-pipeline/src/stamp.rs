//! How this crate tells the timer of the thread where it is.

/// Closes the interval since the last stamp, on the timer of the thread.
///
/// The timer may be stopped or paused by whoever it belongs to: then nothing is measured, and
/// nothing is lost but that.
macro_rules! stamp {
    ($name:literal) => {
        let _ = gtimer_core::stamp!($name, gtimer_core::StampOptions::ADD);
    };
}

pub(crate) use stamp;
