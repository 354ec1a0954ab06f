//! One search on the device: its shaders, bound to its buffers, and the work of one chunk.

use gmf_api::KernelError;
use wgpu::{BindGroup, Buffer};

use crate::device::Gpu;
use crate::error::unsupported;
use crate::shader::{self, Params, Shader, Signal};
use crate::shape::{Shape, TILE};
use crate::{AdapterInfo, GpuError, tables};

/// Submissions that may be in work at once: one is read while the next is computed.
pub(crate) const SLOTS: usize = 2;

/// The greatest number of workgroups along one dimension, on every adapter.
pub(crate) const MOST_WORKGROUPS: usize = 65_535;

/// A shader with its buffers, for each slot.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) label: &'static str,
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) bound: Vec<BindGroup>,
}

impl Step {
    /// `buffers[i]` is for binding `i + 1`, one for all slots or one for each.
    pub(crate) fn new(
        gpu: &Gpu,
        shader: &Shader,
        params: &Buffer,
        buffers: &[&[Buffer]],
    ) -> Result<Self, GpuError> {
        let made = gpu.pipeline(shader.label, &shader.source, shader.writes)?;
        let bind = |slot: usize| {
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: params,
                    offset: 0,
                    size: std::num::NonZeroU64::new(size_of::<Params>() as u64),
                }),
            }];
            entries.extend((1..).zip(buffers).map(|(binding, buffers)| wgpu::BindGroupEntry {
                binding,
                resource: buffers[slot % buffers.len()].as_entire_binding(),
            }));
            gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(shader.label),
                layout: &made.layout,
                entries: &entries,
            })
        };
        let bound = gpu.guarded(|| (0..SLOTS).map(bind).collect())?;
        Ok(Self { label: shader.label, pipeline: made.pipeline, bound })
    }
}

/// Which step, with what, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dispatch<'a> {
    pub(crate) step: &'a Step,
    pub(crate) params: Params,
    pub(crate) workgroups: [u32; 3],
    pub(crate) flops: f64,
}

/// What a search shares with the others of its plan.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) params: Buffer,
    pub(crate) echo: Buffer,
    pub(crate) y: Buffer,
    pub(crate) rows: Buffer,
    pub(crate) partials: Buffer,
    /// What `fdpt` found for each gate of the chunk.
    pub(crate) found: Buffer,
}

/// The search for the greatest power over frequencies, and accelerations if there are several.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) shape: Shape,
    rows: Step,
    peak: Step,
    best: Step,
}

/// Which gates and accelerations a dispatch is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) n_gates: usize,
    pub(crate) n_acc: usize,
    /// Whether earlier accelerations of the same gates were searched.
    pub(crate) more: bool,
}

impl Search {
    pub(crate) fn new(
        gpu: &Gpu,
        shape: Shape,
        signal: Signal,
        scratch: &Scratch,
        aux: &Buffer,
        results: &[Buffer],
    ) -> Result<Self, KernelError> {
        let is_choice = matches!(signal, Signal::Product { .. });
        let search = shader::peak(&shape, is_choice);
        let rows = shader::rows(&shape, signal);
        let best = shader::best();
        for shader in [&search, &rows, &best] {
            check(gpu, shader)?;
        }
        if shape.periods > MOST_WORKGROUPS {
            return Err(unsupported(format!("{} periods", shape.periods)));
        }
        let action = "prepare the search";
        let table = |label, content: &[u8]| {
            let most = gpu.info.binding_size.min(gpu.info.buffer_size);
            if content.len() as u64 > most {
                return Err(unsupported(format!(
                    "a transform of {} points, whose table of {} bytes is more than the {most} that \
                     a shader of this adapter sees",
                    shape.n(),
                    content.len(),
                )));
            }
            gpu.table(label, content).map_err(|e| e.while_to(action))
        };
        let twiddles = table("twiddles", &tables::bytes(&tables::twiddles(&shape)))?;
        let weights = table("weights", &tables::bytes(&tables::weights(&shape)))?;
        let parts = table("parts", bytemuck::cast_slice(&tables::parts(&shape)))?;
        let one = std::slice::from_ref::<Buffer>;
        // The search that chooses writes there itself, and reads something else.
        let chosen = if is_choice { one(aux) } else { one(&scratch.found) };
        let Scratch { params, echo, y, rows: row_powers, partials, found } = scratch;
        let step = |shader: &Shader, buffers: &[&[Buffer]]| {
            Step::new(gpu, shader, params, buffers).map_err(|e| e.while_to(action))
        };
        Ok(Self {
            rows: step(&rows, &[one(echo), one(aux), one(found), one(&weights), one(y)])?,
            peak: step(
                &search,
                &[one(y), one(&twiddles), one(&parts), one(row_powers), results, one(partials)],
            )?,
            best: step(&best, &[one(partials), results, chosen])?,
            shape,
        })
    }

    /// The work of one chunk; `params` says what all its dispatches have in common.
    pub(crate) fn chunk<'a>(&'a self, params: Params, chunk: Chunk, out: &mut Vec<Dispatch<'a>>) {
        let Chunk { n_gates, n_acc, more } = chunk;
        let shape = &self.shape;
        let tiles = n_acc.div_ceil(TILE);
        let [gates, accs] = [n_gates as u32, n_acc as u32];
        let params = Params {
            n_acc: accs,
            n_tiles: tiles as u32,
            n_partials: (tiles * shape.periods) as u32,
            ..params
        };
        let sets = (n_gates * n_acc) as f64;
        out.push(Dispatch {
            step: &self.rows,
            params,
            workgroups: [shape.pulse.div_ceil(64) as u32, accs, gates],
            flops: sets * 8.0 * (shape.pulses * shape.periods.min(8) * shape.pulse) as f64,
        });
        let mut first_part = 0;
        for (level, parts) in shape.levels.iter().enumerate() {
            let params = Params {
                first_part,
                n_parts: parts.parts.len() as u32,
                level: level as u32,
                hidden: parts.hidden,
                reset: u32::from(level == 0 && !more),
                ..params
            };
            first_part += params.n_parts;
            out.push(Dispatch {
                step: &self.peak,
                params,
                workgroups: [shape.periods as u32, tiles as u32, gates],
                flops: sets * shape.flops / shape.levels.len() as f64,
            });
            out.push(Dispatch {
                step: &self.best,
                params,
                workgroups: [gates, 1, 1],
                flops: (n_gates * tiles * shape.periods) as f64,
            });
        }
    }
}

/// Compares what a shader needs with what the adapter has: the driver would crash, not refuse.
pub(crate) fn check(gpu: &Gpu, shader: &Shader) -> Result<(), KernelError> {
    let AdapterInfo { workgroup_storage, workgroup_invocations, name, .. } = &gpu.info;
    let what = |what: &str, needs: usize, has: u32| {
        let label = shader.label;
        unsupported(format!("this search on {name}: {label} needs {needs} {what}, it has {has}"))
    };
    if shader.shared_bytes > *workgroup_storage as usize {
        let bytes = "bytes of shared memory";
        return Err(what(bytes, shader.shared_bytes, *workgroup_storage));
    }
    if shader.workgroup > *workgroup_invocations as usize {
        return Err(what("invocations in a workgroup", shader.workgroup, *workgroup_invocations));
    }
    Ok(())
}
