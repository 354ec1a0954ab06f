//! A point of the sweep, as a task of a manager: the program is run with its values.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use polychron::param_sweep::{Design, RowFailure, Value};
use polychron::pm::{Task, TaskError, Worker, seed};
use polychron::register_task;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::child::{Call, Ended, How, run};
use super::outcome::{Outputs, of_capture, of_file, of_last_line};
use super::template::{Point, Template};

/// What is run, and how its results are read; all of it text, so that it can travel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) design: Design,
    pub(super) command: Vec<OsString>,
    pub(super) capture: Option<String>,
    pub(super) result_file: Option<String>,
    pub(super) no_result: bool,
    pub(super) workdir: Option<String>,
    /// Seconds.
    pub(super) timeout: Option<f64>,
    pub(super) retries: u32,
}

/// A plan whose texts were read.
#[derive(Debug)]
pub(super) struct Runner {
    plan: Plan,
    words: Vec<Word>,
    capture: Option<Regex>,
    result_file: Option<Template>,
    workdir: Option<Template>,
    host: String,
}

/// A word of the command; what is no Unicode has no places.
#[derive(Debug)]
enum Word {
    Template(Template),
    Raw(OsString),
}

/// What came of a point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) index: usize,
    pub(super) outcome: Result<Outputs, RowFailure>,
    /// Seconds after the Unix epoch.
    pub(super) started: f64,
    /// Of the last attempt.
    pub(super) seconds: f64,
    pub(super) exit: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) attempts: u32,
    pub(super) host: String,
    pub(super) worker: usize,
}

impl Runner {
    pub(super) fn new(plan: Plan) -> Result<Self, String> {
        let names: Vec<&str> = plan.design.names().collect();
        let template = |text: &String| Template::parse(text, &names);
        let words = plan.command.iter().map(|word| match word.to_str() {
            Some(text) => Template::parse(text, &names).map(Word::Template),
            None => Ok(Word::Raw(word.clone())),
        });
        let words = words.collect::<Result<_, _>>()?;
        let capture = plan.capture.as_ref().map(|text| {
            let regex = Regex::new(text).map_err(|error| format!("--capture: {error}"))?;
            if regex.capture_names().flatten().next().is_none() {
                return Err(format!("--capture {text} has no named group such as (?<y>\\S+)"));
            }
            Ok(regex)
        });
        let result_file = plan.result_file.as_ref().map(template).transpose()?;
        let workdir = plan.workdir.as_ref().map(template).transpose()?;
        let apart = |template: &Option<Template>| template.as_ref().is_some_and(Template::varies);
        if result_file.is_some() && !apart(&result_file) && !apart(&workdir) {
            return Err(format!(
                "--result-file {} is the same for all runs: give each its own, as with {{index}}",
                plan.result_file.as_deref().unwrap_or_default()
            ));
        }
        let capture = capture.transpose()?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim().to_owned();
        Ok(Self { words, capture, result_file, workdir, host, plan })
    }

    /// The command of a point, word by word, and the folder it is run in.
    pub(super) fn words(&self, index: usize) -> (Vec<OsString>, Option<String>) {
        let values = self.plan.design.values(index).unwrap_or_default();
        let point = self.point(index, &values);
        let word = |word: &Word| match word {
            Word::Template(template) => template.fill(point).into(),
            Word::Raw(raw) => raw.clone(),
        };
        let dir = self.workdir.as_ref().map(|template| template.fill(point));
        (self.words.iter().map(word).collect(), dir)
    }

