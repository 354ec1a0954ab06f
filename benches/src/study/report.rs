//! The text of a record: the question, the answer in tables, and all that is needed to repeat it.

use std::fmt::Write as _;

use super::check::pairs;
use super::options::{Mode, Options};
use super::record::Side;
use super::stats::Summary;
use super::{EngineFacts, Measure, Results, Skipped};

/// Seconds in the unit that fits, with three digits.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        s if s < 1e-6 => (1e9 * seconds, "ns"),
        s if s < 1e-3 => (1e6 * seconds, "µs"),
        s if s < 1.0 => (1e3 * seconds, "ms"),
        _ => (seconds, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A number with three digits, or more before the point.
#[must_use]
pub fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        // Below one the zeros behind the point do not count.
        v if v > 1e-9 => 2 - v.log10().floor() as i32,
        _ => 0,
    };
    format!("{value:.0$}", digits.max(0) as usize)
}

/// A median with its interval.
fn with_interval(s: &Summary, show: impl Fn(f64) -> String) -> String {
    format!("{} [{}, {}]", show(s.median), show(s.low), show(s.high))
}

impl Results {
    /// The groups of engines, in order.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for engine in &self.engines {
            if !groups.contains(&engine.group.as_str()) {
                groups.push(&engine.group);
            }
        }
        groups
    }

    /// The engines of a group, the one that ratios are of first.
    #[must_use]
    pub fn engines_of(&self, group: &str) -> Vec<&EngineFacts> {
        let mut engines: Vec<&EngineFacts> =
            self.engines.iter().filter(|engine| engine.group == group).collect();
        if let Some(first) = engines.iter().position(|engine| engine.side == Side::Ours) {
            engines[..=first].rotate_right(1);
        }
        engines
    }

    /// What an engine took for a workload.
    #[must_use]
    pub fn time(&self, workload: &str, engine: &str, measure: Measure) -> Option<Summary> {
        let pairs = pairs(&self.samples, workload, engine, None, measure);
        Summary::of_ratios(&pairs)
    }

    /// How many times as long as `base` an engine took, round by round.
    #[must_use]
    pub fn ratio(&self, workload: &str, engine: &str, base: &str) -> Option<Summary> {
        let measure = self.about.measure;
        Summary::of_ratios(&pairs(&self.samples, workload, engine, Some(base), measure))
    }

    /// What an engine took for its first turn on a workload.
    fn first(&self, workload: &str, engine: &str) -> Option<f64> {
        let of = |s: &&super::Sample| s.workload == workload && s.engine == engine && s.round == 0;
        self.samples.iter().find(of).map(|sample| self.about.measure.of(sample))
    }

    /// What can be read off the tables, in sentences.
    fn reading(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for group in self.groups() {
            let engines = self.engines_of(group);
            let Some((base, others)) = engines.split_first() else { continue };
            for other in others {
                let mut ratios: Vec<(f64, &str)> = self
                    .workloads
                    .iter()
                    .filter_map(|(workload, _)| {
                        let ratio = self.ratio(workload, &other.name, &base.name)?;
                        Some((ratio.median, workload.as_str()))
                    })
                    .collect();
                ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
                let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else { continue };
                let values: Vec<f64> = ratios.iter().map(|(ratio, _)| *ratio).collect();
                let Some(middle) = Summary::of(&values) else { continue };
                let of = if values.len() == 1 {
                    format!("on {}", least.1)
                } else {
                    format!(
                        "in the middle of {} workloads: from {} ({}) to {} ({})",
                        values.len(),
                        three_digits(least.0),
                        least.1,
                        three_digits(most.0),
                        most.1,
                    )
                };
                lines.push(format!(
                    "`{}` takes {} times as long as `{}` {of}.",
                    other.name,
                    three_digits(middle.median),
                    base.name,
                ));
            }
        }
        lines
    }
}

/// The table of a group: medians with intervals, and ratios.
fn ratios_table(results: &Results, group: &str) -> String {
    let engines = results.engines_of(group);
    let Some((base, others)) = engines.split_first() else { return String::new() };
    let measure = results.about.measure;
    let mut text = format!("| workload | `{}` |", base.name);
    for other in others {
        let _ = write!(text, " `{}` | times |", other.name);
    }
    text += "\n| --- | --- |";
    text += &" --- | --- |".repeat(others.len());
    text.push('\n');
    for (workload, _) in &results.workloads {
        let Some(time) = results.time(workload, &base.name, measure) else { continue };
        let _ = write!(text, "| {workload} | {} |", with_interval(&time, duration));
        for other in others {
            let time = results.time(workload, &other.name, measure);
            let ratio = results.ratio(workload, &other.name, &base.name);
            let _ = match (time, ratio) {
                (Some(time), Some(ratio)) => write!(
                    text,
                    " {} | **{}** [{}, {}] |",
                    duration(time.median),
                    three_digits(ratio.median),
                    three_digits(ratio.low),
                    three_digits(ratio.high)
                ),
                _ => write!(text, " – | – |"),
            };
        }
        text.push('\n');
    }
    text
}

