//! The study `gmf`: how fast is one search of the grid, beside hardtarget's?
//!
//! An integration of ten periods is 0.2 s of recording, so a search that takes longer on one core
//! cannot follow the radar. Lengths, scenes and engines are the tables below.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use polychron_bench::radar::{Length, Scene, Search};
use polychron_bench::study::{self, Measure, Results, Study};

mod ours;
mod peers;

/// Points, period, periods, offset, decimation and delay of each integration.
const LENGTHS: [Length; 5] = [
    length(20_000, 20_000, 10, 0, 10, 5),
    length(12_500, 20_000, 10, 0, 16, 5),
    length(10_000, 20_000, 5, 0, 10, 2),
    length(22_000, 20_000, 10, 1, 10, 5),
    // 19990 is 10 x 1999, and 1999 is prime.
    length(19_990, 19_990, 10, 0, 10, 5),
];

const SCENES: [Scene; 4] = [Scene::Noise, Scene::Strong, Scene::Many, Scene::Zeros];

const fn length(
    points: usize,
    ipp_us: u64,
    n_ipp: usize,
    ipp_offset: usize,
    decimation: usize,
    delay: usize,
) -> Length {
    Length { points, ipp_us, n_ipp, ipp_offset, decimation, delay }
}

const METHOD: &str = "\
Every engine searches the same integration: 480 gates, and the accelerations from -300 to \
300 m/s² (19, or 5 where only five periods are integrated), for all range rates.\n\
The samples are simulated (EISCAT's `leo_bpark` code at 929.6 MHz and 1 MHz), cut and scaled once, \
and given to peers in files; reading them is not timed, nor is what an engine plans once for a \
search.\n\
Answers are judged by the reference in double precision on every 24th gate, on the strongest, and \
on every gate in which two engines differ: values within 1e-5, the zero-frequency term within 1e-4 \
by the definition that the engine has, other indices only where they tie.\n\
Peers are long-lived processes that are asked through pipes; they take the time of their own \
thread around the call that searches.\n";

/// What a record of this machine means for a radar.
fn notes(results: &Results, _: &std::path::Path) -> Vec<String> {
    let mut lines = Vec::new();
    for engine in results.engines.iter().filter(|engine| engine.group == "fgmf") {
        let time = results.time("n20000-noise", &engine.name, results.about.measure);
        if let Some(time) = time {
            lines.push(format!(
                "An integration of `n20000` is 200 ms of recording: on one core `{}` is {} times \
                 as fast as the radar records (noise).",
                engine.name,
                study::report::three_digits(0.2 / time.median)
            ));
        }
    }
    lines
}

fn study() -> Study<Search> {
    let workloads = LENGTHS
        .into_iter()
        .flat_map(|length| SCENES.map(|scene| Search { length, scene }))
        .collect();
    let mut entrants = ours::entrants();
    entrants.extend(peers::entrants());
    Study {
        name: "gmf",
        title: "One search of the grid",
        question: "How long does one search of range, range rate and acceleration take on one core, \
                   by our kernels and by hardtarget's?",
        unit: "per integration",
        measure: Measure::Cpu,
        method: METHOD,
        entrants,
        workloads,
        rounds: (9, 6),
        notes,
    }
}

fn main() -> ExitCode {
    study::main(study)
}
