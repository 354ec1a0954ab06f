//! The weighted divisions against exhaustive search, and against the laws that hold at any size.

use jobdiv::{Blocks, Job, JobError, Lpt, WeightedBlocks, weights_from_f64};
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

/// Few different values make many ties; some are as large as can be, some are zero.
fn any_weights(max_len: usize) -> impl Strategy<Value = Vec<u64>> {
    let weight = prop_oneof![3 => 0u64..5, 3 => 0u64..1000, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    prop::collection::vec(weight, 0..=max_len)
}

/// Seconds as they are measured, and the whole of what `f64` can hold.
fn any_cost() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![4 => 0.0..1000.0, 1 => POSITIVE | NORMAL | SUBNORMAL | ZERO]
}

fn sum(weights: &[u64]) -> u128 {
    weights.iter().copied().map(u128::from).sum()
}

/// The least bottleneck of any contiguous division, by dynamic programming over all of them.
fn least_contiguous(weights: &[u64], n_jobs: usize) -> u128 {
    let n = weights.len();
    let mut best: Vec<u128> = (0..=n).map(|end| sum(&weights[..end])).collect();
    for _ in 1..n_jobs {
        best = (0..=n)
            .map(|end| {
                (0..=end).map(|cut| best[cut].max(sum(&weights[cut..end]))).min().unwrap_or(0)
            })
            .collect();
    }
    best[n]
}

/// The least bottleneck of any division at all, by trying every one.
fn least_of_all(weights: &[u64], loads: &mut [u128]) -> u128 {
    let Some((&first, rest)) = weights.split_first() else {
        return loads.iter().copied().max().unwrap_or(0);
    };
    let mut least = u128::MAX;
    for idx in 0..loads.len() {
        loads[idx] += u128::from(first);
        least = least.min(least_of_all(rest, loads));
        loads[idx] -= u128::from(first);
    }
    least
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn weighted_blocks_have_the_least_bottleneck(weights in any_weights(24), n_jobs in 1usize..=10) {
        let blocks = WeightedBlocks::new(&weights, n_jobs).unwrap();
        let heaviest = blocks.iter().map(|block| sum(&weights[block])).max().unwrap();
        prop_assert_eq!(heaviest, least_contiguous(&weights, n_jobs));
        prop_assert_eq!(blocks.bottleneck(), heaviest);
    }

    #[test]
    fn weighted_blocks_partition_the_tasks_in_order(weights in any_weights(2_000), n_jobs in 1usize..=64) {
        let blocks = WeightedBlocks::new(&weights, n_jobs).unwrap();
        let mut end = 0;
        for (idx, block) in blocks.iter().enumerate() {
            prop_assert_eq!(block.start, end);
            prop_assert!(sum(&weights[block.clone()]) <= blocks.bottleneck());
            prop_assert!(!block.is_empty() || idx >= weights.len(), "no job idles without need");
            prop_assert!(block.clone().all(|task| blocks.owner_of(task) == Job::new(idx, n_jobs).ok()));
            prop_assert_eq!(blocks.get(idx), Some(block.clone()));
            end = block.end;
        }
        prop_assert_eq!((end, blocks.n_tasks(), blocks.n_jobs()), (weights.len(), weights.len(), n_jobs));
        prop_assert_eq!((blocks.owner_of(end), blocks.get(n_jobs)), (None, None));
    }

    /// Whatever they weigh, zero and the greatest possible weight included.
    #[test]
    fn equal_weights_give_the_unweighted_divisions(
        n_tasks in 0usize..=500, n_jobs in 1usize..=64,
        weight in prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()],
    ) {
        let weights = vec![weight; n_tasks];
        let blocks = WeightedBlocks::new(&weights, n_jobs).unwrap();
        prop_assert!(blocks.iter().eq(Blocks::new(n_tasks, n_jobs).unwrap()));
        let lpt = Lpt::new(&weights, n_jobs).unwrap();
        for (job, tasks) in Job::all(n_jobs).unwrap().zip(lpt.iter()) {
            prop_assert!(job.strided(n_tasks).eq(tasks.iter().copied()));
        }
    }

    #[test]
    fn lpt_partitions_the_tasks(weights in any_weights(2_000), n_jobs in 1usize..=64) {
        let lpt = Lpt::new(&weights, n_jobs).unwrap();
        let mut n_owners = vec![0; weights.len()];
        let mut heaviest = 0;
        for (idx, tasks) in lpt.iter().enumerate() {
            prop_assert!(tasks.is_sorted_by(|a, b| a < b));
            prop_assert!(tasks.iter().all(|&task| lpt.owner_of(task) == Job::new(idx, n_jobs).ok()));
            prop_assert_eq!(lpt.get(idx), Some(tasks));
            tasks.iter().for_each(|&task| n_owners[task] += 1);
            heaviest = heaviest.max(tasks.iter().map(|&task| u128::from(weights[task])).sum());
        }
        prop_assert!(n_owners.iter().all(|&n| n == 1));
        prop_assert_eq!((lpt.bottleneck(), lpt.n_tasks(), lpt.n_jobs()), (heaviest, weights.len(), n_jobs));
        prop_assert_eq!((lpt.owner_of(weights.len()), lpt.get(n_jobs)), (None, None));
    }

    /// The algorithm as it is told: take the heaviest left, give it to the idlest.
    #[test]
    fn lpt_serves_the_idlest_job_with_the_heaviest_task(weights in any_weights(60), n_jobs in 1usize..=80) {
        let mut left: Vec<usize> = (0..weights.len()).collect();
        let mut jobs = vec![(0u128, 0usize, Vec::new()); n_jobs];
        while !left.is_empty() {
            let at = (0..left.len()).rev().max_by_key(|&at| weights[left[at]]).unwrap();
            let task = left.remove(at);
            let job = jobs.iter_mut().min_by_key(|(load, n, _)| (*load, *n)).unwrap();
            *job = (job.0 + u128::from(weights[task]), job.1 + 1, [&job.2[..], &[task]].concat());
        }
        jobs.iter_mut().for_each(|job| job.2.sort_unstable());
        let lpt = Lpt::new(&weights, n_jobs).unwrap();
        prop_assert!(lpt.iter().eq(jobs.iter().map(|job| &job.2[..])));
    }

    /// As integers, a `f64` weight divides as it would as a `u64`.
    #[test]
    fn integers_divide_alike_in_either_type(
        weights in prop::collection::vec(0u32.., 0..200), n_jobs in 1usize..=64,
    ) {
        let integers: Vec<u64> = weights.iter().copied().map(u64::from).collect();
        let floats: Vec<f64> = weights.iter().copied().map(f64::from).collect();
        let scaled = weights_from_f64(&floats).unwrap();
        prop_assert!(
            WeightedBlocks::new(&scaled, n_jobs).unwrap().iter()
                .eq(WeightedBlocks::new(&integers, n_jobs).unwrap().iter())
        );
        prop_assert!(
            Lpt::new(&scaled, n_jobs).unwrap().iter().eq(Lpt::new(&integers, n_jobs).unwrap().iter())
        );
    }

    /// The proportions are kept to `2^-62` of the greatest weight, where `f64` itself has 2^-53.
    #[test]
    fn scaled_weights_keep_their_proportions(
        weights in prop::collection::vec(any_cost(), 1..50),
    ) {
        let greatest = weights.iter().copied().fold(0.0, f64::max);
        prop_assume!(greatest > 0.0);
        let scaled = weights_from_f64(&weights).unwrap();
        let top = scaled.iter().copied().max().unwrap();
        prop_assert!((1 << 62..1 << 63).contains(&top));
        for (weight, scaled) in weights.iter().zip(&scaled) {
            // Both quotients and their difference are rounded to 2^-53; the scaled ones are also
            // rounded to an integer, and so is half a unit of 2^-62 off.
            let off = weight / greatest - *scaled as f64 / top as f64;
            prop_assert!(off.abs() <= 4.0 * f64::EPSILON, "{weight} of {greatest}: off by {off}");
        }
        let mut by_weight: Vec<usize> = (0..weights.len()).collect();
        by_weight.sort_by(|&a, &b| weights[a].total_cmp(&weights[b]));
        prop_assert!(by_weight.is_sorted_by_key(|&task| scaled[task]), "the order is kept");
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Graham's bound, `4/3 - 1/(3 N)`, times `3 N`, so that all is in integers.
    #[test]
    fn lpt_is_within_a_third_of_the_optimum(weights in any_weights(8), n_jobs in 1usize..=4) {
        let least = least_of_all(&weights, &mut vec![0; n_jobs]);
        let lpt = Lpt::new(&weights, n_jobs).unwrap().bottleneck();
        let n = n_jobs as u128;
        prop_assert!(least <= lpt && 3 * n * lpt <= (4 * n - 1) * least, "{lpt} against {least}");
    }
}

