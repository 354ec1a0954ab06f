//! Says in plain words that there is no MPI to build with; the crate `mpi` would only say that some
//! header is missing, and later.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// What says where an MPI is, in the order in which the crate `mpi` looks.
const VARIABLES: [&str; 3] = ["MPI_PKG_CONFIG", "CRAY_MPICH_DIR", "MPICC"];

fn main() -> ExitCode {
    for variable in VARIABLES.into_iter().chain(["PATH", "LIBCLANG_PATH"]) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let mut is_whole = true;
    if !has_mpi() {
        is_whole = false;
        error(
            "no MPI was found to build pm-mpi with: there is no mpicc, and pkg-config knows none",
        );
        error("on Debian or Ubuntu install Open MPI (openmpi-bin, libopenmpi-dev)");
        error("or MPICH (mpich, libmpich-dev), on a cluster load the module of its MPI");
        error("set MPICC to the compiler wrapper of the MPI if it is not called mpicc");
    }
    if !has_libclang() {
        is_whole = false;
        error("libclang was not found, which reads the headers of MPI when pm-mpi is built");
        error(
            "on Debian or Ubuntu install libclang-dev, elsewhere set LIBCLANG_PATH to its folder",
        );
    }
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn error(text: &str) {
    println!("cargo::error={text}");
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let command =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    command.is_ok_and(|status| status.success())
}

fn has_mpi() -> bool {
    let told = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if told("MPI_PKG_CONFIG").is_some() || told("CRAY_MPICH_DIR").is_some() {
        // What they name is checked by the crate `mpi`, which reports it well.
        return true;
    }
    let wrapper = told("MPICC").unwrap_or_else(|| "mpicc".to_owned());
    succeeds(&wrapper, &["-show"])
        || ["mpich", "ompi"].iter().any(|name| succeeds("pkg-config", &["--exists", name]))
}

fn has_libclang() -> bool {
    if env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    // The library in C, not the one in C++ that comes with other tools of LLVM.
    let is_it = |name: &str| {
        ["libclang.", "libclang-"].iter().any(|begin| name.starts_with(begin))
            && !name.starts_with("libclang-cpp")
            && (name.contains(".so") || name.ends_with(".dylib"))
    };
    let holds_it = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).any(|name| is_it(&name))
    };
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/lib", "/opt"];
    roots.iter().map(Path::new).any(|root| {
        // Also in folders like x86_64-linux-gnu, and llvm-14/lib.
        let inner = root.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        holds_it(root)
            || inner.into_iter().any(|path| holds_it(&path) || holds_it(&path.join("lib")))
    })
}
