//! Comparisons in one run: all sides take turns, so that whatever else the machine does meets all
//! of them alike, and a table of ratios is printed.

use std::fmt;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Whether measurements are wanted: cargo asks for them by `--bench`. Without it, answers are
/// checked with short work, done once.
#[must_use]
pub fn is_measuring() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// The name by which only the comparisons are run: `cargo xtask bench peers -- tables`.
pub const TABLES: &str = "tables";

/// Whether comparisons are wanted: not where criterion is asked for names, or for some of its
/// benchmarks by their names.
#[must_use]
pub fn is_comparing() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    !has("--list") && (has(TABLES) || args.iter().all(|arg| arg.starts_with('-')))
}

/// The time that some work takes, in seconds; what it returns is dropped outside of it.
pub fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let result = black_box(work());
    let seconds = start.elapsed().as_secs_f64();
    drop(result);
    seconds
}

/// The median and the least of the times that something took, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub best: f64,
}

impl Cost {
    /// The cost that these times show.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[must_use]
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { median: times[times.len() / 2], best: times[0] }
    }
}

/// One side of a comparison.
pub struct Side<'a> {
    name: String,
    /// Does the work once, checks the answer, and tells the seconds of one operation.
    run: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Side<'a> {
    /// A side whose work takes the seconds that `run` tells.
    pub fn new(name: impl Into<String>, run: impl FnMut() -> f64 + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

impl fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Lets the sides take `n` turns and prints, for each, its cost, and how many times that of the
/// first side it is. Before the first of several turns each side runs once for nothing, for what it
/// does only once: starting workers, taking pages from the system.
///
/// # Panics
///
/// If there is no side.
#[expect(clippy::print_stderr, reason = "the table is for who started it")]
pub fn compare(title: &str, n: usize, sides: Vec<Side<'_>>) -> Vec<Cost> {
    let (names, mut runs): (Vec<_>, Vec<_>) =
        sides.into_iter().map(|side| (side.name, side.run)).unzip();
    let mut times = vec![Vec::with_capacity(n); runs.len()];
    if n > 1 {
        for run in &mut runs {
            run();
        }
    }
    for _ in 0..n.max(1) {
        for (run, times) in runs.iter_mut().zip(&mut times) {
            times.push(run());
        }
    }
    let costs: Vec<Cost> = times.into_iter().map(Cost::of).collect();
    let first = costs[0];
    eprintln!("{title}");
    for (name, cost) in names.iter().zip(&costs) {
        eprintln!(
            "  {name:<40} {:>10}  at best {:>10}  ratio {:>8.2} (at best {:.2})",
            Duration(cost.median).to_string(),
            Duration(cost.best).to_string(),
            cost.median / first.median,
            cost.best / first.best,
        );
    }
    costs
}

/// Seconds, in the unit that fits.
struct Duration(f64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            s if s < 1e-6 => (1e9 * s, "ns"),
            s if s < 1e-3 => (1e6 * s, "us"),
            s if s < 1.0 => (1e3 * s, "ms"),
            s => (s, "s"),
        };
        write!(f, "{value:.2} {unit}")
    }
}

/// The file of an engine: what is measured beside us, in `benches/engines`.
#[must_use]
pub fn engine(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("engines").join(file)
}

/// Says that `what` is not compared with, and why.
#[expect(clippy::print_stderr, reason = "what is left out is told by name")]
pub fn skipped(what: &str, why: &str) {
    eprintln!("skipped: {what}, {why}");
}

/// The Python that has the packages to compare with, or why there is none.
///
/// # Errors
///
/// That `POLYCHRON_PYTHON` is not set.
pub fn python() -> Result<PathBuf, String> {
    let python = std::env::var_os("POLYCHRON_PYTHON");
    python.map(PathBuf::from).ok_or_else(|| "POLYCHRON_PYTHON is not set".to_owned())
}

/// `mpirun` for so many ranks on this machine, or why there is none.
///
/// # Errors
///
/// That it cannot be started.
pub fn mpirun(n_ranks: usize) -> Result<Command, String> {
    let version = Command::new("mpirun").arg("--version").stdin(Stdio::null()).output();
    let version = version.map_err(|_| "no mpirun".to_owned())?;
    let is_open_mpi = String::from_utf8_lossy(&version.stdout).contains("Open MPI");
    let mut mpirun = Command::new("mpirun");
    mpirun.args(["-np", &n_ranks.to_string()]);
    if is_open_mpi {
        mpirun.arg("--oversubscribe");
        // Ranks of one host need no network, and a container has no other user than root.
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_oob_tcp_if_include", "lo"),
            ("OMPI_MCA_btl", "self,vader"),
        ] {
            mpirun.env(name, value);
        }
    }
    // mpi4py finds an MPI by itself; it has to be the one that starts it.
    mpirun.env("MPI4PY_MPIABI", if is_open_mpi { "openmpi" } else { "mpich" });
    Ok(mpirun)
}

/// Compiles an engine in C into `out`; says why if it cannot.
///
/// # Errors
///
/// That there is no such compiler, or what it said.
pub fn compile(compiler: &str, file: &str, out: &Path) -> Result<(), String> {
    let result = Command::new(compiler)
        .args(["-O3", "-Wall", "-Werror", "-o"])
        .args([out, &engine(file)])
        .stdin(Stdio::null())
        .output();
    let result = result.map_err(|_| format!("no {compiler}"))?;
    if result.status.success() {
        return Ok(());
    }
    Err(format!("{compiler} failed: {}", String::from_utf8_lossy(&result.stderr).trim()))
}

/// A program that answers lines with lines, and ends with its input.
#[derive(Debug)]
pub struct Engine {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Engine {
    /// Starts it. It says `ready` when it is, or else why it can not be; then this says that it is
    /// skipped, and there is none.
    ///
    /// # Panics
    ///
    /// If it ends otherwise.
    pub fn start(name: &str, command: Result<Command, String>) -> Option<Self> {
        let started = command.and_then(|mut command| {
            let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().map_err(|e| format!("{}: {e}", command.get_program().display()))
        });
        let mut child = match started {
            Ok(child) => child,
            Err(why) => {
                skipped(name, &why);
                return None;
            }
        };
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("is piped"));
        let mut engine = Self { name: name.to_owned(), child, questions, answers };
        match engine.line().as_str() {
            "ready" => Some(engine),
            why => {
                skipped(name, why);
                None
            }
        }
    }

    /// What it is compared as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(read.is_ok_and(|n| n > 0), "{} ended without an answer", self.name);
        line.trim().to_owned()
    }

    /// Lets it do something: the seconds that it took by its own clock.
    ///
    /// # Panics
    ///
    /// If it gives another answer than `expected`, or none.
    pub fn ask(&mut self, what: &str, expected: impl fmt::Display) -> f64 {
        let questions = self.questions.as_mut().expect("not stopped");
        writeln!(questions, "{what}").expect("it listens");
        let line = self.line();
        let (seconds, answer) = line.split_once(' ').expect("seconds and an answer");
        assert_eq!(answer, expected.to_string(), "{}: wrong answer to {what}", self.name);
        seconds.parse().expect("a number of seconds")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}
