//! The managers' workers, timed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use gtimer_core::{
    Name, StampOptions, Times, TimesFormat, enabled, thread as timer, times_from_bytes,
    times_to_bytes,
};
use pm_api::backend::{RunObserver, RunWatch, WorkerWatch, set_observer};

/// Lets the workers of every run be timed from now on; gives `false` when somebody else watches the
/// runs of this program. [`create_parallel_manager`](crate::create_parallel_manager) does it, too.
///
/// A worker begins with a new timer on its thread, called `worker 1` and so on; what the task does
/// with the functions of [`gtimer_core::thread`] goes there. When the run is over, the times of all
/// its workers are attached to the timer of the thread that gathers, as a parallel group that is
/// called as the task. A worker on that very thread, such as the one of the serial manager, simply
/// goes on with the timer that is there.
pub fn time_workers() -> bool {
    use std::sync::OnceLock;
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| set_observer(Box::new(Observer)).is_ok())
}

/// Whether this process is there for one worker, so that its times must travel in any case.
fn in_worker_process() -> bool {
    #[cfg(feature = "processes")]
    return pm_proc::is_worker();
    #[cfg(not(feature = "processes"))]
    false
}

struct Observer;

struct TimedRun {
    task: Name,
    n_workers: usize,
    starter: ThreadId,
    reports: Mutex<Vec<(usize, Vec<u8>)>>,
}

struct TimedWorker;
struct UntimedWorker;

impl RunObserver for Observer {
    fn run_started(&self, task: &str, n_workers: usize) -> Arc<dyn RunWatch> {
        Arc::new(TimedRun {
            task: Name::new(task),
            n_workers,
            starter: thread::current().id(),
            reports: Mutex::default(),
        })
    }
}

impl RunWatch for TimedRun {
    fn worker_started(&self, rank: usize) -> Box<dyn WorkerWatch> {
        // One worker on the thread that started the run is that thread's own work. Among several,
        // it is alone in a process of its own, and its times must travel.
        let is_own =
            self.n_workers == 1 && thread::current().id() == self.starter && !in_worker_process();
        if !enabled() || is_own {
            return Box::new(UntimedWorker);
        }
        // Refused only inside of another call of this thread's timer, which a worker is not.
        let _ = timer::reset_root();
        let _ = timer::rename_root(Name::new(&format!("worker {}", rank + 1)));
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
        let _ = timer::stop_stamp("tasks", StampOptions::ADD);
        times_to_bytes(&[timer::times()], TimesFormat::Binary).ok()
    }
}

impl WorkerWatch for UntimedWorker {
    fn ended(self: Box<Self>) -> Option<Vec<u8>> {
        None
    }
}
