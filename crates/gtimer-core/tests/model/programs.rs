//! Random programs of operations, made from a list of numbers so that they shrink well.

use crate::recorded::program::{Backdate, Entry, LoopSpec, Op, Setting, StampArgs, Step};

/// Few names, so that they collide, and some that are both stamps and timers.
const STAMPS: [&str; 6] = ["a", "b", "c", "d", "f", "l"];
const TIMERS: [&str; 4] = ["f", "g", "h", "a"];
const LOOPS: [&str; 4] = ["l", "m", "n", "b"];
const SAVED: [&str; 3] = ["x", "y", "z"];
const GROUPS: [&str; 2] = ["workers", "others"];

/// How deep timers and loops lie in one another at most.
const DEPTH: usize = 7;

/// Makes the program that a list of choices stands for.
pub(crate) fn program(choices: &[u32]) -> Vec<Step> {
    let mut source = Source { choices, at: 0, now: 0.0, saved: 0 };
    source.steps(0, usize::MAX)
}

struct Source<'a> {
    choices: &'a [u32],
    at: usize,
    /// The clock where nothing was refused; for backdates that are sometimes right.
    now: f64,
    /// How many names of `SAVED` are in use.
    saved: usize,
}

impl Source<'_> {
    fn is_empty(&self) -> bool {
        self.at >= self.choices.len()
    }

    /// A number below `n`; zero, the simplest, when the choices are used up.
    fn below(&mut self, n: u32) -> u32 {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        choice % n
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }

    fn of<'a>(&mut self, names: &[&'a str]) -> &'a str {
        names[self.below(names.len() as u32) as usize]
    }

    fn steps(&mut self, depth: usize, most: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        while steps.len() < most && !self.is_empty() {
            let op = self.op(depth);
            steps.push(Step::from(op));
        }
        steps
    }

    fn op(&mut self, depth: usize) -> Op {
        let compound = depth < DEPTH;
        match self.below(100) {
            0..22 => {
                let by = f64::from(self.below(32)) / 8.0;
                self.now += by;
                Op::Advance(by)
            }
            22..48 => Op::Stamp(self.of(&STAMPS).to_owned(), self.stamp_args()),
            48..58 if compound => {
                let entry = self.entry();
                let most = self.below(9) as usize;
                Op::Call(entry, self.steps(depth + 1, most))
            }
            58..68 if compound => Op::Loop(self.timed_loop(depth)),
            68..73 => Op::Subdivide(self.entry()),
            73..78 => Op::EndSubdivision,
            78..80 => Op::Pause,
            80..83 => Op::Resume,
            83 => {
                let name = self.one_in(2).then(|| self.of(&STAMPS).to_owned());
                Op::Stop(name, self.stamp_args())
            }
            84..86 => Op::BlankStamp(None, self.stamp_args()),
            86 => Op::Start(self.backdate()),
            87 => Op::Reset,
            88 => {
                if self.one_in(3) {
                    Op::ResetRoot
                } else {
                    Op::CurrentTime
                }
            }
            89 => Op::SetDefault(self.setting(), self.one_in(2)),
            90 => match self.below(3) {
                0 => Op::RenameRoot(self.of(&TIMERS).to_owned()),
                1 => Op::RgstrStampsRoot(self.registered()),
                _ => Op::SetSaveItrsRoot(self.one_in(2)),
            },
            91..94 => {
                let at = self.below(SAVED.len() as u32) as usize;
                self.saved = self.saved.max(at + 1);
                // All names up to this one are in use from here on.
                Op::SaveTimes(SAVED[at].to_owned())
            }
            94..96 => Op::Snapshot(format!("at {}", self.at)),
            96..98 if self.saved > 0 => Op::Attach(self.of(&SAVED[..self.saved]).to_owned()),
            98..100 if self.saved > 0 => {
                let n = 1 + self.below(2);
                let times = (0..n).map(|_| self.of(&SAVED[..self.saved]).to_owned()).collect();
                Op::AttachPar(self.of(&GROUPS).to_owned(), times)
            }
            _ => Op::CurrentTime,
        }
    }

    fn timed_loop(&mut self, depth: usize) -> LoopSpec {
        let n = self.below(4);
        let mut spec = LoopSpec {
            is_for: self.one_in(2),
            name: (self.below(3) > 0).then(|| self.of(&LOOPS).to_owned()),
            rgstr_stamps: self.registered(),
            save_itrs: self.flag(),
            end_stamp: self.one_in(4).then(|| self.of(&STAMPS).to_owned()),
            ..LoopSpec::default()
        };
        for _ in 0..n {
            let most = self.below(7) as usize;
            spec.iterations.push(self.steps(depth + 1, most));
        }
        // gtimer's loops tell a break by the number of the pass, which begins at one.
        if n > 0 && self.one_in(4) {
            spec.break_after = Some(1 + self.below(n) as usize);
        }
        spec
    }

    fn entry(&mut self) -> Entry {
        Entry {
            name: self.of(&TIMERS).to_owned(),
            rgstr_stamps: self.registered(),
            save_itrs: self.flag(),
        }
    }

    fn registered(&mut self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.one_in(4) {
            for _ in 0..=self.below(2) {
                let name = self.of(&STAMPS);
                if !names.iter().any(|other| other == name) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    fn flag(&mut self) -> Option<bool> {
        match self.below(6) {
            0..4 => None,
            4 => Some(true),
            _ => Some(false),
        }
    }

    fn stamp_args(&mut self) -> StampArgs {
        StampArgs {
            backdate: self.backdate(),
            unique: match self.below(4) {
                0 => None,
                1 => Some(true),
                _ => Some(false),
            },
            keep: self.flag(),
            quick_print: None,
        }
    }

    fn backdate(&mut self) -> Option<Backdate> {
        if !self.one_in(6) {
            return None;
        }
        let seconds = self.now - f64::from(self.below(20)) / 8.0 + 0.25;
        Some(Backdate { seconds, is_float: !self.one_in(10) })
    }

    fn setting(&mut self) -> Setting {
        match self.below(3) {
            0 => Setting::Unique,
            1 => Setting::KeepSubdivisions,
            _ => Setting::SaveItrs,
        }
    }
}
