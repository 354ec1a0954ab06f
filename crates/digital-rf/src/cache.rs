//! The files that a channel keeps open.

use std::sync::Arc;

use crate::file::DataFile;

/// Files that are kept open at most.
const MAX_FILES: usize = 8;
/// Inflated samples that are kept at most, in bytes, beyond those of the last two files.
const MAX_BYTES: usize = 64 << 20;
/// Files that are kept whatever their size: a read often goes across the end of one.
const MIN_FILES: usize = 2;

/// The files used last, the latest at the end.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    files: Vec<(usize, u64, Arc<DataFile>)>,
}

impl Cache {
    /// The file of a time in a folder, if it is open.
    pub(crate) fn get(&mut self, dir: usize, file_ms: u64) -> Option<Arc<DataFile>> {
        let at = self.files.iter().rposition(|&(d, ms, _)| (d, ms) == (dir, file_ms))?;
        self.files[at..].rotate_left(1);
        self.files.last().map(|(_, _, file)| Arc::clone(file))
    }

    /// Adds a file and lets go of those not used for longest.
    pub(crate) fn insert(&mut self, dir: usize, file_ms: u64, file: Arc<DataFile>) {
        self.files.retain(|&(d, ms, _)| (d, ms) != (dir, file_ms));
        self.files.push((dir, file_ms, file));
        while self.files.len() > MAX_FILES
            || (self.files.len() > MIN_FILES && self.held_bytes() > MAX_BYTES)
        {
            self.files.remove(0);
        }
    }

    fn held_bytes(&self) -> usize {
        self.files.iter().map(|(_, _, file)| file.held_bytes()).sum()
    }
}
