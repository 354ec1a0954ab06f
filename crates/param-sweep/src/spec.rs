//! What values a parameter takes, and the text that says so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::numbers::{geometric, linear, reverse_geometric};
use crate::sampling::{between, latin, normal, triangular, unit};
use crate::{SweepError, Value};

/// The values that a parameter takes: its own, or samples of a distribution.
///
/// Ends are included. The text form is that of the command line, without the parameter's name:
///
/// | variant            | text                        | values                                              |
/// | ------------------ | --------------------------- | --------------------------------------------------- |
/// | `Linear`           | `0:10:11`                   | `numpy.linspace`                                    |
/// | `Geometric`        | `log:1e-3:1e3:7`, `geom:..` | `numpy.geomspace`: evenly spaced logarithms         |
/// | `ReverseGeometric` | `rgeom:1:100:5`             | the same, mirrored: dense at the far end            |
/// | `Integers`         | `int:1:10`, `int:0:100:25`  | whole numbers, by steps of 1 or the last number     |
/// | `List`             | `1,2,5`, `fast,slow`, `list:a:b,c` | those                                        |
/// | `Uniform`          | `uniform:0:1`               | samples, uniform                                    |
/// | `LogUniform`       | `loguniform:1e-3:1e3`       | samples whose logarithm is uniform                  |
/// | `Normal`           | `normal:10:0.5`             | samples, by mean and standard deviation             |
/// | `Triangular`       | `triangular:0:2:10`         | samples, by lower end, most likely value, upper end |
/// | `LatinHypercube`   | `lhs:0:1`                   | samples, exactly one in each of `n` equal parts     |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the table says what the numbers are")]
pub enum Spec {
    Linear { from: f64, to: f64, n: usize },
    Geometric { from: f64, to: f64, n: usize },
    ReverseGeometric { from: f64, to: f64, n: usize },
    Integers { from: i64, to: i64, step: i64 },
    List(Vec<Value>),
    Uniform { low: f64, high: f64 },
    LogUniform { low: f64, high: f64 },
    Normal { mean: f64, sd: f64 },
    Triangular { low: f64, mode: f64, high: f64 },
    LatinHypercube { low: f64, high: f64 },
}

impl Spec {
    /// How many values the parameter has of its own; `None` if it is sampled.
    #[must_use]
    pub fn n_values(&self) -> Option<usize> {
        match self {
            Self::Linear { n, .. }
            | Self::Geometric { n, .. }
            | Self::ReverseGeometric { n, .. } => Some(*n),
            Self::Integers { from, to, step } => {
                let n_steps = (i128::from(*to) - i128::from(*from)) / i128::from(*step);
                Some(usize::try_from(n_steps + 1).unwrap_or(usize::MAX))
            }
            Self::List(values) => Some(values.len()),
            _ => None,
        }
    }

    /// What is wrong with it, if anything is.
    pub(crate) fn fault(&self) -> Option<String> {
        let finite = |numbers: &[f64]| {
            let bad = numbers.iter().find(|number| !number.is_finite())?;
            Some(format!("{bad} is not finite"))
        };
        let ordered =
            |low: f64, high: f64| (low >= high).then(|| format!("{low:?} is not below {high:?}"));
        let some = |n: usize| (n == 0).then(|| "0 values are none".to_owned());
        let spread = |from: f64, to: f64, n: usize| {
            // One value is the first end, as numpy has it, which hides that the other is ignored.
            (n == 1 && from != to)
                .then(|| format!("1 value cannot be both {from:?} and {to:?}: give at least 2"))
        };
        match *self {
            Self::Linear { from, to, n } => {
                finite(&[from, to, to - from]).or_else(|| some(n)).or_else(|| spread(from, to, n))
            }
            Self::Geometric { from, to, n } | Self::ReverseGeometric { from, to, n } => {
                let one_sign = from != 0.0 && to != 0.0 && from.signum() == to.signum();
                finite(&[from, to]).or_else(|| some(n)).or_else(|| spread(from, to, n)).or_else(
                    || {
                        (!one_sign).then(|| {
                        format!(
                            "from {from:?} to {to:?} there are no equal ratios: both ends must be \
                             above 0, or both below"
                        )
                    })
                    },
                )
            }
            Self::Integers { from, to, step } => {
                let away = (to > from && step < 0) || (to < from && step > 0);
                if step == 0 {
                    Some("the step is 0".to_owned())
                } else {
                    away.then(|| format!("steps of {step} do not lead from {from} to {to}"))
                }
            }
            Self::List(ref values) => some(values.len()),
            Self::Uniform { low, high } | Self::LatinHypercube { low, high } => {
                finite(&[low, high]).or_else(|| ordered(low, high))
            }
            Self::LogUniform { low, high } => finite(&[low, high])
                .or_else(|| ordered(low, high))
                .or_else(|| (low <= 0.0).then(|| format!("{low:?} is not above 0"))),
            Self::Normal { mean, sd } => finite(&[mean, sd]).or_else(|| {
                (sd <= 0.0).then(|| format!("the standard deviation {sd:?} is not above 0"))
            }),
            Self::Triangular { low, mode, high } => finite(&[low, mode, high, high - low])
                .or_else(|| ordered(low, high))
                .or_else(|| {
                    (mode < low || mode > high)
                        .then(|| format!("{mode:?} is not between {low:?} and {high:?}"))
                }),
        }
    }

