//! Frames in a Unix socket: the same words as in a ring, with descriptors beside them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::channel::part::has_fd;
use crate::sync::spsc::{Header, MAX_PARTS, PartWords, RawFrame};

/// A frame as the bytes of a stream.
pub(crate) fn encode(kind: u8, parts: &[PartWords], bytes: &[u8]) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "checked by `Link::send`")]
    let header = Header { len: bytes.len() as u32, kind, n_parts: parts.len() as u8 };
    let mut out = Vec::with_capacity(header.n_words() * 8);
    out.extend_from_slice(&header.word().to_ne_bytes());
    parts.iter().flatten().for_each(|word| out.extend_from_slice(&word.to_ne_bytes()));
    out.extend_from_slice(bytes);
    out.resize(header.n_words() * 8, 0);
    out
}

/// Sends as much as goes without waiting; descriptors go with the first byte.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PARTS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOBIG);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What a stream holds is not a frame, or one that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamFault {
    Garbled,
    TooLong(usize),
}

/// Puts frames together from what has arrived.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    /// Where the first frame begins that was not taken yet.
    begin: usize,
    pub(crate) fds: VecDeque<OwnedFd>,
    /// Nothing will come any more.
    pub(crate) ended: bool,
    max_frame: usize,
}

impl FrameReader {
    pub(crate) fn new(max_frame: usize) -> Self {
        Self { buffer: Vec::new(), begin: 0, fds: VecDeque::new(), ended: false, max_frame }
    }

    pub(crate) fn set_max_frame(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    /// Reads what is there without waiting, but not much more than a frame, and no more descriptors
    /// than a process can well have.
    pub(crate) fn fill(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        if self.begin > 0 {
            self.buffer.drain(..self.begin);
            self.begin = 0;
        }
        let mut chunk = [0_u8; 1 << 14];
        while !self.ended
            && self.buffer.len() <= self.max_frame + chunk.len()
            && self.fds.len() < 4 * MAX_PARTS
        {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PARTS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut buffers = [std::io::IoSliceMut::new(&mut chunk)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let got = rustix::net::recvmsg(socket.as_fd(), &mut buffers, &mut control, flags);
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            match got {
                Ok(got) if got.bytes == 0 => self.ended = true,
                Ok(got) => self.buffer.extend_from_slice(&chunk[..got.bytes]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // The other side is gone, with bytes of ours unread.
                Err(Errno::CONNRESET) => self.ended = true,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// The header of the next frame, when it has arrived.
    pub(crate) fn header(&self) -> Result<Option<Header>, StreamFault> {
        let Some(word) = self.buffer[self.begin..].first_chunk::<8>() else { return Ok(None) };
        let header = Header::of_word(u64::from_ne_bytes(*word)).ok_or(StreamFault::Garbled)?;
        if header.len as usize > self.max_frame {
            return Err(StreamFault::TooLong(header.len as usize));
        }
        Ok(Some(header))
    }

    /// Takes the next frame, when all of it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<RawFrame>, StreamFault> {
        let Some(header) = self.header()? else { return Ok(None) };
        let Some(frame) = self.buffer[self.begin..].get(8..header.n_words() * 8) else {
            return Ok(None);
        };
        let (words, rest) = frame.as_chunks::<8>();
        debug_assert!(rest.is_empty(), "whole words");
        let (parts, _) = words[..3 * usize::from(header.n_parts)].as_chunks::<3>();
        let parts: Vec<PartWords> = parts.iter().map(|part| part.map(u64::from_ne_bytes)).collect();
        let bytes = frame[24 * parts.len()..][..header.len as usize].to_vec();
        if parts.iter().filter(|part| has_fd(part)).count() > self.fds.len() {
            return Err(StreamFault::Garbled);
        }
        self.begin += header.n_words() * 8;
        if self.begin == self.buffer.len() {
            self.buffer.clear();
            self.begin = 0;
        }
        Ok(Some(RawFrame { kind: header.kind, parts, bytes }))
    }
}
