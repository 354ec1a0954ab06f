use std::error::Error;
use std::fmt;

/// Turns measured or estimated costs into the integer weights that the weighted divisions take.
///
/// Weights are `u64`, so that sums are exact and a division does not depend on the order in which
/// they were added. All of `weights` are multiplied by one power of two, such that the greatest
/// lands in `2^62..2^63`, and rounded to the nearest integer, halves upwards. What is lost is less
/// than `2^-62` of the greatest weight; a weight far below that becomes 0. Integers below `2^53`
/// lose nothing, so that they are divided as they would be as `u64`. All zeros stay zeros.
///
/// | argument  | shape       | unit                                            |
/// | --------- | ----------- | ----------------------------------------------- |
/// | `weights` | `[n_tasks]` | any, the same for all: seconds, bytes, samples  |
/// | result    | `[n_tasks]` | that unit times a power of two                  |
///
/// # Errors
///
/// [`WeightError::Negative`] or [`WeightError::NotFinite`] for the first weight that is below
/// zero, infinite or not a number. Negative zero is zero.
pub fn weights_from_f64(weights: &[f64]) -> Result<Vec<u64>, WeightError> {
    for (task, &weight) in weights.iter().enumerate() {
        if !weight.is_finite() {
            return Err(WeightError::NotFinite { task, weight });
        }
        if weight < 0.0 {
            return Err(WeightError::Negative { task, weight });
        }
    }
    let greatest = weights.iter().copied().fold(0.0, f64::max);
    let (significand, exponent) = decode(greatest);
    // The position of the greatest weight's leading bit; it goes to bit 62.
    let leading = exponent + significand.checked_ilog2().map_or(0, u32::cast_signed);
    Ok(weights
        .iter()
        .map(|&weight| {
            let (significand, exponent) = decode(weight);
            shift(significand, exponent + 62 - leading)
        })
        .collect())
}

/// Takes a finite weight, not below zero, apart: it is `significand * 2^exponent`, exactly.
fn decode(weight: f64) -> (u64, i32) {
    // The sign is dropped: of the negative numbers only zero comes here.
    let bits = weight.to_bits() & !(1 << 63);
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) as i32 {
        // Subnormal numbers lack the hidden bit and share the exponent of the least normal ones.
        0 => (fraction, -1074),
        biased => (fraction | 1 << 52, biased - 1075),
    }
}

/// Multiplies by `2^by` and rounds to the nearest, halves upwards.
fn shift(significand: u64, by: i32) -> u64 {
    match by {
        0.. => significand << by,
        // Below half: the significand has 53 bits.
        ..-53 => 0,
        _ => (significand + (1 << (-by - 1))) >> -by,
    }
}

/// Why a number cannot be the weight of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum WeightError {
    /// It is infinite or not a number.
    NotFinite {
        /// Which task has it.
        task: usize,
        /// The weight as given.
        weight: f64,
    },
    /// It is less than zero.
    Negative {
        /// Which task has it.
        task: usize,
        /// The weight as given.
        weight: f64,
    },
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { task, weight } => {
                write!(f, "the weight of task {task} is {weight}, not a finite number")
            }
            Self::Negative { task, weight } => {
                write!(f, "the weight of task {task} is {weight}, less than zero")
            }
        }
    }
}

impl Error for WeightError {}

#[cfg(test)]
mod tests {
    use super::{WeightError, weights_from_f64};

    #[test]
    fn integers_are_scaled_by_one_power_of_two_exactly() {
        let weights = [3.0, 0.0, -0.0, 1.0, 9_007_199_254_740_991.0];
        let scale = 1 << 10; // the greatest has 53 bits, and is to have 63
        let expected = [3, 0, 0, 1, 9_007_199_254_740_991].map(|weight: u64| weight * scale);
        assert_eq!(weights_from_f64(&weights).unwrap(), expected);
    }

    #[test]
    fn the_whole_range_of_f64_is_scaled_without_overflow() {
        let tiny = f64::from_bits(1);
        assert_eq!(
            weights_from_f64(&[f64::MAX, tiny, f64::MAX / 2.0]).unwrap(),
            [((1 << 53) - 1) << 10, 0, ((1 << 53) - 1) << 9]
        );
        assert_eq!(weights_from_f64(&[tiny, 3.0 * tiny]).unwrap(), [1 << 61, 3 << 61]);
        // 2^-62 of the greatest weight is the unit; half a unit is rounded up, less is dropped.
        let unit = (-62f64).exp2();
        assert_eq!(
            weights_from_f64(&[1.0, unit, 0.5 * unit, 0.499 * unit]).unwrap(),
            [1 << 62, 1, 1, 0]
        );
        assert_eq!(weights_from_f64(&[0.0, 0.0]).unwrap(), [0, 0]);
        assert!(weights_from_f64(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_a_weight_is_refused_by_name() {
        let negative = weights_from_f64(&[1.0, -0.5]).unwrap_err();
        assert_eq!(negative, WeightError::Negative { task: 1, weight: -0.5 });
        assert_eq!(negative.to_string(), "the weight of task 1 is -0.5, less than zero");
        let infinite = weights_from_f64(&[f64::INFINITY]).unwrap_err();
        assert_eq!(infinite, WeightError::NotFinite { task: 0, weight: f64::INFINITY });
        let nan = weights_from_f64(&[1.0, 2.0, f64::NAN]).unwrap_err();
        assert_eq!(nan.to_string(), "the weight of task 2 is NaN, not a finite number");
        let minus = weights_from_f64(&[f64::NEG_INFINITY]).unwrap_err();
        assert!(matches!(minus, WeightError::NotFinite { task: 0, .. }));
    }
}
