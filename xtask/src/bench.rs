//! The benchmarks of the package `polychron-bench`: criterion's, and the studies.
//!
//! A study is a benchmark whose name begins with `study_`. It answers one question beside peers,
//! and leaves a record; docs/bench/README.md says how they are read.

use anyhow::{Context, ensure};
use xshell::{Shell, cmd};

use crate::packages::{packages, target_dir};
use crate::python;

/// The package that holds the benchmarks.
pub(crate) const PACKAGE: &str = "polychron-bench";

/// The variable that tells a study which `polychron` to start.
pub(crate) const COMMAND_VAR: &str = "POLYCHRON_BIN";

/// How the name of a study's program begins.
const STUDY: &str = "study_";

/// Studies of the command `polychron` itself, which is built for them.
const OF_THE_COMMAND: [&str; 1] = ["analyze"];

/// What is wanted of studies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Compare with the newest record of the same machine.
    pub(crate) check: bool,
    /// Write a record.
    pub(crate) record: bool,
    /// A first look.
    pub(crate) quick: bool,
}

impl Wanted {
    fn args(self) -> Vec<&'static str> {
        [(self.check, "--check"), (self.record, "--record"), (self.quick, "--quick")]
            .into_iter()
            .filter_map(|(on, option)| on.then_some(option))
            .collect()
    }
}

/// The names of the benchmarks' programs.
pub(crate) fn names(sh: &Shell) -> anyhow::Result<Vec<String>> {
    let all = packages(sh)?;
    let package = all.into_iter().find(|package| package.name == PACKAGE);
    Ok(package.with_context(|| format!("there is no package {PACKAGE}"))?.benches)
}

/// The names by which benchmarks are asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    studies: Vec<String>,
    /// Criterion's.
    benches: Vec<String>,
}

impl Names {
    fn of(programs: Vec<String>) -> Self {
        let mut names = Self::default();
        for program in programs {
            match program.strip_prefix(STUDY) {
                Some(study) => names.studies.push(study.to_owned()),
                None => names.benches.push(program),
            }
        }
        names
    }

    /// Those that are asked for; all that fit what is asked for if none is named.
    fn chosen(self, asked: &[String], wanted: Wanted, args: &[String]) -> anyhow::Result<Self> {
        if asked.is_empty() {
            let mut all = self;
            if !wanted.args().is_empty() {
                all.benches.clear();
            } else if !args.is_empty() {
                // Criterion's own, as its filters.
                all.studies.clear();
            }
            return Ok(all);
        }
        let mut chosen = Self::default();
        for name in asked {
            if self.studies.contains(name) {
                chosen.studies.push(name.clone());
                continue;
            }
            ensure!(
                self.benches.contains(name),
                "no benchmark is called {name}, there are the studies {} and the benchmarks {}",
                self.studies.join(", "),
                self.benches.join(", ")
            );
            ensure!(
                wanted.args().is_empty(),
                "{} is for studies, and {name} is none",
                wanted.args().join(" ")
            );
            chosen.benches.push(name.clone());
        }
        Ok(chosen)
    }
}

/// Prints the names of the studies and of criterion's benchmarks.
pub(crate) fn list(sh: &Shell) -> anyhow::Result<()> {
    let names = Names::of(names(sh)?);
    for (title, names) in [("studies", names.studies), ("benchmarks", names.benches)] {
        println!("{title}:");
        names.iter().for_each(|name| println!("  {name}"));
    }
    Ok(())
}

/// Runs what is named, or all. `args` are for criterion, or name workloads of studies.
pub(crate) fn bench(
    sh: &Shell,
    asked: &[String],
    wanted: Wanted,
    args: &[String],
) -> anyhow::Result<()> {
    let chosen = Names::of(names(sh)?).chosen(asked, wanted, args)?;
    if let Some(python) = python::working(sh)? {
        sh.set_var("POLYCHRON_PYTHON", python);
    }
    if !chosen.benches.is_empty() {
        run(sh, &chosen.benches, args)?;
    }
    if chosen.studies.iter().any(|study| OF_THE_COMMAND.contains(&study.as_str())) {
        cmd!(sh, "cargo build --profile bench -p polychron-cli --bin polychron").run()?;
        // Cargo keeps the profile `bench` in the folder of `release`.
        let command = target_dir(sh)?.join("release/polychron");
        ensure!(command.is_file(), "cargo built no {}", command.display());
        sh.set_var(COMMAND_VAR, command);
    }
    let mut failed = Vec::new();
    for study in &chosen.studies {
        let mut all: Vec<String> = wanted.args().into_iter().map(str::to_owned).collect();
        all.extend_from_slice(args);
        if let Err(error) = run(sh, &[format!("{STUDY}{study}")], &all) {
            // The others are of use all the same.
            println!("error: {error:#}");
            failed.push(study.as_str());
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn run(sh: &Shell, programs: &[String], args: &[String]) -> anyhow::Result<()> {
    let select = programs.iter().flat_map(|name| ["--bench", name]);
    let package = PACKAGE;
    Ok(cmd!(sh, "cargo bench -p {package} {select...} -- {args...}").run()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of(["jobs", "study_gmf", "kernel", "study_analyze"].map(str::to_owned).to_vec())
    }

    fn chosen(
        asked: &str,
        wanted: Wanted,
        args: &str,
    ) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let chosen = names().chosen(&words(asked), wanted, &words(args))?;
        Ok((chosen.studies, chosen.benches))
    }

    const NONE: Wanted = Wanted { check: false, record: false, quick: false };

    #[test]
    fn studies_and_benchmarks_are_known_by_their_names() {
        assert_eq!(names().studies, ["gmf", "analyze"]);
        assert_eq!(names().benches, ["jobs", "kernel"]);
        let (studies, benches) = chosen("gmf jobs", NONE, "").unwrap();
        assert_eq!((studies, benches), (vec!["gmf".to_owned()], vec!["jobs".to_owned()]));
        let error = chosen("peers", NONE, "").unwrap_err().to_string();
        assert!(error.contains("studies gmf, analyze and the benchmarks jobs, kernel"), "{error}");
    }

    #[test]
    fn without_names_all_run_that_can_take_the_options() {
        let (studies, benches) = chosen("", NONE, "").unwrap();
        assert_eq!((studies.len(), benches.len()), (2, 2));
        let check = Wanted { check: true, ..NONE };
        assert_eq!(chosen("", check, "").unwrap().1, Vec::<String>::new());
        assert_eq!(chosen("", NONE, "owner_of").unwrap().0, Vec::<String>::new());
    }

    #[test]
    fn only_studies_have_records() {
        let record = Wanted { record: true, ..NONE };
        let error = chosen("jobs", record, "").unwrap_err().to_string();
        assert_eq!(error, "--record is for studies, and jobs is none");
        assert_eq!(chosen("gmf", record, "").unwrap().0, ["gmf"]);
    }
}
