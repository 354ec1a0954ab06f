//! Panels: a box with two axes, and what is drawn in it.

use jiff::Timestamp;

use super::colormap::Scale;
use super::scene::{Align, Color, Scene, Shape};

/// Sizes of text, in units of the picture.
pub(crate) const TITLE: f64 = 17.0;
pub(crate) const LABEL: f64 = 13.0;
pub(crate) const TICK: f64 = 11.5;

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    /// Seconds after the Unix epoch, shown as UTC.
    Time,
}

/// The values along one side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) from: f64,
    pub(crate) until: f64,
    kind: Kind,
}

impl Axis {
    pub(crate) fn number(label: impl Into<String>, from: f64, until: f64) -> Self {
        Self::new(label.into(), from, until, Kind::Number)
    }

    /// An axis that holds all finite values, with some air.
    pub(crate) fn around(label: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if low > high {
            return Self::number(label, 0.0, 1.0);
        }
        let air = (high - low) * 0.06;
        Self::number(label, low - air, high + air)
    }

    /// Time, from and until seconds after the epoch.
    pub(crate) fn time(from: f64, until: f64) -> Self {
        Self::new("Time, UTC".to_owned(), from, until, Kind::Time)
    }

    fn new(label: String, from: f64, until: f64, kind: Kind) -> Self {
        // A single value is shown too.
        let least = 1e-13 * from.abs().max(until.abs()).max(1e-3);
        let (from, until) = if (until - from).abs() < least {
            let half = if from == 0.0 { 1.0 } else { from.abs() * 1e-3 };
            (from - half, until + half)
        } else {
            (from, until)
        };
        Self { label, from, until, kind }
    }

    pub(crate) fn contains(&self, value: f64) -> bool {
        (self.from..=self.until).contains(&value)
    }

    fn fraction(&self, value: f64) -> f64 {
        (value - self.from) / (self.until - self.from)
    }

    /// Places and texts of at most about `most` ticks.
    pub(crate) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match self.kind {
            Kind::Number => number_ticks(self.from, self.until, most),
            Kind::Time => time_ticks(self.from, self.until, most),
        }
    }
}

/// Steps of 1, 2 or 5 times a power of ten, as few digits as tell them apart.
fn number_ticks(from: f64, until: f64, most: usize) -> Vec<(f64, String)> {
    let rough = (until - from) / most.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * power).into_iter().find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let digits = (-(step * 1.001).log10().floor()).max(0.0) as usize;
    multiples(from, until, step)
        .into_iter()
        .map(|value| (value, with_minus(&format!("{value:.digits$}"))))
        .collect()
}

/// A true minus, which is as wide as a plus; and no minus before zero.
fn with_minus(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text.to_owned(),
    }
}

fn multiples(from: f64, until: f64, step: f64) -> Vec<f64> {
    // Doubles hold today's seconds to a quarter of a microsecond only.
    let (first, last) = ((from / step - 1e-5).ceil(), (until / step + 1e-5).floor());
    (0..=(last - first).max(-1.0) as i64).map(|k| (first + k as f64) * step).collect()
}

/// Steps of clocks: 1, 2, 5, 10, 15, 30 s and so on; decimal fractions below a second.
fn time_ticks(from: f64, until: f64, most: usize) -> Vec<(f64, String)> {
    const CLOCK_S: [f64; 18] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
        10_800.0, 21_600.0, 43_200.0, 86_400.0,
    ];
    // Counted from a whole day before, so that doubles keep the digits of a second.
    let day = (from / 86_400.0).floor() * 86_400.0;
    let (a, b) = (from - day, until - day);
    let rough = (b - a) / most.max(1) as f64;
    if rough < 0.5 {
        return number_ticks(a, b, most)
            .into_iter()
            .map(|(value, text)| {
                let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                (day + value, clock(day + value, digits))
            })
            .collect();
    }
    let days = (rough / 86_400.0).ceil().max(1.0) * 86_400.0;
    let step = CLOCK_S.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(days);
    let ticks = multiples(a, b, step).into_iter().map(|value| day + value);
    ticks
        .map(|at| {
            let text = clock(at, 0);
            let text = match step {
                86_400.0.. => utc(at, 0).chars().take(10).collect(),
                60.0.. => text.chars().take(5).collect(),
                _ => text,
            };
            (at, text)
        })
        .collect()
}

