use std::f64::consts::TAU;

use num_complex::{Complex32, Complex64};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Experiment, GmfKernel as _, GridRow, KernelOptions, Method};
use crate::{PreparedSamples, Processing, Reference, SPEED_OF_LIGHT_M_S};

/// 10 kHz, periods of 20 ms, pulses of 6.4 ms at 930 MHz.
fn derived(n_ipp: usize, ipp_offset: usize, gate_step: usize) -> Arc<Derived> {
    let experiment = Experiment::from_ini(
        "metadata.ini",
        "[Experiment]\nsample_rate = 10000\nipp = 20000\ntx_start = 500\ntx_end = 6900\n\
         rx_start = 0\nrx_end = 20000\nradar_frequency = 930\n",
    )
    .unwrap();
    let processing = Processing {
        n_ipp,
        ipp_offset,
        min_range_gate: 70,
        max_range_gate: 90,
        range_gate_step: gate_step,
        frequency_decimation: 4,
        min_acceleration_m_s2: -300.0,
        max_acceleration_m_s2: 300.0,
        dpt_ipp_delay_parameter: n_ipp / 2,
        ..Processing::default()
    };
    Arc::new(Derived::new(&experiment, &processing).unwrap())
}

fn searches() -> Vec<Arc<Derived>> {
    vec![derived(10, 0, 1), derived(5, 0, 2), derived(4, 2, 1), derived(3, 1, 3)]
}

/// An echo whose phase is `v t + a t^2 / 2` on the objective's clock.
struct Echo {
    range_idx: usize,
    amplitude: f64,
    range_rate_m_s: f64,
    acceleration_m_s2: f64,
}

fn samples(d: &Derived, noise: f32, echo: Option<&Echo>, seed: u64) -> Vec<Complex32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut number = |scale: f32| {
        Complex32::new(rng.random_range(-scale..=scale), rng.random_range(-scale..=scale))
    };
    let mut samples: Vec<Complex32> = (0..d.read_length()).map(|_| number(noise)).collect();
    for period in samples.chunks_mut(d.ipp_samples()) {
        period[d.tx_pulse()].fill_with(|| number(30.0));
    }
    let sent = samples.clone();
    let Some(echo) = echo else { return samples };
    let offset = d.processing().ipp_offset;
    for ipp_idx in 0..d.n_ipp() {
        for idx in 0..d.pulse_samples() {
            let tx = sent[ipp_idx * d.ipp_samples() + d.tx_pulse().start + idx];
            let gate = echo.range_idx * d.gate_step();
            let at = (ipp_idx + offset) * d.ipp_samples() + d.rx_window().start + gate + idx;
            let t = at as f64 / d.experiment().sample_rate_hz as f64;
            let path_m = (echo.range_rate_m_s + 0.5 * echo.acceleration_m_s2 * t) * t;
            let turn = Complex64::cis(TAU * path_m / d.experiment().wavelength_m());
            let turn = turn * echo.amplitude;
            samples[at] += tx * Complex32::new(turn.re as f32, turn.im as f32);
        }
    }
    samples
}

fn prepare(d: &Arc<Derived>, samples: &[Complex32]) -> PreparedSamples {
    let mut prepared = PreparedSamples::new(d);
    prepared.load(samples, &samples[..d.integration_samples()]).unwrap();
    prepared
}

fn peak(d: &Arc<Derived>, prepared: &PreparedSamples) -> Peak {
    let mut plan = Reference.plan(d, &KernelOptions::new(Method::Fgmf)).unwrap();
    let mut row = GridRow::new(d.n_ranges());
    plan.execute(prepared.integration(), row.as_mut()).unwrap();
    row.peak(d).unwrap()
}

/// Energy received in a gate: the objective cannot exceed it.
fn energy(d: &Derived, samples: &[Complex32], range_idx: usize) -> f64 {
    (0..d.n_ipp())
        .map(|ipp_idx| {
            let first = (ipp_idx + d.processing().ipp_offset) * d.ipp_samples()
                + d.rx_window().start
                + range_idx * d.gate_step();
            let gate = &samples[first..][..d.pulse_samples()];
            gate.iter().map(|z| f64::from(z.norm_sqr())).sum::<f64>()
        })
        .sum()
}

