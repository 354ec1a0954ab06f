//! Which part of a run this process does.

use anyhow::Context as _;
use clap::Args;
use polychron::jobdiv::{EnvJob, EnvOptions, Job, Source};

use crate::output::Usage;

/// Which part of the output files is computed: every N-th.
#[derive(Debug, Default, Args)]
pub(crate) struct JobArgs {
    /// Does the first, second, … of N equal parts; `env` takes it from a batch system's variables
    #[arg(long, value_name = "I/N|env", conflicts_with_all = ["idx", "jobs"])]
    job: Option<String>,
    /// The same, counted from 0
    #[arg(long, value_name = "I", requires = "jobs")]
    idx: Option<usize>,
    /// The number of parts for --idx
    #[arg(long, value_name = "N", requires = "idx")]
    jobs: Option<usize>,
}

impl JobArgs {
    /// Whether the user says which part this process does.
    pub(crate) fn is_given(&self) -> bool {
        self.job.is_some() || self.idx.is_some()
    }
}

/// The variables of launchers that start one program several times to do one thing together.
///
/// Arrays and CI runners are not among them: they are often used to do different things, and a
/// run that does only a part without being told so would be a loss that nobody notices. The first one
/// is no launcher, but our own variable.
const LAUNCHERS: [Source; 5] =
    [Source::Polychron, Source::OpenMpi, Source::Pmi, Source::Mvapich, Source::SlurmStep];

/// The job of this process, and whether a launcher started others beside it to do the other ones.
///
/// The ranks of an MPI job do the same one `together`; rank 0 asks.
pub(crate) fn job(args: &JobArgs, together: bool) -> anyhow::Result<(Job, bool)> {
    let text = args.job.as_deref();
    let env = match (text, args.idx, args.jobs) {
        (Some("env"), ..) => Job::from_env().context("--job env: no job in the environment")?,
        (Some(text), ..) => {
            let job = text.parse().with_context(|| format!("--job {text}")).map_err(Usage::of)?;
            tracing::info!("job {} from --job", Job::both_forms(job));
            return Ok((job, false));
        }
        (None, Some(idx), Some(jobs)) => {
            let job = Job::new(idx, jobs)
                .with_context(|| format!("--idx {idx} --jobs {jobs}"))
                .map_err(Usage::of)?;
            tracing::info!("job {} from --idx and --jobs", Job::both_forms(job));
            return Ok((job, false));
        }
        _ => from_launcher(together).context("what the launcher says of this process's job")?,
    };
    if !env.claims.is_empty() {
        tracing::info!("{env}");
    }
    Ok((env.job, !env.claims.is_empty()))
}

fn from_launcher(together: bool) -> Result<EnvJob, polychron::jobdiv::EnvError> {
    let launchers = if together { &LAUNCHERS[..1] } else { &LAUNCHERS };
    let asked: Vec<&str> =
        launchers.iter().flat_map(|source| source.variables()).copied().collect();
    Job::from_lookup(&EnvOptions::default(), |name| {
        let value = asked.contains(&name).then(|| std::env::var_os(name)).flatten()?;
        Some(value.to_string_lossy().into_owned())
    })
}
