//! Bad input, from outside: each case is one line that names what is wrong and the way out, a code
//! that is not 0, and nothing half-written. And what looks bad, but must work.
//!
//! The cases are those in which hardtarget 0.5.1 fails without a word of help, or goes on; see
//! docs/originals.md.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Product, expect, polychron};
use digital_rf::hdf5::File;
use digital_rf::{MetadataLayout, MetadataWriter, Record, SampleRate, Value};

/// Asserts that stderr is one line of an error that holds all `words`, and perhaps a hint.
fn assert_one_error(err: &str, words: &[&str], case: &str) {
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("error: ")), "{case}: {err}");
    let hints = &lines[1..];
    assert!(hints.len() <= 1 && hints.iter().all(|l| l.starts_with("hint: ")), "{case}: {err}");
    for word in words {
        assert!(err.contains(word), "{case}: no '{word}' in {err}");
    }
    for jargon in ["panicked", "RUST_BACKTRACE", "unwrap", "Error {", "fill whole buffer"] {
        assert!(!err.contains(jargon), "{case}: '{jargon}' in {err}");
    }
}

/// Asserts that no file of results is in a folder, whole or not.
fn assert_no_results(dir: &Path, case: &str) {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("lists").path();
            let name = path.file_name().expect("has one").to_string_lossy().into_owned();
            assert!(!name.starts_with("tmp.") && !name.ends_with(".h5"), "{case}: {name} is left");
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

/// Analyses into `out`, which must fail with this code and these words.
fn fails(product: &Product, code: i32, more: &[&str], words: &[&str], case: &str) {
    let (out, err) = product.analyze(code, "out", more);
    assert_eq!(out, "", "{case}");
    assert_one_error(&err, words, case);
    assert_no_results(Path::new(&product.path("out")), case);
}

/// The files with samples, in order.
fn samples(product: &Product) -> Vec<PathBuf> {
    let list = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("lists");
        entries.map(|entry| entry.expect("lists").path()).collect::<Vec<_>>()
    };
    let folders = list(Path::new(&product.path("drf/rx")));
    let folder = folders.iter().find(|path| path.is_dir()).expect("is there");
    let mut files = list(folder);
    files.sort_unstable();
    files
}

/// The search of [`Product`], with one key at another value.
fn config(key: &str, value: &str) -> String {
    let usual = [
        ("frequency_decimation", "10"),
        ("min_range_gate", "6650"),
        ("max_range_gate", "6660"),
        ("num_cohints_per_file", "1"),
    ];
    let mut text = "[signal-processing]\n".to_owned();
    for (k, v) in usual.into_iter().filter(|(k, _)| *k != key).chain([(key, value)]) {
        writeln!(text, "{k} = {v}").expect("a text takes everything");
    }
    text
}

