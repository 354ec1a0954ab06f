//! Range–time–intensity: the power of a recording over range and time.
//!
//! Source: `rti` in hardtarget 0.5.1, `plotting/drf.py`; see docs/originals.md for what differs.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use polychron::digital_rf::{Channel, Reader, SampleRate};
use polychron::gmf::{Complex32, Experiment, SPEED_OF_LIGHT_M_S};
use polychron::gmf_pipeline::TimeSpan;

use super::axes::{Axis, HEADING, Panel, heading, time_span};
use super::colormap::Scale;
use super::raster::{Raster, cell_of};
use super::scene::{Color, Scene};
use super::span::SpanArgs;
use super::{PictureArgs, gmf::shortened};
use crate::output::Usage;
use crate::product::{experiment, samples};
use crate::units::Unit;

#[derive(Debug, Args)]
#[command(after_help = "\
Of long recordings each pixel shows the greatest power that falls into it, so that nothing strong is
lost. Periods that are not whole in the recording are left grey.

Examples:
  polychron plot drf product rx -o rti.png
  polychron plot drf product rx --relative_time -s 10 -e 20 --start-range 900 --end-range 1500 \\
      --monostatic -o rti.svg")]
pub(crate) struct PlotDrfArgs {
    /// Folder of the product: metadata.ini and a folder for each channel
    path: PathBuf,
    /// Channel [default: rx_channel of metadata.ini]
    #[arg(value_name = "CHNL")]
    channel: Option<String>,
    #[command(flatten)]
    pub(super) picture: PictureArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// Shows the distance of a radar that sends and receives in one place: half the total range
    #[arg(long)]
    monostatic: bool,
    /// Range from which on is shown, in the unit below [default: the start of reception]
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    start_range: Option<f64>,
    /// Range up to which is shown [default: the end of reception]
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    end_range: Option<f64>,
    /// Unit of these ranges
    #[arg(short, long, value_enum, default_value = "km")]
    unit: Unit,
    /// Shows the transmitted pulse and the calibration signal too, which are left out otherwise
    #[arg(long)]
    keep_tx: bool,
    /// Shows power as it is, not in decibels
    #[arg(long)]
    linear: bool,
    /// Numbers periods and samples instead of time and range
    #[arg(long)]
    samples: bool,
    /// Reads every N-th period only
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..))]
    stride: u64,
    /// As it is without: for command lines of hardtarget's
    #[arg(long = "axis_units", alias = "axis-units", hide = true)]
    _axis_units: bool,
    /// As it is without: for command lines of hardtarget's
    #[arg(long = "log", hide = true, conflicts_with = "linear")]
    _log: bool,
}

