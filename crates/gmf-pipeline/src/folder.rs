//! The output folder: whose it is, what is in it, who is at work there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobdiv::Job;

use crate::layout::RunLayout;
use crate::manifest::{self, Entries, Entry, Manifest, checksum, valid_checksums};
use crate::record::{RECORD_NAME, RunRecord};
use crate::{AnalysisError, AnalysisPlan, FileTask, KernelChoice};

/// The file whose lock says that somebody is at work.
const LOCK_NAME: &str = "run.lock";

/// How long a process waits for another that is alone in a folder.
const PATIENCE: Duration = Duration::from_secs(60);

/// An output folder that belongs to the run of a job.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    pub(crate) record: RunRecord,
    pub(crate) entries: Entries,
    pub(crate) manifest: Manifest,
    /// Held until the job ends, so that nobody takes its temporary files for those of the dead.
    _lock: Option<File>,
}

/// Whose a folder is.
enum Owner {
    /// Nobody's.
    Nobody,
    /// This run's.
    Ours,
    /// Another's, which has to give way; its layout, if it left a record.
    Other(Option<RunLayout>),
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> AnalysisError + '_ {
    |source| AnalysisError::Write { path: path.to_owned(), source: source.into() }
}

pub(crate) fn manifest_error((path, source): (PathBuf, io::Error)) -> AnalysisError {
    AnalysisError::Record { path, source: source.into() }
}

/// Makes a folder, and those that it is in.
pub(crate) fn make_folder(dir: &Path) -> Result<(), AnalysisError> {
    fs::create_dir_all(dir)
        // The system says that it exists, which is true and no help.
        .map_err(|e| if dir.is_file() { io::ErrorKind::NotADirectory.into() } else { e })
        .map_err(write_error(dir))
}

impl Folder {
    /// Makes the folder this run's, or finds that it is.
    ///
    /// A folder that is another's is refused before anything is written, unless it is to be
    /// replaced. What replacing does is safe with any number of jobs that begin at once: the record
    /// is replaced in one step, and a job removes nothing but what no job of the new run writes, or
    /// what it is going to write itself.
    pub(crate) fn open(
        dir: &Path,
        plan: &AnalysisPlan,
        kernel: &KernelChoice,
        job: Job,
        replace: bool,
    ) -> Result<Self, AnalysisError> {
        let record = RunRecord::new(plan, kernel);
        owner(dir, &record, plan.layout(), replace)?;
        make_folder(dir)?;
        let mut lock = Lock::take(dir)?;
        loop {
            match owner(dir, &record, plan.layout(), replace)? {
                Owner::Ours => break,
                Owner::Nobody => {
                    if record.write(dir, false)? {
                        break;
                    }
                }
                Owner::Other(old) => {
                    if !lock.is_alone() {
                        return Err(AnalysisError::Busy { dir: dir.to_owned() });
                    }
                    record.write(dir, true)?;
                    remove_old(dir, old.as_ref(), plan.layout(), job)?;
                    break;
                }
            }
        }
        if lock.alone {
            remove_temporary(dir);
        }
        sync_folder(dir);
        let lock = lock.share()?;
        let entries = Entries::read(dir, record.hash()).map_err(manifest_error)?;
        let manifest = Manifest::open(dir, job)
            .map_err(|(path, e)| AnalysisError::Write { path, source: e.into() })?;
        Ok(Self { dir: dir.to_owned(), record, entries, manifest, _lock: lock })
    }

    /// The entry of a file that is there with the bytes that it should have, by all that is said of
    /// it.
    pub(crate) fn complete(&self, file: &FileTask) -> Option<&Entry> {
        let entries = self.entries.of(file.file_idx, &file.relative_path);
        if entries.is_empty() || valid_checksums(&entries).len() > 1 {
            return None;
        }
        let (bytes, sum) = checksum(&self.dir.join(&file.relative_path)).ok()?;
        entries.into_iter().rev().find(|entry| entry.bytes == bytes && entry.xxh3 == sum)
    }
}

/// The lock on a folder. Where the file system has none, everything works without: only the
/// temporary files of killed processes stay.
struct Lock {
    path: PathBuf,
    file: Option<File>,
    alone: bool,
}

impl Lock {
    fn take(dir: &Path) -> Result<Self, AnalysisError> {
        let path = dir.join(LOCK_NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(write_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file: Some(file), alone: true }),
            Err(TryLockError::WouldBlock) => {
                let file = wait_to_share(&file, &path).then_some(file);
                Ok(Self { path, file, alone: false })
            }
            Err(TryLockError::Error(e)) => {
                tracing::debug!("{} cannot be locked: {e}", path.display());
                Ok(Self { path, file: None, alone: false })
            }
        }
    }

    /// Whether nobody else is at work here, as far as the file system can tell.
    fn is_alone(&mut self) -> bool {
        match &self.file {
            Some(file) if !self.alone => {
                self.alone = file.unlock().is_ok() && file.try_lock().is_ok();
                self.alone
            }
            _ => true,
        }
    }

    /// Lets others work beside us.
    fn share(self) -> Result<Option<File>, AnalysisError> {
        if let Some(file) = &self.file
            && self.alone
        {
            file.unlock().map_err(write_error(&self.path))?;
            if !wait_to_share(file, &self.path) {
                return Ok(None);
            }
        }
        Ok(self.file)
    }
}

