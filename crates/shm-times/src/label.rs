//! Which part of a whole a process is.

use std::env;

/// The environment variable that labels a process, when its manager has set one.
pub const LABEL_VARIABLE: &str = "POLYCHRON_LABEL";

/// Which part of a whole a process is: what tells it from its siblings in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// What it is called, for example `rank 2 of 8`; empty when it is not known.
    pub text: String,
    /// Its number, from zero, and how many there are.
    pub rank: Option<(u32, u32)>,
}

/// Pairs of variables that launchers set: the rank and the number of ranks.
const LAUNCHERS: [(&str, &str); 5] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
];

impl Label {
    /// The label `rank <rank> of <n>`; ranks count from zero, as MPI's do.
    #[must_use]
    pub fn rank(rank: u32, n: u32) -> Self {
        Self { text: format!("rank {rank} of {n}"), rank: Some((rank, n)) }
    }

    /// What [`LABEL_VARIABLE`] says, or else what an MPI launcher says.
    #[must_use]
    pub fn from_env() -> Self {
        let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
        let rank = LAUNCHERS.iter().find_map(|(rank, n)| {
            let (rank, n) = (number(rank)?, number(n)?);
            (rank < n).then_some((rank, n))
        });
        match (env::var(LABEL_VARIABLE), rank) {
            (Ok(text), rank) if !text.is_empty() => Self { text, rank },
            (_, Some((rank, n))) => Self::rank(rank, n),
            (_, None) => Self::default(),
        }
    }
}
