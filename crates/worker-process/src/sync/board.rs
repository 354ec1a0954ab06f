//! Work that one process offers to several others, which take it in order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::map::Racing;

/// What this needs of an atomic word; the tests have another kind.
trait Word {
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    /// Whether it was `old`, and is `new` now.
    fn change(&self, old: u64, new: u64) -> bool;
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn store(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    fn change(&self, old: u64, new: u64) -> bool {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// Before the places: where to look next, in a cache line of its own.
const NEXT: usize = 0;
const HEADER: usize = 8;
/// The words of a place: its state, the length of what is in it, and that.
const PLACE: usize = 64;
const STATE: usize = 0;
const LEN: usize = 1;
const DATA: usize = 2;

/// The state of a place: a number, and who has it.
const OFFERED: u64 = 0;
/// Who posted it has taken it back.
const WITHDRAWN: u64 = 0xffff;

fn state(number: u64, by: u64) -> u64 {
    number << 16 | by
}

fn place<W>(words: &[W], number: u64) -> &[W] {
    let n_places = (words.len() - HEADER) / PLACE;
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of places")]
    let at = (number % n_places as u64) as usize;
    &words[HEADER + PLACE * at..][..PLACE]
}

fn post<W: Word>(words: &[W], number: u64, bytes: &[u8]) {
    let place = place(words, number);
    place[LEN].store(bytes.len() as u64);
    for (word, bytes) in place[DATA..].iter().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(whole));
    }
    place[STATE].store(state(number, OFFERED));
}

/// The step by which one of them all gets a number.
fn claim<W: Word>(words: &[W], number: u64, by: u64) -> bool {
    place(words, number)[STATE].change(state(number, OFFERED), state(number, by))
}

fn take<W: Word>(words: &[W], by: u64, bytes: &mut Vec<u8>) -> Option<u64> {
    // What is written there by whoever is mad may send us around, but not for ever.
    for _ in 0..1 << 20 {
        let number = words[NEXT].load();
        let place = place(words, number);
        let found = place[STATE].load();
        if found >> 16 < number {
            return None;
        }
        let mut is_ours = false;
        if found == state(number, OFFERED) {
            bytes.clear();
            let len = usize::try_from(place[LEN].load()).unwrap_or(usize::MAX);
            let len = len.min(8 * (PLACE - DATA));
            for word in &place[DATA..][..len.div_ceil(8)] {
                bytes.extend_from_slice(&word.load().to_ne_bytes());
            }
            bytes.truncate(len);
            // The place is filled again only after this, so that what was read is whole.
            is_ours = claim(words, number, by);
        }
        // Whoever comes next does it if we do not get so far.
        let _moved = words[NEXT].change(number, number + 1);
        if is_ours {
            return Some(number);
        }
    }
    None
}

/// Work that one process offers to several others, which take it in order.
///
/// Where each worker has a queue of its own, what lies in one cannot be done by another, however
/// long the first is busy, and what was offered first may be begun last. Here each takes the next,
/// and nobody waits for anybody: a worker that is killed at any moment leaves the rest to others.
/// Until something is taken, who has posted it may withdraw it.
///
/// Nobody is woken: who finds nothing has to be told when there is something again.
///
/// ```
/// use worker_process::Board;
///
/// let board = Board::create()?;
/// let worker = Board::open(board.fd().try_clone_to_owned()?)?;
/// board.post(1, b"first");
/// board.post(2, b"second");
/// let mut bytes = Vec::new();
/// assert_eq!((worker.take(7, &mut bytes), &bytes[..]), (Some(1), &b"first"[..]));
/// assert_eq!((board.taker(1), board.taker(2)), (Some(7), None));
/// assert!(board.withdraw(2) && !board.withdraw(1));
/// assert_eq!(worker.take(7, &mut bytes), None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Board {
    map: Arc<Racing>,
}

impl Board {
    /// How many numbers may be on the board at once.
    pub const PLACES: u64 = 64;
    /// The most bytes that go by a number.
    pub const MOST: usize = 8 * (PLACE - DATA);

    #[expect(clippy::cast_possible_truncation, reason = "small")]
    const WORDS: usize = HEADER + PLACE * Self::PLACES as usize;

