//! `polychron sweep`: any program, run with combinations or samples of parameters.

mod child;
mod folder;
mod outcome;
mod task;
mod template;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{ArgAction, Args};
use polychron::param_sweep::{RowFailure, Sweep, failure_word, parse_parameter};
use polychron::pm::{FailureKind, ParallelManager, RunOptions, Scatter as _, Schedule};

use self::folder::{Entry, Folder, Journal};
use self::task::{Plan, Program, Ran, Runner, variable};
use crate::analyze::tell_some;
use crate::backend::BackendArgs;
use crate::job::JobArgs;
use crate::output::{Gaps, Interrupted, Usage, say};
use crate::shell::typed;
use crate::timing::{TimesOut, stamp};
use crate::{interrupt, job, progress};

pub(crate) use child::become_program;

#[derive(Debug, Args)]
#[command(after_help = "\
Parameters, NAME=VALUES; ends are included:
  a=0:10:11              11 numbers from 0 to 10, evenly spaced
  b=log:1e-3:1e3:7       7 numbers whose logarithms are evenly spaced; geom: also below 0
  b=rgeom:1:100:5        the same, seen from the other end
  n=int:1:10             whole numbers; int:0:100:25 by steps of 25
  c=1,2,5  mode=fast,slow  t=list:a:b,c    those; list: where there are colons
With --samples N, drawn from --seed:
  x=uniform:0:1          also loguniform:1e-3:1e3, triangular:0:2:10 (low, mode, high)
  y=normal:10:0.5        mean, standard deviation
  z=lhs:0:1              Latin hypercube: one sample in each of N equal parts
Values are combined, the first parameter varying slowest; samples are not.

The command has {a} for a parameter, {index} for the number of the row, {seed} for a seed of its
own of 31 bits; {{ and }} are braces. The variables POLYCHRON_PARAM_A, POLYCHRON_INDEX and
POLYCHRON_SEED say the same. Its standard input is empty.

Results are read from the last line that it prints: a JSON object, key=value pairs, or a number.
A run that ends with another code than 0, by a signal, too late or without a result is a row that
says so, with the first line of its complaints.

Examples:
  polychron sweep --param a=0:10:11 --param b=log:1e-3:1e3:7 -- ./model --a {a} --b {b}
  polychron sweep --param x=lhs:0:1 --param y=normal:5:2 --samples 100 -o out -- ./model {x} {y}
  polychron sweep --param n=int:1:8 --capture 'took (?<s>[\\d.]+) s' --plot n.png -- ./bench {n}
  polychron sweep --param a=1,2 --workdir runs/{index} --result-file out.json -- ../model {a}
  polychron sweep --param a=0:1:1000 -o out --job 2/4 -- ./model {a}    on the second of four
  polychron sweep --param a=0:1:1000 -o out --resume -- ./model {a}     what is not there yet

The folder holds results.csv, results.json, joblog.tsv (times, hosts, workers), the rows of each job
as they came, and run.json, which says whose they are. `polychron merge DIR` makes the results again.

