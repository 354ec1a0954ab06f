//! The program of a check once more, alone in a process of its own: to count what it leaves, to
//! kill it, and to see how it ends.

use std::cell::Cell;
use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::log::{Log, wait_until};
use crate::setup::{DEADLINE, REPEAT};

/// The variable that tells a check that it was started by itself. Its value is of this start alone,
/// so whoever has it in its environment was started by this program or by what that started.
const ALONE: &str = "POLYCHRON_CONFORMANCE_ALONE";
/// The folder for the notes of a program that is alone.
const FOLDER: &str = "POLYCHRON_CONFORMANCE_LOG";
/// Which of several variants it is.
const VARIANT: &str = "POLYCHRON_CONFORMANCE_VARIANT";

/// How soon a program has to be over, and everything with it, after what ended it.
const SOON: Duration = Duration::from_secs(2);
/// The same for the ranks of an MPI job, which a launcher ends; that of Open MPI takes a second or two.
const SOON_BY_LAUNCHER: Duration = Duration::from_secs(5);
/// What the launchers of Open MPI and MPICH leave in the environment of ranks.
const LAUNCHED: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// The most of the machine's load, as threads for each CPU, that is an excuse for being later.
const MOST_LOAD: f64 = 5.0;

/// How soon it has to be over on this machine now: as much later as each CPU has threads to run
/// beside it, since it gets its turn that much later.
fn soon() -> Duration {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // The average of a minute first, and fourth those that run just now, of all that there are.
    let number = |field: usize| -> Option<f64> {
        text.split_whitespace().nth(field)?.split('/').next()?.parse().ok()
    };
    let n_threads = number(0).into_iter().chain(number(3)).fold(0.0, f64::max);
    let n_cpus = thread::available_parallelism().map_or(1, usize::from);
    let is_launched = LAUNCHED.iter().any(|name| env::var_os(name).is_some());
    let soon = if is_launched { SOON_BY_LAUNCHER } else { SOON };
    soon.mul_f64((n_threads / n_cpus as f64).clamp(1.0, MOST_LOAD))
}

/// A program that can be started.
pub(crate) struct Program {
    command: Command,
    mark: String,
    folder: TempDir,
}

/// A program that runs, or did.
pub(crate) struct Started {
    child: Child,
    mark: String,
    folder: TempDir,
    over: Cell<bool>,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
    /// From what ended it (the first note `failed`, else `done`) until it and all that it had
    /// started were gone.
    pub(crate) after: Duration,
}

/// Does `inside` if this process is the program that was started for it, as which variant and with
/// its notes, and is `None` then; otherwise the program, to be started.
pub(crate) fn alone(variant: usize, inside: impl FnOnce(usize, &Log)) -> Option<Program> {
    if env::var_os(ALONE).is_some() {
        let log = Log::at(env::var(FOLDER).unwrap().into());
        inside(env::var(VARIANT).unwrap().parse().unwrap(), &log);
        log.note("done", 0);
        return None;
    }
    let name = thread::current().name().expect("checks have names").to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("{}-{}", process::id(), folder.path().display());
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &name, "--test-threads=1", "--nocapture"]);
    command.env(ALONE, &mark).env(FOLDER, folder.path()).env(VARIANT, variant.to_string());
    command.env_remove(REPEAT).stdin(Stdio::null());
    Some(Program { command, mark, folder })
}

impl Program {
    /// Where its tasks note what they do.
    pub(crate) fn log(&self) -> Log {
        Log::at(self.folder.path().to_owned())
    }

    /// Starts it.
    pub(crate) fn start(self) -> Started {
        let Self { mut command, mark, folder } = self;
        // To files, which take any length without anybody reading.
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Started { child, mark, folder, over: Cell::new(false) }
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }
}

impl Started {
    /// Kills it, by `SIGKILL`, and gives how long it took until nobody of it was left.
    pub(crate) fn kill(mut self) -> Duration {
        let begin = Instant::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.await_nobody(begin);
        begin.elapsed()
    }

