//! Whether tasks that a library registers are found by a program that does not name them.
//!
//! Linkers leave out what nobody refers to. This program refers to one function of the library, and
//! must find all tasks of it none the less, whatever is optimised:
//!
//! ```text
//! cargo run -p pm-conformance --example registered
//! cargo run -p pm-conformance --example registered --release --config 'profile.release.lto="fat"'
//! ```

#![forbid(unsafe_code)]

use pm_api::backend::tasks;
use pm_api::{PmError, TaskError};

fn do_build(factor: &f64) -> Result<f64, TaskError> {
    Ok(*factor)
}

fn do_execute(factor: &mut f64, values: &[f64]) -> Result<Vec<f64>, TaskError> {
    Ok(values.iter().map(|value| *factor * value).collect())
}

pm_api::task!(SWEEP: build = do_build, execute = do_execute);

#[expect(clippy::print_stdout, reason = "it is a program")]
fn main() -> Result<(), PmError> {
    pm_api::worker_entry()?;
    let n_items = pm_conformance::items().len();
    let names: Vec<&str> = tasks()?.names().collect();
    println!("{n_items} items; {} tasks: {}", names.len(), names.join(", "));
    for name in [
        SWEEP,
        "pm_conformance::square",
        "pm_conformance::parts",
        "pm_conformance::results::LOGARITHM",
        "pm_conformance::recursive_sweep",
    ] {
        assert!(names.contains(&name), "{name} was lost on the way");
    }
    Ok(())
}
