use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::memory::map::{Constant, Unsealed};

/// Bytes that no process can change any more, shared without a copy.
///
/// The kernel keeps the promise (`F_SEAL_WRITE`), so that a plain `&[u8]` is sound here, whoever
/// sent it. Sending one takes the same time for any length: a descriptor goes over, and the other
/// side maps the same pages. A clone is the same memory.
#[derive(Debug, Clone)]
pub struct Frozen {
    inner: Arc<(Constant, OwnedFd)>,
}

impl Frozen {
    /// A copy of `bytes`; [`FrozenDraft`] does without the copy.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let mut draft = FrozenDraft::new(bytes.len())?;
        draft.copy_from_slice(bytes);
        draft.freeze()
    }

    /// What another process froze, by the descriptor that came with a frame.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) when it is not sealed.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { inner: Arc::new((Constant::open(&fd)?, fd)) })
    }

    /// The descriptor to send to whoever is to share it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.1.as_fd()
    }
}

impl Deref for Frozen {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.inner.0
    }
}

/// Memory that becomes a [`Frozen`] once it is filled; it begins as zeros.
#[derive(Debug)]
pub struct FrozenDraft {
    inner: Unsealed,
}

impl FrozenDraft {
    /// Memory of `len` bytes; zero is allowed.
    ///
    /// # Errors
    ///
    /// What the system says when there is no memory or descriptor left.
    pub fn new(len: usize) -> io::Result<Self> {
        Ok(Self { inner: Unsealed::create("polychron-frozen", len)? })
    }

    /// Ends all writing, for good and for everybody.
    ///
    /// # Errors
    ///
    /// What the system says when it can not be sealed or mapped.
    pub fn freeze(self) -> io::Result<Frozen> {
        Frozen::open(self.inner.seal()?)
    }
}

impl Deref for FrozenDraft {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.inner
    }
}

impl DerefMut for FrozenDraft {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::map::memory_file;

    #[test]
    fn nobody_can_change_what_is_frozen() {
        let mut draft = FrozenDraft::new(5000).unwrap();
        draft.fill(7);
        let frozen = draft.freeze().unwrap();
        let fd = frozen.fd().try_clone_to_owned().unwrap();
        assert!(memmap2::MmapOptions::new().len(5000).map_raw(&fd).is_err());
        assert!(rustix::io::pwrite(&fd, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
        let other = Frozen::open(fd).unwrap();
        drop(frozen);
        assert_eq!(*other, [7; 5000]);
    }

    #[test]
    fn nothing_can_be_frozen_too() {
        let frozen = Frozen::copy_of(b"").unwrap();
        assert!(frozen.is_empty());
        assert!(Frozen::open(frozen.fd().try_clone_to_owned().unwrap()).unwrap().is_empty());
    }

    /// Memory that somebody may still write is not taken for frozen, whoever sent it.
    #[test]
    fn what_is_not_sealed_is_refused() {
        let refused = |fd: OwnedFd| Frozen::open(fd).unwrap_err().kind();
        let open = memory_file("test", 100).unwrap();
        assert_eq!(refused(open), io::ErrorKind::InvalidData);
        let shared = crate::SharedMemory::create(100).unwrap();
        let shared = shared.fd().try_clone_to_owned().unwrap();
        assert_eq!(refused(shared), io::ErrorKind::InvalidData);
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let pipe = io::pipe().unwrap().0;
        for other in [OwnedFd::from(file), OwnedFd::from(pipe)] {
            assert!(Frozen::open(other.try_clone().unwrap()).is_err());
            assert!(crate::SharedMemory::open(other).is_err());
        }
    }
}
