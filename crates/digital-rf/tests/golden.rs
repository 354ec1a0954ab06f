//! Products and results made by the real digital_rf and h5py, kept in the repository.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere, in its helpers too")]

use std::{fs, path::PathBuf};

use digital_rf::{
    MetadataReader, Reader,
    hdf5::{AttrValue, File, Scalar},
};
use num_complex::Complex32;

fn cases() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/gmf");
    let mut cases: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() >= 5, "{cases:?}");
    cases
}

/// They all begin at the same time, are sampled at 1 MHz, and send from 82 to 2002 µs, so that
/// each has power there and none in the 82 µs before.
#[test]
fn recorded_channels_hold_what_their_description_says() {
    for case in cases() {
        let reader = Reader::open(case.join("drf")).unwrap();
        for name in reader.channels().collect::<Vec<_>>() {
            let what = format!("{} {name}", case.display());
            let channel = reader.channel(name).unwrap();
            assert_eq!(channel.properties().layout.rate().to_string(), "1000000 Hz", "{what}");
            assert!(channel.sample_type().complex, "{what}");
            let expected = if what.contains("-c64-") { Scalar::F32 } else { Scalar::I16 };
            assert_eq!(channel.sample_type().number.scalar, expected, "{what}");
            let bounds = channel.bounds().unwrap();
            assert!(bounds.skipped.is_empty(), "{what}: {:?}", bounds.skipped);
            let bounds = bounds.samples.unwrap();
            assert_eq!(bounds.start, 1_618_229_740_000_000, "{what}");
            assert_eq!((bounds.end - bounds.start) % 20_000, 0, "{what}: {bounds:?}");
            assert_eq!(
                channel.coverage(bounds.clone()).unwrap().blocks,
                std::slice::from_ref(&bounds)
            );

            let mut samples = vec![Complex32::default(); (bounds.end - bounds.start) as usize];
            channel.read_complex32(bounds.start, 0, &mut samples).unwrap();
            let power = |samples: &[Complex32]| samples.iter().map(|z| z.norm_sqr()).sum::<f32>();
            for pulse in samples.chunks(20_000) {
                assert!(power(&pulse[82..2002]) > 0.0 || name != "tx", "{what}");
                assert_eq!(power(&pulse[..82]), 0.0, "{what}");
            }
        }
    }
}

#[test]
fn recorded_pointing_is_read() {
    let case =
        cases().into_iter().find(|path| path.ends_with("dev4-c64-neggates-pointing")).unwrap();
    let reader = MetadataReader::open(case.join("drf/pointing")).unwrap();
    assert_eq!(reader.fields(), ["azimuth", "elevation"]);
    let (bounds, skipped) = reader.bounds().unwrap();
    assert!(skipped.is_empty(), "{skipped:?}");
    // 5 Hz, azimuth 90 + k/4, elevation 75 - k/2, without k = 1.
    let start = 5 * 1_618_229_740;
    let records = reader.read(bounds.clone().unwrap()).unwrap();
    assert_eq!(bounds.unwrap().start, start);
    assert!(records.len() >= 2 && records.iter().all(|(sample, _)| *sample != start + 1));
    for (sample, record) in records {
        let k = (sample - start) as f64;
        assert_eq!(record["azimuth"].as_f64(), Some(90.0 + k / 4.0));
        assert_eq!(record["elevation"].as_f64(), Some(75.0 - k / 2.0));
    }
}

/// Results that were written by h5py: every dataset and attribute has a form here.
#[test]
fn recorded_results_are_read_whole() {
    let mut n_files = 0;
    for case in cases() {
        let folders = fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().path());
        for folder in
            folders.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("expected-"))
        {
            let files = fs::read_dir(folder)
                .unwrap()
                .flat_map(|e| fs::read_dir(e.unwrap().path()).unwrap());
            for path in files.map(|entry| entry.unwrap().path()) {
                let file = File::open(&path).unwrap();
                let datasets = file.datasets("/").unwrap();
                assert!(datasets.len() >= 15, "{datasets:?}");
                for name in datasets {
                    let dataset = file.dataset(&name).unwrap();
                    let values = dataset.read_f64().unwrap();
                    assert_eq!(
                        values.values.len(),
                        values.shape.iter().product::<usize>(),
                        "{name}"
                    );
                    let attrs = dataset.attrs().unwrap();
                    assert!(
                        name == "epoch_unix" || attrs.contains_key("long_name"),
                        "{name}: {attrs:?}"
                    );
                }
                let gmf = file.dataset("gmf").unwrap();
                assert_eq!(gmf.shape().len(), 2);
                assert!(gmf.read::<f32>().unwrap().values.iter().all(|x| x.is_finite()));
                let labels = gmf.attr("DIMENSION_LABELS").unwrap().unwrap();
                assert_eq!(labels, AttrValue::Strs(vec!["t".into(), "r".into()]));
                let ranges = file.dataset("ranges").unwrap();
                assert_eq!(
                    ranges.attr("CLASS").unwrap().unwrap().as_str(),
                    Some("DIMENSION_SCALE")
                );
                let experiment = file.attrs("experiment").unwrap();
                assert_eq!(experiment["sample_rate"], AttrValue::I64(1_000_000));
                assert_eq!(experiment["radar_frequency"].as_f64(), Some(929.6));
                assert!(experiment["rx_channel"].as_str().is_some());
                n_files += 1;
            }
        }
    }
    assert!(n_files >= 20, "{n_files}");
}
