//! Parameter sweeps: combinations and samples of parameters, run on any parallel manager.
//!
//! A [`Sweep`] says which values the parameters take; its [`Design`] numbers the points, and
//! [`Design::run`] runs a task on all of them and gives a [`Table`].
//!
//! ```
//! use param_sweep::Sweep;
//! use pm_api::{RunOptions, SerialManager};
//!
//! type Error = std::convert::Infallible;
//!
//! fn build(base: &f64) -> Result<f64, Error> {
//!     Ok(*base) // once per worker
//! }
//!
//! fn execute(base: &mut f64, points: &[(f64, i32)]) -> Result<Vec<f64>, Error> {
//!     Ok(points.iter().map(|(x, exponent)| *base * x.powi(*exponent)).collect())
//! }
//!
//! pm_api::task!(POWER: build = build, execute = execute);
//!
//! # fn main() -> Result<(), param_sweep::SweepError> {
//! let design = Sweep::new().linear("x", 0.0, 1.0, 3).integers("exponent", 1, 2, 1).design()?;
//! // Any other manager gives the same bytes.
//! let manager = SerialManager::new();
//! let table = design.run_fn(&manager, build, 2.0, execute, &RunOptions::default())?;
//! assert_eq!(
//!     table.to_csv(),
//!     "index,x,exponent,status,result,error\n\
//!      0,0.0,1,ok,0.0,\n1,0.0,2,ok,0.0,\n2,0.5,1,ok,1.0,\n\
//!      3,0.5,2,ok,0.5,\n4,1.0,1,ok,2.0,\n5,1.0,2,ok,2.0,\n"
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Combinations and samples
//!
//! Combinations come in the order of `numpy.meshgrid(.., indexing="ij")`, the first parameter slowest,
//! as in WaterTAP's parameter_sweep. Their values are those of numpy to the last digit (see [`Spec`]).
//!
//! A sample depends on the seed, the name of its parameter and its own number: so it is the same
//! whatever part of the sweep is run and by whom, and stays the same when parameters are added. The
//! numbers are those of ChaCha8, with a key of the seed and the name, and a stream for each sample;
//! normal ones by rand_distr's ziggurat. Samples of a Latin hypercube (McKay, Beckman and Conover 1979)
//! and of all else that takes `n` into account are another set for every `n`.
//!
//! # What this crate leaves to others
//!
//! It starts nothing itself, and names no manager; see `pm-api`. The command `polychron sweep` runs
//! programs. It does not refine a sweep where something happens, nor fit anything to its results.

#![forbid(unsafe_code)]

mod columns;
mod csv;
mod design;
mod error;
mod json;
mod numbers;
mod point;
mod run;
mod sampling;
mod spec;
mod table;
mod value;

pub use columns::{Unfit, columns_of};
pub use csv::csv_records;
pub use design::{Design, Sweep};
pub use error::SweepError;
pub use run::kind as failure_word;
pub use spec::{Spec, parse_parameter};
pub use table::{Row, RowFailure, Table};
pub use value::Value;

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
