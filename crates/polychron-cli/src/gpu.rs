//! Graphics processors: which one a search takes, and `polychron check gpu`.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use polychron::gmf::{
    Complex32, Derived, Experiment, GmfKernel as _, GmfPlan as _, GridRow, GridRowMut,
    KernelOptions, Method, PreparedSamples, Processing, ReferencePlan,
};
use polychron::gmf_gpu::{self, AdapterInfo, GpuKernel, Selection};
use polychron::gmf_pipeline::{Devices, KernelChoice, KernelSet as _};
use polychron::jobdiv::Job;
use polychron::{Kernels, gpu_selection};

use crate::args::GpuArgs;
use crate::output::say;

/// The kernel with its devices; `auto` is resolved, and a device that is not there is said at once.
pub(crate) fn on_device(
    choice: KernelChoice,
    args: &GpuArgs,
    node_gpus: u32,
    job: Job,
) -> anyhow::Result<KernelChoice> {
    let devices = Devices::default()
        .only(args.gpu.clone())
        .per_node(node_gpus as usize)
        .first_worker(job.idx())
        .software(args.gpu_software);
    match choice.name.as_str() {
        "gpu" => {
            let choice = choice.devices(devices);
            let adapter = gmf_gpu::find(&gpu_selection(&choice, 0)).context("-i gpu")?;
            tracing::info!("graphics adapter {adapter}");
            Ok(choice)
        }
        "auto" => {
            let gpu = KernelChoice::new("gpu").devices(devices);
            match gmf_gpu::find(&gpu_selection(&gpu, 0)) {
                Ok(adapter) => {
                    tracing::info!("-i auto: graphics adapter {adapter}");
                    Ok(gpu)
                }
                // Who names an adapter wants that one.
                Err(error) if args.gpu.is_some() => Err(error).context("-i auto"),
                Err(error) => {
                    let first = fallback();
                    tracing::info!("-i auto: the kernel {first}, because {error}");
                    Ok(KernelChoice::new(first))
                }
            }
        }
        _ => Ok(choice),
    }
}

/// The first kernel that needs no graphics processor.
fn fallback() -> &'static str {
    Kernels::names().iter().find(|name| **name != "gpu").copied().unwrap_or("reference")
}

#[derive(Debug, Args)]
#[command(after_help = "\
The speed is of the search itself, with 20000 points and 19 accelerations, as `analyze` does it in
batches: samples go to the device and results come back while it computes.

Example:
  polychron check gpu --gpu 0")]
pub(crate) struct CheckGpuArgs {
    #[command(flatten)]
    gpu: GpuArgs,
}

pub(crate) fn check(args: &CheckGpuArgs) -> anyhow::Result<()> {
    let all = gmf_gpu::adapters();
    all.iter().for_each(describe);
    let selection = match &args.gpu.gpu {
        Some(device) => Selection::from_text(device),
        None => Selection::default(),
    };
    let kernel = GpuKernel::new(&selection.software(args.gpu.gpu_software))?;
    say(format_args!("checking {}", kernel.adapter()));
    for (method, decimation) in [(Method::Fgmf, 10), (Method::Fgmf, 16), (Method::Fdpt, 10)] {
        correct(&kernel, method, decimation)?;
    }
    // Enough to keep a device busy; on the CPU enough to see.
    speed(&kernel, if kernel.adapter().software { 16 } else { 480 })
}

fn describe(adapter: &AdapterInfo) {
    let AdapterInfo { workgroup_storage, workgroup_invocations, subgroup_size, .. } = adapter;
    say(format_args!("{adapter}"));
    say(format_args!(
        "   driver {}; bus {}",
        adapter.driver,
        if adapter.bus_id.is_empty() { "unknown" } else { &adapter.bus_id }
    ));
    say(format_args!(
        "   workgroups of {workgroup_invocations} share {workgroup_storage} bytes, subgroups of {} \
         to {}; bindings of {} MiB, buffers of {} MiB; {} timestamps",
        subgroup_size.0,
        subgroup_size.1,
        adapter.binding_size >> 20,
        adapter.buffer_size >> 20,
        if adapter.timestamps { "has" } else { "no" }
    ));
}

