//! Properties of the samples, and of the truth about them.

use std::sync::Arc;

use gmf_api::{
    Derived, GmfKernel, GridRow, KernelOptions, Method, Peak, PreparedSamples, Processing,
    Reference, ReferencePlan, SPEED_OF_LIGHT_M_S,
};
use num_complex::{Complex32, Complex64};

use super::{
    Code, Dtype, Pointing, Radar, Samples, Simulation, SimulationError, Strength, Synthesis,
    Target, Truth,
};

/// No noise, no rounding, one target.
fn quiet(target: Target, n_periods: u32) -> Simulation {
    Simulation {
        targets: vec![target],
        duration_s: 0.02 * f64::from(n_periods),
        noise_std: 0.0,
        tx_amplitude: 1.0,
        dtype: Dtype::ComplexF64,
        tx_channel: Some("tx".to_owned()),
        ..Simulation::default()
    }
}

fn samples(simulation: &Simulation) -> Samples {
    simulation.check().unwrap().samples().unwrap()
}

fn energy(samples: &[Complex32]) -> f64 {
    samples.iter().map(|z| f64::from(z.norm_sqr())).sum()
}

#[test]
fn samples_depend_on_the_seed_and_not_on_how_they_are_cut() {
    let noisy = Simulation {
        targets: vec![Target::new(6.9e6, 5e3, 80.0, 9.0), Target::new(1.99e6, -3e3, 0.0, 30.0)],
        duration_s: 0.16,
        seed: 7,
        ..Simulation::default()
    };
    for tx_channel in [None, Some("tx".to_owned())] {
        let simulation = Simulation { tx_channel, ..noisy.clone() };
        let synthesis = simulation.check().unwrap();
        let whole = synthesis.samples().unwrap();
        assert_eq!(whole.rx.len(), 160_000);
        for cut in 1..=8 {
            let mut rx = Vec::new();
            let mut tx = Vec::new();
            for start in (0..8).step_by(cut) {
                let part = synthesis.samples_of(start..start + cut as u64).unwrap();
                assert_eq!(part.first_sample, whole.first_sample + start * 20_000);
                rx.extend(part.rx);
                tx.extend(part.tx.unwrap_or_default());
            }
            assert_eq!(rx, whole.rx, "in pieces of {cut}");
            assert_eq!(tx, whole.tx.clone().unwrap_or_default(), "in pieces of {cut}");
        }
        let other = Simulation { seed: 8, ..simulation };
        assert_ne!(samples(&other).rx, whole.rx);
    }
}

/// Of `n` independent standard normal numbers, the mean has the standard deviation `1/sqrt(n)`,
/// the mean square `sqrt(2/n)`, and the mean product with `n` others `1/sqrt(n)`; and six standard
/// deviations are left by one in 10^9.
#[test]
fn noise_is_white_and_has_the_power_asked_for() {
    const STD: f64 = 3.0;
    let simulation = Simulation {
        noise_std: STD,
        duration_s: 0.4,
        dtype: Dtype::ComplexF64,
        ..Simulation::default()
    };
    let samples = samples(&simulation);
    let mut parts = Vec::new();
    for period in samples.rx.chunks(20_000) {
        assert!(period[..82].iter().all(|z| *z == Complex32::default()), "before the pulse");
        assert!(period[82..2002].iter().all(|z| z.norm() == 900.0 && z.im == 0.0), "the pulse");
        parts.push(&period[2002..]);
    }
    let (re, im): (Vec<f64>, Vec<f64>) =
        parts.concat().iter().map(|z| (f64::from(z.re) / STD, f64::from(z.im) / STD)).unzip();
    let n = re.len();
    assert_eq!(n, 20 * 17_998);
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n as f64;
    let bound = 6.0 / (n as f64).sqrt();
    for part in [&re, &im] {
        let (average, power) =
            (mean(&mut part.iter().copied()), mean(&mut part.iter().map(|x| x * x)));
        assert!(average.abs() < bound, "mean {average}");
        assert!((power - 1.0).abs() < bound * 2.0_f64.sqrt(), "power {power}");
        // With the sample before, and with the same one of the period before.
        for lag in [1, 17_998] {
            let product = mean(&mut part.iter().zip(&part[lag..]).map(|(a, b)| a * b));
            assert!(product.abs() < bound, "lag {lag}: {product}");
        }
    }
    let product = mean(&mut re.iter().zip(&im).map(|(a, b)| a * b));
    assert!(product.abs() < bound, "parts correlate: {product}");
}

