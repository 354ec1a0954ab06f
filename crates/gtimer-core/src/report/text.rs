//! Names and durations as text.

use std::fmt::{self, Write};

use crate::times::Times;

/// A name with what could steer a terminal or deceive a reader made visible: control characters,
/// line separators, and marks that turn the direction of writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visible<'a>(pub(super) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_hidden(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}')
}

/// Makes control characters in all names visible (`\u{1b}`), for texts that go to a terminal.
///
/// gtimer's own texts write names as they are; polychron's do this by themselves.
pub fn printable(times: &Times) -> Times {
    let mut times = times.clone();
    let mut open = vec![&mut times];
    while let Some(times) = open.pop() {
        make_visible(&mut times.name);
        times.position.iter_mut().for_each(make_visible);
        times.stamps.iter_mut().for_each(|stamp| make_visible(&mut stamp.name));
        for at in &mut times.subdivisions {
            make_visible(&mut at.position);
            open.extend(&mut at.timers);
        }
        for group in &mut times.parallel {
            make_visible(&mut group.position);
            make_visible(&mut group.group);
            open.extend(&mut group.workers);
        }
    }
    times
}

fn make_visible(name: &mut String) {
    if name.contains(is_hidden) {
        *name = Visible(name).to_string();
    }
}

/// What `write` writes.
pub(super) fn into_string(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).expect("a String takes any text");
    out
}

/// A duration with four significant digits, in s, ms, µs or ns.
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return format!("{value} s");
    }
    if value == 0.0 {
        return "0 s".to_owned();
    }
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    // Rounded first, so that 0.99999 is one second and not a thousand milliseconds.
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let (unit, name) = *units.iter().find(|(unit, _)| rounded.abs() >= *unit).unwrap_or(&units[3]);
    let value = value / unit;
    let decimals = match rounded.abs() / unit {
        large if large >= 999.95 => 0,
        large if large >= 99.995 => 1,
        large if large >= 9.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$} {name}")
}

/// A share as per cent, or nothing where it has no meaning.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}%", 100.0 * share) } else { String::new() }
}

/// The width up to which a column follows its cells; a longer one only moves its own line.
const MAX_WIDTH: usize = 100;

/// Text in columns: the first to the left, the others to the right, two spaces apart.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|&title| title.to_owned()).collect()] }
    }

    pub(super) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn write(&self, out: &mut impl Write) -> fmt::Result {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let lengths = cells.map(|cell| cell.chars().count());
            lengths.max().unwrap_or(0).min(MAX_WIDTH)
        };
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(line, "{cell:<width$}")?,
                    _ => write!(line, "  {cell:>width$}")?,
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_four_digits_and_the_unit_that_fits() {
        let table = [
            (0.0, "0 s"),
            (12.875, "12.88 s"),
            (1.0, "1.000 s"),
            (0.99999, "1.000 s"),
            (0.0123456, "12.35 ms"),
            (0.000_999_96, "1.000 ms"),
            (1.5e-6, "1.500 µs"),
            (25e-9, "25.00 ns"),
            (1e-12, "0.001 ns"),
            (99.999, "100.0 s"),
            (123_456.7, "123457 s"),
            (-0.5, "-500.0 ms"),
        ];
        for (value, text) in table {
            assert_eq!(seconds(value), text, "{value}");
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_written() {
        let name = "a\u{1b}[2Jb\nc\u{202e}d é 語";
        assert_eq!(Visible(name).to_string(), "a\\u{1b}[2Jb\\nc\\u{202e}d é 語");
        let times = Times { name: name.to_owned(), ..Times::default() };
        assert!(!printable(&times).name.contains(is_hidden));
    }
}
