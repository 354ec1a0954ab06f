//! The task that managers spread over workers: one coherent integration.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, GmfPlan, GridRow, GridRowMut, KernelError, KernelOptions, Optimize,
    Optimized, Optimizer, PreparedSamples, SamplesError,
};
use pm_api::backend::{TaskEntry, catch_panic};
use pm_api::{Task, TaskError, Worker};
use serde::{Deserialize, Serialize};

use crate::optimize;
use crate::source::SampleReader;
use crate::stamp::stamp;
use crate::{AnalysisError, IntegrationStatus, KernelChoice, KernelSet, Source};

/// What every worker needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Args {
    pub(crate) rx: Source,
    pub(crate) tx: Option<Source>,
    pub(crate) derived: Derived,
    pub(crate) options: KernelOptions,
    pub(crate) optimize: Option<Optimize>,
    pub(crate) kernel: KernelChoice,
    pub(crate) first_sample: u64,
}

/// The result of one coherent integration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Integrated {
    /// Whether the rest is a result, and if not, why.
    pub status: IntegrationStatus,
    /// Of a gap, what was wrong, with the name of the file where there is one.
    pub reason: Option<String>,
    /// Transmitted energy, `sum |tx|^2`, in the recorder's unit squared; 0 if the transmitter was
    /// silent, and the row is without power then; NaN in a gap.
    pub tx_power: f32,
    /// What the kernel found.
    pub row: GridRow,
    /// The refined peak; `None` where none was asked for, or there is no peak.
    pub optimized: Option<Optimized>,
}

impl Integrated {
    /// The place of a result that the kernel is going to write.
    fn computed(tx_power: f32, n_ranges: usize) -> Self {
        let row = GridRow::new(n_ranges);
        Self { status: IntegrationStatus::Computed, reason: None, tx_power, row, optimized: None }
    }

    fn silent(n_ranges: usize) -> Self {
        Self { status: IntegrationStatus::Silent, ..Self::computed(0.0, n_ranges) }
    }

    /// What stands for an integration whose samples cannot be had: no number, and no index.
    fn gap(status: IntegrationStatus, reason: String, n_ranges: usize) -> Self {
        let row = GridRow {
            gmf: vec![f32::NAN; n_ranges],
            zero_frequency: vec![f32::NAN; n_ranges],
            ..GridRow::new(n_ranges)
        };
        Self { status, reason: Some(reason), tx_power: f32::NAN, row, optimized: None }
    }
}

/// Why an integration could not be computed, though nothing is wrong with its samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrationFailure {
    /// The integration's number.
    pub integration: usize,
    /// Why, with the causes.
    pub message: String,
}

impl fmt::Display for IntegrationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "integration {}: {}", self.integration, self.message)
    }
}

impl std::error::Error for IntegrationFailure {}

/// What becomes of an integration.
pub(crate) type Integration = Result<Integrated, IntegrationFailure>;

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Transparent errors repeat what was said.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// The task, for the kernels of `K`.
pub(crate) struct Integrate<K>(PhantomData<K>);

/// The task of a run with the kernels of `K`, for [`register_kernels!`](crate::register_kernels).
#[must_use]
pub fn integrate_entry<K: KernelSet>() -> TaskEntry {
    TaskEntry::of::<Integrate<K>>()
}

/// Registers a [`KernelSet`](crate::KernelSet), so that workers in other processes find its task by
/// name; once in the program, beside the type.
#[macro_export]
macro_rules! register_kernels {
    ($kernels:ty) => {
        $crate::__pm_api::__register!($crate::integrate_entry::<$kernels>);
    };
}

/// What a worker keeps: open channels, a planned kernel, buffers.
pub(crate) struct Model {
    args: Args,
    derived: Arc<Derived>,
    rx: Box<dyn SampleReader>,
    tx: Option<Box<dyn SampleReader>>,
    plan: Box<dyn GmfPlan>,
    optimizer: Option<Optimizer>,
    rx_samples: Vec<Complex32>,
    tx_samples: Vec<Complex32>,
    /// As many as the kernel likes to have at once.
    prepared: Vec<PreparedSamples>,
}

impl<K: KernelSet> Task for Integrate<K> {
    const NAME: &'static str = K::TASK_NAME;
    type Args = Args;
    type Model = Model;
    type Param = usize;
    type Output = Integration;

    fn build(args: &Args, worker: &Worker<'_>) -> Result<Model, TaskError> {
        Ok(Model::new::<K>(args, worker.rank())?)
    }

