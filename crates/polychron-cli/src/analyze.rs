//! `polychron analyze`.

use std::path::Path;
use std::time::Instant;

use anyhow::bail;
use polychron::Kernels;
use polychron::gmf::KernelOptions;
use polychron::gmf_pipeline::{
    Analysis, AnalysisError, AnalysisPlan, Compat, Event, FolderSink, Gap, KernelChoice,
    KernelSet as _, RunControl, RunReport, Source, TimePoint, TimeSpan,
};
use polychron::jobdiv::Job;
use polychron::pm::{CancelToken, ParallelManager};

use crate::args::{AnalyzeArgs, CompatArg, KernelArg};
use crate::backend::BackendArgs;
use crate::job::JobArgs;
use crate::output::{Gaps, Interrupted, Usage, remark, say};
use crate::timing::stamp;
use crate::{interrupt, job, progress};

pub(crate) fn run(args: &AnalyzeArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let (job, launched) = job::job(&args.job, args.parallel.is_mpi(&args.job))?;
    let mut analysis = analysis(args)?;
    let kernel = kernel(args, &analysis, job)?;
    analysis.kernel = Some(kernel.clone());
    let plan = analysis.plan().map_err(|error| match error {
        error @ AnalysisError::Parameters(_) => anyhow::Error::new(error).context(files(args)),
        error => error.into(),
    })?;
    let (manager, threads) = manager(&args.parallel, &args.job, launched, &plan, job)?;
    let plan = plan.with_kernel(kernel.threads(threads));
    tracing::info!(
        "{} coherent integrations of {} samples in {} files, {} range gates, {} accelerations",
        plan.n_integrations(),
        plan.derived().integration_samples(),
        plan.n_files(),
        plan.derived().n_ranges(),
        plan.derived().acceleration_window().len(),
    );

    let cancel = interrupt::token()?;
    stamp!("plan");
    let mut sink = FolderSink::new(&args.output, args.clobber).retry_gaps(args.retry_gaps);
    let report = run_with_bar(&plan, &*manager, &mut sink, job, &cancel, args.progress)?;
    stamp!("search");
    report_to_user(args, &plan, &report, started);
    // Also of files that an earlier run left, which failed for the same reason.
    let n_integrations = n_integrations(&plan, job);
    if n_integrations > 0 && report.n_silent + report.n_known_silent == n_integrations {
        bail!(
            "the transmitter is silent in all {n_integrations} integrations: {} holds nothing \
             from tx_start to tx_end; name the transmitter's channel with --txchnl, or correct \
             metadata.ini",
            plan.analysis().tx.as_ref().unwrap_or(&plan.analysis().rx),
        );
    }
    match tell_gaps(&plan, n_integrations, &report.gaps) {
        None => Ok(()),
        Some(said) => Err(Gaps(said).into()),
    }
}

/// The files that the parameters are from.
fn files(args: &AnalyzeArgs) -> String {
    let metadata = args.rx.join("metadata.ini");
    match &args.config {
        None => format!("{} and the defaults of the search", metadata.display()),
        Some(config) => format!("{} and {}", metadata.display(), config.display()),
    }
}

/// The integrations of a job's files, also of those that are there already.
fn n_integrations(plan: &AnalysisPlan, job: Job) -> usize {
    job.tasks(plan.n_files()).map(|file_idx| plan.file(file_idx).integrations.len()).sum()
}

/// Gaps and damaged files that are told one by one; the others are counted.
const TOLD: usize = 10;

