//! The search of rows of frequencies: transforms whose spectra never leave the workgroup.

use std::fmt::Write as _;

use super::{PARAMS, Shader, TIMES};
use crate::codelet;
use crate::shape::{Shape, TILE, filled, pitch};

/// Searches the parts of one level, in every row of every gate; grid `[periods, tiles, gates]`.
///
/// A workgroup takes one row `k1` of one gate under a tile of accelerations. From the second level
/// on it goes through those only whose row may still reach the gate's best. Each part is
/// transformed by some of its invocations, which form the power and keep the greatest in registers;
/// a row's greatest power goes to `rows` for the next level, the best of the workgroup to
/// `partials`, as power, acceleration and *key*, by which equal powers are told apart: the
/// frequency, or, with `rotated`, its place on an axis that begins with the negative ones.
pub(crate) fn peak(shape: &Shape, rotated: bool) -> Shader {
    let n = shape.n();
    let workgroup = shape.workgroup();
    let shared = shape.parts_at_once * shape.exchange();
    let mut source = [PARAMS, TIMES].concat();
    let key = if rotated {
        format!(
            "select(f + {}u, f - {}u, f >= {}u)",
            n - n.div_ceil(2),
            n.div_ceil(2),
            n.div_ceil(2)
        )
    } else {
        "f".to_owned()
    };
    // Writing to a `String` does not fail.
    let _ = write!(
        source,
        "
@group(0) @binding(1) var<storage, read> y: array<vec2f>;
@group(0) @binding(2) var<storage, read> twiddles: array<vec2f>;
@group(0) @binding(3) var<storage, read> part_list: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read> results: array<u32>;
@group(0) @binding(6) var<storage, read_write> partials: array<vec4u>;

const N = {n}u;
const PERIODS = {periods}u;
const PULSE = {pulse}u;
const POINTS = {points}u;
const STRIDE = {stride}u;
const LANES = {lanes}u;
const AT_ONCE = {at_once}u;
const WORKGROUP = {workgroup}u;
const TILE = {TILE}u;
// Behind the turns of the inputs, those of the stages.
const STAGE = {stage}u;

{exchange}
var<workgroup> row: array<atomic<u32>, TILE>;
var<workgroup> todo: array<u32, TILE>;
var<workgroup> n_todo: u32;
var<workgroup> best_power: array<f32, WORKGROUP>;
var<workgroup> best_acc: array<u32, WORKGROUP>;
var<workgroup> best_key: array<u32, WORKGROUP>;

fn key_of(f: u32) -> u32 {{ return {key}; }}

fn better(a: vec3u, b: vec3u) -> bool {{
    if (a.x != b.x) {{ return a.x > b.x; }}
    if (a.y != b.y) {{ return a.y < b.y; }}
    return a.z < b.z;
}}

@compute @workgroup_size({workgroup})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) tid: u32) {{
    let k1 = wg.x;
    let first_acc = wg.y * TILE;
    let n_acc = min(TILE, p.n_acc - first_acc);
    let first_row = (wg.z * p.n_acc + first_acc) * PERIODS + k1;
    if (tid == 0u) {{
        var n = 0u;
        let least = p.hidden * bitcast<f32>(results[(p.first_best + wg.z) * 4u]);
        for (var j = 0u; j < n_acc; j++) {{
            var power = 0u;
            if (p.level > 0u) {{ power = rows[first_row + j * PERIODS]; }}
            atomicStore(&row[j], power);
            let seen = bitcast<f32>(power);
            if (p.level == 0u || (seen > 0f && seen >= least)) {{
                todo[n] = j;
                n += 1u;
            }}
        }}
        n_todo = n;
    }}
    let n_jobs = workgroupUniformLoad(&n_todo) * p.n_parts;
    let lane = tid / LANES;
    let t = tid % LANES;
    var most = 0f;
    var most_acc = 0u;
    var most_key = 0u;
    for (var first = 0u; first < n_jobs; first += AT_ONCE) {{
        let busy = first + lane < n_jobs;
        let job = min(first + lane, n_jobs - 1u);
        let j = todo[job / p.n_parts];
        let acc = p.first_acc + first_acc + j;
        let kappa = k1 + PERIODS * part_list[p.first_part + job % p.n_parts];
        let input = (first_row + j * PERIODS) * PULSE;
",
        periods = shape.periods,
        pulse = shape.pulse,
        points = shape.points,
        stride = shape.stride(),
        lanes = shape.lanes_of_part,
        at_once = shape.parts_at_once,
        stage = shape.stride() * shape.pulse,
        exchange = if shared > 0 {
            format!("var<workgroup> exchange: array<vec2f, {shared}>;")
        } else {
            String::new()
        },
    );
    if shape.radices.is_empty() {
        source.push_str(DIRECT);
    } else {
        stages(shape, &mut source);
    }
    let strides = std::iter::successors(Some(workgroup.next_power_of_two() / 2), |s| Some(s / 2));
    source.push_str(END);
    for stride in strides.take_while(|&stride| stride > 0) {
        let _ = write!(
            source,
            "
    if (tid < {stride}u && tid + {stride}u < WORKGROUP) {{ merge(tid, tid + {stride}u); }}
    workgroupBarrier();"
        );
    }
    let _ = write!(
        source,
        "
    if (tid == 0u) {{
        let at = (wg.z * p.n_tiles + wg.y) * PERIODS + k1;
        partials[at] = vec4u(bitcast<u32>(best_power[0]), best_acc[0], best_key[0], 0u);
    }}
}}

fn merge(a: u32, b: u32) {{
    let mine = vec3u(bitcast<u32>(best_power[a]), best_acc[a], best_key[a]);
    let other = vec3u(bitcast<u32>(best_power[b]), best_acc[b], best_key[b]);
    if (better(other, mine)) {{
        best_power[a] = best_power[b];
        best_acc[a] = best_acc[b];
        best_key[a] = best_key[b];
    }}
}}
"
    );
    Shader {
        label: "peak",
        source,
        writes: &[false, false, false, true, false, true],
        shared_bytes: shape.shared_bytes(),
        workgroup,
    }
}

