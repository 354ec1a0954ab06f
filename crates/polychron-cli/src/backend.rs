//! What the work of a command is spread over, and this process as a rank of an MPI job.

use std::thread::available_parallelism;

use anyhow::Context as _;
use clap::Args;
use polychron::pm::{ParallelManager, PmError};

use crate::args::{Command, at_least_one};
use crate::job::JobArgs;
use crate::output::Usage;

/// What runs where neither the user nor a launcher says otherwise.
pub(crate) const DEFAULT: &str = if cfg!(feature = "threads") { "threads" } else { "serial" };
const MPI: &str = "mpi";

/// What the work is spread over.
#[derive(Debug, Args)]
pub(crate) struct BackendArgs {
    #[arg(
        long = "backend",
        value_name = "NAME",
        help = if cfg!(feature = "mpi") {
            "What the work is spread over: serial, threads, processes, mpi [default: mpi under \
             mpirun and srun, else threads]"
        } else {
            "What the work is spread over: serial, threads, processes [default: threads]"
        }
    )]
    pub(crate) backend: Option<String>,
    /// Workers [default: one for each core; one under mpirun and srun, and for `serial`; with `mpi`
    /// all ranks]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) workers: Option<usize>,
}

impl BackendArgs {
    /// The default with so many workers.
    pub(crate) fn of_default(workers: Option<usize>) -> Self {
        Self { backend: Some(DEFAULT.to_owned()), workers }
    }

    /// The name of the manager. A launcher of MPI has started this program to be its ranks, unless
    /// the parts of each process are given.
    fn name(&self, job: &JobArgs) -> &str {
        match &self.backend {
            Some(name) => name,
            None if is_launched() && !job.is_given() => MPI,
            None => DEFAULT,
        }
    }

    /// Whether the ranks of an MPI job do this together.
    pub(crate) fn is_mpi(&self, job: &JobArgs) -> bool {
        self.name(job).eq_ignore_ascii_case(MPI)
    }

    /// Workers that there may be where the user does not say it: the cores here, or all ranks.
    pub(crate) fn most_workers(&self, job: &JobArgs) -> usize {
        if self.is_mpi(job) {
            return usize::MAX;
        }
        available_parallelism().map_or(1, usize::from)
    }

    /// Makes the manager, with `n_workers` workers.
    pub(crate) fn manager(
        &self,
        job: &JobArgs,
        n_workers: usize,
    ) -> anyhow::Result<Box<dyn ParallelManager>> {
        let name = self.name(job);
        polychron::create_parallel_manager(name, Some(n_workers))
            .with_context(|| format!("--backend {name}"))
            .map_err(|error| match error.downcast_ref::<PmError>() {
                Some(PmError::UnknownManager { .. }) => Usage::of(error),
                _ => error,
            })
    }
}

/// Whether the launcher of an MPI has started this process as one of several, and MPI is in this
/// build.
fn is_launched() -> bool {
    #[cfg(feature = "mpi")]
    return polychron::mpi::launcher().is_some_and(|(_, n_ranks)| n_ranks > 1);
    #[cfg(not(feature = "mpi"))]
    return false;
}

/// Returns on rank 0 and outside of MPI; on the other ranks it serves the runs of rank 0, and ends
/// the process with it.
pub(crate) fn enter(command: &Command) -> anyhow::Result<()> {
    let is_mpi = match command {
        Command::Analyze(args) => args.parallel.is_mpi(&args.job),
        #[cfg(feature = "sweep")]
        Command::Sweep(args) => !args.dry_run && args.parallel.is_mpi(&args.job),
        _ => false,
    };
    if !is_mpi {
        return Ok(());
    }
    #[cfg(feature = "mpi")]
    {
        let mpi = polychron::mpi::enter().with_context(|| {
            format!(
                "could not take part in MPI (--backend {DEFAULT} does without, and the processes of \
                 a launcher then divide the files among themselves)"
            )
        })?;
        tracing::info!("rank 0 of {}, {}", mpi.size(), mpi.library());
    }
    Ok(())
}