/// Shares the lock with others, as soon as nobody is alone there any more, which takes moments.
/// Without it, after a while: a process that was stopped must not stop all others.
fn wait_to_share(file: &File, path: &Path) -> bool {
    let started = Instant::now();
    while file.try_lock_shared().is_err() {
        if started.elapsed() > PATIENCE {
            tracing::warn!("{} stays locked by another process: not waited for", path.display());
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Finds out whose a folder is, without writing anything.
fn owner(
    dir: &Path,
    record: &RunRecord,
    layout: &RunLayout,
    replace: bool,
) -> Result<Owner, AnalysisError> {
    loop {
        let there = match RunRecord::read(dir) {
            Err(_) if replace => return foreign_files(dir, None, layout).map(Owner::Other),
            there => there?,
        };
        if let Some(there) = there {
            let differences = record.differences(&there);
            if differences.is_empty() {
                return Ok(Owner::Ours);
            }
            if !replace {
                return Err(AnalysisError::OtherRun { dir: dir.to_owned(), differences });
            }
            return foreign_files(dir, there.layout().ok(), layout).map(Owner::Other);
        }
        let files = gmf_files(dir)?;
        let Some(first) = files.first() else { return Ok(Owner::Nobody) };
        if replace {
            return foreign_files(dir, None, layout).map(Owner::Other);
        }
        // Another job may have made the record and a file since we looked.
        if !dir.join(RECORD_NAME).exists() {
            return Err(AnalysisError::Unrecorded {
                dir: dir.to_owned(),
                n_files: files.len(),
                first: first.clone(),
                replaceable: files.iter().all(|file| layout.file_of(file).is_some()),
            });
        }
    }
}

/// Refuses a folder with GMF files that are of no run of ours: they are not ours to remove.
fn foreign_files(
    dir: &Path,
    old: Option<RunLayout>,
    new: &RunLayout,
) -> Result<Option<RunLayout>, AnalysisError> {
    let listed = manifest::all_entries(dir).map_err(manifest_error)?;
    let ours = |file: &Path| {
        let of = |layout: &RunLayout| layout.file_of(file).is_some();
        of(new) || old.as_ref().is_some_and(of) || listed.iter().any(|entry| entry.path == file)
    };
    let mut foreign = gmf_files(dir)?;
    foreign.retain(|file| !ours(file));
    match foreign.first() {
        None => Ok(old),
        Some(first) => Err(AnalysisError::Unrecorded {
            dir: dir.to_owned(),
            n_files: foreign.len(),
            first: first.clone(),
            replaceable: false,
        }),
    }
}

/// Removes the files of earlier runs, but for those that other jobs of the new run replace.
fn remove_old(
    dir: &Path,
    old: Option<&RunLayout>,
    new: &RunLayout,
    job: Job,
) -> Result<(), AnalysisError> {
    let listed = manifest::all_entries(dir).map_err(manifest_error)?;
    for file in gmf_files(dir)? {
        let remove = match new.file_of(&file) {
            Some(file_idx) => file_idx % job.n_jobs() == job.idx(),
            None => {
                old.is_some_and(|old| old.file_of(&file).is_some())
                    || listed.iter().any(|entry| entry.path == file)
            }
        };
        if remove {
            let path = dir.join(&file);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(write_error(&path)(e)),
                _ => tracing::debug!("removed {} of an earlier run", path.display()),
            }
        }
    }
    for hour in hour_folders(dir)? {
        // Fails where something is left in it, as it should.
        let _ = fs::remove_dir(hour);
    }
    Ok(())
}

/// Removes what processes left behind that were killed. Only called by who is alone.
fn remove_temporary(dir: &Path) {
    for path in temporary_files(dir) {
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!("removed {}, left by a killed process", path.display()),
            Err(e) => tracing::warn!("could not remove {}: {e}", path.display()),
        }
    }
}

/// The files under way in a folder of results, or left by processes that were killed.
pub(crate) fn temporary_files(dir: &Path) -> Vec<PathBuf> {
    let hours = hour_folders(dir).unwrap_or_default();
    let in_hours = hours.iter().flat_map(|hour| names(hour, "tmp.gmf-", ".h5"));
    in_hours.chain(names(dir, "tmp.run.", ".json")).collect()
}

fn names(dir: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
        })
        .map(|entry| entry.path())
        .collect()
}

/// The GMF files in a folder, by their paths there, in order.
///
/// # Errors
///
/// [`AnalysisError::Record`] when the folder cannot be listed.
pub(crate) fn gmf_files(dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    let mut files = Vec::new();
    for hour in hour_folders(dir)? {
        for path in names(&hour, "gmf-", ".h5") {
            files.extend(path.strip_prefix(dir).map(Path::to_owned));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The folders of an hour, `YYYY-MM-DDTHH-00-00`.
fn hour_folders(dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    const FORM: &[u8] = b"dddd-dd-ddTdd-00-00";
    let error = |source: io::Error| manifest_error((dir.to_owned(), source));
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        // Where the folder is a file, making it will say so.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(error(e)),
    };
    let mut folders = Vec::new();
    for entry in listing {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        let is_hour = |name: &str| {
            name.len() == FORM.len()
                && name.bytes().zip(FORM).all(|(c, form)| match form {
                    b'd' => c.is_ascii_digit(),
                    exact => c == *exact,
                })
        };
        if name.to_str().is_some_and(is_hour) && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// Waits until the disk has the names in a folder, where the system can do that.
pub(crate) fn sync_folder(dir: &Path) {
    if cfg!(unix) {
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
    }
}
