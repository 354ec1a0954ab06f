//! The icicle: every timer and stamp as wide as its share of the whole, its parts below.

use std::fmt::Write as _;

use super::text::escape;
use super::{TO_STRING, below, greatest, hue_of};
use crate::report::outline::{Entry, EntryKind};
use crate::report::text::{percent, seconds};

/// Narrower than this share of the whole, a part is not drawn; it is in the table.
const NARROWEST: f64 = 0.0005;
/// Parts that lie deeper are not drawn.
const DEEPEST: usize = 48;

/// Draws the tree that `entries` are the outline of. Of a parallel group it draws the worker with
/// the greatest total.
pub(super) fn section(out: &mut String, entries: &[Entry<'_>]) {
    let Some(root) = entries.first() else { return };
    let mut icicle = Icicle { entries, whole: root.inclusive, cells: String::new(), n_rows: 0 };
    icicle.draw(0, Place { left: 0.0, width: 1.0, row: 0, hue: 210 });
    write!(
        out,
        "<div class=\"icicle\" style=\"--rows:{}\">\n{}</div>\n",
        icicle.n_rows, icicle.cells
    )
    .expect(TO_STRING);
}

struct Icicle<'a> {
    entries: &'a [Entry<'a>],
    whole: f64,
    cells: String,
    n_rows: usize,
}

/// Where a part goes: shares of the width of the whole, and a hue in degrees.
#[derive(Clone, Copy)]
struct Place {
    left: f64,
    width: f64,
    row: usize,
    hue: u32,
}

impl Icicle<'_> {
    fn draw(&mut self, at: usize, place: Place) {
        let entry = &self.entries[at];
        let class = match entry.kind {
            EntryKind::Timer | EntryKind::Unassigned => "timer",
            EntryKind::Stamp => "stamp",
            EntryKind::Group | EntryKind::Worker => "group",
        };
        let label = match entry.kind {
            EntryKind::Timer if at > 0 => format!("({})", entry.name),
            EntryKind::Group => format!("[{}] × {}", entry.name, below(self.entries, at).count()),
            _ => entry.name.to_owned(),
        };
        self.cell(class, &label, entry.inclusive, place);
        let parts = self.parts(at);
        let rest = if at == 0 || entry.kind == EntryKind::Timer || entry.kind == EntryKind::Worker {
            entry.exclusive.max(0.0)
        } else {
            0.0
        };
        if place.row + 1 >= DEEPEST || parts.is_empty() {
            return;
        }
        // Attached times may be longer than the stamp that took them: then they share its width.
        let sum: f64 =
            parts.iter().map(|&at| self.entries[at].inclusive.max(0.0)).sum::<f64>() + rest;
        let unit = place.width / sum.max(entry.inclusive).max(f64::MIN_POSITIVE);
        let mut left = place.left;
        let row = place.row + 1;
        for (index, &part) in parts.iter().enumerate() {
            let width = self.entries[part].inclusive.max(0.0) * unit;
            // Neighbours differ; what is further below keeps to the colour of what it is part of.
            let hue = match place.row {
                0 => hue_of(index),
                _ => (place.hue + 9 * index as u32) % 360,
            };
            if width >= NARROWEST {
                self.draw(part, Place { left, width, row, hue });
            }
            left += width;
        }
        if rest * unit >= NARROWEST {
            self.cell("rest", "(rest)", rest, Place { left, width: rest * unit, row, hue: 0 });
        }
    }

    /// The parts right below that are drawn. Where the one part of a stamp is a timer of its name,
    /// as under a named loop, that is skipped for its own parts.
    fn parts(&self, at: usize) -> Vec<usize> {
        let mut parts: Vec<usize> = below(self.entries, at).collect();
        if self.entries[at].kind == EntryKind::Group {
            return greatest(self.entries, at).into_iter().collect();
        }
        if let [one] = parts[..]
            && self.entries[at].kind == EntryKind::Stamp
            && self.entries[one].kind == EntryKind::Timer
            && self.entries[one].name == self.entries[at].name
        {
            parts = below(self.entries, one).collect();
        }
        parts
    }

    fn cell(&mut self, class: &str, label: &str, value: f64, place: Place) {
        let Place { left, width, row, hue } = place;
        self.n_rows = self.n_rows.max(row + 1);
        let label = escape(label);
        let share = if self.whole > 0.0 { value / self.whole } else { f64::NAN };
        writeln!(
            self.cells,
            "<div class=\"cell {class}\" tabindex=\"0\" data-l=\"{left:.7}\" data-w=\"{width:.7}\" \
             style=\"left:{:.4}%;width:{:.4}%;--r:{row};--h:{hue}\" \
             title=\"{label}: {}, {}\">{label}</div>",
            left * 100.0,
            width * 100.0,
            seconds(value),
            percent(share),
        )
        .expect(TO_STRING);
    }
}
