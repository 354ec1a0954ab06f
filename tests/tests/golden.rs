//! The recorded cases of hardtarget 0.5.1, analysed by every kernel and compared file by file.
//!
//! What the peer is known to do wrong is compared with what is right: see docs/originals.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polychron::Kernels;
use polychron::digital_rf::hdf5::{AttrValue, File};
use polychron::gmf::{
    Derived, GridRow, KernelOptions, Method, PreparedSamples, ReferencePlan, ZeroFrequency,
};
use polychron::gmf_pipeline::{
    Analysis, AnalysisPlan, Compat, FolderSink, KernelChoice, RunControl, Source, TimePoint,
    TimeSpan,
};
use polychron::pm::SerialManager;
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

fn floats(file: &File, name: &str) -> Vec<f64> {
    file.dataset(name).and_then(|data| data.read_f64()).expect(name).values
}

fn shape(file: &File, name: &str) -> Vec<usize> {
    file.dataset(name).expect(name).shape().to_vec()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (idx, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * expected.abs();
        let both_nan = found.is_nan() && expected.is_nan();
        assert!(close || both_nan, "{what}[{idx}]: {found} instead of {expected}");
    }
}

/// The rows of a file, as a kernel would have given them.
fn rows(file: &File) -> Vec<GridRow> {
    let n_ranges = shape(file, "ranges")[0];
    let columns = ["gmf", "gmf_zero_frequency", "range_rate_index", "acceleration_index"]
        .map(|name| floats(file, name));
    (0..shape(file, "gmf")[0])
        .map(|row| {
            let part = |column: &[f64]| column[row * n_ranges..][..n_ranges].to_vec();
            let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect();
            let index = |values: Vec<f64>| values.into_iter().map(|v| v as i32).collect();
            GridRow {
                gmf: narrow(part(&columns[0])),
                zero_frequency: narrow(part(&columns[1])),
                range_rate_idx: index(part(&columns[2])),
                acceleration_idx: index(part(&columns[3])),
            }
        })
        .collect()
}

/// The samples of an integration, and the reference to ask about it.
struct Witness {
    plan: ReferencePlan,
    analysis: Analysis,
    derived: Arc<Derived>,
}

impl Witness {
    fn new(plan: &AnalysisPlan) -> Self {
        let analysis = plan.analysis().clone();
        let derived = Arc::clone(plan.derived());
        Self { plan: ReferencePlan::new(&derived, &analysis.options), analysis, derived }
    }

    /// Asserts that `row` agrees with the reference by the tolerance rule; so an index in which
    /// it differs from another row that does so too is a tie.
    fn approve(&mut self, row: &GridRow, start: u64, what: &str) {
        let d = &self.derived;
        let mut rx = vec![Default::default(); d.read_length()];
        self.analysis.rx.open().expect("opens").read(start, &mut rx).expect("reads");
        let mut tx = rx[..d.integration_samples()].to_vec();
        if let Some(source) = &self.analysis.tx {
            source.open().expect("opens").read(start, &mut tx).expect("reads");
        }
        let mut prepared = PreparedSamples::new(d);
        prepared.load(&rx, &tx).expect("finite");
        let mismatches = self.plan.compare(prepared.integration(), row).expect("fits");
        assert!(mismatches.is_empty(), "{what}: {} gates, {}", mismatches.len(), mismatches[0]);
    }
}