/// The time of the day, `12:15:40.2`.
fn clock(unix_s: f64, digits: usize) -> String {
    utc(unix_s, digits).chars().skip(11).collect()
}

/// `2021-04-12 12:15:40.2`.
pub(crate) fn utc(unix_s: f64, digits: usize) -> String {
    let grain = 10i128.pow(9 - digits.min(9) as u32);
    let ns = ((unix_s * 1e9 / grain as f64).round() as i128).saturating_mul(grain);
    match Timestamp::from_nanosecond(ns) {
        Ok(time) => {
            let format = if digits == 0 {
                "%Y-%m-%d %H:%M:%S".to_owned()
            } else {
                format!("%Y-%m-%d %H:%M:%S.%{digits}f")
            };
            time.strftime(&format).to_string()
        }
        Err(_) => format!("{unix_s} s after 1970"),
    }
}

/// "2021-04-12 12:15:40 to 12:15:44 UTC".
pub(crate) fn time_span(from: f64, until: f64) -> String {
    let digits = if until - from < 20.0 { 1 } else { 0 };
    let (first, last) = (utc(from, digits), utc(until, digits));
    match first.split_once(' ').filter(|(date, _)| last.starts_with(date)) {
        Some((date, _)) => format!("{first} to {} UTC", last[date.len() + 1..].to_owned()),
        None => format!("{first} to {last} UTC"),
    }
}

