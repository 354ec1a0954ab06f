//! Where finished files go.

use std::path::{Path, PathBuf};

use digital_rf::hdf5::{Hdf5Error, Publish};

use crate::{AnalysisError, FileTask, GmfFile};

/// Takes the files of a run, in the order in which they are finished.
pub trait Sink {
    /// Whether the file is still needed; its integrations are not computed otherwise.
    fn wants(&mut self, _file: &FileTask) -> bool {
        true
    }

    /// Takes a finished file. `false` says that it had appeared meanwhile and was left alone.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Write`]; the run ends then.
    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError>;
}

/// Keeps the files in memory.
impl Sink for Vec<GmfFile> {
    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        self.push(file);
        Ok(true)
    }
}

/// Writes the files into a folder, each whole or not at all.
///
/// A file that is there already is not computed again, unless the sink was made to replace it. Of
/// several writers of one file exactly one wins.
#[derive(Debug, Clone)]
pub struct FolderSink {
    dir: PathBuf,
    replace: bool,
}

impl FolderSink {
    /// Writes below `dir`, which is made when the first file comes. With `replace` files that are
    /// there are computed and written again.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, replace: bool) -> Self {
        Self { dir: dir.into(), replace }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Sink for FolderSink {
    fn wants(&mut self, file: &FileTask) -> bool {
        self.replace || !self.dir.join(&file.relative_path).exists()
    }

    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        let path = self.dir.join(file.relative_path());
        let error = |source: Box<dyn std::error::Error + Send + Sync>| AnalysisError::Write {
            path: path.clone(),
            source,
        };
        let folder = path.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(folder).map_err(|source| error(source.into()))?;
        let how = if self.replace { Publish::Replace } else { Publish::New };
        match file.write(&path, how) {
            Ok(()) => Ok(true),
            Err(Hdf5Error::Exists { .. }) => Ok(false),
            Err(source) => Err(error(source.into())),
        }
    }
}
