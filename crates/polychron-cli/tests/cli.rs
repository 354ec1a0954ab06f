//! The command from outside: what it writes, prints and returns.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use digital_rf::hdf5::{AttrValue, File};
use tempfile::TempDir;

use common::{expect, golden, polychron};

const DEADLINE: Duration = Duration::from_secs(120);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A case's product, channel and config as arguments, and a folder for the results.
struct Run {
    drf: String,
    cfg: String,
    out: TempDir,
}

impl Run {
    fn new(case: &str) -> Self {
        let dir = golden(case);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let out = TempDir::new().expect("a temporary folder");
        Self { drf: text(dir.join("drf")), cfg: text(dir.join("cfg.ini")), out }
    }

    fn out(&self) -> &str {
        self.out.path().to_str().expect("is UTF-8")
    }

    fn analyze(&self, code: i32, more: &[&str]) -> (String, String) {
        let mut args = vec!["analyze", &self.drf, "rx", "--config", &self.cfg, "-o", self.out()];
        args.extend(more);
        expect(code, &args)
    }

    /// Analyses into a folder of its own.
    fn files_of(case: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let run = Self::new(case);
        run.analyze(0, more);
        run.files()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in folders(self.out.path()) {
            for file in fs::read_dir(folder).expect("lists") {
                let path = file.expect("lists").path();
                let name = path.file_name().expect("has one").to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).expect("reads"));
            }
        }
        files
    }
}

/// The folders in a folder of results, beside its record and manifests.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("lists");
    entries.map(|entry| entry.expect("lists").path()).filter(|path| path.is_dir()).collect()
}

/// An attribute of one of the files of a run.
fn attr(run: &Run, group: &str, name: &str) -> Option<AttrValue> {
    let first_in = |dir: &Path| {
        let mut entries = fs::read_dir(dir).expect("lists");
        entries.next().expect("is not empty").expect("lists").path()
    };
    let file = first_in(&folders(run.out.path())[0]);
    File::open(file).and_then(|file| file.attr(group, name)).expect("reads")
}

fn strings(value: &str) -> Option<AttrValue> {
    Some(AttrValue::Str(value.to_owned()))
}

#[test]
fn help_has_examples_and_usage_errors_have_code_2() {
    for (args, words) in [
        (&["--help"][..], "polychron demo"),
        (&["analyze", "--help"], "mpirun -np 4 polychron analyze"),
        (&["simulate", "--help"], "r=1996e3,v=400,a=60,amp=10"),
        (&["demo", "--help"], "polychron demo -o"),
        (&["--version"], "polychron 0."),
    ] {
        assert!(expect(0, args).0.contains(words), "{args:?}");
    }
    for args in [
        &[][..],
        &["analyse"],
        &["analyze"],
        &["analyze", "product"],
        &["analyze", "product", "rx", "-m", "gmf"],
        &["analyze", "product", "rx", "-i", "fortran"],
        &["analyze", "product", "rx", "--idx", "0"],
        &["analyze", "product", "rx", "--job", "1/4", "--idx", "0", "--jobs", "4"],
        &["analyze", "product", "rx", "--workers", "0"],
        &["simulate", "product", "--target", "r=1e6,w=3"],
        &["simulate", "product", "--dtype", "ci15"],
    ] {
        let (_, err) = expect(2, args);
        assert!(!err.is_empty(), "{args:?}");
    }
}

