//! What is done about failures and slowness.

use std::time::Duration;

use crate::RunOptions;

/// What is done about failures and slowness.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    pub(crate) timeout: Option<Duration>,
    pub(super) retries: u32,
    pub(super) isolate: bool,
    pub(super) backoff: Duration,
    pub(super) crash_limit: Option<u32>,
}

impl Policy {
    pub(crate) fn new(options: &RunOptions) -> Self {
        Self {
            timeout: options.timeout,
            retries: options.retries,
            isolate: options.isolate,
            backoff: options.backoff,
            crash_limit: options.crash_limit,
        }
    }

    /// How long a chunk of so many tasks may take.
    pub(super) fn limit(&self, n_tasks: usize) -> Option<Duration> {
        let n_tasks = u32::try_from(n_tasks).unwrap_or(u32::MAX);
        self.timeout.map(|timeout| timeout.saturating_mul(n_tasks))
    }

    pub(super) fn tries_again(&self) -> bool {
        self.retries > 0 || self.isolate
    }
}