/// Against the model in its plainest form: for every pulse, every sample of it.
#[test]
fn echoes_arrive_when_and_as_the_model_says() {
    // Near, one period later (straddling the end of a period), and nearly two.
    for (range_m, n_periods) in [(1_996_318.0, 4), (5_900_000.0, 4), (11_000_000.0, 5)] {
        let target = Target::new(range_m, 4321.0, -55.0, 0.25);
        let simulation = quiet(target, n_periods);
        let got = samples(&simulation);
        let code = Code::leo_bpark();
        let wavelength_m = SPEED_OF_LIGHT_M_S / 929.6e6;
        let mut expected = vec![Complex64::default(); got.rx.len()];
        for pulse in 0..n_periods as usize {
            let sent = pulse * 20_000 + 82;
            let path = |sample: usize| {
                let t = sample as f64 / 1e6;
                range_m + 4321.0 * t - 55.0 * t * t / 2.0
            };
            let delay = (path(sent) / SPEED_OF_LIGHT_M_S * 1e6).round() as usize;
            for j in 0..1920 {
                let arrives = sent + j + delay;
                if arrives < expected.len() && arrives % 20_000 >= 2002 {
                    let turns = path(sent + j) / wavelength_m;
                    let baud = f64::from(code.bauds(pulse as u64)[j / 30]);
                    expected[arrives] +=
                        Complex64::cis(std::f64::consts::TAU * turns.fract()) * 0.25 * baud;
                }
            }
        }
        assert!(expected.iter().any(|z| z.norm() > 0.2), "the model has an echo");
        for (at, (got, expected)) in got.rx.iter().zip(&expected).enumerate() {
            // Rounding to single precision, and to 1e-9 of a turn in forming the phase.
            let difference =
                (Complex64::new(f64::from(got.re), f64::from(got.im)) - expected).norm();
            assert!(difference < 0.25 * 1e-7 * 2.0, "sample {at}: {got} and {expected}");
        }
    }
}

/// A path that grows, or shrinks, by more than a period during the product: each pulse's echo is
/// still heard once, in the one period where it arrives, unless the receiver is protected then.
#[test]
fn an_echo_moves_on_to_the_next_period() {
    for (range_m, rate) in [(5.7e6, 250e3), (12.9e6, -250e3)] {
        let target = Target::new(range_m, rate, 0.0, 1.0);
        let simulation = Simulation {
            radar: Radar { sample_rate_hz: 10_000, tx_start_us: 200.0, ..Radar::default() },
            code: Code::by_name("barker13", 0).unwrap().with_baud_us(100.0),
            duration_s: 30.0,
            ..quiet(target, 1)
        };
        let got = samples(&simulation);
        assert_eq!(got.rx.len(), 300_000);
        let mut expected = vec![0.0_f64; got.rx.len()];
        for sent in (2..300_000).step_by(200) {
            let path = range_m + rate * sent as f64 / 1e4;
            let delay = (path / SPEED_OF_LIGHT_M_S * 1e4).round() as usize;
            for arrives in sent + delay..sent + delay + 13 {
                // Pulse and protection end 15 samples into each period.
                if arrives < expected.len() && arrives % 200 >= 15 {
                    expected[arrives] += 1.0;
                }
            }
        }
        // 1500 pulses of 13 samples, of which some are lost to the protection.
        let heard: f64 = expected.iter().sum();
        assert!(heard > 1000.0 * 13.0 && heard < 1500.0 * 13.0, "{heard}");
        for (at, (got, expected)) in got.rx.iter().zip(&expected).enumerate() {
            assert!((f64::from(got.norm()) - expected).abs() < 1e-6, "sample {at}: {got}");
        }
    }
}

#[test]
fn all_energy_of_an_echo_inside_the_reception_arrives() {
    let got = samples(&quiet(Target::new(1.5e6, 0.0, 0.0, 2.0), 3));
    let n = 3.0 * 1920.0;
    assert!((energy(&got.rx) / (n * 4.0) - 1.0).abs() < 1e-6);
    assert!((energy(got.transmitter()) / n - 1.0).abs() < 1e-6);
    // An echo that begins during the pulse is heard only after it: of 1920 samples from 82 + 1000
    // on, the last 1000.
    let near = quiet(Target::new(1000.0 * SPEED_OF_LIGHT_M_S / 1e6, 0.0, 0.0, 1.0), 1);
    assert!((energy(&samples(&near).rx) - 1000.0).abs() < 1e-3);
    // And one that lasts beyond the end of reception is cut there.
    let far = Simulation {
        radar: Radar { rx_end_us: 12_000.0, ..Radar::default() },
        ..quiet(Target::new(11_000.0 * SPEED_OF_LIGHT_M_S / 1e6, 0.0, 0.0, 1.0), 1)
    };
    let far = samples(&far);
    assert!((energy(&far.rx) - 918.0).abs() < 1e-3);
    assert!(far.rx[12_000..].iter().all(|z| *z == Complex32::default()));
}

