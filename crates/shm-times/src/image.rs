//! Copies of files, taken apart. Nothing in them is believed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::alive::Identity;
use crate::label::Label;
use crate::layout::{
    BOOT_AT, CREATED_AT, DROPPED_AT, ENDIAN, ENDIAN_AT, FILE_BYTES_AT, HEADER_BYTES,
    HEADER_BYTES_AT, KIND_AT, KIND_HISTOGRAM, LABEL_AT, LANE_AT, MAGIC, MAGIC_AT, MAJOR, MAJOR_AT,
    MAX_LABEL, MAX_NAME, MINOR_AT, N_SEGMENTS_AT, N_SLOTS_AT, NAME_AT, NAMES_AT, NO_HISTOGRAM_AT,
    PARENT_AT, PID_AT, PID_NS_AT, POSITION_AT, RANDOM_AT, RANK_AT, SEGMENT_AT, SLOT_BYTES,
    SLOT_BYTES_AT, SLOTS_AT, START_AT, STATE_AT, SUMMARY, name_place, segment_base,
};
use crate::snapshot::{LaneTimes, NoteKind};
use crate::tree::{Forest, Names};
use gtimer_core::publish::{BUCKETS_OF_PART, Values};

/// What the header of a file says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    pub(crate) segment: u32,
    pub(crate) random: u64,
    pub(crate) created_ns: u64,
    /// Where the slots begin: a multiple of their length, behind the header and within the file.
    pub(crate) slots_at: usize,
    /// Slots up to which the file is used, those before the first included: never more than fit.
    pub(crate) n_slots: usize,
    /// Bytes of names at the end: never more than the slots leave.
    pub(crate) names_len: usize,
    pub(crate) n_segments: u64,
    pub(crate) state: u64,
    pub(crate) dropped: u64,
    pub(crate) without_histogram: u64,
    pub(crate) label: Label,
}

/// What was copied of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// The slots, as far as the file is used.
    pub(crate) slots: &'a [u8],
    /// Where they begin.
    pub(crate) slots_at: usize,
    /// The end of the file.
    pub(crate) names: &'a [u8],
    /// Length of the file.
    pub(crate) len: usize,
}

/// A slot of a file.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) kind: u32,
    /// An index of the names.
    pub(crate) name: u32,
    pub(crate) parent: u32,
    pub(crate) position: u32,
    pub(crate) lane: u32,
    pub(crate) values: Values,
    /// What a part of a histogram has in place of numbers.
    pub(crate) counts: Option<Box<[u64; BUCKETS_OF_PART]>>,
}

pub(crate) fn word16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |word| u16::from_ne_bytes([word[0], word[1]]))
}

#[inline]
pub(crate) fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

#[inline]
pub(crate) fn word64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

impl Header {
    /// What stands for a header before one was read.
    pub(crate) fn none() -> Self {
        Self {
            identity: Identity { pid: 0, start: 0, boot: 0, pid_ns: 0 },
            segment: 0,
            random: 0,
            created_ns: 0,
            slots_at: HEADER_BYTES,
            n_slots: 0,
            names_len: 0,
            n_segments: 0,
            state: 0,
            dropped: 0,
            without_histogram: 0,
            label: Label::default(),
        }
    }

