//! Which part of a run this process does.

use anyhow::Context as _;
use polychron::jobdiv::{EnvJob, EnvOptions, Job, Source};

use crate::args::JobArgs;
use crate::output::Usage;

/// The variables of launchers that start one program several times to do one thing together.
///
/// Arrays and CI runners are not among them: they are often used to do different things, and a
/// run that does only a part without being told so would be a loss that nobody notices.
const LAUNCHERS: [Source; 5] =
    [Source::Polychron, Source::OpenMpi, Source::Pmi, Source::Mvapich, Source::SlurmStep];

/// The job of this process, and whether a launcher started others beside it.
pub(crate) fn job(args: &JobArgs) -> anyhow::Result<(Job, bool)> {
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
        _ => from_launcher().context("what the launcher says of this process's job")?,
    };
    if !env.claims.is_empty() {
        tracing::info!("{env}");
    }
    Ok((env.job, !env.claims.is_empty()))
}

fn from_launcher() -> Result<EnvJob, polychron::jobdiv::EnvError> {
    let asked: Vec<&str> =
        LAUNCHERS.iter().flat_map(|source| source.variables()).copied().collect();
    Job::from_lookup(&EnvOptions::default(), |name| {
        let value = asked.contains(&name).then(|| std::env::var_os(name)).flatten()?;
        Some(value.to_string_lossy().into_owned())
    })
}