Exit codes: 0 done, 1 failed, 2 usage, 3 done, but some rows failed, 130 interrupted.")]
pub(crate) struct SweepArgs {
    /// A parameter and its values, as below; may be given several times
    #[arg(
        short = 'P',
        long = "param",
        value_name = "NAME=VALUES",
        required = true,
        allow_hyphen_values = true
    )]
    params: Vec<String>,
    /// Samples, if parameters are sampled
    #[arg(short = 'n', long, value_name = "N")]
    samples: Option<usize>,
    /// Seed of the samples, and of {seed}
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the results
    #[arg(short, long, value_name = "DIR", default_value = "polychron-sweep")]
    output: PathBuf,
    /// Runs only what is not there yet
    #[arg(long, conflicts_with = "clobber")]
    resume: bool,
    /// Runs also those again that failed; with --resume
    #[arg(long, requires = "resume")]
    retry_failed: bool,
    /// Replaces a sweep that is in the folder
    #[arg(long)]
    clobber: bool,
    /// Reads results where this regular expression matches last in what is printed: its named groups
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["result_file", "no_result"])]
    capture: Option<String>,
    /// Reads results from this file: a JSON object, or CSV of names and one row; one that is there
    /// before the run is removed
    #[arg(long, value_name = "PATTERN", conflicts_with = "no_result")]
    result_file: Option<String>,
    /// Reads no results; that the program ends well is enough
    #[arg(long)]
    no_result: bool,
    /// Runs each in this folder, which is made
    #[arg(long, value_name = "PATTERN")]
    workdir: Option<String>,
    /// Ends runs that take longer than so many seconds, with all that they have started
    #[arg(long, value_name = "S", value_parser = seconds)]
    timeout: Option<f64>,
    /// Tries failed runs again so many times
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Prints the commands, runs nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Draws an output over the parameter that varies, or over both; a .png or .svg file
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The output that is drawn [default: the first that is a number]
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "NAME", requires = "plot")]
    plot_output: Option<String>,
    #[command(flatten)]
    pub(crate) parallel: BackendArgs,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) times: TimesOut,
    /// Shows no progress bar and no summary
    #[arg(short, long)]
    quiet: bool,
    /// Tells more, and where the time went; twice tells all
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if s > 0.0 && s <= 1e9 => Ok(s),
        _ => Err("must be a number of seconds above 0".to_owned()),
    }
}

pub(crate) fn run(args: &SweepArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let plan = plan(args)?;
    let runner = Runner::new(plan.clone()).map_err(|text| Usage::of(anyhow::anyhow!(text)))?;
    #[cfg(feature = "plot")]
    if let Some(path) = &args.plot {
        crate::plot::sweep::check(path, &plan.design)?;
    }
    let (job, launched) = job::job(&args.job, args.parallel.is_mpi(&args.job))?;
    let n_rows = job.tasks(plan.design.len()).len();
    if args.dry_run {
        dry_run(&runner, job.tasks(plan.design.len()));
        return Ok(());
    }
    if args.clobber && job.n_jobs() > 1 {
        let error = anyhow::anyhow!("--clobber would remove the rows of the other jobs, too");
        return Err(Usage::of(error));
    }
    find_program(args)?;

    let folder = Folder::take(&args.output, &plan, args.clobber)?;
    let mut journal = folder.journal(job)?;
    let known = folder.rows()?;
    let is_done =
        |index: &usize| known.get(index).is_some_and(|entry| entry.is_ok() || !args.retry_failed);
    let missing: Vec<usize> =
        job.tasks(plan.design.len()).filter(|index| !is_done(index)).collect();
    let n_known = n_rows - missing.len();
    if n_known > 0 && !args.resume {
        bail!(
            "{} has {n_known} of the {n_rows} rows already: --resume runs the others, --clobber all",
            args.output.display()
        );
    }
    let manager = manager(args, launched, missing.len())?;
    let cancel = interrupt::token()?;
    stamp!("plan");
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 }).cancel(&cancel);
    let mut watch = Watch::new(args, missing.len());
    if !missing.is_empty() {
        let run = manager.scatter::<Program>(plan, missing.clone(), &options)?;
        let result = run.for_each(|chunk| -> anyhow::Result<()> {
            let ran = match chunk.outputs {
                Ok(ran) => ran,
                Err(failure) if failure.kind == FailureKind::Cancelled => return Ok(()),
                Err(failure) if failure.kind == FailureKind::Build => bail!("{failure}"),
                // The worker was lost, not the program.
                Err(failure) => chunk.indices.map(|at| lost(missing[at], &failure)).collect(),
            };
            ran.into_iter().try_for_each(|ran| watch.take(ran, &mut journal))
        });
        watch.bar.finish_and_clear();
        result?;
    }
    journal.sync()?;
    stamp!("rows");

    let rows = folder.rows()?;
    let design = folder.design();
    let is_whole = rows.len() == design.len();
    // Of several jobs only the last one writes, since an earlier one may know less.
    let table =
        if is_whole || job.n_jobs() == 1 { Some(folder.write_results(&rows)?) } else { None };
    if !args.quiet {
        watch.summarize(n_known, started);
        match &table {
            Some(_) => say(args.output.join("results.csv").display()),
            None => say(format_args!(
                "{} of {} rows are there; the job that does the last writes the results",
                rows.len(),
                design.len()
            )),
        }
    }
    #[cfg(feature = "plot")]
    if let (Some(path), Some(table)) = (&args.plot, &table)
        && is_whole
    {
        crate::plot::sweep::draw(path, table, design, args.plot_output.as_deref())?;
        say(path.display());
    }
    stamp!("results");
    let n_done = job.tasks(design.len()).filter(|index| rows.contains_key(index)).count();
    if cancel.is_cancelled() && n_done < n_rows {
        let said =
            format!("interrupted: {n_done} of {n_rows} rows are there, --resume runs the others");
        return Err(Interrupted(said).into());
    }
    let own = job.tasks(design.len()).filter_map(|index| rows.get(&index));
    tell_failures(own.filter(|entry| !entry.is_ok()), n_rows, args.quiet)
}

