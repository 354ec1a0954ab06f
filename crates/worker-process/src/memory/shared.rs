use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::memory::map::Racing;

/// Memory that several processes read and write, by copying.
///
/// Nothing here orders the accesses; a [`Barrier`](crate::Barrier), or a frame, does. Bytes that
/// are written while they are read come out as any mixture of old and new, and that is all that can
/// happen: no reference to the memory is ever given out. It can not be made smaller by anybody.
/// A clone is the same memory.
#[derive(Debug, Clone)]
pub struct SharedMemory {
    pub(crate) map: Arc<Racing>,
}

impl SharedMemory {
    /// New memory of at least `len` bytes (whole pages), all zero.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn create(len: usize) -> io::Result<Self> {
        Ok(Self { map: Arc::new(Racing::create("polychron-shared", len)?) })
    }

    /// The memory that another process created, by the descriptor that came with a frame.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) when it is not such memory; what the system says
    /// otherwise.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { map: Arc::new(Racing::open(fd)?) })
    }

    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The descriptor to send to whoever is to share it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    ///
    /// When they do not fit.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        self.map.write(offset, bytes);
    }

    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.map.read(offset, bytes);
    }
}