    fn point<'a>(&self, index: usize, values: &'a [Value]) -> Point<'a> {
        // 31 bits, so that it is a seed in any language.
        Point { index, seed: seed(self.plan.design.seed(), index) >> 33, values }
    }

    /// Runs the program of a point, again if it fails and there are retries; `None` when it was not to
    /// be finished.
    fn run(&self, index: usize, worker: &Worker<'_>) -> Option<Ran> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut ran = self.once(index, worker)?;
            ran.attempts = attempts;
            if ran.outcome.is_ok() || attempts > self.plan.retries {
                return Some(ran);
            }
        }
    }

    fn once(&self, index: usize, worker: &Worker<'_>) -> Option<Ran> {
        let (clock, begun) = (SystemTime::now(), Instant::now());
        let failed = |kind: &str, message: String| {
            Err(RowFailure { kind: kind.to_owned(), message, worker: Some(worker.rank()) })
        };
        let result = self.program(index, worker);
        let seconds = begun.elapsed().as_secs_f64();
        let (mut exit, mut signal) = (None, None);
        let outcome = match result {
            Err(message) => failed("start", message),
            Ok((ended, file)) => {
                let said = first_line(&ended.stderr);
                match ended.how {
                    How::Cancelled => return None,
                    How::Timeout => {
                        let limit = self.plan.timeout.unwrap_or_default();
                        failed("timeout", format!("it took longer than {limit} s"))
                    }
                    How::Signal(number) => {
                        signal = Some(number);
                        failed(&format!("signal {number}"), said)
                    }
                    How::Code(code) => {
                        exit = Some(code);
                        match code {
                            0 => {
                                let read = self.read(&ended, file.as_deref());
                                read.or_else(|message| failed("output", message))
                            }
                            _ => failed(&format!("exit {code}"), said),
                        }
                    }
                }
            }
        };
        let started = clock.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (host, worker) = (self.host.clone(), worker.rank());
        Some(Ran { index, outcome, started, seconds, exit, signal, attempts: 1, host, worker })
    }

    /// Runs the program, and gives the file of its results; the error says why it could not be run.
    fn program(
        &self,
        index: usize,
        worker: &Worker<'_>,
    ) -> Result<(Ended, Option<PathBuf>), String> {
        let (words, dir) = self.words(index);
        let dir = dir.map(PathBuf::from);
        if let Some(dir) = &dir {
            fs::create_dir_all(dir)
                .map_err(|error| format!("could not make the folder {}: {error}", dir.display()))?;
        }
        let values = self.plan.design.values(index).unwrap_or_default();
        let point = self.point(index, &values);
        let file = self.result_file.as_ref().map(|template| {
            let name = template.fill(point);
            dir.as_deref().unwrap_or(Path::new("")).join(name)
        });
        if let Some(file) = &file {
            // What another run left is no result of this one.
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("could not remove the old {}: {error}", file.display()));
                }
                _ => {}
            }
        }
        let mut env: Vec<(String, String)> = self
            .plan
            .design
            .names()
            .zip(&values)
            .map(|(name, value)| (variable(name), value.to_string()))
            .collect();
        env.push(("POLYCHRON_INDEX".to_owned(), index.to_string()));
        env.push(("POLYCHRON_SEED".to_owned(), point.seed.to_string()));
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let program = if dir.is_some() { absolute(program) } else { program };
        let call = Call { program, args: words.collect(), env, dir };
        let timeout = self.plan.timeout.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let ended = run(&call, timeout, &|| worker.cancelled())
            .map_err(|error| format!("could not run {}: {error}", call.program.display()))?;
        Ok((ended, file))
    }

    fn read(&self, ended: &Ended, file: Option<&Path>) -> Result<Outputs, String> {
        if self.plan.no_result {
            return Ok(Vec::new());
        }
        if let Some(file) = file {
            return of_file(file);
        }
        let text = String::from_utf8_lossy(&ended.stdout);
        match &self.capture {
            Some(regex) => of_capture(regex, &text),
            None => of_last_line(&text),
        }
    }
}

/// The variable that has the value of a parameter.
pub(super) fn variable(name: &str) -> String {
    format!("POLYCHRON_PARAM_{}", name.to_ascii_uppercase())
}

/// A program that is named by a path is the same one from another folder.
fn absolute(program: OsString) -> OsString {
    let path = Path::new(&program);
    if path.components().count() > 1 || program.to_string_lossy().contains('/') {
        return std::path::absolute(path).map_or(program, PathBuf::into_os_string);
    }
    program
}

/// The first line that says something, as far as a cell should be long.
fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(400).collect()
}

/// The task of `polychron sweep`; a parameter is the number of a point.
pub(super) struct Program;

impl Task for Program {
    const NAME: &'static str = "polychron::sweep";
    type Args = Plan;
    type Model = Runner;
    type Param = usize;
    type Output = Ran;

    fn build(plan: &Plan, _: &Worker<'_>) -> Result<Runner, TaskError> {
        Runner::new(plan.clone()).map_err(TaskError::new)
    }

    fn execute(
        runner: &mut Runner,
        indices: &[usize],
        worker: &Worker<'_>,
    ) -> Result<Vec<Ran>, TaskError> {
        let ran = indices.iter().map(|index| runner.run(*index, worker));
        ran.collect::<Option<Vec<_>>>().ok_or_else(TaskError::cancelled)
    }
}

register_task!(Program);
