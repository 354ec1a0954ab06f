//! Engines: what takes turns in a study.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::clock::Took;
use super::record::Side;

/// How long a peer may take for one answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Something that does the work of a study on inputs `I`.
pub trait Engine<I> {
    /// How it was made: versions, compiler, flags.
    fn made(&self) -> String;

    /// Gets ready for a workload; `false` if it has no part in it.
    ///
    /// # Errors
    ///
    /// That it cannot.
    fn load(&mut self, input: &mut I) -> anyhow::Result<bool>;

    /// Does the work once and keeps the answer.
    ///
    /// # Errors
    ///
    /// That it failed.
    fn turn(&mut self, input: &mut I) -> anyhow::Result<Turn>;

    /// Checks the answer of the last turn in full.
    ///
    /// # Errors
    ///
    /// That it is wrong, and where.
    fn verify(&mut self, input: &mut I) -> anyhow::Result<()>;
}

/// One turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// What it took.
    pub took: Took,
    /// A digest of the answer: one that was found right need not be checked in full again.
    pub digest: u64,
}

/// What comes of starting an engine.
pub enum Started<I> {
    /// It is there.
    Ready(Box<dyn Engine<I>>),
    /// It cannot be had here, and why.
    Skipped(String),
}

impl<I> std::fmt::Debug for Started<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(engine) => f.debug_tuple("Ready").field(&engine.made()).finish(),
            Self::Skipped(why) => f.debug_tuple("Skipped").field(why).finish(),
        }
    }
}

/// How an engine is started.
pub type Start<I> = Box<dyn FnOnce(&Place) -> anyhow::Result<Started<I>>>;

/// An engine as a study lists it.
pub struct Entrant<I> {
    /// Its name.
    pub name: String,
    /// Who made it.
    pub side: Side,
    /// Engines of a group do the same work. The first one of ours is what ratios are of.
    pub group: String,
    /// It takes part in every so many rounds: slow ones in fewer.
    pub every: usize,
    /// Starts it.
    pub start: Start<I>,
}

impl<I> std::fmt::Debug for Entrant<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a study runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// A folder that goes away with the study.
    pub scratch: PathBuf,
    /// A folder that stays, for sources that peers are compiled from.
    pub sources: PathBuf,
    /// The Python that has the peers, or why there is none.
    pub python: Result<PathBuf, String>,
    /// The command `polychron`, or why there is none.
    pub command: Result<PathBuf, String>,
    /// Whether only answers are wanted, no times.
    pub is_test: bool,
}

/// A program in `benches/engines` that answers lines with lines, and ends with its input.
#[derive(Debug)]
pub struct Peer {
    name: String,
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
    made: String,
}

impl Peer {
    /// Starts it. Its first line is `ready` and how it was made, or else why it is not to be had.
    ///
    /// # Errors
    ///
    /// That it could not be started, or ended without a line.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Result<Self, String>> {
        // Threads of numerical libraries would be more than one core.
        for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(name, "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let questions = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("it was piped")?);
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { return };
                if sender.send(line.trim().to_owned()).is_err() {
                    return;
                }
            }
        });
        let made = String::new();
        let mut peer = Self { name: name.to_owned(), child, questions, answers, made };
        let line = peer.line("being started")?;
        Ok(match line.strip_prefix("ready") {
            Some(made) => {
                peer.made = made.trim().to_owned();
                Ok(peer)
            }
            None => Err(line),
        })
    }

    /// How it was made.
    #[must_use]
    pub fn made(&self) -> &str {
        &self.made
    }

    /// Asks, and gives the answer.
    ///
    /// # Errors
    ///
    /// That it says `error` and what, that it has ended, or that it takes too long.
    pub fn ask(&mut self, what: &str) -> anyhow::Result<String> {
        let questions = self.questions.as_mut().context("it was stopped")?;
        writeln!(questions, "{what}").with_context(|| format!("ask {} to {what}", self.name))?;
        let line = self.line(what)?;
        if let Some(error) = line.strip_prefix("error") {
            bail!("{}, asked to {what}: {}", self.name, error.trim());
        }
        Ok(line)
    }

    /// Lets it do its work: its own times, and the digest of the answer.
    ///
    /// # Errors
    ///
    /// As [`Peer::ask`].
    pub fn turn(&mut self, what: &str) -> anyhow::Result<Turn> {
        let line = self.ask(what)?;
        let parse = || {
            let mut words = line.split_whitespace();
            let cpu_s = words.next()?.parse().ok()?;
            let wall_s = words.next()?.parse().ok()?;
            let digest = words.next()?.parse().ok()?;
            Some(Turn { took: Took { cpu_s, wall_s }, digest })
        };
        parse().with_context(|| format!("{} answered '{line}' to {what}", self.name))
    }

    fn line(&self, what: &str) -> anyhow::Result<String> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended at {what}", self.name),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} did not answer to {what} within {PATIENCE:?}", self.name)
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.questions = None;
        // It ends with its input; one that hangs is not waited for.
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while std::time::Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of a file that a peer wrote.
///
/// # Errors
///
/// That it cannot be read.
pub fn answer_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_peer_answers_lines_with_lines() {
        let script = "echo 'ready made by hand'; while read what rest; do \
                      case $what in run) echo '0.5 0.6 77';; *) echo 'error no such thing';; esac; \
                      done";
        let mut peer = Peer::start("a shell", shell(script)).unwrap().unwrap();
        assert_eq!(peer.made(), "made by hand");
        let turn = peer.turn("run").unwrap();
        assert_eq!((turn.took.cpu_s, turn.took.wall_s, turn.digest), (0.5, 0.6, 77));
        let error = peer.ask("jump").unwrap_err().to_string();
        assert_eq!(error, "a shell, asked to jump: no such thing");
    }

    #[test]
    fn a_peer_that_is_not_to_be_had_says_why_and_one_that_ends_is_an_error() {
        let skipped = Peer::start("a shell", shell("echo no compiler")).unwrap();
        assert_eq!(skipped.unwrap_err(), "no compiler");
        let error = Peer::start("a shell", shell("exit 1")).unwrap_err().to_string();
        assert_eq!(error, "a shell ended at being started");
        let mut peer =
            Peer::start("a shell", shell("echo ready; read x; echo '1 2'")).unwrap().unwrap();
        let error = peer.turn("run").unwrap_err().to_string();
        assert_eq!(error, "a shell answered '1 2' to run");
        assert!(peer.ask("run").is_err());
    }
}
