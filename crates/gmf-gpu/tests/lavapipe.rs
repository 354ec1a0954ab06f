//! The kernel keeps the promises of every kernel, on Mesa's adapter in software, which needs no
//! graphics processor; it is slow, so the cases are small and share one device.

mod common;

use common::{lavapipe, lengths};
use gmf_api::{
    Complex32, GmfKernel as _, GmfPlan as _, GridRow, GridRowMut, Integration, KernelOptions,
    Method, PreparedSamples, ReferencePlan, ZeroFrequency,
};

/// 25 searches with both methods and both zero-frequency terms: 100 configurations.
#[test]
fn random_configurations_agree_with_the_reference() {
    let Some(kernel) = lavapipe("random_configurations_agree_with_the_reference") else { return };
    gmf_conformance::results_agree_with_the_reference(&kernel, 25);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let Some(kernel) = lavapipe("the_same_input_gives_the_same_bytes") else { return };
    gmf_conformance::repeats_to_the_bit(&kernel);
}

#[test]
fn powers_of_two_scale_exactly() {
    let Some(kernel) = lavapipe("powers_of_two_scale_exactly") else { return };
    gmf_conformance::powers_of_two_scale_exactly(&kernel);
}

#[test]
fn batches_and_silence_and_wrong_input() {
    let Some(kernel) = lavapipe("batches_and_silence_and_wrong_input") else { return };
    gmf_conformance::batches_equal_single_executions(&kernel);
    gmf_conformance::silence_has_no_index(&kernel);
    gmf_conformance::refuses_wrong_shapes(&kernel);
    gmf_conformance::refuses_what_is_not_finite(&kernel);
}

/// Lengths that the random cases do not have: the recorded ones, whose rows are skipped in levels,
/// many periods, and a prime number of points.
#[test]
fn real_and_awkward_lengths_agree_with_the_reference() {
    let Some(kernel) = lavapipe("real_and_awkward_lengths_agree_with_the_reference") else {
        return;
    };
    for (points, pulse, dec, n_ipp, offset) in
        [(2000, 192, 10, 10, 0), (1250, 120, 16, 10, 1), (211, 40, 2, 17, 0), (60, 12, 1, 40, 3)]
    {
        for (method, term) in
            [(Method::Fgmf, ZeroFrequency::Sum), (Method::Fdpt, ZeroFrequency::FirstAcceleration)]
        {
            let (derived, samples) = lengths(points, pulse, dec, n_ipp, offset);
            let options = KernelOptions::new(method).zero_frequency(term);
            let mut prepared = PreparedSamples::new(&derived);
            prepared.load(&samples, &samples[..derived.integration_samples()]).unwrap();
            let mut row = GridRow::new(derived.n_ranges());
            let mut plan = kernel.gpu_plan(&derived, &options).unwrap();
            plan.execute(prepared.integration(), row.as_mut()).unwrap();
            let mut reference = ReferencePlan::new(&derived, &options);
            let mismatches = reference.compare(prepared.integration(), &row).unwrap();
            let plan = plan.describe();
            assert!(mismatches.is_empty(), "{points} {method} ({plan}): {}", mismatches[0]);
            let peak = row.peak(&derived).expect("an echo is there");
            assert_eq!(peak.range_idx, 1, "{points} {method}");
        }
    }
}

/// Of equal powers the lowest frequency is taken. The first sample of the first pulse meets no turn
/// that is not one, so alone and without acceleration it has the same power everywhere, to the bit.
#[test]
fn ties_go_to_the_lowest_frequency() {
    let Some(kernel) = lavapipe("ties_go_to_the_lowest_frequency") else { return };
    for (points, pulse) in [(64, 8), (2000, 192), (101, 20)] {
        let (derived, _) = lengths(points, pulse, 1, 4, 0);
        let derived = common::with_accelerations(&derived, 0.0, 0.0);
        let mut tx = vec![Complex32::default(); derived.read_length()];
        for period in tx.chunks_mut(derived.ipp_samples()) {
            period[derived.tx_pulse()].fill(Complex32::new(1.0, 0.0));
        }
        let mut rx = vec![Complex32::default(); derived.read_length()];
        rx[derived.rx_window().start] = Complex32::new(0.5, -0.25);
        let mut prepared = PreparedSamples::new(&derived);
        prepared.load(&rx, &tx[..derived.integration_samples()]).unwrap();
        let mut row = GridRow::new(derived.n_ranges());
        let mut plan = kernel.plan(&derived, &KernelOptions::new(Method::Fgmf)).unwrap();
        plan.execute(prepared.integration(), row.as_mut()).unwrap();
        assert!(row.gmf[0] > 0.0);
        assert_eq!(row.range_rate_idx, [0, -1, -1], "{points}");
        assert_eq!(row.acceleration_idx[0], derived.acceleration_window().start as i32);
    }
}

/// A long run neither keeps memory for each integration nor on the device: the process does not
/// grow after it is warm. On this adapter device memory is the process's own.
#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_integrations_leak_nothing() {
    let Some(kernel) = lavapipe("ten_thousand_integrations_leak_nothing") else { return };
    let (derived, samples) = lengths(16, 4, 1, 2, 0);
    let mut prepared = PreparedSamples::new(&derived);
    prepared.load(&samples, &samples[..derived.integration_samples()]).unwrap();
    let mut plan = kernel.gpu_plan(&derived, &KernelOptions::new(Method::Fgmf)).unwrap();
    let batch: Vec<Integration<'_>> = vec![prepared.integration(); 2 * plan.batch_len()];
    let mut rows = vec![GridRow::new(derived.n_ranges()); batch.len()];
    let mut run = |n: usize| {
        for _ in 0..n.div_ceil(batch.len()) {
            let mut rows: Vec<GridRowMut<'_>> = rows.iter_mut().map(GridRow::as_mut).collect();
            plan.execute_batch(&batch, &mut rows).unwrap();
        }
    };
    run(2000);
    let before = common::resident_bytes();
    run(10_000);
    let grown = common::resident_bytes().saturating_sub(before);
    // A leak of a hundred bytes for each integration would be a megabyte, one of a submission's
    // objects many; other tests of this program allocate meanwhile.
    assert!(grown < 24 << 20, "{grown} bytes more after 10000 integrations");
}

/// Every acceleration of the axis, many times what a usual window has: the tables are as long, and
/// the tiles many.
#[test]
fn whole_axes_of_accelerations_agree_with_the_reference() {
    let Some(kernel) = lavapipe("whole_axes_of_accelerations_agree_with_the_reference") else {
        return;
    };
    let case = gmf_conformance::random_case(5, Method::Fgmf, ZeroFrequency::Sum);
    let whole = common::with_accelerations(&case.derived, f64::NEG_INFINITY, f64::INFINITY);
    let mut row = GridRow::new(whole.n_ranges());
    let mut plan = kernel.gpu_plan(&whole, &case.options).unwrap();
    plan.execute(case.prepared.integration(), row.as_mut()).unwrap();
    let mut reference = ReferencePlan::new(&whole, &case.options);
    assert_eq!(reference.compare(case.prepared.integration(), &row).unwrap(), []);
}
