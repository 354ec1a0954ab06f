//! The end of a run at its workers: models are dropped, and times reported.

use std::time::{Duration, Instant};

use pm_api::PmError;
use worker_process::Event;

use super::{Course, backend};
use crate::wire::{Answer, Order, frame, read};

/// For how long a worker may take to drop its model before it is ended.
const END: Duration = Duration::from_secs(5);

impl Course<'_> {
    /// Reports what a worker measured that ended before it could do so itself.
    pub(super) fn report_times(&mut self, worker: usize) {
        let pid = self.seats.get_mut(worker).and_then(|seat| seat.timed.take());
        let (Some(pid), Some(times)) = (pid, &self.driver.times) else { return };
        let name = format!("worker {}", worker + 1);
        if let Some(report) = times.of_lost(pid, &name)
            && let Some(watch) = self.job.run.watch(self.seats.len())
        {
            watch.worker_reported(worker, report);
        }
    }

    /// Lets the workers end the run, and waits until all have: models are dropped, and watches
    /// have reported.
    pub(super) fn end(&mut self) -> Result<(), PmError> {
        let order = frame(&Order::End, &[]);
        let mut waited_for = vec![false; self.driver.pool.n_workers()];
        for (rank, seat) in self.seats.iter().enumerate() {
            let lives = self.driver.pool.is_running(rank);
            waited_for[rank] = lives && (seat.begun || seat.killed.is_some());
            if lives && seat.begun && seat.killed.is_none() {
                // Who is gone says so by its end.
                let _sent = self.driver.pool.send(rank, &order, &[]);
            }
        }
        let mut until = Instant::now() + END;
        while waited_for.contains(&true) {
            match self.driver.pool.wait(Some(until)).map_err(backend)? {
                Event::Frame { worker, bytes, .. } => {
                    if let Some((Answer::Ended { has_report }, report)) = read::<Answer>(&bytes) {
                        waited_for[worker] = false;
                        if let Some(seat) = self.seats.get_mut(worker) {
                            seat.timed = None;
                        }
                        if has_report && let Some(watch) = self.job.run.watch(self.seats.len()) {
                            watch.worker_reported(worker, report.to_vec());
                        }
                    }
                }
                Event::Exited { worker, .. } => {
                    self.driver.lines[worker] = None;
                    waited_for[worker] = false;
                    self.report_times(worker);
                }
                Event::Deadline => {
                    let late = (0..waited_for.len()).filter(|worker| waited_for[*worker]);
                    late.for_each(|worker| drop(self.driver.pool.kill(worker)));
                    until += END;
                }
                Event::Broken { .. } | Event::Woken => {}
            }
        }
        Ok(())
    }
}
