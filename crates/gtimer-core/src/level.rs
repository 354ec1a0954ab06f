//! Subdivisions: timers below a timer.

use crate::clock::Clock;
use crate::merge::{self, Unwatched};
use crate::node::{Child, Node, Origin, flag};
use crate::{Action, Name, SubdivideOptions, Timer, TimerError};

impl<C: Clock> Timer<C> {
    /// Begins a subdivision: a timer below the one that has the focus, which it takes over. When
    /// it ends, it awaits its position; a further run of its name until then is merged into it.
    ///
    /// It may begin below a timer that is paused or stopped. Of a stopped one, nothing takes it.
    pub fn subdivide(&mut self, name: impl Into<Name>) {
        self.begin(name.into(), Origin::User, None);
    }

    /// As [`Timer::subdivide`], with options.
    pub fn subdivide_with(&mut self, name: impl Into<Name>, options: SubdivideOptions) {
        self.begin(name.into(), Origin::User, options.save_itrs);
        self.top.registered = options.registered;
    }

    /// Ends the subdivision that [`Timer::subdivide`] began, and stops it if it runs.
    ///
    /// # Errors
    ///
    /// [`TimerError::NoSubdivision`] when something else has the focus; [`TimerError::Loop`] in a
    /// loop.
    pub fn end_subdivision(&mut self) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        let timer = self.top.name;
        if self.top.origin != Origin::User {
            return Err(TimerError::NoSubdivision { timer });
        }
        if self.top.in_loop.is_some() {
            return Err(TimerError::Loop { timer, action: Action::EndSubdivision });
        }
        self.close_top();
        Ok(())
    }

    /// Opens a timer below the one on top; gives the tag of its run.
    #[inline(never)]
    pub(crate) fn begin(&mut self, name: Name, origin: Origin, save_itrs: Option<bool>) -> u64 {
        if self.passes() {
            return 0;
        }
        let node = self.top.spare(name);
        self.put(node, origin, save_itrs);
        self.open_top();
        if self.top.is(flag::SHARED) {
            self.tell_begin();
        }
        self.top.run
    }

    /// Puts a node on top, which is still to be opened.
    #[inline]
    pub(crate) fn put(&mut self, mut node: Box<Node>, origin: Origin, save_itrs: Option<bool>) {
        node.origin = origin;
        node.save_itrs = save_itrs.unwrap_or(self.settings.save_itrs);
        node.registered.clear();
        self.around.push(std::mem::replace(&mut self.top, node));
    }

    #[inline(never)]
    pub(crate) fn close_any(&mut self, run: u64) {
        self.wake();
        if self.top.run == run && self.close_plain() {
            return;
        }
        if self.top.run != run && !self.around.iter().skip(1).any(|node| node.run == run) {
            return;
        }
        while !self.around.is_empty() {
            let found = self.top.run == run;
            self.close_top();
            if found {
                return;
            }
        }
    }

    /// As [`Timer::close_top`] for the most frequent kind: a running timer that only has stamps,
    /// below one that runs, when nobody is told. Says whether it is of that kind.
    #[inline]
    fn close_plain(&mut self) -> bool {
        let Some(parent) = self.around.last() else { return false };
        let child = &*self.top;
        if child.flags != 0 || parent.flags & !flag::AWAITING != 0 || !child.is_plain() {
            return false;
        }
        let name = child.name;
        let found = parent.awaiting.iter().position(|old| old.is_named(name));
        if found.is_some_and(|at| matches!(parent.awaiting[at], Child::Attached(_))) {
            return false;
        }
        let now = self.clock.direct_ticks() as i64;
        let Some(parent) = self.around.pop() else { return false };
        let mut child = std::mem::replace(&mut self.top, parent);
        child.spans += now - child.start;
        child.own += std::mem::take(&mut child.calls) * self.cost;
        child.flags = flag::STOPPED;
        let top = &mut *self.top;
        top.own += child.own + self.cost;
        top.own_below += child.own;
        top.last += child.own + self.cost;
        if let Some(Child::Ran(old)) = found.and_then(|at| top.awaiting.get_mut(at)) {
            merge::flat(old, &mut child, &mut Unwatched);
            top.spare.push(child);
        } else {
            top.awaiting.push(Child::Ran(child));
            top.flags = flag::AWAITING;
            self.expect_lazy(name);
        }
        true
    }

    /// Closes the timer on top, which is not the root, and gives it to the one below.
    #[inline]
    pub(crate) fn close_top(&mut self) {
        let now = self.now();
        if self.top.in_loop.is_some() {
            self.abandon_loop(now);
        }
        if !self.top.is(flag::STOPPED) {
            if self.top.is(flag::AWAITING) {
                self.assign(None, self.settings.keep_subdivisions);
            }
            self.finish(now);
        }
        let Some(parent) = self.around.pop() else { return };
        let child = std::mem::replace(&mut self.top, parent);
        let (own, name) = (child.own, child.name);
        let is_loop = child.origin == Origin::Loop;
        if !self.top.is(flag::STOPPED) {
            self.top.own += own;
            self.top.own_below += own;
            if !is_loop {
                // The child's own time is in none of the parent's stamps. (The passes of a loop
                // have seen to that themselves.)
                self.top.last += own;
            }
            self.settle_cost(now);
        }
        let position = is_loop.then_some(name);
        self.hand_over(child, position);
    }

    /// Gives a finished timer to the one on top, at a position or awaiting one.
    #[inline]
    fn hand_over(&mut self, child: Box<Node>, position: Option<Name>) {
        let name = child.name;
        let free = if self.publisher.is_some() {
            let free = self.tell_given(child, position.map(Some));
            self.tell_focus();
            free
        } else {
            let clock = &self.clock;
            let list = match position {
                Some(_) => self.top.at(position),
                None => &mut self.top.awaiting,
            };
            let rate = || clock.ticks_per_second();
            merge::add(list, Child::Ran(child), &rate, &mut Unwatched)
        };
        if position.is_none() {
            self.top.flags |= flag::AWAITING;
            if free.is_none() {
                self.expect_lazy(name);
            }
        }
        self.top.spare.extend(free);
    }

    /// Gives what awaits its position to a stamp, or to none; or drops it.
    pub(crate) fn assign(&mut self, position: Option<Name>, keep: bool) {
        if !self.top.is(flag::AWAITING) {
            return;
        }
        self.top.flags &= !flag::AWAITING;
        // Mostly it is one.
        if self.top.awaiting.len() == 1 {
            if let Some(child) = self.top.awaiting.pop() {
                self.assign_one(child, position, keep);
            }
        } else {
            let mut awaiting = std::mem::take(&mut self.top.awaiting);
            awaiting.drain(..).for_each(|child| self.assign_one(child, position, keep));
            // What it has allocated serves for the next.
            self.top.awaiting = awaiting;
        }
        if !self.top.awaiting_groups.is_empty() {
            for mut group in std::mem::take(&mut self.top.awaiting_groups) {
                if keep {
                    group.position = position;
                    merge::groups(&mut self.top.groups, group);
                }
            }
        }
    }

    fn assign_one(&mut self, mut child: Child, position: Option<Name>, keep: bool) {
        if let Child::Ran(node) = &mut child {
            self.top.gather(node);
        }
        let free = match child {
            Child::Ran(mut node) if !keep => {
                self.top.own_below -= node.own;
                self.tell_dropped(&mut node);
                node.empty();
                Some(node)
            }
            Child::Attached(_) if !keep => None,
            Child::Ran(node) if self.publisher.is_some() => self.tell_given(node, Some(position)),
            child => {
                let clock = &self.clock;
                let list = self.top.at(position);
                merge::add(list, child, &|| clock.ticks_per_second(), &mut Unwatched)
            }
        };
        self.top.spare.extend(free);
    }

    /// The own time of the timer on top up to now.
    pub(crate) fn own(&self) -> i64 {
        self.top.own + self.top.calls * self.cost
    }

    /// Whether a subdivision of this name awaits its position.
    #[must_use]
    pub fn awaits(&self, name: impl Into<Name>) -> bool {
        let name = name.into();
        self.lazy().is_none() && self.top.awaiting.iter().any(|child| child.is_named(name))
    }
}
