//! Counting instructions by valgrind, which is the same every time: of the timer's operations, and
//! of the matched filter.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use xshell::{Shell, cmd};

use crate::packages::root;
use crate::setup;
use crate::steps::Outcome;

/// A package, and its example that runs one operation often.
#[derive(Debug)]
struct Program {
    package: &'static str,
    example: &'static str,
    /// How often the example does it: so often that what happens once, such as the making of the
    /// stamps, does not show.
    times: u64,
    /// What an operation is a number of, of which the limits are for one.
    parts: u64,
    /// The function that is counted, where it is not `measured_` and the operation.
    function: Option<&'static str>,
    limits: &'static [Limit],
}

/// One operation and the most instructions that it may take.
#[derive(Debug)]
struct Limit {
    operation: &'static str,
    most: u64,
}

const PROGRAMS: [Program; 2] = [
    // With the loop around the operation (about 4).
    Program {
        package: "gtimer-core",
        example: "instructions",
        times: 200_000,
        parts: 1,
        function: None,
        limits: &[
            Limit { operation: "stamp", most: 32 },
            Limit { operation: "loop_stamp", most: 40 },
            Limit { operation: "kept_iteration", most: 50 },
            Limit { operation: "scope", most: 58 },
            Limit { operation: "thread_stamp", most: 32 },
            Limit { operation: "thread_loop_stamp", most: 40 },
            Limit { operation: "thread_kept_iteration", most: 50 },
            Limit { operation: "thread_scope", most: 58 },
            Limit { operation: "disabled", most: 8 },
        ],
    },
    // For each gate and acceleration, at the level AVX2; `fdpt` computes one acceleration of each
    // gate, and is divided alike. Two to three hundredths more than was counted.
    Program {
        package: "gmf-cpu",
        example: "gmf_instructions",
        times: 1,
        parts: 64 * 19,
        function: Some("search"),
        limits: &[
            Limit { operation: "fgmf", most: 88_000 },
            Limit { operation: "fgmf_every_row", most: 355_000 },
            Limit { operation: "fdpt", most: 21_800 },
            Limit { operation: "fgmf_12500", most: 53_900 },
            Limit { operation: "fgmf_every_row_12500", most: 275_000 },
            Limit { operation: "fdpt_12500", most: 15_400 },
        ],
    },
];

/// Counts, and fails when an operation takes more than it may.
pub(crate) fn instructions(sh: &Shell) -> anyhow::Result<Outcome> {
    if !setup::has_valgrind(sh) {
        return Ok(skipped("no valgrind (cargo xtask setup installs it)"));
    }
    if !cfg!(target_arch = "x86_64") {
        return Ok(skipped("the limits are for x86_64"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root().join("target"),
        |dir| {
            // A relative one is relative to where cargo was started.
            sh.current_dir().join(dir)
        },
    );
    let mut over = Vec::new();
    for Program { package, example, times, parts, function, limits } in PROGRAMS {
        // The profile of the benchmarks, so that what is counted is what is timed.
        cmd!(sh, "cargo build --quiet -p {package} --profile bench --example {example}").run()?;
        let program = target.join("release/examples").join(example);
        println!("{:<22} instructions  limit", format!("{package}:"));
        for Limit { operation, most } in limits {
            let total = count(sh, &program, function.unwrap_or(operation), operation, times)?;
            let each = total as f64 / (times * parts) as f64;
            println!("{operation:<22} {each:>12.1} {most:>6}");
            // The one call of the function is in the count too, and is not the operation's.
            if each > *most as f64 + 0.05 {
                over.push(format!("{operation} takes {each:.1} instructions, may take {most}"));
            }
        }
    }
    if over.is_empty() {
        return Ok(Outcome::Passed);
    }
    bail!("{}", over.join("; "))
}

/// The instructions of `program` in the function `measured_{function}` for an operation `times`
/// times.
fn count(
    sh: &Shell,
    program: &Path,
    function: &str,
    operation: &str,
    times: u64,
) -> anyhow::Result<u64> {
    // Only what happens below the function is counted, and neither the start of the program nor
    // the choice of a clock.
    let toggle = format!("--toggle-collect=*::measured_{function}*");
    let out = setup::scratch(sh, "callgrind.out")?;
    let file = format!("--callgrind-out-file={}", out.display());
    let n = times.to_string();
    let valgrind = cmd!(
        sh,
        "valgrind --tool=callgrind --collect-atstart=no {toggle} {file} {program} {operation} {n}"
    );
    let valgrind = match operation {
        "disabled" => valgrind.env("GTIMER_DISABLE", "1"),
        _ => valgrind.env_remove("GTIMER_DISABLE"),
    };
    let printed = valgrind.quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&printed.stderr);
    let said = String::from_utf8_lossy(&printed.stdout);
    let (name, status) = (program.display(), printed.status);
    ensure!(status.success(), "{name} {operation}: {status} {said}{text}");
    let total = collected(&text).with_context(|| format!("valgrind said:\n{text}"))?;
    ensure!(total > times, "nothing was counted for {operation}; valgrind said:\n{text}");
    Ok(total)
}

/// A skip, which is a failure where `CI=true`.
pub(crate) fn skipped(why: &str) -> Outcome {
    println!("skipped: {why}");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        return Outcome::Failed;
    }
    Outcome::Skipped
}

/// The number of instructions in what callgrind prints.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.split(':').next_back()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_number_that_callgrind_collected() {
        let text = "==7== Events    : Ir\n==7== Collected : 320017\n==7== \n";
        assert_eq!(collected(text), Some(320_017));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
