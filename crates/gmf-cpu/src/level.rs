//! The instructions that a kernel uses.

use std::fmt;
use std::str::FromStr;

/// The vector instructions that a kernel uses.
///
/// All levels give the same bytes: they differ in speed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Sixteen lanes: x86-64 processors with AVX-512 (F, VL and DQ).
    Avx512,
    /// Eight lanes: x86-64 processors with AVX2 and FMA, which is nearly all since 2013.
    Avx2,
    /// What every processor of the target has.
    ///
    /// Where that is no fused multiplication and addition (x86-64 without more), it is done in
    /// double precision, several times slower.
    Portable,
}

impl Level {
    /// All levels, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// The fastest level of this processor.
    #[must_use]
    pub fn best() -> Self {
        let best = Self::ALL.into_iter().find(|level| level.is_available());
        best.unwrap_or(Self::Portable)
    }

    /// Whether this processor has the level.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::simd::Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::simd::Avx2::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// The level's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let level = Self::ALL.into_iter().find(|level| level.name() == name);
        level.ok_or_else(|| format!("unknown level '{name}': avx512, avx2 or portable"))
    }
}
