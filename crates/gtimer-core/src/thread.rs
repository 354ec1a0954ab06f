//! The timer of the thread, and functions that act on it.
//!
//! Every thread has a timer of its own, which starts when it is first used; no thread sees what
//! another one opens. The functions are those of [`Timer`], which says what they do. A function
//! that is called while another one is at work on the same thread (out of an allocator that is
//! itself timed, say, or inside of [`with`]) is refused with [`TimerError::Busy`], or does nothing
//! where it gives no [`Result`].
//!
//! ```
//! use gtimer_core::{LoopOptions, stamp, thread};
//!
//! fn assemble() -> Result<(), gtimer_core::TimerError> {
//!     let _scope = thread::subdivision("assemble");
//!     stamp!("matrix")?;
//!     stamp!("right-hand side")?;
//!     Ok(())
//! }
//!
//! for _ in thread::timed_for(0..3, LoopOptions::named("steps"))? {
//!     assemble()?;
//!     stamp!("assembled")?;
//! }
//! thread::stop()?;
//! let steps = &thread::times().subdivisions[0].timers[0];
//! assert_eq!(steps.stamps[0].itr_num, 3);
//! # Ok::<(), gtimer_core::TimerError>(())
//! ```

use std::marker::PhantomData;

use crate::node::Origin;
use crate::raw;
use crate::{
    Moment, Name, Settings, Site, StampOptions, SubdivideOptions, Timer, TimerError, Times, enabled,
};

mod loops;

pub use loops::{TimedFor, TimedIter, TimedLoop, timed_for, timed_iter};

/// Stamps the thread's timer under a literal name, which is looked up once per call site.
///
/// A second argument gives [`StampOptions`]; without it, known names are treated as the settings
/// say. The value is that of [`Timer::stamp`].
///
/// ```
/// use gtimer_core::{StampOptions, stamp};
///
/// for _ in 0..3 {
///     stamp!("read", StampOptions::ADD)?;
/// }
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[macro_export]
macro_rules! stamp {
    ($text:expr) => {{
        static SITE: $crate::Site = $crate::Site::new($text);
        $crate::thread::stamp_at_site(&SITE)
    }};
    ($text:expr, $options:expr) => {{
        static SITE: $crate::Site = $crate::Site::new($text);
        $crate::thread::stamp_at_site_with(&SITE, $options)
    }};
}

/// Begins a subdivision of the thread's timer that ends when the guard is dropped; the literal name
/// is looked up once per call site.
///
/// ```
/// use gtimer_core::{stamp, subdivision};
///
/// {
///     let _solve = subdivision!("solve");
///     stamp!("assemble")?;
/// }
/// stamp!("main")?;
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[macro_export]
macro_rules! subdivision {
    ($text:expr) => {{
        static SITE: $crate::Site = $crate::Site::new($text);
        $crate::thread::subdivision_at_site(&SITE)
    }};
}

/// What [`stamp!`](crate::stamp!) does.
///
/// # Errors
///
/// As [`Timer::stamp`].
#[inline(always)]
pub fn stamp_at_site(site: &'static Site) -> Result<Moment, TimerError> {
    match site.known() {
        Some(name) => match raw::short(name, false) {
            Some(ticks) => Ok(Moment(ticks)),
            None => stamp_any(name, false),
        },
        None if site.passes() => Ok(Moment::default()),
        None => first(site, StampOptions::default()),
    }
}

/// What [`stamp!`](crate::stamp!) does with options.
///
/// # Errors
///
/// As [`Timer::stamp_with`].
#[inline(always)]
pub fn stamp_at_site_with(
    site: &'static Site,
    options: StampOptions,
) -> Result<Moment, TimerError> {
    match site.known() {
        Some(name) if options == StampOptions::ADD => match raw::short(name, true) {
            Some(ticks) => Ok(Moment(ticks)),
            None => stamp_any(name, true),
        },
        Some(name) => long(name, options),
        None if site.passes() => Ok(Moment::default()),
        None => first(site, options),
    }
}

#[cold]
fn first(site: &'static Site, options: StampOptions) -> Result<Moment, TimerError> {
    match site.live() {
        Some(name) => long(name, options),
        None => Ok(Moment::default()),
    }
}

/// What [`subdivision!`](crate::subdivision) does.
#[inline]
pub fn subdivision_at_site(site: &Site) -> Subdivision {
    let run = match site.known() {
        Some(name) => begin(name),
        None if site.passes() => 0,
        None => site.live().map_or(0, begin),
    };
    Subdivision { run, here: PhantomData }
}

