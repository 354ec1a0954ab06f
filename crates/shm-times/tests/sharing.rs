//! What is published is what is read.

mod common;

use std::os::unix::fs::FileExt;

use common::skips::skip;
use common::{RATE, Scratch, begin, iterations, iterations_of, only, root_of, stamped};
use gtimer_core::publish::{NodeKind, Position, Values};
use gtimer_core::{StampTimes, Subdivisions, Times, UNASSIGNED};
use shm_times::{Label, NoteKind, ProcessState, Reader, Session, publish_in, read_segment};

fn stamp(name: &str, num: u64) -> StampTimes {
    let cum = 3.0 * num as f64 / RATE;
    let one = 3.0 / RATE;
    StampTimes {
        name: name.into(),
        cum,
        itr_num: num,
        itr_max: one,
        itr_min: one,
        itrs: None,
        in_loop: false,
    }
}

#[test]
fn a_tree_is_read_as_it_was_published() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let parent = Some(root.node);
    let read = publisher.add(NodeKind::Stamp, "read", parent).unwrap();
    stamped(&read, 1);
    let sub = publisher.add(NodeKind::Subdivision, "filter", parent).unwrap();
    let fft = publisher.add(NodeKind::Stamp, "fft", Some(sub.node)).unwrap();
    stamped(&fft, 7);
    // 40 ticks in all, 2 of them its own.
    sub.latch.publish(Values { ticks: 40, num: 1, min: 2, ..Values::default() });
    publisher.set_position(sub.node, Position::Stamp(read.node));
    let lost = publisher.add(NodeKind::Subdivision, "lost", parent).unwrap();
    publisher.set_position(lost.node, Position::Unassigned);
    let free = publisher.add(NodeKind::Subdivision, "free", parent).unwrap();
    publisher.set_position(free.node, Position::Free);
    root.latch.publish(Values { ticks: 100, num: 1, min: 1, ..Values::default() });

    let process = only(&scratch.0);
    assert_eq!((process.pid, process.state), (std::process::id(), ProcessState::Running));
    let filter = Times {
        name: "filter".into(),
        position: Some("read".into()),
        total: 38.0 / RATE,
        stamps_sum: 21.0 / RATE,
        self_agg: 2.0 / RATE,
        stamps: vec![stamp("fft", 7)],
        ..Times::default()
    };
    let lost = Times { name: "lost".into(), position: Some(UNASSIGNED.into()), ..Times::default() };
    let expected = Times {
        name: "root".into(),
        total: 97.0 / RATE,
        stamps_sum: 3.0 / RATE,
        self_agg: 3.0 / RATE,
        stamps: vec![stamp("read", 1)],
        subdivisions: vec![
            Subdivisions { position: "read".into(), timers: vec![filter] },
            Subdivisions { position: UNASSIGNED.into(), timers: vec![lost] },
        ],
        ..Times::default()
    };
    assert_eq!(process.lanes[0].times, expected);
    drop(publisher);
}

#[test]
fn an_open_span_counts_up_to_now_and_says_where_the_thread_is() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let work = publisher.add(NodeKind::Subdivision, "work", Some(root.node)).unwrap();
    // Both began at tick 1; the clock was set to 0 a moment ago and runs.
    for timer in [&root, &work] {
        timer.latch.publish(Values { num: 1, last: 1, ..Values::default() });
    }
    let here = u64::from(work.node) + 1;
    publisher.current().publish(Values { ticks: here, num: 2, last: 1, ..Values::default() });
    let first = only(&scratch.0).lanes.remove(0);
    common::until("more time", || only(&scratch.0).lanes[0].times.total > first.times.total);
    assert!(first.times.running && first.times.subdivisions[0].timers[0].running);
    let current = first.current.unwrap();
    assert_eq!(current.path, ["root", "work"]);
    assert!(current.for_s >= 0.0 && current.since <= std::time::SystemTime::now());
    drop(publisher);
}

