//! Searches that take every way through the unsafe code, few enough to be watched by valgrind.

use gmf_api::{GmfKernel, GridRow, Method, ReferencePlan, ZeroFrequency};
use gmf_cpu::{CpuKernel, Level};

#[test]
fn every_level_reads_and_writes_what_is_its_own() {
    for level in Level::ALL {
        if !level.is_available() {
            println!("skipped: {level} (this processor does not have it)");
            continue;
        }
        let kernel = CpuKernel::new(2).unwrap().at_level(level).unwrap();
        for kernel in [kernel.clone(), kernel.without_skipping()] {
            for seed in 0..6 {
                for method in [Method::Fgmf, Method::Fdpt] {
                    let case = gmf_conformance::random_case(
                        seed,
                        method,
                        ZeroFrequency::FirstAcceleration,
                    );
                    let mut plan = kernel.plan(&case.derived, &case.options).unwrap();
                    let mut row = GridRow::new(case.derived.n_ranges());
                    plan.execute(case.prepared.integration(), row.as_mut()).unwrap();
                    let mut reference = ReferencePlan::new(&case.derived, &case.options);
                    let mismatches = reference.compare(case.prepared.integration(), &row).unwrap();
                    assert!(mismatches.is_empty(), "{level}, seed {seed}: {}", mismatches[0]);
                }
            }
        }
    }
}
