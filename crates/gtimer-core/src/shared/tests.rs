//! What others see, kept in memory.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use super::*;
use crate::publish::{MarkedLatch, Place};
use crate::{FakeClock, LoopOptions, Settings, StampOptions};

#[derive(Debug)]
struct Told {
    kind: NodeKind,
    name: String,
    parent: Option<u32>,
    position: Position,
    latch: MarkedLatch<'static>,
}

/// What others see, in memory.
#[derive(Debug, Clone)]
struct Board {
    nodes: Arc<Mutex<Vec<Told>>>,
    armed: &'static AtomicU32,
    current: MarkedLatch<'static>,
    child: Option<Box<Board>>,
}

fn latch() -> MarkedLatch<'static> {
    MarkedLatch::new(Box::leak(Box::default()), Box::leak(Box::default()))
}

impl Board {
    fn new() -> Self {
        let armed = Box::leak(Box::new(AtomicU32::new(1)));
        Self { nodes: Arc::default(), armed, current: latch(), child: None }
    }

    fn len(&self) -> usize {
        self.nodes.lock().expect("nobody panicked").len()
    }

    /// Sum, count and position of every node that counts, by path.
    fn lines(&self) -> Vec<String> {
        let nodes = self.nodes.lock().expect("nobody panicked");
        let mut lines = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let values = node.latch.read().expect("nobody writes");
            let (mut path, mut up) = (String::new(), Some(at));
            let mut counts = values.num > 0;
            while let Some(at) = up {
                let node = &nodes[at];
                counts &= node.position != Position::Free;
                let position = match node.position {
                    Position::Stamp(stamp) => format!("@{}", nodes[stamp as usize].name),
                    Position::Unassigned => "@-".to_owned(),
                    _ => String::new(),
                };
                path = format!("/{}{position}{path}", node.name);
                up = node.parent.map(|up| up as usize);
            }
            if counts {
                let seconds = values.ticks as f64 / FakeClock::TICKS_PER_SECOND;
                lines.push(format!("{:?} {path} {seconds} {}", node.kind, values.num));
            }
        }
        lines.sort();
        lines
    }
}

impl Publisher for Board {
    fn armed(&self) -> &'static AtomicU32 {
        self.armed
    }

    fn forked(&mut self) -> Option<Box<dyn Publisher>> {
        self.child.take().map(|child| child as Box<dyn Publisher>)
    }

    fn add(&mut self, kind: NodeKind, name: &str, parent: Option<u32>) -> Option<Place> {
        let mut nodes = self.nodes.lock().expect("nobody panicked");
        let (name, latch) = (name.to_owned(), latch());
        nodes.push(Told { kind, name, parent, position: Position::Awaiting, latch });
        Some(Place { node: nodes.len() as u32 - 1, latch })
    }

    fn rename(&mut self, node: u32, name: &str) {
        self.nodes.lock().expect("nobody panicked")[node as usize].name = name.to_owned();
    }

    fn set_position(&mut self, node: u32, position: Position) {
        self.nodes.lock().expect("nobody panicked")[node as usize].position = position;
    }

    fn begin_merge(&mut self, from: u32, _into: u32) -> u64 {
        self.current.publish(Values { num: u64::from(from), ..Values::default() });
        1
    }

    fn end_merge(&mut self) {
        let from = self.current.read().expect("nobody writes").num;
        self.set_position(from as u32, Position::Free);
    }

    fn current(&self) -> MarkedLatch<'static> {
        latch()
    }

    fn set_clock(&mut self, _ticks_per_second: f64, _ticks_now: u64) {}
}

fn told() -> (Timer<FakeClock>, FakeClock, Board) {
    let clock = FakeClock::new();
    let mut timer = Timer::with_clock("main", clock.clone());
    timer.set_settings(Settings { unique: false, ..Settings::default() });
    let board = Board::new();
    timer.publish_to(Box::new(board.clone()));
    (timer, clock, board)
}

fn pass(timer: &mut Timer<FakeClock>, clock: &FakeClock) {
    timer.wrap("f", |timer| {
        timer.wrap("g", |timer| {
            clock.advance(1.0);
            timer.stamp("b").expect("it runs");
        });
        timer.stamp("a").expect("it runs");
    });
    clock.advance(0.5);
    timer.stamp("s").expect("it runs");
}

#[test]
fn others_see_what_the_timer_sees() {
    let (mut timer, clock, board) = told();
    for _ in 0..3 {
        pass(&mut timer, &clock);
    }
    let stamp = |timer: &mut Timer<FakeClock>, name| timer.stamp(name).map(drop);
    timer.wrap("dropped", |timer| stamp(timer, "x")).expect("it runs");
    let drop = StampOptions { keep_subdivisions: Some(false), ..StampOptions::ADD };
    timer.stamp_with("s", drop).expect("it runs");
    timer
        .timed_for(0..2, LoopOptions::named("l"), |timer, _| {
            clock.advance(0.25);
            stamp(timer, "push")?;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .expect("it runs");
    timer.stop().expect("it runs");
    let expected = [
        "Loop /main/l@l 0.5 1",
        "Root /main 5 1",
        "Stamp /main/f@s/a 3 3",
        "Stamp /main/f@s/g@a/b 3 3",
        "Stamp /main/l 0.5 2",
        "Stamp /main/l@l/push 0.5 2",
        "Stamp /main/s 4.5 1",
        "Subdivision /main/f@s 3 3",
        "Subdivision /main/f@s/g@a 3 3",
    ];
    assert_eq!(board.lines(), expected);
    let f = &timer.times().subdivisions[0].timers[0];
    assert_eq!((f.total, f.stamps[0].itr_num), (3.0, 3));
}

#[test]
fn a_loop_without_end_makes_a_bounded_number_of_nodes() {
    let (mut timer, clock, board) = told();
    for _ in 0..3 {
        pass(&mut timer, &clock);
    }
    let n_nodes = board.len();
    for _ in 0..500 {
        pass(&mut timer, &clock);
    }
    assert_eq!(board.len(), n_nodes);
}

#[test]
fn a_forked_child_begins_anew_with_what_is_open() {
    let clock = FakeClock::new();
    let mut timer = Timer::with_clock("main", clock.clone());
    let (mut board, child) = (Board::new(), Board::new());
    board.child = Some(Box::new(child.clone()));
    timer.publish_to(Box::new(board.clone()));
    clock.advance(1.0);
    timer.stamp("before").expect("it runs");
    timer.subdivide("solve");
    clock.advance(2.0);
    timer.stamp("half").expect("it runs");
    let parent = board.lines();
    board.armed.store(0, Ordering::Relaxed);
    // The first call after the fork finds out.
    timer.pause().expect("it runs");
    timer.resume().expect("it is paused");
    clock.advance(0.5);
    timer.stamp("rest").expect("it runs");
    timer.end_subdivision().expect("it is open");
    timer.stamp("after").expect("it runs");
    assert_eq!(board.lines(), parent, "nothing more is written where the parent writes");
    let times = timer.times();
    assert_eq!((times.total, times.stamps.len()), (0.5, 1));
    assert_eq!(times.subdivisions[0].timers[0].stamps[0].cum, 0.5);
    assert!(child.lines().contains(&"Stamp /main/solve@after/rest 0.5 1".to_owned()));
}
