use std::collections::HashMap;
use std::sync::{Condvar, Mutex};
use std::thread;

use super::*;
use crate::peers::ops::fold_bytes;

/// By rank and round or step.
type Of<T> = Mutex<HashMap<(usize, u64), T>>;

/// Where members who are threads meet: all that was ever said and put.
#[derive(Default)]
struct Hall {
    said: Of<([u64; 4], Vec<u8>, Vec<usize>)>,
    blocks: Of<Vec<u8>>,
    whole: Mutex<HashMap<usize, u64>>,
    changed: Condvar,
}

struct Guest<'a> {
    hall: &'a Hall,
    rank: usize,
    size: usize,
    round: u64,
    base: u64,
    n_steps: u64,
}

impl Guest<'_> {
    fn fill(&self, step: u64, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= Self::BLOCK);
        let mut blocks = self.hall.blocks.lock().unwrap();
        let block = blocks.entry((self.rank, step)).or_insert_with(|| vec![0xee; Self::BLOCK]);
        block[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// So short that everything takes many steps.
impl Meeting for Guest<'_> {
    const BLOCK: usize = 40;
    const SHORT: usize = 8;

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn meet(&mut self, words: [u64; 4], short: &[u8], counts: &[usize]) -> Result<(), PeersError> {
        assert!(short.len() <= Self::SHORT && counts.len() <= self.size);
        let mut said = self.hall.said.lock().unwrap();
        self.round += 1;
        said.insert((self.rank, self.round), (words, short.to_vec(), counts.to_vec()));
        self.hall.changed.notify_all();
        while !(0..self.size).all(|rank| said.contains_key(&(rank, self.round))) {
            said = self.hall.changed.wait(said).unwrap();
        }
        Ok(())
    }

    fn said(&self, rank: usize) -> [u64; 4] {
        self.hall.said.lock().unwrap()[&(rank, self.round)].0
    }

    fn short(&self, rank: usize, at: usize, bytes: &mut [u8]) {
        let said = self.hall.said.lock().unwrap();
        bytes.copy_from_slice(&said[&(rank, self.round)].1[at..at + bytes.len()]);
    }

    fn counts(&self, rank: usize, n: usize) -> Vec<usize> {
        self.hall.said.lock().unwrap()[&(rank, self.round)].2[..n].to_vec()
    }

    fn early(&mut self, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        self.fill(self.base, at, bytes);
        Ok(())
    }

    fn steps(&mut self, n: u64) {
        self.n_steps = n;
    }

    fn put(&mut self, step: u64, at: usize, bytes: &[u8]) -> Result<(), PeersError> {
        assert!((1..self.n_steps).contains(&step), "step {step} of {}", self.n_steps);
        self.fill(self.base + step, at, bytes);
        Ok(())
    }

    fn is_put(&mut self, step: u64) {
        let mut whole = self.hall.whole.lock().unwrap();
        let before = whole.insert(self.rank, self.base + step + 1);
        assert!(before.is_none_or(|before| before <= self.base + step), "out of order");
        self.hall.changed.notify_all();
    }

    fn take(&mut self, rank: usize, step: u64, at: usize, to: &mut [u8]) -> Result<(), PeersError> {
        assert!(step < self.n_steps && rank != self.rank);
        let mut whole = self.hall.whole.lock().unwrap();
        while step > 0 && whole.get(&rank).is_none_or(|n| *n <= self.base + step) {
            // The condition belongs to another lock, too.
            whole = self.hall.changed.wait_timeout(whole, SOON).unwrap().0;
        }
        drop(whole);
        let blocks = self.hall.blocks.lock().unwrap();
        to.copy_from_slice(&blocks[&(rank, self.base + step)][at..at + to.len()]);
        Ok(())
    }

    fn taken(&mut self, n: u64) {
        assert!(n <= self.n_steps);
    }

    fn finish(&mut self) {
        self.base += self.n_steps;
        self.n_steps = 0;
    }
}

const SOON: std::time::Duration = std::time::Duration::from_millis(1);

fn all(size: usize, work: impl Fn(usize, &mut Collectives<Guest<'_>>) + Sync) {
    let hall = Hall::default();
    thread::scope(|scope| {
        for rank in 0..size {
            let (hall, work) = (&hall, &work);
            scope.spawn(move || {
                let guest = Guest { hall, rank, size, round: 0, base: 0, n_steps: 0 };
                work(rank, &mut Collectives::new(guest));
            });
        }
    });
}

fn bytes(rank: usize, n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + rank * 31) as u8).collect()
}

/// Lengths about those at which it goes another way.
const LENGTHS: [usize; 10] = [0, 1, 8, 9, 39, 40, 41, 80, 200, 333];

