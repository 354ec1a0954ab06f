//! Pictures of results: peaks and detections over time, maps over range and time, the noise floor.
//!
//! Source: `plot_peaks`, `plot_detections` and `plot_map` in hardtarget 0.5.1, `plotting/gmf.py`; see
//! docs/originals.md for what differs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use polychron::gmf_pipeline::{GmfAxes, GmfFolder, GmfSeries, snr_db};

use super::axes::{Axis, HEADING, Key, LABEL, Panel, heading, legend, time_span};
use super::colormap::Scale;
use super::raster::{Raster, cell_of};
use super::scene::{Align, Color, Scene, Shape};
use super::span::SpanArgs;
use super::{PictureArgs, save};

#[derive(Debug, Args)]
#[command(after_help = "\
Of long results each pixel of a map shows the strongest cell that falls into it, so that no echo is
lost. SNR is over the noise floor of the range gate, as hardtarget has it. Integrations are shown at
their middle. Refined peaks are shown as rings, if the results have them.

Examples:
  polychron plot gmf results -o peaks.png
  polychron plot gmf results --kind map --snr_dB_limit 12 -o map.svg
  polychron plot gmf results --kind detections --relative_time -s 10 -e 20 -o detections.png")]
pub(crate) struct PlotGmfArgs {
    /// Folder that an analysis wrote, or a GMF file
    path: PathBuf,
    #[command(flatten)]
    pub(super) picture: PictureArgs,
    /// What is drawn
    #[arg(short, long, value_enum, default_value = "peaks")]
    kind: Kind,
    #[command(flatten)]
    span: SpanArgs,
    /// Signal-to-noise ratio above which a peak counts as detection, in dB
    #[arg(
        long = "snr_dB_limit",
        alias = "snr-db-limit",
        value_name = "DB",
        default_value_t = 15.0,
        allow_hyphen_values = true
    )]
    snr_db_limit: f64,
    /// Shows total ranges (transmitter, target, receiver) and their rates, not half of them
    #[arg(long = "not_monostatic", alias = "not-monostatic")]
    not_monostatic: bool,
    /// Takes every N-th integration only
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..))]
    stride: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Peak of each integration: range, range rate, acceleration and SNR over time
    Peaks,
    /// Peaks above the limit alone, also over range
    Detections,
    /// SNR, range rate and acceleration over range and time
    Map,
    /// The zero-frequency term over range and time, and the noise floor over range
    Noise,
    /// SNR over range and time, and the peaks below it
    Overview,
}

/// A peak or detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Echo {
    /// Middle of the integration, in seconds after the Unix epoch.
    pub(crate) unix_s: f64,
    /// Total range.
    pub(crate) range_m: f64,
    pub(crate) range_rate_m_s: f64,
    pub(crate) acceleration_m_s2: f64,
    pub(crate) snr_db: f64,
}

/// What a target truly did.
#[derive(Debug, Clone)]
pub(crate) struct TruthLine {
    pub(crate) name: String,
    /// As a filter should find it; the ratio is not known.
    pub(crate) course: Vec<Echo>,
}

/// What pictures of results are made of.
#[derive(Debug)]
pub(crate) struct Results {
    folder: GmfFolder,
    axes: GmfAxes,
    step_s: f64,
    series: GmfSeries,
    floor: Vec<f32>,
    title: String,
    limit_db: f64,
    half: bool,
    stride: usize,
}

impl Results {
    pub(crate) fn open(folder: GmfFolder, limit_db: f64, half: bool) -> anyhow::Result<Self> {
        let first = folder.parts().next().transpose()?;
        let first = first.ok_or_else(|| anyhow::anyhow!("{} is empty", folder.path().display()))?;
        let text = |group: &str, key: &str| -> anyhow::Result<Option<String>> {
            Ok(first.attributes(group)?.get(key).map(ToString::to_string))
        };
        let name = text("experiment", "name")?;
        let name = name.unwrap_or_else(|| folder.path().display().to_string());
        let method = text("processing", "gmf_method")?.unwrap_or_else(|| "gmf".to_owned());
        let title = format!("{} ({method})", shortened(&name));
        let (axes, step_s) = (first.axes()?, first.step_s());
        let (series, floor) = (folder.series()?, folder.noise_floor()?);
        Ok(Self { folder, axes, step_s, series, floor, title, limit_db, half, stride: 1 })
    }

