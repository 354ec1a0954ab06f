//! The recorded cases of hardtarget 0.5.1, analysed by every kernel and compared file by file.
//!
//! What the peer is known to do wrong is compared with what is right: see docs/originals.md.

use std::fs;
use std::path::{Path, PathBuf};

use polychron::Kernels;
use polychron::digital_rf::hdf5::File;
use polychron::gmf::{KernelOptions, Method, ZeroFrequency};
use polychron::gmf_pipeline::{
    Analysis, AnalysisPlan, Compat, Devices, FolderSink, KernelChoice, RunControl, Source,
    TimePoint, TimeSpan,
};
use polychron::pm::SerialManager;
use polychron_tests::compare::{Witness, assert_close, compare, floats, rows};
use polychron_tests::{GoldenCase, golden_cases, temp_dir};

/// The analysis that the peer made for one recorded run, with the peer's bounds.
fn analysis(case: &GoldenCase, run: &str) -> Analysis {
    let drf = case.drf();
    let mut analysis =
        Analysis::of_product(&drf, "rx", Some(&case.config(run))).expect("the case is sound");
    if drf.join("tx").is_dir() {
        analysis.tx = Some(Source::DigitalRf { dir: drf, channel: "tx".to_owned() });
        // The README of this case: all runs with start 0 and end 0.4, relative.
        analysis.span = TimeSpan {
            start: Some(TimePoint::Relative(0)),
            end: Some(TimePoint::Relative(400_000_000)),
        };
    }
    let method = if run.contains("fdpt") { Method::Fdpt } else { Method::Fgmf };
    // Each of the peer's implementations has a definition of its own.
    let term =
        if run.starts_with("c-") { ZeroFrequency::FirstAcceleration } else { ZeroFrequency::Sum };
    analysis.options = KernelOptions::new(method).zero_frequency(term);
    analysis.compat = Some(Compat::Hardtarget);
    analysis
}

/// Analyses into a folder and gives the plan and the files, in the order of their epochs.
fn analyse(analysis: Analysis, dir: &Path) -> (AnalysisPlan, Vec<PathBuf>) {
    let plan = analysis.plan().expect("the case fits together");
    let mut sink = FolderSink::new(dir, false);
    let control = RunControl::default();
    let report = plan.run::<Kernels>(&SerialManager::new(), &mut sink, control).expect("runs");
    assert_eq!(report.n_integrations, plan.n_integrations());
    let mut files: Vec<PathBuf> = report.files.iter().map(|file| dir.join(file)).collect();
    files.sort();
    (plan, files)
}

/// Runs recorded with a layout of the receive windows that is right: all but the peer's runs with
/// a gate step above 1, and the optimise step, which is no search of the grid.
fn sound_runs() -> Vec<(GoldenCase, String)> {
    let mut runs = Vec::new();
    for case in golden_cases() {
        for run in case.runs() {
            let stepped = fs::read_to_string(case.config(&run)).expect("reads").contains("_step=2");
            if !stepped && !run.starts_with("optimize") {
                runs.push((case.clone(), run));
            }
        }
    }
    assert!(runs.len() >= 14, "only {} recorded runs are there", runs.len());
    runs
}

fn every_recorded_run_is_reproduced_by(kernel: &str) {
    every_recorded_run_is_reproduced_on(kernel, &Devices::default());
}

fn every_recorded_run_is_reproduced_on(kernel: &str, devices: &Devices) {
    for (case, run) in sound_runs() {
        let dir = temp_dir();
        let mut analysis = analysis(&case, &run);
        analysis.kernel = Some(KernelChoice::new(kernel).devices(devices.clone()));
        let (plan, files) = analyse(analysis, dir.path());
        let expected = case.expected_files(&run);
        let names = |files: &[PathBuf], dir: &Path| -> Vec<PathBuf> {
            files.iter().map(|file| file.strip_prefix(dir).expect("is below").to_owned()).collect()
        };
        assert_eq!(
            names(&files, dir.path()),
            names(&expected, &case.expected(&run)),
            "{} {run}: names",
            case.name
        );
        for (file_idx, (ours, theirs)) in files.iter().zip(&expected).enumerate() {
            let first = plan.file(file_idx).integrations.start;
            compare(ours, theirs, &plan, first, &format!("{kernel}, {} {run}", case.name));
        }
    }
}

