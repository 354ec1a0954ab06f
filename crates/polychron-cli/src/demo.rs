//! `polychron demo`: a recording with two targets, analysed, beside the truth.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use polychron::gmf::{GridRow, Peak};
use polychron::gmf_pipeline::simulate::{Simulation, Synthesis, Target, Truth};
use polychron::gmf_pipeline::{
    Analysis, AnalysisError, AnalysisPlan, FolderSink, GmfFile, KernelChoice, Sink, detections,
    noise_floor, snr_db,
};
use polychron::jobdiv::Job;

use crate::analyze::{manager, run_with_bar};
use crate::args::DemoArgs;
use crate::backend::BackendArgs;
use crate::job::JobArgs;
use crate::output::say;
use crate::timing::stamp;
use crate::{interrupt, simulate};

/// Seconds of recording: some twenty integrations, a few seconds of work.
const DURATION_S: f64 = 4.0;

/// Two targets, one of which comes near and away: strong enough to be beyond doubt after 0.2 s of
/// integration, and far too weak to be seen in the samples.
const TARGETS: [&str; 2] = ["r=1996e3,v=-420,a=75,snr=-13", "r=2052e3,v=610,a=-30,snr=-16"];

const CONFIG: &str = "\
[signal-processing]
n_ipp = 10
dpt_ipp_delay_parameter = 5
frequency_decimation = 10
min_range_gate = 6500
max_range_gate = 6980
min_acceleration = -120
max_acceleration = 120
num_cohints_per_file = 10
";

/// Weakest detection that is shown. The greatest of so many cells of noise alone is about 11 dB.
const LEAST_SNR_DB: f64 = 15.0;

/// The code's answer to a target reaches one baud of 30 samples to each side.
const SEPARATION: usize = 60;

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let cancel = interrupt::token()?;
    let product = args.output.join("product");
    let config = args.output.join("cfg.ini");
    let results = args.output.join("gmf");

    let targets = TARGETS
        .iter()
        .map(|text| text.parse::<Target>())
        .collect::<Result<Vec<Target>, _>>()
        .context("the demo's own targets")?;
    let simulation = Simulation {
        name: "demo".to_owned(),
        targets,
        duration_s: DURATION_S,
        seed: args.seed,
        ..Simulation::default()
    };
    let synthesis = simulation.check()?;
    describe(&synthesis);
    fs::create_dir_all(&args.output)
        .with_context(|| format!("could not make the folder {}", args.output.display()))?;
    simulate::write(&synthesis, &product, true, &cancel, true)?;
    write_whole(&config, CONFIG)?;
    stamp!("simulate");

    let plan = Analysis::of_product(&product, "rx", Some(&config))?.plan()?;
    let parallel = BackendArgs::of_default(args.workers);
    let (manager, _) = manager(&parallel, &JobArgs::default(), false, &plan, Job::WHOLE)?;
    say(format_args!(
        "\nThe filter searches {} range gates, {} accelerations and {} range rates in each of {} \
         coherent integrations of {} s, on {} workers.",
        plan.derived().n_ranges(),
        plan.derived().acceleration_window().len(),
        plan.derived().decimated_read_length(),
        plan.n_integrations(),
        plan.derived().integration_samples() as f64 / plan.sample_rate().as_f64(),
        manager.n_workers(),
    ));
    stamp!("plan");
    let mut sink = Both { folder: FolderSink::new(&results, true), files: Vec::new() };
    let report = run_with_bar(&plan, &*manager, &mut sink, Job::WHOLE, &cancel, true)?;
    stamp!("search");
    sink.files.sort_by(|a, b| a.relative_path().cmp(b.relative_path()));
    show_detections(&plan, &synthesis, &sink.files);
    stamp!("compare");
    #[cfg(feature = "plot")]
    let picture = draw(args, &plan, &synthesis, &sink.files)?;
    stamp!("draw");

    say(format_args!("\nThe recording:       {}", product.display()));
    say(format_args!("What was searched:   {}", config.display()));
    for file in &report.files {
        say(format_args!("What was found:      {}", results.join(file).display()));
    }
    #[cfg(feature = "plot")]
    say(format_args!("A picture of both:   {}", picture.display()));
    // As it was called, which may be a path that cargo chose.
    let program = std::env::args().next().unwrap_or_else(|| "polychron".to_owned());
    say(format_args!(
        "\nThe analysis by hand:\n  {program} analyze {} rx --config {} -o {} -p --clobber",
        product.display(),
        config.display(),
        results.display(),
    ));
    say(format_args!("\n{:.1} s in all.", started.elapsed().as_secs_f64()));
    Ok(())
}

