//! The tests of the crates that have unsafe code, where memory is watched.

use xshell::{Shell, cmd};

use crate::instructions::skipped;
use crate::packages::root;
use crate::setup;
use crate::steps::{Outcome, step};

/// A package with unsafe code that writes memory, and which of its tests run where it is watched.
struct Watched {
    package: &'static str,
    /// Under AddressSanitizer.
    asan: &'static [&'static str],
    /// Under valgrind, which is slower, and does not follow a program into another.
    valgrind: &'static [&'static str],
    /// Tests that are left out under valgrind.
    skip: &'static [&'static str],
}

/// Loom switches stacks by itself, which neither tool can follow; the tests of worker processes by
/// other processes measure how fast they end.
const WATCHED: [Watched; 4] = [
    Watched {
        package: "gtimer-core",
        asan: &["--lib", "--tests"],
        valgrind: &["--lib", "--tests"],
        skip: &[],
    },
    Watched {
        package: "shm-times",
        asan: &[
            "--lib",
            "--test=sharing",
            "--test=processes",
            "--test=engine",
            "--test=hostile",
            "--test=random",
            "--test=histograms",
        ],
        valgrind: &["--lib", "--test=sharing", "--test=hostile", "--test=random"],
        skip: &[],
    },
    Watched {
        package: "gmf-cpu",
        asan: &["--lib", "--tests"],
        // At the level AVX2, because valgrind does not know AVX-512.
        valgrind: &["--lib", "--test=watched"],
        skip: &[],
    },
    Watched {
        package: "worker-process",
        asan: &["--lib"],
        valgrind: &["--lib"],
        skip: &["--", "--skip=every_interleaving"],
    },
];

/// The target that the sanitizer is asked for. Naming one keeps its flags from build scripts and
/// procedural macros, which run inside a compiler that is not watched.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Random tests take many times longer where memory is watched, so they try fewer cases.
const CASES: &str = "32";

/// So does the test of threads by the thousand.
const THREADS: &str = "100";

/// Watched frames are several times larger, and some tests go as deep as trees may be, in bytes.
const STACK: &str = "67108864";

/// Runs the tests of every package with unsafe code under AddressSanitizer and under valgrind.
pub(crate) fn sanitize(sh: &Shell) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Passed;
    let mut skip = |why: &str| {
        if skipped(why) == Outcome::Failed || outcome == Outcome::Failed {
            outcome = Outcome::Failed;
        } else {
            outcome = Outcome::Skipped;
        }
    };

    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        skip("AddressSanitizer is run on x86_64 Linux only");
    } else if cmd!(sh, "rustup run nightly rustc -V").quiet().ignore_stderr().read().is_err() {
        skip("no nightly toolchain for AddressSanitizer (rustup toolchain install nightly)");
    } else {
        for Watched { package, asan, .. } in WATCHED {
            step(&format!("AddressSanitizer: {package}"), || {
                let tests = cmd!(sh, "rustup run nightly cargo test -p {package}").args(asan);
                Ok(tests
                    .args(["--target", TARGET])
                    .env("RUSTFLAGS", "-Zsanitizer=address")
                    // What processes share stays mapped until they end, so it is never given back.
                    .env("ASAN_OPTIONS", "detect_leaks=0")
                    .env("CARGO_TARGET_DIR", root().join("target/sanitize"))
                    .env("PROPTEST_CASES", CASES)
                    .env("RUST_MIN_STACK", STACK)
                    .run()?)
            })?;
        }
    }

    if setup::has_valgrind(sh) {
        for Watched { package, valgrind, skip, .. } in WATCHED {
            step(&format!("valgrind: {package}"), || {
                let tests = cmd!(sh, "cargo test -p {package}").args(valgrind);
                Ok(tests
                    .args(["--target", TARGET])
                    .args(skip)
                    .env(
                        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                        "valgrind --quiet --error-exitcode=99 --trace-children=no --fair-sched=yes",
                    )
                    .env("PROPTEST_CASES", CASES)
                    .env("POLYCHRON_MANY_THREADS", THREADS)
                    .env("RUST_MIN_STACK", STACK)
                    .run()?)
            })?;
        }
    } else {
        skip("no valgrind (cargo xtask setup installs it)");
    }
    Ok(outcome)
}
