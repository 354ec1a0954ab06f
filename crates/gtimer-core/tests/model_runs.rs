//! The model of gtimer gives what gtimer gave, so that it may judge the timer.

mod model;
mod recorded;

use std::path::Path;

use model::Model;
use recorded::driver::{Machine, run};
use recorded::program::parse;

/// Tree, snapshots, returned values and refusals of every recorded run.
#[test]
fn the_model_does_what_gtimer_did() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gtimer");
    let mut runs = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        let recorded = parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut model = Model::recorded();
        let outcome = run(&mut model, &recorded.steps);
        let mut faults = outcome.faults;
        let last = Model::tree(&model.times());
        recorded.last.differences(&last, "final", &mut faults);
        assert_eq!(recorded.snapshots, outcome.snapshots);
        assert!(faults.is_empty(), "{}:\n{}", recorded.id, faults.join("\n"));
        runs += 1;
    }
    assert!(runs >= 5, "only {runs} recorded runs were found");
}
