//! A ring of frames between two processes, one of which only writes and the other only reads.
//!
//! The ring is an array of words, touched as atomics only, so that whatever the other side does the
//! worst is a frame that is refused. Four words are for agreement, each in a cache line of its own:
//!
//! | word | written by | meaning                                                            |
//! | ---- | ---------- | ------------------------------------------------------------------ |
//! | 0    | producer   | `tail`: words written since the beginning                          |
//! | 8    | consumer   | `head`: words read since the beginning                             |
//! | 16   | both       | n: the consumer sleeps, or is about to, and wants a bell after n   |
//! |      |            | frames, or when the producer has no more for the moment            |
//! | 24   | both       | 1: the producer waits for room, and wants a bell                   |
//! | 32.. | producer   | data; a power of two of words                                      |
//!
//! Nobody is left asleep: who is about to sleep sets its flag, *then* looks once more; who brings
//! something writes it, *then* looks at the flag; between the two steps both have a fence of
//! sequential consistency, so at least one sees the other's. The flags change by read-modify-write
//! alone, so that one change is never ordered against another by guess. Who wants its bell after
//! several frames sleeps for a bounded time only, since the producer may find a long time until it
//! rests. The tests run every interleaving (loom).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::memory::map::Racing;

/// The words before the data.
pub(crate) const HEADER: usize = 32;
const TAIL: usize = 0;
const HEAD: usize = 8;
const CONSUMER_SLEEPS: usize = 16;
const PRODUCER_WAITS: usize = 24;

/// Parts that a frame may carry.
pub(crate) const MAX_PARTS: usize = 64;

/// One part of a frame as it travels.
pub(crate) type PartWords = [u64; 3];

/// The first word of a frame: length, kind, number of parts, and a mark that tells garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) n_parts: u8,
}

impl Header {
    const MARK: u64 = 0x7770;

    pub(crate) fn word(self) -> u64 {
        u64::from(self.len)
            | u64::from(self.kind) << 32
            | u64::from(self.n_parts) << 40
            | Self::MARK << 48
    }

    /// `None` for what no frame begins with.
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a word are taken")]
    pub(crate) fn of_word(word: u64) -> Option<Self> {
        let header =
            Self { len: word as u32, kind: (word >> 32) as u8, n_parts: (word >> 40) as u8 };
        (word >> 48 == Self::MARK && usize::from(header.n_parts) <= MAX_PARTS).then_some(header)
    }

    /// The words that the frame takes.
    pub(crate) fn n_words(self) -> usize {
        1 + 3 * usize::from(self.n_parts) + (self.len as usize).div_ceil(8)
    }
}

/// A frame as it travels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) kind: u8,
    pub(crate) parts: Vec<PartWords>,
    pub(crate) bytes: Vec<u8>,
}

/// What the ring needs of an atomic word; the tests have another kind.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn swap(&self, value: u64, order: Ordering) -> u64;
    fn full_fence();
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.swap(value, order)
    }
    fn full_fence() {
        fence(Ordering::SeqCst);
    }
}

/// Where the words of a ring are.
pub(crate) trait Words {
    type Word: Word;
    fn words(&self) -> &[Self::Word];
}

/// The part of shared memory that one ring takes.
#[derive(Debug, Clone)]
pub(crate) struct SharedWords {
    pub(crate) map: Arc<Racing>,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl Words for SharedWords {
    type Word = AtomicU64;
    fn words(&self) -> &[AtomicU64] {
        &self.map.words()[self.first..self.first + self.len]
    }
}

/// What was written into a ring makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GarbledRing;

/// The side that writes.
#[derive(Debug)]
pub(crate) struct Producer<W> {
    words: W,
    tail: u64,
    /// The head when it was last looked at; the true one is never less.
    head: u64,
    /// Frames that a sleeping consumer was given without a bell.
    n_quiet: u64,
}

impl<W: Words> Producer<W> {
    pub(crate) fn new(words: W) -> Self {
        Self { words, tail: 0, head: 0, n_quiet: 0 }
    }

    fn capacity(&self) -> usize {
        self.words.words().len() - HEADER
    }