    /// Its value `i`, for `i` below `n_values`.
    pub(crate) fn value(&self, i: usize) -> Value {
        match *self {
            Self::Linear { from, to, n } => linear(from, to, n, i).into(),
            Self::Geometric { from, to, n } => geometric(from, to, n, i).into(),
            Self::ReverseGeometric { from, to, n } => reverse_geometric(from, to, n, i).into(),
            // At most `to`, so nothing overflows.
            Self::Integers { from, step, .. } => {
                Value::Int((i128::from(from) + i as i128 * i128::from(step)) as i64)
            }
            Self::List(ref values) => values[i].clone(),
            _ => unreachable!("sampled parameters have no values of their own"),
        }
    }

    /// Its sample `i` of `n`; the one value of a parameter that has one.
    pub(crate) fn sample(&self, name: &str, seed: u64, n: usize, i: usize) -> Value {
        let u = || unit(seed, name, i);
        let value = match *self {
            Self::Uniform { low, high } => between(low, high, u()),
            Self::LogUniform { low, high } => {
                between(low.ln(), high.ln(), u()).exp().clamp(low, high)
            }
            Self::Normal { mean, sd } => mean + sd * normal(seed, name, i),
            Self::Triangular { low, mode, high } => triangular(low, mode, high, u()),
            Self::LatinHypercube { low, high } => between(low, high, latin(seed, name, n, i)),
            _ => return self.value(0),
        };
        Value::Float(value)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear { from, to, n } => write!(f, "{from:?}:{to:?}:{n}"),
            Self::Geometric { from, to, n } => write!(f, "geom:{from:?}:{to:?}:{n}"),
            Self::ReverseGeometric { from, to, n } => write!(f, "rgeom:{from:?}:{to:?}:{n}"),
            Self::Integers { from, to, step } => write!(f, "int:{from}:{to}:{step}"),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "list:{}", values.join(","))
            }
            Self::Uniform { low, high } => write!(f, "uniform:{low:?}:{high:?}"),
            Self::LogUniform { low, high } => write!(f, "loguniform:{low:?}:{high:?}"),
            Self::Normal { mean, sd } => write!(f, "normal:{mean:?}:{sd:?}"),
            Self::Triangular { low, mode, high } => {
                write!(f, "triangular:{low:?}:{mode:?}:{high:?}")
            }
            Self::LatinHypercube { low, high } => write!(f, "lhs:{low:?}:{high:?}"),
        }
    }
}

/// The words that a text of several parts may begin with, and what comes behind them.
const FORMS: [(&str, &str); 11] = [
    ("linear", "FROM:TO:N"),
    ("log", "FROM:TO:N"),
    ("geom", "FROM:TO:N"),
    ("rgeom", "FROM:TO:N"),
    ("int", "FROM:TO or FROM:TO:STEP"),
    ("list", "VALUE,VALUE,…"),
    ("uniform", "LOW:HIGH"),
    ("loguniform", "LOW:HIGH"),
    ("normal", "MEAN:SD"),
    ("triangular", "LOW:MODE:HIGH"),
    ("lhs", "LOW:HIGH"),
];

impl FromStr for Spec {
    type Err = String;

