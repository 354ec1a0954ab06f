//! The study `analyze`: how long does a whole analysis take, from the recording to the files?
//!
//! A radar records without pause, so an analysis that takes longer than the recording never
//! catches up. Both commands are started anew each time, as a user starts them.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use gmf_api::{Derived, Experiment, Processing, RELATIVE_TOLERANCE};
use gmf_pipeline::simulate::{ProductOptions, Simulation, Synthesis};
use gmf_pipeline::{GmfData, GmfFolder};
use gtimer_core::load_times;
use gtimer_core::report::{TreeFormat, tree};
use polychron_bench::study::clock::{Took, children_s};
use polychron_bench::study::engine::{Engine, Entrant, Place, Start, Started, Turn};
use polychron_bench::study::record::Side;
use polychron_bench::study::{self, Measure, Results, Study, Workload};

const GROUP: &str = "one recording";

/// Both search these gates; hardtarget wants a multiple of the decimation.
const CONFIG: &str = "\
[signal-processing]
n_ipp = 10
min_range_gate = 6610
max_range_gate = 6710
frequency_decimation = 10
min_acceleration = -300
max_acceleration = 300
num_cohints_per_file = 50
";

const METHOD: &str = "\
A recording of EISCAT's `leo_bpark` experiment is simulated, one target in noise, as Digital RF of \
16-bit integers at 1 MHz.\n\
Both commands search 100 gates and 19 accelerations by `fgmf` in integrations of 0.2 s, and write \
GMF files of 50 integrations: `polychron analyze --backend serial --workers 1 --compat hardtarget` \
(which leaves out the last integration, as hardtarget does) and `hardtarget analyze -i c -m fgmf`, \
each a new process with an empty output folder; its start is part of its time.\n\
All peaks must be the simulated target; the values of all gates in all files must agree within \
1e-5.\n\
The recording is in the page cache.\n";

/// A recording of a number of seconds.
#[derive(Debug, Clone, Copy)]
struct Recording {
    duration_s: u32,
}

struct Product {
    name: String,
    dir: PathBuf,
    config: PathBuf,
    synthesis: Synthesis,
    derived: Derived,
    /// What was found right first.
    first: Option<GmfData>,
}

impl Workload for Recording {
    type Input = Product;

    fn name(&self) -> String {
        format!("{}s", self.duration_s)
    }

    fn about(&self) -> String {
        format!("{} s of recording, {} integrations", self.duration_s, self.n_integrations())
    }

    fn is_quick(&self) -> bool {
        self.duration_s < 60
    }

    fn is_test(&self) -> bool {
        self.duration_s < 60
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<Product> {
        let simulation = Simulation {
            targets: vec!["r=1996e3,v=40,a=5,snr=-10".parse().context("a target")?],
            duration_s: f64::from(self.duration_s),
            seed: 1,
            ..Simulation::default()
        };
        let synthesis = simulation.check()?;
        let dir = place.scratch.join(self.name());
        synthesis.write_product(&dir, ProductOptions::default())?;
        let config = place.scratch.join("cfg.ini");
        std::fs::write(&config, CONFIG)?;
        let metadata = std::fs::read_to_string(dir.join("metadata.ini"))?;
        let experiment = Experiment::from_ini("metadata.ini", &metadata)?;
        let derived = Derived::new(&experiment, &Processing::from_ini("cfg.ini", CONFIG)?)?;
        Ok(Product { name: self.name(), dir, config, synthesis, derived, first: None })
    }
}

impl Recording {
    /// Without the last one, which hardtarget loses.
    fn n_integrations(self) -> u32 {
        5 * self.duration_s - 1
    }
}

fn study() -> Study<Recording> {
    Study {
        name: "analyze",
        title: "A whole analysis, from the recording to the files",
        question: "How long does the analysis of a recording take on one core, by `polychron \
                   analyze` and by `hardtarget analyze`, and where does our time go?",
        unit: "per recording",
        measure: Measure::Wall,
        method: METHOD,
        entrants: vec![
            entrant("polychron analyze", Side::Ours, Box::new(ours)),
            entrant("hardtarget analyze c", Side::Peer, Box::new(theirs)),
        ],
        workloads: vec![Recording { duration_s: 6 }, Recording { duration_s: 60 }],
        rounds: (6, 5),
        notes,
    }
}

fn entrant(name: &str, side: Side, start: Start<Product>) -> Entrant<Product> {
    Entrant { name: name.to_owned(), side, group: GROUP.to_owned(), every: 1, start }
}

fn ours(place: &Place) -> anyhow::Result<Started<Product>> {
    Ok(match &place.command {
        Err(why) => Started::Skipped(why.clone()),
        Ok(program) => Started::Ready(Box::new(Analyze {
            program: program.clone(),
            more: ["--backend", "serial", "--workers", "1", "--compat", "hardtarget", "--times"]
                .map(OsString::from)
                .to_vec(),
            times: Some(place.scratch.clone()),
            out: place.scratch.join("ours"),
            found: None,
            made: "`polychron` in cargo's profile `bench`: opt-level 3, thin LTO, one codegen unit"
                .to_owned(),
        })),
    })
}

fn theirs(place: &Place) -> anyhow::Result<Started<Product>> {
    let python = match &place.python {
        Ok(python) => python,
        Err(why) => return Ok(Started::Skipped(why.clone())),
    };
    let script = "import hardtarget.gmf.gmf_c, sys; from hardtarget.version import __version__; \
                  print(f'hardtarget {__version__}, as pip builds it, Python', sys.version.split()[0])";
    let asked = Command::new(python).args(["-c", script]).stdin(Stdio::null()).output();
    let asked = asked.with_context(|| format!("start {}", python.display()))?;
    if !asked.status.success() {
        return Ok(Started::Skipped("this Python has no hardtarget with its C library".to_owned()));
    }
    Ok(Started::Ready(Box::new(Analyze {
        program: python.with_file_name("hardtarget"),
        more: ["-i", "c", "-m", "fgmf"].map(OsString::from).to_vec(),
        times: None,
        out: place.scratch.join("theirs"),
        found: None,
        made: String::from_utf8_lossy(&asked.stdout).trim().to_owned(),
    })))
}

/// A command that analyses a product.
struct Analyze {
    program: PathBuf,
    more: Vec<OsString>,
    /// The folder for times, where it writes such.
    times: Option<PathBuf>,
    out: PathBuf,
    found: Option<GmfData>,
    made: String,
}

/// The file in which our command says where its time went.
fn times_file(folder: &Path, workload: &str) -> PathBuf {
    folder.join(format!("times-{workload}.json"))
}

impl Engine<Product> for Analyze {
    fn made(&self) -> String {
        self.made.clone()
    }

