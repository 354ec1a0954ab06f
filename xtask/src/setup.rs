//! What the tests need from the machine: what is missing, and its installation.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::packages::root;
use crate::python;
use crate::steps::step;

/// One thing that must be on the machine.
struct Need {
    what: &'static str,
    /// What would not work without it.
    why: &'static str,
    /// The Debian packages that bring it.
    apt: &'static [&'static str],
    /// Needed to make the Python environment only, so not where there is one that works.
    for_python: bool,
    present: fn(&Shell) -> bool,
}

/// Asked by what works, not by what is installed, so that any Linux and any way of installing do.
const NEEDS: [Need; 9] = [
    Need {
        what: "a C compiler",
        why: "links every Rust program, builds hardtarget's C library",
        apt: &["gcc", "libc6-dev"],
        for_python: false,
        present: |sh| compiles(sh, "#include <stdio.h>\nint main(void) { return 0; }\n", &[]),
    },
    Need {
        what: "FFTW in single precision",
        why: "hardtarget's C library is built on it",
        apt: &["libfftw3-dev"],
        for_python: true,
        present: |sh| {
            let program = "#include <fftw3.h>\nint main(void) { fftwf_cleanup(); return 0; }\n";
            compiles(sh, program, &["-lfftw3f"])
        },
    },
    Need {
        what: "Python 3.11 or 3.12 with venv",
        why: "runs digital_rf and hardtarget, which the tests compare ourselves with",
        apt: &["python3", "python3-venv"],
        for_python: true,
        present: |sh| python::host(sh).is_some(),
    },
    Need {
        what: "valgrind",
        why: "counts the instructions of timer and filter, watches the memory of unsafe code",
        // It refuses to start without the symbols of the C library's loader.
        apt: &["valgrind", "libc6-dbg"],
        for_python: false,
        present: has_valgrind,
    },
    Need {
        what: "Chromium",
        why: "looks at the HTML pages of reports, which the tests do not believe otherwise",
        apt: &["chromium"],
        for_python: false,
        present: has_chromium,
    },
    Need {
        what: "Open MPI",
        why: "starts the ranks whose times are told apart, the original distributed engine",
        apt: &["openmpi-bin", "libopenmpi-dev"],
        for_python: false,
        present: |sh| has_mpi(sh, "openmpi", "is_open_mpi"),
    },
    Need {
        what: "MPICH",
        why: "the same with the other MPI, whose launcher says otherwise which rank is which",
        apt: &["mpich", "libmpich-dev"],
        for_python: false,
        present: |sh| has_mpi(sh, "mpich", "is_mpich"),
    },
    Need {
        what: "libclang",
        why: "reads the headers of MPI for Rust",
        apt: &["libclang-dev"],
        for_python: false,
        present: has_libclang,
    },
    Need {
        what: "Vulkan in software (lavapipe)",
        why: "runs the shaders of the GPU kernel where there is no GPU",
        apt: &["mesa-vulkan-drivers", "libvulkan1"],
        for_python: false,
        present: has_lavapipe,
    },
];

/// Installs what is missing; does nothing when all is there.
pub(crate) fn setup(sh: &Shell) -> anyhow::Result<()> {
    let has_python = python::working(sh)?.is_some();
    let absent = absent(sh, has_python);
    if has_python && absent.is_empty() {
        println!("setup: everything is there");
        return Ok(());
    }
    if !absent.is_empty() {
        step("system packages", || system_packages(sh, &absent))?;
    }
    if !has_python {
        step("Python packages", || python::make(sh))?;
    }
    Ok(())
}

/// What is missing, one line each: what, and what it is for.
pub(crate) fn missing(sh: &Shell) -> Vec<String> {
    let python = python::working(sh);
    let absent = absent(sh, matches!(python, Ok(Some(_))));
    let mut lines: Vec<String> =
        absent.iter().map(|need| format!("{}: {}", need.what, need.why)).collect();
    match python {
        Ok(Some(_)) => {}
        Ok(None) => {
            let what = "digital_rf and hardtarget in target/venv";
            lines.push(format!("{what}: the tests against the real packages are skipped"));
        }
        Err(e) => lines.push(format!("{e:#}")),
    }
    lines
}

fn absent(sh: &Shell, has_python: bool) -> Vec<&'static Need> {
    let needed = NEEDS.iter().filter(|need| !(need.for_python && has_python));
    needed.filter(|need| !(need.present)(sh)).collect()
}

