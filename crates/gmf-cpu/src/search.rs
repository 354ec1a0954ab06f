//! The search for the greatest power of a block of gates, over rows of frequencies.

use std::cmp::Reverse;

use crate::coarse::{Coarse, CoarseScratch};
use crate::echo::Block;
use crate::exact::{Exact, Planes, RowScratch, Shape};
use crate::simd::{MOST_LANES, Simd};

/// The greatest power of a gate, and where: of equal ones that with the lowest acceleration, then
/// the lowest place in the order of frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    pub(crate) power: f32,
    pub(crate) acceleration: usize,
    pub(crate) frequency: usize,
}

/// A search over accelerations and frequencies; shared by all threads.
///
/// Without skipping, every row of every gate is computed at all its points. With skipping, first
/// few points of every row are ([`Coarse`]), and then all points of the rows that may have more
/// than the best so far, the most promising first.
///
/// # Skipping changes no bit
///
/// What is compared in the end are rows computed by [`Exact`], the same way whether others are
/// skipped or not, so it remains to see that no row is skipped that has a power as great as the
/// greatest. Let `p` be the greatest coarse power that was computed in a row, `b` the best power
/// found so far, `s` the sum of the moduli of the gate's echo, and `e`, `c` the bounds on rounding
/// errors, relative to `s`, of exact and coarse rows. The modulus computed exactly is nowhere above
///
/// ```text
/// (sqrt(p) + c s) / cos(pi (L - 1) / (2 C)) + e s
/// ```
///
/// and the row is skipped only where that is below `sqrt(b)`. The powers, which are rounded
/// themselves, are given [`SLACK`]; where they are so small or so great that rounding is not
/// relative any more, nothing is skipped.
pub(crate) struct Search<S: Simd> {
    shape: Shape,
    /// `None` where the echo is searched as it is.
    phasors: Option<Phasors<S>>,
    exact: Exact<S>,
    coarse: Option<Coarse>,
    /// Place in the order of frequencies of frequency 0; the others follow it round.
    first: usize,
}

/// Phasors of several accelerations, `[n, n_ipp, plane]`.
pub(crate) struct Phasors<S: Simd> {
    pub(crate) re: Vec<S::V>,
    pub(crate) im: Vec<S::V>,
}

impl<S: Simd> Phasors<S> {
    pub(crate) fn planes(&self) -> Planes<'_> {
        Planes { re: S::floats(&self.re), im: S::floats(&self.im) }
    }
}

/// Share of a square root that is given to the roundings of powers and of the test itself, which
/// are a few units of 6e-8.
const SLACK: f64 = 1e-6;

/// The powers between which rounding is relative: what is below a power's root, in its sums, by
/// more than `1e8` is of no account, and nothing overflows on the way.
const ORDINARY: std::ops::Range<f64> = 1e-28..1e34;

/// Memory that one thread needs for a search.
pub(crate) struct SearchScratch<S: Simd> {
    row: RowScratch<S>,
    coarse: Option<CoarseScratch<S>>,
    /// The greatest coarse power of every row, `[accelerations, periods]`.
    greatest: Vec<S::V>,
    /// Rows of one gate that may have the best, and their greatest coarse power.
    candidates: Vec<(f32, u32)>,
    pays: Pays,
    /// Rows of the last block that were computed at all their points.
    computed: usize,
}

/// Whether coarse points have paid lately.
///
/// Echoes with a flat spectrum let no row be skipped. After blocks in which the coarse points cost
/// more than they saved, some blocks are searched without, twice as many every time.
#[derive(Debug, Default)]
struct Pays {
    pause: u32,
    left: u32,
}

impl Pays {
    /// The longest pause, in blocks.
    const MOST: u32 = 64;

    fn now(&mut self) -> bool {
        if self.left == 0 {
            return true;
        }
        self.left -= 1;
        false
    }

    fn has(&mut self, paid: bool) {
        self.pause = if paid { 0 } else { (2 * self.pause).clamp(1, Self::MOST) };
        self.left = self.pause;
    }
}

impl<S: Simd> Search<S> {
    /// Plans a search; `first` is the place of frequency 0 in the order by which ties are decided.
    pub(crate) fn new(
        s: S,
        shape: Shape,
        phasors: Option<Phasors<S>>,
        skipping: bool,
        first: usize,
    ) -> Self {
        let exact = Exact::new(s, shape);
        let mut search = Self { shape, phasors, exact, coarse: None, first };
        if skipping {
            let rows = search.rows();
            let coarse = Coarse::new(shape, search.exact.cost(), rows, S::LANES);
            // Rounding must leave something of the bound.
            search.coarse = coarse.filter(|coarse| coarse.hidden() > 0.1);
        }
        search
    }