fn describe(synthesis: &Synthesis) {
    let simulation = synthesis.simulation();
    say(format_args!(
        "Simulated: {} s of a radar at {} MHz that sends one of {} codes of {} bauds every {} ms, \
         noise of standard deviation {}, and two targets:",
        simulation.duration_s,
        simulation.radar.frequency_mhz,
        simulation.code.n_codes(),
        simulation.code.n_bauds(),
        simulation.radar.ipp_us / 1000,
        simulation.noise_std,
    ));
    for (idx, target) in simulation.targets.iter().enumerate() {
        say(format_args!(
            "  target {}: path {:.1} km, range rate {:+.0} m/s, acceleration {:+.0} m/s^2, \
             amplitude {:.1}",
            idx + 1,
            target.range_m / 1e3,
            target.range_rate_m_s,
            target.acceleration_m_s2,
            target.strength.amplitude(simulation.noise_std),
        ));
    }
}

/// Writes the files, and keeps them.
struct Both {
    folder: FolderSink,
    files: Vec<GmfFile>,
}

impl Sink for Both {
    fn begin(
        &mut self,
        plan: &AnalysisPlan,
        kernel: &KernelChoice,
        job: Job,
    ) -> Result<(), AnalysisError> {
        self.folder.begin(plan, kernel, job)
    }

    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        let written = self.folder.put(file.clone())?;
        self.files.push(file);
        Ok(written)
    }
}

fn show_detections(plan: &AnalysisPlan, synthesis: &Synthesis, files: &[GmfFile]) {
    let derived = plan.derived();
    let rows: Vec<&GridRow> =
        files.iter().flat_map(|file| file.rows()).map(|done| &done.row).collect();
    let Some(floor) = noise_floor(rows.iter().copied()) else { return };
    say(
        "\n  time  target          path, km         range rate, m/s      acceleration, m/s^2    SNR",
    );
    say("     s             found      truth      found      truth       found      truth     dB");
    let step_s = derived.integration_samples() as f64 / plan.sample_rate().as_f64();
    let (mut n_found, mut n_expected, mut n_false) = (0, 0, 0);
    for (idx, row) in rows.iter().enumerate() {
        let mut found = detections(row, derived, least_value(floor), SEPARATION);
        found.sort_by_key(|peak| peak.range_idx);
        let mut truths = synthesis.truth(derived, idx as u64);
        truths.retain(|truth| truth.within_gates);
        n_expected += truths.len();
        for peak in &found {
            let time_s = idx as f64 * step_s;
            match take_nearest(&mut truths, peak, derived.gate_step() as f64) {
                Some(truth) => {
                    n_found += 1;
                    say(format_args!(
                        "{time_s:6.1}  {:6} {:10.2} {:10.2} {:10.1} {:10.1} {:11.1} {:10.1} {:6.1}",
                        truth.target_idx + 1,
                        peak.range_m / 1e3,
                        truth.range_m / 1e3,
                        peak.range_rate_m_s,
                        truth.range_rate_m_s_under(peak.acceleration_m_s2),
                        peak.acceleration_m_s2,
                        truth.acceleration_m_s2,
                        snr_db(peak.gmf, floor),
                    ));
                }
                None => {
                    n_false += 1;
                    say(format_args!(
                        "{time_s:6.1}       - {:10.2} {:>10} {:10.1} {:>10} {:11.1} {:>10} {:6.1}",
                        peak.range_m / 1e3,
                        "-",
                        peak.range_rate_m_s,
                        "-",
                        peak.acceleration_m_s2,
                        "-",
                        snr_db(peak.gmf, floor),
                    ));
                }
            }
        }
    }
    say(format_args!(
        "\nFound {n_found} of {n_expected} echoes; {n_false} detections are of no target. \
         (Truth of the range rate: under the acceleration found, which has steps of {:.1} m/s^2.)",
        derived.acceleration_step_m_s2(),
    ));
}