    /// Reads the header at the start of a file of `len` bytes.
    pub(crate) fn read(bytes: &[u8], len: usize) -> Result<Self, NoteKind> {
        if bytes.len() < HEADER_BYTES {
            return Err(NoteKind::Size { bytes: bytes.len() as u64 });
        }
        if bytes[MAGIC_AT..MAGIC_AT + MAGIC.len()] != MAGIC {
            return Err(NoteKind::NotTimes);
        }
        match word32(bytes, ENDIAN_AT) {
            ENDIAN => {}
            other if other == ENDIAN.swap_bytes() => return Err(NoteKind::ByteOrder),
            _ => return Err(NoteKind::NotTimes),
        }
        let (major, minor) = (word16(bytes, MAJOR_AT), word16(bytes, MINOR_AT));
        let sizes = (word32(bytes, HEADER_BYTES_AT), word32(bytes, SLOT_BYTES_AT));
        if major != MAJOR || sizes != (HEADER_BYTES as u32, SLOT_BYTES as u32) {
            return Err(NoteKind::Version { major, minor });
        }
        if word64(bytes, FILE_BYTES_AT) != len as u64 {
            let what = format!("{len} bytes of {}", word64(bytes, FILE_BYTES_AT));
            return Err(NoteKind::Damaged { what });
        }
        let slots_at = clamp(word64(bytes, SLOTS_AT), usize::MAX);
        if slots_at < HEADER_BYTES || slots_at > len || !slots_at.is_multiple_of(SLOT_BYTES) {
            return Err(NoteKind::Damaged { what: format!("slots from byte {slots_at} on") });
        }
        let n_slots = clamp(word64(bytes, N_SLOTS_AT), len / SLOT_BYTES);
        let n_slots = n_slots.max(slots_at / SLOT_BYTES);
        let names_len = clamp(word64(bytes, NAMES_AT), len - n_slots * SLOT_BYTES);
        let (at, len) = name_place(word64(bytes, LABEL_AT));
        let in_header = at.checked_add(len).is_some_and(|end| end <= HEADER_BYTES);
        let label = if in_header && len <= MAX_LABEL { &bytes[at..at + len] } else { &[] };
        let text = text(label).into_owned();
        let rank = word64(bytes, RANK_AT);
        let (rank, n) = (rank as u32, (rank >> 32) as u32);
        Ok(Self {
            identity: Identity {
                pid: word32(bytes, PID_AT),
                start: word64(bytes, START_AT),
                boot: word64(bytes, BOOT_AT),
                pid_ns: word64(bytes, PID_NS_AT),
            },
            segment: word32(bytes, SEGMENT_AT),
            random: word64(bytes, RANDOM_AT),
            created_ns: word64(bytes, CREATED_AT),
            slots_at,
            n_slots,
            names_len,
            n_segments: word64(bytes, N_SEGMENTS_AT),
            state: word64(bytes, STATE_AT),
            dropped: word64(bytes, DROPPED_AT),
            without_histogram: word64(bytes, NO_HISTOGRAM_AT),
            label: Label { text, rank: (rank < n).then_some((rank, n)) },
        })
    }
}

fn clamp(value: u64, max: usize) -> usize {
    usize::try_from(value).unwrap_or(max).min(max)
}

/// The copy of a latch that its sequence number names.
#[inline]
fn words(slot: &[u8]) -> [u64; 6] {
    let copy = 8 + 48 * (word64(slot, 0) & 1) as usize;
    // Its bounds once, and not for each word: this is done for every slot that is read.
    let Some(copy) = slot.get(copy..).and_then(|rest| rest.first_chunk::<48>()) else {
        return [0; 6];
    };
    let (words, _) = copy.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_ne_bytes(words[i]))
}

/// The numbers of a slot.
#[inline]
pub(crate) fn values(slot: &[u8]) -> Values {
    Values::from_words(words(slot))
}

/// The numbers of a slot, if they are those of one publication.
#[inline]
pub(crate) fn whole_values(slot: &[u8]) -> Option<Values> {
    Values::from_words_checked(words(slot))
}

/// Whether the words of a slot are counts, which belong together in any case, and no record.
#[inline]
pub(crate) fn is_histogram(slot: &[u8]) -> bool {
    word32(slot, KIND_AT) == KIND_HISTOGRAM
}

/// What the slots of some files are called: needed anew only when slots or names come or change.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) names: Arc<Names>,
    /// The name of each slot that counts, in their order.
    of_slots: Vec<u32>,
    /// Names that are not in their place.
    bad: usize,
}