#[inline(always)]
fn begin(name: Name) -> u64 {
    match raw::begin_lazy(name) {
        Some(run) => run,
        None => begin_any(name),
    }
}

#[inline(never)]
fn begin_any(name: Name) -> u64 {
    raw::with(|timer| timer.begin(name, Origin::Scope, None)).unwrap_or(0)
}

#[inline(never)]
fn close_any(run: u64) {
    if run != 0 {
        raw::with(|timer| timer.close_any(run));
    }
}

#[inline(never)]
fn long(name: Name, options: StampOptions) -> Result<Moment, TimerError> {
    with(|timer| timer.long(name, options))?
}

/// As [`Timer::stamp_any`].
#[inline(never)]
fn stamp_any(name: Name, add: bool) -> Result<Moment, TimerError> {
    if let Some(ticks) = raw::short_told(name, add) {
        return Ok(Moment(ticks));
    }
    with(|timer| timer.stamp_any(name, add))?
}

/// Does something with the thread's timer.
///
/// ```
/// use gtimer_core::{Settings, thread};
///
/// thread::with(|timer| {
///     timer.set_settings(Settings { unique: false, ..timer.settings() });
/// })?;
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
///
/// # Errors
///
/// [`TimerError::Busy`] inside of another call, and while the thread is ending.
pub fn with<T>(body: impl FnOnce(&mut Timer) -> T) -> Result<T, TimerError> {
    raw::with(body).ok_or(TimerError::Busy)
}

/// See [`Timer::start`].
///
/// # Errors
///
/// As there.
pub fn start() -> Result<Moment, TimerError> {
    with(Timer::start)?
}

/// See [`Timer::start_at`].
///
/// # Errors
///
/// As there.
pub fn start_at(backdate: Moment) -> Result<Moment, TimerError> {
    with(|timer| timer.start_at(backdate))?
}

/// See [`Timer::stamp`].
///
/// # Errors
///
/// As there.
#[inline]
pub fn stamp(name: impl Into<Name>) -> Result<Moment, TimerError> {
    if !enabled() {
        return Ok(Moment::default());
    }
    let name = name.into();
    match raw::short(name, false) {
        Some(ticks) => Ok(Moment(ticks)),
        None => stamp_any(name, false),
    }
}

/// See [`Timer::stamp_with`].
///
/// # Errors
///
/// As there.
#[inline]
pub fn stamp_with(name: impl Into<Name>, options: StampOptions) -> Result<Moment, TimerError> {
    if !enabled() {
        return Ok(Moment::default());
    }
    let name = name.into();
    if options != StampOptions::ADD {
        return long(name, options);
    }
    match raw::short(name, true) {
        Some(ticks) => Ok(Moment(ticks)),
        None => stamp_any(name, true),
    }
}

/// See [`Timer::blank_stamp`].
///
/// # Errors
///
/// As there.
pub fn blank_stamp(options: StampOptions) -> Result<Moment, TimerError> {
    with(|timer| timer.blank_stamp(options))?
}

/// See [`Timer::stop`].
///
/// # Errors
///
/// As there.
pub fn stop() -> Result<Moment, TimerError> {
    with(Timer::stop)?
}

/// See [`Timer::stop_with`].
///
/// # Errors
///
/// As there.
pub fn stop_with(options: StampOptions) -> Result<Moment, TimerError> {
    with(|timer| timer.stop_with(options))?
}

/// See [`Timer::stop_stamp`].
///
/// # Errors
///
/// As there.
pub fn stop_stamp(name: impl Into<Name>, options: StampOptions) -> Result<Moment, TimerError> {
    with(|timer| timer.stop_stamp(name, options))?
}

/// See [`Timer::pause`].
///
/// # Errors
///
/// As there.
pub fn pause() -> Result<Moment, TimerError> {
    with(Timer::pause)?
}

/// See [`Timer::resume`].
///
/// # Errors
///
/// As there.
pub fn resume() -> Result<Moment, TimerError> {
    with(Timer::resume)?
}

/// See [`Timer::reset`].
///
/// # Errors
///
/// As there.
pub fn reset() -> Result<Moment, TimerError> {
    with(Timer::reset)?
}

/// See [`Timer::reset_root`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn reset_root() -> Result<Moment, TimerError> {
    with(Timer::reset_root)
}

