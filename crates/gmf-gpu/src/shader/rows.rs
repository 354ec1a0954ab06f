//! The transform over the periods: what the rows of frequencies are made of.

use std::fmt::Write as _;

use super::{PARAMS, PHASOR, Shader, TIMES};
use crate::codelet::{self, is_radix};
use crate::shape::Shape;

/// What is transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The echo under the phasors of each acceleration, from a table `[accelerations, n_ipp, pulse]`.
    Table,
    /// The same, with phasors computed from the turns of one step, `[n_ipp, pulse]`.
    Computed,
    /// The echo under the phasors of the one acceleration that was found for its gate.
    Found,
    /// The echo times its own conjugate so many periods earlier.
    Product {
        /// The delay, in periods.
        delay: usize,
    },
}

/// Transforms over the periods, `y[g, a, k1, l] = sum over k of x[g, a, k, l] w_periods^(k k1)`;
/// grid `[pulse / 64, accelerations, gates]`.
pub(crate) fn rows(shape: &Shape, signal: Signal) -> Shader {
    let Shape { periods, pulses, pulse, .. } = *shape;
    let aux = match signal {
        Signal::Table => "array<vec2f>",
        _ => "array<vec2u>",
    };
    let sample = match signal {
        Signal::Table => "let at = k * PULSE + l;
    return times(echo[gate * p.n_ipp * PULSE + at],
        aux[(p.first_acc + acc) * p.n_ipp * PULSE + at]);"
            .to_owned(),
        Signal::Computed => "let at = k * PULSE + l;
    let signed = p.first_signed + i32(p.first_acc + acc);
    return times(echo[gate * p.n_ipp * PULSE + at], phasor(aux[at], signed));"
            .to_owned(),
        Signal::Found => "let at = k * PULSE + l;
    let signed = p.first_signed + i32(found[gate * 4u + 2u]);
    return times(echo[gate * p.n_ipp * PULSE + at], phasor(aux[at], signed));"
            .to_owned(),
        Signal::Product { delay } => format!(
            "let early = echo[(gate * p.n_ipp + k) * PULSE + l];
    let late = echo[(gate * p.n_ipp + k + {delay}u) * PULSE + l];
    return times(late, vec2f(early.x, -early.y));"
        ),
    };
    let mut source = [PARAMS, TIMES, PHASOR].concat();
    // Writing to a `String` does not fail.
    let _ = write!(
        source,
        "
@group(0) @binding(1) var<storage, read> echo: array<vec2f>;
@group(0) @binding(2) var<storage, read> aux: {aux};
@group(0) @binding(3) var<storage, read> found: array<u32>;
@group(0) @binding(4) var<storage, read> weights: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec2f>;

const PULSE = {pulse}u;
const PERIODS = {periods}u;
const PULSES = {pulses}u;

fn sample(gate: u32, acc: u32, k: u32, l: u32) -> vec2f {{
    {sample}
}}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {{
    let l = id.x;
    if (l >= PULSE) {{ return; }}
    let out = (id.z * p.n_acc + id.y) * PERIODS * PULSE + l;
"
    );
    if is_radix(periods) {
        let _ = writeln!(source, "var v: array<vec2f, {periods}>;");
        for k in 0..pulses {
            let _ = writeln!(source, "v[{k}] = sample(id.z, id.y, {k}u, l);");
        }
        source.push_str(&codelet::in_place(periods, pulses));
        for k in 0..periods {
            let _ = writeln!(source, "y[out + {k}u * PULSE] = v[{k}];");
        }
        source.push_str("}\n");
    } else {
        source.push_str(LOOP);
    }
    Shader {
        label: "rows",
        source,
        writes: &[false, false, false, false, true],
        shared_bytes: 0,
        workgroup: 64,
    }
}

/// For many periods, or a number of them without small factors: eight sums at a time.
const LOOP: &str = "
    for (var first = 0u; first < PERIODS; first += 8u) {
        var sums: array<vec2f, 8>;
        for (var j = 0u; j < 8u; j++) { sums[j] = vec2f(); }
        for (var k = 0u; k < PULSES; k++) {
            let x = sample(id.z, id.y, k, l);
            var at = (k * first) % PERIODS;
            for (var j = 0u; j < 8u; j++) {
                sums[j] += times(x, weights[at]);
                at += k;
                if (at >= PERIODS) { at -= PERIODS; }
            }
        }
        for (var j = 0u; j < min(8u, PERIODS - first); j++) {
            y[out + (first + j) * PULSE] = sums[j];
        }
    }
}
";
