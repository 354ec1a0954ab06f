//! The plan: gates in blocks of as many as there are lanes, divided among threads.

use std::sync::{Arc, Mutex, PoisonError};

use gmf_api::{
    Derived, GmfPlan, GridRowMut, Integration, KernelError, KernelOptions, Method, ZeroFrequency,
};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::echo::{Block, Windows, decode, zero_frequency};
use crate::exact::Shape;
use crate::kernel::NAME;
use crate::search::{Best, Phasors, Search, SearchScratch};
use crate::simd::{C, Complex, Kernel, MOST_LANES, Simd};
use crate::turn::SquaredTimes;

/// A plan of the kernel, for one level.
pub(crate) struct CpuPlan<S: Simd> {
    pool: Option<Arc<ThreadPool>>,
    tables: Tables<S>,
    windows: Windows,
    scratch: Vec<Scratch<S>>,
}

/// What all threads read.
struct Tables<S: Simd> {
    s: S,
    derived: Arc<Derived>,
    shape: Shape,
    /// Phasors of the first acceleration, where the zero-frequency term asks for them.
    first_phasors: Option<Phasors<S>>,
    search: Search<S>,
    dpt: Option<Dpt<S>>,
}

/// The discrete polynomial transform: the spectrum of the echo times its own conjugate `delay`
/// periods earlier has its greatest power at the frequency that stands for the acceleration.
///
/// Source: `fast_dpt_np` in hardtarget 0.5.1, `gmf/gmf_numpy.py`.
struct Dpt<S: Simd> {
    delay: usize,
    shape: Shape,
    search: Search<S>,
    times: SquaredTimes,
}

/// What one thread writes.
struct Scratch<S: Simd> {
    echo: Block<S>,
    search: SearchScratch<S>,
    dpt: Option<DptScratch<S>>,
}

struct DptScratch<S: Simd> {
    /// The echo times its own conjugate earlier.
    product: Block<S>,
    search: SearchScratch<S>,
    /// The echo under the phasors of the acceleration found.
    turned: Block<S>,
}

fn phasors<S: Simd>(
    s: S,
    derived: &Derived,
    shape: &Shape,
    accelerations: std::ops::Range<usize>,
) -> Phasors<S> {
    let times_s = derived.decimated_times_s();
    let gate = shape.n_ipp * shape.plane();
    let mut re_planes = vec![s.splat(0.0); accelerations.len() * gate / S::LANES];
    let mut im_planes = re_planes.clone();
    let (re, im) = (S::floats_mut(&mut re_planes), S::floats_mut(&mut im_planes));
    for (idx, acceleration) in accelerations.enumerate() {
        let phasors = derived.acceleration_phasors(acceleration, &times_s);
        for (k, phasors) in phasors.chunks_exact(shape.pulse).enumerate() {
            for (l, phasor) in phasors.iter().enumerate() {
                let at = idx * gate + k * shape.plane() + l;
                (re[at], im[at]) = (phasor.re, phasor.im);
            }
        }
    }
    Phasors { re: re_planes, im: im_planes }
}

impl<S: Simd> Tables<S> {
    fn new(
        s: S,
        derived: &Arc<Derived>,
        options: &KernelOptions,
        skipping: bool,
    ) -> Result<Self, KernelError> {
        let period = derived.ipp_samples() / derived.decimation();
        let shape = Shape {
            periods: derived.decimated_read_length() / period,
            n_ipp: derived.n_ipp(),
            pulse: derived.decimated_pulse(),
            period,
        };
        let window = derived.acceleration_window();
        let first_phasors = match options.zero_frequency {
            ZeroFrequency::FirstAcceleration => {
                Some(phasors(s, derived, &shape, window.start..window.start + 1))
            }
            _ => None,
        };
        let (search, dpt) = match options.method {
            Method::Fgmf => {
                let phasors = phasors(s, derived, &shape, window);
                (Search::new(s, shape, Some(phasors), skipping, 0), None)
            }
            Method::Fdpt => {
                let dpt = Dpt::new(s, derived, &shape, skipping);
                (Search::new(s, shape, None, skipping, 0), Some(dpt))
            }
            other => {
                return Err(KernelError::Unsupported {
                    kernel: NAME.to_owned(),
                    what: format!("the method {other}"),
                });
            }
        };
        Ok(Self { s, derived: Arc::clone(derived), shape, first_phasors, search, dpt })
    }

    fn scratch(&self) -> Scratch<S> {
        let block = |shape: &Shape| Block::new(self.s, shape);
        Scratch {
            echo: block(&self.shape),
            search: self.search.scratch(self.s),
            dpt: self.dpt.as_ref().map(|dpt| DptScratch {
                product: block(&dpt.shape),
                search: dpt.search.scratch(self.s),
                turned: block(&self.shape),
            }),
        }
    }