impl Named {
    /// Names may be given many times by a hostile file, so together they take at most four times
    /// its length.
    pub(crate) fn of(segments: &[Parts<'_>]) -> Self {
        let whole: usize = segments.iter().map(|file| file.len).sum();
        let mut room = 4 * whole;
        let n_slots = segments.iter().map(|file| file.slots.len() / SLOT_BYTES).sum();
        let mut names = Names::with_capacity(n_slots);
        let mut of_slots = Vec::with_capacity(n_slots);
        let mut bad = 0;
        for file in segments {
            let names_at = file.len - file.names.len();
            for record in records(file).map(|(_, record)| record).filter(|record| counts(record)) {
                let (name_at, len) = name_place(word64(record, NAME_AT));
                let start = name_at.checked_sub(names_at);
                let name = start.and_then(|at| file.names.get(at..at.checked_add(len)?));
                let name = if len == 0 { Some(&[][..]) } else { name };
                of_slots.push(match name {
                    Some(name) if len <= MAX_NAME && len <= room => {
                        room -= len;
                        names.intern(&text(name))
                    }
                    _ => {
                        bad += 1;
                        names.intern("(damaged)")
                    }
                });
            }
        }
        Self { names: Arc::new(names), of_slots, bad }
    }
}

/// The records behind the header, with their numbers in the file.
fn records<'a>(file: &Parts<'a>) -> impl Iterator<Item = (usize, &'a [u8])> {
    let first = file.slots_at / SLOT_BYTES;
    file.slots.chunks_exact(SLOT_BYTES).enumerate().map(move |(at, slot)| (first + at, slot))
}

fn counts(record: &[u8]) -> bool {
    (1..=KIND_HISTOGRAM).contains(&word32(record, KIND_AT))
}

/// The slots of the files of a process, or of a summary, in the order of their numbers.
pub(crate) fn slots(segments: &[Parts<'_>], named: &Named, notes: &mut Vec<NoteKind>) -> Vec<Slot> {
    let mut slots = Vec::with_capacity(named.of_slots.len());
    let mut names = named.of_slots.iter();
    for (at, file) in segments.iter().enumerate() {
        let base = segment_base(at);
        for (slot, record) in records(file).filter(|(_, record)| counts(record)) {
            let Some(&name) = names.next() else { break };
            let is_histogram = is_histogram(record);
            slots.push(Slot {
                number: base + slot as u32,
                kind: word32(record, KIND_AT),
                name,
                parent: word32(record, PARENT_AT),
                position: word32(record, POSITION_AT),
                lane: word32(record, LANE_AT),
                values: if is_histogram { Values::default() } else { values(record) },
                counts: is_histogram
                    .then(|| Box::new(std::array::from_fn(|at| word64(record, 8 + 8 * at)))),
            });
        }
    }
    if named.bad > 0 {
        let what = format!("{} names outside their place", named.bad);
        notes.push(NoteKind::Damaged { what });
    }
    slots
}

/// Text that a terminal does not obey: control characters, and those that turn the direction of
/// writing, are escaped.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes)
        && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Reads the bytes of one file: a process's first, or a summary. For whoever has only a copy of it,
/// and for tests that feed it anything. The lanes of a summary are its labels.
///
/// # Errors
///
/// The [`NoteKind`] that says why the bytes are no such file. What is wrong further inside is left
/// out, and said in the second part.
pub fn read_segment(bytes: &[u8]) -> Result<(Vec<LaneTimes>, Vec<NoteKind>), NoteKind> {
    if bytes.len() as u64 > crate::layout::MAX_BYTES {
        return Err(NoteKind::Size { bytes: bytes.len() as u64 });
    }
    let header = Header::read(bytes, bytes.len())?;
    let mut notes = Vec::new();
    let slots_at = header.slots_at;
    let parts = Parts {
        slots: &bytes[slots_at..header.n_slots * SLOT_BYTES],
        slots_at,
        names: &bytes[bytes.len() - header.names_len..],
        len: bytes.len(),
    };
    let named = Named::of(&[parts]);
    let slots = slots(&[parts], &named, &mut notes);
    let forest = Forest::grow(&slots, named.names, None, &mut notes);
    let lanes = forest.lane_times(header.state == SUMMARY, &mut notes);
    Ok((lanes, notes))
}
