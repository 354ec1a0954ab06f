//! Reductions: order, bits, operations.

use pm_api::{
    And, Max, Min, Or, PeersError, PeersExt as _, Prod, Scatter as _, Spmd, Sum, TaskError, Worker,
    Xor, reduce_in_index_order,
};

use crate::Setup;
use crate::messages::{bits, same_error};

/// Numbers whose sum depends on the order.
pub(crate) fn rough(i: usize) -> f64 {
    let z = pm_api::seed(3, i);
    (z >> 11) as f64 * f64::powi(2.0, (z % 80) as i32 - 90) * if z & 64 == 0 { 1.0 } else { -1.0 }
}

pub(crate) fn c10(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    // Rank by rank: what all ranks have, in their order.
    for n in [0, 1, 2, 1023, 1025, 100_003, 1_000_000] {
        let own = |rank: usize| (0..n).map(|i| rough(rank * n + i)).collect::<Vec<f64>>();
        let mut sums = own(rank);
        peers.all_reduce(&mut sums, Sum)?;
        let mut expected = own(0);
        for rank in 1..size {
            expected.iter_mut().zip(own(rank)).for_each(|(a, b)| *a += b);
        }
        assert!(bits(&sums) == bits(&expected), "{n} sums over {size} ranks");
        let mut at_root = own(rank);
        peers.reduce(size - 1, &mut at_root, Sum)?;
        let expected = if rank == size - 1 { expected } else { own(rank) };
        assert!(bits(&at_root) == bits(&expected), "{n} sums at the root");
    }
    // Index by index: the same for every number of ranks and every division.
    for n in [0, 1, 2, 3, 7, 64, 1000, 100_000] {
        let all: Vec<f64> = (0..n).map(rough).collect();
        let expected = reduce_in_index_order(all.clone(), |a, b| a + b).unwrap_or(-0.0);
        let even = |rank: usize| n * rank / size;
        let skewed = |rank: usize| if rank == 0 { 0 } else { n - (n >> (rank * 2)) };
        for cut in [&even as &dyn Fn(usize) -> usize, &skewed] {
            let end = if rank + 1 == size { n } else { cut(rank + 1) };
            let local = &all[cut(rank)..end];
            let sum = peers.all_reduce_indexed(local, Sum)?;
            assert_eq!(sum.to_bits(), expected.to_bits(), "{n} numbers over {size} ranks");
            let twice: Vec<f64> = local.iter().flat_map(|x| [*x, 2.0 * x]).collect();
            let sums = peers.all_reduce_rows(&twice, 2, Sum)?;
            assert_eq!(bits(&sums), bits(&[expected, if n == 0 { -0.0 } else { 2.0 * expected }]));
        }
    }
    let ragged = vec![1.0; if rank == size - 1 { 3 } else { 4 }];
    let error = peers.all_reduce_rows(&ragged, 2, Sum).unwrap_err();
    same_error(peers, &error)?;
    let mut wraps = [u64::MAX, 1 << 63];
    peers.all_reduce(&mut wraps, Sum)?;
    let n = size as u64;
    assert_eq!(wraps, [n.wrapping_neg(), if size.is_multiple_of(2) { 0 } else { 1 << 63 }]);
    Ok(())
}

pub(crate) fn c11(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    let last = rank == size - 1;
    // Short ones and such as are divided among the ranks.
    for n in [1, 5000] {
        let numbers =
            [rank as f64, if last { f64::NAN } else { 1.0 }, if last { -0.0 } else { 0.0 }];
        let reduce = |min: bool| -> Result<[f64; 3], PeersError> {
            let mut all = numbers.repeat(n);
            if min {
                peers.all_reduce(&mut all, Min)?;
            } else {
                peers.all_reduce(&mut all, Max)?;
            }
            assert!(all.chunks_exact(3).all(|three| bits(three) == bits(&all[..3])));
            Ok([all[0], all[1], all[2]])
        };
        let top = (size - 1) as f64;
        assert_eq!(bits(&reduce(true)?), bits(&[0.0, f64::NAN, -0.0]));
        assert_eq!(
            bits(&reduce(false)?),
            bits(&[top, f64::NAN, if size == 1 { -0.0 } else { 0.0 }])
        );
        let check = |all: Vec<i32>, expected: i32| assert!(all.iter().all(|x| *x == expected));
        let own = vec![rank as i32 + 2; n];
        let all = || (0..size as i32).map(|rank| rank + 2);
        let mut of = own.clone();
        peers.all_reduce(&mut of, Prod)?;
        check(of, all().product());
        let mut of = own.clone();
        peers.all_reduce(&mut of, And)?;
        check(of, all().fold(-1, |a, b| a & b));
        let mut of = own.clone();
        peers.all_reduce(&mut of, Or)?;
        check(of, all().fold(0, |a, b| a | b));
        let mut of = own;
        peers.all_reduce(&mut of, Xor)?;
        check(of, all().fold(0, |a, b| a ^ b));
    }
    Ok(())
}

