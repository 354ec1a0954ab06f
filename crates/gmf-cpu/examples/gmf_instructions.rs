//! Runs one search, for valgrind to count its instructions.
//!
//! `cargo xtask instructions` builds it as the benchmarks are built, counts what happens inside of
//! the functions `measured_…`, and compares with the limits: `gmf_instructions OPERATION TIMES`,
//! where `OPERATION` is `fgmf`, `fgmf_every_row` or `fdpt`, with `_12500` for the shorter
//! transform. An integration has 64 gates and 19 accelerations.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program reports to its user")]

use std::process::ExitCode;
use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel as _, GmfPlan, GridRow, Integration, KernelOptions,
    Method, PreparedSamples, Processing,
};
use gmf_cpu::{CpuKernel, Level};

fn derived(decimation: usize) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_start = 82\ntx_end = 2002\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 929.6\n",
    )
    .expect("is sound");
    let processing = Processing {
        min_range_gate: 6000,
        max_range_gate: 6064,
        frequency_decimation: decimation,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).expect("fits together"))
}

/// Noise, and one echo.
fn samples(derived: &Derived) -> Vec<Complex32> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut samples: Vec<Complex32> =
        (0..derived.read_length()).map(|_| Complex32::new(number(), number())).collect();
    for period in samples.chunks_mut(derived.ipp_samples()) {
        let pulse = period[derived.tx_pulse()].to_vec();
        let start = derived.rx_window().start + 30;
        for (at, sent) in pulse.into_iter().enumerate() {
            period[start + at] += sent * 0.5;
        }
    }
    samples
}

#[inline(never)]
fn measured_search(
    plan: &mut dyn GmfPlan,
    integration: Integration<'_>,
    row: &mut GridRow,
    times: u64,
) {
    for _ in 0..times {
        plan.execute(integration, row.as_mut()).expect("fits");
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let operation = args.next().unwrap_or_default();
    let Some(times) = args.next().and_then(|times| times.parse().ok()) else {
        println!("usage: gmf_instructions OPERATION TIMES");
        return ExitCode::FAILURE;
    };
    let (name, decimation) = match operation.strip_suffix("_12500") {
        Some(name) => (name, 16),
        None => (operation.as_str(), 10),
    };
    // The level that valgrind knows, so that the counts are the same on every machine.
    let Ok(kernel) = CpuKernel::default().at_level(Level::Avx2) else {
        println!("this processor does not have AVX2");
        return ExitCode::FAILURE;
    };
    let (method, kernel) = match name {
        "fgmf" => (Method::Fgmf, kernel),
        "fgmf_every_row" => (Method::Fgmf, kernel.without_skipping()),
        "fdpt" => (Method::Fdpt, kernel),
        _ => {
            println!("unknown operation '{operation}'");
            return ExitCode::FAILURE;
        }
    };
    let derived = derived(decimation);
    let samples = samples(&derived);
    let mut prepared = PreparedSamples::new(&derived);
    let loaded = prepared.load(&samples, &samples[..derived.integration_samples()]);
    loaded.expect("the samples are finite");
    let mut plan = kernel.plan(&derived, &KernelOptions::new(method)).expect("plans");
    let mut row = GridRow::new(derived.n_ranges());
    measured_search(&mut *plan, prepared.integration(), &mut row, times);
    let peak = row.peak(&derived).expect("an echo is there");
    assert_eq!((peak.range_idx, peak.range_rate_m_s), (30, 0.0), "the echo is found");
    ExitCode::SUCCESS
}
