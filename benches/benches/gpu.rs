//! The matched filter on a graphics processor, beside one core of the CPU.
//!
//! A search of 480 gates and 19 accelerations is little for such a device, one of 10000 gates is not;
//! batches are what `analyze` hands over. Without a graphics processor Mesa's adapter in software
//! takes its place, over few gates: that measures nothing but that it works. What each stage takes
//! on the device is printed by `polychron check gpu` and the example `gmf_device` of `gmf-gpu`.
//!
//! Answers are checked against the reference before the clock runs.

#![forbid(unsafe_code)]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel, GridRow, GridRowMut, KernelOptions, Method,
    PreparedSamples, Processing, ReferencePlan,
};
use gmf_cpu::CpuKernel;
use gmf_gpu::{GpuKernel, Selection};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn derived(decimation: usize, n_gates: i64) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_start = 82\ntx_end = 2002\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 929.6\n",
    )
    .expect("is sound");
    let processing = Processing {
        min_range_gate: 6000,
        max_range_gate: 6000 + n_gates,
        frequency_decimation: decimation,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).expect("fits together"))
}

/// Noise, and a target that is found beyond doubt.
fn prepared(derived: &Arc<Derived>) -> PreparedSamples {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut number = || Complex32::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
    let mut samples: Vec<Complex32> = (0..derived.read_length()).map(|_| number()).collect();
    for period in samples.chunks_mut(derived.ipp_samples()) {
        let pulse = period[derived.tx_pulse()].to_vec();
        let start = derived.rx_window().start + 2;
        for (at, sent) in pulse.into_iter().enumerate() {
            period[start + at] += sent * 0.5;
        }
    }
    let mut prepared = PreparedSamples::new(derived);
    prepared.load(&samples, &samples[..derived.integration_samples()]).expect("finite");
    prepared
}

fn check(kernel: &dyn GmfKernel, decimation: usize, method: Method) {
    let derived = derived(decimation, 6);
    let prepared = prepared(&derived);
    let options = KernelOptions::new(method);
    let mut row = GridRow::new(derived.n_ranges());
    let mut plan = kernel.plan(&derived, &options).expect("plans");
    plan.execute(prepared.integration(), row.as_mut()).expect("fits");
    let mut reference = ReferencePlan::new(&derived, &options);
    let mismatches = reference.compare(prepared.integration(), &row).expect("fits");
    assert!(mismatches.is_empty(), "wrong answer: {}", mismatches[0]);
}

#[expect(clippy::print_stdout, reason = "what was measured must be known, and what was not")]
fn search(c: &mut Criterion) {
    // A graphics processor if there is one.
    let gpu = match GpuKernel::new(&Selection::default().software(true)) {
        Ok(gpu) => gpu,
        Err(error) => return println!("skipped: {error}"),
    };
    println!("on {}", gpu.adapter());
    let gates: &[i64] = if gpu.adapter().software { &[16] } else { &[480, 10_000] };
    let cpu = CpuKernel::default();
    let kernels: [(&str, &dyn GmfKernel); 2] = [("cpu", &cpu), ("gpu", &gpu)];
    for method in [Method::Fgmf, Method::Fdpt] {
        let mut group = c.benchmark_group(format!("gpu-{method}"));
        group.sample_size(10);
        for decimation in [10, 16] {
            for (_, kernel) in kernels {
                check(kernel, decimation, method);
            }
            for &n_gates in gates {
                let derived = derived(decimation, n_gates);
                let prepared = prepared(&derived);
                for (name, kernel) in kernels {
                    let options = KernelOptions::new(method);
                    let mut plan = kernel.plan(&derived, &options).expect("plans");
                    let batch = vec![prepared.integration(); plan.batch_len()];
                    let mut rows = vec![GridRow::new(derived.n_ranges()); batch.len()];
                    let points = derived.decimated_read_length();
                    let id = BenchmarkId::new(format!("{name}-{n_gates}-gates"), points);
                    group.throughput(Throughput::Elements(n_gates as u64 * batch.len() as u64));
                    group.bench_function(id, |b| {
                        b.iter(|| {
                            let mut rows: Vec<GridRowMut<'_>> =
                                rows.iter_mut().map(GridRow::as_mut).collect();
                            plan.execute_batch(&batch, &mut rows).expect("fits");
                        });
                    });
                    let peak = rows[0].peak(&derived).expect("an echo is there");
                    assert_eq!((peak.range_idx, peak.range_rate_m_s), (2, 0.0), "{name}");
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