    /// What it has printed.
    fn text(&self) -> String {
        let text = |name: &str| {
            let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        text("stdout") + &text("stderr")
    }

    fn end(mut self) -> Ended {
        let begin = Instant::now();
        let mut status = None;
        let patience = DEADLINE / 2;
        while status.is_none() && begin.elapsed() < patience {
            status = self.child.try_wait().unwrap();
            thread::sleep(Duration::from_micros(200));
        }
        let Some(status) = status else {
            let text = self.text();
            self.kill();
            panic!("the program hangs, after it printed {text}");
        };
        self.await_nobody(Instant::now());
        let log = Log::at(self.folder.path().to_owned());
        let since = log.first("failed").or_else(|| log.first("done"));
        let after = since.and_then(|since| SystemTime::now().duration_since(since).ok());
        Ended { status, text: self.text(), after: after.unwrap_or_default() }
    }

    /// Waits until nobody is alive that was started by this program.
    fn await_nobody(&self, since: Instant) {
        self.over.set(true);
        loop {
            let left = family(&self.mark);
            if left.is_empty() {
                return;
            }
            let waited = since.elapsed();
            if waited > SOON && waited > soon() {
                left.iter().for_each(|(pid, _)| end_process(pid));
                panic!("still alive after {waited:?}: {left:?}");
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Started {
    /// A check that failed before the end leaves nobody, either.
    fn drop(&mut self) {
        if !self.over.get() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl Ended {
    /// Fails unless the program did what it was to do and ended soon; says how soon it was.
    pub(crate) fn assert_soon(&self, what: &str) {
        #[expect(clippy::print_stdout, reason = "the figure is asked for")]
        {
            println!("{what}: nobody was left after {:.1?}", self.after);
        }
        assert!(self.after < soon(), "{what} took {:?}: {}", self.after, self.text);
    }

    pub(crate) fn assert_success(&self) {
        assert!(self.status.success(), "{}: {}", self.status, self.text);
        assert!(self.text.contains("1 passed"), "it did not run: {}", self.text);
    }
}

fn end_process(pid: &str) {
    let _gone = Command::new("kill").args(["-9", pid]).status();
}

/// The state of a process: `R`, `S`, `Z`, ...; none if there is no such process.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Those who are alive and have this mark in their environment, with their names.
fn family(mark: &str) -> Vec<(String, String)> {
    let mark = format!("{ALONE}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let belongs = |pid: &String| {
        pid.bytes().all(|byte| byte.is_ascii_digit())
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == mark.as_bytes()))
            && state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
    };
    let name = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    numbers.filter(belongs).map(|pid| (pid.clone(), name(&pid).trim().to_owned())).collect()
}

/// The children of this process, zombies among them.
pub(crate) fn children() -> Vec<String> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut pids: Vec<String> = tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    pids.sort_unstable();
    pids
}

/// Fails if a child of this process is dead and nobody has waited for it.
pub(crate) fn assert_no_zombies() {
    // One that dies just now is waited for in a moment.
    let zombies = || children().iter().any(|pid| state(pid) == Some('Z'));
    wait_until("there was no zombie", || !zombies());
}

/// Whether what a process has can be counted here.
pub(crate) fn can_count() -> bool {
    Path::new("/proc/self/fd").exists()
}

/// How many of each thing that a process can leak this one has. `pids` are those of all processes
/// that it ever had, whose segments count as its own.
pub(crate) fn belongings(pids: &mut Vec<String>) -> [(&'static str, usize); 5] {
    let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let children = children();
    pids.extend(children.iter().cloned());
    pids.push(process::id().to_string());
    pids.sort_unstable();
    pids.dedup();
    let own = |name: &str| {
        name.split(|c: char| !c.is_ascii_digit()).any(|number| pids.iter().any(|pid| pid == number))
    };
    let files = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let segments = files.filter(|file| file.file_name().to_str().is_some_and(own)).count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let shared = |line: &&str| line.contains("memfd:") || line.contains("/dev/shm/");
    [
        ("descriptors", count("/proc/self/fd")),
        ("threads", count("/proc/self/task")),
        ("children", children.len()),
        ("segments", segments),
        ("mapped segments", maps.lines().filter(shared).count()),
    ]
}
