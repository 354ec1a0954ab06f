//! Collectives.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use pm_api::backend::{CallKind, Fold};
use pm_api::{
    And, CancelToken, Failure, FailureKind, Max, Min, Or, Peers, PeersError, PeersExt as _, Prod,
    RunOptions, Scatter as _, Schedule, Spmd, Sum, TaskError, Worker, Xor, reduce_in_index_order,
};
use serde::{Deserialize, Serialize};

use crate::Setup;
use crate::log::Log;

/// What every rank does in one of the checks here.
type Part = fn(&Worker<'_>) -> Result<(), TaskError>;

const PARTS: &[(&str, Part)] = &[
    ("c02", c02),
    ("c03", c03),
    ("c04", c04),
    ("c05", c05),
    ("c06", c06),
    ("c07", c07),
    ("c08", c08),
    ("c09", c09),
    ("c10", c10),
    ("c11", c11),
    ("c12", c12),
    ("c13", c13),
    ("c14", c14),
    ("c14 large", c14_large),
    ("m1", m1),
    ("m4", m4),
];

/// Does the part of that name on every rank.
struct Parts;

impl Spmd for Parts {
    const NAME: &'static str = "pm_conformance::parts";
    type Args = String;
    type Output = ();

    fn run(name: &String, worker: &Worker<'_>) -> Result<(), TaskError> {
        let (_, part) = PARTS.iter().find(|(known, _)| known == name).unwrap();
        part(worker)
    }
}
pm_api::register_spmd!(Parts);

fn on_every_rank(setup: &Setup, size: usize, part: &str) {
    let manager = setup.manager(size);
    let n_ranks = manager.n_workers();
    assert_eq!(manager.run::<Parts>(part.to_owned()).unwrap(), vec![(); n_ranks]);
}

macro_rules! checks {
    ($($name:ident: $part:literal, $doc:literal;)*) => { $(
        #[doc = $doc]
        pub(crate) fn $name(setup: &Setup, size: usize) {
            on_every_rank(setup, size, $part);
        }
    )* };
}

checks! {
    c02_nobody_leaves_a_barrier_before_all_came: "c02", "C02.";
    c03_arrays_are_broadcast_to_the_bit: "c03", "C03.";
    c04_a_wrong_length_is_an_error_on_every_rank: "c04", "C04.";
    c05_values_of_any_shape_are_broadcast: "c05", "C05.";
    c06_values_are_gathered_in_the_order_of_ranks: "c06", "C06.";
    c07_arrays_of_uneven_lengths_are_gathered: "c07", "C07.";
    c08_lengths_that_do_not_add_up_fail_everywhere: "c08", "C08.";
    c09_scatter_is_the_inverse_of_gather: "c09", "C09.";
    c10_sums_have_the_same_bits_for_every_division: "c10", "C10.";
    c11_operations_are_as_documented: "c11", "C11.";
    c12_operations_that_do_not_commute_keep_the_order: "c12", "C12.";
    c13_reductions_repeat_to_the_bit: "c13", "C13.";
    c14_large_arrays_arrive_whole: "c14", "C14.";
    c14_arrays_beyond_2_gib_arrive_whole: "c14 large", "C14, with a length that no `i32` holds.";
    m1_different_collectives_fail_everywhere_and_the_group_goes_on: "m1", "Calls that do not fit.";
    m4_an_operation_that_panics_is_an_error_elsewhere: "m4", "A user's operation panics.";
}

/// What a rank knows of itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Who {
    rank: usize,
    size: usize,
    is_root: bool,
    worker: (usize, usize),
}

struct WhoAmI;

impl Spmd for WhoAmI {
    const NAME: &'static str = "pm_conformance::who_am_i";
    type Args = ();
    type Output = Who;

    fn run((): &(), worker: &Worker<'_>) -> Result<Who, TaskError> {
        let (peers, worker) = (worker.peers(), (worker.rank(), worker.n_workers()));
        Ok(Who { rank: peers.rank(), size: peers.size(), is_root: peers.is_root(), worker })
    }
}
pm_api::register_spmd!(WhoAmI);

