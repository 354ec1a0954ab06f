//! hardtarget 0.5.1, as pip makes it, and its C compiled for this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use gmf_api::{GridRow, Method, ZeroFrequency};
use polychron_bench::compare::engine;
use polychron_bench::radar::{RadarInput, row_of};
use polychron_bench::study::engine::{Engine, Entrant, Peer, Place, Started, Turn, answer_file};
use polychron_bench::study::record::Side;

/// The peer's release, from which also its source is asked for.
const RELEASE: &str = "hardtarget==0.5.1";

/// What `gmf.c` is compiled with for this machine: the optimisation that pip's build has, too.
const NATIVE: [&str; 4] = ["-O3", "-march=native", "-fPIC", "-shared"];

/// Its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    C,
    NativeC,
    Numpy,
    NumpyDpt,
}

/// Name, method, function, and in every how many rounds it takes part.
const ENGINES: [(&str, Method, Function, usize); 4] = [
    ("hardtarget c", Method::Fgmf, Function::C, 1),
    ("hardtarget c native", Method::Fgmf, Function::NativeC, 1),
    ("hardtarget numpy", Method::Fgmf, Function::Numpy, 2),
    ("hardtarget numpy fdpt", Method::Fdpt, Function::NumpyDpt, 1),
];

pub(crate) fn entrants() -> Vec<Entrant<RadarInput>> {
    ENGINES
        .into_iter()
        .map(|(name, method, function, every)| Entrant {
            name: name.to_owned(),
            side: Side::Peer,
            group: method.name().to_owned(),
            every,
            start: Box::new(move |place| start(name, method, function, place)),
        })
        .collect()
}

fn start(
    name: &str,
    method: Method,
    function: Function,
    place: &Place,
) -> anyhow::Result<Started<RadarInput>> {
    let python = match &place.python {
        Ok(python) => python,
        Err(why) => return Ok(Started::Skipped(why.clone())),
    };
    let mut command = Command::new(python);
    command.arg(engine("hardtarget_gmf.py"));
    match function {
        Function::C => command.arg("c"),
        Function::Numpy => command.arg("numpy"),
        Function::NumpyDpt => command.arg("numpy-fdpt"),
        Function::NativeC => match native(python, place)? {
            Err(why) => return Ok(Started::Skipped(why)),
            Ok((library, made)) => command.arg("c").arg(library).arg(made),
        },
    };
    Ok(match Peer::start(name, command)? {
        Err(why) => Started::Skipped(why),
        Ok(peer) => {
            let answer = place.scratch.join("answer.bin");
            Started::Ready(Box::new(Hardtarget { peer, method, function, answer }))
        }
    })
}

/// The folder of the peer's C, fetched once: pip installs no source, so the source distribution of
/// the same release is asked for. `None` if it cannot be had.
fn source(python: &Path, place: &Place) -> anyhow::Result<Option<PathBuf>> {
    let kept = place.sources.join(RELEASE.replace("==", "-"));
    if kept.join("gmf.c").is_file() {
        return Ok(Some(kept));
    }
    let fetched = place.scratch.join("source");
    let pip = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--no-build-isolation", "--no-binary"])
        .args(["hardtarget", RELEASE, "--quiet", "--disable-pip-version-check", "-d"])
        .arg(&fetched)
        .stdin(Stdio::null())
        .output()
        .context("start pip")?;
    if !pip.status.success() {
        return Ok(None);
    }
    let archive = std::fs::read_dir(&fetched)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "gz"))
        .context("pip fetched no archive")?;
    std::fs::create_dir_all(&kept)?;
    let unpacked = Command::new("tar")
        .args(["--strip-components=3", "--wildcards", "-xzf"])
        .arg(&archive)
        .arg("-C")
        .arg(&kept)
        .args(["*/src/gmf_c_lib/*"])
        .status()
        .context("start tar")?;
    let whole = unpacked.success() && kept.join("gmf.c").is_file();
    ensure!(whole, "tar could not unpack {}", archive.display());
    Ok(Some(kept))
}

/// Compiles the peer's C for this machine: the library and how it was made, or why there is none.
fn native(python: &Path, place: &Place) -> anyhow::Result<Result<(PathBuf, String), String>> {
    let Some(source) = source(python, place)? else {
        return Ok(Err("pip could not fetch the source distribution".to_owned()));
    };
    let library = place.scratch.join("gmfclib-native.so");
    let compiled = Command::new("gcc")
        .args(NATIVE)
        .arg(source.join("gmf.c"))
        .arg("-lfftw3f")
        .arg("-o")
        .arg(&library)
        .stdin(Stdio::null())
        .output();
    match compiled {
        Err(_) => Ok(Err("no gcc".to_owned())),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            Ok(Err(format!("gcc failed: {}", said.lines().next().unwrap_or_default())))
        }
        Ok(_) => {
            let flags = NATIVE.join(" ");
            let made = format!("`gcc {flags} gmf.c -lfftw3f`, source distribution of {RELEASE}");
            Ok(Ok((library, made)))
        }
    }
}

struct Hardtarget {
    peer: Peer,
    method: Method,
    function: Function,
    answer: PathBuf,
}

impl Engine<RadarInput> for Hardtarget {
    fn made(&self) -> String {
        self.peer.made().to_owned()
    }

    fn load(&mut self, input: &mut RadarInput) -> anyhow::Result<bool> {
        self.peer.ask(&format!("load {}", input.dir.display()))?;
        Ok(true)
    }

    fn turn(&mut self, _: &mut RadarInput) -> anyhow::Result<Turn> {
        self.peer.turn("run")
    }

    fn verify(&mut self, input: &mut RadarInput) -> anyhow::Result<()> {
        self.peer.ask(&format!("answer {}", self.answer.display()))?;
        let row: GridRow = row_of(&answer_file(&self.answer)?, input.derived.n_ranges())?;
        let zero_frequency = match self.function {
            Function::C | Function::NativeC => ZeroFrequency::FirstAcceleration,
            Function::Numpy | Function::NumpyDpt => ZeroFrequency::Sum,
        };
        input.judge(&row, self.method, zero_frequency)
    }
}
