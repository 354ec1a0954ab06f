//! `polychron run`, `top`, `report` and `reap` from outside.

#![cfg(feature = "shared-times")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::place::{
    DEADLINE, Place, VARIABLES, assert_same, ends, program, texts, until, workers,
};
use common::{Product, utf8};
use gtimer_core::{Times, load_times};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use shm_times::{ProcessState, Session};
use tempfile::TempDir;

#[test]
fn top_shows_the_threads_of_the_demo_live_and_the_report_equals_what_it_saved() {
    let place = Place::new();
    let out = TempDir::new().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let (shared, saved, demo) = (path("shared.json"), path("saved.times"), path("demo"));
    let args = ["run", "--times", &shared, "--"];
    let more = [program(), "demo", "-o", &demo, "--workers", "2", "--times", &saved];
    let child = place
        .command(&[&args[..], &more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let session = place.session();

    let mut top = CommandBuilder::new(program());
    top.args(["top", utf8(session.dir()), "--interval", "0.05"]);
    VARIABLES.iter().for_each(|name| top.env_remove(name));
    top.env("TERM", "xterm-256color");
    let mut screen = Screen::new(top);
    screen.shows("a worker at work", |text| {
        ["1 running", "(demo)", "(worker)", "(integration) <", "kernel", "worker 1", "worker 2"]
            .iter()
            .all(|part| text.contains(part))
            && text.lines().any(|line| line.contains("running") && line.contains("(worker "))
    });
    screen.shows("help, and how it is sorted", |text| {
        text.contains("q quit") && text.contains("sorted by time")
    });
    screen.press("s");
    screen.shows("another order", |text| text.contains("sorted by busy"));
    screen.press("c");
    screen.shows("everything folded", |text| {
        text.contains("+ (worker)") && !text.lines().any(|line| line.trim().starts_with("kernel"))
    });
    screen.press("q");
    assert_eq!(screen.ends(), 0);
    assert!(screen.is_restored(), "the terminal is as it was");

    let output = ends(child);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stderr.contains("[threads]: 2 ranks") && stderr.contains("kernel"), "{stderr}");
    assert_eq!(place.sessions(), Vec::<PathBuf>::new(), "nothing is left");

    let shared = load_times(&shared).unwrap();
    let saved = Times::load(&saved).unwrap();
    assert_eq!(shared.len(), 1);
    assert_same(&shared[0], &saved);
    let by_name = |times| {
        let mut workers = workers(times);
        workers.sort_by(|a, b| a.name.cmp(&b.name));
        workers
    };
    let (shared, saved) = (by_name(&shared[0]), by_name(&saved));
    assert_eq!((shared.len(), saved.len()), (2, 2));
    for (shared, saved) in shared.into_iter().zip(saved) {
        assert_eq!(shared.name, saved.name);
        assert_same(shared, saved);
    }
}

/// A terminal with a program in it.
struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    reader: Option<std::thread::JoinHandle<()>>,
    // Closed when this is dropped, and with it all that the program has of it.
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

fn cells(n: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(n).expect("a screen has cells")
}

impl Screen {
    fn new(command: CommandBuilder) -> Self {
        let size = PtySize { rows: 50, cols: 160, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("there are terminals");
        let child = pair.slave.spawn_command(command).expect("starts");
        drop(pair.slave);
        let mut output = pair.master.try_clone_reader().expect("can be read");
        let keys = pair.master.take_writer().expect("can be written to");
        let parser =
            Arc::new(Mutex::new(vt100::Parser::new(cells(size.rows), cells(size.cols), 0)));
        let seen = Arc::clone(&parser);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error where the other side is closed.
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..n]);
            }
        });
        Self { parser, child, keys, reader: Some(reader), _master: pair.master }
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    fn shows(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !is_there(&self.text()) {
            assert!(start.elapsed() < DEADLINE, "does not show {what}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("takes keys");
        self.keys.flush().expect("takes keys");
    }

    /// The exit code; what was drawn last has been seen then.
    fn ends(&mut self) -> u32 {
        let code = until("the program ends", || self.child.try_wait().expect("can be asked"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reads");
        }
        code.exit_code()
    }

    fn is_restored(&self) -> bool {
        let parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
    }
}

#[test]
fn top_gives_the_terminal_back_when_it_is_told_to_end() {
    let place = Place::new();
    let session = Session::create_in(&place.dir.path().join("polychron")).unwrap();
    let mut top = CommandBuilder::new(program());
    top.args(["top", utf8(session.dir())]);
    VARIABLES.iter().for_each(|name| top.env_remove(name));
    top.env("TERM", "xterm-256color");
    let mut screen = Screen::new(top);
    screen.shows("an empty session", |text| text.contains("0 processes"));
    let pid = screen.child.process_id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.unwrap(), Signal::TERM).unwrap();
    assert_eq!(screen.ends(), 143);
    assert!(screen.is_restored());
}

#[test]
fn after_a_kill_the_report_says_what_was_finished_and_where_the_process_was() {
    let place = Place::new();
    let out = TempDir::new().unwrap();
    let demo = out.path().join("demo");
    let args = ["run", "-q", "--keep", "--", program(), "demo", "-o", utf8(&demo)];
    let child = place.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let session = place.session();
    let pid = until("the demo analyses", || {
        let process = session.snapshot().unwrap().processes.into_iter().next()?;
        let is_in = |name: &str| {
            let currents = process.lanes.iter().filter_map(|lane| lane.current.as_ref());
            currents.into_iter().any(|current| current.path.iter().any(|part| part == name))
        };
        (is_in("analysis") && is_in("integration")).then_some(process.pid)
    });
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(ends(child).status.code(), Some(137));
    let process = session.snapshot().unwrap().processes.remove(0);
    assert_eq!(process.state, ProcessState::Killed);

    let dir = utf8(session.dir());
    // The only session is meant where none is named.
    for args in [&["report", dir][..], &["report"]] {
        let (text, _) = place.expect(0, args);
        assert!(text.contains(&format!("pid {pid}: killed in (")), "{text}");
        assert!(text.contains("since 20") && text.contains("simulate"), "{text}");
    }
    let (html, _) = place.expect(0, &["report", dir, "--format", "html"]);
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("killed in ("), "{html}");
    assert!(html.contains("demo -o"), "the command is told: {html}");
    let (json, notes) = place.expect(0, &["report", dir, "--format", "json"]);
    let file = out.path().join("report.json");
    fs::write(&file, json).unwrap();
    assert!(notes.contains("killed in ("), "{notes}");
    let lanes = load_times(&file).unwrap();
    let [demo] = &lanes[..] else { panic!("one process: {lanes:?}") };
    assert_eq!(demo.name, "demo");
    assert_eq!(demo.stamps[0].name, "simulate");
    assert!(demo.running && demo.stamps[0].cum > 0.0);

    // It was kept, so it stays until it is named.
    let (said, _) = place.expect(0, &["reap"]);
    assert!(said.contains("kept by --keep"), "{said}");
    let (said, _) = place.expect(0, &["reap", dir]);
    assert!(said.contains("removed, with 1 process"), "{said}");
    assert_eq!(place.sessions(), Vec::<PathBuf>::new());
}

