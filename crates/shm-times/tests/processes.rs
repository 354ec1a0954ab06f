//! Processes that fork, start others, are killed, and come by the thousand.
#![expect(unsafe_code, reason = "fork is not to be had otherwise")]

mod common;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use common::skips::skip;
use common::{Scratch, child, ended, iterations, iterations_of, root_of, stamped, until};
use gtimer_core::publish::{NodeKind, Place, Position, Publisher, Values, new_publisher};
use shm_times::{LABEL_VARIABLE, ProcessState, SESSION_VARIABLE, Session, Snapshot, publish_in};

/// Publishes `n` iterations in a timer of this name.
fn work(publisher: &mut dyn Publisher, root: &Place, name: &str, n: u64) -> Place {
    let timer = publisher.add(NodeKind::Subdivision, name, Some(root.node)).expect("there is room");
    timer.latch.publish(Values { num: 1, last: 1, ..Values::default() });
    let stamp = publisher.add(NodeKind::Stamp, "stamp", Some(timer.node)).expect("there is room");
    stamped(&stamp, n);
    let here = u64::from(timer.node) + 1;
    publisher.current().publish(Values { ticks: here, num: 2, last: 1, ..Values::default() });
    timer
}

fn in_session() -> (Box<dyn Publisher>, Place) {
    root_of(new_publisher().expect("the variable names a session"))
}

/// What the others start this program for; by itself it does nothing.
#[test]
fn as_child() {
    match std::env::var("SHM_TIMES_ROLE").as_deref() {
        Ok("short") => {
            let (mut publisher, root) = in_session();
            work(&mut *publisher, &root, "short", 3);
            // As most programs end: nobody drops what lives in a thread.
            std::process::exit(0);
        }
        Ok("wait") => {
            let (mut publisher, root) = in_session();
            work(&mut *publisher, &root, "waiting", 5);
            std::io::stdin().read_exact(&mut [0]).expect("a byte");
        }
        Ok("fork") => fork_inside(),
        Ok("forks") => fork_while_files_are_made(),
        Ok("exec") => {
            let (mut publisher, root) = in_session();
            work(&mut *publisher, &root, "before", 1);
            let mut short = Command::new(std::env::current_exe().expect("known"));
            short.args(["--exact", "as_child"]).env("SHM_TIMES_ROLE", "short");
            assert!(short.status().expect("it starts").success());
        }
        Ok("private") => {
            // It shares nothing, and works all the same.
            assert!(new_publisher().is_none() && new_publisher().is_none());
        }
        Ok("full") => {
            if let Some(publisher) = new_publisher() {
                let (mut publisher, root) = root_of(publisher);
                work(&mut *publisher, &root, "full", 1);
            }
            println!("finished");
        }
        // Nobody started it for anything.
        Err(std::env::VarError::NotPresent) => {}
        role => panic!("{role:?} is no role"),
    }
}

/// Forks inside a subdivision; both go on, then the parent dies first while the child still runs.
fn fork_inside() {
    let (mut publisher, root) = in_session();
    let timer = work(&mut *publisher, &root, "forking", 7);
    let stamp = publisher.add(NodeKind::Stamp, "after", Some(timer.node)).expect("there is room");
    // SAFETY: the child uses what is async-signal-safe or its own, as any forking program does;
    // glibc's allocator and its locks are in order after a fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        assert_eq!(publisher.armed().load(std::sync::atomic::Ordering::Relaxed), 0);
        // What belongs to the parent takes nothing any more.
        assert!(publisher.add(NodeKind::Stamp, "not mine", Some(root.node)).is_none());
        publisher.set_position(timer.node, Position::Free);
        let own = publisher.forked().expect("its own file");
        let (mut publisher, root) = root_of(own);
        work(&mut *publisher, &root, "forked", 11);
        let _ = std::io::stdout().write_all(b"child\n");
        let _ = std::io::stdin().read_exact(&mut [0]);
        std::process::exit(0);
    }
    stamped(&stamp, 2);
    // Without waiting for the child, and without an `exit`.
    // SAFETY: ends this process, as a kill would.
    unsafe { libc::_exit(0) };
}