/// Written from the recorded samples, with neither stencils nor any other part of this crate's.
#[test]
fn the_objective_is_its_formula() {
    for (seed, d) in searches().iter().enumerate() {
        let samples = samples(d, 1.0, None, seed as u64);
        let prepared = prepare(d, &samples);
        let mut objective = Objective::new(d);
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let wide = |z: Complex32| Complex64::new(f64::from(z.re), f64::from(z.im));
        for range_idx in [0, d.n_ranges() / 2, d.n_ranges() - 1] {
            objective.load(prepared.integration(), range_idx).unwrap();
            for _ in 0..4 {
                let v = rng.random_range(-8000.0..8000.0);
                let a = rng.random_range(-500.0..500.0);
                let mut sent_energy = 0.0;
                let mut sum = Complex64::default();
                for pulse in 0..d.n_ipp() {
                    // 500 us at 10 kHz; the gates begin one sample later.
                    let tx = pulse * 200 + 5;
                    let gate = 70 + range_idx * d.gate_step();
                    let rx = (pulse + d.processing().ipp_offset) * 200 + 5 + 1 + gate;
                    for idx in 0..64 {
                        let t = (rx + idx) as f64 / 1e4;
                        let wavelength_m = SPEED_OF_LIGHT_M_S / 930e6;
                        let phase = TAU * (v * t + 0.5 * a * t * t) / wavelength_m;
                        let sent = wide(samples[tx + idx]);
                        sent_energy += sent.norm_sqr();
                        sum += sent.conj() * wide(samples[rx + idx]) * Complex64::cis(-phase);
                    }
                }
                let expected = sum.norm_sqr() / sent_energy;
                let value = objective.value(v, a);
                // The code is rounded to single precision, each sample for itself.
                let tolerance = 4.0 * f64::from(f32::EPSILON) * energy(d, &samples, range_idx);
                assert!((value - expected).abs() < tolerance, "{value} instead of {expected}");
            }
        }
    }
}

#[test]
fn the_expansion_is_the_objective_within_what_is_stated() {
    for (seed, d) in searches().iter().enumerate() {
        let samples = samples(d, 1.0, None, seed as u64);
        let prepared = prepare(d, &samples);
        let (mut objective, mut expansion) = (Objective::new(d), Expansion::new(d));
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        // The last is so wide that every sample is a block of its own.
        for reach in [(0.1, 1.0), (5.0, 60.0), (40.0, 500.0), (2e5, 1e3)] {
            let reach =
                expansion::Reach { mid_range_rate_m_s: reach.0, acceleration_m_s2: reach.1 };
            let start = Start {
                range_rate_m_s: rng.random_range(-8000.0..8000.0),
                acceleration_m_s2: rng.random_range(-500.0..500.0),
            };
            let range_idx = rng.random_range(0..d.n_ranges());
            objective.load(prepared.integration(), range_idx).unwrap();
            expansion.load(&objective, start, reach);
            let tolerance = 2.1e-10 * energy(d, &samples, range_idx);
            for sign in [-1.0, -0.3, 0.0, 0.8, 1.0] {
                for other in [-1.0, 0.1, 1.0] {
                    let offset = Offset {
                        mid_range_rate_m_s: sign * reach.mid_range_rate_m_s,
                        acceleration_m_s2: other * reach.acceleration_m_s2,
                    };
                    let (v, a) = expansion.absolute(offset);
                    let (fast, exact) = (expansion.value(offset), objective.value(v, a));
                    assert!((fast - exact).abs() < tolerance, "{fast} instead of {exact}");
                    let back = expansion.offset(v, a);
                    assert!((back.mid_range_rate_m_s - offset.mid_range_rate_m_s).abs() < 1e-9);
                    assert!((back.acceleration_m_s2 - offset.acceleration_m_s2).abs() < 1e-9);
                }
            }
        }
        assert_eq!(expansion.n_blocks(), d.n_ipp() * d.pulse_samples());
    }
}

