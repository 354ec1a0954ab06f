//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use polychron::gmf::{Method, Optimize, ZeroFrequency};
use polychron::gmf_pipeline::simulate::{Dtype, Target};

use crate::backend::BackendArgs;
use crate::check::CheckArgs;
use crate::inspect::InspectArgs;
use crate::job::JobArgs;
#[cfg(feature = "plot")]
use crate::plot::PlotArgs;
#[cfg(feature = "shared-times")]
use crate::session::{reap::ReapArgs, report::ReportArgs, run::RunArgs, top::TopArgs};
use crate::shell::{CompletionsArgs, ManArgs};
#[cfg(feature = "sweep")]
use crate::sweep::SweepArgs;
use crate::times::TimesArgs;
use crate::timing::TimesOut;

/// Radar analysis in parallel: simulate a recording, search it for moving targets.
#[derive(Debug, Parser)]
#[command(name = "polychron", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  polychron demo
  polychron simulate out/product --target r=1996e3,v=400,a=60,snr=25
  polychron analyze out/product rx --config cfg.ini -o out/gmf -p
  polychron plot gmf out/gmf -o peaks.png
  polychron sweep --param a=0:10:11 --param b=log:1e-3:1e3:7 -- ./model {a} {b}
  polychron run -- polychron demo       and in another terminal: polychron top

Exit codes: 0 done, 1 failed, 2 usage, 3 done with gaps, 4 slower than before,
130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulates a recording, analyses it, and shows what was found beside the truth
    Demo(DemoArgs),
    /// Writes a simulated recording: coded pulses, moving targets, noise
    Simulate(Box<SimulateArgs>),
    /// Searches a recording for moving targets by the Generalized Matched Filter
    Analyze(Box<AnalyzeArgs>),
    /// Says what a recording or a folder of results holds
    Inspect(InspectArgs),
    /// Draws a recording or results, as PNG or SVG
    #[cfg(feature = "plot")]
    Plot(Box<PlotArgs>),
    /// Says what a search of a recording may ask for
    Check(CheckArgs),
    /// Prints a script by which a shell completes the command's words
    Completions(CompletionsArgs),
    /// Prints the manual page, or writes those of all commands
    Man(ManArgs),
    /// Proves that a folder of results is complete, or names what is missing, damaged or double
    Merge(MergeArgs),
    /// Runs a program with combinations or samples of parameters, and gathers its results
    #[cfg(feature = "sweep")]
    Sweep(Box<SweepArgs>),
    /// Shows where the time of a run went, compares runs, and writes times for other programs
    Times(TimesArgs),
    /// Runs a command whose processes share their times, and reports them
    #[cfg(feature = "shared-times")]
    Run(RunArgs),
    /// Shows where all processes are, while they run
    #[cfg(feature = "shared-times")]
    Top(TopArgs),
    /// Reports the times of a session, also after a crash, or of files: text, tables, a page
    #[cfg(feature = "shared-times")]
    Report(ReportArgs),
    /// Sums up and removes what ended and killed processes left
    #[cfg(feature = "shared-times")]
    Reap(ReapArgs),
}