#[test]
fn an_echo_waits_its_periods_and_none_comes_from_before_the_start() {
    let later = SPEED_OF_LIGHT_M_S * 0.02;
    for lag in 0..3_usize {
        let target = Target::new(1.5e6 + lag as f64 * later, 0.0, 0.0, 1.0);
        let got = samples(&quiet(target, 4));
        for (period, samples) in got.rx.chunks(20_000).enumerate() {
            let heard = energy(samples);
            let expected = if period < lag { 0.0 } else { 1920.0 };
            assert!((heard - expected).abs() < 1e-2, "lag {lag}, period {period}: {heard}");
        }
    }
}

#[test]
fn one_channel_holds_pulse_and_reception_unless_there_are_two() {
    let two =
        Simulation { duration_s: 0.04, tx_channel: Some("t".into()), ..Simulation::default() };
    let one = Simulation { tx_channel: None, ..two.clone() };
    let (one, two) = (samples(&one), samples(&two));
    assert!(one.tx.is_none());
    assert_eq!(one.transmitter(), &one.rx[..]);
    let tx = two.tx.as_ref().unwrap();
    for (at, sample) in one.rx.iter().enumerate() {
        let pulse = (82..2002).contains(&(at % 20_000));
        let silent = if pulse { two.rx[at] } else { tx[at] };
        assert_eq!(silent, Complex32::default(), "{at}");
        assert_eq!(*sample, if pulse { tx[at] } else { two.rx[at] }, "{at}");
    }
}

/// The power of echo and noise together has the relative standard deviation `1/sqrt(n)` at most
/// times the square root of two; six of these.
#[test]
fn a_signal_to_noise_ratio_becomes_an_amplitude() {
    let target = Target { strength: Strength::SnrDb(20.0), ..Target::new(1.5e6, 0.0, 0.0, 0.0) };
    let simulation = Simulation { noise_std: 2.0, dtype: Dtype::ComplexF32, ..quiet(target, 5) };
    let got = samples(&simulation);
    let first = 82 + (1.5e6 / SPEED_OF_LIGHT_M_S * 1e6).round() as usize;
    let mean = |from: usize| {
        let parts = got.rx.chunks(20_000).map(|period| energy(&period[from..from + 1920]));
        parts.sum::<f64>() / (5.0 * 1920.0)
    };
    let (echo, noise) = (mean(first), mean(first + 4000));
    let bound = 6.0 * 2.0_f64.sqrt() / (5.0_f64 * 1920.0).sqrt();
    assert!((noise / 8.0 - 1.0).abs() < bound, "noise {noise}");
    assert!((echo / (8.0 * 101.0) - 1.0).abs() < bound, "echo {echo}");
}

#[test]
fn clipped_samples_are_counted() {
    let target = Target::new(1.5e6, 0.0, 0.0, 1000.0);
    let simulation = Simulation { dtype: Dtype::ComplexI8, ..quiet(target, 2) };
    let got = samples(&simulation);
    // Of a constant of size 1000 at least one part is beyond 127 whatever its phase.
    assert_eq!(got.n_clipped, 2 * 1920);
    assert!(got.rx.iter().all(|z| z.re.abs() <= 127.0 && z.im.abs() <= 127.0));
    let simulation = Simulation { dtype: Dtype::ComplexI16, ..simulation };
    assert_eq!(samples(&simulation).n_clipped, 0);
}

