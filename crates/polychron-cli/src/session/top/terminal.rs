//! The live view: draws, listens to keys, and leaves the terminal as it was.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::parts::{Order, Part, sorted};
use super::screen::{LANE_COLUMNS, PART_COLUMNS, header, lane_cells, part_cells};
use super::{Look, Watcher};
use crate::session::visible;

/// How long a signal waits at most.
const PATIENCE: Duration = Duration::from_millis(100);
const HELP: &str = "q quit  s sort  space fold  c fold all  p pause  up/down move";

struct Screen {
    look: Look,
    title: String,
    order: Order,
    folded: HashSet<String>,
    selected: TableState,
    is_paused: bool,
    is_over: bool,
}

/// Puts the terminal back whatever happens; a panic, too, by the hook that `ratatui::init` sets.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Gives the exit code: 128 + n when signal n ended it.
pub(crate) fn run(watcher: &mut Watcher, interval: Duration, order: Order) -> anyhow::Result<u8> {
    ensure!(
        std::io::stdin().is_terminal(),
        "stdin is no terminal, so no key can be read: use --once"
    );
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGHUP, SIGINT, SIGTERM] {
        flag::register_usize(number, Arc::clone(&signal), usize::try_from(number)?)
            .context("could not listen for signals")?;
    }
    let look = watcher.look(order)?;
    let mut screen = Screen {
        look,
        title: watcher.title(),
        order,
        folded: HashSet::new(),
        selected: TableState::default().with_selected(Some(0)),
        is_paused: false,
        is_over: false,
    };
    let mut terminal = ratatui::try_init().context("could not set up the terminal")?;
    let _restore = Restore;
    screen.watch(&mut terminal, watcher, interval, &signal)
}

impl Screen {
    fn watch(
        &mut self,
        terminal: &mut DefaultTerminal,
        watcher: &mut Watcher,
        interval: Duration,
        signal: &AtomicUsize,
    ) -> anyhow::Result<u8> {
        let mut next = Instant::now() + interval;
        loop {
            terminal.draw(|frame| self.draw(frame)).context("could not draw")?;
            loop {
                let caught = signal.load(Ordering::Relaxed);
                if caught != 0 {
                    return Ok(u8::try_from(128 + caught).unwrap_or(u8::MAX));
                }
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    next = Instant::now() + interval;
                    self.renew(watcher)?;
                    break;
                }
                if event::poll(left.min(PATIENCE)).context("could not read keys")? {
                    match event::read().context("could not read keys")? {
                        Event::Key(key) if key.kind != KeyEventKind::Release => {
                            if !self.press(key) {
                                return Ok(0);
                            }
                            break;
                        }
                        Event::Resize(..) => break,
                        _ => {}
                    }
                }
            }
        }
    }

    /// Looks again. What was there last stays to be seen when the session is over.
    fn renew(&mut self, watcher: &mut Watcher) -> anyhow::Result<()> {
        self.is_over = watcher.is_over();
        if !self.is_paused && !self.is_over {
            let look = watcher.look(self.order)?;
            // It may be over just now.
            self.is_over = watcher.is_over();
            if !self.is_over {
                self.look = look;
            }
        }
        Ok(())
    }

    /// Gives whether to go on.
    fn press(&mut self, key: KeyEvent) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let shown = self.shown();
        let at = self.selected.selected().unwrap_or(0).min(shown.len().saturating_sub(1));
        let mut to = at;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') if is_control => return false,
            KeyCode::Up | KeyCode::Char('k') => to = at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => to = at + 1,
            KeyCode::PageUp => to = at.saturating_sub(10),
            KeyCode::PageDown => to = at + 10,
            KeyCode::Home => to = 0,
            KeyCode::End => to = shown.len(),
            KeyCode::Char(' ') | KeyCode::Enter | KeyCode::Left | KeyCode::Right => {
                if let Some(&part) = shown.get(at) {
                    let key = self.look.parts[part].key.clone();
                    if !self.folded.remove(&key) {
                        self.folded.insert(key);
                    }
                }
            }
            KeyCode::Char('c') if self.folded.is_empty() => {
                self.folded = self.look.parts.iter().map(|part| part.key.clone()).collect();
                to = 0;
            }
            KeyCode::Char('c') => self.folded.clear(),
            KeyCode::Char('s') => {
                self.order = self.order.next();
                self.look.parts = sorted(&self.look.parts, self.order);
            }
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            _ => {}
        }
        self.selected.select(Some(to.min(shown.len().saturating_sub(1))));
        true
    }

    /// The parts that no folded one hides.
    fn shown(&self) -> Vec<usize> {
        let parts = &self.look.parts;
        let mut shown = Vec::new();
        let mut at = 0;
        while let Some(part) = parts.get(at) {
            shown.push(at);
            at = if self.folded.contains(&part.key) { part.end } else { at + 1 };
        }
        shown
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let n_lanes = self.look.lanes.len() as u16;
        let most = frame.area().height / 3;
        let lanes_height = n_lanes.saturating_add(1).min(most.max(2));
        let [head, tree, lanes, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(3),
            Constraint::Length(lanes_height),
            Constraint::Length(1),
        ])
        .areas(frame.area());

        let over = if self.is_over { "    the session is over" } else { "" };
        let paused = if self.is_paused { "    paused" } else { "" };
        let states = format!("{}{over}{paused}", header(&self.look.snapshot, &self.look.lanes));
        let lines = vec![Line::styled(visible(&self.title), bold), Line::raw(states)];
        frame.render_widget(Paragraph::new(lines), head);

        let shown = self.shown();
        let rows: Vec<Row<'_>> =
            shown.iter().map(|&at| self.part_row(&self.look.parts[at])).collect();
        let mut widths = vec![Constraint::Min(20)];
        widths.extend([9, 7, 6, 9, 9, 8, 9, 9].map(Constraint::Length));
        let table = Table::new(rows, widths)
            .header(head_row(&PART_COLUMNS, &[0]).style(bold))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, tree, &mut self.selected);

        let rows = self.look.lanes.iter().map(|lane| row(&lane_cells(lane), &[0, 1, 3]));
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(9),
            Constraint::Fill(3),
            Constraint::Length(9),
        ];
        let table =
            Table::new(rows, widths).header(head_row(&LANE_COLUMNS, &[0, 1, 3]).style(bold));
        frame.render_widget(table, lanes);

        let help = format!("{HELP}    sorted by {}", self.order.name());
        let notes = match self.look.snapshot.notes.len() {
            0 => String::new(),
            n => format!("    {n} notes (polychron report tells them)"),
        };
        frame.render_widget(Paragraph::new(help + &notes).style(bold), foot);
    }

    fn part_row(&self, part: &Part) -> Row<'static> {
        let mark = if self.folded.contains(&part.key) { "+ " } else { "" };
        let style = match part.here {
            0 => Style::new(),
            _ => Style::new().add_modifier(Modifier::BOLD),
        };
        row(&part_cells(part, mark), &[0]).style(style)
    }
}