/// Noise: the hardest to refine, since there is no lobe to hold on to.
#[test]
fn each_refinement_is_at_least_as_good_as_the_one_before() {
    for d in searches() {
        for seed in 0..20 {
            let samples = samples(&d, 1.0, None, seed);
            let prepared = prepare(&d, &samples);
            let peak = peak(&d, &prepared);
            let mut grid = Optimizer::new(&d, Optimize::Grid);
            let mut continuous = Optimizer::new(&d, Optimize::Continuous);
            let at_peak = {
                let start = grid.start(&peak);
                grid.objective.load(prepared.integration(), peak.range_idx).unwrap();
                grid.objective.value(start.range_rate_m_s, start.acceleration_m_s2)
            };
            let grid = grid.refine(prepared.integration(), &peak).unwrap();
            let continuous = continuous.refine(prepared.integration(), &peak).unwrap();
            assert!(grid.gmf >= at_peak, "{grid:?} at {at_peak}");
            assert!(continuous.gmf >= grid.gmf, "{continuous:?} after {grid:?}");
            assert!(continuous.gmf <= energy(&d, &samples, peak.range_idx));
            assert_eq!(continuous.range_m, peak.range_m);
        }
    }
}

/// All 400 points in full: what is found is the best, but for ties within the expansion's error.
#[test]
fn the_finer_grid_finds_its_best_point() {
    for d in searches() {
        for seed in 0..3 {
            let samples = samples(&d, 1.0, None, seed);
            let prepared = prepare(&d, &samples);
            let peak = peak(&d, &prepared);
            let found =
                Optimizer::new(&d, Optimize::Grid).refine(prepared.integration(), &peak).unwrap();
            let mut objective = Objective::new(&d);
            objective.load(prepared.integration(), peak.range_idx).unwrap();
            let points: Vec<(f64, f64)> = grid::Window::around(&d, &peak).points().collect();
            assert_eq!(points.len(), 400);
            let best = points.iter().map(|&(v, a)| objective.value(v, a)).fold(0.0, f64::max);
            let tolerance = 2.0 * 2.1e-10 * energy(&d, &samples, peak.range_idx);
            assert!(found.gmf >= best - tolerance, "{found:?} but {best}");
        }
    }
}

/// By rows and by single values: the same best point, but for roundings; rows of any length.
#[test]
fn a_grid_of_rows_has_the_best_of_its_values() {
    for (seed, d) in searches().iter().enumerate() {
        let samples = samples(d, 1.0, None, seed as u64);
        let prepared = prepare(d, &samples);
        let (mut objective, mut expansion) = (Objective::new(d), Expansion::new(d));
        let reach = expansion::Reach { mid_range_rate_m_s: 20.0, acceleration_m_s2: 300.0 };
        let start = Start { range_rate_m_s: 431.0, acceleration_m_s2: -97.0 };
        objective.load(prepared.integration(), 1).unwrap();
        expansion.load(&objective, start, reach);
        for n in [1, 2, 4, 7, 20, 21, 33] {
            let step_m_s = 39.0 / f64::from(n);
            let offset = |row: usize, idx: usize| Offset {
                mid_range_rate_m_s: -19.5 + idx as f64 * step_m_s,
                acceleration_m_s2: -300.0 + 60.0 * row as f64,
            };
            let n = n as usize;
            let rows = (0..11).map(|row| offset(row, 0));
            let rates = expansion::Rates { n, step_m_s };
            let (row, idx) = expansion.best_of_grid(rows, rates);
            let found = expansion.value(offset(row, idx));
            let all = (0..11).flat_map(|row| (0..n).map(move |idx| (row, idx)));
            let best = all.map(|(row, idx)| expansion.value(offset(row, idx))).fold(0.0, f64::max);
            assert!(found >= best - 1e-12 * energy(d, &samples, 1), "{n}: {found}, best {best}");
        }
    }
}

/// With no acceleration at the peak the original refines the acceleration alone.
#[test]
fn range_rates_are_refined_also_without_acceleration() {
    for d in searches() {
        let peak = Peak {
            range_idx: 1,
            range_m: d.range_m(1),
            range_rate_m_s: 100.0,
            acceleration_m_s2: 0.0,
            gmf: 1.0,
        };
        let window = grid::Window::around(&d, &peak);
        let rates: Vec<f64> = window.points().take(20).map(|(rate, _)| rate).collect();
        let length_s = d.integration_samples() as f64 / 1e4;
        let half = 0.5 * d.acceleration_step_m_s2() * length_s * length_s;
        assert!(
            (rates[0] - (100.0 - half)).abs() < 1e-9 && (rates[19] - 100.0 - half).abs() < 1e-9
        );
        assert!(rates.is_sorted_by(|a, b| a < b), "{rates:?}");
    }
}

