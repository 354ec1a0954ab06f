//! The kernel: threads, level, and whether rows are skipped.

use std::fmt;
use std::sync::Arc;

use gmf_api::{Derived, GmfKernel, GmfPlan, KernelError, KernelOptions};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Level;
use crate::plan::CpuPlan;
use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

pub(crate) const NAME: &str = "cpu";

/// The variables of [`CpuKernel::with_environment`].
const LEVEL: &str = "POLYCHRON_GMF_LEVEL";
const SKIP: &str = "POLYCHRON_GMF_SKIP";

/// The kernel `cpu`: single precision, on a number of threads of this process.
///
/// Its results have the same bytes for any number of threads, for any [`Level`], and whether rows
/// are skipped or not.
#[derive(Clone)]
pub struct CpuKernel {
    /// `None` works on the caller's thread.
    pool: Option<Arc<ThreadPool>>,
    level: Level,
    skipping: bool,
}

impl fmt::Debug for CpuKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuKernel")
            .field("threads", &self.threads())
            .field("level", &self.level)
            .field("skipping", &self.skipping)
            .finish()
    }
}

impl Default for CpuKernel {
    /// Works on the caller's thread, at the processor's best level.
    fn default() -> Self {
        Self { pool: None, level: Level::best(), skipping: true }
    }
}

impl CpuKernel {
    /// A kernel that divides the gates of an integration among `threads` threads of its own.
    ///
    /// With one thread (or zero) it works on the caller's. That is the better choice where several
    /// integrations are computed at once; several threads bring one integration to its end sooner.
    ///
    /// # Errors
    ///
    /// [`KernelError::Device`] when the threads cannot be started.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        if threads <= 1 {
            return Ok(Self::default());
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|idx| format!("gmf-cpu-{idx}"))
            .build()
            .map_err(|source| KernelError::Device {
                kernel: NAME.to_owned(),
                action: format!("start {threads} threads"),
                source: source.into(),
            })?;
        Ok(Self { pool: Some(Arc::new(pool)), ..Self::default() })
    }

    /// The same kernel at another level than the processor's best.
    ///
    /// # Errors
    ///
    /// [`KernelError::Unsupported`] when this processor does not have the level.
    pub fn at_level(self, level: Level) -> Result<Self, KernelError> {
        if level.is_available() {
            return Ok(Self { level, ..self });
        }
        Err(KernelError::Unsupported {
            kernel: NAME.to_owned(),
            what: format!("at the level {level}: this processor has {} at best", Level::best()),
        })
    }

    /// The same kernel, computing every row of frequencies: the same bytes, several times later.
    ///
    /// Rows are skipped only where a bound shows that the greatest power cannot be there; this is
    /// how to see that it is so, and how to measure what skipping gains.
    #[must_use]
    pub fn without_skipping(self) -> Self {
        Self { skipping: false, ..self }
    }

    /// The same kernel as the environment asks for, if it does:
    ///
    /// - `POLYCHRON_GMF_LEVEL` is the name of a [`Level`] (`avx512`, `avx2`, `portable`);
    /// - `POLYCHRON_GMF_SKIP=0` computes every row, see [`CpuKernel::without_skipping`].
    ///
    /// Neither changes a byte of the results; they are for measurements, and to rule out skipping
    /// where a result is doubted. A variable that is empty counts as absent.
    ///
    /// # Errors
    ///
    /// [`KernelError::Device`] when a value is none of these, [`KernelError::Unsupported`] when
    /// this processor does not have the level.
    pub fn with_environment(self) -> Result<Self, KernelError> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, KernelError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let refuse = |name: &str, why: String| KernelError::Device {
            kernel: NAME.to_owned(),
            action: format!("read {name}"),
            source: why.into(),
        };
        if let Some(level) = variable(LEVEL) {
            self = self.at_level(level.parse().map_err(|why| refuse(LEVEL, why))?)?;
        }
        match variable(SKIP).as_deref() {
            None | Some("1") => Ok(self),
            Some("0") => Ok(self.without_skipping()),
            Some(other) => Err(refuse(SKIP, format!("'{other}' is neither 0 nor 1"))),
        }
    }

    /// The number of threads that work on an integration.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// The level that plans are made for.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether rows are skipped.
    #[must_use]
    pub fn skips(&self) -> bool {
        self.skipping
    }
}

impl GmfKernel for CpuKernel {
    fn name(&self) -> &str {
        NAME
    }

    fn plan(
        &self,
        derived: &Arc<Derived>,
        options: &KernelOptions,
    ) -> Result<Box<dyn GmfPlan>, KernelError> {
        macro_rules! plan {
            ($simd:expr) => {
                Ok(Box::new(CpuPlan::new(
                    $simd,
                    self.pool.clone(),
                    derived,
                    options,
                    self.skipping,
                )?))
            };
        }
        #[cfg(target_arch = "x86_64")]
        {
            if self.level == Level::Avx512
                && let Some(simd) = Avx512::detect()
            {
                return plan!(simd);
            }
            if self.level == Level::Avx2
                && let Some(simd) = Avx2::detect()
            {
                return plan!(simd);
            }
        }
        plan!(Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(level: &str, skip: &str) -> Result<CpuKernel, String> {
        let kernel = CpuKernel::default().with_variables(|name| match name {
            LEVEL => Some(level.to_owned()),
            SKIP => Some(skip.to_owned()),
            _ => None,
        });
        kernel.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })
    }

    #[test]
    fn the_environment_chooses_level_and_skipping() {
        let kernel = with("portable", "0").unwrap();
        assert_eq!((kernel.level(), kernel.skips()), (Level::Portable, false));
        let kernel = with("", "").unwrap();
        assert_eq!((kernel.level(), kernel.skips()), (Level::best(), true));
        assert!(with("", "1").unwrap().skips());
    }

    #[test]
    fn what_the_environment_cannot_ask_for_is_named() {
        let error = with("sse9", "").unwrap_err();
        assert!(error.contains(LEVEL) && error.contains("'sse9'"), "{error}");
        let error = with("", "no").unwrap_err();
        assert!(error.contains(SKIP) && error.contains("'no'"), "{error}");
    }
}
