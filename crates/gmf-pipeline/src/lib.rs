//! GMF analysis of a Digital RF product: jobs, kernels, files.

#![forbid(unsafe_code)]