/// C01.
pub(crate) fn c01_ranks_are_counted_and_rank_0_is_the_root(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    assert!((1..=size).contains(&n));
    let who = |rank| Who { rank, size: n, is_root: rank == 0, worker: (rank, n) };
    assert_eq!(manager.run::<WhoAmI>(()).unwrap(), (0..n).map(who).collect::<Vec<_>>());
}

fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(time.as_nanos()).unwrap()
}

fn c02(worker: &Worker<'_>) -> Result<(), TaskError> {
    const N: usize = 1000;
    let peers = worker.peers();
    let mut times = Vec::new();
    for k in 0..N {
        // The last one to come changes from time to time.
        if k % peers.size() == peers.rank() {
            thread::yield_now();
        }
        let came = now();
        peers.barrier()?;
        times.extend([came, now()]);
    }
    let all = peers.all_gather(&times)?;
    for k in 0..N {
        let of = |at: usize| all.chunks_exact(2 * N).map(move |times| times[2 * k + at]);
        assert!(of(0).max() <= of(1).min(), "somebody left barrier {k} before all had come");
    }
    Ok(())
}

/// Bits that arithmetic would not keep.
const BITS: [u64; 6] =
    [0x7ff8_0000_0000_1234, 0xfff0_0000_0000_0001, 1 << 63, 0x7ff0_0000_0000_0000, 1, 0];

