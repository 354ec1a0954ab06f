//! What can be chosen per call, and the defaults.

use crate::{Moment, Name};

/// What a timer does where a call leaves it open; gtimer's `set_def_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A stamp whose name was used before is refused; otherwise it is added to. On.
    pub unique: bool,
    /// Subdivisions that await are kept when they get a position; otherwise dropped. On.
    pub keep_subdivisions: bool,
    /// Single iterations of loops and of merged runs are kept. On.
    pub save_itrs: bool,
    /// Every stamp is printed to stdout at once. Off.
    pub quick_print: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { unique: true, keep_subdivisions: true, save_itrs: true, quick_print: false }
    }
}

/// How one stamp differs from the [`Settings`].
///
/// ```
/// use gtimer_core::{FakeClock, StampOptions, Timer};
///
/// let mut timer = Timer::with_clock("root", FakeClock::new());
/// let add = StampOptions { unique: Some(false), ..StampOptions::default() };
/// timer.stamp_with("read", add)?;
/// timer.stamp_with("read", add)?;
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StampOptions {
    /// See [`Settings::unique`].
    pub unique: Option<bool>,
    /// See [`Settings::keep_subdivisions`]. A blank stamp drops them unless this is `Some(true)`.
    pub keep_subdivisions: Option<bool>,
    /// See [`Settings::quick_print`].
    pub quick_print: Option<bool>,
    /// The moment that the stamp is for: not before the interval began, not in the future.
    pub backdate: Option<Moment>,
}

impl StampOptions {
    /// Adds to a stamp of the same name instead of refusing.
    pub const ADD: Self =
        Self { unique: Some(false), keep_subdivisions: None, quick_print: None, backdate: None };
}

/// How a subdivision differs from the [`Settings`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubdivideOptions {
    /// Stamps that are listed with zero where they were not met, in this order.
    pub registered: Vec<Name>,
    /// See [`Settings::save_itrs`].
    pub save_itrs: Option<bool>,
}

/// A timed loop.
///
/// An anonymous loop puts its stamps into the timer around it. A named one is both a stamp of that
/// timer and a timer of its own, which holds the stamps. Inner loops must be named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopOptions {
    /// The name; none of an anonymous loop.
    pub name: Option<Name>,
    /// Stamps that have an iteration of zero in a pass in which they were not met.
    pub registered: Vec<Name>,
    /// See [`Settings::save_itrs`].
    pub save_itrs: Option<bool>,
    /// The stamp that the rest of every pass goes to; without one the rest is in no stamp.
    pub end_stamp: Option<Name>,
    /// Whether the end stamp may not have been used before in its pass; see [`Settings::unique`].
    pub end_stamp_unique: Option<bool>,
    /// Whether subdivisions that await when the loop is entered are kept, as unassigned.
    pub keep_prev_subdivisions: Option<bool>,
    /// Whether subdivisions that await when a pass ends are kept.
    pub keep_end_subdivisions: Option<bool>,
    /// See [`Settings::quick_print`]; of the end stamp.
    pub quick_print: Option<bool>,
}

impl LoopOptions {
    /// A loop of this name.
    #[must_use]
    pub fn named(name: impl Into<Name>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }
}
