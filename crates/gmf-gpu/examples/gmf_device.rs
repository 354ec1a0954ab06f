//! Searches fresh random data on a device, checks it, times it, and dumps inputs and results.
//!
//! ```text
//! cargo run --release -p gmf-gpu --example gmf_device -- --gates 480 --acc 19 --dump DIR
//! ```
//!
//! The dump is raw and little-endian, for programs that compute the same otherwise:
//!
//! | file         | content                                                                      |
//! | ------------ | ---------------------------------------------------------------------------- |
//! | `meta.txt`   | `P M L dec na ng N`: pulses, decimated samples of a period and of a pulse,   |
//! |              | decimation, accelerations, gates, points of the transform                    |
//! | `ztx.c64`    | `[P*L*dec]`, already conjugated and scaled                                   |
//! | `zrx.c64`    | received samples                                                             |
//! | `phasor.c64` | `[na][P*L]`                                                                  |
//! | `win.i32`    | `[P*L*dec]`, sample indices into `zrx`, for gate offset 0                    |
//! | `rgs.i32`    | `[ng]`, gate offsets, added to `win`                                         |
//! | `decidx.i32` | `[P*L]`, `m` to `(m/L)*M + m%L`                                              |
//! | `val.f32`, `dc.f32`, `v.i32`, `a.i32` | our results, `[ng]` each; `a` counts the rows of `phasor` |
//! | `time.txt`   | milliseconds of the compute passes on the device                             |
//!
//! The zero-frequency term is frequency 0 under the first acceleration, as hardtarget's C and CUDA
//! code have it.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a program for the command line")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel as _, GmfPlan as _, GridRow, GridRowMut,
    KernelOptions, Method, PreparedSamples, Processing, ReferencePlan, ZeroFrequency,
};
use gmf_gpu::{GpuKernel, Selection};

/// What is computed: the options of the command line.
struct Load {
    gates: usize,
    acc: usize,
    n_ipp: usize,
    ipp: usize,
    pulse: usize,
    dec: usize,
    seed: u64,
    dump: Option<PathBuf>,
    selection: Selection,
}

fn parse() -> Result<Load, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut load = Load {
        gates: 480,
        acc: 19,
        n_ipp: 10,
        ipp: 20_000,
        pulse: 1920,
        dec: 10,
        seed: 1,
        dump: None,
        selection: Selection::default(),
    };
    let mut software = false;
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("gates") => load.gates = parser.value()?.parse()?,
            Long("acc") => load.acc = parser.value()?.parse()?,
            Long("n-ipp") => load.n_ipp = parser.value()?.parse()?,
            Long("ipp") => load.ipp = parser.value()?.parse()?,
            Long("pulse") => load.pulse = parser.value()?.parse()?,
            Long("dec") => load.dec = parser.value()?.parse()?,
            Long("seed") => load.seed = parser.value()?.parse()?,
            Long("dump") => load.dump = Some(parser.value()?.into()),
            Long("gpu") => load.selection = Selection::from_text(&parser.value()?.string()?),
            Long("software") => software = true,
            other => return Err(other.unexpected().into()),
        }
    }
    load.selection = load.selection.software(software);
    Ok(load)
}

fn derive(load: &Load) -> Result<Derived, Box<dyn Error>> {
    let experiment = Experiment::from_ini(
        "options",
        &format!(
            "[Experiment]\nsample_rate = 1000000\nipp = {}\ntx_start = 0\ntx_end = {}\n\
             rx_start = 0\nrx_end = {}\nradar_frequency = 930\n",
            load.ipp, load.pulse, load.ipp
        ),
    )?;
    let first = load.pulse as i64;
    let mut processing = Processing {
        n_ipp: load.n_ipp,
        min_range_gate: first,
        max_range_gate: first + load.gates as i64,
        frequency_decimation: load.dec,
        dpt_ipp_delay_parameter: load.n_ipp / 2,
        min_acceleration_m_s2: f64::NEG_INFINITY,
        max_acceleration_m_s2: f64::INFINITY,
        ..Processing::default()
    };
    let step = Derived::new(&experiment, &processing)?.acceleration_step_m_s2();
    let below = (load.acc - 1) / 2;
    processing.min_acceleration_m_s2 = -(below as f64 + 0.2) * step;
    processing.max_acceleration_m_s2 = ((load.acc - 1 - below) as f64 + 0.2) * step;
    Ok(Derived::new(&experiment, &processing)?)
}

