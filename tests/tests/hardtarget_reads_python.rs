//! The real hardtarget reads, inspects and plots the folders that we write.

use std::fs;
use std::path::{Path, PathBuf};

use polychron::Kernels;
use polychron::create_parallel_manager;
use polychron::gmf_pipeline::simulate::{Pointing, ProductOptions, Simulation};
use polychron::gmf_pipeline::{Analysis, FolderSink, GmfData, GmfFolder, RunControl};
use polychron_tests::{require_python, run_python, skip, temp_dir};
use serde_json::Value;

const CONFIG: &str = "[signal-processing]\nn_ipp=5\nmin_range_gate=6640\nmax_range_gate=6680\n\
     frequency_decimation=20\nmin_acceleration=-300\nmax_acceleration=300\n\
     num_cohints_per_file=2\ndpt_ipp_delay_parameter=3\n";

/// A simulated product, analysed into a folder: seven integrations in four files, of which the
/// fourth may be a gap since its samples are damaged.
fn analysed(dir: &Path, damaged: bool) -> PathBuf {
    let simulation = Simulation {
        targets: vec!["r=1996e3,v=400,a=60,amp=10".parse().expect("is sound")],
        duration_s: 0.7,
        file_cadence_ms: 100,
        seed: 5,
        pointing: Some(Pointing {
            rate_hz: 10,
            azimuth_deg: 90.0,
            azimuth_rate_deg_s: 1.0,
            elevation_deg: 75.0,
            elevation_rate_deg_s: 0.0,
        }),
        ..Simulation::default()
    };
    let (product, config, out) = (dir.join("product"), dir.join("cfg.ini"), dir.join("gmf"));
    let synthesis = simulation.check().expect("is sound");
    synthesis.write_product(&product, ProductOptions::default()).expect("writes");
    fs::write(&config, CONFIG).expect("writes");
    if damaged {
        let file = product.join("rx/2021-04-12T12-00-00/rf@1618229740.300.h5");
        fs::write(&file, "not what it was").expect("writes");
    }
    let plan = Analysis::of_product(&product, "rx", Some(&config))
        .and_then(Analysis::plan)
        .expect("fits together");
    let manager = create_parallel_manager("serial", None).expect("is there");
    let mut sink = FolderSink::new(&out, false);
    plan.run::<Kernels>(&*manager, &mut sink, RunControl::default()).expect("runs");
    out
}

/// What hardtarget finds in a folder; and whether it plotted.
fn read_by_hardtarget(
    python: &Path,
    folder: &Path,
    out: &Path,
    more: &[&Path],
) -> (Value, String, bool) {
    fs::create_dir_all(out).expect("makes the folder");
    let printed = run_python(python, "hardtarget_read.py", [&[folder, out], more].concat());
    let json = fs::read_to_string(out.join("data.json")).expect("is written");
    let inspected = fs::read_to_string(out.join("inspect.txt")).expect("is written");
    (serde_json::from_str(&json).expect("is JSON"), inspected, printed.contains("plotted"))
}

/// Numbers of any depth, in order; null for NaN.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Null => vec![f64::NAN],
        other => vec![other.as_f64().expect("is a number")],
    }
}

fn assert_equal(ours: impl IntoIterator<Item = f64>, theirs: &Value, what: &str) {
    let (ours, theirs): (Vec<f64>, _) = (ours.into_iter().collect(), numbers(theirs));
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (idx, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!(a == b || a.is_nan() && b.is_nan(), "{what}[{idx}]: {a} beside {b}");
    }
}

