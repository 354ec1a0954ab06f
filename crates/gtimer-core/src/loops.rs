//! Timed loops.

use crate::clock::Clock;
use crate::node::{InLoop, NEVER, Node, Origin, flag};
use crate::slot::Class;
use crate::{Action, LoopOptions, Name, StampOptions, Timer, TimerError};

/// A loop that a [`Timer`] times, for the calls that say where its passes begin and end. It serves
/// for one loop.
///
/// ```
/// use gtimer_core::{FakeClock, Loop, LoopOptions, Timer};
///
/// let clock = FakeClock::new();
/// let mut timer = Timer::with_clock("root", clock.clone());
/// let mut steps = Loop::new(LoopOptions::named("steps"));
/// for _ in 0..3 {
///     timer.loop_next(&mut steps)?;
///     clock.advance(0.5);
///     timer.stamp("push")?;
/// }
/// timer.loop_exit(&mut steps)?;
/// assert_eq!(timer.times().stamps[0].itrs.as_deref(), Some(&[0.5; 3][..]));
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[derive(Debug, Default)]
pub struct Loop {
    options: LoopOptions,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    New,
    /// Entered, with this tag.
    Entered(u64),
    Finished,
}

impl Loop {
    /// A loop that is not entered yet.
    #[must_use]
    pub fn new(options: LoopOptions) -> Self {
        Self { options, state: State::New }
    }

    /// Whether it is entered and not left.
    #[must_use]
    pub fn is_entered(&self) -> bool {
        matches!(self.state, State::Entered(_))
    }
}

