//! Which gates of an integration hold an echo.

use gmf_api::{Derived, GridRow, Peak};

/// The noise floor: the median of the zero-frequency term over gates and integrations, in the unit
/// of the filter's values; `None` if there is no row with noise.
///
/// The term sums an echo without matching it, so noise shows in it as it is, and targets hardly.
/// Source: `estimate_noise_from_dc` in hardtarget 0.5.1, `noise.py`, which takes the median of the
/// medians of its files.
#[must_use]
pub fn noise_floor<'a>(rows: impl IntoIterator<Item = &'a GridRow>) -> Option<f32> {
    let mut terms: Vec<f32> = rows
        .into_iter()
        .flat_map(|row| row.zero_frequency.iter().copied())
        .filter(|term| *term > 0.0)
        .collect();
    if terms.is_empty() {
        return None;
    }
    let middle = terms.len() / 2;
    Some(*terms.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// Signal-to-noise ratio of a filter value over a noise floor, `(sqrt(gmf) - sqrt(floor))^2 /
/// floor`, in dB.
///
/// Source: `snr` in hardtarget 0.5.1, `noise.py`.
#[must_use]
pub fn snr_db(gmf: f32, floor: f32) -> f64 {
    let (gmf, floor) = (f64::from(gmf), f64::from(floor));
    let amplitude = gmf.sqrt() - floor.sqrt();
    if amplitude <= 0.0 {
        f64::NEG_INFINITY
    } else {
        10.0 * (amplitude * amplitude / floor).log10()
    }
}

/// The gates of a row whose value is greatest among the gates less than `separation` samples away
/// and at least `least`, strongest first.
///
/// A pulse of several bauds answers in the gates around a target too, less the farther they are;
/// `separation` is to be as long as that reaches.
#[must_use]
pub fn detections(row: &GridRow, derived: &Derived, least: f32, separation: usize) -> Vec<Peak> {
    let reach = separation / derived.gate_step();
    let is_peak = |&idx: &usize| {
        let value = row.gmf[idx];
        let from = idx.saturating_sub(reach);
        let until = (idx + reach + 1).min(row.gmf.len());
        // Of equal neighbours the first is the peak.
        value >= least
            && row.gmf[from..idx].iter().all(|&other| other < value)
            && row.gmf[idx + 1..until].iter().all(|&other| other <= value)
    };
    let mut peaks: Vec<Peak> = (0..row.gmf.len())
        .filter(is_peak)
        .filter_map(|range_idx| {
            let frequency_idx = usize::try_from(row.range_rate_idx[range_idx]).ok()?;
            let acceleration_idx = usize::try_from(row.acceleration_idx[range_idx]).ok()?;
            Some(Peak {
                range_idx,
                range_m: derived.range_m(range_idx),
                range_rate_m_s: derived.range_rate_m_s(frequency_idx),
                acceleration_m_s2: derived.acceleration_m_s2(acceleration_idx),
                gmf: row.gmf[range_idx],
            })
        })
        .collect();
    peaks.sort_by(|a, b| b.gmf.total_cmp(&a.gmf).then(a.range_idx.cmp(&b.range_idx)));
    peaks
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmf_api::{Experiment, Processing};

    fn derived() -> Derived {
        let text = "[Experiment]\nsample_rate = 1000\nipp = 200000\ntx_start = 0\ntx_end = 10000\n\
                    rx_start = 0\nrx_end = 200000\nradar_frequency = 930\n";
        let experiment = Experiment::from_ini("metadata.ini", text).unwrap();
        let processing = Processing {
            n_ipp: 2,
            dpt_ipp_delay_parameter: 1,
            min_range_gate: 20,
            max_range_gate: 120,
            ..Processing::default()
        };
        Derived::new(&experiment, &processing).unwrap()
    }

    #[test]
    fn peaks_are_apart_and_strongest_first() {
        let derived = derived();
        let mut row = GridRow::new(100);
        row.range_rate_idx.fill(3);
        row.acceleration_idx.fill(5);
        for (idx, value) in [(10, 4.0), (13, 9.0), (17, 8.0), (40, 6.0), (41, 6.0), (99, 20.0)] {
            row.gmf[idx] = value;
        }
        let found = |least, separation| -> Vec<usize> {
            detections(&row, &derived, least, separation).iter().map(|p| p.range_idx).collect()
        };
        assert_eq!(found(5.0, 5), [99, 13, 40]);
        assert_eq!(found(5.0, 2), [99, 13, 17, 40]);
        assert_eq!(found(7.0, 5), [99, 13]);
        assert!(found(21.0, 5).is_empty());
        assert!(detections(&GridRow::new(100), &derived, 0.0, 5).is_empty(), "silence");
    }

    #[test]
    fn the_floor_is_the_median_and_the_ratio_is_of_amplitudes() {
        let mut row = GridRow::new(5);
        row.zero_frequency = vec![1.0, 4.0, 0.0, 100.0, 2.0];
        assert_eq!(noise_floor([&row]), Some(4.0));
        assert_eq!(noise_floor([&GridRow::new(5)]), None);
        assert_eq!(snr_db(121.0, 1.0), 20.0);
        assert_eq!(snr_db(1.0, 1.0), f64::NEG_INFINITY);
    }
}
