//! One end of the stream of frames between a parent and a worker.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use thiserror::Error;

use crate::channel::part::{Part, Received, has_fd, receive};
use crate::channel::socket::{FrameReader, StreamFault, encode, send};
use crate::channel::wire;
use crate::memory::SegmentId;
use crate::memory::map::{Foreign, Racing};
use crate::sync::spsc::{Consumer, HEADER, MAX_PARTS, PartWords, Producer, RawFrame, SharedWords};
use crate::sync::wait::Bell;

/// Why a frame could not be sent or received.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// What arrived is not what this crate sends.
    #[error("the other side sent what is not a frame: {what}")]
    Garbled {
        /// What was found.
        what: String,
    },
    /// A frame is longer than was agreed.
    #[error("a frame of {len} bytes is longer than {max}")]
    TooLong {
        /// Its length in bytes, without its parts.
        len: usize,
        /// The longest that is allowed: `PoolConfig::max_frame`.
        max: usize,
    },
    /// More parts go with a frame than can.
    #[error("{n_parts} parts go with a frame, at most {MAX_PARTS} can")]
    TooManyParts {
        /// Their number.
        n_parts: usize,
    },
    /// The other side has not taken what it was sent before; this frame was not accepted.
    #[error("{waiting} bytes wait for a worker that takes none")]
    Backlog {
        /// The bytes that wait.
        waiting: usize,
    },
    /// The other side is gone.
    #[error("the other side is gone")]
    Gone,
    /// The system refused.
    #[error("could not {action}")]
    Io {
        /// What was tried, in the infinitive.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LinkError {
    fn io(action: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Io { action, source: errno.into() }
    }
}

/// What arrives.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Vec<Received>,
}

/// The memory of the two rings between a parent and a worker.
#[derive(Debug)]
pub(crate) struct RingMemory {
    pub(crate) map: Arc<Racing>,
    words: usize,
}

impl RingMemory {
    /// Rings that hold `len` bytes each, rounded up to a power of two.
    pub(crate) fn create(len: usize) -> io::Result<Self> {
        let words = (len / 8).next_power_of_two().max(512);
        let map = Arc::new(Racing::create("polychron-rings", 2 * (HEADER + words) * 8)?);
        Ok(Self { map, words })
    }

    /// The rings that the parent created.
    pub(crate) fn open(fd: OwnedFd, words: usize) -> io::Result<Self> {
        let map = Arc::new(Racing::open(fd)?);
        let needed = words.checked_add(HEADER).and_then(|one| one.checked_mul(16));
        if !words.is_power_of_two() || needed.is_none_or(|needed| needed > map.len()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { map, words })
    }

    pub(crate) fn words(&self) -> usize {
        self.words
    }

    fn ring(&self, number: usize) -> SharedWords {
        let len = HEADER + self.words;
        SharedWords { map: Arc::clone(&self.map), first: number * len, len }
    }
}

#[derive(Debug)]
struct Rings {
    out: Producer<SharedWords>,
    into: Consumer<SharedWords>,
    /// Wakes the other side.
    bell: Bell,
}

/// A frame that found no room in the ring.
#[derive(Debug)]
struct Waiting {
    kind: u8,
    parts: Vec<PartWords>,
    bytes: Vec<u8>,
}

