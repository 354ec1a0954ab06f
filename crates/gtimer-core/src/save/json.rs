//! The form for people and other programs: one JSON object.

use serde::{Deserialize, Serialize};

use super::{MAX_DEPTH, TimesDataError, damaged, foreign};
use crate::times::Times;

const FORMAT: &str = "polychron-times";

const VERSION: u64 = 1;

/// Brackets around a timer at the greatest depth: the file's two, four for each level, and two
/// within the last.
const MAX_BRACKETS: usize = 4 * MAX_DEPTH + 4;

/// Brackets that are walked on the caller's stack.
const FEW_BRACKETS: usize = 100;

/// Ample for [`MAX_BRACKETS`]: the walk takes less than 2 KiB for each, without optimisation.
const STACK_BYTES: usize = 32 << 20;

#[derive(Serialize)]
struct FileRef<'a> {
    format: &'a str,
    version: u64,
    times: &'a [Times],
}

#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct Body {
    times: Vec<Times>,
}

pub(super) fn encode(times: &[Times]) -> Result<Vec<u8>, TimesDataError> {
    let mut open: Vec<&Times> = times.iter().collect();
    while let Some(times) = open.pop() {
        if !is_finite(times) {
            return Err(TimesDataError::NotFinite { timer: times.name.clone() });
        }
        open.extend(times.children());
    }
    let depth = times.iter().map(Times::depth).max().unwrap_or(0);
    let file = FileRef { format: FORMAT, version: VERSION, times };
    let mut bytes = on_deep_stack(4 * depth, || serde_json::to_vec(&file))?
        .expect("texts and finite numbers are JSON, and a Vec takes any bytes");
    bytes.push(b'\n');
    Ok(bytes)
}

fn is_finite(times: &Times) -> bool {
    let Times { total, stamps_sum, self_agg, .. } = *times;
    let stamps = times.stamps.iter().all(|stamp| {
        let numbers = [stamp.cum, stamp.itr_max, stamp.itr_min];
        numbers.iter().chain(stamp.itrs.iter().flatten()).all(|value| value.is_finite())
    });
    stamps && [total, stamps_sum, self_agg].iter().all(|value| value.is_finite())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Times>, TimesDataError> {
    let n_brackets = brackets(bytes);
    // What is not asked for is skipped without recursion, however deep it is.
    let head: Head = serde_json::from_slice(bytes).map_err(|error| refuse(bytes, &error))?;
    if head.format.as_deref() != Some(FORMAT) {
        return Err(foreign(bytes));
    }
    match head.version {
        Some(VERSION) => {}
        Some(found) => return Err(TimesDataError::Version { found, known: VERSION }),
        None => return Err(damaged("it has no version")),
    }
    if n_brackets > MAX_BRACKETS {
        return Err(TimesDataError::TooDeep { limit: MAX_DEPTH });
    }
    let body = on_deep_stack(n_brackets, || {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        deserializer.disable_recursion_limit();
        Body::deserialize(&mut deserializer).map_err(|error| refuse(bytes, &error))
    })??;
    if body.times.iter().any(|times| times.depth() > MAX_DEPTH) {
        return Err(TimesDataError::TooDeep { limit: MAX_DEPTH });
    }
    Ok(body.times)
}

fn refuse(bytes: &[u8], error: &serde_json::Error) -> TimesDataError {
    // Where the beginning is not of this format, the fault is not of a file of times.
    let beginning = &bytes[..bytes.len().min(256)];
    let named = beginning.windows(FORMAT.len()).any(|part| part == FORMAT.as_bytes());
    if named { damaged(error.to_string()) } else { foreign(bytes) }
}

/// How deep brackets lie within one another, texts aside.
fn brackets(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Runs `walk`, which recurses into `n_brackets`, where there is stack for it.
fn on_deep_stack<T: Send>(
    n_brackets: usize,
    walk: impl FnOnce() -> T + Send,
) -> Result<T, TimesDataError> {
    if n_brackets <= FEW_BRACKETS {
        return Ok(walk());
    }
    let no_stack = |error: std::io::Error| TimesDataError::NoStack { why: error.to_string() };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let walker = thread.spawn_scoped(scope, walk).map_err(no_stack)?;
        walker.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}
