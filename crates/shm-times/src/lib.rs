//! Live timing shared between processes through mapped memory.
//!
//! A [`Session`] is a directory on tmpfs that one environment variable, [`SESSION_VARIABLE`], names.
//! Every process that has it set, and this crate linked in, keeps what its timers measure in a file
//! there, mapped into its memory: a stamp costs a few nanoseconds more, no call has another
//! signature, and children inherit it through fork and exec. Whoever may read the directory sees
//! the trees of all processes and threads as they grow, and what was finished when one was killed.
//!
//! ```
//! use gtimer_core::publish::{NodeKind, Values};
//! use shm_times::{Session, publish_in};
//!
//! let session = Session::create()?;
//! // What a timer of gtimer-core does by itself where the variable is set:
//! let mut publisher = publish_in(&session)?;
//! publisher.set_clock(1e9, 0);
//! let root = publisher.add(NodeKind::Root, "root", None).expect("room for a node");
//! let stamp = publisher.add(NodeKind::Stamp, "read", Some(root.node)).expect("room for a node");
//! stamp.latch.publish(Values { ticks: 5, num: 1, min: 5, max: 5, ..Values::default() });
//!
//! let snapshot = session.snapshot()?;
//! assert_eq!(snapshot.processes[0].lanes[0].times.stamps[0].cum, 5e-9);
//! session.end()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How the files look is in `docs/formats.md`; why they can be read whatever happens to their
//! writer, in `src/PROOF.md`.
//!
//! # What this crate leaves to others
//!
//! It measures nothing: see gtimer-core. It draws no tables: the command `polychron` does. It knows
//! one machine; what several measured is brought together by whoever runs them.

#![deny(unsafe_code)]

mod alive;
mod error;
mod histogram;
mod image;
mod label;
mod layout;
mod map;
mod process;
mod publisher;
mod reader;
mod reap;
mod session;
mod snapshot;
mod tree;

use std::io::Write;
use std::sync::OnceLock;

use gtimer_core::publish::{Publisher, set_publisher_factory};

pub use error::SessionError;
pub use histogram::{HISTOGRAMS_VARIABLE, StampHistogram};
pub use image::read_segment;
pub use label::{LABEL_VARIABLE, Label};
pub use reader::Reader;
pub use reap::Reaped;
pub use session::{SESSION_VARIABLE, Session};
pub use snapshot::{
    Current, LaneTimes, Note, NoteKind, ProcessState, ProcessTimes, RetiredTimes, Snapshot,
};

use process::{Once, Process};
use publisher::SharedPublisher;

static HERE: Once = Once::new();

/// Makes the timers of this program share their times, where [`SESSION_VARIABLE`] names a session.
///
/// A program that this crate is linked into does so by itself, before `main`; a call is needed only
/// where the linker was told to leave such things out. It costs nothing until a timer starts, and
/// then only when the variable is set.
///
/// Gives `false` when somebody else publishes the timers already.
pub fn activate() -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| {
        set_publisher_factory(|| {
            SharedPublisher::new(here()?).map(|publisher| Box::new(publisher) as Box<dyn Publisher>)
        })
    })
}

/// A publisher for this thread in a session of one's choice, not the one of the variable. Every
/// call with a session is one more process in it, so this is for tests and for programs that write
/// down what they measured elsewhere.
///
/// # Errors
///
/// [`SessionError`] when there is no room in the session, or it is not in memory.
pub fn publish_in(session: &Session) -> Result<Box<dyn Publisher>, SessionError> {
    publish_with(session, histogram::are_asked_for())
}

/// The same with histograms, whatever [`HISTOGRAMS_VARIABLE`] says.
///
/// # Errors
///
/// As [`publish_in`].
pub fn publish_histograms_in(session: &Session) -> Result<Box<dyn Publisher>, SessionError> {
    publish_with(session, true)
}

fn publish_with(session: &Session, histograms: bool) -> Result<Box<dyn Publisher>, SessionError> {
    let process = Process::create(session, histograms)?;
    match SharedPublisher::new(process) {
        Some(publisher) => Ok(Box::new(publisher)),
        None => Err(session.file_error("use", None, std::io::ErrorKind::StorageFull.into())),
    }
}

/// Says which part of a whole this process is, where it shares its times.
pub fn set_label(label: &Label) {
    if let Some(process) = here() {
        process.set_label(label);
    }
}

/// The file that this process has in the session of the variable.
fn here() -> Option<&'static Process> {
    let first = HERE.get(|| match Session::from_env() {
        Ok(session) => create_or_warn(&session?, histogram::are_asked_for()),
        Err(error) => {
            warn(&error);
            None
        }
    });
    first?.here()
}

fn create_or_warn(session: &Session, histograms: bool) -> Option<&'static Process> {
    Process::create(session, histograms).inspect_err(warn).ok()
}

/// Says once that this process measures for itself. To stderr, not to a log: a program that shares
/// its times need not have set up one, and its user would wonder why `top` does not show it.
fn warn(error: &SessionError) {
    let reason = session::chain(error);
    let pid = std::process::id();
    let _ = writeln!(
        std::io::stderr().lock(),
        "warning: times of process {pid} are not shared: {reason}"
    );
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
