//! Starting a program as the ranks of a job.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Set in the environment of a program that was started as ranks by [`mpirun`].
pub(crate) const INSIDE: &str = "POLYCHRON_MPI_TEST";

/// What a launcher leaves in the environment of its ranks, by which a launcher that is started in
/// one would take itself for a rank.
const LEFT_BEHIND: [&str; 14] = [
    "PMI",
    "OMPI_COMM_WORLD",
    "OMPI_UNIVERSE",
    "OMPI_MCA_orte",
    "OMPI_MCA_ess",
    "OMPI_MCA_pmix",
    "OMPI_MCA_initial",
    "OMPI_MCA_shmem",
    "OMPI_FILE",
    "OMPI_NUM_APP",
    "OMPI_FIRST",
    "OMPI_APP",
    "MPI_LOCAL",
    "HYDI",
];

/// Where ranks of Open MPI talk through memory; by name since it stays when one is killed.
const SEGMENTS: &str = "OMPI_MCA_btl_vader_backing_directory";
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// A folder for what jobs of Open MPI talk through, in shared memory, which goes with whatever they
/// have left there.
pub(crate) struct Segments;

impl Segments {
    /// Makes it, for all jobs that this program starts, and what they start.
    pub(crate) fn make() -> Self {
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
        let folder = memory.join(format!("polychron-mpi-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder in shared memory");
        FOLDER.set(folder).expect("there is one");
        Self
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        if let Some(folder) = FOLDER.get() {
            let _gone = fs::remove_dir_all(folder);
        }
    }
}

/// The launcher of the MPI `library` that this program is built with, or of the other one.
pub(crate) fn launcher(library: &str, is_foreign: bool) -> Option<&'static str> {
    let ours = library.starts_with("Open MPI");
    let candidates = if ours != is_foreign {
        ["mpirun.openmpi", "mpirun", "orterun"]
    } else {
        ["mpirun.mpich", "mpiexec.hydra", "mpirun"]
    };
    let word = if ours != is_foreign { "Open MPI" } else { "HYDRA" };
    candidates.into_iter().find(|name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(word))
    })
}

/// The command that starts `program` as so many ranks.
pub(crate) fn mpirun(launcher: &str, n_ranks: usize, program: &Path) -> Command {
    let mut command = Command::new(launcher);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if LEFT_BEHIND.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    // More ranks than cores, in a container, as whoever runs the tests, and on this host alone.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    // Open MPI binds one or two ranks to a core each, and with them all that they start. A launcher
    // that an item starts would share its core with that rank and with whoever else is bound there;
    // on a loaded machine it was seen to take half a minute to notice the end of its job.
    command.env("OMPI_MCA_hwloc_base_binding_policy", "none");
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command.env("OMPI_MCA_btl", "self,vader").env("OMPI_MCA_oob_tcp_if_include", "lo");
    if let Some(folder) = FOLDER.get() {
        command.env(SEGMENTS, folder);
    }
    command.env("HYDRA_IFACE", "lo").env("FI_PROVIDER", "tcp").env("FI_TCP_IFACE", "lo");
    command.env(INSIDE, "1").stdin(Stdio::null());
    command.args(["-np", &n_ranks.to_string()]).arg(program);
    command
}

/// Waits for the end of a command, whose output may be a few pages if it is to be taken; kills it
/// if it is not over in time.
pub(crate) fn output_in(mut command: Command, limit: Duration) -> Result<Output, String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let is_over = loop {
        if child.try_wait().map_err(|error| error.to_string())?.is_some() {
            break true;
        }
        if begin.elapsed() > limit {
            let _gone = child.kill();
            break false;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if is_over { Ok(output) } else { Err(format!("it is still there after {limit:?}: {output:?}")) }
}
