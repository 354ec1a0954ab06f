//! The contract of the Generalized Matched Filter: parameters, grids, kernels, the reference.

#![forbid(unsafe_code)]
