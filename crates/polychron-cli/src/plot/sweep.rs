//! The picture of a sweep: an output over the parameter that varies, or over both.

use std::path::Path;

use anyhow::{anyhow, bail};
use polychron::param_sweep::{Design, Spec, Table, Value};

use super::axes::{Axis, HEADING, Panel, heading};
use super::colormap::Scale;
use super::scene::{Color, Scene, Shape};
use super::{form, save};
use crate::output::Usage;

/// A parameter along an axis.
struct Along {
    name: String,
    /// Its values in their order, each once, if it has values of its own.
    levels: Vec<Value>,
    /// Equal ratios are equal lengths.
    is_log: bool,
    /// Texts stand at 0, 1, 2 and so on.
    is_text: bool,
}

impl Along {
    fn new(name: &str, spec: &Spec) -> Self {
        let n = spec.n_values().unwrap_or(0);
        let levels: Vec<Value> = polychron::param_sweep::Sweep::new()
            .parameter(name, spec.clone())
            .design()
            .map(|design| (0..n).filter_map(|i| design.values(i)).flatten().collect())
            .unwrap_or_default();
        let is_log = match spec {
            Spec::Geometric { from, .. } => *from > 0.0,
            Spec::LogUniform { .. } => true,
            _ => false,
        };
        let is_text = levels.iter().any(|value| value.as_f64().is_none());
        Self { name: name.to_owned(), levels, is_log, is_text }
    }

    fn label(&self) -> String {
        if self.is_log { format!("{}, power of ten", self.name) } else { self.name.clone() }
    }

    fn places(&self) -> Vec<f64> {
        self.levels.iter().map(|value| self.place(value)).collect()
    }

    /// The place of a value along the axis.
    fn place(&self, value: &Value) -> f64 {
        if self.is_text {
            let at = self.levels.iter().position(|level| level == value);
            return at.map_or(f64::NAN, |at| at as f64);
        }
        let number = value.as_f64().unwrap_or(f64::NAN);
        if self.is_log { number.log10() } else { number }
    }
}

/// The parameters that vary, one or two.
fn along(design: &Design) -> anyhow::Result<Vec<(usize, Along)>> {
    let varying: Vec<(usize, Along)> = design
        .parameters()
        .iter()
        .enumerate()
        .filter(|(_, (_, spec))| spec.n_values() != Some(1))
        .map(|(at, (name, spec))| (at, Along::new(name, spec)))
        .collect();
    match varying.len() {
        1 | 2 => Ok(varying),
        n => Err(Usage::of(anyhow!(
            "--plot draws over one parameter that varies, or two; this sweep has {n}"
        ))),
    }
}

/// Fails before the sweep rather than after it.
pub(crate) fn check(path: &Path, design: &Design) -> anyhow::Result<()> {
    if form(path).is_err() {
        let name = path.display();
        let error = anyhow!("--plot {name} is no picture: give a name that ends in .png or .svg");
        return Err(Usage::of(error));
    }
    along(design).map(|_| ())
}

pub(crate) fn draw(
    path: &Path,
    table: &Table,
    design: &Design,
    output: Option<&str>,
) -> anyhow::Result<()> {
    save(&scene(table, design, output)?, path)
}

