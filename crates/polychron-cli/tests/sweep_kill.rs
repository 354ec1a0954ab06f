//! A sweep that is interrupted or killed at any moment: rows are whole, and `--resume` does the rest.

#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::polychron;
use common::sweep::{Place, alive};

const N_MOMENTS: u64 = 24;
const N_ROWS: usize = 24;
const DEADLINE: Duration = Duration::from_secs(60);

/// Uniform in `0..1`, from a seed (splitmix64).
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn signal(name: &str, child: &Child) {
    let kill = format!("kill -{name} {} 2> /dev/null || true", child.id());
    assert!(Command::new("sh").arg("-c").arg(kill).status().expect("sh is there").success());
}

fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("is ours") {
            return status.code();
        }
        assert!(started.elapsed() < DEADLINE, "it did not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How often each row was begun, by the program's own account.
fn begun(place: &Place, out: &str) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    let text = fs::read_to_string(place.path(&format!("{out}.begun"))).unwrap_or_default();
    for line in text.lines() {
        *counts.entry(line.parse().expect("is a number")).or_insert(0) += 1;
    }
    counts
}

/// The rows that are whole in what the jobs wrote.
fn listed(place: &Place, out: &str) -> Vec<usize> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(place.path(out)).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "jsonl") {
            let text = fs::read_to_string(entry.path()).expect("reads");
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            rows.extend(whole.filter_map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).ok()?;
                Some(entry["row"].as_u64().expect("has a number") as usize)
            }));
        }
    }
    rows.sort_unstable();
    rows
}

#[test]
fn interruptions_at_any_moment_leave_whole_rows_and_lose_no_work() {
    let place = Place::new();
    let mark = format!("0.05{}", std::process::id());
    let body = format!("echo $3 >> $2.begun; sleep {mark}; echo y=$1");
    let program = place.script("model", &body);
    let run = |out: &str, backend: &str, more: &[&str]| {
        let command = ["--", &program, "{x}", &place.path("any"), "{index}"].map(str::to_owned);
        let n = format!("x=0:1:{N_ROWS}");
        let args = [&["-P", &n, "--workers", "2", "--backend", backend, "-q"], more].concat();
        let mut args = place.args(out, &args, &command);
        // The command is the same for all; where it counts is told by a variable of the shell.
        let at = args.len() - 2;
        args[at] = place.path(out);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = polychron(&args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("starts")
    };
    let started = Instant::now();
    assert_eq!(wait(&mut run("whole", "threads", &[])), Some(0));
    let took = started.elapsed();
    let expected = place.read("whole/results.csv");
    assert_eq!(expected.lines().count(), N_ROWS + 1);

    let mut state = 11;
    let mut n_partial = 0;
    for moment in 0..N_MOMENTS {
        let out = format!("out{moment}");
        let backend = ["serial", "threads", "processes"][moment as usize % 3];
        let killed = random(&mut state) < 0.5;
        let delay = took.mul_f64(1.1 * random(&mut state));
        let what = format!("moment {moment}, {backend}: killed {killed} after {delay:?}");
        let mut child = run(&out, backend, &[]);
        std::thread::sleep(delay);
        signal(if killed { "KILL" } else { "INT" }, &child);
        let code = wait(&mut child);
        assert_eq!(alive(&mark, Duration::from_secs(10)), 0, "{what}: programs are alive");
        let rows = listed(&place, &out);
        assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{what}: {rows:?}");
        if !killed && code == Some(130) {
            // What is there can be used at once.
            let partial = place.read(&format!("{out}/results.csv"));
            assert_eq!(partial.lines().count(), rows.len() + 1, "{what}");
            assert!(partial.lines().all(|line| expected.contains(line)), "{what}: {partial}");
        }
        n_partial += usize::from((1..N_ROWS).contains(&rows.len()));
        let before = begun(&place, &out);
        assert_eq!(wait(&mut run(&out, backend, &["--resume"])), Some(0), "{what}");
        assert_eq!(place.read(&format!("{out}/results.csv")), expected, "{what}");
        let after = begun(&place, &out);
        for row in rows {
            assert_eq!(before.get(&row), after.get(&row), "{what}: row {row} was done again");
        }
        assert_eq!(after.len(), N_ROWS, "{what}");
    }
    assert!(n_partial >= 6, "only {n_partial} moments were in the middle");
}
