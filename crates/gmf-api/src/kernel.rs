//! What a kernel is: it plans once for a search, and the plan is executed for every integration.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use num_complex::Complex32;
use serde::{Deserialize, Serialize};

use crate::{Derived, GridRowMut, KernelError};

/// How the grid of range rates and accelerations is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Method {
    /// Every acceleration of the window, and for each all range rates. Source: hardtarget's
    /// `grid-fast-gmf`.
    Fgmf,
    /// One acceleration, found by the discrete polynomial transform, and for it all range rates:
    /// far cheaper, but it misses weak echoes. Source: hardtarget's `grid-fast-dpt`.
    Fdpt,
}

impl Method {
    /// The method's short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fgmf => "fgmf",
            Self::Fdpt => "fdpt",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "fgmf" | "grid-fast-gmf" => Ok(Self::Fgmf),
            "fdpt" | "grid-fast-dpt" => Ok(Self::Fdpt),
            _ => Err(format!("unknown method '{name}': fgmf (all accelerations) or fdpt (fast)")),
        }
    }
}

/// What the zero-frequency term, from which the noise floor is estimated, means.
///
/// hardtarget's implementations disagree, up to a factor of 1000, so the meaning is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ZeroFrequency {
    /// `|sum of the decoded echo|^2`: what hardtarget's documentation and numpy code mean.
    #[default]
    Sum,
    /// Frequency zero under the phasors of the first acceleration of the window: what its C and
    /// CUDA code store.
    FirstAcceleration,
}

impl ZeroFrequency {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::FirstAcceleration => "first-acceleration",
        }
    }
}

impl fmt::Display for ZeroFrequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ZeroFrequency {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sum" => Ok(Self::Sum),
            "first-acceleration" => Ok(Self::FirstAcceleration),
            _ => Err(format!("unknown zero-frequency term '{name}': sum or first-acceleration")),
        }
    }
}

/// What a kernel is asked to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelOptions {
    /// How the grid is searched.
    pub method: Method,
    /// What the zero-frequency term means.
    pub zero_frequency: ZeroFrequency,
}

impl KernelOptions {
    /// The method, and the default for everything else.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self { method, zero_frequency: ZeroFrequency::default() }
    }

    /// With another meaning of the zero-frequency term.
    #[must_use]
    pub fn zero_frequency(self, zero_frequency: ZeroFrequency) -> Self {
        Self { zero_frequency, ..self }
    }
}

/// The samples of one integration, on level 1 (see [`Derived`]).
///
/// | field | shape                      | unit                                       |
/// | ----- | -------------------------- | ------------------------------------------ |
/// | `tx`  | `[n_ipp * pulse_samples]`  | 1, conjugated and scaled to unit energy    |
/// | `rx`  | `[n_ipp * window_samples]` | as read from the recorder; all are finite  |
#[derive(Debug, Clone, Copy)]
pub struct Integration<'a> {
    /// The transmitted pulses.
    pub tx: &'a [Complex32],
    /// The receive windows.
    pub rx: &'a [Complex32],
}

impl Integration<'_> {
    /// Checks the buffers against the lengths that `derived` asks for, and that all samples are
    /// finite: comparisons with NaN are false, so a search would pass over it.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`] and [`KernelError::NotFinite`].
    pub fn check(&self, derived: &Derived) -> Result<(), KernelError> {
        let tx = derived.n_ipp() * derived.pulse_samples();
        let rx = derived.n_ipp() * derived.window_samples();
        check_len("the transmitter's buffer", tx, self.tx.len())?;
        check_len("the receiver's buffer", rx, self.rx.len())?;
        check_finite("the transmitter's buffer", self.tx)?;
        check_finite("the receiver's buffer", self.rx)
    }
}

fn check_finite(what: &'static str, samples: &[Complex32]) -> Result<(), KernelError> {
    // Without a branch this is a fraction of what any kernel does.
    if samples.iter().fold(true, |all, z| all & z.re.is_finite() & z.im.is_finite()) {
        return Ok(());
    }
    let index = samples.iter().position(|z| !z.is_finite()).expect("one was not finite");
    Err(KernelError::NotFinite { what, index, value: samples[index] })
}

pub(crate) fn check_len(
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), KernelError> {
    if expected == got { Ok(()) } else { Err(KernelError::Shape { what, expected, got }) }
}

/// One way of computing the filter, on one kind of processor.
///
/// Every kernel keeps the promises that `gmf-conformance` checks: values within
/// [`crate::RELATIVE_TOLERANCE`] of the [`crate::Reference`]; of equal values the one with the
/// lowest acceleration, then the lowest frequency; the same bytes for the same input.
pub trait GmfKernel: fmt::Debug + Send + Sync {
    /// The kernel's name, as on the command line.
    fn name(&self) -> &str;

    /// Prepares for integrations of one search; tables and scratch memory are made here.
    ///
    /// # Errors
    ///
    /// [`KernelError::Unsupported`] and [`KernelError::Device`].
    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError>;
}

/// A kernel that is ready for the integrations of one search.
pub trait GmfPlan: Send {
    /// Searches the grid for one integration; every element of `row` is overwritten.
    ///
    /// Does not allocate (the reference does; it is not made for speed). Where the echo is zero
    /// throughout a gate, its value is 0 and its indices are -1.
    ///
    /// # Errors
    ///
    /// [`KernelError::Shape`] when a buffer does not fit the plan, [`KernelError::NotFinite`] when a
    /// sample is NaN or infinite; nothing is written then.
    fn execute(
        &mut self,
        integration: Integration<'_>,
        row: GridRowMut<'_>,
    ) -> Result<(), KernelError>;

    /// How many integrations the plan would like to have at once: 1, unless handing work over
    /// costs more than the work, as on a graphics processor.
    fn batch_len(&self) -> usize {
        1
    }

    /// Searches the grid for several integrations, `rows[i]` for `integrations[i]`.
    ///
    /// # Errors
    ///
    /// As [`GmfPlan::execute`]; [`KernelError::Shape`] also when the two are not equally many.
    fn execute_batch(
        &mut self,
        integrations: &[Integration<'_>],
        rows: &mut [GridRowMut<'_>],
    ) -> Result<(), KernelError> {
        check_len("the list of rows", integrations.len(), rows.len())?;
        for (integration, row) in integrations.iter().zip(rows) {
            self.execute(*integration, row.reborrow())?;
        }
        Ok(())
    }
}