pub(crate) fn scene(args: &PlotDrfArgs) -> anyhow::Result<Scene> {
    let experiment = experiment(&args.path)?;
    let name = args.channel.as_ref().or(experiment.rx_channel.as_ref());
    let name = name.ok_or_else(|| {
        Usage::of(anyhow!(
            "name the channel: {} does not",
            args.path.join("metadata.ini").display()
        ))
    })?;
    let channel = Reader::open(&args.path)?.channel(name)?;
    let rate = channel.properties().layout.rate();
    let bounds = channel
        .bounds()?
        .samples
        .with_context(|| format!("channel {name} of {} holds no samples", args.path.display()))?;
    let (start, end) = args.span.points()?;
    let wanted = TimeSpan { start, end }.samples(bounds.clone(), rate).map_err(Usage::of)?;
    let window = window(args, &experiment)?;
    let ipp = samples(experiment.ipp_us as f64, experiment.sample_rate_hz).max(1) as u64;
    // Periods are counted from the start of the recording, those that are within the time are shown.
    let first = (wanted.start - bounds.start).div_ceil(ipp);
    let last = (wanted.end - bounds.start) / ipp;
    if last <= first {
        return Err(anyhow!(
            "no whole period of {ipp} samples lies within the time span of {} samples",
            wanted.end - wanted.start
        ));
    }
    let periods = first..last;

    let (width, height) = args.picture.size.unwrap_or((1280, 760));
    let mut scene = Scene::new((width, height));
    let mut panel = Panel::within(
        (0.0, HEADING),
        (f64::from(width), f64::from(height) - HEADING),
        x_axis(args, rate, bounds.start, ipp, &periods),
        y_axis(args, &experiment, &window),
        true,
    );
    panel.at.1 -= 14.0;
    panel.size.1 += 14.0;
    let cells = (
        (panel.size.0 as usize).min((last - first).div_ceil(args.stride) as usize),
        (panel.size.1 as usize).min(window.len()),
    );
    let reading = Reading { channel: &channel, start: bounds.start, ipp, stride: args.stride };
    let hidden = if args.keep_tx { Vec::new() } else { hidden(&experiment) };
    let raster = reading.reduce(&periods, &window, &hidden, cells)?;

    let shown = |power: f32| {
        if args.linear { f64::from(power) } else { 10.0 * f64::from(power).log10() }
    };
    let scale = if args.linear {
        Scale::of(raster.values().map(shown), 0.0, 0.999)
    } else {
        Scale::of(raster.values().map(shown), 0.01, 1.0)
    };
    let Color(r, g, b, _) = Color::NO_DATA;
    let rgb = raster.colors(|cell| cell.map_or([r, g, b], |(power, ())| scale.color(shown(power))));
    panel.image(&mut scene, raster.size(), rgb);
    panel.frame(&mut scene, "");
    let unit = if args.linear { "" } else { ", dB" };
    panel.color_bar(&mut scene, &scale, &format!("Power (recorder\u{2019}s unit\u{b2}{unit})"));
    let product = experiment.name.clone().unwrap_or_else(|| args.path.display().to_string());
    let what =
        format!("Range\u{2013}time\u{2013}intensity of {}, channel {name}", shortened(&product));
    let unix_s = |period: u64| rate.unix_ns(bounds.start + period * ipp) as f64 * 1e-9;
    let mut whence = time_span(unix_s(first), unix_s(last));
    whence.push_str(&format!(
        ", {} periods of {} ms",
        last - first,
        experiment.ipp_us as f64 * 1e-3
    ));
    if args.stride > 1 {
        whence.push_str(&format!(", one in {}", args.stride));
    }
    heading(&mut scene, &what, &whence);
    Ok(scene)
}

fn x_axis(
    args: &PlotDrfArgs,
    rate: SampleRate,
    start: u64,
    ipp: u64,
    periods: &Range<u64>,
) -> Axis {
    if args.samples {
        return Axis::number("Inter-pulse period", periods.start as f64, periods.end as f64);
    }
    let unix_s = |period: u64| rate.unix_ns(start + period * ipp) as f64 * 1e-9;
    Axis::time(unix_s(periods.start), unix_s(periods.end))
}

fn y_axis(args: &PlotDrfArgs, experiment: &Experiment, window: &Range<usize>) -> Axis {
    if args.samples {
        return Axis::number("Sample of the period", window.start as f64, window.end as f64);
    }
    let tx_start = samples(experiment.tx_start_us, experiment.sample_rate_hz) as f64;
    let half = if args.monostatic { 0.5 } else { 1.0 };
    let km = |sample: usize| {
        let delay_s = (sample as f64 - tx_start) / experiment.sample_rate_hz as f64;
        delay_s * SPEED_OF_LIGHT_M_S * 1e-3 * half
    };
    let label = if args.monostatic { "Range, km" } else { "Total range, km" };
    // A sample is shown around its time.
    let edge = (km(1) - km(0)) / 2.0;
    Axis::number(label, km(window.start) - edge, km(window.end) - edge)
}

