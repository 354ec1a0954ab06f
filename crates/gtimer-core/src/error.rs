//! Why a timer refuses.

use std::fmt;

use thiserror::Error;

use crate::{Moment, Name};

/// Why a timer refused an operation. Nothing was changed, and the timer is as usable as before.
///
/// The variants carry the names of gtimer's exceptions (see [`TimerError::kind`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimerError {
    /// The timer is stopped, which only a reset undoes.
    #[error("timer {timer} is stopped, so it cannot {action}")]
    Stopped {
        /// The timer.
        timer: Name,
        /// What was asked of it.
        action: Action,
    },
    /// The timer is paused, or is not paused where it should be resumed.
    #[error("timer {timer} is {}paused, so it cannot {action}", if *.paused { "" } else { "not " })]
    Paused {
        /// The timer.
        timer: Name,
        /// What was asked of it.
        action: Action,
        /// Whether the timer is paused.
        paused: bool,
    },
    /// The name was used before in this timer, or in this pass of a loop.
    #[error("timer {timer} has a stamp {stamp} already")]
    UniqueName {
        /// The timer.
        timer: Name,
        /// The stamp, or the named loop.
        stamp: Name,
    },
    /// The operation does not fit the loop that is, or is not, open.
    #[error("timer {timer} cannot {action}")]
    Loop {
        /// The timer that has the focus.
        timer: Name,
        /// What was asked of it and why that does not fit.
        action: Action,
    },
    /// The timer has measured something already, so that it cannot be started.
    #[error("timer {timer} has stamps or subdivisions already, so it cannot start")]
    Start {
        /// The timer.
        timer: Name,
    },
    /// A moment that lies in the future or before the interval began, or a root.
    #[error("timer {timer} cannot be backdated to tick {}, {reason}", .backdate.ticks())]
    Backdate {
        /// The timer.
        timer: Name,
        /// The moment that was asked for.
        backdate: Moment,
        /// Why not.
        reason: BackdateReason,
    },
    /// The subdivision on top was not made by `subdivide`, or there is none.
    #[error("timer {timer} is no subdivision that `subdivide` began, so it cannot be ended")]
    NoSubdivision {
        /// The timer that has the focus.
        timer: Name,
    },
    /// Times without any duration were attached.
    #[error("the attached times of {worker} have no total above zero, so they appear empty")]
    Empty {
        /// The worker.
        worker: Name,
    },
    /// The thread's timer is in use: the call came from inside another one, for instance out of an
    /// allocator that is itself timed.
    #[error("the timer of this thread is busy with another call")]
    Busy,
}

/// What a timer was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// To start again.
    Start,
    /// To stamp.
    Stamp,
    /// To stop.
    Stop,
    /// To pause.
    Pause,
    /// To resume.
    Resume,
    /// To be reset, in a loop.
    Reset,
    /// To end as a subdivision, in a loop.
    EndSubdivision,
    /// To enter a loop.
    EnterLoop,
    /// To enter an anonymous loop, in a loop.
    EnterAnonymousLoop,
    /// To enter a loop for the second time.
    EnterLoopAgain,
    /// To begin a pass while another one is under way.
    BeginPass,
    /// To end a pass.
    EndPass,
    /// To do something with a loop that it is not in.
    FocusLoop,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stamp => "stamp",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Reset => "be reset while it is in a loop",
            Self::EndSubdivision => "end while it is in a loop",
            Self::EnterLoop => "enter a loop",
            Self::EnterAnonymousLoop => "enter an anonymous loop while it is in a loop",
            Self::EnterLoopAgain => "enter a loop that was left before",
            Self::BeginPass => "begin a pass while another one is under way",
            Self::EndPass => "end a pass",
            Self::FocusLoop => "do this with a loop that does not have the focus",
        })
    }
}

/// Why a moment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackdateReason {
    /// It is the root, which has no interval around it.
    Root,
    /// It has not come yet.
    Future,
    /// It is before the open interval began, or no moment at all.
    BeforeInterval,
}

impl fmt::Display for BackdateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "because it is the root",
            Self::Future => "which has not come yet",
            Self::BeforeInterval => "which is before the interval began",
        })
    }
}

impl TimerError {
    /// The name of the exception that gtimer raises here.
    ///
    /// ```
    /// use gtimer_core::{FakeClock, Timer};
    ///
    /// let mut timer = Timer::with_clock("root", FakeClock::new());
    /// timer.stop()?;
    /// assert_eq!(timer.stop().unwrap_err().kind(), "StoppedError");
    /// # Ok::<(), gtimer_core::TimerError>(())
    /// ```
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Stopped { .. } => "StoppedError",
            Self::Paused { .. } => "PausedError",
            Self::UniqueName { .. } => "UniqueNameError",
            Self::Loop { .. } => "LoopError",
            Self::Start { .. } => "StartError",
            Self::Backdate { .. } => "BackdateError",
            Self::NoSubdivision { .. } | Self::Busy => "GTimerError",
            Self::Empty { .. } => "AssertionError",
        }
    }
}
