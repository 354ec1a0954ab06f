//! `polychron completions` and `polychron man`: what shells and manuals need, made from the command
//! line's own description.

#[cfg(any(feature = "sweep", feature = "shared-times"))]
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Cli;
use crate::files::{say_bytes, write_whole};
use crate::output::say;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  polychron completions bash > ~/.local/share/bash-completion/completions/polychron
  polychron completions zsh > ~/.zfunc/_polychron          with fpath+=~/.zfunc before compinit
  polychron completions fish > ~/.config/fish/completions/polychron.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  polychron man | man -l -
  polychron man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Folder for the pages of all commands [default: one page, to stdout]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "polychron", &mut script);
    say_bytes(&script)
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = &args.dir else { return say_bytes(&page(command)?) };
    fs::create_dir_all(dir)
        .with_context(|| format!("could not make the folder {}", dir.display()))?;
    let mut n_pages = 0;
    write_pages(&command, dir, &mut n_pages)?;
    say(format_args!("{n_pages} pages written to {}", dir.display()));
    Ok(())
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(command).render(&mut roff)?;
    Ok(roff)
}

/// A page for the command, and one for each below it: `polychron-plot-gmf.1`.
fn write_pages(command: &Command, dir: &Path, n_pages: &mut usize) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = dir.join(format!("{name}.1"));
    write_whole(&path, &page(command.clone())?)?;
    *n_pages += 1;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    below.into_iter().try_for_each(|below| write_pages(below, dir, n_pages))
}

/// The command as one would type it into a shell.
#[cfg(any(feature = "sweep", feature = "shared-times"))]
pub(crate) fn typed(command: &[OsString]) -> String {
    let quoted = command.iter().map(|word| {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_alphanumeric() || "_-./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(all(test, any(feature = "sweep", feature = "shared-times")))]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_as_it_would_be_typed() {
        let words = ["sh", "-c", "echo 'a b'", "", "x=1"].map(OsString::from);
        assert_eq!(typed(&words), r"sh -c 'echo '\''a b'\''' '' x=1");
    }
}