/// The strongest gate of integration `idx`, and the search that found it.
fn peak(synthesis: &Synthesis, processing: &Processing, idx: u64) -> (Peak, Arc<Derived>) {
    let derived = Arc::new(Derived::new(&synthesis.experiment(), processing).unwrap());
    let n_ipp = derived.n_ipp() as u64;
    let read = n_ipp + processing.ipp_offset as u64;
    let samples = synthesis.samples_of(idx * n_ipp..idx * n_ipp + read).unwrap();
    let mut prepared = PreparedSamples::new(&derived);
    let tx = &samples.transmitter()[..derived.integration_samples()];
    prepared.load(&samples.rx, tx).unwrap();
    let mut plan = Reference.plan(&derived, &KernelOptions::new(Method::Fgmf)).unwrap();
    let mut row = GridRow::new(derived.n_ranges());
    plan.execute(prepared.integration(), row.as_mut()).unwrap();
    (row.peak(&derived).unwrap(), derived)
}

/// Gates of one integration around a delay in samples.
fn search(gates: std::ops::Range<i64>) -> Processing {
    Processing {
        n_ipp: 10,
        min_range_gate: gates.start,
        max_range_gate: gates.end,
        frequency_decimation: 160,
        min_acceleration_m_s2: -140.0,
        max_acceleration_m_s2: 140.0,
        ..Processing::default()
    }
}

/// Where the peak is, and where the truth says it should be.
fn compare(
    simulation: &Simulation,
    processing: &Processing,
    idx: u64,
) -> (Peak, Truth, Arc<Derived>) {
    let synthesis = simulation.check().unwrap();
    let (peak, derived) = peak(&synthesis, processing, idx);
    let truths = synthesis.truth(&derived, idx);
    assert_eq!(truths.len(), simulation.targets.len());
    assert!(truths[0].within_gates);
    (peak, truths[0], derived)
}

const GATE_M: f64 = SPEED_OF_LIGHT_M_S / 1e6;

