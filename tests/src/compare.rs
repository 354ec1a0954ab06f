//! Comparing GMF files: ours with those of hardtarget, everything in them.

use std::path::Path;
use std::sync::Arc;

use polychron::digital_rf::hdf5::{AttrValue, File};
use polychron::gmf::{Derived, GridRow, PreparedSamples, ReferencePlan};
use polychron::gmf_pipeline::{Analysis, AnalysisPlan};

/// The values of a dataset, as doubles.
///
/// # Panics
///
/// When it is not there, or holds no numbers.
#[must_use]
pub fn floats(file: &File, name: &str) -> Vec<f64> {
    file.dataset(name).and_then(|data| data.read_f64()).expect(name).values
}

/// The shape of a dataset.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn shape(file: &File, name: &str) -> Vec<usize> {
    file.dataset(name).expect(name).shape().to_vec()
}

/// Asserts that values agree within a relative tolerance; NaN agrees with NaN.
///
/// # Panics
///
/// When they do not.
pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    for (idx, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * expected.abs();
        let both_nan = found.is_nan() && expected.is_nan();
        assert!(close || both_nan, "{what}[{idx}]: {found} instead of {expected}");
    }
}

/// The rows of a file, as a kernel would have given them.
///
/// # Panics
///
/// When the file is no GMF file.
#[must_use]
pub fn rows(file: &File) -> Vec<GridRow> {
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
#[derive(Debug)]
pub struct Witness {
    plan: ReferencePlan,
    analysis: Analysis,
    derived: Arc<Derived>,
}

impl Witness {
    /// A witness for the integrations of `plan`.
    #[must_use]
    pub fn new(plan: &AnalysisPlan) -> Self {
        let analysis = plan.analysis().clone();
        let derived = Arc::clone(plan.derived());
        Self { plan: ReferencePlan::new(&derived, &analysis.options), analysis, derived }
    }

    /// Asserts that `row` agrees with the reference by the tolerance rule; so an index in which
    /// it differs from another row that does so too is a tie.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn approve(&mut self, row: &GridRow, start: u64, what: &str) {
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

/// Compares one of our files with the peer's of the same epoch: everything in it. `first` is the
/// number of the file's first integration in `plan`.
///
/// # Panics
///
/// When they differ by more than is tolerated: values 1e-5, tx power 1e-6,
/// zero-frequency 1e-4, indices equal or tied, everything else equal.
pub fn compare(ours: &Path, theirs: &Path, plan: &AnalysisPlan, first: usize, what: &str) {
    let (a, b) = (File::open(ours).expect("ours"), File::open(theirs).expect("theirs"));
    // Ours alone: all was computed.
    let mut datasets = a.datasets("/").expect("reads");
    datasets.retain(|name| name != "integration_status");
    assert!(floats(&a, "integration_status").iter().all(|&status| status == 0.0), "{what}: status");
    assert_eq!(datasets, b.datasets("/").expect("reads"), "{what}: datasets");
    for name in b.datasets("/").expect("reads") {
        // A file's pointing has a row for each integration in it. The peer's has as many as a full
        // file would have, or one less where a product of floats comes out just below.
        if name == "pointing" {
            assert_eq!(shape(&a, &name), [shape(&b, "gmf")[0], 2], "{what}: shape of {name}");
        } else {
            assert_eq!(shape(&a, &name), shape(&b, &name), "{what}: shape of {name}");
        }
        let element = |file: &File| file.dataset(&name).expect("reads").element().clone();
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
        for (name, expected) in b.attrs(group).expect("reads") {
            let found = a.attr(group, &name).expect("reads");
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