    /// Searches the gates from `first` on, as many as `row` has, which is at most one per lane.
    fn block(
        &self,
        integration: Integration<'_>,
        windows: &Windows,
        first: usize,
        row: &mut GridRowMut<'_>,
        scratch: &mut Scratch<S>,
    ) {
        let s = self.s;
        let n = row.gmf.len();
        let lanes = &mut scratch.echo.lanes;
        decode(s, &self.derived, &self.shape, integration.tx, windows, first, lanes);
        scratch.echo.gates_from_lanes(&self.shape);
        let phasors = self.first_phasors.as_ref().map(Phasors::planes);
        for (lane, term) in row.zero_frequency.iter_mut().enumerate() {
            *term = zero_frequency(s, scratch.echo.gate(lane), phasors);
        }
        let mut accelerations = [self.derived.acceleration_window().start; MOST_LANES];
        let found = match (&self.dpt, &mut scratch.dpt) {
            (Some(dpt), Some(dpt_scratch)) => {
                accelerations = dpt.accelerations(s, &scratch.echo, n, dpt_scratch);
                let turned = &mut dpt_scratch.turned;
                for lane in 0..n {
                    let (echo, to) = (scratch.echo.gate(lane), turned.gate_mut(lane));
                    dpt.times.turn(s, &self.derived, accelerations[lane], echo, to);
                }
                turned.lanes_from_gates(&self.shape);
                self.search.block(s, turned, n, &mut scratch.search)
            }
            _ => self.search.block(s, &scratch.echo, n, &mut scratch.search),
        };
        for (idx, (found, first)) in found.iter().zip(accelerations).enumerate().take(n) {
            let (power, range_rate, acceleration) = match found {
                Some(best) => {
                    (best.power, best.frequency as i32, (first + best.acceleration) as i32)
                }
                None => (0.0, -1, -1),
            };
            row.gmf[idx] = power;
            row.range_rate_idx[idx] = range_rate;
            row.acceleration_idx[idx] = acceleration;
        }
    }
}

impl<S: Simd> Dpt<S> {
    fn new(s: S, derived: &Derived, echo: &Shape, skipping: bool) -> Self {
        let delay = derived.processing().dpt_ipp_delay_parameter;
        let shape = Shape {
            periods: derived.n_accelerations() / echo.period,
            n_ipp: echo.n_ipp.saturating_sub(delay),
            ..*echo
        };
        // The axis of accelerations is ascending, so the negative frequencies come first.
        let first = derived.n_accelerations() / 2;
        Self {
            delay,
            shape,
            search: Search::new(s, shape, None, skipping, first),
            times: SquaredTimes::new(derived, echo),
        }
    }

    /// Finds the acceleration of each of the first `n` gates, as an index on the axis: the lowest
    /// of those that tie, which are all where no two pulses are `delay` periods apart.
    fn accelerations(
        &self,
        s: S,
        echo: &Block<S>,
        n: usize,
        scratch: &mut DptScratch<S>,
    ) -> [usize; MOST_LANES] {
        let DptScratch { product, search, .. } = scratch;
        s.run(Product { echo: &echo.lanes, apart: self.delay * self.shape.stride(), product });
        product.gates_from_lanes(&self.shape);
        let found = self.search.block(s, product, n, search);
        let (first, points) = (self.shape.points() / 2, self.shape.points());
        found.map(|found| found.map_or(0, |Best { frequency, .. }| (frequency + first) % points))
    }
}

/// The echo times its own conjugate `apart` samples earlier.
struct Product<'a, S: Simd> {
    echo: &'a [C<S>],
    apart: usize,
    product: &'a mut Block<S>,
}

impl<S: Simd> Kernel<S> for Product<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let late = self.echo.iter().skip(self.apart);
        for ((product, late), early) in self.product.lanes.iter_mut().zip(late).zip(self.echo) {
            *product = Complex {
                re: s.mul_add(late.re, early.re, s.mul(late.im, early.im)),
                im: s.mul_sub(late.im, early.re, s.mul(late.re, early.im)),
            };
        }
    }
}

impl<S: Simd> CpuPlan<S> {
    pub(crate) fn new(
        s: S,
        pool: Option<Arc<ThreadPool>>,
        derived: &Arc<Derived>,
        options: &KernelOptions,
        skipping: bool,
    ) -> Result<Self, KernelError> {
        let tables = Tables::new(s, derived, options, skipping)?;
        let threads = pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        let threads = threads.min(derived.n_ranges().div_ceil(S::LANES));
        let scratch = (0..threads).map(|_| tables.scratch()).collect();
        Ok(Self { pool, tables, windows: Windows::new(derived), scratch })
    }
}

impl<S: Simd> GmfPlan for CpuPlan<S> {
    fn execute(
        &mut self,
        integration: Integration<'_>,
        row: GridRowMut<'_>,
    ) -> Result<(), KernelError> {
        let Self { pool, tables, windows, scratch } = self;
        integration.check(&tables.derived)?;
        row.check(tables.derived.n_ranges())?;
        windows.load(&tables.derived, integration.rx);
        let windows = &*windows;
        let GridRowMut { gmf, zero_frequency, range_rate_idx, acceleration_idx } = row;
        let blocks = gmf
            .chunks_mut(S::LANES)
            .zip(zero_frequency.chunks_mut(S::LANES))
            .zip(range_rate_idx.chunks_mut(S::LANES))
            .zip(acceleration_idx.chunks_mut(S::LANES))
            .enumerate();
        // Blocks do not cost the same, so each thread takes one after the other.
        let blocks = Mutex::new(blocks);
        let work = |scratch: &mut Scratch<S>| {
            loop {
                let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((idx, (((gmf, zero_frequency), range_rate_idx), acceleration_idx))) = next
                else {
                    return;
                };
                let mut row = GridRowMut { gmf, zero_frequency, range_rate_idx, acceleration_idx };
                tables.block(integration, windows, idx * S::LANES, &mut row, scratch);
            }
        };
        match pool {
            Some(pool) => pool.install(|| scratch.par_iter_mut().for_each(work)),
            None => scratch.iter_mut().for_each(work),
        }
        Ok(())
    }
}
