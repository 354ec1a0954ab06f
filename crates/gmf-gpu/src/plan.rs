//! The plan: buffers for chunks of gates, and batches of integrations that overlap.

use std::fmt;
use std::sync::Arc;

use bytemuck::Zeroable;
use gmf_api::{
    Derived, GmfPlan, GridRowMut, Integration, KernelError, KernelOptions, Method, ZeroFrequency,
};
use wgpu::{Buffer, BufferUsages};

use crate::device::Gpu;
use crate::error::unsupported;
use crate::search::{Chunk, Dispatch, MOST_WORKGROUPS, SLOTS, Scratch, Search, Step, check};
use crate::shader::{self, Params, Signal};
use crate::shape::Shape;
use crate::submit::{Slot, Submitter};
use crate::{GpuError, tables};

/// Bytes of transformed echo that a chunk makes: they stay in the second-level cache of a large
/// device.
const CHUNK_BYTES: u64 = 32 << 20;

/// Bytes of phasors beyond which they are computed instead of looked up.
const MOST_PHASORS: u64 = 64 << 20;

/// Arithmetic that makes handing over a submission worth while.
const SUBMISSION_FLOPS: f64 = 8e9;

/// The greatest number of integrations in one submission.
const MOST_AT_ONCE: usize = 4;

/// A search planned on a graphics processor; what [`GpuKernel::plan`](crate::GpuKernel) makes.
pub struct GpuPlan {
    derived: Arc<Derived>,
    options: KernelOptions,
    submitter: Submitter,
    decode: Step,
    zero: Step,
    /// The search for the acceleration that `fdpt` makes first; `None` where no two pulses are so
    /// far apart that it could find one.
    dpt: Option<Search>,
    search: Search,
    slots: Vec<Slot>,
    /// Integrations of one submission.
    at_once: usize,
    /// Gates of one chunk.
    chunk_gates: usize,
    /// Accelerations of one chunk.
    chunk_accs: usize,
}