    /// Reads the text form; the error says what is wrong and what would be right.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("there are no values".to_owned());
        }
        let Some((head, rest)) = text.split_once(':') else { return list(text) };
        if head.trim().parse::<f64>().is_ok() {
            return numbers::<3>("linear", text).map(|n| (n, text)).and_then(linear_of);
        }
        let Some((word, form)) = FORMS.iter().find(|(word, _)| *word == head) else {
            let words: Vec<&str> = FORMS.iter().map(|(word, _)| *word).collect();
            return Err(format!(
                "'{head}' is neither a number nor one of {}; a list with colons begins with list:",
                words.join(", ")
            ));
        };
        let wrong = |why: String| format!("{why}; it is {word}:{form}");
        let spec = match *word {
            "list" => return list(rest),
            "int" => integers(rest),
            "linear" => numbers::<3>(word, rest).map(|n| (n, rest)).and_then(linear_of),
            "log" | "geom" => numbers::<3>(word, rest).and_then(|[from, to, _]| {
                if *word == "log" && (from <= 0.0 || to <= 0.0) {
                    return Err(format!("logarithms need ends above 0, not {from:?} and {to:?}"));
                }
                Ok(Self::Geometric { from, to, n: count(rest)? })
            }),
            "rgeom" => numbers::<3>(word, rest)
                .and_then(|[from, to, _]| Ok(Self::ReverseGeometric { from, to, n: count(rest)? })),
            "uniform" => numbers(word, rest).map(|[low, high]| Self::Uniform { low, high }),
            "loguniform" => numbers(word, rest).map(|[low, high]| Self::LogUniform { low, high }),
            "normal" => numbers(word, rest).map(|[mean, sd]| Self::Normal { mean, sd }),
            "triangular" => {
                numbers(word, rest).map(|[low, mode, high]| Self::Triangular { low, mode, high })
            }
            _ => numbers(word, rest).map(|[low, high]| Self::LatinHypercube { low, high }),
        };
        spec.map_err(wrong)
    }
}

fn linear_of(([from, to, _], text): ([f64; 3], &str)) -> Result<Spec, String> {
    Ok(Spec::Linear { from, to, n: count(text)? })
}

/// The last part, which is a number of values.
fn count(text: &str) -> Result<usize, String> {
    let last = text.rsplit(':').next().unwrap_or_default().trim();
    last.parse().map_err(|_| format!("'{last}' is no number of values"))
}

fn numbers<const N: usize>(word: &str, text: &str) -> Result<[f64; N], String> {
    let parts: Vec<&str> = text.split(':').map(str::trim).collect();
    if parts.len() != N {
        let has = if parts == [""] { 0 } else { parts.len() };
        return Err(format!("{word} has {N} numbers, not {has}"));
    }
    let mut numbers = [0.0; N];
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().map_err(|_| format!("'{part}' is no number"))?;
    }
    Ok(numbers)
}

fn integers(text: &str) -> Result<Spec, String> {
    let whole = |part: &str| -> Result<i64, String> {
        part.trim().parse().map_err(|_| format!("'{}' is no whole number", part.trim()))
    };
    match text.split(':').collect::<Vec<_>>()[..] {
        [from, to] => {
            let (from, to) = (whole(from)?, whole(to)?);
            Ok(Spec::Integers { from, to, step: if to < from { -1 } else { 1 } })
        }
        [from, to, step] => {
            Ok(Spec::Integers { from: whole(from)?, to: whole(to)?, step: whole(step)? })
        }
        _ => Err("int has 2 or 3 whole numbers".to_owned()),
    }
}

/// Whole numbers if all are, doubles if all are numbers, else texts.
fn list(text: &str) -> Result<Spec, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("a value of the list is empty".to_owned());
    }
    let values: Vec<Value> = parts.iter().map(|part| Value::from_plain(part)).collect();
    let values = if values.iter().all(|value| matches!(value, Value::Int(_) | Value::Bool(_))) {
        let n_ints = values.iter().filter(|value| matches!(value, Value::Int(_))).count();
        if n_ints == 0 || n_ints == values.len() { Some(values) } else { None }
    } else {
        let floats = values.iter().map(|value| value.as_f64().map(Value::Float));
        floats.collect::<Option<Vec<_>>>()
    };
    let texts = || parts.iter().map(|part| Value::Text((*part).to_owned())).collect();
    Ok(Spec::List(values.unwrap_or_else(texts)))
}

/// Reads `NAME=SPEC`, as `a=0:10:11`.
///
/// # Errors
///
/// [`SweepError::Syntax`] with the whole text and what is wrong with it.
pub fn parse_parameter(text: &str) -> Result<(String, Spec), SweepError> {
    let fail = |reason: String| SweepError::Syntax { text: text.to_owned(), reason };
    let (name, spec) = text
        .split_once('=')
        .ok_or_else(|| fail("it has no '=', as in a=0:10:11 or b=1,2,5".to_owned()))?;
    let name = name.trim();
    if !is_name(name) {
        return Err(fail(SweepError::Name { name: name.to_owned() }.to_string()));
    }
    let spec: Spec = spec.trim().parse().map_err(fail)?;
    match spec.fault() {
        None => Ok((name.to_owned(), spec)),
        Some(reason) => Err(fail(reason)),
    }
}

/// Whether a parameter can be called so: a column, a placeholder and a part of a variable's name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let digit_first = name.bytes().next().is_none_or(|byte| byte.is_ascii_digit());
    is_word && !digit_first && !["index", "seed", "status", "error"].contains(&name)
}
