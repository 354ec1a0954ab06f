//! The kernel and its plan: gates divided among threads.

use std::fmt;
use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, GmfKernel, GmfPlan, GridRowMut, Integration, KernelError, KernelOptions,
    Method, ZeroFrequency,
};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::decode::decode;
use crate::dpt::{Dpt, DptScratch};
use crate::search::{Transform, TransformScratch};

/// The kernel `cpu`: single precision, on a number of threads of this process.
#[derive(Clone)]
pub struct CpuKernel {
    /// `None` works on the caller's thread.
    pool: Option<Arc<ThreadPool>>,
}

impl fmt::Debug for CpuKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuKernel").field("threads", &self.threads()).finish()
    }
}

impl Default for CpuKernel {
    /// Works on the caller's thread.
    fn default() -> Self {
        Self { pool: None }
    }
}

impl CpuKernel {
    /// A kernel that divides the gates of an integration among `threads` threads of its own.
    ///
    /// With one thread (or zero) it works on the caller's. That is the better choice where several
    /// integrations are computed at once; several threads bring one integration to its end sooner.
    ///
    /// # Errors
    ///
    /// [`KernelError::Device`] when the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        if threads <= 1 {
            return Ok(Self::default());
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|idx| format!("gmf-cpu-{idx}"))
            .build()
            .map_err(|source| KernelError::Device {
                kernel: "cpu".to_owned(),
                action: format!("start {threads} threads"),
                source: source.into(),
            })?;
        Ok(Self { pool: Some(Arc::new(pool)) })
    }

    /// The number of threads that work on an integration.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
    }
}

impl GmfKernel for CpuKernel {
    fn name(&self) -> &str {
        "cpu"
    }

    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError> {
        let tables = Tables::new(derived, options)?;
        let threads = self.threads().min(derived.n_ranges());
        let scratch = (0..threads).map(|_| tables.scratch()).collect();
        Ok(Box::new(CpuPlan { pool: self.pool.clone(), tables, scratch }))
    }
}

/// What all threads read.
struct Tables {
    derived: Arc<Derived>,
    options: KernelOptions,
    times_s: Vec<f64>,
    /// For `fgmf`: the phasors of every acceleration of the window, one after the other.
    phasors: Vec<Complex32>,
    first_phasors: Vec<Complex32>,
    dpt: Option<Dpt>,
    transform: Transform,
}

/// What one thread writes.
struct Scratch {
    echo: Vec<Complex32>,
    phasors: Vec<Complex32>,
    dpt: Option<DptScratch>,
    transform: TransformScratch,
}

struct CpuPlan {
    pool: Option<Arc<ThreadPool>>,
    tables: Tables,
    scratch: Vec<Scratch>,
}

impl Tables {
    fn new(derived: &Arc<Derived>, options: &KernelOptions) -> Result<Self, KernelError> {
        let times_s = derived.decimated_times_s();
        let window = derived.acceleration_window();
        let first_phasors = match options.zero_frequency {
            ZeroFrequency::FirstAcceleration => {
                derived.acceleration_phasors(window.start, &times_s)
            }
            _ => Vec::new(),
        };
        let (phasors, dpt) = match options.method {
            Method::Fgmf => {
                let mut phasors = vec![Complex32::default(); window.len() * times_s.len()];
                for (idx, out) in window.zip(phasors.chunks_exact_mut(times_s.len())) {
                    derived.write_acceleration_phasors(idx, &times_s, out);
                }
                (phasors, None)
            }
            Method::Fdpt => (Vec::new(), Some(Dpt::new(derived))),
            other => {
                return Err(KernelError::Unsupported {
                    kernel: "cpu".to_owned(),
                    what: format!("the method {other}"),
                });
            }
        };
        Ok(Self {
            transform: Transform::new(derived),
            derived: Arc::clone(derived),
            options: *options,
            times_s,
            phasors,
            first_phasors,
            dpt,
        })
    }

