//! Times in files: a binary format of few bytes, and JSON for other programs.
//!
//! docs/formats.md has both byte by byte. A file appears whole or not at all. Loading looks at the
//! content and not at the name, executes nothing, and takes memory in proportion to the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use crate::times::Times;

mod binary;
mod json;

/// How deep timers may lie under one another in a file; deeper ones are neither saved nor loaded.
pub const MAX_DEPTH: usize = 512;

/// The greatest file that is loaded, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Why times could not be saved or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TimesFileError {
    /// The file could not be read.
    #[error("could not read times from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written; what was there before is there still.
    #[error("could not write times to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the file holds cannot be used, or what it shall hold cannot be saved.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: TimesDataError,
    },
}

/// Why bytes are no times, or times cannot be made bytes.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimesDataError {
    /// The bytes are of another format.
    #[error("not a file of times (it begins with {found}); give one that polychron saved")]
    Foreign {
        /// The first bytes, escaped.
        found: String,
    },
    /// The bytes were written by a later version.
    #[error(
        "times of version {found}, and this program knows version {known}; use a newer program, \
         or measure again with this one"
    )]
    Version {
        /// The version of the bytes.
        found: u64,
        /// The version known here.
        known: u64,
    },
    /// Bytes are missing.
    #[error("cut off after {found} of {expected} bytes; take a whole copy, or measure again")]
    Truncated {
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be.
        expected: u64,
    },
    /// The bytes are not what was saved.
    #[error("damaged: {what}; take another copy, or measure again")]
    Damaged {
        /// What is wrong with them.
        what: String,
    },
    /// More timers lie under one another than [`MAX_DEPTH`].
    #[error("timers more than {limit} deep; make the recursion that is timed end earlier")]
    TooDeep {
        /// [`MAX_DEPTH`].
        limit: usize,
    },
    /// The file has more bytes than [`MAX_FILE_BYTES`].
    #[error(
        "{bytes} bytes, and at most {limit} are loaded; measure again without keeping iterations"
    )]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
        /// [`MAX_FILE_BYTES`].
        limit: u64,
    },
    /// One `Times` was asked for.
    #[error("times of {found} timers where one is asked for; use load_times for all of them")]
    NotOne {
        /// How many there are.
        found: usize,
    },
    /// JSON has no such number.
    #[error("a number of {timer:?} is not finite, which JSON cannot tell; save in binary form")]
    NotFinite {
        /// The name of the timer.
        timer: String,
    },
    /// No thread could be had to walk deep timers.
    #[error("no memory for the stack that deep timers need ({why}); free some and try again")]
    NoStack {
        /// What the system says.
        why: String,
    },
}

/// How times are written; [`load_times`] takes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimesFormat {
    /// Few bytes, exact, checksummed.
    #[default]
    Binary,
    /// For people and other programs; exact too, but numbers must be finite.
    Json,
}

impl TimesFormat {
    /// JSON where the name ends in `.json`, else binary.
    pub fn of(path: impl AsRef<Path>) -> Self {
        let extension = path.as_ref().extension();
        let json = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if json { Self::Json } else { Self::Binary }
    }
}

impl Times {
    /// Saves into a file, as JSON where its name ends in `.json` and else in binary form.
    ///
    /// # Errors
    ///
    /// [`TimesFileError`]; the file is as it was before then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TimesFileError> {
        let path = path.as_ref();
        save_times(path, std::slice::from_ref(self), TimesFormat::of(path))
    }

    /// Loads a file that holds the times of one timer, in either format.
    ///
    /// # Errors
    ///
    /// [`TimesFileError`]; [`TimesDataError::NotOne`] where the file holds several or none.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, TimesFileError> {
        let path = path.as_ref();
        let mut all = load_times(path)?;
        match (all.pop(), all.len()) {
            (Some(times), 0) => Ok(times),
            (last, others) => {
                let found = others + usize::from(last.is_some());
                let reason = TimesDataError::NotOne { found };
                Err(TimesFileError::Content { path: path.to_owned(), reason })
            }
        }
    }
}