    fn rows(&self) -> usize {
        let gate = self.shape.n_ipp * self.shape.plane();
        self.phasors.as_ref().map_or(1, |phasors| phasors.planes().re.len() / gate)
            * self.shape.periods
    }

    /// The phasors of the acceleration with number `idx`, counted from the first searched.
    pub(crate) fn phasors(&self, idx: usize) -> Option<Planes<'_>> {
        let gate = self.shape.n_ipp * self.shape.plane();
        self.phasors.as_ref().map(|phasors| {
            let Planes { re, im } = phasors.planes();
            Planes { re: &re[idx * gate..][..gate], im: &im[idx * gate..][..gate] }
        })
    }

    pub(crate) fn scratch(&self, s: S) -> SearchScratch<S> {
        let rows = self.rows();
        SearchScratch {
            row: self.exact.scratch(s),
            coarse: self.coarse.as_ref().map(|coarse| coarse.scratch(s)),
            greatest: vec![s.splat(0.0); if self.coarse.is_some() { rows } else { 0 }],
            candidates: Vec::with_capacity(if self.coarse.is_some() { rows } else { 0 }),
            pays: Pays::default(),
            computed: 0,
        }
    }

    /// Searches the first `n` gates of `block`; `None` for those without power.
    pub(crate) fn block(
        &self,
        s: S,
        block: &Block<S>,
        n: usize,
        scratch: &mut SearchScratch<S>,
    ) -> [Option<Best>; MOST_LANES] {
        let mut found = [None; MOST_LANES];
        let SearchScratch { row, coarse: coarse_scratch, greatest, candidates, pays, computed } =
            scratch;
        let all = n * self.rows() * self.exact.cost();
        let coarse = self.coarse.as_ref().zip(coarse_scratch.as_mut());
        let coarse = coarse.filter(|(coarse, _)| coarse.cost() * self.rows() < all / 2);
        let Some((coarse, coarse_scratch)) = coarse.filter(|_| pays.now()) else {
            for (lane, found) in found.iter_mut().enumerate().take(n) {
                *found = self.every_row(s, block.gate(lane), row);
            }
            *computed = n * self.rows();
            return found;
        };
        for (idx, greatest) in greatest.chunks_exact_mut(self.shape.periods).enumerate() {
            coarse.rows(s, &block.lanes, self.phasors(idx), coarse_scratch, greatest);
        }
        *computed = 0;
        for (lane, found) in found.iter_mut().enumerate().take(n) {
            let magnitude = block.magnitude(s, lane);
            if magnitude == 0.0 {
                continue;
            }
            let gate = block.gate(lane);
            let greatest = S::floats(greatest).iter().skip(lane).step_by(S::LANES).copied();
            let Some(mut best) = self.most_promising(s, gate, greatest.clone(), row) else {
                *found = self.every_row(s, gate, row);
                *computed += self.rows();
                continue;
            };
            let test = Test {
                hidden: coarse.hidden(),
                exact: self.exact.error() * magnitude,
                coarse: coarse.error() * magnitude,
                bounded: ORDINARY.contains(&(magnitude * magnitude)),
            };
            let threshold = test.threshold(best.1.power);
            candidates.clear();
            candidates.extend(
                greatest.zip(0u32..).filter(|&(p, row)| p >= threshold && row as usize != best.0),
            );
            candidates.sort_unstable_by_key(|&(p, row)| (Reverse(p.to_bits()), row));
            *computed += 1;
            let mut threshold = threshold;
            for &(p, idx) in &*candidates {
                if p < threshold {
                    break;
                }
                *computed += 1;
                if self.improve(s, gate, idx as usize, row, &mut best.1) {
                    threshold = test.threshold(best.1.power);
                }
            }
            *found = (best.1.power > 0.0).then_some(best.1);
        }
        let cost = coarse.cost() * self.rows() + *computed * self.exact.cost();
        pays.has(cost < all);
        found
    }

    /// Computes the row with the greatest coarse power, and returns its index and its best; `None`
    /// where there is none beyond doubt.
    fn most_promising(
        &self,
        s: S,
        gate: Planes<'_>,
        greatest: impl Iterator<Item = f32>,
        row: &mut RowScratch<S>,
    ) -> Option<(usize, Best)> {
        let (mut at, mut most) = (0, 0.0);
        for (idx, p) in greatest.enumerate() {
            if p > most {
                (at, most) = (idx, p);
            }
        }
        if !ORDINARY.contains(&f64::from(most)) {
            return None;
        }
        let mut best = Best { power: 0.0, acceleration: 0, frequency: 0 };
        self.improve(s, gate, at, row, &mut best);
        Some((at, best))
    }

    /// Searches every row.
    fn every_row(&self, s: S, gate: Planes<'_>, row: &mut RowScratch<S>) -> Option<Best> {
        let mut best = Best { power: 0.0, acceleration: 0, frequency: 0 };
        for idx in 0..self.rows() {
            self.improve(s, gate, idx, row, &mut best);
        }
        (best.power > 0.0).then_some(best)
    }

    /// Computes a row, and replaces `best` if it has something better; says whether it had.
    fn improve(
        &self,
        s: S,
        gate: Planes<'_>,
        row_idx: usize,
        row: &mut RowScratch<S>,
        best: &mut Best,
    ) -> bool {
        let (acceleration, k1) = (row_idx / self.shape.periods, row_idx % self.shape.periods);
        let power = self.exact.row(s, gate, self.phasors(acceleration), k1, row);
        if power == 0.0 || power < best.power {
            return false;
        }
        let points = self.shape.points();
        let place = |k2| (k1 + self.shape.periods * k2 + self.first) % points;
        let Some((order, k2)) = self.exact.find(s, power, row, place) else {
            return false;
        };
        let best_order = (best.acceleration, (best.frequency + self.first) % points);
        if power > best.power || (acceleration, order) < best_order {
            *best = Best { power, acceleration, frequency: k1 + self.shape.periods * k2 };
            return true;
        }
        false
    }
}

