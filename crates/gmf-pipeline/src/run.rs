//! Running one job of a planned analysis on a manager.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jobdiv::Job;
use pm_api::{CancelToken, Chunk, ParallelManager, RunOptions, Scatter as _};

use crate::plan::{AnalysisPlan, FileTask};
use crate::stamp::stamp;
use crate::task::{Args, Integrate, Integrated, IntegrationFailure, chain, unknown_kernel};
use crate::{AnalysisError, Gap, GmfFile, IntegrationStatus, KernelChoice, KernelSet, Sink};

/// What happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The work of this job is known.
    Started {
        /// Integrations to compute.
        n_integrations: usize,
        /// Files to write.
        n_files: usize,
        /// Files that are there already.
        n_skipped: usize,
    },
    /// Integrations were computed.
    Computed {
        /// How many so far.
        n_done: usize,
    },
    /// A file is complete, and about to be handed to the sink.
    File(&'a GmfFile),
}

/// Which part of a run is done, and how it is watched and stopped.
#[derive(Default)]
#[non_exhaustive]
pub struct RunControl<'a> {
    /// The job; by default the only one.
    pub job: Option<Job>,
    /// Stops the run.
    pub cancel: CancelToken,
    /// Is told what happens, on the thread that called [`AnalysisPlan::run`].
    pub observer: Option<&'a mut dyn FnMut(Event<'_>)>,
}

impl std::fmt::Debug for RunControl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunControl").field("job", &self.job).finish_non_exhaustive()
    }
}

impl<'a> RunControl<'a> {
    /// Does the part of one job.
    #[must_use]
    pub fn job(self, job: Job) -> Self {
        Self { job: Some(job), ..self }
    }

    /// Lets `cancel` stop the run.
    #[must_use]
    pub fn cancel(self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Lets `observer` be told what happens.
    #[must_use]
    pub fn observer(self, observer: &'a mut dyn FnMut(Event<'_>)) -> Self {
        Self { observer: Some(observer), ..self }
    }
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RunReport {
    /// Integrations computed.
    pub n_integrations: usize,
    /// Of those, how many had a silent transmitter, and so nothing to find.
    pub n_silent: usize,
    /// Files handed over, by their path below the output folder, in the order of their completion.
    pub files: Vec<PathBuf>,
    /// Files of this job that were there already.
    pub n_skipped: usize,
    /// Integrations in those files that had a silent transmitter.
    pub n_known_silent: usize,
    /// Integrations of this job's files that have no result, because of their samples; in order,
    /// with those of the files that were there already.
    pub gaps: Vec<Gap>,
}

/// A file that waits for the rest of its integrations.
struct Open {
    task: FileTask,
    rows: Vec<Option<Integrated>>,
    n_missing: usize,
}

struct Collector<'a, S: ?Sized> {
    plan: &'a AnalysisPlan,
    kernel: &'a KernelChoice,
    sink: &'a mut S,
    tell: &'a mut dyn FnMut(Event<'_>),
    open: BTreeMap<usize, Open>,
    failures: Vec<IntegrationFailure>,
    report: RunReport,
}

impl AnalysisPlan {
    /// Computes the files of one job and hands each to `sink` when it is complete.
    ///
    /// Files are divided among jobs as hardtarget does, every `N`-th to the same; a job without a
    /// file succeeds. Integrations are spread over the manager's workers one by one, so that few
    /// files keep many workers busy.
    ///
    /// The timer of this thread ([`gtimer_core::thread`]) has the stages in the subdivision
    /// `analysis`: `begin`, `integrate` (which is waiting where workers integrate), `collect`,
    /// `write`. The workers' timers have `read`, `prepare`, `kernel` and `refine` in `integration`.
    ///
    /// # Errors
    ///
    /// [`AnalysisError`]. Files that are complete have been handed over also then.
    pub fn run<K: KernelSet>(
        &self,
        manager: &dyn ParallelManager,
        sink: &mut (impl Sink + ?Sized),
        control: RunControl<'_>,
    ) -> Result<RunReport, AnalysisError> {
        let analysis = self.analysis();
        let kernel = analysis.kernel.clone().unwrap_or_else(|| KernelChoice::new(K::names()[0]));
        if !K::names().contains(&kernel.name.as_str()) {
            return Err(unknown_kernel::<K>(&kernel.name));
        }
        let mut silent = |_: Event<'_>| ();
        let tell = control.observer.unwrap_or(&mut silent);
        let job = control.job.unwrap_or(Job::WHOLE);

        let _analysis = gtimer_core::subdivision!("analysis");
        sink.begin(self, &kernel, job)?;

        let mut n_skipped = 0;
        let mut n_known_silent = 0;
        let mut gaps = Vec::new();
        let mut n_files = 0;
        let mut integrations = Vec::new();
        for file_idx in job.tasks(self.n_files()) {
            let file = self.file(file_idx);
            if sink.wants(&file) {
                n_files += 1;
                integrations.extend(file.integrations);
            } else {
                n_skipped += 1;
                n_known_silent += sink.known_silent(&file);
                gaps.extend(sink.known_gaps(&file));
            }
        }
        tracing::info!(
            "job {job}: {} integrations in {n_files} files, {n_skipped} files are there already",
            integrations.len()
        );
        stamp!("begin");
        tell(Event::Started { n_integrations: integrations.len(), n_files, n_skipped });

        let args = Args {
            rx: analysis.rx.clone(),
            tx: analysis.tx.clone().filter(|tx| !tx.is_same(&analysis.rx)),
            derived: (**self.derived()).clone(),
            options: analysis.options,
            optimize: analysis.optimize,
            kernel: kernel.clone(),
            first_sample: self.integration_start(0),
        };
        let mut collector = Collector {
            plan: self,
            kernel: &kernel,
            sink,
            tell,
            open: BTreeMap::new(),
            failures: Vec::new(),
            report: RunReport { n_skipped, n_known_silent, gaps, ..RunReport::default() },
        };
        let options = RunOptions::default().cancel(&control.cancel);
        let pending = manager.scatter::<Integrate<K>>(args, integrations.clone(), &options)?;
        let summary = pending.for_each(|chunk| collector.take(&integrations, chunk));
        // The workers' times are attached when the last of them has ended, which is now.
        stamp!("integrate");
        if control.cancel.is_cancelled() {
            let mut gaps = collector.gaps_of_open_files();
            gaps.append(&mut collector.report.gaps);
            gaps.sort_by_key(|gap| gap.integration);
            return Err(AnalysisError::Cancelled { n_files: collector.report.files.len(), gaps });
        }
        summary?;
        let Collector { mut failures, mut report, .. } = collector;
        failures.sort_by_key(|failure| failure.integration);
        report.gaps.sort_by_key(|gap| gap.integration);
        match failures.first() {
            None => Ok(report),
            Some(first) => Err(AnalysisError::Integrations {
                n_failed: failures.len(),
                n_integrations: integrations.len(),
                first: first.clone(),
            }),
        }
    }
}

