//! What the collectives of `pm-mpi` cost beside those of MPI itself, under each MPI that there is.
//!
//! Who writes ranks that talk to each other comes from MPI, and will not pay for error values and
//! checked calls: wanted is at most 1.05 of the same call in C, and 20 ns more, for a barrier and
//! for broadcast, gather, scatter and all-reduce of 8 B, 1 KiB, 64 KiB, 1 MiB and 64 MiB, on two
//! ranks of one host. More ranks than cores are measured as well, and what it costs to hand out
//! tasks that do nothing, beside `mpi4py.futures`.
//!
//! `crates/pm-mpi/examples/collectives.rs` is built for each MPI, in the target directory in which
//! `cargo xtask test --mpi` builds for it too, and takes turns with `benches/engines/mpi_calls.c` and,
//! for `POLYCHRON_PYTHON`, `mpi_calls.py`; the median of the turns counts. All three write every page
//! first and look at their results. What the machine lacks is left out by name.
//!
//! Without `--bench` it is done once, with short work. There are no figures of criterion's.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use polychron_bench::compare::{
    Cost, Engine, compile, engine, is_comparing, is_measuring, python, skipped,
};

/// The MPIs: name, Debian's compiler wrapper and launcher, folder below `target`, and the name of
/// its interface in mpi4py.
const MPIS: [[&str; 5]; 2] = [
    ["Open MPI", "mpicc.openmpi", "mpirun.openmpi", "open-mpi", "openmpi"],
    ["MPICH", "mpicc.mpich", "mpirun.mpich", "mpich", "mpich"],
];

/// The order of the lines, by what a program calls them.
const ORDER: [&str; 8] =
    ["barrier", "broadcast", "gather", "scatter", "all-reduce", "dynamic", "automatic", "static"];