/// Saves the times of any number of timers, such as ranks, into one file.
///
/// They are written under a temporary name (`tmp.` before the name), which is renamed when all is
/// on disk.
///
/// # Errors
///
/// [`TimesFileError`]; the file is as it was before then.
pub fn save_times(
    path: impl AsRef<Path>,
    times: &[Times],
    format: TimesFormat,
) -> Result<(), TimesFileError> {
    let path = path.as_ref();
    let bytes = times_to_bytes(times, format)
        .map_err(|reason| TimesFileError::Content { path: path.to_owned(), reason })?;
    write_whole(path, &bytes)
        .map_err(|source| TimesFileError::Write { path: path.to_owned(), source })
}

/// Loads all times of a file, in either format.
///
/// # Errors
///
/// [`TimesFileError`] where the file cannot be read, is of another format or a later version, cut
/// off, damaged, larger than [`MAX_FILE_BYTES`] or deeper than [`MAX_DEPTH`].
pub fn load_times(path: impl AsRef<Path>) -> Result<Vec<Times>, TimesFileError> {
    let path = path.as_ref();
    let read = |source| TimesFileError::Read { path: path.to_owned(), source };
    let content = |reason| TimesFileError::Content { path: path.to_owned(), reason };
    // Asked before opening, since opening a pipe may wait for ever.
    let metadata = fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(read(not_regular()));
    }
    let file = File::open(path).map_err(read)?;
    let mut bytes = Vec::new();
    (&file).take(BEGINNING).read_to_end(&mut bytes).map_err(read)?;
    // Said before a large file of something else is read.
    kind(&bytes).map_err(content)?;
    file.take(MAX_FILE_BYTES + 1 - BEGINNING).read_to_end(&mut bytes).map_err(read)?;
    let n_bytes = bytes.len() as u64;
    if n_bytes > MAX_FILE_BYTES {
        let bytes = metadata.len().max(n_bytes);
        return Err(content(TimesDataError::TooLarge { bytes, limit: MAX_FILE_BYTES }));
    }
    times_from_bytes(&bytes).map_err(content)
}

/// Makes the bytes of a file.
///
/// # Errors
///
/// [`TimesDataError::TooDeep`], and for JSON [`TimesDataError::NotFinite`].
pub fn times_to_bytes(times: &[Times], format: TimesFormat) -> Result<Vec<u8>, TimesDataError> {
    if times.iter().any(|times| times.depth() > MAX_DEPTH) {
        return Err(TimesDataError::TooDeep { limit: MAX_DEPTH });
    }
    match format {
        TimesFormat::Binary => Ok(binary::encode(times)),
        TimesFormat::Json => json::encode(times),
    }
}

/// Reads the bytes of a file, in either format.
///
/// # Errors
///
/// [`TimesDataError`] for whatever [`times_to_bytes`] did not write.
pub fn times_from_bytes(bytes: &[u8]) -> Result<Vec<Times>, TimesDataError> {
    match kind(bytes)? {
        TimesFormat::Binary => binary::decode(bytes),
        TimesFormat::Json => json::decode(bytes),
    }
}

/// As many bytes as tell what a file is.
const BEGINNING: u64 = 4096;

fn kind(bytes: &[u8]) -> Result<TimesFormat, TimesDataError> {
    let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if bytes.starts_with(&binary::MAGIC) {
        Ok(TimesFormat::Binary)
    } else if bytes.get(blank) == Some(&b'{') {
        Ok(TimesFormat::Json)
    } else if !bytes.is_empty() && binary::MAGIC.starts_with(bytes) {
        let expected = binary::HEADER_BYTES as u64;
        Err(TimesDataError::Truncated { found: bytes.len() as u64, expected })
    } else {
        Err(foreign(bytes))
    }
}

fn foreign(bytes: &[u8]) -> TimesDataError {
    let found = match bytes {
        [] => "nothing".to_owned(),
        _ => format!("\"{}\"", bytes[..bytes.len().min(8)].escape_ascii()),
    };
    TimesDataError::Foreign { found }
}

fn damaged(what: impl Into<String>) -> TimesDataError {
    TimesDataError::Damaged { what: what.into() }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(not_regular());
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let mut temporary = std::ffi::OsString::from("tmp.");
    temporary.push(name);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}.{count}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            drop(fs::remove_file(&temporary));
        }
    })
}
