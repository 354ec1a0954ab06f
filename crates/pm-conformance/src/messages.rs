//! Collectives.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use pm_api::{
    Max, Peers, PeersError, PeersExt as _, Scatter as _, Spmd, Sum, TaskError, Worker, Xor,
};
use serde::{Deserialize, Serialize};

use crate::{Setup, members, reductions};

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
    ("c10", reductions::c10),
    ("c11", reductions::c11),
    ("c12", reductions::c12),
    ("c13", reductions::c13),
    ("c14", c14),
    ("c14 large", c14_large),
    ("m1", members::m1),
    ("m4", reductions::m4),
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
pub(crate) struct Who {
    rank: usize,
    size: usize,
    is_root: bool,
    worker: (usize, usize),
}

pub(crate) struct WhoAmI;

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

pub(crate) fn bits(numbers: &[f64]) -> Vec<u64> {
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
pub(crate) fn same_error(peers: &dyn Peers, error: &PeersError) -> Result<String, PeersError> {
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
