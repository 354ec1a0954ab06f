//! Write heavy scientific work once, run it in parallel anywhere, see where the time goes.
//!
//! This crate composes the crates of the workspace and adds nothing to them but the two lists that
//! no other crate may keep: the managers ([`create_parallel_manager`]) and the kernels
//! ([`Kernels`]) that this build has. Whoever needs one part alone depends on that part's crate.
//!
//! | module           | crate          | what for                                        | feature   |
//! | ---------------- | -------------- | ----------------------------------------------- | --------- |
//! | [`jobdiv`]       | `jobdiv`       | dividing tasks among jobs                       |           |
//! | [`pm`]           | `pm-api`       | tasks, runs, results; the serial manager        |           |
//! | `threads`        | `pm-threads`   | the manager on threads                          | `threads` |
//! | [`digital_rf`]   | `digital-rf`   | reading and writing recordings                  |           |
//! | [`gmf`]          | `gmf-api`      | parameters, grids and the reference of the filter |         |
//! | `gmf_cpu`        | `gmf-cpu`      | the filter on the CPU                           | `cpu`     |
//! | [`gmf_pipeline`] | `gmf-pipeline` | from recordings to files, on any manager        |           |
//!
//! ```
//! let manager = polychron::create_parallel_manager("threads", Some(2))?;
//! assert_eq!((manager.name(), manager.n_workers()), ("threads", 2));
//!
//! let unknown = polychron::create_parallel_manager("cloud", None).unwrap_err();
//! assert!(unknown.to_string().contains("serial, threads"));
//! # Ok::<(), polychron::pm::PmError>(())
//! ```
//!
//! # What this crate leaves to others
//!
//! All of the work. The command line is the crate `polychron-cli`.

#![forbid(unsafe_code)]

mod kernels;
mod managers;

pub use digital_rf;
pub use gmf_api as gmf;
#[cfg(feature = "cpu")]
pub use gmf_cpu;
pub use gmf_pipeline;
pub use jobdiv;
pub use kernels::Kernels;
pub use managers::{create_parallel_manager, managers};
pub use pm_api as pm;
#[cfg(feature = "threads")]
pub use pm_threads as threads;