/// Forks in one thread while another makes files, then dies; the children stay.
fn fork_while_files_are_made() {
    let session = Session::from_env().expect("it can be used").expect("it is set");
    let made = std::thread::spawn(move || {
        let publishers: Vec<_> = (0..200).map(|_| publish_in(&session)).collect();
        assert!(publishers.iter().all(Result::is_ok), "there is room");
        publishers
    });
    for _ in 0..100 {
        // SAFETY: the child calls only what is async-signal-safe.
        if unsafe { libc::fork() } == 0 {
            let mut byte = 0_u8;
            // SAFETY: reads into a byte of ours, and ends this process.
            unsafe {
                libc::read(0, (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
    }
    let _kept = made.join().expect("no panic");
    // SAFETY: ends this process, as a kill would.
    unsafe { libc::_exit(0) };
}

fn timer_names(snapshot: &Snapshot) -> Vec<(String, u64, ProcessState)> {
    let mut names = Vec::new();
    for process in &snapshot.processes {
        let times = &process.lanes[0].times;
        let name = times.subdivisions[0].timers[0].name.clone();
        names.push((name, iterations_of(process), process.state));
    }
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names
}

#[test]
fn a_fork_inside_a_subdivision_leaves_both_trees_right() {
    let scratch = Scratch::new();
    let mut parent =
        child(&scratch.0, "fork").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = parent.stdin.take().unwrap();
    assert!(ended(&mut parent).success());
    let names = || timer_names(&scratch.0.snapshot().unwrap());
    until("both processes", || names().len() == 2);
    // The child lives, and yet the parent's file is known to be a dead process's: the child gave
    // up the lock that it had inherited.
    let state = ProcessState::Killed;
    until("their numbers", || {
        names() == [("forked".into(), 11, ProcessState::Running), ("forking".into(), 9, state)]
    });
    assert_eq!(scratch.0.reap().unwrap().running, 1);
    drop(stdin);
    until("the end of the child", || names()[0].2 == ProcessState::Ended);
}

#[test]
fn a_child_forked_while_a_file_is_made_does_not_keep_its_lock() {
    let scratch = Scratch::new();
    let mut parent = child(&scratch.0, "forks").stdin(Stdio::piped()).spawn().unwrap();
    let children = parent.stdin.take().unwrap();
    assert!(ended(&mut parent).success());
    let reaped = scratch.0.reap().unwrap();
    assert_eq!((reaped.running, reaped.kept, reaped.folded), (0, 32, 168));
    drop(children);
}

#[test]
fn a_program_started_by_another_has_its_own_tree() {
    let scratch = Scratch::new();
    let mut parent = child(&scratch.0, "exec").stdout(Stdio::null()).spawn().unwrap();
    assert!(ended(&mut parent).success());
    let names = timer_names(&scratch.0.snapshot().unwrap());
    let ended = ProcessState::Ended;
    // Its thread ended in order, so its times are there as those of an ended thread.
    assert_eq!(names, [("before".into(), 1, ended), ("short".into(), 3, ended)]);
}

#[test]
fn a_killed_process_shows_what_was_done_and_where_it_was() {
    let scratch = Scratch::new();
    let mut waiting = child(&scratch.0, "wait")
        .env(LABEL_VARIABLE, "the one")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the child's times", || {
        let snapshot = scratch.0.snapshot().unwrap();
        snapshot.processes.iter().any(|process| iterations_of(process) == 5)
    });
    assert_eq!(common::only(&scratch.0).state, ProcessState::Running);
    waiting.kill().unwrap();
    // Not yet waited for: a zombie counts as gone.
    until("its death", || common::only(&scratch.0).state == ProcessState::Killed);
    let process = common::only(&scratch.0);
    waiting.wait().unwrap();
    assert_eq!((iterations_of(&process), process.label.text.as_str()), (5, "the one"));
    assert_eq!(process.lanes[0].current.as_ref().unwrap().path, ["root", "waiting"]);
}

/// `POLYCHRON_SHORT_PROCESSES` sets how many; 10 000 is the number that the design promises for.
#[test]
fn short_processes_leave_a_bounded_number_of_files_and_all_their_times() {
    let n: usize = std::env::var("POLYCHRON_SHORT_PROCESSES")
        .map_or(500, |n| n.parse().expect("POLYCHRON_SHORT_PROCESSES is a number"));
    let scratch = Scratch::new();
    let mut running = Vec::new();
    for i in 0..n {
        let label = format!("rank {}", i % 3);
        let mut command = child(&scratch.0, "short");
        running.push(command.env(LABEL_VARIABLE, label).stdout(Stdio::null()).spawn().unwrap());
        if running.len() == 4 {
            assert!(ended(&mut running.remove(0)).success());
        }
    }
    running.iter_mut().for_each(|child| assert!(ended(child).success()));
    // Nobody cleaned up but the processes themselves.
    let files = std::fs::read_dir(scratch.0.dir()).unwrap().count();
    assert!(files <= 34, "{files} files");
    let totals = |session: &Session| {
        let snapshot = session.snapshot().unwrap();
        assert_eq!(snapshot.notes, []);
        let retired = snapshot.retired.iter();
        let sums = retired.clone().flat_map(|label| &label.times).map(iterations);
        let iterations: u64 = sums.chain(snapshot.processes.iter().map(iterations_of)).sum();
        let processes: u64 = retired.map(|label| label.processes).sum();
        (iterations, processes as usize + snapshot.processes.len())
    };
    assert_eq!(totals(&scratch.0), (3 * n as u64, n));
    scratch.0.reap().unwrap();
    scratch.0.reap().unwrap();
    assert_eq!(totals(&scratch.0), (3 * n as u64, n));
    assert_eq!(scratch.0.snapshot().unwrap().retired.len(), 3);
    let dir = scratch.0.dir().to_owned();
    scratch.0.clone().end().unwrap();
    assert!(!dir.exists(), "something is left");
}

#[test]
fn a_directory_that_cannot_be_used_costs_one_warning() {
    let scratch = Scratch::new();
    let run = |session: &std::path::Path| {
        let output = child(&scratch.0, "private").env(SESSION_VARIABLE, session).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = scratch.0.dir().join("missing");
    let stderr = run(&missing);
    assert_eq!(stderr.matches("are not shared").count(), 1, "{stderr}");
    assert!(stderr.contains("missing") && stderr.contains("No such file"), "{stderr}");
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if Session::open(disk.path()).unwrap().is_in_memory() {
        skip(
            "processes::a_directory_that_cannot_be_used_costs_one_warning",
            "the build directory is in memory",
        );
    } else {
        let stderr = run(disk.path());
        assert!(stderr.contains("is not in memory (tmpfs)"), "{stderr}");
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    }
    // No variable, no word.
    assert_eq!(run(std::path::Path::new("")), "");
}

#[test]
fn on_a_full_tmpfs_of_1_mib_all_of_50_processes_finish() {
    let Some(small) =
        Small::mount("processes::on_a_full_tmpfs_of_1_mib_all_of_50_processes_finish")
    else {
        return;
    };
    let session = Session::create_in(small.path()).unwrap();
    let mut running = Vec::new();
    for i in 0..50 {
        // Some stay, so that the place is really full.
        let role = if i < 14 { "wait" } else { "full" };
        let mut command = child(&session, role);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        running.push(command.spawn().unwrap());
        if i == 13 {
            until("those that stay", || session.snapshot().unwrap().processes.len() == 14);
        }
    }
    let mut private = 0;
    for (i, mut process) in running.into_iter().enumerate() {
        if i < 14 {
            process.stdin.take().unwrap().write_all(b"\n").unwrap();
        }
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{i}: {output:?}");
        let warnings = String::from_utf8_lossy(&output.stderr).matches("are not shared").count();
        assert!(warnings <= 1, "{i}: {output:?}");
        private += warnings;
    }
    assert!(session.snapshot().unwrap().processes.len() <= 16);
    println!("{private} of 50 had no room");
    session.end().unwrap();
}

#[test]
fn on_a_full_tmpfs_the_ended_give_way_without_a_loss() {
    let Some(small) = Small::mount("processes::on_a_full_tmpfs_the_ended_give_way_without_a_loss")
    else {
        return;
    };
    let session = Session::create_in(small.path()).unwrap();
    for _ in 0..12 {
        assert!(child(&session, "short").stdout(Stdio::null()).status().unwrap().success());
    }
    let mut rest = std::fs::File::create(small.path().join("rest")).unwrap();
    while rest.write_all(&[0; 4096]).is_ok() {}
    // Not even the sums of those that ended have room at first.
    let publisher = publish_in(&session).unwrap();
    let snapshot = session.snapshot().unwrap();
    assert_eq!((snapshot.notes.len(), snapshot.processes.len()), (0, 1));
    let sums: Vec<u64> = snapshot.retired.iter().map(|retired| retired.processes).collect();
    let numbers: u64 =
        snapshot.retired.iter().flat_map(|retired| &retired.times).map(iterations).sum();
    assert_eq!((sums.iter().sum::<u64>(), numbers), (12, 36));
    drop(publisher);
    std::fs::remove_file(small.path().join("rest")).unwrap();
    session.end().unwrap();
}

/// A tmpfs of 1 MiB.
struct Small(tempfile::TempDir);

impl Small {
    /// `None`, and `test` counts as skipped, where nothing may be mounted.
    fn mount(test: &str) -> Option<Self> {
        let place = tempfile::tempdir_in("/dev/shm").expect("tmpfs at /dev/shm");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]).arg(place.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(place));
        }
        skip(test, "mounting a tmpfs is not permitted");
        None
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
