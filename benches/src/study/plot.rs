//! The picture of a record: every turn of every engine on every workload.
//!
//! One panel for each group of engines, one row for each workload, time to the right on a
//! logarithmic axis: a faint dot for each turn, a bar for the interval of the median, a large dot
//! for the median, and to the right how many times as long as the first engine. Written as SVG by
//! hand, without a background and in colours that are told apart on white and on black, by all
//! kinds of colour vision.

use std::fmt::Write as _;

use super::check::pairs;
use super::report::{duration, three_digits};
use super::{EngineFacts, Results};

/// Colours of engines, in their order (after Okabe and Ito, made as light as both grounds allow).
const COLOURS: [&str; 8] =
    ["#1f83c4", "#d9690a", "#0a9a70", "#c0609a", "#a58600", "#7a74d0", "#cf4a4a", "#5b9aa8"];
/// Forms of medians, so that colour is not all that tells engines apart.
const N_FORMS: usize = 4;

/// At least this wide; wider where a group has many engines.
const WIDTH: f64 = 980.0;
const LEFT: f64 = 170.0;
const AXIS: f64 = 590.0;
const TOP: f64 = 46.0;
/// Height of one engine in a row.
const LANE: f64 = 10.0;
const ROW_AIR: f64 = 9.0;
const LINE: f64 = 19.0;
/// Width of a column of ratios.
const RATIO: f64 = 46.0;
/// Room for the text of a tick.
const TICK: f64 = 50.0;

/// What the picture's text looks like on light and on dark grounds.
const STYLE: &str = "\
text{font:12px 'DejaVu Sans',Verdana,sans-serif;fill:#717983}\
.h{font-size:15px;font-weight:bold}.b{font-weight:bold}\
.g{stroke:#8b949e;stroke-opacity:.3;stroke-width:1}\
.a{stroke:#8b949e;stroke-width:1}\
.z{fill:#8b949e;fill-opacity:.09}\
@media(prefers-color-scheme:dark){text{fill:#b4bcc6}}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A time axis with a logarithmic scale.
struct Axis {
    from: f64,
    until: f64,
}

impl Axis {
    /// An axis around some times, some air on both sides.
    fn around(times: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for time in times.filter(|time| *time > 0.0) {
            (least, most) = (least.min(time), most.max(time));
        }
        (most > 0.0).then(|| Self { from: least / 1.25, until: most * 1.25 })
    }

    fn x(&self, time: f64) -> f64 {
        let at = (time.max(self.from) / self.from).ln() / (self.until / self.from).ln();
        LEFT + AXIS * at
    }

    /// Powers of ten, with twos and fives between them where there are few.
    fn ticks(&self) -> Vec<f64> {
        let powers = self.from.log10().floor() as i32..=self.until.log10().ceil() as i32;
        let of = |steps: &[f64]| {
            let all = powers.clone().flat_map(|power| {
                steps.iter().map(move |step| step * 10f64.powi(power)).collect::<Vec<f64>>()
            });
            let inside = all.filter(|tick| (self.from..=self.until).contains(tick));
            inside.collect::<Vec<f64>>()
        };
        let sets: [&[f64]; 3] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0]];
        let enough = sets.into_iter().map(of).find(|ticks| ticks.len() >= 4);
        enough.unwrap_or_else(|| of(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]))
    }
}

/// A median's mark: disc, diamond, square, triangle.
fn mark(form: usize, x: f64, y: f64, colour: &str) -> String {
    let r = 4.2;
    match form % N_FORMS {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" fill=\"{colour}\"/>"),
        1 => {
            let d = r * 1.25;
            format!(
                "<path d=\"M{:.1},{y:.1} {x:.1},{:.1} {:.1},{y:.1} {x:.1},{:.1}z\" \
                 fill=\"{colour}\"/>",
                x - d,
                y - d,
                x + d,
                y + d
            )
        }
        2 => {
            let d = r * 0.9;
            format!(
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                x - d,
                y - d,
                2.0 * d,
                2.0 * d
            )
        }
        _ => format!(
            "<path d=\"M{x:.1},{:.1} {:.1},{:.1} {:.1},{:.1}z\" fill=\"{colour}\"/>",
            y - r * 1.1,
            x + r * 1.1,
            y + r * 0.8,
            x - r * 1.1,
            y + r * 0.8
        ),
    }
}

struct Picture<'a> {
    results: &'a Results,
    svg: String,
    width: f64,
    y: f64,
}

