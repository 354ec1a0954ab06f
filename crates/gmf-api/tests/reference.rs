//! The reference against sums written out, and the tolerance rule against results made wrong.

use std::sync::Arc;

use gmf_api::{
    Complex32, Complex64, Derived, Experiment, GridRow, KernelOptions, Method, PreparedSamples,
    Processing, ReferencePlan, SamplesError, ZeroFrequency,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn derived(step: usize, offset: usize) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 1000\nipp = 60000\ntx_start = 2000\ntx_end = 14000\n\
         rx_start = 0\nrx_end = 60000\nradar_frequency = 930\n",
    )
    .expect("a sound experiment");
    let processing = Processing {
        n_ipp: 3,
        ipp_offset: offset,
        min_range_gate: 20,
        max_range_gate: 29,
        range_gate_step: step,
        frequency_decimation: 4,
        min_acceleration_m_s2: -40.0,
        max_acceleration_m_s2: 50.0,
        dpt_ipp_delay_parameter: 1,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).expect("sound parameters"))
}

fn noise(seed: u64, n: usize) -> Vec<Complex32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut number = || rng.random_range(-1.0..1.0f32);
    (0..n).map(|_| Complex32::new(number(), number())).collect()
}

/// Written from the recorded samples, without stencils and transforms: each gate's power is the
/// sum over its samples times phasors, block by block.
fn power_written_out(
    d: &Derived,
    samples: &[Complex32],
    range_idx: usize,
    acceleration_idx: usize,
    frequency_idx: usize,
) -> f64 {
    let wide = |z: Complex32| Complex64::new(f64::from(z.re), f64::from(z.im));
    let (pulse, dec) = (d.pulse_samples(), d.decimation());
    let mut energy = 0.0;
    let mut sum = Complex64::default();
    for ipp_idx in 0..d.n_ipp() {
        let tx = ipp_idx * d.ipp_samples() + d.tx_pulse().start;
        let first = (ipp_idx + d.processing().ipp_offset) * d.ipp_samples()
            + d.tx_pulse().start
            + 1
            + d.gate_span().start;
        for j in 0..pulse {
            let sent = wide(samples[tx + j]);
            energy += sent.norm_sqr();
            let block = first + j - j % dec;
            let time =
                (block as f64 + (dec as f64 - 1.0) / 2.0) / d.experiment().sample_rate_hz as f64;
            let acceleration = d.accelerations_m_s2()[acceleration_idx];
            let phase = -std::f64::consts::PI * acceleration * time * time
                / d.experiment().wavelength_m()
                - std::f64::consts::TAU * (frequency_idx * (block / dec)) as f64
                    / d.decimated_read_length() as f64;
            let echo = wide(samples[first + j + range_idx * d.gate_step()]);
            sum += sent.conj() * echo * Complex64::cis(phase);
        }
    }
    sum.norm_sqr() / energy
}

#[test]
fn the_reference_is_the_sum_written_out() {
    for (step, offset) in [(1, 0), (2, 0), (1, 1)] {
        let d = derived(step, offset);
        let samples = noise(7, d.read_length());
        let mut prepared = PreparedSamples::new(&d);
        prepared.load(&samples, &samples[..d.integration_samples()]).unwrap();
        let mut plan = ReferencePlan::new(&d, &KernelOptions::new(Method::Fgmf));
        let row = plan.search(prepared.integration()).unwrap();
        for range_idx in 0..d.n_ranges() {
            let mut best = 0.0;
            for acceleration_idx in d.acceleration_window() {
                for frequency_idx in 0..d.decimated_read_length() {
                    let power =
                        power_written_out(&d, &samples, range_idx, acceleration_idx, frequency_idx);
                    best = f64::max(best, power);
                }
            }
            let found = row.gmf[range_idx];
            // The prepared pulses are single precision, each off by half a unit in the last place.
            assert!((found / best - 1.0).abs() < 4.0 * f64::from(f32::EPSILON), "{found} {best}");
            let here = power_written_out(
                &d,
                &samples,
                range_idx,
                row.acceleration_idx[range_idx].unwrap(),
                row.range_rate_idx[range_idx].unwrap(),
            );
            assert!((here / best - 1.0).abs() < 4.0 * f64::from(f32::EPSILON), "{here} {best}");
        }
    }
}

/// A gate's value is the energy of the echo: all of it where the model is exact.
#[test]
fn a_target_on_the_grid_is_found_with_all_its_energy() {
    let d = derived(1, 0);
    let (gate, frequency_idx) = (5, 7);
    let acceleration_idx = d.acceleration_window().start + 1;
    let code = noise(3, d.pulse_samples());
    let mut samples = vec![Complex32::default(); d.read_length()];
    let mut energy = 0.0;
    for ipp_idx in 0..d.n_ipp() {
        let start = ipp_idx * d.ipp_samples();
        samples[start + d.tx_pulse().start..][..code.len()].copy_from_slice(&code);
        for (j, &sent) in code.iter().enumerate() {
            let block = d.decimated_position(ipp_idx) + j / d.decimation();
            let time = d.decimated_times_s()[ipp_idx * d.decimated_pulse() + j / d.decimation()];
            let phase = -d.acceleration_phase_factor(acceleration_idx) * time * time
                + std::f64::consts::TAU * (frequency_idx * block) as f64
                    / d.decimated_read_length() as f64;
            let turned = Complex32::new(phase.cos() as f32, phase.sin() as f32) * sent * 0.5;
            samples[start + d.rx_window().start + gate + j] = turned;
            energy += f64::from(turned.norm_sqr());
        }
    }
    let mut prepared = PreparedSamples::new(&d);
    prepared.load(&samples, &samples[..d.integration_samples()]).unwrap();
    for method in [Method::Fgmf, Method::Fdpt] {
        let mut plan = ReferencePlan::new(&d, &KernelOptions::new(method));
        let row = GridRow::from(&plan.search(prepared.integration()).unwrap());
        let peak = row.peak(&d).unwrap();
        assert_eq!(peak.range_idx, gate, "{method}");
        assert_eq!(peak.range_rate_m_s, d.range_rate_m_s(frequency_idx), "{method}");
        assert_eq!(peak.acceleration_m_s2, d.acceleration_m_s2(acceleration_idx), "{method}");
        assert!((f64::from(peak.gmf) / energy - 1.0).abs() < 1e-5, "{method}: {}", peak.gmf);
    }
}