    fn scale(&self) -> f64 {
        if self.half { 0.5 } else { 1.0 }
    }

    fn range_label(&self) -> &'static str {
        if self.half { "Range, km" } else { "Total range, km" }
    }

    fn span(&self) -> (f64, f64) {
        let (first, last) = (self.series.unix_s.first(), self.series.unix_s.last());
        let (first, last) = (first.copied().unwrap_or(0.0), last.copied().unwrap_or(0.0));
        (first, last + self.step_s)
    }

    fn whence(&self) -> String {
        let (from, until) = self.span();
        let every =
            if self.stride > 1 { format!(" (one in {})", self.stride) } else { String::new() };
        format!(
            "{}, {} integration{} of {} s{every}",
            time_span(from, until),
            self.series.len(),
            if self.series.len() == 1 { "" } else { "s" },
            (self.step_s * 1e6).round() / 1e6
        )
    }

    /// The noise floor of the gate that is nearest to a range.
    fn floor_at(&self, range_m: f64) -> Option<f32> {
        let ranges = &self.axes.ranges_m;
        let idx = ranges.partition_point(|range| *range < range_m);
        let near = [idx.saturating_sub(1), idx].into_iter().filter(|idx| *idx < ranges.len());
        let nearest = near
            .min_by(|a, b| (ranges[*a] - range_m).abs().total_cmp(&(ranges[*b] - range_m).abs()))?;
        Some(self.floor[nearest])
    }

    fn echo(&self, idx: usize, at: [f64; 3], gmf: f64) -> Option<Echo> {
        let [range_m, range_rate_m_s, acceleration_m_s2] = at;
        let snr_db = snr_db(gmf.abs() as f32, self.floor_at(range_m)?);
        let unix_s = self.series.unix_s[idx] + self.step_s / 2.0;
        let echo = Echo { unix_s, range_m, range_rate_m_s, acceleration_m_s2, snr_db };
        (range_m.is_finite() && !snr_db.is_nan()).then_some(echo)
    }

    fn peaks(&self) -> Vec<Echo> {
        let s = &self.series;
        (0..s.len())
            .step_by(self.stride)
            .filter_map(|idx| {
                let at = [s.range_m[idx], s.range_rate_m_s[idx], s.acceleration_m_s2[idx]];
                self.echo(idx, at, f64::from(s.gmf_peak[idx]))
            })
            .collect()
    }

    fn refined(&self) -> Vec<Echo> {
        (0..self.series.len())
            .step_by(self.stride)
            .filter_map(|idx| {
                let peak = self.series.optimized[idx]?;
                let at = [peak.range_m, peak.range_rate_m_s, peak.acceleration_m_s2];
                self.echo(idx, at, peak.gmf)
            })
            .collect()
    }

    /// Says how fine the grid of accelerations is, which is coarse beside their accuracy.
    fn acceleration_step(&self) -> String {
        match self.axes.accelerations_m_s2[..] {
            [first, second, ..] => {
                format!("searched in steps of {:.3} m/s\u{b2}", (second - first) * self.scale())
            }
            _ => String::new(),
        }
    }

    fn time_axis(&self) -> Axis {
        let (from, until) = self.span();
        Axis::time(from, until)
    }

    /// The axis of the gates, each around its range.
    fn range_axis(&self) -> Axis {
        let ranges = &self.axes.ranges_m;
        let (first, last) = (ranges.first(), ranges.last());
        let (first, last) = (first.copied().unwrap_or(0.0), last.copied().unwrap_or(0.0));
        let edge = match ranges.len() {
            // Of a single gate, a microsecond's path.
            0 | 1 => 150.0,
            n => (last - first) / (n - 1) as f64 / 2.0,
        };
        let km = 1e-3 * self.scale();
        Axis::number(self.range_label(), (first - edge) * km, (last + edge) * km)
    }

    /// Values of the grid, reduced to so many cells; `value` is of row and gate, with what goes
    /// with it.
    fn raster(
        &self,
        most: (usize, usize),
        read: impl Fn(&polychron::gmf_pipeline::GmfPart) -> anyhow::Result<Grid>,
    ) -> anyhow::Result<Raster<(i32, i32)>> {
        let (from, until) = self.span();
        // Placed by time, so that what is missing between files shows as a gap.
        let n_steps = ((until - from) / self.step_s).round().max(1.0) as usize;
        let n_ranges = self.axes.ranges_m.len();
        let columns = most.0.min(n_steps.div_ceil(self.stride));
        let mut raster = Raster::new(columns, most.1.min(n_ranges));
        let (columns, rows) = raster.size();
        let row_of: Vec<usize> = (0..n_ranges).map(|idx| cell_of(idx, n_ranges, rows)).collect();
        let mut n_before = 0;
        for part in self.folder.parts() {
            let part = part?;
            let times = part.unix_s();
            let wanted: Vec<usize> = (0..times.len())
                .filter(|row| (n_before + row).is_multiple_of(self.stride))
                .collect();
            n_before += times.len();
            if wanted.is_empty() {
                continue;
            }
            let grid = read(&part)?;
            for row in wanted {
                let step = ((times[row] - from) / self.step_s).round().max(0.0) as usize;
                let column = cell_of(step.min(n_steps - 1), n_steps, columns);
                for (idx, cell) in row_of.iter().enumerate() {
                    let at = row * n_ranges + idx;
                    let with = grid.with.as_ref().map_or((0, 0), |(v, a)| (v[at], a[at]));
                    raster.put(column, *cell, (grid.value)(idx, grid.cells[at]), with);
                }
            }
        }
        Ok(raster)
    }

    fn snr_raster(
        &self,
        most: (usize, usize),
        indices: bool,
    ) -> anyhow::Result<Raster<(i32, i32)>> {
        self.raster(most, |part| {
            let floor = self.floor.clone();
            let with = if indices {
                Some((part.range_rate_idx()?, part.acceleration_idx()?))
            } else {
                None
            };
            Ok(Grid {
                cells: part.gmf()?,
                with,
                value: Box::new(move |idx, gmf| snr_db(gmf, floor[idx]) as f32),
            })
        })
    }
}