/// Compares one of our files with the peer's of the same epoch: everything in it.
fn compare(ours: &Path, theirs: &Path, plan: &AnalysisPlan, first: usize, what: &str) {
    let (a, b) = (File::open(ours).expect("ours"), File::open(theirs).expect("theirs"));
    assert_eq!(a.datasets("/").unwrap(), b.datasets("/").unwrap(), "{what}: datasets");
    for name in b.datasets("/").unwrap() {
        // A file's pointing has a row for each integration in it. The peer's has as many as a full
        // file would have, or one less where a product of floats comes out just below.
        if name == "pointing" {
            assert_eq!(shape(&a, &name), [shape(&b, "gmf")[0], 2], "{what}: shape of {name}");
        } else {
            assert_eq!(shape(&a, &name), shape(&b, &name), "{what}: shape of {name}");
        }
        let element = |file: &File| file.dataset(&name).unwrap().element().clone();
        assert_eq!(element(&a), element(&b), "{what}: type of {name}");
    }
    for axis in ["ranges", "range_rates", "accelerations", "integration_index", "sample_numbers"] {
        // One unit in the last place: the peer multiplies in another order.
        let tolerance = 2.0 * f64::EPSILON;
        assert_close(&floats(&a, axis), &floats(&b, axis), tolerance, &format!("{what}: {axis}"));
    }
    let (ours, theirs) = (floats(&a, "pointing"), floats(&b, "pointing"));
    let both = ours.len().min(theirs.len());
    assert_close(&ours[..both], &theirs[..both], 0.0, &format!("{what}: pointing"));
    assert_eq!(floats(&a, "epoch_unix"), floats(&b, "epoch_unix"), "{what}: epoch");
    for (name, tolerance) in [("gmf", 1e-5), ("gmf_peak", 1e-5), ("tx_power", 1e-6)] {
        assert_close(&floats(&a, name), &floats(&b, name), tolerance, &format!("{what}: {name}"));
    }
    let name = "gmf_zero_frequency";
    assert_close(&floats(&a, name), &floats(&b, name), 1e-4, &format!("{what}: {name}"));

    let mut witness = Witness::new(plan);
    for (idx, (ours, theirs)) in rows(&a).iter().zip(&rows(&b)).enumerate() {
        let start = plan.integration_start(first + idx);
        witness.approve(ours, start, &format!("{what}, integration {idx}, ours"));
        if ours.range_rate_idx != theirs.range_rate_idx
            || ours.acceleration_idx != theirs.acceleration_idx
        {
            // Allowed only where two cells tie: then the peer's must be as good.
            witness.approve(theirs, start, &format!("{what}, integration {idx}, the peer's"));
            continue;
        }
        for name in ["range_peak", "range_rate_peak", "acceleration_peak"] {
            let (a, b) = (floats(&a, name)[idx], floats(&b, name)[idx]);
            assert_close(&[a], &[b], 2.0 * f64::EPSILON, &format!("{what}: {name}[{idx}]"));
        }
    }
    for group in ["experiment", "processing"] {
        for (name, expected) in b.attrs(group).unwrap() {
            let found = a.attr(group, &name).unwrap();
            if name == "gmf_implementation" {
                continue;
            }
            match (&found, &expected) {
                (Some(AttrValue::F64(found)), AttrValue::F64(expected)) => {
                    assert_close(&[*found], &[*expected], f64::EPSILON, &format!("{group}.{name}"));
                }
                _ => assert_eq!(found, Some(expected), "{what}: {group}.{name}"),
            }
        }
    }
}

/// Runs recorded with a layout of the receive windows that is right: all but the peer's runs with
/// a gate step above 1, and the optimise step, which is no search of the grid.
fn sound_runs() -> Vec<(GoldenCase, String)> {
    let mut runs = Vec::new();
    for case in golden_cases() {
        for run in case.runs() {
            let stepped = fs::read_to_string(case.config(&run)).unwrap().contains("_step=2");
            if !stepped && !run.starts_with("optimize") {
                runs.push((case.clone(), run));
            }
        }
    }
    assert!(runs.len() >= 14, "only {} recorded runs are there", runs.len());
    runs
}

fn every_recorded_run_is_reproduced_by(kernel: &str) {
    for (case, run) in sound_runs() {
        let dir = temp_dir();
        let mut analysis = analysis(&case, &run);
        analysis.kernel = Some(KernelChoice::new(kernel));
        let (plan, files) = analyse(analysis, dir.path());
        let expected = case.expected_files(&run);
        let names = |files: &[PathBuf], dir: &Path| -> Vec<PathBuf> {
            files.iter().map(|file| file.strip_prefix(dir).unwrap().to_owned()).collect()
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
