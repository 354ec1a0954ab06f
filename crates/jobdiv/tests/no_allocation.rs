//! Dividing costs no memory, whatever the number of tasks and jobs.
#![expect(unsafe_code, reason = "an allocator that counts is the only way to see allocations")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use jobdiv::{Blocks, Guided, Job, Strides};

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

const N_TASKS: usize = 1_000_000_000_000;
const N_JOBS: usize = 1_000_000;

#[test]
fn the_counter_sees_an_allocation() {
    assert_eq!(allocations_of(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_million_jobs_divide_a_million_million_tasks_without_allocation() {
    let (mut n_strided, mut n_in_blocks) = (0, 0);
    let n_allocations = allocations_of(|| {
        for job in Job::all(N_JOBS).unwrap() {
            let (mut tasks, block) = (job.strided(N_TASKS), job.block(N_TASKS));
            n_strided += tasks.len();
            n_in_blocks += block.len();
            assert_eq!(tasks.nth(777_777), Some(job.idx() + 777_777 * N_JOBS));
            assert_eq!(tasks.next_back(), Some(job.idx() + 999_999 * N_JOBS));
            let part = job.divide(Job::new(3, 1000).unwrap()).unwrap();
            assert_eq!(part.tasks(N_TASKS).len(), 1000);
        }
        let (strides, blocks) =
            (Strides::new(N_TASKS, N_JOBS).unwrap(), Blocks::new(N_TASKS, N_JOBS).unwrap());
        for task in (0..N_TASKS).step_by(999_999_937) {
            assert_eq!(strides.owner_of(task).map(Job::idx), Some(task % N_JOBS));
            assert_eq!(blocks.owner_of(task).map(Job::idx), Some(task / N_JOBS));
        }
        assert_eq!(blocks.iter().nth(N_JOBS - 1).map(|block| block.end), Some(N_TASKS));
    });
    assert_eq!((n_strided, n_in_blocks), (N_TASKS, N_TASKS));
    assert_eq!(n_allocations, 0);
}

#[test]
fn guided_chunks_of_a_million_million_tasks_take_no_memory() {
    let mut n_tasks = 0;
    let n_allocations = allocations_of(|| {
        n_tasks = Guided::new(N_TASKS, 16, 1).unwrap().map(|chunk| chunk.len()).sum();
    });
    assert_eq!(n_tasks, N_TASKS);
    assert_eq!(n_allocations, 0);
}