/// `POLYCHRON_MANY_THREADS` sets how many.
#[test]
fn threads_by_the_thousand_leave_their_stamps_in_one_tree() {
    let n: u64 = std::env::var("POLYCHRON_MANY_THREADS")
        .map_or(2000, |n| n.parse().expect("POLYCHRON_MANY_THREADS is a number"));
    let scratch = Scratch::new();
    let mut first = publish_in(&scratch.0).unwrap();
    let mut reader = Reader::new(&scratch.0);
    for thread in 1..=n {
        let lane = first.forked().unwrap();
        let name = format!("worker {thread}");
        let work = move || {
            let (mut publisher, root) = root_of(lane);
            let sub = publisher.add(NodeKind::Subdivision, "work", Some(root.node)).unwrap();
            let stamp = publisher.add(NodeKind::Stamp, "stamp", Some(sub.node)).unwrap();
            stamped(&stamp, 2);
            let taken = publisher.add(NodeKind::Stamp, "taken", Some(root.node)).unwrap();
            stamped(&taken, 1);
            publisher.set_position(sub.node, Position::Stamp(taken.node));
        };
        std::thread::Builder::new().name(name).spawn(work).unwrap().join().unwrap();
        if thread % 500 == 0 || thread == n {
            let snapshot = reader.snapshot().unwrap();
            assert_eq!(snapshot.notes, []);
            assert_eq!(iterations_of(&snapshot.processes[0]), 3 * thread);
        }
    }
    let process = only(&scratch.0);
    assert_eq!(process.lanes.len(), 1, "{:?}", process.lanes);
    let times = &process.lanes[0].times;
    assert_eq!(process.lanes[0].thread, "ended threads");
    assert_eq!(times.subdivisions[0].position, "taken");
    assert_eq!(times.subdivisions[0].timers[0].stamps, [stamp("stamp", 2 * n)]);
    let files = std::fs::read_dir(scratch.0.dir()).unwrap().count();
    assert_eq!((files, process.dropped), (1, 0), "it grew");
}

/// As a kill would leave it: the file after every single step.
#[test]
fn after_every_step_of_a_merge_nothing_is_lost_and_nothing_counted_twice() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let names = ["a", "b", "c"];
    let mut add = |kind, name: &str, parent| publisher.add(kind, name, Some(parent)).unwrap();
    let taken = add(NodeKind::Stamp, "taken", root.node);
    let into = add(NodeKind::Subdivision, "work", root.node);
    let sums = names.map(|name| add(NodeKind::Stamp, name, into.node));
    let from = add(NodeKind::Subdivision, "work", root.node);
    let runs = names.map(|name| add(NodeKind::Stamp, name, from.node));
    let sub = add(NodeKind::Subdivision, "deeper", from.node);
    let below = add(NodeKind::Stamp, "d", sub.node);
    publisher.set_position(into.node, Position::Stamp(taken.node));
    sums.iter().for_each(|stamp| stamped(stamp, 10));
    runs.iter().for_each(|stamp| stamped(stamp, 1));
    stamped(&below, 5);
    publisher.set_position(sub.node, Position::Stamp(runs[2].node));

    let file = format!("{}.pct", only(&scratch.0).file);
    let count = |step: &str| {
        let bytes = std::fs::read(scratch.0.dir().join(&file)).unwrap();
        let (lanes, notes) = read_segment(&bytes).unwrap();
        assert_eq!((notes, lanes.len()), (vec![], 1), "{step}");
        assert_eq!(iterations(&lanes[0].times), 3 * 11 + 5, "{step}");
        lanes[0].times.subdivisions.len()
    };
    assert_eq!(count("before"), 2);
    let epoch = publisher.begin_merge(from.node, into.node);
    assert_eq!(count("begun"), 1);
    for (at, stamp) in sums.iter().enumerate() {
        stamp.latch.publish(Values { ticks: 33, num: 11, min: 3, max: 3, last: 1, epoch });
        count(&format!("stamp {at}"));
    }
    // What is new under the other is made there, without numbers, and then gets them.
    let new = publisher.add(NodeKind::Subdivision, "deeper", Some(into.node)).unwrap();
    publisher.set_position(new.node, Position::Stamp(sums[2].node));
    count("a new timer");
    let other = publisher.add(NodeKind::Stamp, "d", Some(new.node)).unwrap();
    count("a new stamp");
    other.latch.publish(Values { ticks: 15, num: 5, min: 3, max: 3, last: 1, epoch });
    count("its numbers");
    new.latch.publish(Values { num: 1, epoch, ..Values::default() });
    publisher.end_merge();
    assert_eq!(count("ended"), 1);
}

