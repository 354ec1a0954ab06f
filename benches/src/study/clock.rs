//! One processor, and time on it.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What some work took, on the processor and on the clock, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Took {
    /// Time on the processor.
    pub cpu_s: f64,
    /// Time on the clock.
    pub wall_s: f64,
}

fn thread_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Does some work on this thread and tells what it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let (wall, cpu) = (Instant::now(), thread_s());
    let result = work();
    let cpu_s = thread_s() - cpu;
    (result, Took { cpu_s, wall_s: wall.elapsed().as_secs_f64() })
}

/// Time on the processor of the children that have ended, in seconds, in steps of a clock tick.
///
/// # Errors
///
/// That the system does not tell.
#[cfg(target_os = "linux")]
pub fn children_s() -> anyhow::Result<f64> {
    use anyhow::Context as _;
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // The name may hold anything; after it, user and system time of children are 14th and 15th.
    let (_, rest) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(13).zip(ticks(14)).context("/proc/self/stat is too short")?;
    Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// As on Linux, where it is told.
///
/// # Errors
///
/// That the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn children_s() -> anyhow::Result<f64> {
    anyhow::bail!("the time of children is only known on Linux")
}

/// Keeps this thread, and all threads and processes that it starts, on one processor: the last it
/// may use, since the first has most of the system's work. Gives its number; `None` where a
/// program cannot choose.
#[cfg(target_os = "linux")]
#[must_use]
pub fn pin() -> Option<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None).ok()?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu))?;
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).ok()?;
    Some(last)
}

/// As on Linux, where a program can choose.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn pin() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_waiting_takes_none_of_the_processor() {
        let ((), took) = timed(|| std::thread::sleep(std::time::Duration::from_millis(20)));
        assert!(took.wall_s >= 0.02 && took.cpu_s < took.wall_s, "{took:?}");
        let (sum, took) = timed(|| (0..2_000_000u64).fold(0, |sum, i| sum ^ (i * i)));
        assert!(took.cpu_s > 0.0 && std::hint::black_box(sum) != 1, "{took:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_a_child_is_counted_when_it_has_ended() {
        let before = children_s().unwrap();
        let status = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .status()
            .unwrap();
        assert!(status.success());
        assert!(children_s().unwrap() > before);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pinned_thread_has_one_processor() {
        let used = std::thread::spawn(|| {
            let cpu = pin().unwrap();
            let set = rustix::thread::sched_getaffinity(None).unwrap();
            (set.count(), set.is_set(cpu))
        });
        assert_eq!(used.join().unwrap(), (1, true));
    }
}
