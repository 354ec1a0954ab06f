//! A tree of times as a recorded run writes it, and where two trees differ.

use serde_json::Value;

use super::program::Keys;

/// The times of one timer, in s, and of all below it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) position: Option<String>,
    pub(crate) total: f64,
    pub(crate) stamps_sum: f64,
    pub(crate) self_agg: f64,
    pub(crate) stamps: Vec<Stamp>,
    /// Position and the timers there.
    pub(crate) subdivisions: Vec<(String, Vec<Tree>)>,
    /// Position, group, and its workers.
    pub(crate) parallel: Vec<(String, String, Vec<Tree>)>,
}

/// One stamp, in s.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) name: String,
    pub(crate) cum: f64,
    pub(crate) itr_num: u64,
    pub(crate) itr_max: f64,
    pub(crate) itr_min: f64,
    pub(crate) itrs: Option<Vec<f64>>,
}

impl Tree {
    pub(crate) fn parse(value: &Value, at: &str) -> Result<Self, String> {
        let mut keys = Keys::new(value, at)?;
        let tree = Self {
            name: keys.string("name")?,
            position: match keys.need("position")? {
                Value::Null => None,
                Value::String(position) => Some(position.clone()),
                other => return Err(format!("{at}: position is {other}, not a name")),
            },
            total: keys.number("total")?,
            stamps_sum: keys.number("stamps_sum")?,
            self_agg: keys.number("self_agg")?,
            stamps: list(&mut keys, "stamps", at, Stamp::parse)?,
            subdivisions: list(&mut keys, "subdivisions", at, |value, at| {
                let mut keys = Keys::new(value, at)?;
                let position = keys.string("position")?;
                let timers = list(&mut keys, "timers", at, Self::parse)?;
                keys.end()?;
                Ok((position, timers))
            })?,
            parallel: list(&mut keys, "parallel", at, |value, at| {
                let mut keys = Keys::new(value, at)?;
                let (position, group) = (keys.string("position")?, keys.string("group")?);
                let workers = list(&mut keys, "workers", at, Self::parse)?;
                keys.end()?;
                Ok((position, group, workers))
            })?,
        };
        keys.end()?;
        Ok(tree)
    }

    /// Where this tree, which was expected, differs from the one that was found: one line each.
    pub(crate) fn differences(&self, found: &Self, at: &str, lines: &mut Vec<String>) {
        say(lines, at, "name", &self.name, &found.name);
        say(lines, at, "position", &self.position, &found.position);
        say(lines, at, "total", &self.total, &found.total);
        say(lines, at, "stamps_sum", &self.stamps_sum, &found.stamps_sum);
        say(lines, at, "self_agg", &self.self_agg, &found.self_agg);
        let names = |stamps: &[Stamp]| stamps.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        say(lines, at, "stamps", &names(&self.stamps), &names(&found.stamps));
        for stamp in &self.stamps {
            if let Some(other) = found.stamps.iter().find(|other| other.name == stamp.name) {
                stamp.differences(other, &format!("{at}.{}", stamp.name), lines);
            }
        }
        let names = |list: &[(String, Vec<Self>)]| {
            list.iter().map(|(at, timers)| (at.clone(), names_of(timers))).collect::<Vec<_>>()
        };
        say(lines, at, "subdivisions", &names(&self.subdivisions), &names(&found.subdivisions));
        for (position, timers) in &self.subdivisions {
            let other = found.subdivisions.iter().find(|(other, _)| other == position);
            if let Some((_, others)) = other {
                all_differences(timers, others, &format!("{at}/{position}"), lines);
            }
        }
        let names = |list: &[(String, String, Vec<Self>)]| {
            let line = |(at, group, workers): &(String, String, Vec<Self>)| {
                (at.clone(), group.clone(), names_of(workers))
            };
            list.iter().map(line).collect::<Vec<_>>()
        };
        say(lines, at, "parallel", &names(&self.parallel), &names(&found.parallel));
        for (position, group, workers) in &self.parallel {
            let same = |(p, g, _): &&(String, String, Vec<Self>)| p == position && g == group;
            if let Some((.., others)) = found.parallel.iter().find(same) {
                all_differences(workers, others, &format!("{at}/{position}/{group}"), lines);
            }
        }
    }
}

impl Stamp {
    fn parse(value: &Value, at: &str) -> Result<Self, String> {
        let mut keys = Keys::new(value, at)?;
        let stamp = Self {
            name: keys.string("name")?,
            cum: keys.number("cum")?,
            itr_num: {
                let num = keys.need("itr_num")?;
                num.as_u64().ok_or_else(|| format!("{at}: itr_num is {num}, not a count"))?
            },
            itr_max: keys.number("itr_max")?,
            itr_min: keys.number("itr_min")?,
            itrs: match keys.take("itrs") {
                None | Some(Value::Null) => None,
                Some(value) => {
                    let numbers = || value.as_array()?.iter().map(Value::as_f64).collect();
                    let numbers: Option<Vec<f64>> = numbers();
                    Some(numbers.ok_or_else(|| format!("{at}: itrs is not a list of numbers"))?)
                }
            },
        };
        keys.end()?;
        Ok(stamp)
    }

    fn differences(&self, found: &Self, at: &str, lines: &mut Vec<String>) {
        say(lines, at, "cum", &self.cum, &found.cum);
        say(lines, at, "itr_num", &self.itr_num, &found.itr_num);
        say(lines, at, "itr_max", &self.itr_max, &found.itr_max);
        say(lines, at, "itr_min", &self.itr_min, &found.itr_min);
        say(lines, at, "itrs", &self.itrs, &found.itrs);
    }
}

fn names_of(timers: &[Tree]) -> Vec<String> {
    timers.iter().map(|timer| timer.name.clone()).collect()
}

fn all_differences(expected: &[Tree], found: &[Tree], at: &str, lines: &mut Vec<String>) {
    for timer in expected {
        if let Some(other) = found.iter().find(|other| other.name == timer.name) {
            timer.differences(other, &format!("{at}/{}", timer.name), lines);
        }
    }
}

fn say<T: PartialEq + std::fmt::Debug>(
    lines: &mut Vec<String>,
    at: &str,
    what: &str,
    expected: &T,
    found: &T,
) {
    if expected != found {
        lines.push(format!("{at}: {what} should be {expected:?}, is {found:?}"));
    }
}

fn list<T>(
    keys: &mut Keys<'_>,
    key: &str,
    at: &str,
    read: impl Fn(&Value, &str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let values = keys.need(key)?;
    let values = values.as_array().ok_or_else(|| format!("{at}: {key} is not a list"))?;
    values.iter().enumerate().map(|(i, v)| read(v, &format!("{at}.{key}[{i}]"))).collect()
}