/// One MPI, with what runs under it.
struct Under {
    name: &'static str,
    launcher: &'static str,
    interface: &'static str,
    /// Programs and what they are called; the first is that in C.
    programs: Vec<(&'static str, Vec<PathBuf>)>,
    /// Holds what was compiled.
    _dir: tempfile::TempDir,
}

/// What a case took in every turn, by the program's number and the case.
type Times = BTreeMap<(usize, String, u64), Vec<f64>>;

impl Under {
    fn find([name, wrapper, launcher, folder, interface]: [&'static str; 5]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = dir.path().join("mpi_calls");
        let there = compile(wrapper, "mpi_calls.c", &program)
            .and_then(|()| build(wrapper, folder).map(|ours| (program, ours)));
        let (program, ours) = match there {
            Ok(there) => there,
            Err(why) => {
                skipped(name, &why);
                return None;
            }
        };
        let mut programs = vec![("C", vec![program]), ("pm-mpi", vec![ours])];
        match python_with_mpi(interface) {
            Ok(python) => programs.push(("mpi4py", vec![python, engine("mpi_calls.py")])),
            Err(why) => skipped(&format!("mpi4py under {name}"), &why),
        }
        Some(Self { name, launcher, interface, programs, _dir: dir })
    }

    fn mpirun(&self, n_ranks: usize) -> Command {
        let mut command = Command::new(self.launcher);
        command.args(["-np", &n_ranks.to_string()]);
        for (name, value) in [
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
            ("OMPI_MCA_btl", "self,vader"),
            ("OMPI_MCA_oob_tcp_if_include", "lo"),
            ("HYDRA_IFACE", "lo"),
            ("FI_PROVIDER", "tcp"),
            ("FI_TCP_IFACE", "lo"),
            ("MPI4PY_MPIABI", self.interface),
        ] {
            command.env(name, value);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Lets the programs take turns; a program prints a line for each case.
    fn turns(&self, n_ranks: usize, n_turns: usize, n_batches: usize, share: usize) -> Times {
        let mut times = Times::new();
        for _ in 0..n_turns {
            for (nth, (name, words)) in self.programs.iter().enumerate() {
                let mut command = self.mpirun(n_ranks);
                command.args(words).args([n_batches.to_string(), share.to_string()]);
                let output = command.output().expect("it can be started");
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{name} under {} failed: {errors}", self.name);
                for line in String::from_utf8(output.stdout).expect("is text").lines() {
                    let fields: Vec<&str> = line.split_whitespace().collect();
                    let [what, n, seconds] = fields[..] else { panic!("not a figure: {line}") };
                    let case = (nth, what.to_owned(), n.parse().expect("a length"));
                    let seconds = seconds.parse().expect("a number of seconds");
                    times.entry(case).or_default().push(seconds);
                }
            }
        }
        times
    }

    fn table(&self, n_ranks: usize, times: &Times, wanted: bool) {
        let cost = |nth: usize, what: &str, n: u64| {
            let all = times.get(&(nth, what.to_owned(), n))?;
            Some(Cost::of(all.clone()).median)
        };
        let mut cases: Vec<(usize, u64)> = Vec::new();
        for (_, what, n) in times.keys() {
            let place = ORDER.iter().position(|known| known == what).expect("a known case");
            if !cases.contains(&(place, *n)) {
                cases.push((place, *n));
            }
        }
        cases.sort_unstable();
        let goal = if wanted { " (wanted: C x 1.05 + 20 ns)" } else { "" };
        line(&format!("{} ranks of {}{goal}: us, median of turns", n_ranks, self.name));
        let names: Vec<&str> = self.programs.iter().map(|(name, _)| *name).collect();
        line(&format!(
            "  {:<28}{:>12}{:>12}{:>12}",
            "",
            names[0],
            names[1],
            names.get(2).unwrap_or(&"")
        ));
        for (place, n) in cases {
            let what = ORDER[place];
            let costs: Vec<Option<f64>> = (0..names.len()).map(|nth| cost(nth, what, n)).collect();
            let shown =
                |cost: Option<f64>| cost.map_or(String::new(), |s| format!("{:.3}", 1e6 * s));
            let mut text = format!("  {:<28}", format!("{what} {n}"));
            costs.iter().for_each(|cost| text += &format!("{:>12}", shown(*cost)));
            if let (Some(c), Some(ours)) = (costs[0], costs[1]) {
                let missed = wanted && ours > 1.05 * c + 20e-9;
                text += &format!("  ratio {:.2}{}", ours / c, if missed { "  MISSED" } else { "" });
            }
            line(&text);
        }
    }

    /// A task that does nothing, in `mpi4py.futures`, which has a third rank to hand them out.
    fn futures(&self, n: usize, n_turns: usize) {
        let Ok(python) = python_with_mpi(self.interface) else { return };
        let mut command = self.mpirun(3);
        command.arg(python).args(["-m", "mpi4py.futures"]).arg(engine("pools.py")).arg("mpi");
        let Some(mut pool) = Engine::start("mpi4py.futures", Ok(command)) else { return };
        let expected: usize = (0..n).map(|i| (i + 1) * i).sum();
        for (what, name) in [("one", "one by one"), ("auto", "in chunks")] {
            let ask = |_| pool.ask(&format!("{what} {n}"), expected) / n as f64;
            let cost = Cost::of((0..n_turns).map(ask).collect()).median;
            line(&format!("  {:<28}{:>36.3}", format!("mpi4py.futures, {name}"), 1e6 * cost));
        }
    }
}

#[expect(clippy::print_stderr, reason = "the table is for who started it")]
fn line(text: &str) {
    eprintln!("{text}");
}

/// Builds our side for an MPI.
fn build(wrapper: &str, folder: &str) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in the workspace");
    let target = root.join("target").join(folder);
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "pm-mpi", "--example", "collectives"]);
    // Where nothing is measured, what `cargo xtask test` builds there anyway is enough.
    let profile = if is_measuring() { "release" } else { "debug" };
    if is_measuring() {
        command.arg("--release");
    }
    command.env("MPICC", wrapper).env("CARGO_TARGET_DIR", &target).current_dir(root);
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(target.join(profile).join("examples/collectives"));
    }
    Err(format!("pm-mpi cannot be built: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The Python, if its mpi4py works with this MPI.
fn python_with_mpi(interface: &str) -> Result<PathBuf, String> {
    let python = python()?;
    let mut command = Command::new(&python);
    command.args(["-c", "import numpy, mpi4py; from mpi4py import MPI"]);
    command.env("MPI4PY_MPIABI", interface).env("OMPI_ALLOW_RUN_AS_ROOT", "1");
    command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1").stdin(Stdio::null());
    let works = command.output().is_ok_and(|output| output.status.success());
    works.then_some(python).ok_or_else(|| "there is no mpi4py for it".to_owned())
}

fn main() {
    if !is_comparing() {
        return;
    }
    let (turns, batches, share) = if is_measuring() { (7, 9, 1) } else { (1, 1, 64) };
    for mpi in MPIS {
        let Some(under) = Under::find(mpi) else { continue };
        under.table(2, &under.turns(2, turns, batches, share), is_measuring());
        under.futures(2000 / share, turns);
        under.table(4, &under.turns(4, turns.div_ceil(3), batches.div_ceil(3), share), false);
    }
}
