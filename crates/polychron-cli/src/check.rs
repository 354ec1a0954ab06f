//! `polychron check`: what a search of a recording may ask for, and of the machine.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use polychron::gmf::{Experiment, SPEED_OF_LIGHT_M_S};

use crate::output::{Usage, say};
use crate::product::{experiment, samples};
use crate::units::Unit;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(subcommand)]
    what: Check,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Says which range gates a recording has, and which gates lie at given ranges
    RangeGates(RangeGatesArgs),
    /// Says which graphics adapters there are, and whether one computes right and how fast
    #[cfg(feature = "gpu")]
    Gpu(crate::gpu::CheckGpuArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ranges are total ones: transmitter, target, receiver. Gate g begins g + 1 samples after the start of
transmission, which min_range_gate and max_range_gate of a config file count too.

Example:
  polychron check range-gates product -s 1900 -e 2100 -u km")]
pub(crate) struct RangeGatesArgs {
    /// Folder of the product: metadata.ini and a folder for each channel
    path: PathBuf,
    /// Range where a search is to begin
    #[arg(short, long = "start-range", value_name = "RANGE")]
    start_range: Option<f64>,
    /// Range where a search is to end
    #[arg(short, long = "end-range", value_name = "RANGE")]
    end_range: Option<f64>,
    /// Range of clutter: says the first gate whose pulse is free of it
    #[arg(short, long = "clutter-range", value_name = "RANGE")]
    clutter_range: Option<f64>,
    /// Unit of the ranges
    #[arg(short, long, value_enum, default_value = "km")]
    unit: Unit,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    match &args.what {
        Check::RangeGates(args) => range_gates(args),
        #[cfg(feature = "gpu")]
        Check::Gpu(args) => crate::gpu::check(args),
    }
}

/// The radar's period, in samples from its start.
struct Period {
    sample_rate_hz: f64,
    rx: (i64, i64),
    tx: (i64, i64),
}

impl Period {
    fn of(experiment: &Experiment) -> Self {
        let samples = |us| samples(us, experiment.sample_rate_hz);
        Self {
            sample_rate_hz: experiment.sample_rate_hz as f64,
            rx: (samples(experiment.rx_start_us), samples(experiment.rx_end_us)),
            tx: (samples(experiment.tx_start_us), samples(experiment.tx_end_us)),
        }
    }

    /// The gate that begins at a sample.
    fn gate(&self, sample: i64) -> i64 {
        sample - self.tx.0 - 1
    }

    fn range_m(&self, sample: i64) -> f64 {
        (sample - self.tx.0) as f64 / self.sample_rate_hz * SPEED_OF_LIGHT_M_S
    }

    /// The sample whose range is nearest.
    fn sample(&self, range_m: f64) -> i64 {
        self.tx.0 + (range_m / SPEED_OF_LIGHT_M_S * self.sample_rate_hz).round_ties_even() as i64
    }
}

fn range_gates(args: &RangeGatesArgs) -> anyhow::Result<()> {
    let unit = args.unit;
    for (option, range) in [
        ("--start-range", args.start_range),
        ("--end-range", args.end_range),
        ("--clutter-range", args.clutter_range),
    ] {
        if range.is_some_and(|range| !range.is_finite() || range * unit.metres() > 1e18) {
            return Err(Usage::of(anyhow::anyhow!("{option} is no range in the universe")));
        }
    }
    let experiment = experiment(&args.path)?;
    let period = Period::of(&experiment);
    let pulse = period.tx.1 - period.tx.0;
    let line = |what: &str, sample: i64| {
        say(format_args!(
            "  {what:<52} gate {:>6}  sample {sample:>6}  {:>14.5} {}",
            period.gate(sample),
            period.range_m(sample) / unit.metres(),
            unit.name(),
        ));
    };
    say(format_args!(
        "{}: {} Hz, period of {} samples, transmission from {} to {}, reception from {} to {}",
        args.path.display(),
        experiment.sample_rate_hz,
        samples(experiment.ipp_us as f64, experiment.sample_rate_hz),
        period.tx.0,
        period.tx.1,
        period.rx.0,
        period.rx.1,
    ));
    line("first gate", period.tx.0 + 1);
    line("first gate after the start of reception", period.rx.0.max(period.tx.0 + 1));
    line("at the end of the transmitted pulse", period.tx.1);
    line("last gate whose whole pulse is received", period.rx.1 - pulse - 1);
    line("at the end of reception", period.rx.1);
    if let Some(range) = args.clutter_range {
        // The pulse that begins after the last sample of the one from the clutter.
        line("first gate free of the clutter", period.sample(range * unit.metres()) + pulse);
    }
    for (option, key, range) in [
        ("--start-range", "min_range_gate", args.start_range),
        ("--end-range", "max_range_gate", args.end_range),
    ] {
        let Some(range) = range else { continue };
        let sample = period.sample(range * unit.metres());
        line(&format!("{option} {range} {}: {key}", unit.name()), sample);
        let first = period.rx.0.max(period.tx.0 + 1);
        if sample < first || sample > period.rx.1 {
            let name = unit.name();
            bail!(
                "{option} {range} {name} lies outside the reception, which is from {:.5} to {:.5} \
                 {name}",
                period.range_m(first) / unit.metres(),
                period.range_m(period.rx.1) / unit.metres(),
            );
        }
    }
    if let (Some(start), Some(end)) = (args.start_range, args.end_range)
        && end <= start
    {
        bail!("--end-range {end} must lie beyond --start-range {start}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hardtarget 0.5.1 prints for the recorded cases: 82 to 2002 µs of 20 ms at 1 MHz.
    #[test]
    fn gates_and_ranges_are_hardtargets() {
        let period = Period { sample_rate_hz: 1e6, rx: (0, 20_000), tx: (82, 2002) };
        assert_eq!((period.gate(83), period.gate(20_000), period.gate(2002)), (0, 19_917, 1919));
        assert!((period.range_m(83) - 299.792_458).abs() < 1e-9);
        assert!((period.range_m(20_000) - 5_971_266.0e0).abs() < 1000.0);
        assert_eq!(period.sample(1996e3), 82 + 6658);
        // A gate's own range gives the gate again.
        for sample in [83, 84, 2002, 6740, 20_000] {
            assert_eq!(period.sample(period.range_m(sample)), sample);
        }
    }
}
