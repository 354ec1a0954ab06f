//! The CPU kernel keeps the promises of every kernel, on one thread and on several.

use std::sync::Arc;

use gmf_api::{GmfKernel, GridRow, Method, ZeroFrequency};
use gmf_cpu::CpuKernel;

#[test]
fn one_thread_keeps_the_promises() {
    gmf_conformance::check_all(&CpuKernel::default());
}

#[test]
fn three_threads_keep_the_promises() {
    gmf_conformance::check_all(&CpuKernel::new(3).expect("threads start"));
}

/// Gates are independent, so how they are divided among threads cannot be seen in the result.
#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    for method in [Method::Fgmf, Method::Fdpt] {
        let case = gmf_conformance::random_case(8, method, ZeroFrequency::Sum);
        let rows: Vec<GridRow> = [1, 2, 3, 7, 64]
            .into_iter()
            .map(|threads| {
                let kernel = CpuKernel::new(threads).unwrap();
                let mut plan = kernel.plan(&Arc::clone(&case.derived), &case.options).unwrap();
                let mut row = GridRow::new(case.derived.n_ranges());
                plan.execute(case.prepared.integration(), row.as_mut()).unwrap();
                row
            })
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{method}");
    }
}
