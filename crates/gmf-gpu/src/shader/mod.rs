//! The shaders of a plan, as WGSL.
//!
//! Five kernels, each a function of this module: the echo is decoded ([`decode`]), its zero
//! frequency summed ([`zero`]), its periods transformed for every acceleration ([`rows`]), the rows
//! of frequencies searched without ever leaving the workgroup ([`peak`]), and what the workgroups
//! found put together ([`best`]). Every binding 0 is [`Params`]; the others are storage buffers.

mod peak;
mod rows;

use bytemuck::{Pod, Zeroable};

pub(crate) use peak::peak;
pub(crate) use rows::{Signal, rows};

/// A shader: its text, and which of its storage buffers, from binding 1 on, it writes.
#[derive(Debug, Clone)]
pub(crate) struct Shader {
    pub(crate) label: &'static str,
    pub(crate) source: String,
    pub(crate) writes: &'static [bool],
    /// Bytes of shared memory; nobody else compares them with the adapter's limit.
    pub(crate) shared_bytes: usize,
    pub(crate) workgroup: usize,
}

/// What differs between dispatches of one pipeline; see `PARAMS` for the same in WGSL.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    /// First gate of the chunk, counted through all integrations of a submission.
    pub(crate) first_gate: u32,
    /// First acceleration of the chunk, from that of the window.
    pub(crate) first_acc: u32,
    pub(crate) n_acc: u32,
    /// Tiles of accelerations.
    pub(crate) n_tiles: u32,
    pub(crate) first_part: u32,
    pub(crate) n_parts: u32,
    pub(crate) level: u32,
    /// Whether what was found before is forgotten.
    pub(crate) reset: u32,
    pub(crate) hidden: f32,
    /// Where in the list of results the chunk's begin.
    pub(crate) first_best: u32,
    pub(crate) n_ranges: u32,
    pub(crate) n_ipp: u32,
    pub(crate) pulse_samples: u32,
    pub(crate) window_samples: u32,
    pub(crate) decimation: u32,
    pub(crate) gate_step: u32,
    /// Decimated samples of a pulse.
    pub(crate) blocks: u32,
    /// Signed index of the window's first acceleration, or of acceleration 0 where one was found.
    pub(crate) first_signed: i32,
    /// Whether the zero-frequency term is taken under the phasors of the first acceleration.
    pub(crate) turned: u32,
    pub(crate) n_partials: u32,
    /// Whether each gate has one acceleration, chosen before.
    pub(crate) chosen: u32,
    /// To a multiple of 16 bytes, as uniform buffers are laid out.
    pub(crate) unused: [u32; 3],
}

const PARAMS: &str = "
struct Params {
    first_gate: u32, first_acc: u32, n_acc: u32, n_tiles: u32,
    first_part: u32, n_parts: u32, level: u32, reset: u32,
    hidden: f32, first_best: u32, n_ranges: u32, n_ipp: u32,
    pulse_samples: u32, window_samples: u32, decimation: u32, gate_step: u32,
    blocks: u32, first_signed: i32, turned: u32, n_partials: u32,
    chosen: u32, unused0: u32, unused1: u32, unused2: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
";

const TIMES: &str = "
fn times(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}
";

/// The phasor of an acceleration, from the turns that one step of acceleration makes.
///
/// `turns` is the fraction of a turn times 2^64, low word first; whole turns fall away in the
/// product, so that nothing is lost however often the phase goes round. Sine and cosine are the
/// polynomials of S. Moshier's Cephes library (`sinf.c`): those of WGSL may be far off.
const PHASOR: &str = "
fn high_product(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu; let ah = a >> 16u;
    let bl = b & 0xffffu; let bh = b >> 16u;
    let middle = ah * bl + ((al * bl) >> 16u);
    let cross = al * bh + (middle & 0xffffu);
    return ah * bh + (middle >> 16u) + (cross >> 16u);
}
fn phasor(turns: vec2u, signed: i32) -> vec2f {
    let s = bitcast<u32>(signed);
    let turn = turns.y * s + high_product(turns.x, s) - select(0u, turns.x, signed < 0);
    let quadrant = (turn + 0x20000000u) >> 30u;
    let x = f32(bitcast<i32>(turn - (quadrant << 30u))) * 1.4629180792671596e-9f;
    let xx = x * x;
    let sine = x + x * xx * (-1.6666654611e-1f + xx * (8.3321608736e-3f - xx * 1.9515295891e-4f));
    let cosine = 1f - 0.5f * xx
        + xx * xx * (4.166664568298827e-2f + xx * (-1.388731625493765e-3f + xx * 2.443315711809948e-5f));
    switch quadrant {
        case 0u: { return vec2f(cosine, sine); }
        case 1u: { return vec2f(-sine, cosine); }
        case 2u: { return vec2f(-cosine, -sine); }
        default: { return vec2f(sine, -cosine); }
    }
}
";

/// Multiplies the echo of each gate with the transmitted code and sums in blocks.
///
/// `echo[g, k, l] = sum over i in l*dec..(l+1)*dec of tx[k, i] rx[k, gate + i]`; grid
/// `[n_ipp * blocks / 64, gates]`.
pub(crate) fn decode() -> Shader {
    let body = "
@group(0) @binding(1) var<storage, read> tx: array<vec2f>;
@group(0) @binding(2) var<storage, read> rx: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> echo: array<vec2f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let n = p.n_ipp * p.blocks;
    if (id.x >= n) { return; }
    let pulse = id.x / p.blocks;
    let block = id.x % p.blocks;
    let gate = p.first_gate + id.y;
    let at = (gate / p.n_ranges) * p.n_ipp + pulse;
    let t = at * p.pulse_samples + block * p.decimation;
    let r = at * p.window_samples + (gate % p.n_ranges) * p.gate_step + block * p.decimation;
    var sum = vec2f();
    for (var i = 0u; i < p.decimation; i++) {
        sum += times(tx[t + i], rx[r + i]);
    }
    echo[id.y * n + id.x] = sum;
}
";
    Shader {
        label: "decode",
        source: [PARAMS, TIMES, body].concat(),
        writes: &[false, false, true],
        shared_bytes: 0,
        workgroup: 64,
    }
}

