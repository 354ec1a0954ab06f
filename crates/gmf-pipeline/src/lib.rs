//! GMF analysis of a Digital RF product: jobs, kernels, files.
//!
//! An [`Analysis`] says what is analysed: samples ([`Source`]), [`gmf_api::Experiment`],
//! [`gmf_api::Processing`], a [`TimeSpan`]. It is planned once ([`Analysis::plan`]), which fixes
//! the coherent integrations and the output files; then a job runs its part on any
//! [`pm_api::ParallelManager`] with the kernels of a [`KernelSet`], and files go to a [`Sink`].
//! What comes out is the same to the bit for every division into jobs, manager and number of
//! workers.
//!
//! ```
//! use std::sync::Arc;
//! use gmf_api::{Complex32, Experiment, Processing};
//! use gmf_pipeline::{Analysis, MemorySamples, ReferenceKernels, RunControl, Source};
//!
//! // One second of silence but for the pulses, at 1 kHz, in memory.
//! let mut samples = vec![Complex32::default(); 1000];
//! samples.chunks_mut(100).for_each(|ipp| ipp[..16].fill(Complex32::new(1.0, 0.0)));
//! let source = Source::Memory(Arc::new(MemorySamples::new(5_000, 1000, 1, samples)?));
//!
//! let analysis = Analysis::new(
//!     source,
//!     Experiment::from_ini("metadata.ini", "[Experiment]\nsample_rate = 1000\nipp = 100000\n\
//!         tx_start = 0\ntx_end = 16000\nrx_start = 0\nrx_end = 100000\nradar_frequency = 930\n")?,
//!     Processing::from_ini("cfg.ini", "[signal-processing]\nn_ipp = 2\nmin_range_gate = 30\n\
//!         max_range_gate = 40\ndpt_ipp_delay_parameter = 1\nmin_acceleration = -10\n\
//!         max_acceleration = 10\nnum_cohints_per_file = 3\n")?,
//! );
//! let plan = analysis.plan()?;
//! assert_eq!((plan.n_integrations(), plan.n_files()), (5, 2));
//!
//! let mut files = Vec::new();
//! let manager = pm_api::SerialManager::new();
//! plan.run::<ReferenceKernels>(&manager, &mut files, RunControl::default())?;
//! assert_eq!(files[1].relative_path().to_str(), Some("1970-01-01T00-00-00/gmf-05600000.h5"));
//! assert_eq!(files[1].rows().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What this crate leaves to others
//!
//! It names no kernel but the reference and no manager: the program that runs it chooses them (see
//! the crates `polychron` and `polychron-cli`). The layout of its files is in docs/formats.md.

#![forbid(unsafe_code)]

mod analysis;
mod detect;
mod error;
mod folder;
mod gap;
mod gmf_file;
mod gmf_folder;
mod gmf_part;
mod inventory;
mod kernels;
mod layout;
mod manifest;
mod optimize;
mod plan;
mod pointing;
mod record;
mod run;
pub mod simulate;
mod sink;
mod source;
mod stamp;
mod task;
mod timespan;

pub use analysis::{Analysis, Compat};
pub use detect::{detections, noise_floor, snr_db};
pub use error::{AnalysisError, TimeError};
pub use gap::{DamagedEnd, Gap, IntegrationStatus};
pub use gmf_file::{GmfFile, PeakRow};
pub use gmf_folder::{GmfAxes, GmfData, GmfFolder, GmfReadError, GmfSeries, OptimizedPeak};
pub use gmf_part::GmfPart;
pub use inventory::{DoubleFile, Inventory};
pub use kernels::{Devices, KernelChoice, KernelSet, ReferenceKernels};
pub use plan::{AnalysisPlan, FileTask};
pub use record::{Difference, RunRecord};
pub use run::{Event, RunControl, RunReport};
pub use sink::{FolderSink, Sink};
pub use source::{Extent, MemorySamples, SampleReader, Source, SourceError};
pub use task::{Integrated, IntegrationFailure, integrate_entry};

/// For the macro of this crate.
#[doc(hidden)]
pub use pm_api as __pm_api;
pub use timespan::{TimePoint, TimeSpan};
