//! What a manager and its workers say to each other.

use pm_api::backend::Fault;
use serde::{Deserialize, Serialize};

/// Up to this length values go in the frame; longer ones beside it, in an arena.
pub(crate) const INLINE: usize = 12 << 10;

/// What the manager says. Bytes that belong to it follow in the frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order<'a> {
    /// Listen for cancelling at the pipe that comes along; so does the board. The first order.
    Listen,
    /// A run begins, whose arguments follow or come along frozen.
    Begin {
        /// Its number, by which it is cancelled.
        run: u64,
        task: &'a str,
        rank: usize,
        n_workers: usize,
        seed: u64,
        group: Group,
    },
    /// A chunk, whose parameters follow or come along.
    Chunk {
        start: usize,
        end: usize,
        attempt: u32,
        limit_ns: Option<u64>,
        /// How many answers with outputs the manager has taken in, in this run.
        n_seen: u64,
    },
    /// Take chunks from the board until there are none.
    Board {
        /// As above.
        n_seen: u64,
    },
    /// An array comes along frozen, for which this number stands in what is encoded from now on.
    Share { id: u64 },
    /// Nothing that is encoded from now on has these arrays.
    Forget { ids: Vec<u64> },
    /// The run is over.
    End,
}

/// Whether a worker is in the group of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Group {
    /// It is the only worker.
    Alone,
    /// The memory of the group comes along.
    Member,
    /// The worker that was in it died, and this one takes the place of it at the tasks alone.
    Gone,
}

/// What a worker says. The number of a chunk is that by which it was on the board, 0 for others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The run has begun here, and its times begin with it; the first answer where there are any.
    Timed,
    /// The model for the chunk is there.
    Built,
    /// The chunk is done; the outputs follow or come along.
    Done { number: u64, took_ns: u64 },
    /// The chunk failed.
    Failed { number: u64, fault: Fault, took_ns: u64 },
    /// There is no model for the chunk; the worker takes no more of this run.
    NoModel { fault: Fault },
    /// The run was cancelled before the chunk was begun.
    NotBegun { number: u64 },
    /// There is nothing for this worker on the board.
    NothingThere,
    /// The run is over here as well; the report of its watch follows if there is one.
    Ended { has_report: bool },
}

/// A frame of something and the bytes that follow it.
pub(crate) fn frame<T: Serialize>(what: &T, bytes: &[u8]) -> Vec<u8> {
    let frame = Vec::with_capacity(64 + bytes.len());
    // Only a type that fails by itself could fail here, and none of the above does.
    let mut frame = postcard::to_extend(what, frame).expect("orders and answers can be encoded");
    frame.extend_from_slice(bytes);
    frame
}

/// What a frame holds, and the bytes that follow it; `None` if it is not of this crate.
pub(crate) fn read<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Option<(T, &'a [u8])> {
    postcard::take_from_bytes(frame).ok()
}

#[cfg(test)]
mod tests {
    use pm_api::FailureKind;

    use super::*;

    #[test]
    fn orders_and_answers_survive_with_what_follows_them() {
        let order = Order::Chunk { start: 3, end: 9, attempt: 2, limit_ns: Some(7), n_seen: 300 };
        let bytes = frame(&order, b"rest");
        let (back, rest): (Order<'_>, _) = read(&bytes).unwrap();
        assert_eq!((format!("{back:?}"), rest), (format!("{order:?}"), &b"rest"[..]));
        let fault = Fault::new(FailureKind::Panic, "why").with_location(Some("a.rs:1:2".into()));
        let bytes = frame(&Answer::Failed { number: 0, fault, took_ns: 5 }, b"");
        let (back, rest): (Answer, _) = read(&bytes).unwrap();
        let Answer::Failed { number: 0, fault, took_ns: 5 } = back else { panic!("{back:?}") };
        assert_eq!((fault.message(), fault.location(), rest.len()), ("why", Some("a.rs:1:2"), 0));
        assert!(read::<Order<'_>>(&[200]).is_none());
    }
}
