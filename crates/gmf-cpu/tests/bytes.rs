//! What may not change a byte: skipping, the level, the number of threads.

#![expect(clippy::print_stdout, reason = "a level that this processor lacks is named")]

use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel, GridRow, Integration, KernelOptions, Method,
    PreparedSamples, Processing, ReferencePlan, ZeroFrequency,
};
use gmf_cpu::{CpuKernel, Level};

const METHODS: [Method; 2] = [Method::Fgmf, Method::Fdpt];

fn execute(kernel: &CpuKernel, derived: &Arc<Derived>, method: Method, rx: &Samples) -> Vec<u32> {
    let options = KernelOptions::new(method).zero_frequency(ZeroFrequency::FirstAcceleration);
    let mut plan = kernel.plan(derived, &options).expect("plans");
    let mut row = GridRow::new(derived.n_ranges());
    let integration = Integration { tx: &rx.tx, rx: &rx.rx };
    // Twice: what the first integration leaves behind must not show in the second.
    for _ in 0..2 {
        plan.execute(integration, row.as_mut()).expect("fits");
    }
    let GridRow { gmf, zero_frequency, range_rate_idx, acceleration_idx } = row;
    let floats = gmf.into_iter().chain(zero_frequency).map(f32::to_bits);
    floats.chain(range_rate_idx.into_iter().chain(acceleration_idx).map(|x| x as u32)).collect()
}

struct Samples {
    tx: Vec<Complex32>,
    rx: Vec<Complex32>,
}

/// All ways of computing that this processor has, with their names.
fn kernels() -> Vec<(String, CpuKernel)> {
    let mut kernels = Vec::new();
    for level in Level::ALL {
        if !level.is_available() {
            println!("skipped: {level} (this processor does not have it)");
            continue;
        }
        let kernel = CpuKernel::default().at_level(level).expect("is available");
        kernels.push((format!("{level}"), kernel.clone()));
        kernels.push((format!("{level}, every row"), kernel.without_skipping()));
    }
    kernels.push(("three threads".to_owned(), CpuKernel::new(3).expect("threads start")));
    kernels
}

fn assert_same_bytes(derived: &Arc<Derived>, samples: &Samples, what: &str) {
    for method in METHODS {
        let mut results = kernels()
            .into_iter()
            .map(|(name, kernel)| (name, execute(&kernel, derived, method, samples)));
        let (first, expected) = results.next().expect("there is one");
        for (name, found) in results {
            let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(differs, None, "{what}, {method}: {name} differs from {first}");
        }
    }
}

/// Two hundred configurations agree with the reference, and every way of computing them gives the
/// same bytes.
#[test]
fn random_configurations_agree_with_the_reference_and_each_other() {
    for seed in 0..200 {
        for method in METHODS {
            let case = gmf_conformance::random_case(seed, method, ZeroFrequency::Sum);
            let integration = case.prepared.integration();
            let mut plan = CpuKernel::default().plan(&case.derived, &case.options).unwrap();
            let mut row = GridRow::new(case.derived.n_ranges());
            plan.execute(integration, row.as_mut()).unwrap();
            let mut reference = ReferencePlan::new(&case.derived, &case.options);
            let mismatches = reference.compare(integration, &row).unwrap();
            assert!(mismatches.is_empty(), "seed {seed}, {method}: {}", mismatches[0]);
        }
        let case = gmf_conformance::random_case(seed, Method::Fgmf, ZeroFrequency::Sum);
        let Integration { tx, rx } = case.prepared.integration();
        let samples = Samples { tx: tx.to_vec(), rx: rx.to_vec() };
        assert_same_bytes(&case.derived, &samples, &format!("seed {seed}"));
    }
}

/// A search like those of the field, but smaller: 10 of `periods` periods of `period` decimated
/// samples, of which `pulse` are of the pulse.
fn usual(periods: usize, period: usize, pulse: usize, gates: usize) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        &format!(
            "[Experiment]\nsample_rate = 1000000\nipp = {}\ntx_start = 0\ntx_end = {}\n\
             rx_start = 0\nrx_end = {}\nradar_frequency = 929.6\n",
            2 * period,
            2 * pulse,
            2 * period
        ),
    )
    .expect("is sound");
    let mut processing = Processing {
        n_ipp: periods,
        min_range_gate: 3,
        max_range_gate: 3 + gates as i64,
        frequency_decimation: 2,
        dpt_ipp_delay_parameter: periods / 2,
        min_acceleration_m_s2: f64::NEG_INFINITY,
        max_acceleration_m_s2: f64::INFINITY,
        ..Processing::default()
    };
    let step =
        Derived::new(&experiment, &processing).expect("fits together").acceleration_step_m_s2();
    processing.min_acceleration_m_s2 = -2.5 * step;
    processing.max_acceleration_m_s2 = 2.5 * step;
    Arc::new(Derived::new(&experiment, &processing).expect("fits together"))
}

fn noise(n: usize, seed: u64) -> Vec<Complex32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| Complex32::new(number(), number())).collect()
}

/// Searches in which rows are skipped, with data for which that is hard: spectra that are flat, or
/// flat in pairs, or zero; targets between the points; powers that nearly overflow or underflow.
#[test]
fn hard_data_give_the_same_bytes_with_and_without_skipping() {
    // Periods by one small transform, by several passes, and as written; lengths of small primes
    // and of large ones.
    for (periods, period, pulse) in [(10, 250, 24), (4, 600, 57), (21, 120, 11), (19, 106, 9)] {
        let derived = usual(periods, period, pulse, 37);
        let n = derived.read_length();
        let tx = noise(n, 1);
        let mut cases: Vec<(&str, Vec<Complex32>)> = vec![("noise", noise(n, 2))];
        cases.push(("silence", vec![Complex32::default(); n]));
        let mut flat = vec![Complex32::default(); n];
        flat[derived.rx_window().start + pulse] = Complex32::new(1.0, -0.5);
        cases.push(("one sample", flat.clone()));
        flat[derived.rx_window().start + pulse + 2] = Complex32::new(-0.25, 0.5);
        cases.push(("two samples", flat.clone()));
        flat[derived.rx_window().start + pulse + 1 + derived.ipp_samples()] =
            Complex32::new(-0.25, 0.5);
        cases.push(("two periods", flat));
        let mut target = noise(n, 3);
        for (at, z) in target.iter_mut().enumerate() {
            let from = (at + n - derived.rx_window().start - 5 + derived.tx_pulse().start) % n;
            let phase = at as f32 * 0.012_345;
            let echo = tx[from] * Complex32::new(phase.cos(), phase.sin());
            *z = *z * 0.01 + echo;
        }
        cases.push(("target", target));
        cases.push(("tiny", noise(n, 2).iter().map(|z| z * 1e-17).collect()));
        cases.push(("denormal", noise(n, 2).iter().map(|z| z * 1e-21).collect()));
        cases.push(("huge", noise(n, 2).iter().map(|z| z * 1e17).collect()));
        cases.push(("overflow", noise(n, 2).iter().map(|z| z * 1e19).collect()));
        for (what, rx) in cases {
            let mut prepared = PreparedSamples::new(&derived);
            prepared.load(&rx, &tx[..derived.integration_samples()]).unwrap();
            let Integration { tx, rx } = prepared.integration();
            let samples = Samples { tx: tx.to_vec(), rx: rx.to_vec() };
            assert_same_bytes(&derived, &samples, &format!("{what}, {periods} x {period}"));
        }
    }
}
