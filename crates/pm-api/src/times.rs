//! The workers of every run, timed: the observer of a program that sets no other.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use gtimer_core::publish::new_publisher;
use gtimer_core::{
    Name, StampOptions, StampTimes, Timer, Times, TimesFormat, UNASSIGNED, enabled,
    thread as timer, times_from_bytes, times_to_bytes,
};

use crate::watch::{RunWatch, WorkerWatch};

/// The stamp of a worker that all of its tasks are part of.
const TASKS: &str = "tasks";

/// The watch of a run that begins; none where nothing is timed. `elsewhere` says that the caller is
/// one of its workers, in another process than who started it.
pub(crate) fn run_started(
    task: &str,
    n_workers: usize,
    elsewhere: bool,
) -> Option<Arc<dyn RunWatch>> {
    if !enabled() {
        return None;
    }
    let starter = (!elsewhere).then(|| thread::current().id());
    Some(Arc::new(TimedRun {
        task: Name::new(task),
        n_workers,
        starter,
        reports: Mutex::default(),
    }))
}

/// What a worker reports that measured these times, and could not do so itself: it was killed.
///
/// `times` are what others saw of its timer. The time since its last stamp, in which it did part of
/// a task, is the last part of its stamp `tasks`, as it is of a worker that came to its end.
///
/// None of nothing, and none where [`set_observer`](crate::backend::set_observer) put somebody else
/// in charge, whose reports look otherwise.
#[must_use]
pub fn report_of_lost(times: &Times) -> Option<Vec<u8>> {
    if !times_workers() || times.total <= 0.0 {
        return None;
    }
    let mut times = times.clone();
    let rest = (times.total - times.stamps_sum).max(0.0);
    match times.stamps.iter_mut().find(|stamp| stamp.name == TASKS) {
        Some(stamp) => stamp.cum += rest,
        None => times.stamps.push(StampTimes {
            name: TASKS.to_owned(),
            cum: rest,
            itr_num: 1,
            itr_max: rest,
            itr_min: rest,
            ..StampTimes::default()
        }),
    }
    times.stamps_sum = times.total;
    // What was open was part of a task as well.
    for at in times.subdivisions.iter_mut().filter(|at| at.position == UNASSIGNED) {
        TASKS.clone_into(&mut at.position);
        at.timers.iter_mut().for_each(|timer| timer.position = Some(TASKS.to_owned()));
    }
    end(&mut times);
    times_to_bytes(&[times], TimesFormat::Binary).ok()
}

/// Nothing of it runs any more.
fn end(times: &mut Times) {
    times.running = false;
    times.subdivisions.iter_mut().flat_map(|at| &mut at.timers).for_each(end);
}

/// Whether workers are timed in this program: timing is enabled, and nobody else is in charge.
#[must_use]
pub fn times_workers() -> bool {
    enabled() && !crate::watch::is_set()
}

struct TimedRun {
    task: Name,
    n_workers: usize,
    /// None in a worker that is in another process.
    starter: Option<ThreadId>,
    reports: Mutex<Vec<(usize, Vec<u8>)>>,
}

struct TimedWorker;
struct UntimedWorker;

impl RunWatch for TimedRun {
    fn worker_started(&self, rank: usize) -> Box<dyn WorkerWatch> {
        // One worker on the thread that started the run is that thread's own work.
        if self.n_workers == 1 && self.starter == Some(thread::current().id()) {
            return Box::new(UntimedWorker);
        }
        let name = Name::new(&format!("worker {}", rank + 1));
        // A new timer where the old one has measured anything, not a reset one: where times are
        // shared, what earlier runs measured on this thread stays among those of ended threads. One
        // that has not would show there as a thread that did nothing, so it goes on.
        // Refused only inside of another call of this thread's timer, which a worker is not.
        let _ = timer::with(|timer| {
            let old = timer.times();
            let is_empty = old.stamps.is_empty() && old.children().next().is_none();
            if is_empty {
                timer.reset_root();
                timer.rename_root(name);
                return;
            }
            *timer = Timer::new(name);
            if let Some(publisher) = new_publisher() {
                timer.publish_to(publisher);
            }
        });
        Box::new(TimedWorker)
    }

    fn worker_reported(&self, rank: usize, report: Vec<u8>) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push((rank, report));
    }

    fn run_ended(&self) {
        let mut reports =
            std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner));
        reports.sort_by_key(|(rank, _)| *rank);
        let mut workers: Vec<Times> = Vec::new();
        for (_, report) in reports {
            // A report of another version of this program is none; times of nothing are refused.
            workers.extend(times_from_bytes(&report).unwrap_or_default());
        }
        workers.retain(|worker| worker.total > 0.0);
        if !workers.is_empty() {
            let _ = timer::attach_par_subdivision(self.task, &workers);
        }
    }
}

impl WorkerWatch for TimedWorker {
    fn ended(self: Box<Self>) -> Option<Vec<u8>> {
        // All that the tasks subdivided is part of this one stamp. A task that has stopped the
        // timer keeps it as it is.
        let _ = timer::stop_stamp(TASKS, StampOptions::ADD);
        times_to_bytes(&[timer::times()], TimesFormat::Binary).ok()
    }
}

impl WorkerWatch for UntimedWorker {
    fn ended(self: Box<Self>) -> Option<Vec<u8>> {
        None
    }
}
