//! A hierarchical timer: stamps, subdivisions, timed loops, times of parallel workers, reports.
//!
//! A [`Timer`] starts when it is made. A *stamp* closes the interval since the last one and gives it
//! a name. A *subdivision* is a timer below it; when it ends, it awaits its position, and the next
//! stamp of the timer around it gives it that. A *named loop* is both a stamp and a timer below.
//! What was measured is read as [`Times`], plain data, also while the timer runs.
//!
//! ```
//! use gtimer_core::{FakeClock, LoopOptions, Timer};
//!
//! let clock = FakeClock::new();
//! let mut timer = Timer::with_clock("root", clock.clone());
//! clock.advance(0.5);
//! timer.stamp("read")?;
//! {
//!     let mut solve = timer.timed_loop(LoopOptions::named("solve"));
//!     for _ in 0..4 {
//!         solve.next_pass()?;
//!         clock.advance(0.25);
//!         solve.stamp("push")?;
//!     }
//! }
//! timer.stop()?;
//! let times = timer.times();
//! assert_eq!((times.total, times.stamps[1].itr_num), (1.5, 4));
//! # Ok::<(), gtimer_core::TimerError>(())
//! ```
//!
//! Without a timer at hand, [`stamp!`], [`subdivision!`] and the functions of [`thread`] act on one
//! that every thread has.
//!
//! # What it costs, and how to have none of it
//!
//! A stamp of a known name reads the clock once, hashes nothing and allocates nothing. What it
//! costs is measured once, and is reported as the timer's own time (`self_agg`), not as the
//! program's; see [`Timer::set_exact_self_time`].
//!
//! Where the environment variable `GTIMER_DISABLE` is set and is not "0", every call passes: it gives
//! `Ok`, a moment of zero and empty times. It is looked at once, by the first call. The feature
//! `off` does the same when the program is built.
//!
//! # What this crate leaves to others
//!
//! It knows nothing of other processes: [`publish`] says how a timer tells what it measures, and
//! `shm-times` listens. It starts no thread.

#![deny(unsafe_code)]

mod attach;
mod clock;
mod collapse;
mod enabled;
mod error;
mod guard;
mod lazy;
mod level;
mod loops;
mod merge;
mod name;
mod node;
pub mod publish;
mod raw;
pub mod report;
mod run;
#[cfg(feature = "save")]
mod save;
mod settings;
mod shared;
mod slot;
pub mod thread;
mod timer;
mod times;

pub use clock::{Clock, FakeClock, Moment, SystemClock};
pub use enabled::enabled;
pub use error::{Action, BackdateReason, TimerError};
pub use guard::{LoopScope, Scope};
pub use loops::Loop;
pub use name::{Name, Site};
#[cfg(feature = "save")]
pub use save::{
    MAX_DEPTH, MAX_FILE_BYTES, TimesDataError, TimesFileError, TimesFormat, load_times, save_times,
    times_from_bytes, times_to_bytes,
};
pub use settings::{LoopOptions, Settings, StampOptions, SubdivideOptions};
pub use timer::Timer;
pub use times::{ParallelGroup, StampTimes, Subdivisions, Times, UNASSIGNED};

#[cfg(feature = "macros")]
pub use gtimer_macros::timed;