/// A grid of a file, what goes with each cell, and what is shown of it.
struct Grid {
    cells: Vec<f32>,
    with: Option<(Vec<i32>, Vec<i32>)>,
    value: Box<dyn Fn(usize, f32) -> f32>,
}

/// A text of at most some sixty characters.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let n = text.chars().count();
    if n <= MOST {
        return text.to_owned();
    }
    let tail: String = text.chars().skip(n - MOST + 1).collect();
    format!("\u{2026}{tail}")
}

pub(super) fn scene(args: &PlotGmfArgs) -> anyhow::Result<Scene> {
    let (start, end) = args.span.points()?;
    let mut folder = GmfFolder::open(&args.path)?;
    if start.is_some() || end.is_some() {
        folder = folder.between(start, end)?;
    }
    let mut results = Results::open(folder, args.snr_db_limit, !args.not_monostatic)?;
    results.stride = usize::try_from(args.stride).unwrap_or(usize::MAX);
    let size = |width, height| args.picture.size.unwrap_or((width, height));
    match args.kind {
        Kind::Peaks => Ok(peaks(&results, size(1280, 860))),
        Kind::Detections => Ok(detections(&results, size(1500, 860))),
        Kind::Map => map(&results, size(1280, 1120)),
        Kind::Noise => noise(&results, size(1280, 900)),
        Kind::Overview => {
            let echoes = results.peaks();
            overview(&results, size(1280, 1240), &echoes, &[])
        }
    }
}

/// Draws what the demo found, over the truth.
pub(crate) fn write_demo(
    path: &Path,
    results: &Results,
    echoes: &[Echo],
    truth: &[TruthLine],
) -> anyhow::Result<()> {
    save(&overview(results, (1280, 1240), echoes, truth)?, path)
}

/// A value of an echo over time, and how it is called.
struct Column {
    label: String,
    value: Box<dyn Fn(&Echo) -> f64>,
}

fn columns(results: &Results) -> [Column; 4] {
    let scale = results.scale();
    let column =
        |label: &str, value: Box<dyn Fn(&Echo) -> f64>| Column { label: label.to_owned(), value };
    [
        column(results.range_label(), Box::new(move |e| e.range_m * 1e-3 * scale)),
        column("Range rate, km/s", Box::new(move |e| e.range_rate_m_s * 1e-3 * scale)),
        column("Acceleration, m/s\u{b2}", Box::new(move |e| e.acceleration_m_s2 * scale)),
        column("SNR, dB", Box::new(|e| e.snr_db)),
    ]
}