/// A search as hardtarget's own examples have it, over so many gates.
fn search(decimation: usize, n_gates: i64) -> anyhow::Result<Arc<Derived>> {
    let experiment = Experiment::from_ini(
        "check",
        "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_start = 82\ntx_end = 2002\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 929.6\n",
    )?;
    let processing = Processing {
        min_range_gate: 6000,
        max_range_gate: 6000 + n_gates,
        frequency_decimation: decimation,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        ..Processing::default()
    };
    Ok(Arc::new(Derived::new(&experiment, &processing)?))
}

/// Noise with a target in the third gate, from a generator of G. Marsaglia (xorshift).
fn samples(derived: &Arc<Derived>) -> anyhow::Result<PreparedSamples> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut all: Vec<Complex32> =
        (0..derived.read_length()).map(|_| Complex32::new(number(), number())).collect();
    for period in all.chunks_mut(derived.ipp_samples()) {
        let pulse = period[derived.tx_pulse()].to_vec();
        let start = derived.rx_window().start + 2;
        for (at, sent) in pulse.into_iter().enumerate() {
            period[start + at] += sent * 0.5;
        }
    }
    let mut prepared = PreparedSamples::new(derived);
    prepared.load(&all, &all[..derived.integration_samples()])?;
    Ok(prepared)
}

fn correct(kernel: &GpuKernel, method: Method, decimation: usize) -> anyhow::Result<()> {
    let derived = search(decimation, 4)?;
    let options = KernelOptions::new(method);
    let prepared = samples(&derived)?;
    let mut row = GridRow::new(derived.n_ranges());
    kernel.plan(&derived, &options)?.execute(prepared.integration(), row.as_mut())?;
    let mut reference = ReferencePlan::new(&derived, &options);
    let mismatches = reference.compare(prepared.integration(), &row)?;
    let points = derived.decimated_read_length();
    if let Some(first) = mismatches.first() {
        bail!(
            "{} computes wrong: {method} of {points} points: {first}; its driver ({}) is broken, or \
             this program is",
            kernel.adapter().name,
            kernel.adapter().driver
        );
    }
    say(format_args!("{method} of {points} points: agrees with the reference"));
    Ok(())
}

fn speed(kernel: &GpuKernel, n_gates: i64) -> anyhow::Result<()> {
    let derived = search(10, n_gates)?;
    let prepared = samples(&derived)?;
    let mut plan = kernel.gpu_plan(&derived, &KernelOptions::new(Method::Fgmf))?;
    let batch = vec![prepared.integration(); plan.batch_len()];
    let mut rows = vec![GridRow::new(derived.n_ranges()); batch.len()];
    let mut execute = || {
        let mut rows: Vec<GridRowMut<'_>> = rows.iter_mut().map(GridRow::as_mut).collect();
        plan.execute_batch(&batch, &mut rows)
    };
    // The first makes the driver compile.
    execute()?;
    let mut took_s = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        execute()?;
        took_s.push(start.elapsed().as_secs_f64() / batch.len() as f64);
    }
    took_s.sort_by(f64::total_cmp);
    let (took_s, lasts_s) = (took_s[2], derived.integration_samples() as f64 / 1e6);
    say(format_args!(
        "fgmf of 20000 points, {n_gates} gates, {} accelerations: {:.3} ms for each integration, \
         {:.1} x real time (median of 5 batches of {})",
        derived.acceleration_window().len(),
        took_s * 1e3,
        lasts_s / took_s,
        batch.len()
    ));
    say(format_args!("   {}", plan.describe()));
    for stage in plan.stage_times(prepared.integration())? {
        let ms = stage.seconds * 1e3;
        say(format_args!("   {:<16} {ms:>9.3} ms in {} dispatches", stage.name, stage.dispatches));
    }
    Ok(())
}
