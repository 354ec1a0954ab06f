//! The timer: stamps, start and stop, pauses, resets.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::{Clock, Moment, SystemClock};
use crate::node::{Node, Origin, flag};
use crate::publish::Publisher;
use crate::slot::Class;
use crate::{Action, BackdateReason, Name, Settings, StampOptions, TimerError, enabled};

/// A timer: a value that its owner holds, and through which everything is timed that belongs to
/// it.
///
/// It starts when it is made. A stamp closes the interval since the last one and gives it a name.
/// A [subdivision](Timer::subdivide) is a timer below this one; when it ends, it awaits its
/// position, which is the next stamp of the timer around it. The innermost subdivision or named
/// loop that is open has the focus: stamps, pauses and so on act on it.
///
/// All moments that the methods give are the clock's when they were called, also when a stamp was
/// backdated. A call that is refused changes nothing.
///
/// ```
/// use gtimer_core::{FakeClock, Timer};
///
/// let clock = FakeClock::new();
/// let mut timer = Timer::with_clock("root", clock.clone());
/// clock.advance(0.5);
/// timer.stamp("read")?;
/// clock.advance(2.0);
/// timer.stamp("filter")?;
/// timer.stop()?;
/// let times = timer.times();
/// assert_eq!((times.total, times.stamps[1].cum), (2.5, 2.0));
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[derive(Debug)]
pub struct Timer<C: Clock = SystemClock> {
    /// What has the focus.
    pub(crate) top: Box<Node>,
    pub(crate) clock: C,
    /// What a stamp costs, in ticks.
    pub(crate) cost: i64,
    /// What is open around it, the root first.
    #[expect(clippy::vec_box, reason = "they change places with what has the focus, by pointer")]
    pub(crate) around: Vec<Box<Node>>,
    /// The next tag.
    pub(crate) tags: u64,
    pub(crate) settings: Settings,
    /// The flags that every level has.
    pub(crate) flags: u32,
    /// What the root is called after a [reset](Timer::reset_root).
    pub(crate) root_name: Name,
    pub(crate) publisher: Option<Box<dyn Publisher>>,
    /// The word that is zero in a forked child; none when nobody is told.
    pub(crate) armed: Option<&'static AtomicU32>,
}

impl Timer<SystemClock> {
    /// Starts a timer on the machine's clock.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::with_clock(name, SystemClock::new())
    }
}

impl<C: Clock> Timer<C> {
    /// Starts a timer on this clock.
    #[must_use]
    pub fn with_clock(name: impl Into<Name>, clock: C) -> Self {
        let cost = if enabled() { clock.stamp_cost() } else { 0 };
        Self::with_cost(name.into(), clock, i64::try_from(cost).unwrap_or(0))
    }

    fn with_cost(name: Name, clock: C, cost: i64) -> Self {
        let mut flags = 0;
        if !enabled() {
            flags |= flag::DISABLED;
        }
        if !clock.is_direct() {
            flags |= flag::INDIRECT;
        }
        let mut timer = Self {
            top: Box::new(Node::new(name)),
            clock,
            cost,
            around: Vec::new(),
            tags: 0,
            settings: Settings::default(),
            flags,
            root_name: name,
            publisher: None,
            armed: None,
        };
        timer.top.origin = Origin::Root;
        timer.open_top();
        timer
    }

    /// Begins a run of the timer on top.
    pub(crate) fn open_top(&mut self) -> i64 {
        let now = self.now();
        let tag = self.tag();
        self.top.open(now, tag, self.settings.unique);
        self.top.flags = self.flags;
        self.top.cost = self.cost;
        now
    }