impl<S: Sink + ?Sized> Collector<'_, S> {
    /// Puts the results of a chunk into their files, and hands over what is complete.
    fn take(
        &mut self,
        integrations: &[usize],
        chunk: Chunk<Result<Integrated, IntegrationFailure>>,
    ) -> Result<(), AnalysisError> {
        stamp!("integrate");
        let numbers = &integrations[chunk.indices];
        match chunk.outputs {
            Ok(outputs) => {
                for (&integration, output) in numbers.iter().zip(outputs) {
                    match output {
                        Ok(done) => self.keep(integration, done)?,
                        Err(failure) => self.failures.push(failure),
                    }
                }
            }
            Err(failure) => {
                let message = chain(&failure);
                self.failures.extend(numbers.iter().map(|&integration| IntegrationFailure {
                    integration,
                    message: message.clone(),
                }));
            }
        }
        (self.tell)(Event::Computed { n_done: self.report.n_integrations });
        stamp!("collect");
        Ok(())
    }

    fn keep(&mut self, integration: usize, done: Integrated) -> Result<(), AnalysisError> {
        self.report.n_integrations += 1;
        self.report.n_silent += usize::from(done.status == IntegrationStatus::Silent);
        let per_file = self.plan.derived().processing().num_cohints_per_file;
        let file_idx = integration / per_file;
        let open = self.open.entry(file_idx).or_insert_with(|| {
            let task = self.plan.file(file_idx);
            let n = task.integrations.len();
            Open { task, rows: vec![None; n], n_missing: n }
        });
        open.rows[integration - open.task.integrations.start] = Some(done);
        open.n_missing -= 1;
        if open.n_missing > 0 {
            return Ok(());
        }
        let Open { task, rows, .. } = self.open.remove(&file_idx).expect("it was just used");
        let rows = rows.into_iter().flatten().collect();
        let file = self.complete(&task, rows)?;
        self.report.gaps.extend_from_slice(file.gaps());
        (self.tell)(Event::File(&file));
        stamp!("collect");
        let won = self.sink.put(file)?;
        stamp!("write");
        if won {
            tracing::debug!("wrote {}", task.relative_path.display());
            self.report.files.push(task.relative_path);
        } else {
            self.report.n_skipped += 1;
        }
        Ok(())
    }

    fn gap(&self, integration: usize, done: &Integrated) -> Option<Gap> {
        done.status.is_gap().then(|| Gap {
            integration,
            status: done.status,
            time: self.plan.layout().integration_time(integration),
            reason: done.reason.clone().unwrap_or_default(),
        })
    }

    /// The gaps that are known of files that wait for the rest of their integrations.
    fn gaps_of_open_files(&self) -> Vec<Gap> {
        let rows =
            self.open.values().flat_map(|open| open.task.integrations.clone().zip(&open.rows));
        rows.filter_map(|(n, done)| self.gap(n, done.as_ref()?)).collect()
    }

    fn complete(&self, task: &FileTask, rows: Vec<Integrated>) -> Result<GmfFile, AnalysisError> {
        let plan = self.plan;
        let starts: Vec<u64> = task
            .integrations
            .clone()
            .map(|integration| plan.integration_start(integration))
            .collect();
        let gaps = task
            .integrations
            .clone()
            .zip(&rows)
            .filter_map(|(n, done)| self.gap(n, done))
            .collect();
        Ok(GmfFile {
            file_idx: task.file_idx,
            integrations: task.integrations.clone(),
            gaps,
            relative_path: task.relative_path.clone(),
            epoch_unix_s: plan.unix_s(task.first_sample),
            derived: Arc::clone(plan.derived()),
            options: plan.analysis().options,
            optimize: plan.analysis().optimize,
            kernel: self.kernel.name.clone(),
            rows,
            pointing: plan.pointing().at(&starts, plan.sample_rate())?,
        })
    }
}
