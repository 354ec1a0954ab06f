//! What a study was measured on and with.

use std::path::Path;
use std::process::{Command, Stdio};

/// The facts of a record, and the name by which records of the same machine are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Model of the processor and number of processors, such as `amd-epyc-f26m2-2cpu`.
    pub slug: String,
    /// Name and value, as they are printed.
    pub facts: Vec<(String, String)>,
}

/// Instruction sets that matter to a filter, as Linux names them.
const LEVELS: [&str; 7] = ["sse4_2", "avx", "avx2", "fma", "avx512f", "avx512dq", "avx512vl"];

fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A value of `/proc/cpuinfo`, of the first processor.
fn cpuinfo<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

fn slug(model: &str, family: &str, number: &str, n_cpus: usize) -> String {
    let plain: String = model
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    // What every model's name says says nothing.
    let words: Vec<&str> = plain
        .split_whitespace()
        .filter(|word| !["r", "tm", "cpu", "processor", "with", "core"].contains(word))
        .collect();
    let mut name = if words.is_empty() { "unknown".to_owned() } else { words.join("-") };
    // Where the system does not tell them, there are none.
    for (letter, number) in [("-f", family), ("m", number)] {
        if number.parse::<u32>().is_ok() {
            name += &format!("{letter}{number}");
        }
    }
    format!("{name}-{n_cpus}cpu")
}

/// First line of what a program prints.
pub(super) fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().filter(|_| output.status.success()).map(str::to_owned)
}

/// The caches of a processor: level, kind and size of each.
fn caches(cpu: usize) -> String {
    let mut caches = Vec::new();
    for idx in 0..8 {
        let dir = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{idx}");
        let of = |name| read(format!("{dir}/{name}"));
        if let (Some(level), Some(kind), Some(size)) = (of("level"), of("type"), of("size")) {
            caches.push(format!("L{level} {} {size}", kind.to_lowercase()));
        }
    }
    if caches.is_empty() { "not told".to_owned() } else { caches.join(", ") }
}

/// How this program was compiled.
fn compiled() -> String {
    let levels: Vec<&str> = [
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("avx512f", cfg!(target_feature = "avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, on)| on.then_some(name))
    .collect();
    let base = if levels.is_empty() { "the target's base".to_owned() } else { levels.join(", ") };
    let checks = if cfg!(debug_assertions) { "with debug assertions" } else { "optimised" };
    let flags = std::env::var("RUSTFLAGS").ok().filter(|flags| !flags.contains('/'));
    let flags = flags.filter(|flags| !flags.is_empty()).unwrap_or_else(|| "none".to_owned());
    format!("{checks}; instruction set {base}, beyond it chosen at run time; RUSTFLAGS {flags}")
}

impl Machine {
    /// Asks the system; `cpu` is the processor that everything is kept on.
    #[must_use]
    pub fn here(cpu: Option<usize>) -> Self {
        let info = read("/proc/cpuinfo").unwrap_or_default();
        let of = |key| cpuinfo(&info, key).unwrap_or("not told");
        let n_cpus = info.lines().filter(|line| line.starts_with("processor")).count().max(1);
        let flags: Vec<&str> = of("flags").split_whitespace().collect();
        let levels: Vec<&str> = LEVELS.into_iter().filter(|level| flags.contains(level)).collect();
        let not_told = || "not told".to_owned();
        let governor = cpu.and_then(|cpu| {
            read(format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"))
        });
        let memory = read("/proc/meminfo").and_then(|text| {
            let kib: u64 = cpuinfo(&text, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
            Some(format!("{:.0} GiB", kib as f64 / f64::from(1 << 20)))
        });
        let commit = first_line("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
        let facts = [
            ("processor", of("model name").to_owned()),
            ("family, model, stepping", [of("cpu family"), of("model"), of("stepping")].join(", ")),
            ("processors", n_cpus.to_string()),
            ("instruction sets", levels.join(" ")),
            ("caches", caches(cpu.unwrap_or(0))),
            ("memory", memory.unwrap_or_else(not_told)),
            ("virtual", if flags.contains(&"hypervisor") { "yes" } else { "no" }.to_owned()),
            ("kernel", read("/proc/sys/kernel/osrelease").unwrap_or_else(not_told)),
            ("governor", governor.unwrap_or_else(not_told)),
            (
                "pinned to",
                cpu.map_or_else(|| "nothing".to_owned(), |cpu| format!("processor {cpu}")),
            ),
            ("load before", read("/proc/loadavg").unwrap_or_else(not_told)),
            ("rustc", first_line("rustc", &["-V"]).unwrap_or_else(not_told)),
            ("ours compiled", compiled()),
            ("commit", commit.unwrap_or_else(not_told)),
        ];
        Self {
            slug: slug(of("model name"), of("cpu family"), of("model"), n_cpus),
            facts: facts.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_by_its_processor() {
        assert_eq!(slug("AMD EPYC", "26", "2", 2), "amd-epyc-f26m2-2cpu");
        let intel = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz";
        assert_eq!(slug(intel, "6", "143", 8), "intel-xeon-platinum-8481c-2-70ghz-f6m143-8cpu");
        assert_eq!(slug("not told", "not told", "not told", 4), "not-told-4cpu");
    }

    #[test]
    fn the_same_machine_has_the_same_name() {
        let (one, other) = (Machine::here(None), Machine::here(Some(0)));
        assert_eq!(one.slug, other.slug);
        let name_is_plain = one.slug.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(name_is_plain, "{}", one.slug);
    }
}