/// Sums the echo of each gate, as it is or under the phasors of the first acceleration, and writes
/// the squared magnitude as the fourth word of the gate's result; grid `[gates]`.
///
/// The sum carries its own rounding error along: the term is what is left when much cancels.
pub(crate) fn zero() -> Shader {
    let body = "
@group(0) @binding(1) var<storage, read> echo: array<vec2f>;
@group(0) @binding(2) var<storage, read> turns: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;

// Sums, and what was lost in rounding them: re, im, lost re, lost im.
var<workgroup> sums: array<vec4f, 64>;

fn add(a: vec4f, b: vec2f) -> vec4f {
    let sum = a.xy + b;
    let part = sum - a.xy;
    let lost = (a.xy - (sum - part)) + (b - part);
    return vec4f(sum, a.zw + lost);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) tid: u32) {
    let n = p.n_ipp * p.blocks;
    var sum = vec4f();
    for (var i = tid; i < n; i += 64u) {
        var x = echo[wg.x * n + i];
        if (p.turned != 0u) { x = times(x, phasor(turns[i], p.first_signed)); }
        sum = add(sum, x);
    }
    sums[tid] = sum;
    workgroupBarrier();
    for (var stride = 32u; stride > 0u; stride >>= 1u) {
        if (tid < stride) {
            let other = sums[tid + stride];
            let both = add(sums[tid], other.xy);
            sums[tid] = vec4f(both.xy, both.zw + other.zw);
        }
        workgroupBarrier();
    }
    if (tid == 0u) {
        let total = sums[0].xy + sums[0].zw;
        results[(p.first_best + wg.x) * 4u + 3u] = bitcast<u32>(dot(total, total));
    }
}
";
    Shader {
        label: "zero frequency",
        source: [PARAMS, TIMES, PHASOR, body].concat(),
        writes: &[false, false, true],
        shared_bytes: 64 * 16,
        workgroup: 64,
    }
}

/// Takes, for each gate, the best of what the workgroups of [`peak`] found and of what was found
/// before: the greatest power, then the lowest acceleration, then the lowest key; grid `[gates]`.
pub(crate) fn best() -> Shader {
    let body = "
@group(0) @binding(1) var<storage, read> partials: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> results: array<u32>;
@group(0) @binding(3) var<storage, read> chosen: array<u32>;

var<workgroup> found: array<vec4u, 64>;

// Powers are not negative, so their bits are in the order of the numbers.
fn better(a: vec4u, b: vec4u) -> bool {
    if (a.x != b.x) { return a.x > b.x; }
    if (a.y != b.y) { return a.y < b.y; }
    return a.z < b.z;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) tid: u32) {
    var mine = vec4u();
    for (var i = tid; i < p.n_partials; i += 64u) {
        let other = partials[wg.x * p.n_partials + i];
        if (better(other, mine)) { mine = other; }
    }
    found[tid] = mine;
    workgroupBarrier();
    for (var stride = 32u; stride > 0u; stride >>= 1u) {
        if (tid < stride && better(found[tid + stride], found[tid])) {
            found[tid] = found[tid + stride];
        }
        workgroupBarrier();
    }
    if (tid == 0u) {
        let at = (p.first_best + wg.x) * 4u;
        var out = found[0];
        // Where one acceleration was chosen for each gate, it is that one.
        if (p.chosen != 0u) { out.y = chosen[wg.x * 4u + 2u]; }
        if (p.reset == 0u) {
            let known = vec4u(results[at], results[at + 1u], results[at + 2u], 0u);
            if (better(known, out)) { out = known; }
        }
        results[at] = out.x;
        results[at + 1u] = out.y;
        results[at + 2u] = out.z;
    }
}
";
    Shader {
        label: "best",
        source: [PARAMS, body].concat(),
        writes: &[false, true, false],
        shared_bytes: 64 * 16,
        workgroup: 64,
    }
}

#[cfg(test)]
mod tests;
