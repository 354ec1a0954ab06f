//! Where finished files go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use digital_rf::hdf5::{Hdf5Error, Publish};
use gmf_api::Optimize;
use jobdiv::Job;

use crate::folder::{Folder, make_folder, sync_folder};
use crate::manifest::{self, Entry};
use crate::{AnalysisError, AnalysisPlan, FileTask, Gap, GmfFile, KernelChoice};

/// Takes the files of a run, in the order in which they are finished.
pub trait Sink {
    /// Prepares for one job of a run; called once, before anything is computed and before any other
    /// method. A sink that wraps another hands this on.
    ///
    /// # Errors
    ///
    /// [`AnalysisError`]; the run does not begin then.
    fn begin(
        &mut self,
        plan: &AnalysisPlan,
        kernel: &KernelChoice,
        job: Job,
    ) -> Result<(), AnalysisError>;

    /// Whether the file is still needed; its integrations are not computed otherwise.
    fn wants(&mut self, _file: &FileTask) -> bool {
        true
    }

    /// The gaps in a file that is not wanted, since it is there.
    fn known_gaps(&mut self, _file: &FileTask) -> Vec<Gap> {
        Vec::new()
    }

    /// How many integrations of a file that is not wanted, since it is there, had a silent
    /// transmitter.
    fn known_silent(&mut self, _file: &FileTask) -> usize {
        0
    }

    /// Takes a finished file. `false` says that it had appeared meanwhile, equal to the bit, and was
    /// left alone.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Write`]; the run ends then.
    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError>;
}

/// Keeps the files in memory.
impl Sink for Vec<GmfFile> {
    fn begin(&mut self, _: &AnalysisPlan, _: &KernelChoice, _: Job) -> Result<(), AnalysisError> {
        Ok(())
    }

    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        self.push(file);
        Ok(true)
    }
}

/// Writes the files into a folder, each whole or not at all.
///
/// The folder belongs to one run: a record (`run.json`) holds what determines the bytes of its
/// files, and a run with other parameters is refused. Each job keeps a manifest of what it wrote.
/// A file that is there with the bytes that a manifest says is not computed again, unless the sink
/// was made to replace it, or the analysis asks for refined peaks that it has not. Of several writers of one file exactly one wins, and the others verify
/// that they would have written the same. The layout is in docs/formats.md.
#[derive(Debug)]
pub struct FolderSink {
    dir: PathBuf,
    replace: bool,
    retry_gaps: bool,
    begun: Option<Begun>,
}

/// What a job knows of its folder.
#[derive(Debug)]
struct Begun {
    folder: Folder,
    /// Of the files that were asked for and are there, by their number.
    known: BTreeMap<usize, Known>,
    started: Instant,
    optimize: Option<Optimize>,
}

/// What the manifests say of a file without results.
#[derive(Debug, Default)]
struct Known {
    gaps: Vec<Gap>,
    n_silent: usize,
}

impl FolderSink {
    /// Writes below `dir`, which is made when a run begins. With `replace` files that are there are
    /// computed and written again, and the files of a run with other parameters give way.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, replace: bool) -> Self {
        Self { dir: dir.into(), replace, retry_gaps: false, begun: None }
    }

    /// Computes files with gaps anew, in the hope that the samples can be read by now.
    #[must_use]
    pub fn retry_gaps(self, retry_gaps: bool) -> Self {
        Self { retry_gaps, ..self }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn begun(&mut self) -> &mut Begun {
        self.begun.as_mut().expect("a sink begins before it is asked for anything")
    }
}

/// A sink for the same folder, which has not begun.
impl Clone for FolderSink {
    fn clone(&self) -> Self {
        Self { dir: self.dir.clone(), begun: None, ..*self }
    }
}