/// The four panels of peaks over time in a box of the picture, and their legend above it.
fn peak_panels(
    scene: &mut Scene,
    results: &Results,
    (top, bottom): (f64, f64),
    echoes: &[Echo],
    truth: &[TruthLine],
) {
    let width = f64::from(scene.width);
    let (w, h) = (width / 2.0, (bottom - top) / 2.0);
    let refined = results.refined();
    let strong = |echo: &Echo| echo.snr_db > results.limit_db;
    let n_strong = echoes.iter().filter(|echo| strong(echo)).count();
    let radius = if echoes.len() > 2000 { 1.6 } else { 3.4 };
    for (idx, column) in columns(results).iter().enumerate() {
        let at = ((idx % 2) as f64 * w, top + (idx / 2) as f64 * h);
        let is_snr = idx == 3;
        let courses = truth.iter().flat_map(|line| &line.course).filter(|_| !is_snr);
        let extra = is_snr.then_some(results.limit_db).filter(|limit| limit.is_finite());
        let values = echoes.iter().chain(&refined).chain(courses).map(&column.value).chain(extra);
        let y = Axis::around(&column.label, values);
        let panel = Panel::within(at, (w, h), results.time_axis(), y, false);
        panel.grid(scene);
        if is_snr {
            let (from, until) = results.span();
            let limit = [(from, results.limit_db), (until, results.limit_db)];
            panel.line(scene, &limit, 1.2, Color::INK.alpha(170), true);
        } else {
            for (line, color) in truth.iter().zip(Color::TRUTH.iter().cycle()) {
                let course: Vec<(f64, f64)> =
                    line.course.iter().map(|echo| (echo.unix_s, (column.value)(echo))).collect();
                panel.line(scene, &course, 2.0, *color, false);
            }
        }
        for (wanted, color, alpha) in [(false, Color::WEAK, 150), (true, Color::STRONG, 215)] {
            let some = echoes.iter().filter(|echo| strong(echo) == wanted);
            let values = some.map(|echo| (echo.unix_s, (column.value)(echo)));
            panel.points(scene, values, radius, Shape::Disc, color.alpha(alpha));
        }
        let rings = refined.iter().map(|echo| (echo.unix_s, (column.value)(echo)));
        panel.points(scene, rings, radius + 2.0, Shape::Ring, Color::REFINED);
        let title = if idx == 2 { results.acceleration_step() } else { String::new() };
        panel.frame(scene, &title);
    }
    let disc = |color| Key::Point(Shape::Disc, color, 3.4);
    let mut entries: Vec<(Key, String)> = truth
        .iter()
        .zip(Color::TRUTH.iter().cycle())
        .map(|(line, color)| (Key::Line(*color), line.name.clone()))
        .collect();
    entries.push((disc(Color::STRONG), format!("above {} dB ({n_strong})", results.limit_db)));
    if n_strong < echoes.len() {
        entries.push((disc(Color::WEAK), format!("below ({})", echoes.len() - n_strong)));
    }
    if !refined.is_empty() {
        let ring = Key::Point(Shape::Ring, Color::REFINED, 5.4);
        entries.push((ring, format!("refined ({})", refined.len())));
    }
    entries.push((Key::Dashes(Color::INK.alpha(170)), "limit".to_owned()));
    legend(scene, width - 20.0, top + 8.0, &entries);
}

fn peaks(results: &Results, size: (u32, u32)) -> Scene {
    let mut scene = Scene::new(size);
    let box_ = (HEADING, f64::from(size.1));
    peak_panels(&mut scene, results, box_, &results.peaks(), &[]);
    heading(&mut scene, &format!("GMF peaks of {}", results.title), &results.whence());
    scene
}

