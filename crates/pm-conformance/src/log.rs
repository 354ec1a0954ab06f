//! How tasks tell their test what they did: by empty files in a folder, so that it does not matter
//! in which process they are.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::setup::DEADLINE;

/// A folder that tasks write notes into.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Log(PathBuf);

/// Counts the notes of this process, so that no two have one name.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Log {
    /// Makes a folder, which is there until what comes with it is dropped.
    pub(crate) fn new() -> (Self, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Self(folder.path().to_owned()), folder)
    }

    /// A folder that is there.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// A folder inside this one, made now.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Notes that `what` happened, with a number.
    pub(crate) fn note(&self, what: &str, number: usize) {
        let (pid, nth) = (process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        fs::write(self.0.join(format!("{what}.{number}.{pid}.{nth}")), "").unwrap();
    }

    /// The numbers with which `what` was noted, ascending.
    pub(crate) fn notes(&self, what: &str) -> Vec<usize> {
        let names = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().file_name());
        let mut numbers: Vec<usize> = names
            .filter_map(|name| {
                let mut parts = name.to_str()?.split('.');
                if parts.next()? == what { parts.next()?.parse().ok() } else { None }
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// When `what` was first noted.
    pub(crate) fn first(&self, what: &str) -> Option<SystemTime> {
        let files = fs::read_dir(&self.0).unwrap().flatten();
        let of_it = files.filter(|file| {
            file.file_name().to_str().is_some_and(|name| name.split('.').next() == Some(what))
        });
        of_it.filter_map(|file| file.metadata().ok()?.modified().ok()).min()
    }

    /// Waits until `what` was noted at least `n` times.
    pub(crate) fn wait_for(&self, what: &str, n: usize) {
        wait_until(what, || self.notes(what).len() >= n);
    }

    /// Notes `start` now and `end` when what it gives is dropped.
    pub(crate) fn active(&self) -> impl Drop + '_ {
        struct Active<'a>(&'a Log);
        impl Drop for Active<'_> {
            fn drop(&mut self) {
                self.0.note("end", 0);
            }
        }
        self.note("start", 0);
        Active(self)
    }

    /// How many are active.
    pub(crate) fn n_active(&self) -> usize {
        // The ends first, so that nothing seems to have ended that was not seen to start.
        let n_ended = self.notes("end").len();
        self.notes("start").len() - n_ended
    }
}

/// Lets others run until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        // Looking at files all the time would keep others from what is waited for.
        thread::sleep(Duration::from_micros(200));
    }
}
