//! A run of a timer: its start and its end, pauses, resets.

use crate::clock::{Clock, Moment};
use crate::node::{Node, flag};
use crate::slot::{Class, Slot};
use crate::{Action, Name, StampOptions, Timer, TimerError};

impl<C: Clock> Timer<C> {
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
        if self.passes() {
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
        if self.passes() {
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
        if self.passes() {
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
        if self.passes() {
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
        if self.passes() {
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
        if self.passes() {
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
