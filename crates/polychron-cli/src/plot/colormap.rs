//! Colours for values.

/// Values between two ends, and the colours that stand for them.
///
/// viridis: even steps look even, also in grey and to every kind of colour vision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) until: f64,
}

impl Scale {
    pub(crate) fn new(from: f64, until: f64) -> Self {
        if from.is_finite() && until.is_finite() && from < until {
            Self { from, until }
        } else {
            let middle = if from.is_finite() { from } else { 0.0 };
            Self { from: middle - 1.0, until: middle + 1.0 }
        }
    }

    /// From the `low`-th to the `high`-th part of all finite values, so that a few extremes do not
    /// leave all else in one colour.
    pub(crate) fn of(values: impl Iterator<Item = f64>, low: f64, high: f64) -> Self {
        let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let idx = (part * values.len().saturating_sub(1) as f64).round() as usize;
            values.get(idx).copied().unwrap_or(f64::NAN)
        };
        Self::new(at(low), at(high))
    }

    /// The colour of a value; those beyond the ends have those of the ends.
    pub(crate) fn color(&self, value: f64) -> [u8; 3] {
        self.at((value - self.from) / (self.until - self.from))
    }

    /// The colour of a place between the ends, 0 to 1.
    pub(crate) fn at(&self, fraction: f64) -> [u8; 3] {
        colorous::VIRIDIS.eval_continuous(fraction.clamp(0.0, 1.0)).into_array()
    }
}
