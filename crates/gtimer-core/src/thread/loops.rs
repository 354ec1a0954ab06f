//! Timed loops of the thread's timer, and timed iterators.

use std::marker::PhantomData;

use super::{subdivision, with};
use crate::{Loop, LoopOptions, Name, TimerError, enabled, raw};

/// A timed loop of the thread's timer, left at the latest when this is dropped; gtimer's
/// `timed_loop`.
///
/// ```
/// use gtimer_core::{LoopOptions, stamp, thread};
///
/// let mut steps = thread::TimedLoop::new(LoopOptions::named("steps"));
/// let mut left = 8.0;
/// while left > 1.0 {
///     steps.next_pass()?;
///     left /= 2.0;
///     stamp!("halve")?;
/// }
/// steps.exit()?;
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[derive(Debug)]
#[must_use = "the loop is left when this is dropped"]
pub struct TimedLoop {
    timed: Loop,
    here: PhantomData<*const ()>,
}

impl TimedLoop {
    /// A loop that its first pass enters.
    pub fn new(options: LoopOptions) -> Self {
        Self { timed: Loop::new(options), here: PhantomData }
    }

    /// Begins a pass, after the one that is under way.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_next`](crate::Timer::loop_next).
    pub fn next_pass(&mut self) -> Result<(), TimerError> {
        with(|timer| timer.loop_next(&mut self.timed))?
    }

    /// Leaves the loop; may be called again.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_exit`](crate::Timer::loop_exit).
    pub fn exit(&mut self) -> Result<(), TimerError> {
        with(|timer| timer.loop_exit(&mut self.timed))?
    }
}

impl Drop for TimedLoop {
    fn drop(&mut self) {
        if self.timed.is_entered() {
            raw::with(|timer| timer.loop_leave(&mut self.timed));
        }
    }
}

/// The items of an iterator as the passes of a timed loop of the thread's timer; made by
/// [`timed_for`].
#[derive(Debug)]
#[must_use = "iterators do nothing unless they are asked"]
pub struct TimedFor<I> {
    items: I,
    timed: TimedLoop,
    refused: Option<TimerError>,
}

/// Times a `for` loop: enters the loop, and leaves it after the last item or when the iterator is
/// dropped.
///
/// The body cannot be told that its pass could not be ended properly, because it left a subdivision
/// open or stopped the timer. What is open is closed then, the loop goes on, and the first such
/// error is kept for [`TimedFor::refused`].
///
/// # Errors
///
/// As [`Timer::loop_enter`](crate::Timer::loop_enter).
pub fn timed_for<I: IntoIterator>(
    items: I,
    options: LoopOptions,
) -> Result<TimedFor<I::IntoIter>, TimerError> {
    let mut timed = TimedLoop::new(options);
    with(|timer| timer.loop_enter(&mut timed.timed))??;
    Ok(TimedFor { items: items.into_iter(), timed, refused: None })
}

impl<I> TimedFor<I> {
    /// Why a pass could not be ended properly; the first time it happened.
    #[must_use]
    pub fn refused(&self) -> Option<TimerError> {
        self.refused
    }

    /// Leaves the loop before its end; may be called again.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_exit`](crate::Timer::loop_exit).
    pub fn exit(&mut self) -> Result<(), TimerError> {
        self.timed.exit()
    }
}

impl<I: Iterator> Iterator for TimedFor<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if enabled() && self.timed.timed.is_entered() {
            let timed = &self.timed.timed;
            let refused = raw::with(|timer| timer.loop_pass_settle(timed)).flatten();
            self.refused = self.refused.or(refused);
        }
        let item = self.items.next();
        let timed = &mut self.timed.timed;
        let refused = with(|timer| match item {
            // Left before its end, it gives the other items without timing them.
            Some(_) if !timed.is_entered() => Ok(()),
            Some(_) => timer.loop_pass_begin(timed),
            None => timer.loop_exit(timed),
        });
        self.refused = self.refused.or(refused.and_then(|refused| refused).err());
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

/// The items of an iterator, each made in a subdivision of the thread's timer; made by
/// [`timed_iter`].
#[derive(Debug, Clone)]
#[must_use = "iterators do nothing unless they are asked"]
pub struct TimedIter<I> {
    items: I,
    name: Name,
}

/// Times an iterator itself: the making of every item is a run of the subdivision `name`. (A
/// generator under gtimer's `wrap` is timed only until it is made.)
pub fn timed_iter<I: IntoIterator>(name: impl Into<Name>, items: I) -> TimedIter<I::IntoIter> {
    TimedIter { items: items.into_iter(), name: name.into() }
}

impl<I: Iterator> Iterator for TimedIter<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let _scope = subdivision(self.name);
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}