fn detections(results: &Results, size: (u32, u32)) -> Scene {
    let mut scene = Scene::new(size);
    let all = results.peaks();
    let found: Vec<&Echo> = all.iter().filter(|echo| echo.snr_db > results.limit_db).collect();
    let scale = Scale::of(found.iter().map(|echo| echo.snr_db), 0.0, 1.0);
    let (w, h) = ((f64::from(size.0) - 70.0) / 3.0, (f64::from(size.1) - HEADING) / 2.0);
    let columns = columns(results);
    let axis = |column: &Column| {
        Axis::around(&column.label, found.iter().map(|echo| (column.value)(echo)))
    };
    let radius = if found.len() > 2000 { 1.8 } else { 3.4 };
    let mut right = None;
    // Over time, and in the last column of panels over range.
    for (place, x, y) in
        [(0, None, 0), (1, None, 1), (3, None, 2), (4, None, 3), (2, Some(0), 1), (5, Some(0), 2)]
    {
        let at = (f64::from(place % 3) * w, HEADING + f64::from(place / 3) * h);
        let x_axis = x.map_or_else(|| results.time_axis(), |x: usize| axis(&columns[x]));
        let panel = Panel::within(at, (w, h), x_axis, axis(&columns[y]), false);
        panel.grid(&mut scene);
        for echo in &found {
            let across = x.map_or(echo.unix_s, |x| (columns[x].value)(echo));
            let [r, g, b] = scale.color(echo.snr_db);
            let value = std::iter::once((across, (columns[y].value)(echo)));
            panel.points(&mut scene, value, radius, Shape::Disc, Color(r, g, b, 235));
        }
        panel.frame(&mut scene, "");
        if place == 2 || place == 5 {
            right = Some(match right.take() {
                None => panel,
                Some(above) => {
                    let above: Panel = above;
                    let height = panel.at.1 + panel.size.1 - above.at.1;
                    Panel { size: (above.size.0, height), ..above }
                }
            });
        }
    }
    if let Some(panel) = right {
        panel.color_bar(&mut scene, &scale, "SNR, dB");
    }
    let what = format!("Detections in {}", results.title);
    let whence = format!(
        "{}: {} of {} peaks are above {} dB",
        results.whence(),
        found.len(),
        all.len(),
        results.limit_db
    );
    heading(&mut scene, &what, &whence);
    if found.is_empty() {
        let middle = (f64::from(size.0) / 2.0, HEADING + 10.0);
        scene.text(middle, "no peak is above the limit", LABEL, Align::Middle);
    }
    scene
}

/// The box of one of `n` maps, one below the other.
fn map_panel(results: &Results, size: (u32, u32), n: usize, idx: usize) -> Panel {
    let h = (f64::from(size.1) - HEADING) / n as f64;
    let at = (0.0, HEADING + idx as f64 * h);
    Panel::within(at, (f64::from(size.0), h), results.time_axis(), results.range_axis(), true)
}

const NO_DATA: [u8; 3] = [Color::NO_DATA.0, Color::NO_DATA.1, Color::NO_DATA.2];

fn most_cells(panel: &Panel) -> (usize, usize) {
    (panel.size.0.max(1.0) as usize, panel.size.1.max(1.0) as usize)
}

fn snr_panel(scene: &mut Scene, panel: &Panel, raster: &Raster<(i32, i32)>) {
    // From the weakest of the noise, but for a few cells, to the strongest echo.
    let scale = Scale::of(raster.values().map(f64::from), 0.01, 1.0);
    let rgb =
        raster.colors(|cell| cell.map_or(NO_DATA, |(value, _)| scale.color(f64::from(value))));
    panel.image(scene, raster.size(), rgb);
    panel.color_bar(scene, &scale, "SNR, dB");
}

