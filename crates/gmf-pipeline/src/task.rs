//! The task that managers spread over workers: one coherent integration.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, GmfPlan, GridRow, GridRowMut, KernelOptions, PreparedSamples, SamplesError,
};
use pm_api::{Task, TaskError, Worker};
use serde::{Deserialize, Serialize};

use crate::source::SampleReader;
use crate::{AnalysisError, KernelChoice, KernelSet, Source};

/// What every worker needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Args {
    pub(crate) rx: Source,
    pub(crate) tx: Option<Source>,
    pub(crate) derived: Derived,
    pub(crate) options: KernelOptions,
    pub(crate) kernel: KernelChoice,
    pub(crate) first_sample: u64,
}

/// The result of one coherent integration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Integrated {
    /// Transmitted energy, `sum |tx|^2`, in the recorder's unit squared; 0 if the transmitter was
    /// silent, and the row is without power then.
    pub tx_power: f32,
    /// What the kernel found.
    pub row: GridRow,
}

/// Why an integration has no result.
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

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The task, for the kernels of `K`.
pub(crate) struct Integrate<K>(PhantomData<K>);

/// What a worker keeps: open channels, a planned kernel, buffers.
pub(crate) struct Model {
    args: Args,
    derived: Arc<Derived>,
    rx: Box<dyn SampleReader>,
    tx: Option<Box<dyn SampleReader>>,
    plan: Box<dyn GmfPlan>,
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
    type Output = Result<Integrated, IntegrationFailure>;

    fn build(args: &Args, worker: &Worker<'_>) -> Result<Model, TaskError> {
        let derived = Arc::new(args.derived.clone());
        let kernel = K::kernel(&args.kernel, worker.rank())?
            .ok_or_else(|| unknown_kernel::<K>(&args.kernel.name))?;
        let plan = kernel.plan(&derived, &args.options)?;
        let tx_length = if args.tx.is_some() { derived.integration_samples() } else { 0 };
        Ok(Model {
            rx: args.rx.open()?,
            tx: args.tx.as_ref().map(Source::open).transpose()?,
            rx_samples: vec![Complex32::default(); derived.read_length()],
            tx_samples: vec![Complex32::default(); tx_length],
            prepared: vec![PreparedSamples::new(&derived); plan.batch_len().max(1)],
            plan,
            derived,
            args: args.clone(),
        })
    }

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
            model.integrate(batch, &mut outputs)?;
        }
        Ok(outputs)
    }
}

pub(crate) fn unknown_kernel<K: KernelSet>(name: &str) -> AnalysisError {
    AnalysisError::UnknownKernel { name: name.to_owned(), known: K::names().join(", ") }
}

impl Model {
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
        self.prepared[slot].load(&self.rx_samples, tx_samples).map_err(LoadError::Samples)
    }

    /// Computes at most as many integrations as there are slots.
    fn integrate(
        &mut self,
        integrations: &[usize],
        outputs: &mut Vec<Result<Integrated, IntegrationFailure>>,
    ) -> Result<(), TaskError> {
        let n_ranges = self.derived.n_ranges();
        let first = outputs.len();
        let mut loaded = Vec::with_capacity(integrations.len());
        for (at, &integration) in integrations.iter().enumerate() {
            let slot = loaded.len();
            outputs.push(match self.load(slot, integration) {
                Ok(()) => {
                    loaded.push(first + at);
                    let tx_power = self.prepared[slot].tx_power();
                    Ok(Integrated { tx_power, row: GridRow::new(n_ranges) })
                }
                Err(LoadError::Samples(SamplesError::NoTransmission)) => {
                    Ok(Integrated { tx_power: 0.0, row: GridRow::new(n_ranges) })
                }
                Err(error) => Err(IntegrationFailure {
                    integration,
                    message: match error {
                        LoadError::Read(error) => chain(&error),
                        LoadError::Samples(error) => chain(&error),
                    },
                }),
            });
        }
        let prepared: Vec<_> =
            self.prepared[..loaded.len()].iter().map(PreparedSamples::integration).collect();
        let mut rows: Vec<GridRowMut<'_>> = outputs[first..]
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| loaded.contains(&(first + at)))
            .filter_map(|(_, output)| output.as_mut().ok().map(|done| done.row.as_mut()))
            .collect();
        self.plan.execute_batch(&prepared, &mut rows)?;
        Ok(())
    }
}

enum LoadError {
    Read(crate::SourceError),
    Samples(SamplesError),
}