/// The least value of the filter that counts as detection.
fn least_value(floor: f32) -> f32 {
    let values = (0..).map(|n| floor * 1.05f32.powi(n)).take_while(|value| value.is_finite());
    values.into_iter().find(|&value| snr_db(value, floor) >= LEAST_SNR_DB).unwrap_or(f32::MAX)
}

/// Draws what was found over what is true, beside the results.
#[cfg(feature = "plot")]
fn draw(
    args: &DemoArgs,
    plan: &AnalysisPlan,
    synthesis: &Synthesis,
    files: &[GmfFile],
) -> anyhow::Result<std::path::PathBuf> {
    use crate::plot::{Echo, Results, TruthLine, write_demo};

    let derived = plan.derived();
    let step_s = derived.integration_samples() as f64 / plan.sample_rate().as_f64();
    let folder = polychron::gmf_pipeline::GmfFolder::open(args.output.join("gmf"))?;
    let results = Results::open(folder, LEAST_SNR_DB, false)?;
    let rows = || files.iter().flat_map(|file| file.rows()).map(|done| &done.row);
    let start_s = files.first().map_or(0.0, GmfFile::epoch_unix_s);
    let middle_s = |idx: usize| start_s + (idx as f64 + 0.5) * step_s;
    let floor = noise_floor(rows()).unwrap_or(f32::NAN);
    let mut echoes = Vec::new();
    for (idx, row) in rows().enumerate() {
        for peak in detections(row, derived, least_value(floor), SEPARATION) {
            echoes.push(Echo {
                unix_s: middle_s(idx),
                range_m: peak.range_m,
                range_rate_m_s: peak.range_rate_m_s,
                acceleration_m_s2: peak.acceleration_m_s2,
                snr_db: snr_db(peak.gmf, floor),
            });
        }
    }
    let n_targets = synthesis.simulation().targets.len();
    let course = |target: usize| {
        let truths =
            (0..plan.n_integrations()).map(|idx| (idx, synthesis.truth(derived, idx as u64)));
        let echo = |(idx, truths): (usize, Vec<Truth>)| {
            let truth = truths.get(target)?;
            Some(Echo {
                unix_s: middle_s(idx),
                range_m: truth.range_m,
                range_rate_m_s: truth.range_rate_m_s,
                acceleration_m_s2: truth.acceleration_m_s2,
                snr_db: f64::NAN,
            })
        };
        truths.filter_map(echo).collect()
    };
    let truth: Vec<TruthLine> = (0..n_targets)
        .map(|idx| TruthLine { name: format!("target {}", idx + 1), course: course(idx) })
        .collect();
    let path = args.output.join("demo.png");
    write_demo(&path, &results, &echoes, &truth)?;
    Ok(path)
}

/// Takes the target whose range is that of the peak, within a few gates.
fn take_nearest(truths: &mut Vec<Truth>, peak: &Peak, gate_step: f64) -> Option<Truth> {
    let reach_m = 3.0 * gate_step.max(1.0) * 300.0;
    let off = |truth: &Truth| (truth.range_m - peak.range_m).abs();
    let (idx, truth) =
        truths.iter().enumerate().min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b)))?;
    if off(truth) <= reach_m { Some(truths.swap_remove(idx)) } else { None }
}

/// Writes a text file under a temporary name, then renames it.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("could not write {}", path.display()))
}