fn scene(table: &Table, design: &Design, output: Option<&str>) -> anyhow::Result<Scene> {
    let varying = along(design)?;
    let has_numbers = |name: &&String| table.column(name).iter().flatten().count() > 0;
    let output = match output {
        Some(name) if table.outputs().iter().any(|known| known == name) => name,
        Some(name) => {
            bail!("--plot-output {name}: the outputs are {}", table.outputs().join(", "))
        }
        None => match table.outputs().iter().find(has_numbers) {
            Some(name) => name,
            None => bail!("--plot: no output is a number"),
        },
    };
    let values: Vec<f64> =
        table.column(output).into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    let n_none = values.iter().filter(|value| !value.is_finite()).count();
    let names: Vec<&str> = varying.iter().map(|(_, along)| along.name.as_str()).collect();
    let mut scene = Scene::new((900, 640));
    let none = if n_none > 0 { format!(", {n_none} without a number") } else { String::new() };
    let title = format!("{output} over {}", names.join(" and "));
    heading(&mut scene, &title, &format!("{} rows{none}", values.len()));

    let place = |(at, along): &(usize, Along)| -> Vec<f64> {
        table.rows().iter().map(|row| along.place(&row.parameters[*at])).collect()
    };
    let x = place(&varying[0]);
    let room = (900.0, 640.0 - HEADING);
    match &varying[..] {
        [(_, first)] => {
            let axes = (
                Axis::around(first.label(), x.iter().copied()),
                Axis::around(output, values.iter().copied()),
            );
            let panel = Panel::within((0.0, HEADING), room, axes.0, axes.1, false);
            panel.grid(&mut scene);
            let points: Vec<(f64, f64)> = x.into_iter().zip(values).collect();
            if !design.is_sampled() && !first.is_text {
                panel.line(&mut scene, &points, 1.6, Color::TRUTH[0], false);
            }
            if design.is_sampled() || points.len() <= 200 {
                let points = points.into_iter();
                panel.points(&mut scene, points, 3.0, Shape::Disc, Color::TRUTH[0]);
            }
            panel.frame(&mut scene, "");
        }
        [(_, first), second] => {
            let y = place(second);
            let scale = Scale::of(values.iter().copied(), 0.0, 1.0);
            if design.is_sampled() {
                let axes = (
                    Axis::around(first.label(), x.iter().copied()),
                    Axis::around(second.1.label(), y.iter().copied()),
                );
                let panel = Panel::within((0.0, HEADING), room, axes.0, axes.1, true);
                panel.grid(&mut scene);
                for ((x, y), value) in x.into_iter().zip(y).zip(&values) {
                    let [r, g, b] = scale.color(*value);
                    let color =
                        if value.is_finite() { Color(r, g, b, 255) } else { Color::NO_DATA };
                    panel.points(&mut scene, [(x, y)].into_iter(), 4.5, Shape::Disc, color);
                }
                panel.frame(&mut scene, "");
                panel.color_bar(&mut scene, &scale, output);
            } else {
                let cells = (first.levels.len(), second.1.levels.len());
                let axes = (cell_axis(first), cell_axis(&second.1));
                let panel = Panel::within((0.0, HEADING), room, axes.0, axes.1, true);
                // The second parameter goes upward and is the faster one; a picture begins above.
                let is_down = [first, &second.1].map(is_descending);
                let mut rgb = Vec::with_capacity(cells.0 * cells.1);
                for row in (0..cells.1).rev() {
                    for column in 0..cells.0 {
                        let column = if is_down[0] { cells.0 - 1 - column } else { column };
                        let row = if is_down[1] { cells.1 - 1 - row } else { row };
                        let value = values[column * cells.1 + row];
                        let Color(r, g, b, _) = Color::NO_DATA;
                        rgb.push(if value.is_finite() { scale.color(value) } else { [r, g, b] });
                    }
                }
                panel.image(&mut scene, cells, rgb);
                panel.frame(&mut scene, "");
                panel.color_bar(&mut scene, &scale, output);
            }
        }
        _ => unreachable!("one or two vary"),
    }
    Ok(scene)
}

/// Whether its values go from right to left on their axis.
fn is_descending(along: &Along) -> bool {
    let places = along.places();
    is_even(&places) && places.first() > places.last()
}

fn is_even(places: &[f64]) -> bool {
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return false };
    let step = (last - first) / (places.len().max(2) - 1) as f64;
    step != 0.0 && places.windows(2).all(|p| (p[1] - p[0] - step).abs() < step.abs() * 1e-6)
}

/// An axis on which each value has a cell of one width, with the values at their middles. Lists that are
/// not evenly spaced are numbered.
fn cell_axis(along: &Along) -> Axis {
    let places = along.places();
    let n = places.len();
    if is_even(&places) {
        let (first, last) = (places[0].min(places[n - 1]), places[0].max(places[n - 1]));
        let step = (last - first) / (n - 1) as f64;
        Axis::number(along.label(), first - step / 2.0, last + step / 2.0)
    } else {
        let label = format!("{}, by number", along.name);
        Axis::number(label, -0.5, n as f64 - 0.5)
    }
}
