//! Decoding the echo of a range gate.

use gmf_api::{Complex32, Derived, Integration};

/// Multiplies the echo of one range gate with the transmitted code and sums in blocks.
///
/// `echo[k, l] = sum over i in l*dec..(l+1)*dec of tx[k, i] * rx[k, gate + i]`, the first step of
/// the fast filter: what is left is narrow in frequency, so blocks of `dec` samples add up
/// coherently.
///
/// | argument      | shape                                 | unit                             |
/// | ------------- | ------------------------------------- | -------------------------------- |
/// | `integration` | of `derived`                          | see [`Integration`]              |
/// | `echo`        | `[n_ipp, decimated_pulse]`, overwritten | as `integration.rx`            |
///
/// Source: `fast_gmf_np` in hardtarget 0.5.1, `gmf/gmf_numpy.py`; the sum is in `f32` there too.
pub(crate) fn decode(
    derived: &Derived,
    integration: Integration<'_>,
    range_idx: usize,
    echo: &mut [Complex32],
) {
    let (pulse, window, dec) =
        (derived.pulse_samples(), derived.window_samples(), derived.decimation());
    let gate = range_idx * derived.gate_step();
    let blocks = pulse / dec;
    for (ipp_idx, echo) in echo.chunks_exact_mut(blocks).enumerate() {
        let tx = &integration.tx[ipp_idx * pulse..][..pulse];
        let rx = &integration.rx[ipp_idx * window + gate..][..pulse];
        for ((sum, tx), rx) in echo.iter_mut().zip(tx.chunks_exact(dec)).zip(rx.chunks_exact(dec)) {
            let (mut re, mut im) = (0.0, 0.0);
            for (tx, rx) in tx.iter().zip(rx) {
                re += tx.re * rx.re - tx.im * rx.im;
                im += tx.re * rx.im + tx.im * rx.re;
            }
            *sum = Complex32::new(re, im);
        }
    }
}
