//! Times of others: of one worker, or of several that ran side by side.

use crate::clock::Clock;
use crate::merge::{self, Unwatched};
use crate::node::{Child, Group, flag};
use crate::{Name, Timer, TimerError, Times};

impl<C: Clock> Timer<C> {
    /// Attaches a copy of times as a subdivision that has ended: it awaits its position, and is
    /// merged into one of its name that awaits, too. Its own time counts as this timer's.
    ///
    /// (gtimer takes the subdivisions out of the caller's times where it merges; here they stay.)
    ///
    /// # Errors
    ///
    /// [`TimerError::Empty`] when the total is not above zero.
    pub fn attach_subdivision(&mut self, times: &Times) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        refuse_empty(times)?;
        let copy = Child::Attached(Box::new(Times { position: None, ..times.clone() }));
        self.top.gather_all();
        let clock = &self.clock;
        let list = &mut self.top.awaiting;
        let free = merge::add(list, copy, &|| clock.ticks_per_second(), &mut Unwatched);
        self.top.spare.extend(free);
        self.top.own_attached += times.self_agg;
        self.top.flags |= flag::AWAITING;
        Ok(())
    }

    /// Attaches copies of the times of workers that ran side by side. They await their position as
    /// a group; workers of one name in one group are merged. The own time of the one that took
    /// longest counts as this timer's.
    ///
    /// # Errors
    ///
    /// [`TimerError::Empty`] when a total is not above zero; then no worker is attached.
    pub fn attach_par_subdivision(
        &mut self,
        group: impl Into<Name>,
        workers: &[Times],
    ) -> Result<(), TimerError> {
        if self.passes() {
            return Ok(());
        }
        workers.iter().try_for_each(refuse_empty)?;
        let name = group.into();
        let top = &mut *self.top;
        let at = top.awaiting_groups.iter().position(|group| group.name == name);
        let at = at.unwrap_or_else(|| {
            top.awaiting_groups.push(Group { position: None, name, workers: Vec::new() });
            top.awaiting_groups.len() - 1
        });
        for worker in workers {
            let copy = Times { position: None, ..worker.clone() };
            merge::push(&mut top.awaiting_groups[at].workers, copy);
        }
        // Side by side with it, the others have spent theirs.
        let longest = workers.iter().max_by(|a, b| a.total.total_cmp(&b.total));
        top.own_attached += longest.map_or(0.0, |worker| worker.self_agg);
        top.flags |= flag::AWAITING;
        Ok(())
    }

    /// Whether a worker of this name awaits its position in this group.
    #[must_use]
    pub fn awaits_in(&self, group: impl Into<Name>, worker: &str) -> bool {
        let group = group.into();
        if self.lazy().is_some() {
            return false;
        }
        let group = self.top.awaiting_groups.iter().find(|other| other.name == group);
        group.is_some_and(|group| group.workers.iter().any(|times| times.name == worker))
    }
}

fn refuse_empty(times: &Times) -> Result<(), TimerError> {
    if times.total > 0.0 {
        return Ok(());
    }
    Err(TimerError::Empty { worker: Name::new(&times.name) })
}