/// Tells what could not be analysed, one by one, and gives it in sum; `None` if that was nothing.
fn tell_gaps(plan: &AnalysisPlan, n_integrations: usize, gaps: &[Gap]) -> Option<String> {
    let ends = plan.damaged_ends();
    tell_some(ends.iter().map(|end| format!("shorter: {end}")));
    tell_some(gaps.iter().map(|gap| format!("gap: {gap}")));
    let mut said = Vec::new();
    if !gaps.is_empty() {
        let n = gaps.len();
        said.push(format!(
            "{n} of {n_integrations} integrations have no result (--retry-gaps tries them again)"
        ));
    }
    if !ends.is_empty() {
        said.push(format!("the recording is shorter by {} damaged files", ends.len()));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

/// Prints the first of many lines to stderr.
pub(crate) fn tell_some(lines: impl ExactSizeIterator<Item = String>) {
    let n_more = lines.len().saturating_sub(TOLD);
    for line in lines.take(TOLD) {
        remark(line);
    }
    if n_more > 0 {
        remark(format_args!("… and {n_more} more"));
    }
}

/// Runs a job with a progress bar over its integrations.
pub(crate) fn run_with_bar(
    plan: &AnalysisPlan,
    manager: &dyn ParallelManager,
    sink: &mut dyn polychron::gmf_pipeline::Sink,
    job: Job,
    cancel: &CancelToken,
    wanted: bool,
) -> anyhow::Result<RunReport> {
    let bar = progress::bar(wanted, 0, "Coherent integrations");
    let mut observe = |event: Event<'_>| match event {
        Event::Started { n_integrations, .. } => bar.set_length(n_integrations as u64),
        Event::Computed { n_done } => bar.set_position(n_done as u64),
        _ => (),
    };
    let control = RunControl::default().job(job).cancel(cancel).observer(&mut observe);
    let result = plan.run::<Kernels>(manager, sink, control);
    bar.finish();
    result.map_err(|error| {
        let AnalysisError::Cancelled { gaps, .. } = &error else { return error.into() };
        let said = match tell_gaps(plan, n_integrations(plan, job), gaps) {
            None => error.to_string(),
            Some(said) => format!("{error}; so far, {said}"),
        };
        Interrupted(said).into()
    })
}

/// The manager, and the threads that share one integration; neither more than have work to do.
pub(crate) fn manager(
    args: &BackendArgs,
    given: &JobArgs,
    launched: bool,
    plan: &AnalysisPlan,
    job: Job,
) -> anyhow::Result<(Box<dyn ParallelManager>, usize)> {
    // A launcher starts as many processes as it has cores for.
    let asked = args.workers.or(launched.then_some(1));
    let wanted = asked.unwrap_or_else(|| args.most_workers(given));
    let workers = wanted.min(n_integrations(plan, job).max(1));
    let manager = args.manager(given, workers)?;
    let tell = |what, workers| {
        if asked.is_some_and(|asked| asked > workers) {
            tracing::info!("{workers} workers instead of {wanted}: there are no more {what}");
        }
    };
    if manager.name() == "serial" {
        let threads = asked.unwrap_or(1).min(plan.derived().n_ranges());
        tell("range gates", threads);
        return Ok((manager, threads));
    }
    tell("integrations", manager.n_workers());
    Ok((manager, 1))
}

fn analysis(args: &AnalyzeArgs) -> anyhow::Result<Analysis> {
    let mut analysis = Analysis::of_product(&args.rx, &args.rxchnl, args.config.as_deref())?;
    if args.tx.is_some() || args.txchnl.is_some() {
        analysis.tx = Some(Source::DigitalRf {
            dir: args.tx.clone().unwrap_or_else(|| args.rx.clone()),
            channel: args.txchnl.clone().unwrap_or_else(|| args.rxchnl.clone()),
        });
    }
    let time = |text: &Option<String>, which| {
        let parse = |text| TimePoint::parse(text, args.relative_time, which).map_err(Usage::of);
        text.as_deref().map(parse).transpose()
    };
    analysis.span =
        TimeSpan { start: time(&args.start_time, "start")?, end: time(&args.end_time, "end")? };
    let method = args.method.map_or(analysis.options.method, |method| method.0);
    analysis.options = KernelOptions::new(method).zero_frequency(args.zero_frequency.0);
    analysis.optimize = args.optimize.map_or(analysis.optimize, |how| Some(how.0));
    analysis.compat = args.compat.map(|CompatArg::Hardtarget| Compat::Hardtarget);
    Ok(analysis)
}

/// The kernel, on a device that is known to be there if it needs one.
fn kernel(args: &AnalyzeArgs, analysis: &Analysis, job: Job) -> anyhow::Result<KernelChoice> {
    let choice = kernel_by_name(args, analysis)?;
    #[cfg(feature = "gpu")]
    let choice = crate::gpu::on_device(choice, &args.gpu, analysis.processing.node_gpus, job)?;
    #[cfg(not(feature = "gpu"))]
    let _ = job;
    Ok(choice)
}

fn kernel_by_name(args: &AnalyzeArgs, analysis: &Analysis) -> anyhow::Result<KernelChoice> {
    if let Some(kernel) = args.implementation {
        return Ok(KernelChoice::new(kernel.name()));
    }
    match &analysis.processing.gmf_implementation {
        None => Ok(KernelChoice::new(Kernels::names()[0])),
        Some(name) => match KernelArg::from_config(name) {
            Some(kernel) => Ok(KernelChoice::new(kernel.name())),
            None => bail!(
                "{}: gmf_implementation is '{name}', which is no kernel of this program; it has \
                 {}, of which -i chooses one",
                args.config.as_deref().unwrap_or(Path::new("the config file")).display(),
                Kernels::names().join(", ")
            ),
        },
    }
}

fn report_to_user(args: &AnalyzeArgs, plan: &AnalysisPlan, report: &RunReport, started: Instant) {
    let data_s = report.n_integrations as f64 * plan.derived().integration_samples() as f64
        / plan.sample_rate().as_f64();
    let took_s = started.elapsed().as_secs_f64();
    if report.n_skipped > 0 {
        say(format_args!(
            "{} files were there already (--clobber computes them anew)",
            report.n_skipped
        ));
    }
    if (1..report.n_integrations).contains(&report.n_silent) {
        tracing::warn!(
            "the transmitter was silent in {} of {} integrations: they are without peak",
            report.n_silent,
            report.n_integrations
        );
    }
    if report.n_integrations == 0 {
        // What was done before need not be what was wanted.
        if report.n_known_silent == 0 {
            say("nothing to do");
        }
        return;
    }
    say(format_args!(
        "{} integrations in {} files written to {} in {took_s:.2} s ({:.1} x real time)",
        report.n_integrations,
        report.files.len(),
        args.output.display(),
        data_s / took_s
    ));
}
