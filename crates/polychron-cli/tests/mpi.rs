//! The command on the ranks of an MPI job: the same bytes as serially, prompt ends, the times of all.
//!
//! For a build with the feature `mpi`, under the launcher of the MPI that it is built with.

#![cfg(feature = "mpi")]

mod common;
#[path = "../../pm-mpi/tests/common/mod.rs"]
#[allow(dead_code, reason = "the tests of pm-mpi use all of it")]
mod ranks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Product, expect, golden, utf8};

const PROGRAM: &str = env!("CARGO_BIN_EXE_polychron");
/// What has not ended by then hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// How soon a job has to end after the death of a rank.
const SOON: Duration = Duration::from_secs(10);

/// The launcher; whoever builds with an MPI has it.
fn launcher(is_foreign: bool) -> Option<&'static str> {
    ranks::launcher(&polychron::mpi::library(), is_foreign)
}

/// The command as so many ranks.
fn mpirun(n_ranks: usize, args: &[&str]) -> Command {
    let launcher = launcher(false).expect("the launcher of the MPI that this is built with");
    let mut command = ranks::mpirun(launcher, n_ranks, Path::new(PROGRAM));
    for name in ["POLYCHRON_JOB", "POLYCHRON_SESSION", "SLURM_PROCID"] {
        command.env_remove(name);
    }
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// Runs as so many ranks and asserts the exit code; gives stdout and stderr.
fn expect_on(n_ranks: usize, code: i32, args: &[&str]) -> (String, String) {
    let output = ranks::output_in(mpirun(n_ranks, args), LIMIT).expect("ends");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}\nstdout: {out}\nstderr: {err}");
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    (out, err)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// All GMF files below a folder, with what is in them.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "h5") {
                let name = path.strip_prefix(dir).expect("is below").to_owned();
                found.push((name, fs::read(path).expect("reads")));
            }
        }
    }
    found.sort();
    found
}

/// 5 ranks are more than any of the recordings has files.
#[test]
fn the_recorded_cases_have_the_bytes_of_a_serial_run_at_any_number_of_ranks() {
    for case in ["dev1", "dev2", "dev3", "dev4", "dev5"] {
        let dir = golden(case);
        let (drf, config) = (dir.join("drf"), dir.join("cfg.ini"));
        let out = tempfile::TempDir::new().expect("a temporary folder");
        let analysis = |name: &str, more: &[&str]| -> Vec<String> {
            let out = out.path().join(name);
            let args = ["analyze", utf8(&drf), "rx", "--config", utf8(&config), "-o", utf8(&out)];
            let tx: &[&str] = if drf.join("tx").is_dir() { &["--txchnl", "tx"] } else { &[] };
            [&args[..], tx, more].concat().into_iter().map(str::to_owned).collect()
        };
        expect(0, &strs(&analysis("serial", &["--backend", "serial"])));
        let wanted = contents(&out.path().join("serial"));
        assert!(!wanted.is_empty(), "{case}");
        for n_ranks in [2, 3, 5] {
            let name = n_ranks.to_string();
            let args = analysis(&name, &["--backend", "mpi"]);
            expect_on(n_ranks, 0, &strs(&args));
            let found = contents(&out.path().join(&name));
            assert!(found == wanted, "{case} at {n_ranks} ranks: other files or bytes");
        }
    }
}

#[test]
fn under_a_launcher_the_ranks_do_it_together_unless_parts_are_given() {
    let product = Product::new(5, &[]);
    product.analyze(0, "serial", &["--backend", "serial"]);
    let wanted = product.contents("serial");

    let args = product.analysis("together", &["-v"]);
    let (out, err) = expect_on(3, 0, &strs(&args));
    assert!(err.contains("rank 0 of 3"), "{err}");
    assert_eq!(out.matches("5 integrations in 5 files").count(), 1, "rank 0 alone speaks: {out}");
    assert_eq!(product.contents("together"), wanted);

    // Two jobs, each on ranks of its own.
    for job in ["1/2", "2/2"] {
        let args = product.analysis("jobs", &["--backend", "mpi", "--job", job]);
        expect_on(2, 0, &strs(&args));
    }
    assert_eq!(product.contents("jobs"), wanted);

    // Without MPI the launcher's processes divide the files among themselves, as before.
    let args = product.analysis("divided", &["--backend", "serial"]);
    let (out, _) = expect_on(2, 0, &strs(&args));
    assert!(out.contains("3 integrations in 3 files"), "{out}");
    assert!(out.contains("2 integrations in 2 files"), "{out}");
    assert_eq!(product.contents("divided"), wanted);
}

