//! The analysis of a minute of recording, from Digital RF to GMF files, and where its time goes.
//!
//! A radar records without pause, so an analysis that takes longer than the recording never
//! catches up. Two threads, or two processes, must take at most 1/1.9 of the time of one:
//! integrations share nothing. The comparison is printed first, all of one run in turns; what two
//! of anything can do on this machine at all is told by two threads that each compute the kernel
//! for a quarter of the minute, beside one that does: hardware threads of one core, and clocks that fall
//! with load, leave less than 2. The files of all are the same to the byte.
//!
//! criterion's own figures follow. The stages are those of one thread, each alone, over the same
//! minute: `read`, `prepare` (stencils and scaling), `kernel`, `write`; the rest of
//! `end_to_end/serial` is handing work over.
//!
//! The study `analyze` (`cargo xtask bench analyze`) times the command beside hardtarget's.
//!
//! 96 gates and 19 accelerations, and the comparison also with 480 gates: a minute of 96 takes two
//! workers half a second, of which starting, planning and the last file are a fiftieth that nothing
//! else is done in. So 1.9 is wanted of 480 gates.
//!
//! This program is its own worker.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use digital_rf::hdf5::Publish;
use gmf_api::{
    Complex32, GmfKernel as _, GridRow, KernelOptions, Method, PreparedSamples, Processing,
};
use gmf_cpu::CpuKernel;
use gmf_pipeline::simulate::{ProductOptions, Simulation, Synthesis};
use gmf_pipeline::{Analysis, AnalysisPlan, FolderSink, GmfFile, RunControl};
use pm_api::{ParallelManager, SerialManager};
use pm_proc::processes;
use pm_threads::ThreadsManager;
use polychron_bench::CpuKernels;
use polychron_bench::compare::{Side, compare, is_comparing, is_measuring, seconds};

gmf_pipeline::register_kernels!(CpuKernels);

/// Length of the recording, in seconds: a minute, or less where only the answer is checked.
fn duration_s() -> f64 {
    if is_measuring() { 60.0 } else { 2.0 }
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

const N_GATES: i64 = 96;
const N_MANY_GATES: i64 = 480;
/// The first range gate.
const FIRST_GATE: i64 = 6610;

fn plan(product: &Path, n_gates: i64) -> AnalysisPlan {
    let mut analysis = Analysis::of_product(product, "rx", None).expect("reads");
    analysis.processing = Processing {
        min_range_gate: FIRST_GATE,
        max_range_gate: FIRST_GATE + n_gates,
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
    let [plan, larger] = [N_GATES, N_MANY_GATES].map(|n| plan(&product, n));
    let serial = SerialManager::new();
    let mut files: Vec<GmfFile> = Vec::new();
    plan.run::<CpuKernels>(&serial, &mut files, RunControl::default()).expect("runs");
    files.sort_by(|a, b| a.relative_path().cmp(b.relative_path()));
    check(&files, &synthesis, plan.n_integrations());

    let managers = managers();
    if is_comparing() {
        scaling(dir.path(), &plan, N_GATES, &managers);
        scaling(dir.path(), &larger, N_MANY_GATES, &managers);
    }
    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10).throughput(Throughput::Elements(plan.n_integrations() as u64));
    // One process is one thread and what it costs to be another process: see the comparison.
    for (name, manager) in managers.iter().filter(|(name, _)| *name != "processes-1") {
        group.bench_function(*name, |b| b.iter(|| run(dir.path(), &plan, &**manager)));
    }
    group.finish();
    stages(c, &plan, &files);
}

type Managers = Vec<(&'static str, Box<dyn ParallelManager>)>;

fn managers() -> Managers {
    let threads = |n| Box::new(ThreadsManager::new(n).expect("threads start"));
    let processes = |n| Box::new(processes(n).expect("one or two are some"));
    vec![
        ("serial", Box::new(SerialManager::new())),
        ("threads-1", threads(1)),
        ("threads-2", threads(2)),
        ("processes-1", processes(1)),
        ("processes-2", processes(2)),
    ]
}

/// Analyses the whole recording, into a folder that goes away with what is returned.
fn run(dir: &Path, plan: &AnalysisPlan, manager: &dyn ParallelManager) -> tempfile::TempDir {
    let out = tempfile::tempdir_in(dir).expect("a temporary folder");
    let mut sink = FolderSink::new(out.path(), false);
    let report = plan.run::<CpuKernels>(manager, &mut sink, RunControl::default()).expect("runs");
    assert_eq!(report.files.len(), plan.n_files());
    out
}

/// What an analysis left in its folder, but for the record of the run, which tells of the manager
/// and the time.
fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("can be listed") {
            let path = entry.expect("can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "h5") {
                let name = path.strip_prefix(dir).expect("is below").to_owned();
                files.insert(name, std::fs::read(path).expect("can be read"));
            }
        }
    }
    files
}

