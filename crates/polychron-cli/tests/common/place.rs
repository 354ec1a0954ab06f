//! Sessions of one test alone, and how what they tell is compared with what was saved.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gtimer_core::Times;
use shm_times::Session;
use tempfile::TempDir;

/// What has not happened by then never will.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
pub(crate) const VARIABLES: [&str; 3] = ["POLYCHRON_SESSION", "GTIMER_DISABLE", "POLYCHRON_LABEL"];

/// A place in memory for sessions of one test alone.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("polychron-test-").tempdir_in("/dev/shm");
        Self { dir: dir.expect("there is shared memory") }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = super::polychron(args);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("XDG_RUNTIME_DIR", self.dir.path());
        command
    }

    pub(crate) fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let output = ends(child.expect("starts"));
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}\nstdout: {out}\nstderr: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        (out, err)
    }

    pub(crate) fn sessions(&self) -> Vec<PathBuf> {
        let dirs = fs::read_dir(self.dir.path().join("polychron")).into_iter().flatten();
        dirs.map(|entry| entry.expect("lists").path()).collect()
    }

    /// The session that a command makes that was started just now.
    pub(crate) fn session(&self) -> Session {
        let dir = until("there is a session", || self.sessions().first().cloned());
        until("it is open to its owner", || Session::open(&dir).ok())
    }
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits with a deadline; the output must be little, or not piped.
pub(crate) fn ends(mut child: Child) -> Output {
    let start = Instant::now();
    let mut pipes = [child.stdout.take().map(spool), child.stderr.take().map(spool)];
    while child.try_wait().expect("can be waited for").is_none() {
        if start.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("the command hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut text =
        |at: usize| pipes[at].take().map_or_else(Vec::new, |pipe| pipe.join().expect("reads"));
    let (stdout, stderr) = (text(0), text(1));
    Output { status: child.wait().expect("has ended"), stdout, stderr }
}

fn spool(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_polychron")
}

/// Every timer and stamp by its place, with its time and count.
pub(crate) fn numbers(times: &Times, path: &str, found: &mut Vec<(String, f64, u64)>) {
    found.push((path.to_owned(), times.total, 0));
    for stamp in &times.stamps {
        found.push((format!("{path}/{}", stamp.name), stamp.cum, stamp.itr_num));
    }
    for at in &times.subdivisions {
        for timer in &at.timers {
            numbers(timer, &format!("{path}/{}/({})", at.position, timer.name), found);
        }
    }
}

pub(crate) fn assert_same(shared: &Times, saved: &Times) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    numbers(shared, "", &mut a);
    numbers(saved, "", &mut b);
    a.sort_by(|a, b| a.0.cmp(&b.0));
    b.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(a.len(), b.len(), "{a:#?}\n{b:#?}");
    for (a, b) in a.iter().zip(&b) {
        let is_near = (a.1 - b.1).abs() <= 1e-6 * b.1.abs() + 1e-8;
        assert!(a.0 == b.0 && a.2 == b.2 && is_near, "shared {a:?}, saved {b:?}");
    }
}

/// The workers of all groups below a timer.
pub(crate) fn workers(times: &Times) -> Vec<&Times> {
    let mut found: Vec<&Times> = times.parallel.iter().flat_map(|group| &group.workers).collect();
    for below in times.subdivisions.iter().flat_map(|at| &at.timers) {
        found.extend(workers(below));
    }
    found
}