    fn scratch(&self) -> Scratch {
        let n = self.times_s.len();
        Scratch {
            echo: vec![Complex32::default(); n],
            phasors: vec![Complex32::default(); n],
            dpt: self.dpt.as_ref().map(Dpt::scratch),
            transform: self.transform.scratch(),
        }
    }

    /// Searches the gates from `first` on, as many as `row` has.
    fn search(
        &self,
        integration: Integration<'_>,
        first: usize,
        row: &mut GridRowMut<'_>,
        scratch: &mut Scratch,
    ) {
        for idx in 0..row.gmf.len() {
            decode(&self.derived, integration, first + idx, &mut scratch.echo);
            row.zero_frequency[idx] = self.zero_frequency(&scratch.echo);
            row.gmf[idx] = 0.0;
            row.range_rate_idx[idx] = -1;
            row.acceleration_idx[idx] = -1;
            let mut keep = |best: crate::search::Best, acceleration_idx: usize| {
                row.gmf[idx] = best.power;
                row.range_rate_idx[idx] = best.frequency_idx as i32;
                row.acceleration_idx[idx] = acceleration_idx as i32;
                best.power
            };
            let Scratch { echo, phasors, dpt, transform } = &mut *scratch;
            if let (Some(dpt), Some(dpt_scratch)) = (&self.dpt, dpt) {
                let acceleration_idx = dpt.acceleration(echo, dpt_scratch);
                self.derived.write_acceleration_phasors(acceleration_idx, &self.times_s, phasors);
                if let Some(best) = self.transform.greatest(echo, phasors, 0.0, transform) {
                    keep(best, acceleration_idx);
                }
                continue;
            }
            let mut most = 0.0;
            let window = self.derived.acceleration_window();
            for (acceleration_idx, phasors) in
                window.zip(self.phasors.chunks_exact(self.times_s.len()))
            {
                if let Some(best) = self.transform.greatest(echo, phasors, most, transform) {
                    most = keep(best, acceleration_idx);
                }
            }
        }
    }

    fn zero_frequency(&self, echo: &[Complex32]) -> f32 {
        // In double precision: the term is what is left when much cancels.
        let (mut re, mut im) = (0.0f64, 0.0f64);
        match self.options.zero_frequency {
            ZeroFrequency::FirstAcceleration => {
                for (echo, phasor) in echo.iter().zip(&self.first_phasors) {
                    let turned = echo * phasor;
                    re += f64::from(turned.re);
                    im += f64::from(turned.im);
                }
            }
            _ => {
                for echo in echo {
                    re += f64::from(echo.re);
                    im += f64::from(echo.im);
                }
            }
        }
        (re * re + im * im) as f32
    }
}

impl GmfPlan for CpuPlan {
    fn execute(
        &mut self,
        integration: Integration<'_>,
        mut row: GridRowMut<'_>,
    ) -> Result<(), KernelError> {
        let tables = &self.tables;
        let n_ranges = tables.derived.n_ranges();
        integration.check(&tables.derived)?;
        row.check(n_ranges)?;
        let Some(pool) = &self.pool else {
            tables.search(integration, 0, &mut row, &mut self.scratch[0]);
            return Ok(());
        };
        // Every gate costs the same, so each thread gets one run of gates.
        let share = n_ranges.div_ceil(self.scratch.len());
        let GridRowMut { gmf, zero_frequency, range_rate_idx, acceleration_idx } = row;
        pool.install(|| {
            gmf.par_chunks_mut(share)
                .zip(zero_frequency.par_chunks_mut(share))
                .zip(range_rate_idx.par_chunks_mut(share))
                .zip(acceleration_idx.par_chunks_mut(share))
                .zip(self.scratch.par_iter_mut())
                .enumerate()
                .for_each(
                    |(
                        part,
                        ((((gmf, zero_frequency), range_rate_idx), acceleration_idx), scratch),
                    )| {
                        let mut row =
                            GridRowMut { gmf, zero_frequency, range_rate_idx, acceleration_idx };
                        tables.search(integration, part * share, &mut row, scratch);
                    },
                );
        });
        Ok(())
    }
}
