//! Whether a folder of results is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gmf_api::Optimize;
use serde::Serialize;

use crate::folder::{gmf_files, manifest_error, temporary_files};
use crate::manifest::{Entries, checksum, valid_checksums};
use crate::{AnalysisError, Gap, RunRecord};

/// What there is of a run in its folder, by its record, its manifests, and the files themselves.
///
/// Paths are relative to the folder, and in the order of the files' times.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inventory {
    /// Hash of the run's record.
    pub run: String,
    /// Files that the run has.
    pub n_files: usize,
    /// Integrations that the run has.
    pub n_integrations: usize,
    /// Files that are there, once, with the bytes that a manifest says.
    pub n_whole: usize,
    /// Their length, in bytes.
    pub n_bytes: u64,
    /// Files that are not there.
    pub missing: Vec<PathBuf>,
    /// Files whose bytes are not those that a manifest says.
    pub damaged: Vec<PathBuf>,
    /// Files of which no manifest says that they were written: left by a process that was killed, or
    /// by an earlier run.
    pub unlisted: Vec<PathBuf>,
    /// Files that were written twice, with different bytes.
    pub double: Vec<DoubleFile>,
    /// GMF files that are none of the run's.
    pub foreign: Vec<PathBuf>,
    /// Temporary files, of processes at work or killed.
    pub temporary: Vec<PathBuf>,
    /// How the peaks of the whole files were refined, and of how many files; `none` is one way.
    /// With more than one, a part of the files was written with and a part without.
    pub refinements: BTreeMap<String, usize>,
    /// Integrations without a result, of the files that are whole.
    pub gaps: Vec<Gap>,
    /// Files at the ends of the recording that could not be used.
    pub damaged_ends: Vec<String>,
}

/// A file that was written twice, with different bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DoubleFile {
    /// The file.
    pub path: PathBuf,
    /// The checksums, XXH3 of 128 bits.
    pub checksums: Vec<String>,
}

impl Inventory {
    /// Takes stock of a folder. Every file is read, to compare its checksum.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::NoRun`], [`AnalysisError::Record`].
    pub fn take(dir: &Path) -> Result<Self, AnalysisError> {
        let error = |source| manifest_error((dir.to_owned(), source));
        fs::read_dir(dir).map_err(error)?;
        let record =
            RunRecord::read(dir)?.ok_or_else(|| AnalysisError::NoRun { dir: dir.to_owned() })?;
        let layout = record.layout().map_err(|e| error(io::Error::other(e)))?;
        let entries = Entries::read(dir, record.hash()).map_err(manifest_error)?;
        let relative = |path: PathBuf| path.strip_prefix(dir).map(Path::to_owned).unwrap_or(path);
        let mut inventory = Self {
            run: record.hash().to_owned(),
            n_files: layout.n_files(),
            n_integrations: layout.n_integrations,
            n_whole: 0,
            n_bytes: 0,
            missing: Vec::new(),
            damaged: Vec::new(),
            unlisted: Vec::new(),
            double: Vec::new(),
            foreign: gmf_files(dir)?,
            temporary: temporary_files(dir).into_iter().map(relative).collect(),
            refinements: BTreeMap::new(),
            gaps: Vec::new(),
            damaged_ends: record.damaged_ends().to_vec(),
        };
        inventory.foreign.retain(|path| layout.file_of(path).is_none());
        for file_idx in 0..layout.n_files() {
            let path = layout.file(file_idx).relative_path;
            let listed = entries.of(file_idx, &path);
            let found = match checksum(&dir.join(&path)) {
                Ok(found) => found,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    inventory.missing.push(path);
                    continue;
                }
                Err(_) => {
                    inventory.damaged.push(path);
                    continue;
                }
            };
            let checksums = valid_checksums(&listed);
            let entry = listed.iter().rev().find(|e| (e.bytes, &e.xxh3) == (found.0, &found.1));
            match entry {
                _ if listed.is_empty() => inventory.unlisted.push(path),
                _ if checksums.len() > 1 => inventory.double.push(DoubleFile { path, checksums }),
                None => inventory.damaged.push(path),
                Some(entry) => {
                    inventory.n_whole += 1;
                    inventory.n_bytes += entry.bytes;
                    let refinement = entry.optimize.map_or("none", Optimize::name).to_owned();
                    *inventory.refinements.entry(refinement).or_default() += 1;
                    inventory.gaps.extend(entry.gaps.iter().cloned());
                }
            }
        }
        Ok(inventory)
    }

    /// Whether every file of the run is there, once and with the right bytes, all with the same
    /// refinement, and no other file.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.n_whole == self.n_files && self.foreign.is_empty() && self.refinements.len() <= 1
    }

    /// Whether something of the recording has no result.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        !self.gaps.is_empty() || !self.damaged_ends.is_empty()
    }
}
