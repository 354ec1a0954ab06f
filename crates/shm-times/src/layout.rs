//! Where everything is in a file, as docs/formats.md writes it down.

use std::mem::size_of;

use gtimer_core::publish::{Buckets, Latch};

/// The first eight bytes, stored last.
pub(crate) const MAGIC: [u8; 8] = *b"PCTIMES\0";
/// Readers refuse any other.
pub(crate) const MAJOR: u16 = 2;
/// Readers accept any.
pub(crate) const MINOR: u16 = 0;
/// Reads otherwise where the bytes of a word stand the other way round.
pub(crate) const ENDIAN: u32 = 0x0102_0304;

/// Bytes before the marks.
pub(crate) const HEADER_BYTES: usize = 1024;
/// Bytes of a slot: the record of a node.
pub(crate) const SLOT_BYTES: usize = 128;
/// Bytes of the mark of a slot.
pub(crate) const MARK_BYTES: usize = 8;
/// Slots that a thread takes at once: their marks fill a cache line, so that threads do not write
/// into one line in turns.
pub(crate) const BLOCK_SLOTS: usize = 8;
/// Slots that the header takes the place of, so that no node has a number below this.
pub(crate) const HEADER_SLOTS: u32 = (HEADER_BYTES / SLOT_BYTES) as u32;
/// Bytes of a process's first file; every further one has twice as many as the one before.
pub(crate) const FIRST_BYTES: usize = 64 * 1024;
/// Files of a process at most: together 4032 KiB.
pub(crate) const MAX_SEGMENTS: usize = 6;
/// Bytes of a file at most, of whatever kind.
pub(crate) const MAX_BYTES: u64 = 4 << 20;
/// Bytes of a name at most; longer ones are cut.
pub(crate) const MAX_NAME: usize = 512;
/// Bytes of a label at most.
pub(crate) const MAX_LABEL: usize = 256;
/// Timers in timers at most; what is deeper, a reader leaves out and says so.
pub(crate) const MAX_DEPTH: usize = 256;

// The header. Up to `SLOTS_AT`, nothing changes once the magic is there.
pub(crate) const MAGIC_AT: usize = 0;
pub(crate) const MAJOR_AT: usize = 8;
pub(crate) const MINOR_AT: usize = 10;
pub(crate) const ENDIAN_AT: usize = 12;
pub(crate) const HEADER_BYTES_AT: usize = 16;
pub(crate) const SLOT_BYTES_AT: usize = 20;
pub(crate) const FILE_BYTES_AT: usize = 24;
pub(crate) const SEGMENT_AT: usize = 32;
pub(crate) const PID_AT: usize = 36;
pub(crate) const START_AT: usize = 40;
pub(crate) const BOOT_AT: usize = 48;
pub(crate) const PID_NS_AT: usize = 56;
pub(crate) const SESSION_AT: usize = 64;
pub(crate) const RANDOM_AT: usize = 72;
pub(crate) const CREATED_AT: usize = 80;
pub(crate) const SLOTS_AT: usize = 88;
// Words that the process changes.
pub(crate) const N_SLOTS_AT: usize = 256;
pub(crate) const NAMES_AT: usize = 264;
pub(crate) const N_SEGMENTS_AT: usize = 272;
pub(crate) const STATE_AT: usize = 280;
pub(crate) const DROPPED_AT: usize = 288;
pub(crate) const LABEL_AT: usize = 296;
pub(crate) const RANK_AT: usize = 304;
pub(crate) const NO_HISTOGRAM_AT: usize = 312;
/// Two places for a label, so that the old one stays whole while a new one is written.
pub(crate) const LABELS_AT: [usize; 2] = [512, 512 + MAX_LABEL];

// A slot.
pub(crate) const NAME_AT: usize = 104;
pub(crate) const POSITION_AT: usize = 112;
pub(crate) const PARENT_AT: usize = 116;
pub(crate) const KIND_AT: usize = 120;
pub(crate) const LANE_AT: usize = 124;

