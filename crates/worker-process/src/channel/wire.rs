//! What the frames of the handshake hold, as bytes.

/// A frame of the user's.
pub(crate) const USER: u8 = 1;
/// Worker to parent, first: who I am.
pub(crate) const HELLO: u8 = 2;
/// Parent to worker: begin.
pub(crate) const WELCOME: u8 = 3;
/// From a worker whose program never called the entry function.
pub(crate) const NO_ENTRY: u8 = 4;
/// A segment of the sender's arena, before the first frame that refers to it.
pub(crate) const SEGMENT: u8 = 5;
/// Parent to worker: come to an end.
pub(crate) const SHUTDOWN: u8 = 6;
/// In the ring: the next frame is in the socket.
pub(crate) const ELSEWHERE: u8 = 7;

/// Puts values one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u128(&mut self, value: u128) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }
}

/// Takes values one after the other; `None` when there are no more.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        Some(u128::from_le_bytes(self.take(16)?.try_into().ok()?))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u64()?).ok()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}
