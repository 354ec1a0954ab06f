//! Units of range, with hardtarget's names.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// Mean distance of the Moon as hardtarget 0.5.1 has it (`cli/utils.py`), in metres.
const LUNAR_DISTANCE_M: f64 = 3.843_99e8;
/// Radius of the Earth as hardtarget has it, in metres.
const EARTH_RADIUS_M: f64 = 6.378_1e6;
/// The astronomical unit (IAU 2012, resolution B2), in metres.
const ASTRONOMICAL_UNIT_M: f64 = 149_597_870_700.0;

/// A unit of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Metre,
    Kilometre,
    EarthRadius,
    LunarDistance,
    Astronomical,
}

impl Unit {
    pub(crate) fn metres(self) -> f64 {
        match self {
            Self::Metre => 1.0,
            Self::Kilometre => 1e3,
            Self::EarthRadius => EARTH_RADIUS_M,
            Self::LunarDistance => LUNAR_DISTANCE_M,
            Self::Astronomical => ASTRONOMICAL_UNIT_M,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Metre => "m",
            Self::Kilometre => "km",
            Self::EarthRadius => "R_E",
            Self::LunarDistance => "LD",
            Self::Astronomical => "AU",
        }
    }
}

impl ValueEnum for Unit {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Metre, Self::Kilometre, Self::EarthRadius, Self::LunarDistance, Self::Astronomical]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