    /// What goes wrong in the computation of one integration costs that one alone: whether it panics
    /// or fails, those that were to be computed beside it are computed again by a new model, one
    /// by one.
    fn execute(
        model: &mut Model,
        integrations: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<Self::Output>, TaskError> {
        let mut outputs = Vec::with_capacity(integrations.len());
        for batch in integrations.chunks(model.prepared.len()) {
            if worker.cancelled() {
                return Err(TaskError::cancelled());
            }
            match model.attempt(batch) {
                Ok(done) => outputs.extend(done),
                Err(message) => {
                    *model = Model::new::<K>(&model.args, worker.rank())?;
                    if let [integration] = *batch {
                        outputs.push(Err(IntegrationFailure { integration, message }));
                        continue;
                    }
                    for &integration in batch {
                        match model.attempt(&[integration]) {
                            Ok(done) => outputs.extend(done),
                            Err(message) => {
                                outputs.push(Err(IntegrationFailure { integration, message }));
                                *model = Model::new::<K>(&model.args, worker.rank())?;
                            }
                        }
                    }
                }
            }
        }
        Ok(outputs)
    }
}

pub(crate) fn unknown_kernel<K: KernelSet>(name: &str) -> AnalysisError {
    AnalysisError::UnknownKernel { name: name.to_owned(), known: K::names().join(", ") }
}

impl Model {
    fn new<K: KernelSet>(args: &Args, worker: usize) -> Result<Self, AnalysisError> {
        let _build = gtimer_core::subdivision!("build");
        let derived = Arc::new(args.derived.clone());
        let kernel = K::kernel(&args.kernel, worker)?
            .ok_or_else(|| unknown_kernel::<K>(&args.kernel.name))?;
        let plan = kernel.plan(&derived, &args.options)?;
        stamp!("plan");
        let tx_length = if args.tx.is_some() { derived.integration_samples() } else { 0 };
        let rx = args.rx.open()?;
        let tx = args.tx.as_ref().map(Source::open).transpose()?;
        stamp!("open");
        let model = Model {
            rx,
            tx,
            rx_samples: vec![Complex32::default(); derived.read_length()],
            tx_samples: vec![Complex32::default(); tx_length],
            prepared: vec![PreparedSamples::new(&derived); plan.batch_len().max(1)],
            optimizer: args.optimize.map(|how| Optimizer::new(&derived, how)),
            plan,
            derived,
            args: args.clone(),
        };
        stamp!("buffers");
        Ok(model)
    }

    /// Computes a batch, or says what went wrong; the model is not to be used again then.
    fn attempt(&mut self, batch: &[usize]) -> Result<Vec<Integration>, String> {
        match catch_panic(|| self.integrate(batch)) {
            Ok(Ok(outputs)) => Ok(outputs),
            Ok(Err(error)) => Err(chain(&error)),
            Err(message) => Err(format!("panic: {message}")),
        }
    }

    /// Reads and stencils the samples of one integration into `prepared[slot]`.
    fn load(&mut self, slot: usize, integration: usize) -> Result<(), LoadError> {
        let length = self.derived.integration_samples();
        let start = self.args.first_sample + integration as u64 * length as u64;
        self.rx.read(start, &mut self.rx_samples).map_err(LoadError::Read)?;
        let tx_samples = match &mut self.tx {
            None => &self.rx_samples[..length],
            Some(tx) => {
                tx.read(start, &mut self.tx_samples).map_err(LoadError::Read)?;
                &self.tx_samples
            }
        };
        stamp!("read");
        let loaded = self.prepared[slot].load(&self.rx_samples, tx_samples);
        stamp!("prepare");
        loaded.map_err(LoadError::Samples)
    }

    /// Computes at most as many integrations as there are slots.
    fn integrate(&mut self, integrations: &[usize]) -> Result<Vec<Integration>, KernelError> {
        let _integration = gtimer_core::subdivision!("integration");
        let n_ranges = self.derived.n_ranges();
        let mut outputs = Vec::with_capacity(integrations.len());
        let mut loaded = Vec::with_capacity(integrations.len());
        for (at, &integration) in integrations.iter().enumerate() {
            let slot = loaded.len();
            outputs.push(match self.load(slot, integration) {
                Ok(()) => {
                    loaded.push(at);
                    Ok(Integrated::computed(self.prepared[slot].tx_power(), n_ranges))
                }
                Err(LoadError::Samples(SamplesError::NoTransmission)) => {
                    Ok(Integrated::silent(n_ranges))
                }
                Err(LoadError::Samples(error @ SamplesError::NotFinite { .. })) => {
                    let status = IntegrationStatus::NotFinite;
                    Ok(Integrated::gap(status, chain(&error), n_ranges))
                }
                Err(LoadError::Samples(error)) => {
                    Err(IntegrationFailure { integration, message: chain(&error) })
                }
                Err(LoadError::Read(error)) => {
                    let status = IntegrationStatus::Unreadable;
                    Ok(Integrated::gap(status, chain(&error), n_ranges))
                }
            });
        }
        let prepared: Vec<_> =
            self.prepared[..loaded.len()].iter().map(PreparedSamples::integration).collect();
        let mut rows: Vec<GridRowMut<'_>> = outputs
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| loaded.contains(at))
            .filter_map(|(_, output)| output.as_mut().ok().map(|done| done.row.as_mut()))
            .collect();
        self.plan.execute_batch(&prepared, &mut rows)?;
        stamp!("kernel");
        if let Some(optimizer) = &mut self.optimizer {
            for (prepared, &at) in self.prepared.iter().zip(&loaded) {
                if let Ok(done) = &mut outputs[at] {
                    optimize::refine(optimizer, &self.derived, prepared, done)?;
                }
            }
            stamp!("refine");
        }
        Ok(outputs)
    }
}

enum LoadError {
    Read(crate::SourceError),
    Samples(SamplesError),
}