/// Noise, and a target in every hundredth gate, from a generator of G. Marsaglia (xorshift).
fn samples(derived: &Arc<Derived>, seed: u64) -> Result<PreparedSamples, Box<dyn Error>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let n = derived.read_length();
    let tx: Vec<Complex32> = (0..n).map(|_| Complex32::new(number(), number())).collect();
    let mut rx: Vec<Complex32> = (0..n).map(|_| Complex32::new(number(), number())).collect();
    for gate in (10..derived.n_ranges()).step_by(100) {
        let rate = number() * 0.01;
        for ipp_idx in 0..derived.n_ipp() {
            let start = ipp_idx * derived.ipp_samples();
            for at in 0..derived.pulse_samples() {
                let sent = tx[start + derived.tx_pulse().start + at];
                let back = start + derived.rx_window().start + gate + at;
                let (sin, cos) = (rate * back as f32).sin_cos();
                rx[back] += sent * Complex32::new(cos, sin) * 0.3;
            }
        }
    }
    let mut prepared = PreparedSamples::new(derived);
    prepared.load(&rx, &tx[..derived.integration_samples()])?;
    Ok(prepared)
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = parse()?;
    let kernel = GpuKernel::new(&load.selection)?;
    println!("{:#?}", kernel.adapter());
    check(&kernel, &load)?;

    let derived = Arc::new(derive(&load)?);
    let prepared = samples(&derived, load.seed)?;
    let options = KernelOptions::new(Method::Fgmf).zero_frequency(ZeroFrequency::FirstAcceleration);
    let start = Instant::now();
    let mut plan = kernel.gpu_plan(&derived, &options)?;
    println!("planned in {:.3} s: {}", start.elapsed().as_secs_f64(), plan.describe());

    let mut row = GridRow::new(derived.n_ranges());
    plan.execute(prepared.integration(), row.as_mut())?;
    let single = median(9, || plan.execute(prepared.integration(), row.as_mut()))?;
    let batch = vec![prepared.integration(); plan.batch_len()];
    let mut rows = vec![GridRow::new(derived.n_ranges()); batch.len()];
    let together = median(9, || {
        let mut rows: Vec<GridRowMut<'_>> = rows.iter_mut().map(GridRow::as_mut).collect();
        plan.execute_batch(&batch, &mut rows)
    })? / batch.len() as f64;
    let sets = (load.gates * load.acc) as f64;
    println!(
        "whole call: {:.3} ms alone, {:.3} ms in batches of {} ({:.3} M(gate,acc)/s)",
        single * 1e3,
        together * 1e3,
        batch.len(),
        sets / together / 1e6
    );
    assert_eq!(rows[0], row, "a batch gives what one gives");

    // The first times what is not yet warm.
    plan.stage_times(prepared.integration())?;
    let stages = plan.stage_times(prepared.integration())?;
    for stage in &stages {
        let ms = stage.seconds * 1e3;
        println!("  {:<16} {ms:9.4} ms in {} dispatches", stage.name, stage.dispatches);
    }
    let device_ms = stages.iter().map(|stage| stage.seconds).sum::<f64>() * 1e3;
    println!("compute passes: {device_ms:.4} ms ({:.3} M(gate,acc)/s)", sets / device_ms / 1e3);
    if let Some(dir) = &load.dump {
        dump(dir, &derived, &prepared, &row, device_ms)?;
        println!("dumped to {}", dir.display());
    }
    Ok(())
}