/// The samples of a period that are shown.
fn window(args: &PlotDrfArgs, experiment: &Experiment) -> anyhow::Result<Range<usize>> {
    let at = |us| samples(us, experiment.sample_rate_hz);
    let (rx_start, rx_end) = (at(experiment.rx_start_us), at(experiment.rx_end_us));
    let tx_start = at(experiment.tx_start_us);
    let sample = |option: &str, range: Option<f64>, default: i64| {
        let Some(range) = range else { return Ok(default) };
        let total_m = range * args.unit.metres() * if args.monostatic { 2.0 } else { 1.0 };
        let delay = total_m / SPEED_OF_LIGHT_M_S * experiment.sample_rate_hz as f64;
        let sample = tx_start.saturating_add(delay.round_ties_even() as i64);
        if !range.is_finite() || !(rx_start..=rx_end).contains(&sample) {
            let km = |sample: i64| {
                let delay_s = (sample - tx_start) as f64 / experiment.sample_rate_hz as f64;
                delay_s * SPEED_OF_LIGHT_M_S / args.unit.metres()
                    * if args.monostatic { 0.5 } else { 1.0 }
            };
            return Err(Usage::of(anyhow!(
                "{option} {range} {unit} lies outside the reception, which is from {:.3} to {:.3} \
                 {unit}",
                km(rx_start),
                km(rx_end),
                unit = args.unit.name(),
            )));
        }
        Ok(sample)
    };
    let start = sample("--start-range", args.start_range, rx_start)?;
    let end = sample("--end-range", args.end_range, rx_end)?;
    if end <= start {
        return Err(Usage::of(anyhow!("--end-range must lie beyond --start-range")));
    }
    let unsigned = |sample: i64| usize::try_from(sample.max(0)).unwrap_or(usize::MAX);
    Ok(unsigned(start)..unsigned(end))
}

/// The samples of a period that are no echo: transmission, calibration.
fn hidden(experiment: &Experiment) -> Vec<Range<usize>> {
    let at = |us| samples(us, experiment.sample_rate_hz).max(0) as usize;
    let transmission = at(experiment.tx_start_us)..at(experiment.tx_end_us);
    let calibration = experiment.cal_on_us.zip(experiment.cal_off_us);
    let calibration = calibration.map(|(on, off)| at(on)..at(off));
    std::iter::once(transmission).chain(calibration).collect()
}

/// A channel, cut into periods.
struct Reading<'a> {
    channel: &'a Channel,
    /// Where the first period begins.
    start: u64,
    ipp: u64,
    stride: u64,
}

impl Reading<'_> {
    /// The greatest power in each of so many cells, one period after the other in memory.
    fn reduce(
        &self,
        periods: &Range<u64>,
        window: &Range<usize>,
        hidden: &[Range<usize>],
        (columns, rows): (usize, usize),
    ) -> anyhow::Result<Raster<()>> {
        let whole = self.start + periods.start * self.ipp..self.start + periods.end * self.ipp;
        let coverage = self.channel.coverage(whole)?;
        for skipped in &coverage.skipped {
            tracing::warn!("passed over {}: {}", skipped.path.display(), skipped.reason);
        }
        let row_of: Vec<Option<usize>> = window
            .clone()
            .map(|sample| {
                let is_hidden = hidden.iter().any(|hidden| hidden.contains(&sample));
                (!is_hidden).then(|| cell_of(sample - window.start, window.len(), rows))
            })
            .collect();
        let mut raster = Raster::new(columns, rows);
        let mut echo = vec![Complex32::default(); window.len()];
        let mut powers = vec![f32::NAN; rows];
        let (mut n_read, mut n_unreadable) = (0u64, 0u64);
        let mut first_error = None;
        let n_periods = (periods.end - periods.start) as usize;
        for period in periods.clone().step_by(self.stride as usize) {
            let from = self.start + period * self.ipp + window.start as u64;
            let until = from + window.len() as u64;
            let idx = coverage.blocks.partition_point(|block| block.end < until);
            if coverage.blocks.get(idx).is_none_or(|block| block.start > from) {
                continue;
            }
            if let Err(error) = self.channel.read_complex32(from, 0, &mut echo) {
                // A file may be damaged behind its index; what is whole is shown all the same.
                n_unreadable += 1;
                first_error.get_or_insert(error);
                continue;
            }
            n_read += 1;
            powers.fill(f32::NAN);
            for (sample, row) in echo.iter().zip(&row_of) {
                // NaN is less than whatever it is compared with: what is not finite is left out.
                if let Some(row) = row {
                    powers[*row] = powers[*row].max(sample.norm_sqr());
                }
            }
            let column = cell_of((period - periods.start) as usize, n_periods, columns);
            for (row, power) in powers.iter().enumerate() {
                raster.put(column, row, *power, ());
            }
        }
        match first_error {
            Some(error) if n_read == 0 => return Err(error.into()),
            None if n_read == 0 => {
                return Err(anyhow!("the recording has gaps in every period of the time span"));
            }
            Some(error) => tracing::warn!("{n_unreadable} periods cannot be read, first: {error}"),
            None => {}
        }
        Ok(raster)
    }
}