/// Strong targets, on and between the points of every axis, in every integration, in one channel
/// and in two, one period late and not: what the filter finds is what is said to be true.
#[test]
fn the_filter_finds_the_truth() {
    let step =
        Derived::new(&Simulation::default().check().unwrap().experiment(), &search(6640..6680))
            .unwrap()
            .acceleration_step_m_s2();
    let bin = SPEED_OF_LIGHT_M_S / 929.6e6 / 0.2;
    let mut n_cases = 0;
    for (delay, rate, acceleration, ipp_offset) in [
        (6655.0, 400.0, 2.0 * step, 0),
        (6655.3, -250.0, -step, 0),
        (6655.0, 0.0, 0.0, 0),
        (6655.4, 123.0, 1.5 * step, 0),
        (26_655.0, 390.0, -2.4 * step, 1),
    ] {
        let target = Target::new(delay * GATE_M, rate, acceleration, 40.0);
        let tx_channel = (ipp_offset == 1).then(|| "tx".to_owned());
        let simulation = Simulation {
            targets: vec![target],
            duration_s: 0.62,
            seed: 5,
            noise_std: 10.0,
            tx_channel,
            ..Simulation::default()
        };
        // The grid of accelerations of an integration that reads a period more has another step.
        let processing = Processing { ipp_offset, ..search(6646..6664) };
        for idx in 0..3 {
            let (peak, truth, derived) = compare(&simulation, &processing, idx);
            let case = format!("{target}, integration {idx}: {peak:?}, {truth:?}");
            assert!((peak.range_m - truth.range_m).abs() <= 0.5 * GATE_M + 1e-6, "{case}");
            let off = peak.acceleration_m_s2 - truth.acceleration_m_s2;
            assert!(off.abs() <= derived.acceleration_step_m_s2(), "{case}");
            let under = truth.range_rate_m_s_under(peak.acceleration_m_s2);
            assert!((peak.range_rate_m_s - under).abs() <= bin, "{case}");
            if (acceleration / step).fract() == 0.0 && ipp_offset == 0 {
                // On the grid nothing is left to trade between the two.
                assert!(off.abs() < 1e-9, "{case}");
                assert!((peak.range_rate_m_s - truth.range_rate_m_s).abs() <= bin, "{case}");
            }
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 15);
}

/// Under the true range rate and acceleration, which lie on no grid, the decoded echo has the same
/// phase throughout, and all its energy adds up. A thousandth of a turn from end to end is a range
/// rate within 2 mm/s.
#[test]
fn the_truth_leaves_no_phase_in_the_echo() {
    for (delay, ipp_offset) in [(6655.0, 0), (26_655.0, 1)] {
        let target = Target::new(delay * GATE_M, 77.7, -33.3, 0.5);
        let simulation = quiet(target, 22);
        let synthesis = simulation.check().unwrap();
        let processing = Processing { ipp_offset, ..search(6650..6660) };
        let derived = Arc::new(Derived::new(&synthesis.experiment(), &processing).unwrap());
        let samples = synthesis.samples().unwrap();
        for idx in 0..2 {
            let start = idx * derived.integration_samples();
            let mut prepared = PreparedSamples::new(&derived);
            let tx = &samples.transmitter()[start..start + derived.integration_samples()];
            prepared.load(&samples.rx[start..start + derived.read_length()], tx).unwrap();
            let mut plan = ReferencePlan::new(&derived, &KernelOptions::new(Method::Fgmf));
            let echo = plan.decode(prepared.integration(), 4);

            let truth = synthesis.truth(&derived, idx as u64)[0];
            assert!((truth.range_m - derived.range_m(4)).abs() < 0.5 * GATE_M);
            let wavelength_m = simulation.wavelength_m();
            let turned: Vec<Complex64> = echo
                .iter()
                .zip(derived.decimated_times_s())
                .map(|(echo, s)| {
                    let path = (truth.range_rate_m_s + 0.5 * truth.acceleration_m_s2 * s) * s;
                    echo * Complex64::cis(-std::f64::consts::TAU * path / wavelength_m)
                })
                .collect();
            let sum: Complex64 = turned.iter().sum();
            for echo in &turned {
                let turns = (echo * sum.conj()).arg() / std::f64::consts::TAU;
                assert!(turns.abs() < 1e-3, "offset {ipp_offset}, integration {idx}: {turns}");
            }
            // Of unit pulses, what is left is the energy: half squared, times 10 pulses. A block
            // of 160 samples turns by a hundredth of a turn or so, which costs less than 1e-3.
            let energy = sum.norm_sqr() / (0.25 * 19_200.0);
            assert!((energy - 1.0).abs() < 5e-3, "{energy}");
        }
    }
}

/// Peaks that hardtarget 0.5.1 found in recordings of another program: the first integrations of
/// the golden cases dev5 (one channel) and dev3 (one period late). Their echoes have the phase of
/// the path at the time of reception, so the same target has there a range rate that is greater
/// by the acceleration times the delay.
#[test]
fn the_truth_is_what_the_original_found() {
    let truth = |target: Target, processing: Processing| {
        let simulation = Simulation { targets: vec![target], ..Simulation::default() };
        let synthesis = simulation.check().unwrap();
        let derived = Derived::new(&synthesis.experiment(), &processing).unwrap();
        let bin = derived.range_rate_m_s(1);
        (synthesis.truth(&derived, 0)[0], bin)
    };
    let (dev5, bin) = truth(
        Target::new(1_996_317.978, 400.0 + 60.0 * 0.006_659, 60.0, 10.0),
        Processing { frequency_decimation: 10, ..search(6640..6680) },
    );
    assert!((dev5.range_m - 1_996_317.978).abs() <= 0.5 * GATE_M);
    assert!((dev5.range_rate_m_s_under(64.4992) - 399.8953).abs() <= bin, "{dev5:?}");

    let processing =
        Processing { n_ipp: 5, ipp_offset: 1, dpt_ipp_delay_parameter: 2, ..search(3000..3040) };
    let (dev3, bin) =
        truth(Target::new(6_900_023.213, 1500.0 + 80.0 * 0.023_016, 80.0, 9.0), processing);
    assert!((dev3.range_m - 904_174.053).abs() <= 0.5 * GATE_M, "{dev3:?}");
    assert!((dev3.range_rate_m_s_under(0.0) - 1504.9822).abs() <= bin, "{dev3:?}");
}

#[test]
fn what_cannot_be_simulated_is_named() {
    let error = |change: &dyn Fn(&mut Simulation)| {
        let mut simulation = Simulation::default();
        simulation.targets.push(Target::new(1e6, 0.0, 0.0, 1.0));
        simulation.check().expect("the unchanged simulation is possible");
        change(&mut simulation);
        simulation.check().expect_err("this one is not").to_string()
    };
    type Change = Box<dyn Fn(&mut Simulation)>;
    let pointing = |elevation_deg, rate_hz| Pointing {
        rate_hz,
        azimuth_deg: 0.0,
        azimuth_rate_deg_s: 0.0,
        elevation_deg,
        elevation_rate_deg_s: 1.0,
    };
    let cases: Vec<(&str, Change)> = vec![
        ("name is \"a%b\"", Box::new(|s| s.name = "a%b".into())),
        ("name is \"\"", Box::new(|s| s.name.clear())),
        ("rx_channel is \"a/b\"", Box::new(|s| s.rx_channel = "a/b".into())),
        ("rx_channel is \"..\"", Box::new(|s| s.rx_channel = "..".into())),
        ("tx_channel is \"rx\"", Box::new(|s| s.tx_channel = Some("rx".into()))),
        ("tx_channel is \"pointing\"", Box::new(|s| s.tx_channel = Some("pointing".into()))),
        ("frequency_mhz is NaN", Box::new(|s| s.radar.frequency_mhz = f64::NAN)),
        ("sample_rate_hz is 0", Box::new(|s| s.radar.sample_rate_hz = 0)),
        ("ipp_us is 0", Box::new(|s| s.radar.ipp_us = 0)),
        ("ipp_us is 18446744073709551615", Box::new(|s| s.radar.ipp_us = u64::MAX)),
        ("ipp_us is 20000", Box::new(|s| s.radar.sample_rate_hz = 1_000_001)),
        ("baud_us is 30.5", Box::new(|s| s.code = Code::leo_bpark().with_baud_us(30.5))),
        ("baud_us is 0", Box::new(|s| s.code = Code::leo_bpark().with_baud_us(0.0))),
        ("baud_us is NaN", Box::new(|s| s.code = Code::leo_bpark().with_baud_us(f64::NAN))),
        ("tx_start_us is 18081", Box::new(|s| s.radar.tx_start_us = 18_081.0)),
        ("tx_start_us is -1", Box::new(|s| s.radar.tx_start_us = -1.0)),
        ("rx_start_us is 20000", Box::new(|s| s.radar.rx_start_us = 20_000.0)),
        ("rx_end_us is 2002", Box::new(|s| s.radar.rx_end_us = 2002.0)),
        ("rx_end_us is 20001", Box::new(|s| s.radar.rx_end_us = 20_001.0)),
        ("noise_std is -1", Box::new(|s| s.noise_std = -1.0)),
        ("noise_std is inf", Box::new(|s| s.noise_std = f64::INFINITY)),
        ("tx_amplitude is 0", Box::new(|s| s.tx_amplitude = 0.0)),
        ("tx_amplitude is 40000", Box::new(|s| s.tx_amplitude = 40_000.0)),
        ("duration_s is 0.019", Box::new(|s| s.duration_s = 0.019)),
        ("duration_s is NaN", Box::new(|s| s.duration_s = f64::NAN)),
        ("duration_s is 100000000", Box::new(|s| s.duration_s = 1e8)),
        ("start is 1969-12-31", Box::new(|s| s.start = "1969-12-31T23:59:59Z".parse().unwrap())),
        ("compression is 10", Box::new(|s| s.compression = 10)),
        ("divided into files", Box::new(|s| s.file_cadence_ms = 7)),
        ("range_m of target 0 is NaN", Box::new(|s| s.targets[0].range_m = f64::NAN)),
        ("range_m of target 0 is 0", Box::new(|s| s.targets[0].range_m = 0.0)),
        ("(it goes from -", Box::new(|s| s.targets[0] = Target::new(100.0, -101.0, 0.0, 1.0))),
        ("range_rate_m_s of target 0", Box::new(|s| s.targets[0].acceleration_m_s2 = 1e6)),
        (
            "strength of target 0 is 0",
            Box::new(|s| {
                s.targets[0].strength = Strength::Amplitude(0.0);
            }),
        ),
        (
            "noise_std is 0",
            Box::new(|s| {
                s.noise_std = 0.0;
                s.targets[0].strength = Strength::SnrDb(0.0);
            }),
        ),
        ("rate_hz is 0", Box::new(move |s| s.pointing = Some(pointing(10.0, 0)))),
        ("elevation_deg is 89.5", Box::new(move |s| s.pointing = Some(pointing(89.5, 1)))),
    ];
    for (says, change) in cases {
        let message = error(&change);
        assert!(message.contains(says), "expected '{says}' in '{message}'");
    }
}

#[test]
fn a_recording_beyond_memory_is_an_error() {
    let simulation = Simulation {
        radar: Radar { sample_rate_hz: 10_000_000_000, ipp_us: 20_000, ..Radar::default() },
        duration_s: 1e7,
        ..Simulation::default()
    };
    let synthesis = simulation.check().unwrap();
    let n_samples = 100_000_000_000_000_000;
    assert_eq!(synthesis.samples(), Err(SimulationError::Memory { n_samples }));
}