/// The case in which the bound is reached: `2 N + 1` tasks of `2 N - 1, 2 N - 1, .., N, N, N`.
#[test]
fn lpt_reaches_its_bound_in_the_known_case() {
    let weights = [5, 5, 4, 4, 3, 3, 3];
    assert_eq!(least_of_all(&weights, &mut [0; 3]), 9);
    assert_eq!(Lpt::new(&weights, 3).unwrap().bottleneck(), 11);
}

#[test]
fn more_jobs_than_can_be_listed_cost_nothing() {
    let weights = [3, 1, 2];
    let blocks = WeightedBlocks::new(&weights, usize::MAX).unwrap();
    assert_eq!(blocks.iter().take(4).collect::<Vec<_>>(), [0..1, 1..2, 2..3, 3..3]);
    assert_eq!(blocks.get(usize::MAX - 1), Some(3..3));
    let lpt = Lpt::new(&weights, usize::MAX).unwrap();
    assert_eq!(lpt.iter().take(4).collect::<Vec<_>>(), [&[0][..], &[2], &[1], &[]]);
    assert_eq!(lpt.get(usize::MAX - 1), Some(&[][..]));
}

#[test]
fn nobody_cannot_be_given_weights() {
    assert_eq!(WeightedBlocks::new(&[1], 0).unwrap_err(), JobError::NoJobs);
    assert_eq!(Lpt::new(&[1], 0).unwrap_err(), JobError::NoJobs);
}
