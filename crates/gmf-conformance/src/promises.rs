//! The promises, one function each.

use std::sync::Arc;

use gmf_api::{
    Complex32, GmfKernel, GmfPlan, GridRow, Integration, KernelError, Method, ReferencePlan,
    ZeroFrequency,
};

use crate::cases::{Case, random_case};

const METHODS: [Method; 2] = [Method::Fgmf, Method::Fdpt];
const TERMS: [ZeroFrequency; 2] = [ZeroFrequency::Sum, ZeroFrequency::FirstAcceleration];

fn plan(kernel: &dyn GmfKernel, case: &Case) -> Box<dyn GmfPlan> {
    kernel.plan(&case.derived, &case.options).expect("the kernel can do what every kernel can")
}

/// A row full of what no kernel writes, so that a forgotten element is seen.
fn dirty(n_ranges: usize) -> GridRow {
    GridRow {
        gmf: vec![f32::NAN; n_ranges],
        zero_frequency: vec![f32::NAN; n_ranges],
        range_rate_idx: vec![i32::MIN; n_ranges],
        acceleration_idx: vec![i32::MIN; n_ranges],
    }
}

fn execute(plan: &mut dyn GmfPlan, case: &Case, integration: Integration<'_>) -> GridRow {
    let mut row = dirty(case.derived.n_ranges());
    plan.execute(integration, row.as_mut()).expect("the shapes fit");
    row
}

fn assert_same_bytes(a: &GridRow, b: &GridRow, what: &str) {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&a.gmf), bits(&b.gmf), "{what}: gmf");
    assert_eq!(bits(&a.zero_frequency), bits(&b.zero_frequency), "{what}: zero_frequency");
    assert_eq!(a.range_rate_idx, b.range_rate_idx, "{what}: range_rate_idx");
    assert_eq!(a.acceleration_idx, b.acceleration_idx, "{what}: acceleration_idx");
}

/// For any configuration the results agree with the reference by the tolerance rule.
///
/// # Panics
///
/// When they do not; the message has the seed and the first gate that differs.
pub fn results_agree_with_the_reference(kernel: &dyn GmfKernel, n_cases: u64) {
    for seed in 0..n_cases {
        for method in METHODS {
            for term in TERMS {
                let case = random_case(seed, method, term);
                let integration = case.prepared.integration();
                let row = execute(&mut *plan(kernel, &case), &case, integration);
                let mut reference = ReferencePlan::new(&case.derived, &case.options);
                let mismatches = reference.compare(integration, &row).expect("the shapes fit");
                assert!(
                    mismatches.is_empty(),
                    "{}, seed {seed}, {method}, {term}: {} gates differ, first {} ({:?})",
                    kernel.name(),
                    mismatches.len(),
                    mismatches[0],
                    case.derived.processing()
                );
            }
        }
    }
}

/// The same integration gives the same bytes: again, after another one, and from another plan.
///
/// # Panics
///
/// When a byte differs.
pub fn repeats_to_the_bit(kernel: &dyn GmfKernel) {
    for seed in 0..6 {
        for method in METHODS {
            let case = random_case(seed, method, ZeroFrequency::Sum);
            let integration = case.prepared.integration();
            let mut first_plan = plan(kernel, &case);
            let first = execute(&mut *first_plan, &case, integration);
            let backwards: Vec<Complex32> = integration.rx.iter().rev().copied().collect();
            let other = Integration { tx: integration.tx, rx: &backwards };
            execute(&mut *first_plan, &case, other);
            let again = execute(&mut *first_plan, &case, integration);
            assert_same_bytes(&first, &again, &format!("seed {seed}, {method}, again"));
            let elsewhere = execute(&mut *plan(kernel, &case), &case, integration);
            assert_same_bytes(&first, &elsewhere, &format!("seed {seed}, {method}, other plan"));
        }
    }
}

/// Echoes `2^k` times as large give powers `4^k` times as large, at the same indices: recordings
/// in volts are searched as recordings in counts are.
///
/// # Panics
///
/// When they do not.
pub fn powers_of_two_scale_exactly(kernel: &dyn GmfKernel) {
    for seed in 0..6 {
        for method in METHODS {
            let case = random_case(seed, method, ZeroFrequency::Sum);
            let integration = case.prepared.integration();
            let mut plan = plan(kernel, &case);
            let one = execute(&mut *plan, &case, integration);
            for exponent in [-20, 12] {
                let scale = 2f32.powi(exponent);
                let scaled: Vec<Complex32> = integration.rx.iter().map(|z| z * scale).collect();
                let row =
                    execute(&mut *plan, &case, Integration { tx: integration.tx, rx: &scaled });
                let mut expected = one.clone();
                expected.gmf.iter_mut().for_each(|value| *value *= scale * scale);
                expected.zero_frequency.iter_mut().for_each(|value| *value *= scale * scale);
                assert_same_bytes(&row, &expected, &format!("seed {seed}, {method}, 2^{exponent}"));
            }
        }
    }
}