/// How much sooner two of a kind are done than one.
fn scaling(dir: &Path, plan: &AnalysisPlan, n_gates: i64, managers: &Managers) {
    let expected = bytes(run(dir, plan, &*managers[0].1).path());
    assert_eq!(expected.len(), plan.n_files());
    let mut sides = vec![Side::new("serial", || timed(dir, plan, &*managers[0].1, &expected))];
    for (name, manager) in &managers[1..] {
        sides.push(Side::new(*name, || timed(dir, plan, &**manager, &expected)));
    }
    sides.push(Side::new("the kernel alone", || kernels(plan, 1)));
    sides.push(Side::new("the kernel alone, twice at once", || kernels(plan, 2)));
    let costs =
        compare(&format!("analyze, {n_gates} gates"), if is_measuring() { 5 } else { 1 }, sides);
    let least = |of: usize| costs[of].best;
    let middle = |of: usize| costs[of].median;
    for (what, one, two) in [("threads", 1, 2), ("processes", 3, 4)] {
        told(what, middle(one) / middle(two), least(one) / least(two));
    }
    told("the machine", 2.0 * middle(5) / middle(6), 2.0 * least(5) / least(6));
}

#[expect(clippy::print_stderr, reason = "the comparison is for who started it")]
fn told(what: &str, middle: f64, best: f64) {
    eprintln!("  two-core scaling of {what}: {middle:.2} (at best {best:.2}; wanted: 1.9)");
}

fn timed(
    dir: &Path,
    plan: &AnalysisPlan,
    manager: &dyn ParallelManager,
    expected: &BTreeMap<PathBuf, Vec<u8>>,
) -> f64 {
    let mut out = None;
    let took = seconds(|| out = Some(run(dir, plan, manager)));
    let files = bytes(out.as_ref().expect("it ran").path());
    assert!(files == *expected, "{}: the files differ", manager.name());
    took
}

/// Seconds until `n` threads have each computed a quarter as many integrations as there are.
fn kernels(plan: &AnalysisPlan, n: usize) -> f64 {
    let work = || {
        let derived = plan.derived();
        let mut reader = plan.analysis().rx.open().expect("opens");
        let mut samples = vec![Complex32::default(); derived.read_length()];
        reader.read(plan.integration_start(0), &mut samples).expect("reads");
        let mut prepared = PreparedSamples::new(derived);
        prepared.load(&samples, &samples).expect("finite");
        let mut kernel =
            CpuKernel::default().plan(derived, &KernelOptions::new(Method::Fgmf)).expect("plans");
        let mut row = GridRow::new(derived.n_ranges());
        for _ in 0..plan.n_integrations().div_ceil(4) {
            kernel.execute(prepared.integration(), row.as_mut()).expect("fits");
        }
    };
    seconds(|| {
        std::thread::scope(|scope| {
            for _ in 0..n {
                scope.spawn(work);
            }
        });
    })
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

fn main() {
    pm_api::worker_entry().expect("no two tasks have one name");
    let mut criterion = Criterion::default().configure_from_args();
    analyze(&mut criterion);
    criterion.final_summary();
}
