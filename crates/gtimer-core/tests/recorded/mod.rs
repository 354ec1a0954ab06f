//! Recorded runs of gtimer: reading them, doing what they say, comparing what came out.

#![allow(dead_code, reason = "the replay, the tests and the property tests use a part each")]

pub(crate) mod check;
pub(crate) mod driver;
pub(crate) mod engine;
pub(crate) mod program;
pub(crate) mod tree;