/// 2 x 2 matrices of whole numbers, which do not commute.
fn times(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    let at = |i: usize, j: usize| {
        a[2 * i].wrapping_mul(b[j]).wrapping_add(a[2 * i + 1].wrapping_mul(b[2 + j]))
    };
    [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]
}

pub(crate) fn c12(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    let matrix = |rank: usize, i: usize| [rank as u64 + 2, i as u64, 1, rank as u64];
    for n in [1, 7, 3000] {
        let mut product: Vec<[u64; 4]> = (0..n).map(|i| matrix(rank, i)).collect();
        peers.all_reduce_by(&mut product, times)?;
        for (i, product) in product.iter().enumerate() {
            assert_eq!(Some(*product), (0..size).map(|rank| matrix(rank, i)).reduce(times));
        }
    }
    let word = |rank: usize| format!("<{rank}>");
    let joined = peers.all_reduce_value(&word(rank), |a, b| a + &b)?;
    assert_eq!(joined, (0..size).map(word).collect::<String>());
    let own = (3 * rank..3 * rank + 3).map(word);
    let joined = peers.all_reduce_indexed_by(own, |a, b| a + &b)?;
    assert_eq!(joined, Some((0..3 * size).map(word).collect::<String>()));
    assert_eq!(peers.all_reduce_indexed_by(None::<String>, |a, _| a)?, None);
    Ok(())
}

pub(crate) fn c13(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    for n in [3, 4000] {
        let own: Vec<f64> = (0..n).map(|i| rough(i * peers.size() + peers.rank())).collect();
        let mut first = vec![f64::NAN; n];
        peers.all_reduce_into(&own, &mut first, Sum)?;
        for _ in 0..5 {
            let mut again = own.clone();
            peers.all_reduce(&mut again, Sum)?;
            assert!(bits(&again) == bits(&first));
        }
        let all = peers.all_gather(&first)?;
        assert!(all.chunks_exact(n).all(|theirs| bits(theirs) == bits(&first)));
    }
    Ok(())
}

pub(crate) fn m4(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    if peers.size() == 1 {
        return Ok(());
    }
    let bad = peers.size() - 1;
    for n in [1, 5000] {
        let mut numbers = vec![1_u64; n];
        let folded = pm_api::backend::catch_panic(|| {
            peers.all_reduce_by(&mut numbers, |a, b| {
                assert!(peers.rank() != bad, "no");
                a + b
            })
        });
        match folded {
            Ok(folded) => {
                let text = folded.unwrap_err().to_string();
                assert_eq!(text, format!("the operation of all-reduce panicked on rank {bad}"));
            }
            Err(panic) => assert!(peers.rank() == bad && panic.starts_with("no"), "{panic}"),
        }
        peers.barrier()?;
    }
    Ok(())
}

/// C38: what WaterTAP's recursive sweep does, and loses samples by on most of its managers.
pub(crate) fn c38_samples_divided_by_rank_are_all_covered(setup: &Setup, size: usize) {
    struct Sweep;
    impl Spmd for Sweep {
        const NAME: &'static str = "pm_conformance::recursive_sweep";
        type Args = usize;
        type Output = (u64, Vec<u64>);

        fn run(&n_wanted: &usize, worker: &Worker<'_>) -> Result<Self::Output, TaskError> {
            let peers = worker.peers();
            let (rank, size) = (peers.rank(), peers.size());
            let (mut n_good, mut samples) = (0_u64, Vec::new());
            for round in 0.. {
                // The root's samples are everybody's.
                let mut all = [0_u64; 10];
                if peers.is_root() {
                    all = std::array::from_fn(|i| pm_api::seed(round, i));
                }
                peers.broadcast(0, &mut all)?;
                let (start, end) = (all.len() * rank / size, all.len() * (rank + 1) / size);
                let own: Vec<u64> = all[start..end].iter().copied().filter(|x| x % 3 > 0).collect();
                let mut n = [own.len() as u64];
                samples.extend(peers.all_gather(&own)?);
                peers.all_reduce(&mut n, Sum)?;
                n_good += n[0];
                if n_good >= n_wanted as u64 {
                    break;
                }
            }
            Ok((n_good, samples))
        }
    }
    pm_api::register_spmd!(Sweep);
    let serial = pm_api::SerialManager::new().run::<Sweep>(100).unwrap().remove(0);
    assert_eq!(serial.0, serial.1.len() as u64);
    let ranks = setup.manager(size).run::<Sweep>(100).unwrap();
    assert!(ranks.iter().all(|rank| *rank == serial));
}
