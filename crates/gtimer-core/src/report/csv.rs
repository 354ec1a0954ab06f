//! Comma-separated values, a line for each entry of the tree.

use std::io::{self, Write};

use super::outline::{outline, path, quantile};
use super::text::Visible;
use crate::times::Times;

/// The columns of [`write_csv`]; later versions may add some at the end.
pub const CSV_COLUMNS: [&str; 15] = [
    "run",
    "path",
    "kind",
    "name",
    "depth",
    "inclusive_s",
    "exclusive_s",
    "share",
    "calls",
    "mean_s",
    "min_s",
    "max_s",
    "p50_s",
    "p99_s",
    "kept",
];

/// Writes a line of titles, then one for each timer, stamp, group and worker of all runs.
///
/// | column | meaning |
/// | ------ | ------- |
/// | `run` | number of the run in `runs`, from 0 |
/// | `path` | names from the root on, by `/` (within a name `\/`); `(timer)`, `[group]` |
/// | `kind` | `timer`, `stamp`, `unassigned`, `group`, `worker` |
/// | `name` | the last part of the path, bare |
/// | `depth` | 0 at the root |
/// | `inclusive_s`, `exclusive_s` | in s; of a group the greatest worker's, and 0 |
/// | `share` | of the root's total, 1 for all |
/// | `calls` … `max_s` | iterations of a stamp; empty for others |
/// | `p50_s`, `p99_s`, `kept` | of kept iterations that took time, and their number |
///
/// Numbers are written with as many digits as give them back exactly. Cells with commas or quotes
/// are quoted as RFC 4180 says; control characters are escaped, so no cell goes over a line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv(out: &mut impl Write, runs: &[Times]) -> io::Result<()> {
    writeln!(out, "{}", CSV_COLUMNS.join(","))?;
    for (run, times) in runs.iter().enumerate() {
        let entries = outline(times);
        for (at, entry) in entries.iter().enumerate() {
            let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
            let (min, max) = entry.range().unzip();
            let kept = entry.kept();
            let quantile = |share| kept.as_ref().and_then(|kept| quantile(kept, share));
            let share = entry.inclusive / times.total;
            write!(out, "{run},{},", quoted(path(&entries, at)))?;
            write!(out, "{},{},", entry.kind.name(), quoted(Visible(entry.name).to_string()))?;
            write!(out, "{},{},{},", entry.depth, entry.inclusive, entry.exclusive)?;
            write!(out, "{},", number(Some(share).filter(|share| share.is_finite())))?;
            write!(out, "{},", entry.calls().map(|n| n.to_string()).unwrap_or_default())?;
            write!(out, "{},{},{},", number(entry.mean()), number(min), number(max))?;
            write!(out, "{},{},", number(quantile(0.5)), number(quantile(0.99)))?;
            writeln!(out, "{}", kept.map(|kept| kept.len().to_string()).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn quoted(cell: String) -> String {
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}