/// Without noise, anywhere between the points of the grid: the echo is found to a ten-thousandth
/// of the grid's steps, from the peak of the search and from side lobes.
#[test]
fn an_echo_off_the_grid_is_found_where_it_is() {
    let mut n_moved = 0;
    for d in searches() {
        let step_m_s = d.range_rate_m_s(1);
        let step_m_s2 = d.acceleration_step_m_s2();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut continuous = Optimizer::new(&d, Optimize::Continuous);
        let mut n_peaks = 0;
        for seed in 0..10 {
            let echo = Echo {
                range_idx: rng.random_range(0..d.n_ranges()),
                amplitude: 0.01,
                range_rate_m_s: rng.random_range(-100.0..100.0),
                acceleration_m_s2: rng.random_range(-1.0..1.0) * (300.0 - 0.5 * step_m_s2).max(0.0),
            };
            let prepared = prepare(&d, &samples(&d, 0.0, Some(&echo), seed));
            let peak = peak(&d, &prepared);
            // The pulses are noise, short enough to take a neighbouring gate for the right one.
            if peak.range_idx != echo.range_idx {
                continue;
            }
            n_peaks += 1;
            for side_steps in [0.0, -2.0, 3.0] {
                // Along the ridge, where side lobes are: the range rate in the middle stays.
                let mut moved = peak;
                moved.acceleration_m_s2 += side_steps * step_m_s2;
                let middle_s = 0.5 * (d.integration_samples() as f64) / 1e4;
                moved.range_rate_m_s -= side_steps * step_m_s2 * middle_s;
                let within = d.acceleration_window();
                let (low, high) = (within.start, within.end - 1);
                let searched = d.acceleration_m_s2(low)..=d.acceleration_m_s2(high);
                if side_steps != 0.0 && !searched.contains(&moved.acceleration_m_s2) {
                    continue;
                }
                n_moved += i32::from(side_steps != 0.0);
                let found = continuous.refine(prepared.integration(), &moved).unwrap();
                let rate = (found.range_rate_m_s - echo.range_rate_m_s).abs() / step_m_s;
                let acceleration =
                    (found.acceleration_m_s2 - echo.acceleration_m_s2).abs() / step_m_s2;
                let what = format!("{found:?}, {rate}, {acceleration}, {side_steps}, {peak:?}");
                assert!(rate < 1e-4 && acceleration < 1e-4, "{what}");
            }
        }
        assert!(n_peaks >= 5, "{n_peaks} of 10 echoes were in their gate");
    }
    assert!(n_moved >= 10, "{n_moved} were begun beside the peak");
}

#[test]
fn an_optimiser_keeps_nothing_of_what_it_did_before() {
    let d = derived(10, 0, 1);
    let prepared: Vec<_> = (0..3).map(|seed| prepare(&d, &samples(&d, 1.0, None, seed))).collect();
    for how in [Optimize::Grid, Optimize::Continuous] {
        let mut used = Optimizer::new(&d, how);
        for prepared in &prepared {
            let peak = peak(&d, prepared);
            let again = used.refine(prepared.integration(), &peak).unwrap();
            let fresh = Optimizer::new(&d, how).refine(prepared.integration(), &peak).unwrap();
            assert_eq!(again, fresh);
        }
    }
}

#[test]
fn an_integration_of_another_search_is_refused() {
    let (d, other) = (derived(10, 0, 1), derived(5, 0, 1));
    let prepared = prepare(&other, &samples(&other, 1.0, None, 1));
    let peak = peak(&other, &prepared);
    let error = Optimizer::new(&d, Optimize::Grid).refine(prepared.integration(), &peak);
    assert!(matches!(error, Err(KernelError::Shape { .. })), "{error:?}");
}

#[test]
fn refinements_are_known_by_the_names_of_the_original() {
    assert_eq!("optimize-grid-gmf".parse(), Ok(Optimize::Grid));
    assert_eq!("optimize-scipy-gmf".parse(), Ok(Optimize::Continuous));
    for how in [Optimize::Grid, Optimize::Continuous] {
        assert_eq!(how.to_string().parse(), Ok(how));
    }
    assert!("scipy".parse::<Optimize>().unwrap_err().contains("grid or continuous"));
}
