//! Replays recorded runs of gtimer: `cargo run -p gtimer-core --example replay -- FILE…`
//!
//! Each file is one run in the JSON format that `tests/data/gtimer/README.md` of the workspace
//! describes: operations, and what came of them in gtimer 1.0.0b5. They are done on the timer,
//! with a clock that moves only when told, and everything is compared: the tree, the snapshots,
//! the returned values, the refusals, the outline and the printed texts. What differs is printed
//! with its place. The last line counts: `N passed, M failed`, and the exit code is 1 when any
//! failed; a file that cannot be read or is no such run has failed.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command line program reports to its user")]

use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/recorded/mod.rs"]
mod recorded;

use recorded::check::replay;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        println!("no files were given: replay FILE…");
        return ExitCode::from(2);
    }
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        let path = Path::new(file);
        let name = path.display();
        match read(path) {
            Ok(faults) if faults.is_empty() => {
                println!("{name}: passed");
                passed += 1;
            }
            Ok(faults) => {
                println!("{name}: failed");
                faults.iter().for_each(|fault| println!("  {fault}"));
                failed += 1;
            }
            Err(why) => {
                println!("{name}: failed: {why}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

fn read(path: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("could not be read: {e}"))?;
    replay(&text).map(|(_, faults)| faults)
}