/// As a kill would leave it, or a writer that is interrupted for long.
#[test]
fn a_writer_that_stops_between_the_mark_and_the_record_hides_nothing() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let mut add = |kind, name: &str| publisher.add(kind, name, Some(root.node)).unwrap();
    let (stamp, timer) = (add(NodeKind::Stamp, "a"), add(NodeKind::Subdivision, "work"));
    stamped(&stamp, 1);
    let mut reader = Reader::new(&scratch.0);
    let mut seen = || {
        let process = reader.snapshot().unwrap().processes.remove(0);
        let times = &process.lanes[0].times;
        (times.stamps[0].itr_num, times.subdivisions[0].position.clone())
    };
    let none = || UNASSIGNED.to_owned();
    assert_eq!(seen(), (1, none()));
    // The marks stand behind the header, those of the slots from number 38 on.
    let path = scratch.0.dir().join(format!("{}.pct", only(&scratch.0).file));
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mark = |node: u32, ahead: u64| {
        let at = 1024 + 8 * u64::from(node - 38);
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).unwrap();
        file.write_all_at(&(u64::from_ne_bytes(word) + ahead).to_ne_bytes(), at).unwrap();
    };
    mark(stamp.node, 1);
    assert_eq!(seen(), (1, none()), "nothing is published yet");
    // With the record written before it, the mark would hide this.
    stamped(&stamp, 2);
    mark(stamp.node, 0);
    assert_eq!(seen(), (2, none()));
    mark(timer.node, 1);
    let position = u64::from(timer.node) * 128 + 112;
    file.write_all_at(&stamp.node.to_ne_bytes(), position).unwrap();
    for _ in 0..2 {
        assert_eq!(seen(), (2, "a".to_owned()), "changed, but not published");
    }
    publisher.set_position(timer.node, Position::Unassigned);
    assert_eq!(seen(), (2, none()));
}

#[test]
fn threads_have_marks_in_lines_of_their_own() {
    let scratch = Scratch::new();
    let mut publishers: Vec<_> = vec![begin(&scratch.0)];
    for _ in 0..3 {
        let more = publishers[0].0.forked().unwrap();
        publishers.push(root_of(more));
    }
    let mut lines: Vec<Vec<u32>> = vec![Vec::new(); publishers.len()];
    for i in 0..40 {
        for ((publisher, root), lines) in publishers.iter_mut().zip(&mut lines) {
            let stamp = publisher.add(NodeKind::Stamp, &format!("{i}"), Some(root.node)).unwrap();
            lines.push((stamp.node - 38) / 8);
        }
    }
    for (at, line) in lines.iter().enumerate() {
        let others = lines.iter().enumerate().filter(|(other, _)| *other != at);
        let shared = others.flat_map(|(_, lines)| lines).any(|other| line.contains(other));
        assert!(!shared, "{lines:?}");
    }
    assert_eq!(only(&scratch.0).lanes.len(), 4);
}

#[test]
fn a_running_timer_that_is_shown_with_an_ended_one_of_its_name_runs() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    // Both await their position: the first run has ended, the second goes on.
    for (num, last) in [(3, 0), (1, 1)] {
        let timer = publisher.add(NodeKind::Subdivision, "work", Some(root.node)).unwrap();
        timer.latch.publish(Values { ticks: 2, num, last, ..Values::default() });
    }
    let times = only(&scratch.0).lanes.remove(0).times;
    let [work] = &times.subdivisions[0].timers[..] else { panic!("{times:?}") };
    assert!(work.running && work.total >= 4.0 / RATE, "{work:?}");
}

