//! The matched filter on one integration.
//!
//! An integration of ten periods is 0.2 s of recording, so a search that takes longer on one core
//! cannot follow the radar (480 gates and 19 accelerations are a usual search). The study `gmf`
//! (`cargo xtask bench gmf`) times the same beside hardtarget; this is for work on the kernel.
//!
//! Answers are checked against the reference before the clock runs, on every 40th gate.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel as _, GridRow, Integration, KernelOptions, Method,
    PreparedSamples, Processing, ReferencePlan,
};
use gmf_cpu::CpuKernel;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Decimations: 20000 and 12500 points.
const DECIMATIONS: [usize; 2] = [10, 16];

fn derived(decimation: usize, gate_step: usize) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_start = 82\ntx_end = 2002\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 929.6\n",
    )
    .expect("is sound");
    let processing = Processing {
        min_range_gate: 6000,
        max_range_gate: 6480,
        range_gate_step: gate_step,
        frequency_decimation: decimation,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).expect("fits together"))
}

/// Noise, and with `echo` a target that is found beyond doubt.
fn samples(derived: &Derived, echo: bool) -> Vec<Complex32> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut number = || Complex32::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
    let mut samples: Vec<Complex32> = (0..derived.read_length()).map(|_| number()).collect();
    if echo {
        for period in samples.chunks_mut(derived.ipp_samples()) {
            let pulse = period[derived.tx_pulse()].to_vec();
            let start = derived.rx_window().start + 200;
            for (at, sent) in pulse.into_iter().enumerate() {
                period[start + at] += sent * 0.5;
            }
        }
    }
    samples
}

fn check(kernel: &CpuKernel, decimation: usize, method: Method, samples: &[Complex32]) {
    let derived = derived(decimation, 40);
    let options = KernelOptions::new(method);
    let mut prepared = PreparedSamples::new(&derived);
    prepared.load(samples, &samples[..derived.integration_samples()]).expect("finite");
    let mut row = GridRow::new(derived.n_ranges());
    let mut plan = kernel.plan(&derived, &options).expect("plans");
    plan.execute(prepared.integration(), row.as_mut()).expect("fits");
    let mut reference = ReferencePlan::new(&derived, &options);
    let mismatches = reference.compare(prepared.integration(), &row).expect("fits");
    assert!(mismatches.is_empty(), "wrong answer: {}", mismatches[0]);
}

fn search(c: &mut Criterion) {
    for method in [Method::Fgmf, Method::Fdpt] {
        let mut group = c.benchmark_group(method.name());
        group.sample_size(10);
        for decimation in DECIMATIONS {
            let derived = derived(decimation, 1);
            let mut prepared = PreparedSamples::new(&derived);
            for (name, echo) in [("noise", false), ("target", true)] {
                let samples = samples(&derived, echo);
                prepared.load(&samples, &samples[..derived.integration_samples()]).expect("finite");
                for threads in [1, 2] {
                    let kernel = CpuKernel::new(threads).expect("threads start");
                    check(&kernel, decimation, method, &samples);
                    let mut plan =
                        kernel.plan(&derived, &KernelOptions::new(method)).expect("plans");
                    let mut row = GridRow::new(derived.n_ranges());
                    group.throughput(Throughput::Elements(derived.n_ranges() as u64));
                    let id = BenchmarkId::new(
                        format!("{name}-{threads}-threads"),
                        derived.decimated_read_length(),
                    );
                    group.bench_function(id, |b| {
                        b.iter(|| {
                            let Integration { tx, rx } = black_box(prepared.integration());
                            plan.execute(Integration { tx, rx }, row.as_mut()).expect("fits");
                        });
                    });
                    if echo {
                        let peak = row.peak(&derived).expect("an echo is there");
                        assert_eq!((peak.range_idx, peak.range_rate_m_s), (200, 0.0));
                    }
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