fn map(results: &Results, size: (u32, u32)) -> anyhow::Result<Scene> {
    let mut scene = Scene::new(size);
    let panel = map_panel(results, size, 3, 0);
    let raster = results.snr_raster(most_cells(&panel), true)?;
    snr_panel(&mut scene, &panel, &raster);
    panel.frame(&mut scene, "SNR of the strongest range rate and acceleration");

    let (limit, factor) = (results.limit_db as f32, results.scale());
    let at =
        |axis: &[f64], idx: i32| usize::try_from(idx).ok().and_then(|idx| axis.get(idx).copied());
    let (rates, accelerations) = (&results.axes.range_rates_m_s, &results.axes.accelerations_m_s2);
    type Pick<'a> = Box<dyn Fn((i32, i32)) -> Option<f64> + 'a>;
    let rate: Pick<'_> = Box::new(|(v, _)| at(rates, v).map(|v| v * 1e-3 * factor));
    let acceleration: Pick<'_> = Box::new(|(_, a)| at(accelerations, a).map(|a| a * factor));
    for (idx, what, label, pick) in [
        (1, "Range rate", "Range rate, km/s", rate),
        (2, "Acceleration", "Acceleration, m/s\u{b2}", acceleration),
    ] {
        let panel = map_panel(results, size, 3, idx);
        let strong = |cell: Option<(f32, (i32, i32))>| {
            cell.filter(|(snr, _)| *snr > limit).and_then(|(_, with)| pick(with))
        };
        let mut values = Vec::new();
        raster.cells().for_each(|cell| values.extend(strong(cell)));
        // A few cells beside an echo are of the noise, whose rates are anywhere.
        let scale = Scale::of(values.iter().copied(), 0.03, 0.97);
        let rgb = raster.colors(|cell| strong(cell).map_or(NO_DATA, |value| scale.color(value)));
        panel.image(&mut scene, raster.size(), rgb);
        panel.color_bar(&mut scene, &scale, label);
        let title = format!("{what}, where the SNR is above {} dB", results.limit_db);
        panel.frame(&mut scene, &title);
    }
    let what = format!("GMF of {} over range and time", results.title);
    heading(&mut scene, &what, &results.whence());
    Ok(scene)
}

fn noise(results: &Results, size: (u32, u32)) -> anyhow::Result<Scene> {
    let mut scene = Scene::new(size);
    let panel = map_panel(results, size, 2, 0);
    let db = |power: f32| 10.0 * f64::from(power).log10();
    let raster = results.raster(most_cells(&panel), |part| {
        Ok(Grid { cells: part.zero_frequency()?, with: None, value: Box::new(|_, power| power) })
    })?;
    let scale = Scale::of(raster.values().map(db), 0.01, 0.999);
    let rgb = raster.colors(|cell| cell.map_or(NO_DATA, |(power, _)| scale.color(db(power))));
    panel.image(&mut scene, raster.size(), rgb);
    panel.color_bar(&mut scene, &scale, "Power, dB");
    panel.frame(&mut scene, "Zero-frequency term (recorder\u{2019}s unit\u{b2})");

    let below = map_panel(results, size, 2, 1);
    let km = 1e-3 * results.scale();
    let floor: Vec<(f64, f64)> = results
        .axes
        .ranges_m
        .iter()
        .zip(&results.floor)
        .map(|(range, floor)| (range * km, db(*floor)))
        .collect();
    let y = Axis::around("Noise floor, dB", floor.iter().map(|(_, floor)| *floor));
    let panel = Panel { x: results.range_axis(), y, ..below };
    panel.grid(&mut scene);
    panel.line(&mut scene, &floor, 1.4, Color::TRUTH[0], false);
    panel.frame(&mut scene, "Noise floor: median of the term over time");
    heading(&mut scene, &format!("GMF noise of {}", results.title), &results.whence());
    Ok(scene)
}

fn overview(
    results: &Results,
    size: (u32, u32),
    echoes: &[Echo],
    truth: &[TruthLine],
) -> anyhow::Result<Scene> {
    let mut scene = Scene::new(size);
    let height = f64::from(size.1);
    let middle = HEADING + (height - HEADING) * 0.36;
    let box_ = (f64::from(size.0), middle - HEADING);
    let (x, y) = (results.time_axis(), results.range_axis());
    let panel = Panel::within((0.0, HEADING), box_, x, y, true);
    let raster = results.snr_raster(most_cells(&panel), false)?;
    snr_panel(&mut scene, &panel, &raster);
    let km = 1e-3 * results.scale();
    for (line, color) in truth.iter().zip(Color::TRUTH.iter().cycle()) {
        let course: Vec<(f64, f64)> =
            line.course.iter().map(|echo| (echo.unix_s, echo.range_m * km)).collect();
        // On the map, where the echo itself must stay visible: thin, and light below.
        panel.line(&mut scene, &course, 2.6, Color::WHITE.alpha(120), true);
        panel.line(&mut scene, &course, 1.4, *color, true);
    }
    panel.frame(&mut scene, "SNR of the strongest range rate and acceleration");
    peak_panels(&mut scene, results, (middle, height), echoes, truth);
    let what = if truth.is_empty() { "GMF overview of" } else { "Found and true:" };
    heading(&mut scene, &format!("{what} {}", results.title), &results.whence());
    Ok(scene)
}
