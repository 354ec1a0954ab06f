//! Mapped memory: every unsafe step of this crate's shared memory is in this file.
//!
//! Three kinds of mapping, by who may write while somebody else looks:
//!
//! - [`Racing`]: several processes read and write at will. It is touched through atomics, or copied
//!   by an instruction that the compiler knows nothing about, so that no write of another process
//!   breaks a promise that was made to the compiler; the worst that a peer can do is other bytes.
//! - [`Sole`]: the memory of a file that only this mapping can write, because the kernel was told so
//!   (`F_SEAL_FUTURE_WRITE`). References to it are sound, whatever other processes do.
//! - [`Constant`]: a file that nobody can write any more (`F_SEAL_WRITE`); the same.
//!
//! No file here can shrink (`F_SEAL_SHRINK`), so no read inside its length ends in `SIGBUS`.

#![expect(unsafe_code, reason = "pointers into mapped memory are followed here, and only here")]

use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{Mmap, MmapMut, MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags};

/// Makes a file of `len` bytes without a name, in memory; it can be sealed.
pub(crate) fn memory_file(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len as u64)?;
    Ok(fd)
}

/// The length of a file that is sealed at least by `seals`.
fn sealed_len(fd: &OwnedFd, seals: SealFlags) -> io::Result<usize> {
    let found = rustix::fs::fcntl_get_seals(fd)?;
    if !found.contains(seals) {
        let text = format!("shared memory has the seals {found:?}, not {seals:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let len = rustix::fs::fstat(fd)?.st_size;
    match usize::try_from(len) {
        Ok(len) => Ok(len),
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("shared memory of {len} bytes")))
        }
    }
}

fn check(range: &Range<usize>, len: usize) {
    assert!(range.start <= range.end && range.end <= len, "{range:?} is not within 0..{len}");
}

/// Copies bytes that another process may be writing at this moment.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `len` bytes, and they do not overlap.
unsafe fn copy_racing(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise is all that the instruction needs; the direction flag is clear
    // by the calling convention. The compiler does not look into it, so that it assumes nothing
    // about bytes that change meanwhile.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for at in 0..len {
        use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
        // SAFETY: `at < len`, and a byte is always aligned; one of the two sides is private
        // memory, for which an atomic access is as good as any.
        unsafe {
            let byte = (*from.add(at).cast::<AtomicU8>()).load(Relaxed);
            (*to.add(at).cast::<AtomicU8>()).store(byte, Relaxed);
        }
    }
}

/// What is at least this long is worth large pages.
const LONG: usize = 4 << 20;
/// The length and alignment of a large page, where there are some; advice for others is no error.
const LARGE_PAGE: usize = 2 << 20;

/// Asks for large pages where many bytes are about to be written: new memory costs more by its
/// pages than by its bytes.
fn expect_many(bytes: &mut [u8]) {
    let range = bytes.as_mut_ptr_range();
    let skipped = range.start.align_offset(LARGE_PAGE);
    if bytes.len() < LONG || skipped >= bytes.len() {
        return;
    }
    let len = (bytes.len() - skipped) / LARGE_PAGE * LARGE_PAGE;
    // SAFETY: the range is within `bytes`; the advice says how its pages are to be had and never
    // changes what is in them. A system that has no such pages may refuse it.
    let _taken = unsafe {
        let start = range.start.add(skipped).cast();
        rustix::mm::madvise(start, len, rustix::mm::Advice::LinuxHugepage)
    };
}

/// Memory that several processes write; see the head of this file.
#[derive(Debug)]
pub(crate) struct Racing {
    map: MmapRaw,
    fd: OwnedFd,
}

impl Racing {
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

    /// New memory of at least `len` bytes, all zero.
    pub(crate) fn create(name: &str, len: usize) -> io::Result<Self> {
        let fd = memory_file(name, len.next_multiple_of(4096).max(4096))?;
        rustix::fs::fcntl_add_seals(&fd, Self::SEALS)?;
        Self::open(fd)
    }

    /// The memory of another process.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Self> {
        let len = sealed_len(&fd, Self::SEALS)?;
        let map = MmapOptions::new().len(len).map_raw(&fd)?;
        Ok(Self { map, fd })
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// All of it as words.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: a mapping begins at a page, so it is aligned; it has `len` bytes, which can not
        // become fewer, for as long as `self` lives; whoever else writes does so to the words of an
        // atomic, or by bytes that we can only mistake for other values.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / 8) }
    }

    /// All of it as half words.
    pub(crate) fn words32(&self) -> &[AtomicU32] {
        // SAFETY: as in `words`.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / 4) }
    }

    /// Copies bytes in; panics when they do not fit.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        check(&(offset..offset.saturating_add(bytes.len())), self.len());
        // SAFETY: the range was just checked; a mapping does not overlap what `bytes` refers to,
        // since no reference to a mapping of this kind is ever given out.
        unsafe { copy_racing(bytes.as_ptr(), self.map.as_mut_ptr().add(offset), bytes.len()) }
    }

    /// Copies bytes out; panics when there are not as many.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        check(&(offset..offset.saturating_add(bytes.len())), self.len());
        // SAFETY: as in `write`.
        unsafe { copy_racing(self.map.as_ptr().add(offset), bytes.as_mut_ptr(), bytes.len()) }
    }
}

