//! What a timer measured, as plain data.

use serde::{Deserialize, Serialize};

/// The position of times that no stamp took, as gtimer spells it.
pub const UNASSIGNED: &str = "UNASSIGNED";

/// What a timer measured: its stamps, its subdivisions, and the workers that ran beside it.
///
/// All durations are in seconds. The names, sums and counts mean what gtimer's `Times` mean
/// (research of gtimer 1.0.0b5), so that its reports can be written from them letter for letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// The name of the timer.
    pub name: String,
    /// The stamp of the parent that these times belong to; [`UNASSIGNED`] where no stamp took
    /// them, `None` at a root.
    #[serde(default)]
    pub position: Option<String>,
    /// Time between start and stop, without pauses and without the timer's own time, in s.
    pub total: f64,
    /// The sum of all stamps, in s.
    pub stamps_sum: f64,
    /// The timer's own time, here and in everything below, in s.
    pub self_agg: f64,
    /// Whether the timer was still running when these times were taken.
    #[serde(default)]
    pub running: bool,
    /// Whether a stamp that was no iteration becomes one when a further run is merged into these
    /// times.
    #[serde(default = "save_itrs")]
    pub save_itrs: bool,
    /// The stamps, in the order of their first use.
    #[serde(default)]
    pub stamps: Vec<StampTimes>,
    /// The subdivisions, by position, in the order in which the positions were first filled.
    #[serde(default)]
    pub subdivisions: Vec<Subdivisions>,
    /// The groups of parallel workers, by position and group, in the order of first use.
    #[serde(default)]
    pub parallel: Vec<ParallelGroup>,
}

fn save_itrs() -> bool {
    true
}

/// No name and no time; further runs are merged as iterations.
impl Default for Times {
    fn default() -> Self {
        Self {
            name: String::new(),
            position: None,
            total: 0.0,
            stamps_sum: 0.0,
            self_agg: 0.0,
            running: false,
            save_itrs: true,
            stamps: Vec::new(),
            subdivisions: Vec::new(),
            parallel: Vec::new(),
        }
    }
}

/// What was measured under the name of one stamp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StampTimes {
    /// The name of the stamp.
    pub name: String,
    /// The sum of its intervals, in s.
    pub cum: f64,
    /// The number of iterations. Outside a loop a stamp counts as one. Where single iterations are
    /// kept, those of zero length are not counted.
    pub itr_num: u64,
    /// The longest iteration, in s.
    pub itr_max: f64,
    /// The shortest iteration, in s; where iterations are kept, the shortest that is not zero.
    pub itr_min: f64,
    /// The single iterations, where they were kept, in s.
    #[serde(default)]
    pub itrs: Option<Vec<f64>>,
    /// Whether its iterations are passes of a loop; gtimer's statistics have such stamps first.
    #[serde(default)]
    pub in_loop: bool,
}

/// The subdivisions that belong to one stamp of their parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subdivisions {
    /// The stamp of the parent, or [`UNASSIGNED`].
    pub position: String,
    /// The timers, in order; no two have one name.
    pub timers: Vec<Times>,
}

/// Workers that ran side by side during one stamp of their master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParallelGroup {
    /// The stamp of the master, or [`UNASSIGNED`].
    pub position: String,
    /// The name of the group.
    pub group: String,
    /// The workers' times, in order; no two have one name.
    pub workers: Vec<Times>,
}

impl Times {
    /// How many timers lie under one another, this one included: 1 without any below.
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut open = vec![(self, 1)];
        while let Some((times, depth)) = open.pop() {
            deepest = deepest.max(depth);
            open.extend(times.children().map(|child| (child, depth + 1)));
        }
        deepest
    }

    /// The timers right below: subdivisions, then parallel workers, each in order.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let subdivisions = self.subdivisions.iter().flat_map(|at| &at.timers);
        subdivisions.chain(self.parallel.iter().flat_map(|group| &group.workers))
    }
}