impl Picture<'_> {
    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        );
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ =
            writeln!(self.svg, "<path d=\"M{x1:.1},{y1:.1} {x2:.1},{y2:.1}\" class=\"{class}\"/>");
    }

    fn style_of(&self, engine: &EngineFacts) -> (usize, &'static str) {
        let idx = self.results.engines.iter().position(|e| e.name == engine.name).unwrap_or(0);
        (idx, COLOURS[idx % COLOURS.len()])
    }

    /// One group of engines: its legend, its rows, its axis.
    fn panel(&mut self, group: &str) {
        let results = self.results;
        let measure = results.about.measure;
        let engines = results.engines_of(group);
        let of_group = results.samples.iter().filter(|s| s.group == group && s.round > 0);
        let Some(axis) = Axis::around(of_group.map(|sample| measure.of(sample))) else { return };

        self.text(LEFT, self.y, "start", "b", group);
        self.y += LINE;
        let mut x = LEFT;
        for engine in &engines {
            let (form, colour) = self.style_of(engine);
            // About as wide as the text is in the fonts asked for.
            let width = 22.0 + 7.4 * engine.name.chars().count() as f64;
            if x + width > self.width && x > LEFT {
                x = LEFT;
                self.y += LINE;
            }
            let mark = mark(form, x + 5.0, self.y - 4.0, colour);
            let _ = writeln!(self.svg, "{mark}");
            self.text(x + 15.0, self.y, "start", "", &engine.name);
            x += width + 14.0;
        }
        if engines.len() > 1 {
            let y = self.y + LINE;
            self.text(LEFT + AXIS + 14.0, y, "start", "", &format!("× {}", engines[0].name));
        }
        self.y += 1.4 * LINE;
        let top = self.y;
        let rows: Vec<&str> = results
            .workloads
            .iter()
            .map(|(workload, _)| workload.as_str())
            .filter(|workload| {
                engines.iter().any(|e| results.time(workload, &e.name, measure).is_some())
            })
            .collect();
        let height = LANE * engines.len() as f64 + ROW_AIR;
        let bottom = top + height * rows.len() as f64;
        for (idx, _) in rows.iter().enumerate().filter(|(idx, _)| idx % 2 == 0) {
            let y = top + height * idx as f64;
            let _ = writeln!(
                self.svg,
                "<rect x=\"0\" y=\"{y:.1}\" width=\"{}\" height=\"{height:.1}\" class=\"z\"/>",
                self.width
            );
        }
        let mut free_from = 0.0;
        for tick in axis.ticks() {
            let x = axis.x(tick);
            self.line("g", (x, top), (x, bottom));
            if x >= free_from {
                self.text(x, bottom + 16.0, "middle", "", &tick_text(tick));
                free_from = x + TICK;
            }
        }
        self.line("a", (LEFT, bottom), (LEFT + AXIS, bottom));
        for (idx, workload) in rows.iter().enumerate() {
            self.row(workload, &engines, &axis, top + height * idx as f64, height);
        }
        let label = format!("{}, {}", measure.name(), results.about.unit);
        self.text(LEFT + AXIS / 2.0, bottom + 36.0, "middle", "", &label);
        self.y = bottom + 36.0 + 2.0 * LINE;
    }

    fn row(
        &mut self,
        workload: &str,
        engines: &[&EngineFacts],
        axis: &Axis,
        top: f64,
        height: f64,
    ) {
        let results = self.results;
        let measure = results.about.measure;
        self.text(LEFT - 10.0, top + height / 2.0 + 4.0, "end", "", workload);
        let mut x_text = LEFT + AXIS + 14.0;
        for (lane, engine) in engines.iter().enumerate() {
            let Some(time) = results.time(workload, &engine.name, measure) else { continue };
            let y = top + ROW_AIR / 2.0 + LANE * (lane as f64 + 0.5);
            let (form, colour) = self.style_of(engine);
            for (seconds, _) in pairs(&results.samples, workload, &engine.name, None, measure) {
                let _ = writeln!(
                    self.svg,
                    "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"2.2\" fill=\"{colour}\" \
                     fill-opacity=\".35\"/>",
                    axis.x(seconds)
                );
            }
            let _ = writeln!(
                self.svg,
                "<path d=\"M{:.1},{y:.1} {:.1},{y:.1}\" stroke=\"{colour}\" stroke-width=\"2.4\" \
                 stroke-linecap=\"round\"/>\n{}",
                axis.x(time.low),
                axis.x(time.high),
                mark(form, axis.x(time.median), y, colour)
            );
            if lane == 0 {
                continue;
            }
            if let Some(ratio) = results.ratio(workload, &engine.name, &engines[0].name) {
                let _ = writeln!(
                    self.svg,
                    "<text x=\"{x_text:.1}\" y=\"{:.1}\" style=\"fill:{colour}\" class=\"b\">\
                     {}</text>",
                    top + height / 2.0 + 4.0,
                    three_digits(ratio.median)
                );
            }
            x_text += RATIO;
        }
    }
}

/// A tick's time, without digits that say nothing.
fn tick_text(seconds: f64) -> String {
    let text = duration(seconds);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number} {unit}")
}

/// The picture as a document of its own: no other file, no script.
#[must_use]
pub fn document(results: &Results) -> String {
    let most = results.groups().iter().map(|group| results.engines_of(group).len()).max();
    let width = WIDTH.max(LEFT + AXIS + 24.0 + RATIO * most.unwrap_or(0) as f64);
    let mut picture = Picture { results, svg: String::new(), width, y: TOP };
    let title = format!("{}, on {}", results.about.title, results.machine.slug);
    picture.text(12.0, 24.0, "start", "h", &title);
    for group in results.groups() {
        picture.panel(group);
    }
    let height = picture.y - LINE;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width} {height:.0}\">\n<style>{STYLE}</style>\n{}</svg>\n",
        picture.svg
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_four_ticks_at_least() {
        for (from, until) in [(0.03, 0.7), (0.001, 900.0), (0.03, 0.05), (1e-6, 3e-6)] {
            let axis = Axis { from, until };
            let ticks = axis.ticks();
            assert!(ticks.len() >= 4 || until / from < 2.0, "{from} to {until}: {ticks:?}");
            assert!(ticks.is_sorted() && ticks.iter().all(|t| (from..=until).contains(t)));
        }
        assert_eq!(tick_text(0.2), "200 ms");
        assert_eq!(tick_text(0.05), "50 ms");
        assert_eq!(tick_text(1.5), "1.5 s");
    }
}
