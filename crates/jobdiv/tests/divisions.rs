//! The laws of the divisions that go by number: strided, contiguous, guided, and by key.

use jobdiv::{Blocks, Guided, Job, JobError, Strides, key_owner};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run; a failing one is printed and needs no file to be seen again.
fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        cases: n,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

const MAX: usize = usize::MAX;

/// Numbers of jobs as they are met: few, more than tasks, and beyond all measure.
fn any_n_jobs() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..=64, 1 => 1usize..=100_000, 1 => 1usize.., 1 => MAX - 100..=MAX]
}

fn any_n_tasks() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0usize..=10_000, 1 => Just(0usize), 1 => any::<usize>(), 1 => MAX - 100..=MAX]
}

fn any_job() -> impl Strategy<Value = Job> {
    any_n_jobs().prop_flat_map(|n| (0..n).prop_map(move |idx| Job::new(idx, n).expect("idx < n")))
}

/// Asserts that each task of `0..n_tasks` comes once, and gives the loads' spread.
fn spread_of_partition(n_tasks: usize, jobs: impl Iterator<Item = Vec<usize>>) -> usize {
    let mut n_owners = vec![0; n_tasks];
    let mut loads = Vec::new();
    for tasks in jobs {
        assert!(tasks.is_sorted_by(|a, b| a < b), "ascending: {tasks:?}");
        loads.push(tasks.len());
        tasks.into_iter().for_each(|task| n_owners[task] += 1);
    }
    assert!(n_owners.iter().all(|&n| n == 1), "each task has one owner");
    loads.iter().max().expect("a job") - loads.iter().min().expect("a job")
}