#[test]
fn metadata_that_cannot_be_used_is_named_with_section_key_and_value() {
    let product = Product::new(1, &[]);
    let path = product.path("drf/metadata.ini");
    let sound = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("[Experiment]", "[experiment]", &["section [Experiment]", "has [experiment]"][..]),
        ("[Experiment]", "[Experiment", &["metadata.ini", "line 1"]),
        ("sample_rate = 1000000\n", "", &["'sample_rate' is missing", "[Experiment]"]),
        ("\nipp = 20000\n", "\n", &["'ipp' is missing"]),
        ("rx_start = 0\n", "", &["'rx_start' is missing"]),
        ("rx_end = 20000\n", "", &["'rx_end' is missing"]),
        ("tx_start = 82\n", "", &["'tx_start' is missing"]),
        ("tx_end = 2002\n", "", &["'tx_end' is missing"]),
        ("radar_frequency = 929.6\n", "", &["'radar_frequency' is missing"]),
        ("rate = 1000000", "rate = fast", &["'sample_rate'", "'fast'", "a whole number"]),
        ("rate = 1000000", "rate = 0", &["sample_rate is 0", "at least 1"]),
        ("rate = 1000000", "rate = 2000000", &["at 1000000 Hz", "2000000 Hz", "correct"]),
        ("\nipp = 20000", "\nipp = 0", &["ipp is 0", "at least 1"]),
        ("\nipp = 20000", "\nipp = -5", &["'ipp'", "'-5'", "a whole number"]),
        ("\nipp = 20000", "\nipp = 9000000000", &["ipp is 9000000000", "2147483647 samples"]),
        ("\nipp = 20000", "\nipp = 20000\nipp = 1", &["'ipp' stands twice"]),
        ("tx_end = 2002", "tx_end = 50", &["tx_end is 50", "after tx_start (82)"]),
        ("tx_end = 2002", "tx_end = 50000", &["tx_end is 50000", "up to 20000"]),
        ("rx_end = 20000", "rx_end = 90000", &["rx_end is 90000", "up to 20000"]),
        ("rx_start = 0", "rx_start = -1", &["rx_start is -1", "from 0 to 20000"]),
        ("length = 1920", "length = 1900", &["tx_pulse_length is 1900", "1920", "leave"]),
        ("frequency = 929.6", "frequency = -1", &["radar_frequency is -1", "positive"]),
        ("frequency = 929.6", "frequency = nan", &["radar_frequency is NaN", "positive"]),
    ] {
        assert!(sound.contains(from), "{from}");
        fs::write(&path, sound.replacen(from, to, 1)).unwrap();
        let case = format!("{from} -> {to}");
        fails(&product, 1, &[], words, &case);
        let names_it = to.contains("2000000") || {
            let (_, err) = product.analyze(1, "out", &[]);
            err.contains("drf/metadata.ini")
        };
        assert!(names_it, "{case}");
    }
    fs::write(&path, b"\xff\xfe\x00\x80").unwrap();
    fails(&product, 1, &[], &["drf/metadata.ini", "no text in UTF-8"], "not a text");
    fs::write(&path, "").unwrap();
    fails(&product, 1, &[], &["drf/metadata.ini", "[Experiment]", "no section"], "empty");
    fs::remove_file(&path).unwrap();
    fails(&product, 1, &[], &["drf/metadata.ini", "a product is", "No such file"], "missing");
}

