//! The threads manager keeps the promises.

#[path = "../../pm-api/tests/promises/mod.rs"]
mod promises;

use pm_threads::ThreadsManager;

promises::promises!(|n_workers| Box::new(ThreadsManager::new(n_workers).unwrap()));
