//! The parallel manager on the ranks of an MPI job.
//!
//! Under construction.

#![deny(unsafe_code)]
