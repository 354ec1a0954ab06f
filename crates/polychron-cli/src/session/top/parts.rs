//! One tree over the threads of all processes.

use std::collections::HashMap;
use std::time::Instant;

use gtimer_core::{StampTimes, Times};

use crate::session::Lane;
use crate::session::report::kind;

/// A line of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// What names it among all.
    pub(crate) key: String,
    /// Timers in parentheses, stamps without.
    pub(crate) name: String,
    pub(crate) depth: usize,
    /// The first line that is not below it.
    pub(crate) end: usize,
    /// Over all threads, in s.
    pub(crate) total: f64,
    /// `total` by that of all roots.
    pub(crate) share: f64,
    /// Of the threads that have it, in s.
    pub(crate) mean: f64,
    /// Of the thread that has the most, in s.
    pub(crate) max: f64,
    pub(crate) n_lanes: usize,
    /// How often, of a stamp.
    pub(crate) calls: Option<u64>,
    /// Calls in a s, since the last look.
    pub(crate) rate: Option<f64>,
    /// Threads that were in it on average, since the last look.
    pub(crate) busy: Option<f64>,
    /// Threads of which it is the innermost timer now.
    pub(crate) here: usize,
}

impl Part {
    /// `max / mean - 1`: how much longer the last one takes than they do on average.
    pub(crate) fn imbalance(&self) -> f64 {
        if self.mean > 0.0 { self.max / self.mean - 1.0 } else { 0.0 }
    }
}

/// In which order siblings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// The longest first
    Time,
    /// The busiest since the last look first
    Busy,
    /// The most uneven first
    Imbalance,
    /// By name
    Name,
    /// As first used
    #[value(name = "order")]
    FirstUse,
}

impl Order {
    pub(crate) const ALL: [Self; 5] =
        [Self::Time, Self::Busy, Self::Imbalance, Self::Name, Self::FirstUse];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Busy => "busy",
            Self::Imbalance => "imbalance",
            Self::Name => "name",
            Self::FirstUse => "order",
        }
    }

    pub(crate) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|&order| order == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

#[derive(Debug, Default)]
struct Node {
    name: String,
    is_timer: bool,
    /// By lane, in s.
    times: HashMap<usize, f64>,
    calls: Option<u64>,
    here: usize,
    below: Vec<Self>,
}

/// Merges trees, and remembers them for the rates of the next time.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    last: Option<Instant>,
    totals: HashMap<String, (f64, u64)>,
}

impl Merger {
    /// The tree of these threads, `now`.
    pub(crate) fn merge(&mut self, lanes: &[Lane], order: Order, now: Instant) -> Vec<Part> {
        let mut roots = Vec::new();
        for (lane, Lane { times, current, .. }) in lanes.iter().enumerate() {
            let path = current.as_ref().map_or(&[][..], |current| &current.path);
            let path = path.split_first().map_or(&[][..], |(_, rest)| rest);
            let is_here = current.is_some();
            let name = kind(&times.name);
            let name = if name.is_empty() { &times.name } else { name };
            add_timer(&mut roots, lane, name, times, is_here.then_some(path));
        }
        let all: f64 = roots.iter().flat_map(|root| root.times.values()).sum();
        let passed_s = self.last.map(|last| now.duration_since(last).as_secs_f64());
        let passed_s = passed_s.filter(|&passed_s| passed_s > 0.0);
        let mut parts = Vec::new();
        for root in roots {
            flatten(&mut parts, root, "", 0);
        }
        for part in &mut parts {
            part.share = if all > 0.0 { part.total / all } else { 0.0 };
            if let Some(passed_s) = passed_s {
                let (total, calls) = self.totals.get(&part.key).copied().unwrap_or_default();
                part.busy = Some(((part.total - total) / passed_s).max(0.0));
                part.rate = part.calls.map(|now| now.saturating_sub(calls) as f64 / passed_s);
            }
        }
        self.last = Some(now);
        self.totals = parts
            .iter()
            .map(|part| (part.key.clone(), (part.total, part.calls.unwrap_or(0))))
            .collect();
        sorted(&parts, order)
    }
}

fn node<'a>(siblings: &'a mut Vec<Node>, name: &str, is_timer: bool) -> &'a mut Node {
    let at = siblings.iter().position(|node| node.name == name && node.is_timer == is_timer);
    let at = at.unwrap_or_else(|| {
        siblings.push(Node { name: name.to_owned(), is_timer, ..Node::default() });
        siblings.len() - 1
    });
    &mut siblings[at]
}

/// `path` are the timers further in that the thread is in, if it is in this one at all.
fn add_timer(
    siblings: &mut Vec<Node>,
    lane: usize,
    name: &str,
    times: &Times,
    path: Option<&[String]>,
) {
    let timer = node(siblings, name, true);
    *timer.times.entry(lane).or_default() += times.total;
    if path.is_some_and(<[String]>::is_empty) {
        timer.here += 1;
    }
    for StampTimes { name, cum, itr_num, .. } in &times.stamps {
        let stamp = node(&mut timer.below, name, false);
        *stamp.times.entry(lane).or_default() += cum;
        stamp.calls = Some(stamp.calls.unwrap_or(0) + itr_num);
    }
    for at in &times.subdivisions {
        let is_stamp = times.stamps.iter().any(|stamp| stamp.name == at.position);
        // What no stamp took, or not yet, stands among the stamps.
        let siblings = match is_stamp {
            true => &mut node(&mut timer.below, &at.position, false).below,
            false => &mut timer.below,
        };
        for below in &at.timers {
            let path = path.and_then(|path| path.split_first());
            // One of the same name may have ended and be part of a stamp.
            let is_open = below.running || !is_stamp;
            let path = path.filter(|(first, _)| is_open && **first == below.name);
            add_timer(siblings, lane, &below.name, below, path.map(|(_, rest)| rest));
        }
    }
}