#[test]
fn parameters_that_cannot_be_used_are_named_with_what_is_allowed() {
    let product = Product::new(1, &[]);
    let path = product.path("cfg.ini");
    for (key, value, words) in [
        ("n_ip", "3", &["unknown key 'n_ip'", "known keys are", "n_ipp"][..]),
        ("n_ipp", "ten", &["'n_ipp'", "'ten'", "a whole number"]),
        ("n_ipp", "2.5", &["'n_ipp'", "'2.5'", "a whole number"]),
        ("n_ipp", "", &["'n_ipp'", "a whole number"]),
        ("n_ipp", "-3", &["'n_ipp'", "'-3'", "not negative"]),
        ("n_ipp", "0", &["n_ipp is 0", "at least 1"]),
        ("n_ipp", "1", &["n_ipp is 1", "at least 2"]),
        ("n_ipp", "1000000000", &["n_ipp is 1000000000", "at most 2147483647 samples"]),
        ("n_ipp", "3\nn_ipp = 4", &["'n_ipp' stands twice"]),
        ("ipp_offset", "-1", &["'ipp_offset'", "'-1'", "not negative"]),
        ("frequency_decimation", "0", &["frequency_decimation is 0", "at least 1"]),
        ("frequency_decimation", "7", &["7 does not divide the pulse of 1920", "5 and 8 would do"]),
        ("range_gate_step", "0", &["range_gate_step is 0", "at least 1"]),
        ("num_cohints_per_file", "0", &["num_cohints_per_file is 0", "at least 1"]),
        ("dpt_ipp_delay_parameter", "0", &["dpt_ipp_delay_parameter is 0", "from 1 to 9"]),
        ("dpt_ipp_delay_parameter", "10", &["dpt_ipp_delay_parameter is 10", "from 1 to 9"]),
        ("min_range_gate", "-99999", &["min_range_gate -99999", "from 0 to 17997", "-17997"]),
        ("min_range_gate", "19000", &["min_range_gate 19000", "from 0 to 17997"]),
        ("max_range_gate", "99999", &["max_range_gate 99999", "from 0 to 17997"]),
        ("max_range_gate", "-99999", &["max_range_gate -99999", "-17997 to -1"]),
        ("max_range_gate", "6640", &["max_range_gate (gate 6640)", "min_range_gate (gate 6650)"]),
        ("max_range_gate", "6650", &["max_range_gate (gate 6650)", "greater"]),
        ("max_range_gate", "-15000", &["max_range_gate (gate 2997)", "greater"]),
        ("min_acceleration", "low", &["'min_acceleration'", "'low'", "a number"]),
        ("min_acceleration", "300", &["min_acceleration 300 must not be above max_acceleration"]),
        ("min_acceleration", "199", &["multiple of 32.2496", "min_acceleration 199", "widen"]),
        ("min_acceleration", "nan", &["min_acceleration NaN", "widen"]),
        ("max_acceleration", "-300", &["max_acceleration -300"]),
        ("gmf_method", "best", &["'gmf_method'", "'best'", "fgmf, fdpt"]),
        ("gmf_implementation", "fpga", &["gmf_implementation is 'fpga'", "cpu", "-i"]),
        ("ipp_offset", "5000", &["no whole coherent integration", "100.2 s", "holds 200000"]),
    ] {
        fs::write(&path, config(key, value)).unwrap();
        let case = format!("{key} = {value}");
        fails(&product, 1, &[], words, &case);
        let (_, err) = product.analyze(1, "out", &[]);
        assert!(err.contains("/cfg.ini") || value == "5000", "{case}: {err}");
    }
    for (bytes, words) in [
        (&b"[signal]\nn_ipp = 3\n"[..], &["section [signal-processing]", "has [signal]"][..]),
        (b"", &["section [signal-processing]", "no section"]),
        (b"\xff\xfe\x00\x80", &["no text in UTF-8", "[signal-processing]"]),
        (b"[signal-processing]\n= 3\n", &["not a valid INI file", "line 2"]),
    ] {
        fs::write(&path, bytes).unwrap();
        fails(&product, 1, &[], words, &String::from_utf8_lossy(bytes));
    }
    fs::remove_file(&path).unwrap();
    fails(&product, 1, &[], &["cfg.ini", "give an INI file", "No such file"], "missing");
    fs::create_dir(&path).unwrap();
    fails(&product, 1, &[], &["cfg.ini", "give an INI file", "directory"], "a folder");
}

#[test]
fn times_channels_and_jobs_that_cannot_be_are_named_with_those_that_can() {
    let product = Product::new(3, &[]);
    let nowhere = product.path("nowhere");
    for (code, more, words) in [
        (2, &["-s", "noon"][..], &["start time 'noon'", "a UTC time like", "--relative_time"][..]),
        (2, &["-s", "0.2"], &["start time '0.2'", "--relative_time"]),
        (2, &["-e", "2021-13-01"], &["end time '2021-13-01'", "a UTC time like"]),
        (2, &["--relative_time", "-s", "2021-04-12T12:15:40"], &["seconds from the start"]),
        (1, &["--relative_time", "-s", "0.5", "-e", "0.2"], &["40.2Z must lie after", "40.5Z"]),
        (1, &["--relative_time", "-s", "0.2", "-e", "0.2"], &["must lie after start time"]),
        (1, &["--relative_time", "-s", "2"], &["start time", "12:15:42Z lies outside", "40.6Z"]),
        (1, &["--relative_time", "-s", "-2"], &["start time", "12:15:38Z lies outside", "40Z to"]),
        (1, &["-e", "2031-04-12T12:15:40"], &["end time 2031", "lies outside", "40.6Z"]),
        (1, &["--relative_time", "-e", "0.1"], &["no whole", "200000 samples (0.2 s)", "100000"]),
        (1, &["--txchnl", "tx"], &["no channel tx", "only rx"]),
        (1, &["--tx", &nowhere], &["nowhere", "No such file"]),
        (2, &["--job", "5/4"], &["--job 5/4", "1/4 to 4/4"]),
        (2, &["--job", "0/4"], &["--job 0/4", "1/4 to 4/4"]),
        (2, &["--job", "first"], &["--job first", "such as 1/4"]),
        (2, &["--idx", "4", "--jobs", "4"], &["--idx 4 --jobs 4", "not below"]),
        (2, &["--backend", "cloud"], &["--backend cloud", "serial, threads"]),
    ] {
        fails(&product, code, more, words, &format!("{more:?}"));
    }
    // What the parser of the command line refuses, it explains in its own way.
    for (more, words) in [
        (&["--workers", "0"][..], &["--workers", "at least 1"][..]),
        (&["--workers", "all"], &["--workers", "at least 1"]),
        (&["-m", "best"], &["--method", "fgmf, fdpt"]),
        (&["-i", "fpga"], &["--implementation", "cpu"]),
        (&["--optimize=best"], &["--optimize", "continuous"]),
        (&["--job", "1/2", "--idx", "0", "--jobs", "2"], &["--job", "--idx"]),
        (&["--idx", "0"], &["--jobs"]),
        (&["--clober"], &["--clober", "--clobber"]),
    ] {
        let (out, err) = product.analyze(2, "out", more);
        assert!(out.is_empty() && err.starts_with("error: "), "{more:?}: {out}{err}");
        assert_eq!(err.matches("error: ").count(), 1, "{err}");
        assert!(words.iter().all(|word| err.contains(word)), "{words:?} in {err}");
    }
    assert!(!Path::new(&product.path("out")).exists());
    // Other programs print nothing then, and call it a success.
    let output = polychron(&[]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && help.contains("polychron analyze"), "{help}");
    let drf = product.path("drf");
    for (args, words) in [
        (["analyze", &nowhere, "rx"], &["nowhere/metadata.ini", "a product is a folder"][..]),
        (["analyze", &drf, "uhf"], &["no channel uhf", "only rx"]),
    ] {
        assert_one_error(&expect(1, &args).1, words, args[1]);
    }
}

