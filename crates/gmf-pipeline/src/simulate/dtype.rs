//! What a sample is stored as.

use std::fmt;
use std::str::FromStr;

use num_complex::{Complex, Complex32, Complex64};
use serde::{Deserialize, Serialize};

use super::SimulationError;

/// The type of the stored samples.
///
/// Integers are rounded to the nearest, ties to even, and clipped at the greatest number and its
/// negative; the smallest integer itself is never stored, since Digital RF reads it as "no data".
/// Clipped samples are counted and reported. Floats are rounded as IEEE 754 says.
///
/// | name   | also                    | a component is  | clipped at |
/// | ------ | ----------------------- | --------------- | ---------- |
/// | `ci8`  | `i8`                    | 8-bit integer   | 127        |
/// | `ci16` | `i16`                   | 16-bit integer  | 32767      |
/// | `cf32` | `complex64`, `c64`      | 32-bit float    | its range  |
/// | `cf64` | `complex128`, `c128`    | 64-bit float    | never      |
///
/// hardtarget 0.5.1 reads all four with its numpy kernels, but not `cf64` with its C kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Dtype {
    /// Complex 8-bit integers.
    ComplexI8,
    /// Complex 16-bit integers.
    #[default]
    ComplexI16,
    /// Complex 32-bit floats.
    ComplexF32,
    /// Complex 64-bit floats.
    ComplexF64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ComplexI8, Self::ComplexI16, Self::ComplexF32, Self::ComplexF64];

    /// The short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ComplexI8 => "ci8",
            Self::ComplexI16 => "ci16",
            Self::ComplexF32 => "cf32",
            Self::ComplexF64 => "cf64",
        }
    }

    /// The greatest component that can be stored.
    #[must_use]
    pub fn greatest(self) -> f64 {
        match self {
            Self::ComplexI8 => f64::from(i8::MAX),
            Self::ComplexI16 => f64::from(i16::MAX),
            Self::ComplexF32 => f64::from(f32::MAX),
            Self::ComplexF64 => f64::MAX,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = SimulationError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "ci8" | "i8" => Ok(Self::ComplexI8),
            "ci16" | "i16" => Ok(Self::ComplexI16),
            "cf32" | "complex64" | "c64" => Ok(Self::ComplexF32),
            "cf64" | "complex128" | "c128" => Ok(Self::ComplexF64),
            _ => Err(SimulationError::Field {
                field: "dtype",
                value: format!("'{name}'"),
                allowed: "ci8, ci16, cf32 or cf64".to_owned(),
            }),
        }
    }
}

/// A type of stored samples.
pub(super) trait Stored: digital_rf::Sample {
    /// The sample as it is stored, and whether it had to be clipped.
    fn store(z: Complex64) -> (Self, bool);
    /// The stored sample as a filter reads it.
    fn read(self) -> Complex32;
}

macro_rules! stored {
    ($part:ty, $greatest:expr, $round:expr, $single:expr) => {
        impl Stored for Complex<$part> {
            fn store(z: Complex64) -> (Self, bool) {
                let greatest = $greatest;
                let round: fn(f64) -> f64 = $round;
                let (re, im) = (round(z.re), round(z.im));
                let clipped = re.abs() > greatest || im.abs() > greatest;
                let part = |x: f64| x.clamp(-greatest, greatest) as $part;
                (Complex::new(part(re), part(im)), clipped)
            }

            fn read(self) -> Complex32 {
                let single: fn($part) -> f32 = $single;
                Complex32::new(single(self.re), single(self.im))
            }
        }
    };
}

stored!(i8, f64::from(i8::MAX), f64::round_ties_even, f32::from);
stored!(i16, f64::from(i16::MAX), f64::round_ties_even, f32::from);
stored!(f32, f64::from(f32::MAX), |x| x, |x| x);
stored!(f64, f64::MAX, |x| x, |x| x as f32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_rounded_and_clipped_above_the_sign_of_no_data() {
        type Int = Complex<i8>;
        assert_eq!(Int::store(Complex64::new(2.5, -3.5)), (Int::new(2, -4), false));
        assert_eq!(Int::store(Complex64::new(127.4, -127.4)), (Int::new(127, -127), false));
        assert_eq!(Int::store(Complex64::new(127.6, 0.0)), (Int::new(127, 0), true));
        assert_eq!(Int::store(Complex64::new(0.0, -1e300)), (Int::new(0, -127), true));
        let (z, clipped) = Complex::<i16>::store(Complex64::new(-32768.0, 32767.0));
        assert_eq!((z, clipped), (Complex::new(-32767, 32767), true));
    }

    #[test]
    fn names_are_read_back() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype.name().parse::<Dtype>().unwrap(), dtype);
        }
        let message = "u8".parse::<Dtype>().unwrap_err().to_string();
        assert_eq!(message, "dtype is 'u8', but must be ci8, ci16, cf32 or cf64");
    }
}