impl fmt::Debug for GpuPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuPlan")
            .field("adapter", &self.submitter.gpu.info.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What a stage of the computation took on the device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StageTime {
    /// The stage's name.
    pub name: &'static str,
    /// Seconds between its first and last instruction, summed over its dispatches.
    pub seconds: f64,
    /// How often it was dispatched.
    pub dispatches: usize,
}

/// The lengths of everything, before anything is made.
struct Lengths {
    shape: Shape,
    dpt: Option<(Shape, usize)>,
    n_acc: usize,
    chunk_gates: usize,
    chunk_accs: usize,
    at_once: usize,
}

impl Lengths {
    fn new(gpu: &Gpu, derived: &Derived, options: &KernelOptions) -> Result<Self, KernelError> {
        let period = derived.ipp_samples() / derived.decimation();
        let periods = derived.decimated_read_length() / period;
        let (n_ipp, pulse) = (derived.n_ipp(), derived.decimated_pulse());
        let (storage, invocations) =
            (gpu.info.workgroup_storage as usize, gpu.info.workgroup_invocations as usize);
        let shape =
            |periods, pulses| Shape::new(periods, pulses, period, pulse, storage, invocations);
        let main = shape(periods, n_ipp);
        let delay = derived.processing().dpt_ipp_delay_parameter;
        let (n_acc, dpt) = match options.method {
            Method::Fgmf => (derived.acceleration_window().len(), None),
            Method::Fdpt if delay < n_ipp => {
                (1, Some((shape(periods - delay, n_ipp - delay), delay)))
            }
            Method::Fdpt => (1, None),
            other => return Err(unsupported(format!("the method {other}"))),
        };
        let most = gpu.info.binding_size.min(gpu.info.buffer_size);
        let budget = CHUNK_BYTES.min(most);
        let row_bytes = (periods * pulse * 8) as u64;
        let chunk_accs = (budget / row_bytes).min(n_acc as u64).min(MOST_WORKGROUPS as u64);
        if chunk_accs == 0 {
            return Err(unsupported(format!(
                "pulses of {pulse} decimated samples in {periods} periods at once"
            )));
        }
        let n_ranges = derived.n_ranges();
        let flops = main.flops * n_acc as f64 * n_ranges as f64;
        let mut at_once = ((SUBMISSION_FLOPS / flops) as usize).clamp(1, MOST_AT_ONCE);
        let window = (n_ipp * derived.window_samples().max(derived.pulse_samples()) * 8) as u64;
        at_once = at_once.min((most / window.max(1)) as usize);
        if at_once == 0 {
            return Err(unsupported(format!(
                "an integration of {window} bytes, of which a shader of this adapter sees {most}"
            )));
        }
        // A gate of `periods` pulses is never longer than its rows.
        let chunk_gates = (budget / (row_bytes * chunk_accs))
            .min(MOST_WORKGROUPS as u64)
            .min((at_once * n_ranges) as u64) as usize;
        Ok(Self { shape: main, dpt, n_acc, chunk_gates, chunk_accs: chunk_accs as usize, at_once })
    }

    fn n_chunks(&self, n_ranges: usize) -> usize {
        (self.at_once * n_ranges).div_ceil(self.chunk_gates)
    }

    /// Dispatches of one submission.
    fn n_dispatches(&self, n_ranges: usize) -> usize {
        let of = |shape: &Shape| 1 + 2 * shape.levels.len();
        let dpt = self.dpt.as_ref().map_or(0, |(shape, _)| of(shape));
        let accs = self.n_acc.div_ceil(self.chunk_accs);
        self.n_chunks(n_ranges) * (2 + dpt + accs * of(&self.shape))
    }
}

impl GpuPlan {
    pub(crate) fn new(
        gpu: &Arc<Gpu>,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Self, KernelError> {
        gpu.check().map_err(|e| e.while_to("plan the search"))?;
        let lengths = Lengths::new(gpu, derived, options)?;
        let action = "prepare its buffers";
        let storage = BufferUsages::STORAGE;
        let buffer = |label, bytes: usize, usage| {
            gpu.buffer(label, bytes as u64, usage).map_err(|e| e.while_to(action))
        };
        let (gates, accs) = (lengths.chunk_gates, lengths.chunk_accs);
        let (periods, pulse) = (lengths.shape.periods, lengths.shape.pulse);
        let samples = derived.n_ipp() * pulse;
        let n_ranges = derived.n_ranges();
        let submitter = Submitter::new(Arc::clone(gpu), lengths.n_dispatches(n_ranges))
            .map_err(|e| e.while_to(action))?;
        let scratch = Scratch {
            params: submitter.params().clone(),
            echo: buffer("echo", gates * samples * 8, storage)?,
            y: buffer("rows", gates * accs * periods * pulse * 8, storage)?,
            rows: buffer("row powers", gates * accs * periods * 4, storage)?,
            partials: buffer(
                "partials",
                gates * accs.div_ceil(crate::shape::TILE) * periods * 16,
                storage,
            )?,
            // Its key is 0 where nothing is sought: the lowest acceleration.
            found: buffer("found", gates * 16, storage)?,
        };
        let turns = tables::turns(derived);
        let turns =
            gpu.table("turns", bytemuck::cast_slice(&turns)).map_err(|e| e.while_to(action))?;
        let mut slots = Vec::with_capacity(SLOTS);
        for _ in 0..SLOTS {
            let n = lengths.at_once;
            let slot = Slot::new(
                gpu,
                n * derived.n_ipp() * derived.pulse_samples(),
                n * derived.n_ipp() * derived.window_samples(),
                n * n_ranges,
            );
            slots.push(slot.map_err(|e| e.while_to(action))?);
        }
        let of_slots = |get: fn(&Slot) -> &Buffer| {
            slots.iter().map(|slot| get(slot).clone()).collect::<Vec<Buffer>>()
        };
        let (tx, rx) = (of_slots(|slot| &slot.tx), of_slots(|slot| &slot.rx));
        let results = of_slots(|slot| &slot.results);
        let step = |shader: &shader::Shader, buffers: &[&[Buffer]]| {
            check(gpu, shader)?;
            Step::new(gpu, shader, &scratch.params, buffers).map_err(|e| e.while_to(action))
        };
        let one = std::slice::from_ref::<Buffer>;
        let decode = step(&shader::decode(), &[&tx, &rx, one(&scratch.echo)])?;
        let zero = step(&shader::zero(), &[one(&scratch.echo), one(&turns), &results])?;
        let phasor_bytes = (lengths.n_acc * samples * 8) as u64;
        let table = phasor_bytes <= MOST_PHASORS.min(gpu.info.binding_size);
        let (signal, aux) = match options.method {
            Method::Fdpt => (Signal::Found, turns.clone()),
            _ if table => {
                let phasors = tables::bytes(&tables::phasors(derived));
                let phasors = gpu.table("phasors", &phasors).map_err(|e| e.while_to(action))?;
                (Signal::Table, phasors)
            }
            _ => (Signal::Computed, turns.clone()),
        };
        let dpt = lengths
            .dpt
            .map(|(shape, delay)| {
                let found = one(&scratch.found);
                Search::new(gpu, shape, Signal::Product { delay }, &scratch, &turns, found)
            })
            .transpose()?;
        let search = Search::new(gpu, lengths.shape, signal, &scratch, &aux, &results)?;
        gpu.check().map_err(|e| e.while_to(action))?;
        Ok(Self {
            derived: Arc::clone(derived),
            options: *options,
            submitter,
            decode,
            zero,
            dpt,
            search,
            slots,
            at_once: lengths.at_once,
            chunk_gates: gates,
            chunk_accs: accs,
        })
    }

    /// The work of a submission of `n` integrations.
    fn dispatches(&self, n: usize) -> Vec<Dispatch<'_>> {
        let d = &*self.derived;
        let n_acc = match self.options.method {
            Method::Fdpt => 1,
            _ => d.acceleration_window().len(),
        };
        let signed = |idx: usize| idx as i32 - (d.n_accelerations() / 2) as i32;
        let common = Params {
            n_ranges: d.n_ranges() as u32,
            n_ipp: d.n_ipp() as u32,
            pulse_samples: d.pulse_samples() as u32,
            window_samples: d.window_samples() as u32,
            decimation: d.decimation() as u32,
            gate_step: d.gate_step() as u32,
            blocks: d.decimated_pulse() as u32,
            turned: u32::from(self.options.zero_frequency == ZeroFrequency::FirstAcceleration),
            ..Params::zeroed()
        };
        let samples = d.n_ipp() * d.decimated_pulse();
        let total = n * d.n_ranges();
        let mut out = Vec::new();
        for first_gate in (0..total).step_by(self.chunk_gates) {
            let n_gates = self.chunk_gates.min(total - first_gate);
            let chunk =
                Params { first_gate: first_gate as u32, first_best: first_gate as u32, ..common };
            let first = Params { first_signed: signed(d.acceleration_window().start), ..chunk };
            let gates = n_gates as u32;
            out.push(Dispatch {
                step: &self.decode,
                params: first,
                workgroups: [samples.div_ceil(64) as u32, gates, 1],
                flops: 8.0 * (n_gates * samples * d.decimation()) as f64,
            });
            out.push(Dispatch {
                step: &self.zero,
                params: first,
                workgroups: [gates, 1, 1],
                flops: 10.0 * (n_gates * samples) as f64,
            });
            if let Some(dpt) = &self.dpt {
                let params = Params { first_best: 0, ..first };
                dpt.chunk(params, Chunk { n_gates, n_acc: 1, more: false }, &mut out);
            }
            for first_acc in (0..n_acc).step_by(self.chunk_accs) {
                let params = match self.options.method {
                    Method::Fdpt => Params { first_signed: signed(0), chosen: 1, ..chunk },
                    _ => Params { first_acc: first_acc as u32, ..first },
                };
                let n_acc = self.chunk_accs.min(n_acc - first_acc);
                let chunk = Chunk { n_gates, n_acc, more: first_acc > 0 };
                self.search.chunk(params, chunk, &mut out);
            }
        }
        out
    }

    /// What each stage of one integration takes on the device; empty where it cannot tell the time.
    ///
    /// # Errors
    ///
    /// As [`GmfPlan::execute`].
    pub fn stage_times(
        &mut self,
        integration: Integration<'_>,
    ) -> Result<Vec<StageTime>, KernelError> {
        integration.check(&self.derived)?;
        let run = || -> Result<Vec<StageTime>, GpuError> {
            self.slots[0].upload(&self.submitter.gpu, &[integration]);
            self.submitter.timed(&self.dispatches(1))
        };
        run().map_err(|e| e.while_to("time the stages"))
    }

    /// How the search is cut, for those who tune it.
    #[must_use]
    pub fn describe(&self) -> String {
        let Shape { points, radices, levels, parts_at_once, .. } = &self.search.shape;
        let levels: Vec<usize> = levels.iter().map(|level| level.parts.len()).collect();
        format!(
            "parts of {points} points as {radices:?}, {parts_at_once} in a workgroup of {}, levels \
             of {levels:?} parts, chunks of {} gates and {} accelerations, {} integrations at once",
            self.search.shape.workgroup(),
            self.chunk_gates,
            self.chunk_accs,
            self.at_once
        )
    }

    /// Computes a batch into memory of its own, so that a device lost halfway leaves no trace.
    fn compute(&self, integrations: &[Integration<'_>]) -> Result<Vec<u32>, GpuError> {
        let n_ranges = self.derived.n_ranges();
        let mut found = Vec::with_capacity(integrations.len() * n_ranges * 4);
        let mut waiting: Option<(usize, crate::submit::Submitted)> = None;
        let mut planned: (usize, Vec<Dispatch<'_>>) = (0, Vec::new());
        for (number, batch) in integrations.chunks(self.at_once).enumerate() {
            let slot = number % SLOTS;
            self.slots[slot].upload(&self.submitter.gpu, batch);
            if planned.0 != batch.len() {
                planned = (batch.len(), self.dispatches(batch.len()));
            }
            let count = batch.len() * n_ranges;
            let submitted = self.submitter.submit(&planned.1, slot, &self.slots[slot], count)?;
            // The one before is read while this one is computed.
            if let Some((before, earlier)) = waiting.replace((slot, submitted)) {
                self.submitter.read(earlier, &self.slots[before], &mut found)?;
            }
        }
        if let Some((slot, last)) = waiting {
            self.submitter.read(last, &self.slots[slot], &mut found)?;
        }
        Ok(found)
    }

    fn write(&self, exponent: i32, found: &[u32], row: &mut GridRowMut<'_>) {
        // Two exact steps: the square of the scale may be outside the range, the product is not.
        let back = 2f32.powi(exponent);
        let scaled = |bits: u32| f32::from_bits(bits) * back * back;
        let found_acc = self.options.method == Method::Fdpt;
        let first = if found_acc { 0 } else { self.derived.acceleration_window().start };
        for (idx, [power, acc, key, zero]) in found.as_chunks().0.iter().enumerate() {
            let nothing = *power == 0;
            row.gmf[idx] = scaled(*power);
            row.zero_frequency[idx] = scaled(*zero);
            row.range_rate_idx[idx] = if nothing { -1 } else { *key as i32 };
            row.acceleration_idx[idx] = if nothing { -1 } else { first as i32 + *acc as i32 };
        }
    }
}

impl GmfPlan for GpuPlan {
    fn execute(
        &mut self,
        integration: Integration<'_>,
        row: GridRowMut<'_>,
    ) -> Result<(), KernelError> {
        self.execute_batch(&[integration], &mut [row])
    }

    fn batch_len(&self) -> usize {
        // So that one submission is read and the next one loaded while one is computed.
        SLOTS * self.at_once
    }

    fn execute_batch(
        &mut self,
        integrations: &[Integration<'_>],
        rows: &mut [GridRowMut<'_>],
    ) -> Result<(), KernelError> {
        if integrations.len() != rows.len() {
            let (expected, got) = (integrations.len(), rows.len());
            return Err(KernelError::Shape { what: "the list of rows", expected, got });
        }
        let n_ranges = self.derived.n_ranges();
        for (integration, row) in integrations.iter().zip(&*rows) {
            integration.check(&self.derived)?;
            row.check(n_ranges)?;
        }
        let found = self.compute(integrations).map_err(|e| e.while_to("compute integrations"))?;
        let per_row = found.chunks_exact(n_ranges * 4);
        for ((integration, row), found) in integrations.iter().zip(rows).zip(per_row) {
            self.write(crate::submit::exponent(integration.rx), found, row);
        }
        Ok(())
    }
}