    /// The longest frame that goes this way, in words: a quarter, so that several are under way.
    pub(crate) fn max_words(&self) -> usize {
        self.capacity() / 4
    }

    /// Writes a frame if there is room; `Some(true)` when the consumer wants a bell.
    pub(crate) fn push(&mut self, kind: u8, parts: &[PartWords], bytes: &[u8]) -> Option<bool> {
        let capacity = self.capacity() as u64;
        let words = self.words.words();
        #[expect(clippy::cast_possible_truncation, reason = "bounded by `max_words` and MAX_PARTS")]
        let header = Header { len: bytes.len() as u32, kind, n_parts: parts.len() as u8 };
        let end = self.tail + header.n_words() as u64;
        if end - self.head > capacity {
            let head = words[HEAD].load(Ordering::Acquire);
            // A head beyond the tail, or one that goes back, is a peer's lie; then there is no room.
            if head >= self.head && head <= self.tail {
                self.head = head;
            }
            if end - self.head > capacity {
                return None;
            }
        }
        let data = &words[HEADER..];
        let mut at = self.tail;
        let mut put = |word: u64| {
            #[expect(clippy::cast_possible_truncation, reason = "masked")]
            let place = (at & (capacity - 1)) as usize;
            data[place].store(word, Ordering::Relaxed);
            at += 1;
        };
        put(header.word());
        parts.iter().flatten().for_each(|&word| put(word));
        let (whole, rest) = bytes.as_chunks::<8>();
        whole.iter().for_each(|&word| put(u64::from_ne_bytes(word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            put(u64::from_ne_bytes(last));
        }
        self.tail = end;
        words[TAIL].store(end, Ordering::Release);
        W::Word::full_fence();
        let flag = &words[CONSUMER_SLEEPS];
        // The look first, because it leaves the line shared when nobody sleeps.
        let wanted = flag.load(Ordering::Relaxed);
        self.n_quiet = if wanted == 0 { 0 } else { self.n_quiet + 1 };
        if self.n_quiet < wanted {
            return Some(false);
        }
        Some(self.rest())
    }

    /// Whether the consumer wants a bell, now that there are no more frames for the moment.
    pub(crate) fn rest(&mut self) -> bool {
        std::mem::take(&mut self.n_quiet) > 0 && take_flag(&self.words.words()[CONSUMER_SLEEPS])
    }

    /// Asks for a bell when there is more room; false if there is some by now.
    pub(crate) fn wait_for_room(&mut self) -> bool {
        let words = self.words.words();
        words[PRODUCER_WAITS].swap(1, Ordering::AcqRel);
        W::Word::full_fence();
        words[HEAD].load(Ordering::Acquire) == self.head
    }
}

/// Whether the flag was set; it is not afterwards.
fn take_flag<W: Word>(flag: &W) -> bool {
    // As in `push`.
    flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::AcqRel) != 0
}

/// The side that reads.
#[derive(Debug)]
pub(crate) struct Consumer<W> {
    words: W,
    head: u64,
}

impl<W: Words> Consumer<W> {
    pub(crate) fn new(words: W) -> Self {
        Self { words, head: 0 }
    }

    /// Whether there is something to read.
    pub(crate) fn is_ready(&self) -> bool {
        self.words.words()[TAIL].load(Ordering::Relaxed) != self.head
    }

    /// Takes a frame; the flag says whether the producer wants a bell.
    pub(crate) fn pop(&mut self) -> Result<Option<(RawFrame, bool)>, GarbledRing> {
        let words = self.words.words();
        let capacity = (words.len() - HEADER) as u64;
        let tail = words[TAIL].load(Ordering::Acquire);
        if tail == self.head {
            return Ok(None);
        }
        let there = tail.wrapping_sub(self.head);
        if there > capacity {
            return Err(GarbledRing);
        }
        let data = &words[HEADER..];
        let mut at = self.head;
        let mut get = || {
            #[expect(clippy::cast_possible_truncation, reason = "masked")]
            let place = (at & (capacity - 1)) as usize;
            at += 1;
            data[place].load(Ordering::Relaxed)
        };
        let header = Header::of_word(get()).ok_or(GarbledRing)?;
        if header.n_words() as u64 > there {
            return Err(GarbledRing);
        }
        let parts = (0..header.n_parts).map(|_| [get(), get(), get()]).collect();
        let len = header.len as usize;
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        for _ in 0..len.div_ceil(8) {
            bytes.extend_from_slice(&get().to_ne_bytes());
        }
        bytes.truncate(len);
        self.head += header.n_words() as u64;
        words[HEAD].store(self.head, Ordering::Release);
        W::Word::full_fence();
        let waits = take_flag(&words[PRODUCER_WAITS]);
        Ok(Some((RawFrame { kind: header.kind, parts, bytes }, waits)))
    }

