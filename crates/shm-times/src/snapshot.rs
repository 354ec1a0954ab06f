//! What a reader gives: plain data.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use gtimer_core::Times;

use crate::histogram::StampHistogram;
use crate::label::Label;

/// What the processes of a session had measured at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The session's directory.
    pub session: PathBuf,
    /// When it was taken.
    pub taken: SystemTime,
    /// The processes that have a file in the session, by pid; of ended ones, the latest.
    pub processes: Vec<ProcessTimes>,
    /// The sums over ended processes whose files were removed, by label.
    pub retired: Vec<RetiredTimes>,
    /// What could not be read, and why.
    pub notes: Vec<Note>,
}

impl Snapshot {
    /// One `Times` for each thread that measured anything, as workers for a parallel group: named
    /// by the label of its process, or `pid 123`, and, where the process has several threads, by
    /// the thread as well. `keep` says which processes count; one's own should not.
    ///
    /// The names are unique, so that attaching them twice under one group adds them.
    #[must_use]
    pub fn workers(&self, keep: impl Fn(&ProcessTimes) -> bool) -> Vec<Times> {
        let mut workers: Vec<Times> = Vec::new();
        for process in self.processes.iter().filter(|process| keep(process)) {
            let pid = process.pid;
            let text = &process.label.text;
            let who = if text.is_empty() { format!("pid {pid}") } else { text.clone() };
            let alone = process.lanes.len() == 1;
            for LaneTimes { thread, tid, times, .. } in &process.lanes {
                let mut name = match (alone, thread.as_str()) {
                    (true, _) => who.clone(),
                    (false, "") => format!("{who}, thread {tid}"),
                    (false, thread) => format!("{who}, {thread}"),
                };
                for more in [format!(", thread {tid}"), format!(", pid {pid}")] {
                    if workers.iter().any(|other| other.name == name) {
                        name += &more;
                    }
                }
                let unique = name.clone();
                let mut n = 1;
                while workers.iter().any(|other| other.name == name) {
                    n += 1;
                    name = format!("{unique} ({n})");
                }
                workers.push(Times { name, position: None, ..times.clone() });
            }
        }
        workers
    }
}

/// What one process measured.
#[derive(Clone, Debug)]
pub struct ProcessTimes {
    /// The process, a number in its own pid namespace.
    pub pid: u32,
    /// Which part of a whole it is.
    pub label: Label,
    /// Whether it runs, ended, or was killed.
    pub state: ProcessState,
    /// When it began to share its times.
    pub began: SystemTime,
    /// Its threads; those that ended are one together, called `ended threads`.
    pub lanes: Vec<LaneTimes>,
    /// Timers and stamps that had no room, so that only the process itself knows of them.
    pub dropped: u64,
    /// The name of its first file, without the ending.
    pub file: String,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs.
    Running,
    /// It ended by itself.
    Ended,
    /// It is gone, and had no time to say so: killed, or aborted.
    Killed,
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Killed => "killed",
        })
    }
}

/// What one thread measured.
#[derive(Clone, Debug)]
pub struct LaneTimes {
    /// The name of the thread, or empty.
    pub thread: String,
    /// Its number in the kernel; 0 for the sum over threads that ended.
    pub tid: u32,
    /// Where it is, or was when its process ended; `None` when it is in no timer.
    pub current: Option<Current>,
    /// The tree, with the open spans counted up to now (of a process that is gone: up to the
    /// latest sign of it), and those timers marked as running.
    pub times: Times,
    /// How long the iterations of its stamps were, where the process was asked for that.
    pub histograms: Vec<StampHistogram>,
}

/// Where a thread is.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// The timers around it, outermost first.
    pub path: Vec<String>,
    /// Since when nothing was begun, stamped or ended.
    pub since: SystemTime,
    /// How long that is, in s.
    pub for_s: f64,
}

/// The sum over ended processes of one label.
#[derive(Clone, Debug)]
pub struct RetiredTimes {
    /// The label that they had in common; may be empty.
    pub label: String,
    /// How many they were.
    pub processes: u64,
    /// How many of them were killed.
    pub killed: u64,
    /// The sums, one tree for each name of a root.
    pub times: Vec<Times>,
    /// How long the iterations of their stamps were, as far as the processes were asked for that.
    pub histograms: Vec<StampHistogram>,
}

/// Something in the session that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file, with anything that a terminal would obey escaped.
    pub file: String,
    /// What is wrong with it.
    pub kind: NoteKind,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.kind)
    }
}

/// What was wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteKind {
    /// A link, a directory, a FIFO, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// It belongs to another user.
    #[error("belongs to user {owner}")]
    ForeignOwner {
        /// The number of its owner.
        owner: u32,
    },
    /// Too small for a header, or larger than any file of ours.
    #[error("has {bytes} bytes, which no file of a session has")]
    Size {
        /// Its length.
        bytes: u64,
    },
    /// It does not begin as our files do, or not yet.
    #[error("is not a file of times")]
    NotTimes,
    /// Of another version of the format.
    #[error("has version {major}.{minor} of the format, which this program does not know")]
    Version {
        /// What changes when readers must change.
        major: u16,
        /// What changes when something was added.
        minor: u16,
    },
    /// Written on a machine with the other order of bytes.
    #[error("has the other order of bytes")]
    ByteOrder,
    /// Numbers in it contradict each other; what was left out.
    #[error("is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// Records of it were written too fast to be read; the latest known numbers stand for them.
    #[error("{records} records were busy")]
    Busy {
        /// How many.
        records: usize,
    },
    /// There was no room in it for some timers and stamps.
    #[error("has no room for {dropped} timers or stamps, which are left out")]
    Overflow {
        /// How many.
        dropped: u64,
    },
    /// There was no room in it for the histograms of some stamps.
    #[error("has no room for the histograms of {stamps} stamps")]
    NoHistogram {
        /// How many.
        stamps: u64,
    },
    /// The system refused.
    #[error("could not be read: {reason}")]
    Io {
        /// What the system said.
        reason: String,
    },
    /// There are more files than are read.
    #[error("and {more} further files are not read")]
    TooMany {
        /// How many.
        more: usize,
    },
}
