//! The parallel manager on threads of this process, on rayon.

#![forbid(unsafe_code)]
