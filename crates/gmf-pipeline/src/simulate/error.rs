//! Errors of configuring a simulation and of writing its product.

use std::io;
use std::path::PathBuf;

use digital_rf::{LayoutError, WriteError};
use thiserror::Error;

/// Why a simulation cannot be made.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// A field has a value that it cannot have, by itself or beside the others.
    #[error("{field} is {value}, but must be {allowed}")]
    Field {
        /// The field of [`Simulation`](super::Simulation), or of a part of it.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// A field of a target has a value that it cannot have.
    #[error("{field} of target {target_idx} is {value}, but must be {allowed}")]
    Target {
        /// Index in [`Simulation::targets`](super::Simulation::targets).
        target_idx: usize,
        /// The field of [`Target`](super::Target).
        field: &'static str,
        /// Its value, or the value that it leads to.
        value: String,
        /// What would do.
        allowed: String,
    },
    /// Sample rate and cadences allow no division into files.
    #[error("the product cannot be divided into files")]
    Layout(#[from] LayoutError),
    /// The samples do not fit in memory.
    #[error("{n_samples} samples do not fit in memory; write them to a product instead")]
    Memory {
        /// How many samples were asked for.
        n_samples: u64,
    },
}

/// Why a product was not written. What was there before is still there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProductError {
    /// There is something at the product's place already.
    #[error("{path} is there already", path = path.display())]
    Exists {
        /// The product's folder.
        path: PathBuf,
    },
    /// What is at the product's place is no product, so that it is not replaced.
    #[error("{path} is not replaced: {reason}", path = path.display())]
    NotAProduct {
        /// The product's folder.
        path: PathBuf,
        /// What tells it from a product.
        reason: String,
    },
    /// A file or folder could not be read, written, renamed or removed.
    #[error("could not {action} {path}", path = path.display())]
    Io {
        /// What was tried, in the infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A channel could not be written.
    #[error("could not write the channel '{channel}'")]
    Channel {
        /// The channel.
        channel: String,
        /// Why; boxed, since it is far larger than everything else here.
        #[source]
        source: Box<WriteError>,
    },
    /// The caller asked to stop. Nothing is left behind.
    #[error("cancelled after {done} of {n_periods} periods")]
    Cancelled {
        /// Periods that were done.
        done: u64,
        /// Periods of the product.
        n_periods: u64,
    },
}