/// A box with two axes in a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    pub(crate) at: (f64, f64),
    pub(crate) size: (f64, f64),
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Panel {
    /// The panel in the box from `at`, with room at its sides for labels, and at the right for a
    /// bar of colours if there is one.
    pub(crate) fn within(at: (f64, f64), size: (f64, f64), x: Axis, y: Axis, bar: bool) -> Self {
        let (left, right, above, below) = (78.0, if bar { 92.0 } else { 38.0 }, 26.0, 48.0);
        Self {
            at: (at.0 + left, at.1 + above),
            size: (size.0 - left - right, size.1 - above - below),
            x,
            y,
        }
    }

    /// The place of a value, whether within the panel or not.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.at.0 + self.x.fraction(x) * self.size.0,
            self.at.1 + (1.0 - self.y.fraction(y)) * self.size.1,
        )
    }

    /// The lines behind the data.
    pub(crate) fn grid(&self, scene: &mut Scene) {
        let (right, below) = (self.at.0 + self.size.0, self.at.1 + self.size.1);
        for (value, _) in self.x.ticks(self.n_x_ticks()) {
            let (x, _) = self.place(value, self.y.from);
            scene.line(vec![(x, self.at.1), (x, below)], 0.7, Color::FAINT);
        }
        for (value, _) in self.y.ticks(self.n_y_ticks()) {
            let (_, y) = self.place(self.x.from, value);
            scene.line(vec![(self.at.0, y), (right, y)], 0.7, Color::FAINT);
        }
    }

    fn n_x_ticks(&self) -> usize {
        // A time needs more room than a number.
        let each = if self.x.kind == Kind::Time { 92.0 } else { 62.0 };
        (self.size.0 / each).clamp(2.0, 12.0) as usize
    }

    fn n_y_ticks(&self) -> usize {
        (self.size.1 / 38.0).clamp(2.0, 10.0) as usize
    }

    /// Box, ticks, labels and title, over the data.
    pub(crate) fn frame(&self, scene: &mut Scene, title: &str) {
        let ((x0, y0), (w, h)) = (self.at, self.size);
        let (x1, y1) = (x0 + w, y0 + h);
        let outline = vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
        scene.line(outline, 1.0, Color::INK);
        for (value, text) in self.x.ticks(self.n_x_ticks()) {
            let (x, _) = self.place(value, self.y.from);
            scene.line(vec![(x, y1), (x, y1 + 4.0)], 1.0, Color::INK);
            scene.text((x, y1 + 13.0), &text, TICK, Align::Middle);
        }
        for (value, text) in self.y.ticks(self.n_y_ticks()) {
            let (_, y) = self.place(self.x.from, value);
            scene.line(vec![(x0 - 4.0, y), (x0, y)], 1.0, Color::INK);
            scene.text((x0 - 7.0, y), &text, TICK, Align::End);
        }
        scene.text((x0 + w / 2.0, y1 + 33.0), &self.x.label, LABEL, Align::Middle);
        scene.turned_text((x0 - 62.0, y0 + h / 2.0), &self.y.label, LABEL);
        if !title.is_empty() {
            scene.text((x0, y0 - 12.0), title, LABEL, Align::Start);
        }
    }

    /// Points that lie within the axes.
    pub(crate) fn points(
        &self,
        scene: &mut Scene,
        values: impl Iterator<Item = (f64, f64)>,
        radius: f64,
        shape: Shape,
        color: Color,
    ) {
        for (x, y) in values {
            if self.x.contains(x) && self.y.contains(y) {
                scene.point(self.place(x, y), radius, shape, color);
            }
        }
    }

    /// The parts of a line that lie within the axes; broken where a value is not finite.
    pub(crate) fn line(
        &self,
        scene: &mut Scene,
        values: &[(f64, f64)],
        width: f64,
        color: Color,
        dashed: bool,
    ) {
        let mut run: Vec<(f64, f64)> = Vec::new();
        let mut flush = |run: &mut Vec<(f64, f64)>| {
            if run.len() > 1 {
                let points = std::mem::take(run);
                if dashed {
                    scene.dashes(points, width, color);
                } else {
                    scene.line(points, width, color);
                }
            }
            run.clear();
        };
        for ends in values.windows(2) {
            match self.clip(ends[0], ends[1]) {
                Some((a, b)) => {
                    let (a, b) = (self.place(a.0, a.1), self.place(b.0, b.1));
                    if run.last() != Some(&a) {
                        flush(&mut run);
                        run.push(a);
                    }
                    run.push(b);
                }
                None => flush(&mut run),
            }
        }
        flush(&mut run);
    }

    /// The part of a stretch within the axes, after Liang and Barsky.
    fn clip(&self, a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
        let (mut from, mut until) = (0.0, 1.0);
        for (start, end, axis) in [(a.0, b.0, &self.x), (a.1, b.1, &self.y)] {
            let step = end - start;
            if !step.is_finite() {
                return None;
            }
            if step == 0.0 {
                if !axis.contains(start) {
                    return None;
                }
                continue;
            }
            let (s, t) = ((axis.from - start) / step, (axis.until - start) / step);
            from = f64::max(from, s.min(t));
            until = f64::min(until, s.max(t));
        }
        let at = |s: f64| {
            if s == 1.0 { b } else { (a.0 + (b.0 - a.0) * s, a.1 + (b.1 - a.1) * s) }
        };
        (from <= until).then(|| (at(from), at(until)))
    }

    /// Fills the panel with cells, row after row from above.
    pub(crate) fn image(&self, scene: &mut Scene, cells: (usize, usize), rgb: Vec<[u8; 3]>) {
        let (at, size) = (self.at, self.size);
        scene.marks.push(super::scene::Mark::Image { at, size, cells, rgb });
    }

    /// The bar that says which value a colour stands for, at the right of the panel.
    pub(crate) fn color_bar(&self, scene: &mut Scene, scale: &Scale, label: &str) {
        let at = (self.at.0 + self.size.0 + 12.0, self.at.1);
        let size = (14.0, self.size.1);
        let n = 256;
        let rgb = (0..n).rev().map(|k| scale.at((f64::from(k) + 0.5) / f64::from(n))).collect();
        let cells = (1, n as usize);
        scene.marks.push(super::scene::Mark::Image { at, size, cells, rgb });
        let (x0, x1, y0, y1) = (at.0, at.0 + size.0, at.1, at.1 + size.1);
        let outline = vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
        scene.line(outline, 1.0, Color::INK);
        let axis = Axis::number(label, scale.from, scale.until);
        for (value, text) in axis.ticks(self.n_y_ticks()) {
            let y = y1 - axis.fraction(value) * size.1;
            scene.line(vec![(x1, y), (x1 + 4.0, y)], 1.0, Color::INK);
            scene.text((x1 + 7.0, y), &text, TICK, Align::Start);
        }
        scene.turned_text((x1 + 52.0, y0 + size.1 / 2.0), label, LABEL);
    }
}