#[test]
fn a_process_grows_by_further_files_and_says_what_found_no_room() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let mut placed = 0;
    for i in 0..40_000 {
        let name = format!("stamp {i}");
        if let Some(stamp) = publisher.add(NodeKind::Stamp, &name, Some(root.node)) {
            stamped(&stamp, 1);
            placed += 1;
        }
    }
    let snapshot = scratch.0.snapshot().unwrap();
    let process = &snapshot.processes[0];
    assert_eq!(process.dropped, 40_000 - placed);
    assert_eq!(iterations_of(process), placed);
    let kind = NoteKind::Overflow { dropped: process.dropped };
    assert_eq!(snapshot.notes.iter().map(|note| &note.kind).collect::<Vec<_>>(), [&kind]);
    let lens = std::fs::read_dir(scratch.0.dir()).unwrap();
    let whole: u64 = lens.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(whole <= 4 << 20, "{whole} bytes");
    assert!(placed > 20_000, "only {placed} had room");
}

#[test]
fn names_cannot_command_a_terminal_and_long_ones_stay_apart() {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    let long = "é".repeat(400);
    let names = ["\u{1b}[2J\n", "a\u{202e}b", &format!("{long}1"), &format!("{long}2")];
    for name in names {
        stamped(&publisher.add(NodeKind::Stamp, name, Some(root.node)).unwrap(), 1);
    }
    let stamps = only(&scratch.0).lanes.remove(0).times.stamps;
    assert_eq!(stamps[0].name, "\\u{1b}[2J\\n");
    assert_eq!(stamps[1].name, "a\\u{202e}b");
    assert_ne!(stamps[2].name, stamps[3].name);
    assert!(stamps[2].name.len() <= 512 && stamps[2].name.starts_with("ééé"));
}

#[test]
fn workers_have_unique_names() {
    let scratch = Scratch::new();
    let publishers: Vec<_> = (0..3).map(|_| begin(&scratch.0)).collect();
    let snapshot = scratch.0.snapshot().unwrap();
    let workers = snapshot.workers(|process| process.pid == std::process::id());
    let names: std::collections::BTreeSet<&str> =
        workers.iter().map(|times| times.name.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(snapshot.workers(|_| false).is_empty());
    drop(publishers);
}

#[test]
fn a_session_must_be_ours_in_memory_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let error = Session::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("others may write") && error.contains("777"), "{error}");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let error = Session::open(&link).unwrap_err().to_string();
    assert!(error.contains("could not open the session directory"), "{error}");
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let on_disk = Session::open(disk.path()).unwrap();
    if on_disk.is_in_memory() {
        skip(
            "sharing::a_session_must_be_ours_in_memory_and_closed_to_others",
            "the build directory is in memory",
        );
    } else {
        let error = publish_in(&on_disk).unwrap_err().to_string();
        assert!(error.contains("is not in memory"), "{error}");
        assert!(Session::create_in(disk.path()).unwrap_err().to_string().contains("not in memory"));
    }
}

#[test]
fn a_session_that_has_files_of_others_is_not_removed() {
    let scratch = Scratch::new();
    std::fs::write(scratch.0.dir().join("thesis.tex"), "all of it").unwrap();
    let error = scratch.0.clone().end().unwrap_err().to_string();
    assert!(error.contains("could not remove"), "{error}");
    assert!(scratch.0.dir().join("thesis.tex").exists());
    std::fs::remove_file(scratch.0.dir().join("thesis.tex")).unwrap();
}

#[test]
fn a_label_says_the_rank() {
    let label = Label::rank(3, 8);
    assert_eq!((label.text.as_str(), label.rank), ("rank 3 of 8", Some((3, 8))));
}
