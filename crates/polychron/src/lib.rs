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
//! | `processes`      | `pm-proc`      | the manager on worker processes                 | `processes` |
//! | `mpi`            | `pm-mpi`       | the manager on the ranks of an MPI job          | `mpi`     |
//! | [`param_sweep`]  | `param-sweep`  | parameter sweeps, on any manager               |           |
//! | [`digital_rf`]   | `digital-rf`   | reading and writing recordings                  |           |
//! | [`gmf`]          | `gmf-api`      | parameters, grids and the reference of the filter |         |
//! | `gmf_cpu`        | `gmf-cpu`      | the filter on the CPU                           | `cpu`     |
//! | `gmf_gpu`        | `gmf-gpu`      | the filter on graphics processors               | `gpu`     |
//! | [`gmf_pipeline`] | `gmf-pipeline` | from recordings to files, on any manager        |           |
//! | `gtimer_core`    | `gtimer-core`  | timing: stamps, subdivisions, reports           | `timing`  |
//! | `shm_times`      | `shm-times`    | times that other processes see while they come  | `shared-times` |
//!
//! ```
//! let manager = polychron::create_parallel_manager("threads", Some(2))?;
//! assert_eq!((manager.name(), manager.n_workers()), ("threads", 2));
//!
//! let unknown = polychron::create_parallel_manager("cloud", None).unwrap_err();
//! assert!(unknown.to_string().contains("serial, threads, processes"));
//! # Ok::<(), polychron::pm::PmError>(())
//! ```
//!
//! What is done with it is timed (feature `timing`, on by default), the workers of every manager,
//! too, without a line of code: when a run is over, their times are attached to the timer of the
//! thread that gathers, as a parallel group that is called as the task.
//!
//! ```
//! # #[cfg(feature = "timing")] {
//! use polychron::gtimer_core::{report, stamp, thread};
//! use polychron::pm::{RunOptions, Scatter as _};
//! # use polychron::pm::{Task, TaskError, Worker};
//! # struct Square;
//! # impl Task for Square {
//! #     const NAME: &'static str = "docs::square";
//! #     type Args = ();
//! #     type Model = ();
//! #     type Param = f64;
//! #     type Output = f64;
//! #     fn build(_: &(), _: &Worker<'_>) -> Result<(), TaskError> { Ok(()) }
//! #     fn execute(_: &mut (), x: &[f64], _: &Worker<'_>) -> Result<Vec<f64>, TaskError> {
//! #         Ok(x.iter().map(|x| x * x).collect())
//! #     }
//! # }
//!
//! let manager = polychron::create_parallel_manager("threads", Some(2))?;
//! let run = manager.scatter::<Square>((), vec![1.0, 2.0, 3.0], &RunOptions::default())?;
//! assert_eq!(run.gather()?.into_complete()?, [1.0, 4.0, 9.0]);
//! stamp!("squares")?;
//!
//! let times = thread::times();
//! assert_eq!(times.parallel[0].workers[0].name, "worker 1");
//! println!("{}", report::tree(&times, &report::TreeFormat::default()));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `shared-times`, the same stamps are seen by `polychron top` while the program
//! runs, when it is started by `polychron run -- PROGRAM`.
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
#[cfg(feature = "gpu")]
pub use gmf_gpu;
pub use gmf_pipeline;
#[cfg(feature = "timing")]
pub use gtimer_core;
pub use jobdiv;
pub use kernels::Kernels;
#[cfg(feature = "gpu")]
pub use kernels::gpu_selection;
pub use managers::{create_parallel_manager, managers};
pub use param_sweep;
pub use pm_api as pm;
pub use pm_api::{register_spmd, register_task, task, worker_entry};
#[cfg(feature = "mpi")]
pub use pm_mpi as mpi;
#[cfg(feature = "processes")]
pub use pm_proc as processes;
#[cfg(feature = "threads")]
pub use pm_threads as threads;
#[cfg(feature = "shared-times")]
pub use shm_times;
