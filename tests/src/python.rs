//! The Python peers: finding the interpreter, running a program of `tests/python/`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a Python program may take in [`run_python`], 120 s.
///
/// Ten times what the slowest one needs on one core: it ends what hangs, not what is slow.
pub const PYTHON_TIMEOUT: Duration = Duration::from_secs(120);

/// What an interpreter must be able to do to be of use to the tests.
const PROBE: &str = "import digital_rf, hardtarget, hardtarget.gmf.gmf_c";

/// The Python interpreter that has `digital_rf` and `hardtarget`, or nothing.
///
/// The one that the environment variable `POLYCHRON_PYTHON` names, else
/// `target/venv/bin/python`, which `cargo xtask setup` makes. It is tried once per process.
///
/// # Panics
///
/// When `POLYCHRON_PYTHON` names an interpreter that cannot import both: whoever set it wants the
/// comparison, so going on without it would hide a fault.
pub fn python() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("POLYCHRON_PYTHON") {
        let path = PathBuf::from(path);
        if let Err(why) = run(&path, ["-c", PROBE], PYTHON_TIMEOUT) {
            panic!("POLYCHRON_PYTHON is of no use: {why}");
        }
        return Some(path);
    }
    let path = crate::root_dir().join("target/venv/bin/python");
    run(&path, ["-c", PROBE], PYTHON_TIMEOUT).is_ok().then_some(path)
}

/// The interpreter that [`python`] finds; without one, the test is skipped and returns.
///
/// Only for functions that return nothing, which is what tests do.
#[macro_export]
macro_rules! require_python {
    () => {
        match $crate::python() {
            Some(python) => python,
            None => {
                fn here() {}
                let test = $crate::test_name(::std::any::type_name_of_val(&here));
                $crate::skip(test, "no digital_rf and hardtarget in target/venv");
                return;
            }
        }
    };
}

/// Runs `tests/python/SCRIPT` with `args` and returns what it printed to its standard output.
///
/// # Panics
///
/// When the program is missing, fails, prints something that is not UTF-8, or takes longer than
/// [`PYTHON_TIMEOUT`]; the message holds what it printed to its standard error.
pub fn run_python<A: AsRef<OsStr>>(
    python: &Path,
    script: &str,
    args: impl IntoIterator<Item = A>,
) -> String {
    run_python_within(PYTHON_TIMEOUT, python, script, args)
}

/// As [`run_python`], with another limit of time.
///
/// # Panics
///
/// As [`run_python`].
pub fn run_python_within<A: AsRef<OsStr>>(
    timeout: Duration,
    python: &Path,
    script: &str,
    args: impl IntoIterator<Item = A>,
) -> String {
    let path = crate::package_dir().join("python").join(script);
    assert!(path.is_file(), "there is no {}", path.display());
    let mut all = vec![path.into_os_string()];
    all.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    run(python, all, timeout).unwrap_or_else(|why| panic!("{script}: {why}"))
}

/// Runs a program to its end and returns its standard output, or says what went wrong.
fn run<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    timeout: Duration,
) -> Result<String, String> {
    let deadline = Instant::now() + timeout;
    let mut child = Command::new(program)
        .args(args)
        // A peer must not leave its compiled files in the working tree.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("could not start {}: {e}", program.display()))?;
    // Both pipes are emptied at the same time: a full one would stop the program for ever.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let ended = wait(&mut child, deadline);
    if ended.is_none() {
        // Nothing else is left to do should this fail: the program has ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
    // The pipes end with the program, unless a child of its own has kept them.
    let grace = deadline.max(Instant::now() + Duration::from_secs(5));
    let stderr = text(&stderr, grace).unwrap_or_else(|why| format!("(standard error: {why})"));
    let stdout = text(&stdout, grace);
    match ended {
        None => Err(format!("did not end within {timeout:?}\n{stderr}")),
        Some(Err(e)) => Err(format!("could not wait for it: {e}\n{stderr}")),
        Some(Ok(status)) if !status.success() => Err(format!("{status}\n{stderr}")),
        Some(Ok(_)) => stdout.map_err(|why| format!("standard output: {why}\n{stderr}")),
    }
}

/// Waits for the end of a child, at most until the deadline.
fn wait(child: &mut Child, deadline: Instant) -> Option<std::io::Result<std::process::ExitStatus>> {
    // The standard library has no wait with a limit, so this asks every few milliseconds.
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(status)) => return Some(Ok(status)),
            Err(e) => return Some(Err(e)),
        }
    }
    None
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes));
        // Nobody listens any more when the limit of time has passed.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver
}

fn text(pipe: &Receiver<std::io::Result<Vec<u8>>>, deadline: Instant) -> Result<String, String> {
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = pipe.recv_timeout(left).map_err(|_| "still open".to_owned())?;
    String::from_utf8(bytes.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shell stands in for Python here, so that these hold on a machine without it.
    fn sh(script: &str, timeout: Duration) -> Result<String, String> {
        run(Path::new("/bin/sh"), ["-c", script], timeout)
    }

    #[test]
    fn what_a_program_prints_comes_back() {
        assert_eq!(sh("echo good; echo bad >&2", PYTHON_TIMEOUT).unwrap(), "good\n");
    }

    /// 1 MiB is sixteen times what a pipe holds.
    #[test]
    fn a_program_that_prints_much_is_not_stopped() {
        let script = "head -c 1048576 /dev/zero >&2; head -c 1048576 /dev/zero";
        assert_eq!(sh(script, PYTHON_TIMEOUT).unwrap().len(), 1 << 20);
    }

    #[test]
    fn a_failure_carries_the_status_and_the_standard_error() {
        let why = sh("echo told so >&2; exit 3", PYTHON_TIMEOUT).unwrap_err();
        assert!(why.contains("exit status: 3") && why.contains("told so"), "{why}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let why = sh("echo before >&2; exec sleep 600", Duration::from_millis(200)).unwrap_err();
        assert!(why.contains("did not end within 200ms") && why.contains("before"), "{why}");
    }

    #[test]
    fn a_missing_interpreter_is_named() {
        let why = run(Path::new("/nowhere/python"), ["-V"], PYTHON_TIMEOUT).unwrap_err();
        assert!(why.contains("/nowhere/python"), "{why}");
    }

    #[test]
    fn the_peers_have_the_versions_that_the_requirements_pin() {
        let python = crate::require_python!();
        let wanted = std::fs::read_to_string(crate::package_dir().join("python/requirements.txt"));
        let wanted = wanted.unwrap();
        let printed = run_python(&python, "versions.py", ["digital_rf", "hardtarget", "numpy"]);
        assert_eq!(printed.lines().count(), 3, "{printed}");
        for line in printed.lines() {
            assert!(wanted.lines().any(|pin| pin == line), "{line} is not pinned");
        }
    }
}