#[test]
fn recordings_that_cannot_be_used_at_all_are_named() {
    type Spoil = fn(&Product);
    let cases: [(&str, Spoil, &[&str]); 9] = [
        (
            "no channel",
            |p| fs::remove_dir_all(p.path("drf/rx")).unwrap(),
            &["no channel in", "drf_properties.h5"],
        ),
        (
            "no properties",
            |p| fs::remove_file(p.path("drf/rx/drf_properties.h5")).unwrap(),
            &["no channel in", "drf_properties.h5"],
        ),
        (
            "properties cut short",
            |p| {
                let path = p.path("drf/rx/drf_properties.h5");
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..500]).unwrap();
            },
            &["channel rx cannot be used", "drf_properties.h5", "cut short"],
        ),
        (
            "empty properties",
            |p| fs::write(p.path("drf/rx/drf_properties.h5"), "").unwrap(),
            &["channel rx cannot be used", "drf_properties.h5: the file is empty"],
        ),
        (
            "no files",
            |p| samples(p).iter().for_each(|path| fs::remove_file(path).unwrap()),
            &["drf/rx holds no samples", "rf@<seconds>.<milliseconds>.h5"],
        ),
        (
            "no good files",
            |p| samples(p).iter().for_each(|path| fs::write(path, "none").unwrap()),
            &["drf/rx holds no samples", "2 files could not be read"],
        ),
        (
            "empty pointing",
            |p| fs::create_dir(p.path("drf/pointing")).unwrap(),
            &["pointing metadata", "drf/pointing has no dmd_properties.h5"],
        ),
        (
            "no pointing",
            |p| {
                fs::create_dir(p.path("drf/pointing")).unwrap();
                fs::write(p.path("drf/pointing/dmd_properties.h5"), "none").unwrap();
            },
            &["pointing metadata", "drf/pointing/dmd_properties.h5", "does not begin as an HDF5"],
        ),
        (
            "a channel as a product",
            |p| fs::rename(p.path("drf/metadata.ini"), p.path("drf/rx/metadata.ini")).unwrap(),
            &["drf/metadata.ini", "a product is a folder with metadata.ini"],
        ),
    ];
    for (case, spoil, words) in cases {
        let product = Product::new(2, &[]);
        spoil(&product);
        fails(&product, 1, &[], words, case);
    }
    // A transmitter that was sampled at another time, or otherwise.
    let product = Product::new(2, &[]);
    let (late, slow) = (product.path("late"), product.path("slow"));
    expect(0, &["simulate", &late, "-d", "0.4", "--start", "2022-01-01T00:00:00Z"]);
    expect(0, &["simulate", &slow, "-d", "0.4", "--sample-rate", "500000"]);
    fails(&product, 1, &["--tx", &late], &["do not share any time", "late"], "late");
    fails(&product, 1, &["--tx", &slow], &["do not share their sample rate", "slow"], "slow");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_is_wrong_with_it() {
    type Spoil = fn(&Path);
    fn cut(path: &Path, length: usize) {
        let bytes = fs::read(path).expect("reads");
        fs::write(path, &bytes[..length]).expect("writes");
    }
    let cases: [(Spoil, &str); 7] = [
        (|path| cut(path, 0), "the file is empty"),
        (|path| cut(path, 5), "it does not begin as an HDF5 file does"),
        (|path| cut(path, 600), "the file is cut short: it has 600 of "),
        (|path| cut(path, 400_000), "the file is cut short: it has 400000 of "),
        (|path| fs::write(path, "hello").unwrap(), "it does not begin as an HDF5 file does"),
        (|path| fs::remove_file(path).unwrap(), "has no sample 1618229740200000"),
        (
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "it is a folder",
        ),
    ];
    for (spoil, words) in cases {
        let product = Product::new(3, &[]);
        let damaged = &samples(&product)[1];
        spoil(damaged);
        let (out, err) = product.analyze(3, "out", &[]);
        assert!(out.starts_with("3 integrations in 3 files"), "{out}");
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 2, "{err}");
        assert!(lines[0].starts_with("gap: integration 1 (2021-04-12T12:15:40.2Z)"), "{err}");
        assert!(lines[0].contains(words), "no '{words}' in {err}");
        assert_eq!(lines[0].matches("rf@1618229740.200.h5").count(), 1, "{err}");
        assert!(!err.contains("buffer") && !err.contains("byte source"), "{err}");
        assert!(lines[1].contains("--retry-gaps"), "{err}");
        assert!(product.files("out").keys().all(|name| name.starts_with("gmf-")));
    }
}

