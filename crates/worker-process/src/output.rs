//! What workers print: whole lines, none lost, none mixed with another.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::sync::wait::{Bell, poll};

/// A line without end is passed on in pieces of this many bytes.
const MAX_LINE: usize = 1 << 20;

/// Which of its two outputs a worker wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a worker, or what it started, has printed.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The number of the worker.
    pub worker: usize,
    /// Where it was printed to.
    pub stream: Stream,
    /// The line, with its line feed unless the output ended without one.
    pub bytes: &'a [u8],
}

/// Takes the lines of all workers, one at a time.
pub type LineSink = Arc<dyn Fn(Line<'_>) + Send + Sync>;

/// Where the output of workers goes.
#[derive(Clone)]
pub enum Output {
    /// To where this process writes, by the same descriptors. What several workers write at once
    /// may come out mixed within a line.
    Inherit,
    /// Nowhere.
    Discard,
    /// Line by line to a function, on a thread of the pool. A worker that prints faster than the
    /// function takes the lines has to wait.
    Lines(LineSink),
}

impl Output {
    /// Passes lines on to the outputs of this process, each in one write.
    #[must_use]
    pub fn forward() -> Self {
        Self::Lines(Arc::new(|line| print(line, "")))
    }

    /// As [`forward`](Self::forward), with the worker's number before each line: `[3] text`.
    #[must_use]
    pub fn forward_numbered() -> Self {
        Self::Lines(Arc::new(|line| print(line, &format!("[{}] ", line.worker))))
    }
}

impl Default for Output {
    fn default() -> Self {
        Self::forward()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::Discard => "Discard",
            Self::Lines(_) => "Lines(..)",
        })
    }
}

fn print(line: Line<'_>, prefix: &str) {
    let mut text = Vec::with_capacity(prefix.len() + line.bytes.len() + 1);
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(line.bytes);
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    // Nothing can be done for who has closed our output.
    let _closed = match line.stream {
        Stream::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush())
        }
        Stream::Stderr => io::stderr().lock().write_all(&text),
    };
}

/// One output of one worker.
#[derive(Debug)]
struct Source {
    worker: usize,
    stream: Stream,
    pipe: OwnedFd,
    /// The line that is not complete yet.
    line: Vec<u8>,
}

/// The thread that reads what workers print.
#[derive(Debug)]
pub(crate) struct Collector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    new: Mutex<Vec<Source>>,
    end: AtomicBool,
    bell: Bell,
}

impl Collector {
    pub(crate) fn start(sink: LineSink) -> io::Result<Self> {
        let bell = Bell::new()?;
        let shared = Arc::new(Shared { new: Mutex::default(), end: AtomicBool::new(false), bell });
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("worker-output".to_owned());
        let thread = builder.spawn(move || collect(&theirs, &*sink))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The writing ends for a worker that is about to be started.
    pub(crate) fn outputs(&self, worker: usize) -> io::Result<(Stdio, Stdio)> {
        let make = |stream| {
            let (reader, writer) = io::pipe()?;
            let pipe = OwnedFd::from(reader);
            rustix::io::ioctl_fionbio(&pipe, true)?;
            let source = Source { worker, stream, pipe, line: Vec::new() };
            self.shared.new.lock().unwrap_or_else(PoisonError::into_inner).push(source);
            io::Result::Ok(Stdio::from(writer))
        };
        let ends = (make(Stream::Stdout)?, make(Stream::Stderr)?);
        self.shared.bell.ring();
        Ok(ends)
    }
}

impl Drop for Collector {
    /// Returns when all that was printed so far has been passed on.
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of the sink was reported by its hook.
            let _ended = thread.join();
        }
    }
}

fn collect(shared: &Shared, sink: &dyn Fn(Line<'_>)) {
    let mut sources: BTreeMap<usize, Source> = BTreeMap::new();
    let mut next = 0;
    loop {
        // The end is looked at before the pipes: what was printed before it is read.
        let end = shared.end.load(Ordering::Acquire);
        for source in shared.new.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            sources.insert(next, source);
            next += 1;
        }
        sources.retain(|_, source| source.read(sink));
        if end {
            sources.values_mut().for_each(|source| source.finish(sink));
            return;
        }
        let pipes = sources.values().map(|source| PollFd::new(&source.pipe, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = pipes.chain([shared.bell.poll_fd()]).collect();
        if poll(&mut fds, None).is_err() {
            return;
        }
        shared.bell.reset();
    }
}

impl Source {
    /// Passes on what is there; false when nothing will come any more.
    fn read(&mut self, sink: &dyn Fn(Line<'_>)) -> bool {
        let mut chunk = [0; 1 << 13];
        // Not more at once, so that a worker who prints without end does not keep others waiting.
        for _ in 0..16 {
            match rustix::io::read(&self.pipe, &mut chunk) {
                Ok(0) => {
                    self.finish(sink);
                    return false;
                }
                Ok(n) => self.take(&chunk[..n], sink),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], sink: &dyn Fn(Line<'_>)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= MAX_LINE {
                self.pass(sink);
            }
        }
    }

    /// Passes on a last line that has no end.
    fn finish(&mut self, sink: &dyn Fn(Line<'_>)) {
        if !self.line.is_empty() {
            self.pass(sink);
        }
    }

    fn pass(&mut self, sink: &dyn Fn(Line<'_>)) {
        sink(Line { worker: self.worker, stream: self.stream, bytes: &self.line });
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Two programs that print at once, in small writes: every line arrives whole, once, in order.
    #[test]
    fn lines_arrive_whole() {
        let lines: Arc<Mutex<Vec<(usize, Stream, String)>>> = Arc::default();
        let seen = Arc::clone(&lines);
        let sink: LineSink = Arc::new(move |line| {
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            seen.lock().unwrap().push((line.worker, line.stream, text));
        });
        let collector = Collector::start(sink).unwrap();
        let script = "i=0; while [ $i -lt 300 ]; do printf 'a'; printf 'b %s\\n' $i; \
                      printf 'e%s\\n' $i >&2; i=$((i+1)); done; printf last";
        let mut children = Vec::new();
        for worker in 0..2 {
            let (out, err) = collector.outputs(worker).unwrap();
            let mut command = Command::new("sh");
            children.push(command.args(["-c", script]).stdout(out).stderr(err).spawn().unwrap());
        }
        children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
        drop(collector);
        let lines = lines.lock().unwrap();
        for worker in 0..2 {
            let of = |stream| {
                let own = lines.iter().filter(move |line| (line.0, line.1) == (worker, stream));
                own.map(|line| line.2.clone()).collect::<Vec<String>>()
            };
            let mut expected: Vec<String> = (0..300).map(|i| format!("ab {i}\n")).collect();
            expected.push("last".to_owned());
            assert_eq!(of(Stream::Stdout), expected);
            let expected: Vec<String> = (0..300).map(|i| format!("e{i}\n")).collect();
            assert_eq!(of(Stream::Stderr), expected);
        }
    }
}