#[test]
fn the_two_zero_frequency_terms_are_told_apart() {
    let d = derived(1, 0);
    let samples = noise(11, d.read_length());
    let mut prepared = PreparedSamples::new(&d);
    prepared.load(&samples, &samples[..d.integration_samples()]).unwrap();
    let term = |zero_frequency| {
        let options = KernelOptions::new(Method::Fgmf).zero_frequency(zero_frequency);
        ReferencePlan::new(&d, &options).search(prepared.integration()).unwrap().zero_frequency
    };
    let (sum, first) = (term(ZeroFrequency::Sum), term(ZeroFrequency::FirstAcceleration));
    let mut plan = ReferencePlan::new(&d, &KernelOptions::new(Method::Fgmf));
    for range_idx in 0..d.n_ranges() {
        let echo: Complex64 = plan.decode(prepared.integration(), range_idx).iter().sum();
        assert_eq!(sum[range_idx], echo.norm_sqr());
        let bin_zero = plan.spectrum(d.acceleration_window().start).next().unwrap();
        assert!((first[range_idx] / bin_zero - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_tolerance_rule_accepts_the_reference_and_refuses_what_is_off() {
    let d = derived(1, 0);
    let samples = noise(5, d.read_length());
    let mut prepared = PreparedSamples::new(&d);
    prepared.load(&samples, &samples[..d.integration_samples()]).unwrap();
    for method in [Method::Fgmf, Method::Fdpt] {
        let mut plan = ReferencePlan::new(&d, &KernelOptions::new(method));
        let row = GridRow::from(&plan.search(prepared.integration()).unwrap());
        let mut mismatches = |change: &dyn Fn(&mut GridRow)| -> Vec<&'static str> {
            let mut row = row.clone();
            change(&mut row);
            let found = plan.compare(prepared.integration(), &row).unwrap();
            found.iter().map(|mismatch| mismatch.quantity).collect()
        };
        assert!(mismatches(&|_| ()).is_empty());
        assert_eq!(mismatches(&|row| row.gmf[3] *= 1.0001), ["gmf"]);
        assert!(mismatches(&|row| row.gmf[3] *= 1.000_005).is_empty());
        assert_eq!(mismatches(&|row| row.gmf[3] = f32::NAN), ["gmf"]);
        assert_eq!(mismatches(&|row| row.zero_frequency[0] *= 1.01), ["zero_frequency"]);
        assert_eq!(mismatches(&|row| row.range_rate_idx[2] = -1), ["range_rate_idx"]);
        assert!(!mismatches(&|row| row.range_rate_idx[2] += 1).is_empty());
        assert_eq!(mismatches(&|row| row.acceleration_idx[2] = -1), ["acceleration_idx"]);
        assert_eq!(mismatches(&|row| row.acceleration_idx[2] = i32::MAX), ["acceleration_idx"]);
        assert!(!mismatches(&|row| row.acceleration_idx[2] += 1).is_empty());
    }
}

#[test]
fn samples_that_cannot_be_compared_are_refused() {
    let d = derived(1, 0);
    let mut prepared = PreparedSamples::new(&d);
    let good = noise(1, d.read_length());
    let silent = vec![Complex32::default(); d.read_length()];
    assert_eq!(
        prepared.load(&good, &silent[..d.integration_samples()]),
        Err(SamplesError::NoTransmission)
    );
    assert!(matches!(
        prepared.load(&good[1..], &good[..d.integration_samples()]),
        Err(SamplesError::Length { .. })
    ));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut samples = good.clone();
        let index = d.rx_window().start + d.ipp_samples();
        samples[index].im = bad;
        let error = prepared.load(&samples, &good[..d.integration_samples()]).unwrap_err();
        assert!(
            matches!(error, SamplesError::NotFinite { what: "receiver", index: at, .. } if at == index)
        );
        // What no gate uses may be anything.
        let mut samples = good.clone();
        samples[d.rx_window().end].im = bad;
        prepared.load(&samples, &samples[..d.integration_samples()]).unwrap();
    }
    // Recordings in volts are as good as recordings in counts.
    let tiny: Vec<Complex32> = good.iter().map(|z| z * 1e-12).collect();
    prepared.load(&tiny, &tiny[..d.integration_samples()]).unwrap();
    let energy: f32 = prepared.integration().tx.iter().map(|z| z.norm_sqr()).sum();
    assert!((energy - 1.0).abs() < 1e-5);
}
