//! The Generalized Matched Filter on the CPU.

#![forbid(unsafe_code)]