fn head_row(names: &[&str], left: &[usize]) -> Row<'static> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    row(&names, left)
}

fn row(cells: &[String], left: &[usize]) -> Row<'static> {
    let cell = |(at, cell): (usize, &String)| {
        let is_left = left.contains(&at);
        let alignment = if is_left { Alignment::Left } else { Alignment::Right };
        Cell::from(Text::raw(cell.clone()).alignment(alignment))
    };
    Row::new(cells.iter().enumerate().map(cell))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use gtimer_core::{StampTimes, Subdivisions, Times};
    use polychron::shm_times::{Current, ProcessState, Snapshot};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::session::Lane;
    use crate::session::top::parts::Merger;

    fn screen() -> Screen {
        let inner = Times {
            name: "inner".to_owned(),
            total: 1.5,
            running: true,
            stamps: vec![StampTimes {
                name: "kernel".to_owned(),
                cum: 1.25,
                itr_num: 5,
                ..StampTimes::default()
            }],
            ..Times::default()
        };
        let times = Times {
            name: "root\u{1b}[2J".to_owned(),
            total: 2.0,
            running: true,
            subdivisions: vec![Subdivisions { position: "x".to_owned(), timers: vec![inner] }],
            ..Times::default()
        };
        let path = vec![times.name.clone(), "inner".to_owned()];
        let lanes = vec![Lane {
            name: "pid 7, root".to_owned(),
            process: Some(0),
            is_main: true,
            start_s: 0.0,
            current: Some(Current { path, since: SystemTime::UNIX_EPOCH, for_s: 0.25 }),
            state: Some(ProcessState::Running),
            times,
        }];
        let snapshot = Snapshot {
            session: PathBuf::from("/s"),
            taken: SystemTime::UNIX_EPOCH,
            processes: Vec::new(),
            retired: Vec::new(),
            notes: Vec::new(),
        };
        let parts = Merger::default().merge(&lanes, Order::Time, Instant::now());
        Screen {
            look: Look { snapshot, lanes, parts },
            title: "a command".to_owned(),
            order: Order::Time,
            folded: HashSet::new(),
            selected: TableState::default().with_selected(Some(0)),
            is_paused: false,
            is_over: false,
        }
    }

    fn lines(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("is in memory");
        terminal.draw(|frame| screen.draw(frame)).expect("is in memory");
        let text = terminal.backend().to_string();
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    #[test]
    fn the_tree_the_threads_and_the_keys_are_drawn() {
        let mut screen = screen();
        let drawn = lines(&mut screen, 110, 14);
        assert_eq!(drawn[0], "a command");
        assert!(drawn[2].starts_with("part") && drawn[2].ends_with("calls/s"), "{drawn:#?}");
        assert!(drawn[4].starts_with("  (inner) <1>") && drawn[4].contains("75.0%"), "{drawn:#?}");
        assert!(drawn[5].starts_with("    kernel") && drawn[5].contains("1.25 s"), "{drawn:#?}");
        let thread = drawn.iter().find(|line| line.starts_with("pid 7, root")).expect("is drawn");
        assert!(thread.contains("running") && thread.ends_with("250.0 ms"), "{drawn:#?}");
        assert!(drawn[13].starts_with("q quit"), "{drawn:#?}");
        assert!(!drawn.concat().contains('\u{1b}'), "{drawn:#?}");
        // However small the window is.
        for (width, height) in [(1, 1), (5, 3), (20, 2)] {
            lines(&mut screen, width, height);
        }
    }

    #[test]
    fn what_is_folded_hides_what_is_below_and_the_selection_stays_inside() {
        let mut screen = screen();
        let press = |screen: &mut Screen, code| screen.press(KeyEvent::from(code));
        assert!(press(&mut screen, KeyCode::Down));
        assert!(press(&mut screen, KeyCode::Char(' ')));
        assert_eq!(screen.shown(), [0, 1]);
        assert!(press(&mut screen, KeyCode::End));
        assert_eq!(screen.selected.selected(), Some(1));
        assert!(press(&mut screen, KeyCode::Char('c')));
        assert_eq!(screen.shown(), [0, 1, 2]);
        assert!(press(&mut screen, KeyCode::Char('c')));
        assert_eq!((screen.shown(), screen.selected.selected()), (vec![0], Some(0)));
        assert!(press(&mut screen, KeyCode::Char('s')));
        assert_eq!(screen.order, Order::Busy);
        assert!(!press(&mut screen, KeyCode::Char('q')));
    }
}
