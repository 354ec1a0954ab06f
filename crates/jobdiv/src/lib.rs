//! Dividing a run of tasks among jobs: strided, contiguous, weighted and guided.

#![forbid(unsafe_code)]
