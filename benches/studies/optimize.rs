//! The study `optimize`: is refining a peak no slower than finding it?
//!
//! After the search of an integration its peak is refined off the grid. That is one gate where the
//! search has 480, so it may not cost as much as the search; where few gates are searched it is
//! seen first.

#![forbid(unsafe_code)]

use std::f64::consts::TAU;
use std::hint::black_box;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use gmf_api::{
    Complex64, GmfKernel as _, GmfPlan, GridRow, KernelOptions, Method, Optimize, Optimized,
    Optimizer, Peak, ZeroFrequency,
};
use gmf_cpu::CpuKernel;
use polychron_bench::radar::{Length, RadarInput, Scene, Search, digest};
use polychron_bench::study::clock::{Took, timed};
use polychron_bench::study::engine::{Engine, Entrant, Started, Turn};
use polychron_bench::study::record::Side;
use polychron_bench::study::{self, Measure, Study};

const LENGTHS: [Length; 2] = [
    Length { points: 20_000, ipp_us: 20_000, n_ipp: 10, ipp_offset: 0, decimation: 10, delay: 5 },
    Length { points: 12_500, ipp_us: 20_000, n_ipp: 10, ipp_offset: 0, decimation: 16, delay: 5 },
];

const SCENES: [Scene; 3] = [Scene::Noise, Scene::Strong, Scene::Many];

/// Refinements in one turn: one alone is too short for a clock.
const REPEATS: u32 = 10;

const GROUP: &str = "one integration";

const METHOD: &str = "\
The search is that of the study `gmf`: 480 gates, 19 accelerations, all range rates.\n\
Refining starts from the peak that the search found and includes decoding its gate; a turn is the \
mean of ten.\n\
Refined values are judged by the formula of the objective, sample by sample in double precision: \
equal to 1e-9, and not below the value at the peak; the strong target is found to a tenth of the \
grid's steps by `continuous`.\n";

fn study() -> Study<Search> {
    let refine = |name: &str, how| -> Entrant<RadarInput> {
        Entrant {
            name: name.to_owned(),
            side: Side::Ours,
            group: GROUP.to_owned(),
            every: 1,
            start: Box::new(move |_| Ok(Started::Ready(Box::new(Refinement { how, ready: None })))),
        }
    };
    let search = Entrant {
        name: "search".to_owned(),
        side: Side::Ours,
        group: GROUP.to_owned(),
        every: 1,
        start: Box::new(|_| {
            Ok(Started::Ready(Box::new(Whole { plan: None, row: GridRow::default() })))
        }),
    };
    Study {
        name: "optimize",
        title: "Refining a peak, beside finding it",
        question: "Is refining the peak of an integration off the grid no slower than the search of \
                   the grid that found it?",
        unit: "per integration",
        measure: Measure::Cpu,
        method: METHOD,
        entrants: vec![
            search,
            refine("refine grid", Optimize::Grid),
            refine("refine continuous", Optimize::Continuous),
        ],
        workloads: LENGTHS
            .into_iter()
            .flat_map(|length| SCENES.map(|scene| Search { length, scene }))
            .collect(),
        rounds: (9, 6),
        notes: |_, _| Vec::new(),
    }
}

fn searched(input: &RadarInput, row: &mut GridRow) -> anyhow::Result<Box<dyn GmfPlan>> {
    let options = KernelOptions::new(Method::Fgmf);
    let mut plan = CpuKernel::default().plan(&input.derived, &options)?;
    *row = GridRow::new(input.derived.n_ranges());
    plan.execute(input.prepared.integration(), row.as_mut())?;
    Ok(plan)
}

/// The search itself.
struct Whole {
    plan: Option<Box<dyn GmfPlan>>,
    row: GridRow,
}

impl Engine<RadarInput> for Whole {
    fn made(&self) -> String {
        "`gmf-cpu`, `fgmf`, on the caller's thread".to_owned()
    }

    fn load(&mut self, input: &mut RadarInput) -> anyhow::Result<bool> {
        self.plan = Some(searched(input, &mut self.row)?);
        Ok(true)
    }

    fn turn(&mut self, input: &mut RadarInput) -> anyhow::Result<Turn> {
        let plan = self.plan.as_mut().context("nothing was loaded")?;
        let integration = input.prepared.integration();
        let row = &mut self.row;
        let (done, took) = timed(|| plan.execute(black_box(integration), row.as_mut()));
        done?;
        Ok(Turn { took, digest: digest(&self.row) })
    }

    fn verify(&mut self, input: &mut RadarInput) -> anyhow::Result<()> {
        input.judge(&self.row, Method::Fgmf, ZeroFrequency::Sum)
    }
}