/// What our reader and hardtarget's find in the same files.
fn compare(ours: &GmfData, theirs: &Value, what: &str) {
    let data = &theirs["data"];
    let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let index = |values: &[i32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    for (name, values) in [
        ("gmf", wide(&ours.gmf)),
        ("gmf_zero_frequency", wide(&ours.zero_frequency)),
        ("range_rate_index", index(&ours.range_rate_idx)),
        ("acceleration_index", index(&ours.acceleration_idx)),
        ("range_peak", ours.series.range_m.clone()),
        ("range_rate_peak", ours.series.range_rate_m_s.clone()),
        ("acceleration_peak", ours.series.acceleration_m_s2.clone()),
        ("gmf_peak", wide(&ours.series.gmf_peak)),
        ("tx_power", wide(&ours.series.tx_power)),
        ("nf_range", wide(&ours.noise_floor)),
    ] {
        assert_equal(values, &data[name], &format!("{what}: {name}"));
    }
    // Its times are those of the ends of integrations, and its arithmetic is in another order.
    let n_ipp = ours.processing["n_ipp"].as_f64().expect("is a number");
    let step_s = n_ipp * ours.experiment["ipp"].as_f64().expect("is a number") * 1e-6;
    let ends = numbers(&data["t"]);
    assert_eq!(ends.len(), ours.series.len());
    for (start, end) in ours.series.unix_s.iter().zip(ends) {
        assert!((start + step_s - end).abs() < 1e-6, "{what}: {start} beside {end}");
    }
    for (name, axis) in [
        ("ranges", &ours.axes.ranges_m),
        ("range_rates", &ours.axes.range_rates_m_s),
        ("accelerations", &ours.axes.accelerations_m_s2),
    ] {
        assert_equal(axis.iter().copied(), &theirs["meta"][name], &format!("{what}: {name}"));
    }
    for (group, attributes) in [("experiment", &ours.experiment), ("processing", &ours.processing)]
    {
        let theirs = theirs["meta"][group].as_object().expect("is a group");
        assert_eq!(theirs.len(), attributes.len(), "{what}: {group}");
        for (key, value) in attributes {
            let theirs = &theirs[key];
            match value.as_f64() {
                Some(number) => assert_eq!(Some(number), theirs.as_f64(), "{group}.{key}"),
                None => assert_eq!(Some(&*value.to_string()), theirs.as_str(), "{group}.{key}"),
            }
        }
    }
}

/// Records of the run lie beside the files, and a gap has rows of NaN: neither disturbs hardtarget.
#[test]
fn hardtarget_reads_inspects_and_plots_what_we_write() {
    let python = require_python!();
    let mut all_plotted = true;
    for damaged in [false, true] {
        let dir = temp_dir();
        let folder = analysed(dir.path(), damaged);
        let ours = GmfFolder::open(&folder).and_then(|folder| folder.load()).expect("reads");
        assert_eq!(ours.series.len(), 7);
        let gaps: Vec<usize> = (0..7).filter(|idx| ours.series.range_m[*idx].is_nan()).collect();
        assert_eq!(gaps, if damaged { vec![3] } else { vec![] });
        let out = dir.path().join("read");
        let (theirs, inspected, plotted) =
            read_by_hardtarget(&python, &folder, &out, &[Path::new("plot")]);
        compare(&ours, &theirs, &format!("ours, damaged: {damaged}"));
        for words in [
            "[gmf] (dataset) shape:(2, 40) dtype:float32",
            "[ranges] (scale) shape:(40,) dtype:float64",
            "[epoch_unix] value:",
            "n_ipp: 5",
            "radar_frequency: 929.6",
        ] {
            assert!(inspected.contains(words), "{words}: {inspected}");
        }
        all_plotted &= plotted;
        for name in ["peaks.png", "detections.png", "map.png"].iter().filter(|_| plotted) {
            let picture = fs::read(out.join(name)).expect("is drawn");
            assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n") && picture.len() > 5000, "{name}");
        }
    }
    if !all_plotted {
        let test = "hardtarget_reads_inspects_and_plots_what_we_write";
        skip(test, "no matplotlib beside hardtarget");
    }
}

/// Our reader gives what hardtarget's own gives, of hardtarget's files. (It
/// cannot plot those of a gate step of 2 itself.)
#[test]
fn hardtargets_own_files_are_read_as_hardtarget_reads_them() {
    let python = require_python!();
    for case in polychron_tests::golden_cases() {
        for run in case.runs().iter().filter(|run| !run.starts_with("optimize")) {
            let folder = case.expected(run);
            let dir = temp_dir();
            let (theirs, ..) = read_by_hardtarget(&python, &folder, dir.path(), &[]);
            let ours = GmfFolder::open(&folder).and_then(|folder| folder.load()).expect("reads");
            compare(&ours, &theirs, &format!("{}, {run}", case.name));
        }
    }
}
