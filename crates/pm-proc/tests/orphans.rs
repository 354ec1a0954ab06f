//! Nobody is left when a program with workers is killed, whatever it was doing; nor what its tasks
//! had started, and what that had.
//!
//! This program is the one that is killed, its worker, or the runner of the tests. What belongs to
//! one round is known by an environment variable that all inherit.

#![expect(clippy::print_stdout, reason = "the runner of these tests prints their outcome")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pm_api::{
    Array, PeersExt as _, RunOptions, Scatter as _, Schedule, Spmd, Sum, Task, TaskError, Worker,
    register_spmd, register_task,
};
use pm_proc::processes;

const NAME: &str = "nobody_is_left_when_the_program_is_killed";
/// What a program that is to be killed does, and where its tasks note that they have begun.
const SCENE: &str = "POLYCHRON_ORPHANS_SCENE";
/// The number of the round, for all who belong to it.
const MARK: &str = "POLYCHRON_ORPHANS_MARK";
/// How many rounds there are.
const ROUNDS: &str = "POLYCHRON_ORPHANS_ROUNDS";

/// How soon everybody has to be gone, where the machine has nothing else to do ...
const SOON: Duration = Duration::from_secs(2);
/// ... and at most so many times that where it has: see [`soon`].
const MOST_LOAD: f64 = 5.0;

/// What goes on while the program is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scene {
    /// Workers start, are let go and start again.
    Starts,
    /// Tasks compute, with what they have started themselves.
    Tasks,
    /// Long arrays are on their way to the workers.
    Scatter,
    /// And on their way back.
    Gather,
    /// The workers meet, again and again, and sum long arrays.
    Collectives,
}

const SCENES: [Scene; 5] =
    [Scene::Starts, Scene::Tasks, Scene::Scatter, Scene::Gather, Scene::Collectives];

fn main() {
    pm_api::worker_entry().expect("every task has a name of its own");
    if let Ok(scene) = std::env::var(SCENE) {
        let scene = SCENES.into_iter().find(|known| format!("{known:?}") == scene);
        play(scene.expect("it is one of the scenes"), &notes());
    }
    if std::env::args().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return;
    }
    let begin = Instant::now();
    let n_rounds = std::env::var(ROUNDS).map_or(50, |text| text.parse().expect("a number"));
    let mut random = Random(29);
    let (mut most, mut longest) = (0, Duration::ZERO);
    for round in 0..n_rounds {
        let (n, after) = kill_at_random(SCENES[round % SCENES.len()], round, &mut random);
        (most, longest) = (most.max(n), longest.max(after));
    }
    // The program, two workers, two guards at most, and two families of four.
    assert!(n_rounds < 10 || most >= 11, "the family was never complete: {most}");
    println!(
        "test {NAME} ... ok ({:.2?}): {n_rounds} rounds, up to {most} processes, all gone within \
         {longest:.0?}",
        begin.elapsed()
    );
}

// ---- who is killed ----

fn notes() -> PathBuf {
    PathBuf::from(std::env::var(MARK).expect("it is started with a mark"))
}

/// Starts a family that would live for long: a shell, its child, one of its own session, and that
/// one's child.
fn start_family(notes: &Path) -> Result<(), TaskError> {
    let script = "sleep 1000 & setsid sh -c 'sleep 1000 & wait' & wait";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Nobody waits for it, as with a program in the background.
    drop(shell.spawn()?);
    note(notes)
}

/// Notes that a task has begun.
fn note(notes: &Path) -> Result<(), TaskError> {
    Ok(fs::write(notes.join(std::process::id().to_string()), "")?)
}

/// Starts a family in each worker, and gives back what it got.
struct Families;

impl Task for Families {
    const NAME: &'static str = "orphans::families";
    /// Whether tasks go on until they are killed.
    type Args = (PathBuf, bool);
    type Model = (PathBuf, bool);
    type Param = Array<f64>;
    type Output = Array<f64>;

    fn build(args: &Self::Args, _: &Worker<'_>) -> Result<Self::Model, TaskError> {
        start_family(&args.0)?;
        Ok(args.clone())
    }

    fn execute(
        (_, is_endless): &mut Self::Model,
        arrays: &[Array<f64>],
        _: &Worker<'_>,
    ) -> Result<Vec<Array<f64>>, TaskError> {
        if *is_endless {
            loop {
                std::hint::black_box(0);
            }
        }
        Ok(arrays.to_vec())
    }
}
register_task!(Families);

/// Sums without end.
struct Sums;