/// All of `N` in 1..=64 and `n_tasks` in 0..=10^4: the sizes, starts and ends fit together.
#[test]
fn closed_forms_partition_every_small_run() {
    for n_jobs in 1..=64 {
        for n_tasks in 0..=10_000 {
            let (mut n_strided, mut end) = (0, 0);
            for job in Job::all(n_jobs).unwrap() {
                let (strided, block) = (job.strided(n_tasks), job.block(n_tasks));
                n_strided += strided.len();
                assert!([n_tasks / n_jobs, n_tasks.div_ceil(n_jobs)].contains(&strided.len()));
                assert!([n_tasks / n_jobs, n_tasks.div_ceil(n_jobs)].contains(&block.len()));
                assert_eq!(block.start, end, "blocks follow one another");
                let start = job.idx() * (n_tasks / n_jobs) + job.idx().min(n_tasks % n_jobs);
                assert_eq!(block.start, start, "the closed form");
                end = block.end;
                if let Some(last) = strided.last() {
                    assert!(last < n_tasks && last % n_jobs == job.idx());
                }
            }
            assert_eq!((n_strided, end), (n_tasks, n_tasks), "{n_tasks} tasks, {n_jobs} jobs");
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn jobs_partition_the_tasks_evenly(n_jobs in 1usize..=64, n_tasks in 0usize..=10_000) {
        let jobs = || Job::all(n_jobs).unwrap();
        prop_assert!(spread_of_partition(n_tasks, jobs().map(|job| job.strided(n_tasks).collect())) <= 1);
        prop_assert!(spread_of_partition(n_tasks, jobs().map(|job| job.block(n_tasks).collect())) <= 1);
        prop_assert!(jobs().all(|job| job.tasks(n_tasks).eq(job.strided(n_tasks))));
    }

    /// Both ways: the owner has the task, and what a job has it owns.
    #[test]
    fn owner_of_is_the_inverse(n_jobs in 1usize..=64, n_tasks in 0usize..=2_000) {
        let strides = Strides::new(n_tasks, n_jobs).unwrap();
        let blocks = Blocks::new(n_tasks, n_jobs).unwrap();
        for job in Job::all(n_jobs).unwrap() {
            prop_assert!(strides.get(job.idx()).unwrap().all(|task| strides.owner_of(task) == Some(job)));
            prop_assert!(blocks.get(job.idx()).unwrap().all(|task| blocks.owner_of(task) == Some(job)));
        }
        prop_assert_eq!((strides.owner_of(n_tasks), blocks.owner_of(n_tasks)), (None, None));
        prop_assert_eq!((strides.get(n_jobs).is_none(), blocks.get(n_jobs)), (true, None));
    }

    /// Without visiting the tasks, so up to `usize::MAX` tasks and jobs.
    #[test]
    fn owner_of_is_the_inverse_at_any_size(
        n_tasks in any_n_tasks(), n_jobs in any_n_jobs(), pick in any::<prop::sample::Index>(),
    ) {
        prop_assume!(n_tasks > 0);
        for task in [0, n_tasks - 1, n_tasks / 2, pick.index(n_tasks)] {
            let owner = Blocks::new(n_tasks, n_jobs).unwrap().owner_of(task).unwrap();
            prop_assert!(owner.block(n_tasks).contains(&task));
            let owner = Strides::new(n_tasks, n_jobs).unwrap().owner_of(task).unwrap();
            let nth = (task - owner.idx()) / n_jobs;
            prop_assert_eq!(owner.strided(n_tasks).nth(nth), Some(task));
        }
    }

    #[test]
    fn neighbouring_blocks_touch_at_any_size(n_tasks in any_n_tasks(), job in any_job()) {
        let block = job.block(n_tasks);
        let before = job.idx().checked_sub(1).map(|idx| Job::new(idx, job.n_jobs()).unwrap());
        prop_assert_eq!(block.start, before.map_or(0, |job| job.block(n_tasks).end));
        let after = Job::new(job.idx().saturating_add(1), job.n_jobs()).ok();
        prop_assert_eq!(block.end, after.map_or(n_tasks, |job| job.block(n_tasks).start));
        prop_assert!(block.len() == n_tasks / job.n_jobs() || block.len() == n_tasks.div_ceil(job.n_jobs()));
    }

    /// The whole iterator in `u128`, where nothing can wrap.
    #[test]
    fn strided_is_an_arithmetic_progression_at_any_size(
        n_tasks in any_n_tasks(), job in any_job(), pick in any::<prop::sample::Index>(),
    ) {
        let (idx, n, end) = (job.idx() as u128, job.n_jobs() as u128, n_tasks as u128);
        let len = if idx < end { (end - idx - 1) / n + 1 } else { 0 };
        let tasks = job.strided(n_tasks);
        prop_assert_eq!(tasks.len() as u128, len);
        prop_assert_eq!(tasks.clone().count() as u128, len);
        prop_assert_eq!(tasks.clone().nth(tasks.len()), None);
        prop_assert_eq!(tasks.clone().nth_back(tasks.len()), None);
        if len > 0 {
            let k = pick.index(tasks.len());
            let expected = usize::try_from(idx + k as u128 * n).unwrap();
            let mut front = tasks.clone();
            prop_assert_eq!(front.nth(k), Some(expected));
            prop_assert_eq!(front.len(), tasks.len() - k - 1);
            prop_assert_eq!(tasks.clone().nth_back(tasks.len() - 1 - k), Some(expected));
            let last = usize::try_from(idx + (len - 1) * n).unwrap();
            prop_assert_eq!(tasks.last(), Some(last));
        }
    }

    /// Steps of any width from either end give what single steps from the front give.
    #[test]
    fn iterators_agree_with_their_list(
        n_tasks in 0usize..200, job in any_job(),
        steps in prop::collection::vec((any::<bool>(), 0usize..4), 0..60),
    ) {
        let mut ours = job.strided(n_tasks);
        let mut list = (0..n_tasks).skip(job.idx()).step_by(job.n_jobs()).collect::<Vec<_>>().into_iter();
        let mut blocks = Blocks::new(n_tasks, job.n_jobs().min(50)).unwrap().iter();
        let mut block_list = blocks.clone().collect::<Vec<_>>().into_iter();
        for (from_back, width) in steps {
            if from_back {
                prop_assert_eq!(ours.nth_back(width), list.nth_back(width));
                prop_assert_eq!(blocks.nth_back(width), block_list.nth_back(width));
            } else {
                prop_assert_eq!(ours.nth(width), list.nth(width));
                prop_assert_eq!(blocks.nth(width), block_list.nth(width));
            }
            prop_assert_eq!(ours.size_hint(), list.size_hint());
            prop_assert_eq!(blocks.size_hint(), block_list.size_hint());
        }
    }

    #[test]
    fn parts_of_a_job_partition_its_strided_tasks(
        n_jobs in 1usize..=20, n_parts in 1usize..=20, n_tasks in 0usize..=3_000, idx in 0usize..20,
    ) {
        let job = Job::new(idx % n_jobs, n_jobs).unwrap();
        let own: Vec<usize> = job.tasks(n_tasks).collect();
        let parts = Job::all(n_parts).unwrap().map(|sub| job.divide(sub).unwrap());
        // As positions in the job's own list, so that they too must be 0..len, once each.
        let positions = parts.map(|part| {
            part.tasks(n_tasks).map(|task| own.binary_search(&task).unwrap()).collect::<Vec<_>>()
        });
        prop_assert!(spread_of_partition(own.len(), positions) <= 1);
    }

    /// And the blocks of all blocks differ by one at most.
    #[test]
    fn parts_of_a_block_partition_it_in_order(
        n_jobs in 1usize..=20, n_parts in 1usize..=20, n_tasks in 0usize..=3_000,
    ) {
        let (mut end, mut lens) = (0, Vec::new());
        for job in Job::all(n_jobs).unwrap() {
            for sub in Job::all(n_parts).unwrap() {
                let part = sub.block_of(job.block(n_tasks));
                prop_assert_eq!(part.start, end);
                prop_assert_eq!(
                    Blocks::of(job.block(n_tasks), n_parts).unwrap().get(sub.idx()), Some(part.clone())
                );
                lens.push(part.len());
                end = part.end;
            }
        }
        prop_assert_eq!(end, n_tasks);
        prop_assert!(lens.iter().max().unwrap() - lens.iter().min().unwrap() <= 1);
    }

    #[test]
    fn blocks_of_a_range_own_its_tasks_and_no_others(
        start in 0usize..50, len in 0usize..200, n_jobs in 1usize..=64,
    ) {
        let blocks = Blocks::of(start..start + len, n_jobs).unwrap();
        for task in 0..start + len + 10 {
            let owner = blocks.owner_of(task);
            let holder = Job::all(n_jobs).unwrap().find(|job| blocks.get(job.idx()).unwrap().contains(&task));
            prop_assert_eq!(owner, holder);
        }
    }

    #[test]
    fn two_levels_number_all_pairs(n_jobs in 1usize..=20, n_ranks in 1usize..=20) {
        let pairs = Job::all(n_jobs).unwrap().flat_map(|job| {
            Job::all(n_ranks).unwrap().map(move |rank| job.two_level(rank).unwrap())
        });
        prop_assert!(pairs.eq(Job::all(n_jobs * n_ranks).unwrap()));
    }

    #[test]
    fn division_again_is_exact_or_refused(job in any_job(), sub in any_job()) {
        let n = job.n_jobs() as u128 * sub.n_jobs() as u128;
        for (divided, idx) in [
            (job.divide(sub), job.idx() as u128 + job.n_jobs() as u128 * sub.idx() as u128),
            (job.two_level(sub), job.idx() as u128 * sub.n_jobs() as u128 + sub.idx() as u128),
        ] {
            match divided {
                Ok(part) => prop_assert_eq!((part.idx() as u128, part.n_jobs() as u128), (idx, n)),
                Err(error) => {
                    prop_assert!(n > MAX as u128);
                    let (n_jobs, n_parts) = (job.n_jobs(), sub.n_jobs());
                    prop_assert_eq!(error, JobError::TooMany { n_jobs, n_parts });
                }
            }
        }
    }

    /// Against the definition; the sizes also never grow and the hint is never wrong.
    #[test]
    fn guided_chunks_cover_the_run_exactly(
        n_tasks in prop_oneof![0usize..=10_000, MAX - 100..=MAX],
        n_workers in 1usize..=64, min_chunk in 0usize..=100,
    ) {
        let mut chunks = Guided::new(n_tasks, n_workers, min_chunk).unwrap();
        let (mut end, mut n_chunks, mut before) = (0, 0, MAX);
        let (at_least, at_most) = chunks.size_hint();
        for chunk in chunks.by_ref() {
            let left = n_tasks - end;
            let expected = left.div_ceil(2 * n_workers).max(min_chunk).max(1).min(left);
            prop_assert_eq!((chunk.start, chunk.len()), (end, expected));
            prop_assert!(!chunk.is_empty() && chunk.len() <= before);
            (end, before) = (chunk.end, chunk.len());
            n_chunks += 1;
        }
        prop_assert_eq!(end, n_tasks);
        prop_assert!(at_least <= n_chunks && n_chunks <= at_most.unwrap());
        prop_assert_eq!((chunks.next(), chunks.size_hint()), (None, (0, Some(0))));
    }

    #[test]
    fn guided_chunks_are_single_tasks_when_workers_abound(
        n_tasks in 0usize..100, n_workers in prop_oneof![MAX - 100..=MAX, MAX / 2 - 5..=MAX / 2 + 5],
    ) {
        let chunks = Guided::new(n_tasks, n_workers, 0).unwrap();
        prop_assert!(chunks.eq((0..n_tasks).map(|task| task..task + 1)));
    }

    /// A task keeps its job whatever else there is: nothing but the key and `N` goes in.
    #[test]
    fn a_key_has_one_owner(key in prop::collection::vec(any::<u8>(), 0..40), n_jobs in 1usize..=64) {
        let owner = key_owner(&key, n_jobs).unwrap();
        let owners = Job::all(n_jobs).unwrap().filter(|job| job.owns_key(&key));
        prop_assert_eq!(owners.collect::<Vec<_>>(), [owner]);
        prop_assert!(key_owner(&key, MAX).is_ok());
    }
}

/// Loads of 64 jobs over 64,000 keys that differ in their digits only. The load of a job is
/// binomial with mean 1000 and standard deviation 31.4; six of them are passed by chance in one
/// of 10^7 such runs.
#[test]
fn keys_spread_evenly() {
    let mut loads = [0i32; 64];
    for i in 0..64_000 {
        loads[key_owner(format!("2021-04-12/{i}").as_bytes(), 64).unwrap().idx()] += 1;
    }
    assert!(loads.iter().all(|load| (load - 1000).abs() < 6 * 32), "{loads:?}");
}

/// These must not change from one version to the next, as two versions may run at once. The numbers
/// come from the same formula written in Python.
#[test]
fn owners_of_keys_are_fixed_for_ever() {
    let owners =
        ["", "a", "rx0.h5", "rx1.h5"].map(|key| key_owner(key.as_bytes(), 1000).unwrap().idx());
    assert_eq!(owners, [936, 510, 636, 440]);
}

#[test]
fn nobody_cannot_be_given_tasks() {
    assert_eq!(Job::all(0).unwrap_err(), JobError::NoJobs);
    assert_eq!(Strides::new(3, 0).unwrap_err(), JobError::NoJobs);
    assert_eq!(Blocks::new(3, 0).unwrap_err(), JobError::NoJobs);
    assert_eq!(Guided::new(3, 0, 1).unwrap_err(), JobError::NoJobs);
    assert_eq!(key_owner(b"a", 0).unwrap_err(), JobError::NoJobs);
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    #[expect(clippy::reversed_empty_ranges, reason = "it is the case to be tested")]
    let backwards = 7..3;
    assert_eq!(Job::new(1, 2).unwrap().block_of(backwards.clone()), 7..7);
    assert_eq!(Blocks::of(backwards.clone(), 2).unwrap().owner_of(5), None);
    assert_eq!(Guided::of(backwards, 2, 1).unwrap().next(), None);
}
