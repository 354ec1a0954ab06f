//! Manifests: what each job wrote, one line for each file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gmf_api::Optimize;
use jobdiv::Job;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::Gap;

/// A line of a manifest: a file that was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Number of the file in the run.
    pub(crate) file: usize,
    /// Its path below the output folder.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Checksum of its bytes, XXH3 of 128 bits.
    pub(crate) xxh3: String,
    pub(crate) integrations: Range<usize>,
    pub(crate) gaps: Vec<Gap>,
    /// How many of its integrations had a silent transmitter.
    #[serde(default, rename = "silent", skip_serializing_if = "is_zero")]
    pub(crate) n_silent: usize,
    /// How its peaks were refined, if they were. It is not part of the run's record, since it adds
    /// to a file and changes nothing else in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) optimize: Option<Optimize>,
    /// From the start of the job to the publication, s.
    pub(crate) seconds: f64,
    /// Hash of the run's record.
    pub(crate) run: String,
    /// Checksums that are no longer valid, since this file took the place of that one.
    pub(crate) replaces: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// All that the manifests of a folder say of one run.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    by_file: BTreeMap<usize, Vec<Entry>>,
}

impl Entries {
    /// Reads all manifests of a folder. Lines of other runs, and those cut off when a process was
    /// killed, are passed over.
    pub(crate) fn read(dir: &Path, run: &str) -> Result<Self, (PathBuf, io::Error)> {
        let mut by_file: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for entry in all_entries(dir)?.into_iter().filter(|entry| entry.run == run) {
            by_file.entry(entry.file).or_default().push(entry);
        }
        Ok(Self { by_file })
    }

    /// The entries of a file, if they are of this path.
    pub(crate) fn of(&self, file: usize, path: &Path) -> Vec<&Entry> {
        let entries = self.by_file.get(&file).map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter(|entry| entry.path == path).collect()
    }

    /// Adds an entry that was just written.
    pub(crate) fn add(&mut self, entry: Entry) {
        self.by_file.entry(entry.file).or_default().push(entry);
    }
}

/// The different checksums that entries of one file claim and no other entry replaced.
pub(crate) fn valid_checksums(entries: &[&Entry]) -> Vec<String> {
    let mut sums: Vec<String> = entries
        .iter()
        .map(|entry| &entry.xxh3)
        .filter(|sum| !entries.iter().any(|other| other.replaces.contains(sum)))
        .cloned()
        .collect();
    sums.sort_unstable();
    sums.dedup();
    sums
}

/// All lines of all manifests, whatever run they are of.
pub(crate) fn all_entries(dir: &Path) -> Result<Vec<Entry>, (PathBuf, io::Error)> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err((dir.to_owned(), e)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|e| (dir.to_owned(), e))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|n| n.starts_with("manifest.") && n.ends_with(".jsonl")) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    let mut entries = Vec::new();
    for path in paths {
        // Bytes, since a line that was cut off need not be a text.
        let bytes = fs::read(&path).map_err(|e| (path.clone(), e))?;
        entries.extend(
            bytes
                .split(|&byte| byte == b'\n')
                .filter_map(|line| serde_json::from_slice::<Entry>(line).ok())
                // Whoever wrote a path that leads out of the folder, it was none of us.
                .filter(|entry| entry.path.components().count() == 2)
                .filter(|entry| {
                    entry
                        .path
                        .components()
                        .all(|part| matches!(part, std::path::Component::Normal(_)))
                }),
        );
    }
    Ok(entries)
}

/// The manifest of one job, open for appending.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    file: File,
}

impl Manifest {
    /// Opens the manifest of a job, and makes it if need be.
    pub(crate) fn open(dir: &Path, job: Job) -> Result<Self, (PathBuf, io::Error)> {
        let path = dir.join(format!("manifest.{}of{}.jsonl", job.idx() + 1, job.n_jobs()));
        let open = || {
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(&path)?;
            // A line that was cut off when a process was killed gets its end, and is no entry.
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { path, file }),
            Err(e) => Err((path, e)),
        }
    }

    /// Appends a line, in one write, and waits until the disk has it.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), (PathBuf, io::Error)> {
        let mut line = serde_json::to_string(entry).expect("an entry is numbers and texts");
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|e| (self.path.clone(), e))
    }
}

/// Length and checksum of a file's bytes.
pub(crate) fn checksum(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 18];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((length, format!("{:032x}", hash.digest128()))),
            Ok(n) => {
                length += n as u64;
                hash.update(&buffer[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(file: usize, xxh3: &str, replaces: &[&str]) -> Entry {
        Entry {
            file,
            path: PathBuf::from(format!("1970-01-01T00-00-00/gmf-{file:08}.h5")),
            bytes: 1,
            xxh3: xxh3.to_owned(),
            integrations: file..file + 1,
            gaps: Vec::new(),
            n_silent: 0,
            optimize: None,
            seconds: 0.5,
            run: "run".to_owned(),
            replaces: replaces.iter().map(|&sum| sum.to_owned()).collect(),
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_entry_and_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let whole = serde_json::to_string(&entry(0, "a", &[])).unwrap();
        let path = dir.path().join("manifest.1of2.jsonl");
        for cut in 0..whole.len() {
            fs::write(&path, format!("{whole}\n{}", &whole[..cut])).unwrap();
            let mut manifest = Manifest::open(dir.path(), Job::new(0, 2).unwrap()).unwrap();
            manifest.append(&entry(1, "b", &[])).unwrap();
            let found = all_entries(dir.path()).unwrap();
            assert_eq!(found, [entry(0, "a", &[]), entry(1, "b", &[])], "cut at {cut}");
        }
    }

    #[test]
    fn jobs_have_a_manifest_each_and_entries_of_other_runs_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        for job in Job::all(3).unwrap() {
            let mut manifest = Manifest::open(dir.path(), job).unwrap();
            manifest.append(&entry(job.idx(), "a", &[])).unwrap();
            manifest.append(&Entry { run: "other".to_owned(), ..entry(7, "a", &[]) }).unwrap();
        }
        assert!(dir.path().join("manifest.3of3.jsonl").is_file());
        let entries = Entries::read(dir.path(), "run").unwrap();
        assert_eq!(entries.by_file.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(all_entries(dir.path()).unwrap().len(), 6);
    }

    #[test]
    fn what_was_replaced_is_not_valid_any_more() {
        let sums = |entries: &[Entry]| valid_checksums(&entries.iter().collect::<Vec<_>>());
        assert_eq!(sums(&[entry(0, "a", &[]), entry(0, "a", &[])]), ["a"]);
        assert_eq!(sums(&[entry(0, "a", &[]), entry(0, "b", &[])]), ["a", "b"]);
        assert_eq!(sums(&[entry(0, "a", &[]), entry(0, "b", &["a"])]), ["b"]);
        assert_eq!(sums(&[entry(0, "b", &["a"]), entry(0, "a", &[])]), ["b"]);
    }

    #[test]
    fn paths_that_lead_out_of_the_folder_are_no_entries() {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::open(dir.path(), Job::WHOLE).unwrap();
        for path in ["../x.h5", "/etc/passwd", "a/b/c.h5", "a"] {
            manifest.append(&Entry { path: path.into(), ..entry(0, "a", &[]) }).unwrap();
        }
        assert_eq!(all_entries(dir.path()).unwrap(), []);
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let expected = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes));
        assert_eq!(checksum(&path).unwrap(), (600_000, expected));
        assert!(checksum(&dir.path().join("none")).is_err());
    }
}
