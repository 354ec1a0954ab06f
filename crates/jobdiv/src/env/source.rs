use std::fmt;

/// Who can say which job a process is.
///
/// | source                       | index                       | count                                      | counted from        |
/// | ---------------------------- | --------------------------- | ------------------------------------------ | ------------------- |
/// | [`Polychron`](Self::Polychron) | `POLYCHRON_JOB`, as `m/n`   | the same                                   | 1                   |
/// | [`OpenMpi`](Self::OpenMpi)   | `OMPI_COMM_WORLD_RANK`      | `OMPI_COMM_WORLD_SIZE`                     | 0                   |
/// | [`Pmi`](Self::Pmi)           | `PMI_RANK`                  | `PMI_SIZE`                                 | 0                   |
/// | [`Mvapich`](Self::Mvapich)   | `MV2_COMM_WORLD_RANK`       | `MV2_COMM_WORLD_SIZE`                      | 0                   |
/// | [`SlurmStep`](Self::SlurmStep) | `SLURM_PROCID`            | `SLURM_STEP_NUM_TASKS`, else `SLURM_NTASKS` | 0                   |
/// | [`SlurmArray`](Self::SlurmArray) | `SLURM_ARRAY_TASK_ID`   | `SLURM_ARRAY_TASK_COUNT`                   | `.._MIN` by `.._STEP` |
/// | [`Pbs`](Self::Pbs)           | `PBS_ARRAY_INDEX`           | `PBS_ARRAY_COUNT`, else given              | given               |
/// | [`Torque`](Self::Torque)     | `PBS_ARRAYID`               | given                                      | given               |
/// | [`Lsf`](Self::Lsf)           | `LSB_JOBINDEX`, 0: no array | `LSB_JOBINDEX_END`                         | 1                   |
/// | [`GridEngine`](Self::GridEngine) | `SGE_TASK_ID`           | from `SGE_TASK_FIRST`, `_LAST`, `_STEPSIZE` | `SGE_TASK_FIRST`    |
/// | [`Kubernetes`](Self::Kubernetes) | `JOB_COMPLETION_INDEX`  | given                                      | 0                   |
/// | [`AwsBatch`](Self::AwsBatch) | `AWS_BATCH_JOB_ARRAY_INDEX` | `AWS_BATCH_JOB_ARRAY_SIZE`                 | 0                   |
/// | [`GnuParallel`](Self::GnuParallel) | `PARALLEL_SEQ`        | given                                      | 1                   |
/// | [`HyperQueue`](Self::HyperQueue) | `HQ_TASK_ID`            | given                                      | given               |
/// | [`GitLab`](Self::GitLab)     | `CI_NODE_INDEX`             | `CI_NODE_TOTAL`                            | 1                   |
/// | [`CircleCi`](Self::CircleCi) | `CIRCLE_NODE_INDEX`         | `CIRCLE_NODE_TOTAL`                        | 0                   |
/// | [`Buildkite`](Self::Buildkite) | `BUILDKITE_PARALLEL_JOB`  | `BUILDKITE_PARALLEL_JOB_COUNT`             | 0                   |
/// | [`Bazel`](Self::Bazel)       | `TEST_SHARD_INDEX`          | `TEST_TOTAL_SHARDS`                        | 0                   |
///
/// "Given" means by [`EnvOptions`](crate::EnvOptions). `PARALLEL_JOBSLOT` is not read: a slot
/// serves many jobs, so it does not name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Whoever set `POLYCHRON_JOB`: a user, or a script for any other launcher.
    Polychron,
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpiexec` of MPICH, Intel MPI, or any other hydra.
    Pmi,
    /// `mpirun` of MVAPICH2.
    Mvapich,
    /// `srun`: a step of a Slurm job that is not its batch script.
    SlurmStep,
    /// `sbatch --array`, where the ids are evenly spaced.
    SlurmArray,
    /// `qsub -J` of PBS Professional and `OpenPBS`.
    Pbs,
    /// `qsub -t` of Torque.
    Torque,
    /// `bsub -J name[1-N]` of LSF. One that begins elsewhere looks the same, as LSF does not tell
    /// where: its first jobs are then missing.
    Lsf,
    /// `qsub -t` of SGE and its successors.
    GridEngine,
    /// A Job of Kubernetes with `completionMode: Indexed`.
    Kubernetes,
    /// An array job of AWS Batch.
    AwsBatch,
    /// GNU parallel.
    GnuParallel,
    /// `hq submit --array` of HyperQueue.
    HyperQueue,
    /// `parallel:` in GitLab CI.
    GitLab,
    /// `parallelism:` in CircleCI.
    CircleCi,
    /// `parallelism:` in Buildkite.
    Buildkite,
    /// `shard_count` of a Bazel test.
    Bazel,
}

/// Which sources count before which; two of one standing must agree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Explicit,
    Mpi,
    Step,
    Array,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 18] = [
        Self::Polychron,
        Self::OpenMpi,
        Self::Pmi,
        Self::Mvapich,
        Self::SlurmStep,
        Self::SlurmArray,
        Self::Pbs,
        Self::Torque,
        Self::Lsf,
        Self::GridEngine,
        Self::Kubernetes,
        Self::AwsBatch,
        Self::GnuParallel,
        Self::HyperQueue,
        Self::GitLab,
        Self::CircleCi,
        Self::Buildkite,
        Self::Bazel,
    ];

    /// The name that its users know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Polychron => "polychron",
            Self::OpenMpi => "Open MPI",
            Self::Pmi => "PMI (MPICH, Intel MPI, hydra)",
            Self::Mvapich => "MVAPICH",
            Self::SlurmStep => "Slurm step",
            Self::SlurmArray => "Slurm array",
            Self::Pbs => "PBS",
            Self::Torque => "Torque",
            Self::Lsf => "LSF",
            Self::GridEngine => "SGE",
            Self::Kubernetes => "Kubernetes indexed job",
            Self::AwsBatch => "AWS Batch",
            Self::GnuParallel => "GNU parallel",
            Self::HyperQueue => "HyperQueue",
            Self::GitLab => "GitLab CI",
            Self::CircleCi => "CircleCI",
            Self::Buildkite => "Buildkite",
            Self::Bazel => "Bazel shard",
        }
    }

    /// The variables that are read of it: the index, the count if there is one, then others.
    #[must_use]
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Polychron => &["POLYCHRON_JOB"],
            Self::OpenMpi => &["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
            Self::Pmi => &["PMI_RANK", "PMI_SIZE"],
            Self::Mvapich => &["MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"],
            Self::SlurmStep => {
                &["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_STEP_ID"]
            }
            Self::SlurmArray => &[
                "SLURM_ARRAY_TASK_ID",
                "SLURM_ARRAY_TASK_COUNT",
                "SLURM_ARRAY_TASK_MIN",
                "SLURM_ARRAY_TASK_MAX",
                "SLURM_ARRAY_TASK_STEP",
            ],
            Self::Pbs => &["PBS_ARRAY_INDEX", "PBS_ARRAY_COUNT"],
            Self::Torque => &["PBS_ARRAYID"],
            Self::Lsf => &["LSB_JOBINDEX", "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP"],
            Self::GridEngine => {
                &["SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"]
            }
            Self::Kubernetes => &["JOB_COMPLETION_INDEX"],
            Self::AwsBatch => &["AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"],
            Self::GnuParallel => &["PARALLEL_SEQ"],
            Self::HyperQueue => &["HQ_TASK_ID"],
            Self::GitLab => &["CI_NODE_INDEX", "CI_NODE_TOTAL"],
            Self::CircleCi => &["CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL"],
            Self::Buildkite => &["BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT"],
            Self::Bazel => &["TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS"],
        }
    }

    pub(super) fn standing(self) -> Standing {
        match self {
            Self::Polychron => Standing::Explicit,
            Self::OpenMpi | Self::Pmi | Self::Mvapich => Standing::Mpi,
            Self::SlurmStep => Standing::Step,
            _ => Standing::Array,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
