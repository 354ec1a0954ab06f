//! The directory that processes share their times in.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use crate::error::SessionError;
use crate::map;

/// The environment variable that names the session directory; children inherit it.
pub const SESSION_VARIABLE: &str = "POLYCHRON_SESSION";

/// Name of the file with the sums of ended processes.
pub(crate) const RETIRED: &str = "retired.pct";
/// Name of the file whose lock the one holds who folds and removes files.
pub(crate) const LOCK: &str = "lock";
/// How the files of a process begin.
pub(crate) const PROCESS_PREFIX: &str = "p-";
/// How files begin that are still being made.
pub(crate) const NEW_PREFIX: &str = "n-";
/// How all files but the lock end.
pub(crate) const SUFFIX: &str = ".pct";

/// A session: a directory on tmpfs with one file (or a few) for each process that shares its times.
///
/// ```
/// use shm_times::Session;
///
/// let session = Session::create()?;
/// // Processes that are started with this variable share their times:
/// let mut child = std::process::Command::new("true");
/// child.env(shm_times::SESSION_VARIABLE, session.dir()).status()?;
/// println!("{} processes", session.snapshot()?.processes.len());
/// session.end()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    dir: OwnedFd,
    id: u64,
    owner: u32,
    in_memory: bool,
}

impl Session {
    /// Makes a session of one's own: a directory `polychron/<id>` under `XDG_RUNTIME_DIR`, or else
    /// `/dev/shm/polychron-<uid>/<id>`, whichever is in memory first, that nobody else may enter.
    ///
    /// # Errors
    ///
    /// [`SessionError::NoPlace`] when none of them can be used, and what was wrong with each.
    pub fn create() -> Result<Self, SessionError> {
        let mut tried = Vec::new();
        for place in places() {
            match Self::create_in(&place) {
                Ok(session) => return Ok(session),
                Err(error) => tried.push(chain(&error)),
            }
        }
        Err(SessionError::NoPlace { tried: tried.join("; ") })
    }

