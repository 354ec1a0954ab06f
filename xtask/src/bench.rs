//! The benchmarks, which are criterion's and live in the package `polychron-bench`.

use anyhow::{Context, ensure};
use xshell::{Shell, cmd};

use crate::packages::packages;

/// The package that holds the benchmarks.
pub(crate) const PACKAGE: &str = "polychron-bench";

/// The names of the benchmarks.
pub(crate) fn names(sh: &Shell) -> anyhow::Result<Vec<String>> {
    let all = packages(sh)?;
    let package = all.into_iter().find(|package| package.name == PACKAGE);
    Ok(package.with_context(|| format!("there is no package {PACKAGE}"))?.benches)
}

/// Prints the names of the benchmarks.
pub(crate) fn list(sh: &Shell) -> anyhow::Result<()> {
    for name in names(sh)? {
        println!("{name}");
    }
    Ok(())
}

/// Runs the named benchmarks, or all, with the arguments for criterion.
pub(crate) fn bench(sh: &Shell, wanted: &[String], args: &[String]) -> anyhow::Result<()> {
    let known = names(sh)?;
    for name in wanted {
        let list = known.join(", ");
        ensure!(known.contains(name), "no benchmark is called {name}, there are: {list}");
    }
    let wanted = if wanted.is_empty() { &known } else { wanted };
    let select = wanted.iter().flat_map(|name| ["--bench", name]);
    let package = PACKAGE;
    Ok(cmd!(sh, "cargo bench -p {package} {select...} -- {args...}").run()?)
}