/// Keeps a power of the frequency `f` if it is the invocation's best.
const KEEP: &str = "
                let key = key_of(f);
                if (power > most || acc < most_acc || (acc == most_acc && key < most_key)) {
                    most = power;
                    most_acc = acc;
                    most_key = key;
                }";

/// Every frequency by itself. The inner sums are short, so that rounding stays small.
const DIRECT: &str = "
        if (busy) {
            var greatest = 0f;
            for (var q = t; q < POINTS; q += LANES) {
                let f = kappa + STRIDE * q;
                var sum = vec2f();
                var at = 0u;
                for (var start = 0u; start < PULSE; start += 32u) {
                    var short = vec2f();
                    for (var l = start; l < min(start + 32u, PULSE); l++) {
                        short += times(y[input + l], twiddles[at]);
                        at += f;
                        if (at >= N) { at -= N; }
                    }
                    sum += short;
                }
                let power = dot(sum, sum);
                greatest = max(greatest, power);
                if (power > 0f && power >= most) {
                    let key = key_of(f);
                    if (power > most || acc < most_acc || (acc == most_acc && key < most_key)) {
                        most = power;
                        most_acc = acc;
                        most_key = key;
                    }
                }
            }
            atomicMax(&row[j], bitcast<u32>(greatest));
        }
    }
";

const END: &str = "
    best_power[tid] = most;
    best_acc[tid] = most_acc;
    best_key[tid] = most_key;
    workgroupBarrier();
    if (n_jobs > 0u && tid < n_acc) {
        rows[first_row + tid * PERIODS] = atomicLoad(&row[tid]);
    }
";

/// The stages of a part's transform, by Stockham's scheme: after a stage the value with the output
/// digits `u` so far and the input index `t` left lies at `u * pitch + t`.
fn stages(shape: &Shape, source: &mut String) {
    let n_stages = shape.radices.len();
    let size = shape.exchange();
    let (mut done, mut rest) = (1, shape.points);
    let mut from = 0;
    for (stage, &radix) in shape.radices.iter().enumerate() {
        let last = stage + 1 == n_stages;
        let next = rest / radix;
        let butterflies = shape.points / radix;
        let guard = if butterflies < shape.lanes_of_part {
            format!("busy && t < {butterflies}u")
        } else {
            "busy".to_owned()
        };
        let mut line = |text: String| {
            source.push_str(&text);
            source.push('\n');
        };
        line(format!("        var v{stage}: array<vec2f, {radix}>;"));
        line(format!("        if ({guard}) {{"));
        line(format!("            var v: array<vec2f, {radix}>;"));
        line(format!("            let u = t / {next}u;"));
        line(format!("            let s = t % {next}u;"));
        let inputs = if stage == 0 { filled(shape.points, radix, shape.pulse) } else { radix };
        if stage == 0 {
            for i in 0..inputs {
                let at = format!("s + {}u", i * next);
                let value = format!("times(y[input + {at}], twiddles[kappa * PULSE + {at}])");
                // Only the last of the filled inputs may lie behind the pulse.
                if (i + 1) * next > shape.pulse {
                    line(format!("            if ({at} < PULSE) {{ v[{i}] = {value}; }}"));
                } else {
                    line(format!("            v[{i}] = {value};"));
                }
            }
        } else {
            for i in 0..radix {
                let at = format!("lane * {size}u + u * {from}u + s + {}u", i * next);
                line(format!("            v[{i}] = exchange[{at}];"));
            }
        }
        line(codelet::in_place(radix, inputs));
        if last {
            let powers: Vec<String> = (0..radix)
                .map(|i| format!("            let p{i} = dot(v[{i}], v[{i}]);"))
                .collect();
            line(powers.join("\n"));
            let greatest = (1..radix).fold("p0".to_owned(), |m, i| format!("max({m}, p{i})"));
            line(format!("            let power = {greatest};"));
            line("            atomicMax(&row[j], bitcast<u32>(power));".to_owned());
            line("            if (power > 0f && power >= most) {".to_owned());
            for i in 0..radix {
                line(format!("                if (p{i} == power) {{"));
                line(format!(
                    "                let f = kappa + STRIDE * (u + {}u);{KEEP}",
                    i * done
                ));
                line("                }".to_owned());
            }
            line("            }".to_owned());
        } else {
            // The turn of output q is w_rest^(s q), which is w_points^(s q points / rest).
            for i in 1..radix {
                let at = format!("STAGE + s * {}u", i * (shape.points / rest));
                line(format!("            v[{i}] = times(v[{i}], twiddles[{at}]);"));
            }
            line(format!("            v{stage} = v;"));
        }
        line("        }".to_owned());
        if !last {
            // What the exchange held was read by all, before it is overwritten.
            line("        workgroupBarrier();".to_owned());
            line(format!("        if ({guard}) {{"));
            line(format!("            let u = t / {next}u;"));
            line(format!("            let s = t % {next}u;"));
            from = pitch(next);
            for i in 0..radix {
                let at = format!("lane * {size}u + (u + {}u) * {from}u + s", i * done);
                line(format!("            exchange[{at}] = v{stage}[{i}];"));
            }
            line("        }".to_owned());
            line("        workgroupBarrier();".to_owned());
        }
        done *= radix;
        rest = next;
    }
    source.push_str("    }\n");
}
