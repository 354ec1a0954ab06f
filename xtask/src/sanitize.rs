//! The tests of the crates that have unsafe code, where memory is watched.

use xshell::{Shell, cmd};

use crate::instructions::skipped;
use crate::packages::root;
use crate::setup;
use crate::steps::{Outcome, step};

/// The packages with unsafe code that writes memory.
const PACKAGES: [&str; 1] = ["gtimer-core"];

/// The target that the sanitizer is asked for. Naming one keeps its flags from build scripts and
/// procedural macros, which run inside a compiler that is not watched.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Random tests take many times longer where memory is watched, so they try fewer cases.
const CASES: &str = "32";

/// Watched frames are several times larger, and some tests go as deep as trees may be, in bytes.
const STACK: &str = "67108864";

/// Runs the tests of every package with unsafe code under AddressSanitizer and under valgrind.
pub(crate) fn sanitize(sh: &Shell) -> anyhow::Result<Outcome> {
    let select = PACKAGES.map(|name| ["-p", name]).concat();
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
        step("AddressSanitizer", || {
            let tests = cmd!(sh, "rustup run nightly cargo test --lib --tests").args(&select);
            Ok(tests
                .args(["--target", TARGET])
                .env("RUSTFLAGS", "-Zsanitizer=address")
                .env("CARGO_TARGET_DIR", root().join("target/sanitize"))
                .env("PROPTEST_CASES", CASES)
                .env("RUST_MIN_STACK", STACK)
                .run()?)
        })?;
    }

    if setup::has_valgrind(sh) {
        step("valgrind", || {
            let tests = cmd!(sh, "cargo test --lib --tests").args(&select);
            Ok(tests
                .args(["--target", TARGET])
                .env(
                    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                    "valgrind --quiet --error-exitcode=99 --trace-children=no --fair-sched=yes",
                )
                .env("PROPTEST_CASES", CASES)
                .env("RUST_MIN_STACK", STACK)
                .run()?)
        })?;
    } else {
        skip("no valgrind (cargo xtask setup installs it)");
    }
    Ok(outcome)
}
