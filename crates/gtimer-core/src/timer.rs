//! The timer: stamps, start and stop, pauses, resets.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::{Clock, Moment, SystemClock};
use crate::node::{Class, Node, Origin, Slot, flag};
use crate::publish::Publisher;
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
    fn moment(&self, backdate: Option<Moment>, earliest: i64, now: i64) -> Result<i64, TimerError> {
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
    fn earliest(&self, now: i64) -> i64 {
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

    /// Starts again now, which gives up the time so far; the timer must not have measured anything
    /// yet.
    ///
    /// # Errors
    ///
    /// [`TimerError::Start`] when there are stamps or awaiting subdivisions;
    /// [`TimerError::Stopped`].
    pub fn start(&mut self) -> Result<Moment, TimerError> {
        self.start_from(None)
    }

    /// Starts again at a moment in the past, not before the open interval of the timer around it
    /// began.
    ///
    /// # Errors
    ///
    /// As [`Timer::start`]; [`TimerError::Backdate`] for a root, for the future, and for what lies
    /// before the latest stamp of the timer around it.
    pub fn start_at(&mut self, backdate: Moment) -> Result<Moment, TimerError> {
        self.start_from(Some(backdate))
    }

    fn start_from(&mut self, backdate: Option<Moment>) -> Result<Moment, TimerError> {
        if self.is_disabled() {
            return Ok(Moment::default());
        }
        let now = self.now();
        let top = &self.top;
        if top.slots.n_used() > 0 || top.is(flag::AWAITING) {
            return Err(TimerError::Start { timer: top.name });
        }
        self.refuse_stopped(Action::Start)?;
        let earliest = match self.around.last() {
            None => now.saturating_add(1),
            Some(parent) if parent.no_last => now,
            Some(parent) => parent.last.min(now),
        };
        let at = self.moment(backdate, earliest, now)?;
        let top = &mut self.top;
        top.flags &= !flag::PAUSED;
        top.no_last = false;
        top.spans = 0;
        (top.start, top.last) = (at, at);
        self.tell_top();
        Ok(Moment(now))
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
            None => self.long(name, StampOptions::default()),
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
            None => self.long(name, StampOptions::ADD),
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
    #[inline]
    pub(crate) fn short_told(&mut self, name: Name, options: StampOptions) -> Option<i64> {
        // What a fork asks for takes the long way.
        if self.top.flags != flag::SHARED || self.armed?.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let fold = match options {
            StampOptions::ADD => self.top.fold_add,
            _ if options == StampOptions::default() => self.top.fold,
            _ => return None,
        };
        let clock = &self.clock;
        let now = self.top.short(name, fold, || clock.direct_ticks())?;
        if let Some(slot) = self.top.slots.direct(name) {
            slot.tell(now);
        }
        Some(now)
    }

    /// The whole of a stamp.
    #[inline(never)]
    pub(crate) fn long(&mut self, name: Name, options: StampOptions) -> Result<Moment, TimerError> {
        if let Some(now) = self.short_told(name, options) {
            return Ok(Moment(now));
        }
        if self.is_disabled() {
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

    fn print(&self, name: Name, elapsed: i64) {
        let seconds = elapsed.max(0) as f64 / self.clock.ticks_per_second();
        // Who has closed stdout does not want to hear of it.
        let _ = writeln!(std::io::stdout().lock(), "({}) {name}: {seconds:.4} s", self.top.name);
    }

    /// Ends the interval without a stamp: its time is in the total only. What awaits its position
    /// is dropped, or becomes unassigned when the options say that it is kept.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`]; [`TimerError::Backdate`] as in [`Timer::stamp_with`]. A paused
    /// timer is not refused.
    pub fn blank_stamp(&mut self, options: StampOptions) -> Result<Moment, TimerError> {
        if self.is_disabled() {
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

    /// Stops the timer; only a reset revives it. What awaits its position becomes unassigned.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`].
    pub fn stop(&mut self) -> Result<Moment, TimerError> {
        self.stop_from(None, StampOptions::default())
    }

    /// Stops the timer with options.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`]; [`TimerError::Backdate`] for a root, and as in
    /// [`Timer::stamp_with`].
    pub fn stop_with(&mut self, options: StampOptions) -> Result<Moment, TimerError> {
        self.stop_from(None, options)
    }

    /// Stamps and stops.
    ///
    /// # Errors
    ///
    /// As [`Timer::stamp_with`] and [`Timer::stop_with`].
    pub fn stop_stamp(
        &mut self,
        name: impl Into<Name>,
        options: StampOptions,
    ) -> Result<Moment, TimerError> {
        self.stop_from(Some(name.into()), options)
    }

    fn stop_from(
        &mut self,
        name: Option<Name>,
        options: StampOptions,
    ) -> Result<Moment, TimerError> {
        if self.is_disabled() {
            return Ok(Moment::default());
        }
        let now = self.now();
        self.refuse_stopped(Action::Stop)?;
        let earliest =
            if self.around.is_empty() { now.saturating_add(1) } else { self.earliest(now) };
        if self.around.is_empty() {
            self.moment(options.backdate, earliest, now)?;
        }
        if name.is_some() {
            self.refuse_paused(Action::Stamp)?;
        }
        let at = self.moment(options.backdate, earliest, now)?;
        match name {
            Some(name) => self.record(name, at, options)?,
            None => {
                let keep = options.keep_subdivisions.unwrap_or(self.settings.keep_subdivisions);
                self.assign(None, keep);
            }
        }
        self.finish(at);
        if options.quick_print.unwrap_or(self.settings.quick_print) {
            self.print(crate::name!("Total"), self.top.spans - self.top.own);
        }
        Ok(Moment(now))
    }

    /// What every stop does at its end.
    pub(crate) fn finish(&mut self, at: i64) {
        let top = &mut *self.top;
        if top.in_loop.as_ref().is_some_and(|in_loop| in_loop.open) {
            top.lose_pending();
        }
        for i in 0..top.registered.len() {
            let name = top.registered[i];
            if top.slots.used(name).is_none() {
                top.slots.begin(name, Class::Flat).begin(0, top.tag);
            }
        }
        if !top.is(flag::PAUSED) {
            top.spans += at - top.start;
        }
        top.own += std::mem::take(&mut top.calls) * self.cost;
        top.flags |= flag::STOPPED;
        self.tell_finish();
    }

    /// Interrupts the timer. The time since the latest stamp is in the total, but in no stamp.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`], [`TimerError::Paused`].
    pub fn pause(&mut self) -> Result<Moment, TimerError> {
        if self.is_disabled() {
            return Ok(Moment::default());
        }
        let now = self.now();
        self.refuse_stopped(Action::Pause)?;
        self.refuse_paused(Action::Pause)?;
        self.top.spans += now - self.top.start;
        self.top.flags |= flag::PAUSED;
        self.top.no_last = true;
        self.tell_top();
        Ok(Moment(now))
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`]; [`TimerError::Paused`] when it is not paused.
    pub fn resume(&mut self) -> Result<Moment, TimerError> {
        if self.is_disabled() {
            return Ok(Moment::default());
        }
        let now = self.now();
        self.refuse_stopped(Action::Resume)?;
        if !self.top.is(flag::PAUSED) {
            let timer = self.top.name;
            return Err(TimerError::Paused { timer, action: Action::Resume, paused: false });
        }
        self.top.flags &= !flag::PAUSED;
        self.top.no_last = false;
        (self.top.start, self.top.last) = (now, now);
        self.tell_top();
        Ok(Moment(now))
    }

    /// Makes the timer that has the focus new: it forgets this run, also when it was stopped, and
    /// keeps its place. Gives the moment at which it starts.
    ///
    /// # Errors
    ///
    /// [`TimerError::Loop`] in a loop.
    pub fn reset(&mut self) -> Result<Moment, TimerError> {
        if self.is_disabled() {
            return Ok(Moment::default());
        }
        if self.top.in_loop.is_some() {
            let timer = self.top.name;
            return Err(TimerError::Loop { timer, action: Action::Reset });
        }
        let run = self.top.run;
        self.top.empty();
        let now = self.open_top();
        // Whoever opened it still finds it.
        self.top.run = run;
        self.top.leave_loop(self.settings.unique);
        self.tell_reset();
        Ok(Moment(now))
    }

    /// Begins again with a new root, named as the first one was; every open timer is given up. The
    /// settings stay. Gives the moment at which it starts.
    pub fn reset_root(&mut self) -> Moment {
        if self.is_disabled() {
            return Moment::default();
        }
        while let Some(parent) = self.around.pop() {
            let mut child = std::mem::replace(&mut self.top, parent);
            child.empty();
            self.top.spare.push(child);
        }
        let top = &mut *self.top;
        top.empty();
        top.name = self.root_name;
        (top.save_itrs, top.in_loop) = (true, None);
        top.registered.clear();
        let now = self.open_top();
        self.tell_reset();
        self.tell_root_name();
        Moment(now)
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
        self.settings = settings;
        self.set_flag(flag::PRINT, settings.quick_print);
        for node in self.around.iter_mut().chain([&mut self.top]) {
            node.set_unique(settings.unique);
        }
    }

    /// Says whether the timer's own time is measured by a second reading of the clock in every
    /// call, which doubles what a stamp costs, or computed from what a stamp was found to cost.
    pub fn set_exact_self_time(&mut self, exact: bool) {
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
        self.top.in_loop.is_some()
    }

    /// Whether the calls do anything; see `GTIMER_DISABLE` in the crate's documentation.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.is_disabled()
    }

    /// The name of the timer that has the focus.
    #[must_use]
    pub fn focus(&self) -> Name {
        self.top.name
    }

    /// How many timers are open around the one that has the focus.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.around.len()
    }
}

impl Node {
    /// Forgets the iterations of the pass that is under way; their time stays in the sums.
    fn lose_pending(&mut self) {
        let tag = self.tag;
        self.slots.all_mut().filter(|slot| slot.tag == tag).for_each(Slot::lose);
    }

    /// Gives up the pass that is under way.
    pub(crate) fn lose_pass(&mut self) {
        self.lose_pending();
        if let Some(in_loop) = &mut self.in_loop {
            in_loop.open = false;
        }
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