impl<C: Clock> Timer<C> {
    /// Enters a loop, unless that was done: from here on the time belongs to its first pass. What
    /// awaits its position becomes unassigned, and the time since the latest stamp is in none.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stopped`], [`TimerError::Paused`]; [`TimerError::Loop`] for an anonymous loop
    /// in a loop, and for one that was left before; [`TimerError::UniqueName`] when the name of the
    /// loop, or a stamp that it registers, was used before; in a loop the name may come again in
    /// another pass.
    pub fn loop_enter(&mut self, timed: &mut Loop) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        let timer = self.top.name;
        match timed.state {
            State::Entered(_) => return Ok(()),
            State::New => {}
            State::Finished => {
                let action = Action::EnterLoopAgain;
                return Err(TimerError::Loop { timer, action });
            }
        }
        let now = self.now();
        let LoopOptions { name, ref registered, save_itrs, keep_prev_subdivisions: keep, .. } =
            timed.options;
        self.refuse_stopped(Action::EnterLoop)?;
        self.refuse_paused(Action::EnterLoop)?;
        let save_itrs = save_itrs.unwrap_or(self.settings.save_itrs);
        let class = if save_itrs { Class::Kept } else { Class::Plain };
        match name {
            None => self.refuse_anonymous(registered)?,
            Some(name) => self.refuse_named(name)?,
        }
        self.assign(None, keep.unwrap_or(self.settings.keep_subdivisions));
        self.top.last = now;
        if let Some(name) = name {
            self.enter_stamp(name, class);
            self.begin(name, Origin::Loop, Some(save_itrs));
        }
        let id = self.tag();
        let own = self.own();
        let top = &mut *self.top;
        let registered = registered.clone();
        top.in_loop = Some(InLoop { id, class, registered, open: false, own });
        (top.tag, top.base) = (id, id);
        (top.fold, top.fold_add, top.before) = (NEVER, NEVER, NEVER);
        timed.state = State::Entered(id);
        Ok(())
    }

    fn refuse_anonymous(&mut self, registered: &[Name]) -> Result<(), TimerError> {
        let timer = self.top.name;
        if self.top.in_loop.is_some() {
            let action = Action::EnterAnonymousLoop;
            return Err(TimerError::Loop { timer, action });
        }
        match registered.iter().find(|&&name| self.top.slots.used(name).is_some()) {
            Some(&stamp) => Err(TimerError::UniqueName { timer, stamp }),
            None => Ok(()),
        }
    }

    fn refuse_named(&mut self, name: Name) -> Result<(), TimerError> {
        let top = &mut *self.top;
        let (tag, base) = (top.tag, top.base);
        let allowed = top.slots.used(name).is_none_or(|slot| {
            let is_member = slot.tag >= base || slot.entered >= base;
            // The same inner loop may be run again in a pass: its passes are counted on.
            is_member && slot.tag != tag
        });
        if allowed {
            return Ok(());
        }
        Err(TimerError::UniqueName { timer: top.name, stamp: name })
    }

    /// Makes the stamp of a named loop.
    fn enter_stamp(&mut self, name: Name, class: Class) {
        let top = &mut *self.top;
        top.at(Some(name));
        let tag = top.tag;
        if top.slots.used(name).is_none() {
            top.slots.begin(name, class);
        }
        let slot = top.slots.entry(name);
        slot.settle();
        // No tag keeps stamps off the short way.
        (slot.tag, slot.entered) = (0, tag);
        self.tell_stamp(name, self.top.last);
    }

    /// Begins a pass, and before that enters the loop or ends the pass that is under way.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_enter`] and [`Timer::loop_pass_end`].
    pub fn loop_next(&mut self, timed: &mut Loop) -> Result<(), TimerError> {
        self.loop_enter(timed)?;
        self.loop_pass_end(timed)?;
        self.loop_pass_begin(timed)
    }

    /// Begins a pass of a loop that was entered.
    ///
    /// # Errors
    ///
    /// [`TimerError::Loop`] when a pass is under way, and when the loop does not have the focus.
    pub fn loop_pass_begin(&mut self, timed: &mut Loop) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        let tag = self.tag();
        let in_loop = self.focused(timed)?;
        if in_loop.open {
            let action = Action::BeginPass;
            return Err(TimerError::Loop { timer: self.top.name, action });
        }
        in_loop.open = true;
        self.top.open_pass(tag);
        Ok(())
    }

    /// Ends the pass that is under way; nothing happens when none is. What is left of its time goes
    /// to the end stamp, or else to no stamp; what awaits its position becomes unassigned.
    ///
    /// # Errors
    ///
    /// [`TimerError::Loop`] when the loop does not have the focus, because a subdivision is still
    /// open; [`TimerError::Stopped`], [`TimerError::Paused`]; [`TimerError::UniqueName`] of the end
    /// stamp. The pass is under way still.
    pub fn loop_pass_end(&mut self, timed: &mut Loop) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        let now = self.now();
        if !self.focused(timed)?.open {
            return Ok(());
        }
        self.end_pass(now, &timed.options)
    }

    /// Leaves the loop, after the pass that is under way; nothing happens when it was left before,
    /// or not entered.
    ///
    /// # Errors
    ///
    /// As [`Timer::loop_pass_end`]. The loop is entered still.
    pub fn loop_exit(&mut self, timed: &mut Loop) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        if timed.is_entered() {
            self.loop_pass_end(timed)?;
            self.leave_loop();
        }
        timed.state = State::Finished;
        Ok(())
    }

    /// Leaves the loop whatever stands in the way: closes what is open above it, and gives up the
    /// pass that is under way where it cannot be ended. Nothing happens when it was left before.
    pub fn loop_abandon(&mut self, timed: &mut Loop) {
        let State::Entered(id) = std::mem::replace(&mut timed.state, State::Finished) else {
            return;
        };
        if !self.uncover(id) {
            return;
        }
        let now = self.now();
        self.abandon_loop(now);
        if self.top.origin == Origin::Loop {
            self.close_top();
        }
    }

    /// The loop, if it has the focus.
    fn focused(&mut self, timed: &Loop) -> Result<&mut InLoop, TimerError> {
        let timer = self.top.name;
        let in_loop = self.top.in_loop.as_mut();
        let found = in_loop.filter(|in_loop| timed.state == State::Entered(in_loop.id));
        let action = Action::FocusLoop;
        found.ok_or(TimerError::Loop { timer, action })
    }

    fn leave_loop(&mut self) {
        if self.top.origin == Origin::Loop {
            self.top.in_loop = None;
            self.close_top();
        } else {
            self.top.leave_loop(self.settings.unique);
        }
    }

    /// Ends the pass of the loop on top.
    fn end_pass(&mut self, now: i64, options: &LoopOptions) -> Result<(), TimerError> {
        self.refuse_stopped(Action::EndPass)?;
        self.refuse_paused(Action::EndPass)?;
        let keep = options.keep_end_subdivisions;
        match options.end_stamp {
            Some(name) => {
                let stamp = StampOptions {
                    unique: options.end_stamp_unique,
                    keep_subdivisions: keep,
                    quick_print: options.quick_print,
                    backdate: None,
                };
                self.record(name, now, stamp)?;
            }
            None => self.assign(None, keep.unwrap_or(self.settings.keep_subdivisions)),
        }
        self.top.last = now;
        self.settle_cost(now);
        self.end_registered();
        self.tell_registered(now);
        let own = self.own();
        let top = &mut *self.top;
        let Some(in_loop) = &mut top.in_loop else { return Ok(()) };
        in_loop.open = false;
        let spent = own - std::mem::replace(&mut in_loop.own, own);
        if top.origin == Origin::Loop
            && let Some(parent) = self.around.last_mut()
        {
            let slot = parent.slots.entry(top.name);
            let tag = slot.tag;
            slot.begin(now - parent.last - spent, tag);
            slot.settle();
            parent.last = now;
            self.tell_pass(now);
        }
        Ok(())
    }

    /// Gives the stamps that the loop registers and that were not met an iteration of zero.
    fn end_registered(&mut self) {
        let top = &mut *self.top;
        let Some(in_loop) = &top.in_loop else { return };
        for &name in &in_loop.registered {
            let slot = match top.slots.used(name) {
                Some(_) => top.slots.entry(name),
                None => top.slots.begin(name, in_loop.class),
            };
            let met = slot.tag == top.tag || slot.entered == top.tag;
            if !met && in_loop.class == Class::Kept {
                slot.begin(0, top.tag);
            } else if !met {
                // It belongs to this loop from now on, but not to this pass.
                slot.entered = slot.entered.max(top.base);
            }
        }
    }

    /// Ends the loop of the level on top, without an end stamp, and with what awaits kept, since
    /// nobody said to drop it. Where its level is stopped or paused, the pass is lost.
    pub(crate) fn abandon_loop(&mut self, now: i64) {
        let options = LoopOptions { keep_end_subdivisions: Some(true), ..LoopOptions::default() };
        if self.top.in_loop.as_ref().is_some_and(|in_loop| in_loop.open)
            && self.end_pass(now, &options).is_err()
        {
            self.top.lose_pass();
        }
        if self.top.is(flag::STOPPED) {
            self.top.in_loop = None;
        } else {
            self.top.leave_loop(self.settings.unique);
        }
    }
}

