//! The echoes of a block of gates: decoded, and laid out for either way of searching them.

use gmf_api::{Complex32, Derived};

use crate::exact::{Planes, Shape};
use crate::simd::{C, Complex, Kernel, MOST_LANES, Simd, zero};

/// The receive windows, real and imaginary parts apart, and apart by their index modulo the gate
/// step: then the samples that neighbouring gates need at once follow one another.
#[derive(Debug)]
pub(crate) struct Windows {
    step: usize,
    /// Samples of one window with one index modulo the step, and some more to read past the end.
    length: usize,
    /// `[n_ipp, step, length]`.
    re: Vec<f32>,
    im: Vec<f32>,
}

impl Windows {
    pub(crate) fn new(derived: &Derived) -> Self {
        let step = derived.gate_step();
        let length = derived.window_samples().div_ceil(step) + MOST_LANES;
        let all = derived.n_ipp() * step * length;
        Self { step, length, re: vec![0.0; all], im: vec![0.0; all] }
    }

    pub(crate) fn load(&mut self, derived: &Derived, rx: &[Complex32]) {
        let windows = rx.chunks_exact(derived.window_samples());
        let to = self.step * self.length;
        for (window, (re, im)) in
            windows.zip(self.re.chunks_exact_mut(to).zip(self.im.chunks_exact_mut(to)))
        {
            if self.step == 1 {
                for ((re, im), z) in re.iter_mut().zip(im).zip(window) {
                    (*re, *im) = (z.re, z.im);
                }
                continue;
            }
            for (phase, (re, im)) in
                re.chunks_exact_mut(self.length).zip(im.chunks_exact_mut(self.length)).enumerate()
            {
                let samples = window.iter().skip(phase).step_by(self.step);
                for ((re, im), z) in re.iter_mut().zip(im).zip(samples) {
                    (*re, *im) = (z.re, z.im);
                }
            }
        }
    }
}

/// Signals of as many gates as there are lanes, in both layouts.
pub(crate) struct Block<S: Simd> {
    /// A gate in each lane, `[n_ipp, stride]`, zero behind each pulse.
    pub(crate) lanes: Vec<C<S>>,
    /// One gate after the other, `[LANES, n_ipp, plane]`.
    re: Vec<S::V>,
    im: Vec<S::V>,
    /// Numbers of one gate, `n_ipp * plane`.
    gate: usize,
}

impl<S: Simd> Block<S> {
    pub(crate) fn new(s: S, shape: &Shape) -> Self {
        let gate = shape.n_ipp * shape.plane();
        Self {
            lanes: vec![zero(s); shape.n_ipp * shape.stride()],
            re: vec![s.splat(0.0); gate],
            im: vec![s.splat(0.0); gate],
            gate,
        }
    }

    /// The signal of one gate, `[n_ipp, plane]`.
    pub(crate) fn gate(&self, lane: usize) -> Planes<'_> {
        Planes {
            re: &S::floats(&self.re)[lane * self.gate..][..self.gate],
            im: &S::floats(&self.im)[lane * self.gate..][..self.gate],
        }
    }

    /// The signal of one gate, real parts and imaginary parts, `[n_ipp, plane]`.
    pub(crate) fn gate_mut(&mut self, lane: usize) -> (&mut [f32], &mut [f32]) {
        (
            &mut S::floats_mut(&mut self.re)[lane * self.gate..][..self.gate],
            &mut S::floats_mut(&mut self.im)[lane * self.gate..][..self.gate],
        )
    }

    /// Makes the gates from the lanes.
    pub(crate) fn gates_from_lanes(&mut self, shape: &Shape) {
        let (pulse, plane) = (shape.pulse, shape.plane());
        let (to_re, to_im) = (S::floats_mut(&mut self.re), S::floats_mut(&mut self.im));
        for (k, lanes) in self.lanes.chunks_exact(shape.stride()).enumerate() {
            for (l, x) in lanes[..pulse].iter().enumerate() {
                let x = [x.re, x.im];
                let (re, im) = S::floats(&x).split_at(S::LANES);
                let to = k * plane + l;
                for (lane, (re, im)) in re.iter().zip(im).enumerate() {
                    to_re[lane * self.gate + to] = *re;
                    to_im[lane * self.gate + to] = *im;
                }
            }
        }
    }

    /// Makes the lanes from the gates.
    pub(crate) fn lanes_from_gates(&mut self, shape: &Shape) {
        let (pulse, plane) = (shape.pulse, shape.plane());
        let (from_re, from_im) = (S::floats(&self.re), S::floats(&self.im));
        for (k, lanes) in self.lanes.chunks_exact_mut(shape.stride()).enumerate() {
            for (l, x) in lanes[..pulse].iter_mut().enumerate() {
                let from = k * plane + l;
                let mut both = [x.re, x.im];
                let (re, im) = S::floats_mut(&mut both).split_at_mut(S::LANES);
                for (lane, (re, im)) in re.iter_mut().zip(im).enumerate() {
                    *re = from_re[lane * self.gate + from];
                    *im = from_im[lane * self.gate + from];
                }
                [x.re, x.im] = both;
            }
        }
    }

    /// The sum of `|re| + |im|` over the signal of one gate: no power of it is above its square.
    pub(crate) fn magnitude(&self, s: S, lane: usize) -> f64 {
        s.run(Magnitude { signal: self.gate(lane) })
    }
}

struct Magnitude<'a> {
    signal: Planes<'a>,
}