/// One way of refining.
struct Refinement {
    how: Optimize,
    ready: Option<(Optimizer, Peak, Optimized)>,
}

impl Engine<RadarInput> for Refinement {
    fn made(&self) -> String {
        format!("`gmf-api`, `Optimizer` with `Optimize::{:?}`", self.how)
    }

    fn load(&mut self, input: &mut RadarInput) -> anyhow::Result<bool> {
        let mut row = GridRow::default();
        searched(input, &mut row)?;
        let peak = row.peak(&input.derived).context("there is no peak to refine")?;
        let mut optimizer = Optimizer::new(&input.derived, self.how);
        let found = optimizer.refine(input.prepared.integration(), &peak)?;
        self.ready = Some((optimizer, peak, found));
        Ok(true)
    }

    fn turn(&mut self, input: &mut RadarInput) -> anyhow::Result<Turn> {
        let (optimizer, peak, found) = self.ready.as_mut().context("nothing was loaded")?;
        let integration = input.prepared.integration();
        let (done, took) = timed(|| {
            (0..REPEATS).try_for_each(|_| {
                *found = optimizer.refine(black_box(integration), black_box(peak))?;
                Ok::<(), gmf_api::KernelError>(())
            })
        });
        done?;
        let n = f64::from(REPEATS);
        let took = Took { cpu_s: took.cpu_s / n, wall_s: took.wall_s / n };
        let bits = [found.range_rate_m_s, found.acceleration_m_s2, found.gmf].map(f64::to_bits);
        let digest = bits.into_iter().fold(0u64, |digest, bits| digest.rotate_left(21) ^ bits);
        Ok(Turn { took, digest })
    }

    fn verify(&mut self, input: &mut RadarInput) -> anyhow::Result<()> {
        let (_, peak, found) = self.ready.as_ref().context("nothing was loaded")?;
        let gate_s = peak.range_idx as f64 * input.derived.gate_step() as f64
            / input.derived.experiment().sample_rate_hz as f64;
        let at_peak = objective(
            input,
            peak.range_idx,
            peak.range_rate_m_s - peak.acceleration_m_s2 * gate_s,
            peak.acceleration_m_s2,
        );
        let exact = objective(input, peak.range_idx, found.range_rate_m_s, found.acceleration_m_s2);
        let off = (found.gmf / exact - 1.0).abs();
        ensure!(off < 1e-9, "{found:?}, but the objective there is {exact}");
        ensure!(found.gmf >= at_peak * (1.0 - 1e-9), "{found:?} is below the peak's {at_peak}");
        let is_strong = input.dir.to_string_lossy().ends_with("strong");
        if is_strong && self.how == Optimize::Continuous {
            // The target of that scene: its range rate is that of the sending, at gate 200.
            let (sent_m_s, acceleration_m_s2, travel_s) = (431.0, 97.0, 6201e-6);
            let range_rate_m_s = sent_m_s - acceleration_m_s2 * travel_s;
            let rate_step = input.derived.range_rate_m_s(1);
            let rate = (found.range_rate_m_s - range_rate_m_s).abs() / rate_step;
            let step = input.derived.acceleration_step_m_s2();
            let acceleration = (found.acceleration_m_s2 - acceleration_m_s2).abs() / step;
            ensure!(rate < 0.1 && acceleration < 0.1, "{found:?}: the target is elsewhere");
        }
        Ok(())
    }
}

/// The objective by its formula, see [`gmf_api::Objective`].
fn objective(input: &RadarInput, range_idx: usize, range_rate: f64, acceleration: f64) -> f64 {
    let d = &*input.derived;
    let integration = input.prepared.integration();
    let (pulse, window) = (d.pulse_samples(), d.window_samples());
    let gate = range_idx * d.gate_step();
    let mut sum = Complex64::default();
    for ipp_idx in 0..d.n_ipp() {
        let first = (ipp_idx + d.processing().ipp_offset) * d.ipp_samples() + d.rx_window().start;
        for i in 0..pulse {
            let t = (first + gate + i) as f64 / d.experiment().sample_rate_hz as f64;
            let tx = integration.tx[ipp_idx * pulse + i];
            let rx = integration.rx[ipp_idx * window + gate + i];
            let wide = |z: gmf_api::Complex32| Complex64::new(f64::from(z.re), f64::from(z.im));
            let turns = (range_rate + 0.5 * acceleration * t) * t / d.experiment().wavelength_m();
            sum += wide(tx) * wide(rx) * Complex64::cis(-TAU * turns.fract());
        }
    }
    sum.norm_sqr()
}

fn main() -> ExitCode {
    study::main(study)
}