fn system_packages(sh: &Shell, absent: &[&Need]) -> anyhow::Result<()> {
    for need in absent {
        println!("missing: {} ({})", need.what, need.why);
    }
    let names: Vec<&str> = absent.iter().flat_map(|need| need.apt).copied().collect();
    let by_hand = format!("by hand: sudo apt-get install {}", names.join(" "));
    if cmd!(sh, "apt-get --version").quiet().ignore_stderr().read().is_err() {
        bail!("this machine has no apt-get; install what Debian calls {}", names.join(", "));
    }
    let (program, options) =
        privilege(sh).with_context(|| format!("could not install; {by_hand}"))?;
    let apt_get = |args: &[&str]| {
        // A lock is held for minutes where a machine has just started and updates itself.
        let wait = "DPkg::Lock::Timeout=300";
        let env = "DEBIAN_FRONTEND=noninteractive";
        cmd!(sh, "{program} {options...} {env} apt-get -y -o {wait} {args...}").run()
    };
    if let Err(e) = apt_get(&["update"]) {
        // One unreachable source out of many does not keep the others from being used.
        println!("warning: {e}");
    }
    let install = [&["install", "--no-install-recommends"], names.as_slice()].concat();
    apt_get(&install).with_context(|| format!("could not install; {by_hand}"))?;
    if let Some(need) = absent.iter().find(|need| !(need.present)(sh)) {
        bail!("{} was installed, but {} still does not work", need.apt.join(" "), need.what);
    }
    Ok(())
}

/// The program and its options that set variables for a command which only root may run: `env`,
/// by way of `sudo -n` for others.
fn privilege(sh: &Shell) -> anyhow::Result<(&'static str, &'static [&'static str])> {
    if cmd!(sh, "id -u").quiet().read()? == "0" {
        return Ok(("env", &[]));
    }
    if cmd!(sh, "sudo -n true").quiet().ignore_stderr().run().is_ok() {
        return Ok(("sudo", &["-n", "env"]));
    }
    bail!("only root may install, and sudo asks for a password here")
}

/// Whether valgrind is there and can run a program.
pub(crate) fn has_valgrind(sh: &Shell) -> bool {
    cmd!(sh, "valgrind --quiet /bin/true").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Whether Chromium is there and starts; the tests look for it under the same names.
fn has_chromium(sh: &Shell) -> bool {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().any(|name| {
        cmd!(sh, "{name} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    })
}

/// Whether this MPI starts programs and compiles them. Debian keeps several side by side, each with
/// its name behind those of its programs; elsewhere the one that is there has the plain names, and
/// says in its header which it is.
fn has_mpi(sh: &Shell, suffix: &str, sign: &str) -> bool {
    let starts = |program: &str| {
        cmd!(sh, "{program} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    let is_it = |compiler: &str| {
        let program = "#include <mpi.h>\n#ifdef OPEN_MPI\nis_open_mpi\n#endif\n\
                       #ifdef MPICH_VERSION\nis_mpich\n#endif\n";
        let text = cmd!(sh, "{compiler} -x c -E -").stdin(program).quiet().ignore_stderr().read();
        text.is_ok_and(|text| text.lines().any(|line| line == sign))
    };
    starts(&format!("mpirun.{suffix}")) && is_it(&format!("mpicc.{suffix}"))
        || starts("mpirun") && is_it("mpicc")
}

/// Whether libclang is in one of the places where distributions put it.
fn has_libclang(sh: &Shell) -> bool {
    let libs = |dir: &Path| sh.read_dir(dir).unwrap_or_default();
    let versions = libs(Path::new("/usr/lib")).into_iter().map(|dir| dir.join("lib"));
    let arch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let plain = ["/usr/lib", "/usr/lib64", &arch].map(PathBuf::from);
    versions.chain(plain).flat_map(|dir| libs(&dir)).any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // `libclang-cpp` is another one, which comes with the tools of LLVM.
        name.starts_with("libclang.so")
            || name.starts_with("libclang-") && !name.starts_with("libclang-cpp")
    })
}

/// Whether the loader of Vulkan and Mesa's driver in software are in one of the places where
/// distributions put them.
fn has_lavapipe(sh: &Shell) -> bool {
    let files = |dir: &Path| sh.read_dir(dir).unwrap_or_default();
    let arch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let named = |dirs: &[&str], start: &str| {
        dirs.iter()
            .flat_map(|dir| files(Path::new(dir)))
            .any(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with(start))
    };
    named(&[&arch, "/usr/lib", "/usr/lib64"], "libvulkan.so.1")
        && named(&["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"], "lvp_icd")
}

/// Whether a C program compiles and links with these libraries.
fn compiles(sh: &Shell, program: &str, libraries: &[&str]) -> bool {
    let Ok(out) = scratch(sh, "probe") else { return false };
    let compile = cmd!(sh, "cc -x c - -o {out} {libraries...}");
    compile.stdin(program).quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// The path of a file of our own under `target`, in a folder that exists.
pub(crate) fn scratch(sh: &Shell, name: &str) -> anyhow::Result<PathBuf> {
    let dir = root().join("target/xtask");
    sh.create_dir(&dir)?;
    Ok(dir.join(name))
}
