//! Sessions: processes that share their times while they run, and what is left of them.

mod histograms;
pub(crate) mod reap;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod top;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use gtimer_core::report::printable;
use gtimer_core::{ParallelGroup, Times, UNASSIGNED};
use polychron::shm_times::{
    Current, LaneTimes, ProcessState, ProcessTimes, Session, Snapshot, activate,
};

/// Beside the files of the processes: what `run` was told to run, as one would type it.
const COMMAND_FILE: &str = "command";
/// Beside them, too: says that the session is to stay until it is removed by its name.
const KEPT_FILE: &str = "kept";

/// Lets what this program times be seen in the session of the environment, if there is one.
pub(crate) fn share() {
    // The linker may have left out what does so by itself.
    activate();
}

/// The times of one thread, of several ended ones of one name, or of one file.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// What names it among the others.
    pub(crate) name: String,
    /// Its process, by its place in the snapshot.
    pub(crate) process: Option<usize>,
    /// Whether it is the thread that the process began with. Where threads have ended, their
    /// numbers are not known any more, and it is taken for the one that took longest.
    pub(crate) is_main: bool,
    /// When its process began, in s after the first of all.
    pub(crate) start_s: f64,
    /// Where it is, or was when its process ended.
    pub(crate) current: Option<Current>,
    pub(crate) state: Option<ProcessState>,
    pub(crate) times: Times,
}

/// All threads of all processes, in order, with names that differ.
pub(crate) fn lanes(snapshot: &Snapshot) -> Vec<Lane> {
    let first = snapshot.processes.iter().map(|process| process.began).min();
    let mut lanes = Vec::new();
    for (at, process) in snapshot.processes.iter().enumerate() {
        let number = process.lanes.iter().position(|lane| lane.tid == process.pid);
        let by_total = |a: &&LaneTimes, b: &&LaneTimes| a.times.total.total_cmp(&b.times.total);
        let longest = process.lanes.iter().filter(|lane| lane.tid == 0).max_by(by_total);
        let since = first.and_then(|first| process.began.duration_since(first).ok());
        for (lane_at, lane) in process.lanes.iter().enumerate() {
            let times = printable(&lane.times);
            let root = match times.name.as_str() {
                "root" => lane.thread.as_str(),
                name => name,
            };
            lanes.push(Lane {
                name: format!("{}, {}", who(process), visible(root)),
                process: Some(at),
                is_main: match number {
                    Some(main) => main == lane_at,
                    None => longest.is_some_and(|longest| std::ptr::eq(longest, lane)),
                },
                start_s: since.unwrap_or_default().as_secs_f64(),
                current: lane.current.clone(),
                state: Some(process.state),
                times,
            });
        }
    }
    for retired in &snapshot.retired {
        let label = visible(&retired.label);
        let label = if label.is_empty() { String::new() } else { format!(" of {label}") };
        for times in &retired.times {
            let times = printable(times);
            lanes.push(Lane {
                name: format!("{} ended{label}, {}", retired.processes, times.name),
                process: None,
                is_main: false,
                start_s: 0.0,
                current: None,
                state: Some(ProcessState::Ended),
                times,
            });
        }
    }
    let mut names = HashSet::new();
    for lane in &mut lanes {
        let plain = lane.name.clone();
        let mut n = 1;
        while !names.insert(lane.name.clone()) {
            n += 1;
            lane.name = format!("{plain} ({n})");
        }
    }
    lanes
}

/// One lane for each process that has a timer on its first thread, with the timers of its other
/// threads as a parallel group of that one; other threads stand by themselves.
pub(crate) fn by_process(lanes: Vec<Lane>) -> Vec<Lane> {
    let (mut mains, others): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|lane| lane.is_main);
    for lane in others {
        let main = mains.iter_mut().find(|main| main.is_main && main.process == lane.process);
        let Some(main) = main else {
            mains.push(lane);
            continue;
        };
        let group = match &mut main.times.parallel[..] {
            [group] => group,
            _ => {
                main.times.parallel.push(ParallelGroup {
                    position: UNASSIGNED.to_owned(),
                    group: "threads".to_owned(),
                    workers: Vec::new(),
                });
                &mut main.times.parallel[0]
            }
        };
        // What tells it from other processes' is the process itself.
        let name = lane.name.split_once(", ").map_or(lane.name.as_str(), |(_, name)| name);
        group.workers.push(Times { name: name.to_owned(), ..lane.times });
    }
    mains
}