impl<S: Simd> Kernel<S> for Magnitude<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self, _: S) -> f64 {
        let mut sums = [0.0f64; MOST_LANES];
        let (re, _) = self.signal.re.as_chunks::<MOST_LANES>();
        let (im, _) = self.signal.im.as_chunks::<MOST_LANES>();
        for (re, im) in re.iter().zip(im) {
            for i in 0..MOST_LANES {
                sums[i] += f64::from(re[i].abs() + im[i].abs());
            }
        }
        let mut sum = 0.0;
        for lane in sums {
            sum += lane;
        }
        sum
    }
}

/// Multiplies the echo of a block of range gates with the transmitted code and sums in blocks.
///
/// `echo[k, l] = sum over i in l*dec..(l+1)*dec of tx[k, i] * rx[k, gate + i]`, the first step of
/// the fast filter: what is left is narrow in frequency, so blocks of `dec` samples add up
/// coherently.
///
/// | argument  | shape                                             | unit                       |
/// | --------- | ------------------------------------------------- | -------------------------- |
/// | `tx`      | `[n_ipp, pulse_samples]`                          | see [`gmf_api::Integration`] |
/// | `windows` | those of the integration                          | see [`gmf_api::Integration`] |
/// | `echo`    | `[n_ipp, stride]`, overwritten; a gate in each lane | as `windows`            |
///
/// Source: `fast_gmf_np` in hardtarget 0.5.1, `gmf/gmf_numpy.py`; the sum is in `f32` there too.
pub(crate) fn decode<S: Simd>(
    s: S,
    derived: &Derived,
    shape: &Shape,
    tx: &[Complex32],
    windows: &Windows,
    first_gate: usize,
    echo: &mut [C<S>],
) {
    s.run(Decode { derived, stride: shape.stride(), tx, windows, first_gate, echo });
}

struct Decode<'a, S: Simd> {
    derived: &'a Derived,
    stride: usize,
    tx: &'a [Complex32],
    windows: &'a Windows,
    first_gate: usize,
    echo: &'a mut [C<S>],
}

impl<S: Simd> Kernel<S> for Decode<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self, s: S) {
        let Self { derived, stride, tx, windows, first_gate, echo } = self;
        let Windows { step, length, re, im } = windows;
        let (pulse, dec) = (derived.pulse_samples(), derived.decimation());
        for (k, (echo, tx)) in echo.chunks_exact_mut(stride).zip(tx.chunks_exact(pulse)).enumerate()
        {
            let re = &re[k * step * length..][..step * length];
            let im = &im[k * step * length..][..step * length];
            // Sample `i` of the pulse is number `at` of those with its index modulo the step.
            let (mut phase, mut at) = (0, first_gate);
            for (echo, tx) in echo.iter_mut().zip(tx.chunks_exact(dec)) {
                let mut sum: Complex<S::V> = zero(s);
                for tx in tx {
                    let from = phase * length + at;
                    let (rx_re, rx_im) = (s.load(&re[from..]), s.load(&im[from..]));
                    let (tx_re, tx_im) = (s.splat(tx.re), s.splat(tx.im));
                    sum.re = s.neg_mul_add(tx_im, rx_im, s.mul_add(tx_re, rx_re, sum.re));
                    sum.im = s.mul_add(tx_im, rx_re, s.mul_add(tx_re, rx_im, sum.im));
                    phase += 1;
                    if phase == *step {
                        (phase, at) = (0, at + 1);
                    }
                }
                *echo = sum;
            }
        }
    }
}

/// The square of the sum of `echo * phasors` over a gate: its zero-frequency term.
///
/// In double precision, and in the same order whatever the level: the term is what is left when
/// much cancels.
pub(crate) fn zero_frequency<S: Simd>(s: S, echo: Planes<'_>, phasors: Option<Planes<'_>>) -> f32 {
    let (re, im) = s.run(Sum { echo, phasors });
    (re * re + im * im) as f32
}

struct Sum<'a> {
    echo: Planes<'a>,
    phasors: Option<Planes<'a>>,
}

impl<S: Simd> Kernel<S> for Sum<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self, _: S) -> (f64, f64) {
        let mut sum_re = [0.0f64; MOST_LANES];
        let mut sum_im = [0.0f64; MOST_LANES];
        let (re, _) = self.echo.re.as_chunks::<MOST_LANES>();
        let (im, _) = self.echo.im.as_chunks::<MOST_LANES>();
        match self.phasors {
            None => {
                for (re, im) in re.iter().zip(im) {
                    for i in 0..MOST_LANES {
                        sum_re[i] += f64::from(re[i]);
                        sum_im[i] += f64::from(im[i]);
                    }
                }
            }
            Some(phasors) => {
                let (cos, _) = phasors.re.as_chunks::<MOST_LANES>();
                let (sin, _) = phasors.im.as_chunks::<MOST_LANES>();
                for ((re, im), (cos, sin)) in re.iter().zip(im).zip(cos.iter().zip(sin)) {
                    for i in 0..MOST_LANES {
                        let (re, im) = (f64::from(re[i]), f64::from(im[i]));
                        let (cos, sin) = (f64::from(cos[i]), f64::from(sin[i]));
                        sum_re[i] += re * cos - im * sin;
                        sum_im[i] += re * sin + im * cos;
                    }
                }
            }
        }
        (sum_re.iter().sum(), sum_im.iter().sum())
    }
}
