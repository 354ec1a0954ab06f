//! The contract of the Generalized Matched Filter (GMF): parameters, grids, kernels, the reference.
//!
//! A radar sends coded pulses, one every inter-pulse period (IPP), and records what comes back.
//! The filter stacks `n_ipp` periods into one *coherent integration* and asks, for every range
//! gate, which range rate and which acceleration explain the echo best: it decodes the echo with
//! the transmitted code, removes the phase of an acceleration, and looks for the strongest
//! frequency. [`Experiment`] says how the radar worked, [`Processing`] what is searched, and
//! [`Derived`] follows from the two: index levels, axes and lengths. A [`GmfKernel`] makes a
//! [`GmfPlan`] for them once, and the plan is executed for every integration. What it finds lies on
//! a grid; an [`Optimizer`] then moves the peak to where it is.
//!
//! ```
//! use std::sync::Arc;
//! use gmf_api::{Complex32, Derived, Experiment, GmfKernel, GridRow, Integration, KernelOptions};
//! use gmf_api::{Method, PreparedSamples, Processing, Reference};
//!
//! let experiment = Experiment::from_ini("metadata.ini", "\
//!     [Experiment]\nsample_rate = 1000\nipp = 100000\ntx_start = 0\ntx_end = 16000\n\
//!     rx_start = 0\nrx_end = 100000\nradar_frequency = 930\n")?;
//! let processing = Processing::from_ini("cfg.ini", "\
//!     [signal-processing]\nn_ipp = 4\nmin_range_gate = 30\nmax_range_gate = 40\n\
//!     frequency_decimation = 4\nmin_acceleration = -10\nmax_acceleration = 10\n\
//!     dpt_ipp_delay_parameter = 1\n")?;
//! let derived = Arc::new(Derived::new(&experiment, &processing)?);
//!
//! // Four pulses of 16 samples, and their echo, three samples behind the first gate.
//! let mut samples = vec![Complex32::default(); derived.read_length()];
//! for pulse in samples.chunks_mut(100) {
//!     pulse[..16].fill(Complex32::new(1.0, 0.0));
//!     pulse[34..50].fill(Complex32::new(0.5, 0.0));
//! }
//! let mut prepared = PreparedSamples::new(&derived);
//! prepared.load(&samples, &samples[..derived.integration_samples()])?;
//!
//! let mut plan = Reference.plan(&derived, &KernelOptions::new(Method::Fgmf))?;
//! let mut row = GridRow::new(derived.n_ranges());
//! plan.execute(prepared.integration(), row.as_mut())?;
//! let peak = row.peak(&derived).expect("there is an echo");
//! assert_eq!(peak.range_idx, 3);
//! assert_eq!(peak.range_rate_m_s, 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What this crate leaves to others
//!
//! It knows nothing of files (see `gmf-pipeline`) and nothing of speed (see `gmf-cpu`): its
//! [`Reference`] is the obvious computation in double precision, there to be compared with.
//! What every kernel must pass is the crate `gmf-conformance`.

#![forbid(unsafe_code)]

mod derived;
mod error;
mod experiment;
mod ini;
mod kernel;
mod optimize;
mod prepare;
mod processing;
mod reference;
mod row;
mod tolerance;

pub use derived::{Derived, SPEED_OF_LIGHT_M_S};
pub use error::{ConfigError, KernelError, ParameterError, SamplesError};
pub use experiment::Experiment;
pub use kernel::{GmfKernel, GmfPlan, Integration, KernelOptions, Method, ZeroFrequency};
pub use num_complex::{Complex32, Complex64};
pub use optimize::{Objective, Optimize, Optimized, Optimizer};
pub use prepare::PreparedSamples;
pub use processing::Processing;
pub use reference::{Reference, ReferencePlan, ReferenceRow};
pub use row::{GridRow, GridRowMut, Peak};
pub use tolerance::{Mismatch, RELATIVE_TOLERANCE};