#[test]
fn every_recorded_run_is_reproduced_by_the_cpu_kernel() {
    every_recorded_run_is_reproduced_by("cpu");
}

#[test]
fn every_recorded_run_is_reproduced_by_the_reference() {
    every_recorded_run_is_reproduced_by("reference");
}

/// On Mesa's adapter in software, which needs no graphics processor.
#[cfg(feature = "gpu")]
#[test]
fn every_recorded_run_is_reproduced_by_the_gpu_kernel() {
    const TEST: &str = "every_recorded_run_is_reproduced_by_the_gpu_kernel";
    if !polychron::gmf_gpu::adapters().iter().any(|adapter| adapter.name.contains("llvmpipe")) {
        return polychron_tests::skip(TEST, "no lavapipe, Vulkan in software");
    }
    let devices = Devices::default().only(Some("llvmpipe".to_owned()));
    every_recorded_run_is_reproduced_on("gpu", &devices);
}

fn stepped_case() -> GoldenCase {
    golden_cases().into_iter().find(|case| case.name.contains("gatestep2")).expect("is recorded")
}

/// The peer lays out the windows of a stepped run wrongly; right is every second gate of step 1.
#[test]
fn a_gate_step_of_two_gives_every_second_gate() {
    let case = stepped_case();
    for run in ["c-fgmf", "numpy-fgmf", "numpy-fdpt"] {
        let (dir, dir_of_one) = (temp_dir(), temp_dir());
        let (plan, files) = analyse(analysis(&case, run), dir.path());
        let (_, files_of_one) =
            analyse(analysis(&case, &format!("{run}-step1")), dir_of_one.path());
        assert_eq!(plan.derived().gate_step(), 2);
        let two = File::open(&files[0]).unwrap();
        let one = File::open(&files_of_one[0]).unwrap();
        for name in ["gmf", "gmf_zero_frequency", "range_rate_index", "acceleration_index"] {
            let every_second: Vec<f64> = floats(&one, name)
                .chunks(40)
                .flat_map(|row| row.iter().step_by(2))
                .copied()
                .collect();
            assert_eq!(floats(&two, name), every_second, "{run}: {name}");
        }
        let every_second: Vec<f64> = floats(&one, "ranges").into_iter().step_by(2).collect();
        assert_eq!(floats(&two, "ranges"), every_second);

        // And against the peer's own run of step 1, where it has one.
        let peer = case.dir.join(format!("expected-{run}-step1"));
        if peer.is_dir() {
            let peer = File::open(&case.expected_files(&format!("{run}-step1"))[0]).unwrap();
            let every_second: Vec<f64> = floats(&peer, "gmf").into_iter().step_by(2).collect();
            assert_close(&floats(&two, "gmf"), &every_second, 1e-5, run);
        }
    }
}

/// The peer takes the last sample of the bounds for the one after it, and so loses the last
/// integration of a recording that is an exact multiple.
#[test]
fn a_recording_of_exactly_two_integrations_gives_two() {
    let case = stepped_case();
    let run = "c-fgmf-step1";
    let (old_dir, dir) = (temp_dir(), temp_dir());
    let (old_plan, old_files) = analyse(analysis(&case, run), old_dir.path());
    let mut whole = analysis(&case, run);
    whole.compat = None;
    let (plan, files) = analyse(whole, dir.path());
    assert_eq!((old_plan.n_integrations(), plan.n_integrations()), (1, 2));
    let (old, new) = (File::open(&old_files[0]).unwrap(), File::open(&files[0]).unwrap());
    assert_eq!(rows(&new)[..1], rows(&old)[..]);
    let mut witness = Witness::new(&plan);
    witness.approve(&rows(&new)[1], plan.integration_start(1), "the second integration");
}
