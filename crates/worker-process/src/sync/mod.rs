//! Agreement between processes through words in shared memory.

pub(crate) mod barrier;
pub(crate) mod bells;
pub(crate) mod board;
pub(crate) mod spsc;
pub(crate) mod wait;