fn flatten(parts: &mut Vec<Part>, node: Node, above: &str, depth: usize) {
    let Node { name, is_timer, times, calls, here, below } = node;
    let name = if is_timer { format!("({name})") } else { name };
    let key = format!("{above}/{name}");
    let total: f64 = times.values().sum();
    let n_lanes = times.len();
    let at = parts.len();
    parts.push(Part {
        key: key.clone(),
        name,
        depth,
        end: 0,
        total,
        share: 0.0,
        mean: total / n_lanes.max(1) as f64,
        max: times.into_values().fold(0.0, f64::max),
        n_lanes,
        calls,
        rate: None,
        busy: None,
        here,
    });
    for below in below {
        flatten(parts, below, &key, depth + 1);
    }
    parts[at].end = parts.len();
}

pub(super) fn sorted(parts: &[Part], order: Order) -> Vec<Part> {
    let mut out = Vec::with_capacity(parts.len());
    sort_into(&mut out, parts, 0, parts.len(), order);
    out
}

fn sort_into(out: &mut Vec<Part>, parts: &[Part], from: usize, to: usize, order: Order) {
    let mut siblings = Vec::new();
    let mut at = from;
    while at < to {
        siblings.push(at);
        at = parts[at].end;
    }
    let by = |value: fn(&Part) -> f64| {
        move |a: &usize, b: &usize| value(&parts[*b]).total_cmp(&value(&parts[*a]))
    };
    match order {
        Order::Time => siblings.sort_by(by(|part| part.total)),
        Order::Busy => siblings.sort_by(by(|part| part.busy.unwrap_or(0.0))),
        Order::Imbalance => siblings.sort_by(by(Part::imbalance)),
        Order::Name => siblings.sort_by(|&a, &b| parts[a].name.cmp(&parts[b].name)),
        Order::FirstUse => {}
    }
    for at in siblings {
        let place = out.len();
        out.push(parts[at].clone());
        sort_into(out, parts, at + 1, parts[at].end, order);
        out[place].end = out.len();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use gtimer_core::{Subdivisions, UNASSIGNED};
    use polychron::shm_times::Current;

    use super::*;

    fn worker(n: u32, kernel: f64, calls: u64) -> Lane {
        let inner = Times {
            name: "integration".to_owned(),
            total: kernel,
            running: true,
            stamps: vec![StampTimes {
                name: "kernel".to_owned(),
                cum: kernel,
                itr_num: calls,
                ..StampTimes::default()
            }],
            ..Times::default()
        };
        let times = Times {
            name: format!("worker {n}"),
            total: kernel,
            running: true,
            subdivisions: vec![Subdivisions {
                position: UNASSIGNED.to_owned(),
                timers: vec![inner],
            }],
            ..Times::default()
        };
        let path = vec![times.name.clone(), "integration".to_owned()];
        let current = Some(Current { path, since: SystemTime::UNIX_EPOCH, for_s: 0.5 });
        Lane {
            name: format!("lane {n}"),
            process: None,
            is_main: false,
            start_s: 0.0,
            current,
            state: None,
            times,
        }
    }

    #[test]
    fn workers_are_one_part_with_their_spread_and_their_rate() {
        let mut merger = Merger::default();
        let start = Instant::now();
        let lanes = [worker(1, 1.0, 10), worker(2, 3.0, 30)];
        let parts = merger.merge(&lanes, Order::Time, start);
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["(worker)", "(integration)", "kernel"]);
        let kernel = &parts[2];
        assert_eq!((kernel.total, kernel.mean, kernel.max, kernel.n_lanes), (4.0, 2.0, 3.0, 2));
        assert_eq!((kernel.imbalance(), kernel.share, kernel.calls), (0.5, 1.0, Some(40)));
        assert_eq!((parts[0].here, parts[1].here, kernel.rate), (0, 2, None));

        let lanes = [worker(1, 2.0, 20), worker(2, 4.0, 50)];
        let parts = merger.merge(&lanes, Order::Time, start + Duration::from_secs(2));
        assert_eq!((parts[2].rate, parts[2].busy), (Some(15.0), Some(1.0)));
    }

    #[test]
    fn siblings_are_sorted_with_all_that_is_below_them() {
        let part = |name: &str, depth, end, total| Part {
            key: name.to_owned(),
            name: name.to_owned(),
            depth,
            end,
            total,
            share: 0.0,
            mean: total,
            max: total,
            n_lanes: 1,
            calls: None,
            rate: None,
            busy: None,
            here: 0,
        };
        let parts = vec![
            part("b", 0, 2, 1.0),
            part("b1", 1, 2, 1.0),
            part("a", 0, 4, 2.0),
            part("a1", 1, 4, 1.0),
        ];
        let names = |order| -> Vec<(String, usize)> {
            sorted(&parts, order).into_iter().map(|part| (part.name, part.end)).collect()
        };
        let want = |all: [(&str, usize); 4]| all.map(|(name, end)| (name.to_owned(), end)).to_vec();
        assert_eq!(names(Order::Time), want([("a", 2), ("a1", 2), ("b", 4), ("b1", 4)]));
        assert_eq!(names(Order::FirstUse), want([("b", 2), ("b1", 2), ("a", 4), ("a1", 4)]));
    }
}