impl Command {
    pub(crate) fn verbosity(&self) -> u8 {
        match self {
            Self::Demo(args) => args.verbose,
            Self::Simulate(args) => args.verbose,
            Self::Analyze(args) => args.verbose,
            Self::Inspect(_)
            | Self::Check(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Times(_) => 0,
            #[cfg(feature = "plot")]
            Self::Plot(_) => 0,
            #[cfg(feature = "shared-times")]
            Self::Run(_) | Self::Top(_) | Self::Report(_) | Self::Reap(_) => 0,
            Self::Merge(args) => args.verbose,
            #[cfg(feature = "sweep")]
            Self::Sweep(args) => args.verbose,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  polychron demo -o /tmp/demo --workers 2")]
pub(crate) struct DemoArgs {
    /// Folder for the recording and the results; an earlier demo in it is replaced
    #[arg(short, long, value_name = "DIR", default_value = "polychron-demo")]
    pub(crate) output: PathBuf,
    /// Seed of the noise
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Workers (default: one for each core)
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) workers: Option<usize>,
    #[command(flatten)]
    pub(crate) times: TimesOut,
    /// Tells more, and where the time went; twice tells all
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  polychron analyze product uhf --config cfg.ini -o gmf -p
  polychron analyze product rx --txchnl tx --config cfg.ini -o gmf -m fdpt
  polychron analyze product uhf -s 2021-04-12T12:15:40.2 -e 2021-04-12T12:16:00 -o gmf
  polychron analyze product uhf --relative_time -s 10 -o gmf
  polychron analyze product uhf --config cfg.ini -o gmf --optimize    also adds it to a finished run
  polychron analyze product uhf --config cfg.ini -o gmf --job 1/4     on the first of four machines
  mpirun -np 4 polychron analyze product uhf --config cfg.ini -o gmf  each rank does its part

Files that are complete, by manifest and checksum, are kept, so an interrupted run can be started
again, also with another number of jobs. A folder holds one run: other parameters are refused,
unless --clobber replaces its files. `polychron merge` proves that all files are there.

Integrations whose samples are missing, damaged or not finite are marked in the files, told at the
end, and give exit code 3.")]
pub(crate) struct AnalyzeArgs {
    /// Folder of the product: metadata.ini and a folder for each channel
    pub(crate) rx: PathBuf,
    /// Channel with the received signal
    #[arg(value_name = "CHNL")]
    pub(crate) rxchnl: String,
    /// Folder of the product with the transmitted signal [default: RX]
    #[arg(long, value_name = "DIR")]
    pub(crate) tx: Option<PathBuf>,
    /// Channel with the transmitted signal [default: CHNL]
    #[arg(long, value_name = "CH")]
    pub(crate) txchnl: Option<String>,
    /// Processing parameters: an INI file with a section [signal-processing]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for the results
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Shows a progress bar
    #[arg(short, long)]
    pub(crate) progress: bool,
    /// Analyses from this time on (UTC) [default: the start of the recording]
    #[arg(
        short,
        long = "start_time",
        alias = "start-time",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub(crate) start_time: Option<String>,
    /// Analyses up to this time (UTC) [default: the end of the recording]
    #[arg(
        short,
        long = "end_time",
        alias = "end-time",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub(crate) end_time: Option<String>,
    /// Takes the times as seconds from the start of the recording
    #[arg(long = "relative_time", alias = "relative-time")]
    pub(crate) relative_time: bool,
    /// Computes and replaces files that are there already, also those of a run with other parameters
    #[arg(long)]
    pub(crate) clobber: bool,
    /// Computes files with gaps anew, in the hope that the samples can be read by now
    #[arg(long = "retry-gaps")]
    pub(crate) retry_gaps: bool,
    /// Method of the search [default: gmf_method of the config file, or fgmf]
    #[arg(short, long, value_enum)]
    pub(crate) method: Option<MethodArg>,
    /// Refines the peak of each integration off the grid [default: not at all, unless gmf_method
    /// of the config file is optimize-grid-gmf or optimize-scipy-gmf; without HOW: continuous]
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1,
        default_missing_value = "continuous")]
    pub(crate) optimize: Option<OptimizeArg>,
    /// Kernel [default: gmf_implementation of the config file, or the first of these]
    #[arg(short, long, value_enum)]
    pub(crate) implementation: Option<KernelArg>,
    #[cfg(feature = "gpu")]
    #[command(flatten)]
    pub(crate) gpu: GpuArgs,
    /// What the zero-frequency term, the measure of the noise, is: |sum of the echo|^2, or
    /// frequency 0 under the first acceleration as hardtarget's C code has it
    #[arg(long = "zero-frequency", value_enum, default_value = "sum")]
    pub(crate) zero_frequency: ZeroFrequencyArg,
    /// Keeps the bounds of another program: hardtarget loses the last sample of a recording
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub(crate) compat: Option<CompatArg>,
    #[command(flatten)]
    pub(crate) parallel: BackendArgs,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) times: TimesOut,
    /// Tells more, and where the time went; twice tells all
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  polychron merge gmf --json

Exit codes: 0 complete, 1 not complete, 3 complete but for gaps in the recording")]
pub(crate) struct MergeArgs {
    /// Folder of the results
    pub(crate) dir: PathBuf,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Tells more; twice tells all
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Targets, by the total path (transmitter, target, receiver) at the start:
  r=RANGE_M,v=RANGE_RATE_M_S,a=ACCELERATION_M_S2,amp=AMPLITUDE
  r=RANGE_M,v=RANGE_RATE_M_S,a=ACCELERATION_M_S2,snr=DB     per sample, over the noise

Examples:
  polychron simulate product --target r=1996e3,v=400,a=60,amp=10
  polychron simulate product --duration 60 --target r=1.5e6,v=-800,a=90,snr=-15 \\
      --target r=2.1e6,v=300,a=40,snr=-12 --dtype ci16 --seed 7
  polychron simulate product --code barker13 --tx-channel tx --noise 0 --target r=2e6,v=0,a=0,amp=5

The same options give the same bytes. What was simulated stands in metadata.ini.")]
pub(crate) struct SimulateArgs {
    /// Folder of the product, which must not be there yet
    pub(crate) output: PathBuf,
    /// A moving target, as below; may be given several times
    #[arg(short, long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<Target>,
    /// Length of the recording, in seconds
    #[arg(short, long, value_name = "S", default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Code of the pulses: leo_bpark, barker13, golay, uncoded, random, ...
    #[arg(long, value_name = "NAME", default_value = "leo_bpark")]
    pub(crate) code: String,
    /// Length of a baud, in microseconds [default: the code's]
    #[arg(long, value_name = "US")]
    pub(crate) baud: Option<f64>,
    /// Standard deviation of each component of the noise
    #[arg(long, value_name = "STD", default_value_t = 12.0)]
    pub(crate) noise: f64,
    /// Amplitude of the transmitted pulses in the recording
    #[arg(long, value_name = "AMP", default_value_t = 900.0)]
    pub(crate) tx_amplitude: f64,
    /// Seed of the noise, and of random codes
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Type of the samples: ci8, ci16, cf32, cf64
    #[arg(long, value_name = "TYPE", default_value = "ci16")]
    pub(crate) dtype: Dtype,
    /// Time of the first sample (UTC)
    #[arg(long, value_name = "TIME", default_value = "2021-04-12T12:15:40Z")]
    pub(crate) start: jiff::Timestamp,
    /// Channel of the receiver
    #[arg(long, value_name = "CH", default_value = "rx")]
    pub(crate) channel: String,
    /// Channel of the transmitter [default: that of the receiver]
    #[arg(long, value_name = "CH")]
    pub(crate) tx_channel: Option<String>,
    /// Radar frequency, in MHz
    #[arg(long, value_name = "MHZ", default_value_t = 929.6)]
    pub(crate) frequency: f64,
    /// Sample rate, in Hz
    #[arg(long, value_name = "HZ", default_value_t = 1_000_000)]
    pub(crate) sample_rate: u64,
    /// Inter-pulse period, in microseconds
    #[arg(long, value_name = "US", default_value_t = 20_000)]
    pub(crate) ipp: u64,
    /// Start of the pulse in its period, in microseconds
    #[arg(long, value_name = "US", default_value_t = 82.0)]
    pub(crate) tx_start: f64,
    /// Start of reception, in microseconds
    #[arg(long, value_name = "US", default_value_t = 0.0)]
    pub(crate) rx_start: f64,
    /// End of reception, in microseconds [default: that of the period]
    #[arg(long, value_name = "US")]
    pub(crate) rx_end: Option<f64>,
    /// Adds pointing metadata: azimuth and elevation at the start, in degrees
    #[arg(long, value_name = "AZ,EL", value_parser = azimuth_elevation, allow_hyphen_values = true)]
    pub(crate) pointing: Option<(f64, f64)>,
    /// Compresses the samples, 0 to 9
    #[arg(long, value_name = "LEVEL", default_value_t = 0)]
    pub(crate) compression: u32,
    /// Adds checksums to the samples
    #[arg(long)]
    pub(crate) checksum: bool,
    /// Length of a file, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) file_cadence: u64,
    /// Replaces a product that is there already
    #[arg(long)]
    pub(crate) clobber: bool,
    /// Shows a progress bar
    #[arg(short, long)]
    pub(crate) progress: bool,
    #[command(flatten)]
    pub(crate) times: TimesOut,
    /// Tells more, and where the time went; twice tells all
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

fn azimuth_elevation(text: &str) -> Result<(f64, f64), String> {
    let parts = text.split_once(',').ok_or("must be two numbers, like 90,75")?;
    let number =
        |part: &str| part.trim().parse::<f64>().map_err(|_| format!("'{part}' is no number"));
    Ok((number(parts.0)?, number(parts.1)?))
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("must be a whole number, at least 1".to_owned()),
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct MethodArg(pub(crate) Method);

impl ValueEnum for MethodArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Method::Fgmf), Self(Method::Fdpt)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            Method::Fdpt => PossibleValue::new("fdpt")
                .alias("grid-fast-dpt")
                .help("One acceleration per gate, found by a transform: fast, for strong echoes"),
            _ => PossibleValue::new("fgmf")
                .alias("grid-fast-gmf")
                .help("Every acceleration of the grid"),
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct OptimizeArg(pub(crate) Optimize);

impl ValueEnum for OptimizeArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Optimize::Grid), Self(Optimize::Continuous)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self.0 {
            Optimize::Grid => PossibleValue::new("grid")
                .alias("optimize-grid-gmf")
                .help("The best of 20 range rates times 20 accelerations around the peak"),
            _ => PossibleValue::new("continuous")
                .alias("optimize-scipy-gmf")
                .help("From there, and from the lobes around the peak, on to the top"),
        })
    }
}

