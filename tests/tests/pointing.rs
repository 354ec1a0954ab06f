//! Where the antenna pointed, at any rate of the metadata.

use polychron::Kernels;
use polychron::gmf::Processing;
use polychron::gmf_pipeline::simulate::{Pointing, ProductOptions, Simulation};
use polychron::gmf_pipeline::{Analysis, GmfFile, RunControl};
use polychron::pm::SerialManager;
use polychron_tests::temp_dir;

/// hardtarget stops with an error where the rate of integrations is no multiple of the metadata's.
#[test]
fn an_entry_holds_until_the_next_at_any_rate() {
    for rate_hz in [1, 3, 7, 10, 50] {
        let pointing = Pointing {
            rate_hz,
            azimuth_deg: 10.0,
            azimuth_rate_deg_s: 4.0,
            elevation_deg: 60.0,
            elevation_rate_deg_s: -2.0,
        };
        let simulation = Simulation {
            duration_s: 1.2,
            pointing: Some(pointing.clone()),
            ..Simulation::default()
        };
        let dir = temp_dir();
        let product = dir.path().join("product");
        let synthesis = simulation.check().unwrap();
        synthesis.write_product(&product, ProductOptions::default()).unwrap();
        let mut analysis = Analysis::of_product(&product, "rx", None).unwrap();
        analysis.processing = Processing {
            min_range_gate: 6000,
            max_range_gate: 6004,
            frequency_decimation: 160,
            num_cohints_per_file: 4,
            ..Processing::default()
        };
        let plan = analysis.plan().unwrap();
        let mut files: Vec<GmfFile> = Vec::new();
        plan.run::<Kernels>(&SerialManager::new(), &mut files, RunControl::default()).unwrap();
        let found: Vec<[f32; 2]> =
            files.iter().flat_map(|file| file.pointing().unwrap()).copied().collect();
        assert_eq!(found.len(), 6);
        for (idx, [azimuth, elevation]) in found.into_iter().enumerate() {
            // Integration `idx` starts after `idx` fifths of a second; entries are whole steps.
            let entry_s = (idx as u64 * rate_hz / 5) as f64 / rate_hz as f64;
            let expected = pointing.at(entry_s);
            assert!((f64::from(azimuth) - expected.0).abs() < 1e-5, "{rate_hz} Hz, {idx}");
            assert!((f64::from(elevation) - expected.1).abs() < 1e-5, "{rate_hz} Hz, {idx}");
        }
    }
}