/// One entry of a legend.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Point(Shape, Color, f64),
    Line(Color),
    Dashes(Color),
}

/// A line of entries that ends at `right`, at the height `y`.
pub(crate) fn legend(scene: &mut Scene, right: f64, y: f64, entries: &[(Key, String)]) {
    let mut x = right;
    for (key, text) in entries.iter().rev() {
        // A little more than the text needs, in any of the fonts.
        x -= text.chars().count() as f64 * TICK * 0.59;
        scene.text((x, y), text, TICK, Align::Start);
        x -= 8.0;
        let ends = vec![(x - 20.0, y), (x, y)];
        match key {
            Key::Point(shape, color, radius) => {
                scene.point((x - 5.0, y), *radius, *shape, *color);
                x -= 26.0;
            }
            Key::Line(color) => {
                scene.line(ends, 2.0, *color);
                x -= 40.0;
            }
            Key::Dashes(color) => {
                scene.dashes(ends, 1.5, *color);
                x -= 40.0;
            }
        }
    }
}

/// The heading of a picture: what, and below it whence and when.
pub(crate) fn heading(scene: &mut Scene, what: &str, whence: &str) {
    scene.text((20.0, 22.0), what, TITLE, Align::Start);
    scene.text((20.0, 45.0), whence, LABEL, Align::Start);
}

/// Height of the heading.
pub(crate) const HEADING: f64 = 60.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_have_as_many_digits_as_they_need() {
        assert_eq!(texts(&Axis::number("", -0.5, 1.0), 4), ["\u{2212}0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(
            texts(&Axis::number("", 1995.9, 2000.1), 5),
            ["1996", "1997", "1998", "1999", "2000"]
        );
        assert_eq!(texts(&Axis::number("", 0.0, 30_000.0), 3), ["0", "10000", "20000", "30000"]);
        let start = 1_618_229_740.0;
        assert_eq!(
            texts(&Axis::time(start, start + 0.4), 4),
            ["12:15:40.0", "12:15:40.1", "12:15:40.2", "12:15:40.3", "12:15:40.4"]
        );
        // The end is there, though the doubles come out below it.
        assert_eq!(
            texts(&Axis::time(start, start + 0.6 - 3e-7), 12).last().unwrap(),
            "12:15:40.60"
        );
        assert_eq!(texts(&Axis::time(start, start + 60.0), 3), ["12:16:00", "12:16:30"]);
        assert_eq!(
            texts(&Axis::time(start, start + 7200.0), 4),
            ["12:30", "13:00", "13:30", "14:00"]
        );
    }

    #[test]
    fn no_axis_has_more_than_a_few_ticks_or_none() {
        for (from, until) in [(0.0, 1e-12), (5.0, 5.0), (-1e30, 1e30), (1e9, 1e9 + 1.0), (0.0, 0.0)]
        {
            for most in [2, 5, 12] {
                let n = Axis::number("", from, until).ticks(most).len();
                assert!((1..=2 * most + 2).contains(&n), "{from} to {until}: {n}");
            }
        }
    }

    #[test]
    fn lines_end_at_the_edge_of_the_panel() {
        let axis = || Axis::number("", 0.0, 10.0);
        let panel = Panel { at: (0.0, 0.0), size: (100.0, 100.0), x: axis(), y: axis() };
        let mut scene = Scene::new((100, 100));
        let values =
            [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (f64::NAN, 1.0), (1.0, 1.0), (2.0, 1.0)];
        panel.line(&mut scene, &values, 1.0, Color::INK, false);
        let lines: Vec<_> = scene
            .marks
            .iter()
            .map(|mark| match mark {
                super::super::scene::Mark::Line { points, .. } => points.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            lines,
            [vec![(0.0, 50.0), (50.0, 50.0), (50.0, 0.0)], vec![(10.0, 90.0), (20.0, 90.0)]]
        );
    }

    #[test]
    fn a_time_span_says_its_date_once() {
        let start = 1_618_229_740.0;
        assert_eq!(time_span(start, start + 4.0), "2021-04-12 12:15:40.0 to 12:15:44.0 UTC");
        assert_eq!(
            time_span(start, start + 86_400.0),
            "2021-04-12 12:15:40 to 2021-04-13 12:15:40 UTC"
        );
    }
}