impl Spmd for Sums {
    const NAME: &'static str = "orphans::sums";
    type Args = PathBuf;
    type Output = ();

    fn run(notes: &PathBuf, worker: &Worker<'_>) -> Result<(), TaskError> {
        start_family(notes)?;
        let mut numbers = vec![1.0; 1 << 18];
        loop {
            worker.peers().barrier()?;
            worker.peers().all_reduce(&mut numbers, Sum)?;
        }
    }
}
register_spmd!(Sums);

/// Does one thing until it is killed.
fn play(scene: Scene, notes: &Path) -> ! {
    let options = RunOptions::default().schedule(Schedule::Dynamic { chunk: 1 });
    let arrays = |n: usize, len: usize| vec![Array(vec![1.0; len]); n];
    let manager = processes(2).expect("two are more than none");
    loop {
        match scene {
            Scene::Starts => {
                let manager = processes(2).expect("two are more than none");
                let args = (notes.to_owned(), false);
                let run = manager.scatter::<Families>(args, arrays(2, 1), &options);
                run.expect("workers start").gather().expect("it ends");
            }
            Scene::Tasks => {
                let args = (notes.to_owned(), true);
                let run = manager.scatter::<Families>(args, arrays(4, 1), &options);
                run.expect("workers start").gather().expect("it ends");
            }
            Scene::Scatter | Scene::Gather => {
                let args = (notes.to_owned(), false);
                let len = if scene == Scene::Scatter { 1 << 20 } else { 1 << 17 };
                let run = manager.scatter::<Families>(args, arrays(8, len), &options);
                let run = run.expect("workers start");
                for chunk in run.chunks_in_order() {
                    drop(chunk.expect("it goes on"));
                }
            }
            Scene::Collectives => {
                let _never = manager.run::<Sums>(notes.to_owned());
            }
        }
    }
}

// ---- who kills ----

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Those who live and belong to a round.
fn family(mark: &Path) -> Vec<u32> {
    let mark = format!("{MARK}={}", mark.display());
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let belongs = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == mark.as_bytes()))
    };
    pids.filter(belongs).collect()
}

/// Plays a scene, kills its program at some moment, and waits until nobody is left: how many were
/// seen, and how long that took.
fn kill_at_random(scene: Scene, round: usize, random: &mut Random) -> (usize, Duration) {
    let folder = tempfile::tempdir().expect("a folder for notes");
    let mark = folder.path().to_owned();
    let mut command = Command::new(std::env::current_exe().expect("this program has a file"));
    command.env(SCENE, format!("{scene:?}")).env(MARK, &mark).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut program = command.spawn().expect("this program runs");
    // Half of them at any moment from the first on, the others when the tasks are on their way.
    let is_late = round / SCENES.len() % 2 == 1;
    if is_late {
        let begin = Instant::now();
        while fs::read_dir(&mark).expect("it is there").count() < 2 {
            assert!(begin.elapsed() < Duration::from_secs(60), "{scene:?} does not begin");
            assert!(is_running(&mut program), "{scene:?} has ended by itself");
            std::thread::yield_now();
        }
    }
    let moment = Instant::now() + Duration::from_micros(random.below(60_000));
    while Instant::now() < moment {
        std::thread::yield_now();
    }
    let n = family(&mark).len();
    assert!(is_running(&mut program), "{scene:?} has ended by itself");
    let begin = Instant::now();
    program.kill().expect("it is our child");
    program.wait().expect("it is our child");
    loop {
        let left = family(&mark);
        if left.is_empty() {
            return (n, begin.elapsed());
        }
        if begin.elapsed() > SOON && begin.elapsed() > soon() {
            let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm"));
            let names: Vec<_> = left.iter().map(|pid| (*pid, name(pid))).collect();
            let numbers = left.iter().map(u32::to_string);
            let _killed = Command::new("kill").arg("-9").args(numbers).status();
            panic!("round {round}, {scene:?}: still alive: {names:?}");
        }
        std::thread::yield_now();
    }
}

/// How soon everybody has to be gone just now: as much later as each CPU has other threads to run.
fn soon() -> Duration {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // The average of a minute first, and fourth those that run now, of all that there are.
    let number = |field: usize| -> Option<f64> {
        text.split_whitespace().nth(field)?.split('/').next()?.parse().ok()
    };
    let n_threads = number(0).into_iter().chain(number(3)).fold(0.0, f64::max);
    let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    SOON.mul_f64((n_threads / n_cpus as f64).clamp(1.0, MOST_LOAD))
}

fn is_running(program: &mut Child) -> bool {
    program.try_wait().expect("it is our child").is_none()
}
