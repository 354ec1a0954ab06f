//! Times one integration, for comparisons beside the original's kernel.
//!
//! `time_search [fgmf|fdpt] [decimation] [level] [all|skip] [noise|target|many|silence|flat]
//! [repeats] [gates] [threads]`
//! prints the seconds of planning, of the first integration, and of the later ones; and of these
//! the CPU time of the calling thread, which on one thread is what the work takes.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel as _, GridRow, KernelOptions, Method,
    PreparedSamples, Processing,
};
use gmf_cpu::{CpuKernel, Level};

fn derived(decimation: usize, gates: i64) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 1000000\nipp = 20000\ntx_start = 82\ntx_end = 2002\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 929.6\n",
    )
    .expect("is sound");
    let processing = Processing {
        min_range_gate: 6000,
        max_range_gate: 6000 + gates,
        frequency_decimation: decimation,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).expect("fits together"))
}

fn samples(derived: &Derived, data: &str) -> Vec<Complex32> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut samples: Vec<Complex32> =
        (0..derived.read_length()).map(|_| Complex32::new(number(), number())).collect();
    let targets: &[usize] = match data {
        "target" => &[200],
        "many" => &[10, 37, 64, 99, 140, 141, 200, 260, 300, 333, 400, 470],
        _ => &[],
    };
    for period in samples.chunks_mut(derived.ipp_samples()) {
        let pulse = period[derived.tx_pulse()].to_vec();
        let window = derived.rx_window();
        if data == "silence" || data == "flat" {
            period[window.clone()].fill(Complex32::default());
        }
        for gate in targets {
            for (at, sent) in pulse.iter().enumerate() {
                period[window.start + gate + at] += sent * 0.5;
            }
        }
    }
    if data == "flat" {
        // One sample in all: every row of every gate that sees it is equally strong.
        samples[derived.rx_window().start + 1000] = Complex32::new(1.0, 0.0);
    }
    samples
}

/// CPU time of this thread.
fn cpu_time_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |at: usize, default: &str| args.get(at).map_or(default.to_owned(), Clone::clone);
    let method: Method = arg(0, "fgmf").parse()?;
    let derived = derived(arg(1, "10").parse()?, arg(6, "480").parse()?);
    let level = match arg(2, "best").as_str() {
        "best" => Level::best(),
        name => name.parse()?,
    };
    let mut kernel = CpuKernel::new(arg(7, "1").parse()?)?.at_level(level)?;
    if arg(3, "skip") == "all" {
        kernel = kernel.without_skipping();
    }
    let data = arg(4, "noise");
    let samples = samples(&derived, &data);
    let mut prepared = PreparedSamples::new(&derived);
    prepared.load(&samples, &samples[..derived.integration_samples()])?;
    let start = Instant::now();
    let mut plan = kernel.plan(&derived, &KernelOptions::new(method))?;
    let planning = start.elapsed();
    let mut row = GridRow::new(derived.n_ranges());
    let (mut seconds, mut cpu_seconds) = (Vec::new(), Vec::new());
    for _ in 0..arg(5, "9").parse::<usize>()? + 1 {
        let (start, cpu_start) = (Instant::now(), cpu_time_s());
        plan.execute(prepared.integration(), row.as_mut())?;
        cpu_seconds.push(cpu_time_s() - cpu_start);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let first = seconds.remove(0);
    cpu_seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    cpu_seconds.sort_by(f64::total_cmp);
    #[expect(clippy::print_stdout, reason = "this is what the example is for")]
    {
        println!(
            "{method} {} {level} {} {data}: planning {:.4}, first {first:.4}, least {:.4}, \
             median {:.4} s, cpu median {:.5}, sum {}",
            derived.decimated_read_length(),
            if kernel.skips() { "skipping" } else { "all" },
            planning.as_secs_f64(),
            seconds[0],
            seconds[seconds.len() / 2],
            cpu_seconds[cpu_seconds.len() / 2],
            row.gmf.iter().map(|x| f64::from(*x)).sum::<f64>(),
        );
    }
    Ok(())
}
