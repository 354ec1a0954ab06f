//! What is written is what was simulated; what was there stays unless it may go.

use std::cell::Cell;

use digital_rf::{MetadataReader, Reader};
use num_complex::Complex32;
use tempfile::TempDir;

use super::*;
use crate::simulate::{Simulation, Target};

/// Two and a bit files, the first of which begins in its middle.
fn simulation() -> Simulation {
    Simulation {
        targets: vec![Target::new(2e6, 400.0, 60.0, 5.0)],
        start: "2021-04-12T12:15:40.1Z".parse().unwrap(),
        duration_s: 0.42,
        seed: 3,
        file_cadence_ms: 200,
        ..Simulation::default()
    }
}

fn write(
    simulation: &Simulation,
    dir: &Path,
    clobber: bool,
) -> Result<ProductReport, ProductError> {
    let options = ProductOptions { clobber, ..ProductOptions::default() };
    simulation.check().unwrap().write_product(dir, options)
}

/// All files below a folder, by their path in it.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(dir).unwrap().to_path_buf(), bytes);
            }
        }
    }
    files
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_product_reads_back_as_it_was_simulated() {
    let temp = TempDir::new().unwrap();
    for (idx, dtype) in Dtype::ALL.into_iter().enumerate() {
        for (compression, checksum) in [(0, false), (3, true)] {
            for tx_channel in [None, Some("tx".to_owned())] {
                let simulation = Simulation {
                    dtype,
                    compression,
                    checksum,
                    tx_channel,
                    noise_std: 9.0,
                    tx_amplitude: 100.0,
                    ..simulation()
                };
                let case = format!("{idx}-{compression}-{}", simulation.tx_channel.is_some());
                let dir = temp.path().join(&case);
                let report = write(&simulation, &dir, false).unwrap();
                let synthesis = simulation.check().unwrap();
                let samples = synthesis.samples().unwrap();
                assert_eq!(report.n_samples, 420_000);
                assert_eq!(report.n_clipped, samples.n_clipped);
                assert_eq!(report.first_sample, 1_618_229_740_100_000);

                let reader = Reader::open(&dir).unwrap();
                assert_eq!(reader.channels().collect::<Vec<_>>(), report.channels);
                for name in &report.channels {
                    let channel = reader.channel(name).unwrap();
                    let all = report.first_sample..report.first_sample + report.n_samples;
                    let bounds = channel.bounds().unwrap();
                    assert_eq!(bounds.samples, Some(all.clone()), "{case}");
                    assert_eq!(channel.coverage(all.clone()).unwrap().blocks, [all], "{case}");
                    let mut read = vec![Complex32::default(); 420_000];
                    channel.read_complex32(report.first_sample, 0, &mut read).unwrap();
                    let expected =
                        if name == "tx" { samples.transmitter() } else { &samples.rx[..] };
                    assert!(read == expected, "{case}, channel {name}");
                }
                let ini = fs::read_to_string(dir.join(METADATA_INI)).unwrap();
                let experiment = Experiment::from_ini(METADATA_INI, &ini).unwrap();
                assert_eq!(experiment, synthesis.experiment());
            }
        }
    }
}

#[test]
fn the_same_simulation_gives_the_same_bytes() {
    let temp = TempDir::new().unwrap();
    let (a, b, c) = (temp.path().join("a"), temp.path().join("b"), temp.path().join("c"));
    let simulation = Simulation {
        compression: 1,
        pointing: Some(Pointing {
            rate_hz: 5,
            azimuth_deg: 90.0,
            azimuth_rate_deg_s: 1.25,
            elevation_deg: 75.0,
            elevation_rate_deg_s: -2.5,
        }),
        ..simulation()
    };
    write(&simulation, &a, false).unwrap();
    write(&simulation, &b, false).unwrap();
    write(&Simulation { seed: 4, ..simulation }, &c, false).unwrap();
    assert!(tree(&a) == tree(&b));
    assert!(tree(&a) != tree(&c));
    assert_eq!(tree(&a).len(), tree(&c).len());
    assert_eq!(names(temp.path()), ["a", "b", "c"], "nothing else is left");
}