impl<C: Clock> Timer<C> {
    /// Ends the pass that is under way, whatever stands in the way: closes what is open above the
    /// loop, and gives up the pass where it cannot be ended, for the reason that is given.
    pub(crate) fn loop_pass_settle(&mut self, timed: &Loop) -> Option<TimerError> {
        let State::Entered(id) = timed.state else { return None };
        self.wake();
        let refused = self.focused(timed).err();
        if !self.uncover(id) {
            return refused;
        }
        let now = self.now();
        if !self.top.in_loop.as_ref().is_some_and(|in_loop| in_loop.open) {
            return refused;
        }
        let unended = self.end_pass(now, &timed.options).err();
        if unended.is_some() {
            self.top.lose_pass();
        }
        refused.or(unended)
    }

    /// Leaves the loop after the pass that is under way, whatever stands in the way.
    pub(crate) fn loop_leave(&mut self, timed: &mut Loop) {
        self.loop_pass_settle(timed);
        self.loop_abandon(timed);
    }

    /// Closes what is open above a loop; says whether it is there.
    fn uncover(&mut self, id: u64) -> bool {
        self.wake();
        let is_it = |node: &Node| node.in_loop.as_ref().is_some_and(|in_loop| in_loop.id == id);
        if !is_it(&self.top) && !self.around.iter().any(|node| is_it(node)) {
            return false;
        }
        while !is_it(&self.top) {
            self.close_top();
        }
        true
    }
}