/// Which graphics processor is to be used.
#[cfg(feature = "gpu")]
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GpuArgs {
    /// Graphics adapter for all workers, by its number or a part of its name, as `check gpu` lists
    /// them [default: worker or job w takes number w modulo node_gpus of the config file]
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) gpu: Option<String>,
    /// Lets adapters in software count, which are slower than the kernel cpu
    #[arg(long = "gpu-software")]
    pub(crate) gpu_software: bool,
}

/// The kernels, with hardtarget's names for its own as aliases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelArg {
    #[cfg(feature = "cpu")]
    Cpu,
    #[cfg(feature = "gpu")]
    Gpu,
    /// A graphics processor if there is one, else the first kernel.
    #[cfg(feature = "gpu")]
    Auto,
    Reference,
}

impl KernelArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "cpu")]
            Self::Cpu => "cpu",
            #[cfg(feature = "gpu")]
            Self::Gpu => "gpu",
            #[cfg(feature = "gpu")]
            Self::Auto => "auto",
            Self::Reference => "reference",
        }
    }

    /// The kernel that a config file's `gmf_implementation` means.
    pub(crate) fn from_config(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|kernel| {
            kernel.to_possible_value().is_some_and(|value| value.matches(name, false))
        })
    }
}

impl ValueEnum for KernelArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            #[cfg(feature = "cpu")]
            Self::Cpu,
            #[cfg(feature = "gpu")]
            Self::Gpu,
            #[cfg(feature = "gpu")]
            Self::Auto,
            Self::Reference,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            #[cfg(feature = "cpu")]
            Self::Cpu => PossibleValue::new("cpu")
                .aliases(["c", "numpy"])
                .help("Single precision; also meant by hardtarget's `c` and `numpy`"),
            #[cfg(feature = "gpu")]
            Self::Gpu => PossibleValue::new("gpu").aliases(["cuda"]).help(
                "Single precision on a graphics processor; also meant by hardtarget's `cuda`",
            ),
            #[cfg(feature = "gpu")]
            Self::Auto => PossibleValue::new("auto")
                .help("gpu where there is a graphics processor, else the first of these"),
            Self::Reference => PossibleValue::new("reference")
                .help("Double precision, the obvious way: slow, to compare with"),
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ZeroFrequencyArg(pub(crate) ZeroFrequency);

impl ValueEnum for ZeroFrequencyArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(ZeroFrequency::Sum), Self(ZeroFrequency::FirstAcceleration)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CompatArg {
    /// hardtarget 0.5.1
    Hardtarget,
}
