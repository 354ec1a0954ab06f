//! Files that nobody should have made: a note, no error, and quickly.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::skips::skip;
use common::{Scratch, begin, iterations_of, stamped};
use gtimer_core::publish::{NodeKind, Place, Publisher};
use shm_times::{NoteKind, Reader, Session, Snapshot, read_segment};

/// A session with one good process of 9 iterations.
fn session() -> (Scratch, Box<dyn Publisher>, Place) {
    let scratch = Scratch::new();
    let (mut publisher, root) = begin(&scratch.0);
    stamped(&publisher.add(NodeKind::Stamp, "good", Some(root.node)).expect("as every session"), 9);
    (scratch, publisher, root)
}

fn bad(session: &Session) -> PathBuf {
    session.dir().join("p-1-1-00000000.pct")
}

fn good(session: &Session) -> PathBuf {
    let files = fs::read_dir(session.dir())
        .expect("as every session")
        .map(|file| file.expect("as every session").path());
    files
        .filter(|file| *file != bad(session))
        .find(|file| file.is_file())
        .expect("as every session")
}

/// Reads in less than a second, and the good process is there.
fn read(session: &Session) -> Snapshot {
    let start = Instant::now();
    let snapshot = session.snapshot().expect("as every session");
    assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
    // A copy of the good one's file claims its pid.
    let mut others = snapshot.processes.iter().filter(|process| process.file != "p-1-1-00000000");
    assert_eq!(iterations_of(others.next().expect("as every session")), 9);
    snapshot
}

fn only_note(session: &Session) -> NoteKind {
    let mut notes = read(session).notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].file, "p-1-1-00000000.pct");
    // Nor does it stand in the way of whoever cleans up.
    session.reap().expect("as every session");
    notes.remove(0).kind
}

#[test]
fn a_fifo_a_link_and_a_directory_are_not_opened() {
    let (scratch, _publisher, _) = session();
    let bad = bad(&scratch.0);
    assert!(Command::new("mkfifo").arg(&bad).status().unwrap().success());
    assert_eq!(only_note(&scratch.0), NoteKind::NotAFile);
    fs::remove_file(&bad).unwrap();
    symlink(good(&scratch.0), &bad).unwrap();
    assert_eq!(only_note(&scratch.0), NoteKind::NotAFile);
    fs::remove_file(&bad).unwrap();
    symlink("/dev/zero", &bad).unwrap();
    assert_eq!(only_note(&scratch.0), NoteKind::NotAFile);
    fs::remove_file(&bad).unwrap();
    fs::create_dir(&bad).unwrap();
    assert_eq!(only_note(&scratch.0), NoteKind::NotAFile);
    fs::remove_dir(&bad).unwrap();
}

#[test]
fn wrong_lengths_and_contents_are_said() {
    let (scratch, _publisher, _) = session();
    let bad = bad(&scratch.0);
    let valid = fs::read(good(&scratch.0)).unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut copy = valid.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        copy
    };
    let mut kinds = Vec::new();
    for contents in [
        Vec::new(),
        vec![0xa5; 65_536],
        vec![0; 5 << 20],
        valid[..1024].to_vec(),
        patched(8, &1_u16.to_ne_bytes()),
        patched(12, &0x0403_0201_u32.to_ne_bytes()),
        patched(0, &[0; 8]),
    ] {
        fs::write(&bad, contents).unwrap();
        kinds.push(read(&scratch.0).notes.remove(0).kind);
    }
    let what = "1024 bytes of 65536".to_owned();
    assert_eq!(
        kinds,
        [
            NoteKind::Size { bytes: 0 },
            NoteKind::NotTimes,
            NoteKind::Size { bytes: 5 << 20 },
            NoteKind::Damaged { what },
            NoteKind::Version { major: 1, minor: 0 },
            NoteKind::ByteOrder,
            NoteKind::NotTimes,
        ]
    );
}

