//! A plan is executed without asking for memory, from the first integration on.
#![expect(unsafe_code, reason = "an allocator that counts is the only way to see allocations")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use gmf_api::{GmfKernel, GridRow, Method, ZeroFrequency};
use gmf_cpu::CpuKernel;

thread_local! {
    /// How often this thread asked for memory: the harness's other threads do so at any time.
    static N_ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator with the arguments it came with; the
// count is a constant-initialised thread-local without destructor, so that it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts the allocations of this thread while `work` runs.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = N_ALLOCATIONS.with(Cell::get);
    work();
    N_ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_sees_an_allocation() {
    assert_eq!(allocations_of(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn an_integration_is_searched_without_allocation() {
    for kernel in [CpuKernel::default(), CpuKernel::default().without_skipping()] {
        for method in [Method::Fgmf, Method::Fdpt] {
            for seed in 0..20 {
                let case = gmf_conformance::random_case(seed, method, ZeroFrequency::Sum);
                let mut plan = kernel.plan(&case.derived, &case.options).unwrap();
                let mut row = GridRow::new(case.derived.n_ranges());
                let n_allocations = allocations_of(|| {
                    plan.execute(case.prepared.integration(), row.as_mut()).unwrap();
                });
                assert_eq!(n_allocations, 0, "{method}, seed {seed}");
            }
        }
    }
}