/// # Panics
///
/// When it is asked for anything before it was told to begin.
impl Sink for FolderSink {
    fn begin(
        &mut self,
        plan: &AnalysisPlan,
        kernel: &KernelChoice,
        job: Job,
    ) -> Result<(), AnalysisError> {
        // The lock of an earlier run goes first.
        self.begun = None;
        let folder = Folder::open(&self.dir, plan, kernel, job, self.replace)?;
        self.begun = Some(Begun {
            folder,
            known: BTreeMap::new(),
            started: Instant::now(),
            optimize: plan.analysis().optimize,
        });
        Ok(())
    }

    fn wants(&mut self, file: &FileTask) -> bool {
        if self.replace {
            return true;
        }
        let retry_gaps = self.retry_gaps;
        let Begun { folder, optimize, known, .. } = self.begun();
        match folder.complete(file) {
            None => true,
            Some(entry) => {
                let unrefined = optimize.is_some() && entry.optimize != *optimize;
                let (gaps, n_silent) = (entry.gaps.clone(), entry.n_silent);
                let wanted = unrefined || retry_gaps && !gaps.is_empty();
                known.insert(file.file_idx, Known { gaps, n_silent });
                wanted
            }
        }
    }

    fn known_gaps(&mut self, file: &FileTask) -> Vec<Gap> {
        let known = self.begun().known.get_mut(&file.file_idx);
        known.map(|known| std::mem::take(&mut known.gaps)).unwrap_or_default()
    }

    fn known_silent(&mut self, file: &FileTask) -> usize {
        self.begun().known.get(&file.file_idx).map_or(0, |known| known.n_silent)
    }

    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        let replace = self.replace;
        let path = self.dir.join(file.relative_path());
        let error = |source: Box<dyn std::error::Error + Send + Sync>| AnalysisError::Write {
            path: path.clone(),
            source,
        };
        if let Some(hour) = path.parent().filter(|hour| !hour.is_dir()) {
            make_folder(hour)?;
            sync_folder(&self.dir);
        }
        let Begun { folder, started, .. } = self.begun();
        let known: Vec<String> = folder
            .entries
            .of(file.file_idx, file.relative_path())
            .into_iter()
            .map(|entry| entry.xxh3.clone())
            .collect();
        // What is there of this run was looked at and is not good, or shall be replaced. What is
        // not of this run's manifests is only replaced if it has other bytes.
        let mut how = if replace || !known.is_empty() { Publish::Replace } else { Publish::New };
        let mut others = known;
        let (bytes, xxh3, won) = loop {
            let complete = file.complete(&path).map_err(|source| error(cause(source)))?;
            let sum = |path: &Path| manifest::checksum(path).map_err(|e| error(e.into()));
            let (bytes, ours) = sum(complete.temporary_path())?;
            match complete.publish(how) {
                Ok(()) => break (bytes, ours, true),
                Err(Hdf5Error::Exists { .. }) => {
                    let (_, theirs) = sum(&path)?;
                    if theirs == ours {
                        break (bytes, ours, false);
                    }
                    tracing::warn!("{} has other bytes than it should: replaced", path.display());
                    others.push(theirs);
                    how = Publish::Replace;
                }
                Err(source) => return Err(error(cause(source))),
            }
        };
        others.retain(|sum| *sum != xxh3);
        others.sort_unstable();
        others.dedup();
        let entry = Entry {
            file: file.file_idx,
            path: file.relative_path().to_owned(),
            bytes,
            xxh3,
            integrations: file.integrations.clone(),
            gaps: file.gaps.clone(),
            n_silent: file.n_silent(),
            optimize: file.optimize,
            seconds: started.elapsed().as_secs_f64(),
            run: folder.record.hash().to_owned(),
            replaces: others,
        };
        folder
            .manifest
            .append(&entry)
            .map_err(|(path, source)| AnalysisError::Write { path, source: source.into() })?;
        folder.entries.add(entry);
        Ok(won)
    }
}

/// What the system said, without the name of the file, which the error around it has.
fn cause(error: Hdf5Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        Hdf5Error::Open { source, .. } | Hdf5Error::Write { source, .. } => source,
        Hdf5Error::Publish { source, .. } => source.into(),
        error => error.into(),
    }
}
