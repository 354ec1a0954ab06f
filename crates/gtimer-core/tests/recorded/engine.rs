//! The timer as a [`Machine`].
//!
//! Where the recorded package differs from what it documents, and the timer does what is
//! documented, the one who replays its runs has to play its part:
//!
//! - its loops and `subdivide` keep the defaults that were set when the package was imported, so
//!   `set_default` does not reach them (see [`Engine::recorded`]);
//! - a loop whose pass cannot be ended stays open, because nothing closes it there;
//! - an attach that merges into a worker which awaits already takes the subdivisions out of the
//!   caller's copy;
//! - a backdate that is a whole number is a `TypeError`, which Rust's types rule out.

use std::ops::ControlFlow;

use gtimer_core::{
    FakeClock, Loop, LoopOptions, Moment, Name, Settings, StampOptions, SubdivideOptions, Timer,
    TimerError, Times,
};

use super::driver::{Answer, Machine};
use super::program::{Backdate, Entry, LoopSpec, Setting, StampArgs};
use super::tree::{Stamp, Tree};

/// The timer and its clock.
#[derive(Debug)]
pub(crate) struct Engine {
    timer: Timer<FakeClock>,
    clock: FakeClock,
    /// The defaults of loops and subdivisions, where they are not the timer's.
    at_import: Option<Settings>,
}

impl Engine {
    /// A timer that does what is documented.
    pub(crate) fn new() -> Self {
        let clock = FakeClock::new();
        Self { timer: Timer::with_clock("root", clock.clone()), clock, at_import: None }
    }

    /// A timer that is used as the recorded package uses its own.
    pub(crate) fn recorded() -> Self {
        Self { at_import: Some(Settings::default()), ..Self::new() }
    }

    /// The moment of a backdate. What is no float becomes a moment that is always refused.
    fn moment(&self, backdate: Option<Backdate>) -> Option<Moment> {
        backdate.map(|b| self.timer.moment_at(if b.is_float { b.seconds } else { f64::NAN }))
    }

    fn options(&self, args: StampArgs) -> StampOptions {
        StampOptions {
            unique: args.unique,
            keep_subdivisions: args.keep,
            quick_print: args.quick_print,
            backdate: self.moment(args.backdate),
        }
    }

    fn answer(&self, result: Result<Moment, TimerError>, args: Option<Backdate>) -> Answer {
        match result {
            Ok(moment) => Ok(Some(self.timer.seconds(moment))),
            Err(TimerError::Backdate { .. }) if args.is_some_and(|b| !b.is_float) => {
                Err("TypeError")
            }
            Err(e) => Err(e.kind()),
        }
    }

    /// The answer of a call that a root refuses to backdate before it looks at the type.
    fn root_first(&self, result: Result<Moment, TimerError>, args: Option<Backdate>) -> Answer {
        let args = args.filter(|_| self.timer.depth() > 0);
        self.answer(result, args)
    }

    fn save_itrs(&self, asked: Option<bool>) -> Option<bool> {
        asked.or(self.at_import.map(|settings| settings.save_itrs))
    }

    fn loop_options(&self, spec: &LoopSpec) -> LoopOptions {
        LoopOptions {
            name: spec.name.as_ref().map(Name::from),
            registered: spec.rgstr_stamps.iter().map(Name::from).collect(),
            save_itrs: self.save_itrs(spec.save_itrs),
            end_stamp: spec.end_stamp.as_ref().map(Name::from),
            end_stamp_unique: self.at_import.map(|settings| settings.unique),
            keep_prev_subdivisions: self.at_import.map(|settings| settings.keep_subdivisions),
            keep_end_subdivisions: self.at_import.map(|settings| settings.keep_subdivisions),
            quick_print: Some(false),
        }
    }

