//! The real gtimer and the timer run the same random programs: the same trees, refusals, return
//! values and printed texts.

#[path = "../../crates/gtimer-core/tests/recorded/mod.rs"]
mod recorded;

use std::fs;

use polychron_tests::{require_python, run_python, temp_dir};

#[test]
fn random_programs_give_what_gtimer_gives() {
    let python = require_python!();
    let dir = temp_dir();
    let folder = dir.path().to_str().expect("is UTF-8");
    run_python(&python, "gtimer_runs.py", [folder, "1", "1500"]);
    let mut n_runs = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let (id, faults) = recorded::check::replay(&text).unwrap();
        assert!(faults.is_empty(), "{id}:\n{}\n{text}", faults.join("\n"));
        n_runs += 1;
    }
    assert!(n_runs > 1000, "gtimer got through {n_runs} programs only");
}