fn plan(args: &SweepArgs) -> anyhow::Result<Plan> {
    let mut sweep = Sweep::new().seed(args.seed);
    let mut variables = BTreeMap::new();
    for text in &args.params {
        let (name, spec) = parse_parameter(text).context("--param").map_err(Usage::of)?;
        if let Some(other) = variables.insert(variable(&name), name.clone())
            && other != name
        {
            let variable = variable(&name);
            let error = anyhow::anyhow!("--param {other} and {name} would both be {variable}");
            return Err(Usage::of(error));
        }
        sweep = sweep.parameter(name, spec);
    }
    if let Some(n) = args.samples {
        sweep = sweep.samples(n);
    }
    let design = sweep.design().map_err(Usage::of)?;
    Ok(Plan {
        design,
        command: args.command.clone(),
        capture: args.capture.clone(),
        result_file: args.result_file.clone(),
        no_result: args.no_result,
        workdir: args.workdir.clone(),
        timeout: args.timeout,
        retries: args.retries,
    })
}

fn dry_run(runner: &Runner, rows: impl Iterator<Item = usize>) {
    for index in rows {
        let (words, dir) = runner.words(index);
        let command = typed(&words);
        match dir {
            Some(dir) => say(format_args!("cd {} && {command}", typed(&[dir.into()]))),
            None => say(command),
        }
    }
}

/// Fails before the first row rather than in every row, where the program is not there.
fn find_program(args: &SweepArgs) -> anyhow::Result<()> {
    let name = &args.command[0];
    let text = name.to_string_lossy();
    // One that varies, or is sought in a folder that is not made yet, is found when it is run.
    if text.contains(['{', '}']) {
        return Ok(());
    }
    let is_there = if text.contains('/') {
        Path::new(name).is_file()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    };
    if !is_there {
        let hint = if !text.contains('/') && Path::new(name).is_file() {
            format!("; there is one in this folder: ./{text}")
        } else {
            String::new()
        };
        bail!("there is no program {text}{hint}");
    }
    Ok(())
}

fn manager(
    args: &SweepArgs,
    launched: bool,
    n_rows: usize,
) -> anyhow::Result<Box<dyn ParallelManager>> {
    let SweepArgs { parallel, job, .. } = args;
    let asked = parallel.workers.or(launched.then_some(1));
    let wanted = asked.unwrap_or_else(|| parallel.most_workers(job));
    parallel.manager(job, wanted.min(n_rows.max(1)))
}

