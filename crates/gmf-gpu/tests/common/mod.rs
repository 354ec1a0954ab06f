//! What the tests share: the adapter, and searches of chosen lengths.

#![allow(dead_code, reason = "each test program uses a part of it")]

#[path = "../../../../tests/src/skips.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is part of a library")]
pub(crate) mod skips;

use std::sync::{Arc, OnceLock};

use gmf_api::{Complex32, Derived, Experiment, Processing};
use gmf_gpu::{GpuKernel, Selection};

/// Mesa's adapter in software; `None`, and the test is skipped, where it is not installed.
pub(crate) fn lavapipe(test: &str) -> Option<GpuKernel> {
    // One device for the program: each compiles its shaders anew.
    static KERNEL: OnceLock<Option<GpuKernel>> = OnceLock::new();
    let kernel = KERNEL.get_or_init(|| {
        gmf_gpu::adapters().iter().any(|adapter| adapter.name.contains("llvmpipe")).then(|| {
            GpuKernel::new(&Selection::from_text("llvmpipe")).expect("what is listed opens")
        })
    });
    if kernel.is_none() {
        skips::skip(test, "no lavapipe, Vulkan in software");
    }
    kernel.clone()
}

/// A graphics processor in hardware; `None`, and the test is skipped, where there is none.
pub(crate) fn hardware(test: &str) -> Option<GpuKernel> {
    if gmf_gpu::adapters().iter().all(|adapter| adapter.software) {
        skips::skip(test, "no GPU");
        return None;
    }
    Some(GpuKernel::new(&Selection::default()).expect("what is listed opens"))
}

/// A search of `points` decimated samples a period and `pulse` a pulse, over three gates and a few
/// accelerations, and samples with a target in the second gate.
pub(crate) fn lengths(
    points: usize,
    pulse: usize,
    dec: usize,
    n_ipp: usize,
    ipp_offset: usize,
) -> (Arc<Derived>, Vec<Complex32>) {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        &format!(
            "[Experiment]\nsample_rate = 100000\nipp = {}\ntx_start = 0\ntx_end = {}\n\
             rx_start = 0\nrx_end = {}\nradar_frequency = 500\n",
            points * dec * 10,
            pulse * dec * 10,
            points * dec * 10
        ),
    )
    .expect("is sound");
    let gate = (pulse * dec) as i64;
    let mut processing = Processing {
        n_ipp,
        ipp_offset,
        min_range_gate: gate,
        max_range_gate: gate + 3,
        frequency_decimation: dec,
        dpt_ipp_delay_parameter: n_ipp / 2,
        min_acceleration_m_s2: f64::NEG_INFINITY,
        max_acceleration_m_s2: f64::INFINITY,
        ..Processing::default()
    };
    let step = Derived::new(&experiment, &processing).expect("is sound").acceleration_step_m_s2();
    processing.min_acceleration_m_s2 = -2.2 * step;
    processing.max_acceleration_m_s2 = 2.2 * step;
    let derived = Derived::new(&experiment, &processing).expect("is sound");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut samples: Vec<Complex32> =
        (0..derived.read_length()).map(|_| Complex32::new(number(), number())).collect();
    for ipp_idx in 0..n_ipp {
        let sent = ipp_idx * derived.ipp_samples();
        let back = (ipp_idx + ipp_offset) * derived.ipp_samples() + derived.rx_window().start + 1;
        for j in 0..derived.pulse_samples() {
            let sent = samples[sent + derived.tx_pulse().start + j];
            samples[back + j] += sent * 2.0;
        }
    }
    (Arc::new(derived), samples)
}

/// The same search over other accelerations.
pub(crate) fn with_accelerations(derived: &Derived, min: f64, max: f64) -> Arc<Derived> {
    let processing = Processing {
        min_acceleration_m_s2: min,
        max_acceleration_m_s2: max,
        ..derived.processing().clone()
    };
    Arc::new(Derived::new(derived.experiment(), &processing).expect("is sound"))
}

/// Memory of this process that is in use, in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("is sound");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("is sound");
    line.split_whitespace().nth(1).expect("is sound").parse::<u64>().expect("is sound") * 1024
}
