//! Scopes of a timer that a caller owns: what is opened is closed, however it is left.

use std::ops::{ControlFlow, Deref, DerefMut};

use crate::clock::{Clock, SystemClock};
use crate::node::Origin;
use crate::{Loop, LoopOptions, Name, SubdivideOptions, Timer, TimerError};

/// A subdivision that ends when this is dropped, with whatever was left open in it. It stands for
/// the timer in the meantime.
///
/// ```
/// use gtimer_core::{FakeClock, Timer};
///
/// let clock = FakeClock::new();
/// let mut timer = Timer::with_clock("root", clock.clone());
/// {
///     let mut solve = timer.scope("solve");
///     clock.advance(1.0);
///     solve.stamp("assemble")?;
/// }
/// timer.stamp("main")?;
/// assert_eq!(timer.times().subdivisions[0].timers[0].stamps[0].cum, 1.0);
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[derive(Debug)]
#[must_use = "the subdivision ends when this is dropped"]
pub struct Scope<'a, C: Clock = SystemClock> {
    timer: &'a mut Timer<C>,
    run: u64,
}

impl<C: Clock> Deref for Scope<'_, C> {
    type Target = Timer<C>;

    fn deref(&self) -> &Timer<C> {
        self.timer
    }
}

impl<C: Clock> DerefMut for Scope<'_, C> {
    fn deref_mut(&mut self) -> &mut Timer<C> {
        self.timer
    }
}

impl<C: Clock> Drop for Scope<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.timer.close_run(self.run);
    }
}

/// A timed loop that is left when this is dropped, after the pass that is under way. It stands for
/// the timer in the meantime.
#[derive(Debug)]
#[must_use = "the loop is left when this is dropped"]
pub struct LoopScope<'a, C: Clock = SystemClock> {
    timer: &'a mut Timer<C>,
    timed: Loop,
}

impl<C: Clock> LoopScope<'_, C> {
    /// Begins a pass, after the one that is under way.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_next`].
    pub fn next_pass(&mut self) -> Result<(), TimerError> {
        self.timer.loop_next(&mut self.timed)
    }

    /// Leaves the loop; may be called again.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_exit`].
    pub fn exit(&mut self) -> Result<(), TimerError> {
        self.timer.loop_exit(&mut self.timed)
    }
}

impl<C: Clock> Deref for LoopScope<'_, C> {
    type Target = Timer<C>;

    fn deref(&self) -> &Timer<C> {
        self.timer
    }
}

impl<C: Clock> DerefMut for LoopScope<'_, C> {
    fn deref_mut(&mut self) -> &mut Timer<C> {
        self.timer
    }
}

impl<C: Clock> Drop for LoopScope<'_, C> {
    fn drop(&mut self) {
        self.timer.loop_leave(&mut self.timed);
    }
}

impl<C: Clock> Timer<C> {
    /// Begins a subdivision that ends when the guard is dropped.
    #[inline]
    pub fn scope(&mut self, name: impl Into<Name>) -> Scope<'_, C> {
        let run = self.begin_scope(name.into());
        Scope { timer: self, run }
    }

    /// As [`Timer::scope`], with options.
    pub fn scope_with(&mut self, name: impl Into<Name>, options: SubdivideOptions) -> Scope<'_, C> {
        if options == SubdivideOptions::default() {
            return self.scope(name);
        }
        let run = self.begin(name.into(), Origin::Scope, options.save_itrs);
        self.top.registered = options.registered;
        Scope { timer: self, run }
    }

    /// Calls a function in a subdivision, which ends with it, also when it panics.
    ///
    /// ```
    /// use gtimer_core::{FakeClock, Timer};
    ///
    /// let mut timer = Timer::with_clock("root", FakeClock::new());
    /// let sum = timer.wrap("sum", |timer| {
    ///     timer.stamp("add")?;
    ///     Ok::<_, gtimer_core::TimerError>(1 + 1)
    /// })?;
    /// assert_eq!(sum, 2);
    /// # Ok::<(), gtimer_core::TimerError>(())
    /// ```
    pub fn wrap<T>(&mut self, name: impl Into<Name>, body: impl FnOnce(&mut Self) -> T) -> T {
        let mut scope = self.scope(name);
        body(&mut scope)
    }

    /// A timed loop whose passes begin with [`LoopScope::next_pass`]; it is entered by the first.
    pub fn timed_loop(&mut self, options: LoopOptions) -> LoopScope<'_, C> {
        LoopScope { timer: self, timed: Loop::new(options) }
    }

    /// Calls a function for every item, as the passes of a timed loop, until it breaks.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use gtimer_core::{FakeClock, LoopOptions, Timer};
    ///
    /// let mut timer = Timer::with_clock("root", FakeClock::new());
    /// timer.timed_for(0..5, LoopOptions::named("steps"), |timer, _| {
    ///     timer.stamp("push")?;
    ///     Ok(ControlFlow::Continue(()))
    /// })?;
    /// # Ok::<(), gtimer_core::TimerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_next`], and what the function gives. The loop is left then, too.
    pub fn timed_for<I: IntoIterator>(
        &mut self,
        items: I,
        options: LoopOptions,
        mut body: impl FnMut(&mut Self, I::Item) -> Result<ControlFlow<()>, TimerError>,
    ) -> Result<(), TimerError> {
        let mut scope = self.timed_loop(options);
        let scope = &mut scope;
        scope.timer.loop_enter(&mut scope.timed)?;
        for item in items {
            scope.next_pass()?;
            if body(scope.timer, item)?.is_break() {
                break;
            }
        }
        scope.exit()
    }
}