/// When a row is skipped: what the proof at [`Search`] needs of one gate.
struct Test {
    hidden: f64,
    /// Greatest error of a modulus that is computed exactly.
    exact: f64,
    /// Greatest error of a coarse modulus.
    coarse: f64,
    bounded: bool,
}

impl Test {
    /// Rows with a coarse power below this have no power as great as `best`.
    fn threshold(&self, best: f32) -> f32 {
        let best = f64::from(best);
        if !self.bounded || !ORDINARY.contains(&best) {
            return 0.0;
        }
        let exact = best.sqrt() * (1.0 - SLACK) - self.exact;
        let coarse = exact * self.hidden * (1.0 - SLACK) - self.coarse;
        (coarse.max(0.0).powi(2) * (1.0 - SLACK)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    fn noise<S: Simd>(s: S, shape: &Shape, seed: u32) -> Block<S> {
        let mut block = Block::new(s, shape);
        let mut state = seed;
        for x in &mut block.lanes {
            for part in [&mut x.re, &mut x.im] {
                for x in S::floats_mut(std::slice::from_mut(part)) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    *x = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
                }
            }
        }
        block.gates_from_lanes(shape);
        block
    }

    /// That skipping changes nothing is worth little where nothing is skipped.
    fn check<S: Simd>(s: S) {
        for (periods, period, pulse) in [(10, 250, 24), (5, 2000, 192), (17, 250, 20)] {
            let shape = Shape { periods, n_ipp: periods, pulse, period };
            let skipping = Search::new(s, shape, None, true, 3);
            let every = Search::new(s, shape, None, false, 3);
            let (mut some, mut all) = (skipping.scratch(s), every.scratch(s));
            for seed in 0..4 {
                let block = noise(s, &shape, seed);
                let found = skipping.block(s, &block, S::LANES, &mut some);
                assert_eq!(found, every.block(s, &block, S::LANES, &mut all));
                assert_eq!(all.computed, S::LANES * periods);
                assert!(some.computed < all.computed / 2, "{} of {}", some.computed, all.computed);
            }
        }
    }

    #[test]
    fn most_rows_of_noise_are_skipped() {
        check(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            crate::simd::Avx2::detect().inspect(|s| check(*s));
            crate::simd::Avx512::detect().inspect(|s| check(*s));
        }
    }

    #[test]
    fn coarse_points_that_do_not_pay_are_left_out_ever_longer() {
        let mut pays = Pays::default();
        let mut tried = Vec::new();
        for block in 0..40 {
            if pays.now() {
                tried.push(block);
                pays.has(false);
            }
        }
        assert_eq!(tried, [0, 2, 5, 10, 19, 36]);
        let mut pays = Pays { pause: 8, left: 0 };
        assert!(pays.now());
        pays.has(true);
        assert!(pays.now() && pays.now());
    }
}