fn special(n: usize) -> Vec<f64> {
    (0..n).map(|i| f64::from_bits(BITS[i % BITS.len()].wrapping_add(i as u64 / 7))).collect()
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

fn c03(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    for root in [0, peers.size() - 1] {
        for n in [0, 1, 3, 1_000_000] {
            let mut array =
                if peers.rank() == root { special(n) } else { vec![peers.rank() as f64; n] };
            peers.broadcast(root, &mut array)?;
            assert!(bits(&array) == bits(&special(n)), "{n} numbers from rank {root}");
        }
    }
    Ok(())
}

/// Says what the others got, which is to be the same everywhere.
fn same_error(peers: &dyn Peers, error: &PeersError) -> Result<String, PeersError> {
    let all = peers.all_gather_value(&error.to_string())?;
    assert!(all.iter().all(|text| *text == all[0]), "{all:?}");
    Ok(all[0].clone())
}

fn c04(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    for wrong in 1..size {
        for n in [3, 10_000] {
            let mut array = vec![7_u32; n + usize::from(rank == wrong)];
            let error = peers.broadcast(0, &mut array).unwrap_err();
            let text = same_error(peers, &error)?;
            let (came, right) = (4 * n + 4, 4 * n);
            let expected = format!("rank {wrong} came to broadcast with {came} bytes, not {right}");
            assert_eq!(text, expected);
            assert!(array.iter().all(|x| *x == 7), "nothing is written");
            let error = peers.all_reduce(&mut array, Sum).unwrap_err();
            assert!(same_error(peers, &error)?.contains("came to all-reduce with"));
            // And the group is of use as before.
            let mut right = [rank as u64];
            peers.all_reduce(&mut right, Max)?;
            assert_eq!(right, [size as u64 - 1]);
        }
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Text { text: String, empty: Vec<u8>, none: Option<i32> },
    Nested(Box<[Self; 2]>, Vec<u8>),
}

fn c05(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let text = "snow \u{2603} and \0 in it".to_owned();
    let inner = Shape::Text { text, empty: Vec::new(), none: None };
    let blob = (0..5_000_000_u32).map(|i| (i >> 4) as u8).collect();
    let shape = Shape::Nested(Box::new([inner, Shape::Nothing]), blob);
    for root in [0, peers.size() - 1] {
        for own in [None, Some(Shape::Nothing)] {
            let own = if peers.rank() == root { Some(shape.clone()) } else { own };
            assert!(peers.broadcast_value(root, own)? == shape, "from rank {root}");
        }
        let error = peers.broadcast_value(root, None::<Shape>).unwrap_err();
        assert_eq!(same_error(peers, &error)?, format!("rank {root} had no value to send"));
    }
    Ok(())
}

fn c06(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let items = |rank: usize| (0..rank).map(|i| format!("{rank}/{i}")).collect::<Vec<_>>();
    let expected: Vec<Vec<String>> = (0..peers.size()).map(items).collect();
    let own = items(peers.rank());
    assert_eq!(peers.all_gather_value(&own)?, expected);
    for root in 0..peers.size() {
        let at_root = (peers.rank() == root).then(|| expected.clone());
        assert_eq!(peers.gather_value(root, &own)?, at_root);
        let own = peers.scatter_value(root, at_root.as_deref())?;
        assert_eq!(own, items(peers.rank()));
    }
    Ok(())
}

/// What rank `rank` contributes of `n`: none on some ranks, and none on all if `n` is 0.
fn uneven(rank: usize, n: usize) -> Vec<f64> {
    let len = if rank % 3 == 1 { 0 } else { n * (rank + 1) };
    (0..len).map(|i| (rank * 1000 + i) as f64).collect()
}

fn c07(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    for n in [0, 1, 5, 3000] {
        let expected: Vec<f64> = (0..size).flat_map(|rank| uneven(rank, n)).collect();
        let counts: Vec<usize> = (0..size).map(|rank| uneven(rank, n).len()).collect();
        let own = uneven(rank, n);
        for root in [0, size - 1] {
            let mut whole = vec![-1.0; if rank == root { expected.len() } else { 9 }];
            let counts = if rank == root { &counts[..] } else { &[] };
            peers.gather_into(root, &own, &mut whole, counts)?;
            let at_root = rank == root;
            assert_eq!(whole, if at_root { expected.clone() } else { vec![-1.0; 9] });
            assert_eq!(peers.gather(root, &own)?, at_root.then(|| expected.clone()));
        }
        assert_eq!(peers.all_gather(&own)?, expected);
    }
    Ok(())
}

fn c08(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    let root = size - 1;
    let own = [rank as u32, 1];
    for (counts, n_whole, text) in [
        (vec![2; size], 2 * size + 1, "lengths of"),
        (vec![2; size + 1], 2 * size + 2, "lengths of"),
        (vec![3; size], 3 * size, "rank 0 came to gather with 8 bytes, not 12"),
        (vec![usize::MAX; size], 2 * size, "lengths of"),
    ] {
        let mut whole = vec![9_u32; n_whole];
        let error = peers.gather_into(root, &own, &mut whole, &counts).unwrap_err();
        let all = same_error(peers, &error)?;
        assert!(all.contains(text), "{all}");
        assert!(whole.iter().all(|x| *x == 9));
        let mut own = own;
        let text = text.replace("gather", "scatter");
        let error = peers.scatter_into(root, &whole, &counts, &mut own).unwrap_err();
        assert!(same_error(peers, &error)?.contains(&text));
        let error = peers.gather_into(size + 3, &own, &mut whole, &counts).unwrap_err();
        assert!(same_error(peers, &error)?.contains("has no rank"));
    }
    Ok(peers.barrier()?)
}

fn c09(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    for n in [0, 1, size - 1, size, size + 1, 1000] {
        for root in [0, size - 1] {
            let whole = special(n);
            let counts: Vec<usize> =
                (0..size).map(|rank| n / size + usize::from(rank < n % size)).collect();
            let (whole, counts) = if rank == root { (whole, counts) } else { Default::default() };
            let part = peers.scatter(root, &whole, &counts)?;
            assert_eq!(part.len(), n / size + usize::from(rank < n % size));
            let back = peers.gather(root, &part)?;
            assert_eq!(back.map(|back| bits(&back)), (rank == root).then(|| bits(&special(n))));
        }
    }
    Ok(())
}

/// Numbers whose sum depends on the order.
fn rough(i: usize) -> f64 {
    let z = pm_api::seed(3, i);
    (z >> 11) as f64 * f64::powi(2.0, (z % 80) as i32 - 90) * if z & 64 == 0 { 1.0 } else { -1.0 }
}

fn c10(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    // Rank by rank: what all ranks have, in their order.
    for n in [0, 1, 2, 1023, 1025, 100_003] {
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

fn c11(worker: &Worker<'_>) -> Result<(), TaskError> {
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

fn c12(worker: &Worker<'_>) -> Result<(), TaskError> {
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

fn c13(worker: &Worker<'_>) -> Result<(), TaskError> {
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

fn arrives(worker: &Worker<'_>, n: usize) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    let root = size - 1;
    let number = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut array: Vec<u64> = if rank == root { (0..n).map(number).collect() } else { vec![1; n] };
    peers.broadcast(root, &mut array)?;
    assert!(array.iter().enumerate().all(|(i, x)| *x == number(i)));
    let start = |rank: usize| n / size * rank;
    let end = if rank == root { n } else { start(rank + 1) };
    if let Some(whole) = peers.gather(root, &array[start(rank)..end])? {
        assert!(whole == array);
    }
    peers.all_reduce(&mut array, Xor)?;
    let odd = size % 2 == 1;
    assert!(array.iter().enumerate().all(|(i, x)| *x == if odd { number(i) } else { 0 }));
    Ok(())
}

fn c14(worker: &Worker<'_>) -> Result<(), TaskError> {
    arrives(worker, 8 << 20)
}

fn c14_large(worker: &Worker<'_>) -> Result<(), TaskError> {
    arrives(worker, (2 << 30) / 8 + 3)
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

fn m1(worker: &Worker<'_>) -> Result<(), TaskError> {
    let peers = worker.peers();
    let (rank, size) = (peers.rank(), peers.size());
    if size == 1 {
        return Ok(());
    }
    let odd = size - 1;
    let plus = |a: &mut [u8], b: &[u8]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    let fold = Fold::new(1, None, &plus);
    for kind in CallKind::ALL {
        let mut part = [1_u8; 4];
        let mut whole = vec![2_u8; 4 * size];
        let counts = vec![4; size];
        let call = |kind: CallKind, part: &mut [u8], whole: &mut [u8]| match kind {
            CallKind::Broadcast => peers.broadcast_bytes(0, part),
            CallKind::Gather => peers.gather_bytes(0, part, whole, &counts),
            CallKind::Scatter => peers.scatter_bytes(0, whole, &counts, part),
            CallKind::AllGather => peers.all_gather_bytes(part, whole, &counts),
            CallKind::Reduce => peers.reduce_bytes(0, part, &fold),
            CallKind::AllReduce => peers.all_reduce_bytes(part, &fold),
            _ => peers.barrier(),
        };
        let other = if kind == CallKind::Barrier { CallKind::Reduce } else { CallKind::Barrier };
        let kind = if rank == odd { kind } else { other };
        let error = call(kind, &mut part, &mut whole).unwrap_err();
        let text = same_error(peers, &error)?;
        assert!(text.starts_with(&format!("rank {odd} called ")), "{text}");
        assert_eq!((part, whole.iter().all(|x| *x == 2)), ([1; 4], true));
        for kind in CallKind::ALL {
            call(kind, &mut part, &mut whole)?;
        }
        // Different roots of the same collective.
        let error = peers.broadcast_bytes(usize::from(rank == odd), &mut part).unwrap_err();
        let text = same_error(peers, &error)?;
        assert!(text.starts_with(&format!("rank {odd} named rank 1 as the root")), "{text}");
    }
    Ok(())
}

fn m4(worker: &Worker<'_>) -> Result<(), TaskError> {
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

/// How a member goes while the others wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Going {
    Returns,
    Fails,
    Panics,
}

struct OneGoes;

impl Spmd for OneGoes {
    const NAME: &'static str = "pm_conformance::one_goes";
    type Args = Going;
    type Output = String;

    fn run(going: &Going, worker: &Worker<'_>) -> Result<String, TaskError> {
        let peers = worker.peers();
        // What all were in is whole.
        peers.barrier()?;
        if peers.rank() == peers.size() - 1 {
            match going {
                Going::Returns => return Ok(String::new()),
                Going::Fails => return Err(TaskError::new("no more")),
                Going::Panics => panic!("no more"),
            }
        }
        let error = peers.barrier().unwrap_err();
        assert!(matches!(error, PeersError::Left { .. }), "{error}");
        let mut array = [0];
        let again = peers.all_reduce(&mut array, Sum).unwrap_err();
        assert!(matches!(again, PeersError::Left { .. }), "{again}");
        Ok(error.to_string())
    }
}
pm_api::register_spmd!(OneGoes);

/// A barrier that one never comes to.
pub(crate) fn m2_a_member_that_leaves_wakes_the_others_and_is_named(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    if n == 1 {
        return;
    }
    for (going, reason) in [
        (Going::Returns, "it has no more tasks"),
        (Going::Fails, "its task failed: no more"),
        (Going::Panics, "its task failed: no more"),
    ] {
        let options = RunOptions::default();
        let gathered = manager.start_spmd::<OneGoes>(going, &options).unwrap().gather().unwrap();
        let expected = format!("rank {} of {n} left the group: {reason}", n - 1);
        for rank in 0..n - 1 {
            assert_eq!(gathered.get(rank), Some(&expected), "{going:?}");
        }
        let failures: Vec<&Failure> = gathered.failures().collect();
        assert_eq!(failures.len(), usize::from(going != Going::Returns), "{failures:?}");
        // And the manager is of use.
        assert_eq!(manager.run::<WhoAmI>(()).unwrap().len(), n);
    }
}

struct AllButOneWait;

impl Spmd for AllButOneWait {
    const NAME: &'static str = "pm_conformance::all_but_one_wait";
    type Args = Log;
    type Output = ();

    fn run(log: &Log, worker: &Worker<'_>) -> Result<(), TaskError> {
        let peers = worker.peers();
        log.note("came", peers.rank());
        if peers.rank() == 0 {
            crate::log::wait_until("the run was cancelled", || worker.cancelled());
            // Stays in the group, so that nothing but the cancelling can have woken the others.
            log.wait_for("woken", peers.size() - 1);
            return Err(TaskError::cancelled());
        }
        let error = peers.barrier().unwrap_err();
        assert!(matches!(error, PeersError::Cancelled { .. }), "{error}");
        log.note("woken", peers.rank());
        Err(TaskError::cancelled())
    }
}
pm_api::register_spmd!(AllButOneWait);

/// A barrier in a run that is cancelled.
pub(crate) fn m3_cancelling_wakes_those_who_wait(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers();
    let (log, _folder) = Log::new();
    let token = CancelToken::new();
    let options = RunOptions::default().cancel(&token);
    let pending = manager.start_spmd::<AllButOneWait>(log.clone(), &options).unwrap();
    let gathered = thread::scope(|scope| {
        scope.spawn(|| {
            log.wait_for("came", n);
            token.cancel();
        });
        pending.gather().unwrap()
    });
    assert_eq!(gathered.outputs().count(), 0);
    let mut failures = gathered.failures();
    assert!(failures.all(|failure| failure.kind == FailureKind::Cancelled));
}

/// Sums over the workers of a run, in each of its tasks.
struct SumsInTasks;

impl pm_api::Task for SumsInTasks {
    const NAME: &'static str = "pm_conformance::sums_in_tasks";
    type Args = ();
    type Model = u64;
    type Param = u64;
    type Output = u64;

    fn build((): &(), worker: &Worker<'_>) -> Result<u64, TaskError> {
        let mut n = [1_u64];
        worker.peers().all_reduce(&mut n, Sum)?;
        Ok(n[0])
    }

    fn execute(n: &mut u64, params: &[u64], worker: &Worker<'_>) -> Result<Vec<u64>, TaskError> {
        let mut sum = [params.iter().sum::<u64>()];
        worker.peers().all_reduce(&mut sum, Sum)?;
        Ok(vec![100 * *n + sum[0]; params.len()])
    }
}
pm_api::register_task!(SumsInTasks);

/// With one block for each worker, tasks may talk to each other as well.
pub(crate) fn m5_the_workers_of_a_run_are_a_group(setup: &Setup, size: usize) {
    let manager = setup.manager(size);
    let n = manager.n_workers() as u64;
    let options = RunOptions::default().schedule(Schedule::Static);
    for n_each in [1, 3] {
        let params: Vec<u64> = (0..n * n_each).collect();
        let sum: u64 = params.iter().sum();
        let pending = manager.scatter::<SumsInTasks>((), params, &options).unwrap();
        let outputs = pending.gather().unwrap().into_complete().unwrap();
        assert!(outputs.iter().all(|output| *output == 100 * n + sum));
    }
    // Where they do not all come, it is an error and not the end of everything.
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
    let pending = manager.scatter::<SumsInTasks>((), vec![1; 7], &options).unwrap();
    let gathered = pending.gather().unwrap();
    assert_eq!(gathered.summary().n_done + gathered.summary().n_failed, 7);
}
