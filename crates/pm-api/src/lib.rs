//! The contract of the parallel managers, and the serial one.

#![forbid(unsafe_code)]
