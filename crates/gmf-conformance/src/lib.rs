//! What every kernel of the Generalized Matched Filter must pass.

#![forbid(unsafe_code)]
