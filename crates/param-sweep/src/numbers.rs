//! Numbers between two ends, digit by digit those of numpy.

/// `numpy.linspace(from, to, n)[i]`.
///
/// numpy multiplies the index with one rounded step and puts the last number in its place.
pub(crate) fn linear(from: f64, to: f64, n: usize, i: usize) -> f64 {
    if n > 1 && i == n - 1 {
        return to;
    }
    let n_steps = n.saturating_sub(1).max(1) as f64;
    let step = (to - from) / n_steps;
    if step == 0.0 {
        // Steps too small to be a number: numpy then divides first.
        return i as f64 / n_steps * (to - from) + from;
    }
    i as f64 * step + from
}

/// `numpy.geomspace(from, to, n)[i]`, for two numbers of one sign.
pub(crate) fn geometric(from: f64, to: f64, n: usize, i: usize) -> f64 {
    if i == 0 {
        return from;
    }
    if i == n - 1 {
        return to;
    }
    let sign = from.signum();
    let (low, high) = (from.abs().log10(), to.abs().log10());
    sign * 10f64.powf(linear(low, high, n, i))
}

/// `from + to - numpy.geomspace(from, to, n)[i]`, dense where that one is wide: WaterTAP's
/// `ReverseGeomSample`, but ascending.
pub(crate) fn reverse_geometric(from: f64, to: f64, n: usize, i: usize) -> f64 {
    match i {
        0 => from,
        _ if i == n - 1 => to,
        _ => (from + to) - geometric(from, to, n, n - 1 - i),
    }
}