#[test]
fn the_demo_finds_what_it_simulated_and_names_what_it_wrote() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("demo");
    let args = ["demo", "-o", out.to_str().unwrap()];
    let (first, _) = expect(0, &args);
    let found = first.lines().find(|line| line.starts_with("Found ")).expect("says what it found");
    assert!(found.starts_with("Found 40 of 40 echoes; 0 detections"), "{found}");
    let written: Vec<&str> =
        first.lines().filter_map(|line| line.strip_prefix("What was found: ")).collect();
    assert_eq!(written.len(), 2);
    for path in written {
        assert!(Path::new(path.trim()).is_file(), "{path}");
    }
    assert!(out.join("product/metadata.ini").is_file() && out.join("cfg.ini").is_file());
    // Again in the same place: the same table.
    let (second, _) = expect(0, &args);
    let table = |text: &str| {
        text.lines().filter(|l| l.starts_with("  ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(table(&first), table(&second));
}

#[test]
fn analyze_writes_the_files_and_says_how_many() {
    let run = Run::new("dev2");
    let (out, err) = run.analyze(0, &[]);
    assert!(out.contains("6 integrations in 2 files written to"), "{out}");
    assert_eq!(err, "");
    let names: Vec<String> = run.files().into_keys().collect();
    assert_eq!(names, ["gmf-1618229740000000.h5", "gmf-1618229740400000.h5"]);
    let before = run.files();
    let (out, _) = run.analyze(0, &[]);
    assert!(out.contains("2 files were there already"), "{out}");
    let (out, _) = run.analyze(0, &["--clobber"]);
    assert!(out.contains("6 integrations in 2 files"), "{out}");
    assert!(run.files() == before);
}

#[test]
fn the_same_run_divided_otherwise_writes_the_same_bytes() {
    let expected = Run::files_of("dev2", &["--backend", "serial"]);
    for more in [
        &["--backend", "serial", "--workers", "2"][..],
        &["--backend", "threads", "--workers", "3"],
        &["--backend", "processes", "--workers", "2"],
        &["--backend", "Threads", "-p"],
        &["-i", "c", "-m", "fgmf"],
        &["-i", "numpy"],
        &["--zero-frequency", "sum", "-v"],
        &["--relative_time", "-s", "0"],
        &["--relative_time", "-e", "0.6"],
        &["-s", "2021-04-12T12:15:40"],
    ] {
        assert!(Run::files_of("dev2", more) == expected, "{more:?}");
    }
    for jobs in [
        &[&["--job", "1/2"][..], &["--job", "2/2"]][..],
        &[
            &["--idx", "2", "--jobs", "3"],
            &["--idx", "0", "--jobs", "3"],
            &["--idx", "1", "--jobs", "3"],
        ],
    ] {
        let run = Run::new("dev2");
        for job in jobs {
            run.analyze(0, job);
        }
        assert!(run.files() == expected, "{jobs:?}");
    }
}

#[test]
fn a_launcher_divides_the_run_and_a_batch_array_only_if_asked() {
    let expected = Run::files_of("dev2", &[]);
    let start = |run: &Run, vars: &[(&str, &str)], more: &[&str]| {
        let mut args = vec!["analyze", &run.drf, "rx", "--config", &run.cfg, "-o", run.out(), "-v"];
        args.extend(more);
        let output = polychron(&args).envs(vars.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let run = Run::new("dev2");
    let first = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")];
    let second = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")];
    assert!(start(&run, &first, &[]).contains("OMPI_COMM_WORLD_RANK=0"));
    assert_eq!(run.files().len(), 1);
    start(&run, &second, &[]);
    assert!(run.files() == expected);

    let array = [
        ("SGE_TASK_ID", "2"),
        ("SGE_TASK_FIRST", "1"),
        ("SGE_TASK_LAST", "2"),
        ("SGE_TASK_STEPSIZE", "1"),
    ];
    let whole = Run::new("dev2");
    start(&whole, &array, &[]);
    assert!(whole.files() == expected, "an array job may have a product of its own");
    let part = Run::new("dev2");
    start(&part, &array, &["--job", "env"]);
    assert_eq!(part.files().into_keys().collect::<Vec<_>>(), ["gmf-1618229740400000.h5"]);
}

#[test]
fn methods_terms_and_kernels_are_what_was_asked_for() {
    let run = Run::new("dev5");
    run.analyze(0, &["-m", "fdpt", "-i", "reference", "--zero-frequency", "first-acceleration"]);
    assert_eq!(attr(&run, "processing", "gmf_method"), strings("fdpt"));
    assert_eq!(attr(&run, "processing", "gmf_implementation"), strings("reference"));
    assert_eq!(attr(&run, "processing", "gmf_zero_frequency_term"), strings("first-acceleration"));
    let run = Run::new("dev5");
    run.analyze(0, &[]);
    assert_eq!(attr(&run, "processing", "gmf_method"), strings("fgmf"));
    assert_eq!(attr(&run, "processing", "gmf_implementation"), strings("cpu"));
    assert_eq!(attr(&run, "processing", "gmf_zero_frequency_term"), strings("sum"));
}

#[test]
fn the_old_bounds_lose_the_last_integration() {
    let run = Run::new("dev5");
    assert!(run.analyze(0, &[]).0.starts_with("2 integrations"));
    let run = Run::new("dev5");
    assert!(run.analyze(0, &["--compat", "hardtarget"]).0.starts_with("1 integrations"));
}

#[test]
fn the_transmitter_may_be_elsewhere_and_defaults_to_the_receiver() {
    let separate = Run::new("dev3");
    let span = ["--relative_time", "-e", "0.4"];
    separate.analyze(0, &[&["--txchnl", "tx"], &span[..]].concat());
    let elsewhere = Run::new("dev3");
    let drf = elsewhere.drf.clone();
    elsewhere.analyze(0, &[&["--tx", &drf, "--txchnl", "tx"], &span[..]].concat());
    assert!(separate.files() == elsewhere.files());
    // Without, the receiver's own channel is matched, in which there is no pulse.
    let same = Run::new("dev3");
    let (_, err) = same.analyze(1, &span);
    assert!(err.contains("silent in all 4 integrations: channel rx of"), "{err}");
    assert!(err.contains("--txchnl") && err.lines().count() == 1, "{err}");
}

#[test]
fn simulate_writes_the_same_product_for_the_same_seed_and_never_over_another() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (a, b, c) = (path("a"), path("b"), path("c"));
    let simulate = |out: &str, seed: &str| {
        let target = "r=1996e3,v=400,a=60,amp=10";
        expect(0, &["simulate", out, "-d", "0.4", "--seed", seed, "--target", target]).0
    };
    assert!(simulate(&a, "5").contains("0.4 s of channel rx"));
    simulate(&b, "5");
    simulate(&c, "6");
    let samples = |product: &str| {
        let folder = fs::read_dir(format!("{product}/rx")).unwrap();
        let folder = folder.map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
        fs::read(fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()).unwrap()
    };
    assert!(samples(&a) == samples(&b));
    assert!(samples(&a) != samples(&c));
    let (_, err) = expect(1, &["simulate", &a, "-d", "0.4"]);
    assert!(err.contains(&a), "{err}");
    expect(0, &["simulate", &a, "-d", "0.4", "--clobber"]);
    // Not a product: never replaced.
    fs::create_dir(path("mine")).unwrap();
    fs::write(dir.path().join("mine/thesis.txt"), "years").unwrap();
    expect(1, &["simulate", &path("mine"), "-d", "0.4", "--clobber"]);
    assert!(dir.path().join("mine/thesis.txt").is_file());
    let (_, err) = expect(2, &["simulate", &path("d"), "--code", "morse"]);
    assert!(err.contains("morse") && err.contains("leo_bpark"), "{err}");
}

/// Recordings in volts, and the doubles that hardtarget's own simulator writes, are as good as any.
#[test]
fn tiny_amplitudes_and_doubles_are_analysed() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let cfg = path("cfg.ini");
    fs::write(
        &cfg,
        "[signal-processing]\nn_ipp = 5\ndpt_ipp_delay_parameter = 2\nfrequency_decimation = 10\n\
         min_range_gate = 6640\nmax_range_gate = 6680\n",
    )
    .unwrap();
    let peak = |name: &str, options: &[&str]| {
        let (product, out) = (path(name), path(&format!("{name}-gmf")));
        let target = "r=1996e3,v=400,a=60,snr=-5";
        let common = ["simulate", &product, "-d", "0.1", "--target", target];
        expect(0, &[&common[..], options].concat());
        expect(0, &["analyze", &product, "rx", "--config", &cfg, "-o", &out]);
        let folder = Path::new(&out).join("2021-04-12T12-00-00");
        let file = File::open(folder.join("gmf-1618229740000000.h5")).unwrap();
        let value = |name: &str| file.dataset(name).unwrap().read_f64().unwrap().values[0];
        (value("range_peak"), value("range_rate_peak"), value("gmf_peak"))
    };
    let usual = peak("usual", &["--dtype", "cf32"]);
    let doubles = peak("doubles", &["--dtype", "cf64"]);
    assert_eq!((usual.0, usual.1), (doubles.0, doubles.1));
    assert!((usual.2 / doubles.2 - 1.0).abs() < 1e-5, "{usual:?} {doubles:?}");
    // 2^-40 times as much of everything is the same recording in another unit.
    let scale = 2f64.powi(-40);
    let (noise, tx) = ((12.0 * scale).to_string(), (900.0 * scale).to_string());
    let tiny = peak("tiny", &["--dtype", "cf32", "--noise", &noise, "--tx-amplitude", &tx]);
    assert_eq!((usual.0, usual.1), (tiny.0, tiny.1));
    assert!((tiny.2 / (usual.2 * scale * scale) - 1.0).abs() < 1e-5, "{usual:?} {tiny:?}");
}

/// Waits until `ready`, or panics.
fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn interrupt(child: &Child) {
    let kill = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status();
    assert!(kill.expect("sh is there").success());
}

#[test]
fn an_interrupt_gives_130_and_leaves_whole_files() {
    let dir = TempDir::new().unwrap();
    let product = dir.path().join("product").to_str().unwrap().to_owned();
    expect(0, &["simulate", &product, "-d", "20"]);
    let cfg = dir.path().join("cfg.ini");
    fs::write(
        &cfg,
        "[signal-processing]\nfrequency_decimation = 10\nmin_range_gate = 6000\n\
         max_range_gate = 6040\nnum_cohints_per_file = 1\n",
    )
    .unwrap();
    let out = dir.path().join("gmf");
    let cfg = cfg.to_str().unwrap();
    let args = [
        "analyze",
        &product,
        "rx",
        "--config",
        cfg,
        "-o",
        out.to_str().unwrap(),
        "-i",
        "reference",
    ];
    let mut child = polychron(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let files = || -> Vec<PathBuf> {
        let folders = fs::read_dir(&out).into_iter().flatten().flatten();
        folders
            .flat_map(|f| fs::read_dir(f.path()).into_iter().flatten().flatten())
            .map(|e| e.path())
            .collect()
    };
    wait_until("the first file", || !files().is_empty());
    interrupt(&child);
    wait_until("the end", || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("interrupted after"), "{}", text(&output.stderr));
    let files = files();
    assert!(files.len() < 100, "it was not interrupted");
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with("gmf-"), "{name} was left behind");
        assert_eq!(File::open(&file).unwrap().dataset("gmf").unwrap().shape(), [1, 40]);
    }
}