/// The row of a point whose worker is gone.
fn lost(index: usize, failure: &polychron::pm::Failure) -> Ran {
    let worker = failure.worker;
    let kind = format!("worker {}", failure_word(failure.kind));
    let outcome = Err(RowFailure { kind, message: failure.message.clone(), worker });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ran {
        index,
        outcome,
        started: now.unwrap_or_default().as_secs_f64(),
        seconds: 0.0,
        exit: None,
        signal: None,
        attempts: failure.attempts,
        host: String::new(),
        worker: worker.unwrap_or_default(),
    }
}

/// What is seen of the rows while they come.
struct Watch {
    bar: indicatif::ProgressBar,
    n_done: usize,
    n_failed: usize,
    fastest: Option<Entry>,
    slowest: Option<Entry>,
}

impl Watch {
    fn new(args: &SweepArgs, n_rows: usize) -> Self {
        let bar = progress::bar(!args.quiet, n_rows as u64, "Rows");
        Self { bar, n_done: 0, n_failed: 0, fastest: None, slowest: None }
    }

    fn take(&mut self, ran: Ran, journal: &mut Journal) -> anyhow::Result<()> {
        let entry = journal.append(ran)?;
        self.n_done += 1;
        if !entry.is_ok() {
            self.n_failed += 1;
            self.bar.set_message(format!("Rows, {} failed", self.n_failed));
        }
        self.bar.inc(1);
        if self.fastest.as_ref().is_none_or(|old| entry.seconds < old.seconds) {
            self.fastest = Some(entry.clone());
        }
        if self.slowest.as_ref().is_none_or(|old| entry.seconds > old.seconds) {
            self.slowest = Some(entry);
        }
        Ok(())
    }

    fn summarize(&self, n_known: usize, started: Instant) {
        if n_known > 0 {
            say(format_args!("{n_known} rows were there already"));
        }
        let took_s = started.elapsed().as_secs_f64();
        let failed = match self.n_failed {
            0 => String::new(),
            n => format!(", of which {n} failed"),
        };
        say(format_args!("{} rows run in {took_s:.2} s{failed}", self.n_done));
        if let (Some(fastest), Some(slowest)) = (&self.fastest, &self.slowest)
            && self.n_done > 1
        {
            say(format_args!(
                "fastest: row {} in {:.3} s; slowest: row {} in {:.3} s",
                fastest.row, fastest.seconds, slowest.row, slowest.seconds
            ));
        }
    }
}

fn tell_failures<'a>(
    failed: impl Iterator<Item = &'a Entry>,
    n_rows: usize,
    quiet: bool,
) -> anyhow::Result<()> {
    let failed: Vec<&Entry> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    if !quiet {
        tell_some(failed.iter().map(|entry| entry.to_string()));
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    failed.iter().for_each(|entry| *kinds.entry(&entry.status).or_default() += 1);
    let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let (n, kinds) = (failed.len(), kinds.join(", "));
    Err(Gaps(format!("{n} of {n_rows} rows failed ({kinds})")).into())
}

/// Makes the results of a folder of rows, if it is one; `None` if it is none.
pub(crate) fn merge(dir: &Path, json: bool) -> anyhow::Result<Option<()>> {
    let Some(folder) = Folder::open(dir)? else { return Ok(None) };
    let rows = folder.rows()?;
    let table = folder.write_results(&rows)?;
    let n_points = folder.design().len();
    let n_missing = n_points - rows.len();
    let n_failed = table.failures().count();
    if json {
        say(serde_json::json!({
            "rows": n_points,
            "ok": rows.len() - n_failed,
            "failed": n_failed,
            "missing": n_missing,
            "complete": n_missing == 0,
        }));
    } else {
        say(format_args!(
            "{} of {n_points} rows in {}",
            rows.len(),
            dir.join("results.csv").display()
        ));
    }
    if n_missing > 0 {
        let first = (0..n_points).find(|index| !rows.contains_key(index)).unwrap_or_default();
        bail!(
            "{} is not complete: {n_missing} of {n_points} rows are missing, the first is {first}; \
             the same sweep with --resume runs them",
            dir.display()
        );
    }
    tell_failures(rows.values().filter(|entry| !entry.is_ok()), n_points, json).map(Some)
}