#[test]
fn huge_counts_and_rings_end() {
    let (scratch, _publisher, _) = session();
    let bad = bad(&scratch.0);
    let valid = fs::read(good(&scratch.0)).unwrap();
    let mut copy = valid.clone();
    for at in [256, 264, 272, 296] {
        copy[at..at + 8].fill(0xff);
    }
    fs::write(&bad, &copy).unwrap();
    let notes = read(&scratch.0).notes;
    assert!(notes.iter().any(|note| matches!(note.kind, NoteKind::Damaged { .. })), "{notes:?}");
    // Every slot a timer of the longest name, each the parent of the next, merged crosswise.
    for seed in 0..8_u32 {
        let mut copy = valid.clone();
        copy[256..264].copy_from_slice(&480_u64.to_ne_bytes());
        // The first slots are those of the thread, 38 and 39.
        for slot in 40..480_u32 {
            let at = slot as usize * 128;
            let kind =
                if slot.is_multiple_of(7) { 5 + (slot + seed) % 3 } else { 1 + (slot + seed) % 4 };
            let parent = if seed.is_multiple_of(2) { slot - 1 } else { slot ^ seed };
            copy[at + 40..at + 48].copy_from_slice(&(u64::from(slot) << 33 | 44).to_ne_bytes());
            for (field, word) in
                [(104, 61_440), (108, 512), (112, slot ^ 1), (116, parent), (120, kind), (124, 38)]
            {
                copy[at + field..at + field + 4].copy_from_slice(&word.to_ne_bytes());
            }
        }
        fs::write(&bad, &copy).unwrap();
        read(&scratch.0);
    }
}

#[test]
fn a_file_of_another_user_is_left_alone() {
    let (scratch, _publisher, _) = session();
    let bad = bad(&scratch.0);
    fs::copy(good(&scratch.0), &bad).unwrap();
    if chown(&bad, Some(12_345), None).is_err() {
        skip("hostile::a_file_of_another_user_is_left_alone", "only root can give files away");
        return;
    }
    assert_eq!(only_note(&scratch.0), NoteKind::ForeignOwner { owner: 12_345 });
    assert!(bad.exists());
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_a_note() {
    let (scratch, _publisher, _) = session();
    let bad = bad(&scratch.0);
    let valid = fs::read(good(&scratch.0)).unwrap();
    fs::write(&bad, &valid).unwrap();
    let mut reader = Reader::new(&scratch.0);
    assert_eq!(reader.snapshot().unwrap().notes, []);
    File::options().write(true).open(&bad).unwrap().set_len(100).unwrap();
    let notes = reader.snapshot().unwrap().notes;
    assert!(matches!(notes[0].kind, NoteKind::Damaged { .. }), "{notes:?}");
    // And while it is read without pause.
    let file = File::options().write(true).open(&bad).unwrap();
    let deadline = Instant::now() + Duration::from_millis(500);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < deadline {
                file.set_len(5000).unwrap();
                file.write_all_at(&valid, 0).unwrap();
            }
        });
        while Instant::now() < deadline {
            read(&scratch.0);
        }
    });
}

#[test]
fn a_summary_of_nonsense_is_a_note_and_is_replaced() {
    let (scratch, _publisher, _) = session();
    fs::write(scratch.0.dir().join("retired.pct"), vec![7; 9000]).unwrap();
    assert_eq!(read(&scratch.0).notes[0].file, "retired.pct");
    scratch.0.reap().unwrap();
}

#[test]
fn thousands_of_files_are_read_in_time() {
    let (scratch, _publisher, _) = session();
    for i in 0..5000 {
        fs::write(scratch.0.dir().join(format!("p-1-1-{i:08x}.pct")), [0; 4096]).unwrap();
    }
    assert_eq!(read(&scratch.0).notes.len(), 5000);
}

#[test]
fn the_pure_function_says_the_same() {
    let (scratch, _publisher, _) = session();
    let valid = fs::read(good(&scratch.0)).unwrap();
    let (lanes, notes) = read_segment(&valid).unwrap();
    assert_eq!((lanes.len(), notes), (1, vec![]));
    assert_eq!(lanes[0].times.stamps[0].itr_num, 9);
    assert_eq!(read_segment(&[]).unwrap_err(), NoteKind::Size { bytes: 0 });
}
