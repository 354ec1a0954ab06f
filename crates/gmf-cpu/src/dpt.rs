//! The discrete polynomial transform: which acceleration an echo has, by one transform.

use std::sync::Arc;

use gmf_api::{Complex32, Derived};
use rustfft::{Fft, FftPlanner};

/// The tables of the transform; shared by all threads.
pub(crate) struct Dpt {
    n: usize,
    delay: usize,
    positions: Vec<usize>,
    pulse: usize,
    fft: Arc<dyn Fft<f32>>,
}

/// Memory that one thread needs.
pub(crate) struct DptScratch {
    signal: Vec<Complex32>,
    product: Vec<Complex32>,
    fft: Vec<Complex32>,
}

impl Dpt {
    pub(crate) fn new(derived: &Derived) -> Self {
        let n = derived.n_accelerations();
        Self {
            n,
            delay: derived.dpt_delay(),
            positions: (0..derived.n_ipp()).map(|k| derived.decimated_position(k)).collect(),
            pulse: derived.decimated_pulse(),
            fft: FftPlanner::new().plan_fft_forward(n),
        }
    }

    pub(crate) fn scratch(&self) -> DptScratch {
        DptScratch {
            // What lies between the pulses stays zero.
            signal: vec![Complex32::default(); self.n + self.delay],
            product: vec![Complex32::default(); self.n],
            fft: vec![Complex32::default(); self.fft.get_inplace_scratch_len()],
        }
    }

    /// Finds the acceleration, as an index on the axis, under which the echo times its own
    /// conjugate `delay` earlier adds up to most; the lowest of those that tie, which are all if
    /// no two pulses are `delay` apart.
    ///
    /// Source: `fast_dpt_np` in hardtarget 0.5.1, `gmf/gmf_numpy.py`.
    pub(crate) fn acceleration(&self, echo: &[Complex32], scratch: &mut DptScratch) -> usize {
        let DptScratch { signal, product, fft } = scratch;
        for (echo, &position) in echo.chunks_exact(self.pulse).zip(&self.positions) {
            signal[position..position + self.pulse].copy_from_slice(echo);
        }
        for ((product, late), early) in product.iter_mut().zip(&signal[self.delay..]).zip(&*signal)
        {
            *product = late * early.conj();
        }
        self.fft.process_with_scratch(product, fft);
        // The axis is ascending, so negative frequencies come first, and of equal powers the
        // lowest acceleration is taken.
        let (positive, negative) = product.split_at(self.n.div_ceil(2));
        let mut best = 0;
        let mut most = 0.0;
        for (idx, z) in negative.iter().chain(positive).enumerate() {
            let power = z.norm_sqr();
            if power > most {
                most = power;
                best = idx;
            }
        }
        best
    }
}