    #[inline]
    pub(crate) fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }

    /// The clock.
    #[inline]
    pub(crate) fn now(&self) -> i64 {
        self.clock.ticks() as i64
    }

    #[inline]
    pub(crate) fn is_disabled(&self) -> bool {
        self.flags & flag::DISABLED != 0
    }

    pub(crate) fn refuse_stopped(&self, action: Action) -> Result<(), TimerError> {
        if self.top.is(flag::STOPPED) {
            return Err(TimerError::Stopped { timer: self.top.name, action });
        }
        Ok(())
    }

    pub(crate) fn refuse_paused(&self, action: Action) -> Result<(), TimerError> {
        if self.top.is(flag::PAUSED) {
            return Err(TimerError::Paused { timer: self.top.name, action, paused: true });
        }
        Ok(())
    }

    /// The moment that a call is for.
    pub(crate) fn moment(
        &self,
        backdate: Option<Moment>,
        earliest: i64,
        now: i64,
    ) -> Result<i64, TimerError> {
        match backdate {
            None => Ok(now),
            Some(Moment(ticks)) if earliest <= ticks && ticks <= now => Ok(ticks),
            Some(backdate) => {
                let reason = match backdate {
                    _ if earliest > now => BackdateReason::Root,
                    Moment(ticks) if ticks > now => BackdateReason::Future,
                    _ => BackdateReason::BeforeInterval,
                };
                Err(TimerError::Backdate { timer: self.top.name, backdate, reason })
            }
        }
    }

    /// Where the open interval began; now when there is none, as nothing began before.
    pub(crate) fn earliest(&self, now: i64) -> i64 {
        // The cost of a stamp that is taken off in advance may lie in the future.
        if self.top.no_last { now } else { self.top.last.min(now) }
    }

    /// Takes what a call has cost off the interval that follows, and counts it as own time. `now`
    /// is when the call began.
    #[inline]
    pub(crate) fn settle_cost(&mut self, now: i64) {
        let cost = if self.top.is(flag::EXACT) { self.now() - now } else { self.cost };
        self.top.own += cost;
        self.top.last += cost;
    }

    /// Ends the interval and gives it a name.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`], [`TimerError::Paused`]; [`TimerError::UniqueName`] when the name
    /// was used before and [`Settings::unique`] is on, in a loop: in this pass. What was stamped
    /// outside of a loop cannot be stamped in it.
    #[inline(always)]
    pub fn stamp(&mut self, name: impl Into<Name>) -> Result<Moment, TimerError> {
        let name = name.into();
        let fold = self.top.fold;
        match self.short(name, fold) {
            Some(ticks) => Ok(Moment(ticks)),
            None => self.stamp_any(name, false),
        }
    }

    /// As [`Timer::stamp`], where it may be added to what was stamped under the name before.
    ///
    /// # Errors
    ///
    /// As [`Timer::stamp`].
    #[inline(always)]
    pub fn stamp_add(&mut self, name: impl Into<Name>) -> Result<Moment, TimerError> {
        let name = name.into();
        let fold = self.top.fold_add;
        match self.short(name, fold) {
            Some(ticks) => Ok(Moment(ticks)),
            None => self.stamp_any(name, true),
        }
    }

    /// As [`Timer::stamp`], with options.
    ///
    /// # Errors
    ///
    /// As [`Timer::stamp`]; [`TimerError::Backdate`] for the future, and for what lies before the
    /// latest stamp.
    #[inline]
    pub fn stamp_with(
        &mut self,
        name: impl Into<Name>,
        options: StampOptions,
    ) -> Result<Moment, TimerError> {
        let name = name.into();
        if options == StampOptions::ADD { self.stamp_add(name) } else { self.long(name, options) }
    }

    /// The short way of a stamp, if nothing stands in the way.
    #[inline(always)]
    fn short(&mut self, name: Name, fold: u64) -> Option<i64> {
        let (top, clock) = (&mut *self.top, &self.clock);
        if top.flags != 0 {
            return None;
        }
        top.short(name, fold, || clock.direct_ticks())
    }

    /// The short way of a stamp that others are told of.
    #[inline(always)]
    pub(crate) fn short_told(&mut self, name: Name, add: bool) -> Option<i64> {
        let (top, clock) = (&mut *self.top, &self.clock);
        // What a fork asks for takes the long way.
        if top.flags != flag::SHARED || self.armed?.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let fold = if add { top.fold_add } else { top.fold };
        let (now, slot) = top.short_slot(name, fold, || clock.direct_ticks())?;
        slot.tell(now);
        Some(now)
    }

    /// A stamp without options, but that it may be added to what was stamped before where `add` is
    /// true, for which the short way was too short.
    #[inline(never)]
    pub(crate) fn stamp_any(&mut self, name: Name, add: bool) -> Result<Moment, TimerError> {
        if let Some(now) = self.short_told(name, add) {
            return Ok(Moment(now));
        }
        self.wake();
        if self.top.flags == 0 {
            let now = self.clock.direct_ticks() as i64;
            if self.top.first(name, now) {
                return Ok(Moment(now));
            }
        }
        self.long(name, if add { StampOptions::ADD } else { StampOptions::default() })
    }

    /// The whole of a stamp.
    #[inline(never)]
    pub(crate) fn long(&mut self, name: Name, options: StampOptions) -> Result<Moment, TimerError> {
        if self.passes() {
            return Ok(Moment::default());
        }
        let now = self.now();
        self.refuse_stopped(Action::Stamp)?;
        self.refuse_paused(Action::Stamp)?;
        let at = self.moment(options.backdate, self.earliest(now), now)?;
        self.record(name, at, options)?;
        self.top.last = at;
        self.settle_cost(now);
        Ok(Moment(now))
    }

    /// Gives the interval up to `at` to a name, and what awaits its position with it.
    pub(crate) fn record(
        &mut self,
        name: Name,
        at: i64,
        options: StampOptions,
    ) -> Result<(), TimerError> {
        let unique = options.unique.unwrap_or(self.settings.unique);
        let elapsed = at - self.top.last;
        self.give(name, elapsed, unique)?;
        if self.top.is(flag::AWAITING) {
            let keep = options.keep_subdivisions.unwrap_or(self.settings.keep_subdivisions);
            self.assign(Some(name), keep);
        }
        if self.top.is(flag::SHARED) {
            self.tell_stamp(name, at);
        }
        if options.quick_print.unwrap_or(self.settings.quick_print) {
            self.print(name, elapsed);
        }
        Ok(())
    }

    fn give(&mut self, name: Name, elapsed: i64, unique: bool) -> Result<(), TimerError> {
        let top = &mut *self.top;
        let refused = TimerError::UniqueName { timer: top.name, stamp: name };
        let class = top.in_loop.as_ref().map_or(Class::Flat, |in_loop| in_loop.class);
        let Some(slot) = top.slots.used(name) else {
            top.slots.begin(name, class).begin(elapsed, top.tag);
            return Ok(());
        };
        if top.in_loop.is_none() {
            if unique {
                return Err(refused);
            }
            // To a stamp that has iterations this is one more interval, but no iteration.
            if slot.class != Class::Flat {
                slot.settle();
            }
            slot.cum += elapsed;
            return Ok(());
        }
        let is_member = slot.tag >= top.base || slot.entered >= top.base;
        let in_pass = slot.tag == top.tag;
        if !is_member || (unique && (in_pass || slot.entered == top.tag)) {
            return Err(refused);
        }
        if in_pass {
            slot.extend(elapsed);
        } else {
            slot.begin(elapsed, top.tag);
        }
        Ok(())
    }

    pub(crate) fn print(&self, name: Name, elapsed: i64) {
        let seconds = elapsed.max(0) as f64 / self.clock.ticks_per_second();
        // Who has closed stdout does not want to hear of it.
        let _ = writeln!(std::io::stdout().lock(), "({}) {name}: {seconds:.4}", self.top.name);
    }

    /// Ends the interval without a stamp: its time is in the total only. What awaits its position
    /// is dropped, or becomes unassigned when the options say that it is kept.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`]; [`TimerError::Backdate`] as in [`Timer::stamp_with`]. A paused
    /// timer is not refused.
    pub fn blank_stamp(&mut self, options: StampOptions) -> Result<Moment, TimerError> {
        if self.passes() {
            return Ok(Moment::default());
        }
        let now = self.now();
        self.refuse_stopped(Action::Stamp)?;
        let at = self.moment(options.backdate, self.earliest(now), now)?;
        self.assign(None, options.keep_subdivisions.unwrap_or(false));
        self.top.last = at;
        self.top.no_last = false;
        self.settle_cost(now);
        Ok(Moment(now))
    }

    /// Gives the root another name.
    pub fn rename_root(&mut self, name: impl Into<Name>) {
        self.root().name = name.into();
        self.tell_root_name();
    }

    /// Says which stamps of the root are listed with zero where they were not met, in this order.
    pub fn register_root(&mut self, names: impl IntoIterator<Item = impl Into<Name>>) {
        self.root().registered = names.into_iter().map(Into::into).collect();
    }

    /// Says whether stamps of the root become iterations when its times are merged into others.
    pub fn set_save_itrs_root(&mut self, save: bool) {
        self.root().save_itrs = save;
    }

    fn root(&mut self) -> &mut Node {
        self.around.first_mut().unwrap_or(&mut self.top)
    }

    /// The clock.
    #[must_use]
    pub fn current_time(&self) -> Moment {
        if self.is_disabled() { Moment::default() } else { Moment(self.now()) }
    }

    /// The clock that the timer reads.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// A moment in seconds since the zero of the timer's clock.
    #[must_use]
    pub fn seconds(&self, moment: Moment) -> f64 {
        moment.seconds(self.clock.ticks_per_second())
    }

    /// The moment so many seconds after the zero of the timer's clock; see
    /// [`Moment::from_seconds`].
    #[must_use]
    pub fn moment_at(&self, seconds: f64) -> Moment {
        Moment::from_seconds(seconds, self.clock.ticks_per_second())
    }

    /// What is done where a call leaves it open.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes what is done where a call leaves it open.
    pub fn set_settings(&mut self, settings: Settings) {
        self.wake();
        self.settings = settings;
        self.set_flag(flag::PRINT, settings.quick_print);
        for node in self.around.iter_mut().chain([&mut self.top]) {
            node.set_unique(settings.unique);
        }
    }

    /// Says whether the timer's own time is measured by a second reading of the clock in every
    /// call, which doubles what a stamp costs, or computed from what a stamp was found to cost.
    pub fn set_exact_self_time(&mut self, exact: bool) {
        self.wake();
        self.set_flag(flag::EXACT, exact);
    }

    pub(crate) fn set_flag(&mut self, flag: u32, on: bool) {
        debug_assert_ne!(flag & flag::OF_TIMER, 0, "the flag is one of the timer");
        let set = |flags: &mut u32| if on { *flags |= flag } else { *flags &= !flag };
        set(&mut self.flags);
        for node in self.around.iter_mut().chain([&mut self.top]) {
            set(&mut node.flags);
        }
    }

    /// Whether the timer that has the focus is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.top.is(flag::STOPPED)
    }

    /// Whether the timer that has the focus is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.top.is(flag::PAUSED)
    }

    /// Whether the timer that has the focus is in a loop of its own.
    #[must_use]
    pub fn is_in_loop(&self) -> bool {
        self.lazy().is_none() && self.top.in_loop.is_some()
    }

    /// Whether the calls do anything; see `GTIMER_DISABLE` in the crate's documentation.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.is_disabled()
    }

    /// The name of the timer that has the focus.
    #[must_use]
    pub fn focus(&self) -> Name {
        self.lazy().unwrap_or(self.top.name)
    }

    /// How many timers are open around the one that has the focus.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.around.len() + usize::from(self.lazy().is_some())
    }
}

/// What a stamp costs on this clock, in ticks: the best of many short runs of stamps.
pub(crate) fn measure_stamp<C: Clock>(clock: C) -> u64 {
    const STAMPS: i64 = 64;
    let mut timer = Timer::with_cost(crate::name!("calibration"), clock, 0);
    timer.set_settings(Settings { unique: false, ..Settings::default() });
    let name = crate::name!("stamp");
    let run = |_| {
        let from = timer.now();
        for _ in 0..STAMPS {
            // It cannot be refused: the timer runs, and stamps are added to.
            let _ = std::hint::black_box(&mut timer).stamp(name);
        }
        (timer.now() - from) / STAMPS
    };
    let cost = (0..64).map(run).min().unwrap_or(0);
    u64::try_from(cost).unwrap_or(0)
}