    /// A loop that stays open where a pass cannot be ended.
    fn unguarded_loop(
        &mut self,
        spec: &LoopSpec,
        options: LoopOptions,
        n: usize,
        body: &mut dyn FnMut(&mut Self, usize),
    ) -> Result<(), TimerError> {
        let mut timed = Loop::new(options);
        if spec.is_for {
            self.timer.loop_enter(&mut timed)?;
        }
        for pass in 0..n {
            self.timer.loop_next(&mut timed)?;
            body(self, pass);
        }
        self.timer.loop_exit(&mut timed)
    }

    /// Takes the timer out for guards that borrow it.
    fn guarded<T>(&mut self, body: impl FnOnce(&mut Self, &mut Timer<FakeClock>) -> T) -> T {
        let stand_in = Timer::with_clock("stand-in", self.clock.clone());
        let mut timer = std::mem::replace(&mut self.timer, stand_in);
        let result = body(self, &mut timer);
        self.timer = timer;
        result
    }

    /// Runs a body on a timer that a guard has borrowed.
    fn lend(&mut self, timer: &mut Timer<FakeClock>, body: &mut dyn FnMut(&mut Self)) {
        std::mem::swap(&mut self.timer, timer);
        body(self);
        std::mem::swap(&mut self.timer, timer);
    }
}

fn nothing(result: Result<(), TimerError>) -> Answer {
    result.map(|()| None).map_err(|e| e.kind())
}

fn entry_options(entry: &Entry, save_itrs: Option<bool>) -> SubdivideOptions {
    SubdivideOptions { registered: entry.rgstr_stamps.iter().map(Name::from).collect(), save_itrs }
}

impl Machine for Engine {
    type Saved = Times;

    fn advance(&mut self, by: f64) {
        self.clock.advance(by);
    }

    fn start(&mut self, backdate: Option<Backdate>) -> Answer {
        let result = match self.moment(backdate) {
            None => self.timer.start(),
            Some(moment) => self.timer.start_at(moment),
        };
        self.root_first(result, backdate)
    }

    fn stamp(&mut self, name: &str, args: StampArgs) -> Answer {
        let result = if args == StampArgs::default() {
            self.timer.stamp(name)
        } else {
            self.timer.stamp_with(name, self.options(args))
        };
        self.answer(result, args.backdate)
    }

    fn stop(&mut self, name: Option<&str>, args: StampArgs) -> Answer {
        let options = self.options(args);
        let result = match name {
            None => self.timer.stop_with(options),
            Some(name) => self.timer.stop_stamp(name, options),
        };
        self.root_first(result, args.backdate)
    }

    fn blank_stamp(&mut self, args: StampArgs) -> Answer {
        // The recorded package takes a moment here, as `stamp` does, and does nothing with it.
        let args = StampArgs { backdate: None, ..args };
        let result = self.timer.blank_stamp(self.options(args));
        self.answer(result, None)
    }

    fn pause(&mut self) -> Answer {
        let result = self.timer.pause();
        self.answer(result, None)
    }

    fn resume(&mut self) -> Answer {
        let result = self.timer.resume();
        self.answer(result, None)
    }

    fn reset(&mut self) -> Answer {
        let result = self.timer.reset();
        self.answer(result, None)
    }

    fn reset_root(&mut self) -> Answer {
        let moment = self.timer.reset_root();
        self.answer(Ok(moment), None)
    }

    fn current_time(&mut self) -> Answer {
        self.answer(Ok(self.timer.current_time()), None)
    }

    fn subdivide(&mut self, entry: &Entry) -> Answer {
        let options = entry_options(entry, self.save_itrs(entry.save_itrs));
        self.timer.subdivide_with(entry.name.as_str(), options);
        Ok(None)
    }

    fn end_subdivision(&mut self) -> Answer {
        nothing(self.timer.end_subdivision())
    }

    fn call(&mut self, entry: &Entry, body: &mut dyn FnMut(&mut Self)) -> Answer {
        let options = entry_options(entry, entry.save_itrs);
        self.guarded(|engine, timer| {
            let mut scope = timer.scope_with(entry.name.as_str(), options);
            engine.lend(&mut scope, body);
        });
        Ok(None)
    }

