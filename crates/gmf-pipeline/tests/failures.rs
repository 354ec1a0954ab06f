//! What goes wrong in one integration: with its samples, or with its computation.

use std::sync::Arc;

use gmf_api::{
    Complex32, Derived, Experiment, GmfKernel, GmfPlan, GridRowMut, Integration, KernelError,
    KernelOptions, Processing, Reference,
};
use gmf_pipeline::{
    Analysis, AnalysisError, AnalysisPlan, GmfFile, IntegrationStatus, KernelChoice, KernelSet,
    MemorySamples, RunControl, Source,
};

/// What the faulty kernel cannot bear.
const POISON: f32 = 7777.0;

/// The reference, but that it panics or fails where a sample says so.
struct FaultyKernels;

#[derive(Debug)]
struct Faulty(&'static str);

/// The plan of the reference, which fault it has, and whether it has met it: a plan that panicked
/// is in no certain state, and may not be used again.
struct FaultyPlan(Box<dyn GmfPlan>, &'static str, bool);

impl GmfPlan for FaultyPlan {
    fn batch_len(&self) -> usize {
        2
    }

    fn execute(
        &mut self,
        integration: Integration<'_>,
        row: GridRowMut<'_>,
    ) -> Result<(), KernelError> {
        assert!(!self.2, "a plan was used after a fault");
        if integration.rx.iter().any(|z| z.re == POISON) {
            self.2 = true;
            assert!(self.1 != "panics", "poisoned");
            return Err(KernelError::Shape { what: "poison", expected: 0, got: 1 });
        }
        self.0.execute(integration, row)
    }
}

impl GmfKernel for Faulty {
    fn name(&self) -> &str {
        self.0
    }

    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError> {
        Ok(Box::new(FaultyPlan(GmfKernel::plan(&Reference, derived, options)?, self.0, false)))
    }
}

impl KernelSet for FaultyKernels {
    const TASK_NAME: &'static str = "gmf_pipeline::tests::faulty";

    fn names() -> &'static [&'static str] {
        &["panics", "fails"]
    }

    fn kernel(
        choice: &KernelChoice,
        _worker: usize,
    ) -> Result<Option<Box<dyn GmfKernel>>, KernelError> {
        let name = Self::names().iter().find(|name| **name == choice.name);
        Ok(name.map(|name| Box::new(Faulty(name)) as Box<dyn GmfKernel>))
    }
}

/// Six integrations of 0.2 s, one in each file; some samples of the reception are replaced.
fn plan(kernel: &str, replaced: &[(usize, f32)]) -> AnalysisPlan {
    let mut samples = vec![Complex32::default(); 1200];
    samples.chunks_mut(100).for_each(|ipp| ipp[..16].fill(Complex32::new(1.0, 0.0)));
    for &(integration, value) in replaced {
        samples[200 * integration + 35].re = value;
    }
    let source = MemorySamples::new(5_000, 1000, 1, samples).expect("there is such a rate");
    let experiment = "[Experiment]\nsample_rate = 1000\nipp = 100000\ntx_start = 0\n\
        tx_end = 16000\nrx_start = 0\nrx_end = 100000\nradar_frequency = 930\n";
    let processing = "[signal-processing]\nn_ipp = 2\nmin_range_gate = 30\nmax_range_gate = 40\n\
        dpt_ipp_delay_parameter = 1\nmin_acceleration = -10\nmax_acceleration = 10\n\
        num_cohints_per_file = 1\n";
    let mut analysis = Analysis::new(
        Source::Memory(Arc::new(source)),
        Experiment::from_ini("metadata.ini", experiment).expect("is sound"),
        Processing::from_ini("cfg.ini", processing).expect("is sound"),
    );
    analysis.kernel = Some(KernelChoice::new(kernel));
    analysis.plan().expect("fits together")
}

/// The files that a run gave, by the number of their integration, and how it ended.
fn run(plan: &AnalysisPlan) -> (Vec<GmfFile>, Result<gmf_pipeline::RunReport, AnalysisError>) {
    let mut files: Vec<GmfFile> = Vec::new();
    let manager = pm_api::SerialManager::new();
    let result = plan.run::<FaultyKernels>(&manager, &mut files, RunControl::default());
    (files, result)
}

#[test]
fn a_kernel_that_fails_or_panics_costs_that_integration_alone_and_ends_in_an_error() {
    let (whole, result) = run(&plan("fails", &[]));
    assert_eq!(result.unwrap().n_integrations, 6);
    // Alone in its batch, first or last in it, both of it, and all there are.
    for poisoned in [&[0][..], &[3], &[4], &[1, 2], &[3, 4], &[0, 1, 2, 3, 4, 5]] {
        for kernel in ["panics", "fails"] {
            let replaced: Vec<(usize, f32)> = poisoned.iter().map(|&k| (k, POISON)).collect();
            let (files, result) = run(&plan(kernel, &replaced));
            let error = result.unwrap_err();
            let AnalysisError::Integrations { n_failed, n_integrations, first } = &error else {
                panic!("{kernel}: {error}");
            };
            assert_eq!((*n_failed, *n_integrations), (poisoned.len(), 6), "{error}");
            assert_eq!(first.integration, poisoned[0]);
            let what = if kernel == "panics" { "panic: poisoned, at " } else { "poison has 1" };
            assert!(first.message.contains(what), "{kernel}: {error}");
            // The others are as if nothing had been.
            let rest = (0..6).filter(|k| !poisoned.contains(k));
            assert!(
                files
                    .iter()
                    .map(GmfFile::relative_path)
                    .eq(rest.clone().map(|k| whole[k].relative_path()))
            );
            assert!(files.iter().map(GmfFile::rows).eq(rest.map(|k| whole[k].rows())));
        }
    }
}

#[test]
fn a_sample_that_is_not_finite_is_a_gap_and_no_error() {
    for value in [f32::NAN, f32::INFINITY] {
        let (files, result) = run(&plan("fails", &[(1, value), (4, value)]));
        let report = result.unwrap();
        assert_eq!(files.len(), 6);
        let gaps: Vec<usize> = report.gaps.iter().map(|gap| gap.integration).collect();
        assert_eq!(gaps, [1, 4]);
        assert_eq!(report.gaps[0].status, IntegrationStatus::NotFinite);
        assert_eq!(report.gaps[0].time, "1970-01-01T00:00:05.2Z");
        for (k, file) in files.iter().enumerate() {
            let done = &file.rows()[0];
            let is_gap = gaps.contains(&k);
            assert_eq!(done.status.is_gap(), is_gap);
            assert_eq!(done.row.gmf.iter().all(|value| value.is_nan()), is_gap, "{k}");
            assert_eq!(file.gaps().len(), usize::from(is_gap));
            assert!(!is_gap || file.peaks().all(|row| row.peak.is_none()));
        }
    }
}
