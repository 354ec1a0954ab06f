//! Memory that processes share.

mod arena;
mod frozen;
pub(crate) mod map;
mod shared;

pub use arena::{Arena, Draft, Lent, View};
pub use frozen::{Frozen, FrozenDraft};
pub use shared::SharedMemory;

pub(crate) use arena::SegmentId;