#[test]
fn a_session_whose_maker_was_killed_is_removed_by_reap() {
    let place = Place::new();
    let mut child = place
        .command(&["run", "-q", "--", "sh", "-c", "echo ready; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let session = place.session();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (said, _) = place.expect(0, &["reap"]);
    assert!(said.contains("0 processes running"), "a session at work stays: {said}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(session.dir().exists());
    let (said, _) = place.expect(0, &["reap"]);
    assert!(said.contains("removed, with 0 processes"), "{said}");
    assert_eq!(place.sessions(), Vec::<PathBuf>::new());
    // Other programs of this user may have sessions as well, elsewhere.
    let (said, _) = place.expect(0, &["reap"]);
    assert!(!said.contains(&*place.dir.path().to_string_lossy()), "{said}");
}

#[test]
fn run_gives_the_exit_code_of_its_command_and_leaves_nothing() {
    let place = Place::new();
    let code = |args: &[&str]| {
        let child = place.command(&[&["run", "-q", "--"], args].concat()).spawn().unwrap();
        let code = ends(child).status.code();
        assert_eq!(place.sessions(), Vec::<PathBuf>::new(), "{args:?}");
        code
    };
    assert_eq!(code(&["true"]), Some(0));
    assert_eq!(code(&["sh", "-c", "exit 3"]), Some(3));
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(code(&["no-such-command-anywhere"]), Some(127));
    assert_eq!(code(&["/dev/null"]), Some(126));
    place.expect(2, &["run", "-q"]);
    place.expect(1, &["report", "/nowhere/at/all"]);
    // As soon as no other program of this user has a session elsewhere.
    let said = until("there is no session", || {
        let output = place.command(&["top"]).output().unwrap();
        (output.status.code() == Some(1)).then(|| texts(&output).1)
    });
    assert!(said.contains("polychron run -- COMMAND"), "{said}");
}

/// The same command with the signals of the terminal as they are by default.
fn hearing(command: &Command) -> Command {
    let mut all = Command::new("env");
    all.arg("--default-signal=INT,QUIT,HUP,TERM").arg(command.get_program());
    all.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => all.env(name, value),
            None => all.env_remove(name),
        };
    }
    all
}

#[test]
fn run_passes_signals_on_and_still_cleans_up() {
    for (signal, code) in [(Signal::TERM, 7), (Signal::INT, 8)] {
        let place = Place::new();
        let script =
            "trap 'exit 7' TERM; trap 'exit 8' INT; echo ready; while :; do sleep 0.02; done";
        // What starts tests may ignore signals, as shells do for what is in the background, and
        // whoever inherits that neither hears them nor can ask to.
        let command = place.command(&["run", "-q", "--", "sh", "-c", script]);
        let mut child = hearing(&command).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        assert_eq!(place.sessions().len(), 1);
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = ends(child).status;
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(place.sessions(), Vec::<PathBuf>::new());
    }
}

#[test]
fn what_a_terminal_sends_to_all_reaches_the_command_once() {
    let place = Place::new();
    let mut run = CommandBuilder::new(program());
    // It ends a while after the first, so that a second would be counted.
    let script = "n=0; i=0; trap 'n=$((n+1))' INT; echo ready; \
                  while [ $i -lt 25 ]; do sleep 0.02; [ $n -eq 0 ] || i=$((i+1)); done; exit $n";
    run.args(["run", "-q", "--", "sh", "-c", script]);
    VARIABLES.iter().for_each(|name| run.env_remove(name));
    run.env("XDG_RUNTIME_DIR", place.dir.path());
    let mut screen = Screen::new(run);
    screen.shows("that the command listens", |text| text.contains("ready"));
    screen.press("\u{3}");
    assert_eq!(screen.ends(), 1);
    assert_eq!(place.sessions(), Vec::<PathBuf>::new());
}

#[test]
fn what_is_hostile_in_a_session_is_a_note() {
    let place = Place::new();
    let session = Session::create_in(&place.dir.path().join("polychron")).unwrap();
    let path = |name: &str| session.dir().join(name);
    let made = Command::new("mkfifo").arg(path("p-1-1-1.pct")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/etc/passwd", path("p-2-2-2.pct")).unwrap();
    fs::create_dir(path("p-3-3-3.pct")).unwrap();
    fs::write(path("p-4-4-4.pct"), vec![0xa5; 70_000]).unwrap();
    fs::write(path("p-5-5-\u{1b}[2J.pct"), "short").unwrap();
    fs::write(path("command"), "\u{1b}[31mred").unwrap();
    let dir = utf8(session.dir());
    for args in [
        &["report", dir][..],
        &["report", dir, "--format", "html"],
        &["top", dir, "--once"],
        &["top", dir],
    ] {
        let start = Instant::now();
        let (out, _) = place.expect(0, args);
        assert!(start.elapsed() < Duration::from_secs(20), "{args:?}");
        assert!(out.contains("p-2-2-2") && !out.contains('\u{1b}'), "{args:?}: {out}");
    }
    let (out, notes) = place.expect(0, &["report", dir, "--format", "csv"]);
    assert!(notes.contains("note: ") && out.lines().count() <= 1, "{notes}{out}");
    place.expect(0, &["reap", dir]);

    let open = Session::create_in(&place.dir.path().join("polychron")).unwrap();
    fs::set_permissions(open.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let (_, said) = place.expect(1, &["report", utf8(open.dir())]);
    assert!(said.contains("others may write"), "{said}");
}

#[test]
fn timing_changes_no_byte_of_the_results_and_can_be_disabled() {
    let place = Place::new();
    let product = Product::new(3, &[]);
    let analyze = |out: &str, more: &[&str], disable: bool| {
        let args = product.analysis(out, more);
        let mut command = place.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        if disable {
            command.env("GTIMER_DISABLE", "1");
        }
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = ends(command.spawn().unwrap());
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{stdout}{stderr}");
        stderr
    };
    let times = product.path("run.json");
    let said = analyze("timed", &["--workers", "2", "-v", "--times", &times], false);
    for part in ["integrate", "read", "prepare", "kernel", "write", "worker 1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let loaded = Times::load(&times).unwrap();
    let n_kernel: u64 = workers(&loaded)
        .iter()
        .flat_map(|worker| &worker.subdivisions[0].timers)
        .flat_map(|timer| &timer.stamps)
        .filter(|stamp| stamp.name == "kernel")
        .map(|stamp| stamp.itr_num)
        .sum();
    assert_eq!(n_kernel, 3, "{loaded:?}");
    let serial = product.path("serial.times");
    analyze("serial", &["--backend", "serial", "--optimize", "--times", &serial], false);
    let (text, _) = place.expect(0, &["report", &serial]);
    assert!(text.contains("refine") && text.contains("(integration)"), "{text}");

    let none = product.path("none.json");
    let said = analyze("disabled", &["--workers", "2", "-v", "--times", &none], true);
    assert!(said.contains("GTIMER_DISABLE is set") && !said.contains("kernel"), "{said}");
    assert!(!Path::new(&none).exists());
    assert!(product.contents("timed") == product.contents("disabled"), "the same bytes");
    assert_eq!(product.contents("timed").len(), 3);
}

#[test]
fn files_are_reported_in_every_format_and_several_are_ranks() {
    let place = Place::new();
    let out = TempDir::new().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let (a, b) = (path("a.times"), path("b.json"));
    for file in [&a, &b] {
        let product = path(&format!("product{}", file.len()));
        place.expect(0, &["simulate", &product, "-d", "0.1", "--clobber", "--times", file]);
    }
    let (text, _) = place.expect(0, &["report", &a, &b]);
    assert!(text.contains("simulate: 2 ranks") && text.contains("synthesise"), "{text}");
    let total = Times::load(&b).unwrap().total.to_string();
    for (format, part) in [
        ("json", "\"polychron-times\""),
        ("csv", "synthesise"),
        ("trace", "\"ph\""),
        ("folded", ";write"),
        ("html", total.as_str()),
    ] {
        let file = path("report");
        place.expect(0, &["report", &b, "--format", format, "-o", &file]);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(part), "{format}: {text}");
    }
    let (_, said) = place.expect(1, &["simulate", &path("p"), "--times", "/no/such/folder/t"]);
    assert!(said.contains("--times") && !Path::new(&path("p")).exists(), "{said}");
}

#[test]
fn of_several_sessions_that_of_run_is_meant_and_two_are_told_by_their_commands() {
    let place = Place::new();
    // As a program makes one for its workers.
    let other = Session::create_in(&place.dir.path().join("polychron")).unwrap();
    let start = |word: &str| {
        let mut child = place
            .command(&["run", "-q", "--", "sh", "-c", "echo $0; read line", word])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
        child
    };
    let first = start("first");
    let (text, _) = place.expect(0, &["top", "--once"]);
    assert!(text.contains("first"), "{text}");
    let second = start("second");
    for args in [&["top", "--once"][..], &["report"]] {
        let (_, said) = place.expect(1, args);
        assert!(said.contains("name one of them") && said.contains("workers of "), "{said}");
        assert!(said.contains(" first\n") && said.contains(" second"), "{said}");
    }
    for mut child in [first, second] {
        drop(child.stdin.take());
        // `read` fails at the end of its input.
        assert_eq!(ends(child).status.code(), Some(1));
    }
    assert_eq!(place.sessions(), [other.dir()]);
}

#[test]
fn a_session_that_vanishes_costs_its_report_and_not_the_command() {
    let place = Place::new();
    let script = "rm -rf \"$POLYCHRON_SESSION\"; exit 5";
    let (_, said) = place.expect(5, &["run", "--", "sh", "-c", script]);
    assert!(said.contains("was removed meanwhile") && !said.contains("GTIMER_DISABLE"), "{said}");
    let times = place.dir.path().join("run.times");
    let (_, said) = place.expect(1, &["run", "--times", utf8(&times), "--", "sh", "-c", script]);
    assert!(said.contains("nothing is left to save") && !times.exists(), "{said}");
    let (_, said) = place.expect(1, &["run", "--times", "/no/such/file", "--", "touch", "x"]);
    assert!(said.contains("--times /no/such/file: "), "before the command runs: {said}");
}

#[test]
fn reap_removes_no_session_with_files_of_others() {
    let place = Place::new();
    let session = Session::create_in(&place.dir.path().join("polychron")).unwrap();
    let dir = utf8(session.dir());
    let program = program();
    let simulate = ["simulate", utf8(&place.dir.path().join("p")), "-d", "0.1"].map(str::to_owned);
    let mut command = Command::new(program);
    let status =
        command.args(simulate).env("POLYCHRON_SESSION", dir).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
    fs::write(session.dir().join("notes"), "mine").unwrap();
    let (_, said) = place.expect(1, &["reap", dir]);
    assert!(said.contains("not of a session (notes)"), "{said}");
    let (text, _) = place.expect(0, &["report", dir]);
    assert!(text.contains("simulate"), "nothing of it was removed: {text}");
    fs::remove_file(session.dir().join("notes")).unwrap();
    place.expect(0, &["reap", dir]);
    assert_eq!(place.sessions(), Vec::<PathBuf>::new());
}

#[test]
fn a_run_with_histograms_reports_them_in_every_form() {
    let place = Place::new();
    let out = TempDir::new().unwrap();
    let demo = out.path().join("demo");
    let args = ["run", "--histograms", "--keep", "--", program(), "demo", "-o", utf8(&demo)];
    let output = place.command(&args).output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stderr.contains("iterations") && stderr.contains("p99"), "{stderr}");
    let session = place.session();
    let report = |format: &str| {
        let args = ["report", utf8(session.dir()), "--format", format];
        let output = place.command(&args).output().unwrap();
        assert!(output.status.success(), "{:?}", texts(&output));
        texts(&output).0
    };
    assert!(report("text").contains("p99") && report("html").contains("<th>p90</th>"));
    let saved = out.path().join("report.json");
    fs::write(&saved, report("json")).unwrap();
    assert!(!load_times(&saved).unwrap().is_empty(), "the trees are still found");
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    let all = json["histograms"].as_array().unwrap();
    assert!(!all.is_empty());
    for one in all {
        let buckets = one["buckets"].as_array().unwrap().iter();
        let sum: u64 = buckets.map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(one["count"], sum, "{one}");
        assert!(one["path"].as_str().unwrap().starts_with('('), "{one}");
    }
    let output = place.command(&["reap", utf8(session.dir())]).output().unwrap();
    assert!(output.status.success(), "{:?}", texts(&output));
}
