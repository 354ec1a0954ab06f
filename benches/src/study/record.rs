//! The raw times of a study: written, read back, and found again.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Name of the file with all times.
pub const RAW: &str = "raw.csv";

const HEADER: &str = "workload,group,engine,side,round,cpu_s,wall_s";

/// Who made an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We did: what `--check` watches.
    Ours,
    /// Others did: what we are compared with.
    Peer,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
        }
    }
}

/// One turn of one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The workload's name.
    pub workload: String,
    /// Engines of one group do the same work.
    pub group: String,
    /// The engine's name.
    pub engine: String,
    /// Who made it.
    pub side: Side,
    /// From 1 on; 0 is the turn before all others, whose answer was checked in full.
    pub round: usize,
    /// Time on the processor, in seconds.
    pub cpu_s: f64,
    /// Time on the clock, in seconds.
    pub wall_s: f64,
}

/// Why an old record cannot be compared with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A file or folder cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not begin as the times of a study do.
    #[error("{} begins with '{found}' instead of '{HEADER}'", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line.
        found: String,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {key} is '{value}', expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// The column.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
}

/// The times as text, a line for each turn.
#[must_use]
pub fn to_csv(samples: &[Sample]) -> String {
    let mut text = format!("{HEADER}\n");
    for s in samples {
        let Sample { workload, group, engine, side, round, cpu_s, wall_s } = s;
        let side = side.name();
        let _ = writeln!(text, "{workload},{group},{engine},{side},{round},{cpu_s:.9},{wall_s:.9}");
    }
    text
}

/// Reads the times of a record.
///
/// # Errors
///
/// [`RecordError`], which names the file, the line and the column.
pub fn read(path: &Path) -> Result<Vec<Sample>, RecordError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RecordError::Read { path: path.to_owned(), source })?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, line)| line);
    if header != HEADER {
        let found = header.chars().take(80).collect();
        return Err(RecordError::Header { path: path.to_owned(), found });
    }
    lines.map(|(idx, line)| parse(path, idx + 1, line)).collect()
}

fn parse(path: &Path, line: usize, text: &str) -> Result<Sample, RecordError> {
    let wrong = |key, value: &str, expected| RecordError::Line {
        path: path.to_owned(),
        line,
        key,
        value: value.to_owned(),
        expected,
    };
    let columns: Vec<&str> = text.split(',').collect();
    let [workload, group, engine, side, round, cpu_s, wall_s] = columns[..] else {
        return Err(wrong("the line", text, "seven columns"));
    };
    let seconds = |key, value: &str| {
        let parsed = value.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
        parsed.ok_or_else(|| wrong(key, value, "seconds"))
    };
    for (key, value) in [("workload", workload), ("group", group), ("engine", engine)] {
        if value.is_empty() {
            return Err(wrong(key, value, "a name"));
        }
    }
    Ok(Sample {
        workload: workload.to_owned(),
        group: group.to_owned(),
        engine: engine.to_owned(),
        side: [Side::Ours, Side::Peer]
            .into_iter()
            .find(|known| known.name() == side)
            .ok_or_else(|| wrong("side", side, "ours or peer"))?,
        round: round.parse().map_err(|_| wrong("round", round, "a whole number"))?,
        cpu_s: seconds("cpu_s", cpu_s)?,
        wall_s: seconds("wall_s", wall_s)?,
    })
}

/// The raw times of the newest record of a study on a machine, below the folder of all records;
/// `None` if there is none.
///
/// Records lie at `<date>-<machine>/<study>/raw.csv`, so that the order of names is that of time.
///
/// # Errors
///
/// [`RecordError::Read`] when the folder is there and cannot be listed.
pub fn newest(all: &Path, machine: &str, study: &str) -> Result<Option<PathBuf>, RecordError> {
    let failed = |source| RecordError::Read { path: all.to_owned(), source };
    let entries = match std::fs::read_dir(all) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut found: Option<(String, PathBuf)> = None;
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let raw = all.join(&name).join(study).join(RAW);
        let of_machine = date_of(&name, machine).is_some() && raw.is_file();
        if of_machine && found.as_ref().is_none_or(|(newest, _)| name > *newest) {
            found = Some((name, raw));
        }
    }
    Ok(found.map(|(_, raw)| raw))
}

/// The date in the name of a folder, if it is one of this machine's.
fn date_of<'a>(folder: &'a str, machine: &str) -> Option<&'a str> {
    let date = folder.strip_suffix(machine)?.strip_suffix('-')?;
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    let [year, month, day] = date.split('-').collect::<Vec<_>>()[..] else { return None };
    (digits(year, 4) && digits(month, 2) && digits(day, 2)).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: usize) -> Sample {
        Sample {
            workload: "n20000-noise".to_owned(),
            group: "fgmf".to_owned(),
            engine: "hardtarget c".to_owned(),
            side: Side::Peer,
            round,
            cpu_s: 0.651_234_567,
            wall_s: 0.66,
        }
    }

    fn write(dir: &Path, folder: &str, text: &str) -> PathBuf {
        let folder = dir.join(folder).join("gmf");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(RAW), text).unwrap();
        folder.join(RAW)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let samples: Vec<Sample> = (0..3).map(sample).collect();
        let path = write(dir.path(), "a", &to_csv(&samples));
        assert_eq!(read(&path).unwrap(), samples);
    }

    #[test]
    fn a_damaged_record_is_refused_by_file_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        for (line, what) in [
            ("n,g,e,ours,1,0.5", "line 2: the line is 'n,g,e,ours,1,0.5', expected seven columns"),
            ("n,g,e,ours,1,0.5,x", "line 2: wall_s is 'x', expected seconds"),
            ("n,g,e,ours,1,NaN,1", "line 2: cpu_s is 'NaN', expected seconds"),
            ("n,g,e,ours,1,-1,1", "line 2: cpu_s is '-1', expected seconds"),
            ("n,g,e,ours,-1,1,1", "line 2: round is '-1', expected a whole number"),
            ("n,g,e,mine,1,1,1", "line 2: side is 'mine', expected ours or peer"),
            ("n,g,,ours,1,1,1", "line 2: engine is '', expected a name"),
        ] {
            let path = write(dir.path(), "a", &format!("{HEADER}\n{line}\n"));
            let error = read(&path).unwrap_err().to_string();
            assert!(error.ends_with(what) && error.contains(RAW), "{error}");
        }
        let path = write(dir.path(), "a", "engine,seconds\n");
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("begins with 'engine,seconds' instead of"), "{error}");
        let path = dir.path().join("none.csv");
        assert!(read(&path).unwrap_err().to_string().contains("none.csv"));
    }

    #[test]
    fn the_newest_record_of_the_same_machine_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let newest = |machine| newest(dir.path(), machine, "gmf").unwrap();
        assert_eq!(newest("cpu-2"), None);
        for folder in ["2026-01-30-cpu-2", "2025-12-31-cpu-2", "2026-02-01-other", "notes-cpu-2"] {
            write(dir.path(), folder, "");
        }
        // A newer one, but of another study.
        std::fs::create_dir_all(dir.path().join("2026-03-01-cpu-2/jobs")).unwrap();
        assert_eq!(newest("cpu-2"), Some(dir.path().join("2026-01-30-cpu-2/gmf").join(RAW)));
        assert_eq!(newest("u-2"), None);
        assert_eq!(super::newest(&dir.path().join("none"), "cpu-2", "gmf").unwrap(), None);
    }
}