    fn load(&mut self, _: &mut Product) -> anyhow::Result<bool> {
        self.found = None;
        Ok(true)
    }

    fn turn(&mut self, input: &mut Product) -> anyhow::Result<Turn> {
        if self.out.exists() {
            std::fs::remove_dir_all(&self.out)?;
        }
        std::fs::create_dir_all(&self.out)?;
        let mut command = Command::new(&self.program);
        command.arg("analyze").arg(&input.dir).args(["rx", "--config"]).arg(&input.config);
        command.arg("-o").arg(&self.out).args(&self.more);
        if let Some(folder) = &self.times {
            command.arg(times_file(folder, &input.name));
        }
        for name in ["POLYCHRON_JOB", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"] {
            command.env_remove(name);
        }
        for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            command.env(name, "1");
        }
        let (cpu, wall) = (children_s()?, Instant::now());
        let output = command.stdin(Stdio::null()).output();
        let wall_s = wall.elapsed().as_secs_f64();
        let output = output.with_context(|| format!("start {}", self.program.display()))?;
        let took = Took { cpu_s: children_s()? - cpu, wall_s };
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it failed: {}", said.lines().last().unwrap_or_default());
        let found = GmfFolder::open(&self.out)?.load()?;
        let digest = digest(&found);
        self.found = Some(found);
        Ok(Turn { took, digest })
    }

    fn verify(&mut self, input: &mut Product) -> anyhow::Result<()> {
        let found = self.found.as_ref().context("there was no turn")?;
        let (n, n_ranges) = (found.series.len(), found.axes.ranges_m.len());
        let n_expected = (input.synthesis.n_periods() / 10 - 1) as usize;
        ensure!(n == n_expected, "{n} integrations instead of {n_expected}");
        ensure!(n_ranges == input.derived.n_ranges(), "{n_ranges} gates");
        for (idx, range_m) in found.series.range_m.iter().enumerate() {
            let truth = input.synthesis.truth(&input.derived, idx as u64)[0];
            let off = (range_m - truth.range_m).abs();
            ensure!(off < 600.0, "the peak of integration {idx} is {off} m from the target");
        }
        let Some(first) = &input.first else {
            input.first = Some(found.clone());
            return Ok(());
        };
        ensure!(found.gmf.len() == first.gmf.len(), "{} values", found.gmf.len());
        for (idx, (a, b)) in found.gmf.iter().zip(&first.gmf).enumerate() {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let (row, gate) = (idx / n_ranges, idx % n_ranges);
            let agrees = (a - b).abs() <= RELATIVE_TOLERANCE * b.abs();
            ensure!(agrees, "integration {row}, gate {gate}: {a} instead of {b}");
        }
        Ok(())
    }
}

fn digest(found: &GmfData) -> u64 {
    let floats = found.gmf.iter().map(|value| value.to_bits());
    let indices = found.range_rate_idx.iter().chain(&found.acceleration_idx).map(|idx| *idx as u32);
    floats.chain(indices).fold(0xcbf2_9ce4_8422_2325, |digest, word| {
        (digest ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// How much faster than the radar, and where our time goes, by our own timer.
fn notes(results: &Results, scratch: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let Some((workload, _)) = results.workloads.last() else { return lines };
    let seconds: f64 = workload.trim_end_matches('s').parse().unwrap_or(0.0);
    for engine in &results.engines {
        if let Some(time) = results.time(workload, &engine.name, Measure::Wall) {
            lines.push(format!(
                "`{}` is {:.1} times as fast as the radar records ({workload}, 100 gates, one core).",
                engine.name,
                seconds / time.median
            ));
        }
    }
    if let Ok(times) = load_times(times_file(scratch, workload)) {
        let text: String = times.iter().map(|times| tree(times, &TreeFormat::default())).collect();
        lines.push(format!(
            "Where the time of the last turn of `polychron analyze` went (`--times`):\n\n\
             ```text\n{}\n```",
            text.trim_end()
        ));
    }
    lines
}

fn main() -> ExitCode {
    study::main(study)
}
