//! Sending work to the device and reading what it found.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc;

use gmf_api::{Complex32, Integration};
use wgpu::{
    Buffer, BufferUsages, CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor,
    ComputePassTimestampWrites, MapMode, SubmissionIndex,
};

use crate::GpuError;
use crate::device::Gpu;
use crate::plan::StageTime;
use crate::search::Dispatch;
use crate::shader::Params;

/// Arithmetic of one submission at most: watchdogs of desktops end what takes seconds.
const MOST_FLOPS: f64 = 5e10;

/// Queries that every device allows in a set, two for each dispatch.
const MOST_QUERIES: usize = 4096;

/// Buffers of a submission: what goes in, and what comes out.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) tx: Buffer,
    pub(crate) rx: Buffer,
    /// Power, acceleration, key and zero-frequency term of each gate.
    pub(crate) results: Buffer,
    staging: Buffer,
    samples: RefCell<Vec<f32>>,
}

/// The exponent of the power of two by which samples are divided, so that their powers, and the
/// powers of their products, are in the middle of what single precision can express: devices may
/// take very small numbers for zero. Dividing by a power of two changes no other bit.
pub(crate) fn exponent(rx: &[Complex32]) -> i32 {
    let greatest = rx.iter().fold(0f32, |most, z| most.max(z.re.abs()).max(z.im.abs()));
    if greatest == 0.0 {
        return 0;
    }
    // Beyond these bounds the factor itself could not be expressed.
    (greatest.log2().floor() as i32).clamp(-120, 120)
}

impl Slot {
    pub(crate) fn new(gpu: &Gpu, tx: usize, rx: usize, gates: usize) -> Result<Self, GpuError> {
        let input = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let output = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        Ok(Self {
            tx: gpu.buffer("transmitted", tx as u64 * 8, input)?,
            rx: gpu.buffer("received", rx as u64 * 8, input)?,
            results: gpu.buffer("results", gates as u64 * 16, output)?,
            staging: gpu.buffer(
                "results for the host",
                gates as u64 * 16,
                BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            )?,
            samples: RefCell::new(Vec::with_capacity(2 * rx.max(tx))),
        })
    }

    /// Hands samples over; the device gets them before what is submitted next.
    pub(crate) fn upload(&self, gpu: &Gpu, batch: &[Integration<'_>]) {
        let mut samples = self.samples.borrow_mut();
        samples.clear();
        for integration in batch {
            samples.extend(integration.tx.iter().flat_map(|z| [z.re, z.im]));
        }
        gpu.queue.write_buffer(&self.tx, 0, bytemuck::cast_slice(&samples));
        samples.clear();
        for integration in batch {
            let scale = 2f32.powi(-exponent(integration.rx));
            samples.extend(integration.rx.iter().flat_map(|z| [z.re * scale, z.im * scale]));
        }
        gpu.queue.write_buffer(&self.rx, 0, bytemuck::cast_slice(&samples));
    }
}

/// What was sent and not yet read.
#[derive(Debug)]
pub(crate) struct Submitted {
    submissions: Vec<SubmissionIndex>,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    bytes: u64,
}

/// Sends dispatches, with the parameters of each.
#[derive(Debug)]
pub(crate) struct Submitter {
    pub(crate) gpu: Arc<Gpu>,
    params: Buffer,
    /// Distance of the parameters of two dispatches.
    stride: usize,
    n_params: usize,
    host: RefCell<Vec<u8>>,
}

impl Submitter {
    pub(crate) fn new(gpu: Arc<Gpu>, n_dispatches: usize) -> Result<Self, GpuError> {
        let align = gpu.device.limits().min_uniform_buffer_offset_alignment as usize;
        let stride = size_of::<Params>().next_multiple_of(align.max(16));
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let params = gpu.buffer("parameters", (stride * n_dispatches) as u64, usage)?;
        let host = RefCell::new(Vec::with_capacity(stride * n_dispatches));
        Ok(Self { gpu, params, stride, n_params: n_dispatches, host })
    }

    pub(crate) fn params(&self) -> &Buffer {
        &self.params
    }

