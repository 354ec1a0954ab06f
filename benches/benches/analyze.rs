//! The analysis of a minute of recording, from Digital RF to GMF files, and where its time goes.
//!
//! A radar records without pause, so an analysis that takes longer than the recording never
//! catches up. Two threads must take at most 1/1.8 of the time of one (`end_to_end/threads-1` over
//! `threads-2`): integrations share nothing. The stages are those of one thread, each alone, over
//! the same minute: `read`, `prepare` (stencils and scaling), `kernel`, `write`; the rest of
//! `end_to_end/serial` is handing work over.
//!
//! 96 gates and 19 accelerations; with more gates the kernel's share only grows.

#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use digital_rf::hdf5::Publish;
use gmf_api::{
    Complex32, GmfKernel as _, GridRow, KernelOptions, Method, PreparedSamples, Processing,
};
use gmf_cpu::CpuKernel;
use gmf_pipeline::simulate::{ProductOptions, Simulation, Synthesis};
use gmf_pipeline::{Analysis, AnalysisPlan, FolderSink, GmfFile, RunControl};
use pm_api::{ParallelManager, SerialManager};
use pm_threads::ThreadsManager;
use polychron_bench::CpuKernels;

/// Length of the recording, in seconds: a minute, or less where only the answer is checked.
fn duration_s() -> f64 {
    if std::env::args().any(|arg| arg == "--bench") { 60.0 } else { 2.0 }
}

fn simulate(dir: &Path) -> Synthesis {
    let simulation = Simulation {
        targets: vec!["r=1996e3,v=40,a=5,snr=-10".parse().expect("is sound")],
        duration_s: duration_s(),
        seed: 1,
        ..Simulation::default()
    };
    let synthesis = simulation.check().expect("fits together");
    synthesis.write_product(dir, ProductOptions::default()).expect("writes");
    synthesis
}

fn plan(product: &Path) -> AnalysisPlan {
    let mut analysis = Analysis::of_product(product, "rx", None).expect("reads");
    analysis.processing = Processing {
        min_range_gate: 6610,
        max_range_gate: 6706,
        frequency_decimation: 10,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        num_cohints_per_file: 50,
        ..Processing::default()
    };
    analysis.plan().expect("fits together")
}

/// Every peak is the target.
fn check(files: &[GmfFile], synthesis: &Synthesis, n_integrations: usize) {
    let mut n = 0;
    for file in files {
        for row in file.peaks() {
            let truth = synthesis.truth(file.derived(), n)[0];
            let peak = row.peak.expect("an echo is there");
            assert!((peak.range_m - truth.range_m).abs() < 600.0, "wrong answer at {n}: {peak:?}");
            n += 1;
        }
    }
    assert_eq!(n, n_integrations as u64);
}

fn analyze(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let product = dir.path().join("product");
    let synthesis = simulate(&product);
    let plan = plan(&product);
    let serial = SerialManager::new();
    let mut files: Vec<GmfFile> = Vec::new();
    plan.run::<CpuKernels>(&serial, &mut files, RunControl::default()).expect("runs");
    files.sort_by(|a, b| a.relative_path().cmp(b.relative_path()));
    check(&files, &synthesis, plan.n_integrations());

    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10).throughput(Throughput::Elements(plan.n_integrations() as u64));
    let managers: [(&str, Box<dyn ParallelManager>); 3] = [
        ("serial", Box::new(serial)),
        ("threads-1", Box::new(ThreadsManager::new(1).expect("threads start"))),
        ("threads-2", Box::new(ThreadsManager::new(2).expect("threads start"))),
    ];
    for (name, manager) in &managers {
        group.bench_function(*name, |b| {
            b.iter(|| {
                let out = tempfile::tempdir_in(dir.path()).expect("a temporary folder");
                let mut sink = FolderSink::new(out.path(), false);
                let report = plan
                    .run::<CpuKernels>(&**manager, &mut sink, RunControl::default())
                    .expect("runs");
                assert_eq!(report.files.len(), plan.n_files());
            });
        });
    }
    group.finish();
    stages(c, &plan, &files);
}

fn stages(c: &mut Criterion, plan: &AnalysisPlan, files: &[GmfFile]) {
    let derived = Arc::clone(plan.derived());
    let mut group = c.benchmark_group("stages");
    group.sample_size(10).throughput(Throughput::Elements(plan.n_integrations() as u64));

    let mut reader = plan.analysis().rx.open().expect("opens");
    let mut samples = vec![Complex32::default(); derived.read_length()];
    group.bench_function("read", |b| {
        b.iter(|| {
            for integration in 0..plan.n_integrations() {
                reader.read(plan.integration_start(integration), &mut samples).expect("reads");
            }
        });
    });
    let mut prepared = PreparedSamples::new(&derived);
    group.bench_function("prepare", |b| {
        b.iter(|| {
            for _ in 0..plan.n_integrations() {
                prepared.load(&samples, &samples).expect("finite");
            }
        });
    });
    let mut kernel =
        CpuKernel::default().plan(&derived, &KernelOptions::new(Method::Fgmf)).expect("plans");
    let mut row = GridRow::new(derived.n_ranges());
    group.bench_function("kernel", |b| {
        b.iter(|| {
            for _ in 0..plan.n_integrations() {
                kernel.execute(prepared.integration(), row.as_mut()).expect("fits");
            }
        });
    });
    group.bench_function("write", |b| {
        b.iter(|| {
            let out = tempfile::tempdir().expect("a temporary folder");
            for file in files {
                let name = file.relative_path().file_name().expect("a file has a name");
                file.write(&out.path().join(name), Publish::New).expect("writes");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, analyze);
criterion_main!(benches);
