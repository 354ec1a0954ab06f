//! What started this process, by its environment.

use std::fmt;

/// What starts the ranks of an MPI job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// Hydra, the `mpirun` of MPICH and of Intel MPI.
    Hydra,
    /// `mpirun` of MVAPICH2.
    Mvapich,
    /// `srun` of Slurm.
    Slurm,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi => "the launcher of Open MPI",
            Self::Hydra => "the launcher of MPICH",
            Self::Mvapich => "the launcher of MVAPICH2",
            Self::Slurm => "srun",
        })
    }
}

/// Launchers, and the variable by which each says how many ranks there are. Slurm comes last since
/// the others may be started inside one of its steps.
const LAUNCHERS: [(Launcher, &str); 4] = [
    (Launcher::OpenMpi, "OMPI_COMM_WORLD_SIZE"),
    (Launcher::Mvapich, "MV2_COMM_WORLD_SIZE"),
    (Launcher::Hydra, "PMI_SIZE"),
    (Launcher::Slurm, "SLURM_STEP_NUM_TASKS"),
];

/// What started this process as a rank of an MPI job, and how many ranks that says there are;
/// `None` for a program that was started by itself.
///
/// It looks at the environment only, so a program may decide by it whether to begin MPI at all.
#[must_use]
pub fn launcher() -> Option<(Launcher, usize)> {
    launcher_of(|name| std::env::var(name).ok())
}

fn launcher_of(variable: impl Fn(&str) -> Option<String>) -> Option<(Launcher, usize)> {
    LAUNCHERS.into_iter().find_map(|(launcher, name)| {
        let n_ranks = variable(name)?.trim().parse().ok()?;
        Some((launcher, n_ranks))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<(Launcher, usize)> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        launcher_of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_launcher_is_known_by_its_variable() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some((Launcher::OpenMpi, 4)));
        assert_eq!(of(&[("PMI_SIZE", " 3 ")]), Some((Launcher::Hydra, 3)));
        assert_eq!(of(&[("PMI_SIZE", "many")]), None);
    }

    #[test]
    fn a_launcher_inside_a_step_of_slurm_is_the_one_that_counts() {
        let both = [("SLURM_STEP_NUM_TASKS", "2"), ("OMPI_COMM_WORLD_SIZE", "8")];
        assert_eq!(of(&both), Some((Launcher::OpenMpi, 8)));
    }
}
