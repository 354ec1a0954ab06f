//! Recordings with damage: what cannot be analysed costs nothing else, and is told.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Product, expect, polychron};
use digital_rf::hdf5::{AttrValue, File};

/// The file with the samples of integration `k`.
fn samples(product: &Product, k: u64) -> PathBuf {
    let ms = 1_618_229_740_000 + 200 * k;
    let folders = fs::read_dir(product.path("drf/rx")).expect("lists");
    let folder = folders.map(|entry| entry.expect("lists").path()).find(|path| path.is_dir());
    folder.expect("is there").join(format!("rf@{}.{:03}.h5", ms / 1000, ms % 1000))
}

/// A dataset's values, as doubles.
fn values(path: &Path, name: &str) -> Vec<f64> {
    let file = File::open(path).expect("opens");
    file.dataset(name).and_then(|data| data.read_f64()).expect(name).values
}

/// Puts a few NaN into the reception that is searched, in the middle of a file of `cf32` samples.
fn poison(path: &Path) {
    let mut bytes = fs::read(path).expect("reads");
    // Period 5 of 10, 7500 samples in, where the pulse comes back from the gates searched.
    let at = 107_500 * 8;
    bytes[at..at + 64].fill(0xff);
    fs::write(path, bytes).expect("writes");
}

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("reads");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("writes");
}