/// Memory that this process alone writes, and others read; see the head of this file.
#[derive(Debug)]
pub(crate) struct Sole {
    map: MmapRaw,
    fd: OwnedFd,
}

impl Sole {
    const SEALS: SealFlags =
        SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE);

    pub(crate) fn create(name: &str, len: usize) -> io::Result<Self> {
        let fd = memory_file(name, len)?;
        let map = MmapOptions::new().len(len).map_raw(&fd)?;
        // A child that is forked without exec would have this very mapping, and could write it.
        map.advise(memmap2::Advice::DontFork)?;
        // From here on no other mapping can be written, nor the file itself.
        rustix::fs::fcntl_add_seals(&fd, Self::SEALS | SealFlags::SEAL)?;
        Ok(Self { map, fd })
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// # Safety
    ///
    /// As long as the slice lives, no mutable slice of this process overlaps the range.
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        check(&range, self.len());
        // SAFETY: the range was checked; only this mapping can write the memory, and by the
        // caller's promise nobody does through it.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(range.start), range.len()) }
    }

    /// # Safety
    ///
    /// As long as the slice lives, no other slice of this process overlaps the range.
    #[expect(clippy::mut_from_ref, reason = "the ranges are apart by the caller's promise")]
    pub(crate) unsafe fn slice_mut(&self, range: Range<usize>) -> &mut [u8] {
        check(&range, self.len());
        // SAFETY: the range was checked; no other process can write the memory, and by the caller's
        // promise nobody here looks at it. Other processes that read meanwhile do so by
        // `copy_racing`, and it is they who get garbled bytes.
        unsafe {
            std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(range.start), range.len())
        }
    }
}

/// Memory that another process writes, and this one reads; see [`Sole`].
#[derive(Debug)]
pub(crate) struct Foreign {
    map: MmapRaw,
}

impl Foreign {
    pub(crate) fn open(fd: &OwnedFd) -> io::Result<Self> {
        let len = sealed_len(fd, SealFlags::SHRINK)?;
        Ok(Self { map: MmapOptions::new().len(len).map_raw_read_only(fd)? })
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Copies bytes out; panics when there are not as many.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        check(&(offset..offset.saturating_add(bytes.len())), self.len());
        expect_many(bytes);
        // SAFETY: the range was just checked, and no reference to the mapping is given out.
        unsafe { copy_racing(self.map.as_ptr().add(offset), bytes.as_mut_ptr(), bytes.len()) }
    }
}

/// Memory that nobody can write any more; see the head of this file.
#[derive(Debug)]
pub(crate) struct Constant {
    /// None of no bytes, which can not be mapped.
    map: Option<Mmap>,
}

impl Constant {
    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::WRITE);

    pub(crate) fn open(fd: &OwnedFd) -> io::Result<Self> {
        let len = sealed_len(fd, Self::SEALS)?;
        if len == 0 {
            return Ok(Self { map: None });
        }
        // A private mapping, since kernels before 6.7 refuse a shared one of a sealed file.
        // SAFETY: the kernel says that nobody can write or shrink the file, now or later.
        let map = unsafe { MmapOptions::new().len(len).map_copy_read_only(fd)? };
        Ok(Self { map: Some(map) })
    }
}

impl Deref for Constant {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

/// Memory that only this process knows of yet, and that becomes [`Constant`].
#[derive(Debug)]
pub(crate) struct Unsealed {
    map: Option<MmapMut>,
    fd: OwnedFd,
}

impl Unsealed {
    pub(crate) fn create(name: &str, len: usize) -> io::Result<Self> {
        let fd = memory_file(name, len)?;
        if len == 0 {
            return Ok(Self { map: None, fd });
        }
        // SAFETY: the file was just made, has no name, and its descriptor is not given out before
        // it is sealed; so nobody else can touch it.
        let map = unsafe { MmapOptions::new().len(len).map_mut(&fd)? };
        Ok(Self { map: Some(map), fd })
    }

    /// Ends all writing.
    pub(crate) fn seal(self) -> io::Result<OwnedFd> {
        // The kernel refuses the seal while a mapping can be written.
        drop(self.map);
        let seals = Constant::SEALS | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&self.fd, seals)?;
        Ok(self.fd)
    }
}

impl Deref for Unsealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Unsealed {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}
