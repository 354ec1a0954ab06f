//! What the tests of `polychron sweep` share: a folder with programs, and who is alive.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::expect;

/// A folder for programs and results.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("is UTF-8").to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("is there")
    }

    /// Makes a program of a shell script; gives its path.
    pub(crate) fn script(&self, name: &str, body: &str) -> String {
        let path = self.path(&format!("{name}.sh"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("sets");
        path
    }

    pub(crate) fn args(&self, out: &str, more: &[&str], command: &[String]) -> Vec<String> {
        let out = self.path(out);
        let words = ["sweep", "-o", &out].into_iter().chain(more.iter().copied());
        words.map(str::to_owned).chain(command.iter().cloned()).collect()
    }

    /// Runs a sweep and asserts the exit code; gives stdout and stderr.
    pub(crate) fn sweep(
        &self,
        code: i32,
        out: &str,
        more: &[&str],
        command: &[String],
    ) -> (String, String) {
        let args = self.args(out, more, command);
        expect(code, &args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// How many processes have this word in their command line; waits until there is none.
pub(crate) fn alive(word: &str, deadline: Duration) -> usize {
    let until = Instant::now() + deadline;
    loop {
        let processes = fs::read_dir("/proc").expect("lists").flatten();
        let n = processes
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .filter(|line| line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes()))
            .count();
        if n == 0 || Instant::now() > until {
            return n;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