fn median(
    n: usize,
    mut run: impl FnMut() -> Result<(), gmf_api::KernelError>,
) -> Result<f64, gmf_api::KernelError> {
    let mut took_s = Vec::new();
    for _ in 0..n {
        let start = Instant::now();
        run()?;
        took_s.push(start.elapsed().as_secs_f64());
    }
    took_s.sort_by(f64::total_cmp);
    Ok(took_s[n / 2])
}

/// Compares a few gates of the same search with the reference.
fn check(kernel: &GpuKernel, load: &Load) -> Result<(), Box<dyn Error>> {
    let small =
        Load { gates: load.gates.min(12), dump: None, selection: Selection::default(), ..*load };
    let derived = Arc::new(derive(&small)?);
    let prepared = samples(&derived, load.seed)?;
    for method in [Method::Fgmf, Method::Fdpt] {
        let options = KernelOptions::new(method);
        let mut row = GridRow::new(derived.n_ranges());
        kernel.plan(&derived, &options)?.execute(prepared.integration(), row.as_mut())?;
        let mut reference = ReferencePlan::new(&derived, &options);
        let mismatches = reference.compare(prepared.integration(), &row)?;
        if let Some(first) = mismatches.first() {
            return Err(format!("{method} is wrong: {first}").into());
        }
        println!("{method}: {} gates agree with the reference", derived.n_ranges());
    }
    Ok(())
}

fn dump(
    dir: &Path,
    derived: &Derived,
    prepared: &PreparedSamples,
    row: &GridRow,
    device_ms: f64,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    let complex = |name: &str, values: &[Complex32]| {
        let bytes: Vec<u8> =
            values.iter().flat_map(|z| [z.re, z.im]).flat_map(f32::to_le_bytes).collect();
        fs::write(dir.join(name), bytes)
    };
    let integers = |name: &str, values: &[i32]| {
        fs::write(dir.join(name), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    };
    let floats = |name: &str, values: &[f32]| {
        fs::write(dir.join(name), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    };
    let (pulses, pulse, window) =
        (derived.n_ipp(), derived.pulse_samples(), derived.window_samples());
    let blocks = derived.decimated_pulse();
    let period = derived.ipp_samples() / derived.decimation();
    let accelerations = derived.acceleration_window();
    let meta = format!(
        "{pulses} {period} {blocks} {} {} {} {}\n",
        derived.decimation(),
        accelerations.len(),
        derived.n_ranges(),
        derived.decimated_read_length()
    );
    fs::write(dir.join("meta.txt"), meta)?;
    complex("ztx.c64", prepared.integration().tx)?;
    complex("zrx.c64", prepared.integration().rx)?;
    let times = derived.decimated_times_s();
    let phasors: Vec<Complex32> =
        accelerations.clone().flat_map(|a| derived.acceleration_phasors(a, &times)).collect();
    complex("phasor.c64", &phasors)?;
    let indices = |n: usize, index: &dyn Fn(usize) -> usize| -> Vec<i32> {
        (0..n).map(|i| index(i) as i32).collect()
    };
    let win = indices(pulses * pulse, &|i| i / pulse * window + i % pulse);
    integers("win.i32", &win)?;
    integers("rgs.i32", &indices(derived.n_ranges(), &|i| i * derived.gate_step()))?;
    let places = indices(pulses * blocks, &|m| m / blocks * period + m % blocks);
    integers("decidx.i32", &places)?;
    floats("val.f32", &row.gmf)?;
    floats("dc.f32", &row.zero_frequency)?;
    integers("v.i32", &row.range_rate_idx)?;
    let first = accelerations.start as i32;
    let rows: Vec<i32> =
        row.acceleration_idx.iter().map(|&a| if a < 0 { a } else { a - first }).collect();
    integers("a.i32", &rows)?;
    fs::write(dir.join("time.txt"), format!("{device_ms}\n"))?;
    Ok(())
}