const _: () = assert!(size_of::<Latch>() == NAME_AT && size_of::<Buckets>() == NAME_AT);

// What a slot is, beside the kinds of `gtimer_core::publish::NodeKind` (1 to 4).
/// A thread: its latch says where the thread is.
pub(crate) const KIND_LANE: u32 = 5;
/// The second slot of a thread: its clock, and the merge that is going on.
pub(crate) const KIND_INFO: u32 = 6;
/// In a summary: the name of a file that is in its sums, whether or not it is still there.
pub(crate) const KIND_FOLDED: u32 = 7;
/// A part of the histogram of the stamp that is its parent; its position is its first bucket.
pub(crate) const KIND_HISTOGRAM: u32 = 8;

// Positions; any other value is the number of a stamp.
pub(crate) const AWAITING: u32 = 0;
/// Of a stamp: its iterations are passes of a loop.
pub(crate) const IN_LOOP: u32 = 1;
pub(crate) const UNASSIGNED: u32 = u32::MAX;
pub(crate) const FREE: u32 = u32::MAX - 1;

// States of a process.
pub(crate) const RUNNING: u64 = 1;
/// It ended by itself, through `exit`.
pub(crate) const ENDED: u64 = 2;
/// The file is no process's: it is the sum of ended ones.
pub(crate) const SUMMARY: u64 = 3;

/// Bytes of a process's file number `segment`.
pub(crate) const fn segment_bytes(segment: usize) -> usize {
    FIRST_BYTES << segment
}

/// The number that the first byte of a file stands for.
pub(crate) const fn segment_base(segment: usize) -> u32 {
    (FIRST_BYTES / SLOT_BYTES * ((1 << segment) - 1)) as u32
}

/// The first byte of the slots in a process's file of that many bytes: behind the header and a mark
/// for each slot that has room, in whole slots.
pub(crate) const fn slots_at(bytes: usize) -> usize {
    let marks = (bytes - HEADER_BYTES).div_ceil(SLOT_BYTES + MARK_BYTES) * MARK_BYTES;
    HEADER_BYTES + marks.next_multiple_of(SLOT_BYTES)
}

/// Where the mark of a slot is, in a file of which the slots begin at `slots_at`.
pub(crate) const fn mark_at(slot_at: usize, slots_at: usize) -> usize {
    HEADER_BYTES + (slot_at - slots_at) / SLOT_BYTES * MARK_BYTES
}

/// The file that a node is in, and its first byte there; `None` for numbers that no node has.
pub(crate) const fn locate(node: u32) -> Option<(usize, usize)> {
    let segment = (node / (FIRST_BYTES / SLOT_BYTES) as u32 + 1).ilog2() as usize;
    if segment >= MAX_SEGMENTS {
        return None;
    }
    let at = (node - segment_base(segment)) as usize * SLOT_BYTES;
    if at < slots_at(segment_bytes(segment)) { None } else { Some((segment, at)) }
}

/// The word that says where a name is: the first byte of it in the same file, and its length.
pub(crate) const fn name_word(at: usize, len: usize) -> u64 {
    at as u64 | (len as u64) << 32
}

/// The two parts of a [`name_word`].
pub(crate) const fn name_place(word: u64) -> (usize, usize) {
    (word as u32 as usize, (word >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_place_and_every_place_one_number() {
        let mut node = 0;
        for segment in 0..MAX_SEGMENTS {
            assert_eq!(segment_base(segment), node);
            for at in (0..segment_bytes(segment)).step_by(SLOT_BYTES) {
                let slots_at = slots_at(segment_bytes(segment));
                let place = (at >= slots_at).then_some((segment, at));
                assert_eq!(locate(node), place, "node {node}");
                assert!(at < slots_at || mark_at(at, slots_at) + MARK_BYTES <= slots_at);
                node += 1;
            }
        }
        assert_eq!([locate(node), locate(u32::MAX)], [None; 2]);
        let whole: usize = (0..MAX_SEGMENTS).map(segment_bytes).sum();
        assert!(whole as u64 <= MAX_BYTES);
    }
}