#[test]
fn bytes_arrive_whole_at_every_length_and_however_they_are_divided() {
    for size in 1..=4 {
        all(size, |rank, group| {
            for n in LENGTHS {
                // Even, with none on the odd ranks, and growing.
                for counts in [
                    vec![n; size],
                    (0..size).map(|rank| if rank % 2 == 1 { 0 } else { n }).collect(),
                    (0..size).map(|rank| n * rank).collect(),
                ] {
                    let own = bytes(rank, counts[rank]);
                    let whole: Vec<u8> = (0..size).flat_map(|r| bytes(r, counts[r])).collect();
                    for root in 0..size {
                        let mut copy = if rank == root { bytes(root, n) } else { vec![1; n] };
                        group.broadcast(root, &mut copy).unwrap();
                        assert_eq!(copy, bytes(root, n));
                        let mut found = vec![1; whole.len()];
                        group.gather(root, &own, &mut found, &counts).unwrap();
                        assert!(
                            found
                                == if rank == root { whole.clone() } else { vec![1; whole.len()] }
                        );
                        let mut part = vec![1; own.len()];
                        group.scatter(root, &whole, &counts, &mut part).unwrap();
                        assert_eq!(part, own);
                    }
                    let mut found = vec![1; whole.len()];
                    group.all_gather(&own, &mut found, &counts).unwrap();
                    assert_eq!(found, whole);
                    group.barrier().unwrap();
                }
            }
        });
    }
}

/// Appends, as far as there is room: the order of the ranks can be seen.
fn append(a: &mut [u8], b: &[u8]) {
    let n = a.iter().take_while(|byte| **byte != 0).count();
    a[n..].iter_mut().zip(b.iter().filter(|byte| **byte != 0)).for_each(|(to, byte)| *to = *byte);
}

#[test]
fn folds_are_in_the_order_of_the_ranks_whatever_an_element_is_long() {
    for size in 1..=4 {
        // From several in a block to several blocks each.
        for element in [5, 8, 13, 40, 41, 100] {
            all(size, |rank, group| {
                let apply = |acc: &mut [u8], next: &[u8]| {
                    let pairs = acc.chunks_exact_mut(element).zip(next.chunks_exact(element));
                    pairs.for_each(|(a, b)| append(a, b));
                };
                let fold = Fold::new(element, None, &apply);
                for n in [0, 1, 2, 7, 30, 200] {
                    let own = |rank: usize| {
                        let mut own = vec![0; n * element];
                        own.chunks_exact_mut(element).for_each(|e| e[0] = 1 + rank as u8);
                        own
                    };
                    let mut expected = own(0);
                    (1..size).for_each(|rank| apply(&mut expected, &own(rank)));
                    let mut found = own(rank);
                    group.all_reduce(&mut found, &fold).unwrap();
                    assert!(found == expected, "{n} of {element} bytes on rank {rank} of {size}");
                    for root in 0..size {
                        let mut found = own(rank);
                        group.reduce(root, &mut found, &fold).unwrap();
                        assert!(found == if rank == root { expected.clone() } else { own(rank) });
                    }
                }
            });
        }
    }
}

#[test]
fn calls_that_do_not_fit_fail_alike_and_cost_nothing() {
    all(3, |rank, group| {
        for n in LENGTHS {
            let error = match rank {
                0 => group.broadcast(0, &mut vec![0; n]),
                1 => group.all_gather(&vec![0; n], &mut vec![0; 3 * n], &[n; 3]),
                _ => group.barrier(),
            };
            let error = error.unwrap_err().to_string();
            assert_eq!(error, "rank 1 called all-gather where rank 0 called broadcast");
            let mut whole = vec![9; 3 * n + 1];
            let error = group.gather(2, &vec![0; n], &mut whole, &[n; 3]).unwrap_err();
            assert!(error.to_string().contains(&format!("lengths of {} bytes", 3 * n)), "{error}");
            assert!(whole.iter().all(|byte| *byte == 9));
            let error = group.scatter(1, &whole, &[n; 4], &mut vec![0; n]).unwrap_err();
            assert!(error.to_string().starts_with("rank 1 came to scatter with 4 lengths"));
            let mut copy = bytes(rank, n);
            group.broadcast(1, &mut copy).unwrap();
            assert_eq!(copy, bytes(1, n));
        }
    });
}

#[test]
fn a_panic_of_an_operation_is_heard_of_everywhere() {
    for n in [1, 20, 600] {
        all(3, |rank, group| {
            let apply = |acc: &mut [u8], next: &[u8]| {
                assert!(rank != 1, "not here");
                fold_bytes::<u64>(acc, next, |a, b| a + b);
            };
            let fold = Fold::new(8, None, &apply);
            let mut numbers = vec![1; 8 * n];
            let folded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                group.all_reduce(&mut numbers, &fold)
            }));
            match folded {
                Err(_) => assert_eq!(rank, 1),
                Ok(folded) => {
                    let error = folded.unwrap_err();
                    assert!(matches!(error, PeersError::Panicked { rank: 1, .. }), "{error}");
                }
            }
            group.barrier().unwrap();
        });
    }
}