#[test]
fn missing_damaged_and_infinite_samples_cost_only_the_integrations_that_need_them() {
    let product = Product::new(12, &["--dtype", "cf32"]);
    product.analyze(0, "whole", &[]);
    let whole = product.contents("whole");

    let saved = [2, 5, 8].map(|k| (samples(&product, k), fs::read(samples(&product, k)).unwrap()));
    fs::remove_file(samples(&product, 2)).unwrap();
    cut(&samples(&product, 5));
    poison(&samples(&product, 8));
    let (out, err) = product.analyze(3, "out", &["--workers", "2"]);
    assert!(out.contains("12 integrations in 12 files"), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    for (line, words) in lines.iter().zip([
        ["gap: integration 2 (2021-04-12T12:15:40.4Z)", "missing or damaged", "740.400.h5"],
        ["gap: integration 5 (2021-04-12T12:15:41Z)", "missing or damaged", "741.000.h5"],
        ["gap: integration 8 (2021-04-12T12:15:41.6Z)", "not finite", "NaN"],
        ["done with gaps", "3 of 12 integrations", "--retry-gaps"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} in {line}");
    }
    assert_eq!(lines.len(), 4, "{err}");

    let files = product.files("out");
    assert_eq!(files.len(), 12);
    for (k, (name, path)) in files.iter().enumerate() {
        let expected = match k {
            2 | 5 => 2.0,
            8 => 3.0,
            _ => 0.0,
        };
        assert_eq!(values(path, "integration_status"), [expected], "{name}");
        if expected == 0.0 {
            assert!(fs::read(path).unwrap() == whole[name], "{name} has other bytes");
            continue;
        }
        for dataset in ["gmf", "gmf_zero_frequency", "tx_power", "gmf_peak", "range_peak"] {
            assert!(values(path, dataset).iter().all(|v| v.is_nan()), "{name}: {dataset}");
        }
        for dataset in ["range_rate_index", "acceleration_index"] {
            assert!(values(path, dataset).iter().all(|&v| v == -1.0), "{name}: {dataset}");
        }
    }
    let first = File::open(files.values().next().unwrap()).unwrap();
    let status = first.dataset("integration_status").unwrap();
    let meanings = status.attr("flag_meanings").unwrap();
    let expected = "computed transmitter_silent samples_missing_or_damaged samples_not_finite";
    assert_eq!(meanings, Some(AttrValue::Str(expected.to_owned())));

    // Once more: nothing to compute, and the gaps are still there.
    let (out, err) = product.analyze(3, "out", &[]);
    assert!(out.contains("12 files were there already"), "{out}");
    assert!(err.contains("3 of 12 integrations"), "{err}");
    let merged = expect(3, &["merge", &product.path("out")]);
    assert!(merged.0.contains("12 of 12 files whole"), "{}", merged.0);
    assert_eq!(merged.1.matches("gap: integration ").count(), 3, "{}", merged.1);

    // The samples are back: gaps are tried again only if that is asked for.
    for (path, bytes) in saved {
        fs::write(path, bytes).unwrap();
    }
    product.analyze(3, "out", &[]);
    let (out, err) = product.analyze(0, "out", &["--retry-gaps", "--job", "1/1"]);
    assert!(out.contains("3 integrations in 3 files"), "{out}");
    assert_eq!(err, "");
    assert!(product.contents("out") == whole);
    let (out, _) = product.analyze(0, "out", &["--retry-gaps"]);
    assert!(out.contains("nothing to do"), "{out}");
    expect(0, &["merge", &product.path("out")]);
}

/// What one job left open, another may close, whatever their numbers.
#[test]
fn gaps_are_closed_by_any_division_into_jobs() {
    let product = Product::new(4, &[]);
    let bytes = fs::read(samples(&product, 2)).unwrap();
    fs::remove_file(samples(&product, 2)).unwrap();
    product.analyze(3, "out", &["--job", "1/2"]);
    product.analyze(0, "out", &["--job", "2/2"]);
    fs::write(samples(&product, 2), bytes).unwrap();
    product.analyze(0, "out", &["--retry-gaps"]);
    for job in ["1/1", "1/2", "1/3", "3/3"] {
        let (out, _) = product.analyze(0, "out", &["--retry-gaps", "--job", job]);
        assert!(out.contains("nothing to do"), "{job}: {out}");
    }
    expect(0, &["merge", &product.path("out")]);
}

#[test]
fn a_damaged_file_at_an_end_shortens_the_recording_and_is_named() {
    let product = Product::new(6, &[]);
    cut(&samples(&product, 0));
    fs::write(samples(&product, 5), "no HDF5").unwrap();
    let (out, err) = product.analyze(3, "out", &[]);
    assert!(out.contains("4 integrations in 4 files"), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    for (line, end, name) in [(lines[0], "start", "740.000.h5"), (lines[1], "end", "741.000.h5")] {
        assert!(line.contains(&format!("a file at the {end} of the recording")), "{err}");
        assert_eq!(line.matches(name).count(), 1, "{err}");
    }
    assert!(lines[2].contains("shorter by 2 damaged files"), "{err}");
    let (_, err) = expect(3, &["merge", &product.path("out")]);
    assert!(err.contains("rf@1618229740.000.h5"), "{err}");
    // They do not matter to a part that does not reach them.
    let (start, end) = ("2021-04-12T12:15:40.2", "2021-04-12T12:15:41");
    let (_, err) = product.analyze(3, "half", &["-s", start]);
    assert!(!err.contains("740.000.h5") && err.contains("741.000.h5"), "{err}");
    assert_eq!(product.analyze(0, "part", &["-s", start, "-e", end]).1, "");
    assert!(product.contents("part") == product.contents("out"));
}

#[test]
fn of_many_gaps_some_are_told_and_all_are_counted() {
    let product = Product::new(15, &[]);
    for k in 1..=13 {
        fs::remove_file(samples(&product, k)).unwrap();
    }
    let (_, err) = product.analyze(3, "out", &[]);
    assert_eq!(err.matches("gap: ").count(), 10, "{err}");
    assert!(err.contains("… and 3 more\n"), "{err}");
    assert!(err.contains("13 of 15 integrations have no result"), "{err}");
    // A job tells of its own part.
    let (_, err) = product.analyze(3, "out", &["--job", "2/5"]);
    assert!(err.contains("3 of 3 integrations"), "{err}");
}

/// Half of the files of a recording without samples, which is not a recording.
#[test]
fn a_recording_without_any_file_that_can_be_used_is_an_error() {
    let product = Product::new(2, &[]);
    cut(&samples(&product, 0));
    cut(&samples(&product, 1));
    let (_, err) = product.analyze(1, "out", &[]);
    assert!(err.contains("holds no samples (2 files could not be read)"), "{err}");
    assert_eq!(err.lines().count(), 1);
    assert!(!Path::new(&product.path("out")).exists());
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_it() {
    let product = Product::new(2, &[]);
    let (_, err) = product.analyze(1, "cfg.ini/out", &[]);
    assert!(err.contains("could not write") && err.contains("cfg.ini/out"), "{err}");
    assert_eq!(err.lines().count(), 2, "{err}");
    let args = product.analysis("x", &[]);
    let args: Vec<&str> = args[..args.len() - 1].iter().map(String::as_str).collect();
    let (_, err) = expect(1, &[&args[..], &["/proc/out"]].concat());
    assert!(err.contains("could not write /proc/out"), "{err}");
}

/// What was found until then is told and kept, as at a normal end.
#[cfg(unix)]
#[test]
fn an_interrupted_run_tells_the_gaps_that_it_has_found() {
    const DEADLINE: Duration = Duration::from_secs(60);
    let product = Product::new(40, &["--dtype", "cf32"]);
    // The first to be done, and at once.
    poison(&samples(&product, 0));
    let args = product.analysis("out", &["-i", "reference"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = polychron(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !product.files("out").contains_key("gmf-1618229740000000.h5") {
        assert!(started.elapsed() < DEADLINE, "waited too long for the first file");
        std::thread::sleep(Duration::from_millis(2));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < DEADLINE, "waited too long for the end");
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{err}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with("gap: integration 0 (2021-04-12T12:15:40Z)"), "{err}");
    assert!(lines[1].starts_with("polychron: interrupted after "), "{err}");
    assert!(lines[1].contains("so far, 1 of 40 integrations have no result"), "{err}");
    let (_, err) = expect(1, &["merge", &product.path("out")]);
    assert!(err.contains("gap: integration 0 (2021-04-12T12:15:40Z)"), "{err}");
}

/// The disk ends in the middle of a file: here, by a limit on the length of files, which a write
/// meets in the same way.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let product = Product::new(3, &[]);
    let command = polychron(&[]);
    let script = "trap '' XFSZ; ulimit -f 60; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(command.get_program())
        .args(product.analysis("out", &[]))
        .env_remove("POLYCHRON_JOB")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert!(lines[0].starts_with("error: could not write "), "{err}");
    // Its name once, and what the system said.
    assert_eq!(lines[0].matches("gmf-16182297").count(), 1, "{err}");
    assert!(lines[0].contains(".h5: File too large"), "{err}");
    assert!(lines[1].starts_with("hint: make room, then the same command"), "{err}");
    assert!(product.files("out").is_empty(), "{:?}", product.files("out"));
    product.analyze(0, "out", &[]);
    expect(0, &["merge", &product.path("out")]);
}
