//! Simulated products: coded pulses, moving targets, noise.
//!
//! A [`Simulation`] says what is simulated: a [`Radar`], its [`Code`], [`Target`]s, noise, and how
//! samples are stored. [`Simulation::check`] finds out whether that is possible; the [`Synthesis`]
//! it gives makes samples in memory ([`Synthesis::samples`]), or a Digital RF product with a
//! `metadata.ini` that the real digital_rf and hardtarget read ([`Synthesis::write_product`]), and
//! it knows what a filter should find in them ([`Synthesis::truth`]). The same simulation gives
//! the same samples and the same bytes, however the work is cut.
//!
//! ```
//! use gmf_pipeline::simulate::{Dtype, Simulation};
//!
//! let simulation = Simulation {
//!     targets: vec!["r=1996e3,v=400,a=60,amp=10".parse()?],
//!     duration_s: 0.2,
//!     seed: 105,
//!     dtype: Dtype::ComplexI16,
//!     ..Simulation::default()
//! };
//! let synthesis = simulation.check()?;
//! let samples = synthesis.samples()?;
//! assert_eq!(samples.rx.len(), 200_000);
//! // The pulse begins 82 samples into each period, with 30 samples of its first baud.
//! assert_eq!(samples.rx[82].norm(), 900.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The model of the echo is described at [`Synthesis`]; it is that of hardtarget's simulator
//! (0.5.1, `simulation/simulate_drf.py`), with these differences: the noise is seeded, the
//! transmitted pulse replaces what is received instead of being added to it, echoes may arrive in
//! later periods than their pulse, and are cut at the end of reception.

mod code;
mod config;
mod dtype;
mod error;
mod product;
mod synthesis;
mod target;
mod truth;

#[cfg(test)]
mod tests;

pub use code::{Code, CodeError};
pub use config::{Pointing, Radar, Simulation};
pub use dtype::Dtype;
pub use error::{ProductError, SimulationError};
pub use product::{ProductOptions, ProductReport};
pub use synthesis::{Samples, Synthesis};
pub use target::{Strength, Target, TargetError};
pub use truth::Truth;
