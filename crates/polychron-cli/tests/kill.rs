//! Interrupted and killed at any moment: what is there is whole, and the next run does the rest.

#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Product, expect, polychron};

const N_MOMENTS: u64 = 50;
const N_FILES: usize = 12;
const DEADLINE: Duration = Duration::from_secs(60);

/// Uniform in `0..1`, from a seed (splitmix64).
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn start(args: &[String]) -> Child {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = polychron(&args);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts")
}

/// Sends a signal; a process that has ended already is none of its business.
fn signal(name: &str, child: &Child) {
    let kill = format!("kill -{name} {} 2> /dev/null || true", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().expect("sh is there").success());
}

fn wait(child: &mut Child) {
    let started = Instant::now();
    while child.try_wait().expect("is ours").is_none() {
        assert!(started.elapsed() < DEADLINE, "it did not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The number of files that the manifests of a folder list, each once.
fn n_listed(product: &Product, out: &str) -> usize {
    let entries = fs::read_dir(product.path(out)).into_iter().flatten();
    let manifests = entries.map(|entry| entry.expect("lists").path());
    let lines: Vec<String> = manifests
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("is text");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let mut files: Vec<u64> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|entry| entry["file"].as_u64())
        .collect();
    files.sort_unstable();
    files.dedup();
    files.len()
}

#[test]
fn fifty_interruptions_leave_whole_files_and_lose_no_work() {
    let product = Product::new(N_FILES, &[]);
    // Undisturbed, and how long that takes.
    let started = Instant::now();
    product.analyze(0, "whole", &["--workers", "2"]);
    let took = started.elapsed();
    let expected = product.contents("whole");
    assert_eq!(expected.len(), N_FILES);

    let mut state = 3;
    let (mut n_partial, mut n_left_behind) = (0, 0);
    for moment in 0..N_MOMENTS {
        let out = format!("out{moment}");
        let killed = random(&mut state) < 0.5;
        let delay = took.mul_f64(1.1 * random(&mut state));
        // One process, or two that share the run.
        let jobs: &[&str] = if random(&mut state) < 0.5 { &["1/1"] } else { &["1/2", "2/2"] };
        let what = format!("moment {moment}: killed {killed} after {delay:?}, jobs {jobs:?}");

        let mut children: Vec<Child> = jobs
            .iter()
            .map(|job| start(&product.analysis(&out, &["--workers", "2", "--job", job])))
            .collect();
        std::thread::sleep(delay);
        children.iter().for_each(|child| signal(if killed { "KILL" } else { "INT" }, child));
        children.iter_mut().for_each(wait);

        let mut before = BTreeMap::new();
        for (name, path) in product.files(&out) {
            if killed && name.starts_with("tmp.") {
                n_left_behind += 1;
                continue;
            }
            let bytes = fs::read(&path).expect("reads");
            assert!(expected.get(&name) == Some(&bytes), "{what}: {name} is not whole");
            before.insert(name, fs::metadata(&path).expect("is there").ino());
        }
        let listed = n_listed(&product, &out);
        assert!(listed <= before.len(), "{what}: more is listed than there is");
        n_partial += usize::from((1..N_FILES).contains(&before.len()));

        // The rest by one job, whatever number began.
        let (said, _) = product.analyze(0, &out, &["--workers", "2"]);
        // Those that are there and not listed are computed to be compared, and left alone.
        let there = before.len();
        let n_computed = N_FILES - listed;
        if there > 0 {
            let kept = format!("{there} files were there already");
            assert!(said.contains(&kept), "{what}: not '{kept}' but {said}");
        }
        let done = match n_computed {
            0 => "nothing to do".to_owned(),
            n => format!("{n} integrations in {} files", N_FILES - there),
        };
        assert!(said.contains(&done), "{what}: not '{done}' but {said}");
        assert!(product.contents(&out) == expected, "{what}: other bytes, or temporary files");
        for (name, path) in product.files(&out) {
            let inode = fs::metadata(path).expect("is there").ino();
            assert!(before.get(&name).is_none_or(|old| *old == inode), "{what}: {name} was redone");
        }
        expect(0, &["merge", &product.path(&out)]);
        fs::remove_dir_all(product.path(&out)).expect("removes");
    }
    // Otherwise the moments were badly chosen, and this test shows nothing.
    assert!(n_partial >= 5, "only {n_partial} of {N_MOMENTS} runs were stopped on their way");
    println_to_log(n_partial, n_left_behind);
}

#[expect(clippy::print_stdout, reason = "told with --nocapture: how hard the test was")]
fn println_to_log(n_partial: usize, n_left_behind: usize) {
    println!("{n_partial} stopped on their way; {n_left_behind} temporary files left and removed");
}