/// What a process is called.
pub(crate) fn who(process: &ProcessTimes) -> String {
    let label = visible(&process.label.text);
    if label.is_empty() {
        format!("pid {}", process.pid)
    } else {
        format!("{label} (pid {})", process.pid)
    }
}

/// What became of a process and where it is, or was: `killed in (demo) / (analysis) since …`. Of
/// several threads, the one where something happened last.
pub(crate) fn whereabouts(process: &ProcessTimes) -> String {
    let state = process.state;
    let currents = process.lanes.iter().filter_map(|lane| lane.current.as_ref());
    let Some(current) = currents.max_by_key(|current| current.since) else {
        return state.to_string();
    };
    format!("{state} in {} since {}", path(current), clock_time(current.since))
}

/// `(demo) / (analysis)`.
pub(crate) fn path(current: &Current) -> String {
    let names: Vec<String> =
        current.path.iter().map(|name| format!("({})", visible(name))).collect();
    names.join(" / ")
}

/// A name without anything that a terminal would obey.
pub(crate) fn visible(name: &str) -> String {
    printable(&Times { name: name.to_owned(), ..Times::default() }).name
}

/// To the ms, UTC.
pub(crate) fn clock_time(time: SystemTime) -> String {
    let ms = |time: jiff::Timestamp| time.round(jiff::Unit::Millisecond).unwrap_or(time);
    jiff::Timestamp::try_from(time).map_or_else(|_| "long ago".to_owned(), |t| ms(t).to_string())
}

/// The session that is meant: the named one, that of the environment, or the only one.
pub(crate) fn choose(named: Option<&Path>) -> anyhow::Result<Session> {
    if let Some(named) = named {
        return open(named);
    }
    if let Some(session) = Session::from_env()? {
        return Ok(session);
    }
    let all = Session::list();
    // Programs make some for their own workers; who types this means the one of `run`.
    let of_run: Vec<&PathBuf> = all.iter().filter(|dir| command_of(dir).is_some()).collect();
    match (&all[..], &of_run[..]) {
        ([one], _) => Ok(Session::open(one)?),
        (_, [one]) => Ok(Session::open(one)?),
        ([], _) => bail!("there is no session; start one with polychron run -- COMMAND"),
        _ => bail!("there are {} sessions, name one of them:\n{}", all.len(), list(&all)),
    }
}

/// Opens a session by its directory, or by the name of that alone.
fn open(named: &Path) -> anyhow::Result<Session> {
    if named.components().count() == 1
        && !named.exists()
        && let Some(found) = Session::list().into_iter().find(|dir| dir.ends_with(named))
    {
        return Ok(Session::open(&found)?);
    }
    Ok(Session::open(named)?)
}

fn list(all: &[PathBuf]) -> String {
    let line = |dir: &PathBuf| {
        let command = command_of(dir).or_else(|| maker_of(dir));
        let command = command.map(|command| format!("    {command}"));
        format!("  {}{}", dir.display(), command.unwrap_or_default())
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What the session was made for, if that is known.
pub(crate) fn command_of(dir: &Path) -> Option<String> {
    let path = dir.join(COMMAND_FILE);
    let meta = fs::symlink_metadata(&path).ok()?;
    // Nobody else may write there, but whoever did it by hand need not be obeyed either.
    if !meta.is_file() || meta.len() > 64 << 10 {
        return None;
    }
    fs::read(&path).ok().map(|bytes| visible(String::from_utf8_lossy(&bytes).trim_end()))
}

/// The command line of the process that made a session, while it is there.
fn maker_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_string_lossy();
    let pid: u32 = name.split('-').next()?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let line = words.collect::<Vec<_>>().join(" ");
    let line = line.trim_end();
    (!line.is_empty()).then(|| format!("workers of {}", visible(line)))
}

/// Removes a session with all that this program puts there; nothing where there is something else.
pub(crate) fn end(session: Session) -> anyhow::Result<()> {
    let entries = fs::read_dir(session.dir()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_ours = |name: &String| {
        [COMMAND_FILE, KEPT_FILE, "lock"].contains(&&**name) || name.ends_with(".pct")
    };
    let mut others: Vec<String> = names.filter(|name| !is_ours(name)).collect();
    if !others.is_empty() {
        others.sort();
        let others: Vec<String> = others.iter().take(5).map(|name| visible(name)).collect();
        bail!(
            "{}: not removed, since there are files in it that are not of a session ({})",
            session.dir().display(),
            others.join(", ")
        );
    }
    for name in [COMMAND_FILE, KEPT_FILE] {
        let path = session.dir().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(session.end()?)
}
