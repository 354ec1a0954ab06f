//! Who watches the workers of a run is told of each, and no task begins before all have begun.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pm_api::backend::{RunObserver, RunWatch, WorkerWatch, set_observer};
use pm_api::{RunOptions, Scatter as _, Schedule, Task, TaskError, Worker};
use pm_threads::ThreadsManager;

static N_STARTED: AtomicUsize = AtomicUsize::new(0);
static REPORTS: Mutex<Vec<(usize, Vec<u8>)>> = Mutex::new(Vec::new());
static RUNS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Observer;
struct Watch;
struct OneWorker(usize, thread::ThreadId);

impl RunObserver for Observer {
    fn run_started(&self, task: &str, n_workers: usize) -> Arc<dyn RunWatch> {
        RUNS.lock().expect("nobody panics with it").push(format!("{task} by {n_workers}"));
        Arc::new(Watch)
    }
}

impl RunWatch for Watch {
    fn worker_started(&self, rank: usize) -> Box<dyn WorkerWatch> {
        if rank == 1 {
            // Long enough for the others to be at work, if they did not wait.
            thread::sleep(Duration::from_millis(200));
        }
        N_STARTED.fetch_add(1, SeqCst);
        Box::new(OneWorker(rank, thread::current().id()))
    }

    fn worker_reported(&self, rank: usize, report: Vec<u8>) {
        REPORTS.lock().expect("nobody panics with it").push((rank, report));
    }

    fn run_ended(&self) {
        RUNS.lock().expect("nobody panics with it").push("ended".to_owned());
    }
}

impl WorkerWatch for OneWorker {
    fn ended(self: Box<Self>) -> Option<Vec<u8>> {
        assert_eq!(thread::current().id(), self.1, "it ends where it began");
        Some(vec![self.0 as u8; 3])
    }
}

/// Gives how many workers had begun.
struct HowMany;

impl Task for HowMany {
    const NAME: &'static str = "watch::how_many";
    type Args = ();
    type Model = ();
    type Param = ();
    type Output = usize;

    fn build((): &(), _: &Worker<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn execute((): &mut (), params: &[()], _: &Worker<'_>) -> Result<Vec<usize>, TaskError> {
        Ok(vec![N_STARTED.load(SeqCst); params.len()])
    }
}

/// A worker that began on top of a task, on a thread that waits for rayon, could wait for that task
/// for ever.
#[test]
fn no_task_begins_before_all_workers_have_and_each_reports_once() {
    assert!(set_observer(Box::new(Observer)).is_ok());
    assert!(set_observer(Box::new(Observer)).is_err(), "there is one already");
    let manager = ThreadsManager::new(3).unwrap();
    let options = RunOptions::default().schedule(Schedule::Static);
    let pending = manager.scatter::<HowMany>((), vec![(); 9], &options).unwrap();
    assert_eq!(pending.gather().unwrap().into_complete().unwrap(), [3; 9]);
    let mut reports = REPORTS.lock().unwrap().clone();
    reports.sort();
    assert_eq!(reports, [(0, vec![0; 3]), (1, vec![1; 3]), (2, vec![2; 3])]);
    assert_eq!(*RUNS.lock().unwrap(), ["watch::how_many by 3", "ended"]);
}
