//! The files of a channel on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file of samples or of metadata, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// Its time, in milliseconds after the epoch.
    pub(crate) ms: u64,
    pub(crate) path: PathBuf,
}

/// Lists all files of a channel whose names begin with `stem` and `@`, in order of time.
pub(crate) fn files(channel_dir: &Path, stem: &str) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for folder in folders(channel_dir)? {
        files.append(&mut files_in(&folder, stem)?);
    }
    files.sort_unstable();
    Ok(files)
}

/// Lists the files of one folder, in order of time.
///
/// Only names of the layout count: files under way, `tmp.rf@...`, do not. A folder that is not
/// there holds nothing.
pub(crate) fn files_in(folder: &Path, stem: &str) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(ms) = name.to_str().and_then(|name| time_of(name, stem)) {
            files.push(Listed { ms, path: entry.path() });
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The folders of a channel that are named by a time, in order.
pub(crate) fn folders(channel_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in read_dir(channel_dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_folder_name) {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// The entries of a folder; none when it is not there (any more) or is no folder.
fn read_dir(path: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None.into_iter().flatten())
        }
        Err(e) => Err(e),
    }
}

/// Whether a name has the form `YYYY-MM-DDTHH-MM-SS`.
fn is_folder_name(name: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd-dd-dd";
    name.len() == FORM.len()
        && name.bytes().zip(FORM).all(|(c, form)| match form {
            b'd' => c.is_ascii_digit(),
            exact => c == *exact,
        })
}

/// The time in a name of the form `stem@SECONDS.MMM.h5` or `stem@SECONDS.h5`.
fn time_of(name: &str, stem: &str) -> Option<u64> {
    let time = name.strip_prefix(stem)?.strip_prefix('@')?.strip_suffix(".h5")?;
    let (secs, ms) = match time.split_once('.') {
        Some((secs, ms)) if ms.len() == 3 => (secs, number(ms)?),
        Some(_) => return None,
        None => (time, 0),
    };
    number(secs)?.checked_mul(1000)?.checked_add(ms)
}

/// Digits alone: unlike `parse`, without a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_layout_count() {
        assert_eq!(time_of("rf@1618229740.200.h5", "rf"), Some(1_618_229_740_200));
        assert_eq!(time_of("metadata@1618229740.h5", "metadata"), Some(1_618_229_740_000));
        for name in [
            "tmp.rf@1618229740.200.h5",
            "rf@1618229740.20.h5",
            "rf@+618229740.200.h5",
            "rf@.200.h5",
            "rf@1618229740.200.h5.bak",
            "rf@99999999999999999999.000.h5",
        ] {
            assert_eq!(time_of(name, "rf"), None, "{name}");
        }
        assert!(is_folder_name("2021-04-12T12-00-00"));
        assert!(!is_folder_name("2021-04-12T12:00:00"));
        assert!(!is_folder_name("metadata"));
    }
}