    /// Asks for a bell when so many frames have come, at least 1, or fewer and the producer rests;
    /// false if something is there by now.
    pub(crate) fn fall_asleep(&self, n_frames: u32) -> bool {
        let words = self.words.words();
        words[CONSUMER_SLEEPS].swap(n_frames.max(1).into(), Ordering::AcqRel);
        W::Word::full_fence();
        words[TAIL].load(Ordering::Relaxed) == self.head
    }

    /// Takes the wish for a bell back.
    pub(crate) fn wake_up(&self) {
        self.words.words()[CONSUMER_SLEEPS].swap(0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(words: usize) -> (Producer<SharedWords>, Consumer<SharedWords>, Arc<Racing>) {
        let map = Arc::new(Racing::create("test", (HEADER + words) * 8).unwrap());
        let shared = SharedWords { map: Arc::clone(&map), first: 0, len: HEADER + words };
        (Producer::new(shared.clone()), Consumer::new(shared), map)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let (mut producer, mut consumer, _map) = ring(64);
        for round in 0..500_usize {
            let bytes: Vec<u8> = (0..round % 97).map(|i| (i * 7 + round) as u8).collect();
            let parts: Vec<PartWords> = (0..round as u64 % 3).map(|i| [i, 1 << 40, i]).collect();
            assert_eq!(producer.push(9, &parts, &bytes), Some(false));
            let (frame, waits) = consumer.pop().unwrap().unwrap();
            assert_eq!(frame, RawFrame { kind: 9, parts, bytes });
            assert!(!waits);
            assert_eq!(consumer.pop(), Ok(None));
        }
    }

    #[test]
    fn a_full_ring_takes_no_more_until_read() {
        let (mut producer, mut consumer, _map) = ring(16);
        let mut n = 0_u8;
        while producer.push(1, &[], &[n; 8]).is_some() {
            n += 1;
        }
        assert_eq!(n, 8);
        assert!(producer.wait_for_room());
        let (frame, waits) = consumer.pop().unwrap().unwrap();
        assert_eq!((frame.bytes, waits), (vec![0; 8], true));
        assert!(producer.push(1, &[], &[n; 8]).is_some());
        for expected in 1..=n {
            assert_eq!(consumer.pop().unwrap().unwrap().0.bytes, [expected; 8]);
        }
    }

    #[test]
    fn the_bell_is_for_several_frames_or_for_the_rest() {
        let (mut producer, mut consumer, _map) = ring(64);
        let push = |producer: &mut Producer<SharedWords>| producer.push(1, &[], &[]).unwrap();
        assert!(!push(&mut producer) && !producer.rest(), "nobody sleeps");
        assert!(!consumer.fall_asleep(3), "something is there");
        assert!([false, false, true, false].map(|rung| push(&mut producer) == rung) == [true; 4]);
        assert!(!producer.rest());
        while consumer.pop().unwrap().is_some() {}
        assert!(consumer.fall_asleep(3));
        assert!(!push(&mut producer) && producer.rest() && !producer.rest());
        consumer.wake_up();
        assert!(!push(&mut producer) && !producer.rest());
    }

    /// Random words anywhere in the ring: refused or read as some frame, never a panic.
    #[test]
    fn garbage_is_refused() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state ^ state >> 29
        };
        let mut n_refused = 0;
        for _ in 0..5000 {
            let (mut producer, mut consumer, map) = ring(16);
            producer.push(1, &[], b"frame").unwrap();
            let place = [TAIL, HEAD, CONSUMER_SLEEPS, PRODUCER_WAITS, HEADER, HEADER + 1];
            let place = place[random() as usize % place.len()];
            let word = if random() % 2 == 0 { random() } else { random() % 40 };
            map.words()[place].store(word, Ordering::Relaxed);
            n_refused += usize::from(consumer.pop().is_err());
            let _room = producer.push(1, &[], b"another");
        }
        assert!(n_refused > 1000, "{n_refused}");
    }

