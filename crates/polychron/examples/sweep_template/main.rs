//! A program to copy: a model of your own, swept over its parameters on any backend.
//!
//! ```text
//! cargo run --example sweep_template -- serial
//! cargo run --example sweep_template -- threads 4
//! cargo run --example sweep_template -- processes 4 results.csv
//! ```
//!
//! The model here is a ball that is thrown through air. Put yours into `build` and `execute`; what has
//! to stay is `worker_entry` in the first line of `main`, and `task!`.

#![expect(clippy::print_stdout, reason = "a program says what it found")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use polychron::param_sweep::{Sweep, Table};
use polychron::pm::RunOptions;
use serde::{Deserialize, Serialize};

/// What all points have in common; every worker gets it once.
#[derive(Clone, Serialize, Deserialize)]
struct Air {
    gravity_m_s2: f64,
    step_s: f64,
}

/// A point of the sweep: a field for each parameter, called as it is.
#[derive(Serialize, Deserialize)]
struct Throw {
    speed_m_s: f64,
    angle_deg: f64,
    drag_per_m: f64,
}

/// The outputs: a column for each field.
#[derive(Serialize, Deserialize)]
struct Flight {
    range_m: f64,
    height_m: f64,
    time_s: f64,
}

/// What a worker keeps from point to point; it need not be able to travel, and may be expensive.
struct Model {
    air: Air,
}

#[derive(Debug, thiserror::Error)]
enum ModelError {
    #[error("a throw at {0} degrees goes into the ground")]
    Down(f64),
    #[error("the step of {0} s is no step")]
    Step(f64),
}

/// Once per worker.
fn build(air: &Air) -> Result<Model, ModelError> {
    if air.step_s > 0.0 {
        Ok(Model { air: air.clone() })
    } else {
        Err(ModelError::Step(air.step_s))
    }
}

/// Many points: an output for each. A point that fails is a row that says why, and costs no other.
fn execute(model: &mut Model, throws: &[Throw]) -> Result<Vec<Flight>, ModelError> {
    throws.iter().map(|throw| model.fly(throw)).collect()
}

polychron::task!(FLIGHT: build = build, execute = execute);

impl Model {
    fn fly(&self, throw: &Throw) -> Result<Flight, ModelError> {
        if throw.angle_deg <= 0.0 {
            return Err(ModelError::Down(throw.angle_deg));
        }
        let Air { gravity_m_s2, step_s } = self.air;
        let angle = throw.angle_deg.to_radians();
        let (mut x, mut y, mut height_m, mut time_s) = (0.0, 0.0, 0.0_f64, 0.0);
        let (mut vx, mut vy) = (throw.speed_m_s * angle.cos(), throw.speed_m_s * angle.sin());
        while y >= 0.0 {
            let drag = throw.drag_per_m * vx.hypot(vy);
            vx -= drag * vx * step_s;
            vy -= (gravity_m_s2 + drag * vy) * step_s;
            x += vx * step_s;
            y += vy * step_s;
            time_s += step_s;
            height_m = height_m.max(y);
        }
        Ok(Flight { range_m: x, height_m, time_s })
    }
}

fn sweep(backend: &str, workers: Option<usize>) -> Result<Table, Box<dyn Error>> {
    let design = Sweep::new()
        .linear("speed_m_s", 10.0, 50.0, 5)
        .linear("angle_deg", 0.0, 80.0, 9)
        .log("drag_per_m", 1e-4, 1e-1, 4)
        .design()?;
    let manager = polychron::create_parallel_manager(backend, workers)?;
    let air = Air { gravity_m_s2: 9.81, step_s: 1e-3 };
    Ok(design.run_fn(&*manager, build, air, execute, &RunOptions::default())?)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // In a worker process this does not come back.
    polychron::worker_entry()?;

    let args: Vec<String> = std::env::args().skip(1).collect();
    let backend = args.first().map_or("threads", String::as_str);
    let workers = args.get(1).map(|n| n.parse()).transpose()?;
    let table = sweep(backend, workers)?;

    let path = args.get(2).map_or("sweep_template.csv", String::as_str);
    table.save_csv(Path::new(path))?;
    println!("{} rows, {} failed: {path}", table.rows().len(), table.failures().count());
    if let Some(best) = table.max("range_m") {
        println!("farthest: row {}, {:?}", best.index, best.parameters);
    }
    // Rows that failed are there, but whoever called should know.
    Ok(if table.failures().count() == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