/// From the entry at or before the first sample (its angles those of the first sample), to the
/// last before the end.
#[test]
fn the_pointing_moves_evenly_with_time() {
    let temp = TempDir::new().unwrap();
    let pointing = Pointing {
        rate_hz: 5,
        azimuth_deg: 359.9,
        azimuth_rate_deg_s: 1.0,
        elevation_deg: 75.0,
        elevation_rate_deg_s: -2.5,
    };
    let simulation = Simulation { pointing: Some(pointing.clone()), ..simulation() };
    let report = write(&simulation, &temp.path().join("p"), false).unwrap();
    assert_eq!(report.channels, ["rx", "pointing"]);
    let reader = MetadataReader::open(temp.path().join("p/pointing")).unwrap();
    let first = 1_618_229_740 * 5;
    let records = reader.read(0..u64::MAX).unwrap();
    assert_eq!(records.iter().map(|(at, _)| at - first).collect::<Vec<_>>(), [0, 1, 2]);
    for ((_, record), time_s) in records.iter().zip([0.0, 0.1, 0.3]) {
        let (azimuth, elevation) = pointing.at(time_s);
        assert!((record["azimuth"].as_f64().unwrap() - azimuth).abs() < 1e-9);
        assert!((record["elevation"].as_f64().unwrap() - elevation).abs() < 1e-9);
    }
    assert!((pointing.at(0.3).0 - 0.2).abs() < 1e-9, "modulo 360");
}

#[test]
fn only_what_is_clearly_a_product_is_replaced_and_only_when_asked() {
    let temp = TempDir::new().unwrap();
    let (old, new) = (simulation(), Simulation { seed: 9, ..simulation() });
    let dir = temp.path().join("sub/product");
    write(&old, &dir, true).unwrap();
    let before = tree(&dir);

    let error = write(&new, &dir, false).unwrap_err();
    assert!(matches!(error, ProductError::Exists { .. }), "{error}");
    assert!(tree(&dir) == before);

    fs::create_dir(dir.join("results")).unwrap();
    let error = write(&new, &dir, true).unwrap_err();
    assert!(error.to_string().contains("it holds 'results', which is no channel"), "{error}");
    fs::remove_dir(dir.join("results")).unwrap();
    assert!(tree(&dir) == before);

    let ini = fs::read(dir.join(METADATA_INI)).unwrap();
    fs::write(dir.join(METADATA_INI), "[other]\n").unwrap();
    let error = write(&new, &dir, true).unwrap_err();
    assert!(matches!(error, ProductError::NotAProduct { .. }), "{error}");
    fs::write(dir.join(METADATA_INI), ini).unwrap();

    write(&new, &dir, true).unwrap();
    assert!(tree(&dir) != before);
    assert_eq!(names(&temp.path().join("sub")), ["product"], "nothing else is left");

    let folder = temp.path().join("folder");
    let file = temp.path().join("file");
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "mine").unwrap();
    for place in [&folder, &file] {
        let error = write(&new, place, true).unwrap_err();
        assert!(matches!(error, ProductError::NotAProduct { .. }), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let below_a_file = write(&new, &file.join("product"), false).unwrap_err();
    assert!(matches!(below_a_file, ProductError::Io { .. }), "{below_a_file}");
    assert_eq!(names(temp.path()), ["file", "folder", "sub"]);
}

/// A link to a product is not the product: to replace it would lose the link.
#[cfg(unix)]
#[test]
fn a_link_is_not_replaced() {
    let temp = TempDir::new().unwrap();
    let (dir, link) = (temp.path().join("product"), temp.path().join("link"));
    write(&simulation(), &dir, false).unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let error = write(&simulation(), &link, true).unwrap_err();
    assert!(matches!(error, ProductError::NotAProduct { .. }), "{error}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn progress_counts_every_period_and_a_cancelled_product_leaves_nothing() {
    let temp = TempDir::new().unwrap();
    let dir = temp.path().join("product");
    let synthesis = simulation().check().unwrap();
    let mut seen = Vec::new();
    let mut on_progress = |done, n_periods| seen.push((done, n_periods));
    let options =
        ProductOptions { on_progress: Some(&mut on_progress), ..ProductOptions::default() };
    synthesis.write_product(&dir, options).unwrap();
    assert_eq!(seen, (1..=21).map(|done| (done, 21)).collect::<Vec<_>>());

    let before = tree(&dir);
    let asked = Cell::new(0);
    let is_cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 15
    };
    let options = ProductOptions {
        clobber: true,
        is_cancelled: Some(&is_cancelled),
        ..ProductOptions::default()
    };
    let error = synthesis.write_product(&dir, options).unwrap_err();
    assert!(matches!(error, ProductError::Cancelled { done: 15, n_periods: 21 }), "{error}");
    assert!(tree(&dir) == before, "the old one is still there");
    assert_eq!(names(temp.path()), ["product"]);
}
