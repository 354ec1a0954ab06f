//! What goes along with the bytes of a frame.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::memory::map::Foreign;
use crate::memory::{Frozen, Lent, SegmentId, View};
use crate::sync::spsc::PartWords;

/// Something that goes along with the bytes of a frame, without being copied.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// A piece of the sender's arena; keep it until the receiver is done with it.
    Lent(&'a Lent),
    /// Bytes that never change again; the sender may drop it at once.
    Frozen(&'a Frozen),
    /// A descriptor: of [`SharedMemory`](crate::SharedMemory), of a [`Barrier`](crate::Barrier), or
    /// of anything else. The receiver gets one of its own.
    Fd(BorrowedFd<'a>),
}

/// A part as the receiver gets it.
#[derive(Debug)]
pub enum Received {
    /// A piece of the sender's arena.
    View(View),
    /// Bytes that never change.
    Frozen(Frozen),
    /// A descriptor.
    Fd(OwnedFd),
}

const LENT: u64 = 1;
const FROZEN: u64 = 2;
const FD: u64 = 3;

impl<'a> Part<'a> {
    /// How it travels: tag and segment, begin, length.
    pub(crate) fn words(&self) -> PartWords {
        match self {
            Self::Lent(lent) => {
                let range = lent.range();
                let tag = LENT | u64::from(lent.segment().id) << 32;
                [tag, range.start as u64, range.len() as u64]
            }
            Self::Frozen(frozen) => [FROZEN, 0, frozen.len() as u64],
            Self::Fd(_) => [FD, 0, 0],
        }
    }

    /// The descriptor that has to go along.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Lent(_) => None,
            Self::Frozen(frozen) => Some(frozen.fd()),
            Self::Fd(fd) => Some(*fd),
        }
    }
}

/// Whether a descriptor goes along with a part that travels like this.
pub(crate) fn has_fd(words: &PartWords) -> bool {
    matches!(words[0], FROZEN | FD)
}

/// Why a part can not be had.
pub(crate) type PartFault = String;

/// Makes a part of what arrived.
pub(crate) fn receive(
    words: &PartWords,
    segments: &HashMap<SegmentId, Arc<Foreign>>,
    fds: &mut VecDeque<OwnedFd>,
) -> Result<Received, PartFault> {
    let [tag, begin, len] = *words;
    let mut fd = || fds.pop_front().ok_or_else(|| "a descriptor is missing".to_owned());
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word are taken apart")]
    match (tag as u32, (tag >> 32) as u32) {
        (1, segment) => {
            let map = segments.get(&segment).ok_or_else(|| format!("no segment {segment}"))?;
            let view = View::new(map, begin, len);
            let outside = || format!("{len} bytes from {begin} on of {}", map.len());
            view.map(Received::View).ok_or_else(outside)
        }
        (2, 0) => {
            let frozen = Frozen::open(fd()?).map_err(|error| error.to_string())?;
            if frozen.len() as u64 != len {
                return Err(format!("{} frozen bytes instead of {len}", frozen.len()));
            }
            Ok(Received::Frozen(frozen))
        }
        (3, 0) => fd().map(Received::Fd),
        _ => Err(format!("a part of unknown kind {tag:#x}")),
    }
}