    fn timed_loop(&mut self, spec: &LoopSpec, body: &mut dyn FnMut(&mut Self, usize)) -> Answer {
        let options = self.loop_options(spec);
        let n = spec.break_after.unwrap_or(usize::MAX).min(spec.iterations.len());
        if self.at_import.is_some() {
            return nothing(self.unguarded_loop(spec, options, n, body));
        }
        let result = self.guarded(|engine, timer| {
            if spec.is_for {
                return timer.timed_for(0..spec.iterations.len(), options, |timer, pass| {
                    engine.lend(timer, &mut |engine| body(engine, pass));
                    Ok(if pass + 1 == n {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    })
                });
            }
            let mut timed = timer.timed_loop(options);
            for pass in 0..n {
                timed.next_pass()?;
                engine.lend(&mut timed, &mut |engine| body(engine, pass));
            }
            timed.exit()
        });
        nothing(result)
    }

    fn rename_root(&mut self, name: &str) -> Answer {
        self.timer.rename_root(name);
        Ok(None)
    }

    fn rgstr_stamps_root(&mut self, names: &[String]) -> Answer {
        self.timer.register_root(names);
        Ok(None)
    }

    fn set_save_itrs_root(&mut self, value: bool) -> Answer {
        self.timer.set_save_itrs_root(value);
        Ok(None)
    }

    fn set_default(&mut self, setting: Setting, value: bool) -> Answer {
        let mut settings = self.timer.settings();
        match setting {
            Setting::Unique => settings.unique = value,
            Setting::KeepSubdivisions => settings.keep_subdivisions = value,
            Setting::SaveItrs => settings.save_itrs = value,
            Setting::QuickPrint => settings.quick_print = value,
        }
        self.timer.set_settings(settings);
        Ok(None)
    }

    fn times(&mut self) -> Times {
        self.timer.times()
    }

    fn attach_par(&mut self, group: &str, times: &mut [Times]) -> Answer {
        let merges: Vec<bool> =
            times.iter().map(|times| self.timer.awaits_in(group, &times.name)).collect();
        let result = self.timer.attach_par_subdivision(group, times);
        if result.is_ok() {
            times.iter_mut().zip(merges).filter(|(_, merges)| *merges).for_each(|(t, _)| take(t));
        }
        nothing(result)
    }

    fn attach(&mut self, times: &mut Times) -> Answer {
        let merges = self.timer.awaits(times.name.as_str());
        let result = self.timer.attach_subdivision(times);
        if result.is_ok() && merges {
            take(times);
        }
        nothing(result)
    }

    fn tree(times: &Times) -> Tree {
        let trees = |all: &[Times]| all.iter().map(Self::tree).collect::<Vec<_>>();
        Tree {
            name: times.name.clone(),
            position: times.position.clone(),
            total: times.total,
            stamps_sum: times.stamps_sum,
            self_agg: times.self_agg,
            stamps: times
                .stamps
                .iter()
                .map(|stamp| Stamp {
                    name: stamp.name.clone(),
                    cum: stamp.cum,
                    itr_num: stamp.itr_num,
                    itr_max: stamp.itr_max,
                    itr_min: stamp.itr_min,
                    itrs: stamp.itrs.clone(),
                })
                .collect(),
            subdivisions: times
                .subdivisions
                .iter()
                .map(|at| (at.position.clone(), trees(&at.timers)))
                .collect(),
            parallel: times
                .parallel
                .iter()
                .map(|group| (group.position.clone(), group.group.clone(), trees(&group.workers)))
                .collect(),
        }
    }
}

/// What gtimer's merge leaves of the caller's copy.
fn take(times: &mut Times) {
    times.subdivisions.clear();
    times.parallel.clear();
}
