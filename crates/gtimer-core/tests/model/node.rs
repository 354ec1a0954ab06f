//! The times of a timer in the model, and how two of one name become one.

use crate::recorded::tree::{Stamp, Tree};

/// The times of a timer, and what gtimer keeps beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(super) name: String,
    pub(super) position: Option<String>,
    pub(super) total: f64,
    pub(super) stamps_sum: f64,
    pub(super) save_itrs: bool,
    pub(super) stamps: Vec<Stamp>,
    pub(super) subdivisions: Vec<(String, Vec<Node>)>,
    pub(super) parallel: Vec<(String, String, Vec<Node>)>,
}

impl Node {
    pub(super) fn at(&mut self, position: &str) -> &mut Vec<Self> {
        let at = self.subdivisions.iter().position(|(other, _)| other == position);
        let at = at.unwrap_or_else(|| {
            self.subdivisions.push((position.to_owned(), Vec::new()));
            self.subdivisions.len() - 1
        });
        &mut self.subdivisions[at].1
    }

    pub(super) fn group(&mut self, position: &str, group: &str) -> &mut Vec<Self> {
        let at = self.parallel.iter().position(|(p, g, _)| p == position && g == group);
        let at = at.unwrap_or_else(|| {
            self.parallel.push((position.to_owned(), group.to_owned(), Vec::new()));
            self.parallel.len() - 1
        });
        &mut self.parallel[at].2
    }

    pub(super) fn merge(&mut self, new: Self) {
        self.total += new.total;
        self.stamps_sum += new.stamps_sum;
        for stamp in new.stamps {
            match self.stamps.iter_mut().find(|old| old.name == stamp.name) {
                Some(old) => merge_stamp(old, &stamp, self.save_itrs),
                None => self.stamps.push(stamp),
            }
        }
        for (position, timers) in new.subdivisions {
            for timer in timers {
                add(self.at(&position), timer, Some(&position));
            }
        }
        for (position, group, workers) in new.parallel {
            for worker in workers {
                add(self.group(&position, &group), worker, Some(&position));
            }
        }
    }

    pub(super) fn tree(&self) -> Tree {
        let trees = |nodes: &[Self]| nodes.iter().map(Self::tree).collect::<Vec<_>>();
        let all = self.subdivisions.iter().filter(|(_, timers)| !timers.is_empty());
        Tree {
            name: self.name.clone(),
            position: self.position.clone(),
            total: self.total,
            stamps_sum: self.stamps_sum,
            self_agg: 0.0,
            stamps: self.stamps.clone(),
            subdivisions: all.map(|(at, timers)| (at.clone(), trees(timers))).collect(),
            parallel: self
                .parallel
                .iter()
                .map(|(at, group, workers)| (at.clone(), group.clone(), trees(workers)))
                .collect(),
        }
    }
}

/// Adds times to a list in which no two have one name.
pub(super) fn add(list: &mut Vec<Node>, mut new: Node, position: Option<&str>) {
    new.position = position.map(str::to_owned);
    match list.iter_mut().find(|old| old.name == new.name) {
        Some(old) => old.merge(new),
        None => list.push(new),
    }
}

pub(super) fn merge_stamp(old: &mut Stamp, new: &Stamp, save_itrs: bool) {
    if save_itrs && new.itr_num == 1 {
        old.itrs.get_or_insert_with(|| vec![old.cum]).push(new.cum);
    }
    if let Some(more) = &new.itrs {
        old.itrs.get_or_insert_default().extend(more);
    }
    old.cum += new.cum;
    old.itr_num += new.itr_num;
    old.itr_max = old.itr_max.max(new.itr_max);
    old.itr_min = old.itr_min.min(new.itr_min);
}