#[test]
fn an_error_is_told_once_and_its_code_is_that_of_the_job() {
    let (out, err) = expect_on(3, 1, &["analyze", "no-such-product", "rx", "--backend", "mpi"]);
    assert_eq!(err.matches("error: could not read no-such-product").count(), 1, "{out}{err}");
    let product = Product::new(1, &[]);
    let args = product.analysis("gmf", &["-s", "yesterday", "--backend", "mpi"]);
    let (_, err) = expect_on(2, 2, &strs(&args));
    assert_eq!(err.matches("yesterday").count(), 1, "{err}");
}

#[test]
fn the_launcher_of_another_mpi_is_refused_and_the_way_out_is_named() {
    let Some(foreign) = launcher(true) else {
        common::skips::skip(
            "the_launcher_of_another_mpi_is_refused_and_the_way_out_is_named",
            "no launcher of another MPI",
        );
        return;
    };
    let product = Product::new(1, &[]);
    let command = |more: &[&str]| {
        let args = product.analysis("gmf", more);
        let mut command = ranks::mpirun(foreign, 2, Path::new(PROGRAM));
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let output = ranks::output_in(command(&[]), LIMIT).expect("ends");
    let (_, err) = texts(&output);
    assert!(!output.status.success(), "{err}");
    assert!(err.contains("which sees one rank") && err.contains("--backend "), "{err}");
    assert!(product.contents("gmf").is_empty(), "nothing is written");
    // By it the files are divided, as by any launcher.
    let output = ranks::output_in(command(&["--backend", "serial"]), LIMIT).expect("ends");
    assert!(output.status.success(), "{:?}", texts(&output));
    assert_eq!(product.contents("gmf").len(), 1);
}

#[test]
fn the_death_of_a_rank_ends_the_job_soon_and_leaves_whole_files() {
    let product = Product::new(12, &[]);
    product.configure(6900);
    product.analyze(0, "serial", &["--backend", "serial"]);
    let wanted = product.contents("serial");
    for victim in [1, 0] {
        let out = format!("gmf{victim}");
        let args = product.analysis(&out, &["--backend", "mpi"]);
        let mut command = mpirun(3, &strs(&args));
        // By it the ranks of this job are found.
        let mark = format!("{}-{victim}", std::process::id());
        command.env("POLYCHRON_TEST_MARK", &mark);
        let mut child = command.spawn().expect("starts");
        let begin = Instant::now();
        let ranks = loop {
            let ranks = ranks_of(&mark);
            if ranks.len() == 3 && product.files(&out).len() > usize::from(victim > 0) {
                break ranks;
            }
            assert!(begin.elapsed() < LIMIT, "the job does not begin");
            assert!(child.try_wait().expect("can be waited for").is_none(), "it ended too soon");
            thread::sleep(Duration::from_millis(2));
        };
        let pid = ranks.iter().find(|(rank, _)| *rank == victim).expect("is there").1;
        let pid = rustix::process::Pid::from_raw(pid).expect("is no 0");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is alive");
        let killed = Instant::now();
        while child.try_wait().expect("can be waited for").is_none() {
            assert!(killed.elapsed() < SOON, "the job is still there {SOON:?} after the kill");
            thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("has ended");
        assert!(!output.status.success(), "{:?}", texts(&output));
        // Those that were being written have other names.
        let has_name = |(name, _): &(String, Vec<u8>)| name.starts_with("gmf-");
        for (name, bytes) in product.contents(&out).into_iter().filter(has_name) {
            assert!(wanted.get(&name) == Some(&bytes), "{name} is not whole");
        }
        while !ranks_of(&mark).is_empty() {
            assert!(killed.elapsed() < SOON, "ranks are left: {:?}", ranks_of(&mark));
            thread::sleep(Duration::from_millis(5));
        }
        // The same command goes on.
        expect_on(2, 0, &strs(&args));
        let whole: BTreeMap<_, _> = product.contents(&out).into_iter().filter(has_name).collect();
        assert_eq!(whole, wanted);
    }
}

/// The living ranks of a job whose environment has this mark, by rank and process.
fn ranks_of(mark: &str) -> Vec<(usize, i32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("lists").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let value = |name: &str| {
            let mut all = environment.split(|byte| *byte == 0);
            let value = all.find_map(|one| one.strip_prefix(format!("{name}=").as_bytes()))?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        if value("POLYCHRON_TEST_MARK").as_deref() != Some(mark) {
            continue;
        }
        let rank = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].into_iter().find_map(value);
        if let Some(rank) = rank.and_then(|text| text.parse().ok()) {
            found.push((rank, pid));
        }
    }
    found
}

#[test]
fn a_sweep_has_the_rows_of_a_serial_one() {
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let sweep = |out: &str, backend: &str| -> Vec<String> {
        let out = dir.path().join(out);
        let args = ["sweep", "--param", "a=0:10:11", "--param", "b=1,2", "-q", "-o", utf8(&out)];
        let command = ["--backend", backend, "--", "echo", "y={a} z={b}"];
        [&args[..], &command[..]].concat().into_iter().map(str::to_owned).collect()
    };
    expect(0, &strs(&sweep("serial", "serial")));
    expect_on(3, 0, &strs(&sweep("ranks", "mpi")));
    let table = |out: &str| fs::read_to_string(dir.path().join(out).join("results.csv"));
    assert_eq!(table("ranks").expect("is there"), table("serial").expect("is there"));
}

/// By `polychron run` the ranks are seen while they work, and each is counted once afterwards.
#[cfg(feature = "shared-times")]
#[test]
fn the_ranks_are_seen_live_and_their_times_arrive_at_rank_0() {
    use common::place::{Place, ends, until, workers};
    use gtimer_core::{Times, load_times};

    const N_INTEGRATIONS: usize = 30;
    let place = Place::new();
    let product = Product::new(N_INTEGRATIONS, &[]);
    product.configure(6900);
    let (shared, saved) = (product.path("shared.json"), product.path("saved.times"));
    let analysis = product.analysis("gmf", &["--backend", "mpi", "--times", &saved]);
    let mpirun = mpirun(3, &strs(&analysis));
    let mut command = place.command(&["run", "--times", &shared, "--"]);
    command.arg(mpirun.get_program()).args(mpirun.get_args());
    for (name, value) in mpirun.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let session = place.session();
    until("top shows all ranks at work", || {
        let (text, _) = place.expect(0, &["top", utf8(session.dir()), "--once"]);
        let is_there = |rank: usize| {
            let label = format!("rank {rank} of 3 (pid ");
            text.lines().any(|line| line.contains(&label) && line.contains("running"))
        };
        (text.contains("kernel") && (0..3).all(is_there)).then_some(())
    });
    let output = ends(child);
    assert!(output.status.success(), "{:?}", texts(&output));
    assert_eq!(place.sessions(), Vec::<PathBuf>::new(), "nothing is left");

    let saved = Times::load(&saved).expect("was saved by rank 0");
    let ranks = workers(&saved);
    assert_eq!(ranks.len(), 3, "{saved:#?}");
    let n_kernel: u64 = ranks.iter().map(|rank| n_calls(rank, "kernel")).sum();
    assert_eq!(n_kernel, N_INTEGRATIONS as u64);
    let shared = load_times(&shared).expect("was saved");
    let n_shared: u64 = shared.iter().map(|times| n_calls(times, "kernel")).sum();
    assert_eq!(n_shared, N_INTEGRATIONS as u64, "nothing is lost or counted twice: {shared:#?}");
}

#[cfg(feature = "shared-times")]
fn n_calls(times: &gtimer_core::Times, stamp: &str) -> u64 {
    let own = times.stamps.iter().filter(|own| own.name == stamp).map(|stamp| stamp.itr_num);
    own.sum::<u64>() + times.children().map(|child| n_calls(child, stamp)).sum::<u64>()
}
