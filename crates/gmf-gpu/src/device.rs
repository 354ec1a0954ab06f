//! An open device: pipelines, buffers and the wait for what was submitted, with every failure typed.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use wgpu::{
    BufferAsyncError, BufferUsages, ComputePipeline, DeviceDescriptor, ErrorFilter, Features,
    MemoryHints, PollError, PollType, SubmissionIndex,
};

use crate::{AdapterInfo, GpuError, Selection, adapters};

/// How long one submission may take; each is cut to be far shorter.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Compiled pipelines kept for later plans: more than a run has, fewer than a scan of parameters.
const PIPELINES_KEPT: usize = 48;

/// A device that is open; shared by all plans of this process that use the same adapter.
pub(crate) struct Gpu {
    pub(crate) info: AdapterInfo,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// Nanoseconds of one tick of the device's clock; `None` where it has none.
    pub(crate) tick_ns: Option<f32>,
    failure: Arc<Mutex<Option<GpuError>>>,
    pipelines: Mutex<HashMap<String, Pipeline>>,
}

/// A compiled shader, and the layout of what it is bound to.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A panic elsewhere does not make these data wrong: each is written in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens the adapter that `selection` means, or takes the device that is open already.
    pub(crate) fn open(selection: &Selection) -> Result<Arc<Self>, GpuError> {
        static OPEN: OnceLock<Mutex<Vec<Weak<Gpu>>>> = OnceLock::new();
        // Locked throughout, so that workers that start together open one device.
        let mut open = lock(OPEN.get_or_init(Mutex::default));
        open.retain(|gpu| gpu.strong_count() > 0);
        let (info, adapter) = adapters::open(selection)?;
        let usable = |gpu: &Arc<Self>| gpu.info == info && gpu.check().is_ok();
        if let Some(gpu) = open.iter().filter_map(Weak::upgrade).find(usable) {
            return Ok(gpu);
        }
        let gpu = Arc::new(Self::request(info, &adapter)?);
        open.push(Arc::downgrade(&gpu));
        Ok(gpu)
    }

    fn request(info: AdapterInfo, adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
        let features = adapter.features() & Features::TIMESTAMP_QUERY;
        let request = adapter.request_device(&DeviceDescriptor {
            label: Some("gmf-gpu"),
            required_features: features,
            required_limits: adapter.limits(),
            memory_hints: MemoryHints::Performance,
            ..DeviceDescriptor::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|error| GpuError::Refused {
            adapter: info.name.clone(),
            reason: error.to_string(),
        })?;
        let failure = Arc::new(Mutex::new(None));
        let (name, slot) = (info.name.clone(), Arc::clone(&failure));
        device.on_uncaptured_error(Arc::new(move |error| {
            lock(&slot).get_or_insert(typed(&name, &error));
        }));
        let (name, slot) = (info.name.clone(), Arc::clone(&failure));
        device.set_device_lost_callback(move |reason, message| {
            let reason = format!("{reason:?}: {message}");
            lock(&slot).get_or_insert(GpuError::Lost { adapter: name.clone(), reason });
        });
        Ok(Self {
            tick_ns: (!features.is_empty()).then(|| queue.get_timestamp_period()),
            info,
            device,
            queue,
            failure,
            pipelines: Mutex::default(),
        })
    }

    /// What went wrong since the device was opened: after that it is not to be used again.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }

    /// Does what makes objects on the device, and gives what the driver says of it.
    pub(crate) fn guarded<T>(&self, make: impl FnOnce() -> T) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let invalid = self.device.push_error_scope(ErrorFilter::Validation);
        let made = make();
        let errors = [invalid.pop(), internal.pop(), memory.pop()].map(pollster::block_on);
        if let Some(error) = errors.into_iter().flatten().next_back() {
            return Err(typed(&self.info.name, &error));
        }
        self.check()?;
        Ok(made)
    }

    /// The pipeline of a shader whose bindings after the first, the parameters, are storage
    /// buffers; `writes[i]` says whether binding `i + 1` is written.
    pub(crate) fn pipeline(
        &self,
        label: &str,
        source: &str,
        writes: &[bool],
    ) -> Result<Pipeline, GpuError> {
        if let Some(known) = lock(&self.pipelines).get(source) {
            return Ok(known.clone());
        }
        let made = self.guarded(|| self.compile(label, source, writes))?;
        let mut pipelines = lock(&self.pipelines);
        if pipelines.len() >= PIPELINES_KEPT {
            pipelines.clear();
        }
        pipelines.insert(source.to_owned(), made.clone());
        Ok(made)
    }

    fn compile(&self, label: &str, source: &str, writes: &[bool]) -> Pipeline {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let entry = |binding, ty, dynamic| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: dynamic,
                min_binding_size: None,
            },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        entries.extend((1..).zip(writes).map(|(binding, &written)| {
            entry(binding, wgpu::BufferBindingType::Storage { read_only: !written }, false)
        }));
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(label),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every shader writes what it shares before it reads it.
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    }

    /// A buffer of `bytes`, at least one element.
    pub(crate) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        self.guarded(|| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes.max(16).next_multiple_of(16),
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// A buffer that shaders only read, with its content.
    pub(crate) fn table(&self, label: &str, content: &[u8]) -> Result<wgpu::Buffer, GpuError> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let buffer = self.buffer(label, content.len() as u64, usage)?;
        self.queue.write_buffer(&buffer, 0, content);
        Ok(buffer)
    }

    /// Waits until the device has done what was submitted.
    pub(crate) fn wait(&self, submission: SubmissionIndex) -> Result<(), GpuError> {
        let adapter = || self.info.name.clone();
        let poll = self.device.poll(PollType::Wait {
            submission_index: Some(submission),
            timeout: Some(LONGEST_WAIT),
        });
        // What the device says of itself explains more than the failed wait.
        self.check()?;
        match poll {
            Ok(_) => Ok(()),
            Err(PollError::Timeout) => {
                Err(GpuError::Timeout { adapter: adapter(), seconds: LONGEST_WAIT.as_secs() })
            }
            Err(error) => Err(GpuError::Lost { adapter: adapter(), reason: error.to_string() }),
        }
    }

    /// Waits until a buffer is mapped whose submission is done.
    ///
    /// Whoever waits for the device answers for all: the answer may be on its way in another thread,
    /// and come a little after the submission's end.
    pub(crate) fn mapped(
        &self,
        answer: &Receiver<Result<(), BufferAsyncError>>,
    ) -> Result<(), GpuError> {
        let adapter = || self.info.name.clone();
        let start = Instant::now();
        loop {
            match answer.recv_timeout(Duration::from_millis(1)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    self.check()?;
                    return Err(GpuError::Lost { adapter: adapter(), reason: error.to_string() });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.check()?;
                    let reason = "its results never came".to_owned();
                    return Err(GpuError::Lost { adapter: adapter(), reason });
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Its failure shows in the answer, or in the next check.
                    let _ = self.device.poll(PollType::Poll);
                    self.check()?;
                    if start.elapsed() > LONGEST_WAIT {
                        let seconds = LONGEST_WAIT.as_secs();
                        return Err(GpuError::Timeout { adapter: adapter(), seconds });
                    }
                }
            }
        }
    }

    /// Makes the device unusable, as a crash of its driver would.
    #[cfg(test)]
    pub(crate) fn destroy(&self) {
        self.device.destroy();
    }
}

fn typed(adapter: &str, error: &wgpu::Error) -> GpuError {
    let adapter = adapter.to_owned();
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { adapter },
        other => GpuError::Invalid { adapter, reason: other.to_string() },
    }
}