    /// An empty board, whose first number is 1.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn create() -> io::Result<Self> {
        let map = Arc::new(Racing::create("polychron-board", 8 * Self::WORDS)?);
        let board = Self { map };
        Word::store(&board.words()[NEXT], 1);
        Ok(board)
    }

    /// The board of another process, by the descriptor that came with a frame.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) when it is not such memory; what the system says
    /// otherwise.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let map = Racing::open(fd)?;
        if map.len() < 8 * Self::WORDS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { map: Arc::new(map) })
    }

    /// The descriptor to send to whom work is offered.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    fn words(&self) -> &[AtomicU64] {
        &self.map.words()[..Self::WORDS]
    }

    /// Offers something by a number: one more than the last. What was offered 64 numbers before
    /// has to be taken or withdrawn by now.
    ///
    /// # Panics
    ///
    /// When there are more bytes than [`MOST`](Self::MOST).
    pub fn post(&self, number: u64, bytes: &[u8]) {
        assert!(bytes.len() <= Self::MOST, "{} bytes for a place of {}", bytes.len(), Self::MOST);
        post(self.words(), number, bytes);
    }

    /// Takes the next one for worker `worker` of less than 65,000, with the bytes that go by it;
    /// none if there is none.
    #[must_use]
    pub fn take(&self, worker: u16, bytes: &mut Vec<u8>) -> Option<u64> {
        take(self.words(), u64::from(worker) + 1, bytes)
    }

    /// Takes back what nobody has taken; false if somebody has.
    #[must_use]
    pub fn withdraw(&self, number: u64) -> bool {
        claim(self.words(), number, WITHDRAWN)
    }

    /// Who has taken a number that is on the board.
    #[must_use]
    pub fn taker(&self, number: u64) -> Option<u16> {
        let found = Word::load(&place(self.words(), number)[STATE]);
        let by = found & 0xffff;
        let is_taken = found >> 16 == number && by != OFFERED && by != WITHDRAWN;
        is_taken.then(|| u16::try_from(by - 1).unwrap_or_default())
    }

    /// Whether a number is still to be had.
    #[must_use]
    pub fn is_offered(&self, number: u64) -> bool {
        Word::load(&place(self.words(), number)[STATE]) == state(number, OFFERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_taken_once_and_in_order() {
        let board = Board::create().unwrap();
        let mut bytes = vec![1];
        assert_eq!(board.take(0, &mut bytes), None);
        let mut taken = 1;
        for number in 1..1000_u64 {
            let posted = vec![number as u8; number as usize % (Board::MOST + 1)];
            board.post(number, &posted);
            assert!(board.is_offered(number) && board.taker(number).is_none());
            if number % 5 == 0 {
                assert!(board.withdraw(number) && !board.withdraw(number));
            }
            while number - taken > number % (Board::PLACES - 1) {
                if taken % 5 > 0 {
                    let worker = (taken % 3) as u16;
                    assert_eq!(board.take(worker, &mut bytes), Some(taken));
                    assert_eq!(bytes.len(), taken as usize % (Board::MOST + 1));
                    assert!(bytes.iter().all(|&byte| byte == taken as u8));
                    assert_eq!(board.taker(taken), Some(worker));
                    assert!(!board.withdraw(taken) && !board.is_offered(taken));
                }
                taken += 1;
            }
        }
    }

    /// A worker that wrote anything anywhere harms its run, but ends no other process's.
    #[test]
    fn garbage_ends_no_look() {
        let mut random = 1_u64;
        for _ in 0..300 {
            let board = Board::create().unwrap();
            board.post(1, b"x");
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let words = [NEXT, HEADER + PLACE + STATE, HEADER + PLACE + LEN];
            let word = random >> (random % 60);
            Word::store(&board.words()[words[random as usize % 3]], word);
            let mut bytes = Vec::new();
            let _any = board.take(3, &mut bytes);
            assert!(bytes.len() <= Board::MOST);
        }
    }

    mod every_interleaving {
        use loom::sync::Arc;
        use loom::sync::atomic::AtomicU64 as LoomU64;

        use super::super::*;

        impl Word for LoomU64 {
            fn load(&self) -> u64 {
                self.load(Ordering::Acquire)
            }

            fn store(&self, value: u64) {
                self.store(value, Ordering::Release);
            }

            fn change(&self, old: u64, new: u64) -> bool {
                self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            }
        }

        /// One place, used for one number after the other: whoever takes one has its bytes, and
        /// each has one taker, who may be the one that withdraws it.
        #[test]
        fn each_number_has_one_taker_and_its_own_bytes() {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(3);
            builder.check(|| {
                let words = (0..HEADER + PLACE).map(|_| LoomU64::new(0));
                let words: Arc<Vec<LoomU64>> = Arc::new(words.collect());
                words[NEXT].store(1, Ordering::Relaxed);
                post(&words, 1, b"1");
                let theirs = Arc::clone(&words);
                let worker = loom::thread::spawn(move || {
                    let mut bytes = Vec::new();
                    [(); 2].map(|()| take(&theirs, 1, &mut bytes).map(|n| (n, bytes.clone())))
                });
                let first = claim(&words, 1, WITHDRAWN);
                let mut second = None;
                if first {
                    post(&words, 2, b"2");
                    let mut bytes = Vec::new();
                    second = take(&words, 2, &mut bytes);
                    assert!(second.is_none_or(|n| n == 2 && bytes == b"2"));
                }
                let taken: Vec<_> = worker.join().unwrap().into_iter().flatten().collect();
                assert!(taken.iter().all(|(n, bytes)| *bytes == n.to_string().as_bytes()));
                let of = |n: u64| taken.iter().filter(|(taken, _)| *taken == n).count();
                assert_eq!(of(1) + usize::from(first), 1);
                assert!(of(2) + usize::from(second.is_some()) <= 1);
            });
        }
    }
}