    fn write_params(&self, dispatches: &[Dispatch<'_>]) {
        debug_assert!(dispatches.len() <= self.n_params, "the buffer was made for these");
        let mut host = self.host.borrow_mut();
        host.clear();
        for dispatch in dispatches {
            host.extend_from_slice(bytemuck::bytes_of(&dispatch.params));
            let end = host.len().next_multiple_of(self.stride);
            host.resize(end, 0);
        }
        self.gpu.queue.write_buffer(&self.params, 0, &host);
    }

    fn encoder(&self) -> CommandEncoder {
        self.gpu.device.create_command_encoder(&CommandEncoderDescriptor::default())
    }

    /// Records dispatches from number `first` on in one pass.
    fn pass(
        &self,
        encoder: &mut CommandEncoder,
        dispatches: &[Dispatch<'_>],
        first: usize,
        slot: usize,
        timestamps: Option<ComputePassTimestampWrites<'_>>,
    ) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
            label: None,
            timestamp_writes: timestamps,
        });
        for (number, dispatch) in (first..).zip(dispatches) {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.step.pipeline);
            let offset = (number * self.stride) as u32;
            pass.set_bind_group(0, &dispatch.step.bound[slot], &[offset]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Sends the work of a slot, and asks for the results of `n_gates` gates.
    pub(crate) fn submit(
        &self,
        dispatches: &[Dispatch<'_>],
        slot_idx: usize,
        slot: &Slot,
        n_gates: usize,
    ) -> Result<Submitted, GpuError> {
        self.write_params(dispatches);
        let bytes = n_gates as u64 * 16;
        let mut submissions = Vec::new();
        let mut first = 0;
        while first < dispatches.len() {
            let mut flops = 0.0;
            let more = dispatches[first..].iter().take_while(|dispatch| {
                let fits = flops == 0.0 || flops + dispatch.flops <= MOST_FLOPS;
                flops += dispatch.flops;
                fits
            });
            let end = first + more.count().max(1);
            let mut encoder = self.encoder();
            self.pass(&mut encoder, &dispatches[first..end], first, slot_idx, None);
            if end == dispatches.len() {
                encoder.copy_buffer_to_buffer(&slot.results, 0, &slot.staging, 0, bytes);
            }
            submissions.push(self.gpu.queue.submit([encoder.finish()]));
            first = end;
        }
        let (send, mapped) = mpsc::channel();
        slot.staging.map_async(MapMode::Read, ..bytes, move |result| {
            // Nobody listens any more where an earlier failure ended the batch.
            let _ = send.send(result);
        });
        self.gpu.check()?;
        Ok(Submitted { submissions, mapped, bytes })
    }

    /// Waits for a submission and appends what it found.
    pub(crate) fn read(
        &self,
        submitted: Submitted,
        slot: &Slot,
        found: &mut Vec<u32>,
    ) -> Result<(), GpuError> {
        for submission in submitted.submissions {
            self.gpu.wait(submission)?;
        }
        let lost = |reason: String| GpuError::Lost { adapter: self.gpu.info.name.clone(), reason };
        self.gpu.mapped(&submitted.mapped)?;
        let view = slot.staging.get_mapped_range(..submitted.bytes);
        let view = view.map_err(|error| lost(error.to_string()))?;
        found.extend(view.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)));
        drop(view);
        slot.staging.unmap();
        self.gpu.check()
    }

    /// Runs each dispatch, on the samples of the first slot, in a pass of its own, and says what each
    /// kind took.
    pub(crate) fn timed(&self, dispatches: &[Dispatch<'_>]) -> Result<Vec<StageTime>, GpuError> {
        let Some(tick_ns) = self.gpu.tick_ns else { return Ok(Vec::new()) };
        let mut times: Vec<StageTime> = Vec::new();
        self.write_params(dispatches);
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let bytes = MOST_QUERIES as u64 * 8;
        let resolved = self.gpu.buffer("timestamps", bytes, usage)?;
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let staging = self.gpu.buffer("timestamps for the host", bytes, usage)?;
        let queries = self.gpu.guarded(|| {
            self.gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: MOST_QUERIES as u32,
            })
        })?;
        for (block, part) in dispatches.chunks(MOST_QUERIES / 2).enumerate() {
            let first = block * (MOST_QUERIES / 2);
            let mut encoder = self.encoder();
            for at in 0..part.len() {
                let writes = ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * at as u32),
                    end_of_pass_write_index: Some(2 * at as u32 + 1),
                };
                self.pass(&mut encoder, &part[at..=at], first + at, 0, Some(writes));
            }
            let count = 2 * part.len() as u32;
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, u64::from(count) * 8);
            let submission = self.gpu.queue.submit([encoder.finish()]);
            let (send, mapped) = mpsc::channel();
            staging.map_async(MapMode::Read, .., move |result| {
                // As above.
                let _ = send.send(result);
            });
            self.gpu.wait(submission)?;
            self.gpu.mapped(&mapped)?;
            let view = staging.get_mapped_range(..).map_err(|error| GpuError::Invalid {
                adapter: self.gpu.info.name.clone(),
                reason: error.to_string(),
            })?;
            let ticks: Vec<u64> =
                view.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            for (dispatch, pair) in part.iter().zip(ticks.as_chunks().0) {
                let [begin, end]: [u64; 2] = *pair;
                let seconds = end.saturating_sub(begin) as f64 * f64::from(tick_ns) * 1e-9;
                let name = dispatch.step.label;
                match times.iter_mut().find(|stage| stage.name == name) {
                    Some(stage) => {
                        stage.seconds += seconds;
                        stage.dispatches += 1;
                    }
                    None => times.push(StageTime { name, seconds, dispatches: 1 }),
                }
            }
            drop(view);
            staging.unmap();
        }
        self.gpu.check()?;
        Ok(times)
    }
}