    /// The directories of this user's sessions, wherever [`Session::create`] may have made them;
    /// in order of their names. What cannot be looked at is left out.
    #[must_use]
    pub fn list() -> Vec<PathBuf> {
        let user = rustix::process::geteuid().as_raw();
        let mut found = Vec::new();
        for place in places() {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let is_ours =
                    entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == user);
                if is_ours && !found.contains(&entry.path()) {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    /// Makes a session in a directory of one's choice, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Session::open`], and [`SessionError::OnDisk`] when the directory is not in memory.
    pub fn create_in(place: &Path) -> Result<Self, SessionError> {
        let made = make_dir(place, true);
        made.map_err(|source| SessionError::File {
            action: "make the directory",
            path: place.to_owned(),
            source,
        })?;
        if !Self::open(place)?.is_in_memory() {
            // Leaves nothing behind where it is empty, thus ours.
            let _ = fs::remove_dir(place);
            return Err(SessionError::OnDisk { path: place.to_owned() });
        }
        let id = RandomState::new().hash_one(std::process::id());
        let path = place.join(format!("{}-{:08x}", std::process::id(), id as u32));
        make_dir(&path, false).map_err(|source| SessionError::File {
            action: "make the directory",
            path: path.clone(),
            source,
        })?;
        Self::open(&path)
    }

    /// Opens a session that is there. `dir` is its directory.
    ///
    /// # Errors
    ///
    /// [`SessionError::Open`] when there is no such directory, [`SessionError::NotOwned`] and
    /// [`SessionError::OpenToOthers`] when what is in it cannot be trusted.
    pub fn open(dir: &Path) -> Result<Self, SessionError> {
        let wrong = |source: rustix::io::Errno| SessionError::Open {
            path: dir.to_owned(),
            source: source.into(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(wrong)?;
        let stat = rustix::fs::fstat(&fd).map_err(wrong)?;
        let user = rustix::process::geteuid().as_raw();
        if stat.st_uid != user {
            let (path, owner) = (dir.to_owned(), stat.st_uid);
            return Err(SessionError::NotOwned { path, owner, user });
        }
        let mode = stat.st_mode & 0o7777;
        if mode & 0o022 != 0 {
            return Err(SessionError::OpenToOthers { path: dir.to_owned(), mode });
        }
        let in_memory = rustix::fs::fstatfs(&fd).is_ok_and(|fs| is_memory(fs.f_type));
        // The name may be relative, and the program may go elsewhere.
        let path = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let id = stat.st_dev.rotate_left(32) ^ stat.st_ino;
        Ok(Self { inner: Arc::new(Inner { path, dir: fd, id, owner: user, in_memory }) })
    }

    /// The session that [`SESSION_VARIABLE`] names; `None` when it is not set, or empty.
    ///
    /// # Errors
    ///
    /// As [`Session::open`], and [`SessionError::Privileged`] in a program that runs with other
    /// rights than those of the user who started it.
    pub fn from_env() -> Result<Option<Self>, SessionError> {
        match std::env::var_os(SESSION_VARIABLE).filter(|dir| !dir.is_empty()) {
            None => Ok(None),
            Some(_) if map::is_privileged() => Err(SessionError::Privileged),
            Some(dir) => Self::open(Path::new(&dir)).map(Some),
        }
    }

    /// The directory: what [`SESSION_VARIABLE`] must say in a process that is to share its times.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.path
    }

    /// Whether the directory is in memory (tmpfs or ramfs). Elsewhere nobody shares times in it,
    /// but they can be read.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.inner.in_memory
    }

    /// Removes every file of the session, and its directory. Processes that still run go on with
    /// what is theirs, but nobody can see it any more.
    ///
    /// # Errors
    ///
    /// [`SessionError::File`] when something cannot be removed; the directory stays when there are
    /// files in it that are not of a session.
    pub fn end(self) -> Result<(), SessionError> {
        // A process that starts right now may put a file there between the two steps.
        let mut last = None;
        for _ in 0..16 {
            for name in self.names()? {
                if is_ours(&name) {
                    self.remove(&name)?;
                }
            }
            match fs::remove_dir(self.dir()) {
                Ok(()) => {
                    // The directory above goes with the last session; otherwise it is not empty.
                    if let Some(above) = self.dir().parent().filter(|above| is_default(above)) {
                        let _ = fs::remove_dir(above);
                    }
                    return Ok(());
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(source) => last = Some(source),
            }
        }
        Err(self.file_error("remove", None, last.unwrap_or_else(|| io::ErrorKind::Other.into())))
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.inner.dir
    }

    pub(crate) fn id(&self) -> u64 {
        self.inner.id
    }

    pub(crate) fn owner(&self) -> u32 {
        self.inner.owner
    }

    /// The names in the directory, of files that are ours and others, in no order.
    pub(crate) fn names(&self) -> Result<Vec<String>, SessionError> {
        let mut names = Vec::new();
        self.for_each_name(|name| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// Names them one after the other.
    pub(crate) fn for_each_name(&self, mut see: impl FnMut(&str)) -> Result<(), SessionError> {
        let wrong = |source: rustix::io::Errno| self.file_error("list", None, source.into());
        // An open file of its own: where a listing is, is not to be shared with others.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(self.fd(), ".", flags, Mode::empty()).map_err(wrong)?;
        let mut room = [MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(dir, &mut room);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(wrong)?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
                && (entry.file_type() != FileType::Directory || is_ours(name))
            {
                see(name);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), SessionError> {
        match rustix::fs::unlinkat(self.fd(), name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {
                rustix::fs::unlinkat(self.fd(), name, AtFlags::REMOVEDIR)
                    .map_err(|source| self.file_error("remove", Some(name), source.into()))
            }
            Err(source) => Err(self.file_error("remove", Some(name), source.into())),
        }
    }

    pub(crate) fn file_error(
        &self,
        action: &'static str,
        name: Option<&str>,
        source: io::Error,
    ) -> SessionError {
        let path = name.map_or_else(|| self.dir().to_owned(), |name| self.dir().join(name));
        SessionError::File { action, path, source }
    }
}

/// Whether a name is one that this crate gives to a file.
pub(crate) fn is_ours(name: &str) -> bool {
    name == LOCK
        || name.ends_with(SUFFIX)
            && (name == RETIRED || name.starts_with(PROCESS_PREFIX) || name.starts_with(NEW_PREFIX))
}

/// Where sessions may be, the best first.
fn places() -> impl Iterator<Item = PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("polychron"));
    runtime
        .into_iter()
        .chain([PathBuf::from(format!("/dev/shm/polychron-{user}"))])
        .chain([std::env::temp_dir().join(format!("polychron-{user}"))])
}

/// Whether a directory is one of those in which [`Session::create`] puts sessions.
fn is_default(above: &Path) -> bool {
    let name = above.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name == "polychron" || name.starts_with("polychron-")
}

fn make_dir(path: &Path, may_be_there: bool) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if may_be_there && error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn is_memory(kind: impl TryInto<u64>) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    kind.try_into().is_ok_and(|kind| matches!(kind & 0xffff_ffff, TMPFS | RAMFS))
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<String>>().join(": ")
}
