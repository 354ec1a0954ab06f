//! `polychron merge`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use polychron::gmf_pipeline::Inventory;

use crate::analyze::tell_some;
use crate::args::MergeArgs;
use crate::output::{Gaps, say};

pub(crate) fn run(args: &MergeArgs) -> anyhow::Result<()> {
    #[cfg(feature = "sweep")]
    if crate::sweep::merge(&args.dir, args.json)?.is_some() {
        return Ok(());
    }
    let inventory = Inventory::take(&args.dir)?;
    if args.json {
        let mut report = serde_json::to_value(&inventory)?;
        report["complete"] = inventory.is_complete().into();
        say(format_args!("{report:#}"));
    } else {
        summarize(&args.dir, &inventory);
    }
    verdict(&args.dir, &inventory)
}

fn summarize(dir: &Path, inventory: &Inventory) {
    let Inventory { n_files, n_integrations, n_whole, n_bytes, .. } = inventory;
    say(format_args!("{}: run {}", dir.display(), inventory.run));
    say(format_args!(
        "{n_whole} of {n_files} files whole ({n_bytes} bytes, {n_integrations} integrations in all)"
    ));
    let paths = |what: &'static str, paths: &[PathBuf]| {
        tell_some(paths.iter().map(|path| format!("{what}: {}", path.display())));
    };
    paths("missing", &inventory.missing);
    paths("damaged", &inventory.damaged);
    paths("in no manifest", &inventory.unlisted);
    tell_some(inventory.double.iter().map(|double| {
        let sums = double.checksums.join(" and ");
        format!("written twice, with different bytes: {}: {sums}", double.path.display())
    }));
    paths("of no run", &inventory.foreign);
    paths("temporary, of a process at work or killed", &inventory.temporary);
    tell_some(
        inventory
            .damaged_ends
            .iter()
            .map(|name| format!("shorter: {name} at an end of the recording was passed over")),
    );
    tell_some(inventory.gaps.iter().map(|gap| format!("gap: {gap}")));
}

/// An error unless all is there.
fn verdict(dir: &Path, inventory: &Inventory) -> anyhow::Result<()> {
    if !inventory.is_complete() {
        let counts = [
            (inventory.missing.len(), "missing"),
            (inventory.damaged.len(), "damaged"),
            (inventory.unlisted.len(), "in no manifest"),
            (inventory.double.len(), "written twice with different bytes"),
            (inventory.foreign.len(), "of no run"),
        ];
        let mut said: Vec<String> = counts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} files {what}"))
            .collect();
        if inventory.refinements.len() > 1 {
            let ways = inventory.refinements.iter().map(|(way, n)| format!("{n} {way}"));
            let ways = ways.collect::<Vec<_>>().join(", ");
            said.push(format!("peaks refined in different ways ({ways})"));
        }
        let way_out = if inventory.n_whole < inventory.n_files {
            "; the same analysis once more computes what is not whole"
        } else {
            ""
        };
        bail!("{} is not complete: {}{way_out}", dir.display(), said.join(", "));
    }
    if inventory.has_gaps() {
        let mut said = Vec::new();
        if !inventory.gaps.is_empty() {
            let (n, of) = (inventory.gaps.len(), inventory.n_integrations);
            said.push(format!("{n} of {of} integrations have no result"));
        }
        if !inventory.damaged_ends.is_empty() {
            let n = inventory.damaged_ends.len();
            said.push(format!("the recording is shorter by {n} damaged files"));
        }
        return Err(Gaps(said.join("; ")).into());
    }
    Ok(())
}