/// Integrations handed over together give what they give one by one.
///
/// # Panics
///
/// When they do not.
pub fn batches_equal_single_executions(kernel: &dyn GmfKernel) {
    for method in METHODS {
        let case = random_case(4, method, ZeroFrequency::Sum);
        let first = case.prepared.integration();
        let mut plan = plan(kernel, &case);
        assert!(plan.batch_len() >= 1);
        let turned: Vec<Vec<Complex32>> = (0..5)
            .map(|n| {
                let mut rx = first.rx.to_vec();
                rx.rotate_left(17 * n);
                rx
            })
            .collect();
        let integrations: Vec<Integration<'_>> =
            turned.iter().map(|rx| Integration { tx: first.tx, rx }).collect();
        let mut rows = vec![dirty(case.derived.n_ranges()); integrations.len()];
        let mut borrowed: Vec<_> = rows.iter_mut().map(GridRow::as_mut).collect();
        plan.execute_batch(&integrations, &mut borrowed).expect("the shapes fit");
        for (idx, (integration, row)) in integrations.iter().zip(&rows).enumerate() {
            let single = execute(&mut *plan, &case, *integration);
            assert_same_bytes(row, &single, &format!("{method}, integration {idx} of a batch"));
        }
        let refused = plan.execute_batch(&integrations[1..], &mut []);
        assert!(matches!(refused, Err(KernelError::Shape { .. })), "{refused:?}");
    }
}

/// Gates whose samples are all zero have the value 0 and the index -1; their neighbours are found.
///
/// # Panics
///
/// When they have not.
pub fn silence_has_no_index(kernel: &dyn GmfKernel) {
    for method in METHODS {
        let case = random_case(1, method, ZeroFrequency::Sum);
        let integration = case.prepared.integration();
        let silence = vec![Complex32::default(); integration.rx.len()];
        let mut plan = plan(kernel, &case);
        execute(&mut *plan, &case, integration);
        let row = execute(&mut *plan, &case, Integration { tx: integration.tx, rx: &silence });
        assert_same_bytes(&row, &GridRow::new(case.derived.n_ranges()), "silence");
        assert_eq!(row.peak(&case.derived), None);
    }
}

/// Buffers of another length are refused, and nothing is written.
///
/// # Panics
///
/// When they are not, or something is.
pub fn refuses_wrong_shapes(kernel: &dyn GmfKernel) {
    let case = random_case(2, Method::Fgmf, ZeroFrequency::Sum);
    let good = case.prepared.integration();
    let n_ranges = case.derived.n_ranges();
    let mut plan = plan(kernel, &case);
    for (integration, length) in [
        (Integration { tx: &good.tx[1..], rx: good.rx }, n_ranges),
        (Integration { tx: good.tx, rx: &good.rx[1..] }, n_ranges),
        (good, n_ranges + 1),
        (good, n_ranges - 1),
    ] {
        let mut row = GridRow::new(length);
        let untouched = row.clone();
        let refused = plan.execute(integration, row.as_mut());
        assert!(matches!(refused, Err(KernelError::Shape { .. })), "{refused:?}");
        assert_eq!(row, untouched);
    }
    // The plan is as good as before.
    let derived = Arc::clone(&case.derived);
    let row = execute(&mut *plan, &case, good);
    let mut reference = ReferencePlan::new(&derived, &case.options);
    assert_eq!(reference.compare(good, &row).expect("the shapes fit"), []);
}

/// Samples that are NaN or infinite are refused, and nothing is written: comparisons would hide
/// them.
///
/// # Panics
///
/// When they are not, or something is.
pub fn refuses_what_is_not_finite(kernel: &dyn GmfKernel) {
    let case = random_case(5, Method::Fgmf, ZeroFrequency::Sum);
    let good = case.prepared.integration();
    let mut plan = plan(kernel, &case);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let spoilt = |samples: &[Complex32]| {
            let mut samples = samples.to_vec();
            let last = samples.len() - 1;
            samples[last].im = value;
            samples
        };
        let (tx, rx) = (spoilt(good.tx), spoilt(good.rx));
        for integration in
            [Integration { tx: &tx, rx: good.rx }, Integration { tx: good.tx, rx: &rx }]
        {
            let mut row = GridRow::new(case.derived.n_ranges());
            let untouched = row.clone();
            let refused = plan.execute(integration, row.as_mut());
            assert!(matches!(refused, Err(KernelError::NotFinite { .. })), "{refused:?}");
            assert_eq!(row, untouched);
        }
    }
}