/// Every engine on every workload.
fn times_table(results: &Results) -> String {
    let mut text = "| workload | engine | n | processor | spread | clock | first turn |\n\
                    | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (workload, _) in &results.workloads {
        for engine in &results.engines {
            let name = &engine.name;
            let cpu = results.time(workload, name, Measure::Cpu);
            let wall = results.time(workload, name, Measure::Wall);
            let (Some(cpu), Some(wall)) = (cpu, wall) else { continue };
            let first = results.first(workload, name).map_or_else(|| "–".to_owned(), duration);
            let _ = writeln!(
                text,
                "| {workload} | `{name}` | {} | {} | {:.1} % | {} | {first} |",
                cpu.n,
                with_interval(&cpu, duration),
                100.0 * cpu.spread,
                duration(wall.median),
            );
        }
    }
    text
}

/// The tables for a terminal.
#[must_use]
pub fn tables(results: &Results) -> String {
    let mut text = String::new();
    for group in results.groups() {
        let _ = writeln!(text, "\n{group}:\n{}", ratios_table(results, group));
    }
    results.reading().iter().for_each(|line| text += &format!("- {line}\n"));
    text
}

/// How the numbers are to be taken.
fn statistics(results: &Results) -> String {
    let (mut most, mut least) = (0, usize::MAX);
    for (workload, _) in &results.workloads {
        for engine in &results.engines {
            if let Some(time) = results.time(workload, &engine.name, Measure::Cpu) {
                (most, least) = (most.max(time.n), least.min(time.n));
            }
        }
    }
    let coverage = |n: usize| {
        let values: Vec<f64> = (1..=n).map(|value| value as f64).collect();
        Summary::of(&values).map_or(0.0, |summary| 100.0 * summary.coverage)
    };
    let (mut fewer, mut worth) = (String::new(), String::new());
    if least < most {
        fewer = format!(" ({least} for engines that take part in fewer)");
        worth = format!(" ({:.0} %)", coverage(least));
    }
    format!(
        "Times are medians of {most} rounds{fewer}, with the interval of the sign test in brackets: \
         it holds the true median with a probability of {:.0} %{worth}, whatever the \
         distribution.\n\
         The spread is the distance between the quartiles over the median.\n\
         Ratios are the medians of the ratios of turns in the same round, with their interval \
         alike.\n\
         Engines took turns, each round begun by another one, all on one processor and one thread; \
         the first turn on each workload, with what is planned then, is not counted and stands by \
         itself.\n",
        coverage(most),
    )
}

/// `README.md` of a record.
#[must_use]
pub fn readme(results: &Results, notes: &[String], today: &str, options: &Options) -> String {
    let about = results.about;
    let mut text = format!(
        "# {}\n\n{}\n\nMeasured {today} on `{}`, {} {}.\n",
        about.title,
        about.question,
        results.machine.slug,
        about.measure.name(),
        about.unit
    );
    if about.is_quick || !options.filters.is_empty() {
        text += "This is a first look, with fewer rounds or workloads than a record has.\n";
    }
    text += "\n![Times of all engines on all workloads](plot.svg)\n\n## Reading\n\n";
    for line in results.reading().iter().chain(notes) {
        // A note of several lines is a text of its own.
        if line.contains('\n') {
            let _ = writeln!(text, "\n{line}");
        } else {
            let _ = writeln!(text, "- {line}");
        }
    }
    for group in results.groups() {
        let _ = write!(text, "\n## {group}\n\n{}", ratios_table(results, group));
    }
    let _ = write!(text, "\n## How it was measured\n\n{}\n{}", about.method, statistics(results));
    text += "\n## Workloads\n\n| workload | what it is |\n| --- | --- |\n";
    for (name, what) in &results.workloads {
        let _ = writeln!(text, "| {name} | {what} |");
    }
    text += "\n## Engines\n\n| engine | how it was made |\n| --- | --- |\n";
    for engine in &results.engines {
        let _ = writeln!(text, "| `{}` | {} |", engine.name, engine.made);
    }
    for Skipped { name, why, .. } in &results.skipped {
        let _ = writeln!(text, "| `{name}` | skipped: {why} |");
    }
    text += "\n## Machine\n\n| | |\n| --- | --- |\n";
    for (name, value) in &results.machine.facts {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let _ = write!(text, "\n## All times\n\n{}", times_table(results));
    let mut command = format!("cargo xtask bench {}", about.name);
    for (on, option) in [(options.mode == Mode::Record, "--record"), (options.quick, "--quick")] {
        if on {
            let _ = write!(command, " {option}");
        }
    }
    if !options.filters.is_empty() {
        let _ = write!(command, " -- {}", options.filters.join(" "));
    }
    let _ = write!(
        text,
        "\nEvery turn is in [raw.csv](raw.csv), round 0 being the first turn.\n\n\
         Made by `{command}`.\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (1234.5, "1234"),
            (99.96, "100"),
            (99.94, "99.9"),
            (9.996, "10.0"),
            (2.071, "2.07"),
            (0.9996, "1.00"),
            (0.9994, "0.999"),
            (0.001_234, "0.00123"),
            (0.0, "0"),
        ] {
            assert_eq!(three_digits(value), text);
        }
        assert_eq!(duration(0.000_231), "231 µs");
        assert_eq!(duration(0.166), "166 ms");
        assert_eq!(duration(41.25), "41.2 s");
    }
}
