//! Searches with samples, made from a seed.

use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, Experiment, KernelOptions, Method, PreparedSamples, Processing,
    ZeroFrequency,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A search, what is asked, and the samples of one integration.
#[derive(Debug)]
pub struct Case {
    /// The search.
    pub derived: Arc<Derived>,
    /// What is asked of the kernel.
    pub options: KernelOptions,
    /// The samples, prepared.
    pub prepared: PreparedSamples,
}

/// Makes a case: any number of periods, offset, decimation, gate step and code length that the
/// parameters allow, lengths with large primes among them; noise, with a target in two cases of
/// three.
///
/// # Panics
///
/// Never, unless this function itself is wrong.
#[must_use]
pub fn random_case(seed: u64, method: Method, zero_frequency: ZeroFrequency) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dec = [1, 2, 3, 4, 5, 8, 10, 16][rng.random_range(0..8)];
    let period_blocks = [30, 31, 36, 50, 64, 97, 101, 125, 144][rng.random_range(0..9)];
    let pulse_blocks = rng.random_range(1..=period_blocks / 4);
    let (ipp, pulse) = (period_blocks * dec, pulse_blocks * dec);
    let n_ipp = rng.random_range(2..=7);
    let ipp_offset = rng.random_range(0..=2);
    let tx_start = rng.random_range(0..4);
    let gate_end = ipp - pulse - tx_start - 1;
    let min_gate = rng.random_range(0..gate_end);
    let max_gate = rng.random_range(min_gate + 1..=gate_end.min(min_gate + 12));
    let experiment = Experiment::from_ini(
        "metadata.ini",
        &format!(
            "[Experiment]\nsample_rate = 100000\nipp = {}\ntx_start = {}\ntx_end = {}\n\
             rx_start = 0\nrx_end = {}\nradar_frequency = 500\n",
            ipp * 10,
            tx_start * 10,
            (tx_start + pulse) * 10,
            ipp * 10
        ),
    )
    .expect("the text is sound");
    let mut processing = Processing {
        n_ipp,
        ipp_offset,
        min_range_gate: min_gate as i64,
        max_range_gate: max_gate as i64,
        range_gate_step: rng.random_range(1..=3),
        frequency_decimation: dec,
        // With an offset the delay may be longer than all pulses together, and nothing is left.
        dpt_ipp_delay_parameter: rng.random_range(1..n_ipp + ipp_offset),
        min_acceleration_m_s2: f64::NEG_INFINITY,
        max_acceleration_m_s2: f64::INFINITY,
        ..Processing::default()
    };
    // A window of a few accelerations around zero, as wide as the grid's step makes it.
    let all = Derived::new(&experiment, &processing).expect("the parameters fit");
    let half = all.acceleration_step_m_s2() * rng.random_range(0.0..4.5);
    processing.min_acceleration_m_s2 = -half;
    processing.max_acceleration_m_s2 = half * rng.random_range(0.0..1.0);
    let derived = Arc::new(Derived::new(&experiment, &processing).expect("zero is in the window"));

    let mut number = |scale: f32| {
        Complex32::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)) * scale
    };
    let n = derived.read_length();
    let tx: Vec<Complex32> = (0..n).map(|_| number(20.0)).collect();
    let mut rx: Vec<Complex32> = (0..n).map(|_| number(1.0)).collect();
    if !seed.is_multiple_of(3) {
        add_target(&derived, &tx, &mut rx, &mut rng);
    }
    let mut prepared = PreparedSamples::new(&derived);
    prepared.load(&rx, &tx[..derived.integration_samples()]).expect("the samples are finite");
    Case { derived, options: KernelOptions::new(method).zero_frequency(zero_frequency), prepared }
}

/// Adds the echo of a moving target to a random gate.
fn add_target(d: &Derived, tx: &[Complex32], rx: &mut [Complex32], rng: &mut ChaCha8Rng) {
    let gate = rng.random_range(0..d.n_ranges()) * d.gate_step();
    let rate = rng.random_range(-0.3..0.3);
    let curve = rng.random_range(-1e-6..1e-6);
    for ipp_idx in 0..d.n_ipp() {
        let sent = ipp_idx * d.ipp_samples() + d.tx_pulse().start;
        let back =
            (ipp_idx + d.processing().ipp_offset) * d.ipp_samples() + d.rx_window().start + gate;
        for j in 0..d.pulse_samples() {
            let t = (back + j) as f32;
            let phase = rate * t + curve * t * t;
            rx[back + j] += tx[sent + j] * Complex32::new(phase.cos(), phase.sin()) * 0.1;
        }
    }
}