/// Twice: the files that the first run left are not taken for a success by the second.
#[test]
fn a_transmitter_that_is_silent_throughout_fails_as_often_as_it_is_tried() {
    let product = Product::new(3, &["--tx-channel", "tx", "--noise", "0"]);
    let said = |more: &[&str]| {
        let (_, err) = product.analyze(1, "out", more);
        let words = ["silent in all 3 integrations", "channel rx", "--txchnl", "metadata.ini"];
        assert_one_error(&err, &words, "silent");
        err
    };
    let first = said(&[]);
    assert_eq!(said(&[]), first);
    fs::remove_file(&product.files("out")["gmf-1618229740200000.h5"]).unwrap();
    assert_eq!(said(&[]), first);
    assert_eq!(said(&["--clobber"]), first);
    // The way out, into the same folder.
    let (_, err) = product.analyze(1, "out", &["--txchnl", "tx"]);
    assert_one_error(&err, &["another run", "tx", "-o", "--clobber"], "another run");
    product.analyze(0, "out", &["--txchnl", "tx", "--clobber"]);
    let (out, _) = product.analyze(0, "out", &["--txchnl", "tx"]);
    assert!(out.contains("nothing to do"), "{out}");
}

#[test]
fn what_is_in_the_way_of_the_results_is_named() {
    let product = Product::new(2, &[]);
    let out = product.path("out");
    let cases = [
        ("out", "not a directory"),
        ("out/2021-04-12T12-00-00", "not a directory"),
        ("out/run.lock/x", "directory"),
    ];
    for (place, words) in cases {
        let file = product.path(place);
        fs::create_dir_all(Path::new(&file).parent().unwrap()).unwrap();
        fs::write(&file, "mine").unwrap();
        let (said, err) = product.analyze(1, "out", &[]);
        assert_eq!(said, "", "{place}");
        let named = file.trim_end_matches("/x");
        assert_one_error(&err, &["could not write", named], place);
        assert!(err.to_lowercase().contains(words), "{place}: no '{words}' in {err}");
        assert!(err.contains("hint: choose a folder that can be written to with -o"), "{err}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert_no_results(Path::new(&out), place);
        if Path::new(&out).is_dir() {
            fs::remove_dir_all(&out).unwrap();
        } else {
            fs::remove_file(&out).unwrap();
        }
    }
    let clobber = "hint: choose another folder with -o, or replace the results with --clobber";
    for name in ["run.json", "manifest.1of1.jsonl"] {
        let path = product.path(&format!("out/{name}"));
        fs::create_dir_all(&path).unwrap();
        fails(&product, 1, &[], &[&path, "cannot be used: Is a directory", clobber], name);
        fs::remove_dir_all(&out).unwrap();
    }
    fs::create_dir(&out).unwrap();
    fs::write(product.path("out/run.json"), "{}").unwrap();
    fails(&product, 1, &[], &["out/run.json cannot be used", clobber], "no record");
    product.analyze(0, "out", &["--clobber"]);
}

#[test]
fn what_looks_unusual_is_done() {
    let product = Product::new(3, &["--pointing", "90,45"]);
    // Three times 0.2 s in 0.6 s: none is lost.
    let (out, err) = product.analyze(0, "whole", &[]);
    assert!(out.starts_with("3 integrations in 3 files") && err.is_empty(), "{out}{err}");
    let whole = product.contents("whole");
    let from = |first: usize, end: usize| -> Vec<(&String, &Vec<u8>)> {
        whole.iter().skip(first).take(end - first).collect()
    };
    for (idx, (more, first, end)) in [
        (&["--relative_time"][..], 0, 3),
        (&["--relative_time", "-e", "0.4"], 0, 2),
        (&["--relative_time", "-s", "0.2"], 1, 3),
        // As a float this is just below the sample.
        (&["-s", "2021-04-12T12:15:40.2"], 1, 3),
        (&["-s", "2021-04-12T12:15:40.2", "-e", "2021-04-12T12:15:40.6"], 1, 3),
        (&["--workers", "1000"], 0, 3),
        (&["--workers", "1000", "--backend", "serial"], 0, 3),
        (&["-i", "cpu"], 0, 3),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out{idx}");
        let (_, err) = product.analyze(0, &out, more);
        assert_eq!(err, "", "{more:?}");
        assert!(product.contents(&out).iter().eq(from(first, end)), "{more:?}");
    }
    // More jobs than files; each once more.
    for _ in 0..2 {
        for job in 1..=8 {
            product.analyze(0, "jobs", &["--job", &format!("{job}/8")]);
        }
    }
    assert!(product.contents("jobs") == whole);
    expect(0, &["merge", &product.path("jobs")]);
    // What the last integration reads lies beyond the end: it is left out.
    fs::write(product.path("cfg.ini"), config("ipp_offset", "1")).unwrap();
    let (out, err) = product.analyze(0, "offset", &[]);
    assert!(out.starts_with("2 integrations in 2 files") && err.is_empty(), "{out}{err}");
    // The gates up to the default end, whose number the decimation does not divide.
    let text = config("min_range_gate", "-8").replace("max_range_gate = 6660\n", "");
    fs::write(product.path("cfg.ini"), text).unwrap();
    product.analyze(0, "gates", &[]);
    assert_eq!(shape(&product, "gates", 0, "gmf"), [1, 7]);
}

/// Idle threads are not started, and that is told to who asks.
#[test]
fn no_more_workers_are_started_than_there_is_work_for() {
    let product = Product::new(3, &[]);
    for (more, words) in [
        (&["--workers", "1000"][..], "3 workers instead of 1000: there are no more integrations"),
        (&["--workers", "9", "--job", "2/3"], "1 workers instead of 9"),
        (
            &["--workers", "1000", "--backend", "serial"],
            "10 workers instead of 1000: there are no more range gates",
        ),
    ] {
        let (_, err) = product.analyze(0, "out", &[more, &["-v", "--clobber"]].concat());
        assert!(err.contains(words), "{more:?}: {err}");
    }
    let (_, err) = product.analyze(0, "out", &["--workers", "3", "-v", "--clobber"]);
    assert!(!err.contains("instead of"), "{err}");
}

fn shape(product: &Product, out: &str, idx: usize, name: &str) -> Vec<usize> {
    let path = product.files(out).into_values().nth(idx).expect("is there");
    File::open(path).and_then(|file| file.dataset(name)).expect(name).shape().to_vec()
}

fn values(product: &Product, out: &str, idx: usize, name: &str) -> Vec<f64> {
    let path = product.files(out).into_values().nth(idx).expect("is there");
    let file = File::open(path).expect("opens");
    file.dataset(name).and_then(|data| data.read_f64()).expect(name).values
}

/// Pointing at 3 Hz, integrations at 5 Hz, two of the three in the first file.
#[test]
fn pointing_has_a_row_for_each_integration_at_any_rate() {
    let product = Product::new(3, &[]);
    let layout = MetadataLayout::new(SampleRate::from_hz(3).unwrap());
    let mut writer = MetadataWriter::create(product.path("drf/pointing"), layout).unwrap();
    for entry in 0..3 {
        let mut record = Record::new();
        record.insert("azimuth".to_owned(), Value::Float(10.0 * entry as f64));
        record.insert("elevation".to_owned(), Value::Float(45.0));
        writer.write(1_618_229_740 * 3 + entry, record).unwrap();
    }
    writer.finish().unwrap();
    fs::write(product.path("cfg.ini"), config("num_cohints_per_file", "2")).unwrap();
    product.analyze(0, "out", &[]);
    assert_eq!(values(&product, "out", 0, "pointing"), [0.0, 45.0, 0.0, 45.0]);
    // From 0.4 s on the entry of 1/3 s holds.
    assert_eq!(values(&product, "out", 1, "pointing"), [10.0, 45.0]);
}

#[test]
fn a_gate_step_of_two_gives_every_second_gate() {
    let product = Product::new(1, &[]);
    product.analyze(0, "all", &[]);
    fs::write(product.path("cfg.ini"), config("range_gate_step", "2")).unwrap();
    product.analyze(0, "half", &[]);
    for name in ["gmf", "range_rate_index", "acceleration_index", "ranges"] {
        let all = values(&product, "all", 0, name);
        let half: Vec<f64> = all.into_iter().step_by(2).collect();
        assert_eq!(values(&product, "half", 0, name), half, "{name}");
    }
}

/// Complex doubles, with every kernel and method; and a search without a config file.
#[test]
fn every_kernel_takes_doubles_and_a_config_file_is_not_needed() {
    let product = Product::new(1, &["--dtype", "cf64", "--clobber"]);
    let (drf, cfg) = (product.path("small"), product.path("cfg.ini"));
    let radar = ["--ipp", "400", "--tx-start", "0", "--code", "barker13", "--baud", "4"];
    let target = ["-d", "0.008", "--dtype", "cf64", "--target", "r=45e3,v=400,a=0,amp=50"];
    expect(0, &[&["simulate", &drf][..], &radar, &target].concat());
    fs::write(&cfg, "[signal-processing]\nmin_range_gate = 140\nmax_range_gate = 160\n").unwrap();
    let mut peaks = Vec::new();
    for (idx, more) in [
        &["-i", "cpu"][..],
        &["-i", "reference"],
        &["-i", "cpu", "-m", "fdpt"],
        &["-i", "reference", "-m", "fdpt"],
    ]
    .into_iter()
    .enumerate()
    {
        let out = product.path(&format!("out{idx}"));
        expect(0, &[&["analyze", &drf, "rx", "--config", &cfg, "-o", &out], more].concat());
        peaks.push(values(&product, &format!("out{idx}"), 0, "range_peak"));
    }
    assert!(peaks.iter().all(|peak| *peak == peaks[0] && peak[0] > 44e3), "{peaks:?}");
    let out = product.path("defaults");
    expect(0, &["analyze", &drf, "rx", "-o", &out]);
    // 400 samples without the 52 of the pulse, from gate 0 to the end of the default.
    assert_eq!(shape(&product, "defaults", 0, "gmf"), [2, 346]);
}