/// A frame on its way into the socket.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// One end of the stream of frames.
///
/// Frames arrive in the order in which they were sent, whichever way they take: small ones go
/// through the ring, long ones and those with descriptors through the socket, and then a mark in
/// the ring holds their place. Before the rings are open all go through the socket.
///
/// Nothing here waits: what does not go out at once is queued until [`Link::flush`].
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: OwnedFd,
    reader: FrameReader,
    rings: Option<Rings>,
    /// The mark was seen, its frame not yet.
    elsewhere: bool,
    for_ring: VecDeque<Waiting>,
    for_socket: VecDeque<Outgoing>,
    /// The bytes in the two queues.
    waiting: usize,
    /// Segments of ours that the other side has.
    told: HashSet<SegmentId>,
    /// Segments of the other side.
    segments: HashMap<SegmentId, Arc<Foreign>>,
    max_frame: usize,
    gone: bool,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd, max_frame: usize) -> Self {
        Self {
            socket,
            reader: FrameReader::new(max_frame),
            rings: None,
            elsewhere: false,
            for_ring: VecDeque::new(),
            for_socket: VecDeque::new(),
            waiting: 0,
            told: HashSet::new(),
            segments: HashMap::new(),
            max_frame,
            gone: false,
        }
    }

    /// Opens the rings; the parent writes into the first, the worker into the second.
    pub(crate) fn open_rings(&mut self, memory: &RingMemory, is_parent: bool, bell: OwnedFd) {
        let (out, into) = if is_parent { (0, 1) } else { (1, 0) };
        let out = Producer::new(memory.ring(out));
        let into = Consumer::new(memory.ring(into));
        self.rings = Some(Rings { out, into, bell: Bell { fd: bell } });
    }

    pub(crate) fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
        self.reader.set_max_frame(max_frame);
    }

    /// The bytes that wait to go out.
    pub(crate) fn backlog(&self) -> usize {
        self.waiting
    }

    /// Whether the other side closed its end of the socket.
    pub(crate) fn ended(&self) -> bool {
        self.reader.ended
    }

    /// Sends a frame, or queues what does not go out at once.
    pub(crate) fn send(
        &mut self,
        kind: u8,
        bytes: &[u8],
        parts: &[Part<'_>],
    ) -> Result<(), LinkError> {
        if bytes.len() > self.max_frame {
            return Err(LinkError::TooLong { len: bytes.len(), max: self.max_frame });
        }
        if parts.len() > MAX_PARTS {
            return Err(LinkError::TooManyParts { n_parts: parts.len() });
        }
        if self.gone {
            return Err(LinkError::Gone);
        }
        for part in parts {
            if let Part::Lent(lent) = part {
                let segment = lent.segment();
                if self.told.insert(segment.id) {
                    let id = u64::from(segment.id).to_le_bytes();
                    self.put(wire::SEGMENT, &id, &[Part::Fd(segment.fd())])?;
                }
            }
        }
        self.put(kind, bytes, parts)
    }

    fn put(&mut self, kind: u8, bytes: &[u8], parts: &[Part<'_>]) -> Result<(), LinkError> {
        if parts.is_empty() {
            return self.put_words(kind, bytes, &[], &[]);
        }
        let words: Vec<PartWords> = parts.iter().map(Part::words).collect();
        let fds: Vec<BorrowedFd<'_>> = parts.iter().filter_map(Part::fd).collect();
        self.put_words(kind, bytes, &words, &fds)
    }

    fn put_words(
        &mut self,
        kind: u8,
        bytes: &[u8],
        parts: &[PartWords],
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        let n_words = 1 + 3 * parts.len() + bytes.len().div_ceil(8);
        let by_ring = |rings: &Rings| fds.is_empty() && n_words <= rings.out.max_words();
        if self.rings.as_ref().is_some_and(by_ring) {
            self.put_in_ring(kind, bytes, parts);
            return Ok(());
        }
        // The frame before its mark, so that who finds the mark need not wait for the frame.
        self.put_in_socket(encode(kind, parts, bytes), fds)?;
        self.put_in_ring(wire::ELSEWHERE, &[], &[]);
        Ok(())
    }

    fn put_in_ring(&mut self, kind: u8, bytes: &[u8], parts: &[PartWords]) {
        let Some(rings) = &mut self.rings else { return };
        if self.for_ring.is_empty()
            && let Some(wanted) = rings.out.push(kind, parts, bytes)
        {
            if wanted {
                rings.bell.ring();
            }
            return;
        }
        self.waiting += bytes.len();
        self.for_ring.push_back(Waiting { kind, parts: parts.to_vec(), bytes: bytes.to_vec() });
    }

    fn put_in_socket(&mut self, bytes: Vec<u8>, fds: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let sent = if self.for_socket.is_empty() {
            match send(self.socket.as_fd(), &bytes, fds) {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => 0,
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    self.gone = true;
                    return Err(LinkError::Gone);
                }
                Err(other) => return Err(LinkError::io("send a frame")(other)),
            }
        } else {
            0
        };
        if sent == bytes.len() {
            return Ok(());
        }
        let fds = if sent == 0 {
            let copies: Result<Vec<OwnedFd>, io::Error> =
                fds.iter().map(BorrowedFd::try_clone_to_owned).collect();
            let action = "copy a descriptor";
            copies.map_err(|source| LinkError::Io { action, source })?
        } else {
            Vec::new()
        };
        self.waiting += bytes.len() - sent;
        self.for_socket.push_back(Outgoing { bytes, sent, fds });
        Ok(())
    }

    /// Sends what waits, as far as it goes; true when nothing waits any more.
    pub(crate) fn flush(&mut self) -> Result<bool, LinkError> {
        if self.waiting == 0 && self.for_ring.is_empty() {
            return Ok(true);
        }
        if let Some(rings) = &mut self.rings {
            while let Some(frame) = self.for_ring.front() {
                let Some(wanted) = rings.out.push(frame.kind, &frame.parts, &frame.bytes) else {
                    break;
                };
                if wanted {
                    rings.bell.ring();
                }
                self.waiting -= frame.bytes.len();
                self.for_ring.pop_front();
            }
        }
        while let Some(frame) = self.for_socket.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = frame.fds.iter().map(AsFd::as_fd).collect();
            match send(self.socket.as_fd(), &frame.bytes[frame.sent..], &fds) {
                Ok(sent) => {
                    frame.sent += sent;
                    self.waiting -= sent;
                    frame.fds.clear();
                    if frame.sent == frame.bytes.len() {
                        self.for_socket.pop_front();
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    self.gone = true;
                    self.for_socket.clear();
                    self.for_ring.clear();
                    self.waiting = 0;
                    return Err(LinkError::Gone);
                }
                Err(other) => return Err(LinkError::io("send a frame")(other)),
            }
        }
        Ok(self.for_socket.is_empty() && self.for_ring.is_empty())
    }

    /// Whether a look at shared memory finds something to do; cheap.
    pub(crate) fn is_ready(&self) -> bool {
        self.rings.as_ref().is_some_and(|rings| !self.elsewhere && rings.into.is_ready())
    }

    /// Whether the next frame is one that the socket holds only a part of: a look at shared memory
    /// finds nothing then.
    pub(crate) fn awaits_socket(&self) -> bool {
        self.elsewhere
    }

    /// Rings for what the other side was given without a bell, as no more comes for the moment.
    pub(crate) fn rest(&mut self) {
        if let Some(rings) = &mut self.rings
            && rings.out.rest()
        {
            rings.bell.ring();
        }
    }

    /// Asks for a bell from the other side after so many frames, or when it rests; false if there
    /// is something to do by now.
    pub(crate) fn fall_asleep(&mut self, n_frames: u32) -> bool {
        let Some(rings) = &mut self.rings else { return true };
        let nothing_in = self.elsewhere || rings.into.fall_asleep(n_frames);
        let no_room = self.for_ring.is_empty() || rings.out.wait_for_room();
        nothing_in && no_room
    }

    /// Asks for a bell when there is room for what waits; false if there is some by now.
    pub(crate) fn wait_for_room(&mut self) -> bool {
        self.rest();
        let Some(rings) = &mut self.rings else { return true };
        self.for_ring.is_empty() || rings.out.wait_for_room()
    }

    /// What to poll the socket for while there is no room.
    pub(crate) fn poll_fd_out(&self) -> PollFd<'_> {
        let waits = !self.for_socket.is_empty();
        PollFd::new(&self.socket, if waits { PollFlags::OUT } else { PollFlags::empty() })
    }

    /// Takes the wish for a bell back.
    pub(crate) fn wake_up(&self) {
        if let Some(rings) = &self.rings {
            rings.into.wake_up();
        }
    }

    /// What to poll the socket for.
    pub(crate) fn poll_fd(&self) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        // After its end a socket would be ready for ever.
        if !self.reader.ended {
            flags |= PollFlags::IN;
        }
        if !self.for_socket.is_empty() {
            flags |= PollFlags::OUT;
        }
        PollFd::new(&self.socket, flags)
    }

    /// Reads what the socket holds, and refuses what is no frame.
    pub(crate) fn fill(&mut self) -> Result<(), LinkError> {
        self.reader.fill(&self.socket).map_err(LinkError::io("receive a frame"))?;
        self.reader.header().map(drop).map_err(|fault| self.fault(fault))
    }

    fn fault(&self, fault: StreamFault) -> LinkError {
        match fault {
            StreamFault::Garbled => {
                LinkError::Garbled { what: "no frame in the socket".to_owned() }
            }
            StreamFault::TooLong(len) => LinkError::TooLong { len, max: self.max_frame },
        }
    }

    /// Takes the next frame, if it is there.
    pub(crate) fn receive(&mut self) -> Result<Option<Message>, LinkError> {
        loop {
            let frame = match &mut self.rings {
                Some(rings) if !self.elsewhere => {
                    let garbled =
                        |_| LinkError::Garbled { what: "no frame in the ring".to_owned() };
                    let Some((frame, wanted)) = rings.into.pop().map_err(garbled)? else {
                        return Ok(None);
                    };
                    if wanted {
                        rings.bell.ring();
                    }
                    if frame.kind == wire::ELSEWHERE {
                        self.elsewhere = true;
                        continue;
                    }
                    frame
                }
                _ => match self.take_from_socket()? {
                    Some(frame) => {
                        self.elsewhere = false;
                        frame
                    }
                    None => return Ok(None),
                },
            };
            if let Some(message) = self.unpack(frame)? {
                return Ok(Some(message));
            }
        }
    }

    fn take_from_socket(&mut self) -> Result<Option<RawFrame>, LinkError> {
        let mut frame = self.reader.next().map_err(|fault| self.fault(fault))?;
        if frame.is_none() && !self.reader.ended {
            self.fill()?;
            frame = self.reader.next().map_err(|fault| self.fault(fault))?;
        }
        Ok(frame)
    }

    /// The frame with its parts; none for what is between the two ends alone.
    fn unpack(&mut self, frame: RawFrame) -> Result<Option<Message>, LinkError> {
        let garbled = |what: String| LinkError::Garbled { what };
        let RawFrame { kind, parts, bytes } = frame;
        let fds = &mut self.reader.fds;
        let mut received = Vec::with_capacity(parts.len());
        for words in &parts {
            debug_assert!(!has_fd(words) || !fds.is_empty(), "checked by the reader");
            received.push(receive(words, &self.segments, fds).map_err(garbled)?);
        }
        if kind != wire::SEGMENT {
            return Ok(Some(Message { kind, bytes, parts: received }));
        }
        let id = wire::Reader(&bytes).u64().and_then(|id| SegmentId::try_from(id).ok());
        match (id, received.pop()) {
            (Some(id), Some(Received::Fd(fd))) if received.is_empty() => {
                let map = Foreign::open(&fd)
                    .map_err(|source| LinkError::Io { action: "map shared memory", source })?;
                self.segments.insert(id, Arc::new(map));
                Ok(None)
            }
            _ => Err(garbled("a segment without its descriptor".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::memory::{Arena, Frozen};

    fn pair(max_frame: usize, ring: Option<usize>) -> (Link, Link) {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let (mut a, mut b) = (Link::new(a, max_frame), Link::new(b, max_frame));
        if let Some(len) = ring {
            let memory = RingMemory::create(len).unwrap();
            let bell = || Bell::new().unwrap().fd;
            a.open_rings(&memory, true, bell());
            b.open_rings(&memory, false, bell());
        }
        (a, b)
    }

    /// Frames of all sizes, with and without parts, arrive in order, however full the ways are.
    #[test]
    fn the_order_is_kept_over_ring_and_socket() {
        for ring in [None, Some(4096), Some(1 << 16)] {
            let (mut a, mut b) = pair(1 << 20, ring);
            let arena = Arena::new();
            let frozen = Frozen::copy_of(b"never again").unwrap();
            let mut lent = Vec::new();
            let mut received = 0_usize;
            let mut receive_some = |a: &mut Link, b: &mut Link, until: usize| {
                while received < until {
                    a.flush().unwrap();
                    let Some(message) = b.receive().unwrap() else { continue };
                    let len = received * received % 30_000;
                    assert_eq!(message.bytes.len(), len, "frame {received}");
                    assert!(message.bytes.iter().all(|&byte| byte == received as u8));
                    match (received % 7, message.parts.as_slice()) {
                        (3, [Received::Frozen(frozen), Received::View(view)]) => {
                            assert_eq!(&**frozen, b"never again");
                            assert_eq!(view.to_vec(), received.to_le_bytes());
                        }
                        (5, [Received::View(view)]) => {
                            assert_eq!(view.to_vec(), received.to_le_bytes());
                        }
                        (_, []) => {}
                        other => panic!("frame {received} came with {other:?}"),
                    }
                    received += 1;
                }
            };
            for n in 0..600_usize {
                let bytes = vec![n as u8; n * n % 30_000];
                let mut draft = arena.draft(8).unwrap();
                draft.copy_from_slice(&n.to_le_bytes());
                lent.push(draft.lend());
                let piece = Part::Lent(lent.last().unwrap());
                match n % 7 {
                    3 => a.send(wire::USER, &bytes, &[Part::Frozen(&frozen), piece]).unwrap(),
                    5 => a.send(wire::USER, &bytes, &[piece]).unwrap(),
                    _ => a.send(wire::USER, &bytes, &[]).unwrap(),
                }
                if n % 100 == 99 {
                    receive_some(&mut a, &mut b, n - 50);
                }
            }
            receive_some(&mut a, &mut b, 600);
            assert_eq!(a.backlog(), 0);
            assert!(b.receive().unwrap().is_none());
        }
    }

    #[test]
    fn garbage_and_long_frames_are_refused() {
        let (a, mut b) = pair(1000, None);
        send(a.socket.as_fd(), b"what is this, a frame?", &[]).unwrap();
        assert!(matches!(b.receive(), Err(LinkError::Garbled { .. })));

        let (mut a, mut b) = pair(1000, Some(4096));
        let too_long = a.send(wire::USER, &[0; 1001], &[]);
        assert!(matches!(too_long, Err(LinkError::TooLong { len: 1001, max: 1000 })));
        let long = encode(wire::USER, &[], &[0; 2000]);
        send(a.socket.as_fd(), &long, &[]).unwrap();
        assert!(matches!(b.fill(), Err(LinkError::TooLong { len: 2000, max: 1000 })));

        // A part that refers to what was never shared, and one without its descriptor.
        for part in [[1 | 77 << 32, 0, 8], [2, 0, 8], [3, 0, 0], [9, 9, 9]] {
            let (a, mut b) = pair(1000, None);
            send(a.socket.as_fd(), &encode(wire::USER, &[part], b"x"), &[]).unwrap();
            assert!(matches!(b.receive(), Err(LinkError::Garbled { .. })), "{part:?}");
        }
    }

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (a, mut b) = pair(1000, None);
        drop(a);
        assert!(b.receive().unwrap().is_none());
        assert!(b.ended());
        assert!(matches!(b.send(wire::USER, b"hello", &[]), Err(LinkError::Gone)));
    }
}