/// See [`Timer::rename_root`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn rename_root(name: impl Into<Name>) -> Result<(), TimerError> {
    with(|timer| timer.rename_root(name))
}

/// See [`Timer::register_root`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn register_root(names: impl IntoIterator<Item = impl Into<Name>>) -> Result<(), TimerError> {
    with(|timer| timer.register_root(names))
}

/// See [`Timer::set_save_itrs_root`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn set_save_itrs_root(save: bool) -> Result<(), TimerError> {
    with(|timer| timer.set_save_itrs_root(save))
}

/// See [`Timer::set_settings`]. The settings are those of this thread.
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn set_settings(settings: Settings) -> Result<(), TimerError> {
    with(|timer| timer.set_settings(settings))
}

/// See [`Timer::settings`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn settings() -> Result<Settings, TimerError> {
    with(|timer| timer.settings())
}

/// See [`Timer::current_time`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn current_time() -> Result<Moment, TimerError> {
    with(|timer| timer.current_time())
}

/// See [`Timer::subdivide`]; [`subdivision()`] ends it for you.
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn subdivide(name: impl Into<Name>) -> Result<(), TimerError> {
    with(|timer| timer.subdivide(name))
}

/// See [`Timer::subdivide_with`].
///
/// # Errors
///
/// [`TimerError::Busy`].
pub fn subdivide_with(name: impl Into<Name>, options: SubdivideOptions) -> Result<(), TimerError> {
    with(|timer| timer.subdivide_with(name, options))
}

/// See [`Timer::end_subdivision`].
///
/// # Errors
///
/// As there.
pub fn end_subdivision() -> Result<(), TimerError> {
    with(Timer::end_subdivision)?
}

/// See [`Timer::attach_subdivision`].
///
/// # Errors
///
/// As there.
pub fn attach_subdivision(times: &Times) -> Result<(), TimerError> {
    with(|timer| timer.attach_subdivision(times))?
}

/// See [`Timer::attach_par_subdivision`].
///
/// # Errors
///
/// As there.
pub fn attach_par_subdivision(group: impl Into<Name>, workers: &[Times]) -> Result<(), TimerError> {
    with(|timer| timer.attach_par_subdivision(group, workers))?
}

/// See [`Timer::times`]. Inside of another call it gives empty times.
#[must_use]
pub fn times() -> Times {
    with(|timer| timer.times()).unwrap_or_default()
}

/// See [`Timer::is_stopped`].
#[must_use]
pub fn is_stopped() -> bool {
    with(|timer| timer.is_stopped()).unwrap_or_default()
}

/// See [`Timer::is_paused`].
#[must_use]
pub fn is_paused() -> bool {
    with(|timer| timer.is_paused()).unwrap_or_default()
}

/// A subdivision of the thread's timer that ends when this is dropped, also by a panic or an early
/// return, with whatever was left open in it.
#[derive(Debug)]
#[must_use = "the subdivision ends when this is dropped"]
pub struct Subdivision {
    /// Zero when there is nothing to end.
    run: u64,
    /// It belongs to the timer of one thread.
    here: PhantomData<*const ()>,
}

impl Drop for Subdivision {
    #[inline]
    fn drop(&mut self) {
        if !raw::end_lazy(self.run) {
            close_any(self.run);
        }
    }
}

/// Begins a subdivision that ends when the guard is dropped.
pub fn subdivision(name: impl Into<Name>) -> Subdivision {
    if !enabled() {
        return Subdivision { run: 0, here: PhantomData };
    }
    Subdivision { run: begin(name.into()), here: PhantomData }
}

/// As [`subdivision()`], with options.
pub fn subdivision_with(name: impl Into<Name>, options: SubdivideOptions) -> Subdivision {
    if !enabled() {
        return Subdivision { run: 0, here: PhantomData };
    }
    let name = name.into();
    if options == SubdivideOptions::default() {
        return Subdivision { run: begin(name), here: PhantomData };
    }
    let run = raw::with(|timer| {
        let run = timer.begin(name, Origin::Scope, options.save_itrs);
        timer.top.registered = options.registered;
        run
    });
    Subdivision { run: run.unwrap_or(0), here: PhantomData }
}

/// Calls a function in a subdivision, which ends with it, also when it panics.
pub fn wrap<T>(name: impl Into<Name>, body: impl FnOnce() -> T) -> T {
    let _scope = subdivision(name);
    body()
}