    mod every_interleaving {
        use loom::sync::atomic::AtomicU64 as LoomU64;
        use loom::sync::{Arc, Condvar, Mutex};

        use super::super::*;

        impl Word for LoomU64 {
            fn load(&self, order: Ordering) -> u64 {
                self.load(order)
            }
            fn store(&self, value: u64, order: Ordering) {
                self.store(value, order);
            }
            fn swap(&self, value: u64, order: Ordering) -> u64 {
                self.swap(value, order)
            }
            fn full_fence() {
                loom::sync::atomic::fence(Ordering::SeqCst);
            }
        }

        #[derive(Clone)]
        struct Model(Arc<Vec<LoomU64>>);

        impl Words for Model {
            type Word = LoomU64;
            fn words(&self) -> &[LoomU64] {
                &self.0
            }
        }

        /// As an eventfd: a ring before the wait counts.
        struct Bell(Mutex<bool>, Condvar);

        impl Bell {
            fn ring(&self) {
                *self.0.lock().unwrap() = true;
                self.1.notify_one();
            }
            fn wait(&self) {
                let mut rung = self.0.lock().unwrap();
                while !*rung {
                    rung = self.1.wait(rung).unwrap();
                }
                *rung = false;
            }
        }

        /// Every interleaving with at most so many changes of the thread that were not asked for.
        fn model(capacity: usize, n_frames: u8, n_preemptions: usize, batch: u32) {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(n_preemptions);
            builder.check(move || {
                let words = (0..HEADER + capacity).map(|_| LoomU64::new(0)).collect();
                let words = Model(Arc::new(words));
                let bells = || Arc::new(Bell(Mutex::new(false), Condvar::new()));
                let (to_consumer, to_producer) = (bells(), bells());
                let writer = {
                    let words = words.clone();
                    let (to_consumer, own) = (Arc::clone(&to_consumer), Arc::clone(&to_producer));
                    loom::thread::spawn(move || {
                        let mut producer = Producer::new(words);
                        for n in 0..n_frames {
                            let wanted = loop {
                                if let Some(wanted) = producer.push(1, &[], &[n]) {
                                    break wanted;
                                }
                                if producer.rest() {
                                    to_consumer.ring();
                                }
                                if producer.wait_for_room() {
                                    own.wait();
                                }
                            };
                            if wanted {
                                to_consumer.ring();
                            }
                        }
                        if producer.rest() {
                            to_consumer.ring();
                        }
                    })
                };
                let mut consumer = Consumer::new(words);
                for n in 0..n_frames {
                    let frame = loop {
                        if let Some((frame, waits)) = consumer.pop().unwrap() {
                            if waits {
                                to_producer.ring();
                            }
                            break frame;
                        }
                        if consumer.fall_asleep(batch) {
                            to_consumer.wait();
                        }
                        consumer.wake_up();
                    };
                    assert_eq!(frame.bytes, [n]);
                }
                writer.join().unwrap();
            });
        }

        /// Loom finds a frame that is torn, and a side that sleeps for ever (as a deadlock).
        #[test]
        fn frames_arrive_and_nobody_is_left_asleep() {
            model(4, 2, 3, 1);
        }

        #[test]
        fn a_full_ring_leaves_nobody_asleep() {
            model(2, 3, 3, 1);
        }

        /// Who wants its bell late gets one nevertheless, at the latest when the other side rests.
        #[test]
        fn a_bell_for_several_frames_is_rung() {
            model(4, 2, 3, 2);
            model(2, 3, 3, 5);
            model(8, 3, 2, 2);
        }
    }
}
