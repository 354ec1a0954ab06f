//! The stream of frames between two processes.

mod link;
mod part;
mod socket;
pub(crate) mod wire;

pub use link::LinkError;
pub use part::{Part, Received};

pub(crate) use link::{Link, Message, RingMemory};
